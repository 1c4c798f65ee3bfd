//! MCP over streamable HTTP: one POST per message, every answer bounded, every failure typed.
//!
//! The library's own client over reqwest drops what delivery needs (the status of a refusal without
//! a challenge, `Retry-After` beside a JSON body) and reads JSON bodies without a limit, hence this
//! one. It opens no stream for the server's own messages and resumes none: a tracker asks, it is
//! never asked, and an interrupted call is simply made again.

use std::collections::HashMap;
use std::error::Error;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, SystemTime};

use futures_util::StreamExt as _;
use futures_util::stream::BoxStream;
use reqwest::header::{ACCEPT, CONTENT_TYPE, HeaderMap, HeaderName, HeaderValue, LOCATION};
use reqwest::{RequestBuilder, Response, StatusCode, Url};
use rmcp::model::{ClientJsonRpcMessage, ClientRequest, ErrorData, JsonRpcMessage, ServerJsonRpcMessage};
use rmcp::transport::streamable_http_client::{
    SseError, StreamableHttpClient, StreamableHttpError, StreamableHttpPostResponse,
};
use shelltrack_sandbox::types::Outcome;
use sse_stream::{Sse, SseStream};

use super::ANSWER_BYTES_MAX;
use super::bearer::Bearer;
use super::failure::{CallError, of_http};
use super::status::{is_loopback, of_status, retry_after_ms};

/// How long a TCP and TLS connection may take: a host that does not answer at all shall not use up
/// the whole budget of a call.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(5);
/// Idle connections are dropped before common servers do it (uvicorn: 5 s), so that a request never
/// meets a connection that is being closed.
const IDLE_TIMEOUT: Duration = Duration::from_secs(2);
/// How much of a refusal's body is read for its message.
const REFUSAL_BYTES_MAX: usize = 4 << 10;

type Failure = StreamableHttpError<HttpError>;

/// What can go wrong below MCP.
#[derive(Debug, thiserror::Error)]
pub(super) enum HttpError {
    /// The server answered, but not with success.
    #[error("HTTP {status}: {words}")]
    Status { status: StatusCode, retry_after_ms: Option<u64>, words: String },
    /// No whole answer.
    #[error("{words}")]
    Broken { outcome: Outcome, words: String },
}

impl HttpError {
    /// What it means for delivery.
    pub(super) fn to_call_error(&self) -> CallError {
        match self {
            Self::Status { status, retry_after_ms, words } => CallError {
                retry_after_ms: *retry_after_ms,
                ..CallError::new(of_status(*status), format!("the server answered HTTP {status}: {words}"))
            },
            Self::Broken { outcome, words } => CallError::new(*outcome, words),
        }
    }
}

/// The HTTP side of one connection to a Session-Buddy.
#[derive(Clone)]
pub(super) struct HttpClient {
    client: reqwest::Client,
    bearer: Arc<Bearer>,
    last: LastFailure,
}

/// The last failure of a connection, for the cases in which the library reports only that the
/// connection ended.
#[derive(Clone, Default)]
pub(super) struct LastFailure(Arc<Mutex<Option<CallError>>>);

impl LastFailure {
    /// Takes the last failure.
    pub(super) fn take(&self) -> Option<CallError> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).take()
    }

    fn set(&self, failure: Option<CallError>) {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = failure;
    }
}

impl HttpClient {
    /// A client for one URL, and where its last failure can be read.
    pub(super) fn new(url: &str) -> Result<(Self, LastFailure), CallError> {
        let unusable =
            |why: &str| CallError::new(Outcome::Unreachable, format!("the URL of Session-Buddy {why}"));
        let url: Url = url.parse().map_err(|error| unusable(&format!("is none: {error}")))?;
        if !matches!(url.scheme(), "http" | "https") {
            return Err(unusable("must begin with http:// or https://"));
        }
        let mut builder = reqwest::Client::builder()
            .redirect(reqwest::redirect::Policy::none())
            .connect_timeout(CONNECT_TIMEOUT)
            .pool_idle_timeout(IDLE_TIMEOUT)
            .pool_max_idle_per_host(1);
        if is_loopback(&url) {
            // `http_proxy` is often set without `no_proxy`, and no proxy leads to this machine.
            builder = builder.no_proxy();
        }
        let client = builder.build().map_err(|error| {
            CallError::new(Outcome::Unreachable, format!("no HTTP client: {}", root_cause(&error)))
        })?;
        let last = LastFailure::default();
        Ok((Self { client, bearer: Arc::new(Bearer::new(&url)), last: last.clone() }, last))
    }

    async fn post(
        &self,
        url: &str,
        message: ClientJsonRpcMessage,
        headers: RequestHeaders,
    ) -> Result<StreamableHttpPostResponse, Failure> {
        let body = serde_json::to_vec(&message).map_err(StreamableHttpError::Deserialize)?;
        let in_session = headers.session.is_some();
        let request = headers
            .apply(self.client.post(url))
            .header(ACCEPT, "text/event-stream, application/json")
            .header(CONTENT_TYPE, "application/json")
            .body(body);
        let response = request.send().await.map_err(broken)?;
        let status = response.status();
        if matches!(status, StatusCode::ACCEPTED | StatusCode::NO_CONTENT) {
            return Ok(StreamableHttpPostResponse::Accepted);
        }
        if status == StatusCode::NOT_FOUND && in_session {
            return Err(StreamableHttpError::SessionExpired);
        }
        if status == StatusCode::UNAUTHORIZED {
            self.bearer.forget();
        }
        if !status.is_success() {
            return refusal(response, &message).await;
        }
        answer(response, &message).await
    }
}

/// What every request of a connection carries.
struct RequestHeaders {
    session: Option<Arc<str>>,
    bearer: Option<String>,
    others: HashMap<HeaderName, HeaderValue>,
}

impl RequestHeaders {
    fn apply(self, mut request: RequestBuilder) -> RequestBuilder {
        if let Some(session) = self.session {
            request = request.header("mcp-session-id", session.as_ref());
        }
        if let Some(bearer) = self.bearer {
            request = request.bearer_auth(bearer);
        }
        request.headers(self.others.into_iter().collect())
    }
}

impl StreamableHttpClient for HttpClient {
    type Error = HttpError;

    async fn post_message(
        &self,
        uri: Arc<str>,
        message: ClientJsonRpcMessage,
        session: Option<Arc<str>>,
        bearer: Option<String>,
        others: HashMap<HeaderName, HeaderValue>,
    ) -> Result<StreamableHttpPostResponse, Failure> {
        let result = self
            .post(
                &uri,
                message,
                RequestHeaders { session, bearer: bearer.or_else(|| self.bearer.token()), others },
            )
            .await;
        self.last.set(result.as_ref().err().and_then(of_http));
        result
    }

    async fn delete_session(
        &self,
        uri: Arc<str>,
        session: Arc<str>,
        bearer: Option<String>,
        others: HashMap<HeaderName, HeaderValue>,
    ) -> Result<(), Failure> {
        let headers = RequestHeaders { session: Some(session), bearer, others };
        // Courtesy only: a server that keeps the session anyway lets it expire.
        headers.apply(self.client.delete(uri.as_ref())).send().await.map(|_| ()).map_err(broken)
    }

    async fn get_stream(
        &self,
        _uri: Arc<str>,
        _session: Option<Arc<str>>,
        _last_event_id: Option<String>,
        _bearer: Option<String>,
        _others: HashMap<HeaderName, HeaderValue>,
    ) -> Result<BoxStream<'static, Result<Sse, SseError>>, Failure> {
        Err(StreamableHttpError::ServerDoesNotSupportSse)
    }
}

/// Reads a successful response: one JSON message or a stream of events.
async fn answer(
    response: Response,
    asked: &ClientJsonRpcMessage,
) -> Result<StreamableHttpPostResponse, Failure> {
    let session = response.headers().get("mcp-session-id").and_then(|id| id.to_str().ok()).map(str::to_owned);
    let is_request = matches!(asked, JsonRpcMessage::Request(_));
    match media_type(response.headers()).as_str() {
        "text/event-stream" => {
            let bounded = response.bytes_stream().scan(0_usize, |total, chunk| {
                let chunk = chunk.map_err(|error| of_reqwest(&error)).and_then(|chunk| {
                    *total += chunk.len();
                    if *total > ANSWER_BYTES_MAX { Err(too_large()) } else { Ok(chunk) }
                });
                std::future::ready(Some(chunk))
            });
            Ok(StreamableHttpPostResponse::Sse(SseStream::from_bytes_stream(bounded).boxed(), session))
        }
        _ if !is_request => Ok(StreamableHttpPostResponse::Accepted),
        "application/json" => {
            let body = read(response, ANSWER_BYTES_MAX).await.map_err(StreamableHttpError::Client)?;
            let message = serde_json::from_slice(&body)
                .map_err(|error| garbled(format!("the server's answer is no JSON-RPC message: {error}")))?;
            if !answers(&message, asked) {
                return Err(garbled("the server answered another request than the one made".to_owned()));
            }
            Ok(StreamableHttpPostResponse::Json(message, session))
        }
        _ => Err(garbled(
            "the server answered neither with JSON nor with events; is this an MCP server?".to_owned(),
        )),
    }
}

/// Whether `message` answers the request `asked`. An error may come without an id.
fn answers(message: &ServerJsonRpcMessage, asked: &ClientJsonRpcMessage) -> bool {
    let JsonRpcMessage::Request(asked) = asked else { return true };
    match message {
        JsonRpcMessage::Response(response) => response.id == asked.id,
        JsonRpcMessage::Error(error) => error.id.as_ref().is_none_or(|id| *id == asked.id),
        _ => false,
    }
}

/// Judges a response without success.
async fn refusal(
    response: Response,
    asked: &ClientJsonRpcMessage,
) -> Result<StreamableHttpPostResponse, Failure> {
    let status = response.status();
    let retry_after_ms = retry_after_ms(response.headers(), SystemTime::now());
    let elsewhere = elsewhere(&response);
    let body = read(response, REFUSAL_BYTES_MAX).await.unwrap_or_default();
    let told = match serde_json::from_slice::<ServerJsonRpcMessage>(&body) {
        Ok(JsonRpcMessage::Error(error)) => Some(error.error),
        _ => None,
    };
    if let JsonRpcMessage::Request(request) = asked
        && of_status(status) == Outcome::Garbled
        && status.is_client_error()
    {
        // An older server refuses the question for its revisions; the library must see that as an
        // answer to go on with the older handshake. Elsewhere the server's own error says most.
        let is_discover = matches!(request.request, ClientRequest::DiscoverRequest(_));
        let none_told = || is_discover.then(|| ErrorData::invalid_request(format!("HTTP {status}"), None));
        if let Some(error) = told.clone().or_else(none_told) {
            let message = ServerJsonRpcMessage::error(error, Some(request.id.clone()));
            return Ok(StreamableHttpPostResponse::Json(message, None));
        }
    }
    let body = || String::from_utf8_lossy(&body).into_owned();
    let words = elsewhere.or_else(|| told.map(|error| error.message.into_owned())).unwrap_or_else(body);
    Err(StreamableHttpError::Client(HttpError::Status { status, retry_after_ms, words }))
}

/// What a redirect is answered by, since none is followed: whoever configured the URL is to see the other one.
fn elsewhere(response: &Response) -> Option<String> {
    let location = response.headers().get(LOCATION).filter(|_| response.status().is_redirection())?;
    let mut to = response.url().join(location.to_str().ok()?).ok()?;
    // May hold a password.
    to.set_username("").ok()?;
    to.set_password(None).ok()?;
    to.set_query(None);
    Some(format!("the URL of Session-Buddy leads to {to} instead, which is not followed"))
}

/// Reads a body of at most `bytes_max`.
async fn read(response: Response, bytes_max: usize) -> Result<Vec<u8>, HttpError> {
    let mut body = Vec::new();
    let mut chunks = response.bytes_stream();
    while let Some(chunk) = chunks.next().await {
        let chunk = chunk.map_err(|error| of_reqwest(&error))?;
        if body.len() + chunk.len() > bytes_max {
            return Err(too_large());
        }
        body.extend_from_slice(&chunk);
    }
    Ok(body)
}

fn too_large() -> HttpError {
    HttpError::Broken { outcome: Outcome::Garbled, words: "the server's answer is too large".to_owned() }
}

fn garbled(words: String) -> Failure {
    StreamableHttpError::Client(HttpError::Broken { outcome: Outcome::Garbled, words })
}

fn broken(error: reqwest::Error) -> Failure {
    StreamableHttpError::Client(of_reqwest(&error))
}

fn of_reqwest(error: &reqwest::Error) -> HttpError {
    let outcome = match error {
        error if error.is_connect() => Outcome::Unreachable,
        error if error.is_timeout() => Outcome::TimedOut,
        _ => Outcome::Unreachable,
    };
    // Only the innermost cause: the outer ones repeat the URL, which may hold a password.
    HttpError::Broken { outcome, words: format!("no connection over HTTP: {}", root_cause(error)) }
}

fn root_cause(error: &(dyn Error + 'static)) -> String {
    let mut cause = error;
    while let Some(source) = cause.source() {
        cause = source;
    }
    match cause.downcast_ref::<reqwest::Error>() {
        Some(_) => "the request could not be made".to_owned(),
        None => cause.to_string(),
    }
}

/// Without its parameters and in lower case: media types are the same in any case (RFC 9110, section 8.3.1).
fn media_type(headers: &HeaderMap) -> String {
    let value = headers.get(CONTENT_TYPE).and_then(|value| value.to_str().ok()).unwrap_or_default();
    value.split(';').next().unwrap_or_default().trim().to_ascii_lowercase()
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "a test may fail by panic")]
mod tests {
    use super::*;

    #[test]
    fn a_media_type_is_the_same_in_any_case_and_with_any_parameters() {
        for (header, expected) in [
            ("application/json", "application/json"),
            ("Application/JSON", "application/json"),
            ("TEXT/Event-Stream ;charset=UTF-8", "text/event-stream"),
            ("text/html; x=application/json", "text/html"),
            ("", ""),
        ] {
            let headers = HeaderMap::from_iter([(CONTENT_TYPE, header.parse().unwrap())]);
            assert_eq!(media_type(&headers), expected, "{header}");
        }
        assert_eq!(media_type(&HeaderMap::new()), "");
    }
}
