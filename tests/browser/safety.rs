//! The content security policy, and data that tries to be markup.

use serde_json::json;

use crate::page::Page;

const COLLECT_VIOLATIONS: &str = "window.violations = [];
    addEventListener('securitypolicyviolation', (event) =>
        violations.push(`${event.violatedDirective} ${event.blockedURI}`));";

#[tokio::test]
async fn r70_the_page_runs_without_a_csp_violation() {
    let Some(page) = Page::open_with_script(COLLECT_VIOLATIONS).await else { return };
    page.sign_in();
    page.browser.fill("#search", "doe");
    page.browser.click("#refresh");
    page.wait_for("#pay tbody tr");
    page.browser.click("[data-sort=salary]");
    page.browser.click("#sign-out");
    page.browser.wait_until("notice.textContent === 'You have signed out.'");
    assert_eq!(page.browser.run("return violations"), json!([]));
    assert_eq!(page.browser.console(), [""; 0]);
}

#[tokio::test]
async fn r70_what_the_page_does_not_need_is_refused() {
    let Some(page) = Page::open_with_script(COLLECT_VIOLATIONS).await else { return };
    page.browser.run(
        "const image = new Image();
         image.src = 'https://elsewhere.example/x.png';
         const frame = document.createElement('iframe');
         frame.src = location.href;
         document.body.append(frame);
         document.body.setAttribute('style', 'color: red');
         fetch('https://elsewhere.example/').catch(() => {});",
    );
    for refused in [
        "img-src https://elsewhere.example/x.png",
        "frame-src ",
        "style-src-attr inline",
        "connect-src https://elsewhere.example/",
    ] {
        page.browser
            .wait_until(&format!("violations.some((line) => line.startsWith('{refused}'))"));
    }
}

#[tokio::test]
async fn r75_text_never_becomes_markup() {
    let Some(page) = Page::open().await else { return };
    for sink in [
        "document.body.innerHTML = '<b>x</b>'",
        "document.body.insertAdjacentHTML('beforeend', '<b>x</b>')",
        "document.write('<b>x</b>')",
        "document.createElement('script').src = '/assets/x.js'",
        "document.body.setAttribute('onclick', 'x')",
        "eval('1')",
        "setTimeout('1')",
        "trustedTypes.createPolicy('default', { createHTML: (text) => text })",
    ] {
        // Later, since what a driver runs itself is exempt.
        let later = format!(
            "return new Promise((done, failed) => setTimeout(() => {{
                 try {{ {sink}; done(); }} catch (error) {{ failed(error); }}
             }}))"
        );
        let thrown = page.browser.try_to_run(&later).expect_err(sink);
        assert!(
            thrown.contains("Trusted") || thrown.contains("Content Security Policy"),
            "{sink}: {thrown}"
        );
    }
    assert!(page.shows("#sign-in"));
}

#[tokio::test]
async fn r75_hostile_text_is_shown_as_text() {
    // The server refuses such names and currencies. The page must not rest on that, so here its
    // question for pay is answered by a script.
    let Some(page) = Page::open_with_script(
        r#"window.hostile = [
             { username: "<img src=x onerror='window.harmed = 1'>", salary: "<b>$1</b>" },
             { username: '"><script>window.harmed = 1</script>', salary: "&lt;i&gt;'\"" },
             { username: "\u202Eecila", salary: "{{1+1}}${1+1}" },
           ];
           const ask = window.fetch;
           window.fetch = (path, options) =>
               path === "/bearer" ? Promise.resolve(Response.json(hostile)) : ask(path, options);"#,
    )
    .await
    else {
        return;
    };
    page.sign_in();
    let as_text = page.browser.run(
        "const cells = (row) => [...row.cells].map((cell) => cell.textContent).join(' ');
         const shown = [...pay.tBodies[0].rows].map(cells).toSorted();
         const sent = hostile.map(({ username, salary }) => `${username} ${salary}`).toSorted();
         return JSON.stringify(shown) === JSON.stringify(sent)",
    );
    assert_eq!(as_text, json!(true), "{:?}", page.rows());
    // Text that runs from right to left turns around nothing but itself.
    let isolated = page.browser.run(
        "return [...pay.tBodies[0].querySelectorAll('bdi')].every((cell) =>
             getComputedStyle(cell).unicodeBidi === 'isolate')",
    );
    assert_eq!(isolated, json!(true));

    page.browser.fill("#search", "<img src=x onerror='window.harmed = 1'>?");
    page.wait_for("#no-match");
    assert!(page.text("#no-match").contains("<img src=x"));
    let harm = "return [Boolean(window.harmed), document.querySelectorAll('#pay img, #pay script, \
                #pay b, #no-match img').length]";
    assert_eq!(page.browser.run(harm), json!([false, 0]));
}
