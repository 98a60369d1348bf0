//! The page, as the real binary serves it, in a real Chromium.
//!
//! With `STIPEND_SCREENSHOTS=FOLDER` in the environment, the main states are saved there as PNG.
#![allow(unreachable_pub, reason = "nothing is outside of a test binary")]
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]

// Only this binary needs a browser, so `support` does not bring it to the others.
#[path = "../support/browser.rs"]
mod browser;
#[path = "../support/mod.rs"]
mod support;

mod access;
mod account;
mod factor;
mod failure;
mod page;
mod readers;
mod safety;
mod session;
mod sessions;
mod table;
