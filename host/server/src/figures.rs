//! What `session_stats` answers: how many sessions there are, and how long they lasted.

use std::collections::BTreeMap;

use rmcp::schemars::{self, JsonSchema};
use serde::{Deserialize, Serialize};

use crate::answers::now;
use crate::records::State;
use crate::store::{Stats, Tally};

/// How many sessions, and how long they lasted.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Figures {
    /// All of them.
    pub sessions: u64,
    /// Open ones.
    pub active: u64,
    /// Those whose end was announced.
    pub ended: u64,
    /// Those whose process vanished.
    pub crashed: u64,
    /// Those of which nobody knows.
    pub lost: u64,
    /// Average duration of those whose duration is known, in seconds.
    pub duration_seconds_average: Option<f64>,
}

/// Figures of one component.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct ComponentFigures {
    /// The component.
    pub component_name: String,
    /// Its figures.
    #[serde(flatten)]
    pub figures: Figures,
}

/// Answer of `session_stats`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct StatsAnswer {
    /// All components together.
    pub total: Figures,
    /// Each component, by name.
    pub components: Vec<ComponentFigures>,
    /// There are more components than are told; they are in the total. Present only when it is so.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub has_more_components: bool,
    /// RFC 3339, UTC: the server's clock.
    pub timestamp: String,
}

impl From<Stats> for StatsAnswer {
    fn from(stats: Stats) -> Self {
        let mut by_component: BTreeMap<&str, Vec<&Tally>> = BTreeMap::new();
        for (name, tally) in &stats.components {
            by_component.entry(name).or_default().push(tally);
        }
        let components = by_component.into_iter().map(|(name, tallies)| ComponentFigures {
            component_name: name.to_owned(),
            figures: figures(&tallies),
        });
        Self {
            components: components.collect(),
            total: figures(&stats.total.iter().collect::<Vec<_>>()),
            has_more_components: stats.has_more_components,
            timestamp: now(),
        }
    }
}

fn figures(tallies: &[&Tally]) -> Figures {
    let count = |state: Option<State>| -> u64 {
        tallies
            .iter()
            .filter(|tally| state.is_none_or(|state| tally.state == state))
            .map(|tally| tally.sessions)
            .sum()
    };
    let (duration_us, known) = tallies
        .iter()
        .fold((0.0, 0_u64), |(sum, known), tally| (sum + tally.duration_us, known + tally.durations));
    Figures {
        sessions: count(None),
        active: count(Some(State::Active)),
        ended: count(Some(State::Ended)),
        crashed: count(Some(State::Crashed)),
        lost: count(Some(State::Lost)),
        duration_seconds_average: (known > 0).then(|| duration_us / 1e6 / known as f64),
    }
}
