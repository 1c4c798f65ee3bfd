//! What an agent does with a spool that somebody else had their hands on.

use std::fs;
use std::rc::Rc;

use serde_json::Value;

use super::super::Shared;
use super::super::keeper::Keeper;
use super::World;
use crate::process::ProcessId;
use crate::spool::Kind;

#[track_caller]
fn check_set_aside(world: &World, found: &str, part_of_reason: &str) {
    let rooms = world.names("aside");
    let letters = rooms.iter().filter(|name| name.ends_with(".json"));
    let letters: Vec<Value> = letters
        .map(|name| {
            serde_json::from_slice(&fs::read(world.spool.root().join("aside").join(name)).unwrap()).unwrap()
        })
        .collect();
    let letter = letters.iter().find(|letter| letter["found"] == found);
    let reason = letter.unwrap_or_else(|| panic!("not set aside: {found}; {letters:?}"))["reason"].as_str();
    assert!(reason.unwrap().contains(part_of_reason), "{reason:?}");
}

#[test]
fn torn_empty_and_foreign_files_are_set_aside_and_hold_up_nothing() {
    let world = World::new();
    let new = world.spool.new_dir();
    let (torn, empty, directory, alien) =
        (world.start(), world.start(), uuid::Uuid::new_v4(), uuid::Uuid::new_v4());
    let path = world.spool.event_path(torn, Kind::Start);
    let whole = fs::read(&path).unwrap();
    fs::write(&path, &whole[..whole.len() / 2]).unwrap();
    fs::write(world.spool.event_path(empty, Kind::Start), "").unwrap();
    fs::create_dir(world.spool.event_path(directory, Kind::End)).unwrap();
    fs::write(world.spool.event_path(alien, Kind::End), "{\"format\":1,\"key\":true}").unwrap();
    fs::write(new.join("notes.txt"), "hello").unwrap();
    fs::create_dir(new.join("a directory")).unwrap();
    std::os::unix::fs::symlink("/etc/passwd", new.join("link")).unwrap();
    fs::write(world.spool.root().join("open").join("junk"), "x").unwrap();
    let keys = world.sessions(2);
    world.drain();
    for key in keys {
        world.buddy.check_stored_once(key);
    }
    for key in [torn, empty] {
        assert!(world.reason(key, Kind::Start).contains("is no event"));
    }
    for key in [directory, alien] {
        assert!(world.reason(key, Kind::End).contains("is no event"));
    }
    for name in ["new/notes.txt", "new/a directory", "new/link", "open/junk"] {
        check_set_aside(&world, name, "no name that shelltrack gives");
    }
    assert_eq!(world.names("new"), Vec::<String>::new());
    assert_eq!(world.spool.count_set_aside(), 4);
}

#[test]
fn a_file_too_large_to_be_an_event_is_a_dead_letter_and_kept() {
    let world = World::new();
    let key = uuid::Uuid::new_v4();
    fs::write(world.spool.event_path(key, Kind::End), vec![b' '; 2 << 20]).unwrap();
    world.drain();
    assert!(world.reason(key, Kind::End).contains("larger than"));
    assert_eq!(
        fs::metadata(world.spool.dead_path(key, Kind::End).with_extension("raw")).unwrap().len(),
        2 << 20
    );
}

#[test]
fn what_is_known_of_a_session_is_made_anew_while_its_start_waits() {
    for damage in ["", "{\"key\":", "[]"] {
        let world = World::new();
        let key = world.start();
        world.end(key);
        fs::write(world.spool.open_path(key), damage).unwrap();
        world.drain();
        world.buddy.check_stored_once(key);
        check_set_aside(&world, &format!("open/{key}.json"), "cannot be read");
        assert_eq!(world.names("open"), Vec::<String>::new());
    }
}

#[test]
fn a_torn_session_file_without_its_start_makes_its_end_a_dead_letter() {
    let world = World::new();
    let key = world.start();
    world.play(async || {
        tokio::time::sleep(std::time::Duration::from_secs(3)).await;
        fs::write(world.spool.open_path(key), "{\"key\":").unwrap();
        world.end(key);
    });
    check_set_aside(&world, &format!("open/{key}.json"), "cannot be read");
    assert!(world.reason(key, Kind::Start).contains("cannot be read"));
    assert!(!world.reason(key, Kind::End).is_empty());
    assert_eq!(world.names("new"), Vec::<String>::new());
}

#[test]
fn a_start_whose_session_file_is_gone_is_delivered_all_the_same() {
    let world = World::new();
    world.network.set_down("one", true);
    let key = world.start();
    world.play(async || {
        tokio::time::sleep(std::time::Duration::from_secs(3)).await;
        fs::remove_file(world.spool.open_path(key)).unwrap();
        world.end(key);
        world.network.set_down("one", false);
    });
    world.check_complete(&[key]);
}

#[test]
fn a_start_without_a_target_is_a_dead_letter() {
    let world = World::new();
    let key = uuid::Uuid::new_v4();
    let mut start = world.start_event(key, World::target("one"), ProcessId::of(1));
    start.opened = None;
    world.spool.accept(&start, Kind::Start).unwrap();
    world.drain();
    assert!(world.reason(key, Kind::Start).contains("without a target"));
}

#[test]
fn an_end_waits_for_a_start_that_cannot_be_read_for_now() {
    let world = World::new();
    let key = world.start();
    world.end(key);
    let path = world.spool.event_path(key, Kind::Start);
    let whole = fs::read(&path).unwrap();
    fs::write(&path, "").unwrap();
    // The end is met first, as by a notification, and nobody has judged the start yet.
    let (notes, inbox) = tokio::sync::mpsc::unbounded_channel();
    let shared = Shared::new(world.spool.clone(), &world.options(), notes, false, Rc::new(()), None);
    Keeper::new(Rc::new(shared), inbox, None).see(key, Kind::End);
    assert_eq!((world.names("new").len(), world.names("dead").len()), (2, 0), "both are still there");
    fs::write(&path, whole).unwrap();
    world.drain();
    world.check_complete(&[key]);
}

#[test]
fn a_clock_that_was_set_back_brings_no_end_before_its_start() {
    let world = World::new();
    let key = world.start();
    let mut end = world.end_event(key);
    end.accepted_us -= 3_600_000_000;
    world.spool.accept(&end, Kind::End).unwrap();
    world.drain();
    world.check_complete(&[key]);
}

#[test]
fn an_event_of_a_newer_format_is_a_dead_letter_and_not_guessed_at() {
    let world = World::new();
    let key = uuid::Uuid::new_v4();
    let mut start = world.start_event(key, World::target("one"), ProcessId::of(1));
    start.format += 1;
    world.spool.accept(&start, Kind::Start).unwrap();
    world.drain();
    assert!(world.reason(key, Kind::Start).contains("format"));
    assert_eq!(world.buddy.count(), 0);
}

#[test]
fn an_event_that_is_damaged_while_it_waits_is_a_dead_letter_too() {
    let world = World::new();
    world.network.set_down("one", true);
    let keys = world.sessions(2);
    world.play(async || {
        tokio::time::sleep(std::time::Duration::from_secs(10)).await;
        fs::write(world.spool.event_path(keys[0], Kind::Start), "{\"format\":").unwrap();
        world.network.set_down("one", false);
    });
    assert!(world.reason(keys[0], Kind::Start).contains("is no event any more"));
    assert!(world.reason(keys[0], Kind::End).contains("is no event any more"), "it takes its end along");
    world.buddy.check_stored_once(keys[1]);
    assert_eq!((world.names("new"), world.names("open")), (Vec::new(), Vec::new()));
}

#[test]
fn nobody_waits_for_a_start_that_was_refused() {
    const PATIENCE: std::time::Duration = std::time::Duration::from_secs(60);
    let (world, key) = (World::new(), uuid::Uuid::new_v4().to_string());
    let tracker = world.tracker();
    let _word = tracker.leave_word_of_refusal(&key).unwrap();
    let asked = std::time::Instant::now();
    assert!(matches!(tracker.session_soon(&key, PATIENCE), Err(crate::Error::UnknownSession(_))));
    assert!(asked.elapsed() < PATIENCE);
}
