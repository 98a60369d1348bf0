//! The reader of files of pay, for the targets in `fuzz/`.

use super::parse;
use crate::service::Fault;

/// What a file holds.
#[derive(Debug)]
pub struct Import {
    /// The user name of each rate and the number of its line.
    pub lines: Vec<(String, u64)>,
    /// The rates, as they go to the database.
    pub rates: String,
    /// What is wrong; empty if all can be recorded.
    pub faults: Vec<Fault>,
}

/// Reads a file.
pub fn import(file: &[u8]) -> Import {
    let parsed = parse(file);
    let of = |(numbers, batch): &(Vec<u64>, super::Batch)| {
        assert_eq!(numbers.len(), batch.len(), "every rate has its line");
        let names: Vec<String> = batch.usernames().map(str::to_owned).collect();
        assert_eq!(names.len(), batch.len(), "every rate has its name");
        names.into_iter().zip(numbers.clone()).collect::<Vec<_>>()
    };
    Import {
        lines: parsed.batches.iter().flat_map(of).collect(),
        rates: parsed.batches.iter().map(|(_, batch)| format!("{batch:?}")).collect(),
        faults: parsed.faults,
    }
}
