//! The real binary: sockets, signals, start-up, the command line.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]

#[path = "../support/mod.rs"]
mod support;

mod cli;
mod database;
mod disk;
mod doctor;
mod durability;
mod faults;
mod framing;
mod gate;
mod http;
mod keys;
mod load;
mod log;
mod nodes;
mod outage;
mod proxy;
mod recorder;
mod settings;
mod shutdown;
mod startup;
mod throttle;
mod wire;

use std::io::Write;

/// Says on the terminal what was not tested; not by `println!`, which a passing test keeps to
/// itself.
fn left_out(what: &str) {
    let mut stderr = std::io::stderr();
    writeln!(stderr, "left out: {what}").unwrap();
}

/// The same of what this machine lacks, and so a failure where nothing may be left out.
fn lacking(what: &str) {
    let required = std::env::var_os("STIPEND_TEST_REQUIRE").is_some();
    assert!(!required, "{what}, and STIPEND_TEST_REQUIRE is set");
    left_out(what);
}
