//! A place for the spool that is none: each is told, and none of them harms the shell.

use std::fs;
use std::os::unix::fs::{MetadataExt, PermissionsExt, symlink};

use shelltrack_tests::{BOUND, Finished, Home, Shell, run_bounded, skip, wait_until};

/// A shell is just as it is without us.
#[track_caller]
fn check_unharmed(ran: Finished) -> Finished {
    let ran = ran.expect(3);
    assert_eq!(ran.stdout, "out\n");
    ran
}

const SCRIPT: [&str; 3] = ["sh", "-c", "echo out; exit 3"];

/// `start` says why it cannot, in one line that names the place, and `run` runs all the same.
#[track_caller]
fn check_told(home: &Home, part_of_reason: &str) {
    let told = home.shelltrack(&["start", "--pid", &std::process::id().to_string()]);
    assert_ne!(told.status, 0, "{told:?}");
    assert!(told.stderr.contains(part_of_reason), "{told:?}");
    assert_eq!(told.stderr.lines().count(), 1, "{told:?}");
    check_unharmed(home.run(&SCRIPT));
}

#[test]
fn a_spool_of_a_newer_version_is_left_alone_and_named() {
    let home = Home::new();
    home.run(&["true"]).expect(0);
    home.flush();
    let format = home.spool().join("format");
    assert_eq!(fs::read_to_string(&format).unwrap(), "{\"format\":1}\n");
    fs::write(&format, "{\"format\":2,\"more\":true}\n").unwrap();
    // An agent that is there already may finish what it does.
    wait_until("the agent ends", BOUND, || home.processes().is_empty().then_some(()));
    let before = home.files();
    check_told(&home, "newer shelltrack");
    let touched: Vec<_> = home.files().into_iter().filter(|file| !before.contains(file)).collect();
    assert!(touched.iter().all(|(path, _)| !path.starts_with(home.spool())), "{touched:?}");
}

#[test]
fn a_full_spool_without_an_agent_gets_one_that_empties_it() {
    let home = Home::new();
    home.run(&["true"]).expect(0);
    home.flush();
    wait_until("the agent ends", BOUND, || home.processes().is_empty().then_some(()));
    // As an agent left it that was killed while very much waited.
    fs::write(home.spool().join("fill.json"), "{\"events\":250000,\"bytes\":1}\n").unwrap();
    let shell = Shell::open(&home);
    let refused = home.shelltrack(&["start", "--pid", &shell.pid()]).expect(1);
    assert!(refused.stderr.contains("250000"), "{refused:?}");
    wait_until("a start is taken again", BOUND, || {
        (home.shelltrack(&["start", "--pid", &shell.pid()]).status == 0).then_some(())
    });
}

#[test]
fn a_mark_that_cannot_be_read_is_set_aside_and_made_anew() {
    let home = Home::new();
    home.run(&["true"]).expect(0);
    home.flush();
    let format = home.spool().join("format");
    fs::write(&format, "{\"for").unwrap();
    home.run(&["true"]).expect(0);
    home.flush();
    assert_eq!(fs::read_to_string(&format).unwrap(), "{\"format\":1}\n");
    assert_eq!(home.status()["set_aside"], 1);
    assert_eq!(home.sessions().len(), 2);
}

#[test]
fn a_full_disk_refuses_a_start_and_harms_no_shell() {
    check_disk_error("ENOSPC", "No space left on device");
}

#[test]
fn a_read_only_disk_refuses_a_start_and_harms_no_shell() {
    check_disk_error("EROFS", "Read-only file system");
}

#[test]
fn a_broken_disk_refuses_a_start_and_harms_no_shell() {
    check_disk_error("EIO", "Input/output error");
}

#[track_caller]
fn check_disk_error(error: &str, words: &str) {
    let mut home = Home::new();
    home.set("SHELLTRACK_FAIL_AT", &format!("*={error}"));
    check_told(&home, words);
}

#[test]
fn without_home_the_passwd_entry_tells_where_it_is() {
    let home = Home::new();
    let mut command = home.shelltrack_command(&["run", "--", "sh", "-c", "echo out; exit 3"]);
    // The directories still point into the fixture: nothing is written to the real home.
    check_unharmed(run_bounded(command.env_remove("HOME"), BOUND));
    home.flush();
    assert_eq!(home.sessions().len(), 1);
}

#[test]
fn a_home_that_does_not_exist_harms_no_shell() {
    let home = Home::new();
    let mut command = home.shelltrack_command(&["run", "--", "sh", "-c", "echo out; exit 3"]);
    for name in ["XDG_CONFIG_HOME", "XDG_DATA_HOME", "XDG_STATE_HOME", "XDG_CACHE_HOME"] {
        command.env_remove(name);
    }
    check_unharmed(run_bounded(command.env("HOME", "/proc/nowhere/at/all"), BOUND));
}

#[test]
fn without_a_runtime_directory_nothing_is_different() {
    let home = Home::new();
    let mut command = home.shelltrack_command(&["run", "--", "true"]);
    run_bounded(command.env_remove("XDG_RUNTIME_DIR"), BOUND).expect(0);
    home.flush();
    home.sessions()[0].check_ended(0);
}

#[test]
fn a_state_directory_behind_a_symbolic_link_is_used() {
    let mut home = Home::new();
    fs::create_dir(home.path().join("elsewhere")).unwrap();
    symlink(home.path().join("elsewhere"), home.path().join("link")).unwrap();
    let link = home.path().join("link").display().to_string();
    home.set("XDG_STATE_HOME", &link);
    home.run(&["true"]).expect(0);
    home.flush();
    assert!(home.path().join("elsewhere/shelltrack").is_dir());
}

#[test]
fn a_symbolic_link_in_place_of_the_spool_is_refused() {
    let home = Home::new();
    home.run(&["true"]).expect(0);
    home.flush();
    let spool = home.spool();
    let moved = home.path().join("moved");
    fs::rename(&spool, &moved).unwrap();
    symlink(&moved, &spool).unwrap();
    check_told(&home, "is not a directory");
    fs::remove_file(&spool).unwrap();
    symlink("/nowhere", &spool).unwrap();
    check_told(&home, "is not a directory");
}

#[test]
fn a_state_directory_of_another_user_is_refused() {
    let mut home = Home::new();
    if fs::metadata(home.path()).unwrap().uid() != 0 {
        return skip("only root can make another user's directory");
    }
    let theirs = home.path().join("theirs");
    fs::create_dir(&theirs).unwrap();
    std::os::unix::fs::chown(&theirs, Some(12_345), None).unwrap();
    fs::set_permissions(&theirs, fs::Permissions::from_mode(0o777)).unwrap();
    let path = theirs.display().to_string();
    home.set("XDG_STATE_HOME", &path);
    check_told(&home, "belongs to user 12345");
    assert_eq!(fs::read_dir(&theirs).unwrap().count(), 0, "nothing of root's is left there");
}

#[test]
fn a_file_in_place_of_the_state_directory_is_told() {
    let home = Home::new();
    fs::write(home.path().join("state/shelltrack"), "a file").unwrap();
    check_told(&home, "state/shelltrack");
}

#[test]
fn a_spool_with_too_many_bytes_refuses_a_start_counts_it_and_takes_ends() {
    let home = Home::new();
    let shell = Shell::open(&home);
    let key = shell.start(&home);
    home.flush();
    // As an agent would publish it: half a gigabyte in a few events.
    fs::write(home.spool().join("fill.json"), "{\"events\":12,\"bytes\":536870912}").unwrap();
    check_told(&home, "the spool is full (12 events, 536870912 bytes)");
    assert!(
        home.status()["refused"]["spool_full"].as_u64().is_some_and(|refused| refused >= 1),
        "{:#}",
        home.status()
    );
    home.shelltrack(&["end", &key, "--exit-status", "1"]).expect(0);
    home.flush();
    home.sessions()[0].check_ended(1);
}

#[test]
fn a_pipe_in_place_of_any_file_of_the_spool_keeps_nobody_waiting() {
    const FILES: [&str; 13] = [
        "rate",
        "emissions",
        "emissions.old",
        "metrics.json",
        "history.jsonl",
        "fill.json",
        "format",
        "agent.json",
        "agent.last.json",
        "agent.log",
        "agent.lock",
        "next.lock",
        "letters.lock",
    ];
    let home = Home::new();
    home.run(&["true"]).expect(0);
    home.flush();
    let file = |name: &str| home.spool().join(name);
    for name in FILES {
        wait_until("the agent is gone", BOUND, || home.processes().is_empty().then_some(()));
        drop(fs::remove_file(file(name)));
        run_bounded(home.command("mkfifo").arg(file(name)), BOUND).expect(0);
        home.run(&["sh", "-c", "exit 4"]).expect(4);
        home.status();
        for arguments in [&["status", "--prometheus"][..], &["list-sessions"], &["dead-letters", "list"]] {
            home.shelltrack(arguments).expect(0);
        }
        drop(fs::remove_file(file(name)));
        home.flush();
    }
    assert_eq!(home.sessions().len(), FILES.len() + 1);
}
