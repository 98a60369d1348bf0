//! Stipend guards pay data: who may see which salary, and who has.
//!
//! This page is the map. A request goes down through a few rooms and never up:
//!
//! ```text
//! routes, cli  ->  service  ->  auth  ->  store  ->  policy  ->  domain
//! ```
//!
//! - [`routes`]: HTTP. [`error`] is its one error type, [`fairings`] what surrounds every request.
//! - [`cli`]: the command line, the other door to the same functions.
//! - [`service`]: what is done on somebody's behalf, each act one transaction with its record.
//! - [`auth`]: who is asking: passwords, tokens, sessions.
//! - [`store`]: the database; the only room that speaks SQL.
//! - [`policy`]: who may do what. Pure; the only maker of [`policy::Allowed`].
//! - [`domain`]: names, grants, money: values that are valid once they exist.
//!
//! Beside them, and knowing none of them: [`config`], [`clock`], [`entropy`], [`files`],
//! [`json`], [`memory`].
//!
//! Two rules hold it together. A function that touches pay takes an `Allowed`, so that nothing
//! unchecked can call it. And all pay leaves through [`store::disclosure`], which gives rows only
//! when the record of who saw them is durable.

pub mod auth;
pub mod cli;
pub mod clock;
pub mod config;
pub mod domain;
pub mod entropy;
pub mod error;
pub mod fairings;
pub mod files;
pub mod json;
pub mod memory;
pub mod policy;
pub mod routes;
pub mod service;
pub mod store;

/// What the targets in `fuzz/` reach; `cargo fuzz` alone sets `cfg(fuzzing)`, so that nothing of it
/// is in any other build.
#[cfg(fuzzing)]
#[doc(hidden)]
pub mod fuzzing {
    pub use crate::auth::fuzzing::TokenReader;
    pub use crate::routes::fuzzing::{bearer_token, form_login, json_login};
    pub use crate::service::import::fuzzing::{Import, import};
}

use rocket::shield::Shield;
use rocket::{Build, Rocket};

use auth::{Auth, Ports, StartError};
use config::Config;

/// The application, ready to launch: the database is open and its schema up to date. Whoever
/// launches it closes the database of its [`Auth`] when it has stopped, after the last request.
pub async fn rocket(config: Config, ports: Ports) -> Result<Rocket<Build>, StartError> {
    let auth = Auth::open(&config, ports.clone()).await?;
    let surroundings =
        fairings::Surroundings { ports, trusted_proxies: config.access.trusted_proxies };
    Ok(rocket::custom(config.rocket)
        .manage(auth)
        .manage(surroundings)
        .attach(fairings::Screening)
        // Rocket's own header fields: Screening sends more of them, to stricter effect.
        .attach(Shield::new())
        .mount("/", routes::all())
        .register("/", [routes::catcher()]))
}
