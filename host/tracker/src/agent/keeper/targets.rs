//! The servers that events go to: a worker for each of them while a session names it, and what is
//! remembered of those that none names any more.

use std::collections::HashSet;
use std::rc::Rc;
use std::time::SystemTime;
use std::{fs, io};

use tokio::sync::mpsc::unbounded_channel;
use tokio::task::spawn_local;

use super::super::worker::Worker;
use super::Keeper;
use crate::Target;
use crate::fault::Part;
use crate::spool::{Spool, remove};
use crate::status::TargetStatus;

/// Servers that are remembered though no session names them: many more than a person configures; a program
/// that makes a server for each of its runs is not to fill the spool.
const REMEMBERED_MAX: usize = 64;

impl Keeper {
    /// The one copy of a target, and a worker for it.
    pub(super) fn target(&mut self, target: &Target) -> Rc<Target> {
        if let Some((known, _)) = self.workers.get_key_value(target) {
            return known.clone();
        }
        let target = Rc::new(target.clone());
        let (queue, incoming) = unbounded_channel();
        let worker = Worker::new(self.shared.clone(), Target::clone(&target), incoming);
        self.workers.insert(target.clone(), (queue, spawn_local(worker.run())));
        target
    }

    /// Lets go of workers that have nothing to do, and forgets the servers that were longest unused when
    /// there are too many.
    pub(super) fn let_targets_go(&mut self) {
        // Sessions and waiting events hold the target; a worker without a queue ends.
        self.workers.retain(|target, _| Rc::strong_count(target) > 1);
        if let Err(error) = self.forget_targets() {
            tracing::warn!(%error, "servers that are not used any more are not forgotten");
        }
    }

    fn forget_targets(&self) -> io::Result<()> {
        let spool = &self.shared.spool;
        let used: HashSet<String> = self.workers.keys().map(|target| target.id()).collect();
        let mut unused = remembered(spool)?;
        unused.retain(|(_, id)| !used.contains(id));
        let too_many = (unused.len() + used.len()).saturating_sub(REMEMBERED_MAX);
        unused.sort_unstable();
        for (_, id) in unused.into_iter().filter(|(_, id)| !is_ordered(spool, id)).take(too_many) {
            remove(&spool.root().join(format!("breaker-{id}.json")), Part::Breaker)?;
            remove(&spool.root().join(format!("target-{id}.json")), Part::Status)?;
            self.shared.counting.borrow_mut().forget(&id);
        }
        Ok(())
    }
}

/// The servers of which something is remembered, by id, with when that was last written.
fn remembered(spool: &Spool) -> io::Result<Vec<(SystemTime, String)>> {
    let names = spool.names(".")?;
    let ids = names.iter().filter_map(|name| name.strip_prefix("target-")?.strip_suffix(".json"));
    let written = |id: &str| fs::metadata(spool.root().join(format!("target-{id}.json")))?.modified();
    Ok(ids.filter_map(|id| Some((written(id).ok()?, id.to_owned()))).collect())
}

/// Whether a person said what its breaker is to do: that is not to be forgotten.
fn is_ordered(spool: &Spool, id: &str) -> bool {
    let status = Spool::read_json::<TargetStatus>(&spool.root().join(format!("target-{id}.json")));
    let by_hand = |status: TargetStatus| ["forced-open", "disabled"].contains(&status.breaker.as_str());
    spool.root().join(format!("order-{id}.json")).exists() || status.ok().flatten().is_some_and(by_hand)
}
