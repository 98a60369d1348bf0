//! Nothing that is mounted can be asked without a token, unless it is listed as public.

use stipend::routes::PUBLIC;

use crate::jwt::assert_invalid_token;
use crate::support::app::TestApp;

#[tokio::test]
async fn r50_every_route_that_is_not_public_refuses_an_anonymous_caller() {
    let app = TestApp::new().await;
    let mut guarded = 0;
    for route in app.client.rocket().routes() {
        let pattern = route.uri.path();
        if PUBLIC.contains(&(route.method, pattern)) {
            continue;
        }
        guarded += 1;
        let path: Vec<&str> =
            pattern.split('/').map(|part| if part.starts_with('<') { "x" } else { part }).collect();
        let path = path.join("/");
        let answer = app.anonymous().ask(route.method, &path).send().await;
        assert_eq!(answer.status, 401, "{} {pattern}", route.method);
        let request = app.bearer("abc.def.ghi").ask(route.method, &path);
        let answer = request.field("Accept", "text/plain").send().await;
        assert_invalid_token(&answer, pattern);
    }
    assert!(guarded >= 17, "{guarded} routes are guarded");
}

#[tokio::test]
async fn the_public_list_names_only_routes_that_exist() {
    let app = TestApp::new().await;
    let mounted: Vec<(rocket::http::Method, &str)> =
        app.client.rocket().routes().map(|route| (route.method, route.uri.path())).collect();
    for public in PUBLIC {
        assert!(mounted.contains(public), "{public:?}");
    }
}
