//! The id a session gets: `{component}-{YYYYMMDD-HHMMSS}-{suffix}`.
//!
//! Sans-io: time and entropy are arguments. That an id is unique is enforced by the store, not here.

use chrono::{DateTime, Datelike};

/// Bits of the random suffix. With 48, a million sessions of one component within one second collide
/// with a chance of 1 in 560; the store then draws again.
const SUFFIX_BITS: u32 = 48;

/// Hexadecimal digits that show the suffix.
const SUFFIX_DIGITS: usize = (SUFFIX_BITS / 4) as usize;

/// The id of a session of `component` that began `start_us` microseconds after the epoch, or `None`
/// when that time has no year of four digits.
pub(crate) fn session_id(component: &str, start_us: i64, entropy: u64) -> Option<String> {
    let start = DateTime::from_timestamp_micros(start_us)?;
    if !(0..=9999).contains(&start.year()) {
        return None;
    }
    let suffix = entropy >> (u64::BITS - SUFFIX_BITS);
    Some(format!("{component}-{}-{suffix:0SUFFIX_DIGITS$x}", start.format("%Y%m%d-%H%M%S")))
}

/// Random bits for [`session_id`]: the upper 48 of a version 4 UUID, which are all random (RFC 9562).
pub(crate) fn entropy() -> u64 {
    uuid::Uuid::new_v4().as_u64_pair().0
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "a failed unwrap is a failed test")]
mod tests {
    use super::*;

    #[test]
    fn an_id_names_component_and_utc_second_of_the_start() {
        let id = session_id("mahavishnu", 1_795_166_392_999_999, u64::MAX).unwrap();
        assert_eq!(id, "mahavishnu-20261120-091952-ffffffffffff");
        assert_eq!(session_id("a", 0, 0).unwrap(), "a-19700101-000000-000000000000");
    }

    #[test]
    fn a_time_without_a_year_of_four_digits_has_no_id() {
        assert_eq!(session_id("a", i64::MAX, 0), None);
        assert_eq!(session_id("a", i64::MIN, 0), None);
        assert_eq!(session_id("a", 253_402_300_800_000_000, 0), None);
    }

    #[test]
    fn all_bits_of_the_suffix_are_random() {
        let (mut ones, mut zeros) = (0, 0);
        for _ in 0..256 {
            ones |= entropy() >> 16;
            zeros |= !entropy() >> 16;
        }
        assert_eq!((ones, zeros), (u64::MAX >> 16, u64::MAX >> 16));
    }
}
