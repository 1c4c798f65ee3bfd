//! Pipes: what is no message, what never ends, and what ends without a line feed.

use serde_json::{Value, json};
use tokio::io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader};

use crate::{Fixture, PATIENCE, connect, start};

#[tokio::test]
async fn junk_on_a_pipe_is_answered_and_wrong_parameters_are_told_apart_from_unknown_methods() {
    let fixture = Fixture::new();
    let (reading, mut writing) = tokio::io::split(connect(fixture.server()));
    let mut lines = BufReader::new(reading).lines();
    let initialize = json!({"jsonrpc": "2.0", "id": 1, "method": "initialize", "params": {
        "protocolVersion": "2025-11-25", "capabilities": {}, "clientInfo": {"name": "raw", "version": "1"}}});
    writing.write_all(format!("{initialize}\n").as_bytes()).await.unwrap();
    lines.next_line().await.unwrap().unwrap();
    writing.write_all(b"{\"jsonrpc\":\"2.0\",\"method\":\"notifications/initialized\"}\n").await.unwrap();
    for (line, code, id) in [
        ("garbage", -32700, Value::Null),
        ("[]", -32600, Value::Null),
        (
            r#"{"jsonrpc":"2.0","id":7,"method":"tools/call","params":{"name":"list_sessions","arguments":[1]}}"#,
            -32602,
            json!(7),
        ),
        (r#"{"jsonrpc":"2.0","id":8,"method":"no/such/method"}"#, -32601, json!(8)),
    ] {
        writing.write_all(format!("{line}\n").as_bytes()).await.unwrap();
        let answer = tokio::time::timeout(PATIENCE, lines.next_line()).await.unwrap().unwrap().unwrap();
        let answer: Value = serde_json::from_str(&answer).unwrap();
        assert_eq!((&answer["error"]["code"], &answer["id"]), (&json!(code), &id), "{answer}");
    }
}

#[tokio::test]
async fn a_pipe_that_closes_before_anything_was_said_is_no_failure() {
    let fixture = Fixture::new();
    let (theirs, ours) = tokio::io::duplex(1024);
    drop(theirs);
    fixture.server().serve_stream(ours).await.unwrap();
}

#[tokio::test]
async fn junk_is_answered_also_when_nothing_else_comes() {
    let fixture = Fixture::new();
    let (mut reading, mut writing) = tokio::io::split(connect(fixture.server()));
    writing.write_all(b"GET / HTTP/1.1\r\n\r\n[]\n\xff\xfe").await.unwrap();
    writing.shutdown().await.unwrap();
    let mut told = String::new();
    tokio::time::timeout(PATIENCE, reading.read_to_string(&mut told)).await.unwrap().unwrap();
    assert_eq!(told.matches("-32700").count(), 2, "{told}");
    assert_eq!(told.matches("-32600").count(), 1, "{told}");
}

#[tokio::test]
async fn the_last_line_of_a_pipe_may_lack_its_end() {
    let fixture = Fixture::new();
    let (reading, mut writing) = tokio::io::split(connect(fixture.server()));
    let initialize = json!({"jsonrpc": "2.0", "id": 1, "method": "initialize", "params": {
        "protocolVersion": "2025-11-25", "capabilities": {}, "clientInfo": {"name": "raw", "version": "1"}}});
    let call = json!({"jsonrpc": "2.0", "id": 2, "method": "tools/call", "params": {
        "name": "track_session_start", "arguments": start(1)}});
    let initialized = r#"{"jsonrpc":"2.0","method":"notifications/initialized"}"#;
    writing.write_all(format!("{initialize}\n{initialized}\n{call}").as_bytes()).await.unwrap();
    writing.shutdown().await.unwrap();
    let mut lines = BufReader::new(reading).lines();
    let mut told = Vec::new();
    while let Some(line) = tokio::time::timeout(PATIENCE, lines.next_line()).await.unwrap().unwrap() {
        told.push(line);
    }
    assert!(told.last().unwrap().contains("tracked"), "{told:?}");
}

#[tokio::test]
async fn junk_and_endless_lines_do_not_end_a_connection() {
    let fixture = Fixture::new();
    let (reading, mut writing) = tokio::io::split(connect(fixture.server()));
    let initialize = json!({"jsonrpc": "2.0", "id": 1, "method": "initialize", "params": {
        "protocolVersion": "2025-11-25", "capabilities": {}, "clientInfo": {"name": "raw", "version": "1"}}});
    writing.write_all(format!("{initialize}\n").as_bytes()).await.unwrap();
    let mut lines = BufReader::new(reading).lines();
    lines.next_line().await.unwrap().unwrap();
    writing.write_all(b"{\"jsonrpc\":\"2.0\",\"method\":\"notifications/initialized\"}\n").await.unwrap();
    writing.write_all("x".repeat(3 << 20).as_bytes()).await.unwrap();
    writing.write_all(b"\n").await.unwrap();
    let health = json!({"jsonrpc": "2.0", "id": 7, "method": "tools/call", "params": {
        "name": "health_check", "arguments": {}}});
    writing.write_all(format!("{health}\n").as_bytes()).await.unwrap();
    let answer = async {
        loop {
            let line = lines.next_line().await.unwrap().unwrap();
            let answer: Value = serde_json::from_str(&line).unwrap();
            if answer["id"] == 7 {
                return answer;
            }
        }
    };
    let answer = tokio::time::timeout(PATIENCE, answer).await.unwrap();
    assert_eq!(answer["result"]["structuredContent"]["status"], "ok");
}
