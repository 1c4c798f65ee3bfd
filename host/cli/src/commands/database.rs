//! `shelltrack archive`, `export`, `import` and `backup`: the database as a whole.
//!
//! What is to be written into a SQLite file is handed to the agent or server that has it open; where there is
//! none, no other process may open it meanwhile. PostgreSQL takes turns itself.

use std::fs::{File, OpenOptions};
use std::io::{self, BufRead, BufReader, BufWriter, Read, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;
use std::process::ExitCode;

use shelltrack_server::{Imported, StoreError};

use super::place::Place;
use super::{bar, runtime};
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
    let writing = runtime.block_on(Place::find(config, named)?.there(named)?.writing())?;
    let count = runtime.block_on(writing.archive(archive.older_than)).map_err(failed)?;
    output::print(&format!("{count} sessions archived\n"))?;
    Ok(ExitCode::SUCCESS)
}

/// Copies the database and reads the copy.
pub(crate) fn backup(config: Option<&Path>, backup: &Backup) -> Result<ExitCode, Failure> {
    let runtime = runtime()?;
    let named = backup.database.database.as_deref();
    let place = Place::find(config, named)?.there(named)?;
    let server = runtime.block_on(place.reading())?;
    let to = std::path::absolute(&backup.to).map_err(|error| Failure::Usage(format!("TO: {error}")))?;
    if to.exists() {
        return Err(Failure::Usage(format!("{}: is there already; name a new file", to.display())));
    }
    let said = |error: StoreError| Failure::Failed(format!("{}: {error}", to.display()));
    runtime.block_on(server.backup(to.clone())).map_err(said)?;
    if !to.exists() {
        return Err(Failure::Failed("there are no sessions yet, and so nothing to copy".to_owned()));
    }
    let copy = place.copy(&to)?;
    let count = runtime.block_on(async { copy.check().await.and(copy.count().await) }).map_err(said)?;
    output::print(&format!("{count} sessions copied and checked\n"))?;
    Ok(ExitCode::SUCCESS)
}

/// Writes every session as one line of JSON.
pub(crate) fn export(config: Option<&Path>, export: &Export) -> Result<ExitCode, Failure> {
    let runtime = runtime()?;
    let named = export.database.database.as_deref();
    let place = Place::find(config, named)?.there(named)?;
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
    let mut source = Source::open(import.file.as_deref())?;
    let runtime = runtime()?;
    let named = import.database.database.as_deref();
    let writing = runtime.block_on(Place::find(config, named)?.writing())?;
    let bar = bar(source.bytes, "bytes");
    let mut tally = Tally::default();
    while let Some(line) = source.next_line()? {
        let outcome = match line.as_deref().map(|line| std::str::from_utf8(line.trim_ascii())) {
            Some(Ok("")) => continue,
            Some(Ok(line)) => {
                let imported = runtime.block_on(writing.import(line));
                imported.map_err(|error| Failure::Failed(format!("{}: {error}", source.place())))?
            }
            Some(Err(_)) => Imported::Refused("it is no UTF-8 text".to_owned()),
            None => {
                Imported::Refused(format!("it is longer than {LINE_BYTES_MAX} bytes, which no session is"))
            }
        };
        bar.set_position(source.read_bytes);
        tally.count(outcome, &source);
    }
    bar.finish_and_clear();
    output::print(&format!(
        "{} sessions taken in, {} were here already, {} refused\n",
        tally.new, tally.known, tally.refused
    ))?;
    Ok(if tally.refused == 0 { ExitCode::SUCCESS } else { ExitCode::from(FAILED) })
}

/// What is imported, line by line.
struct Source {
    name: String,
    from: Box<dyn BufRead>,
    /// All of it; 0 when nobody knows.
    bytes: u64,
    read_bytes: u64,
    lines: u64,
}

impl Source {
    fn open(path: Option<&Path>) -> Result<Self, Failure> {
        let Some(path) = path else {
            let from = Box::new(io::stdin().lock());
            return Ok(Self { name: "stdin".to_owned(), from, bytes: 0, read_bytes: 0, lines: 0 });
        };
        let wrong = |told: &dyn std::fmt::Display| Failure::Usage(format!("{}: {told}", path.display()));
        let file = File::open(path).map_err(|error| wrong(&error))?;
        let about = file.metadata().map_err(|error| wrong(&error))?;
        if about.is_dir() {
            return Err(wrong(&"is a directory; name a file that `shelltrack export` wrote"));
        }
        let (name, from) = (path.display().to_string(), Box::new(BufReader::new(file)));
        Ok(Self { name, from, bytes: about.len(), read_bytes: 0, lines: 0 })
    }

    /// Where the last line was.
    fn place(&self) -> String {
        format!("{}, line {}", self.name, self.lines)
    }

    /// The next line; of one that is longer than any session only that it is there.
    fn next_line(&mut self) -> Result<Option<Option<Vec<u8>>>, Failure> {
        self.lines += 1;
        let mut line = self.part()?;
        let mut part = line.len();
        let is_whole =
            |part: usize, last: Option<&u8>| (part as u64) < LINE_BYTES_MAX || last == Some(&b'\n');
        if is_whole(part, line.last()) {
            return Ok((part > 0).then_some(Some(line)));
        }
        while !is_whole(part, line.last()) {
            line = self.part()?;
            part = line.len();
        }
        Ok(Some(None))
    }

    /// Up to the end of the line, or as much as a line may be.
    fn part(&mut self) -> Result<Vec<u8>, Failure> {
        let mut part = Vec::new();
        let read = self.from.as_mut().take(LINE_BYTES_MAX).read_until(b'\n', &mut part);
        read.map_err(|error| Failure::Failed(format!("{}: {error}", self.place())))?;
        self.read_bytes += part.len() as u64;
        Ok(part)
    }
}

#[derive(Default)]
struct Tally {
    new: u64,
    known: u64,
    refused: u64,
}

impl Tally {
    fn count(&mut self, outcome: Imported, source: &Source) {
        match outcome {
            Imported::New => self.new += 1,
            Imported::Known => self.known += 1,
            Imported::Refused(why) => {
                self.refused += 1;
                if self.refused <= FAULTS_TOLD_MAX {
                    tell(&format!("{}: {why}", source.place()));
                }
            }
        }
    }
}

/// A new file of its owner alone: it tells who worked where and when.
fn new_file(path: &Path) -> Result<BufWriter<File>, Failure> {
    let file = OpenOptions::new().write(true).create_new(true).mode(0o600).open(path);
    file.map(BufWriter::new).map_err(|error| Failure::Usage(format!("{}: {error}", path.display())))
}

fn failed(error: StoreError) -> Failure {
    Failure::Failed(error.to_string())
}
