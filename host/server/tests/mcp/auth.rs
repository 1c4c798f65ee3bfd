//! Who is let in over HTTP, and who is not.

use std::collections::BTreeSet;
use std::num::NonZeroU32;
use std::path::Path;
use std::sync::Arc;

use serde_json::{Value, json};
use shelltrack_access::{Key, Keyring, Scopes, now_s};
use shelltrack_server::{Access, Listen, RateLimits};
use tempfile::TempDir;

use crate::http::{Http, listen};
use crate::{Fixture, end, start};

const SECRET: &str = "0123456789abcdef0123456789abcdef";

struct Guarded {
    fixture: Fixture,
    keys: TempDir,
    http: Http,
}

impl Guarded {
    async fn start() -> Self {
        Self::limited(RateLimits::default()).await
    }

    async fn limited(rates: RateLimits) -> Self {
        let (fixture, keys) = (Fixture::new(), tempfile::tempdir().unwrap());
        let ring = Keyring::open_or_create(keys.path(), Some(SECRET)).unwrap();
        let listen = Listen { rates, ..listen("127.0.0.1:0", Access::Guarded(Arc::new(ring))) };
        let http = Http::listening(fixture.server(), listen).await;
        Self { fixture, keys, http }
    }

    /// The whole answer to a call of a tool.
    async fn call(&self, tool: &str, arguments: &Value, token: Option<&str>) -> String {
        let message = json!({"jsonrpc": "2.0", "id": 1, "method": "tools/call", "params": {"name": tool, "arguments": arguments}});
        self.send(&message, token.map(|token| format!("Authorization: Bearer {token}\r\n"))).await
    }

    async fn send(&self, message: &Value, header: Option<String>) -> String {
        let headers =
            format!("Host: 127.0.0.1:{}\r\n{}", self.http.address.port(), header.unwrap_or_default());
        self.http.answer("/mcp", &headers, &message.to_string()).await
    }

    /// The structured content of an answer that was let in.
    async fn ask(&self, tool: &str, arguments: &Value, token: &str) -> Value {
        let answer = self.call(tool, arguments, Some(token)).await;
        assert!(answer.starts_with("HTTP/1.1 200 "), "{answer}");
        let body = answer.split_once("\r\n\r\n").unwrap().1;
        let json = &body[body.find('{').unwrap()..=body.rfind('}').unwrap()];
        serde_json::from_str::<Value>(json).unwrap()["result"]["structuredContent"].clone()
    }
}

fn token(scopes: &[&str]) -> String {
    let key = Key::from_secret(SECRET).unwrap();
    key.mint("ada", Scopes::named(scopes.iter().copied()), 300, now_s()).unwrap()
}

#[tokio::test]
async fn every_tool_but_health_check_wants_a_token() {
    let guarded = Guarded::start().await;
    for tool in [
        "track_session_start",
        "track_session_end",
        "track_session_activity",
        "list_sessions",
        "show_session",
        "session_stats",
        "no_such_tool",
    ] {
        let answer = guarded.call(tool, &json!({}), None).await;
        assert!(answer.starts_with("HTTP/1.1 401 "), "{tool}: {answer}");
        let challenge =
            answer.lines().find(|line| line.to_lowercase().starts_with("www-authenticate:")).unwrap();
        assert!(challenge.contains("Bearer realm=") && !challenge.contains("error="), "{challenge}");
    }
    for method in ["resources/list", "resources/read"] {
        let message = json!({"jsonrpc": "2.0", "id": 1, "method": method, "params": {"uri": "session://x"}});
        assert!(guarded.send(&message, None).await.starts_with("HTTP/1.1 401 "), "{method}");
    }
    guarded.http.stop().await;
}

#[tokio::test]
async fn who_has_no_token_learns_whether_the_server_works_and_nothing_of_its_sessions() {
    let guarded = Guarded::start().await;
    let told = guarded.call("health_check", &json!({}), None).await;
    assert!(told.contains("\"status\":\"ok\"") && told.contains("\"version\":"), "{told}");
    for secret in ["sessions_total", "sessions_active", "store", "store_reachable"] {
        assert!(told.contains(&format!("\"{secret}\":null")), "{secret}: {told}");
    }
    let tracker = guarded.ask("health_check", &json!({}), &token(&["track"])).await;
    assert_eq!(tracker["sessions_total"], Value::Null);
    let reader = guarded.ask("health_check", &json!({}), &token(&["read"])).await;
    assert_eq!((&reader["sessions_total"], &reader["store_reachable"]), (&json!(0), &json!(true)));
    guarded.http.stop().await;
}

#[tokio::test]
async fn a_refusal_has_the_id_of_its_request() {
    let guarded = Guarded::start().await;
    let list =
        json!({"jsonrpc": "2.0", "id": "mine", "method": "tools/call", "params": {"name": "list_sessions"}});
    for header in [None, Some("Authorization: Bearer junk\r\n".to_owned())] {
        let answer = guarded.send(&list, header).await;
        assert!(answer.starts_with("HTTP/1.1 401 ") && answer.contains("\"id\":\"mine\""), "{answer}");
    }
    guarded.http.stop().await;
}

#[tokio::test]
async fn a_valid_token_is_taken_from_the_header_and_from_the_argument() {
    let guarded = Guarded::start().await;
    let started = guarded.ask("track_session_start", &start(1), &token(&["write"])).await;
    assert_eq!(started["status"], "tracked");
    let mut arguments = end(&started["session_id"], 2);
    arguments["token"] = json!(token(&["track"]));
    let answer = guarded.call("track_session_end", &arguments, None).await;
    assert!(answer.starts_with("HTTP/1.1 200 ") && answer.contains("\"ended\""), "{answer}");
    let stored = std::fs::read(&guarded.fixture.path).unwrap();
    let header = token(&["track"]).split('.').next().unwrap().to_owned();
    assert!(!stored.windows(header.len()).any(|window| window == header.as_bytes()), "no token is stored");
    guarded.http.stop().await;
}

#[tokio::test]
async fn a_token_without_the_scope_is_forbidden_and_told_which_one_it_lacks() {
    let guarded = Guarded::start().await;
    let answer = guarded.call("track_session_start", &start(1), Some(&token(&["read"]))).await;
    assert!(answer.starts_with("HTTP/1.1 403 "), "{answer}");
    assert!(
        answer.contains("error=\"insufficient_scope\"") && answer.contains("scope=\"track\""),
        "{answer}"
    );
    let answer = guarded.call("list_sessions", &json!({}), Some(&token(&["track"]))).await;
    assert!(answer.contains("scope=\"read\""), "{answer}");
    assert_eq!(guarded.ask("list_sessions", &json!({}), &token(&["read"])).await["count"], 0);
    guarded.http.stop().await;
}

#[tokio::test]
async fn a_token_that_is_not_accepted_opens_nothing_and_is_not_repeated() {
    let guarded = Guarded::start().await;
    let other = Key::from_secret("another secret of sufficient length").unwrap();
    let forged = other.mint("ada", Scopes::ALL, 300, now_s()).unwrap();
    let expired = Key::from_secret(SECRET).unwrap().mint("ada", Scopes::ALL, 300, now_s() - 1000).unwrap();
    let none = "eyJhbGciOiJub25lIn0.eyJpc3MiOiJzaGVsbHRyYWNrIn0.";
    for bad in [forged.as_str(), &expired, none, "very-secret-junk", &"x".repeat(5000)] {
        for tool in ["track_session_start", "health_check"] {
            let answer = guarded.call(tool, &json!({}), Some(bad)).await;
            assert!(
                answer.starts_with("HTTP/1.1 401 ") && answer.contains("error=\"invalid_token\""),
                "{answer}"
            );
            assert!(!answer.contains(&bad[bad.len() - 8..]), "{answer}");
        }
        let by_argument = guarded.call("track_session_start", &json!({"token": bad}), None).await;
        assert!(by_argument.starts_with("HTTP/1.1 401 "), "{by_argument}");
    }
    for header in [
        "Authorization: Basic YTpi\r\n",
        "Authorization: Bearer\r\n",
        "Authorization: Bearer a\r\nAuthorization: Bearer b\r\n",
    ] {
        let message = json!({"jsonrpc": "2.0", "id": 1, "method": "ping"});
        assert!(guarded.send(&message, Some(header.into())).await.starts_with("HTTP/1.1 401 "), "{header}");
    }
    guarded.http.stop().await;
}

#[tokio::test]
async fn two_readings_of_one_message_do_not_get_past_the_door() {
    let guarded = Guarded::start().await;
    let host = format!("Host: 127.0.0.1:{}\r\n", guarded.http.address.port());
    let (health, list) = (
        r#""params":{"name":"health_check","arguments":{}}"#,
        r#""params":{"name":"list_sessions","arguments":{}}"#,
    );
    for (first, second) in [(health, list), (list, health)] {
        let body = format!(r#"{{"jsonrpc":"2.0","id":1,"method":"tools/call",{first},{second}}}"#);
        let answer = guarded.http.answer("/mcp", &host, &body).await;
        assert!(!answer.contains("next_cursor"), "{answer}");
    }
    guarded.http.stop().await;
}

#[tokio::test]
async fn a_proven_identity_ends_only_what_it_began() {
    let guarded = Guarded::start().await;
    let mint = |name: &str| {
        let directory = tempfile::tempdir().unwrap();
        let ring = Keyring::open(directory.path(), None).unwrap();
        let public = ring.add_identity(name, Scopes::ALL).unwrap();
        write_key(guarded.keys.path(), &public.kid, &public.jwk);
        ring.signing_key(true).unwrap().mint(name, Scopes::ALL, 300, now_s()).unwrap()
    };
    let (engine, mill) = (mint("engine"), mint("mill"));
    let id = guarded.ask("track_session_start", &start(1), &engine).await["session_id"].clone();
    for stranger in [mill, token(&["track"])] {
        let refused = guarded.ask("track_session_end", &end(&id, 2), &stranger).await;
        assert_eq!(refused["status"], "error", "{refused}");
        assert!(refused["error"].as_str().unwrap().contains("another identity"), "{refused}");
        let renewal = json!({"session_ids": [id], "timestamp": "2024-11-20T09:19:59Z"});
        assert_eq!(guarded.ask("track_session_activity", &renewal, &stranger).await["unknown"], json!([id]));
    }
    let shown = guarded.ask("show_session", &json!({"session_id": id}), &engine).await;
    assert_eq!(
        (&shown["session"]["state"], &shown["session"]["owner"]),
        (&json!("active"), &json!("engine"))
    );
    assert_eq!(guarded.ask("track_session_end", &end(&id, 2), &engine).await["status"], "ended");
    guarded.http.stop().await;
}

#[tokio::test]
async fn metrics_want_a_token_that_may_read() {
    let guarded = Guarded::start().await;
    let host = format!("Host: 127.0.0.1:{}\r\n", guarded.http.address.port());
    let with = |scopes: &[&str]| format!("{host}Authorization: Bearer {}\r\n", token(scopes));
    for (headers, status) in [(host.clone(), "401"), (with(&["track"]), "403"), (with(&["read"]), "200")] {
        let answer = guarded.http.get("/metrics", &headers).await;
        assert!(answer.starts_with(&format!("HTTP/1.1 {status} ")), "{answer}");
    }
    guarded.http.stop().await;
}

fn write_key(directory: &Path, kid: &str, jwk: &str) {
    std::fs::write(directory.join(format!("{kid}.jwk")), jwk).unwrap();
}

#[tokio::test]
async fn a_flood_is_answered_with_when_to_come_again() {
    let rates = RateLimits { unknown: NonZeroU32::MIN, ..RateLimits::default() };
    let guarded = Guarded::limited(rates).await;
    let ping = json!({"jsonrpc": "2.0", "id": 1, "method": "ping"});
    let mut answer = String::new();
    // Ten at once and one more every second: even a machine that is very slow asks faster than that.
    for _ in 0..1000 {
        answer = guarded.send(&ping, None).await;
        if answer.starts_with("HTTP/1.1 429 ") {
            break;
        }
    }
    assert!(
        answer.starts_with("HTTP/1.1 429 ") && answer.to_lowercase().contains("retry-after:"),
        "{answer}"
    );
    let known = guarded.ask("list_sessions", &json!({}), &token(&["read"])).await;
    assert_eq!(known["count"], 0, "who has a token is not held up by who has none");
    guarded.http.stop().await;
}

#[tokio::test]
async fn who_sends_no_proper_token_is_counted_too() {
    let rates = RateLimits { unknown: NonZeroU32::MIN, ..RateLimits::default() };
    let guarded = Guarded::limited(rates).await;
    let ping = json!({"jsonrpc": "2.0", "id": 1, "method": "ping"});
    let mut told = BTreeSet::new();
    for number in 0..1000 {
        let header = ["Basic YTpi", "Bearer", "Bearer junk"][number % 3];
        let answer = guarded.send(&ping, Some(format!("Authorization: {header}\r\n"))).await;
        told.insert(answer.split(' ').nth(1).unwrap_or_default().to_owned());
        if told.len() > 1 {
            break;
        }
    }
    assert_eq!(told.iter().collect::<Vec<_>>(), ["401", "429"]);
    guarded.http.stop().await;
}

#[tokio::test]
async fn over_a_pipe_a_token_that_is_sent_must_be_right_where_there_are_keys() {
    let fixture = Fixture::new();
    let keys = tempfile::tempdir().unwrap();
    let ring = Arc::new(Keyring::open(keys.path(), Some(SECRET)).unwrap());
    let reader = fixture.server().with_keys(Arc::clone(&ring), Some(&token(&["read"]))).unwrap();
    let client = crate::serve_client(reader).await;
    let refused = crate::call(&client, "track_session_start", start(1)).await.unwrap();
    assert_eq!(refused.is_error, Some(true));
    assert_eq!(crate::ask(&client, "list_sessions", json!({})).await["count"], 0);
    let with_token = |token: &str| crate::with(start(1), "token", json!(token));
    assert_eq!(
        crate::ask(&client, "track_session_start", with_token(&token(&["track"]))).await["status"],
        "tracked"
    );
    let forged = crate::call(&client, "track_session_start", with_token("junk")).await.unwrap();
    assert_eq!(forged.is_error, Some(true));
    assert!(fixture.server().with_keys(ring, Some("junk")).is_err());
}
