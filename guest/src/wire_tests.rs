//! The exact JSON on the wire, and what the validator says to JSON that is not like it.
#![allow(clippy::unwrap_used, reason = "a test may fail by panicking")]

use crate::events::{bind_session, build_end, build_start};
use crate::oracles::{check_build_end, check_build_start, check_validate, open_policy};
use crate::types::{
    ChangeKind, EndContext, EnvironmentInfo, ExitReason, Origin, Policy, Rule, SessionState, StartContext,
    UserInfo,
};
use crate::validate::{validate_end, validate_start};

const NOW_US: i64 = 1_769_860_800_123_456;
const ID: [u8; 16] = [0x11; 16];
const UUID: &str = "11111111-1111-4111-9111-111111111111";
const KEY: &str = "22222222-2222-4222-8222-222222222222";

fn start() -> StartContext {
    StartContext {
        component_name: "mahavishnu".into(),
        shell_type: "MahavishnuShell".into(),
        pid: 4711,
        user: UserInfo { username: "les".into(), home: "/home/les".into() },
        hostname: "vega".into(),
        environment: EnvironmentInfo {
            python_version: "3.13.0".into(),
            platform: "Linux x86_64".into(),
            cwd: "/home/les/src".into(),
        },
        metadata: String::new(),
        correlation_id: None,
        origin: None,
        event_id: None,
        timestamp: None,
    }
}

fn end() -> EndContext {
    EndContext {
        exit_status: Some(7),
        exit_reason: ExitReason::Exited,
        metadata: String::new(),
        correlation_id: None,
        started_at: None,
        event_id: None,
        timestamp: None,
    }
}

fn wire_of(context: StartContext) -> String {
    check_build_start(context, &open_policy(), NOW_US, ID).unwrap().wire
}

#[test]
fn a_start_looks_exactly_like_this_on_the_wire() {
    assert_eq!(
        wire_of(start()),
        r#"{"event_version":"1.0","event_id":"11111111-1111-4111-9111-111111111111","event_type":"session_start","component_name":"mahavishnu","shell_type":"MahavishnuShell","timestamp":"2026-01-31T12:00:00.123456Z","pid":4711,"user":{"username":"les","home":"/home/les"},"hostname":"vega","environment":{"python_version":"3.13.0","platform":"Linux x86_64","cwd":"/home/les/src"},"metadata":{}}"#
    );
}

#[test]
fn a_start_with_metadata_and_origin_looks_exactly_like_this_on_the_wire() {
    let origin = Origin {
        uid: Some(0),
        login_uid: Some(1000),
        sudo_user: Some("les".into()),
        tty: Some("/dev/pts/3".into()),
        ssh_client: Some("192.0.2.7 50022".into()),
        parent_session: Some(KEY.to_uppercase()),
    };
    let context = StartContext {
        metadata: r#"{"b":[1,-2,3.5,true,null],"a":{"ü":"x"}}"#.into(),
        correlation_id: Some(KEY.into()),
        origin: Some(origin),
        ..start()
    };
    assert!(wire_of(context).ends_with(
        r#""metadata":{"a":{"ü":"x"},"b":[1,-2,3.5,true,null],"correlation_id":"22222222-2222-4222-8222-222222222222","origin":{"login_uid":1000,"parent_session":"22222222-2222-4222-8222-222222222222","ssh_client":"192.0.2.7 50022","sudo_user":"les","tty":"/dev/pts/3","uid":0}}}"#
    ));
}

#[test]
fn an_end_looks_exactly_like_this_on_the_wire() {
    let context = EndContext { correlation_id: Some(KEY.into()), ..end() };
    let prepared = build_end(context, &open_policy(), NOW_US, ID).unwrap();
    let metadata = r#""metadata":{"correlation_id":"22222222-2222-4222-8222-222222222222","event_id":"11111111-1111-4111-9111-111111111111","exit_reason":"exited","exit_status":7}}"#;
    let rest = format!(r#""event_type":"session_end","timestamp":"2026-01-31T12:00:00.123456Z",{metadata}"#);
    assert_eq!(prepared.wire, format!("{{{rest}"));
    assert_eq!(bind_session(&prepared.wire, "m-1").unwrap(), format!(r#"{{"session_id":"m-1",{rest}"#));
}

#[test]
fn every_exit_reason_leads_to_its_state() {
    for (reason, state) in [
        (ExitReason::Exited, SessionState::Ended),
        (ExitReason::Signaled, SessionState::Ended),
        (ExitReason::Unknown, SessionState::Ended),
        (ExitReason::Vanished, SessionState::Crashed),
        (ExitReason::Rebooted, SessionState::Lost),
        (ExitReason::Expired, SessionState::Lost),
    ] {
        let context = EndContext { exit_reason: reason, exit_status: None, ..end() };
        let bound = check_build_end(context, &open_policy(), NOW_US, ID).unwrap();
        assert_eq!(validate_end(&bound, &open_policy()).unwrap().state, state);
    }
}

#[track_caller]
fn check_start_refused(json: &str, expected: &[(&str, Rule)]) {
    check_validate(json, &open_policy());
    let violations = validate_start(json, &open_policy()).unwrap_err();
    let found: Vec<_> = violations.iter().map(|v| (v.field.as_str(), v.rule)).collect();
    assert_eq!(found, expected, "{json}");
}

#[test]
fn every_broken_member_of_a_start_is_refused_with_its_rule() {
    let valid = wire_of(start());
    for (from, to, field, rule) in [
        ("\"1.0\"", "\"2.0\"", "event_version", Rule::BadFormat),
        ("\"1.0\"", "1.0", "event_version", Rule::WrongType),
        ("\"session_start\"", "\"session_end\"", "event_type", Rule::BadFormat),
        (UUID, "11111111-1111-1111-9111-111111111111", "event_id", Rule::BadFormat),
        (UUID, "11111111111141119111111111111111", "event_id", Rule::BadFormat),
        (UUID, "", "event_id", Rule::BadFormat),
        ("\"mahavishnu\"", "\"\"", "component_name", Rule::Empty),
        ("\"mahavishnu\"", "\"mahavishnu\\n\"", "component_name", Rule::BadFormat),
        ("\"mahavishnu\"", "\"maha vishnu\"", "component_name", Rule::BadFormat),
        ("\"mahavishnu\"", "\"mäha\"", "component_name", Rule::BadFormat),
        ("\"MahavishnuShell\"", "\" \\u200b\"", "shell_type", Rule::Empty),
        ("2026-01-31T", "2026-02-30T", "timestamp", Rule::BadFormat),
        ("2026-01-31T", "2026-01-31 ", "timestamp", Rule::BadFormat),
        ("123456Z", "123456", "timestamp", Rule::BadFormat),
        ("123456Z", "123456z", "timestamp", Rule::BadFormat),
        (":00.123456Z", ":60Z", "timestamp", Rule::BadFormat),
        (":00.123456Z", ":00.Z", "timestamp", Rule::BadFormat),
        (":00.123456Z", ":00+25:00", "timestamp", Rule::BadFormat),
        (":4711", ":0", "pid", Rule::OutOfRange),
        (":4711", ":-1", "pid", Rule::OutOfRange),
        (":4711", ":4194305", "pid", Rule::OutOfRange),
        (":4711", ":18446744073709551615", "pid", Rule::OutOfRange),
        (":4711", ":18446744073709551616", "pid", Rule::OutOfRange),
        (":4711", ":1e999", "pid", Rule::OutOfRange),
        (":4711", ":4711.0", "pid", Rule::WrongType),
        (":4711", ":\"4711\"", "pid", Rule::WrongType),
        (":4711", ":true", "pid", Rule::WrongType),
        ("\"les\"", "\"\"", "user.username", Rule::Empty),
        ("\"les\"", "null", "user.username", Rule::WrongType),
        ("\"username\":\"les\",", "", "user.username", Rule::Required),
        ("\"home\"", "\"uid\":0,\"home\"", "user.uid", Rule::UnknownField),
        ("{\"username\":\"les\",\"home\":\"/home/les\"}", "[]", "user", Rule::WrongType),
        ("\"vega\"", "\"\"", "hostname", Rule::Empty),
        ("\"hostname\":\"vega\",", "", "hostname", Rule::Required),
        ("\"platform\":\"Linux x86_64\",", "", "environment.platform", Rule::Required),
        ("\"metadata\":{}", "\"metadata\":[]", "metadata", Rule::WrongType),
        ("\"metadata\":{}", "\"metadata\":{\"a\":1,\"a\":2}", "metadata.a", Rule::DuplicateKey),
        ("\"metadata\":{}", "\"metadata\":{\"a\":1e400}", "metadata.a", Rule::OutOfRange),
        (
            "\"metadata\":{}",
            "\"metadata\":{\"t\":[0,{\"a\":99999999999999999999}]}",
            "metadata.t[1].a",
            Rule::OutOfRange,
        ),
        ("\"metadata\":{}", "\"metadata\":{\"a\":\"\\ud800\"}", "metadata.a", Rule::BadJson),
        ("\"metadata\":{}", "\"metadata\":{\"\\u200b\":1}", "metadata.<key 1>", Rule::Empty),
        ("\"metadata\":{}", "\"metadata\":{\"a\":1,\"a\\u200b\":2}", "metadata.a", Rule::KeyCollision),
        ("\"metadata\":{}", "\"metadata\":{},\"correlation_id\":\"x\"", "correlation_id", Rule::UnknownField),
        ("\"metadata\":{}", "\"metadata\":{},\"\\u001b[31m\":1", "<key 1>", Rule::UnknownField),
        ("\"metadata\":{}", "\"metadata\":{},\"token\":1", "token", Rule::WrongType),
    ] {
        assert!(valid.contains(from), "{from}");
        check_start_refused(&valid.replacen(from, to, 1), &[(field, rule)]);
    }
}

#[test]
fn what_is_no_json_object_is_refused_with_its_rule() {
    for text in [
        "",
        " ",
        "{",
        "{]",
        "nul",
        "\u{FEFF}{}",
        "{\"a\":1,}",
        "{'a':1}",
        "{} {}",
        "{\"a\":01}",
        "{\"a\":NaN}",
    ] {
        check_start_refused(text, &[("", Rule::BadJson)]);
    }
    for text in ["[]", "null", "3", "\"x\"", "true"] {
        check_start_refused(text, &[("", Rule::WrongType)]);
    }
    check_start_refused(&" ".repeat(crate::limits::JSON_BYTES_MAX + 1), &[("", Rule::TooLarge)]);
}

#[test]
fn all_violations_are_told_at_once() {
    let violations = validate_start("{\"pid\":0,\"user\":{},\"x\":1}", &open_policy()).unwrap_err();
    let fields: Vec<_> = violations.iter().map(|v| v.field.as_str()).collect();
    let expected = [
        "event_version",
        "event_type",
        "event_id",
        "component_name",
        "shell_type",
        "timestamp",
        "user.username",
        "user.home",
        "hostname",
        "environment",
        "pid",
        "x",
    ];
    for field in expected {
        assert!(fields.contains(&field), "{field} in {fields:?}");
    }
    assert_eq!(fields.len(), expected.len());
}

#[test]
fn nesting_is_refused_beyond_the_limit_and_never_overflows_the_stack() {
    let nested = |depth: usize| {
        let wire = wire_of(start());
        wire.replace(
            "\"metadata\":{}",
            &format!("\"metadata\":{{\"a\":{}{}}}", "[".repeat(depth - 1), "]".repeat(depth - 1)),
        )
    };
    assert!(validate_start(&nested(16), &open_policy()).is_ok());
    let violations = validate_start(&nested(17), &open_policy()).unwrap_err();
    assert_eq!(violations.first().unwrap().rule, Rule::TooDeep);
    assert_eq!(
        validate_start(&nested(50_000), &open_policy()).unwrap_err().first().unwrap().rule,
        Rule::TooDeep
    );
    check_start_refused(&"[".repeat(100_000), &[("", Rule::BadJson)]);
}

#[test]
fn a_token_and_null_metadata_are_accepted_as_python_clients_send_them() {
    let wire = wire_of(start()).replace("\"metadata\":{}", "\"metadata\":null,\"token\":\"secret\"");
    let event = validate_start(&wire, &open_policy()).unwrap();
    assert_eq!(event.metadata, "{}");
    assert!(!format!("{event:?}").contains("secret"));
    let wire =
        wire_of(start()).replace("\"metadata\":{}", "\"metadata\":{\"codename\":\"osprey\"},\"token\":null");
    let policy = Policy { secret_keys: vec!["codename".into()], ..open_policy() };
    assert_eq!(validate_start(&wire, &policy).unwrap().metadata, r#"{"codename":"[redacted]"}"#);
}

#[test]
fn any_offset_is_accepted_and_becomes_utc() {
    let wire = wire_of(start()).replace("2026-01-31T12:00:00.123456Z", "2026-01-31T14:30:00.1234567+02:30");
    let event = validate_start(&wire, &open_policy()).unwrap();
    assert_eq!((event.timestamp.as_str(), event.timestamp_us), ("2026-01-31T12:00:00.123456Z", NOW_US));
}

#[test]
fn what_a_foreign_client_keeps_under_our_reserved_keys_is_not_taken_for_ours() {
    let json = r#"{"session_id":"s","timestamp":"2026-01-31T12:00:00Z","metadata":{"correlation_id":"abc","event_id":7,"exit_status":"bad","exit_reason":"bored","origin":[]}}"#;
    let event = validate_end(json, &open_policy()).unwrap();
    assert_eq!((event.correlation_id, event.event_id, event.exit_status), (None, None, None));
    assert_eq!((event.exit_reason, event.state), (ExitReason::Unknown, SessionState::Ended));
    assert!(event.metadata.contains(r#""correlation_id":"abc""#));
}

#[test]
fn a_caller_must_not_write_reserved_keys() {
    for key in ["correlation_id", "event_id", "exit_status", "exit_reason", "origin", "origin\\u200b"] {
        let context = StartContext { metadata: format!("{{\"{key}\":1}}"), ..start() };
        let violations = build_start(context, &open_policy(), NOW_US, ID).unwrap_err();
        assert_eq!(violations.first().unwrap().rule, Rule::ReservedKey, "{key}");
    }
}

#[test]
fn a_clock_that_was_set_back_moves_the_end_and_a_time_that_was_passed_is_refused() {
    let started_at = Some("2026-01-31T13:00:00Z".to_owned());
    let clock = EndContext { started_at: started_at.clone(), ..end() };
    assert_eq!(
        build_end(clock, &open_policy(), NOW_US, ID).unwrap().timestamp,
        "2026-01-31T13:00:00.000000Z"
    );
    let passed = EndContext { started_at, timestamp: Some("2026-01-31T12:59:59Z".into()), ..end() };
    let violations = build_end(passed, &open_policy(), NOW_US, ID).unwrap_err();
    assert_eq!(violations.first().unwrap().rule, Rule::BeforeStart);
}

#[test]
fn a_session_id_is_bound_only_if_it_is_visible_ascii_and_only_once() {
    let wire = build_end(end(), &open_policy(), NOW_US, ID).unwrap().wire;
    for (id, rule) in [
        ("", Rule::Empty),
        ("a b", Rule::BadFormat),
        ("a\n", Rule::BadFormat),
        ("ä", Rule::BadFormat),
        (&"x".repeat(201), Rule::TooLong),
    ] {
        assert_eq!(bind_session(&wire, id).unwrap_err().first().unwrap().rule, rule, "{id:?}");
    }
    let bound = bind_session(&wire, &"x".repeat(200)).unwrap();
    assert_eq!(bind_session(&bound, "y").unwrap_err().first().unwrap().rule, Rule::UnknownField);
}

#[test]
fn what_the_surroundings_supply_is_cleaned_and_never_refused() {
    let context = StartContext {
        user: UserInfo { username: "\u{202E}".repeat(9), home: "x".repeat(200_000) },
        hostname: "\u{1B}]0;title\u{7}".into(),
        environment: EnvironmentInfo {
            python_version: String::new(),
            platform: " \t\n".into(),
            cwd: "/tmp/\u{1B}[31mred\u{1B}[0m/é\u{2028}".into(),
        },
        ..start()
    };
    let event = check_build_start(context, &open_policy(), NOW_US, ID).unwrap();
    let valid = validate_start(&event.wire, &open_policy()).unwrap();
    assert_eq!((valid.user.username.as_str(), valid.hostname.as_str()), ("unknown", "unknown"));
    assert_eq!(valid.user.home.len(), 500);
    assert_eq!(valid.environment.python_version, "n/a");
    assert_eq!(
        (valid.environment.platform.as_str(), valid.environment.cwd.as_str()),
        ("unknown", "/tmp/red/é")
    );
    assert!(
        event.changes.iter().any(|c| c.field == "environment.cwd" && c.kind == ChangeKind::EscapeSequence)
    );
}

#[test]
fn what_is_too_long_on_the_wire_is_refused() {
    for (field, from, max) in [
        ("user.username", "\"les\"", 100),
        ("user.home", "\"/home/les\"", 500),
        ("hostname", "\"vega\"", 255),
        ("environment.cwd", "\"/home/les/src\"", 500),
        ("environment.platform", "\"Linux x86_64\"", 200),
        ("environment.python_version", "\"3.13.0\"", 100),
        ("shell_type", "\"MahavishnuShell\"", 100),
        ("component_name", "\"mahavishnu\"", 100),
    ] {
        let fill = if field == "component_name" { "a" } else { "é" };
        let fits = wire_of(start()).replacen(from, &format!("\"{}\"", fill.repeat(max)), 1);
        assert!(validate_start(&fits, &open_policy()).is_ok(), "{field}");
        let long = wire_of(start()).replacen(from, &format!("\"{}\"", fill.repeat(max + 1)), 1);
        check_start_refused(&long, &[(field, Rule::TooLong)]);
    }
}

#[test]
fn what_the_policy_hides_is_nowhere_in_the_event() {
    let policy = Policy {
        hide_cwd: false,
        hide_home: true,
        hide_hostname: true,
        hide_username: true,
        ..open_policy()
    };
    let event = check_build_start(start(), &policy, NOW_US, ID).unwrap();
    assert!(!event.wire.contains("les") && !event.wire.contains("vega"), "{}", event.wire);
    assert!(event.wire.contains("\"cwd\":\"[hidden]/src\""), "{}", event.wire);
}

#[test]
fn a_name_that_is_hidden_is_hidden_in_paths_and_behind_sudo_and_nothing_else_is() {
    let policy = Policy { hide_username: true, ..open_policy() };
    let mut context = start();
    context.environment.cwd = "/srv/les/lesson/les".into();
    let event = check_build_start(context, &policy, NOW_US, ID).unwrap();
    for shown in [r#""home":"/home/[hidden]""#, r#""cwd":"/srv/[hidden]/lesson/[hidden]""#] {
        assert!(event.wire.contains(shown), "{}", event.wire);
    }

    let (uid, login_uid, tty, ssh_client, parent_session) = (None, None, None, None, None);
    let origin = Origin { sudo_user: Some("les".into()), uid, login_uid, tty, ssh_client, parent_session };
    let told = wire_of(StartContext { origin: Some(origin), ..start() });
    let valid = validate_start(&told, &policy).unwrap();
    assert!(valid.metadata.contains(r#""sudo_user":"[hidden]""#), "{}", valid.metadata);
    let hidden = valid.changes.iter().filter(|change| change.kind == ChangeKind::Hidden);
    let fields: Vec<_> = hidden.map(|change| change.field.as_str()).collect();
    assert!(fields.contains(&"metadata.origin.sudo_user") && fields.contains(&"user.home"), "{fields:?}");

    let mut nameless = start();
    nameless.user.username = String::new();
    let event = check_build_start(nameless, &policy, NOW_US, ID).unwrap();
    assert!(event.wire.contains(r#""home":"/home/les""#), "{}", event.wire);
}
