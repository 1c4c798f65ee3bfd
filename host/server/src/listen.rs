//! Connections over TCP: how many, how slow, how long. What is asked over them is `http`'s business.

use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

use axum::{Extension, Router};
use hyper::server::conn::http1;
use hyper_util::rt::{TokioIo, TokioTimer};
use hyper_util::service::TowerToHyperService;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio_util::sync::CancellationToken;

/// Connections served at once; further ones wait to be accepted. Each may hold one message in memory, and
/// the usual limit of descriptors is 1024, of which the store needs a few.
const CONNECTIONS_MAX: usize = 512;

/// How long a client may take to send a request's head, and how long a connection may be idle.
const HEAD_MS: u64 = 15_000;

/// Bytes of a request's head: a token has at most 4 KiB.
const HEAD_BYTES_MAX: usize = 32 << 10;

/// How long a connection lives: one that reads its answers a byte at a time must end too. Clients open
/// another one without noticing.
const CONNECTION_MS: u64 = 600_000;

/// How long requests under way may take when the server or the connection is told to stop; a commit on a
/// busy disk takes a small part of it.
const GRACE_MS: u64 = 5_000;

/// Pause when no connection can be accepted: out of descriptors.
const ACCEPT_PAUSE_MS: u64 = 100;

/// Where a request comes from.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Peer(pub(crate) IpAddr);

/// Serves until told to stop, and lets what is under way finish.
pub(crate) async fn run(listener: TcpListener, router: Router, stop: CancellationToken) {
    let slots = Arc::new(Semaphore::new(CONNECTIONS_MAX));
    while let Some((stream, from, slot)) = next(&listener, &slots, &stop).await {
        let router = router.clone().layer(Extension(from));
        tokio::spawn(serve(stream, router, slot, stop.clone()));
    }
    let all = u32::try_from(CONNECTIONS_MAX).unwrap_or(u32::MAX);
    let _too_late = tokio::time::timeout(Duration::from_millis(GRACE_MS), slots.acquire_many(all)).await;
}

/// The next connection, when there is room for one; `None` when it is time to stop.
async fn next(
    listener: &TcpListener,
    slots: &Arc<Semaphore>,
    stop: &CancellationToken,
) -> Option<(TcpStream, Peer, OwnedSemaphorePermit)> {
    let accepted = async {
        let slot = Arc::clone(slots).acquire_owned().await.ok()?;
        loop {
            match listener.accept().await {
                Ok((stream, peer)) => return Some((stream, Peer(peer.ip()), slot)),
                Err(error) => {
                    tracing::warn!(%error, "a connection cannot be accepted");
                    tokio::time::sleep(Duration::from_millis(ACCEPT_PAUSE_MS)).await;
                }
            }
        }
    };
    tokio::select! {
        accepted = accepted => accepted,
        () = stop.cancelled() => None,
    }
}

async fn serve(stream: TcpStream, router: Router, slot: OwnedSemaphorePermit, stop: CancellationToken) {
    let _unbuffered = stream.set_nodelay(true);
    let mut builder = http1::Builder::new();
    builder
        .timer(TokioTimer::new())
        .header_read_timeout(Duration::from_millis(HEAD_MS))
        .max_buf_size(HEAD_BYTES_MAX);
    let connection = builder.serve_connection(TokioIo::new(stream), TowerToHyperService::new(router));
    let mut connection = std::pin::pin!(connection);
    let ended = tokio::select! {
        ended = connection.as_mut() => Some(ended),
        () = stop.cancelled() => None,
        () = tokio::time::sleep(Duration::from_millis(CONNECTION_MS)) => None,
    };
    let ended = match ended {
        Some(ended) => ended,
        None => {
            connection.as_mut().graceful_shutdown();
            let last = tokio::time::timeout(Duration::from_millis(GRACE_MS), connection).await;
            last.unwrap_or(Ok(()))
        }
    };
    if let Err(error) = ended {
        tracing::debug!(%error, "a connection broke off");
    }
    drop(slot);
}
