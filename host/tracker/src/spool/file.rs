//! Writing files so that they are whole or not there, also after a power failure.

use std::fs::{self, DirBuilder, File, OpenOptions};
use std::io;
use std::os::unix::fs::{DirBuilderExt, MetadataExt, OpenOptionsExt, PermissionsExt};
use std::path::{Path, PathBuf};

use rustix::fs::{CWD, OFlags, RenameFlags, renameat_with};
use rustix::io::Errno;
use rustix::process::geteuid;

use crate::Error;
use crate::fault::{self, Act, Part};

/// Largest spool or state file that is read: an event is a few KiB, so more is not ours.
pub(crate) const FILE_BYTES_MAX: u64 = 1 << 20;

/// For whatever is opened by name: a pipe in place of a file is not to keep anybody waiting. Of no effect on a
/// file.
pub(crate) const NONBLOCK: i32 = OFlags::NONBLOCK.bits().cast_signed();

/// Writes `bytes` to `to` by way of `tmp`, durable when it returns. With `replace` false an existing
/// `to` stays and `AlreadyExists` is the answer. `tmp` and `to` lie in one file system.
pub(crate) fn write_durably(
    tmp: &Path,
    to: &Path,
    bytes: &[u8],
    replace: bool,
    part: Part,
) -> io::Result<()> {
    let written = write_new(tmp, bytes, part).and_then(|()| {
        fault::at(part, Act::Rename)?;
        if replace { fs::rename(tmp, to) } else { rename_new(tmp, to) }
    });
    if written.is_err() {
        // Best effort: what is left in tmp/ is swept by the agent.
        drop(fs::remove_file(tmp));
        return written;
    }
    fault::at(part, Act::SyncDirectory)?;
    to.parent().map_or(Ok(()), sync_directory)
}

/// Writes files by way of `tmp`, all of them durable when it returns; gives what became of each. They share
/// one directory, which is forced to disk once: that, and writing all before the first is forced, makes a
/// file of many several times cheaper than one alone.
pub(crate) fn replace_all_durably(files: &[(PathBuf, PathBuf, Vec<u8>)], part: Part) -> Vec<io::Result<()>> {
    let written: Vec<_> = files.iter().map(|(tmp, _, bytes)| write_unforced(tmp, bytes, part)).collect();
    let mut named: Vec<_> = written
        .into_iter()
        .zip(files)
        .map(|(file, (tmp, to, _))| force_and_name(file, tmp, to, part))
        .collect();
    let Some(directory) = files.first().and_then(|(_, to, _)| to.parent()) else { return named };
    let synced = fault::at(part, Act::SyncDirectory).and_then(|()| sync_directory(directory));
    if let Err(error) = synced {
        let again = || io::Error::new(error.kind(), error.to_string());
        named.iter_mut().filter(|named| named.is_ok()).for_each(|named| *named = Err(again()));
    }
    named
}

fn force_and_name(file: io::Result<File>, tmp: &Path, to: &Path, part: Part) -> io::Result<()> {
    let named = file.and_then(|file| {
        fault::at(part, Act::Sync)?;
        file.sync_all()?;
        fault::at(part, Act::Rename)?;
        fs::rename(tmp, to)
    });
    if named.is_err() {
        drop(fs::remove_file(tmp));
    }
    named
}

/// Writes `bytes` to `to` by way of `tmp`: whole for every process that looks, also when this one is killed.
/// Power loss may leave an empty file: for what can be made anew, or is forced later. With `replace` false as
/// [`write_durably`].
pub(crate) fn write_lightly(
    tmp: &Path,
    to: &Path,
    bytes: &[u8],
    replace: bool,
    part: Part,
) -> io::Result<()> {
    let written = write_unforced(tmp, bytes, part).and_then(|_| {
        fault::at(part, Act::Rename)?;
        if replace { fs::rename(tmp, to) } else { rename_new(tmp, to) }
    });
    if written.is_err() {
        drop(fs::remove_file(tmp));
    }
    written
}

/// Forces a file that [`write_lightly`] wrote to disk, and its name; one that is gone needs it no more.
pub(super) fn force(path: &Path, part: Part) -> io::Result<()> {
    match File::open(path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
        file => {
            let file = file?;
            fault::at(part, Act::Sync)?;
            file.sync_all()?;
        }
    }
    fault::at(part, Act::SyncDirectory)?;
    path.parent().map_or(Ok(()), sync_directory)
}

/// Gives a file its name unless that is taken.
pub(super) fn rename_new(from: &Path, to: &Path) -> io::Result<()> {
    match renameat_with(CWD, from, CWD, to, RenameFlags::NOREPLACE) {
        // Not every file system can (NFS): a link refuses a name that is taken as well.
        Err(Errno::INVAL | Errno::NOSYS | Errno::NOTSUP) => link_new(from, to),
        other => Ok(other?),
    }
}

fn link_new(from: &Path, to: &Path) -> io::Result<()> {
    fs::hard_link(from, to)?;
    // The event is accepted; a second name in tmp/ is swept some day.
    drop(fs::remove_file(from));
    Ok(())
}

pub(super) fn write_new(path: &Path, bytes: &[u8], part: Part) -> io::Result<()> {
    let file = write_unforced(path, bytes, part)?;
    fault::at(part, Act::Sync)?;
    file.sync_all()
}

fn write_unforced(path: &Path, bytes: &[u8], part: Part) -> io::Result<File> {
    fault::at(part, Act::Create)?;
    let mut file = OpenOptions::new().write(true).create_new(true).mode(0o600).open(path)?;
    fault::write_all(&mut file, bytes, part)?;
    Ok(file)
}

/// Makes what was created, renamed or removed in a directory durable.
pub(crate) fn sync_directory(path: &Path) -> io::Result<()> {
    File::open(path)?.sync_all()
}

/// Removes a file; one that is gone already is fine.
pub(crate) fn remove(path: &Path, part: Part) -> io::Result<()> {
    fault::at(part, Act::Remove)?;
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
pub(crate) fn is_files_fault(error: &io::Error) -> bool {
    use io::ErrorKind::{InvalidData, IsADirectory, PermissionDenied, UnexpectedEof};
    matches!(error.kind(), InvalidData | IsADirectory | UnexpectedEof | PermissionDenied)
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
    // Also when we ourselves may not enter it.
    if metadata.mode() & 0o777 != 0o700 {
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

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "a test may fail by panic")]
mod tests {
    use super::*;

    #[test]
    fn a_name_that_is_taken_is_not_given_again_with_and_without_the_systems_help() {
        for give in [rename_new, link_new] {
            let home = tempfile::tempdir().unwrap();
            let (from, to) = (home.path().join("from"), home.path().join("to"));
            fs::write(&from, "1").unwrap();
            give(&from, &to).unwrap();
            fs::write(&from, "2").unwrap();
            assert_eq!(give(&from, &to).unwrap_err().kind(), io::ErrorKind::AlreadyExists);
            assert_eq!(fs::read_to_string(&to).unwrap(), "1");
        }
    }
}
