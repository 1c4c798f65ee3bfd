//! `shelltrack redact`: text or JSON through the component, as an event would go, so that anyone can see
//! what it would do. Shows what was done by rule and place, never the secret.
//!
//! Text is cleaned line by line, whatever its length as a whole. Lines that belong together because a
//! private key stands in them are cleaned as one and come out as one; which ones do is said in `key_block`.

use std::cell::OnceCell;
use std::fs::File;
use std::io::{self, BufRead, BufReader, BufWriter, Read, Write};
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use clap::Args;
use serde::Serialize;
use shelltrack_sandbox::types::{Change, ChangeKind, CleanText, Policy};
use shelltrack_sandbox::{Profile, Sandbox};

use super::key_block::{Block, Marker, Place};
use crate::config::{SessionBuddy, Settings};
use crate::failure::{FAILED, Failure, tell};
use crate::output;

/// Bytes of one line, or of the lines of one key: what the component looks at of a text.
const LINE_BYTES_MAX: usize = 64 * 1024;
/// Bytes of the end of a longer line, in which a key could begin: the longest marker with its dashes, and more.
const END_BYTES: usize = 256;
/// Lines that were left out and are told one by one.
const LEFT_OUT_TOLD_MAX: u64 = 20;
/// What stands in the place of a secret.
const MARK: &str = "[redacted]";
/// The built-in component's rule for private keys.
const KEY_RULE: &str = "private-key";
/// Bytes of JSON the component reads.
const JSON_BYTES_MAX: usize = 128 * 1024;

/// What `redact --help` says below the options.
pub(crate) const EXAMPLES: &str = "\
Text is cleaned line by line; spaces at the beginning of a line stay. The configured redaction and plugin
apply. The lines of a private key come out as one. A line of more than 65536 bytes is told and left out, and
makes the status 1 in the end; JSON of more than 131072 bytes is refused with status 1.

Examples:
  shelltrack redact < build.log > clean.log
  shelltrack redact --explain ~/.bash_history
  echo '{\"password\":\"x\"}' | shelltrack redact --json-input --explain";

#[derive(Debug, Args)]
pub(crate) struct Redact {
    /// What to clean [default: standard input]
    file: Option<PathBuf>,
    /// Print what would be changed, by rule and place, in the place of the text
    #[arg(long)]
    explain: bool,
    /// The input is one JSON object, cleaned as metadata is
    #[arg(long)]
    json_input: bool,
    /// Print one JSON object for each line of input (with --explain: that would be changed)
    #[arg(long)]
    json: bool,
}

/// One line of input, or all of a JSON input (line 1), as it comes out.
#[derive(Serialize)]
struct Shown<'a> {
    line: u64,
    #[serde(skip_serializing_if = "Option::is_none")]
    text: Option<&'a str>,
    changes: Vec<ShownChange<'a>>,
}

#[derive(Serialize)]
struct ShownChange<'a> {
    #[serde(skip_serializing_if = "str::is_empty")]
    field: &'a str,
    kind: &'static str,
    #[serde(skip_serializing_if = "str::is_empty")]
    rule: &'a str,
}

/// Cleans all of the input.
pub(crate) fn redact(config: Option<&Path>, options: &Redact) -> Result<ExitCode, Failure> {
    let settings = Settings::load(config, &SessionBuddy::default())?;
    let sandbox = settings.plugin.load(Profile::Service)?;
    let input: Box<dyn Read> = match &options.file {
        Some(path) => Box::new(open(path)?),
        None => Box::new(io::stdin().lock()),
    };
    let writer = Writer { out: BufWriter::new(io::stdout().lock()), options, has_rows: false };
    let mut redactor =
        Redactor { sandbox: &sandbox, policy: &settings.policy, writer, open: None, left_out: 0 };
    match options.json_input {
        true => redactor.json(input)?,
        false => redactor.lines(BufReader::new(input))?,
    }
    redactor.writer.finish()?;
    Ok(if redactor.left_out == 0 { ExitCode::SUCCESS } else { ExitCode::from(FAILED) })
}

fn open(path: &Path) -> Result<File, Failure> {
    File::open(path).map_err(|error| Failure::Usage(format!("{}: {error}", path.display())))
}

struct Redactor<'a> {
    sandbox: &'a Sandbox,
    policy: &'a Policy,
    writer: Writer<'a>,
    /// The key that has begun and not ended.
    open: Option<Open>,
    /// Lines that were too long.
    left_out: u64,
}

/// Lines that may belong to one key.
struct Open {
    block: Block,
    /// Number of the first.
    first: u64,
    lines: Vec<Line>,
    bytes: usize,
    /// More than can be cleaned at once: then the key is marked as a whole.
    is_too_large: bool,
    /// Lines behind them that are part of it if more of it follows.
    pending: Vec<Line>,
}

impl Open {
    fn new(block: Block, first: Line) -> Self {
        let number = first.number;
        let mut open = Self {
            block,
            first: number,
            lines: Vec::new(),
            bytes: 0,
            is_too_large: false,
            pending: Vec::new(),
        };
        open.add(first);
        open
    }

    fn push(&mut self, line: Line, place: Place) {
        if place == Place::Pending {
            self.pending.push(line);
            return;
        }
        let before = std::mem::take(&mut self.pending);
        before.into_iter().chain([line]).for_each(|line| self.add(line));
    }

    fn add(&mut self, line: Line) {
        self.bytes = self.bytes.saturating_add(line.text.len() + usize::from(self.bytes > 0));
        if self.bytes > LINE_BYTES_MAX {
            self.block.is_beyond_doubt();
        }
        self.is_too_large |= line.is_cut || self.bytes > LINE_BYTES_MAX;
        if self.is_too_large && self.block.is_key() {
            self.lines.clear();
        } else {
            self.lines.push(line);
        }
    }
}

/// A line of the input.
struct Line {
    number: u64,
    text: String,
    /// What becomes of it by itself, once somebody asked.
    clean: OnceCell<CleanText>,
    /// Longer than a line may be; the text is its end.
    is_cut: bool,
}

impl Line {
    /// Whether it is what it reads as.
    fn is_plain(&self) -> bool {
        self.text.chars().all(|c| matches!(c, ' '..='~' | '\t'))
    }
}

impl Redactor<'_> {
    fn json(&mut self, input: impl Read) -> Result<(), Failure> {
        let mut bytes = Vec::new();
        input.take(JSON_BYTES_MAX as u64 + 1).read_to_end(&mut bytes).map_err(|error| unreadable(&error))?;
        if bytes.len() > JSON_BYTES_MAX {
            return Err(Failure::Failed(format!("the input is larger than {JSON_BYTES_MAX} bytes of JSON")));
        }
        let text = String::from_utf8(bytes).map_err(|_| Failure::Failed("JSON must be UTF-8".to_owned()))?;
        let clean = self.sandbox.sanitize_json(&text, self.policy);
        let clean = clean.map_err(|error| Failure::Failed(format!("the input: {error}")))?;
        self.writer.show(1, "", &clean)
    }

    fn lines(&mut self, mut input: impl BufRead) -> Result<(), Failure> {
        for number in 1.. {
            let Some((text, is_cut)) = next_line(&mut input)? else { break };
            if is_cut {
                self.leave_out(number);
            }
            self.take(Line { number, text, clean: OnceCell::new(), is_cut })?;
        }
        if let Some(more) = self.left_out.checked_sub(LEFT_OUT_TOLD_MAX).filter(|more| *more > 0) {
            tell(&format!("{} more of more than {LINE_BYTES_MAX} bytes", output::several(more, "line")));
        }
        self.open.take().map_or(Ok(()), |open| self.leave(&open))
    }

    fn leave_out(&mut self, number: u64) {
        self.left_out += 1;
        if self.left_out <= LEFT_OUT_TOLD_MAX {
            tell(&format!("line {number}: has more than {LINE_BYTES_MAX} bytes, and is left out"));
        }
    }

    /// Shows the line, or keeps it with others of the same key.
    fn take(&mut self, line: Line) -> Result<(), Failure> {
        if let Some(mut open) = self.open.take() {
            let place = open.block.place(self.seen(&line)?);
            if place != Place::Outside {
                // In the line of its end another key may begin.
                let next = if place == Place::End { self.begins(&line)? } else { None };
                let has_ended = place == Place::End && next.is_none();
                open.push(line, place);
                if let Some(next) = next {
                    open.block.goes_on_as(next);
                }
                if has_ended {
                    return self.leave(&open);
                }
                self.open = Some(open);
                return Ok(());
            }
            self.leave(&open)?;
        }
        let Some(block) = self.begins(&line)? else { return self.show(&line) };
        self.open = Some(Open::new(block, line));
        Ok(())
    }

    /// The key that begins in a line and does not end there.
    fn begins(&self, line: &Line) -> Result<Option<Block>, Failure> {
        let is_redacted = |change: &Change| change.kind == ChangeKind::Redacted;
        if let Some(marker) = Marker::last_of(&line.text) {
            let clean = self.clean(line.number, marker.text)?;
            return Ok(clean.changes.iter().any(is_redacted).then(|| Block::at(&marker)));
        }
        let is_key = |change: &Change| is_redacted(change) && change.detail == KEY_RULE;
        if line.is_plain() {
            return Ok(Block::of_putty(&line.text));
        }
        let clean = self.clean_line(line)?;
        let is_disguised = clean.text.ends_with(MARK) && clean.changes.iter().any(is_key);
        Ok(Block::of_putty(&clean.text).or_else(|| is_disguised.then(Block::in_disguise)))
    }

    /// Shows the lines of the key that has begun as one; those of a mere mention as they are.
    fn leave(&mut self, open: &Open) -> Result<(), Failure> {
        if !open.block.is_key() {
            return open.lines.iter().chain(&open.pending).try_for_each(|line| self.show(line));
        }
        let texts: Vec<_> = open.lines.iter().map(|line| line.text.as_str()).collect();
        let text = texts.join("\n");
        let (indent, clean) = match open.is_too_large {
            true => ("", marked()),
            false => (indent(&text), self.clean(open.first, &text)?),
        };
        self.writer.show(open.first, indent, &clean)?;
        open.pending.iter().try_for_each(|line| self.show(line))
    }

    fn show(&mut self, line: &Line) -> Result<(), Failure> {
        if line.is_cut {
            return Ok(());
        }
        let clean = self.clean_line(line)?;
        self.writer.show(line.number, indent(&line.text), clean)
    }

    /// What a line reads as.
    fn seen<'l>(&self, line: &'l Line) -> Result<&'l str, Failure> {
        if line.is_plain() { Ok(&line.text) } else { Ok(&self.clean_line(line)?.text) }
    }

    fn clean_line<'l>(&self, line: &'l Line) -> Result<&'l CleanText, Failure> {
        if let Some(clean) = line.clean.get() {
            return Ok(clean);
        }
        let clean = self.clean(line.number, &line.text)?;
        Ok(line.clean.get_or_init(|| clean))
    }

    fn clean(&self, number: u64, text: &str) -> Result<CleanText, Failure> {
        let scalars_max = u32::try_from(LINE_BYTES_MAX).unwrap_or(u32::MAX);
        let clean = self.sandbox.sanitize_text(text.trim_start_matches(' '), scalars_max, self.policy);
        clean.map_err(|error| Failure::Failed(format!("line {number}: {error}")))
    }
}

fn indent(text: &str) -> &str {
    text.get(..text.len() - text.trim_start_matches(' ').len()).unwrap_or_default()
}

/// What becomes of a key that is too large to be cleaned.
fn marked() -> CleanText {
    let change = Change { field: String::new(), kind: ChangeKind::Redacted, detail: KEY_RULE.to_owned() };
    CleanText { text: MARK.to_owned(), changes: vec![change] }
}

/// The next line without its end, bytes that are not UTF-8 replaced; none at the end of the input. Of one that
/// is too long only the end, and that it is so.
fn next_line(input: &mut impl BufRead) -> Result<Option<(String, bool)>, Failure> {
    // Room for the end of the line.
    let most = LINE_BYTES_MAX as u64 + 2;
    let mut bytes = Vec::new();
    let mut is_cut = false;
    loop {
        let read =
            input.by_ref().take(most).read_until(b'\n', &mut bytes).map_err(|error| unreadable(&error))?;
        if (read as u64) < most || bytes.ends_with(b"\n") {
            break;
        }
        is_cut = true;
        bytes.drain(..bytes.len().saturating_sub(END_BYTES));
    }
    if bytes.is_empty() {
        return Ok(None);
    }
    for end in [b'\n', b'\r'] {
        bytes.pop_if(|last| *last == end);
    }
    is_cut |= bytes.len() > LINE_BYTES_MAX;
    let from = if is_cut { bytes.len().saturating_sub(END_BYTES) } else { 0 };
    let text = String::from_utf8_lossy(bytes.get(from..).unwrap_or_default()).into_owned();
    Ok(Some((text, is_cut)))
}

fn unreadable(error: &io::Error) -> Failure {
    Failure::Failed(format!("the input cannot be read: {error}"))
}

/// Prints what came out in the form that was asked for.
struct Writer<'a> {
    out: BufWriter<io::StdoutLock<'static>>,
    options: &'a Redact,
    has_rows: bool,
}

impl Writer<'_> {
    fn show(&mut self, line: u64, indent: &str, clean: &CleanText) -> Result<(), Failure> {
        match (self.options.explain, self.options.json) {
            (false, false) => writeln!(self.out, "{indent}{}", clean.text)?,
            (true, false) => self.explain(line, &clean.changes)?,
            (true, true) if clean.changes.is_empty() => {}
            (explain, true) => {
                let changes = clean.changes.iter().map(shown).collect();
                let text = (!explain).then(|| format!("{indent}{}", clean.text));
                self.out.write_all(&output::json_line(&Shown { line, text: text.as_deref(), changes })?)?;
            }
        }
        Ok(())
    }

    /// Rows of fixed width: a table could be laid out only once the input has ended.
    fn explain(&mut self, line: u64, changes: &[Change]) -> Result<(), Failure> {
        for ShownChange { field, kind, rule } in changes.iter().map(shown) {
            if !self.has_rows {
                writeln!(self.out, "{:>8}  {:16}  {:20}  FIELD", "LINE", "CHANGE", "RULE")?;
                self.has_rows = true;
            }
            let row =
                format!("{line:>8}  {kind:16}  {:20}  {field}", if rule.is_empty() { "-" } else { rule });
            writeln!(self.out, "{}", output::terminal_safe(row.trim_end()))?;
        }
        Ok(())
    }

    fn finish(&mut self) -> Result<(), Failure> {
        if self.options.explain && !self.options.json && !self.has_rows {
            writeln!(self.out, "Nothing would be changed.")?;
        }
        Ok(self.out.flush()?)
    }
}

fn shown(change: &Change) -> ShownChange<'_> {
    let kind = match change.kind {
        ChangeKind::EscapeSequence => "escape-sequence",
        ChangeKind::Control => "control",
        ChangeKind::Bidi => "bidi",
        ChangeKind::Invisible => "invisible",
        ChangeKind::InvalidScalar => "invalid-scalar",
        ChangeKind::Normalized => "normalized",
        ChangeKind::Redacted => "redacted",
        ChangeKind::Hidden => "hidden",
        ChangeKind::Truncated => "truncated",
        ChangeKind::Trimmed => "trimmed",
        ChangeKind::Defaulted => "defaulted",
    };
    ShownChange { field: &change.field, kind, rule: &change.detail }
}
