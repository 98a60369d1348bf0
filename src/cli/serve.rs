//! `stipend serve`.

use rocket::fairing::AdHoc;

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
    // Reading the error's kind also keeps Rocket from panicking when the error is dropped.
    let stopped =
        rocket.launch().await.map_err(|error| Failure::Other(explain(&access, error.kind())))?;
    if let Some(auth) = stopped.state::<Auth>() {
        auth.db.close().await;
    }
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

fn explain(access: &Access, error: &rocket::error::ErrorKind) -> String {
    use rocket::error::ErrorKind;
    match error {
        ErrorKind::Bind(error) => format!(
            "cannot listen on {}:{} ({error}): stop what listens there, or set another port \
             (ROCKET_PORT)",
            access.address, access.port
        ),
        ErrorKind::Shutdown(..) => {
            "some requests did not finish in time and were cut off; raise shutdown.grace".into()
        }
        other => format!("the server failed ({other})"),
    }
}
