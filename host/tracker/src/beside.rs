//! Spools beside ours that nobody serves: a container whose name changes with each start, or another machine
//! in a shared home that is no more. What waits there is told; only a person can know whether anybody comes
//! back, so nothing here touches it.

use std::fs;
use std::path::{Path, PathBuf};

use serde::Serialize;

use crate::Tracker;
use crate::agent::is_held;
use crate::spool::Spool;
use crate::status::modified_ms;

/// A spool with events that no agent is there for.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Unserved {
    /// Its directory.
    pub spool: PathBuf,
    /// Events that wait there.
    pub queued: u64,
    /// Since when the oldest of them waits, milliseconds since 1970.
    pub oldest_queued_ms: Option<u64>,
}

impl Tracker {
    /// Every other spool in the state directory that has events and no agent. What cannot be read belongs to
    /// somebody else.
    pub(crate) fn unserved(&self) -> Vec<Unserved> {
        let own = self.spool.root();
        let Some(state_dir) = own.parent() else { return Vec::new() };
        let others = fs::read_dir(state_dir).into_iter().flatten().flatten().map(|entry| entry.path());
        let mut unserved: Vec<_> = others.filter(|path| path != own).filter_map(look).collect();
        unserved.sort_by(|a, b| a.spool.cmp(&b.spool));
        unserved
    }
}

fn look(path: PathBuf) -> Option<Unserved> {
    let is_spool = |path: &Path| path.file_name()?.to_str()?.starts_with("spool-").then_some(());
    is_spool(&path)?;
    let spool = Spool::of_others(path);
    let waiting = spool.waiting().ok().filter(|waiting| !waiting.is_empty())?;
    if is_held(&spool) {
        return None;
    }
    let files = waiting.iter().filter_map(|&(key, kind)| spool.event_path(key, kind).metadata().ok());
    let since: Vec<_> = files.map(|file| modified_ms(&file)).collect();
    Some(Unserved {
        spool: spool.root().to_owned(),
        queued: since.len() as u64,
        oldest_queued_ms: since.into_iter().flatten().min(),
    })
}
