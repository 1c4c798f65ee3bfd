//! Which Session-Buddy an event goes to. Written into the spool file when the shell starts, so that
//! a later change of configuration does not move it. Never holds a secret.

use std::fmt;
use std::path::PathBuf;

use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

/// A Session-Buddy MCP server.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(tag = "transport", rename_all = "lowercase")]
pub enum Target {
    /// The one inside this program, over a SQLite file.
    Embedded {
        /// Absolute path of the database.
        database: PathBuf,
    },
    /// A child process that speaks MCP on stdin and stdout.
    Stdio {
        /// Absolute path of the program.
        command: PathBuf,
        /// Its arguments.
        args: Vec<String>,
    },
    /// A server that speaks MCP over streamable HTTP.
    Http {
        /// Its URL, such as `http://127.0.0.1:8678/mcp`.
        url: String,
    },
}

impl Target {
    /// Short name for files: 16 hexadecimal digits, the same for the same target.
    pub fn id(&self) -> String {
        let text = serde_json::to_string(self).unwrap_or_else(|_| format!("{self:?}"));
        Sha256::digest(text.as_bytes()).iter().take(8).map(|byte| format!("{byte:02x}")).collect()
    }

    /// To be shown: in place of each argument of a program stands `…`. Somebody may have put a token there,
    /// and no rule knows every name it goes by.
    #[must_use]
    pub fn without_arguments(&self) -> Self {
        match self {
            Self::Stdio { command, args } => {
                Self::Stdio { command: command.clone(), args: vec!["…".to_owned(); args.len()] }
            }
            other => other.clone(),
        }
    }
}

impl fmt::Display for Target {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Embedded { database } => write!(f, "embedded ({})", database.display()),
            // Without its arguments: this is for logs, and somebody may have put a token there.
            Self::Stdio { command, .. } => write!(f, "stdio ({})", command.display()),
            Self::Http { url } => write!(f, "http ({url})"),
        }
    }
}
