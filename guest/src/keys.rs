//! Words that may be the name of a secret, and what their surroundings make of them. What their names tell is
//! said in `telling`, where their values are in `pairs`.

use crate::redact::{Secrets, Telling};
use crate::search::has;
use crate::values::key_edge;

/// A word that may be a key, and where it stands.
#[derive(Clone, Copy)]
pub(crate) struct Key<'t> {
    pub(crate) text: &'t str,
    pub(crate) start: usize,
    pub(crate) end: usize,
    /// Which quotes are open before it: see [`bit_of`].
    quoted: u8,
}

/// The bit of a quote.
fn bit_of(quote: u8) -> u8 {
    match quote {
        b'"' => 1,
        b'\'' => 2,
        b'`' => 4,
        _ => 0,
    }
}

/// `quoted` after the quotes of `between`. Escaped ones belong to a text in the text.
#[inline(never)]
fn quoted_after(mut quoted: u8, between: &[u8]) -> u8 {
    let mut before = 0;
    for &b in between {
        if before != b'\\' {
            quoted ^= bit_of(b);
        }
        before = b;
    }
    quoted
}

impl<'t> Key<'t> {
    /// The word that stands for none.
    pub(crate) fn none(text: &'t str) -> Self {
        Key { text, start: 0, end: 0, quoted: 0 }
    }

    pub(crate) fn name(&self) -> &'t str {
        self.text.get(self.start..self.end).unwrap_or_default()
    }

    pub(crate) fn before(&self) -> Option<char> {
        self.text.get(..self.start).and_then(|t| t.chars().next_back())
    }

    pub(crate) fn is_option(&self) -> bool {
        self.name().starts_with('-')
    }

    pub(crate) fn is_query_parameter(&self) -> bool {
        matches!(self.before(), Some('?' | '&'))
    }

    /// Whether a separator follows at once, as in an assignment.
    pub(crate) fn is_assigned(&self) -> bool {
        self.text.get(self.end..).is_some_and(|rest| rest.starts_with(['=', ':', '"', '\'']))
    }

    pub(crate) fn is(&self, names: &[&str]) -> bool {
        names.iter().any(|name| self.name().eq_ignore_ascii_case(name))
    }

    /// `name="DB_PASSWORD" value="…"`, as settings in XML and environments in JSON are written; `words`
    /// are the two before this one.
    pub(crate) fn is_value_of(&self, words: [Key<'_>; 2], secrets: &Secrets<'_>) -> bool {
        let [member, name] = words;
        self.is(&["value"]) && member.is(&["name", "key"]) && secrets.telling(name.name()) == Telling::Always
    }

    /// `seed phrase: …`, `API key: …`, `my password is: …`: with the word before it.
    pub(crate) fn telling_with(&self, before: Key<'_>, secrets: &Secrets<'_>) -> Telling {
        let is_beside =
            before.end + 1 == self.start && before.end > before.start && self.before() == Some(' ');
        let rest = self.text.get(self.end..).unwrap_or_default();
        if !is_beside || !(self.is_assigned() || rest.starts_with(" :")) {
            return Telling::Not;
        }
        if before.is(&["no"]) || before.is_option() || self.is_option() {
            return Telling::Not;
        }
        if self.is(&["is", "was"]) {
            return secrets.telling(before.name());
        }
        secrets.telling(self.text.get(before.start..self.end).unwrap_or_default())
    }

    /// `<entry key="password">…</entry>`, and `<password>…</password>`.
    pub(crate) fn is_of_element(&self) -> bool {
        const BYTES_MAX: usize = 256;
        let rest = self.text.get(self.end..).unwrap_or_default();
        // `--token <token>  Access token` is no element, nor is `Option<Secret>`.
        let is_closed = || {
            let near = rest.get(..rest.floor_char_boundary(BYTES_MAX)).unwrap_or_default();
            let head = self.text.get(..self.start - 1).unwrap_or_default();
            let begins_value = near.get(1..).is_some_and(|value| value.starts_with(char::is_alphanumeric));
            has(near, "</") || (begins_value && !head.ends_with(char::is_alphanumeric))
        };
        rest.starts_with("\">") || (self.before() == Some('<') && rest.starts_with('>') && is_closed())
    }

    /// Whether the quote that `value` begins with was opened before, as in `grep 'token=' FILE`: then no value
    /// stands there. In `"token": "…"` the key's own quote is closed before the separator.
    #[inline(never)]
    pub(crate) fn closes_quote(&self, value: &str) -> bool {
        let at = self.text.len() - value.len();
        let (quote, next) = match value.trim_start().as_bytes() {
            [quote, next, ..] => (*quote, *next),
            [quote] => (*quote, b' '),
            [] => return false,
        };
        let between = self.text.as_bytes().get(self.end..at).unwrap_or_default();
        b" ;)],*|&+}\\\"'".contains(&next) && quoted_after(self.quoted, between) & bit_of(quote) != 0
    }

    pub(crate) fn ends_in(&self, name: &str) -> bool {
        let at = self.name().len().checked_sub(name.len());
        at.and_then(|at| self.name().get(at..)).is_some_and(|end| end.eq_ignore_ascii_case(name))
    }
}

/// The words of a text that may be keys, one after the other.
pub(crate) fn keys(text: &str) -> impl Iterator<Item = Key<'_>> {
    let (mut from, mut quoted) = (0, 0);
    std::iter::from_fn(move || {
        let start = key_edge(text, from, true);
        let end = key_edge(text, start, false);
        quoted = quoted_after(quoted, text.as_bytes().get(from..start)?);
        from = end;
        (end > start).then_some(Key { text, start, end, quoted })
    })
}
