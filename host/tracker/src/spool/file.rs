//! Writing files so that they are whole or not there, also after a power failure.

use std::fs::{self, DirBuilder, File, OpenOptions};
use std::io::{self, Write};
use std::os::unix::fs::{DirBuilderExt, MetadataExt, OpenOptionsExt, PermissionsExt};
use std::path::Path;

use rustix::fs::{CWD, RenameFlags, renameat_with};
use rustix::process::geteuid;

use crate::Error;

/// Largest spool or state file that is read: an event is a few KiB, so more is not ours.
pub(crate) const FILE_BYTES_MAX: u64 = 1 << 20;

/// Writes `bytes` to `to` by way of `tmp`, durable when it returns. With `replace` false an existing
/// `to` stays and `AlreadyExists` is the answer. `tmp` and `to` lie in one file system.
pub(crate) fn write_durably(tmp: &Path, to: &Path, bytes: &[u8], replace: bool) -> io::Result<()> {
    let written = write_new(tmp, bytes).and_then(|()| {
        if replace {
            fs::rename(tmp, to)
        } else {
            renameat_with(CWD, tmp, CWD, to, RenameFlags::NOREPLACE).map_err(io::Error::from)
        }
    });
    if written.is_err() {
        // Best effort: what is left in tmp/ is swept by the agent.
        drop(fs::remove_file(tmp));
        return written;
    }
    to.parent().map_or(Ok(()), sync_directory)
}

fn write_new(path: &Path, bytes: &[u8]) -> io::Result<()> {
    let mut file = OpenOptions::new().write(true).create_new(true).mode(0o600).open(path)?;
    file.write_all(bytes)?;
    file.sync_all()
}

/// Makes what was created, renamed or removed in a directory durable.
pub(crate) fn sync_directory(path: &Path) -> io::Result<()> {
    File::open(path)?.sync_all()
}

/// Removes a file; one that is gone already is fine.
pub(crate) fn remove(path: &Path) -> io::Result<()> {
    match fs::remove_file(path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
        other => other,
    }
}

/// Reads a file of ours, bounded.
pub(crate) fn read(path: &Path) -> io::Result<Vec<u8>> {
    let metadata = fs::symlink_metadata(path)?;
    if !metadata.is_file() {
        return Err(io::Error::new(io::ErrorKind::InvalidData, "not a regular file"));
    }
    if metadata.len() > FILE_BYTES_MAX {
        let reason = format!("larger than {FILE_BYTES_MAX} bytes");
        return Err(io::Error::new(io::ErrorKind::InvalidData, reason));
    }
    fs::read(path)
}

/// Whether a file is at fault, not the system that reads it.
pub(crate) fn is_no_event(error: &io::Error) -> bool {
    use io::ErrorKind::{InvalidData, IsADirectory, UnexpectedEof};
    matches!(error.kind(), InvalidData | IsADirectory | UnexpectedEof)
}

/// Makes a directory that only the effective user can enter, or makes sure that it is one.
pub(crate) fn private_directory(path: &Path) -> Result<(), Error> {
    let refuse = |reason: String| Error::Spool { path: path.to_owned(), reason };
    match DirBuilder::new().mode(0o700).create(path) {
        Ok(()) => return Ok(()),
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {}
        Err(error) => return Err(refuse(format!("cannot be made: {error}"))),
    }
    let metadata = fs::symlink_metadata(path).map_err(|error| refuse(error.to_string()))?;
    if !metadata.is_dir() {
        return Err(refuse("is not a directory".to_owned()));
    }
    refuse_foreign(path, &metadata)?;
    if metadata.mode() & 0o077 != 0 {
        fs::set_permissions(path, fs::Permissions::from_mode(0o700))
            .map_err(|error| refuse(format!("cannot be made private (0700): {error}")))?;
    }
    Ok(())
}

/// `sudo` with somebody's HOME must not leave root's files there.
pub(crate) fn refuse_foreign(path: &Path, metadata: &fs::Metadata) -> Result<(), Error> {
    let me = geteuid().as_raw();
    if metadata.uid() == me {
        return Ok(());
    }
    let reason = format!(
        "belongs to user {}, and this is user {me}: point XDG_STATE_HOME to a directory of your own",
        metadata.uid()
    );
    Err(Error::Spool { path: path.to_owned(), reason })
}
