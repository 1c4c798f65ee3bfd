//! What is asked of a process that is not ours: whether it is there, and what it is called.

use rustix::io::Errno;
use rustix::process::{Pid, test_kill_process};

/// Whether there is such a process, whoever's it is.
pub(crate) fn exists(pid: u32) -> bool {
    let pid = i32::try_from(pid).ok().and_then(Pid::from_raw);
    pid.is_some_and(|pid| !matches!(test_kill_process(pid), Err(Errno::SRCH)))
}

/// What the process is called; empty when that cannot be found.
#[cfg(target_os = "linux")]
pub(crate) fn name_of(pid: u32) -> String {
    // A container may be given the machine's `/proc`: there the same number is somebody else.
    let own = std::fs::read_link("/proc/self").unwrap_or_default();
    if own.as_os_str() != std::process::id().to_string().as_str() {
        return String::new();
    }
    let name = std::fs::read(format!("/proc/{pid}/comm")).unwrap_or_default();
    String::from_utf8_lossy(&name).trim_end().to_owned()
}

/// What the process is called; empty when that cannot be found.
#[cfg(not(target_os = "linux"))]
pub(crate) fn name_of(pid: u32) -> String {
    let asked = std::process::Command::new("/bin/ps").args(["-o", "comm=", "-p", &pid.to_string()]).output();
    asked.map(|output| String::from_utf8_lossy(&output.stdout).trim_end().to_owned()).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_process_of_another_user_exists_too() {
        assert!(exists(std::process::id()) && exists(1));
        assert!(!exists(4_194_304) && !exists(0) && !exists(u32::MAX));
    }

    #[test]
    fn a_process_has_a_name() {
        assert!(!name_of(std::process::id()).is_empty());
        assert_eq!(name_of(4_194_304), "");
    }
}
