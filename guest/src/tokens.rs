//! Tokens that are told by their prefix: what an entry of `token_table` says, and the scanner that
//! goes through that table. Secrets without a telling prefix are for the scanners of `rules`.

use crate::redact::{Finding, looks_random};
pub(crate) use crate::token_table::TOKENS;

/// What the part after the prefix is made of.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Body {
    /// `A-Z a-z 0-9`
    Alnum,
    /// `A-Z 0-9`
    Upper,
    /// `0-9 a-f A-F`
    Hex,
    /// `0-9 a-f A-F -`, as a UUID
    Uuid,
    /// `A-Z a-z 0-9 _ -`
    Word,
    /// The same, and it must look random: the prefix begins ordinary names too.
    Mixed,
    /// `A-Z a-z 0-9 _ - .`
    Dotted,
    /// `A-Z a-z 0-9 + / = _ - .`, as in any base64
    Base64,
}

impl Body {
    fn has(self, b: u8) -> bool {
        match self {
            Body::Alnum => b.is_ascii_alphanumeric(),
            Body::Upper => b.is_ascii_uppercase() || b.is_ascii_digit(),
            Body::Hex => b.is_ascii_hexdigit(),
            Body::Uuid => b.is_ascii_hexdigit() || b == b'-',
            Body::Word | Body::Mixed => b.is_ascii_alphanumeric() || matches!(b, b'_' | b'-'),
            Body::Dotted => b.is_ascii_alphanumeric() || matches!(b, b'_' | b'-' | b'.'),
            Body::Base64 => b.is_ascii_alphanumeric() || matches!(b, b'_' | b'-' | b'.' | b'+' | b'/' | b'='),
        }
    }
}

/// One kind of token.
#[derive(Debug)]
pub(crate) struct Token {
    pub(crate) rule: &'static str,
    pub(crate) prefix: &'static str,
    pub(crate) body: Body,
    /// Fewest characters after the prefix; what is shorter is no token of this kind.
    pub(crate) body_min: u8,
}

/// Buckets of [`INDEX`].
const BUCKETS: usize = 256;
/// Ends a chain of [`INDEX`].
const NO_TOKEN: u16 = u16::MAX;

/// Tokens by the first two bytes of their prefix, so that an ordinary word costs one look: the first
/// one of each bucket, and for each token the next one in its bucket.
struct Index {
    first: [u16; BUCKETS],
    next: [u16; TOKENS.len()],
}

/// Bucket of a word with these first bytes.
const fn bucket(first: u8, second: u8) -> usize {
    (first.wrapping_mul(31) ^ second) as usize
}

#[allow(clippy::indexing_slicing, reason = "evaluated when compiling")]
static INDEX: Index = {
    assert!(TOKENS.len() < NO_TOKEN as usize);
    let mut index = Index { first: [NO_TOKEN; BUCKETS], next: [NO_TOKEN; TOKENS.len()] };
    let mut at = 0;
    while at < TOKENS.len() {
        let prefix = TOKENS[at].prefix.as_bytes();
        let bucket = bucket(prefix[0], prefix[1]);
        index.next[at] = index.first[bucket];
        index.first[bucket] = at as u16;
        at += 1;
    }
    index
};

/// Tokens whose prefix may begin with the bytes of `bucket`.
fn tokens_of(bucket: usize) -> impl Iterator<Item = &'static Token> {
    let first = INDEX.first.get(bucket).copied();
    let chain = std::iter::successors(first, |&at| INDEX.next.get(usize::from(at)).copied());
    // The end of a chain is no place in the table.
    chain.map_while(|at| TOKENS.get(usize::from(at)))
}

/// Points at every token of [`TOKENS`] that begins a word.
pub(crate) fn find(text: &str, found: &mut Vec<Finding>) {
    let bytes = text.as_bytes();
    let mut before = b' ';
    let mut done = 0;
    for (at, &byte) in bytes.iter().enumerate() {
        if at < done {
            before = byte;
            continue;
        }
        let begins_word = !before.is_ascii_alphanumeric();
        before = byte;
        let Some(second) = bytes.get(at + 1).filter(|_| begins_word) else { continue };
        let Some(rest) = bytes.get(at..) else { continue };
        if let Some((rule, len)) = longest(tokens_of(bucket(byte, *second)), rest) {
            done = at + len;
            found.push(Finding { range: at..done, rule });
        }
    }
}

/// The longest of these tokens that `bytes` begin with.
fn longest(tokens: impl Iterator<Item = &'static Token>, bytes: &[u8]) -> Option<(&'static str, usize)> {
    let fitting = tokens.filter_map(|token| {
        let prefix = token.prefix.as_bytes();
        // Compared before the whole: most differ here.
        let rest =
            (prefix.len() == 2 || prefix.get(2) == bytes.get(2)).then(|| bytes.strip_prefix(prefix))??;
        let len = rest.iter().take_while(|&&b| token.body.has(b)).count();
        let is_random =
            || rest.get(..len).and_then(|body| std::str::from_utf8(body).ok()).is_some_and(looks_random);
        // Hexadecimal from its first digit on: the digest of something.
        let is_digest =
            || bytes.iter().take(token.prefix.len() + len).all(|b| matches!(b, b'0'..=b'9' | b'a'..=b'f'));
        let is_token =
            len >= usize::from(token.body_min) && !is_digest() && (token.body != Body::Mixed || is_random());
        is_token.then_some((token.rule, token.prefix.len() + len))
    });
    fitting.max_by_key(|&(_, len)| len)
}
