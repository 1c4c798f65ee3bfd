//! `shelltrack redact` cleans what comes in, tells what it did and never the secret. Which lines belong to one
//! key is in `redact_keys`.

use std::io::Write as _;
use std::process::Stdio;

use serde_json::Value;
use shelltrack_tests::{Finished, Home};

/// Hands `input` to `shelltrack redact` on stdin.
pub(crate) fn redact(home: &Home, arguments: &[&str], input: &[u8]) -> Finished {
    let mut command = home.shelltrack_command(&[&["redact"], arguments].concat());
    let mut child =
        command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    let mut stdin = child.stdin.take().unwrap();
    let input = input.to_vec();
    // Beside the reading: pipes hold less than a log. A program that stops reading is no fault here.
    let writing = std::thread::spawn(move || drop(stdin.write_all(&input)));
    let output = child.wait_with_output().unwrap();
    writing.join().unwrap();
    let text = |bytes: Vec<u8>| String::from_utf8(bytes).unwrap();
    Finished {
        command: format!("redact {arguments:?}"),
        status: output.status.code().unwrap(),
        stdout: text(output.stdout),
        stderr: text(output.stderr),
    }
}

#[track_caller]
pub(crate) fn check(input: &str, expected: &str) {
    assert_eq!(redact(&Home::new(), &[], input.as_bytes()).expect(0).stdout, expected);
}

#[test]
fn lines_are_cleaned_one_by_one() {
    check(
        "plain\n  password=hunter2\n\u{1b}[31mred\u{1b}[0m\r\n\nlast without an end",
        "plain\n  password=[redacted]\nred\n\nlast without an end\n",
    );
    check("", "");
}

#[test]
fn bytes_that_are_not_utf8_become_replacement_characters() {
    assert_eq!(redact(&Home::new(), &[], b"a\xffb\n").expect(0).stdout, "a\u{fffd}b\n");
}

#[test]
fn a_key_of_several_lines_is_seen_as_a_whole() {
    let key = concat!(
        "-----BEGIN RSA PRIV",
        "ATE KEY-----\nMIIEowIBAAKCAQEA7\nabc=\n-----END RSA PRIVATE KEY-----\n"
    );
    let told = redact(&Home::new(), &[], format!("before\n{key}after\n").as_bytes()).expect(0);
    assert!(!told.stdout.contains("MIIEow") && !told.stdout.contains("abc="), "{told:?}");
    assert!(told.stdout.starts_with("before\n") && told.stdout.ends_with("\nafter\n"), "{told:?}");
}

#[test]
fn keys_of_other_forms_are_seen_as_a_whole_too() {
    let pgp = concat!(
        "-----BEGIN PGP PRIV",
        "ATE KEY BLOCK-----\n\nlQOYBF3\n=abcd\n-----END PGP PRIVATE KEY BLOCK-----\nafter\n"
    );
    check(pgp, "[redacted]\nafter\n");
    let ssh2 = concat!(
        "---- BEGIN SSH2 ENCRYPTED PRIV",
        "ATE KEY ----\nP2/56wAA\n---- END SSH2 ENCRYPTED PRIVATE KEY ----\nafter\n"
    );
    check(ssh2, "[redacted]\nafter\n");
    let putty = concat!(
        "PuTTY-User-",
        "Key-File-3: ssh-rsa\nComment: x\nPrivate-Lines: 2\nAAABAQC4\nBBBB\nPrivate-MAC: 5f00\nafter\n"
    );
    check(putty, "PuTTY-User-Key-File-3: ssh-rsa Comment: x [redacted]\nafter\n");
    // Pretty-printed JSON has the key in one line, its ends escaped.
    let account = concat!(
        "{\n  \"type\": \"service_account\",\n  \"private_key\": \"-----BEGIN PRIV",
        "ATE KEY-----\\nMIIEvQ\\n-----END PRIVATE KEY-----\\n\",\n  \"client_id\": \"1\"\n}\n"
    );
    check(
        account,
        "{\n  \"type\": \"service_account\",\n  \"private_key\": \"[redacted]\",\n  \"client_id\": \"1\"\n}\n",
    );
}

#[test]
fn an_explanation_tells_line_and_rule_and_never_the_secret() {
    let told = redact(&Home::new(), &["--explain"], b"fine\npassword=hunter2\n\x1b[31mx\n").expect(0);
    assert!(!told.stdout.contains("hunter2"), "{told:?}");
    let rows: Vec<Vec<&str>> =
        told.stdout.lines().skip(1).map(|row| row.split_whitespace().collect()).collect();
    assert_eq!(rows, [vec!["2", "redacted", "key-value"], vec!["3", "escape-sequence", "-"]]);
    let told = redact(&Home::new(), &["--explain"], b"fine\n").expect(0);
    assert_eq!(told.stdout, "Nothing would be changed.\n");
}

#[test]
fn json_is_cleaned_as_metadata_and_explained_by_field() {
    let input = br#"{"a": {"password": "hunter2"}, "b": [1, "x\u001b[31my"]}"#;
    let told = redact(&Home::new(), &["--json-input"], input).expect(0);
    assert_eq!(told.stdout, "{\"a\":{\"password\":\"[redacted]\"},\"b\":[1,\"xy\"]}\n");
    let told = redact(&Home::new(), &["--json-input", "--explain"], input).expect(0);
    assert!(told.stdout.contains("a.password") && told.stdout.contains("b[1]"), "{told:?}");
    assert!(!told.stdout.contains("hunter2"), "{told:?}");
    let told = redact(&Home::new(), &["--json-input"], b"{\"a\":1,\"a\":2}").expect(1);
    assert!(told.stdout.is_empty() && told.stderr.contains('a'), "{told:?}");
}

#[test]
fn programs_get_one_json_object_a_line() {
    let told = redact(&Home::new(), &["--json"], b"fine\npassword=hunter2\n").expect(0);
    let lines: Vec<Value> = told.stdout.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    assert_eq!(lines.len(), 2);
    assert_eq!(lines[0], serde_json::json!({ "line": 1, "text": "fine", "changes": [] }));
    assert_eq!(lines[1]["changes"][0], serde_json::json!({ "kind": "redacted", "rule": "key-value" }));
    let told = redact(&Home::new(), &["--json", "--explain"], b"fine\npassword=hunter2\n").expect(0);
    let lines: Vec<Value> = told.stdout.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    assert_eq!((lines.len(), &lines[0]["line"], lines[0].get("text")), (1, &Value::from(2), None));
}

#[test]
fn what_is_too_long_is_told_with_its_line_and_the_limit() {
    let mut input = b"first\n".to_vec();
    input.resize(input.len() + 65_537, b'x');
    let told = redact(&Home::new(), &[], &input).expect(1);
    assert!(told.stderr.contains("line 2") && told.stderr.contains("65536"), "{told:?}");
    assert_eq!(told.stdout, "first\n");
    let told = redact(&Home::new(), &["--json-input"], &vec![b' '; 131_073]).expect(1);
    assert!(told.stderr.contains("131072"), "{told:?}");
}

#[test]
fn a_line_of_just_the_limit_is_cleaned_whatever_ends_it() {
    let line = "x".repeat(65_536);
    check(&format!("{line}\r\ny\n"), &format!("{line}\ny\n"));
}

#[test]
fn a_log_larger_than_any_limit_streams_through() {
    let input = "2026-01-31 INFO nothing to see here\n".repeat(20_000);
    check(&input, &input);
}

#[test]
fn the_configured_redaction_applies() {
    let home = Home::with_config("[redaction]\nsecret_prefixes = ['acme_pat_']\n");
    assert_eq!(redact(&home, &[], b"use acme_pat_1234 now\n").expect(0).stdout, "use [redacted] now\n");
}

#[test]
fn a_file_that_is_not_there_is_named() {
    let told = redact(&Home::new(), &["/nonexistent/input"], b"").expect(2);
    assert!(told.stderr.contains("/nonexistent/input"), "{told:?}");
}
