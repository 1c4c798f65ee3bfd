//! Names in `dead/`: what stands for a dead letter there, and the one step in which it is an event again.
//!
//! ```text
//! KEY.start.json     a letter
//! KEY.start.raw      the event itself, where it is none that can be read; a letter also by itself
//! KEY.start.again    a letter that is being queued again
//! KEY.start.dropped  a letter that is being dropped
//! ```

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::{fs, io};

use uuid::Uuid;

use super::{Kind, Spool, file};
use crate::fault::{self, Act, Part};

impl Spool {
    /// A dead letter.
    pub(crate) fn dead_path(&self, key: Uuid, kind: Kind) -> PathBuf {
        self.root.join("dead").join(kind.file_name(key))
    }

    /// What lies beside it: an event that cannot be read.
    pub(crate) fn raw_path(&self, key: Uuid, kind: Kind) -> PathBuf {
        self.dead_path(key, kind).with_extension("raw")
    }

    /// A letter that is being queued again.
    pub(crate) fn again_path(&self, key: Uuid, kind: Kind) -> PathBuf {
        self.dead_path(key, kind).with_extension("again")
    }

    /// A letter that is being dropped.
    pub(crate) fn dropped_path(&self, key: Uuid, kind: Kind) -> PathBuf {
        self.dead_path(key, kind).with_extension("dropped")
    }

    /// Whether that event is a dead letter, also one that is just being queued again. Whoever wants to know
    /// whether an event is anywhere looks here first and into `new/` afterwards: that is the way it goes.
    pub(crate) fn has_letter(&self, key: Uuid, kind: Kind) -> bool {
        let names = [self.dead_path(key, kind), self.again_path(key, kind), self.raw_path(key, kind)];
        names.iter().any(|path| path.exists())
    }

    /// The dead letters, each once, whatever stands for it.
    pub(crate) fn dead_letters(&self) -> io::Result<BTreeSet<(Uuid, Kind)>> {
        let names = self.names("dead")?;
        Ok(names.iter().filter_map(|name| letter(name, &["json", "again", "raw"])).collect())
    }

    /// What somebody has begun with letters and not finished, in no order.
    pub(crate) fn letters_under_way(&self) -> io::Result<UnderWay> {
        let names = self.names("dead")?;
        let of = |extension| names.iter().filter_map(move |name| letter(name, &[extension]));
        let waits = |(key, kind): &(Uuid, Kind)| self.event_path(*key, *kind).exists();
        Ok(UnderWay {
            again: of("again").collect(),
            dropped: of("dropped").collect(),
            written: of("json").filter(waits).collect(),
        })
    }

    /// Moves a letter out of the way of whoever writes a new one; `false` when it is gone.
    pub(crate) fn take_letter(&self, key: Uuid, kind: Kind, to: &Path, part: Part) -> io::Result<bool> {
        fault::at(part, Act::Take)?;
        match fs::rename(self.dead_path(key, kind), to) {
            Ok(()) => Ok(true),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(false),
            Err(error) => Err(error),
        }
    }

    /// A letter that was to be dropped and is not. One that was written meanwhile takes its place.
    pub(crate) fn put_letter_back(&self, key: Uuid, kind: Kind) -> io::Result<()> {
        let dropped = self.dropped_path(key, kind);
        match file::rename_new(&dropped, &self.dead_path(key, kind)) {
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists => file::remove(&dropped, Part::Drop),
            other => other,
        }
    }

    /// What was written to [`Self::again_path`], an envelope by now, becomes an event that waits: in one step,
    /// so that at no moment it is both. Where one waits already, that one is it.
    pub(crate) fn readmit(&self, key: Uuid, kind: Kind) -> io::Result<()> {
        fault::at(Part::Again, Act::Queue)?;
        let again = self.again_path(key, kind);
        match file::rename_new(&again, &self.event_path(key, kind)) {
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {
                file::remove(&again, Part::Again)?;
            }
            other => other?,
        }
        file::sync_directory(&self.new_dir())?;
        file::sync_directory(&self.root.join("dead"))
    }
}

/// Letters that somebody has begun to deal with.
pub(crate) struct UnderWay {
    /// Being queued again.
    pub(crate) again: Vec<(Uuid, Kind)>,
    /// Being dropped.
    pub(crate) dropped: Vec<(Uuid, Kind)>,
    /// Letters whose event waits all the same.
    pub(crate) written: Vec<(Uuid, Kind)>,
}

impl UnderWay {
    pub(crate) fn is_empty(&self) -> bool {
        self.again.is_empty() && self.dropped.is_empty() && self.written.is_empty()
    }
}

fn letter(name: &str, extensions: &[&str]) -> Option<(Uuid, Kind)> {
    let (event, extension) = name.rsplit_once('.')?;
    extensions.contains(&extension).then(|| Kind::parse(&format!("{event}.json"))).flatten()
}
