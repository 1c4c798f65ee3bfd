//! A component in the sandbox, with all its limits, as a subject of the suite.

pub use shelltrack_sandbox::types;
#[path = "codec.rs"]
mod codec;

pub use codec::{Answer, Codec, Functions, call};
use shelltrack_sandbox::{Error, Limits, Sandbox};
use types::*;

impl Functions for Sandbox {
    fn build_start(&self, context: StartContext, policy: Policy) -> Answer<PreparedEvent> {
        answered(Self::build_start(self, &context, &policy))
    }

    fn build_end(&self, context: EndContext, policy: Policy) -> Answer<PreparedEvent> {
        answered(Self::build_end(self, &context, &policy))
    }

    fn bind_session(&self, wire: String, session_id: String) -> Answer<String> {
        answered(Self::bind_session(self, &wire, &session_id))
    }

    fn sanitize_text(&self, text: String, scalars_max: u32, policy: Policy) -> Answer<CleanText> {
        answered(Self::sanitize_text(self, &text, scalars_max, &policy))
    }

    fn sanitize_json(&self, json: String, policy: Policy) -> Answer<CleanText> {
        answered(Self::sanitize_json(self, &json, &policy))
    }

    fn validate_start(&self, json: String, policy: Policy) -> Answer<StartEvent> {
        answered(Self::validate_start(self, &json, &policy))
    }

    fn validate_end(&self, json: String, policy: Policy) -> Answer<EndEvent> {
        answered(Self::validate_end(self, &json, &policy))
    }

    fn step(
        &self,
        state: String,
        policy: BreakerPolicy,
        input: BreakerInput,
        now_ms: u64,
    ) -> Answer<BreakerStep> {
        answered(self.breaker_step(&state, &policy, input, now_ms))
    }

    fn backoff_delay(&self, policy: BackoffPolicy, attempt: u32, retry_after_ms: Option<u64>) -> Answer<u64> {
        answered(Self::backoff_delay(self, &policy, attempt, retry_after_ms))
    }
}

/// Whether this was said of a call that took more time than it has.
pub fn ran_out_of_time(error: &str) -> bool {
    let limits = Limits::default();
    let said =
        [limits.deadline_ms, limits.ceiling_ms].map(|limit_ms| Error::Timeout { limit_ms }.to_string());
    said.iter().any(|said| said == error)
}

/// A refusal is an answer; everything else that goes wrong is none.
fn answered<T>(result: Result<T, Error>) -> Answer<T> {
    match result {
        Ok(value) => Ok(Ok(value)),
        Err(Error::Rejected(violations)) => Ok(Err(violations)),
        Err(other) => Err(other.to_string()),
    }
}
