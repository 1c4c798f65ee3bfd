//! The one thread of this process that writes: it groups the events of all callers into commits.
//!
//! Nobody gets an answer before the commit that holds the event is on the disk. Other processes may
//! write the same file: SQLite's lock keeps them apart.

use std::path::PathBuf;
use std::thread::JoinHandle;

use rusqlite::{Connection, TransactionBehavior};
use tokio::sync::{mpsc, oneshot};

use super::super::StoreError;
use super::open::{FileId, file_id, open_writer};

/// Events that may wait for the writer; further callers wait for room. A few full groups, so that the
/// writer always has the next at hand.
const QUEUE_JOBS_MAX: usize = 1024;

/// Events of one commit. Beyond some hundred the cost of the commit is spread thin enough, and the
/// first caller of a group should not wait for thousands.
const GROUP_JOBS_MAX: usize = 256;

type Reply<T> = oneshot::Sender<Result<T, StoreError>>;

/// Something to be stored: told without a connection, it only learns that it was not even tried.
type Job = Box<dyn FnOnce(Option<&Connection>) -> Announcement + Send>;

/// What tells a caller how it came out, once the commit has (`None`) or has not succeeded.
type Announcement = Box<dyn FnOnce(Option<StoreError>)>;

/// Handle of the thread. Dropping it waits until everything handed over is stored.
pub(super) struct Writer {
    jobs: Option<mpsc::Sender<Job>>,
    thread: Option<JoinHandle<()>>,
}

impl Writer {
    /// Opens the file (migrating it) and starts the thread.
    pub(super) fn start(path: PathBuf) -> Result<Self, StoreError> {
        let connection = open_writer(&path)?;
        let (jobs, queue) = mpsc::channel(QUEUE_JOBS_MAX);
        let file = file_id(&path);
        let database = Database { path, file, connection };
        let thread = std::thread::Builder::new()
            .name("shelltrack-store".into())
            .spawn(move || run(database, queue))
            .map_err(|error| StoreError::Unavailable(error.kind().to_string()))?;
        Ok(Self { jobs: Some(jobs), thread: Some(thread) })
    }

    /// Hands work over and waits until it is durable.
    pub(super) async fn submit<T: Send + 'static>(
        &self,
        work: impl FnOnce(&Connection) -> Result<T, StoreError> + Send + 'static,
    ) -> Result<T, StoreError> {
        let (reply, answer) = oneshot::channel();
        let jobs = self.jobs.as_ref().ok_or(StoreError::Closed)?;
        let job: Job =
            Box::new(move |connection| announcement(reply, connection.map_or(Err(StoreError::Closed), work)));
        jobs.send(job).await.map_err(|_| StoreError::Closed)?;
        answer.await.map_err(|_| StoreError::Closed)?
    }

    /// Whether the thread still takes events.
    pub(super) fn is_open(&self) -> bool {
        self.jobs.as_ref().is_some_and(|jobs| !jobs.is_closed())
    }
}

impl Drop for Writer {
    fn drop(&mut self) {
        drop(self.jobs.take());
        if let Some(Err(_)) = self.thread.take().map(JoinHandle::join) {
            tracing::error!("the thread that writes the session database panicked");
        }
    }
}

/// The open database, and which file it was when it was opened.
struct Database {
    path: PathBuf,
    file: Option<FileId>,
    connection: Connection,
}

fn run(mut database: Database, mut queue: mpsc::Receiver<Job>) {
    let mut group = Vec::with_capacity(GROUP_JOBS_MAX);
    while queue.blocking_recv_many(&mut group, GROUP_JOBS_MAX) > 0 {
        store(&mut database, group.drain(..));
    }
}

/// Stores a group in one commit, then tells everybody.
fn store(database: &mut Database, group: impl Iterator<Item = Job>) {
    let mut announcements = Vec::new();
    let failure = commit(database, group, &mut announcements).err();
    if let Some(error) = &failure {
        tracing::error!(%error, events = announcements.len(), "events were not stored");
    }
    for announce in announcements {
        announce(failure.clone());
    }
}

fn commit(
    database: &mut Database,
    mut group: impl Iterator<Item = Job>,
    announcements: &mut Vec<Announcement>,
) -> Result<(), StoreError> {
    let refused = |job: Job| job(None); // the failure of the commit is its answer
    let begun = database
        .follow_file()
        .and_then(|()| Ok(database.connection.transaction_with_behavior(TransactionBehavior::Immediate)?));
    let transaction = match begun {
        Ok(transaction) => transaction,
        Err(error) => {
            announcements.extend(group.map(refused));
            return Err(error);
        }
    };
    while let Some(job) = group.next() {
        announcements.push(job(Some(&transaction)));
        if transaction.is_autocommit() {
            announcements.extend(group.map(refused));
            return Err(StoreError::Unavailable("SQLite gave the transaction up".into()));
        }
    }
    Ok(transaction.commit()?)
}

impl Database {
    /// If the file was deleted or replaced, what is written would be gone with it: open the new one.
    fn follow_file(&mut self) -> Result<(), StoreError> {
        if self.file.is_some() && file_id(&self.path) == self.file {
            return Ok(());
        }
        tracing::warn!("the session database was replaced; it is opened anew");
        self.connection = open_writer(&self.path)?;
        self.file = file_id(&self.path);
        Ok(())
    }
}

fn announcement<T: 'static>(reply: Reply<T>, outcome: Result<T, StoreError>) -> Announcement {
    Box::new(move |failure| {
        let answer = match failure {
            Some(error) => Err(error),
            None => outcome,
        };
        // A caller that went away meanwhile asks again with the same event id.
        let _gone = reply.send(answer);
    })
}
