//! Answers too long to hold are read from the database in parts: they are what a plain expectation
//! says, in every order and both formats, and the record of them is complete.

use crate::paging::SORTS;
use crate::support::app::{Actor, Answer, TestApp, row_before};
use crate::support::database::is_postgres;

/// A row as the bulk of SQL below makes it, from its number.
struct Row {
    name: String,
    full_name: String,
    team: &'static str,
    minor: i64,
    currency: &'static str,
    day: &'static str,
}

impl Row {
    fn new(n: i64) -> Self {
        let number = n * 7919 % 5003;
        Self {
            name: format!("p{n}"),
            full_name: format!("Name {}", n * 31 % 101),
            team: if n % 2 == 0 { "ops" } else { "dev" },
            minor: number * number,
            currency: ["USD", "EUR", "JPY"][usize::try_from(n % 3).unwrap()],
            day: if n % 5 < 2 { "2024-01-01" } else { "2025-06-01" },
        }
    }

    fn key(&self, sort: &str) -> String {
        match sort {
            "name" => self.full_name.clone(),
            "team" => self.team.to_owned(),
            "amount" => format!("{}{:020}", self.currency, self.minor),
            "effective_from" => self.day.to_owned(),
            _ => String::new(),
        }
    }

    fn amount(&self) -> String {
        match self.currency {
            "JPY" => self.minor.to_string(),
            _ => format!("{}.{:02}", self.minor / 100, self.minor % 100),
        }
    }
}

/// An org of so many, half of them in ops, and another with the same names, at other pay, each in
/// the other team. `ann` reads acme's team ops, and `bob` all of acme.
async fn org_of(people: i64) -> TestApp {
    let app = TestApp::new().await;
    for (org, extra, ops, dev) in [("acme", 0, "ops", "dev"), ("zeta", 77, "dev", "ops")] {
        app.add_org(org).await;
        let numbers = format!(
            "WITH RECURSIVE numbers (n) AS \
                 (SELECT 1 UNION ALL SELECT n + 1 FROM numbers WHERE n < {people})"
        );
        let sql = format!(
            "INSERT INTO employees (org, username, full_name, team, created_at) {numbers} \
             SELECT '{org}', 'p' || CAST(n AS TEXT), 'Name ' || CAST(n * 31 % 101 AS TEXT), \
                    CASE n % 2 WHEN 0 THEN '{ops}' ELSE '{dev}' END, 0 FROM numbers"
        );
        app.database.execute(&sql).await;
        let sql = format!(
            "INSERT INTO rates (org, username, effective_from, revision, amount_minor, currency, \
                                note, recorded_by, recorded_at) {numbers} \
             SELECT '{org}', 'p' || CAST(n AS TEXT), \
                    CASE WHEN n % 5 < 2 THEN '2024-01-01' ELSE '2025-06-01' END, 1, \
                    (n * 7919 % 5003) * (n * 7919 % 5003) + {extra}, \
                    CASE n % 3 WHEN 0 THEN 'USD' WHEN 1 THEN 'EUR' ELSE 'JPY' END, \
                    '', 'test', 0 FROM numbers"
        );
        app.database.execute(&sql).await;
        for name in ["ann", "bob"] {
            app.add_user(org, name).await;
        }
        app.add_grant(org, "bob", "read", "team:dev").await;
        app.add_grant(org, "bob", "write", "org").await;
    }
    app.add_grant("acme", "ann", "read", "team:ops").await;
    app.add_grant("acme", "bob", "read", "org").await;
    if is_postgres() {
        // As it does by itself within a minute or so of so many new rows.
        app.database.execute("ANALYZE employees, rates").await;
    }
    app
}

/// What a caller sees, in order.
fn rows(people: i64, team: Option<&str>, sort: &str) -> Vec<Row> {
    let mut rows: Vec<Row> = (1..=people).map(Row::new).collect();
    rows.retain(|row| team.is_none_or(|team| row.team == team));
    let (descending, sort) = (sort.starts_with('-'), sort.trim_start_matches('-'));
    rows.sort_by_cached_key(|row| (row.key(sort), row.name.clone()));
    if descending {
        rows.reverse();
    }
    rows
}

fn json(rows: &[Row]) -> String {
    let row = |row: &Row| {
        format!(
            "{{\"username\":\"{}\",\"name\":\"{}\",\"team\":\"{}\",\"amount\":\"{}\",\
             \"currency\":\"{}\",\"effective_from\":\"{}\"}}",
            row.name,
            row.full_name,
            row.team,
            row.amount(),
            row.currency,
            row.day
        )
    };
    format!("[{}]", rows.iter().map(row).collect::<Vec<_>>().join(","))
}

fn csv(rows: &[Row]) -> String {
    let mut text = "username,name,team,amount,currency,effective_from\r\n".to_owned();
    for row in rows {
        let Row { name, full_name, team, currency, day, .. } = row;
        text += &format!("{name},{full_name},{team},{},{currency},{day}\r\n", row.amount());
    }
    text
}

const FIELDS: &str = "fields=username,name,team,amount,currency,effective_from";
/// Asks for a long answer; its text, once its record is found to be complete.
async fn ask(app: &TestApp, caller: &Actor<'_>, query: &str, accept: &str, rows: &[Row]) -> String {
    let path = format!("/bearer?{FIELDS}&{query}");
    let answer = caller.get(&path).field("Accept", accept).send().await;
    assert_eq!(answer.status, 200, "{path}");
    assert_eq!(answer.length, None, "{path} is streamed");
    assert_record(app, &answer, rows, &path).await;
    answer.text().to_owned()
}

/// The one record of a request names all whose rows it gave, by name whatever their order: an order
/// by pay would tell of it.
async fn assert_record(app: &TestApp, answer: &Answer, rows: &[Row], what: &str) {
    let id = answer.field("X-Request-Id").unwrap();
    let sql = format!("SELECT subjects FROM audit WHERE request_id = '{id}'");
    let records = app.database.texts(&sql).await;
    assert_eq!(records.len(), 1, "{what}");
    let names: Vec<String> = serde_json::from_str(&records[0]).unwrap();
    let mut expected: Vec<String> = rows.iter().map(|row| row.name.clone()).collect();
    expected.extend(row_before(what));
    expected.sort();
    assert!(names == expected, "{what}: the record");
}

/// Compares long texts, and shows only where they part.
fn assert_same(found: &str, expected: &str, what: &str) {
    if found != expected {
        let at = found.bytes().zip(expected.bytes()).take_while(|(a, b)| a == b).count();
        let around = |text: &str| {
            String::from_utf8_lossy(
                &text.as_bytes()[at.saturating_sub(80)..text.len().min(at + 80)],
            )
            .into_owned()
        };
        panic!("{what}, at byte {at}: {}\nexpected: {}", around(found), around(expected));
    }
}

#[tokio::test]
async fn a_streamed_answer_is_the_plain_one_in_every_order_and_both_formats() {
    const PEOPLE: i64 = 2_600;
    let app = org_of(PEOPLE).await;
    for (name, team) in [("acme/ann", Some("ops")), ("acme/bob", None)] {
        let caller = app.user(name).await;
        for sort in SORTS {
            let expected = rows(PEOPLE, team, sort);
            let query = format!("sort={sort}");
            let found = ask(&app, &caller, &query, "application/json", &expected).await;
            assert_same(&found, &json(&expected), &format!("{name} {sort} JSON"));
            let found = ask(&app, &caller, &query, "text/csv", &expected).await;
            assert_same(&found, &csv(&expected), &format!("{name} {sort} CSV"));
        }
    }
}

#[tokio::test]
async fn a_streamed_answer_is_filtered_and_begins_after_a_row() {
    const PEOPLE: i64 = 2_600;
    let app = org_of(PEOPLE).await;
    let (ann, bob) = (app.user("acme/ann").await, app.user("acme/bob").await);
    for sort in SORTS {
        let mut expected = rows(PEOPLE, Some("ops"), sort);
        let query = format!("sort={sort}&team=ops&q=p");
        let found = ask(&app, &bob, &query, "*/*", &expected).await;
        assert_same(&found, &json(&expected), &format!("bob, team ops, {sort}"));

        let after = expected[100].name.clone();
        let rest = expected.split_off(101);
        let query = format!("sort={sort}&after={after}");
        let found = ask(&app, &ann, &query, "*/*", &rest).await;
        assert_same(&found, &json(&rest), &format!("ann, after {after}, {sort}"));
    }
    let answer = ann.get("/bearer?team=dev").send().await;
    assert_eq!(answer.text(), "[]", "a filter reaches no further than the reader");
}

#[tokio::test]
async fn pages_of_a_thousand_are_the_plain_answer_in_every_order() {
    const PEOPLE: i64 = 2_600;
    let app = org_of(PEOPLE).await;
    for (name, team) in [("acme/ann", Some("ops")), ("acme/bob", None)] {
        let caller = app.user(name).await;
        for sort in SORTS {
            let mut path = Some(format!("/bearer?{FIELDS}&sort={sort}&limit=1000"));
            let mut found = Vec::new();
            while let Some(at) = path {
                let answer = caller.get(&at).send().await;
                let text = answer.text().strip_prefix('[').unwrap().strip_suffix(']').unwrap();
                found.push(text.to_owned());
                path = answer.next_page();
            }
            let expected = json(&rows(PEOPLE, team, sort));
            assert_same(&format!("[{}]", found.join(",")), &expected, &format!("{name} {sort}"));
        }
    }
}

#[tokio::test]
async fn sums_of_many_are_exact() {
    const PEOPLE: i64 = 2_600;
    let app = org_of(PEOPLE).await;
    for (name, team) in [("acme/ann", Some("ops")), ("acme/bob", None)] {
        let answer = app.user(name).await.get("/pay").send().await;
        let expected = rows(PEOPLE, team, "username");
        assert_record(&app, &answer, &expected, name).await;
        let total = |currency: &str| {
            let rows = expected.iter().filter(|row| row.currency == currency);
            let (people, minor) =
                rows.fold((0, 0), |(people, minor), row| (people + 1, minor + row.minor));
            (
                people,
                Row {
                    minor,
                    currency: if currency == "JPY" { "JPY" } else { "USD" },
                    ..Row::new(1)
                }
                .amount(),
            )
        };
        let told = answer.json();
        assert_eq!(told["people"], expected.len(), "{name}");
        let told: Vec<_> = told["totals"]
            .as_array()
            .unwrap()
            .iter()
            .map(|total| {
                (
                    total["currency"].as_str().unwrap(),
                    total["people"].as_i64().unwrap(),
                    total["amount"].as_str().unwrap(),
                )
            })
            .collect();
        let totals = ["EUR", "JPY", "USD"].map(|currency| (currency, total(currency)));
        let totals: Vec<_> = totals
            .iter()
            .map(|(currency, (people, amount))| (*currency, *people, amount.as_str()))
            .collect();
        assert_eq!(told, totals, "{name}");
    }
}

#[tokio::test]
async fn a_record_of_more_than_ten_thousand_names_has_parts_and_misses_nobody() {
    const PEOPLE: i64 = 20_400;
    let app = org_of(PEOPLE).await;
    for (name, team) in [("acme/ann", Some("ops")), ("acme/bob", None)] {
        let caller = app.user(name).await;
        for (sort, accept) in [("username", "text/csv"), ("-amount", "application/json")] {
            let expected = rows(PEOPLE, team, sort);
            let found = ask(&app, &caller, &format!("sort={sort}"), accept, &expected).await;
            let plain = if accept == "text/csv" { csv(&expected) } else { json(&expected) };
            assert_same(&found, &plain, &format!("{name} {sort}"));
        }
    }
}
