//! Looks for a text in a text. One place in the component's code for it: what `str` offers is a machine
//! of a kilobyte that would be built into every function that looks for something.

/// Whether `text` has `wanted` in it.
#[inline(never)]
pub(crate) fn has(text: &str, wanted: &str) -> bool {
    find(text, wanted).is_some()
}

/// Where `wanted` stands first in `text`: by its rarest byte, which is looked for several at a time.
/// `str::find` would look at each byte of the text several times over.
#[inline(never)]
pub(crate) fn find(text: &str, wanted: &str) -> Option<usize> {
    let rarity = |&(_, byte): &(usize, u8)| match byte {
        b'a'..=b'z' | b' ' => 2,
        b'A'..=b'Z' | b'0'..=b'9' | b'-' | b'.' | b'/' | b':' => 1,
        _ => u8::from(!byte.is_ascii()) * 3,
    };
    let (offset, rare) = wanted.bytes().enumerate().min_by_key(rarity)?;
    let mut from = offset;
    loop {
        let at = from + text.as_bytes().get(from..).and_then(|rest| position(rest, rare))?;
        let start = at - offset;
        if text.as_bytes().get(start..).is_some_and(|rest| rest.starts_with(wanted.as_bytes())) {
            return Some(start);
        }
        from = at + 1;
    }
}

/// Where a byte stands first: eight at a time, one by one only where it is among them.
fn position(bytes: &[u8], wanted: u8) -> Option<usize> {
    const WORD: usize = 8;
    let pattern = u64::from_ne_bytes([wanted; WORD]);
    let (words, _) = bytes.as_chunks::<WORD>();
    // A byte is zero where the difference borrows from it, and only there is its highest bit set anew.
    let has_zero = |x: u64| x.wrapping_sub(0x0101_0101_0101_0101) & !x & 0x8080_8080_8080_8080 != 0;
    let skipped =
        words.iter().take_while(|word| !has_zero(u64::from_ne_bytes(**word) ^ pattern)).count() * WORD;
    let rest = bytes.get(skipped..)?;
    rest.iter().position(|&byte| byte == wanted).map(|at| skipped + at)
}

/// The parts of `text` between separators; all of it where the separator is empty.
pub(crate) fn split<'t>(text: &'t str, separator: &'t str) -> impl Iterator<Item = &'t str> {
    let mut rest = Some(text);
    std::iter::from_fn(move || {
        let text = rest?;
        let at = find(text, separator);
        rest = at.and_then(|at| text.get(at + separator.len()..));
        text.get(..at.unwrap_or(text.len()))
    })
}

/// Whether `value` and one of the pieces between the bars of `list` are as `are` says. A list of texts would have
/// eight bytes more for each of them in the component.
#[inline(never)]
pub(crate) fn any_piece(list: &str, value: &[u8], are: fn(&[u8], &[u8]) -> bool) -> bool {
    let mut rest = list.as_bytes();
    loop {
        let len = rest.iter().position(|&b| b == b'|').unwrap_or(rest.len());
        let (piece, after) = rest.split_at(len);
        if are(value, piece) {
            return true;
        }
        let Some(next) = after.get(1..) else { return false };
        rest = next;
    }
}

/// Everywhere that `wanted` stands in `text`; one that overlaps the one before does not count.
pub(crate) fn places<'t>(text: &'t str, wanted: &'t str) -> impl Iterator<Item = usize> {
    let mut from = 0;
    std::iter::from_fn(move || {
        let at = from + find(text.get(from..)?, wanted)?;
        from = at + wanted.len().max(1);
        Some(at)
    })
}

#[cfg(test)]
mod tests {
    use super::{find, places};
    use proptest::prelude::*;

    proptest! {
        #![proptest_config(ProptestConfig { failure_persistence: None, cases: 2048, ..ProptestConfig::default() })]

        #[test]
        fn everything_is_found_where_the_reference_finds_it(
            text in "[ab: éп\u{336}-]{0,40}", wanted in "[ab: -]{1,3}|[ab-]é?|пé?"
        ) {
            prop_assert_eq!(find(&text, &wanted), text.find(&wanted));
            let all: Vec<usize> = places(&text, &wanted).collect();
            prop_assert_eq!(all, text.match_indices(&wanted).map(|(at, _)| at).collect::<Vec<_>>());
        }
    }
}
