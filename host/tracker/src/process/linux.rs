//! Processes on Linux: procfs(5) and pidfd_open(2).

use std::ffi::OsStr;
use std::fs;
use std::os::linux::fs::MetadataExt;
use std::os::unix::ffi::OsStrExt;
use std::path::PathBuf;
use std::time::Duration;

use rustix::process::{Pid, PidfdFlags, pidfd_open};
use tokio::net::unix::pipe::Receiver;

use super::{Look, ProcessId, exists};

/// How often a process is looked at where it cannot be awaited.
const POLL: Duration = Duration::from_secs(1);

/// What the pid stands for: the beginning is in clock ticks since boot (field 22 of `/proc/PID/stat`).
pub(crate) fn look_at(pid: u32) -> Look {
    match fs::read_to_string(format!("/proc/{pid}/stat")) {
        Ok(stat) => parse_stat(&stat).unwrap_or(Look::Hidden),
        // Not readable is not the same as gone: descriptors run out, and hidepid hides other users'.
        Err(_) if exists(pid) => Look::Hidden,
        Err(_) => Look::Gone,
    }
}

fn parse_stat(stat: &str) -> Option<Look> {
    // The command name may hold blanks and parentheses; the last one ends it.
    let mut fields = stat.get(stat.rfind(')')? + 1..)?.split_ascii_whitespace();
    if matches!(fields.next()?, "Z" | "X" | "x") {
        return Some(Look::Gone);
    }
    fields.nth(18)?.parse().ok().map(Look::Running)
}

/// Names this run of the machine; empty when unknown.
pub(crate) fn boot_id() -> String {
    read_line("/proc/sys/kernel/random/boot_id").unwrap_or_default()
}

/// Names this machine (machine-id(5)); `None` where there is none.
pub(crate) fn machine_id() -> Option<String> {
    read_line("/etc/machine-id").or_else(|| read_line("/var/lib/dbus/machine-id"))
}

/// The pid namespace, by its inode; 0 when unknown.
pub(crate) fn pid_namespace() -> u64 {
    fs::metadata("/proc/self/ns/pid").map_or(0, |metadata| metadata.st_ino())
}

/// Working directory of the process.
pub(crate) fn cwd_of(pid: u32) -> Option<PathBuf> {
    let link = format!("/proc/{pid}/cwd");
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
    let uid = read_line(&format!("/proc/{pid}/loginuid"))?.parse().ok()?;
    (uid != u32::MAX).then_some(uid)
}

/// Terminal of the process's standard input.
pub(crate) fn terminal_of(pid: u32) -> Option<PathBuf> {
    let path = fs::read_link(format!("/proc/{pid}/fd/0")).ok()?;
    (path.starts_with("/dev/pts") || path.to_string_lossy().starts_with("/dev/tty")).then_some(path)
}

/// Waits until that process is gone. A pid that another process has by now counts as gone.
pub(crate) async fn exited(process: &ProcessId) {
    if let Some(fd) = pidfd(process) {
        // The pidfd names the process that has the pid now: only if that is still ours is it worth
        // waiting for, and from here on it cannot be mistaken for another.
        if !process.is_alive() || fd.readable().await.is_ok() {
            return;
        }
    }
    while process.is_alive() {
        tokio::time::sleep(POLL).await;
    }
}

/// A pidfd is no pipe, but what is wanted of it is what this wrapper does: register a descriptor
/// with the reactor and wait until it is readable. (`AsyncFd` has only unsafe constructors left.)
fn pidfd(process: &ProcessId) -> Option<Receiver> {
    let pid = Pid::from_raw(i32::try_from(process.pid).ok()?)?;
    Receiver::from_owned_fd_unchecked(pidfd_open(pid, PidfdFlags::NONBLOCK).ok()?).ok()
}

fn read_line(path: &str) -> Option<String> {
    let text = fs::read_to_string(path).ok()?;
    let line = text.lines().next()?.trim();
    (!line.is_empty()).then(|| line.to_owned())
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "a test may fail by panic")]
mod tests {
    use super::*;

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
    fn what_cannot_be_read_counts_as_alive() {
        assert_eq!(parse_stat("1 (a) b) S 0 0"), None);
        assert_eq!(parse_stat("1 (a) Z) Z 0 0"), Some(Look::Gone));
        assert_eq!(look_at(0), Look::Gone);
        assert!(matches!(look_at(1), Look::Running(_) | Look::Hidden));
    }

    #[tokio::test]
    async fn the_end_of_a_process_is_noticed_even_while_it_is_a_zombie() {
        let mut child = std::process::Command::new("sleep").arg("30").spawn().unwrap();
        let process = ProcessId::of(child.id());
        assert!(tokio::time::timeout(Duration::from_millis(50), exited(&process)).await.is_err());
        child.kill().unwrap();
        tokio::time::timeout(Duration::from_secs(5), exited(&process)).await.unwrap();
        child.wait().unwrap();
    }
}
