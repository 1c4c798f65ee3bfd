//! The built-in component: every function answers, caps hold, calls may come from many threads.

use std::time::{SystemTime, UNIX_EPOCH};

use shelltrack_sandbox::types::*;
use shelltrack_sandbox::{Error, Limits, Profile, Sandbox};

use crate::{end_context, policy, start_context};

const BREAKER: BreakerPolicy =
    BreakerPolicy { failure_threshold: 3, open_ms: 60_000, open_max_ms: 600_000, probe_ms: 20_000 };

#[test]
fn every_function_answers_in_both_profiles() {
    for profile in [Profile::OneShot, Profile::Service] {
        let sandbox = Sandbox::standard(profile).unwrap();
        let policy = policy();
        let start = sandbox.build_start(&start_context(), &policy).unwrap();
        let stored = sandbox.validate_start(&start.wire, &policy).unwrap();
        assert_eq!((stored.event_id, stored.pid), (start.event_id, 4242));

        let end = sandbox.build_end(&end_context(), &policy).unwrap();
        let bound = sandbox.bind_session(&end.wire, "mahavishnu-20261120-091952-ab").unwrap();
        let stored = sandbox.validate_end(&bound, &policy).unwrap();
        assert_eq!((stored.event_id, stored.exit_status), (Some(end.event_id), Some(7)));

        assert_eq!(sandbox.sanitize_text("a\x1b[31mb", 10, &policy).unwrap().text, "ab");
        assert_eq!(sandbox.sanitize_json("{}", &policy).unwrap().text, "{}");
        let step = sandbox.breaker_step("", &BREAKER, BreakerInput::Ask, 1_000).unwrap();
        assert!(step.allowed, "{step:?}");
        let backoff = BackoffPolicy { base_ms: 1_000, cap_ms: 10_000 };
        assert!(sandbox.backoff_delay(&backoff, 1, None).unwrap() <= 2_000);
    }
}

#[test]
fn the_clock_and_the_entropy_are_the_hosts() {
    let sandbox = Sandbox::standard(Profile::OneShot).unwrap();
    let event = || {
        let wire = sandbox.build_start(&start_context(), &policy()).unwrap().wire;
        sandbox.validate_start(&wire, &policy()).unwrap()
    };
    let (first, second) = (event(), event());
    assert_ne!(first.event_id, second.event_id);
    let now_us = i64::try_from(SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_micros()).unwrap();
    assert!((now_us - second.timestamp_us).abs() < 60_000_000, "{}", second.timestamp);
}

#[test]
fn a_refusal_names_every_broken_rule() {
    let sandbox = Sandbox::standard(Profile::OneShot).unwrap();
    let context = StartContext { component_name: "two words".into(), pid: 0, ..start_context() };
    let error = sandbox.build_start(&context, &policy()).err().unwrap();
    let Error::Rejected(violations) = &error else { panic!("{error:?}") };
    let mut fields: Vec<_> = violations.iter().map(|violation| violation.field.as_str()).collect();
    fields.sort_unstable();
    assert_eq!(fields, ["component_name", "pid"], "{error}");
}

#[test]
fn input_over_the_cap_never_reaches_the_component() {
    let sandbox = Sandbox::standard(Profile::OneShot).unwrap();
    let limit_bytes = Limits::default().input_bytes_max;
    let text = "x".repeat(limit_bytes + 1);
    let error = sandbox.sanitize_text(&text, 10, &policy()).err().unwrap();
    assert!(
        matches!(error, Error::TooLarge { what: "input", bytes, limit_bytes: limit } if bytes == text.len() && limit == limit_bytes),
        "{error}"
    );
    let empty = vec![String::new(); limit_bytes];
    let error = sandbox.sanitize_text("", 10, &Policy { secret_keys: empty, ..policy() }).err().unwrap();
    assert!(matches!(error, Error::TooLarge { what: "input", .. }), "{error}");
}

#[test]
fn the_largest_input_fits_the_memory_and_the_time() {
    let sandbox = Sandbox::standard(Profile::OneShot).unwrap();
    let len = Limits::default().input_bytes_max;
    for text in ["a".repeat(len), "\u{e9}".repeat(len / 2), "\x1b]0;".repeat(len / 4), "\u{0}".repeat(len)] {
        let result = sandbox.sanitize_text(&text, 500, &policy());
        assert!(result.is_ok(), "{result:?}");
        let result = sandbox.validate_start(&text, &policy());
        assert!(matches!(result, Err(Error::Rejected(_))), "{result:?}");
    }
}

#[test]
fn deep_json_is_refused_and_does_not_exhaust_the_stack() {
    let sandbox = Sandbox::standard(Profile::OneShot).unwrap();
    for depth in [10, 127, 128, 129, 100_000] {
        let json = format!("{}{}", "[".repeat(depth), "]".repeat(depth));
        for json in [json.clone(), format!("{{\"metadata\":{{\"a\":{json}}}}}")] {
            let result = sandbox.validate_start(&json, &policy());
            assert!(matches!(result, Err(Error::Rejected(_))), "{depth}: {result:?}");
            let _answered = sandbox.sanitize_json(&json, &policy()).map_err(|error| {
                assert!(matches!(error, Error::Rejected(_)), "{depth}: {error:?}");
            });
        }
    }
}

#[test]
fn more_threads_than_seats_wait_for_their_turn() {
    for profile in [Profile::OneShot, Profile::Service] {
        let sandbox = Sandbox::standard(profile).unwrap();
        std::thread::scope(|scope| {
            for _ in 0..100 {
                scope.spawn(|| {
                    for _ in 0..20 {
                        sandbox.sanitize_text("text", 10, &policy()).unwrap();
                    }
                });
            }
        });
    }
}

#[test]
fn many_sandboxes_live_and_die_in_one_process() {
    for _ in 0..20 {
        let sandbox = Sandbox::standard(Profile::OneShot).unwrap();
        sandbox.sanitize_text("text", 10, &policy()).unwrap();
    }
}
