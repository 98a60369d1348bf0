//! Who has seen my pay.

use serde_json::json;

use crate::page::Page;

async fn page_of_jdoe() -> Option<Page> {
    let page = Page::open().await?;
    for sql in [
        "INSERT INTO users (org, username, password_hash, demo, created_at) \
         SELECT 'twilio', 'jdoe', password_hash, demo, 0 FROM users WHERE username = 'twilio'",
        "INSERT INTO grants (org, grant_id, username, permission, reach_kind, reason, granted_by, granted_at) \
         VALUES ('twilio', 'g1', 'jdoe', 'read', 'own', '<b>their own</b>', 'test', 0)",
    ] {
        page.server.database.execute(sql).await;
    }
    Some(page)
}

fn looks(page: &Page) -> Vec<String> {
    let looks = page.browser.run(
        "return [...document.querySelectorAll('#readers li')]
             .map((item) => item.querySelector('.look-who').textContent + ' '
                 + item.querySelector('.look-what').textContent)",
    );
    serde_json::from_value(looks).unwrap()
}

#[tokio::test]
async fn an_employee_sees_who_has_seen_their_pay() {
    let Some(page) = page_of_jdoe().await else { return };
    let token = page.server.log_in();
    page.server.request("GET", "/pay/jdoe", &[&format!("Authorization: Bearer {token}")], "");
    for _ in 0..60 {
        page.server.read_pay(&token);
    }
    page.submit("jdoe", "ahoy");
    page.wait_for("#pay tbody tr");
    page.browser.click("#open-readers");
    page.wait_for("#readers li");
    assert_eq!(page.browser.run("return document.activeElement.id"), json!("readers-title"));
    let shown = looks(&page);
    assert_eq!(shown.len(), 50);
    assert_eq!(shown[0], "You saw it in a list");
    assert!(page.text("#readers li").contains("grant g1 over own (“<b>their own</b>”)"));
    assert_eq!(page.rows(), [""; 0], "no pay stays behind the view");
    page.browser.screenshot("readers");
    page.browser.click("#earlier");
    page.browser.wait_until("document.querySelectorAll('#readers li').length === 62");
    assert_eq!(looks(&page)[61], "twilio saw its history");
    assert!(!page.shows("#earlier"));
    assert_eq!(
        page.browser.run(
            "return [...document.querySelectorAll('#readers li')].indexOf(document.activeElement)"
        ),
        json!(50)
    );
    page.browser.click("#close-readers");
    page.wait_for("#pay tbody tr");
    assert_eq!(looks(&page), [""; 0]);
}

#[tokio::test]
async fn nobody_who_has_looked_is_said_as_it_is_and_a_failure_too() {
    let Some(page) = page_of_jdoe().await else { return };
    page.server
        .database
        .execute(
            "UPDATE grants SET reach_kind = 'user', reach_name = 'mturner' WHERE username = 'jdoe'",
        )
        .await;
    page.submit("jdoe", "ahoy");
    page.wait_for("#pay tbody tr");
    page.browser.click("#open-readers");
    page.wait_for("#no-readers");
    assert!(page.text("#no-readers").contains("Nobody has looked at your pay"));
    page.browser.screenshot("no-readers");
    page.browser.click("#close-readers");
    page.wait_for("#pay tbody tr");
    page.server.database.execute("ALTER TABLE audit_records RENAME TO gone").await;
    page.browser.click("#open-readers");
    page.wait_for("#readers-error");
    assert!(!page.shows("#no-readers"), "that is not said of what is not known");
    page.server.database.execute("ALTER TABLE gone RENAME TO audit_records").await;
    page.browser.wait_until(
        "document.getElementById('readers-retry').getAttribute('aria-disabled') === 'false'",
    );
    page.browser.click("#readers-retry");
    page.wait_for("#no-readers");
}
