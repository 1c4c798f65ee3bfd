//! The component of the world `mcp-tools`, as an MCP host for components sees it: functions of the world
//! itself, found by reflection, described by their documentation, called with dynamic values.

use shelltrack_sandbox::testing::MCP_TOOLS;
use wasmtime::component::{Component, Instance, Linker, Val};
use wasmtime::{Engine, Store};
use wit_component::DecodedWasm;
use wit_parser::{Resolve, Type, TypeDefKind, WorldItem};

/// What common clients take for a name, less the prefix that hosts put before it.
const NAME_CHARS_MAX: usize = 40;

fn decoded() -> (Resolve, Vec<wit_parser::Function>) {
    let DecodedWasm::Component(resolve, world) = wit_component::decode(MCP_TOOLS).unwrap() else {
        panic!("not a component");
    };
    let exports = resolve.worlds[world].exports.values();
    let functions = exports.map(|item| match item {
        WorldItem::Function(function) => function.clone(),
        other => panic!("not a function of the world itself: {other:?}"),
    });
    let functions = functions.collect();
    (resolve, functions)
}

#[test]
fn every_tool_has_a_short_name_and_a_description() {
    let (_, functions) = decoded();
    assert!(functions.len() >= 10);
    for function in functions {
        assert!(function.name.len() <= NAME_CHARS_MAX, "{}", function.name);
        let docs = function.docs.contents.unwrap_or_default();
        assert!(docs.len() >= 80, "{}: {docs:?}", function.name);
    }
}

#[test]
fn no_tool_needs_what_hosts_cannot_describe() {
    let (resolve, _) = decoded();
    for (_, ty) in resolve.types.iter() {
        let is_option = |ty: &Type| matches!(ty, Type::Id(id) if matches!(resolve.types[*id].kind, TypeDefKind::Option(_)));
        match &ty.kind {
            TypeDefKind::Flags(_) | TypeDefKind::Resource | TypeDefKind::Handle(_) => panic!("{ty:?}"),
            TypeDefKind::Option(inner) => assert!(!is_option(inner), "{ty:?}"),
            _ => {}
        }
    }
}

struct Tools {
    store: Store<()>,
    instance: Instance,
}

impl Tools {
    fn new() -> Self {
        let engine = Engine::default();
        let component = Component::from_binary(&engine, MCP_TOOLS).unwrap();
        let mut linker = Linker::<()>::new(&engine);
        let mut clock = linker.instance("wasi:clocks/wall-clock@0.2.0").unwrap();
        clock
            .func_new("now", |_, _, _, results| {
                let moment = [("seconds", Val::U64(1_769_860_800)), ("nanoseconds", Val::U32(0))];
                results[0] = Val::Record(moment.map(|(name, value)| (name.to_owned(), value)).to_vec());
                Ok(())
            })
            .unwrap();
        let mut random = linker.instance("wasi:random/random@0.2.0").unwrap();
        random
            .func_wrap("get-random-bytes", |_, (len,): (u64,)| Ok((vec![7u8; usize::try_from(len)?],)))
            .unwrap();
        let mut store = Store::new(&engine, ());
        let instance = linker.instantiate(&mut store, &component).unwrap();
        Self { store, instance }
    }

    #[track_caller]
    fn call(&mut self, name: &str, arguments: &[Val]) -> Val {
        let function = self.instance.get_func(&mut self.store, name).unwrap();
        let mut results = [Val::Bool(false)];
        function.call(&mut self.store, arguments, &mut results).unwrap();
        let [result] = results;
        result
    }
}

fn record(fields: Vec<(&str, Val)>) -> Val {
    Val::Record(fields.into_iter().map(|(name, value)| (name.to_owned(), value)).collect())
}

fn text(text: &str) -> Val {
    Val::String(text.to_owned())
}

fn policy() -> Val {
    let hides = ["hide-cwd", "hide-home", "hide-hostname", "hide-username"];
    let mut fields: Vec<_> = hides.map(|name| (name, Val::Bool(false))).to_vec();
    fields.extend(["secret-keys", "secret-prefixes"].map(|name| (name, Val::List(Vec::new()))));
    record(fields)
}

#[track_caller]
fn field<'a>(value: &'a Val, name: &str) -> &'a Val {
    let Val::Record(fields) = value else { panic!("{value:?}") };
    &fields.iter().find(|(field, _)| field == name).unwrap_or_else(|| panic!("no {name}")).1
}

#[test]
fn a_text_is_cleaned_and_explained_by_tools() {
    let mut tools = Tools::new();
    let hostile = "a\u{1b}[31mb password=hunter2";
    let clean = tools.call("sanitize-text", &[text(hostile), Val::U32(100), policy()]);
    assert_eq!(field(&clean, "text"), &text("ab password=[redacted]"));

    let Val::List(changes) = tools.call("explain-redaction", &[text(hostile), policy()]) else { panic!() };
    let details: Vec<_> = changes.iter().map(|change| field(change, "detail").clone()).collect();
    assert!(details.contains(&text("key-value")), "{changes:?}");
    assert!(!format!("{changes:?}").contains("hunter2"));

    let json = text(r#"{"a":{"password":"hunter2"}}"#);
    let Val::List(changes) = tools.call("explain-redaction", &[json, policy()]) else { panic!() };
    assert_eq!(field(&changes[0], "field"), &text("a.password"));
}

#[test]
fn a_refusal_names_field_and_rule() {
    let mut tools = Tools::new();
    let Val::Result(Err(Some(violations))) =
        tools.call("validate-session-end", &[text(r#"{"session_id":"x"}"#), policy()])
    else {
        panic!()
    };
    let Val::List(violations) = *violations else { panic!() };
    assert_eq!(field(&violations[0], "field"), &text("timestamp"));
    assert_eq!(field(&violations[0], "rule"), &Val::Enum("required".to_owned()));
}

#[test]
fn an_end_is_built_bound_and_validated_by_tools() {
    let mut tools = Tools::new();
    let none = || Val::Option(None);
    let context = record(vec![
        ("exit-status", Val::Option(Some(Box::new(Val::S32(7))))),
        ("exit-reason", Val::Enum("exited".to_owned())),
        ("metadata", text("")),
        ("correlation-id", none()),
        ("started-at", none()),
        ("event-id", none()),
        ("timestamp", none()),
    ]);
    let accepted = |value: Val| match value {
        Val::Result(Ok(Some(value))) => *value,
        other => panic!("{other:?}"),
    };
    let event = accepted(tools.call("build-session-end", &[context, policy()]));
    let wire = field(&event, "wire").clone();
    let bound = accepted(tools.call("bind-session-id", &[wire, text("mahavishnu-1")]));
    let event = accepted(tools.call("validate-session-end", &[bound, policy()]));
    assert_eq!(field(&event, "session-id"), &text("mahavishnu-1"));
    assert_eq!(field(&event, "state"), &Val::Enum("ended".to_owned()));
    assert_eq!(field(&event, "timestamp"), &text("2026-01-31T12:00:00.000000Z"));
}

#[test]
fn a_breaker_is_stepped_and_a_retry_spread_by_tools() {
    let mut tools = Tools::new();
    let policy = record(vec![
        ("failure-threshold", Val::U32(3)),
        ("open-ms", Val::U64(60_000)),
        ("open-max-ms", Val::U64(600_000)),
        ("probe-ms", Val::U64(20_000)),
    ]);
    let ask = Val::Variant("ask".to_owned(), None);
    let step = tools.call("step-breaker", &[text(""), policy, ask, Val::U64(1_000)]);
    assert_eq!(field(&step, "allowed"), &Val::Bool(true));
    let policy = record(vec![("base-ms", Val::U64(1_000)), ("cap-ms", Val::U64(10_000))]);
    let Val::U64(delay_ms) = tools.call("backoff-delay", &[policy, Val::U32(1), Val::Option(None)]) else {
        panic!()
    };
    assert!(delay_ms <= 2_000);
}
