//! Secrets that are told by the form of a whole word: JSON Web Tokens, and tokens and keys that have
//! neither a telling prefix nor a mark. One way through the text for all of them.

use crate::redact::{Finding, looks_random};
use crate::search::find;
use crate::shapes::{is_base64url, run};

/// Places where a word begins that consists of characters of `is_in`, with its end.
pub(crate) fn words(text: &str, is_in: impl Fn(u8) -> bool + Copy) -> impl Iterator<Item = (usize, usize)> {
    let bytes = text.as_bytes();
    let mut at = 0;
    std::iter::from_fn(move || {
        at += run(bytes, at, |b| !is_in(b));
        let start = at;
        at += run(bytes, at, is_in);
        (at > start).then_some((start, at))
    })
}

/// What a form looks at: a word, and where the secret begins in it.
type Form = fn(word: &str) -> Option<usize>;

/// The forms by the names of their rules.
static FORMS: [(&str, Form); 5] = [
    ("jwt", jwt),
    ("discord-token", discord_token),
    ("vault-service-token", vault_token),
    ("mailgun-key", mailgun_key),
    ("wallet-key", wallet_key),
];

/// The names of the rules of [`find_words`].
#[cfg(test)]
pub(crate) fn rules() -> impl Iterator<Item = &'static str> {
    FORMS.iter().map(|&(rule, _)| rule)
}

/// Points at the words of [`FORMS`].
pub(crate) fn find_words(text: &str, found: &mut Vec<Finding>) {
    /// No form is shorter.
    const BYTES_MIN: usize = 16;
    for (start, end) in words(text, |b| is_base64url(b) || b == b'.') {
        if end - start < BYTES_MIN {
            continue;
        }
        let Some(word) = text.get(start..end) else { continue };
        let form = FORMS.iter().find_map(|(rule, form)| Some((*rule, form(word)?)));
        if let Some((rule, at)) = form {
            found.push(Finding { range: start + at..end, rule });
        }
    }
}

/// JSON Web Tokens in compact form, signed or encrypted (RFC 7515, RFC 7516): the first part is a JSON
/// object in base64url, so it begins with `eyJ`.
fn jwt(word: &str) -> Option<usize> {
    const HEADER_BYTES_MIN: usize = 10;
    const PAYLOAD_BYTES_MIN: usize = 4;
    let at = find(word, "eyJ")?;
    let mut parts = word.get(at..)?.split('.');
    let header = parts.next()?;
    // Encrypted with a shared key (`alg: dir`), the second part is empty and an initialization vector follows.
    let payload =
        parts.next().map(|part| if part.is_empty() { parts.next().unwrap_or_default() } else { part })?;
    (header.len() >= HEADER_BYTES_MIN && payload.len() >= PAYLOAD_BYTES_MIN).then_some(at)
}

/// Bot tokens of Discord: an id in base64, a time stamp and a signature, joined by dots.
fn discord_token(word: &str) -> Option<usize> {
    if !word.starts_with(['M', 'N', 'O']) {
        return None;
    }
    let mut parts = word.split('.');
    let (id, time, signature) = (parts.next()?, parts.next()?, parts.next()?);
    let lengths = (23..=30).contains(&id.len()) && time.len() == 6 && (25..=45).contains(&signature.len());
    (lengths && parts.next().is_none()).then_some(0)
}

/// Service tokens of Vault before 1.10: `s.` and 24 letters and digits in any mixture.
fn vault_token(word: &str) -> Option<usize> {
    let body = word.strip_prefix("s.")?;
    (body.len() == 24 && body.bytes().all(|b| b.is_ascii_alphanumeric()) && looks_random(body)).then_some(0)
}

/// Keys of Mailgun without a prefix: 32, 8 and 8 hexadecimal digits.
fn mailgun_key(word: &str) -> Option<usize> {
    let mut parts = word.split('-');
    let mut is_next = |len: usize| {
        parts.next().is_some_and(|part| part.len() == len && part.bytes().all(|b| b.is_ascii_hexdigit()))
    };
    (is_next(32) && is_next(8) && is_next(8) && parts.next().is_none()).then_some(0)
}

/// Private keys of Bitcoin in the form for import: 51 or 52 characters of base58, the first of which says
/// whether the public key is compressed.
fn wallet_key(word: &str) -> Option<usize> {
    let is_one = match word.len() {
        51 => word.starts_with('5'),
        52 => word.starts_with(['K', 'L']),
        _ => false,
    };
    let in_base58 = |b: u8| b.is_ascii_alphanumeric() && !matches!(b, b'0' | b'O' | b'I' | b'l');
    (is_one && word.bytes().all(in_base58) && looks_random(word)).then_some(0)
}
