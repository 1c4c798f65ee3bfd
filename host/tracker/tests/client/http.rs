//! Over streamable HTTP: a server of one answer per connection, written by hand.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};

use serde_json::{Value, json};
use shelltrack_sandbox::types::Outcome;
use shelltrack_tracker::Target;
use shelltrack_tracker::session_buddy::{Budgets, CallError, Embedded, SessionBuddy};
use tokio::io::{AsyncBufReadExt as _, AsyncReadExt as _, AsyncWriteExt as _, BufReader};
use tokio::net::{TcpListener, TcpStream};

use crate::fake::*;

/// What the server sends for a request, down to the bytes; nothing at all for `None`.
type Answer = Arc<dyn Fn(&str, &Value) -> Option<String> + Send + Sync>;

fn http(status: &str, headers: &str, body: &str) -> String {
    format!("HTTP/1.1 {status}\r\n{headers}Content-Length: {}\r\nConnection: close\r\n\r\n{body}", body.len())
}

fn json_body(body: &str) -> String {
    http("200 OK", "Content-Type: application/json\r\n", body)
}

/// Tool calls get these bytes, everything else what an older server answers.
fn calls_get(bytes: impl Fn(&Value) -> Option<String> + Send + Sync + 'static) -> Answer {
    Arc::new(move |method, request| match method {
        "tools/call" => bytes(request),
        method => {
            by_script(&(Arc::new(|method: &str, _: &Value| handshake(method)) as Script), method, request)
        }
    })
}

fn by_script(script: &Script, method: &str, request: &Value) -> Option<String> {
    match frame(&script(method, request), request) {
        Some(frame) => Some(json_body(&frame)),
        None => Some(http("202 Accepted", "", "")),
    }
}

struct Server {
    target: Target,
    connections: Arc<AtomicUsize>,
}

async fn serve(answer: Answer) -> Server {
    let listener = TcpListener::bind(("127.0.0.1", 0)).await.unwrap();
    let url = format!("http://{}/mcp", listener.local_addr().unwrap());
    let connections = Arc::new(AtomicUsize::new(0));
    let counted = connections.clone();
    tokio::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            counted.fetch_add(1, Ordering::SeqCst);
            tokio::spawn(answer_one(stream, answer.clone()));
        }
    });
    Server { target: Target::Http { url }, connections }
}

async fn answer_one(stream: TcpStream, answer: Answer) {
    let mut stream = BufReader::new(stream);
    let mut length = 0;
    loop {
        let mut line = String::new();
        if stream.read_line(&mut line).await.unwrap_or(0) == 0 {
            return;
        }
        if let Some(value) = line.to_lowercase().strip_prefix("content-length:") {
            length = value.trim().parse().unwrap();
        }
        if line == "\r\n" {
            break;
        }
    }
    let mut body = vec![0; length];
    stream.read_exact(&mut body).await.unwrap();
    let request: Value = serde_json::from_slice(&body).unwrap_or_default();
    let method = request.get("method").and_then(Value::as_str).unwrap_or_default();
    match answer(method, &request) {
        Some(bytes) => {
            let _ = stream.write_all(bytes.as_bytes()).await;
            let _ = stream.shutdown().await;
        }
        // Silence lasts until the client gives up.
        None => while stream.read_u8().await.is_ok() {},
    }
}

async fn connect(target: &Target, budgets: Budgets) -> Result<SessionBuddy, CallError> {
    let embedded: Embedded = Arc::new(|_| Err("not part of this test".to_owned()));
    SessionBuddy::connect_within(target, &embedded, budgets).await
}

async fn start_with(
    bytes: impl Fn(&Value) -> Option<String> + Send + Sync + 'static,
    budgets: Budgets,
) -> Result<String, CallError> {
    let server = serve(calls_get(bytes)).await;
    connect(&server.target, budgets).await.unwrap().track_start(START).await
}

#[track_caller]
fn check_error(error: &CallError, outcome: Outcome, retry_after_ms: Option<u64>, part_of_message: &str) {
    assert_eq!((error.outcome, error.retry_after_ms), (outcome, retry_after_ms), "{error}");
    assert!(error.message.contains(part_of_message), "{error}");
}

fn tracked(request: &Value) -> String {
    frame(&tool_result(json!({"session_id": "http-1", "status": "tracked"})), request).unwrap()
}

#[tokio::test]
async fn an_answer_is_taken_as_json_and_as_an_event() {
    let id = start_with(|request| Some(json_body(&tracked(request))), PATIENT).await.unwrap();
    assert_eq!(id, "http-1");
    let events = |request: &Value| {
        let note =
            r#"{"jsonrpc":"2.0","method":"notifications/message","params":{"level":"info","data":"hi"}}"#;
        let body = format!(
            ": ping\n\nevent: message\ndata: {note}\n\nevent: message\ndata: {}\n\n",
            tracked(request)
        );
        Some(http("200 OK", "Content-Type: text/event-stream\r\n", &body))
    };
    assert_eq!(start_with(events, PATIENT).await.unwrap(), "http-1");
}

#[tokio::test]
async fn refusals_by_status_keep_their_meaning_and_their_wait() {
    for (status, headers, outcome, wait_ms) in [
        ("401 Unauthorized", "", Outcome::Unauthorized, None),
        ("401 Unauthorized", "WWW-Authenticate: Bearer\r\n", Outcome::Unauthorized, None),
        ("403 Forbidden", "", Outcome::Unauthorized, None),
        ("429 Too Many Requests", "Retry-After: 7\r\n", Outcome::Overloaded, Some(7_000)),
        ("503 Service Unavailable", "Retry-After: 9\r\n", Outcome::Overloaded, Some(9_000)),
        ("503 Service Unavailable", "", Outcome::Overloaded, None),
        ("500 Internal Server Error", "", Outcome::ServerError, None),
        ("502 Bad Gateway", "", Outcome::ServerError, None),
        ("413 Content Too Large", "", Outcome::Refused, None),
        ("404 Not Found", "", Outcome::Garbled, None),
    ] {
        let answer = http(status, headers, "<html>no</html>");
        let error = start_with(move |_| Some(answer.clone()), PATIENT).await.unwrap_err();
        check_error(&error, outcome, wait_ms, status.split(' ').next().unwrap());
    }
}

#[tokio::test]
async fn a_wait_may_be_given_as_a_date() {
    let in_90_s = std::time::SystemTime::now() + std::time::Duration::from_secs(90);
    let seconds = in_90_s.duration_since(std::time::UNIX_EPOCH).unwrap().as_secs();
    let date = chrono::DateTime::from_timestamp(i64::try_from(seconds).unwrap(), 0).unwrap();
    let headers = format!("Retry-After: {}\r\n", date.format("%a, %d %b %Y %H:%M:%S GMT"));
    let answer = http("503 Service Unavailable", &headers, "");
    let error = start_with(move |_| Some(answer.clone()), PATIENT).await.unwrap_err();
    assert_eq!(error.outcome, Outcome::Overloaded, "{error}");
    assert!(error.retry_after_ms.is_some_and(|ms| (30_000..=90_000).contains(&ms)), "{error:?}");
}

#[tokio::test]
async fn a_wait_is_honoured_beside_a_json_rpc_error_too() {
    let busy = |request: &Value| {
        let body = frame(&Reply::Error(-32603, "busy"), request).unwrap();
        Some(http("503 Service Unavailable", "Content-Type: application/json\r\nRetry-After: 3\r\n", &body))
    };
    check_error(&start_with(busy, PATIENT).await.unwrap_err(), Outcome::Overloaded, Some(3_000), "busy");
}

#[tokio::test]
async fn a_json_rpc_error_behind_a_bad_request_is_understood() {
    let invalid = |request: &Value| {
        let body = frame(&Reply::Error(-32602, "pid must be positive"), request).unwrap();
        Some(http("400 Bad Request", "Content-Type: application/json\r\n", &body))
    };
    check_error(
        &start_with(invalid, PATIENT).await.unwrap_err(),
        Outcome::Refused,
        None,
        "pid must be positive",
    );
}

#[tokio::test]
async fn connecting_tells_why_it_failed() {
    for (status, headers, outcome, wait_ms) in [
        ("401 Unauthorized", "", Outcome::Unauthorized, None),
        ("403 Forbidden", "", Outcome::Unauthorized, None),
        ("429 Too Many Requests", "Retry-After: 2\r\n", Outcome::Overloaded, Some(2_000)),
        ("503 Service Unavailable", "Retry-After: 2\r\n", Outcome::Overloaded, Some(2_000)),
        ("500 Internal Server Error", "", Outcome::ServerError, None),
    ] {
        let bytes = http(status, headers, "");
        let server = serve(Arc::new(move |_, _| Some(bytes.clone()))).await;
        let error = refusal(connect(&server.target, PATIENT).await);
        check_error(&error, outcome, wait_ms, status.split(' ').next().unwrap());
    }
}

#[tokio::test]
async fn a_closed_port_is_unreachable_and_the_message_names_no_url() {
    let port = TcpListener::bind(("127.0.0.1", 0)).await.unwrap().local_addr().unwrap().port();
    let target = Target::Http { url: format!("http://ada:secret@127.0.0.1:{port}/mcp?key=hidden") };
    let error = refusal(connect(&target, PATIENT).await);
    check_error(&error, Outcome::Unreachable, None, "refused");
    assert!(!error.message.contains("secret") && !error.message.contains("hidden"), "{error}");
}

#[tokio::test]
async fn a_url_that_is_none_or_of_another_scheme_is_told() {
    for url in ["", "nonsense", "file:///etc/passwd", "ftp://127.0.0.1/mcp"] {
        let error = refusal(connect(&Target::Http { url: url.to_owned() }, PATIENT).await);
        check_error(&error, Outcome::Unreachable, None, "the URL of Session-Buddy");
    }
}

#[tokio::test]
async fn a_redirect_is_not_followed_and_told() {
    let elsewhere = serve(Arc::new(|_, _| None)).await;
    let Target::Http { url } = &elsewhere.target else { unreachable!() };
    let location = format!("Location: {url}\r\n");
    let redirect = move |_: &Value| Some(http("307 Temporary Redirect", &location, ""));
    let error = start_with(redirect, PATIENT).await.unwrap_err();
    check_error(&error, Outcome::Garbled, None, "307");
    assert!(error.message.contains(&format!("leads to {url} instead")), "{error}");
    assert_eq!(elsewhere.connections.load(Ordering::SeqCst), 0);
    let relative = |_: &Value| Some(http("308 Permanent Redirect", "Location: /other/?token=hidden\r\n", ""));
    let error = start_with(relative, PATIENT).await.unwrap_err();
    assert!(error.message.contains("/other/ instead") && !error.message.contains("hidden"), "{error}");
}

#[tokio::test]
async fn what_is_no_mcp_answer_is_garbled() {
    let wrong_id = json!({"jsonrpc": "2.0", "id": 4711, "result": {}}).to_string();
    for answer in [
        http("200 OK", "Content-Type: text/html\r\n", "<html>welcome</html>"),
        http("200 OK", "", "tracked"),
        json_body("{\"status\": \"tracked\"}"),
        json_body("not JSON"),
        json_body(""),
        json_body(&wrong_id),
    ] {
        let error = start_with(move |_| Some(answer.clone()), PATIENT).await.unwrap_err();
        check_error(&error, Outcome::Garbled, None, "");
    }
}

#[tokio::test]
async fn an_answer_that_is_too_large_is_garbled() {
    let huge = |request: &Value| Some(json_body(&format!("{}{}", tracked(request), " ".repeat(9 << 20))));
    check_error(&start_with(huge, PATIENT).await.unwrap_err(), Outcome::Garbled, None, "too large");
}

#[tokio::test]
async fn an_answer_that_breaks_off_is_a_failure_and_no_success() {
    let cut = |request: &Value| {
        let whole = json_body(&tracked(request));
        whole.get(..whole.len() - 20).map(str::to_owned)
    };
    check_error(&start_with(cut, PATIENT).await.unwrap_err(), Outcome::Unreachable, None, "");
    let nothing = |_: &Value| Some(String::new());
    check_error(&start_with(nothing, PATIENT).await.unwrap_err(), Outcome::Unreachable, None, "");
}

#[tokio::test]
async fn a_stream_of_events_that_ends_without_an_answer_is_a_failure() {
    let empty = |_: &Value| Some(http("200 OK", "Content-Type: text/event-stream\r\n", ": nothing\n\n"));
    let error = start_with(empty, HASTY).await.unwrap_err();
    assert!(!matches!(error.outcome, Outcome::Delivered | Outcome::Refused), "{error:?}");
}

#[tokio::test]
async fn silence_times_out() {
    check_error(&start_with(|_| None, HASTY).await.unwrap_err(), Outcome::TimedOut, None, "300 ms");
}

#[tokio::test]
async fn a_forgotten_session_is_opened_again_within_the_call() {
    let sessions = Arc::new(AtomicUsize::new(0));
    let forgotten = Arc::new(Mutex::new(true));
    let opened = sessions.clone();
    let answer: Answer = Arc::new(move |method, request| match method {
        "initialize" => {
            let id = opened.fetch_add(1, Ordering::SeqCst);
            let headers = format!("Content-Type: application/json\r\nMcp-Session-Id: s{id}\r\n");
            Some(http("200 OK", &headers, &frame(&handshake(method), request).unwrap()))
        }
        "tools/call" if std::mem::take(&mut *forgotten.lock().unwrap()) => {
            Some(http("404 Not Found", "", "Session not found"))
        }
        "tools/call" => Some(json_body(&tracked(request))),
        method => {
            by_script(&(Arc::new(|method: &str, _: &Value| handshake(method)) as Script), method, request)
        }
    });
    let server = serve(answer).await;
    let connection = connect(&server.target, PATIENT).await.unwrap();
    assert_eq!(connection.track_start(START).await.unwrap(), "http-1");
    assert_eq!(sessions.load(Ordering::SeqCst), 2);
}

#[tokio::test]
async fn an_older_server_that_rejects_the_question_by_status_is_spoken_with() {
    let answer: Answer = Arc::new(|method, request| match method {
        "server/discover" => Some(http("400 Bad Request", "", "Bad Request: Missing session ID")),
        "tools/call" => Some(json_body(&tracked(request))),
        method => {
            by_script(&(Arc::new(|method: &str, _: &Value| handshake(method)) as Script), method, request)
        }
    });
    let server = serve(answer).await;
    let connection = connect(&server.target, PATIENT).await.unwrap();
    assert_eq!(connection.track_start(START).await.unwrap(), "http-1");
}
