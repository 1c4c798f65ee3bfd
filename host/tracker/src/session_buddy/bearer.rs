//! The token that goes with each request: minted when sending, from the key files of this user.
//!
//! Lives a few minutes in memory, never in a file or a log. Without a key nothing is sent: the server
//! then says whether it wants one.

use std::path::PathBuf;
use std::sync::{Mutex, PoisonError};

use reqwest::Url;
use shelltrack_access::{Keyring, SECRET_VARIABLE, Scopes, now_s};

use super::status::is_loopback;

/// How long a token lives, in seconds: long enough for a call that is retried, short enough for one that
/// is stolen.
const LIFETIME_S: u64 = 300;

/// A new one is minted so many seconds before the old one ends.
const RENEW_S: u64 = 60;

/// What is sent to one server.
pub(super) struct Bearer {
    directory: Option<PathBuf>,
    reach: Reach,
    minted: Mutex<Option<(String, u64)>>,
}

/// Where the server is.
enum Reach {
    /// On this machine: every key may sign.
    Here,
    /// Elsewhere, over TLS: keys that were made for this machine alone stay here.
    Elsewhere,
    /// Elsewhere, in clear: a token could be read on its way (RFC 6750, 5.3).
    InClear,
}

impl Bearer {
    /// For the server at `url`.
    pub(super) fn new(url: &Url) -> Self {
        let reach = match (is_loopback(url), url.scheme()) {
            (true, _) => Reach::Here,
            (false, "https") => Reach::Elsewhere,
            _ => Reach::InClear,
        };
        Self { directory: shelltrack_access::directory(), reach, minted: Mutex::new(None) }
    }

    /// A token that is valid for some minutes, where there is a key.
    pub(super) fn token(&self) -> Option<String> {
        let now_s = now_s();
        let mut minted = self.minted.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some((token, until_s)) = minted.as_ref()
            && now_s + RENEW_S < *until_s
        {
            return Some(token.clone());
        }
        let token = self.mint(now_s)?;
        *minted = Some((token.clone(), now_s + LIFETIME_S));
        Some(token)
    }

    /// The server refused it: perhaps the key has changed.
    pub(super) fn forget(&self) {
        *self.minted.lock().unwrap_or_else(PoisonError::into_inner) = None;
    }

    fn mint(&self, now_s: u64) -> Option<String> {
        let elsewhere = match self.reach {
            Reach::Here => false,
            Reach::Elsewhere => true,
            Reach::InClear => return None,
        };
        let secret = std::env::var(SECRET_VARIABLE).ok();
        let keys = Keyring::open(self.directory.as_deref()?, secret.as_deref())
            .inspect_err(|error| tracing::warn!(%error, "no token can be made"))
            .ok()?;
        keys.signing_key(elsewhere)?.mint("shelltrack", Scopes::ALL, LIFETIME_S, now_s)
    }
}
