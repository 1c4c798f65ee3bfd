//! How a fuzzer's bytes become a component to be loaded, or a call to be made, and what must hold.
//!
//! Included by the fuzz targets and by the test that replays their corpus. Expects the native crate as
//! `crate::native`.

use std::sync::OnceLock;

use serde_json::{Value, json};
use shelltrack_conformance::host;
use shelltrack_sandbox::types::Policy;
use shelltrack_sandbox::{Error, Limits, Profile, Sandbox};

/// A driver.
pub(crate) type Driver = fn(&[u8]);

/// Every target with its driver.
pub(crate) const DRIVERS: [(&str, Driver); 2] = [("loader", loader), ("sandbox_call", sandbox_call)];

/// What separates the texts of a call in a fuzzer's bytes: never part of UTF-8.
const SEPARATOR: u8 = 0xFF;
/// Texts that one call needs at most.
const TEXTS: usize = 6;

/// Any bytes load or give a typed error, and what loads can be called; nothing steers a terminal.
pub(crate) fn loader(bytes: &[u8]) {
    let called = Sandbox::from_bytes(bytes, Profile::OneShot, Limits::default())
        .and_then(|sandbox| sandbox.sanitize_text("text", 10, &Policy::default()));
    match called {
        Ok(clean) => assert!(clean.text.len() <= Limits::default().output_bytes_max),
        Err(Error::Trap { reason, frames }) => {
            frames.iter().chain([&reason]).for_each(|text| check_harmless(text))
        }
        Err(error) => check_harmless(&error.to_string()),
    }
}

#[track_caller]
fn check_harmless(text: &str) {
    assert!(!text.contains(|c: char| c.is_control() && c != '\n'), "{text:?}");
}

/// The component in the sandbox answers exactly as the native crate does, whatever it is asked.
pub(crate) fn sandbox_call(bytes: &[u8]) {
    static SANDBOX: OnceLock<Sandbox> = OnceLock::new();
    let sandbox =
        SANDBOX.get_or_init(|| Sandbox::standard(Profile::Service).expect("it is part of this program"));
    let (function, arguments) = call(bytes);
    let found = host::call(sandbox, function, &arguments);
    let expected = crate::native::subject(function, &arguments);
    assert_eq!(determined(function, found), determined(function, expected), "{function} {arguments:?}");
}

/// Without what depends on chance.
fn determined(function: &str, answer: Result<Value, String>) -> Result<Value, String> {
    let mut answer = answer?;
    match (function, answer.get_mut("ok")) {
        ("step", Some(Value::Object(step))) => {
            step.retain(|key, _| !["state", "retry-at-ms"].contains(&key.as_str()))
        }
        ("backoff-delay", Some(delay)) => *delay = Value::Null,
        _ => {}
    }
    Ok(answer)
}

/// The first bytes choose the function, numbers and the policy; the rest are the texts.
fn call(bytes: &[u8]) -> (&'static str, Vec<Value>) {
    let at = |index: usize| bytes.get(index).copied().unwrap_or_default();
    let mut texts = bytes.get(4..).unwrap_or_default().split(|byte| *byte == SEPARATOR).take(TEXTS);
    let mut text = || json!(String::from_utf8_lossy(texts.next().unwrap_or_default()));
    let number = u64::from(u16::from_le_bytes([at(1), at(2)]));
    let policy = policy(at(3));
    match at(0) % 9 {
        0 => ("sanitize-text", vec![text(), json!(number), policy]),
        1 => ("sanitize-json", vec![text(), policy]),
        2 => ("validate-start", vec![text(), policy]),
        3 => ("validate-end", vec![text(), policy]),
        4 => ("bind-session", vec![text(), text()]),
        5 => ("build-start", vec![start(number, &mut text), policy]),
        6 => ("build-end", vec![end(number, &mut text), policy]),
        7 => ("step", vec![text(), breaker_policy(number), input(at(3)), json!(number << 24)]),
        _ => (
            "backoff-delay",
            vec![json!({ "base-ms": number, "cap-ms": number << 3 }), json!(at(3)), Value::Null],
        ),
    }
}

fn policy(bits: u8) -> Value {
    let is_set = |bit: u8| bits & (1 << bit) != 0;
    let entries = |set: bool, entry: &str| if set { vec![entry.to_owned()] } else { Vec::new() };
    json!({
        "hide-cwd": is_set(0), "hide-home": is_set(1), "hide-hostname": is_set(2), "hide-username": is_set(3),
        "secret-keys": entries(is_set(4), "door-code"), "secret-prefixes": entries(is_set(5), "acme_pat_"),
    })
}

/// Times and ids are given, so that nothing depends on the clock or on entropy.
fn start(number: u64, text: &mut impl FnMut() -> Value) -> Value {
    json!({
        "component-name": "mahavishnu", "shell-type": text(), "pid": number,
        "user": { "username": text(), "home": text() }, "hostname": text(),
        "environment": { "python-version": "n/a", "platform": "Linux", "cwd": text() }, "metadata": text(),
        "correlation-id": null, "origin": null, "event-id": "2f1e8a52-3c5d-4b7a-9e21-7a0c52f4d310",
        "timestamp": "2026-01-31T12:00:00Z",
    })
}

fn end(number: u64, text: &mut impl FnMut() -> Value) -> Value {
    json!({
        "exit-status": number, "exit-reason": "exited", "metadata": text(), "correlation-id": text(),
        "started-at": text(), "event-id": "9c5b94b1-35ad-49bb-b118-8e8fc24abf80", "timestamp": text(),
    })
}

fn breaker_policy(number: u64) -> Value {
    json!({ "failure-threshold": number & 7, "open-ms": number, "open-max-ms": number << 4, "probe-ms": 20_000 })
}

fn input(byte: u8) -> Value {
    let outcomes = [
        "delivered",
        "refused",
        "unauthorized",
        "overloaded",
        "unreachable",
        "timed-out",
        "server-error",
        "garbled",
    ];
    match byte % 5 {
        0 => json!("ask"),
        1 => json!("force-open"),
        2 => json!("disable"),
        3 => json!("reset"),
        _ => {
            let outcome = outcomes.get(usize::from(byte >> 5)).copied().unwrap_or("delivered");
            json!({ "report": { "generation": byte & 3, "outcome": outcome, "retry-after-ms": null } })
        }
    }
}
