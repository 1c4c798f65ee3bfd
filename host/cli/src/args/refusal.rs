//! What is said of a command line that cannot be read: the option and its rule, and no value, which may be a
//! secret that slipped into the wrong place. Names that nobody knows are told: they are typing mistakes.

use std::error::Error as _;
use std::ffi::OsString;

use clap::error::{ContextKind, ContextValue, ErrorKind};

/// The error without the value that was typed.
pub(super) fn without_value(error: clap::Error) -> clap::Error {
    let said = match error.kind() {
        ErrorKind::ValueValidation | ErrorKind::InvalidValue => invalid_value(&error),
        ErrorKind::TooManyValues | ErrorKind::WrongNumberOfValues => {
            text(&error, ContextKind::InvalidArg).map(|option| format!("'{option}' takes no such value"))
        }
        _ => None,
    };
    match said {
        Some(said) => clap::Error::raw(error.kind(), said + "\n\nFor more information, try '--help'.\n"),
        None => error,
    }
}

fn text(error: &clap::Error, kind: ContextKind) -> Option<&str> {
    match error.get(kind)? {
        ContextValue::String(text) => Some(text),
        _ => None,
    }
}

/// Nothing where there was no value: clap says then that one is missing.
fn invalid_value(error: &clap::Error) -> Option<String> {
    let value = text(error, ContextKind::InvalidValue).filter(|value| !value.is_empty())?;
    let option = text(error, ContextKind::InvalidArg)?;
    let rule = match (error.source(), error.get(ContextKind::ValidValue)) {
        (Some(rule), _) => {
            let rule = rule.to_string();
            // clap's own: `7 is not in 1..=5`.
            rule.strip_prefix(value).map_or(rule.clone(), |rest| format!("it{rest}"))
        }
        (None, Some(ContextValue::Strings(known))) => format!("must be one of {}", known.join(", ")),
        (None, _) => "must be something else; --help tells what".to_owned(),
    };
    Some(format!("invalid value for '{option}': {rule}"))
}

/// `--metadata` as it was typed: all of it, or the places where something is wrong.
pub(super) fn pairs(typed: &[OsString]) -> Result<Vec<(String, String)>, String> {
    let (mut pairs, mut wrong) = (Vec::new(), Vec::new());
    for (at, text) in typed.iter().enumerate() {
        match text.to_str().ok_or("must be UTF-8 text").and_then(key_value) {
            Ok(pair) => pairs.push(pair),
            Err(rule) => wrong.push(format!("--metadata, the {} one: {rule}", ordinal(at))),
        }
    }
    if wrong.is_empty() { Ok(pairs) } else { Err(wrong.join("; ")) }
}

fn key_value(text: &str) -> Result<(String, String), &'static str> {
    match text.split_once('=') {
        Some((key, value)) if !key.is_empty() => Ok((key.to_owned(), value.to_owned())),
        _ => Err("must be KEY=VALUE with a key that is not empty"),
    }
}

/// Of a place that is counted from 0.
fn ordinal(at: usize) -> String {
    let words =
        ["first", "second", "third", "fourth", "fifth", "sixth", "seventh", "eighth", "ninth", "tenth"];
    words.get(at).map_or_else(|| format!("{}th", at + 1), |word| (*word).to_owned())
}

#[cfg(test)]
mod tests {
    use super::{key_value, ordinal, pairs};

    #[test]
    fn metadata_is_a_key_and_a_value_which_may_hold_an_equals_sign() {
        assert_eq!(key_value("a=b=c"), Ok(("a".to_owned(), "b=c".to_owned())));
        assert_eq!(key_value("a="), Ok(("a".to_owned(), String::new())));
        assert!(key_value("a").is_err() && key_value("=b").is_err());
    }

    #[test]
    fn all_metadata_that_is_wrong_is_told_by_its_place_and_never_repeated() {
        let bytes = std::os::unix::ffi::OsStringExt::from_vec(b"hunter2x\xff=a".to_vec());
        let typed = ["a=b".into(), "password:hunter2x".into(), bytes, "=hunter2x".into()];
        let told = pairs(&typed).err().unwrap_or_default();
        for expected in
            ["the second one: must be KEY=VALUE", "the third one: must be UTF-8", "the fourth one"]
        {
            assert!(told.contains(expected), "{told}");
        }
        assert!(
            !told.contains("hunter2x") && !told.contains("password") && !told.contains("first"),
            "{told}"
        );
    }

    #[test]
    fn places_are_counted_in_words_and_then_in_numbers() {
        assert_eq!([0, 9, 10, 99].map(ordinal), ["first", "tenth", "11th", "100th"]);
    }
}
