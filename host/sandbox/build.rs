//! Builds the component, checks what it imports, and compiles it ahead of time for Cargo's target.
//!
//! Leaves `component.wasm` (the component) and `component.cwasm` (its machine code) in `OUT_DIR`.
//! It decides nothing about run time: the configuration of the engine is the one in `src/engine.rs`.

use std::ffi::OsStr;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::{env, fs};

use anyhow::{Context as _, Result, anyhow, bail, ensure};
use wit_component::{ComponentEncoder, DecodedWasm};

#[path = "src/engine.rs"]
mod engine;

/// Target of the guest: the standard library without any import of its own.
const GUEST_TARGET: &str = "wasm32-unknown-unknown";
/// World the guest is built for; its own target directory bears this name.
const WORLD: &str = "session-tracker";
/// All that the component may import.
const IMPORTS: [&str; 2] = ["wasi:clocks/wall-clock@0.2.0", "wasi:random/random@0.2.0"];
/// Stack of the guest: JSON of the deepest allowed nesting fits twice.
const STACK_SIZE_BYTES: u32 = 131_072;

fn main() -> Result<()> {
    let workspace = workspace()?;
    for input in ["guest/src", "guest/Cargo.toml", "wit", "Cargo.toml", "Cargo.lock"] {
        println!("cargo::rerun-if-changed={}", workspace.join(input).display());
    }
    println!("cargo::rerun-if-changed=build.rs");
    println!("cargo::rerun-if-changed=src/engine.rs");

    let out_dir = PathBuf::from(env::var_os("OUT_DIR").context("Cargo sets OUT_DIR")?);
    let target_dir =
        out_dir.ancestors().nth(4).context("OUT_DIR is below the target directory")?.join("guest-build");
    let component = componentize(&build_guest(&workspace, &target_dir.join(WORLD))?)?;
    fs::write(out_dir.join("component.wasm"), &component)?;
    fs::write(out_dir.join("component.cwasm"), precompile(&component)?)?;
    Ok(())
}

fn workspace() -> Result<PathBuf> {
    let manifest_dir = PathBuf::from(env::var_os("CARGO_MANIFEST_DIR").context("Cargo sets it")?);
    Ok(manifest_dir.ancestors().nth(2).context("the crate is in host/sandbox of the workspace")?.to_owned())
}

/// Runs a nested Cargo and returns the core module.
fn build_guest(workspace: &Path, target_dir: &Path) -> Result<Vec<u8>> {
    fs::create_dir_all(target_dir)?;
    // Two build scripts at once (another feature set, another checkout that shares the target
    // directory) must neither both call rustup nor read the module the other one has just built.
    let lock = fs::File::create(target_dir.join("shelltrack-build.lock"))?;
    lock.lock()?;
    let rustc = env::var_os("RUSTC").context("Cargo sets RUSTC")?;
    let sysroot = output(cleaned(&rustc).args(["--print", "sysroot"]))?;
    require_guest_target(&rustc)?;
    let mut cargo = cleaned(&env::var_os("CARGO").context("Cargo sets CARGO")?);
    cargo
        .current_dir(workspace)
        .args(["build", "--locked", "-p", "shelltrack-guest", "--lib", "--profile", "guest"])
        .args(["--target", GUEST_TARGET, "--target-dir"])
        .arg(target_dir)
        .env("RUSTC", &rustc)
        .env("CARGO_ENCODED_RUSTFLAGS", rustflags(workspace, &sysroot).join("\x1f"));
    run(&mut cargo).context("the guest does not build")?;
    let module = target_dir.join(GUEST_TARGET).join("guest/shelltrack_guest.wasm");
    fs::read(&module).with_context(|| format!("cannot read {}", module.display()))
}

/// A command in an environment without what the outer Cargo says about *its* build, yet with what
/// the user says about toolchains, registries and the network.
fn cleaned(program: &OsStr) -> Command {
    const KEPT: [&str; 7] = [
        "CARGO_HOME",
        "CARGO_NET_",
        "CARGO_HTTP_",
        "CARGO_REGISTRY_",
        "CARGO_REGISTRIES_",
        "CARGO_SOURCE_",
        "RUSTUP_",
    ];
    let mut command = Command::new(program);
    for (name, _) in env::vars_os() {
        let text = name.to_string_lossy();
        let ours = ["CARGO", "RUST", "CLIPPY"].iter().any(|prefix| text.starts_with(prefix));
        if ours && !KEPT.iter().any(|prefix| text.starts_with(prefix)) {
            command.env_remove(&name);
        }
    }
    command
}

/// Flags of the guest. Paths of the building machine would end up in the texts of panics.
fn rustflags(workspace: &Path, sysroot: &str) -> Vec<String> {
    let mut flags = vec!["-Clink-arg=-z".to_owned(), format!("-Clink-arg=stack-size={STACK_SIZE_BYTES}")];
    let cargo_home = env::var_os("CARGO_HOME").map(PathBuf::from);
    let cargo_home = cargo_home.or_else(|| env::home_dir().map(|home| home.join(".cargo")));
    if let Some(cargo_home) = cargo_home {
        flags.push(format!("--remap-path-prefix={}=/cargo", cargo_home.display()));
    }
    flags.push(format!("--remap-path-prefix={}=/shelltrack", workspace.display()));
    flags.push(format!("--remap-path-prefix={sysroot}=/rust"));
    flags
}

/// Sees to it that the standard library for the guest's target is there.
fn require_guest_target(rustc: &OsStr) -> Result<()> {
    let libraries = output(cleaned(rustc).args(["--print", "target-libdir", "--target", GUEST_TARGET]))?;
    if Path::new(&libraries).is_dir() {
        return Ok(());
    }
    println!("cargo::warning=installing the target {GUEST_TARGET} with rustup, once");
    run(cleaned("rustup".as_ref()).args(["target", "add", GUEST_TARGET])).with_context(|| {
        format!(
            "Rust's target {GUEST_TARGET} is missing and could not be added with rustup; \
             without rustup, install the package of your system that holds its standard library"
        )
    })?;
    ensure!(Path::new(&libraries).is_dir(), "rustup did not put {GUEST_TARGET} into {libraries}");
    Ok(())
}

fn run(command: &mut Command) -> Result<()> {
    let status = command.status().with_context(|| format!("cannot run {command:?}"))?;
    ensure!(status.success(), "{command:?} failed: {status}");
    Ok(())
}

fn output(command: &mut Command) -> Result<String> {
    let output = command.output().with_context(|| format!("cannot run {command:?}"))?;
    ensure!(output.status.success(), "{command:?} failed: {}", String::from_utf8_lossy(&output.stderr));
    Ok(String::from_utf8(output.stdout)?.trim().to_owned())
}

/// Makes a component of the core module and checks that it can reach nothing but what it should.
fn componentize(module: &[u8]) -> Result<Vec<u8>> {
    let component = ComponentEncoder::default()
        .module(module)
        .and_then(|encoder| encoder.validate(true).encode())
        .context("the guest does not make a component")?;
    let DecodedWasm::Component(resolve, world) = wit_component::decode(&component)? else {
        bail!("the guest is a WIT package, no component");
    };
    let imports = resolve.worlds.get(world).context("a component has a world")?.imports.keys();
    let mut imports: Vec<_> = imports.map(|key| resolve.name_world_key(key)).collect();
    imports.sort_unstable();
    ensure!(imports == IMPORTS, "the component imports {imports:?} instead of {IMPORTS:?}");
    Ok(component)
}

/// Compiles for Cargo's target. It is named even when it is the host: otherwise the code would use
/// every feature of the building machine's processor and fail on an older one.
fn precompile(component: &[u8]) -> Result<Vec<u8>> {
    let target = env::var("TARGET").context("Cargo sets TARGET")?;
    let mut config = engine::code_config();
    config
        .target(&target)
        .and_then(|config| wasmtime::Engine::new(config))
        .and_then(|engine| engine.precompile_component(component))
        .map_err(|error| anyhow!("the component cannot be compiled for {target}: {error:?}"))
}
