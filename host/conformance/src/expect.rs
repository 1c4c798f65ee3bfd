//! Compares one answer with one expectation. Says what was expected and what came, in one line.

use serde_json::Value;

use crate::cases::Expected;

/// Characters of a value shown in a message.
const SHOWN_CHARS_MAX: usize = 300;

/// `first` is the first argument of the call.
pub(crate) fn check(expected: &Expected, answer: &Value, first: &Value) -> Result<(), String> {
    let (accepted, refused) = (answer.get("ok"), answer.get("err").and_then(Value::as_array));
    let holds = match expected {
        Expected::Gives(value) => accepted.is_some_and(|found| matches(value, found)),
        Expected::Kinds(kinds) => {
            accepted.is_some_and(|found| sorted(kinds.clone()) == sorted(kinds_of(found)))
        }
        Expected::Refused(rules) => {
            refused.is_some_and(|found| sorted(rules.clone()) == sorted(rules_of(found)))
        }
        Expected::RefusedBy(rules) => refused
            .is_some_and(|found| rules_of(found).iter().any(|(_, rule)| rules.contains(&rule.as_str()))),
        Expected::NotRefusedBy(rule) => {
            refused.is_none_or(|found| rules_of(found).iter().all(|(_, found)| found != rule))
        }
        Expected::Absent(text) => !occurs(text, answer),
        Expected::Unchanged => accepted.is_some_and(|found| {
            found.get("text") == Some(first)
                && found.get("changes").is_some_and(|c| *c == Value::Array(Vec::new()))
        }),
    };
    if holds { Ok(()) } else { Err(format!("expected {}, got {}", told(expected), shown(answer))) }
}

/// Whether everything that is said in `expected` holds of `found`.
fn matches(expected: &Value, found: &Value) -> bool {
    match (expected, found) {
        (Value::Object(said), _) if said.contains_key("within") => is_within(expected.get("within"), found),
        (Value::Object(said), Value::Object(members)) => {
            said.iter().all(|(key, value)| members.get(key).is_some_and(|found| matches(value, found)))
        }
        (Value::Array(said), Value::Array(items)) => {
            said.len() == items.len() && said.iter().zip(items).all(|(said, item)| matches(said, item))
        }
        _ => expected == found,
    }
}

fn is_within(bounds: Option<&Value>, found: &Value) -> bool {
    let bound = |at: usize| bounds?.get(at)?.as_u64();
    match (bound(0), found.as_u64(), bound(1)) {
        (Some(low), Some(found), Some(high)) => (low..=high).contains(&found),
        _ => false,
    }
}

/// Whether `text` occurs in any string of `value`, names of members included.
fn occurs(text: &str, value: &Value) -> bool {
    match value {
        Value::String(string) => string.contains(text),
        Value::Array(items) => items.iter().any(|item| occurs(text, item)),
        Value::Object(members) => {
            members.iter().any(|(key, value)| key.contains(text) || occurs(text, value))
        }
        _ => false,
    }
}

fn rules_of(violations: &[Value]) -> Vec<(String, String)> {
    let text = |violation: &Value, key: &str| {
        violation.get(key).and_then(Value::as_str).unwrap_or_default().to_owned()
    };
    violations.iter().map(|violation| (text(violation, "field"), text(violation, "rule"))).collect()
}

fn kinds_of(value: &Value) -> Vec<String> {
    let changes = value.get("changes").and_then(Value::as_array).map(Vec::as_slice).unwrap_or_default();
    changes.iter().filter_map(|change| change.get("kind")?.as_str().map(str::to_owned)).collect()
}

fn sorted<T: Ord>(mut items: Vec<T>) -> Vec<T> {
    items.sort_unstable();
    items
}

fn told(expected: &Expected) -> String {
    match expected {
        Expected::Gives(value) => shown(value),
        Expected::Kinds(kinds) => format!("the changes {kinds:?}"),
        Expected::Refused(rules) => format!("a refusal by {rules:?}"),
        Expected::RefusedBy(rules) => format!("a refusal by one of {rules:?}"),
        Expected::NotRefusedBy(rule) => format!("no refusal by {rule}"),
        Expected::Absent(text) => format!("no {text:?} in it"),
        Expected::Unchanged => "the same text without any change".to_owned(),
    }
}

fn shown(value: &Value) -> String {
    let text = value.to_string();
    match text.char_indices().nth(SHOWN_CHARS_MAX) {
        Some((at, _)) => format!("{}…", text.get(..at).unwrap_or_default()),
        None => text,
    }
}
