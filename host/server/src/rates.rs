//! How often somebody may ask.
//!
//! Whoever is known is counted by name, everybody else by address.

use std::net::IpAddr;
use std::num::NonZeroU32;

use governor::clock::{Clock, DefaultClock};
use governor::state::keyed::HashMapStateStore;
use governor::{Quota, RateLimiter};

/// Requests per second of one identity: several times what an agent sends that works off a backlog.
const KNOWN_PER_SECOND: u32 = 2_000;

/// Requests per second from one address without a valid token: handshakes and health checks are rare, and
/// guesses at tokens should be.
const UNKNOWN_PER_SECOND: u32 = 100;

/// How many seconds' worth may come at once: a fleet that comes back after an outage.
const BURST_SECONDS: u32 = 10;

/// Callers remembered before those are forgotten that have been quiet.
const CALLERS_MAX: usize = 10_000;

type Limiter<K> = RateLimiter<K, HashMapStateStore<K>, DefaultClock>;

/// The limits.
pub(crate) struct Rates {
    known: Limiter<String>,
    unknown: Limiter<IpAddr>,
    clock: DefaultClock,
}

impl Default for Rates {
    fn default() -> Self {
        let quota = |per_second: u32| {
            let rate = NonZeroU32::new(per_second).unwrap_or(NonZeroU32::MIN);
            Quota::per_second(rate)
                .allow_burst(rate.saturating_mul(NonZeroU32::MIN.saturating_add(BURST_SECONDS - 1)))
        };
        Self {
            known: RateLimiter::hashmap(quota(KNOWN_PER_SECOND)),
            unknown: RateLimiter::hashmap(quota(UNKNOWN_PER_SECOND)),
            clock: DefaultClock::default(),
        }
    }
}

impl Rates {
    /// Counts a request; when there were too many, after how many seconds the next one is taken.
    pub(crate) fn count(&self, subject: Option<&str>, address: IpAddr) -> Result<(), u64> {
        if self.known.len() + self.unknown.len() > CALLERS_MAX {
            self.known.retain_recent();
            self.unknown.retain_recent();
        }
        let counted = match subject {
            Some(subject) => self.known.check_key(&subject.to_owned()),
            None => self.unknown.check_key(&address),
        };
        counted.map_err(|early| early.wait_time_from(self.clock.now()).as_secs() + 1)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_flood_of_one_caller_is_stopped_and_others_are_not() {
        let rates = Rates::default();
        let (here, there) = (IpAddr::from([127, 0, 0, 1]), IpAddr::from([192, 0, 2, 1]));
        let taken = (0..100_000).take_while(|_| rates.count(None, here).is_ok()).count();
        assert!((1000..100_000).contains(&taken), "{taken}");
        assert!(rates.count(None, here).is_err_and(|seconds| seconds >= 1));
        assert!(rates.count(None, there).is_ok() && rates.count(Some("ada"), here).is_ok());
    }
}
