//! One method per function of the contract. Holds no rule: caps and limits are in `sandbox`.

use crate::error::{Error, harmless};
use crate::sandbox::Sandbox;
use crate::types::*;

impl Sandbox {
    /// `events.build-start`.
    pub fn build_start(&self, context: &StartContext, policy: &Policy) -> Result<PreparedEvent, Error> {
        accepted(self.call(&[context, policy], |component, store| {
            component.shelltrack_session_events().call_build_start(store, context, policy)
        }))
    }

    /// `events.build-end`.
    pub fn build_end(&self, context: &EndContext, policy: &Policy) -> Result<PreparedEvent, Error> {
        accepted(self.call(&[context, policy], |component, store| {
            component.shelltrack_session_events().call_build_end(store, context, policy)
        }))
    }

    /// `events.bind-session`.
    pub fn bind_session(&self, wire: &str, session_id: &str) -> Result<String, Error> {
        accepted(self.call(&[&wire, &session_id], |component, store| {
            component.shelltrack_session_events().call_bind_session(store, wire, session_id)
        }))
    }

    /// `sanitizer.sanitize-text`.
    pub fn sanitize_text(&self, text: &str, scalars_max: u32, policy: &Policy) -> Result<CleanText, Error> {
        self.call(&[&text, policy], |component, store| {
            component.shelltrack_session_sanitizer().call_sanitize_text(store, text, scalars_max, policy)
        })
    }

    /// `sanitizer.sanitize-json`.
    pub fn sanitize_json(&self, json: &str, policy: &Policy) -> Result<CleanText, Error> {
        accepted(self.call(&[&json, policy], |component, store| {
            component.shelltrack_session_sanitizer().call_sanitize_json(store, json, policy)
        }))
    }

    /// `validator.validate-start`.
    pub fn validate_start(&self, json: &str, policy: &Policy) -> Result<StartEvent, Error> {
        accepted(self.call(&[&json, policy], |component, store| {
            component.shelltrack_session_validator().call_validate_start(store, json, policy)
        }))
    }

    /// `validator.validate-end`.
    pub fn validate_end(&self, json: &str, policy: &Policy) -> Result<EndEvent, Error> {
        accepted(self.call(&[&json, policy], |component, store| {
            component.shelltrack_session_validator().call_validate_end(store, json, policy)
        }))
    }

    /// `breaker.step`.
    pub fn breaker_step(
        &self,
        state: &str,
        policy: &BreakerPolicy,
        input: BreakerInput,
        now_ms: u64,
    ) -> Result<BreakerStep, Error> {
        self.call(&[&state], |component, store| {
            component.shelltrack_session_breaker().call_step(store, state, *policy, input, now_ms)
        })
    }

    /// `breaker.backoff-delay`.
    pub fn backoff_delay(
        &self,
        policy: &BackoffPolicy,
        attempt: u32,
        retry_after_ms: Option<u64>,
    ) -> Result<u64, Error> {
        self.call(&[], |component, store| {
            component.shelltrack_session_breaker().call_backoff_delay(store, *policy, attempt, retry_after_ms)
        })
    }
}

/// The component's own refusal is an error for the caller like any other. Its words are shown to
/// people, so they may hold nothing that steers a terminal or reads otherwise than it is.
fn accepted<T>(result: Result<Result<T, Vec<Violation>>, Error>) -> Result<T, Error> {
    result?.map_err(|mut violations| {
        for Violation { field, message, .. } in &mut violations {
            for text in [field, message] {
                *text = harmless(text);
            }
        }
        Error::Rejected(violations)
    })
}
