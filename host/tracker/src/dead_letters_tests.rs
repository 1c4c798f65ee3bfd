//! Commands that deal with dead letters while an agent writes new ones, and that stop half way.
#![allow(clippy::unwrap_used, clippy::indexing_slicing, reason = "a test may fail by panic")]

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use serde_json::json;
use shelltrack_sandbox::types::Policy;
use shelltrack_sandbox::{Profile, Sandbox};
use tempfile::TempDir;

use super::*;
use crate::agent::{OpenSession, bury};
use crate::clock::now_us;
use crate::fault::{Part, Plan, hits, inject, names_of_letters};
use crate::process::ProcessId;
use crate::spool::{FORMAT, Opened as Start};
use crate::{Config, StartLimit};

/// Orders of a person, each while the agent gives the event up again: enough for every way in which two
/// processes may meet.
const ROUNDS: usize = 300;

struct World {
    _home: TempDir,
    tracker: Tracker,
    key: Uuid,
}

impl World {
    /// A session with its letters; no agent is there.
    fn new(kinds: &[Kind]) -> Self {
        let home = tempfile::tempdir().unwrap();
        let config = Config {
            state_dir: home.path().to_owned(),
            target: Target::Embedded { database: "/one".into() },
            policy: Policy::default(),
            start_limit: StartLimit::default(),
            agent: None,
        };
        let tracker = Tracker::open(config, Arc::new(Sandbox::standard(Profile::OneShot).unwrap())).unwrap();
        let world = Self { _home: home, tracker, key: Uuid::new_v4() };
        kinds.iter().for_each(|kind| world.bury(*kind));
        world
    }

    fn spool(&self) -> &Spool {
        &self.tracker.spool
    }

    fn event(&self, kind: Kind) -> Envelope {
        let process = ProcessId::of(std::process::id());
        let opened = Start { target: Target::Embedded { database: "/one".into() }, process };
        Envelope {
            format: FORMAT,
            key: self.key,
            accepted_us: 1,
            event_id: self.key.to_string(),
            timestamp: "2026-11-20T09:19:52Z".to_owned(),
            wire: "{}".to_owned(),
            opened: (kind == Kind::Start).then_some(opened),
        }
    }

    fn session(&self) -> OpenSession {
        let start = self.event(Kind::Start);
        OpenSession::from_start(&start, start.opened.as_ref().unwrap())
    }

    /// As an agent does that gives an event up: first the letter, then the event goes.
    fn bury(&self, kind: Kind) {
        let session = (kind != Kind::Start).then(|| self.session());
        let event = serde_json::to_value(self.event(kind)).unwrap();
        let letter = Letter { reason: "no".to_owned(), dead_us: now_us(), event, session };
        self.spool().replace_json(&self.spool().dead_path(self.key, kind), &letter, Part::Letter).unwrap();
        crate::spool::remove(&self.spool().event_path(self.key, kind), Part::Event).unwrap();
    }

    fn retry(&self) -> Result<u64, Error> {
        self.tracker.retry_dead_letters(&self.key.to_string())
    }

    /// The events of this kind that wait and that are letters.
    fn count(&self, kind: Kind) -> (usize, usize) {
        let waiting = self.spool().event_path(self.key, kind).exists();
        (usize::from(waiting), usize::from(self.spool().has_letter(self.key, kind)))
    }
}

#[test]
fn a_letter_that_is_queued_again_while_the_agent_gives_it_up_again_is_never_lost() {
    let world = World::new(&[Kind::Start]);
    let (is_over, sandbox) = (AtomicBool::new(false), Sandbox::standard(Profile::OneShot).unwrap());
    std::thread::scope(|scope| {
        scope.spawn(|| {
            while !is_over.load(Ordering::Relaxed) {
                // One that is busy comes back to it.
                drop(bury(world.spool(), &sandbox, world.key, Kind::Start, "no"));
            }
        });
        for _ in 0..ROUNDS {
            match world.retry() {
                Ok(queued) => assert_eq!(queued, 1),
                Err(Error::NoDeadLetter(_)) => {}
                Err(error) => panic!("{error}"),
            }
        }
        is_over.store(true, Ordering::Relaxed);
    });
    let (waiting, letters) = world.count(Kind::Start);
    assert_eq!(waiting + letters, 1, "it waits, or it is a letter");
}

#[test]
fn several_retries_at_once_count_each_event_once() {
    for _ in 0..20 {
        let world = World::new(&[Kind::Start, Kind::End]);
        let queued = std::thread::scope(|scope| {
            let retries: Vec<_> = (0..3).map(|_| scope.spawn(|| world.retry())).collect();
            let counted = retries.into_iter().map(|retry| match retry.join().unwrap() {
                Ok(queued) => queued,
                Err(Error::NoDeadLetter(_)) => 0,
                Err(error) => panic!("{error}"),
            });
            counted.sum::<u64>()
        });
        assert_eq!(queued, 2);
        assert_eq!((world.count(Kind::Start), world.count(Kind::End)), ((1, 0), (1, 0)));
    }
}

/// A command stops at one step, as if it were killed there; whoever comes next sees to the rest.
#[track_caller]
fn check_step(
    name: &str,
    kinds: &[Kind],
    order: impl Fn(&World) -> Result<u64, Error>,
    left: (usize, usize),
) {
    let world = World::new(kinds);
    inject(Some(Plan::failing(&format!("{name}=EIO"))));
    let ordered = order(&world);
    assert!(hits() > 0 && ordered.is_err(), "{name}: {ordered:?}");
    for kind in kinds {
        let (waiting, letters) = world.count(*kind);
        let taken = usize::from(world.spool().dropped_path(world.key, *kind).exists());
        assert_eq!(waiting + letters + taken, 1, "{name}: {kind:?} is neither lost nor doubled");
    }
    inject(None);
    finish_interrupted(world.spool()).unwrap();
    order(&world).or_else(|error| matches!(error, Error::NoDeadLetter(_)).then_some(0).ok_or(error)).unwrap();
    for kind in kinds {
        assert_eq!(world.count(*kind), left, "{name}: {kind:?}");
    }
    assert_eq!(world.spool().names("dead").unwrap(), Vec::<String>::new(), "{name}");
}

#[test]
fn a_command_that_stops_at_any_step_loses_and_doubles_no_letter() {
    for kinds in [&[Kind::Start][..], &[Kind::End], &[Kind::Start, Kind::Gone, Kind::End]] {
        for name in names_of_letters() {
            match name.starts_with("drop") {
                // The directory is forced by itself, and that is no step of the letter's.
                false => check_step(&name, kinds, World::retry, (1, 0)),
                true => check_step(
                    &name,
                    kinds,
                    |world| world.tracker.drop_dead_letters(&world.key.to_string()),
                    (0, 0),
                ),
            }
        }
    }
}

#[test]
fn an_event_whose_letter_was_written_before_the_agent_was_killed_is_not_delivered_as_well() {
    let world = World::new(&[Kind::Start]);
    world.spool().accept(&world.event(Kind::Start), Kind::Start).unwrap();
    assert!(!finish_interrupted(world.spool()).unwrap());
    assert_eq!(world.count(Kind::Start), (0, 1));
    // Another event of that name is another matter.
    let other = Envelope { event_id: Uuid::new_v4().to_string(), ..world.event(Kind::Start) };
    world.spool().accept(&other, Kind::Start).unwrap();
    finish_interrupted(world.spool()).unwrap();
    assert_eq!(world.count(Kind::Start), (1, 1));
}

#[test]
fn an_end_that_is_queued_again_finds_its_session_wherever_the_retry_stopped() {
    for name in names_of_letters().iter().filter(|name| name.starts_with("again")) {
        let world = World::new(&[Kind::End]);
        inject(Some(Plan::failing(&format!("{name}=EIO"))));
        world.retry().unwrap_err();
        inject(None);
        finish_interrupted(world.spool()).unwrap();
        drop(world.retry());
        let session = OpenSession::load(world.spool(), world.key).unwrap();
        assert_eq!(session, Some(world.session()), "{name}");
    }
}

#[test]
fn a_letter_that_was_written_after_one_was_chosen_to_be_dropped_stays() {
    let world = World::new(&[Kind::End]);
    let chosen = read(world.spool(), world.key, Kind::End).unwrap();
    std::thread::sleep(std::time::Duration::from_millis(1));
    world.bury(Kind::End);
    assert!(!drop_letter(world.spool(), world.key, Kind::End, &chosen).unwrap());
    assert_eq!(world.count(Kind::End), (0, 1));
}

#[test]
fn an_event_that_lies_in_dead_without_its_letter_is_a_letter_all_the_same() {
    let world = World::new(&[]);
    std::fs::write(world.spool().raw_path(world.key, Kind::End), "{torn").unwrap();
    let told = world.tracker.dead_letters().unwrap();
    assert_eq!((told.len(), told[0].event, told[0].retryable), (1, "end", false), "{told:?}");
    assert!(told[0].since_ms > 0);
    assert_eq!(world.tracker.status().unwrap().dead_letters, 1);
    assert!(world.retry().unwrap_err().to_string().contains("only be dropped"));
    assert_eq!(world.tracker.drop_dead_letters(&world.key.to_string()).unwrap(), 1);
    assert_eq!(world.spool().names("dead").unwrap(), Vec::<String>::new());
}

#[test]
fn a_letter_that_cannot_be_queued_again_is_named() {
    let world = World::new(&[Kind::End]);
    let path = world.spool().dead_path(world.key, Kind::End);
    let letter = Letter { reason: "no".to_owned(), dead_us: 1, event: json!("unreadable"), session: None };
    world.spool().replace_json(&path, &letter, Part::Letter).unwrap();
    let error = world.retry().unwrap_err().to_string();
    assert!(error.starts_with(path.to_str().unwrap()), "{error}");
}
