//! While shells live, a server that offers it hears of them.

use std::time::Duration;

use serde_json::Value;

use super::super::OpenSession;
use super::World;
use super::server::Answer;
use crate::process::ProcessId;

const TOOLS: [&str; 4] =
    ["track_session_start", "track_session_end", "health_check", "track_session_activity"];

fn ids(call: &Value) -> usize {
    call["session_ids"].as_array().map_or(0, Vec::len)
}

#[test]
fn open_sessions_are_renewed_three_times_a_lease_and_ended_ones_are_not() {
    let world = World::new();
    world.buddy.offer(&TOOLS);
    let (stays, goes) = (world.start(), world.start());
    world.play(async || {
        tokio::time::sleep(Duration::from_secs(205)).await;
        let renewed = world.buddy.calls("track_session_activity");
        assert_eq!(renewed.iter().map(ids).collect::<Vec<_>>(), [2, 2, 2], "after 60, 120 and 180 s");
        assert_eq!(renewed[0]["lease_seconds"], 180);
        assert!(chrono::DateTime::parse_from_rfc3339(renewed[0]["timestamp"].as_str().unwrap()).is_ok());
        world.end(goes);
        tokio::time::sleep(Duration::from_secs(60)).await;
        let renewed = world.buddy.calls("track_session_activity");
        assert_eq!(renewed.iter().map(ids).collect::<Vec<_>>(), [2, 2, 2, 1]);
        world.end(stays);
    });
    world.check_complete(&[stays, goes]);
}

#[test]
fn a_server_that_does_not_offer_it_is_not_even_connected_to() {
    let world = World::new();
    let key = world.start();
    world.play(async || {
        tokio::time::sleep(Duration::from_secs(3_600)).await;
        assert_eq!(world.network.connections(), 1);
        world.end(key);
    });
    world.check_complete(&[key]);
}

#[test]
fn a_renewal_that_fails_counts_once_an_interval_and_delays_no_event() {
    let world = World::new();
    world.buddy.offer(&TOOLS);
    let key = world.start();
    world.play(async || {
        tokio::time::sleep(Duration::from_secs(30)).await;
        world.buddy.answer_next([Answer::ToolError("boom"), Answer::ToolError("boom")]);
        tokio::time::sleep(Duration::from_secs(120)).await;
        // Two intervals, two failures: fewer than open a breaker.
        let status = crate::status::TargetStatus::load(&world.spool, &World::target("one"));
        assert_eq!(status.breaker, "closed");
        assert_eq!(world.buddy.calls("track_session_activity").len(), 2);
        world.end(key);
    });
    world.check_complete(&[key]);
}

#[test]
fn a_recovery_that_only_leases_tell_of_leaves_no_stale_error() {
    let world = World::new();
    world.buddy.offer(&TOOLS);
    let key = world.start();
    let seen = || crate::status::TargetStatus::load(&world.spool, &World::target("one"));
    world.play(async || {
        tokio::time::sleep(Duration::from_secs(30)).await;
        world.network.set_down("one", true);
        tokio::time::sleep(Duration::from_secs(60)).await;
        assert!(seen().last_error.is_some(), "{:?}", seen());
        world.network.set_down("one", false);
        tokio::time::sleep(Duration::from_secs(180)).await;
        let now = seen();
        assert_eq!((now.last_error, now.retry_at_ms, now.unreachable_since_ms), (None, None, None));
        world.end(key);
    });
    world.check_complete(&[key]);
}

#[test]
fn what_waits_for_a_server_that_knows_events_again_goes_side_by_side_and_in_order_within_a_session() {
    let world = World::new();
    world.buddy.offer(&TOOLS);
    let keys = world.sessions(150);
    world.drain();
    world.check_complete(&keys);
    assert_eq!(world.network.connections(), 1);
    assert_eq!(world.buddy.calls("track_session_start").len(), 150, "none twice");
    assert_eq!(world.buddy.calls("track_session_end").len(), 150, "none twice");
}

#[test]
fn of_many_under_way_those_that_are_refused_or_not_answered_hold_up_nobody() {
    let world = World::new();
    world.buddy.offer(&TOOLS);
    let keys = world.sessions(40);
    // The first one opens the way; of those after it some go wrong.
    let trouble =
        [Answer::StatusError("no"), Answer::Silence, Answer::StoredInSilence, Answer::ToolError("boom")];
    world.buddy.answer_next([Answer::Good, Answer::Good].into_iter().chain(trouble));
    world.drain();
    let refused: Vec<_> = keys.iter().filter(|key| world.buddy.stored(**key).is_empty()).collect();
    assert_eq!(refused.len(), 1, "the one that was refused");
    assert_eq!(world.names("dead").len(), 2, "its start and its end");
    keys.iter().filter(|key| !refused.contains(key)).for_each(|key| world.buddy.check_stored_once(*key));
}

#[test]
fn a_refused_renewal_is_no_failure_of_the_server() {
    let world = World::new();
    world.buddy.offer(&TOOLS);
    let key = world.start();
    world.play(async || {
        tokio::time::sleep(Duration::from_secs(30)).await;
        world.buddy.answer_next(vec![Answer::StatusError("lease_seconds: too long"); 5]);
        tokio::time::sleep(Duration::from_secs(300)).await;
        let status = crate::status::TargetStatus::load(&world.spool, &World::target("one"));
        assert_eq!((status.breaker.as_str(), status.last_error), ("closed", None));
        world.end(key);
    });
    world.check_complete(&[key]);
}

#[test]
fn a_thousand_and_one_sessions_are_renewed_in_two_calls() {
    let world = World::new();
    world.buddy.offer(&TOOLS);
    for _ in 0..1_001 {
        // As an earlier agent left them: started, and known to the server.
        let me = ProcessId::of(std::process::id());
        let start = world.start_event(uuid::Uuid::new_v4(), World::target("one"), me);
        let mut session = OpenSession::from_start(&start, start.opened.as_ref().unwrap());
        session.session_id = Some(format!("sim-{}", session.key));
        session.save(&world.spool).unwrap();
    }
    world.run(async {
        let stopped = tokio::time::timeout(Duration::from_secs(1), world.agent(None)).await;
        assert!(stopped.is_err(), "shells live, so does their agent");
    });
    let mut renewed: Vec<_> = world.buddy.calls("track_session_activity").iter().map(ids).collect();
    renewed.sort_unstable();
    assert_eq!(renewed, [1, 1_000], "at once, since nobody knows for how long there was no agent");
}
