//! Over a stream of lines, as the embedded server is reached.

use std::path::PathBuf;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};

use serde_json::{Value, json};
use shelltrack_sandbox::types::Outcome;
use shelltrack_tracker::Target;
use shelltrack_tracker::session_buddy::{Budgets, CallError, Embedded, SessionBuddy};
use tokio::io::{AsyncBufReadExt as _, AsyncWriteExt as _, BufReader, DuplexStream};

use crate::fake::*;

/// Answers every line as the script says.
async fn serve(stream: DuplexStream, script: Script) {
    let (read, mut write) = tokio::io::split(stream);
    let mut lines = BufReader::new(read).lines();
    while let Ok(Some(line)) = lines.next_line().await {
        let request: Value = serde_json::from_str(&line).unwrap();
        let Some(method) = request.get("method").and_then(Value::as_str) else { continue };
        let reply = script(method, &request);
        if let Reply::HangUp(last) = reply {
            let _ = write.write_all(last.as_bytes()).await;
            return;
        }
        if let Some(frame) = frame(&reply, &request) {
            let _ = write.write_all(format!("{frame}\n").as_bytes()).await;
        }
    }
}

fn embedded(script: Script) -> Embedded {
    Arc::new(move |_| {
        let (ours, theirs) = tokio::io::duplex(64 << 10);
        tokio::spawn(serve(theirs, script.clone()));
        Ok(ours)
    })
}

/// A target of its own for each test: what is remembered of one must not reach another.
fn target(name: &str) -> Target {
    Target::Embedded { database: PathBuf::from(format!("/nowhere/{name}.db")) }
}

async fn connect_within(name: &str, script: Script, budgets: Budgets) -> Result<SessionBuddy, CallError> {
    SessionBuddy::connect_within(&target(name), &embedded(script), budgets).await
}

async fn start_with(name: &str, script: Script, budgets: Budgets) -> Result<String, CallError> {
    connect_within(name, script, budgets).await.unwrap().track_start(START).await
}

#[tokio::test]
async fn every_tool_is_called_and_understood() {
    let script = calls(|request| {
        let tool = request.pointer("/params/name").and_then(Value::as_str).unwrap();
        tool_result(match tool {
            "track_session_start" => json!({"session_id": "bash-1", "status": "tracked", "error": null}),
            "track_session_end" => json!({"session_id": "bash-1", "status": "ended", "error": null}),
            "list_sessions" => json!({"sessions": [{"session_id": "bash-1"}]}),
            "show_session" => json!({"session": {"session_id": "bash-1"}}),
            _ => json!({"status": "ok"}),
        })
    });
    let connection = connect_within("every-tool", script, PATIENT).await.unwrap();
    assert_eq!(connection.offers().server, "scripted 1.2.3");
    assert!(connection.offers().tracks() && connection.offers().lists());
    connection.health_check().await.unwrap();
    assert_eq!(connection.track_start(START).await.unwrap(), "bash-1");
    connection.track_end(END).await.unwrap();
    assert_eq!(connection.list_sessions(json!({"limit": 1})).await.unwrap().len(), 1);
    assert_eq!(connection.show_session("bash-1").await.unwrap().unwrap(), json!({"session_id": "bash-1"}));
    assert!(!connection.is_closed());
    connection.close().await;
}

#[tokio::test]
async fn an_event_reaches_the_tool_as_it_is() {
    let seen = Arc::new(Mutex::new(Value::Null));
    let keep = seen.clone();
    let script = calls(move |request| {
        *keep.lock().unwrap() = request.pointer("/params/arguments").cloned().unwrap();
        tool_result(json!({"session_id": "bash-1", "status": "tracked"}))
    });
    start_with("as-it-is", script, PATIENT).await.unwrap();
    assert_eq!(*seen.lock().unwrap(), serde_json::from_str::<Value>(START).unwrap());
}

#[tokio::test]
async fn a_server_of_the_current_revision_is_spoken_with() {
    let script: Script = Arc::new(|method, _| match method {
        "server/discover" => Reply::Result(json!({
            "resultType": "complete", "supportedVersions": ["2026-07-28"], "capabilities": {"tools": {}},
            "serverInfo": {"name": "current", "version": "9"}, "ttlMs": 0, "cacheScope": "private",
        })),
        "initialize" => Reply::Error(-32601, "Method not found"),
        "tools/call" => tool_result(json!({"session_id": "bash-1", "status": "tracked"})),
        method => handshake(method),
    });
    assert_eq!(start_with("current", script, PATIENT).await.unwrap(), "bash-1");
}

/// A server of that revision, with all tools.
fn of_revision(revision: &'static str) -> Script {
    Arc::new(move |method, _| match method {
        "initialize" => Reply::Result(json!({
            "protocolVersion": revision, "capabilities": {"tools": {}},
            "serverInfo": {"name": "other", "version": "1"},
        })),
        "tools/call" => tool_result(json!({"session_id": "bash-1", "status": "tracked"})),
        method => handshake(method),
    })
}

#[tokio::test]
async fn a_server_of_an_older_revision_is_spoken_with() {
    for revision in ["2024-11-05", "2025-03-26", "2025-06-18"] {
        assert_eq!(start_with(revision, of_revision(revision), PATIENT).await.unwrap(), "bash-1");
    }
}

#[tokio::test]
async fn a_server_of_a_revision_nobody_knows_is_no_success_and_loses_no_event() {
    match connect_within("unknown", of_revision("1999-12-31"), PATIENT).await {
        // Whoever answers the calls of the older handshake well is understood all the same.
        Ok(connection) => assert_eq!(connection.track_start(START).await.unwrap(), "bash-1"),
        Err(error) => assert_ne!(error.outcome, Outcome::Refused, "{error}"),
    }
}

#[tokio::test]
async fn a_misread_server_is_asked_the_older_way_and_that_is_remembered() {
    let discovers = Arc::new(AtomicUsize::new(0));
    let counted = discovers.clone();
    // What a server that starts slowly looks like: its answer belongs to an earlier question.
    let script: Script = Arc::new(move |method, _| match method {
        "server/discover" => {
            counted.fetch_add(1, Ordering::SeqCst);
            Reply::Raw(
                json!({"jsonrpc": "2.0", "id": 99, "error": {"code": -32602, "message": "late"}}).to_string(),
            )
        }
        method => handshake(method),
    });
    for _ in 0..2 {
        let connection = connect_within("misread", script.clone(), PATIENT).await.unwrap();
        assert!(connection.offers().tracks());
    }
    assert_eq!(discovers.load(Ordering::SeqCst), 1);
}

#[tokio::test]
async fn a_server_that_hangs_up_on_the_question_is_asked_the_older_way() {
    let script: Script = Arc::new(|method, _| match method {
        "server/discover" => Reply::HangUp(""),
        method => handshake(method),
    });
    assert!(connect_within("hangs-up", script, PATIENT).await.is_ok());
}

#[tokio::test]
async fn json_rpc_errors_are_told_apart() {
    let bad = start_with("invalid", calls(|_| Reply::Error(-32602, "pid must be positive")), PATIENT).await;
    let bad = bad.unwrap_err();
    assert_eq!(bad.outcome, Outcome::Refused);
    assert!(bad.message.contains("pid must be positive"), "{bad}");
    let failed = start_with("internal", calls(|_| Reply::Error(-32603, "boom")), PATIENT).await.unwrap_err();
    assert_eq!(failed.outcome, Outcome::ServerError);
}

#[tokio::test]
async fn a_refused_event_leaves_the_connection_usable() {
    let script = calls(|request| match request.pointer("/params/name").and_then(Value::as_str) {
        Some("track_session_start") => {
            tool_result(json!({"session_id": null, "status": "error", "error": "bad\u{1b}[31m cwd"}))
        }
        _ => tool_result(json!({"session_id": "bash-1", "status": "ended"})),
    });
    let connection = connect_within("usable", script, PATIENT).await.unwrap();
    let refused = connection.track_start(START).await.unwrap_err();
    assert_eq!(
        (refused.outcome, refused.message.as_str()),
        (Outcome::Refused, "refused by the server: bad cwd")
    );
    connection.track_end(END).await.unwrap();
}

#[tokio::test]
async fn silence_garbage_and_foreign_ids_end_in_a_timeout_not_in_success() {
    let good = json!({"content": [], "structuredContent": {"session_id": "x", "status": "tracked"}});
    let foreign = json!({"jsonrpc": "2.0", "id": 4711, "result": good}).to_string();
    for (name, reply) in [
        ("silent", Reply::Silence),
        ("garbage", Reply::Raw("\u{0}\u{1b}[2J tracked".to_owned())),
        ("foreign", Reply::Raw(foreign)),
    ] {
        let error = start_with(name, calls(move |_| reply.clone()), HASTY).await.unwrap_err();
        assert_eq!(error.outcome, Outcome::TimedOut, "{name}: {error}");
    }
}

#[tokio::test]
async fn a_result_of_another_kind_is_garbled() {
    for (name, result) in [("null", Value::Null), ("number", json!(5)), ("tools", json!({"tools": []}))] {
        let error = start_with(name, calls(move |_| Reply::Result(result.clone())), HASTY).await.unwrap_err();
        assert!(matches!(error.outcome, Outcome::Garbled | Outcome::TimedOut), "{name}: {error:?}");
    }
}

#[tokio::test]
async fn half_a_frame_and_then_the_end_is_an_unreachable_server() {
    let script = calls(|_| Reply::HangUp(r#"{"jsonrpc":"2.0","id":"#));
    let connection = connect_within("half", script, PATIENT).await.unwrap();
    let error = connection.track_start(START).await.unwrap_err();
    assert_eq!(error.outcome, Outcome::Unreachable, "{error}");
    assert!(connection.is_closed());
}

#[tokio::test]
async fn an_answer_beyond_the_limit_is_never_taken() {
    let script = calls(|_| {
        Reply::Result(json!({"content": [], "structuredContent":
            {"session_id": "x", "status": "tracked", "error": "y".repeat(9 << 20)}}))
    });
    let error = start_with("huge", script, HASTY).await.unwrap_err();
    assert_eq!(error.outcome, Outcome::TimedOut, "{error}");
}

#[tokio::test]
async fn a_server_that_never_says_a_word_is_given_up() {
    let budgets = Budgets { connect: std::time::Duration::from_millis(200), ..HASTY };
    let error = refusal(connect_within("mute", Arc::new(|_, _| Reply::Silence), budgets).await);
    assert_eq!(error.outcome, Outcome::TimedOut, "{error}");
}

#[tokio::test]
async fn an_embedded_server_that_does_not_start_is_unreachable_and_says_why() {
    let embedded: Embedded = Arc::new(|_| Err("the disk is full".to_owned()));
    let error = refusal(SessionBuddy::connect(&target("full"), &embedded).await);
    assert_eq!(error.outcome, Outcome::Unreachable);
    assert!(error.message.contains("the disk is full"), "{error}");
}

#[tokio::test]
async fn a_server_without_the_tracking_tools_is_told_plainly_and_never_called() {
    let script: Script = Arc::new(|method, _| match method {
        "initialize" => Reply::Result(json!({
            "protocolVersion": "2025-06-18", "capabilities": {"tools": {}},
            "serverInfo": {"name": "session-buddy", "version": "0.23.0"},
        })),
        "tools/list" => tools(&["checkpoint"]),
        "tools/call" => panic!("called"),
        "ping" => Reply::Result(json!({})),
        method => handshake(method),
    });
    let connection = connect_within("stock", script, PATIENT).await.unwrap();
    assert!(!connection.offers().tracks() && !connection.offers().lists());
    let error = connection.track_start(START).await.unwrap_err();
    assert_eq!(error.outcome, Outcome::Unreachable);
    assert_eq!(
        error.message,
        "session-buddy 0.23.0 offers no track_session_start (`session-buddy start` serves without the \
         tracking tools)"
    );
    assert!(connection.list_sessions(json!({})).await.is_err());
    connection.health_check().await.unwrap();
}

#[tokio::test]
async fn tools_are_collected_over_pages_but_not_for_ever() {
    let pages = Arc::new(AtomicUsize::new(0));
    let counted = pages.clone();
    let script: Script = Arc::new(move |method, _| match method {
        "tools/list" => {
            let page = counted.fetch_add(1, Ordering::SeqCst);
            Reply::Result(json!({
                "tools": [{"name": format!("tool-{page}"), "inputSchema": {"type": "object"}}],
                "nextCursor": format!("{page}"),
            }))
        }
        method => handshake(method),
    });
    let connection = connect_within("pages", script, PATIENT).await.unwrap();
    assert_eq!(connection.offers().tools.len(), 32);
    assert_eq!(pages.load(Ordering::SeqCst), 32);
}
