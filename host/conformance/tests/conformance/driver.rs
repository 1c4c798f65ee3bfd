//! Hands the suite to a program that runs it elsewhere (`drivers/`), line by line, and reads what came.

use std::ffi::OsString;
use std::io::{BufRead as _, BufReader, Write as _};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::mpsc;
use std::time::{Duration, Instant};

use serde_json::{Value, json};
use shelltrack_conformance::Case;

/// For all answers together, on a slow machine.
const BOUND: Duration = Duration::from_secs(300);
/// The largest integer that every JSON reader keeps (RFC 8259, section 6).
const INTEGER_MAX: u64 = (1 << 53) - 1;

fn drivers() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("drivers")
}

fn wanted(variable: &str, what: &str) -> Option<OsString> {
    let value = std::env::var_os(variable).filter(|value| !value.is_empty());
    if value.is_none() {
        let test = std::thread::current().name().unwrap_or("a test").to_owned();
        eprintln!("SKIPPED {test}: {variable} does not name {what}");
    }
    value
}

/// wasmtime-py with the component.
pub(crate) fn wasmtime_py(component: &Path) -> Option<Command> {
    let mut command =
        Command::new(wanted("SHELLTRACK_CONFORMANCE_PYTHON", "a Python with the package wasmtime")?);
    command.arg(drivers().join("wasmtime_py.py")).arg(component);
    Some(command)
}

/// Node with what jco makes of the component.
pub(crate) fn jco(component: &Path) -> Option<Command> {
    let jco = wanted("SHELLTRACK_CONFORMANCE_JCO", "the program jco")?;
    let out = component.with_file_name("transpiled");
    let mut transpile = Command::new(jco);
    transpile.arg("transpile").arg(component).args(["--instantiation", "sync", "--no-typescript", "--quiet"]);
    let done = transpile.arg("--out-dir").arg(&out).output().unwrap();
    assert!(done.status.success(), "jco: {}", String::from_utf8_lossy(&done.stderr));
    // An ES module, whatever package the directory belongs to.
    std::fs::write(out.join("package.json"), r#"{"type":"module"}"#).unwrap();
    let mut command = Command::new("node");
    command.arg(drivers().join("jco.mjs")).arg(out.join("component.js"));
    Some(command)
}

/// Runs the program and gives the answers to each case.
pub(crate) fn answers(mut command: Command, suite: &[Case]) -> Vec<Vec<Value>> {
    let mut child = command.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().unwrap();
    let (mut stdin, stdout) = (child.stdin.take().unwrap(), child.stdout.take().unwrap());
    let jobs: Vec<String> = suite.iter().map(|case| job(case).to_string()).collect();
    let (tell, told) = mpsc::channel();
    // Both ends at once: a pipe holds less than the suite. A program that fails closes them both.
    std::thread::spawn(move || jobs.iter().all(|job| writeln!(stdin, "{job}").is_ok()));
    std::thread::spawn(move || {
        BufReader::new(stdout).lines().map_while(Result::ok).all(|line| tell.send(line).is_ok())
    });
    let began = Instant::now();
    let mut answers = Vec::new();
    while answers.len() < suite.len() {
        match told.recv_timeout(BOUND.saturating_sub(began.elapsed())) {
            Ok(line) => answers
                .push(serde_json::from_str::<Vec<Value>>(&line).unwrap().into_iter().map(narrow).collect()),
            Err(_) => break,
        }
    }
    let _ = child.kill();
    child.wait().unwrap();
    assert_eq!(
        answers.len(),
        suite.len(),
        "{command:?} stopped at {:?}",
        suite.get(answers.len()).map(|c| &c.name)
    );
    answers
}

/// Interface, function and arguments of each call.
fn job(case: &Case) -> Value {
    let calls = case.calls.iter().map(|call| {
        let interface = match call.function.as_str() {
            "sanitize-text" | "sanitize-json" => "sanitizer",
            "validate-start" | "validate-end" => "validator",
            "step" | "backoff-delay" => "breaker",
            _ => "events",
        };
        let arguments: Vec<_> = call.arguments.iter().map(widen).collect();
        json!([format!("shelltrack:session/{interface}@0.1.0"), call.function, arguments])
    });
    calls.collect()
}

fn widen(value: &Value) -> Value {
    match value {
        Value::Number(number) if number.as_u64().is_some_and(|n| n > INTEGER_MAX) => {
            json!({ "$wide": number.to_string() })
        }
        Value::Object(members) => members.iter().map(|(key, value)| (key.clone(), widen(value))).collect(),
        other => other.clone(),
    }
}

fn narrow(value: Value) -> Value {
    match value {
        Value::Object(members) => match members.get("$wide").and_then(Value::as_str) {
            Some(wide) => wide.parse::<u64>().map_or(Value::Null, Value::from),
            None => members.into_iter().map(|(key, value)| (key, narrow(value))).collect(),
        },
        Value::Array(items) => items.into_iter().map(narrow).collect(),
        other => other,
    }
}
