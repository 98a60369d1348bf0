//! The page for those who have no mouse, no wide window, or no sight.

use serde_json::{Value, json};

use crate::browser::Key;
use crate::page::Page;

#[tokio::test]
async fn everything_works_by_keyboard_alone() {
    let Some(page) = Page::open().await else { return };
    let focused = || page.browser.run("return document.activeElement.id");
    let tab_to = |css: &str| {
        for _ in 0..30 {
            page.browser.press(Key::Tab);
            let marked = page.browser.run(
                "const at = document.activeElement;
                 return at === document.body || getComputedStyle(at).outlineStyle !== 'none'",
            );
            assert_eq!(marked, json!(true), "nobody can see that {} has the focus", focused());
            if page.browser.run(&format!("return document.activeElement.matches('{css}')"))
                == json!(true)
            {
                return;
            }
        }
        panic!("the focus never comes to {css}; it is at {}", focused());
    };

    assert_eq!(focused(), json!("username"), "somebody can type at once");
    page.browser.type_text("twilio");
    tab_to("#password");
    page.browser.type_text("ahoy");
    page.browser.press(Key::Enter);
    page.wait_for("#pay tbody tr");
    assert_eq!(focused(), json!("table-title"), "reading goes on where the news is");

    tab_to("#search");
    page.browser.type_text("turn");
    assert_eq!(page.rows(), ["mturner $2500.00"]);
    tab_to("[data-sort=salary]");
    page.browser.press(Key::Enter);
    assert_eq!(
        page.browser.run("return document.activeElement.closest('th').ariaSort"),
        json!("ascending")
    );
    tab_to("#refresh");
    page.browser.press(Key::Enter);
    page.browser.wait_until("recorded.checkVisibility() && !loading.checkVisibility()");
    assert_eq!(focused(), json!("refresh"), "the focus stays with whoever pressed");
    tab_to("#sign-out");
    page.browser.press(Key::Enter);
    page.browser.wait_until("notice.textContent === 'You have signed out.'");
    assert_eq!(focused(), json!("username"));
}

#[tokio::test]
async fn a_window_of_320_pixels_never_scrolls_sideways() {
    let Some(page) = Page::open().await else { return };
    let longest = "w".repeat(64);
    page.server
        .database
        .execute(&format!(
            "INSERT INTO employees (org, username, full_name, created_at) \
             VALUES ('twilio', '{longest}', '', 0)"
        ))
        .await;
    page.server
        .database
        .execute(&format!(
            "INSERT INTO rates (org, username, effective_from, revision, amount_minor, currency, \
                                note, recorded_by, recorded_at) \
             VALUES ('twilio', '{longest}', '2024-01-01', 1, 123456789000, 'IDR', '', 'test', 0)"
        ))
        .await;
    page.browser.resize(320, 640);
    let assert_fits = |state: &str| {
        let widths = page.browser.run(
            "const { scrollWidth, clientWidth } = document.documentElement;
             return [scrollWidth, clientWidth]",
        );
        assert!(widths[0].as_u64() <= widths[1].as_u64(), "{state}: {widths}");
        page.browser.screenshot(&format!("narrow-{state}"));
    };
    assert_fits("sign-in");
    page.submit("twilio", "ahoy!");
    page.wait_for("#sign-in-error");
    assert_fits("wrong-password");
    page.sign_in();
    assert_eq!(page.rows().len(), 3);
    assert_fits("table");
    page.browser.fill("#search", &longest.repeat(2));
    page.wait_for("#no-match");
    assert_fits("no-match");
    page.server.signal("KILL");
    page.browser.click("#refresh");
    page.wait_for("#table-error");
    assert_fits("no-server");
}

#[tokio::test]
async fn every_control_has_a_name_that_can_be_read_out() {
    let Some(page) = Page::open().await else { return };
    let assert_named = |expected: &[&str]| {
        let tree = page.browser.devtools("Accessibility.getFullAXTree", &json!({}));
        let nodes = tree["nodes"].as_array().unwrap();
        let controls: Vec<&Value> = nodes
            .iter()
            .filter(|node| node["ignored"] == json!(false))
            .filter(|node| {
                let role = node["role"]["value"].as_str().unwrap_or_default();
                ["button", "textbox", "searchbox", "link", "columnheader", "table"].contains(&role)
            })
            .collect();
        let names: Vec<String> = controls
            .iter()
            .map(|node| {
                format!("{}: {}", node["role"]["value"], node["name"]["value"]).replace('"', "")
            })
            .collect();
        assert!(!names.iter().any(|name| name.ends_with(": ")), "{names:#?}");
        for control in expected {
            assert!(names.iter().any(|name| name == control), "{control} is not in {names:#?}");
        }
    };
    assert_named(&["textbox: User name", "textbox: Password", "button: Sign in"]);
    page.sign_in();
    assert_named(&[
        "button: Sign out",
        "button: Refresh",
        "searchbox: Search by user name",
        "table: Pay you may see, by person",
        "columnheader: User name",
        "columnheader: Salary",
    ]);
    let language = page.browser.run("return document.documentElement.lang");
    assert_eq!(language, json!("en"));
}
