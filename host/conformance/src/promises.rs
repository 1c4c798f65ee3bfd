//! What holds of every answer of every component, whatever was asked. Written down here in other words
//! than in the component, since it judges components that we did not write. Which characters may stand
//! where is said in `characters`.

use serde_json::Value;

use crate::cases::Call;
use crate::characters::misplaced;

/// The promise that the answer breaks, if there is one.
pub(crate) fn broken(call: &Call, answer: &Value) -> Option<String> {
    let mut texts = Vec::new();
    collect(answer, &mut texts);
    if let Some(text) = texts.iter().find(|text| !is_clean(text)) {
        return Some(format!("a character that is never allowed is in the answer: {text:?}"));
    }
    if let Some(violations) = answer.get("err").and_then(Value::as_array) {
        return violations.is_empty().then(|| "refused without a reason".to_owned());
    }
    let value = answer.get("ok")?;
    let changes = value.get("changes").and_then(Value::as_array).map(Vec::as_slice).unwrap_or_default();
    let is = |change: &&Value, kind: &str| change.get("kind").and_then(Value::as_str) == Some(kind);
    let detail =
        |change: &&Value| change.get("detail").and_then(Value::as_str).unwrap_or_default().is_empty();
    if changes.iter().any(|change| is(&change, "redacted") && detail(&change)) {
        return Some("a secret was replaced and no rule is named".to_owned());
    }
    if call.function == "sanitize-text" {
        return broken_length(call, value);
    }
    None
}

fn broken_length(call: &Call, value: &Value) -> Option<String> {
    let limit =
        call.arguments.get(1).and_then(Value::as_u64).and_then(|limit| usize::try_from(limit).ok())?;
    let scalars = value.get("text").and_then(Value::as_str)?.chars().count();
    (scalars > limit).then(|| format!("{scalars} characters, and the limit is {limit}"))
}

fn collect<'a>(value: &'a Value, into: &mut Vec<&'a str>) {
    match value {
        Value::String(text) => into.push(text),
        Value::Array(items) => items.iter().for_each(|item| collect(item, into)),
        Value::Object(members) => members.iter().for_each(|(key, value)| {
            into.push(key);
            collect(value, into);
        }),
        _ => {}
    }
}

/// No control, bidirectional control, noncharacter or private-use character, nothing that is invisible
/// everywhere, and nothing that means something only beside another character where that is missing.
pub fn is_clean(text: &str) -> bool {
    misplaced(text).is_none()
}
