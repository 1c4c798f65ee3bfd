//! The emitting side's metrics, as node_exporter's textfile collector finds them.

use std::os::unix::fs::PermissionsExt;

use rustix::process::Signal;
use shelltrack_tests::{Answer, BOUND, Exposition, FakeSessionBuddy, Home, run_bounded, wait_until};

#[track_caller]
fn metrics(home: &Home) -> Exposition {
    Exposition::parse(&home.shelltrack(&["status", "--prometheus"]).expect(0).stdout)
}

/// Waits until the agent has counted so many deliveries.
#[track_caller]
fn wait_for_deliveries(home: &Home, number: f64) -> Exposition {
    wait_until(&format!("{number} deliveries are counted"), BOUND, || {
        let metrics = metrics(home);
        (metrics.sum("shelltrack_events_delivered_total", "result=\"delivered\"") == number)
            .then_some(metrics)
    })
}

#[test]
fn a_home_without_any_session_has_metrics_too() {
    let metrics = metrics(&Home::new());
    assert_eq!(metrics.value("shelltrack_queue_events"), 0.0);
    assert_eq!(metrics.value("shelltrack_events_accepted_total{event=\"start\"}"), 0.0);
    assert_eq!(metrics.value("shelltrack_needs_person"), 0.0);
}

#[test]
fn what_shells_emit_and_servers_take_is_counted() {
    let fake = FakeSessionBuddy::start();
    let home = Home::with_config(&fake.config());
    for _ in 0..3 {
        home.run(&["true"]).expect(0);
    }
    home.flush();
    let metrics = wait_for_deliveries(&home, 6.0);
    for event in ["start", "end"] {
        let series = format!("shelltrack_events_accepted_total{{event=\"{event}\"}}");
        assert_eq!(metrics.value(&series), 3.0);
    }
    assert_eq!(metrics.value("shelltrack_acceptance_seconds_count"), 6.0);
    assert_eq!(metrics.sum("shelltrack_delivery_seconds_count", ""), 6.0);
    assert_eq!(metrics.sum("shelltrack_delivery_attempts_total", "outcome=\"delivered\""), 6.0);
    assert_eq!(metrics.sum("shelltrack_target_up", &fake.url()), 1.0);
    assert_eq!(metrics.sum("shelltrack_breaker_state", "state=\"closed\""), 1.0);
    assert_eq!(metrics.sum("shelltrack_breaker_state", ""), 1.0, "a breaker is in one state");
}

#[test]
fn an_outage_and_a_refusal_are_counted() {
    let fake = FakeSessionBuddy::start();
    let home = Home::with_config(&format!(
        "{}[breaker]\nfailures = 1\nopen_seconds = 0.2\n[delivery]\nretry_seconds = 0.05\n",
        fake.config()
    ));
    fake.set_down(true);
    home.run(&["true"]).expect(0);
    wait_until("the server is known to be away", BOUND, || {
        let metrics = metrics(&home);
        let away = metrics.sum("shelltrack_target_unavailable_seconds_total", "") > 0.0;
        (away && metrics.sum("shelltrack_target_up", "target_id") == 0.0).then_some(())
    });
    assert_eq!(metrics(&home).value("shelltrack_queue_events"), 2.0);
    assert!(metrics(&home).value("shelltrack_queue_oldest_age_seconds") > 0.0);
    fake.set_down(false);
    home.flush();
    let metrics = wait_for_deliveries(&home, 2.0);
    assert!(metrics.sum("shelltrack_breaker_transitions_total", "to=\"open\"") >= 1.0);
    assert!(metrics.sum("shelltrack_breaker_transitions_total", "to=\"closed\"") >= 1.0);
    assert_eq!(metrics.sum("shelltrack_target_up", "target_id"), 1.0);

    fake.answer_next([Answer::StatusError("no")]);
    home.run(&["true"]).expect(0);
    home.shelltrack(&["flush", "--timeout", "60"]);
    wait_until("dead letters are counted", BOUND, || {
        let metrics = self::metrics(&home);
        (metrics.sum("shelltrack_events_delivered_total", "result=\"dead\"") == 2.0).then_some(())
    });
    assert_eq!(self::metrics(&home).value("shelltrack_dead_letters"), 2.0);
    assert_eq!(self::metrics(&home).value("shelltrack_needs_person"), 1.0);
}

#[test]
fn counters_survive_an_agent_that_is_killed() {
    let fake = FakeSessionBuddy::start();
    let home = Home::with_config(&fake.config());
    let pid = std::process::id().to_string();
    // An open session keeps the agent.
    home.shelltrack(&["start", "--pid", &pid]).expect(0);
    home.flush();
    wait_for_deliveries(&home, 1.0);
    assert_eq!(home.agents().len(), 1);
    home.end_agents(Signal::KILL);
    home.run(&["true"]).expect(0);
    home.flush();
    let metrics = wait_for_deliveries(&home, 3.0);
    assert_eq!(metrics.value("shelltrack_events_accepted_total{event=\"start\"}"), 2.0);
    assert_eq!(metrics.value("shelltrack_acceptance_seconds_count"), 3.0);
}

#[test]
fn a_metrics_file_is_replaced_whole_and_readable_for_the_collector() {
    let home = Home::new();
    let room = home.work().join("textfile");
    std::fs::create_dir(&room).unwrap();
    let file = room.join("shelltrack.prom");
    std::fs::write(&file, "old").unwrap();
    for _ in 0..2 {
        let written =
            home.shelltrack(&["status", "--prometheus", "--output", file.to_str().unwrap()]).expect(0);
        assert_eq!(written.stdout, "");
    }
    Exposition::parse(&std::fs::read_to_string(&file).unwrap());
    assert_eq!(std::fs::metadata(&file).unwrap().permissions().mode() & 0o777, 0o644);
    assert_eq!(std::fs::read_dir(&room).unwrap().count(), 1, "nothing half-written is left");
    let nowhere = room.join("missing/x.prom");
    let failed =
        home.shelltrack(&["status", "--prometheus", "--output", nowhere.to_str().unwrap()]).expect(1);
    assert!(failed.stderr.contains("missing"), "{failed:?}");
    home.shelltrack(&["status", "--output", "x"]).expect(2);
}

#[test]
fn a_metrics_file_does_not_go_on_saying_that_all_is_well_when_nothing_can_be_known() {
    let home = Home::new();
    let file = home.work().join("shelltrack.prom");
    let written = || home.shelltrack(&["status", "--prometheus", "--output", file.to_str().unwrap()]);
    let needs_person = || {
        let text = std::fs::read_to_string(&file).unwrap();
        Exposition::parse(&text);
        text.lines().find_map(|line| line.strip_prefix("shelltrack_needs_person ")).unwrap().to_owned()
    };
    written().expect(0);
    assert_eq!(needs_person(), "0.0");
    let spools = home.path().join("state/shelltrack");
    std::fs::rename(&spools, home.work().join("spools")).unwrap();
    std::fs::write(&spools, "no directory").unwrap();
    let told = written().expect(1);
    assert_eq!((needs_person().as_str(), told.stderr.lines().count()), ("1.0", 1), "{told:?}");
    std::fs::remove_file(&spools).unwrap();
    written().expect(0);
    assert_eq!(needs_person(), "0.0");
    home.configure("no configuration");
    written().expect(2);
    assert_eq!(needs_person(), "1.0");
}

#[test]
fn a_disk_that_fails_only_when_it_is_written_needs_a_person() {
    let home = Home::new();
    for (fault, reason) in [
        ("probe.create=EROFS", "Read-only file system"),
        ("probe.write=ENOSPC", "No space left"),
        ("probe.sync=EIO", "Input/output error"),
    ] {
        let status = |arguments: &[&str]| {
            let mut command = home.shelltrack_command(arguments);
            run_bounded(command.env("SHELLTRACK_FAIL_AT", fault), BOUND)
        };
        let told = status(&["status"]).expect(1).stdout;
        assert!(told.contains("ATTENTION") && told.contains(reason), "{told}");
        let text = status(&["status", "--prometheus"]).expect(0).stdout;
        assert!(text.lines().any(|line| line == "shelltrack_needs_person 1.0"), "{text}");
    }
    home.shelltrack(&["status"]).expect(0);
    assert_eq!(std::fs::read_dir(home.spool().join("tmp")).unwrap().count(), 0, "nothing is left of it");
}
