//! The tables that tune delivery: `[breaker]`, `[delivery]`, `[dead-letters]`, `[limits]`. A value that
//! makes no sense is refused by name; what is not said is the tracker's default.

use std::ops::RangeInclusive;
use std::time::Duration;

use serde::Deserialize;
use shelltrack_tracker::{StartLimit, Tuning};

use crate::failure::Failure;

/// Shortest time that can be set, in seconds: the agent counts milliseconds.
const SECONDS_MIN: f64 = 0.001;
/// Longest wait or timeout that can be set, in seconds: a day.
const SECONDS_MAX: f64 = 86_400.0;
/// Most of anything that is counted: far beyond sense, far below overflow.
const COUNT_MAX: u64 = 1_000_000;
/// Bytes of a megabyte, as disks count.
const MEGABYTE: u64 = 1_000_000;
/// Seconds of a day.
const DAY_SECONDS: u64 = 86_400;

/// Table `[breaker]`: when a server is left alone.
#[derive(Clone, Debug, Default, PartialEq, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(crate) struct Breaker {
    /// Failures in a row that open it.
    pub(crate) failures: Option<u32>,
    /// How long it is open at first; doubles with each probe that fails.
    pub(crate) open_seconds: Option<f64>,
    /// How long it is open at most.
    pub(crate) open_seconds_max: Option<f64>,
    /// How long one probe may take before another one goes out.
    pub(crate) probe_seconds: Option<f64>,
}

/// Table `[delivery]`: how events are tried.
#[derive(Clone, Debug, Default, PartialEq, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(crate) struct Delivery {
    /// Failures of one event before it is given up.
    pub(crate) attempts: Option<u32>,
    /// Longest first wait before a retry.
    pub(crate) retry_seconds: Option<f64>,
    /// Longest wait before a retry.
    pub(crate) retry_seconds_max: Option<f64>,
    /// How long connecting may take.
    pub(crate) connect_seconds: Option<f64>,
    /// How long one call may take.
    pub(crate) call_seconds: Option<f64>,
}

/// Table `[dead-letters]`: what is kept of what nobody takes.
#[derive(Clone, Debug, Default, PartialEq, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(crate) struct DeadLetters {
    /// How many.
    pub(crate) count: Option<u64>,
    /// Their size together.
    pub(crate) megabytes: Option<u64>,
    /// Their age.
    pub(crate) days: Option<u64>,
}

/// Table `[limits]`: what a shell's process refuses.
#[derive(Clone, Debug, Default, PartialEq, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(crate) struct Limits {
    /// Sessions that may begin at once.
    pub(crate) starts_burst: Option<u32>,
    /// Sessions that may begin a second in the long run; 0 is no limit.
    pub(crate) starts_per_second: Option<u32>,
}

impl Breaker {
    pub(crate) fn before(self, lower: Self) -> Self {
        Self {
            failures: self.failures.or(lower.failures),
            open_seconds: self.open_seconds.or(lower.open_seconds),
            open_seconds_max: self.open_seconds_max.or(lower.open_seconds_max),
            probe_seconds: self.probe_seconds.or(lower.probe_seconds),
        }
    }
}

impl Delivery {
    pub(crate) fn before(self, lower: Self) -> Self {
        Self {
            attempts: self.attempts.or(lower.attempts),
            retry_seconds: self.retry_seconds.or(lower.retry_seconds),
            retry_seconds_max: self.retry_seconds_max.or(lower.retry_seconds_max),
            connect_seconds: self.connect_seconds.or(lower.connect_seconds),
            call_seconds: self.call_seconds.or(lower.call_seconds),
        }
    }
}

impl DeadLetters {
    pub(crate) fn before(self, lower: Self) -> Self {
        Self {
            count: self.count.or(lower.count),
            megabytes: self.megabytes.or(lower.megabytes),
            days: self.days.or(lower.days),
        }
    }
}

impl Limits {
    pub(crate) fn before(self, lower: Self) -> Self {
        Self {
            starts_burst: self.starts_burst.or(lower.starts_burst),
            starts_per_second: self.starts_per_second.or(lower.starts_per_second),
        }
    }

    /// The limit that holds.
    pub(crate) fn settle(&self) -> Result<StartLimit, Failure> {
        let default = StartLimit::default();
        Ok(StartLimit {
            burst: whole("limits.starts_burst", self.starts_burst, default.burst, 1)?,
            per_second: whole("limits.starts_per_second", self.starts_per_second, default.per_second, 0)?,
        })
    }
}

/// The tuning that holds.
pub(crate) fn settle(
    breaker: &Breaker,
    delivery: &Delivery,
    dead_letters: &DeadLetters,
) -> Result<Tuning, Failure> {
    let mut tuning = Tuning::default();
    let policy = &mut tuning.breaker;
    policy.failure_threshold = whole("breaker.failures", breaker.failures, policy.failure_threshold, 1)?;
    policy.open_ms = ms("breaker.open_seconds", breaker.open_seconds, policy.open_ms)?;
    policy.open_max_ms = ms("breaker.open_seconds_max", breaker.open_seconds_max, policy.open_max_ms)?;
    policy.probe_ms = ms("breaker.probe_seconds", breaker.probe_seconds, policy.probe_ms)?;
    raise("breaker.open_seconds_max", breaker.open_seconds_max, &mut policy.open_max_ms, policy.open_ms)?;

    let backoff = &mut tuning.backoff;
    backoff.base_ms = ms("delivery.retry_seconds", delivery.retry_seconds, backoff.base_ms)?;
    backoff.cap_ms = ms("delivery.retry_seconds_max", delivery.retry_seconds_max, backoff.cap_ms)?;
    raise("delivery.retry_seconds_max", delivery.retry_seconds_max, &mut backoff.cap_ms, backoff.base_ms)?;
    tuning.attempts_max = whole("delivery.attempts", delivery.attempts, tuning.attempts_max, 1)?;
    let budgets = &mut tuning.budgets;
    budgets.connect = time("delivery.connect_seconds", delivery.connect_seconds, budgets.connect)?;
    budgets.call = time("delivery.call_seconds", delivery.call_seconds, budgets.call)?;

    let limits = &mut tuning.dead_letters;
    limits.count = whole("dead-letters.count", dead_letters.count, limits.count, 0)?;
    if let Some(megabytes) = dead_letters.megabytes {
        limits.bytes = whole("dead-letters.megabytes", Some(megabytes), 0, 0)? * MEGABYTE;
    }
    if let Some(days) = dead_letters.days {
        limits.age_seconds = whole("dead-letters.days", Some(days), 0, 0)? * DAY_SECONDS;
    }
    Ok(tuning)
}

fn whole<N>(key: &str, said: Option<N>, default: N, min: u64) -> Result<N, Failure>
where
    N: Copy + Into<u64>,
{
    let value = said.unwrap_or(default);
    let range: RangeInclusive<u64> = min..=COUNT_MAX;
    if range.contains(&value.into()) {
        return Ok(value);
    }
    Err(Failure::Usage(format!("{key}: must be a whole number from {min} to {COUNT_MAX}")))
}

fn time(key: &str, said: Option<f64>, default: Duration) -> Result<Duration, Failure> {
    match said {
        None => Ok(default),
        Some(seconds) if (SECONDS_MIN..=SECONDS_MAX).contains(&seconds) => {
            Ok(Duration::from_secs_f64(seconds))
        }
        Some(_) => {
            Err(Failure::Usage(format!("{key}: must be a number from {SECONDS_MIN} to {SECONDS_MAX}")))
        }
    }
}

fn ms(key: &str, said: Option<f64>, default_ms: u64) -> Result<u64, Failure> {
    let time = time(key, said, Duration::from_millis(default_ms))?;
    Ok(u64::try_from(time.as_millis()).unwrap_or(u64::MAX))
}

/// A most that nobody set follows the least; one that was set below it is a contradiction.
fn raise(key: &str, said: Option<f64>, most_ms: &mut u64, least_ms: u64) -> Result<(), Failure> {
    if *most_ms >= least_ms {
        return Ok(());
    }
    if said.is_some() {
        return Err(Failure::Usage(format!("{key}: must not be below the first wait")));
    }
    *most_ms = least_ms;
    Ok(())
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "a test may fail by panic")]
mod tests {
    use super::*;

    #[track_caller]
    fn check_refused(result: Result<impl std::fmt::Debug, Failure>, key: &str) {
        let message = result.unwrap_err().to_string();
        assert!(message.contains(key), "{message}");
    }

    fn of_breaker(breaker: &Breaker) -> Result<Tuning, Failure> {
        settle(breaker, &Delivery::default(), &DeadLetters::default())
    }

    #[test]
    fn what_is_not_said_is_the_default() {
        let nothing = settle(&Breaker::default(), &Delivery::default(), &DeadLetters::default());
        assert_eq!(nothing.unwrap(), Tuning::default());
        assert_eq!(Limits::default().settle().unwrap(), StartLimit::default());
    }

    #[test]
    fn a_wait_that_is_longer_than_the_longest_by_default_raises_it() {
        let tuning = of_breaker(&Breaker { open_seconds: Some(600.0), ..Breaker::default() }).unwrap();
        assert_eq!((tuning.breaker.open_ms, tuning.breaker.open_max_ms), (600_000, 600_000));
        let contradiction =
            Breaker { open_seconds: Some(60.0), open_seconds_max: Some(5.0), ..Breaker::default() };
        check_refused(of_breaker(&contradiction), "breaker.open_seconds_max");
    }

    #[test]
    fn nonsense_is_refused_by_name() {
        check_refused(of_breaker(&Breaker { failures: Some(0), ..Breaker::default() }), "breaker.failures");
        for seconds in [-1.0, 0.0, f64::NAN, f64::INFINITY, 1e9] {
            let breaker = Breaker { open_seconds: Some(seconds), ..Breaker::default() };
            check_refused(of_breaker(&breaker), "breaker.open_seconds");
        }
        check_refused(Limits { starts_burst: Some(0), ..Limits::default() }.settle(), "limits.starts_burst");
        let letters = DeadLetters { days: Some(u64::MAX), ..DeadLetters::default() };
        check_refused(settle(&Breaker::default(), &Delivery::default(), &letters), "dead-letters.days");
    }
}
