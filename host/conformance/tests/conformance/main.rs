//! The suite against the standard component, run in four ways that must not differ: the crate natively,
//! the component in the sandbox, in wasmtime-py, and as JavaScript by jco in Node.
//!
//! The last two need `SHELLTRACK_CONFORMANCE_PYTHON` (a Python with the package `wasmtime`) and
//! `SHELLTRACK_CONFORMANCE_JCO` (the program `jco`); without them their tests say that they are skipped.
//! What comes out of the corpora is recorded in `recorded/`; `UPDATE_GOLDEN=1` writes it anew.
#![allow(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    clippy::print_stderr,
    reason = "a test ends when something is wrong, and says when it is skipped"
)]

mod driver;
mod fuzz_corpus;
mod native;
mod recorded;

use std::collections::BTreeSet;

use serde_json::Value;
use shelltrack_conformance::{Case, Outcome, host, judge, run, suite};
use shelltrack_sandbox::testing::Hostile;
use shelltrack_sandbox::{COMPONENT, Limits, Profile, Sandbox};

/// Fewer would mean that a file was lost.
const OWN_CASES_MIN: usize = 350;

fn own(suite: &[Case]) -> impl Iterator<Item = &Case> {
    suite.iter().filter(|case| !["naughty-strings", "json-parsing"].contains(&case.group))
}

/// Without what depends on chance: the state of a breaker and the time of its next look, a delay.
fn determined(case: &Case, answers: &[Value]) -> Vec<Value> {
    let mut answers = answers.to_vec();
    for (call, answer) in case.calls.iter().zip(&mut answers) {
        match (call.function.as_str(), answer.get_mut("ok")) {
            ("step", Some(Value::Object(step))) => {
                step.retain(|key, _| !["state", "retry-at-ms"].contains(&key.as_str()))
            }
            ("backoff-delay", Some(delay)) => *delay = Value::Null,
            _ => {}
        }
    }
    answers
}

#[track_caller]
fn check_standard(case: &Case, outcome: &Outcome, way: &str) {
    let fault = outcome.missed.as_ref().or(outcome.differs.as_ref());
    assert!(fault.is_none(), "{way}, {}, {}: {}", case.group, case.name, fault.unwrap());
}

/// Each case holds in `outcomes`, and nothing differs from the native crate.
#[track_caller]
fn check_same_as_native(suite: &[Case], outcomes: &[Outcome], way: &str) {
    assert_eq!(outcomes.len(), suite.len(), "{way}");
    for (case, outcome) in suite.iter().zip(outcomes) {
        check_standard(case, outcome, way);
        let native = run(case, &native::subject);
        let (found, expected) = (determined(case, &outcome.answers), determined(case, &native.answers));
        assert_eq!(found, expected, "{way} differs from native in {}, {}", case.group, case.name);
    }
}

#[test]
fn the_suite_is_whole_and_reaches_every_function() {
    let suite = suite().unwrap();
    assert!(own(&suite).count() >= OWN_CASES_MIN, "{} cases", own(&suite).count());
    let called: BTreeSet<_> =
        suite.iter().flat_map(|case| &case.calls).map(|call| call.function.as_str()).collect();
    let functions = [
        "backoff-delay",
        "bind-session",
        "build-end",
        "build-start",
        "sanitize-json",
        "sanitize-text",
        "step",
        "validate-end",
        "validate-start",
    ];
    assert_eq!(called.into_iter().collect::<Vec<_>>(), functions);
    let names: BTreeSet<_> = suite.iter().map(|case| (case.group, &case.name)).collect();
    assert_eq!(names.len(), suite.len(), "two cases have the same name");
    assert!(
        suite
            .iter()
            .all(|case| case.calls.iter().any(|call| !call.demands.is_empty()) || case.name.starts_with('i'))
    );
}

#[test]
fn the_native_crate_keeps_the_suite() {
    for case in suite().unwrap() {
        check_standard(&case, &run(&case, &native::subject), "native");
    }
}

#[test]
fn the_component_in_the_sandbox_does_the_same() {
    let sandbox = Sandbox::standard(Profile::Service).unwrap();
    let suite = suite().unwrap();
    let outcomes: Vec<_> = suite
        .iter()
        .map(|case| run(case, &|function, arguments| host::call(&sandbox, function, arguments)))
        .collect();
    check_same_as_native(&suite, &outcomes, "sandbox");
}

#[track_caller]
fn check_driver(way: &str, start: impl FnOnce(&std::path::Path) -> Option<std::process::Command>) {
    let directory = tempfile::tempdir().unwrap();
    let component = directory.path().join("component.wasm");
    std::fs::write(&component, COMPONENT).unwrap();
    let Some(command) = start(&component) else { return };
    let suite = suite().unwrap();
    let answers = driver::answers(command, &suite);
    let outcomes: Vec<_> = suite.iter().zip(answers).map(|(case, answers)| judge(case, answers)).collect();
    check_same_as_native(&suite, &outcomes, way);
}

#[test]
fn the_component_in_wasmtime_py_does_the_same() {
    check_driver("wasmtime-py", driver::wasmtime_py);
}

#[test]
fn the_component_in_node_does_the_same() {
    check_driver("jco", driver::jco);
}

#[test]
fn a_component_that_does_nothing_right_holds_nothing() {
    let component = Hostile::Trap.component();
    let sandbox = Sandbox::from_bytes(&component, Profile::OneShot, Limits::default()).unwrap();
    for case in suite().unwrap().iter().step_by(50) {
        let outcome = run(case, &|function, arguments| host::call(&sandbox, function, arguments));
        assert!(outcome.missed.is_some(), "{}, {}", case.group, case.name);
    }
}

/// A suite that nothing can fail proves nothing: each of these is a fault it has to see.
#[test]
fn a_subject_with_a_fault_is_caught() {
    let faults: [(&str, fn(&mut Value)); 6] = [
        ("an escape in a text", |ok| put(ok, "text", "a\u{1b}[31mb")),
        ("a bidi control in a text", |ok| put(ok, "text", "a\u{202e}b")),
        ("a text that is not the cleaned one", |ok| put(ok, "text", "something else")),
        ("an id that is not the given one", |ok| put(ok, "event-id", "00000000-0000-4000-8000-000000000000")),
        ("a breaker that is always open", |ok| put(ok, "phase", "open")),
        ("a state of a session that is always active", |ok| put(ok, "state", "active")),
    ];
    let suite = suite().unwrap();
    for (fault, apply) in faults {
        let subject = |function: &str, arguments: &[Value]| {
            let mut answer = native::subject(function, arguments)?;
            answer.get_mut("ok").into_iter().for_each(apply);
            Ok(answer)
        };
        let caught = suite.iter().filter(|case| run(case, &subject).missed.is_some()).count();
        assert!(caught > 0, "{fault} is not noticed");
    }
}

fn put(ok: &mut Value, member: &str, text: &str) {
    if let Some(value) = ok.get_mut(member) {
        *value = Value::from(text);
    }
}
