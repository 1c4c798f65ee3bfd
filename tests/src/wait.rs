//! Waiting for something to become true, with a bound.
//!
//! For what gives no event of its own (a process that vanishes, text in a terminal). What can be
//! awaited, such as delivery by `shelltrack flush`, is awaited.

use std::time::{Duration, Instant};

/// How long anything may take before a test calls it stuck. Long, because the machine that runs the
/// tests may be busy, and nobody waits for it when all is well.
pub const BOUND: Duration = Duration::from_secs(60);

/// How often is looked: short against everything measured, long against the cost of looking.
const LOOK_EVERY: Duration = Duration::from_millis(10);

/// Looks until `look` gives something, and gives that.
///
/// # Panics
/// When `bound` is over, with `what` was waited for.
#[track_caller]
pub fn wait_until<T>(what: &str, bound: Duration, look: impl FnMut() -> Option<T>) -> T {
    match wait_at_most(bound, look) {
        Some(found) => found,
        None => panic!("waited {bound:?} in vain: {what}"),
    }
}

/// Looks until `look` gives something; `None` when `bound` is over.
pub fn wait_at_most<T>(bound: Duration, mut look: impl FnMut() -> Option<T>) -> Option<T> {
    let deadline = Instant::now() + bound;
    loop {
        if let Some(found) = look() {
            return Some(found);
        }
        if Instant::now() >= deadline {
            return None;
        }
        std::thread::sleep(LOOK_EVERY);
    }
}
