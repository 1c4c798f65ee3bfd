//! Full-jitter backoff. Pure: the caller brings the random bits.

use crate::types::BackoffPolicy;

/// The longest wait a server may ask of us, one day: a longer one would be a denial of service.
pub const RETRY_AFTER_MS_MAX: u64 = 24 * 60 * 60 * 1000;

/// Milliseconds before retry number `attempt` (from 0): uniform in `0..=min(cap, base * 2^attempt)`,
/// and at least what the server asked for, up to [`RETRY_AFTER_MS_MAX`].
pub fn delay_ms(policy: &BackoffPolicy, attempt: u32, retry_after_ms: Option<u64>, entropy: u64) -> u64 {
    let factor = 1_u64.checked_shl(attempt).unwrap_or(u64::MAX);
    let bound = policy.base_ms.saturating_mul(factor).min(policy.cap_ms);
    uniform(bound, entropy).max(retry_after_ms.unwrap_or(0).min(RETRY_AFTER_MS_MAX))
}

/// A number in `0..=max`, as evenly spread as `entropy` is: the high half of a wide product.
pub(crate) fn uniform(max: u64, entropy: u64) -> u64 {
    let wide = u128::from(entropy) * (u128::from(max) + 1);
    u64::try_from(wide >> 64).unwrap_or(max)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const POLICY: BackoffPolicy = BackoffPolicy { base_ms: 500, cap_ms: 60_000 };

    #[test]
    fn the_wait_is_uniform_below_a_bound_that_doubles_up_to_the_cap() {
        let bounds = [500, 1_000, 2_000, 4_000, 8_000, 16_000, 32_000, 60_000, 60_000];
        for (attempt, bound) in (0..).zip(bounds) {
            for (quarter, part) in [(0, 0), (1, bound / 4), (2, bound / 2), (3, 3 * bound / 4)] {
                assert_eq!(delay_ms(&POLICY, attempt, None, quarter << 62), part, "{attempt}");
            }
            assert_eq!(delay_ms(&POLICY, attempt, None, u64::MAX), bound, "{attempt}");
        }
    }

    #[test]
    fn a_server_gets_the_time_it_asked_for_up_to_a_day() {
        assert_eq!(delay_ms(&POLICY, 0, Some(7_000), u64::MAX), 7_000);
        assert_eq!(delay_ms(&POLICY, 4, Some(7_000), u64::MAX), 8_000);
        assert_eq!(delay_ms(&POLICY, 0, Some(RETRY_AFTER_MS_MAX), 0), RETRY_AFTER_MS_MAX);
        assert_eq!(delay_ms(&POLICY, 0, Some(u64::MAX), 0), RETRY_AFTER_MS_MAX);
    }

    proptest! {
        #[test]
        fn no_numbers_overflow(
            base_ms: u64, cap_ms: u64, attempt: u32, retry_after_ms: Option<u64>, entropy: u64,
        ) {
            let policy = BackoffPolicy { base_ms, cap_ms };
            let asked_for = retry_after_ms.unwrap_or(0).min(RETRY_AFTER_MS_MAX);
            let delay = delay_ms(&policy, attempt, retry_after_ms, entropy);
            prop_assert!(asked_for <= delay && delay <= cap_ms.max(asked_for));
        }
    }
}
