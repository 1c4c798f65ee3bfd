//! Processes on Linux: procfs(5) and pidfd_open(2).

use std::collections::HashMap;
use std::ffi::OsStr;
use std::os::fd::{AsRawFd, OwnedFd};
use std::os::linux::fs::MetadataExt;
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};
use std::sync::OnceLock;
use std::{fs, io};

use rustix::buffer::spare_capacity;
use rustix::event::{Timespec, epoll};
use rustix::io::Errno;
use rustix::process::{Pid, PidfdFlags, Resource, getrlimit, pidfd_open};

use super::{Look, exists};

/// Ends taken from the kernel at once.
const BATCH: usize = 64;
/// Descriptors that stay free for files and connections: an agent that watches is to deliver as well.
const DESCRIPTORS_FREE: u64 = 24;

/// What the pid stands for: the beginning is in clock ticks since boot (field 22 of `/proc/PID/stat`).
pub(crate) fn look_at(pid: u32) -> Look {
    match told_of(pid, "stat").and_then(|stat| fs::read_to_string(stat).ok()) {
        Some(stat) => parse_stat(&stat).unwrap_or(Look::Hidden),
        // Not readable is not the same as gone: descriptors run out, and hidepid hides other users'.
        None if exists(pid) => Look::Hidden,
        None => Look::Gone,
    }
}

/// Whether it was stopped by a signal or a debugger; `false` where that cannot be read.
pub(crate) fn is_stopped(pid: u32) -> bool {
    let stat = told_of(pid, "stat").and_then(|stat| fs::read_to_string(stat).ok()).unwrap_or_default();
    // The command name may hold blanks and parentheses; the last one ends it.
    let state = stat.rsplit(')').next().and_then(|rest| rest.split_ascii_whitespace().next());
    matches!(state, Some("T" | "t"))
}

/// What the system tells of a process. `None` where there is no `/proc`, or it is that of another pid
/// namespace (a container that was given the machine's): there the same number is somebody else.
fn told_of(pid: u32, what: &str) -> Option<PathBuf> {
    is_proc_ours().then(|| PathBuf::from(format!("/proc/{pid}/{what}")))
}

fn is_proc_ours() -> bool {
    static OURS: OnceLock<bool> = OnceLock::new();
    let own =
        || fs::read_link("/proc/self").is_ok_and(|own| own == Path::new(&std::process::id().to_string()));
    *OURS.get_or_init(own)
}

fn parse_stat(stat: &str) -> Option<Look> {
    // The command name may hold blanks and parentheses; the last one ends it.
    let mut fields = stat.get(stat.rfind(')')? + 1..)?.split_ascii_whitespace();
    let is_over = matches!(fields.next()?, "Z" | "X" | "x");
    // proc_pid_stat(5): (20) num_threads, (22) starttime.
    let threads: u64 = fields.nth(16)?.parse().ok()?;
    let started = fields.nth(1)?.parse().ok()?;
    Some(match (is_over, threads) {
        (false, _) => Look::Running(started),
        (true, 0 | 1) => Look::Gone,
        (true, _) => Look::Headless(started),
    })
}

/// Names this run of the machine; empty when unknown.
pub(crate) fn boot_id() -> String {
    read_line("/proc/sys/kernel/random/boot_id").unwrap_or_default()
}

/// How long this run of the machine lasts, also while it slept; the wall clock has no part in it.
pub(crate) fn since_boot() -> std::time::Duration {
    let now = rustix::time::clock_gettime(rustix::time::ClockId::Boottime);
    std::time::Duration::from_secs(u64::try_from(now.tv_sec).unwrap_or_default())
}

/// Names this machine (machine-id(5)); `None` where there is none.
pub(crate) fn machine_id() -> Option<String> {
    read_line("/etc/machine-id").or_else(|| read_line("/var/lib/dbus/machine-id"))
}

/// The pid namespace, by its inode; 0 when unknown.
pub(crate) fn pid_namespace() -> u64 {
    fs::metadata("/proc/self/ns/pid").map_or(0, |metadata| metadata.st_ino())
}

/// Whether no process is left in a pid namespace. Only the first namespace sees all processes, and only
/// one's own can be asked; where that does not suffice nothing is gone.
pub(crate) fn is_namespace_gone(inode: u64) -> bool {
    /// Inode of the namespace the machine starts with (`PROC_PID_INIT_INO`, linux/proc_ns.h).
    const FIRST: u64 = 0xEFFF_FFFC;
    if pid_namespace() != FIRST {
        return false;
    }
    let Ok(processes) = fs::read_dir("/proc") else { return false };
    let me = rustix::process::geteuid().as_raw();
    let pids = processes.flatten().filter_map(|entry| entry.file_name().to_str()?.parse().ok());
    pids.map(|pid: u32| (pid, PathBuf::from(format!("/proc/{pid}")))).all(|(pid, process)| {
        match fs::metadata(process.join("ns/pid")) {
            Ok(namespace) => namespace.st_ino() != inode,
            // The first process is in the first namespace, also where it lets nobody look.
            Err(_) if pid == 1 => true,
            // One that has ended, if only nobody has taken note of it yet, or another user's: our sessions'
            // shells are ours.
            Err(_) => {
                look_at(pid) == Look::Gone
                    || fs::metadata(&process).map_or(true, |process| process.st_uid() != me)
            }
        }
    })
}

/// Working directory of the process.
pub(crate) fn cwd_of(pid: u32) -> Option<PathBuf> {
    let link = told_of(pid, "cwd")?;
    let path = fs::read_link(&link).ok()?;
    // The kernel marks a directory that was removed; the mark is no part of its name.
    if fs::metadata(&link).is_ok_and(|directory| directory.st_nlink() == 0) {
        let bytes = path.as_os_str().as_bytes();
        let name = bytes.strip_suffix(b" (deleted)").unwrap_or(bytes);
        return Some(PathBuf::from(OsStr::from_bytes(name)));
    }
    Some(path)
}

/// User id of the login the process belongs to; `None` when it was never set.
pub(crate) fn login_uid(pid: u32) -> Option<u32> {
    let uid = read_line(told_of(pid, "loginuid")?)?.parse().ok()?;
    (uid != u32::MAX).then_some(uid)
}

/// Terminal of the process's standard input.
pub(crate) fn terminal_of(pid: u32) -> Option<PathBuf> {
    let path = fs::read_link(told_of(pid, "fd/0")?).ok()?;
    (path.starts_with("/dev/pts") || path.to_string_lossy().starts_with("/dev/tty")).then_some(path)
}

/// Tells which of many processes ended: one epoll(7) over their pidfds, so that ten thousand open
/// sessions are ten thousand descriptors and next to no memory.
pub(super) struct Queue {
    epoll: OwnedFd,
    pidfds: HashMap<u64, OwnedFd>,
}

impl Queue {
    pub(super) fn new() -> io::Result<Self> {
        Ok(Self { epoll: epoll::create(epoll::CreateFlags::CLOEXEC)?, pidfds: HashMap::new() })
    }

    /// Whether the process that has the pid now will be told of. It may be another one than meant.
    pub(super) fn add(&mut self, token: u64, pid: u32) -> io::Result<()> {
        let pid = i32::try_from(pid).ok().and_then(Pid::from_raw).ok_or(io::ErrorKind::InvalidInput)?;
        let pidfd = pidfd_open(pid, PidfdFlags::NONBLOCK)?;
        // The lowest free number is given out, so the number tells how many are taken.
        let taken = u64::try_from(pidfd.as_raw_fd()).unwrap_or(0);
        if getrlimit(Resource::Nofile).current.is_some_and(|limit| taken + DESCRIPTORS_FREE > limit) {
            return Err(Errno::MFILE.into());
        }
        epoll::add(&self.epoll, &pidfd, epoll::EventData::new_u64(token), epoll::EventFlags::IN)?;
        self.pidfds.insert(token, pidfd);
        Ok(())
    }

    pub(super) fn remove(&mut self, token: u64) {
        if let Some(pidfd) = self.pidfds.remove(&token) {
            // Closing the pidfd takes it out as well.
            _ = epoll::delete(&self.epoll, &pidfd);
        }
    }

    /// Those that ended since it was last asked, at most some of them.
    pub(super) fn take_ended(&mut self) -> io::Result<Vec<u64>> {
        let mut events = Vec::with_capacity(BATCH);
        epoll::wait(&self.epoll, spare_capacity(&mut events), Some(&Timespec { tv_sec: 0, tv_nsec: 0 }))?;
        let tokens: Vec<u64> = events.iter().map(|event: &epoll::Event| event.data.u64()).collect();
        tokens.iter().for_each(|token| self.remove(*token));
        Ok(tokens)
    }

    /// Readable when a process ended.
    pub(super) fn descriptor(&self) -> io::Result<OwnedFd> {
        self.epoll.try_clone()
    }
}

fn read_line(path: impl AsRef<Path>) -> Option<String> {
    let text = fs::read_to_string(path).ok()?;
    let line = text.lines().next()?.trim();
    (!line.is_empty()).then(|| line.to_owned())
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "a test may fail by panic")]
mod tests {
    use super::*;
    use crate::process::ProcessId;

    #[test]
    fn this_process_is_alive_and_a_reused_pid_is_not() {
        let me = ProcessId::of(std::process::id());
        assert!(me.is_alive());
        let other = ProcessId { started: me.started.map(|ticks| ticks + 1), ..me.clone() };
        assert!(!other.is_alive());
        let earlier = ProcessId { boot: "another-boot".to_owned(), ..me };
        assert!(earlier.is_of_an_earlier_boot() && !earlier.is_alive());
    }

    #[test]
    fn a_zombie_keeps_no_namespace_alive() {
        let mut child = std::process::Command::new("true").spawn().unwrap();
        while look_at(child.id()) != Look::Gone {
            std::thread::yield_now();
        }
        // No namespace has that inode; only the first one can tell.
        let is_first = pid_namespace() == 0xEFFF_FFFC;
        assert_eq!(is_namespace_gone(1), is_first);
        child.wait().unwrap();
    }

    #[test]
    fn what_cannot_be_read_counts_as_alive() {
        let stat = |state, threads| {
            parse_stat(&format!("1 (a) Z) {state} 1 1 1 0 -1 0 0 0 0 0 0 0 0 0 20 0 {threads} 0 4711 0 0"))
        };
        assert_eq!(parse_stat("1 (a) b) S 0 0"), None);
        assert_eq!(stat("S", 1), Some(Look::Running(4711)));
        assert_eq!(stat("Z", 1), Some(Look::Gone));
        assert_eq!(stat("Z", 2), Some(Look::Headless(4711)));
        assert_eq!(look_at(0), Look::Gone);
        assert!(matches!(look_at(1), Look::Running(_) | Look::Hidden));
    }
}
