//! Sees what happens — files that appear in the spool, shells that vanish — and gives the work to
//! the targets' workers. Talks to no server.
//!
//! | part | what it does |
//! |------|--------------|
//! | `targets` | the servers, and a worker for each |
//! | `sessions` | which sessions are in mind, and whose shells are awaited |
//! | `presence` | who can rely on this agent, when it leaves, how full the spool is |
//! | `recall` | goes on where the agent before this one stopped |
//! | `ends` | the end of a shell that vanished, and the lease of those that live |

mod ends;
mod presence;
mod recall;
mod sessions;
mod targets;

use std::collections::{BTreeMap, HashMap};
use std::io;
use std::rc::Rc;
use std::time::Duration;

use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::mpsc::{UnboundedReceiver, UnboundedSender};
use tokio::task::JoinHandle;
use tokio::time::{Instant, MissedTickBehavior, interval, sleep_until};
use uuid::Uuid;

use super::session::OpenSession;
use super::{Item, Moment, Note, Order, Shared, again, dead, lock};
use crate::Target;
use crate::clock::now_ms;
use crate::fault::Part;
use crate::spool::{Envelope, FORMAT, Fill, Kind, Seen, Spool, is_files_fault, remove, watch_new};
use sessions::Sessions;

/// How long the agent stays with nothing to do, so that a burst of shells needs one agent.
const LINGER: Duration = Duration::from_secs(1);
/// How often the whole directory is read, in case a notification was lost.
const LOOK_AROUND: Duration = Duration::from_secs(5);
/// How often the agent says that it is still there: the precision of an end nobody witnessed.
const SAY_SO: Duration = Duration::from_secs(30);
/// What the wall clock says beyond that since it was last said, milliseconds, is no lapse of time.
const CLOCK_LEAP_MS: u64 = 60_000;
/// News that are taken at once: some hundred milliseconds of work on a slow disk.
const NEWS_MAX: usize = 128;
/// How often sessions are looked for that are to be forgotten: that takes reading all of them.
const FORGET: Duration = Duration::from_secs(3_600);
/// Looks at a file that cannot be read, though it is not at fault as far as can be told, before it is
/// set aside: a minute, in which a disk may recover.
const UNREADABLE_LOOKS_MAX: u32 = 12;

/// See the module.
pub(super) struct Keeper {
    shared: Rc<Shared>,
    inbox: UnboundedReceiver<Note>,
    workers: HashMap<Rc<Target>, (UnboundedSender<Order>, JoinHandle<()>)>,
    sessions: Sessions,
    /// Events given to a worker and not finished, with their size in bytes.
    waiting: BTreeMap<(Uuid, Kind), (u64, Rc<Target>)>,
    waiting_bytes: u64,
    /// Events that could not be read, and how often.
    unreadable: HashMap<(Uuid, Kind), u32>,
    last_seen_ms: Option<u64>,
    published: Fill,
    /// When that was last said, by both clocks.
    announced: Option<(Instant, u64)>,
    forgot: Instant,
}

impl Keeper {
    /// `last_seen_ms`: when the agent before this one was last there.
    pub(super) fn new(shared: Rc<Shared>, inbox: UnboundedReceiver<Note>, last_seen_ms: Option<u64>) -> Self {
        Self {
            published: shared.spool.fill(),
            shared,
            inbox,
            workers: HashMap::new(),
            sessions: Sessions::new(),
            waiting: BTreeMap::new(),
            waiting_bytes: 0,
            unreadable: HashMap::new(),
            last_seen_ms,
            announced: None,
            forgot: Instant::now(),
        }
    }

    /// Serves until there is nothing to do, or SIGTERM or SIGINT comes.
    pub(super) async fn serve(mut self) -> io::Result<()> {
        let mut stop = signal(SignalKind::terminate())?;
        let mut interrupt = signal(SignalKind::interrupt())?;
        let mut try_now = signal(SignalKind::user_defined1())?;
        let _outlive_the_terminal = signal(SignalKind::hangup())?;
        let notes = self.shared.notes.clone();
        let _watcher = watch_new(&self.shared.spool, move |seen| match seen {
            Seen::Arrived(key, kind) => drop(notes.send(Note::Arrived(key, kind))),
            Seen::LostTrack => drop(notes.send(Note::LookAround)),
            Seen::Left => {}
        });
        self.announce();
        self.tidy();
        self.recall();
        self.look_around();
        self.shared.tell(Moment::Ready);
        let mut tick = interval(LOOK_AROUND);
        let mut renew = interval(ends::RENEW_EVERY);
        tick.set_missed_tick_behavior(MissedTickBehavior::Delay);
        renew.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let (mut busy, mut news) = (Instant::now(), Vec::new());
        loop {
            if !self.shared.is_ours() {
                return self.is_nobody();
            }
            self.publish_fill();
            if !self.is_idle() {
                busy = Instant::now();
            }
            tokio::select! {
                // A flood of news must not keep it from ending or from what a person asks; and a test's
                // seed says everything only when nothing here is left to chance.
                biased;
                _ = stop.recv() => break,
                _ = interrupt.recv() => break,
                _ = try_now.recv() => self.try_now(),
                (key, was_seen) = self.sessions.next_gone() => self.is_gone(key, was_seen),
                _ = renew.tick() => self.renew(),
                _ = tick.tick() => if self.tick()? { break },
                _ = self.inbox.recv_many(&mut news, NEWS_MAX) => self.take(&mut news),
                () = sleep_until(busy + LINGER), if self.is_idle() && !self.shared.stays => {
                    if self.may_leave() { break }
                    busy = Instant::now();
                }
            }
        }
        self.leave().await;
        Ok(())
    }

    /// The spool was removed, and perhaps made anew: what lies there now is for another agent, so nothing of
    /// it is touched any more. Whoever has this one started again by a manager is to do so.
    fn is_nobody(&self) -> io::Result<()> {
        let told = "the spool was removed under the agent";
        tracing::warn!("{told}");
        if self.shared.stays { Err(io::Error::other(told)) } else { Ok(()) }
    }

    fn is_idle(&self) -> bool {
        self.waiting.is_empty() && !self.sessions.any_open() && Rc::strong_count(&self.shared.visits) == 1
    }

    /// What is done from time to time. `true` when a visitor is to make room for those who live there.
    fn tick(&mut self) -> io::Result<bool> {
        self.look_around();
        self.shared.tell(Moment::Alive);
        self.shared.counting.borrow_mut().count(&self.shared.spool);
        if self.shared.visiting {
            return lock::is_awaited(&self.shared.spool);
        }
        if self.announced.is_none_or(|(at, _)| at.elapsed() >= SAY_SO) {
            self.announce();
            self.tidy();
            self.let_targets_go();
        } else if self.announced.is_some_and(|(_, at_ms)| now_ms().abs_diff(at_ms) > CLOCK_LEAP_MS) {
            // The machine slept, or the clock was set: what was said seems to be old, or not to have been yet.
            self.announce();
        }
        if self.forgot.elapsed() >= FORGET {
            self.forgot = Instant::now();
            self.forget_old();
        }
        Ok(false)
    }

    fn tidy(&self) {
        self.shared.spool.sweep();
        if let Err(error) = self.shared.spool.set_strangers_aside() {
            tracing::error!(%error, "the spool cannot be read");
        }
        if let Err(error) = again::finish_interrupted(&self.shared.spool) {
            tracing::warn!(%error, "dead letters that were being queued again stay what they are");
        }
        self.shared.keep_house();
    }

    /// Somebody waits for a flush.
    fn try_now(&mut self) {
        self.look_around();
        for (queue, _) in self.workers.values() {
            // A worker that is gone has nothing left to try.
            drop(queue.send(Order::TryNow));
        }
    }

    fn take(&mut self, news: &mut Vec<Note>) {
        let mut gone = Vec::new();
        for note in news.drain(..) {
            match note {
                Note::Arrived(key, kind) => self.see(key, kind),
                Note::LookAround => self.look_around(),
                Note::Finished(key, kind) => self.finished(key, kind),
                Note::Forget(key) => self.sessions.forget(key),
                Note::Vanished(shell) => gone.push(shell),
                Note::Tracked(key, session_id) => self.sessions.set_session_id(key, session_id),
            }
        }
        self.infer_ends(&gone);
    }

    /// Reads the whole of `new/`: starts first, so that no end is met without its start.
    fn look_around(&mut self) {
        match self.shared.spool.waiting() {
            Ok(mut files) => {
                files.sort_unstable_by_key(|(_, kind)| *kind);
                files.into_iter().for_each(|(key, kind)| self.see(key, kind));
            }
            Err(error) => tracing::error!(%error, "the spool cannot be read"),
        }
    }

    /// Takes note of a file in `new/`.
    pub(super) fn see(&mut self, key: Uuid, kind: Kind) {
        if self.waiting.contains_key(&(key, kind)) {
            return;
        }
        let path = self.shared.spool.event_path(key, kind);
        let envelope = match Spool::read_json::<Envelope>(&path) {
            Ok(Some(envelope)) => envelope,
            Ok(None) => return,
            Err(error) => return self.cannot_read(key, kind, &error),
        };
        if envelope.format != FORMAT || envelope.key != key {
            return self.bury(key, kind, "is not of this version's format");
        }
        let known = match kind {
            Kind::Start => self.open(&envelope),
            Kind::Gone | Kind::End => self.know(key),
        };
        match known {
            Ok(Some(target)) => {
                let started_us = self.sessions.get(key).map_or(0, |kept| kept.accepted_us);
                let accepted_us = envelope.accepted_us.max(started_us);
                self.enqueue(target, Item { accepted_us, kind, key });
            }
            Ok(None) => self.settle_orphan(key, kind),
            Err(error) => tracing::error!(%error, %key, "the session's state cannot be kept"),
        }
        if kind == Kind::End {
            self.sessions.unwatch(key);
        }
    }

    fn cannot_read(&mut self, key: Uuid, kind: Kind, error: &io::Error) {
        if is_files_fault(error) {
            return self.bury(key, kind, &format!("is no event: {error}"));
        }
        tracing::error!(%error, %key, "an event cannot be read now");
        // Descriptors and memory are the system's and come back; a disk may not.
        if error.raw_os_error() == Some(rustix::io::Errno::IO.raw_os_error()) {
            let looks = self.unreadable.entry((key, kind)).or_default();
            *looks += 1;
            if *looks >= UNREADABLE_LOOKS_MAX {
                self.unreadable.remove(&(key, kind));
                self.bury(key, kind, &format!("cannot be read: {error}"));
            }
        }
    }

    /// Remembers a session from its start, and watches its shell. `None` when the start is not whole.
    fn open(&mut self, start: &Envelope) -> io::Result<Option<Rc<Target>>> {
        if start.opened.is_none() {
            return Ok(None);
        }
        self.know(start.key)
    }

    /// Where the session's events go. Its start may have arrived without being seen yet: what is known
    /// is then made from it.
    fn know(&mut self, key: Uuid) -> io::Result<Option<Rc<Target>>> {
        if self.sessions.get(key).is_none() {
            match OpenSession::recover(&self.shared.spool, key)? {
                Some(session) => self.keep(&session),
                None => return Ok(None),
            }
        }
        Ok(self.sessions.get(key).map(|kept| kept.target.clone()))
    }

    fn keep(&mut self, session: &OpenSession) {
        let target = self.target(&session.target);
        // A visitor has nobody to watch, and judges those of an earlier run of the machine.
        let watch = !self.shared.visiting || !self.may_live(session, false);
        self.sessions.keep(session, target, session.is_open() && watch);
    }

    fn enqueue(&mut self, target: Rc<Target>, item: Item) {
        let Some((queue, _)) = self.workers.get(&target) else { return };
        if queue.send(Order::Deliver(item)).is_ok() {
            let path = self.shared.spool.event_path(item.key, item.kind);
            let bytes = path.symlink_metadata().map_or(0, |file| file.len());
            self.waiting.insert((item.key, item.kind), (bytes, target));
            self.waiting_bytes += bytes;
        }
    }

    fn finished(&mut self, key: Uuid, kind: Kind) {
        self.waiting_bytes -= self.waiting.remove(&(key, kind)).map_or(0, |(bytes, _)| bytes);
        if kind != Kind::Start {
            self.sessions.forget(key);
        }
    }

    /// An event without a session. An end was accepted because its session was known then: when its
    /// start is no dead letter, the session is over by now, and a second end changes nothing.
    fn settle_orphan(&mut self, key: Uuid, kind: Kind) {
        if kind == Kind::Start {
            return self.bury(key, kind, "is a start without a target");
        }
        if self.shared.spool.has_letter(key, Kind::Start) {
            return self.bury(key, kind, "the start of its session is a dead letter");
        }
        if self.shared.spool.event_path(key, Kind::Start).exists() {
            return; // it cannot be read for now, and its end waits with it
        }
        tracing::info!(%key, "a second end of a session that is over changes nothing");
        if let Err(error) = remove(&self.shared.spool.event_path(key, kind), Part::Event) {
            tracing::error!(%error, "it stays in the queue");
        }
    }

    fn bury(&mut self, key: Uuid, kind: Kind, reason: &str) {
        tracing::warn!(%key, ?kind, reason, "dead letter");
        match dead::bury(&self.shared.spool, &self.shared.sandbox, key, kind, reason) {
            Ok(buried) => {
                if let Some(target) = dead::target_of(&self.shared.spool, key) {
                    self.shared.counting.borrow_mut().target(&target).dead += u64::from(buried);
                }
            }
            Err(error) => tracing::error!(%error, "a dead letter could not be kept"),
        }
    }
}
