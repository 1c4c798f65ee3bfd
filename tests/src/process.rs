//! Child processes with a bound, and finding the processes that belong to a directory.

use std::ffi::OsStr;
use std::io::{Read, Write};
use std::process::{Child, Command, Stdio};
use std::thread::JoinHandle;
use std::time::Duration;

use rustix::process::{Pid, Signal, kill_process};
#[cfg(target_os = "linux")]
use rustix::{
    event::{PollFd, PollFlags, Timespec, poll},
    process::{PidfdFlags, pidfd_open},
};

use crate::wait::{BOUND, wait_at_most, wait_until};

/// A process that came to its end.
#[derive(Debug)]
pub struct Finished {
    /// The command line, for messages.
    pub command: String,
    /// Its exit status as shells count it: 128 + signal for a killed one.
    pub status: i32,
    /// What it wrote to stdout.
    pub stdout: String,
    /// What it wrote to stderr.
    pub stderr: String,
}

impl Finished {
    /// Gives itself when the exit status is `status`.
    ///
    /// # Panics
    /// When it is another one, with everything the process said.
    #[track_caller]
    pub fn expect(self, status: i32) -> Self {
        assert_eq!(
            self.status, status,
            "exit status of {}\n--- stdout\n{}--- stderr\n{}",
            self.command, self.stdout, self.stderr
        );
        self
    }
}

/// Runs a command to its end, with no stdin.
///
/// # Panics
/// When it cannot be started or does not end within `bound`; then it is killed first.
#[track_caller]
pub fn run_bounded(command: &mut Command, bound: Duration) -> Finished {
    run_with_input(command, b"", bound)
}

/// As [`run_bounded`], with `input` on stdin.
#[track_caller]
pub fn run_with_input(command: &mut Command, input: &[u8], bound: Duration) -> Finished {
    command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut running = Running::start(command);
    let mut stdin = running.child.stdin.take().unwrap();
    // A command that reads nothing may be gone already: that is not a failure.
    let _ = stdin.write_all(input);
    drop(stdin);
    running.finish(bound)
}

/// A process under way whose output is collected.
pub struct Running {
    command: String,
    /// The process.
    pub child: Child,
    stdout: JoinHandle<String>,
    stderr: JoinHandle<String>,
}

impl Running {
    /// Starts `command` with its output collected. stdin is what the command says.
    #[track_caller]
    pub fn start(command: &mut Command) -> Self {
        command.stdout(Stdio::piped()).stderr(Stdio::piped());
        let shown = format!("{command:?}").replace("env -i ", "");
        let mut child = command.spawn().unwrap_or_else(|error| panic!("{shown}: {error}"));
        let stdout = collect(child.stdout.take().unwrap());
        let stderr = collect(child.stderr.take().unwrap());
        Self { command: shown, child, stdout, stderr }
    }

    /// Sends a signal to the process.
    pub fn signal(&self, signal: Signal) {
        let _ = kill_process(Pid::from_child(&self.child), signal);
    }

    /// Waits for the end of the process and of its output.
    ///
    /// # Panics
    /// When `bound` is over before; the process is killed then.
    #[track_caller]
    pub fn finish(mut self, bound: Duration) -> Finished {
        let ended = wait_at_most(bound, || self.child.try_wait().unwrap());
        // A pipe that a process left behind keeps open must not hang the test either.
        let closed = ended.and_then(|_| {
            wait_at_most(bound, || (self.stdout.is_finished() && self.stderr.is_finished()).then_some(()))
        });
        if closed.is_none() {
            let _ = self.child.kill();
            let _ = self.child.wait();
            let what = if ended.is_some() { "its output is still open" } else { "it was killed" };
            panic!("{} did not end within {bound:?}; {what}", self.command);
        }
        let status = ended.map(exit_status_as_shells_count).unwrap();
        let (stdout, stderr) = (self.stdout.join().unwrap(), self.stderr.join().unwrap());
        Finished { command: self.command, status, stdout, stderr }
    }
}

/// Reads a pipe to its end in a thread of its own.
fn collect(mut pipe: impl Read + Send + 'static) -> JoinHandle<String> {
    std::thread::spawn(move || {
        let mut bytes = Vec::new();
        let _ = pipe.read_to_end(&mut bytes);
        String::from_utf8_lossy(&bytes).into_owned()
    })
}

/// An exit status as shells count it: 128 + signal for a killed process.
pub fn exit_status_as_shells_count(status: std::process::ExitStatus) -> i32 {
    use std::os::unix::process::ExitStatusExt;
    status.code().unwrap_or_else(|| 128 + status.signal().unwrap_or(0))
}

/// A process that is not our child.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Stranger {
    /// Its pid.
    pub pid: u32,
    /// Its command line.
    pub command: String,
}

/// Every living process, but this one, whose command line (on Linux also its environment) contains
/// `mark`. A fixture's directory is such a mark: it has a random name, and everything that runs for
/// the fixture has it in its environment.
pub fn processes_of(mark: &OsStr) -> Vec<Stranger> {
    let found = if cfg!(target_os = "linux") { processes_by_proc(mark) } else { processes_by_ps(mark) };
    found.into_iter().filter(|process| process.pid != std::process::id()).collect()
}

fn processes_by_proc(mark: &OsStr) -> Vec<Stranger> {
    let mut found = Vec::new();
    for entry in std::fs::read_dir("/proc").unwrap().flatten() {
        let Some(pid) = entry.file_name().to_str().and_then(|name| name.parse().ok()) else { continue };
        // Any of these may vanish while it is read: then the process is gone, or going.
        let read = |name: &str| std::fs::read(entry.path().join(name)).unwrap_or_default();
        let (cmdline, environ) = (read("cmdline"), read("environ"));
        if contains(&cmdline, mark) || contains(&environ, mark) {
            let command = String::from_utf8_lossy(&cmdline).replace('\0', " ");
            found.push(Stranger { pid, command });
        }
    }
    found
}

fn processes_by_ps(mark: &OsStr) -> Vec<Stranger> {
    let listed = Command::new("ps").args(["-axww", "-o", "pid=,command="]).output().unwrap();
    let listed = String::from_utf8_lossy(&listed.stdout).into_owned();
    let mark = mark.to_string_lossy();
    let lines = listed.lines().filter(|line| line.contains(&*mark));
    lines
        .filter_map(|line| line.trim().split_once(' '))
        .filter_map(|(pid, command)| Some(Stranger { pid: pid.parse().ok()?, command: command.to_owned() }))
        .collect()
}

fn contains(bytes: &[u8], mark: &OsStr) -> bool {
    let mark = mark.as_encoded_bytes();
    bytes.windows(mark.len()).any(|window| window == mark)
}

/// Sends a signal to a process that is not our child.
pub fn signal_stranger(process: &Stranger, signal: Signal) {
    if let Some(pid) = i32::try_from(process.pid).ok().and_then(Pid::from_raw) {
        let _ = kill_process(pid, signal);
    }
}

/// Ends a process that is not our child and waits until nothing of it is left: its command line is gone from
/// `/proc` before its other threads are, and until then its files are open and its locks held.
#[track_caller]
pub fn end_stranger(process: &Stranger, signal: Signal) {
    let has_ended = watch_stranger(process);
    signal_stranger(process, signal);
    wait_until(&format!("{process:?} has ended"), BOUND, || has_ended().then_some(()));
}

#[cfg(target_os = "linux")]
fn watch_stranger(process: &Stranger) -> impl Fn() -> bool {
    let pid = i32::try_from(process.pid).ok().and_then(Pid::from_raw).unwrap();
    // None when it is gone already.
    let pidfd = pidfd_open(pid, PidfdFlags::empty()).ok();
    move || {
        pidfd.as_ref().is_none_or(|pidfd| {
            let mut ready = [PollFd::new(pidfd, PollFlags::IN)];
            poll(&mut ready, Some(&Timespec::default())) == Ok(1)
        })
    }
}

#[cfg(not(target_os = "linux"))]
fn watch_stranger(process: &Stranger) -> impl Fn() -> bool {
    let pid = i32::try_from(process.pid).ok().and_then(Pid::from_raw).unwrap();
    move || rustix::process::test_kill_process(pid).is_err()
}
