//! Sessions and machine tokens on the page.

use serde_json::json;

use crate::browser::Key;
use crate::page::Page;

const LIVE: &str = "SELECT COUNT(*) FROM sessions WHERE ended_at IS NULL";

impl Page {
    /// Opens the view, and waits for what it shows.
    fn open_sessions(&self) {
        self.browser.click("#open-sessions");
        self.wait_for("#session-list li");
        self.wait_for("#make-token");
    }

    /// The sessions: name, tag and button of each.
    fn sessions(&self) -> Vec<String> {
        let rows = self.browser.run(
            "return [...document.querySelectorAll('#session-list li')].map((row) =>
                 ['bdi', '.tag', 'button'].map((css) => row.querySelector(css).textContent).join(' '))",
        );
        let mut rows: Vec<String> = serde_json::from_value(rows).unwrap();
        rows.sort();
        rows
    }
}

#[tokio::test]
async fn a_user_sees_what_is_open_and_ends_one_of_it() {
    let Some(page) = Page::open().await else { return };
    let other = page.server.log_in();
    page.sign_in();
    page.open_sessions();
    assert_eq!(page.sessions(), ["Sign-in  End", "Sign-in This session Sign out"]);
    assert_eq!(page.browser.run("return document.activeElement.id"), json!("sessions-title"));
    assert!(page.text("#session-list").contains("From 127.0.0.1 · opened "));
    assert!(!page.shows("#table-view"));
    page.browser.screenshot("sessions");

    page.browser.click("#session-list li:not(:has(.tag:not([hidden]))) button");
    page.wait_for("#sessions-notice");
    assert_eq!(page.text("#sessions-notice"), "Sign-in has ended.");
    assert_eq!(page.sessions(), ["Sign-in This session Sign out"]);
    assert_eq!(page.server.read_pay(&other).status, 401);

    page.browser.click("#close-sessions");
    assert!(page.shows("#pay tbody tr") && !page.shows("#sessions-view"));
    page.open_sessions();
    page.browser.click("#session-list button");
    page.browser.wait_until("notice.textContent === 'You have signed out.'");
    assert_eq!(page.server.database.number(LIVE).await, 0);
    page.assert_holds_no_pay();
}

#[tokio::test]
async fn a_token_is_made_shown_once_used_and_forgotten() {
    let Some(page) = Page::open().await else { return };
    page.sign_in();
    page.open_sessions();
    let boxes = "return [...document.querySelectorAll('#token-perms label')]
                     .filter((label) => label.checkVisibility()).map((label) => label.innerText.trim())";
    let held = json!(["See the pay that you may see"]);
    assert_eq!(page.browser.run(boxes), held, "only what the user holds");

    page.browser.click("#make-token-submit");
    page.wait_for("#make-token-error");
    assert_eq!(page.text("#make-token-error"), "Give the token a name.");
    page.browser.fill("#token-name", "Nightly Export");
    page.browser.press(Key::Enter);
    page.browser.wait_until(
        "document.querySelector('#make-token-error').innerText.includes('a name is 1 to 64')",
    );
    page.browser.fill("#token-name", "nightly");
    page.browser.press(Key::Enter);
    page.wait_for("#minted");
    assert_eq!(page.text("#minted-title"), "Your new token “nightly”");
    assert_eq!(page.browser.run("return document.activeElement.id"), json!("minted-title"));
    let token = page.browser.run("return document.getElementById('minted-token').value");
    let token = token.as_str().unwrap();
    assert_eq!(page.server.read_pay(token).status, 200);
    page.browser.wait_until("document.querySelectorAll('#session-list li').length === 2");
    assert_eq!(page.sessions(), ["Sign-in This session Sign out", "nightly Token End"]);
    assert!(page.text("#session-list").contains("sees pay"));
    page.browser.click("#copy-token");
    page.browser.wait_until("document.getElementById('copied').textContent !== ''");
    page.browser.screenshot("token");

    page.browser.click("#hide-token");
    assert!(!page.shows("#minted") && !page.everything().contains(token));
    let held = page.browser.run("return document.getElementById('minted-token').value");
    assert_eq!(held, json!(""));
    page.browser.fill("#token-name", "nightly");
    page.browser.press(Key::Enter);
    page.browser.wait_until(
        "document.querySelector('#make-token-error').innerText === 'the machine token nightly exists already.'",
    );
    page.browser.fill("#token-name", "second");
    page.browser.press(Key::Enter);
    page.wait_for("#minted");
    page.browser.click("#sign-out");
    page.browser.wait_until("notice.textContent === 'You have signed out.'");
    let held = page.browser.run("return document.getElementById('minted-token').value");
    assert_eq!(held, json!(""), "the next person does not find it");
    assert_eq!(page.server.read_pay(token).status, 200, "signing out is of one session");
}

#[tokio::test]
async fn signing_out_everywhere_asks_once_and_ends_everything() {
    let Some(page) = Page::open().await else { return };
    let other = page.server.log_in();
    page.sign_in();
    page.open_sessions();
    page.browser.click("#end-all");
    page.wait_for("#confirm-end-all");
    page.browser.screenshot("sign-out-everywhere");
    page.browser.press(Key::Enter);
    page.browser.wait_until("!document.getElementById('confirm-end-all').open");
    assert_eq!(page.server.database.number(LIVE).await, 2, "the first button keeps them");
    page.browser.click("#end-all");
    page.browser.click("#confirm-end");
    page.browser.wait_until("notice.textContent.startsWith('You have signed out everywhere')");
    assert_eq!(page.server.database.number(LIVE).await, 0);
    assert_eq!(page.server.read_pay(&other).status, 401);
    assert!(page.sessions().is_empty() && !page.shows("#sessions-view"));
}

#[tokio::test]
async fn a_sign_in_of_long_ago_and_a_session_that_is_over_are_said() {
    let Some(page) = Page::open().await else { return };
    page.sign_in();
    page.server
        .database
        .execute("UPDATE sessions SET created_at = created_at - 3600000, expires_at = expires_at - 60000")
        .await;
    page.open_sessions();
    page.browser.fill("#token-name", "ci");
    page.browser.press(Key::Enter);
    page.wait_for("#make-token-error");
    assert!(page.text("#make-token-error").contains("too long ago"));
    page.server.database.execute("UPDATE sessions SET ended_at = created_at").await;
    page.browser.click("#make-token-submit");
    page.browser.wait_until("notice.textContent === 'Your session has ended. Sign in again.'");
    assert!(!page.shows("#sessions-view"));
}

#[tokio::test]
async fn r70_the_sessions_run_without_a_violation_and_fit_a_small_dark_window() {
    let script = "window.violations = [];
        addEventListener('securitypolicyviolation', (event) => violations.push(event.violatedDirective));";
    let Some(page) = Page::open_with_script(script).await else { return };
    page.browser.resize(320, 640);
    let dark = json!({ "features": [{ "name": "prefers-color-scheme", "value": "dark" }] });
    page.browser.devtools("Emulation.setEmulatedMedia", &dark);
    page.sign_in();
    page.open_sessions();
    page.browser.fill("#token-name", &"w".repeat(64));
    page.browser.press(Key::Enter);
    page.wait_for("#minted");
    page.browser.wait_until("document.querySelectorAll('#session-list li').length === 2");
    let fits = "const { scrollWidth, clientWidth } = document.documentElement;
                return scrollWidth === clientWidth";
    assert_eq!(page.browser.run(fits), json!(true), "it scrolls sideways");
    page.browser.screenshot("sessions-small-dark");
    page.browser.run("window.scrollTo(0, document.body.scrollHeight)");
    page.browser.screenshot("sessions-small-dark-end");
    page.browser.click("#sign-out");
    page.browser.wait_until("notice.textContent === 'You have signed out.'");
    assert_eq!(page.browser.run("return violations"), json!([]));
    assert_eq!(page.browser.console(), [""; 0]);
}
