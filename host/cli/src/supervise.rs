//! Runs a command in our place: same terminal, same process group, same signals, same exit status.
//!
//! What the terminal sends goes to the whole process group, and so to the command without us; what
//! another process sends to us alone is passed on. The command is never reaped before [`Supervisor`]
//! goes, so that its pid means it and nobody else. Records nothing.

use std::ffi::{OsStr, OsString};
use std::fs::File;
use std::io;
use std::os::unix::process::CommandExt;
use std::process::{Child, Command};
use std::time::SystemTime;

#[cfg(target_os = "linux")]
use nix::libc;
use nix::sys::signal::SigSet;
use nix::unistd::{getpgid, getpgrp, getsid};
use rustix::io::Errno;
use rustix::process::{
    Pid, Signal, WaitId, WaitIdOptions, WaitIdStatus, kill_process, kill_process_group, waitid,
};
#[cfg(target_os = "linux")]
use rustix_libc_wrappers::process::SignalExt as _;
use shelltrack_tracker::EndedAt;
use signal_hook::consts::signal::{
    SIGALRM, SIGCHLD, SIGCONT, SIGHUP, SIGINT, SIGIO, SIGPROF, SIGQUIT, SIGSTOP, SIGTERM, SIGTSTP, SIGUSR1,
    SIGUSR2, SIGVTALRM, SIGWINCH, SIGXCPU, SIGXFSZ,
};
use signal_hook::iterator::SignalsInfo;
use signal_hook::iterator::exfiltrator::WithOrigin;
use signal_hook::low_level::siginfo::{Cause, Origin};

use crate::failure::{NOT_EXECUTABLE, NOT_FOUND, SIGNALED};
use crate::inherited::hand_on;
use crate::places::find_program;

/// Signals a command may expect from outside, besides those of its system alone. Left alone are those that
/// say we ourselves did wrong, and SIGTTIN and SIGTTOU, which stop us together with the command as they are
/// meant to.
const PASSED_ON: [i32; 14] = [
    SIGHUP, SIGINT, SIGQUIT, SIGTERM, SIGUSR1, SIGUSR2, SIGALRM, SIGVTALRM, SIGPROF, SIGIO, SIGWINCH,
    SIGTSTP, SIGXCPU, SIGXFSZ,
];

/// All of them. Two below `SIGRTMIN` belong to the C library (signal(7)).
#[cfg(target_os = "linux")]
fn passed_on() -> impl Iterator<Item = i32> {
    let named = PASSED_ON.into_iter().chain([libc::SIGPWR, libc::SIGSTKFLT]);
    named.chain(libc::SIGRTMIN()..=libc::SIGRTMAX())
}

/// All of them.
#[cfg(not(target_os = "linux"))]
fn passed_on() -> impl Iterator<Item = i32> {
    PASSED_ON.into_iter()
}

/// The signal of that number.
#[cfg(target_os = "linux")]
fn numbered(signal: i32) -> Option<Signal> {
    Signal::from_raw(signal)
}

/// The signal of that number.
#[cfg(not(target_os = "linux"))]
fn numbered(signal: i32) -> Option<Signal> {
    Signal::from_named_raw(signal)
}

/// Why a command did not start.
#[derive(Debug)]
pub(crate) struct NotStarted {
    /// 126 or 127, as shells count.
    pub(crate) status: u8,
    /// What the system said.
    pub(crate) error: io::Error,
}

impl From<io::Error> for NotStarted {
    fn from(error: io::Error) -> Self {
        let not_found = error.kind() == io::ErrorKind::NotFound;
        Self { status: if not_found { NOT_FOUND } else { NOT_EXECUTABLE }, error }
    }
}

/// How a command ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Ended {
    /// By itself, with this status.
    Exited(i32),
    /// By this signal.
    Killed(i32),
}

impl Ended {
    /// As shells count it.
    pub(crate) fn status(self) -> i32 {
        match self {
            Self::Exited(status) => status,
            Self::Killed(signal) => SIGNALED + signal,
        }
    }
}

/// Stands between a command and whoever started us.
pub(crate) struct Supervisor {
    signals: SignalsInfo<WithOrigin>,
    late: Vec<i32>,
    stopped: bool,
    interrupted: bool,
    /// We were stopped since the command was last seen alive.
    slept: bool,
    /// When the command was last seen alive.
    lived: SystemTime,
}

impl Supervisor {
    /// Takes over signals. What we were started to ignore, as by `nohup`, stays ignored: the command
    /// inherits that. Where the system does not tell what is ignored, the takeover waits for
    /// [`Self::launch`], since a command never inherits a handler.
    pub(crate) fn prepare() -> io::Result<Self> {
        let (early, late): (Vec<i32>, _) = match ignored() {
            Some(ignored) => (passed_on().filter(|s| ignored & bit(*s) == 0).collect(), Vec::new()),
            None => (Vec::new(), passed_on().collect()),
        };
        let signals = SignalsInfo::new([SIGCHLD, SIGCONT].into_iter().chain(early))?;
        let lived = SystemTime::now();
        Ok(Self { signals, late, stopped: false, interrupted: false, slept: false, lived })
    }

    /// Starts the command.
    pub(crate) fn launch(
        &mut self,
        program: &OsStr,
        arguments: &[OsString],
        session_key: &str,
    ) -> Result<Child, NotStarted> {
        let started = command(program, arguments, session_key).spawn();
        let child = match started {
            Err(error) if error.raw_os_error() == Some(Errno::NOEXEC.raw_os_error()) => {
                by_shell(program, arguments, session_key, error)
            }
            other => other,
        };
        // Whoever started us may have blocked signals, SIGCHLD among them, and we would wait for ever. The
        // command has inherited the mask by now, as it would have had it without us.
        let _ = SigSet::all().thread_unblock();
        for signal in std::mem::take(&mut self.late) {
            drop(self.signals.add_signal(signal));
        }
        child.map_err(NotStarted::from)
    }

    /// Waits until the command has ended, passing on signals and stopping and continuing with it.
    pub(crate) fn watch(&mut self, child: Pid) -> io::Result<Ended> {
        loop {
            while let Some(status) = look(child, WaitIdOptions::EXITED | WaitIdOptions::NOWAIT)
                .transpose()
                .or_else(|| look(child, WaitIdOptions::STOPPED | WaitIdOptions::CONTINUED).transpose())
            {
                let status = status?;
                if let Some(ended) = ended(&status) {
                    return Ok(ended);
                }
                self.lived = SystemTime::now();
                self.stopped = status.stopped();
                if self.stopped {
                    self.stop_as_well(child)?;
                }
            }
            (self.lived, self.slept) = (SystemTime::now(), false);
            let arrived: Vec<Origin> = self.signals.wait().collect();
            for origin in arrived {
                self.pass_on(&origin, child);
            }
        }
    }

    /// When the command ended: now, where [`Self::watch`] has just returned, unless we were stopped.
    pub(crate) fn ended_at(&mut self) -> EndedAt {
        let over = SystemTime::now();
        let continued = self.signals.pending().any(|origin| origin.signal == SIGCONT);
        match self.slept || continued {
            true => EndedAt::Between { lived: self.lived, over },
            false => EndedAt::Then(over),
        }
    }

    /// Whether the terminal interrupted both of us.
    pub(crate) fn was_interrupted(&self) -> bool {
        self.interrupted
    }

    /// The command is stopped: so are we, for the shell that waits for us to notice, unless nobody
    /// could ever continue us. Returns once we are continued.
    fn stop_as_well(&mut self, child: Pid) -> io::Result<()> {
        let ended = look(child, WaitIdOptions::EXITED | WaitIdOptions::NOWAIT)?.is_some();
        if ended || look(child, WaitIdOptions::CONTINUED)?.is_some() {
            self.stopped = false;
        } else if is_under_job_control() {
            signal_hook::low_level::raise(SIGSTOP)?;
            self.slept = true;
        }
        Ok(())
    }

    fn pass_on(&mut self, origin: &Origin, child: Pid) {
        match origin.signal {
            SIGCHLD => {}
            SIGCONT => {
                self.slept = true;
                self.continue_as_well(child);
            }
            signal if is_sent_to_us(origin, child) => {
                if let Some(signal) = numbered(signal) {
                    // The command may have become another user's, or be gone by now.
                    let _ = kill_process(child, signal);
                }
            }
            SIGINT => self.interrupted = true,
            _ => {}
        }
    }

    /// We were continued: so is the command, if it was not already.
    fn continue_as_well(&mut self, child: Pid) {
        if !self.stopped {
            return;
        }
        self.stopped = false;
        if matches!(look(child, WaitIdOptions::CONTINUED), Ok(Some(_))) {
            return;
        }
        // A shell puts itself into a group of its own.
        let own_group = getpgid(Some(nix::unistd::Pid::from_raw(child.as_raw_pid())))
            .is_ok_and(|group| group.as_raw() == child.as_raw_pid());
        let _ = match own_group {
            true => kill_process_group(child, Signal::CONT),
            false => kill_process(child, Signal::CONT),
        };
    }
}

fn command(program: &OsStr, arguments: &[OsString], session_key: &str) -> Command {
    let mut command = Command::new(program);
    hand_on(command.args(arguments).env("SHELLTRACK_SESSION", session_key));
    command
}

/// Becomes the command, where it cannot be supervised. Returns only when that fails.
pub(crate) fn become_it(program: &OsStr, arguments: &[OsString], session_key: &str) -> NotStarted {
    command(program, arguments, session_key).exec().into()
}

/// A script without `#!`: `execvp` and every shell hand it to the system's shell (POSIX, `exec`).
fn by_shell(program: &OsStr, arguments: &[OsString], key: &str, error: io::Error) -> io::Result<Child> {
    let Some(path) = find_program(program) else { return Err(error) };
    let arguments: Vec<OsString> =
        [path.into_os_string()].into_iter().chain(arguments.iter().cloned()).collect();
    command(OsStr::new("/bin/sh"), &arguments, key).spawn()
}

fn look(child: Pid, what: WaitIdOptions) -> io::Result<Option<WaitIdStatus>> {
    match waitid(WaitId::Pid(child), what | WaitIdOptions::NOHANG) {
        // Whoever asks an ended child for anything but its end is told that there is none. It ended after
        // the look that asked for its end, and the next one sees that.
        Err(Errno::CHILD) if !what.contains(WaitIdOptions::EXITED) => Ok(None),
        looked => Ok(looked?),
    }
}

fn ended(status: &WaitIdStatus) -> Option<Ended> {
    match (status.exit_status(), status.terminating_signal()) {
        (Some(status), _) => Some(Ended::Exited(status)),
        (None, Some(signal)) => Some(Ended::Killed(signal)),
        (None, None) => None,
    }
}

/// Whether another process meant us: the kernel's signals come from the terminal and reach the command
/// as well, and so does what the command sends to its whole group. Alarms that go off were set before we became
/// this program (`perl -e 'alarm 9; exec …'`), and for the command: it inherits none.
fn is_sent_to_us(origin: &Origin, child: Pid) -> bool {
    let sender = origin.process.map(|process| process.pid);
    let own = rustix::process::getpid().as_raw_pid();
    match origin.cause {
        // Linux names ourselves where a file became too large (SIGXFSZ).
        Cause::Sent(_) => ![Some(child.as_raw_pid()), Some(own)].contains(&sender),
        _ if [SIGALRM, SIGVTALRM, SIGPROF].contains(&origin.signal) => true,
        // Some systems name no cause, yet a sender where there is one.
        Cause::Unknown => sender.is_some_and(|pid| pid > 0 && pid != child.as_raw_pid()),
        _ => false,
    }
}

/// Whether a shell could continue us once we are stopped: there is a terminal, and our process group is
/// not that of the session's leader, which is then such a shell (POSIX, 11.1.4: orphaned groups).
///
/// In a pid namespace a leader outside has the number 0 (pid_namespaces(7)), which rustix takes for
/// impossible and nix for a number; with both leaders outside nobody in here could continue us.
fn is_under_job_control() -> bool {
    getsid(None).is_ok_and(|session| session != getpgrp()) && File::open("/dev/tty").is_ok()
}

const fn bit(signal: i32) -> u64 {
    1 << (signal - 1)
}

/// Signals we were started to ignore, as a mask; `None` when the system does not tell.
#[cfg(target_os = "linux")]
fn ignored() -> Option<u64> {
    let status = std::fs::read_to_string("/proc/self/status").ok()?;
    let mask = status.lines().find_map(|line| line.strip_prefix("SigIgn:"))?;
    u64::from_str_radix(mask.trim(), 16).ok()
}

/// Signals we were started to ignore, as a mask; `None` when the system does not tell.
#[cfg(not(target_os = "linux"))]
fn ignored() -> Option<u64> {
    None
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "a test may fail by panic")]
mod tests {
    use super::*;

    fn run(line: &[&str]) -> Result<Ended, NotStarted> {
        let mut supervisor = Supervisor::prepare().unwrap();
        let (program, arguments) = line.split_first().unwrap();
        let arguments: Vec<_> = arguments.iter().map(OsString::from).collect();
        let mut child = supervisor.launch(OsStr::new(program), &arguments, "key")?;
        let ended = supervisor.watch(Pid::from_child(&child)).unwrap();
        child.wait().unwrap();
        Ok(ended)
    }

    #[test]
    fn the_commands_status_is_told() {
        assert_eq!(run(&["sh", "-c", "exit 7"]).unwrap(), Ended::Exited(7));
        assert_eq!(run(&["sh", "-c", "test \"$SHELLTRACK_SESSION\" = key"]).unwrap().status(), 0);
    }

    #[test]
    fn a_killed_command_counts_as_128_and_the_signal() {
        let ended = run(&["sh", "-c", "kill -9 $$"]).unwrap();
        assert_eq!((ended, ended.status()), (Ended::Killed(9), 137));
    }

    #[test]
    fn a_command_that_does_not_exist_is_told_from_one_that_cannot_be_executed() {
        assert_eq!(run(&["no-such-command-anywhere"]).unwrap_err().status, NOT_FOUND);
        assert_eq!(run(&["/"]).unwrap_err().status, NOT_EXECUTABLE);
    }

    #[test]
    fn a_script_without_an_interpreter_is_run_by_the_shell() {
        use std::os::unix::fs::PermissionsExt;
        let home = tempfile::tempdir().unwrap();
        let script = home.path().join("script");
        std::fs::write(&script, "exit $1\n").unwrap();
        std::fs::set_permissions(&script, std::fs::Permissions::from_mode(0o700)).unwrap();
        assert_eq!(run(&[script.to_str().unwrap(), "9"]).unwrap(), Ended::Exited(9));
    }

    #[test]
    fn a_command_that_ends_between_two_looks_is_not_lost() {
        let mut child = Command::new("true").spawn().unwrap();
        let pid = Pid::from_child(&child);
        waitid(WaitId::Pid(pid), WaitIdOptions::EXITED | WaitIdOptions::NOWAIT).unwrap();
        assert!(look(pid, WaitIdOptions::STOPPED | WaitIdOptions::CONTINUED).unwrap().is_none());
        assert_eq!(Supervisor::prepare().unwrap().watch(pid).unwrap(), Ended::Exited(0));
        child.wait().unwrap();
    }

    #[test]
    fn a_command_that_stops_itself_is_seen_to_its_end() {
        let script = "(sleep 0.1; kill -CONT $$) & kill -STOP $$; exit 3";
        // Only without job control: with it, this very process would stop.
        if !is_under_job_control() {
            assert_eq!(run(&["sh", "-c", script]).unwrap(), Ended::Exited(3));
        }
    }
}
