//! Makes text clean: escape sequences, controls, bidi and invisible characters out, NFC, secrets out,
//! cut on a grapheme boundary, trimmed; again and again until nothing changes any more.
//!
//! Which characters are harmful is decided in `unicode`, what is a secret in `redact`. Knows nothing
//! of events. Never fails: whatever comes in, something clean comes out.

use std::borrow::Cow;

use crate::limits::{PASSES_LENIENT_MAX, PASSES_MAX, TEXT_BYTES_MAX};
use crate::redact::{self, MARK, Secrets};
use crate::types::{Change, ChangeKind, CleanText, Policy, Rule, Violation};
use crate::unicode::{Class, MARKS_MAX, class, is_combining_mark, meaningful_len};
use crate::{escape, json, json_write, metadata, nfc};
use unicode_segmentation::UnicodeSegmentation;

/// A change without its field: what was done, and the redaction rule.
pub(crate) type Touch = (ChangeKind, &'static str);

/// A text made clean, and what was done to it, each kind once.
#[derive(Debug, Default)]
pub(crate) struct Cleaned {
    pub(crate) text: String,
    pub(crate) touches: Vec<Touch>,
}

/// Cleans one text; see the WIT.
pub fn sanitize_text(text: &str, scalars_max: u32, policy: &Policy) -> CleanText {
    let scalars_max = usize::try_from(scalars_max).unwrap_or(usize::MAX);
    let cleaned = clean(text, scalars_max, &Secrets::new(policy));
    let changes = cleaned.touches.into_iter().map(|(kind, detail)| Change {
        field: String::new(),
        kind,
        detail: detail.to_owned(),
    });
    CleanText { text: cleaned.text, changes: changes.collect() }
}

/// Cleans every string and key of a JSON object as metadata is cleaned; see the WIT. Paths in the
/// report start at the object's keys.
pub fn sanitize_json(json: &str, policy: &Policy) -> Result<CleanText, Vec<Violation>> {
    let mut report = crate::report::Report::default();
    let secrets = Secrets::new(policy);
    let value = json::read_metadata(json, "", &secrets, &mut report);
    let Some(json::Json::Object(object)) = value else {
        if report.is_valid() {
            report.violation("", Rule::WrongType, "must be a JSON object");
        }
        return Err(report.violations);
    };
    let clean = metadata::clean(object, "", 0, &secrets, &mut report);
    if !report.is_valid() {
        return Err(report.violations);
    }
    Ok(CleanText { text: json_write::object(&clean), changes: report.changes })
}

/// Cleans `text` to at most `scalars_max` scalars. A fixed point: the result, cleaned again with the
/// same limit and secrets, stays as it is and reports nothing.
pub(crate) fn clean(text: &str, scalars_max: usize, secrets: &Secrets<'_>) -> Cleaned {
    let mut touches = Vec::new();
    let start = cut_bytes(text);
    if start.len() < text.len() {
        note(&mut touches, (ChangeKind::Truncated, ""));
    }
    let mut text = Cow::Borrowed(start);
    for pass in 0..PASSES_MAX {
        settle(&mut text, pass >= PASSES_LENIENT_MAX, &mut touches);
        apply(&mut text, |t| trim(t, &mut touches));
        // What has settled and holds no secret, nothing too long and no space at its ends stays as it is.
        let is_redacted = apply(&mut text, |t| redact::redact(t, secrets, &mut touches));
        let is_cut = apply(&mut text, |t| truncate(t, scalars_max, &mut touches));
        let is_trimmed = apply(&mut text, |t| trim(t, &mut touches));
        if !is_redacted && !is_cut && !is_trimmed {
            return Cleaned { text: text.into_owned(), touches };
        }
    }
    touches.push((ChangeKind::Redacted, "unstable-text"));
    Cleaned { text: MARK.chars().take(scalars_max).collect(), touches }
}

/// The part of `text` that is looked at. A word that the cut would split goes as a whole: half a token is told
/// by no rule.
fn cut_bytes(text: &str) -> &str {
    const WORD_BYTES_MAX: usize = 4096;
    if text.len() <= TEXT_BYTES_MAX {
        return text;
    }
    let cut = text.get(..text.floor_char_boundary(TEXT_BYTES_MAX)).unwrap_or_default();
    let whole = cut.trim_end_matches(|c: char| c.is_ascii_graphic());
    if cut.len() - whole.len() <= WORD_BYTES_MAX { whole } else { cut }
}

/// Takes out what is harmful and brings the rest into its normal form, until both agree: a joiner that
/// goes can bring marks together, and marks in another order can take the meaning from a joiner.
fn settle(text: &mut Cow<'_, str>, strict: bool, touches: &mut Vec<Touch>) {
    if text.bytes().all(|b| matches!(b, b' '..=b'~')) {
        return;
    }
    apply(text, |t| escape::strip(t, touches));
    apply(text, |t| strip_characters(t, touches));
    apply(text, |t| limit_marks(t, touches));
    let mut passes = 0;
    loop {
        let strict = strict || passes >= PASSES_LENIENT_MAX;
        passes += 1;
        apply(text, |t| normalize(t, touches));
        let is_cut = apply(text, |t| limit_marks(t, touches));
        let is_stripped = apply(text, |t| strip_meaningless(t, strict, touches));
        if !is_cut && !is_stripped {
            return;
        }
    }
}

/// Whether `step` changed `text`.
fn apply(text: &mut Cow<'_, str>, step: impl FnOnce(&str) -> Option<String>) -> bool {
    let changed = step(text);
    let is_changed = changed.is_some();
    if let Some(changed) = changed {
        *text = Cow::Owned(changed);
    }
    is_changed
}

/// Takes out or replaces characters that are harmful wherever they stand.
fn strip_characters(text: &str, touches: &mut Vec<Touch>) -> Option<String> {
    if text.chars().all(|c| matches!(class(c), Class::Ordinary | Class::Contextual)) {
        return None;
    }
    let mut out = String::with_capacity(text.len());
    let mut chars = text.chars().peekable();
    while let Some(c) = chars.next() {
        let (instead, kind) = match class(c) {
            Class::Ordinary | Class::Contextual => {
                out.push(c);
                continue;
            }
            Class::Separator if c == '\r' && chars.peek() == Some(&'\n') => (None, ChangeKind::Control),
            Class::Separator => (Some(' '), ChangeKind::Control),
            Class::Control => (None, ChangeKind::Control),
            Class::Bidi => (None, ChangeKind::Bidi),
            Class::Invisible => (None, ChangeKind::Invisible),
            Class::Noncharacter => (None, ChangeKind::InvalidScalar),
            Class::Private => (Some(char::REPLACEMENT_CHARACTER), ChangeKind::InvalidScalar),
        };
        out.extend(instead);
        note(touches, (kind, ""));
    }
    Some(out)
}

/// Notes each kind of change once.
pub(crate) fn note(touches: &mut Vec<Touch>, touch: Touch) {
    if !touches.contains(&touch) {
        touches.push(touch);
    }
}

fn normalize(text: &str, touches: &mut Vec<Touch>) -> Option<String> {
    let normal = nfc::normalize(text)?;
    note(touches, (ChangeKind::Normalized, ""));
    Some(normal)
}

/// Takes join controls, variation selectors and tags out where they mean nothing; with `strict`
/// everywhere.
fn strip_meaningless(text: &str, strict: bool, touches: &mut Vec<Touch>) -> Option<String> {
    if !text.chars().any(|c| class(c) == Class::Contextual) {
        return None;
    }
    let chars: Vec<char> = text.chars().collect();
    let mut kept = Vec::with_capacity(chars.len());
    let mut rest = chars.as_slice();
    while let Some((&c, after)) = rest.split_first() {
        let len = match class(c) {
            Class::Contextual if strict => 0,
            Class::Contextual => meaningful_len(&kept, rest),
            _ => 1,
        };
        let (keep, left) = rest.split_at_checked(len).unwrap_or((&[], after));
        kept.extend_from_slice(keep);
        rest = if len == 0 { after } else { left };
    }
    if kept.len() == chars.len() {
        return None;
    }
    note(touches, (ChangeKind::Invisible, ""));
    Some(kept.into_iter().collect())
}

/// Cuts piles of marks to the [`MARKS_MAX`] that no script needs more of (UAX #15, Stream-Safe Text):
/// a longer pile is there to cover the lines above, and to make sorting it slow.
fn limit_marks(text: &str, touches: &mut Vec<Touch>) -> Option<String> {
    let fits = |pile: &mut usize, c| {
        *pile = if is_combining_mark(c) { *pile + 1 } else { 0 };
        *pile <= MARKS_MAX
    };
    let mut pile = 0;
    if text.chars().all(|c| fits(&mut pile, c)) {
        return None;
    }
    note(touches, (ChangeKind::Truncated, ""));
    pile = 0;
    Some(text.chars().filter(|&c| fits(&mut pile, c)).collect())
}

/// Cuts to `scalars_max` scalars on a grapheme boundary; inside the first grapheme where that alone
/// is too long, so that a pile of marks cannot make a name vanish.
fn truncate(text: &str, scalars_max: usize, touches: &mut Vec<Touch>) -> Option<String> {
    if text.len() <= scalars_max || text.chars().count() <= scalars_max {
        return None;
    }
    note(touches, (ChangeKind::Truncated, ""));
    let mut scalars = 0;
    let mut bytes = 0;
    for grapheme in text.graphemes(true) {
        scalars += grapheme.chars().count();
        if scalars > scalars_max {
            break;
        }
        bytes += grapheme.len();
    }
    if bytes == 0 {
        return Some(text.chars().take(scalars_max).collect());
    }
    text.get(..bytes).map(str::to_owned)
}

fn trim(text: &str, touches: &mut Vec<Touch>) -> Option<String> {
    let trimmed = text.trim();
    if trimmed.len() == text.len() {
        return None;
    }
    note(touches, (ChangeKind::Trimmed, ""));
    Some(trimmed.to_owned())
}
