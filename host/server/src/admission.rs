//! The one door every tool call passes before a tool sees it.
//!
//! Takes the `token` argument off, so that no secret reaches a tool, the store or a log. Who may call what
//! is decided here as well, and nowhere else; so far everybody who reaches the server may: a
//! transport is either this user's own process or loopback.

use rmcp::model::CallToolRequestParams;

/// Argument that carries an access token, for clients of the Python Session-Buddy.
const TOKEN_ARGUMENT: &str = "token";

/// Lets a call in.
pub(crate) fn admit(call: &mut CallToolRequestParams) {
    if let Some(arguments) = &mut call.arguments {
        arguments.remove(TOKEN_ARGUMENT);
    }
}
