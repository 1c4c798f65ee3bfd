//! Servers on their bad days: what is retried, what is final, and what a person is told.

use serde_json::Value;
use shelltrack_tests::{Answer, BOUND, Exposition, FakeSessionBuddy, Home, wait_until};

/// Retries go out within seconds; the breaker's minute may come on top.
const RETRY_SECONDS_MAX: u64 = 180;

/// Status of the only target there is.
#[track_caller]
fn only_target(home: &Home) -> Value {
    let status = home.status();
    assert_eq!(status["targets"].as_array().map(Vec::len), Some(1), "{status:#}");
    status["targets"][0].clone()
}

/// Waits until `status` has one plain line for people that contains `word`.
#[track_caller]
fn wait_for_attention(home: &Home, word: &str) {
    let line = wait_until("status asks for attention", BOUND, || {
        let target = home.status()["targets"].get(0)?.clone();
        Some(target["needs_attention"].as_str()?.to_owned())
    });
    assert!(line.contains(word) && line.lines().count() == 1, "{line}");
}

#[test]
fn a_refused_session_becomes_a_dead_letter_and_the_next_one_is_not_held_up() {
    let fake = FakeSessionBuddy::start();
    fake.answer_next([Answer::StatusError("cwd does not exist here")]);
    let home = Home::with_config(&fake.config());
    home.shelltrack(&["run", "--component", "refused", "--", "true"]).expect(0);
    // Delivery is over when nothing waits any more, well or not.
    home.shelltrack(&["flush", "--timeout", "60"]);
    home.shelltrack(&["run", "--component", "next", "--", "true"]).expect(0);
    home.flush();

    let started = fake.accepted("track_session_start");
    assert_eq!(started.len(), 1, "{started:#?}");
    assert_eq!(started[0]["component_name"], "next");
    assert_eq!(fake.accepted("track_session_end").len(), 1, "a dead start takes its end along");
    assert_eq!(home.status()["dead_letters"], 2);
    assert_eq!(only_target(&home)["breaker"], "closed", "a refusal is no failure of the server");
}

#[test]
fn a_busy_server_is_asked_again_and_gets_each_event_once() {
    let fake = FakeSessionBuddy::start();
    let busy = Answer::Http(503, &[("Retry-After", "1")]);
    fake.answer_next([busy.clone(), busy]);
    let home = Home::with_config(&fake.config());
    home.run(&["true"]).expect(0);
    home.flush_within(RETRY_SECONDS_MAX);
    assert_eq!(fake.accepted("track_session_start").len(), 1);
    assert_eq!(fake.accepted("track_session_end").len(), 1);
}

#[test]
fn an_answer_that_is_none_is_no_success() {
    let fake = FakeSessionBuddy::start();
    let odd = serde_json::json!({"session_id": null, "status": "tracked", "error": null});
    fake.answer_next([Answer::Garbled, Answer::Content(odd)]);
    let home = Home::with_config(&fake.config());
    home.run(&["true"]).expect(0);
    home.shelltrack(&["flush", "--timeout", &RETRY_SECONDS_MAX.to_string()]);
    let status = home.status();
    let accepted = fake.accepted("track_session_start").len();
    assert!(accepted == 1 || status["dead_letters"] != 0, "neither delivered nor told: {status:#}");
}

#[test]
fn an_answer_lost_on_its_way_is_asked_for_again_with_the_same_event_id() {
    let fake = FakeSessionBuddy::start();
    fake.answer_next([Answer::HeardThenCut]);
    let home = Home::with_config(&fake.config());
    home.run(&["true"]).expect(0);
    home.flush_within(RETRY_SECONDS_MAX);
    let calls = fake.calls();
    let ids: Vec<&Value> = calls
        .iter()
        .filter(|call| call.tool == "track_session_start")
        .map(|call| &call.arguments["event_id"])
        .collect();
    assert_eq!(ids.len(), 2, "{ids:?}");
    assert_eq!(ids[0], ids[1], "the server can only tell a repetition by its id");
}

#[test]
fn a_server_without_the_tracking_tools_is_told_in_one_plain_line() {
    let fake = FakeSessionBuddy::with_tools(&["search_reflections", "health_check"]);
    let home = Home::with_config(&fake.config());
    home.run(&["true"]).expect(0);
    wait_for_attention(&home, "track_session_start");
    assert_eq!(home.status()["queued"], 2, "both events wait for a server that has the tools");
    let told = home.shelltrack(&["status"]).stdout;
    assert!(told.lines().any(|line| line.contains("track_session_start")), "{told}");
}

#[test]
fn a_refused_identity_pauses_the_target_and_is_told() {
    let fake = FakeSessionBuddy::start();
    fake.answer_next(vec![Answer::Http(401, &[("WWW-Authenticate", "Bearer")]); 50]);
    let home = Home::with_config(&fake.config());
    home.run(&["true"]).expect(0);
    wait_for_attention(&home, "");
    let status = home.status();
    assert_eq!((&status["queued"], &status["dead_letters"]), (&2.into(), &0.into()), "{status:#}");
}

#[test]
fn a_target_without_list_tools_shows_the_local_state_and_says_so() {
    let fake = FakeSessionBuddy::start();
    let home = Home::with_config(&fake.config());
    let pid = std::process::id().to_string();
    home.shelltrack(&["start", "--component", "local", "--pid", &pid]).expect(0);
    home.flush();
    let listed = home.shelltrack(&["list-sessions", "--json"]).expect(0);
    let records: Vec<Value> = serde_json::from_str(&listed.stdout).unwrap();
    assert_eq!(records.len(), 1, "{listed:?}");
    assert_eq!(records[0]["component_name"], "local");
    assert!(listed.stderr.contains("list_sessions"), "it says what the server lacks: {listed:?}");
}

#[test]
fn a_server_that_refuses_every_event_needs_a_person_though_it_tells_its_tools_to_anybody() {
    let fake = FakeSessionBuddy::start();
    fake.answer_those_with("", Answer::Http(401, &[]));
    let home = Home::with_config(&fake.config());
    home.run(&["true"]).expect(0);
    wait_until("the refusal is known", BOUND, || {
        home.status()["targets"].get(0)?["needs_attention"].as_str().map(drop)
    });
    let told = home.shelltrack(&["status"]).expect(1).stdout;
    let attention = told.lines().find(|line| line.contains("ATTENTION")).unwrap_or_default();
    assert!(attention.contains(&fake.url()) && attention.contains("401"), "{told}");
    assert!(told.contains("takes nothing since") && !told.contains("does not answer"), "{told}");
    let json: Value = serde_json::from_str(&home.shelltrack(&["status", "--json"]).expect(1).stdout).unwrap();
    assert_eq!(json["attention"].as_array().map(Vec::len), Some(1), "{json:#}");
    let metrics = Exposition::parse(&home.shelltrack(&["status", "--prometheus"]).expect(0).stdout);
    assert_eq!(metrics.value("shelltrack_needs_person"), 1.0);
    fake.answer_well();
    home.flush();
    home.shelltrack(&["status"]).expect(0);
}
