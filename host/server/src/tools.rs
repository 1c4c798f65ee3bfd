//! The MCP tools: what is asked, what is answered.
//!
//! Knows nothing of transports. What an event must be is decided by the component, what becomes of it by
//! the store.

use std::sync::Arc;

use rmcp::handler::server::common::{schema_for_input, schema_for_output};
use rmcp::handler::server::router::tool::ToolRouter;
use rmcp::handler::server::tool::{IntoCallToolResult, ToolCallContext};
use rmcp::handler::server::wrapper::{Json, Parameters};
use rmcp::model::{
    CallToolRequestParams, CallToolResponse, CallToolResult, ContentBlock, Implementation, JsonObject,
    ServerCapabilities, ServerConfig,
};
use rmcp::schemars::JsonSchema;
use rmcp::service::RequestContext;
use rmcp::{ErrorData, RoleServer, ServerHandler, tool, tool_handler, tool_router};
use serde_json::{Value, json};
use shelltrack_sandbox::Sandbox;
use shelltrack_sandbox::types::{Policy, Rule, Violation};

use crate::admission::admit;
use crate::answers::{HealthAnswer, HealthStatus, ListAnswer, ShowAnswer, TrackAnswer};
use crate::records::{State, rfc3339};
use crate::schema::{
    EndArguments, LIST_LIMIT_DEFAULT, LIST_LIMIT_MAX, ListArguments, ShowArguments, StartArguments,
};
use crate::store::{Cursor, ListQuery, Store, StoreError};

/// Name by which the server introduces itself.
pub(crate) const SERVER_NAME: &str = "shelltrack";

const INSTRUCTIONS: &str = "Records administrative shells. track_session_start when one opens, track_session_end \
     with the id it gave when it closes; list_sessions and show_session tell what is known.";

/// The tools over a store. Cheap to clone.
#[derive(Clone)]
pub(crate) struct Tools {
    store: Arc<dyn Store>,
    sandbox: Arc<Sandbox>,
    router: Arc<ToolRouter<Self>>,
}

#[tool_router(router = tool_router)]
impl Tools {
    pub(crate) fn new(store: Arc<dyn Store>, sandbox: Arc<Sandbox>) -> Self {
        Self { store, sandbox, router: Arc::new(Self::tool_router()) }
    }

    /// Records that an administrative shell has opened, and gives the session an id. Sending the same
    /// event again is safe: it is stored once and answered with the same id.
    #[tool(
        title = "Track session start",
        input_schema = input_schema::<StartArguments>(),
        annotations(read_only_hint = false, destructive_hint = false, idempotent_hint = true, open_world_hint = false)
    )]
    async fn track_session_start(&self, arguments: JsonObject) -> Result<Json<TrackAnswer>, ErrorData> {
        let event =
            match self.sandbox.validate_start(&Value::Object(arguments).to_string(), &Policy::default()) {
                Ok(event) => event,
                Err(error) => return refusal(error).map(Json),
            };
        let stored = self.store.track_start(event).await.map_err(store_error)?;
        let start_time = rfc3339(stored.start_us).ok_or_else(|| store_error(StoreError::Corrupt))?;
        tracing::info!(session_id = stored.session_id, "session start tracked");
        Ok(Json(TrackAnswer::tracked(stored.session_id, start_time)))
    }

    /// Records that a session is over. An end the shell announces replaces one that was only inferred;
    /// otherwise a session that has ended stays as it is, and the answer tells how that is.
    #[tool(
        title = "Track session end",
        input_schema = input_schema::<EndArguments>(),
        annotations(read_only_hint = false, destructive_hint = false, idempotent_hint = true, open_world_hint = false)
    )]
    async fn track_session_end(&self, arguments: JsonObject) -> Result<Json<TrackAnswer>, ErrorData> {
        let event = match self.sandbox.validate_end(&Value::Object(arguments).to_string(), &Policy::default())
        {
            Ok(event) => event,
            Err(error) => return refusal(error).map(Json),
        };
        let session_id = event.session_id.clone();
        let Some(record) = self.store.track_end(event).await.map_err(store_error)? else {
            return Ok(Json(TrackAnswer::not_found(session_id)));
        };
        tracing::info!(session_id, state = record.state.name(), "session end tracked");
        Ok(Json(TrackAnswer::ended(record)))
    }

    /// Lists sessions, newest first.
    #[tool(
        title = "List sessions",
        annotations(read_only_hint = true, idempotent_hint = true, open_world_hint = false)
    )]
    async fn list_sessions(
        &self,
        Parameters(arguments): Parameters<ListArguments>,
    ) -> Result<Json<ListAnswer>, ListFailure> {
        let query = list_query(arguments).map_err(ListFailure::Question)?;
        let page = self.store.list(query).await.map_err(|error| ListFailure::Store(store_error(error)))?;
        Ok(Json(ListAnswer {
            count: page.records.len(),
            sessions: page.records,
            next_cursor: page.next.map(|cursor| cursor.to_string()),
        }))
    }

    /// Shows one session, by its id or by its correlation id.
    #[tool(
        title = "Show session",
        annotations(read_only_hint = true, idempotent_hint = true, open_world_hint = false)
    )]
    async fn show_session(
        &self,
        Parameters(arguments): Parameters<ShowArguments>,
    ) -> Result<Json<ShowAnswer>, ErrorData> {
        let session = self.store.show(arguments.session_id).await.map_err(store_error)?;
        Ok(Json(ShowAnswer::from(session)))
    }

    /// Tells whether the server and its store work. An unhealthy one is an error of the call.
    #[tool(
        title = "Health check",
        output_schema = schema_for_output::<HealthAnswer>(),
        annotations(read_only_hint = true, idempotent_hint = true, open_world_hint = false)
    )]
    async fn health_check(&self) -> Result<CallToolResult, ErrorData> {
        let mut health = HealthAnswer::new(SERVER_NAME, env!("CARGO_PKG_VERSION"), self.store.engine());
        match self.store.counts().await {
            Ok(counts) => {
                health.sessions_total = Some(counts.total);
                health.sessions_active = Some(counts.active);
                Ok(CallToolResult::structured(json!(health)))
            }
            Err(error) => {
                health.status = HealthStatus::Unhealthy;
                health.store_reachable = false;
                health.error = Some(error.to_string());
                Ok(CallToolResult::structured_error(json!(health)))
            }
        }
    }
}

#[tool_handler(router = self.router)]
impl ServerHandler for Tools {
    fn get_info(&self) -> ServerConfig {
        ServerConfig::new(ServerCapabilities::builder().enable_tools().build())
            .with_server_info(Implementation::new(SERVER_NAME, env!("CARGO_PKG_VERSION")))
            .with_instructions(INSTRUCTIONS)
    }

    async fn call_tool(
        &self,
        mut request: CallToolRequestParams,
        context: RequestContext<RoleServer>,
    ) -> Result<CallToolResponse, ErrorData> {
        admit(&mut request);
        self.router.call(ToolCallContext::new(self, request, context)).await
    }
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
fn store_error(error: StoreError) -> ErrorData {
    tracing::error!(%error, "the session store failed");
    ErrorData::internal_error(error.to_string(), Some(json!({"kind": "store"})))
}

/// Why there is no list.
enum ListFailure {
    /// The question is wrong: an error of the call (SEP-1303), as rmcp answers arguments it cannot read.
    Question(String),
    /// An internal error.
    Store(ErrorData),
}

impl IntoCallToolResult for ListFailure {
    fn into_call_tool_result(self) -> Result<CallToolResponse, ErrorData> {
        match self {
            Self::Question(told) => Ok(CallToolResult::error(vec![ContentBlock::text(told)]).into()),
            Self::Store(error) => Err(error),
        }
    }
}

fn list_query(arguments: ListArguments) -> Result<ListQuery, String> {
    let state = match (arguments.active, arguments.state) {
        (Some(true), None | Some(State::Active)) => Some(State::Active),
        (Some(true), Some(_)) => return Err("active: it contradicts `state`; give one of the two".into()),
        (_, state) => state,
    };
    let limit = arguments.limit.unwrap_or(LIST_LIMIT_DEFAULT);
    if !(1..=LIST_LIMIT_MAX).contains(&limit) {
        return Err(format!("limit: it must be 1 to {LIST_LIMIT_MAX}"));
    }
    let after = match arguments.cursor {
        Some(cursor) => {
            Some(cursor.parse().map_err(|()| "cursor: give `next_cursor` of an earlier answer unchanged")?)
        }
        None => None,
    };
    Ok(ListQuery {
        session_type: arguments.session_type,
        component_name: arguments.component_name,
        state,
        limit,
        after,
    })
}

impl std::fmt::Display for Cursor {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(formatter, "{}.{}", self.start_us, self.row)
    }
}

impl std::str::FromStr for Cursor {
    type Err = ();

    fn from_str(text: &str) -> Result<Self, ()> {
        let (start_us, row) = text.split_once('.').ok_or(())?;
        Ok(Self { start_us: start_us.parse().map_err(|_| ())?, row: row.parse().map_err(|_| ())? })
    }
}
