//! Who may use whom, asserted from what cargo resolves.

use std::collections::{BTreeMap, BTreeSet};

use shelltrack_tests::binary::cargo_metadata as metadata;
use shelltrack_tests::cargo_metadata::{DependencyKind, Package};
use shelltrack_tests::{BOUND, run_bounded};

/// The crates from bottom to top. A crate may use what stands before it; those of one row stand beside
/// each other and do not know each other. The harness of the tests drives the binary from outside: it uses none.
const LAYERS: [&[&str]; 4] = [
    &["shelltrack-guest", "shelltrack-componentize", "shelltrack-tests"],
    &["shelltrack-sandbox", "shelltrack-access"],
    &["shelltrack-tracker", "shelltrack-server", "shelltrack-conformance"],
    &["shelltrack"],
];

/// Crates of which a second version would cost the user megabytes or behave differently in two places.
const ONCE: [&str; 12] = [
    "wasmtime",
    "cranelift-codegen",
    "tokio",
    "rmcp",
    "hyper",
    "reqwest",
    "rustls",
    "rusqlite",
    "libsqlite3-sys",
    "serde_json",
    "chrono",
    "clap",
];

/// What each crate of ours uses of ours; `kinds` as cargo has them.
fn own_dependencies(kinds: &[DependencyKind]) -> BTreeMap<String, BTreeSet<String>> {
    let metadata = metadata();
    let packages = metadata.workspace_packages();
    let ours: BTreeSet<String> = packages.iter().map(|package| package.name.to_string()).collect();
    let used = |package: &Package| {
        let dependencies = package.dependencies.iter().filter(|used| kinds.contains(&used.kind));
        dependencies.map(|used| used.name.clone()).filter(|name| ours.contains(name)).collect()
    };
    packages.iter().map(|package| (package.name.to_string(), used(package))).collect()
}

fn layer_of(name: &str) -> usize {
    let layer = LAYERS.iter().position(|layer| layer.contains(&name));
    layer.unwrap_or_else(|| panic!("{name} stands in no layer: give it its place in LAYERS"))
}

#[test]
fn dependencies_only_point_downwards() {
    use DependencyKind::{Build, Development, Normal};
    for (user, used) in own_dependencies(&[Normal, Build, Development]) {
        // A crate may use itself, with another feature, in its own tests.
        for name in used.into_iter().filter(|name| *name != user) {
            assert!(layer_of(&name) < layer_of(&user), "{user} must not use {name}");
        }
    }
}

#[test]
fn the_guest_reaches_the_host_as_a_component_only() {
    for (user, used) in own_dependencies(&[DependencyKind::Normal]) {
        let native = used.contains("shelltrack-guest");
        assert!(!native, "{user} links the guest natively: its code runs outside the sandbox");
    }
}

#[test]
fn the_sandbox_knows_nothing_of_protocols_and_stores() {
    let metadata = metadata();
    let sandbox = metadata.packages.iter().find(|package| package.name == "shelltrack-sandbox").unwrap();
    for foreign in ["rmcp", "tokio", "axum", "rusqlite", "reqwest", "wasmtime-wasi", "serde", "serde_json"] {
        let used = sandbox.dependencies.iter().any(|used| used.name == foreign);
        assert!(!used, "the sandbox must not use {foreign}");
    }
}

#[test]
fn heavy_crates_exist_once() {
    let metadata = metadata();
    for name in ONCE {
        let versions: Vec<String> = metadata
            .packages
            .iter()
            .filter(|package| package.name == name)
            .map(|package| package.version.to_string())
            .collect();
        assert_eq!(versions.len(), 1, "{name} must exist once, not as {versions:?}");
    }
}

#[test]
fn every_crate_obeys_the_lints_of_the_workspace() {
    for package in metadata().workspace_packages() {
        let manifest = std::fs::read_to_string(&package.manifest_path).unwrap();
        assert!(manifest.contains("[lints]\nworkspace = true"), "{} has lints of its own", package.name);
    }
}

/// What makes a program die at a named point is for tests: no crate but a test's asks for it, and none has
/// it by default, so that nobody can install it.
#[test]
fn crash_points_are_compiled_into_tests_only() {
    for package in metadata().workspace_packages() {
        for used in package.dependencies.iter().filter(|used| used.kind != DependencyKind::Development) {
            assert!(!used.features.iter().any(|name| name == "crash-points"), "{} asks for it", package.name);
        }
        for (name, implied) in package.features.iter().filter(|(name, _)| *name != "crash-points") {
            let asks = implied.iter().any(|implied| implied.ends_with("crash-points"));
            assert!(!asks, "the feature {name} of {} asks for it", package.name);
        }
    }
}

/// What `cargo install` and `cargo build` resolve, as cargo itself tells: without what only tests ask for.
#[test]
fn what_people_build_has_no_crash_points() {
    let mut cargo = std::process::Command::new(std::env::var_os("CARGO").unwrap_or("cargo".into()));
    cargo.current_dir(shelltrack_tests::binary::repository());
    cargo.args(["tree", "--locked", "--offline", "-p", "shelltrack", "--edges", "normal,build"]);
    let told =
        run_bounded(cargo.args(["--prefix", "none", "--format", "{lib} [{f}]"]), BOUND).expect(0).stdout;
    let tracker = told.lines().find(|line| line.starts_with("shelltrack_tracker "));
    assert_eq!(
        tracker,
        Some("shelltrack_tracker []"),
        "the crate as people get it, with its features: {told}"
    );
    assert!(!told.contains("crash-points"), "{told}");
}

/// `./try` looks for this name in the program it built; that it would find it is shown here.
#[test]
fn crash_points_can_be_told_from_a_program_by_their_name() {
    let script = std::fs::read_to_string(shelltrack_tests::binary::repository().join("try")).unwrap();
    assert!(script.contains("grep -q SHELLTRACK_CRASH_AT \"$shelltrack\""), "it looks for it");
    let mut grep = std::process::Command::new("grep");
    let grep = grep.args(["-q", "SHELLTRACK_CRASH_AT"]).arg(shelltrack_tests::binary::shelltrack());
    let has_points = run_bounded(grep, BOUND).status == 0;
    let is_for_tests = std::env::var_os("SHELLTRACK_TEST_BIN").is_none();
    assert_eq!(has_points, is_for_tests, "the tests' program has crash points, and no other");
}
