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
