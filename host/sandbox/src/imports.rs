//! What a component may import: what the built-in one imports, in a compatible version, and nothing else.
//!
//! Judged by name and before anything is compiled. That an instance of the right name has the right functions
//! is wasmtime's business when it links; which functions the built-in one may use was checked when it was built.

use std::collections::BTreeSet;

use wasmparser::{BinaryReaderError, Parser, Payload};

use crate::error::{Error, harmless};
use crate::sandbox::COMPONENT;

/// Refuses a component that imports more than the built-in one, empty instances included.
pub(crate) fn check(component: &[u8]) -> Result<(), Error> {
    let invalid = |error: BinaryReaderError| Error::load(error.to_string());
    let ours = names(COMPONENT).map_err(invalid)?;
    let tracks: BTreeSet<_> = ours.iter().map(|name| track(name)).collect();
    let mut found = names(component).map_err(invalid)?;
    found.retain(|name| !tracks.contains(track(name)));
    if found.is_empty() {
        return Ok(());
    }
    Err(Error::Imports { expected: ours.join(", "), found: harmless(&found.join(", ")) })
}

/// Names of all that the component itself imports, in their order. Components inside of it get their imports
/// from it.
fn names(component: &[u8]) -> Result<Vec<String>, BinaryReaderError> {
    let (mut names, mut depth) = (Vec::new(), 0_usize);
    for payload in Parser::new(0).parse_all(component) {
        match payload? {
            Payload::Version { .. } => depth += 1,
            Payload::End(_) => depth = depth.saturating_sub(1),
            Payload::ComponentImportSection(section) if depth == 1 => {
                for import in section {
                    names.push(import?.name.full_name().into_owned());
                }
            }
            _ => {}
        }
    }
    Ok(names)
}

/// The name with as much of its version as must be equal: wasmtime links `@0.2.0` and `@0.2.6` with each other,
/// and a version before a release with itself only.
fn track(name: &str) -> &str {
    let Some((package, version)) = name.split_once('@') else { return name };
    let mut numbers = version.split('.');
    let (major, minor) = (numbers.next().unwrap_or_default(), numbers.next().unwrap_or_default());
    let equal = match (major, minor) {
        _ if version.contains('-') => version.len(),
        ("0", "0") => version.len(),
        ("0", minor) => "0.".len() + minor.len(),
        (major, _) => major.len(),
    };
    name.get(..package.len() + 1 + equal).unwrap_or(name)
}

#[cfg(test)]
mod tests {
    use super::track;

    #[test]
    fn versions_count_as_far_as_they_must_be_equal() {
        let same = |a: &str, b: &str| track(a) == track(b);
        assert!(same("wasi:random/random@0.2.0", "wasi:random/random@0.2.6"));
        assert!(same("a:b/c@1.2.3", "a:b/c@1.9.0") && same("a:b/c", "a:b/c"));
        assert!(!same("wasi:random/random@0.2.0", "wasi:random/random@0.3.0"));
        assert!(!same("wasi:random/random@0.2.0", "wasi:random/random@0.20.0"));
        assert!(!same("wasi:random/random@0.2.0", "wasi:random/insecure@0.2.0"));
        assert!(!same("wasi:random/random@0.2.0", "wasi:random/random@0.2.0-rc.1"));
        assert!(
            !same("wasi:random/random@0.2.0", "wasi:random/random") && !same("a:b/c@0.0.1", "a:b/c@0.0.2")
        );
    }
}
