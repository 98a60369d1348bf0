//! What Rocket itself can do here: a server with Stipend's own Rocket settings that answers every
//! `GET /bearer` with the text of `BENCH_CONSTANT`. `scripts/bench` compares `/bearer` with it.

use rocket::State;
use rocket::response::content::RawJson;
use stipend::config::Config;

type Failure = Box<dyn std::error::Error>;

#[rocket::get("/bearer")]
fn constant(body: &State<String>) -> RawJson<&str> {
    RawJson(body.as_str())
}

fn main() -> Result<(), Failure> {
    let body = std::env::var("BENCH_CONSTANT")?;
    let config = Config::load()?;
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(config.workers)
        .enable_all()
        .build()?;
    runtime.block_on(async {
        let routes = rocket::routes![constant];
        rocket::custom(config.rocket).manage(body).mount("/", routes).launch().await?;
        Ok(())
    })
}
