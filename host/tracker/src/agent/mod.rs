//! The agent: one process per spool, the only one that talks to servers. It is started by whoever
//! finds none, serves every shell of its user, and ends when nothing is left to deliver or watch.
//!
//! | part | what it does |
//! |------|--------------|
//! | `lock` | exactly one agent, and no event lost between two |
//! | `keeper` | sees new files and vanished shells, gives the work to the targets' workers |
//! | `worker` | one target: in order, when to try, what to do after a failure |
//! | `delivery` | one event over one connection |
//! | `gate` | the target's breaker |
//! | `session` | what is remembered of a session |
//! | `inferred` | the end of a shell that vanished |
//! | `dead` | what nobody will take |

mod dead;
mod delivery;
mod gate;
mod inferred;
mod keeper;
mod lock;
mod session;
mod worker;

use std::cell::RefCell;
use std::fs::File;
use std::io;
use std::path::PathBuf;
use std::process::{Command, Stdio};
use std::rc::Rc;
use std::sync::Arc;
use std::time::{Duration, Instant, SystemTime};

use rustix::process::{Resource, Rlimit, Signal, getrlimit, setrlimit};
use shelltrack_sandbox::Sandbox;
use tokio::sync::mpsc::{UnboundedSender, unbounded_channel};
use uuid::Uuid;

pub(crate) use dead::{Letter, discard};
pub(crate) use lock::Presence;
pub(crate) use session::OpenSession;

use crate::Error;
use crate::Tuning;
use crate::history::History;
use crate::metrics::Counting;
use crate::session_buddy::Embedded;
use crate::spool::{Kind, Spool};

/// How an agent is started: program and arguments; the spool directory is appended.
#[derive(Clone, Debug)]
pub struct AgentCommand {
    /// The program.
    pub program: PathBuf,
    /// Its arguments.
    pub args: Vec<String>,
}

/// What an agent needs to know.
pub struct Options {
    /// The spool it serves.
    pub spool: PathBuf,
    /// The component, in the profile of a service.
    pub sandbox: Arc<Sandbox>,
    /// How the embedded Session-Buddy is reached.
    pub embedded: Embedded,
    /// How it delivers; asked again whenever a person waits for a delivery.
    pub tuning: Box<dyn Fn() -> Tuning>,
    /// A service manager started it: it stays when there is nothing to do, and takes the place of an
    /// agent that started itself.
    pub stays: bool,
    /// Told what becomes of the agent.
    pub observer: Box<dyn Fn(Moment)>,
}

/// What becomes of an agent.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Moment {
    /// It serves.
    Ready,
    /// It is still well: told every few seconds.
    Alive,
    /// It is about to end.
    Leaving,
}

/// What the parts of the agent share.
struct Shared {
    spool: Spool,
    sandbox: Arc<Sandbox>,
    embedded: Embedded,
    tuning: Box<dyn Fn() -> Tuning>,
    observer: Box<dyn Fn(Moment)>,
    counting: RefCell<Counting>,
    history: History,
    notes: UnboundedSender<Note>,
}

/// What the keeper is told by the others.
enum Note {
    /// A file appeared in `new/`.
    Arrived(Uuid, Kind),
    /// Files may have appeared that nobody could name.
    LookAround,
    /// A worker has done with an event: delivered, buried or overtaken.
    Finished(Uuid, Kind),
    /// A session is buried.
    Forget(Uuid),
    /// A shell is gone since then (microseconds since 1970), and has had time to announce its end.
    Vanished(Uuid, u64),
}

/// One event that waits. The order is the order of delivery.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
struct Item {
    accepted_us: u64,
    kind: Kind,
    key: Uuid,
}

/// What the keeper tells a worker.
enum Order {
    /// An event to deliver.
    Deliver(Item),
    /// A person waits: try now, whatever the breaker and the backoff say.
    TryNow,
}

impl Shared {
    fn note(&self, note: Note) {
        // The keeper outlives everyone who sends to it; at the very end nobody needs the news.
        drop(self.notes.send(note));
    }

    fn finished(&self, key: Uuid, kind: Kind) {
        self.note(Note::Finished(key, kind));
    }

    fn forget(&self, key: Uuid) {
        self.note(Note::Forget(key));
    }

    /// Keeps what piles up within its limits.
    fn keep_house(&self) {
        match dead::prune(&self.spool, (self.tuning)().dead_letters, SystemTime::now()) {
            Ok(0) => {}
            Ok(removed) => {
                tracing::warn!(removed, "dead letters removed: too many or too old");
                self.counting.borrow_mut().removed_dead_letters(removed);
            }
            Err(error) => tracing::warn!(%error, "dead letters are not kept within their limits"),
        }
    }
}

/// How long an agent that started itself has to make way: it may be in the middle of a call.
const TAKE_OVER: Duration = Duration::from_secs(60);
/// How often is looked whether it did.
const TAKE_OVER_LOOK: Duration = Duration::from_millis(50);

/// Starts an agent unless there is one that can be relied upon. To be called after the event is in
/// the spool: see `lock` for why that order loses nothing.
pub(crate) fn ensure(spool: &Spool, command: &AgentCommand) -> io::Result<()> {
    if Presence::current(spool).is_some() {
        return Ok(());
    }
    let mut child = Command::new(&command.program)
        .args(&command.args)
        .arg(spool.root())
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .current_dir("/")
        .spawn()?;
    // Reaped in a thread of its own: whoever tracks a shell for days shall not keep a zombie.
    std::thread::spawn(move || child.wait());
    Ok(())
}

/// Asks the agent, if one runs, to try every target now: a person waits.
pub(crate) fn nudge(spool: &Spool) -> io::Result<()> {
    let Some(presence) = Presence::current(spool) else { return Ok(()) };
    presence.signal(Signal::USR1)
}

/// Serves the spool until nothing is left to deliver or watch, or SIGTERM comes. Returns at once
/// when another agent does.
pub fn run(options: Options) -> Result<(), Error> {
    let spool = Spool::at(options.spool)?;
    let unusable = |error: io::Error| spool.refusal(&error.to_string());
    let last_seen = Presence::last(&spool);
    let lock = if options.stays { take_over(&spool) } else { lock::acquire(&spool) };
    let Some(lock) = lock.map_err(unusable)? else { return Ok(()) };
    raise_descriptor_limit();
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().map_err(unusable)?;
    let (notes, inbox) = unbounded_channel();
    let shared = Rc::new(Shared {
        spool: spool.clone(),
        sandbox: options.sandbox,
        embedded: options.embedded,
        tuning: options.tuning,
        observer: options.observer,
        counting: RefCell::new(Counting::load(&spool)),
        history: History::open(&spool),
        notes,
    });
    let last_seen_ms = last_seen.map(|presence| presence.seen_ms);
    let keeper = keeper::Keeper::new(shared, inbox, last_seen_ms, options.stays);
    let served = tokio::task::LocalSet::new().block_on(&runtime, keeper.serve());
    release(&spool, lock);
    served.map_err(unusable)
}

/// Becomes the agent in the place of one that started itself, which is told to end.
fn take_over(spool: &Spool) -> io::Result<Option<File>> {
    let deadline = Instant::now() + TAKE_OVER;
    loop {
        match Presence::current(spool) {
            Some(other) if other.stays => {
                let pid = other.process.pid;
                return Err(io::Error::other(format!("an agent that stays serves it already, pid {pid}")));
            }
            Some(other) => other.signal(Signal::TERM)?,
            None => {}
        }
        if let Some(lock) = lock::acquire(spool)? {
            return Ok(Some(lock));
        }
        if Instant::now() > deadline {
            return Err(io::Error::new(io::ErrorKind::TimedOut, "the agent that serves it does not end"));
        }
        std::thread::sleep(TAKE_OVER_LOOK);
    }
}

/// Each open session takes a descriptor (its pidfd), and the usual soft limit is 1,024.
fn raise_descriptor_limit() {
    let limit = getrlimit(Resource::Nofile);
    if let Err(error) = setrlimit(Resource::Nofile, Rlimit { current: limit.maximum, ..limit }) {
        tracing::warn!(%error, "the limit of descriptors stays; sessions beyond it are polled");
    }
}

fn release(spool: &Spool, lock: File) {
    if let Err(error) = Presence::withdraw(spool) {
        tracing::warn!(%error, "agent.json stays behind; its process is gone, so nobody relies on it");
    }
    drop(lock);
}
