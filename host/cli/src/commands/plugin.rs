//! `shelltrack plugin check`: runs the conformance suite against a component, in the sandbox with all
//! its limits, and tells what holds, what does not, and how to configure it.

use std::cell::Cell;
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use clap::{Args, Subcommand};
use serde::Serialize;
use shelltrack_conformance::{host, run, suite};
use shelltrack_sandbox::{Error, Limits, Profile, Sandbox};

use super::bar;
use crate::failure::{FAILED, Failure};
use crate::output;

/// Faults shown for people; a component that gets nothing right has a thousand.
const FAULTS_SHOWN_MAX: usize = 20;

/// Calls of a group that may run out of time, 50 ms each: after them it is clear how it goes on.
const TIMEOUTS_MAX: usize = 20;

#[derive(Debug, Subcommand)]
pub(crate) enum Plugin {
    /// Check that a component keeps the contract, and print how to use it
    Check(Check),
}

#[derive(Debug, Args)]
pub(crate) struct Check {
    /// The component, a .wasm file
    file: PathBuf,
    /// One JSON object instead of a table
    #[arg(long)]
    json: bool,
}

/// What was found.
#[derive(Debug, Serialize)]
struct Report {
    path: PathBuf,
    sha256: String,
    /// Whether everything demanded of any component holds.
    conforms: bool,
    groups: BTreeMap<&'static str, Group>,
    /// Demands that do not hold.
    missed: Vec<Fault>,
    /// Where it goes other ways than the built-in component, as it may.
    differs: Vec<Fault>,
}

#[derive(Debug, Default, Serialize)]
struct Group {
    cases: usize,
    held: usize,
    differs: usize,
    /// Cases that were left out, since too many calls before them had run out of time.
    not_tried: usize,
    #[serde(skip)]
    timeouts: usize,
}

/// What is said of a file that could not even be loaded.
#[derive(Debug, Serialize)]
struct NotLoaded<'a> {
    path: &'a Path,
    conforms: bool,
    error: String,
}

#[derive(Debug, Serialize)]
struct Fault {
    group: &'static str,
    case: String,
    reason: String,
}

/// Exit status 0 when it conforms.
pub(crate) fn plugin(plugin: &Plugin) -> Result<ExitCode, Failure> {
    let Plugin::Check(check) = plugin;
    let path = std::path::absolute(&check.file).map_err(|error| Failure::Usage(format!("FILE: {error}")))?;
    let report = match load(&path) {
        Ok((sandbox, sha256)) => examine(&sandbox, path, sha256)?,
        Err(error) => {
            if check.json {
                output::print_json(&NotLoaded { path: &path, conforms: false, error: error.to_string() })?;
            }
            return Err(Failure::Failed(format!("{}: {error}", path.display())));
        }
    };
    match check.json {
        true => output::print_json(&report)?,
        false => output::print(&told(&report))?,
    }
    Ok(if report.conforms { ExitCode::SUCCESS } else { ExitCode::from(FAILED) })
}

fn load(path: &Path) -> Result<(Sandbox, String), Error> {
    let (bytes, sha256) = Sandbox::read_file(path)?;
    Ok((Sandbox::from_bytes(&bytes, Profile::Service, Limits::default())?, sha256))
}

fn examine(sandbox: &Sandbox, path: PathBuf, sha256: String) -> Result<Report, Failure> {
    let mut groups: BTreeMap<&'static str, Group> = BTreeMap::new();
    let (mut missed, mut differs) = (Vec::new(), Vec::new());
    let suite = suite().map_err(Failure::Failed)?;
    let bar = bar(suite.len() as u64, "cases");
    for case in suite {
        bar.inc(1);
        let group = groups.entry(case.group).or_default();
        group.cases += 1;
        if group.timeouts >= TIMEOUTS_MAX {
            group.not_tried += 1;
            continue;
        }
        let timeouts = Cell::new(0);
        let outcome = run(&case, &|function, arguments| {
            let answer = host::call(sandbox, function, arguments);
            let is_timeout = answer.as_ref().is_err_and(|error| host::ran_out_of_time(error));
            timeouts.set(timeouts.get() + usize::from(is_timeout));
            answer
        });
        group.timeouts += timeouts.get();
        group.held += usize::from(outcome.missed.is_none());
        group.differs += usize::from(outcome.differs.is_some());
        let fault = |reason| Fault { group: case.group, case: case.name.clone(), reason };
        missed.extend(outcome.missed.map(fault));
        differs.extend(outcome.differs.map(fault));
    }
    bar.finish_and_clear();
    Ok(Report { path, sha256, conforms: missed.is_empty(), groups, missed, differs })
}

fn told(report: &Report) -> String {
    let mut text = output::table(
        ["GROUP", "CASES", "HELD", "MISSED", "DIFFERS"],
        report.groups.iter().map(|(name, group)| {
            let missed = group.cases.saturating_sub(group.held).saturating_sub(group.not_tried);
            let [cases, held, missed, differs] =
                [group.cases, group.held, missed, group.differs].map(|number| number.to_string());
            [(*name).to_owned(), cases, held, missed, differs]
        }),
    );
    for (name, group) in report.groups.iter().filter(|(_, group)| group.not_tried > 0) {
        let cases = output::several(group.not_tried as u64, "case");
        text.push_str(&format!("\n{name}: {cases} not tried: {} calls ran out of time\n", group.timeouts));
    }
    for (title, faults) in [
        ("Does not hold", &report.missed),
        ("Differs from the built-in component, as it may", &report.differs),
    ] {
        text.push_str(&told_faults(title, faults));
    }
    let verdict = if report.conforms { "keeps the contract" } else { "does not keep the contract" };
    text.push_str(&format!("\n{} {verdict}.\n", output::terminal_safe(&report.path.to_string_lossy())));
    if report.conforms {
        text.push_str(&format!("\nTo use it, in config.toml:\n\n{}", snippet(&report.path, &report.sha256)));
    } else {
        text.push_str(&format!("sha256 {}\n", report.sha256));
    }
    text
}

fn told_faults(title: &str, faults: &[Fault]) -> String {
    if faults.is_empty() {
        return String::new();
    }
    let line = |fault: &Fault| {
        let line = format!("{}, {}: {}", fault.group, fault.case, fault.reason);
        format!("  {}\n", output::terminal_safe(&line))
    };
    let mut text = format!("\n{title}:\n");
    text.extend(faults.iter().take(FAULTS_SHOWN_MAX).map(line));
    if let Some(more) = faults.len().checked_sub(FAULTS_SHOWN_MAX).filter(|more| *more > 0) {
        text.push_str(&format!("  and {more} more; --json tells all\n"));
    }
    text
}

fn snippet(path: &Path, sha256: &str) -> String {
    // A string of JSON is one of TOML as well.
    let path = serde_json::Value::from(path.to_string_lossy()).to_string();
    format!("[plugin]\npath = {}\nsha256 = \"{sha256}\"\n", output::terminal_safe(&path))
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "a test may fail by panic")]
mod tests {
    use super::*;

    #[test]
    fn cases_that_were_not_tried_are_told_and_counted_as_neither_held_nor_missed() {
        let group = Group { cases: 50, held: 3, differs: 0, not_tried: 27, timeouts: 20 };
        let fault = Fault { group: "bidi", case: "x".to_owned(), reason: "too long".to_owned() };
        let report = Report {
            path: PathBuf::from("/a.wasm"),
            sha256: String::new(),
            conforms: false,
            groups: BTreeMap::from([("bidi", group)]),
            missed: vec![fault],
            differs: Vec::new(),
        };
        let told = told(&report);
        let row: Vec<_> = told.lines().nth(1).unwrap().split_whitespace().collect();
        assert_eq!(row, ["bidi", "50", "3", "20", "0"], "{told}");
        assert!(told.contains("bidi: 27 cases not tried: 20 calls ran out of time"), "{told}");
    }
}
