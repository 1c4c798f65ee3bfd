//! `shelltrack start` and `end`: what hooks of a shell call.

use std::process::Stdio;

use shelltrack_tests::process::Running;
use shelltrack_tests::{BOUND, Home, Shell, wait_until};

#[test]
fn start_prints_the_key_and_nothing_else_and_end_takes_it() {
    let home = Home::new();
    let shell = Shell::open(&home);
    let started = home.shelltrack(&["start", "--component", "oneiric", "--pid", &shell.pid()]).expect(0);
    assert_eq!(started.stderr, "");
    let key = started.stdout.strip_suffix('\n').unwrap();
    assert_eq!(key.len(), 36, "a UUID, not {key:?}");

    home.flush();
    let open = home.list(&["--active"]);
    assert_eq!(open.len(), 1, "{open:#?}");
    assert_eq!(open[0].text("correlation_id"), key);
    assert_eq!(open[0].text("state"), "active");
    assert!(open[0].0["end_time"].is_null() && open[0].0["exit_status"].is_null(), "{open:#?}");

    let ended = home.shelltrack(&["end", key, "--exit-status", "3"]).expect(0);
    assert_eq!((ended.stdout.as_str(), ended.stderr.as_str()), ("", ""));
    home.flush();
    assert_eq!(home.list(&["--active"]), []);
    home.sessions()[0].check_ended(3);
}

#[test]
fn end_finds_the_key_in_the_environment() {
    let mut home = Home::new();
    let shell = Shell::open(&home);
    let started = home.shelltrack(&["start", "--pid", &shell.pid()]).expect(0);
    home.set("SHELLTRACK_SESSION", started.stdout.trim());
    home.shelltrack(&["end", "--exit-status", "0"]).expect(0);
    home.flush();
    home.sessions()[0].check_ended(0);
}

#[test]
fn an_end_without_an_exit_status_is_an_end_all_the_same() {
    let home = Home::new();
    let shell = Shell::open(&home);
    let started = home.shelltrack(&["start", "--pid", &shell.pid()]).expect(0);
    home.shelltrack(&["end", started.stdout.trim()]).expect(0);
    home.flush();
    let record = &home.sessions()[0];
    assert_eq!(record.text("state"), "ended");
    assert_eq!(record.text("exit_reason"), "unknown");
    assert!(record.0["exit_status"].is_null(), "{:#}", record.0);
}

#[test]
fn a_shell_that_vanishes_without_a_word_is_recorded_as_crashed() {
    let home = Home::new();
    let mut shell = Shell::open(&home);
    home.shelltrack(&["start", "--component", "oneiric", "--pid", &shell.pid()]).expect(0);
    home.flush();
    shell.kill();
    let record = wait_until("the session is seen to be over", BOUND, || {
        home.sessions().into_iter().find(|record| record.text("state") != "active")
    });
    assert_eq!(record.text("state"), "crashed");
    assert_eq!(record.text("exit_reason"), "vanished");
    assert!(record.0["exit_status"].is_null(), "{:#}", record.0);
}

#[test]
fn a_killed_wrapper_does_not_end_the_session_of_a_command_that_lives() {
    let home = Home::new();
    let script = "echo $$ > pid; while ! [ -e stop ]; do sleep 0.05; done";
    let mut command = home.shelltrack_command(&["run", "--component", "orphan", "--", "sh", "-c", script]);
    let mut running = Running::start(command.stdin(Stdio::null()));
    let pid = wait_until("the command says its pid", BOUND, || {
        std::fs::read_to_string(home.work().join("pid")).ok()?.trim().parse::<u32>().ok()
    });
    wait_until("the session is recorded", BOUND, || home.list(&["--active"]).pop());
    running.child.kill().unwrap();
    running.child.wait().unwrap();
    home.flush();
    let open = home.list(&["--active"]);
    assert_eq!(open.len(), 1, "the command still runs: {:#?}", home.sessions());
    assert_eq!(open[0].0["pid"], pid);

    std::fs::write(home.work().join("stop"), "").unwrap();
    let record = wait_until("the session is seen to be over", BOUND, || {
        home.sessions().into_iter().find(|record| record.text("state") != "active")
    });
    assert_eq!(record.text("state"), "crashed");
}

#[test]
fn what_is_accepted_but_not_delivered_is_listed_as_pending() {
    // Nothing listens on the discard port of loopback.
    let home = Home::with_config("[session-buddy]\ntransport = \"http\"\nurl = \"http://127.0.0.1:9/mcp\"\n");
    home.run(&["true"]).expect(0);
    let listed = home.sessions();
    assert_eq!(listed.len(), 1, "{listed:#?}");
    assert_eq!(listed[0].text("delivery"), "pending");
    assert_eq!(listed[0].text("component_name"), "mahavishnu");
    let flushed = home.shelltrack(&["flush", "--timeout", "1"]);
    assert_ne!(flushed.status, 0, "flush cannot have delivered anything: {flushed:?}");
}

#[test]
fn one_session_is_shown_by_its_id_and_an_unknown_one_is_told() {
    let home = Home::new();
    home.run(&["true"]).expect(0);
    home.flush();
    let listed = home.sessions().remove(0);
    let shown = home.json(&["show-session", listed.id(), "--json"]);
    assert_eq!(shown["correlation_id"], listed.0["correlation_id"]);

    let unknown = home.shelltrack(&["show-session", "mahavishnu-20260101-000000-00000000"]);
    assert_eq!((unknown.status, unknown.stdout.as_str()), (1, ""), "{unknown:?}");
    assert!(unknown.stderr.contains("mahavishnu-20260101-000000-00000000"), "{unknown:?}");
}

#[test]
fn a_second_end_changes_nothing_and_is_no_loss() {
    let home = Home::new();
    let shell = Shell::open(&home);
    let key = home.shelltrack(&["start", "--pid", &shell.pid()]).expect(0).stdout.trim().to_owned();
    let ends: Vec<Running> = (0..8)
        .map(|_| Running::start(&mut home.shelltrack_command(&["end", &key, "--exit-status", "4"])))
        .collect();
    // The first of them wins; a later one may be told that the session is over, which is true.
    assert!(ends.into_iter().map(|end| end.finish(BOUND)).filter(|end| end.status == 0).count() >= 1);
    home.flush();
    home.sessions()[0].check_ended(4);
    assert_eq!(home.status()["dead_letters"], 0, "{:#}", home.status());
}

#[test]
fn a_shell_that_ends_its_own_session_inside_run_leaves_no_dead_letter() {
    let home = Home::new();
    let binary = shelltrack_tests::binary::shelltrack().display().to_string();
    let script =
        format!("until '{binary}' end --exit-status 5; do sleep 0.05; done; '{binary}' flush; exit 7");
    home.run(&["sh", "-c", &script]).expect(7);
    home.flush();
    assert_eq!(home.status()["dead_letters"], 0, "{:#}", home.status());
}

#[test]
fn living_shells_are_not_ended_when_descriptors_are_few() {
    let home = Home::new();
    let shells: Vec<Shell> = (0..50).map(|_| Shell::open(&home)).collect();
    let binary = shelltrack_tests::binary::shelltrack().display().to_string();
    for shell in &shells {
        let script = format!("ulimit -n 40; exec '{binary}' start --pid {}", shell.pid());
        let started = shelltrack_tests::process::run_bounded(
            home.command("sh").args(["-c", &script]).stdin(Stdio::null()),
            BOUND,
        );
        started.expect(0);
    }
    home.flush();
    // Longer than the grace that a vanished shell is given: a wrong verdict would be delivered by now.
    std::thread::sleep(std::time::Duration::from_secs(3));
    home.flush();
    assert_eq!(home.list(&["--active"]).len(), shells.len());
}

#[test]
fn an_end_does_not_depend_on_the_configuration_of_today() {
    let home = Home::new();
    let shell = Shell::open(&home);
    let key = home.shelltrack(&["start", "--pid", &shell.pid()]).expect(0).stdout.trim().to_owned();
    home.configure("this is [ no toml");
    let ended = home.shelltrack(&["end", &key, "--exit-status", "6"]).expect(0);
    assert_eq!((ended.stdout.as_str(), ended.stderr.as_str()), ("", ""));
    home.configure("");
    home.flush();
    home.sessions()[0].check_ended(6);
}

#[test]
fn a_refused_start_makes_nothing_on_disk() {
    let home = Home::new();
    let before = home.files().len();
    home.shelltrack(&["start", "--component", "not a name", "--pid", &std::process::id().to_string()])
        .expect(2);
    assert_eq!(home.files().len(), before);
    assert!(!home.path().join("state/shelltrack").exists());
}

#[test]
fn a_pipe_in_place_of_the_configuration_keeps_no_command_waiting() {
    let home = Home::new();
    home.configure("");
    let file = home.path().join("config/shelltrack/config.toml");
    std::fs::remove_file(&file).unwrap();
    assert!(home.command("mkfifo").arg(&file).status().unwrap().success());
    let told = home.run(&["sh", "-c", "exit 3"]).expect(3);
    assert!(told.stderr.contains("not a regular file"), "{}", told.stderr);
}

#[test]
fn every_file_of_the_spool_is_private() {
    use std::os::unix::fs::PermissionsExt;
    let home = Home::new();
    home.run(&["true"]).expect(0);
    home.flush();
    let spool = home.path().join("state/shelltrack");
    let files: Vec<_> = home.files().into_iter().filter(|(path, _)| path.starts_with(&spool)).collect();
    assert!(files.iter().any(|(path, _)| path.to_string_lossy().contains("breaker-")), "{files:?}");
    for (path, _) in files {
        // The agent may end meanwhile and take its file along.
        let Ok(metadata) = std::fs::symlink_metadata(&path) else { continue };
        assert_eq!(metadata.permissions().mode() & 0o777, 0o600, "{}", path.display());
    }
}

#[test]
fn a_directory_that_was_deleted_is_recorded_by_the_name_it_had() {
    let home = Home::new();
    let program = shelltrack_tests::binary::shelltrack().display();
    let script = format!(
        "mkdir gone && cd gone && rmdir ../gone || exit 99
         '{program}' run --component wrapped -- false && exit 98
         key=$('{program}' start --component told --pid $$) && '{program}' end \"$key\" --exit-status 6"
    );
    let ran = shelltrack_tests::run_bounded(home.command("sh").args(["-c", &script]), BOUND).expect(0);
    assert_eq!(ran.stderr, "", "nobody is told: a shell may be where it likes");
    home.flush();
    let records = home.sessions();
    assert_eq!(records.len(), 2, "{records:#?}");
    records.iter().zip([6, 1]).for_each(|(record, status)| record.check_ended(status));
    if cfg!(target_os = "linux") {
        let gone = home.work().join("gone");
        assert!(
            records.iter().all(|record| record.text("working_directory") == gone.to_str().unwrap()),
            "{records:#?}"
        );
    }
}
