//! The one door every call passes before a tool sees it: who calls, and whether they may.
//!
//! Takes the `token` argument off, so that no secret reaches a tool, the store or a log. Knows nothing of
//! HTTP but the words of RFC 6750; rates and hosts are `http`'s business.

use std::sync::Arc;

use serde_json::{Map, Value};
use shelltrack_access::{Identity, Keyring, Refusal, Scopes, now_s};

/// Argument that carries an access token, for clients of the Python Session-Buddy.
pub(crate) const TOKEN_ARGUMENT: &str = "token";

/// Who may call.
#[derive(Clone, Debug)]
pub enum Access {
    /// Everybody who reaches the server.
    Open,
    /// Who has a token that one of these keys signed.
    Guarded(Arc<Keyring>),
}

/// What a call needs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Need {
    /// Nothing: it tells nothing about sessions.
    Nothing,
    /// Scope `track`.
    Track,
    /// Scope `read`.
    Read,
}

/// Why a call is not let in.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Denial {
    /// No token, where one is needed.
    Missing,
    /// A token that is not accepted.
    Invalid(Refusal),
    /// A token without this scope.
    Scope(&'static str),
}

impl std::fmt::Display for Denial {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Missing => f.write_str(
                "authentication is needed: send a token as `Authorization: Bearer`; `shelltrack token mint` makes one",
            ),
            Self::Invalid(refusal) => refusal.fmt(f),
            Self::Scope(scope) => write!(f, "the token lacks the scope `{scope}`"),
        }
    }
}

/// Who this user's own processes are.
pub(crate) fn local() -> Identity {
    Identity { subject: "local".into(), proven: None, scopes: Scopes::ALL }
}

/// Who sends no token where one is needed for most.
pub(crate) fn anonymous() -> Identity {
    let nothing = Scopes { track: false, read: false };
    Identity { subject: "anonymous".into(), proven: None, scopes: nothing }
}

/// What a method, or of `tools/call` a tool, needs.
pub(crate) fn need(method: &str, tool: &str) -> Need {
    match (method, tool) {
        ("tools/call", "health_check") => Need::Nothing,
        ("tools/call", "list_sessions" | "show_session" | "session_stats") => Need::Read,
        ("tools/call", _) => Need::Track,
        ("resources/list" | "resources/read" | "resources/subscribe" | "subscriptions/listen", _) => {
            Need::Read
        }
        _ => Need::Nothing,
    }
}

/// Takes the token argument off a call. What is neither a text nor `null` is no token: it stays, and the tool
/// refuses it by its field.
pub(crate) fn take_token(arguments: &mut Map<String, Value>) -> Option<String> {
    match arguments.get(TOKEN_ARGUMENT)? {
        Value::String(_) | Value::Null => match arguments.remove(TOKEN_ARGUMENT)? {
            Value::String(token) => Some(token),
            _ => None,
        },
        _ => None,
    }
}

impl Access {
    /// Who calls with this token; `None` when there is none.
    pub(crate) fn identify(&self, token: Option<&str>) -> Result<Option<Identity>, Denial> {
        match (self, token) {
            (Self::Open, _) => Ok(Some(local())),
            (Self::Guarded(_), None) => Ok(None),
            (Self::Guarded(keys), Some(token)) => {
                keys.verify(token, now_s()).map(Some).map_err(Denial::Invalid)
            }
        }
    }
}

/// Whether somebody may do that.
pub(crate) fn allow(caller: Option<&Identity>, need: Need) -> Result<(), Denial> {
    match (caller, need) {
        (_, Need::Nothing) => Ok(()),
        (None, _) => Err(Denial::Missing),
        (Some(caller), Need::Track) if !caller.scopes.track => Err(Denial::Scope("track")),
        (Some(caller), Need::Read) if !caller.scopes.read => Err(Denial::Scope("read")),
        (Some(_), _) => Ok(()),
    }
}
