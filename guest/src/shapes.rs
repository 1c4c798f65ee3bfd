//! Scanners for secrets that are told by marks inside of them: private key blocks, password hashes, and
//! tokens whose telling part is not their beginning. What is told by the form of a whole word is in `words`.

use std::ops::RangeInclusive;

use crate::redact::{Finding, looks_random};
use crate::search::{find, has, places};
use crate::words::words;

pub(crate) fn is_base64url(b: u8) -> bool {
    b.is_ascii_alphanumeric() || b == b'_' || b == b'-'
}

pub(crate) fn run(bytes: &[u8], at: usize, is_in: impl Fn(u8) -> bool) -> usize {
    bytes.get(at..).unwrap_or_default().iter().take_while(|&&b| is_in(b)).count()
}

/// Private keys in blocks: PEM and OpenSSH (RFC 7468), OpenPGP, SSH2 with its four dashes (RFC 4716) and
/// the static keys of OpenVPN, from the BEGIN line to the END line, or to the end of the text where it
/// was cut off. PuTTY's format from its private lines on.
pub(crate) fn find_private_keys(text: &str, rule: &'static str, found: &mut Vec<Finding>) {
    const BEGIN: &str = "BEGIN ";
    const END: &str = "END ";
    let mut done = 0;
    for at in places(text, BEGIN) {
        let Some(start) = dashes_before(text, at).filter(|_| at >= done) else { continue };
        let Some(body) = after_label(text, at + BEGIN.len(), is_private) else { continue };
        let rest = text.get(body..).unwrap_or_default();
        let mut ends = places(rest, END).map(|at| body + at);
        let end = ends.find(|&at| dashes_before(text, at).is_some()).map(|at| at + END.len());
        done = end.map_or(text.len(), |end| after_label(text, end, |_| true).unwrap_or(end));
        found.push(Finding { range: start..done, rule });
    }
    find_putty_key(text, rule, found);
}

/// Bytes of a label between dashes.
const LABEL_BYTES_MAX: usize = 64;

fn is_private(label: &str) -> bool {
    ["PRIVATE KEY", "OpenVPN Static key", "OpenVPN tls-crypt-v2"].iter().any(|name| has(label, name))
}

/// Where the dashes begin that stand before `at`: four or five, and in SSH2's form a space.
fn dashes_before(text: &str, at: usize) -> Option<usize> {
    const DASHES: usize = 5;
    let before = text.get(..at)?;
    let before = before.strip_suffix(' ').unwrap_or(before);
    let dashes = before.bytes().rev().take(DASHES).take_while(|&b| b == b'-').count();
    (dashes + 1 >= DASHES).then(|| before.len() - dashes)
}

/// Where the dashes end that follow a label at `at` of which `is_wanted` is true.
fn after_label(text: &str, at: usize, is_wanted: fn(&str) -> bool) -> Option<usize> {
    let rest = text.get(at..text.floor_char_boundary(at + LABEL_BYTES_MAX))?;
    let len = find(rest, "----").filter(|&len| rest.get(..len).is_some_and(is_wanted))?;
    Some(at + len + run(text.as_bytes(), at + len, |b| b == b'-'))
}

fn find_putty_key(text: &str, rule: &'static str, found: &mut Vec<Finding>) {
    const MAC: &str = "Private-MAC:";
    let Some(start) = find(text, "Private-Lines:").filter(|_| has(text, "PuTTY-User-Key-File")) else {
        return;
    };
    let mac = text.get(start..).and_then(|rest| find(rest, MAC)).map(|at| start + at + MAC.len());
    let end = mac.map_or(text.len(), |at| {
        let at = at + run(text.as_bytes(), at, |b| b == b' ');
        at + run(text.as_bytes(), at, |b| b.is_ascii_hexdigit())
    });
    found.push(Finding { range: start..end, rule });
}

/// Hashes as crypt(3) and its relatives write them: `$id$…$…`.
pub(crate) fn find_password_hashes(text: &str, rule: &'static str, found: &mut Vec<Finding>) {
    static IDS: [&str; 16] = [
        "$1$",
        "$2a$",
        "$2b$",
        "$2x$",
        "$2y$",
        "$5$",
        "$6$",
        "$7$",
        "$y$",
        "$gy$",
        "$apr1$",
        "$argon2i$",
        "$argon2d$",
        "$argon2id$",
        "$scrypt$",
        "$pbkdf2",
    ];
    const BYTES_MIN: usize = 20;
    let in_hash = |b: u8| b.is_ascii_alphanumeric() || b"$./=,+-_".contains(&b);
    let mut from = 0;
    while let Some(at) = text.get(from..).and_then(|t| t.find('$')).map(|at| from + at) {
        let rest = text.get(at..).unwrap_or_default();
        from = at + 1;
        if IDS.iter().any(|id| rest.starts_with(id)) {
            let len = run(text.as_bytes(), at, in_hash);
            if len >= BYTES_MIN {
                found.push(Finding { range: at..at + len, rule });
            }
            from = at + len;
        }
    }
}

/// A secret with a mark inside of it or at its end.
struct Marked {
    rule: &'static str,
    mark: &'static str,
    /// Characters before the mark, and characters of the whole.
    before: RangeInclusive<usize>,
    len: RangeInclusive<usize>,
    /// Written in base64, whose `+` and `/` would join paths elsewhere.
    is_base64: bool,
}

const fn marked(
    rule: &'static str,
    mark: &'static str,
    before: RangeInclusive<usize>,
    len: RangeInclusive<usize>,
    is_base64: bool,
) -> Marked {
    Marked { rule, mark, before, len, is_base64 }
}

/// Marks that issuers put into their secrets, so that scanners can find them.
#[rustfmt::skip]
static MARKED: &[Marked] = &[
    marked("azure-client-secret", "Q~", 4..=4, 37..=44, false),
    marked("azure-key", "JQQJ9", 40..=100, 60..=140, false),
    marked("azure-key", "AZDO", 40..=100, 80..=120, false),
    marked("azure-key", "AzCa", 33..=34, 40..=44, true),
    marked("azure-key", "ACDb", 70..=80, 80..=90, true),
    marked("azure-key", "AzFu", 20..=90, 40..=100, false),
    marked("azure-key", "AzSe", 20..=90, 40..=100, false),
    marked("azure-key", "APIM", 70..=80, 80..=90, true),
    marked("azure-key", "+ACR", 30..=90, 40..=100, true),
    marked("azure-key", "+AIoT", 20..=90, 36..=100, true),
    marked("azure-key", "+ASt", 60..=90, 80..=100, true),
    marked("azure-key", "+ABa", 60..=90, 80..=100, true),
    marked("azure-key", "+AEh", 20..=90, 36..=100, true),
    marked("azure-key", "+ARm", 20..=90, 36..=100, true),
    marked("azure-key", "+AMC", 60..=90, 80..=100, true),
    marked("mailchimp-key", "-us", 32..=32, 36..=37, false),
    marked("maxmind-key", "_mmk", 36..=36, 40..=40, false),
    marked("newrelic-key", "NRAL", 36..=36, 40..=40, false),
    marked("paypal-token", "access_token$", 0..=0, 40..=140, false),
    marked("salesforce-session", "!AQ", 15..=18, 60..=160, false),
    marked("terraform-token", ".atlasv1.", 1..=64, 50..=160, false),
];

impl Marked {
    fn has(&self, b: u8) -> bool {
        match self.is_base64 {
            true => b.is_ascii_alphanumeric() || matches!(b, b'+' | b'/'),
            false => is_base64url(b) || matches!(b, b'.' | b'~' | b'!' | b'$'),
        }
    }
}

/// The names of the rules of [`find_marked`].
#[cfg(test)]
pub(crate) fn marked_rules() -> impl Iterator<Item = &'static str> {
    MARKED.iter().map(|marked| marked.rule)
}

/// Secrets of [`MARKED`].
pub(crate) fn find_marked(text: &str, found: &mut Vec<Finding>) {
    for marked in MARKED {
        for at in places(text, marked.mark) {
            // No further than the entry is long: one more character says that it does not fit.
            let (before_max, len_max) = (marked.before.end() + 1, marked.len.end() + 1);
            let before = text.as_bytes().get(..at).unwrap_or_default();
            let before = before.iter().rev().take(before_max).take_while(|&&b| marked.has(b)).count();
            let rest = text.as_bytes().get(at..).unwrap_or_default();
            let len = before + rest.iter().take(len_max).take_while(|&&b| marked.has(b)).count();
            let range = at - before..at - before + len;
            let fits = marked.before.contains(&before) && marked.len.contains(&len);
            if fits && text.get(range.clone()).is_some_and(looks_random) {
                found.push(Finding { range, rule: marked.rule });
            }
        }
    }
}

/// Bot tokens of Telegram: a number of 8 to 16 digits, `:`, 35 characters that begin with `AA`.
pub(crate) fn find_telegram_tokens(text: &str, rule: &'static str, found: &mut Vec<Finding>) {
    for at in places(text, ":AA") {
        let before = text.as_bytes().get(..at).unwrap_or_default();
        let digits = before.iter().rev().take(17).take_while(|b| b.is_ascii_digit()).count();
        let len = run(text.as_bytes(), at + 1, is_base64url);
        if (8..=16).contains(&digits) && len >= 30 {
            found.push(Finding { range: at - digits..at + 1 + len, rule });
        }
    }
}

/// Secret access keys of AWS beside their key id: 40 characters of base64 have no mark of their own.
pub(crate) fn find_aws_secret_keys(text: &str, rule: &'static str, found: &mut Vec<Finding>) {
    if !["AKIA", "ASIA"].iter().any(|id| has(text, id)) {
        return;
    }
    for (start, end) in words(text, |b| b.is_ascii_alphanumeric() || b == b'/' || b == b'+') {
        let Some(word) = text.get(start..end).filter(|word| word.len() == 40) else { continue };
        let has = |is_in: fn(&u8) -> bool| word.as_bytes().iter().any(is_in);
        if has(u8::is_ascii_uppercase) && has(u8::is_ascii_lowercase) && has(u8::is_ascii_digit) {
            found.push(Finding { range: start..end, rule });
        }
    }
}

/// Server keys and registration tokens of Firebase: a name, `:APA91b` and some 130 characters more.
pub(crate) fn find_firebase_keys(text: &str, rule: &'static str, found: &mut Vec<Finding>) {
    const NAME_BYTES_MAX: usize = 40;
    const BYTES_MIN: usize = 100;
    for at in places(text, ":APA91b") {
        let before = text.as_bytes().get(..at).unwrap_or_default();
        let name = before.iter().rev().take(NAME_BYTES_MAX).take_while(|&&b| is_base64url(b)).count();
        let len = run(text.as_bytes(), at + 1, is_base64url);
        if name > 0 && len >= BYTES_MIN {
            found.push(Finding { range: at - name..at + 1 + len, rule });
        }
    }
}

/// Personal tokens of Asana: `1/`, a number, `:` and 32 hexadecimal digits.
pub(crate) fn find_asana_tokens(text: &str, rule: &'static str, found: &mut Vec<Finding>) {
    const HEX_DIGITS: usize = 32;
    for at in places(text, ":") {
        if run(text.as_bytes(), at + 1, |b| b.is_ascii_hexdigit()) != HEX_DIGITS {
            continue;
        }
        let before = text.as_bytes().get(..at).unwrap_or_default();
        let digits = before.iter().rev().take(24).take_while(|b| b.is_ascii_digit()).count();
        if (10..=20).contains(&digits) && before.get(..at - digits).is_some_and(|b| b.ends_with(b"/")) {
            found.push(Finding { range: at - digits..at + 1 + HEX_DIGITS, rule });
        }
    }
}
