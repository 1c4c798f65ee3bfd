//! What a person orders of a breaker. The order waits in a file of its own until the agent obeys it: at
//! once where one runs, else before the next one delivers anything to that target.

use std::io;
use std::path::PathBuf;

use serde::{Deserialize, Serialize};

use crate::agent::nudge;
use crate::fault::Part;
use crate::spool::{Spool, remove};
use crate::{Error, Target, TargetStatus, Tracker};

/// What a breaker is to do.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum BreakerOrder {
    /// Stay open: nothing is sent until another order comes.
    Open,
    /// Let everything through, whatever fails.
    Disable,
    /// Begin anew, closed, and decide for itself.
    Reset,
}

impl BreakerOrder {
    /// The phase a breaker is in once it has obeyed, as `status` names it.
    pub(crate) fn phase_name(self) -> &'static str {
        match self {
            Self::Open => "forced-open",
            Self::Disable => "disabled",
            Self::Reset => "closed",
        }
    }
}

impl Tracker {
    /// Orders something of a target's breaker. Durable when this returns.
    ///
    /// # Errors
    /// [`Error::Spool`] when the order cannot be kept.
    pub fn order_breaker(&self, target: &Target, order: BreakerOrder) -> Result<(), Error> {
        self.spool
            .replace_json(&path(&self.spool, target), &order, Part::Order)
            .map_err(|error| self.spool.refusal(&format!("the order cannot be kept: {error}")))?;
        // So that `status` shows it, also of a server that nothing was ever sent to.
        if let Err(error) = TargetStatus::remember(&self.spool, target) {
            tracing::warn!(%error, "the server is not shown before something is sent to it");
        }
        // An agent that ended meanwhile has nothing to deliver, and the next one finds the order.
        drop(nudge(&self.spool));
        Ok(())
    }
}

/// The order that waits for a target, if there is one.
pub(crate) fn waiting(spool: &Spool, target: &Target) -> Option<BreakerOrder> {
    Spool::read_json(&path(spool, target)).unwrap_or_else(|error| {
        tracing::warn!(%error, "an order for a breaker cannot be read");
        None
    })
}

/// The order is obeyed.
pub(crate) fn done(spool: &Spool, target: &Target) -> io::Result<()> {
    remove(&path(spool, target), Part::Order)
}

fn path(spool: &Spool, target: &Target) -> PathBuf {
    spool.root().join(format!("order-{}.json", target.id()))
}
