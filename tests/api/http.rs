//! Methods, paths and header fields.

use rocket::http::Method;

use crate::support::app::TestApp;

#[tokio::test]
async fn r20_a_known_path_says_which_methods_it_has() {
    let app = TestApp::new().await;
    let caller = app.demo_user().await;
    for (path, allow, wrong) in [
        (
            "/jwt",
            "DELETE, OPTIONS, POST",
            vec![Method::Get, Method::Head, Method::Put, Method::Patch, Method::Trace],
        ),
        (
            "/bearer",
            "GET, HEAD, OPTIONS, POST",
            vec![Method::Delete, Method::Put, Method::Patch, Method::Trace],
        ),
        ("/live", "GET, HEAD, OPTIONS", vec![Method::Post, Method::Put]),
        ("/", "GET, HEAD, OPTIONS", vec![Method::Post]),
    ] {
        for method in wrong {
            let answer = caller.ask(method, path).send().await;
            assert_eq!(
                (answer.status, answer.field("Allow")),
                (405, Some(allow)),
                "{method} {path}"
            );
        }
        let answer = app.anonymous().ask(Method::Options, path).send().await;
        assert_eq!((answer.status, answer.field("Allow")), (204, Some(allow)), "{path}");
        assert!(answer.body.is_empty());
    }
    assert_eq!(app.anonymous().ask(Method::Options, "/nope").send().await.status, 404);
}

#[tokio::test]
async fn r28_a_variant_of_a_path_is_another_path() {
    let app = TestApp::new().await;
    let anonymous = app.anonymous();
    for path in [
        "/nope",
        "/.env",
        "/bearer/x",
        "/bearer/",
        "/Bearer",
        "/bearer.json",
        "/bearer;x",
        "/bearer%2f",
        "/bearer%00",
        "/JWT",
        "/jwt/x",
        "/.refused",
        "/assets",
        "/assets/",
        "/assets/x/app.js",
        "/assets/x/../../Cargo.toml",
        "/assets/v/.x",
        "/assets/v/..%2fx",
        "/assets/v/x:",
        "/index.html",
        "/stipend.db",
        "/Cargo.toml",
    ] {
        let answer = anonymous.get(path).send().await;
        assert!([401, 404].contains(&answer.status), "{path}: {answer:?}");
        assert!(!answer.text().contains('$'), "{path}");
    }
}

#[tokio::test]
async fn r27_exactly_one_host_is_wanted() {
    let app = TestApp::new().await;
    let caller = app.demo_user().await;
    assert_eq!(caller.get("/bearer").without("Host").send().await.status, 400);
    assert_eq!(caller.get("/bearer").field("Host", "other").send().await.status, 400);
    for bad in ["a b", "a/b", "http://x"] {
        let ask = caller.get("/bearer").without("Host").field("Host", bad);
        assert_eq!(ask.send().await.status, 400, "{bad:?}");
    }
    let answer = caller.get("/bearer").without("Host").field("Host", "evil.example").send().await;
    assert_eq!(answer.status, 200);
    assert!(answer.fields.iter().all(|(_, value)| !value.contains("evil.example")));
}

#[tokio::test]
async fn r25_r70_r71_r73_every_answer_carries_the_same_protections() {
    let app = TestApp::new().await;
    let caller = app.demo_user().await;
    let asks = [
        caller.get("/bearer"),
        caller.get("/"),
        caller.get("/nope"),
        caller.ask(Method::Put, "/bearer"),
        caller.get("/live"),
        caller.get("/ready"),
        app.anonymous().get("/bearer"),
        app.anonymous().post("/jwt").json("{"),
        caller.get("/").without("Host"),
        caller.ask(Method::Options, "/jwt"),
        caller.get("/bearer").field("Origin", "https://evil.example"),
    ];
    for ask in asks {
        let answer = ask.send().await;
        for (name, value) in [
            (
                "Content-Security-Policy",
                "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; connect-src 'self'; form-action 'self'; base-uri 'none'; frame-ancestors 'none'; object-src 'none'; require-trusted-types-for 'script'; trusted-types 'none'",
            ),
            ("X-Content-Type-Options", "nosniff"),
            ("Referrer-Policy", "no-referrer"),
            ("Cross-Origin-Opener-Policy", "same-origin"),
            ("Cross-Origin-Resource-Policy", "same-origin"),
        ] {
            assert_eq!(answer.field(name), Some(value), "{answer:?}");
        }
        assert!(answer.field("Permissions-Policy").is_some());
        assert_eq!(answer.field("X-Request-Id").map(str::len), Some(32));
        let names = answer.field_names();
        let leaks = |name: &String| {
            name == "server"
                || name.starts_with("access-control-")
                || name == "set-cookie"
                || name == "strict-transport-security"
        };
        assert!(!names.iter().any(leaks), "{names:?}");
        if answer.status != 204 {
            assert_eq!(answer.length, Some(answer.body.len()), "{answer:?}");
            let content_type = answer.field("Content-Type").unwrap();
            assert!(
                !content_type.starts_with("text/") || content_type.ends_with("charset=utf-8"),
                "{content_type}"
            );
        }
    }
}

#[tokio::test]
async fn r72_personal_data_is_never_stored_and_assets_are_kept_for_ever() {
    let app = TestApp::new().await;
    let caller = app.demo_user().await;
    for ask in [
        caller.get("/bearer"),
        app.anonymous().get("/bearer"),
        caller.ask(Method::Put, "/jwt"),
        app.anonymous().post("/jwt").json("{"),
    ] {
        assert_eq!(ask.send().await.field("Cache-Control"), Some("no-store"));
    }
    let page = app.anonymous().get("/").send().await;
    assert_eq!(page.field("Cache-Control"), Some("no-cache"));
    let html = page.text();
    assert!(!html.contains("{version}") && !html.contains("<style") && !html.contains(" style="));
    let assets: Vec<&str> = html.split('"').filter(|text| text.starts_with("/assets/")).collect();
    assert!(assets.len() >= 3, "{assets:?}");
    for path in assets {
        let plain = app.anonymous().get(path).send().await;
        assert_eq!(plain.status, 200, "{path}");
        assert_eq!(
            plain.field("Cache-Control"),
            Some("public, max-age=31536000, immutable"),
            "{path}"
        );
        assert_eq!(plain.field("Vary"), Some("Accept-Encoding"), "{path}");
        let etag = plain.field("ETag").unwrap();
        for tags in [etag.to_owned(), format!("\"x\", W/{etag}"), "*".into()] {
            let again = app.anonymous().get(path).field("If-None-Match", &tags).send().await;
            assert_eq!((again.status, again.body.len()), (304, 0), "{path} {tags}");
        }
        let other = app.anonymous().get(path).field("If-None-Match", "\"x\"").send().await;
        assert_eq!(other.status, 200, "{path}");
        for (accept, gzip) in [
            ("gzip, br", true),
            ("br;q=1, gzip;q=0.2", true),
            ("gzip;q=0", false),
            ("identity", false),
        ] {
            let answer = app.anonymous().get(path).field("Accept-Encoding", accept).send().await;
            let small = answer.body.len() < plain.body.len();
            assert_eq!(
                answer.field("Content-Encoding").is_some(),
                gzip && small,
                "{path} {accept}"
            );
            assert!(gzip || !small, "{path} {accept}");
        }
    }
}

#[tokio::test]
async fn r111_a_panic_in_a_handler_is_a_500_without_detail() {
    #[rocket::get("/panic")]
    fn panics() -> &'static str {
        panic!("secret detail")
    }
    let app = TestApp::with_routes(rocket::routes![panics]).await;
    let answer = app.anonymous().get("/panic").send().await;
    assert_eq!((answer.status, answer.text()), (500, "The server failed"));
    assert_eq!(app.demo_user().await.read_pay().await.status, 200, "the process goes on");
}

#[tokio::test]
async fn live_and_ready_say_so() {
    let app = TestApp::new().await;
    assert_eq!(app.anonymous().get("/live").send().await.text(), "live\n");
    assert_eq!(app.anonymous().get("/ready").send().await.text(), "ready\n");
    app.auth().db.close().await;
    let answer = app.anonymous().get("/ready").send().await;
    assert_eq!((answer.status, answer.field("Retry-After")), (503, Some("1")));
    assert_eq!(app.anonymous().get("/live").send().await.status, 200);
}
