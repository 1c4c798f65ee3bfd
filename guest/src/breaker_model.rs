//! The breaker against a reference model: written as a person would explain it, without persistence,
//! with phases as variants that carry what belongs to them.
#![allow(clippy::unwrap_used, reason = "a test may fail by panicking")]

use proptest::collection::vec;
use proptest::prelude::*;

use crate::oracles::check_breaker_step;
use crate::types::{BreakerInput, BreakerPhase, BreakerPolicy, CallReport, Outcome};

const POLICY: BreakerPolicy =
    BreakerPolicy { failure_threshold: 3, open_ms: 1_000, open_max_ms: 10_000, probe_ms: 500 };
const DAY_MS: u64 = 86_400_000;

#[derive(Clone, Debug)]
enum Op {
    Ask,
    /// Outcome, how many generations ago, `Retry-After`.
    Report(Outcome, u64, Option<u64>),
    ForceOpen,
    Disable,
    Reset,
    Forward(u64),
    Backward(u64),
}

#[derive(Clone, Copy, Debug)]
enum Model {
    Closed { failures: u32 },
    Open { failures: u32, from: u64, until: u64, interval: u64 },
    HalfOpen { failures: u32, from: u64, interval: u64 },
    Forced,
    Disabled,
}

impl Model {
    fn phase(self) -> BreakerPhase {
        match self {
            Model::Closed { .. } => BreakerPhase::Closed,
            Model::Open { .. } => BreakerPhase::Open,
            Model::HalfOpen { .. } => BreakerPhase::HalfOpen,
            Model::Forced => BreakerPhase::ForcedOpen,
            Model::Disabled => BreakerPhase::Disabled,
        }
    }

    /// A clock that was set back moves what was planned along with it.
    fn moved(self, now: u64) -> Self {
        match self {
            Model::Open { failures, from, until, interval } if from > now => {
                Model::Open { failures, from: now, until: now + (until - from), interval }
            }
            Model::HalfOpen { failures, from, interval } if from > now => {
                Model::HalfOpen { failures, from: now, interval }
            }
            other => other,
        }
    }

    /// The next phase, and whether a call may go out.
    fn ask(self, now: u64) -> (Self, bool) {
        match self {
            Model::Closed { .. } | Model::Disabled => (self, true),
            Model::Forced => (self, false),
            Model::Open { failures, until, interval, .. } if now >= until => {
                (Model::HalfOpen { failures, from: now, interval }, true)
            }
            Model::HalfOpen { failures, from, interval } if now >= from + POLICY.probe_ms => {
                (Model::HalfOpen { failures, from: now, interval }, true)
            }
            _ => (self, false),
        }
    }

    fn report(self, outcome: Outcome, retry_after: Option<u64>, now: u64) -> Self {
        let well = matches!(outcome, Outcome::Delivered | Outcome::Refused | Outcome::Unauthorized);
        let asked = retry_after.unwrap_or(0).min(DAY_MS);
        match self {
            Model::Closed { .. } | Model::HalfOpen { .. } if well => Model::Closed { failures: 0 },
            Model::Closed { failures } => {
                let failures = failures + 1;
                let told = outcome == Outcome::Overloaded && retry_after.is_some();
                if failures < POLICY.failure_threshold && !told {
                    return Model::Closed { failures };
                }
                let interval = POLICY.open_ms;
                Model::Open { failures, from: now, until: now + interval.max(asked), interval }
            }
            Model::HalfOpen { failures, interval, .. } => {
                let interval = (interval * 2).min(POLICY.open_max_ms);
                Model::Open { failures: failures + 1, from: now, until: now + interval.max(asked), interval }
            }
            other => other,
        }
    }
}

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

fn run(ops: Vec<Op>) {
    let mut model = Model::Closed { failures: 0 };
    let mut state = String::new();
    let (mut now, mut generation) = (1_700_000_000_000_u64, 0_u64);
    for op in ops {
        let input = match op {
            Op::Forward(ms) => {
                now += ms;
                continue;
            }
            Op::Backward(ms) => {
                now -= ms;
                continue;
            }
            Op::Ask => BreakerInput::Ask,
            Op::Report(outcome, age, retry_after_ms) => BreakerInput::Report(CallReport {
                generation: generation.wrapping_sub(age),
                outcome,
                retry_after_ms,
            }),
            Op::ForceOpen => BreakerInput::ForceOpen,
            Op::Disable => BreakerInput::Disable,
            Op::Reset => BreakerInput::Reset,
        };
        model = model.moved(now);
        let before = model;
        let mut allowed = false;
        model = match op {
            Op::Ask => {
                let (next, may) = model.ask(now);
                allowed = may;
                next
            }
            Op::Report(outcome, 0, after) => model.report(outcome, after, now),
            Op::ForceOpen => Model::Forced,
            Op::Disable => Model::Disabled,
            Op::Reset => Model::Closed { failures: 0 },
            _ => model,
        };
        let step = check_breaker_step(&state, &POLICY, input, now, 0);
        assert_eq!((step.previous, step.phase), (before.phase(), model.phase()), "{op:?}");
        assert_eq!(step.allowed, allowed, "{op:?}");
        assert_eq!(step.probe, allowed && matches!(model, Model::HalfOpen { .. }), "{op:?}");
        let (failures, retry_at) = match model {
            Model::Closed { failures } => (failures, 0),
            Model::Open { failures, until, .. } => (failures, until),
            Model::HalfOpen { failures, from, .. } => {
                (failures, if allowed { 0 } else { from + POLICY.probe_ms })
            }
            Model::Forced => (0, u64::MAX),
            Model::Disabled => (0, 0),
        };
        assert_eq!((step.failures, step.retry_at_ms), (failures, retry_at), "{op:?}");
        state = step.state;
        generation = step.generation;
    }
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn any_history_goes_as_in_the_model(ops in vec(op(), 0..60)) {
        run(ops);
    }

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
