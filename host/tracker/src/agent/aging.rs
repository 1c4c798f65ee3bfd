//! Whether the age of dead letters can be believed. A clock may leap by years for a moment, as one without a
//! battery does until the network is there, and what is removed does not come back: so letters go for their
//! age only when they were too old at two looks with a day of real time between, whoever took them.

use std::io;

use serde::{Deserialize, Serialize};

use crate::clock::system_us;
use crate::fault::Part;
use crate::process::{boot_id, since_boot};
use crate::spool::{Spool, remove};

/// Real time between two looks: longer than a clock stays wrong that is put right at all. Microseconds.
const DAY_US: u64 = 24 * 3600 * 1_000_000;

/// A look at the clocks.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Look {
    /// What the clock said, microseconds since 1970.
    pub(super) wall_us: u64,
    /// The run of the machine.
    pub(super) boot: String,
    /// How long that had lasted, microseconds.
    pub(super) up_us: u64,
}

impl Look {
    pub(super) fn now() -> Self {
        let up_us = u64::try_from(since_boot().as_micros()).unwrap_or(u64::MAX);
        Self { wall_us: system_us(), boot: boot_id(), up_us }
    }

    /// Whether a day has passed since. Of another run of the machine only the clock tells.
    fn is_a_day_after(&self, first: &Self) -> bool {
        let (now, then) = match self.boot == first.boot {
            true => (self.up_us, first.up_us),
            false => (self.wall_us, first.wall_us),
        };
        now.saturating_sub(then) >= DAY_US
    }
}

/// Letters from before this are too old for certain, microseconds since 1970; `None` when none is. `oldest_us`
/// is when the oldest was written.
pub(super) fn too_old_before(
    spool: &Spool,
    age_us: u64,
    oldest_us: u64,
    now: &Look,
) -> io::Result<Option<u64>> {
    if age_us == 0 {
        return Ok(Some(u64::MAX)); // none is to be kept, whatever the time
    }
    let path = spool.root().join("letters.old.json");
    let due_us = |look: &Look| look.wall_us.saturating_sub(age_us);
    let first = Spool::read_json::<Look>(&path).ok().flatten();
    if oldest_us >= due_us(now) {
        return first.map_or(Ok(None), |_| remove(&path, Part::Mark).map(|()| None));
    }
    match first.filter(|first| oldest_us < due_us(first)) {
        Some(first) if now.is_a_day_after(&first) => Ok(Some(due_us(now).min(due_us(&first)))),
        Some(_) => Ok(None),
        None => spool.replace_json_lightly(&path, now, Part::Mark).map(|()| None),
    }
}
