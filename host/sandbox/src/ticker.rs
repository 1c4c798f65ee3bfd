//! The clock by which a call's time runs out: a thread that advances the engine's epoch while calls
//! are under way, and the callback that decides at each tick.
//!
//! Costs nothing while no call is under way (the thread is parked, and started only by the first
//! call) and two atomic additions per call. Does not interrupt the host's own code: it is bounded.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering::SeqCst};
use std::sync::{Mutex, PoisonError};
use std::thread::Thread;
use std::time::{Duration, Instant};

use rustix::time::{ClockId, clock_gettime};
use wasmtime::{Engine, Store, UpdateDeadline};

use crate::error::{Error, Stopped};
use crate::limits::Limits;

/// Between two ticks. A deadline is met this late at most, and 200 wake-ups a second are not felt.
const TICK: Duration = Duration::from_millis(5);
/// Stack of the thread, which only counts: the smallest that every system takes.
const STACK_BYTES: usize = 64 << 10;

/// Ticks while calls are under way.
pub(crate) struct Ticker {
    shared: Arc<Shared>,
    engine: Engine,
    thread: Mutex<Option<Thread>>,
}

/// What the callers and the thread tell each other. Sequentially consistent throughout: a caller
/// first counts itself and then looks whether the thread sleeps, the thread does the reverse, and
/// so at least one of them sees the other.
struct Shared {
    begun: AtomicU64,
    ended: AtomicU64,
    asleep: AtomicBool,
    closed: AtomicBool,
}

/// A call under way; over when dropped.
pub(crate) struct Running<'a>(&'a Shared);

impl Ticker {
    pub(crate) fn new(engine: Engine) -> Self {
        let shared = Shared {
            begun: AtomicU64::new(0),
            ended: AtomicU64::new(0),
            asleep: AtomicBool::new(true),
            closed: AtomicBool::new(false),
        };
        Self { shared: Arc::new(shared), engine, thread: Mutex::new(None) }
    }

    /// Counts a call in and sees to it that the clock runs.
    pub(crate) fn run(&self) -> Result<Running<'_>, Error> {
        self.shared.begun.fetch_add(1, SeqCst);
        let running = Running(&self.shared);
        if self.shared.asleep.load(SeqCst) {
            self.wake()?;
        }
        Ok(running)
    }

    fn wake(&self) -> Result<(), Error> {
        let mut thread = self.thread.lock().unwrap_or_else(PoisonError::into_inner);
        if self.shared.asleep.swap(false, SeqCst) {
            if let Some(thread) = &*thread {
                thread.unpark();
                return Ok(());
            }
            match start(self.engine.clone(), Arc::clone(&self.shared)) {
                Ok(started) => *thread = Some(started),
                Err(error) => {
                    self.shared.asleep.store(true, SeqCst);
                    return Err(Error::Load(format!("no thread for the deadline: {error}")));
                }
            }
        }
        Ok(())
    }
}

impl Drop for Ticker {
    fn drop(&mut self) {
        self.shared.closed.store(true, SeqCst);
        if let Some(thread) = self.thread.get_mut().unwrap_or_else(PoisonError::into_inner) {
            thread.unpark();
        }
    }
}

impl Drop for Running<'_> {
    fn drop(&mut self) {
        self.0.ended.fetch_add(1, SeqCst);
    }
}

fn start(engine: Engine, shared: Arc<Shared>) -> std::io::Result<Thread> {
    let thread = std::thread::Builder::new().name("shelltrack-tick".to_owned()).stack_size(STACK_BYTES);
    Ok(thread.spawn(move || tick(&engine, &shared))?.thread().clone())
}

/// Ticks until a whole tick has gone by without a call: going to sleep between any two calls would
/// make each of them pay for a wake-up.
fn tick(engine: &Engine, shared: &Shared) {
    let mut begun_before = 0;
    while !shared.closed.load(SeqCst) {
        let begun = shared.begun.load(SeqCst);
        if begun == begun_before && begun == shared.ended.load(SeqCst) {
            shared.asleep.store(true, SeqCst);
            while shared.asleep.load(SeqCst) && !shared.closed.load(SeqCst) {
                if shared.begun.load(SeqCst) != begun {
                    // A call that came between the two looks above; it may have seen us awake.
                    shared.asleep.store(false, SeqCst);
                    break;
                }
                std::thread::park();
            }
        }
        begun_before = begun;
        std::thread::sleep(TICK);
        engine.increment_epoch();
    }
}

/// Gives the store its time. What has been used is looked at only when a tick falls into the call,
/// which spares all others the system calls; so time counts from the first tick on.
pub(crate) fn limit_time<T>(store: &mut Store<T>, limits: &Limits) {
    let Limits { deadline_ms, ceiling_ms, .. } = *limits;
    let mut since: Option<(Duration, Instant)> = None;
    store.set_epoch_deadline(1);
    store.epoch_deadline_callback(move |_| {
        let (cpu_start, wall_start) = *since.get_or_insert_with(|| (thread_cpu_time(), Instant::now()));
        let out_of = |used: Duration, limit_ms| used >= Duration::from_millis(limit_ms);
        if out_of(thread_cpu_time().saturating_sub(cpu_start), deadline_ms) {
            return Err(Stopped::Timeout { limit_ms: deadline_ms }.into());
        }
        if out_of(wall_start.elapsed(), ceiling_ms) {
            return Err(Stopped::Timeout { limit_ms: ceiling_ms }.into());
        }
        Ok(UpdateDeadline::Continue(1))
    });
}

/// CPU time the calling thread has used so far.
fn thread_cpu_time() -> Duration {
    let time = clock_gettime(ClockId::ThreadCPUTime);
    let seconds = u64::try_from(time.tv_sec).unwrap_or_default();
    Duration::new(seconds, u32::try_from(time.tv_nsec).unwrap_or_default())
}
