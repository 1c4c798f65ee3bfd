//! The agent's log: a file beside the spools that never grows without bound. Losing a line is better
//! than disturbing a delivery, so nothing here fails.

use std::fs::{self, File, OpenOptions};
use std::io::{self, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};

use tracing::Subscriber;
use tracing_subscriber::EnvFilter;
use tracing_subscriber::fmt::MakeWriter;

/// The log is put aside when it reaches this size, and one old log is kept: a few weeks of ordinary
/// events, and never more than twice this on disk.
const LOG_BYTES_MAX: u64 = 1 << 20;

/// The log of the agent of a spool. It lies in the spool: a home is shared between machines, and each of
/// them has an agent.
pub(crate) fn path(spool: &Path) -> PathBuf {
    spool.join("agent.log")
}

/// From now on, what is logged goes to the file, one JSON object a line. `SHELLTRACK_LOG` says how much.
pub(crate) fn install(spool: &Path) {
    let subscriber = tracing_subscriber::fmt()
        .json()
        .flatten_event(true)
        .with_env_filter(wanted())
        .with_writer(Rotating { path: path(spool), file: Mutex::new(None) })
        .finish();
    use_for_all(subscriber);
}

/// From now on, what is logged goes to stderr, for the journal of a service manager, which knows the time.
pub(crate) fn to_stderr() {
    let subscriber = tracing_subscriber::fmt()
        .with_env_filter(wanted())
        .with_writer(io::stderr)
        .without_time()
        .with_ansi(false)
        .finish();
    use_for_all(subscriber);
}

fn wanted() -> EnvFilter {
    let wanted = std::env::var("SHELLTRACK_LOG").unwrap_or_default();
    filter(if wanted.is_empty() { "info" } else { &wanted })
}

fn use_for_all(subscriber: impl Subscriber + Send + Sync) {
    // Fails only when stderr is logged to already, as asked for with --verbose.
    drop(tracing::subscriber::set_global_default(subscriber));
    std::panic::set_hook(Box::new(|panic| tracing::error!(%panic, "the agent panicked")));
}

/// What is logged. rmcp logs whole requests and a server's own words, in which tokens may be: it stays
/// silent whatever was asked for. What its errors mean is logged by those who got them, cleaned.
pub(crate) fn filter(wanted: &str) -> EnvFilter {
    EnvFilter::new(wanted).add_directive("rmcp=off".parse().expect("a directive of our own"))
}

struct Rotating {
    path: PathBuf,
    file: Mutex<Option<(File, u64)>>,
}

impl Rotating {
    fn append(&self, line: &[u8]) -> io::Result<()> {
        let mut file = self.file.lock().unwrap_or_else(PoisonError::into_inner);
        let (open, bytes) = match file.take() {
            Some((_, bytes)) if bytes >= LOG_BYTES_MAX => {
                fs::rename(&self.path, self.path.with_extension("log.1"))?;
                self.open()?
            }
            Some(open) => open,
            None => self.open()?,
        };
        let (open, bytes) = file.insert((open, bytes));
        *bytes += line.len() as u64;
        open.write_all(line)
    }

    fn open(&self) -> io::Result<(File, u64)> {
        let file = OpenOptions::new().append(true).create(true).mode(0o600).open(&self.path)?;
        let bytes = file.metadata()?.len();
        Ok((file, bytes))
    }
}

/// One line on its way into the log.
struct Line<'a>(&'a Rotating);

impl Write for Line<'_> {
    fn write(&mut self, line: &[u8]) -> io::Result<usize> {
        // A full disk must not make the subscriber complain on stderr.
        drop(self.0.append(line));
        Ok(line.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl<'a> MakeWriter<'a> for Rotating {
    type Writer = Line<'a>;

    fn make_writer(&'a self) -> Self::Writer {
        Line(self)
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "a test may fail by panic")]
mod tests {
    use super::*;

    #[test]
    fn a_log_that_is_full_is_put_aside_and_only_one_old_one_is_kept() {
        let home = tempfile::tempdir().unwrap();
        let log = Rotating { path: home.path().join("agent.log"), file: Mutex::new(None) };
        let line = vec![b'x'; LOG_BYTES_MAX as usize / 2];
        for _ in 0..7 {
            log.append(&line).unwrap();
        }
        let mut names: Vec<_> =
            fs::read_dir(home.path()).unwrap().map(|entry| entry.unwrap().file_name()).collect();
        names.sort();
        assert_eq!(names, ["agent.log", "agent.log.1"]);
        assert_eq!(fs::metadata(home.path().join("agent.log.1")).unwrap().len(), LOG_BYTES_MAX);
        assert_eq!(fs::metadata(home.path().join("agent.log")).unwrap().len(), LOG_BYTES_MAX / 2);
    }
}
