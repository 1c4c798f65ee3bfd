//! Scanners for secrets that a name beside them tells of: `password=…`, `"token": "…"`,
//! `Authorization: Bearer …`, `--password …`, `?sig=…`, `set -x API_KEY …`.
//!
//! Which names tell is said in `telling`, which options of which programs in `commands`. A value is taken whole, quotes and brackets respected; in
//! doubt too much is redacted and not too little.

use crate::redact::{Finding, HIDDEN, MARK, Secrets, Telling, looks_random};
use crate::telling;

/// Bytes by which it is judged whether a value looks random: more do not change the judgement, and a
/// text of nothing but keys must not be read a thousand times.
const RANDOM_BYTES_MAX: usize = 32;

/// Characters of a key. Beyond ASCII everything but spaces and separators: names are told by their
/// ends, and quotation marks and other signs around them do not count there.
fn in_key(c: char) -> bool {
    if c.is_ascii() {
        return c.is_ascii_alphanumeric() || matches!(c, '_' | '-' | '.');
    }
    !c.is_whitespace() && !SEPARATORS.iter().any(|separator| separator.starts_with(c))
}

/// A word that may be a key, and where it stands.
struct Key<'t> {
    text: &'t str,
    start: usize,
    end: usize,
}

impl<'t> Key<'t> {
    fn name(&self) -> &'t str {
        self.text.get(self.start..self.end).unwrap_or_default()
    }

    fn before(&self) -> Option<char> {
        self.text.get(..self.start).and_then(|t| t.chars().next_back())
    }

    fn is_option(&self) -> bool {
        self.name().starts_with('-')
    }

    fn is_query_parameter(&self) -> bool {
        matches!(self.before(), Some('?' | '&'))
    }

    /// Whether a separator follows at once, as in an assignment.
    fn is_assigned(&self) -> bool {
        self.text.get(self.end..).is_some_and(|rest| rest.starts_with(['=', ':', '"', '\'']))
    }

    /// `name="DB_PASSWORD" value="…"`, as settings in XML and environments in JSON are written; `words`
    /// are the two before this one.
    fn is_value_of(&self, words: [&str; 2], secrets: &Secrets<'_>) -> bool {
        let [member, name] = words;
        let is = |word: &str, wanted: &[&str]| wanted.iter().any(|wanted| word.eq_ignore_ascii_case(wanted));
        is(self.name(), &["value"])
            && is(member, &["name", "key"])
            && secrets.telling(name) == Telling::Always
    }

    /// `<entry key="password">…</entry>`, and `<password>…</password>`.
    fn is_of_element(&self, rest: &str) -> bool {
        rest.starts_with("\">") || (self.before() == Some('<') && rest.starts_with('>'))
    }

    fn is_header(&self, header: &str) -> bool {
        let name = self.name();
        let at = name.len().checked_sub(header.len());
        at.and_then(|at| name.get(at..)).is_some_and(|end| end.eq_ignore_ascii_case(header))
    }
}

fn keys(text: &str) -> impl Iterator<Item = Key<'_>> {
    let mut from = 0;
    std::iter::from_fn(move || {
        let start = from + text.get(from..)?.find(in_key)?;
        let rest = text.get(start..)?;
        let end = start + rest.find(|c| !in_key(c)).unwrap_or(rest.len());
        from = end;
        Some(Key { text, start, end })
    })
}

/// Values beside telling keys.
pub(crate) fn find_pairs(text: &str, rule: &'static str, secrets: &Secrets<'_>, found: &mut Vec<Finding>) {
    let mut done = 0;
    let mut previous = ["", ""];
    for key in keys(text) {
        let words = previous;
        previous = [words[1], key.name()];
        if key.start < done {
            continue;
        }
        let telling = match secrets.telling(key.name()) {
            Telling::Not if key.is_value_of(words, secrets) => Telling::Always,
            Telling::Not if key.is_query_parameter() && key.name() == "code" => Telling::WhenRandom,
            Telling::Not if key.is_assigned() => secrets.telling_assigned(key.name()),
            telling => telling,
        };
        if telling == Telling::Not {
            continue;
        }
        let Some(at) = value_start(&key, words) else { continue };
        if is_working_directory(key.name(), text.get(at..).unwrap_or_default()) {
            continue;
        }
        if telling == Telling::WhenRandom {
            let Some((start, end)) = value(&key, at, at + RANDOM_BYTES_MAX) else { continue };
            let beginning = text.get(start..end).unwrap_or_default();
            let is_secret = looks_random(beginning)
                || (telling::is_auth(key.name()) && is_credentials(beginning))
                || (key.is_query_parameter() && beginning.len() >= 8);
            if !is_secret {
                continue;
            }
        }
        if let Some((start, end)) = value(&key, at, text.len()) {
            found.push(Finding { range: start..end, rule });
            done = end;
        }
    }
}

/// `PWD` and `OLDPWD` of the environment are no passwords.
fn is_working_directory(name: &str, value: &str) -> bool {
    matches!(name, "PWD" | "OLDPWD") && value.trim_start_matches(['\\', '"', '\'']).starts_with(['/', '~'])
}

/// What stands between a key and its value, written plainly, in look-alikes, and with percent signs.
static SEPARATORS: [&str; 15] =
    ["=>", ":=", "?=", "+=", "==", "=", ":", "︓", "∶", "꞉", "%3D", "%3d", "%3A", "%3a", "→"];

/// Where the value of `key` begins, if what follows makes it a key. `words` are the two before it.
fn value_start(key: &Key<'_>, words: [&str; 2]) -> Option<usize> {
    let rest = key.text.get(key.end..)?;
    if key.is_of_element(rest) {
        return Some(key.end + rest.find('>')? + 1);
    }
    let closed = rest.trim_start_matches(['\\', '"', '\'', '`', ']', ')']);
    let spaced = closed.trim_start();
    if let Some(separator) = SEPARATORS.iter().find(|separator| spaced.starts_with(**separator)) {
        let value = spaced.get(separator.len()..)?;
        // `token://…` is a URL and `token::Kind` a path of a program, not a pair.
        let is_name = *separator == ":" && (value.starts_with("//") || value.starts_with(':'));
        return (!is_name).then(|| key.text.len() - after_block_mark(value.trim_start()).len());
    }
    let takes_word = key.is_option() || is_assigned_by_word(words);
    let follows = closed.len() == rest.len() && spaced.len() < rest.len() && !spaced.starts_with("--");
    (takes_word && follows).then(|| key.text.len() - spaced.len())
}

/// What follows a mark of YAML that says how the value below is written.
fn after_block_mark(value: &str) -> &str {
    static MARKS: [&str; 8] = ["|", ">", "|-", ">-", "|+", ">+", "!!str", "!!binary"];
    let rest = MARKS.iter().filter_map(|mark| value.strip_prefix(mark)).find(|rest| rest.starts_with(' '));
    rest.map_or(value, str::trim_start)
}

/// `set -x TOKEN …`, `setenv TOKEN …`, `config set token …`, `config --global token …`, and netrc's
/// `login me password …` and `machine there password …`.
fn is_assigned_by_word(words: [&str; 2]) -> bool {
    let [first, second] = words;
    let sets = |word: &str| matches!(word, "set" | "setenv" | "setx" | "add" | "put" | "ENV");
    let is_option = second.starts_with('-');
    sets(second) || (matches!(first, "set" | "config") && is_option) || matches!(first, "login" | "machine")
}

/// First and last byte of the value that begins at `at`; nothing for an empty value or a mark.
fn value(key: &Key<'_>, at: usize, until: usize) -> Option<(usize, usize)> {
    let text = key.text.get(..key.text.floor_char_boundary(until))?;
    let rest = text.get(at..)?;
    let escapes = rest.len() - rest.trim_start_matches('\\').len();
    let body = rest.get(escapes..)?;
    let quote = body.chars().next()?;
    if matches!(quote, '"' | '\'' | '`') {
        let start = at + escapes + 1;
        let len = quoted_len(text.get(start..)?, quote, escapes);
        return (len > 0).then_some((start, start + len));
    }
    if is_marked(rest) {
        return None;
    }
    let len = if matches!(quote, '[' | '{') || rest.starts_with("$(") || rest.starts_with("${") {
        bracketed_len(rest)
    } else if key.is_header("authorization") {
        credentials_len(rest)
    } else if !key.is_option() && PHRASES.iter().any(|name| telling::fold(key.name()).ends_with(name)) {
        phrase_len(rest)
    } else if key.is_header("cookie") {
        rest.find(['"', '\'', '|']).unwrap_or(rest.len())
    } else {
        word_len(
            rest,
            key.is_of_element(key.text.get(key.end..).unwrap_or_default()),
            key.is_query_parameter(),
        )
    };
    (len > 0).then_some((at, at + len))
}

/// Whether a value is a mark already, with nothing of the value left beside it.
#[inline(never)]
fn is_marked(rest: &str) -> bool {
    let after = rest.strip_prefix(MARK).or_else(|| rest.strip_prefix(HIDDEN));
    after.is_some_and(|after| {
        after.is_empty() || after.starts_with(|c: char| c.is_whitespace() || is_closer(c) || ends_value(c))
    })
}

fn is_closer(c: char) -> bool {
    matches!(c, ',' | ')' | ']' | '}' | '>')
}

fn ends_value(c: char) -> bool {
    c.is_whitespace() || matches!(c, '"' | '\'' | '`' | '&' | ';')
}

/// Length up to the closing quote, or of everything where there is none.
#[inline(never)]
fn quoted_len(text: &str, quote: char, escapes: usize) -> usize {
    let mut slashes = 0;
    for (at, c) in text.char_indices() {
        match c {
            '\\' => slashes += 1,
            // In text that is escaped as often as its first quote, one inside has twice as many and one more.
            _ if c == quote && slashes % (2 * (escapes + 1)) == escapes => return at - escapes,
            _ => slashes = 0,
        }
    }
    text.len()
}

/// Length up to the bracket that closes the first one, or of everything where none does.
#[inline(never)]
fn bracketed_len(text: &str) -> usize {
    let mut depth = 0_usize;
    for (at, c) in text.char_indices() {
        match c {
            '[' | '{' | '(' => depth += 1,
            ']' | '}' | ')' => {
                depth = depth.saturating_sub(1);
                if depth == 0 {
                    return at + 1;
                }
            }
            _ => {}
        }
    }
    text.len()
}

/// Length of an unquoted value: to a space, quote, `&` or `;`, to a comma before the next pair, and
/// without closing brackets at its end. Looks no further than that: a text of nothing but pairs must
/// not be read once for each of them.
#[inline(never)]
fn word_len(text: &str, in_element: bool, in_query: bool) -> usize {
    if in_element {
        return text.find('<').unwrap_or(text.len());
    }
    let ends = |(at, c): (usize, char)| match c {
        ',' => begins_pair(text, at + 1),
        // Inside of a password; behind it comes a space, a bracket or another pair.
        '&' | ';' | '"' | '\'' if !in_query => {
            let next = text.get(at + 1..).and_then(|rest| rest.chars().next());
            !next.is_some_and(char::is_alphanumeric) || begins_pair(text, at + 1)
        }
        _ => ends_value(c),
    };
    let end = text.char_indices().find(|&place| ends(place)).map_or(text.len(), |(at, _)| at);
    text.get(..end).unwrap_or_default().trim_end_matches(is_closer).len()
}

/// Names of secrets that are several words.
static PHRASES: [&str; 4] = ["mnemonic", "phrase", "recoverycodes", "backupcodes"];

/// Length of a secret of several words: to a quote or a bar, or to the next pair or option.
fn phrase_len(text: &str) -> usize {
    /// 24 words of a wallet have 216; a text of nothing but such names must not be read once for each.
    const PHRASE_BYTES_MAX: usize = 512;
    let text = text.get(..text.floor_char_boundary(PHRASE_BYTES_MAX)).unwrap_or_default();
    let end = text.find(['"', '\'', '`', '|', ';', '<', '&']).unwrap_or(text.len());
    let mut len = 0;
    for word in text.get(..end).unwrap_or_default().split_inclusive(' ') {
        if len > 0 && (word.starts_with('-') || word.contains(['=', ':'])) {
            break;
        }
        len += word.len();
    }
    text.get(..len).unwrap_or_default().trim_end().trim_end_matches(is_closer).len()
}

/// Whether a key and its separator stand at `at`.
#[inline(never)]
fn begins_pair(text: &str, at: usize) -> bool {
    let rest = text.get(at..).unwrap_or_default();
    rest.trim_start_matches(in_key).strip_prefix(['=', ':']).is_some() && rest.starts_with(in_key)
}

/// Schemes of HTTP authentication that are followed by one word.
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

/// Bytes of the name of a scheme.
const SCHEME_BYTES_MAX: usize = 24;

/// Length of the credentials of `Authorization` (RFC 9110, section 11.4): scheme and word, or scheme
/// and parameters up to the end.
fn credentials_len(text: &str) -> usize {
    let scheme_len = text.find(ends_value).unwrap_or(text.len());
    let scheme = text.get(..scheme_len).unwrap_or_default();
    let rest = text.get(scheme_len..).unwrap_or_default();
    let space = rest.len() - rest.trim_start().len();
    let parameters = rest.get(space..).unwrap_or_default();
    if SCHEMES.iter().any(|known| scheme.eq_ignore_ascii_case(known)) {
        if is_marked(parameters) {
            return 0;
        }
        return scheme_len + space + word_len(parameters, false, true);
    }
    let has_parameters = parameters.split(ends_value).next().is_some_and(|word| word.contains('='));
    if space > 0 && has_parameters {
        return text.find(['`', '|']).unwrap_or(text.len());
    }
    // A scheme that only its issuer knows: `GenieKey …`, `SSWS …`.
    let is_scheme =
        scheme.len() <= SCHEME_BYTES_MAX && scheme.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-');
    if space > 0 && is_scheme && !is_marked(parameters) {
        return scheme_len + space + word_len(parameters, false, true);
    }
    word_len(text, false, true)
}

/// Whether `word` is `user:password` in base64 (RFC 7617).
pub(crate) fn is_basic_credentials(word: &str) -> bool {
    let word = word
        .split(|c: char| !c.is_ascii_alphanumeric() && !matches!(c, '+' | '/'))
        .next()
        .unwrap_or_default();
    let (mut bits, mut count, mut has_colon) = (0_u32, 0, false);
    for b in word.bytes() {
        let six = match b {
            b'A'..=b'Z' => b - b'A',
            b'a'..=b'z' => b - b'a' + 26,
            b'0'..=b'9' => b - b'0' + 52,
            b'+' => 62,
            b'/' => 63,
            _ => return false,
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
    let pair = value.split_once(':').is_some_and(|(user, password)| {
        !user.is_empty() && password.len() >= 3 && !password.starts_with('/')
    });
    (pair && !value.contains(char::is_whitespace)) || is_basic_credentials(value)
}

/// `Bearer …` and `Basic …` without a key, where what follows looks like a token.
pub(crate) fn find_bearers(text: &str, rule: &'static str, found: &mut Vec<Finding>) {
    const BYTES_MIN: usize = 8;
    for key in keys(text) {
        if !["bearer", "basic"].iter().any(|scheme| key.name().eq_ignore_ascii_case(scheme)) {
            continue;
        }
        let rest = text.get(key.end..).unwrap_or_default();
        let value = rest.trim_start();
        if value.len() == rest.len() {
            continue;
        }
        let len = word_len(value, false, true);
        let word = value.get(..len).unwrap_or_default();
        let is_basic = key.name().eq_ignore_ascii_case("basic");
        let machine_made = word.bytes().any(|b| b.is_ascii_digit() || b == b'=');
        if len >= BYTES_MIN
            && if is_basic { is_basic_credentials(word) || word.contains('=') } else { machine_made }
        {
            let start = text.len() - value.len();
            found.push(Finding { range: start..start + len, rule });
        }
    }
}
