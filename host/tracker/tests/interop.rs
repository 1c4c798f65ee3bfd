//! The client against the real Python Session-Buddy, over every transport it serves.
//!
//! Runs when `SHELLTRACK_INTEROP_PYTHON` names a Python that has session-buddy 0.23.0; says so and
//! passes when it does not. Each server gets a HOME of its own. What a shell makes of it end to end
//! is tested elsewhere.

#![allow(
    clippy::unwrap_used,
    clippy::print_stdout,
    reason = "tests may stop at once, and say why they were skipped and how long a server took"
)]

use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::sync::Arc;
use std::time::{Duration, Instant};

use shelltrack_sandbox::types::Outcome;
use shelltrack_tracker::Target;
use shelltrack_tracker::session_buddy::{Budgets, CallError, Embedded, SessionBuddy};
use tokio::process::{Child, Command};

/// A cold server on a busy machine: it imports for seconds where nothing else runs, and what is tested
/// here is what it says, not how soon.
const SERVER_START_MAX: Duration = Duration::from_secs(180);
const PATIENT: Budgets = Budgets { connect: SERVER_START_MAX, call: SERVER_START_MAX };
/// Between two looks whether a server listens: it tells nobody when it does.
const LISTEN_POLL: Duration = Duration::from_millis(50);

fn python() -> Option<PathBuf> {
    let python = std::env::var_os("SHELLTRACK_INTEROP_PYTHON");
    if python.is_none() {
        println!("skipped: SHELLTRACK_INTEROP_PYTHON names no Python that has session-buddy 0.23.0");
    }
    python.map(PathBuf::from)
}

fn launcher() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../../tests/interop/session_buddy.py").canonicalize().unwrap()
}

fn no_embedded() -> Embedded {
    Arc::new(|_| Err("not part of this test".to_owned()))
}

/// Runs the server through `env`, since a target has no environment of its own.
fn over_stdio(python: &Path, home: &Path, variable: &str, mode: &str) -> Target {
    let args = [
        format!("HOME={}", home.display()),
        variable.to_owned(),
        python.display().to_string(),
        launcher().display().to_string(),
        mode.to_owned(),
    ];
    Target::Stdio { command: PathBuf::from("/usr/bin/env"), args: args.to_vec() }
}

fn start_event(event_id: &str, cwd: &Path) -> String {
    format!(
        r#"{{"event_version":"1.0","event_id":"{event_id}","event_type":"session_start",
        "component_name":"mahavishnu","shell_type":"MahavishnuShell","timestamp":"2026-11-20T09:19:52.000001Z",
        "pid":4711,"user":{{"username":"ada","home":"/home/ada"}},"hostname":"engine",
        "environment":{{"python_version":"n/a","platform":"linux-x86_64","cwd":"{}"}},
        "metadata":{{"correlation_id":"6f2c9d1e-8f1e-4c7b-9a53-3d3c5d6e7f80"}}}}"#,
        cwd.display()
    )
}

fn end_event(session_id: &str) -> String {
    format!(
        r#"{{"session_id":"{session_id}","timestamp":"2026-11-20T09:20:52.000001Z","event_type":"session_end",
        "metadata":{{"event_id":"0b7d8ac4-51a5-4f0e-8d5b-0b5a0f6a1c11","exit_status":7}}}}"#
    )
}

async fn timed<T>(what: &str, call: impl Future<Output = T>) -> T {
    let begun = Instant::now();
    let result = call.await;
    println!("{what}: {:?}", begun.elapsed());
    result
}

async fn connect(target: &Target) -> SessionBuddy {
    let embedded = no_embedded();
    let connecting = SessionBuddy::connect_within(target, &embedded, PATIENT);
    let connection = timed("connect", connecting).await.unwrap();
    println!("{}, {} tools", connection.offers().server, connection.offers().tools.len());
    connection
}

/// What every way of reaching the server must give.
async fn check_tracks(connection: &SessionBuddy, home: &Path) {
    assert!(connection.offers().tracks(), "{:?}", connection.offers());
    timed("health_check", connection.health_check()).await.unwrap();
    let start = start_event("1c0f6f5e-2b1a-4f0e-8d5b-0b5a0f6a1c01", home);
    let id = timed("first track_session_start", connection.track_start(&start)).await.unwrap();
    assert!(id.starts_with("mahavishnu-"), "{id}");
    let second = start_event("1c0f6f5e-2b1a-4f0e-8d5b-0b5a0f6a1c02", home);
    timed("second track_session_start", connection.track_start(&second)).await.unwrap();
    timed("track_session_end", connection.track_end(&end_event(&id))).await.unwrap();
    check_refusals(connection, home).await;
    assert!(!connection.is_closed());
}

async fn check_refusals(connection: &SessionBuddy, home: &Path) {
    let parent = start_event("1c0f6f5e-2b1a-4f0e-8d5b-0b5a0f6a1c03", &home.join("../.."));
    check_refused("a cwd with ..", connection.track_start(&parent).await.map(|_| ()));
    let bad_id = start_event("not-a-uuid", home);
    check_refused("an event id that is no UUID", connection.track_start(&bad_id).await.map(|_| ()));
    let extra = start_event("1c0f6f5e-2b1a-4f0e-8d5b-0b5a0f6a1c04", home);
    let extra = extra.replacen('{', r#"{"correlation_id":"x","#, 1);
    check_refused("an unknown key", connection.track_start(&extra).await.map(|_| ()));
    let no_time = r#"{"session_id":"mahavishnu-20261120-091952"}"#;
    check_refused("an end without its time", connection.track_end(no_time).await);
}

#[track_caller]
fn check_refused(what: &str, result: Result<(), CallError>) {
    let error = result.unwrap_err();
    println!("{what}: {error}");
    assert_eq!(error.outcome, Outcome::Refused, "{what}: {error}");
}

async fn check_over_stdio(mode: &str) {
    let Some(python) = python() else { return };
    let home = tempfile::tempdir().unwrap();
    let connection = connect(&over_stdio(&python, home.path(), "LANG=C.UTF-8", mode)).await;
    check_tracks(&connection, home.path()).await;
    timed("close", connection.close()).await;
}

#[tokio::test]
async fn the_python_server_that_logs_to_stdout_is_tracked_with() {
    check_over_stdio("stdio").await;
}

#[tokio::test]
async fn the_python_server_over_clean_stdio_is_tracked_with() {
    check_over_stdio("stdio-clean").await;
}

/// A server over HTTP that ends with the test.
struct HttpServer {
    child: Child,
    target: Target,
}

/// A port nobody listens on at this moment.
fn free_port() -> u16 {
    std::net::TcpListener::bind(("127.0.0.1", 0)).unwrap().local_addr().unwrap().port()
}

async fn serve_http(python: &Path, mode: &str, home: &Path) -> HttpServer {
    let port = free_port();
    let child = Command::new(python)
        .arg(launcher())
        .args([mode, &port.to_string()])
        .env("HOME", home)
        .current_dir(home)
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .kill_on_drop(true)
        .spawn()
        .unwrap();
    let begun = Instant::now();
    while tokio::net::TcpStream::connect(("127.0.0.1", port)).await.is_err() {
        assert!(begun.elapsed() < SERVER_START_MAX, "the server does not listen");
        tokio::time::sleep(LISTEN_POLL).await;
    }
    println!("listens after {:?}", begun.elapsed());
    HttpServer { child, target: Target::Http { url: format!("http://127.0.0.1:{port}/mcp") } }
}

#[tokio::test]
async fn the_python_server_over_http_is_tracked_with() {
    let Some(python) = python() else { return };
    let home = tempfile::tempdir().unwrap();
    let server = serve_http(&python, "http", home.path()).await;
    let connection = connect(&server.target).await;
    check_tracks(&connection, home.path()).await;
    timed("close", connection.close()).await;
}

#[tokio::test]
async fn what_session_buddy_start_serves_is_told_to_lack_the_tools() {
    let Some(python) = python() else { return };
    let home = tempfile::tempdir().unwrap();
    let server = serve_http(&python, "stock", home.path()).await;
    let connection = connect(&server.target).await;
    assert!(!connection.offers().tracks());
    timed("health_check", connection.health_check()).await.unwrap();
    let start = start_event("1c0f6f5e-2b1a-4f0e-8d5b-0b5a0f6a1c01", home.path());
    let error = connection.track_start(&start).await.unwrap_err();
    println!("{error}");
    assert_eq!(error.outcome, Outcome::Unreachable);
    assert!(error.message.contains("offers no track_session_start (`session-buddy start`"), "{error}");
    connection.close().await;
}

#[tokio::test]
async fn a_python_server_that_is_killed_is_unreachable() {
    let Some(python) = python() else { return };
    let home = tempfile::tempdir().unwrap();
    let mut server = serve_http(&python, "http", home.path()).await;
    let connection = connect(&server.target).await;
    server.child.kill().await.unwrap();
    let start = start_event("1c0f6f5e-2b1a-4f0e-8d5b-0b5a0f6a1c01", home.path());
    let error = connection.track_start(&start).await.unwrap_err();
    println!("{error}");
    assert_eq!(error.outcome, Outcome::Unreachable);
    let error = SessionBuddy::connect(&server.target, &no_embedded()).await.map(|_| ()).unwrap_err();
    assert_eq!(error.outcome, Outcome::Unreachable, "{error}");
}

#[tokio::test]
async fn a_python_server_that_wants_a_token_does_not_believe_us() {
    let Some(python) = python() else { return };
    let home = tempfile::tempdir().unwrap();
    let secret = "SESSION_BUDDY_SECRET=no-real-secret-but-longer-than-32-characters";
    let connection = connect(&over_stdio(&python, home.path(), secret, "stdio")).await;
    let start = start_event("1c0f6f5e-2b1a-4f0e-8d5b-0b5a0f6a1c01", home.path());
    let error = connection.track_start(&start).await.unwrap_err();
    println!("{error}");
    assert_eq!(error.outcome, Outcome::Unauthorized);
    connection.close().await;
}
