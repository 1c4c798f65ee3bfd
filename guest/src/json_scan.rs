//! Takes JSON text apart (RFC 8259), one token after the other, and nothing but JSON: no comments, no
//! trailing commas, no byte order mark, no control characters in strings.
//!
//! Knows the grammar only: what a value may be, how deep or how often, is for `json`. Nothing here
//! recurses, so that no nesting can overflow the stack.

/// The text is no JSON.
#[derive(Debug, PartialEq)]
pub(crate) struct NoJson;

/// A string of JSON once its escapes are resolved.
#[derive(Debug, PartialEq)]
pub(crate) enum Text {
    /// The characters.
    Whole(String),
    /// It escapes half a surrogate pair, which is no character.
    HalfSurrogate,
}

/// A place in a JSON text.
pub(crate) struct Scanner<'t> {
    text: &'t str,
    at: usize,
}

impl<'t> Scanner<'t> {
    pub(crate) fn new(text: &'t str) -> Self {
        Scanner { text, at: 0 }
    }

    fn byte(&self) -> Option<u8> {
        self.text.as_bytes().get(self.at).copied()
    }

    /// The next byte that is no white space, without taking it.
    pub(crate) fn peek(&mut self) -> Option<u8> {
        while matches!(self.byte(), Some(b' ' | b'\t' | b'\n' | b'\r')) {
            self.at += 1;
        }
        self.byte()
    }

    /// Takes `wanted` if it comes next, white space before it not counted.
    pub(crate) fn takes(&mut self, wanted: u8) -> bool {
        let is_next = self.peek() == Some(wanted);
        self.at += usize::from(is_next);
        is_next
    }

    /// Takes `wanted`, which must come next.
    pub(crate) fn expect(&mut self, wanted: u8) -> Result<(), NoJson> {
        if self.takes(wanted) { Ok(()) } else { Err(NoJson) }
    }

    /// Nothing but white space is left.
    pub(crate) fn end(&mut self) -> Result<(), NoJson> {
        if self.peek().is_none() { Ok(()) } else { Err(NoJson) }
    }

    /// Takes one of the three names.
    pub(crate) fn literal(&mut self, name: &str) -> Result<(), NoJson> {
        self.peek();
        let is_next = self.text.get(self.at..).is_some_and(|rest| rest.starts_with(name));
        self.at += name.len();
        if is_next { Ok(()) } else { Err(NoJson) }
    }

    /// Takes a number as it is written; the flag says that it is an integer.
    pub(crate) fn number(&mut self) -> Result<(&'t str, bool), NoJson> {
        self.peek();
        let start = self.at;
        self.at += usize::from(self.byte() == Some(b'-'));
        // A leading zero stands alone.
        if self.byte() == Some(b'0') {
            self.at += 1;
        } else {
            self.digits()?;
        }
        let mut is_integer = true;
        if self.byte() == Some(b'.') {
            is_integer = false;
            self.at += 1;
            self.digits()?;
        }
        if matches!(self.byte(), Some(b'e' | b'E')) {
            is_integer = false;
            self.at += 1;
            self.at += usize::from(matches!(self.byte(), Some(b'+' | b'-')));
            self.digits()?;
        }
        self.text.get(start..self.at).map(|number| (number, is_integer)).ok_or(NoJson)
    }

    fn digits(&mut self) -> Result<(), NoJson> {
        let start = self.at;
        while self.byte().is_some_and(|b| b.is_ascii_digit()) {
            self.at += 1;
        }
        if self.at > start { Ok(()) } else { Err(NoJson) }
    }

    /// Takes a string.
    pub(crate) fn string(&mut self) -> Result<Text, NoJson> {
        self.expect(b'"')?;
        let mut out = String::new();
        let mut is_whole = true;
        loop {
            out.push_str(self.unescaped());
            match self.next()? {
                b'"' if is_whole => return Ok(Text::Whole(out)),
                b'"' => return Ok(Text::HalfSurrogate),
                b'\\' => match self.escape()? {
                    Some(c) => out.push(c),
                    None => is_whole = false,
                },
                _ => return Err(NoJson),
            }
        }
    }

    /// Characters up to a quote, a backslash or a control.
    fn unescaped(&mut self) -> &'t str {
        let rest = self.text.get(self.at..).unwrap_or_default();
        let len = rest.bytes().position(|b| b < b' ' || b == b'"' || b == b'\\').unwrap_or(rest.len());
        self.at += len;
        rest.get(..len).unwrap_or_default()
    }

    fn next(&mut self) -> Result<u8, NoJson> {
        let byte = self.byte().ok_or(NoJson)?;
        self.at += 1;
        Ok(byte)
    }

    /// The character of an escape; nothing for half a surrogate pair.
    fn escape(&mut self) -> Result<Option<char>, NoJson> {
        let c = match self.next()? {
            c @ (b'"' | b'\\' | b'/') => char::from(c),
            b'b' => '\u{8}',
            b'f' => '\u{C}',
            b'n' => '\n',
            b'r' => '\r',
            b't' => '\t',
            b'u' => return self.unicode_escape(),
            _ => return Err(NoJson),
        };
        Ok(Some(c))
    }

    fn unicode_escape(&mut self) -> Result<Option<char>, NoJson> {
        let first = self.hex()?;
        let is_high = (0xD800..0xDC00).contains(&first);
        if !is_high || self.text.as_bytes().get(self.at..self.at + 2) != Some(b"\\u") {
            return Ok(char::from_u32(first));
        }
        let after_first = self.at;
        self.at += 2;
        let second = self.hex()?;
        if !(0xDC00..0xE000).contains(&second) {
            // It may be the first half of another pair.
            self.at = after_first;
            return Ok(None);
        }
        Ok(char::from_u32(0x1_0000 + ((first - 0xD800) << 10) + (second - 0xDC00)))
    }

    fn hex(&mut self) -> Result<u32, NoJson> {
        let mut code = 0;
        for _ in 0..4 {
            let digit = char::from(self.next()?).to_digit(16).ok_or(NoJson)?;
            code = code << 4 | digit;
        }
        Ok(code)
    }

    /// Takes a value of any kind and depth and forgets it.
    pub(crate) fn skip_value(&mut self) -> Result<(), NoJson> {
        let mut open = Vec::new();
        loop {
            match self.peek().ok_or(NoJson)? {
                bracket @ (b'{' | b'[') => {
                    self.at += 1;
                    // ASCII has both closing brackets two behind the opening ones.
                    if !self.takes(bracket + 2) {
                        open.push(bracket);
                        if bracket == b'{' {
                            self.key()?;
                        }
                        continue;
                    }
                }
                b'"' => drop(self.string()?),
                b'n' => self.literal("null")?,
                b't' => self.literal("true")?,
                b'f' => self.literal("false")?,
                _ => drop(self.number()?),
            }
            if !self.closes(&mut open)? {
                return Ok(());
            }
        }
    }

    /// Takes a key and its colon.
    pub(crate) fn key(&mut self) -> Result<Text, NoJson> {
        let key = self.string()?;
        self.expect(b':')?;
        Ok(key)
    }

    /// After a value: takes brackets that close, and then a comma. Nothing more comes if it is false.
    fn closes(&mut self, open: &mut Vec<u8>) -> Result<bool, NoJson> {
        while let Some(&bracket) = open.last() {
            if self.takes(b',') {
                if bracket == b'{' {
                    self.key()?;
                }
                return Ok(true);
            }
            self.expect(bracket + 2)?;
            open.pop();
        }
        Ok(false)
    }
}

#[cfg(test)]
mod tests {
    use super::{NoJson, Scanner, Text};
    use proptest::prelude::*;

    fn is_json(text: &str) -> bool {
        let mut scanner = Scanner::new(text);
        scanner.skip_value().and_then(|()| scanner.end()).is_ok()
    }

    /// serde_json counts nesting and refuses numbers that no f64 holds: as raw text it does neither.
    #[track_caller]
    fn check_like_reference(text: &str) {
        let reference = serde_json::from_str::<&serde_json::value::RawValue>(text).is_ok();
        assert_eq!(is_json(text), reference, "{text:?}");
        if text.starts_with('"') && reference {
            let ours = Scanner::new(text).string();
            let expected = serde_json::from_str(text).map_or(Text::HalfSurrogate, Text::Whole);
            assert_eq!(ours, Ok(expected), "{text:?}");
        }
    }

    #[test]
    fn grammar_is_that_of_the_reference() {
        for text in [
            "",
            " ",
            "{}",
            "[]",
            "{]",
            "[}",
            "[1,]",
            "{\"a\":1,}",
            "{\"a\"}",
            "{1:2}",
            "{,}",
            "[,]",
            "[1 2]",
            "nul",
            "nulll",
            "true false",
            "-",
            "-0",
            "01",
            "1.",
            ".5",
            "1e",
            "1e+",
            "1e+5",
            "-1.5E-3",
            "+1",
            "0x1",
            "NaN",
            "Infinity",
            "\"",
            "\"\\\"",
            "\"\\x\"",
            "\"\\u12\"",
            "\"\\u123g\"",
            "\"\\ud800\"",
            "\"\\ud800\\u0041\"",
            "\"\\ud800\\ud800\\udc00\"",
            "\"\\ud83d\\ude00\"",
            "\"\\udc00\"",
            "\"\t\"",
            "\"\u{7f}\"",
            "'a'",
            "[[[]]]",
            "[[[]]",
            "\u{feff}{}",
            "{\"a\":[{\"b\":null}],\"c\":\"\\/\\b\\f\\n\\r\\t\"}",
            "\u{a0}1",
            "1\u{c}",
            "[1]x",
        ] {
            check_like_reference(text);
        }
    }

    #[test]
    fn a_million_brackets_do_not_overflow_the_stack() {
        let deep = 1_000_000;
        assert!(is_json(&format!("{}{}", "[".repeat(deep), "]".repeat(deep))));
        assert_eq!(Scanner::new(&"[".repeat(deep)).skip_value(), Err(NoJson));
    }

    proptest! {
        #![proptest_config(ProptestConfig { failure_persistence: None, cases: 4096, ..ProptestConfig::default() })]

        #[test]
        fn any_text_of_json_characters_is_judged_like_the_reference(
            text in "[\\[\\]{},:\"\\\\ \n0-9eE.+a-fnrltsu\\-\u{1}é]{0,24}"
        ) {
            check_like_reference(&text);
        }

        #[test]
        fn any_string_is_read_like_the_reference(text in "\"([a-zé\u{1F600}]|\\\\(u[dD][89a-fA-F][0-9a-f]{2}|u[0-9a-f]{4}|[\"\\\\/bfnrtux])){0,12}\"") {
            check_like_reference(&text);
        }

        #[test]
        fn any_number_is_read_like_the_reference(text in "-?[0-9]{0,3}(\\.[0-9]{0,2})?([eE][+-]?[0-9]{0,2})?") {
            check_like_reference(&text);
        }
    }
}
