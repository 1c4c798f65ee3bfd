//! A component from a file: its digest is checked before anything looks at its bytes, and what
//! Cranelift makes of it is kept in a directory only we can write.
//!
//! Machine code is trusted as much as this program, so none is loaded that did not come from here.
//! Old entries are not cleared away: the directory is a cache, and anyone may empty it.

use std::fs::{DirBuilder, File};
use std::hash::{DefaultHasher, Hash as _, Hasher as _};
use std::io::{self, Read as _, Write as _};
use std::os::fd::OwnedFd;
use std::os::unix::fs::DirBuilderExt as _;
use std::path::Path;

use rustix::fs::{AtFlags, FileType, Mode, OFlags, Stat};
use sha2::{Digest as _, Sha256};
use wasmtime::Engine;
use wasmtime::component::Component;

use crate::error::Error;
use crate::limits::{COMPONENT_BYTES_MAX, Limits};
use crate::sandbox::{Profile, Sandbox, check_bytes, engine};

/// Machine code of the largest component: 2 to 4 times its WebAssembly.
const COMPILED_BYTES_MAX: usize = 8 * COMPONENT_BYTES_MAX;
/// Length of a SHA-256.
const DIGEST_BYTES: usize = 32;

impl Sandbox {
    /// The bytes of a component in a file, and their SHA-256 in hexadecimal. Nothing has looked at them.
    pub fn read_file(path: &Path) -> Result<(Vec<u8>, String), Error> {
        let bytes = read_component(path).map_err(|error| load(path, &error))?;
        let digest = hex(&Sha256::digest(&bytes));
        Ok((bytes, digest))
    }

    /// The component in the file at `path`, whose SHA-256 in hexadecimal is `sha256`.
    ///
    /// The first time it is compiled, and the result kept in `cache_dir`, which is made with mode
    /// 0700 and otherwise refused unless it is ours alone. A cache that cannot be written costs time
    /// and nothing else.
    pub fn from_file(path: &Path, sha256: &str, cache_dir: &Path, profile: Profile) -> Result<Self, Error> {
        let (bytes, digest) = Self::read_file(path)?;
        if !digest.eq_ignore_ascii_case(sha256.trim()) {
            return Err(load(path, &format_args!("SHA-256: expected {sha256}, found {digest}")));
        }
        let limits = Limits::default();
        check_bytes(&bytes, &limits)?;
        let engine = engine(profile, &limits)?;
        let cache = open_cache(cache_dir).map_err(|error| load(cache_dir, &error))?;
        let name = format!("{digest}-{:016x}.cwasm", compatibility(&engine));
        if let Some(component) = cache.as_ref().and_then(|cache| cached(cache, &name, &engine)) {
            return Self::new(&component, limits);
        }
        let compiled = engine.precompile_component(&bytes).map_err(|error| Error::of_load(&error))?;
        if let Some(Err(error)) = cache.map(|cache| keep(&cache, &name, &compiled)) {
            tracing::warn!(%error, "the compiled component could not be kept in the cache");
        }
        Self::new(&deserialize(&engine, &compiled).map_err(|error| Error::of_load(&error))?, limits)
    }
}

fn load(path: &Path, reason: &dyn std::fmt::Display) -> Error {
    Error::load(format!("{}: {reason}", path.display()))
}

/// Does not wait for a pipe's writer, and reads no further than a component may go.
fn read_component(path: &Path) -> io::Result<Vec<u8>> {
    let flags = OFlags::RDONLY | OFlags::NONBLOCK | OFlags::CLOEXEC;
    read_file(rustix::fs::open(path, flags, Mode::empty())?, COMPONENT_BYTES_MAX, |_| true)
}

/// Reads a regular file of at most `bytes_max` that passes the check.
fn read_file(file: OwnedFd, bytes_max: usize, check: impl FnOnce(&Stat) -> bool) -> io::Result<Vec<u8>> {
    let stat = rustix::fs::fstat(&file)?;
    if FileType::from_raw_mode(stat.st_mode) != FileType::RegularFile || !check(&stat) {
        return Err(io::Error::other("not a regular file of ours"));
    }
    let mut bytes = Vec::new();
    let limit = u64::try_from(bytes_max).unwrap_or(u64::MAX);
    File::from(file).take(limit.saturating_add(1)).read_to_end(&mut bytes)?;
    if bytes.len() > bytes_max {
        return Err(io::Error::other(format!("more than {bytes_max} bytes")));
    }
    Ok(bytes)
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

/// Tells engines apart whose code is not interchangeable: version, settings, processor.
fn compatibility(engine: &Engine) -> u64 {
    let mut hasher = DefaultHasher::new();
    engine.precompile_compatibility_hash().hash(&mut hasher);
    hasher.finish()
}

/// The cache directory; none when it cannot be made, an error when it is not ours alone.
fn open_cache(path: &Path) -> io::Result<Option<OwnedFd>> {
    if let Err(error) = DirBuilder::new().recursive(true).mode(0o700).create(path)
        && path.symlink_metadata().is_err()
    {
        tracing::warn!(%error, "no directory for compiled components");
        return Ok(None);
    }
    let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    let directory = rustix::fs::open(path, flags, Mode::empty())?;
    if !ours_alone(&rustix::fs::fstat(&directory)?) {
        return Err(io::Error::other("the directory must belong to us and be closed to others (0700)"));
    }
    Ok(Some(directory))
}

/// Belongs to us, and nobody else may do anything with it.
fn ours_alone(stat: &Stat) -> bool {
    stat.st_uid == rustix::process::geteuid().as_raw()
        && Mode::from_raw_mode(stat.st_mode).bits() & 0o077 == 0
}

/// The component as it was compiled before. Whatever is wrong with the entry, it is made anew.
fn cached(cache: &OwnedFd, name: &str, engine: &Engine) -> Option<Component> {
    let flags = OFlags::RDONLY | OFlags::NOFOLLOW | OFlags::NONBLOCK | OFlags::CLOEXEC;
    let file = rustix::fs::openat(cache, name, flags, Mode::empty()).ok()?;
    let entry = read_file(file, COMPILED_BYTES_MAX, ours_alone).ok()?;
    let (digest, compiled) = entry.split_at_checked(DIGEST_BYTES)?;
    // A torn file (power cut, full disk) is no longer the code we wrote.
    if Sha256::digest(compiled).as_slice() != digest {
        return None;
    }
    deserialize(engine, compiled).ok()
}

/// Puts an entry in place as a whole: others see it complete or not at all.
fn keep(cache: &OwnedFd, name: &str, compiled: &[u8]) -> io::Result<()> {
    let temporary = format!("{:016x}.tmp", getrandom::u64().map_err(io::Error::other)?);
    let flags = OFlags::WRONLY | OFlags::CREATE | OFlags::EXCL | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    let mut file = File::from(rustix::fs::openat(cache, &temporary, flags, Mode::RUSR | Mode::WUSR)?);
    let written = file
        .write_all(&Sha256::digest(compiled))
        .and_then(|()| file.write_all(compiled))
        .and_then(|()| file.sync_all())
        .and_then(|()| Ok(rustix::fs::renameat(cache, &temporary, cache, name)?));
    if written.is_err() {
        // Best effort: what is left behind is a file nobody reads.
        let _ = rustix::fs::unlinkat(cache, &temporary, AtFlags::empty());
    }
    written
}

fn deserialize(engine: &Engine, compiled: &[u8]) -> wasmtime::Result<Component> {
    #[allow(unsafe_code, reason = "the only way to load code that was compiled before")]
    // SAFETY: this program made these bytes with `precompile_component`: either just now, or they
    // come unchanged (digest) from a file of ours, closed to others, in a directory of ours, closed to
    // others (both checked on the open descriptors). wasmtime checks version and configuration itself.
    unsafe {
        Component::deserialize(engine, compiled)
    }
}
