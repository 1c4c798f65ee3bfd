//! Has the component built, and compiles it ahead of time for Cargo's target.
//!
//! Leaves `component.wasm` (the component) and `component.cwasm` (its machine code) in `OUT_DIR`, and
//! with the feature `testing` the component of the other world, `tools.wasm`. It decides nothing about
//! run time: the configuration of the engine is the one in `src/engine.rs`.

use std::path::PathBuf;
use std::{env, fs};

use anyhow::{Context as _, Result, anyhow};
use shelltrack_componentize::{World, build};

#[path = "src/engine.rs"]
mod engine;

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
    let component = build(World::SessionTracker, &workspace, &target_dir)?;
    fs::write(out_dir.join("component.wasm"), &component)?;
    fs::write(out_dir.join("component.cwasm"), precompile(&component)?)?;
    if env::var_os("CARGO_FEATURE_TESTING").is_some() {
        fs::write(out_dir.join("tools.wasm"), build(World::McpTools, &workspace, &target_dir)?)?;
    }
    Ok(())
}

fn workspace() -> Result<PathBuf> {
    let manifest_dir = PathBuf::from(env::var_os("CARGO_MANIFEST_DIR").context("Cargo sets it")?);
    Ok(manifest_dir.ancestors().nth(2).context("the crate is in host/sandbox of the workspace")?.to_owned())
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
