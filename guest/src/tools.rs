//! The exports of the world `mcp-tools`: the same logic as in `component`, under names that make tools.
//! Holds no rule of its own.

use crate::host::{entropy, now_us};
use crate::types::{
    BackoffPolicy, BreakerInput, BreakerPolicy, BreakerStep, Change, CleanText, EndContext, EndEvent, Policy,
    PreparedEvent, StartContext, StartEvent, Violation,
};
use crate::{backoff, breaker, events, limits, sanitize, validate};

struct Tools;
crate::bindings::export!(Tools);

impl crate::bindings::Guest for Tools {
    fn sanitize_text(text: String, scalars_max: u32, policy: Policy) -> CleanText {
        sanitize::sanitize_text(&text, scalars_max, &policy)
    }

    fn sanitize_json(json: String, policy: Policy) -> Result<CleanText, Vec<Violation>> {
        sanitize::sanitize_json(&json, &policy)
    }

    fn explain_redaction(text: String, policy: Policy) -> Vec<Change> {
        let whole = || sanitize::sanitize_text(&text, limits::TEXT_BYTES_MAX as u32, &policy);
        sanitize::sanitize_json(&text, &policy).unwrap_or_else(|_| whole()).changes
    }

    fn validate_session_start(json: String, policy: Policy) -> Result<StartEvent, Vec<Violation>> {
        validate::validate_start(&json, &policy)
    }

    fn validate_session_end(json: String, policy: Policy) -> Result<EndEvent, Vec<Violation>> {
        validate::validate_end(&json, &policy)
    }

    fn build_session_start(context: StartContext, policy: Policy) -> Result<PreparedEvent, Vec<Violation>> {
        events::build_start(context, &policy, now_us(), entropy())
    }

    fn build_session_end(context: EndContext, policy: Policy) -> Result<PreparedEvent, Vec<Violation>> {
        events::build_end(context, &policy, now_us(), entropy())
    }

    fn bind_session_id(wire: String, session_id: String) -> Result<String, Vec<Violation>> {
        events::bind_session(&wire, &session_id)
    }

    fn step_breaker(state: String, policy: BreakerPolicy, input: BreakerInput, now_ms: u64) -> BreakerStep {
        breaker::step(&state, &policy, input, now_ms, u64::from_le_bytes(entropy()))
    }

    fn backoff_delay(policy: BackoffPolicy, attempt: u32, retry_after_ms: Option<u64>) -> u64 {
        backoff::delay_ms(&policy, attempt, retry_after_ms, u64::from_le_bytes(entropy()))
    }
}
