//! Reads and writes the one form of time on the wire: RFC 3339. Has no clock.

use chrono::{DateTime, SecondsFormat, Utc};

use crate::limits::TIMESTAMP_BYTES_MAX;

/// 0001-01-01T00:00:00Z: the first year that every client can represent (Python's `MINYEAR`).
const MIN_US: i64 = -62_135_596_800_000_000;
/// 9999-12-31T23:59:59.999999Z: the last time that four digits can write.
const MAX_US: i64 = 253_402_300_799_999_999;

/// Microseconds since 1970-01-01T00:00:00Z of a real date and time in the form of the wire:
/// `YYYY-MM-DDTHH:MM:SS[.f…](Z|±HH:MM)`. Leap seconds are not accepted: most clients cannot hold one.
pub(crate) fn parse_us(text: &str) -> Option<i64> {
    if text.len() > TIMESTAMP_BYTES_MAX || !has_wire_form(text) {
        return None;
    }
    let us = DateTime::parse_from_rfc3339(text).ok()?.timestamp_micros();
    (MIN_US..=MAX_US).contains(&us).then_some(us)
}

/// The time in UTC with microseconds and `Z`; a time no four-digit year can write becomes the nearest
/// that it can.
pub(crate) fn format_us(us: i64) -> String {
    let time = DateTime::<Utc>::from_timestamp_micros(us.clamp(MIN_US, MAX_US)).unwrap_or_default();
    time.to_rfc3339_opts(SecondsFormat::Micros, true)
}

/// chrono is more lenient than the wire: it takes a space for the `T`, small letters, a 60th second.
fn has_wire_form(text: &str) -> bool {
    const PATTERN: &[u8] = b"dddd-dd-ddTdd:dd:dd";
    let is_like = |pattern: &[u8], bytes: &[u8]| {
        bytes.len() >= pattern.len()
            && pattern.iter().zip(bytes).all(|(&p, b)| if p == b'd' { b.is_ascii_digit() } else { p == *b })
    };
    let bytes = text.as_bytes();
    if !is_like(PATTERN, bytes) || bytes.get(17) > Some(&b'5') {
        return false;
    }
    let mut rest = bytes.get(PATTERN.len()..).unwrap_or_default();
    if let Some(fraction) = rest.strip_prefix(b".") {
        let digits = fraction.iter().take_while(|b| b.is_ascii_digit()).count();
        if digits == 0 {
            return false;
        }
        rest = fraction.get(digits..).unwrap_or_default();
    }
    rest == b"Z" || (rest.len() == 6 && (is_like(b"+dd:dd", rest) || is_like(b"-dd:dd", rest)))
}
