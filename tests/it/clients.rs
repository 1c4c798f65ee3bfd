//! Clients in other languages, as released: the Python packages `mcp` and `fastmcp`, the TypeScript SDK. Each
//! does the same steps over a pipe and over HTTP; what they must be told stands here once.
//!
//! `SHELLTRACK_CLIENTS_PYTHON` names a Python that has both packages, `SHELLTRACK_CLIENTS_NODE` a directory
//! into which npm has put `@modelcontextprotocol/sdk`.

use std::ffi::OsString;
use std::process::Command;
use std::time::Duration;

use serde_json::{Value, json};
use shelltrack_tests::binary::{repository, shelltrack};
use shelltrack_tests::process::run_with_input;
use shelltrack_tests::{Home, Server, skip};

/// An interpreter that starts for the first time, on a busy machine, reads thousands of files.
const CLIENT_WITHIN: Duration = Duration::from_secs(180);

const TOOLS: [&str; 7] = [
    "health_check",
    "list_sessions",
    "session_stats",
    "show_session",
    "track_session_activity",
    "track_session_end",
    "track_session_start",
];

/// The program that stands for a client, with what comes before the transport on its command line.
#[derive(Clone)]
struct Client {
    program: OsString,
    arguments: Vec<OsString>,
}

impl Client {
    fn python(script: &str, more: &[&str]) -> Option<Self> {
        let program = named("SHELLTRACK_CLIENTS_PYTHON", "a Python with mcp and fastmcp")?;
        let script = repository().join("tests/clients").join(script).into_os_string();
        Some(Self { program, arguments: [script].into_iter().chain(more.iter().map(Into::into)).collect() })
    }

    fn typescript() -> Option<Self> {
        let directory = named("SHELLTRACK_CLIENTS_NODE", "a directory with npm's @modelcontextprotocol/sdk")?;
        let script = repository().join("tests/clients/with_sdk.mjs").into_os_string();
        Some(Self { program: "node".into(), arguments: vec![script, directory] })
    }

    /// What came of each step.
    #[track_caller]
    fn does(&self, home: &Home, transport: &[&str], steps: &Value) -> Vec<Value> {
        let mut command: Command = home.command(&self.program);
        command.args(&self.arguments).args(transport);
        let finished = run_with_input(&mut command, steps.to_string().as_bytes(), CLIENT_WITHIN).expect(0);
        assert!(!finished.stderr.contains("unknown format"), "a schema nobody can read: {}", finished.stderr);
        serde_json::from_str(&finished.stdout).unwrap()
    }
}

fn named(variable: &str, what: &str) -> Option<OsString> {
    let value = std::env::var_os(variable).filter(|value| !value.is_empty());
    if value.is_none() {
        skip(&format!("{variable} does not name {what}"));
    }
    value
}

fn start(number: u32) -> Value {
    json!({
        "event_version": "1.0", "event_id": format!("6f9619ff-8b86-4d01-b42d-{number:012x}"),
        "event_type": "session_start", "component_name": "mahavishnu", "shell_type": "MahavishnuShell",
        "timestamp": "2024-11-20T09:19:52.250Z", "pid": 4711, "hostname": "engine",
        "user": {"username": "ada", "home": "/home/ada"},
        "environment": {"python_version": "3.13.0", "platform": "Linux", "cwd": "/srv"}, "metadata": null,
    })
}

fn steps() -> Value {
    let end = |id: &str| json!({"session_id": id, "timestamp": "2024-11-20T09:20:00.750Z", "metadata": null});
    let call = |tool: &str, arguments: Value| json!({"call": tool, "arguments": arguments});
    json!([
        {"tools": true},
        call("health_check", json!({})),
        call("track_session_start", start(1)),
        call("track_session_start", start(2)),
        call("track_session_activity", json!({"session_ids": ["$ID"], "timestamp": "2024-11-20T09:19:59Z"})),
        call("track_session_end", end("$ID")),
        call("track_session_end", end("nobody")),
        call("track_session_start", json!({"pid": "x"})),
        call("list_sessions", json!({"limit": 1})),
        call("list_sessions", json!({"limit": 0})),
        call("show_session", json!({"session_id": "$ID"})),
        call("session_stats", json!({})),
        {"resources": true},
        {"templates": true},
        {"read": "session://$ID"},
        {"read": "session://nobody"},
    ])
}

#[track_caller]
fn check_answers(answers: &[Value]) {
    let structured = |at: usize| {
        assert_eq!(answers[at]["is_error"], false, "step {at}: {}", answers[at]);
        // Clients that know no structured content read the same from the text.
        let text: Value = serde_json::from_str(answers[at]["text"][0].as_str().unwrap()).unwrap();
        assert_eq!(answers[at]["structured"], text, "step {at}");
        text
    };
    assert_eq!(answers[0], json!(TOOLS));
    assert_eq!(structured(1)["status"], "ok");
    let (first, second) = (structured(2), structured(3));
    assert_eq!((&first["status"], &first["error"]), (&json!("tracked"), &Value::Null));
    assert_eq!(structured(4)["renewed"], json!([first["session_id"]]));
    let ended = structured(5);
    assert_eq!((&ended["status"], &ended["duration_seconds"]), (&json!("ended"), &json!(8.5)));
    assert_eq!(structured(6)["status"], "not_found");
    let refused = structured(7);
    assert_eq!((&refused["status"], &refused["session_id"]), (&json!("error"), &Value::Null));
    assert!(refused["error"].as_str().unwrap().contains("pid"), "{refused}");
    let page = structured(8);
    assert_eq!((&page["count"], page["next_cursor"].is_string()), (&json!(1), true), "{page}");
    assert_eq!(page["sessions"][0]["session_id"], second["session_id"]);
    assert_eq!(answers[9]["is_error"], true);
    assert!(answers[9]["text"][0].as_str().unwrap().contains("limit"), "{}", answers[9]);
    let shown = structured(10);
    assert_eq!(shown["session"]["state"], "ended");
    assert_eq!(structured(11)["total"]["sessions"], 2);
    let uri = |session: &Value| format!("session://{}", session["session_id"].as_str().unwrap());
    assert_eq!(answers[12], json!([uri(&second), uri(&first)]));
    assert_eq!(answers[13], json!(["session://{id}"]));
    assert_eq!(answers[14], json!([shown["session"]]));
    assert!(answers[15]["code"].is_i64(), "{}", answers[15]);
}

/// The list goes on where it stopped, also for this client.
#[track_caller]
fn check_cursor(client: &Client, home: &Home, transport: &[&str], answers: &[Value]) {
    let cursor = &answers[8]["structured"]["next_cursor"];
    let next = json!([{"call": "list_sessions", "arguments": {"limit": 1, "cursor": cursor}}]);
    let page = &client.does(home, transport, &next)[0]["structured"];
    assert_eq!(page["sessions"][0]["session_id"], answers[2]["structured"]["session_id"]);
    assert_eq!(page["next_cursor"], Value::Null);
}

#[track_caller]
fn check_over_a_pipe(client: &Client) {
    let home = Home::new();
    let transport = ["stdio", shelltrack().to_str().unwrap(), "serve", "--stdio"];
    check_answers(&client.does(&home, &transport, &steps()));
}

/// Over HTTP: with a token; without one; and with one as an argument, as clients of the Python server send it.
#[track_caller]
fn check_over_http(client: &Client) {
    let server = Server::start_with(&[]);
    let token = server.home().shelltrack(&["token", "mint"]).expect(0).stdout;
    let (home, url) = (Home::new(), server.url());
    let transport = ["http", &url, token.trim()];
    let answers = client.does(&home, &transport, &steps());
    check_answers(&answers);
    check_cursor(client, &home, &transport, &answers);
    let mut by_argument = start(3);
    by_argument["token"] = json!(token.trim());
    let open = json!([
        {"call": "health_check", "arguments": {}},
        {"call": "track_session_start", "arguments": by_argument},
    ]);
    let answers = client.does(&home, &["http", &url, ""], &open);
    assert_eq!(answers[0]["structured"]["status"], "ok");
    assert_eq!(answers[1]["structured"]["status"], "tracked", "{}", answers[1]);
}

#[test]
fn the_python_client_speaks_with_us_with_and_without_a_handshake() {
    for revision in ["legacy", "2026-07-28"] {
        let Some(client) = Client::python("with_mcp.py", &[revision]) else { return };
        check_over_a_pipe(&client);
        check_over_http(&client);
    }
}

#[test]
fn fastmcp_speaks_with_us() {
    let Some(client) = Client::python("with_fastmcp.py", &[]) else { return };
    check_over_a_pipe(&client);
    check_over_http(&client);
}

#[test]
fn the_typescript_client_speaks_with_us() {
    let Some(client) = Client::typescript() else { return };
    check_over_a_pipe(&client);
    check_over_http(&client);
}
