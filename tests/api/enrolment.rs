//! Users who turn their second factor on, and sign in with it.

use serde_json::json;

use crate::support::app::{Actor, Answer, PASSWORD, TestApp};
use crate::support::authenticator::Authenticator;

/// Somebody with a second factor that is on, signed in since before that.
pub(crate) struct Enrolled<'a> {
    pub(crate) actor: Actor<'a>,
    pub(crate) app: Authenticator,
    pub(crate) recovery_codes: Vec<String>,
}

/// Signs a user in and turns their second factor on. Its code of this half minute is used.
pub(crate) async fn enrol<'a>(app: &'a TestApp, name: &str) -> Enrolled<'a> {
    enrol_with(app, name, PASSWORD).await
}

/// The same with a password.
pub(crate) async fn enrol_with<'a>(app: &'a TestApp, name: &str, password: &str) -> Enrolled<'a> {
    let answer = app.anonymous().log_in(name, password).await;
    let actor = app.bearer(answer.field("access_token").unwrap());
    let made = actor.post("/me/totp").send().await;
    assert_eq!(made.status, 200, "{made:?}");
    let authenticator = Authenticator::of(made.json()["secret"].as_str().unwrap());
    let code = authenticator.code_at(app.clock.seconds());
    let body = json!({ "code": code }).to_string();
    let confirmed = actor.post("/me/totp/confirm").json(body).send().await;
    assert_eq!(confirmed.status, 200, "{confirmed:?}");
    Enrolled { actor, app: authenticator, recovery_codes: codes(&confirmed) }
}

/// The recovery codes of an answer.
pub(crate) fn codes(answer: &Answer) -> Vec<String> {
    serde_json::from_value(answer.json()["recovery_codes"].clone()).unwrap()
}

/// The answer to a sign-in with a code.
pub(crate) async fn log_in(app: &TestApp, name: &str, password: &str, code: &str) -> Answer {
    let body = json!({ "username": name, "password": password, "code": code }).to_string();
    app.anonymous().post("/jwt").json(body).send().await
}
