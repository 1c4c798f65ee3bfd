//! A component of one's own: checked, configured by path and digest, used everywhere; and when it cannot
//! be used, the shell goes on.

use std::path::{Path, PathBuf};
use std::sync::OnceLock;

use serde_json::Value;
use shelltrack_sandbox::testing::Hostile;
use shelltrack_sandbox::{COMPONENT, Sandbox};
use shelltrack_tests::binary::{repository, shelltrack};
use shelltrack_tests::{Finished, Home};

/// The example of `examples/company-policy`, built once for all tests.
fn company_policy() -> &'static [u8] {
    static COMPONENT: OnceLock<Vec<u8>> = OnceLock::new();
    COMPONENT.get_or_init(|| {
        let directory = repository().join("examples/company-policy");
        // Beside what the build script keeps, where most of it is compiled already.
        let target_dir = shelltrack().ancestors().nth(2).unwrap().join("guest-build");
        shelltrack_componentize::build_other("company-policy", &directory, repository(), &target_dir).unwrap()
    })
}

fn write(home: &Home, component: &[u8]) -> PathBuf {
    let path = home.path().join("component.wasm");
    std::fs::write(&path, component).unwrap();
    path
}

fn configure(home: &Home, path: &Path, sha256: &str) {
    home.configure(&format!("[plugin]\npath = \"{}\"\nsha256 = \"{sha256}\"\n", path.display()));
}

/// A home in which this component is configured with its right digest.
fn home_with(component: &[u8]) -> Home {
    let home = Home::new();
    let path = write(&home, component);
    let (_, sha256) = Sandbox::read_file(&path).unwrap();
    configure(&home, &path, &sha256);
    home
}

#[track_caller]
fn check(home: &Home, path: &Path, status: i32) -> Value {
    let told = home.shelltrack(&["plugin", "check", "--json", path.to_str().unwrap()]);
    serde_json::from_str(&told.expect(status).stdout).unwrap()
}

#[test]
fn the_built_in_component_keeps_the_contract_and_differs_in_nothing() {
    let home = Home::new();
    let report = check(&home, &write(&home, COMPONENT), 0);
    assert_eq!(report["conforms"], true, "{report:#}");
    assert_eq!(
        (&report["missed"], &report["differs"]),
        (&Value::Array(Vec::new()), &Value::Array(Vec::new()))
    );
    let groups = report["groups"].as_object().unwrap();
    assert!(
        groups.len() >= 10 && groups.values().all(|group| group["cases"] == group["held"]),
        "{groups:#?}"
    );
}

#[test]
fn a_component_that_traps_does_not_conform_and_the_check_says_where() {
    let home = Home::new();
    let path = write(&home, &Hostile::Trap.component());
    let report = check(&home, &path, 1);
    assert_eq!(report["conforms"], false);
    assert!(report["missed"][0]["reason"].as_str().unwrap().contains("trapped"), "{report:#}");
    let told = home.shelltrack(&["plugin", "check", path.to_str().unwrap()]).expect(1);
    assert!(told.stdout.contains("does not keep the contract"), "{told:?}");
    assert!(!told.stdout.contains("[plugin]"), "no advice to use it: {told:?}");
}

#[test]
fn a_component_that_loops_is_not_waited_for_case_by_case() {
    let home = Home::new();
    let report = check(&home, &write(&home, &Hostile::Loop.component()), 1);
    assert_eq!(report["conforms"], false);
    let number = |value: &Value| value.as_u64().unwrap();
    let mut missed = 0;
    for (name, group) in report["groups"].as_object().unwrap() {
        let tried = number(&group["cases"]) - number(&group["not_tried"]);
        assert!(tried <= 20, "{name}: {group}");
        missed += tried - number(&group["held"]);
    }
    assert_eq!(report["missed"].as_array().unwrap().len() as u64, missed);
    assert!(report["groups"]["lines"]["not_tried"].as_u64().unwrap() > 100, "{report:#}");
}

#[test]
fn a_component_that_cannot_be_loaded_is_told_to_programs_too() {
    let home = Home::new();
    for (component, expected) in [
        (Hostile::CoreModule, "is a core module, expected a component"),
        (
            Hostile::EmptyImport,
            "expected nothing but wasi:clocks/wall-clock@0.2.0, wasi:random/random@0.2.0; found",
        ),
    ] {
        let path = write(&home, &component.component());
        let report = check(&home, &path, 1);
        assert_eq!(
            (&report["conforms"], &report["path"]),
            (&Value::from(false), &Value::from(path.to_str()))
        );
        assert!(report["error"].as_str().unwrap().contains(expected), "{report:#}");
    }
    let report = check(&home, Path::new("/nonexistent.wasm"), 1);
    assert!(report["error"].as_str().unwrap().contains("No such file"), "{report:#}");
}

#[test]
fn what_is_no_component_is_told_by_the_check() {
    let home = Home::new();
    let path = write(&home, b"#!/bin/sh\n");
    let told = home.shelltrack(&["plugin", "check", path.to_str().unwrap()]).expect(1);
    assert!(told.stderr.contains("not a WebAssembly component"), "{told:?}");
    let told = home.shelltrack(&["plugin", "check", "/nonexistent.wasm"]).expect(1);
    assert!(told.stderr.contains("/nonexistent.wasm"), "{told:?}");
}

#[test]
fn a_company_policy_passes_the_check_and_its_advice_works() {
    let home = Home::new();
    let path = write(&home, company_policy());
    let told = home.shelltrack(&["plugin", "check", path.to_str().unwrap()]).expect(0);
    let (_, advice) = told.stdout.split_once("[plugin]").unwrap_or_else(|| panic!("{told:?}"));
    home.configure(&format!("[plugin]{advice}"));
    let clean = redacted(&home, "ask E-123456 at db1.corp.example, password=hunter2\n");
    assert_eq!(clean, "ask [employee] at [internal-host], password=[redacted]\n");
    assert_eq!(
        redacted(&Home::new(), "ask E-123456\n"),
        "ask E-123456\n",
        "the built-in one has no such rule"
    );
}

#[track_caller]
fn redacted(home: &Home, text: &str) -> String {
    let file = home.path().join("input.txt");
    std::fs::write(&file, text).unwrap();
    home.shelltrack(&["redact", file.to_str().unwrap()]).expect(0).stdout
}

#[test]
fn a_company_policy_cleans_what_is_recorded() {
    let home = home_with(company_policy());
    let told = home.shelltrack(&[
        "run",
        "--component",
        "mahavishnu",
        "--metadata",
        "owner=E-1\u{200b}23456",
        "--metadata",
        "via=gate.corp.example",
        "--",
        "sh",
        "-c",
        "exit 7",
    ]);
    told.expect(7);
    home.flush();
    // The component and its machine code hold any digits by chance; they are nobody's record.
    let of_the_component =
        |path: &Path| path.extension().is_some_and(|kind| kind == "wasm" || kind == "cwasm");
    let files = home.files();
    for planted in ["123456", "gate.corp"] {
        let found = files.iter().find(|(path, bytes)| {
            !of_the_component(path) && bytes.windows(planted.len()).any(|word| word == planted.as_bytes())
        });
        assert!(found.is_none(), "{planted} is in {:?}", found.map(|(path, _)| path));
    }
    let sessions = home.sessions();
    let shown = format!("{:?}", sessions[0].0);
    assert!(shown.contains("[employee]") && shown.contains("[internal-host]"), "{shown}");
}

/// `run` says one line that holds all of `expected`, runs the command and records nothing.
#[track_caller]
fn check_shell_goes_on(home: &Home, expected: &[&str]) {
    let told: Finished = home.run(&["sh", "-c", "echo out; exit 7"]).expect(7);
    assert_eq!(told.stdout, "out\n");
    assert_eq!(told.stderr.lines().count(), 1, "{told:?}");
    for text in expected.iter().chain(&["is not recorded"]) {
        assert!(told.stderr.contains(text), "{text} is not in {told:?}");
    }
    let started = home.shelltrack(&["start", "--component", "mahavishnu"]).expect(1);
    assert!(
        started.stdout.is_empty() && expected.iter().all(|text| started.stderr.contains(text)),
        "{started:?}"
    );
    std::fs::remove_file(home.path().join("config/shelltrack/config.toml")).unwrap();
    assert!(home.sessions().is_empty());
}

#[test]
fn another_digest_is_told_with_expected_and_found_and_the_shell_goes_on() {
    let home = Home::new();
    let path = write(&home, COMPONENT);
    let (_, found) = Sandbox::read_file(&path).unwrap();
    let expected = "0".repeat(64);
    configure(&home, &path, &expected);
    check_shell_goes_on(&home, &[&format!("expected {expected}"), &format!("found {found}")]);
}

#[test]
fn a_component_that_is_gone_is_told_and_the_shell_goes_on() {
    let home = Home::new();
    configure(&home, &home.path().join("gone.wasm"), &"0".repeat(64));
    check_shell_goes_on(&home, &["gone.wasm"]);
}

#[test]
fn another_version_is_told_with_expected_and_found_and_the_shell_goes_on() {
    let home = home_with(&Hostile::OtherVersion.component());
    check_shell_goes_on(&home, &["@0.9.0", "@0.1.0"]);
}

#[test]
fn an_import_too_many_is_told_and_the_shell_goes_on() {
    let home = home_with(&Hostile::OtherImport.component());
    check_shell_goes_on(&home, &["wasi:cli/environment"]);
}

#[test]
fn what_is_no_component_is_told_and_the_shell_goes_on() {
    let home = home_with(b"#!/bin/sh\n");
    check_shell_goes_on(&home, &["not a WebAssembly component"]);
}

#[test]
fn half_a_configuration_is_told_by_its_key() {
    let home = Home::with_config("[plugin]\npath = \"/a.wasm\"\n");
    let told = home.shelltrack(&["start", "--component", "mahavishnu"]).expect(2);
    assert!(told.stderr.contains("plugin.sha256"), "{told:?}");
}
