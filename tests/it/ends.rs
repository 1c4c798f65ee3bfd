//! Ends nobody announced, with real processes.

use std::fs;
use std::path::PathBuf;
use std::process::{Command, Stdio};
use std::time::Duration;

use rustix::process::Signal;
use serde_json::Value;
use shelltrack_tests::binary::shelltrack;
use shelltrack_tests::process::{Running, signal_stranger};
use shelltrack_tests::terminal::Terminal;
use shelltrack_tests::{BOUND, Home, Record, Shell, skip, wait_until};

/// Longer than the grace that a vanished shell is given: a wrong verdict would be delivered by then.
const VERDICT: Duration = Duration::from_secs(4);

#[track_caller]
fn wait_until_over(home: &Home) -> Record {
    wait_until("the session is over", BOUND, || {
        home.sessions().into_iter().find(|record| record.text("state") != "active")
    })
}

#[test]
fn a_killed_wrapper_ends_nothing_while_its_command_lives() {
    let home = Home::new();
    let mut command = home.shelltrack_command(&["run", "--", "sleep", "300"]);
    let wrapper = Running::start(command.stdin(Stdio::null()));
    wait_until("the session is open", BOUND, || (home.list(&["--active"]).len() == 1).then_some(()));
    home.flush();
    wrapper.signal(Signal::KILL);
    std::thread::sleep(VERDICT);
    home.flush();
    assert_eq!(home.list(&["--active"]).len(), 1, "its command lives");
    let command = home.processes().into_iter().find(|process| process.command.starts_with("sleep")).unwrap();
    signal_stranger(&command, Signal::KILL);
    let record = wait_until_over(&home);
    assert_eq!((record.text("state"), record.text("exit_reason")), ("crashed", "vanished"));
    assert_eq!(wrapper.finish(BOUND).status, 137);
}

#[test]
fn an_end_that_a_stopped_wrapper_announces_late_tells_when_the_command_ended() {
    let home = Home::new();
    let mut command = home.shelltrack_command(&["run", "--", "sleep", "300"]);
    let wrapper = Running::start(command.stdin(Stdio::null()));
    wait_until("the session is open", BOUND, || (home.list(&["--active"]).len() == 1).then_some(()));
    home.flush();
    wrapper.signal(Signal::STOP);
    let command = home.processes().into_iter().find(|process| process.command.starts_with("sleep")).unwrap();
    signal_stranger(&command, Signal::KILL);
    let inferred = wait_until_over(&home);
    assert_eq!(inferred.text("exit_reason"), "vanished");
    wrapper.signal(Signal::CONT);
    assert_eq!(wrapper.finish(BOUND).status, 137);
    let record = wait_until("the announced end replaces it", BOUND, || {
        home.sessions().into_iter().find(|record| record.text("exit_reason") == "signaled")
    });
    record.check_ended(137);
    assert_eq!(record.text("end_time"), inferred.text("end_time"));
}

#[test]
fn a_shell_that_is_killed_while_no_agent_runs_is_ended_by_the_next_one() {
    let home = Home::new();
    let mut shell = Shell::open(&home);
    shell.start(&home);
    home.flush();
    home.end_agents(Signal::KILL);
    shell.kill();
    home.run(&["true"]).expect(0);
    let crashed = wait_until("the session is over", BOUND, || {
        home.sessions().into_iter().find(|record| record.text("state") == "crashed")
    });
    assert_eq!(crashed.text("exit_reason"), "vanished");
    // Nobody saw it go: the end is the last time it was known to live, never later than now.
    assert!(crashed.text("start_time") <= crashed.text("end_time"));
}

#[test]
fn a_shell_whose_main_thread_is_over_lives_as_long_as_its_others() {
    let home = Home::new();
    let main_thread_ends = "import ctypes, threading, time\n\
        threading.Thread(target=time.sleep, args=(300,)).start()\n\
        ctypes.CDLL(None).pthread_exit(None)";
    let mut python = home.command("python3");
    python.args(["-c", main_thread_ends]).stdin(Stdio::null());
    let is_here = Command::new("python3").arg("--version").output().is_ok();
    if !cfg!(target_os = "linux") || !is_here {
        return skip("there is no python3 to end its main thread, or no /proc to see it");
    }
    let shell = Running::start(&mut python);
    let pid = shell.child.id();
    // proc_pid_stat(5): a zombie, with threads.
    let stat = || fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
    wait_until("its main thread is over", BOUND, || stat().contains(") Z ").then_some(()));
    home.shelltrack(&["start", "--pid", &pid.to_string()]).expect(0);
    home.flush();
    std::thread::sleep(VERDICT);
    assert_eq!(home.sessions()[0].text("state"), "active");
    // Nor does an agent that finds it open think otherwise.
    home.end_agents(Signal::KILL);
    home.shelltrack(&["status"]).expect(0);
    std::thread::sleep(VERDICT);
    assert_eq!(home.sessions()[0].text("state"), "active");
    shell.signal(Signal::KILL);
    assert_eq!(wait_until_over(&home).text("exit_reason"), "vanished");
    shell.finish(BOUND);
}

#[test]
fn a_terminal_that_is_closed_ends_its_shells() {
    let home = Home::new();
    let Some(terminal) = Terminal::open(&home) else { return skip("no tmux here") };
    // One that is wrapped, and one that only says when it opens.
    terminal.type_line(&format!("'{}' start --pid $$ > /dev/null", shelltrack().display()));
    terminal.type_line(&format!("'{}' run -- sleep 300", shelltrack().display()));
    wait_until("both sessions are open", BOUND, || (home.list(&["--active"]).len() == 2).then_some(()));
    home.flush();
    terminal.close_pane();
    wait_until("both sessions are over", BOUND, || {
        (home.sessions().iter().filter(|record| record.text("state") != "active").count() == 2).then_some(())
    });
    let reasons: Vec<String> =
        home.sessions().iter().map(|record| record.text("exit_reason").to_owned()).collect();
    assert!(reasons.contains(&"vanished".to_owned()), "{reasons:?}");
}

/// The one file of a room of the spool.
#[track_caller]
fn only_file(home: &Home, room: &str) -> PathBuf {
    let files: Vec<PathBuf> =
        fs::read_dir(home.spool().join(room)).unwrap().map(|entry| entry.unwrap().path()).collect();
    assert_eq!(files.len(), 1, "{files:?}");
    files[0].clone()
}

/// What the spool looks like after the machine was started again: the run it names is another one.
#[track_caller]
fn reboot(home: &Home) -> Record {
    let file = only_file(home, "open");
    let mut session: Value = serde_json::from_slice(&fs::read(&file).unwrap()).unwrap();
    session["process"]["boot"] = "00000000-0000-4000-8000-000000000000".into();
    fs::write(&file, session.to_string()).unwrap();
    home.run(&["true"]).expect(0);
    wait_until("the session is over", BOUND, || {
        home.sessions().into_iter().find(|record| record.text("state") == "lost")
    })
}

#[test]
fn after_a_reboot_open_sessions_are_lost_and_say_so() {
    let home = Home::new();
    let shell = Shell::open(&home);
    shell.start(&home);
    home.flush();
    home.end_agents(Signal::KILL);
    assert_eq!(reboot(&home).text("exit_reason"), "rebooted");
}

#[test]
fn a_session_that_a_shutdown_ended_lasted_until_then() {
    let home = Home::new();
    let shell = Shell::open(&home);
    shell.start(&home);
    home.flush();
    // So that it lasts for some time.
    std::thread::sleep(Duration::from_secs(1));
    home.end_agents(Signal::TERM);
    let lost = reboot(&home);
    assert_eq!(lost.text("exit_reason"), "rebooted");
    assert!(lost.duration_seconds() >= 1.0, "{lost:?}");
}

#[test]
fn a_spool_of_another_machine_in_the_same_home_is_not_judged() {
    let home = Home::new();
    let mut shell = Shell::open(&home);
    shell.start(&home);
    home.flush();
    home.end_agents(Signal::KILL);
    // From now on these sessions are those of another machine: there, the pid may be alive.
    let ours = only_file(&home, "open");
    let spool = ours.parent().unwrap().parent().unwrap();
    fs::rename(spool, spool.with_file_name("spool-000000000000-f0000000")).unwrap();
    shell.kill();
    home.run(&["true"]).expect(0);
    std::thread::sleep(VERDICT);
    home.flush();
    assert_eq!(home.list(&["--active"]).len(), 1, "{:#?}", home.sessions());
}

#[test]
fn a_second_end_changes_nothing_before_and_after_the_first_one_is_delivered() {
    let home = Home::new();
    let shell = Shell::open(&home);
    let key = shell.start(&home);
    for status in ["3", "4"] {
        home.shelltrack(&["end", &key, "--exit-status", status]).expect(0);
    }
    home.flush();
    let told = home.shelltrack(&["end", &key, "--exit-status", "5"]).expect(0);
    assert!(told.stderr.contains("has ended already"), "{told:?}");
    home.flush();
    home.sessions()[0].check_ended(3);
    let unknown = uuid::Uuid::new_v4().to_string();
    home.shelltrack(&["end", &unknown, "--exit-status", "0"]).expect(1);
}
