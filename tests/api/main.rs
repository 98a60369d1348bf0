//! The application over HTTP, through Rocket's local client: no port, no sleep.
//!
//! A test's name is a sentence, and begins with the rules of the security list that it holds.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]

#[path = "../support/mod.rs"]
mod support;

mod enrolment;
mod jwt;

mod access;
mod architecture;
mod archiving;
mod audit;
mod chain;
mod contract;
mod disguise;
mod every_column;
mod every_route;
mod forging;
mod hostile;
mod http;
mod keys;
mod login;
mod long;
mod matrix;
mod memory;
mod model;
mod money;
mod negotiation;
mod next_request;
mod openapi;
mod paging;
mod passwords;
mod pay;
mod people;
mod second_factor;
mod sessions;
mod step_up;
mod tampering;
mod teams;
mod throttle;
mod token;
mod tokens;
mod trail;
mod trusted_keys;
mod who_has_seen;
