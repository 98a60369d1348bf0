//! Plain text by default, JSON where the client prefers it.

use serde_json::json;

use crate::jwt::Jwt;
use crate::support::app::{DEMO_PAY, TestApp};

const LOGIN: &str = r#"{"username":"twilio","password":"ahoy"}"#;

/// `Accept` fields, and whether their sender would rather have JSON than plain text.
const ACCEPT: &[(&[&str], bool)] = &[
    (&[], false),
    (&["*/*"], false),
    (&["text/plain"], false),
    (&["text/html,application/xhtml+xml,application/xml;q=0.9,*/*;q=0.8"], false),
    (&["application/json, text/plain, */*"], false),
    (&["text/plain, application/json"], false),
    (&["application/json;q=0.4, text/plain;q=0.8"], false),
    (&["application/json;q=0"], false),
    (&["application/xml"], false),
    (&["application/jsonx"], false),
    (&[";;;"], false),
    (&[""], false),
    (&["application/json"], true),
    (&["APPLICATION/JSON"], true),
    (&["application/json; charset=utf-8"], true),
    (&["application/problem+json"], true),
    (&["application/*"], true),
    (&["application/json, */*;q=0.1"], true),
    (&["application/json;q=0.5, text/plain;q=0.4"], true),
    (&["text/*;q=0.5, application/json;q=0.6, */*;q=0.9"], true),
    (&["text/html;q=0.1", "application/json"], true),
];

#[tokio::test]
async fn r26_a_login_answers_in_json_only_where_the_client_prefers_it() {
    let app = TestApp::new().await;
    for (accept, json) in ACCEPT {
        let mut ask = app.anonymous().post("/jwt").json(LOGIN);
        for field in *accept {
            ask = ask.field("Accept", field);
        }
        let answer = ask.send().await;
        assert_eq!(answer.status, 200, "{accept:?}");
        assert_eq!(answer.field("Vary"), Some("Accept"), "{accept:?}");
        let token = answer.field("access_token").unwrap();
        if *json {
            let expected = json!({
                "access_token": token, "token_type": "Bearer", "expires_in": 86_400, "scope": "read"
            });
            assert_eq!(answer.text(), expected.to_string(), "{accept:?}");
            assert_eq!(answer.field("Content-Type"), Some("application/json"), "{accept:?}");
        } else {
            assert_eq!(answer.text(), "OK", "{accept:?}");
            assert_eq!(answer.field("Content-Type"), Some("text/plain; charset=utf-8"));
        }
    }
}

#[tokio::test]
async fn r26_an_error_is_problem_details_only_where_the_client_prefers_json() {
    let app = TestApp::new().await;
    for (accept, json) in ACCEPT {
        let mut ask = app.anonymous().get("/bearer");
        for field in *accept {
            ask = ask.field("Accept", field);
        }
        let answer = ask.send().await;
        assert_eq!(answer.status, 401, "{accept:?}");
        assert_eq!(answer.field("Vary"), Some("Accept"), "{accept:?}");
        if *json {
            let problem = json!({
                "type": "about:blank", "title": "Unauthorized", "status": 401,
                "detail": "Unauthorized"
            });
            assert_eq!(answer.json(), problem, "{accept:?}");
            assert_eq!(answer.field("Content-Type"), Some("application/problem+json"));
        } else {
            assert_eq!(answer.text(), "Unauthorized", "{accept:?}");
            assert_eq!(answer.field("Content-Type"), Some("text/plain; charset=utf-8"));
        }
    }
}

#[tokio::test]
async fn r26_both_forms_of_an_error_have_the_same_status_and_the_same_challenge() {
    let app = TestApp::new().await;
    app.add_user("twilio", "ann").await;
    let without_grant = app.user("ann").await;
    let twice = format!("Bearer {}", without_grant.token());
    let forged = Jwt::read(without_grant.token()).signed_by(b"another key of at least 32 bytes");
    let asks = || {
        [
            (401, app.anonymous().get("/bearer")),
            (401, app.bearer(forged.as_str()).get("/bearer")),
            (400, without_grant.get("/bearer").field("Authorization", &twice)),
            (403, without_grant.get("/bearer")),
            (401, app.anonymous().post("/jwt").json(r#"{"username":"a","password":"b"}"#)),
            (400, app.anonymous().post("/jwt").json("{")),
            (415, app.anonymous().post("/jwt").body("{}")),
            (404, app.anonymous().get("/nothing")),
            (405, app.anonymous().get("/jwt")),
        ]
    };
    for ((status, plain), (_, json)) in asks().into_iter().zip(asks()) {
        let plain = plain.send().await;
        let json = json.field("Accept", "application/problem+json").send().await;
        assert_eq!((plain.status, json.status), (status, status), "{plain:?}");
        for name in ["WWW-Authenticate", "Allow", "Vary", "Cache-Control"] {
            assert_eq!(plain.field(name), json.field(name), "{name} {plain:?}");
        }
        assert_eq!(
            plain.field("WWW-Authenticate").is_some(),
            [401, 403].contains(&status) || plain.text().contains("Authorization")
        );
        let problem = json.json();
        assert_eq!(problem["status"], status, "{problem}");
        assert_eq!(problem["detail"], plain.text(), "{problem}");
        assert_eq!(problem["type"], "about:blank", "{problem}");
    }
}

#[tokio::test]
async fn r23_pay_comes_as_json_whatever_the_client_accepts() {
    let app = TestApp::new().await;
    let twilio = app.demo_user().await;
    for (accept, _) in ACCEPT {
        let mut ask = twilio.get("/bearer");
        for field in *accept {
            ask = ask.field("Accept", field);
        }
        let answer = ask.send().await;
        assert_eq!((answer.status, answer.text()), (200, DEMO_PAY), "{accept:?}");
    }
}

#[tokio::test]
async fn r23_no_oddity_of_accept_encoding_fails() {
    let app = TestApp::new().await;
    let twilio = app.demo_user().await;
    for coding in ["", "*", "*;q=0", "identity;q=0", "br", "gzip;q=abc", ";", ",,,", "gzip;q=1e999"]
    {
        let answer = twilio.get("/bearer").field("Accept-Encoding", coding).send().await;
        assert_eq!((answer.status, answer.text()), (200, DEMO_PAY), "{coding}");
        assert_eq!(answer.field("Content-Encoding"), None, "{coding}");
        let page = app.anonymous().get("/").field("Accept-Encoding", coding).send().await;
        assert_eq!(page.status, 200, "{coding}");
    }
}
