//! What must hold for anything: checks shared by property tests and fuzz targets.
//!
//! Each `check_*` takes hostile input, calls the component's logic and panics when a promise is
//! broken. The promises are stated here once more, in other words than in the code they judge.

use crate::examples::planted;
use crate::json::{Json, Object};
use crate::json_write;
use crate::types::{
    BreakerInput, BreakerPolicy, BreakerStep, CleanText, EndContext, Policy, PreparedEvent, StartContext,
    Violation,
};
use crate::{breaker, events, limits, sanitize, validate};

#[path = "../../host/conformance/src/characters.rs"]
mod characters;

/// Bytes a message to people may have.
const MESSAGE_BYTES_MAX: usize = 200;

/// A policy without entries.
pub fn open_policy() -> Policy {
    Policy {
        hide_cwd: false,
        hide_home: false,
        hide_hostname: false,
        hide_username: false,
        secret_keys: Vec::new(),
        secret_prefixes: Vec::new(),
    }
}

/// No control, escape, bidi control, noncharacter or private use character, and no default-ignorable
/// character without a neighbour that gives it a meaning: the same predicate by which every component is
/// judged.
#[track_caller]
pub fn assert_clean(text: &str) {
    assert_eq!(characters::misplaced(text), None, "{text:?}");
}

/// The sanitizer: clean, within the limit, trimmed, normal, and a fixed point that reports nothing.
#[track_caller]
pub fn check_sanitize_text(text: &str, scalars_max: u32, policy: &Policy) -> CleanText {
    let once = sanitize::sanitize_text(text, scalars_max, policy);
    assert_clean(&once.text);
    assert!(once.text.chars().count() <= scalars_max as usize, "{text:?}");
    assert_eq!(once.text, once.text.trim(), "{text:?}");
    assert_eq!(crate::nfc::normalize(&once.text), None, "{text:?}");
    assert_eq!(once.text != text, !once.changes.is_empty(), "{text:?} {once:?}");
    let twice = sanitize::sanitize_text(&once.text, scalars_max, policy);
    assert_eq!(twice, CleanText { text: once.text.clone(), changes: Vec::new() }, "{text:?}");
    once
}

/// JSON: violations or a clean object that, cleaned again, stays as it is.
#[track_caller]
pub fn check_sanitize_json(json: &str, policy: &Policy) {
    match sanitize::sanitize_json(json, policy) {
        Ok(once) => {
            assert_clean(&once.text);
            assert!(once.text.len() <= limits::METADATA_BYTES_MAX, "{json:?}");
            for change in &once.changes {
                assert_clean(&change.field);
            }
            let twice = sanitize::sanitize_json(&once.text, policy);
            assert_eq!(twice, Ok(CleanText { text: once.text, changes: Vec::new() }), "{json:?}");
        }
        Err(violations) => check_violations(&violations, json),
    }
}

/// Redaction: a planted secret is in no text, report or refusal, whatever stands around it. `number`
/// says which secret.
#[track_caller]
pub fn check_redact(before: &str, number: usize, after: &str, scalars_max: u32, policy: &Policy) {
    let (text, secret) = planted(number);
    let alone = sanitize::sanitize_text(&format!("{before} {after}"), u32::MAX, policy).text;
    if before.contains(&secret) || after.contains(&secret) || alone.contains(&secret) {
        return;
    }
    let text = format!("{before} {text} {after}");
    let clean = check_sanitize_text(&text, scalars_max, policy);
    assert!(!format!("{clean:?}").contains(&secret), "{text:?} became {clean:?}");
    let as_key =
        Object::from([(text.clone(), Json::Null), ("list".to_owned(), Json::List(vec![Json::Text(text)]))]);
    let json = json_write::object(&as_key);
    check_sanitize_json(&json, policy);
    let told = format!("{:?}", sanitize::sanitize_json(&json, policy));
    assert!(!told.contains(&secret), "{json} became {told}");
}

/// Violations: at least one, not too many, readable, without a piece of the input in the message.
#[track_caller]
pub fn check_violations(violations: &[Violation], input: &str) {
    assert!(!violations.is_empty(), "refused without a reason: {input:?}");
    assert!(violations.len() <= limits::VIOLATIONS_MAX);
    for violation in violations {
        assert_clean(&violation.field);
        assert!(violation.field.len() <= limits::PATH_BYTES_MAX);
        assert!(
            violation.message.is_ascii() && violation.message.len() <= MESSAGE_BYTES_MAX,
            "{violation:?}"
        );
    }
}

/// A start: violations, or a wire text that the validator takes without any further change.
#[track_caller]
pub fn check_build_start(
    context: StartContext,
    policy: &Policy,
    now_us: i64,
    id: [u8; 16],
) -> Option<PreparedEvent> {
    match events::build_start(context.clone(), policy, now_us, id) {
        Ok(event) => {
            assert_clean(&event.wire);
            let valid = validate::validate_start(&event.wire, policy);
            let valid = valid.unwrap_or_else(|v| panic!("{v:?} in {}", event.wire));
            assert_eq!(valid.changes, Vec::new(), "{}", event.wire);
            assert_eq!((&valid.event_id, &valid.timestamp), (&event.event_id, &event.timestamp));
            Some(event)
        }
        Err(violations) => {
            check_violations(&violations, &context.metadata);
            None
        }
    }
}

/// An end: violations, or a wire text that can be bound and that the validator then takes.
#[track_caller]
pub fn check_build_end(context: EndContext, policy: &Policy, now_us: i64, id: [u8; 16]) -> Option<String> {
    match events::build_end(context.clone(), policy, now_us, id) {
        Ok(event) => {
            assert_clean(&event.wire);
            let bound = events::bind_session(&event.wire, "mahavishnu-20260131-120000-0a1b2c");
            let bound = bound.unwrap_or_else(|v| panic!("{v:?} in {}", event.wire));
            let valid = validate::validate_end(&bound, policy);
            let valid = valid.unwrap_or_else(|v| panic!("{v:?} in {bound}"));
            assert_eq!(valid.changes, Vec::new(), "{bound}");
            assert_eq!(valid.event_id.as_ref(), Some(&event.event_id));
            assert_eq!((valid.exit_status, valid.exit_reason), (context.exit_status, context.exit_reason));
            assert_eq!(valid.timestamp, event.timestamp);
            Some(bound)
        }
        Err(violations) => {
            check_violations(&violations, &context.metadata);
            None
        }
    }
}

/// Whatever arrives: violations, or an event that is clean; and what the validator made of it is
/// accepted by the validator.
#[track_caller]
pub fn check_validate(json: &str, policy: &Policy) {
    match validate::validate_start(json, policy) {
        Ok(event) => {
            assert_clean(&format!("{event:?}").replace("\\u{200c}", "").replace("\\u{200d}", ""));
            check_sanitize_json(&event.metadata, policy);
        }
        Err(violations) => check_violations(&violations, json),
    }
    match validate::validate_end(json, policy) {
        Ok(event) => assert_clean(&event.metadata),
        Err(violations) => check_violations(&violations, json),
    }
    if let Err(violations) = events::bind_session(json, "id") {
        check_violations(&violations, json);
    }
}

/// What a step of the breaker promises, whatever state it was handed.
#[track_caller]
pub fn check_breaker_step(
    state: &str,
    policy: &BreakerPolicy,
    input: BreakerInput,
    now_ms: u64,
    entropy: u64,
) -> BreakerStep {
    let is_ask = input == BreakerInput::Ask;
    let step = breaker::step(state, policy, input, now_ms, entropy);
    assert!(is_ask || (!step.allowed && !step.probe), "only an ask allows: {step:?}");
    assert!(!step.probe || step.allowed, "{step:?}");
    assert!(!step.allowed || step.retry_at_ms == 0, "{step:?}");
    let again = breaker::step(&step.state, policy, BreakerInput::Ask, now_ms, entropy);
    assert_eq!(again.discarded, None, "its own state is read back: {step:?}");
    assert_eq!(again.previous, step.phase, "{step:?}");
    step
}
