//! Notifications of what happens in `new/`. They may be lost: whoever relies on them also reads the
//! directory from time to time.

use notify::{RecommendedWatcher, RecursiveMode, Watcher};
use uuid::Uuid;

use super::{Kind, Spool};

/// What happened.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Seen {
    /// An event is there.
    Arrived(Uuid, Kind),
    /// An event is gone.
    Left,
    /// The system lost track, or the directory is gone: look for yourself.
    LostTrack,
}

/// Tells `report` from a thread of its own for as long as the watcher is kept. `None` where the
/// system has no notifications to give (a limit is reached, an odd file system).
pub(crate) fn watch_new(spool: &Spool, report: impl Fn(Seen) + Send + 'static) -> Option<RecommendedWatcher> {
    let directory = spool.new_dir();
    let handler = move |event: notify::Result<notify::Event>| {
        let Ok(event) = event else { return report(Seen::LostTrack) };
        let is_gone = event.kind.is_remove() && event.paths.contains(&directory);
        if event.need_rescan() || is_gone {
            report(Seen::LostTrack);
        }
        if event.kind.is_remove() {
            report(Seen::Left);
        } else if !event.kind.is_access() {
            let names = event.paths.iter().filter_map(|path| path.file_name()?.to_str());
            names.filter_map(Kind::parse).for_each(|(key, kind)| report(Seen::Arrived(key, kind)));
        }
    };
    let watcher = notify::recommended_watcher(handler).and_then(|mut watcher| {
        watcher.watch(&spool.new_dir(), RecursiveMode::NonRecursive)?;
        Ok(watcher)
    });
    watcher.inspect_err(|error| tracing::warn!(%error, "no notifications; reading the directory")).ok()
}
