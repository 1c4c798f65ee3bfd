//! Scanners for secrets that a name beside them tells of: `password=…`, `"token": "…"`,
//! `Authorization: Bearer …`, `--password …`, `?sig=…`, `set -x API_KEY …`.
//!
//! Which names tell is said in `telling`, which options of which programs in `commands`, where a value
//! ends and what is none in `values`. In doubt too much is redacted and not too little.

use crate::authorization::{bearer_token, credentials_len, is_credentials};
use crate::keys::{Key, keys};
use crate::prose::{is_said_of, is_topic, value_said};
use crate::redact::{Finding, Secrets, Telling, looks_random};
use crate::search::{find, has};
use crate::settings::Settings;
use crate::telling;
use crate::values::{
    bracketed_len, is_call, is_field_name, is_harmless, is_marked, is_small_number, joined_len, looks_made,
    phrase_len, quoted_len, word_len,
};

/// Bytes by which it is judged whether a value looks random: more do not change the judgement, and a
/// text of nothing but keys must not be read a thousand times.
const RANDOM_BYTES_MAX: usize = 32;

/// Values beside telling keys.
pub(crate) fn find_pairs(text: &str, rule: &'static str, secrets: &Secrets<'_>, found: &mut Vec<Finding>) {
    let mut done = 0;
    let none = Key::none(text);
    let mut previous = [none, none];
    let mut settings = Settings::of(text);
    for key in keys(text) {
        let words = previous;
        previous = [words[1], key];
        if key.start < done {
            continue;
        }
        if let Some(range) = bearer_token(&key) {
            found.push(Finding { range, rule: "bearer" });
        }
        if let Some(range) = settings.named(&key, words[1], secrets) {
            found.push(Finding { range, rule });
        }
        let telling = match settings.is_member(&key) {
            true => Telling::Always,
            false => telling_of(&key, words, secrets),
        };
        if telling == Telling::Not {
            continue;
        }
        let Some(at) = value_start(&key, words) else { continue };
        if is_working_directory(key.name(), text.get(at..).unwrap_or_default())
            || (telling == Telling::WhenRandom && !looks_secret(&key, at))
        {
            continue;
        }
        let Some((start, end)) = value(&key, at, text.len()) else { continue };
        let said = text.get(start..end).unwrap_or_default();
        let is_in_program = text.get(..at).is_some_and(|before| before.ends_with(' ')) && is_call(said);
        // `https://x-access-token:…@github.com` is the business of URLs.
        let is_of_url =
            || said.contains('@') && text.get(..key.start).is_some_and(|head| head.ends_with("://"));
        let is_other =
            is_in_program || is_of_url() || is_named_like(&key, said) || is_said_of(&key, words, said, end);
        if !is_other && !is_small_number(said) && !is_harmless(said) {
            found.push(Finding { range: start..end, rule });
            done = end;
        } else if said.starts_with("${") {
            // `${TOKEN:?is missing}` is no pair.
            done = end;
        }
    }
}

/// `this.token = token`, `token=API_TOKEN`, and `--secret dbPassword …`, where the name of the secret comes first.
fn is_named_like(key: &Key<'_>, said: &str) -> bool {
    let is_name = || telling::telling(said) == Telling::Always;
    let is_variable = said.bytes().all(|b| b.is_ascii_uppercase() || b == b'_');
    let is_of_docker = key.name() == "--secret";
    (is_of_docker && said.starts_with("id="))
        || ((key.ends_in(said) || is_variable || is_of_docker) && is_name())
}

fn telling_of(key: &Key<'_>, words: [Key<'_>; 2], secrets: &Secrets<'_>) -> Telling {
    // `public key: …`
    if is_topic(key, words[1]) || (key.is(&["key"]) && words[1].is(&["public"])) {
        return Telling::Not;
    }
    let alone = match key.name() {
        // A name for AWS, a secret for Vault.
        "--secret-id" => Telling::WhenRandom,
        // `user:password` for npm.
        "_auth" => Telling::Always,
        name => secrets.telling(name),
    };
    if alone == Telling::Always {
        return alone;
    }
    // `Unseal Key 1: …`
    let is_share = || key.name().bytes().all(|b| b.is_ascii_digit()) && words[0].is(&["unseal"]);
    let is_of_sqlite = || words[1].is(&["pragma"]) && key.is(&["key", "rekey"]);
    if key.is_value_of(words, secrets)
        || is_sql_password(key, words)
        || is_of_sqlite()
        || (key.is_assigned() && is_share())
    {
        return Telling::Always;
    }
    match (alone, key.telling_with(words[1], secrets)) {
        (_, Telling::Always) => Telling::Always,
        (Telling::Not, _) if key.is_query_parameter() && key.name() == "code" => Telling::WhenRandom,
        (Telling::Not, _) if key.is_assigned() => match telling::hints(key.name()) {
            true => Telling::WhenRandom,
            false => Telling::Not,
        },
        (telling, _) => telling,
    }
}

/// `IDENTIFIED BY …`, `IDENTIFIED WITH a_plugin BY …`
fn is_sql_password(key: &Key<'_>, words: [Key<'_>; 2]) -> bool {
    key.is(&["by"])
        && (words[1].is(&["identified"]) || (words[0].is(&["with"]) && words[1].ends_in("_password")))
}

/// Whether the beginning of the value at `at` looks like a secret under a name that may tell of one.
fn looks_secret(key: &Key<'_>, at: usize) -> bool {
    const QUERY_BYTES_MIN: usize = 8;
    let is_login = telling::is_auth(key.name());
    // Nothing without a digit looks random, which is sooner seen than how far the value goes.
    let next = key.text.as_bytes().iter().skip(at).take(RANDOM_BYTES_MAX);
    if !is_login && !key.is_query_parameter() && !next.clone().any(u8::is_ascii_digit) {
        return false;
    }
    let Some((start, end)) = value(key, at, at + RANDOM_BYTES_MAX) else { return false };
    let beginning = key.text.get(start..end).unwrap_or_default();
    looks_random(beginning)
        || (is_login && is_credentials(beginning))
        || (key.is_query_parameter() && beginning.len() >= QUERY_BYTES_MIN)
}

/// `PWD` and `OLDPWD` of the environment are no passwords.
fn is_working_directory(name: &str, value: &str) -> bool {
    matches!(name, "PWD" | "OLDPWD") && value.trim_start_matches(['\\', '"', '\'']).starts_with(['/', '~'])
}

/// What stands between a key and its value, written plainly, in look-alikes, and with percent signs.
static SEPARATORS: [&str; 18] = [
    "-> ", "===", "=>", "::=", ":=", "?=", "+=", "==", "=", ":", "︓", "∶", "꞉", "%3D", "%3d", "%3A", "%3a",
    "→",
];

/// Brackets and quotes that close around a key, in a form's encoding.
static CLOSERS: [&str; 4] = ["%22", "%27", "%5D", "%5d"];

/// Where the value of `key` begins, if what follows makes it a key. `words` are the two before it.
pub(crate) fn value_start(key: &Key<'_>, words: [Key<'_>; 2]) -> Option<usize> {
    let rest = key.text.get(key.end..)?;
    if key.is_of_element() {
        return Some(key.end + rest.find('>')? + 1);
    }
    let closed = rest.trim_start_matches(['\\', '"', '\'', '`', ']', ')']);
    let closed = CLOSERS.iter().find_map(|closer| closed.strip_prefix(closer)).unwrap_or(closed);
    let spaced = closed.trim_start();
    let spaced = declared(spaced).unwrap_or(spaced);
    if let Some(separator) = SEPARATORS.iter().find(|separator| spaced.starts_with(**separator)) {
        let value = spaced.get(separator.len()..)?;
        if key.closes_quote(value) {
            return None;
        }
        // `token://…` is a URL and `token::Kind` a path of a program, not a pair.
        // In LDIF two colons stand before a value in base64 (RFC 2849).
        let of_ldif = value.strip_prefix(": ").filter(|_| rest.starts_with("::"));
        let is_name =
            *separator == ":" && of_ldif.is_none() && (value.starts_with("//") || value.starts_with(':'));
        let value = of_ldif.unwrap_or(value);
        // `arn:aws:secretsmanager:…:123456789012:secret:NAME` names one.
        let is_resource = *separator == ":"
            && key.before() == Some(':')
            && words[1].end > 0
            && words[1].name().bytes().all(|b| b.is_ascii_digit());
        return (!is_name && !is_resource)
            .then(|| key.text.len() - after_block_mark(value.trim_start()).len());
    }
    if let Some(value) = quoted_neighbour(key, rest) {
        return Some(value);
    }
    if let Some(value) = value_said(key, spaced).filter(|_| spaced.len() < closed.len()) {
        return Some(key.text.len() - value.len());
    }
    // `--password <<< x`
    let spaced = spaced.strip_prefix("<<< ").filter(|_| key.is_option()).unwrap_or(spaced);
    let follows = spaced.len() < closed.len() && !begins_other(spaced);
    let takes_word = || {
        let word = spaced.get(..word_len(spaced, false, false)).unwrap_or_default();
        let word = word.trim_matches('"');
        let is_identifier = key.name().contains(['_', '-']);
        key.is_option()
            || is_assigned_by_word(key, words)
            || (closed.len() == rest.len() && looks_made(word, is_identifier))
    };
    (follows && takes_word()).then(|| key.text.len() - spaced.len())
}

/// What follows the type in `token string = "…"`, `token: &str = "…"`, `token[32] = "…"`.
fn declared(rest: &str) -> Option<&str> {
    const TYPE_BYTES_MAX: usize = 24;
    if ![": ", "[", "string "].iter().any(|start| rest.starts_with(start)) {
        return None;
    }
    let at = rest.bytes().take(TYPE_BYTES_MAX).position(|b| b == b'=')?;
    let (head, value) = rest.split_at_checked(at)?;
    let in_type = |b: u8| b.is_ascii_alphanumeric() || b"_&'<>[]:? ".contains(&b);
    let is_quoted = matches!(value.as_bytes(), [b'=', b' ', b'"' | b'\'', ..]);
    (is_quoted && head.ends_with(' ') && head.bytes().all(in_type)).then_some(value)
}

/// Whether no value follows but another option, or a file or text that is handed over.
fn begins_other(rest: &str) -> bool {
    let is_letter = rest.starts_with('-') && rest.get(2..3) == Some(" ");
    is_letter || ["--", "<<", "< "].iter().any(|start| rest.starts_with(start))
}

/// Where the value begins that stands beside a name without a sign between them: `PASSWORD 'x'` and
/// `PASSWORD('x')` of SQL, `"--password","x"` and `["X-Api-Key","x"]` of lists.
fn quoted_neighbour(key: &Key<'_>, rest: &str) -> Option<usize> {
    let at = |value: &str| Some(key.text.len() - value.len());
    let list = rest.strip_prefix("\",").or_else(|| rest.strip_prefix("',")).map(str::trim_start);
    if let Some(value) = list.filter(|value| value.starts_with(['"', '\''])) {
        let is_header = !key.is_option() && key.name().contains('-');
        // `["X-Api-Key", "x"]`, `define('DB_PASSWORD', 'x')`.
        let is_pair = || {
            let (said, after) = quoted(value);
            let before = key.text.get(..key.start).unwrap_or_default().trim_end_matches(['"', '\'']);
            let is_value = after.starts_with(')') || (after.starts_with(']') && !is_field_name(said));
            is_value && before.trim_end().ends_with(['[', '('])
        };
        return (key.is_option() || is_header || key.is(&["authorization", "cookie"]) || is_pair())
            .then(|| at(value))?;
    }
    let value = rest.trim_start_matches(['(', ' ']);
    let is_said = key.is(&["password", "passwd", "passphrase", "by"]);
    // `client.token("…")`, `set(api_token, "…")`
    let argument = rest.strip_prefix('(').or_else(|| rest.strip_prefix(", "));
    if let Some(argument) = argument.filter(|argument| argument.starts_with(['"', '\'']))
        && let Some((from, to)) = self::value(key, key.text.len() - argument.len(), key.text.len())
        && looks_random(key.text.get(from..to)?)
    {
        return at(argument);
    }
    let is_quoted = value.len() < rest.len()
        && value.starts_with(['\'', '"'])
        && !value.get(1..).is_some_and(|said| said.starts_with([' ', ')', '"']));
    // `#define DB_PASSWORD "x"`, and not `the api_key "field" is …`.
    let is_setting = || {
        let after = quoted(value).1;
        key.name().contains(['_', '-']) && (after.is_empty() || after.starts_with([';', ',', ')', '/', '#']))
    };
    (is_quoted && (is_said || is_setting())).then(|| at(value))?
}

/// What stands in the quotes that `text` begins with, and what behind them.
fn quoted(text: &str) -> (&str, &str) {
    let len = quoted_len(text.get(1..).unwrap_or_default(), text.chars().next().unwrap_or('"'), 0);
    (text.get(1..=len).unwrap_or_default(), text.get(len + 2..).unwrap_or_default().trim_start())
}

/// What follows a mark of YAML that says how the value below is written.
fn after_block_mark(value: &str) -> &str {
    static MARKS: [&str; 9] = ["|", ">", "|-", ">-", "|+", ">+", "!!str", "!!binary", "!unsafe"];
    let rest = MARKS.iter().filter_map(|mark| value.strip_prefix(mark)).find(|rest| rest.starts_with(' '));
    rest.map_or(value, str::trim_start)
}

/// `set -x TOKEN …`, `setenv TOKEN …`, `config set token …`, `config --global token …`, netrc's
/// `login me password …` and `machine there password …`, and directives of servers.
fn is_assigned_by_word(key: &Key<'_>, words: [Key<'_>; 2]) -> bool {
    let [first, second] = words.map(|word| word.name());
    // `add password` is said by people as well.
    let is_variable = key.name().bytes().any(|b| b == b'_' || b.is_ascii_uppercase());
    let sets = |word: &str| {
        matches!(word, "set" | "setenv" | "setx" | "put" | "ENV") || (word == "add" && is_variable)
    };
    let is_option = second.starts_with('-');
    sets(second)
        || second == "enable"
        || first == "username"
        || (sets(first) && key.before() == Some(':'))
        || (matches!(first, "set" | "config") && is_option)
        || matches!(first, "login" | "machine")
        || is_sql_password(key, words)
        || matches!(key.name(), "requirepass" | "masterauth" | "rootpw" | "bindpw")
}

/// First and last byte of the value that begins at `at`; nothing for an empty value or a mark.
pub(crate) fn value(key: &Key<'_>, at: usize, until: usize) -> Option<(usize, usize)> {
    let text = key.text.get(..key.text.floor_char_boundary(until))?;
    let rest = text.get(at..)?;
    let escapes = rest.len() - rest.trim_start_matches('\\').len();
    let mut body = rest.get(escapes..)?;
    // Strings of Python may have a letter before them.
    if body.get(1..2).is_some_and(|c| c == "\"" || c == "'") {
        body = body.trim_start_matches(['f', 'b', 'r', 'u']);
    }
    let start = text.len() - body.len();
    let quote = body.chars().next()?;
    if matches!(quote, '"' | '\'' | '`') {
        let len = quoted_len(body.get(1..)?, quote, escapes);
        // `pw=`pwgen 20``, where the quotes are those of a command.
        let is_command = quote == '`' && text.get(..at)?.ends_with('=') && !has(body.get(..len)?, "echo ");
        let end = start + 1 + len;
        // A word of a shell may go on behind its quotes.
        let is_word = escapes == 0 && text.get(..at)?.ends_with('=');
        let more = if is_word { joined_len(text.get(end + 1..).unwrap_or_default()) } else { 0 };
        return (len > 0 && !is_command).then_some((start + 1, end + more));
    }
    if let Some(said) = body.strip_prefix("%22") {
        let len = find(said, "%22").unwrap_or(said.len());
        return Some((start + 3, start + 3 + len));
    }
    if is_marked(rest) {
        return None;
    }
    let len = if matches!(quote, '[' | '{') || ["$(", "${", "<("].iter().any(|open| rest.starts_with(open)) {
        bracketed_len(rest)
    } else if key.ends_in("authorization") {
        credentials_len(rest)
    } else if !key.is_option() && PHRASES.iter().any(|name| key.ends_in(name)) {
        phrase_len(rest)
    } else if key.ends_in("cookie") {
        rest.find(['"', '\'', '|']).unwrap_or(rest.len())
    } else {
        word_len(rest, key.is_of_element(), key.is_query_parameter())
    };
    (len > 0).then_some((at, at + len))
}

/// Names of secrets that are several words.
static PHRASES: [&str; 4] = ["mnemonic", "phrase", "codes", "seed_words"];
