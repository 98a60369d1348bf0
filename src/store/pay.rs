//! What is asked of pay, and the rows that answer it.

use super::StoreError;
use super::people::Filter;
use crate::clock::{Day, Timestamp};
use crate::domain::{Money, Username};

/// By what rows are sorted; always by user name after that.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum Sort {
    /// The user name.
    #[default]
    Username,
    /// The person's name.
    Name,
    /// The team; those in none come first.
    Team,
    /// The currency, then the amount: amounts of two currencies do not compare.
    Amount,
    /// The day from which the rate holds.
    EffectiveFrom,
}

impl Sort {
    /// What the statements call it; none for the user name.
    pub(super) fn key(self) -> Option<&'static str> {
        match self {
            Self::Username => None,
            Self::Name => Some("name"),
            Self::Team => Some("team"),
            Self::Amount => Some("amount"),
            Self::EffectiveFrom => Some("effective_from"),
        }
    }

    /// Whether a row's value may change between two pages. A cursor then carries it.
    pub fn is_mutable(self) -> bool {
        matches!(self, Self::Name | Self::Team)
    }
}

/// The last row of a page: the next one begins after it.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Cursor {
    /// Whose row it is.
    pub username: Username,
    /// What it was sorted by, where that may change or is already known.
    pub key: Option<String>,
}

/// Which rows, in which order, as of when.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct PayQuery {
    /// Of which people.
    pub filter: Filter,
    /// In which order.
    pub sort: Sort,
    /// Whether that order is reversed.
    pub descending: bool,
    /// How many at most; none for all.
    pub limit: Option<u16>,
    /// After which row.
    pub after: Option<Cursor>,
    /// The day whose rates are asked for.
    pub as_of: Day,
    /// As far as they were known then; none for all that is known.
    pub known_at: Option<Timestamp>,
}

impl PayQuery {
    /// What everybody is paid on a day, as far as it is known.
    pub fn on(as_of: Day) -> Self {
        Self {
            filter: Filter::default(),
            sort: Sort::default(),
            descending: false,
            limit: None,
            after: None,
            as_of,
            known_at: None,
        }
    }
}

/// What somebody is paid.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PayRow<'a> {
    /// Who.
    pub username: &'a str,
    /// What the person is called.
    pub name: &'a str,
    /// The team; none who is in none.
    pub team: Option<&'a str>,
    /// How much.
    pub salary: Money,
    /// The day from which it holds.
    pub effective_from: &'a str,
}

impl PayRow<'_> {
    /// The cursor of the page that begins after this row.
    pub fn cursor(&self, sort: Sort) -> Option<Cursor> {
        let value = match sort {
            Sort::Name => self.name,
            Sort::Team => self.team.unwrap_or_default(),
            _ => "",
        };
        let key = sort.is_mutable().then(|| value.to_owned());
        Some(Cursor { username: Username::parse(self.username).ok()?, key })
    }
}

/// Takes the chunks of a long answer, one by one.
pub trait Sink: Send {
    /// Takes a chunk; false if it wants no more.
    fn take(&mut self, chunk: Chunk) -> impl Future<Output = bool> + Send;
}

/// Some rows, as the database wrote them into one text: columns end at U+001F and rows at U+001E,
/// which stand in no name.
#[derive(Clone, Debug, Default)]
pub struct Chunk {
    text: String,
    rows: i64,
}

impl Chunk {
    pub(super) fn new(text: String, rows: i64) -> Self {
        Self { text, rows }
    }

    /// The rows of such a text.
    #[cfg(test)]
    pub(crate) fn of(text: String) -> Self {
        let rows = text.split('\u{1e}').filter(|line| !line.is_empty()).count();
        Self { text, rows: i64::try_from(rows).unwrap_or(i64::MAX) }
    }

    /// How many rows.
    pub fn len(&self) -> i64 {
        self.rows
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.rows == 0
    }

    /// The same without the last row.
    pub(super) fn without_last(mut self) -> Self {
        self.text.truncate(self.text.rfind('\u{1e}').unwrap_or(0));
        self.rows = (self.rows - 1).max(0);
        self
    }

    /// The last row, if there is any.
    pub(super) fn last(&self) -> Result<Option<PayRow<'_>>, StoreError> {
        let line = self.text.rsplit('\u{1e}').next().filter(|line| !line.is_empty());
        line.map(|line| parse(line).ok_or(IMPOSSIBLE)).transpose()
    }

    /// The rows.
    pub fn rows(&self) -> impl Iterator<Item = Result<PayRow<'_>, StoreError>> {
        let lines = self.text.split('\u{1e}').filter(|line| !line.is_empty());
        lines.map(|line| parse(line).ok_or(IMPOSSIBLE))
    }

    /// The names of the people whose rows these are.
    pub(super) fn usernames(&self) -> impl Iterator<Item = &str> {
        let lines = self.text.split('\u{1e}').filter(|line| !line.is_empty());
        lines.filter_map(|line| line.split('\u{1f}').next())
    }
}

const IMPOSSIBLE: StoreError = StoreError::Impossible("rates or employees");

fn parse(line: &str) -> Option<PayRow<'_>> {
    let mut columns = line.split('\u{1f}');
    let mut next = || columns.next();
    let (username, name, team) = (next()?, next()?, next()?);
    let (minor, currency, effective_from) = (next()?, next()?, next()?);
    if columns.next().is_some() {
        return None;
    }
    Some(PayRow {
        username,
        name,
        team: (!team.is_empty()).then_some(team),
        salary: Money::from_minor(minor.parse().ok()?, currency)?,
        effective_from,
    })
}
