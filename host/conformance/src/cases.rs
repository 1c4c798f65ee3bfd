//! Reads the hand-written cases: what is left unsaid in them is filled in from `defaults.json`.
//!
//! A file holds rows for what is said in a line (`texts`: name, text, clean text and, where it matters,
//! the kinds of changes; `secrets`: name, text, what must be gone; `ordinary`: what must stay as it is;
//! `objects`: name, JSON, clean JSON) and `cases` for everything else.

use serde::Deserialize;
use serde_json::{Map, Value, json};

/// Groups of cases with their files.
pub const GROUPS: [(&str, &str); 9] = [
    ("terminal", include_str!("../cases/terminal.json")),
    ("bidi", include_str!("../cases/bidi.json")),
    ("unicode", include_str!("../cases/unicode.json")),
    ("secrets", include_str!("../cases/secrets.json")),
    ("lines", include_str!("../cases/lines.json")),
    ("json", include_str!("../cases/json.json")),
    ("validation", include_str!("../cases/validation.json")),
    ("events", include_str!("../cases/events.json")),
    ("breaker", include_str!("../cases/breaker.json")),
];
/// Arguments of each function in their order, each with its value where a case says none.
const DEFAULTS: &str = include_str!("../cases/defaults.json");

/// One call or a sequence of calls, and what is expected of them.
#[derive(Clone, Debug)]
pub struct Case {
    /// Its group.
    pub group: &'static str,
    /// What it shows.
    pub name: String,
    /// The calls, in order.
    pub calls: Vec<Call>,
}

/// One call.
#[derive(Clone, Debug)]
pub struct Call {
    /// Name of the function.
    pub function: String,
    /// Its arguments. `{"$from": [N, "key"]}` stands for that member of what call N (from 0) gave.
    pub arguments: Vec<Value>,
    /// What is expected.
    pub demands: Vec<Demand>,
}

/// One expectation.
#[derive(Clone, Debug)]
pub struct Demand {
    /// Demanded of every component; otherwise only compared.
    pub universal: bool,
    pub(crate) expected: Expected,
}

/// What is expected of an answer.
#[derive(Clone, Debug)]
pub(crate) enum Expected {
    /// It is accepted, and what is said here of the value holds; `{"within": [a, b]}` for a number.
    Gives(Value),
    /// The kinds of changes it reports, in any order.
    Kinds(Vec<String>),
    /// It is refused for exactly these fields and rules, in any order.
    Refused(Vec<(String, String)>),
    /// It is refused by one of these rules.
    RefusedBy(&'static [&'static str]),
    /// If it is refused, then not by this rule.
    NotRefusedBy(&'static str),
    /// This occurs nowhere in it.
    Absent(String),
    /// The first argument comes back as it is, and no change is reported.
    Unchanged,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct File {
    #[serde(rename = "about")]
    _about: String,
    #[serde(default)]
    texts: Vec<(String, String, String, Option<Vec<String>>)>,
    #[serde(default)]
    secrets: Vec<(String, String, String)>,
    #[serde(default)]
    ordinary: Vec<String>,
    #[serde(default)]
    objects: Vec<(String, String, String)>,
    #[serde(default)]
    cases: Vec<Written>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Written {
    name: String,
    calls: Vec<WrittenCall>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct WrittenCall {
    call: String,
    #[serde(default)]
    with: Map<String, Value>,
    gives: Option<Value>,
    standard: Option<Value>,
    refused: Option<Vec<(String, String)>>,
    #[serde(default)]
    absent: Vec<String>,
    kinds: Option<Vec<String>>,
}

/// The cases of one file.
pub(crate) fn read(group: &'static str, text: &str) -> Result<Vec<Case>, String> {
    let said = |error| format!("{group}: {error}");
    let file: File = serde_json::from_str(text).map_err(|error| said(error.to_string()))?;
    let mut cases = Vec::new();
    for (name, text, clean, kinds) in file.texts {
        let mut calls = sanitize_twice("sanitize-text", "text", &text).map_err(said)?;
        if let Some(first) = calls.first_mut() {
            first.demands.push(universal(Expected::Gives(json!({ "text": clean }))));
            first.demands.extend(kinds.map(|kinds| universal(Expected::Kinds(kinds))));
        }
        cases.push(Case { group, name, calls });
    }
    for (name, text, secret) in file.secrets {
        let mut calls = sanitize_twice("sanitize-text", "text", &text).map_err(said)?;
        calls.extend(
            sanitize_twice("sanitize-json", "json", &json!({ "note": text }).to_string()).map_err(said)?,
        );
        for call in &mut calls {
            // The calls of the second pass refer to the first one of their own pair.
            call.demands.push(universal(Expected::Absent(secret.clone())));
        }
        cases.push(Case { group, name, calls: rebased(calls) });
    }
    for text in file.ordinary {
        let mut call = call("sanitize-text", &with("text", &text)).map_err(said)?;
        call.demands.push(universal(Expected::Unchanged));
        cases.push(Case { group, name: format!("stays as it is: {text}"), calls: vec![call] });
    }
    for (name, text, clean) in file.objects {
        let mut calls = sanitize_twice("sanitize-json", "json", &text).map_err(said)?;
        if let Some(first) = calls.first_mut() {
            first.demands.push(universal(Expected::Gives(json!({ "text": clean }))));
        }
        cases.push(Case { group, name, calls });
    }
    for Written { name, calls } in file.cases {
        let calls = calls.into_iter().map(written).collect::<Result<_, _>>();
        cases.push(Case { group, calls: calls.map_err(|error| said(format!("{name}: {error}")))?, name });
    }
    Ok(cases)
}

/// A text cleaned, and cleaned again, which must change nothing.
pub(crate) fn sanitize_twice(function: &str, argument: &str, text: &str) -> Result<Vec<Call>, String> {
    let again = Map::from_iter([(argument.to_owned(), json!({ "$from": [0, "text"] }))]);
    let mut again = call(function, &again)?;
    again.demands.push(universal(Expected::Unchanged));
    Ok(vec![call(function, &with(argument, text))?, again])
}

/// Two pairs of calls one after the other: the second pair refers to its own first call.
pub(crate) fn rebased(mut calls: Vec<Call>) -> Vec<Call> {
    if let Some(argument) = calls.get_mut(3).and_then(|call| call.arguments.first_mut()) {
        *argument = json!({ "$from": [2, "text"] });
    }
    calls
}

fn with(argument: &str, text: &str) -> Map<String, Value> {
    Map::from_iter([(argument.to_owned(), json!(text))])
}

pub(crate) fn universal(expected: Expected) -> Demand {
    Demand { universal: true, expected }
}

fn written(said: WrittenCall) -> Result<Call, String> {
    let mut call = call(&said.call, &said.with)?;
    let demands = &mut call.demands;
    demands.extend(said.gives.map(|value| universal(Expected::Gives(value))));
    demands.extend(said.refused.map(|rules| universal(Expected::Refused(rules))));
    demands.extend(said.absent.into_iter().map(|text| universal(Expected::Absent(text))));
    demands.extend(said.kinds.map(|kinds| universal(Expected::Kinds(kinds))));
    let standard = said.standard.map(|value| Demand { universal: false, expected: Expected::Gives(value) });
    demands.extend(standard);
    Ok(call)
}

/// The call with every argument: what is said, over what is the default.
fn call(function: &str, said: &Map<String, Value>) -> Result<Call, String> {
    let defaults: Map<String, Value> = serde_json::from_str(DEFAULTS).map_err(|error| error.to_string())?;
    let parameters: Vec<(String, Value)> = defaults
        .get(function)
        .and_then(|parameters| serde_json::from_value(parameters.clone()).ok())
        .ok_or_else(|| format!("{function} has no defaults"))?;
    if let Some(unknown) = said.keys().find(|key| parameters.iter().all(|(name, _)| name != *key)) {
        return Err(format!("{function} has no argument {unknown}"));
    }
    let arguments = parameters.into_iter().map(|(name, mut value)| {
        if let Some(said) = said.get(&name) {
            put(&mut value, said);
        }
        // JSON text is written as JSON in the files; a member that is null there is left out.
        if name == "json" && value.is_object() && value.get("$from").is_none() {
            value = Value::String(without_nulls(value).to_string());
        }
        value
    });
    Ok(Call { function: function.to_owned(), arguments: arguments.collect(), demands: Vec::new() })
}

fn put(value: &mut Value, said: &Value) {
    match (value, said) {
        (Value::Object(members), Value::Object(said)) if !said.contains_key("$from") => {
            for (key, said) in said {
                put(members.entry(key.clone()).or_insert(Value::Null), said);
            }
        }
        (value, said) => *value = said.clone(),
    }
}

fn without_nulls(value: Value) -> Value {
    match value {
        Value::Object(members) => {
            let members = members.into_iter().filter(|(_, value)| !value.is_null());
            Value::Object(members.map(|(key, value)| (key, without_nulls(value))).collect())
        }
        other => other,
    }
}

/// The argument with every reference to an earlier answer replaced by what was answered.
pub(crate) fn resolve(argument: &Value, answers: &[Value]) -> Value {
    let Value::Object(members) = argument else { return argument.clone() };
    if let Some(reference) = members.get("$from") {
        let at = reference.get(0).and_then(Value::as_u64).and_then(|at| usize::try_from(at).ok());
        let key = reference.get(1).and_then(Value::as_str).unwrap_or_default();
        let answer = at.and_then(|at| answers.get(at)).and_then(|answer| answer.get("ok"));
        return answer.and_then(|value| value.get(key)).cloned().unwrap_or(Value::String(String::new()));
    }
    Value::Object(members.iter().map(|(key, value)| (key.clone(), resolve(value, answers))).collect())
}
