//! Scanners for credentials of HTTP: what follows `Authorization`, `Bearer` and `Basic`, and
//! `user:password` under names that speak of a login.

use std::ops::Range;

use crate::keys::Key;
use crate::values::{ends_value, is_marked, word_len};

/// Schemes that are followed by one word.
static SCHEMES: [&str; 12] = [
    "bearer",
    "basic",
    "token",
    "apikey",
    "api-key",
    "negotiate",
    "ntlm",
    "key",
    "jwt",
    "dpop",
    "oauth",
    "privatetoken",
];

/// Bytes of the name of a scheme that only its issuer knows: `GenieKey …`, `SSWS …`.
const SCHEME_BYTES_MAX: usize = 24;

/// Length of the credentials of `Authorization` (RFC 9110, section 11.4): scheme and word, or scheme
/// and parameters up to the end.
pub(crate) fn credentials_len(text: &str) -> usize {
    let scheme_len = text.find(ends_value).unwrap_or(text.len());
    let scheme = text.get(..scheme_len).unwrap_or_default();
    let rest = text.get(scheme_len..).unwrap_or_default();
    let space = rest.len() - rest.trim_start().len();
    let parameters = rest.get(space..).unwrap_or_default();
    let with_word = || match is_marked(parameters) {
        true => 0,
        false => scheme_len + space + word_len(parameters, false, true),
    };
    if SCHEMES.iter().any(|known| scheme.eq_ignore_ascii_case(known)) {
        return if parameters.is_empty() { 0 } else { with_word() };
    }
    let first = parameters.split(ends_value).next().unwrap_or_default();
    if space > 0 && first.contains('=') {
        return text.find(['`', '|']).unwrap_or(text.len());
    }
    let is_scheme =
        scheme.len() <= SCHEME_BYTES_MAX && scheme.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-');
    // What follows may be the address that a command goes on with.
    if space > 0 && is_scheme && !first.starts_with("http") && !first.starts_with('-') {
        return with_word();
    }
    word_len(text, false, true)
}

/// Whether `word` is `user:password` in base64 (RFC 7617).
pub(crate) fn is_basic_credentials(word: &str) -> bool {
    let in_base64 = |b: &u8| b.is_ascii_alphanumeric() || matches!(b, b'+' | b'/');
    let (mut bits, mut count, mut has_colon) = (0_u32, 0, false);
    for b in word.bytes().take_while(in_base64) {
        let six = match b {
            b'A'..=b'Z' => b - b'A',
            b'a'..=b'z' => b - b'a' + 26,
            b'0'..=b'9' => b - b'0' + 52,
            b'+' => 62,
            _ => 63,
        };
        (bits, count) = (bits << 6 | u32::from(six), count + 6);
        if count >= 8 {
            count -= 8;
            let byte = (bits >> count & 0xFF) as u8;
            if byte.is_ascii_control() {
                return false;
            }
            has_colon |= byte == b':';
        }
    }
    has_colon
}

/// Whether the value of a name such as `auth` is `user:password`, written plainly or in base64.
pub(crate) fn is_credentials(value: &str) -> bool {
    const PASSWORD_BYTES_MIN: usize = 3;
    let pair = value.split_once(':').is_some_and(|(user, password)| {
        !user.is_empty() && password.len() >= PASSWORD_BYTES_MIN && !password.starts_with('/')
    });
    (pair && !value.contains(char::is_whitespace)) || is_basic_credentials(value)
}

/// What follows `Bearer` and `Basic` without a name before them, where it looks like a token.
pub(crate) fn bearer_token(scheme: &Key<'_>) -> Option<Range<usize>> {
    const BYTES_MIN: usize = 8;
    let is_basic = scheme.is(&["basic"]);
    if !is_basic && !scheme.is(&["bearer"]) {
        return None;
    }
    let rest = scheme.text.get(scheme.end..)?;
    let value = rest.trim_start();
    let word = value.get(..word_len(value, false, true))?;
    let looks_made = match is_basic {
        true => is_basic_credentials(word) || word.ends_with('='),
        false => word.bytes().any(|b| b.is_ascii_digit() || b == b'='),
    };
    let start = scheme.text.len() - value.len();
    (value.len() < rest.len() && word.len() >= BYTES_MIN && looks_made).then(|| start..start + word.len())
}
