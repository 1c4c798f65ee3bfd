//! The rules of Session-Buddy's own models (`event_models.py`, 0.23.0), one after the other, against ours:
//! what they refuse is refused, and what they let pass by mistake is refused as well.
#![allow(clippy::unwrap_used, reason = "a test may fail by panicking")]

use crate::oracles::open_policy;
use crate::types::{Rule, Violation};
use crate::validate::{validate_end, validate_start};

const START: &str = r#"{"event_version":"1.0","event_id":"11111111-1111-4111-9111-111111111111","event_type":"session_start","component_name":"c","shell_type":"S","timestamp":"2026-01-31T12:00:00Z","pid":1,"user":{"username":"u","home":"/h"},"hostname":"n","environment":{"python_version":"3","platform":"p","cwd":"/w"},"metadata":{}}"#;
const END: &str = r#"{"event_type":"session_end","session_id":"c-20260131-120000","timestamp":"2026-01-31T12:00:00Z","metadata":{}}"#;

/// A rule of theirs, a member and the value that breaks it (nothing: the member is left out), ours.
type Case = (&'static str, &'static str, Option<String>, Rule);

fn text(text: &str) -> Option<String> {
    Some(serde_json::Value::from(text).to_string())
}

fn json(json: &str) -> Option<String> {
    Some(json.to_owned())
}

/// `event` with another value at `path`, members separated by dots.
fn changed(event: &str, path: &str, value: Option<&str>) -> String {
    let mut event: serde_json::Value = serde_json::from_str(event).unwrap();
    let (parents, name) = path.rsplit_once('.').map_or((None, path), |(parents, name)| (Some(parents), name));
    let parent = match parents {
        Some(parent) => event.get_mut(parent).unwrap(),
        None => &mut event,
    };
    let object = parent.as_object_mut().unwrap();
    match value {
        // The value is put in as text: serde_json would round what does not fit.
        Some(_) => object.insert(name.to_owned(), "PLACE".into()),
        None => object.remove(name),
    };
    event.to_string().replace("\"PLACE\"", value.unwrap_or_default())
}

#[track_caller]
fn check_refused(violations: Result<(), Vec<Violation>>, case: &Case) {
    let (theirs, path, value, rule) = case;
    let violations = violations.expect_err(theirs);
    assert!(violations.iter().any(|v| v.field == *path && v.rule == *rule), "{theirs}: {violations:?}");
    let value = value.as_deref().unwrap_or_default().trim_matches('"');
    // A short value may well be a word of the message.
    let is_echoed = value.len() > 8 && violations.iter().any(|v| v.message.contains(value));
    assert!(!is_echoed, "{theirs}: the input is in the message");
}

fn check(event: &'static str, cases: &[Case], validate: impl Fn(&str) -> Result<(), Vec<Violation>>) {
    validate(event).unwrap();
    for case in cases {
        check_refused(validate(&changed(event, case.1, case.2.as_deref())), case);
    }
}

#[test]
#[rustfmt::skip]
fn what_their_start_refuses_and_what_slips_through_is_refused() {
    use Rule::{BadFormat, Empty, OutOfRange, Required, TooLong, UnknownField, WrongType};
    let required = ["event_version", "event_id", "event_type", "component_name", "shell_type", "timestamp", "pid", "user",
        "hostname", "environment", "user.username", "user.home", "environment.python_version", "environment.platform", "environment.cwd"];
    let mut cases: Vec<Case> = required.iter().map(|&path| ("Field(...)", path, None, Required)).collect();
    for path in required {
        cases.push(("a type of pydantic", path, json("null"), WrongType));
        cases.push(("a type of pydantic", path, json("[1]"), WrongType));
    }
    cases.extend([
        ("UserInfo.username max_length=100", "user.username", text(&"u".repeat(101)), TooLong),
        ("UserInfo.home max_length=500", "user.home", text(&"h".repeat(501)), TooLong),
        ("EnvironmentInfo.cwd max_length=500", "environment.cwd", text(&"w".repeat(501)), TooLong),
        ("validate_version", "event_version", text("1.1"), BadFormat),
        ("validate_event_type", "event_type", text("session_end"), BadFormat),
        ("validate_uuid", "event_id", text("not-a-uuid-at-all"), BadFormat),
        ("validate_component_name", "component_name", text("maha vishnu!"), BadFormat),
        ("validate_component_name", "component_name", text(""), Empty),
        ("validate_timestamp: a T", "timestamp", text("2026-01-31 12:00:00Z"), BadFormat),
        ("validate_timestamp: the pattern", "timestamp", text("2026-1-31T12:00:00Z"), BadFormat),
        ("pid ge=1", "pid", json("0"), OutOfRange),
        ("pid le=4194304", "pid", json("4194305"), OutOfRange),
        ("pid is an int", "pid", json("1.5"), WrongType),
        ("metadata is a dict", "metadata", json("[]"), WrongType),
        ("no such argument of the tool", "session_id", text("x"), UnknownField),
        // Theirs accept what follows.
        ("UUID(v, version=4) overwrites the version", "event_id", text("11111111-1111-1111-9111-111111111111"), BadFormat),
        ("UUID() takes braces", "event_id", text("{11111111-1111-4111-9111-111111111111}"), BadFormat),
        ("UUID() takes urn:uuid:", "event_id", text("urn:uuid:11111111-1111-4111-9111-111111111111"), BadFormat),
        ("UUID() takes no hyphens", "event_id", text("11111111111141119111111111111111"), BadFormat),
        ("$ matches before a newline", "component_name", text("mahavishnu\n"), BadFormat),
        ("$ matches before a newline", "timestamp", text("2026-01-31T12:00:00Z\n"), BadFormat),
        (r"\d matches any digit", "timestamp", text("２０２６-01-31T12:00:00Z"), BadFormat),
        ("the zone is optional", "timestamp", text("2027-01-31T12:00:00"), BadFormat),
        ("the date need not be one", "timestamp", text("2026-02-30T12:00:00Z"), BadFormat),
        ("nor the time", "timestamp", text("2026-01-31T25:61:61Z"), BadFormat),
        ("nor the zone", "timestamp", text("2026-01-31T12:00:00+99:99"), BadFormat),
        ("a leap second", "timestamp", text("2016-12-31T23:59:60Z"), BadFormat),
        ("the year 0000", "timestamp", text("0000-01-01T00:00:00Z"), BadFormat),
        ("a name may be empty", "user.username", text(""), Empty),
        ("a name may be empty", "hostname", text(" \u{200B} "), Empty),
        ("a name may be empty", "shell_type", text("\u{1B}[0m"), Empty),
        ("a text may be endless", "hostname", text(&"n".repeat(256)), TooLong),
        ("a text may be endless", "shell_type", text(&"S".repeat(101)), TooLong),
        ("a text may be endless", "component_name", text(&"c".repeat(101)), TooLong),
        ("a text may be endless", "environment.platform", text(&"p".repeat(201)), TooLong),
        ("a text may be endless", "environment.python_version", text(&"3".repeat(101)), TooLong),
        ("pydantic makes an int of a text", "pid", text("1"), WrongType),
        ("pydantic makes an int of a float", "pid", json("1.0"), WrongType),
        ("pydantic makes an int of a bool", "pid", json("true"), WrongType),
        ("an int has no end", "pid", json("99999999999999999999999999"), OutOfRange),
        ("json.loads takes it for infinity", "pid", json("1e999"), OutOfRange),
        ("models ignore what they do not know", "user.shell", text("x"), UnknownField),
        ("models ignore what they do not know", "environment.lang", text("x"), UnknownField),
    ]);
    check(START, &cases, |event| validate_start(event, &open_policy()).map(drop));
}

#[test]
#[rustfmt::skip]
fn what_their_end_refuses_and_what_slips_through_is_refused() {
    use Rule::{BadFormat, Empty, Required, TooLong, UnknownField, WrongType};
    let cases: Vec<Case> = vec![
        ("Field(...)", "session_id", None, Required),
        ("Field(...)", "timestamp", None, Required),
        ("a type of pydantic", "session_id", json("1"), WrongType),
        ("a type of pydantic", "timestamp", json("1769860800"), WrongType),
        ("validate_event_type", "event_type", text("session_start"), BadFormat),
        ("validate_timestamp: a T", "timestamp", text("2027-01-31"), BadFormat),
        ("validate_timestamp: the pattern", "timestamp", text("2026-01-31T12:00Z"), BadFormat),
        ("metadata is a dict", "metadata", text("x"), WrongType),
        // Theirs accept what follows.
        ("an id may be empty", "session_id", text(""), Empty),
        ("an id may be endless", "session_id", text(&"i".repeat(201)), TooLong),
        ("an id may hold anything", "session_id", text("id\u{1B}]0;x\u{7}"), BadFormat),
        ("the zone is optional", "timestamp", text("2027-01-31T12:00:00"), BadFormat),
        ("models ignore what they do not know", "event_id", text("x"), UnknownField),
    ];
    check(END, &cases, |event| validate_end(event, &open_policy()).map(drop));
}

#[test]
#[rustfmt::skip]
fn what_their_start_accepts_up_to_its_limits_is_accepted_and_unchanged() {
    let long = |scalar: &str, count: usize| scalar.repeat(count);
    for (path, value) in [
        ("component_name", "session-buddy"), ("component_name", "a_b"), ("component_name", "-_-"), ("component_name", "A1"),
        ("component_name", &long("c", 100)), ("shell_type", &long("é", 100)), ("user.username", &long("é", 100)),
        ("user.home", &long("é", 500)), ("hostname", &long("é", 255)), ("environment.cwd", &long("é", 500)),
        ("environment.platform", &long("é", 200)), ("environment.python_version", &long("é", 100)),
    ] {
        let event = changed(START, path, text(value).as_deref());
        let start = validate_start(&event, &open_policy()).unwrap_or_else(|broken| panic!("{path}: {broken:?}"));
        let kept = [
            start.component_name, start.shell_type, start.user.username, start.user.home, start.hostname,
            start.environment.cwd, start.environment.platform, start.environment.python_version,
        ];
        assert!(kept.iter().any(|kept| kept == value) && start.changes.is_empty(), "{path}: {kept:?}");
    }
    for (pid, expected) in [("1", 1), ("4194304", 4_194_304)] {
        let event = changed(START, "pid", Some(pid));
        assert_eq!(validate_start(&event, &open_policy()).unwrap().pid, expected);
    }
}

#[test]
fn times_that_rfc_3339_allows_are_taken_however_they_are_written() {
    for (time, utc) in [
        ("2026-01-31T12:00:00-00:00", "2026-01-31T12:00:00.000000Z"),
        ("2026-01-31T12:00:00.123456789012345Z", "2026-01-31T12:00:00.123456Z"),
        ("2026-01-31T23:59:59+23:59", "2026-01-31T00:00:59.000000Z"),
        ("2024-02-29T00:00:00.5-01:00", "2024-02-29T01:00:00.500000Z"),
    ] {
        let event = changed(START, "timestamp", text(time).as_deref());
        assert_eq!(validate_start(&event, &open_policy()).unwrap().timestamp, utc);
    }
}
