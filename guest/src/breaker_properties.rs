//! The breaker against its model: any history, and one very long one.
//!
//! `SHELLTRACK_BREAKER_STEPS=1000000 cargo test -p shelltrack-guest --release one_long_history` takes a
//! million steps.
#![allow(
    clippy::unwrap_used,
    clippy::print_stderr,
    reason = "a test may fail by panicking and say what it did"
)]

use proptest::prelude::*;
use proptest::strategy::ValueTree as _;
use proptest::test_runner::TestRunner;
use proptest_state_machine::{ReferenceStateMachine, StateMachineTest, prop_state_machine};

use crate::breaker_model::{DAY_MS, History, Op, POLICY};
use crate::oracles::check_breaker_step;
use crate::types::{BreakerInput, BreakerPolicy, CallReport, Outcome};

/// Steps of the long history unless the environment says otherwise.
const STEPS: u64 = 20_000;
/// Steps after which it begins anew, so that it does not stay in one corner.
const STEPS_OF_ONE_HISTORY: u64 = 10_000;

fn outcome() -> impl Strategy<Value = Outcome> {
    use Outcome::{
        Delivered, Garbled, Overloaded, Refused, ServerError, TimedOut, Unauthorized, Unreachable,
    };
    proptest::sample::select(vec![
        Delivered,
        Refused,
        Unauthorized,
        Overloaded,
        Unreachable,
        Unreachable,
        TimedOut,
        ServerError,
        Garbled,
    ])
}

fn op() -> impl Strategy<Value = Op> {
    let age = prop_oneof![6 => Just(0), 1 => 1..4_u64, 1 => any::<u64>()];
    let retry_after =
        prop_oneof![6 => Just(None), 1 => (0..20_000_u64).prop_map(Some), 1 => any::<u64>().prop_map(Some)];
    prop_oneof![
        8 => Just(Op::Ask),
        12 => (outcome(), age, retry_after).prop_map(|(outcome, age, after)| Op::Report(outcome, age, after)),
        1 => Just(Op::ForceOpen),
        1 => Just(Op::Disable),
        2 => Just(Op::Reset),
        6 => prop_oneof![0..3_000_u64, Just(500), Just(1_000), Just(2_000), Just(10_000), Just(DAY_MS)].prop_map(Op::Forward),
        2 => prop_oneof![0..3_000_u64, Just(DAY_MS)].prop_map(Op::Backward),
    ]
}

/// Operations in any order: the model itself is inside of [`History`].
struct Operations;

impl ReferenceStateMachine for Operations {
    type State = ();
    type Transition = Op;

    fn init_state() -> BoxedStrategy<()> {
        Just(()).boxed()
    }

    fn transitions((): &()) -> BoxedStrategy<Op> {
        op().boxed()
    }

    fn apply((): (), _: &Op) {}
}

struct Breaker;

impl StateMachineTest for Breaker {
    type SystemUnderTest = History;
    type Reference = Operations;

    fn init_test((): &()) -> History {
        History::default()
    }

    fn apply(mut history: History, (): &(), op: Op) -> History {
        history.apply(op);
        history
    }
}

prop_state_machine! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn any_history_goes_as_in_the_model(sequential 1..60 => Breaker);
}

#[test]
fn one_long_history_goes_as_in_the_model() {
    let steps = std::env::var("SHELLTRACK_BREAKER_STEPS");
    let steps = steps.map_or(STEPS, |steps| steps.parse().expect("SHELLTRACK_BREAKER_STEPS is a number"));
    let (mut runner, op) = (TestRunner::default(), op());
    let mut history = History::default();
    for step in 1..=steps {
        history.apply(op.new_tree(&mut runner).unwrap().current());
        if step % STEPS_OF_ONE_HISTORY == 0 {
            history = History::default();
        }
    }
    eprintln!("{steps} steps");
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn any_state_text_is_survived(state in any::<String>(), now in any::<u64>(), entropy in any::<u64>()) {
        let step = check_breaker_step(&state, &POLICY, BreakerInput::Ask, now, entropy);
        prop_assert!(step.discarded.is_some() || state.is_empty());
    }

    #[test]
    fn any_numbers_in_a_state_are_survived(
        numbers in any::<[u64; 4]>(), failures in any::<u32>(), phase in 0..5_usize, now in any::<u64>(),
        policy in any::<[u64; 4]>(), outcome in outcome(), after in any::<Option<u64>>(), entropy in any::<u64>(),
    ) {
        let [generation, interval, since, retry] = numbers;
        let phase = ["closed", "open", "half-open", "forced-open", "disabled"].get(phase).unwrap();
        let state = format!(
            "{{\"version\":1,\"phase\":\"{phase}\",\"generation\":{generation},\"failures\":{failures},\
             \"interval_ms\":{interval},\"since_ms\":{since},\"retry_at_ms\":{retry}}}"
        );
        let [threshold, open_ms, open_max_ms, probe_ms] = policy;
        let policy = BreakerPolicy { failure_threshold: threshold as u32, open_ms, open_max_ms, probe_ms };
        let report = CallReport { generation, outcome, retry_after_ms: after };
        check_breaker_step(&state, &policy, BreakerInput::Ask, now, entropy);
        check_breaker_step(&state, &policy, BreakerInput::Report(report), now, entropy);
    }
}
