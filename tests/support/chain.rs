//! The trail computed again from its documentation (docs/decisions/0013-the-trail.md), by nothing of
//! Stipend's own.

use ring::digest::{SHA256, digest};

use super::database::{TestDatabase, is_postgres};

/// What no column holds, for one that is null.
pub const NULL: &str = "<null>";

/// What the documentation calls by this name.
pub fn text(bytes: &mut Vec<u8>, value: &str) {
    if value == NULL {
        bytes.extend([0xff; 4]);
    } else {
        bytes.extend(u32::try_from(value.len()).unwrap().to_be_bytes());
        bytes.extend(value.as_bytes());
    }
}

/// What the documentation calls by this name.
pub fn number(bytes: &mut Vec<u8>, value: &str) {
    bytes.extend(value.parse::<i64>().unwrap().to_be_bytes());
}

pub fn sha256(bytes: &[u8]) -> Vec<u8> {
    digest(&SHA256, bytes).as_ref().to_vec()
}

pub fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

pub fn unhex(text: &str) -> Vec<u8> {
    let digits = |at| u8::from_str_radix(&text[at..at + 2], 16).unwrap();
    (0..text.len()).step_by(2).map(digits).collect()
}

/// The rows of a query, each with so many columns.
pub async fn rows<const N: usize>(
    database: &TestDatabase,
    columns: [&str; N],
    rest: &str,
) -> Vec<[String; N]> {
    let columns = columns.map(|column| match column {
        "hash" | "head" if is_postgres() => format!("encode({column}, 'hex')"),
        "hash" | "head" => format!("LOWER(HEX({column}))"),
        _ => format!("COALESCE(CAST({column} AS TEXT), '{NULL}')"),
    });
    let sql = format!("SELECT {} {rest}", columns.join(" || '\u{1f}' || "));
    let texts = database.texts(&sql).await;
    let row = |text: String| -> [String; N] {
        text.split('\u{1f}').map(str::to_owned).collect::<Vec<_>>().try_into().unwrap()
    };
    texts.into_iter().map(row).collect()
}

/// Computes the whole trail again, from its documentation: the numbers of records and chains.
pub async fn verify(database: &TestDatabase) -> (usize, usize) {
    let mut sets = std::collections::HashMap::new();
    let mut members = Vec::new();
    for [set_no, org, names, hash] in
        rows(database, ["set_no", "org", "names", "hash"], "FROM audit_sets").await
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
    let mut kept = rows(database, ["org", "username", "set_no"], "FROM audit_set_members").await;
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
        rows(database, columns, "FROM audit_records WHERE chain IS NOT NULL ORDER BY record_id")
            .await;
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
    for [chain, length, head] in
        rows(database, ["chain", "length", "head"], "FROM audit_chains").await
    {
        let (records, hash) = heads.remove(&chain).unwrap_or((0, hex(&[0; 32])));
        assert_eq!((length, head), (records.to_string(), hash), "chain {chain}");
    }
    assert!(heads.is_empty(), "{heads:?}");
    let chained = "FROM audit_subjects s JOIN audit_records r ON r.record_id = s.record_id \
                   WHERE r.chain IS NOT NULL";
    let mut kept = rows(database, ["s.set_no", "s.record_id"], chained).await;
    kept.sort();
    subjects.sort();
    assert_eq!(kept, subjects);
    let chains: std::collections::BTreeSet<&String> = records.iter().map(|row| &row[0]).collect();
    (records.len(), chains.len())
}

/// The request ids of the records of reads in which somebody is named, found by the index.
pub async fn found(database: &TestDatabase, org: &str, username: &str) -> Vec<String> {
    let sql = format!(
        "SELECT r.request_id FROM audit_set_members m \
           JOIN audit_subjects s ON s.set_no = m.set_no \
           JOIN audit_records r ON r.record_id = s.record_id \
          WHERE m.org = '{org}' AND m.username = '{username}' ORDER BY r.record_id"
    );
    database.texts(&sql).await
}
