//! Keys and tokens: who may speak with a Session-Buddy, for both of its ends.
//!
//! `key` is one key and its file, `keyring` a directory of them, `token` what is signed and what is
//! accepted. Knows nothing of HTTP, MCP or sessions, and decides nothing about what a caller may do
//! beyond reading it off the token.

mod file;
mod key;
mod keyring;
mod token;

use std::path::PathBuf;

use rustix::process::geteuid;
use uzers::os::unix::UserExt;

pub use key::{Key, KeyError, PublicKey};
pub use keyring::{Keyring, SECRET_VARIABLE};
pub use token::{
    AUDIENCE, ISSUERS, Inspected, LEEWAY_S, LIFETIME_S_MAX, Refusal, SUBJECT_BYTES_MAX, TOKEN_BYTES_MAX,
    inspect, now_s,
};

/// Names the directory of keys when it is not the usual one.
pub const DIRECTORY_VARIABLE: &str = "SHELLTRACK_KEYS";

/// Where keys are: `$SHELLTRACK_KEYS`, else `$XDG_DATA_HOME/shelltrack/keys`. Relative values of HOME and
/// `XDG_DATA_HOME` are ignored; without HOME the passwd entry tells where home is. `None` without a home.
#[must_use]
pub fn directory() -> Option<PathBuf> {
    match std::env::var_os(DIRECTORY_VARIABLE).filter(|path| !path.is_empty()) {
        Some(path) => std::path::absolute(path).ok(),
        None => {
            let data = absolute("XDG_DATA_HOME").or_else(|| Some(home()?.join(".local/share")));
            data.map(|data| data.join("shelltrack/keys"))
        }
    }
}

fn home() -> Option<PathBuf> {
    let passwd = || Some(uzers::get_user_by_uid(geteuid().as_raw())?.home_dir().to_owned());
    absolute("HOME").or_else(passwd).filter(|home| home.is_absolute())
}

fn absolute(variable: &str) -> Option<PathBuf> {
    std::env::var_os(variable).map(PathBuf::from).filter(|path| path.is_absolute())
}

/// What a token lets its bearer do.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Scopes {
    /// Start, renew and end sessions: scope `track`, or `write` as the Python Session-Buddy has it.
    pub track: bool,
    /// Look at sessions: scope `read`.
    pub read: bool,
}

impl Scopes {
    /// Everything.
    pub const ALL: Self = Self { track: true, read: true };

    /// Scopes of these names; unknown names give nothing.
    #[must_use]
    pub fn named<'a>(names: impl IntoIterator<Item = &'a str>) -> Self {
        let mut scopes = Self { track: false, read: false };
        for name in names {
            scopes.track |= matches!(name, "track" | "write" | "admin");
            scopes.read |= matches!(name, "read" | "admin");
        }
        scopes
    }

    /// Their names.
    #[must_use]
    pub fn names(self) -> Vec<&'static str> {
        [(self.track, "track"), (self.read, "read")]
            .into_iter()
            .filter_map(|(has, name)| has.then_some(name))
            .collect()
    }

    /// What both have.
    #[must_use]
    pub fn and(self, other: Self) -> Self {
        Self { track: self.track && other.track, read: self.read && other.read }
    }
}

/// Who speaks.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Identity {
    /// Who it says it is; for limits and logs.
    pub subject: String,
    /// The same, when a key of its own proves it: nobody else can speak with this name.
    pub proven: Option<String>,
    /// What it may do.
    pub scopes: Scopes,
}
