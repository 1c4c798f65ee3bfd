//! Reads and writes the one form of time on the wire: RFC 3339. Has no clock.

use crate::limits::TIMESTAMP_BYTES_MAX;

/// 0001-01-01T00:00:00Z: the first year that every client can represent (Python's `MINYEAR`).
const MIN_US: i64 = -62_135_596_800_000_000;
/// 9999-12-31T23:59:59.999999Z: the last time that four digits can write.
const MAX_US: i64 = 253_402_300_799_999_999;

const MINUTE_US: i64 = 60_000_000;
const DAY_US: i64 = 24 * 60 * MINUTE_US;

/// Microseconds since 1970-01-01T00:00:00Z of a real date and time in the form of the wire:
/// `YYYY-MM-DDTHH:MM:SS[.f…](Z|±HH:MM)`. Leap seconds are not accepted: most clients cannot hold one.
/// What is finer than a microsecond is cut off.
pub(crate) fn parse_us(text: &str) -> Option<i64> {
    if text.len() > TIMESTAMP_BYTES_MAX {
        return None;
    }
    let mut text = Digits(text.as_bytes());
    let date = (text.number(4, b'-')?, text.number(2, b'-')?, text.number(2, b'T')?);
    let (hour, minute) = (text.number(2, b':')?, text.number(2, b':')?);
    let second = text.digits(2)?;
    if hour > 23 || minute > 59 || second > 59 {
        return None;
    }
    let fraction_us = text.fraction_us()?;
    let offset_us = text.offset_us()?;
    let seconds_us = (hour * 60 + minute) * MINUTE_US + second * 1_000_000 + fraction_us;
    let us = days_since_epoch(date)? * DAY_US + seconds_us - offset_us;
    (MIN_US..=MAX_US).contains(&us).then_some(us)
}

/// What is left of a time that is being read.
struct Digits<'t>(&'t [u8]);

impl Digits<'_> {
    fn digits(&mut self, count: usize) -> Option<i64> {
        let (digits, rest) = self.0.split_at_checked(count)?;
        self.0 = rest;
        digits.iter().try_fold(0, |n, b| b.is_ascii_digit().then(|| n * 10 + i64::from(b - b'0')))
    }

    fn byte(&mut self) -> Option<u8> {
        let (&byte, rest) = self.0.split_first()?;
        self.0 = rest;
        Some(byte)
    }

    /// A number of so many digits, and what must follow it.
    fn number(&mut self, count: usize, then: u8) -> Option<i64> {
        let number = self.digits(count)?;
        (self.byte()? == then).then_some(number)
    }

    fn fraction_us(&mut self) -> Option<i64> {
        if self.0.first() != Some(&b'.') {
            return Some(0);
        }
        self.byte();
        let (mut us, mut unit_us) = (self.digits(1)? * 100_000, 10_000);
        while self.0.first().is_some_and(u8::is_ascii_digit) {
            us += self.digits(1)? * unit_us;
            unit_us /= 10;
        }
        Some(us)
    }

    /// `Z` or `±HH:MM`, and nothing more.
    fn offset_us(&mut self) -> Option<i64> {
        let sign = match self.byte()? {
            b'Z' => return self.0.is_empty().then_some(0),
            b'+' => 1,
            b'-' => -1,
            _ => return None,
        };
        let (hours, minutes) = (self.number(2, b':')?, self.digits(2)?);
        (hours <= 23 && minutes <= 59 && self.0.is_empty())
            .then_some(sign * (hours * 60 + minutes) * MINUTE_US)
    }
}

/// Days from 0000-03-01 to 1970-01-01. Counted from March, the leap day is the last of its year, and
/// the lengths of the months follow one line: 153 days in five months.
const EPOCH_DAYS: i64 = 719_468;
/// Days in 400 years of the Gregorian calendar.
const ERA_DAYS: i64 = 146_097;

/// Days from 1970-01-01 to a date (year, month, day) that is in the calendar.
fn days_since_epoch((year, month, day): (i64, i64, i64)) -> Option<i64> {
    let is_leap = year % 4 == 0 && (year % 100 != 0 || year % 400 == 0);
    let month_days = match month {
        2 if is_leap => 29,
        2 => 28,
        4 | 6 | 9 | 11 => 30,
        1..=12 => 31,
        _ => return None,
    };
    if !(1..=month_days).contains(&day) {
        return None;
    }
    let (year, month) = if month > 2 { (year, month - 3) } else { (year - 1, month + 9) };
    let leap_days = year.div_euclid(4) - year.div_euclid(100) + year.div_euclid(400);
    Some(year * 365 + leap_days + (153 * month + 2) / 5 + day - 1 - EPOCH_DAYS)
}

/// The date (year, month, day) so many days after 1970-01-01.
fn date_of(days: i64) -> (i64, i64, i64) {
    let days = days + EPOCH_DAYS;
    let day_of_era = days.rem_euclid(ERA_DAYS);
    // Leap days before this one are taken out, which leaves years of equal length.
    let leap_days = day_of_era / 1_460 - day_of_era / 36_524 + day_of_era / (ERA_DAYS - 1);
    let year_of_era = (day_of_era - leap_days) / 365;
    let day_of_year = day_of_era - (year_of_era * 365 + year_of_era / 4 - year_of_era / 100);
    let month = (day_of_year * 5 + 2) / 153;
    let day = day_of_year - (153 * month + 2) / 5 + 1;
    let year = days.div_euclid(ERA_DAYS) * 400 + year_of_era;
    if month < 10 { (year, month + 3, day) } else { (year + 1, month - 9, day) }
}

/// The time in UTC with microseconds and `Z`; a time no four-digit year can write becomes the nearest
/// that it can.
pub(crate) fn format_us(us: i64) -> String {
    let us = us.clamp(MIN_US, MAX_US);
    let (year, month, day) = date_of(us.div_euclid(DAY_US));
    let us = us.rem_euclid(DAY_US);
    let (minutes, seconds_us) = (us / MINUTE_US, us % MINUTE_US);
    let (hour, minute) = (minutes / 60, minutes % 60);
    let (second, us) = (seconds_us / 1_000_000, seconds_us % 1_000_000);
    format!("{year:04}-{month:02}-{day:02}T{hour:02}:{minute:02}:{second:02}.{us:06}Z")
}

#[cfg(test)]
mod tests {
    use super::{MAX_US, MIN_US, format_us, parse_us};
    use chrono::{DateTime, SecondsFormat, Utc};
    use proptest::prelude::*;

    /// chrono is more lenient than the wire: it takes a space for the `T`, small letters, a 60th second.
    fn reference_us(text: &str) -> Option<i64> {
        let is_strict = !text.contains([' ', 't', 'z']) && text.get(17..19) != Some("60");
        let us = DateTime::parse_from_rfc3339(text).ok().filter(|_| is_strict)?.timestamp_micros();
        (MIN_US..=MAX_US).contains(&us).then_some(us)
    }

    #[track_caller]
    fn check_both_ways(us: i64) {
        let time = DateTime::<Utc>::from_timestamp_micros(us).unwrap_or_default();
        assert_eq!(format_us(us), time.to_rfc3339_opts(SecondsFormat::Micros, true));
        assert_eq!(parse_us(&format_us(us)), Some(us));
    }

    #[test]
    fn every_day_of_four_centuries_is_that_of_the_reference() {
        const DAY_US: i64 = 86_400_000_000;
        for day in -36_600..=110_000 {
            check_both_ways(day * DAY_US);
            check_both_ways(day * DAY_US - 1);
        }
        for us in [MIN_US, MAX_US, -1, 0, 1] {
            check_both_ways(us);
        }
        assert_eq!((format_us(i64::MIN), format_us(i64::MAX)), (format_us(MIN_US), format_us(MAX_US)));
    }

    #[test]
    fn what_is_no_real_time_in_the_form_of_the_wire_is_none() {
        for text in [
            "",
            "2026-01-31",
            "2026-01-31T12:00:00",
            "2026-01-31T12:00:00.Z",
            "2026-01-31T12:00:00z",
            "2026-01-31 12:00:00Z",
            "2026-02-29T00:00:00Z",
            "2100-02-29T00:00:00Z",
            "2026-13-01T00:00:00Z",
            "2026-00-01T00:00:00Z",
            "2026-01-00T00:00:00Z",
            "2026-01-31T24:00:00Z",
            "2026-01-31T12:60:00Z",
            "2026-01-31T23:59:60Z",
            "2026-01-31T12:00:00+24:00",
            "2026-01-31T12:00:00+00:60",
            "2026-01-31T12:00:00+0000",
            "2026-01-31T12:00:00Z ",
            "2026-01-31T12:00:00Zx",
            "+2026-01-31T12:00:00Z",
            "0000-12-31T23:59:59Z",
            "0001-01-01T00:00:00+00:01",
            "9999-12-31T23:59:59-00:01",
            "２026-01-31T12:00:00Z",
            "2026-01-31T12:00:00.0000000000000000000000000000000000000000000000Z",
        ] {
            assert_eq!(parse_us(text), None, "{text}");
        }
        assert_eq!(
            parse_us("2000-02-29T23:59:59.999999999-23:59"),
            reference_us("2000-02-29T23:59:59.999999999-23:59")
        );
        assert!(parse_us("2000-02-29T23:59:59.999999999-23:59").is_some());
    }

    proptest! {
        #![proptest_config(ProptestConfig { failure_persistence: None, cases: 2048, ..ProptestConfig::default() })]

        #[test]
        fn any_time_is_written_like_the_reference(us in MIN_US..=MAX_US) {
            check_both_ways(us);
        }

        #[test]
        fn any_text_like_a_time_is_read_like_the_reference(
            text in "[0-2][09][0-9]{2}-[01][0-9]-[0-3][0-9][T ][0-2][0-9]:[0-6][0-9]:[0-6][0-9](\\.[0-9]{0,12})?(Z|z|[+-][0-2][0-9]:[0-6][0-9])?"
        ) {
            prop_assert_eq!(parse_us(&text), reference_us(&text), "{}", text);
        }
    }
}
