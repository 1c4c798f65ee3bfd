//! Files that only their owner may read. What is in them is `key`'s business.

use std::fs::{self, DirBuilder, File, OpenOptions};
use std::io::{self, Read, Write};
use std::os::unix::fs::{DirBuilderExt, MetadataExt, OpenOptionsExt};
use std::path::Path;

/// A key file is a few hundred bytes.
const FILE_BYTES_MAX: u64 = 16 << 10;

/// Makes the directory (0700) where it is missing; another user's is refused.
pub(crate) fn private_directory(path: &Path) -> io::Result<()> {
    DirBuilder::new().recursive(true).mode(0o700).create(path)?;
    check_owner(&fs::metadata(path)?)
}

/// Another user's key would let that user in, or let us speak as that user. Root may lay keys down.
fn check_owner(metadata: &fs::Metadata) -> io::Result<()> {
    let ours = rustix::process::geteuid().as_raw();
    if metadata.uid() == ours || metadata.uid() == 0 {
        return Ok(());
    }
    Err(io::Error::new(
        io::ErrorKind::PermissionDenied,
        format!("it belongs to another user (uid {}, not {ours})", metadata.uid()),
    ))
}

/// The text of a key file, and whether only its owner can read it.
pub(crate) fn read(path: &Path) -> io::Result<(String, bool)> {
    // A pipe in place of a file must not keep us waiting.
    let file =
        OpenOptions::new().read(true).custom_flags(rustix::fs::OFlags::NONBLOCK.bits() as i32).open(path)?;
    let metadata = file.metadata()?;
    if !metadata.is_file() || metadata.len() > FILE_BYTES_MAX {
        return Err(io::Error::other(format!("it is no regular file of at most {FILE_BYTES_MAX} bytes")));
    }
    check_owner(&metadata)?;
    let mut text = String::new();
    file.take(FILE_BYTES_MAX).read_to_string(&mut text)?;
    Ok((text, metadata.mode() & 0o077 == 0))
}

/// Writes a new file (0600) that is there whole or not at all, also after a crash.
pub(crate) fn write_new(directory: &Path, name: &str, text: &str) -> io::Result<()> {
    let whole = directory.join(name);
    let part = directory.join(format!(".{name}.{}", std::process::id()));
    let written = (|| {
        let mut file = OpenOptions::new().write(true).create_new(true).mode(0o600).open(&part)?;
        file.write_all(text.as_bytes())?;
        file.sync_all()?;
        fs::hard_link(&part, &whole)
    })();
    let _gone = fs::remove_file(&part);
    written?;
    File::open(directory)?.sync_all()
}

/// Runs something while no other process does so with this directory.
pub(crate) fn alone<T>(directory: &Path, work: impl FnOnce() -> io::Result<T>) -> io::Result<T> {
    let lock = File::open(directory)?;
    rustix::fs::flock(&lock, rustix::fs::FlockOperation::LockExclusive)?;
    work()
}
