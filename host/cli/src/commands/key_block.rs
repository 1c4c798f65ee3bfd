//! Which lines of a text belong to one private key, by their form: PEM, OpenPGP, SSH2, OpenVPN, PuTTY. One by
//! one the lines of a key say nothing, so `redact` has them cleaned together.
//!
//! Looks at each line once. Whether a marker is that of a private key is not decided here but by the component.

/// A line with less than this in a row may as well be a word.
const STRONG_CHARS_MIN: usize = 16;

/// Fields that may stand between the marker of a key and its body (RFC 1421, RFC 4716, RFC 9580).
static HEADERS: [&str; 9] =
    ["Proc-Type", "DEK-Info", "Comment", "Subject", "Version", "Hash", "Charset", "MessageID", "x-"];

/// Fields of PuTTY's format, versions 1 to 3.
static PUTTY_FIELDS: [&str; 9] = [
    "Encryption",
    "Comment",
    "Public-Lines",
    "Private-Lines",
    "Key-Derivation",
    "Argon2-Memory",
    "Argon2-Passes",
    "Argon2-Parallelism",
    "Argon2-Salt",
];
/// Lines in a row that a key may have in its middle: empty ones where its text was pasted, those of somebody else
/// where several write into one log.
const PENDING_MAX: usize = 8;
const PUTTY_BEGIN: &str = "PuTTY-User-Key-File-";

/// A BEGIN marker that no END follows in its line.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Marker<'a> {
    before: &'a str,
    /// The marker itself, with five dashes at most before it.
    pub(crate) text: &'a str,
    after: &'a str,
}

impl<'a> Marker<'a> {
    /// The last one of a line.
    pub(crate) fn last_of(line: &'a str) -> Option<Self> {
        let (word, begin) = ["----BEGIN ", "---- BEGIN "]
            .into_iter()
            .filter_map(|word| Some((word, line.rfind(word)?)))
            .max_by_key(|(_, at)| *at)?;
        let start = if line.get(..begin)?.ends_with('-') { begin - 1 } else { begin };
        let label = begin + word.len();
        let dashes = label + line.get(label..)?.find("----")?;
        let end = line.len() - line.get(dashes..)?.trim_start_matches('-').len();
        let marker =
            Self { before: line.get(..start)?, text: line.get(start..end)?, after: line.get(end..)? };
        Some(marker).filter(|marker| !is_end(marker.after))
    }
}

fn is_end(line: &str) -> bool {
    ["----END ", "---- END "].iter().any(|word| line.contains(word))
}

/// What a line is to a key that has begun.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Place {
    /// Part of it.
    Inside,
    /// Empty, or of somebody else: part of it when more of it follows.
    Pending,
    /// Its last line.
    End,
    /// No part of it.
    Outside,
}

/// A key that has begun and not ended.
#[derive(Debug)]
pub(crate) struct Block {
    /// What stood before the marker, as in a log; lines of the body may have the like.
    before: String,
    /// What stood behind it, as in a list of strings; then lines of the body must have it too.
    after: String,
    is_putty: bool,
    has_body: bool,
    /// Whether enough has been seen to be sure that it is a key.
    is_key: bool,
    /// Pending lines just before, and whether one of them is not empty.
    pending: usize,
    is_interrupted: bool,
    /// The next line goes on with a header (RFC 4716, 3.3).
    goes_on: bool,
}

impl Block {
    /// Begins with a marker; not with one that is only mentioned in its line.
    pub(crate) fn at(marker: &Marker<'_>) -> Self {
        let after = marker.after.trim_end();
        // Escape sequences and the like are no text; a body may go on in the same line.
        let is_body = is_base64(after.trim_start()) || after.chars().any(|c| !(' '..='~').contains(&c));
        Self::new(marker.before, if is_body { "" } else { after }, false)
    }

    /// Begins with the first line of a PuTTY key.
    pub(crate) fn of_putty(line: &str) -> Option<Self> {
        let (before, version) = line.split_once(PUTTY_BEGIN)?;
        let is_begin = version.starts_with(|c: char| c.is_ascii_digit()) && version.get(1..2) == Some(":");
        is_begin.then(|| Self::new(before, "", true))
    }

    /// Begins with a marker that is written so that only the component can read it.
    pub(crate) fn in_disguise() -> Self {
        Self::new("", "", false)
    }

    fn new(before: &str, after: &str, is_putty: bool) -> Self {
        Self {
            before: before.to_owned(),
            after: after.to_owned(),
            is_putty,
            has_body: false,
            is_key: false,
            pending: 0,
            is_interrupted: false,
            goes_on: false,
        }
    }

    /// Whether what was seen so far is a key, and not the mere mention of a marker.
    pub(crate) fn is_key(&self) -> bool {
        self.is_key
    }

    /// Another key has begun in the line in which this one ended.
    pub(crate) fn goes_on_as(&mut self, next: Self) {
        *self = Self { is_key: self.is_key, ..next };
    }

    /// So many lines of its form are no ordinary text.
    pub(crate) fn is_beyond_doubt(&mut self) {
        self.is_key = true;
    }

    /// What the next line is.
    pub(crate) fn place(&mut self, line: &str) -> Place {
        let mut place = self.judged(line);
        let is_weak = place == Place::Inside && self.is_interrupted && !is_strong(line.trim());
        // Where another key begins, this one was cut off.
        let is_foreign = (place == Place::Outside || is_weak) && Marker::last_of(line).is_none();
        if self.is_key && is_foreign && self.pending < PENDING_MAX {
            self.is_interrupted = true;
            place = Place::Pending;
        }
        self.pending = if place == Place::Pending { self.pending + 1 } else { 0 };
        self.is_interrupted &= place == Place::Pending;
        self.has_body |= place == Place::Inside;
        place
    }

    fn judged(&mut self, line: &str) -> Place {
        let line = line.trim_end();
        if line.is_empty() {
            return if self.pending < PENDING_MAX { Place::Pending } else { Place::Outside };
        }
        let ends = if self.is_putty {
            line.contains("Private-MAC:") || line.contains("Private-Hash:")
        } else {
            is_end(line)
        };
        if ends {
            self.is_key |= self.has_body && !self.is_putty;
            return Place::End;
        }
        // The last of a list has no separator behind it.
        let shorter = Some(self.after.trim_end_matches([',', '+', ' '])).filter(|after| !after.is_empty());
        let body = line.strip_suffix(self.after.as_str());
        let Some(line) = body.or_else(|| line.strip_suffix(shorter?)) else { return Place::Outside };
        let alike = without_prefix(line, &self.before);
        let is_inside = [Some(line), alike].into_iter().flatten().any(|text| self.takes(text.trim()));
        if is_inside { Place::Inside } else { Place::Outside }
    }

    /// Whether this is a header or a piece of the body.
    fn takes(&mut self, text: &str) -> bool {
        let name = text.split_once(':').map(|(name, _)| name);
        let is_one_of = |names: &[&str]| name.is_some_and(|name| names.contains(&name));
        if self.is_putty {
            self.is_key |= name == Some("Private-Lines");
            return is_one_of(&PUTTY_FIELDS) || is_base64(text);
        }
        let is_own = name.is_some_and(|name| name.starts_with("x-"));
        if self.goes_on || (!self.is_key && (is_one_of(&HEADERS) || is_own)) {
            self.goes_on = text.ends_with('\\');
            return true;
        }
        self.is_key |= is_strong(text);
        is_base64(text)
    }
}

/// The text without its quoting, escaped ends of lines and what was redacted of it already.
fn body(text: &str) -> String {
    let text = text.replace("\\n", "").replace("\\r", "").replace("[redacted]", "AAAA");
    let quoting = |c: char| !(c.is_ascii_alphanumeric() || c == '/' || c == '=');
    text.trim_start_matches(quoting).to_owned()
}

/// Also hexadecimal digits, which are among those of base64.
fn is_base64(text: &str) -> bool {
    let body = body(text);
    body.bytes().all(|b| b.is_ascii_alphanumeric() || b"+/=".contains(&b))
        && (!body.is_empty() || text.is_empty())
}

/// Whether this is neither a word of a language nor a path.
fn is_strong(text: &str) -> bool {
    let body = body(text);
    let has = |is_in: fn(&u8) -> bool| body.as_bytes().iter().any(is_in);
    let is_mixed = has(u8::is_ascii_uppercase) && has(u8::is_ascii_lowercase) && has(u8::is_ascii_digit);
    is_base64(text) && body.len() >= STRONG_CHARS_MIN && (is_mixed || !body.contains('/'))
}

/// The line without a beginning like this one, numbers and spaces apart: `12:` is like `9:`, and one time of day
/// like another.
fn without_prefix<'a>(line: &'a str, prefix: &str) -> Option<&'a str> {
    let (mut line, mut prefix) = (line, prefix);
    while let Some(first) = prefix.chars().next() {
        let kind: fn(char) -> bool = match first {
            '0'..='9' => |c| c.is_ascii_digit(),
            c if c.is_whitespace() => char::is_whitespace,
            c => {
                line = line.strip_prefix(c)?;
                prefix = prefix.strip_prefix(c)?;
                continue;
            }
        };
        let rest = line.trim_start_matches(kind);
        if rest.len() == line.len() {
            return None;
        }
        (line, prefix) = (rest, prefix.trim_start_matches(kind));
    }
    Some(line)
}
