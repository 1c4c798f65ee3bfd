//! Circuit breaker: a pure state machine over opaque JSON that the host keeps.
//!
//! Closed until `failure_threshold` failures in a row, then open; when the interval is over, one probe
//! goes out (half-open), which closes it or opens it again for twice as long. Each time calls are let
//! through anew they belong to a new generation; what an older generation reports is ignored. Opens
//! no connection and reads no clock.

use crate::backoff::{RETRY_AFTER_MS_MAX, uniform};
use crate::json::{self, Json, Object};
use crate::json_write;
use crate::redact::Secrets;
use crate::report::Report;
use crate::types::{BreakerInput, BreakerPhase, BreakerPolicy, BreakerStep, CallReport, Outcome};

/// Version of the persisted state.
const VERSION: Json = Json::Signed(1);
/// A state of ours is below 200 bytes.
pub(crate) const STATE_BYTES_MAX: usize = 1024;
/// Part of a grown interval that jitter may take off: a quarter spreads the probes of many hosts.
const JITTER_DIVISOR: u64 = 4;

/// What is persisted. Times are milliseconds since 1970.
#[derive(Clone, Debug, PartialEq)]
struct State {
    phase: BreakerPhase,
    generation: u64,
    /// Consecutive failures.
    failures: u32,
    /// Open interval without jitter; 0 while closed.
    interval_ms: u64,
    /// Since when it is open or the probe is under way.
    since_ms: u64,
    /// Open: when a probe may go out.
    retry_at_ms: u64,
}

/// Name of a phase in a persisted state.
fn phase_name(phase: BreakerPhase) -> &'static str {
    match phase {
        BreakerPhase::Closed => "closed",
        BreakerPhase::Open => "open",
        BreakerPhase::HalfOpen => "half-open",
        BreakerPhase::ForcedOpen => "forced-open",
        BreakerPhase::Disabled => "disabled",
    }
}

fn phase(name: &str) -> Option<BreakerPhase> {
    use BreakerPhase::{Closed, Disabled, ForcedOpen, HalfOpen, Open};
    [Closed, Open, HalfOpen, ForcedOpen, Disabled].into_iter().find(|&phase| phase_name(phase) == name)
}

/// A policy that makes sense, whatever was configured.
struct Rules {
    failure_threshold: u32,
    open_ms: u64,
    open_max_ms: u64,
    probe_ms: u64,
}

impl From<&BreakerPolicy> for Rules {
    fn from(policy: &BreakerPolicy) -> Self {
        let open_ms = policy.open_ms.max(1);
        Rules {
            failure_threshold: policy.failure_threshold.max(1),
            open_ms,
            open_max_ms: policy.open_max_ms.max(open_ms),
            probe_ms: policy.probe_ms.max(1),
        }
    }
}

/// Whether an outcome says that the server is unwell. A refusal is an answer: the server is there.
fn is_failure(outcome: Outcome) -> bool {
    match outcome {
        Outcome::Delivered | Outcome::Refused | Outcome::Unauthorized => false,
        Outcome::Overloaded
        | Outcome::Unreachable
        | Outcome::TimedOut
        | Outcome::ServerError
        | Outcome::Garbled => true,
    }
}

/// One step; see the WIT. `entropy` is random bits for the jitter.
pub fn step(
    state: &str,
    policy: &BreakerPolicy,
    input: BreakerInput,
    now_ms: u64,
    entropy: u64,
) -> BreakerStep {
    let rules = Rules::from(policy);
    let (mut state, discarded) = load(state);
    state.clamp(&rules, now_ms);
    let previous = state.phase;
    let mut allowed = false;
    match input {
        BreakerInput::Ask => allowed = state.ask(&rules, now_ms),
        BreakerInput::Report(report) => state.report(&report, &rules, now_ms, entropy),
        BreakerInput::ForceOpen => state.enter_by_hand(BreakerPhase::ForcedOpen, now_ms),
        BreakerInput::Disable => state.enter_by_hand(BreakerPhase::Disabled, now_ms),
        BreakerInput::Reset => state.enter_by_hand(BreakerPhase::Closed, now_ms),
    }
    BreakerStep {
        previous,
        phase: state.phase,
        generation: state.generation,
        allowed,
        probe: allowed && state.phase == BreakerPhase::HalfOpen,
        failures: state.failures,
        retry_at_ms: if allowed { 0 } else { state.next_ask_ms(&rules) },
        state: state.write(),
        discarded,
    }
}

/// The state handed in, or a new one and why.
fn load(text: &str) -> (State, Option<String>) {
    if text.is_empty() {
        return (State::new(), None);
    }
    let reason = if text.len() > STATE_BYTES_MAX {
        "the state is too long"
    } else {
        match members(text) {
            Some(members) if is_of_another_version(&members) => "the state is of another version",
            Some(members) => match State::read(members) {
                Some(state) if state.is_consistent() => return (state, None),
                Some(_) => "the state contradicts itself",
                None => "the state cannot be read",
            },
            None => "the state cannot be read",
        }
    };
    (State::new(), Some(reason.to_owned()))
}

/// Its other members may be unknown here.
fn is_of_another_version(members: &Object) -> bool {
    let version = members.get("version");
    version.is_some_and(|v| *v != VERSION && matches!(v, Json::Signed(_) | Json::Unsigned(_)))
}

fn members(text: &str) -> Option<Object> {
    let mut report = Report::default();
    let value = json::read_metadata(text, "", &Secrets::default(), &mut report);
    match value {
        Some(Json::Object(members)) if report.is_valid() => Some(members),
        _ => None,
    }
}

impl State {
    fn new() -> Self {
        State {
            phase: BreakerPhase::Closed,
            generation: 0,
            failures: 0,
            interval_ms: 0,
            since_ms: 0,
            retry_at_ms: 0,
        }
    }

    /// All members and no other, each of its type.
    fn read(mut members: Object) -> Option<Self> {
        members.remove("version").filter(|version| *version == VERSION)?;
        let Some(Json::Text(name)) = members.remove("phase") else { return None };
        let mut number = |name: &str| match members.remove(name)? {
            Json::Signed(n) => u64::try_from(n).ok(),
            Json::Unsigned(n) => Some(n),
            _ => None,
        };
        let state = State {
            phase: phase(&name)?,
            generation: number("generation")?,
            failures: u32::try_from(number("failures")?).ok()?,
            interval_ms: number("interval_ms")?,
            since_ms: number("since_ms")?,
            retry_at_ms: number("retry_at_ms")?,
        };
        members.is_empty().then_some(state)
    }

    fn write(&self) -> String {
        let mut text = String::new();
        let mut members = json_write::Members::begin(&mut text);
        members.json("version", &VERSION);
        members.text("phase", phase_name(self.phase));
        members.number("generation", self.generation);
        members.number("failures", self.failures.into());
        members.number("interval_ms", self.interval_ms);
        members.number("since_ms", self.since_ms);
        members.number("retry_at_ms", self.retry_at_ms);
        members.end();
        text
    }

    /// Whether the members fit together, as they do in every state that was written here.
    fn is_consistent(&self) -> bool {
        match self.phase {
            BreakerPhase::Closed => self.interval_ms == 0 && self.retry_at_ms == 0,
            BreakerPhase::Open => self.interval_ms > 0 && self.retry_at_ms >= self.since_ms,
            BreakerPhase::HalfOpen => self.interval_ms > 0,
            BreakerPhase::ForcedOpen | BreakerPhase::Disabled => self.failures == 0 && self.interval_ms == 0,
        }
    }

    /// A clock that was set back must not keep it open for longer than was meant, so what is left of
    /// the wait is counted from now; and a policy that was changed counts at once.
    fn clamp(&mut self, rules: &Rules, now_ms: u64) {
        let wait_ms = self.retry_at_ms.saturating_sub(self.since_ms);
        self.since_ms = self.since_ms.min(now_ms);
        if matches!(self.phase, BreakerPhase::Open | BreakerPhase::HalfOpen) {
            self.interval_ms = self.interval_ms.clamp(rules.open_ms, rules.open_max_ms);
        }
        if self.phase == BreakerPhase::Open {
            let wait_ms = if wait_ms > RETRY_AFTER_MS_MAX { self.interval_ms } else { wait_ms };
            self.retry_at_ms = self.since_ms.saturating_add(wait_ms);
        }
    }

    fn ask(&mut self, rules: &Rules, now_ms: u64) -> bool {
        match self.phase {
            BreakerPhase::Closed | BreakerPhase::Disabled => true,
            BreakerPhase::ForcedOpen => false,
            BreakerPhase::Open | BreakerPhase::HalfOpen if now_ms >= self.next_ask_ms(rules) => {
                // A probe that never came back counts for nothing; its generation is over.
                self.phase = BreakerPhase::HalfOpen;
                self.generation = self.generation.wrapping_add(1);
                self.since_ms = now_ms;
                self.retry_at_ms = 0;
                true
            }
            BreakerPhase::Open | BreakerPhase::HalfOpen => false,
        }
    }

    fn report(&mut self, report: &CallReport, rules: &Rules, now_ms: u64, entropy: u64) {
        let takes_reports = matches!(self.phase, BreakerPhase::Closed | BreakerPhase::HalfOpen);
        if report.generation != self.generation || !takes_reports {
            return;
        }
        if !is_failure(report.outcome) {
            if self.phase == BreakerPhase::HalfOpen {
                self.enter(BreakerPhase::Closed, now_ms);
            }
            self.failures = 0;
            return;
        }
        self.failures = self.failures.saturating_add(1);
        // A server that names a time does not want to be asked before, once is enough.
        let asked_to_wait = report.outcome == Outcome::Overloaded && report.retry_after_ms.is_some();
        if self.phase == BreakerPhase::HalfOpen || self.failures >= rules.failure_threshold || asked_to_wait {
            self.open(rules, report.retry_after_ms, now_ms, entropy);
        }
    }

    fn open(&mut self, rules: &Rules, retry_after_ms: Option<u64>, now_ms: u64, entropy: u64) {
        let grown_ms = self.interval_ms.saturating_mul(2).min(rules.open_max_ms);
        // The first interval is exactly what was configured; only those that grew are spread.
        let (interval_ms, wait_ms) = if self.phase == BreakerPhase::HalfOpen {
            let spread_ms = uniform(grown_ms / JITTER_DIVISOR, entropy);
            (grown_ms, (grown_ms - spread_ms).max(rules.open_ms))
        } else {
            (rules.open_ms, rules.open_ms)
        };
        let asked_ms = retry_after_ms.unwrap_or(0).min(RETRY_AFTER_MS_MAX);
        self.enter(BreakerPhase::Open, now_ms);
        self.interval_ms = interval_ms;
        self.retry_at_ms = now_ms.saturating_add(wait_ms.max(asked_ms));
    }

    fn enter_by_hand(&mut self, phase: BreakerPhase, now_ms: u64) {
        if self.phase != phase {
            self.enter(phase, now_ms);
        }
        self.failures = 0;
    }

    fn enter(&mut self, phase: BreakerPhase, now_ms: u64) {
        self.phase = phase;
        self.generation = self.generation.wrapping_add(1);
        self.interval_ms = 0;
        self.since_ms = now_ms;
        self.retry_at_ms = 0;
    }

    /// When asking makes sense again.
    fn next_ask_ms(&self, rules: &Rules) -> u64 {
        match self.phase {
            BreakerPhase::Closed | BreakerPhase::Disabled => 0,
            BreakerPhase::Open => self.retry_at_ms,
            BreakerPhase::HalfOpen => self.since_ms.saturating_add(rules.probe_ms),
            BreakerPhase::ForcedOpen => u64::MAX,
        }
    }
}
