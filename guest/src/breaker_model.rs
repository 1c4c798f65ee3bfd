//! A reference model of the breaker: written as a person would explain it, without persistence, with
//! phases as variants that carry what belongs to them. Shared by property tests and the fuzz target;
//! makes up no histories itself.

use crate::oracles::check_breaker_step;
use crate::types::{BreakerInput, BreakerPhase, BreakerPolicy, CallReport, Outcome};

pub(crate) const POLICY: BreakerPolicy =
    BreakerPolicy { failure_threshold: 3, open_ms: 1_000, open_max_ms: 10_000, probe_ms: 500 };
pub(crate) const DAY_MS: u64 = 86_400_000;

/// One thing that happens to a breaker.
#[derive(Clone, Copy, Debug)]
pub enum Op {
    /// May a call go out?
    Ask,
    /// Outcome, how many generations ago, `Retry-After` in milliseconds.
    Report(Outcome, u64, Option<u64>),
    /// Opened by hand.
    ForceOpen,
    /// Switched off by hand.
    Disable,
    /// Closed by hand.
    Reset,
    /// Milliseconds go by.
    Forward(u64),
    /// The clock is set back by so many milliseconds.
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

    /// Failures counted, and when asking makes sense again.
    fn told(self, allowed: bool) -> (u32, u64) {
        match self {
            Model::Closed { failures } => (failures, 0),
            Model::Open { failures, until, .. } => (failures, until),
            Model::HalfOpen { failures, .. } if allowed => (failures, 0),
            Model::HalfOpen { failures, from, .. } => (failures, from + POLICY.probe_ms),
            Model::Forced => (0, u64::MAX),
            Model::Disabled => (0, 0),
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

/// The breaker and its model side by side.
#[derive(Debug)]
pub struct History {
    model: Model,
    state: String,
    now_ms: u64,
    generation: u64,
}

impl Default for History {
    fn default() -> Self {
        History {
            model: Model::Closed { failures: 0 },
            state: String::new(),
            now_ms: 1_700_000_000_000,
            generation: 0,
        }
    }
}

impl History {
    /// Lets `op` happen to both, and panics where they part.
    #[track_caller]
    pub fn apply(&mut self, op: Op) {
        let input = match op {
            Op::Forward(ms) => {
                self.now_ms = self.now_ms.saturating_add(ms).min(u64::MAX / 2);
                return;
            }
            Op::Backward(ms) => {
                self.now_ms = self.now_ms.saturating_sub(ms);
                return;
            }
            Op::Ask => BreakerInput::Ask,
            Op::Report(outcome, age, retry_after_ms) => {
                let generation = self.generation.wrapping_sub(age);
                BreakerInput::Report(CallReport { generation, outcome, retry_after_ms })
            }
            Op::ForceOpen => BreakerInput::ForceOpen,
            Op::Disable => BreakerInput::Disable,
            Op::Reset => BreakerInput::Reset,
        };
        let before = self.model.moved(self.now_ms);
        let (after, allowed) = match op {
            Op::Ask => before.ask(self.now_ms),
            Op::Report(outcome, 0, after) => (before.report(outcome, after, self.now_ms), false),
            Op::ForceOpen => (Model::Forced, false),
            Op::Disable => (Model::Disabled, false),
            Op::Reset => (Model::Closed { failures: 0 }, false),
            _ => (before, false),
        };
        let step = check_breaker_step(&self.state, &POLICY, input, self.now_ms, 0);
        assert_eq!((step.previous, step.phase), (before.phase(), after.phase()), "{op:?}");
        assert_eq!(step.allowed, allowed, "{op:?}");
        assert_eq!(step.probe, allowed && matches!(after, Model::HalfOpen { .. }), "{op:?}");
        assert_eq!((step.failures, step.retry_at_ms), after.told(allowed), "{op:?}");
        self.model = after;
        self.state = step.state;
        self.generation = step.generation;
    }
}
