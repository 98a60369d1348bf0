//! `stipend migrate`.

use super::Failure;
use super::output::message;
use crate::auth::StartError;
use crate::config::Config;
use crate::store::Db;

pub(super) async fn run(config: &Config) -> Result<(), Failure> {
    let db = Db::open(&config.database).await.map_err(StartError::from)?;
    db.close().await;
    message("the database is up to date");
    Ok(())
}
