//! What is configured: flags before variables before the file. Where events go is settled here, once;
//! what follows only sees a [`Target`]. Reads no secret, and refuses to be given one.

use std::env;
use std::ffi::OsStr;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use clap::ValueEnum;
use serde::Deserialize;
use shelltrack_sandbox::types::Policy;
use shelltrack_sandbox::{Profile, Sandbox};
use shelltrack_tracker::{AgentCommand, StartLimit, Target, Tracker, Tuning};

use crate::config_file::read_file;
use crate::failure::Failure;
use crate::places::{Places, find_program};
use crate::plugin::{Choice, Plugin};
use crate::redaction::{Redaction, policy};
use crate::tuning::{self, Breaker, DeadLetters, Delivery, Limits};
use crate::variables;

/// Where `shelltrack serve --http` and `session-buddy start` listen when nothing else is said.
const URL_DEFAULT: &str = "http://127.0.0.1:8678/mcp";
/// The component a shell is said to administer when nothing else is said.
pub(crate) const COMPONENT_DEFAULT: &str = "shell";

/// How a Session-Buddy is reached.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize, ValueEnum)]
#[serde(rename_all = "lowercase")]
pub(crate) enum Transport {
    /// The one inside this program, over a SQLite file.
    Embedded,
    /// A child process that speaks MCP on stdin and stdout.
    Stdio,
    /// A server that speaks MCP over streamable HTTP.
    Http,
}

/// Which Session-Buddy events go to: table `[session-buddy]`, and the flags of the same meaning.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize, clap::Args)]
#[serde(deny_unknown_fields, default)]
pub(crate) struct SessionBuddy {
    /// How Session-Buddy is reached [default: what the other options imply, else embedded]
    #[arg(long, value_enum, value_name = "TRANSPORT", help_heading = "Session-Buddy")]
    pub(crate) transport: Option<Transport>,
    /// URL of a Session-Buddy, such as http://127.0.0.1:8678/mcp; implies --transport http
    #[arg(long, value_name = "URL", help_heading = "Session-Buddy")]
    pub(crate) url: Option<String>,
    /// Program that speaks MCP on stdin and stdout; implies --transport stdio
    #[arg(
        long = "server-command",
        id = "server_command",
        value_name = "PROGRAM",
        help_heading = "Session-Buddy"
    )]
    pub(crate) command: Option<String>,
    /// One argument of that program; repeat it for more
    #[arg(
        long = "server-arg",
        id = "server_arg",
        value_name = "ARG",
        allow_hyphen_values = true,
        help_heading = "Session-Buddy"
    )]
    pub(crate) args: Option<Vec<String>>,
    /// SQLite file of the embedded Session-Buddy [default: $XDG_DATA_HOME/shelltrack/sessions.db]
    #[arg(long, value_name = "PATH", help_heading = "Session-Buddy")]
    pub(crate) database: Option<PathBuf>,
}

/// Table `[session]`: what sessions are called.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(crate) struct Session {
    /// Component of shells that name none.
    pub(crate) component: Option<String>,
}

/// Table `[server]`: what `serve` and its kin use when no flag says otherwise.
#[derive(Clone, Default, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(crate) struct ServerTable {
    /// SQLite file or `postgres://` URL of the sessions.
    pub(crate) database: Option<String>,
}

impl std::fmt::Debug for ServerTable {
    /// The URL may hold a password.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("ServerTable").field("database", &self.database.as_ref().map(|_| "…")).finish()
    }
}

/// What one source says: the flags, the variables or the file.
#[derive(Clone, Debug, Default, PartialEq, Deserialize)]
#[serde(deny_unknown_fields, default, rename_all = "kebab-case")]
pub(crate) struct Layer {
    pub(crate) session_buddy: SessionBuddy,
    pub(crate) session: Session,
    pub(crate) redaction: Redaction,
    pub(crate) breaker: Breaker,
    pub(crate) delivery: Delivery,
    pub(crate) dead_letters: DeadLetters,
    pub(crate) limits: Limits,
    pub(crate) plugin: Plugin,
    pub(crate) server: ServerTable,
}

/// What holds in the end.
#[derive(Clone, Debug)]
pub(crate) struct Settings {
    /// The file that was read, whether it exists or not.
    pub(crate) file: PathBuf,
    /// Where events go.
    pub(crate) target: Target,
    /// The embedded Session-Buddy's database, whether events go there or not.
    pub(crate) database: PathBuf,
    /// What `serve` and its kin are told.
    pub(crate) server: ServerTable,
    /// Component of shells that name none.
    pub(crate) component: String,
    /// What is hidden.
    pub(crate) policy: Policy,
    /// How an agent delivers.
    pub(crate) tuning: Tuning,
    /// How many sessions may begin.
    pub(crate) start_limit: StartLimit,
    /// The component that does the work.
    pub(crate) plugin: Choice,
    /// Where spools and logs are.
    pub(crate) state_dir: PathBuf,
    /// The file as `--config` named it: an agent that is started reads the same one.
    named_file: Option<PathBuf>,
}

impl Settings {
    /// Reads the file and the variables and puts the flags before them. `file` is the one named by
    /// `--config`, which then has to exist.
    pub(crate) fn load(file: Option<&Path>, flags: &SessionBuddy) -> Result<Self, Failure> {
        let (settings, unknown) = Self::load_leniently(file, flags)?;
        unknown.into_iter().next().map_or(Ok(settings), |unknown| Err(Failure::Usage(unknown)))
    }

    /// As [`Self::load`], but variables that nobody knows are given back instead of refused: a typing
    /// mistake must not lose a record. In `[redaction]` it is refused even so: what was to be hidden
    /// could be shown.
    pub(crate) fn load_leniently(
        file: Option<&Path>,
        flags: &SessionBuddy,
    ) -> Result<(Self, Vec<String>), Failure> {
        let named_file = file.map(std::path::absolute).transpose();
        let named_file = named_file.map_err(|error| Failure::Usage(format!("--config: {error}")))?;
        let places = Places::find()?;
        let (path, must_exist) = match file {
            Some(path) => (path.to_owned(), true),
            None => (places.config_file(), false),
        };
        let file = read_file(&path, must_exist)?;
        let (variables, unknown) = variables::read(env::vars_os())?;
        let flags = Layer { session_buddy: absolute(flags)?, ..Layer::default() };
        let layer = merge([flags, variables, file])?;
        let database = database(&layer.session_buddy, &places)?;
        let project = env::var_os("SESSION_BUDDY_PATH");
        let settings = Self {
            file: path,
            target: target(&layer.session_buddy, &database, project.as_deref())?,
            database,
            server: layer.server,
            component: layer.session.component.unwrap_or_else(|| COMPONENT_DEFAULT.to_owned()),
            policy: policy(layer.redaction)?,
            tuning: tuning::settle(&layer.breaker, &layer.delivery, &layer.dead_letters)?,
            start_limit: layer.limits.settle()?,
            plugin: Choice::new(layer.plugin, places.component_cache())?,
            state_dir: places.state_dir(),
            named_file,
        };
        Ok((settings, unknown))
    }

    /// What is left when the configuration cannot be used: enough to end a session, whose target was
    /// settled when it started.
    pub(crate) fn without_configuration() -> Result<Self, Failure> {
        let places = Places::find()?;
        let database = places.database();
        Ok(Self {
            file: places.config_file(),
            target: Target::Embedded { database: database.clone() },
            database,
            server: ServerTable::default(),
            component: COMPONENT_DEFAULT.to_owned(),
            policy: Policy::default(),
            tuning: Tuning::default(),
            start_limit: StartLimit::default(),
            plugin: Choice::BuiltIn,
            state_dir: places.state_dir(),
            named_file: None,
        })
    }

    /// The sandbox with the component that does the work.
    pub(crate) fn sandbox(&self, profile: Profile) -> Result<Arc<Sandbox>, Failure> {
        self.plugin.load(profile)
    }

    /// The tracker these settings mean; agents it needs are started from this very program.
    pub(crate) fn tracker(&self, sandbox: Arc<Sandbox>) -> Result<Tracker, shelltrack_tracker::Error> {
        let program = env::current_exe().ok();
        let named_file = self.named_file.as_deref().and_then(Path::to_str);
        let config_args = named_file.map(|file| format!("--config={file}"));
        let args: Vec<_> =
            config_args.into_iter().chain(["agent".to_owned()]).chain(self.plugin.arguments()).collect();
        let config = shelltrack_tracker::Config {
            state_dir: self.state_dir.clone(),
            target: self.target.clone(),
            policy: self.policy.clone(),
            start_limit: self.start_limit,
            agent: program.map(|program| AgentCommand { program, args }),
        };
        Tracker::open(config, sandbox)
    }

    /// The spool of this user and machine, made when it is missing.
    pub(crate) fn spool(&self) -> Result<PathBuf, shelltrack_tracker::Error> {
        shelltrack_tracker::spool_in(&self.state_dir)
    }
}

/// Paths that were typed are meant from the working directory, which the agent does not share.
fn absolute(flags: &SessionBuddy) -> Result<SessionBuddy, Failure> {
    let mut flags = flags.clone();
    if let Some(database) = &mut flags.database {
        *database = std::path::absolute(&*database)
            .map_err(|error| Failure::Usage(format!("--database: {error}")))?;
    }
    if let Some(command) = flags.command.as_mut().filter(|command| command.contains('/')) {
        let path = std::path::absolute(&*command)
            .map_err(|error| Failure::Usage(format!("--server-command: {error}")))?;
        // It was text before, and the working directory is added as it is named.
        *command = path.to_string_lossy().into_owned();
    }
    Ok(flags)
}

/// The first layer that says something wins. A layer that names a Session-Buddy without saying how it
/// is reached implies it, so that a URL in a variable is not lost to a transport in the file.
fn merge(layers: [Layer; 3]) -> Result<Layer, Failure> {
    layers.into_iter().try_fold(Layer::default(), |higher, mut lower| {
        // What is overridden may as well contradict itself.
        if higher.session_buddy.transport.is_none() {
            lower.session_buddy.transport = implied(&lower.session_buddy)?;
        }
        Ok(Layer {
            session_buddy: higher.session_buddy.before(lower.session_buddy),
            session: Session { component: higher.session.component.or(lower.session.component) },
            redaction: higher.redaction.before(lower.redaction),
            breaker: higher.breaker.before(lower.breaker),
            delivery: higher.delivery.before(lower.delivery),
            dead_letters: higher.dead_letters.before(lower.dead_letters),
            limits: higher.limits.before(lower.limits),
            plugin: higher.plugin.before(lower.plugin),
            server: ServerTable { database: higher.server.database.or(lower.server.database) },
        })
    })
}

fn implied(said: &SessionBuddy) -> Result<Option<Transport>, Failure> {
    if said.transport.is_some() {
        return Ok(said.transport);
    }
    match (&said.url, &said.command, &said.database) {
        (Some(_), None, _) => Ok(Some(Transport::Http)),
        (None, Some(_), _) => Ok(Some(Transport::Stdio)),
        (None, None, Some(_)) => Ok(Some(Transport::Embedded)),
        (None, None, None) => Ok(None),
        (Some(_), Some(_), _) => Err(Failure::Usage(
            "[session-buddy]: url and command exclude each other unless transport says which one holds"
                .to_owned(),
        )),
    }
}

impl SessionBuddy {
    /// What is wrong with flags, whatever else is configured.
    pub(crate) fn check_typed(&self) -> Result<(), Failure> {
        let said = absolute(self)?;
        implied(&said)?;
        let url = said.url.as_deref().map_or(Ok(()), check_url);
        url.map_err(|rule| Failure::Usage(format!("session-buddy.url: {rule}")))?;
        said.command.as_deref().map_or(Ok(()), |command| program(command).map(drop))
    }

    fn before(self, lower: Self) -> Self {
        Self {
            transport: self.transport.or(lower.transport),
            url: self.url.or(lower.url),
            // Arguments belong to the program they were given with.
            args: if self.command.is_some() { self.args } else { self.args.or(lower.args) },
            command: self.command.or(lower.command),
            database: self.database.or(lower.database),
        }
    }
}

/// `project` is `SESSION_BUDDY_PATH`: a checkout of the Python Session-Buddy, used when nothing else
/// is said.
fn target(said: &SessionBuddy, database: &Path, project: Option<&OsStr>) -> Result<Target, Failure> {
    let project = project.filter(|path| !path.is_empty());
    match (said.transport, project) {
        (None, Some(project)) => python(project),
        (None | Some(Transport::Embedded), _) => Ok(Target::Embedded { database: database.to_owned() }),
        (Some(Transport::Stdio), project) => match (&said.command, project) {
            (Some(command), _) => {
                Ok(Target::Stdio { command: program(command)?, args: said.args.clone().unwrap_or_default() })
            }
            (None, Some(project)) => python(project),
            (None, None) => Err(Failure::Usage(
                "session-buddy.command: is missing, and transport = \"stdio\" needs it".to_owned(),
            )),
        },
        (Some(Transport::Http), _) => {
            let url = said.url.clone().unwrap_or_else(|| URL_DEFAULT.to_owned());
            check_url(&url).map_err(|rule| Failure::Usage(format!("session-buddy.url: {rule}")))?;
            Ok(Target::Http { url })
        }
    }
}

fn database(said: &SessionBuddy, places: &Places) -> Result<PathBuf, Failure> {
    let database = said.database.clone().unwrap_or_else(|| places.database());
    if !database.is_absolute() {
        return Err(Failure::Usage("session-buddy.database: must be an absolute path".to_owned()));
    }
    Ok(database)
}

fn python(project: &OsStr) -> Result<Target, Failure> {
    let path = std::path::absolute(project)
        .ok()
        .and_then(|path| path.into_os_string().into_string().ok())
        .ok_or_else(|| Failure::Usage("SESSION_BUDDY_PATH: must be UTF-8".to_owned()))?;
    let args = ["--directory", &path, "run", "python", "-m", "session_buddy"];
    Ok(Target::Stdio { command: program("uv")?, args: args.map(str::to_owned).to_vec() })
}

/// The program's absolute path. One that is not found here keeps its name: what is recorded now must
/// not depend on it, the agent looks for it again, and `status` tells when it cannot be started.
fn program(command: &str) -> Result<PathBuf, Failure> {
    if command.is_empty() || command.contains('\0') {
        return Err(Failure::Usage("session-buddy.command: must name a program".to_owned()));
    }
    if command.contains('/') && !command.starts_with('/') {
        return Err(Failure::Usage(
            "session-buddy.command: must be an absolute path or a name to be found in PATH".to_owned(),
        ));
    }
    Ok(find_program(OsStr::new(command)).unwrap_or_else(|| PathBuf::from(command)))
}

/// The URL goes into files and messages, so a password has no place in it.
fn check_url(url: &str) -> Result<(), &'static str> {
    let rest = url.strip_prefix("http://").or_else(|| url.strip_prefix("https://"));
    let rest = rest.ok_or("must begin with http:// or https://, such as http://127.0.0.1:8678/mcp")?;
    let host = rest.split(['/', '?', '#']).next().unwrap_or_default();
    if host.is_empty() || host.starts_with(':') {
        return Err("names no host");
    }
    if host.contains('@') {
        return Err("must not hold a user name or a password");
    }
    if url.contains(['?', '#']) {
        return Err(
            "must not hold a query or a fragment: it is written down, and a token in it would be too",
        );
    }
    if url.chars().any(|c| c.is_whitespace() || c.is_control()) {
        return Err("must not hold white space or control characters");
    }
    Ok(())
}

#[cfg(test)]
#[path = "config_tests.rs"]
mod tests;
