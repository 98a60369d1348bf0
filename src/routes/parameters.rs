//! The parameters with which pay is asked for.

use rocket::http::Header;

use super::answer;
use super::query::Query;
use crate::clock::Timestamp;
use crate::domain::{TeamName, Username};
pub(super) use crate::service::asked::{parse_day, parse_past};
use crate::service::asked::{parse_search, parse_sort, sort_name};
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
        let asked = PayQuery {
            filter,
            sort: Sort::Username,
            descending: false,
            limit: None,
            after: None,
            as_of,
            known_at,
        };
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
        let sign = if asked.descending { "-" } else { "" };
        keep("sort", Some(format!("{sign}{}", sort_name(asked.sort))));
        keep("limit", asked.limit.map(|limit| limit.to_string()));
        keep("as_of", Some(asked.as_of.to_string()));
        keep("known_at", Some(asked.known_at.unwrap_or(now).to_string()));
        keep("after", Some(write_cursor(cursor)));
        answer::next_page(path, &self.kept)
    }
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
        Some((name, key)) if sort.is_mutable() => (name, Some(key.to_owned())),
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
