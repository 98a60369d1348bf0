//! `stipend org`, `user`, `grant` and `explain`.

use serde_json::json;

use super::{PASSWORD, add_user, fails, json, log_in, run, said, works};
use crate::support::database::TestDatabase;
use crate::support::server::Server;

#[tokio::test]
async fn an_org_is_added_once_and_one_that_is_not_there_is_no_empty_one() {
    let database = TestDatabase::new().await;
    assert_eq!(works(&database, &["org", "add", "acme"]), "");
    assert_eq!(
        fails(&database, 1, &["org", "add", "acme"]),
        "error: the org acme exists already\n"
    );
    add_user(&database, &["beta/ann"]);
    let orgs = json(&database, &["org", "list"]);
    let names: Vec<_> = orgs.as_array().unwrap().iter().map(|org| &org["org"]).collect();
    assert_eq!(names, ["acme", "beta", "twilio"]);
    assert_eq!((&orgs[1]["users"], &orgs[1]["employees"]), (&json!(1), &json!(0)));
    assert!(orgs[0]["created_at"].as_str().unwrap().ends_with('Z'), "{orgs}");
    let table = works(&database, &["org", "list"]);
    assert!(table.starts_with("ORG     USERS  EMPLOYEES  SECOND FACTOR  ADDED\nacme    0      0          optional       20"));

    for arguments in [
        ["user", "list", "--org", "nope"].as_slice(),
        &["user", "show", "nope/ann"],
        &["user", "disable", "nope/ann"],
        &["user", "set-password", "nope/ann"],
        &["user", "unlock", "nope/ann"],
        &["grant", "list", "nope/ann"],
        &["grant", "give", "nope/ann", "read", "org", "--reason", "x"],
        &["pay", "show", "nope/ann"],
        &["pay", "export", "--org", "nope"],
        &["pay", "total", "--org", "nope"],
        &["pay", "import", "nope.csv", "--org", "nope"],
        &["explain", "nope/ann", "nope/bob"],
    ] {
        let said = fails(&database, 1, arguments);
        assert_eq!(said, "error: there is no org nope: stipend org list\n", "{arguments:?}");
    }
    assert_eq!(database.number("SELECT COUNT(*) FROM orgs").await, 3);
}

#[tokio::test]
async fn people_are_added_listed_shown_and_changed() {
    let database = TestDatabase::new().await;
    add_user(&database, &["acme/ann", "--name", "Ann Lee", "--team", "ops"]);
    add_user(&database, &["acme/boss"]);
    works(&database, &["user", "add", "acme/bob", "--name", "Bob Ray", "--no-sign-in"]);
    assert_eq!(
        works(&database, &["user", "list", "--org", "acme"]),
        "USERNAME  NAME     TEAM  EMPLOYEE  USER\n\
         ann       Ann Lee  ops   yes       yes\n\
         bob       Bob Ray  -     yes       no\n\
         boss      -        -     no        yes\n"
    );
    let ann = json!({
        "username": "ann", "name": "Ann Lee", "team": "ops",
        "employee": true, "user": true, "disabled": false,
    });
    let found = json(&database, &["user", "list", "--org", "acme", "--q", "LEE", "--team", "ops"]);
    assert_eq!(found, json!([ann]));
    assert_eq!(json(&database, &["user", "list", "--org", "acme", "--q", "zoe"]), json!([]));

    let mut shown = json(&database, &["user", "show", "acme/ann"]);
    let grants = shown.as_object_mut().unwrap().remove("grants").unwrap();
    assert_eq!(shown, ann);
    assert_eq!((&grants[0]["permission"], &grants[0]["holds"]), (&json!("read"), &json!(true)));
    assert!(works(&database, &["user", "show", "acme/bob"]).ends_with("yes       no\n"));

    works(&database, &["user", "change", "acme/ann", "--name", "Ann Poe", "--no-team"]);
    works(&database, &["user", "change", "acme/boss", "--name", "Bo Ss"]);
    works(&database, &["user", "change", "acme/boss", "--team", "dev"]);
    let people = json(&database, &["user", "list", "--org", "acme"]);
    assert_eq!((&people[0]["name"], &people[0]["team"]), (&json!("Ann Poe"), &json!(null)));
    assert_eq!((&people[2]["employee"], &people[2]["team"]), (&json!(true), &json!("dev")));

    let said = fails(&database, 1, &["user", "show", "acme/zoe"]);
    assert_eq!(said, "error: there is no person acme/zoe: stipend user list --org acme\n");
    let again = ["user", "add", "acme/bob", "--name", "Bob", "--no-sign-in"];
    assert_eq!(fails(&database, 1, &again), "error: the employee bob exists already\n");
    for wrong in [
        ["user", "change", "acme/ann"].as_slice(),
        &["user", "change", "acme/ann", "--team", "ops", "--no-team"],
        &["user", "change", "acme/ann", "--team", "Ops"],
        &["user", "change", "acme/ann", "--name", " Ann"],
        &["user", "add", "acme/cyd", "--team", "ops"],
        &["user", "add", "acme/cyd", "--no-sign-in"],
        &["user", "list", "--q", "two\nlines"],
        &["user", "list", "--org", "Acme"],
    ] {
        fails(&database, 2, wrong);
    }
}

#[tokio::test]
async fn a_disabled_user_and_an_old_password_let_nobody_in() {
    let server = Server::start(&[]).await;
    let database = &server.database;
    add_user(database, &["ann"]);
    assert_eq!(log_in(&server, "ann"), 200);
    works(database, &["user", "disable", "ann"]);
    assert_eq!(log_in(&server, "ann"), 401);
    assert_eq!(json(database, &["user", "show", "ann"])["disabled"], true);
    works(database, &["user", "enable", "ann"]);
    assert_eq!(log_in(&server, "ann"), 200);

    let new = "another horse, another battery";
    let set = run(database, &["user", "set-password", "ann"], new);
    assert!(set.status.success() && !said(&set).contains(new), "{}", said(&set));
    assert_eq!(log_in(&server, "ann"), 401);
    assert_eq!(run(database, &["user", "set-password", "ann"], "short").status.code(), Some(1));
    let nobody = run(database, &["user", "set-password", "jdoe"], PASSWORD);
    assert!(said(&nobody).starts_with("error: there is no user twilio/jdoe"), "{}", said(&nobody));
    let said = fails(database, 1, &["user", "disable", "jdoe"]);
    assert_eq!(said, "error: disabled: jdoe does not sign in\n");
}

#[tokio::test]
async fn grants_are_given_listed_and_ended_but_for_the_last_one_that_manages() {
    let database = TestDatabase::new().await;
    add_user(&database, &["boss"]);
    add_user(&database, &["ann"]);
    let give = ["grant", "give", "boss", "manage", "org", "--reason", "Runs HR"];
    let id = works(&database, &give).trim().to_owned();
    assert_eq!(fails(&database, 1, &give), "error: this grant exists already\n");
    let last = "error: nobody would manage the org any more: first give somebody else `manage` \
                over `org` without end\n";
    assert_eq!(fails(&database, 1, &["user", "disable", "boss"]), last);
    assert_eq!(fails(&database, 1, &["grant", "end", "boss", &id]), last);

    let give = ["grant", "give", "ann", "read", "user:jdoe", "--reason", "x", "--until"];
    let given = json(&database, &[&give[..], &["9999-12-31"]].concat());
    assert_eq!(
        (&given["permission"], &given["reach"], &given["until"], &given["granted_by"]),
        (&json!("read"), &json!("user:jdoe"), &json!("9999-12-31"), &json!("operator"))
    );
    let past = fails(&database, 1, &[&give[..], &["2020-01-01"]].concat());
    assert!(past.starts_with("error: until: "), "{past}");
    let id = given["id"].as_str().unwrap();
    for _ in 0..2 {
        assert_eq!(works(&database, &["grant", "end", "ann", id]), "");
    }
    let held = json(&database, &["grant", "list", "ann"]);
    let ended = held.as_array().unwrap().iter().find(|grant| grant["id"] == id).unwrap();
    assert_eq!((&ended["holds"], &ended["ended_by"]), (&json!(false), &json!("operator")));
    assert!(works(&database, &["grant", "list", "ann"]).contains(" by operator  ended 2"));

    let said = fails(&database, 1, &["grant", "end", "ann", "nope"]);
    assert_eq!(said, "error: twilio/ann has no such grant: stipend grant list twilio/ann\n");
    for nobody in ["zoe", "jdoe"] {
        let said = fails(&database, 1, &["grant", "list", nobody]);
        assert!(said.starts_with(&format!("error: there is no user twilio/{nobody}")), "{said}");
    }
    for (wrong, right) in [
        (["ann", "see", "org"], "a permission is read, write, manage or audit"),
        (["ann", "read", "everybody"], "a reach is `own`, `user:NAME`, `team:NAME` or `org`"),
        (["Ann", "read", "org"], "a name is 1 to 64"),
    ] {
        let said =
            fails(&database, 2, &[&["grant", "give"][..], &wrong, &["--reason", "x"]].concat());
        assert!(said.contains(right), "{said}");
    }
    let said = fails(&database, 2, &[&give[..], &["2026-02-30"]].concat());
    assert!(said.contains("a day is YYYY-MM-DD, and exists"), "{said}");
}

#[tokio::test]
async fn explain_says_yes_or_no_and_why_and_who_else() {
    let database = TestDatabase::new().await;
    add_user(&database, &["ann"]);
    let no = works(&database, &["explain", "ann", "jdoe"]);
    assert!(
        no.starts_with(
            "No: twilio/ann may not see the pay of twilio/jdoe, since ann holds no grant of `read` \
             that reaches them today.\n"
        ) && no.contains("\nEverybody who may see the pay of twilio/jdoe:\nUSERNAME  REACH")
            && no.contains("\ntwilio    org"),
        "{no}"
    );

    let give = ["grant", "give", "ann", "read", "user:jdoe", "--reason", "Leads him"];
    let id = works(&database, &[&give[..], &["--until", "9999-12-31"]].concat());
    let yes = works(&database, &["explain", "ann", "jdoe"]);
    assert!(
        yes.starts_with(&format!(
            "Yes: twilio/ann may see the pay of twilio/jdoe, by the grant {}: `read` over \
             user:jdoe, given by operator on 2",
            id.trim()
        )) && yes.contains(", until 9999-12-31.\n"),
        "{yes}"
    );
    let explained = json(&database, &["explain", "ann", "jdoe"]);
    assert_eq!((&explained["sees"], &explained["who"]), (&json!(true), &json!("ann")));
    assert_eq!(explained["by"][0]["id"], id.trim());
    assert_eq!(explained["everybody"].as_array().unwrap().len(), 2);

    works(&database, &["user", "disable", "ann"]);
    let no = works(&database, &["explain", "ann", "jdoe"]);
    assert!(no.contains("since ann has been disabled since 2"), "{no}");
    let no = works(&database, &["explain", "mturner", "ann"]);
    assert!(no.contains("since mturner does not sign in.\ntwilio/ann is no employee"), "{no}");
    assert!(fails(&database, 1, &["explain", "zoe", "jdoe"]).contains("no person twilio/zoe"));
    assert!(fails(&database, 1, &["explain", "ann", "zoe"]).contains("no person twilio/zoe"));
    assert!(fails(&database, 2, &["explain", "acme/ann", "jdoe"]).contains("another org"));
}
