//! The application over HTTP, through Rocket's local client: no port, no sleep.
//!
//! A test's name is a sentence, and begins with the rules of the security list that it holds.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]

#[path = "../support/mod.rs"]
mod support;

mod jwt;

mod access;
mod architecture;
mod contract;
mod every_route;
mod http;
mod login;
mod negotiation;
mod openapi;
mod token;
mod trail;
