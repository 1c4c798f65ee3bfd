//! The server is away while shells come and go: nobody notices, and nothing is lost.
//!
//! These take as long as a breaker stays open (60 s and some jitter): it is the real one.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use serde_json::Value;
use shelltrack_tests::{Answer, FakeSessionBuddy, Home, Server};

/// Shells that come and go meanwhile.
const SHELLS: usize = 20;

/// The breaker opens for 60 s and doubles with every failed probe: two intervals and the jitter.
const RECOVERY_SECONDS_MAX: u64 = 240;

/// Runs shell number `number`, which must be just as it is without us.
#[track_caller]
fn run_untouched(home: &Home, number: usize) {
    let component = format!("shell-{number:02}");
    let script = "echo out; echo err >&2; exit 3";
    let ran = home.shelltrack(&["run", "--component", &component, "--", "sh", "-c", script]).expect(3);
    assert_eq!((ran.stdout.as_str(), ran.stderr.as_str()), ("out\n", "err\n"));
}

#[test]
fn twenty_shells_of_an_outage_become_twenty_complete_records() {
    let mut server = Server::start();
    let home = Home::with_config(&server.config());
    server.stop();
    for number in 0..SHELLS {
        run_untouched(&home, number);
    }
    assert_eq!(home.sessions().len(), SHELLS, "all of them are listed before they are delivered");

    server.start_again();
    home.flush_within(RECOVERY_SECONDS_MAX);
    let mut records = home.sessions();
    records.reverse();
    let names: Vec<&str> = records.iter().map(|record| record.text("component_name")).collect();
    let expected: Vec<String> = (0..SHELLS).map(|number| format!("shell-{number:02}")).collect();
    assert_eq!(names, expected, "every one once, in order");
    for record in &records {
        record.check_ended(3);
    }
    assert_eq!(home.status()["dead_letters"], 0);
}

#[test]
fn what_arrives_after_an_outage_is_in_order_and_nothing_arrives_twice() {
    let fake = FakeSessionBuddy::start();
    let home = Home::with_config(&fake.config());
    fake.set_down(true);
    for number in 0..SHELLS {
        run_untouched(&home, number);
    }
    fake.set_down(false);
    home.flush_within(RECOVERY_SECONDS_MAX);

    let started = fake.accepted("track_session_start");
    let names: Vec<&str> = started.iter().filter_map(|start| start["component_name"].as_str()).collect();
    let expected: Vec<String> = (0..SHELLS).map(|number| format!("shell-{number:02}")).collect();
    assert_eq!(names, expected, "every start once, in order");
    check_every_start_before_its_end(&fake);
}

/// Asserts that every session has one start and, later, one end.
#[track_caller]
fn check_every_start_before_its_end(fake: &FakeSessionBuddy) {
    let mut heard: BTreeMap<String, Vec<String>> = BTreeMap::new();
    for call in fake.calls().into_iter().filter(|call| call.tool != "health_check") {
        let key = text(&call.arguments["metadata"]["correlation_id"]);
        heard.entry(key).or_default().push(call.tool);
    }
    assert_eq!(heard.len(), SHELLS);
    for (key, tools) in heard {
        assert_eq!(tools, ["track_session_start", "track_session_end"], "session {key}");
    }
}

#[track_caller]
fn text(value: &Value) -> String {
    value.as_str().unwrap_or_else(|| panic!("no text: {value:#}")).to_owned()
}

#[test]
fn a_shell_opened_before_the_outage_and_closed_in_it_ends_properly() {
    let mut server = Server::start();
    let home = Home::with_config(&server.config());
    let pid = std::process::id().to_string();
    let key = home.shelltrack(&["start", "--component", "long", "--pid", &pid]).expect(0).stdout;
    home.flush();
    server.stop();
    home.shelltrack(&["end", key.trim(), "--exit-status", "0"]).expect(0);
    server.start_again();
    home.flush_within(RECOVERY_SECONDS_MAX);
    let records = home.sessions();
    assert_eq!(records.len(), 1, "{records:#?}");
    records[0].check_ended(0);
}

#[track_caller]
fn check_wait_is_respected(status: u16) {
    let fake = FakeSessionBuddy::start();
    let home = Home::with_config(&fake.config());
    fake.answer_next([Answer::Http(status, &[("Retry-After", "6")])]);
    let began = Instant::now();
    home.run(&["true"]).expect(0);
    // A person waits, and asks for another try every other second.
    home.flush();
    assert!(began.elapsed() >= Duration::from_secs(6), "{:?}", began.elapsed());
    let starts = fake.calls().into_iter().filter(|call| call.tool == "track_session_start").count();
    assert_eq!(starts, 2, "one that is put off, and one when it is time");
    assert_eq!(fake.accepted("track_session_end").len(), 1);
}

#[test]
fn a_flush_asks_a_busy_server_no_sooner_than_it_wants_to_be_asked() {
    check_wait_is_respected(429);
    check_wait_is_respected(503);
}

#[test]
fn a_flush_says_which_server_it_waits_for() {
    let mut server = Server::start();
    let home = Home::with_config(&server.config());
    server.stop();
    home.run(&["true"]).expect(0);
    let told = home.shelltrack(&["flush", "--timeout", "10"]).expect(1).stderr;
    let lines: Vec<&str> = told.lines().collect();
    assert_eq!(lines.len(), 2, "{told}");
    assert!(lines[0].contains("http://127.0.0.1") && lines[0].ends_with("still trying"), "{told}");
    assert!(lines[1].contains("of 2 events 2 still wait"), "{told}");
}

#[test]
fn a_flush_does_not_wait_for_what_no_waiting_helps() {
    let fake = FakeSessionBuddy::with_tools(&["search_reflections"]);
    let home = Home::with_config(&fake.config());
    home.run(&["true"]).expect(0);
    let told = home.shelltrack(&["flush"]).expect(1).stderr;
    assert!(told.contains(&fake.url()) && told.contains("track_session_start"), "{told}");
    assert_eq!(home.status()["queued"], 2, "they wait on");
}
