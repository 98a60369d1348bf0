//! The rules that the source itself is held to.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

/// The rooms from the top down; those in one group stand beside each other.
const FLOORS: &[&[&str]] = &[
    &["main", "lib"],
    &["cli"],
    &["routes"],
    &["fairings"],
    &["error"],
    &["service"],
    &["auth"],
    &["store"],
    &["policy"],
    &["domain"],
    &["config", "clock", "entropy", "files", "json", "memory"],
];

fn files(folder: &str) -> Vec<(PathBuf, String)> {
    fn walk(folder: &Path, found: &mut Vec<(PathBuf, String)>) {
        for entry in fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                walk(&path, found);
            } else if path.extension().is_some_and(|extension| extension == "rs") {
                let text = fs::read_to_string(&path).unwrap();
                found.push((path, text));
            }
        }
    }
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join(folder);
    let mut found = Vec::new();
    walk(&root, &mut found);
    assert!(!found.is_empty());
    found.into_iter().map(|(path, text)| (path.strip_prefix(&root).unwrap().into(), text)).collect()
}

fn room(path: &Path) -> String {
    let first = path.components().next().unwrap().as_os_str().to_str().unwrap();
    first.trim_end_matches(".rs").to_owned()
}

fn floor(room: &str) -> Option<usize> {
    FLOORS.iter().position(|rooms| rooms.contains(&room))
}

/// Whether code in one room may name another.
fn may_import(from: &str, to: &str) -> bool {
    match (floor(from), floor(to)) {
        (Some(above), Some(below)) => from == to || above < below,
        _ => false,
    }
}

#[test]
fn imports_run_one_way() {
    assert!(may_import("routes", "auth") && !may_import("auth", "routes"));
    assert!(!may_import("config", "clock") && !may_import("policy", "store"));
    for (path, text) in files("src") {
        let from = room(&path);
        assert!(floor(&from).is_some(), "{}: {from} stands on no floor yet", path.display());
        for import in text.split("crate::").skip(1) {
            let to: String =
                import.chars().take_while(|c| c.is_ascii_alphanumeric() || *c == '_').collect();
            // `use crate::{…}` would hide what it names from this test.
            assert!(!to.is_empty(), "{}: name each room by a use of its own", path.display());
            if floor(&to).is_some() {
                assert!(may_import(&from, &to), "{}: {from} imports {to}", path.display());
            }
        }
    }
}

#[test]
fn only_the_edge_knows_rocket() {
    for (path, text) in files("src") {
        let edge = ["lib", "cli", "routes", "fairings", "error", "config"];
        if !edge.contains(&room(&path).as_str()) {
            assert!(!text.contains("rocket::"), "{}", path.display());
        }
    }
}

#[test]
fn only_policy_makes_the_proof() {
    for (path, text) in files("src") {
        if room(&path) != "policy" {
            assert!(!text.contains("Allowed {"), "{}", path.display());
        }
    }
}

/// What reads amounts is called by the one door alone, which opens a claim only there.
#[test]
fn only_the_door_reads_amounts_and_opens_a_claim() {
    let mut doors = 0;
    for (path, text) in files("src") {
        let text = text.split("#[cfg(test)]").next().unwrap();
        let is_door = path == Path::new("store/disclosure.rs");
        for reader in [
            "rates::page(",
            "rates::scan(",
            "rates::all_by_key(",
            "rates::history(",
            "rates::key_of(",
            "claim.held()",
        ] {
            doors += usize::from(is_door && text.contains(reader));
            assert!(is_door || !text.contains(reader), "{}: {reader}", path.display());
        }
        let reads = text.contains("amount_minor") && text.contains("SELECT");
        assert!(!reads || path == Path::new("store/rates.rs"), "{}", path.display());
    }
    assert_eq!(doors, 6, "the door has changed: so must this test");
}

#[test]
fn r100_only_the_store_speaks_sql_and_only_in_constants() {
    for (path, text) in files("src") {
        let shown = path.display();
        assert!(!text.contains("AssertSqlSafe") && !text.contains("QueryBuilder"), "{shown}");
        if room(&path) != "store" {
            assert!(!text.contains("sqlx::query(") && !text.contains("SELECT "), "{shown}");
        }
    }
}

/// The numbers of the rules that tests name.
fn rules_in_tests() -> BTreeSet<String> {
    let mut rules = BTreeSet::new();
    for (_, text) in files("src").into_iter().chain(files("tests")) {
        for name in text.split("fn ").skip(1) {
            let words = name.split(|c: char| !c.is_ascii_alphanumeric());
            rules.extend(words.take_while(|word| is_rule(word)).map(str::to_uppercase));
        }
    }
    rules
}

fn is_rule(word: &str) -> bool {
    let digits = word.strip_prefix('r').map(|rest| rest.trim_end_matches(['a', 'b', 'c', 'd']));
    digits.is_some_and(|digits| digits.parse::<u16>().is_ok())
}

#[test]
fn every_security_requirement_has_a_test_and_no_test_another() {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("docs/security-requirements.md");
    let text = fs::read_to_string(path).unwrap();
    let rows = text.lines().filter_map(|line| line.strip_prefix("| R")?.split_once(' '));
    let written: BTreeSet<String> = rows.map(|(number, _)| format!("R{number}")).collect();
    assert_eq!(rules_in_tests(), written.iter().map(|rule| rule.to_uppercase()).collect());
}

#[test]
fn r110_every_dependency_has_a_line_of_reason() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let manifest = fs::read_to_string(root.join("Cargo.toml")).unwrap();
    let reasons = fs::read_to_string(root.join("docs/decisions/0002-dependencies.md")).unwrap();
    let rows: Vec<&str> = reasons.lines().filter(|line| line.starts_with("| ")).collect();
    let (_, sections) = manifest.split_once("[dependencies]").unwrap();
    let (sections, _) = sections.split_once("[[test]]").unwrap();
    let names = sections.lines().filter(|line| !line.starts_with('#'));
    for name in names.filter_map(|line| Some(line.split_once(" = ")?.0)) {
        let has_reason = |row: &&&str| {
            row.split('|')
                .nth(1)
                .is_some_and(|cell| cell.split([' ', ',']).any(|word| word == name))
        };
        assert!(rows.iter().any(|row| has_reason(&row)), "{name}");
    }
}

#[test]
fn r110_a_file_fits_one_sitting_and_nothing_is_left_unfinished() {
    for (path, text) in files("src").into_iter().chain(files("tests")) {
        let shown = path.display();
        assert!(text.lines().count() <= 600, "{shown} is too long");
        for left in ["todo", "unimplemented", "dbg"] {
            assert!(!text.contains(&format!("{left}!(")), "{shown}: {left}");
        }
        assert!(!text.contains(concat!("#[ig", "nore")), "{shown}");
    }
    let manifest = include_str!("../../Cargo.toml");
    assert!(
        manifest.contains("unsafe_code = \"forbid\"")
            && manifest.contains("overflow-checks = true")
    );
}
