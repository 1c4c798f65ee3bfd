//! Puts the embedded Session-Buddy behind the tracker: an in-process transport whose other end is a
//! [`Server`]. The tracker and the server know nothing of each other.

use std::collections::HashMap;
use std::collections::hash_map::Entry;
use std::fs::DirBuilder;
use std::os::unix::fs::DirBuilderExt;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use shelltrack_sandbox::Sandbox;
use shelltrack_server::Server;
use shelltrack_tracker::session_buddy::Embedded;

/// Bytes in flight in one direction before a writer waits; an event is a few kilobytes at most.
const IN_FLIGHT_BYTES_MAX: usize = 64 * 1024;
/// The database tells who worked where and when: only the user is to read it.
const DIRECTORY_MODE: u32 = 0o700;

/// How long sessions stay in sight after their end; `archive --older-than` says the same.
pub(crate) const RETENTION: Duration = Duration::from_secs(90 * 86_400);

/// Makes the directory of a database.
pub(crate) fn make_directory(database: &Path) -> Result<(), String> {
    let Some(directory) = database.parent() else { return Ok(()) };
    let made = DirBuilder::new().recursive(true).mode(DIRECTORY_MODE).create(directory);
    made.map_err(|error| format!("{}: {error}", directory.display()))
}

/// A server over a database that is made when it is missing, and its directory with it.
pub(crate) fn open_writing(database: &Path, sandbox: Arc<Sandbox>) -> Result<Server, String> {
    make_directory(database)?;
    Server::open(database, sandbox).map_err(|error| error.to_string())
}

/// For an agent: databases are made when they are missing, and stay open. Agents come and go, so that each
/// one archives once what is old.
pub(crate) fn writing(sandbox: Arc<Sandbox>) -> Embedded {
    over(move |database| {
        let server = open_writing(database, Arc::clone(&sandbox))?;
        let archiving = server.clone();
        tokio::spawn(async move {
            if let Err(error) = archiving.archive(RETENTION).await {
                tracing::warn!(%error, "nothing was archived");
            }
        });
        Ok(server)
    })
}

/// For looking at sessions: nothing is made or changed.
pub(crate) fn reading(sandbox: Arc<Sandbox>) -> Embedded {
    over(move |database| {
        Server::open_read_only(database, Arc::clone(&sandbox)).map_err(|error| error.to_string())
    })
}

fn over(open: impl Fn(&Path) -> Result<Server, String> + Send + Sync + 'static) -> Embedded {
    let servers: Mutex<HashMap<PathBuf, Server>> = Mutex::new(HashMap::new());
    Arc::new(move |database| {
        let server = match servers.lock().unwrap_or_else(PoisonError::into_inner).entry(database.to_owned()) {
            Entry::Occupied(known) => known.get().clone(),
            Entry::Vacant(place) => place.insert(open(database)?).clone(),
        };
        let (ours, theirs) = tokio::io::duplex(IN_FLIGHT_BYTES_MAX);
        tokio::spawn(async move {
            if let Err(error) = server.serve_stream(theirs).await {
                tracing::warn!(%error, "the embedded Session-Buddy ended a connection");
            }
        });
        Ok(ours)
    })
}
