//! Processes where there is no procfs (macOS and the BSDs): sysinfo, and polling.

use std::path::PathBuf;
use std::time::Duration;

use sysinfo::{Pid, ProcessRefreshKind, ProcessesToUpdate, System, UpdateKind};

use super::{Look, ProcessId, exists};

/// How often a process is looked at: nothing tells us here when it ends.
const POLL: Duration = Duration::from_secs(1);

/// What the pid stands for: the beginning is in seconds since 1970.
pub(crate) fn look_at(pid: u32) -> Look {
    let seen = with_process(pid, ProcessRefreshKind::nothing(), |process| {
        let zombie = process.status() == sysinfo::ProcessStatus::Zombie;
        Some(if zombie { Look::Gone } else { Look::Running(process.start_time()) })
    });
    match seen {
        Some(look) => look,
        None if exists(pid) => Look::Hidden,
        None => Look::Gone,
    }
}

/// Names this run of the machine by when it began.
pub(crate) fn boot_id() -> String {
    System::boot_time().map_or_else(|_| String::new(), |seconds| seconds.to_string())
}

/// Names this machine; the host's name stands in where the system keeps no id in a file.
pub(crate) fn machine_id() -> Option<String> {
    None
}

/// There are no pid namespaces here.
pub(crate) fn pid_namespace() -> u64 {
    0
}

/// Working directory of the process.
pub(crate) fn cwd_of(pid: u32) -> Option<PathBuf> {
    with_process(pid, ProcessRefreshKind::nothing().with_cwd(UpdateKind::Always), |process| {
        process.cwd().map(PathBuf::from)
    })
}

/// There is no login uid here.
pub(crate) fn login_uid(_pid: u32) -> Option<u32> {
    None
}

/// The terminal of another process is not asked for here.
pub(crate) fn terminal_of(_pid: u32) -> Option<PathBuf> {
    None
}

/// Waits until that process is gone. A pid that another process has by now counts as gone.
pub(crate) async fn exited(process: &ProcessId) {
    while process.is_alive() {
        tokio::time::sleep(POLL).await;
    }
}

fn with_process<T>(
    pid: u32,
    what: ProcessRefreshKind,
    read: impl FnOnce(&sysinfo::Process) -> Option<T>,
) -> Option<T> {
    let mut system = System::new().ok()?;
    let pid = Pid::from_u32(pid);
    system.refresh_processes_specifics(ProcessesToUpdate::Some(&[pid]), true, what);
    system.process(pid).and_then(read)
}
