//! The agent's log: a file beside the spools that never grows without bound. Losing a line is better
//! than disturbing a delivery, so nothing here fails.

use std::fs::{self, File, OpenOptions};
use std::io::{self, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};

use rustix::fs::OFlags;
use tracing_subscriber::filter::{LevelFilter, Targets};
use tracing_subscriber::fmt::MakeWriter;
use tracing_subscriber::prelude::*;
use tracing_subscriber::{Layer, Registry, fmt};

/// The log is put aside when it reaches this size, and one old log is kept: a few weeks of ordinary
/// events, and never more than twice this on disk.
const LOG_BYTES_MAX: u64 = 1 << 20;

/// Of no effect on a file.
const NONBLOCK: i32 = OFlags::NONBLOCK.bits().cast_signed();

/// The log of the agent of a spool. It lies in the spool: a home is shared between machines, and each of
/// them has an agent.
pub(crate) fn path(spool: &Path) -> PathBuf {
    spool.join("agent.log")
}

/// From now on, what is logged goes to the file, one JSON object a line. `SHELLTRACK_LOG` says how much.
pub(crate) fn install(spool: &Path) {
    let rotating = Rotating { path: path(spool), file: Mutex::new(None) };
    log_all(&wanted(), fmt::layer().json().flatten_event(true).with_writer(rotating));
}

/// From now on, what is logged goes to stderr, for the journal of a service manager, which knows the time.
pub(crate) fn to_stderr() {
    log_all(&wanted(), fmt::layer().with_writer(io::stderr).without_time().with_ansi(false));
}

fn wanted() -> String {
    let wanted = std::env::var("SHELLTRACK_LOG").ok().filter(|wanted| !wanted.is_empty());
    wanted.unwrap_or_else(|| "info".to_owned())
}

fn log_all(wanted: &str, layer: impl Layer<Registry> + Send + Sync) {
    log(wanted, layer);
    std::panic::set_hook(Box::new(|panic| tracing::error!(%panic, "the agent panicked")));
}

/// From now on, what is `wanted` is logged.
pub(crate) fn log(wanted: &str, layer: impl Layer<Registry> + Send + Sync) {
    let subscriber = tracing_subscriber::registry().with(layer.with_filter(filter(wanted)));
    // Fails only when stderr is logged to already, as asked for with --verbose.
    drop(tracing::subscriber::set_global_default(subscriber));
}

/// What is logged. rmcp logs whole requests and a server's own words, in which tokens may be: it stays
/// silent whatever was asked for. What its errors mean is logged by those who got them, cleaned.
fn filter(wanted: &str) -> Targets {
    const SILENT: &str = "rmcp";
    // A filter that cannot be read must not cost what one wanted to see.
    let wanted: Targets = wanted.parse().unwrap_or_else(|_| Targets::new().with_default(LevelFilter::INFO));
    Targets::new()
        .with_default(wanted.default_level().unwrap_or(LevelFilter::OFF))
        .with_targets(wanted.into_iter().filter(|(target, _)| !target.starts_with(SILENT)))
        .with_target(SILENT, LevelFilter::OFF)
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
        let mut file = OpenOptions::new();
        // A pipe that lies there is not to keep the agent waiting.
        let file = file.append(true).create(true).mode(0o600).custom_flags(NONBLOCK);
        let file = file.open(&self.path)?;
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
    fn what_was_asked_for_is_logged_and_nothing_of_rmcp() {
        use tracing::Level;
        let asked = filter("warn,shelltrack=debug,rmcp=trace,rmcp::service=trace");
        assert!(asked.would_enable("shelltrack_tracker::agent", &Level::DEBUG));
        assert!(asked.would_enable("hyper", &Level::WARN) && !asked.would_enable("hyper", &Level::INFO));
        assert!(!asked.would_enable("rmcp::service", &Level::ERROR));
        assert!(filter("shelltrack=loud").would_enable("shelltrack", &Level::INFO));
    }

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
