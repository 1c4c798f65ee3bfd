//! A component that does harm costs its own event and nothing else.

use std::path::Path;
use std::sync::Arc;

use shelltrack_sandbox::testing::Hostile;
use shelltrack_sandbox::{Error as SandboxError, Limits, Profile, Sandbox};
use shelltrack_tracker::{Config, Error, Target, Tracker, surroundings};

/// A word that must not be found anywhere afterwards.
const PLANTED: &str = "planted\u{1b}]0;title\u{7}secret";

fn tracker(home: &Path, component: Hostile) -> Tracker {
    let sandbox = Sandbox::from_bytes(&component.component(), Profile::OneShot, Limits::default()).unwrap();
    let config = Config {
        state_dir: home.join("state"),
        target: Target::Embedded { database: home.join("sessions.db") },
        policy: Default::default(),
        start_limit: Default::default(),
        agent: None,
    };
    Tracker::open(config, Arc::new(sandbox)).unwrap()
}

/// Starts a shell through that component and gives the error; asserts that nothing of it is kept.
#[track_caller]
fn check_refused(component: Hostile) -> SandboxError {
    let home = tempfile::tempdir().unwrap();
    let tracker = tracker(home.path(), component);
    let mut context = surroundings(std::process::id());
    context.component_name = "mahavishnu".to_owned();
    context.shell_type = "MahavishnuShell".to_owned();
    context.user.username = PLANTED.to_owned();
    let error = match tracker.start(context) {
        Err(Error::Sandbox(error)) => error,
        Err(other) => panic!("not the sandbox's error: {other}"),
        Ok(session) => panic!("accepted as {}", session.key()),
    };
    let status = tracker.status().unwrap();
    assert_eq!((status.queued, status.open_sessions), (0, 0));
    assert!(files_below(home.path()).iter().all(|bytes| !bytes.windows(7).any(|word| word == b"planted")));
    error
}

fn files_below(directory: &Path) -> Vec<Vec<u8>> {
    let entries = std::fs::read_dir(directory).unwrap().map(|entry| entry.unwrap().path());
    entries
        .flat_map(|path| if path.is_dir() { files_below(&path) } else { vec![std::fs::read(path).unwrap()] })
        .collect()
}

#[test]
fn a_component_that_traps_is_told_with_its_frames() {
    let error = check_refused(Hostile::Trap);
    assert!(matches!(&error, SandboxError::Trap { frames, .. } if !frames.is_empty()), "{error}");
}

#[test]
fn a_component_that_loops_is_stopped() {
    let error = check_refused(Hostile::Loop);
    assert!(matches!(error, SandboxError::Timeout { .. }), "{error}");
}

#[test]
fn a_component_that_asks_for_a_gibibyte_does_not_get_it() {
    let error = check_refused(Hostile::Memory);
    assert!(matches!(error, SandboxError::Memory { asked_bytes, .. } if asked_bytes >= 1 << 30), "{error}");
}

#[test]
fn no_harm_a_component_can_do_leaves_an_event_behind() {
    for component in [
        Hostile::StartLoop,
        Hostile::Recursion,
        Hostile::BeyondMemory,
        Hostile::NotUtf8,
        Hostile::NoSuchVariant,
    ] {
        check_refused(component);
    }
}
