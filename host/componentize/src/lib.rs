//! Builds the guest for one of its worlds, makes a component of it, and checks what that can reach.
//!
//! Used by the sandbox's build script and by `./component`. Compiles no machine code and runs nothing:
//! that is the sandbox's business. How the nested Cargo is called is in `cargo`.

mod cargo;
mod docs;
mod names;

use std::path::Path;

use anyhow::{Context as _, Result, bail, ensure};
use cargo::Package;
use wit_component::{ComponentEncoder, DecodedWasm};
use wit_parser::{Resolve, WorldItem, WorldKey};

/// A world of `wit/` the guest can be built for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum World {
    /// What a host needs to track shells.
    SessionTracker,
    /// The same logic as tools of an MCP host for components.
    McpTools,
}

/// Every function that a component may import, whatever its world.
const FUNCTIONS: [&str; 2] =
    ["wasi:clocks/wall-clock@0.2.0#now", "wasi:random/random@0.2.0#get-random-bytes"];

impl World {
    /// All of them.
    pub const ALL: [Self; 2] = [Self::SessionTracker, Self::McpTools];

    /// Its name in `wit/`.
    pub fn name(self) -> &'static str {
        match self {
            Self::SessionTracker => "session-tracker",
            Self::McpTools => "mcp-tools",
        }
    }

    /// The feature of the guest that selects it.
    fn feature(self) -> Option<&'static str> {
        (self == Self::McpTools).then_some("mcp-tools")
    }
}

/// Builds the component for `world` from the sources in `workspace`. What Cargo leaves behind goes to
/// `target_dir`, which both worlds and several builds at once may share.
pub fn build(world: World, workspace: &Path, target_dir: &Path) -> Result<Vec<u8>> {
    let feature = world.feature();
    let guest = Package { name: "shelltrack-guest", directory: workspace, feature, workspace };
    let component = componentize(&guest, target_dir)?;
    match world {
        World::SessionTracker => Ok(component),
        World::McpTools => docs::append(component, &workspace.join("wit"), world.name()),
    }
}

/// Builds the component of another crate, in its own workspace at `directory`, that keeps the contract
/// of `session-tracker`.
///
/// Below `target_dir` it has a directory of its own: Cargo gives the library of a crate that is also a
/// `cdylib`, as the guest is, one file name whatever its features, and believes a workspace's own record
/// of that file even when another workspace has written it since.
pub fn build_other(name: &str, directory: &Path, workspace: &Path, target_dir: &Path) -> Result<Vec<u8>> {
    componentize(&Package { name, directory, feature: None, workspace }, &target_dir.join(name))
}

fn componentize(package: &Package<'_>, target_dir: &Path) -> Result<Vec<u8>> {
    let module = names::demangle(&cargo::build_module(package, target_dir)?)?;
    let component = ComponentEncoder::default()
        .module(&module)
        .and_then(|encoder| encoder.validate(true).encode())
        .with_context(|| format!("{} does not make a component", package.name))?;
    let functions = imported_functions(&component)?;
    ensure!(functions == FUNCTIONS, "{} imports {functions:?} instead of {FUNCTIONS:?}", package.name);
    Ok(component)
}

/// Every function that a component imports, as `interface#function`, sorted.
pub fn imported_functions(component: &[u8]) -> Result<Vec<String>> {
    let DecodedWasm::Component(resolve, world) = wit_component::decode(component)? else {
        bail!("a WIT package, no component");
    };
    let world = resolve.worlds.get(world).context("a component has a world")?;
    let mut functions = Vec::new();
    for (key, item) in &world.imports {
        functions.extend(functions_of(&resolve, key, item)?);
    }
    functions.sort_unstable();
    Ok(functions)
}

fn functions_of(resolve: &Resolve, key: &WorldKey, item: &WorldItem) -> Result<Vec<String>> {
    let name = resolve.name_world_key(key);
    Ok(match item {
        WorldItem::Interface { id, .. } => {
            let interface = resolve.interfaces.get(*id).context("a world knows its interfaces")?;
            interface.functions.keys().map(|function| format!("{name}#{function}")).collect()
        }
        WorldItem::Function(_) => vec![name],
        WorldItem::Type { .. } => Vec::new(),
    })
}
