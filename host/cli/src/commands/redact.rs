//! `shelltrack redact`: text or JSON through the component, as an event would go, so that anyone can see
//! what it would do. Shows what was done by rule and place, never the secret.
//!
//! Text is cleaned line by line, whatever its length as a whole. Lines that belong together because a
//! key stands in them (PEM, OpenPGP, SSH2, PuTTY) are cleaned as one and come out as one.

use std::fs::File;
use std::io::{self, BufRead, BufReader, BufWriter, Read, Write};
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use clap::Args;
use serde::Serialize;
use shelltrack_sandbox::types::{Change, ChangeKind, CleanText, Policy};
use shelltrack_sandbox::{Profile, Sandbox};

use crate::config::{SessionBuddy, Settings};
use crate::failure::Failure;
use crate::output;

/// Bytes of one line, or of the lines of one key: what the component looks at of a text.
const LINE_BYTES_MAX: usize = 64 * 1024;
/// Bytes of JSON the component reads.
const JSON_BYTES_MAX: usize = 128 * 1024;

/// What `redact --help` says below the options.
pub(crate) const EXAMPLES: &str = "\
Text is cleaned line by line; spaces at the beginning of a line stay. The configured redaction and plugin
apply. A line of more than 65536 bytes ends it with status 1, and so does JSON of more than 131072 bytes.

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
    let mut redactor = Redactor { sandbox: &sandbox, policy: &settings.policy, writer };
    match options.json_input {
        true => redactor.json(input)?,
        false => redactor.lines(BufReader::new(input))?,
    }
    redactor.writer.finish()?;
    Ok(ExitCode::SUCCESS)
}

fn open(path: &Path) -> Result<File, Failure> {
    File::open(path).map_err(|error| Failure::Usage(format!("{}: {error}", path.display())))
}

struct Redactor<'a> {
    sandbox: &'a Sandbox,
    policy: &'a Policy,
    writer: Writer<'a>,
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
        let mut number = 0;
        while let Some(mut line) = next_line(&mut input, number + 1)? {
            let first = number + 1;
            number = first;
            while is_inside_of_key(&line) {
                let Some(next) = next_line(&mut input, number + 1)? else { break };
                number += 1;
                line.push('\n');
                line.push_str(&next);
                if line.len() > LINE_BYTES_MAX {
                    return Err(too_long(first));
                }
            }
            self.line(first, &line)?;
        }
        Ok(())
    }

    fn line(&mut self, number: u64, line: &str) -> Result<(), Failure> {
        let text = line.trim_start_matches(' ');
        let indent = line.get(..line.len() - text.len()).unwrap_or_default();
        let scalars_max = u32::try_from(LINE_BYTES_MAX).unwrap_or(u32::MAX);
        let clean = self.sandbox.sanitize_text(text, scalars_max, self.policy);
        let clean = clean.map_err(|error| Failure::Failed(format!("line {number}: {error}")))?;
        self.writer.show(number, indent, &clean)
    }
}

/// How a key of several lines begins and ends (PEM and OpenPGP, SSH2, PuTTY): its lines say nothing one
/// by one.
static KEYS: [(&str, &str); 3] =
    [("-----BEGIN", "-----END"), ("---- BEGIN", "---- END"), ("PuTTY-User-Key-File-", "Private-MAC:")];

/// Whether a key begins in these lines that has not come to its end.
fn is_inside_of_key(lines: &str) -> bool {
    let is_open = |(begin, end)| {
        lines.rfind(begin).is_some_and(|at| lines.get(at..).is_some_and(|key| !key.contains(end)))
    };
    KEYS.into_iter().any(is_open)
}

/// The next line without its end, bytes that are not UTF-8 replaced; none at the end of the input.
fn next_line(input: &mut impl BufRead, number: u64) -> Result<Option<String>, Failure> {
    let mut bytes = Vec::new();
    // Room for the end of the line.
    let most = LINE_BYTES_MAX as u64 + 2;
    input.take(most).read_until(b'\n', &mut bytes).map_err(|error| unreadable(&error))?;
    if bytes.is_empty() {
        return Ok(None);
    }
    for end in [b'\n', b'\r'] {
        bytes.pop_if(|last| *last == end);
    }
    if bytes.len() > LINE_BYTES_MAX {
        return Err(too_long(number));
    }
    Ok(Some(String::from_utf8_lossy(&bytes).into_owned()))
}

fn too_long(line: u64) -> Failure {
    Failure::Failed(format!("line {line}: has more than {LINE_BYTES_MAX} bytes"))
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
