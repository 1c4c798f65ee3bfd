//! What can be tuned: when a server is left alone, how often an event is tried, how much is kept of what
//! nobody takes, how many sessions may begin at once. Plain values; who reads them from where is the
//! caller's business, and so is refusing nonsense.

use shelltrack_sandbox::types::{BackoffPolicy, BreakerPolicy};

use crate::session_buddy::Budgets;

/// How an agent delivers.
#[derive(Clone, Debug, PartialEq)]
pub struct Tuning {
    /// When a target is left alone, and for how long.
    pub breaker: BreakerPolicy,
    /// Waits between tries before the breaker opens.
    pub backoff: BackoffPolicy,
    /// Calls that may fail for one event on a server that is otherwise well, before it is given up: one
    /// poisonous event must not be tried for ever.
    pub attempts_max: u32,
    /// How long a server may take.
    pub budgets: Budgets,
    /// What is kept of what nobody takes.
    pub dead_letters: DeadLetterLimits,
}

impl Default for Tuning {
    /// Three failures in a row open the breaker for a minute; retries before wait 1 to 10 s with full
    /// jitter: the values Session-Buddy's clients use.
    fn default() -> Self {
        Self {
            breaker: BreakerPolicy {
                failure_threshold: 3,
                open_ms: 60_000,
                open_max_ms: 300_000,
                probe_ms: 60_000,
            },
            backoff: BackoffPolicy { base_ms: 1_000, cap_ms: 10_000 },
            attempts_max: 10,
            budgets: Budgets::default(),
            dead_letters: DeadLetterLimits::default(),
        }
    }
}

/// What is kept of dead letters; the oldest go first, and what goes is counted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct DeadLetterLimits {
    /// How many.
    pub count: u64,
    /// Their size together, bytes.
    pub bytes: u64,
    /// Their age, seconds.
    pub age_seconds: u64,
}

impl Default for DeadLetterLimits {
    /// A quarter of a year of 100 letters a day, in less than a tenth of a gigabyte: enough for a person
    /// who looks once a quarter, little enough to be forgotten about.
    fn default() -> Self {
        Self { count: 10_000, bytes: 64 << 20, age_seconds: 90 * 24 * 3600 }
    }
}

/// How many sessions may begin: a fork bomb of shells is not to fill the spool.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct StartLimit {
    /// So many at once after a quiet time.
    pub burst: u32,
    /// So many a second in the long run; 0 is no limit.
    pub per_second: u32,
}

impl Default for StartLimit {
    /// More than any person, script or terminal multiplexer opens, and far less than a fork bomb.
    fn default() -> Self {
        Self { burst: 1_000, per_second: 50 }
    }
}
