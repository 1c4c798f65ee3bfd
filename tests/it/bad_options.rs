//! A wrong option is named together with the rule it broke, and changes nothing.

use shelltrack_tests::Home;

/// Asserts that `arguments` are refused with `status`, that the message contains `named`, and that
/// nothing was printed for programs, written or started.
#[track_caller]
fn check_refused(home: &Home, arguments: &[&str], status: i32, named: &str) {
    let before = home.files();
    let refused = home.shelltrack(arguments).expect(status);
    assert!(refused.stderr.contains(named), "{arguments:?} does not name {named}: {}", refused.stderr);
    assert_eq!(refused.stdout, "", "{arguments:?}");
    assert!(!refused.stderr.contains("panicked"), "{}", refused.stderr);
    assert_eq!(home.files(), before, "{arguments:?} changed something");
    assert_eq!(home.processes(), [], "{arguments:?} started something");
}

#[test]
fn run_refuses_its_own_options_with_125_and_launches_nothing() {
    let home = Home::new();
    let long_name = "x".repeat(101);
    let cases: &[(&[&str], &str)] = &[
        (&["--component", "no spaces"], "--component"),
        (&["--component", "new\nline"], "--component"),
        (&["--component", ""], "--component"),
        (&["--component", &long_name], "--component"),
        (&["--shell-type", ""], "--shell-type"),
        (&["--metadata", "no-equals-sign"], "--metadata"),
        (&["--metadata", "=value"], "--metadata"),
        (&["--metadata", "correlation_id=mine"], "correlation_id"),
        (&["--metadata", "exit_status=0"], "exit_status"),
        (&["--no-such-option"], "--no-such-option"),
        (&["--url", "ftp://example.org"], "url"),
        (&["--url", "http://user:secret@example.org/mcp"], "url"),
        (&["--transport", "pigeon"], "--transport"),
    ];
    for (options, named) in cases {
        check_refused(&home, &[&["run"], *options, &["--", "touch", "launched"]].concat(), 125, named);
    }
    check_refused(&home, &["run"], 125, "COMMAND");
    check_refused(&home, &["run", "--component", "mahavishnu"], 125, "COMMAND");
}

#[test]
fn the_other_commands_refuse_wrong_options_with_2() {
    let home = Home::new();
    let cases: &[(&[&str], &str)] = &[
        (&["start", "--component", "no/slash"], "--component"),
        (&["start", "--pid", "0"], "--pid"),
        (&["start", "--pid", "4194305"], "--pid"),
        (&["start", "--pid", "self"], "--pid"),
        (&["end"], "KEY"),
        (&["end", "not-a-key"], "KEY"),
        (&["end", "--exit-status", "seven"], "--exit-status"),
        (&["flush", "--timeout", "soon"], "--timeout"),
        (&["flush", "--timeout=-1"], "--timeout"),
        (&["list-sessions", "--limit", "all"], "--limit"),
        (&["list-sessions", "--no-such-option"], "--no-such-option"),
        (&["show-session"], "ID"),
        (&["serve", "--http", "everywhere", "--no-auth"], "--http"),
        (&["serve", "--http", "0.0.0.0:0", "--no-auth"], "--http"),
        (&["no-such-command"], "no-such-command"),
    ];
    for (arguments, named) in cases {
        check_refused(&home, arguments, 2, named);
    }
}

#[test]
fn a_refused_option_is_told_with_its_rule() {
    let home = Home::new();
    let refused = home.shelltrack(&["start", "--component", "no spaces"]).expect(2);
    assert!(refused.stderr.contains("A-Z") || refused.stderr.contains("letters"), "{}", refused.stderr);
    let refused = home.shelltrack(&["start", "--pid", "4194305"]).expect(2);
    assert!(refused.stderr.replace(',', "").contains("4194304"), "{}", refused.stderr);
}

#[test]
fn a_message_never_repeats_what_could_harm_a_terminal() {
    let home = Home::new();
    let refused = home.shelltrack(&["start", "--component", "\u{1b}]0;owned\u{7}x"]).expect(2);
    assert!(!refused.stderr.contains(['\u{1b}', '\u{7}']), "{:?}", refused.stderr);
}

#[test]
fn a_wrong_configuration_names_the_file_and_the_key() {
    for (toml, named) in [
        ("[session-buddy]\nulr = \"http://127.0.0.1:1/mcp\"\n", "ulr"),
        ("[session-buddy]\ntransport = \"pigeon\"\n", "line 2: session-buddy.transport: must be one of"),
        ("[session-buddy]\ntransport = \"stdio\"\n", "command"),
        ("[session-buddy\n", "config.toml"),
    ] {
        let home = Home::with_config(toml);
        check_refused(&home, &["list-sessions"], 2, named);
    }
}

#[test]
fn a_wrong_variable_is_named() {
    let mut home = Home::new();
    home.set("SHELLTRACK_SESSION_BUDDY__TRANSPORT", "pigeon");
    check_refused(&home, &["list-sessions"], 2, "SHELLTRACK_SESSION_BUDDY__TRANSPORT");
}

/// Asserts that what was typed or configured wrongly is told as expected, and that no word of it is repeated.
#[track_caller]
fn check_not_repeated(home: &Home, arguments: &[&str], status: i32, expected: &[&str]) {
    let refused = home.shelltrack(arguments).expect(status);
    assert!(!refused.stderr.contains("hunter2x") && refused.stdout.is_empty(), "{refused:?}");
    assert!(expected.iter().all(|text| refused.stderr.contains(text)), "{refused:?}");
}

#[test]
fn metadata_that_is_refused_is_told_by_its_places_and_never_repeated() {
    let typed = ["--metadata", "password:hunter2x", "--metadata", "a=b", "--metadata", "=hunter2x"];
    let expected = ["--metadata, the first one: must be KEY=VALUE", "--metadata, the third one: must be"];
    let home = Home::new();
    check_not_repeated(&home, &[&["start"], &typed[..]].concat(), 2, &expected);
    check_not_repeated(&home, &[&["run"], &typed[..], &["--", "touch", "launched"]].concat(), 125, &expected);
    assert!(!home.path().join("launched").exists());
}

#[test]
fn a_value_that_is_refused_is_never_repeated() {
    let home = Home::new();
    check_not_repeated(&home, &["start", "--pid=hunter2x"], 2, &["--pid"]);
    check_not_repeated(&home, &["start", "--no-such-option=hunter2x"], 2, &["--no-such-option"]);
    check_not_repeated(
        &home,
        &["run", "--transport", "hunter2x", "--", "true"],
        125,
        &["embedded, stdio, http"],
    );
    for (toml, expected) in [
        ("[session-buddy]\ntransport = \"hunter2x\"\n", "line 2: session-buddy.transport: must be one of"),
        ("[breaker]\nfailures = \"hunter2x\"\n", "line 2: breaker.failures: must be a whole number"),
        ("[server]\ndatabase = hunter2x\n", "line 2: "),
    ] {
        let home = Home::with_config(toml);
        check_not_repeated(&home, &["list-sessions"], 2, &["config.toml", expected]);
    }
    let mut home = Home::new();
    home.set("SHELLTRACK_BREAKER__FAILURES", "hunter2x");
    check_not_repeated(
        &home,
        &["list-sessions"],
        2,
        &["SHELLTRACK_BREAKER__FAILURES: must be a whole number"],
    );
}
