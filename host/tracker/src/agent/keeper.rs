//! Sees what happens — files that appear in the spool, shells that vanish — and gives the work to
//! the targets' workers. Talks to no server.

use std::collections::HashMap;
use std::io;
use std::rc::Rc;
use std::time::Duration;

use shelltrack_sandbox::types::ExitReason;
use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::mpsc::{UnboundedReceiver, UnboundedSender, unbounded_channel};
use tokio::task::{AbortHandle, JoinHandle, spawn_local};
use tokio::time::{Instant, MissedTickBehavior, interval, sleep_until, timeout};
use uuid::Uuid;

use super::gate::now_ms;
use super::session::OpenSession;
use super::worker::Worker;
use super::{Item, Moment, Note, Order, Presence, Shared, dead, inferred};
use crate::Target;
use crate::process::{ProcessId, exited};
use crate::spool::{Envelope, FORMAT, Fill, Kind, Seen, Spool, is_no_event, now_us, remove, watch_new};

/// How long a vanished shell has to have announced its end: its last words may still be on the way.
const GRACE: Duration = Duration::from_secs(2);
/// How long the agent stays with nothing to do, so that a burst of shells needs one agent.
const LINGER: Duration = Duration::from_secs(1);
/// How often the whole directory is read, in case a notification was lost.
const LOOK_AROUND: Duration = Duration::from_secs(5);
/// How often the agent says that it is still there: the precision of an end nobody witnessed.
const SAY_SO: Duration = Duration::from_secs(30);
/// How long the workers have to finish the call they are in when the agent ends.
const FAREWELL: Duration = Duration::from_secs(5);

/// A session the agent has in mind.
struct Kept {
    target: Target,
    /// When its start was accepted: nothing of the session goes out before, whatever a clock that was
    /// set back says.
    accepted_us: u64,
    watch: Option<AbortHandle>,
}

/// See the module.
pub(super) struct Keeper {
    shared: Rc<Shared>,
    inbox: UnboundedReceiver<Note>,
    workers: HashMap<Target, (UnboundedSender<Order>, JoinHandle<()>)>,
    sessions: HashMap<Uuid, Kept>,
    /// Events given to a worker and not finished, with their size in bytes.
    waiting: HashMap<(Uuid, Kind), u64>,
    waiting_bytes: u64,
    last_seen_ms: Option<u64>,
    published: Fill,
    /// A service manager started it: it does not leave because there is nothing to do.
    stays: bool,
}

impl Keeper {
    /// `last_seen_ms`: when the agent before this one was last there.
    pub(super) fn new(
        shared: Rc<Shared>,
        inbox: UnboundedReceiver<Note>,
        last_seen_ms: Option<u64>,
        stays: bool,
    ) -> Self {
        Self {
            shared,
            inbox,
            workers: HashMap::new(),
            sessions: HashMap::new(),
            waiting: HashMap::new(),
            waiting_bytes: 0,
            last_seen_ms,
            published: Fill::default(),
            stays,
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
        self.published = self.shared.spool.fill();
        self.announce()?;
        self.shared.spool.sweep();
        self.shared.keep_house();
        self.recall();
        self.look_around();
        (self.shared.observer)(Moment::Ready);
        let mut tick = interval(LOOK_AROUND);
        tick.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let mut said = Instant::now();
        let mut busy = Instant::now();
        loop {
            self.publish_fill();
            if !self.is_idle() {
                busy = Instant::now();
            }
            tokio::select! {
                note = self.inbox.recv() => if let Some(note) = note { self.take(note) },
                _ = tick.tick() => {
                    self.look_around();
                    (self.shared.observer)(Moment::Alive);
                    self.shared.counting.borrow_mut().count(&self.shared.spool);
                    if said.elapsed() >= SAY_SO {
                        said = Instant::now();
                        self.announce()?;
                        self.shared.keep_house();
                    }
                }
                () = sleep_until(busy + LINGER), if self.is_idle() && !self.stays => if self.may_leave()? { break },
                _ = try_now.recv() => self.try_now(),
                _ = stop.recv() => break,
                _ = interrupt.recv() => break,
            }
        }
        self.leave().await;
        Ok(())
    }

    /// Somebody waits for a flush.
    fn try_now(&mut self) {
        self.look_around();
        for (queue, _) in self.workers.values() {
            // A worker that is gone has nothing left to try.
            drop(queue.send(Order::TryNow));
        }
    }

    fn is_idle(&self) -> bool {
        self.waiting.is_empty() && self.sessions.values().all(|kept| kept.watch.is_none())
    }

    fn announce(&self) -> io::Result<()> {
        Presence::announce(&self.shared.spool, now_ms(), self.stays)
    }

    /// Withdraws, and looks once more: whoever wrote an event before we withdrew relies on us.
    fn may_leave(&mut self) -> io::Result<bool> {
        Presence::withdraw(&self.shared.spool)?;
        self.look_around();
        if self.is_idle() {
            return Ok(true);
        }
        self.announce()?;
        // Between the last look and this announcement others were not to rely on us.
        self.look_around();
        Ok(false)
    }

    async fn leave(self) {
        let Self { shared, workers, .. } = self;
        (shared.observer)(Moment::Leaving);
        drop(Presence::withdraw(&shared.spool));
        let tasks: Vec<_> = workers.into_values().map(|(_, task)| task).collect();
        for task in tasks {
            drop(timeout(FAREWELL, task).await);
        }
        shared.counting.borrow_mut().count(&shared.spool);
    }

    fn take(&mut self, note: Note) {
        match note {
            Note::Arrived(key, kind) => self.see(key, kind),
            Note::LookAround => self.look_around(),
            Note::Finished(key, kind) => self.finished(key, kind),
            Note::Forget(key) => self.forget(key),
            Note::Vanished(key, since_us) => self.infer_end(key, ExitReason::Vanished, since_us),
        }
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
    fn see(&mut self, key: Uuid, kind: Kind) {
        if self.waiting.contains_key(&(key, kind)) {
            return;
        }
        let path = self.shared.spool.event_path(key, kind);
        let envelope = match Spool::read_json::<Envelope>(&path) {
            Ok(Some(envelope)) => envelope,
            Ok(None) => return,
            Err(error) if is_no_event(&error) => {
                return self.bury(key, kind, &format!("is no event: {error}"));
            }
            // A disk or a table of descriptors may recover; the next look comes soon.
            Err(error) => return tracing::error!(%error, %key, "an event cannot be read now"),
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
                let started_us = self.sessions.get(&key).map_or(0, |kept| kept.accepted_us);
                let accepted_us = envelope.accepted_us.max(started_us);
                self.enqueue(target, Item { accepted_us, kind, key });
            }
            Ok(None) => self.settle_orphan(key, kind),
            Err(error) => tracing::error!(%error, %key, "the session's state cannot be kept"),
        }
        if kind == Kind::End {
            self.unwatch(key);
        }
    }

    /// Remembers a session from its start, and watches its shell. `None` when the start is not whole.
    fn open(&mut self, start: &Envelope) -> io::Result<Option<Target>> {
        let Some(opened) = &start.opened else { return Ok(None) };
        if !self.sessions.contains_key(&start.key) {
            let spool = &self.shared.spool;
            let session = match OpenSession::load(spool, start.key)? {
                Some(session) => session,
                None => {
                    let session = OpenSession::from_start(start, opened);
                    session.save(spool)?;
                    session
                }
            };
            self.keep(&session);
        }
        Ok(Some(opened.target.clone()))
    }

    /// Where the session's events go. Its start may have arrived without being seen yet.
    fn know(&mut self, key: Uuid) -> io::Result<Option<Target>> {
        if !self.sessions.contains_key(&key) {
            self.see_start_of(key);
            match OpenSession::load(&self.shared.spool, key)? {
                Some(session) => self.keep(&session),
                None => return Ok(None),
            }
        }
        Ok(self.sessions.get(&key).map(|kept| kept.target.clone()))
    }

    fn see_start_of(&mut self, key: Uuid) {
        if self.shared.spool.event_path(key, Kind::Start).exists() {
            self.see(key, Kind::Start);
        }
    }

    fn keep(&mut self, session: &OpenSession) {
        if self.sessions.contains_key(&session.key) {
            return;
        }
        let watch = session.is_open().then(|| self.watch(session.key, session.process.clone()));
        self.sessions.insert(
            session.key,
            Kept { target: session.target.clone(), accepted_us: session.accepted_us, watch },
        );
    }

    fn watch(&self, key: Uuid, process: ProcessId) -> AbortHandle {
        let shared = self.shared.clone();
        let watch = spawn_local(async move {
            exited(&process).await;
            let since_us = now_us();
            tokio::time::sleep(GRACE).await;
            shared.note(Note::Vanished(key, since_us));
        });
        watch.abort_handle()
    }

    fn unwatch(&mut self, key: Uuid) {
        if let Some(watch) = self.sessions.get_mut(&key).and_then(|kept| kept.watch.take()) {
            watch.abort();
        }
    }

    fn enqueue(&mut self, target: Target, item: Item) {
        let shared = self.shared.clone();
        let (queue, _) = self.workers.entry(target).or_insert_with_key(|target| {
            let (queue, incoming) = unbounded_channel();
            (queue, spawn_local(Worker::new(shared, target.clone(), incoming).run()))
        });
        if queue.send(Order::Deliver(item)).is_ok() {
            let path = self.shared.spool.event_path(item.key, item.kind);
            let bytes = path.symlink_metadata().map_or(0, |file| file.len());
            self.waiting.insert((item.key, item.kind), bytes);
            self.waiting_bytes += bytes;
        }
    }

    fn finished(&mut self, key: Uuid, kind: Kind) {
        self.waiting_bytes -= self.waiting.remove(&(key, kind)).unwrap_or(0);
        if kind != Kind::Start {
            self.forget(key);
        }
    }

    fn forget(&mut self, key: Uuid) {
        self.unwatch(key);
        self.sessions.remove(&key);
    }

    /// An event without a session. An end was accepted because its session was known then: when its
    /// start is no dead letter, the session is over by now, and a second end changes nothing.
    fn settle_orphan(&mut self, key: Uuid, kind: Kind) {
        if kind == Kind::Start {
            return self.bury(key, kind, "is a start without a target");
        }
        if self.shared.spool.dead_path(key, Kind::Start).exists() {
            return self.bury(key, kind, "the start of its session is a dead letter");
        }
        tracing::info!(%key, "a second end of a session that is over changes nothing");
        if let Err(error) = remove(&self.shared.spool.event_path(key, kind)) {
            tracing::error!(%error, "it stays in the queue");
        }
    }

    fn bury(&mut self, key: Uuid, kind: Kind, reason: &str) {
        tracing::warn!(%key, ?kind, reason, "dead letter");
        if let Err(error) = dead::bury(&self.shared.spool, &self.shared.sandbox, key, kind, reason) {
            tracing::error!(%error, "a dead letter could not be kept");
        }
    }

    /// Queues the end that a shell did not announce, unless it did after all.
    fn infer_end(&mut self, key: Uuid, reason: ExitReason, at_us: u64) {
        self.unwatch(key);
        match inferred::accept_end(&self.shared.spool, &self.shared.sandbox, key, reason, at_us) {
            Ok(true) => self.see(key, Kind::Gone),
            Ok(false) => {}
            Err(error) => tracing::error!(%error, %key, "the end of a vanished shell is not recorded"),
        }
    }

    /// Goes on where the agent before this one stopped.
    fn recall(&mut self) {
        let names = self.shared.spool.names("open").unwrap_or_default();
        for key in names.iter().filter_map(|name| Uuid::try_parse(name.strip_suffix(".json")?).ok()) {
            match OpenSession::load(&self.shared.spool, key) {
                Ok(Some(session)) => self.resume(&session),
                Ok(None) => {}
                Err(error) => tracing::error!(%error, %key, "the session's state cannot be read"),
            }
        }
    }

    fn resume(&mut self, session: &OpenSession) {
        if session.is_forgettable(now_us()) {
            if let Err(error) = session.forget(&self.shared.spool) {
                tracing::error!(%error, "an ended session could not be forgotten");
            }
            return;
        }
        if !session.is_open() || session.process.is_alive() {
            return self.keep(session);
        }
        // Nobody saw it end: the last moment at which it is known to have lived is the best guess.
        let seen_us = self.last_seen_ms.unwrap_or(0).saturating_mul(1_000).max(session.accepted_us);
        let reason =
            if session.process.is_of_an_earlier_boot() { ExitReason::Rebooted } else { ExitReason::Vanished };
        self.sessions.insert(
            session.key,
            Kept { target: session.target.clone(), accepted_us: session.accepted_us, watch: None },
        );
        self.infer_end(session.key, reason, seen_us);
    }

    /// Tells the shells how full the spool is, in steps: an exact figure would cost a write an event.
    fn publish_fill(&mut self) {
        /// What may change between two publications: far below the limits it guards.
        const STEP: Fill = Fill { events: 500, bytes: 1 << 20 };
        let events = u64::try_from(self.waiting.len()).unwrap_or(u64::MAX);
        let fill = Fill { events, bytes: self.waiting_bytes };
        if fill.events.abs_diff(self.published.events) < STEP.events
            && fill.bytes.abs_diff(self.published.bytes) < STEP.bytes
        {
            return;
        }
        match self.shared.spool.publish_fill(fill) {
            Ok(()) => self.published = fill,
            Err(error) => tracing::warn!(%error, "the fill of the spool could not be published"),
        }
    }
}
