//! Puts the embedded Session-Buddy behind the tracker: an in-process transport whose other end is a
//! [`Server`]. The tracker and the server know nothing of each other.

use std::collections::HashMap;
use std::collections::hash_map::Entry;
use std::fs::DirBuilder;
use std::os::unix::fs::DirBuilderExt;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};

use shelltrack_sandbox::Sandbox;
use shelltrack_server::Server;
use shelltrack_tracker::session_buddy::Embedded;

/// Bytes in flight in one direction before a writer waits; an event is a few kilobytes at most.
const IN_FLIGHT_BYTES_MAX: usize = 64 * 1024;
/// The database tells who worked where and when: only the user is to read it.
const DIRECTORY_MODE: u32 = 0o700;

/// A server over a database that is made when it is missing, and its directory with it.
pub(crate) fn open_writing(database: &Path, sandbox: Arc<Sandbox>) -> Result<Server, String> {
    if let Some(directory) = database.parent() {
        DirBuilder::new()
            .recursive(true)
            .mode(DIRECTORY_MODE)
            .create(directory)
            .map_err(|error| format!("{}: {error}", directory.display()))?;
    }
    Server::open(database, sandbox).map_err(|error| error.to_string())
}

/// For an agent: databases are made when they are missing, and stay open.
pub(crate) fn writing(sandbox: Arc<Sandbox>) -> Embedded {
    over(move |database| open_writing(database, Arc::clone(&sandbox)))
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
