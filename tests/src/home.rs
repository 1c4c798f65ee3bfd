//! A home of its own for a test: directories, environment, and whatever runs in it.

use std::fs;
use std::os::unix::fs::{PermissionsExt, chown};
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use rustix::process::{Signal, geteuid};
use serde_json::Value;
use tempfile::TempDir;

use crate::binary::shelltrack;
use crate::process::{Finished, Stranger, end_stranger, processes_of, run_bounded, signal_stranger};
use crate::record::Record;
use crate::wait::{BOUND, wait_at_most};

/// How long a process may take to end after it was told to, before it counts as left behind.
const ENDS_WITHIN: Duration = Duration::from_secs(10);

/// More than any test makes: `--limit` so that no list is cut.
const LIMIT_ALL: &str = "1000";

/// A user who owns nothing.
const NOBODY: u32 = 65_534;

/// A user's home, made for one test and removed after it.
pub struct Home {
    directory: TempDir,
    /// Further environment of every command.
    environment: Vec<(String, String)>,
    /// The user whose home it is, where that is not the one who runs the tests.
    user: Option<u32>,
}

impl Default for Home {
    fn default() -> Self {
        Self::new()
    }
}

impl Home {
    /// An empty home.
    pub fn new() -> Self {
        let directory = tempfile::Builder::new().prefix("shelltrack-test-").tempdir().unwrap();
        let home = Self { directory, environment: Vec::new(), user: None };
        for room in ["config", "data", "state", "cache", "run", "work"] {
            fs::create_dir(home.path().join(room)).unwrap();
        }
        // XDG Base Directory Specification: the runtime directory is the user's alone.
        fs::set_permissions(home.path().join("run"), fs::Permissions::from_mode(0o700)).unwrap();
        home
    }

    /// A home whose configuration file says `toml`.
    pub fn with_config(toml: &str) -> Self {
        let home = Self::new();
        home.configure(toml);
        home
    }

    /// A home of a user for whom permissions mean something: as root another one's. `None` where that one
    /// may not run the program.
    pub fn unprivileged() -> Option<Self> {
        let mut home = Self::new();
        if geteuid().is_root() {
            home.user = Some(NOBODY);
            let rooms = fs::read_dir(home.path()).unwrap().map(|room| room.unwrap().path());
            for path in rooms.chain([home.path().to_owned()]) {
                chown(path, home.user, home.user).unwrap();
            }
        }
        let allowed = home.shelltrack_command(&["--version"]).output().is_ok_and(|ran| ran.status.success());
        allowed.then_some(home)
    }

    /// Writes the configuration file.
    pub fn configure(&self, toml: &str) {
        let directory = self.path().join("config/shelltrack");
        fs::create_dir_all(&directory).unwrap();
        fs::write(directory.join("config.toml"), toml).unwrap();
    }

    /// Puts a variable into the environment of every further command.
    pub fn set(&mut self, name: &str, value: &str) {
        self.environment.push((name.to_owned(), value.to_owned()));
    }

    /// The directory; also in the environment of everything that runs in this home.
    pub fn path(&self) -> &Path {
        self.directory.path()
    }

    /// Where shells of this home work.
    pub fn work(&self) -> PathBuf {
        self.path().join("work")
    }

    /// Any command in this home: its environment, nothing of ours but `PATH`.
    pub fn command(&self, program: impl AsRef<std::ffi::OsStr>) -> Command {
        let mut command = Command::new(program);
        command.env_clear().current_dir(self.work()).env("HOME", self.path());
        command.env("PATH", std::env::var_os("PATH").unwrap_or_default());
        for (name, room) in [
            ("XDG_CONFIG_HOME", "config"),
            ("XDG_DATA_HOME", "data"),
            ("XDG_STATE_HOME", "state"),
            ("XDG_CACHE_HOME", "cache"),
            ("XDG_RUNTIME_DIR", "run"),
        ] {
            command.env(name, self.path().join(room));
        }
        command.envs(self.environment.iter().map(|(name, value)| (name, value)));
        if let Some(user) = self.user {
            command.uid(user).gid(user);
        }
        command
    }

    /// `shelltrack` with these arguments, not started yet.
    pub fn shelltrack_command(&self, arguments: &[&str]) -> Command {
        let mut command = self.command(shelltrack());
        command.args(arguments);
        command
    }

    /// Runs `shelltrack` to its end.
    #[track_caller]
    pub fn shelltrack(&self, arguments: &[&str]) -> Finished {
        run_bounded(&mut self.shelltrack_command(arguments), BOUND)
    }

    /// `shelltrack run -- COMMAND…` to its end.
    #[track_caller]
    pub fn run(&self, command: &[&str]) -> Finished {
        self.shelltrack(&[&["run", "--component", "mahavishnu", "--"], command].concat())
    }

    /// Waits until everything accepted is delivered, at most `seconds`.
    ///
    /// # Panics
    /// When something is not, with the program's own status.
    #[track_caller]
    pub fn flush_within(&self, seconds: u64) {
        let (timeout, slack) = (seconds.to_string(), Duration::from_secs(seconds) + BOUND);
        let flushed = run_bounded(&mut self.shelltrack_command(&["flush", "--timeout", &timeout]), slack);
        if flushed.status != 0 {
            panic!("flush: {}{}\n{:#}", flushed.stdout, flushed.stderr, self.status());
        }
    }

    /// As [`Home::flush_within`], for a server that is there.
    #[track_caller]
    pub fn flush(&self) {
        self.flush_within(BOUND.as_secs());
    }

    /// All sessions, newest first.
    #[track_caller]
    pub fn sessions(&self) -> Vec<Record> {
        self.list(&[])
    }

    /// `list-sessions --json` with further arguments.
    #[track_caller]
    pub fn list(&self, arguments: &[&str]) -> Vec<Record> {
        let arguments = [&["list-sessions", "--json", "--limit", LIMIT_ALL], arguments].concat();
        match self.json(&arguments) {
            Value::Array(records) => records.into_iter().map(Record).collect(),
            other => panic!("list-sessions --json prints one array, not {other:#}"),
        }
    }

    /// `status --json`, whether all is well (exit status 0) or a person is needed (1).
    #[track_caller]
    pub fn status(&self) -> Value {
        let told = self.shelltrack(&["status", "--json"]);
        assert!([0, 1].contains(&told.status), "{told:?}");
        parse(&told.stdout)
    }

    /// Runs `shelltrack` with arguments that make it print one JSON value.
    #[track_caller]
    pub fn json(&self, arguments: &[&str]) -> Value {
        parse(&self.shelltrack(arguments).expect(0).stdout)
    }

    /// The spool of this machine in this home.
    ///
    /// # Panics
    /// When there is none yet.
    #[track_caller]
    pub fn spool(&self) -> PathBuf {
        let rooms = fs::read_dir(self.path().join("state/shelltrack")).unwrap().flatten();
        rooms.map(|room| room.path()).find(|path| path.join("new").is_dir()).unwrap()
    }

    /// Every process that runs in this home, but for the test itself.
    pub fn processes(&self) -> Vec<Stranger> {
        // The last component alone: the path to it may be spelt with and without symbolic links.
        processes_of(self.path().file_name().unwrap())
    }

    /// The agents among them that started themselves.
    pub fn agents(&self) -> Vec<Stranger> {
        let detached = |process: &Stranger| process.command.contains("--detached");
        self.processes().into_iter().filter(detached).collect()
    }

    /// Ends the agents by a signal and waits until nothing of them is left.
    #[track_caller]
    pub fn end_agents(&self, signal: Signal) {
        self.agents().iter().for_each(|agent| end_stranger(agent, signal));
    }

    /// Every file below this home with its content: to see that something changed nothing.
    pub fn files(&self) -> Vec<(PathBuf, Vec<u8>)> {
        let mut found = Vec::new();
        let mut rooms = vec![self.path().to_owned()];
        while let Some(room) = rooms.pop() {
            for entry in fs::read_dir(room).unwrap().map(Result::unwrap) {
                match entry.file_type().unwrap().is_dir() {
                    true => rooms.push(entry.path()),
                    false => found.push((entry.path(), fs::read(entry.path()).unwrap_or_default())),
                }
            }
        }
        found.sort();
        found
    }

    /// Tells everything that runs here to end and waits for it; gives what did not.
    fn end_processes(&self) -> Vec<Stranger> {
        for process in self.processes() {
            signal_stranger(&process, Signal::TERM);
        }
        let gone = wait_at_most(ENDS_WITHIN, || self.processes().is_empty().then_some(()));
        if gone.is_some() {
            return Vec::new();
        }
        let left = self.processes();
        for process in &left {
            signal_stranger(process, Signal::KILL);
        }
        left
    }
}

#[track_caller]
fn parse(printed: &str) -> Value {
    serde_json::from_str(printed).unwrap_or_else(|error| panic!("no JSON value: {error} in {printed}"))
}

impl Drop for Home {
    fn drop(&mut self) {
        let left = self.end_processes();
        // A second panic would abort and hide the first one.
        if !left.is_empty() && !std::thread::panicking() {
            panic!("still running {ENDS_WITHIN:?} after SIGTERM, killed now: {left:#?}");
        }
    }
}
