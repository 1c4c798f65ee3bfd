//! Which characters are harmful, which are invisible, and where an invisible one has a meaning.
//!
//! Facts about single characters and their neighbours (UAX #31, UTS #51, UTS #37). Rewrites no text:
//! that is `sanitize`. Unassigned characters pass unless they are default-ignorable: they draw a box
//! at worst, and tomorrow they are somebody's script. Private use characters become U+FFFD, since
//! what they show depends on a font; noncharacters mean nothing to anybody and go.

use crate::unicode_tables::{
    DEFAULT_IGNORABLE, EMOJI_VARIATION_BASE, JOINS_FOLLOWING, JOINS_PRECEDING, MARK, PICTOGRAPHIC,
    UNIFIED_IDEOGRAPH,
};
use unicode_normalization::char::canonical_combining_class;

/// What the sanitizer does with a character.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Class {
    /// Stays.
    Ordinary,
    /// A control that separates words or lines: becomes a space.
    Separator,
    /// A control that goes.
    Control,
    /// A bidirectional control that goes.
    Bidi,
    /// An invisible character that goes.
    Invisible,
    /// A noncharacter that goes.
    Noncharacter,
    /// A private use character: becomes U+FFFD.
    Private,
    /// An invisible character that stays where it means something.
    Contextual,
}

const ZWNJ: char = '\u{200C}';
const ZWJ: char = '\u{200D}';
const KEYCAP: char = '\u{20E3}';
const BLACK_FLAG: char = '\u{1F3F4}';
/// Marks on one letter: no script piles up more (UAX #15, Stream-Safe Text).
pub(crate) const MARKS_MAX: usize = 30;
/// An emoji may have a modifier and a presentation selector.
const EMOJI_PARTS_MAX: usize = 3;
/// Selectors of ideographic variants: the database (UTS #37) uses U+E0100 to U+E011F, and there is room for
/// half as many more. All 240 would be a channel of a byte for each ideograph.
const LAST_VARIANT: char = '\u{E012F}';
/// Canonical combining class of a virama (Unicode, section 4.3).
const VIRAMA_CLASS: u8 = 9;

/// The subdivision flags recommended for interchange (UTS #51, ED-14a): England, Scotland, Wales.
/// Only these, since any longer list is a channel for hidden text.
static FLAG_TAGS: [&str; 3] = [
    "\u{E0067}\u{E0062}\u{E0065}\u{E006E}\u{E0067}\u{E007F}",
    "\u{E0067}\u{E0062}\u{E0073}\u{E0063}\u{E0074}\u{E007F}",
    "\u{E0067}\u{E0062}\u{E0077}\u{E006C}\u{E0073}\u{E007F}",
];

/// Whether a table of `unicode_tables` holds `c`.
pub(crate) fn within(c: char, table: &[(u32, u32)]) -> bool {
    let c = u32::from(c);
    let at = table.partition_point(|&(_, last)| last < c);
    table.get(at).is_some_and(|&(first, _)| first <= c)
}

/// Class of one character.
pub(crate) fn class(c: char) -> Class {
    match c {
        ' '..='~' => Class::Ordinary,
        '\t'..='\r' | '\u{85}' | '\u{2028}' | '\u{2029}' => Class::Separator,
        '\0'..='\u{1F}' | '\u{7F}'..='\u{9F}' => Class::Control,
        '\u{A0}'..='\u{2FF}' if c != '\u{AD}' => Class::Ordinary,
        '\u{61C}' | '\u{200E}' | '\u{200F}' | '\u{202A}'..='\u{202E}' | '\u{2066}'..='\u{2069}' => {
            Class::Bidi
        }
        ZWNJ | ZWJ | '\u{FE00}'..='\u{FE0F}' | '\u{E0100}'..='\u{E01EF}' => Class::Contextual,
        '\u{180B}'..='\u{180F}' | '\u{E0020}'..='\u{E007F}' => Class::Contextual,
        // Interlinear annotation: invisible, and meaningless outside of its own protocol.
        '\u{FFF9}'..='\u{FFFB}' => Class::Invisible,
        '\u{E000}'..='\u{F8FF}' => Class::Private,
        _ if is_noncharacter(c) => Class::Noncharacter,
        '\u{F0000}'..='\u{10FFFF}' => Class::Private,
        _ if within(c, DEFAULT_IGNORABLE) => Class::Invisible,
        _ => Class::Ordinary,
    }
}

fn is_noncharacter(c: char) -> bool {
    let c = u32::from(c);
    (0xFDD0..=0xFDEF).contains(&c) || c & 0xFFFE == 0xFFFE
}

/// How many characters from the start of `after` have a meaning where they stand: 0 when the first,
/// which is of [`Class::Contextual`], has none. `before` is what was kept so far.
pub(crate) fn meaningful_len(before: &[char], after: &[char]) -> usize {
    let Some((&c, rest)) = after.split_first() else { return 0 };
    let next = rest.first().copied();
    let means = match c {
        ZWNJ => breaks_cursive_joining(before, rest) || (follows_virama(before) && starts_with_letter(rest)),
        ZWJ => {
            joins_emoji(before, next)
                || (follows_virama(before) && !next.is_some_and(is_combining_mark))
                || precedes_virama(before, rest)
                || ends_cursive_word(before, next)
        }
        '\u{E0020}'..='\u{E007F}' => return flag_tags_len(before, after),
        _ => selects_variation(before.last().copied(), c, next),
    };
    usize::from(means)
}

/// UAX #31, A1: `/$LJ $T* ZWNJ $T* $RJ/`. Transparent characters are the marks.
fn breaks_cursive_joining(before: &[char], rest: &[char]) -> bool {
    let left = before.iter().rev().take(MARKS_MAX).find(|&&c| !is_combining_mark(c));
    let right = rest.iter().take(MARKS_MAX).find(|&&c| !is_combining_mark(c));
    left.is_some_and(|&c| within(c, JOINS_FOLLOWING)) && right.is_some_and(|&c| within(c, JOINS_PRECEDING))
}

/// UAX #31, A2 and B, the part before the join control: `$L $M* $V $M1*`.
fn follows_virama(before: &[char]) -> bool {
    let mut marks = before.iter().rev().take(MARKS_MAX).skip_while(|&&c| {
        let class = canonical_combining_class(c);
        class != 0 && class != VIRAMA_CLASS
    });
    marks.next().is_some_and(|&c| canonical_combining_class(c) == VIRAMA_CLASS)
        && marks.find(|&&c| !is_combining_mark(c)).is_some_and(|&c| is_letter(c))
}

/// UAX #31, A2, the part after the join control: `$M1* $L`. No letter of ASCII is joined with a virama.
fn starts_with_letter(rest: &[char]) -> bool {
    let next = rest.iter().take(MARKS_MAX).find(|&&c| canonical_combining_class(c) == 0);
    next.is_some_and(|&c| is_letter(c) && !c.is_ascii())
}

/// Beyond UAX #31: a ZWJ between a letter and its virama is spelling in Bengali (ya-phalaa after ra),
/// Kannada (ra without repha) and Sinhala (touching letters); Unicode, sections 12.2, 12.8 and 13.2.
fn precedes_virama(before: &[char], rest: &[char]) -> bool {
    let &[virama, letter, ..] = rest else { return false };
    canonical_combining_class(virama) == VIRAMA_CLASS
        && is_letter(letter)
        && before.last().is_some_and(|&c| is_letter(c) && !c.is_ascii())
}

/// Beyond UAX #31: a ZWJ behind the last letter of an Arabic word keeps it in its joining form, as Persian
/// abbreviations such as the one for the era are written (Unicode, section 9.2).
fn ends_cursive_word(before: &[char], next: Option<char>) -> bool {
    let is_arabic = |&c: &char| matches!(c, '\u{620}'..='\u{6FF}') && within(c, JOINS_FOLLOWING);
    before.last().is_some_and(is_arabic)
        && !next.is_some_and(|c| c.is_alphanumeric() || is_combining_mark(c) || class(c) == Class::Contextual)
}

/// Whether `c` is a mark that is drawn on, around or beside the letter before it.
pub(crate) fn is_combining_mark(c: char) -> bool {
    // Before the first, and Han, Yi and Hangul: none in the blocks that ordinary text is made of.
    !matches!(c, '\0'..='\u{2FF}' | '\u{3100}'..='\u{A66E}' | '\u{AC00}'..='\u{D7FF}') && within(c, MARK)
}

fn is_letter(c: char) -> bool {
    c.is_alphabetic() && !is_combining_mark(c)
}

/// UTS #51, ED-16: a ZWJ joins emoji, each with its modifier or presentation selector.
fn joins_emoji(before: &[char], next: Option<char>) -> bool {
    let emoji = before
        .iter()
        .rev()
        .take(EMOJI_PARTS_MAX)
        .find(|&&c| !matches!(c, '\u{FE0F}' | '\u{1F3FB}'..='\u{1F3FF}'));
    emoji.is_some_and(|&c| within(c, PICTOGRAPHIC)) && next.is_some_and(|c| within(c, PICTOGRAPHIC))
}

/// Whether `selector` is one of the variation sequences that have a meaning after `base`.
fn selects_variation(base: Option<char>, selector: char, next: Option<char>) -> bool {
    let Some(base) = base else { return false };
    match (selector, base) {
        ('\u{FE0F}', '#' | '*' | '0'..='9') => next == Some(KEYCAP),
        ('\u{FE0E}' | '\u{FE0F}', _) => within(base, EMOJI_VARIATION_BASE),
        ('\u{FE00}'..='\u{FE02}' | '\u{E0100}'..=LAST_VARIANT, _) if within(base, UNIFIED_IDEOGRAPH) => true,
        // Dotted forms of Khamti and Aiton; Phags-pa (StandardizedVariants.txt).
        ('\u{FE00}', '\u{1000}'..='\u{1022}' | '\u{1075}' | '\u{1078}' | '\u{107A}' | '\u{1080}') => true,
        ('\u{FE00}', '\u{A856}' | '\u{A85C}' | '\u{A85E}'..='\u{A860}' | '\u{A868}') => true,
        (
            '\u{FE00}',
            '\u{AA60}'..='\u{AA66}' | '\u{AA6B}'..='\u{AA6F}' | '\u{AA71}' | '\u{AA72}' | '\u{AA7A}',
        ) => true,
        // Mongolian free variation selectors and its vowel separator (Unicode, section 13.5).
        ('\u{180B}'..='\u{180D}' | '\u{180F}', _) => is_mongolian(base),
        ('\u{180E}', _) => is_mongolian(base) && matches!(next, Some('\u{1820}' | '\u{1821}')),
        _ => false,
    }
}

fn is_mongolian(c: char) -> bool {
    matches!(c, '\u{1807}' | '\u{180A}' | '\u{1820}'..='\u{1878}' | '\u{1880}'..='\u{18AA}')
}

fn flag_tags_len(before: &[char], after: &[char]) -> usize {
    if before.last() != Some(&BLACK_FLAG) {
        return 0;
    }
    let tags = FLAG_TAGS.iter().find(|tags| {
        after.len() >= tags.chars().count() && tags.chars().zip(after).all(|(tag, &c)| tag == c)
    });
    tags.map_or(0, |tags| tags.chars().count())
}
