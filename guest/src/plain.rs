//! The plain reading of a text: what it says to whoever takes full-width, circled and mathematical
//! letters for ordinary ones and sees through marks that are drawn over them. Secrets are looked for in
//! it, so that `ｐａｓｓｗｏｒｄ＝` and a struck-out token are found; what is written stays as it is.
//!
//! Only what reads as ASCII is unfolded (as compatibility normalization, UAX #15, does); letters of
//! other scripts that merely look alike are somebody's language.

use std::borrow::Cow;
use std::ops::Range;

use crate::unicode::is_combining_mark;

/// A text as it reads, and where each of its bytes stands in the text as it is written.
pub(crate) struct Plain<'t> {
    pub(crate) text: Cow<'t, str>,
    /// One place for each byte and one for the end; empty where both texts are the same.
    places: Vec<usize>,
}

impl<'t> Plain<'t> {
    pub(crate) fn of(text: &'t str) -> Self {
        if text.is_ascii() || text.chars().all(|c| reading(c) == Some(c)) {
            return Plain { text: Cow::Borrowed(text), places: Vec::new() };
        }
        let mut plain = String::with_capacity(text.len());
        let mut places = Vec::with_capacity(text.len() + 1);
        for (at, c) in text.char_indices() {
            if let Some(c) = reading(c) {
                plain.push(c);
                places.resize(plain.len(), at);
            }
        }
        places.push(text.len());
        Plain { text: Cow::Owned(plain), places }
    }

    /// The same range in the text as it is written; marks after its last character belong to it.
    pub(crate) fn written(&self, range: &Range<usize>) -> Range<usize> {
        let place = |at: usize| if self.places.is_empty() { Some(at) } else { self.places.get(at).copied() };
        place(range.start).unwrap_or_default()..place(range.end).unwrap_or_default()
    }
}

/// Mathematical letters that are older than the block of the others.
static OLDER: &str = "ℂCℊgℋHℌHℍHℎhℐIℑIℒLℓlℕNℙPℚQℛRℜRℝRℤZℨZℬBℭCℯeℰEℱFℳMℴo";

/// How a character reads; not at all if it is a mark on another one.
fn reading(c: char) -> Option<char> {
    let code = u32::from(c);
    let letter = |first: char, nth: u32| char::from_u32(u32::from(first) + nth);
    match code {
        0..=0x2FF => Some(c),
        0x2102..=0x2134 => {
            let mut pairs = OLDER.chars();
            pairs.by_ref().find(|&older| older == c).map_or(Some(c), |_| pairs.next())
        }
        0x24B6..=0x24CF => letter('A', code - 0x24B6),
        0x24D0..=0x24E9 => letter('a', code - 0x24D0),
        0x2460..=0x2468 => letter('1', code - 0x2460),
        0x24EA => Some('0'),
        0xFE55 => Some(':'),
        0xFE63 => Some('-'),
        0xFE66 => Some('='),
        0xFF01..=0xFF5E => letter('!', code - 0xFF01),
        0x1D400..=0x1D6A3 => match (code - 0x1D400) % 52 {
            nth @ 0..26 => letter('A', nth),
            nth => letter('a', nth - 26),
        },
        0x1D7CE..=0x1D7FF => letter('0', (code - 0x1D7CE) % 10),
        _ => (!is_combining_mark(c)).then_some(c),
    }
}

#[cfg(test)]
mod tests {
    use super::{Plain, reading};
    use unicode_normalization::UnicodeNormalization;

    #[test]
    fn what_reads_as_ascii_is_what_compatibility_normalization_makes_of_it() {
        for c in '\u{2100}'..=char::MAX {
            let Some(read) = reading(c).filter(|&read| read != c) else { continue };
            // The block has holes where a letter is older; nothing is there to be read.
            let is_hole = (0x1D400..=0x1D6A3).contains(&u32::from(c)) && c.nfkc().eq([c]);
            assert!(is_hole || c.nfkc().eq([read]), "{c:?} reads {read:?}");
        }
        for (text, plain) in
            [("ｐａｓｓｗｏｒｄ＝", "password="), ("𝑝𝒶ⓢⓢ：ℎ①", "pass:h1"), ("t\u{336}o\u{301}k", "tok")]
        {
            assert_eq!(Plain::of(text).text, plain);
        }
    }

    #[test]
    fn places_are_those_of_the_text_as_it_is_written() {
        let text = "é ｇｈ\u{301}p: ב";
        let plain = Plain::of(text);
        let at = plain.text.find("ghp").unwrap_or_default();
        assert_eq!(text.get(plain.written(&(at..at + 2))), Some("ｇｈ\u{301}"));
        assert_eq!(plain.written(&(0..plain.text.len())), 0..text.len());
        assert_eq!(Plain::of("日本").written(&(0..3)), 0..3);
    }
}
