//! `shelltrack archive`, `export`, `import` and `backup`: the database as a whole.
//!
//! What is to be written into a SQLite file is handed to the agent or server that has it open; where there is
//! none, no other process may open it meanwhile. PostgreSQL takes turns itself.

use std::fs::{File, OpenOptions};
use std::io::{self, BufRead, BufReader, BufWriter, IsTerminal, Read, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;
use std::process::ExitCode;

use indicatif::{ProgressBar, ProgressStyle};
use shelltrack_server::{Imported, StoreError};

use super::place::Place;
use super::runtime;
use crate::args_server::{Archive, Backup, Export, Import};
use crate::failure::{FAILED, Failure, tell};
use crate::output;

/// Longest line that is taken in: the largest record with its metadata, with much to spare.
const LINE_BYTES_MAX: u64 = 1 << 20;

/// Most lines whose faults are told one by one.
const FAULTS_TOLD_MAX: u64 = 20;

/// Archives what ended long ago.
pub(crate) fn archive(config: Option<&Path>, archive: &Archive) -> Result<ExitCode, Failure> {
    let runtime = runtime()?;
    let named = archive.database.database.as_deref();
    let writing = runtime.block_on(Place::find(config, named)?.writing())?;
    let count = runtime.block_on(writing.archive(archive.older_than)).map_err(failed)?;
    output::print(&format!("{count} sessions archived\n"))?;
    Ok(ExitCode::SUCCESS)
}

/// Copies the database and reads the copy.
pub(crate) fn backup(config: Option<&Path>, backup: &Backup) -> Result<ExitCode, Failure> {
    let runtime = runtime()?;
    let place = Place::find(config, backup.database.database.as_deref())?;
    let server = runtime.block_on(place.reading())?;
    let to = std::path::absolute(&backup.to).map_err(|error| Failure::Usage(format!("TO: {error}")))?;
    if to.exists() {
        return Err(Failure::Usage(format!("{}: is there already; name a new file", to.display())));
    }
    let said = |error: StoreError| Failure::Failed(format!("{}: {error}", to.display()));
    runtime.block_on(server.backup(to.clone())).map_err(said)?;
    let copy = place.copy(&to)?;
    let count = runtime.block_on(async { copy.check().await.and(copy.count().await) }).map_err(said)?;
    output::print(&format!("{count} sessions copied and checked\n"))?;
    Ok(ExitCode::SUCCESS)
}

/// Writes every session as one line of JSON.
pub(crate) fn export(config: Option<&Path>, export: &Export) -> Result<ExitCode, Failure> {
    let runtime = runtime()?;
    let place = Place::find(config, export.database.database.as_deref())?;
    let server = runtime.block_on(place.reading())?;
    let total = runtime.block_on(server.count()).map_err(failed)?;
    let bar = bar(total, "sessions");
    let mut to: Box<dyn Write> = match &export.output {
        Some(path) => Box::new(new_file(path)?),
        None => Box::new(io::stdout().lock()),
    };
    let mut from = None;
    loop {
        let part = runtime.block_on(server.export(from.as_deref())).map_err(failed)?;
        for line in &part.lines {
            writeln!(to, "{line}")?;
        }
        bar.inc(part.lines.len() as u64);
        from = part.next;
        if from.is_none() {
            break;
        }
    }
    to.flush()?;
    bar.finish_and_clear();
    Ok(ExitCode::SUCCESS)
}

/// Takes in what `export` wrote. A line that is wrong is told and left out.
pub(crate) fn import(config: Option<&Path>, import: &Import) -> Result<ExitCode, Failure> {
    let (mut from, bytes): (Box<dyn BufRead>, u64) = match &import.file {
        Some(path) => {
            let file =
                File::open(path).map_err(|error| Failure::Usage(format!("{}: {error}", path.display())))?;
            let bytes = file.metadata().map_or(0, |metadata| metadata.len());
            (Box::new(BufReader::new(file)), bytes)
        }
        None => (Box::new(io::stdin().lock()), 0),
    };
    let runtime = runtime()?;
    let named = import.database.database.as_deref();
    let writing = runtime.block_on(Place::find(config, named)?.writing())?;
    let bar = bar(bytes, "bytes");
    let mut tally = Tally::default();
    while let Some(line) = next_line(&mut from)? {
        bar.inc(line.len() as u64);
        tally.lines += 1;
        let outcome = match std::str::from_utf8(line.trim_ascii()) {
            Ok("") => continue,
            Ok(line) => runtime.block_on(writing.import(line)).map_err(failed)?,
            Err(_) => Imported::Refused("no UTF-8 text".to_owned()),
        };
        tally.count(outcome);
    }
    bar.finish_and_clear();
    output::print(&format!(
        "{} sessions taken in, {} were here already, {} refused\n",
        tally.new, tally.known, tally.refused
    ))?;
    Ok(if tally.refused == 0 { ExitCode::SUCCESS } else { ExitCode::from(FAILED) })
}

#[derive(Default)]
struct Tally {
    lines: u64,
    new: u64,
    known: u64,
    refused: u64,
}

impl Tally {
    fn count(&mut self, outcome: Imported) {
        match outcome {
            Imported::New => self.new += 1,
            Imported::Known => self.known += 1,
            Imported::Refused(why) => {
                self.refused += 1;
                if self.refused <= FAULTS_TOLD_MAX {
                    tell(&format!("line {}: {why}", self.lines));
                }
            }
        }
    }
}

/// The next line with its end; one that is longer than any session ends the work.
fn next_line(from: &mut dyn BufRead) -> Result<Option<Vec<u8>>, Failure> {
    let mut line = Vec::new();
    from.take(LINE_BYTES_MAX)
        .read_until(b'\n', &mut line)
        .map_err(|error| Failure::Failed(error.to_string()))?;
    if line.len() as u64 == LINE_BYTES_MAX {
        return Err(Failure::Failed(
            "a line is longer than any session; nothing after it was taken in".to_owned(),
        ));
    }
    Ok((!line.is_empty()).then_some(line))
}

/// A new file of its owner alone: it tells who worked where and when.
fn new_file(path: &Path) -> Result<BufWriter<File>, Failure> {
    let file = OpenOptions::new().write(true).create_new(true).mode(0o600).open(path);
    file.map(BufWriter::new).map_err(|error| Failure::Usage(format!("{}: {error}", path.display())))
}

fn bar(total: u64, unit: &str) -> ProgressBar {
    if !io::stderr().is_terminal() {
        return ProgressBar::hidden();
    }
    let style = ProgressStyle::with_template(&format!("{{wide_bar}} {{pos}} of {{len}} {unit}"));
    ProgressBar::new(total).with_style(style.unwrap_or_else(|_| ProgressStyle::default_bar()))
}

fn failed(error: StoreError) -> Failure {
    Failure::Failed(error.to_string())
}
