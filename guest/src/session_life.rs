//! The two-event life of a session as a state machine: it starts, its end is prepared while the server's
//! id is unknown, waits on a disk, is bound and arrives; clocks move and texts are tampered with on the way.
#![allow(clippy::unwrap_used, reason = "a test may fail by panicking")]

use proptest::prelude::*;
use proptest_state_machine::{ReferenceStateMachine, StateMachineTest, prop_state_machine};

use crate::events::{bind_session, build_end, build_start};
use crate::fields::new_uuid;
use crate::oracles::{check_violations, open_policy};
use crate::properties::{end_context, hostile_text, start_context};
use crate::types::{EndContext, EndEvent, PreparedEvent, SessionState, StartContext, StartEvent};
use crate::validate::{validate_end, validate_start};

/// What can happen next.
#[derive(Clone, Debug)]
enum Happens {
    Start(Box<StartContext>),
    /// The end is prepared; the clock may have moved by so many seconds since the start.
    End(Box<EndContext>, i64),
    /// The server gave its id.
    Bind(String),
    /// A stranger's piece gets into the prepared end, at some place of it.
    Tamper(String, prop::sample::Index),
    /// The events arrive, for the first time or again.
    Arrive,
}

/// How far a session is.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Stage {
    New,
    Started,
    Ended,
    Bound,
}

struct Sessions;

impl ReferenceStateMachine for Sessions {
    type State = Stage;
    type Transition = Happens;

    fn init_state() -> BoxedStrategy<Stage> {
        Just(Stage::New).boxed()
    }

    fn transitions(stage: &Stage) -> BoxedStrategy<Happens> {
        let id = prop_oneof![4 => "[!-~]{1,200}", 1 => hostile_text()];
        match stage {
            Stage::New => start_context().prop_map(|context| Happens::Start(context.into())).boxed(),
            Stage::Started => prop_oneof![
                4 => (end_context(), -1_000_000..1_000_000_i64)
                    .prop_map(|(context, seconds)| Happens::End(context.into(), seconds)),
                1 => Just(Happens::Arrive),
            ]
            .boxed(),
            Stage::Ended => prop_oneof![
                4 => id.prop_map(Happens::Bind),
                1 => (hostile_text(), any::<prop::sample::Index>()).prop_map(|(piece, at)| Happens::Tamper(piece, at)),
                1 => Just(Happens::Arrive),
            ]
            .boxed(),
            Stage::Bound => prop_oneof![id.prop_map(Happens::Bind), Just(Happens::Arrive)].boxed(),
        }
    }

    fn apply(stage: Stage, happens: &Happens) -> Stage {
        match (stage, happens) {
            (Stage::New, Happens::Start(_)) => Stage::Started,
            (Stage::Started, Happens::End(..)) => Stage::Ended,
            (Stage::Ended, Happens::Bind(id)) if is_session_id(id) => Stage::Bound,
            _ => stage,
        }
    }
}

fn is_session_id(id: &str) -> bool {
    (1..=200).contains(&id.len()) && id.bytes().all(|b| b.is_ascii_graphic())
}

/// What emitter and server hold of a session.
#[derive(Default)]
struct Life {
    start: Option<PreparedEvent>,
    started: Option<StartEvent>,
    end: Option<PreparedEvent>,
    context: Option<EndContext>,
    bound: Option<(String, String)>,
    ended: Option<EndEvent>,
}

const START_US: i64 = 1_769_860_800_000_000;

fn key() -> String {
    new_uuid([7; 16])
}

impl Life {
    fn start(&mut self, context: StartContext) {
        let context = StartContext {
            component_name: "mahavishnu".into(),
            shell_type: "bash".into(),
            pid: 4711,
            metadata: String::new(),
            correlation_id: Some(key()),
            event_id: None,
            timestamp: None,
            ..context
        };
        let event = build_start(context, &open_policy(), START_US, [1; 16]);
        self.start = Some(event.expect("what the surroundings supply is never refused"));
    }

    fn end(&mut self, context: EndContext, seconds: i64) {
        let context = EndContext {
            metadata: String::new(),
            correlation_id: Some(key()),
            started_at: self.start.as_ref().map(|start| start.timestamp.clone()),
            event_id: None,
            timestamp: None,
            ..context
        };
        let end = build_end(context.clone(), &open_policy(), START_US + seconds * 1_000_000, [2; 16]);
        self.end = Some(end.expect("a clock that was set back is no reason to lose an end"));
        self.context = Some(context);
    }

    fn bind(&mut self, id: &str) {
        let prepared = &self.end.as_ref().unwrap().wire;
        match bind_session(prepared, id) {
            Ok(wire) => {
                assert!(is_session_id(id), "{id:?}");
                assert!(bind_session(&wire, id).is_err(), "an end is bound once");
                if let Some((_, bound)) = self.bound.as_ref().filter(|(bound_id, _)| bound_id == id) {
                    assert_eq!(&wire, bound, "bound again after a crash, it is the same");
                }
                self.bound = Some((id.to_owned(), wire));
            }
            Err(violations) => {
                assert!(!is_session_id(id), "{violations:?}");
                check_violations(&violations, id);
            }
        }
    }

    /// What lay on a disk is untrusted: either it is refused, or what comes out is a valid end.
    fn tamper(&self, piece: &str, at: prop::sample::Index) {
        let mut wire = self.end.as_ref().unwrap().wire.clone();
        let places: Vec<usize> = wire.char_indices().map(|(at, _)| at).collect();
        wire.insert_str(*at.get(&places), piece);
        match bind_session(&wire, "s") {
            Ok(wire) => drop(validate_end(&wire, &open_policy()).unwrap()),
            Err(violations) => check_violations(&violations, &wire),
        }
    }

    fn arrive(&mut self) {
        if let Some(start) = &self.start {
            let event = validate_start(&start.wire, &open_policy()).unwrap();
            assert!(
                self.started.as_ref().is_none_or(|first| *first == event),
                "a repeated start is the same"
            );
            self.started = Some(event);
        }
        if let Some((id, wire)) = &self.bound {
            let event = validate_end(wire, &open_policy()).unwrap();
            let is_same = |first: &EndEvent| first.session_id != *id || *first == event;
            assert!(self.ended.as_ref().is_none_or(is_same), "a repeated end is the same");
            self.ended = Some(event);
        }
    }
}

struct Session;

impl StateMachineTest for Session {
    type SystemUnderTest = Life;
    type Reference = Sessions;

    fn init_test(_: &Stage) -> Life {
        Life::default()
    }

    fn apply(mut life: Life, _: &Stage, happens: Happens) -> Life {
        match happens {
            Happens::Start(context) => life.start(*context),
            Happens::End(context, seconds) => life.end(*context, seconds),
            Happens::Bind(id) => life.bind(&id),
            Happens::Tamper(piece, at) => life.tamper(&piece, at),
            Happens::Arrive => life.arrive(),
        }
        life
    }

    fn check_invariants(life: &Life, stage: &Stage) {
        assert_eq!(life.bound.is_some(), *stage == Stage::Bound);
        let (Some(started), Some(ended)) = (&life.started, &life.ended) else { return };
        assert_eq!(started.correlation_id, Some(key()));
        assert_eq!(ended.correlation_id, started.correlation_id, "both events are of one session");
        assert_ne!(ended.event_id.as_ref(), Some(&started.event_id), "yet they are two");
        assert!(ended.timestamp_us >= started.timestamp_us, "no end before its start");
        let context = life.context.as_ref().unwrap();
        assert_eq!((ended.exit_reason, ended.exit_status), (context.exit_reason, context.exit_status));
        assert_ne!(ended.state, SessionState::Active, "an end ends");
    }
}

prop_state_machine! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn any_session_lives_from_its_start_to_one_end(sequential 1..12 => Session);
}
