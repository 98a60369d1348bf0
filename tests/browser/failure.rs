//! What the page shows when there is no answer: why, and no row that could be taken for fresh.

use serde_json::json;

use crate::page::Page;

#[tokio::test]
async fn a_killed_server_leaves_no_row_and_a_retry_brings_them_back() {
    let Some(mut page) = Page::open().await else { return };
    page.sign_in();
    page.server.signal("KILL");
    page.server.wait();
    page.browser.click("#refresh");
    page.wait_for("#table-error[role=alert]");
    assert!(page.text("#table-error").contains("The server cannot be reached."));
    page.assert_holds_no_pay();
    assert!(!page.shows("#pay") && !page.shows("#recorded"));
    page.browser.screenshot("no-server");

    let port = page.server.address.port().to_string();
    page.server = page.server.kill_and_restart(&[("ROCKET_PORT", &port)]);
    page.browser.click("#retry");
    page.wait_for("#pay tbody tr");
    assert_eq!(page.rows(), ["jdoe $2000.00", "mturner $2500.00"]);
    assert!(!page.shows("#table-error"));
}

#[tokio::test]
async fn no_row_is_shown_while_the_audit_trail_cannot_be_written() {
    let Some(page) = Page::open().await else { return };
    page.sign_in();
    page.server.database.execute("ALTER TABLE audit_records RENAME TO gone").await;
    page.browser.click("#refresh");
    page.wait_for("#table-error[role=alert]");
    page.assert_holds_no_pay();
    assert!(!page.shows("#pay") && !page.shows("#recorded"));
    assert!(page.text("#table-error").contains("could not be recorded"));
    page.browser.screenshot("no-audit");

    page.server.database.execute("ALTER TABLE gone RENAME TO audit_records").await;
    page.browser.wait_until("retry.getAttribute('aria-disabled') === 'false'");
    page.browser.click("#retry");
    page.wait_for("#pay tbody tr");
    assert_eq!(page.rows().len(), 2);
    assert!(page.shows("#recorded"));
}

#[tokio::test]
async fn nobody_is_signed_in_while_the_audit_trail_cannot_be_written() {
    let Some(page) = Page::open().await else { return };
    page.server.database.execute("ALTER TABLE audit_records RENAME TO gone").await;
    page.submit("twilio", "ahoy");
    page.wait_for("#sign-in-error[role=alert]");
    assert!(page.shows("#sign-in") && !page.shows("#table-view"));
    assert_eq!(page.server.database.number("SELECT COUNT(*) FROM sessions").await, 0);

    page.server.database.execute("ALTER TABLE gone RENAME TO audit_records").await;
    page.browser.wait_until("submit.getAttribute('aria-disabled') === 'false'");
    assert_eq!(page.browser.run("return username.value"), json!("twilio"), "nothing is lost");
    page.browser.click("#submit");
    page.wait_for("#pay tbody tr");
}
