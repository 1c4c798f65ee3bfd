//! Configuration by environment variables: `SHELLTRACK_TABLE__KEY`, one pair of underscores between
//! the table and the key. Variables without such a pair, as `SHELLTRACK_SESSION` or `SHELLTRACK_LOG`,
//! are not configuration. Knows no key: what is allowed is decided where the tables are read.

use std::ffi::OsString;

use toml::{Table, Value};

use crate::complaint::{is_unknown_name, rule};
use crate::config::Layer;
use crate::failure::Failure;

const PREFIX: &str = "SHELLTRACK_";

/// The table in which an unknown key is no mere mistake: what was to be hidden could be shown.
const FAIL_CLOSED: &str = "redaction";

/// What the variables say, as a configuration file would; and a line about each one that nobody knows.
pub(crate) fn read(
    variables: impl Iterator<Item = (OsString, OsString)>,
) -> Result<(Layer, Vec<String>), Failure> {
    let mut layer = Table::new();
    let mut unknown = Vec::new();
    for (name, value) in variables {
        let Some(name) = name.to_str() else { continue };
        let Some((table, key)) = name.strip_prefix(PREFIX).and_then(|rest| rest.split_once("__")) else {
            continue;
        };
        // Who empties a variable takes back what it said.
        if value.is_empty() {
            continue;
        }
        let Some(value) = value.to_str() else {
            return Err(Failure::Usage(format!("{name}: must be UTF-8")));
        };
        let (table, key) = (table.to_ascii_lowercase().replace('_', "-"), key.to_ascii_lowercase());
        let value = match readable_as(&table, &key, value) {
            Ok(value) => value,
            Err(reason) if is_unknown_name(&reason) && table != FAIL_CLOSED => {
                unknown.push(format!("{name}: {reason}"));
                continue;
            }
            Err(reason) => return Err(Failure::Usage(format!("{name}: {reason}"))),
        };
        if let Value::Table(keys) = layer.entry(table).or_insert_with(|| Value::Table(Table::new())) {
            keys.insert(key, value);
        }
    }
    let layer = layer.try_into();
    let layer = layer.map_err(|error: toml::de::Error| Failure::Usage(rule(&error)))?;
    unknown.sort_unstable();
    Ok((layer, unknown))
}

/// The value in the form the key takes: a text, else what it says as TOML (`true`, `["a", "b"]`),
/// else a list of words.
fn readable_as(table: &str, key: &str, value: &str) -> Result<Value, String> {
    let text = Value::String(value.to_owned());
    let refused = match check(table, key, &text) {
        Ok(()) => return Ok(text),
        Err(reason) => reason,
    };
    let literal = format!("value = {value}").parse::<Table>().ok().and_then(|mut t| t.remove("value"));
    let words = Value::Array(value.split_whitespace().map(|word| Value::String(word.to_owned())).collect());
    literal.into_iter().chain([words]).find(|candidate| check(table, key, candidate).is_ok()).ok_or(refused)
}

fn check(table: &str, key: &str, value: &Value) -> Result<(), String> {
    let keys = Table::from_iter([(key.to_owned(), value.clone())]);
    let layer = Table::from_iter([(table.to_owned(), Value::Table(keys))]);
    layer.try_into::<Layer>().map(drop).map_err(|error| rule(&error))
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "a test may fail by panic")]
mod tests {
    use super::*;

    fn lenient(variables: &[(&str, &str)]) -> Result<(Layer, Vec<String>), Failure> {
        read(variables.iter().map(|(name, value)| (OsString::from(name), OsString::from(value))))
    }

    fn layer(variables: &[(&str, &str)]) -> Result<Layer, Failure> {
        let (layer, unknown) = lenient(variables)?;
        unknown.into_iter().next().map_or(Ok(layer), |unknown| Err(Failure::Usage(unknown)))
    }

    #[test]
    fn what_nobody_knows_is_told_and_the_rest_holds() {
        let variables = [("SHELLTRACK_SESSION__COMPONENT", "a"), ("SHELLTRACK_NEW__KEY", "x")];
        let (layer, unknown) = lenient(&variables).unwrap();
        assert_eq!(layer.session.component.as_deref(), Some("a"));
        assert!(unknown.len() == 1 && unknown.concat().contains("SHELLTRACK_NEW__KEY"), "{unknown:?}");
    }

    #[test]
    fn an_unknown_key_that_was_to_hide_something_is_refused_even_so() {
        assert!(lenient(&[("SHELLTRACK_REDACTION__HIDE_CDW", "true")]).is_err());
    }

    #[test]
    fn numbers_are_read_where_the_key_takes_them() {
        let variables =
            [("SHELLTRACK_BREAKER__OPEN_SECONDS", "0.5"), ("SHELLTRACK_LIMITS__STARTS_PER_SECOND", "0")];
        let layer = layer(&variables).unwrap();
        assert_eq!((layer.breaker.open_seconds, layer.limits.starts_per_second), (Some(0.5), Some(0)));
    }

    #[test]
    fn a_pair_of_underscores_separates_table_and_key() {
        let layer = layer(&[("SHELLTRACK_SESSION_BUDDY__URL", "http://127.0.0.1:1/mcp")]).unwrap();
        assert_eq!(layer.session_buddy.url.as_deref(), Some("http://127.0.0.1:1/mcp"));
    }

    #[test]
    fn other_variables_are_not_configuration() {
        let layer = layer(&[("SHELLTRACK_SESSION", "x"), ("SHELLTRACK_LOG", "debug"), ("HOME__X", "y")]);
        assert_eq!(layer.unwrap(), Layer::default());
    }

    #[test]
    fn an_empty_variable_says_nothing() {
        let layer = layer(&[("SHELLTRACK_SESSION_BUDDY__URL", ""), ("SHELLTRACK_BREAKER__OPEN_SECONDS", "")]);
        assert_eq!(layer.unwrap(), Layer::default());
    }

    #[test]
    fn an_unknown_key_is_named_together_with_what_is_allowed() {
        let message = layer(&[("SHELLTRACK_SESSION_BUDDY__ULR", "x")]).unwrap_err().to_string();
        assert!(message.contains("SHELLTRACK_SESSION_BUDDY__ULR"), "{message}");
        assert!(message.contains("`url`"), "{message}");
        let message = layer(&[("SHELLTRACK_BUDDY__URL", "x")]).unwrap_err().to_string();
        assert!(message.contains("`session-buddy`"), "{message}");
    }

    #[test]
    fn booleans_and_lists_are_read_where_the_key_takes_them() {
        let layer = layer(&[
            ("SHELLTRACK_REDACTION__HIDE_CWD", "true"),
            ("SHELLTRACK_REDACTION__SECRET_KEYS", r#"["pin", "puk code"]"#),
            ("SHELLTRACK_SESSION_BUDDY__ARGS", "-m session_buddy"),
            ("SHELLTRACK_SESSION__COMPONENT", "true"),
        ])
        .unwrap();
        assert_eq!(layer.redaction.hide_cwd, Some(true));
        assert_eq!(layer.redaction.secret_keys.unwrap(), ["pin", "puk code"]);
        assert_eq!(layer.session_buddy.args.unwrap(), ["-m", "session_buddy"]);
        assert_eq!(layer.session.component.as_deref(), Some("true"));
    }

    #[test]
    fn a_value_of_the_wrong_type_is_refused() {
        let message = layer(&[("SHELLTRACK_REDACTION__HIDE_CWD", "perhaps")]).unwrap_err().to_string();
        assert!(message.contains("SHELLTRACK_REDACTION__HIDE_CWD"), "{message}");
    }

    #[test]
    fn a_value_that_is_refused_is_never_repeated() {
        for (name, expected) in [
            ("SHELLTRACK_BREAKER__FAILURES", "must be a whole number"),
            ("SHELLTRACK_BREAKER__OPEN_SECONDS", "must be a number"),
            ("SHELLTRACK_REDACTION__HIDE_CWD", "must be true or false"),
            ("SHELLTRACK_SESSION_BUDDY__TRANSPORT", "must be one of `embedded`, `stdio`, `http`"),
        ] {
            for value in ["hunter2x", "\"hunter2x\"", "[\"hunter2x\"]", "{ hunter2x = 1 }", "a hunter2x"] {
                let message = layer(&[(name, value)]).unwrap_err().to_string();
                assert!(message.contains(name) && message.contains(expected), "{message}");
                assert!(!message.contains("hunter2x"), "{message}");
            }
        }
    }
}
