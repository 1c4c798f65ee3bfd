//! Many shells, many events.

use std::sync::Arc;

use shelltrack_sandbox::types::ExitReason;
use shelltrack_sandbox::{Profile, Sandbox};
use shelltrack_tests::store::stored;
use shelltrack_tests::swarm::swarm;
use shelltrack_tests::{BOUND, Home, Shell, wait_until};
use shelltrack_tracker::{Config, EndedAt, ShellEnd, StartLimit, Target, Tracker, surroundings};

/// Most memory of its own an agent may have resident, in KiB as the kernel says. (Pages of the program's
/// file come on top; how many depends on how it was built: `SHELLTRACK_RSS_MIB=30` holds a release build
/// to that much of all.)
const RESIDENT_KIB_MAX: u64 = 16 << 10;
/// Sessions open at once when nobody asks for more (`SHELLTRACK_OPEN=10000`): each start is forced to disk.
const OPEN: usize = 1_000;
/// Sessions that wait, with two events each, when nobody asks for more
/// (`SHELLTRACK_QUEUED=50000` is 100,000 events).
const QUEUED: usize = 500;

#[test]
fn a_hundred_shells_at_once_are_a_hundred_records() {
    swarm(&Home::new(), 100);
}

#[test]
fn five_hundred_shells_at_once_are_five_hundred_records() {
    eprintln!("{:?}", swarm(&Home::new(), 500));
}

fn number(name: &str) -> Option<usize> {
    std::env::var(name).ok()?.parse().ok()
}

/// A tracker of this home that starts no agent: events can be accepted by the thousand.
fn tracker(home: &Home) -> Tracker {
    let config = Config {
        state_dir: home.path().join("state/shelltrack"),
        target: Target::Embedded { database: home.path().join("data/shelltrack/sessions.db") },
        policy: Default::default(),
        start_limit: StartLimit { burst: 1, per_second: 0 },
        agent: None,
    };
    Tracker::open(config, Arc::new(Sandbox::standard(Profile::Service).unwrap())).unwrap()
}

fn accept(tracker: &Tracker, pid: &str, ended: bool) {
    let mut context = surroundings(pid.parse().unwrap());
    context.component_name = "load".to_owned();
    context.shell_type = "sh".to_owned();
    context.metadata = "{}".to_owned();
    let session = tracker.start(context).unwrap();
    if ended {
        session
            .end(ShellEnd { exit_status: Some(0), exit_reason: ExitReason::Exited, at: EndedAt::Now })
            .unwrap();
    }
}

/// A figure of a process's memory as proc_pid_status(5) names it.
fn memory_kib(pid: u64, name: &str) -> Option<u64> {
    let status = std::fs::read_to_string(format!("/proc/{pid}/status")).ok()?;
    let line = status.lines().find(|line| line.starts_with(name))?;
    line.split_ascii_whitespace().nth(1)?.parse().ok()
}

#[test]
fn open_sessions_take_next_to_no_memory_of_the_agent() {
    if !cfg!(target_os = "linux") {
        return shelltrack_tests::skip("no /proc to read an agent's memory from");
    }
    let home = Home::new();
    let shell = Shell::open(&home);
    let tracker = tracker(&home);
    let open = number("SHELLTRACK_OPEN").unwrap_or(OPEN);
    (0..open).for_each(|_| accept(&tracker, &shell.pid(), false));
    home.flush_within(BOUND.as_secs() * 5);
    let agent = home.status()["agent_pid"].as_u64().unwrap();
    let (delivered, resident) =
        (memory_kib(agent, "RssAnon:").unwrap(), memory_kib(agent, "VmRSS:").unwrap());
    eprintln!(
        "{delivered} KiB of its own, {resident} KiB in all, resident after {open} starts were delivered"
    );
    assert_eq!(stored(&home).iter().filter(|session| session.state == "active").count(), open);
    assert!(delivered < RESIDENT_KIB_MAX, "{delivered} KiB");
    if let Some(mib) = number("SHELLTRACK_RSS_MIB") {
        assert!(resident <= mib as u64 * 1024, "{resident} KiB");
    }
}

#[test]
fn a_long_queue_drains_with_nothing_lost_and_bounded_memory() {
    let home = Home::new();
    let sessions = number("SHELLTRACK_QUEUED").unwrap_or(QUEUED);
    let shell = Shell::open(&home);
    let tracker = tracker(&home);
    (0..sessions).for_each(|_| accept(&tracker, &shell.pid(), true));
    home.shelltrack(&["flush", "--timeout", "1"]);
    let mut most = 0;
    let bound = BOUND * 2 + std::time::Duration::from_millis(20) * u32::try_from(sessions).unwrap();
    wait_until("the queue is empty", bound, || {
        let status = home.status();
        most = most
            .max(status["agent_pid"].as_u64().and_then(|agent| memory_kib(agent, "RssAnon:")).unwrap_or(0));
        (status["queued"] == 0).then_some(())
    });
    eprintln!("{sessions} sessions drained, {most} KiB of its own resident at most");
    let stored = stored(&home);
    assert_eq!(stored.iter().filter(|session| session.state == "ended").count(), sessions);
    assert_eq!(home.status()["dead_letters"], 0);
    assert!(most < 2 * RESIDENT_KIB_MAX, "{most} KiB");
}
