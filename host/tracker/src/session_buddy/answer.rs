//! What the answer of a Session-Buddy's tool means.
//!
//! Success is only what says so in the agreed shape. Session-Buddies in Python tell of trouble in
//! three shapes: a result with `status: "error"`; a result marked as an error, with text alone; a
//! bare text where a result was promised. Nothing here trusts what it reads: ids and records go on
//! to the sandbox, texts become one clean line. Nor does a word count for the server's that it may only
//! repeat: `sent` is what was sent, the event's wire JSON.

use rmcp::model::CallToolResult;
use serde_json::{Map, Value};
use shelltrack_sandbox::types::Outcome;

use super::failure::CallError;

/// Longest session id taken from a server, in bytes: component name, time and suffix with room to
/// spare. The sandbox checks its form.
const SESSION_ID_BYTES_MAX: usize = 512;
/// Most records taken from one `list_sessions`; a server may ignore the limit it was given.
const RECORDS_MAX: usize = 10_000;
/// Sent with a question that holds no words of anybody.
const NOTHING: &str = "";

/// The server's id of a session it has just recorded.
pub(super) fn session_started(result: &CallToolResult, sent: &str) -> Result<String, CallError> {
    session_with_status(result, sent, "tracked")
}

/// The server has recorded the end.
pub(super) fn session_ended(result: &CallToolResult, sent: &str) -> Result<(), CallError> {
    session_with_status(result, sent, "ended").map(|_| ())
}

/// The server has renewed leases; gives how many sessions it does not know.
pub(super) fn leases_renewed(result: &CallToolResult) -> Result<usize, CallError> {
    let answer = object(result, NOTHING)?;
    match answer.get("status").and_then(Value::as_str) {
        Some("renewed") => Ok(answer.get("unknown").and_then(Value::as_array).map_or(0, Vec::len)),
        Some("error" | "not_found") => Err(refused(&answer, NOTHING)),
        _ => Err(garbled("its status is not \"renewed\"")),
    }
}

fn session_with_status(result: &CallToolResult, sent: &str, expected: &str) -> Result<String, CallError> {
    let answer = object(result, sent)?;
    match answer.get("status").and_then(Value::as_str) {
        Some(status) if status == expected => {}
        Some("error" | "not_found") => return Err(refused(&answer, sent)),
        _ => return Err(garbled(&format!("its status is not \"{expected}\""))),
    }
    match answer.get("session_id").and_then(Value::as_str) {
        Some(id) if !id.is_empty() && id.len() <= SESSION_ID_BYTES_MAX => Ok(id.to_owned()),
        _ => Err(garbled("it holds no session id")),
    }
}

/// The server is well. Whatever a healthy server answers is health; what it says beyond that is its
/// operator's concern, and a store that is down shows in the calls themselves.
pub(super) fn healthy(result: &CallToolResult) -> Result<(), CallError> {
    if result.is_error == Some(true) { Err(tool_failed(&text(result), NOTHING)) } else { Ok(()) }
}

/// One page of sessions.
#[derive(Debug, PartialEq)]
pub(super) struct Page {
    /// The records as they came.
    pub(super) records: Vec<Value>,
    /// Where the next page begins, when there is one.
    pub(super) next: Option<String>,
}

/// The records of `list_sessions`.
pub(super) fn records(result: &CallToolResult) -> Result<Page, CallError> {
    let mut answer = object(result, NOTHING)?;
    if answer.get("status").and_then(Value::as_str) == Some("error") {
        return Err(refused(&answer, NOTHING));
    }
    let next = answer.get("next_cursor").and_then(Value::as_str).map(str::to_owned);
    match answer.remove("sessions").or_else(|| answer.remove("result")) {
        Some(Value::Array(records)) if records.len() <= RECORDS_MAX => Ok(Page { records, next }),
        Some(Value::Array(_)) => Err(garbled(&format!("it holds more than {RECORDS_MAX} sessions"))),
        _ => Err(garbled("it holds no list of sessions")),
    }
}

/// The record of `show_session`; `None` when the server does not know the session.
pub(super) fn record(result: &CallToolResult) -> Result<Option<Value>, CallError> {
    let mut answer = object(result, NOTHING)?;
    match answer.get("status").and_then(Value::as_str) {
        Some("not_found") => return Ok(None),
        Some("error") => return Err(refused(&answer, NOTHING)),
        _ => {}
    }
    match answer.remove("session") {
        Some(record @ Value::Object(_)) => Ok(Some(record)),
        Some(Value::Null) => Ok(None),
        _ if answer.contains_key("session_id") => Ok(Some(Value::Object(answer))),
        _ => Err(garbled("it holds no session")),
    }
}

/// The JSON object a tool answered with: the structured content, or where there is none the only
/// text, if that is one JSON object.
fn object(result: &CallToolResult, sent: &str) -> Result<Map<String, Value>, CallError> {
    if result.is_error == Some(true) {
        return Err(tool_failed(&text(result), sent));
    }
    match &result.structured_content {
        Some(Value::Object(answer)) => match answer.get("result") {
            // How FastMCP wraps a tool's answer that is no object.
            Some(Value::String(words)) if answer.len() == 1 => Err(bare_text(words, sent)),
            Some(Value::Object(inner)) if answer.len() == 1 => Ok(inner.clone()),
            _ => Ok(answer.clone()),
        },
        Some(Value::Null) | None => {
            let words = text(result);
            match serde_json::from_str(&words) {
                Ok(Value::Object(answer)) if result.content.len() == 1 => Ok(answer),
                _ => Err(bare_text(&words, sent)),
            }
        }
        Some(_) => Err(garbled("it is no object")),
    }
}

fn text(result: &CallToolResult) -> String {
    let texts: Vec<&str> =
        result.content.iter().filter_map(|block| block.as_text()).map(|text| text.text.as_str()).collect();
    texts.join(" ")
}

/// `status: "error"` or `"not_found"`: final, unless it is our identity that is refused.
fn refused(answer: &Map<String, Value>, sent: &str) -> CallError {
    let words = ["error", "message"].iter().find_map(|key| answer.get(*key).and_then(Value::as_str));
    let words = words.or_else(|| answer.get("status").and_then(Value::as_str)).unwrap_or_default();
    let outcome = match denies_identity(words, sent) {
        Said::Plainly => Outcome::Unauthorized,
        // Nothing tells which of the two it is: it may pass, and whether others get through decides.
        Said::Perhaps => Outcome::ServerError,
        Said::Not => Outcome::Refused,
    };
    CallError::new(outcome, format!("refused by the server: {words}"))
}

/// A result marked as an error. Arguments that break the tool's schema stay broken, so that is a
/// refusal; anything else is an exception inside the tool, which may pass.
fn tool_failed(words: &str, sent: &str) -> CallError {
    if denies_identity(words, sent) == Said::Plainly {
        return not_accepted(words);
    }
    if blames_arguments(words, sent) == Said::Plainly {
        return CallError::new(Outcome::Refused, format!("refused by the server: {words}"));
    }
    CallError::new(Outcome::ServerError, format!("the server's tool failed: {words}"))
}

/// A text where a result was promised.
fn bare_text(words: &str, sent: &str) -> CallError {
    if denies_identity(words, sent) == Said::Plainly {
        return not_accepted(words);
    }
    garbled(&format!("it is only a text: {words}"))
}

fn not_accepted(words: &str) -> CallError {
    CallError::new(Outcome::Unauthorized, format!("the server does not accept who we are: {words}"))
}

fn garbled(why: &str) -> CallError {
    CallError::new(Outcome::Garbled, format!("the server's answer makes no sense: {why}"))
}

/// Whether a server says something.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Said {
    /// In words of its own.
    Plainly,
    /// In words that it was sent, and may only repeat.
    Perhaps,
    Not,
}

fn says(words: &str, sent: &str, signs: &[&str]) -> Said {
    let (words, sent) = (words.to_lowercase(), sent.to_lowercase());
    let mut found = signs.iter().filter(|sign| words.contains(**sign)).peekable();
    if found.peek().is_none() {
        return Said::Not;
    }
    if found.any(|sign| !sent.contains(sign)) { Said::Plainly } else { Said::Perhaps }
}

/// Whether a text says that the caller is not believed. Matched narrowly: an event may well carry
/// the word "token", and a server may repeat it.
fn denies_identity(words: &str, sent: &str) -> Said {
    let signs = [
        "authentication failed",
        "authentication required",
        "unauthorized",
        "invalid or expired token",
        "invalid token",
    ];
    says(words, sent, &signs)
}

/// Whether a text is the report of a schema check (pydantic, FastMCP, MCP libraries).
fn blames_arguments(words: &str, sent: &str) -> Said {
    let signs = [
        "validation error",
        "invalid arguments",
        "invalid params",
        "missing required argument",
        "unexpected keyword",
    ];
    says(words, sent, &signs)
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "a test may stop at once")]
mod tests {
    use serde_json::json;

    use super::*;

    fn result(value: Value) -> CallToolResult {
        serde_json::from_value(value).unwrap()
    }

    #[track_caller]
    fn check_start_fails(value: Value, outcome: Outcome, part_of_message: &str) {
        let error = session_started(&result(value), "{}").unwrap_err();
        assert_eq!(error.outcome, outcome, "{error}");
        assert!(error.message.contains(part_of_message), "{error}");
    }

    #[test]
    fn a_start_counts_only_when_it_is_said_to_be_tracked_and_has_an_id() {
        let good = json!({"content": [], "structuredContent": {"session_id": "a-1", "status": "tracked", "error": null}});
        assert_eq!(session_started(&result(good), "{}").unwrap(), "a-1");
        for structured in [
            json!({"session_id": "a-1", "status": "ended"}),
            json!({"session_id": "", "status": "tracked"}),
            json!({"session_id": null, "status": "tracked"}),
            json!({"session_id": 7, "status": "tracked"}),
            json!({"session_id": "x".repeat(600), "status": "tracked"}),
            json!({"session_id": "a-1"}),
            json!({"session_id": "a-1", "status": "TRACKED"}),
            json!({"session_id": "a-1", "status": true}),
            json!([]),
            json!("tracked"),
        ] {
            check_start_fails(json!({"content": [], "structuredContent": structured}), Outcome::Garbled, "");
        }
    }

    #[test]
    fn a_result_marked_as_error_is_never_success() {
        check_start_fails(
            json!({"content": [{"type": "text", "text": "Error calling tool: boom"}], "isError": true,
                "structuredContent": {"session_id": "a-1", "status": "tracked"}}),
            Outcome::ServerError,
            "boom",
        );
    }

    #[test]
    fn the_three_shapes_of_trouble_are_told_apart() {
        check_start_fails(
            json!({"content": [], "isError": false,
                "structuredContent": {"session_id": null, "status": "error", "error": "Session start tracking failed: bad cwd"}}),
            Outcome::Refused,
            "bad cwd",
        );
        check_start_fails(
            json!({"content": [{"type": "text", "text": "1 validation error for call[track_session_start]\nfoo\n  Unexpected keyword argument"}], "isError": true}),
            Outcome::Refused,
            "Unexpected keyword argument",
        );
        check_start_fails(
            json!({"content": [{"type": "text", "text": "❌ Authentication failed: invalid or expired token"}], "isError": true}),
            Outcome::Unauthorized,
            "invalid or expired token",
        );
        check_start_fails(
            json!({"content": [{"type": "text", "text": "Error calling tool 'track_session_start': structured_content must be a dict or None. Got str: '❌ Authentication failed: Token required (SESSION_BUDDY_SECRET is set)'."}], "isError": true}),
            Outcome::Unauthorized,
            "Token required",
        );
        check_start_fails(
            json!({"content": [{"type": "text", "text": "❌ Authentication failed: Token required"}]}),
            Outcome::Unauthorized,
            "Token required",
        );
        check_start_fails(
            json!({"content": [], "structuredContent": {"result": "❌ Authentication failed: Token required"}}),
            Outcome::Unauthorized,
            "Token required",
        );
    }

    #[test]
    fn words_of_the_event_that_a_server_repeats_do_not_speak_for_the_server() {
        let sent = r#"{"metadata": {"note": "Unauthorized access drill", "job": "fix validation error"}}"#;
        let outcome = |words: &str, is_error: bool| {
            let text = json!({"content": [{"type": "text", "text": words}], "isError": true});
            let error = json!({"content": [], "structuredContent": {"status": "error", "error": words}});
            session_started(&result(if is_error { text } else { error }), sent).unwrap_err().outcome
        };
        let echoed = "1 unexpected keyword: input_value='Unauthorized access drill'";
        assert_eq!(outcome(echoed, true), Outcome::Refused, "the schema is what is blamed");
        assert_eq!(outcome("cannot log 'unauthorized access drill'", true), Outcome::ServerError);
        assert_eq!(outcome("cannot log 'fix validation error'", true), Outcome::ServerError);
        assert_eq!(outcome("unauthorized", false), Outcome::ServerError, "final would be too much");
        // Plainly about us, whatever the event says.
        assert_eq!(outcome("Unauthorized: authentication failed", true), Outcome::Unauthorized);
        assert_eq!(outcome("Invalid token: token validation error", true), Outcome::Unauthorized);
        assert_eq!(outcome("Invalid token", false), Outcome::Unauthorized);
        assert_eq!(outcome("cwd does not exist", false), Outcome::Refused);
    }

    #[test]
    fn a_text_counts_as_the_result_only_when_it_is_one_json_object_alone() {
        let text = json!({"type": "text", "text": "{\"session_id\": \"a-1\", \"status\": \"tracked\"}"});
        assert_eq!(session_started(&result(json!({"content": [text]})), "{}").unwrap(), "a-1");
        check_start_fails(json!({"content": [text, {"type": "text", "text": "{}"}]}), Outcome::Garbled, "");
        check_start_fails(
            json!({"content": [{"type": "text", "text": "tracked a-1"}]}),
            Outcome::Garbled,
            "tracked a-1",
        );
        check_start_fails(json!({"content": []}), Outcome::Garbled, "");
    }

    #[test]
    fn an_unknown_session_refuses_the_end_and_shows_as_none() {
        let unknown = json!({"content": [], "structuredContent": {"session_id": "a-1", "status": "not_found", "error": "no such session"}});
        let error = session_ended(&result(unknown.clone()), "{}").unwrap_err();
        assert_eq!(error.outcome, Outcome::Refused);
        assert!(error.message.contains("no such session"));
        assert_eq!(record(&result(unknown)).unwrap(), None);
    }

    #[test]
    fn lists_and_single_records_are_taken_as_they_come() {
        let list = json!({"content": [], "structuredContent": {"sessions": [{"session_id": "a"}, {"session_id": "b"}]}});
        assert_eq!(records(&result(list)).unwrap().records.len(), 2);
        assert!(records(&result(json!({"content": [], "structuredContent": {"sessions": 3}}))).is_err());
        let shown = json!({"content": [], "structuredContent": {"session": {"session_id": "a"}}});
        assert_eq!(record(&result(shown)).unwrap().unwrap(), json!({"session_id": "a"}));
        let flat = json!({"content": [], "structuredContent": {"session_id": "a", "state": "ended"}});
        assert_eq!(record(&result(flat)).unwrap().unwrap(), json!({"session_id": "a", "state": "ended"}));
    }
}
