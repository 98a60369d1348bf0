//! `stipend serve`.

use std::sync::Arc;
use std::time::Duration;

use rocket::error::{Error, ErrorKind};
use rocket::fairing::AdHoc;
use rocket::{Orbit, Rocket};
use tokio::signal::unix::{SignalKind, signal};

use super::Failure;
use super::output::{line, message};
use crate::auth::{Auth, Ports, StartError};
use crate::config::{Access, Config, ConfigError, KeySource};

pub(super) async fn run(config: Config, ports: Ports) -> Result<(), Failure> {
    let access = config.access.clone();
    if !access.address.is_loopback() {
        message(&format!(
            "warning: {} is no loopback address and Stipend speaks plain HTTP: put a front proxy \
             with TLS before it (deploy/)",
            access.address
        ));
    }
    let place = access.clone();
    let key_is_a_setting = matches!(config.key, KeySource::Value(_));
    let rocket = crate::rocket(config, ports).await.map_err(|error| match error {
        StartError::Key(error) if key_is_a_setting => ConfigError::new(error.to_string()).into(),
        other => Failure::from(other),
    })?;
    let rocket = rocket.attach(AdHoc::on_liftoff("say where", |rocket| {
        let port = rocket.config().port;
        Box::pin(async move { welcome(&place, port) })
    }));
    let rocket =
        rocket.ignite().await.map_err(|error| Failure::Other(explain(&access, error.kind())))?;
    stop_at_sigterm(rocket.shutdown())?;
    let shutdown = &rocket.config().shutdown;
    let patience = Duration::from_secs((shutdown.grace + shutdown.mercy).into());
    let auth = rocket.state::<Auth>();
    let parts = auth.map(|auth| (auth.db.clone(), auth.housekeeping.clone()));
    // Reading the error's kind also keeps Rocket from panicking when the error is dropped.
    match rocket.launch().await.as_ref().map_err(Error::kind) {
        Ok(_) => {}
        Err(ErrorKind::Shutdown(requests, _)) => finish(requests, patience).await,
        Err(kind) => return Err(Failure::Other(explain(&access, kind))),
    }
    if let Some((db, housekeeping)) = parts {
        housekeeping.stop().await;
        db.close().await;
    }
    Ok(())
}

/// Rocket gives up at once where it has stopped listening before it notices why, and also when the
/// last requests have not ended in time. Each request under way shares it: so this waits for them,
/// as long as Rocket would have, and then lets go, such as of a request that never came whole.
async fn finish(requests: &Arc<Rocket<Orbit>>, patience: Duration) {
    let all_ended = async {
        while Arc::strong_count(requests) > 1 {
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    };
    if tokio::time::timeout(patience, all_ended).await.is_err() {
        tracing::warn!("connections were cut off that did not end in time");
    }
}

/// From now on, and not only from when Rocket listens for signals, a SIGTERM is a graceful stop.
fn stop_at_sigterm(shutdown: rocket::Shutdown) -> Result<(), Failure> {
    let mut terminations = signal(SignalKind::terminate())
        .map_err(|error| Failure::Other(format!("signals cannot be received ({error})")))?;
    tokio::spawn(async move {
        terminations.recv().await;
        shutdown.notify();
    });
    Ok(())
}

fn welcome(access: &Access, port: u16) {
    let url = match access.address {
        std::net::IpAddr::V6(address) => format!("http://[{address}]:{port}/"),
        std::net::IpAddr::V4(address) => format!("http://{address}:{port}/"),
    };
    let mut text = format!("Stipend is at {url}");
    if access.demo {
        text.push_str("\nDemo data: sign in as twilio with the password ahoy");
    }
    if let Err(error) = line(&text) {
        tracing::warn!(%error, "nobody reads where the server is");
    }
}

fn explain(access: &Access, error: &ErrorKind) -> String {
    match error {
        ErrorKind::Bind(error) => format!(
            "cannot listen on {}:{} ({error}): stop what listens there, or set another port \
             (ROCKET_PORT)",
            access.address, access.port
        ),
        other => format!("the server failed ({other})"),
    }
}
