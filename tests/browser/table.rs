//! The table: searching, sorting, asking again.

use serde_json::json;

use crate::page::Page;

const LOOKS: &str = "SELECT COUNT(*) FROM audit WHERE action = 'list_pay'";

#[tokio::test]
async fn searching_narrows_the_rows_and_says_how_many() {
    let Some(page) = Page::open().await else { return };
    page.sign_in();
    page.browser.fill("#search", "TURN");
    assert_eq!(page.rows(), ["mturner $2500.00"]);
    assert_eq!(page.text("#count"), "1 of 2 people");
    assert_eq!(page.browser.run("return count.getAttribute('role')"), json!("status"));

    page.browser.fill("#search", "nobody");
    assert_eq!(page.rows(), [""; 0]);
    assert_eq!(page.text("#count"), "0 of 2 people");
    page.browser.click("#clear-search");
    assert_eq!(page.rows().len(), 2);
    assert_eq!(page.server.database.number(LOOKS).await, 1, "a search asks nobody");
}

#[tokio::test]
async fn a_header_sorts_by_its_column_and_says_so() {
    let Some(page) = Page::open().await else { return };
    let pay = "INSERT INTO employees (org, username, full_name, created_at) \
               VALUES ('twilio', 'zoe', 'zoe', 0)";
    page.server.database.execute(pay).await;
    // Less than the others by number, more by text.
    let rate = "INSERT INTO rates (org, username, effective_from, revision, amount_minor, \
                                   currency, note, recorded_by, recorded_at) \
                VALUES ('twilio', 'zoe', '2024-01-01', 1, 90000, 'USD', '', 'test', 0)";
    page.server.database.execute(rate).await;
    page.sign_in();
    let order = || {
        let said = page.browser.run(
            "return [...document.querySelectorAll('#pay thead th')]
                 .map((header) => header.getAttribute('aria-sort'))",
        );
        let rows = page.rows();
        let names: Vec<&str> = rows.iter().map(|row| row.split(' ').next().unwrap()).collect();
        (names.join(" "), said)
    };
    assert_eq!(order(), ("jdoe mturner zoe".into(), json!(["ascending", null])));
    page.browser.click("[data-sort=username]");
    assert_eq!(order(), ("zoe mturner jdoe".into(), json!(["descending", null])));
    page.browser.click("[data-sort=salary]");
    assert_eq!(order(), ("zoe jdoe mturner".into(), json!([null, "ascending"])));
    page.browser.click("[data-sort=salary]");
    assert_eq!(order(), ("mturner jdoe zoe".into(), json!([null, "descending"])));
}

#[tokio::test]
async fn each_look_is_recorded_and_shows_what_holds_now() {
    let Some(page) = Page::open().await else { return };
    page.sign_in();
    assert_eq!(page.server.database.number(LOOKS).await, 1);
    let raise = "INSERT INTO rates (org, username, effective_from, revision, amount_minor, \
                                    currency, note, recorded_by, recorded_at) \
                 VALUES ('twilio', 'jdoe', '2024-01-01', 1, 300000, 'USD', '', 'test', 0)";
    page.server.database.execute(raise).await;
    page.browser.click("#refresh");
    page.browser.wait_until("pay.tBodies[0].innerText.includes('$3000.00')");
    assert_eq!(page.rows(), ["jdoe $3000.00", "mturner $2500.00"]);
    assert_eq!(page.server.database.number(LOOKS).await, 2);
}

#[tokio::test]
async fn a_user_without_a_grant_sees_no_row_and_is_told_so() {
    let Some(page) = Page::open().await else { return };
    let user = "INSERT INTO users (org, username, password_hash, demo, created_at) \
                SELECT org, 'ann', password_hash, 0, 0 FROM users";
    page.server.database.execute(user).await;
    page.submit("ann", "ahoy");
    page.wait_for("#table-error");
    page.assert_holds_no_pay();
    assert!(page.text("#table-error").contains("no grant"), "{}", page.text("#table-error"));
    assert!(!page.shows("#retry"), "asking again would not help");
}
