//! The exports of the world `session-tracker`: hands everything to the pure logic, with time and
//! entropy where it needs them. Holds no rule of its own.

use crate::bindings::exports::shelltrack::session::{
    breaker::Guest as BreakerGuest, events::Guest as EventsGuest, sanitizer::Guest as SanitizerGuest,
    validator::Guest as ValidatorGuest,
};
use crate::host::{entropy, now_us};
use crate::types::{
    BackoffPolicy, BreakerInput, BreakerPolicy, BreakerStep, CleanText, EndContext, EndEvent, Policy,
    PreparedEvent, StartContext, StartEvent, Violation,
};
use crate::{backoff, breaker, events, sanitize, validate};

/// The standard component.
#[derive(Clone, Copy, Debug)]
pub struct Standard;
#[cfg(feature = "export")]
crate::bindings::export!(Standard);

impl EventsGuest for Standard {
    fn build_start(context: StartContext, policy: Policy) -> Result<PreparedEvent, Vec<Violation>> {
        events::build_start(context, &policy, now_us(), entropy())
    }

    fn build_end(context: EndContext, policy: Policy) -> Result<PreparedEvent, Vec<Violation>> {
        events::build_end(context, &policy, now_us(), entropy())
    }

    fn bind_session(wire: String, session_id: String) -> Result<String, Vec<Violation>> {
        events::bind_session(&wire, &session_id)
    }
}

impl SanitizerGuest for Standard {
    fn sanitize_text(text: String, scalars_max: u32, policy: Policy) -> CleanText {
        sanitize::sanitize_text(&text, scalars_max, &policy)
    }

    fn sanitize_json(json: String, policy: Policy) -> Result<CleanText, Vec<Violation>> {
        sanitize::sanitize_json(&json, &policy)
    }
}

impl ValidatorGuest for Standard {
    fn validate_start(json: String, policy: Policy) -> Result<StartEvent, Vec<Violation>> {
        validate::validate_start(&json, &policy)
    }

    fn validate_end(json: String, policy: Policy) -> Result<EndEvent, Vec<Violation>> {
        validate::validate_end(&json, &policy)
    }
}

impl BreakerGuest for Standard {
    fn step(state: String, policy: BreakerPolicy, input: BreakerInput, now_ms: u64) -> BreakerStep {
        breaker::step(&state, &policy, input, now_ms, u64::from_le_bytes(entropy()))
    }

    fn backoff_delay(policy: BackoffPolicy, attempt: u32, retry_after_ms: Option<u64>) -> u64 {
        backoff::delay_ms(&policy, attempt, retry_after_ms, u64::from_le_bytes(entropy()))
    }
}
