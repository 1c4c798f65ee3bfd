//! Slips that must not cost a record, and lists that tell where they come from.

use serde_json::{Value, json};
use shelltrack_tests::{Answer, FakeSessionBuddy, Home};

#[test]
fn a_variable_that_nobody_knows_is_told_and_the_session_recorded() {
    let mut home = Home::new();
    home.set("SHELLTRACK_SESSION_BUDDY__ULR", "x");
    let ran = home.run(&["sh", "-c", "exit 3"]).expect(3);
    assert_eq!(ran.stderr.lines().count(), 1, "{ran:?}");
    assert!(
        ran.stderr.contains("SHELLTRACK_SESSION_BUDDY__ULR") && ran.stderr.contains("ignored"),
        "{ran:?}"
    );
    let pid = std::process::id().to_string();
    let started = home.shelltrack(&["start", "--pid", &pid]).expect(0);
    assert!(started.stderr.contains("ignored"), "{started:?}");
    let strict = home.shelltrack(&["list-sessions"]).expect(2);
    assert!(strict.stderr.contains("SHELLTRACK_SESSION_BUDDY__ULR"), "{strict:?}");
    let session = started.stdout.trim();
    let kept = home.files().into_iter().filter(|(path, _)| path.to_string_lossy().contains(session));
    assert!(kept.count() >= 1, "the session is on its way");
}

#[test]
fn a_variable_that_was_to_hide_something_is_no_mere_slip() {
    let mut home = Home::new();
    home.set("SHELLTRACK_REDACTION__HIDE_CDW", "true");
    let ran = home.run(&["true"]).expect(0);
    assert!(ran.stderr.contains("HIDE_CDW") && ran.stderr.contains("not recorded"), "{ran:?}");
}

#[test]
fn a_relative_home_is_no_home_and_the_session_is_recorded_where_it_belongs() {
    let home = Home::new();
    let mut command = home.shelltrack_command(&["run", "--component", "relative", "--", "true"]);
    // XDG_STATE_HOME is set, so nothing is written to the passwd entry's home.
    let ran = shelltrack_tests::run_bounded(command.env("HOME", "relative/home"), shelltrack_tests::BOUND);
    assert_eq!(ran.expect(0).stderr, "");
    home.flush();
    home.sessions()[0].check_ended(0);
}

#[test]
fn delivered_sessions_stay_visible_where_the_server_cannot_list_them() {
    let fake = FakeSessionBuddy::start();
    let home = Home::with_config(&fake.config());
    home.shelltrack(&["run", "--component", "first", "--", "sh", "-c", "exit 3"]).expect(3);
    home.shelltrack(&["run", "--component", "second", "--", "true"]).expect(0);
    home.flush();
    let records = home.sessions();
    let names: Vec<_> = records.iter().map(|record| record.text("component_name")).collect();
    assert_eq!(names, ["second", "first"]);
    records[1].check_ended(3);
    for record in &records {
        assert_eq!(record.text("delivery"), "delivered");
    }
    let shown = home.json(&["show-session", "--json", records[0].id()]);
    assert_eq!(shown["component_name"], "second");
    assert_eq!(home.json(&["list-sessions", "--json", "--active"]), json!([]));
}

#[test]
fn every_page_of_a_long_list_is_fetched() {
    let fake = FakeSessionBuddy::with_tools(&["list_sessions", "show_session"]);
    let page = |from: u32, next: Value| {
        let record = |n| json!({"session_id": format!("s-{n}"), "start_time": "2026-01-01T00:00:00Z"});
        Answer::Content(json!({"sessions": [record(from), record(from + 1)], "next_cursor": next}))
    };
    fake.answer_next([page(1, json!("two")), page(3, json!("three")), page(5, Value::Null)]);
    let home = Home::with_config(&fake.config());
    assert_eq!(home.sessions().len(), 6);
    let cursors: Vec<_> = fake.calls().iter().map(|call| call.arguments["cursor"].clone()).collect();
    assert_eq!(cursors, [Value::Null, json!("two"), json!("three")]);

    // As many as were asked for, and not a page more.
    fake.answer_next([page(1, json!("two")), page(3, json!("three"))]);
    assert_eq!(home.json(&["list-sessions", "--json", "--limit", "3"]).as_array().map(Vec::len), Some(3));
}

#[test]
fn an_empty_list_says_whose_it_is() {
    let fake = FakeSessionBuddy::start();
    let home = Home::with_config(&fake.config());
    let listed = home.shelltrack(&["list-sessions"]).expect(0);
    assert!(listed.stderr.contains(&fake.url()), "{listed:?}");
}

#[test]
fn the_first_end_of_a_session_holds() {
    let home = Home::new();
    let program = shelltrack_tests::binary::shelltrack().to_str().unwrap();
    home.run(&["sh", "-c", r#""$0" end --exit-status 5; exit 9"#, program]).expect(9);
    home.flush();
    home.sessions()[0].check_ended(5);
}

#[test]
fn the_help_of_every_command_has_an_example() {
    let home = Home::new();
    for command in [
        "run",
        "start",
        "end",
        "list-sessions",
        "show-session",
        "status",
        "flush",
        "dead-letters",
        "breaker",
        "serve",
        "service",
        "completions",
        "man",
    ] {
        let help = home.shelltrack(&[command, "--help"]).expect(0).stdout;
        assert!(help.contains("Example"), "{command} --help shows none:\n{help}");
    }
}
