//! A fork bomb of shells: commands run, sessions beyond the limit are not recorded, and that is told.

use std::path::Path;
use std::process::Stdio;
use std::time::{Duration, SystemTime};

use shelltrack_tests::process::Running;
use shelltrack_tests::terminal::Terminal;
use shelltrack_tests::{BOUND, Finished, Home, skip, wait_until};

/// Hardly anything flows back while a test runs.
const NARROW: &str = "[limits]\nstarts_burst = 3\nstarts_per_second = 1\n";

/// Takes every token there is: for two seconds no start is let in.
fn take_all_tokens(home: &Home) {
    let spool = home.status()["spool"].as_str().unwrap().to_owned();
    let bucket =
        std::fs::File::options().append(true).create(true).open(Path::new(&spool).join("rate")).unwrap();
    // Three tokens of a second each, and as much more as no clock can have put there.
    bucket.set_modified(SystemTime::now() + Duration::from_millis(4_500)).unwrap();
}

/// A start that was one too many, however slow this machine is.
#[track_caller]
fn refused_start(home: &Home) -> Finished {
    let pid = std::process::id().to_string();
    wait_until("a start is refused", BOUND, || {
        take_all_tokens(home);
        Some(home.shelltrack(&["start", "--pid", &pid])).filter(|start| start.status != 0)
    })
}

#[test]
fn starts_beyond_the_limit_are_refused_in_one_line_and_counted() {
    let home = Home::with_config(NARROW);
    let refused = refused_start(&home).expect(1);
    assert_eq!((refused.stdout.as_str(), refused.stderr.lines().count()), ("", 1), "{refused:?}");
    assert!(refused.stderr.contains("3") && refused.stderr.contains("[limits]"), "{refused:?}");

    let status = home.status();
    assert_eq!(status["refused"]["rate_limit"], 1, "{status:#}");
    let told = home.shelltrack(&["status"]).expect(1).stdout;
    assert!(told.contains("too many began at once"), "{told}");
}

#[test]
fn a_command_runs_untouched_when_its_session_is_one_too_many() {
    let home = Home::with_config(NARROW);
    for _ in 0..3 {
        take_all_tokens(&home);
        let ran = home.run(&["sh", "-c", "echo out; echo err >&2; exit 7"]).expect(7);
        assert_eq!((ran.stdout.as_str(), ran.stderr.as_str()), ("out\n", "err\n"));
    }
    assert_ne!(home.status()["refused"]["rate_limit"], 0);
}

#[test]
fn an_end_in_a_command_whose_session_is_not_recorded_is_silent() {
    let program = shelltrack_tests::binary::shelltrack().to_str().unwrap();
    let script = r#""$0" end "$SHELLTRACK_SESSION"; echo $?,${#SHELLTRACK_SESSION}"#;
    let home = Home::with_config(NARROW);
    wait_until("a session is refused", BOUND, || {
        take_all_tokens(&home);
        let ran = home.run(&["sh", "-c", script, program]).expect(0);
        assert_eq!((ran.stdout.as_str(), ran.stderr.as_str()), ("0,36\n", ""));
        (home.status()["refused"]["rate_limit"] != 0).then_some(())
    });
    let files = home.files();
    assert!(files.iter().all(|(path, _)| path.extension().is_none_or(|kind| kind != "refused")), "{files:?}");
    // Here it is known before the command begins.
    let home = Home::with_config("[limits]\nstarts_burst = \"x\"\n");
    let ran = home.run(&["sh", "-c", script, program]).expect(0);
    assert_eq!((ran.stdout.as_str(), ran.stderr.lines().count()), ("0,0\n", 1), "{ran:?}");
}

#[test]
fn on_a_terminal_a_person_is_told_when_the_command_is_over() {
    let home = Home::with_config(NARROW);
    let Some(terminal) = Terminal::open(&home) else { return skip("there is no tmux") };
    let run = format!("{} run -- true", shelltrack_tests::binary::shelltrack().display());
    let mut prompts = 1;
    wait_until("a person is told", BOUND, || {
        take_all_tokens(&home);
        terminal.type_line(&run);
        prompts += 1;
        terminal.wait_for_prompts(prompts);
        terminal.text().contains("shelltrack: not recorded: more than 3").then_some(())
    });
}

#[test]
fn the_ends_of_accepted_starts_always_pass() {
    let home = Home::with_config(NARROW);
    let pid = std::process::id().to_string();
    let start = |_| home.shelltrack(&["start", "--pid", &pid]).expect(0).stdout.trim().to_owned();
    let keys: Vec<String> = (0..3).map(start).collect();
    refused_start(&home);
    for key in &keys {
        home.shelltrack(&["end", key, "--exit-status", "0"]).expect(0);
    }
    home.flush();
    let ended = home
        .sessions()
        .into_iter()
        .filter(|record| keys.iter().any(|key| key == record.text("correlation_id")));
    let ended: Vec<_> = ended.collect();
    assert_eq!(ended.len(), keys.len());
    ended.iter().for_each(|record| record.check_ended(0));
}

#[test]
fn the_limit_can_be_lifted() {
    let mut home = Home::with_config(NARROW);
    home.set("SHELLTRACK_LIMITS__STARTS_PER_SECOND", "0");
    let arguments = ["run", "--component", "many", "--", "true"];
    let shells: Vec<Running> =
        (0..20).map(|_| Running::start(home.shelltrack_command(&arguments).stdin(Stdio::null()))).collect();
    shells.into_iter().for_each(|shell| drop(shell.finish(BOUND).expect(0)));
    home.flush();
    assert_eq!(home.sessions().len(), 20);
}
