//! What was found in the spool and cannot be used: kept beside the reason for a person to look at, and
//! out of everybody's way.

use std::path::Path;
use std::{fs, io};

use serde::{Deserialize, Serialize};
use uuid::Uuid;

use super::{Spool, file};
use crate::clock::now_us;
use crate::fault::Part;

/// Why a file lies in `aside/`.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct SetAside {
    /// Where it was found, below the spool.
    pub(crate) found: String,
    /// Why it was not left there.
    pub(crate) reason: String,
    /// Since when, microseconds since 1970.
    pub(crate) aside_us: u64,
}

impl Spool {
    /// Moves something to `aside/`, whatever it is, with the reason beside it. What cannot be moved stays
    /// where it is; the next agent tries again.
    pub(crate) fn set_aside(&self, path: &Path, reason: &str) {
        tracing::warn!(path = %path.display(), reason, "set aside");
        if let Err(error) = self.try_set_aside(path, reason)
            && error.kind() != io::ErrorKind::NotFound
        {
            tracing::error!(%error, path = %path.display(), "it stays where it is");
        }
    }

    fn try_set_aside(&self, path: &Path, reason: &str) -> io::Result<()> {
        let room = self.root().join("aside");
        file::private_directory(&room).map_err(io::Error::other)?;
        // A name of its own: theirs may be too long, no text, or there already.
        let id = Uuid::new_v4().to_string();
        let found = path.strip_prefix(self.root()).unwrap_or(path).to_string_lossy().into_owned();
        // First the reason: what cannot be explained for lack of space stays where it is.
        path.symlink_metadata()?;
        let (why, to) = (room.join(format!("{id}.json")), room.join(&id));
        let letter = SetAside { found, reason: reason.to_owned(), aside_us: now_us() };
        self.replace_json(&why, &letter, Part::Letter)?;
        fs::rename(path, to).inspect_err(|_| drop(file::remove(&why, Part::Letter)))
    }

    /// How many things were set aside.
    pub(crate) fn count_set_aside(&self) -> u64 {
        let names = self.names("aside").unwrap_or_default();
        names.iter().filter(|name| !name.ends_with(".json")).count().try_into().unwrap_or(u64::MAX)
    }
}
