//! What this machine has: time, memory, cores, files, and whether a server is there already.

use std::io::{Read, Write};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, TcpStream};
use std::num::NonZero;
use std::time::{Duration, UNIX_EPOCH};

use rustix::process::{Resource, getrlimit};

use super::{Finding, Look, State};
use crate::auth::{Gate, GateError};
use crate::clock::Timestamp;
use crate::config::{Passwords, Secret};
use crate::store::inspect::{Engine, Inspected};

/// How long a server that is asked may take.
const PATIENCE: Duration = Duration::from_secs(2);
/// Each connection takes a file, and a front proxy's worker has up to this many (deploy/nginx.conf).
const FILES: u64 = 4096;
/// With fewer, a handful of browsers takes them all.
const LEAST_FILES: u64 = 256;
/// How far the clock may be behind what another node has written.
const LEEWAY: Duration = Duration::from_secs(5);
/// People notice a sign-in that takes longer.
const SLOW: Duration = Duration::from_secs(1);

/// Whether a server answers where this one would listen.
pub(super) fn serving(look: &Look<'_>) -> Vec<Finding> {
    let access = &look.config.access;
    if access.port == 0 {
        return vec![Finding::ok("server", "not looked for: port = 0 takes a free one")];
    }
    let host = match access.address {
        IpAddr::V4(address) if address.is_unspecified() => Ipv4Addr::LOCALHOST.into(),
        IpAddr::V6(address) if address.is_unspecified() => Ipv6Addr::LOCALHOST.into(),
        address => address,
    };
    let place = SocketAddr::new(host, access.port);
    let Ok(stream) = TcpStream::connect_timeout(&place, PATIENCE) else {
        return vec![Finding::ok("server", format!("none listens on {place}"))];
    };
    vec![match ask(stream, place) {
        Ok(head) if is_stipend(&head) => {
            Finding::ok("server", format!("Stipend answers at http://{place}/"))
        }
        _ => Finding::problem(
            "server",
            format!("something that is not Stipend listens on {place}"),
            "stop it, or set another port (ROCKET_PORT)",
        ),
    }]
}

/// The first bytes of what answers there.
fn ask(mut stream: TcpStream, place: SocketAddr) -> std::io::Result<String> {
    stream.set_read_timeout(Some(PATIENCE))?;
    stream.set_write_timeout(Some(PATIENCE))?;
    write!(stream, "GET /live HTTP/1.1\r\nHost: {place}\r\nConnection: close\r\n\r\n")?;
    let mut head = Vec::new();
    stream.take(4096).read_to_end(&mut head)?;
    Ok(String::from_utf8_lossy(&head).to_ascii_lowercase())
}

fn is_stipend(head: &str) -> bool {
    head.starts_with("http/1.1 200 ") && head.contains("\r\nx-request-id: ")
}

/// Whether the clock can be right: a token's times and the order of the records rest on it.
pub(super) fn clock(look: &Look<'_>, inspected: &Inspected) -> Vec<Finding> {
    let latest = match inspected {
        Inspected::Open(contents) => contents.latest_record,
        _ => None,
    };
    let built = std::env::current_exe()
        .and_then(std::fs::metadata)
        .and_then(|facts| facts.modified())
        .ok()
        .and_then(|written| written.duration_since(UNIX_EPOCH).ok())
        .map(|since| Timestamp::from_millis(0).plus(since));
    vec![time(look.ports.clock.now(), latest, built)]
}

fn time(now: Timestamp, latest: Option<Timestamp>, built: Option<Timestamp>) -> Finding {
    let latest = latest.filter(|latest| *latest > now.plus(LEEWAY));
    let built = built.filter(|built| *built > now.plus(LEEWAY));
    let behind = match (latest, built) {
        (Some(latest), _) => format!("the latest act on record is of {latest}"),
        (None, Some(built)) => format!("this program was written at {built}"),
        (None, None) => {
            return Finding::ok("clock", format!("{now}, and nothing on record is later"));
        }
    };
    Finding::problem(
        "clock",
        format!("it says {now}, but {behind}"),
        "set the clock (NTP): until then sessions live too long and records stand out of order",
    )
}

/// What a sign-in costs here: measured by the threads that hash for the server.
pub(super) async fn passwords(look: &Look<'_>) -> Vec<Finding> {
    let settings = look.config.passwords;
    let threads = std::thread::available_parallelism().map_or(1, NonZero::get);
    let needed = u64::from(settings.memory_kib) * u64::try_from(threads).unwrap_or(u64::MAX);
    let memory = memory(needed, available_kib(), threads);
    if memory.state == State::Problem {
        // To measure would take what is not there.
        return vec![memory];
    }
    let cost = match measure(look, settings, threads).await {
        Ok(cost) => speed(settings, threads, cost),
        Err(error) => Finding::problem(
            "passwords",
            format!("a password cannot be hashed here ({error})"),
            "look at the limits of memory and threads",
        ),
    };
    vec![cost, memory]
}

#[derive(Debug, thiserror::Error)]
enum Unmeasured {
    #[error(transparent)]
    Threads(#[from] std::io::Error),
    #[error(transparent)]
    Gate(#[from] GateError),
}

/// How long one hash takes alone, and how many there are in a second when all threads work.
struct Cost {
    alone: Duration,
    a_second: f64,
}

async fn measure(look: &Look<'_>, settings: Passwords, threads: usize) -> Result<Cost, Unmeasured> {
    let gate = Gate::start(settings)?;
    let clock = look.ports.clock.as_ref();
    let hash = || gate.hash(Secret::new("not a password".to_owned()), look.ports.entropy.as_ref());
    // The first of each thread also takes its memory.
    futures_util::future::try_join_all((0..threads).map(|_| hash())).await?;
    let began = clock.monotonic();
    hash().await?;
    let alone = clock.monotonic().saturating_sub(began);
    let rounds = if alone > SLOW { 1 } else { 4 };
    let began = clock.monotonic();
    let all = threads * rounds;
    futures_util::future::try_join_all((0..all).map(|_| hash())).await?;
    let took = clock.monotonic().saturating_sub(began).max(Duration::from_micros(1));
    Ok(Cost {
        alone,
        a_second: f64::from(u32::try_from(all).unwrap_or(u32::MAX)) / took.as_secs_f64(),
    })
}

fn speed(settings: Passwords, threads: usize, cost: Cost) -> Finding {
    let Passwords { memory_kib, iterations } = settings;
    let found = format!(
        "a sign-in hashes for {} ms (argon2_memory_kib = {memory_kib}, argon2_iterations = \
         {iterations}); {threads} at once make {:.1} a second",
        cost.alone.as_millis(),
        cost.a_second
    );
    if cost.alone > SLOW {
        return Finding::warning(
            "passwords",
            found,
            "lower argon2_iterations or argon2_memory_kib",
        );
    }
    Finding::ok("passwords", found)
}

fn memory(needed: u64, available: Option<u64>, threads: usize) -> Finding {
    let found = |available: u64| {
        format!(
            "{threads} hashes at once take {} MiB of the {} MiB that are free",
            needed.div_ceil(1024),
            available / 1024
        )
    };
    let advice = "give it more memory, or lower argon2_memory_kib";
    match available {
        None => {
            let found = format!("{threads} hashes at once take {} MiB", needed.div_ceil(1024));
            Finding::ok("memory", found)
        }
        Some(available) if needed > available => {
            Finding::problem("memory", found(available), advice)
        }
        Some(available) if needed > available / 2 => {
            Finding::warning("memory", found(available), advice)
        }
        Some(available) => Finding::ok("memory", found(available)),
    }
}

/// The memory that this process may still take, in KiB: the machine's, or its control group's where
/// that is less.
fn available_kib() -> Option<u64> {
    let machine = std::fs::read_to_string("/proc/meminfo").ok()?;
    let machine = machine.lines().find_map(|line| line.strip_prefix("MemAvailable:"))?;
    let machine: u64 = machine.trim().strip_suffix("kB")?.trim().parse().ok()?;
    Some(group_kib().map_or(machine, |group| group.min(machine)))
}

fn group_kib() -> Option<u64> {
    let groups = std::fs::read_to_string("/proc/self/cgroup").ok()?;
    let group = groups.lines().find_map(|line| line.strip_prefix("0::/"))?;
    let folder = std::path::Path::new("/sys/fs/cgroup").join(group);
    let read = |name| std::fs::read_to_string(folder.join(name)).ok()?.trim().parse::<u64>().ok();
    // Without a limit it says `max`.
    Some(read("memory.max")?.saturating_sub(read("memory.current")?) / 1024)
}

/// How many connections there can be: by the limit of the server that runs, or else by the one
/// that a server would have which is started as this was.
pub(super) fn open_files(inspected: &Inspected) -> Vec<Finding> {
    if let Inspected::Open(contents) = inspected
        && let Engine::Sqlite { holder: Some(process), .. } = &contents.engine
        && let Ok(limits) = std::fs::read_to_string(format!("/proc/{process}/limits"))
        && let Some(limit) = limit_of(&limits)
    {
        return vec![files(limit, &format!("process {process} has"))];
    }
    vec![files(getrlimit(Resource::Nofile).current, "a server started from here has")]
}

/// The soft limit of open files, as `/proc/PID/limits` writes it (proc_pid_limits(5)).
fn limit_of(limits: &str) -> Option<Option<u64>> {
    let line = limits.lines().find_map(|line| line.strip_prefix("Max open files"))?;
    match line.split_whitespace().next()? {
        "unlimited" => Some(None),
        number => number.parse().ok().map(Some),
    }
}

fn files(limit: Option<u64>, who: &str) -> Finding {
    let Some(limit) = limit else {
        return Finding::ok("open files", format!("{who} no limit"));
    };
    let found = format!("{who} {limit} at most, and each connection takes one");
    let advice = "raise it to 16384 (LimitNOFILE of systemd, ulimit -n)";
    match limit {
        ..LEAST_FILES => Finding::problem("open files", found, advice),
        LEAST_FILES..FILES => Finding::warning("open files", found, advice),
        _ => Finding::ok("open files", found),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_clock_that_went_back_is_found() {
        let at = |seconds: i64| Timestamp::from_millis(seconds * 1000);
        let now = at(1_773_144_000);
        let state = |latest: Option<i64>, built: Option<i64>| {
            let later = |by: i64| at(1_773_144_000 + by);
            time(now, latest.map(later), built.map(later)).state
        };
        assert_eq!(state(None, None), State::Ok);
        assert_eq!(state(Some(0), Some(-1)), State::Ok);
        assert_eq!(state(Some(5), None), State::Ok, "another node's clock may differ a little");
        assert_eq!(state(Some(6), None), State::Problem);
        assert_eq!(state(None, Some(3600)), State::Problem);
    }

    #[test]
    fn memory_that_all_threads_need_is_compared_with_what_is_free() {
        assert_eq!(memory(100, Some(99), 2).state, State::Problem);
        assert_eq!(memory(100, Some(100), 2).state, State::Warning);
        assert_eq!(memory(100, Some(200), 2).state, State::Ok);
        assert_eq!(memory(100, None, 2).state, State::Ok);
    }

    #[test]
    fn few_files_and_slow_hashes_are_found() {
        let files = |limit| files(limit, "it has").state;
        assert_eq!(files(Some(LEAST_FILES - 1)), State::Problem);
        assert_eq!(files(Some(1024)), State::Warning);
        assert_eq!(files(Some(FILES)), State::Ok);
        assert_eq!(files(None), State::Ok);
        let limits = "Limit  Soft Limit  Hard Limit  Units\nMax open files  1024  4096  files\n";
        assert_eq!(limit_of(limits), Some(Some(1024)));
        assert_eq!(limit_of(&limits.replace("1024", "unlimited")), Some(None));
        assert_eq!(limit_of("Max processes 1 2"), None);
        let settings = Passwords { memory_kib: 19_456, iterations: 2 };
        let speed = |alone| speed(settings, 2, Cost { alone, a_second: 1.0 }).state;
        assert_eq!((speed(SLOW), speed(SLOW * 2)), (State::Ok, State::Warning));
    }

    #[test]
    fn only_stipend_is_taken_for_stipend() {
        assert!(is_stipend("http/1.1 200 ok\r\nx-request-id: 1\r\n\r\nok"));
        assert!(!is_stipend("http/1.1 200 ok\r\nserver: x\r\n\r\nx-request-id"));
        assert!(!is_stipend("http/1.1 503 x\r\nx-request-id: 1\r\n\r\n"));
        assert!(!is_stipend("ssh-2.0-openssh"));
    }
}
