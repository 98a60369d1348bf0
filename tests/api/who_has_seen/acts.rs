//! What may happen, at random, and how it is asked for.

use std::collections::BTreeSet;

use proptest::prelude::*;
use rocket::http::Method;
use stipend::clock::{Day, Timestamp};
use stipend::domain::TeamName;
use stipend::store::pay::PayQuery;

use super::check::AuditFilter;
use super::world::{Caller, NAMES, ORGS, PERMISSIONS, ROOT, TEAMS};
use crate::model::{one_of, path};
use crate::support::app::Ask;

pub(super) type Org = &'static str;
pub(super) type Name = &'static str;

/// What is asked of the list.
#[derive(Clone, Debug)]
pub(super) struct Filter {
    pub q: Option<&'static str>,
    pub team: Option<Name>,
    pub as_of: Option<&'static str>,
    pub known_at: Option<&'static str>,
}

/// How the list is asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum By {
    Get,
    Post,
    Csv,
    Head,
}

#[derive(Clone, Debug)]
pub(super) enum Read {
    List {
        filter: Filter,
        sort: Option<&'static str>,
        limit: Option<u16>,
        fields: Option<&'static str>,
        by: By,
    },
    History {
        whom: Name,
        known_at: Option<&'static str>,
    },
    Sum {
        filter: Filter,
    },
    /// What is wrong, or asked by nobody.
    Wrong {
        path: &'static str,
        anonymously: bool,
    },
}

/// Who reads.
#[derive(Clone, Debug)]
pub(super) struct Who {
    pub org: Org,
    pub name: Name,
    pub script: bool,
}

#[derive(Clone, Debug)]
pub(super) enum Act {
    Add {
        org: Org,
        name: Name,
        team: Option<Name>,
        is_employee: bool,
        is_user: bool,
    },
    Move {
        org: Org,
        name: Name,
        team: Option<Name>,
    },
    Pay {
        org: Org,
        name: Name,
        day: &'static str,
        amount: u32,
    },
    Import {
        org: Org,
        names: BTreeSet<Name>,
        dry_run: bool,
    },
    Give {
        org: Org,
        holder: Name,
        permission: &'static str,
        reach: String,
        days: Option<u64>,
    },
    End {
        at: prop::sample::Index,
    },
    Disable {
        org: Org,
        name: Name,
    },
    Enable {
        org: Org,
        name: Name,
    },
    SignIn {
        org: Org,
        name: Name,
        perms: Vec<&'static str>,
    },
    SignOut {
        who: Who,
    },
    Script {
        org: Org,
        name: Name,
        perms: Vec<&'static str>,
    },
    Read {
        who: Who,
        read: Read,
    },
    /// At once, and a change meanwhile.
    Together {
        reads: Vec<(Who, Read)>,
        change: Box<Act>,
    },
    /// As the command line does it.
    Operator {
        org: Org,
        read: Read,
    },
    Wait {
        hours: u64,
    },
    Archive,
    Check {
        limit: u16,
        filter: AuditFilter,
    },
}

fn org() -> impl Strategy<Value = Org> {
    prop_oneof![3 => Just(ORGS[0]), 1 => Just(ORGS[1])]
}

fn who() -> impl Strategy<Value = Who> {
    let name = prop_oneof![4 => one_of(&NAMES), 1 => Just(ROOT)];
    (org(), name, prop::bool::weighted(0.3)).prop_map(|(org, name, script)| Who {
        org,
        name,
        script,
    })
}

fn filter() -> impl Strategy<Value = Filter> {
    (
        prop::option::weighted(0.2, one_of(&["a", "B", "_", ".", "%", "r", "zz"])),
        prop::option::weighted(0.2, one_of(&TEAMS)),
        prop::option::weighted(
            0.3,
            one_of(&["2023-12-31", "2026-02-01", "2026-03-10", "2027-01-01"]),
        ),
        prop::option::weighted(0.2, one_of(&["1970-01-01T00:00:00Z", "2026-03-10T12:00:00Z"])),
    )
        .prop_map(|(q, team, as_of, known_at)| Filter { q, team, as_of, known_at })
}

fn read() -> impl Strategy<Value = Read> {
    let fields = prop_oneof![
        4 => Just(None),
        1 => Just(Some("salary,username")),
        1 => Just(Some("username,name,team,salary,amount,currency,effective_from")),
        1 => Just(Some("amount,effective_from")),
    ];
    let sort =
        one_of(&["username", "-username", "name", "team", "-amount", "salary", "-effective_from"]);
    let by = prop_oneof![5 => Just(By::Get), 1 => Just(By::Post), 2 => Just(By::Csv), 1 => Just(By::Head)];
    let known_at =
        prop::option::weighted(0.3, one_of(&["1970-01-01T00:00:00Z", "2026-03-10T12:00:00Z"]));
    let wrong = [
        "/bearer?limit=0",
        "/bearer?sort=x",
        "/bearer?x=1",
        "/pay/NOBODY",
        "/pay/nobody",
        "/pay?as_of=x",
        "/bearer?sort=name&after=nobody",
        "/pay/a?known_at=2999-01-01T00:00:00Z",
    ];
    prop_oneof![
        8 => (filter(), prop::option::of(sort), prop::option::weighted(0.4, 1..5_u16), fields, by)
            .prop_map(|(filter, sort, limit, fields, by)| Read::List { filter, sort, limit, fields, by }),
        4 => (one_of(&NAMES), known_at).prop_map(|(whom, known_at)| Read::History { whom, known_at }),
        2 => filter().prop_map(|filter| Read::Sum { filter }),
        1 => (one_of(&wrong), any::<bool>())
            .prop_map(|(path, anonymously)| Read::Wrong { path, anonymously }),
    ]
}

pub(super) fn reach() -> impl Strategy<Value = String> {
    prop_oneof![
        1 => Just("own".to_owned()),
        4 => one_of(&NAMES).prop_map(|name| format!("user:{name}")),
        4 => one_of(&TEAMS).prop_map(|team| format!("team:{team}")),
        2 => Just("org".to_owned()),
    ]
}

pub(super) fn give() -> impl Strategy<Value = Act> {
    let permission = prop_oneof![5 => Just("read"), 3 => Just("audit"), 1 => one_of(&PERMISSIONS)];
    (org(), one_of(&NAMES), permission, reach(), prop::option::weighted(0.3, 0..3_u64)).prop_map(
        |(org, holder, permission, reach, days)| Act::Give { org, holder, permission, reach, days },
    )
}

fn change() -> impl Strategy<Value = Act> {
    let team = || prop::option::weighted(0.8, one_of(&TEAMS));
    let day = one_of(&["2024-01-01", "2026-02-01", "2026-03-10", "2026-03-12"]);
    prop_oneof![
        2 => (org(), one_of(&NAMES), team(), any::<bool>(), prop::bool::weighted(0.3)).prop_map(
            |(org, name, team, is_employee, is_user)| Act::Add { org, name, team, is_employee, is_user }
        ),
        4 => (org(), one_of(&NAMES), team()).prop_map(|(org, name, team)| Act::Move { org, name, team }),
        3 => (org(), one_of(&NAMES), day, 0..1000_u32)
            .prop_map(|(org, name, day, amount)| Act::Pay { org, name, day, amount }),
        1 => (org(), prop::collection::btree_set(one_of(&NAMES), 1..4), any::<bool>())
            .prop_map(|(org, names, dry_run)| Act::Import { org, names, dry_run }),
        3 => give(),
        3 => any::<prop::sample::Index>().prop_map(|at| Act::End { at }),
        1 => (org(), one_of(&NAMES)).prop_map(|(org, name)| Act::Disable { org, name }),
        1 => (org(), one_of(&NAMES)).prop_map(|(org, name)| Act::Enable { org, name }),
    ]
}

/// All that gives everybody of an org at once.
pub(super) fn of_everybody() -> impl Iterator<Item = Act> {
    let filter = Filter { q: None, team: None, as_of: None, known_at: None };
    let list = |sort, by| {
        let filter = filter.clone();
        Read::List { filter, sort, limit: None, fields: None, by }
    };
    let reads = [
        list(None, By::Get),
        list(Some("-amount"), By::Post),
        list(None, By::Csv),
        Read::Sum { filter: filter.clone() },
    ];
    let root = Who { org: ORGS[0], name: ROOT, script: false };
    let operator = Act::Operator { org: ORGS[0], read: list(None, By::Get) };
    reads.into_iter().map(move |read| Act::Read { who: root.clone(), read }).chain([operator])
}

pub(super) fn act() -> impl Strategy<Value = Act> {
    let perms = || prop::sample::subsequence(PERMISSIONS.to_vec(), 1..4);
    prop_oneof![
        8 => change(),
        14 => (who(), read()).prop_map(|(who, read)| Act::Read { who, read }),
        4 => (prop::collection::vec((who(), read()), 2..7), change())
            .prop_map(|(reads, change)| Act::Together { reads, change: Box::new(change) }),
        2 => (org(), read()).prop_map(|(org, read)| Act::Operator { org, read }),
        1 => (org(), one_of(&NAMES), perms())
            .prop_map(|(org, name, perms)| Act::SignIn { org, name, perms }),
        1 => who().prop_map(|who| Act::SignOut { who }),
        1 => (org(), one_of(&NAMES), perms())
            .prop_map(|(org, name, perms)| Act::Script { org, name, perms }),
        1 => (1..30_u64).prop_map(|hours| Act::Wait { hours }),
        1 => Just(Act::Archive),
        1 => (1..7_u16, AuditFilter::any()).prop_map(|(limit, filter)| Act::Check { limit, filter }),
    ]
}

impl Filter {
    pub(super) fn parameters(&self) -> Vec<(&'static str, Option<String>)> {
        vec![
            ("q", self.q.map(String::from)),
            ("team", self.team.map(String::from)),
            ("as_of", self.as_of.map(String::from)),
            ("known_at", self.known_at.map(String::from)),
        ]
    }

    pub(super) fn query(&self, now: Timestamp) -> PayQuery {
        let mut query = PayQuery::on(self.as_of.map_or(now.day(), |day| Day::parse(day).unwrap()));
        query.filter.q = self.q.map(String::from);
        query.filter.team = self.team.map(|team| TeamName::parse(team).unwrap());
        query.known_at = self.known_at.map(|at| Timestamp::parse(at).unwrap());
        query
    }
}

impl Read {
    pub(super) fn path(&self) -> String {
        match self {
            Self::List { filter, sort, limit, fields, .. } => {
                let mut asked = filter.parameters();
                asked.push(("sort", sort.map(String::from)));
                asked.push(("limit", limit.map(|limit| limit.to_string())));
                asked.push(("fields", fields.map(String::from)));
                path("/bearer", &asked)
            }
            Self::History { whom, known_at } => {
                path(&format!("/pay/{whom}"), &[("known_at", known_at.map(String::from))])
            }
            Self::Sum { filter } => path("/pay", &filter.parameters()),
            Self::Wrong { path, .. } => (*path).to_owned(),
        }
    }

    pub(super) fn ask<'a>(&self, caller: &Caller<'a>, path: &str) -> Ask<'a> {
        match self {
            Self::List { by: By::Post, .. } => caller.actor.post(path),
            Self::List { by: By::Head, .. } => caller.actor.ask(Method::Head, path),
            Self::List { by: By::Csv, .. } => caller.actor.get(path).field("Accept", "text/csv"),
            _ => caller.actor.get(path),
        }
    }

    /// Whether the answer says whose rows it holds.
    pub(super) fn tells_names(&self) -> bool {
        match self {
            Self::List { fields, by, .. } => {
                *by != By::Head && fields.is_none_or(|fields| fields.contains("username"))
            }
            Self::Sum { .. } => false,
            _ => true,
        }
    }
}
