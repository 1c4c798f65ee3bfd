//! `shelltrack run`: the command is untouched, and its record is complete.

use std::io::Read;
use std::process::Stdio;

use rustix::process::Signal;
use serde_json::json;
use shelltrack_tests::process::{Running, exit_status_as_shells_count, run_with_input};
use shelltrack_tests::record::FIELDS;
use shelltrack_tests::{BOUND, Home, Record, wait_until};

/// The one session of a home, once it is delivered.
#[track_caller]
fn only_session(home: &Home) -> Record {
    home.flush();
    let mut sessions = home.sessions();
    assert_eq!(sessions.len(), 1, "{sessions:#?}");
    sessions.remove(0)
}

fn printed_by(program: &str, arguments: &[&str]) -> String {
    let said = std::process::Command::new(program).args(arguments).output().unwrap().stdout;
    String::from_utf8(said).unwrap().trim().to_owned()
}

#[test]
fn the_exit_status_is_the_commands_own_and_the_record_is_complete() {
    let home = Home::new();
    let command = ["--", "bash", "-c", "echo $$; exit 7"];
    let arguments = ["run", "--component", "mahavishnu", "--shell-type", "MahavishnuShell"];
    let ran = home.shelltrack(&[&arguments[..], &command[..]].concat()).expect(7);
    let pid: u32 = ran.stdout.trim().parse().unwrap();
    assert_eq!(ran.stderr, "");

    let record = only_session(&home);
    record.check_ended(7);
    assert_eq!(record.text("session_type"), "admin_shell");
    assert_eq!(record.text("component_name"), "mahavishnu");
    assert_eq!(record.text("shell_type"), "MahavishnuShell");
    assert_eq!(record.text("exit_reason"), "exited");
    assert_eq!(record.0["pid"], pid, "the pid is the command's, not the wrapper's");
    assert_eq!(record.text("username"), printed_by("id", &["-un"]));
    assert_eq!(record.text("hostname"), printed_by("uname", &["-n"]));
    let work = std::fs::canonicalize(home.work()).unwrap();
    assert_eq!(record.text("working_directory"), work.to_str().unwrap());
    assert!(record.duration_seconds() > 0.0, "{record:#?}");
    assert!(record.id().starts_with("mahavishnu-"), "{record:#?}");
}

#[test]
fn a_record_has_every_field_and_absent_values_are_null() {
    let home = Home::new();
    home.run(&["true"]).expect(0);
    let record = only_session(&home);
    for field in FIELDS {
        assert!(record.0.get(field).is_some(), "{field} is missing in {:#}", record.0);
    }
    for field in ["start_time", "end_time"] {
        let time = record.text(field);
        assert!(time.ends_with('Z') || time.ends_with("+00:00"), "{field} is not in UTC: {time}");
    }
}

#[test]
fn metadata_given_as_options_is_in_the_record() {
    let home = Home::new();
    let options = ["--metadata", "ticket=OPS-7", "--metadata", "note=a=b c"];
    home.shelltrack(&[&["run"], &options[..], &["--", "true"]].concat()).expect(0);
    let record = only_session(&home);
    assert_eq!(record.0["metadata"]["ticket"], "OPS-7");
    assert_eq!(record.0["metadata"]["note"], "a=b c");
}

#[test]
fn a_killed_command_is_recorded_as_signaled() {
    let home = Home::new();
    let ran = home.run(&["sh", "-c", "kill -KILL $$"]).expect(137);
    assert_eq!((ran.stdout.as_str(), ran.stderr.as_str()), ("", ""));
    let record = only_session(&home);
    record.check_ended(137);
    assert_eq!(record.text("exit_reason"), "signaled");
}

#[test]
fn a_command_that_does_not_exist_gives_127_and_a_clear_message() {
    let home = Home::new();
    let ran = home.run(&["no-such-command-here"]).expect(127);
    assert_eq!(ran.stdout, "");
    assert!(ran.stderr.contains("no-such-command-here"), "{}", ran.stderr);
    assert_eq!(ran.stderr.lines().count(), 1, "one plain line, not {}", ran.stderr);
    only_session(&home).check_ended(127);
}

#[test]
fn a_command_that_cannot_be_executed_gives_126() {
    let home = Home::new();
    let file = home.work().join("not-executable");
    std::fs::write(&file, "#!/bin/sh\n").unwrap();
    let ran = home.run(&[file.to_str().unwrap()]).expect(126);
    assert!(ran.stderr.contains("not-executable"), "{}", ran.stderr);
    only_session(&home).check_ended(126);
}

#[test]
fn a_command_in_a_pipe_gets_every_byte_through() {
    let home = Home::new();
    let input: Vec<u8> = (0..200_000_u32).flat_map(|number| format!("{number}\n").into_bytes()).collect();
    let arguments = ["run", "--component", "pipe", "--", "cat"];
    let ran = run_with_input(&mut home.shelltrack_command(&arguments), b"first\nlast\n", BOUND).expect(0);
    assert_eq!(ran.stdout, "first\nlast\n");

    let counted = ["run", "--component", "pipe", "--", "seq", "0", "199999"];
    let ran = home.shelltrack(&counted).expect(0);
    assert_eq!(ran.stdout.as_bytes(), input, "output through a pipe is the command's own");
    assert_eq!(ran.stderr, "");
    home.flush();
    for record in home.sessions() {
        record.check_ended(0);
    }
}

#[test]
fn a_reader_that_goes_away_ends_the_command_as_without_shelltrack() {
    let home = Home::new();
    let mut command = home.shelltrack_command(&["run", "--component", "pipe", "--", "yes"]);
    let mut child = command.stdin(Stdio::null()).stdout(Stdio::piped()).spawn().unwrap();
    let mut first = [0; 2];
    child.stdout.take().unwrap().read_exact(&mut first).unwrap();
    let status = wait_until("yes ends by SIGPIPE", BOUND, || child.try_wait().unwrap());
    assert_eq!(exit_status_as_shells_count(status), 141, "128 + SIGPIPE");
    only_session(&home).check_ended(141);
}

#[test]
fn a_signal_sent_to_run_reaches_the_command_which_decides_what_it_means() {
    let home = Home::new();
    let script = "trap 'echo told; exit 3' TERM; echo ready > ready; while :; do sleep 0.05; done";
    let mut command = home.shelltrack_command(&["run", "--component", "signals", "--", "sh", "-c", script]);
    let running = Running::start(command.stdin(Stdio::null()));
    wait_until("the command is ready", BOUND, || home.work().join("ready").exists().then_some(()));
    running.signal(Signal::TERM);
    let ended = running.finish(BOUND).expect(3);
    assert_eq!(ended.stdout, "told\n");
    only_session(&home).check_ended(3);
}

#[test]
fn shells_inside_a_tracked_shell_know_whose_children_they_are() {
    let home = Home::new();
    let program = shelltrack_tests::binary::shelltrack().to_str().unwrap();
    home.run(&["sh", "-c", r#""$0" run --component inner -- true"#, program]).expect(0);
    home.flush();
    let sessions = home.sessions();
    let by_component = |name: &str| {
        let mut found = sessions.iter().filter(|record| record.text("component_name") == name);
        found.next().unwrap_or_else(|| panic!("no session of {name} in {sessions:#?}")).clone()
    };
    let (outer, inner) = (by_component("mahavishnu"), by_component("inner"));
    assert_eq!(inner.0["metadata"]["origin"]["parent_session"], outer.0["correlation_id"]);
}

#[test]
fn surroundings_that_are_hostile_are_cleaned_and_never_refused() {
    let mut home = Home::new();
    home.set("SUDO_USER", "eve\u{1b}]0;owned\u{7}\u{202e}");
    let strange = home.work().join("a\u{1b}[31mb\u{200b}c\nd");
    std::fs::create_dir(&strange).unwrap();
    let mut command = home.shelltrack_command(&["run", "--component", "mahavishnu", "--", "true"]);
    shelltrack_tests::run_bounded(command.current_dir(&strange), BOUND).expect(0);

    let record = only_session(&home);
    record.check_ended(0);
    let hostile = |c: char| c.is_control() || ['\u{200b}', '\u{202e}'].contains(&c);
    assert!(!record.text("working_directory").contains(hostile), "{:#}", record.0);
    assert_eq!(record.0["metadata"]["origin"]["sudo_user"], "eve");
}

#[test]
fn secrets_in_metadata_do_not_reach_disk() {
    let home = Home::new();
    let secret = "hunter2-correct-horse-battery";
    let option = format!("password={secret}");
    home.shelltrack(&["run", "--metadata", &option, "--", "true"]).expect(0);
    let record = only_session(&home);
    assert_ne!(record.0["metadata"]["password"], json!(secret));
    for (path, content) in home.files() {
        let found = content.windows(secret.len()).any(|window| window == secret.as_bytes());
        assert!(!found, "the secret is in {}", path.display());
    }
}

#[test]
fn a_limit_on_the_size_of_files_harms_no_command() {
    let home = Home::new();
    let program = shelltrack_tests::binary::shelltrack();
    // The shell's own writes are to fail as they would without us: `$?` is 128 + SIGXFSZ.
    for (script, status) in [("sleep 0.2; exit 7", 7), ("sleep 0.2; echo out > file; exit 7", 153)] {
        let limited = "ulimit -f 0 && exec \"$0\" run -- sh -c \"$1\"";
        let mut command = home.command("sh");
        command.args(["-c", limited]).arg(program).arg(script);
        shelltrack_tests::run_bounded(&mut command, BOUND).expect(status);
    }
}

#[cfg(target_os = "linux")]
#[test]
fn the_agent_of_all_shells_is_not_held_to_the_limits_of_the_one_that_starts_it() {
    let home = Home::new();
    let (mut command, shell) = (home.command("sh"), shelltrack_tests::Shell::open(&home));
    let limited = "ulimit -S -f 10000 && ulimit -S -t 3600 && exec \"$0\" start --pid \"$1\"";
    command.args(["-c", limited]).arg(shelltrack_tests::binary::shelltrack()).arg(shell.pid());
    shelltrack_tests::run_bounded(&mut command, BOUND).expect(0);
    let agent = wait_until("the agent is there", BOUND, || home.status()["agent_pid"].as_u64());
    let limits = std::fs::read_to_string(format!("/proc/{agent}/limits")).unwrap();
    for name in ["Max file size", "Max cpu time"] {
        let line = limits.lines().find_map(|line| line.strip_prefix(name)).unwrap();
        let mut limit = line.split_whitespace();
        assert_eq!(limit.next(), limit.next(), "the soft limit is the hard one: {name} {line}");
    }
}

#[test]
fn a_disk_that_takes_a_minute_loses_no_session_and_makes_none_longer() {
    let mut home = Home::new();
    let (source, library) = (home.path().join("slow.c"), home.path().join("slow.so"));
    // The agent is not to be slow as well.
    let slow = "#define _GNU_SOURCE\n#include <string.h>\n#include <sys/prctl.h>\n#include <sys/syscall.h>\n\
        #include <unistd.h>\nint fsync(int file) { char name[16]; prctl(PR_GET_NAME, name);\n\
        if (!strcmp(name, \"recorder\")) sleep(60); return syscall(SYS_fsync, file); }\n";
    std::fs::write(&source, slow).unwrap();
    let compiled = home.command("cc").args(["-shared", "-fPIC", "-o"]).args([&library, &source]).status();
    if !cfg!(target_os = "linux") || !compiled.is_ok_and(|status| status.success()) {
        return shelltrack_tests::skip("no slow disk can be made here");
    }
    // An agent that delivers, and forgets, what the disk has not confirmed.
    home.run(&["true"]).expect(0);
    home.set("LD_PRELOAD", library.to_str().unwrap());
    let ran = home.run(&["sh", "-c", "exit 3"]).expect(3);
    assert_eq!((ran.stdout.as_str(), ran.stderr.as_str()), ("", ""));
    // The command's own end waits for nothing either.
    let script = "unset LD_PRELOAD; \"$0\" end \"$SHELLTRACK_SESSION\" --exit-status 4; echo $?; exit 3";
    let ran =
        home.run(&["sh", "-c", script, shelltrack_tests::binary::shelltrack().to_str().unwrap()]).expect(3);
    assert_eq!((ran.stdout.as_str(), ran.stderr.as_str()), ("0\n", ""));
    home.flush();
    let mut ended = home.sessions();
    ended.sort_by_key(|record| record.text("start_time").to_owned());
    assert_eq!(ended.len(), 3, "{ended:#?}");
    for (record, status) in ended.iter().zip([0, 3, 4]) {
        record.check_ended(status);
        // Whoever waits for the disk waits for longer.
        assert!(record.duration_seconds() < 4.0, "{record:#?}");
    }
}

#[test]
fn a_command_runs_also_where_no_descriptor_is_left_to_watch_it() {
    let home = Home::new();
    // Whatever else is open here would leave none for the loader.
    let script =
        "exec 3>&- 4>&- 5>&- 6>&- 7>&- 8>&- 9>&-; ulimit -n 4 && exec \"$0\" run -- sh -c 'echo out; exit 7'";
    let mut command = home.command("sh");
    command.args(["-c", script]).arg(shelltrack_tests::binary::shelltrack());
    let ran = shelltrack_tests::run_bounded(&mut command, BOUND).expect(7);
    assert_eq!(ran.stdout, "out\n");
}

#[test]
fn flags_beside_a_broken_configuration_harm_no_command() {
    let contradiction = "[session-buddy]\nurl = \"http://h/mcp\"\ncommand = \"/bin/cat\"\n";
    let database = |home: &Home| home.path().join("other.db").to_str().unwrap().to_owned();
    let run =
        |home: &Home| home.shelltrack(&["run", "--database", &database(home), "--", "sh", "-c", "exit 3"]);
    // What the flag overrides is none of this command's business.
    let home = Home::with_config(contradiction);
    assert_eq!(run(&home).expect(3).stderr, "");
    // The rest is told, since what was to be redacted is not known.
    let home = Home::with_config("[limits]\nstarts_burst = \"x\"\n");
    let told = run(&home).expect(3).stderr;
    assert!(told.contains("config.toml") && told.contains("not recorded"), "{told}");
    assert_eq!(told.lines().count(), 1, "{told}");
    // And what is wrong with the flags themselves is the caller's, whatever is configured.
    for url in ["ftp://x", "http://"] {
        home.shelltrack(&["run", "--url", url, "--", "true"]).expect(125);
    }
    Home::new().shelltrack(&["run", "--transport", "stdio", "--", "true"]).expect(125);
}
