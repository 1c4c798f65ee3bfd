//! The spool on good disks and bad ones.
#![allow(clippy::unwrap_used, clippy::indexing_slicing, reason = "a test may fail by panic")]

use super::*;

fn envelope(key: Uuid) -> Envelope {
    Envelope {
        format: FORMAT,
        key,
        accepted_us: 1,
        event_id: Uuid::new_v4().to_string(),
        timestamp: "2026-11-20T09:19:52Z".to_owned(),
        wire: "{}".to_owned(),
        opened: None,
    }
}

#[test]
fn an_event_is_accepted_once_and_leaves_nothing_behind_in_tmp() {
    let home = tempfile::tempdir().unwrap();
    let spool = Spool::open(home.path()).unwrap();
    let key = Uuid::new_v4();
    assert!(spool.accept(&envelope(key), Kind::End).unwrap());
    assert!(!spool.accept(&envelope(key), Kind::End).unwrap());
    assert_eq!(spool.waiting().unwrap(), [(key, Kind::End)]);
    assert!(spool.names("tmp").unwrap().is_empty());
}

#[test]
fn the_spool_is_private_even_when_it_was_made_open() {
    use std::os::unix::fs::PermissionsExt;
    let home = tempfile::tempdir().unwrap();
    let spool = Spool::open(home.path()).unwrap();
    fs::set_permissions(spool.root(), fs::Permissions::from_mode(0o755)).unwrap();
    let again = Spool::open(home.path()).unwrap();
    assert_eq!(fs::metadata(again.root()).unwrap().mode() & 0o777, 0o700);
}

#[test]
fn a_file_in_place_of_the_spool_is_named_in_the_error() {
    let home = tempfile::tempdir().unwrap();
    fs::write(home.path().join(place::spool_name()), "x").unwrap();
    let error = Spool::open(home.path()).unwrap_err().to_string();
    assert!(error.contains("not a directory"), "{error}");
}

#[test]
fn only_names_we_write_are_taken_for_events() {
    let key = Uuid::new_v4();
    for kind in Kind::ALL {
        assert_eq!(Kind::parse(&kind.file_name(key)), Some((key, kind)));
    }
    for name in ["", "x.start.json", &format!("{}.start.json", key.simple()), &format!("{key}.start")] {
        assert_eq!(Kind::parse(name), None, "{name}");
    }
}

#[test]
fn a_full_spool_refuses_a_start() {
    let home = tempfile::tempdir().unwrap();
    let spool = Spool::open(home.path()).unwrap();
    spool.admit_start().unwrap();
    spool.publish_fill(Fill { events: EVENTS_MAX, bytes: 0 }).unwrap();
    assert!(matches!(spool.admit_start(), Err(Error::SpoolFull { .. })));
}
