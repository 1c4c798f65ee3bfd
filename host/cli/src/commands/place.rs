//! Where `serve` and its kin find the sessions: what a flag names, else what `[server]` says, else the embedded
//! Session-Buddy's file. Never repeats a URL: it may hold a password.

use std::path::{Path, PathBuf};

use shelltrack_sandbox::Profile;
use shelltrack_server::{Server, Writing};

use crate::config::{SessionBuddy, Settings, Transport};
use crate::config_file::holds_password;
use crate::embedded;
use crate::failure::{Failure, tell};

/// How URLs of PostgreSQL begin.
const SCHEMES: [&str; 2] = ["postgres://", "postgresql://"];

enum Sessions {
    Sqlite(PathBuf),
    Postgres(String),
}

/// Where sessions are, and what else is configured.
pub(super) struct Place {
    sessions: Sessions,
    settings: Settings,
}

impl Place {
    /// What was named, or is configured.
    pub(super) fn find(config: Option<&Path>, named: Option<&Path>) -> Result<Self, Failure> {
        // Whatever Session-Buddy shells here report to: this is about our own.
        let flags = SessionBuddy { transport: Some(Transport::Embedded), ..SessionBuddy::default() };
        let settings = Settings::load(config, &flags)?;
        let sessions = match (named, settings.server.database.as_deref()) {
            (Some(named), _) => match named.to_str().filter(|text| text.contains("://")) {
                Some(url) if is_url(url) => typed(url),
                Some(_) => {
                    return Err(Failure::Usage(
                        "--database: must be a file, or a URL such as postgres://USER@HOST/NAME".to_owned(),
                    ));
                }
                None => Sessions::Sqlite(
                    std::path::absolute(named)
                        .map_err(|error| Failure::Usage(format!("--database: {error}")))?,
                ),
            },
            (None, Some(url)) if is_url(url) => Sessions::Postgres(url.to_owned()),
            (None, Some(path)) if Path::new(path).is_absolute() => Sessions::Sqlite(path.into()),
            (None, Some(_)) => {
                return Err(Failure::Usage(
                    "server.database: must be an absolute path, or a URL such as postgres://USER@HOST/NAME"
                        .to_owned(),
                ));
            }
            (None, None) => Sessions::Sqlite(settings.database.clone()),
        };
        Ok(Self { sessions, settings })
    }

    /// Where that is, for a person who reads it. Only of a URL that could be opened: one that is malformed may
    /// have its password anywhere.
    pub(super) fn told(&self) -> String {
        match &self.sessions {
            Sessions::Sqlite(path) => path.display().to_string(),
            Sessions::Postgres(url) => {
                let address = url.split('?').next().unwrap_or_default();
                let place = address.rsplit('@').next().unwrap_or_default();
                format!("PostgreSQL at {}", place.rsplit("://").next().unwrap_or_default())
            }
        }
    }

    /// Refuses a SQLite file that was named and is not there: what is misspelt must not pass for an empty one.
    pub(super) fn there(self, named: Option<&Path>) -> Result<Self, Failure> {
        match &self.sessions {
            Sessions::Sqlite(path) if named.is_some() && !path.exists() => {
                Err(Failure::Usage(format!("--database: there is no file {}", path.display())))
            }
            _ => Ok(self),
        }
    }

    /// A server that stays and writes.
    pub(super) async fn serving(&self) -> Result<Server, Failure> {
        let sandbox = self.settings.sandbox(Profile::Service)?;
        match &self.sessions {
            Sessions::Postgres(url) => Server::connect(url, sandbox).await.map_err(failed),
            Sessions::Sqlite(path) => embedded::open_writing(path, sandbox).map_err(Failure::Failed),
        }
    }

    /// A server that reads: of a SQLite file nothing is made or changed.
    pub(super) async fn reading(&self) -> Result<Server, Failure> {
        let sandbox = self.settings.sandbox(Profile::OneShot)?;
        match &self.sessions {
            Sessions::Postgres(url) => Server::connect(url, sandbox).await.map_err(failed),
            Sessions::Sqlite(path) => Server::open_read_only(path, sandbox).map_err(failed),
        }
    }

    /// A copy, to be read.
    pub(super) fn copy(&self, path: &Path) -> Result<Server, Failure> {
        Server::open_read_only(path, self.settings.sandbox(Profile::OneShot)?).map_err(failed)
    }

    /// Somebody who changes what a command wants changed.
    pub(super) async fn writing(&self) -> Result<Writing, Failure> {
        let sandbox = self.settings.sandbox(Profile::OneShot)?;
        match &self.sessions {
            Sessions::Postgres(url) => Server::connect(url, sandbox).await.map(Writing::over).map_err(failed),
            Sessions::Sqlite(path) => {
                embedded::make_directory(path).map_err(Failure::Failed)?;
                Writing::open(path, sandbox).await.map_err(failed)
            }
        }
    }
}

fn is_url(text: &str) -> bool {
    SCHEMES.iter().any(|scheme| text.starts_with(scheme))
}

fn typed(url: &str) -> Sessions {
    if holds_password(url) {
        tell("--database: others can read a password on the command line; a passfile or PGPASSWORD keeps it");
    }
    Sessions::Postgres(url.to_owned())
}

fn failed(error: shelltrack_server::Error) -> Failure {
    Failure::Failed(error.to_string())
}
