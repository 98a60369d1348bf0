//! `stipend org set --second-factor` and `stipend user reset-factor`, beside a server that runs.

use serde_json::{Value, json};

use super::{PASSWORD, add_user, fails, json as read_json, said, works};
use crate::support::authenticator::Authenticator;
use crate::support::database::TestDatabase;
use crate::support::server::{Answer, Server, command};

const JSON: &str = "Content-Type: application/json";

fn ask(server: &Server, method: &str, path: &str, token: &str, body: &Value) -> Answer {
    let bearer = format!("Authorization: Bearer {token}");
    server.request(method, path, &[JSON, &bearer], &body.to_string())
}

fn log_in(server: &Server, name: &str, code: Option<&str>) -> Option<String> {
    let mut body = json!({ "username": name, "password": PASSWORD });
    if let Some(code) = code {
        body["code"] = json!(code);
    }
    let answer = server.request("POST", "/jwt", &[JSON], &body.to_string());
    answer.field("access_token").map(str::to_owned)
}

/// Runs a command on the server's database; what it says to standard error.
fn operate(server: &Server, arguments: &[&str]) -> String {
    let url = server.database.url.clone();
    let output = command(server.database.folder.path(), &[("ROCKET_DATABASE_URL", &url)])
        .args(arguments)
        .output()
        .unwrap();
    assert!(output.status.success(), "{arguments:?}: {}", said(&output));
    String::from_utf8(output.stderr).unwrap()
}

fn now() -> i64 {
    let since = std::time::SystemTime::UNIX_EPOCH.elapsed().unwrap();
    i64::try_from(since.as_secs()).unwrap()
}

#[tokio::test]
async fn an_org_demands_a_second_factor_and_an_operator_takes_it_off_who_has_lost_it() {
    let database = TestDatabase::new().await;
    add_user(&database, &["ann"]);
    let orgs = read_json(&database, &["org", "list"]);
    assert_eq!(orgs[0]["second_factor"], false);
    works(&database, &["grant", "give", "ann", "manage", "org", "--reason", "Runs HR"]);
    let server = Server::start_on(database, &[]);
    let token = log_in(&server, "ann", None).unwrap();
    let users = |token: &str| ask(&server, "GET", "/users", token, &json!({})).status;
    assert_eq!(users(&token), 200);
    let done = operate(&server, &["org", "set", "twilio", "--second-factor", "on"]);
    assert!(done.starts_with("twilio demands a second factor: "), "{done}");
    assert_eq!(users(&token), 403, "at the next request");
    assert!(works(&server.database, &["org", "list"]).contains(" demanded "));

    let made = ask(&server, "POST", "/me/totp", &token, &json!({}));
    let made: Value = serde_json::from_str(&made.body).unwrap();
    let app = Authenticator::of(made["secret"].as_str().unwrap());
    let confirm = json!({ "code": app.code_at(now()) });
    assert_eq!(ask(&server, "POST", "/me/totp/confirm", &token, &confirm).status, 200);
    assert_eq!(users(&token), 200);
    assert_eq!(log_in(&server, "ann", None), None);
    let next = log_in(&server, "ann", Some(&app.code_at(now() + 30)));
    assert_eq!(users(&next.unwrap()), 200);

    let done = operate(&server, &["user", "reset-factor", "ann"]);
    assert_eq!(done, "took the second factor off twilio/ann, who is signed out everywhere\n");
    assert_eq!(users(&token), 401);
    let again = log_in(&server, "ann", None).unwrap();
    assert_eq!(users(&again), 403, "another password first");
    let records = "SELECT action FROM audit WHERE actor = 'operator' AND action LIKE '%factor' \
                   ORDER BY record_id";
    let records = server.database.texts(records).await;
    assert_eq!(records, ["demand_second_factor", "reset_second_factor"]);
    let log = server.log();
    assert!(!log.contains(made["secret"].as_str().unwrap()), "{log}");
}

#[tokio::test]
async fn what_cannot_be_done_about_a_second_factor_is_said() {
    let database = TestDatabase::new().await;
    add_user(&database, &["ann"]);
    let said = fails(&database, 1, &["user", "reset-factor", "ann"]);
    assert_eq!(said, "error: there is no second factor to be taken off them\n");
    let said = fails(&database, 1, &["user", "reset-factor", "zoe"]);
    assert!(said.starts_with("error: there is no user twilio/zoe"), "{said}");
    let said = fails(&database, 1, &["org", "set", "nope", "--second-factor", "on"]);
    assert_eq!(said, "error: there is no org nope: stipend org list\n");
    for arguments in
        [&["org", "set", "twilio"][..], &["org", "set", "twilio", "--second-factor", "x"]]
    {
        fails(&database, 2, arguments);
    }
}
