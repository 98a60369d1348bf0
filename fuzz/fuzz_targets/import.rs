//! The reader of files of pay.

#![no_main]

use libfuzzer_sys::fuzz_target;
use stipend::fuzzing::import;

fuzz_target!(|file: &[u8]| {
    let read = import(file);
    let lines = 1 + file.iter().filter(|byte| **byte == b'\n' || **byte == b'\r').count() as u64;
    for (name, line) in &read.lines {
        assert!((2..=lines).contains(line), "{name} is in line {line} of {lines}");
    }
    for fault in &read.faults {
        assert!(!fault.reason.is_empty() && !fault.field.contains(char::is_control), "{fault:?}");
        assert!((1..=lines).contains(&fault.line.unwrap_or(0)), "{fault:?} of {lines}");
    }
    assert!(!read.lines.is_empty() || !read.faults.is_empty(), "it is about something");
    if !read.faults.is_empty() {
        return;
    }
    // What can be recorded is what another reader sees, and the same once it has been written again.
    let text = std::str::from_utf8(file).expect("what can be recorded is UTF-8");
    let text = text.strip_prefix('\u{feff}').unwrap_or(text);
    let mut reader = csv::Reader::from_reader(text.as_bytes());
    let head = reader.headers().expect("a head").clone();
    let column = head.iter().position(|name| name.trim() == "username").expect("a column");
    let mut writer = csv::Writer::from_writer(Vec::new());
    writer.write_record(&head).expect("a line");
    let mut names = Vec::new();
    for record in reader.records() {
        let record = record.expect("a line of as many columns");
        names.push(record[column].to_owned());
        writer.write_record(&record).expect("a line");
    }
    assert!(read.lines.iter().map(|(name, _)| name).eq(&names), "{names:?}");
    let again = import(&writer.into_inner().expect("it was written"));
    assert_eq!(again.faults, []);
    assert_eq!(again.rates, read.rates);
});
