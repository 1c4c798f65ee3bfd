//! Why a call gave no result, and how the errors of the MCP library, of HTTP and of processes become
//! one of the outcomes the breaker knows. What a *tool* answered is judged in `answer`.

use std::time::Duration;

use rmcp::model::{ErrorCode, ErrorData};
use rmcp::service::{ClientInitializeError, ServiceError};
use rmcp::transport::DynamicTransportError;
use rmcp::transport::streamable_http_client::StreamableHttpError;
use serde_json::Value;
use shelltrack_sandbox::types::Outcome;

use super::http::HttpError;

/// Longest message, in scalars: one line of a terminal's `status`, three lines at most.
const MESSAGE_SCALARS_MAX: usize = 300;

/// Why a call gave no result.
#[derive(Clone, Debug, PartialEq, thiserror::Error)]
#[error("{message}")]
pub struct CallError {
    /// What it means for the breaker and for the event.
    pub outcome: Outcome,
    /// One line for people; control characters and escape sequences removed, at most 300 scalars.
    /// Never holds what this side sent; a server's own words are quoted and are untrusted.
    pub message: String,
    /// What the server asked us to wait, in milliseconds.
    pub retry_after_ms: Option<u64>,
}

impl CallError {
    /// An error with its message made fit for one line.
    pub(super) fn new(outcome: Outcome, message: impl AsRef<str>) -> Self {
        Self { outcome, message: one_line(message.as_ref()), retry_after_ms: None }
    }

    /// No answer within `budget`.
    pub(super) fn timed_out(what: &str, budget: Duration) -> Self {
        Self::new(Outcome::TimedOut, format!("{what}: no answer within {} ms", budget.as_millis()))
    }
}

/// How a failed attempt to agree on a protocol revision is to be taken.
pub(super) enum Disagreement {
    /// The transport says itself why.
    Told(CallError),
    /// The connection ended; its other end may know why.
    Closed,
    /// The server answered something the probe of both revisions cannot handle.
    Confused(CallError),
    /// The server's final word.
    Refused(CallError),
}

/// Judges a failed handshake.
pub(super) fn of_handshake(error: ClientInitializeError) -> Disagreement {
    let garbled = |error: &ClientInitializeError| {
        CallError::new(Outcome::Garbled, format!("the server does not speak MCP as expected: {error}"))
    };
    match error {
        ClientInitializeError::TransportError { error, .. } => match of_transport(&error) {
            Some(told) => Disagreement::Told(told),
            None => Disagreement::Closed,
        },
        ClientInitializeError::ConnectionClosed(_) => Disagreement::Closed,
        ClientInitializeError::LegacyFallbackFailed { fallback, .. } => of_handshake(*fallback),
        ClientInitializeError::JsonRpcError(error) => Disagreement::Refused(of_json_rpc(&error)),
        error @ ClientInitializeError::NoCompatibleProtocolVersion { .. } => Disagreement::Refused(
            CallError::new(Outcome::Garbled, format!("no MCP revision in common with the server: {error}")),
        ),
        error => Disagreement::Confused(garbled(&error)),
    }
}

/// Judges a failed request; `None` when the connection ended without a reason.
pub(super) fn of_request(error: &ServiceError) -> Option<CallError> {
    match error {
        ServiceError::McpError(error) => Some(of_json_rpc(error)),
        ServiceError::TransportSend(error) => of_transport(error),
        ServiceError::TransportClosed | ServiceError::Cancelled { .. } => None,
        other => {
            Some(CallError::new(Outcome::Garbled, format!("the server's answer fits no request: {other}")))
        }
    }
}

/// A JSON-RPC error: bad arguments are the event's fault, the rest is the server's. A shelltrack server
/// says when it is its database that cannot be used, and then no event would fare better.
fn of_json_rpc(error: &ErrorData) -> CallError {
    let kind = error.data.as_ref().and_then(|data| data.get("kind")).and_then(Value::as_str);
    let outcome = match error.code {
        ErrorCode::INVALID_PARAMS => Outcome::Refused,
        ErrorCode::INTERNAL_ERROR if kind == Some("store") => Outcome::Overloaded,
        _ => Outcome::ServerError,
    };
    CallError::new(outcome, format!("the server answered with error {}: {}", error.code.0, error.message))
}

/// What the transport says itself; `None` when it only knows that it is closed.
fn of_transport(error: &DynamicTransportError) -> Option<CallError> {
    if let Some(error) = error.error.downcast_ref::<StreamableHttpError<HttpError>>() {
        return of_http(error);
    }
    // Pipes and in-process streams: a broken pipe says less than the process behind it.
    None
}

/// Judges an error of the HTTP transport.
pub(super) fn of_http(error: &StreamableHttpError<HttpError>) -> Option<CallError> {
    match error {
        StreamableHttpError::Client(error) => Some(error.to_call_error()),
        StreamableHttpError::TransportChannelClosed => None,
        StreamableHttpError::Io(error) => Some(CallError::new(Outcome::Unreachable, error.to_string())),
        StreamableHttpError::SessionRecoveryTimeout | StreamableHttpError::ControlRequestTimeout => {
            Some(CallError::new(Outcome::TimedOut, error.to_string()))
        }
        StreamableHttpError::SessionExpired => {
            Some(CallError::new(Outcome::ServerError, "the server forgot this connection's session"))
        }
        StreamableHttpError::ReinitializationFailed(error) => Some(of_json_rpc(error)),
        other => Some(CallError::new(Outcome::Garbled, format!("no MCP answer over HTTP: {other}"))),
    }
}

/// Makes untrusted text one clean line of at most [`MESSAGE_SCALARS_MAX`] scalars.
pub(super) fn one_line(text: &str) -> String {
    let mut line = String::new();
    let mut scalars = 0;
    let mut rest = text.chars().peekable();
    while let Some(c) = rest.next() {
        if c == '\u{1b}' && rest.peek() == Some(&'[') {
            // A colour or another control sequence of ECMA-48: parameters, then one final byte.
            rest.next();
            while rest.next().is_some_and(|c| !matches!(c, '\u{40}'..='\u{7e}')) {}
            continue;
        }
        let c = if c.is_whitespace() { ' ' } else { c };
        if c.is_control() || is_invisible(c) || (c == ' ' && (line.is_empty() || line.ends_with(' '))) {
            continue;
        }
        if scalars == MESSAGE_SCALARS_MAX - 1 && rest.peek().is_some() {
            line.push('…');
            break;
        }
        line.push(c);
        scalars += 1;
    }
    line.truncate(line.trim_end().len());
    line
}

/// Characters that change how a line reads without being seen (UAX #9 and zero-width ones).
fn is_invisible(c: char) -> bool {
    matches!(c, '\u{ad}' | '\u{61c}' | '\u{200b}'..='\u{200f}' | '\u{2028}'..='\u{202e}'
        | '\u{2060}'..='\u{206f}' | '\u{feff}' | '\u{fff9}'..='\u{fffb}' | '\u{e0000}'..='\u{e007f}')
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "a test may stop at once")]
mod tests {
    use super::*;

    #[test]
    fn a_message_is_one_clean_line_of_bounded_length() {
        assert_eq!(one_line("a\r\n\t b\u{1b}[31;1mred\u{1b}[0m\u{7}\u{202e}\u{9b}c \n"), "a bredc");
        assert_eq!(one_line(&"x".repeat(300)).chars().count(), 300);
        let cut = one_line(&"ü".repeat(5000));
        assert_eq!(cut.chars().count(), 300);
        assert!(cut.ends_with('…'));
    }

    #[test]
    fn only_invalid_parameters_are_the_events_fault() {
        let refused = of_json_rpc(&ErrorData::invalid_params("pid must be positive", None));
        assert_eq!(refused.outcome, Outcome::Refused);
        assert!(refused.message.contains("pid must be positive"));
        let failed = of_json_rpc(&ErrorData::internal_error("boom", None));
        assert_eq!(failed.outcome, Outcome::ServerError);
        let data = serde_json::json!({"kind": "store"});
        let full = of_json_rpc(&ErrorData::internal_error("the disk is full", Some(data)));
        assert_eq!(full.outcome, Outcome::Overloaded);
    }
}
