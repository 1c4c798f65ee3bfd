//! docs/status.md names exactly the fields that `status --json` prints, and the metrics of `--prometheus`.

use std::collections::BTreeSet;

use serde_json::Value;
use shelltrack_tests::binary::repository;
use shelltrack_tests::{FakeSessionBuddy, Home};

/// Paths of all fields, as in `targets[].breaker`.
fn paths(value: &Value, at: &str, into: &mut BTreeSet<String>) {
    match value {
        Value::Object(fields) => {
            for (name, value) in fields {
                let path = if at.is_empty() { name.clone() } else { format!("{at}.{name}") };
                into.insert(path.clone());
                paths(value, &path, into);
            }
        }
        Value::Array(items) => items.iter().for_each(|item| paths(item, &format!("{at}[]"), into)),
        _ => {}
    }
}

/// First cells of the tables of a section of the document, without their backticks.
fn documented(section: &str) -> BTreeSet<String> {
    let text = std::fs::read_to_string(repository().join("docs/status.md")).unwrap();
    let (_, rest) = text.split_once(&format!("\n## {section}\n")).unwrap();
    let section = rest.split("\n## ").next().unwrap();
    let cells = section.lines().filter_map(|line| line.strip_prefix("| `")?.split('`').next());
    cells.map(str::to_owned).collect()
}

#[test]
fn the_documented_fields_are_those_that_are_printed() {
    let mut printed = BTreeSet::new();
    let fake = FakeSessionBuddy::start();
    let stdio = ["--server-command", "/nonexistent/server", "--server-arg", "x"];
    for (config, options) in [(String::new(), &[][..]), (fake.config(), &[]), (String::new(), &stdio)] {
        let home = Home::with_config(&config);
        home.shelltrack(&[&["run"], options, &["--", "true"]].concat()).expect(0);
        home.shelltrack(&["flush", "--timeout", "2"]);
        let beside = home.path().join("state/shelltrack/spool-0123456789ab-1/new");
        std::fs::create_dir_all(&beside).unwrap();
        std::fs::write(beside.join(format!("{}.end.json", uuid::Uuid::new_v4())), "{}").unwrap();
        let told = home.shelltrack(&[&["status", "--json"], options].concat());
        paths(&serde_json::from_str(&told.stdout).unwrap(), "", &mut printed);
    }
    assert_eq!(documented("Fields"), printed);
}

#[test]
fn the_documented_metrics_are_those_that_are_written() {
    let text = Home::new().shelltrack(&["status", "--prometheus"]).expect(0).stdout;
    let written = text.lines().filter_map(|line| line.strip_prefix("# TYPE ")?.split(' ').next());
    assert_eq!(documented("Metrics"), written.map(str::to_owned).collect());
}
