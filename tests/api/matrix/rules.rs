//! What the matrix says: the people, what is asked of them, and the plain function.

use rocket::http::Method;
use serde_json::{Value, json};

use crate::support::app::{Actor, Ask};

pub(super) const PERMISSIONS: [&str; 4] = ["read", "write", "manage", "audit"];

/// Somebody of acme.
pub(super) struct Person {
    pub(super) name: &'static str,
    pub(super) full_name: Option<&'static str>,
    pub(super) team: Option<&'static str>,
    /// What the schema holds, and how it is written.
    pub(super) pay: Option<(i64, &'static str, &'static str)>,
    pub(super) is_user: bool,
}

#[rustfmt::skip]
pub(super) const PEOPLE: [Person; 8] = [
    Person { name: "ann", full_name: Some("Wu, Ann"), team: Some("ops"), pay: Some((100_001, "USD", "$1000.01")), is_user: true },
    Person { name: "bob", full_name: Some("Lee, B"), team: Some("ops"), pay: Some((300_000, "JPY", "¥300000")), is_user: true },
    Person { name: "cyd", full_name: Some("Abt, C"), team: Some("dev"), pay: Some((200_000, "EUR", "€2000.00")), is_user: true },
    Person { name: "dan", full_name: Some("Lee, D"), team: None, pay: Some((99_900, "USD", "$999.00")), is_user: true },
    Person { name: "eve", full_name: None, team: None, pay: None, is_user: true },
    Person { name: "fay", full_name: Some("Roe, F"), team: Some("ops"), pay: Some((7, "USD", "$0.07")), is_user: false },
    Person { name: "gus", full_name: Some("Zug, G"), team: Some("dev"), pay: Some((7, "USD", "$0.07")), is_user: true },
    Person { name: "hal", full_name: Some("New, H"), team: Some("ops"), pay: None, is_user: false },
];
/// `gus` cannot sign in any more; nobody of acme is called `zoe` or `nobody`, but zeta has a `zoe`.
pub(super) const TARGETS: [&str; 11] =
    ["ann", "bob", "cyd", "dan", "eve", "fay", "gus", "hal", "zoe", "nobody", "No%20Name"];

#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) enum State {
    Live,
    LastDayToday,
    LastDayYesterday,
    Ended,
}

use State::{Ended, LastDayToday, LastDayYesterday, Live};

#[derive(Clone, Copy, Debug)]
pub(super) struct Grant {
    holder: &'static str,
    permission: &'static str,
    reach: &'static str,
    state: State,
}

impl Grant {
    pub(super) fn of(holder: &'static str, permission: &'static str, reach: &'static str) -> Self {
        Self { holder, permission, reach, state: Live }
    }

    pub(super) fn id(&self) -> String {
        format!("{} {} {} {:?}", self.holder, self.permission, self.reach, self.state)
    }

    fn holds(&self) -> bool {
        matches!(self.state, Live | LastDayToday)
    }

    pub(super) fn reaches(&self, whom: &Person) -> bool {
        match self.reach.split_once(':') {
            Some(("user", name)) => whom.name == name,
            Some((_, team)) => whom.team == Some(team),
            None => self.reach == "org" || whom.name == self.holder,
        }
    }

    pub(super) fn sql(&self, org: &str) -> String {
        let Self { holder, permission, reach, state } = self;
        let (kind, name) = match reach.split_once(':') {
            Some((kind, name)) => (kind, format!("'{name}'")),
            None => (*reach, "NULL".into()),
        };
        let (last_day, ended) = match state {
            Live => ("NULL", "NULL, NULL"),
            LastDayToday => ("'2026-03-10'", "NULL, NULL"),
            LastDayYesterday => ("'2026-03-09'", "NULL, NULL"),
            Ended => ("NULL", "'test', 1"),
        };
        format!(
            "INSERT INTO grants (org, grant_id, username, permission, reach_kind, reach_name, \
                                 last_day, reason, granted_by, granted_at, ended_by, ended_at) \
             VALUES ('{org}', '{}', '{holder}', '{permission}', '{kind}', {name}, {last_day}, \
                     'test', 'test', 0, {ended});",
            self.id()
        )
    }
}

/// What others hold: all that ann may not come to hold by a slip.
pub(super) fn others() -> Vec<Grant> {
    let mut grants = Vec::new();
    for permission in PERMISSIONS {
        for reach in ["own", "user:cyd", "team:dev", "org"] {
            grants.push(Grant::of("bob", permission, reach));
            grants.push(Grant::of("gus", permission, reach));
        }
        grants.push(Grant::of("cyd", permission, "user:ann"));
        grants.push(Grant { state: LastDayYesterday, ..Grant::of("dan", permission, "org") });
    }
    for person in PEOPLE.iter().filter(|person| person.is_user && person.name != "ann") {
        grants.push(old(person.name));
    }
    grants
}

/// A grant that everybody once had.
pub(super) fn old(holder: &'static str) -> Grant {
    Grant { state: Ended, ..Grant::of(holder, "read", "team:old") }
}

/// What ann holds, and to what her token is narrowed.
#[derive(Debug)]
pub(super) struct Role {
    pub(super) grants: Vec<Grant>,
    pub(super) perms: Vec<&'static str>,
}

impl Role {
    pub(super) fn new(grants: Vec<Grant>) -> Self {
        Self { grants, perms: PERMISSIONS.to_vec() }
    }

    pub(super) fn counts(&self, permission: &str) -> impl Iterator<Item = &Grant> {
        self.grants.iter().filter(move |grant| {
            grant.permission == permission && grant.holds() && self.perms.contains(&permission)
        })
    }

    /// Whom the role reaches with one of these permissions; none without any.
    pub(super) fn reached(&self, permissions: &[&str]) -> Option<Vec<&'static Person>> {
        let counts: Vec<&Grant> =
            permissions.iter().flat_map(|permission| self.counts(permission)).collect();
        let reached = |person: &&Person| counts.iter().any(|grant| grant.reaches(person));
        (!counts.is_empty()).then(|| PEOPLE.iter().filter(reached).collect())
    }

    /// Whether ann may give bob a permission over a reach, without end.
    pub(super) fn may_give(&self, permission: &str, reach: &str) -> bool {
        let own = |reach: &str, holder| match reach {
            "own" => format!("user:{holder}"),
            other => other.to_owned(),
        };
        let wanted = own(reach, "bob");
        let person = wanted.strip_prefix("user:");
        let team = PEOPLE.iter().find(|other| Some(other.name) == person).and_then(|it| it.team);
        self.counts(permission).filter(|grant| grant.state == Live).any(|grant| {
            grant.reach == "org"
                || own(grant.reach, "ann") == wanted
                || team.is_some_and(|team| grant.reach == format!("team:{team}"))
        })
    }
}

/// What is done to one person.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Op {
    History,
    Record,
    Import,
    Explain,
    Person,
    Change,
    Grants,
    Give,
    End,
    Add,
}

#[rustfmt::skip]
pub(super) const OPS: [Op; 10] = [
    Op::History, Op::Record, Op::Import, Op::Explain, Op::Person, Op::Change, Op::Grants, Op::Give,
    Op::End, Op::Add,
];

impl Op {
    /// The permissions one of which it needs.
    fn needs(self) -> &'static [&'static str] {
        match self {
            Self::History => &["read"],
            Self::Record | Self::Import => &["write"],
            Self::Explain => &["manage", "audit"],
            _ => &["manage"],
        }
    }

    /// The request. Where it is allowed, it leaves everything as it was but for a rate of 2030.
    pub(super) fn ask<'a>(self, caller: &Actor<'a>, whom: &str) -> Ask<'a> {
        let user = format!("/users/{whom}");
        match self {
            Self::History => caller.get(&format!("/pay/{whom}")),
            Self::Record => caller
                .post(&format!("/pay/{whom}"))
                .field("If-Match", "*")
                .json(r#"{"effective_from":"2030-01-01","amount":"1","currency":"USD"}"#),
            Self::Import => {
                caller.post("/pay?dry_run=true").field("Content-Type", "text/csv").body(format!(
                    "username,effective_from,amount,currency\n{whom},2030-01-02,1,USD\n"
                ))
            }
            Self::Explain => caller.get(&format!("/explain?who=ann&whom={whom}")),
            Self::Person => caller.get(&user),
            Self::Change => caller.ask(Method::Patch, &user).field("If-Match", "*").json("{}"),
            Self::Grants => caller.get(&format!("{user}/grants")),
            Self::Give => caller
                .post(&format!("{user}/grants"))
                .json(r#"{"permission":"manage","reach":"user:nobody","reason":"test"}"#),
            Self::End => {
                // An id as the test writes it, and as a path writes it.
                let id = old("-").id().replace('-', whom).replace(' ', "%20");
                caller.delete(&format!("{user}/grants/{id}"))
            }
            Self::Add => caller
                .post("/users")
                .json(json!({ "username": whom, "name": "X", "user": false }).to_string()),
        }
    }
}

/// What the answer must be.
#[derive(Debug)]
pub(super) enum Expected {
    /// 403: the permission is missing altogether.
    Lacks(&'static str),
    /// What is answered for a name that nobody has.
    Missing,
    /// This, and whatever body.
    Is(u16),
    /// 200 with such a body, as far as [`shape`] looks.
    Shows(Value),
}

/// What the answer must be; none for what is not asked, as it would change the world.
pub(super) fn expected(role: &Role, op: Op, target: &str) -> Option<Expected> {
    if matches!(op, Op::Explain | Op::Import) && target == "No%20Name" {
        return None; // what is asked is checked before who asks
    }
    let Some(reached) = role.reached(op.needs()) else {
        // One answer for everybody: three of them are enough.
        let asked = matches!(target, "ann" | "cyd" | "nobody");
        return asked.then_some(Expected::Lacks(op.needs()[0]));
    };
    let person = reached.iter().find(|person| person.name == target);
    if op == Op::Add {
        // A name without an employee would get one.
        let there = PEOPLE.iter().any(|it| it.name == target && it.full_name.is_some());
        return there.then_some(Expected::Is(if person.is_some() { 409 } else { 403 }));
    }
    let Some(person) = person else {
        return Some(Expected::Missing);
    };
    let fits = match op {
        Op::History | Op::Record | Op::Import => person.full_name.is_some(),
        Op::End => person.is_user,
        _ => true,
    };
    if !fits {
        return Some(Expected::Missing);
    }
    let all = || others().into_iter().chain(role.grants.iter().copied()).chain([old("ann")]);
    Some(match op {
        Op::History => {
            let rates: Vec<&str> = person.pay.iter().map(|pay| pay.2).collect();
            Expected::Shows(json!([person.name, person.full_name, person.team, rates]))
        }
        Op::Person | Op::Change => Expected::Shows(json!({
            "username": person.name, "name": person.full_name, "team": person.team,
            "employee": person.full_name.is_some(), "user": person.is_user,
            "disabled": person.name == "gus",
        })),
        Op::Grants => {
            let mut ids: Vec<String> =
                all().filter(|it| it.holder == target).map(|it| it.id()).collect();
            ids.sort();
            Expected::Shows(json!(ids))
        }
        Op::Explain => {
            let sees = |it: &Grant| {
                it.permission == "read" && it.holds() && it.reaches(person) && it.holder != "gus"
            };
            let mut everybody: Vec<String> = all().filter(sees).map(|it| it.id()).collect();
            everybody.sort();
            let by: Vec<&String> = everybody.iter().filter(|id| id.starts_with("ann ")).collect();
            Expected::Shows(json!([!by.is_empty(), by, everybody]))
        }
        Op::Give if person.is_user && !role.may_give("manage", "user:nobody") => Expected::Is(403),
        Op::Give => Expected::Is(400),
        Op::Record => Expected::Is(201),
        Op::Import => Expected::Is(200),
        Op::End => Expected::Is(204),
        Op::Add => return None,
    })
}

/// Of an answer, what [`expected`] says of it.
pub(super) fn shape(op: Op, answer: &Value) -> Value {
    let ids = |grants: &Value| -> Vec<String> {
        let mut ids: Vec<String> =
            grants.as_array().unwrap().iter().map(|it| it["id"].as_str().unwrap().into()).collect();
        ids.sort();
        ids
    };
    match op {
        Op::History => {
            let rates = answer["rates"].as_array().unwrap().iter();
            let rates: Vec<&Value> = rates
                .filter(|rate| rate["effective_from"] != "2030-01-01")
                .map(|rate| &rate["salary"])
                .collect();
            json!([answer["username"], answer["name"], answer["team"], rates])
        }
        Op::Grants => json!(ids(answer)),
        Op::Explain => json!([answer["sees"], ids(&answer["by"]), ids(&answer["everybody"])]),
        _ => answer.clone(),
    }
}

/// The rows of those who are paid, in order.
pub(super) fn paid(people: &[&Person], sort: &str, descending: bool) -> Vec<Value> {
    let mut rows: Vec<(String, &Person)> = people
        .iter()
        .filter_map(|person| {
            let (minor, currency, _) = person.pay?;
            let key = match sort {
                "name" => person.full_name?.to_owned(),
                "team" => person.team.unwrap_or_default().to_owned(),
                "amount" => format!("{currency}{minor:020}"),
                _ => String::new(),
            };
            Some((key, *person))
        })
        .collect();
    rows.sort_by(|(a, one), (b, other)| (a, one.name).cmp(&(b, other.name)));
    if descending {
        rows.reverse();
    }
    rows.iter()
        .map(|(_, person)| json!({ "username": person.name, "salary": person.pay.unwrap().2 }))
        .collect()
}

/// The roles of one permission: each reach in each state; together with a reach that holds; and
/// beside another permission, which must add nothing.
pub(super) fn roles(permission: &'static str) -> Vec<Role> {
    let mut roles = vec![Role::new(Vec::new())];
    let own = Grant::of("ann", permission, "own");
    // Nobody is called ops, and no team cyd.
    for reach in ["user:ops", "team:cyd"] {
        roles.push(Role::new(vec![Grant::of("ann", permission, reach)]));
    }
    for reach in ["own", "user:cyd", "user:zoe", "team:ops", "team:dev", "org"] {
        for state in [Live, LastDayToday, LastDayYesterday, Ended] {
            let grant = Grant { state, ..Grant::of("ann", permission, reach) };
            roles.push(Role::new(vec![grant]));
            if reach != "own" && state != Live {
                roles.push(Role::new(vec![own, grant]));
            }
        }
        for other in PERMISSIONS.into_iter().filter(|other| *other != permission) {
            roles.push(Role::new(vec![own, Grant::of("ann", other, reach)]));
        }
    }
    roles
}
