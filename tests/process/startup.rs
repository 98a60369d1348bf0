//! What stops a start, and what the sentence says.

use std::io::{BufRead, BufReader};
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::process::{Command, Stdio};

use crate::doctor::migrate;
use crate::left_out;
use crate::support::database::{TestDatabase, is_postgres};
use crate::support::server::{Server, command};

/// Starts a server that must not start; its exit code and what it said.
pub(crate) fn refused(command: &mut Command) -> (i32, String) {
    let mut child = command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    // It ends by itself, unless it starts.
    let mut said = String::new();
    BufReader::new(child.stdout.take().unwrap()).read_line(&mut said).unwrap();
    if said.starts_with("Stipend is at") {
        child.kill().unwrap();
    }
    let output = child.wait_with_output().unwrap();
    said.push_str(&String::from_utf8_lossy(&output.stderr));
    assert!(!output.status.success() && !said.starts_with("Stipend is at"), "it started: {said}");
    assert!(said.starts_with("error: ") && said.trim().lines().count() == 1, "{said}");
    (output.status.code().unwrap(), said)
}

fn mode(path: &Path) -> u32 {
    std::fs::metadata(path).unwrap().permissions().mode() & 0o777
}

#[tokio::test]
async fn r90_the_first_start_makes_a_key_and_the_second_keeps_it() {
    let server = Server::start(&[]).await;
    let path = server.database.folder.path().join("stipend.key");
    let key = std::fs::read_to_string(&path).unwrap();
    assert_eq!((mode(&path), key.trim().len()), (0o600, 43));
    let token = server.log_in();
    let server = server.kill_and_restart(&[]);
    assert_eq!(std::fs::read_to_string(&path).unwrap(), key);
    assert_eq!(server.read_pay(&token).status, 200, "a session survives a restart");
}

#[tokio::test]
async fn r18_r90_a_weak_or_open_key_stops_the_start_without_being_shown() {
    let folder = tempfile::tempdir().unwrap();
    for weak in ["hunter2", "a-string-secret-at-least-256-bits-long", &"x7".repeat(40)] {
        let (_, said) = refused(&mut command(folder.path(), &[("ROCKET_JWT_SECRET", weak)]));
        assert!(said.contains("jwt_secret") && !said.contains(weak), "{said}");
    }
    let file = folder.path().join("key");
    let settings = [("ROCKET_JWT_SECRET_FILE", "key")];
    let (_, said) = refused(&mut command(folder.path(), &settings));
    assert!(said.contains("the key file key"), "{said}");
    std::fs::write(&file, "mJ0uX3yQ7fKp2sVd9wZr4tBn6hLc8gEa1iOo5kTxYvU\n").unwrap();
    for open in [0o644, 0o640, 0o604] {
        std::fs::set_permissions(&file, PermissionsExt::from_mode(open)).unwrap();
        let (_, said) = refused(&mut command(folder.path(), &settings));
        assert!(said.contains("chmod 600") && !said.contains("mJ0uX3"), "{said}");
    }
    assert!(!folder.path().join("stipend.db").exists(), "nothing was half done");
}

#[tokio::test]
async fn r92_an_unknown_or_malformed_setting_names_itself() {
    let folder = tempfile::tempdir().unwrap();
    for (name, value, words) in [
        ("ROCKET_TOKEN_TLL", "1h", &["`token_tll`", "`token_ttl`"][..]),
        ("ROCKET_ISUER", "x", &["`isuer`", "`issuer`"]),
        ("ROCKET_IP_HEADER", "x", &["`ip_header`", "`trusted_proxies`"]),
        ("ROCKET_TOKEN_TTL", "soon", &["`token_ttl`", "12h"]),
        ("ROCKET_TOKEN_TTL", "1s", &["`token_ttl`"]),
        ("ROCKET_PORT", "http", &["`port`"]),
        ("ROCKET_DEMO", "perhaps", &["`demo`"]),
        ("ROCKET_ISSUER", "\" \"", &["`issuer`"]),
        ("ROCKET_TRUSTED_PROXIES", "[\"10.0.0\"]", &["trusted_proxies"]),
        ("ROCKET_ARGON2_MEMORY_KIB", "1024", &["`argon2_memory_kib`", "19456"]),
        ("ROCKET_ARGON2_ITERATIONS", "1", &["`argon2_memory_kib`", "47104"]),
        ("ROCKET_DATABASE_URL", "mysql://x", &["`database_url`"]),
        ("ROCKET_DEFAULT_ORG", "A b", &["`default_org`"]),
    ] {
        let (code, said) = refused(&mut command(folder.path(), &[(name, value)]));
        assert_eq!(code, 2, "{said}");
        assert!(words.iter().all(|word| said.contains(word)), "{name}: {said}");
    }
    // A section that is not in use now is looked at too.
    std::fs::write(folder.path().join("Rocket.toml"), "[release]\nisuer = \"x\"\n").unwrap();
    let (_, said) = refused(&mut command(folder.path(), &[("ROCKET_PROFILE", "debug")]));
    assert!(said.contains("`isuer`") && said.contains("release"), "{said}");
    std::fs::write(folder.path().join("Rocket.toml"), "[default]\njwt_secret = \"hunter2\n")
        .unwrap();
    let (_, said) = refused(&mut command(folder.path(), &[]));
    assert!(said.contains("line 2") && !said.contains("hunter2"), "{said}");
}

#[tokio::test]
async fn r47_r91_demo_is_for_loopback_and_never_the_default_of_a_release() {
    let folder = tempfile::tempdir().unwrap();
    let settings = [("ROCKET_ADDRESS", "0.0.0.0"), ("ROCKET_DEMO", "true")];
    let (_, said) = refused(&mut command(folder.path(), &settings));
    assert!(said.contains("demo = true") && said.contains("0.0.0.0"), "{said}");

    let server = Server::start(&[("ROCKET_PROFILE", "release")]).await;
    assert!(server.address.ip().is_loopback());
    let body = r#"{"username":"twilio","password":"ahoy"}"#;
    let answer = server.request("POST", "/jwt", &["Content-Type: application/json"], body);
    assert_eq!((answer.status, answer.body.as_str()), (401, "Username or password is incorrect"));
}

#[tokio::test]
async fn a_port_that_is_taken_is_a_sentence() {
    let server = Server::start(&[]).await;
    let folder = tempfile::tempdir().unwrap();
    let port = server.address.port().to_string();
    let (_, said) = refused(&mut command(folder.path(), &[("ROCKET_PORT", &port)]));
    assert!(said.contains("cannot listen") && said.contains("ROCKET_PORT"), "{said}");
}

#[tokio::test]
async fn r101_a_database_that_cannot_be_used_is_a_sentence_that_says_what_to_do() {
    let folder = tempfile::tempdir().unwrap();
    let start = |url: &str| refused(&mut command(folder.path(), &[("ROCKET_DATABASE_URL", url)])).1;

    assert!(start("sqlite:missing/x.db").contains("cannot be opened for writing"));
    std::fs::write(
        folder.path().join("text.db"),
        "no database, but long enough to be read as one. ".repeat(99),
    )
    .unwrap();
    assert!(start("sqlite:text.db").contains("is not an SQLite database"));
    let said = start("postgres://stipend:s3cret@127.0.0.1:1/x");
    assert!(said.contains("cannot be reached") && !said.contains("s3cret"), "{said}");
}

#[tokio::test]
async fn r101_a_newer_schema_is_refused() {
    let database = TestDatabase::new().await;
    let url = database.url.clone();
    let settings = [("ROCKET_DATABASE_URL", url.as_str())];
    migrate(&database);
    let success = if is_postgres() { "TRUE" } else { "1" };
    let checksum = if is_postgres() { "'\\x00'" } else { "x'00'" };
    database
        .execute(&format!(
            "INSERT INTO _sqlx_migrations (version, description, success, checksum, execution_time) \
             VALUES (9999, 'newer', {success}, {checksum}, 0)"
        ))
        .await;
    let (_, said) = refused(&mut command(database.folder.path(), &settings));
    assert!(said.contains("newer Stipend") && said.contains("9999"), "{said}");
}

/// What a copy table by table leaves out, and `pg_restore --disable-triggers` where it dies.
#[tokio::test]
async fn r82_r101_a_database_that_lacks_a_trigger_is_refused_and_the_trigger_named() {
    let database = TestDatabase::new().await;
    let url = database.url.clone();
    let settings = [("ROCKET_DATABASE_URL", url.as_str())];
    migrate(&database);
    let (name, disarm, arm) = if is_postgres() {
        let alter = |how| format!("ALTER TABLE grants {how} TRIGGER grants_raise_the_version");
        ("grants_raise_the_version", alter("DISABLE"), alter("ENABLE"))
    } else {
        let name = "grants_given_raise_the_version";
        let text = format!("SELECT sql FROM sqlite_master WHERE name = '{name}'");
        (name, format!("DROP TRIGGER {name}"), database.texts(&text).await.remove(0))
    };
    database.execute(&disarm).await;
    let (_, said) = refused(&mut command(database.folder.path(), &settings));
    assert!(said.contains(&format!("(the triggers {name})")) && said.contains("backup"), "{said}");
    database.execute(&arm).await;
    let server = Server::start_on(database, &[]);
    assert_eq!(server.read_pay(&server.log_in()).status, 200);
}

#[tokio::test]
async fn r101_a_database_that_another_process_has_locked_is_a_sentence() {
    if is_postgres() {
        return left_out("a locked file: PostgreSQL locks no whole file");
    }
    let database = TestDatabase::new().await;
    let url = database.url.clone();
    let settings = [("ROCKET_DATABASE_URL", url.as_str())];
    migrate(&database);
    use sqlx::{Connection, Executor};
    let mut lock = sqlx::SqliteConnection::connect(&url).await.unwrap();
    lock.execute("PRAGMA locking_mode = EXCLUSIVE; BEGIN IMMEDIATE").await.unwrap();
    let (_, said) = refused(&mut command(database.folder.path(), &settings));
    assert!(said.contains("is locked by another process"), "{said}");
    lock.close().await.unwrap();
    let server = Server::start_on(database, &[]);
    assert_eq!(server.read_pay(&server.log_in()).status, 200);
}
