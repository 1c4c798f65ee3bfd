//! Processes where there is no procfs (macOS and the BSDs): sysinfo and kqueue(2).

use std::io;
use std::os::fd::OwnedFd;
use std::path::PathBuf;

use rustix::buffer::spare_capacity;
use rustix::event::Timespec;
use rustix::event::kqueue::{Event, EventFilter, EventFlags, ProcessEvents, kevent_timespec, kqueue};

use sysinfo::{Pid, ProcessRefreshKind, ProcessesToUpdate, System, UpdateKind};

use super::{Look, exists};

/// Ends taken from the kernel at once.
const BATCH: usize = 64;

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

/// Whether it was stopped by a signal or a debugger; `false` where that cannot be read.
pub(crate) fn is_stopped(pid: u32) -> bool {
    let is_stopped = |process: &sysinfo::Process| process.status() == sysinfo::ProcessStatus::Stop;
    with_process(pid, ProcessRefreshKind::nothing(), |process| Some(is_stopped(process))).unwrap_or(false)
}

/// Names this run of the machine by when it began.
pub(crate) fn boot_id() -> String {
    System::boot_time().map_or_else(|_| String::new(), |seconds| seconds.to_string())
}

/// How long this run of the machine lasts; the wall clock has no part in it.
pub(crate) fn since_boot() -> std::time::Duration {
    let now = rustix::time::clock_gettime(rustix::time::ClockId::Monotonic);
    std::time::Duration::from_secs(u64::try_from(now.tv_sec).unwrap_or_default())
}

/// Names this machine; the host's name stands in where the system keeps no id in a file.
pub(crate) fn machine_id() -> Option<String> {
    None
}

/// There are no pid namespaces here.
pub(crate) fn pid_namespace() -> u64 {
    0
}

/// There are no pid namespaces here that could be gone.
pub(crate) fn is_namespace_gone(_inode: u64) -> bool {
    false
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

/// Tells which of many processes ended: one kqueue(2).
pub(super) struct Queue {
    kqueue: OwnedFd,
}

impl Queue {
    pub(super) fn new() -> io::Result<Self> {
        Ok(Self { kqueue: kqueue()? })
    }

    /// Whether the process that has the pid now will be told of. It may be another one than meant.
    pub(super) fn add(&mut self, token: u64, pid: u32) -> io::Result<()> {
        let pid = i32::try_from(pid).ok().and_then(rustix::process::Pid::from_raw);
        let pid = pid.ok_or(io::ErrorKind::InvalidInput)?;
        let filter = EventFilter::Proc { pid, flags: ProcessEvents::EXIT };
        let token = usize::try_from(token).map_err(|_| io::ErrorKind::InvalidInput)?;
        let flags = EventFlags::ADD | EventFlags::ONESHOT | EventFlags::RECEIPT;
        let change = Event::new(filter, flags, std::ptr::without_provenance_mut(token));
        // With a receipt the answer to the change is an event whose data is an errno.
        match self.exchange(&[change])?.first().map(Event::data) {
            Some(errno) if errno != 0 => {
                Err(io::Error::from_raw_os_error(i32::try_from(errno).unwrap_or(i32::MAX)))
            }
            _ => Ok(()),
        }
    }

    /// A process that is told of in vain is nobody's any more: its token is unknown by then.
    pub(super) fn remove(&mut self, _token: u64) {}

    /// Those that ended since it was last asked, at most some of them.
    pub(super) fn take_ended(&mut self) -> io::Result<Vec<u64>> {
        let ended = self.exchange(&[])?;
        Ok(ended.iter().map(|event| event.udata().addr() as u64).collect())
    }

    /// Readable when a process ended.
    pub(super) fn descriptor(&self) -> io::Result<OwnedFd> {
        self.kqueue.try_clone()
    }

    #[allow(unsafe_code, reason = "rustix has no safe form of kevent(2)")]
    fn exchange(&self, changes: &[Event]) -> io::Result<Vec<Event>> {
        let mut events = Vec::with_capacity(BATCH);
        let now = Timespec { tv_sec: 0, tv_nsec: 0 };
        // SAFETY: kevent(2) asks that descriptors named in the changes stay open; these name processes.
        unsafe { kevent_timespec(&self.kqueue, changes, spare_capacity(&mut events), Some(&now))? };
        Ok(events)
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
