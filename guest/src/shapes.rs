//! Scanners for secrets that are told by their shape alone: private key blocks, JWTs, password hashes,
//! and tokens without a prefix. Keys and URLs around them are the business of `pairs` and `urls`.

use crate::redact::{Finding, looks_random};

fn is_base64url(b: u8) -> bool {
    b.is_ascii_alphanumeric() || b == b'_' || b == b'-'
}

fn run(bytes: &[u8], at: usize, is_in: impl Fn(u8) -> bool) -> usize {
    bytes.get(at..).unwrap_or_default().iter().take_while(|&&b| is_in(b)).count()
}

/// Places where a word begins that consists of characters of `is_in`, with its end.
fn words(text: &str, is_in: impl Fn(u8) -> bool + Copy) -> impl Iterator<Item = (usize, usize)> {
    let bytes = text.as_bytes();
    let mut at = 0;
    std::iter::from_fn(move || {
        at += run(bytes, at, |b| !is_in(b));
        let start = at;
        at += run(bytes, at, is_in);
        (at > start).then_some((start, at))
    })
}

/// PEM and OpenSSH private keys: from the BEGIN line to the END line, or to the end of the text where
/// it was cut off (RFC 7468). PuTTY's format from its private lines on.
pub(crate) fn find_private_keys(text: &str, rule: &'static str, found: &mut Vec<Finding>) {
    const BEGIN: &str = "-----BEGIN ";
    const LABEL_BYTES_MAX: usize = 64;
    let mut from = 0;
    while let Some(start) = text.get(from..).and_then(|t| t.find(BEGIN)).map(|at| from + at) {
        from = start + BEGIN.len();
        let rest = text.get(from..).unwrap_or_default();
        let Some(label_len) = rest.find("-----").filter(|&len| len <= LABEL_BYTES_MAX) else { continue };
        if !rest.get(..label_len).is_some_and(|label| label.contains("PRIVATE KEY")) {
            continue;
        }
        let body = from + label_len;
        let end = text.get(body..).and_then(|t| t.find("-----END ")).map(|at| body + at + "-----END ".len());
        let end = end.map_or(text.len(), |end| {
            let tail = text.get(end..).unwrap_or_default();
            tail.find("-----").filter(|&len| len <= LABEL_BYTES_MAX).map_or(end, |at| end + at + 5)
        });
        found.push(Finding { range: start..end, rule });
        from = end;
    }
    if let Some(at) = text.find("Private-Lines:").filter(|_| text.contains("PuTTY-User-Key-File")) {
        found.push(Finding { range: at..text.len(), rule });
    }
}

/// JSON Web Tokens in compact form, signed or encrypted (RFC 7515, RFC 7516): the first part is a JSON
/// object in base64url, so it begins with `eyJ`.
pub(crate) fn find_jwts(text: &str, rule: &'static str, found: &mut Vec<Finding>) {
    const HEADER_BYTES_MIN: usize = 10;
    const PAYLOAD_BYTES_MIN: usize = 4;
    for (start, end) in words(text, |b| is_base64url(b) || b == b'.') {
        let Some(word) = text.get(start..end) else { continue };
        let Some(at) = word.find("eyJ") else { continue };
        let mut parts = word.get(at..).unwrap_or_default().split('.');
        let header = parts.next().is_some_and(|part| part.len() >= HEADER_BYTES_MIN);
        let payload = parts.next().is_some_and(|part| part.len() >= PAYLOAD_BYTES_MIN);
        if header && payload {
            found.push(Finding { range: start + at..end, rule });
        }
    }
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

/// Client secrets of Azure: 3 characters, `7Q~` or `8Q~`, 31 to 34 more.
pub(crate) fn find_azure_secrets(text: &str, rule: &'static str, found: &mut Vec<Finding>) {
    for (start, end) in words(text, |b| is_base64url(b) || b == b'~' || b == b'.') {
        let marked = text.get(start + 3..).is_some_and(|t| t.starts_with("7Q~") || t.starts_with("8Q~"));
        if marked && end - start >= 37 {
            found.push(Finding { range: start..end, rule });
        }
    }
}

/// Bot tokens of Telegram: a number of 8 to 10 digits, `:`, 35 characters that begin with `AA`.
pub(crate) fn find_telegram_tokens(text: &str, rule: &'static str, found: &mut Vec<Finding>) {
    for (at, _) in text.match_indices(":AA") {
        let before = text.as_bytes().get(..at).unwrap_or_default();
        let digits = before.iter().rev().take_while(|b| b.is_ascii_digit()).count();
        let len = run(text.as_bytes(), at + 1, is_base64url);
        if (8..=10).contains(&digits) && len >= 30 {
            found.push(Finding { range: at - digits..at + 1 + len, rule });
        }
    }
}

/// Bot tokens of Discord: an id in base64, a time stamp and a signature, joined by dots.
pub(crate) fn find_discord_tokens(text: &str, rule: &'static str, found: &mut Vec<Finding>) {
    for (start, end) in words(text, |b| is_base64url(b) || b == b'.') {
        let Some(word) = text.get(start..end) else { continue };
        let mut parts = word.split('.');
        let (Some(id), Some(time), Some(signature)) = (parts.next(), parts.next(), parts.next()) else {
            continue;
        };
        let lengths =
            (23..=30).contains(&id.len()) && time.len() == 6 && (25..=45).contains(&signature.len());
        if lengths && id.starts_with(['M', 'N', 'O']) && parts.next().is_none() {
            found.push(Finding { range: start..end, rule });
        }
    }
}

/// Secret access keys of AWS beside their key id: 40 characters of base64 have no mark of their own.
pub(crate) fn find_aws_secret_keys(text: &str, rule: &'static str, found: &mut Vec<Finding>) {
    if !["AKIA", "ASIA"].iter().any(|id| text.contains(id)) {
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

/// Tokens of Terraform Cloud: 14 characters, `.atlasv1.`, 60 or more.
pub(crate) fn find_terraform_tokens(text: &str, rule: &'static str, found: &mut Vec<Finding>) {
    const MARK: &str = ".atlasv1.";
    for (at, mark) in text.match_indices(MARK) {
        let before = text.as_bytes().get(..at).unwrap_or_default();
        let id = before.iter().rev().take(64).take_while(|b| b.is_ascii_alphanumeric()).count();
        let len = run(text.as_bytes(), at + mark.len(), is_base64url);
        if id > 0 && len >= 40 {
            found.push(Finding { range: at - id..at + mark.len() + len, rule });
        }
    }
}

/// Service tokens of Vault before 1.10: `s.` and 24 letters and digits in any mixture.
pub(crate) fn find_vault_tokens(text: &str, rule: &'static str, found: &mut Vec<Finding>) {
    for (start, end) in words(text, |b| is_base64url(b) || b == b'.') {
        let Some(body) = text.get(start..end).and_then(|word| word.strip_prefix("s.")) else { continue };
        if body.len() == 24 && body.bytes().all(|b| b.is_ascii_alphanumeric()) && looks_random(body) {
            found.push(Finding { range: start..end, rule });
        }
    }
}
