//! Property tests: the oracles on generated input.
#![allow(clippy::unwrap_used, reason = "a test may fail by panicking")]

use proptest::collection::vec;
use proptest::option;
use proptest::prelude::*;

use crate::oracles::{
    check_build_end, check_build_start, check_sanitize_json, check_sanitize_text, check_validate, open_policy,
};
use crate::types::{EndContext, EnvironmentInfo, ExitReason, Origin, Policy, StartContext, UserInfo};

/// Pieces from which hostile text is put together: what the sanitizer looks for, and its neighbours.
static PIECES: &[&str] = &[
    "a",
    "Z",
    "9",
    " ",
    "  ",
    "\t",
    "\n",
    "\r\n",
    "\0",
    "\u{7F}",
    "\u{1B}",
    "\u{1B}[",
    "\u{1B}[31m",
    "\u{1B}]0;",
    "\u{1B}P",
    "\u{1B}\\",
    "\u{7}",
    "\u{9B}",
    "\u{9D}",
    "\u{90}",
    "\u{9C}",
    "\u{85}",
    "\u{18}",
    "\u{1A}",
    "1;2m",
    "\u{202E}",
    "\u{2066}",
    "\u{200B}",
    "\u{200C}",
    "\u{200D}",
    "\u{FEFF}",
    "\u{AD}",
    "\u{34F}",
    "\u{FE0F}",
    "\u{FE0E}",
    "\u{E0101}",
    "\u{E0067}",
    "\u{E007F}",
    "\u{1F3F4}",
    "\u{180E}",
    "\u{180B}",
    "\u{1820}",
    "\u{FDD0}",
    "\u{E000}",
    "\u{FFFF}",
    "\u{10FFFD}",
    "\u{2028}",
    "e\u{301}",
    "\u{301}",
    "\u{323}",
    "\u{345}",
    "\u{1F468}",
    "\u{1F469}",
    "\u{1F3FD}",
    "\u{2764}",
    "#",
    "\u{20E3}",
    "\u{1F1E9}",
    "\u{1F1EA}",
    "क",
    "\u{94D}",
    "ष",
    "\u{93F}",
    "र",
    "می",
    "خ",
    "ا",
    "\u{64E}",
    "שלום",
    "中",
    "\u{9089}",
    "\u{1100}",
    "\u{1161}",
    "\u{11A8}",
    "é",
    "Å",
    "\u{212B}",
    "=",
    ":",
    "\"",
    "'",
    "\\",
    "/",
    "@",
    "&",
    "?",
    ",",
    ";",
    "[",
    "]",
    "{",
    "}",
    "<",
    ">",
    "--",
    "-p",
    "password",
    "token=",
    "Authorization: ",
    "Bearer ",
    "Basic ",
    "cookie: ",
    "pwd",
    "api_key",
    "key",
    "https://",
    "user:pw@",
    "ghp_0123456789abcdefghij",
    "AKIAABCDEFGHIJKLMNOP",
    "eyJhbGciOiJIUzI1NiJ9.eyJhIjoxfQ.",
    "-----BEGIN RSA PRIVATE KEY-----",
    "-----END RSA PRIVATE KEY-----",
    "$6$",
    "[redacted]",
    "[hidden]",
    "[redac",
    "mysql",
    "curl -u a:b",
    "set -x ",
    "$(",
    "${",
    "hunter2",
    "xyzzy-0123",
];

pub(crate) fn hostile_text() -> impl Strategy<Value = String> {
    prop_oneof![
        4 => vec(prop_oneof![6 => proptest::sample::select(PIECES).prop_map(str::to_owned), 1 => "\\PC", 1 => any::<char>().prop_map(String::from)], 0..24).prop_map(|pieces| pieces.concat()),
        1 => any::<String>(),
        1 => vec(any::<u8>(), 0..200).prop_map(|bytes| String::from_utf8_lossy(&bytes).into_owned()),
    ]
}

pub(crate) fn policy() -> impl Strategy<Value = Policy> {
    let entries = || vec(prop_oneof!["[a-z_]{1,8}", hostile_text()], 0..3);
    (any::<[bool; 4]>(), entries(), entries()).prop_map(|(hide, secret_keys, secret_prefixes)| Policy {
        hide_cwd: hide[0],
        hide_home: hide[1],
        hide_hostname: hide[2],
        hide_username: hide[3],
        secret_keys,
        secret_prefixes,
    })
}

pub(crate) fn json() -> impl Strategy<Value = serde_json::Value> {
    let leaf = prop_oneof![
        Just(serde_json::Value::Null),
        any::<bool>().prop_map(Into::into),
        any::<i64>().prop_map(Into::into),
        any::<u64>().prop_map(Into::into),
        any::<f64>().prop_map(Into::into),
        hostile_text().prop_map(Into::into),
    ];
    leaf.prop_recursive(4, 40, 6, |inner| {
        prop_oneof![
            vec(inner.clone(), 0..6).prop_map(Into::into),
            vec((hostile_text(), inner), 0..6)
                .prop_map(|members| serde_json::Value::Object(members.into_iter().collect())),
        ]
    })
}

fn metadata() -> impl Strategy<Value = String> {
    prop_oneof![
        1 => Just(String::new()),
        6 => vec((hostile_text(), json()), 0..6)
            .prop_map(|members| serde_json::Value::Object(members.into_iter().collect()).to_string()),
        1 => hostile_text(),
    ]
}

fn id() -> impl Strategy<Value = Option<String>> {
    option::of(prop_oneof![
        4 => any::<[u8; 16]>().prop_map(crate::fields::new_uuid),
        1 => hostile_text(),
    ])
}

fn time() -> impl Strategy<Value = Option<String>> {
    option::of(prop_oneof![
        4 => (0..=4_000_000_000_000_000_i64).prop_map(crate::time::format_us),
        1 => "[0-9]{4}-[0-9]{2}-[0-9]{2}T[0-9]{2}:[0-9]{2}:[0-9]{2}(\\.[0-9]{1,9})?(Z|[+-][0-9]{2}:[0-9]{2})",
        1 => hostile_text(),
    ])
}

fn origin() -> impl Strategy<Value = Option<Origin>> {
    let text = || option::of(hostile_text());
    let origin = (any::<Option<u32>>(), any::<Option<u32>>(), text(), text(), text(), text());
    option::of(origin.prop_map(|(uid, login_uid, sudo_user, tty, ssh_client, parent_session)| Origin {
        uid,
        login_uid,
        sudo_user,
        tty,
        ssh_client,
        parent_session,
    }))
}

pub(crate) fn start_context() -> impl Strategy<Value = StartContext> {
    let names =
        (prop_oneof![9 => "[A-Za-z0-9_-]{1,100}", 1 => hostile_text()], hostile_text(), 1..5_000_000_u32);
    let texts =
        (hostile_text(), hostile_text(), hostile_text(), hostile_text(), hostile_text(), hostile_text());
    (names, texts, metadata(), id(), origin(), id(), time()).prop_map(
        |(
            (component_name, shell_type, pid),
            texts,
            metadata,
            correlation_id,
            origin,
            event_id,
            timestamp,
        )| {
            let (username, home, hostname, python_version, platform, cwd) = texts;
            StartContext {
                component_name,
                shell_type,
                pid,
                user: UserInfo { username, home },
                hostname,
                environment: EnvironmentInfo { python_version, platform, cwd },
                metadata,
                correlation_id,
                origin,
                event_id,
                timestamp,
            }
        },
    )
}

pub(crate) fn end_context() -> impl Strategy<Value = EndContext> {
    use ExitReason::{Exited, Expired, Rebooted, Signaled, Unknown, Vanished};
    let reason = proptest::sample::select(vec![Exited, Signaled, Unknown, Vanished, Rebooted, Expired]);
    (any::<Option<i32>>(), reason, metadata(), id(), time(), id(), time()).prop_map(
        |(exit_status, exit_reason, metadata, correlation_id, started_at, event_id, timestamp)| EndContext {
            exit_status,
            exit_reason,
            metadata,
            correlation_id,
            started_at,
            event_id,
            timestamp,
        },
    )
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn any_text_becomes_clean_and_stays_as_it_is(text in hostile_text(), max in 0..600_u32, policy in policy()) {
        check_sanitize_text(&text, max, &policy);
    }

    #[test]
    fn any_text_with_a_tiny_limit_stays_below_it(text in hostile_text(), max in 0..12_u32) {
        check_sanitize_text(&text, max, &open_policy());
    }

    #[test]
    fn any_json_becomes_clean_or_is_refused(json in metadata(), policy in policy()) {
        check_sanitize_json(&json, &policy);
    }

    #[test]
    fn any_start_is_refused_or_taken_by_the_validator(
        context in start_context(), policy in policy(), now in any::<i64>(), id in any::<[u8; 16]>()
    ) {
        check_build_start(context, &policy, now, id);
    }

    #[test]
    fn any_end_is_refused_or_can_be_bound(
        context in end_context(), now in 0..4_000_000_000_000_000_i64, id in any::<[u8; 16]>()
    ) {
        check_build_end(context, &open_policy(), now, id);
    }

    #[test]
    fn any_text_on_the_wire_is_refused_or_becomes_a_clean_event(text in prop_oneof![metadata(), hostile_text()]) {
        check_validate(&text, &open_policy());
    }

    #[test]
    fn a_broken_event_never_makes_the_validator_panic(
        context in start_context(), at in any::<prop::sample::Index>(), piece in proptest::sample::select(PIECES)
    ) {
        let context = StartContext { component_name: "c".into(), shell_type: "s".into(), pid: 1, event_id: None, timestamp: None, ..context };
        if let Some(event) = check_build_start(context, &open_policy(), 0, [1; 16]) {
            let boundaries: Vec<usize> = event.wire.char_indices().map(|(at, _)| at).collect();
            let mut broken = event.wire.clone();
            broken.insert_str(*at.get(&boundaries), piece);
            check_validate(&broken, &open_policy());
        }
    }
}
