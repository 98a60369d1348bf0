//! Who may see what, cell by cell: for each role, target and operation the answer is what a plain
//! function says ([`rules`]). Deny by default; nothing is implied; what is out of reach is not there.
//!
//! `acme/ann` asks. Beside her are people who hold what she does not, and another org in which the
//! same names are in other teams, at other pay, with other grants.

mod rules;

use std::cell::Cell;
use std::collections::BTreeMap;

use serde_json::{Value, json};

use self::rules::{
    Expected, Grant, OPS, Op, PEOPLE, PERMISSIONS, Person, Role, TARGETS, expected, old, others,
    paid, roles, shape,
};
use crate::support::app::{Actor, Answer, TestApp};

struct World {
    app: TestApp,
    /// A token for each set of permissions.
    tokens: BTreeMap<Vec<&'static str>, String>,
    missing: BTreeMap<Op, String>,
    rates: Cell<i64>,
}

impl World {
    async fn new() -> Self {
        let app = TestApp::new().await;
        let mut sql = String::new();
        for (org, extra) in [("acme", None), ("zeta", Some("zoe"))] {
            app.add_org(org).await;
            for name in PEOPLE.iter().filter(|it| it.is_user).map(|it| it.name).chain(extra) {
                app.add_user(org, name).await;
            }
        }
        let rate = |org: &str, name: &str, day: &str, minor: i64, currency: &str| {
            format!(
                "INSERT INTO rates VALUES ('{org}', '{name}', '{day}', 1, {minor}, \
                 '{currency}', '', 'test', 0);"
            )
        };
        for (n, Person { name, full_name, team, pay, .. }) in PEOPLE.iter().enumerate() {
            let employee = |org: &str, full_name: &str, team: Option<&str>| {
                let team = team.map_or("NULL".into(), |team| format!("'{team}'"));
                format!(
                    "INSERT INTO employees (org, username, full_name, team, created_at) \
                     VALUES ('{org}', '{name}', '{full_name}', {team}, 0);"
                )
            };
            if let Some(full_name) = full_name {
                sql += &employee("acme", full_name, *team);
            }
            if let Some((minor, currency, _)) = pay {
                sql += &rate("acme", name, "2024-01-01", *minor, currency);
            }
            // In zeta everybody is paid, and those who are in no team or in dev are in ops.
            let team = if *team == Some("ops") { "dev" } else { "ops" };
            sql += &employee("zeta", "Zeta", Some(team));
            sql += &rate("zeta", name, "2025-01-01", 9_000_000 + i64::try_from(n).unwrap(), "USD");
        }
        sql += "INSERT INTO employees (org, username, full_name, team, created_at) \
                VALUES ('zeta', 'zoe', 'Zoe', 'ops', 0);";
        sql += &rate("zeta", "zoe", "2025-01-01", 9_999_999, "USD");
        for grant in others() {
            sql += &grant.sql("acme");
        }
        for permission in PERMISSIONS {
            for reach in ["own", "user:cyd", "user:dan", "team:ops", "team:dev", "org"] {
                sql += &Grant::of("ann", permission, reach).sql("zeta");
            }
            sql += &Grant::of("ann", permission, "org").sql("acme");
        }
        sql += "UPDATE users SET disabled_at = 1 WHERE org = 'acme' AND username = 'gus';";
        app.database.execute(&sql).await;

        let mut tokens = BTreeMap::new();
        for perms in
            PERMISSIONS.map(|one| vec![one]).into_iter().chain([PERMISSIONS.to_vec(), vec![]])
        {
            let caller = app.narrowed_user("acme/ann", &perms).await;
            tokens.insert(perms, caller.token().to_owned());
        }
        let rates = app.database.number("SELECT COUNT(*) FROM rates").await;
        let mut world = Self { app, tokens, missing: BTreeMap::new(), rates: Cell::new(rates) };
        let everything = PERMISSIONS.map(|permission| Grant::of("ann", permission, "org"));
        let role = Role::new(everything.to_vec());
        let caller = world.assume(&role).await;
        let mut missing = BTreeMap::new();
        for op in OPS.into_iter().filter(|op| *op != Op::Add) {
            missing.insert(op, op.ask(&caller, "nobody").send().await.told());
        }
        world.missing = missing;
        world
    }

    /// Gives ann these grants and no other.
    async fn assume(&self, role: &Role) -> Actor<'_> {
        let mut sql = "DELETE FROM grants WHERE org = 'acme' AND username = 'ann';".to_owned();
        for grant in role.grants.iter().chain([&old("ann")]) {
            sql += &grant.sql("acme");
        }
        self.app.database.execute(&sql).await;
        self.app.bearer(self.tokens[&role.perms].as_str())
    }

    /// Asks everything that there is, and compares each answer.
    async fn hold(&self, role: &Role) {
        let caller = self.assume(role).await;
        for op in OPS {
            for target in TARGETS {
                if let Some(expected) = expected(role, op, target) {
                    let answer = op.ask(&caller, target).send().await;
                    self.compare(&format!("{role:?} {op:?} {target}"), op, &expected, &answer);
                }
            }
        }
        self.lists(role, &caller).await;
        self.gifts(role, &caller).await;
        let rates = self.app.database.number("SELECT COUNT(*) FROM rates").await;
        assert_eq!(rates, self.rates.get(), "{role:?}: what was refused was recorded");
    }

    fn compare(&self, cell: &str, op: Op, expected: &Expected, answer: &Answer) {
        match expected {
            Expected::Lacks(permission) => assert_lacks(cell, permission, answer),
            Expected::Missing => assert_eq!(answer.told(), self.missing[&op], "{cell}"),
            Expected::Is(status) => {
                assert_eq!(answer.status, *status, "{cell}: {answer:?}");
                if op == Op::Record {
                    self.rates.set(self.rates.get() + 1);
                }
            }
            Expected::Shows(value) => {
                assert_eq!(answer.status, 200, "{cell}: {answer:?}");
                assert_eq!(&shape(op, &answer.json()), value, "{cell}");
                if op == Op::History {
                    // The version counts the rates of this person, and nobody else's.
                    let rates = answer.json()["rates"].as_array().unwrap().len();
                    assert_eq!(answer.field("ETag"), Some(&*format!("\"{rates}\"")), "{cell}");
                }
            }
        }
    }

    /// Each list and sum in each order, whole and in pages.
    async fn lists(&self, role: &Role, caller: &Actor<'_>) {
        let read = role.reached(&["read"]);
        for (path, accept) in
            [("/bearer", "application/json"), ("/bearer", "text/csv"), ("/pay", "*/*")]
        {
            if read.is_none() {
                let answer = caller.get(path).field("Accept", accept).send().await;
                assert_lacks(&format!("{role:?} {path} {accept}"), "read", &answer);
            }
        }
        if let Some(read) = read {
            for sort in ["username", "name", "team", "amount", "effective_from"] {
                for (sign, limit) in [("", 0), ("-", 0), ("", 2), ("-", 2)] {
                    let mut path = format!("/bearer?sort={sign}{sort}");
                    if limit > 0 {
                        path += &format!("&limit={limit}");
                    }
                    let rows = pages(caller, &path).await;
                    assert_eq!(rows, paid(&read, sort, sign == "-"), "{role:?} {path}");
                }
            }
            self.sums(role, &read, caller).await;
        }
        let managed = role.reached(&["manage"]);
        if managed.is_none() {
            assert_lacks(&format!("{role:?} /users"), "manage", &caller.get("/users").send().await);
        }
        for person in managed.iter().flatten() {
            assert!(TARGETS.contains(&person.name));
        }
        if let Some(managed) = managed {
            for (path, team) in [
                ("/users", None),
                ("/users?limit=1", None),
                ("/users?team=dev", Some("dev")),
                ("/users?q=e", None),
            ] {
                let names: Vec<Value> =
                    pages(caller, path).await.iter().map(|row| json!(row["username"])).collect();
                let listed = managed.iter().filter(|it| team.is_none() || it.team == team);
                let found = |it: &&&Person| {
                    !path.contains("q=e")
                        || it.name.contains('e')
                        || it.full_name.is_some_and(|name| name.to_lowercase().contains('e'))
                };
                let expected: Vec<Value> = listed.filter(found).map(|it| json!(it.name)).collect();
                assert_eq!(names, expected, "{role:?} {path}");
            }
        }
        let me = caller.get("/me").send().await.json();
        let counted: Vec<&str> = PERMISSIONS
            .into_iter()
            .filter(|permission| role.counts(permission).next().is_some())
            .collect();
        let told: Vec<&str> =
            me["perms"].as_array().unwrap().iter().map(|it| it.as_str().unwrap()).collect();
        assert!(
            told.len() == counted.len() && told.iter().all(|it| counted.contains(it)),
            "{role:?} {told:?}"
        );
    }

    async fn sums(&self, role: &Role, read: &[&Person], caller: &Actor<'_>) {
        for (path, team) in [("/pay", None), ("/pay?team=dev", Some("dev"))] {
            let mut totals: BTreeMap<&str, (i64, i64)> = BTreeMap::new();
            for person in read.iter().filter(|it| team.is_none() || it.team == team) {
                if let Some((minor, currency, _)) = person.pay {
                    let total = totals.entry(currency).or_default();
                    *total = (total.0 + 1, total.1 + minor);
                }
            }
            let told = caller.get(path).send().await.json();
            let told: BTreeMap<&str, (i64, i64)> = told["totals"]
                .as_array()
                .unwrap()
                .iter()
                .map(|total| {
                    let minor = total["amount"].as_str().unwrap().replace('.', "").parse().unwrap();
                    (
                        total["currency"].as_str().unwrap(),
                        (total["people"].as_i64().unwrap(), minor),
                    )
                })
                .collect();
            assert_eq!(told, totals, "{role:?} {path}");
        }
        let csv = caller.get("/bearer").field("Accept", "text/csv").send().await;
        let mut lines = vec!["username,salary".to_owned()];
        lines.extend(read.iter().filter_map(|it| Some(format!("{},{}", it.name, it.pay?.2))));
        assert_eq!(csv.text(), lines.join("\r\n") + "\r\n", "{role:?} CSV");
    }

    /// What ann may give to bob, who holds all of it: where she may, it exists already.
    async fn gifts(&self, role: &Role, caller: &Actor<'_>) {
        if !role
            .reached(&["manage"])
            .is_some_and(|managed| managed.iter().any(|it| it.name == "bob"))
        {
            return;
        }
        for permission in PERMISSIONS {
            for reach in ["own", "user:cyd", "team:dev", "org"] {
                let gift = json!({ "permission": permission, "reach": reach, "reason": "test" });
                let answer = caller.post("/users/bob/grants").json(gift.to_string()).send().await;
                let expected = if role.may_give(permission, reach) { 409 } else { 403 };
                assert_eq!(answer.status, expected, "{role:?} gives bob {gift}: {answer:?}");
            }
        }
    }
}

fn assert_lacks(cell: &str, permission: &str, answer: &Answer) {
    assert_eq!(answer.status, 403, "{cell}: {answer:?}");
    let challenge = answer.field("WWW-Authenticate").unwrap_or_default();
    let scope = format!("error=\"insufficient_scope\", scope=\"{permission}\"");
    assert!(challenge.ends_with(&scope), "{cell}: {answer:?}");
}

/// The rows of an answer and of the pages after it.
async fn pages(caller: &Actor<'_>, path: &str) -> Vec<Value> {
    let mut rows = Vec::new();
    let mut path = Some(path.to_owned());
    while let Some(at) = path {
        let answer = caller.get(&at).send().await;
        assert_eq!(answer.status, 200, "{at}: {answer:?}");
        rows.extend(answer.json().as_array().unwrap().iter().cloned());
        path = answer.next_page();
    }
    rows
}

async fn hold_all(roles: Vec<Role>) {
    let world = World::new().await;
    for role in roles {
        world.hold(&role).await;
    }
}

#[tokio::test]
async fn r50_every_reach_of_read_shows_exactly_what_it_says() {
    hold_all(roles("read")).await;
}

#[tokio::test]
async fn r50_every_reach_of_write_shows_exactly_what_it_says() {
    hold_all(roles("write")).await;
}

#[tokio::test]
async fn r50_every_reach_of_manage_shows_exactly_what_it_says() {
    hold_all(roles("manage")).await;
}

#[tokio::test]
async fn r50_every_reach_of_audit_shows_exactly_what_it_says() {
    hold_all(roles("audit")).await;
}

#[tokio::test]
async fn r3_a_narrowed_token_shows_exactly_what_both_it_and_the_grants_say() {
    let reaches = ["own", "team:ops", "user:cyd", "org"];
    let mut all = Vec::new();
    for turn in 0..4 {
        let grants = PERMISSIONS.iter().enumerate();
        let grants: Vec<Grant> = grants
            .map(|(n, permission)| Grant::of("ann", permission, reaches[(n + turn) % 4]))
            .collect();
        for perms in
            PERMISSIONS.map(|one| vec![one]).into_iter().chain([PERMISSIONS.to_vec(), vec![]])
        {
            all.push(Role { grants: grants.clone(), perms });
        }
    }
    hold_all(all).await;
}

#[tokio::test]
async fn r17_whatever_a_disabled_user_holds_is_worth_nothing() {
    let world = World::new().await;
    let everything = PERMISSIONS.map(|permission| Grant::of("ann", permission, "org"));
    let caller = world.assume(&Role::new(everything.to_vec())).await;
    let disable = "UPDATE users SET disabled_at = 1 WHERE org = 'acme' AND username = 'ann'";
    world.app.database.execute(disable).await;
    for path in ["/bearer", "/pay", "/users", "/me"] {
        assert_eq!(caller.get(path).send().await.status, 401, "{path}");
    }
    for op in OPS {
        for target in TARGETS {
            let answer = op.ask(&caller, target).send().await;
            assert_eq!(answer.status, 401, "{op:?} {target}: {answer:?}");
        }
    }
}
