//! What the native crate makes of the corpora, against files: any change is seen and judged by a person.
//! `UPDATE_GOLDEN=1` writes them anew. The demands of the suite are checked elsewhere.

use std::fmt::Write as _;
use std::path::Path;

use serde_json::{Value, json};
use shelltrack_conformance::{CORPORA, run, suite};

use crate::native;

/// The text and the changes, or the rules by which it was refused, for the first pass of each kind.
fn brief(answer: &Value) -> Value {
    let parts = |list: &Value, keys: [&str; 3]| -> Value {
        let part = |item: &Value| {
            keys.iter().filter_map(|key| item.get(*key)?.as_str()).collect::<Vec<_>>().join(" ")
        };
        list.as_array().into_iter().flatten().map(|item| Value::from(part(item).trim())).collect()
    };
    match (answer.get("ok"), answer.get("err")) {
        (Some(ok), _) => json!([ok["text"], parts(&ok["changes"], ["field", "kind", "detail"])]),
        (_, err) => json!({ "refused": parts(err.unwrap_or(&Value::Null), ["field", "rule", ""]) }),
    }
}

fn check_recorded(group: &str) {
    let mut lines = String::new();
    for case in suite().unwrap().iter().filter(|case| case.group == group) {
        let answers = run(case, &native::subject).answers;
        let briefs: Vec<_> = answers.iter().step_by(2).map(brief).collect();
        writeln!(lines, "{}", json!([case.name, briefs])).unwrap();
    }
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/recorded").join(format!("{group}.jsonl"));
    if std::env::var_os("UPDATE_GOLDEN").is_some() {
        std::fs::write(&path, &lines).unwrap();
    }
    let recorded = std::fs::read_to_string(&path).unwrap_or_default();
    for (number, (found, expected)) in lines.lines().zip(recorded.lines()).enumerate() {
        assert_eq!(found, expected, "{}, line {}", path.display(), number + 1);
    }
    assert_eq!(lines.lines().count(), recorded.lines().count(), "{}", path.display());
}

#[test]
fn what_comes_of_the_corpora_is_what_was_recorded() {
    for (group, _) in CORPORA {
        check_recorded(group);
    }
}
