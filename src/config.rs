//! Typed settings, validated once at start.
//!
//! They come, each layer over the one before, from the defaults below, `Rocket.toml` and
//! `ROCKET_*` variables, in Rocket's own figment and namespace. A setting that is unknown or
//! malformed stops the start and names itself. `Rocket.toml` describes every setting.

use std::net::IpAddr;
use std::path::{Path, PathBuf};
use std::time::Duration;

use ipnet::IpNet;
use rocket::figment::providers::{Env, Format, Serialized, Toml};
use rocket::figment::value::{Dict, Value};
use rocket::figment::{Figment, Profile, Provider};
use serde::{Deserialize, Serialize};

/// A value that is never shown: its `Debug` form is redacted and it has no other.
#[derive(Clone)]
pub struct Secret<T>(T);

impl<T> Secret<T> {
    /// Guards a value.
    pub fn new(value: T) -> Self {
        Self(value)
    }

    /// The value itself; each call is a place to ask where it goes from there.
    pub fn expose(&self) -> &T {
        &self.0
    }
}

impl<T> std::fmt::Debug for Secret<T> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("[redacted]")
    }
}

/// A setting is unknown, malformed, or at odds with another.
#[derive(Debug, thiserror::Error)]
#[error("{0}")]
pub struct ConfigError(String);

impl ConfigError {
    pub(crate) fn new(sentence: impl Into<String>) -> Self {
        Self(sentence.into())
    }
}

/// All settings.
#[derive(Debug)]
pub struct Config {
    /// What Rocket itself needs: address, port, limits, shutdown.
    pub rocket: Figment,
    /// How many threads answer requests.
    pub workers: usize,
    /// Where the data lives.
    pub database: Database,
    /// What tokens say and how long they live.
    pub tokens: Tokens,
    /// Where the signing key comes from.
    pub key: KeySource,
    /// What a password hash costs.
    pub passwords: Passwords,
    /// Who may come in, and from where.
    pub access: Access,
}

/// Where the data lives.
#[derive(Debug, Clone)]
pub enum Database {
    /// An SQLite file, made at first start.
    Sqlite(PathBuf),
    /// A PostgreSQL database, by its URL, which may hold a password.
    Postgres(Secret<String>),
}

/// What tokens say and how long they live.
#[derive(Debug, Clone)]
pub struct Tokens {
    /// The `iss` claim, required on every token (RFC 7519 section 4.1.1).
    pub issuer: String,
    /// The `aud` claim, required on every token (RFC 7519 section 4.1.3).
    pub audience: String,
    /// From `iat` to `exp`.
    pub ttl: Duration,
}

/// Where the key that signs tokens comes from. The bytes of the text are the HMAC key.
#[derive(Debug, Clone)]
pub enum KeySource {
    /// The setting `jwt_secret`.
    Value(Secret<String>),
    /// A file that must exist: the setting `jwt_secret_file`.
    File(PathBuf),
    /// The default file, which the first start generates.
    Generated(PathBuf),
}

/// What a password hash costs, as Argon2id counts it (RFC 9106 section 3.1).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Passwords {
    /// Memory, in KiB.
    pub memory_kib: u32,
    /// Passes over the memory.
    pub iterations: u32,
}

/// Who may come in, and from where.
#[derive(Debug, Clone)]
pub struct Access {
    /// Whether demo users can sign in. Loopback only.
    pub demo: bool,
    /// The org of a user name that is given without one.
    pub default_org: String,
    /// Peers whose `X-Forwarded-For` is believed.
    pub trusted_proxies: Vec<IpNet>,
    /// How long ago somebody may have signed in who changes who may do what (RFC 9470).
    pub max_sign_in_age: Duration,
    /// The address that the server listens on.
    pub address: IpAddr,
    /// The port that the server listens on; 0 takes a free one.
    pub port: u16,
}

/// The file that a first start generates the signing key into.
const GENERATED_KEY_FILE: &str = "stipend.key";

/// Argon2id at least at OWASP's parameters: 19 MiB in 2 passes, or 46 MiB in 1.
const LEAST_MEMORY_KIB: u32 = 19_456;
const LEAST_MEMORY_KIB_IN_ONE_PASS: u32 = 47_104;
const MOST_MEMORY_KIB: u32 = 1_048_576;
const MOST_ITERATIONS: u32 = 64;
const MOST_WORKERS: usize = 1024;

/// Stipend's own settings, as they are written. Rocket's stand in [`ROCKET_SETTINGS`].
#[derive(Debug, Serialize, Deserialize)]
struct Raw {
    database_url: String,
    issuer: String,
    audience: String,
    token_ttl: String,
    jwt_secret: Option<String>,
    jwt_secret_file: Option<PathBuf>,
    argon2_memory_kib: u32,
    argon2_iterations: u32,
    demo: Option<bool>,
    default_org: String,
    trusted_proxies: Vec<String>,
    max_sign_in_age: String,
}

impl Default for Raw {
    fn default() -> Self {
        Self {
            database_url: "sqlite:stipend.db".into(),
            issuer: "twil.io".into(),
            audience: "stipend".into(),
            token_ttl: "1d".into(),
            jwt_secret: None,
            jwt_secret_file: None,
            argon2_memory_kib: LEAST_MEMORY_KIB,
            argon2_iterations: 2,
            demo: None,
            default_org: "twilio".into(),
            trusted_proxies: Vec::new(),
            max_sign_in_age: "15m".into(),
        }
    }
}

/// The settings of Rocket's that may be set. Left out: `ident`, `ip_header`, `log_level` and
/// `cli_colors`, which Stipend decides itself, and those of Rocket features that it does not use.
const ROCKET_SETTINGS: &[&str] =
    &["address", "port", "workers", "max_blocking", "keep_alive", "limits", "shutdown", "temp_dir"];

/// Those of Rocket's setting `shutdown`.
const SHUTDOWN_SETTINGS: &[&str] = &["ctrlc", "signals", "grace", "mercy", "force"];

/// Variables in Rocket's namespace that say where settings are rather than what they are.
const NOT_SETTINGS: &[&str] = &["profile", "config"];

impl Config {
    /// Reads the settings of the working folder and the environment.
    pub fn load() -> Result<Self, ConfigError> {
        let profile = Profile::from_env_or("ROCKET_PROFILE", rocket::Config::DEFAULT_PROFILE);
        let file = match Env::var("ROCKET_CONFIG") {
            // Asked for by name, it must be there.
            Some(name) if !Path::new(&name).is_file() => {
                return Err(ConfigError(format!("ROCKET_CONFIG names {name}, which is no file")));
            }
            Some(name) => Toml::file(name).nested(),
            None => Toml::file("Rocket.toml").nested(),
        };
        let environment = Env::prefixed("ROCKET_").ignore(NOT_SETTINGS).global();
        let settings = Figment::from(file).merge(environment);
        refuse_unknown_profile(&profile, &settings)?;
        Self::from_settings(settings.select(profile))
    }

    /// Validates what somebody has set; the defaults stand for the rest.
    pub fn from_settings(settings: Figment) -> Result<Self, ConfigError> {
        refuse_unknown_settings(&settings)?;
        let figment = Figment::from(rocket::Config::default())
            .merge(Serialized::defaults(Raw::default()))
            .merge(&settings)
            .select(settings.profile().clone());
        let raw: Raw = figment.extract().map_err(malformed)?;
        let rocket: rocket::Config = figment.extract().map_err(malformed)?;

        // Never the default of the release profile, whatever the build.
        let demo = raw.demo.unwrap_or(figment.profile() == rocket::Config::DEBUG_PROFILE);
        if demo && !rocket.address.is_loopback() {
            return Err(ConfigError(format!(
                "demo = true serves the published demo password, so it needs a loopback address, \
                 but address = {}: set demo = false (ROCKET_DEMO=false), or address = 127.0.0.1",
                rocket.address
            )));
        }
        Ok(Self {
            database: database(&raw.database_url)?,
            tokens: Tokens {
                issuer: not_empty("issuer", raw.issuer)?,
                audience: not_empty("audience", raw.audience)?,
                ttl: duration("token_ttl", &raw.token_ttl, "1d, 12h or 30m")?,
            },
            key: key_source(raw.jwt_secret, raw.jwt_secret_file)?,
            passwords: passwords(raw.argon2_memory_kib, raw.argon2_iterations)?,
            access: Access {
                demo,
                default_org: not_empty("default_org", raw.default_org)?,
                trusted_proxies: trusted_proxies(&raw.trusted_proxies)?,
                max_sign_in_age: duration("max_sign_in_age", &raw.max_sign_in_age, "15m or 1h")?,
                address: rocket.address,
                port: rocket.port,
            },
            workers: workers(rocket.workers)?,
            // No software version in answers, and no header that names its own sender.
            rocket: figment
                .merge(("ident", false))
                .merge(("ip_header", false))
                .merge(("cli_colors", false))
                .merge(("log_level", "off")),
        })
    }
}

/// A profile is one of the two that a build has, or a section of the file: a slip in its name would
/// quietly leave out all that its section sets.
fn refuse_unknown_profile(profile: &Profile, settings: &Figment) -> Result<(), ConfigError> {
    let mut known = vec![rocket::Config::DEBUG_PROFILE, rocket::Config::RELEASE_PROFILE];
    known.extend(settings.data().map_err(malformed)?.into_keys());
    if known.contains(profile) {
        return Ok(());
    }
    let written = profile.to_string();
    let nearest = known
        .iter()
        .map(ToString::to_string)
        .min_by_key(|name| strsim::damerau_levenshtein(&written, name))
        .unwrap_or_default();
    Err(ConfigError(format!(
        "unknown profile `{written}` in ROCKET_PROFILE: the nearest known one is `{nearest}` (debug \
         and release, and the sections of Rocket.toml)"
    )))
}

/// Every profile's settings are looked at, so that a slip in a section that is not in use now does
/// not wait for the day when it is.
fn refuse_unknown_settings(settings: &Figment) -> Result<(), ConfigError> {
    let own = serde_json::to_value(Raw::default()).unwrap_or_default();
    let own = own.as_object().into_iter().flat_map(|settings| settings.keys().map(String::as_str));
    let known: Vec<&str> = own.chain(ROCKET_SETTINGS.iter().copied()).collect();

    for (profile, settings) in &settings.data().map_err(malformed)? {
        refuse_unknown(profile, settings, &known, "")?;
        if let Some(Value::Dict(_, shutdown)) = settings.get("shutdown") {
            refuse_unknown(profile, shutdown, SHUTDOWN_SETTINGS, "shutdown.")?;
        }
    }
    Ok(())
}

fn refuse_unknown(
    profile: &Profile,
    settings: &Dict,
    known: &[&str],
    within: &str,
) -> Result<(), ConfigError> {
    let Some(key) = settings.keys().map(String::as_str).find(|key| !known.contains(key)) else {
        return Ok(());
    };
    let hint = match key {
        "ip_header" => "to believe a proxy, set `trusted_proxies`".to_owned(),
        _ => known
            .iter()
            .min_by_key(|name| strsim::damerau_levenshtein(key, name))
            .map(|name| format!("the nearest known one is `{within}{name}`"))
            .unwrap_or_default(),
    };
    Err(ConfigError(format!(
        "unknown setting `{within}{key}` in profile `{profile}`: {hint} (Rocket.toml lists them all)"
    )))
}

fn malformed(error: rocket::figment::Error) -> ConfigError {
    use rocket::figment::error::Kind;
    let key = error.path.join(".");
    let source = error.metadata.as_ref().map(|metadata| metadata.name.to_string());
    let from = source.map(|name| format!(" (from {name})")).unwrap_or_default();
    let what = match &error.kind {
        // Figment's own text would show the value, and a value may be a secret.
        Kind::InvalidType(_, expected) => format!("must be {expected}"),
        Kind::InvalidValue(_, expected) | Kind::InvalidLength(_, expected) => {
            format!("must be {expected}")
        }
        Kind::MissingField(field) => return ConfigError(format!("setting `{field}` is missing")),
        // The first line says where; the ones after it quote the file.
        Kind::Message(text) if key.is_empty() => {
            let place = text.lines().next().unwrap_or_default();
            return ConfigError(format!("the settings cannot be read{from}: {place}"));
        }
        _ => "has a value that cannot be understood".to_owned(),
    };
    ConfigError(format!("setting `{key}` {what}{from}"))
}

fn workers(workers: usize) -> Result<usize, ConfigError> {
    if !(1..=MOST_WORKERS).contains(&workers) {
        return Err(ConfigError(format!("setting `workers` must be from 1 to {MOST_WORKERS}")));
    }
    Ok(workers)
}

fn not_empty(name: &str, value: String) -> Result<String, ConfigError> {
    if value.trim().is_empty() {
        return Err(ConfigError(format!("setting `{name}` must not be empty")));
    }
    Ok(value)
}

fn database(url: &str) -> Result<Database, ConfigError> {
    if url.starts_with("postgres://") || url.starts_with("postgresql://") {
        return Ok(Database::Postgres(Secret::new(url.to_owned())));
    }
    let path = url.strip_prefix("sqlite://").or_else(|| url.strip_prefix("sqlite:"));
    match path.map(|path| path.split_once('?').map_or(path, |(path, _)| path)) {
        Some(path) if !path.is_empty() && path != ":memory:" => {
            Ok(Database::Sqlite(PathBuf::from(path)))
        }
        _ => Err(ConfigError(
            "setting `database_url` must be sqlite:FILE or postgres://USER@HOST/DATABASE".into(),
        )),
    }
}

/// Networks such as `10.0.0.0/8`, and single addresses.
fn trusted_proxies(texts: &[String]) -> Result<Vec<IpNet>, ConfigError> {
    let parse = |text: &String| {
        text.parse().or_else(|_| text.parse::<IpAddr>().map(IpNet::from)).map_err(|_| {
            ConfigError(
                "setting `trusted_proxies` must be addresses and networks, such as \
                 [\"127.0.0.1\", \"10.0.0.0/8\"]"
                    .into(),
            )
        })
    };
    texts.iter().map(parse).collect()
}

/// From a minute to a year.
fn duration(name: &str, text: &str, such_as: &str) -> Result<Duration, ConfigError> {
    let duration = humantime::parse_duration(text)
        .map_err(|_| ConfigError(format!("setting `{name}` must be a time such as {such_as}")))?;
    let bounds = Duration::from_secs(60)..=Duration::from_secs(366 * 86_400);
    if !bounds.contains(&duration) || duration.subsec_nanos() != 0 {
        return Err(ConfigError(format!(
            "setting `{name}` must be whole seconds, from 1m to 366d"
        )));
    }
    Ok(duration)
}

fn key_source(value: Option<String>, file: Option<PathBuf>) -> Result<KeySource, ConfigError> {
    match (value, file) {
        (Some(_), Some(_)) => Err(ConfigError(
            "settings `jwt_secret` and `jwt_secret_file` are both set: keep one".into(),
        )),
        (Some(value), None) => Ok(KeySource::Value(Secret::new(value))),
        (None, Some(file)) => Ok(KeySource::File(file)),
        (None, None) => Ok(KeySource::Generated(GENERATED_KEY_FILE.into())),
    }
}

fn passwords(memory_kib: u32, iterations: u32) -> Result<Passwords, ConfigError> {
    let least = if iterations == 1 { LEAST_MEMORY_KIB_IN_ONE_PASS } else { LEAST_MEMORY_KIB };
    if !(1..=MOST_ITERATIONS).contains(&iterations) {
        return Err(ConfigError(format!(
            "setting `argon2_iterations` must be from 1 to {MOST_ITERATIONS}"
        )));
    }
    if !(least..=MOST_MEMORY_KIB).contains(&memory_kib) {
        return Err(ConfigError(format!(
            "setting `argon2_memory_kib` must be from {least} (OWASP's least for \
             argon2_iterations = {iterations}) to {MOST_MEMORY_KIB}"
        )));
    }
    Ok(Passwords { memory_kib, iterations })
}
