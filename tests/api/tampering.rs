//! Whatever is done to the trail behind Stipend's back, verification finds it.

use stipend::service::integrity::{self, Evidence, NotVerified};
use stipend::service::{Act, audit};
use stipend::store::audit::Origin;
use stipend::store::verify::Flaw;

use crate::support::app::TestApp;
use crate::support::database::is_postgres;

pub(crate) const TABLES: [&str; 7] = [
    "audit_records",
    "audit_chains",
    "audit_sets",
    "audit_set_members",
    "audit_subjects",
    "audit_archives",
    "audit_archived",
];

/// Lets whoever writes SQL do anything to the trail, as somebody with the database file can.
pub(crate) async fn disarm(app: &TestApp) {
    if is_postgres() {
        for table in TABLES {
            app.database.execute(&format!("ALTER TABLE {table} DISABLE TRIGGER ALL")).await;
        }
        return;
    }
    let tables = TABLES.map(|table| format!("'{table}'")).join(",");
    let sql =
        format!("SELECT name FROM sqlite_master WHERE type = 'trigger' AND tbl_name IN ({tables})");
    for trigger in app.database.texts(&sql).await {
        app.database.execute(&format!("DROP TRIGGER {trigger}")).await;
    }
}

/// A trail with logins, looks at several people, and changes; and nothing in it that is not whole.
pub(crate) async fn trail() -> TestApp {
    let app = TestApp::new().await;
    app.add_employee("twilio", "ann", 1).await;
    app.add_grant("twilio", "twilio", "write", "org").await;
    let caller = app.demo_user().await;
    for path in ["/bearer", "/bearer?q=j", "/pay", "/pay/ann", "/pay/jdoe", "/bearer?fields=name"] {
        assert_eq!(caller.get(path).send().await.status, 200, "{path}");
    }
    let rate = r#"{"effective_from":"2026-01-01","amount":"1.00","currency":"USD"}"#;
    let new = caller.post("/pay/ann").field("If-Match", "*").json(rate).send().await;
    assert_eq!(new.status, 201, "{new:?}");
    assert_eq!(caller.get("/pay/ann").send().await.status, 200);
    app
}

pub(crate) fn origin() -> Origin {
    Origin { client: "local".into(), request_id: "test".into() }
}

pub(crate) fn act<'a>(app: &'a TestApp, origin: &'a Origin) -> Act<'a> {
    let auth = app.auth();
    Act { db: &auth.db, ports: &auth.ports, gate: &auth.gate, origin }
}

pub(crate) async fn verify(app: &TestApp, evidence: &Evidence) -> Result<u64, Flaw> {
    match integrity::verify(act(app, &origin()), evidence, |_| {}).await {
        Ok(verified) => Ok(verified.found.records),
        Err(NotVerified::Flaw(flaw)) => Err(flaw),
        Err(other) => panic!("{other}"),
    }
}

pub(crate) async fn is_whole(app: &TestApp) {
    if let Err(flaw) = verify(app, &Evidence::default()).await {
        panic!("{flaw}");
    }
}

pub(crate) async fn flaw(app: &TestApp, evidence: &Evidence, what: &str) -> Flaw {
    match verify(app, evidence).await {
        Err(flaw) => flaw,
        Ok(_) => panic!("this was not found: {what}"),
    }
}

pub(crate) async fn checkpoint(app: &TestApp) -> Evidence {
    let line = audit::checkpoint(act(app, &origin()), &app.auth().keys).await.unwrap().unwrap();
    Evidence { kept: Some(("kept".into(), line + "\n")), ..Evidence::default() }
}

/// The record in the middle, and one in its chain that follows it.
pub(crate) async fn middle(app: &TestApp) -> (i64, i64) {
    let sql = "SELECT record_id FROM audit_records WHERE action = 'sum_pay'";
    let id = app.database.number(sql).await;
    let next = app
        .database
        .number(&format!(
            "SELECT MIN(n.record_id) FROM audit_records n JOIN audit_records r ON r.chain = n.chain \
             AND n.seq > r.seq WHERE r.record_id = {id}"
        ))
        .await;
    (id, next)
}

#[tokio::test]
async fn r82_every_changed_field_of_a_record_is_found_and_the_record_named() {
    let app = trail().await;
    is_whole(&app).await;
    disarm(&app).await;
    let (id, _) = middle(&app).await;
    let hash = if is_postgres() {
        "decode(repeat('ab', 32), 'hex')"
    } else {
        "CAST(x'abababababababababababababababababababababababababababababababab' AS BLOB)"
    };
    for (column, value) in [
        ("at", "at + 1"),
        ("org", "'acme'"),
        ("actor", "'somebody'"),
        ("session_id", "NULL"),
        ("session_id", "'x'"),
        ("token", "'x'"),
        ("action", "'list_pay'"),
        ("permission", "'write'"),
        ("permission", "NULL"),
        ("grants", "'[\"other\"]'"),
        ("grants", "NULL"),
        ("names", "'[\"ann\"]'"),
        ("sets", "'[]'"),
        ("detail", "'{}'"),
        ("detail", "detail || ' '"),
        ("outcome", "'refused'"),
        ("client", "'10.0.0.1'"),
        ("request_id", "'x'"),
        ("hash", hash),
        ("chain", "NULL"),
        ("seq", "seq + 1"),
        ("record_id", "record_id + 10000"),
    ] {
        // PostgreSQL gives an identity only itself, and takes no half of a place in a chain.
        if is_postgres() && column == "record_id" {
            continue;
        }
        let backup =
            format!("CREATE TABLE kept AS SELECT * FROM audit_records WHERE record_id = {id}");
        app.database.execute(&backup).await;
        let update = format!("UPDATE audit_records SET {column} = {value} WHERE record_id = {id}");
        app.database.execute(&update).await;
        let found = flaw(&app, &Evidence::default(), &update).await;
        if !["chain", "seq", "record_id", "sets"].contains(&column) {
            assert_eq!(found.record_id, Some(id), "{update}: {found}");
        }
        let back = format!(
            "UPDATE audit_records SET {column} = (SELECT {column} FROM kept) \
             WHERE record_id IN ({id}, {id} + 10000)"
        );
        app.database.execute(&back).await;
        app.database.execute("DROP TABLE kept").await;
        is_whole(&app).await;
    }
}

async fn longest_chain(app: &TestApp) -> i64 {
    let longest = "SELECT chain FROM audit_chains ORDER BY length DESC, chain LIMIT 1";
    app.database.number(longest).await
}

#[tokio::test]
async fn r82_a_removed_record_is_found_at_the_start_in_the_middle_and_at_the_end() {
    let app = trail().await;
    let kept = checkpoint(&app).await;
    disarm(&app).await;
    let chain = longest_chain(&app).await;
    let length = app
        .database
        .number(&format!("SELECT length FROM audit_chains WHERE chain = {chain}"))
        .await;
    for seq in [1, length / 2, length] {
        let one = format!("chain = {chain} AND seq = {seq}");
        app.database
            .execute(&format!("CREATE TABLE kept AS SELECT * FROM audit_records WHERE {one}"))
            .await;
        app.database.execute(&format!("DELETE FROM audit_records WHERE {one}")).await;
        let found = flaw(&app, &Evidence::default(), &one).await;
        assert_eq!((found.chain, found.seq), (Some(chain), Some(seq)), "{found}");
        assert!(found.what.contains("missing"), "{found}");
        let overriding = if is_postgres() { "OVERRIDING SYSTEM VALUE" } else { "" };
        app.database
            .execute(&format!("INSERT INTO audit_records {overriding} SELECT * FROM kept"))
            .await;
        app.database.execute("DROP TABLE kept").await;
        is_whole(&app).await;
    }
    // Cut off so well that the trail by itself is whole: only the kept checkpoint tells.
    let end = format!("chain = {chain} AND seq = {length}");
    for sql in [
        format!(
            "DELETE FROM audit_subjects WHERE record_id IN \
             (SELECT record_id FROM audit_records WHERE {end})"
        ),
        format!("DELETE FROM audit_records WHERE {end}"),
        format!(
            "UPDATE audit_chains SET length = length - 1, head = (SELECT hash FROM audit_records r \
             WHERE r.chain = audit_chains.chain AND r.seq = audit_chains.length - 1) \
             WHERE chain = {chain}"
        ),
    ] {
        app.database.execute(&sql).await;
    }
    is_whole(&app).await;
    let found = flaw(&app, &kept, "a cut tail").await;
    assert_eq!((found.chain, found.seq), (Some(chain), Some(length)), "{found}");
}

#[tokio::test]
async fn r82_swapped_and_inserted_records_are_found() {
    let app = trail().await;
    disarm(&app).await;
    let (id, next) = middle(&app).await;
    let columns = "at, org, actor, session_id, token, action, permission, grants, sets, detail, outcome, client, request_id";
    // What they say is swapped, in their places.
    let swap = |one: i64, other: i64| {
        columns
            .split(", ")
            .map(|column| {
                format!("{column} = (SELECT k.{column} FROM kept k WHERE k.record_id = {other})")
            })
            .collect::<Vec<_>>()
            .join(", ")
            + &format!(" WHERE record_id = {one}")
    };
    app.database.execute("CREATE TABLE kept AS SELECT * FROM audit_records").await;
    for (one, other) in [(id, next), (next, id)] {
        app.database.execute(&format!("UPDATE audit_records SET {}", swap(one, other))).await;
    }
    assert_eq!(flaw(&app, &Evidence::default(), "a swap").await.record_id, Some(id));
    for (one, other) in [(id, id), (next, next)] {
        app.database.execute(&format!("UPDATE audit_records SET {}", swap(one, other))).await;
    }
    is_whole(&app).await;
    // They are swapped with their places and hashes, or a place is given twice.
    for set in [
        format!(
            "seq = CASE record_id WHEN {id} THEN (SELECT seq FROM kept WHERE record_id = {next}) \
                 ELSE (SELECT seq FROM kept WHERE record_id = {id}) END"
        ),
        format!("seq = (SELECT seq FROM kept WHERE record_id = {id})"),
    ] {
        let both = format!("WHERE record_id IN ({id}, {next})");
        app.database.execute(&format!("UPDATE audit_records SET {set} {both}")).await;
        flaw(&app, &Evidence::default(), &set).await;
        let back = "seq = (SELECT k.seq FROM kept k WHERE k.record_id = audit_records.record_id)";
        app.database.execute(&format!("UPDATE audit_records SET {back}")).await;
        is_whole(&app).await;
    }
    // A record is inserted: in a chain, in no chain, and in a chain of its own.
    for (chain, seq, hash) in [
        ("chain", "seq", "hash"),
        ("chain", "seq + 1", "hash"),
        ("NULL", "NULL", "NULL"),
        ("4711", "1", "hash"),
    ] {
        let insert = format!(
            "INSERT INTO audit_records (chain, seq, hash, names, {columns}) \
             SELECT {chain}, {seq}, {hash}, names, {columns} FROM audit_records WHERE record_id = {id}"
        );
        app.database.execute(&insert).await;
        flaw(&app, &Evidence::default(), &insert).await;
        app.database
            .execute(
                "DELETE FROM audit_records WHERE record_id NOT IN (SELECT record_id FROM kept)",
            )
            .await;
        is_whole(&app).await;
    }
}

#[tokio::test]
async fn r82_a_chain_that_was_computed_anew_is_found_against_a_kept_checkpoint() {
    let app = trail().await;
    let kept = checkpoint(&app).await;
    assert!(verify(&app, &kept).await.is_ok());
    disarm(&app).await;
    let (id, _) = middle(&app).await;
    app.database
        .execute(&format!("UPDATE audit_records SET actor = 'somebody' WHERE record_id = {id}"))
        .await;
    assert_eq!(flaw(&app, &Evidence::default(), "a change").await.record_id, Some(id));
    recompute(&app).await;
    is_whole(&app).await;
    let found = flaw(&app, &kept, "a chain computed anew").await;
    assert!(found.what.contains("computed anew"), "{found}");
    assert!(found.what.contains("kept:1"), "{found}");
}

/// What an attacker would write: every hash anew, by the decision record alone.
pub(crate) async fn recompute(app: &TestApp) {
    use ring::digest::{Context, SHA256};
    use std::collections::HashMap;
    let hex = |bytes: &[u8]| bytes.iter().map(|b| format!("{b:02x}")).collect::<String>();
    let unhex = |text: &str| -> Vec<u8> {
        (0..text.len())
            .step_by(2)
            .map(|i| u8::from_str_radix(&text[i..i + 2], 16).unwrap())
            .collect()
    };
    let encode = |column: &str| {
        if is_postgres() {
            format!("encode({column}, 'hex')")
        } else {
            format!("lower(hex({column}))")
        }
    };
    let sets: HashMap<String, Vec<u8>> = app
        .database
        .texts(&format!("SELECT set_no || ' ' || {} FROM audit_sets", encode("hash")))
        .await
        .iter()
        .map(|line| line.split_once(' ').unwrap())
        .map(|(number, hash)| (number.to_owned(), unhex(hash)))
        .collect();
    let fields = [
        "org",
        "actor",
        "session_id",
        "token",
        "action",
        "permission",
        "grants",
        "sets",
        "detail",
        "outcome",
        "client",
        "request_id",
    ];
    let texts = fields.map(|f| format!("COALESCE('=' || {f}, '-')")).join(" || chr(1) || ");
    let texts = if is_postgres() { texts } else { texts.replace("chr(", "char(") };
    let separator = if is_postgres() { "chr(1)" } else { "char(1)" };
    let sql = format!(
        "SELECT record_id || {separator} || chain || {separator} || seq || {separator} || at || {separator} || {texts} \
         FROM audit_records WHERE chain IS NOT NULL ORDER BY chain, seq"
    );
    let mut heads: HashMap<String, Vec<u8>> = HashMap::new();
    for row in app.database.texts(&sql).await {
        let cells: Vec<&str> = row.split('\u{1}').collect();
        let (id, chain, seq, at) = (cells[0], cells[1], cells[2], cells[3]);
        let head = heads.entry(chain.to_owned()).or_insert_with(|| vec![0; 32]);
        let mut digest = Context::new(&SHA256);
        digest.update(b"stipend-record-1");
        digest.update(head);
        for number in [chain, seq, at] {
            digest.update(&number.parse::<i64>().unwrap().to_be_bytes());
        }
        for (name, cell) in fields.iter().zip(&cells[4..]) {
            if *name == "sets" {
                let numbers: Vec<i64> = serde_json::from_str(&cell[1..]).unwrap();
                digest.update(&u32::try_from(numbers.len()).unwrap().to_be_bytes());
                numbers.iter().for_each(|number| digest.update(&sets[&number.to_string()]));
            } else if let Some(text) = cell.strip_prefix('=') {
                digest.update(&u32::try_from(text.len()).unwrap().to_be_bytes());
                digest.update(text.as_bytes());
            } else {
                digest.update(&[255; 4]);
            }
        }
        *head = digest.finish().as_ref().to_vec();
        let literal = if is_postgres() {
            format!("decode('{}', 'hex')", hex(head))
        } else {
            format!("x'{}'", hex(head))
        };
        app.database
            .execute(&format!("UPDATE audit_records SET hash = {literal} WHERE record_id = {id}"))
            .await;
        app.database
            .execute(&format!("UPDATE audit_chains SET head = {literal} WHERE chain = {chain}"))
            .await;
    }
}

#[tokio::test]
async fn r82_changed_sets_and_indexes_are_found() {
    let app = trail().await;
    disarm(&app).await;
    let set = app
        .database
        .number("SELECT MIN(set_no) FROM audit_set_members WHERE username = 'ann'")
        .await;
    let id = app
        .database
        .number(&format!("SELECT MIN(record_id) FROM audit_subjects WHERE set_no = {set}"))
        .await;
    for (change, back, says) in [
        (
            format!(
                "UPDATE audit_sets SET names = REPLACE(names, 'ann', 'anna') WHERE set_no = {set}"
            ),
            format!(
                "UPDATE audit_sets SET names = REPLACE(names, 'anna', 'ann') WHERE set_no = {set}"
            ),
            "were changed",
        ),
        (
            format!("UPDATE audit_sets SET org = 'acme' WHERE set_no = {set}"),
            format!("UPDATE audit_sets SET org = 'twilio' WHERE set_no = {set}"),
            "were changed",
        ),
        // Whoever would hide that they have looked at ann.
        (
            format!("DELETE FROM audit_set_members WHERE username = 'ann' AND set_no = {set}"),
            format!(
                "INSERT INTO audit_set_members (org, username, set_no) VALUES ('twilio', 'ann', {set})"
            ),
            "is not found by ann",
        ),
        (
            format!(
                "INSERT INTO audit_set_members (org, username, set_no) VALUES ('twilio', 'eve', {set})"
            ),
            "DELETE FROM audit_set_members WHERE username = 'eve'".to_owned(),
            "is found by eve",
        ),
        (
            format!("DELETE FROM audit_subjects WHERE set_no = {set} AND record_id = {id}"),
            format!("INSERT INTO audit_subjects (set_no, record_id) VALUES ({set}, {id})"),
            "is not found by its set",
        ),
        (
            format!(
                "INSERT INTO audit_subjects (set_no, record_id) SELECT {set}, MIN(record_id) FROM audit_records r \
                     WHERE NOT EXISTS (SELECT 1 FROM audit_subjects s WHERE s.record_id = r.record_id AND s.set_no = {set})"
            ),
            format!(
                "DELETE FROM audit_subjects WHERE set_no = {set} AND record_id NOT IN \
                     (SELECT r.record_id FROM audit_records r WHERE r.sets LIKE '%[{set}]%' OR r.sets LIKE '%,{set}]%' OR r.sets LIKE '%[{set},%')"
            ),
            "is found by the set",
        ),
    ] {
        app.database.execute(&change).await;
        let found = flaw(&app, &Evidence::default(), &change).await;
        assert!(found.what.contains(says), "{change}: {found}");
        app.database.execute(&back).await;
        is_whole(&app).await;
    }
    // A set that nobody names is nobody's look: a process that died may have left it.
    app.database
        .execute(&format!("UPDATE audit_records SET sets = REPLACE(sets, '[{set}]', '[4711]')"))
        .await;
    let found = flaw(&app, &Evidence::default(), "a missing set").await;
    assert!(found.what.contains("the set 4711 is missing"), "{found}");
}

#[tokio::test]
async fn r82_a_chain_that_was_removed_is_found() {
    let app = trail().await;
    let kept = checkpoint(&app).await;
    disarm(&app).await;
    let chain = longest_chain(&app).await;
    app.database
        .execute(&format!("CREATE TABLE kept AS SELECT * FROM audit_chains WHERE chain = {chain}"))
        .await;
    app.database.execute(&format!("DELETE FROM audit_chains WHERE chain = {chain}")).await;
    let found = flaw(&app, &Evidence::default(), "a chain without its end").await;
    assert!(found.what.contains("audit_chains"), "{found}");
    for sql in [
        format!(
            "DELETE FROM audit_subjects WHERE record_id IN (SELECT record_id FROM audit_records WHERE chain = {chain})"
        ),
        format!("DELETE FROM audit_records WHERE chain = {chain}"),
    ] {
        app.database.execute(&sql).await;
    }
    is_whole(&app).await;
    let found = flaw(&app, &kept, "a chain that is gone").await;
    assert_eq!((found.chain, found.seq), (Some(chain), Some(1)), "{found}");
}

/// A database that has records from before there were chains, bound by the first start.
pub(crate) async fn migrated() -> TestApp {
    migrated_with(&["[\"jdoe\",\"mturner\"]", "[\"jdoe\"]", "[]"]).await
}

/// The same, with a look at each of these.
pub(crate) async fn migrated_with(looks: &[&str]) -> TestApp {
    let app = TestApp::new().await;
    let triggers: Vec<String> = if is_postgres() {
        app.database.execute("ALTER TABLE audit_records DISABLE TRIGGER ALL").await;
        vec!["ALTER TABLE audit_records ENABLE TRIGGER ALL".to_owned()]
    } else {
        let names = "('audit_is_chained', 'audit_moves_the_head')";
        let sql = format!("SELECT sql FROM sqlite_master WHERE name IN {names}");
        let triggers = app.database.texts(&sql).await;
        app.database.execute("DROP TRIGGER audit_is_chained").await;
        app.database.execute("DROP TRIGGER audit_moves_the_head").await;
        triggers
    };
    assert_eq!(app.database.number("SELECT COUNT(*) FROM audit_records").await, 0);
    for names in looks {
        app.database.execute(&old_record(names)).await;
    }
    for trigger in triggers {
        app.database.execute(&trigger).await;
    }
    app.restarted_with(rocket::figment::Figment::new()).await
}

fn old_record(names: &str) -> String {
    format!(
        "INSERT INTO audit_records (at, org, actor, action, names, client, request_id) \
         VALUES (1000, 'twilio', 'twilio', 'list_pay', '{names}', 'local', 'old')"
    )
}

#[tokio::test]
async fn r82_records_from_before_there_were_chains_are_verified_too() {
    let app = migrated().await;
    let caller = app.demo_user().await;
    caller.read_pay().await;
    is_whole(&app).await;
    assert_eq!(app.database.number("SELECT COUNT(*) FROM audit WHERE chain IS NULL").await, 3);
    disarm(&app).await;
    app.database.execute("CREATE TABLE kept AS SELECT * FROM audit_records").await;
    let first = "(SELECT MIN(record_id) FROM kept)";
    for (column, value) in [
        ("actor", "'x'"),
        ("at", "1"),
        ("detail", "'{\"a\":1}'"),
        ("client", "'x'"),
        ("token", "'x'"),
        ("outcome", "'refused'"),
        ("sets", "'[ ]'"),
    ] {
        let one = format!("WHERE record_id = {first}");
        app.database.execute(&format!("UPDATE audit_records SET {column} = {value} {one}")).await;
        flaw(&app, &Evidence::default(), column).await;
        let back = format!("{column} = (SELECT k.{column} FROM kept k {one})");
        app.database.execute(&format!("UPDATE audit_records SET {back} {one}")).await;
        is_whole(&app).await;
    }
    app.database.execute(&old_record("[]")).await;
    assert!(flaw(&app, &Evidence::default(), "one more").await.what.contains("of the 3 records"));
    let new = "DELETE FROM audit_records WHERE record_id NOT IN (SELECT record_id FROM kept)";
    app.database.execute(new).await;
    is_whole(&app).await;
    let index = format!("FROM audit_subjects WHERE record_id = {first}");
    app.database.execute(&format!("CREATE TABLE gone AS SELECT * {index}")).await;
    app.database.execute(&format!("DELETE {index}")).await;
    let found = flaw(&app, &Evidence::default(), "an old look that was hidden").await;
    assert!(found.what.contains("not found by whom it names"), "{found}");
    app.database.execute("INSERT INTO audit_subjects SELECT * FROM gone").await;
    is_whole(&app).await;
    app.database.execute(&format!("DELETE {index}")).await;
    app.database.execute(&format!("DELETE FROM audit_records WHERE record_id = {first}")).await;
    flaw(&app, &Evidence::default(), "an old record that is gone").await;
}

#[tokio::test]
async fn a_kept_checkpoint_is_only_worth_what_was_signed() {
    let app = trail().await;
    let kept = checkpoint(&app).await;
    let (_, line) = kept.kept.clone().unwrap();
    let as_file =
        |text: String| Evidence { kept: Some(("kept".into(), text)), ..Evidence::default() };
    // As the log holds it, beside other lines, and as whatever collects logs writes them.
    let entry = format!("{{\"checkpoint\":\"{}\"}}", line.trim());
    for before in ["", "Mar 10 12:00:00 host stipend[1]: "] {
        let log = format!("{before}{{\"level\":\"INFO\"}}\nwarning: no {{\n{before}{entry}\n\n");
        assert!(verify(&app, &as_file(log)).await.is_ok(), "{before}");
    }
    let odd = format!("{line}not JSON: {{\n");
    // That says nothing of the trail.
    match integrity::verify(act(&app, &origin()), &as_file(odd), |_| {}).await {
        Err(NotVerified::NoEvidence(what)) => assert!(what.starts_with("kept:2"), "{what}"),
        other => panic!("{other:?}"),
    }
    let cut = format!("eckpoint\":\"eyJhbGciOi.x.y\"}}\n{entry}\n");
    assert!(verify(&app, &as_file(cut)).await.is_ok(), "a log whose first line was cut");
    let middle = line.find('.').unwrap() + 5;
    let mut forged = line.clone();
    forged.replace_range(middle..=middle, if &line[middle..=middle] == "A" { "B" } else { "A" });
    let found = flaw(&app, &as_file(format!("{line}{forged}")), "a changed checkpoint").await;
    assert!(found.what.contains("kept:2") && found.what.contains("signature"), "{found}");
    // Beside lines of a log, a line of its own still counts.
    let found = flaw(&app, &as_file(format!("{entry}\n{forged}")), "one beside a log").await;
    assert!(found.what.contains("kept:2") && found.what.contains("signature"), "{found}");
    let nothing = integrity::verify(act(&app, &origin()), &as_file("\n".into()), |_| {}).await;
    assert!(matches!(nothing, Err(NotVerified::NoEvidence(_))));
}
