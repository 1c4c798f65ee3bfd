//! What every store promises, whatever its engine: the same tests for each.
#![allow(clippy::unwrap_used, clippy::indexing_slicing, reason = "a failed unwrap is a failed test")]

use std::collections::BTreeSet;
use std::sync::Arc;

use shelltrack_sandbox::types::{EndEvent, EnvironmentInfo, ExitReason, SessionState, StartEvent, UserInfo};

use super::*;

mod figures;
mod leases;

pub(crate) use figures::*;
use leases::renewal;
pub(crate) use leases::*;

/// Two stores over one database, as two processes have them.
pub(crate) type Stores = [Arc<dyn Store>; 2];

/// Hands the names of all promises to a macro, after what that macro is given itself.
macro_rules! for_each_promise {
    ($then:ident $given:tt) => {
        $then! { $given
            a_session_is_stored_from_start_to_end
            the_same_start_is_stored_once_also_when_sent_many_times_at_once
            a_second_end_moves_nothing
            an_announced_end_replaces_an_inferred_one_and_not_the_other_way_round
            an_end_before_its_start_has_no_duration_and_is_marked
            an_end_of_an_unknown_session_finds_nothing
            a_list_is_newest_first_filtered_and_goes_on_where_it_stopped
            a_list_with_much_metadata_comes_in_parts_that_clients_can_take
            starts_of_the_same_second_have_ids_of_their_own
            only_the_identity_that_began_a_session_ends_or_renews_it
            activity_renews_open_sessions_and_names_the_others
            a_session_unseen_for_longer_than_its_lease_is_lost_until_its_end_is_announced
            what_an_agent_inferred_replaces_a_lease_that_ran_out
            a_session_that_is_seen_again_after_its_lease_ran_out_is_active_again
            a_session_that_an_event_ended_is_not_revived_by_activity
            a_skewed_inferred_end_is_replaced_by_the_announced_one
            what_ended_long_ago_is_archived_and_kept
            sessions_are_found_by_user_host_and_time
            statistics_count_by_component_and_state
            totals_hold_also_the_components_that_are_not_told_one_by_one
            an_event_id_that_is_taken_by_another_start_is_refused
            durations_that_are_too_long_together_are_counted_all_the_same
            an_imported_session_keeps_its_id_and_is_taken_in_once
        }
    };
}
pub(crate) use for_each_promise;

/// 2024-11-20T09:19:52Z. It has to lie in the past: nothing counts as seen later than now.
pub(crate) const START_US: i64 = 1_732_094_392_000_000;

pub(crate) fn start(event_id: &str) -> StartEvent {
    StartEvent {
        event_id: event_id.into(),
        component_name: "mahavishnu".into(),
        shell_type: "MahavishnuShell".into(),
        timestamp: "2024-11-20T09:19:52.000000Z".into(),
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

pub(crate) fn end(session_id: &str, event_id: &str, after_us: i64) -> EndEvent {
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

pub(crate) fn vanished(session_id: &str, after_us: i64) -> EndEvent {
    EndEvent {
        exit_status: None,
        exit_reason: ExitReason::Vanished,
        state: SessionState::Crashed,
        ..end(session_id, "inferred", after_us)
    }
}

pub(crate) fn query(limit: u32) -> ListQuery {
    ListQuery { limit, ..ListQuery::default() }
}

/// Stores an end; the session as it then is.
async fn finish(store: &Arc<dyn Store>, event: EndEvent) -> Option<SessionRecord> {
    match store.track_end(event, None).await.unwrap() {
        Ending::Known(record) => Some(*record),
        Ending::Unknown => None,
        Ending::Foreign => panic!("a session without an owner is nobody's"),
    }
}

pub(crate) async fn all(store: &dyn Store) -> Vec<SessionRecord> {
    store.list(query(1000)).await.unwrap().records
}

pub(crate) async fn a_session_is_stored_from_start_to_end([store, _]: Stores) {
    let stored = store.track_start(start("e1"), None).await.unwrap().stored();
    assert!(stored.session_id.starts_with("mahavishnu-20241120-091952-"), "{}", stored.session_id);
    assert_eq!(store.show(stored.session_id.clone()).await.unwrap().unwrap().state, State::Active);

    let record = finish(&store, end(&stored.session_id, "e2", 1_500_000)).await.unwrap();
    assert_eq!((record.state, record.duration_seconds), (State::Ended, Some(1.5)));
    assert_eq!((record.exit_status, record.exit_reason.as_deref()), (Some(7), Some("exited")));
    assert_eq!(record.end_time.as_deref(), Some("2024-11-20T09:19:53.500000Z"));
    assert_eq!(
        serde_json::Value::Object(record.metadata.clone()),
        serde_json::json!({"note":"done","ticket":"T1"})
    );
    assert!(!record.clock_skew);
    assert_eq!(store.show("c-e1".into()).await.unwrap(), Some(record));
    assert_eq!(store.counts().await.unwrap(), Counts { total: 1, active: 0 });
}

pub(crate) async fn the_same_start_is_stored_once_also_when_sent_many_times_at_once([store, second]: Stores) {
    let first = store;
    let sends = (0..64).map(|number| {
        let store = Arc::clone(if number % 2 == 0 { &first } else { &second });
        tokio::spawn(async move { store.track_start(start("same"), None).await.unwrap().stored().session_id })
    });
    let mut ids = BTreeSet::new();
    for send in sends.collect::<Vec<_>>() {
        ids.insert(send.await.unwrap());
    }
    assert_eq!(ids.len(), 1);
    assert_eq!(first.counts().await.unwrap().total, 1);
}

pub(crate) async fn a_second_end_moves_nothing([store, _]: Stores) {
    let id = store.track_start(start("e1"), None).await.unwrap().stored().session_id;
    let first = finish(&store, end(&id, "e2", 10)).await;
    assert_eq!(finish(&store, end(&id, "e2", 10)).await, first);
    assert_eq!(finish(&store, end(&id, "e3", 99)).await, first);
    assert_eq!(finish(&store, vanished(&id, 99)).await, first);
}

pub(crate) async fn an_announced_end_replaces_an_inferred_one_and_not_the_other_way_round(
    [store, _]: Stores,
) {
    let id = store.track_start(start("e1"), None).await.unwrap().stored().session_id;
    let inferred = finish(&store, vanished(&id, 5)).await.unwrap();
    assert_eq!((inferred.state, inferred.exit_reason.as_deref()), (State::Crashed, Some("vanished")));
    assert_eq!(finish(&store, vanished(&id, 6)).await.unwrap(), inferred);
    let announced = finish(&store, end(&id, "e2", 3)).await.unwrap();
    assert_eq!((announced.state, announced.exit_status), (State::Ended, Some(7)));
    assert_eq!(finish(&store, vanished(&id, 9)).await.unwrap(), announced);
}

pub(crate) async fn an_end_before_its_start_has_no_duration_and_is_marked([store, _]: Stores) {
    let id = store.track_start(start("e1"), None).await.unwrap().stored().session_id;
    let record = finish(&store, end(&id, "e2", -1)).await.unwrap();
    assert_eq!((record.state, record.duration_seconds, record.clock_skew), (State::Ended, None, true));
}

pub(crate) async fn an_end_of_an_unknown_session_finds_nothing([store, _]: Stores) {
    assert_eq!(finish(&store, end("nobody", "e", 1)).await, None);
}

pub(crate) async fn a_list_is_newest_first_filtered_and_goes_on_where_it_stopped([store, _]: Stores) {
    for number in 0..10 {
        let mut event = start(&format!("e{number}"));
        event.timestamp_us += number / 3; // several starts at the same moment
        event.component_name = if number % 2 == 0 { "even" } else { "odd" }.into();
        store.track_start(event, None).await.unwrap().stored();
    }
    let ids = |records: &[SessionRecord]| records.iter().map(|r| r.event_id.clone()).collect::<Vec<_>>();
    let expected: Vec<String> = (0..10).rev().map(|number| format!("e{number}")).collect();
    assert_eq!(ids(&all(&*store).await), expected);

    let mut walked = Vec::new();
    let mut next = ListQuery { limit: 3, ..ListQuery::default() };
    loop {
        let page = store.list(next.clone()).await.unwrap();
        walked.extend(ids(&page.records));
        let Some(cursor) = page.next else { break };
        next.after = Some(cursor);
    }
    assert_eq!(walked, expected);

    let mut oldest_first = Vec::new();
    let mut next = ListQuery { limit: 4, oldest_first: true, ..ListQuery::default() };
    loop {
        let page = store.list(next.clone()).await.unwrap();
        oldest_first.extend(ids(&page.records));
        let Some(cursor) = page.next else { break };
        next.after = Some(cursor);
    }
    assert!(oldest_first.iter().rev().eq(&expected));

    let odd =
        ListQuery { filter: Filter { component_name: Some("odd".into()), ..Filter::default() }, ..query(50) };
    assert_eq!(ids(&store.list(odd).await.unwrap().records), ["e9", "e7", "e5", "e3", "e1"]);
    let none =
        ListQuery { filter: Filter { session_type: Some("other".into()), ..Filter::default() }, ..query(50) };
    assert!(store.list(none).await.unwrap().records.is_empty());
    let id = store.show("c-e9".into()).await.unwrap().unwrap().session_id;
    finish(&store, end(&id, "x", 10)).await;
    let active = ListQuery { filter: Filter { state: Some(State::Active), ..Filter::default() }, ..query(2) };
    assert_eq!(ids(&store.list(active).await.unwrap().records), ["e8", "e7"]);
}

pub(crate) async fn a_list_with_much_metadata_comes_in_parts_that_clients_can_take([store, _]: Stores) {
    for number in 0..70 {
        let mut event = start(&format!("e{number}"));
        event.metadata = serde_json::json!({"long": "\"".repeat(20_000)}).to_string();
        store.track_start(event, None).await.unwrap().stored();
    }
    let first = store.list(query(1000)).await.unwrap();
    assert!((40..60).contains(&first.records.len()), "{}", first.records.len());
    let rest = store.list(ListQuery { after: first.next, ..query(1000) }).await.unwrap();
    assert_eq!(first.records.len() + rest.records.len(), 70);
    assert_eq!(rest.next, None);
}

pub(crate) async fn starts_of_the_same_second_have_ids_of_their_own([store, _]: Stores) {
    let starts: Vec<_> = (0..1000)
        .map(|number| {
            let store = Arc::clone(&store);
            tokio::spawn(async move {
                store.track_start(start(&format!("e{number}")), None).await.unwrap().stored().session_id
            })
        })
        .collect();
    let mut ids = BTreeSet::new();
    for start in starts {
        ids.insert(start.await.unwrap());
    }
    assert_eq!(ids.len(), 1000);
    assert_eq!(store.counts().await.unwrap(), Counts { total: 1000, active: 1000 });
}

pub(crate) async fn only_the_identity_that_began_a_session_ends_or_renews_it([store, _]: Stores) {
    let (ada, bob) = (Some("ada".to_owned()), Some("bob".to_owned()));
    let id = store.track_start(start("e1"), ada.clone()).await.unwrap().stored().session_id;
    for stranger in [None, bob.clone()] {
        assert_eq!(store.track_end(end(&id, "e2", 5), stranger.clone()).await.unwrap(), Ending::Foreign);
        assert!(store.renew(renewal(&[&id], stranger)).await.unwrap().is_empty());
    }
    let record = store.show(id.clone()).await.unwrap().unwrap();
    assert_eq!((record.state, record.owner.as_deref()), (State::Active, Some("ada")));
    assert_eq!(store.renew(renewal(&[&id], ada.clone())).await.unwrap(), std::slice::from_ref(&id));
    assert!(matches!(store.track_end(end(&id, "e2", 5), ada).await.unwrap(), Ending::Known(_)));
    let shared = store.track_start(start("e3"), None).await.unwrap().stored().session_id;
    assert_eq!(store.track_end(end(&shared, "e4", 5), bob).await.unwrap(), Ending::Foreign);
}

pub(crate) async fn a_skewed_inferred_end_is_replaced_by_the_announced_one([store, _]: Stores) {
    let id = store.track_start(start("e1"), None).await.unwrap().stored().session_id;
    let skewed = finish(&store, vanished(&id, -5)).await.unwrap();
    assert_eq!((skewed.duration_seconds, skewed.clock_skew), (None, true));
    let announced = finish(&store, end(&id, "e2", 2_000_000)).await.unwrap();
    assert_eq!((announced.duration_seconds, announced.clock_skew), (Some(2.0), false));
}

pub(crate) async fn what_ended_long_ago_is_archived_and_kept([store, _]: Stores) {
    let old = store.track_start(start("e1"), None).await.unwrap().stored().session_id;
    finish(&store, end(&old, "e2", 10)).await;
    let young = store.track_start(start("e3"), None).await.unwrap().stored().session_id;
    finish(&store, end(&young, "e4", 1000)).await;
    store.track_start(start("e5"), None).await.unwrap().stored();
    assert_eq!(store.archive(START_US + 1000).await.unwrap(), 1);
    assert_eq!(store.archive(START_US + 1000).await.unwrap(), 0);
    assert_eq!(all(&*store).await.len(), 2);
    let with_archived = Filter { with_archived: true, ..Filter::default() };
    assert_eq!(store.list(ListQuery { filter: with_archived, ..query(10) }).await.unwrap().records.len(), 3);
    assert!(store.show(old).await.unwrap().unwrap().archived_at.is_some());
    assert_eq!(store.counts().await.unwrap().total, 3);
}

pub(crate) async fn sessions_are_found_by_user_host_and_time([store, _]: Stores) {
    for number in 0..6_i64 {
        let mut event = start(&format!("e{number}"));
        event.timestamp_us += number * 1_000_000;
        event.user.username = if number % 2 == 0 { "ada" } else { "bob" }.into();
        event.hostname = if number < 3 { "engine" } else { "mill" }.into();
        store.track_start(event, None).await.unwrap().stored();
    }
    let found = |filter: Filter| {
        let store = Arc::clone(&store);
        async move {
            let page = store.list(ListQuery { filter, ..query(50) }).await.unwrap();
            page.records.into_iter().map(|record| record.event_id).collect::<Vec<_>>()
        }
    };
    let ada = Filter { username: Some("ada".into()), hostname: Some("engine".into()), ..Filter::default() };
    assert_eq!(found(ada).await, ["e2", "e0"]);
    let (from, before) = (Some(START_US + 1_000_000), Some(START_US + 3_000_000));
    let between = Filter { started_from_us: from, started_before_us: before, ..Filter::default() };
    assert_eq!(found(between).await, ["e2", "e1"]);
}

pub(crate) async fn an_event_id_that_is_taken_by_another_start_is_refused([store, second]: Stores) {
    let first = store.track_start(start("e1"), None).await.unwrap();
    assert_eq!(second.track_start(start("e1"), None).await.unwrap(), first);
    let later_version = StartEvent { metadata: "{}".into(), ..start("e1") };
    assert_eq!(store.track_start(later_version, None).await.unwrap(), first, "it cleans otherwise");
    let user = UserInfo { username: "bob".into(), ..start("e1").user };
    for other in [
        StartEvent { component_name: "other".into(), ..start("e1") },
        StartEvent { shell_type: "bash".into(), ..start("e1") },
        StartEvent { pid: 4712, ..start("e1") },
        StartEvent { hostname: "mill".into(), ..start("e1") },
        StartEvent { timestamp_us: START_US + 1, ..start("e1") },
        StartEvent { correlation_id: None, ..start("e1") },
        StartEvent { user, ..start("e1") },
    ] {
        assert_eq!(store.track_start(other, None).await.unwrap(), Starting::Conflict);
    }
    let stranger = store.track_start(start("e1"), Some("ada".into())).await.unwrap();
    assert_eq!(stranger, Starting::Conflict);
    assert_eq!(store.counts().await.unwrap().total, 1);
}

pub(crate) async fn an_imported_session_keeps_its_id_and_is_taken_in_once([store, _]: Stores) {
    let import = Import {
        session_id: "elsewhere-1".into(),
        start: start("e1"),
        end: Some(end("elsewhere-1", "e2", 1_000_000)),
        owner: Some("ada".into()),
        last_seen_us: Some(START_US + 5),
        archived_us: None,
    };
    assert!(store.import(import.clone()).await.unwrap());
    assert!(!store.import(import.clone()).await.unwrap());
    assert!(
        !store.import(Import { session_id: "other".into(), ..import.clone() }).await.unwrap(),
        "the event is known"
    );
    let record = store.show("elsewhere-1".into()).await.unwrap().unwrap();
    assert_eq!(
        (record.state, record.duration_seconds, record.owner.as_deref()),
        (State::Ended, Some(1.0), Some("ada"))
    );
    assert_eq!(all(&*store).await.len(), 1);
    store.check().await.unwrap();
}
