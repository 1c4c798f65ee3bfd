//! What is said of configuration that cannot be read: the place, the key and what is expected, and no value, which
//! may be a secret that slipped into the wrong place. Names of keys that nobody knows are told.

use toml::de::{DeTable, DeValue, Error};

/// What is wrong with a file, on one line: the line of the file, the key, the rule.
pub(crate) fn of_file(text: &str, error: &Error) -> String {
    let at = error.span().map(|span| span.start);
    let line = at.and_then(|at| text.get(..at)).map(|before| before.matches('\n').count() + 1);
    let line = line.map(|line| format!(" line {line}:")).unwrap_or_default();
    match DeTable::parse(text) {
        // No TOML: the parser repeats nothing of it.
        Err(syntax) => format!("{line} {}", syntax.message()),
        Ok(table) if !is_unknown_name(error.message()) => {
            let key = at.and_then(|at| key_at(table.get_ref(), at));
            let key = key.map(|key| format!(" {key}:")).unwrap_or_default();
            format!("{line}{key} {}", rule(error))
        }
        Ok(_) => format!("{line} {}", rule(error)),
    }
}

/// What is expected, in serde's words for types and ours for people.
pub(crate) fn rule(error: &Error) -> String {
    let message = error.message();
    if is_unknown_name(message) {
        return message.to_owned();
    }
    // What was found stands before it, and may hold the same words.
    match message.rsplit_once(", expected ").map(|(_, expected)| expected) {
        Some("a string" | "string" | "path string") => "must be a text".to_owned(),
        Some("a boolean") => "must be true or false".to_owned(),
        Some("u32" | "u64") => "must be a whole number, not negative and not too large".to_owned(),
        Some("f64") => "must be a number".to_owned(),
        Some("a sequence") => "must be a list".to_owned(),
        Some(expected) if expected.starts_with("struct ") => "must be a table".to_owned(),
        Some(expected) => format!("must be {expected}"),
        None => "cannot be read".to_owned(),
    }
}

/// Whether a name was refused, not a value.
pub(crate) fn is_unknown_name(message: &str) -> bool {
    message.starts_with("unknown field")
}

/// The key whose value lies there, as `table.key`.
fn key_at(table: &DeTable<'_>, at: usize) -> Option<String> {
    table.iter().find_map(|(key, value)| {
        // The span of a table is that of its head: its values may lie outside.
        let inner = match value.get_ref() {
            DeValue::Table(inner) => key_at(inner, at),
            _ => None,
        };
        let key = key.get_ref();
        let own = || value.span().contains(&at).then(|| key.to_string());
        inner.map(|inner| format!("{key}.{inner}")).or_else(own)
    })
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "a test may fail by panic")]
mod tests {
    use super::*;
    use crate::config::Layer;

    #[track_caller]
    fn check(text: &str, expected: &str) {
        let error = toml::from_str::<Layer>(text).unwrap_err();
        let told = of_file(text, &error);
        assert!(told.contains(expected), "{text}: {told}");
        assert!(!told.contains("hunter2x") && !told.contains('\n'), "{text}: {told}");
    }

    #[test]
    fn a_wrong_value_is_told_by_line_key_and_rule_and_never_repeated() {
        let number = "breaker.failures: must be a whole number";
        check("[breaker]\nfailures = \"hunter2x\"", &format!("line 2: {number}"));
        check("breaker.failures = [\"hunter2x\"]", &format!("line 1: {number}"));
        check("breaker = { failures = \"a, expected u32, expected hunter2x\" }", number);
        check("[breaker]\nfailures = -5", number);
        check("[breaker]\nopen_seconds = \"hunter2x\"", "line 2: breaker.open_seconds: must be a number");
        check("\n[redaction]\nhide_cwd = \"hunter2x\"", "line 3: redaction.hide_cwd: must be true or false");
        check("[redaction]\nsecret_keys = \"hunter2x\"", "line 2: redaction.secret_keys: must be a list");
        check(
            "[redaction]\nsecret_keys = [\n1,\"hunter2x\"]",
            "line 3: redaction.secret_keys: must be a text",
        );
        check("[session]\ncomponent = { hunter2x = 1 }", "session.component: must be a text");
        check("[plugin]\npath = 5", "plugin.path: must be a text");
        check("breaker = \"hunter2x\"", "breaker: must be a table");
        let known = "session-buddy.transport: must be one of `embedded`, `stdio`, `http`";
        check("[session-buddy]\ntransport = \"hunter2x\"", &format!("line 2: {known}"));
    }

    #[test]
    fn what_is_no_toml_is_told_by_its_line_and_never_repeated() {
        for wrong in [
            "hunter2x",
            "\"hunter2x",
            "'hunter2x",
            "2026-hunter2x",
            "12hunter2x",
            "\"a\" hunter2x",
            "[hunter2x",
            "\"\\hunter2x\"",
            "{hunter2x}",
            "0xhunter2x",
            "1979-05-27T99:00:00hunter2x",
            "\"\"\"hunter2x",
            "inf_hunter2x",
        ] {
            check(&format!("[server]\ndatabase = {wrong}"), "line 2: ");
        }
    }

    #[test]
    fn a_key_that_nobody_knows_is_named() {
        let text = "[session-buddy]\nurll = \"hunter2x\"";
        check(text, "line 2: unknown field `urll`, expected one of");
    }
}
