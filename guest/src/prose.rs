//! Pairs in what people write: which words with a colon behind them are none, as in a commit's subject,
//! and which have their value further on, as in `the password for me is: …`. Pairs of programs are the
//! business of `pairs`.

use crate::keys::Key;
use crate::redact::Telling;
use crate::search::{any_piece, find};
use crate::telling;
use crate::values::{is_harmless, looks_made, word_len};

/// Words before a `pass` that is no password.
static PASSES: [&str; 9] = ["boarding", "each", "final", "first", "last", "next", "second", "third", "this"];

/// Words that sentences begin with.
static STARTS: &str = "a|all|an|and|are|as|from|in|is|not|of|see|the|this|to|was|with";

/// Types of conventional commits.
static COMMITS: [&str; 11] =
    ["build", "chore", "ci", "docs", "feat", "fix", "perf", "refactor", "revert", "style", "test"];

/// Names that are no key where they stand: `feat(token): …`, `boarding pass: …`.
pub(crate) fn is_topic(key: &Key<'_>, before: Key<'_>) -> bool {
    let rest = key.text.get(key.end..).unwrap_or_default();
    let is_scope = || {
        let head = key.text.get(..key.start).and_then(|head| head.strip_suffix('('));
        (rest.starts_with("):") || rest.starts_with(")!:"))
            && head.is_some_and(|head| COMMITS.iter().any(|commit| head.ends_with(commit)))
    };
    let is_program =
        key.is(&["passwd"]) && key.text.get(..key.start).is_some_and(|head| head.ends_with("bin/"));
    is_scope() || is_program || (key.is(&["pass"]) && before.end + 1 == key.start && before.is(&PASSES))
}

/// Whether `said`, which ends at `end`, is no value but the next word of a subject, or names one.
pub(crate) fn is_said_of(key: &Key<'_>, words: [Key<'_>; 2], said: &str, end: usize) -> bool {
    let is_word = said.bytes().all(|b| b.is_ascii_lowercase());
    let [first, second] = words;
    let goes_on = || {
        let rest = key.text.get(end..).and_then(|rest| rest.strip_prefix(' ')).unwrap_or_default();
        let next = rest.split(' ').next().unwrap_or_default();
        !next.is_empty() && next.bytes().all(|b| b.is_ascii_lowercase())
    };
    let is_subject = || {
        let between = key.text.get(second.end..key.start).unwrap_or_default();
        (between == "): " && first.is(&COMMITS)) || (between == ": " && second.is(&COMMITS))
    };
    // Keys of an API are no words.
    let is_key = || key.is(&["key"]) && second.is(&["api", "access"]);
    // `passwords: see the wiki`
    let is_sentence = || is_word && goes_on() && any_piece(STARTS, said.as_bytes(), <[u8]>::eq);
    // `user.password = newPassword`
    let names_secret = || {
        key.name().contains('.')
            && key.text.get(key.end..).is_some_and(|rest| rest.starts_with(" = "))
            && said.bytes().all(|b| b.is_ascii_alphabetic())
            && telling::telling(said) == Telling::Always
    };
    let is_verdict = || key.name() == "PASS" && said.get(..4).is_some_and(|t| t.eq_ignore_ascii_case("test"));
    // `Authorization: Bearer $TOKEN`
    let names_credentials = || {
        key.is(&["authorization"])
            && said.split_once(' ').map_or(said.eq_ignore_ascii_case("bearer"), |(_, token)| {
                token.is_empty()
                    || is_harmless(token)
                    || token.starts_with("$(")
                    || token.strip_prefix("${").is_some_and(is_variable_name)
            })
    };
    (is_word && (is_key() || (is_subject() && goes_on())))
        || names_secret()
        || is_verdict()
        || is_sentence()
        || names_credentials()
}

/// The name of a variable of a shell, whose bracket the value has not.
fn is_variable_name(name: &str) -> bool {
    name.bytes().all(|b| b.is_ascii_uppercase() || b == b'_')
}

/// What follows a key in a sentence, from its value on: `password is …`, `password for me: …`, and the
/// `secret 0 …` of routers, where a digit says how it is encrypted.
pub(crate) fn value_said<'t>(key: &Key<'_>, spaced: &'t str) -> Option<&'t str> {
    if !key.is(&["password", "passwd", "passphrase", "secret", "pw", "passwort", "passe", "token", "key"]) {
        return None;
    }
    const IS: &str = " is ";
    let word = |rest: &'t str| rest.get(..word_len(rest, false, false)).unwrap_or_default();
    let named =
        |rest: &'t str| rest.split_once(' ').filter(|(name, _)| name.ends_with(':')).map(|(_, value)| value);
    if let Some(rest) = spaced.strip_prefix("is generated for ") {
        return named(rest);
    }
    if let Some(rest) = spaced.strip_prefix("for ") {
        let named = named(rest).or_else(|| find(rest, IS).and_then(|at| rest.get(at + IS.len()..)));
        return named.filter(|value| looks_made(word(value), true));
    }
    if let Some(rest) = SAYS.iter().find_map(|verb| spaced.strip_prefix(verb)) {
        return Some(rest).filter(|rest| is_made_up(word(rest)));
    }
    if key.is(&["token", "key"]) {
        return None;
    }
    let typed = ["0 ", "5 ", "7 ", "8 ", "9 "].iter().find_map(|kind| spaced.strip_prefix(kind))?;
    Some(typed).filter(|rest| spaced.starts_with('0') || word(rest).bytes().any(|b| b.is_ascii_digit()))
}

/// What stands between the name of a password and the password, in sentences.
static SAYS: [&str; 6] = ["is ", "to ", "should be ", "ist ", "lautet ", "est "];

/// A word that is none of a language, and not the name of a way to encode.
fn is_made_up(word: &str) -> bool {
    const BYTES_MIN: usize = 6;
    const CODES: [&str; 5] = ["base", "md", "sha", "utf", "v"];
    let is_code = || CODES.iter().any(|code| word.starts_with(code));
    let is_numbered = || {
        word.len() >= BYTES_MIN
            && word.starts_with(|c: char| c.is_ascii_alphabetic())
            && word.ends_with(|c: char| c.is_ascii_digit())
    };
    looks_made(word, false) || (is_numbered() && !is_code())
}
