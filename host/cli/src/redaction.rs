//! Table `[redaction]`: what of a shell is hidden, and what else is a secret. The rules themselves are the
//! component's.

use serde::Deserialize;
use shelltrack_sandbox::types::Policy;

use crate::failure::Failure;

/// Redaction keys and prefixes the component takes: more would be ignored, and secrets with them.
const REDACTION_ENTRIES_MAX: usize = 64;
/// Longest redaction key or prefix the component takes.
const REDACTION_ENTRY_SCALARS_MAX: usize = 64;
/// Shortest prefix the component takes: shorter ones would hit ordinary words.
const SECRET_PREFIX_SCALARS_MIN: usize = 4;

/// Table `[redaction]`: what is hidden beyond the built-in rules.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(crate) struct Redaction {
    pub(crate) hide_cwd: Option<bool>,
    pub(crate) hide_home: Option<bool>,
    pub(crate) hide_hostname: Option<bool>,
    pub(crate) hide_username: Option<bool>,
    pub(crate) secret_keys: Option<Vec<String>>,
    pub(crate) secret_prefixes: Option<Vec<String>>,
}

impl Redaction {
    pub(crate) fn before(self, lower: Self) -> Self {
        Self {
            hide_cwd: self.hide_cwd.or(lower.hide_cwd),
            hide_home: self.hide_home.or(lower.hide_home),
            hide_hostname: self.hide_hostname.or(lower.hide_hostname),
            hide_username: self.hide_username.or(lower.hide_username),
            secret_keys: self.secret_keys.or(lower.secret_keys),
            secret_prefixes: self.secret_prefixes.or(lower.secret_prefixes),
        }
    }
}

/// What the table means.
pub(crate) fn policy(said: Redaction) -> Result<Policy, Failure> {
    let secret_keys = entries("secret_keys", said.secret_keys, 1)?;
    let secret_prefixes = entries("secret_prefixes", said.secret_prefixes, SECRET_PREFIX_SCALARS_MIN)?;
    Ok(Policy {
        hide_cwd: said.hide_cwd.unwrap_or(false),
        hide_home: said.hide_home.unwrap_or(false),
        hide_hostname: said.hide_hostname.unwrap_or(false),
        hide_username: said.hide_username.unwrap_or(false),
        secret_keys,
        secret_prefixes,
    })
}

fn entries(key: &str, said: Option<Vec<String>>, scalars_min: usize) -> Result<Vec<String>, Failure> {
    let said = said.unwrap_or_default();
    let fits = |entry: &String| (scalars_min..=REDACTION_ENTRY_SCALARS_MAX).contains(&entry.chars().count());
    if said.len() > REDACTION_ENTRIES_MAX || !said.iter().all(fits) {
        return Err(Failure::Usage(format!(
            "redaction.{key}: takes at most {REDACTION_ENTRIES_MAX} entries of {scalars_min} to \
             {REDACTION_ENTRY_SCALARS_MAX} characters"
        )));
    }
    Ok(said)
}
