//! The server as its clients see it: MCP in and MCP out, on a real database; over a pipe here, over HTTP
//! in `http`.
#![allow(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    missing_docs,
    reason = "a failed unwrap is a failed test"
)]

mod auth;
mod http;
mod odd;
mod pipe;
mod whole;

use std::collections::BTreeSet;
use std::path::PathBuf;
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use rmcp::model::{CallToolRequestParams, CallToolResult, ErrorCode, ProtocolVersion};
use rmcp::service::RunningService;
use rmcp::{ClientLifecycleMode, ClientServiceExt, RoleClient, ServiceError, ServiceExt};
use serde_json::{Value, json};
use shelltrack_sandbox::{Profile, Sandbox};
use shelltrack_server::Server;
use tempfile::TempDir;
use tokio::io::DuplexStream;
use tokio::task::JoinSet;

/// Longest time a test waits for an answer.
const PATIENCE: Duration = Duration::from_secs(30);

type Client = RunningService<RoleClient, ()>;

fn sandbox() -> Arc<Sandbox> {
    static SANDBOX: OnceLock<Arc<Sandbox>> = OnceLock::new();
    Arc::clone(SANDBOX.get_or_init(|| Arc::new(Sandbox::standard(Profile::Service).unwrap())))
}

struct Fixture {
    _directory: TempDir,
    path: PathBuf,
}

impl Fixture {
    fn new() -> Self {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("sessions.db");
        Self { _directory: directory, path }
    }

    fn server(&self) -> Server {
        Server::open(&self.path, sandbox()).unwrap()
    }

    async fn client(&self) -> Client {
        serve_client(self.server()).await
    }
}

async fn serve_client(server: Server) -> Client {
    ().serve(connect(server)).await.unwrap()
}

fn connect(server: Server) -> DuplexStream {
    let (theirs, ours) = tokio::io::duplex(64 << 10);
    tokio::spawn(server.serve_stream(ours));
    theirs
}

async fn call(client: &Client, tool: &'static str, arguments: Value) -> Result<CallToolResult, ServiceError> {
    let request = CallToolRequestParams::new(tool).with_arguments(arguments.as_object().unwrap().clone());
    tokio::time::timeout(PATIENCE, client.call_tool(request)).await.expect("an answer in time")
}

/// The structured content of an answer that is no error.
async fn ask(client: &Client, tool: &'static str, arguments: Value) -> Value {
    let answer = call(client, tool, arguments).await.unwrap();
    assert_eq!(answer.is_error, Some(false), "{answer:?}");
    answer.structured_content.unwrap()
}

fn event_id(number: u32) -> String {
    format!("6f9619ff-8b86-4d01-b42d-{number:012x}")
}

fn start(number: u32) -> Value {
    json!({
        "event_version": "1.0",
        "event_id": event_id(number),
        "event_type": "session_start",
        "component_name": "mahavishnu",
        "shell_type": "MahavishnuShell",
        "timestamp": "2024-11-20T09:19:52.250Z",
        "pid": 4711,
        "user": {"username": "ada", "home": "/home/ada"},
        "hostname": "engine",
        "environment": {"python_version": "3.13.0", "platform": "Linux-x86_64", "cwd": "/srv/engine"},
        "metadata": {"ticket": "T1"},
    })
}

fn with(mut value: Value, key: &str, to: Value) -> Value {
    value[key] = to;
    value
}

fn end(session_id: &Value, number: u32) -> Value {
    json!({
        "session_id": session_id,
        "timestamp": "2024-11-20T09:20:00.750+00:00",
        "metadata": {"event_id": event_id(number), "exit_status": 7, "exit_reason": "exited", "note": "done"},
    })
}

#[tokio::test]
async fn a_session_goes_from_start_to_end_and_can_be_seen() {
    let fixture = Fixture::new();
    let client = fixture.client().await;
    let started = ask(&client, "track_session_start", start(1)).await;
    let id = started["session_id"].clone();
    assert!(id.as_str().unwrap().starts_with("mahavishnu-20241120-091952-"), "{id}");
    let expected = json!({"session_id": id, "status": "tracked", "error": null, "timestamp": "2024-11-20T09:19:52.250000Z"});
    assert_eq!(started, expected);

    let ended = ask(&client, "track_session_end", end(&id, 2)).await;
    let expected = json!({"session_id": id, "status": "ended", "error": null, "state": "ended",
        "timestamp": "2024-11-20T09:20:00.750000Z", "duration_seconds": 8.5});
    assert_eq!(ended, expected);

    let record = json!({
        "session_id": id, "session_type": "admin_shell", "component_name": "mahavishnu",
        "shell_type": "MahavishnuShell", "start_time": "2024-11-20T09:19:52.250000Z",
        "end_time": "2024-11-20T09:20:00.750000Z", "duration_seconds": 8.5, "pid": 4711, "username": "ada",
        "hostname": "engine", "python_version": "3.13.0", "platform": "Linux-x86_64",
        "working_directory": "/srv/engine", "metadata": {"ticket": "T1", "note": "done"}, "state": "ended",
        "exit_status": 7, "exit_reason": "exited", "correlation_id": null, "event_id": event_id(1),
        "last_seen_at": "2024-11-20T09:19:52.250000Z",
    });
    let list = ask(&client, "list_sessions", json!({"session_type": "admin_shell"})).await;
    assert_eq!(list, json!({"sessions": [record], "count": 1, "next_cursor": null}));
    let shown = ask(&client, "show_session", json!({"session_id": id})).await;
    assert_eq!(shown, json!({"status": "found", "session": record, "error": null}));
}

#[tokio::test]
async fn the_same_events_sent_again_are_answered_alike_and_stored_once() {
    let fixture = Fixture::new();
    let client = fixture.client().await;
    let started = ask(&client, "track_session_start", start(1)).await;
    assert_eq!(ask(&client, "track_session_start", start(1)).await, started);
    let ended = ask(&client, "track_session_end", end(&started["session_id"], 2)).await;
    assert_eq!(ask(&client, "track_session_end", end(&started["session_id"], 2)).await, ended);
    let other = with(end(&started["session_id"], 3), "timestamp", json!("2024-11-20T10:00:00Z"));
    assert_eq!(ask(&client, "track_session_end", other).await, ended);
    assert_eq!(ask(&client, "track_session_start", start(1)).await, started);
    assert_eq!(ask(&client, "list_sessions", json!({})).await["count"], 1);
}

#[tokio::test]
async fn an_end_of_an_unknown_session_is_not_found() {
    let fixture = Fixture::new();
    let client = fixture.client().await;
    let answer = ask(&client, "track_session_end", end(&json!("mahavishnu-20241120-091952-nobody"), 1)).await;
    assert_eq!(answer["status"], "not_found");
    assert_eq!(answer["session_id"], "mahavishnu-20241120-091952-nobody");
    // Upstream's model of the answer allows no other `error` with this status.
    assert_eq!((&answer["error"], &answer["violations"][0]["rule"]), (&Value::Null, &json!("not-found")));
    let shown = ask(&client, "show_session", json!({"session_id": "x"})).await;
    assert_eq!((&shown["status"], &shown["session"]), (&json!("not_found"), &Value::Null));
}

#[tokio::test]
async fn the_refusal_of_an_end_repeats_its_id_as_far_as_it_is_one() {
    let fixture = Fixture::new();
    let client = fixture.client().await;
    let long = "x".repeat(201);
    for (sent, told) in [
        (json!("a-1"), "a-1"),
        (json!(""), ""),
        (json!(7), ""),
        (Value::Null, ""),
        (json!(long), ""),
        (json!("a\u{1b}[31m"), ""),
    ] {
        let answer = ask(&client, "track_session_end", json!({"session_id": sent, "timestamp": "now"})).await;
        assert_eq!((&answer["status"], &answer["session_id"]), (&json!("error"), &json!(told)), "{answer}");
        assert!(answer["error"].as_str().unwrap().contains("timestamp"), "{answer}");
    }
}

#[tokio::test]
async fn an_event_id_that_another_start_has_is_refused() {
    let fixture = Fixture::new();
    let client = fixture.client().await;
    let first = ask(&client, "track_session_start", start(1)).await;
    let other = ask(&client, "track_session_start", with(start(1), "component_name", json!("other"))).await;
    assert_eq!((&other["status"], &other["session_id"]), (&json!("error"), &Value::Null));
    let broken = &other["violations"][0];
    assert_eq!((&broken["field"], &broken["rule"]), (&json!("event_id"), &json!("conflict")));
    assert_eq!(ask(&client, "track_session_start", start(1)).await, first);
}

#[tokio::test]
async fn wrong_questions_are_told_by_the_argument_that_is_wrong() {
    let fixture = Fixture::new();
    let client = fixture.client().await;
    for (tool, wrong, told) in [
        ("list_sessions", json!({"limit": -1}), "limit"),
        ("list_sessions", json!({"limit": 1.5}), "limit"),
        ("list_sessions", json!({"limit": "5"}), "limit"),
        ("list_sessions", json!({"component_name": 5}), "component_name"),
        ("list_sessions", json!({"state": "open"}), "active, ended, crashed or lost"),
        ("list_sessions", json!({"archived": "yes"}), "archived"),
        ("list_sessions", json!({"started_after": 7}), "started_after"),
        ("list_sessions", json!({"componentname": "x"}), "component_name"),
        ("list_sessions", json!({"cursor": "x"}), "next_cursor"),
        ("session_stats", json!({"limit": 1}), "limit"),
        ("show_session", json!({}), "session_id"),
        ("show_session", json!({"session_id": 7}), "session_id"),
    ] {
        let answer = call(&client, tool, wrong.clone()).await.unwrap();
        let text = serde_json::to_string(&answer.content).unwrap();
        assert!(answer.is_error == Some(true) && text.contains(told), "{wrong}: {text}");
    }
    let fits = json!({"limit": 5.0, "state": null, "cursor": null, "active": false});
    assert_eq!(ask(&client, "list_sessions", fits).await["count"], 0);
}

#[tokio::test]
async fn a_refusal_names_every_field_with_its_rule_and_stores_nothing() {
    let fixture = Fixture::new();
    let client = fixture.client().await;
    let mut wrong = with(with(start(1), "pid", json!(0)), "component_name", json!("no spaces\n"));
    wrong["surprise"] = json!(1);
    wrong.as_object_mut().unwrap().remove("hostname");
    let answer = ask(&client, "track_session_start", wrong).await;
    assert_eq!((&answer["status"], &answer["session_id"]), (&json!("error"), &Value::Null));
    let rules: BTreeSet<(String, String)> = answer["violations"]
        .as_array()
        .unwrap()
        .iter()
        .map(|broken| (broken["field"].as_str().unwrap().into(), broken["rule"].as_str().unwrap().into()))
        .collect();
    let expected = [
        ("component_name", "bad-format"),
        ("hostname", "required"),
        ("pid", "out-of-range"),
        ("surprise", "unknown-field"),
    ];
    assert_eq!(rules, expected.map(|(field, rule)| (field.into(), rule.into())).into());
    for (field, rule) in expected {
        let told = answer["error"].as_str().unwrap();
        assert!(told.contains(field) && told.contains(rule), "{told}");
    }
    let answer = ask(&client, "track_session_end", json!({"session_id": "", "timestamp": "now"})).await;
    assert_eq!(answer["status"], "error");
    assert_eq!(answer["violations"].as_array().unwrap().len(), 2, "{answer}");
    assert_eq!(ask(&client, "list_sessions", json!({})).await["count"], 0);
}

#[tokio::test]
async fn metadata_may_be_null_and_a_token_is_taken_off() {
    let fixture = Fixture::new();
    let client = fixture.client().await;
    let arguments = with(with(start(1), "metadata", Value::Null), "token", json!("very-secret-token"));
    let started = ask(&client, "track_session_start", arguments).await;
    assert_eq!(started["status"], "tracked", "{started}");
    let arguments = json!({"session_id": started["session_id"], "timestamp": "2024-11-20T09:20:00Z",
        "event_type": "session_end", "metadata": null, "token": "very-secret-token"});
    assert_eq!(ask(&client, "track_session_end", arguments).await["status"], "ended");
    let shown =
        ask(&client, "show_session", json!({"session_id": started["session_id"], "token": "x"})).await;
    assert_eq!(shown["session"]["metadata"], json!({}));
    assert_eq!(shown["session"]["exit_reason"], "unknown");
    for suffix in ["", "-wal"] {
        let stored = std::fs::read(format!("{}{suffix}", fixture.path.display())).unwrap();
        assert!(!stored.windows(17).any(|window| window == b"very-secret-token"));
    }
}

#[tokio::test]
async fn wrong_questions_are_told_what_would_be_right() {
    let fixture = Fixture::new();
    let client = fixture.client().await;
    for (arguments, told) in [
        (json!({"limit": 0}), "limit"),
        (json!({"limit": 1001}), "limit"),
        (json!({"cursor": "yesterday"}), "cursor"),
        (json!({"state": "ended", "active": true}), "active"),
        (json!({"state": "gone"}), "crashed or lost"),
        (json!({"colour": "red"}), "colour"),
    ] {
        let answer = call(&client, "list_sessions", arguments).await.unwrap();
        assert_eq!(answer.is_error, Some(true));
        assert!(format!("{:?}", answer.content).contains(told), "{answer:?}");
    }
}

#[tokio::test]
async fn a_list_is_walked_by_its_cursor() {
    let fixture = Fixture::new();
    let client = fixture.client().await;
    for number in 0..7 {
        ask(&client, "track_session_start", start(number)).await;
    }
    let (mut seen, mut cursor) = (Vec::new(), Value::Null);
    loop {
        let page = ask(&client, "list_sessions", json!({"limit": 3, "active": true, "cursor": cursor})).await;
        seen.extend(page["sessions"].as_array().unwrap().iter().map(|record| record["event_id"].clone()));
        cursor = page["next_cursor"].clone();
        if cursor.is_null() {
            break;
        }
    }
    let expected: Vec<Value> = (0..7).rev().map(|number| json!(event_id(number))).collect();
    assert_eq!(seen, expected);
}

#[tokio::test]
async fn health_tells_what_is_stored_and_a_broken_store_is_an_error() {
    let fixture = Fixture::new();
    let client = fixture.client().await;
    ask(&client, "track_session_start", start(1)).await;
    let health = ask(&client, "health_check", json!({})).await;
    assert_eq!((&health["status"], &health["server"]), (&json!("ok"), &json!("shelltrack")));
    assert_eq!((&health["sessions_total"], &health["sessions_active"]), (&json!(1), &json!(1)));
    std::fs::remove_file(&fixture.path).unwrap();
    let answer = call(&client, "health_check", json!({})).await.unwrap();
    assert_eq!(answer.is_error, Some(true));
    assert_eq!(answer.structured_content.unwrap()["store_reachable"], false);
}

#[tokio::test]
async fn a_read_only_server_shows_and_answers_events_with_an_internal_error() {
    let fixture = Fixture::new();
    let empty = ().serve(connect(Server::open_read_only(&fixture.path, sandbox()).unwrap())).await.unwrap();
    assert_eq!(ask(&empty, "list_sessions", json!({})).await["count"], 0);
    let writer = fixture.client().await;
    let id = ask(&writer, "track_session_start", start(1)).await["session_id"].clone();
    let reader = ().serve(connect(Server::open_read_only(&fixture.path, sandbox()).unwrap())).await.unwrap();
    assert_eq!(ask(&reader, "show_session", json!({"session_id": id})).await["status"], "found");
    for (tool, arguments) in [("track_session_start", start(2)), ("track_session_end", end(&id, 3))] {
        let error = call(&reader, tool, arguments).await.unwrap_err();
        let ServiceError::McpError(error) = error else { panic!("{error}") };
        assert_eq!(error.code, ErrorCode::INTERNAL_ERROR);
    }
}

#[tokio::test]
async fn a_hundred_starts_of_one_second_over_two_servers_have_a_hundred_ids() {
    let fixture = Fixture::new();
    let clients = [Arc::new(fixture.client().await), Arc::new(fixture.client().await)];
    let mut starts = JoinSet::new();
    for number in 0..100 {
        let client = Arc::clone(&clients[number as usize % 2]);
        starts.spawn(async move {
            ask(&client, "track_session_start", start(number)).await["session_id"].to_string()
        });
    }
    let ids: BTreeSet<String> = starts.join_all().await.into_iter().collect();
    assert_eq!(ids.len(), 100);
    for client in &clients {
        assert_eq!(ask(client, "list_sessions", json!({"limit": 1000})).await["count"], 100);
    }
}

#[tokio::test]
async fn both_revisions_of_the_protocol_are_spoken() {
    let fixture = Fixture::new();
    let discover = ClientLifecycleMode::Discover { preferred_versions: vec![ProtocolVersion::V_2026_07_28] };
    for mode in [ClientLifecycleMode::Initialize, discover] {
        let client = ().serve_with_lifecycle(connect(fixture.server()), mode).await.unwrap();
        assert_eq!(ask(&client, "track_session_start", start(1)).await["status"], "tracked");
    }
}

#[tokio::test]
async fn the_list_of_tools_is_as_published() {
    let fixture = Fixture::new();
    let tools = fixture.client().await.list_all_tools().await.unwrap();
    insta::assert_json_snapshot!("tools", tools);
}
