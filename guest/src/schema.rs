//! JSON Schemas (draft 2020-12) of both events, made from the limits, names and fields that builder and
//! validator use, and compared with the committed files. `UPDATE_GOLDEN=1` writes those anew.
//!
//! A schema sees parsed JSON: what only text can break (duplicate keys, depth, size, half a surrogate
//! pair) and what needs a calendar or cleaning is for the validator alone. So the schema accepts more,
//! and what it refuses the validator refuses too.
#![allow(clippy::unwrap_used, clippy::indexing_slicing, reason = "a test may fail by panicking")]

use std::path::Path;

use proptest::prelude::*;
use serde_json::{Value, json};

use crate::fields::{CWD, HOME, HOSTNAME, PLATFORM, PYTHON_VERSION, Surrounding, USERNAME};
use crate::limits::{
    COMPONENT_NAME_SCALARS_MAX, METADATA_KEYS_MAX, ORIGIN_SCALARS_MAX, PID_MAX, SESSION_ID_BYTES_MAX,
    SHELL_TYPE_SCALARS_MAX, TIMESTAMP_BYTES_MAX,
};
use crate::metadata::RESERVED_KEYS;
use crate::oracles::{check_build_end, check_build_start, open_policy};
use crate::properties::{end_context, hostile_text, json, policy, start_context};
use crate::validate::{validate_end, validate_start};
use crate::wire;

const UUID_V4: &str =
    "^[0-9a-fA-F]{8}-[0-9a-fA-F]{4}-4[0-9a-fA-F]{3}-[89abAB][0-9a-fA-F]{3}-[0-9a-fA-F]{12}$";
const TIME: &str =
    "^[0-9]{4}-[0-9]{2}-[0-9]{2}T[0-9]{2}:[0-9]{2}:[0-9]{2}(\\.[0-9]+)?(Z|[+-][0-9]{2}:[0-9]{2})$";

/// A text that as a whole is of this form. Some engines, as Python's, let `$` match before a last line feed as well.
fn formed(description: &str, pattern: &str) -> Value {
    json!({"description": description, "type": "string", "pattern": pattern, "not": {"pattern": "\n"}})
}

fn event(name: &str, title: &str, description: &str, required: &[&str], properties: &Value) -> Value {
    json!({
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "$id": format!("urn:shelltrack:schema:{name}:{}", wire::EVENT_VERSION),
        "title": title,
        "description": description,
        "type": "object",
        "additionalProperties": false,
        "required": required,
        "properties": properties,
    })
}

fn object(description: &str, properties: &[(&str, Value)]) -> Value {
    let required: Vec<&str> = properties.iter().map(|(name, _)| *name).collect();
    let properties: serde_json::Map<_, _> =
        properties.iter().map(|(name, schema)| ((*name).to_owned(), schema.clone())).collect();
    json!({
        "description": description, "type": "object", "additionalProperties": false,
        "required": required, "properties": properties,
    })
}

fn surrounding(field: &Surrounding, description: &str) -> Value {
    let mut schema = json!({"description": description, "type": "string", "maxLength": field.scalars_max});
    if field.is_name {
        schema["minLength"] = json!(1);
    }
    schema
}

fn time() -> Value {
    let mut time = formed("When it happened: a real date and time (RFC 3339), to the microsecond.", TIME);
    time["format"] = json!("date-time");
    time["maxLength"] = json!(TIMESTAMP_BYTES_MAX);
    time
}

fn token() -> Value {
    json!({
        "description": "Whom the server should believe; for its door only, never stored.",
        "type": ["string", "null"],
    })
}

fn metadata() -> Value {
    let reserved = json!({
        "correlation_id": {"description": "The emitter's own key of the session (UUID v4)."},
        "event_id": {"description": "In an end: UUID v4 of the event, its idempotency key."},
        "exit_reason": {"description": "In an end: exited, signaled, unknown, vanished, rebooted or expired."},
        "exit_status": {"description": "In an end: exit status, or 128 + signal (32 bits)."},
        "origin": {"description": format!(
            "In a start: who is really there: uid, login_uid, sudo_user, tty, ssh_client and \
             parent_session; texts of at most {ORIGIN_SCALARS_MAX} characters."
        )},
    });
    assert!(RESERVED_KEYS.iter().all(|key| reserved[key].is_object()));
    json!({
        "description": "Further facts. A value under a reserved key that has not the form told here is ordinary metadata.",
        "type": ["object", "null"],
        "maxProperties": METADATA_KEYS_MAX + RESERVED_KEYS.len(),
        "properties": reserved,
    })
}

fn start() -> Value {
    let mut component_name = formed("The component that the shell administers.", "^[A-Za-z0-9_-]+$");
    component_name["maxLength"] = json!(COMPONENT_NAME_SCALARS_MAX);
    let properties = json!({
        "event_version": {"description": "Version of this format.", "const": wire::EVENT_VERSION},
        "event_id": formed("UUID v4 of the event, its idempotency key.", UUID_V4),
        "event_type": {"description": "Kind of event.", "const": wire::START},
        "component_name": component_name,
        "shell_type": {
            "description": "Kind of shell.",
            "type": "string", "minLength": 1, "maxLength": SHELL_TYPE_SCALARS_MAX,
        },
        "timestamp": time(),
        "pid": {"description": "Process id of the shell.", "type": "integer", "minimum": 1, "maximum": PID_MAX},
        "user": object("Whose shell it is.", &[
            ("username", surrounding(&USERNAME, "Login name.")),
            ("home", surrounding(&HOME, "Home directory.")),
        ]),
        "hostname": surrounding(&HOSTNAME, "Name of the machine."),
        "environment": object("Where the shell runs.", &[
            ("python_version", surrounding(&PYTHON_VERSION, "Version of Python, or n/a in a shell without one.")),
            ("platform", surrounding(&PLATFORM, "Operating system and architecture.")),
            ("cwd", surrounding(&CWD, "Working directory.")),
        ]),
        "metadata": metadata(),
        "token": token(),
    });
    let required = [
        "event_version",
        "event_id",
        "event_type",
        "component_name",
        "shell_type",
        "timestamp",
        "pid",
        "user",
        "hostname",
        "environment",
    ];
    event("session-start", "Start of a session", "Arguments of track_session_start.", &required, &properties)
}

fn end() -> Value {
    let mut session_id =
        formed("The session, by the id that the server gave it: visible ASCII characters.", "^[!-~]+$");
    session_id["maxLength"] = json!(SESSION_ID_BYTES_MAX);
    let properties = json!({
        "session_id": session_id,
        "event_type": {"description": "Kind of event.", "enum": [wire::END, null]},
        "timestamp": time(),
        "metadata": metadata(),
        "token": token(),
    });
    let required = ["session_id", "timestamp"];
    event("session-end", "End of a session", "Arguments of track_session_end.", &required, &properties)
}

fn docs() -> std::path::PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../docs")
}

#[track_caller]
fn check_committed(name: &str, schema: &Value) {
    let path = docs().join("schema").join(name);
    let text = serde_json::to_string_pretty(schema).unwrap() + "\n";
    if std::env::var_os("UPDATE_GOLDEN").is_some() {
        std::fs::write(&path, &text).unwrap();
    }
    assert!(std::fs::read_to_string(&path).unwrap_or_default() == text, "{} is not:\n{text}", path.display());
}

#[test]
fn the_committed_schemas_are_those_of_the_fields_and_limits() {
    check_committed("session-start.schema.json", &start());
    check_committed("session-end.schema.json", &end());
}

/// A compiled schema, which is also checked against that of its draft.
struct Schema {
    schemas: boon::Schemas,
    index: boon::SchemaIndex,
}

impl Schema {
    fn new(schema: Value) -> Self {
        const PLACE: &str = "https://schema.example.org/event.json";
        let (mut schemas, mut compiler) = (boon::Schemas::new(), boon::Compiler::new());
        compiler.add_resource(PLACE, schema).unwrap();
        let index = compiler.compile(PLACE, &mut schemas).unwrap_or_else(|error| panic!("{error:#}"));
        Schema { schemas, index }
    }

    /// What the schema says against it.
    fn against(&self, event: &Value) -> Option<String> {
        self.schemas.validate(event, self.index).err().map(|error| format!("{error:#}"))
    }
}

/// Both schemas.
struct Schemas {
    start: Schema,
    end: Schema,
}

impl Schemas {
    fn new() -> Self {
        Schemas { start: Schema::new(start()), end: Schema::new(end()) }
    }

    /// What the validator takes, the schema takes; what the schema refuses, the validator refuses.
    #[track_caller]
    fn check(&self, text: &str) {
        let Ok(value) = serde_json::from_str(text) else { return };
        let verdicts = [
            (validate_start(text, &open_policy()).is_ok(), &self.start),
            (validate_end(text, &open_policy()).is_ok(), &self.end),
        ];
        for (is_accepted, schema) in verdicts {
            let against = schema.against(&value);
            assert!(!is_accepted || against.is_none(), "accepted, and the schema says {against:?}: {text}");
        }
    }

    #[track_caller]
    fn check_accepted(&self, text: &str) {
        let is_accepted =
            validate_start(text, &open_policy()).is_ok() || validate_end(text, &open_policy()).is_ok();
        assert!(is_accepted, "{text}");
        self.check(text);
    }
}

/// The blocks of JSON of a page.
fn json_blocks(page: &str) -> Vec<String> {
    page.split("```json\n").skip(1).map(|rest| rest.split("```").next().unwrap().to_owned()).collect()
}

#[test]
fn the_examples_of_the_page_on_the_event_format_are_accepted() {
    let page = std::fs::read_to_string(docs().join("event-format.md")).unwrap();
    let examples = json_blocks(&page);
    assert!(examples.len() >= 4, "the page has examples");
    let schemas = Schemas::new();
    examples.iter().for_each(|example| schemas.check_accepted(example));
}

#[test]
fn the_page_on_the_event_format_explains_every_field_and_limit() {
    let page = std::fs::read_to_string(docs().join("event-format.md")).unwrap();
    for schema in [start(), end()] {
        for (name, field) in schema["properties"].as_object().unwrap() {
            let nested = field["properties"].as_object().into_iter().flatten();
            let names = nested.map(|(inner, schema)| (format!("{name}.{inner}"), schema));
            for (name, field) in names.chain([(name.clone(), field)]) {
                let row = page.lines().find(|line| line.starts_with(&format!("| `{name}` |")));
                let row = row.unwrap_or_else(|| panic!("{name} is not explained"));
                if let Some(max) = field["maxLength"].as_u64() {
                    assert!(row.contains(&max.to_string()), "{name}: {row}");
                }
            }
        }
    }
}

/// A valid start with one member set to something else.
fn start_with(path: &str, value: Value) -> String {
    let page = std::fs::read_to_string(docs().join("event-format.md")).unwrap();
    let mut event: Value = serde_json::from_str(&json_blocks(&page)[0]).unwrap();
    *event.pointer_mut(path).unwrap_or(&mut Value::Null) = value;
    event.to_string()
}

#[test]
fn schema_and_validator_agree_on_every_limit() {
    let schemas = Schemas::new();
    for (path, max) in [
        ("/user/username", 100),
        ("/user/home", 500),
        ("/hostname", 255),
        ("/environment/cwd", 500),
        ("/environment/platform", 200),
        ("/environment/python_version", 100),
        ("/shell_type", 100),
        ("/component_name", 100),
    ] {
        let fill = if path == "/component_name" { "a" } else { "é" };
        let fits = start_with(path, fill.repeat(max).into());
        schemas.check_accepted(&fits);
        let long = start_with(path, fill.repeat(max + 1).into());
        assert!(validate_start(&long, &open_policy()).is_err(), "{path}");
        assert!(schemas.start.against(&serde_json::from_str(&long).unwrap()).is_some(), "{path}");
    }
    for pid in [json!(0), json!(4_194_305), json!(-1), json!(1.5), json!("1"), json!(null)] {
        let text = start_with("/pid", pid);
        assert!(validate_start(&text, &open_policy()).is_err());
        assert!(schemas.start.against(&serde_json::from_str(&text).unwrap()).is_some(), "{text}");
    }
}

/// Members as a wire event has them, some of them as they must not be.
fn event_like() -> impl Strategy<Value = String> {
    let names = [
        "event_version",
        "event_id",
        "event_type",
        "component_name",
        "shell_type",
        "timestamp",
        "pid",
        "user",
        "hostname",
        "environment",
        "metadata",
        "token",
        "session_id",
    ];
    let texts = prop_oneof![
        "[a-zA-Z0-9_-]{1,12}",
        hostile_text(),
        Just("1.0".to_owned()),
        Just("session_start".to_owned()),
        Just("session_end".to_owned()),
        Just("2026-01-31T12:00:00Z".to_owned()),
        Just("\u{200b}".repeat(120) + "x"),
        Just("é".repeat(101)),
    ];
    let value = prop_oneof![
        4 => texts.prop_map(Value::from), 2 => json(), 1 => (0..5_000_000_u32).prop_map(Value::from), 1 => Just(Value::Null),
        1 => Just(json!({"username": "u", "home": "/"})),
    ];
    let members = proptest::collection::vec((proptest::sample::select(names.to_vec()), value), 0..4);
    (any::<bool>(), members).prop_map(|(is_start, members)| {
        let mut event = if is_start {
            serde_json::from_str(&start_with("/pid", json!(1))).unwrap()
        } else {
            json!({"session_id": "s", "timestamp": "2026-01-31T12:00:00Z"})
        };
        for (name, value) in members {
            event[name] = value;
        }
        event.to_string()
    })
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn every_start_that_is_built_is_accepted_by_the_schema(
        context in start_context(), policy in policy(), now in any::<i64>(), id in any::<[u8; 16]>()
    ) {
        thread_local!(static SCHEMAS: Schemas = Schemas::new());
        if let Some(event) = check_build_start(context, &policy, now, id) {
            SCHEMAS.with(|schemas| schemas.check_accepted(&event.wire));
        }
    }

    #[test]
    fn every_end_that_is_built_is_accepted_by_the_schema(
        context in end_context(), now in 0..4_000_000_000_000_000_i64, id in any::<[u8; 16]>()
    ) {
        thread_local!(static SCHEMAS: Schemas = Schemas::new());
        if let Some(wire) = check_build_end(context, &open_policy(), now, id) {
            SCHEMAS.with(|schemas| schemas.check_accepted(&wire));
        }
    }

    #[test]
    fn what_the_schema_refuses_the_validator_refuses(text in event_like()) {
        thread_local!(static SCHEMAS: Schemas = Schemas::new());
        SCHEMAS.with(|schemas| schemas.check(&text));
    }
}
