//! How much work hostile input can make: instructions of the component, counted by wasmtime's fuel,
//! which no other load of the machine changes. Four times the input may cost about four times the work.

#![allow(clippy::print_stdout, reason = "shows the figures when it is asked to")]

use std::sync::LazyLock;

use shelltrack_sandbox::COMPONENT;
use wasmtime::component::{Component, HasSelf, Linker};
use wasmtime::{Config, Engine, Store};

mod bindings {
    #![allow(missing_docs, unreachable_pub, clippy::all)]
    wasmtime::component::bindgen!({ path: "../../wit", world: "session-tracker" });
}
use bindings::SessionTracker;
use bindings::exports::shelltrack::session::types::Policy;
use bindings::wasi::clocks::wall_clock::{self, Datetime};
use bindings::wasi::random::random;

/// Bytes of the smaller text; the larger one is what the component looks at, at most.
const TEXT_BYTES: usize = 16 * 1024;
/// Bytes of the smaller JSON text, for the same reason.
const JSON_BYTES: usize = 32 * 1024;
/// How many times longer the larger input is.
const GROWTH: usize = 4;
/// What the growth may cost. Four would be linear; the rest is for tables that grow by doubling and
/// for trees, whose depth grows as well. Twice as steep as linear is eight.
const GROWTH_COST_MAX: u64 = 6;
/// Fuel for one byte of input at worst: about an instruction each. A text of nothing but names that may tell
/// of a secret costs that; ordinary text costs a third.
const FUEL_PER_BYTE_MAX: u64 = 5_500;

/// A host that stands still: no call here depends on time or chance.
struct Host;

impl wall_clock::Host for Host {
    fn now(&mut self) -> Datetime {
        Datetime { seconds: 1_700_000_000, nanoseconds: 0 }
    }

    fn resolution(&mut self) -> Datetime {
        Datetime { seconds: 0, nanoseconds: 1_000 }
    }
}

impl random::Host for Host {
    fn get_random_bytes(&mut self, len: u64) -> Vec<u8> {
        vec![7; usize::try_from(len).unwrap()]
    }

    fn get_random_u64(&mut self) -> u64 {
        7
    }
}

static ENGINE: LazyLock<(Engine, Component, Linker<Host>)> = LazyLock::new(|| {
    let mut config = Config::new();
    config.consume_fuel(true);
    let engine = Engine::new(&config).unwrap();
    let component = Component::from_binary(&engine, COMPONENT).unwrap();
    let mut linker = Linker::new(&engine);
    SessionTracker::add_to_linker::<_, HasSelf<Host>>(&mut linker, |host| host).unwrap();
    (engine, component, linker)
});

/// Fuel of one call in an instance of its own.
fn fuel(call: impl FnOnce(&SessionTracker, &mut Store<Host>)) -> u64 {
    let (engine, component, linker) = &*ENGINE;
    let mut store = Store::new(engine, Host);
    store.set_fuel(u64::MAX).unwrap();
    let session = SessionTracker::instantiate(&mut store, component, linker).unwrap();
    call(&session, &mut store);
    u64::MAX - store.get_fuel().unwrap()
}

fn policy() -> Policy {
    Policy {
        hide_cwd: false,
        hide_home: false,
        hide_hostname: false,
        hide_username: false,
        secret_keys: Vec::new(),
        secret_prefixes: Vec::new(),
    }
}

fn fuel_of_text(text: &str) -> u64 {
    fuel(|session, store| {
        let sanitizer = session.shelltrack_session_sanitizer();
        sanitizer.call_sanitize_text(store, text, u32::MAX, &policy()).unwrap();
    })
}

fn fuel_of_json(json: &str) -> u64 {
    fuel(|session, store| {
        let sanitizer = session.shelltrack_session_sanitizer();
        let _ = sanitizer.call_sanitize_json(&mut *store, json, &policy()).unwrap();
        let _ = session.shelltrack_session_validator().call_validate_start(store, json, &policy()).unwrap();
    })
}

#[track_caller]
fn check_growth(name: &str, small: (usize, u64), large: (usize, u64), failures: &mut Vec<String>) {
    let (bytes, fuel) = large;
    let worth_a_look = fuel > GROWTH_COST_MAX * small.1 || fuel > FUEL_PER_BYTE_MAX * bytes as u64;
    if std::env::var_os("SHELLTRACK_SHOW_WORK").is_some() || worth_a_look {
        let line = format!(
            "{name}: {} for {} bytes, {fuel} for {bytes}: {:.1} times, {} a byte",
            small.1,
            small.0,
            fuel as f64 / small.1 as f64,
            fuel / bytes as u64
        );
        println!("{line}");
        if worth_a_look {
            failures.push(line);
        }
    }
}

/// What text is repeated: the beginnings and pieces of everything the component looks for.
#[rustfmt::skip]
static TEXTS: &[&str] = &[
    "the quick brown fox jumps over the lazy dog ", "é", "naïve café ", "中文", "שלום ", "नमस्ते ", "👨‍👩‍👧‍👦",
    "-----BEGIN", "-----BEGIN ", "-----BEGIN RSA PRIVATE KEY-----", "-----END ", "-", "PuTTY-User-Key-File Private-Lines:",
    "\"", "'", "\\", "=", ":", ",", "(", "[", "{", "<", ">", "&", "?", "@", "/", "$", "_", ".", " ", "\n", "\r\n", "\u{A0}",
    "\u{301}", "a\u{301}\u{323}", "\u{323}\u{301}", "A\u{30A}", "\u{1100}\u{1161}\u{11A8}", "\u{64E}\u{200C}", "ب\u{200C}",
    "\u{200D}", "👩\u{200D}", "क\u{94D}\u{200D}", "\u{FE0F}", "\u{9089}\u{E0101}", "\u{1F3F4}\u{E0067}", "\u{E0067}", "\u{1F1E9}", "\u{600}",
    "\u{1B}", "\u{1B}[", "\u{1B}[31m", "\u{1B}[1;2;3;4;5;6;", "\u{1B}]0;x", "\u{1B}P", "\u{9B}", "\u{9D}", "\0", "\u{202E}", "\u{E000}", "\u{FFFF}",
    "://", "a://b:c", "a://b:c@", "a://b:c?d=e@", "https://hooks.slack.com/services/", "hooks.slack.com/services/ ",
    "0a1b2c3d4e5f6789", "QUJDREVGRw==", "aB3/", "AKIA", "AKIA aB3/aB3/aB3/aB3/aB3/aB3/aB3/aB3/aB3/aB3/ ",
    "password=", "password= ", "password=x ", "password=\"", "password=\"x\\", "password=[", "password=a,", "password=a,b=", "password=,",
    "password=)", "password=\\\\\\\"", "password:\u{3000}", "<password>", "token%3D", "ｐａｓｓｗｏｒｄ＝", "--password x ", "--password", "set -x token ",
    "cookie: ", "authorization: ", "authorization: x ", "authorization: bearer ", "authorization: digest a=", "bearer ", "basic a1234567 ",
    "key=", "key=a ", "key=a1b2c3d4e5f6a7b8 ", "pin ", "mysql -pa ", "mysql -p", "curl -u a:b ", "-u", "sshpass -p x ", "login me password ",
    "ghp_", "sk-", "sk-proj-", "ya29.", "eyJ", "eyJ.", "eyJhbGciOiJI.", "a.", "$6$", "$2b$12$", ":AA", "123456789:AA", "s.", ".atlasv1.", "7Q~",
    "phrase: a ", "phrase=", "x key:", "vault login a ", "a:5432:b:c:d ", "http -a a:b ", "-u a:b ", "ENV TOKEN ", "chpasswd <<<", "echo a|", "echo a|su ", "yes |", "auth=(", "auth=('", "(", "password='\"",
    "unseal key 1:", "password is ", "password for a is ",
    "[redacted]", "[redacted", "password=[redacted]x", "[redac", "[hidden]", "://[redacted]@",
];

#[test]
fn no_text_makes_more_work_than_its_length_is_worth() {
    let mut failures = Vec::new();
    for unit in TEXTS {
        let text = |bytes: usize| unit.repeat(bytes / unit.len());
        let (small, large) = (text(TEXT_BYTES), text(TEXT_BYTES / unit.len() * unit.len() * GROWTH));
        let fuel = (fuel_of_text(&small), fuel_of_text(&large));
        check_growth(&format!("{unit:?}"), (small.len(), fuel.0), (large.len(), fuel.1), &mut failures);
    }
    assert!(failures.is_empty(), "{failures:#?}");
}

/// JSON of about so many bytes.
type Shape = (&'static str, fn(usize) -> String);

/// An object of the members that `member` makes, each of about `each` bytes.
fn object(bytes: usize, each: usize, member: impl Fn(usize) -> String) -> String {
    let members: Vec<String> = (0..bytes / each).map(member).collect();
    format!("{{{}}}", members.join(","))
}

#[rustfmt::skip]
static SHAPES: &[Shape] = &[
    ("nested lists", |n| format!("{}{}", "[".repeat(n / 2), "]".repeat(n / 2))),
    ("nested lists in an object", |n| format!(r#"{{"x":{}{}}}"#, "[".repeat(n / 2), "]".repeat(n / 2))),
    ("nested objects", |n| format!("{}1{}", r#"{"a":"#.repeat(n / 6), "}".repeat(n / 6))),
    ("nested objects that are never closed", |n| r#"{"a":"#.repeat(n / 5)),
    ("one key again and again", |n| object(n, 6, |_| r#""a":1"#.into())),
    ("many keys", |n| object(n, 12, |i| format!(r#""k{i:06}":1"#))),
    ("many keys below the metadata", |n| format!(r#"{{"metadata":{{"x":{}}}}}"#, object(n, 12, |i| format!(r#""k{i:06}":1"#)))),
    ("objects of as many keys as there may be", |n| object(n, 3000, |i| format!(r#""k{i}":{}"#, object(3000, 11, |i| format!(r#""k{i:05}":1"#))))),
    ("broken members", |n| object(n, 3000, |i| format!(r#""k{i}":{}"#, object(3000, 15, |i| format!(r#""k{i:05}":1e999"#))))),
    ("telling keys", |n| object(n, 23, |i| format!(r#""password{i:06}":"x""#))),
    ("keys of one letter more each", |n| object(n, 500, |i| format!(r#""{}":1"#, "k".repeat(i)))),
    ("long keys", |n| object(n, 600, |i| format!(r#""k{i:06}{}":1"#, "=".repeat(580)))),
    ("long strings", |n| object(n, 600, |i| format!(r#""k{i:06}":"{}""#, "a b=".repeat(145)))),
    ("one string of escapes", |n| format!(r#"{{"x":"{}"}}"#, r"\u0041".repeat(n / 6))),
    ("one string of surrogate halves", |n| format!(r#"{{"x":"{}"}}"#, r"\ud800".repeat(n / 6))),
    ("one string of controls", |n| format!(r#"{{"x":"{}"}}"#, r"\u001b".repeat(n / 6))),
    ("a list of numbers", |n| format!(r#"{{"x":[1{}]}}"#, ",1".repeat(n / 2))),
    ("a list of lists", |n| format!(r#"{{"x":[[]{}]}}"#, ",[]".repeat(n / 3))),
    ("a list of options", |n| format!(r#"{{"x":[1{}]}}"#, r#","--password""#.repeat(n / 13))),
    ("pairs of name and value", |n| format!(r#"{{"x":[1{}]}}"#, r#",{"name":"password","value":"x"}"#.repeat(n / 33))),
    ("a long integer", |n| format!(r#"{{"x":{}}}"#, "1".repeat(n))),
    ("a long fraction", |n| format!(r#"{{"x":0.{}}}"#, "1".repeat(n))),
    ("a long exponent", |n| format!(r#"{{"x":1e{}}}"#, "1".repeat(n))),
    ("white space", |n| format!(r#"{{"x":1{}}}"#, " ".repeat(n))),
    ("unknown fields", |n| object(n, 14, |i| format!(r#""f{i:06}":[]"#))),
];

#[test]
fn no_json_makes_more_work_than_its_length_is_worth() {
    let mut failures = Vec::new();
    for (name, shape) in SHAPES {
        let (small, large) = (shape(JSON_BYTES - 64), shape((JSON_BYTES - 64) * GROWTH));
        let fuel = (fuel_of_json(&small), fuel_of_json(&large));
        check_growth(name, (small.len(), fuel.0), (large.len(), fuel.1), &mut failures);
    }
    assert!(failures.is_empty(), "{failures:#?}");
}
