//! The table of redaction rules that need more than a prefix (those are in `tokens`), each with
//! examples that are its tests. The scanners are written by hand: a regex engine would build its
//! automata anew in each call.

use crate::redact::{Finding, Secrets};
use crate::{calls, commands, pairs, piped, shapes, tokens, urls, words};

/// A scanner: looks through a text and points at what it takes for a secret.
pub(crate) type Find = fn(text: &str, rule: &'static str, secrets: &Secrets<'_>, found: &mut Vec<Finding>);

/// A named rule.
pub(crate) struct Rule {
    /// Stable name, told in `change.detail`.
    pub(crate) name: &'static str,
    /// Its scanner.
    pub(crate) find: Find,
}

/// All rules; the order decides which name is told when findings begin at the same place.
pub(crate) static RULES: &[Rule] = &[
    Rule { name: "private-key", find: |t, r, _, f| shapes::find_private_keys(t, r, f) },
    Rule { name: "word", find: |t, _, _, f| words::find_words(t, f) },
    Rule { name: "token", find: |t, _, _, f| tokens::find(t, f) },
    Rule { name: "password-hash", find: |t, r, _, f| shapes::find_password_hashes(t, r, f) },
    Rule { name: "marked-secret", find: |t, _, _, f| shapes::find_marked(t, f) },
    Rule { name: "telegram-token", find: |t, r, _, f| shapes::find_telegram_tokens(t, r, f) },
    Rule { name: "firebase-key", find: |t, r, _, f| shapes::find_firebase_keys(t, r, f) },
    Rule { name: "asana-token", find: |t, r, _, f| shapes::find_asana_tokens(t, r, f) },
    Rule { name: "aws-secret-key", find: |t, r, _, f| shapes::find_aws_secret_keys(t, r, f) },
    Rule { name: "url-userinfo", find: |t, r, _, f| urls::find_userinfo(t, r, f) },
    Rule { name: "url-userinfo", find: |t, r, _, f| urls::find_dsn(t, r, f) },
    Rule { name: "webhook-url", find: |t, r, _, f| urls::find_webhooks(t, r, f) },
    // Also `bearer`: both look at every word.
    Rule { name: "key-value", find: pairs::find_pairs },
    Rule { name: "option-credentials", find: |t, r, _, f| commands::find_options(t, r, f) },
    Rule { name: "call-argument", find: |t, r, _, f| calls::find_arguments(t, r, f) },
    Rule { name: "piped-password", find: |t, r, _, f| piped::find_piped(t, r, f) },
    Rule { name: "pgpass-line", find: |t, r, _, f| piped::find_pgpass(t, r, f) },
    Rule { name: "oracle-credentials", find: |t, r, _, f| piped::find_oracle(t, r, f) },
];
