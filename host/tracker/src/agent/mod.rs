//! The agent: one process per spool, the only one that talks to servers. It is started by whoever
//! finds none, serves every shell of its user, and ends when nothing is left to deliver or watch.
//!
//! | part | what it does |
//! |------|--------------|
//! | `lock` | exactly one agent, and no event lost between two |
//! | `presence` | who it is, told to whoever writes an event |
//! | `keeper` | sees new files and vanished shells, gives the work to the targets' workers |
//! | `worker` | one target: in order, when to try, what to do after a failure |
//! | `delivery` | one event over one connection |
//! | `gate` | the target's breaker |
//! | `session` | what is remembered of a session |
//! | `inferred` | the end of a shell that vanished |
//! | `dead` | what nobody will take |
//! | `aging` | when what nobody took is too old to be kept |
//! | `again` | what a person queues again or drops |
//! | `visits` | what waits in spools of other pid namespaces whose agents are gone |

mod again;
mod aging;
mod dead;
mod delivery;
mod gate;
mod inferred;
mod keeper;
mod lock;
mod presence;
mod session;
#[cfg(test)]
#[allow(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    clippy::print_stderr,
    reason = "a test may fail by panic"
)]
mod sim;
mod visits;
mod worker;

use std::cell::RefCell;
use std::fs::File;
use std::io;
use std::path::PathBuf;
use std::process::{Command, Stdio};
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

use rustix::process::{Resource, Rlimit, Signal, getrlimit, setrlimit};
use shelltrack_sandbox::Sandbox;
use tokio::runtime::Runtime;
use tokio::sync::mpsc::{UnboundedSender, unbounded_channel};
use tokio::task::LocalSet;
use uuid::Uuid;

pub(crate) use again::{PATIENCE_OF_A_PERSON, drop_letter, envelope, finish_interrupted, hold, queue};
pub(crate) use dead::Letter;
#[cfg(test)]
pub(crate) use dead::bury;
pub(crate) use inferred::inferred_end;
pub(crate) use lock::is_held;
use presence::LIMITS;
pub(crate) use presence::Presence;
pub(crate) use session::OpenSession;

use crate::history::History;
use crate::metrics::Counting;
use crate::session_buddy::Embedded;
use crate::spool::{Kind, Spool};
use crate::{Error, Tuning};
use inferred::Gone;
use keeper::Keeper;

/// How long a server may take a session for alive that it heard nothing more of. Renewed three times as
/// often, so that a machine that vanished is noticed within minutes.
const LEASE: Duration = Duration::from_secs(180);

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
    pub tuning: Rc<dyn Fn() -> Tuning>,
    /// A service manager started it: it stays when there is nothing to do, and takes the place of an
    /// agent that started itself.
    pub stays: bool,
    /// Told what becomes of the agent.
    pub observer: Rc<dyn Fn(Moment)>,
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
    tuning: Rc<dyn Fn() -> Tuning>,
    observer: Rc<dyn Fn(Moment)>,
    /// It does not leave because there is nothing to do.
    stays: bool,
    counting: RefCell<Counting>,
    history: History,
    notes: UnboundedSender<Note>,
    /// The spool is that of another pid namespace of this machine: its events are delivered for those
    /// who may never come back, and its processes are not judged.
    visiting: bool,
    /// Held by everyone who visits another spool.
    visits: Rc<()>,
    /// The lock that is held; a story in a test has none.
    place: Option<lock::Place>,
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
    /// A shell is gone, and has had time to announce its end.
    Vanished(Gone),
    /// A server gave a session its id.
    Tracked(Uuid, Box<str>),
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
    /// Tell the server that these sessions live (its ids).
    Renew(Vec<Box<str>>),
}

impl Shared {
    fn new(
        spool: Spool,
        options: &Options,
        notes: UnboundedSender<Note>,
        visiting: bool,
        visits: Rc<()>,
        place: Option<lock::Place>,
    ) -> Self {
        Self {
            sandbox: options.sandbox.clone(),
            embedded: options.embedded.clone(),
            tuning: options.tuning.clone(),
            observer: options.observer.clone(),
            stays: options.stays && !visiting,
            counting: RefCell::new(Counting::load(&spool)),
            history: History::open(&spool),
            spool,
            notes,
            visiting,
            visits,
            place,
        }
    }

    fn note(&self, note: Note) {
        // The keeper outlives everyone who sends to it; at the very end nobody needs the news.
        drop(self.notes.send(note));
    }

    /// Tells what becomes of the agent. A visit is no agent of its own.
    fn tell(&self, moment: Moment) {
        if !self.visiting {
            (self.observer)(moment);
        }
    }

    /// Whether the spool is the one that this agent has the lock of.
    fn is_ours(&self) -> bool {
        self.place.as_ref().is_none_or(lock::Place::is_held)
    }

    fn finished(&self, key: Uuid, kind: Kind) {
        self.note(Note::Finished(key, kind));
    }

    fn forget(&self, key: Uuid) {
        self.note(Note::Forget(key));
    }

    /// Keeps what piles up within its limits.
    fn keep_house(&self) {
        match dead::prune(&self.spool, (self.tuning)().dead_letters, &aging::Look::now()) {
            Ok(0) => {}
            Ok(removed) => {
                tracing::warn!(removed, "dead letters removed: too many or too old");
                self.counting.borrow_mut().removed_dead_letters(removed);
            }
            Err(error) => tracing::warn!(%error, "dead letters are not kept within their limits"),
        }
    }
}

/// Starts an agent unless there is one that can be relied upon. To be called after the event is in
/// the spool: see `lock` for why that order loses nothing.
pub(crate) fn ensure(spool: &Spool, command: &AgentCommand) -> io::Result<()> {
    if !is_wanted_at(spool) {
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

/// Whether this program should start an agent: there is none that can be relied upon, or it is an older
/// version than this program.
fn is_wanted_at(spool: &Spool) -> bool {
    Presence::current(spool).is_none_or(|presence| presence.is_outdated())
}

/// As for [`run`], without becoming the agent: whether it is worth starting one. Costs a fraction.
pub fn is_wanted(spool: PathBuf) -> Result<bool, Error> {
    Ok(is_wanted_at(&Spool::at(spool)?))
}

/// Whether no agent is there, not even one that cannot say so, as on a full disk: a look at one file, or two.
/// One that was killed is not there, even if the system has not let go of its lock yet: a newcomer waits for that.
pub(crate) fn is_missing(spool: &Spool) -> bool {
    match Presence::announced(spool) {
        Some(agent) => !agent.process.is_whole(),
        None => !is_held(spool),
    }
}

/// Asks the agent, if one runs, to try every target now: a person waits.
pub(crate) fn nudge(spool: &Spool) -> io::Result<()> {
    let Some(presence) = Presence::current(spool) else { return Ok(()) };
    presence.send(Signal::USR1)
}

/// Serves the spool until nothing is left to deliver or watch, or SIGTERM comes. Returns at once
/// when another agent does; for one that stays that is an error. A spool that is not this machine's and pid
/// namespace's is visited: what waits there is delivered.
pub fn run(options: Options) -> Result<(), Error> {
    let spool = Spool::at(options.spool.clone())?;
    let unusable = |error: io::Error| spool.refusal(&error.to_string());
    if !spool.is_own() && !options.stays {
        let runtime = runtime().map_err(unusable)?;
        let visited = LocalSet::new().block_on(&runtime, visits::visit_by_order(&spool, &options));
        return visited.map_err(unusable);
    }
    let last_seen = Presence::last(&spool);
    let Some(lock) = lock::acquire(&spool, options.stays).map_err(unusable)? else { return Ok(()) };
    raise_limits();
    let runtime = runtime().map_err(unusable)?;
    let place = lock::Place::of(&spool, &lock).map_err(unusable)?;
    let served = LocalSet::new().block_on(&runtime, serve(&spool, &options, last_seen, Some(place)));
    release(&spool, lock);
    served.map_err(unusable)
}

fn runtime() -> io::Result<Runtime> {
    tokio::runtime::Builder::new_current_thread().enable_all().build()
}

async fn serve(
    spool: &Spool,
    options: &Options,
    last_seen: Option<Presence>,
    place: Option<lock::Place>,
) -> io::Result<()> {
    let (notes, inbox) = unbounded_channel();
    let visits = Rc::new(());
    let others = visits::go_round(spool.root(), options, Rc::downgrade(&visits));
    let shared = Shared::new(spool.clone(), options, notes, false, visits, place);
    let keeper = Keeper::new(Rc::new(shared), inbox, last_seen.map(|presence| presence.seen_ms));
    tokio::select! {
        served = keeper.serve() => served,
        never = others => match never {},
    }
}

/// What the shell that happens to start the agent may not do is no reason for all others to wait. And each open
/// session takes a descriptor (its pidfd), of which the usual soft limit is 1,024.
fn raise_limits() {
    for resource in LIMITS.into_iter().chain([Resource::Nofile]) {
        let limit = getrlimit(resource);
        let raised = setrlimit(resource, Rlimit { current: None, maximum: None });
        // Not everybody may.
        let raised = raised.or_else(|_| setrlimit(resource, Rlimit { current: limit.maximum, ..limit }));
        if let Err(error) = raised {
            tracing::warn!(%error, ?resource, "a limit stays");
        }
    }
}

fn release(spool: &Spool, lock: File) {
    // What lies there now may be another agent's.
    if lock::Place::of(spool, &lock).is_ok_and(|place| place.is_held())
        && let Err(error) = Presence::withdraw(spool)
    {
        tracing::warn!(%error, "agent.json stays behind; its process is gone, so nobody relies on it");
    }
    drop(lock);
}
