//! What the test binaries share. Each uses a part of it.
#![allow(dead_code, unreachable_pub, reason = "no test binary uses all of it")]
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]

pub mod app;
pub mod authenticator;
pub mod chain;
pub mod cluster;
pub mod database;
pub mod openapi;
pub mod server;
