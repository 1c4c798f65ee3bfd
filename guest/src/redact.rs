//! Finds secrets in text and puts a constant mark in their place.
//!
//! The engine: it lets every rule of `rules` point at what it takes for a secret, joins what overlaps
//! and replaces it. Which texts are secrets is said there, which key names tell of one in `telling`.
//! A mark is never part of a new finding, so that a second pass changes nothing.

use std::collections::BinaryHeap;
use std::ops::Range;

use crate::limits::{POLICY_ENTRIES_MAX, POLICY_ENTRY_SCALARS_MAX, POLICY_PREFIX_SCALARS_MIN};
use crate::plain::Plain;
use crate::rules::RULES;
use crate::sanitize::Touch;
use crate::search::places;
use crate::telling;
use crate::types::{ChangeKind, Policy};

use crate::telling::Folded;
pub(crate) use crate::telling::Telling;

/// What stands in the place of a secret.
pub(crate) const MARK: &str = "[redacted]";
/// What stands in the place of a value that the policy hides.
pub(crate) const HIDDEN: &str = "[hidden]";

/// The name of the rule for `policy.secret_prefixes`.
const POLICY_PREFIX: &str = "policy-prefix";

/// A finding: a range of bytes, and the name of the rule.
#[derive(Clone, Debug)]
pub(crate) struct Finding {
    pub(crate) range: Range<usize>,
    pub(crate) rule: &'static str,
}

/// What the policy takes for a secret, made ready once per call.
#[derive(Default)]
pub(crate) struct Secrets<'p> {
    keys: Vec<Folded>,
    prefixes: Vec<&'p str>,
}

impl<'p> Secrets<'p> {
    /// Entries beyond the documented limits are left out; a prefix that is too short would redact
    /// ordinary words.
    pub(crate) fn new(policy: &'p Policy) -> Self {
        let keys = policy.secret_keys.iter().take(POLICY_ENTRIES_MAX);
        let prefixes = policy.secret_prefixes.iter().take(POLICY_ENTRIES_MAX);
        let lengths = POLICY_PREFIX_SCALARS_MIN..=POLICY_ENTRY_SCALARS_MAX;
        Secrets {
            keys: keys
                .filter(|key| key.chars().count() <= POLICY_ENTRY_SCALARS_MAX)
                .map(|key| Folded::of(&Plain::of(key).text))
                .filter(|key| !key.bytes().is_empty())
                .collect(),
            prefixes: prefixes
                .map(String::as_str)
                .filter(|prefix| lengths.contains(&prefix.chars().count()))
                .collect(),
        }
    }

    /// How much the key of a member tells about its value, as it reads.
    pub(crate) fn telling_key(&self, key: &str) -> Telling {
        let name = Plain::of(key).text;
        match self.telling(&name) {
            Telling::Not if telling::hints(&name) => Telling::WhenRandom,
            telling => telling,
        }
    }

    /// How much a word tells of what stands beside it.
    pub(crate) fn telling(&self, name: &str) -> Telling {
        let known = telling::telling(name);
        if known == Telling::Always || self.keys.is_empty() {
            return known;
        }
        let name = Folded::of(name);
        let is_one = self.keys.iter().any(|key| key.bytes() == name.bytes());
        if is_one { Telling::Always } else { known }
    }

    fn find_prefixes(&self, text: &str, found: &mut Vec<Finding>) {
        for prefix in &self.prefixes {
            let mut done = 0;
            for at in places(text, prefix) {
                let before = text.get(..at).and_then(|t| t.chars().next_back());
                if at >= done && before.is_none_or(|c| !c.is_alphanumeric()) {
                    let rest = text.get(at..).unwrap_or_default();
                    done = at + rest.find(ends_word).unwrap_or(rest.len()).max(prefix.len());
                    found.push(Finding { range: at..done, rule: POLICY_PREFIX });
                }
            }
        }
    }
}

fn ends_word(c: char) -> bool {
    c.is_whitespace() || matches!(c, '"' | '\'' | '`' | ',' | ';' | '&' | '<' | '>' | '|')
}

/// Secrets in one text. A text that holds more of them is nothing else, and goes as a whole: with a mark
/// for each it would grow, and be read again at that length.
const FINDINGS_MAX: usize = 256;

/// `text` with each secret replaced by [`MARK`], or nothing when there is none.
pub(crate) fn redact(text: &str, secrets: &Secrets<'_>, touches: &mut Vec<Touch>) -> Option<String> {
    let plain = Plain::of(text);
    let mut found = Vec::new();
    for rule in RULES {
        (rule.find)(&plain.text, rule.name, secrets, &mut found);
    }
    secrets.find_prefixes(&plain.text, &mut found);
    let found = joined(&plain.text, found);
    if found.is_empty() {
        return None;
    }
    let is_dump = found.len() > FINDINGS_MAX;
    let mut out = String::with_capacity(text.len());
    let mut from = 0;
    for Finding { range, rule } in found {
        let range = if is_dump { 0..text.len() } else { plain.written(&range) };
        if !is_dump || out.is_empty() {
            out.push_str(text.get(from..range.start).unwrap_or_default());
            out.push_str(MARK);
            from = range.end;
        }
        if !touches.contains(&(ChangeKind::Redacted, rule)) {
            touches.push((ChangeKind::Redacted, rule));
        }
    }
    out.push_str(text.get(from..).unwrap_or_default());
    Some(out)
}

/// Findings in order, without overlap, on character boundaries, and none that is only a mark or
/// begins or ends inside of one.
fn joined(text: &str, mut found: Vec<Finding>) -> Vec<Finding> {
    if found.is_empty() {
        return found;
    }
    let mut marks: Vec<Finding> = Vec::new();
    for mark in [MARK, HIDDEN] {
        marks.extend(places(text, mark).map(|at| Finding { range: at..at + mark.len(), rule: "" }));
    }
    let marks = sorted(marks);
    let end_of_mark_around = |at: usize| {
        let next = marks.partition_point(|mark| mark.range.end <= at);
        marks.get(next).filter(|mark| mark.range.start < at).map_or(at, |mark| mark.range.end)
    };
    for Finding { range, .. } in &mut found {
        *range = end_of_mark_around(range.start)..end_of_mark_around(range.end);
    }
    found.retain(|f| {
        f.range.start < f.range.end
            && text
                .get(f.range.clone())
                .is_some_and(|secret| !is_mark(secret) && !is_cut_mark(text, &f.range))
    });
    let mut out: Vec<Finding> = Vec::with_capacity(found.len());
    for next in sorted(found) {
        match out.last_mut() {
            Some(last) if next.range.start < last.range.end => {
                last.range.end = last.range.end.max(next.range.end);
            }
            _ => out.push(next),
        }
    }
    out
}

/// By beginning; of those that begin at the same place the longest first, then in the order of the
/// rules. By a heap, since `sort` is four kilobytes of the component.
fn sorted(found: Vec<Finding>) -> Vec<Finding> {
    let key = |(at, f): (usize, &Finding)| (f.range.start, usize::MAX - f.range.end, at);
    let order: BinaryHeap<_> = found.iter().enumerate().map(key).collect();
    order.into_sorted_vec().into_iter().filter_map(|(.., at)| found.get(at).cloned()).collect()
}

/// Whether `text` is nothing but a mark of ours.
pub(crate) fn is_mark(text: &str) -> bool {
    text == MARK || text == HIDDEN
}

/// Whether what was found is the beginning of a mark that the end of the text cut off.
fn is_cut_mark(text: &str, range: &Range<usize>) -> bool {
    range.end == text.len()
        && text.get(range.clone()).is_some_and(|cut| MARK.starts_with(cut) || HIDDEN.starts_with(cut))
}

/// Whether a rule finds a secret anywhere in `text`.
pub(crate) fn is_secret(text: &str, secrets: &Secrets<'_>) -> bool {
    redact(text, secrets, &mut Vec::new()).is_some()
}

/// Characters of a random-looking value.
const RANDOM_CHARS_MIN: usize = 16;
/// Bits per character; words and dates stay below, random hexadecimal and base64 are above.
const RANDOM_BITS_MIN: f32 = 3.0;

/// Whether `value` looks as if a machine had rolled it: one long word of high Shannon entropy, in which
/// letters and digits are mixed. Says nothing without a telling key beside it.
pub(crate) fn looks_random(value: &str) -> bool {
    let random_char = |b: u8| {
        b.is_ascii_alphanumeric()
            || matches!(
                b,
                b'+' | b'/'
                    | b'='
                    | b'_'
                    | b'-'
                    | b'.'
                    | b'~'
                    | b'%'
                    | b'!'
                    | b'#'
                    | b'$'
                    | b'^'
                    | b'*'
                    | b'@'
            )
    };
    value.len() >= RANDOM_CHARS_MIN
        && value.bytes().all(random_char)
        && !value.starts_with(['/', '.', '~'])
        && is_mixed(value)
        && entropy_bits(value) >= RANDOM_BITS_MIN
}

/// Small and capital letters and digits, or digits and letters that take turns: `release-2026-candidate`
/// is a name.
fn is_mixed(value: &str) -> bool {
    const TURNS_MIN: usize = 3;
    let has = |is_in: fn(&u8) -> bool| value.as_bytes().iter().any(is_in);
    if has(u8::is_ascii_lowercase) && has(u8::is_ascii_uppercase) && has(u8::is_ascii_digit) {
        return true;
    }
    let kinds = value.bytes().filter(u8::is_ascii_alphanumeric).map(|b| b.is_ascii_digit());
    let mut last = None;
    kinds.filter(|&kind| last.replace(kind).is_some_and(|last| last != kind)).count() >= TURNS_MIN
}

/// Shannon entropy in bits per byte.
fn entropy_bits(value: &str) -> f32 {
    let mut counts = [0_u32; 256];
    for byte in value.bytes() {
        if let Some(count) = counts.get_mut(usize::from(byte)) {
            *count += 1;
        }
    }
    let len = value.len() as f32;
    counts.iter().filter(|&&count| count > 0).map(|&count| count as f32 / len).map(|p| -p * p.log2()).sum()
}
