//! The agent's log: one JSON object a line, private, bounded, and nothing secret in it or beside it.

use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

use serde_json::Value;
use shelltrack_tests::{Answer, BOUND, FakeSessionBuddy, Home, wait_until};

const TOKEN: &str = "ghp_0123456789abcdefghijABCDEFGHIJ012345";
const PASSWORD: &str = "hunter2-correct-horse-battery";

fn log(home: &Home) -> PathBuf {
    PathBuf::from(home.status()["log_file"].as_str().unwrap())
}

/// Asserts that no file of the home holds it, but for the configuration that the test wrote itself.
#[track_caller]
fn check_nowhere(home: &Home, secret: &str) {
    let config = home.path().join("config");
    for (path, content) in home.files().into_iter().filter(|(path, _)| !path.starts_with(&config)) {
        let found = content.windows(secret.len()).any(|window| window == secret.as_bytes());
        assert!(!found, "{secret} is in {}", path.display());
    }
}

#[test]
fn the_log_is_private_and_each_line_is_an_object() {
    let fake = FakeSessionBuddy::start();
    let home = Home::with_config(&fake.config());
    fake.answer_next([Answer::StatusError("no")]);
    home.run(&["true"]).expect(0);
    home.shelltrack(&["flush", "--timeout", "60"]);
    let path = log(&home);
    let text =
        wait_until("a line", BOUND, || std::fs::read_to_string(&path).ok().filter(|text| !text.is_empty()));
    for line in text.lines() {
        let line: Value = serde_json::from_str(line).unwrap_or_else(|error| panic!("{error}: {line}"));
        for field in ["timestamp", "level", "message"] {
            assert!(line[field].is_string(), "{field} in {line:#}");
        }
    }
    assert!(text.contains("dead letter"), "{text}");
    assert_eq!(std::fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
}

#[test]
fn secrets_that_a_server_repeats_are_neither_logged_nor_kept() {
    let fake = FakeSessionBuddy::start();
    fake.answer_next([
        Answer::ToolError("upstream said: Authorization: Bearer ghp_0123456789abcdefghijABCDEFGHIJ012345"),
        Answer::Garbled,
        Answer::StatusError("postgres://admin:hunter2-correct-horse-battery@db/x refused it"),
    ]);
    let mut home = Home::with_config(&format!(
        "{}[delivery]\nretry_seconds = 0.05\nretry_seconds_max = 0.05\n",
        fake.config()
    ));
    home.set("SHELLTRACK_LOG", "trace");
    home.set("SESSION_BUDDY_TOKEN", TOKEN);
    let option = format!("password={PASSWORD}");
    home.shelltrack(&["run", "--metadata", &option, "--", "true"]).expect(0);
    home.shelltrack(&["flush", "--timeout", "120"]);
    assert!(fake.calls().len() >= 2, "the server said what it was to say");
    check_nowhere(&home, TOKEN);
    check_nowhere(&home, PASSWORD);
}

#[test]
fn arguments_of_a_server_are_not_logged() {
    let home = Home::new();
    let secret = "--token=not-for-logs-0815";
    let target = ["--server-command", "/nonexistent/server", "--server-arg", secret];
    home.shelltrack(&[&["run"], &target[..], &["--", "true"]].concat()).expect(0);
    let path = log(&home);
    wait_until("the server is known to be away", BOUND, || {
        std::fs::read_to_string(&path).ok().filter(|text| text.contains("not reached"))
    });
    check_not_in(&path, secret);
}

#[track_caller]
fn check_not_in(path: &Path, secret: &str) {
    let text = std::fs::read_to_string(path).unwrap();
    assert!(!text.contains(secret), "{text}");
}
