//! What others can reach.

use std::net::IpAddr;
use std::os::unix::fs::PermissionsExt;

use ipnet::IpNet;

use super::{Finding, Look, State};
use crate::store::inspect::Inspected;

/// The settings that may hold a secret.
const SECRETS: [&str; 2] = ["jwt_secret", "database_url"];

/// Whether the settings can be used, which they can, or nothing else would be looked at; and
/// whether a file of them shows a secret to others.
pub(super) fn settings(look: &Look<'_>) -> Vec<Finding> {
    let figment = &look.config.rocket;
    let profile = figment.profile();
    let mut findings =
        vec![Finding::ok("settings", format!("they can be used; the profile is {profile}"))];
    for name in SECRETS {
        let text: String = figment.extract_inner(name).unwrap_or_default();
        // A database_url has a secret only where it has a password.
        if text.is_empty() || name == "database_url" && !text.contains('@') {
            continue;
        }
        let metadata = figment.find_metadata(name);
        let source = metadata.and_then(|metadata| metadata.source.as_ref());
        let Some(file) = source.and_then(|source| source.file_path()) else {
            continue;
        };
        let shown = file.display();
        match std::fs::metadata(file).map(|facts| facts.permissions().mode() & 0o777) {
            Ok(mode) if mode & 0o077 == 0 => {}
            Ok(mode) => findings.push(Finding::problem(
                "settings",
                format!("{name} stands in {shown}, which others can read (mode {mode:03o})"),
                format!("chmod 600 {shown}, or set ROCKET_{}", name.to_uppercase()),
            )),
            Err(error) => findings.push(Finding::warning(
                "settings",
                format!("{name} stands in {shown}, whose mode cannot be read ({error})"),
                "see that no other user can read it",
            )),
        }
    }
    findings
}

/// Whether people can sign in by a published password.
pub(super) fn demo(look: &Look<'_>, inspected: &Inspected) -> Vec<Finding> {
    let access = &look.config.access;
    if access.demo {
        return vec![Finding::warning(
            "demo",
            format!(
                "it is on: whoever reaches {}:{}, also through a proxy, signs in with a published \
                 password",
                access.address, access.port
            ),
            "set demo = false before there is real pay",
        )];
    }
    let demo_users = match inspected {
        Inspected::Open(contents) => contents.demo_users,
        _ => 0,
    };
    vec![match demo_users {
        0 => Finding::ok("demo", "it is off"),
        _ => Finding::warning(
            "demo",
            format!(
                "it is off, and {demo_users} demo user is in the database, dead until it is on"
            ),
            "stipend user disable twilio/twilio, so that no setting brings it back",
        ),
    }]
}

/// Who can reach the server's port.
pub(super) fn address(look: &Look<'_>) -> Vec<Finding> {
    let access = &look.config.access;
    vec![listens(access.address, access.port, !access.trusted_proxies.is_empty())]
}

fn listens(address: IpAddr, port: u16, has_proxies: bool) -> Finding {
    let place = std::net::SocketAddr::new(address, port);
    if address.is_loopback() {
        return Finding::ok("address", format!("{place}, which this machine alone reaches"));
    }
    let found = format!("{place} is reached from other machines, by plain HTTP");
    if has_proxies {
        let advice = "see that the trusted_proxies alone can reach it (a firewall)";
        return Finding { state: State::Ok, ..Finding::warning("address", found, advice) };
    }
    let advice = "put a front proxy with TLS before it and name it in trusted_proxies (deploy/), or \
                  set address = 127.0.0.1";
    Finding::warning("address", found, advice)
}

/// Whose word on the client's address is believed.
pub(super) fn proxies(look: &Look<'_>) -> Vec<Finding> {
    let networks = &look.config.access.trusted_proxies;
    if networks.is_empty() {
        let found = "no proxy is trusted, so the peer is the client";
        return vec![Finding::ok("proxies", found)];
    }
    networks.iter().map(trusted).collect()
}

fn trusted(network: &IpNet) -> Finding {
    // A private network (RFC 1918) has 8 bits at least; a site of IPv6 has 48 or more.
    let narrow = match network {
        IpNet::V4(_) => 8,
        IpNet::V6(_) => 32,
    };
    let advice = "name the addresses of the proxies alone";
    match network.prefix_len() {
        0 => Finding::problem(
            "proxies",
            format!("{network} is everybody: anyone writes the address that the records show"),
            advice,
        ),
        bits if bits < narrow => {
            Finding::warning("proxies", format!("{network} is a very wide network"), advice)
        }
        _ => Finding::ok("proxies", format!("X-Forwarded-For is believed of {network}")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn r45_a_proxy_that_could_be_anybody_is_found() {
        for (network, state) in [
            ("0.0.0.0/0", State::Problem),
            ("::/0", State::Problem),
            ("8.0.0.0/7", State::Warning),
            ("2000::/3", State::Warning),
            ("10.0.0.0/8", State::Ok),
            ("192.0.2.7/32", State::Ok),
            ("2001:db8::/32", State::Ok),
        ] {
            assert_eq!(trusted(&network.parse().unwrap()).state, state, "{network}");
        }
    }

    #[test]
    fn r91_plain_http_beyond_loopback_is_found() {
        let listens =
            |address: &str, has_proxies| listens(address.parse().unwrap(), 8000, has_proxies).state;
        assert_eq!(listens("127.0.0.1", false), State::Ok);
        assert_eq!(listens("::1", false), State::Ok);
        assert_eq!(listens("0.0.0.0", false), State::Warning);
        assert_eq!(listens("192.0.2.7", true), State::Ok);
    }
}
