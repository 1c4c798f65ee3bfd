//! Puts the documentation of a world into its component, where a host reads it to describe tools.
//!
//! Making a component drops it. Tools look for it in the custom section `package-docs`, under the name
//! `root`, which is what the world of any component is called once it is read back.

use std::borrow::Cow;
use std::path::Path;

use anyhow::{Context as _, Result};
use serde_json::{Value, json};
use wasm_encoder::{ComponentSection as _, CustomSection};
use wit_parser::{PackageMetadata, Resolve};

/// The component with the documentation of `world` from the directory `wit` at its end.
pub(crate) fn append(mut component: Vec<u8>, wit: &Path, world: &str) -> Result<Vec<u8>> {
    let mut resolve = Resolve::default();
    let (package, _) = resolve.push_dir(wit)?;
    let encoded = PackageMetadata::extract(&resolve, package).encode()?;
    let (version, text) = encoded.split_first().context("the section begins with its version")?;
    let metadata: Value = serde_json::from_slice(text)?;
    let world = metadata.pointer(&format!("/worlds/{world}")).context("the world is documented")?;
    let mut data = vec![*version];
    serde_json::to_writer(&mut data, &json!({ "worlds": { "root": world } }))?;
    let section = CustomSection { name: PackageMetadata::SECTION_NAME.into(), data: Cow::Owned(data) };
    section.append_to_component(&mut component);
    Ok(component)
}
