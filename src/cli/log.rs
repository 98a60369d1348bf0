//! The log: one JSON object a line, on standard error.

use std::fmt;

use serde::ser::{SerializeMap, Serializer};
use tracing::field::{Field, Visit};
use tracing::{Event, Level, Subscriber};
use tracing_subscriber::filter::LevelFilter;
use tracing_subscriber::filter::Targets;
use tracing_subscriber::fmt::format::{DefaultFields, Writer};
use tracing_subscriber::fmt::time::{FormatTime, SystemTime};
use tracing_subscriber::fmt::{FmtContext, FormatEvent};
use tracing_subscriber::layer::SubscriberExt;
use tracing_subscriber::registry::LookupSpan;
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
    let lines = tracing_subscriber::fmt::layer().event_format(Line).with_writer(std::io::stderr);
    if tracing_subscriber::registry().with(ours).with(lines).try_init().is_err() {
        super::message("a log has been started already");
    }
    std::panic::set_hook(Box::new(|panic| {
        let location = panic.location().map(ToString::to_string);
        tracing::error!(location, "a part of the program failed unexpectedly");
    }));
}

/// An event as a line: when, its level, its fields, and where it is from. The formatter of
/// `tracing-subscriber` writes the same in a hundred pieces, each checked to be UTF-8; a line for each
/// request was a tenth of what a read of pay cost the processor.
struct Line;

impl<S: Subscriber + for<'a> LookupSpan<'a>> FormatEvent<S, DefaultFields> for Line {
    fn format_event(
        &self,
        _: &FmtContext<'_, S, DefaultFields>,
        mut writer: Writer<'_>,
        event: &Event<'_>,
    ) -> fmt::Result {
        let mut timestamp = String::with_capacity(32);
        SystemTime.format_time(&mut Writer::new(&mut timestamp))?;
        let mut line = Vec::with_capacity(512);
        write_line(&mut line, &timestamp, event).map_err(|_| fmt::Error)?;
        writer.write_str(std::str::from_utf8(&line).map_err(|_| fmt::Error)?)?;
        writer.write_char('\n')
    }
}

fn write_line(line: &mut Vec<u8>, timestamp: &str, event: &Event<'_>) -> serde_json::Result<()> {
    let (mut json, metadata) = (serde_json::Serializer::new(line), event.metadata());
    let mut members = json.serialize_map(None)?;
    members.serialize_entry("timestamp", timestamp)?;
    members.serialize_entry("level", metadata.level().as_str())?;
    let mut fields = Fields { members, written: Ok(()) };
    event.record(&mut fields);
    let Fields { mut members, written } = fields;
    written?;
    members.serialize_entry("target", metadata.target())?;
    members.end()
}

/// Writes the fields of an event as members of an object.
struct Fields<M: SerializeMap> {
    members: M,
    written: Result<(), M::Error>,
}

impl<M: SerializeMap> Fields<M> {
    fn write(&mut self, field: &Field, value: impl serde::Serialize) {
        if self.written.is_ok() {
            self.written = self.members.serialize_entry(field.name(), &value);
        }
    }
}

impl<M: SerializeMap> Visit for Fields<M> {
    fn record_str(&mut self, field: &Field, value: &str) {
        self.write(field, value);
    }

    fn record_u64(&mut self, field: &Field, value: u64) {
        self.write(field, value);
    }

    fn record_i64(&mut self, field: &Field, value: i64) {
        self.write(field, value);
    }

    fn record_bool(&mut self, field: &Field, value: bool) {
        self.write(field, value);
    }

    fn record_f64(&mut self, field: &Field, value: f64) {
        self.write(field, value);
    }

    fn record_debug(&mut self, field: &Field, value: &dyn fmt::Debug) {
        self.write(field, format_args!("{value:?}"));
    }
}
