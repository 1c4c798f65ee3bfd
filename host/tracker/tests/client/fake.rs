//! A scripted MCP server: what it answers to which request, whatever the transport.

use std::sync::Arc;
use std::time::Duration;

use serde_json::{Value, json};
use shelltrack_tracker::session_buddy::{Budgets, CallError, SessionBuddy};

pub(crate) const START: &str = r#"{"event_id":"1c0f6f5e-2b1a-4f0e-8d5b-0b5a0f6a1c01"}"#;
pub(crate) const END: &str =
    r#"{"session_id":"bash-20261120-091952-a1b2","timestamp":"2026-11-20T09:19:53Z"}"#;

/// Long enough for an answer on a busy machine.
pub(crate) const PATIENT: Budgets =
    Budgets { connect: Duration::from_secs(20), call: Duration::from_secs(20) };
/// For calls that are meant to get no answer. Connecting is given its time.
pub(crate) const HASTY: Budgets =
    Budgets { connect: Duration::from_secs(20), call: Duration::from_millis(300) };

/// What a scripted server does with a request.
#[derive(Clone, Debug)]
pub(crate) enum Reply {
    /// A result.
    Result(Value),
    /// A JSON-RPC error.
    Error(i32, &'static str),
    /// These bytes, whatever they are.
    Raw(String),
    /// Nothing.
    Silence,
    /// The end of the connection, after these bytes.
    HangUp(&'static str),
}

/// What a server answers: method and request to reply.
pub(crate) type Script = Arc<dyn Fn(&str, &Value) -> Reply + Send + Sync>;

/// A script that answers tool calls with `call` and everything else as an older server does.
pub(crate) fn calls(call: impl Fn(&Value) -> Reply + Send + Sync + 'static) -> Script {
    Arc::new(move |method, request| match method {
        "tools/call" => call(request),
        method => handshake(method),
    })
}

/// A tool's structured result.
pub(crate) fn tool_result(content: Value) -> Reply {
    Reply::Result(json!({"content": [], "structuredContent": content, "isError": false}))
}

/// How a server of the revision 2025-11-25 with all tools answers before the first call.
pub(crate) fn handshake(method: &str) -> Reply {
    match method {
        "initialize" => Reply::Result(json!({
            "protocolVersion": "2025-11-25",
            "capabilities": {"tools": {}},
            "serverInfo": {"name": "scripted", "version": "1.2.3"},
        })),
        "tools/list" => tools(&[
            "track_session_start",
            "track_session_end",
            "health_check",
            "list_sessions",
            "show_session",
        ]),
        _ => Reply::Error(-32601, "Method not found"),
    }
}

/// A list of tools.
pub(crate) fn tools(names: &[&str]) -> Reply {
    let tools: Vec<Value> =
        names.iter().map(|name| json!({"name": name, "inputSchema": {"type": "object"}})).collect();
    Reply::Result(json!({"tools": tools}))
}

/// The line or body that a reply is, for the request it answers.
pub(crate) fn frame(reply: &Reply, request: &Value) -> Option<String> {
    let id = request.get("id")?;
    match reply {
        Reply::Result(result) => Some(json!({"jsonrpc": "2.0", "id": id, "result": result}).to_string()),
        Reply::Error(code, message) => {
            Some(json!({"jsonrpc": "2.0", "id": id, "error": {"code": code, "message": message}}).to_string())
        }
        Reply::Raw(bytes) => Some(bytes.clone()),
        Reply::Silence | Reply::HangUp(_) => None,
    }
}

/// Why connecting failed. (A connection cannot be printed, so `unwrap_err` does not serve.)
#[track_caller]
pub(crate) fn refusal(result: Result<SessionBuddy, CallError>) -> CallError {
    match result {
        Ok(connection) => panic!("connected to {:?}", connection.offers()),
        Err(error) => error,
    }
}
