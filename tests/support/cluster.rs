//! A PostgreSQL of a test's own, which it may stop and start.

use std::net::TcpListener;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use tempfile::TempDir;

/// A PostgreSQL server on a free loopback port. Dropped, it is stopped and gone.
pub struct Cluster {
    programs: PathBuf,
    folder: TempDir,
    port: u16,
}

impl Cluster {
    /// Starts one; none where its programs are missing.
    pub fn start() -> Option<Self> {
        let programs = programs()?;
        let folder = tempfile::Builder::new().prefix("stipend-cluster-").tempdir().unwrap();
        if rustix::process::geteuid().is_root() {
            let status = Command::new("chown").arg("postgres").arg(folder.path()).status();
            assert!(status.unwrap().success());
        }
        let port = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
        let cluster = Self { programs, folder, port };
        cluster
            .run("initdb", &["--auth=trust", "--username=stipend", "--encoding=UTF8", "--no-sync"]);
        let socket = cluster.folder.path().display();
        // What was committed survives a crash of PostgreSQL without fsync, though not one of the machine.
        let options = format!(
            "-p {port} -k {socket} -c listen_addresses=127.0.0.1 -c fsync=off -c max_connections=50"
        );
        cluster.run("pg_ctl", &["start", "-w", "-s", "-l", "log", "-o", &options]);
        Some(cluster)
    }

    /// The port that it listens on.
    pub fn port(&self) -> u16 {
        self.port
    }

    /// The setting `database_url`, by way of some port.
    pub fn url_by(&self, port: u16) -> String {
        format!("postgres://stipend@127.0.0.1:{port}/postgres")
    }

    /// Stops it and starts it again: `fast` ends what its clients are doing in an orderly way,
    /// `immediate` is a crash.
    pub fn restart(&self, mode: &str) {
        self.run("pg_ctl", &["restart", "-w", "-s", "-l", "log", "-m", mode]);
    }

    fn run(&self, program: &str, arguments: &[&str]) {
        let status = self.command(program).args(arguments).status().unwrap();
        assert!(status.success(), "{program} {arguments:?}: {status}");
    }

    /// One of its programs about its data; as root by way of the user `postgres`, since it refuses root.
    fn command(&self, program: &str) -> Command {
        let program = self.programs.join(program);
        let mut command = if rustix::process::geteuid().is_root() {
            let mut command = Command::new("runuser");
            command.args(["-u", "postgres", "--"]).arg(program);
            command
        } else {
            Command::new(program)
        };
        command.arg("-D").arg(self.folder.path().join("data")).current_dir(self.folder.path());
        // What goes on running must not hold the test's own output open.
        command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
        command
    }
}

impl Drop for Cluster {
    fn drop(&mut self) {
        let mut stop = self.command("pg_ctl");
        let _gone = stop.args(["stop", "-w", "-s", "-m", "immediate"]).status();
    }
}

/// The folder of PostgreSQL's programs: the newest of Debian's, which are not in the path, or else
/// that of the path.
fn programs() -> Option<PathBuf> {
    let versions = std::fs::read_dir("/usr/lib/postgresql").into_iter().flatten();
    let debian = versions
        .filter_map(|version| version.ok()?.path().join("bin").canonicalize().ok())
        .filter(|folder| folder.join("initdb").exists())
        .max_by_key(|folder| major(folder));
    let path = std::env::var_os("PATH").unwrap_or_default();
    debian.or_else(|| std::env::split_paths(&path).find(|folder| folder.join("initdb").exists()))
}

fn major(folder: &Path) -> Option<u32> {
    folder.parent()?.file_name()?.to_str()?.parse().ok()
}
