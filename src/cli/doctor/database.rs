//! What the database shows.

use super::Finding;
use crate::store::inspect::{Contents, Engine, Inspected, Schema, Server};

/// The oldest PostgreSQL that the tests run on, and its number.
const OLDEST_POSTGRES: (&str, i32) = ("15", 150_000);

/// Whether it can be used, whole and as durably as it must be.
pub(super) fn state(inspected: &Inspected) -> Vec<Finding> {
    match inspected {
        Inspected::Missing => {
            vec![Finding::ok("database", "there is none yet; the first start makes it")]
        }
        Inspected::Closed { found, advice } => {
            vec![Finding::problem("database", found.as_str(), *advice)]
        }
        Inspected::Unusable(error) => {
            let text = error.to_string();
            let (found, advice) =
                text.rsplit_once(": ").unwrap_or((&text, "look at it by its own tools"));
            vec![Finding::problem("database", found, advice)]
        }
        Inspected::Open(contents) => match &contents.engine {
            Engine::Sqlite { .. } => sqlite(&contents.engine),
            Engine::Postgres(server) => postgres(server),
        },
    }
}

fn sqlite(engine: &Engine) -> Vec<Finding> {
    let Engine::Sqlite { version, has_wal, settings, check, size, holder } = engine else {
        return Vec::new();
    };
    let open = match holder {
        Some(process) => format!("process {process} has it open"),
        None => "no other process has it open".to_owned(),
    };
    let integrity = match check.as_deref() {
        Some("ok") => Finding::ok("integrity", "quick_check found nothing"),
        Some(verdict) => Finding::problem(
            "integrity",
            format!("quick_check found: {verdict}"),
            "keep a copy of the file, and restore the last good backup",
        ),
        None => Finding::ok(
            "integrity",
            format!(
                "not checked: the file has {} MiB; sqlite3 FILE 'PRAGMA quick_check' does, in its time",
                size / (1024 * 1024)
            ),
        ),
    };
    let written: Vec<String> =
        settings.iter().map(|(name, value, _)| format!("{name} = {value}")).collect();
    let mut found = format!("{}, journal_mode = ", written.join(", "));
    found.push_str(if *has_wal { "wal" } else { "delete (the next start makes it wal)" });
    let in_force = if settings.iter().all(|(_, _, as_needed)| *as_needed) {
        Finding::ok("durability", found)
    } else {
        Finding::problem("durability", found, "this build of SQLite ignores settings: use another")
    };
    vec![Finding::ok("database", format!("SQLite {version}; {open}")), integrity, in_force]
}

fn postgres(server: &Server) -> Vec<Finding> {
    let Server { version, role, address, connections, .. } = server;
    let at = address.as_deref().map_or("by a socket".to_owned(), |address| format!("at {address}"));
    let mut findings = vec![Finding::ok(
        "database",
        format!("PostgreSQL {version} {at}; Stipend's servers have {connections} connections"),
    )];
    let (oldest, number) = OLDEST_POSTGRES;
    if server.version_number < number {
        let found = format!("PostgreSQL {version} is older than any that Stipend was tested on");
        findings.push(Finding::warning(
            "database",
            found,
            format!("upgrade it to {oldest} or later"),
        ));
    }
    let durability = [
        ("synchronous_commit", &server.synchronous_commit),
        ("fsync", &server.fsync),
        ("full_page_writes", &server.full_page_writes),
    ];
    let written: Vec<String> =
        durability.iter().map(|(name, value)| format!("{name} = {value}")).collect();
    let weak = durability.iter().find(|(_, value)| value.as_str() == "off");
    findings.push(match weak {
        None => Finding::ok("durability", written.join(", ")),
        Some((name, _)) => Finding::problem(
            "durability",
            format!("{}, so a loss of power loses what was acknowledged", written.join(", ")),
            format!("set {name} = on on the server"),
        ),
    });
    let is_near = address.as_deref().is_none_or(|address| {
        address.parse().is_ok_and(|address: std::net::IpAddr| address.is_loopback())
    });
    findings.push(match (is_near, server.tls, server.verified) {
        (true, tls, _) => {
            let with = if tls { "with TLS" } else { "without TLS" };
            Finding::ok("database", format!("the connection stays on this machine, {with}"))
        }
        (false, true, true) => {
            Finding::ok("database", "the connection has TLS, and the server's name is verified")
        }
        (false, true, false) => Finding::warning(
            "database",
            "the connection has TLS, and nobody verifies whose server it is",
            "add ?sslmode=verify-full to database_url (and sslrootcert)",
        ),
        (false, false, _) => Finding::problem(
            "database",
            "pay and password hashes cross the network without TLS",
            "add ?sslmode=verify-full to database_url",
        ),
    });
    findings.push(if server.superuser {
        Finding::warning(
            "database",
            format!("the role {role} is a superuser, whom no rule of the database binds"),
            "give Stipend a role of its own: CREATE ROLE stipend LOGIN; and the database to it",
        )
    } else {
        Finding::ok("database", format!("the role {role} is no superuser"))
    });
    findings
}

/// Whether its schema is this binary's.
pub(super) fn schema(inspected: &Inspected) -> Vec<Finding> {
    let Inspected::Open(contents) = inspected else {
        return Vec::new();
    };
    let Contents { schema, .. } = contents.as_ref();
    vec![
        schema
            .as_ref()
            .map_or_else(|| Finding::ok("schema", "none yet; the first start sets it up"), compare),
    ]
}

fn compare(schema: &Schema) -> Finding {
    let Schema { version, to_come, unknown, changed, unfinished, missing_triggers } = schema;
    if let Some(unknown) = unknown {
        return Finding::problem(
            "schema",
            format!("version {unknown} is of a newer Stipend, which this one does not know"),
            "run that Stipend, or restore a backup from before the upgrade",
        );
    }
    if let Some(changed) = changed {
        return Finding::problem(
            "schema",
            format!("version {changed} was set up by another build"),
            "run the build that made it",
        );
    }
    if let Some(unfinished) = unfinished {
        return Finding::problem(
            "schema",
            format!("version {unfinished} was begun and not finished"),
            "restore the last good backup",
        );
    }
    if !missing_triggers.is_empty() {
        return Finding::problem(
            "schema",
            format!(
                "what keeps the trail from being altered and answers current is missing (the triggers {})",
                missing_triggers.join(", ")
            ),
            "keep a copy, and restore the last good backup; stipend audit verify tells what was altered",
        );
    }
    if *to_come > 0 {
        return Finding::warning(
            "schema",
            format!("it is at version {version}, and this binary has {to_come} more"),
            "make a backup; the next start or stipend migrate brings it up to date",
        );
    }
    Finding::ok("schema", format!("version {version}, which is this binary's"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cli::doctor::State;

    fn server() -> Server {
        Server {
            version: "17.2".into(),
            version_number: 170_002,
            synchronous_commit: "on".into(),
            fsync: "on".into(),
            full_page_writes: "on".into(),
            address: Some("10.0.0.5".into()),
            tls: true,
            verified: true,
            role: "stipend".into(),
            superuser: false,
            connections: 18,
        }
    }

    fn worst(change: fn(&mut Server)) -> State {
        let mut server = server();
        change(&mut server);
        postgres(&server).iter().map(|finding| finding.state).max().unwrap()
    }

    #[test]
    fn r103_a_server_that_is_weaker_than_it_must_be_is_found() {
        assert_eq!(worst(|_| ()), State::Ok);
        assert_eq!(worst(|server| server.superuser = true), State::Warning);
        assert_eq!(worst(|server| server.verified = false), State::Warning);
        assert_eq!(worst(|server| server.version_number = 140_010), State::Warning);
        assert_eq!(worst(|server| server.tls = false), State::Problem);
        assert_eq!(worst(|server| server.fsync = "off".into()), State::Problem);
        assert_eq!(worst(|server| server.synchronous_commit = "off".into()), State::Problem);
        assert_eq!(worst(|server| server.full_page_writes = "off".into()), State::Problem);
        assert_eq!(
            worst(|server| (server.tls, server.address) = (false, Some("::1".into()))),
            State::Ok
        );
        assert_eq!(worst(|server| (server.tls, server.address) = (false, None)), State::Ok);
    }

    #[test]
    fn a_schema_that_is_not_this_binarys_is_found() {
        let state = |schema: Schema| compare(&schema).state;
        assert_eq!(state(Schema { version: 3, ..Schema::default() }), State::Ok);
        assert_eq!(state(Schema { to_come: 1, ..Schema::default() }), State::Warning);
        assert_eq!(state(Schema { unknown: Some(9), ..Schema::default() }), State::Problem);
        assert_eq!(state(Schema { changed: Some(1), ..Schema::default() }), State::Problem);
        assert_eq!(state(Schema { unfinished: Some(1), ..Schema::default() }), State::Problem);
        let missing_triggers = vec!["rates_are_never_changed".to_owned()];
        assert_eq!(state(Schema { missing_triggers, ..Schema::default() }), State::Problem);
    }
}
