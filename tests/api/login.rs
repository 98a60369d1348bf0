//! What a login takes, and what it refuses.

use rocket::figment::Figment;
use rocket::http::Method;

use crate::support::app::{PASSWORD, TestApp};

const GOOD: &str = r#"{"username":"twilio","password":"ahoy"}"#;

#[tokio::test]
async fn r21_json_and_forms_are_taken_and_nothing_else() {
    let app = TestApp::new().await;
    let anonymous = app.anonymous();
    for good in [
        "application/json",
        "Application/JSON; Charset=\"UTF-8\"",
        "application/json;charset=utf-8",
    ] {
        let answer = anonymous.post("/jwt").field("Content-Type", good).body(GOOD).send().await;
        assert_eq!(answer.status, 200, "{good}");
    }
    for bad in [
        "text/plain",
        "application/xml",
        "application/octet-stream",
        "json",
        "multipart/form-data",
        "application/json; charset=latin1",
        "application/jsonx",
        "text/json",
        "",
    ] {
        let answer = anonymous.post("/jwt").field("Content-Type", bad).body(GOOD).send().await;
        assert_eq!(answer.status, 415, "{bad:?}");
        assert_eq!(answer.field("access_token"), None);
    }
    assert_eq!(anonymous.post("/jwt").body(GOOD).send().await.status, 415, "no type");
    assert_eq!(anonymous.post("/jwt").send().await.status, 401, "no body: no credentials");
    for coding in ["gzip", "br", "frob"] {
        let ask = anonymous.post("/jwt").json(GOOD).field("Content-Encoding", coding);
        assert_eq!(ask.send().await.status, 415, "{coding}");
    }
}

#[tokio::test]
async fn r22_a_body_that_is_not_one_object_with_two_strings_is_a_bad_request() {
    let app = TestApp::new().await;
    let deep = format!(
        "{{\"username\":\"twilio\",\"password\":\"ahoy\",\"x\":{}{}}}",
        "[".repeat(5000),
        "]".repeat(5000)
    );
    let bodies: Vec<Vec<u8>> = [
        "",
        "{",
        "[]",
        "5",
        "null",
        "{}",
        "{username:twilio}",
        "{'username':'twilio','password':'ahoy'}",
        r#"["twilio","ahoy"]"#,
        r#"[{"username":"twilio","password":"ahoy"}]"#,
        r#"{"username":"twilio"}"#,
        r#"{"password":"ahoy"}"#,
        r#"{"username":"twilio","password":5}"#,
        r#"{"username":"twilio","password":null}"#,
        r#"{"username":{"$ne":null},"password":{"$ne":null}}"#,
        r#"{"username":"twilio","password":"ahoy","password":"ahoy"}"#,
        r#"{"username":"twilio","password":"ahoy"}{}"#,
        r#"{"username":"twilio","password":"ahoy"}//x"#,
        r#"{"username":"twilio","password":"ahoy","x":NaN}"#,
        "\u{feff}{\"username\":\"twilio\",\"password\":\"ahoy\"}",
        "{\"username\":\"twi\nlio\",\"password\":\"ahoy\"}",
        &deep,
    ]
    .iter()
    .map(|text| text.as_bytes().to_vec())
    .chain([
        b"{\"username\":\"twilio\xff\",\"password\":\"ahoy\"}".to_vec(),
        GOOD.encode_utf16().flat_map(u16::to_le_bytes).collect(),
    ])
    .collect();
    for body in bodies {
        let answer = app.anonymous().post("/jwt").json(&body).send().await;
        let shown = String::from_utf8_lossy(&body[..body.len().min(80)]).into_owned();
        assert_eq!(answer.status, 400, "{shown}");
        assert!(!answer.text().contains("ahoy"), "{shown}");
    }
    for form in [
        "",
        "username=twilio",
        "username=twilio;password=ahoy",
        "username=twilio&username=twilio&password=ahoy",
        "username=twilio&password=%ff",
        GOOD,
        "username[]=twilio&password[]=ahoy",
    ] {
        assert_eq!(app.anonymous().post("/jwt").form(form).send().await.status, 400, "{form}");
    }
    for form in [
        "username=twilio&password=ahoy&x=%zz",
        "password=%61hoy&username=twilio&",
        "a&b=&username=twilio&password=ahoy",
    ] {
        assert_eq!(app.anonymous().post("/jwt").form(form).send().await.status, 200, "{form}");
    }
    let answer = app.anonymous().log_in("", "").await;
    assert_eq!(answer.status, 401, "empty strings are wrong credentials");
}

#[tokio::test]
async fn r22_r52_unknown_members_are_ignored_and_never_assigned() {
    let app = TestApp::new().await;
    let body = r#"{"username":"twilio","password":"ahoy","perms":["read","manage"],"org":"acme","role":"admin","sub":"jdoe","exp":9}"#;
    let answer = app.anonymous().post("/jwt").json(body).send().await;
    let jwt = crate::jwt::Jwt::read(answer.field("access_token").unwrap());
    assert_eq!(jwt.claims["org"], "twilio");
    assert_eq!(jwt.claims["sub"], "twilio");
    assert_eq!(jwt.claims["perms"], serde_json::json!(["read"]));
}

#[tokio::test]
async fn r24_nothing_overrides_the_method() {
    let app = TestApp::new().await;
    let caller = app.demo_user().await;
    for method in ["PUT", "put", "DELETE", "delete", "Patch"] {
        let body = format!("_method={method}&a=b");
        assert_eq!(caller.post("/bearer").form(&body).send().await.status, 200, "{method}");
        assert_eq!(caller.post("/jwt").form(&body).send().await.status, 400, "{method}");
        let body = format!("_method={method}&username=twilio&password=ahoy");
        assert_eq!(app.anonymous().post("/jwt").form(&body).send().await.status, 200, "{method}");
    }
    for body in
        ["[_method]=put", "_method.=put", "&_method=put", "_method=deletex&a=b", "_method=delete"]
    {
        assert_eq!(caller.post("/bearer").form(body).send().await.status, 200, "{body}");
        assert_eq!(caller.post("/jwt").form(body).send().await.status, 400, "{body}");
    }
    let ask = caller.post("/bearer?_method=DELETE").field("X-HTTP-Method-Override", "DELETE");
    assert_eq!(ask.send().await.status, 400, "a parameter that nobody knows");
    assert_eq!(caller.read_pay().await.status, 200, "the session has not been ended");
}

#[tokio::test]
async fn r61_what_is_too_long_is_refused_as_such() {
    let app = TestApp::new().await;
    let anonymous = app.anonymous();
    let long =
        format!(r#"{{"username":"twilio","password":"ahoy","x":"{}"}}"#, "x".repeat(16 * 1024));
    assert_eq!(anonymous.post("/jwt").json(&long).send().await.status, 413);
    let fields = "a=b&".repeat(100) + "username=twilio&password=ahoy";
    assert_eq!(anonymous.post("/jwt").form(&fields).send().await.status, 400);
    assert_eq!(anonymous.get(&format!("/{}", "a".repeat(9000))).send().await.status, 414);
    assert_eq!(anonymous.get(&format!("/live?{}", "a".repeat(9000))).send().await.status, 414);
    let pad = "p".repeat(70 * 1024);
    assert_eq!(anonymous.get("/live").field("X-Pad", &pad).send().await.status, 431);
    let answer = anonymous.log_in("twilio", &"p".repeat(1025)).await;
    assert_eq!(answer.status, 400, "a password of over 1 KiB is not hashed");
}

#[tokio::test]
async fn r43_r47_every_failed_login_has_the_same_answer() {
    let app = TestApp::with(Figment::new().merge(("demo", false))).await;
    app.add_org("acme").await;
    app.add_user("acme", "ann").await;
    app.add_user("acme", "dan").await;
    app.database.execute("UPDATE users SET disabled_at = 1 WHERE username = 'dan'").await;
    let mut seen = Vec::new();
    for (name, password) in [
        ("nobody", PASSWORD),
        ("acme/ann", "wrong"),
        ("acme/dan", PASSWORD),
        ("twilio", PASSWORD),
        ("x/y/z", PASSWORD),
        ("ann", PASSWORD),
    ] {
        let answer = app.anonymous().log_in(name, password).await;
        assert_eq!(answer.status, 401, "{name}");
        assert_eq!(answer.text(), "Username or password is incorrect", "{name}");
        seen.push(answer.field_names());
    }
    seen.dedup();
    assert_eq!(seen.len(), 1, "the header fields are the same: {seen:?}");
    assert_eq!(app.anonymous().log_in("acme/ann", PASSWORD).await.status, 200);
}

#[tokio::test]
async fn r40_a_hash_weaker_than_the_settings_ask_is_replaced_at_the_next_login() {
    let app = TestApp::new().await;
    let weak = app.database.texts("SELECT password_hash FROM users").await.remove(0);
    assert!(weak.starts_with("$argon2id$v=19$m=19456,t=2,p=1$"), "{weak}");
    let app = app.restarted_with(Figment::new().merge(("argon2_iterations", 3))).await;
    assert_eq!(app.anonymous().log_in("twilio", "wrong").await.status, 401);
    assert_eq!(app.database.texts("SELECT password_hash FROM users").await, [weak]);
    app.demo_user().await;
    let strong = app.database.texts("SELECT password_hash FROM users").await.remove(0);
    assert!(strong.starts_with("$argon2id$v=19$m=19456,t=3,p=1$"), "{strong}");
    let salt = strong.split('$').nth(4).unwrap();
    assert_eq!(salt.len(), 22, "16 bytes: {salt}");
    app.demo_user().await;
    assert_eq!(app.database.texts("SELECT password_hash FROM users").await, [strong]);
}

#[tokio::test]
async fn r40_of_two_sign_ins_at_once_by_a_weak_hash_both_are_let_in() {
    let app = TestApp::new().await;
    let app = app.restarted_with(Figment::new().merge(("argon2_iterations", 3))).await;
    let (one, other) = (app.anonymous(), app.anonymous());
    let answers = tokio::join!(one.log_in("twilio", PASSWORD), other.log_in("twilio", PASSWORD));
    assert_eq!((answers.0.status, answers.1.status), (200, 200));
    let strong = app.database.texts("SELECT password_hash FROM users").await.remove(0);
    assert!(strong.starts_with("$argon2id$v=19$m=19456,t=3,p=1$"), "{strong}");
}

#[tokio::test]
async fn r48_a_user_name_has_one_form() {
    let app = TestApp::new().await;
    for name in [
        "Twilio",
        "TWILIO",
        "twilio ",
        " twilio",
        "twilio\0",
        "twilio\n",
        "\u{ff54}wilio",
        "twilio/",
        "/twilio",
        "twilio/twilio/",
        "tw\u{200b}ilio",
    ] {
        assert_eq!(app.anonymous().log_in(name, PASSWORD).await.status, 401, "{name:?}");
    }
    assert_eq!(app.anonymous().log_in("twilio/twilio", PASSWORD).await.status, 200);
    for password in ["Ahoy", "ahoy ", " ahoy", "ahoy\0", "' OR '1'='1"] {
        assert_eq!(app.anonymous().log_in("twilio", password).await.status, 401, "{password:?}");
    }
}

#[tokio::test]
async fn r76_a_request_that_a_browser_marks_as_from_another_site_is_refused() {
    let app = TestApp::new().await;
    let caller = app.demo_user().await;
    for site in ["cross-site", "same-site", "x"] {
        let ask = app.anonymous().post("/jwt").json(GOOD).field("Sec-Fetch-Site", site);
        assert_eq!(ask.send().await.status, 403, "{site}");
        let ask = caller.ask(Method::Delete, "/jwt").field("Sec-Fetch-Site", site);
        assert_eq!(ask.send().await.status, 403, "{site}");
    }
    for origin in ["https://evil.example", "null", "https://pay.example.com.evil.example"] {
        let ask = app.anonymous().post("/jwt").json(GOOD).field("Origin", origin);
        assert_eq!(ask.send().await.status, 403, "{origin}");
    }
    for (field, value) in [
        ("Sec-Fetch-Site", "same-origin"),
        ("Sec-Fetch-Site", "none"),
        ("Origin", "https://pay.example.com"),
    ] {
        let ask = app.anonymous().post("/jwt").json(GOOD).field(field, value);
        assert_eq!(ask.send().await.status, 200, "{value}");
    }
    assert_eq!(caller.read_pay().await.status, 200, "the session has not been ended");
}
