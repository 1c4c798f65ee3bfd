//! One file of the spool: an event as the component prepared it, and what its delivery needs.

use serde::{Deserialize, Serialize};
use shelltrack_sandbox::types::PreparedEvent;
use uuid::Uuid;

use crate::Target;
use crate::clock::now_us;
use crate::process::ProcessId;

/// Version of the file format. A file of a newer one is set aside for the agent that knows it.
pub(crate) const FORMAT: u32 = 1;

/// One accepted event.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Envelope {
    /// [`FORMAT`].
    pub(crate) format: u32,
    /// Local key of the session.
    pub(crate) key: Uuid,
    /// When the event was accepted, microseconds since 1970: the order of delivery.
    pub(crate) accepted_us: u64,
    /// UUID v4 of the event.
    pub(crate) event_id: String,
    /// Time of the event, RFC 3339.
    pub(crate) timestamp: String,
    /// Arguments of the tool as JSON text; for an end without `session_id`.
    pub(crate) wire: String,
    /// What only a start says.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) opened: Option<Opened>,
}

/// What only a start says.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Opened {
    /// Where the session's events go.
    pub(crate) target: Target,
    /// The shell.
    pub(crate) process: ProcessId,
}

impl Envelope {
    pub(crate) fn new(key: Uuid, prepared: PreparedEvent, opened: Option<Opened>) -> Self {
        let PreparedEvent { event_id, timestamp, wire, changes: _ } = prepared;
        Self { format: FORMAT, key, accepted_us: now_us(), event_id, timestamp, wire, opened }
    }
}

/// Which event of a session a file holds. The order is the order of delivery.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) enum Kind {
    /// The shell opened.
    Start,
    /// The agent found the shell gone.
    Gone,
    /// The shell said that it ends.
    End,
}

impl Kind {
    /// All of them.
    pub(crate) const ALL: [Self; 3] = [Self::Start, Self::Gone, Self::End];

    fn suffix(self) -> &'static str {
        match self {
            Self::Start => "start.json",
            Self::Gone => "gone.json",
            Self::End => "end.json",
        }
    }

    /// Name of the file of that event: one per session and kind, so that nothing is queued twice and
    /// its presence can be asked for without reading the directory.
    pub(crate) fn file_name(self, key: Uuid) -> String {
        format!("{key}.{}", self.suffix())
    }

    /// The inverse of [`Self::file_name`].
    pub(crate) fn parse(name: &str) -> Option<(Uuid, Self)> {
        let (key, suffix) = name.split_once('.')?;
        let kind = Self::ALL.into_iter().find(|kind| kind.suffix() == suffix)?;
        let uuid = Uuid::try_parse(key).ok()?;
        // Only the form we write: another spelling of the same key would be a second file.
        (uuid.hyphenated().to_string() == key).then_some((uuid, kind))
    }
}
