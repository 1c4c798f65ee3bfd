//! `./component OUT_DIR [CRATE_DIR]`: writes the component of each world to `OUT_DIR/shelltrack-WORLD.wasm`,
//! or that of another crate, named like its directory, to `OUT_DIR/CRATE.wasm`.
#![allow(clippy::print_stdout, reason = "a program that tells what it wrote")]

use std::path::{Path, PathBuf};
use std::{env, fs};

use anyhow::{Context as _, Result};
use shelltrack_componentize::{World, build, build_other};

fn main() -> Result<()> {
    let out_dir =
        env::args_os().nth(1).map(PathBuf::from).context("usage: ./component OUT_DIR [CRATE_DIR]")?;
    let workspace = Path::new(env!("CARGO_MANIFEST_DIR")).ancestors().nth(2);
    let workspace = workspace.context("the crate is in host/componentize of the workspace")?;
    let program = env::current_exe()?;
    let target_dir = program.ancestors().nth(2).context("the program is below a target directory")?;
    fs::create_dir_all(&out_dir).with_context(|| format!("cannot make {}", out_dir.display()))?;
    let target_dir = target_dir.join("guest-build");
    if let Some(directory) = env::args_os().nth(2).map(PathBuf::from) {
        let name = directory.file_name().and_then(|name| name.to_str()).context("CRATE_DIR has no name")?;
        let component = build_other(name, &directory, workspace, &target_dir)?;
        return write(&out_dir.join(format!("{name}.wasm")), &component);
    }
    for world in World::ALL {
        let component = build(world, workspace, &target_dir)?;
        write(&out_dir.join(format!("shelltrack-{}.wasm", world.name())), &component)?;
    }
    Ok(())
}

fn write(path: &Path, component: &[u8]) -> Result<()> {
    fs::write(path, component).with_context(|| format!("cannot write {}", path.display()))?;
    println!("{}: {} bytes", path.display(), component.len());
    Ok(())
}
