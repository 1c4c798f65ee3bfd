//! Visits to the spools of other pid namespaces of this machine whose agents are not there: containers
//! that are gone, as a rule. What waits there is delivered; whose shells those are is for others to judge.

use std::collections::HashSet;
use std::convert::Infallible;
use std::path::{Path, PathBuf};
use std::rc::{Rc, Weak};
use std::time::Duration;

use tokio::sync::mpsc::unbounded_channel;
use tokio::task::spawn_local;
use tokio::time::sleep;

use super::keeper::Keeper;
use super::{Options, Presence, Shared, lock};
use crate::Error;
use crate::spool::{Spool, siblings};

/// How often is looked for somebody to visit. Nothing tells when an agent is killed together with its
/// namespace; a minute more is little for what waits there.
const LOOK: Duration = Duration::from_secs(60);
/// Visits at one time: each has connections and a watch of its own.
const VISITS_MAX: usize = 8;

/// Visits whoever needs it, for as long as the agent of `own` is there. `visits` is held by each visit, and
/// by that agent.
pub(super) async fn go_round(own: &Path, options: &Options, visits: Weak<()>) -> Infallible {
    let mut told = HashSet::new();
    loop {
        for root in siblings(own) {
            // The agent itself is one of those that hold it.
            if visits.strong_count() > VISITS_MAX {
                break;
            }
            if let Err(error) = visit(root.clone(), options, &visits)
                && told.insert(root)
            {
                tracing::warn!(%error, "a spool beside this one is left alone");
            }
        }
        sleep(LOOK).await;
    }
}

/// Delivers what waits in a spool that is not this machine's and namespace's, because a person says so; returns
/// when nothing waits there any more. Nobody's processes are judged but those that are over for certain.
pub(super) async fn visit_by_order(spool: &Spool, options: &Options) -> std::io::Result<()> {
    let Some(lock) = lock::try_agent(spool)? else {
        return Err(std::io::Error::other("an agent serves it already"));
    };
    let last_seen = Presence::last(spool).map(|presence| presence.seen_ms);
    let (notes, inbox) = unbounded_channel();
    let place = lock::Place::of(spool, &lock)?;
    let shared = Rc::new(Shared::new(spool.clone(), options, notes, true, Rc::new(()), Some(place)));
    Keeper::new(shared, inbox, last_seen).serve().await
}

/// Delivers what waits there, unless an agent serves it. Leaves as soon as nothing waits, or an agent of
/// that namespace does.
fn visit(root: PathBuf, options: &Options, visits: &Weak<()>) -> Result<(), Error> {
    let spool = Spool::at(root)?;
    let unusable = |error: std::io::Error| spool.refusal(&error.to_string());
    let in_use =
        !spool.waiting().map_err(unusable)?.is_empty() || !spool.open_keys().map_err(unusable)?.is_empty();
    let Some(visits) = visits.upgrade().filter(|_| in_use) else { return Ok(()) };
    let Some(lock) = lock::try_agent(&spool).map_err(unusable)? else { return Ok(()) };
    let last_seen = Presence::last(&spool).map(|presence| presence.seen_ms);
    let (notes, inbox) = unbounded_channel();
    let place = lock::Place::of(&spool, &lock).map_err(unusable)?;
    let shared = Rc::new(Shared::new(spool, options, notes, true, Rc::new(()), Some(place)));
    spawn_local(async move {
        if let Err(error) = Keeper::new(shared, inbox, last_seen).serve().await {
            tracing::warn!(%error, "a visit to a spool beside this one ended");
        }
        drop((lock, visits));
    });
    Ok(())
}
