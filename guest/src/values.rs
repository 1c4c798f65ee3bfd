//! How far the value of a pair goes, and which values are no secrets whatever name stands beside them:
//! references to a variable, paths of files, `null`. Names are the business of `telling`.

use crate::redact::{HIDDEN, MARK};
use crate::search::{any_piece, find, has};
use crate::telling;

/// Characters of a key. Beyond ASCII everything but spaces and separators: names are told by their
/// ends, and quotation marks and other signs around them do not count there.
pub(crate) fn in_key(c: char) -> bool {
    match u8::try_from(c) {
        Ok(b) if b.is_ascii() => in_ascii_key(b),
        _ => !c.is_whitespace() && !matches!(c, '︓' | '∶' | '꞉' | '→'),
    }
}

fn in_ascii_key(b: u8) -> bool {
    b.is_ascii_alphanumeric() || matches!(b, b'_' | b'-' | b'.')
}

/// Where the first character from `at` on stands that is in a key, or that is not.
pub(crate) fn key_edge(text: &str, mut at: usize, wanted: bool) -> usize {
    while let Some(&b) = text.as_bytes().get(at) {
        let c = if b.is_ascii() { None } else { text.get(at..).and_then(|rest| rest.chars().next()) };
        if c.map_or_else(|| in_ascii_key(b), in_key) == wanted {
            break;
        }
        at += c.map_or(1, char::len_utf8);
    }
    at
}

/// Whether a value is a mark already, with nothing of the value left beside it.
#[inline(never)]
pub(crate) fn is_marked(rest: &str) -> bool {
    let after = rest.strip_prefix(MARK).or_else(|| rest.strip_prefix(HIDDEN));
    after.is_some_and(|after| {
        after.is_empty() || after.starts_with(|c: char| c.is_whitespace() || is_closer(c) || ends_value(c))
    })
}

pub(crate) fn is_closer(c: char) -> bool {
    matches!(c, ',' | ')' | ']' | '}' | '>')
}

pub(crate) fn ends_value(c: char) -> bool {
    c.is_whitespace() || matches!(c, '"' | '\'' | '`' | '&' | ';')
}

/// Length up to the closing quote, or of everything where there is none. `escapes` stand before the
/// opening one.
#[inline(never)]
pub(crate) fn quoted_len(text: &str, quote: char, escapes: usize) -> usize {
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

/// How far a word of a shell goes on behind a closing quote, up to its last one: `'it'\''s'`, `'a''b'`.
#[inline(never)]
pub(crate) fn joined_len(text: &str) -> usize {
    let (bytes, mut at) = (text.as_bytes(), 0);
    loop {
        match (bytes.get(at), bytes.get(at + 1)) {
            (Some(quote @ (b'\'' | b'"')), Some(next)) if next.is_ascii_alphanumeric() => {
                at += 2 + quoted_len(text.get(at + 1..).unwrap_or_default(), char::from(*quote), 0);
            }
            (Some(b'\\'), Some(next)) if next.is_ascii() => at += 2,
            (Some(next), _) if next.is_ascii_alphanumeric() => at += 1,
            _ => break,
        }
    }
    at.min(text.len())
}

/// Length up to the bracket that closes the first one, or of everything where none does.
#[inline(never)]
pub(crate) fn bracketed_len(text: &str) -> usize {
    let mut depth = 0_usize;
    for (at, b) in text.bytes().enumerate() {
        match b {
            b'[' | b'{' | b'(' => depth += 1,
            b']' | b'}' | b')' => {
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

/// Length of an unquoted value: to a space, quote, `&` or `;` that is not inside of it, to a comma before
/// the next pair, and without closing brackets at its end. Looks no further than that: a text of nothing
/// but pairs must not be read once for each of them.
#[inline(never)]
pub(crate) fn word_len(text: &str, in_element: bool, in_query: bool) -> usize {
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
        // A blank of a shell's word.
        ' ' if at > 0 => text.as_bytes().get(at - 1) != Some(&b'\\'),
        _ => ends_value(c),
    };
    let end = text.char_indices().find(|&place| ends(place)).map_or(text.len(), |(at, _)| at);
    text.get(..end).unwrap_or_default().trim_end_matches(is_closer).len()
}

/// Length of a secret of several words: to a quote or a bar, or to the next pair or option.
pub(crate) fn phrase_len(text: &str) -> usize {
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
    let end = key_edge(rest, 0, false);
    end > 0 && matches!(rest.as_bytes().get(end), Some(b'=' | b':'))
}

/// Words of programs and of their messages, in the place of a value. For [`any_piece`].
static WORDS: &str = "\
    !vault|&str|await|bytes|changed|disabled|empty|enabled|expected|expired|false|files|include|inherit|\
    invalid|missing|must|nil|none|null|off|omit|on|optional|public|read|redacted|required|same-origin|str|string|\
    true|undefined|unexpected|unset|write|yes|no";

/// The longest of them.
const WORD_BYTES_MAX: usize = "same-origin".len();

/// Bytes of a value that is no secret: a longer one is not looked at.
const HARMLESS_BYTES_MAX: usize = 256;

/// Whether `value` is no secret, whatever it is called: `null`, `$TOKEN`, `********`, a path, a version.
pub(crate) fn is_harmless(value: &str) -> bool {
    if value.is_empty() || value.len() > HARMLESS_BYTES_MAX {
        return false;
    }
    let value = value.trim_end_matches(['/', '\\']).trim_matches(['[', ']']);
    let is_version = || value.contains('.') && value.bytes().all(|b| b.is_ascii_digit() || b == b'.');
    is_version()
        || value.bytes().all(|b| b == b'*')
        || (value.len() > 2 && value.bytes().all(|b| matches!(b, b'x' | b'X')))
        || (value.len() <= 2 && !value.bytes().any(|b| b.is_ascii_alphanumeric()))
        || (value.len() <= WORD_BYTES_MAX && any_piece(WORDS, value.as_bytes(), <[u8]>::eq_ignore_ascii_case))
        || is_reference(value)
        || is_path(value)
}

/// A number of one or two digits: a level or a count, as in `PASS=1`.
pub(crate) fn is_small_number(value: &str) -> bool {
    value.len() <= 2 && value.bytes().all(|b| b.is_ascii_digit())
}

/// How programs name a value that stands elsewhere, or that is encrypted; files, descriptors and variables of
/// programs, formats, patterns, schemas, and what one is to fill in. For [`any_piece`].
static WAYS: &str = "\
    process.env|os.environ|os.getenv|env::var|ENV[|ENC[|var.|data.|local.|self.|&self.|this.|config.|\
    secrets.|Option<|Optional[|Vec<|settings.|args.|params.|options.|opts.|request.|req.|cfg.|conf.|\
    config[|cfg[|conf[|params[|settings[|kwargs[|tokens[|argv[|env:|file:|fd:|@/|YOUR_|YOUR-|your-|%(|\
    .*|[^|\\S|{\"type\"|{ \"type\"|{ type:|{\"$ref\"|[\"string\"";

/// `$TOKEN`, `${TOKEN}`, `$(pass show x)`, `{{ .Values.token }}`, `%TOKEN%`, `<password>`, `process.env.X`.
pub(crate) fn is_reference(value: &str) -> bool {
    let is_variable = |name: &str| {
        !name.is_empty() && name.bytes().all(|b| b.is_ascii_uppercase() || b.is_ascii_digit() || b == b'_')
    };
    if let Some(name) = between(value, &[("${", "}"), ("%", "%"), ("$", "")])
        && is_variable(find(name, ":?").and_then(|at| name.get(..at)).unwrap_or(name))
    {
        return true;
    }
    if let Some(command) = between(value, &[("$(", ")"), ("<(", ")"), ("{{", "}}"), ("${{", "}}")]) {
        // What Ansible and templates fetch has a name in quotes.
        let fetches = value.starts_with("{{") && command.trim_start().starts_with("lookup");
        return fetches || !["echo", "printf", "<<<", "\"", "'", "="].iter().any(|said| has(command, said));
    }
    if let Some(name) = between(value, &[("<", ">"), ("<", "")]) {
        let is_word = name.bytes().all(|b| b.is_ascii_alphabetic() || matches!(b, b'-' | b'_' | b' '));
        return is_word
            && (name.eq_ignore_ascii_case("redacted")
                || name.starts_with("your")
                || telling::telling(name) != telling::Telling::Not);
    }
    // `:password` of SQL.
    if let Some(name) = value.strip_prefix(':') {
        return is_field_name(name) && telling::telling(name) != telling::Telling::Not;
    }
    // `{token}`, `{pw!r}` and `%s` of formats.
    let in_name = |b: u8| b.is_ascii_alphabetic() || matches!(b, b'_' | b'.' | b'!');
    between(value, &[("{", "}"), ("${", "}")]).is_some_and(|name| name.bytes().all(in_name))
        || matches!(value.as_bytes(), [b'%', _] | [b'%', _, b'\\', b'n'])
        || any_piece(WAYS, value.as_bytes(), <[u8]>::starts_with)
}

/// What stands in the first of these brackets that `text` has.
#[inline(never)]
fn between<'t>(text: &'t str, brackets: &[(&str, &str)]) -> Option<&'t str> {
    brackets.iter().find_map(|(open, close)| text.strip_prefix(open)?.strip_suffix(close))
}

/// A word that a machine or a careful person made: it has small and capital letters and digits, or letters
/// and digits where the name beside it is one of a program.
pub(crate) fn looks_made(word: &str, beside_identifier: bool) -> bool {
    const BYTES_MIN: usize = 8;
    let has = |is_in: fn(&u8) -> bool| word.as_bytes().iter().any(is_in);
    word.len() >= BYTES_MIN
        && word.bytes().all(|b| b.is_ascii_graphic() && !matches!(b, b'/' | b'(' | b'='))
        && has(u8::is_ascii_digit)
        && has(u8::is_ascii_lowercase)
        && (beside_identifier || has(u8::is_ascii_uppercase))
}

/// What may be the name of another field, as in `["password", "email"]`.
pub(crate) fn is_field_name(word: &str) -> bool {
    word.bytes().all(|b| b.is_ascii_lowercase() || b == b'_')
}

/// A call in a program: `get_token(`, `getpass.getpass(`.
pub(crate) fn is_call(value: &str) -> bool {
    let name = value.split_once('(').map_or("", |(name, _)| name);
    name.len() > 2 && name.bytes().all(|b| b.is_ascii_alphabetic() || matches!(b, b'_' | b'.' | b':'))
}

/// Whether `value` is the path of a file: from a directory that every system has, or with the ending of
/// a file that holds keys or settings. Base64 begins with `/` as well.
pub(crate) fn is_path(value: &str) -> bool {
    // Without their slashes, so that no path of a machine is in the component.
    static ROOTS: &str =
        "~|etc|home|root|run|var|usr|opt|srv|tmp|mnt|secrets|certs|keys|app|data|Users|dev|proc|tests";
    static ENDINGS: &str =
        ".pem|.key|.json|.crt|.p12|.pfx|.jks|.pub|.txt|.yml|.yaml|.toml|.ini|.env|.asc|.py";
    let in_path = |b: u8| b.is_ascii_alphanumeric() || b"/\\.-_~:@ ".contains(&b);
    let has_root = || {
        let (first, _) = value.strip_prefix('/').unwrap_or(value).split_once('/').unwrap_or_default();
        (value.starts_with('/') || matches!(first, "~" | "tests"))
            && any_piece(ROOTS, first.as_bytes(), <[u8]>::eq)
    };
    let is_absolute = value.starts_with(['/', '~', '.']) || value.get(1..3) == Some(":\\");
    value.bytes().all(in_path)
        && (has_root()
            || value.get(1..3) == Some(":\\")
            || (is_absolute && any_piece(ENDINGS, value.as_bytes(), <[u8]>::ends_with)))
}
