//! How a fuzzer's bytes become the input of an oracle, one function for each target.
//!
//! Included by the fuzz targets and by the test that replays their corpus, so that both mean the same
//! by a file. The promises themselves are in `shelltrack_guest::oracles`.

use shelltrack_guest::breaker_model::{History, Op};
use shelltrack_guest::oracles::{
    check_build_end, check_build_start, check_redact, check_sanitize_json, check_sanitize_text,
    check_validate, open_policy,
};
use shelltrack_guest::types::{
    EndContext, EnvironmentInfo, ExitReason, Origin, Outcome, Policy, StartContext, UserInfo,
};

/// A driver.
pub(crate) type Driver = fn(&[u8]);

/// Every target with its driver.
pub(crate) const DRIVERS: [(&str, Driver); 5] = [
    ("breaker", breaker),
    ("events", events),
    ("redact", redact),
    ("sanitize", sanitize),
    ("validate", validate),
];

/// Limits that are used for real, and the odd ones below them.
const SCALARS_MAX: [u32; 3] = [1, 7, 100];

/// Hides what can be hidden and knows secrets of its own.
fn strict_policy() -> Policy {
    Policy {
        hide_cwd: true,
        hide_home: true,
        hide_hostname: true,
        hide_username: true,
        secret_keys: vec!["pin".to_owned(), "door-code".to_owned()],
        secret_prefixes: vec!["acme_pat_".to_owned()],
    }
}

/// Text and JSON that somebody made up come out clean.
pub(crate) fn sanitize(bytes: &[u8]) {
    let text = String::from_utf8_lossy(bytes);
    for policy in [open_policy(), strict_policy()] {
        for scalars_max in SCALARS_MAX {
            check_sanitize_text(&text, scalars_max, &policy);
        }
        check_sanitize_json(&text, &policy);
    }
}

/// Whatever arrives over the wire is refused with reasons, or clean and the same when it arrives again.
pub(crate) fn validate(bytes: &[u8]) {
    let json = String::from_utf8_lossy(bytes);
    for policy in [open_policy(), strict_policy()] {
        check_validate(&json, &policy);
    }
}

/// A secret stays in nothing: which one, and where in the text that follows, say the first two bytes.
pub(crate) fn redact(bytes: &[u8]) {
    let Some((&[which, at], rest)) = bytes.split_first_chunk() else { return };
    let text = String::from_utf8_lossy(rest);
    let middle = text.floor_char_boundary(text.len() * usize::from(at) / 255);
    let (before, after) = text.split_at(middle);
    for scalars_max in SCALARS_MAX {
        check_redact(before, usize::from(which), after, scalars_max * 40, &open_policy());
    }
}

/// Members of contexts are lines of the text: what is built is refused with reasons, or a server takes it.
pub(crate) fn events(bytes: &[u8]) {
    let Some((&[kind, number], rest)) = bytes.split_first_chunk() else { return };
    let text = String::from_utf8_lossy(rest);
    let mut lines = text.split('\n').map(str::to_owned);
    let mut line = || lines.next().unwrap_or_default();
    let mut some = |flag: u8| Some(line()).filter(|_| kind >> flag & 1 == 1);
    let (correlation_id, event_id, timestamp) = (some(0), some(1), some(2));
    let origin = Origin {
        uid: Some(number.into()),
        login_uid: None,
        sudo_user: some(3),
        tty: some(4),
        ssh_client: some(5),
        parent_session: some(6),
    };
    let end = EndContext {
        exit_status: Some(i32::from(number)),
        exit_reason: reason(number),
        metadata: line(),
        correlation_id: correlation_id.clone(),
        started_at: timestamp.clone(),
        event_id: event_id.clone(),
        timestamp: timestamp.clone(),
    };
    let start = StartContext {
        component_name: "mahavishnu".to_owned(),
        shell_type: line(),
        pid: number.into(),
        user: UserInfo { username: line(), home: line() },
        hostname: line(),
        environment: EnvironmentInfo { python_version: line(), platform: line(), cwd: line() },
        metadata: end.metadata.clone(),
        correlation_id,
        origin: Some(origin),
        event_id,
        timestamp,
    };
    for policy in [open_policy(), strict_policy()] {
        check_build_start(start.clone(), &policy, i64::from(number) << 44, [number; 16]);
        check_build_end(end.clone(), &policy, i64::from(number) << 44, [number; 16]);
    }
}

fn reason(number: u8) -> ExitReason {
    use ExitReason::{Exited, Expired, Rebooted, Signaled, Unknown, Vanished};
    let all = [Exited, Signaled, Unknown, Vanished, Rebooted, Expired];
    all[usize::from(number) % all.len()]
}

/// Operations of the breaker, two bytes each, go as in the model.
pub(crate) fn breaker(bytes: &[u8]) {
    let mut history = History::default();
    for operation in bytes.chunks_exact(2) {
        history.apply(op(operation[0], operation[1].into()));
    }
}

fn op(kind: u8, argument: u64) -> Op {
    use Outcome::{
        Delivered, Garbled, Overloaded, Refused, ServerError, TimedOut, Unauthorized, Unreachable,
    };
    let all = [Unreachable, TimedOut, ServerError, Garbled, Overloaded, Refused, Unauthorized, Delivered];
    let outcome = all[usize::from(kind >> 3) % all.len()];
    match kind % 8 {
        0 | 1 => Op::Ask,
        2 | 3 => Op::Report(outcome, 0, (argument > 200).then_some(argument * 100)),
        4 => Op::Report(outcome, argument, None),
        5 if argument > 127 => Op::Backward(argument * argument),
        5 => Op::Forward(argument * argument),
        6 => Op::Forward(argument * 1_000),
        _ => [Op::ForceOpen, Op::Disable, Op::Reset, Op::Reset][usize::from(kind >> 6)],
    }
}
