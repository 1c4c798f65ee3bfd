//! Finds the `shelltrack` binary under test, and what cargo knows of the workspace.
//!
//! Cargo tells a package's own tests where its binary is. `SHELLTRACK_TEST_BIN` names another one, for
//! instance an installed one.

use std::path::{Path, PathBuf};
use std::sync::OnceLock;

/// Path of the binary under test.
///
/// # Panics
/// When neither cargo nor `SHELLTRACK_TEST_BIN` says where it is.
pub fn shelltrack() -> &'static Path {
    static BINARY: OnceLock<PathBuf> = OnceLock::new();
    BINARY.get_or_init(|| match std::env::var_os("SHELLTRACK_TEST_BIN") {
        Some(path) => std::path::absolute(path).unwrap(),
        None => std::env::var_os("CARGO_BIN_EXE_shelltrack").expect("cargo sets it for these tests").into(),
    })
}

/// The root of the repository.
pub fn repository() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap()
}

/// What cargo resolves for the workspace, exactly as `Cargo.lock` has it.
///
/// # Panics
/// When cargo cannot tell.
pub fn cargo_metadata() -> cargo_metadata::Metadata {
    let mut command = cargo_metadata::MetadataCommand::new();
    command
        .manifest_path(repository().join("Cargo.toml"))
        .other_options(["--locked".to_owned()])
        .exec()
        .unwrap()
}
