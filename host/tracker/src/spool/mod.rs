//! The spool: the whole truth about what was accepted and is not yet delivered, readable with `ls`
//! and `cat`.
//!
//! ```text
//! spool-MACHINE-NAMESPACE/      0700, of the effective user
//!   tmp/                        files being written; KEY.refused: no such session comes
//!   new/KEY.{start,gone,end}.json   accepted events; they stay until the server has them
//!   open/KEY.json               what the agent knows of a session
//!   dead/KEY.{start,…}.json     dead letters, with the reason (other names there: `letters`)
//!   aside/ID{,.json}            what was found here and is not ours, or damaged; with the reason
//!   format                      version of all this; another version does not touch it
//!   target-ID.json              what the agent last saw of a target
//!   order-ID.json               what a person orders of its breaker
//!   breaker-ID.json             its breaker
//!   agent.json, agent.last.json, *.lock   the agent
//!   fill.json, rate             how full the spool is; how many may start (its modification time)
//!   flushed                     when a flush last told of dead letters (its modification time)
//!   emissions*, metrics.json    what shells leave to be counted; the counters
//!   history*.jsonl              the last sessions that were delivered
//!   agent.log*                  the agent's log
//! ```
//!
//! A shell's process writes one file and reads no directory. Nothing here talks to anybody.

mod aside;
mod envelope;
mod file;
mod format;
mod letters;
mod place;
mod refusal;
#[cfg(test)]
mod tests;
mod watch;

use std::ffi::OsString;
use std::fs::{self, DirBuilder};
use std::io;
use std::os::unix::fs::{DirBuilderExt, MetadataExt};
use std::path::{Path, PathBuf};
use std::time::Duration;

use serde::{Deserialize, Serialize, de::DeserializeOwned};
use uuid::Uuid;

pub(crate) use envelope::{Envelope, FORMAT, Kind, Opened};
pub(crate) use file::{NONBLOCK, is_files_fault, remove};
pub(crate) use place::siblings;
pub use refusal::Refusal;
pub(crate) use watch::{Seen, watch_new};

use crate::Error;
use crate::fault::Part;

/// Waiting events at which a new start is refused: a day of a hundred shells a minute, twice.
pub(crate) const EVENTS_MAX: u64 = 250_000;
/// Waiting bytes at which a new start is refused: what a home with a quota can spare.
pub(crate) const BYTES_MAX: u64 = 512 << 20;

/// Age at which a file in `tmp/` belongs to a writer that was killed: a write takes milliseconds.
const ABANDONED: Duration = Duration::from_secs(3600);

/// How full the spool is, as the agent last published it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Fill {
    pub(crate) events: u64,
    pub(crate) bytes: u64,
}

/// A spool directory.
#[derive(Clone, Debug)]
pub(crate) struct Spool {
    root: PathBuf,
}

/// The spool of this machine and pid namespace below `state_dir`, made when it is missing.
///
/// # Errors
/// [`Error::Spool`] where it cannot be made, or is no place for events.
pub fn spool_in(state_dir: &Path) -> Result<PathBuf, Error> {
    Spool::open(state_dir).map(|spool| spool.root)
}

impl Spool {
    /// Opens (and makes) the spool of this machine and pid namespace below `state_dir`.
    pub(crate) fn open(state_dir: &Path) -> Result<Self, Error> {
        make_state_dir(state_dir)?;
        Self::at(state_dir.join(place::spool_name()))
    }

    /// Opens (and makes) the spool at exactly this path.
    pub(crate) fn at(root: PathBuf) -> Result<Self, Error> {
        let spool = Self { root };
        // First, so that nothing of it is touched.
        spool.refuse_newer_format()?;
        file::private_directory(&spool.root)?;
        for part in ["tmp", "new", "open", "dead"] {
            file::private_directory(&spool.root.join(part))?;
        }
        spool.mark_format();
        Ok(spool)
    }

    /// One that is not ours to make or change: only to be looked at.
    pub(crate) fn of_others(root: PathBuf) -> Self {
        Self { root }
    }

    pub(crate) fn root(&self) -> &Path {
        &self.root
    }

    pub(crate) fn new_dir(&self) -> PathBuf {
        self.root.join("new")
    }

    pub(crate) fn event_path(&self, key: Uuid, kind: Kind) -> PathBuf {
        self.root.join("new").join(kind.file_name(key))
    }

    pub(crate) fn open_path(&self, key: Uuid) -> PathBuf {
        self.root.join("open").join(format!("{key}.json"))
    }

    /// Accepts an event: durable when this returns. `false` when the session has that event already.
    pub(crate) fn accept(&self, envelope: &Envelope, kind: Kind) -> Result<bool, Error> {
        self.accepted(self.write_json(&self.event_path(envelope.key, kind), envelope, false, Part::Event))
    }

    /// As [`Self::accept`], without waiting for the disk: what is accepted so outlives its writer; until it is
    /// forced, a loss of power may cost it, or leave an empty file.
    pub(crate) fn accept_unforced(&self, envelope: &Envelope, kind: Kind) -> Result<bool, Error> {
        self.accepted(self.write_new_lightly(&self.event_path(envelope.key, kind), envelope, Part::Event))
    }

    /// Waits until the disk has what waits of the session.
    pub(crate) fn force(&self, key: Uuid) -> Result<(), Error> {
        let kinds = [Kind::Start, Kind::End];
        let forced =
            kinds.into_iter().try_for_each(|kind| file::force(&self.event_path(key, kind), Part::Event));
        forced.map_err(|error| self.refusal(&format!("the disk may lose the event: {error}")))
    }

    /// Writes a file that is not there yet; power loss may leave it empty.
    fn write_new_lightly(&self, path: &Path, value: &impl Serialize, part: Part) -> io::Result<()> {
        file::write_lightly(&self.tmp(), path, &line(value)?, false, part)
    }

    fn accepted(&self, written: io::Result<()>) -> Result<bool, Error> {
        match written {
            Ok(()) => Ok(true),
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists => Ok(false),
            Err(error) => Err(self.refusal(&format!("the event cannot be stored: {error}"))),
        }
    }

    /// Accepts events of this agent's own making, all of them durable when it returns; gives what became of
    /// each. One that is there already is replaced.
    pub(crate) fn accept_all(&self, envelopes: &[Envelope], kind: Kind) -> Vec<io::Result<()>> {
        let files: Vec<_> =
            envelopes.iter().map(|envelope| (self.event_path(envelope.key, kind), envelope)).collect();
        self.replace_all_json(&files, Part::Event)
    }

    /// Replaces a state file atomically and durably.
    pub(crate) fn replace_json(&self, path: &Path, value: &impl Serialize, part: Part) -> io::Result<()> {
        self.write_json(path, value, true, part)
    }

    /// Replaces state files of one directory, each atomically, all of them durably; gives what became of each.
    pub(crate) fn replace_all_json(
        &self,
        values: &[(PathBuf, &impl Serialize)],
        part: Part,
    ) -> Vec<io::Result<()>> {
        let files: Result<Vec<_>, io::Error> =
            values.iter().map(|(path, value)| Ok((self.tmp(), path.clone(), line(value)?))).collect();
        match files {
            Ok(files) => file::replace_all_durably(&files, part),
            // What is kept here are plain records: JSON has a place for all of them, or for none.
            Err(error) => values.iter().map(|_| Err(io::Error::other(error.to_string()))).collect(),
        }
    }

    /// Replaces a state file atomically; power loss may leave it empty, so that it is for what can be made
    /// anew.
    pub(crate) fn replace_json_lightly(
        &self,
        path: &Path,
        value: &impl Serialize,
        part: Part,
    ) -> io::Result<()> {
        file::write_lightly(&self.tmp(), path, &line(value)?, true, part)
    }

    fn write_json(&self, path: &Path, value: &impl Serialize, replace: bool, part: Part) -> io::Result<()> {
        file::write_durably(&self.tmp(), path, &line(value)?, replace, part)
    }

    /// Writes what an event takes, forces it to disk and removes it. Only that tells: a file system that went
    /// read-only after an error of the disk, a quota, and root's reserve look well to whoever asks for less.
    pub(crate) fn probe(&self) -> io::Result<()> {
        /// The block of every common file system.
        const BYTES: usize = 4096;
        let path = self.tmp();
        let written = file::write_new(&path, &[b' '; BYTES], Part::Probe);
        let removed = file::remove(&path, Part::Probe);
        written.and(removed)
    }

    /// A name to write to before a file gets its own.
    fn tmp(&self) -> PathBuf {
        self.root.join("tmp").join(Uuid::new_v4().to_string())
    }

    /// Reads a JSON file of the spool; `None` when there is none.
    pub(crate) fn read_json<T: DeserializeOwned>(path: &Path) -> io::Result<Option<T>> {
        match file::read(path) {
            Ok(bytes) => serde_json::from_slice(&bytes).map(Some).map_err(io::Error::from),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
            Err(error) => Err(error),
        }
    }

    /// Removes what killed writers left in `tmp/`.
    pub(crate) fn sweep(&self) {
        let tmp = self.root.join("tmp");
        for name in self.names("tmp").unwrap_or_default() {
            let path = tmp.join(name);
            let written = path.symlink_metadata().and_then(|file| file.modified());
            let age = written.ok().and_then(|written| written.elapsed().ok());
            if age.is_some_and(|age| age > ABANDONED)
                && let Err(error) = fs::remove_file(&path)
            {
                self.set_aside(&path, &format!("cannot be removed: {error}"));
            }
        }
    }

    /// Whether a session of that key was accepted here and may still be ended.
    pub(crate) fn knows(&self, key: Uuid) -> bool {
        // In this order: the agent writes open/ before it drops the start from new/. And a letter that is
        // queued again meanwhile is there afterwards.
        let start = self.event_path(key, Kind::Start);
        start.exists() || self.open_path(key).exists() || self.has_letter(key, Kind::Start) || start.exists()
    }

    /// Events that wait, in no order. Files that are not ours are left out.
    pub(crate) fn waiting(&self) -> io::Result<Vec<(Uuid, Kind)>> {
        Ok(self.entries("new")?.iter().filter_map(|name| Kind::parse(name.to_str()?)).collect())
    }

    /// Keys of the sessions the agent knows, in no order.
    pub(crate) fn open_keys(&self) -> io::Result<Vec<Uuid>> {
        let key = |name: &OsString| Uuid::try_parse(name.to_str()?.strip_suffix(".json")?).ok();
        Ok(self.entries("open")?.iter().filter_map(key).collect())
    }

    /// Moves out of `new/` and `open/` what nobody of us put there.
    pub(crate) fn set_strangers_aside(&self) -> io::Result<()> {
        let is_event = |name: &str| Kind::parse(name).is_some();
        let is_session = |name: &str| {
            let key = name.strip_suffix(".json").unwrap_or_default();
            Uuid::try_parse(key).is_ok_and(|uuid| uuid.hyphenated().to_string() == key)
        };
        for (part, is_ours) in [("new", &is_event as &dyn Fn(&str) -> bool), ("open", &is_session)] {
            for name in self.entries(part)? {
                // A file that was removed while open, on NFS: it goes by itself.
                let goes = name.as_encoded_bytes().starts_with(b".nfs");
                if !goes && !name.to_str().is_some_and(is_ours) {
                    self.set_aside(&self.root.join(part).join(&name), "is no name that shelltrack gives");
                }
            }
        }
        Ok(())
    }

    /// Names in one of the spool's directories that are text, in no order.
    pub(crate) fn names(&self, part: &str) -> io::Result<Vec<String>> {
        Ok(self.entries(part)?.into_iter().filter_map(|name| name.into_string().ok()).collect())
    }

    fn entries(&self, part: &str) -> io::Result<Vec<OsString>> {
        let entries = match fs::read_dir(self.root.join(part)) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
            other => other?,
        };
        entries.map(|entry| Ok(entry?.file_name())).collect()
    }

    /// How full the spool is, as last published; empty when nobody ever did.
    pub(crate) fn fill(&self) -> Fill {
        Self::read_json(&self.root.join("fill.json")).ok().flatten().unwrap_or_default()
    }

    /// Publishes how full the spool is, for shells that must not read the directory.
    pub(crate) fn publish_fill(&self, fill: Fill) -> io::Result<()> {
        self.replace_json_lightly(&self.root.join("fill.json"), &fill, Part::Mark)
    }

    /// Refuses a start when the spool is full.
    pub(crate) fn admit_start(&self) -> Result<(), Error> {
        let Fill { events, bytes } = self.fill();
        if events < EVENTS_MAX && bytes < BYTES_MAX {
            return Ok(());
        }
        Err(Error::SpoolFull { events, bytes })
    }

    pub(crate) fn refusal(&self, reason: &str) -> Error {
        Error::Spool { path: self.root.clone(), reason: reason.to_owned() }
    }
}

fn line(value: &impl Serialize) -> io::Result<Vec<u8>> {
    let mut bytes = serde_json::to_vec(value)?;
    bytes.push(b'\n');
    Ok(bytes)
}

/// Makes the directory of spools. Whoever owns the place it lies in must be us or root: otherwise
/// `sudo` with somebody's HOME would leave directories there that their owner cannot use.
fn make_state_dir(path: &Path) -> Result<(), Error> {
    let refuse = |reason: String| Error::Spool { path: path.to_owned(), reason };
    if !path.is_absolute() {
        return Err(refuse("is not an absolute path".to_owned()));
    }
    let there = path.ancestors().find(|ancestor| ancestor.exists()).unwrap_or(path);
    let metadata = fs::metadata(there).map_err(|error| refuse(error.to_string()))?;
    if metadata.uid() != 0 || there == path {
        file::refuse_foreign(there, &metadata)?;
    }
    DirBuilder::new()
        .recursive(true)
        .mode(0o700)
        .create(path)
        .map_err(|error| refuse(format!("cannot be made: {error}")))
}
