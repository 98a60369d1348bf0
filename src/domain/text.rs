//! Short texts that people write: names of persons, notes, reasons.

use std::fmt;

/// The text is none; the sentence says what one is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("this is 1 to 200 characters on one line, without control characters or space at its ends")]
pub struct InvalidLine;

/// The longest, in characters.
const LONGEST: usize = 200;

/// One line of text: 1 to 200 characters, none of them a control character, no white space at
/// either end.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Line(Box<str>);

impl Line {
    /// Parses a line.
    pub fn parse(text: &str) -> Result<Self, InvalidLine> {
        let breaks = |c: char| c.is_control() || matches!(c, '\u{2028}' | '\u{2029}');
        let ok = !text.is_empty()
            && text.chars().nth(LONGEST).is_none()
            && text.trim() == text
            && !text.contains(breaks);
        if ok { Ok(Self(text.into())) } else { Err(InvalidLine) }
    }

    /// The line as text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for Line {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_is_one_line() {
        for good in ["a", "Ann Lee", "José ΩΩ", "=SUM(A1)", &"é".repeat(200)] {
            assert_eq!(Line::parse(good).unwrap().as_str(), good);
        }
        for bad in ["", " ", " a", "a ", "a\nb", "a\0", "a\u{2028}b", "\u{85}", &"e".repeat(201)] {
            assert_eq!(Line::parse(bad), Err(InvalidLine), "{bad:?}");
        }
    }
}
