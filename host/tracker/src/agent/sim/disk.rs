//! Every single step on disk fails once, and for good: what was accepted is delivered once all the same.

use std::time::Duration;

use super::World;
use crate::fault::{Plan, hits, inject};
use crate::spool::Kind;

/// More steps than a story has; a guard against a test that never ends.
const STEPS_MAX: u32 = 400;

/// One session comes while an agent is there, another one goes; step number `nth` fails.
/// `false` when there is no such step.
#[track_caller]
fn story_with_a_fault(error: &str, nth: u32) -> bool {
    let world = World::new();
    let before = world.start();
    let mut accepted = vec![before];
    inject(Some(Plan::failing(&format!("*:{nth}={error}"))));
    world.play(async || {
        tokio::time::sleep(Duration::from_secs(3)).await;
        let key = uuid::Uuid::new_v4();
        let me = crate::process::ProcessId::of(std::process::id());
        let start = world.start_event(key, World::target("one"), me);
        // A shell that is told that its start is not stored announces no end.
        if world.spool.accept(&start, Kind::Start).is_ok() {
            accepted.push(key);
        }
        tokio::time::sleep(Duration::from_secs(3)).await;
        for key in &accepted {
            // Nor does the disk fail twice: a shell's second attempt is the test's.
            let end = world.end_event(*key);
            if world.spool.accept(&end, Kind::End).is_err() {
                world.spool.accept(&end, Kind::End).unwrap();
            }
        }
        // A start that was stored and not told so has no end: this process lives.
        for key in world.spool.open_keys().unwrap() {
            if !accepted.contains(&key) {
                world.end(key);
            }
        }
    });
    let hit = hits() > 0;
    inject(None);
    world.drain();
    for key in &accepted {
        world.buddy.check_stored_once(*key);
    }
    for part in ["new", "open", "dead"] {
        assert_eq!(world.names(part), Vec::<String>::new(), "left in {part} after step {nth} failed");
    }
    hit
}

#[track_caller]
fn check_every_step(error: &str) {
    let steps = (1..STEPS_MAX).take_while(|nth| story_with_a_fault(error, *nth)).count();
    assert!(steps > 40, "only {steps} steps were met");
}

#[test]
fn a_disk_that_is_full_at_any_one_step_loses_nothing() {
    check_every_step("ENOSPC");
}

#[test]
fn a_disk_that_errs_at_any_one_step_loses_nothing() {
    check_every_step("EIO");
}

#[test]
fn a_disk_that_is_full_for_an_hour_loses_nothing_that_was_accepted() {
    let world = World::new();
    let keys = world.sessions(3);
    inject(Some(Plan::failing("*=ENOSPC")));
    world.play(async || {
        let start = world.start_event(
            uuid::Uuid::new_v4(),
            World::target("one"),
            crate::process::ProcessId::of(std::process::id()),
        );
        let refused = world.spool.accept(&start, Kind::Start).unwrap_err().to_string();
        assert!(refused.contains("No space left"), "{refused}");
        tokio::time::sleep(Duration::from_secs(3_600)).await;
        inject(None);
    });
    world.check_complete(&keys);
}

#[test]
fn a_damaged_event_on_a_full_disk_stays_until_its_letter_can_be_written() {
    let world = World::new();
    let (torn, stranger) = (world.start(), world.spool.new_dir().join("stranger"));
    std::fs::write(world.spool.event_path(torn, Kind::Start), "{torn").unwrap();
    std::fs::write(&stranger, "").unwrap();
    inject(Some(Plan::failing("*=ENOSPC")));
    world.play(async || {
        tokio::time::sleep(Duration::from_secs(60)).await;
        assert!(world.spool.event_path(torn, Kind::Start).exists() && stranger.exists());
        assert_eq!((world.names("dead").len(), world.names("aside").len()), (0, 0));
        inject(None);
    });
    world.drain();
    assert!(world.reason(torn, Kind::Start).contains("is no event"));
    assert!(world.spool.raw_path(torn, Kind::Start).exists());
    assert_eq!((world.names("new").len(), world.names("aside").len()), (0, 2), "with its reason");
}
