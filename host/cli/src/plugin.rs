//! Which component does the work: the one inside this program, or another one that is configured by
//! path and digest (table `[plugin]`). What such a component may do is the sandbox's business.

use std::path::PathBuf;
use std::sync::Arc;

use serde::Deserialize;
use shelltrack_sandbox::{Profile, Sandbox};

use crate::failure::Failure;

/// Hexadecimal digits of a SHA-256.
const DIGEST_DIGITS: usize = 64;

/// Table `[plugin]`: a component in the place of the built-in one.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(crate) struct Plugin {
    /// The component, an absolute path.
    pub(crate) path: Option<PathBuf>,
    /// SHA-256 of the file, in hexadecimal.
    pub(crate) sha256: Option<String>,
}

impl Plugin {
    /// A digest belongs to the path it was given with.
    pub(crate) fn before(self, lower: Self) -> Self {
        Self {
            sha256: if self.path.is_some() { self.sha256 } else { self.sha256.or(lower.sha256) },
            path: self.path.or(lower.path),
        }
    }
}

/// The component that is used.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Choice {
    /// The one inside this program.
    BuiltIn,
    /// One from a file.
    File {
        path: PathBuf,
        sha256: String,
        /// Where its machine code is kept.
        cache_dir: PathBuf,
    },
}

impl Choice {
    /// What the table means. Path and digest are given together or not at all.
    pub(crate) fn new(said: Plugin, cache_dir: PathBuf) -> Result<Self, Failure> {
        let wrong = |key: &str, rule: &str| Err(Failure::Usage(format!("plugin.{key}: {rule}")));
        let (path, sha256) = match (said.path, said.sha256) {
            (None, None) => return Ok(Self::BuiltIn),
            (Some(path), Some(sha256)) => (path, sha256),
            (Some(_), None) => {
                return wrong("sha256", "is missing; `shelltrack plugin check FILE` prints it");
            }
            (None, Some(_)) => return wrong("path", "is missing, and sha256 is given"),
        };
        if !path.is_absolute() {
            return wrong("path", "must be an absolute path");
        }
        if sha256.len() != DIGEST_DIGITS || !sha256.bytes().all(|b| b.is_ascii_hexdigit()) {
            return wrong("sha256", "must be 64 hexadecimal digits");
        }
        Ok(Self::File { path, sha256, cache_dir })
    }

    /// Loads it. There is no falling back to the built-in one: what a component of the company's own
    /// was to hide would otherwise be stored after all.
    pub(crate) fn load(&self, profile: Profile) -> Result<Arc<Sandbox>, Failure> {
        let loaded = match self {
            Self::BuiltIn => Sandbox::standard(profile),
            Self::File { path, sha256, cache_dir } => Sandbox::from_file(path, sha256, cache_dir, profile),
        };
        let told = |error: shelltrack_sandbox::Error| match self {
            Self::BuiltIn => error.to_string(),
            Self::File { path, .. } => format!("plugin {}: {error}", path.display()),
        };
        loaded.map(Arc::new).map_err(|error| Failure::Failed(told(error)))
    }

    /// Arguments that make an agent use the same one: it does not see the configuration of the shell
    /// that starts it.
    pub(crate) fn arguments(&self) -> Vec<String> {
        match self {
            Self::BuiltIn => Vec::new(),
            Self::File { path, sha256, .. } => {
                vec![format!("--plugin={}", path.display()), format!("--plugin-sha256={sha256}")]
            }
        }
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "a test may fail by panic")]
mod tests {
    use super::*;

    fn said(path: &str, sha256: &str) -> Plugin {
        let given = |text: &str| Some(text.to_owned()).filter(|text| !text.is_empty());
        Plugin { path: given(path).map(PathBuf::from), sha256: given(sha256) }
    }

    #[track_caller]
    fn check_wrong(path: &str, sha256: &str, expected: &str) {
        let error = Choice::new(said(path, sha256), "/cache".into()).unwrap_err().to_string();
        assert!(error.contains(expected), "{error}");
    }

    #[test]
    fn path_and_digest_are_given_together_or_not_at_all() {
        assert_eq!(Choice::new(said("", ""), "/cache".into()).unwrap(), Choice::BuiltIn);
        check_wrong("/a.wasm", "", "plugin.sha256: is missing");
        check_wrong("", &"0".repeat(64), "plugin.path: is missing");
        check_wrong("a.wasm", &"0".repeat(64), "plugin.path: must be an absolute path");
        check_wrong("/a.wasm", "0123", "plugin.sha256: must be 64 hexadecimal digits");
    }

    #[test]
    fn a_digest_is_never_taken_for_that_of_another_path() {
        assert_eq!(said("/a", "").before(said("/b", "00")), said("/a", ""));
        assert_eq!(said("", "11").before(said("/b", "00")), said("/b", "11"));
    }
}
