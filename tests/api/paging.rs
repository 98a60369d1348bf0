//! Pages stay whole while the rows change between them, and a cursor tells nothing.

use std::collections::BTreeSet;
use std::time::Duration;

use crate::support::app::{Actor, Answer, NOON, TestApp};

/// Every order there is.
pub(crate) const SORTS: [&str; 10] = [
    "username",
    "-username",
    "name",
    "-name",
    "team",
    "-team",
    "amount",
    "-amount",
    "effective_from",
    "-effective_from",
];

/// Twelve people, `d0` to `d11`, in three teams and in none; `ann` reads them all, and `bob` those
/// of team t1 and of t2, which nobody leaves or enters.
async fn org() -> TestApp {
    let app = TestApp::new().await;
    app.add_org("acme").await;
    for n in 0..12 {
        let name = format!("d{n}");
        app.add_employee("acme", &name, 100_000).await;
        let set = format!(
            "UPDATE employees SET full_name = 'N{}', team = {} \
             WHERE org = 'acme' AND username = '{name}'",
            n * 5 % 7,
            if n % 4 == 0 { "NULL".to_owned() } else { format!("'t{}'", n % 4) },
        );
        app.database.execute(&set).await;
        let day = ["2024-02-01", "2025-01-01", "2025-06-01"][n % 3];
        let minor = i64::try_from(n * 7 % 5).unwrap() * 1_000;
        let currency = if n % 2 == 0 { "EUR" } else { "USD" };
        app.add_rate("acme", &name, day, 1, minor, currency).await;
    }
    for name in ["ann", "bob"] {
        app.add_user("acme", name).await;
    }
    app.add_grant("acme", "ann", "read", "org").await;
    app.add_grant("acme", "bob", "read", "team:t1").await;
    app.add_grant("acme", "bob", "read", "team:t2").await;
    app
}

/// The people whom the changes between pages touch, beside some who stood last on one.
const CHANGED: [&str; 3] = ["d0", "d3", "d8"];
/// Half a second after the first page.
const LATER: i64 = NOON * 1000 + 500;

/// What happens after a page: people come before, among and after all others, some with a rate that
/// was known before; others get another name, team and rate.
fn changes(page: usize, changed: &[&str]) -> String {
    let mut sql = String::new();
    for (name, recorded_at) in [("a", 0), ("d5x", 0), ("z", 0), ("c", LATER)] {
        sql += &format!(
            "INSERT INTO employees (org, username, full_name, team, created_at) \
             VALUES ('acme', '{name}{page}', 'N{}', 't{}', 0); \
             INSERT INTO rates VALUES ('acme', '{name}{page}', '2025-01-01', 1, {}, 'USD', '', \
                                       'test', {recorded_at});",
            page % 7,
            page % 3 + 1,
            page * 1_500
        );
    }
    for (n, name) in changed.iter().enumerate() {
        // Nobody enters or leaves what bob reads.
        sql += &format!(
            "UPDATE employees SET full_name = 'N{}', \
                    team = CASE WHEN team IS NULL THEN 't3' WHEN team = 't3' THEN NULL ELSE team END \
             WHERE org = 'acme' AND username = '{name}'; \
             INSERT INTO rates VALUES ('acme', '{name}', '2026-01-1{n}', {}, {}, 'USD', '', \
                                       'test', {LATER});",
            (page * 3 + n) % 9,
            page + 1,
            page * 999 + n
        );
    }
    sql
}

#[tokio::test]
async fn nobody_who_is_there_throughout_is_missed_or_seen_twice() {
    for sort in SORTS {
        for (reader, limit) in [("acme/ann", 1), ("acme/ann", 3), ("acme/bob", 1), ("acme/bob", 2)]
        {
            let cell = format!("{reader} {sort} by {limit}");
            let app = org().await;
            let caller = app.user(reader).await;
            let there: BTreeSet<String> =
                caller.sees().await.split(' ').map(String::from).collect();
            assert_eq!(there.len(), if reader == "acme/ann" { 12 } else { 6 }, "{cell}");

            let (mut seen, mut moved) = (Vec::new(), BTreeSet::from(CHANGED.map(String::from)));
            let mut path = Some(format!("/bearer?sort={sort}&limit={limit}"));
            for page in 0.. {
                let Some(at) = path else { break };
                let answer = caller.get(&at).send().await;
                let names = names(&answer);
                path = answer.next_page();
                // New people come for a while, so that the pages end.
                if let (0..8, Some(_), Some(last)) = (page, &path, names.last()) {
                    app.clock.advance(Duration::from_secs(1));
                    let mut changed = CHANGED.to_vec();
                    // At times also the one of whom the cursor speaks.
                    if page % 3 == 1 && !changed.contains(&last.as_str()) {
                        changed.push(last);
                        moved.insert(last.clone());
                    }
                    app.database.execute(&changes(page, &changed)).await;
                }
                seen.extend(names);
            }
            // A name or a team that changes is another place in the order of names or teams.
            let may_move = matches!(sort.trim_start_matches('-'), "name" | "team");
            for name in there.iter().filter(|name| !may_move || !moved.contains(*name)) {
                let times = seen.iter().filter(|other| *other == name).count();
                assert_eq!(times, 1, "{cell}: {name} in {seen:?}");
            }
            let strangers = seen.iter().filter(|name| name.starts_with('c')).count();
            assert_eq!(strangers, 0, "{cell}: what was not known then is not shown: {seen:?}");
        }
    }
}

#[tokio::test]
async fn all_pages_show_the_pay_that_was_known_at_the_first() {
    let app = org().await;
    let caller = app.user("acme/ann").await;
    for sort in SORTS {
        let whole = caller.get(&format!("/bearer?sort={sort}")).send().await.json();
        let mut rows = Vec::new();
        let mut path = Some(format!("/bearer?sort={sort}&limit=5"));
        while let Some(at) = path {
            let answer = caller.get(&at).send().await;
            rows.extend(answer.json().as_array().unwrap().iter().cloned());
            path = answer.next_page();
            app.clock.advance(Duration::from_secs(1));
            let (now, revision) = (app.clock.seconds() * 1000, app.clock.seconds());
            let sql = format!(
                "INSERT INTO rates SELECT org, username, '2026-01-01', {revision}, 77, 'JPY', '', \
                                          'test', {now} FROM employees WHERE org = 'acme'"
            );
            app.database.execute(&sql).await;
        }
        assert_eq!(serde_json::json!(rows), whole, "{sort}");
    }
}

/// The user names of a page.
fn names(answer: &Answer) -> Vec<String> {
    assert_eq!(answer.status, 200, "{answer:?}");
    let rows = answer.json();
    let names = rows.as_array().unwrap().iter().map(|row| row["username"].as_str().unwrap());
    names.map(String::from).collect()
}

#[tokio::test]
async fn pages_that_are_followed_past_midnight_are_of_the_day_of_the_first() {
    let app = org().await;
    let caller = app.user("acme/ann").await;
    for n in 0..12 {
        app.add_rate("acme", &format!("d{n}"), "2026-03-11", 1, 500_000 - n, "USD").await;
    }
    let whole = caller.get("/bearer?sort=amount").send().await;
    let mut answer = caller.get("/bearer?sort=amount&limit=5").send().await;
    let mut seen = names(&answer);
    app.clock.advance(Duration::from_secs(12 * 3600));
    while let Some(next) = answer.next_page() {
        answer = caller.get(&next).send().await;
        seen.extend(names(&answer));
    }
    assert_eq!(seen, names(&whole));
    assert_ne!(names(&caller.get("/bearer?sort=amount").send().await), seen, "a day later");
}

async fn told(caller: &Actor<'_>, sort: &str, after: &str) -> String {
    let answer = caller.get(&format!("/bearer?sort={sort}&limit=2&after={after}")).send().await;
    answer.told().replace(after, "NAME")
}

#[tokio::test]
async fn a_forged_cursor_that_names_somebody_out_of_sight_is_one_that_names_nobody() {
    let app = org().await;
    app.add_org("zeta").await;
    app.add_employee("zeta", "zoe", 1).await;
    app.add_user("acme", "eve").await;
    // Out of bob's sight are d0, d4 and d8 of no team, d3, d7 and d11 of t3, and eve, who is not paid.
    let bob = app.user("acme/bob").await;
    for sort in SORTS {
        let nobody = told(&bob, sort, "nobody").await;
        if !sort.ends_with("username") {
            assert!(nobody.starts_with("400\n"), "{sort}: {nobody}");
            for name in ["d0", "d3", "d4", "d7", "d8", "d11", "zoe", "eve", "bob"] {
                assert_eq!(told(&bob, sort, name).await, nobody, "{sort}: {name}");
            }
        }
        assert!(told(&bob, sort, "d1").await.starts_with("200\n"), "{sort}: one in sight");
    }
    // A name alone is a place among names, whoever has it.
    for (after, expected) in [("d3", "d5"), ("d3x", "d5"), ("d4", "d5"), ("zoe", "")] {
        let path = format!("/bearer?limit=1&after={after}");
        assert_eq!(names(&bob.get(&path).send().await).join(" "), expected, "{after}");
    }
}

#[tokio::test]
async fn a_cursor_whose_row_went_out_of_sight_gives_nothing_of_it() {
    let app = org().await;
    let bob = app.user("acme/bob").await;
    let first = bob.get("/bearer?sort=amount&limit=2").send().await;
    let next = first.next_page().unwrap();
    assert!(!next.contains('$') && !next.contains('€'), "{next}");
    let last = first.json()[1]["username"].as_str().unwrap().to_owned();
    app.set_team("acme", &last, "t3").await;
    let gone = bob.get(&next).send().await;
    let nobody = bob.get(&next.replace(&last, "nobody")).send().await;
    assert_eq!(gone.status, 400);
    assert_eq!(gone.told(), nobody.told());
}

#[tokio::test]
async fn a_cursor_of_names_or_teams_places_only_rows_in_sight() {
    let app = org().await;
    let bob = app.user("acme/bob").await;
    let all: Vec<String> = bob.sees().await.split(' ').map(String::from).collect();
    for sort in ["name", "-name", "team", "-team"] {
        for key in ["", "N", "N3", "t1", "t2", "t3", "zzz", "%25", "'"] {
            for name in ["d0", "d1", "d11", "nobody"] {
                let path = format!("/bearer?sort={sort}&after={name}:{key}");
                let answer = bob.get(&path).send().await;
                for name in names(&answer) {
                    assert!(all.contains(&name), "{path}: {name}");
                }
            }
        }
    }
}

/// By pay, the place of somebody's row tells of it, whose row it is: between whom it stands.
#[tokio::test]
async fn r81_where_an_answer_by_pay_begins_is_on_record_as_a_look_at_that_row() {
    let app = TestApp::new().await;
    let caller = app.demo_user().await;
    let last = "SELECT subjects FROM audit ORDER BY record_id DESC LIMIT 1";
    for (query, status, rows, subjects) in [
        ("sort=amount&after=jdoe&limit=1", 200, "mturner", r#"["jdoe","mturner"]"#),
        ("sort=amount&after=jdoe", 200, "mturner", r#"["jdoe","mturner"]"#),
        ("sort=-amount&after=jdoe", 200, "", r#"["jdoe"]"#),
        ("sort=effective_from&after=jdoe&as_of=1999-01-01", 400, "", r#"["jdoe"]"#),
        // By name it tells nothing that the question does not say.
        ("after=jdoe", 200, "mturner", r#"["mturner"]"#),
    ] {
        let answer = caller.get(&format!("/bearer?{query}")).send().await;
        assert_eq!(answer.status, status, "{query}");
        if status == 200 {
            assert_eq!(names(&answer).join(" "), rows, "{query}");
        }
        assert_eq!(app.database.texts(last).await, [subjects], "{query}");
    }
    let detail = "SELECT detail FROM audit WHERE action = 'list_pay' ORDER BY record_id";
    let details = app.database.texts(detail).await;
    let told = |detail: &str| {
        let detail: serde_json::Value = serde_json::from_str(detail).unwrap();
        detail["sort"].as_str().map(String::from)
    };
    let sorts: Vec<_> = details.iter().map(|detail| told(detail)).collect();
    let expected = [Some("amount"), Some("amount"), Some("-amount"), Some("effective_from"), None];
    assert_eq!(sorts, expected.map(|sort| sort.map(String::from)));
}
