//! How a fuzzer's bytes become the input of an oracle, one function for each target.
//!
//! Included by the fuzz targets and by the test that replays their corpus, so that both mean the same
//! by a file. The promises themselves are in `shelltrack_guest::oracles`.

use shelltrack_guest::oracles::{check_sanitize_json, check_sanitize_text, check_validate, open_policy};
use shelltrack_guest::types::Policy;

/// A driver.
pub(crate) type Driver = fn(&[u8]);

/// Every target with its driver.
pub(crate) const DRIVERS: [(&str, Driver); 2] = [("sanitize", sanitize), ("validate", validate)];

/// Limits that are used for real, and the odd ones below them.
const SCALARS_MAX: [u32; 3] = [1, 7, 100];

/// Hides what can be hidden and knows secrets of its own.
fn strict_policy() -> Policy {
    Policy {
        hide_cwd: true,
        hide_home: true,
        hide_hostname: true,
        hide_username: true,
        secret_keys: vec!["pin".to_owned(), "door-code".to_owned()],
        secret_prefixes: vec!["acme_pat_".to_owned()],
    }
}

/// Text and JSON that somebody made up come out clean.
pub(crate) fn sanitize(bytes: &[u8]) {
    let text = String::from_utf8_lossy(bytes);
    for policy in [open_policy(), strict_policy()] {
        for scalars_max in SCALARS_MAX {
            check_sanitize_text(&text, scalars_max, &policy);
        }
        check_sanitize_json(&text, &policy);
    }
}

/// Whatever arrives over the wire is refused with reasons, or clean and the same when it arrives again.
pub(crate) fn validate(bytes: &[u8]) {
    let json = String::from_utf8_lossy(bytes);
    for policy in [open_policy(), strict_policy()] {
        check_validate(&json, &policy);
    }
}
