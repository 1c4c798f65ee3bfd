//! What every message must be before MCP sees it: JSON-RPC 2.0, one object, not too deep.
//!
//! What a method's parameters must be is MCP's business.

use rmcp::model::{ErrorCode, ErrorData};
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
            ..Self::new(ErrorCode::INVALID_REQUEST, "this is no request, notification or response of MCP")
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
                "this is no JSON, or nested deeper than 128 levels",
            ));
        }
    };
    let is_answer = message.contains_key("result") || message.contains_key("error");
    let is_form = message.get("jsonrpc") == Some(&json!("2.0"))
        && (is_answer || message.get("method").is_some_and(Value::is_string))
        && message.get("id").is_none_or(|id| id.is_string() || id.is_i64() || id.is_u64());
    if is_form { Ok(message) } else { Err(Unfit::shape(&message)) }
}

/// The id where it is one that can be repeated.
fn id(message: &Map<String, Value>) -> Value {
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
