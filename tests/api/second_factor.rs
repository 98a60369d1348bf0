//! The second factor: turned on, asked for, used up, turned off, and taken off who has lost it.

mod demand;

use std::time::Duration;

use rocket::tokio::join;
use serde_json::{Value, json};
use stipend::auth::Sealer;
use stipend::config::Secret;
use stipend::entropy::SystemEntropy;

use crate::enrolment::{codes, enrol, enrol_with, log_in};
use crate::support::app::{Actor, Answer, PASSWORD, TestApp};
use crate::support::authenticator::Authenticator;
use crate::support::database::is_postgres;

/// A password that may stand alone.
const LONG: &str = "a sentence makes a good one";
const STEP: Duration = Duration::from_secs(30);

async fn org() -> TestApp {
    let app = TestApp::new().await;
    app.add_org("acme").await;
    for name in ["ann", "bob", "root"] {
        app.add_user("acme", name).await;
    }
    for permission in ["read", "write", "manage", "audit"] {
        app.add_grant("acme", "root", permission, "org").await;
    }
    app
}

async fn set_password(app: &TestApp, name: &str, password: &str) {
    let password = Secret::new(password.to_owned());
    let hash = app.auth().gate.hash(password, &SystemEntropy::new()).await.unwrap();
    let sql = format!("UPDATE users SET password_hash = '{hash}' WHERE username = '{name}'");
    app.database.execute(&sql).await;
}

async fn state(caller: &Actor<'_>) -> Value {
    caller.get("/me").send().await.json()["second_factor"].clone()
}

async fn turn_off(caller: &Actor<'_>, password: &str, code: &str) -> Answer {
    let body = json!({ "password": password, "code": code }).to_string();
    caller.delete("/me/totp").json(body).send().await
}

#[tokio::test]
async fn a_second_factor_counts_once_a_code_has_confirmed_it() {
    let app = org().await;
    let (ann, other) = (app.user("acme/ann").await, app.user("acme/ann").await);
    assert_eq!(state(&ann).await, json!({ "on": false, "recovery_codes": 0, "demanded": false }));
    let early = ann.post("/me/totp/confirm").json(r#"{"code":"000000"}"#).send().await;
    assert_eq!(early.status, 409, "{early:?}");

    let made = ann.post("/me/totp").send().await.json();
    let (secret, uri) = (made["secret"].as_str().unwrap(), made["uri"].as_str().unwrap());
    assert_eq!(
        uri,
        format!(
            "otpauth://totp/twil.io:acme%2Fann?secret={secret}&issuer=twil.io\
             &algorithm=SHA1&digits=6&period=30"
        )
    );
    assert!(made["qr"]["size"].as_i64().unwrap() > 20);
    assert_eq!(app.anonymous().log_in("acme/ann", PASSWORD).await.status, 200, "not yet");
    assert_eq!(state(&ann).await["on"], false);

    // Another secret takes its place.
    let first = Authenticator::of(secret).code_at(app.clock.seconds());
    let made = ann.post("/me/totp").send().await.json();
    let authenticator = Authenticator::of(made["secret"].as_str().unwrap());
    let right = authenticator.code_at(app.clock.seconds());
    for wrong in [first.as_str(), "", "12345", "not a code"] {
        let body = json!({ "code": wrong }).to_string();
        let answer = ann.post("/me/totp/confirm").json(body).send().await;
        assert_eq!(answer.status, 400, "{wrong}: {answer:?}");
        assert!(answer.json()["detail"].as_str().unwrap().starts_with("code: "), "{answer:?}");
    }
    let body = json!({ "code": right }).to_string();
    let confirmed = ann.post("/me/totp/confirm").json(&body).send().await;
    assert_eq!(codes(&confirmed).len(), 10);
    assert_eq!(state(&ann).await, json!({ "on": true, "recovery_codes": 10, "demanded": false }));
    assert_eq!(other.get("/me").send().await.status, 401, "it was opened without");
    let bob = app.user("acme/bob").await;
    assert_eq!(state(&bob).await["on"], false, "nobody else's");
    for again in [ann.post("/me/totp"), ann.post("/me/totp/confirm").json(&body)] {
        assert_eq!(again.send().await.status, 409, "it is on");
    }

    assert_eq!(app.anonymous().log_in("acme/ann", PASSWORD).await.status, 401);
    let used = log_in(&app, "acme/ann", PASSWORD, &right).await;
    assert_eq!(used.status, 401, "it has confirmed the secret, and counts once");
    let next = authenticator.code_at(app.clock.seconds() + 30);
    assert_eq!(log_in(&app, "acme/ann", PASSWORD, &next).await.status, 200);
}

#[tokio::test]
async fn a_code_is_taken_by_form_too_and_ignored_where_there_is_no_second_factor() {
    let app = org().await;
    let ann = enrol(&app, "acme/ann").await;
    let code = ann.app.code_at(app.clock.seconds() + 30);
    let form =
        format!("username=acme%2Fann&password={PASSWORD}&code={}+{}", &code[..3], &code[3..]);
    assert_eq!(app.anonymous().post("/jwt").form(form).send().await.status, 200);
    for ignored in ["", "000000", "any thing"] {
        assert_eq!(log_in(&app, "acme/bob", PASSWORD, ignored).await.status, 200, "{ignored:?}");
    }
}

#[tokio::test]
async fn r22_a_code_that_is_no_short_string_is_a_bad_request() {
    let app = org().await;
    for code in ["5", "null", "[]", "{\"a\":1}", "true", &format!("\"{}\"", "1".repeat(65))] {
        let body = format!(r#"{{"username":"acme/ann","password":"{PASSWORD}","code":{code}}}"#);
        let answer = app.anonymous().post("/jwt").json(body).send().await;
        assert_eq!(answer.status, 400, "{code}");
        assert!(answer.text().contains("A code is a string"), "{answer:?}");
    }
    let base = format!("username=acme%2Fann&password={PASSWORD}");
    for code in ["&code=1&code=1", "&code=%ff", &format!("&code={}", "1".repeat(65))] {
        let answer = app.anonymous().post("/jwt").form(format!("{base}{code}")).send().await;
        assert_eq!(answer.status, 400, "{code}");
    }
    let ann = enrol(&app, "acme/ann").await.actor;
    for body in ["{}", r#"{"code":5}"#, r#"{"code":"1","more":1}"#, "[]"] {
        let answer = ann.post("/me/totp/confirm").json(body).send().await;
        assert_eq!(answer.status, 400, "{body}");
        assert_eq!(ann.delete("/me/totp").json(body).send().await.status, 400, "{body}");
    }
}

#[tokio::test]
async fn a_code_counts_in_three_steps_of_time_and_no_step_or_earlier_one_twice() {
    let app = org().await;
    let ann = enrol(&app, "acme/ann").await;
    app.clock.advance(10 * STEP);
    let now = app.clock.seconds();
    let try_code = async |offset: i64| {
        log_in(&app, "acme/ann", PASSWORD, &ann.app.code_at(now + offset * 30)).await.status
    };
    assert_eq!(try_code(-2).await, 401, "too old");
    assert_eq!(try_code(2).await, 401, "too early");
    assert_eq!(try_code(-1).await, 200);
    assert_eq!(try_code(-1).await, 401, "used");
    assert_eq!(try_code(1).await, 200);
    assert_eq!(try_code(1).await, 401, "used");
    assert_eq!(try_code(0).await, 401, "a later step has been used");
    app.clock.advance(STEP);
    assert_eq!(try_code(1).await, 401, "used, in its own step too");
    assert_eq!(try_code(2).await, 200);
}

#[tokio::test]
async fn of_two_sign_ins_at_once_with_one_code_one_fails() {
    let app = org().await;
    let ann = enrol(&app, "acme/ann").await;
    app.clock.advance(STEP);
    let timed = ann.app.code_at(app.clock.seconds());
    for code in [&timed, &ann.recovery_codes[0]] {
        let one = || log_in(&app, "acme/ann", PASSWORD, code);
        let (a, b, c) = join!(one(), one(), one());
        let mut statuses = [a.status, b.status, c.status];
        statuses.sort_unstable();
        assert_eq!(statuses, [200, 401, 401], "{code}");
        assert_eq!(b.field("WWW-Authenticate").is_some(), b.status == 401);
    }
}

#[tokio::test]
async fn r43_what_is_wrong_with_a_sign_in_cannot_be_told() {
    let app = org().await;
    let ann = enrol(&app, "acme/ann").await;
    let used = ann.app.code_at(app.clock.seconds());
    let next = ann.app.code_at(app.clock.seconds() + 30);
    let late = ann.app.code_at(app.clock.seconds() + 90);
    assert_eq!(log_in(&app, "acme/ann", PASSWORD, &ann.recovery_codes[0]).await.status, 200);
    let tries: Vec<(&str, &str, Option<&str>)> = vec![
        ("acme/ann", PASSWORD, None),
        ("acme/ann", PASSWORD, Some("")),
        ("acme/ann", PASSWORD, Some("000000")),
        ("acme/ann", PASSWORD, Some("no code")),
        ("acme/ann", PASSWORD, Some(&used)),
        ("acme/ann", PASSWORD, Some(&late)),
        ("acme/ann", PASSWORD, Some(&ann.recovery_codes[0])),
        ("acme/ann", PASSWORD, Some("0000-0000-0000-0000")),
        ("acme/ann", "wrong", None),
        ("acme/ann", "wrong", Some(&next)),
        ("acme/ann", "wrong", Some(&ann.recovery_codes[1])),
        ("acme/bob", "wrong", None),
        ("acme/bob", PASSWORD, Some(&next)),
        ("acme/nobody", PASSWORD, None),
        ("acme/nobody", PASSWORD, Some(&next)),
        ("No Name", PASSWORD, Some(&next)),
    ];
    for accept in ["*/*", "application/json"] {
        let mut told = std::collections::BTreeSet::new();
        for (name, password, code) in &tries {
            let mut body = json!({ "username": name, "password": password });
            if let Some(code) = code {
                body["code"] = json!(code);
            }
            let ask = app.anonymous().post("/jwt").field("Accept", accept);
            let answer = ask.json(body.to_string()).send().await;
            if (*name, *password) == ("acme/bob", PASSWORD) {
                assert_eq!(answer.status, 200, "a code from who has none is ignored");
                continue;
            }
            assert_eq!(answer.status, 401, "{name} {password} {code:?}");
            told.insert(answer.told());
            app.database.execute("DELETE FROM attempts").await;
        }
        assert_eq!(told.len(), 1, "{told:#?}");
    }
    // None of that has used anything up.
    assert_eq!(log_in(&app, "acme/ann", PASSWORD, &next).await.status, 200);
    assert_eq!(log_in(&app, "acme/ann", PASSWORD, &ann.recovery_codes[1]).await.status, 200);
}

#[tokio::test]
async fn a_recovery_code_stands_for_a_code_once_and_new_ones_end_the_old() {
    let app = org().await;
    let ann = enrol(&app, "acme/ann").await;
    let bob = enrol(&app, "acme/bob").await;
    let code = &ann.recovery_codes[3];
    assert_eq!(log_in(&app, "acme/bob", PASSWORD, code).await.status, 401, "it is Ann's");
    let typed = code.to_uppercase().replace('-', " ");
    assert_eq!(log_in(&app, "acme/ann", PASSWORD, &typed).await.status, 200);
    assert_eq!(log_in(&app, "acme/ann", PASSWORD, code).await.status, 401);
    assert_eq!(state(&ann.actor).await["recovery_codes"], 9);

    let made = ann.actor.post("/me/totp/recovery-codes").send().await;
    let new = codes(&made);
    assert_eq!((made.status, new.len()), (200, 10));
    assert!(new.iter().all(|code| !ann.recovery_codes.contains(code)));
    assert_eq!(state(&ann.actor).await["recovery_codes"], 10);
    let old = &ann.recovery_codes[4];
    assert_eq!(log_in(&app, "acme/ann", PASSWORD, old).await.status, 401);
    assert_eq!(log_in(&app, "acme/ann", PASSWORD, &new[0]).await.status, 200);
    assert_eq!(state(&bob.actor).await["recovery_codes"], 10, "nobody else's");
    let root = app.user("acme/root").await;
    assert_eq!(root.post("/me/totp/recovery-codes").send().await.status, 409, "none is on");
}

#[tokio::test]
async fn neither_secret_nor_recovery_codes_can_be_read_in_the_database() {
    let app = org().await;
    let caller = app.user("acme/ann").await;
    let secret = caller.post("/me/totp").send().await.json()["secret"].as_str().unwrap().to_owned();
    let ann = {
        let code = Authenticator::of(&secret).code_at(app.clock.seconds());
        let body = json!({ "code": code }).to_string();
        codes(&caller.post("/me/totp/confirm").json(body).send().await)
    };
    let texts = "SELECT totp_secret FROM users WHERE totp_secret IS NOT NULL \
                 UNION ALL SELECT code_hash FROM recovery_codes UNION ALL SELECT detail FROM audit";
    let kept = app.database.texts(texts).await;
    assert!(kept.len() > 11 && kept.iter().any(|text| text.starts_with("v1.")), "{kept:?}");
    let mut forbidden: Vec<Vec<u8>> = vec![secret.clone().into_bytes()];
    forbidden.extend(ann.iter().map(|code| code.clone().into_bytes()));
    forbidden.extend(ann.iter().map(|code| code.replace('-', "").into_bytes()));
    let mut stored: Vec<Vec<u8>> = kept.into_iter().map(String::into_bytes).collect();
    if !is_postgres() {
        forbidden.push(raw(&secret));
        for file in std::fs::read_dir(app.database.folder.path()).unwrap() {
            stored.push(std::fs::read(file.unwrap().path()).unwrap());
        }
    }
    for secret in &forbidden {
        for bytes in &stored {
            assert!(!bytes.windows(secret.len()).any(|window| window == secret));
        }
    }
}

fn raw(base32: &str) -> Vec<u8> {
    let bits: String = base32
        .bytes()
        .map(|b| if b.is_ascii_digit() { b - b'2' + 26 } else { b - b'A' })
        .map(|value| format!("{value:05b}"))
        .collect();
    bits.as_bytes()
        .chunks_exact(8)
        .map(|byte| u8::from_str_radix(std::str::from_utf8(byte).unwrap(), 2).unwrap())
        .collect()
}

#[tokio::test]
async fn a_secret_that_another_key_sealed_is_worth_nothing_and_a_recovery_code_still_lets_in() {
    let app = org().await;
    let ann = enrol(&app, "acme/ann").await;
    let code = ann.app.code_at(app.clock.seconds() + 30);
    // As `stipend key change-root --lost` leaves it.
    let other = Sealer::new(&Secret::new("another-key-Xq7-of-more-than-32-bytes!".into())).unwrap();
    let sealed = other.seal("totp:acme/ann", ann.app.secret(), &SystemEntropy::new()).unwrap();
    let seal = async |sealed: &str| {
        let sql = format!("UPDATE users SET totp_secret = '{sealed}' WHERE username = 'ann'");
        app.database.execute(&sql).await;
    };
    for unreadable in [sealed.as_str(), "", "v1.AAAA"] {
        seal(unreadable).await;
        assert_eq!(log_in(&app, "acme/ann", PASSWORD, &code).await.status, 401);
        assert_eq!(app.anonymous().log_in("acme/ann", PASSWORD).await.status, 401);
        app.database.execute("DELETE FROM attempts").await;
    }
    assert_eq!(log_in(&app, "acme/ann", PASSWORD, &ann.recovery_codes[0]).await.status, 200);
    // The same secret under the server's own sealer is right: nothing else was wrong with it.
    let sealer = &app.auth().sealer;
    let own = sealer.seal("totp:acme/ann", ann.app.secret(), &SystemEntropy::new()).unwrap();
    seal(&own).await;
    assert_eq!(log_in(&app, "acme/ann", PASSWORD, &code).await.status, 200);
}

#[tokio::test]
async fn another_users_sealed_secret_is_worth_nothing() {
    let app = org().await;
    let (ann, bob) = (enrol(&app, "acme/ann").await, enrol(&app, "acme/bob").await);
    app.database
        .execute(
            "UPDATE users SET totp_secret = (SELECT b.totp_secret FROM users b \
             WHERE b.org = 'acme' AND b.username = 'bob') WHERE org = 'acme' AND username = 'ann'",
        )
        .await;
    for authenticator in [&ann.app, &bob.app] {
        let code = authenticator.code_at(app.clock.seconds() + 30);
        assert_eq!(log_in(&app, "acme/ann", PASSWORD, &code).await.status, 401);
    }
}

#[tokio::test]
async fn turning_it_off_takes_the_password_and_a_code() {
    let app = org().await;
    set_password(&app, "ann", LONG).await;
    let ann = enrol_with(&app, "acme/ann", LONG).await;
    let code = ann.app.code_at(app.clock.seconds() + 30);
    let used = ann.app.code_at(app.clock.seconds());
    for (password, code) in
        [("wrong", code.as_str()), (LONG, "000000"), (LONG, used.as_str()), (LONG, "")]
    {
        let answer = turn_off(&ann.actor, password, code).await;
        assert_eq!(answer.status, 403, "{answer:?}");
        assert_eq!(answer.json()["detail"], "the password or the code is wrong");
    }
    assert_eq!(state(&ann.actor).await["on"], true);
    assert_eq!(turn_off(&ann.actor, LONG, &code).await.status, 204);
    assert_eq!(
        state(&ann.actor).await,
        json!({ "on": false, "recovery_codes": 0, "demanded": false })
    );
    assert_eq!(app.anonymous().log_in("acme/ann", LONG).await.status, 200);
    assert_eq!(turn_off(&ann.actor, LONG, &code).await.status, 409, "it is off");

    let bob = enrol(&app, "acme/bob").await;
    let short = turn_off(&bob.actor, PASSWORD, &bob.recovery_codes[0]).await;
    assert_eq!(short.status, 409, "{short:?}");
    assert!(short.text().contains("15 characters"), "{short:?}");
    let still = log_in(&app, "acme/bob", PASSWORD, &bob.recovery_codes[0]).await;
    assert_eq!(still.status, 200, "nothing was used up");
    set_password(&app, "bob", LONG).await;
    assert_eq!(turn_off(&bob.actor, LONG, &bob.recovery_codes[1]).await.status, 204);
}

#[tokio::test]
async fn r51_a_second_factor_is_changed_only_by_who_signed_in_lately_and_by_no_script() {
    let app = org().await;
    let ann = enrol(&app, "acme/ann").await;
    let body = json!({ "password": PASSWORD, "code": ann.recovery_codes[0] }).to_string();
    let asks = || {
        [
            ann.actor.post("/me/totp"),
            ann.actor.post("/me/totp/confirm").json(r#"{"code":"1"}"#),
            ann.actor.post("/me/totp/recovery-codes"),
            ann.actor.delete("/me/totp").json(&body),
        ]
    };
    app.database.execute("UPDATE sessions SET kind = 'machine', name = 'x'").await;
    for ask in asks() {
        assert_eq!(ask.send().await.status, 403, "a script is nobody to ask that of");
    }
    app.database.execute("UPDATE sessions SET kind = 'login', name = NULL").await;
    app.clock.advance(Duration::from_secs(901));
    for ask in asks() {
        let answer = ask.send().await;
        let challenge = answer.field("WWW-Authenticate").unwrap();
        assert!(challenge.contains("insufficient_user_authentication"), "{answer:?}");
    }
    assert_eq!(state(&ann.actor).await, json!({"on":true,"recovery_codes":10,"demanded":false}));
}

#[tokio::test]
async fn an_administrator_takes_it_off_who_has_lost_it() {
    let app = org().await;
    app.add_grant("acme", "bob", "manage", "user:ann").await;
    app.add_grant("acme", "ann", "read", "org").await;
    let (root, bob) = (app.user("acme/root").await, app.user("acme/bob").await);
    let ann = enrol(&app, "acme/ann").await;
    let more = bob.delete("/users/ann/totp").send().await;
    assert_eq!(more.status, 403, "Ann holds more than Bob: {more:?}");
    assert_eq!(bob.delete("/users/root/totp").send().await.status, 404, "out of reach");
    assert_eq!(ann.actor.delete("/users/ann/totp").send().await.status, 403, "not by herself");
    assert_eq!(root.delete("/users/nobody/totp").send().await.status, 404);
    assert_eq!(root.delete("/users/bob/totp").send().await.status, 409, "Bob has none");

    assert_eq!(root.delete("/users/ann/totp").send().await.status, 204);
    assert_eq!(ann.actor.get("/me").send().await.status, 401, "signed out everywhere");
    let last = "SELECT actor || ' ' || action || ' ' || subjects FROM audit \
                ORDER BY record_id DESC LIMIT 1";
    assert_eq!(app.database.texts(last).await, [r#"root reset_second_factor ["ann"]"#]);
    let again = app.user("acme/ann").await;
    assert_eq!(state(&again).await["on"], false);
    let pay = again.read_pay().await;
    assert_eq!(pay.status, 403, "{pay:?}");
    assert!(pay.text().contains("Change your password first"), "it may be too short alone");
    assert_eq!(log_in(&app, "acme/ann", PASSWORD, &ann.recovery_codes[0]).await.status, 200);
    let left = "SELECT COUNT(*) FROM recovery_codes";
    assert_eq!(app.database.number(left).await, 0);
}

#[tokio::test]
async fn an_administrator_turns_their_own_off_with_password_and_code_like_everybody() {
    let app = org().await;
    let root = enrol(&app, "acme/root").await;
    let refused = root.actor.delete("/users/root/totp").send().await;
    assert_eq!(refused.status, 409, "{refused:?}");
    assert!(refused.text().contains("DELETE /me/totp"), "{refused:?}");
    assert_eq!(state(&root.actor).await["on"], true);
}

#[tokio::test]
async fn r41_no_short_password_is_left_alone_by_a_change_at_the_moment_of_turning_it_off() {
    let app = org().await;
    set_password(&app, "ann", LONG).await;
    let ann = enrol_with(&app, "acme/ann", LONG).await;
    app.clock.advance(STEP);
    let code = ann.app.code_at(app.clock.seconds());
    let (off, changed) =
        join!(turn_off(&ann.actor, LONG, &code), ann.actor.change_password(LONG, "kx7!pw2q"),);
    let statuses = (off.status, changed.status);
    assert!(matches!(statuses, (204, 400) | (403, 204)), "{off:?} {changed:?}");
}

#[tokio::test]
async fn who_signs_in_while_a_second_factor_is_turned_on_or_off_is_asked_again() {
    let app = org().await;
    let ann = enrol(&app, "acme/ann").await;
    let account = stipend::domain::Account::parse("acme/ann", &org_name("acme")).unwrap();
    let mut tx = app.auth().db.begin().await.unwrap();
    // What a login asks again inside of its transaction.
    use stipend::store::factors;
    use stipend::store::users::{self, HasSecondFactor};
    let hash = users::find(tx.access(), &account).await.unwrap().unwrap().password_hash;
    let held = users::hold(tx.access(), &account, &hash).await.unwrap();
    assert_eq!(held, Some(HasSecondFactor(true)));
    assert!(!factors::use_step(tx.access(), &account, "v1.another", i64::MAX).await.unwrap());
    assert!(factors::hold(tx.access(), &account).await.unwrap());
    assert!(factors::turn_off(tx.access(), &account).await.unwrap());
    let held = users::hold(tx.access(), &account, &hash).await.unwrap();
    assert_eq!(held, Some(HasSecondFactor(false)));
    assert_eq!(users::hold(tx.access(), &account, "another").await.unwrap(), None);
    assert!(!factors::hold(tx.access(), &account).await.unwrap());
    assert!(!factors::turn_off(tx.access(), &account).await.unwrap());
    drop(tx);
    assert_eq!(state(&ann.actor).await["on"], true, "nothing was committed");
}

fn org_name(text: &str) -> stipend::domain::OrgName {
    stipend::domain::OrgName::parse(text).unwrap()
}

#[tokio::test]
async fn r81_every_change_of_a_second_factor_and_its_use_is_on_record() {
    let app = org().await;
    set_password(&app, "ann", LONG).await;
    let ann = enrol_with(&app, "acme/ann", LONG).await;
    let recovery = codes(&ann.actor.post("/me/totp/recovery-codes").send().await);
    let timed = ann.app.code_at(app.clock.seconds() + 30);
    assert_eq!(log_in(&app, "acme/ann", LONG, &timed).await.status, 200);
    assert_eq!(log_in(&app, "acme/ann", LONG, &recovery[0]).await.status, 200);
    assert_eq!(turn_off(&ann.actor, LONG, &recovery[1]).await.status, 204);
    let records = "SELECT actor || ' ' || action || ' ' || subjects || ' ' || detail FROM audit \
                   WHERE actor = 'ann' ORDER BY record_id";
    assert_eq!(
        app.database.texts(records).await,
        [
            r#"ann log_in ["ann"] {}"#,
            r#"ann make_second_factor ["ann"] {}"#,
            r#"ann turn_on_second_factor ["ann"] {}"#,
            r#"ann make_recovery_codes ["ann"] {}"#,
            r#"ann log_in ["ann"] {"second_factor":"totp"}"#,
            r#"ann log_in ["ann"] {"second_factor":"recovery_code"}"#,
            r#"ann turn_off_second_factor ["ann"] {}"#,
        ]
    );
}
