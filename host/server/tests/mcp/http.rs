//! What is particular to HTTP: many clients at once, and who is not let in.

use std::collections::BTreeSet;
use std::net::SocketAddr;
use std::sync::Arc;

use rmcp::ServiceExt;
use rmcp::transport::StreamableHttpClientTransport;
use serde_json::json;
use shelltrack_server::{Access, CONNECTIONS_DEFAULT, Error, Listen, RateLimits, Server};
use shelltrack_tests::Exposition;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

use crate::{Client, Fixture, PATIENCE, ask, end, start};

pub(crate) struct Http {
    pub(crate) address: SocketAddr,
    stop: CancellationToken,
    ended: tokio::task::JoinHandle<Result<(), Error>>,
}

impl Http {
    async fn start(server: Server) -> Self {
        Self::listening(server, listen("127.0.0.1:0", Access::Open)).await
    }

    pub(crate) async fn listening(server: Server, listen: Listen) -> Self {
        let (ready, bound) = tokio::sync::oneshot::channel();
        let stop = CancellationToken::new();
        let serving = server.serve_http(listen, move |address| ready.send(address).unwrap(), stop.clone());
        let ended = tokio::spawn(serving);
        Self { address: bound.await.unwrap(), stop, ended }
    }

    async fn client(&self) -> Client {
        let transport = StreamableHttpClientTransport::from_uri(format!("http://{}/mcp", self.address));
        ().serve(transport).await.unwrap()
    }

    pub(crate) async fn stop(self) {
        self.stop.cancel();
        tokio::time::timeout(PATIENCE, self.ended).await.unwrap().unwrap().unwrap();
    }

    /// The status line of the answer to a raw request.
    async fn raw(&self, path: &str, headers: &str, body: &str) -> String {
        self.answer(path, headers, body).await.lines().next().unwrap_or_default().to_owned()
    }

    pub(crate) fn tell_to_stop(&self) {
        self.stop.cancel();
    }

    pub(crate) async fn connect(&self) -> tokio::net::TcpStream {
        tokio::net::TcpStream::connect(self.address).await.unwrap()
    }

    /// What else comes over a connection.
    pub(crate) async fn rest(stream: &mut tokio::net::TcpStream) -> String {
        let mut answer = Vec::new();
        let _reset = tokio::time::timeout(PATIENCE, stream.read_to_end(&mut answer)).await.unwrap();
        String::from_utf8_lossy(&answer).into_owned()
    }

    /// The whole answer to these bytes.
    pub(crate) async fn exchange(&self, request: &str) -> String {
        let mut stream = self.connect().await;
        // The server may answer and close before it has read everything.
        let _early = stream.write_all(request.as_bytes()).await;
        Self::rest(&mut stream).await
    }

    /// The whole answer to a request without a body.
    pub(crate) async fn ask(&self, method: &str, path: &str, headers: &str) -> String {
        self.exchange(&format!("{method} {path} HTTP/1.1\r\n{headers}Connection: close\r\n\r\n")).await
    }

    /// The whole answer to a GET.
    pub(crate) async fn get(&self, path: &str, headers: &str) -> String {
        self.ask("GET", path, headers).await
    }

    /// The whole answer to a message.
    pub(crate) async fn answer(&self, path: &str, headers: &str, body: &str) -> String {
        let length = body.len();
        let request = format!(
            "POST {path} HTTP/1.1\r\n{headers}Content-Type: application/json\r\nConnection: close\r\n\
             Accept: application/json, text/event-stream\r\nContent-Length: {length}\r\n\r\n{body}"
        );
        self.exchange(&request).await
    }
}

pub(crate) fn listen(address: &str, access: Access) -> Listen {
    Listen {
        address: address.parse().unwrap(),
        access,
        hosts: Vec::new(),
        origins: Vec::new(),
        connections: CONNECTIONS_DEFAULT,
        rates: RateLimits::default(),
    }
}

#[tokio::test]
async fn two_hundred_clients_at_once_are_served_over_http() {
    let fixture = Fixture::new();
    let http = Arc::new(Http::start(fixture.server()).await);
    let mut clients = JoinSet::new();
    for number in 0..200 {
        let http = Arc::clone(&http);
        clients.spawn(async move {
            let client = http.client().await;
            let id = ask(&client, "track_session_start", start(number)).await["session_id"].clone();
            assert_eq!(ask(&client, "track_session_end", end(&id, 1000 + number)).await["status"], "ended");
            client.cancel().await.unwrap();
            id.to_string()
        });
    }
    let ids: BTreeSet<String> = clients.join_all().await.into_iter().collect();
    assert_eq!(ids.len(), 200);
    let client = http.client().await;
    let list = ask(&client, "list_sessions", json!({"limit": 1000, "state": "ended"})).await;
    assert_eq!(list["count"], 200);
    Arc::into_inner(http).unwrap().stop().await;
}

#[tokio::test]
async fn http_lets_in_no_foreign_host_no_foreign_page_and_no_flood() {
    let fixture = Fixture::new();
    let http = Http::start(fixture.server()).await;
    let port = http.address.port();
    let host = format!("Host: 127.0.0.1:{port}\r\n");
    let ping = r#"{"jsonrpc":"2.0","id":1,"method":"ping"}"#;
    assert!(http.raw("/mcp", &host, ping).await.contains(" 200 "));
    assert!(http.raw("/elsewhere", &host, ping).await.contains(" 404 "));
    assert!(http.raw("/mcp", "Host: evil.example\r\n", ping).await.contains(" 403 "));
    let foreign = format!("{host}Origin: http://evil.example\r\n");
    assert!(http.raw("/mcp", &foreign, ping).await.contains(" 403 "));
    let own = format!("{host}Origin: http://localhost:{port}\r\n");
    assert!(http.raw("/mcp", &own, ping).await.contains(" 200 "));
    let flood = format!(r#"{{"jsonrpc":"2.0","id":1,"method":"ping","pad":"{}"}}"#, "x".repeat(2 << 20));
    let answer = http.raw("/mcp", &host, &flood).await;
    assert!(answer.contains(" 413 ") || answer.is_empty(), "{answer}");
    http.stop().await;
}

#[tokio::test]
async fn only_loopback_is_served_without_authentication() {
    let fixture = Fixture::new();
    let server = fixture.server();
    let listen = listen("0.0.0.0:0", Access::Open);
    let refused = server.serve_http(listen, |_| panic!("it must not listen"), CancellationToken::new()).await;
    assert!(matches!(refused, Err(Error::NotLoopback(_))), "{refused:?}");
}

#[tokio::test]
async fn what_is_no_message_is_answered_as_json_rpc_wants_it() {
    let fixture = Fixture::new();
    let http = Http::start(fixture.server()).await;
    let host = format!("Host: 127.0.0.1:{}\r\n", http.address.port());
    let deep = format!(
        r#"{{"jsonrpc":"2.0","id":1,"method":"tools/call","params":{{"name":"list_sessions","arguments":{{"a":{}{}}}}}}}"#,
        "[".repeat(500),
        "]".repeat(500)
    );
    for (body, code) in [("{", -32700), (deep.as_str(), -32700), ("[]", -32600), ("{}", -32600)] {
        let answer = http.answer("/mcp", &host, body).await;
        assert!(answer.contains(" 400 ") && answer.contains(&code.to_string()), "{answer}");
    }
    let wrong =
        r#"{"jsonrpc":"2.0","id":1,"method":"tools/call","params":{"name":"list_sessions","arguments":[1]}}"#;
    assert!(http.answer("/mcp", &host, wrong).await.contains("-32602"));
    let unknown = r#"{"jsonrpc":"2.0","id":1,"method":"no/such/method"}"#;
    assert!(http.answer("/mcp", &host, unknown).await.contains("-32601"));
    http.stop().await;
}

/// A connection that has asked once and is kept.
async fn kept(http: &Http) -> tokio::net::TcpStream {
    let mut stream = tokio::net::TcpStream::connect(http.address).await.unwrap();
    let request = format!("GET /elsewhere HTTP/1.1\r\nHost: 127.0.0.1:{}\r\n\r\n", http.address.port());
    stream.write_all(request.as_bytes()).await.unwrap();
    let mut answer = [0; 1024];
    let length = tokio::time::timeout(PATIENCE, stream.read(&mut answer)).await.unwrap().unwrap();
    assert!(answer[..length].starts_with(b"HTTP/1.1 404 "));
    stream
}

#[tokio::test]
async fn connections_that_are_only_kept_give_way_to_new_ones() {
    let fixture = Fixture::new();
    let listen = Listen { connections: 4, ..listen("127.0.0.1:0", Access::Open) };
    let http = Http::listening(fixture.server(), listen).await;
    // More than there is room for: each further one costs the place of the one that was idle longest.
    let mut kept_open = Vec::new();
    for _ in 0..10 {
        kept_open.push(kept(&http).await);
    }
    let mut rest = [0; 1];
    let first = tokio::time::timeout(PATIENCE, kept_open[0].read(&mut rest)).await.unwrap();
    assert_eq!(first.unwrap(), 0, "closed in good order");
    let last = kept_open.last_mut().unwrap();
    let open = last.try_read(&mut rest).is_err_and(|error| error.kind() == std::io::ErrorKind::WouldBlock);
    assert!(open, "the newest is kept");
    http.stop().await;
}

#[tokio::test]
async fn a_slow_client_keeps_nobody_waiting() {
    let fixture = Fixture::new();
    let http = Http::start(fixture.server()).await;
    let mut slow = Vec::new();
    for _ in 0..64 {
        let mut stream = tokio::net::TcpStream::connect(http.address).await.unwrap();
        stream.write_all(b"POST /mcp HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Length: 100\r\n").await.unwrap();
        slow.push(stream);
    }
    let client = http.client().await;
    assert_eq!(ask(&client, "health_check", json!({})).await["status"], "ok");
    // Its head is never complete: the server ends the connection by itself.
    let mut head = slow.pop().unwrap();
    // And here the message: that is told.
    let mut body = unfinished_body(&http).await;
    let (mut answer, mut told) = (Vec::new(), String::new());
    let both = async { tokio::join!(head.read_to_end(&mut answer), body.read_to_string(&mut told)) };
    let _reset = tokio::time::timeout(PATIENCE, both).await.expect("they are cut off in time");
    assert!(told.starts_with("HTTP/1.1 408 "), "{told}");
    http.stop().await;
}

/// A request whose head is there, and of whose body a part is missing.
async fn unfinished_body(http: &Http) -> tokio::net::TcpStream {
    let mut stream = tokio::net::TcpStream::connect(http.address).await.unwrap();
    let head = format!(
        "POST /mcp HTTP/1.1\r\nHost: 127.0.0.1:{}\r\nConnection: close\r\nContent-Length: 100\r\n\r\n{{",
        http.address.port()
    );
    stream.write_all(head.as_bytes()).await.unwrap();
    stream
}

#[tokio::test]
async fn requests_that_do_not_arrive_give_their_places_to_others() {
    let fixture = Fixture::new();
    let listen = Listen { connections: 4, ..listen("127.0.0.1:0", Access::Open) };
    let http = Http::listening(fixture.server(), listen).await;
    // Fifteen seconds each, in four places, would be more than a minute and a half.
    let mut slow = Vec::new();
    for number in 0..28 {
        slow.push(if number % 2 == 0 {
            let mut head = tokio::net::TcpStream::connect(http.address).await.unwrap();
            head.write_all(b"POST /mcp HTTP/1.1\r\nHost: 127").await.unwrap();
            head
        } else {
            unfinished_body(&http).await
        });
    }
    let ping = r#"{"jsonrpc":"2.0","id":1,"method":"ping"}"#;
    let host = format!("Host: 127.0.0.1:{}\r\n", http.address.port());
    assert!(http.raw("/mcp", &host, ping).await.contains(" 200 "));
    http.stop().await;
}

#[tokio::test]
async fn metrics_are_told_to_no_page_and_no_foreign_host() {
    let fixture = Fixture::new();
    let http = Http::start(fixture.server()).await;
    let client = http.client().await;
    let id = ask(&client, "track_session_start", start(1)).await["session_id"].clone();
    ask(&client, "track_session_end", end(&id, 2)).await;
    ask(&client, "track_session_end", end(&json!("nobody"), 3)).await;
    ask(&client, "track_session_start", start(4)).await;
    let host = format!("Host: 127.0.0.1:{}\r\n", http.address.port());
    let answer = http.get("/metrics", &host).await;
    assert!(answer.contains("content-type: text/plain; version=0.0.4"), "{answer}");
    let metrics = Exposition::parse(answer.split_once("\r\n\r\n").unwrap().1);
    assert_eq!(metrics.sum("session_start_total", "component_name=\"mahavishnu\""), 2.0);
    assert_eq!(metrics.sum("session_end_total", "status=\"success\""), 1.0);
    assert_eq!(metrics.sum("session_end_total", "status=\"not_found\""), 1.0);
    assert_eq!(metrics.value("active_sessions{component_name=\"mahavishnu\"}"), 1.0);
    assert_eq!(metrics.value("session_duration_seconds_sum{component_name=\"mahavishnu\"}"), 8.5);
    for (foreign, status) in [
        ("Host: evil.example\r\n".to_owned(), " 403 "),
        (format!("{host}Origin: http://evil.example\r\n"), " 403 "),
    ] {
        let answer = http.get("/metrics", &foreign).await;
        assert!(answer.lines().next().unwrap().contains(status), "{answer}");
    }
    http.stop().await;
}

#[tokio::test]
async fn what_is_not_declared_is_no_method() {
    let fixture = Fixture::new();
    let http = Http::start(fixture.server()).await;
    let host = format!("Host: 127.0.0.1:{}\r\n", http.address.port());
    for method in ["prompts/list", "prompts/get", "completion/complete", "logging/setLevel"] {
        let request = json!({"jsonrpc": "2.0", "id": 1, "method": method, "params": {"level": 7}});
        let answer = http.answer("/mcp", &host, &request.to_string()).await;
        assert!(answer.contains("-32601"), "{method}: {answer}");
    }
    // Since 2026-07-28 nobody shakes hands.
    let stateless = format!("{host}MCP-Protocol-Version: 2026-07-28\r\nMcp-Method: initialize\r\n");
    let request = json!({"jsonrpc": "2.0", "id": 1, "method": "initialize", "params": {"_meta": {
        "io.modelcontextprotocol/protocolVersion": "2026-07-28",
        "io.modelcontextprotocol/clientInfo": {"name": "raw", "version": "1"},
        "io.modelcontextprotocol/clientCapabilities": {}}}});
    let answer = http.answer("/mcp", &stateless, &request.to_string()).await;
    assert!(answer.starts_with("HTTP/1.1 404 ") && answer.contains("-32601"), "{answer}");
    http.stop().await;
}
