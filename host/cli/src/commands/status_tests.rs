//! When a person is needed, and when not.

use shelltrack_tracker::Status;
use shelltrack_tracker::metrics::Refused;

use super::*;

fn quiet() -> Status {
    Status {
        spool: PathBuf::from("/spool"),
        target: Target::Http { url: "http://h/mcp".to_owned() },
        agent_pid: None,
        agent_silent_since_ms: None,
        agent_version: None,
        queued: 0,
        queued_bytes: 0,
        queued_max: 100,
        queued_bytes_max: 100,
        oldest_queued_ms: None,
        last_delivery_ms: None,
        open_sessions: 0,
        dead_letters: 0,
        dead_letters_removed: 0,
        last_removed_ms: None,
        set_aside: 0,
        refused: Refused::default(),
        last_refused_ms: None,
        targets: Vec::new(),
        unserved: Vec::new(),
    }
}

fn reached() -> Probe {
    Probe { reachable: true, server: Some("buddy 1".to_owned()), ..Probe::default() }
}

fn down() -> Probe {
    Probe { error: Some("refused".to_owned()), ..Probe::default() }
}

fn target(url: &str) -> TargetStatus {
    TargetStatus {
        target: Target::Http { url: url.to_owned() },
        breaker: "open".to_owned(),
        last_error: None,
        retry_at_ms: None,
        unreachable_since_ms: Some(0),
        last_delivery_ms: None,
        server: None,
        tools: None,
        needs_attention: None,
    }
}

#[track_caller]
fn check(status: &Status, probe: &Probe, now_ms: u64, expected: &[&str]) {
    let told = attention(status, Some(probe), now_ms);
    assert_eq!(told.len(), expected.len(), "{told:?}");
    for (line, word) in told.iter().zip(expected) {
        assert!(line.contains(word), "{line:?} does not say {word:?}");
    }
}

#[test]
fn nobody_is_called_while_all_is_well_or_an_outage_is_short() {
    check(&quiet(), &reached(), 0, &[]);
    let waiting = Status { queued: 1, oldest_queued_ms: Some(0), ..quiet() };
    check(&waiting, &down(), WAITING_MAX_MS, &[]);
    check(&waiting, &down(), WAITING_MAX_MS + 1, &["waits since"]);
}

#[test]
fn a_server_that_does_not_answer_for_long_needs_a_person_when_events_wait_for_it() {
    let waiting = Status { queued: 1, targets: vec![target("http://h/mcp")], ..quiet() };
    check(&waiting, &down(), UNREACHABLE_MAX_MS, &[]);
    check(&waiting, &down(), UNREACHABLE_MAX_MS + 1, &["does not answer since"]);
    check(&waiting, &reached(), UNREACHABLE_MAX_MS + 1, &[]);
    check(&Status { queued: 0, ..waiting }, &down(), UNREACHABLE_MAX_MS + 1, &[]);
}

#[test]
fn a_server_without_the_tracking_tools_is_told_in_one_plain_line() {
    let stock = Probe { lacks: Some("it has no tracking tools".to_owned()), ..reached() };
    check(&quiet(), &stock, 0, &["http://h/mcp: it has no tracking tools"]);
}

#[test]
fn a_server_that_refuses_calls_needs_a_person_though_it_connects_with_anybody() {
    let words = Some("HTTP 401: no token".to_owned());
    let seen = TargetStatus { needs_attention: words.clone(), last_error: words, ..target("http://h/mcp") };
    let refused = Status { queued: 1, targets: vec![seen.clone()], ..quiet() };
    for probe in [reached(), down()] {
        check(&refused, &probe, 0, &["http://h/mcp: HTTP 401"]);
    }
    assert!(!attention(&refused, None, 0).is_empty(), "the metrics say the same");
    let line = target_line(&seen);
    assert!(line.contains("takes nothing since") && !line.contains("does not answer"), "{line}");
}

#[test]
fn a_server_that_lacked_the_tools_and_has_them_now_needs_nobody() {
    let lacked = TargetStatus {
        needs_attention: Some("offers no track_session_start".to_owned()),
        tools: Some(vec!["ping".to_owned()]),
        ..target("http://h/mcp")
    };
    let waiting = Status { queued: 1, targets: vec![lacked], ..quiet() };
    check(&waiting, &reached(), 0, &[]);
    check(&waiting, &down(), 0, &["offers no track_session_start"]);
}

#[test]
fn an_agent_that_does_nothing_needs_a_person_while_events_wait() {
    let silent = Status { agent_pid: Some(7), agent_silent_since_ms: Some(1), ..quiet() };
    check(&silent, &reached(), 2, &[]);
    check(&Status { queued: 1, ..silent.clone() }, &reached(), 2, &["pid 7: says nothing since"]);
    check(&Status { queued: 1, agent_silent_since_ms: None, ..silent }, &reached(), 2, &[]);
}

#[test]
fn our_own_server_is_never_away_for_a_moment() {
    let own = Status { target: Target::Embedded { database: PathBuf::from("/db") }, ..quiet() };
    check(&own, &down(), 0, &["/db"]);
    // It can be read, and the agent that writes to it cannot open it.
    let last_error = Some("Permission denied".to_owned());
    let seen = TargetStatus { target: own.target.clone(), last_error, ..target("http://h/mcp") };
    let waiting = Status { queued: 1, targets: vec![seen], ..own };
    check(&waiting, &reached(), 0, &["/db: Permission denied"]);
    check(&waiting, &down(), 0, &["/db: refused"]);
    check(&Status { queued: 0, ..waiting }, &reached(), 0, &[]);
}

#[test]
fn dead_letters_need_a_person_and_refused_sessions_do_for_a_day() {
    let refused = Refused { spool_full: 1, ..Refused::default() };
    let status = Status { dead_letters: 2, refused, last_refused_ms: Some(5), ..quiet() };
    check(&status, &reached(), 6, &["2 events given up", "1 because the spool was full"]);
    check(&status, &reached(), 5 + REFUSED_TOLD_MS, &["2 events given up"]);
}

#[test]
fn a_breaker_that_is_held_open_is_not_forgotten() {
    let held = TargetStatus { breaker: "forced-open".to_owned(), ..target("http://other/mcp") };
    let held = TargetStatus { unreachable_since_ms: None, ..held };
    check(&Status { targets: vec![held], ..quiet() }, &reached(), 0, &["http://other/mcp: its breaker"]);
}

#[test]
fn dead_letters_that_were_removed_are_told_for_a_week() {
    let removed = Status { dead_letters_removed: 3, last_removed_ms: Some(1), ..quiet() };
    check(&removed, &reached(), REMOVED_TOLD_MS, &["3 events given up and removed"]);
    check(&removed, &reached(), REMOVED_TOLD_MS + 1, &[]);
}

#[test]
fn events_that_nobody_is_there_for_are_told_after_an_hour_with_the_way_to_deliver_them() {
    let spool = PathBuf::from("/state/spool-other-1");
    let other = Unserved { spool, queued: 2, oldest_queued_ms: Some(0) };
    let status = Status { unserved: vec![other], ..quiet() };
    check(&status, &reached(), WAITING_MAX_MS, &[]);
    check(&status, &reached(), WAITING_MAX_MS + 1, &["shelltrack agent '/state/spool-other-1'"]);
}
