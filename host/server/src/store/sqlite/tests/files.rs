//! What the store does with files: new, missing, quiet, damaged, full, not ours.

use std::os::unix::fs::PermissionsExt;

use super::*;

#[tokio::test]
async fn file_and_directory_are_their_owners_alone() {
    let fixture = Fixture::new();
    let store = fixture.open();
    store.track_start(start("e1"), None).await.unwrap().stored();
    let mode = |path: &Path| fs::metadata(path).unwrap().permissions().mode() & 0o777;
    assert_eq!(mode(fixture.path.parent().unwrap()), 0o700);
    for file in fixture.files() {
        assert_eq!(mode(&fixture.path.with_file_name(&file)), 0o600, "{file}");
    }
    drop(store);
    fs::set_permissions(&fixture.path, fs::Permissions::from_mode(0o644)).unwrap();
    drop(fixture.open());
    assert_eq!(mode(&fixture.path), 0o600);
}

#[tokio::test]
async fn what_is_stored_outlives_the_store() {
    let fixture = Fixture::new();
    let id = fixture.open().track_start(start("e1"), None).await.unwrap().stored().session_id;
    let store = fixture.open();
    assert_eq!(all(&store).await[0].session_id, id);
    assert_eq!(store.track_start(start("e1"), None).await.unwrap().stored().session_id, id);
}

#[test]
fn many_may_make_the_same_file_at_once() {
    for _ in 0..8 {
        let fixture = Fixture::new();
        std::thread::scope(|scope| {
            let openers: Vec<_> =
                (0..8).map(|_| scope.spawn(|| SqliteStore::open(&fixture.path).map(drop))).collect();
            for opener in openers {
                opener.join().unwrap().unwrap();
            }
        });
    }
}

#[tokio::test]
async fn a_read_only_store_of_a_missing_file_is_empty_and_makes_nothing() {
    let fixture = Fixture::new();
    let store = ReadOnlySqliteStore::open(&fixture.path).unwrap();
    assert!(all(&store).await.is_empty());
    assert_eq!(store.counts().await.unwrap(), Counts::default());
    assert_eq!(store.show("x".into()).await.unwrap(), None);
    assert_eq!(store.track_start(start("e"), None).await, Err(StoreError::ReadOnly));
    assert_eq!(fs::read_dir(fixture.directory.path()).unwrap().count(), 0);
}

#[tokio::test]
async fn a_read_only_store_reads_a_quiet_file_and_makes_nothing() {
    let fixture = Fixture::new();
    let odd = Fixture { path: fixture.path.with_file_name("ö ?#%20.db"), ..Fixture::new() };
    for fixture in [&fixture, &odd] {
        fixture.open().track_start(start("e1"), None).await.unwrap().stored();
        assert!(!fixture.files().iter().any(|name| name.ends_with("-wal")), "the writer has closed the file");
        let before = fixture.files();
        let store = ReadOnlySqliteStore::open(&fixture.path).unwrap();
        assert_eq!(all(&store).await.len(), 1);
        assert_eq!(fixture.files(), before);
    }
}

#[tokio::test]
async fn a_read_only_store_sees_what_a_writer_stores_meanwhile() {
    let fixture = Fixture::new();
    let reader = ReadOnlySqliteStore::open(&fixture.path).unwrap();
    let writer = fixture.open();
    for number in 0..5_usize {
        writer.track_start(start(&format!("e{number}")), None).await.unwrap().stored();
        assert_eq!(all(&reader).await.len(), number + 1);
    }
    let files = fixture.files();
    drop(writer);
    assert_eq!(all(&reader).await.len(), 5);
    assert!(fixture.files().is_subset(&files));
}

#[tokio::test]
async fn a_log_left_by_a_killed_writer_is_read() {
    let fixture = Fixture::new();
    let writer = fixture.open();
    writer.track_start(start("e1"), None).await.unwrap().stored();
    let killed = Fixture::new();
    fs::create_dir(killed.path.parent().unwrap()).unwrap();
    for file in ["sessions.db", "sessions.db-wal"] {
        fs::copy(fixture.path.with_file_name(file), killed.path.with_file_name(file)).unwrap();
    }
    assert_eq!(all(&ReadOnlySqliteStore::open(&killed.path).unwrap()).await.len(), 1);
    assert_eq!(all(&killed.open()).await.len(), 1);
}

#[test]
fn a_newer_schema_is_refused() {
    let fixture = Fixture::new();
    drop(fixture.open());
    Connection::open(&fixture.path).unwrap().pragma_update(None, "user_version", 99).unwrap();
    let expected = StoreError::NewerSchema { found: 99, supported: migrate::newest_version() };
    assert_eq!(SqliteStore::open(&fixture.path).err(), Some(expected.clone()));
    assert_eq!(ReadOnlySqliteStore::open(&fixture.path).err(), Some(expected));
}

#[test]
fn somebody_elses_database_and_files_of_other_kinds_are_refused_untouched() {
    let fixture = Fixture::new();
    fs::create_dir(fixture.path.parent().unwrap()).unwrap();
    Connection::open(&fixture.path).unwrap().execute_batch("CREATE TABLE theirs (x)").unwrap();
    let before = fs::read(&fixture.path).unwrap();
    assert_eq!(SqliteStore::open(&fixture.path).err(), Some(StoreError::Foreign));
    assert_eq!(ReadOnlySqliteStore::open(&fixture.path).err(), Some(StoreError::Foreign));
    assert_eq!(fs::read(&fixture.path).unwrap(), before);

    fs::write(&fixture.path, "a letter to somebody, much longer than a header".repeat(100)).unwrap();
    fs::set_permissions(&fixture.path, fs::Permissions::from_mode(0o644)).unwrap();
    assert_eq!(SqliteStore::open(&fixture.path).err(), Some(StoreError::Foreign));
    let mode = fs::metadata(&fixture.path).unwrap().permissions().mode() & 0o777;
    assert_eq!(mode, 0o644, "others read it as before");
    assert_eq!(SqliteStore::open(fixture.path.parent().unwrap()).err(), Some(StoreError::Foreign));
}

#[tokio::test]
async fn a_damaged_file_is_an_error_and_not_an_empty_store() {
    let fixture = Fixture::new();
    let store = fixture.open();
    for number in 0..200 {
        store.track_start(start(&format!("e{number}")), None).await.unwrap().stored();
    }
    drop(store);
    let mut bytes = fs::read(&fixture.path).unwrap();
    bytes[4096..].fill(0xa5);
    fs::write(&fixture.path, bytes).unwrap();
    let reader = ReadOnlySqliteStore::open(&fixture.path).unwrap();
    assert_eq!(reader.list(query(10)).await.err(), Some(StoreError::Corrupt));
    let store = fixture.open();
    assert_eq!(store.track_start(start("new"), None).await.err(), Some(StoreError::Corrupt));
    assert_eq!(store.counts().await.err(), Some(StoreError::Corrupt));
}

#[tokio::test]
async fn a_full_database_is_told_and_loses_only_what_was_told() {
    let fixture = Fixture::new();
    drop(fixture.open());
    let connection = open::open_writer(&fixture.path).unwrap();
    let pages: i64 = connection.query_row("PRAGMA page_count", [], |row| row.get(0)).unwrap();
    connection.pragma_update_and_check(None, "max_page_count", pages + 8, |_| Ok(())).unwrap();
    let mut stored = 0;
    let error = loop {
        let mut event = start(&format!("e{stored}"));
        event.metadata = serde_json::json!({"long": "x".repeat(2000)}).to_string();
        match rows::insert_start(&connection, &event, None) {
            Ok(_) => stored += 1,
            Err(error) => break error,
        }
    };
    assert_eq!(error, StoreError::Full);
    assert!(stored > 0);
    assert_eq!(questions::counts(&connection).unwrap().total, stored);
}

#[tokio::test]
async fn a_deleted_database_is_made_anew_rather_than_written_into_nothing() {
    let fixture = Fixture::new();
    let store = fixture.open();
    store.track_start(start("e1"), None).await.unwrap().stored();
    for file in fixture.files() {
        fs::remove_file(fixture.path.with_file_name(file)).unwrap();
    }
    store.track_start(start("e2"), None).await.unwrap().stored();
    assert_eq!(all(&store).await.len(), 1);
    assert_eq!(all(&fixture.open()).await[0].event_id, "e2");
}

#[tokio::test]
async fn a_backup_is_whole_private_and_never_written_over_anything() {
    let fixture = Fixture::new();
    let store = fixture.open();
    for number in 0..50 {
        store.track_start(start(&format!("e{number}")), None).await.unwrap().stored();
    }
    let to = fixture.directory.path().join("backup.db");
    store.backup(to.clone()).await.unwrap();
    store.track_start(start("later"), None).await.unwrap().stored();
    assert_eq!(fs::metadata(&to).unwrap().permissions().mode() & 0o777, 0o600);
    let copy = ReadOnlySqliteStore::open(&to).unwrap();
    copy.check().await.unwrap();
    assert_eq!(copy.counts().await.unwrap().total, 50);
    assert!(store.backup(to.clone()).await.is_err());
    assert_eq!(copy.counts().await.unwrap().total, 50);
}

#[tokio::test]
async fn a_damaged_database_does_not_pass_the_check() {
    let fixture = Fixture::new();
    let store = fixture.open();
    for number in 0..200 {
        store.track_start(start(&format!("e{number}")), None).await.unwrap().stored();
    }
    drop(store);
    let mut bytes = fs::read(&fixture.path).unwrap();
    let middle = bytes.len() / 2;
    bytes[middle..middle + 4096].fill(0xff);
    fs::write(&fixture.path, bytes).unwrap();
    let verdict = match ReadOnlySqliteStore::open(&fixture.path) {
        Ok(store) => store.check().await,
        Err(error) => Err(error),
    };
    assert!(verdict.is_err(), "{verdict:?}");
}

#[tokio::test]
async fn a_read_only_store_shows_a_session_whose_lease_has_run_out_as_lost_and_changes_nothing() {
    use crate::records::State;
    use crate::store::{Filter, Renewal};

    let fixture = Fixture::new();
    let store = fixture.open();
    let expired = store.track_start(start("e1"), None).await.unwrap().stored().session_id;
    let open = store.track_start(start("e2"), None).await.unwrap().stored().session_id;
    let seen_us = crate::store::promises::START_US + 7_000_000;
    let renewal = Renewal { session_ids: vec![expired.clone()], seen_us, lease_us: -1, owner: None };
    store.renew(renewal).await.unwrap();
    drop(store);
    let before = fs::read(&fixture.path).unwrap();
    let reader = ReadOnlySqliteStore::open(&fixture.path).unwrap();
    let lost = reader.show(expired.clone()).await.unwrap().unwrap();
    assert_eq!((lost.state, lost.exit_reason.as_deref()), (State::Lost, Some("expired")));
    assert_eq!(lost.duration_seconds, Some(7.0));
    assert_eq!(reader.show(open.clone()).await.unwrap().unwrap().state, State::Active);
    assert_eq!(reader.counts().await.unwrap(), Counts { total: 2, active: 1 });
    let active = Filter { state: Some(State::Active), ..Filter::default() };
    let listed = reader.list(ListQuery { filter: active, ..query(10) }).await.unwrap().records;
    assert_eq!(listed.iter().map(|record| &record.session_id).collect::<Vec<_>>(), [&open]);
    assert_eq!(fs::read(&fixture.path).unwrap(), before);
    assert_eq!(fixture.files().len(), 1, "{:?}", fixture.files());
}
