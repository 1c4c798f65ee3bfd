//! What every store promises about time: leases that are renewed, run out, and are renewed after that.

use super::*;

pub(super) fn renewal(ids: &[&str], owner: Owner) -> Renewal {
    let session_ids = ids.iter().map(|id| (*id).to_owned()).collect();
    Renewal { session_ids, seen_us: START_US + 7_000_000, lease_us: 60_000_000, owner }
}

pub(crate) async fn activity_renews_open_sessions_and_names_the_others([store, second]: Stores) {
    let open = store.track_start(start("e1"), None).await.unwrap().stored().session_id;
    let over = store.track_start(start("e2"), None).await.unwrap().stored().session_id;
    finish(&store, end(&over, "e3", 1)).await;
    let renewed = second.renew(renewal(&[&over, "nobody", &open, &open], None)).await.unwrap();
    assert_eq!(renewed, [open.clone(), open.clone()]);
    let record = store.show(open.clone()).await.unwrap().unwrap();
    assert_eq!(record.last_seen_at, "2024-11-20T09:19:59.000000Z");
    let earlier = Renewal { seen_us: START_US + 1, ..renewal(&[&open], None) };
    store.renew(earlier).await.unwrap();
    assert_eq!(store.show(open).await.unwrap().unwrap().last_seen_at, "2024-11-20T09:19:59.000000Z");
}

pub(crate) async fn a_session_unseen_for_longer_than_its_lease_is_lost_until_its_end_is_announced(
    [store, second]: Stores,
) {
    let id = store.track_start(start("e1"), None).await.unwrap().stored().session_id;
    let unseen = store.track_start(start("e2"), None).await.unwrap().stored().session_id;
    store.renew(Renewal { lease_us: -1, ..renewal(&[&id], None) }).await.unwrap();
    let lost = second.show(id.clone()).await.unwrap().unwrap();
    assert_eq!((lost.state, lost.exit_reason.as_deref()), (State::Lost, Some("expired")));
    assert_eq!(
        (lost.end_time.as_deref(), lost.duration_seconds),
        (Some("2024-11-20T09:19:59.000000Z"), Some(7.0))
    );
    assert_eq!(store.counts().await.unwrap(), Counts { total: 2, active: 1 });
    assert_eq!(
        store.show(unseen).await.unwrap().unwrap().state,
        State::Active,
        "nobody renews it, so it has time"
    );
    let announced = finish(&store, end(&id, "e3", 9_000_000)).await.unwrap();
    assert_eq!((announced.state, announced.duration_seconds), (State::Ended, Some(9.0)));
}

pub(crate) async fn what_an_agent_inferred_replaces_a_lease_that_ran_out([store, second]: Stores) {
    let id = store.track_start(start("e1"), None).await.unwrap().stored().session_id;
    store.renew(Renewal { lease_us: -1, ..renewal(&[&id], None) }).await.unwrap();
    assert_eq!(second.show(id.clone()).await.unwrap().unwrap().exit_reason.as_deref(), Some("expired"));
    let inferred = finish(&store, vanished(&id, 9_000_000)).await.unwrap();
    assert_eq!((inferred.state, inferred.exit_reason.as_deref()), (State::Crashed, Some("vanished")));
    assert_eq!(inferred.duration_seconds, Some(9.0));
    assert_eq!(finish(&second, vanished(&id, 10_000_000)).await.unwrap(), inferred);
}

pub(crate) async fn a_session_that_is_seen_again_after_its_lease_ran_out_is_active_again(
    [store, second]: Stores,
) {
    let id = store.track_start(start("e1"), None).await.unwrap().stored().session_id;
    store.renew(Renewal { lease_us: -1, ..renewal(&[&id], None) }).await.unwrap();
    assert_eq!(second.show(id.clone()).await.unwrap().unwrap().state, State::Lost);
    store.archive(i64::MAX).await.unwrap();
    let stranger = renewal(&[&id], Some("bob".into()));
    assert!(second.renew(stranger).await.unwrap().is_empty());

    let later = Renewal { seen_us: START_US + 60_000_000, ..renewal(&[&id], None) };
    assert_eq!(second.renew(later).await.unwrap(), std::slice::from_ref(&id));
    let alive = store.show(id.clone()).await.unwrap().unwrap();
    assert_eq!((alive.state, alive.end_time, alive.duration_seconds), (State::Active, None, None));
    assert_eq!((alive.exit_reason, alive.archived_at), (None, None));
    assert_eq!(alive.last_seen_at, "2024-11-20T09:20:52.000000Z");
    assert_eq!(store.counts().await.unwrap(), Counts { total: 1, active: 1 });

    let ended = finish(&store, end(&id, "e2", 70_000_000)).await.unwrap();
    assert_eq!((ended.state, ended.duration_seconds), (State::Ended, Some(70.0)));
    assert!(second.renew(renewal(&[&id], None)).await.unwrap().is_empty());
}

pub(crate) async fn a_session_that_an_event_ended_is_not_revived_by_activity([store, _]: Stores) {
    let announced_as = |reason, state| EndEvent {
        exit_reason: reason,
        state,
        event_id: None,
        metadata: "{}".into(),
        ..end("", "", 5)
    };
    for (number, event) in [
        announced_as(ExitReason::Exited, SessionState::Ended),
        announced_as(ExitReason::Vanished, SessionState::Crashed),
        announced_as(ExitReason::Rebooted, SessionState::Lost),
        announced_as(ExitReason::Expired, SessionState::Lost),
    ]
    .into_iter()
    .enumerate()
    {
        let id = store.track_start(start(&format!("e{number}")), None).await.unwrap().stored().session_id;
        let over = finish(&store, EndEvent { session_id: id.clone(), ..event }).await;
        assert!(store.renew(renewal(&[&id], None)).await.unwrap().is_empty(), "{over:?}");
        assert_eq!(store.show(id).await.unwrap(), over);
    }
}
