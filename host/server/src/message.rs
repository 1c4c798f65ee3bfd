//! What every message must be before MCP sees it: JSON-RPC 2.0, one object, not too deep.
//!
//! What a method's parameters must be is MCP's business.

use rmcp::model::{ClientJsonRpcMessage, ErrorCode, ErrorData};
use serde::Deserialize;
use serde_json::{Map, Value, json};

/// Why a message is answered without MCP.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Unfit {
    code: ErrorCode,
    told: &'static str,
    id: Value,
}

impl Unfit {
    fn new(code: ErrorCode, told: &'static str) -> Self {
        Self { code, told, id: Value::Null }
    }

    /// More bytes than a message may have.
    pub(crate) fn too_large() -> Self {
        Self::new(ErrorCode::INVALID_REQUEST, "the message is too large; at most 1 MiB is taken")
    }

    /// Not what MCP knows, as far as the form tells.
    pub(crate) fn shape(message: &Map<String, Value>) -> Self {
        Self {
            id: id(message),
            ..Self::new(
                ErrorCode::INVALID_REQUEST,
                "this is no request, notification or response of MCP: `jsonrpc` is 2.0, `method` a text, `id` a \
                 text or a whole number of 64 bits, and `params` an object",
            )
        }
    }

    /// The answer (JSON-RPC 2.0, 5.1).
    pub(crate) fn answer(&self) -> Value {
        let error = ErrorData::new(self.code, self.told, None);
        json!({"jsonrpc": "2.0", "id": self.id, "error": error})
    }
}

/// Reads a message. serde_json stops at a depth of 128.
pub(crate) fn read(bytes: &[u8]) -> Result<Map<String, Value>, Unfit> {
    let message = match serde_json::from_slice(bytes) {
        Ok(Value::Object(message)) => message,
        Ok(Value::Array(_)) => {
            return Err(Unfit::new(ErrorCode::INVALID_REQUEST, "batches are not taken; send one message"));
        }
        Ok(_) => return Err(Unfit::new(ErrorCode::INVALID_REQUEST, "a message must be a JSON object")),
        Err(_) => {
            return Err(Unfit::new(
                ErrorCode::PARSE_ERROR,
                "this is no JSON, is nested deeper than 128 levels, or has a number or an escape that stands for \
                 nothing",
            ));
        }
    };
    if let Some(told) = unfit_number(bytes) {
        let id = Some(id(&message)).filter(|id| !id.is_f64()).unwrap_or_default(); // it may be that number
        return Err(Unfit { id, ..Unfit::new(ErrorCode::INVALID_REQUEST, told) });
    }
    let is_answer = message.contains_key("result") || message.contains_key("error");
    let is_form = message.get("jsonrpc") == Some(&json!("2.0"))
        && (is_answer || message.get("method").is_some_and(Value::is_string))
        && message.get("id").is_none_or(|id| id.is_string() || id.is_i64())
        && message.get("params").is_none_or(|params| params.is_object() || params.is_null());
    // What it cannot read, MCP's own transport would answer as no JSON-RPC at all.
    let is_message = is_form && ClientJsonRpcMessage::deserialize(&Value::Object(message.clone())).is_ok();
    if is_message { Ok(message) } else { Err(Unfit::shape(&message)) }
}

/// Whether there is a whole number that no 64 bits hold: read as a fraction it would silently be another one.
/// The text is JSON.
fn unfit_number(json: &[u8]) -> Option<&'static str> {
    let mut rest = json;
    while let Some(at) = rest.iter().position(|byte| matches!(byte, b'"' | b'-' | b'0'..=b'9')) {
        let (_, from) = rest.split_at(at);
        if from.starts_with(b"\"") {
            rest = after_text(from);
            continue;
        }
        let is_part = |byte: &u8| matches!(byte, b'-' | b'+' | b'.' | b'e' | b'E' | b'0'..=b'9');
        let length = from.iter().position(|byte| !is_part(byte)).unwrap_or(from.len());
        let (number, after) = from.split_at(length);
        let number = std::str::from_utf8(number).unwrap_or_default();
        let is_whole = !number.contains(['.', 'e', 'E']);
        if is_whole && number.parse::<i64>().is_err() && number.parse::<u64>().is_err() {
            return Some("a whole number does not fit 64 bits; send it as text");
        }
        rest = after;
    }
    None
}

/// What follows a text that begins here.
fn after_text(json: &[u8]) -> &[u8] {
    let mut is_escaped = true; // the first quote ends nothing
    for (at, byte) in json.iter().enumerate() {
        match byte {
            b'"' if !is_escaped => return json.get(at + 1..).unwrap_or_default(),
            b'\\' if !is_escaped => is_escaped = true,
            _ => is_escaped = false,
        }
    }
    &[]
}

/// The id where it is one that can be repeated.
pub(crate) fn id(message: &Map<String, Value>) -> Value {
    message.get("id").filter(|id| id.is_string() || id.is_number()).cloned().unwrap_or_default()
}

/// The method and, of a call, the tool.
pub(crate) fn target(message: &Map<String, Value>) -> (&str, &str) {
    let method = message.get("method").and_then(Value::as_str).unwrap_or_default();
    let tool = message.get("params").and_then(|params| params.get("name")).and_then(Value::as_str);
    (method, tool.unwrap_or_default())
}

#[cfg(test)]
#[allow(clippy::unwrap_used, clippy::indexing_slicing, reason = "a failed unwrap is a failed test")]
mod tests {
    use super::*;

    #[track_caller]
    fn check_unfit(text: &str, code: i32, id: Value) {
        let answer = read(text.as_bytes()).unwrap_err().answer();
        assert_eq!((&answer["error"]["code"], &answer["id"]), (&json!(code), &id), "{text}");
    }

    #[test]
    fn what_is_no_json_is_a_parse_error() {
        for text in ["", "{", "hello", "\u{0}", "{\"a\":1}}", "{'a':1}"] {
            check_unfit(text, -32700, Value::Null);
        }
        let deep = format!(
            "{{\"jsonrpc\":\"2.0\",\"method\":\"x\",\"params\":{}{}}}",
            "[".repeat(5000),
            "]".repeat(5000)
        );
        check_unfit(&deep, -32700, Value::Null);
        assert!(read(b"\xff\xfe").is_err());
    }

    #[test]
    fn what_is_no_message_is_an_invalid_request_with_its_id() {
        check_unfit("[]", -32600, Value::Null);
        check_unfit("7", -32600, Value::Null);
        check_unfit("{}", -32600, Value::Null);
        check_unfit(r#"{"jsonrpc":"1.0","method":"ping","id":7}"#, -32600, json!(7));
        check_unfit(r#"{"jsonrpc":"2.0","method":7,"id":"a"}"#, -32600, json!("a"));
        check_unfit(r#"{"jsonrpc":"2.0","method":"ping","id":{}}"#, -32600, Value::Null);
        check_unfit(r#"{"jsonrpc":"2.0","method":"ping","id":1.5}"#, -32600, json!(1.5));
        check_unfit(r#"{"jsonrpc":"2.0","method":"ping","id":7,"params":[]}"#, -32600, json!(7));
        check_unfit(
            r#"{"jsonrpc":"2.0","method":"ping","id":18446744073709551615}"#,
            -32600,
            json!(18_446_744_073_709_551_615_u64),
        );
        check_unfit(r#"{"jsonrpc":"2.0","method":"ping","id":18446744073709551616}"#, -32600, Value::Null);
        for fits in [
            r#"{"jsonrpc":"2.0","method":"ping","id":-7,"params":null}"#,
            r#"{"jsonrpc":"2.0","method":"x/y"}"#,
        ] {
            assert!(read(fits.as_bytes()).is_ok(), "{fits}");
        }
    }

    #[test]
    fn whole_numbers_are_taken_as_they_are_or_refused() {
        let with = |number: &str| {
            format!(
                r#"{{"jsonrpc":"2.0","id":7,"method":"x","params":{{"a\\\"9":"\\\\","b":[{number}],"c":"{}"}}}}"#,
                "9".repeat(40)
            )
        };
        for fits in
            ["18446744073709551615", "-9223372036854775808", "0", "-0", "1e30", "12345678901234567890.5"]
        {
            assert!(read(with(fits).as_bytes()).is_ok(), "{fits}");
        }
        for unfit in ["18446744073709551616", "-9223372036854775809", "12345678901234567890123"] {
            check_unfit(&with(unfit), -32600, json!(7));
        }
    }

    #[test]
    fn a_call_names_its_tool() {
        let message =
            read(br#"{"jsonrpc":"2.0","id":1,"method":"tools/call","params":{"name":"x"}}"#).unwrap();
        assert_eq!(target(&message), ("tools/call", "x"));
        let message = read(br#"{"jsonrpc":"2.0","id":1,"result":{}}"#).unwrap();
        assert_eq!(target(&message), ("", ""));
    }
}
