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

fn is_bidi_control(c: char) -> bool {
    matches!(c, '\u{61C}' | '\u{200E}' | '\u{200F}' | '\u{202A}'..='\u{202E}' | '\u{2066}'..='\u{2069}')
}

/// Default-ignorable characters that may stay next to the right neighbours.
fn is_contextual(c: char) -> bool {
    matches!(c, '\u{200C}' | '\u{200D}' | '\u{180B}'..='\u{180F}' | '\u{FE00}'..='\u{FE0F}'
        | '\u{E0020}'..='\u{E007F}' | '\u{E0100}'..='\u{E01EF}')
}

fn is_never_allowed(c: char) -> bool {
    let code = u32::from(c);
    c.is_control()
        || is_bidi_control(c)
        || matches!(c, '\u{AD}' | '\u{34F}' | '\u{115F}' | '\u{1160}' | '\u{17B4}' | '\u{17B5}' | '\u{3164}')
        || matches!(
            c,
            '\u{200B}' | '\u{2028}' | '\u{2029}' | '\u{2060}'..='\u{206F}' | '\u{FEFF}' | '\u{FFA0}'
        )
        || matches!(c, '\u{FFF0}'..='\u{FFFB}' | '\u{1BCA0}'..='\u{1BCA3}' | '\u{1D173}'..='\u{1D17A}')
        || ((0xE0000..=0xE0FFF).contains(&code) && !is_contextual(c))
        || matches!(c, '\u{E000}'..='\u{F8FF}' | '\u{F0000}'..='\u{10FFFF}')
        || (0xFDD0..=0xFDEF).contains(&code)
        || code & 0xFFFE == 0xFFFE
}

/// No control, escape, bidi control, noncharacter or private use character, and no default-ignorable
/// character without a neighbour that gives it a meaning.
#[track_caller]
pub fn assert_clean(text: &str) {
    let chars: Vec<char> = text.chars().collect();
    for (at, &c) in chars.iter().enumerate() {
        assert!(!is_never_allowed(c), "{c:?} in {text:?}");
        if !is_contextual(c) {
            continue;
        }
        let before = at.checked_sub(1).and_then(|at| chars.get(at)).copied();
        let after = chars.get(at + 1).copied();
        let Some(before) = before else { panic!("{c:?} begins {text:?}") };
        match c {
            '\u{200C}' => assert!(!before.is_ascii() && after.is_some_and(|c| !c.is_ascii()), "{text:?}"),
            '\u{200D}' => assert!(!before.is_ascii(), "{text:?}"),
            '\u{E0020}'..='\u{E007F}' => {
                assert!(before == '\u{1F3F4}' || matches!(before, '\u{E0020}'..='\u{E007E}'), "{text:?}");
            }
            '\u{FE0F}' if matches!(before, '#' | '*' | '0'..='9') => assert_eq!(after, Some('\u{20E3}')),
            _ => assert!(!before.is_ascii() && !is_contextual(before), "{text:?}"),
        }
    }
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
