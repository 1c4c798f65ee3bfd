//! What this server has taken in since it started, and what the store holds, in Prometheus' text format (0.0.4).
//!
//! Names, labels and buckets are those of the Python Session-Buddy, where it has such a metric. Replicas count
//! for themselves: sums over them are Prometheus' business. Nothing names a user, a host or a session.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::sync::{Mutex, PoisonError};

use prometheus_client::collector::Collector;
use prometheus_client::encoding::text::encode_registry;
use prometheus_client::encoding::{DescriptorEncoder, NoLabelSet};
use prometheus_client::metrics::MetricType;
use prometheus_client::registry::Registry;

use crate::store::Stats;

/// What a client of Prometheus calls this format.
pub(crate) const CONTENT_TYPE: &str = "text/plain; version=0.0.4; charset=utf-8";

/// Upper bounds of the durations, in seconds; the last one is infinite.
const DURATION_BOUNDS_S: [f64; 9] =
    [60.0, 300.0, 900.0, 1800.0, 3600.0, 7200.0, 14_400.0, 28_800.0, f64::INFINITY];

/// Series that one metric has at most, and so names of components that have one of their own: clients choose
/// them, and a hostile one could choose millions.
const SERIES_MAX: usize = 200;

/// What stands in the labels of all further series.
const OTHER: &str = "other";

/// The component of what was refused: nobody vouches for a name in it.
const UNKNOWN: &str = "unknown";

/// How an end was answered, as the Python server names it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum EndStatus {
    Success,
    NotFound,
    Error,
}

impl EndStatus {
    fn name(self) -> &'static str {
        match self {
            Self::Success => "success",
            Self::NotFound => "not_found",
            Self::Error => "error",
        }
    }
}

/// The counters.
#[derive(Debug, Default)]
pub(crate) struct Metrics(Mutex<Counted>);

#[derive(Clone, Debug, Default)]
struct Counted {
    names: BTreeSet<String>,
    starts: BTreeMap<(String, String), u64>,
    starts_refused: u64,
    ends: BTreeMap<(String, EndStatus), u64>,
    durations: BTreeMap<String, Durations>,
    renewals: u64,
}

#[derive(Clone, Debug, Default)]
struct Durations {
    buckets: [u64; DURATION_BOUNDS_S.len()],
    sum_s: f64,
}

impl Counted {
    /// The name, while there are few.
    fn name(&mut self, name: &str) -> String {
        if self.names.contains(name) {
            return name.to_owned();
        }
        if self.names.len() >= SERIES_MAX {
            return OTHER.to_owned();
        }
        self.names.insert(name.to_owned());
        name.to_owned()
    }
}

impl Metrics {
    fn count(&self, what: impl FnOnce(&mut Counted)) {
        what(&mut self.0.lock().unwrap_or_else(PoisonError::into_inner));
    }

    /// A start is stored, or was already.
    pub(crate) fn started(&self, component: &str, shell_type: &str) {
        self.count(|counted| {
            let labels = (counted.name(component), shell_type.to_owned());
            let is_new = !counted.starts.contains_key(&labels);
            let has_room = counted.starts.len() < SERIES_MAX;
            let labels = if is_new && !has_room { (OTHER.to_owned(), OTHER.to_owned()) } else { labels };
            *counted.starts.entry(labels).or_default() += 1;
        });
    }

    /// A start was refused.
    pub(crate) fn start_refused(&self) {
        self.count(|counted| counted.starts_refused += 1);
    }

    /// A session is over, or was already.
    pub(crate) fn ended(&self, component: &str, duration_s: Option<f64>) {
        self.count(|counted| {
            let component = counted.name(component);
            if let Some(duration_s) = duration_s {
                let durations = counted.durations.entry(component.clone()).or_default();
                let bounds = DURATION_BOUNDS_S.iter().zip(&mut durations.buckets);
                for (_, bucket) in bounds.filter(|(bound, _)| duration_s <= **bound).take(1) {
                    *bucket += 1;
                }
                durations.sum_s += duration_s;
            }
            *counted.ends.entry((component, EndStatus::Success)).or_default() += 1;
        });
    }

    /// An end that ended nothing.
    pub(crate) fn end_failed(&self, status: EndStatus) {
        self.count(|counted| *counted.ends.entry((UNKNOWN.to_owned(), status)).or_default() += 1);
    }

    /// So many leases were renewed.
    pub(crate) fn renewed(&self, sessions: usize) {
        self.count(|counted| counted.renewals += sessions as u64);
    }

    /// Everything as text; `active` counts the open sessions that the store holds.
    pub(crate) fn text(&self, active: &Stats, engine: &'static str) -> Result<String, fmt::Error> {
        let mut counted = self.0.lock().unwrap_or_else(PoisonError::into_inner).clone();
        let mut open = BTreeMap::new();
        let mut others: u64 = active.total.iter().map(|tally| tally.sessions).sum();
        for (component, tally) in &active.components {
            *open.entry(counted.name(component)).or_default() += tally.sessions;
            others = others.saturating_sub(tally.sessions);
        }
        if others > 0 {
            *open.entry(OTHER.to_owned()).or_default() += others;
        }
        let mut registry = Registry::default();
        registry.register_collector(Box::new(Exposition { counted, open, engine }));
        let mut text = String::new();
        encode_registry(&mut text, &registry)?;
        // OpenMetrics ends with a mark that this format does not know.
        Ok(text.trim_end_matches("# EOF\n").to_owned())
    }
}

#[derive(Debug)]
struct Exposition {
    counted: Counted,
    open: BTreeMap<String, u64>,
    engine: &'static str,
}

type Labels = Vec<(&'static str, String)>;

/// A family. In this format a counter's is named as its samples are, with `_total`; the encoder knows that
/// only of gauges, hence all samples are written as such.
fn family(
    encoder: &mut DescriptorEncoder<'_>,
    (kind, name, help): (MetricType, &str, &str),
    samples: impl IntoIterator<Item = (Labels, f64)>,
) -> fmt::Result {
    let mut family = encoder.encode_descriptor(name, help, None, kind)?;
    for (labels, value) in samples {
        match labels.is_empty() {
            true => family.encode_gauge(&value)?,
            false => family.encode_family(&labels)?.encode_gauge(&value)?,
        }
    }
    Ok(())
}

impl Collector for Exposition {
    fn encode(&self, mut encoder: DescriptorEncoder<'_>) -> fmt::Result {
        let encoder = &mut encoder;
        let Counted { starts, starts_refused, ends, renewals, .. } = &self.counted;
        let about = (MetricType::Counter, "session_start_total", "Session starts that were tracked.");
        let samples = starts.iter().map(|((component, shell), number)| {
            let labels = vec![("component_name", component.clone()), ("shell_type", shell.clone())];
            (labels, *number as f64)
        });
        family(encoder, about, samples)?;
        let about = (MetricType::Counter, "session_end_total", "Session ends that were answered, by status.");
        let samples = ends.iter().map(|((component, status), number)| {
            let labels = vec![("component_name", component.clone()), ("status", status.name().to_owned())];
            (labels, *number as f64)
        });
        family(encoder, about, samples)?;
        self.durations(encoder)?;
        let about = (MetricType::Gauge, "active_sessions", "Sessions that are open, as the store has them.");
        let samples = self
            .open
            .iter()
            .map(|(component, number)| (vec![("component_name", component.clone())], *number as f64));
        family(encoder, about, samples)?;
        let about = (MetricType::Counter, "session_start_refused_total", "Session starts that broke a rule.");
        family(encoder, about, [(Vec::new(), *starts_refused as f64)])?;
        let about = (
            MetricType::Counter,
            "session_lease_renewals_total",
            "Leases of open sessions that were renewed.",
        );
        family(encoder, about, [(Vec::new(), *renewals as f64)])?;
        let about = (MetricType::Gauge, "shelltrack_server_info", "Always 1; says what runs.");
        let labels =
            vec![("version", env!("CARGO_PKG_VERSION").to_owned()), ("store", self.engine.to_owned())];
        family(encoder, about, [(labels, 1.0)])
    }
}

impl Exposition {
    fn durations(&self, encoder: &mut DescriptorEncoder<'_>) -> fmt::Result {
        let (name, help) = ("session_duration_seconds", "How long sessions lasted that ended.");
        let mut family = encoder.encode_descriptor(name, help, None, MetricType::Histogram)?;
        for (component, durations) in &self.counted.durations {
            let buckets: Vec<_> = DURATION_BOUNDS_S.into_iter().zip(durations.buckets).collect();
            let labels: Labels = vec![("component_name", component.clone())];
            let count = durations.buckets.iter().sum();
            let mut family = family.encode_family(&labels)?;
            family.encode_histogram::<NoLabelSet>(durations.sum_s, count, &buckets, None)?;
        }
        Ok(())
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "a failed unwrap is a failed test")]
mod tests {
    use shelltrack_tests::Exposition;

    use super::*;
    use crate::records::State;
    use crate::store::Tally;

    /// Open sessions of one component, and of others that are not told one by one.
    fn open(component_name: &str, sessions: u64, others: u64) -> Stats {
        let tally = |sessions| Tally { state: State::Active, sessions, duration_us: 0.0, durations: 0 };
        Stats {
            total: vec![tally(sessions + others)],
            components: vec![(component_name.to_owned(), tally(sessions))],
            has_more_components: others > 0,
        }
    }

    #[test]
    fn what_was_taken_in_is_counted_under_the_names_of_the_python_server() {
        let metrics = Metrics::default();
        metrics.started("mahavishnu", "MahavishnuShell");
        metrics.started("mahavishnu", "MahavishnuShell");
        metrics.ended("mahavishnu", Some(61.5));
        metrics.ended("mahavishnu", Some(1e9));
        metrics.ended("mahavishnu", None);
        metrics.end_failed(EndStatus::NotFound);
        let read = Exposition::parse(&metrics.text(&open("mahavishnu", 4, 3), "sqlite").unwrap());
        let start = "session_start_total{component_name=\"mahavishnu\",shell_type=\"MahavishnuShell\"}";
        assert_eq!(read.value(start), 2.0);
        assert_eq!(read.value("session_end_total{component_name=\"mahavishnu\",status=\"success\"}"), 3.0);
        assert_eq!(read.value("session_end_total{component_name=\"unknown\",status=\"not_found\"}"), 1.0);
        assert_eq!(read.value("active_sessions{component_name=\"mahavishnu\"}"), 4.0);
        assert_eq!(read.value("active_sessions{component_name=\"other\"}"), 3.0);
        assert_eq!(read.value("session_duration_seconds_count{component_name=\"mahavishnu\"}"), 2.0);
        let within = "session_duration_seconds_bucket{le=\"300.0\",component_name=\"mahavishnu\"}";
        assert_eq!(read.value(within), 1.0);
    }

    #[test]
    fn names_that_clients_invent_do_not_fill_the_memory() {
        let metrics = Metrics::default();
        for number in 0..10_000 {
            metrics.started(&format!("c{number}"), "bash");
            metrics.started("mahavishnu", &format!("shell{number}"));
        }
        let text = metrics.text(&Stats::default(), "sqlite").unwrap();
        assert!(text.lines().count() < 2 * SERIES_MAX, "{}", text.lines().count());
        let read = Exposition::parse(&text);
        assert_eq!(read.sum("session_start_total", ""), 20_000.0);
    }
}
