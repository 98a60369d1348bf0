//! The real binary: sockets, signals, start-up, the command line.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]

#[path = "../support/mod.rs"]
mod support;

mod cli;
mod database;
mod durability;
mod gate;
mod http;
mod log;
mod proxy;

mod shutdown;
mod startup;
