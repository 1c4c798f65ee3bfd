//! Normalization Form C (UAX #15) from the character data of `unicode-normalization`.
//!
//! That crate's own iterator decides at run time between canonical and compatible decomposition, and
//! so brings 60 KB of compatibility tables along that nothing here may ever use: compatibility
//! composition would change what people wrote. A test compares both.

use unicode_normalization::char::{canonical_combining_class, compose, decompose_canonical};
use unicode_normalization::{IsNormalized, is_nfc_quick};

/// `text` in Normalization Form C, or nothing when it is.
pub(crate) fn normalize(text: &str) -> Option<String> {
    if is_nfc_quick(text.chars()) == IsNormalized::Yes {
        return None;
    }
    let mut chars = decomposed(text);
    for run in chars.chunk_by_mut(|a, b| (a.0 == 0) == (b.0 == 0)) {
        if run.first().is_some_and(|&(class, _)| class != 0) {
            order(run);
        }
    }
    let normal: String = composed(&chars).into_iter().collect();
    (normal != text).then_some(normal)
}

/// The canonical ordering algorithm (Unicode, section 3.11, D109): marks by class, those of one class
/// as they stand. Piles of marks are low, and mostly in order.
fn order(run: &mut [(u8, char)]) {
    for end in 1..run.len() {
        for at in (1..=end).rev() {
            match run.get(at - 1..=at) {
                Some([(before, _), (class, _)]) if before > class => run.swap(at - 1, at),
                _ => break,
            }
        }
    }
}

/// Each character of the canonical decomposition with its combining class, not yet in order.
fn decomposed(text: &str) -> Vec<(u8, char)> {
    let mut chars = Vec::with_capacity(text.len());
    for c in text.chars() {
        decompose_canonical(c, |part| chars.push((canonical_combining_class(part), part)));
    }
    chars
}

/// The canonical composition algorithm (Unicode, section 3.11, D117): each character joins the last
/// starter unless one in between blocks it.
fn composed(chars: &[(u8, char)]) -> Vec<char> {
    let mut out: Vec<char> = Vec::with_capacity(chars.len());
    let mut starter: Option<usize> = None;
    let mut last_class = 0;
    for &(class, c) in chars {
        let is_blocked = last_class != 0 && last_class >= class;
        if let Some(base) = starter.and_then(|at| out.get_mut(at)).filter(|_| !is_blocked)
            && let Some(joined) = compose(*base, c)
        {
            *base = joined;
            continue;
        }
        if class == 0 {
            starter = Some(out.len());
        }
        last_class = class;
        out.push(c);
    }
    out
}

#[cfg(test)]
mod tests {
    use super::normalize;
    use proptest::prelude::*;
    use unicode_normalization::UnicodeNormalization;

    fn check_like_reference(text: &str) {
        let expected: String = text.nfc().collect();
        assert_eq!(normalize(text).unwrap_or_else(|| text.to_owned()), expected, "{text:?}");
    }

    #[test]
    fn every_character_between_marks_is_normalized_like_the_reference() {
        // Planes and blocks in which anything decomposes or composes, or has a combining class.
        let ranges = ['\0'..='\u{3100}', '\u{A000}'..='\u{B000}', '\u{F900}'..='\u{FFFF}']
            .into_iter()
            .chain(['\u{10000}'..='\u{12000}', '\u{1D100}'..='\u{1EA00}', '\u{2F800}'..='\u{2FA20}']);
        for c in ranges.flatten() {
            check_like_reference(&format!("a{c}\u{323}\u{301}{c}"));
        }
    }

    proptest! {
        #[test]
        fn any_text_is_normalized_like_the_reference(text in any::<String>()) {
            check_like_reference(&text);
        }

        #[test]
        fn any_pile_of_marks_is_normalized_like_the_reference(
            text in "([aeoAcsகா가\u{1100}-\u{1112}\u{1161}-\u{1175}\u{11A8}-\u{11C2}]|[\u{300}-\u{34E}\u{5B0}-\u{5C7}\u{64B}-\u{655}\u{BBE}\u{BC6}\u{BD7}]){0,40}"
        ) {
            check_like_reference(&text);
        }
    }
}
