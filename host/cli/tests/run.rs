//! `shelltrack run` as the command inside it and the caller outside see it. Nothing can be recorded here:
//! the state directory cannot be made. That keeps agents out of these tests, and shows that a command is
//! none the worse for it. What is recorded is tested where servers are.
#![allow(clippy::unwrap_used, reason = "a test may fail by panic")]

use std::io::{BufRead, BufReader, Read};
use std::os::unix::process::CommandExt;
use std::process::{Child, Command, Output, Stdio};

use rustix::process::{Pid, Signal, kill_process};

fn shelltrack(arguments: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_shelltrack"));
    command.args(arguments).env_clear().env("PATH", "/usr/bin:/bin").env("HOME", "/dev/null/home");
    command
}

fn run(script: &str) -> Output {
    shelltrack(&["run", "--", "sh", "-c", script]).output().unwrap()
}

#[track_caller]
fn check(output: &Output, status: i32, stdout: &str, stderr: &str) {
    let text = |bytes: &[u8]| String::from_utf8(bytes.to_vec()).unwrap();
    let seen = (output.status.code(), text(&output.stdout), text(&output.stderr));
    assert_eq!(seen, (Some(status), stdout.to_owned(), stderr.to_owned()));
}

/// A command of ours that has said `ready`, in a process group of its own.
fn ready(script: &str) -> (Child, BufReader<impl Read>) {
    let mut command = shelltrack(&["run", "--", "sh", "-c", script]);
    let mut child = command.stdout(Stdio::piped()).process_group(0).spawn().unwrap();
    let mut out = BufReader::new(child.stdout.take().unwrap());
    let mut line = String::new();
    out.read_line(&mut line).unwrap();
    assert_eq!(line, "ready\n");
    (child, out)
}

#[test]
fn status_and_output_are_the_commands_own_and_nothing_is_added() {
    check(&run("echo out; echo err >&2; exit 7"), 7, "out\n", "err\n");
    check(&run("kill -9 $$"), 137, "", "");
}

#[test]
fn standard_input_is_the_commands_own() {
    let mut command = shelltrack(&["run", "--", "cat"]);
    let mut child = command.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().unwrap();
    std::io::Write::write_all(&mut child.stdin.take().unwrap(), b"through").unwrap();
    check(&child.wait_with_output().unwrap(), 0, "through", "");
}

#[test]
fn the_command_finds_its_session_in_its_environment() {
    let output = run("echo ${#SHELLTRACK_SESSION}");
    check(&output, 0, "36\n", "");
}

#[test]
fn a_command_that_cannot_be_started_is_told_plainly() {
    let output = shelltrack(&["run", "no-such-command-anywhere"]).output().unwrap();
    check(&output, 127, "", "shelltrack: no-such-command-anywhere: command not found\n");
    let output = shelltrack(&["run", "--", "/"]).output().unwrap();
    assert_eq!(output.status.code(), Some(126));
}

#[test]
fn wrong_options_are_named_and_nothing_is_launched() {
    for (wrong, named) in [
        (&["--componnt", "a"][..], "--componnt"),
        (&["--metadata", "novalue"], "--metadata"),
        (&["--component", "two words"], "--component"),
        (&["--metadata", "event_id=1"], "--metadata"),
        (&["--metadata", "a=1", "--metadata", "a=2"], "--metadata"),
        (&["--url", "ftp://h/"], "url"),
        (&["--config", "/nonexistent/file"], "/nonexistent/file"),
    ] {
        let output = shelltrack(&[&["run"], wrong, &["--", "echo", "launched"]].concat()).output().unwrap();
        let stderr = String::from_utf8(output.stderr).unwrap();
        assert_eq!((output.status.code(), &*output.stdout), (Some(125), &b""[..]), "{wrong:?}: {stderr}");
        assert!(stderr.contains(named), "{wrong:?}: {stderr}");
    }
}

#[test]
fn wrong_configuration_is_told_and_keeps_no_command_from_running() {
    let mut command = shelltrack(&["run", "--", "echo", "ran"]);
    let output = command.env("SHELLTRACK_SESSION_BUDDY__ULR", "x").output().unwrap();
    assert_eq!((output.status.code(), &*output.stdout), (Some(0), &b"ran\n"[..]));
    assert!(String::from_utf8(output.stderr).unwrap().contains("SHELLTRACK_SESSION_BUDDY__ULR"));
}

#[test]
fn a_reader_that_goes_away_ends_the_command_as_without_us() {
    let mut command = shelltrack(&["run", "--", "sh", "-c", "echo ready; exec seq 1000000"]);
    let mut child = command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    drop(child.stdout.take());
    check(&child.wait_with_output().unwrap(), 141, "", "");
}

#[test]
fn a_signal_to_us_alone_reaches_the_command_once() {
    for signal in [Signal::TERM, Signal::HUP, Signal::INT, Signal::QUIT, Signal::USR1, Signal::USR2] {
        let script =
            format!("trap 'echo got; exit 5' {}; echo ready; while :; do sleep 0.05; done", signal.as_raw());
        let (mut child, mut out) = ready(&script);
        kill_process(Pid::from_child(&child), signal).unwrap();
        let mut rest = String::new();
        out.read_to_string(&mut rest).unwrap();
        assert_eq!((rest.as_str(), child.wait().unwrap().code()), ("got\n", Some(5)), "{signal:?}");
    }
}

#[cfg(target_os = "linux")]
#[test]
fn a_signal_that_only_linux_has_or_that_has_no_name_reaches_the_command_too() {
    // SIGSTKFLT, SIGXCPU, SIGXFSZ, SIGPWR; SIGRTMIN for programs, one in between, and SIGRTMAX (signal(7)).
    for signal in [16, 24, 25, 30, 35, 50, 64] {
        let script = format!("trap 'echo got; exit 5' {signal}; echo ready; while :; do sleep 0.05; done");
        let (mut child, mut out) = ready(&script);
        let pid = child.id().to_string();
        let sent =
            Command::new("sh").args(["-c", "kill -$0 $1", &signal.to_string(), &pid]).status().unwrap();
        assert!(sent.success(), "{signal}");
        let mut rest = String::new();
        out.read_to_string(&mut rest).unwrap();
        assert_eq!((rest.as_str(), child.wait().unwrap().code()), ("got\n", Some(5)), "{signal}");
    }
}

/// As where there is no `timeout`: an alarm outlives `exec`, and is not inherited (alarm(2)).
#[test]
fn an_alarm_that_was_set_before_reaches_the_command() {
    let mut command = Command::new("perl");
    let program = env!("CARGO_BIN_EXE_shelltrack");
    command.args(["-e", "alarm 1; exec @ARGV", program, "run", "--", "sleep", "60"]);
    match command.env_clear().env("PATH", "/usr/bin:/bin").env("HOME", "/dev/null/home").status() {
        Ok(status) => assert_eq!(status.code(), Some(142)),
        Err(error) => shelltrack_tests::skip(&format!("there is no perl: {error}")),
    }
}

#[test]
fn what_the_command_sends_to_its_whole_group_does_not_come_back_to_it() {
    // The loop gives an echo of the signal every chance to arrive.
    let script =
        "trap 'echo got' TERM; echo ready; kill -TERM 0; for i in 1 2 3 4; do sleep 0.05; done; exit 3";
    let (mut child, mut out) = ready(script);
    let mut rest = String::new();
    out.read_to_string(&mut rest).unwrap();
    assert_eq!((rest.as_str(), child.wait().unwrap().code()), ("got\n", Some(3)));
}

#[test]
fn a_signal_that_is_ignored_stays_ignored_for_the_command() {
    let script =
        format!("trap '' HUP; exec {} run -- sh -c 'kill -HUP $$; exit 3'", env!("CARGO_BIN_EXE_shelltrack"));
    let mut command = Command::new("sh");
    command.args(["-c", &script]).env_clear().env("PATH", "/usr/bin:/bin").env("HOME", "/dev/null/home");
    check(&command.output().unwrap(), 3, "", "");
}

#[test]
fn a_command_that_is_stopped_and_continued_by_others_is_seen_to_its_end() {
    // There is no job control here, so only the command stops.
    let script = "echo ready; (sleep 0.1; kill -CONT $$) & kill -STOP $$; wait; exit 3";
    let (mut child, _out) = ready(script);
    assert_eq!(child.wait().unwrap().code(), Some(3));
}

/// As in a container that another program was started into: the leaders of session and group are outside
/// and have the number 0, and `/proc`, unless it is mounted anew, shows the processes outside.
#[test]
fn in_a_pid_namespace_whose_session_leader_is_outside_a_stopped_command_is_seen_to_its_end() {
    let script = "(sleep 0.1; kill -CONT $$) & kill -STOP $$; wait; exit 3";
    let namespace = ["--user", "--map-root-user", "--pid", "--fork"];
    for more in [&[][..], &["--mount-proc"]] {
        let unshare = |line: &[&str]| Command::new("unshare").args(namespace).args(more).args(line).output();
        let possible = unshare(&["true"]);
        if !possible.as_ref().is_ok_and(|output| output.status.success()) {
            return shelltrack_tests::skip(&format!("no pid namespace can be made here: {possible:?}"));
        }
        let line = [env!("CARGO_BIN_EXE_shelltrack"), "run", "--", "sh", "-c", script];
        let output =
            unshare(&[&["env", "-i", "PATH=/usr/bin:/bin", "HOME=/dev/null/home"][..], &line].concat());
        check(&output.unwrap(), 3, "", "");
    }
}

#[test]
fn a_caller_that_blocks_signals_does_not_make_us_wait_for_ever() {
    let blocked = |line: &[&str]| {
        let mut command = Command::new("timeout");
        command.args(["60", "env", "-i", "--block-signal=CHLD", "PATH=/usr/bin:/bin", "HOME=/dev/null/home"]);
        command.args(line).output()
    };
    let possible = blocked(&["true"]);
    if !possible.as_ref().is_ok_and(|output| output.status.success()) {
        return shelltrack_tests::skip(&format!("env cannot block a signal here: {possible:?}"));
    }
    let line = [env!("CARGO_BIN_EXE_shelltrack"), "run", "--", "sh", "-c", "exit 3"];
    check(&blocked(&line).unwrap(), 3, "", "");
}

#[test]
fn an_agent_takes_no_directory_for_a_spool_that_is_none() {
    let other = tempfile::tempdir().unwrap();
    let output = shelltrack(&["agent", other.path().to_str().unwrap()]).output().unwrap();
    let told = "shelltrack: SPOOL: must be a directory that shelltrack named, spool-…\n";
    check(&output, 2, "", told);
    assert_eq!(std::fs::read_dir(other.path()).unwrap().count(), 0);
}

#[test]
fn a_script_whose_interpreter_is_missing_is_told_by_that_name() {
    use std::os::unix::fs::PermissionsExt;
    let place = tempfile::tempdir().unwrap();
    let script = place.path().join("script");
    std::fs::write(&script, "#! /no/such/interpreter -x\nexit 0\n").unwrap();
    std::fs::set_permissions(&script, std::fs::Permissions::from_mode(0o700)).unwrap();
    let script = script.to_str().unwrap();
    let output = shelltrack(&["run", "--", script]).output().unwrap();
    let told = format!("shelltrack: {script}: its interpreter /no/such/interpreter is not found\n");
    check(&output, 127, "", &told);
}

/// Where there is a `/proc` that tells what is ignored.
#[cfg(target_os = "linux")]
#[test]
fn what_the_caller_ignores_the_command_ignores_and_nothing_else() {
    let ignored = |ignoring: &str, by: &str| {
        let script = format!("{ignoring} {by} grep SigIgn /proc/self/status");
        let mut command = Command::new("sh");
        command.args(["-c", &script]).env("run", env!("CARGO_BIN_EXE_shelltrack"));
        let output = command.env("HOME", "/dev/null/home").output().unwrap();
        let told = String::from_utf8(output.stdout).unwrap();
        let mask = told.strip_prefix("SigIgn:").unwrap_or_else(|| panic!("{told}"));
        // Those beyond are the C library's own.
        u64::from_str_radix(mask.trim(), 16).unwrap() & ((1 << 31) - 1)
    };
    for ignoring in ["", "trap '' PIPE;", "trap '' INT;", "trap '' XFSZ;", "trap '' PIPE INT QUIT HUP XFSZ;"]
    {
        let (plain, ours) = (ignored(ignoring, ""), ignored(ignoring, "\"$run\" run --"));
        assert_eq!(format!("{ours:x}"), format!("{plain:x}"), "{ignoring}");
    }
}
