//! PostgreSQL goes away and comes back.

use std::thread;
use std::time::Duration;

use crate::left_out;
use crate::load::{Load, now};
use crate::support::chain::verify;
use crate::support::cluster::Cluster;
use crate::support::database::{TestDatabase, is_postgres};
use crate::support::server::Server;

/// A PostgreSQL that the test may break; none where this run is not on PostgreSQL, or there are no
/// programs to start one by.
fn cluster() -> Option<Cluster> {
    if !is_postgres() {
        left_out("an outage of PostgreSQL: this is SQLite");
        return None;
    }
    let cluster = Cluster::start();
    if cluster.is_none() {
        let required = std::env::var_os("STIPEND_TEST_REQUIRE").is_some();
        assert!(!required, "initdb and pg_ctl are needed, and STIPEND_TEST_REQUIRE is set");
        left_out("an outage of PostgreSQL (there is no initdb)");
    }
    cluster
}

#[tokio::test]
async fn r102_postgresql_restarts_under_load_and_the_server_goes_on_by_itself() {
    let Some(cluster) = cluster() else { return };
    let url = cluster.url_by(cluster.port());
    let database = TestDatabase { url, folder: tempfile::tempdir().unwrap() };
    let server = Server::start_on(database, &[]);
    Load::allow(&server.database).await;
    let (token, load) = (server.log_in(), Load::default());
    for mode in ["fast", "immediate", "fast", "immediate"] {
        thread::scope(|scope| {
            for _ in 0..2 {
                load.clients(scope, server.address, &token);
            }
            load.wait_for(20);
            cluster.restart(mode);
            let back = now();
            load.wait_for(20);
            assert!(back.elapsed() < Duration::from_secs(10), "{mode}: {:?}", back.elapsed());
            load.stop();
        });
        assert_eq!(server.read_pay(&token).status, 200, "{mode}");
        server.log_in();
    }
    assert_eq!(load.unanswered(), 0, "everybody was answered");
    assert!(load.got().iter().any(|got| !got.is_success()), "somebody met the restart");
    load.prove(&server.database).await;
    verify(&server.database).await;
}
