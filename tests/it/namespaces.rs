//! Containers: pid namespaces of their own, with their own `/proc` and with the machine's, and disks that
//! are full or read-only.

use rustix::process::Signal;
use shelltrack_tests::binary::shelltrack;
use shelltrack_tests::{BOUND, FakeSessionBuddy, Finished, Home, Record, run_bounded, skip, wait_until};

const WHY_SKIPPED: &str = "no pid namespace can be made here";

/// Runs a script as the first process of a pid namespace; `None` where that is not possible.
fn in_namespace(home: &Home, options: &[&str], arguments: &[&str]) -> Option<Finished> {
    let command = |arguments: &[&str]| {
        let mut command = home.command("unshare");
        command.args(["--pid", "--fork", "--kill-child"]).args(options);
        if !rustix::process::geteuid().is_root() {
            command.args(["--user", "--map-root-user"]);
        }
        command.arg("--").args(arguments);
        command
    };
    let possible = command(&["true"]).output().is_ok_and(|ran| ran.status.success());
    possible.then(|| run_bounded(&mut command(arguments), BOUND * 2))
}

#[track_caller]
fn check_recorded_inside(options: &[&str]) {
    let home = Home::new();
    let program = shelltrack().display();
    let script = format!(
        "'{program}' run --component inside -- sh -c 'exit 5'; echo \"status $?\"
         key=$('{program}' start --component told --pid $$); '{program}' end \"$key\" --exit-status 6
         '{program}' flush --timeout 60 > /dev/null; '{program}' list-sessions --json"
    );
    let Some(ran) = in_namespace(&home, options, &["sh", "-c", &script]) else { return skip(WHY_SKIPPED) };
    let (first, listed) = ran.stdout.split_once('\n').unwrap_or_else(|| panic!("{ran:?}"));
    assert_eq!((first, ran.stderr.as_str()), ("status 5", ""), "{ran:?}");
    let records: Vec<serde_json::Value> = serde_json::from_str(listed).unwrap();
    let records: Vec<Record> = records.into_iter().map(Record).collect();
    assert_eq!(records.len(), 2, "{records:#?}");
    for (record, status) in records.iter().zip([6, 5]) {
        record.check_ended(status);
        // Not that of another process which has the same number outside.
        assert_eq!(record.text("working_directory"), home.work().to_str().unwrap());
    }
}

#[test]
fn a_shell_in_a_container_is_recorded_like_any_other() {
    check_recorded_inside(&["--mount-proc"]);
}

#[test]
fn a_shell_in_a_container_that_sees_the_machines_processes_is_not_taken_for_one_of_them() {
    check_recorded_inside(&[]);
}

#[test]
fn a_parent_outside_of_the_container_is_no_shell_that_can_be_named() {
    let home = Home::new();
    let program = shelltrack().to_str().unwrap();
    let Some(told) = in_namespace(&home, &["--mount-proc"], &[program, "start"]) else {
        return skip(WHY_SKIPPED);
    };
    let told = told.expect(2);
    assert!(told.stderr.contains("--pid: the parent is no process here"), "{told:?}");
    assert_eq!(told.stderr.lines().count(), 1);
}

#[test]
fn what_a_container_left_behind_is_delivered_by_an_agent_outside() {
    let home = Home::new();
    let script = format!("'{}' start --component left --pid $$", shelltrack().display());
    // The agent dies with its namespace, before or after it delivered.
    let Some(ran) = in_namespace(&home, &["--mount-proc"], &["sh", "-c", &script]) else {
        return skip(WHY_SKIPPED);
    };
    let key = ran.expect(0).stdout.trim().to_owned();
    home.run(&["true"]).expect(0);
    let left = wait_until("its session is known", BOUND, || {
        home.sessions().into_iter().find(|record| record.text("correlation_id") == key)
    });
    assert_eq!(left.text("component_name"), "left");
    let first = std::fs::metadata("/proc/self/ns/pid").unwrap();
    if std::os::unix::fs::MetadataExt::ino(&first) != 0xEFFF_FFFC {
        return skip("only the machine's first pid namespace knows that another one is gone");
    }
    wait_until("its session is over", BOUND, || {
        home.sessions()
            .into_iter()
            .find(|record| record.text("correlation_id") == key)
            .filter(|record| record.text("state") == "crashed")
    });
}

#[test]
fn a_disk_that_is_full_or_read_only_is_told_by_status_and_harms_no_shell() {
    let home = Home::new();
    let program = shelltrack().display();
    let script = format!(
        r#"mount -t tmpfs -o size=400k,mode=0700 tmpfs "$XDG_STATE_HOME" || exit 99
        run() {{ '{program}' run -- sh -c 'exit 4'; echo "$1: $?"; '{program}' status | grep '^ATTENTION.*now'; }}
        run well; '{program}' flush --timeout 60 > /dev/null
        dd if=/dev/zero of="$XDG_STATE_HOME/fill" bs=1k 2> /dev/null; run full
        rm "$XDG_STATE_HOME/fill"; run again; '{program}' flush --timeout 60 > /dev/null
        for i in $(seq 300); do mount -o remount,ro "$XDG_STATE_HOME" 2> /dev/null && break; sleep 0.1; done
        run read-only; '{program}' list-sessions --json | grep -c '"ended"'"#
    );
    let Some(ran) = in_namespace(&home, &["--mount-proc", "--mount"], &["sh", "-c", &script]) else {
        return skip(WHY_SKIPPED);
    };
    if ran.status == 99 {
        return skip("nothing can be mounted here");
    }
    let told: Vec<&str> = ran.stdout.lines().collect();
    let expected =
        ["well: 4", "full: 4", "No space left", "again: 4", "read-only: 4", "Read-only file system", "2"];
    assert_eq!(told.len(), expected.len(), "{ran:?}");
    for (line, part) in told.iter().zip(expected) {
        assert!(line.contains(part), "{line:?} does not say {part:?}: {ran:?}");
    }
}

#[test]
fn what_a_container_without_a_lasting_name_left_is_told_and_delivered_by_order() {
    let fake = FakeSessionBuddy::start();
    let home = Home::with_config(&fake.config());
    fake.set_down(true);
    home.run(&["true"]).expect(0);
    wait_until("its agent is gone", BOUND, || {
        home.end_agents(Signal::KILL);
        home.processes().is_empty().then_some(())
    });
    // What a container leaves that had another name, and no machine-id.
    let left = home.path().join("state/shelltrack/spool-0123456789ab-1");
    std::fs::rename(home.spool(), &left).unwrap();
    let long_ago = std::time::SystemTime::now() - std::time::Duration::from_secs(2 * 3600);
    for event in std::fs::read_dir(left.join("new")).unwrap() {
        std::fs::File::open(event.unwrap().path()).unwrap().set_modified(long_ago).unwrap();
    }
    fake.set_down(false);
    let status = home.status();
    assert_eq!((&status["unserved"][0]["queued"], &status["queued"]), (&2.into(), &0.into()), "{status:#}");
    let told = home.shelltrack(&["status"]).expect(1).stdout;
    let order = format!("shelltrack agent '{}'", left.display());
    assert!(told.lines().any(|line| line.starts_with("ATTENTION") && line.contains(&order)), "{told}");
    home.run(&["true"]).expect(0);
    home.flush();
    let waiting = || std::fs::read_dir(left.join("new")).unwrap().count();
    assert_eq!(waiting(), 2, "nobody touches it unasked");

    home.shelltrack(&["agent", left.to_str().unwrap()]).expect(0);
    wait_until("it is delivered", BOUND, || (waiting() == 0).then_some(()));
    home.shelltrack(&["status"]).expect(0);
    let calls = fake.calls().into_iter().filter(|call| call.tool == "track_session_start");
    assert_eq!(calls.count(), 2, "its own and ours");
}

#[test]
fn a_spool_of_another_machine_that_somebody_serves_is_not_named_and_not_served_by_order() {
    let home = Home::new();
    home.run(&["true"]).expect(0);
    home.flush();
    wait_until("its agent is gone", BOUND, || home.processes().is_empty().then_some(()));
    let theirs = home.path().join("state/shelltrack/spool-0123456789ab-1");
    std::fs::rename(home.spool(), &theirs).unwrap();
    let event = format!("new/{}.end.json", uuid::Uuid::new_v4());
    std::fs::write(theirs.join(&event), "{}").unwrap();
    let lock = std::fs::File::open(theirs.join("agent.lock")).unwrap();
    lock.lock().unwrap();
    assert_eq!(home.status()["unserved"], serde_json::json!([]));
    home.shelltrack(&["agent", theirs.to_str().unwrap()]);
    wait_until("the second stage is over", BOUND, || home.processes().is_empty().then_some(()));
    assert!(theirs.join(&event).exists());
    assert_eq!(std::fs::read_dir(theirs.join("dead")).unwrap().count(), 0);
}
