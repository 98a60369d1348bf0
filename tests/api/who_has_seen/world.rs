//! An app, all that has happened in it as its answers told, and a plain model of who may audit whom.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use serde_json::Value;
use stipend::clock::Clock;

use crate::jwt::Jwt;
use crate::support::app::{Actor, Answer, Ask, PASSWORD, TestApp, parameter, row_before};

pub(super) const ORGS: [&str; 2] = ["acme", "zeta"];
/// Whom both orgs may have, in the order of their bytes. After `06c`, `byt` and `sr` a set of people
/// ends, so that a record names several.
pub(super) const NAMES: [&str; 9] = ["06c", "a", "a.b", "a_b", "byt", "c@x", "d-1", "sr", "z"];
pub(super) const TEAMS: [&str; 2] = ["dev", "ops"];
/// Who manages, writes, reads and audits all of an org.
pub(super) const ROOT: &str = "root";
/// How many people there are beside those of [`NAMES`], where it is many: more than are read at a time.
const CROWD: usize = 1040;

/// One record that there must be, and what it must say.
#[derive(Clone, Debug)]
pub(super) struct Entry {
    /// None for what is in no org.
    pub org: &'static str,
    /// Those of one round happened at once, in any order.
    pub round: usize,
    pub at: String,
    pub actor: String,
    pub session: Option<String>,
    pub token: Option<String>,
    pub action: String,
    pub permission: Option<&'static str>,
    /// The grants that gave the permission; none where something changed them at the same moment.
    pub grants: Option<BTreeSet<String>>,
    /// Whom the answer named.
    pub names: BTreeSet<String>,
    pub request: String,
    pub fields: Vec<String>,
    pub sort: Option<String>,
    pub as_of: Option<String>,
    pub known_at: Option<String>,
}

#[derive(Clone, Debug)]
pub(super) struct Person {
    pub is_employee: bool,
    pub is_user: bool,
    pub is_disabled: bool,
    pub team: Option<&'static str>,
}

#[derive(Clone, Debug)]
pub(super) struct Held {
    pub org: &'static str,
    pub id: String,
    pub holder: String,
    pub permission: String,
    /// As the API writes it.
    pub reach: String,
    pub until: Option<String>,
    pub is_ended: bool,
}

/// Somebody with a token.
#[derive(Clone)]
pub(super) struct Caller<'a> {
    pub org: &'static str,
    pub name: String,
    pub actor: Actor<'a>,
    session: String,
    token: Option<String>,
    perms: Vec<String>,
}

/// Whom somebody may audit.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Reach {
    All,
    Some(BTreeSet<String>),
}

impl Reach {
    pub(super) fn holds(&self, name: &str) -> bool {
        match self {
            Self::All => true,
            Self::Some(names) => names.contains(name),
        }
    }
}

/// A change that is asked for, and what it does if it is done.
pub(super) struct Change<'a> {
    caller: Caller<'a>,
    ask: Ask<'a>,
    action: &'static str,
    permission: Option<&'static str>,
    names: BTreeSet<String>,
    effect: Effect,
}

pub(super) enum Effect {
    Nothing,
    Person(&'static str, Person),
    Give { holder: &'static str, permission: &'static str, reach: String, until: Option<String> },
    End(usize),
    Token { name: String, perms: Vec<&'static str> },
    SignOut,
}

pub(super) struct World<'a> {
    pub app: &'a TestApp,
    pub people: BTreeMap<(&'static str, String), Person>,
    pub grants: Vec<Held>,
    /// All records that there must be, in their order.
    pub truth: Vec<Entry>,
    /// The day before which all records were archived.
    pub archived_before: Option<String>,
    /// Where they are.
    pub archives: Vec<std::path::PathBuf>,
    /// How many those are.
    pub archived: usize,
    logins: BTreeMap<(&'static str, String), Caller<'a>>,
    scripts: BTreeMap<(&'static str, String), Caller<'a>>,
    pub round: usize,
}

/// All permissions.
pub(super) const PERMISSIONS: [&str; 4] = ["audit", "manage", "read", "write"];

impl std::fmt::Debug for Caller<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let Self { org, name, token, perms, .. } = self;
        write!(f, "{org}/{name} by {token:?} for {perms:?}")
    }
}

impl<'a> World<'a> {
    /// Both orgs, of which [`ROOT`] can do everything, with some people whom nobody has looked at yet.
    pub(super) async fn new(
        app: &'a TestApp,
        people: &BTreeMap<(&'static str, &'static str), Person>,
        crowded: bool,
    ) -> Self {
        let mut world = Self {
            app,
            people: BTreeMap::new(),
            grants: Vec::new(),
            truth: Vec::new(),
            archived_before: None,
            archives: Vec::new(),
            archived: 0,
            logins: BTreeMap::new(),
            scripts: BTreeMap::new(),
            round: 0,
        };
        for org in ORGS {
            app.add_org(org).await;
            app.add_user(org, ROOT).await;
            for permission in PERMISSIONS {
                app.add_grant(org, ROOT, permission, "org").await;
                world.hold(org, ROOT, permission, "org");
            }
            world.know(org, ROOT, &Person { is_employee: false, ..Person::user() });
        }
        for ((org, name), person) in people {
            if person.is_employee {
                app.add_employee(org, name, 100).await;
            }
            if let Some(team) = person.team {
                app.set_team(org, name, team).await;
            }
            if person.is_user {
                app.add_user(org, name).await;
                app.add_grant(org, name, "read", "own").await;
                world.hold(org, name, "read", "own");
            }
            world.know(org, name, person);
        }
        if crowded {
            world.add_crowd().await;
        }
        for line in app.database.texts("SELECT request_id || ' ' || action FROM audit").await {
            // What the server did when it started, before there was anybody to look.
            let (request, action) = line.split_once(' ').unwrap();
            assert_eq!(action, "begin_chain", "what else is on record before anything was done?");
            let entry = world.entry("", "stipend", action, request);
            world.truth.push(entry);
        }
        world
    }

    async fn add_crowd(&mut self) {
        let name = |n: usize| format!("c{n:04}");
        let rows = |text: &dyn Fn(&str) -> String| {
            (0..CROWD).map(|n| text(&name(n))).collect::<Vec<_>>().join(",")
        };
        let employees = rows(&|name| format!("('acme', '{name}', 'C {name}', 'ops', 0)"));
        let rates =
            rows(&|name| format!("('acme', '{name}', '2024-01-01', 1, 100, 'USD', '', 'test', 0)"));
        let sql = format!(
            "INSERT INTO employees (org, username, full_name, team, created_at) VALUES {employees}; \
             INSERT INTO rates VALUES {rates};"
        );
        self.app.database.execute(&sql).await;
        for n in 0..CROWD {
            self.know("acme", &name(n), &Person { team: Some("ops"), ..Person::employee() });
        }
    }

    pub(super) fn is_crowded(&self, org: &'static str) -> bool {
        self.people.keys().filter(|(of, _)| *of == org).count() > CROWD
    }

    fn know(&mut self, org: &'static str, name: &str, person: &Person) {
        self.people.insert((org, name.to_owned()), person.clone());
    }

    fn hold(&mut self, org: &'static str, holder: &str, permission: &str, reach: &str) {
        self.grants.push(Held {
            org,
            id: format!("{holder} {permission} {reach}"),
            holder: holder.to_owned(),
            permission: permission.to_owned(),
            reach: reach.to_owned(),
            until: None,
            is_ended: false,
        });
    }

    pub(super) fn person(&self, org: &'static str, name: &str) -> Option<&Person> {
        self.people.get(&(org, name.to_owned()))
    }

    pub(super) fn today(&self) -> String {
        self.app.clock.now().day().to_string()
    }

    pub(super) fn wait(&mut self, time: Duration) {
        self.app.clock.advance(time);
        // Who changes people must have signed in lately.
        self.logins.retain(|(_, name), _| name != ROOT);
    }

    /// A record of now.
    pub(super) fn entry(
        &self,
        org: &'static str,
        actor: &str,
        action: &str,
        request: &str,
    ) -> Entry {
        Entry {
            org,
            round: self.round,
            at: self.app.clock.now().to_string(),
            actor: actor.to_owned(),
            session: None,
            token: None,
            action: action.to_owned(),
            permission: None,
            grants: Some(BTreeSet::new()),
            names: BTreeSet::new(),
            request: request.to_owned(),
            fields: Vec::new(),
            sort: None,
            as_of: None,
            known_at: None,
        }
    }

    fn entry_by(&self, caller: &Caller<'_>, action: &str, answer: &Answer) -> Entry {
        let request = answer.field("X-Request-Id").unwrap();
        Entry {
            session: Some(caller.session.clone()),
            token: caller.token.clone(),
            ..self.entry(caller.org, &caller.name, action, request)
        }
    }

    /// The grants of a permission that count for somebody.
    fn counting(&self, caller: &Caller<'_>, permission: &str) -> impl Iterator<Item = &Held> {
        let (org, name, today) = (caller.org, caller.name.clone(), self.today());
        let is_named = caller.perms.iter().any(|named| named == permission);
        let permission = permission.to_owned();
        self.grants.iter().filter(move |held| {
            is_named
                && (held.org, &held.holder, &held.permission) == (org, &name, &permission)
                && !held.is_ended
                && held.until.as_ref().is_none_or(|until| *until >= today)
        })
    }

    /// Whether somebody holds a permission over anybody.
    pub(super) fn may(&self, caller: &Caller<'_>, permission: &str) -> bool {
        self.counting(caller, permission).next().is_some()
    }

    /// The same, as a record names them.
    fn by(&self, caller: &Caller<'_>, permission: &str) -> Option<BTreeSet<String>> {
        Some(self.counting(caller, permission).map(|held| held.id.clone()).collect())
    }

    /// Whom somebody may audit; none without a grant.
    pub(super) fn audits(&self, caller: &Caller<'_>) -> Option<Reach> {
        let grants: Vec<&Held> = self.counting(caller, "audit").collect();
        if grants.iter().any(|held| held.reach == "org") {
            return Some(Reach::All);
        }
        let of_team = |team: &str| -> Vec<String> {
            let people = self.people.iter().filter(|((org, _), _)| *org == caller.org);
            let members = people.filter(|(_, person)| person.team == Some(team));
            members.map(|((_, name), _)| name.clone()).collect()
        };
        let names = grants.iter().flat_map(|held| match held.reach.split_once(':') {
            Some(("user", name)) => vec![name.to_owned()],
            Some(("team", team)) => of_team(team),
            _ => vec![caller.name.clone()],
        });
        (!grants.is_empty()).then(|| Reach::Some(names.collect()))
    }

    /// Somebody who has signed in, or their script; none who cannot.
    pub(super) async fn caller(
        &mut self,
        org: &'static str,
        name: &str,
        script: bool,
    ) -> Option<Caller<'a>> {
        let key = (org, name.to_owned());
        if let Some(script) = self.scripts.get(&key).filter(|_| script) {
            return Some(script.clone());
        }
        if !self.logins.contains_key(&key) {
            self.sign_in(org, name, &PERMISSIONS).await;
        }
        self.logins.get(&key).cloned()
    }

    pub(super) async fn sign_in(&mut self, org: &'static str, name: &str, perms: &[&'static str]) {
        let person = self.person(org, name);
        if person.is_none_or(|person| !person.is_user || person.is_disabled) {
            return;
        }
        self.round += 1;
        let username = format!("{org}/{name}");
        let body =
            serde_json::json!({ "username": username, "password": PASSWORD, "perms": perms });
        let answer = self.app.anonymous().post("/jwt").json(body.to_string()).send().await;
        assert_eq!(answer.status, 200, "{username}: {answer:?}");
        let token = answer.field("access_token").unwrap();
        let claims = Jwt::read(token).claims;
        let caller = Caller {
            org,
            name: name.to_owned(),
            actor: self.app.bearer(token),
            session: claims["jti"].as_str().unwrap().to_owned(),
            token: None,
            // What they hold of what they asked for.
            perms: serde_json::from_value(claims["perms"].clone()).unwrap(),
        };
        let names = BTreeSet::from([name.to_owned()]);
        let entry = Entry { names, ..self.entry_by(&caller, "log_in", &answer) };
        self.truth.push(entry);
        self.logins.insert((org, name.to_owned()), caller);
    }

    /// Takes in the answer to a read of pay by `GET`, `POST` or `HEAD` of a path: whoever it names has
    /// been seen, and if it is an error, nobody.
    pub(super) fn learn_read(
        &mut self,
        caller: &Caller<'a>,
        path: &str,
        answer: &Answer,
        names: BTreeSet<String>,
        grants_are_known: bool,
    ) {
        assert!(answer.status < 500, "{path}: {answer:?}");
        if answer.status == 401 {
            self.forget(caller);
        }
        if answer.status != 200 {
            return;
        }
        let is_csv = answer.field("Content-Type").unwrap().starts_with("text/csv");
        let (route, _) = path.split_once('?').unwrap_or((path, ""));
        let action = match route {
            "/bearer" if is_csv => "export_pay",
            "/bearer" => "list_pay",
            "/pay" => "sum_pay",
            _ => "read_history",
        };
        let asked = |wanted: &str| parameter(path, wanted);
        let mut entry = self.entry_by(caller, action, answer);
        entry.permission = Some("read");
        entry.grants = self.by(caller, "read").filter(|_| grants_are_known);
        entry.names = names;
        entry.names.extend(row_before(path).filter(|_| route == "/bearer"));
        // As the server writes moments, with milliseconds.
        entry.known_at = asked("known_at").map(|at| at.replace(":00Z", ":00.000Z"));
        if route == "/bearer" {
            let fields = asked("fields").unwrap_or("username,salary".to_owned());
            entry.fields = fields.split(',').map(String::from).collect();
            let by_pay = |sort: String| sort.replace("salary", "amount");
            entry.sort = asked("sort").map(by_pay).filter(|sort| !sort.ends_with("username"));
        }
        if action != "read_history" {
            entry.as_of = asked("as_of").or(Some(self.today()));
        }
        self.truth.push(entry);
    }

    /// Takes in that somebody's session has ended.
    pub(super) fn forget(&mut self, caller: &Caller<'_>) {
        let key = (caller.org, caller.name.clone());
        self.logins.remove(&key);
        self.scripts.remove(&key);
    }

    /// Takes in that the trail was read, of somebody or of all.
    pub(super) fn learn_reading(
        &mut self,
        caller: &Caller<'a>,
        action: &str,
        permission: Option<&'static str>,
        about: Option<&str>,
        answer: &Answer,
    ) {
        let mut entry = self.entry_by(caller, action, answer);
        entry.permission = permission;
        if let Some(permission) = permission {
            entry.grants = self.by(caller, permission);
        }
        entry.names = about.into_iter().map(String::from).collect();
        self.truth.push(entry);
    }

    /// A change by [`ROOT`].
    pub(super) async fn change(
        &mut self,
        org: &'static str,
        action: &'static str,
        permission: &'static str,
        names: &[&'static str],
        effect: Effect,
        ask: impl FnOnce(&Actor<'a>) -> Ask<'a>,
    ) -> Change<'a> {
        let caller = self.caller(org, ROOT, false).await.unwrap();
        let names = names.iter().map(|name| (*name).to_owned()).collect();
        let ask = ask(&caller.actor);
        Change { caller, ask, action, permission: Some(permission), names, effect }
    }

    /// What somebody changes about themselves.
    pub(super) fn own_change(
        &self,
        caller: Caller<'a>,
        action: &'static str,
        effect: Effect,
        ask: impl FnOnce(&Actor<'a>) -> Ask<'a>,
    ) -> Change<'a> {
        let names = BTreeSet::from([caller.name.clone()]);
        let ask = ask(&caller.actor);
        Change { caller, ask, action, permission: None, names, effect }
    }

    /// Takes in the answer to a change.
    pub(super) fn learn_change(&mut self, change: Learned<'a>, answer: &Answer) {
        let Learned { caller, action, permission, names, effect } = change;
        assert!(answer.status < 500, "{action}: {answer:?}");
        if answer.status >= 300 {
            return;
        }
        let mut entry = self.entry_by(&caller, action, answer);
        entry.permission = permission;
        if let Some(permission) = permission {
            entry.grants = self.by(&caller, permission);
        }
        entry.names = names;
        self.truth.push(entry);
        let key = (caller.org, caller.name.clone());
        match effect {
            Effect::Nothing => {}
            Effect::Person(name, person) => {
                if person.is_disabled {
                    self.logins.remove(&(caller.org, name.to_owned()));
                    self.scripts.remove(&(caller.org, name.to_owned()));
                }
                self.know(caller.org, name, &person);
            }
            Effect::Give { holder, permission, reach, until } => {
                let id = answer.json()["id"].as_str().unwrap().to_owned();
                self.hold(caller.org, holder, permission, &reach);
                let given = self.grants.last_mut().unwrap();
                (given.id, given.until) = (id, until);
                // A token names what its user held when they signed in.
                self.logins.remove(&(caller.org, holder.to_owned()));
            }
            Effect::End(at) => self.grants[at].is_ended = true,
            Effect::Token { name, perms } => {
                let body = answer.json();
                let actor = self.app.bearer(body["access_token"].as_str().unwrap());
                let session = body["id"].as_str().unwrap().to_owned();
                let token = Some(name);
                let perms = perms.into_iter().map(String::from).collect();
                self.scripts.insert(key, Caller { actor, session, token, perms, ..caller });
            }
            Effect::SignOut => {
                self.logins.remove(&key);
            }
        }
    }

    /// The grant to read their own pay that every user is given, which no answer tells of.
    pub(super) async fn learn_own_grant(&mut self, org: &'static str, name: &'static str) {
        let root = self.caller(org, ROOT, false).await.unwrap();
        let answer = root.actor.get(&format!("/users/{name}/grants")).send().await;
        let grants: Vec<Value> = answer.json().as_array().unwrap().clone();
        assert_eq!((grants.len(), &grants[0]["reach"]), (1, &Value::from("own")), "{name}");
        self.hold(org, name, "read", "own");
        self.grants.last_mut().unwrap().id = grants[0]["id"].as_str().unwrap().to_owned();
    }
}

/// A change that was asked for.
pub(super) struct Learned<'a> {
    caller: Caller<'a>,
    action: &'static str,
    permission: Option<&'static str>,
    names: BTreeSet<String>,
    effect: Effect,
}

impl<'a> Change<'a> {
    /// What to send, and what then to take in.
    pub(super) fn parts(self) -> (Ask<'a>, Learned<'a>) {
        let Self { caller, ask, action, permission, names, effect } = self;
        (ask, Learned { caller, action, permission, names, effect })
    }
}

impl Person {
    pub(super) fn employee() -> Self {
        Self { is_employee: true, is_user: false, is_disabled: false, team: None }
    }

    pub(super) fn user() -> Self {
        Self { is_user: true, ..Self::employee() }
    }
}
