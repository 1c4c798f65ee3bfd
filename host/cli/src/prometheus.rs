//! The emitting side's metrics in Prometheus' text format (0.0.4), as node_exporter's textfile collector
//! reads it. Names carry their unit; counters end in `_total`.

use std::fmt;

use prometheus_client::collector::Collector;
use prometheus_client::encoding::text::encode_registry;
use prometheus_client::encoding::{DescriptorEncoder, NoLabelSet};
use prometheus_client::metrics::MetricType;
use prometheus_client::registry::Registry;
use shelltrack_tracker::metrics::{BOUNDS_SECONDS, Histogram, Metrics, TargetMetrics};
use shelltrack_tracker::{Status, TargetStatus};

use crate::failure::Failure;
use crate::output::terminal_safe;

/// Phases of a breaker, as `status` names them.
const PHASES: [&str; 5] = ["closed", "open", "half-open", "forced-open", "disabled"];

/// What is told.
#[derive(Debug)]
struct Exposition {
    status: Status,
    metrics: Metrics,
    needs_person: bool,
    now_ms: u64,
}

/// Everything as text.
pub(crate) fn text(
    status: Status,
    metrics: Metrics,
    needs_person: bool,
    now_ms: u64,
) -> Result<String, Failure> {
    let mut registry = Registry::default();
    registry.register_collector(Box::new(Exposition { status, metrics, needs_person, now_ms }));
    let mut text = String::new();
    encode_registry(&mut text, &registry).map_err(|error| Failure::Failed(format!("metrics: {error}")))?;
    Ok(text)
}

/// What is told where nothing can be known: the spool cannot be used, or the configuration.
pub(crate) fn unusable() -> Result<String, Failure> {
    let mut registry = Registry::default();
    registry.register_collector(Box::new(Unusable));
    let mut text = String::new();
    encode_registry(&mut text, &registry).map_err(|error| Failure::Failed(format!("metrics: {error}")))?;
    Ok(text)
}

type Labels = Vec<(&'static str, String)>;

/// One family after another.
struct Families<'a>(DescriptorEncoder<'a>);

impl Families<'_> {
    /// A family of samples. In this format a counter's family is named as its samples are, with `_total`;
    /// the encoder knows that only of gauges, hence all samples are written as such.
    fn samples(
        &mut self,
        kind: MetricType,
        name: &str,
        help: &str,
        samples: impl IntoIterator<Item = (Labels, f64)>,
    ) -> fmt::Result {
        let mut family = self.0.encode_descriptor(name, help, None, kind)?;
        for (labels, value) in samples {
            if labels.is_empty() {
                family.encode_gauge(&value)?;
            } else {
                family.encode_family(&labels)?.encode_gauge(&value)?;
            }
        }
        Ok(())
    }

    fn gauge(&mut self, name: &str, help: &str, value: f64) -> fmt::Result {
        self.samples(MetricType::Gauge, name, help, [(Vec::new(), value)])
    }

    fn counter(&mut self, name: &str, help: &str, value: u64) -> fmt::Result {
        self.samples(MetricType::Counter, name, help, [(Vec::new(), value as f64)])
    }

    fn build(&mut self) -> fmt::Result {
        let version = vec![("version", env!("CARGO_PKG_VERSION").to_owned())];
        let help = "Always 1; says which version wrote this.";
        self.samples(MetricType::Gauge, "shelltrack_build_info", help, [(version, 1.0)])
    }

    fn needs_person(&mut self, needs_person: bool) -> fmt::Result {
        let help = "Whether something needs a person; shelltrack status says what.";
        self.gauge("shelltrack_needs_person", help, truth(needs_person))
    }

    fn histograms<'a>(
        &mut self,
        name: &str,
        help: &str,
        histograms: impl IntoIterator<Item = (Labels, &'a Histogram)>,
    ) -> fmt::Result {
        let mut family = self.0.encode_descriptor(name, help, None, MetricType::Histogram)?;
        for (labels, histogram) in histograms {
            let within: u64 = histogram.buckets.iter().sum();
            let buckets = BOUNDS_SECONDS.into_iter().zip(histogram.buckets);
            // The encoder adds them up itself.
            let beyond = (f64::INFINITY, histogram.count.saturating_sub(within));
            let buckets: Vec<_> = buckets.chain([beyond]).collect();
            let sum = seconds(histogram.sum_us / 1_000);
            if labels.is_empty() {
                family.encode_histogram::<NoLabelSet>(sum, histogram.count, &buckets, None)?;
            } else {
                let mut family = family.encode_family(&labels)?;
                family.encode_histogram::<NoLabelSet>(sum, histogram.count, &buckets, None)?;
            }
        }
        Ok(())
    }
}

/// Nothing is known but that.
#[derive(Debug)]
struct Unusable;

impl Collector for Unusable {
    fn encode(&self, encoder: DescriptorEncoder<'_>) -> fmt::Result {
        let mut families = Families(encoder);
        families.build()?;
        families.needs_person(true)
    }
}

impl Collector for Exposition {
    fn encode(&self, encoder: DescriptorEncoder<'_>) -> fmt::Result {
        let mut families = Families(encoder);
        self.emissions(&mut families)?;
        self.queue(&mut families)?;
        self.deliveries(&mut families)?;
        self.targets(&mut families)
    }
}

impl Exposition {
    fn emissions(&self, families: &mut Families<'_>) -> fmt::Result {
        let Metrics { starts, ends, refused, acceptance, .. } = &self.metrics;
        families.build()?;
        let accepted = [("start", starts), ("end", ends)];
        families.samples(
            MetricType::Counter,
            "shelltrack_events_accepted_total",
            "Events that shells announced and that are durable.",
            accepted.map(|(event, number)| (vec![("event", event.to_owned())], *number as f64)),
        )?;
        let refused = [
            ("spool_full", refused.spool_full),
            ("rate_limit", refused.rate_limit),
            ("component", refused.component),
            ("storage", refused.storage),
        ];
        families.samples(
            MetricType::Counter,
            "shelltrack_events_refused_total",
            "Events that were not recorded.",
            refused.map(|(reason, number)| (vec![("reason", reason.to_owned())], number as f64)),
        )?;
        let help = "Time a shell's process took until its event was durable.";
        families.histograms("shelltrack_acceptance_seconds", help, [(Vec::new(), acceptance)])
    }

    fn queue(&self, families: &mut Families<'_>) -> fmt::Result {
        let status = &self.status;
        let age_ms = status.oldest_queued_ms.map_or(0, |oldest| self.now_ms.saturating_sub(oldest));
        families.gauge("shelltrack_queue_events", "Events that wait for delivery.", status.queued as f64)?;
        let help = "Waiting events at which a start is refused.";
        families.gauge("shelltrack_queue_events_max", help, status.queued_max as f64)?;
        let help = "Size of the events that wait.";
        families.gauge("shelltrack_queue_bytes", help, status.queued_bytes as f64)?;
        let help = "Waiting bytes at which a start is refused.";
        families.gauge("shelltrack_queue_bytes_max", help, status.queued_bytes_max as f64)?;
        let help = "How long the oldest event waits; 0 when none does.";
        families.gauge("shelltrack_queue_oldest_age_seconds", help, seconds(age_ms))?;
        families.gauge("shelltrack_open_sessions", "Shells that are open.", status.open_sessions as f64)?;
        let help = "Whether an agent runs; it ends itself when nothing is left to do.";
        families.gauge("shelltrack_agent_running", help, truth(status.agent_pid.is_some()))?;
        families.needs_person(self.needs_person)?;
        let help = "Events that were given up and wait for a person.";
        families.gauge("shelltrack_dead_letters", help, status.dead_letters as f64)?;
        let help = "Dead letters that were removed, too many or too old.";
        families.counter("shelltrack_dead_letters_removed_total", help, self.metrics.dead_letters_removed)
    }

    fn deliveries(&self, families: &mut Families<'_>) -> fmt::Result {
        let results = self.counted().flat_map(|target| {
            [("delivered", target.delivered), ("dead", target.dead)]
                .map(|(result, number)| (labels(target, "result", result), number as f64))
        });
        let help = "Events that left the queue, by what became of them.";
        families.samples(MetricType::Counter, "shelltrack_events_delivered_total", help, results)?;
        let attempts = self.counted().flat_map(|target| {
            let attempts = target.attempts.iter();
            attempts.map(move |(outcome, number)| (labels(target, "outcome", outcome), *number as f64))
        });
        let help = "Calls of a server, by outcome.";
        families.samples(MetricType::Counter, "shelltrack_delivery_attempts_total", help, attempts)?;
        let delivery = self.counted().map(|target| (of(target), &target.delivery));
        families.histograms("shelltrack_delivery_seconds", "Time from acceptance to delivery.", delivery)
    }

    fn targets(&self, families: &mut Families<'_>) -> fmt::Result {
        let up = self.counted().map(|target| (of(target), truth(target.down_since_ms.is_none())));
        let help = "Whether the server answered when it was last called.";
        families.samples(MetricType::Gauge, "shelltrack_target_up", help, up)?;
        let down = self.counted().map(|target| (of(target), seconds(target.unavailable_ms(self.now_ms))));
        let help = "How long the server did not answer, from the first failure to the next success.";
        families.samples(MetricType::Counter, "shelltrack_target_unavailable_seconds_total", help, down)?;
        let phases = self.counted().flat_map(|target| {
            let seen = self.status.targets.iter().find(|seen| seen.target == target.target);
            let phase = seen.map_or("closed", |seen| seen.breaker.as_str()).to_owned();
            PHASES.map(move |known| (labels(target, "state", known), truth(known == phase)))
        });
        let help = "1 for the state the breaker is in.";
        families.samples(MetricType::Gauge, "shelltrack_breaker_state", help, phases)?;
        let transitions = self.counted().flat_map(|target| {
            let transitions = target.transitions.iter();
            transitions.map(move |(phase, number)| (labels(target, "to", phase), *number as f64))
        });
        let help = "How often the breaker came into a state.";
        families.samples(MetricType::Counter, "shelltrack_breaker_transitions_total", help, transitions)?;
        let last = self.counted().filter_map(|target| {
            let seen = self.status.targets.iter().find(|seen| seen.target == target.target);
            Some((of(target), seconds(seen.and_then(|seen: &TargetStatus| seen.last_delivery_ms)?)))
        });
        let help = "When something was last delivered, seconds since 1970.";
        families.samples(MetricType::Gauge, "shelltrack_last_delivery_timestamp_seconds", help, last)
    }

    fn counted(&self) -> impl Iterator<Item = &TargetMetrics> {
        self.metrics.targets.values()
    }
}

fn of(target: &TargetMetrics) -> Labels {
    vec![("target_id", target.target.id()), ("target", terminal_safe(&target.target.to_string()))]
}

fn labels(target: &TargetMetrics, name: &'static str, value: &str) -> Labels {
    let mut labels = of(target);
    labels.push((name, value.to_owned()));
    labels
}

fn seconds(ms: u64) -> f64 {
    ms as f64 / 1e3
}

fn truth(value: bool) -> f64 {
    f64::from(u8::from(value))
}
