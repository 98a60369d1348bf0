//! What the commands write: data to standard output, messages to standard error.

use std::io::{ErrorKind, Write};

use serde::Serialize;

use super::Failure;

/// Writes a line for people to standard error.
pub(super) fn message(text: &str) {
    if let Err(error) = writeln!(std::io::stderr(), "{text}") {
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
    put(format!("{text}\n").as_bytes()).map(drop)
}

/// Writes one JSON document.
pub(super) fn json(value: &impl Serialize) -> Result<(), Failure> {
    line(&json_text(value)?)
}

/// A value as JSON.
pub(super) fn json_text(value: &impl Serialize) -> Result<String, Failure> {
    serde_json::to_string(value).map_err(super::other)
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
