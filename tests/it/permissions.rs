//! What may not be read or written, by a user for whom permissions mean something.

use std::fs::{self, Permissions};
use std::os::unix::fs::PermissionsExt;
use std::path::Path;

use rustix::process::Signal;
use shelltrack_tests::{BOUND, FakeSessionBuddy, Home, Shell, skip};

const WHY_SKIPPED: &str = "another user may not run the program where it lies";

fn allow(path: &Path, mode: u32) {
    fs::set_permissions(path, Permissions::from_mode(mode)).unwrap();
}

/// Shells run on while the embedded database cannot be used, `status` says why, and what was accepted is
/// delivered once it can.
#[track_caller]
fn check_unusable_database(home: &Home, spoil: impl Fn(), mend: impl Fn()) {
    spoil();
    let ran = home.run(&["sh", "-c", "echo out; exit 3"]).expect(3);
    assert_eq!((ran.stdout.as_str(), ran.stderr.as_str()), ("out\n", ""));
    let flushed = home.shelltrack(&["flush", "--timeout", "8"]).expect(1);
    assert!(flushed.stderr.contains("sessions.db"), "{flushed:?}");
    let told = home.shelltrack(&["status"]).expect(1).stdout;
    let attention = told.lines().find(|line| line.starts_with("ATTENTION"));
    assert!(attention.is_some_and(|line| line.contains("sessions.db")), "{told}");
    mend();
    home.flush_within(BOUND.as_secs() * 3);
    home.sessions()[0].check_ended(3);
    home.shelltrack(&["status"]).expect(0);
}

#[test]
fn an_embedded_database_in_a_directory_that_may_not_be_written_harms_no_shell_and_is_told() {
    let Some(home) = Home::unprivileged() else { return skip(WHY_SKIPPED) };
    let data = home.path().join("data");
    check_unusable_database(&home, || allow(&data, 0o500), || allow(&data, 0o700));
}

#[test]
fn an_embedded_database_in_a_directory_of_another_user_harms_no_shell_and_is_told() {
    let Some(home) = Home::unprivileged() else { return skip(WHY_SKIPPED) };
    let theirs = home.path().join("data/shelltrack");
    fs::create_dir(&theirs).unwrap();
    if !rustix::process::geteuid().is_root() {
        return skip("only root can make another user's directory");
    }
    allow(&theirs, 0o700);
    check_unusable_database(
        &home,
        || {},
        || {
            std::os::unix::fs::chown(&theirs, Some(65_534), Some(65_534)).unwrap();
        },
    );
}

#[test]
fn files_of_the_spool_that_may_not_be_read_are_put_aside_and_hold_up_nobody() {
    let Some(home) = Home::unprivileged() else { return skip(WHY_SKIPPED) };
    let fake = FakeSessionBuddy::start();
    home.configure(&fake.config());
    let (mut known, waits) = (Shell::open(&home), Shell::open(&home));
    let known_key = known.start(&home);
    home.flush();
    fake.set_down(true);
    let waits_key = waits.start(&home);
    home.end_agents(Signal::KILL);
    let spool = home.spool();
    for name in [format!("new/{waits_key}.start.json"), format!("open/{known_key}.json")] {
        allow(&spool.join(name), 0o000);
    }
    // Nobody can know when such a file is needed again.
    for name in ["agent.lock", "agent.json", "format", "metrics.json", "rate", "agent.log"] {
        // An agent that was killed early has not written all of them.
        if spool.join(name).exists() {
            allow(&spool.join(name), 0o000);
        }
    }
    fake.set_down(false);
    home.run(&["true"]).expect(0);
    known.kill();
    // What cannot be read is given up, maybe before this waits for it; either way it is told.
    let told = home.shelltrack(&["flush", "--timeout", "60"]).expect(1).stderr;
    assert!(told.contains(" 0 still wait") || told.contains("since the last flush"), "{told}");
    assert_eq!(fake.accepted("track_session_start").len(), 2, "the one before and the one after");
    let letters = home.json(&["dead-letters", "list", "--json"]);
    let of_event = letters.as_array().unwrap().iter().find(|letter| letter["session"] == *waits_key);
    let reason = of_event.unwrap_or_else(|| panic!("{letters:#}"))["reason"].as_str().unwrap();
    assert!(reason.contains("Permission denied"), "{reason}");
    assert!(
        home.status()["set_aside"].as_u64().is_some_and(|set_aside| set_aside >= 1),
        "{:#}",
        home.status()
    );
}

#[test]
fn a_spool_whose_rooms_may_not_be_entered_is_opened_again_by_its_owner() {
    let Some(home) = Home::unprivileged() else { return skip(WHY_SKIPPED) };
    home.run(&["true"]).expect(0);
    home.flush();
    home.end_agents(Signal::KILL);
    let spool = home.spool();
    for room in ["new", "tmp", "open", "dead"] {
        allow(&spool.join(room), 0o000);
    }
    allow(&spool, 0o500);
    home.run(&["true"]).expect(0);
    home.flush();
    assert_eq!(home.sessions().len(), 2);
}
