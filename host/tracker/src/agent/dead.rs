//! Dead letters: events nobody will take, kept with the reason until a person decides.

use std::{fs, io};

use serde::{Deserialize, Serialize};
use serde_json::Value;
use shelltrack_sandbox::Sandbox;
use shelltrack_sandbox::types::Policy;
use uuid::Uuid;

use crate::clock::now_us;
use crate::fault::Part;
use crate::spool::{Kind, Spool, remove};

/// One dead letter.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct DeadLetter {
    /// Why.
    pub(crate) reason: String,
    /// Since when, microseconds since 1970.
    pub(crate) dead_us: u64,
    /// The event, where it was readable.
    pub(crate) event: Value,
}

/// Longest reason that is kept, in scalars: a server may answer with a page.
const REASON_SCALARS_MAX: u32 = 300;

/// Moves an event from `new/` to `dead/`. One that is not there is fine. The reason may be a server's
/// words, which may repeat parts of the event or worse: the component cleans and redacts them too.
pub(crate) fn bury(spool: &Spool, sandbox: &Sandbox, key: Uuid, kind: Kind, reason: &str) -> io::Result<()> {
    let reason = match sandbox.sanitize_text(reason, REASON_SCALARS_MAX, &Policy::default()) {
        Ok(clean) => clean.text,
        Err(error) => format!("not kept, since it could not be cleaned: {error}"),
    };
    let path = spool.event_path(key, kind);
    let event = match Spool::read_json::<Value>(&path) {
        Ok(None) => return Ok(()),
        Ok(Some(event)) => event,
        Err(error) => {
            // Whatever it is, also a directory: it lies beside its letter, for a person to look at.
            fs::rename(&path, spool.dead_path(key, kind).with_extension("raw"))?;
            Value::String(format!("unreadable: {error}"))
        }
    };
    let letter = DeadLetter { reason, dead_us: now_us(), event };
    spool.replace_json(&spool.dead_path(key, kind), &letter, Part::Letter)?;
    remove(&path, Part::Event)
}

/// Notes that a session is lost to us: what still comes of it becomes dead letters as well.
pub(crate) fn bury_session(spool: &Spool, key: Uuid, reason: &str) -> io::Result<()> {
    let letter = DeadLetter { reason: reason.to_owned(), dead_us: now_us(), event: Value::Null };
    spool.replace_json(&spool.dead_path(key, Kind::Start), &letter, Part::Letter)
}
