//! The account: choosing a password of one's own.

use serde_json::json;

use crate::browser::Key;
use crate::page::Page;

const NEW: &str = "purple otters play violins";
const LIVE_SESSIONS: &str = "SELECT COUNT(*) FROM sessions WHERE ended_at IS NULL";

/// Adds `ann`, whose password is the demo user's, and who must have changed it at some time.
async fn add_ann(page: &Page, password_expires_at: &str) {
    let user = format!(
        "INSERT INTO users (org, username, password_hash, password_expires_at, demo, created_at) \
         SELECT org, 'ann', password_hash, {password_expires_at}, 0, 0 FROM users"
    );
    page.server.database.execute(&user).await;
    let grant = "INSERT INTO grants (org, grant_id, username, permission, reach_kind, reason, \
                                     granted_by, granted_at) \
                 VALUES ('twilio', 'g', 'ann', 'read', 'org', 'test', 'test', 0)";
    page.server.database.execute(grant).await;
}

impl Page {
    #[track_caller]
    fn change_password(&self, old: &str, new: &str) {
        self.browser.fill("#old-password", old);
        self.browser.fill("#new-password", new);
        self.browser.click("#change");
    }

    /// Which field has the focus and says what is wrong, and the sentence.
    fn refusal(&self) -> (String, String) {
        self.wait_for("#change-error[role=alert]");
        let field = self.browser.run(
            "const at = document.activeElement;
             const says = at.getAttribute('aria-describedby').split(' ');
             return at.ariaInvalid === 'true' && says.includes('change-error') && at.id",
        );
        (field.as_str().unwrap_or_default().to_owned(), self.text("#change-error"))
    }
}

#[tokio::test]
async fn r42_a_password_that_was_made_is_changed_before_anything_else() {
    let Some(page) = Page::open().await else { return };
    add_ann(&page, "4102444800000").await;
    page.submit("ann", "ahoy");
    page.wait_for("#account-view");
    assert_eq!(page.text("#account-title"), "Choose your own password");
    assert!(page.text("#change-why").contains("2100"), "{}", page.text("#change-why"));
    assert!(!page.shows("#close-account") && !page.shows("#open-account") && !page.shows("#pay"));
    assert_eq!(page.browser.run("return document.activeElement.id"), json!("account-title"));
    page.browser.screenshot("one-time");

    page.change_password("ahoy", "HappilyEverAfter");
    let (field, says) = page.refusal();
    assert_eq!(field, "new-password");
    assert!(says.starts_with("This is a common password, and so guessed first;"), "{says}");
    page.browser.screenshot("one-time-refused");
    page.change_password("ahoy!", NEW);
    page.browser.wait_until("!document.getElementById('change-error').hidden && document.getElementById('old-password').value === ''");
    assert_eq!(page.refusal(), ("old-password".into(), "This is not your password.".into()));
    page.change_password("", NEW);
    let (field, says) = page.refusal();
    assert_eq!(
        (field.as_str(), says.as_str()),
        ("old-password", "Type the old password and the new one.")
    );

    page.change_password("ahoy", NEW);
    page.wait_for("#pay tbody tr");
    assert_eq!(page.rows(), ["jdoe $2000.00", "mturner $2500.00"]);
    assert!(page.shows("#open-account") && !page.shows("#account-view"));
    let everything = page.everything();
    assert!(!everything.contains(NEW) && !everything.contains("ahoy"), "{everything}");
    let console = page.browser.console();
    let refused =
        |line: &&String| !line.contains("status of 400") && !line.contains("status of 403");
    assert_eq!(console.iter().filter(refused).count(), 0, "{console:?}");

    page.browser.click("#sign-out");
    page.browser.wait_until("notice.textContent === 'You have signed out.'");
    page.submit("ann", NEW);
    page.wait_for("#pay tbody tr");
}

#[tokio::test]
async fn r42_anybody_changes_their_password_and_is_signed_out_elsewhere() {
    let Some(page) = Page::open().await else { return };
    add_ann(&page, "NULL").await;
    page.submit("ann", "ahoy");
    page.wait_for("#pay tbody tr");
    let elsewhere = "INSERT INTO sessions (org, session_id, username, created_at, expires_at) \
                     VALUES ('twilio', 'elsewhere', 'ann', 0, 4102444800000)";
    page.server.database.execute(elsewhere).await;
    page.browser.click("#open-account");
    page.wait_for("#account-view");
    page.assert_holds_no_pay();
    assert_eq!(page.text("#account-title"), "Account");

    // By keyboard alone.
    let tab_to = |id: &str| {
        for _ in 0..10 {
            page.browser.press(Key::Tab);
            if page.browser.run("return document.activeElement.id") == json!(id) {
                return;
            }
        }
        panic!("the focus never comes to {id}");
    };
    tab_to("old-password");
    page.browser.type_text("ahoy");
    tab_to("new-password");
    page.browser.type_text(NEW);
    tab_to("reveal-new");
    page.browser.press(Key::Enter);
    let types = "return [document.getElementById('old-password').type,
                         document.getElementById('new-password').type,
                         document.getElementById('change-username').value]";
    assert_eq!(page.browser.run(types), json!(["text", "text", "ann"]));
    page.browser.screenshot("account");
    tab_to("change");
    page.browser.press(Key::Enter);
    page.wait_for("#account-notice");
    let says = "Your password is changed. You are signed out everywhere else.";
    assert_eq!(page.text("#account-notice"), says);
    assert_eq!(page.browser.run(types), json!(["password", "password", "ann"]));
    assert_eq!(page.server.database.number(LIVE_SESSIONS).await, 1);
    assert!(!page.everything().contains(NEW));
    page.browser.click("#close-account");
    page.wait_for("#pay tbody tr");
}

#[tokio::test]
async fn what_was_typed_is_gone_with_whoever_typed_it_and_an_old_sign_in_leads_to_a_new_one() {
    let Some(page) = Page::open().await else { return };
    page.sign_in();
    page.browser.click("#open-account");
    page.browser.fill("#old-password", "ahoy");
    page.browser.fill("#new-password", NEW);
    page.browser.click("#close-account");
    page.wait_for("#pay tbody tr");
    assert!(!page.everything().contains(NEW));

    page.browser.click("#open-account");
    page.server.database.execute("UPDATE sessions SET created_at = created_at - 1000000").await;
    page.change_password("ahoy", NEW);
    let says = "You signed in too long ago for this. Sign in again.";
    page.browser.wait_until(&format!("notice.textContent === '{says}'"));
    assert!(page.shows("#sign-in") && !page.shows("#account-view"));
    assert_eq!(page.server.database.number(LIVE_SESSIONS).await, 0);
    let everything = page.everything();
    assert!(!everything.contains(NEW) && !everything.contains("twilio"), "{everything}");
}

#[tokio::test]
async fn the_account_can_be_read_in_a_narrow_window_and_in_the_dark() {
    let Some(page) = Page::open().await else { return };
    page.browser.resize(320, 640);
    page.sign_in();
    page.browser.click("#open-account");
    page.change_password("ahoy", "twilio twilio twilio");
    page.wait_for("#change-error");
    let dark = json!({ "features": [{ "name": "prefers-color-scheme", "value": "dark" }] });
    for scheme in ["light", "dark"] {
        if scheme == "dark" {
            page.browser.devtools("Emulation.setEmulatedMedia", &dark);
        }
        let widths = page.browser.run(
            "const { scrollWidth, clientWidth } = document.documentElement;
             return [scrollWidth, clientWidth]",
        );
        assert!(widths[0].as_u64() <= widths[1].as_u64(), "{scheme}: {widths}");
        page.browser.screenshot(&format!("narrow-account-{scheme}"));
    }
    let autocomplete = page.browser.run(
        "return [...document.querySelectorAll('#change-password input')]
             .map((input) => input.autocomplete)",
    );
    assert_eq!(autocomplete, json!(["username", "current-password", "new-password"]));
}
