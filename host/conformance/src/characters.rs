//! Which characters may be in an answer of a component, and where. One predicate for all who judge: the
//! suite, and by path the oracles of the standard component's own tests. Written down here in other words
//! than in the component; depends on nothing.

/// The first character that may not stand where it does.
pub(crate) fn misplaced(text: &str) -> Option<char> {
    let mut before: Option<char> = None;
    let mut chars = text.chars().peekable();
    while let Some(c) = chars.next() {
        if is_never_allowed(c)
            || (needs_another(c) && !before.is_some_and(|b| follows(b, c, chars.peek().copied())))
        {
            return Some(c);
        }
        before = Some(c);
    }
    None
}

/// Controls, separators of lines and paragraphs, bidirectional controls, default-ignorable characters that
/// mean something nowhere, private use, noncharacters.
fn is_never_allowed(c: char) -> bool {
    let code = u32::from(c);
    c.is_control()
        || matches!(c, '\u{61C}' | '\u{200E}' | '\u{200F}' | '\u{202A}'..='\u{202E}' | '\u{2066}'..='\u{2069}')
        || matches!(c, '\u{AD}' | '\u{34F}' | '\u{115F}' | '\u{1160}' | '\u{17B4}' | '\u{17B5}' | '\u{3164}')
        || matches!(
            c,
            '\u{200B}' | '\u{2028}' | '\u{2029}' | '\u{2060}'..='\u{206F}' | '\u{FEFF}' | '\u{FFA0}'
        )
        || matches!(c, '\u{FFF0}'..='\u{FFFB}' | '\u{1BCA0}'..='\u{1BCA3}' | '\u{1D173}'..='\u{1D17A}')
        || ((0xE0000..=0xE0FFF).contains(&code) && !needs_another(c))
        || matches!(c, '\u{E000}'..='\u{F8FF}' | '\u{F0000}'..='\u{10FFFF}' | '\u{FDD0}'..='\u{FDEF}')
        || code & 0xFFFE == 0xFFFE
}

/// Join controls, variation selectors and tag characters: default-ignorable, and meaningful only after
/// another character.
fn needs_another(c: char) -> bool {
    matches!(c, '\u{200C}' | '\u{200D}' | '\u{180B}'..='\u{180F}' | '\u{FE00}'..='\u{FE0F}'
        | '\u{E0020}'..='\u{E007F}' | '\u{E0100}'..='\u{E01EF}')
}

/// Whether `c` can mean something between these two.
fn follows(before: char, c: char, after: Option<char>) -> bool {
    match c {
        // Between letters that would join, or after a virama: never beside ASCII.
        '\u{200C}' => !before.is_ascii() && after.is_some_and(|after| !after.is_ascii()),
        '\u{200D}' => !before.is_ascii() && before != '\u{200D}',
        // The flags of England, Scotland and Wales.
        '\u{E0020}'..='\u{E007F}' => before == '\u{1F3F4}' || matches!(before, '\u{E0020}'..='\u{E007E}'),
        '\u{FE0F}' if matches!(before, '#' | '*' | '0'..='9') => after == Some('\u{20E3}'),
        // Variants of ideographs: one selector each.
        '\u{E0100}'..='\u{E01EF}' => is_ideograph(before),
        '\u{180B}'..='\u{180F}' => matches!(before, '\u{1800}'..='\u{18AF}') && !needs_another(before),
        _ => !before.is_ascii() && !needs_another(before),
    }
}

fn is_ideograph(c: char) -> bool {
    matches!(c, '\u{3400}'..='\u{9FFF}' | '\u{F900}'..='\u{FAFF}' | '\u{20000}'..='\u{3FFFD}')
}

#[cfg(test)]
mod tests {
    use super::misplaced;

    #[test]
    fn what_is_invisible_everywhere_is_found_wherever_it_stands() {
        let everywhere = "\u{0}\u{1B}\u{85}\u{AD}\u{34F}\u{61C}\u{115F}\u{1160}\u{17B4}\u{17B5}\u{200B}\u{202E}\
            \u{2028}\u{2060}\u{2065}\u{2069}\u{206F}\u{3164}\u{FEFF}\u{FFA0}\u{FFF0}\u{FFF9}\u{1BCA0}\u{1BCA3}\
            \u{1D173}\u{1D17A}\u{E0000}\u{E0001}\u{E0080}\u{E01F0}\u{E0FFF}\u{E000}\u{10FFFD}\u{FDD0}\u{FFFF}";
        for c in everywhere.chars() {
            for text in [format!("a{c}b"), format!("क्{c}ष"), format!("葛{c}"), format!("👩{c}👩")]
            {
                assert_eq!(misplaced(&text), Some(c), "{text:?}");
            }
        }
    }

    #[test]
    fn what_means_something_after_another_character_is_found_elsewhere() {
        for text in [
            "\u{200D}a",
            "a\u{200D}b",
            "a\u{200C}b",
            "م\u{200C}b",
            "👩\u{200D}\u{200D}👩",
            "a\u{FE0F}",
            "1\u{FE0F}",
            "a\u{FE00}",
            "a\u{E0100}",
            "葛\u{E0100}\u{E0101}",
            "é\u{E0100}",
            "x\u{E0041}",
            "👍\u{E0061}",
            "\u{FE0F}",
            "a\u{180B}",
            "ᠠ\u{180B}\u{180C}",
            "😀\u{FE0F}\u{FE0F}",
        ] {
            assert!(misplaced(text).is_some(), "{text:?}");
        }
        for text in [
            "می\u{200C}خواهم",
            "क्\u{200D}ष",
            "👩\u{200D}👩",
            "1\u{FE0F}\u{20E3}",
            "葛\u{E0100}城",
            "ه\u{200D}.",
        ] {
            assert_eq!(misplaced(text), None, "{text:?}");
        }
    }
}
