//! Who writes a SQLite file: agents and servers, which stay. A command that wants something written hands it
//! to one of them while there is one, and writes itself, alone, when there is none.
//!
//! Beside `FILE` there is a directory `FILE.writers`. Who stays holds a shared lock (flock) on it and listens
//! on a socket in it; a command takes the lock for itself alone. The directory is its owner's (0700), and so
//! whoever can connect may write the file anyway: nothing is authenticated here. Knows no SQL.

use std::fs::{self, DirBuilder, File};
use std::io;
use std::os::fd::AsRawFd;
use std::os::unix::fs::DirBuilderExt;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, Weak};
use std::time::{Duration, Instant};

use futures_util::{SinkExt, StreamExt};
use rustix::fs::{FlockOperation, flock};
use serde::{Deserialize, Serialize};
use shelltrack_sandbox::Sandbox;
use tokio::net::{UnixListener, UnixStream};
use tokio::sync::Mutex;
use tokio_util::codec::{Framed, LinesCodec};
use tokio_util::sync::{CancellationToken, DropGuard};

use crate::store::{Store, StoreError};
use crate::transfer::{self, Imported};
use crate::{Error, MESSAGE_BYTES_MAX, Server};

/// What the directory is called after the file.
const SUFFIX: &str = ".writers";

/// What a socket's name ends with.
const SOCKET: &str = "sock";

/// Bytes of a path by which a socket can be named: 104 on macOS, 108 on Linux, with a zero at the end.
const ADDRESS_BYTES_MAX: usize = 103;

/// How long to wait for somebody else's lock: as long as for SQLite's own.
const LOCK_MS: u64 = 5_000;

/// Pause between attempts.
const PAUSE_MS: u64 = 20;

/// How long a writer may take for one piece of work: as long as clients allow a call.
const WORK_MS: u64 = 15_000;

/// A line of an export, written as a string of JSON.
const LINE_BYTES_MAX: usize = 4 * MESSAGE_BYTES_MAX;

/// What a writer is asked to do.
#[derive(Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
enum Work {
    /// Archive what ended before this time, in microseconds since the epoch.
    Archive { ended_before_us: i64 },
    /// Take in a line of an export.
    Import { line: String },
}

/// What came of it.
#[derive(Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
enum Done {
    Archived { sessions: u64 },
    New,
    Known,
    Refused { why: String },
    Failed { why: String },
}

/// The directory of a file's writers.
struct Place {
    path: PathBuf,
    directory: File,
}

impl Place {
    /// Made when it is missing.
    fn open(database: &Path) -> io::Result<Self> {
        let path = place(database)?;
        match DirBuilder::new().mode(0o700).create(&path) {
            Err(error) if error.kind() != io::ErrorKind::AlreadyExists => return Err(error),
            _ => {}
        }
        Ok(Self { directory: File::open(&path)?, path })
    }

    /// Tries for a lock until it is there or the time is over.
    fn lock(&self, operation: FlockOperation) -> io::Result<bool> {
        let deadline = Instant::now() + Duration::from_millis(LOCK_MS);
        loop {
            if self.try_lock(operation)? {
                return Ok(true);
            }
            if Instant::now() >= deadline {
                return Ok(false);
            }
            std::thread::sleep(Duration::from_millis(PAUSE_MS));
        }
    }

    fn try_lock(&self, operation: FlockOperation) -> io::Result<bool> {
        match flock(&self.directory, operation) {
            Ok(()) => Ok(true),
            Err(rustix::io::Errno::WOULDBLOCK | rustix::io::Errno::INTR) => Ok(false),
            Err(error) => Err(error.into()),
        }
    }

    /// By what a socket of the directory is reached: its path, or where that is too long, the directory's
    /// descriptor.
    fn address(&self, name: &Path) -> PathBuf {
        let path = self.path.join(name);
        if path.as_os_str().len() <= ADDRESS_BYTES_MAX {
            return path;
        }
        Path::new("/proc/self/fd").join(self.directory.as_raw_fd().to_string()).join(name)
    }

    fn sockets(&self) -> Vec<PathBuf> {
        let entries = fs::read_dir(&self.path).into_iter().flatten().flatten();
        let names = entries.map(|entry| PathBuf::from(entry.file_name()));
        names.filter(|name| name.extension().is_some_and(|suffix| suffix == SOCKET)).collect()
    }

    /// Removes sockets of writers that were killed.
    fn sweep(&self) {
        for name in self.sockets() {
            let reached = std::os::unix::net::UnixStream::connect(self.address(&name));
            if reached.is_err_and(|error| error.kind() == io::ErrorKind::ConnectionRefused) {
                let _gone = fs::remove_file(self.path.join(&name));
            }
        }
    }

    /// A connection with a writer that stays.
    async fn connect(&self) -> Option<UnixStream> {
        for name in self.sockets() {
            if let Ok(stream) = UnixStream::connect(self.address(&name)).await {
                return Some(stream);
            }
        }
        None
    }
}

fn place(database: &Path) -> io::Result<PathBuf> {
    let mut place = std::path::absolute(database)?.into_os_string();
    place.push(SUFFIX);
    Ok(place.into())
}

fn failed(error: &io::Error) -> StoreError {
    StoreError::Unavailable(format!("its writers cannot be told apart: {}", error.kind()))
}

/// Somebody writes and stays. Whoever drops it has gone.
pub(crate) struct Announced {
    _lock: File,
    _stop: DropGuard,
    socket: Option<PathBuf>,
}

impl Drop for Announced {
    fn drop(&mut self) {
        if let Some(socket) = &self.socket {
            let _swept = fs::remove_file(socket);
        }
    }
}

/// Tells that this process writes the file from now on, and does what commands ask for. Outside of a runtime
/// nobody listens: then commands have to wait.
pub(crate) fn announce(
    database: &Path,
    store: &Arc<dyn Store>,
    sandbox: &Arc<Sandbox>,
) -> Result<Announced, StoreError> {
    static WRITERS: AtomicU32 = AtomicU32::new(0);
    let place = Place::open(database).map_err(|error| failed(&error))?;
    if !place.lock(FlockOperation::NonBlockingLockShared).map_err(|error| failed(&error))? {
        return Err(StoreError::Busy);
    }
    place.sweep();
    let stop = CancellationToken::new();
    let number = WRITERS.fetch_add(1, Ordering::Relaxed);
    let name = PathBuf::from(format!("{}-{number}.{SOCKET}", std::process::id()));
    let address = place.address(&name);
    let listener = tokio::runtime::Handle::try_current().ok().map(|_| UnixListener::bind(address));
    let socket = match listener {
        Some(Ok(listener)) => {
            tokio::spawn(listen(listener, Arc::downgrade(store), Arc::clone(sandbox), stop.clone()));
            Some(place.path.join(name))
        }
        Some(Err(error)) => {
            tracing::warn!(%error, "commands cannot hand over what they want written");
            None
        }
        None => None,
    };
    Ok(Announced { _lock: place.directory, _stop: stop.drop_guard(), socket })
}

async fn listen(
    listener: UnixListener,
    store: Weak<dyn Store>,
    sandbox: Arc<Sandbox>,
    stop: CancellationToken,
) {
    loop {
        let accepted = tokio::select! {
            accepted = listener.accept() => accepted,
            () = stop.cancelled() => return,
        };
        match accepted {
            Ok((stream, _)) => {
                let (store, sandbox, stop) = (Weak::clone(&store), Arc::clone(&sandbox), stop.clone());
                tokio::spawn(async move {
                    tokio::select! {
                        () = serve(stream, store, sandbox) => {}
                        () = stop.cancelled() => {}
                    }
                });
            }
            Err(_) => tokio::time::sleep(Duration::from_millis(PAUSE_MS)).await,
        }
    }
}

async fn serve(stream: UnixStream, store: Weak<dyn Store>, sandbox: Arc<Sandbox>) {
    let mut lines = Framed::new(stream, LinesCodec::new_with_max_length(LINE_BYTES_MAX));
    while let Some(Ok(line)) = lines.next().await {
        let done = match (store.upgrade(), serde_json::from_str(&line)) {
            (None, _) => Done::from(StoreError::Closed),
            (_, Err(_)) => Done::Refused { why: "this version does not know such work".into() },
            (Some(store), Ok(work)) => work_off(&*store, &sandbox, work).await,
        };
        let Ok(answer) = serde_json::to_string(&done) else { return };
        if lines.send(answer).await.is_err() {
            return;
        }
    }
}

async fn work_off(store: &dyn Store, sandbox: &Sandbox, work: Work) -> Done {
    match work {
        Work::Archive { ended_before_us } => {
            let archived = store.archive(ended_before_us).await;
            archived.map_or_else(Done::from, |sessions| Done::Archived { sessions })
        }
        Work::Import { line } => match transfer::import(store, sandbox, &line).await {
            Ok(Imported::New) => Done::New,
            Ok(Imported::Known) => Done::Known,
            Ok(Imported::Refused(why)) => Done::Refused { why },
            Err(error) => Done::from(error),
        },
    }
}

impl From<StoreError> for Done {
    fn from(error: StoreError) -> Self {
        Self::Failed { why: error.to_string() }
    }
}

/// How a command writes.
pub enum Writing {
    /// Nobody else does.
    Alone(Server, Option<Lock>),
    /// By whom it is done that stays.
    HandedOver(Mutex<Framed<UnixStream, LinesCodec>>),
}

/// Keeps agents and servers from opening a file.
pub struct Lock(#[allow(dead_code, reason = "held, not used")] File);

impl Writing {
    /// Over a store that takes turns itself.
    #[must_use]
    pub fn over(server: Server) -> Self {
        Self::Alone(server, None)
    }

    /// For a SQLite file.
    ///
    /// # Errors
    /// As [`Server::open`]; and when somebody writes the file whom no work can be handed to.
    pub async fn open(database: &Path, sandbox: Arc<Sandbox>) -> Result<Self, Error> {
        let store_error = |source| Error::Store { path: database.to_owned(), source };
        let io_error = |error: io::Error| store_error(failed(&error));
        // Whoever has written the file before us has made the directory.
        let is_written = place(database).map_err(io_error)?.exists();
        let mut server = None;
        if !is_written {
            server = Some(Server::open_unannounced(database, Arc::clone(&sandbox))?);
        }
        let place = Place::open(database).map_err(io_error)?;
        let deadline = Instant::now() + Duration::from_millis(LOCK_MS);
        loop {
            if place.try_lock(FlockOperation::NonBlockingLockExclusive).map_err(io_error)? {
                let server = match server {
                    Some(server) => server,
                    None => Server::open_unannounced(database, sandbox)?,
                };
                return Ok(Self::Alone(server, Some(Lock(place.directory))));
            }
            if let Some(stream) = place.connect().await {
                let lines = Framed::new(stream, LinesCodec::new_with_max_length(LINE_BYTES_MAX));
                return Ok(Self::HandedOver(Mutex::new(lines)));
            }
            if Instant::now() >= deadline {
                return Err(store_error(StoreError::Busy));
            }
            tokio::time::sleep(Duration::from_millis(PAUSE_MS)).await;
        }
    }

    /// As [`Server::archive`].
    ///
    /// # Errors
    /// When the store cannot be written.
    pub async fn archive(&self, older_than: Duration) -> Result<u64, StoreError> {
        let lines = match self {
            Self::Alone(server, _) => return server.archive(older_than).await,
            Self::HandedOver(lines) => lines,
        };
        let ended_before_us = transfer::ended_before_us(older_than);
        match ask(lines, &Work::Archive { ended_before_us }).await? {
            Done::Archived { sessions } => Ok(sessions),
            done => Err(done.into_error()),
        }
    }

    /// As [`Server::import`].
    ///
    /// # Errors
    /// When the store cannot be written.
    pub async fn import(&self, line: &str) -> Result<Imported, StoreError> {
        let lines = match self {
            Self::Alone(server, _) => return server.import(line).await,
            Self::HandedOver(lines) => lines,
        };
        match ask(lines, &Work::Import { line: line.to_owned() }).await? {
            Done::New => Ok(Imported::New),
            Done::Known => Ok(Imported::Known),
            Done::Refused { why } => Ok(Imported::Refused(why)),
            done => Err(done.into_error()),
        }
    }
}

impl Done {
    fn into_error(self) -> StoreError {
        match self {
            Self::Failed { why } | Self::Refused { why } => StoreError::Told(why),
            _ => StoreError::Told(
                "the process that writes the session database answers another question".into(),
            ),
        }
    }
}

async fn ask(lines: &Mutex<Framed<UnixStream, LinesCodec>>, work: &Work) -> Result<Done, StoreError> {
    let gone =
        || StoreError::Told("the process that writes the session database has ended; try again".into());
    let work = serde_json::to_string(work).map_err(|_| gone())?;
    let mut lines = lines.lock().await;
    let asked = async {
        lines.send(work).await.map_err(|_| gone())?;
        let answer = lines.next().await.and_then(Result::ok).ok_or_else(gone)?;
        serde_json::from_str(&answer).map_err(|_| gone())
    };
    let answered = tokio::time::timeout(Duration::from_millis(WORK_MS), asked).await;
    answered.unwrap_or(Err(StoreError::Busy))
}
