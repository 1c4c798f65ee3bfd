//! What the SQLite store promises, tested on real files.
#![allow(clippy::unwrap_used, clippy::indexing_slicing, reason = "a failed unwrap is a failed test")]

mod files;

use std::collections::BTreeSet;
use std::fs;

use shelltrack_sandbox::types::{EnvironmentInfo, ExitReason, SessionState, UserInfo};
use tempfile::TempDir;

use super::*;
use crate::records::State;

const START_US: i64 = 1_795_166_392_000_000;

fn start(event_id: &str) -> StartEvent {
    StartEvent {
        event_id: event_id.into(),
        component_name: "mahavishnu".into(),
        shell_type: "MahavishnuShell".into(),
        timestamp: "2026-11-20T09:19:52.000000Z".into(),
        timestamp_us: START_US,
        pid: 4711,
        user: UserInfo { username: "ada".into(), home: "/home/ada".into() },
        hostname: "engine".into(),
        environment: EnvironmentInfo {
            python_version: "n/a".into(),
            platform: "linux".into(),
            cwd: "/srv".into(),
        },
        metadata: r#"{"ticket":"T1"}"#.into(),
        correlation_id: Some(format!("c-{event_id}")),
        changes: Vec::new(),
    }
}

fn end(session_id: &str, event_id: &str, after_us: i64) -> EndEvent {
    EndEvent {
        session_id: session_id.into(),
        timestamp: String::new(),
        timestamp_us: START_US + after_us,
        metadata: r#"{"exit_status":7,"note":"done"}"#.into(),
        event_id: Some(event_id.into()),
        correlation_id: None,
        exit_status: Some(7),
        exit_reason: ExitReason::Exited,
        state: SessionState::Ended,
        changes: Vec::new(),
    }
}

fn vanished(session_id: &str, after_us: i64) -> EndEvent {
    EndEvent {
        exit_status: None,
        exit_reason: ExitReason::Vanished,
        state: SessionState::Crashed,
        ..end(session_id, "inferred", after_us)
    }
}

fn query(limit: u32) -> ListQuery {
    ListQuery { limit, ..ListQuery::default() }
}

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

async fn all(store: &dyn Store) -> Vec<SessionRecord> {
    store.list(query(1000)).await.unwrap().records
}

#[tokio::test]
async fn a_session_is_stored_from_start_to_end() {
    let fixture = Fixture::new();
    let store = fixture.open();
    let stored = store.track_start(start("e1")).await.unwrap();
    assert!(stored.session_id.starts_with("mahavishnu-20261120-091952-"), "{}", stored.session_id);
    assert_eq!(store.show(stored.session_id.clone()).await.unwrap().unwrap().state, State::Active);

    let record = store.track_end(end(&stored.session_id, "e2", 1_500_000)).await.unwrap().unwrap();
    assert_eq!((record.state, record.duration_seconds), (State::Ended, Some(1.5)));
    assert_eq!((record.exit_status, record.exit_reason.as_deref()), (Some(7), Some("exited")));
    assert_eq!(record.end_time.as_deref(), Some("2026-11-20T09:19:53.500000Z"));
    assert_eq!(
        serde_json::Value::Object(record.metadata.clone()),
        serde_json::json!({"note":"done","ticket":"T1"})
    );
    assert!(!record.clock_skew);
    assert_eq!(store.show("c-e1".into()).await.unwrap(), Some(record));
    assert_eq!(store.counts().await.unwrap(), Counts { total: 1, active: 0 });
}

#[tokio::test]
async fn the_same_start_is_stored_once_also_when_sent_many_times_at_once() {
    let fixture = Fixture::new();
    let (first, second) = (Arc::new(fixture.open()), Arc::new(fixture.open()));
    let sends = (0..64).map(|number| {
        let store = Arc::clone(if number % 2 == 0 { &first } else { &second });
        tokio::spawn(async move { store.track_start(start("same")).await.unwrap().session_id })
    });
    let mut ids = BTreeSet::new();
    for send in sends.collect::<Vec<_>>() {
        ids.insert(send.await.unwrap());
    }
    assert_eq!(ids.len(), 1);
    assert_eq!(first.counts().await.unwrap().total, 1);
}

#[tokio::test]
async fn a_second_end_moves_nothing() {
    let fixture = Fixture::new();
    let store = fixture.open();
    let id = store.track_start(start("e1")).await.unwrap().session_id;
    let first = store.track_end(end(&id, "e2", 10)).await.unwrap();
    assert_eq!(store.track_end(end(&id, "e2", 10)).await.unwrap(), first);
    assert_eq!(store.track_end(end(&id, "e3", 99)).await.unwrap(), first);
    assert_eq!(store.track_end(vanished(&id, 99)).await.unwrap(), first);
}

#[tokio::test]
async fn an_announced_end_replaces_an_inferred_one_and_not_the_other_way_round() {
    let fixture = Fixture::new();
    let store = fixture.open();
    let id = store.track_start(start("e1")).await.unwrap().session_id;
    let inferred = store.track_end(vanished(&id, 5)).await.unwrap().unwrap();
    assert_eq!((inferred.state, inferred.exit_reason.as_deref()), (State::Crashed, Some("vanished")));
    assert_eq!(store.track_end(vanished(&id, 6)).await.unwrap().unwrap(), inferred);
    let announced = store.track_end(end(&id, "e2", 3)).await.unwrap().unwrap();
    assert_eq!((announced.state, announced.exit_status), (State::Ended, Some(7)));
    assert_eq!(store.track_end(vanished(&id, 9)).await.unwrap().unwrap(), announced);
}

#[tokio::test]
async fn an_end_before_its_start_has_no_duration_and_is_marked() {
    let fixture = Fixture::new();
    let store = fixture.open();
    let id = store.track_start(start("e1")).await.unwrap().session_id;
    let record = store.track_end(end(&id, "e2", -1)).await.unwrap().unwrap();
    assert_eq!((record.state, record.duration_seconds, record.clock_skew), (State::Ended, None, true));
}

#[tokio::test]
async fn an_end_of_an_unknown_session_finds_nothing() {
    let fixture = Fixture::new();
    assert_eq!(fixture.open().track_end(end("nobody", "e", 1)).await.unwrap(), None);
}

#[tokio::test]
async fn a_list_is_newest_first_filtered_and_goes_on_where_it_stopped() {
    let fixture = Fixture::new();
    let store = fixture.open();
    for number in 0..10 {
        let mut event = start(&format!("e{number}"));
        event.timestamp_us += number / 3; // several starts at the same moment
        event.component_name = if number % 2 == 0 { "even" } else { "odd" }.into();
        store.track_start(event).await.unwrap();
    }
    let ids = |records: &[SessionRecord]| records.iter().map(|r| r.event_id.clone()).collect::<Vec<_>>();
    let expected: Vec<String> = (0..10).rev().map(|number| format!("e{number}")).collect();
    assert_eq!(ids(&all(&store).await), expected);

    let mut walked = Vec::new();
    let mut next = ListQuery { limit: 3, ..ListQuery::default() };
    loop {
        let page = store.list(next.clone()).await.unwrap();
        walked.extend(ids(&page.records));
        let Some(cursor) = page.next else { break };
        next.after = Some(cursor);
    }
    assert_eq!(walked, expected);

    let odd = ListQuery { component_name: Some("odd".into()), ..query(50) };
    assert_eq!(ids(&store.list(odd).await.unwrap().records), ["e9", "e7", "e5", "e3", "e1"]);
    let none = ListQuery { session_type: Some("other".into()), ..query(50) };
    assert!(store.list(none).await.unwrap().records.is_empty());
    let id = store.show("c-e9".into()).await.unwrap().unwrap().session_id;
    store.track_end(end(&id, "x", 10)).await.unwrap();
    let active = ListQuery { state: Some(State::Active), ..query(2) };
    assert_eq!(ids(&store.list(active).await.unwrap().records), ["e8", "e7"]);
}

#[tokio::test]
async fn a_list_with_much_metadata_comes_in_parts_that_clients_can_take() {
    let fixture = Fixture::new();
    let store = fixture.open();
    for number in 0..70 {
        let mut event = start(&format!("e{number}"));
        event.metadata = serde_json::json!({"long": "\"".repeat(20_000)}).to_string();
        store.track_start(event).await.unwrap();
    }
    let first = store.list(query(1000)).await.unwrap();
    assert!((40..60).contains(&first.records.len()), "{}", first.records.len());
    let rest = store.list(ListQuery { after: first.next, ..query(1000) }).await.unwrap();
    assert_eq!(first.records.len() + rest.records.len(), 70);
    assert_eq!(rest.next, None);
}

#[tokio::test]
async fn a_locked_database_delays_and_loses_nothing() {
    let fixture = Fixture::new();
    let store = Arc::new(fixture.open());
    let other = Connection::open(&fixture.path).unwrap();
    other.execute_batch("BEGIN IMMEDIATE").unwrap();
    let waiting = tokio::spawn({
        let store = Arc::clone(&store);
        async move { store.track_start(start("e1")).await }
    });
    assert!(all(&*store).await.is_empty(), "readers do not wait for writers");
    other.execute_batch("ROLLBACK").unwrap();
    waiting.await.unwrap().unwrap();
    assert_eq!(all(&*store).await.len(), 1);
}

#[tokio::test]
async fn starts_of_the_same_second_have_ids_of_their_own() {
    let fixture = Fixture::new();
    let store = Arc::new(fixture.open());
    let starts: Vec<_> = (0..1000)
        .map(|number| {
            let store = Arc::clone(&store);
            tokio::spawn(
                async move { store.track_start(start(&format!("e{number}"))).await.unwrap().session_id },
            )
        })
        .collect();
    let mut ids = BTreeSet::new();
    for start in starts {
        ids.insert(start.await.unwrap());
    }
    assert_eq!(ids.len(), 1000);
    assert_eq!(store.counts().await.unwrap(), Counts { total: 1000, active: 1000 });
}
