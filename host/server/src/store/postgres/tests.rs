//! What the PostgreSQL store promises, tested on a server of its own.
#![allow(clippy::unwrap_used, clippy::indexing_slicing, reason = "a failed unwrap is a failed test")]

use std::sync::Arc;

use shelltrack_tests::postgres::Postgres;

use super::*;
use crate::store::promises::{Stores, for_each_promise, start};

async fn open(url: &str) -> PostgresStore {
    PostgresStore::open(url).await.unwrap()
}

/// One server for all promises: starting one takes seconds. Each has a database of its own.
macro_rules! in_turn {
    (($postgres:ident) $($promise:ident)*) => {
        $(
            let url = $postgres.database();
            let stores: Stores = [Arc::new(open(&url).await), Arc::new(open(&url).await)];
            eprintln!(stringify!($promise));
            $crate::store::promises::$promise(stores).await;
        )*
    };
}

#[tokio::test]
async fn the_postgresql_store_keeps_every_promise() {
    let Some(postgres) = Postgres::start() else { return };
    for_each_promise! { in_turn(postgres) }
}

#[tokio::test]
async fn schemas_are_made_once_and_newer_or_foreign_ones_refused() {
    let Some(postgres) = Postgres::start() else { return };
    let url = postgres.database();
    let opens: Vec<_> = (0..4)
        .map(|_| {
            let url = url.clone();
            tokio::spawn(async move { PostgresStore::open(&url).await.map(drop) })
        })
        .collect();
    for open in opens {
        open.await.unwrap().unwrap();
    }
    assert_eq!(postgres.psql(&url, "SELECT count(*) FROM refinery_schema_history"), "1");
    postgres.psql(&url, "UPDATE refinery_schema_history SET version = 99");
    assert_eq!(
        PostgresStore::open(&url).await.err(),
        Some(StoreError::NewerSchema { found: 99, supported: 1 })
    );
    let foreign = postgres.database();
    postgres.psql(&foreign, "CREATE TABLE sessions (a int)");
    assert_eq!(PostgresStore::open(&foreign).await.err(), Some(StoreError::Foreign));
}

#[tokio::test]
async fn broken_connections_are_replaced() {
    let Some(postgres) = Postgres::start() else { return };
    let url = postgres.database();
    let store = open(&url).await;
    store.track_start(start("e1"), None).await.unwrap().stored();
    postgres.psql(
        &url,
        "SELECT pg_terminate_backend(pid, 30000) FROM pg_stat_activity WHERE application_name = 'shelltrack'",
    );
    store.track_start(start("e2"), None).await.unwrap().stored();
    assert_eq!(store.counts().await.unwrap().total, 2);
}

#[tokio::test]
async fn errors_repeat_no_url_and_no_password() {
    for url in [
        "postgres://ada:very-secret@127.0.0.1:1/none",
        "postgres://ada:very-secret@[broken",
        "nonsense://very-secret",
    ] {
        let told = PostgresStore::open(url).await.err().unwrap().to_string();
        assert!(!told.contains("very-secret") && told.contains("session database"), "{told}");
    }
}

/// Whether that URL can be opened; if not, why.
async fn opened(url: &str) -> Result<(), String> {
    PostgresStore::open(url).await.map(drop).map_err(|error| error.to_string())
}

#[tokio::test]
async fn connections_are_encrypted_and_servers_verified_as_the_url_wants_it() {
    let Some(postgres) = Postgres::start_with_tls() else { return };
    let url = postgres.database();
    let file = |name| postgres.certificate(name);
    let at = |host: &str, parameters: String| postgres.over_tcp(&url, host, &parameters);
    let store = open(&at("localhost", "sslmode=require".into())).await;
    store.track_start(start("e1"), None).await.unwrap().stored();
    let encrypted = "SELECT bool_and(ssl) FROM pg_stat_ssl JOIN pg_stat_activity USING (pid)
                     WHERE application_name = 'shelltrack'";
    assert_eq!(postgres.psql(&url, encrypted), "t");

    for trusted in ["ca.pem", "server.pem"] {
        let verified = format!("sslmode=verify-full&sslrootcert={}", file(trusted));
        opened(&at("localhost", verified.clone())).await.unwrap();
        let elsewhere = opened(&at("127.0.0.1", verified)).await.unwrap_err();
        assert!(elsewhere.contains("certificate"), "{elsewhere}");
    }
    for untrusted in [
        format!("sslmode=verify-full&sslrootcert={}", file("other.pem")),
        format!("sslmode=require&sslrootcert={}", file("other.pem")),
        "sslmode=verify-full".into(),
    ] {
        let refused = opened(&at("localhost", untrusted)).await.unwrap_err();
        assert!(refused.contains("certificate"), "{refused}");
    }
    let missing =
        opened(&at("localhost", "sslmode=require&sslrootcert=%2Fnowhere".into())).await.unwrap_err();
    assert!(missing.contains("sslrootcert") && !missing.contains("nowhere"), "{missing}");
}

#[tokio::test]
async fn a_server_without_tls_is_not_spoken_with_in_clear_when_tls_is_wanted() {
    let Some(postgres) = Postgres::start() else { return };
    let url = postgres.database();
    opened(&url).await.unwrap();
    let refused = opened(&format!("{url}?sslmode=require")).await.unwrap_err();
    assert!(refused.contains("TLS"), "{refused}");
}
