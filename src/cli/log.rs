//! The log: one JSON object a line, on standard error.

use tracing::Level;
use tracing_subscriber::filter::LevelFilter;
use tracing_subscriber::filter::Targets;
use tracing_subscriber::layer::SubscriberExt;
use tracing_subscriber::util::SubscriberInitExt;

/// Starts the log, before anything else can write to it.
///
/// What Rocket says of its own is left out: it writes to `log`, which nothing here listens to,
/// since every 404 would be an error of its, and at debug it prints whole requests. A panic is one line like any other, without its message, which could
/// hold what somebody sent.
pub(super) fn start() {
    let ours = Targets::new()
        .with_target("stipend", Level::INFO)
        // The text of slow statements: what failed says so itself.
        .with_target("sqlx::query", LevelFilter::OFF)
        .with_default(Level::WARN);
    let lines =
        tracing_subscriber::fmt::layer().json().flatten_event(true).with_writer(std::io::stderr);
    if tracing_subscriber::registry().with(ours).with(lines).try_init().is_err() {
        super::message("a log has been started already");
    }
    std::panic::set_hook(Box::new(|panic| {
        let location = panic.location().map(ToString::to_string);
        tracing::error!(location, "a part of the program failed unexpectedly");
    }));
}
