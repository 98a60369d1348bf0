//! The parameters with which pay is asked for.

use rocket::http::Header;
use utoipa::IntoParams;
use utoipa::openapi::path::{Parameter, ParameterBuilder, ParameterIn, ParameterStyle};
use utoipa::openapi::schema::{ArrayBuilder, ObjectBuilder, Schema, Type};
use utoipa::openapi::{RefOr, Required};

use super::answer;
use super::query::Query;
use crate::clock::Timestamp;
use crate::domain::{TeamName, Username};
use crate::service::asked::{LONGEST_SEARCH, SORTS, parse_search, parse_sort, sort_text};
pub(super) use crate::service::asked::{parse_day, parse_past};
use crate::service::export::Field;
use crate::service::schema::{self, reference};
use crate::store::pay::{Cursor, PayQuery, Sort};
use crate::store::people::Filter;

/// The most rows on a page.
const LONGEST_PAGE: u16 = 1000;

/// What is asked for, and how the next page is asked for.
#[derive(Debug)]
pub(super) struct PayParameters {
    /// What is asked for.
    pub asked: PayQuery,
    now: Timestamp,
    kept: Vec<(&'static str, String)>,
}

impl PayParameters {
    /// Takes `q`, `team`, `as_of` and `known_at`.
    pub(super) fn take(query: &mut Query, now: Timestamp) -> Self {
        let filter = take_filter(query);
        let as_of = query.take("as_of", parse_day).unwrap_or_else(|| now.day());
        let known_at = query.take("known_at", |text| parse_past(text, now));
        let asked = PayQuery { filter, known_at, ..PayQuery::on(as_of) };
        Self { asked, now, kept: Vec::new() }
    }

    /// Takes those and `sort`, `limit` and `after`.
    pub(super) fn take_page(query: &mut Query, now: Timestamp) -> Self {
        let mut parameters = Self::take(query, now);
        let asked = &mut parameters.asked;
        (asked.sort, asked.descending) = query.take("sort", parse_sort).unwrap_or_default();
        asked.limit = query.take("limit", parse_limit);
        asked.after = query.take("after", |text| parse_after(text, asked.sort));
        parameters
    }

    /// Keeps a parameter for the next page.
    pub(super) fn keep(&mut self, name: &'static str, value: String) {
        self.kept.push((name, value));
    }

    /// The `Link` to the page after a row. It says as of when, so that all pages show one moment.
    pub(super) fn next_page(mut self, path: &str, cursor: &Cursor) -> Header<'static> {
        let (asked, now) = (self.asked.clone(), self.now);
        let mut keep = |name, value: Option<String>| {
            if let Some(value) = value {
                self.kept.push((name, value));
            }
        };
        keep("q", asked.filter.q);
        keep("team", asked.filter.team.map(|team| team.to_string()));
        keep("sort", Some(sort_text(asked.sort, asked.descending)));
        keep("limit", asked.limit.map(|limit| limit.to_string()));
        keep("as_of", Some(asked.as_of.to_string()));
        keep("known_at", Some(asked.known_at.unwrap_or(now).to_string()));
        keep("after", Some(write_cursor(cursor)));
        answer::next_page(path, &self.kept)
    }
}

/// `q` and `team`, described.
pub(super) enum FilterParameters {}

impl IntoParams for FilterParameters {
    fn into_params(_: impl Fn() -> Option<ParameterIn>) -> Vec<Parameter> {
        let search =
            schema::text().max_length(Some(LONGEST_SEARCH)).pattern(Some(schema::PRINTABLE));
        vec![
            optional("q", "Who has this in their user name or name", search),
            optional("team", "The members of this team", reference::<schema::Name>()),
        ]
    }
}

impl IntoParams for PayParameters {
    fn into_params(within: impl Fn() -> Option<ParameterIn>) -> Vec<Parameter> {
        let mut parameters = FilterParameters::into_params(within);
        let (day, moment) = (reference::<schema::Day>(), reference::<schema::Moment>());
        parameters.extend([
            optional("as_of", "What holds on this day; today without it", day),
            optional("known_at", "As it was known at this moment, which has passed", moment),
        ]);
        parameters
    }
}

/// All with which a page of pay is asked for, described.
pub(super) enum PageParameters {}

impl IntoParams for PageParameters {
    fn into_params(within: impl Fn() -> Option<ParameterIn>) -> Vec<Parameter> {
        let sorts = SORTS.iter().flat_map(|(name, _)| [(*name).to_owned(), format!("-{name}")]);
        let fields = ArrayBuilder::new()
            .items(schema::text().enum_values(Some(Field::ALL.map(Field::name))))
            .min_items(Some(1))
            .unique_items(true);
        let mut fields = optional("fields", "The members of a row, in this order", fields);
        fields.style = Some(ParameterStyle::Form);
        fields.explode = Some(false);
        let mut parameters = PayParameters::into_params(within);
        parameters.extend([
            optional(
                "sort",
                "By what, with `-` before it for the reverse",
                schema::text().enum_values(Some(sorts)),
            ),
            limit(),
            optional("after", "Where the page begins", reference::<schema::Cursor>()),
            fields,
        ]);
        parameters
    }
}

/// `limit`, described.
pub(super) fn limit() -> Parameter {
    let number = ObjectBuilder::new()
        .schema_type(Type::Integer)
        .minimum(Some(1))
        .maximum(Some(LONGEST_PAGE));
    optional("limit", "How many rows a page has at most", number)
}

/// A parameter of a query that may be there, described.
pub(super) fn optional(
    name: &str,
    description: &str,
    schema: impl Into<RefOr<Schema>>,
) -> Parameter {
    ParameterBuilder::new()
        .name(name)
        .parameter_in(ParameterIn::Query)
        .required(Required::False)
        .description(Some(description))
        .schema(Some(schema))
        .build()
}

/// Takes `q` and `team`.
pub(super) fn take_filter(query: &mut Query) -> Filter {
    let q = query.take("q", parse_search).flatten();
    let team = query.take("team", TeamName::parse);
    Filter { q, team }
}

/// Parses the number of rows of a page.
pub(super) fn parse_limit(text: &str) -> Result<u16, String> {
    let limit = text.parse().ok().filter(|limit| (1..=LONGEST_PAGE).contains(limit));
    limit
        .filter(|_| text.bytes().all(|b| b.is_ascii_digit()))
        .ok_or_else(|| format!("this is a number from 1 to {LONGEST_PAGE}"))
}

/// A cursor is the user name of a page's last row, and after a colon what it was sorted by where
/// that may change. An amount never stands there: a URL is in many logs.
fn write_cursor(cursor: &Cursor) -> String {
    match &cursor.key {
        Some(key) => format!("{}:{key}", cursor.username),
        None => cursor.username.to_string(),
    }
}

fn parse_after(text: &str, sort: Sort) -> Result<Cursor, String> {
    let (name, key) = match text.split_once(':') {
        // PostgreSQL would fail on U+0000 rather than find nothing.
        Some((name, key)) if sort.is_mutable() && !key.contains(char::is_control) => {
            (name, Some(key.to_owned()))
        }
        _ => (text, None),
    };
    let username = Username::parse(name).map_err(|_| "this is what the Link of a page gives")?;
    Ok(Cursor { username, key })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_cursor_is_parsed_as_it_is_written() {
        let cursor = |key: Option<&str>| Cursor {
            username: Username::parse("ann").unwrap(),
            key: key.map(String::from),
        };
        for (sort, key) in [
            (Sort::Username, None),
            (Sort::Amount, None),
            (Sort::Name, Some("Lee: Ann")),
            (Sort::Team, Some("")),
        ] {
            let cursor = cursor(key);
            assert_eq!(parse_after(&write_cursor(&cursor), sort), Ok(cursor));
        }
        assert_eq!(parse_after("ann", Sort::Name), Ok(cursor(None)));
        for text in ["", "Ann", "ann:1", ":x"] {
            assert!(parse_after(text, Sort::Amount).is_err(), "{text}");
        }
        assert!(parse_after("ann:a\0b", Sort::Name).is_err());
    }

    #[test]
    fn a_limit_is_within_bounds() {
        assert_eq!(parse_limit("1"), Ok(1));
        assert_eq!(parse_limit("1000"), Ok(1000));
        for text in ["", "0", "1001", "-1", "+5", "5.0", "99999999999", " 5"] {
            assert!(parse_limit(text).is_err(), "{text}");
        }
    }
}
