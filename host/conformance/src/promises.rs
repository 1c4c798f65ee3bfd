//! What holds of every answer of every component, whatever was asked. Written down here in other words
//! than in the component, since it judges components that we did not write.

use serde_json::Value;

use crate::cases::Call;

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
/// everywhere, and nothing at the beginning that means something only after another character.
pub fn is_clean(text: &str) -> bool {
    !text.chars().any(is_never_allowed) && !text.starts_with(needs_another)
}

fn is_never_allowed(c: char) -> bool {
    let code = u32::from(c);
    c.is_control()
        || matches!(c, '\u{61C}' | '\u{200E}' | '\u{200F}' | '\u{202A}'..='\u{202E}' | '\u{2066}'..='\u{2069}')
        || matches!(c, '\u{AD}' | '\u{34F}' | '\u{200B}' | '\u{2028}' | '\u{2029}' | '\u{FEFF}')
        || matches!(c, '\u{2060}'..='\u{2065}' | '\u{206A}'..='\u{206F}' | '\u{FFF0}'..='\u{FFFB}')
        || matches!(c, '\u{E000}'..='\u{F8FF}' | '\u{F0000}'..='\u{10FFFF}' | '\u{FDD0}'..='\u{FDEF}')
        || code & 0xFFFE == 0xFFFE
}

/// Join controls, variation selectors and tag characters.
fn needs_another(c: char) -> bool {
    matches!(c, '\u{200C}' | '\u{200D}' | '\u{FE00}'..='\u{FE0F}' | '\u{E0000}'..='\u{E01EF}')
}
