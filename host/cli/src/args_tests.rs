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
    let bad = std::os::unix::ffi::OsStringExt::from_vec(vec![0xff]);
    let typed: [OsString; 6] =
        ["shelltrack".into(), "run".into(), "--component".into(), bad, "--".into(), "true".into()];
    let error = Cli::try_parse_from(typed).err().map(|error| error.to_string()).unwrap_or_default();
    assert!(error.contains("--component") && error.contains("UTF-8"), "{error}");
}

#[test]
fn metadata_is_a_key_and_a_value_which_may_hold_an_equals_sign() {
    assert_eq!(key_value("a=b=c"), Ok(("a".to_owned(), "b=c".to_owned())));
    assert_eq!(key_value("a="), Ok(("a".to_owned(), String::new())));
    assert!(key_value("a").is_err() && key_value("=b").is_err());
}

#[test]
fn a_timeout_is_a_number_of_seconds() {
    assert_eq!(seconds("0.5"), Ok(Duration::from_millis(500)));
    assert!(seconds("-1").is_err() && seconds("NaN").is_err() && seconds("inf").is_err());
}
