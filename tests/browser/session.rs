//! Signing in, signing out, and where the token is meanwhile.

use serde_json::json;

use crate::page::Page;

const LIVE_SESSIONS: &str = "SELECT COUNT(*) FROM sessions WHERE ended_at IS NULL";
const ALL_SESSIONS: &str = "SELECT COUNT(*) FROM sessions";

#[tokio::test]
async fn signing_in_shows_exactly_the_rows_that_a_grant_gives() {
    let Some(page) = Page::open().await else { return };
    assert!(!page.shows("#table-view"));
    page.browser.screenshot("sign-in");
    page.sign_in();
    assert_eq!(page.rows(), ["jdoe $2000.00", "mturner $2500.00"]);
    assert_eq!(page.text("#count"), "2 of 2 people");
    assert_eq!(page.text("#who"), "twilio");
    assert!(!page.shows("#sign-in"));
    page.browser.screenshot("table");
}

#[tokio::test]
async fn a_wrong_password_is_announced_and_clears_nothing_but_the_password() {
    let Some(page) = Page::open().await else { return };
    page.submit("twilio", "ahoy!");
    page.wait_for("#sign-in-error[role=alert]");
    assert_eq!(page.text("#sign-in-error"), "User name, password or code is incorrect.");
    let fields = page.browser.run(
        "return [username.value, password.value, password.type, document.activeElement.id,
                 password.getAttribute('aria-invalid'),
                 document.getElementById(password.getAttribute('aria-describedby')).innerText]",
    );
    let says = page.text("#sign-in-error");
    assert_eq!(fields, json!(["twilio", "", "password", "password", "true", says]));
    page.browser.screenshot("wrong-password");

    page.browser.fill("#password", "ahoy");
    page.browser.click("#submit");
    page.wait_for("#pay tbody tr");
    assert!(!page.shows("#sign-in-error"));
}

#[tokio::test]
async fn after_too_many_failures_the_page_says_how_long_to_wait_and_keeps_what_is_typed() {
    let Some(page) = Page::open().await else { return };
    let form = "Content-Type: application/x-www-form-urlencoded";
    for _ in 0..5 {
        let wrong = "username=twilio&password=wrong";
        assert_eq!(page.server.request("POST", "/jwt", &[form], wrong).status, 401);
    }
    // As if there had been two more, so that the wait is four seconds.
    let two_more = "UPDATE attempts SET faded_at = faded_at + 2 * 3600000 \
                    WHERE faded_at - failed_at > 3600000";
    page.server.database.execute(two_more).await;
    page.submit("twilio", "ahoy");
    page.wait_for("#sign-in-error[role=alert]");
    assert_eq!(
        page.text("#sign-in-error"),
        "Too many sign-ins have failed, with this user name or from your network. \
         Your password was not looked at."
    );
    let says = page.text("#submit");
    assert!(says.starts_with("Try again in ") && says.ends_with(" s"), "{says}");
    let fields = "return [username.value, password.value, submit.getAttribute('aria-disabled')]";
    assert_eq!(page.browser.run(fields), json!(["twilio", "ahoy", "true"]));
    page.browser.screenshot("throttled");

    page.browser.wait_until("submit.getAttribute('aria-disabled') === 'false'");
    page.browser.click("#submit");
    page.wait_for("#pay tbody tr");
}

#[tokio::test]
async fn an_empty_field_is_named_without_asking_the_server() {
    let Some(page) = Page::open().await else { return };
    page.submit("twilio", "");
    page.wait_for("#sign-in-error[role=alert]");
    assert_eq!(page.browser.run("return document.activeElement.id"), json!("password"));
    let asked = page.browser.run(
        "return performance.getEntriesByType('resource').map((entry) => entry.name)
             .filter((name) => name.endsWith('/jwt'))",
    );
    assert_eq!(asked, json!([]));
}

#[tokio::test]
async fn signing_out_ends_the_session_on_the_server_and_clears_the_page() {
    let Some(page) = Page::open().await else { return };
    page.sign_in();
    assert_eq!(page.server.database.number(LIVE_SESSIONS).await, 1);
    page.browser.click("#sign-out");
    page.browser.wait_until("notice.textContent === 'You have signed out.'");
    assert_eq!(page.server.database.number(LIVE_SESSIONS).await, 0);
    assert_eq!(page.server.database.number(ALL_SESSIONS).await, 1);
    assert!(page.shows("#sign-in") && !page.shows("#table-view"));
    page.assert_holds_no_pay();
    assert!(!page.everything().contains("twilio"), "the next person sees who was here");
}

#[tokio::test]
async fn a_session_that_was_ended_elsewhere_leads_back_to_the_sign_in() {
    let Some(page) = Page::open().await else { return };
    page.sign_in();
    page.server.database.execute("UPDATE sessions SET ended_at = created_at").await;
    page.browser.click("#refresh");
    page.wait_for("#notice[role=status]");
    assert_eq!(page.text("#notice"), "Your session has ended. Sign in again.");
    assert!(page.shows("#sign-in") && !page.shows("#table-view"));
    page.assert_holds_no_pay();
}

#[tokio::test]
async fn r74_the_token_is_in_memory_only() {
    let Some(page) = Page::open().await else { return };
    page.sign_in();
    let kept = page.browser.run(
        "return (async () => ({
             local: { ...localStorage },
             session: { ...sessionStorage },
             databases: await indexedDB.databases(),
             workers: (await navigator.serviceWorker.getRegistrations()).length,
             caches: await caches.keys(),
             cookie: document.cookie,
             name: window.name,
             history: history.state,
             path: location.pathname + location.search + location.hash,
             // What any script of the page could read from the global object.
             globals: Object.values(Object.getOwnPropertyDescriptors(window))
                 .filter(({ value }) => typeof value === 'string' && value.startsWith('eyJ')),
         }))()",
    );
    let nothing = json!({
        "local": {}, "session": {}, "databases": [], "workers": 0, "caches": [], "cookie": "",
        "name": "", "history": null, "path": "/", "globals": [],
    });
    assert_eq!(kept, nothing);
    assert_eq!(page.browser.cookies(), json!([]));
    // A JWT's header is an object, which begins so in base64url.
    assert!(!page.everything().contains("eyJ"));

    page.browser.reload();
    page.wait_for("#sign-in");
    page.assert_holds_no_pay();

    // A page that is gone may come back from the browser's memory, and must not bring pay along.
    page.sign_in();
    page.browser.go_to("about:blank");
    page.browser.go_back();
    page.wait_for("#sign-in");
    page.assert_holds_no_pay();
}
