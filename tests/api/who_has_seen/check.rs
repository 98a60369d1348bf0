//! What is told of who has seen whom, and of all else, against what has happened.

use std::collections::{BTreeMap, BTreeSet};

use proptest::prelude::*;
use serde_json::{Value, json};
use stipend::domain::{OrgName, Username};
use stipend::policy::{Audit, Principal};
use stipend::service::audit::{self, ReadersBody};
use stipend::store::audit::Origin;
use stipend::store::reading::Asker;

use super::world::{Caller, Entry, NAMES, ORGS, ROOT, Reach, World};
use crate::model::{one_of, path};
use crate::tampering;

/// Which records are asked for.
#[derive(Clone, Debug)]
pub(super) struct AuditFilter {
    actor: Option<&'static str>,
    subject: Option<&'static str>,
    action: Option<&'static str>,
    from: Option<&'static str>,
    to: Option<&'static str>,
    csv: bool,
}

const MOMENTS: [&str; 4] = [
    "2026-03-10T12:00:00.000Z",
    "2026-03-10T20:00:00.000Z",
    "2026-03-11T12:00:00.000Z",
    "2026-03-12T12:00:00.000Z",
];
const LOOKS: [(&str, &str); 5] = [
    ("list_pay", "list"),
    ("export_pay", "export"),
    ("sum_pay", "sum"),
    ("read_history", "history"),
    // By root, who reads the whole org.
    ("import_pay", "import"),
];
/// How many of those whom a record is about are named.
const NAMED: usize = 100;

impl AuditFilter {
    pub(super) const ALL: Self =
        Self { actor: None, subject: None, action: None, from: None, to: None, csv: false };

    pub(super) fn any() -> impl Strategy<Value = Self> {
        let actor = one_of(&["a", "z", "byt", ROOT, "operator", "nobody"]);
        let action = one_of(&["list_pay", "read_history", "log_in", "give_grant", "read_readers"]);
        (
            prop::option::weighted(0.4, actor),
            prop::option::weighted(0.4, one_of(&NAMES)),
            prop::option::weighted(0.3, action),
            prop::option::weighted(0.2, one_of(&MOMENTS)),
            prop::option::weighted(0.2, one_of(&MOMENTS)),
            any::<bool>(),
        )
            .prop_map(|(actor, subject, action, from, to, csv)| Self {
                actor,
                subject,
                action,
                from,
                to,
                csv,
            })
    }

    fn path(&self, limit: Option<u16>) -> String {
        let text = |text: Option<&str>| text.map(String::from);
        path(
            "/audit",
            &[
                ("actor", text(self.actor)),
                ("subject", text(self.subject)),
                ("action", text(self.action)),
                ("from", text(self.from)),
                ("to", text(self.to)),
                ("limit", limit.map(|limit| limit.to_string())),
            ],
        )
    }

    fn holds(&self, entry: &Entry) -> bool {
        self.actor.is_none_or(|actor| entry.actor == actor)
            && self.action.is_none_or(|action| entry.action == action)
            && self.from.is_none_or(|from| entry.at.as_str() >= from)
            && self.to.is_none_or(|to| entry.at.as_str() < to)
    }
}

/// What was told, newest first, is what was to be told; those of one moment in any order.
pub(super) fn assert_told(
    mut told: Vec<(String, Value)>,
    expected: Vec<(usize, String, Value)>,
    what: &str,
) {
    let rounds: BTreeMap<&String, usize> =
        expected.iter().map(|(round, request, _)| (request, *round)).collect();
    let order: Vec<usize> =
        told.iter().map(|(request, _)| rounds.get(request).copied().unwrap_or(0)).collect();
    let mut lines: Vec<String> = Vec::new();
    for (_, request, says) in &expected {
        // By which grants is not known where something changed them at the same moment.
        if says.get("grants") == Some(&Value::Null) {
            told.iter_mut().filter(|(told, _)| told == request).for_each(|(_, told)| {
                told["grants"] = Value::Null;
            });
        }
        match told.iter().filter(|(told, says_too)| told == request && says_too == says).count() {
            0 => lines.push(format!("missing: {says}")),
            1 => {}
            n => lines.push(format!("told {n} times: {says}")),
        }
    }
    let invented = told.iter().filter(|(request, says)| {
        !expected.iter().any(|(_, other, so)| other == request && so == says)
    });
    lines.extend(invented.map(|(_, says)| format!("invented: {says}")));
    assert!(lines.is_empty(), "{what}:\n{}", lines.join("\n"));
    assert!(order.windows(2).all(|pair| pair[0] >= pair[1]), "{what}: not newest first: {told:?}");
}

impl<'a> World<'a> {
    /// Everything that is told of what was seen and done is what was.
    pub(super) async fn check(&mut self, limit: u16, filter: &AuditFilter) {
        for org in ORGS {
            let root = self.caller(org, ROOT, false).await.unwrap();
            for name in self.sample(org) {
                let path = format!("/pay/{name}/readers");
                self.check_looks(&root, &path, &name, true, Some(limit)).await;
                self.check_looks_by_operator(org, &name, limit).await;
                if let Some(own) = self.caller(org, &name, false).await {
                    self.check_looks(&own, "/me/readers", &name, false, Some(limit * 3)).await;
                }
            }
            for (name, script) in NAMES.into_iter().flat_map(|name| [(name, false), (name, true)]) {
                let Some(auditor) = self.caller(org, name, script).await else { continue };
                self.check_auditor(&auditor, limit, filter).await;
            }
            self.check_records(&root, &AuditFilter::ALL, None).await;
            self.check_records(&root, filter, Some(limit * 8)).await;
        }
    }

    /// Everybody of an org, but of very many only some.
    fn sample(&self, org: &'static str) -> Vec<String> {
        let people = self.people.keys().filter(|(of, _)| *of == org).map(|(_, name)| name);
        let is_sampled = |name: &&String| {
            !name.starts_with("c0") && !name.starts_with("c1") || name.ends_with("77")
        };
        people.filter(is_sampled).cloned().collect()
    }

    async fn check_auditor(&mut self, auditor: &Caller<'a>, limit: u16, filter: &AuditFilter) {
        let Some(reach) = self.audits(auditor) else {
            for path in ["/audit", "/pay/a/readers"] {
                let status = auditor.actor.get(path).send().await.status;
                if status == 401 {
                    return self.forget(auditor);
                }
                assert_eq!(status, 403, "{} {path}", auditor.name);
            }
            return;
        };
        for name in NAMES {
            let path = format!("/pay/{name}/readers");
            if reach.holds(name) && self.person(auditor.org, name).is_some() {
                self.check_looks(auditor, &path, name, true, None).await;
            } else {
                let answer = auditor.actor.get(&path).send().await;
                assert_eq!(answer.status, 404, "{auditor:?} {path} {reach:?}: {answer:?}");
            }
        }
        self.check_records(auditor, &AuditFilter::ALL, None).await;
        self.check_records(auditor, filter, Some(limit * 8)).await;
        self.check_records(auditor, filter, None).await;
    }

    /// Who has seen somebody, by page.
    async fn check_looks(
        &mut self,
        caller: &Caller<'a>,
        path: &str,
        whom: &str,
        to_auditor: bool,
        limit: Option<u16>,
    ) {
        let expected = self.looks_at(caller.org, whom, to_auditor);
        let mut told = Vec::new();
        let mut next = Some(match limit {
            Some(limit) => format!("{path}?limit={limit}"),
            None => path.to_owned(),
        });
        while let Some(path) = next {
            self.round += 1;
            let answer = caller.actor.get(&path).send().await;
            if answer.status == 401 && told.is_empty() {
                return self.forget(caller);
            }
            assert_eq!(answer.status, 200, "{path} {}: {answer:?}", caller.name);
            let permission = to_auditor.then_some("audit");
            self.learn_reading(caller, "read_readers", permission, Some(whom), &answer);
            let body = answer.json();
            assert_eq!(
                (&body["username"], &body["archived_before"]),
                (&json!(whom), &json!(self.archived_before))
            );
            let page = body["readers"].as_array().unwrap();
            assert!(page.len() <= limit.map_or(100, usize::from), "{path}: too long a page");
            told.extend(page.iter().map(comparable));
            next = answer.next_page();
            assert!(next.is_none() || !page.is_empty(), "{path}: an empty page before others");
        }
        assert_told(told, expected, &format!("{}/{whom} as told to {}", caller.org, caller.name));
    }

    /// The same as `stipend audit readers` tells it.
    async fn check_looks_by_operator(&mut self, org: &'static str, whom: &str, limit: u16) {
        let expected = self.looks_at(org, whom, true);
        let (mut told, mut after) = (Vec::new(), None);
        loop {
            self.round += 1;
            let request = format!("operator-{}", self.round);
            let origin = Origin { client: "local".into(), request_id: request.clone() };
            let act = tampering::act(self.app, &origin);
            let name = |name: &str| Username::parse(name).unwrap();
            let principal = Principal::operator(OrgName::parse(org).unwrap(), name("operator"));
            let allowed = principal.allow::<Audit>(act.now().day()).unwrap();
            let asker = Asker::Auditor(allowed, name(whom));
            let found = audit::looks(act, asker, after, limit).await.unwrap();
            after = found.next;
            let body = ReadersBody::new(&name(whom), found, true).unwrap();
            let body = serde_json::to_value(body).unwrap();
            told.extend(body["readers"].as_array().unwrap().iter().map(comparable));
            let mut entry = self.entry(org, "operator", "read_readers", &request);
            (entry.permission, entry.grants) =
                (Some("audit"), Some(BTreeSet::from(["operator".into()])));
            entry.names = BTreeSet::from([whom.to_owned()]);
            self.truth.push(entry);
            if after.is_none() {
                break;
            }
        }
        assert_told(told, expected, &format!("{org}/{whom} as told to the operator"));
    }

    /// Who has seen somebody: of each look its round, its request, and what is told of it.
    pub(super) fn looks_at(
        &self,
        org: &'static str,
        whom: &str,
        to_auditor: bool,
    ) -> Vec<(usize, String, Value)> {
        let as_what =
            |action: &str| LOOKS.iter().find(|(look, _)| *look == action).map(|(_, what)| *what);
        let told = |entry: &Entry| {
            let what = as_what(&entry.action)?;
            if entry.org != org || !entry.names.contains(whom) {
                return None;
            }
            let mut told = json!({
                "at": entry.at, "actor": entry.actor, "seen_as": what, "permission": entry.permission,
                "fields": entry.fields, "sort": entry.sort, "as_of": entry.as_of, "known_at": entry.known_at,
                "token": entry.token, "request_id": entry.request,
                "grants": self.grants_told(entry, whom),
            });
            if to_auditor {
                told["client"] = json!("local");
                if let Some(session) = &entry.session {
                    told["session"] = json!(session);
                }
            }
            Some((entry.round, entry.request.clone(), told))
        };
        self.truth.iter().rev().filter_map(told).collect()
    }

    /// Of the grants by which somebody looked, those that are told to the person whom they saw: which
    /// reach that person, and where none does, those over teams, in which they may have been. Null where
    /// it is not known which those were.
    fn grants_told(&self, entry: &Entry, whom: &str) -> Value {
        let Some(ids) = &entry.grants else { return Value::Null };
        let team = self.person(entry.org, whom).and_then(|person| person.team);
        let (mut surely, mut perhaps) = (BTreeSet::new(), BTreeSet::new());
        for held in
            self.grants.iter().filter(|held| held.org == entry.org && ids.contains(&held.id))
        {
            let grant = (held.id.clone(), Some(held.reach.clone()));
            match held.reach.split_once(':') {
                Some(("user", name)) if name == whom => surely.insert(grant),
                Some(("team", name)) if team == Some(name) => surely.insert(grant),
                Some(("team", _)) => perhaps.insert(grant),
                Some(_) => false,
                None => (held.reach == "org" || entry.actor == whom) && surely.insert(grant),
            };
        }
        let told = if surely.is_empty() { perhaps } else { surely };
        if told.is_empty() {
            return json!(ids.iter().map(|id| (id, Value::Null)).collect::<Vec<_>>());
        }
        json!(told)
    }

    /// The records that somebody may see, by page or all at once.
    async fn check_records(
        &mut self,
        auditor: &Caller<'a>,
        filter: &AuditFilter,
        limit: Option<u16>,
    ) {
        let Some(reach) = self.audits(auditor) else { return };
        let expected = self.records_for(auditor.org, &reach, filter);
        let mut told = Vec::new();
        let mut next = Some(filter.path(limit));
        while let Some(path) = next {
            self.round += 1;
            let mut ask = auditor.actor.get(&path);
            if filter.csv {
                ask = ask.field("Accept", "text/csv");
            }
            let answer = ask.send().await;
            if answer.status == 401 && told.is_empty() {
                return self.forget(auditor);
            }
            assert_eq!(answer.status, 200, "{path} {}: {answer:?}", auditor.name);
            self.learn_reading(auditor, "read_audit", Some("audit"), filter.subject, &answer);
            let before = told.len();
            if filter.csv {
                told.extend(cells(&answer.body));
            } else {
                for record in answer.json().as_array().unwrap() {
                    assert_withheld(record, &reach);
                    let subjects = record["subjects"]
                        .as_array()
                        .unwrap()
                        .iter()
                        .map(|name| name.as_str().unwrap().to_owned());
                    told.push(shown(
                        record,
                        subjects.collect(),
                        record["people"].as_u64().unwrap(),
                    ));
                }
            }
            assert!(limit.is_none_or(|limit| told.len() - before <= usize::from(limit)), "{path}");
            next = answer.next_page();
        }
        let what = format!("records for {}/{} by {filter:?}", auditor.org, auditor.name);
        assert_told(told, expected, &what);
    }

    fn records_for(
        &self,
        org: &'static str,
        reach: &Reach,
        filter: &AuditFilter,
    ) -> Vec<(usize, String, Value)> {
        let told = |entry: &Entry| {
            let is_here = entry.org == org || entry.org.is_empty() && *reach == Reach::All;
            let names: Vec<&String> = entry.names.iter().filter(|name| reach.holds(name)).collect();
            let about = |subject: &str| names.iter().any(|name| *name == subject);
            if !is_here
                || names.is_empty() && *reach != Reach::All
                || filter.subject.is_some_and(|subject| !about(subject))
                || !filter.holds(entry)
            {
                return None;
            }
            let first: Vec<&String> = names.iter().take(NAMED).copied().collect();
            let says = json!({
                "at": entry.at, "actor": entry.actor, "action": entry.action,
                "permission": entry.permission, "session": entry.session, "token": entry.token,
                "outcome": "done", "subjects": first, "people": names.len(),
            });
            Some((entry.round, entry.request.clone(), says))
        };
        self.truth.iter().rev().filter_map(told).collect()
    }
}

/// A look as it was told, to be compared, under its request.
pub(super) fn comparable(look: &Value) -> (String, Value) {
    let mut look = look.clone();
    let members = look.as_object_mut().unwrap();
    assert!(members.remove("id").unwrap().as_i64().unwrap() > 0);
    let grants: BTreeSet<(String, Option<String>)> = look["grants"]
        .as_array()
        .unwrap()
        .iter()
        .map(|grant| {
            (grant["id"].as_str().unwrap().to_owned(), grant["reach"].as_str().map(String::from))
        })
        .collect();
    look["grants"] = json!(grants);
    (look["request_id"].as_str().unwrap().to_owned(), look)
}

fn shown(record: &Value, subjects: Vec<String>, people: u64) -> (String, Value) {
    let mut says = json!({ "outcome": record["outcome"], "subjects": subjects, "people": people });
    for member in ["at", "actor", "action", "permission", "session", "token"] {
        says[member] = record[member].clone();
    }
    (record["request_id"].as_str().unwrap().to_owned(), says)
}

/// Whoever audits some people is told nothing by which others could be known.
fn assert_withheld(record: &Value, reach: &Reach) {
    let is_all = *reach == Reach::All;
    for member in ["chain", "seq", "hash"] {
        assert_eq!(record[member].is_null(), !is_all, "{record}");
    }
    if is_all {
        return;
    }
    let detail = &record["detail"];
    for member in ["q", "recorded", "unchanged"] {
        assert!(detail[member].is_null(), "{record}");
    }
    let given = detail["reach"].as_str().and_then(|reach| reach.strip_prefix("user:"));
    for name in [detail["actor"].as_str(), detail["subject"].as_str(), given].into_iter().flatten()
    {
        assert!(reach.holds(name), "{record}");
    }
}

/// The same of the rows of a file.
fn cells(file: &[u8]) -> Vec<(String, Value)> {
    let mut reader = csv::Reader::from_reader(file);
    let names = reader.headers().unwrap().clone();
    let rows = reader.records().map(|row| {
        let row = row.unwrap();
        let cell = |name: &str| &row[names.iter().position(|other| other == name).unwrap()];
        let mut record = json!({});
        for name in names.iter() {
            record[name] = if cell(name).is_empty() { Value::Null } else { json!(cell(name)) };
        }
        let subjects = cell("subjects").split(' ').filter(|name| !name.is_empty());
        shown(&record, subjects.map(String::from).collect(), cell("people").parse().unwrap())
    });
    rows.collect()
}
