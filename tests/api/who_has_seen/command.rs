//! The same by the real command line, beside the server.

use std::collections::BTreeSet;

use serde_json::{Value, json};

use super::check::{assert_told, comparable};
use super::doing::names_in_json;
use super::world::World;
use crate::support::server::command;

impl World<'_> {
    /// What a command writes as JSON; none where it finds nobody.
    fn run(&self, arguments: &[&str]) -> Option<Value> {
        let database = &self.app.database;
        let mut command =
            command(database.folder.path(), &[("ROCKET_DATABASE_URL", &database.url)]);
        let output = command.args(arguments).arg("--json").output().unwrap();
        let said = String::from_utf8_lossy(&output.stderr);
        if output.status.success() {
            return Some(serde_json::from_slice(&output.stdout).unwrap());
        }
        assert!(said.contains("there is no employee"), "{arguments:?}: {said}");
        None
    }

    /// Somebody is looked at by `stipend pay`, and `stipend audit readers` tells that and all before.
    /// Gives how many records that made.
    pub(super) fn check_commands(&self, whom: &str) -> usize {
        let name = format!("acme/{whom}");
        let exported = self.run(&["pay", "export", "--org", "acme"]).unwrap();
        let mut seen_as = Vec::new();
        let mut records = 2;
        if names_in_json(&exported).contains(whom) {
            seen_as.push("export");
        }
        if let Some(shown) = self.run(&["pay", "show", &name]) {
            assert_eq!(names_in_json(&shown), BTreeSet::from([whom.to_owned()]));
            seen_as.push("history");
            records += 1;
        }
        let told = self.run(&["audit", "readers", &name, "--limit", "1000"]).unwrap();
        let told = told["readers"].as_array().unwrap();
        let (last, before) = told.split_at(seen_as.len());
        for (look, seen_as) in last.iter().zip(seen_as.iter().rev()) {
            assert_eq!((&look["actor"], &look["seen_as"]), (&json!("operator"), &json!(seen_as)));
        }
        let expected = self.looks_at("acme", whom, true);
        let before = before.iter().map(comparable).collect();
        assert_told(before, expected, &format!("{name} as told by the command line"));
        records
    }
}
