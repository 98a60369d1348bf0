//! Settings that stop the start, and sentences that keep secrets to themselves.

use std::os::unix::fs::PermissionsExt;

use crate::startup::refused;
use crate::support::database::TestDatabase;
use crate::support::server::{Server, command};

/// A good key, which no sentence may show.
const KEY: &str = "mJ0uX3yQ7fKp2sVd9wZr4tBn6hLc8gEa1iOo5kTxYvU";

#[test]
fn r90_a_key_file_that_holds_no_key_is_named() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("key");
    let settings = [("ROCKET_JWT_SECRET_FILE", "key")];
    for (bytes, words) in [
        (b"".as_slice(), "the key in key is 0 bytes"),
        (b"hunter2-hunter2\n", "the key in key is 15 bytes"),
        (&[b'x'; 64], "the key in key repeats"),
        (&[0; 64], "the key in key repeats"),
        (&[0xff; 64], "the key file key cannot be read"),
        (b"your-256-bit-secret-your-256-bit-secret\n", "published sample"),
    ] {
        std::fs::write(&file, bytes).unwrap();
        std::fs::set_permissions(&file, PermissionsExt::from_mode(0o600)).unwrap();
        let (_, said) = refused(&mut command(folder.path(), &settings));
        assert!(said.contains(words), "{words}: {said}");
        assert!(!said.contains("hunter2") && !said.contains("your-256-bit"), "{said}");
    }
    std::fs::remove_file(&file).unwrap();
    std::fs::create_dir(&file).unwrap();
    std::fs::set_permissions(&file, PermissionsExt::from_mode(0o700)).unwrap();
    let (_, said) = refused(&mut command(folder.path(), &settings));
    assert!(said.contains("the key file key cannot be read"), "{said}");
    let both = [("ROCKET_JWT_SECRET_FILE", "key"), ("ROCKET_JWT_SECRET", KEY)];
    let (code, said) = refused(&mut command(folder.path(), &both));
    assert!(code == 2 && said.contains("`jwt_secret_file`") && !said.contains(KEY), "{said}");
    assert!(!folder.path().join("stipend.db").exists(), "nothing was half done");
}

#[tokio::test]
async fn r90_the_generated_key_is_looked_at_again_at_every_start() {
    let database = TestDatabase::new().await;
    let settings = [("ROCKET_DATABASE_URL", database.url.as_str())];
    let file = database.folder.path().join("stipend.key");
    for (text, mode, words) in
        [(KEY, 0o644, "chmod 600 stipend.key"), ("", 0o600, "stipend.key is 0 bytes")]
    {
        std::fs::write(&file, text).unwrap();
        std::fs::set_permissions(&file, PermissionsExt::from_mode(mode)).unwrap();
        let (_, said) = refused(&mut command(database.folder.path(), &settings));
        assert!(said.contains(words) && !said.contains(KEY), "{said}");
        assert_eq!(std::fs::read_to_string(&file).unwrap(), text, "it is not replaced");
    }
}

#[tokio::test]
async fn r90_no_secret_is_in_the_output_the_help_or_the_process_list() {
    let settings = [("ROCKET_JWT_SECRET", KEY)];
    let folder = tempfile::tempdir().unwrap();
    for arguments in [["--help"].as_slice(), &["help", "user"], &["nonsense"], &["user", "add"]] {
        let output = command(folder.path(), &settings).args(arguments).output().unwrap();
        let said = [output.stdout, output.stderr].concat();
        assert!(!said.is_empty() && !String::from_utf8_lossy(&said).contains(KEY));
    }
    let mut server = Server::start(&settings).await;
    assert_eq!(server.read_pay(&server.log_in()).status, 200);
    let seen = std::fs::read_to_string(format!("/proc/{}/cmdline", server.pid())).unwrap();
    assert!(seen.contains("stipend") && !seen.contains(KEY), "{seen}");
    assert!(!server.database.folder.path().join("stipend.key").exists(), "another key is made");
    server.signal("TERM");
    assert!(!server.output().contains(KEY) && !server.log().contains(KEY));
}

#[test]
fn r92_a_file_of_settings_that_is_not_there_stops_the_start() {
    let folder = tempfile::tempdir().unwrap();
    for name in ["Rokcet.toml", "/nonexistent/Rocket.toml"] {
        let (_, said) = refused(&mut command(folder.path(), &[("ROCKET_CONFIG", name)]));
        assert!(said.contains(name), "{said}");
    }
}

#[test]
fn r92_an_unknown_setting_within_another_names_itself() {
    let folder = tempfile::tempdir().unwrap();
    let text = "[default.shutdown]\ngrase = 60\n";
    std::fs::write(folder.path().join("Rocket.toml"), text).unwrap();
    let (_, said) = refused(&mut command(folder.path(), &[]));
    assert!(said.contains("grase"), "{said}");
    std::fs::write(folder.path().join("Rocket.toml"), text.replace("grase", "grace")).unwrap();
    let bad = [("ROCKET_SHUTDOWN", "{grace=\"long\"}")];
    let (_, said) = refused(&mut command(folder.path(), &bad));
    assert!(said.contains("`shutdown.grace`"), "{said}");
}

#[test]
fn r92_a_number_out_of_its_range_names_itself() {
    let folder = tempfile::tempdir().unwrap();
    for (name, value, words) in [
        ("ROCKET_WORKERS", "0", "`workers`"),
        ("ROCKET_WORKERS", "-1", "`workers`"),
        ("ROCKET_PORT", "70000", "`port`"),
        ("ROCKET_PORT", "-1", "`port`"),
        ("ROCKET_ADDRESS", "localhost", "`address`"),
        ("ROCKET_KEEP_ALIVE", "soon", "`keep_alive`"),
        ("ROCKET_TOKEN_TTL", "3600", "`token_ttl`"),
        ("ROCKET_TOKEN_TTL", "367d", "`token_ttl`"),
        ("ROCKET_MAX_SIGN_IN_AGE", "59s", "`max_sign_in_age`"),
        ("ROCKET_ARGON2_ITERATIONS", "0", "`argon2_iterations`"),
        ("ROCKET_ARGON2_MEMORY_KIB", "99999999", "`argon2_memory_kib`"),
        ("ROCKET_JWT_SECRET", "[hunter2]", "`jwt_secret`"),
    ] {
        let (code, said) = refused(&mut command(folder.path(), &[(name, value)]));
        assert_eq!(code, 2, "{name}={value}: {said}");
        assert!(said.contains(words) && !said.contains("hunter2"), "{name}={value}: {said}");
    }
}

/// `Rocket.toml` says: addresses and networks.
#[tokio::test]
async fn r45_a_trusted_proxy_may_be_an_address() {
    let server = Server::start(&[("ROCKET_TRUSTED_PROXIES", r#"["127.0.0.1"]"#)]).await;
    let token = format!("Authorization: Bearer {}", server.log_in());
    server.request("GET", "/bearer", &[&token, "X-Forwarded-For: 203.0.113.9"], "");
    let last = "SELECT client FROM audit ORDER BY record_id DESC LIMIT 1";
    assert_eq!(server.database.texts(last).await, ["203.0.113.9"]);
}

#[tokio::test]
async fn r91_plain_http_on_another_address_is_warned_of() {
    let settings = [("ROCKET_PROFILE", "release"), ("ROCKET_ADDRESS", "0.0.0.0")];
    let server = Server::start(&settings).await;
    let warned = |server: &Server| server.log().contains("plain HTTP");
    assert!(warned(&server), "{}", server.log());
    assert!(!warned(&Server::start(&[]).await), "loopback needs no warning");
}

/// A profile that is none would quietly leave out what its section sets.
#[tokio::test]
async fn r92_a_profile_that_is_none_stops_the_start_and_names_the_nearest() {
    let folder = tempfile::tempdir().unwrap();
    for (profile, nearest) in [("relase", "`release`"), ("Debugg", "`debug`"), ("prod", "`")] {
        let (code, said) = refused(&mut command(folder.path(), &[("ROCKET_PROFILE", profile)]));
        assert_eq!(code, 2, "{said}");
        assert!(said.contains("ROCKET_PROFILE") && said.contains(nearest), "{said}");
    }
    // One that the file has is one.
    let text = "[default]\naudience = \"stipend\"\n[staging]\nport = 0\n";
    std::fs::write(folder.path().join("Rocket.toml"), text).unwrap();
    let (_, said) = refused(&mut command(folder.path(), &[("ROCKET_PROFILE", "stagin")]));
    assert!(said.contains("`staging`"), "{said}");
    let database = TestDatabase::new().await;
    std::fs::write(database.folder.path().join("Rocket.toml"), text).unwrap();
    let server = Server::start_on(database, &[("ROCKET_PROFILE", "staging")]);
    assert_eq!(server.request("GET", "/ready", &[], "").status, 200);
}

#[test]
fn r92_every_setting_names_itself_when_it_is_malformed() {
    let folder = tempfile::tempdir().unwrap();
    for name in [
        "address",
        "argon2_iterations",
        "argon2_memory_kib",
        "audience",
        "database_url",
        "default_org",
        "demo",
        "issuer",
        "jwt_secret",
        "jwt_secret_file",
        "keep_alive",
        "limits",
        "max_blocking",
        "max_sign_in_age",
        "port",
        "shutdown",
        "temp_dir",
        "token_ttl",
        "trusted_proxies",
        "workers",
    ] {
        // No setting is an array of an object.
        let variable = format!("ROCKET_{}", name.to_uppercase());
        let settings = [(variable.as_str(), "[{hunter2=\"Zx81\"}]")];
        let (code, said) = refused(&mut command(folder.path(), &settings));
        assert_eq!(code, 2, "{name}: {said}");
        assert!(said.contains(&format!("`{name}")) && !said.contains("Zx81"), "{name}: {said}");
    }
    assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 0, "nothing was half done");
}

#[test]
fn r18_r90_a_weak_key_in_a_setting_is_a_wrong_setting() {
    let folder = tempfile::tempdir().unwrap();
    for weak in [
        "",
        "hunter2",
        "your-256-bit-secret",
        "a-string-secret-at-least-256-bits-long",
        "AyM1SysPpbyDfgZld3umj1qzKObwVMkoqQ-EstJQLr_T-1qS0gZH75aKtMN3Yj0iPS4hcgUuTwjAzZr1Z9CAow",
        &"ab".repeat(32),
    ] {
        let (code, said) = refused(&mut command(folder.path(), &[("ROCKET_JWT_SECRET", weak)]));
        assert_eq!(code, 2, "{said}");
        assert!(
            said.contains("`jwt_secret`") && (weak.is_empty() || !said.contains(weak)),
            "{said}"
        );
    }
    assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 0, "nothing was half done");
}

/// Orchestrators mount a secret as a link to a file.
#[tokio::test]
async fn r90_a_link_is_as_good_as_the_file_that_it_leads_to() {
    let database = TestDatabase::new().await;
    let folder = database.folder.path();
    let file = folder.join("..data");
    std::fs::write(&file, format!("{KEY}\r\n")).unwrap();
    std::os::unix::fs::symlink("..data", folder.join("key")).unwrap();
    let settings =
        [("ROCKET_JWT_SECRET_FILE", "key"), ("ROCKET_DATABASE_URL", database.url.as_str())];
    for open in [0o640, 0o604, 0o660] {
        std::fs::set_permissions(&file, PermissionsExt::from_mode(open)).unwrap();
        let (code, said) = refused(&mut command(folder, &settings));
        assert!(code == 1 && said.contains("chmod 600 key") && !said.contains(KEY), "{said}");
    }
    std::fs::set_permissions(&file, PermissionsExt::from_mode(0o600)).unwrap();
    // The text ends before the break of the line, whichever that is.
    let server = Server::start_on(database, &[("ROCKET_JWT_SECRET_FILE", "key")]);
    let token = server.log_in();
    let (message, signature) = token.rsplit_once('.').unwrap();
    let key = ring::hmac::Key::new(ring::hmac::HMAC_SHA256, KEY.as_bytes());
    use base64::Engine;
    let signed = ring::hmac::sign(&key, message.as_bytes());
    assert_eq!(base64::prelude::BASE64_URL_SAFE_NO_PAD.encode(signed), signature);
    std::fs::remove_file(server.database.folder.path().join("key")).unwrap();
    std::os::unix::fs::symlink("nowhere", server.database.folder.path().join("key")).unwrap();
    let settings = [("ROCKET_JWT_SECRET_FILE", "key")];
    let (_, said) = refused(&mut command(server.database.folder.path(), &settings));
    assert!(said.contains("the key file key cannot be read"), "{said}");
}

/// What a server was started with is in its environment, and nowhere that others can read.
#[tokio::test]
async fn r90_no_secret_of_a_setting_comes_out_by_an_error() {
    let folder = tempfile::tempdir().unwrap();
    let url = format!("postgres://stipend:{KEY}@127.0.0.1:1/x");
    for more in [("ROCKET_PORT", "x"), ("ROCKET_ISUER", KEY), ("ROCKET_DATABASE_URL", &url)] {
        let settings = [("ROCKET_JWT_SECRET", KEY), more];
        let (_, said) = refused(&mut command(folder.path(), &settings));
        assert!(!said.contains(KEY), "{said}");
        let output = command(folder.path(), &settings).args(["user", "list"]).output().unwrap();
        assert!(!String::from_utf8_lossy(&output.stderr).contains(KEY));
        let output = command(folder.path(), &settings).arg("doctor").output().unwrap();
        let said = [output.stdout, output.stderr].concat();
        assert!(!String::from_utf8_lossy(&said).contains(KEY));
    }
}
