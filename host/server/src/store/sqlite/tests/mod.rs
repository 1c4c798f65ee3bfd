//! What the SQLite store promises beyond every store, tested on real files.
#![allow(clippy::unwrap_used, clippy::indexing_slicing, reason = "a failed unwrap is a failed test")]

mod files;

use std::collections::BTreeSet;
use std::fs;

use tempfile::TempDir;

use super::*;
use crate::store::promises::{Stores, all, for_each_promise, query, start};

struct Fixture {
    directory: TempDir,
    path: PathBuf,
}

impl Fixture {
    fn new() -> Self {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("data/sessions.db");
        Self { directory, path }
    }

    fn open(&self) -> SqliteStore {
        SqliteStore::open(&self.path).unwrap()
    }

    fn files(&self) -> BTreeSet<String> {
        fs::read_dir(self.path.parent().unwrap())
            .unwrap()
            .map(|entry| entry.unwrap().file_name().into_string().unwrap())
            .collect()
    }
}

async fn stores() -> (Fixture, Stores) {
    let fixture = Fixture::new();
    let stores: Stores = [Arc::new(fixture.open()), Arc::new(fixture.open())];
    (fixture, stores)
}

/// Each promise is a test.
macro_rules! tests {
    (($open:ident) $($promise:ident)*) => {
        $(
            #[tokio::test]
            async fn $promise() {
                let (_fixture, stores) = $open().await;
                $crate::store::promises::$promise(stores).await;
            }
        )*
    };
}

for_each_promise! { tests(stores) }

#[tokio::test]
async fn a_locked_database_delays_and_loses_nothing() {
    let fixture = Fixture::new();
    let store = Arc::new(fixture.open());
    let other = Connection::open(&fixture.path).unwrap();
    other.execute_batch("BEGIN IMMEDIATE").unwrap();
    let waiting = tokio::spawn({
        let store = Arc::clone(&store);
        async move { store.track_start(start("e1"), None).await }
    });
    assert!(all(&*store).await.is_empty(), "readers do not wait for writers");
    other.execute_batch("ROLLBACK").unwrap();
    waiting.await.unwrap().unwrap();
    assert_eq!(all(&*store).await.len(), 1);
}

/// Commits in a write-ahead log: frames that tell the size of the database (SQLite, "WAL File Format").
fn commits(fixture: &Fixture) -> usize {
    const HEADER_BYTES: usize = 32;
    const FRAME_BYTES: usize = 24 + 4096;
    let log = fs::read(fixture.path.with_file_name("sessions.db-wal")).unwrap();
    log[HEADER_BYTES..].chunks_exact(FRAME_BYTES).filter(|frame| frame[4..8] != [0; 4]).count()
}

#[tokio::test]
async fn events_that_wait_together_are_stored_in_few_commits() {
    let fixture = Fixture::new();
    let store = Arc::new(fixture.open());
    let other = Connection::open(&fixture.path).unwrap();
    other.execute_batch("BEGIN IMMEDIATE").unwrap();
    let before = commits(&fixture);
    let starts: Vec<_> = (0..200)
        .map(|number| {
            let store = Arc::clone(&store);
            tokio::spawn(async move { store.track_start(start(&format!("e{number}")), None).await })
        })
        .collect();
    // Every one of them is with the writer, which waits for the lock.
    for _ in 0..1000 {
        tokio::task::yield_now().await;
    }
    other.execute_batch("ROLLBACK").unwrap();
    for start in starts {
        start.await.unwrap().unwrap();
    }
    assert_eq!(store.counts().await.unwrap().total, 200);
    let commits = commits(&fixture) - before;
    assert!((1..10).contains(&commits), "{commits} commits");
}
