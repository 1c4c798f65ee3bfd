//! Word that a start was refused, as an empty file in `tmp/`: whoever was told its key before does not wait for
//! it. Nothing relies on it, and the agent sweeps what killed processes left.

use std::fs::{self, OpenOptions};
use std::os::unix::fs::OpenOptionsExt;
use std::path::PathBuf;

use uuid::Uuid;

use super::Spool;

/// Word that was left; it goes with this.
#[derive(Debug)]
pub struct Refusal {
    path: PathBuf,
}

impl Spool {
    /// Leaves word of it; `None` where that is not possible.
    pub(crate) fn leave_word_of_refusal(&self, key: Uuid) -> Option<Refusal> {
        let path = self.refusal_path(key);
        OpenOptions::new().write(true).create_new(true).mode(0o600).open(&path).ok()?;
        Some(Refusal { path })
    }

    /// Whether word was left.
    pub(crate) fn is_refused(&self, key: Uuid) -> bool {
        self.refusal_path(key).exists()
    }

    fn refusal_path(&self, key: Uuid) -> PathBuf {
        self.root().join("tmp").join(format!("{key}.refused"))
    }
}

impl Drop for Refusal {
    fn drop(&mut self) {
        // Where it cannot be removed it is swept.
        drop(fs::remove_file(&self.path));
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "a test may fail by panic")]
mod tests {
    use super::*;

    #[test]
    fn word_of_a_refusal_holds_for_its_key_and_while_it_is_kept() {
        let home = tempfile::tempdir().unwrap();
        let spool = Spool::open(home.path()).unwrap();
        let (key, other) = (Uuid::new_v4(), Uuid::new_v4());
        let word = spool.leave_word_of_refusal(key).unwrap();
        assert_eq!((spool.is_refused(key), spool.is_refused(other)), (true, false));
        drop(word);
        assert!(!spool.is_refused(key));
        assert!(spool.names("tmp").unwrap().is_empty());
    }
}
