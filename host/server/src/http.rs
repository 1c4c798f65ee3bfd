//! Streamable HTTP at `/mcp`: listening, and what is let through before MCP begins.
//!
//! Loopback only. Every request stands alone (no sessions of MCP), so that any number of servers can
//! share a store.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use rmcp::transport::streamable_http_server::session::never::NeverSessionManager;
use rmcp::transport::streamable_http_server::{StreamableHttpServerConfig, StreamableHttpService};
use tokio::net::TcpListener;
use tokio_util::sync::CancellationToken;

use crate::tools::Tools;
use crate::{Error, MESSAGE_BYTES_MAX};

/// Where MCP is served.
const PATH: &str = "/mcp";

/// How long requests under way may take when the server is told to stop; a commit on a busy disk takes
/// a small part of it.
const GRACE_MS: u64 = 5_000;

pub(crate) async fn serve(
    tools: Tools,
    address: SocketAddr,
    ready: impl FnOnce(SocketAddr) + Send,
    stop: CancellationToken,
) -> Result<(), Error> {
    if !address.ip().is_loopback() {
        return Err(Error::NotLoopback(address));
    }
    let listen_error = |source| Error::Listen { address, source };
    let listener = TcpListener::bind(address).await.map_err(listen_error)?;
    let bound = listener.local_addr().map_err(listen_error)?;
    let router = Router::new().route_service(PATH, mcp(tools, bound, &stop));
    ready(bound);
    let server = axum::serve(listener, router).with_graceful_shutdown(stop.clone().cancelled_owned());
    let too_late = async {
        stop.cancelled().await;
        tokio::time::sleep(Duration::from_millis(GRACE_MS)).await;
    };
    tokio::select! {
        ended = server => ended.map_err(listen_error),
        () = too_late => Ok(()),
    }
}

fn mcp(
    tools: Tools,
    bound: SocketAddr,
    stop: &CancellationToken,
) -> StreamableHttpService<Tools, NeverSessionManager> {
    // A page of another origin must not reach us through somebody's browser: DNS rebinding gives itself
    // away by the Host, any other page by its Origin.
    let origins = ["localhost", "127.0.0.1", "[::1]"].map(|host| format!("http://{host}:{}", bound.port()));
    let config = StreamableHttpServerConfig::default()
        .with_legacy_session_mode(false)
        .with_json_response(true)
        .with_allowed_hosts(["localhost", "127.0.0.1", "::1"])
        .with_allowed_origins(origins)
        .with_max_request_body_bytes(MESSAGE_BYTES_MAX)
        .with_cancellation_token(stop.child_token());
    StreamableHttpService::new(move || Ok(tools.clone()), Arc::new(NeverSessionManager::default()), config)
}
