//! Breakers in the hands of a person, and values that are configured.

use std::time::{Duration, Instant};

use shelltrack_tests::{BOUND, FakeSessionBuddy, Home, wait_until};

/// Waits until `status` shows the only target's breaker in this phase.
#[track_caller]
fn wait_for_phase(home: &Home, phase: &str) {
    wait_until(&format!("the breaker is {phase}"), BOUND, || {
        (home.status()["targets"].get(0)?["breaker"] == phase).then_some(())
    });
}

#[test]
fn a_flush_does_not_close_a_breaker_that_is_held_open_by_hand() {
    let fake = FakeSessionBuddy::start();
    let home = Home::with_config(&fake.config());
    home.run(&["true"]).expect(0);
    home.flush();
    let before = fake.calls().len();

    home.shelltrack(&["breaker", "open"]).expect(0);
    home.run(&["true"]).expect(0);
    // Also one that was to wait as long as it takes: no waiting helps.
    for arguments in [&["flush", "--timeout", "3"][..], &["flush"]] {
        let flushed = home.shelltrack(arguments).expect(1);
        assert!(flushed.stderr.contains("held open"), "{flushed:?}");
    }
    assert_eq!(fake.calls().len(), before, "nothing is sent");
    let status = home.status();
    assert_eq!((&status["queued"], &status["targets"][0]["breaker"]), (&2.into(), &"forced-open".into()));
    let told = home.shelltrack(&["status"]).expect(1).stdout;
    assert!(told.contains("held open by hand"), "{told}");

    home.shelltrack(&["breaker", "reset"]).expect(0);
    home.flush();
    assert_eq!(fake.accepted("track_session_end").len(), 2);
    home.shelltrack(&["status"]).expect(0);
}

#[test]
fn an_order_for_a_breaker_is_seen_before_there_was_any_session() {
    for (order, phase) in [("open", "forced-open"), ("disable", "disabled")] {
        let home = Home::new();
        home.shelltrack(&["breaker", order]).expect(0);
        assert_eq!(home.status()["targets"][0]["breaker"], phase);
        assert!(home.shelltrack(&["status"]).stdout.contains(phase));
    }
}

#[test]
fn an_order_for_a_breaker_outlives_the_agent() {
    let fake = FakeSessionBuddy::start();
    let home = Home::with_config(&fake.config());
    // There is neither an agent nor a target that anybody knows yet.
    home.shelltrack(&["breaker", "open", &fake.url()]).expect(0);
    home.run(&["true"]).expect(0);
    home.shelltrack(&["flush", "--timeout", "2"]).expect(1);
    assert_eq!(fake.calls(), []);
    home.shelltrack(&["breaker", "close", &fake.url()]).expect(0);
    home.flush();
}

#[test]
fn a_disabled_breaker_lets_everything_through_and_stays_disabled() {
    let fake = FakeSessionBuddy::start();
    let home = Home::with_config(&format!(
        "{}[breaker]\nfailures = 1\nopen_seconds = 3600\n[delivery]\nretry_seconds = 0.05\n",
        fake.config()
    ));
    home.shelltrack(&["breaker", "disable"]).expect(0);
    fake.set_down(true);
    home.run(&["true"]).expect(0);
    wait_for_phase(&home, "disabled");
    fake.set_down(false);
    home.flush();
    assert_eq!(home.status()["targets"][0]["breaker"], "disabled");
}

#[test]
fn a_server_that_nobody_knows_is_no_target() {
    let home = Home::new();
    let unknown = home.shelltrack(&["breaker", "open", "http://nowhere.invalid/mcp"]).expect(1);
    assert!(unknown.stderr.contains("nowhere.invalid"), "{unknown:?}");
}

#[test]
fn the_breaker_opens_and_closes_as_configured() {
    let fake = FakeSessionBuddy::start();
    let home = Home::with_config(&format!(
        "{}[breaker]\nfailures = 2\nopen_seconds = 0.3\nopen_seconds_max = 0.3\n\
         [delivery]\nretry_seconds = 0.05\nretry_seconds_max = 0.05\n",
        fake.config()
    ));
    fake.set_down(true);
    home.run(&["true"]).expect(0);
    wait_for_phase(&home, "open");
    let began = Instant::now();
    fake.set_down(false);
    // Nobody asks for another try: the breaker itself sends a probe.
    wait_until("everything is delivered", BOUND, || (home.status()["queued"] == 0).then_some(()));
    assert!(began.elapsed() < Duration::from_secs(30), "by default it would be a minute");
    wait_until("both events arrived", BOUND, || {
        (fake.accepted("track_session_end").len() == 1).then_some(())
    });
}

#[test]
fn nonsense_in_the_tuning_is_refused_by_name() {
    for (toml, key) in [
        ("[breaker]\nfailures = 0\n", "breaker.failures"),
        ("[breaker]\nopen_seconds = -1\n", "breaker.open_seconds"),
        ("[delivery]\nattempts = 0\n", "delivery.attempts"),
        ("[delivery]\ncall_seconds = 1e9\n", "delivery.call_seconds"),
        ("[limits]\nstarts_burst = 0\n", "limits.starts_burst"),
        ("[dead-letters]\ndays = 99999999\n", "dead-letters.days"),
    ] {
        let home = Home::with_config(toml);
        let refused = home.shelltrack(&["status"]).expect(2);
        assert!(refused.stderr.contains(key), "{refused:?}");
    }
}
