//! When a target may be called: the component decides, this keeps its state in `breaker-ID.json`.

use std::fs::{self, OpenOptions};
use std::io;
use std::os::unix::fs::OpenOptionsExt;
use std::path::PathBuf;
use std::sync::Arc;

use shelltrack_sandbox::Sandbox;
use shelltrack_sandbox::types::{
    BackoffPolicy, BreakerInput, BreakerPhase, BreakerPolicy, BreakerStep, CallReport, Outcome,
};

use crate::clock::now_ms;
use crate::fault::{self, Act, Part};
use crate::session_buddy::CallError;
use crate::spool::{NONBLOCK, Spool};
use crate::{BreakerOrder, Tuning};

/// The wait after a failure when the component's own breaker fails.
const NATIVE_WAIT_MS: u64 = 60_000;

/// Leave to call.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Permit {
    generation: u64,
    /// Ask for `health_check` first.
    pub(super) probe: bool,
}

/// The breaker of one target.
pub(super) struct Gate {
    sandbox: Arc<Sandbox>,
    breaker: BreakerPolicy,
    backoff: BackoffPolicy,
    path: PathBuf,
    state: String,
    phase: BreakerPhase,
    failures: u32,
    retry_at_ms: u64,
    /// Phases it came into and nobody counted yet.
    transitions: Vec<&'static str>,
}

impl Gate {
    /// The breaker as it was left, or a new one. `phase`: the name of the phase it was last seen in.
    pub(super) fn load(
        spool: &Spool,
        target_id: &str,
        phase: &str,
        tuning: &Tuning,
        sandbox: Arc<Sandbox>,
    ) -> Self {
        let path = spool.root().join(format!("breaker-{target_id}.json"));
        let phase = PHASES.into_iter().find(|known| name_of(*known) == phase).unwrap_or(BreakerPhase::Closed);
        // What cannot be read is an empty state, which the component takes for a new breaker.
        let state = fs::read_to_string(&path).unwrap_or_default();
        let Tuning { breaker, backoff, .. } = tuning;
        let (breaker, backoff, transitions) = (*breaker, *backoff, Vec::new());
        Self { sandbox, breaker, backoff, path, state, phase, failures: 0, retry_at_ms: 0, transitions }
    }

    /// From now on other values hold.
    pub(super) fn tune(&mut self, tuning: &Tuning) {
        (self.breaker, self.backoff) = (tuning.breaker, tuning.backoff);
    }

    /// Does what a person ordered.
    pub(super) fn obey(&mut self, order: BreakerOrder) {
        // When the component fails nothing of the kind can be kept up; the wait takes the breaker's place.
        _ = self.step(match order {
            BreakerOrder::Open => BreakerInput::ForceOpen,
            BreakerOrder::Disable => BreakerInput::Disable,
            BreakerOrder::Reset => BreakerInput::Reset,
        });
    }

    /// The phases it came into since this was last asked.
    pub(super) fn transitions(&mut self) -> Vec<&'static str> {
        std::mem::take(&mut self.transitions)
    }

    /// May a call go out now? Otherwise when to ask again, milliseconds since 1970.
    pub(super) fn ask(&mut self) -> Result<Permit, u64> {
        match self.step(BreakerInput::Ask) {
            Some(step) if step.allowed => Ok(Permit { generation: step.generation, probe: step.probe }),
            // A component that says no without a time would be asked in a busy loop.
            Some(step) => Err(step.retry_at_ms.max(now_ms() + 100)),
            None if now_ms() >= self.retry_at_ms => Ok(Permit { generation: 0, probe: true }),
            None => Err(self.retry_at_ms),
        }
    }

    /// Closes the breaker, since a person wants to know now; one that a person set by hand stays.
    pub(super) fn reset(&mut self) {
        // Asking is how an opaque state tells its phase.
        let by_hand =
            |step: BreakerStep| matches!(step.phase, BreakerPhase::ForcedOpen | BreakerPhase::Disabled);
        if self.step(BreakerInput::Ask).is_some_and(by_hand) {
            return;
        }
        if self.step(BreakerInput::Reset).is_none() {
            self.retry_at_ms = 0;
        }
    }

    /// Tells how a call came out.
    pub(super) fn report(&mut self, permit: Permit, result: Result<(), &CallError>) {
        let (outcome, retry_after_ms) = match result {
            Ok(()) => (Outcome::Delivered, None),
            Err(error) => (error.outcome, error.retry_after_ms),
        };
        let report = CallReport { generation: permit.generation, outcome, retry_after_ms };
        if self.step(BreakerInput::Report(report)).is_none() {
            self.retry_at_ms = if result.is_ok() { 0 } else { now_ms() + NATIVE_WAIT_MS };
        }
    }

    /// How long to wait before retry number `attempt`, in milliseconds.
    pub(super) fn backoff_ms(&self, attempt: u32, retry_after_ms: Option<u64>) -> u64 {
        self.sandbox.backoff_delay(&self.backoff, attempt, retry_after_ms).unwrap_or(self.backoff.cap_ms)
    }

    /// Name of the phase, as `status` shows it.
    pub(super) fn phase_name(&self) -> &'static str {
        name_of(self.phase)
    }

    fn step(&mut self, input: BreakerInput) -> Option<BreakerStep> {
        let step = match self.sandbox.breaker_step(&self.state, &self.breaker, input, now_ms()) {
            Ok(step) => step,
            Err(error) => {
                tracing::error!(%error, "the component's breaker failed; a fixed wait takes its place");
                return None;
            }
        };
        if let Some(reason) = &step.discarded {
            tracing::warn!(%reason, path = %self.path.display(), "breaker state discarded");
        }
        if step.previous != step.phase {
            tracing::info!(from = name_of(step.previous), to = name_of(step.phase), "breaker");
            self.transitions.push(name_of(step.phase));
        }
        let changed = (step.phase, step.failures) != (self.phase, self.failures) || self.state.is_empty();
        self.state.clone_from(&step.state);
        (self.phase, self.failures, self.retry_at_ms) = (step.phase, step.failures, step.retry_at_ms);
        // Losing this file costs one more try, so it is replaced whole but not forced to disk.
        if changed && let Err(error) = self.keep() {
            tracing::warn!(%error, "the breaker's state could not be kept");
        }
        Some(step)
    }

    fn keep(&self) -> io::Result<()> {
        let tmp = self.path.with_extension("tmp");
        fault::at(Part::Breaker, Act::Create)?;
        let mut file = OpenOptions::new();
        let file = file.write(true).create(true).truncate(true).mode(0o600).custom_flags(NONBLOCK);
        let mut file = file.open(&tmp)?;
        fault::write_all(&mut file, self.state.as_bytes(), Part::Breaker)?;
        fault::at(Part::Breaker, Act::Rename)?;
        fs::rename(&tmp, &self.path)
    }
}

/// All phases.
const PHASES: [BreakerPhase; 5] = [
    BreakerPhase::Closed,
    BreakerPhase::Open,
    BreakerPhase::HalfOpen,
    BreakerPhase::ForcedOpen,
    BreakerPhase::Disabled,
];

/// Name of a phase, as `status` shows it.
fn name_of(phase: BreakerPhase) -> &'static str {
    match phase {
        BreakerPhase::Closed => "closed",
        BreakerPhase::Open => "open",
        BreakerPhase::HalfOpen => "half-open",
        BreakerPhase::ForcedOpen => "forced-open",
        BreakerPhase::Disabled => "disabled",
    }
}
