//! Many shells: every one has its record, and no two share an id.

use std::collections::BTreeSet;
use std::process::Stdio;

use shelltrack_tests::process::Running;
use shelltrack_tests::{BOUND, Home, Record};

/// Distinct values of a field.
#[track_caller]
fn distinct(records: &[Record], field: &str) -> usize {
    records.iter().map(|record| record.text(field).to_owned()).collect::<BTreeSet<_>>().len()
}

/// Asserts that there are so many complete sessions, each with ids of its own.
#[track_caller]
fn check_all_recorded(home: &Home, sessions: usize) {
    home.flush_within(120);
    let records = home.sessions();
    assert_eq!(records.len(), sessions);
    for field in ["session_id", "correlation_id", "event_id"] {
        assert_eq!(distinct(&records, field), sessions, "distinct {field}");
    }
    for record in &records {
        record.check_ended(0);
    }
}

#[test]
fn fifty_shells_one_after_another_are_fifty_records() {
    let home = Home::new();
    for _ in 0..50 {
        home.run(&["true"]).expect(0);
    }
    check_all_recorded(&home, 50);
}

#[test]
fn a_hundred_shells_at_once_have_a_hundred_ids() {
    let home = Home::new();
    let arguments = ["run", "--component", "mahavishnu", "--", "true"];
    let start = |_| Running::start(home.shelltrack_command(&arguments).stdin(Stdio::null()));
    let shells: Vec<Running> = (0..100).map(start).collect();
    for shell in shells {
        let ended = shell.finish(BOUND).expect(0);
        assert_eq!((ended.stdout.as_str(), ended.stderr.as_str()), ("", ""));
    }
    check_all_recorded(&home, 100);
}

#[test]
fn lists_are_newest_first_and_can_be_cut() {
    let home = Home::new();
    for component in ["first", "second", "third"] {
        home.shelltrack(&["run", "--component", component, "--", "true"]).expect(0);
    }
    home.flush();
    let names = |records: &[Record]| -> Vec<String> {
        records.iter().map(|record| record.text("component_name").to_owned()).collect()
    };
    assert_eq!(names(&home.sessions()), ["third", "second", "first"]);
    let cut = home.json(&["list-sessions", "--json", "--limit", "2"]);
    let cut: Vec<Record> = cut.as_array().unwrap().iter().cloned().map(Record).collect();
    assert_eq!(names(&cut), ["third", "second"]);
}

#[test]
fn the_table_shows_each_session_in_its_own_line() {
    let home = Home::new();
    home.run(&["sh", "-c", "exit 7"]).expect(7);
    home.flush();
    let id = home.sessions()[0].id().to_owned();
    let table = home.shelltrack(&["list-sessions"]).expect(0).stdout;
    let lines: Vec<&str> = table.lines().filter(|line| line.contains("mahavishnu")).collect();
    assert_eq!(lines.len(), 1, "{table}");
    assert!(table.contains(&id), "the id is there to be copied: {table}");
    assert!(!table.contains('\u{1b}'), "no colours into a pipe: {table}");
}

#[test]
fn a_filter_by_type_shows_only_that_type() {
    let home = Home::new();
    home.run(&["true"]).expect(0);
    home.flush();
    assert_eq!(home.list(&["--type", "admin_shell"]).len(), 1);
}
