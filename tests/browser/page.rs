//! Stipend's page: what a person does on it, and what they see.

use serde_json::json;

use crate::browser::Browser;
use crate::support::server::Server;

/// A server, and a browser that shows its page.
pub struct Page {
    pub browser: Browser,
    pub server: Server,
}

impl Page {
    /// The page as a newcomer finds it; `None` where there is no browser and it may be left out.
    pub async fn open() -> Option<Self> {
        Self::open_with_script("").await
    }

    /// The same, with a script that runs before the page's own.
    pub async fn open_with_script(script: &str) -> Option<Self> {
        let browser = Browser::start()?;
        browser.run_first_in_every_page(script);
        let page = Self { browser, server: Server::start(&[]).await };
        page.browser.go_to(&page.address());
        page.wait_for("#sign-in");
        Some(page)
    }

    /// Where it is.
    pub fn address(&self) -> String {
        format!("http://{}/", self.server.address)
    }

    /// Types a name and a password and presses the button.
    #[track_caller]
    pub fn submit(&self, username: &str, password: &str) {
        self.browser.fill("#username", username);
        self.browser.fill("#password", password);
        self.browser.click("#submit");
    }

    /// Signs the demo user in, and waits for the rows.
    #[track_caller]
    pub fn sign_in(&self) {
        self.submit("twilio", "ahoy");
        self.wait_for("#pay tbody tr");
    }

    /// Waits until an element is there and can be seen.
    #[track_caller]
    pub fn wait_for(&self, css: &str) {
        self.browser.wait_until(&visible(css));
    }

    /// Whether an element is there and can be seen.
    pub fn shows(&self, css: &str) -> bool {
        self.browser.run(&format!("return Boolean({})", visible(css))) == json!(true)
    }

    /// The text of an element, as it can be seen.
    #[track_caller]
    pub fn text(&self, css: &str) -> String {
        let text = self.browser.run(&format!("return document.querySelector('{css}').innerText"));
        text.as_str().unwrap().to_owned()
    }

    /// The table's rows, cells joined by spaces.
    pub fn rows(&self) -> Vec<String> {
        let rows = self.browser.run(
            "return [...document.querySelectorAll('#pay tbody tr')]
                 .map((row) => [...row.cells].map((cell) => cell.textContent).join(' '))",
        );
        serde_json::from_value(rows).unwrap()
    }

    /// Everything that the page holds, seen or not: its markup, and what is typed into it.
    pub fn everything(&self) -> String {
        let all = self.browser.run(
            "return document.documentElement.outerHTML
                 + [...document.querySelectorAll('input, textarea')].map((input) => input.value).join(' ')",
        );
        all.as_str().unwrap().to_owned()
    }

    /// Fails if anybody's pay is in the page, seen or not.
    #[track_caller]
    pub fn assert_holds_no_pay(&self) {
        assert_eq!(self.rows(), [""; 0]);
        let everything = self.everything();
        for pay in ["jdoe", "mturner", "$2"] {
            assert!(!everything.contains(pay), "{pay} is in the page: {everything}");
        }
    }
}

fn visible(css: &str) -> String {
    format!("document.querySelector('{css}')?.checkVisibility()")
}
