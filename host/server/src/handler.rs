//! The server as MCP sees it: who it is, who calls, tools by name, sessions as resources.
//!
//! Knows nothing of transports, and of tools only that there is a router.

use axum::http::request::Parts;
use rmcp::handler::server::tool::ToolCallContext;
use rmcp::model::{
    CallToolRequestParams, CallToolResponse, CallToolResult, CompleteRequestParams, CompleteResult,
    ContentBlock, CustomRequest, CustomResult, ErrorCode, Implementation, ListPromptsResult,
    ListResourceTemplatesResult, ListResourcesResult, PaginatedRequestParams, ReadResourceRequestParams,
    ReadResourceResponse, ReadResourceResult, Resource, ResourceContents, ResourceTemplate,
    ServerCapabilities, ServerConfig,
};
use rmcp::service::RequestContext;
use rmcp::{ErrorData, RoleServer, ServerHandler, tool_handler};
use serde_json::json;
use shelltrack_access::{Identity, now_s};

use crate::admission::{Denial, Need, allow, anonymous, need, take_token};
use crate::records::SessionRecord;
use crate::schema::LIST_LIMIT_DEFAULT;
use crate::store::{Cursor, ListQuery};
use crate::tools::{SERVER_NAME, Tools, store_error};

const INSTRUCTIONS: &str = "Records administrative shells. track_session_start when one opens, track_session_end \
     with the id it gave when it closes, track_session_activity while it is open; list_sessions, show_session \
     and session_stats tell what is known.";

/// What a session's URI begins with; its id follows.
const URI_HEAD: &str = "session://";

/// Longest URI that a refusal repeats: ids have 200 bytes at most.
const URI_BYTES_MAX: usize = 1024;

const MIME_TYPE: &str = "application/json";

/// Methods that are served: one of them that could not be read had wrong parameters.
const METHODS: [&str; 7] = [
    "server/discover",
    "ping",
    "tools/list",
    "tools/call",
    "resources/list",
    "resources/templates/list",
    "resources/read",
];

/// The header that names the revision of a request over HTTP.
const VERSION_HEADER: &str = "mcp-protocol-version";

/// The first revision without a handshake: from then on there is no such method.
const STATELESS_SINCE: &str = "2026-07-28";

impl Tools {
    /// Who calls, and whether they may.
    fn admit(
        &self,
        context: &RequestContext<RoleServer>,
        need: Need,
        call: Option<&mut CallToolRequestParams>,
    ) -> Result<Identity, Denial> {
        let token = call.and_then(|call| call.arguments.as_mut()).and_then(take_token);
        let by_http = context.extensions.get::<Parts>().map(|parts| parts.extensions.get::<Identity>());
        let caller = match (by_http, token, &self.local.keys) {
            // The door of HTTP has judged already.
            (Some(known), _, _) => known.cloned(),
            (None, Some(token), Some(keys)) => Some(keys.verify(&token, now_s()).map_err(Denial::Invalid)?),
            (None, _, _) => Some(self.local.identity.clone()),
        };
        allow(caller.as_ref(), need)?;
        Ok(caller.unwrap_or_else(anonymous))
    }
}

#[tool_handler(router = self.router)]
impl ServerHandler for Tools {
    fn get_info(&self) -> ServerConfig {
        ServerConfig::new(ServerCapabilities::builder().enable_tools().enable_resources().build())
            .with_server_info(Implementation::new(SERVER_NAME, env!("CARGO_PKG_VERSION")))
            .with_instructions(INSTRUCTIONS)
    }

    async fn call_tool(
        &self,
        mut request: CallToolRequestParams,
        mut context: RequestContext<RoleServer>,
    ) -> Result<CallToolResponse, ErrorData> {
        let need = need("tools/call", &request.name);
        match self.admit(&context, need, Some(&mut request)) {
            Ok(caller) => drop(context.extensions.insert(caller)),
            Err(denial) => {
                return Ok(CallToolResult::error(vec![ContentBlock::text(denial.to_string())]).into());
            }
        }
        if !self.router.has_route(&request.name) {
            return Err(ErrorData::invalid_params(
                "there is no tool of this name; tools/list names them",
                None,
            ));
        }
        let cancelled = context.ct.clone();
        let call = self.router.call(ToolCallContext::new(self, request, context));
        // What is with the store already is stored all the same; a question is dropped.
        tokio::select! {
            answer = call => answer,
            () = cancelled.cancelled() => Err(ErrorData::internal_error("the call was cancelled", None)),
        }
    }

    async fn list_resources(
        &self,
        request: Option<PaginatedRequestParams>,
        context: RequestContext<RoleServer>,
    ) -> Result<ListResourcesResult, ErrorData> {
        self.admit(&context, Need::Read, None).map_err(denied)?;
        let cursor = request.and_then(|request| request.cursor).map(|cursor| cursor.parse::<Cursor>());
        let after = cursor.transpose().map_err(|()| {
            ErrorData::invalid_params("cursor: give `nextCursor` of an earlier answer unchanged", None)
        })?;
        let query = ListQuery { limit: LIST_LIMIT_DEFAULT, after, ..ListQuery::default() };
        let page = self.store.list(query).await.map_err(store_error)?;
        let resources = page.records.iter().map(resource).collect();
        let mut result = ListResourcesResult::with_all_items(resources);
        result.next_cursor = page.next.map(|cursor| cursor.to_string());
        Ok(result)
    }

    async fn list_resource_templates(
        &self,
        _request: Option<PaginatedRequestParams>,
        _context: RequestContext<RoleServer>,
    ) -> Result<ListResourceTemplatesResult, ErrorData> {
        let template = ResourceTemplate::new(format!("{URI_HEAD}{{id}}"), "session")
            .with_title("Session")
            .with_description("One session, by its id or its correlation id")
            .with_mime_type(MIME_TYPE);
        Ok(ListResourceTemplatesResult::with_all_items(vec![template]))
    }

    async fn read_resource(
        &self,
        request: ReadResourceRequestParams,
        context: RequestContext<RoleServer>,
    ) -> Result<ReadResourceResponse, ErrorData> {
        self.admit(&context, Need::Read, None).map_err(denied)?;
        let none = || {
            let named = Some(json!({"uri": request.uri})).filter(|_| request.uri.len() <= URI_BYTES_MAX);
            ErrorData::resource_not_found("there is no such session; its URI is session://ID", named)
        };
        let id = request.uri.strip_prefix(URI_HEAD).filter(|id| !id.is_empty()).ok_or_else(none)?;
        let record = self.store.show(id.to_owned()).await.map_err(store_error)?.ok_or_else(none)?;
        let contents =
            ResourceContents::text(json!(record).to_string(), request.uri).with_mime_type(MIME_TYPE);
        Ok(ReadResourceResult::new(vec![contents]).into())
    }

    /// There are none, and `prompts` is no capability of ours: an empty list would say otherwise.
    async fn list_prompts(
        &self,
        _request: Option<PaginatedRequestParams>,
        _context: RequestContext<RoleServer>,
    ) -> Result<ListPromptsResult, ErrorData> {
        Err(no_such_method())
    }

    /// The same of `completions`.
    async fn complete(
        &self,
        _request: CompleteRequestParams,
        _context: RequestContext<RoleServer>,
    ) -> Result<CompleteResult, ErrorData> {
        Err(no_such_method())
    }

    async fn on_custom_request(
        &self,
        request: CustomRequest,
        context: RequestContext<RoleServer>,
    ) -> Result<CustomResult, ErrorData> {
        let method = request.method.as_str();
        let is_served = METHODS.contains(&method) || (method == "initialize" && !is_stateless(&context));
        if is_served {
            return Err(ErrorData::invalid_params(
                format!("the parameters of {method} are not of its form"),
                None,
            ));
        }
        Err(no_such_method())
    }
}

fn no_such_method() -> ErrorData {
    ErrorData::new(ErrorCode::METHOD_NOT_FOUND, "there is no such method", None)
}

/// Whether a request over HTTP is of a revision without a handshake. Revisions are dates: they compare.
fn is_stateless(context: &RequestContext<RoleServer>) -> bool {
    let version = context.extensions.get::<Parts>().and_then(|parts| parts.headers.get(VERSION_HEADER));
    version.and_then(|version| version.to_str().ok()).is_some_and(|version| version >= STATELESS_SINCE)
}

fn resource(record: &SessionRecord) -> Resource {
    Resource::new(format!("{URI_HEAD}{}", record.session_id), record.session_id.clone())
        .with_title(format!("{} on {}", record.component_name, record.hostname))
        .with_description(format!("{} of {}, {}", record.shell_type, record.username, record.state.name()))
        .with_mime_type(MIME_TYPE)
}

fn denied(denial: Denial) -> ErrorData {
    ErrorData::new(ErrorCode::INVALID_REQUEST, denial.to_string(), None)
}
