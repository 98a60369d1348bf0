//! PostgreSQL goes away and comes back.

use std::thread;
use std::time::Duration;

use crate::load::{Load, Work, now};
use crate::support::chain::verify;
use crate::support::cluster::Cluster;
use crate::support::database::{TestDatabase, is_postgres};
use crate::support::server::Server;
use crate::wire::Wire;
use crate::{lacking, left_out};

/// A PostgreSQL that the test may break; none where this run is not on PostgreSQL, or there are no
/// programs to start one by.
fn cluster() -> Option<Cluster> {
    if !is_postgres() {
        left_out("an outage of PostgreSQL: this is SQLite");
        return None;
    }
    let cluster = Cluster::start();
    if cluster.is_none() {
        lacking("an outage of PostgreSQL: there is no initdb and pg_ctl");
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

/// The host of the database is gone, and no connection ends: whoever asks is told so in time, and
/// afterwards every connection is to be had again.
#[tokio::test(flavor = "multi_thread")]
async fn r102_a_database_that_falls_silent_holds_nobody_and_nothing_for_good() {
    let Some(cluster) = cluster() else { return };
    let wire = Wire::to(cluster.port());
    let direct =
        TestDatabase { url: cluster.url_by(cluster.port()), folder: tempfile::tempdir().unwrap() };
    let database =
        TestDatabase { url: cluster.url_by(wire.port), folder: tempfile::tempdir().unwrap() };
    let server = Server::start_on(database, &[]);
    Load::allow(&direct).await;
    let (token, load) = (server.log_in(), Load::default());
    thread::scope(|scope| {
        load.clients(scope, server.address, &token);
        for _ in 0..20 {
            load.client(scope, server.address, &token, &[Work::Change]);
        }
        load.wait_for(60);
        wire.cut();
        thread::sleep(Duration::from_secs(2));
        load.stop();
    });
    assert_eq!(load.unanswered(), 0, "everybody was answered");
    let sulked = load.got().iter().filter(|got| !got.is_success()).count();
    assert!(sulked >= 20, "{sulked}");
    wire.mend();
    // So long a connection may take to say that it can be used again.
    thread::sleep(Duration::from_secs(6));

    // Each connection waits for the lock in turn: so many are there.
    let lock = direct.lock().await;
    thread::scope(|scope| {
        for _ in 0..20 {
            load.client(scope, server.address, &token, &[Work::Change]);
        }
        thread::sleep(Duration::from_secs(2));
        load.stop();
        let waiting = "SELECT COUNT(*) FROM pg_stat_activity \
                       WHERE application_name = 'stipend' AND wait_event_type = 'Lock'";
        // Housekeeping has one of them for a moment now and then.
        let most = async {
            let mut most = 0;
            for _ in 0..50 {
                most = direct.number(waiting).await.max(most);
                tokio::time::sleep(Duration::from_millis(20)).await;
            }
            lock.release().await;
            most
        };
        let connections =
            tokio::task::block_in_place(|| tokio::runtime::Handle::current().block_on(most));
        assert_eq!(connections, 16);
    });
    // That the recorder's own connection has ended may show by the first read only.
    let first = server.read_pay(&token);
    assert!(matches!(first.status, 200 | 503), "{first:?}");
    assert_eq!(server.read_pay(&token).status, 200);
    server.log_in();
    // A statement is waited for 33 s, and a connection before it 8 s.
    load.prove_within(Duration::from_secs(45), &direct).await;
    verify(&direct).await;
}
