//! A Session-Buddy-compatible MCP server: tracking tools over a durable session store.
//!
//! Every argument that arrives is validated by the component; nothing else decides what is clean.
//! Knows nothing of spools, agents or shells.
//!
//! What callers can rely on:
//! - An event is durable before it is answered, and stored once however often it is sent: a start is known
//!   by its `event_id`; a session that has ended stays as it is, except that an announced end replaces an
//!   inferred one (`crashed`, `lost`), and either of them a lease that ran out. Such an end is answered `ended`, with what is stored.
//! - A refused event is an answer (`isError: false`, `status: "error"`, every violation); sending it again
//!   is useless. An internal error of JSON-RPC (-32603) means that nothing was stored and that the caller
//!   should send it again: disk full, database locked or damaged, read-only server.
//! - A duration is end minus start by the events' own timestamps. When the end lies before the start, the
//!   clocks disagree: the duration is `null` and the record has `clock_skew: true`, a key it otherwise lacks.
//! - `metadata` of a record is that of the start with that of the end laid over it, without the keys of
//!   the end that have fields of their own.

mod admission;
mod answers;
mod figures;
mod gate;
mod handler;
mod handover;
mod http;
mod idle;
mod lines;
mod listen;
mod message;
mod metrics;
mod questions;
mod rates;
mod records;
mod schema;
mod session_id;
mod store;
mod tools;
mod transfer;

use std::io;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use rmcp::ServiceExt;
use rmcp::service::ServerInitializeError;
use rmcp::transport::io::stdio_pipes;
use shelltrack_access::{Keyring, Refusal, now_s};
use shelltrack_sandbox::Sandbox;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio_util::sync::CancellationToken;

pub use admission::Access;
pub use answers::{
    ActivityAnswer, ActivityStatus, BrokenRule, HealthAnswer, HealthStatus, ListAnswer, ShowAnswer,
    ShowStatus, TrackAnswer, TrackStatus,
};
pub use figures::{ComponentFigures, Figures, StatsAnswer};
pub use handover::Writing;
pub use http::Listen;
pub use listen::CONNECTIONS_DEFAULT;
pub use rates::RateLimits;
pub use records::{ADMIN_SHELL, SessionRecord, State};
pub use store::StoreError;
pub use transfer::{Imported, Part};

use store::Store;
use store::postgres::PostgresStore;
use store::sqlite::{ReadOnlySqliteStore, SqliteStore};
use tools::Tools;

/// The longest message taken from a client: many times the largest event the component accepts, and
/// little enough that a thousand clients cannot exhaust the memory.
pub(crate) const MESSAGE_BYTES_MAX: usize = 1 << 20;

/// Why a server could not start or go on.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The session database cannot be used.
    #[error("{}: {source}", path.display())]
    Store {
        /// Its file.
        path: PathBuf,
        /// What is wrong.
        source: StoreError,
    },
    /// Anybody on the network could write to the server.
    #[error("{0} is not a loopback address: without authentication only 127.0.0.0/8 and [::1] may be served")]
    NotLoopback(SocketAddr),
    /// The address cannot be served.
    #[error("cannot listen on {address}: {source}")]
    Listen {
        /// The address.
        address: SocketAddr,
        /// What the operating system says.
        source: io::Error,
    },
    /// A name that was allowed is none.
    #[error("{0}")]
    Misnamed(String),
    /// A connection broke off, or its client does not speak MCP.
    #[error("the connection ended: {0}")]
    Connection(String),
}

/// The server. Cheap to clone; each connection gets a clone.
#[derive(Clone)]
pub struct Server {
    tools: Tools,
}

impl Server {
    /// Over a SQLite file, made and migrated when needed. Directories that are missing are made (0700), the
    /// file is kept to its owner (0600); another user's file is refused. It stays: commands hand it what they
    /// want written ([`Writing`]).
    pub fn open(database: &Path, sandbox: Arc<Sandbox>) -> Result<Self, Error> {
        let mut server = Self::open_unannounced(database, sandbox)?;
        let announced = handover::announce(database, &server.tools.store, &server.tools.sandbox);
        let announced = announced.map_err(|source| Error::Store { path: database.to_owned(), source })?;
        server.tools.announced = Some(Arc::new(announced));
        Ok(server)
    }

    /// The same, for whoever has seen to it that nobody else writes.
    fn open_unannounced(database: &Path, sandbox: Arc<Sandbox>) -> Result<Self, Error> {
        Self::over(database, sandbox, SqliteStore::open(database))
    }

    /// Over a SQLite file that is only read; a missing one is an empty store. Makes no file, and works
    /// while other processes write. The tracking tools answer with an internal error.
    pub fn open_read_only(database: &Path, sandbox: Arc<Sandbox>) -> Result<Self, Error> {
        Self::over(database, sandbox, ReadOnlySqliteStore::open(database))
    }

    /// Over a PostgreSQL database, `postgres://USER@HOST/NAME`; its schema is made and migrated when needed.
    /// A password that the URL does not hold is taken from `PGPASSWORD`.
    pub async fn connect(url: &str, sandbox: Arc<Sandbox>) -> Result<Self, Error> {
        let store = PostgresStore::open(url).await;
        Self::over(Path::new("PostgreSQL"), sandbox, store)
    }

    fn over(
        database: &Path,
        sandbox: Arc<Sandbox>,
        store: Result<impl Store, StoreError>,
    ) -> Result<Self, Error> {
        let store = store.map_err(|source| Error::Store { path: database.to_owned(), source })?;
        Ok(Self { tools: Tools::new(Arc::new(store), sandbox) })
    }

    /// Serves one connection until it closes.
    pub async fn serve_stream<S>(self, stream: S) -> Result<(), Error>
    where
        S: AsyncRead + AsyncWrite + Send + Unpin + 'static,
    {
        let (read, write) = tokio::io::split(stream);
        self.serve_halves(read, write, CancellationToken::new()).await
    }

    /// Serves stdin and stdout until they close, or until told to stop: then nothing more is read, and what was
    /// asked before is answered, for some seconds.
    pub async fn serve_stdio(self, stop: CancellationToken) -> Result<(), Error> {
        let (read, write) = stdio_pipes();
        self.serve_halves(read, write, stop).await
    }

    async fn serve_halves<R, W>(self, read: R, write: W, stop: CancellationToken) -> Result<(), Error>
    where
        R: AsyncRead + Send + Unpin + 'static,
        W: AsyncWrite + Send + Unpin + 'static,
    {
        let connection_error = |error: &dyn std::fmt::Display| Error::Connection(error.to_string());
        let service = match self.tools.serve(lines::Lines::new(read, write, stop)).await {
            Ok(service) => service,
            // Nobody asked anything: that is no failure.
            Err(ServerInitializeError::ConnectionClosed(_)) => return Ok(()),
            Err(error) => return Err(connection_error(&error)),
        };
        service.waiting().await.map_err(|error| connection_error(&error))?;
        Ok(())
    }

    /// Serves streamable HTTP at `/mcp` until told to stop: then nobody is let in any more, and what was asked
    /// before is answered, for some seconds. `ready` is called with the bound address. Without authentication
    /// only loopback addresses are served.
    pub async fn serve_http(
        self,
        listen: Listen,
        ready: impl FnOnce(SocketAddr) + Send,
        stop: CancellationToken,
    ) -> Result<(), Error> {
        http::serve(self.tools, listen, ready, stop).await
    }

    /// Over pipes: tokens that callers send are checked with these keys; `token`, from the environment, says
    /// who the caller is that sends none.
    ///
    /// # Errors
    /// When that token is not accepted.
    pub fn with_keys(mut self, keys: Arc<Keyring>, token: Option<&str>) -> Result<Self, Refusal> {
        if let Some(token) = token {
            self.tools.local.identity = keys.verify(token, now_s())?;
        }
        self.tools.local.keys = Some(keys);
        Ok(self)
    }
}
