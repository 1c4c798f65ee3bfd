//! Killed at every step that touches disk or wire: the next agent goes on, and each session is recorded
//! once.

use std::collections::BTreeSet;
use std::fs;
use std::sync::Mutex;

use shelltrack_tests::store::stored;
use shelltrack_tests::{BOUND, Home, Shell, run_bounded, wait_until};

/// Stories at a time; each mostly waits.
const AT_ONCE: usize = 4;

/// Signal that a process sends itself at its point, as shells count it.
const KILLED: i32 = 137;

#[test]
fn a_process_killed_at_any_point_costs_nothing_that_was_accepted() {
    let names = Mutex::new(shelltrack_tracker::fault::names());
    let failed = Mutex::new(Vec::new());
    std::thread::scope(|scope| {
        for _ in 0..AT_ONCE {
            scope.spawn(|| {
                let next = || names.lock().unwrap().pop();
                while let Some(name) = next() {
                    let told = std::panic::catch_unwind(|| check_point(&name));
                    if told.is_err() {
                        failed.lock().unwrap().push(name);
                    }
                }
            });
        }
    });
    assert_eq!(failed.into_inner().unwrap(), Vec::<String>::new());
}

/// Two shells, one of which ends; the first process that comes to the point is killed there. Then all goes
/// on without faults.
fn check_point(name: &str) {
    let home = Home::new();
    // Only the first process marks a spool, and only the first agent has a new breaker to keep.
    if !name.starts_with("mark") && !name.starts_with("breaker") {
        // Something to set aside is in the spool.
        home.run(&["true"]).expect(0);
        home.flush();
        // This agent knows of no faults: it is to be gone before others come.
        wait_until("the agent ends", BOUND, || home.processes().is_empty().then_some(()));
        fs::write(home.spool().join("new/stranger"), "").unwrap();
    }
    let (stays, goes) = (Shell::open(&home), Shell::open(&home));
    let log = home.path().join("faults");
    let faulty = |arguments: &[&str]| {
        let mut command = home.shelltrack_command(arguments);
        command.env("SHELLTRACK_CRASH_AT", name).env("SHELLTRACK_FAULT_LOG", &log);
        run_bounded(&mut command, BOUND)
    };
    let hit = || fs::read_to_string(&log).is_ok_and(|log| log.lines().any(|line| line == name));
    let mut keys = BTreeSet::new();
    for shell in [&stays, &goes] {
        let mut command = home.shelltrack_command(&["start", "--pid", &shell.pid()]);
        command.env("SHELLTRACK_CRASH_AT", name).env("SHELLTRACK_FAULT_LOG", &log);
        let started = run_bounded(&mut command, BOUND);
        match started.status {
            0 => _ = keys.insert(started.stdout.trim().to_owned()),
            // It was not told a key: whether its start is recorded is open, twice it must not be.
            KILLED => {}
            _ => panic!("{name}: {started:?}"),
        }
    }
    let ends = keys.last().cloned();
    if let Some(key) = &ends {
        let ended = faulty(&["end", key, "--exit-status", "4"]);
        assert!([0, KILLED].contains(&ended.status), "{name}: {ended:?}");
        if ended.status == KILLED {
            home.shelltrack(&["end", key, "--exit-status", "4"]).expect(0);
        }
    }
    for key in keys.iter().filter(|key| Some(*key) != ends.as_ref() && name.starts_with("presence")) {
        // An agent leaves only when every session is over.
        home.shelltrack(&["end", key, "--exit-status", "0"]).expect(0);
    }
    wait_until(&format!("somebody is killed at {name}"), BOUND, || {
        if !hit() && name.starts_with("order") {
            faulty(&["breaker", "reset"]);
        }
        if !hit() {
            faulty(&["flush", "--timeout", "1"]);
        }
        hit().then_some(())
    });
    drop((stays, goes));
    home.run(&["true"]).expect(0);
    home.flush();
    // Shells that are gone are ended after a moment of grace.
    wait_until("every session is over", BOUND, || {
        home.shelltrack(&["flush", "--timeout", "10"]);
        stored(&home).iter().all(|session| session.state != "active").then_some(())
    });
    let sessions = stored(&home);
    for key in &keys {
        let session = sessions.iter().find(|session| session.key == *key);
        let session = session.unwrap_or_else(|| panic!("{name}: {key} is lost: {sessions:?}"));
        if Some(key) == ends.as_ref() {
            assert_eq!((session.state.as_str(), session.exit_status), ("ended", Some(4)), "{name}");
        }
    }
    let status = home.status();
    assert_eq!((&status["dead_letters"], &status["queued"]), (&0.into(), &0.into()), "{name}: {status:#}");
}
