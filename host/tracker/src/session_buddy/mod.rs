//! What is asked of a Session-Buddy over MCP, and what its answers mean.
//!
//! One connection, made by [`SessionBuddy::connect`] over one of three transports, and one method
//! per tool. Every call is bounded in time and size and comes back with an outcome the breaker
//! knows. Deliberately not here: retries, the breaker itself, and any trust in what a server says;
//! ids and records are handed on as they came.

mod answer;
mod bearer;
mod child;
mod connect;
mod failure;
mod http;
mod status;

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use chrono::{DateTime, SecondsFormat};
use rmcp::model::{
    CallToolRequestParams, CallToolResponse, CallToolResult, ClientRequest, ErrorCode,
    PaginatedRequestParams, PingRequest,
};
use rmcp::service::ServiceError;
use serde_json::{Map, Value};
use shelltrack_sandbox::types::Outcome;
use tokio::io::DuplexStream;
use tokio::time::timeout;

pub use failure::CallError;

use crate::Target;
use connect::{Link, Service};

/// Largest answer taken from a server, in bytes: a list of a thousand sessions with full metadata
/// needs about 4 MiB.
const ANSWER_BYTES_MAX: usize = 8 << 20;
/// Most pages of tools asked for at connect; a server that always has another one must end too.
const TOOL_PAGES_MAX: usize = 32;
/// Most sessions asked for: some 100 MB.
pub const SESSIONS_MAX: usize = 100_000;
/// Most sessions asked for at once, as the tool's schema has it.
const PAGE_SESSIONS_MAX: usize = 1_000;
/// Most tools remembered. The Python Session-Buddy has 199.
const TOOLS_MAX: usize = 4096;
/// Longest tool name remembered, in bytes; clients commonly reject names over 64 characters.
const TOOL_NAME_BYTES_MAX: usize = 128;
/// Most sessions whose lease is renewed by one call, as the tool's schema has it.
const LEASES_PER_CALL_MAX: usize = 1_000;
/// How long a connection may take to end, as a session at an HTTP server has to.
const CLOSE_BUDGET: Duration = Duration::from_secs(2);

const TRACK_START: &str = "track_session_start";
const TRACK_END: &str = "track_session_end";
const TRACK_ACTIVITY: &str = "track_session_activity";
const HEALTH_CHECK: &str = "health_check";
const LIST_SESSIONS: &str = "list_sessions";
const SHOW_SESSION: &str = "show_session";

/// Starts the embedded Session-Buddy over a database and gives the client's end of its transport.
/// Must be called inside a tokio runtime.
pub type Embedded = Arc<dyn Fn(&Path) -> Result<DuplexStream, String> + Send + Sync>;

/// How long a Session-Buddy may take.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Budgets {
    /// From opening the connection to an agreed revision of MCP, and again for the list of tools.
    /// A slow server that was misunderstood is asked a second time, with the same budget.
    pub connect: Duration,
    /// One request.
    pub call: Duration,
}

impl Default for Budgets {
    /// A cold Python Session-Buddy needs up to 7 s to start and up to 12 s for its first session;
    /// 15 s is no sign of ill health. The library itself waits 10 s for an answer to its first
    /// question, so that connecting gets 20.
    fn default() -> Self {
        Self { connect: Duration::from_secs(20), call: Duration::from_secs(15) }
    }
}

impl Budgets {
    /// Doublings after which a longer wait would be no patience but neglect: 160 s and 120 s from the defaults.
    const DOUBLINGS_MAX: u32 = 3;

    /// What a server gets that was late so many times in a row. A slow machine never comes to its
    /// first answer if it is interrupted at the same moment again and again.
    #[must_use]
    pub fn after_timeouts(self, timeouts: u32) -> Self {
        let factor = 1 << timeouts.min(Self::DOUBLINGS_MAX);
        Self { connect: self.connect.saturating_mul(factor), call: self.call.saturating_mul(factor) }
    }
}

/// What a server says it is and offers.
#[derive(Clone, Debug, PartialEq)]
pub struct Offers {
    /// Name and version.
    pub server: String,
    /// Names of its tools.
    pub tools: Vec<String>,
}

impl Offers {
    /// Whether sessions can be tracked with it. `session-buddy start` of the Python Session-Buddy
    /// offers other tools, but not these.
    #[must_use]
    pub fn tracks(&self) -> bool {
        self.has(TRACK_START) && self.has(TRACK_END)
    }

    /// One plain line when sessions cannot be tracked with it; `None` when they can.
    #[must_use]
    pub fn lacks_tracking(&self) -> Option<String> {
        (!self.tracks()).then(|| {
            format!(
                "{} offers no {TRACK_START} and {TRACK_END}: sessions wait until it does{}",
                self.server,
                self.stock_hint()
            )
        })
    }

    fn stock_hint(&self) -> &'static str {
        if self.server.to_lowercase().contains("session-buddy") && !self.tracks() {
            " (`session-buddy start` serves without the tracking tools)"
        } else {
            ""
        }
    }

    /// Whether it stores an event that comes twice once: our own server's promise; no other has leases.
    pub(crate) fn knows_events_again(&self) -> bool {
        SessionBuddy::renews(&self.tools)
    }

    /// Whether it can be asked for its sessions.
    #[must_use]
    pub fn lists(&self) -> bool {
        self.has(LIST_SESSIONS) && self.has(SHOW_SESSION)
    }

    fn has(&self, tool: &str) -> bool {
        self.tools.iter().any(|name| name == tool)
    }
}

/// A connection to one Session-Buddy.
///
/// Dropping it kills a child process at once; [`SessionBuddy::close`] lets it end by itself.
pub struct SessionBuddy {
    service: Service,
    link: Link,
    offers: Offers,
    budgets: Budgets,
}

impl SessionBuddy {
    /// Connects, agrees on a protocol revision and asks for the tools.
    ///
    /// # Errors
    /// [`CallError`] with any outcome but `delivered` and `refused`.
    pub async fn connect(target: &Target, embedded: &Embedded) -> Result<Self, CallError> {
        Self::connect_within(target, embedded, Budgets::default()).await
    }

    /// Like [`SessionBuddy::connect`], with other budgets for this connection and its calls.
    ///
    /// # Errors
    /// As [`SessionBuddy::connect`].
    pub async fn connect_within(
        target: &Target,
        embedded: &Embedded,
        budgets: Budgets,
    ) -> Result<Self, CallError> {
        let (service, link) = connect::open(target, embedded, budgets.connect).await?;
        let server = match service.peer_info().as_deref().and_then(|info| info.server_info.clone()) {
            Some(server) => failure::one_line(&format!("{} {}", server.name, server.version)),
            None => "unnamed".to_owned(),
        };
        let mut connection = Self { service, link, offers: Offers { server, tools: Vec::new() }, budgets };
        let tools = timeout(budgets.connect, connection.ask_for_tools()).await;
        match tools.unwrap_or_else(|_| Err(CallError::timed_out("tools/list", budgets.connect))) {
            Ok(tools) => connection.offers.tools = tools,
            Err(error) => {
                connection.close().await;
                return Err(error);
            }
        }
        Ok(connection)
    }

    /// What the server offers.
    #[must_use]
    pub fn offers(&self) -> &Offers {
        &self.offers
    }

    /// Whether the connection is of no more use.
    #[must_use]
    pub fn is_closed(&self) -> bool {
        self.service.is_closed() || self.service.is_transport_closed()
    }

    /// `track_session_start`; gives the server's session id (untrusted).
    ///
    /// # Errors
    /// [`CallError`]. A server without the tool counts as `unreachable`: there is nobody here who
    /// could take the event, and that is not the event's fault. See [`Offers::tracks`].
    pub async fn track_start(&self, wire: &str) -> Result<String, CallError> {
        answer::session_started(&self.call(TRACK_START, arguments(wire)?).await?, wire)
    }

    /// `track_session_end`.
    ///
    /// # Errors
    /// As [`SessionBuddy::track_start`]; `refused` when the server does not know the session.
    pub async fn track_end(&self, wire: &str) -> Result<(), CallError> {
        answer::session_ended(&self.call(TRACK_END, arguments(wire)?).await?, wire)
    }

    /// Whether leases can be renewed with a server that has these tools.
    pub(crate) fn renews(tools: &[String]) -> bool {
        tools.iter().any(|name| name == TRACK_ACTIVITY)
    }

    /// `track_session_activity` for these sessions, in as many calls as it takes: they live now
    /// (`now_us`, microseconds since 1970), and the server hears of them again within `lease`.
    ///
    /// # Errors
    /// [`CallError`] of the first call that failed. Sessions the server does not know are none.
    pub(crate) async fn track_activity(
        &self,
        sessions: &[Box<str>],
        lease: Duration,
        now_us: u64,
    ) -> Result<(), CallError> {
        let now = i64::try_from(now_us).ok().and_then(DateTime::from_timestamp_micros).unwrap_or_default();
        let timestamp = now.to_rfc3339_opts(SecondsFormat::Micros, true);
        for some in sessions.chunks(LEASES_PER_CALL_MAX) {
            let arguments = serde_json::json!({
                "session_ids": some,
                "timestamp": timestamp,
                "lease_seconds": lease.as_secs(),
            });
            let Value::Object(arguments) = arguments else { continue };
            let unknown = answer::leases_renewed(&self.call(TRACK_ACTIVITY, arguments).await?)?;
            if unknown > 0 {
                tracing::info!(unknown, "the server does not know some sessions any more");
            }
        }
        Ok(())
    }

    /// `health_check`, or a ping where the server has no such tool.
    ///
    /// # Errors
    /// [`CallError`] when the server is not well.
    pub async fn health_check(&self) -> Result<(), CallError> {
        if self.offers.has(HEALTH_CHECK) {
            return answer::healthy(&self.call(HEALTH_CHECK, Map::new()).await?);
        }
        let ping = ClientRequest::PingRequest(PingRequest::default());
        let answer = async {
            match self.service.send_request(ping).await {
                // The revision of 2026-07-28 has no ping; whoever says so is there.
                Err(ServiceError::McpError(error)) if error.code == ErrorCode::METHOD_NOT_FOUND => Ok(()),
                answer => answer.map(|_| ()),
            }
        };
        self.within("ping", answer).await
    }

    /// `list_sessions` with these arguments (a JSON object); the records as they came, of as many pages
    /// as `limit` needs.
    ///
    /// # Errors
    /// [`CallError`]; `unreachable` where the server has no such tool, see [`Offers::lists`].
    pub async fn list_sessions(&self, arguments: Value) -> Result<Vec<Value>, CallError> {
        let mut arguments = match arguments {
            Value::Object(arguments) => arguments,
            _ => return Err(CallError::new(Outcome::Refused, "the arguments are no JSON object")),
        };
        let wanted =
            arguments.get("limit").and_then(Value::as_u64).and_then(|limit| usize::try_from(limit).ok());
        let wanted = wanted.unwrap_or(SESSIONS_MAX).min(SESSIONS_MAX);
        arguments.insert("limit".to_owned(), Value::from(wanted.min(PAGE_SESSIONS_MAX)));
        let mut records = Vec::new();
        loop {
            let page = answer::records(&self.call(LIST_SESSIONS, arguments.clone()).await?)?;
            let empty = page.records.is_empty();
            records.extend(page.records);
            // A server that goes on for ever, with or without sessions, must end too.
            let Some(next) = page.next.filter(|_| !empty && records.len() < wanted) else { break };
            arguments.insert("cursor".to_owned(), Value::from(next));
        }
        records.truncate(wanted);
        Ok(records)
    }

    /// `show_session`; `None` when the server does not know it.
    ///
    /// # Errors
    /// As [`SessionBuddy::list_sessions`].
    pub async fn show_session(&self, id: &str) -> Result<Option<Value>, CallError> {
        let arguments = Map::from_iter([("session_id".to_owned(), Value::from(id))]);
        answer::record(&self.call(SHOW_SESSION, arguments).await?)
    }

    /// Ends the connection; a child process is given a moment, then killed.
    pub async fn close(mut self) {
        // Closes stdin first, which tells a child to end. What the library says of it changes nothing;
        // a child that reads nothing may hold it up, and is then killed below.
        let _ = timeout(CLOSE_BUDGET, self.service.close()).await;
        self.link.close().await;
    }

    async fn call(
        &self,
        tool: &'static str,
        arguments: Map<String, Value>,
    ) -> Result<CallToolResult, CallError> {
        if !self.offers.has(tool) {
            return Err(self.lacks(tool));
        }
        let request = CallToolRequestParams::new(tool).with_arguments(arguments);
        match self.within(tool, self.service.call_tool_once(request)).await? {
            CallToolResponse::Complete(result) => Ok(result),
            _ => Err(CallError::new(
                Outcome::Garbled,
                format!("{tool}: the server wants something instead of answering"),
            )),
        }
    }

    fn lacks(&self, tool: &str) -> CallError {
        CallError::new(
            Outcome::Unreachable,
            format!("{} offers no {tool}{}", self.offers.server, self.offers.stock_hint()),
        )
    }

    async fn within<T>(
        &self,
        what: &str,
        request: impl Future<Output = Result<T, ServiceError>>,
    ) -> Result<T, CallError> {
        match timeout(self.budgets.call, request).await {
            Ok(Ok(answer)) => Ok(answer),
            Ok(Err(error)) => match failure::of_request(&error) {
                Some(error) => Err(error),
                None => Err(self.link.why_closed().await),
            },
            Err(_) => Err(CallError::timed_out(what, self.budgets.call)),
        }
    }

    /// The names of all tools, at most [`TOOLS_MAX`].
    async fn ask_for_tools(&self) -> Result<Vec<String>, CallError> {
        let mut tools = Vec::new();
        let mut cursor = None;
        for _ in 0..TOOL_PAGES_MAX {
            let page = PaginatedRequestParams::default().with_cursor(cursor);
            let page = self.within("tools/list", self.service.list_tools(Some(page))).await?;
            let names = page.tools.into_iter().map(|tool| tool.name.into_owned());
            tools.extend(names.filter(|name| name.len() <= TOOL_NAME_BYTES_MAX));
            cursor = page.next_cursor;
            if cursor.is_none() || tools.len() >= TOOLS_MAX {
                break;
            }
        }
        tools.truncate(TOOLS_MAX);
        Ok(tools)
    }
}

/// The arguments in an event's wire JSON.
fn arguments(wire: &str) -> Result<Map<String, Value>, CallError> {
    match serde_json::from_str(wire) {
        Ok(Value::Object(arguments)) => Ok(arguments),
        _ => Err(CallError::new(Outcome::Refused, "the event is no JSON object")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_server_that_is_late_again_and_again_gets_more_time_but_not_for_ever() {
        let connect = |timeouts| Budgets::default().after_timeouts(timeouts).connect.as_secs();
        assert_eq!([0, 1, 2, 3, 4, u32::MAX].map(connect), [20, 40, 80, 160, 160, 160]);
        assert_eq!(Budgets::default().after_timeouts(0), Budgets::default());
        assert_eq!(Budgets::default().after_timeouts(u32::MAX).call.as_secs(), 120);
    }
}
