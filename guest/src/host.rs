//! The two things the component asks its host for: the time of day and random bytes.

use crate::bindings::wasi::{clocks::wall_clock, random::random};

/// Microseconds since 1970-01-01T00:00:00Z.
pub(crate) fn now_us() -> i64 {
    let now = wall_clock::now();
    i64::try_from(now.seconds)
        .unwrap_or(i64::MAX)
        .saturating_mul(1_000_000)
        .saturating_add(i64::from(now.nanoseconds / 1_000))
}

/// Random bytes; a host that gives fewer than asked gets zeros for the rest.
pub(crate) fn entropy<const N: usize>() -> [u8; N] {
    let mut bytes = [0; N];
    for (to, from) in bytes.iter_mut().zip(random::get_random_bytes(N as u64)) {
        *to = from;
    }
    bytes
}
