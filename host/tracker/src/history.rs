//! The last sessions that were delivered, for people: a server that cannot list its sessions, or is away,
//! is no reason not to know what one did yesterday. Not part of any promise: nothing is made durable here,
//! and what cannot be written or read is left out.

use std::cell::Cell;
use std::fs::{self, File, OpenOptions};
use std::io::{self, BufRead, BufReader, Read, Seek, SeekFrom, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::PathBuf;

use serde::{Deserialize, Serialize};
use uuid::Uuid;

use crate::Target;
use crate::agent::OpenSession;
use crate::spool::{NONBLOCK, Spool};

/// Sessions in one file. One full file is kept besides the current one, so that at least so many are
/// known, and at most twice as many: a few megabytes.
pub(crate) const SESSIONS_MAX: u64 = 1_000;
/// Longest line that is read: an event is a few KiB, and a session has two.
const LINE_BYTES_MAX: u64 = 1 << 20;

/// One session that is over and delivered.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(crate) struct Past {
    pub(crate) key: Uuid,
    pub(crate) target: Target,
    pub(crate) session_id: Option<String>,
    /// When its start was accepted, microseconds since 1970.
    pub(crate) accepted_us: u64,
    /// Arguments of `track_session_start`.
    pub(crate) start: String,
    /// Arguments of `track_session_end` without `session_id`.
    pub(crate) end: String,
}

impl Past {
    pub(crate) fn new(session: &OpenSession, end: &str) -> Self {
        Self {
            key: session.key,
            target: session.target.clone(),
            session_id: session.session_id.clone(),
            accepted_us: session.accepted_us,
            start: session.wire.clone(),
            end: end.to_owned(),
        }
    }
}

/// The file, in the hands of the agent, the only one who writes it.
pub(crate) struct History {
    path: PathBuf,
    /// Lines in the current file.
    lines: Cell<u64>,
}

impl History {
    /// Where it was left. A line that a killed agent did not finish is ended, so that it spoils only itself.
    pub(crate) fn open(spool: &Spool) -> Self {
        let history = Self { path: path(spool), lines: Cell::new(0) };
        match history.count() {
            Ok(lines) => history.lines.set(lines),
            Err(error) => tracing::warn!(%error, "the history begins anew"),
        }
        history
    }

    fn count(&self) -> io::Result<u64> {
        let Some(mut file) = opened(&self.path)? else { return Ok(0) };
        let mut lines = 0;
        let mut last = b'\n';
        for byte in BufReader::new(&file).bytes() {
            last = byte?;
            lines += u64::from(last == b'\n');
        }
        if last != b'\n' {
            file.seek(SeekFrom::End(0))?;
            OpenOptions::new().append(true).open(&self.path)?.write_all(b"\n")?;
            lines += 1;
        }
        Ok(lines)
    }

    /// Adds a session.
    pub(crate) fn add(&self, past: &Past) {
        if let Err(error) = self.append(past) {
            tracing::warn!(%error, key = %past.key, "a delivered session is missing from the history");
        }
    }

    fn append(&self, past: &Past) -> io::Result<()> {
        if self.lines.get() >= SESSIONS_MAX {
            fs::rename(&self.path, older(&self.path))?;
            self.lines.set(0);
        }
        let mut line = serde_json::to_vec(past)?;
        line.push(b'\n');
        let mut file = OpenOptions::new();
        let file = file.append(true).create(true).mode(0o600).custom_flags(NONBLOCK);
        let mut file = file.open(&self.path)?;
        file.write_all(&line)?;
        self.lines.set(self.lines.get() + 1);
        Ok(())
    }
}

/// The sessions, oldest first; a session may be there more than once, the last one counts.
pub(crate) fn read(spool: &Spool) -> io::Result<Vec<Past>> {
    let mut past = Vec::new();
    for path in [older(&path(spool)), path(spool)] {
        let Some(file) = opened(&path)? else { continue };
        let mut lines = BufReader::new(file);
        loop {
            let mut line = Vec::new();
            let read = (&mut lines).take(LINE_BYTES_MAX).read_until(b'\n', &mut line)?;
            if read == 0 {
                break;
            }
            past.extend(serde_json::from_slice::<Past>(&line).ok());
        }
    }
    Ok(past)
}

fn opened(path: &PathBuf) -> io::Result<Option<File>> {
    match OpenOptions::new().read(true).custom_flags(NONBLOCK).open(path) {
        Ok(file) => Ok(Some(file)),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(error) => Err(error),
    }
}

fn path(spool: &Spool) -> PathBuf {
    spool.root().join("history.jsonl")
}

fn older(path: &std::path::Path) -> PathBuf {
    path.with_extension("old.jsonl")
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "a test may fail by panic")]
mod tests {
    use super::*;

    fn past(number: u64) -> Past {
        let target = Target::Http { url: "http://h/mcp".to_owned() };
        let (start, end) = ("{}".to_owned(), "{}".to_owned());
        Past { key: Uuid::new_v4(), target, session_id: None, accepted_us: number, start, end }
    }

    fn numbers(spool: &Spool) -> Vec<u64> {
        read(spool).unwrap().iter().map(|past| past.accepted_us).collect()
    }

    #[test]
    fn the_last_thousand_sessions_are_known_and_at_most_twice_as_many() {
        let home = tempfile::tempdir().unwrap();
        let spool = Spool::open(home.path()).unwrap();
        let history = History::open(&spool);
        for number in 0..2 * SESSIONS_MAX + 500 {
            history.add(&past(number));
        }
        assert_eq!(numbers(&spool), Vec::from_iter(SESSIONS_MAX..2 * SESSIONS_MAX + 500));
        // The next agent goes on where this one stopped.
        History::open(&spool).add(&past(0));
        assert_eq!(numbers(&spool).len() as u64, SESSIONS_MAX + 501);
    }

    #[test]
    fn a_line_that_was_cut_short_spoils_only_itself() {
        let home = tempfile::tempdir().unwrap();
        let spool = Spool::open(home.path()).unwrap();
        History::open(&spool).add(&past(1));
        OpenOptions::new().append(true).open(path(&spool)).unwrap().write_all(b"{\"key\":\"to").unwrap();
        History::open(&spool).add(&past(2));
        assert_eq!(numbers(&spool), [1, 2]);
    }
}
