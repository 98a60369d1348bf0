//! `stipend serve`.

use rocket::error::ErrorKind;
use rocket::fairing::AdHoc;
use tokio::signal::unix::{SignalKind, signal};

use super::{Failure, data, message};
use crate::auth::{Auth, Ports};
use crate::config::{Access, Config};

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
    let rocket =
        crate::rocket(config, ports).await?.attach(AdHoc::on_liftoff("say where", |rocket| {
            let port = rocket.config().port;
            Box::pin(async move { welcome(&place, port) })
        }));
    let rocket =
        rocket.ignite().await.map_err(|error| Failure::Other(explain(&access, error.kind())))?;
    stop_at_sigterm(rocket.shutdown())?;
    match rocket.launch().await {
        Ok(stopped) => {
            if let Some(auth) = stopped.state::<Auth>() {
                auth.db.close().await;
            }
        }
        // Reading the error's kind also keeps Rocket from panicking when the error is dropped.
        Err(error) => match error.kind() {
            // Such as a request that never came whole. Its time was up: the stop is a good one.
            ErrorKind::Shutdown(..) => {
                tracing::warn!("connections were cut off that did not end in time");
            }
            kind => return Err(Failure::Other(explain(&access, kind))),
        },
    }
    Ok(())
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
    if let Err(error) = data(&text) {
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
