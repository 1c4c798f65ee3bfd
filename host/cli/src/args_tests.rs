//! What can be typed, and what is refused.
#![allow(clippy::unwrap_used, reason = "a test may fail by panic")]

use super::*;

fn parse(line: &[&str]) -> Result<Cli, clap::Error> {
    Cli::try_parse_from([&["shelltrack"], line].concat())
}

fn is_run(line: &[&str]) -> bool {
    means_run([&["shelltrack"], line].concat().into_iter().map(OsString::from))
}

#[test]
fn the_command_line_is_consistent() {
    Cli::command().debug_assert();
}

#[test]
fn what_follows_the_command_belongs_to_it() {
    let cli = parse(&["run", "--component", "a", "--", "bash", "-c", "exit 7", "--json"]).unwrap();
    let Command::Run(run) = cli.command else { panic!() };
    assert_eq!(run.command, ["bash", "-c", "exit 7", "--json"]);
    let cli = parse(&["run", "bash", "--component", "x"]).unwrap();
    let Command::Run(run) = cli.command else { panic!() };
    assert_eq!(run.command, ["bash", "--component", "x"]);
    assert_eq!(run.named.component, None);
}

#[test]
fn an_unknown_option_of_run_is_not_taken_for_a_command() {
    assert!(parse(&["run", "--componnt", "a", "--", "true"]).is_err());
}

#[test]
fn errors_of_run_are_told_apart_from_those_of_other_commands() {
    assert!(is_run(&["run", "--componnt", "a", "--", "true"]));
    assert!(is_run(&["run"]));
    assert!(is_run(&["--config", "x", "run", "--metadata", "novalue", "true"]));
    assert!(!is_run(&["show-session", "run", "--bad"]));
    assert!(!is_run(&["list-sessions", "--limit", "-1"]));
    assert!(!is_run(&["nonsense"]));
}

#[test]
fn text_that_is_not_utf8_is_refused_with_its_option() {
    let bad = std::os::unix::ffi::OsStringExt::from_vec(b"hunter2x\xff".to_vec());
    let typed: [OsString; 6] =
        ["shelltrack".into(), "run".into(), "--component".into(), bad, "--".into(), "true".into()];
    let error = refusal::without_value(Cli::try_parse_from(typed).unwrap_err()).to_string();
    assert!(!error.contains("hunter2x"), "{error}");
    assert!(error.contains("--component") && error.contains("UTF-8"), "{error}");
}

/// Asserts that a command line is refused with the option and without the value.
#[track_caller]
fn check_told(line: &[&str], expected: &[&str]) {
    let told = refusal::without_value(parse(line).unwrap_err()).to_string();
    assert!(!told.contains("hunter2x"), "{told}");
    assert!(told.starts_with("error: ") && expected.iter().all(|text| told.contains(text)), "{told}");
}

#[test]
fn a_value_that_is_refused_is_never_repeated() {
    check_told(&["start", "--pid", "hunter2x"], &["--pid <PID>", "digit"]);
    check_told(&["start", "--pid=4194305"], &["--pid", "it is not in", "4194304"]);
    check_told(&["start", "--transport=hunter2x"], &["--transport", "must be one of embedded, stdio, http"]);
    check_told(&["flush", "--timeout", "hunter2x"], &["--timeout", "number of seconds"]);
    check_told(&["status", "--json=hunter2x"], &["--json"]);
    check_told(&["start", "--no-such-option=hunter2x"], &["--no-such-option"]);
    check_told(&["token", "mint", "--scope", "hunter2x"], &["--scope", "track, read"]);
    check_told(&["token", "mint", "--lifetime", "hunter2x"], &["--lifetime", "90s"]);
    check_told(&["serve", "--http=hunter2x"], &["--http", "an address"]);
    check_told(&["completions", "hunter2x"], &["SHELL", "bash"]);
    check_told(&["start", "--pid"], &["--pid"]);
}

#[test]
fn a_timeout_is_a_number_of_seconds() {
    assert_eq!(seconds("0.5"), Ok(Duration::from_millis(500)));
    assert!(seconds("-1").is_err() && seconds("NaN").is_err() && seconds("inf").is_err());
}
