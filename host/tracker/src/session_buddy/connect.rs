//! Opens a connection to a target and agrees with it on a revision of MCP.
//!
//! Servers of the current revision and older ones are told apart by asking (`server/discover`). A
//! server that starts slowly answers that question after the library has gone on to the older
//! handshake, and is then misread; so a confused first attempt is followed by one over a new
//! connection that begins with the older handshake, and that way is remembered for the target.

use std::collections::BTreeSet;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use rmcp::RoleClient;
use rmcp::model::{ClientCapabilities, ClientConfig, Implementation, ProtocolVersion};
use rmcp::service::{ClientLifecycleMode, ClientServiceExt as _, RunningService};
use rmcp::transport::IntoTransport;
use rmcp::transport::async_rw::AsyncRwTransport;
use rmcp::transport::streamable_http_client::{
    StreamableHttpClientTransport, StreamableHttpClientTransportConfig,
};
use shelltrack_sandbox::types::Outcome;
use tokio::time::timeout;

use super::failure::{CallError, Disagreement, of_handshake};
use super::http::{HttpClient, LastFailure};
use super::{ANSWER_BYTES_MAX, Embedded, child};
use crate::Target;

/// A connection whose two ends agree on a revision.
pub(super) type Service = RunningService<RoleClient, ClientConfig>;

/// Targets remembered as needing the older handshake. There are few targets in a process; past this
/// many all are forgotten, which costs time, nothing else.
const REMEMBERED_MAX: usize = 64;

static NEED_INITIALIZE: Mutex<BTreeSet<String>> = Mutex::new(BTreeSet::new());

/// What lies behind a connection and may know why it ended.
pub(super) enum Link {
    InProcess,
    Child(child::Keeper),
    Http(LastFailure),
}

impl Link {
    /// Why the connection is of no more use.
    pub(super) async fn why_closed(&self) -> CallError {
        match self {
            Self::InProcess => CallError::new(Outcome::Unreachable, "the embedded Session-Buddy ended"),
            Self::Child(keeper) => keeper.why_closed().await,
            Self::Http(last) => last.take().unwrap_or_else(|| {
                CallError::new(Outcome::Unreachable, "the connection over HTTP ended without an answer")
            }),
        }
    }

    /// Ends what lies behind a connection that is closed already.
    pub(super) async fn close(self) {
        if let Self::Child(keeper) = self {
            keeper.close().await;
        }
    }
}

/// Connects within `budget`, or within twice of it where the first attempt was misunderstood.
pub(super) async fn open(
    target: &Target,
    embedded: &Embedded,
    budget: Duration,
) -> Result<(Service, Link), CallError> {
    let key = format!("{target:?}");
    if needs_initialize(&key) {
        let result = attempt(target, embedded, ClientLifecycleMode::Initialize, budget).await;
        return result.map_err(|failed| {
            if matches!(failed.error.outcome, Outcome::Garbled | Outcome::ServerError | Outcome::Refused) {
                // It answers, but not that: perhaps a server that knows the current revision alone.
                forget(&key);
            }
            failed.error
        });
    }
    let ask = ClientLifecycleMode::Auto {
        preferred_versions: vec![ProtocolVersion::LATEST],
        legacy_version: Some(ProtocolVersion::LATEST_WITH_INITIALIZE),
    };
    match attempt(target, embedded, ask, budget).await {
        Ok(connection) => Ok(connection),
        Err(failed) if failed.try_initialize => {
            match attempt(target, embedded, ClientLifecycleMode::Initialize, budget).await {
                Ok(connection) => {
                    remember(key);
                    Ok(connection)
                }
                Err(again) => Err(again.error),
            }
        }
        Err(failed) => Err(failed.error),
    }
}

fn needs_initialize(key: &str) -> bool {
    NEED_INITIALIZE.lock().unwrap_or_else(PoisonError::into_inner).contains(key)
}

fn forget(key: &str) {
    NEED_INITIALIZE.lock().unwrap_or_else(PoisonError::into_inner).remove(key);
}

fn remember(key: String) {
    let mut remembered = NEED_INITIALIZE.lock().unwrap_or_else(PoisonError::into_inner);
    if remembered.len() >= REMEMBERED_MAX {
        remembered.clear();
    }
    remembered.insert(key);
}

/// A failed attempt, and whether the older handshake may do better.
struct Failed {
    error: CallError,
    try_initialize: bool,
}

impl From<CallError> for Failed {
    fn from(error: CallError) -> Self {
        Self { error, try_initialize: false }
    }
}

async fn attempt(
    target: &Target,
    embedded: &Embedded,
    mode: ClientLifecycleMode,
    budget: Duration,
) -> Result<(Service, Link), Failed> {
    match target {
        Target::Embedded { database } => {
            let stream = embedded(database).map_err(|why| {
                CallError::new(
                    Outcome::Unreachable,
                    format!("the embedded Session-Buddy does not start: {why}"),
                )
            })?;
            let (read, write) = tokio::io::split(stream);
            let transport = AsyncRwTransport::new_client(read, write).with_max_line_length(ANSWER_BYTES_MAX);
            agree(transport, Link::InProcess, mode, budget).await
        }
        Target::Stdio { command, args } => {
            let (read, write, keeper) = child::spawn(command, args)?;
            let transport = AsyncRwTransport::new_client(read, write).with_max_line_length(ANSWER_BYTES_MAX);
            agree(transport, Link::Child(keeper), mode, budget).await
        }
        Target::Http { url } => {
            let (client, last) = HttpClient::new(url)?;
            let config = StreamableHttpClientTransportConfig::with_uri(url.as_str());
            let transport = StreamableHttpClientTransport::with_client(client, config);
            agree(transport, Link::Http(last), mode, budget).await
        }
    }
}

async fn agree<T, E, A>(
    transport: T,
    link: Link,
    mode: ClientLifecycleMode,
    budget: Duration,
) -> Result<(Service, Link), Failed>
where
    T: IntoTransport<RoleClient, E, A>,
    E: std::error::Error + Send + Sync + 'static,
{
    let asked = matches!(mode, ClientLifecycleMode::Auto { .. });
    let failed = match timeout(budget, myself().serve_with_lifecycle(transport, mode)).await {
        Ok(Ok(service)) => return Ok((service, link)),
        Ok(Err(error)) => match of_handshake(error) {
            Disagreement::Told(error) | Disagreement::Refused(error) => error.into(),
            Disagreement::Confused(error) => Failed { error, try_initialize: asked },
            Disagreement::Closed => Failed { error: link.why_closed().await, try_initialize: asked },
        },
        Err(_) => Failed {
            error: CallError::timed_out("agreeing on a revision of MCP", budget),
            try_initialize: asked,
        },
    };
    link.close().await;
    Err(failed)
}

/// Who we are to a server.
fn myself() -> ClientConfig {
    ClientConfig::new(
        ClientCapabilities::default(),
        Implementation::new("shelltrack", env!("CARGO_PKG_VERSION")),
    )
}
