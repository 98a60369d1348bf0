//! How what happens is done: over HTTP, or as the command line does it.

use std::collections::BTreeSet;
use std::path::Path;
use std::time::Duration;

use futures_util::FutureExt;
use rocket::futures::future::{join, join_all};
use rocket::http::Method;
use serde_json::{Value, json};
use stipend::clock::{Clock, Timestamp};
use stipend::domain::{OrgName, Username};
use stipend::policy::{Principal, Read as MayRead};
use stipend::service::export::{Field, Format, Renderer};
use stipend::service::shown::HistoryBody;
use stipend::service::{integrity, payroll};
use stipend::store::audit::Origin;
use stipend::store::disclosure::Rows;
use stipend::store::pay::{Chunk, Sink};

use super::acts::{Act, Filter, Name, Org, Read, Who};
use super::world::{Caller, Change, Effect, Entry, Held, NAMES, Person, ROOT, World};
use crate::support::app::{Actor, Answer};
use crate::tampering;

/// As many pages as all of [`NAMES`] have, of which one holds at least one.
const MOST_PAGES: usize = NAMES.len() + 2;

/// The list that tells whose rows the answer to a path is made of.
fn telling_names(path: &str) -> String {
    let (_, query) = path.split_once('?').unwrap_or((path, ""));
    let kept = query.split('&').filter(|pair| !pair.is_empty() && !pair.starts_with("fields="));
    let kept: Vec<&str> = kept.chain(["fields=username"]).collect();
    format!("/bearer?{}", kept.join("&"))
}

/// The user names that stand in an answer.
fn names_in(answer: &Answer) -> BTreeSet<String> {
    if answer.status != 200 {
        return BTreeSet::new();
    }
    if answer.field("Content-Type").unwrap().starts_with("text/csv") {
        return names_in_csv(&answer.body);
    }
    names_in_json(&answer.json())
}

/// The user names of some rows, or of one person.
pub(super) fn names_in_json(body: &Value) -> BTreeSet<String> {
    let name = |row: &Value| row["username"].as_str().unwrap().to_owned();
    match body.as_array() {
        Some(rows) => rows.iter().map(name).collect(),
        None => BTreeSet::from([name(body)]),
    }
}

fn names_in_csv(text: &[u8]) -> BTreeSet<String> {
    let mut reader = csv::Reader::from_reader(text);
    let column = reader.headers().unwrap().iter().position(|name| name == "username").unwrap();
    reader.records().map(|row| row.unwrap()[column].to_owned()).collect()
}

impl<'a> World<'a> {
    pub(super) async fn perform(&mut self, act: &Act) {
        self.round += 1;
        match act {
            Act::SignIn { org, name, perms } => self.sign_in(org, name, perms).await,
            Act::Read { who, read } => {
                if let Some(caller) = self.caller(who.org, who.name, who.script).await {
                    self.read(&caller, read).await;
                }
            }
            Act::Together { reads, change } => self.together(reads, change).await,
            Act::Operator { org, read } => self.read_as_operator(org, read).await,
            Act::Wait { hours } => self.wait(Duration::from_secs(hours * 3600)),
            Act::Archive => self.archive().await,
            Act::Check { limit, filter } => self.check(*limit, filter).await,
            other => {
                if let Some(change) = self.asked(other).await {
                    self.round += 1;
                    let (ask, learned) = change.parts();
                    let answer = ask.send().await;
                    self.learn_change(learned, &answer);
                    self.let_in(other, &answer).await;
                }
            }
        }
    }

    /// A user who was added is told a password that must be changed; here all have the same.
    async fn let_in(&mut self, act: &Act, answer: &Answer) {
        let Act::Add { org, name, is_user: true, .. } = act else { return };
        if answer.status != 201 {
            return;
        }
        let sql = format!(
            "UPDATE users SET password_expires_at = NULL, password_hash = \
                 (SELECT u.password_hash FROM users u WHERE u.org = '{org}' AND u.username = '{ROOT}') \
              WHERE org = '{org}' AND username = '{name}'"
        );
        self.app.database.execute(&sql).await;
        self.learn_own_grant(org, name).await;
    }

    /// A read, page after page.
    async fn read(&mut self, caller: &Caller<'a>, read: &Read) {
        let mut next = Some(read.path());
        let mut pages = 0;
        while let Some(path) = next {
            self.round += 1;
            if let Read::Wrong { anonymously: true, .. } = read {
                let answer = self.app.anonymous().get(&path).send().await;
                assert!(answer.status >= 400, "{path}: {answer:?}");
                return;
            }
            // The same, asked so that it tells them; nothing changes between.
            let twin = (!read.tells_names()).then(|| telling_names(&path));
            let mut names = None;
            if let Some(twin) = twin {
                let answer = caller.actor.get(&twin).send().await;
                let told = names_in(&answer);
                self.learn_read(caller, &twin, &answer, told.clone(), true);
                names = Some(told);
                self.round += 1;
            }
            let answer = read.ask(caller, &path).send().await;
            if answer.status == 200
                && let Read::Sum { .. } = read
            {
                let people = answer.json()["people"].as_u64().unwrap();
                assert_eq!(people, names.as_ref().unwrap().len() as u64, "{path}");
            }
            let is_error = matches!(read, Read::Wrong { .. });
            assert!(!is_error || answer.status >= 400, "{path}: {answer:?}");
            let names = names.unwrap_or_else(|| names_in(&answer));
            self.learn_read(caller, &path, &answer, names, true);
            next = answer.next_page();
            pages += 1;
            // Nobody turns a thousand pages here.
            if pages == MOST_PAGES {
                assert!(self.is_crowded(caller.org), "{read:?}: pages without end");
                return;
            }
        }
    }

    /// Some reads and a change at the same time.
    async fn together(&mut self, reads: &[(Who, Read)], change: &Act) {
        let mut asked = Vec::new();
        for (who, read) in reads.iter().filter(|(_, read)| read.tells_names()) {
            if matches!(read, Read::Wrong { .. }) {
                continue;
            }
            if let Some(caller) = self.caller(who.org, who.name, who.script).await {
                asked.push((caller, read, read.path()));
            }
        }
        let changes = self.asked(change).await;
        self.round += 1;
        let mut sent = Vec::new();
        for (caller, read, path) in &asked {
            sent.push(read.ask(caller, path).send().boxed_local());
        }
        let (changed, learned) = match changes.map(Change::parts) {
            Some((ask, learned)) => (Some(ask.send()), Some(learned)),
            None => (None, None),
        };
        let changing = async {
            match changed {
                Some(changed) => Some(changed.await),
                None => None,
            }
        };
        let (answers, changed) = join(join_all(sent), changing).await;
        for ((caller, _, path), answer) in asked.iter().zip(&answers) {
            self.learn_read(caller, path, answer, names_in(answer), false);
        }
        if let (Some(answer), Some(learned)) = (changed, learned) {
            self.learn_change(learned, &answer);
            self.let_in(change, &answer).await;
        }
    }

    /// A change, as it is asked for.
    async fn asked(&mut self, act: &Act) -> Option<Change<'a>> {
        Some(match act {
            Act::Add { org, name, team, is_employee, is_user } => {
                let mut body = json!({ "username": name, "user": is_user });
                if *is_employee {
                    body["name"] = json!(format!("N {name}"));
                    body["team"] = json!(team);
                }
                let mut person = self
                    .person(org, name)
                    .cloned()
                    .unwrap_or(Person { is_employee: false, ..Person::employee() });
                person.is_user |= is_user;
                if *is_employee {
                    person.is_employee = true;
                    person.team = *team;
                }
                let effect = Effect::Person(name, person);
                let ask = |root: &Actor<'a>| root.post("/users").json(body.to_string());
                self.change(org, "add_person", "manage", &[name], effect, ask).await
            }
            Act::Move { org, name, team } => {
                let person = Person { team: *team, ..self.person(org, name)?.clone() };
                let body = json!({ "team": team });
                self.patch(org, name, "change_person", person, body).await
            }
            Act::Disable { org, name } | Act::Enable { org, name } => {
                let disable = matches!(act, Act::Disable { .. });
                let person = self.person(org, name)?;
                if !person.is_user || person.is_disabled == disable {
                    return None;
                }
                let person = Person { is_disabled: disable, ..person.clone() };
                let action = if disable { "disable_user" } else { "enable_user" };
                self.patch(org, name, action, person, json!({ "disabled": disable })).await
            }
            Act::Pay { org, name, day, amount } => {
                let body = json!({
                    "effective_from": day, "amount": amount.to_string(), "currency": "USD",
                });
                let path = format!("/pay/{name}");
                let ask = |root: &Actor<'a>| {
                    root.post(&path).field("If-Match", "*").json(body.to_string())
                };
                self.change(org, "record_pay", "write", &[name], Effect::Nothing, ask).await
            }
            Act::Import { org, names, dry_run } => {
                let lines = names.iter().map(|name| format!("{name},2026-03-01,7,EUR\r\n"));
                let file = lines.fold(
                    "username,effective_from,amount,currency\r\n".to_owned(),
                    |file, line| file + &line,
                );
                let names: Vec<Name> = names.iter().copied().collect();
                let path = format!("/pay?dry_run={dry_run}");
                let ask = |root: &Actor<'a>| {
                    root.post(&path).field("Content-Type", "text/csv").body(file)
                };
                self.change(org, "import_pay", "write", &names, Effect::Nothing, ask).await
            }
            Act::Give { org, holder, permission, reach, days } => {
                let now = self.app.clock.now();
                let until =
                    days.map(|days| now.plus(Duration::from_secs(days * 86_400)).day().to_string());
                let body = json!({
                    "permission": permission, "reach": reach, "until": until, "reason": "test",
                });
                let effect = Effect::Give { holder, permission, reach: reach.clone(), until };
                let path = format!("/users/{holder}/grants");
                let ask = |root: &Actor<'a>| root.post(&path).json(body.to_string());
                self.change(org, "give_grant", "manage", &[holder], effect, ask).await
            }
            Act::End { at } => {
                let ends = |(_, held): &(usize, &Held)| held.holder != ROOT && !held.is_ended;
                let all: Vec<_> = self.grants.iter().enumerate().filter(ends).collect();
                if all.is_empty() {
                    return None;
                }
                let (at, held) = *at.get(&all);
                // The tests' own ids hold what no path does.
                if held.id.contains(' ') {
                    return None;
                }
                let (org, path) = (held.org, format!("/users/{}/grants/{}", held.holder, held.id));
                let holder = NAMES.into_iter().find(|name| *name == held.holder)?;
                let ask = |root: &Actor<'a>| root.delete(&path);
                self.change(org, "end_grant", "manage", &[holder], Effect::End(at), ask).await
            }
            Act::SignOut { who } => {
                let caller = self.caller(who.org, who.name, false).await?;
                self.own_change(caller, "log_out", Effect::SignOut, |own| own.delete("/jwt"))
            }
            Act::Script { org, name, perms } => {
                let caller = self.caller(org, name, false).await?;
                let may = |perm: &&str| *perm != "manage" && self.may(&caller, perm);
                let perms: Vec<&str> = perms.iter().copied().filter(may).collect();
                let name = format!("t{}", self.round);
                let body = json!({ "name": name, "until": "2026-12-31", "perms": perms });
                let effect = Effect::Token { name, perms };
                self.own_change(caller, "add_token", effect, |own| {
                    own.post("/me/tokens").json(body.to_string())
                })
            }
            _ => return None,
        })
    }

    async fn patch(
        &mut self,
        org: Org,
        name: Name,
        action: &'static str,
        person: Person,
        body: Value,
    ) -> Change<'a> {
        let path = format!("/users/{name}");
        let effect = Effect::Person(name, person);
        let ask = |root: &Actor<'a>| {
            root.ask(Method::Patch, &path).field("If-Match", "*").json(body.to_string())
        };
        self.change(org, action, "manage", &[name], effect, ask).await
    }

    /// A read as `stipend pay` does it.
    async fn read_as_operator(&mut self, org: Org, read: &Read) {
        let request = format!("operator-{}", self.round);
        let origin = Origin { client: "local".into(), request_id: request.clone() };
        let act = tampering::act(self.app, &origin);
        let principal =
            Principal::operator(OrgName::parse(org).unwrap(), Username::parse("operator").unwrap());
        let allowed = principal.allow::<MayRead>(act.now().day()).unwrap();
        let mut entry = self.entry(org, "operator", "", &request);
        (entry.permission, entry.grants) =
            (Some("read"), Some(BTreeSet::from(["operator".into()])));
        let now = act.now();
        let as_of =
            |filter: &Filter| Some(filter.as_of.map_or(now.day().to_string(), String::from));
        let moment = |text: &str| text.replace(":00Z", ":00.000Z");
        match read {
            Read::List { filter, .. } => {
                let found = payroll::list(
                    act,
                    allowed.into(),
                    filter.query(now),
                    &["username", "salary"],
                    true,
                    None,
                );
                let mut rows = Csv(Renderer::new(Format::Csv, Field::DEFAULT.to_vec()).head());
                match found.await.unwrap().rows {
                    Rows::Chunk(chunk) => assert!(rows.take(chunk).await),
                    Rows::Rest(rest) => rest.send_to(&mut rows).await.unwrap(),
                    Rows::Text(_) => panic!("no shape was asked for"),
                }
                entry.action = "export_pay".into();
                entry.names = names_in_csv(&rows.0);
                entry.fields = vec!["username".into(), "salary".into()];
                (entry.as_of, entry.known_at) = (as_of(filter), filter.known_at.map(moment));
            }
            Read::History { whom, known_at } => {
                let known = known_at.map(|at| Timestamp::parse(at).unwrap());
                let username = Username::parse(whom).unwrap();
                let Ok(found) = payroll::history(act, allowed.into(), &username, known).await
                else {
                    return;
                };
                let shown = serde_json::to_value(HistoryBody::from(&found)).unwrap();
                entry.action = "read_history".into();
                entry.names = BTreeSet::from([shown["username"].as_str().unwrap().to_owned()]);
                entry.known_at = known_at.map(moment);
            }
            Read::Sum { .. } | Read::Wrong { .. } => return,
        }
        self.truth.push(entry);
    }

    /// Moves what is older than today to a file.
    async fn archive(&mut self) {
        let request_id = format!("archive-{}", self.round);
        let origin = Origin { client: "local".into(), request_id };
        let today = self.app.clock.now().day();
        let folder: &Path = self.app.database.folder.path();
        let file = folder.join(format!("{}.jsonl", self.round));
        let keys = &self.app.auth().keys;
        let done = integrity::archive(tampering::act(self.app, &origin), keys, today, &file).await;
        let done = done.unwrap();
        let start = format!("{today}T");
        let (old, kept): (Vec<Entry>, Vec<Entry>) =
            std::mem::take(&mut self.truth).into_iter().partition(|entry| entry.at < start);
        assert_eq!(done.as_ref().map_or(0, |done| done.records), old.len() as u64);
        self.truth = kept;
        if done.is_some() {
            self.archived += old.len();
            self.archives.push(file);
            self.archived_before = Some(today.to_string());
            let entry = self.entry("", "operator", "archive_audit", &origin.request_id);
            self.truth.push(entry);
        }
    }
}

/// Rows as the command line writes them.
struct Csv(Vec<u8>);

impl Sink for Csv {
    async fn take(&mut self, chunk: Chunk) -> bool {
        let mut renderer = Renderer::new(Format::Csv, Field::DEFAULT.to_vec());
        self.0.extend(renderer.rows(&chunk).unwrap());
        true
    }
}
