//! A Session-Buddy as a child process: its pipes, its noise and its end.
//!
//! The child leads a process group of its own, so that what is typed at a terminal does not reach
//! it. Lines on its stdout that are no JSON-RPC messages are skipped (a plain Python server logs
//! there); they and its stderr are kept, a few lines of each, to say why it ended.

use std::collections::VecDeque;
use std::path::Path;
use std::process::{ExitStatus, Stdio};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use rustix::process::{Pid, Signal, kill_process_group};
use shelltrack_sandbox::types::Outcome;
use tokio::io::{
    AsyncBufReadExt as _, AsyncRead, AsyncReadExt as _, AsyncWriteExt as _, BufReader, SimplexStream,
    WriteHalf,
};
use tokio::process::{Child, ChildStdin, ChildStdout, Command};
use tokio::sync::{oneshot, watch};
use tokio::task::JoinHandle;
use tokio::time::timeout;

use super::ANSWER_BYTES_MAX;
use super::failure::CallError;

/// How long a child may take to end once its stdin is closed, and again once it is asked by a signal.
const CLOSE_GRACE: Duration = Duration::from_secs(2);
/// How long to wait for the exit status of a child whose stdout has just ended.
const LAST_WORDS_WAIT: Duration = Duration::from_millis(300);
/// Lines kept of what a child says besides messages: a traceback's end, not the traceback.
const NOISE_LINES_MAX: usize = 4;
/// Bytes kept of each such line.
const NOISE_LINE_BYTES_MAX: usize = 240;
/// Bytes in flight between the filter and the reader of messages.
const PIPE_BYTES: usize = 64 << 10;

/// What is left to do with a child besides talking to it.
pub(super) struct Keeper {
    program: String,
    noise: Noise,
    ended: watch::Receiver<Option<String>>,
    stop: oneshot::Sender<()>,
    task: JoinHandle<()>,
}

/// Starts the program. Gives its filtered stdout and its stdin.
pub(super) fn spawn(
    command: &Path,
    args: &[String],
) -> Result<(tokio::io::ReadHalf<SimplexStream>, ChildStdin, Keeper), CallError> {
    let program = command.display().to_string();
    let cannot = |why: &str| CallError::new(Outcome::Unreachable, format!("cannot start {program}: {why}"));
    let mut child = Command::new(command)
        .args(args)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .process_group(0)
        .kill_on_drop(true)
        .spawn()
        .map_err(|error| cannot(&error.to_string()))?;
    let pipes = (child.stdin.take(), child.stdout.take(), child.stderr.take());
    let (Some(stdin), Some(stdout), Some(stderr)) = pipes else {
        return Err(cannot("its pipes are missing"));
    };
    let noise = Noise::default();
    let (read, write) = tokio::io::simplex(PIPE_BYTES);
    tokio::spawn(pass_messages(stdout, write, noise.clone()));
    tokio::spawn(drain(stderr, noise.clone()));
    let (stop, stopped) = oneshot::channel();
    let (tell, ended) = watch::channel(None);
    let task = tokio::spawn(keep(child, stopped, tell));
    Ok((read, stdin, Keeper { program, noise, ended, stop, task }))
}

impl Keeper {
    /// Why nothing more comes from the child.
    pub(super) async fn why_closed(&self) -> CallError {
        let mut ended = self.ended.clone();
        let how = match timeout(LAST_WORDS_WAIT, ended.wait_for(Option::is_some)).await {
            Ok(Ok(how)) => how.clone().unwrap_or_default(),
            _ => "closed its output".to_owned(),
        };
        let (outcome, words) = self.noise.summary();
        CallError::new(outcome, format!("{} {how}{words}", self.program))
    }

    /// Lets the child end by itself, then kills it. Its stdin must be closed before.
    pub(super) async fn close(self) {
        // When the task is gone already, so is the child.
        let _ = self.stop.send(());
        let _ = self.task.await;
    }
}

/// Waits for the child's end, or ends it: gently when asked to, at once when nobody cares any more.
async fn keep(mut child: Child, stop: oneshot::Receiver<()>, tell: watch::Sender<Option<String>>) {
    // Declared after the child, hence dropped before it: the group is killed while its number is
    // still the child's.
    let mut group = Group(child.id().and_then(|id| Pid::from_raw(i32::try_from(id).ok()?)));
    let asked = tokio::select! {
        status = child.wait() => {
            group.release();
            tell.send_replace(Some(describe(status)));
            return;
        }
        asked = stop => asked.is_ok(),
    };
    if asked {
        for signal in [None, Some(Signal::TERM)] {
            if let Some(signal) = signal {
                group.send(signal);
            }
            if timeout(CLOSE_GRACE, child.wait()).await.is_ok() {
                group.release();
                return;
            }
        }
    }
    group.send(Signal::KILL);
    let _ = child.wait().await;
    group.release();
}

fn describe(status: std::io::Result<ExitStatus>) -> String {
    match status {
        Ok(status) => format!("ended ({status})"),
        Err(error) => format!("cannot be waited for ({error})"),
    }
}

/// A process group that does not outlive its keeper.
struct Group(Option<Pid>);

impl Group {
    fn send(&self, signal: Signal) {
        if let Some(pid) = self.0 {
            // Fails only when the group is gone, which is what is wanted.
            let _ = kill_process_group(pid, signal);
        }
    }

    /// The leader was waited for: its number may belong to somebody else from now on.
    fn release(&mut self) {
        self.0 = None;
    }
}

impl Drop for Group {
    fn drop(&mut self) {
        self.send(Signal::KILL);
    }
}

/// What a child says besides messages.
#[derive(Clone, Default)]
struct Noise(Arc<Mutex<Heard>>);

#[derive(Default)]
struct Heard {
    lines: VecDeque<String>,
    overlong: bool,
}

impl Noise {
    fn hear(&self, line: &[u8]) {
        let line =
            String::from_utf8_lossy(line.get(..NOISE_LINE_BYTES_MAX).unwrap_or(line)).trim().to_owned();
        if line.is_empty() {
            return;
        }
        let mut heard = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        heard.lines.push_back(line);
        if heard.lines.len() > NOISE_LINES_MAX {
            heard.lines.pop_front();
        }
    }

    fn hear_overlong(&self) {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).overlong = true;
    }

    /// What it means and its last lines, newest first, since a message may be cut.
    fn summary(&self) -> (Outcome, String) {
        let heard = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if heard.overlong {
            return (Outcome::Garbled, ": it wrote a line that is too long for a message".to_owned());
        }
        let lines: Vec<&str> = heard.lines.iter().rev().map(String::as_str).collect();
        let words =
            if lines.is_empty() { String::new() } else { format!("; its last words: {}", lines.join(" | ")) };
        (Outcome::Unreachable, words)
    }
}

/// Noise on stdout between two messages that is put up with: a server logs some lines while it starts;
/// what never stops is no server.
const NOISE_BYTES_MAX: usize = 4 << 20;

/// Passes on the lines that are messages, remembers the others.
async fn pass_messages(stdout: ChildStdout, mut sink: WriteHalf<SimplexStream>, noise: Noise) {
    let mut stdout = BufReader::new(stdout);
    let mut line = Vec::new();
    let mut noise_bytes = 0;
    loop {
        match read_line(&mut stdout, &mut line, ANSWER_BYTES_MAX).await {
            Some(Line::Whole) if is_message(&line) => {
                noise_bytes = 0;
                if sink.write_all(&line).await.is_err() {
                    break;
                }
            }
            Some(Line::Whole) if noise_bytes < NOISE_BYTES_MAX => {
                noise_bytes += line.len();
                noise.hear(&line);
            }
            Some(Line::Whole | Line::Overlong) => {
                noise.hear_overlong();
                break;
            }
            None => break,
        }
    }
    // Ends the reader's stream; a frame without its end was never passed on.
    let _ = sink.shutdown().await;
}

/// A JSON object that claims to be JSON-RPC. Other JSON is a log line too, and the library would
/// answer it with an error that the server cannot place.
fn is_message(line: &[u8]) -> bool {
    line.trim_ascii_start().starts_with(b"{") && line.windows(9).any(|window| window == b"\"jsonrpc\"")
}

/// Empties stderr, however much comes.
async fn drain(stderr: impl AsyncRead + Unpin, noise: Noise) {
    let mut stderr = BufReader::new(stderr);
    let mut line = Vec::new();
    while read_line(&mut stderr, &mut line, NOISE_LINE_BYTES_MAX).await.is_some() {
        noise.hear(&line);
    }
}

enum Line {
    Whole,
    Overlong,
}

/// Reads one line with its end into `line`; `None` at the end of the stream, whose last line without
/// an end counts as whole.
async fn read_line(
    from: &mut (impl tokio::io::AsyncBufRead + Unpin),
    line: &mut Vec<u8>,
    bytes_max: usize,
) -> Option<Line> {
    line.clear();
    let limit = u64::try_from(bytes_max).unwrap_or(u64::MAX);
    match from.take(limit).read_until(b'\n', line).await {
        Ok(0) | Err(_) => None,
        Ok(_) if line.ends_with(b"\n") || line.len() < bytes_max => Some(Line::Whole),
        Ok(_) => Some(Line::Overlong),
    }
}
