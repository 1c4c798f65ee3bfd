//! Which version of the layout a spool has. A newer program may keep things that this one would not
//! understand and therefore lose: it leaves such a spool alone and says so.

use std::io;

use serde::{Deserialize, Serialize};

use super::{FORMAT, Spool};
use crate::Error;
use crate::fault::Part;

/// The file `format`.
#[derive(Serialize, Deserialize)]
struct Mark {
    /// [`FORMAT`] of whoever made the spool.
    format: u32,
}

impl Spool {
    /// A mark that cannot be read says nothing of a newer version: such marks are written whole.
    pub(super) fn refuse_newer_format(&self) -> Result<(), Error> {
        match self.mark() {
            Ok(Some(Mark { format })) if format > FORMAT => Err(self.refusal(&format!(
                "belongs to a newer shelltrack (its format is {format}, this one knows {FORMAT}): nothing in \
                 it was touched; use that version, or point XDG_STATE_HOME elsewhere"
            ))),
            _ => Ok(()),
        }
    }

    /// Leaves a mark where there is none. Without it (a full disk) the spool is one of this version all
    /// the same, and one that a power failure left empty is made anew: the first shell waits for no disk here.
    pub(super) fn mark_format(&self) {
        let path = self.root().join("format");
        let written = match self.mark() {
            Ok(Some(_)) => return,
            Ok(None) => self.write_new_lightly(&path, &Mark { format: FORMAT }, Part::Mark),
            Err(error) => {
                self.set_aside(&path, &format!("is no mark of a format: {error}"));
                self.write_new_lightly(&path, &Mark { format: FORMAT }, Part::Mark)
            }
        };
        if let Err(error) = written
            && error.kind() != io::ErrorKind::AlreadyExists
        {
            tracing::warn!(%error, "the spool's format could not be noted");
        }
    }

    fn mark(&self) -> io::Result<Option<Mark>> {
        Self::read_json(&self.root().join("format"))
    }
}
