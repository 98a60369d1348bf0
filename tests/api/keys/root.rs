//! Another configured key than the one under which everything is sealed.

use std::sync::Arc;

use rocket::figment::Figment;
use stipend::auth::{Auth, Ports, Root};
use stipend::config::{Config, KeySource, Secret};
use stipend::domain::KeyAlgorithm;
use stipend::entropy::SystemEntropy;

use super::{A_WHILE, Operator, kid};
use crate::jwt::{assert_accepted, assert_refused};
use crate::support::app::{SECRET, TestApp};

const OTHER: &str = "another-key-6fGh2Kd9Lq0Zx7Cv5Bn3Mw1Pt8Ry4Us";

fn other() -> Figment {
    Figment::new().merge(("jwt_secret", OTHER))
}

fn root(text: &str) -> Root {
    Root::read(&KeySource::Value(Secret::new(text.to_owned()))).unwrap().unwrap()
}

/// What a server says that does not start with the other key.
async fn refusal(app: &TestApp) -> String {
    let settings = other().merge(("database_url", &app.database.url)).merge(("demo", true));
    let config = Config::from_settings(settings).unwrap();
    let ports = Ports { clock: app.clock.clone(), entropy: Arc::new(SystemEntropy::new()) };
    Auth::open(&config, ports).await.err().expect("it does not start").to_string()
}

#[tokio::test]
async fn another_configured_key_takes_over_where_nothing_is_lost_but_sessions() {
    let app = TestApp::new().await;
    let old = Operator::of(&app).configured().await;
    let token = app.demo_user().await.token().to_owned();
    let app = app.restarted_with(other()).await;
    assert_refused(&app, &token, "the old key's").await;
    let operator = Operator::of(&app);
    assert_eq!(operator.configured().await, root(OTHER).kid());
    assert_eq!(operator.status(&old).await, "gone");
    let after = app.demo_user().await.token().to_owned();
    assert_eq!(kid(&after), root(OTHER).kid());
    assert_accepted(&app, &after, "the new key's").await;
    assert!(app.auth().keys.ring().checkpoint_key().is_some());
    let records = "SELECT COUNT(*) FROM audit WHERE action = 'change_root'";
    assert_eq!(app.database.number(records).await, 1);
    // The old one may be known to somebody: it does not come back.
    let settings = Figment::new()
        .merge(("database_url", &app.database.url))
        .merge(("jwt_secret", SECRET))
        .merge(("demo", true));
    let ports = Ports { clock: app.clock.clone(), entropy: Arc::new(SystemEntropy::new()) };
    let config = Config::from_settings(settings).unwrap();
    let said = Auth::open(&config, ports).await.err().unwrap().to_string();
    assert!(said.contains("was in use before"), "{said}");
    assert_accepted(&app, &after, "nothing was half done").await;
}

#[tokio::test]
async fn another_configured_key_does_not_start_where_keys_or_second_factors_would_be_lost() {
    let app = TestApp::new().await;
    let operator = Operator::of(&app);
    let added = operator.add(KeyAlgorithm::EdDsa).await;
    let said = refusal(&app).await;
    let words = [&added, "cannot open", "change-root --old-file", "change-root --lost"];
    assert!(words.iter().all(|word| said.contains(word)), "{said}");
    assert!(!said.contains(OTHER) && !said.contains(SECRET), "{said}");

    operator.revoke(&added, None).await.unwrap();
    app.database.execute("UPDATE users SET totp_secret = 'v1.x' WHERE username = 'twilio'").await;
    let said = refusal(&app).await;
    assert!(said.contains("the second factors of users (1)") && !said.contains(&added), "{said}");
    assert_eq!(operator.configured().await, root(SECRET).kid(), "nothing was changed");
}

#[tokio::test]
async fn with_the_old_key_at_hand_the_configured_key_changes_and_nothing_is_lost() {
    let app = TestApp::new().await;
    let operator = Operator::of(&app);
    let eddsa = operator.add(KeyAlgorithm::EdDsa).await;
    let sealed = app.auth().sealer.seal("x", b"a secret", app.auth().ports.entropy.as_ref());
    let sealed = sealed.unwrap();
    let token = app.demo_user().await.token().to_owned();
    let change = async |old: &str, new: &str| {
        let (old, new) = (root(old), root(new));
        stipend::service::keys::change_root(operator.act(), Some(&old), &new).await
    };
    let said = change(OTHER, "a-third-key-8xQw3Er5Ty7Ui9Op1As2Df4Gh6J").await;
    assert!(said.unwrap_err().to_string().starts_with("the old key is "));
    let said = change(SECRET, SECRET).await.unwrap_err().to_string();
    assert!(said.contains("is the root already"), "{said}");
    let changed = change(SECRET, OTHER).await.unwrap();
    assert!(changed.signs_from.is_some() && changed.sessions_ended == 0);

    // A server that still runs with the old one knows the new one too.
    assert_accepted(&app, &token, "the old key's").await;
    app.clock.advance(A_WHILE);
    let between = app.demo_user().await.token().to_owned();
    assert_eq!(kid(&between), root(OTHER).kid());
    assert_accepted(&app, &between, "the new key's").await;

    let app = app.restarted_with(other()).await;
    assert_accepted(&app, &token, "the old key's").await;
    assert_accepted(&app, &between, "the new key's").await;
    assert_eq!(app.auth().sealer.open("x", &sealed).unwrap().expose(), b"a secret");
    let operator = Operator::of(&app);
    assert_eq!(operator.status(root(SECRET).kid()).await, "verifying");
    operator.promote(&eddsa).await;
    app.clock.advance(A_WHILE);
    assert_eq!(kid(app.demo_user().await.token()), eddsa);
}

#[tokio::test]
async fn without_the_old_key_everything_begins_anew_and_every_session_ends() {
    let app = TestApp::new().await;
    let operator = Operator::of(&app);
    let eddsa = operator.rotate_to(KeyAlgorithm::EdDsa).await;
    let token = app.demo_user().await.token().to_owned();
    let checkpoint = app.auth().keys.ring().checkpoint_key().unwrap().kid().to_owned();
    app.database.execute("UPDATE users SET totp_secret = 'v1.x' WHERE username = 'twilio'").await;
    let changed =
        stipend::service::keys::change_root(operator.act(), None, &root(OTHER)).await.unwrap();
    assert_eq!((changed.sessions_ended, changed.second_factors_lost), (1, 1));
    assert_refused(&app, &token, "at the next request").await;
    // A server with the old key cannot sign by the new one, and says so rather than use another.
    let answer = app.anonymous().log_in("twilio", "ahoy").await;
    assert_eq!(answer.status, 500, "{answer:?}");

    app.database.execute("UPDATE users SET totp_secret = NULL").await;
    let app = app.restarted_with(other()).await;
    let operator = Operator::of(&app);
    assert_refused(&app, &token, "after a restart").await;
    assert_eq!(kid(app.demo_user().await.token()), root(OTHER).kid());
    assert_eq!(operator.status(&eddsa).await, "gone");
    let ring = app.auth().keys.ring();
    assert_ne!(ring.checkpoint_key().unwrap().kid(), checkpoint);
    assert!(ring.checkpoint_keys().iter().any(|key| key.kid == checkpoint), "old ones verify on");
}
