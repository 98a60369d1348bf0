//! Hostile input of every kind: an ordinary 4xx, and the same one for every cause that nobody may
//! tell apart.

use std::net::IpAddr;
use std::time::Duration;

use base64::Engine;
use base64::prelude::BASE64_URL_SAFE_NO_PAD;
use rocket::figment::Figment;
use rocket::http::{Header, Method};
use serde_json::{Value, json};

use crate::jwt::Jwt;
use crate::support::app::{Answer, NOON, PASSWORD, TestApp};

const TWILIO: &str = r#"{"username":"twilio","password":"ahoy"}"#;

/// Asserts that an answer is the one that the others were: status, header fields and body.
fn assert_same(first: &mut Option<String>, answer: &Answer, cause: &str) {
    let told = answer.told();
    let first = first.get_or_insert_with(|| told.clone());
    assert_eq!(*first, told, "{cause:?} can be told apart");
}

/// Tokens that are not one, each for a reason of its own, and the reason.
async fn hostile_tokens(app: &TestApp) -> Vec<(&'static str, String)> {
    let good = app.demo_user().await.token().to_owned();
    let jwt = Jwt::read(&good);
    let [header, claims, signature] = good.split('.').collect::<Vec<_>>()[..] else { panic!() };
    let encode = |text: &str| BASE64_URL_SAFE_NO_PAD.encode(text);
    let ended = app.demo_user().await;
    assert_eq!(ended.delete("/jwt").send().await.status, 204);
    vec![
        ("empty", String::new()),
        ("one dot", ".".into()),
        ("dots", "....".into()),
        ("no signature", format!("{header}.{claims}.")),
        ("no claims", format!("{header}..{signature}")),
        ("no header", format!(".{claims}.{signature}")),
        ("two segments", format!("{header}.{claims}")),
        ("four segments", format!("{good}.x")),
        ("five segments", format!("{good}.x.y")),
        ("padding", format!("{good}=")),
        ("other alphabet", good.replacen(['-', '_'], "+", 1) + "+"),
        ("white space within", format!("{header}. {claims}.{signature}")),
        ("other characters", format!("{header}.{claims}.{signature}\u{e9}")),
        ("a wrong signature", format!("{header}.{claims}.{}", encode(&"x".repeat(32)))),
        ("a short signature", format!("{header}.{claims}.{}", &signature[..20])),
        ("a long signature", format!("{header}.{claims}.{signature}{signature}")),
        ("the header's signature", format!("{claims}.{header}.{signature}")),
        ("not JSON", format!("{}.{claims}.{signature}", encode("{"))),
        ("an array", format!("{}.{claims}.{signature}", encode("[]"))),
        ("deep", format!("{}.{claims}.{signature}", encode(&"[".repeat(5000)))),
        ("too long", format!("{header}.{}.{signature}", "A".repeat(9000))),
        ("a number", "1".into()),
        ("null", "null".into()),
        ("another key", jwt.signed_by(b"another key, also of thirty-two bytes and more")),
        ("an unknown kid", jwt.header("kid", "../../etc/passwd").signed()),
        ("a kid of SQL", jwt.header("kid", "' OR 1=1 --").signed()),
        ("a kid that is none", jwt.header("kid", json!(["x"])).signed()),
        ("no kid", jwt.without_header("kid").signed()),
        ("alg none", jwt.header("alg", "none").signed()),
        ("alg NoNe", jwt.header("alg", "NoNe").signed()),
        ("alg HS512", jwt.header("alg", "HS512").signed()),
        ("alg RS256", jwt.header("alg", "RS256").signed()),
        ("alg in small letters", jwt.header("alg", "hs256").signed()),
        ("alg a number", jwt.header("alg", 256).signed()),
        ("no alg", jwt.without_header("alg").signed()),
        ("crit", jwt.header("crit", json!(["exp"])).signed()),
        (
            "a key within",
            jwt.header("jwk", json!({ "kty": "oct", "k": "AA" })).header("kid", "x").signed(),
        ),
        ("an ID token", jwt.header("typ", "id+jwt").signed()),
        ("expired", jwt.claim("exp", NOON - 60).signed()),
        ("not yet", jwt.claim("nbf", NOON + 600).signed()),
        ("issued later", jwt.claim("iat", NOON + 600).signed()),
        ("exp as text", jwt.claim("exp", "9999999999").signed()),
        ("exp huge", jwt.claim("exp", 1e300).signed()),
        ("exp negative", jwt.claim("exp", -1).signed()),
        ("no exp", jwt.without_claim("exp").signed()),
        ("a longer life than the session's", jwt.claim("exp", NOON + 10_000_000).signed()),
        ("another issuer", jwt.claim("iss", "other").signed()),
        ("issuers", jwt.claim("iss", json!(["twil.io"])).signed()),
        ("another audience", jwt.claim("aud", "other").signed()),
        ("nobody", jwt.claim("sub", "nobody").signed()),
        ("a name that is none", jwt.claim("sub", "../x").signed()),
        ("U+0000", jwt.claim("sub", "twilio\u{0}").signed()),
        ("another org", jwt.claim("org", "acme").signed()),
        ("no such session", jwt.claim("jti", "0".repeat(32)).signed()),
        ("a session of SQL", jwt.claim("jti", "' OR 1=1 --").signed()),
        ("a session that has ended", ended.token().to_owned()),
        ("perms as text", jwt.claim("perms", "read").signed()),
        ("another format", "v2.local.AAAA".into()),
    ]
}

#[tokio::test]
async fn r2_no_token_tells_why_it_is_refused() {
    let app = TestApp::new().await;
    let tokens = hostile_tokens(&app).await;
    for (method, path) in [
        (Method::Get, "/bearer"),
        (Method::Post, "/bearer"),
        (Method::Head, "/bearer"),
        (Method::Get, "/me"),
        (Method::Get, "/pay/jdoe"),
        (Method::Get, "/users"),
        (Method::Delete, "/jwt"),
    ] {
        let mut first = None;
        for (cause, token) in &tokens {
            let answer = app.bearer(token.as_str()).ask(method, path).send().await;
            assert_eq!(answer.status, 401, "{method} {path}: {cause}");
            assert_same(&mut first, &answer, cause);
        }
    }
    assert_eq!(app.demo_user().await.read_pay().await.status, 200, "and a good one is taken");
}

#[tokio::test]
async fn r1_no_credentials_are_no_credentials_whatever_else_is_sent() {
    let app = TestApp::new().await;
    let token = app.demo_user().await.token().to_owned();
    let bearer = format!("Bearer {token}");
    let mut first = None;
    for (name, value) in [
        ("X-Nothing", ""),
        ("Authorization", ""),
        ("Authorization", " "),
        ("Authorization", "Basic dHdpbGlvOmFob3k="),
        ("Authorization", "Digest username=\"twilio\""),
        ("Authorization", "Bearer\ttoken"),
        ("Authorization", "Bearer:token"),
        ("Authorization", "\u{feff}Bearer token"),
        ("Authorization", "Be\u{e4}rer token"),
        ("Authorization", token.as_str()),
        ("Authorization", &"A".repeat(20_000)),
        ("Proxy-Authorization", &bearer),
        ("X-Authorization", &bearer),
        ("Cookie", &format!("access_token={token}")),
    ] {
        let answer = app.anonymous().get("/bearer").field(name, value).send().await;
        assert_eq!(answer.status, 401, "{name}: {value}");
        assert_same(&mut first, &answer, value);
    }
}

#[tokio::test]
async fn r22_every_body_that_is_no_login_has_one_answer_of_its_kind() {
    let app = TestApp::new().await;
    let nested = |open: &str, close: &str| {
        let deep = format!("{}{}", open.repeat(2000), close.repeat(2000));
        format!(r#"{{"username":"twilio","password":"ahoy","x":{deep}}}"#).into_bytes()
    };
    let json: Vec<Vec<u8>> = vec![
        b"".to_vec(),
        b" ".to_vec(),
        b"{".to_vec(),
        b"{}".to_vec(),
        b"[]".to_vec(),
        b"null".to_vec(),
        b"\"twilio\"".to_vec(),
        b"0".to_vec(),
        br#"["twilio","ahoy"]"#.to_vec(),
        br#"{"username":"twilio"}"#.to_vec(),
        br#"{"password":"ahoy"}"#.to_vec(),
        br#"{"username":null,"password":"ahoy"}"#.to_vec(),
        br#"{"username":"twilio","password":1}"#.to_vec(),
        br#"{"username":["twilio"],"password":"ahoy"}"#.to_vec(),
        br#"{"username":{"a":1},"password":"ahoy"}"#.to_vec(),
        br#"{"Username":"twilio","Password":"ahoy"}"#.to_vec(),
        br#"{"username":"twilio","username":"twilio","password":"ahoy"}"#.to_vec(),
        br#"{"username":"twilio","password":"ahoy","\u0070assword":"x"}"#.to_vec(),
        br#"{"username":"twilio","password":"ahoy"} x"#.to_vec(),
        br#"{"username":"twilio","password":"ahoy"}{}"#.to_vec(),
        br#"{"username":"twilio","password":"ahoy",}"#.to_vec(),
        br#"{'username':'twilio','password':'ahoy'}"#.to_vec(),
        br#"{"username":"twilio","password":"\ud800"}"#.to_vec(),
        br#"{"username":"twilio","password":"ahoy","x":1e999}"#.to_vec(),
        b"\xef\xbb\xbf{\"username\":\"twilio\",\"password\":\"ahoy\"}".to_vec(),
        b"{\"username\":\"twilio\",\"password\":\"\xff\"}".to_vec(),
        b"\xff\xfe{\0}\0".to_vec(),
        b"\0".to_vec(),
        nested("[", "]"),
        nested("{\"a\":", "}"),
        b"username=twilio&password=ahoy".to_vec(),
    ];
    let mut first = None;
    for body in json {
        let shown = String::from_utf8_lossy(&body).chars().take(60).collect::<String>();
        let answer = app.anonymous().post("/jwt").json(body).send().await;
        assert_eq!(answer.status, 400, "{shown}");
        assert_same(&mut first, &answer, &shown);
    }
    let mut first = None;
    for body in [
        &b""[..],
        b"username",
        b"username=twilio",
        b"password=ahoy",
        b"username=twilio&password=%ff",
        b"username=%c3%28&password=ahoy",
        b"username=twilio&username=twilio&password=ahoy",
        b"username=twilio&password=ahoy&pass%77ord=x",
        b"Username=twilio&Password=ahoy",
        b"username=twilio;password=ahoy",
        b"username[]=twilio&password[]=ahoy",
        b"\0",
        b"\xff=\xff&&&=",
        TWILIO.as_bytes(),
    ] {
        let answer = app.anonymous().post("/jwt").form(body).send().await;
        let shown = String::from_utf8_lossy(body);
        assert_eq!(answer.status, 400, "{shown}");
        assert_same(&mut first, &answer, &shown);
    }
}

/// Each name is asked once, so that no throttle comes between.
#[tokio::test]
async fn r43_no_name_tells_whether_it_is_somebodys() {
    let app = TestApp::new().await;
    app.add_org("acme").await;
    for name in ["ann", "dan"] {
        app.add_user("acme", name).await;
    }
    app.database.execute("UPDATE users SET disabled_at = 1 WHERE username = 'dan'").await;
    let long = "x".repeat(5000);
    let (mut first, mut tried) = (None, 1..);
    for (name, password) in [
        ("acme/ann", "wrong"),
        ("acme/dan", PASSWORD),
        ("acme/nobody", PASSWORD),
        ("nowhere/ann", PASSWORD),
        ("", PASSWORD),
        ("/", PASSWORD),
        ("acme/", PASSWORD),
        ("/ann", PASSWORD),
        ("acme/ann/x", PASSWORD),
        ("ACME/ann", PASSWORD),
        ("acme/Ann", PASSWORD),
        ("acme/ann ", PASSWORD),
        (" acme/ann", PASSWORD),
        ("acme/ann\u{0}", PASSWORD),
        ("acme/ann\n", PASSWORD),
        ("acme/\u{430}nn", PASSWORD),
        ("acme/ann\u{200b}", PASSWORD),
        ("acme/' OR 1=1 --", PASSWORD),
        ("acme/%61nn", PASSWORD),
        ("../acme/ann", PASSWORD),
        (&long, PASSWORD),
        ("acme/\u{1f4b8}", PASSWORD),
    ] {
        // From a network of its own, so that none is throttled.
        let address = format!("192.0.2.{}", tried.next().unwrap());
        let answer = app.anonymous().log_in_from(&address, name, password).await;
        assert_eq!(answer.status, 401, "{name}");
        assert_same(&mut first, &answer, name);
    }
    assert_eq!(app.anonymous().log_in("acme/ann", PASSWORD).await.status, 200);
}

/// Whatever a proxy is made to pass on, the record holds an address, and the answer is the same.
#[tokio::test]
async fn r45_no_address_list_is_more_than_an_address() {
    let settings = Figment::new().merge(("trusted_proxies", ["10.0.0.0/8", "2001:db8::/32"]));
    let app = TestApp::with(settings).await;
    let token = format!("Bearer {}", app.demo_user().await.token());
    let long = "10.0.0.1, ".repeat(4000);
    for (peer, fields, client) in [
        ("192.0.2.1", &["203.0.113.9"][..], "192.0.2.1"),
        ("10.0.0.1", &[], "10.0.0.1"),
        ("10.0.0.1", &["203.0.113.9"], "203.0.113.9"),
        ("10.0.0.1", &["198.51.100.1, 203.0.113.9"], "203.0.113.9"),
        ("10.0.0.1", &["198.51.100.1", "203.0.113.9, 10.0.0.2"], "203.0.113.9"),
        ("10.0.0.1", &["203.0.113.9,,"], "10.0.0.1"),
        ("10.0.0.1", &[""], "10.0.0.1"),
        ("10.0.0.1", &[","], "10.0.0.1"),
        ("10.0.0.1", &["unknown"], "10.0.0.1"),
        ("10.0.0.1", &["_hidden, 10.0.0.7"], "10.0.0.7"),
        ("10.0.0.1", &["203.0.113.9:80"], "10.0.0.1"),
        ("10.0.0.1", &["[2001:db9::1]"], "10.0.0.1"),
        ("10.0.0.1", &["2001:db9::1"], "2001:db9::1"),
        ("10.0.0.1", &["::ffff:203.0.113.9"], "203.0.113.9"),
        ("::ffff:10.0.0.1", &["203.0.113.9"], "203.0.113.9"),
        ("10.0.0.1", &["203.0.113.999"], "10.0.0.1"),
        ("10.0.0.1", &["0xcb007109"], "10.0.0.1"),
        ("10.0.0.1", &["203.0.113.9\u{0}"], "10.0.0.1"),
        ("10.0.0.1", &["\";DROP TABLE audit;--"], "10.0.0.1"),
        ("10.0.0.1", &["203.0.113.9%eth0"], "10.0.0.1"),
        ("2001:db8::1", &["2001:db8::2, 203.0.113.9"], "203.0.113.9"),
        ("10.0.0.1", &[long.as_str()], "10.0.0.1"),
    ] {
        let mut request =
            app.client.get("/bearer").remote((peer.parse::<IpAddr>().unwrap(), 9).into());
        request.add_header(Header::new("Host", "pay.example.com"));
        request.add_header(Header::new("Authorization", token.clone()));
        for field in fields {
            request.add_header(Header::new("X-Forwarded-For", (*field).to_owned()));
        }
        assert_eq!(request.dispatch().await.status().code, 200, "{peer} {fields:?}");
        let last = "SELECT client FROM audit ORDER BY record_id DESC LIMIT 1";
        let recorded = app.database.texts(last).await.remove(0);
        assert!(recorded.parse::<IpAddr>().is_ok(), "{peer} {fields:?}: {recorded}");
        if fields != [long.as_str()] {
            assert_eq!(recorded, client, "{peer} {fields:?}");
        }
    }
}

/// A clock that went wrong lets nobody in for longer, and stops nobody with more than a 4xx.
#[tokio::test]
async fn r14_no_clock_breaks_anything() {
    let app = TestApp::new().await;
    let caller = app.demo_user().await;
    let mut first = None;
    for (seconds, why) in [
        (NOON - 86_400, "a day back"),
        (NOON - 60, "a minute back"),
        (0, "1970"),
        (-1, "before 1970"),
        (-62_200_000_000, "before the year 0"),
        (i64::MIN / 1000, "the beginning of time"),
        (NOON + 86_406, "a second after the token's end"),
        (253_402_300_799, "the last second of the year 9999"),
        (253_402_300_800, "the year 10000"),
        (i64::MAX / 1000, "the end of time"),
    ] {
        app.clock.set(seconds);
        let answer = caller.read_pay().await;
        assert_eq!(answer.status, 401, "{why}");
        assert_same(&mut first, &answer, why);
        let log_in = app.anonymous().log_in("twilio", "ahoy").await;
        assert!([200, 401].contains(&log_in.status), "{why}: {log_in:?}");
        if let Some(token) = log_in.field("access_token") {
            let answer = app.bearer(token).read_pay().await;
            assert!([200, 401].contains(&answer.status), "{why}: {answer:?}");
        }
    }
    app.clock.set(NOON);
    app.clock.advance(Duration::from_secs(1));
    assert_eq!(caller.read_pay().await.status, 200, "and once it is right again, all is");
}

#[tokio::test]
async fn r61_no_header_field_is_more_than_an_ordinary_refusal() {
    let app = TestApp::new().await;
    let caller = app.demo_user().await;
    let values = [
        "",
        ",",
        ";",
        "*/*;q=x",
        "text/html;q=99999999999999999999",
        "\"",
        "a/b/c",
        "\u{0}",
        "\u{202e}",
        "null",
        "[]",
        "-1",
        "99999999999999999999999",
        "W/\"1\"",
        "\"1\", \"2\",",
        "%00",
        "../../etc/passwd",
        &",".repeat(5000),
        &"*/*,".repeat(5000),
        &"\"1\",".repeat(5000),
    ];
    for name in [
        "Accept",
        "Accept-Encoding",
        "Accept-Language",
        "Content-Type",
        "Content-Length",
        "Content-Encoding",
        "Cookie",
        "Expect",
        "Forwarded",
        "If-Match",
        "If-None-Match",
        "If-Modified-Since",
        "Origin",
        "Range",
        "Sec-Fetch-Site",
        "Sec-Fetch-Mode",
        "Transfer-Encoding",
        "User-Agent",
        "X-Forwarded-For",
        "X-HTTP-Method-Override",
    ] {
        for value in values {
            for ask in [
                caller.get("/bearer"),
                caller.post("/pay/jdoe").body("{}"),
                caller.ask(Method::Patch, "/users/jdoe").body("{}"),
                app.anonymous().post("/jwt").body(TWILIO),
            ] {
                let answer = ask.field(name, value).send().await;
                let status = answer.status;
                assert!((200..500).contains(&status), "{name}: {value:?}: {answer:?}");
                assert!(!answer.text().contains("etc/passwd"), "{name} comes back: {answer:?}");
            }
        }
    }
}

#[tokio::test]
async fn r52_no_member_of_a_change_gives_what_nobody_gave() {
    let app = TestApp::new().await;
    app.add_grant("twilio", "twilio", "manage", "org").await;
    let manager = app.demo_user().await;
    let hostile = json!({
        "org": "acme", "version": 99, "demo": true, "perms": ["write"], "role": "admin",
        "grants": [{ "permission": "write", "reach": "org" }], "password_hash": "x",
        "__proto__": { "admin": true }, "id": 1, "username": "twilio",
    });
    for (name, value) in hostile.as_object().unwrap() {
        let mut person = json!({ "username": "cyd", "name": "Cyd Lane" });
        if name == "username" {
            // A name may be given, but not by a change.
            person["username"] = "cyd2".into();
        }
        let mut change = json!({ "name": "J Doe" });
        change[name] = value.clone();
        let ask = manager.ask(Method::Patch, "/users/jdoe").field("If-Match", "*");
        let answer = ask.json(change.to_string()).send().await;
        assert_eq!(answer.status, 400, "{name}: {answer:?}");
        if name == "username" {
            continue;
        }
        person[name] = value.clone();
        let answer = manager.post("/users").json(person.to_string()).send().await;
        assert_eq!(answer.status, 400, "{name}: {answer:?}");
    }
    let people = manager.get("/users").send().await;
    let names: Vec<Value> =
        people.json().as_array().unwrap().iter().map(|person| person["name"].clone()).collect();
    assert_eq!(
        names,
        [json!("jdoe"), json!("mturner"), Value::Null],
        "nobody was added or changed"
    );
}
