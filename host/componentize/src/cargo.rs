//! Builds a crate's core module with a nested Cargo, which shares nothing with the outer one but the
//! toolchain and what the user says about registries and the network.

use std::ffi::OsStr;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::{env, fs};

use anyhow::{Context as _, Result, ensure};

/// Target of the guest: the standard library without any import of its own.
const GUEST_TARGET: &str = "wasm32-unknown-unknown";
/// Stack of the guest: JSON of the deepest allowed nesting fits twice.
const STACK_SIZE_BYTES: u32 = 131_072;

/// What is built.
pub(crate) struct Package<'a> {
    pub(crate) name: &'a str,
    /// Where Cargo is called: its workspace and its lock file count.
    pub(crate) directory: &'a Path,
    pub(crate) feature: Option<&'a str>,
    /// The root of the repository, whose name must not end up in the module.
    pub(crate) workspace: &'a Path,
}

/// Runs a nested Cargo and returns the core module.
pub(crate) fn build_module(package: &Package<'_>, target_dir: &Path) -> Result<Vec<u8>> {
    fs::create_dir_all(target_dir)?;
    // Two build scripts at once (another feature set, another checkout that shares the target
    // directory) must neither both call rustup nor read the module the other one has just built.
    let lock = fs::File::create(target_dir.join("shelltrack-build.lock"))?;
    lock.lock()?;
    let rustc = env::var_os("RUSTC").unwrap_or_else(|| "rustc".into());
    let sysroot = output(cleaned(&rustc).args(["--print", "sysroot"]))?;
    require_guest_target(&rustc)?;
    let mut cargo = cleaned(&env::var_os("CARGO").unwrap_or_else(|| "cargo".into()));
    cargo
        .current_dir(package.directory)
        .args(["build", "--locked", "--lib", "--profile", "guest", "-p", package.name])
        .args(["--target", GUEST_TARGET, "--target-dir"])
        .arg(target_dir)
        .args(package.feature.iter().flat_map(|feature| ["--features", feature]))
        .env("RUSTC", &rustc)
        .env("CARGO_ENCODED_RUSTFLAGS", rustflags(package.workspace, &sysroot).join("\x1f"));
    run(&mut cargo).with_context(|| format!("{} does not build", package.name))?;
    let module = target_dir.join(GUEST_TARGET).join("guest").join(package.name.replace('-', "_") + ".wasm");
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
#[allow(clippy::print_stdout, reason = "this is how a build script makes Cargo tell something")]
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
