//! How pay and people are asked for, as text: the parsers that both doors share.

use std::time::Duration;

use super::export::Field;
use crate::clock::{Day, Timestamp};
use crate::domain::{InvalidName, Permission, Username};
use crate::store::audit::Action;
use crate::store::pay::Sort;

/// The longest text to search for, in characters.
pub const LONGEST_SEARCH: usize = 100;

/// Parses a day.
pub fn parse_day(text: &str) -> Result<Day, &'static str> {
    Day::parse(text).ok_or("a day is YYYY-MM-DD, and exists")
}

/// Parses the name of a permission.
pub fn parse_permission(text: &str) -> Result<Permission, &'static str> {
    Permission::parse(text).ok_or("a permission is read, write, manage or audit")
}

/// Parses a permission that a machine token may have.
pub fn parse_token_permission(text: &str) -> Result<Permission, &'static str> {
    match Permission::parse(text) {
        Some(Permission::Manage) => {
            Err("a machine token never has `manage`: whoever manages people signs in")
        }
        Some(permission) => Ok(permission),
        None => Err("a permission of a machine token is read, write or audit"),
    }
}

/// Parses until when something lives: a moment, or a day, which is the last one.
pub fn parse_end(text: &str) -> Result<Timestamp, &'static str> {
    let end = Day::parse(text).map(Day::end).or_else(|| Timestamp::parse(text));
    end.ok_or("this is a day, YYYY-MM-DD, or a time such as 2026-03-10T12:00:00Z")
}

/// Parses a moment that has passed: what will be known later nobody knows yet.
pub fn parse_past(text: &str, now: Timestamp) -> Result<Timestamp, &'static str> {
    Timestamp::parse(text)
        .filter(|moment| *moment <= now)
        .ok_or("this is a time that has passed, such as 2026-03-10T12:00:00Z")
}

/// Parses the beginning of a stretch of time: a moment, or a day's first.
pub fn parse_from(text: &str) -> Result<Timestamp, &'static str> {
    let moment = Timestamp::parse(text).or_else(|| Day::parse(text).map(Day::start));
    moment.ok_or("this is a day, such as 2026-03-10, or a time, such as 2026-03-10T12:00:00Z")
}

/// Parses the end of a stretch of time, which it does not hold: a moment, or that after a day.
pub fn parse_to(text: &str) -> Result<Timestamp, &'static str> {
    const DAY: Duration = Duration::from_secs(24 * 60 * 60);
    match Day::parse(text) {
        Some(day) => Ok(day.start().plus(DAY)),
        None => parse_from(text),
    }
}

/// Parses whose acts are asked for: a name, or nobody's.
pub fn parse_actor(text: &str) -> Result<String, InvalidName> {
    Username::parse(text).map(|name| name.to_string())
}

/// Parses the name of a kind of act.
pub fn parse_action(text: &str) -> Result<Action, String> {
    Action::parse(text).ok_or_else(|| {
        let names: Vec<&str> = Action::ALL.iter().map(|action| action.name()).collect();
        format!("this is one of {}", names.join(", "))
    })
}

/// Parses the number of a record.
pub fn parse_record(text: &str) -> Result<i64, &'static str> {
    let number = text.parse().ok().filter(|number| *number > 0);
    number
        .filter(|_| text.bytes().all(|b| b.is_ascii_digit()))
        .ok_or("this is the number of a record")
}

/// Parses a text to search for; none for an empty one, which everything holds.
pub fn parse_search(text: &str) -> Result<Option<String>, String> {
    if text.chars().count() > LONGEST_SEARCH || text.contains(char::is_control) {
        return Err(format!("this is at most {LONGEST_SEARCH} characters on one line"));
    }
    Ok((!text.is_empty()).then(|| text.to_owned()))
}

/// What rows can be sorted by, by every name that it has.
pub const SORTS: [(&str, Sort); 6] = [
    ("username", Sort::Username),
    ("name", Sort::Name),
    ("team", Sort::Team),
    ("amount", Sort::Amount),
    ("salary", Sort::Amount),
    ("effective_from", Sort::EffectiveFrom),
];

/// What [`parse_sort`] takes for this order.
pub fn sort_text(sort: Sort, descending: bool) -> String {
    let sign = if descending { "-" } else { "" };
    let name = SORTS.iter().find(|(_, other)| *other == sort).map_or("username", |(name, _)| name);
    format!("{sign}{name}")
}

/// Parses by what to sort; true for the reverse.
pub fn parse_sort(text: &str) -> Result<(Sort, bool), String> {
    let (descending, name) = match text.strip_prefix('-') {
        Some(name) => (true, name),
        None => (false, text),
    };
    match SORTS.iter().find(|(other, _)| *other == name) {
        Some((_, sort)) => Ok((*sort, descending)),
        None => {
            let names = SORTS.map(|(name, _)| name).join(", ");
            Err(format!("this is one of {names}, with - before it for the reverse"))
        }
    }
}

/// Parses some fields, in their order.
pub fn parse_fields(text: &str) -> Result<Vec<Field>, String> {
    let names = Field::ALL.map(Field::name).join(", ");
    let mut fields = Vec::new();
    for name in text.split(',') {
        match Field::parse(name) {
            Some(field) if !fields.contains(&field) => fields.push(field),
            _ => return Err(format!("this is some of {names}, each once, separated by commas")),
        }
    }
    Ok(fields)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_stretch_of_time_holds_its_last_day_and_not_its_last_moment() {
        let at = |text| Timestamp::parse(text).unwrap();
        assert_eq!(parse_from("2026-03-10"), Ok(at("2026-03-10T00:00:00Z")));
        assert_eq!(parse_to("2026-03-10"), Ok(at("2026-03-11T00:00:00Z")));
        for parse in [parse_from, parse_to] {
            assert_eq!(parse("2026-03-10T12:00:00Z"), Ok(at("2026-03-10T12:00:00Z")));
            assert!(parse("2026-03").is_err() && parse("").is_err() && parse("now").is_err());
        }
    }

    #[test]
    fn a_record_has_a_positive_number() {
        assert_eq!(parse_record("17"), Ok(17));
        for text in ["", "0", "-1", "+1", "1.0", "9223372036854775808"] {
            assert!(parse_record(text).is_err(), "{text}");
        }
    }

    #[test]
    fn a_sort_is_a_field_and_a_direction() {
        assert_eq!(parse_sort("salary"), Ok((Sort::Amount, false)));
        assert_eq!(parse_sort("-username"), Ok((Sort::Username, true)));
        for text in ["", "-", "+name", "--name", "Name", "currency", "name,team"] {
            assert!(parse_sort(text).is_err(), "{text}");
        }
    }
}
