//! `stipend pay`.

use std::io::{BufRead, BufReader};
use std::process::Stdio;

use serde_json::json;

use super::{fails, json, run, said, works};
use crate::support::database::TestDatabase;
use crate::support::server::command;

const RATES: &str = "SELECT COUNT(*) FROM rates";

#[tokio::test]
async fn pay_is_recorded_corrected_and_shown_with_its_history() {
    let database = TestDatabase::new().await;
    let record = |amount: &'static str| {
        ["pay", "record", "jdoe", "--from", "2026-01-01", "--currency", "USD", "--amount", amount]
    };
    assert_eq!(works(&database, &record("2100.00")), "");
    let before = json(&database, &["pay", "show", "jdoe"])["rates"][1]["recorded_at"].clone();
    let corrected = json(&database, &[&record("2200")[..], &["--note", "Typo"]].concat());
    assert_eq!(
        (&corrected["amount"], &corrected["revision"], &corrected["recorded_by"]),
        (&json!("2200.00"), &json!(2), &json!("operator"))
    );

    let shown = json(&database, &["pay", "show", "jdoe"]);
    let rates = shown["rates"].as_array().unwrap();
    let told: Vec<_> = rates.iter().map(|rate| (&rate["salary"], &rate["superseded"])).collect();
    assert_eq!(
        told,
        [
            (&json!("$2000.00"), &json!(false)),
            (&json!("$2100.00"), &json!(true)),
            (&json!("$2200.00"), &json!(false))
        ]
    );
    let table = works(&database, &["pay", "show", "jdoe"]);
    assert!(table.starts_with("FROM        SALARY    COUNTS     RECORDED AT"), "{table}");
    assert!(table.contains("\n2026-01-01  $2100.00  corrected  2"), "{table}");
    let known = ["pay", "show", "jdoe", "--known-at", before.as_str().unwrap()];
    assert_eq!(json(&database, &known)["rates"].as_array().unwrap().len(), 2);

    let said = fails(&database, 1, &["pay", "show", "twilio"]);
    assert_eq!(said, "error: there is no employee twilio/twilio: stipend user list --org twilio\n");
    assert_eq!(database.number(RATES).await, 4);
    for (wrong, right) in [
        (
            record("2100.001"),
            "'2100.001' for '--amount <AMOUNT>': an amount is digits, and for USD",
        ),
        (record("1e3"), "an amount is digits"),
        (record("90000000000000.01"), "an amount is at most 90000000000000.00"),
    ] {
        assert!(fails(&database, 2, &wrong).contains(right));
    }
    let wrong = ["pay", "record", "jdoe", "--from", "2026-01-01", "--amount", "1", "--currency"];
    assert!(fails(&database, 2, &[&wrong[..], &["usd"]].concat()).contains("ISO 4217"));
    let future =
        fails(&database, 2, &["pay", "show", "jdoe", "--known-at", "9999-01-01T00:00:00Z"]);
    assert!(future.contains("this is a time that has passed"), "{future}");
    assert_eq!(database.number(RATES).await, 4);
}

#[tokio::test]
async fn an_import_names_every_bad_line_and_records_all_or_nothing() {
    let database = TestDatabase::new().await;
    assert!(run(&database, &["migrate"], "").status.success());
    let write = |name: &str, lines: &str| {
        let text = format!("username,effective_from,amount,currency\n{lines}");
        std::fs::write(database.folder.path().join(name), text).unwrap();
    };
    write("bad.csv", "jdoe,2026-12-01,2300,USD\njdoe,2026-13-01,1.005,USD\nzoe,2026-12-01,1,USD\n");
    for arguments in
        [["pay", "import", "bad.csv"].as_slice(), &["pay", "import", "bad.csv", "--dry-run"]]
    {
        assert_eq!(
            fails(&database, 1, arguments),
            "bad.csv:3: effective_from: a day is YYYY-MM-DD, and exists\n\
             bad.csv:3: amount: an amount is digits, and for USD at most 2 decimals after a point, \
             such as 2000.5\n\
             bad.csv:4: username: there is no such employee\n\
             error: 3 faults in bad.csv, so nothing was recorded\n"
        );
    }
    assert_eq!(database.number(RATES).await, 2);

    write("good.csv", "jdoe,2026-01-01,2300,USD\nmturner,2026-01-01,300000,JPY\n");
    let dry = json(&database, &["pay", "import", "good.csv", "--dry-run"]);
    assert_eq!(dry, json!({ "recorded": 2, "unchanged": 0, "dry_run": true }));
    assert_eq!(database.number(RATES).await, 2);
    let done = run(&database, &["pay", "import", "good.csv"], "");
    let told = "recorded 2 rates of twilio; 0 lines said what was recorded already\n";
    assert_eq!((done.status.code(), said(&done).as_str()), (Some(0), told));
    let good = std::fs::read_to_string(database.folder.path().join("good.csv")).unwrap();
    let again = run(&database, &["pay", "import", "-", "--json"], &good);
    assert_eq!(
        String::from_utf8_lossy(&again.stdout),
        "{\"recorded\":0,\"unchanged\":2,\"dry_run\":false}\n"
    );
    assert_eq!(database.number(RATES).await, 4);
}

#[tokio::test]
async fn a_file_that_cannot_be_imported_is_refused_in_a_sentence() {
    let database = TestDatabase::new().await;
    let folder = database.folder.path();
    let large = std::fs::File::create(folder.join("large.csv")).unwrap();
    large.set_len(1 << 40).unwrap();
    let said = fails(&database, 1, &["pay", "import", "large.csv"]);
    assert!(said.starts_with("error: large.csv is larger than 16 MiB: split it"), "{said}");
    for unreadable in ["nope.csv", "."] {
        let said = fails(&database, 1, &["pay", "import", unreadable]);
        assert!(said.starts_with(&format!("error: {unreadable} cannot be read (")), "{said}");
    }
    std::fs::write(folder.join("odd.csv"), "\u{1b}[31mred\n").unwrap();
    let said = fails(&database, 1, &["pay", "import", "odd.csv"]);
    assert!(said.starts_with("odd.csv:1: [31mred: there is no such column"), "{said}");
    let said = fails(&database, 1, &["pay", "import", "-"]);
    assert!(said.starts_with("-:1: file: the file is empty"), "{said}");
}

#[tokio::test]
async fn an_export_is_the_same_rows_as_csv_or_json_and_on_record() {
    let database = TestDatabase::new().await;
    assert_eq!(
        works(&database, &["pay", "export"]),
        "username,salary\r\njdoe,$2000.00\r\nmturner,$2500.00\r\n"
    );
    let fields = ["pay", "export", "--fields", "username,amount,team", "--sort", "-amount"];
    assert_eq!(
        works(&database, &fields),
        "username,amount,team\r\nmturner,2500.00,\r\njdoe,2000.00,\r\n"
    );
    assert_eq!(
        works(&database, &[&fields[..], &["--json", "--q", "JDOE"]].concat()),
        "[{\"username\":\"jdoe\",\"amount\":\"2000.00\",\"team\":null}]\n"
    );
    for nothing in
        [["--as-of", "2021-07-31"], ["--known-at", "2021-07-31T00:00:00Z"], ["--team", "x"]]
    {
        let export = [&["pay", "export"][..], &nothing].concat();
        assert_eq!(works(&database, &export), "username,salary\r\n", "{nothing:?}");
        assert_eq!(json(&database, &export), json!([]));
    }
    let records = "SELECT COUNT(*) FROM audit WHERE action = 'export_pay' AND actor = 'operator' \
                   AND client = 'local'";
    assert_eq!(database.number(records).await, 9);

    assert_eq!(
        works(&database, &["pay", "total"]),
        "CURRENCY  PEOPLE  TOTAL\nUSD       2       $4500.00\n"
    );
    assert_eq!(
        json(&database, &["pay", "total", "--as-of", "2021-08-01"]),
        json!({
            "as_of": "2021-08-01", "people": 2,
            "totals": [
                { "currency": "USD", "people": 2, "amount": "4500.00", "salary": "$4500.00" },
            ],
        })
    );
    for wrong in [
        ["--fields", "username,username"],
        ["--fields", ""],
        ["--sort", "currency"],
        ["--as-of", "today"],
        ["--known-at", "yesterday"],
        ["--team", "Ops"],
    ] {
        fails(&database, 2, &[&["pay", "export"][..], &wrong].concat());
    }
}

#[tokio::test]
async fn many_rows_are_written_whole_and_a_reader_who_leaves_is_no_failure() {
    const PEOPLE: usize = 20_000;
    let database = TestDatabase::new().await;
    assert!(run(&database, &["migrate"], "").status.success());
    let add = format!(
        "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < {PEOPLE}) \
         INSERT INTO employees (org, username, full_name, created_at) \
         SELECT 'twilio', 'e' || CAST(i AS TEXT), 'E', 0 FROM n"
    );
    database.execute(&add).await;
    let lines: String = (1..=PEOPLE).map(|n| format!("e{n},2026-01-01,{n},USD\n")).collect();
    let file = format!("username,effective_from,amount,currency\n{lines}");
    let imported = run(&database, &["pay", "import", "-"], &file);
    assert!(said(&imported).starts_with("recorded 20000 rates"), "{}", said(&imported));

    let export = works(&database, &["pay", "export", "--sort", "amount"]);
    assert_eq!(export.lines().count(), 1 + 2 + PEOPLE);
    assert_eq!(export.lines().nth(1), Some("e1,$1.00"));
    assert_eq!(export.lines().last(), Some("e20000,$20000.00"));
    let rows = json(&database, &["pay", "export"]);
    assert_eq!(rows.as_array().unwrap().len(), 2 + PEOPLE);
    let people = json(&database, &["user", "list"]);
    assert_eq!(people.as_array().unwrap().len(), 3 + PEOPLE);
    assert_eq!(works(&database, &["user", "list"]).lines().count(), 1 + 3 + PEOPLE);

    for arguments in [["pay", "export"], ["user", "list"]] {
        let mut child = command(database.folder.path(), &[("ROCKET_DATABASE_URL", &database.url)])
            .args(arguments)
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        let mut first = String::new();
        BufReader::new(child.stdout.take().unwrap()).read_line(&mut first).unwrap();
        let left = child.wait_with_output().unwrap();
        assert!(left.status.success() && left.stderr.is_empty(), "{}", said(&left));
        assert!(first.to_lowercase().starts_with("username"), "{first}");
    }
    let full = std::fs::OpenOptions::new().write(true).open("/dev/full").unwrap();
    let output = command(database.folder.path(), &[("ROCKET_DATABASE_URL", &database.url)])
        .args(["pay", "export"])
        .stdout(full)
        .output()
        .unwrap();
    assert_eq!(output.status.code(), Some(1));
    assert!(said(&output).starts_with("error: standard output cannot be written"));
}
