//! The corpora of others, in `corpora/` with their licences, as cases. What comes out of them is the
//! component's business; demanded is what must hold of any text and any JSON.

use serde::Deserialize;
use serde_json::json;

use crate::cases::{Case, Expected, rebased, sanitize_twice, universal};

/// The corpora with their files.
pub const CORPORA: [(&str, &str); 2] = [
    ("naughty-strings", include_str!("../corpora/naughty-strings.json")),
    ("json-parsing", include_str!("../corpora/json-parsing.json")),
];

/// Rules by which a text that is no JSON may be refused; nesting may be noticed before the fault.
const NOT_JSON: &[&str] = &["bad-json", "too-deep", "too-large"];

/// A file of the JSON corpus; long ones are a piece and how often it is repeated.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Document {
    name: String,
    text: String,
    #[serde(default = "once")]
    times: usize,
}

fn once() -> usize {
    1
}

/// The cases of one corpus.
pub(crate) fn read(group: &'static str, text: &str) -> Result<Vec<Case>, String> {
    let cases = if group == "naughty-strings" { strings(group, text) } else { documents(group, text) };
    cases.map_err(|error| format!("{group}: {error}"))
}

fn strings(group: &'static str, text: &str) -> Result<Vec<Case>, String> {
    let texts: Vec<String> = serde_json::from_str(text).map_err(|error| error.to_string())?;
    let case = |(number, text): (usize, &String)| {
        let mut calls = sanitize_twice("sanitize-text", "text", text)?;
        calls.extend(sanitize_twice("sanitize-json", "json", &json!({ "note": text }).to_string())?);
        Ok(Case { group, name: format!("string {}", number + 1), calls: rebased(calls) })
    };
    texts.iter().enumerate().map(case).collect()
}

/// Each document as the value of a member, since metadata is an object. The name begins with what must
/// become of it: `y` is JSON, `n` is none, `i` may be either.
fn documents(group: &'static str, text: &str) -> Result<Vec<Case>, String> {
    let documents: Vec<Document> = serde_json::from_str(text).map_err(|error| error.to_string())?;
    let case = |document: Document| {
        let json = format!("{{\"v\": {}}}", document.text.repeat(document.times));
        let mut calls = sanitize_twice("sanitize-json", "json", &json)?;
        let refused = document.name.starts_with('n');
        // What is refused, or may be, gives nothing to clean again.
        if !document.name.starts_with('y') || document.name.contains("duplicated_key") {
            calls.truncate(1);
        }
        if let Some(first) = calls.first_mut() {
            let expected = if refused { Some(Expected::RefusedBy(NOT_JSON)) } else { None };
            let is_json = document.name.starts_with('y').then_some(Expected::NotRefusedBy("bad-json"));
            first.demands.extend(expected.or(is_json).map(universal));
        }
        Ok(Case { group, name: document.name, calls })
    };
    documents.into_iter().map(case).collect()
}
