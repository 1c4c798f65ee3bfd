//! Slips that must not cost a record, and lists that tell where they come from.

use serde_json::{Value, json};
use shelltrack_tests::{Answer, FakeSessionBuddy, Home, Shell};

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
fn a_list_that_was_cut_without_being_asked_to_says_so_and_can_be_had_whole() {
    let fake = FakeSessionBuddy::with_tools(&["list_sessions", "show_session"]);
    let page = |from: u32, to: u32, next: Value| {
        let record = |n| json!({"session_id": format!("s-{n}"), "start_time": "2026-01-01T00:00:00Z"});
        let sessions: Vec<Value> = (from..to).map(record).collect();
        Answer::Content(json!({"sessions": sessions, "next_cursor": next}))
    };
    let home = Home::with_config(&fake.config());
    let listed = |arguments: &[&str], records: usize| {
        fake.answer_next([page(0, 1_000, json!("more")), page(1_000, 1_500, Value::Null)]);
        let listed = home.shelltrack(&[&["list-sessions", "--json"], arguments].concat()).expect(0);
        let array: Value = serde_json::from_str(&listed.stdout).unwrap();
        assert_eq!(array.as_array().unwrap().len(), records);
        listed.stderr
    };
    assert!(listed(&[], 1_000).contains("there are more"));
    assert_eq!(listed(&["--limit", "0"], 1_500), "");
    assert_eq!(listed(&["--limit", "1200"], 1_200), "", "whoever names a number knows");
    let limits: Vec<_> = fake.calls().iter().map(|call| call.arguments["limit"].clone()).collect();
    assert!(limits.iter().all(|limit| limit.as_u64().unwrap() <= 1_000), "as the tool allows: {limits:?}");
}

#[test]
fn ends_that_wait_here_take_nothing_from_a_list_of_open_sessions() {
    let home = Home::new();
    let (first, second) = (Shell::open(&home), Shell::open(&home));
    let older = first.start(&home);
    let newer = second.start(&home);
    home.flush();
    home.shelltrack(&["breaker", "open"]).expect(0);
    home.shelltrack(&["end", &newer, "--exit-status", "0"]).expect(0);
    let open = home.json(&["list-sessions", "--json", "--active", "--limit", "1"]);
    assert_eq!((open.as_array().unwrap().len(), &open[0]["correlation_id"]), (1, &json!(older)));
    home.shelltrack(&["breaker", "reset"]).expect(0);
}

#[test]
fn the_end_of_a_session_whose_start_was_refused_says_nothing() {
    let home = Home::new();
    // As in the startup files of a shell: the key is empty then, or the variable is.
    let ended = home.shelltrack(&["end", "", "--exit-status", "1"]).expect(0);
    assert_eq!((ended.stdout.as_str(), ended.stderr.as_str()), ("", ""));
    let mut command = home.shelltrack_command(&["end"]);
    let ended = shelltrack_tests::run_bounded(command.env("SHELLTRACK_SESSION", ""), shelltrack_tests::BOUND);
    assert_eq!(ended.expect(0).stderr, "");
}

#[test]
fn a_component_that_is_wrong_in_the_configuration_is_not_blamed_on_a_flag() {
    let home = Home::with_config("[session]\ncomponent = \"bad name\"\n");
    let pid = std::process::id().to_string();
    for told in [
        home.shelltrack(&["start", "--pid", &pid]).expect(2),
        home.shelltrack(&["run", "--", "true"]).expect(0),
    ] {
        assert!(
            told.stderr.contains("session.component") && !told.stderr.contains("--component"),
            "{told:?}"
        );
    }
    let typed = home.shelltrack(&["start", "--pid", &pid, "--component", "worse name"]).expect(2);
    assert!(typed.stderr.contains("--component"), "{typed:?}");
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

#[test]
fn arguments_of_a_servers_program_are_shown_nowhere() {
    let home = Home::new();
    let target = ["--server-command", "/nonexistent/server", "--server-arg", "--token=hunter2secret"];
    home.shelltrack(&[&["run"], &target[..], &["--", "true"]].concat()).expect(0);
    for command in [
        &["status"][..],
        &["status", "--json"],
        &["status", "--prometheus"],
        // Long enough for it to tell what it waits for.
        &["flush", "--timeout", "10"],
        &["list-sessions"],
        &["dead-letters", "list", "--json"],
        &["breaker", "open", "/nonexistent/server …"],
        &["breaker", "reset", "/nonexistent/server --token=hunter2secret"],
    ] {
        let told = home.shelltrack(command);
        assert!(!told.stdout.contains("hunter2") && !told.stderr.contains("hunter2"), "{told:?}");
        match command[0] {
            "flush" => assert!(told.stderr.contains("/nonexistent/server …: "), "{told:?}"),
            "breaker" => assert_eq!(told.status, 0, "{told:?}"),
            _ => {}
        }
    }
    let status = home.status();
    assert_eq!(status["targets"][0]["target"]["args"], json!(["…"]), "{status:#}");
}
