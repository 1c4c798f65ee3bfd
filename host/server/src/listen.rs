//! Connections over TCP: how many, how slow, how long. What is asked over them is `http`'s business.

use std::net::IpAddr;
use std::sync::Arc;
use std::time::{Duration, Instant};

use axum::middleware::from_fn_with_state;
use axum::{Extension, Router};
use hyper::server::conn::http1;
use hyper_util::rt::{TokioIo, TokioTimer};
use hyper_util::service::TowerToHyperService;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio_util::sync::CancellationToken;

use crate::idle::{self, Idle};

/// Connections served at once; for a further one, that is closed which has been idle longest. Each may hold
/// one message in memory, and the usual limit of descriptors is 1024, of which the store needs a few.
pub const CONNECTIONS_DEFAULT: u16 = 512;

/// How long a client may take to send a request's head, and how long a connection may be idle.
const HEAD_MS: u64 = 15_000;

/// Bytes of a request's head: a token has at most 4 KiB. hyper reads somewhat more before it stops; `gate` counts.
pub(crate) const HEAD_BYTES_MAX: usize = 32 << 10;

/// How long a connection lives: one that reads its answers a byte at a time must end too. Clients open
/// another one without noticing.
const CONNECTION_MS: u64 = 600_000;

/// How long requests under way may take when the server or the connection is told to stop; a commit on a
/// busy disk takes a small part of it.
const GRACE_MS: u64 = 5_000;

/// Pause when no connection can be accepted: out of descriptors.
const ACCEPT_PAUSE_MS: u64 = 100;

/// How long a connection without a place waits for one before the next idle one is closed: closing takes
/// less.
const PLACE_PAUSE_MS: u64 = 20;

/// Where a request comes from.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Peer(pub(crate) IpAddr);

/// Serves until told to stop, and lets what is under way finish.
pub(crate) async fn run(
    listener: TcpListener,
    router: Router,
    connections_max: u16,
    stop: CancellationToken,
) {
    let (slots, idle) = (Arc::new(Semaphore::new(connections_max.into())), Idle::default());
    loop {
        let accepted = async {
            let accepted = accept(&listener).await;
            (accepted, place(&slots, &idle).await)
        };
        let ((stream, from), slot) = tokio::select! {
            accepted = accepted => accepted,
            () = stop.cancelled() => break,
        };
        let Some(slot) = slot else { break };
        let connection = idle.connection(Instant::now());
        let router =
            router.clone().layer(Extension(from)).layer(from_fn_with_state(connection.clone(), idle::note));
        tokio::spawn(serve(stream, router, connection, slot, stop.clone()));
    }
    drop(listener); // from now on nobody connects
    let all = slots.acquire_many(connections_max.into());
    let _too_late = tokio::time::timeout(Duration::from_millis(GRACE_MS), all).await;
}

/// The next connection.
async fn accept(listener: &TcpListener) -> (TcpStream, Peer) {
    loop {
        match listener.accept().await {
            Ok((stream, peer)) => return (stream, Peer(peer.ip())),
            Err(error) => {
                tracing::warn!(%error, "a connection cannot be accepted");
                tokio::time::sleep(Duration::from_millis(ACCEPT_PAUSE_MS)).await;
            }
        }
    }
}

/// A place for a connection: who only keeps one, for a request that may never come or never ends, gives it up.
async fn place(slots: &Arc<Semaphore>, idle: &Idle) -> Option<OwnedSemaphorePermit> {
    if let Ok(slot) = Arc::clone(slots).try_acquire_owned() {
        return Some(slot);
    }
    loop {
        idle.give_up_one(Instant::now());
        let acquire = Arc::clone(slots).acquire_owned();
        if let Ok(slot) = tokio::time::timeout(Duration::from_millis(PLACE_PAUSE_MS), acquire).await {
            return slot.ok();
        }
    }
}

async fn serve(
    stream: TcpStream,
    router: Router,
    place: idle::Connection,
    slot: OwnedSemaphorePermit,
    stop: CancellationToken,
) {
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
        () = place.unwanted() => None,
        () = tokio::time::sleep(Duration::from_millis(CONNECTION_MS)) => None,
    };
    let ended = match ended {
        Some(ended) => ended,
        // It may never have asked to the end.
        None if place.is_asking() && !stop.is_cancelled() => Ok(()),
        None => {
            connection.as_mut().graceful_shutdown();
            let last = tokio::time::timeout(Duration::from_millis(GRACE_MS), connection).await;
            last.unwrap_or(Ok(()))
        }
    };
    if let Err(error) = ended {
        tracing::debug!(%error, "a connection broke off");
    }
    place.work();
    drop(slot);
}
