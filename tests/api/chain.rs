//! The trail is one of chains, whose every byte is what docs/decisions/0013-the-trail.md says.

use ring::digest::{SHA256, digest};

use crate::support::app::{Actor, TestApp};
use crate::support::database::is_postgres;

/// What no column holds, for one that is null.
const NULL: &str = "<null>";

fn text(bytes: &mut Vec<u8>, value: &str) {
    if value == NULL {
        bytes.extend([0xff; 4]);
    } else {
        bytes.extend(u32::try_from(value.len()).unwrap().to_be_bytes());
        bytes.extend(value.as_bytes());
    }
}

fn number(bytes: &mut Vec<u8>, value: &str) {
    bytes.extend(value.parse::<i64>().unwrap().to_be_bytes());
}

fn sha256(bytes: &[u8]) -> Vec<u8> {
    digest(&SHA256, bytes).as_ref().to_vec()
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

fn unhex(text: &str) -> Vec<u8> {
    let digits = |at| u8::from_str_radix(&text[at..at + 2], 16).unwrap();
    (0..text.len()).step_by(2).map(digits).collect()
}

/// The rows of a query, each with so many columns.
async fn rows<const N: usize>(app: &TestApp, columns: [&str; N], rest: &str) -> Vec<[String; N]> {
    let columns = columns.map(|column| match column {
        "hash" | "head" if is_postgres() => format!("encode({column}, 'hex')"),
        "hash" | "head" => format!("LOWER(HEX({column}))"),
        _ => format!("COALESCE(CAST({column} AS TEXT), '{NULL}')"),
    });
    let sql = format!("SELECT {} {rest}", columns.join(" || '\u{1f}' || "));
    let texts = app.database.texts(&sql).await;
    let row = |text: String| -> [String; N] {
        text.split('\u{1f}').map(str::to_owned).collect::<Vec<_>>().try_into().unwrap()
    };
    texts.into_iter().map(row).collect()
}

/// Computes the whole trail again, from its documentation: the numbers of records and chains.
pub(crate) async fn verify(app: &TestApp) -> (usize, usize) {
    let mut sets = std::collections::HashMap::new();
    let mut members = Vec::new();
    for [set_no, org, names, hash] in
        rows(app, ["set_no", "org", "names", "hash"], "FROM audit_sets").await
    {
        let mut bytes = b"stipend-set-1".to_vec();
        text(&mut bytes, &org);
        text(&mut bytes, &names);
        assert_eq!(hex(&sha256(&bytes)), hash, "{names}");
        let list: Vec<String> = serde_json::from_str(&names).unwrap();
        assert!(list.is_sorted() && !list.is_empty(), "{names}");
        members.extend(list.into_iter().map(|name| [org.clone(), name, set_no.clone()]));
        sets.insert(set_no, unhex(&hash));
    }
    members.sort();
    let mut kept = rows(app, ["org", "username", "set_no"], "FROM audit_set_members").await;
    kept.sort();
    assert_eq!(kept, members);

    let columns = [
        "chain",
        "seq",
        "hash",
        "record_id",
        "at",
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
    let records =
        rows(app, columns, "FROM audit_records WHERE chain IS NOT NULL ORDER BY record_id").await;
    let mut heads = std::collections::BTreeMap::new();
    let mut subjects = Vec::new();
    for record in &records {
        let [chain, seq, hash, record_id, at, fields @ ..] = record;
        let (length, head) = heads.entry(chain.clone()).or_insert_with(|| (0, hex(&[0; 32])));
        let mut bytes = b"stipend-record-1".to_vec();
        bytes.extend(unhex(head));
        number(&mut bytes, chain);
        number(&mut bytes, seq);
        number(&mut bytes, at);
        fields[..7].iter().for_each(|field| text(&mut bytes, field));
        let numbers: Vec<i64> = serde_json::from_str(&fields[7]).unwrap();
        bytes.extend(u32::try_from(numbers.len()).unwrap().to_be_bytes());
        for number in &numbers {
            bytes.extend(&sets[&number.to_string()]);
            subjects.push([number.to_string(), record_id.clone()]);
        }
        fields[8..].iter().for_each(|field| text(&mut bytes, field));
        assert_eq!(seq.parse(), Ok(*length + 1), "{record:?}");
        assert_eq!(hex(&sha256(&bytes)), *hash, "{record:?}");
        (*length, *head) = (*length + 1, hash.clone());
    }
    for [chain, length, head] in rows(app, ["chain", "length", "head"], "FROM audit_chains").await {
        let (records, hash) = heads.remove(&chain).unwrap_or((0, hex(&[0; 32])));
        assert_eq!((length, head), (records.to_string(), hash), "chain {chain}");
    }
    assert!(heads.is_empty(), "{heads:?}");
    let chained = "FROM audit_subjects s JOIN audit_records r ON r.record_id = s.record_id \
                   WHERE r.chain IS NOT NULL";
    let mut kept = rows(app, ["s.set_no", "s.record_id"], chained).await;
    kept.sort();
    subjects.sort();
    assert_eq!(kept, subjects);
    let chains: std::collections::BTreeSet<&String> = records.iter().map(|row| &row[0]).collect();
    (records.len(), chains.len())
}

/// The request ids of the records of reads in which somebody is named, found by the index.
pub(crate) async fn found(app: &TestApp, org: &str, username: &str) -> Vec<String> {
    let sql = format!(
        "SELECT r.request_id FROM audit_set_members m \
           JOIN audit_subjects s ON s.set_no = m.set_no \
           JOIN audit_records r ON r.record_id = s.record_id \
          WHERE m.org = '{org}' AND m.username = '{username}' ORDER BY r.record_id"
    );
    app.database.texts(&sql).await
}

#[tokio::test]
async fn r82_each_record_is_chained_to_the_one_before_as_it_is_documented() {
    let app = TestApp::new().await;
    assert_eq!(verify(&app).await, (0, 0));
    let caller = app.demo_user().await;
    for path in ["/bearer", "/bearer?q=jdoe", "/pay", "/pay/jdoe", "/bearer?q=nobody", "/bearer"] {
        assert_eq!(caller.get(path).send().await.status, 200, "{path}");
    }
    let csv = caller.get("/bearer").field("Accept", "text/csv").send().await;
    assert_eq!(csv.status, 200);
    caller.delete("/jwt").send().await;
    let (records, chains) = verify(&app).await;
    assert_eq!(records, 9);
    assert!(chains >= 1);
    // jdoe alone, and both together: so often as they were looked at.
    assert_eq!(
        app.database.number("SELECT COUNT(*) FROM audit_sets WHERE names LIKE '%jdoe%'").await,
        2
    );
    assert_eq!(found(&app, "twilio", "jdoe").await.len(), 6);
    assert_eq!(found(&app, "twilio", "mturner").await.len(), 4);
    assert_eq!(found(&app, "acme", "jdoe").await, [""; 0]);
}

/// Records as they were before the migration: the triggers that chain them are not yet there.
async fn add_old_records(app: &TestApp) {
    let insert = "INSERT INTO audit_records (at, org, actor, session_id, action, permission, grants, names, \
                              detail, client, request_id) VALUES \
         (5, 'twilio', 'twilio', 's', 'list_pay', 'read', '[\"demo\"]', '[\"jdoe\",\"mturner\"]', '{}', \
          '127.0.0.1', 'old-1'), \
         (6, 'twilio', 'operator', NULL, 'add_org', NULL, NULL, '[]', '{\"a\":1}', 'local', 'old-2')";
    let (off, on) = if is_postgres() {
        (
            vec!["ALTER TABLE audit_records DISABLE TRIGGER audit_moves_the_heads"],
            vec!["ALTER TABLE audit_records ENABLE TRIGGER audit_moves_the_heads".to_owned()],
        )
    } else {
        let sql = "SELECT sql FROM sqlite_master WHERE name IN ('audit_is_chained', 'audit_moves_the_head')";
        let on = app.database.texts(sql).await;
        assert_eq!(on.len(), 2);
        (vec!["DROP TRIGGER audit_is_chained", "DROP TRIGGER audit_moves_the_head"], on)
    };
    for sql in off.into_iter().chain([insert]) {
        app.database.execute(sql).await;
    }
    for sql in on {
        app.database.execute(&sql).await;
    }
}

#[tokio::test]
async fn r82_records_from_before_there_were_chains_are_bound_by_one_record_once() {
    let app = TestApp::new().await;
    add_old_records(&app).await;
    let app = app.restarted_with(rocket::figment::Figment::new()).await;
    let app = app.restarted_with(rocket::figment::Figment::new()).await;
    let old = [
        "record_id",
        "at",
        "org",
        "actor",
        "session_id",
        "action",
        "permission",
        "grants",
        "names",
        "detail",
        "client",
        "request_id",
    ];
    let mut bytes = b"stipend-records-before-chains-1".to_vec();
    for [record_id, at, fields @ ..] in
        rows(&app, old, "FROM audit_records WHERE chain IS NULL ORDER BY record_id").await
    {
        number(&mut bytes, &record_id);
        number(&mut bytes, &at);
        fields.iter().for_each(|field| text(&mut bytes, field));
    }
    let expected = format!(r#"{{"records":2,"digest":"{}"}}"#, hex(&sha256(&bytes)));
    let sql = "SELECT detail FROM audit WHERE action = 'begin_chain'";
    assert_eq!(app.database.texts(sql).await, [expected]);
    assert_eq!(verify(&app).await, (1, 1));
    assert_eq!(found(&app, "twilio", "mturner").await, ["old-1"]);
    let subjects = "SELECT subjects FROM audit ORDER BY record_id LIMIT 1";
    assert_eq!(app.database.texts(subjects).await, [r#"["jdoe","mturner"]"#]);
    let caller: Actor<'_> = app.demo_user().await;
    caller.read_pay().await;
    assert_eq!(verify(&app).await.0, 3);
}
