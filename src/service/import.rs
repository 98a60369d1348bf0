//! Recording the pay of many from a CSV file (RFC 4180): every bad line is named, and nothing is
//! recorded unless all can be.

use std::borrow::Cow;
use std::collections::HashMap;
use std::panic::resume_unwind;

use csv::{ByteRecord, ReaderBuilder};
use serde_json::json;

use super::asked::parse_day;
use super::{Act, Fault, Refused, members};
use crate::clock::Day;
use crate::domain::{Line, Money, Username};
use crate::policy::{Allowed, Read, Write};
use crate::store::audit::{self, Action, Record};
use crate::store::orgs;
use crate::store::rates::{self, Batch, NewRate};

/// The largest file, in bytes: some 300,000 lines.
pub const LARGEST: u64 = 16 * 1024 * 1024;
/// How many lines go to the database at a time.
const BATCH: usize = 2000;
/// How many faults are told, so that no file takes all memory: nobody reads more.
const FAULTS: usize = 10_000;
/// The columns that a file must have.
const REQUIRED: [&str; 4] = ["username", "effective_from", "amount", "currency"];
/// The column that it may have.
const NOTE: &str = "note";

/// What came of an import.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Imported {
    /// How many rates were recorded.
    pub recorded: u64,
    /// How many lines said what was recorded already.
    pub unchanged: u64,
}

/// Records the rates of a file in one transaction; or, as a dry run, does all but keep them. Either
/// is on record: whether a line says what is recorded already is something to know. So only who may
/// read the pay of the whole org is told; to others all lines are recorded.
/// `progress` is told how many lines have been recorded, of how many.
pub async fn import(
    act: Act<'_>,
    allowed: &Allowed<Write>,
    file: Vec<u8>,
    dry_run: bool,
    progress: &mut (dyn FnMut(usize, usize) + Send),
) -> Result<Imported, Refused> {
    let parsed = tokio::task::spawn_blocking(move || parse(&file)).await;
    // It ends early by a panic alone, which is the caller's as if it had parsed here.
    let Parsed { batches, mut faults } =
        parsed.unwrap_or_else(|ended| resume_unwind(ended.into_panic()));
    if faults.len() >= FAULTS {
        return Err(Refused::Invalid(faults));
    }
    let lines: usize = batches.iter().map(|(_, batch)| batch.len()).sum();
    let org = allowed.account().org.clone();

    let mut tx = act.db.begin().await?;
    orgs::raise_version(tx.access(), &org).await?;
    let mut allowed = act.renew(&mut tx, allowed).await?;
    // Only now, since others may have recorded while this waited for its turn.
    let now = act.now();
    for (numbers, batch) in &batches {
        let strangers = rates::strangers(tx.access(), &allowed, batch).await?;
        let numbers = strangers.iter().filter_map(|at| numbers.get(usize::try_from(*at).ok()?));
        faults.extend(numbers.map(|number| Fault {
            line: Some(*number),
            field: "username".into(),
            reason: "there is no such employee".into(),
        }));
        if faults.len() >= FAULTS {
            break;
        }
    }
    if !faults.is_empty() {
        faults.sort_by_key(|fault| fault.line);
        faults.truncate(FAULTS);
        return Err(Refused::Invalid(faults));
    }
    let (mut recorded, mut done, mut subjects) = (0, 0, Vec::new());
    for (_, batch) in &batches {
        recorded += rates::import(tx.access(), &allowed, batch, now).await?;
        subjects.extend(batch.usernames());
        done += batch.len();
        progress(done, lines);
    }
    if dry_run {
        drop(tx);
        tx = act.db.begin().await?;
        allowed = act.renew(&mut tx, &allowed).await?;
    }
    let all = u64::try_from(lines).unwrap_or(u64::MAX);
    let reads = allowed.principal().allow::<Read>(now.day());
    // Who is told how many rates are recorded already can find out anybody's by guessing.
    let is_told = reads.is_ok_and(|reads| reads.visibility().whole_org());
    if !is_told {
        recorded = all;
    }
    let unchanged = all.saturating_sub(recorded);
    let mut record = Record::by(&allowed, Action::ImportPay, now, act.origin);
    let detail = json!({
        "recorded": recorded, "unchanged": unchanged, "dry_run": dry_run, "compared": is_told,
    });
    record.detail = Cow::Owned(members(detail));
    record.subjects = subjects;
    audit::append(tx.access(), &record).await?;
    tx.commit().await?;
    Ok(Imported { recorded, unchanged })
}

/// The lines of a file in batches, each with the numbers of its lines; and what is wrong.
#[derive(Default)]
struct Parsed {
    batches: Vec<(Vec<u64>, Batch)>,
    faults: Vec<Fault>,
}

impl Parsed {
    fn push(&mut self, number: u64, username: &Username, rate: &NewRate) {
        if self.batches.last().is_none_or(|(_, batch)| batch.len() == BATCH) {
            self.batches.push(Default::default());
        }
        if let Some((numbers, batch)) = self.batches.last_mut() {
            numbers.push(number);
            batch.push(username, rate);
        }
    }

    fn fault(&mut self, line: u64, field: &str, reason: impl ToString) {
        if self.faults.len() >= FAULTS {
            return;
        }
        self.faults.push(Fault { line: Some(line), ..Fault::new(field, reason) });
    }
}

fn parse(file: &[u8]) -> Parsed {
    let mut parsed = Parsed::default();
    if file.starts_with(b"\xff\xfe") || file.starts_with(b"\xfe\xff") {
        parsed.fault(1, "file", "this is UTF-16: save it as CSV in UTF-8");
        return parsed;
    }
    let file = file.strip_prefix(b"\xef\xbb\xbf").unwrap_or(file);
    let mut reader = ReaderBuilder::new().has_headers(false).flexible(true).from_reader(file);
    let mut record = ByteRecord::new();
    let header = match reader.read_byte_record(&mut record) {
        Ok(true) => Header::parse(&record, &mut parsed),
        _ => {
            parsed.fault(1, "file", "the file is empty: its first line names the columns");
            None
        }
    };
    let Some(header) = header else {
        return parsed;
    };
    let mut seen: HashMap<(Username, Day), u64> = HashMap::new();
    let (mut lines, mut last) = (Lines::new(file), 1);
    while parsed.faults.len() < FAULTS && matches!(reader.read_byte_record(&mut record), Ok(true)) {
        let number = lines.of(&record);
        last = number;
        let Some((username, rate)) = header.line(&record, number, &mut parsed) else {
            continue;
        };
        if let Some(first) = seen.insert((username.clone(), rate.effective_from), number) {
            parsed.fault(
                number,
                "effective_from",
                format!("line {first} has the same username and day: keep one"),
            );
            continue;
        }
        parsed.push(number, &username, &rate);
    }
    // RFC 4180 knows quotes in pairs only; the reader takes what comes after the last one as text.
    if file.iter().filter(|byte| **byte == b'"').count() % 2 == 1 {
        parsed.fault(last, "line", "a quote is opened and never closed: the file may be cut off");
    }
    if parsed.batches.is_empty() && parsed.faults.is_empty() {
        parsed.fault(2, "file", "there is no line after the one that names the columns");
    }
    parsed
}

/// Counts the lines of a file, as an editor does: each ends with a line feed, a carriage return, or
/// both. The reader's own count stops before the second of the two, and before empty lines.
struct Lines<'a> {
    file: &'a [u8],
    counted: usize,
    line: u64,
}

impl<'a> Lines<'a> {
    fn new(file: &'a [u8]) -> Self {
        Self { file, counted: 0, line: 1 }
    }

    /// The line that a record begins in; each is asked for after those before it.
    fn of(&mut self, record: &ByteRecord) -> u64 {
        let from = record.position().map_or(0, csv::Position::byte);
        let from = usize::try_from(from).unwrap_or(usize::MAX);
        let rest = self.file.get(from..).unwrap_or_default();
        let empty = rest.iter().take_while(|byte| matches!(byte, b'\r' | b'\n')).count();
        let start = from.saturating_add(empty);
        for at in self.counted..start.min(self.file.len()) {
            let [byte, next] = [at, at + 1].map(|at| self.file.get(at));
            if byte == Some(&b'\n') || byte == Some(&b'\r') && next != Some(&b'\n') {
                self.line += 1;
            }
        }
        self.counted = self.counted.max(start);
        self.line
    }
}

/// Where each column stands.
struct Header {
    required: [usize; 4],
    note: Option<usize>,
    columns: usize,
}

impl Header {
    fn parse(record: &ByteRecord, parsed: &mut Parsed) -> Option<Self> {
        let names: Vec<String> =
            record.iter().map(|name| String::from_utf8_lossy(name).trim().to_owned()).collect();
        let before = parsed.faults.len();
        for (at, name) in names.iter().enumerate() {
            // Whatever stands there may be a file of something else.
            let shown: String = name.chars().filter(|c| !c.is_control()).collect();
            if name != NOTE && !REQUIRED.contains(&name.as_str()) {
                let reason = format!(
                    "there is no such column: there are {} and {NOTE}, separated by commas",
                    REQUIRED.join(", ")
                );
                parsed.fault(1, &shown, reason);
            } else if names.iter().take(at).any(|other| other == name) {
                parsed.fault(1, &shown, "this column stands twice");
            }
        }
        let place = |wanted: &str| names.iter().position(|name| name == wanted);
        let mut required = [0; 4];
        for (slot, name) in required.iter_mut().zip(REQUIRED) {
            match place(name) {
                Some(at) => *slot = at,
                None => parsed.fault(1, name, "this column is missing"),
            }
        }
        let header = Self { required, note: place(NOTE), columns: names.len() };
        (parsed.faults.len() == before).then_some(header)
    }

    /// A line's rate, or none, and then what is wrong with it is among the faults.
    fn line(
        &self,
        record: &ByteRecord,
        number: u64,
        parsed: &mut Parsed,
    ) -> Option<(Username, NewRate)> {
        if record.len() != self.columns {
            let reason = format!("it has {} columns instead of {}", record.len(), self.columns);
            parsed.fault(number, "line", reason);
            return None;
        }
        let mut text = |at: usize, name: &str| {
            let text = std::str::from_utf8(record.get(at).unwrap_or_default());
            if text.is_err() {
                parsed.fault(number, name, "this is not UTF-8: save the file as CSV in UTF-8");
            }
            text.ok()
        };
        let [username, day, amount, currency] = {
            let mut cells = self.required.iter().zip(REQUIRED).map(|(at, name)| text(*at, name));
            let mut next = || cells.next().flatten();
            [next(), next(), next(), next()]
        };
        let note = self.note.map_or(Some(""), |at| text(at, NOTE));
        let (username, day, amount, currency, note) = (username?, day?, amount?, currency?, note?);

        let username =
            Username::parse(username).map_err(|error| parsed.fault(number, "username", error));
        let day = parse_day(day).map_err(|error| parsed.fault(number, "effective_from", error));
        let salary = Money::parse(amount, currency).map_err(|error| {
            parsed.fault(number, error.member(), error);
        });
        let note = match note {
            "" => Ok(String::new()),
            text => Line::parse(text).map(|line| line.to_string()).map_err(|error| {
                parsed.fault(number, NOTE, error);
            }),
        };
        let rate = NewRate { effective_from: day.ok()?, salary: salary.ok()?, note: note.ok()? };
        Some((username.ok()?, rate))
    }
}

#[cfg(fuzzing)]
pub mod fuzzing;

#[cfg(test)]
mod tests {
    use super::*;

    fn faults(file: &[u8]) -> Vec<String> {
        let Parsed { faults, .. } = parse(file);
        let show = |fault: &Fault| {
            format!("{} {}: {}", fault.line.unwrap_or(0), fault.field, fault.reason)
        };
        faults.iter().map(show).collect()
    }

    #[test]
    fn columns_are_found_by_name_and_text_may_be_quoted() {
        let file = "\u{feff}currency,note,username,amount,effective_from\r\n\
                    USD,\"a, \"\"b\"\"\",jdoe,2100.00,2026-12-01\r\n\
                    JPY,,mturner,300000,2026-12-01";
        let Parsed { batches, faults } = parse(file.as_bytes());
        assert_eq!(faults, []);
        let names: Vec<&str> = batches.iter().flat_map(|(_, batch)| batch.usernames()).collect();
        assert_eq!(names, ["jdoe", "mturner"]);
    }

    #[test]
    fn every_bad_line_is_named_with_its_column() {
        let file = b"username,effective_from,amount,currency,note\n\
                     Jdoe,2026-02-30,1.005,USD,\n\
                     jdoe,2026-12-01,100,usd,\n\
                     jdoe,2026-12-01,100,USD,\"two\nlines\"\n\
                     jdoe,2026-12-01,100\n\
                     jdoe,2026-12-01,100,USD,\xff\n\
                     jdoe,2026-12-01,100,USD,\n\
                     jdoe,2026-12-01,200,USD,\n";
        let found = faults(file);
        let places: Vec<&str> =
            found.iter().map(|fault| fault.split(':').next().unwrap_or_default()).collect();
        assert_eq!(
            places,
            [
                "2 username",
                "2 effective_from",
                "2 amount",
                "3 currency",
                "4 note",
                "6 line",
                "7 note",
                "9 effective_from"
            ],
            "{found:#?}"
        );
    }

    #[test]
    fn a_line_has_its_number_whatever_breaks_it_and_however_many_are_empty() {
        const HEAD: &str = "username,effective_from,amount,currency";
        for (text, line) in [
            (format!("{HEAD}\nann,x,1,USD"), 2),
            (format!("{HEAD}\r\nann,x,1,USD\r\n"), 2),
            (format!("{HEAD}\rann,x,1,USD\r"), 2),
            (format!("{HEAD}\n\n\nann,x,1,USD"), 4),
            (format!("{HEAD}\r\n\r\nann,x,1,USD"), 3),
            (format!("{HEAD}\r\nbob,2026-12-01,1,USD\r\nann,x,1,USD\r\n"), 3),
            (format!("\u{feff}{HEAD}\r\nann,x,1,USD\r\n"), 2),
            (format!("{HEAD}\rann,x,1,USD\nbob,2026-12-01,1,USD\n"), 2),
            (format!("{HEAD}\nbob,2026-12-01,1,USD\rann,x,1,USD\r\n"), 3),
        ] {
            let found = faults(text.as_bytes());
            assert_eq!(found.len(), 1, "{found:?}");
            assert!(found[0].starts_with(&format!("{line} effective_from")), "{text:?}: {found:?}");
        }
    }

    #[test]
    fn a_quote_that_is_never_closed_is_named_by_where_its_record_begins() {
        for break_of_line in ["\n", "\r\n", "\r"] {
            let file = "username,effective_from,amount,currency,note\n\
                        ann,2026-12-01,1,USD,\n\
                        bob,2026-12-01,1,USD,\"cut off\nhere\n"
                .replace('\n', break_of_line);
            let found = faults(file.as_bytes());
            assert!(
                found.iter().any(|fault| fault.starts_with("3 line: a quote is opened")),
                "{found:?}"
            );
        }
    }

    #[test]
    fn a_file_that_is_none_is_named_as_what_it_is() {
        for (file, expected) in [
            (&b""[..], "1 file: the file is empty"),
            (b"\xff\xfeu\0s\0", "1 file: this is UTF-16"),
            (b"username,effective_from,amount,currency\n", "2 file: there is no line after"),
            (b"username;effective_from;amount;currency\n", "1 username;effective_from"),
            (b"username,amount,currency\n", "1 effective_from: this column is missing"),
            (b"username,username,effective_from,amount,currency\n", "1 username: this column"),
        ] {
            let found = faults(file);
            assert!(found.first().is_some_and(|fault| fault.starts_with(expected)), "{found:?}");
        }
    }
}
