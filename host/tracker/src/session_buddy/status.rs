//! What HTTP itself says about an answer, apart from MCP: its status, the wait it asks for, whether
//! the host is this machine.

use std::time::SystemTime;

use reqwest::header::{HeaderMap, RETRY_AFTER};
use reqwest::{StatusCode, Url};
use shelltrack_sandbox::types::Outcome;

/// Longest wait a server may ask for; beyond it the breaker's own pace is the better guess.
const RETRY_AFTER_MAX_MS: u64 = 3_600_000;

/// What a status means for delivery. What is neither the event's fault nor a sign of load is taken
/// as a failure, which is retried: a wrong path or a gateway's page says nothing about the event.
pub(super) fn of_status(status: StatusCode) -> Outcome {
    match status {
        StatusCode::UNAUTHORIZED | StatusCode::FORBIDDEN | StatusCode::PROXY_AUTHENTICATION_REQUIRED => {
            Outcome::Unauthorized
        }
        StatusCode::TOO_MANY_REQUESTS | StatusCode::SERVICE_UNAVAILABLE => Outcome::Overloaded,
        StatusCode::REQUEST_TIMEOUT => Outcome::TimedOut,
        StatusCode::PAYLOAD_TOO_LARGE | StatusCode::UNPROCESSABLE_ENTITY => Outcome::Refused,
        status if status.is_server_error() => Outcome::ServerError,
        _ => Outcome::Garbled,
    }
}

/// Whether a URL leads to this machine.
pub(super) fn is_loopback(url: &Url) -> bool {
    match url.host_str() {
        Some("localhost") => true,
        Some(host) => {
            let host = host.trim_start_matches('[').trim_end_matches(']');
            host.parse::<std::net::IpAddr>().is_ok_and(|ip| ip.is_loopback())
        }
        None => false,
    }
}

/// `Retry-After` in milliseconds: seconds or a date (RFC 9110, section 10.2.3), at most
/// [`RETRY_AFTER_MAX_MS`].
pub(super) fn retry_after_ms(headers: &HeaderMap, now: SystemTime) -> Option<u64> {
    let value = headers.get(RETRY_AFTER)?.to_str().ok()?.trim();
    let wait_ms = match value.parse::<u64>() {
        Ok(seconds) => seconds.saturating_mul(1000),
        Err(_) => {
            let at_ms = chrono::DateTime::parse_from_rfc2822(value).ok()?.timestamp_millis();
            let now_ms = now.duration_since(SystemTime::UNIX_EPOCH).ok()?.as_millis();
            u64::try_from(at_ms).ok()?.saturating_sub(u64::try_from(now_ms).ok()?)
        }
    };
    Some(wait_ms.min(RETRY_AFTER_MAX_MS))
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "a test may stop at once")]
mod tests {
    use std::time::Duration;

    use super::*;

    #[track_caller]
    fn check_retry_after(value: &str, expected_ms: Option<u64>) {
        let mut headers = HeaderMap::new();
        headers.insert(RETRY_AFTER, value.parse().unwrap());
        let now = SystemTime::UNIX_EPOCH + Duration::from_secs(1_792_756_800);
        assert_eq!(retry_after_ms(&headers, now), expected_ms, "{value}");
    }

    #[test]
    fn retry_after_is_read_as_seconds_or_as_a_date_and_is_bounded() {
        check_retry_after("7", Some(7_000));
        check_retry_after("0", Some(0));
        check_retry_after("18446744073709551615", Some(RETRY_AFTER_MAX_MS));
        check_retry_after("Fri, 23 Oct 2026 12:00:30 GMT", Some(30_000));
        check_retry_after("Fri, 23 Oct 2020 12:00:30 GMT", Some(0));
        check_retry_after("soon", None);
        check_retry_after("-1", None);
    }

    #[test]
    fn only_this_machine_is_reached_without_a_proxy() {
        for (url, expected) in [
            ("http://127.0.0.1:8678/mcp", true),
            ("http://[::1]:1/mcp", true),
            ("http://localhost/mcp", true),
            ("http://127.0.0.1.example.org/mcp", false),
            ("https://example.org/mcp", false),
        ] {
            assert_eq!(is_loopback(&url.parse().unwrap()), expected, "{url}");
        }
    }

    #[test]
    fn a_status_is_the_events_fault_only_when_it_says_so() {
        for (status, outcome) in [
            (401, Outcome::Unauthorized),
            (403, Outcome::Unauthorized),
            (429, Outcome::Overloaded),
            (503, Outcome::Overloaded),
            (408, Outcome::TimedOut),
            (413, Outcome::Refused),
            (422, Outcome::Refused),
            (500, Outcome::ServerError),
            (502, Outcome::ServerError),
            (302, Outcome::Garbled),
            (404, Outcome::Garbled),
        ] {
            assert_eq!(of_status(StatusCode::from_u16(status).unwrap()), outcome, "{status}");
        }
    }
}
