//! Odd HTTP: methods, paths, pages of browsers, numbers, and a server that is told to stop.

use serde_json::{Value, json};
use shelltrack_server::{Access, Error, Listen};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio_util::sync::CancellationToken;

use crate::http::{Http, listen};
use crate::{Fixture, PATIENCE, start, with};

const PING: &str = r#"{"jsonrpc":"2.0","id":1,"method":"ping"}"#;

/// The value of a header of an answer.
fn header<'a>(answer: &'a str, name: &str) -> Option<&'a str> {
    let head = answer.split("\r\n\r\n").next().unwrap_or_default();
    let fields = head.lines().filter_map(|line| line.split_once(": "));
    fields.into_iter().find(|(field, _)| field.eq_ignore_ascii_case(name)).map(|(_, value)| value)
}

/// The JSON of an answer.
#[track_caller]
fn body(answer: &str) -> Value {
    serde_json::from_str(answer.split_once("\r\n\r\n").unwrap().1).unwrap()
}

async fn with_pages(fixture: &Fixture) -> (Http, String) {
    let origins = vec!["https://admin.example".to_owned()];
    let http =
        Http::listening(fixture.server(), Listen { origins, ..listen("127.0.0.1:0", Access::Open) }).await;
    let host = format!("Host: LocalHost:{}\r\n", http.address.port());
    (http, host)
}

#[tokio::test]
async fn pages_that_may_call_are_told_so_and_others_are_not() {
    let fixture = Fixture::new();
    let (http, host) = with_pages(&fixture).await;
    let preflight = |page: &str| {
        format!(
            "{host}Origin: {page}\r\nAccess-Control-Request-Method: POST\r\n\
             Access-Control-Request-Headers: authorization,content-type,mcp-protocol-version\r\n"
        )
    };
    let told = http.ask("OPTIONS", "/mcp", &preflight("https://admin.example")).await;
    assert!(told.starts_with("HTTP/1.1 200 "), "{told}");
    assert_eq!(header(&told, "access-control-allow-origin"), Some("https://admin.example"));
    assert!(header(&told, "access-control-allow-methods").unwrap().contains("POST"), "{told}");
    let sent = header(&told, "access-control-allow-headers").unwrap().to_lowercase();
    for name in ["authorization", "content-type", "mcp-session-id", "mcp-protocol-version", "mcp-method"] {
        assert!(sent.split(',').any(|header| header.trim() == name), "{name}: {sent}");
    }
    let answer = http.answer("/mcp", &format!("{host}Origin: https://admin.example\r\n"), PING).await;
    assert!(answer.starts_with("HTTP/1.1 200 "), "{answer}");
    assert_eq!(header(&answer, "access-control-allow-origin"), Some("https://admin.example"));
    let read = header(&answer, "access-control-expose-headers").unwrap();
    assert!(read.contains("mcp-session-id") && read.contains("www-authenticate"), "{read}");

    let foreign = http.ask("OPTIONS", "/mcp", &preflight("https://evil.example")).await;
    assert!(foreign.starts_with("HTTP/1.1 403 "), "{foreign}");
    assert_eq!(header(&foreign, "access-control-allow-origin"), None);
    assert!(foreign.contains("--allow-origin"), "{foreign}");
    http.stop().await;
}

#[tokio::test]
async fn a_foreign_host_is_told_what_lets_it_in() {
    let fixture = Fixture::new();
    let http = Http::listening(fixture.server(), listen("127.0.0.1:0", Access::Open)).await;
    for path in ["/mcp", "/metrics"] {
        let answer = http.answer(path, "Host: sessions.example\r\n", PING).await;
        assert!(answer.starts_with("HTTP/1.1 403 ") && answer.contains("--allow-host"), "{answer}");
    }
    let mut named = listen("127.0.0.1:0", Access::Open);
    named.hosts = vec!["https://sessions.example".into()];
    let refused =
        fixture.server().serve_http(named, |_| panic!("it must not listen"), CancellationToken::new());
    assert!(matches!(refused.await, Err(Error::Misnamed(told)) if told.contains("sessions.example")));
    http.stop().await;
}

#[tokio::test]
async fn other_methods_and_paths_are_told_apart() {
    let fixture = Fixture::new();
    let (http, host) = with_pages(&fixture).await;
    for (method, path, status, allowed) in [
        ("GET", "/mcp", "405", Some("POST")),
        ("DELETE", "/mcp", "405", Some("POST")),
        ("PUT", "/mcp", "405", Some("POST")),
        ("BREW", "/mcp", "405", Some("POST")),
        ("PUT", "/metrics", "405", Some("GET,HEAD")),
        ("GET", "/metrics", "200", None),
        ("GET", "/.well-known/oauth-protected-resource", "404", None),
        ("PUT", "/mcp/", "404", None),
    ] {
        let answer = http.ask(method, path, &host).await;
        assert!(answer.starts_with(&format!("HTTP/1.1 {status} ")), "{method} {path}: {answer}");
        assert_eq!(header(&answer, "allow"), allowed, "{method} {path}");
    }
    let junk = http.answer("/register", &host, "junk").await;
    assert!(junk.starts_with("HTTP/1.1 404 ") && junk.contains("/mcp"), "{junk}");
    http.stop().await;
}

#[tokio::test]
async fn a_message_that_says_it_is_too_large_is_not_waited_for() {
    let fixture = Fixture::new();
    let (http, host) = with_pages(&fixture).await;
    let head = format!("POST /mcp HTTP/1.1\r\n{host}Content-Length: 99999999999\r\n\r\n{{");
    let answer = http.exchange(&head).await;
    assert!(answer.starts_with("HTTP/1.1 413 ") && answer.contains("1 MiB"), "{answer}");
    assert_eq!(header(&answer, "connection"), Some("close"));
    http.stop().await;
}

#[tokio::test]
async fn whoever_takes_json_is_answered() {
    let fixture = Fixture::new();
    let (http, host) = with_pages(&fixture).await;
    for (accepted, status) in [
        ("", "200"),
        ("Accept: */*\r\n", "200"),
        ("Accept: application/json\r\n", "200"),
        ("Accept: text/html, Application/JSON;q=0.5\r\n", "200"),
        ("Accept: text/html\r\n", "406"),
    ] {
        let headers =
            format!("{host}Content-Type: application/json\r\n{accepted}Content-Length: {}\r\n", PING.len());
        let answer =
            http.exchange(&format!("POST /mcp HTTP/1.1\r\n{headers}Connection: close\r\n\r\n{PING}")).await;
        assert!(answer.starts_with(&format!("HTTP/1.1 {status} ")), "{accepted}{answer}");
    }
    http.stop().await;
}

#[tokio::test]
async fn what_mcp_cannot_read_is_answered_as_json_rpc() {
    let fixture = Fixture::new();
    let (http, host) = with_pages(&fixture).await;
    for (message, id) in [
        (r#"{"jsonrpc":"2.0","id":7,"method":"tools/call","params":[]}"#, json!(7)),
        (
            r#"{"jsonrpc":"2.0","id":18446744073709551615,"method":"ping"}"#,
            json!(18_446_744_073_709_551_615_u64),
        ),
        (r#"{"jsonrpc":"2.0","id":18446744073709551616,"method":"ping"}"#, Value::Null),
        (r#"{"jsonrpc":"2.0","id":7,"method":"ping","params":{"n":-9223372036854775809}}"#, json!(7)),
    ] {
        let answer = http.answer("/mcp", &host, message).await;
        assert!(answer.starts_with("HTTP/1.1 400 "), "{answer}");
        assert_eq!(
            (&body(&answer)["error"]["code"], &body(&answer)["id"]),
            (&json!(-32600), &id),
            "{answer}"
        );
    }
    let unknown = r#"{"jsonrpc":"2.0","id":1,"method":"tools/call","params":{"name":"nope"}}"#;
    assert!(http.answer("/mcp", &host, unknown).await.contains("tools/list"));
    http.stop().await;
}

#[tokio::test]
async fn numbers_come_back_as_they_were_sent() {
    let fixture = Fixture::new();
    let client = fixture.client().await;
    // Numbers that differ when they are read almost exactly, and the ends of what 64 bits hold.
    let numbers = json!([
        22192817569031.766,
        0.0016481825940199157,
        5.059537757104153e-10,
        1.0,
        -0.0,
        5e-324,
        1.7976931348623157e308,
        u64::MAX,
        i64::MIN,
        0.1,
        1e23,
        9007199254740993_u64
    ]);
    let mut seed = 88_172_645_463_325_252_u64;
    let many: Vec<f64> = std::iter::repeat_with(|| {
        seed ^= seed << 13;
        seed ^= seed >> 7;
        seed ^= seed << 17;
        f64::from_bits(seed)
    })
    .filter(|number| number.is_finite())
    .take(500)
    .collect();
    let metadata = json!({"numbers": numbers, "many": many});
    let started =
        crate::ask(&client, "track_session_start", with(start(1), "metadata", metadata.clone())).await;
    let shown = crate::ask(&client, "show_session", json!({"session_id": started["session_id"]})).await;
    assert_eq!(shown["session"]["metadata"], metadata);
}

#[tokio::test]
async fn calls_under_way_are_answered_when_the_server_is_told_to_stop_and_nobody_else_is_let_in() {
    let fixture = Fixture::new();
    let (http, host) = with_pages(&fixture).await;
    let other = shelltrack_tests::store::lock(&fixture.path);
    let message = json!({"jsonrpc": "2.0", "id": 1, "method": "tools/call", "params": {
        "name": "track_session_start", "arguments": start(1)}})
    .to_string();
    let mut calling = http.connect().await;
    let head = format!(
        "POST /mcp HTTP/1.1\r\n{host}Content-Type: application/json\r\nConnection: close\r\n\
         Expect: 100-continue\r\nContent-Length: {}\r\n\r\n",
        message.len()
    );
    calling.write_all(head.as_bytes()).await.unwrap();
    // Whoever is asked for the message is let in.
    let mut go_on = [0; 25];
    tokio::time::timeout(PATIENCE, calling.read_exact(&mut go_on)).await.unwrap().unwrap();
    assert_eq!(&go_on, b"HTTP/1.1 100 Continue\r\n\r\n");
    calling.write_all(message.as_bytes()).await.unwrap();
    http.tell_to_stop();
    let deadline = tokio::time::Instant::now() + PATIENCE;
    while tokio::net::TcpStream::connect(http.address).await.is_ok() {
        assert!(tokio::time::Instant::now() < deadline, "it still listens");
        tokio::task::yield_now().await;
    }
    drop(other); // now the store goes on
    let answer = Http::rest(&mut calling).await;
    assert!(answer.starts_with("HTTP/1.1 200 ") && answer.contains("\"tracked\""), "{answer}");
    http.stop().await;
}

#[tokio::test]
async fn a_token_that_is_no_text_is_refused_by_its_field_and_rule() {
    let fixture = Fixture::new();
    let client = fixture.client().await;
    let end = json!({"session_id": "s", "timestamp": "2024-11-20T09:20:00Z"});
    let seen = json!({"session_ids": ["s"], "timestamp": "2024-11-20T09:20:00Z"});
    let events =
        [("track_session_start", start(1)), ("track_session_end", end), ("track_session_activity", seen)];
    for (tool, arguments) in events {
        for token in [json!(5), json!(true), json!(["hunter2x"]), json!({"hunter2x": 1})] {
            let answer = crate::ask(&client, tool, with(arguments.clone(), "token", token)).await;
            assert_eq!(answer["violations"].as_array().map(Vec::len), Some(1), "{tool}: {answer}");
            let broken = &answer["violations"][0];
            assert_eq!(
                (&broken["field"], &broken["rule"]),
                (&json!("token"), &json!("wrong-type")),
                "{answer}"
            );
            assert!(!answer.to_string().contains("hunter2x"), "{answer}");
        }
    }
    let question = crate::call(&client, "list_sessions", json!({"token": 5})).await.unwrap();
    assert_eq!(question.is_error, Some(true));
    assert!(format!("{:?}", question.content).contains("token: it must be a text or null"), "{question:?}");
    assert_eq!(crate::ask(&client, "list_sessions", json!({"token": null})).await["count"], 0);
}
