//! The database as others find it.

use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::Mutex;

use crate::left_out;
use crate::support::database::{TestDatabase, is_postgres};
use crate::support::server::{Server, command};

#[tokio::test]
async fn r101_the_sqlite_file_is_private_and_in_wal_mode() {
    if is_postgres() {
        return left_out("file modes: there is no SQLite file");
    }
    let database = TestDatabase::new().await;
    let file = database.folder.path().join("stipend.db");
    std::fs::write(&file, "").unwrap();
    std::fs::set_permissions(&file, PermissionsExt::from_mode(0o644)).unwrap();
    let server = Server::start_on(database, &[]);
    server.read_pay(&server.log_in());
    for suffix in ["", "-wal", "-shm"] {
        let path = format!("{}{suffix}", file.display());
        let mode = std::fs::metadata(&path).unwrap().permissions().mode() & 0o777;
        assert_eq!(mode, 0o600, "{path}");
    }
    assert_eq!(server.database.texts("PRAGMA journal_mode").await, ["wal"]);
    assert_eq!(server.database.texts("PRAGMA integrity_check").await, ["ok"]);
}

/// The real sqlx-cli, installed into the build folder by the first test that wants it.
fn sqlx_cli() -> PathBuf {
    static ONE_AT_A_TIME: Mutex<()> = Mutex::new(());
    let _one = ONE_AT_A_TIME.lock().unwrap();
    let root = Path::new(env!("CARGO_TARGET_TMPDIR")).join("sqlx-cli");
    let binary = root.join("bin/sqlx");
    if !binary.exists() {
        let installed = Command::new("cargo")
            .args(["install", "--quiet", "sqlx-cli", "--version", "^0.9", "--no-default-features"])
            .args(["--features", "sqlite,postgres,rustls", "--root"])
            .arg(&root)
            .env("CARGO_TARGET_DIR", root.join("build"))
            .status()
            .unwrap();
        assert!(installed.success(), "sqlx-cli cannot be installed");
        std::fs::remove_dir_all(root.join("build")).unwrap();
    }
    binary
}

#[tokio::test]
async fn a_database_that_sqlx_migrate_run_set_up_is_served() {
    let database = TestDatabase::new().await;
    let (url, source) = if is_postgres() {
        (database.url.clone(), "migrations/postgres")
    } else {
        (format!("{}?mode=rwc", database.url), "migrations")
    };
    let output = Command::new(sqlx_cli())
        .args(["migrate", "run", "--source", source])
        .env("DATABASE_URL", url)
        .current_dir(env!("CARGO_MANIFEST_DIR"))
        .output()
        .unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    assert_eq!(database.number("SELECT COUNT(*) FROM rates").await, 2);
    let server = Server::start_on(database, &[]);
    assert_eq!(server.read_pay(&server.log_in()).status, 200);
}

/// What the README says, in a copy of the repository: its `.env` names the file, and the server's
/// own default is the same one.
#[tokio::test]
async fn a_plain_sqlx_migrate_run_sets_up_the_default_database() {
    if is_postgres() {
        return left_out("the default database: it is an SQLite file");
    }
    let database = TestDatabase::new().await;
    let (copy, original) = (database.folder.path(), Path::new(env!("CARGO_MANIFEST_DIR")));
    std::fs::create_dir(copy.join("migrations")).unwrap();
    for entry in std::fs::read_dir(original.join("migrations")).unwrap() {
        let path = entry.unwrap().path();
        if path.is_file() {
            std::fs::copy(&path, copy.join("migrations").join(path.file_name().unwrap())).unwrap();
        }
    }
    for file in [".env", "Rocket.toml"] {
        std::fs::copy(original.join(file), copy.join(file)).unwrap();
    }
    let migrate = || {
        let mut command = Command::new(sqlx_cli());
        command.args(["migrate", "run"]).env_remove("DATABASE_URL").current_dir(copy);
        let output = command.output().unwrap();
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    };
    migrate();
    assert_eq!(database.number("SELECT COUNT(*) FROM rates").await, 2);
    let default = command(copy, &[]).arg("migrate").output().unwrap();
    assert!(default.status.success(), "the server's own default is the same file");
    let served = TestDatabase { url: database.url.clone(), folder: tempfile::tempdir().unwrap() };
    let server = Server::start_on(served, &[]);
    assert_eq!(server.read_pay(&server.log_in()).status, 200);
    drop(server);
    migrate();
}
