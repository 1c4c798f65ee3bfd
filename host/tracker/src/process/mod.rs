//! Which process is meant: a pid alone is not enough, since pids are used again. What differs
//! between systems is in `linux.rs` and `other.rs`; nothing else here asks which system this is.

use std::sync::OnceLock;

use serde::{Deserialize, Serialize};

mod exits;
#[cfg(target_os = "linux")]
mod linux;
#[cfg(target_os = "linux")]
use linux::Queue;
#[cfg(target_os = "linux")]
pub(crate) use linux::{
    boot_id, cwd_of, is_namespace_gone, is_stopped, login_uid, look_at, machine_id, pid_namespace,
    since_boot, terminal_of,
};

#[cfg(not(target_os = "linux"))]
mod other;
#[cfg(not(target_os = "linux"))]
use other::Queue;
#[cfg(not(target_os = "linux"))]
pub(crate) use other::{
    boot_id, cwd_of, is_namespace_gone, is_stopped, login_uid, look_at, machine_id, pid_namespace,
    since_boot, terminal_of,
};

pub(crate) use exits::Exits;

/// What a pid stands for now.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Look {
    /// A process that began then, in the system's own unit.
    Running(u64),
    /// One whose main thread is over while others go on: for a program that means it so, or for a moment while a
    /// signal kills it.
    #[cfg_attr(not(target_os = "linux"), expect(dead_code, reason = "only procfs tells"))]
    Headless(u64),
    /// No process, or only its zombie.
    Gone,
    /// A process of which nothing can be read: no descriptor is free, `/proc` is hidden or not there.
    Hidden,
}

/// One process, for good: its pid, when it began, and in which run of the machine.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct ProcessId {
    /// The pid.
    pub(crate) pid: u32,
    /// When the process began, in the system's own unit; `None` when that could not be read.
    pub(crate) started: Option<u64>,
    /// The run of the machine it belongs to; empty when that could not be read.
    pub(crate) boot: String,
}

impl ProcessId {
    /// The process that has this pid now.
    pub(crate) fn of(pid: u32) -> Self {
        let started = match look_at(pid) {
            Look::Running(started) | Look::Headless(started) => Some(started),
            Look::Gone | Look::Hidden => None,
        };
        Self { pid, started, boot: this_boot().to_owned() }
    }

    /// Whether the machine was started again since.
    pub(crate) fn is_of_an_earlier_boot(&self) -> bool {
        let now = this_boot();
        !self.boot.is_empty() && !now.is_empty() && self.boot != now
    }

    /// Whether exactly this process still runs. Where that cannot be told for sure it counts as
    /// running: nothing is ever ended that may still live.
    pub(crate) fn is_alive(&self) -> bool {
        !self.is_of_an_earlier_boot()
            && match look_at(self.pid) {
                Look::Gone => false,
                Look::Hidden => true,
                Look::Running(now) | Look::Headless(now) => self.started.is_none_or(|started| started == now),
            }
    }

    /// Whether it runs and can do its work, being a program that does nothing without its main thread.
    pub(crate) fn is_whole(&self) -> bool {
        !matches!(look_at(self.pid), Look::Headless(_)) && self.is_alive()
    }

    /// Whether it lives and does nothing until somebody lets it go on.
    pub(crate) fn is_stopped(&self) -> bool {
        self.is_alive() && is_stopped(self.pid)
    }
}

/// Names this run of the machine, which no process outlives: read once, since thousands of shells may be
/// looked at every second.
fn this_boot() -> &'static str {
    static BOOT: OnceLock<String> = OnceLock::new();
    BOOT.get_or_init(boot_id)
}

/// Whether the pid is taken at all, by whatever may be asked without reading anything.
pub(crate) fn exists(pid: u32) -> bool {
    let pid = i32::try_from(pid).ok().and_then(rustix::process::Pid::from_raw);
    pid.is_some_and(|pid| rustix::process::test_kill_process(pid) != Err(rustix::io::Errno::SRCH))
}
