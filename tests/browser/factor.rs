//! The second factor on the page: turned on, used at a sign-in, turned off.

use serde_json::json;

use crate::browser::Key;
use crate::page::Page;
use crate::support::authenticator::Authenticator;

const COLLECT_VIOLATIONS: &str = "window.violations = [];
    addEventListener('securitypolicyviolation', (event) => violations.push(event.violatedDirective));";

fn now() -> i64 {
    let since = std::time::SystemTime::UNIX_EPOCH.elapsed().unwrap();
    i64::try_from(since.as_secs()).unwrap()
}

/// Opens the account view and waits for one of its states.
#[track_caller]
fn open_account(page: &Page, state: &str) {
    page.browser.click("#open-account");
    page.wait_for(state);
}

/// Turns a second factor on, up to the recovery codes, which it gives.
#[track_caller]
fn turn_on(page: &Page) -> (Authenticator, Vec<String>) {
    page.browser.click("#factor-turn-on");
    page.wait_for("#factor-start");
    let app = Authenticator::of(&page.text("#factor-secret").replace(' ', ""));
    page.browser.fill("#factor-code", &app.code_at(now()));
    page.browser.press(Key::Enter);
    page.wait_for("#factor-codes");
    let codes = page.browser.run(
        "return [...document.querySelectorAll('#factor-list li')].map((li) => li.textContent)",
    );
    (app, serde_json::from_value(codes).unwrap())
}

#[track_caller]
fn sign_in_with(page: &Page, code: &str) {
    page.browser.fill("#username", "twilio");
    page.browser.fill("#password", "ahoy");
    page.browser.fill("#code", code);
    page.browser.click("#submit");
}

#[tokio::test]
async fn r70_a_second_factor_is_turned_on_and_asked_for_at_the_next_sign_in() {
    let Some(page) = Page::open_with_script(COLLECT_VIOLATIONS).await else { return };
    page.sign_in();
    open_account(&page, "#factor-off");
    page.assert_holds_no_pay();
    page.browser.screenshot("factor-off");
    page.browser.click("#factor-turn-on");
    page.wait_for("#factor-start");
    page.browser.screenshot("factor-start");
    let drawn = page.browser.run(
        "const path = document.querySelector('#factor-qr path').getBBox();
         const box = document.getElementById('factor-qr').viewBox.baseVal;
         return [path.x, path.y, path.width + 8 === box.width, path.height + 8 === box.height,
                 path.width > 20 && (path.width - 17) % 4 === 0]",
    );
    assert_eq!(drawn, json!([0, 0, true, true, true]), "a QR code and its margin");
    let link = page.browser.run("return document.getElementById('factor-link').href");
    let secret = page.text("#factor-secret").replace(' ', "");
    assert!(link.as_str().unwrap().starts_with("otpauth://totp/"), "{link}");
    assert!(link.as_str().unwrap().contains(&format!("?secret={secret}&")), "{link}");

    page.browser.fill("#factor-code", "000000");
    page.browser.press(Key::Enter);
    page.wait_for("#factor-error[role=alert]");
    assert!(page.text("#factor-error").contains("not the code that the app shows"));
    let wrong = page.browser.run(
        "const at = document.activeElement;
         return [at.id, at.getAttribute('aria-invalid'), at.getAttribute('aria-describedby')]",
    );
    assert_eq!(wrong, json!(["factor-code", "true", "factor-error"]));
    page.browser.screenshot("factor-wrong-code");

    let app = Authenticator::of(&secret);
    page.browser.fill("#factor-code", &app.code_at(now()));
    page.browser.press(Key::Enter);
    page.wait_for("#factor-codes");
    assert!(!page.shows("#factor-error"));
    page.browser.screenshot("factor-codes");
    let codes = page.browser.run(
        "return [...document.querySelectorAll('#factor-list li')].map((li) => li.textContent)",
    );
    let codes: Vec<String> = serde_json::from_value(codes).unwrap();
    assert_eq!(codes.len(), 10);
    let everything = page.everything();
    assert!(!everything.contains(&secret), "the secret is shown once");
    page.browser.click("#factor-done");
    page.wait_for("#factor-on");
    assert!(page.text("#factor-on").contains("It is on, and 10 recovery codes are left."));
    assert!(!page.everything().contains(&codes[0]), "so are the codes");
    page.browser.screenshot("factor-on");

    page.browser.click("#sign-out");
    page.browser.wait_until("notice.textContent === 'You have signed out.'");
    page.submit("twilio", "ahoy");
    page.wait_for("#sign-in-error[role=alert]");
    assert_eq!(page.text("#sign-in-error"), "User name, password or code is incorrect.");
    sign_in_with(&page, &app.code_at(now() + 30));
    page.wait_for("#pay tbody tr");
    page.browser.click("#sign-out");
    page.browser.wait_until("notice.textContent === 'You have signed out.'");
    sign_in_with(&page, &codes[0].to_uppercase());
    page.wait_for("#pay tbody tr");
    open_account(&page, "#factor-on");
    assert!(page.text("#factor-on").contains("9 recovery codes are left"));
    assert_eq!(page.browser.run("return violations"), json!([]));
}

#[tokio::test]
async fn it_is_turned_off_by_password_and_code_and_nothing_secret_stays_behind() {
    let Some(page) = Page::open().await else { return };
    page.sign_in();
    open_account(&page, "#factor-off");
    let (_, codes) = turn_on(&page);
    // Whoever signs out or goes elsewhere leaves no code behind.
    page.browser.click("#back-to-pay");
    page.wait_for("#pay tbody tr");
    assert!(!page.everything().contains(&codes[0]));
    open_account(&page, "#factor-on");
    page.browser.click("#factor-renew");
    page.wait_for("#factor-codes");
    assert!(page.text("#factor-status").contains("the old ones are worth nothing"));
    let new = page.text("#factor-list li");
    assert!(!codes.contains(&new));
    page.browser.click("#factor-done");
    page.wait_for("#factor-on");

    page.browser.fill("#factor-password", "ahoy");
    page.browser.click("#factor-turn-off [type=submit]");
    page.wait_for("#factor-error");
    assert_eq!(page.text("#factor-error"), "Type your password and a code.");
    page.browser.fill("#factor-off-code", &codes[1]);
    page.browser.press(Key::Enter);
    page.browser.wait_until("document.getElementById('factor-error').textContent.includes('password or the code is wrong')");
    page.browser.fill("#factor-off-code", &new);
    page.browser.press(Key::Enter);
    page.browser.wait_until(
        "document.getElementById('factor-error').textContent.includes('15 characters')",
    );

    page.browser.click("#sign-out");
    page.browser.wait_until("notice.textContent === 'You have signed out.'");
    for secret in ["ahoy", new.as_str(), codes[1].as_str()] {
        assert!(!page.everything().contains(secret), "{secret}");
    }
}

#[tokio::test]
async fn a_sign_in_that_is_too_long_ago_is_said_and_the_page_goes_on() {
    let Some(page) = Page::open().await else { return };
    page.sign_in();
    open_account(&page, "#factor-off");
    page.server.database.execute("UPDATE sessions SET created_at = created_at - 1000000").await;
    page.browser.click("#factor-turn-on");
    page.wait_for("#factor-error[role=alert]");
    assert!(page.text("#factor-error").contains("Sign out, and in again."));
    assert!(page.shows("#factor-off"));
    page.server.database.execute("UPDATE sessions SET ended_at = 1").await;
    page.browser.click("#factor-turn-on");
    page.browser.wait_until("notice.textContent.includes('Your session has ended')");
}

#[tokio::test]
async fn the_account_view_fits_320_pixels_and_works_by_keyboard_alone() {
    let Some(page) = Page::open().await else { return };
    page.browser.resize(320, 640);
    page.sign_in();
    let assert_fits = |state: &str| {
        let widths = page.browser.run(
            "const { scrollWidth, clientWidth } = document.documentElement;
             return [scrollWidth, clientWidth]",
        );
        assert!(widths[0].as_u64() <= widths[1].as_u64(), "{state}: {widths}");
        page.browser.screenshot(&format!("narrow-{state}"));
    };
    open_account(&page, "#factor-off");
    assert_eq!(page.browser.run("return document.activeElement.id"), json!("account-title"));
    assert_fits("factor-off");
    let tab_to = |id: &str| {
        for _ in 0..20 {
            page.browser.press(Key::Tab);
            if page.browser.run("return document.activeElement.id") == json!(id) {
                return;
            }
        }
        panic!("the focus never comes to {id}");
    };
    tab_to("factor-turn-on");
    page.browser.press(Key::Enter);
    page.wait_for("#factor-start");
    assert_eq!(page.browser.run("return document.activeElement.id"), json!("factor-code"));
    assert_fits("factor-start");
    let app = Authenticator::of(&page.text("#factor-secret").replace(' ', ""));
    page.browser.type_text(&app.code_at(now()));
    page.browser.press(Key::Enter);
    page.wait_for("#factor-codes");
    assert_fits("factor-codes");
    tab_to("factor-done");
    page.browser.press(Key::Enter);
    page.wait_for("#factor-on");
    assert_fits("factor-on");
    page.browser.devtools(
        "Emulation.setEmulatedMedia",
        &json!({ "features": [{ "name": "prefers-color-scheme", "value": "dark" }] }),
    );
    page.browser.resize(1100, 900);
    page.browser.screenshot("factor-on-dark");
    page.browser.click("#factor-renew");
    page.wait_for("#factor-codes");
    page.browser.screenshot("factor-codes-dark");
}
