//! How many events a server stores durably in a second, and what grouping commits is worth: callers that wait
//! for each other's answer, one commit an event, against many at once, on the same disk in the same run.
//!
//! Events go all the way: MCP, the component in its sandbox, the store, the disk. PostgreSQL is measured as well
//! where a URL of an empty database is given.
//!
//!     cargo run --release -p shelltrack-server --example throughput [EVENTS] [postgres://…]
#![allow(
    clippy::unwrap_used,
    clippy::print_stdout,
    clippy::indexing_slicing,
    reason = "a measurement may end by panic, and prints what it measured"
)]

use std::sync::Arc;
use std::time::Instant;

use rmcp::model::CallToolRequestParams;
use rmcp::service::RunningService;
use rmcp::{RoleClient, ServiceExt};
use serde_json::json;
use shelltrack_sandbox::{Profile, Sandbox};
use shelltrack_server::Server;

/// Callers at once, one connection each: a fleet's agents after an outage.
const CALLERS: usize = 64;

/// Events of a run when nobody says how many.
const EVENTS_DEFAULT: usize = 4_000;

type Client = Arc<RunningService<RoleClient, ()>>;

async fn client(server: &Server) -> Client {
    let (theirs, ours) = tokio::io::duplex(64 << 10);
    tokio::spawn(server.clone().serve_stream(ours));
    Arc::new(().serve(theirs).await.unwrap())
}

async fn start(client: &Client) {
    let event = json!({
        "event_version": "1.0", "event_id": uuid::Uuid::new_v4(), "event_type": "session_start",
        "component_name": "mahavishnu", "shell_type": "MahavishnuShell", "timestamp": "2024-11-20T09:19:52Z",
        "pid": 4711, "user": {"username": "ada", "home": "/home/ada"}, "hostname": "engine",
        "environment": {"python_version": "3.13.0", "platform": "Linux", "cwd": "/srv"},
        "metadata": {"ticket": "T1"},
    });
    let call =
        CallToolRequestParams::new("track_session_start").with_arguments(event.as_object().unwrap().clone());
    let answer = client.call_tool(call).await.unwrap();
    assert_eq!(answer.structured_content.unwrap()["status"], "tracked");
}

/// Events per second with so many callers.
async fn measure(server: &Server, callers: usize, events: usize) -> f64 {
    let mut clients = Vec::new();
    for _ in 0..callers {
        clients.push(client(server).await);
    }
    start(&clients[0]).await;
    let began = Instant::now();
    let work = clients.into_iter().map(|client| {
        tokio::spawn(async move {
            for _ in 0..events / callers {
                start(&client).await;
            }
        })
    });
    for caller in work.collect::<Vec<_>>() {
        caller.await.unwrap();
    }
    (events / callers * callers) as f64 / began.elapsed().as_secs_f64()
}

async fn compare(engine: &str, server: &Server, events: usize) {
    let alone = measure(server, 1, events / 8).await;
    let grouped = measure(server, CALLERS, events).await;
    println!(
        "{engine}: {alone:.0} events/s one after the other (a commit each), {grouped:.0} events/s from \
         {CALLERS} callers at once: {:.1} times",
        grouped / alone
    );
}

#[tokio::main(flavor = "current_thread")]
async fn main() {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let number = arguments.iter().find_map(|argument| argument.parse().ok()).unwrap_or(EVENTS_DEFAULT);
    let sandbox = Arc::new(Sandbox::standard(Profile::Service).unwrap());
    // Not in the temporary directory, which may lie in memory.
    let directory = tempfile::tempdir_in(".").unwrap();
    let server = Server::open(&directory.path().join("sessions.db"), Arc::clone(&sandbox)).unwrap();
    compare("SQLite", &server, number).await;
    if let Some(url) = arguments.iter().find(|argument| argument.starts_with("postgres")) {
        let server = Server::connect(url, sandbox).await.unwrap();
        compare("PostgreSQL", &server, number).await;
    }
}
