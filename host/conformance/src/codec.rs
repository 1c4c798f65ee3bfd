//! WIT values as JSON and back, and functions of the contract called by name.
//!
//! Records are objects with the names of the contract (`hide-cwd`), enums are strings, an absent option
//! is `null`, a result is `{"ok": …}` or `{"err": …}`. Included once for each set of generated types
//! (`super::types`): the host's here, the guest's own where the crate is run natively.

use serde_json::{Map, Value, json};

use super::types::*;

/// A value that crosses the boundary.
pub trait Codec: Sized {
    /// The value that JSON says, or what is wrong with it.
    fn from_json(value: &Value) -> Result<Self, String>;
    /// The value as JSON.
    fn to_json(&self) -> Value;
}

macro_rules! records {
    ($($type:ident: $($field:ident)*;)*) => {$(
        impl Codec for $type {
            fn from_json(value: &Value) -> Result<Self, String> {
                let object = value.as_object().ok_or_else(|| format!("{}: not an object", stringify!($type)))?;
                Ok(Self { $($field: member(object, stringify!($field))?,)* })
            }
            fn to_json(&self) -> Value {
                let members = [$((stringify!($field).replace('_', "-"), self.$field.to_json()),)*];
                Value::Object(members.into_iter().collect())
            }
        }
    )*};
}

macro_rules! enums {
    ($($type:ident: $($case:ident)*;)*) => {$(
        impl Codec for $type {
            fn from_json(value: &Value) -> Result<Self, String> {
                let name = value.as_str().unwrap_or_default();
                $(if name == kebab(stringify!($case)) { return Ok(Self::$case); })*
                Err(format!("{value} is no {}", stringify!($type)))
            }
            fn to_json(&self) -> Value {
                match self { $(Self::$case => Value::String(kebab(stringify!($case))),)* }
            }
        }
    )*};
}

macro_rules! numbers {
    ($($type:ident)*) => {$(
        impl Codec for $type {
            fn from_json(value: &Value) -> Result<Self, String> {
                let number = value.as_i64().map(i128::from).or(value.as_u64().map(i128::from));
                number.and_then(|n| n.try_into().ok()).ok_or_else(|| format!("{value} is no {}", stringify!($type)))
            }
            fn to_json(&self) -> Value {
                json!(self)
            }
        }
    )*};
}

records! {
    Violation: field rule message;
    Change: field kind detail;
    Policy: hide_cwd hide_home hide_hostname hide_username secret_keys secret_prefixes;
    UserInfo: username home;
    EnvironmentInfo: python_version platform cwd;
    Origin: uid login_uid sudo_user tty ssh_client parent_session;
    StartContext: component_name shell_type pid user hostname environment metadata correlation_id origin event_id timestamp;
    EndContext: exit_status exit_reason metadata correlation_id started_at event_id timestamp;
    PreparedEvent: event_id timestamp wire changes;
    StartEvent: event_id component_name shell_type timestamp timestamp_us pid user hostname environment metadata correlation_id changes;
    EndEvent: session_id timestamp timestamp_us metadata event_id correlation_id exit_status exit_reason state changes;
    CleanText: text changes;
    BreakerPolicy: failure_threshold open_ms open_max_ms probe_ms;
    CallReport: generation outcome retry_after_ms;
    BreakerStep: state previous phase generation allowed probe failures retry_at_ms discarded;
    BackoffPolicy: base_ms cap_ms;
}

enums! {
    Rule: Required WrongType Empty TooLong TooLarge TooDeep TooMany OutOfRange BadFormat UnknownField
        DuplicateKey KeyCollision ReservedKey BadJson BeforeStart;
    ChangeKind: EscapeSequence Control Bidi Invisible InvalidScalar Normalized Redacted Hidden Truncated
        Trimmed Defaulted;
    ExitReason: Exited Signaled Unknown Vanished Rebooted Expired;
    SessionState: Active Ended Crashed Lost;
    Outcome: Delivered Refused Unauthorized Overloaded Unreachable TimedOut ServerError Garbled;
    BreakerPhase: Closed Open HalfOpen ForcedOpen Disabled;
}

numbers! { u32 i32 u64 i64 }

impl Codec for BreakerInput {
    fn from_json(value: &Value) -> Result<Self, String> {
        match value.as_str() {
            Some("ask") => Ok(Self::Ask),
            Some("force-open") => Ok(Self::ForceOpen),
            Some("disable") => Ok(Self::Disable),
            Some("reset") => Ok(Self::Reset),
            _ => {
                let report = value.get("report").ok_or_else(|| format!("{value} is no breaker-input"))?;
                CallReport::from_json(report).map(Self::Report)
            }
        }
    }

    fn to_json(&self) -> Value {
        match self {
            Self::Ask => json!("ask"),
            Self::ForceOpen => json!("force-open"),
            Self::Disable => json!("disable"),
            Self::Reset => json!("reset"),
            Self::Report(report) => json!({ "report": report.to_json() }),
        }
    }
}

impl Codec for bool {
    fn from_json(value: &Value) -> Result<Self, String> {
        value.as_bool().ok_or_else(|| format!("{value} is no bool"))
    }

    fn to_json(&self) -> Value {
        json!(self)
    }
}

impl Codec for String {
    fn from_json(value: &Value) -> Result<Self, String> {
        value.as_str().map(str::to_owned).ok_or_else(|| format!("{value} is no string"))
    }

    fn to_json(&self) -> Value {
        json!(self)
    }
}

impl<T: Codec> Codec for Option<T> {
    fn from_json(value: &Value) -> Result<Self, String> {
        if value.is_null() { Ok(None) } else { T::from_json(value).map(Some) }
    }

    fn to_json(&self) -> Value {
        self.as_ref().map_or(Value::Null, Codec::to_json)
    }
}

impl<T: Codec> Codec for Vec<T> {
    fn from_json(value: &Value) -> Result<Self, String> {
        value.as_array().ok_or_else(|| format!("{value} is no list"))?.iter().map(T::from_json).collect()
    }

    fn to_json(&self) -> Value {
        Value::Array(self.iter().map(Codec::to_json).collect())
    }
}

fn member<T: Codec>(object: &Map<String, Value>, field: &str) -> Result<T, String> {
    let name = field.replace('_', "-");
    T::from_json(object.get(&name).unwrap_or(&Value::Null)).map_err(|error| format!("{name}: {error}"))
}

/// `TooLong` as the contract writes it: `too-long`.
fn kebab(name: &str) -> String {
    let mut out = String::new();
    for c in name.chars() {
        if c.is_ascii_uppercase() && !out.is_empty() {
            out.push('-');
        }
        out.push(c.to_ascii_lowercase());
    }
    out
}

/// The answer of a function that may refuse.
pub type Answer<T> = Result<Result<T, Vec<Violation>>, String>;

/// The functions of the contract. The outer error says why there is no answer at all.
#[allow(missing_docs, reason = "each is the function of that name in the contract")]
pub trait Functions {
    fn build_start(&self, context: StartContext, policy: Policy) -> Answer<PreparedEvent>;
    fn build_end(&self, context: EndContext, policy: Policy) -> Answer<PreparedEvent>;
    fn bind_session(&self, wire: String, session_id: String) -> Answer<String>;
    fn sanitize_text(&self, text: String, scalars_max: u32, policy: Policy) -> Answer<CleanText>;
    fn sanitize_json(&self, json: String, policy: Policy) -> Answer<CleanText>;
    fn validate_start(&self, json: String, policy: Policy) -> Answer<StartEvent>;
    fn validate_end(&self, json: String, policy: Policy) -> Answer<EndEvent>;
    fn step(
        &self,
        state: String,
        policy: BreakerPolicy,
        input: BreakerInput,
        now_ms: u64,
    ) -> Answer<BreakerStep>;
    fn backoff_delay(&self, policy: BackoffPolicy, attempt: u32, retry_after_ms: Option<u64>) -> Answer<u64>;
}

/// Calls a function by its name in the contract.
pub fn call(subject: &dyn Functions, function: &str, arguments: &[Value]) -> Result<Value, String> {
    let at = Arguments(arguments);
    match function {
        "build-start" => answer(subject.build_start(at.get(0)?, at.get(1)?)),
        "build-end" => answer(subject.build_end(at.get(0)?, at.get(1)?)),
        "bind-session" => answer(subject.bind_session(at.get(0)?, at.get(1)?)),
        "sanitize-text" => answer(subject.sanitize_text(at.get(0)?, at.get(1)?, at.get(2)?)),
        "sanitize-json" => answer(subject.sanitize_json(at.get(0)?, at.get(1)?)),
        "validate-start" => answer(subject.validate_start(at.get(0)?, at.get(1)?)),
        "validate-end" => answer(subject.validate_end(at.get(0)?, at.get(1)?)),
        "step" => answer(subject.step(at.get(0)?, at.get(1)?, at.get(2)?, at.get(3)?)),
        "backoff-delay" => answer(subject.backoff_delay(at.get(0)?, at.get(1)?, at.get(2)?)),
        other => Err(format!("the contract has no function {other}")),
    }
}

struct Arguments<'a>(&'a [Value]);

impl Arguments<'_> {
    fn get<T: Codec>(&self, at: usize) -> Result<T, String> {
        let value = self.0.get(at).ok_or_else(|| format!("argument {at} is missing"))?;
        T::from_json(value).map_err(|error| format!("argument {at}: {error}"))
    }
}

fn answer<T: Codec>(answer: Answer<T>) -> Result<Value, String> {
    Ok(match answer? {
        Ok(value) => json!({ "ok": value.to_json() }),
        Err(violations) => json!({ "err": violations.to_json() }),
    })
}
