//! What the commands write: data to standard output, messages to standard error.

use std::io::{ErrorKind, Write};

use serde::Serialize;

use super::Failure;

/// A text for people, of which nothing steers a terminal: what a database holds may be anybody's.
pub(super) fn harmless(text: &str) -> String {
    text.replace(|c: char| c.is_control() && c != '\n', "\u{fffd}")
}

/// Writes a line for people to standard error.
pub(super) fn message(text: &str) {
    if let Err(error) = writeln!(std::io::stderr(), "{}", harmless(text)) {
        // Nobody reads them; that is no reason to stop.
        tracing::debug!(%error, "a message was not read");
    }
}

/// Writes data to standard output. False if its reader has gone, such as `head`: whoever wanted no
/// more has all that they wanted, so that is no failure.
pub(super) fn put(bytes: &[u8]) -> Result<bool, Failure> {
    let mut output = std::io::stdout();
    match output.write_all(bytes).and_then(|()| output.flush()) {
        Ok(()) => Ok(true),
        Err(error) if error.kind() == ErrorKind::BrokenPipe => Ok(false),
        Err(error) => Err(Failure::Other(format!(
            "standard output cannot be written ({error}): what stands there is not whole"
        ))),
    }
}

/// Writes a line of data.
pub(super) fn line(text: &str) -> Result<(), Failure> {
    put(format!("{}\n", harmless(text)).as_bytes()).map(drop)
}

/// Writes one JSON document.
pub(super) fn json(value: &impl Serialize) -> Result<(), Failure> {
    put((json_text(value)? + "\n").as_bytes()).map(drop)
}

/// A value as JSON, of which nothing steers a terminal either: those that JSON leaves as they are stand in
/// texts alone, and there an escape says the same.
pub(super) fn json_text(value: &impl Serialize) -> Result<String, Failure> {
    let text = serde_json::to_string(value).map_err(super::other)?;
    let escaped = text.chars().fold(String::with_capacity(text.len()), |mut escaped, c| {
        match c.is_control() {
            true => escaped.push_str(&format!("\\u{:04x}", u32::from(c))),
            false => escaped.push(c),
        }
        escaped
    });
    Ok(escaped)
}

/// So many things, in words: `1 row`, `2 rows`.
pub(super) fn count(number: impl Into<i128>, thing: &str) -> String {
    let number = number.into();
    format!("{number} {thing}{}", if number == 1 { "" } else { "s" })
}

/// What stands in a cell that has nothing in it.
pub(super) const NOTHING: &str = "-";

/// A table with aligned columns, which may come in several parts.
pub(super) struct Table<const N: usize> {
    head: Option<[&'static str; N]>,
    widths: [usize; N],
}

impl<const N: usize> Table<N> {
    /// A table with the names of its columns.
    pub(super) fn new(head: [&'static str; N]) -> Self {
        Self { head: Some(head), widths: head.map(str::len) }
    }

    /// Writes some rows, and the head before the first. False if the reader has gone. The columns
    /// are as wide as all rows so far need.
    pub(super) fn rows(&mut self, rows: &[[String; N]]) -> Result<bool, Failure> {
        for row in rows {
            for (width, cell) in self.widths.iter_mut().zip(row) {
                *width = cell.chars().count().max(*width);
            }
        }
        let mut text = String::new();
        if let Some(head) = self.head.take() {
            self.write(&head.map(String::from), &mut text);
        }
        for row in rows {
            self.write(row, &mut text);
        }
        put(text.as_bytes())
    }

    fn write(&self, row: &[String; N], text: &mut String) {
        let start = text.len();
        for (cell, width) in row.iter().zip(self.widths) {
            text.push_str(&format!("{cell:width$}  "));
        }
        text.truncate(text.trim_end().len().max(start));
        let row = harmless(&text.split_off(start)).replace('\n', "\u{fffd}");
        text.push_str(&row);
        text.push('\n');
    }
}

/// Writes a whole table.
pub(super) fn table<const N: usize>(
    head: [&'static str; N],
    rows: &[[String; N]],
) -> Result<(), Failure> {
    Table::new(head).rows(rows).map(drop)
}

/// A long list that is written page by page: as a table, or as one JSON array.
pub(super) enum Pages<const N: usize> {
    Table(Table<N>),
    Json { is_first: bool },
}

impl<const N: usize> Pages<N> {
    /// A list with the names of its columns, which are the table's alone.
    pub(super) fn new(head: [&'static str; N], as_json: bool) -> Result<Self, Failure> {
        if as_json {
            put(b"[")?;
            return Ok(Self::Json { is_first: true });
        }
        Ok(Self::Table(Table::new(head)))
    }

    /// Writes a page, of which each is a row of the table or an element of the array. False if the
    /// reader has gone.
    pub(super) fn write<T, B: Serialize>(
        &mut self,
        page: &[T],
        row: impl Fn(&T) -> [String; N],
        element: impl Fn(&T) -> B,
    ) -> Result<bool, Failure> {
        match self {
            Self::Table(table) => {
                let rows: Vec<[String; N]> = page.iter().map(row).collect();
                table.rows(&rows)
            }
            Self::Json { is_first } => {
                let mut text = String::new();
                for one in page {
                    text.push_str(if *is_first { "" } else { "," });
                    text.push_str(&json_text(&element(one))?);
                    *is_first = false;
                }
                put(text.as_bytes())
            }
        }
    }

    /// Ends the list.
    pub(super) fn end(self) -> Result<(), Failure> {
        match self {
            Self::Table(_) => Ok(()),
            Self::Json { .. } => line("]"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::{harmless, json_text};

    #[test]
    fn what_a_database_holds_steers_no_terminal() {
        let odd = "key \r\u{1b}[2K\u{1b}[8m\u{9b}31m\u{7f}é";
        assert_eq!(harmless(odd), "key \u{fffd}\u{fffd}[2K\u{fffd}[8m\u{fffd}31m\u{fffd}é");
        assert_eq!(harmless("one\ntwo"), "one\ntwo");
        let text = json_text(&odd).unwrap_or_default();
        assert!(!text.contains(char::is_control), "{text}");
        assert_eq!(serde_json::from_str::<String>(&text).unwrap(), odd, "and it says the same");
    }
}
