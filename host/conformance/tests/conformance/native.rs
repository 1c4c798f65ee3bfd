//! The guest as an ordinary crate: the same functions without a component, clock or entropy.

use shelltrack_guest::{backoff, breaker, events, sanitize, types, validate};
#[path = "../../src/codec.rs"]
#[allow(unreachable_pub, reason = "the same file is public in the library")]
mod codec;

use codec::{Answer, Functions, call};
use serde_json::Value;
use types::*;

/// Any moment and any bits will do: cases bring their own times and ids.
const NOW_US: i64 = 1_769_860_800_000_000;
const ENTROPY: u64 = 0x9E37_79B9_7F4A_7C15;

struct Native;

/// Calls a function of the native crate by name.
pub(crate) fn subject(function: &str, arguments: &[Value]) -> Result<Value, String> {
    call(&Native, function, arguments)
}

impl Functions for Native {
    fn build_start(&self, context: StartContext, policy: Policy) -> Answer<PreparedEvent> {
        Ok(events::build_start(context, &policy, NOW_US, [7; 16]))
    }

    fn build_end(&self, context: EndContext, policy: Policy) -> Answer<PreparedEvent> {
        Ok(events::build_end(context, &policy, NOW_US, [7; 16]))
    }

    fn bind_session(&self, wire: String, session_id: String) -> Answer<String> {
        Ok(events::bind_session(&wire, &session_id))
    }

    fn sanitize_text(&self, text: String, scalars_max: u32, policy: Policy) -> Answer<CleanText> {
        Ok(Ok(sanitize::sanitize_text(&text, scalars_max, &policy)))
    }

    fn sanitize_json(&self, json: String, policy: Policy) -> Answer<CleanText> {
        Ok(sanitize::sanitize_json(&json, &policy))
    }

    fn validate_start(&self, json: String, policy: Policy) -> Answer<StartEvent> {
        Ok(validate::validate_start(&json, &policy))
    }

    fn validate_end(&self, json: String, policy: Policy) -> Answer<EndEvent> {
        Ok(validate::validate_end(&json, &policy))
    }

    fn step(
        &self,
        state: String,
        policy: BreakerPolicy,
        input: BreakerInput,
        now_ms: u64,
    ) -> Answer<BreakerStep> {
        Ok(Ok(breaker::step(&state, &policy, input, now_ms, ENTROPY)))
    }

    fn backoff_delay(&self, policy: BackoffPolicy, attempt: u32, retry_after_ms: Option<u64>) -> Answer<u64> {
        Ok(Ok(backoff::delay_ms(&policy, attempt, retry_after_ms, ENTROPY)))
    }
}
