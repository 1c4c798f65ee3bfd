//! A strict reader of Prometheus' text format (0.0.4): what `promtool check metrics` complains about ends
//! the test. Knows the format only, not what shelltrack counts.

use std::collections::{BTreeMap, BTreeSet};

/// Samples by name and labels, as in `name{a="b"}`.
#[derive(Debug)]
pub struct Exposition(BTreeMap<String, f64>);

/// A family under way.
#[derive(Default)]
struct Family {
    name: String,
    kind: String,
    helped: bool,
}

impl Exposition {
    /// Reads a whole file.
    ///
    /// # Panics
    /// When anything is not as the format wants it.
    #[track_caller]
    pub fn parse(text: &str) -> Self {
        assert!(text.ends_with('\n'), "the last line is not ended");
        let (mut samples, mut seen, mut family) = (BTreeMap::new(), BTreeSet::new(), Family::default());
        for line in text.lines() {
            if let Some(rest) = line.strip_prefix("# HELP ") {
                let (name, help) = rest.split_once(' ').unwrap_or_else(|| panic!("no help: {line}"));
                check_name(name);
                assert!(!help.trim().is_empty(), "{line}");
                assert!(seen.insert(name.to_owned()), "{name} comes twice");
                family = Family { name: name.to_owned(), kind: String::new(), helped: true };
            } else if let Some(rest) = line.strip_prefix("# TYPE ") {
                let (name, kind) = rest.split_once(' ').unwrap_or_else(|| panic!("no type: {line}"));
                assert!(family.helped && name == family.name, "TYPE does not follow its HELP: {line}");
                assert!(["counter", "gauge", "histogram"].contains(&kind), "{line}");
                assert_eq!(kind == "counter", name.ends_with("_total"), "a counter, and only that: {line}");
                kind.clone_into(&mut family.kind);
            } else {
                assert!(!line.starts_with('#'), "neither HELP nor TYPE: {line}");
                let (series, value) = sample(line);
                check_belongs(&family, &series);
                assert!(samples.insert(series, value).is_none(), "twice: {line}");
            }
        }
        let exposition = Self(samples);
        exposition.check_histograms();
        exposition
    }

    /// One sample.
    ///
    /// # Panics
    /// When it is not there.
    #[track_caller]
    pub fn value(&self, series: &str) -> f64 {
        *self.0.get(series).unwrap_or_else(|| panic!("no {series} in {:#?}", self.0))
    }

    /// The sum of all samples of this name whose labels contain `label`, such as `result="dead"`.
    pub fn sum(&self, name: &str, label: &str) -> f64 {
        let series = self.0.iter().filter(|(series, _)| {
            series.split('{').next() == Some(name) && (label.is_empty() || series.contains(label))
        });
        series.map(|(_, value)| value).sum()
    }

    /// Buckets are cumulative, end with +Inf, and agree with the count.
    #[track_caller]
    fn check_histograms(&self) {
        let counts = self.0.keys().filter(|series| series.split('{').next().unwrap().ends_with("_count"));
        for count in counts {
            let (name, labels) = count.split_once("_count").unwrap();
            let labels = labels.trim_start_matches('{').trim_end_matches('}');
            let prefix = format!("{name}_bucket{{");
            let mut buckets: Vec<(f64, f64)> = self
                .0
                .iter()
                .filter(|(series, _)| series.starts_with(&prefix) && series.contains(labels))
                .map(|(series, value)| (bound(series), *value))
                .collect();
            buckets.sort_by(|(a, _), (b, _)| a.total_cmp(b));
            assert!(buckets.is_sorted_by(|(_, a), (_, b)| a <= b), "{name}: {buckets:?}");
            let last = buckets.last().unwrap_or_else(|| panic!("{name} has no buckets"));
            assert_eq!(*last, (f64::INFINITY, self.value(count)), "{name}");
            assert!(self.0.contains_key(&count.replacen("_count", "_sum", 1)), "{name} has no sum");
        }
    }
}

fn bound(series: &str) -> f64 {
    let (_, rest) = series.split_once("le=\"").unwrap_or_else(|| panic!("no bound: {series}"));
    let bound = rest.split('"').next().unwrap();
    if bound == "+Inf" { f64::INFINITY } else { bound.parse().unwrap() }
}

#[track_caller]
fn check_name(name: &str) {
    let first = name.chars().next().is_some_and(|c| c.is_ascii_lowercase());
    let rest = name.chars().all(|c| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '_');
    assert!(first && rest, "{name:?} is no name");
}

#[track_caller]
fn check_belongs(family: &Family, series: &str) {
    let name = series.split('{').next().unwrap();
    let of_histogram = ["_bucket", "_sum", "_count"].map(|suffix| format!("{}{suffix}", family.name));
    let belongs = match family.kind.as_str() {
        "histogram" => of_histogram.iter().any(|of| of == name),
        "" => false,
        _ => name == family.name,
    };
    assert!(belongs, "{series} stands below {} of type {:?}", family.name, family.kind);
}

/// Name with labels, and value. Reads the labels character by character: a value may hold anything.
#[track_caller]
fn sample(line: &str) -> (String, f64) {
    let name_bytes = line.find(['{', ' ']).unwrap_or_else(|| panic!("no value: {line}"));
    let (name, mut rest) = line.split_at(name_bytes);
    check_name(name);
    let mut series = name.to_owned();
    if let Some(labels) = rest.strip_prefix('{') {
        let end = end_of_labels(labels).unwrap_or_else(|| panic!("labels do not end: {line}"));
        series = format!("{name}{{{}}}", labels.get(..end).unwrap());
        rest = labels.get(end + 1..).unwrap();
    }
    let value = rest.strip_prefix(' ').and_then(|value| value.parse().ok());
    (series, value.unwrap_or_else(|| panic!("no number, or more than one: {line}")))
}

fn end_of_labels(labels: &str) -> Option<usize> {
    let (mut quoted, mut escaped) = (false, false);
    for (at, c) in labels.char_indices() {
        match c {
            _ if escaped => {
                assert!(['\\', '"', 'n'].contains(&c), "no escape: {labels}");
                escaped = false;
            }
            '\\' if quoted => escaped = true,
            '"' => quoted = !quoted,
            '}' if !quoted => return Some(at),
            _ => {}
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    const GOOD: &str = "# HELP a_total b\n# TYPE a_total counter\na_total{x=\"}\\\"\"} 1\n\
                        # HELP h_seconds c\n# TYPE h_seconds histogram\nh_seconds_sum 0.5\nh_seconds_count 1\n\
                        h_seconds_bucket{le=\"0.1\"} 0\nh_seconds_bucket{le=\"+Inf\"} 1\n";

    #[test]
    fn a_good_file_is_read() {
        let read = Exposition::parse(GOOD);
        assert_eq!((read.sum("a_total", "x="), read.value("h_seconds_sum")), (1.0, 0.5));
    }

    #[test]
    fn a_bad_file_is_refused() {
        let bad = [
            GOOD.replace("a_total b", "a_total"),
            GOOD.replace("counter", "gauge"),
            GOOD.replace("# TYPE a_total counter\n", ""),
            GOOD.replace("{le=\"+Inf\"} 1", "{le=\"+Inf\"} 2"),
            GOOD.replace("{le=\"0.1\"} 0", "{le=\"0.1\"} 2"),
            GOOD.replace("h_seconds_sum 0.5\n", ""),
            GOOD.replace("\\\"\"} 1", "\\\"\"} 1 2 3"),
            format!("{GOOD}{GOOD}"),
            GOOD.trim_end().to_owned(),
        ];
        for text in bad {
            assert!(std::panic::catch_unwind(|| Exposition::parse(&text)).is_err(), "{text}");
        }
    }
}
