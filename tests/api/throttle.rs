//! The guessing of passwords, and how it is slowed down.

use std::collections::BTreeSet;
use std::thread;
use std::time::Duration;

use rocket::figment::Figment;
use rocket::futures::future::join_all;
use serde_json::json;

use crate::support::app::{Answer, PASSWORD, TestApp};
use crate::support::database::is_postgres;

/// So many failures of an account lead to nothing, and so many of a network.
const FREE: usize = 5;
const FREE_OF_NETWORK: usize = 20;
const HOME: &str = "198.51.100.7";

async fn with_ann() -> TestApp {
    let app = TestApp::new().await;
    app.add_org("acme").await;
    app.add_user("acme", "ann").await;
    app
}

/// Tries wrong passwords for a name, each from a network that has tried nothing; the statuses.
async fn fail_from_elsewhere(app: &TestApp, name: &str, times: usize) -> Vec<u16> {
    let mut statuses = Vec::new();
    for n in 0..times {
        let network = format!("192.0.2.{n}");
        statuses.push(app.anonymous().log_in_from(&network, name, "wrong").await.status);
    }
    statuses
}

async fn fail_from(app: &TestApp, network: &str, name: &str, times: usize) -> Vec<u16> {
    let mut statuses = Vec::new();
    for _ in 0..times {
        statuses.push(app.anonymous().log_in_from(network, name, "wrong").await.status);
    }
    statuses
}

fn retry_after(answer: &Answer) -> u64 {
    assert_eq!(answer.status, 429, "{answer:?}");
    answer.field("Retry-After").unwrap().parse().unwrap()
}

/// Signs in from where nothing has been tried.
async fn right_from(app: &TestApp, network: &str, name: &str) -> u16 {
    app.anonymous().log_in_from(network, name, PASSWORD).await.status
}

#[tokio::test]
async fn r44_after_five_failures_each_further_one_doubles_the_wait_up_to_a_quarter_of_an_hour() {
    let app = with_ann().await;
    assert_eq!(fail_from_elsewhere(&app, "acme/ann", FREE).await, [401; FREE]);
    let mut waits = Vec::new();
    for n in 0..13 {
        let network = format!("203.0.113.{n}");
        let wait = retry_after(&app.anonymous().log_in_from(&network, "acme/ann", "wrong").await);
        waits.push(wait);
        app.clock.advance(Duration::from_millis(wait * 1000 - 1));
        let early = app.anonymous().log_in_from(&network, "acme/ann", PASSWORD).await;
        assert_eq!(retry_after(&early), 1, "a refused attempt does not prolong the wait");
        app.clock.advance(Duration::from_millis(1));
        assert_eq!(fail_from(&app, &network, "acme/ann", 1).await, [401]);
    }
    assert_eq!(waits, [1, 2, 4, 8, 16, 32, 64, 128, 256, 512, 900, 900, 900]);
    app.clock.advance(Duration::from_secs(900));
    assert_eq!(right_from(&app, "203.0.113.99", "acme/ann").await, 200);
}

#[tokio::test]
async fn r44_of_a_hundred_guesses_at_once_hardly_more_are_looked_at_than_one_by_one() {
    let app = with_ann().await;
    let anonymous = app.anonymous();
    let networks: Vec<String> = (0..100).map(|n| format!("192.0.2.{n}")).collect();
    let guesses = networks.iter().map(|from| anonymous.log_in_from(from, "acme/ann", "wrong"));
    let answers = join_all(guesses).await;
    let looked_at = answers.iter().filter(|answer| answer.status == 401).count();
    let threads = thread::available_parallelism().unwrap().get();
    assert!((FREE..FREE + threads).contains(&looked_at), "{looked_at}");
    for answer in answers.iter().filter(|answer| answer.status != 401) {
        assert!(retry_after(answer) >= 1);
    }
    let guesses = (0..100).map(|n| anonymous.log_in_from(HOME, networks[n].as_str(), "wrong"));
    let answers = join_all(guesses).await;
    let looked_at = answers.iter().filter(|answer| answer.status == 401).count();
    assert!((FREE_OF_NETWORK..FREE_OF_NETWORK + threads).contains(&looked_at), "{looked_at}");
}

#[tokio::test]
async fn right_passwords_at_once_are_all_let_in() {
    let app = with_ann().await;
    let anonymous = app.anonymous();
    let logins = (0..30).map(|_| anonymous.log_in_from(HOME, "acme/ann", PASSWORD));
    assert!(join_all(logins).await.iter().all(|answer| answer.status == 200));
}

#[tokio::test]
async fn r43_r44_r47_no_name_is_throttled_differently_from_another() {
    let app = TestApp::with(Figment::new().merge(("demo", false))).await;
    app.add_org("acme").await;
    for name in ["ann", "dan", "eve"] {
        app.add_user("acme", name).await;
    }
    assert_eq!(right_from(&app, HOME, "acme/eve").await, 200);
    app.database.execute("UPDATE users SET disabled_at = 1 WHERE username = 'dan'").await;
    let mut seen = BTreeSet::new();
    for name in ["acme/ann", "acme/nobody", "acme/dan", "twilio", "nowhere/ann", "acme/eve"] {
        let mut told = Vec::new();
        for n in 0..12 {
            let network = format!("192.0.2.{n}");
            let ask = app.anonymous().log_in_from(&network, name, "wrong").await;
            told.push(ask.told());
            if ask.status == 429 && n % 2 == 0 {
                app.clock.advance(Duration::from_secs(retry_after(&ask)));
            }
        }
        assert!(told[4].starts_with("401") && told[5].starts_with("429"), "{name}: {told:?}");
        seen.insert(told);
        app.clock.advance(Duration::from_secs(40 * 3600));
    }
    assert_eq!(seen.len(), 1, "{seen:#?}");
}

#[tokio::test]
async fn r44_a_success_forgets_the_failures_of_the_account() {
    let app = with_ann().await;
    for from in ["192.0.2.201", "192.0.2.202"] {
        assert_eq!(fail_from(&app, from, "acme/ann", FREE - 1).await, [401; FREE - 1]);
        assert_eq!(right_from(&app, from, "acme/ann").await, 200);
        // It is known now, and counts by itself.
        for _ in 0..2 {
            assert_eq!(fail_from(&app, from, "acme/ann", FREE - 1).await, [401; FREE - 1]);
            assert_eq!(right_from(&app, from, "acme/ann").await, 200);
        }
    }
    let statuses = fail_from_elsewhere(&app, "acme/ann", FREE + 1).await;
    assert_eq!(statuses, [401, 401, 401, 401, 401, 429], "none is left of those before");
}

#[tokio::test]
async fn r44_a_success_does_not_forget_the_failures_of_the_network() {
    let app = with_ann().await;
    assert_eq!(right_from(&app, HOME, "acme/ann").await, 200);
    for n in 0..FREE_OF_NETWORK {
        let name = format!("acme/nobody{n}");
        assert_eq!(fail_from(&app, HOME, &name, 1).await, [401], "{n}");
        assert_eq!(right_from(&app, HOME, "acme/ann").await, 200, "{n}");
    }
    assert_eq!(fail_from(&app, HOME, "acme/nobody", 1).await, [429]);
    let newcomer = app.anonymous().log_in_from(HOME, "twilio", PASSWORD).await;
    assert_eq!(retry_after(&newcomer), 1, "who has never signed in here waits too");
    assert_eq!(right_from(&app, HOME, "acme/ann").await, 200, "and who has does not");
}

#[tokio::test]
async fn r44_nobody_is_kept_out_where_they_have_signed_in_by_failures_from_elsewhere() {
    let app = with_ann().await;
    app.add_user("acme", "bob").await;
    for name in ["acme/ann", "acme/bob"] {
        assert_eq!(right_from(&app, HOME, name).await, 200);
    }
    for _ in 0..15 {
        fail_from_elsewhere(&app, "acme/ann", 1).await;
        app.clock.advance(Duration::from_secs(900));
    }
    assert_eq!(fail_from_elsewhere(&app, "acme/ann", 1).await, [401]);
    assert_eq!(right_from(&app, "203.0.113.1", "acme/ann").await, 429, "elsewhere it holds");
    assert_eq!(right_from(&app, HOME, "acme/ann").await, 200);
    assert_eq!(right_from(&app, "203.0.113.1", "acme/ann").await, 429, "and still does");

    // A colleague who guesses at the same network holds up themselves, and whom they guess at.
    assert_eq!(fail_from(&app, HOME, "acme/bob", FREE + 1).await[FREE], 429);
    assert_eq!(right_from(&app, HOME, "acme/bob").await, 429);
    assert_eq!(right_from(&app, HOME, "acme/ann").await, 200);
    assert_eq!(right_from(&app, "203.0.113.2", "acme/bob").await, 200, "but not elsewhere");
}

#[tokio::test]
async fn r44_a_network_is_known_for_ninety_days_after_the_last_sign_in_and_the_latest_twenty_are() {
    let app = with_ann().await;
    assert_eq!(right_from(&app, HOME, "acme/ann").await, 200);
    let day = Duration::from_secs(86_400);
    app.clock.advance(day * 89);
    fail_from_elsewhere(&app, "acme/ann", FREE).await;
    assert_eq!(right_from(&app, HOME, "acme/ann").await, 200, "and from now on again");
    app.clock.advance(day * 90);
    fail_from_elsewhere(&app, "acme/ann", FREE).await;
    assert_eq!(right_from(&app, HOME, "acme/ann").await, 429);

    app.clock.advance(Duration::from_secs(1));
    for n in 0..21 {
        assert_eq!(right_from(&app, &format!("203.0.113.{n}"), "acme/ann").await, 200);
        app.clock.advance(Duration::from_secs(1));
    }
    let known = app.database.texts("SELECT network FROM known_networks").await;
    assert_eq!(known.len(), 20, "{known:?}");
    assert!(!known.contains(&"203.0.113.0".into()) && known.contains(&"203.0.113.1".into()));
    fail_from_elsewhere(&app, "acme/ann", FREE).await;
    assert_eq!(right_from(&app, "203.0.113.0", "acme/ann").await, 429);
    assert_eq!(right_from(&app, "203.0.113.1", "acme/ann").await, 200);
}

#[tokio::test]
async fn r44_r48_variants_of_a_name_share_its_counter_or_miss_the_account() {
    let app = TestApp::new().await;
    let variants = ["twilio", "twilio/twilio", "twilio", "twilio/twilio", "twilio"];
    for (n, name) in variants.iter().enumerate() {
        assert_eq!(fail_from(&app, &format!("192.0.2.{n}"), name, 1).await, [401]);
    }
    for name in ["twilio", "twilio/twilio"] {
        assert_eq!(right_from(&app, HOME, name).await, 429, "{name}");
    }
    for (n, name) in
        ["Twilio", "twilio ", "twilio\0", "twilio\n", "twilio/"].into_iter().enumerate()
    {
        assert_eq!(right_from(&app, &format!("203.0.113.{n}"), name).await, 401, "{name:?}");
    }
    let names: Vec<String> = (0..FREE_OF_NETWORK).map(|n| format!("Not a name {n}")).collect();
    for name in &names {
        assert_eq!(fail_from(&app, HOME, name, 1).await, [401], "{name}");
    }
    assert_eq!(fail_from(&app, HOME, "Twilio", 1).await, [429], "these count for the network");
}

#[tokio::test]
async fn r44_r45_a_network_is_an_ipv4_address_or_an_ipv6_64() {
    for (from, shared, apart) in [
        ("2001:db8:1:2::1", "2001:db8:1:2:ffff:ffff:ffff:ffff", "2001:db8:1:3::1"),
        ("192.0.2.1", "::ffff:192.0.2.1", "192.0.2.2"),
    ] {
        let app = TestApp::new().await;
        for n in 0..FREE_OF_NETWORK {
            assert_eq!(fail_from(&app, from, &format!("nobody{n}"), 1).await, [401]);
        }
        for (network, status) in [(from, 429), (shared, 429), (apart, 401)] {
            assert_eq!(fail_from(&app, network, "nobody", 1).await, [status], "{network}");
        }
    }
}

#[tokio::test]
async fn r45_a_forwarded_address_counts_only_where_a_trusted_proxy_names_it() {
    let trusting = Figment::new().merge(("trusted_proxies", ["10.0.0.0/8"]));
    let app = TestApp::with(trusting).await;
    let ask = async |peer: &str, forwarded: &str, n: usize| {
        let body = json!({ "username": format!("nobody{n}"), "password": "wrong" }).to_string();
        let ask = app.anonymous().post("/jwt").from(peer).field("X-Forwarded-For", forwarded);
        let ask = ask.field("X-Real-IP", forwarded).field("Forwarded", &format!("for={forwarded}"));
        ask.json(body).send().await.status
    };
    for n in 0..FREE_OF_NETWORK {
        assert_eq!(ask(HOME, &format!("192.0.2.{n}"), n).await, 401, "{n}");
    }
    assert_eq!(ask(HOME, "192.0.2.99", 99).await, 429, "whatever a stranger writes");
    for n in 0..FREE_OF_NETWORK {
        let forwarded = format!("192.0.2.{n}, 203.0.113.5, 10.0.0.2");
        assert_eq!(ask("10.0.0.1", &forwarded, 100 + n).await, 401, "{n}");
    }
    assert_eq!(ask("10.0.0.1", "192.0.2.99, 203.0.113.5", 99).await, 429);
    assert_eq!(ask("10.0.0.1", "203.0.113.5, 192.0.2.99", 99).await, 401);
    assert_eq!(ask("203.0.113.5", "192.0.2.1", 99).await, 429, "it is the same network");
}

#[tokio::test]
async fn r44_failures_fade_one_by_one() {
    let app = with_ann().await;
    let hour = Duration::from_secs(3600);
    fail_from_elsewhere(&app, "acme/ann", FREE).await;
    app.clock.advance(hour * 2);
    let statuses = fail_from_elsewhere(&app, "acme/ann", 3).await;
    assert_eq!(statuses, [401, 401, 429], "two have faded");
    app.clock.advance(hour * 5);
    assert_eq!(fail_from_elsewhere(&app, "acme/ann", FREE + 1).await[FREE - 1..], [401, 429]);

    for n in 0..FREE_OF_NETWORK {
        fail_from(&app, HOME, &format!("nobody{n}"), 1).await;
    }
    app.clock.advance(Duration::from_secs(60));
    let statuses =
        [fail_from(&app, HOME, "acme/a", 1).await, fail_from(&app, HOME, "acme/b", 1).await];
    assert_eq!(statuses, [[401], [429]]);
}

#[tokio::test]
async fn r44_it_holds_on_every_node_at_once_and_after_a_restart() {
    let app = with_ann().await;
    let other = app.another_node().await;
    for (n, node) in [&app, &other, &app, &other, &app].into_iter().enumerate() {
        let from = format!("192.0.2.{n}");
        assert_eq!(fail_from(node, &from, "acme/ann", 1).await, [401]);
    }
    assert_eq!(right_from(&other, HOME, "acme/ann").await, 429);
    let app = app.restarted_with(Figment::new()).await;
    assert_eq!(right_from(&app, HOME, "acme/ann").await, 429);
    app.clock.advance(Duration::from_secs(1));
    assert_eq!(right_from(&app, HOME, "acme/ann").await, 200);
    fail_from_elsewhere(&app, "acme/ann", FREE).await;
    assert_eq!(right_from(&other, HOME, "acme/ann").await, 200, "the network is known there too");
    other.auth().db.close().await;
}

#[tokio::test]
async fn r29_r44_a_429_says_how_long_and_sessions_go_on() {
    let app = with_ann().await;
    app.add_grant("acme", "ann", "read", "org").await;
    let caller = app.user("acme/ann").await;
    fail_from(&app, HOME, "acme/ann", FREE).await;
    let plain = app.anonymous().log_in_from(HOME, "acme/ann", PASSWORD).await;
    assert_eq!((plain.status, plain.field("Retry-After")), (429, Some("1")));
    assert_eq!(plain.text(), "Too many sign-ins have failed: try again in 1 s");
    assert_eq!(plain.field("Content-Type"), Some("text/plain; charset=utf-8"));
    assert_eq!((plain.field("WWW-Authenticate"), plain.field("access_token")), (None, None));
    assert_eq!(plain.field("Cache-Control"), Some("no-store"));
    let body = json!({ "username": "acme/ann", "password": PASSWORD }).to_string();
    let ask = app.anonymous().post("/jwt").from(HOME).json(body);
    let problem = ask.field("Accept", "application/json").send().await;
    assert_eq!(problem.field("Content-Type"), Some("application/problem+json"));
    assert_eq!(problem.field("Retry-After"), Some("1"));
    assert_eq!(problem.json()["status"], 429);
    assert_eq!(caller.read_pay().await.status, 200);
}

#[tokio::test]
async fn r44_a_manager_unlocks_a_user_and_nobody_else_does() {
    let app = with_ann().await;
    for (org, name) in [("acme", "boss"), ("twilio", "root")] {
        app.add_user(org, name).await;
        app.add_grant(org, name, "manage", "org").await;
    }
    assert_eq!(right_from(&app, HOME, "acme/ann").await, 200);
    let ann = app.user("acme/ann").await;
    let (boss, root) = (app.user("acme/boss").await, app.user("twilio/root").await);
    let block = async || {
        fail_from_elsewhere(&app, "acme/ann", FREE).await;
        fail_from(&app, HOME, "acme/ann", FREE).await;
    };
    block().await;
    let path = "/users/ann/throttle";
    for (status, ask) in [
        (401, app.anonymous().delete(path)),
        (403, ann.delete(path)),
        (404, root.delete(path)),
        (404, boss.delete("/users/nobody/throttle")),
        (400, boss.delete("/users/ann/throttle?x=1")),
    ] {
        assert_eq!(ask.send().await.status, status);
    }
    for network in [HOME, "203.0.113.9"] {
        assert_eq!(right_from(&app, network, "acme/ann").await, 429);
    }
    assert_eq!(boss.delete(path).send().await.status, 204);
    for network in [HOME, "203.0.113.9"] {
        assert_eq!(right_from(&app, network, "acme/ann").await, 200);
    }
    assert_eq!(boss.delete(path).send().await.status, 204, "again, though there is nothing");
    let records = "SELECT actor || ' ' || subjects FROM audit WHERE action = 'unlock_user'";
    assert_eq!(app.database.texts(records).await, [r#"boss ["ann"]"#, r#"boss ["ann"]"#]);

    // The failures of networks stay.
    app.clock.advance(Duration::from_secs(1));
    for n in 0..FREE_OF_NETWORK {
        fail_from(&app, "203.0.113.77", &format!("acme/nobody{n}"), 1).await;
    }
    assert_eq!(boss.delete(path).send().await.status, 204);
    assert_eq!(right_from(&app, "203.0.113.77", "acme/ann").await, 429);
}

#[tokio::test]
async fn r80_a_counter_tells_no_name() {
    let app = with_ann().await;
    for name in ["acme/ann", "hunter2", "acme/hunter2", "Correct Horse"] {
        fail_from(&app, HOME, name, 1).await;
    }
    let counters = app.database.texts("SELECT counter FROM attempts").await;
    assert_eq!(counters.len(), 4, "three accounts and a network: {counters:?}");
    let is_hash = |text: &String| text.len() == 32 && text.bytes().all(|b| b.is_ascii_hexdigit());
    assert!(counters.iter().all(is_hash), "{counters:?}");
    let key = Figment::new().merge(("jwt_secret", "pT4-another-key-wE9xR2bN7vK5jL8mQ1sD6"));
    let app = app.restarted_with(key).await;
    fail_from(&app, HOME, "acme/ann", 1).await;
    let again = app.database.texts("SELECT counter FROM attempts").await;
    assert_eq!(again.len(), 6, "another key names every one differently");
}

#[tokio::test]
async fn a_failure_that_cannot_be_counted_is_not_answered_as_one() {
    let app = with_ann().await;
    let (refuse, allow) = if is_postgres() {
        (
            "CREATE FUNCTION full() RETURNS TRIGGER LANGUAGE plpgsql AS \
             'BEGIN RAISE EXCEPTION ''full''; END'; \
             CREATE TRIGGER full_disk BEFORE INSERT ON attempts \
             FOR EACH ROW EXECUTE FUNCTION full()",
            "DROP TRIGGER full_disk ON attempts",
        )
    } else {
        (
            "CREATE TRIGGER full_disk BEFORE INSERT ON attempts \
             BEGIN SELECT RAISE(ABORT, 'full'); END",
            "DROP TRIGGER full_disk",
        )
    };
    app.database.execute(refuse).await;
    let mut told = BTreeSet::new();
    for name in ["acme/ann", "acme/nobody"] {
        told.insert(app.anonymous().log_in_from(HOME, name, "wrong").await.told());
    }
    assert_eq!(told.len(), 1, "{told:?}");
    assert!(told.first().unwrap().starts_with("503"), "{told:?}");
    app.database.execute(allow).await;
    assert_eq!(fail_from(&app, HOME, "acme/ann", FREE).await, [401; FREE]);
}

#[tokio::test]
async fn faded_counters_are_deleted_a_bounded_number_at_a_time() {
    let app = TestApp::new().await;
    let now = app.clock.seconds() * 1000;
    let rows: Vec<String> = (0..100).map(|n| format!("('old {n}', 1, {})", now - n)).collect();
    let insert = "INSERT INTO attempts (counter, failed_at, faded_at) VALUES";
    app.database.execute(&format!("{insert} {}, ('new', 1, {})", rows.join(","), now + 1)).await;
    fail_from(&app, HOME, "nobody", 1).await;
    let left = "SELECT COUNT(*) FROM attempts WHERE counter LIKE 'old%'";
    assert_eq!(app.database.number(left).await, 36);
    for n in 0..16 {
        fail_from(&app, HOME, &format!("nobody{n}"), 1).await;
    }
    assert_eq!(app.database.number(left).await, 0);
    let left = "SELECT COUNT(*) FROM attempts WHERE counter = 'new'";
    assert_eq!(app.database.number(left).await, 1, "this one still counts");
}

#[tokio::test]
async fn a_clock_that_was_wrong_locks_nobody_out_until_then() {
    let app = with_ann().await;
    fail_from_elsewhere(&app, "acme/ann", FREE).await;
    let year = 365 * 86_400_000_i64;
    let put_off =
        format!("UPDATE attempts SET failed_at = failed_at + {year}, faded_at = faded_at + {year}");
    app.database.execute(&put_off).await;
    assert_eq!(fail_from(&app, HOME, "acme/ann", 1).await, [401]);
    let wait = app.anonymous().log_in_from(HOME, "acme/ann", PASSWORD).await;
    assert_eq!(retry_after(&wait), 900, "the counter stands as high as it can");
    app.clock.advance(Duration::from_secs(900));
    assert_eq!(right_from(&app, HOME, "acme/ann").await, 200);
}
