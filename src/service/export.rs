//! Rows of pay as text: JSON as the contract writes it, or CSV (RFC 4180) that is safe to open in
//! a spreadsheet.

use std::io::Write;

use crate::store::StoreError;
use crate::store::pay::{Chunk, PayRow};

/// A member of a row.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Field {
    /// The user name.
    Username,
    /// The person's name.
    Name,
    /// The team.
    Team,
    /// The amount as the contract writes it: `$2000.00`.
    Salary,
    /// The amount as a number: `2000.00`.
    Amount,
    /// The ISO 4217 code.
    Currency,
    /// The day from which it holds.
    EffectiveFrom,
}

impl Field {
    /// Every field.
    pub const ALL: [Self; 7] = [
        Self::Username,
        Self::Name,
        Self::Team,
        Self::Salary,
        Self::Amount,
        Self::Currency,
        Self::EffectiveFrom,
    ];
    /// The fields of a row where nobody asks for others: the contract's.
    pub const DEFAULT: [Self; 2] = [Self::Username, Self::Salary];

    /// The field's name.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Username => "username",
            Self::Name => "name",
            Self::Team => "team",
            Self::Salary => "salary",
            Self::Amount => "amount",
            Self::Currency => "currency",
            Self::EffectiveFrom => "effective_from",
        }
    }

    /// The field of exactly that name.
    pub fn parse(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|field| field.name() == name)
    }
}

/// How rows are written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Format {
    /// One array of objects, without a space.
    Json,
    /// A line for each row after one that names the columns.
    Csv,
}

impl Format {
    /// What stands after the last row.
    pub const fn tail(self) -> &'static [u8] {
        match self {
            Self::Json => b"]",
            Self::Csv => b"",
        }
    }
}

/// Writes rows, chunk by chunk: first [`Renderer::head`], then each chunk, then
/// [`Renderer::tail`].
#[derive(Debug)]
pub struct Renderer {
    format: Format,
    fields: Vec<Field>,
    is_first: bool,
}

impl Renderer {
    /// A writer of these fields, in this order.
    pub fn new(format: Format, fields: Vec<Field>) -> Self {
        Self { format, fields, is_first: true }
    }

    /// What stands before the first row.
    pub fn head(&self) -> Vec<u8> {
        match self.format {
            Format::Json => b"[".to_vec(),
            Format::Csv => {
                let names: Vec<&str> = self.fields.iter().map(|field| field.name()).collect();
                (names.join(",") + "\r\n").into_bytes()
            }
        }
    }

    /// The rows of a chunk.
    pub fn rows(&mut self, chunk: &Chunk) -> Result<Vec<u8>, StoreError> {
        let rows = usize::try_from(chunk.len()).unwrap_or(0);
        let mut text = Vec::with_capacity(rows * self.fields.len() * 24);
        for row in chunk.rows() {
            let row = row?;
            let written = match self.format {
                Format::Json => self.json(&row, &mut text),
                Format::Csv => self.csv(&row, &mut text),
            };
            written.map_err(|_| StoreError::Impossible("a row that cannot be written"))?;
            self.is_first = false;
        }
        Ok(text)
    }

    /// What stands after the last row.
    pub fn tail(&self) -> &'static [u8] {
        self.format.tail()
    }

    /// What to end with where the rest of the rows cannot be had, so that nobody takes for the
    /// whole what is not: no JSON, and a quote in CSV that is never closed.
    pub fn broken(&self) -> &'static [u8] {
        match self.format {
            Format::Json => b"",
            Format::Csv => b"\"The rest is missing: the server failed. Export again.",
        }
    }

    fn json(&self, row: &PayRow<'_>, text: &mut Vec<u8>) -> std::io::Result<()> {
        text.extend_from_slice(if self.is_first { b"{" } else { b",{" });
        for (n, field) in self.fields.iter().enumerate() {
            text.extend_from_slice(if n == 0 { b"\"" } else { b",\"" });
            text.extend_from_slice(field.name().as_bytes());
            text.extend_from_slice(b"\":");
            match field {
                // Nothing in these is anything that JSON would escape.
                Field::Salary => write!(text, "\"{}\"", row.salary)?,
                Field::Amount => write!(text, "\"{}\"", row.salary.amount())?,
                Field::Username => write!(text, "\"{}\"", row.username)?,
                Field::Currency => write!(text, "\"{}\"", row.salary.currency())?,
                Field::EffectiveFrom => serde_json::to_writer(&mut *text, row.effective_from)?,
                Field::Name => serde_json::to_writer(&mut *text, row.name)?,
                Field::Team => serde_json::to_writer(&mut *text, &row.team)?,
            }
        }
        text.push(b'}');
        Ok(())
    }

    fn csv(&self, row: &PayRow<'_>, text: &mut Vec<u8>) -> std::io::Result<()> {
        let mut line =
            csv::WriterBuilder::new().terminator(csv::Terminator::CRLF).from_writer(text);
        for field in &self.fields {
            match field {
                Field::Username => line.write_field(row.username)?,
                Field::Name => line.write_field(harmless(row.name))?,
                Field::Team => line.write_field(row.team.unwrap_or_default())?,
                Field::Salary => line.write_field(row.salary.to_string())?,
                Field::Amount => line.write_field(row.salary.amount())?,
                Field::Currency => line.write_field(row.salary.currency())?,
                Field::EffectiveFrom => line.write_field(row.effective_from)?,
            }
        }
        line.write_record(None::<&[u8]>)?;
        line.flush()
    }
}

/// A cell that no spreadsheet takes for a formula (OWASP, CSV injection).
pub(super) fn harmless(cell: &str) -> String {
    let starts_formula = |c: char| {
        matches!(c, '=' | '+' | '-' | '@' | '\t' | '\r' | '\0' | '＝' | '＋' | '－' | '＠')
    };
    if cell.starts_with(starts_formula) { format!("'{cell}") } else { cell.to_owned() }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn chunk(rows: &[&str]) -> Chunk {
        let text: Vec<String> = rows.iter().map(|row| row.replace('|', "\u{1f}")).collect();
        Chunk::of(text.join("\u{1e}"))
    }

    fn written(format: Format, fields: &[Field], chunks: &[Chunk]) -> String {
        let mut renderer = Renderer::new(format, fields.to_vec());
        let mut text = renderer.head();
        for chunk in chunks {
            text.extend(renderer.rows(chunk).unwrap());
        }
        text.extend(renderer.tail());
        String::from_utf8(text).unwrap()
    }

    #[test]
    fn rows_are_written_as_the_contract_writes_them() {
        let chunks = [
            chunk(&["jdoe|J|x|200000|USD|2021-08-01"]),
            chunk(&["mturner|M||250000|USD|2021-08-01"]),
        ];
        assert_eq!(
            written(Format::Json, &Field::DEFAULT, &chunks),
            r#"[{"username":"jdoe","salary":"$2000.00"},{"username":"mturner","salary":"$2500.00"}]"#
        );
        assert_eq!(written(Format::Json, &Field::DEFAULT, &[]), "[]");
    }

    #[test]
    fn all_fields_are_exact_in_both_formats() {
        let chunks =
            [chunk(&["a|A \"x\", y|ops|1200500|KWD|2026-01-01", "b|=1+1||3|JPY|2026-01-02"])];
        assert_eq!(
            written(Format::Json, &Field::ALL, &chunks),
            concat!(
                r#"[{"username":"a","name":"A \"x\", y","team":"ops","salary":"KWD 1200.500","#,
                r#""amount":"1200.500","currency":"KWD","effective_from":"2026-01-01"},"#,
                r#"{"username":"b","name":"=1+1","team":null,"salary":"¥3","#,
                r#""amount":"3","currency":"JPY","effective_from":"2026-01-02"}]"#
            )
        );
        assert_eq!(
            written(Format::Csv, &Field::ALL, &chunks),
            "username,name,team,salary,amount,currency,effective_from\r\n\
             a,\"A \"\"x\"\", y\",ops,KWD 1200.500,1200.500,KWD,2026-01-01\r\n\
             b,'=1+1,,¥3,3,JPY,2026-01-02\r\n"
        );
    }

    #[test]
    fn r83_no_cell_is_a_formula() {
        for cell in ["=1", "+1", "-1", "@x", "\tx", "\rx", "\0x", "＝1", "＋1", "－1", "＠x"] {
            assert_eq!(harmless(cell), format!("'{cell}"));
        }
        for cell in ["", "a", "a=1", "'=1", "1"] {
            assert_eq!(harmless(cell), cell);
        }
    }
}
