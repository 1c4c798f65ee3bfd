//! How often somebody may ask.
//!
//! Whoever is known is counted by name, everybody else by address.

use std::net::{IpAddr, Ipv6Addr};
use std::num::NonZeroU32;

use governor::clock::{Clock, DefaultClock};
use governor::state::keyed::HashMapStateStore;
use governor::{Quota, RateLimiter};

/// Requests per second that are taken; ten times as many may come at once.
#[derive(Clone, Copy, Debug)]
pub struct RateLimits {
    /// Of one identity.
    pub known: NonZeroU32,
    /// From one address without a valid token.
    pub unknown: NonZeroU32,
}

impl Default for RateLimits {
    /// 2000: several times what an agent sends that works off a backlog. 100: handshakes and health checks
    /// are rare, and guesses at tokens should be.
    fn default() -> Self {
        let per_second = |count| NonZeroU32::new(count).unwrap_or(NonZeroU32::MIN);
        Self { known: per_second(2_000), unknown: per_second(100) }
    }
}

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

impl Rates {
    pub(crate) fn new(limits: RateLimits) -> Self {
        let burst = NonZeroU32::MIN.saturating_add(BURST_SECONDS - 1);
        let quota = |rate: NonZeroU32| Quota::per_second(rate).allow_burst(rate.saturating_mul(burst));
        Self {
            known: RateLimiter::hashmap(quota(limits.known)),
            unknown: RateLimiter::hashmap(quota(limits.unknown)),
            clock: DefaultClock::default(),
        }
    }

    /// Counts a request; when there were too many, after how many seconds the next one is taken.
    pub(crate) fn count(&self, subject: Option<&str>, address: IpAddr) -> Result<(), u64> {
        if self.known.len() + self.unknown.len() > CALLERS_MAX {
            self.known.retain_recent();
            self.unknown.retain_recent();
        }
        let counted = match subject {
            Some(subject) => self.known.check_key(&subject.to_owned()),
            None => self.unknown.check_key(&network(address)),
        };
        counted.map_err(|early| early.wait_time_from(self.clock.now()).as_secs() + 1)
    }
}

/// Whose an address is: of IPv6 everybody has at least a /64 to choose from (RFC 6177).
fn network(address: IpAddr) -> IpAddr {
    match address {
        IpAddr::V6(v6) if v6.to_ipv4_mapped().is_none() => {
            Ipv6Addr::from_bits(v6.to_bits() & !u128::from(u64::MAX)).into()
        }
        address => address.to_canonical(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_of_one_ipv6_network_are_one_caller() {
        let of = |text: &str| network(text.parse::<IpAddr>().unwrap_or(IpAddr::from([0, 0, 0, 0])));
        assert_eq!(of("2001:db8::1"), of("2001:db8::ffff:0:0:7"));
        assert_ne!(of("2001:db8::1"), of("2001:db8:0:1::1"));
        assert_eq!(of("::ffff:192.0.2.1"), IpAddr::from([192, 0, 2, 1]));
        assert_ne!(of("192.0.2.1"), of("192.0.2.2"));
    }

    #[test]
    fn a_flood_of_one_caller_is_stopped_and_others_are_not() {
        let rates = Rates::new(RateLimits { unknown: NonZeroU32::MIN, ..RateLimits::default() });
        let (here, there) = (IpAddr::from([127, 0, 0, 1]), IpAddr::from([192, 0, 2, 1]));
        let taken = (0..100_000).take_while(|_| rates.count(None, here).is_ok()).count();
        assert!((10..100_000).contains(&taken), "{taken}");
        assert!(rates.count(None, here).is_err_and(|seconds| seconds >= 1));
        assert!(rates.count(None, there).is_ok() && rates.count(Some("ada"), here).is_ok());
    }
}
