//! Writes compact JSON, byte for byte as serde_json would. Reads nothing.

use std::fmt::Write as _;

use crate::json::{Json, Object};

/// Compact JSON text of an object.
pub(crate) fn object(object: &Object) -> String {
    let mut out = String::new();
    put_object(&mut out, object);
    out
}

fn put_object(out: &mut String, object: &Object) {
    let mut members = Members::begin(out);
    for (key, value) in object {
        members.json(key, value);
    }
    members.end();
}

fn put(out: &mut String, value: &Json) {
    match value {
        Json::Null => out.push_str("null"),
        Json::Bool(true) => out.push_str("true"),
        Json::Bool(false) => out.push_str("false"),
        Json::Signed(n) => put_integer(out, *n),
        Json::Unsigned(n) => put_integer(out, *n),
        Json::Float(n) => out.push_str(zmij::Buffer::new().format(*n)),
        Json::Text(text) => put_text(out, text),
        Json::List(list) => {
            out.push('[');
            for (at, item) in list.iter().enumerate() {
                if at > 0 {
                    out.push(',');
                }
                put(out, item);
            }
            out.push(']');
        }
        Json::Object(object) => put_object(out, object),
    }
}

fn put_integer(out: &mut String, n: impl std::fmt::Display) {
    write!(out, "{n}").expect("a string takes everything");
}

fn put_text(out: &mut String, text: &str) {
    out.push('"');
    let mut rest = text;
    while let Some(at) = rest.bytes().position(|b| b < b' ' || b == b'"' || b == b'\\') {
        out.push_str(rest.get(..at).unwrap_or_default());
        put_escape(out, rest.as_bytes().get(at).copied().unwrap_or_default());
        rest = rest.get(at + 1..).unwrap_or_default();
    }
    out.push_str(rest);
    out.push('"');
}

fn put_escape(out: &mut String, byte: u8) {
    match byte {
        b'"' => out.push_str("\\\""),
        b'\\' => out.push_str("\\\\"),
        b'\n' => out.push_str("\\n"),
        b'\r' => out.push_str("\\r"),
        b'\t' => out.push_str("\\t"),
        0x8 => out.push_str("\\b"),
        0xC => out.push_str("\\f"),
        _ => {
            out.push_str("\\u00");
            out.extend(
                [byte >> 4, byte & 0xF].iter().filter_map(|&digit| char::from_digit(digit.into(), 16)),
            );
        }
    }
}

/// An object whose members are written one by one, in the order of the calls.
pub(crate) struct Members<'o> {
    out: &'o mut String,
    is_first: bool,
}

impl<'o> Members<'o> {
    /// Opens the object.
    pub(crate) fn begin(out: &'o mut String) -> Self {
        out.push('{');
        Members { out, is_first: true }
    }

    /// Closes it.
    pub(crate) fn end(self) {
        self.out.push('}');
    }

    fn key(&mut self, key: &str) {
        if !std::mem::take(&mut self.is_first) {
            self.out.push(',');
        }
        put_text(self.out, key);
        self.out.push(':');
    }

    pub(crate) fn text(&mut self, key: &str, text: &str) {
        self.key(key);
        put_text(self.out, text);
    }

    pub(crate) fn number(&mut self, key: &str, number: u64) {
        self.key(key);
        put_integer(self.out, number);
    }

    pub(crate) fn json(&mut self, key: &str, value: &Json) {
        self.key(key);
        put(self.out, value);
    }

    pub(crate) fn members(&mut self, key: &str) -> Members<'_> {
        self.key(key);
        Members::begin(self.out)
    }
}

#[cfg(test)]
mod tests {
    use super::object;
    use crate::json::{Json, read_metadata};
    use crate::redact::Secrets;
    use crate::report::Report;
    use proptest::prelude::*;

    #[track_caller]
    fn check_like_reference(value: &serde_json::Value) {
        let text = value.to_string();
        let Some(Json::Object(ours)) = read_metadata(&text, "", &Secrets::default(), &mut Report::default())
        else {
            panic!("{text}");
        };
        assert_eq!(object(&ours), text);
    }

    proptest! {
        #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

        #[test]
        fn any_value_is_written_like_the_reference(
            text in any::<String>(), float in any::<f64>(), signed in any::<i64>(), unsigned in any::<u64>(), yes in any::<bool>()
        ) {
            let value = serde_json::json!({"a": [text, {text.as_str(): signed}], "b": [unsigned, yes, null, float], "c": {}, "d": []});
            check_like_reference(&value);
        }
    }

    #[test]
    fn every_control_character_is_escaped_like_the_reference() {
        let all: String = ('\0'..='\u{ff}').collect();
        check_like_reference(&serde_json::json!({"a": all}));
    }
}
