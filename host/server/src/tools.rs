//! The MCP tools: what is asked, what is answered.
//!
//! Knows nothing of transports. What an event must be is decided by the component, what becomes of it by
//! the store.

use std::sync::Arc;

use rmcp::handler::server::common::{Extension, schema_for_input, schema_for_output};
use rmcp::handler::server::router::tool::ToolRouter;
use rmcp::handler::server::tool::IntoCallToolResult;
use rmcp::handler::server::wrapper::Json;
use rmcp::model::{CallToolResponse, CallToolResult, ContentBlock, JsonObject, MetaObject};
use rmcp::schemars::JsonSchema;
use rmcp::{ErrorData, tool, tool_router};
use serde_json::{Value, json};
use shelltrack_access::{Identity, Keyring};
use shelltrack_sandbox::Sandbox;
use shelltrack_sandbox::types::{Policy, Rule, Violation};

use crate::admission::local;
use crate::answers::{ActivityAnswer, HealthAnswer, HealthStatus, ListAnswer, ShowAnswer, TrackAnswer};
use crate::figures::StatsAnswer;
use crate::handover::Announced;
use crate::metrics::{EndStatus, Metrics};
use crate::questions;
use crate::records::rfc3339;
use crate::schema::{
    ActivityArguments, EndArguments, ListArguments, NoArguments, ShowArguments, StartArguments,
    StatsArguments, portable,
};
use crate::store::{Ending, Starting, Store, StoreError};

/// Name by which the server introduces itself.
pub(crate) const SERVER_NAME: &str = "shelltrack";

/// The tools over a store. Cheap to clone.
#[derive(Clone)]
pub(crate) struct Tools {
    pub(crate) store: Arc<dyn Store>,
    pub(crate) sandbox: Arc<Sandbox>,
    pub(crate) router: Arc<ToolRouter<Self>>,
    /// Who calls over a connection that says nothing of it.
    pub(crate) local: Local,
    pub(crate) metrics: Arc<Metrics>,
    /// That this process writes the store; goes after the store.
    pub(crate) announced: Option<Arc<Announced>>,
}

/// Callers on a pipe: this user's own processes.
#[derive(Clone)]
pub(crate) struct Local {
    /// Who they are.
    pub(crate) identity: Identity,
    /// Keys that a token they send nevertheless is checked with; it is ignored where there are none.
    pub(crate) keys: Option<Arc<Keyring>>,
}

#[tool_router(router = tool_router)]
impl Tools {
    pub(crate) fn new(store: Arc<dyn Store>, sandbox: Arc<Sandbox>) -> Self {
        let local = Local { identity: local(), keys: None };
        Self { store, sandbox, router: Arc::new(router()), local, metrics: Arc::default(), announced: None }
    }

    /// Records that an administrative shell has opened; answers `tracked` with the session's id, which its end
    /// needs. Sending the same `event_id` again is safe: it is stored once and answered with the same id. A
    /// refused event is answered `error` with every rule it broke.
    #[tool(
        title = "Track session start",
        meta = tags(&["tracking", "write"]),
        input_schema = input_schema::<StartArguments>(),
        annotations(read_only_hint = false, destructive_hint = false, idempotent_hint = true, open_world_hint = false)
    )]
    async fn track_session_start(
        &self,
        Extension(caller): Extension<Identity>,
        arguments: JsonObject,
    ) -> Result<Json<TrackAnswer>, ErrorData> {
        let event =
            match self.sandbox.validate_start(&Value::Object(arguments).to_string(), &Policy::default()) {
                Ok(event) => event,
                Err(error) => {
                    return refusal(error).map(Json).inspect(|_| self.metrics.start_refused());
                }
            };
        let (component, shell_type) = (event.component_name.clone(), event.shell_type.clone());
        let starting = self.store.track_start(event, caller.proven).await.map_err(store_error)?;
        let Starting::Stored(stored) = starting else {
            self.metrics.start_refused();
            return Ok(Json(TrackAnswer::conflict()));
        };
        let start_time = rfc3339(stored.start_us).ok_or_else(|| store_error(StoreError::Corrupt))?;
        self.metrics.started(&component, &shell_type);
        tracing::info!(session_id = stored.session_id, "session start tracked");
        Ok(Json(TrackAnswer::tracked(stored.session_id, start_time)))
    }

    /// Records that a session is over; answers `ended` with its state and duration, or `not_found`. An end that
    /// the shell announces replaces one that was only inferred, and each end a lease that ran out; otherwise a
    /// session that has ended stays as it is, and the answer tells how that is.
    #[tool(
        title = "Track session end",
        meta = tags(&["tracking", "write"]),
        input_schema = input_schema::<EndArguments>(),
        annotations(read_only_hint = false, destructive_hint = false, idempotent_hint = true, open_world_hint = false)
    )]
    async fn track_session_end(
        &self,
        Extension(caller): Extension<Identity>,
        arguments: JsonObject,
    ) -> Result<Json<TrackAnswer>, ErrorData> {
        let sent = arguments.get("session_id").cloned();
        let event = match self.sandbox.validate_end(&Value::Object(arguments).to_string(), &Policy::default())
        {
            Ok(event) => event,
            Err(error) => {
                self.metrics.end_failed(EndStatus::Error);
                return refusal(error).map(|answer| Json(answer.about(sent.as_ref())));
            }
        };
        let session_id = event.session_id.clone();
        match self.store.track_end(event, caller.proven).await.map_err(store_error)? {
            Ending::Unknown => {
                self.metrics.end_failed(EndStatus::NotFound);
                Ok(Json(TrackAnswer::not_found(session_id)))
            }
            Ending::Foreign => {
                self.metrics.end_failed(EndStatus::Error);
                Ok(Json(TrackAnswer::foreign(session_id)))
            }
            Ending::Known(record) => {
                self.metrics.ended(&record.component_name, record.duration_seconds);
                tracing::info!(session_id, state = record.state.name(), "session end tracked");
                Ok(Json(TrackAnswer::ended(*record)))
            }
        }
    }

    /// Tells that sessions are still open, at most 1000 at once. A session unseen for longer than its lease
    /// becomes `lost`, until it is seen again; one that nobody ever renews has 30 days. Answers which ones are
    /// renewed, and which are not open here.
    #[tool(
        title = "Track session activity",
        meta = tags(&["tracking", "write"]),
        input_schema = input_schema::<ActivityArguments>(),
        annotations(read_only_hint = false, destructive_hint = false, idempotent_hint = true, open_world_hint = false)
    )]
    async fn track_session_activity(
        &self,
        Extension(caller): Extension<Identity>,
        arguments: JsonObject,
    ) -> Result<Json<ActivityAnswer>, ErrorData> {
        let renewal = match questions::renewal(&arguments, caller.proven) {
            Ok(renewal) => renewal,
            Err(broken) => return Ok(Json(ActivityAnswer::refused(broken))),
        };
        let asked = renewal.session_ids.clone();
        let renewed = self.store.renew(renewal).await.map_err(store_error)?;
        self.metrics.renewed(renewed.len());
        Ok(Json(ActivityAnswer::renewed(asked, renewed)))
    }

    /// Counts sessions by state and component, with average durations in seconds. Takes the filters of
    /// `list_sessions`.
    #[tool(
        title = "Session statistics",
        meta = tags(&["sessions", "read"]),
        input_schema = input_schema::<StatsArguments>(),
        annotations(read_only_hint = true, idempotent_hint = true, open_world_hint = false)
    )]
    async fn session_stats(&self, arguments: JsonObject) -> Result<Json<StatsAnswer>, NoAnswer> {
        let filter = questions::stats(&arguments).map_err(NoAnswer::Question)?;
        let stats = self.store.stats(filter).await.map_err(NoAnswer::store)?;
        Ok(Json(StatsAnswer::from(stats)))
    }

    /// Lists sessions, newest first, 50 at once unless `limit` says otherwise. Where there are more, give
    /// `next_cursor` of the answer as `cursor`, with the same filters.
    #[tool(
        title = "List sessions",
        meta = tags(&["sessions", "read"]),
        input_schema = input_schema::<ListArguments>(),
        annotations(read_only_hint = true, idempotent_hint = true, open_world_hint = false)
    )]
    async fn list_sessions(&self, arguments: JsonObject) -> Result<Json<ListAnswer>, NoAnswer> {
        let query = questions::list(&arguments).map_err(NoAnswer::Question)?;
        let page = self.store.list(query).await.map_err(NoAnswer::store)?;
        Ok(Json(ListAnswer {
            count: page.records.len(),
            sessions: page.records,
            next_cursor: page.next.map(|cursor| cursor.to_string()),
        }))
    }

    /// Shows one session, by its id or by the correlation id its emitter gave it; answers `found` or `not_found`.
    #[tool(
        title = "Show session",
        meta = tags(&["sessions", "read"]),
        input_schema = input_schema::<ShowArguments>(),
        annotations(read_only_hint = true, idempotent_hint = true, open_world_hint = false)
    )]
    async fn show_session(&self, arguments: JsonObject) -> Result<Json<ShowAnswer>, NoAnswer> {
        let id = questions::show(&arguments).map_err(NoAnswer::Question)?;
        let session = self.store.show(id).await.map_err(NoAnswer::store)?;
        Ok(Json(ShowAnswer::from(session)))
    }

    /// Tells whether the server and its store work, and whoever has the scope `read`, how many sessions there are.
    /// Needs no token. An unhealthy store is an error of the call.
    #[tool(
        title = "Health check",
        meta = tags(&["health"]),
        input_schema = input_schema::<NoArguments>(),
        output_schema = schema_for_output::<HealthAnswer>(),
        annotations(read_only_hint = true, idempotent_hint = true, open_world_hint = false)
    )]
    async fn health_check(
        &self,
        Extension(caller): Extension<Identity>,
    ) -> Result<CallToolResult, ErrorData> {
        let counted = self.store.counts().await;
        let status = if counted.is_ok() { HealthStatus::Ok } else { HealthStatus::Unhealthy };
        let mut health = HealthAnswer::new(SERVER_NAME, env!("CARGO_PKG_VERSION"), status);
        if caller.scopes.read {
            health = health.with_store(self.store.engine(), &counted);
        }
        let health = json!(health);
        Ok(if counted.is_ok() {
            CallToolResult::structured(health)
        } else {
            CallToolResult::structured_error(health)
        })
    }
}

/// The tools, with schemas that every client reads.
fn router() -> ToolRouter<Tools> {
    let mut router = Tools::tool_router();
    for route in router.map.values_mut() {
        let tool = &mut route.attr;
        let mut input = portable(&tool.input_schema);
        input.entry("properties").or_insert_with(|| json!({})); // clients exist that miss it
        tool.input_schema = Arc::new(input);
        tool.output_schema = tool.output_schema.as_deref().map(portable).map(Arc::new);
        tool.description = tool.description.take().map(|text| text.replace('\n', " ").into());
    }
    router
}

/// Words by which clients can group tools.
fn tags(tags: &[&str]) -> MetaObject {
    let mut meta = MetaObject::new();
    meta.0.insert("tags".into(), json!(tags));
    meta
}

fn input_schema<T: JsonSchema + 'static>() -> Arc<JsonObject> {
    schema_for_input::<T>().expect("the shapes of arguments are objects")
}

/// What the component refuses is answered; if it failed itself, the caller may try again.
fn refusal(error: shelltrack_sandbox::Error) -> Result<TrackAnswer, ErrorData> {
    use shelltrack_sandbox::Error;
    match error {
        Error::Rejected(violations) => Ok(TrackAnswer::refused(&violations)),
        Error::TooLarge { what: "input", bytes, limit_bytes } => Ok(TrackAnswer::refused(&[Violation {
            field: "arguments".into(),
            rule: Rule::TooLarge,
            message: format!("{bytes} bytes of JSON are too many; at most {limit_bytes} are taken"),
        }])),
        error => {
            tracing::error!(%error, "an event could not be validated");
            Err(ErrorData::internal_error(
                "the event could not be validated",
                Some(json!({"kind": "validator"})),
            ))
        }
    }
}

/// An internal error: the event is not stored, and the caller may send it again.
pub(crate) fn store_error(error: StoreError) -> ErrorData {
    tracing::error!(%error, "the session store failed");
    ErrorData::internal_error(error.to_string(), Some(json!({"kind": "store"})))
}

/// Why a question is not answered.
enum NoAnswer {
    /// It is wrong: an error of the call (SEP-1303).
    Question(String),
    /// An internal error.
    Store(ErrorData),
}

impl NoAnswer {
    fn store(error: StoreError) -> Self {
        Self::Store(store_error(error))
    }
}

impl IntoCallToolResult for NoAnswer {
    fn into_call_tool_result(self) -> Result<CallToolResponse, ErrorData> {
        match self {
            Self::Question(told) => Ok(CallToolResult::error(vec![ContentBlock::text(told)]).into()),
            Self::Store(error) => Err(error),
        }
    }
}
