//! The real application, asked without a port: Rocket's local client on a database of its own,
//! with a clock that the test sets.
//!
//! Requests come from actors named after who is asking: `app.anonymous()`,
//! `app.demo_user().await`, `app.user("acme/ann").await`, `app.bearer(token)`.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};
use std::time::Duration;

use percent_encoding::percent_decode_str;
use rocket::Route;
use rocket::figment::Figment;
use rocket::http::{Header, Method};
use rocket::local::asynchronous::Client;
use serde_json::Value;
use sqlx::{AssertSqlSafe, Connection, Executor, PgConnection, SqliteConnection};
use stipend::auth::{Auth, Ports};
use stipend::clock::{Clock, Timestamp};
use stipend::config::Config;
use stipend::entropy::SystemEntropy;

use super::database::{TestDatabase, is_postgres};
use super::openapi::Document;

/// The key that signs every token of a [`TestApp`].
pub const SECRET: &str = "vX9-tests-only-qL3mZ8rT1kW6yB4nH7cJ2sP5";
/// The password of the demo user and of every user that a test adds.
pub const PASSWORD: &str = "ahoy";
/// When a test begins: 2026-03-10T12:00:00Z, in seconds.
pub const NOON: i64 = 1_773_144_000;
/// The demo data, as the contract shows it.
pub const DEMO_PAY: &str =
    r#"[{"username":"jdoe","salary":"$2000.00"},{"username":"mturner","salary":"$2500.00"}]"#;

/// A clock that stands still until the test moves it.
pub struct TestClock(AtomicI64);

impl TestClock {
    /// Seconds since 1970.
    pub fn seconds(&self) -> i64 {
        self.now().as_secs()
    }

    /// Sets the clock, to seconds since 1970.
    pub fn set(&self, seconds: i64) {
        self.0.store(seconds.saturating_mul(1000), Ordering::SeqCst);
    }

    /// Moves the clock on.
    pub fn advance(&self, by: Duration) {
        self.0.fetch_add(i64::try_from(by.as_millis()).unwrap(), Ordering::SeqCst);
    }
}

impl Clock for TestClock {
    fn now(&self) -> Timestamp {
        Timestamp::from_millis(self.0.load(Ordering::SeqCst))
    }

    fn monotonic(&self) -> Duration {
        Duration::from_millis(u64::try_from(self.now().as_millis()).unwrap_or(0))
    }
}

/// The application.
pub struct TestApp {
    pub client: Client,
    pub database: TestDatabase,
    pub clock: Arc<TestClock>,
}

impl TestApp {
    /// With the demo data, demo users alive.
    pub async fn new() -> Self {
        Self::with(Figment::new()).await
    }

    /// With settings of the test's own.
    pub async fn with(settings: Figment) -> Self {
        let clock = Arc::new(TestClock(AtomicI64::new(NOON * 1000)));
        Self::launch(TestDatabase::new().await, clock, settings, Vec::new()).await
    }

    /// With further routes.
    pub async fn with_routes(routes: Vec<Route>) -> Self {
        let clock = Arc::new(TestClock(AtomicI64::new(NOON * 1000)));
        Self::launch(TestDatabase::new().await, clock, Figment::new(), routes).await
    }

    /// Stopped, and started again on the same database.
    pub async fn restarted_with(self, settings: Figment) -> Self {
        self.auth().db.close().await;
        Self::launch(self.database, self.clock, settings, Vec::new()).await
    }

    async fn launch(
        database: TestDatabase,
        clock: Arc<TestClock>,
        settings: Figment,
        routes: Vec<Route>,
    ) -> Self {
        let settings = Figment::new()
            .merge(("database_url", &database.url))
            .merge(("jwt_secret", SECRET))
            .merge(("demo", true))
            .merge(settings);
        let config = Config::from_settings(settings).unwrap();
        let ports = Ports { clock: clock.clone(), entropy: Arc::new(SystemEntropy::new()) };
        let rocket = stipend::rocket(config, ports).await.unwrap().mount("/", routes);
        let client = Client::untracked(rocket).await.unwrap();
        Self { client, database, clock }
    }

    /// Another node on the same database, by the same clock.
    pub async fn another_node(&self) -> Self {
        let database =
            TestDatabase { url: self.database.url.clone(), folder: tempfile::tempdir().unwrap() };
        Self::launch(database, self.clock.clone(), Figment::new(), Vec::new()).await
    }

    /// What the routes use to let somebody in.
    pub fn auth(&self) -> &Auth {
        self.client.rocket().state::<Auth>().unwrap()
    }

    /// Runs SQL that the database may refuse, from outside of Stipend.
    pub async fn try_execute(&self, sql: &str) -> Result<(), sqlx::Error> {
        if is_postgres() {
            let mut connection = PgConnection::connect(&self.database.url).await?;
            connection.execute(AssertSqlSafe(sql)).await?;
        } else {
            let mut connection = SqliteConnection::connect(&self.database.url).await?;
            connection.execute(AssertSqlSafe(sql)).await?;
        }
        Ok(())
    }

    /// Adds an org.
    pub async fn add_org(&self, org: &str) {
        let sql = format!("INSERT INTO orgs (org, created_at) VALUES ('{org}', 0)");
        self.database.execute(&sql).await;
    }

    /// Adds a user, without any grant, whose password is [`PASSWORD`].
    pub async fn add_user(&self, org: &str, name: &str) {
        let sql = format!(
            "INSERT INTO users (org, username, password_hash, demo, created_at) \
             SELECT '{org}', '{name}', password_hash, 0, 0 FROM users \
             WHERE org = 'twilio' AND username = 'twilio'"
        );
        self.database.execute(&sql).await;
    }

    /// Adds somebody who is paid, at a rate in cents of a dollar.
    pub async fn add_employee(&self, org: &str, name: &str, amount_minor: i64) {
        let sql = format!(
            "INSERT INTO employees (org, username, full_name, created_at) \
             VALUES ('{org}', '{name}', '{name}', 0)"
        );
        self.database.execute(&sql).await;
        self.add_rate(org, name, "2024-01-01", 1, amount_minor, "USD").await;
    }

    /// Puts an employee into a team.
    pub async fn set_team(&self, org: &str, name: &str, team: &str) {
        let sql = format!(
            "UPDATE employees SET team = '{team}' WHERE org = '{org}' AND username = '{name}'"
        );
        self.database.execute(&sql).await;
    }

    /// Adds a rate of an employee.
    pub async fn add_rate(
        &self,
        org: &str,
        name: &str,
        effective_from: &str,
        revision: u32,
        amount_minor: i64,
        currency: &str,
    ) {
        let sql = format!(
            "INSERT INTO rates (org, username, effective_from, revision, amount_minor, currency, \
                                note, recorded_by, recorded_at) \
             VALUES ('{org}', '{name}', '{effective_from}', {revision}, {amount_minor}, \
                     '{currency}', '', 'test', 0)"
        );
        self.database.execute(&sql).await;
    }

    /// Gives a user a permission over a reach: `own`, `org`, `user:NAME` or `team:NAME`. The
    /// grant's id is `HOLDER PERMISSION REACH`.
    pub async fn add_grant(&self, org: &str, holder: &str, permission: &str, reach: &str) {
        self.add_grant_until(org, holder, permission, reach, "NULL").await;
    }

    /// The same until the end of a day, which is SQL: `'2026-03-10'` or `NULL`.
    pub async fn add_grant_until(
        &self,
        org: &str,
        holder: &str,
        permission: &str,
        reach: &str,
        last_day: &str,
    ) {
        let (kind, name) = match reach.split_once(':') {
            Some((kind, name)) => (kind, format!("'{name}'")),
            None => (reach, "NULL".to_owned()),
        };
        let sql = format!(
            "INSERT INTO grants (org, grant_id, username, permission, reach_kind, reach_name, \
                                 last_day, reason, granted_by, granted_at) \
             VALUES ('{org}', '{holder} {permission} {reach}', '{holder}', '{permission}', \
                     '{kind}', {name}, {last_day}, 'test', 'test', 0)"
        );
        self.database.execute(&sql).await;
    }

    /// Somebody without credentials.
    pub fn anonymous(&self) -> Actor<'_> {
        Actor { app: self, token: None }
    }

    /// Whoever bears this token.
    pub fn bearer(&self, token: impl Into<String>) -> Actor<'_> {
        Actor { app: self, token: Some(token.into()) }
    }

    /// The demo user, signed in.
    pub async fn demo_user(&self) -> Actor<'_> {
        self.user("twilio").await
    }

    /// A user, signed in with a token that is narrowed to these permissions.
    pub async fn narrowed_user(&self, name: &str, perms: &[&str]) -> Actor<'_> {
        let body = serde_json::json!({ "username": name, "password": PASSWORD, "perms": perms });
        let answer = self.anonymous().post("/jwt").json(body.to_string()).send().await;
        assert_eq!(answer.status, 200, "{name}: {answer:?}");
        self.bearer(answer.field("access_token").unwrap())
    }

    /// A user (`NAME` or `ORG/NAME`), signed in.
    pub async fn user(&self, name: &str) -> Actor<'_> {
        self.user_with(name, PASSWORD).await
    }

    /// A user with a password of their own, signed in.
    pub async fn user_with(&self, name: &str, password: &str) -> Actor<'_> {
        let answer = self.anonymous().log_in(name, password).await;
        assert_eq!(answer.status, 200, "{name}: {answer:?}");
        self.bearer(answer.field("access_token").unwrap())
    }
}

/// Somebody who sends requests.
#[derive(Clone)]
pub struct Actor<'a> {
    app: &'a TestApp,
    token: Option<String>,
}

impl<'a> Actor<'a> {
    /// The token that comes with every request.
    pub fn token(&self) -> &str {
        self.token.as_deref().unwrap()
    }

    /// Whoever bears this token instead.
    pub fn with_token(&self, token: &str) -> Self {
        Self { token: Some(token.to_owned()), ..self.clone() }
    }

    /// A request, with a `Host` field as every real one has.
    pub fn ask(&self, method: Method, path: &str) -> Ask<'a> {
        let ask = Ask {
            app: self.app,
            method,
            path: path.to_owned(),
            peer: None,
            fields: Vec::new(),
            body: Vec::new(),
        };
        let ask = ask.field("Host", "pay.example.com");
        match &self.token {
            Some(token) => ask.field("Authorization", &format!("Bearer {token}")),
            None => ask,
        }
    }

    /// A `GET`.
    pub fn get(&self, path: &str) -> Ask<'a> {
        self.ask(Method::Get, path)
    }

    /// A `POST`.
    pub fn post(&self, path: &str) -> Ask<'a> {
        self.ask(Method::Post, path)
    }

    /// A `PUT`.
    pub fn put(&self, path: &str) -> Ask<'a> {
        self.ask(Method::Put, path)
    }

    /// A `DELETE`.
    pub fn delete(&self, path: &str) -> Ask<'a> {
        self.ask(Method::Delete, path)
    }

    /// The answer to a read of pay.
    pub async fn read_pay(&self) -> Answer {
        self.get("/bearer").send().await
    }

    /// The user names in the answer to a read of pay, joined by spaces.
    pub async fn sees(&self) -> String {
        let answer = self.read_pay().await;
        assert_eq!(answer.status, 200, "{answer:?}");
        let rows = answer.json();
        let names = rows.as_array().unwrap().iter().map(|row| row["username"].as_str().unwrap());
        names.collect::<Vec<_>>().join(" ")
    }

    /// The answer to a sign-in by JSON, from a peer of that address.
    pub async fn log_in_from(&self, address: &str, username: &str, password: &str) -> Answer {
        let body = serde_json::json!({ "username": username, "password": password });
        self.post("/jwt").from(address).json(body.to_string()).send().await
    }

    /// The answer to a change of the caller's own password.
    pub async fn change_password(&self, old: &str, new: &str) -> Answer {
        let body = serde_json::json!({ "old": old, "new": new });
        self.put("/me/password").json(body.to_string()).send().await
    }

    /// The answer to a sign-in by JSON.
    pub async fn log_in(&self, username: &str, password: &str) -> Answer {
        let body = serde_json::json!({ "username": username, "password": password });
        self.post("/jwt").json(body.to_string()).send().await
    }
}

/// A request that is not sent yet.
pub struct Ask<'a> {
    app: &'a TestApp,
    method: Method,
    path: String,
    peer: Option<SocketAddr>,
    fields: Vec<(String, String)>,
    body: Vec<u8>,
}

impl Ask<'_> {
    /// From a peer of that address.
    pub fn from(mut self, address: &str) -> Self {
        self.peer = Some(SocketAddr::new(address.parse().unwrap(), 40_000));
        self
    }

    /// With a further header field.
    pub fn field(mut self, name: &str, value: &str) -> Self {
        self.fields.push((name.to_owned(), value.to_owned()));
        self
    }

    /// Without the header fields of that name.
    pub fn without(mut self, name: &str) -> Self {
        self.fields.retain(|(field, _)| field != name);
        self
    }

    /// With a body.
    pub fn body(mut self, body: impl AsRef<[u8]>) -> Self {
        self.body = body.as_ref().to_vec();
        self
    }

    /// With a body that says it is JSON.
    pub fn json(self, body: impl AsRef<[u8]>) -> Self {
        self.field("Content-Type", "application/json").body(body)
    }

    /// With a body that says it is a form.
    pub fn form(self, body: impl AsRef<[u8]>) -> Self {
        self.field("Content-Type", "application/x-www-form-urlencoded").body(body)
    }

    /// The answer, which is one that the API document allows.
    pub async fn send(self) -> Answer {
        let (method, path) = (self.method, self.path.clone());
        let mut request = self.app.client.req(self.method, self.path).body(self.body);
        if let Some(peer) = self.peer {
            request.set_remote(peer);
        }
        for (name, value) in self.fields {
            request.add_header(Header::new(name, value));
        }
        let response = request.dispatch().await;
        let fields = response.headers().iter();
        let answer = Answer {
            status: response.status().code,
            fields: fields.map(|field| (field.name.to_string(), field.value.to_string())).collect(),
            length: response.body().preset_size(),
            body: response.into_bytes().await.unwrap_or_default(),
        };
        let faults = Document::of(&self.app.client).await.faults(method, &path, &answer);
        assert_eq!(faults, [""; 0], "{method} {path}: {answer:?}");
        answer
    }
}

/// What came back.
#[derive(Debug)]
pub struct Answer {
    pub status: u16,
    pub fields: Vec<(String, String)>,
    /// What `Content-Length` will say.
    pub length: Option<usize>,
    pub body: Vec<u8>,
}

impl Answer {
    /// The value of a header field, which stands there once at most.
    pub fn field(&self, name: &str) -> Option<&str> {
        let mut values =
            self.fields.iter().filter(|(field, _)| field.eq_ignore_ascii_case(name)).map(|f| &f.1);
        let value = values.next();
        assert_eq!(values.next(), None, "{name} stands twice: {self:?}");
        value.map(String::as_str)
    }

    /// The names of all header fields, in lower case, sorted.
    pub fn field_names(&self) -> Vec<String> {
        let mut names: Vec<String> =
            self.fields.iter().map(|(name, _)| name.to_ascii_lowercase()).collect();
        names.sort();
        names
    }

    /// The path of the next page, from the `Link` field.
    pub fn next_page(&self) -> Option<String> {
        let link = self.field("Link")?;
        let path = link.strip_prefix('<').unwrap().strip_suffix(">; rel=\"next\"").unwrap();
        Some(path.to_owned())
    }

    /// All that a client can tell two answers apart by, but for the request's id.
    pub fn told(&self) -> String {
        let mut fields: Vec<String> =
            self.fields.iter().map(|(name, value)| format!("{name}: {value}")).collect();
        fields.retain(|field| !field.to_ascii_lowercase().starts_with("x-request-id:"));
        fields.sort();
        format!("{}\n{}\n\n{}", self.status, fields.join("\n"), self.text())
    }

    /// The body as text.
    pub fn text(&self) -> &str {
        std::str::from_utf8(&self.body).unwrap()
    }

    /// The body as JSON.
    pub fn json(&self) -> Value {
        serde_json::from_slice(&self.body).unwrap()
    }
}

/// A parameter of a path.
pub fn parameter(path: &str, wanted: &str) -> Option<String> {
    let (_, query) = path.split_once('?')?;
    let mut pairs = query.split('&').filter_map(|pair| pair.split_once('='));
    let (_, value) = pairs.find(|(name, _)| *name == wanted)?;
    Some(percent_decode_str(value).decode_utf8().unwrap().into_owned())
}

/// Whose row an answer begins after that is asked for in another order than by user name, unless the
/// question says by what that row is sorted: the answer tells where it stands, so that it is seen too.
pub fn row_before(path: &str) -> Option<String> {
    let sort = parameter(path, "sort")?;
    let is_by_name = sort.trim_start_matches('-') == "username";
    parameter(path, "after").filter(|after| !is_by_name && !after.contains(':'))
}
