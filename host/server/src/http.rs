//! Streamable HTTP at `/mcp`: what is let through before MCP begins.
//!
//! Every request stands alone (no sessions of MCP), so that any number of servers can share a store. TLS is
//! a reverse proxy's work.

use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::body::{Body, HttpBody, to_bytes};
use axum::extract::{Request, State};
use axum::http::{HeaderMap, HeaderName, HeaderValue, Method, StatusCode, header};
use axum::middleware::{Next, from_fn_with_state};
use axum::response::{IntoResponse, Response};
use axum::routing::{get, post_service};
use rmcp::transport::streamable_http_server::session::never::NeverSessionManager;
use rmcp::transport::streamable_http_server::{StreamableHttpServerConfig, StreamableHttpService};
use serde_json::{Map, Value, json};
use shelltrack_access::{Identity, Refusal};
use tokio::net::TcpListener;
use tokio_util::sync::CancellationToken;

use crate::admission::{Access, Denial, Need, allow, need, take_token};
use crate::gate::{self, Gate};
use crate::idle::Connection;
use crate::listen::{self, Peer};
use crate::message;
use crate::metrics::CONTENT_TYPE;
use crate::rates::{RateLimits, Rates};
use crate::records::State as SessionState;
use crate::store::Filter;
use crate::tools::Tools;
use crate::{Error, MESSAGE_BYTES_MAX};

/// Where MCP is served.
const PATH: &str = "/mcp";

/// Where metrics are, for Prometheus.
const METRICS_PATH: &str = "/metrics";

/// How long a client may take to send a message once its head is there.
const BODY_MS: u64 = 15_000;

/// What rmcp wants to hear from every client. We answer JSON: whoever takes that is answered.
const ACCEPTED: &str = "application/json, text/event-stream";

/// Of an answer that did not wait for the message: what is left of it is not read.
const CLOSE: (HeaderName, HeaderValue) = (header::CONNECTION, HeaderValue::from_static("close"));

/// Code of JSON-RPC for a call that is not let in; the range is the server's own (JSON-RPC 2.0, 5.1).
const DENIED: i32 = -32001;

/// How a server listens.
#[derive(Clone, Debug)]
pub struct Listen {
    /// Where; port 0 takes a free one.
    pub address: SocketAddr,
    /// Who may call.
    pub access: Access,
    /// Names by which clients reach it, beside loopback and the address itself: what a reverse proxy
    /// passes on as `Host`.
    pub hosts: Vec<String>,
    /// Origins of web pages that may call, such as `https://admin.example`, beside those on its own port.
    pub origins: Vec<String>,
    /// Connections served at once; for a further one, that is closed which has been idle longest.
    pub connections: u16,
    /// How often somebody may ask.
    pub rates: RateLimits,
}

pub(crate) async fn serve(
    tools: Tools,
    listen: Listen,
    ready: impl FnOnce(SocketAddr) + Send,
    stop: CancellationToken,
) -> Result<(), Error> {
    let address = listen.address;
    if matches!(listen.access, Access::Open) && !address.ip().is_loopback() {
        return Err(Error::NotLoopback(address));
    }
    let listen_error = |source| Error::Listen { address, source };
    let listener = TcpListener::bind(address).await.map_err(listen_error)?;
    let bound = listener.local_addr().map_err(listen_error)?;
    let gate = Gate::new(bound, &listen.hosts, &listen.origins);
    let gate = Arc::new(gate.map_err(|misnamed| Error::Misnamed(misnamed.to_string()))?);
    let door = Arc::new(Door { access: listen.access.clone(), rates: Rates::new(listen.rates) });
    // Calls under way are finished before they are cancelled: this ends with them, not with `stop`.
    let over = CancellationToken::new();
    let _ends_all = over.clone().drop_guard();
    let guard = || from_fn_with_state(Arc::clone(&door), guard);
    let router = Router::new()
        .route(
            METRICS_PATH,
            get(metrics).with_state(tools.clone()).route_layer(guard()).fallback(other_method),
        )
        .route(PATH, post_service(mcp(tools, over)).route_layer(guard()).fallback(other_method))
        .fallback(other_path)
        .layer(gate.cors())
        .layer(from_fn_with_state(gate, gate::pass));
    ready(bound);
    listen::run(listener, router, listen.connections, stop).await;
    Ok(())
}

/// What the door has let in is answered.
async fn metrics(State(tools): State<Tools>) -> Response {
    let open = Filter { state: Some(SessionState::Active), with_archived: true, ..Filter::default() };
    let Tools { store, metrics, .. } = &tools;
    match store.stats(open).await.map(|open| metrics.text(&open, store.engine())) {
        Ok(Ok(text)) => ([(header::CONTENT_TYPE, CONTENT_TYPE)], text).into_response(),
        Ok(Err(_)) => (StatusCode::INTERNAL_SERVER_ERROR, "the metrics cannot be written").into_response(),
        Err(error) => (StatusCode::SERVICE_UNAVAILABLE, error.to_string()).into_response(),
    }
}

/// What is allowed stands in `Allow`.
async fn other_method() -> (StatusCode, &'static str) {
    (StatusCode::METHOD_NOT_ALLOWED, "messages of MCP are sent by POST to /mcp; metrics are read by GET")
}

async fn other_path() -> (StatusCode, &'static str) {
    (StatusCode::NOT_FOUND, "there is nothing here: MCP is at /mcp, metrics are at /metrics")
}

fn mcp(tools: Tools, over: CancellationToken) -> StreamableHttpService<Tools, NeverSessionManager> {
    // Hosts and origins were looked at by the gate.
    let config = StreamableHttpServerConfig::default()
        .with_legacy_session_mode(false)
        .with_json_response(true)
        .disable_allowed_hosts()
        .disable_allowed_origins()
        .with_max_request_body_bytes(2 * MESSAGE_BYTES_MAX) // the door has measured it; escapes may be spelt longer
        .with_cancellation_token(over);
    StreamableHttpService::new(move || Ok(tools.clone()), Arc::new(NeverSessionManager::default()), config)
}

/// What every request passes.
struct Door {
    access: Access,
    rates: Rates,
}

/// Why a request goes no further.
enum Stop {
    /// With the id of the request, where it is known.
    Denied(Denial, Value),
    TooMany {
        retry_after_s: u64,
    },
    Unfit(message::Unfit),
    Plain(StatusCode, &'static str),
}

async fn guard(State(door): State<Arc<Door>>, request: Request, next: Next) -> Response {
    match door.admit(request).await {
        Ok(request) => next.run(request).await,
        Err(stop) => stop.into_response(),
    }
}

impl Door {
    /// Who calls, how often, and whether they may; gives the request with the caller in it and without any
    /// token.
    async fn admit(&self, request: Request) -> Result<Request, Stop> {
        let from = request.extensions().get::<Peer>().map_or(IpAddr::from([0, 0, 0, 0]), |peer| peer.0);
        let caller = self.bearer(request.headers());
        self.count(caller.as_ref().ok().and_then(Option::as_ref), from)?;
        if request.method() != Method::POST {
            request.extensions().get::<Connection>().inspect(|connection| connection.work());
            return self.may_read(caller, from).map(|()| request);
        }
        let (mut parts, body) = request.into_parts();
        let mut message = message::read(&read(body).await?).map_err(Stop::Unfit)?;
        parts.extensions.get::<Connection>().inspect(|connection| connection.work());
        let caller = self.allowed(caller, &mut message);
        let caller = caller.map_err(|denial| refused(denial, from, message::id(&message)))?;
        parts.headers.remove(header::AUTHORIZATION);
        parts.headers.remove(header::CONTENT_LENGTH);
        if takes_json(&parts.headers) {
            parts.headers.insert(header::ACCEPT, HeaderValue::from_static(ACCEPTED));
        }
        if let Some(caller) = caller {
            parts.extensions.insert(caller);
        }
        // Written anew: MCP must read what was judged here, not another reading of the same bytes.
        Ok(Request::from_parts(parts, Body::from(Value::Object(message).to_string())))
    }

    /// Whether metrics may be read.
    fn may_read(&self, caller: Result<Option<Identity>, Denial>, from: IpAddr) -> Result<(), Stop> {
        let allowed = caller.and_then(|caller| allow(caller.as_ref(), Need::Read));
        allowed.map_err(|denial| refused(denial, from, Value::Null))
    }

    /// Who sends a message, if they may.
    fn allowed(
        &self,
        caller: Result<Option<Identity>, Denial>,
        message: &mut Map<String, Value>,
    ) -> Result<Option<Identity>, Denial> {
        let token = arguments(message).and_then(take_token);
        let caller = match (caller?, token) {
            (None, Some(token)) => self.access.identify(Some(&token))?,
            (caller, _) => caller,
        };
        let (method, tool) = message::target(message);
        allow(caller.as_ref(), need(method, tool)).map(|()| caller)
    }

    /// Who the `Authorization` header says that calls (RFC 6750, 2.1). Where everybody may, it says nothing.
    fn bearer(&self, headers: &HeaderMap) -> Result<Option<Identity>, Denial> {
        let mut given = headers.get_all(header::AUTHORIZATION).iter();
        let (Some(header), Access::Guarded(_)) = (given.next(), &self.access) else {
            return self.access.identify(None);
        };
        match header.to_str().ok().and_then(|header| header.split_once(' ')) {
            Some((scheme, token)) if scheme.eq_ignore_ascii_case("bearer") && given.next().is_none() => {
                self.access.identify(Some(token.trim()))
            }
            _ => Err(Denial::Invalid(Refusal::Malformed)),
        }
    }

    fn count(&self, caller: Option<&Identity>, from: IpAddr) -> Result<(), Stop> {
        let counted = self.rates.count(caller.map(|caller| caller.subject.as_str()), from);
        counted.map_err(|retry_after_s| Stop::TooMany { retry_after_s })
    }
}

/// Whoever sends no token has not been told yet that one is needed: that is no news.
fn refused(denial: Denial, from: IpAddr, id: Value) -> Stop {
    if denial != Denial::Missing {
        tracing::warn!(%from, %denial, "a call is refused");
    }
    Stop::Denied(denial, id)
}

/// Whether a client takes JSON (RFC 9110, 12.5.1): who says nothing takes everything.
fn takes_json(headers: &HeaderMap) -> bool {
    let mut accepted = headers.get_all(header::ACCEPT).iter().peekable();
    let is_json = |range: &str| {
        let range = range.split(';').next().unwrap_or_default().trim();
        ["*/*", "application/*", "application/json"].iter().any(|json| range.eq_ignore_ascii_case(json))
    };
    accepted.peek().is_none()
        || accepted.any(|value| value.to_str().is_ok_and(|ranges| ranges.split(',').any(is_json)))
}

async fn read(body: Body) -> Result<Vec<u8>, Stop> {
    let too_large =
        Stop::Plain(StatusCode::PAYLOAD_TOO_LARGE, "the message is too large; at most 1 MiB is taken");
    if HttpBody::size_hint(&body).lower() > MESSAGE_BYTES_MAX as u64 {
        return Err(too_large); // it says so itself
    }
    let read = to_bytes(body, MESSAGE_BYTES_MAX);
    match tokio::time::timeout(Duration::from_millis(BODY_MS), read).await {
        Ok(Ok(bytes)) => Ok(bytes.into()),
        Ok(Err(error)) if is_too_large(&error) => Err(too_large),
        Ok(Err(_)) => Err(Stop::Plain(StatusCode::BAD_REQUEST, "the message broke off")),
        Err(_) => Err(Stop::Plain(StatusCode::REQUEST_TIMEOUT, "the message took too long")),
    }
}

fn is_too_large(error: &axum::Error) -> bool {
    std::error::Error::source(error).is_some_and(|source| source.to_string().contains("length limit"))
}

fn arguments(message: &mut Map<String, Value>) -> Option<&mut Map<String, Value>> {
    if message.get("method")?.as_str()? != "tools/call" {
        return None;
    }
    message.get_mut("params")?.get_mut("arguments")?.as_object_mut()
}

impl IntoResponse for Stop {
    fn into_response(self) -> Response {
        match self {
            Self::Denied(denial, id) => denied(&denial, &id),
            Self::TooMany { retry_after_s } => {
                let told = format!("too many requests; the next one is taken in {retry_after_s} s");
                let headers = [CLOSE, (header::RETRY_AFTER, HeaderValue::from(retry_after_s))];
                (StatusCode::TOO_MANY_REQUESTS, headers, told).into_response()
            }
            Self::Unfit(unfit) => json_response(StatusCode::BAD_REQUEST, &unfit.answer()),
            Self::Plain(status, told) => (status, [CLOSE], told).into_response(),
        }
    }
}

/// RFC 6750, 3: no error code where no token was sent.
fn denied(denial: &Denial, id: &Value) -> Response {
    let (status, challenge) = match denial {
        Denial::Missing => (StatusCode::UNAUTHORIZED, String::new()),
        Denial::Invalid(_) => (
            StatusCode::UNAUTHORIZED,
            format!(", error=\"invalid_token\", error_description=\"{}\"", quoted(denial)),
        ),
        Denial::Scope(scope) => (
            StatusCode::FORBIDDEN,
            format!(
                ", error=\"insufficient_scope\", scope=\"{scope}\", error_description=\"{}\"",
                quoted(denial)
            ),
        ),
    };
    let challenge = HeaderValue::from_str(&format!("Bearer realm=\"shelltrack\"{challenge}"));
    let error = json!({"code": DENIED, "message": denial.to_string()});
    let mut response = json_response(status, &json!({"jsonrpc": "2.0", "id": id, "error": error}));
    if let Ok(challenge) = challenge {
        response.headers_mut().insert(header::WWW_AUTHENTICATE, challenge);
    }
    response
}

fn json_response(status: StatusCode, body: &Value) -> Response {
    (status, [(header::CONTENT_TYPE, "application/json")], body.to_string()).into_response()
}

/// What may stand in a quoted string of RFC 6750: no quotes, no backslash.
fn quoted(denial: &Denial) -> String {
    denial.to_string().replace(['"', '\\'], "'").replace('`', "'")
}
