//! Derives every property table anew from ICU's data, so that one that has become stale fails.

use icu_properties::props::{
    BinaryProperty, DefaultIgnorableCodePoint, Emoji, EmojiPresentation, ExtendedPictographic,
    GeneralCategory, GeneralCategoryGroup, JoiningType, UnifiedIdeograph, VariationSelector, WhiteSpace,
};
use icu_properties::{CodePointMapData, CodePointSetData};

use crate::unicode::{Class, class, is_combining_mark, within};
use crate::unicode_tables::{
    DEFAULT_IGNORABLE, EMOJI_VARIATION_BASE, JOINS_FOLLOWING, JOINS_PRECEDING, MARK, PICTOGRAPHIC,
    UNIFIED_IDEOGRAPH,
};

const CODE_POINTS: std::ops::RangeInclusive<u32> = 0..=0x10_FFFF;

#[track_caller]
fn check_table(table: &[(u32, u32)], is_in: impl Fn(u32) -> bool) {
    let sorted = table.windows(2).all(|pair| matches!(pair, [(_, last), (first, _)] if last < first));
    assert!(sorted && table.iter().all(|(first, last)| first <= last), "sorted and disjoint");
    let mut expected: Vec<(u32, u32)> = Vec::new();
    for code in CODE_POINTS.filter(|&code| is_in(code)) {
        match expected.last_mut() {
            Some((_, last)) if *last + 1 == code => *last = code,
            _ => expected.push((code, code)),
        }
    }
    let missing: Vec<_> = expected.iter().filter(|range| !table.contains(range)).collect();
    let stale: Vec<_> = table.iter().filter(|range| !expected.contains(range)).collect();
    assert!(missing.is_empty() && stale.is_empty(), "missing {missing:X?}, stale {stale:X?}");
}

fn has<P: BinaryProperty>() -> impl Fn(u32) -> bool {
    let set = CodePointSetData::new::<P>();
    move |code| set.contains32(code)
}

#[test]
fn every_table_is_that_of_the_unicode_character_database() {
    let categories = CodePointMapData::<GeneralCategory>::new();
    let joining = CodePointMapData::<JoiningType>::new();
    let joins = |code, side| joining.get32(code) == JoiningType::DualJoining || joining.get32(code) == side;
    check_table(DEFAULT_IGNORABLE, has::<DefaultIgnorableCodePoint>());
    check_table(UNIFIED_IDEOGRAPH, has::<UnifiedIdeograph>());
    check_table(PICTOGRAPHIC, has::<ExtendedPictographic>());
    check_table(MARK, |code| GeneralCategoryGroup::Mark.contains(categories.get32(code)));
    check_table(JOINS_FOLLOWING, |code| joins(code, JoiningType::LeftJoining));
    check_table(JOINS_PRECEDING, |code| joins(code, JoiningType::RightJoining));
}

#[test]
fn what_can_be_text_and_emoji_has_both_presentations() {
    let (emoji, presentation) = (has::<Emoji>(), has::<EmojiPresentation>());
    for code in CODE_POINTS {
        let is_keycap_base = char::from_u32(code).is_some_and(|c| c.is_ascii());
        let is_base = char::from_u32(code).is_some_and(|c| within(c, EMOJI_VARIATION_BASE));
        assert!(!is_base || emoji(code), "{code:X} is no emoji");
        assert!(is_base || is_keycap_base || !emoji(code) || presentation(code), "{code:X} is missing");
    }
}

#[test]
fn every_character_that_is_ignored_by_default_is_taken_out_or_judged_by_its_neighbours() {
    let (ignorable, selector) = (has::<DefaultIgnorableCodePoint>(), has::<VariationSelector>());
    for c in CODE_POINTS.filter_map(char::from_u32) {
        let class = class(c);
        if ignorable(c.into()) || selector(c.into()) {
            assert!(
                matches!(class, Class::Invisible | Class::Contextual | Class::Bidi),
                "{c:?} is {class:?}"
            );
        } else {
            assert!(!matches!(class, Class::Contextual), "{c:?} is {class:?}");
        }
    }
}

#[test]
fn marks_and_spaces_are_those_of_unicode() {
    let space = has::<WhiteSpace>();
    for c in CODE_POINTS.filter_map(char::from_u32) {
        assert_eq!(is_combining_mark(c), within(c, MARK), "{c:?}");
        assert_eq!(c.is_whitespace(), space(c.into()), "{c:?} is trimmed at the ends");
        let class = unicode_normalization::char::canonical_combining_class(c);
        assert!(class == 0 || is_combining_mark(c), "{c:?}: piles are bounded by marks");
    }
}
