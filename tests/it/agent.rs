//! The agent: one, free of whoever started it, gone when there is nothing to do, and replaced by a newer
//! one.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, SystemTime};

use rustix::process::Signal;
use shelltrack_tests::binary::shelltrack;
use shelltrack_tests::process::{Running, signal_stranger};
use shelltrack_tests::{BOUND, FakeSessionBuddy, Home, Shell, wait_until};

/// Agents started at once; `SHELLTRACK_AGENTS=1000` for more.
const AGENTS: usize = 200;

/// The agent of this home, as it announced itself. `status` would start one where none is.
#[track_caller]
fn agent_of(home: &Home) -> u32 {
    wait_until("an agent is there", BOUND, || {
        let announced = fs::read(home.spool().join("agent.json")).ok()?;
        let announced: serde_json::Value = serde_json::from_slice(&announced).ok()?;
        home.agents().into_iter().map(|agent| agent.pid).find(|&pid| announced["process"]["pid"] == pid)
    })
}

#[test]
fn of_many_agents_that_start_at_once_one_stays() {
    let home = Home::new();
    let shell = Shell::open(&home);
    // The spool is made, and its agent killed: all of them find it free.
    let key = shell.start(&home);
    home.flush();
    home.end_agents(Signal::KILL);
    let spool = home.spool();
    let count = std::env::var("SHELLTRACK_AGENTS").map_or(AGENTS, |count| count.parse().unwrap());
    let start = |_| {
        let mut command = home.shelltrack_command(&["agent", "--"]);
        command.arg(&spool).stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap()
    };
    let mut starting: Vec<Child> = (0..count).map(start).collect();
    for process in &mut starting {
        let ended = wait_until("the first stage ends", BOUND, || process.try_wait().unwrap());
        assert!(ended.success());
    }
    wait_until("one agent is left", BOUND, || (home.agents().len() == 1).then_some(()));
    assert_eq!(home.agents()[0].pid, agent_of(&home));
    home.shelltrack(&["end", &key, "--exit-status", "0"]).expect(0);
    home.flush();
    home.sessions()[0].check_ended(0);
}

#[test]
fn shells_that_come_while_agents_end_are_all_recorded() {
    let home = Home::new();
    // An agent lingers for a second: some of these meet one that ends.
    for pause_ms in [0, 900, 980, 1_000, 1_020, 1_050, 1_100, 1_200] {
        std::thread::sleep(Duration::from_millis(pause_ms));
        home.run(&["true"]).expect(0);
    }
    home.flush();
    let sessions = home.sessions();
    assert_eq!(sessions.len(), 8);
    sessions.iter().for_each(|session| session.check_ended(0));
}

#[test]
fn an_agent_keeps_nothing_of_the_shell_that_started_it() {
    if !cfg!(target_os = "linux") {
        return shelltrack_tests::skip("no /proc to see what an agent keeps");
    }
    let home = Home::new();
    let shell = Shell::open(&home);
    let kept = home.path().join("kept-open");
    let script = format!(
        "exec 7> '{}'; exec '{}' start --pid {}",
        kept.display(),
        shelltrack().display(),
        shell.pid()
    );
    let started = home.command("sh").args(["-c", &script]).stdin(Stdio::null()).output().unwrap();
    assert!(started.status.success());
    let agent = PathBuf::from(format!("/proc/{}", agent_of(&home)));
    assert_eq!(fs::read_link(agent.join("cwd")).unwrap(), Path::new("/"));
    for descriptor in ["0", "1", "2"] {
        assert_eq!(fs::read_link(agent.join("fd").join(descriptor)).unwrap(), Path::new("/dev/null"));
    }
    for descriptor in fs::read_dir(agent.join("fd")).unwrap().flatten() {
        assert_ne!(fs::read_link(descriptor.path()).unwrap_or_default(), kept);
    }
    // proc(5): fields 6 and 7 are the session and the terminal.
    let stat = fs::read_to_string(agent.join("stat")).unwrap();
    let fields: Vec<&str> = stat[stat.rfind(')').unwrap() + 2..].split(' ').collect();
    assert_eq!(fields[3], agent.file_name().unwrap().to_str().unwrap(), "a session of its own");
    assert_eq!(fields[4], "0", "no controlling terminal");
}

#[test]
fn an_agent_outlives_a_hang_up_and_ends_when_nothing_is_left_to_do() {
    let home = Home::new();
    let shell = Shell::open(&home);
    let key = shell.start(&home);
    home.flush();
    let agent = agent_of(&home);
    let process = home.processes().into_iter().find(|process| process.pid == agent).unwrap();
    signal_stranger(&process, Signal::HUP);
    home.shelltrack(&["end", &key, "--exit-status", "2"]).expect(0);
    home.flush();
    home.sessions()[0].check_ended(2);
    // It delivered, so it outlived the hang-up; and with no session left it goes by itself.
    wait_until("the agent ends", BOUND, || home.agents().is_empty().then_some(()));
    assert!(!home.spool().join("agent.json").exists());
}

/// A copy of the program that was built then.
fn built(home: &Home, name: &str, at: SystemTime) -> PathBuf {
    let copy = home.path().join(name);
    fs::copy(shelltrack(), &copy).unwrap();
    fs::File::options().write(true).open(&copy).unwrap().set_modified(at).unwrap();
    copy
}

#[track_caller]
fn start_with(home: &Home, program: &Path, shell: &Shell) {
    let mut command: Command = home.command(program);
    command.args(["start", "--pid", &shell.pid()]);
    shelltrack_tests::run_bounded(&mut command, BOUND).expect(0);
}

#[track_caller]
fn program_of(pid: u32) -> Option<PathBuf> {
    fs::read_link(format!("/proc/{pid}/exe")).ok()
}

#[test]
fn a_newer_program_takes_over_from_an_older_agent_and_never_the_other_way_round() {
    if !cfg!(target_os = "linux") {
        return shelltrack_tests::skip("no /proc to see which program an agent runs");
    }
    let home = Home::new();
    let hour = Duration::from_secs(3_600);
    // The program that is tested flushes and lists here: it is to displace nobody but the old one either.
    let tested = fs::metadata(shelltrack()).unwrap().modified().unwrap();
    let (old, new) = (built(&home, "old", tested - hour), built(&home, "new", tested + hour));
    let shell = Shell::open(&home);
    start_with(&home, &old, &shell);
    assert_eq!(program_of(agent_of(&home)), Some(old.clone()));
    start_with(&home, &new, &shell);
    wait_until("the newer one takes over", BOUND, || {
        (program_of(agent_of(&home)).as_ref() == Some(&new) && home.agents().len() == 1).then_some(())
    });
    let agent = agent_of(&home);
    start_with(&home, &old, &shell);
    home.flush();
    // The older program asks for the place with an agent of its own, which goes when it is refused.
    let left = wait_until("the older agent goes", BOUND, || {
        let agents = home.agents();
        (agents.len() == 1).then(|| agents[0].pid)
    });
    assert_eq!(left, agent, "the older one leaves it in peace");
    assert_eq!(home.list(&["--active"]).len(), 3);
}

#[test]
fn an_agent_whose_spool_is_removed_leaves_the_new_one_to_another() {
    let home = Home::new();
    let shell = Shell::open(&home);
    shell.start(&home);
    home.flush();
    let old = agent_of(&home);
    fs::remove_dir_all(home.spool()).unwrap();
    let key = shell.start(&home);
    wait_until("the old agent is gone", BOUND, || {
        home.agents().iter().all(|agent| agent.pid != old).then_some(())
    });
    home.flush();
    home.shelltrack(&["end", &key, "--exit-status", "3"]).expect(0);
    home.flush();
    home.sessions().iter().find(|session| session.text("correlation_id") == key).unwrap().check_ended(3);
    let status = home.status();
    assert_eq!((&status["dead_letters"], &status["set_aside"]), (&0.into(), &0.into()), "{status:#}");
}

/// A home with a session that is open and delivered, whose agent was killed.
fn home_without_its_agent() -> (Home, Shell) {
    let home = Home::new();
    let shell = Shell::open(&home);
    shell.start(&home);
    home.flush();
    home.end_agents(Signal::KILL);
    (home, shell)
}

#[test]
fn an_agent_that_open_sessions_lack_is_started_by_whoever_looks() {
    for looks in [&["status"][..], &["list-sessions"], &["flush"], &["status", "--prometheus"]] {
        let (home, _shell) = home_without_its_agent();
        let looked = home.shelltrack(looks).expect(0);
        wait_until(&format!("an agent is there after {looks:?}"), BOUND, || {
            (home.agents().len() == 1).then_some(())
        });
        if looks == ["status"] {
            assert!(looked.stdout.contains("was not running; one is being started"), "{looked:?}");
        }
    }
}

#[test]
fn an_agent_that_nothing_needs_is_not_started_by_looking() {
    let home = Home::new();
    let told = home.shelltrack(&["status"]).expect(0).stdout;
    assert!(told.contains("not running; there is nothing to do"), "{told}");
    home.shelltrack(&["list-sessions"]).expect(0);
    home.shelltrack(&["flush"]).expect(0);
    assert_eq!(home.agents(), []);
}

#[test]
fn the_supervisor_of_an_idle_shell_replaces_an_agent_that_was_killed() {
    /// It looks once a minute, and a machine may be slow.
    const LOOKED_WITHIN: Duration = Duration::from_secs(60 + 60);
    let home = Home::new();
    let mut command = home.shelltrack_command(&["run", "--", "sleep", "600"]);
    let run = Running::start(command.stdin(Stdio::null()));
    wait_until("its start is delivered", BOUND, || (home.sessions().len() == 1).then_some(()));
    home.flush();
    home.end_agents(Signal::KILL);
    wait_until("another agent is there", LOOKED_WITHIN, || (home.agents().len() == 1).then_some(()));
    run.signal(Signal::TERM);
    let ended = run.finish(BOUND);
    assert_eq!((ended.stdout.as_str(), ended.stderr.as_str()), ("", ""), "nothing of it is told");
}

#[test]
fn an_agent_that_is_stopped_is_named_by_whoever_waits_for_it() {
    let fake = FakeSessionBuddy::start();
    let home = Home::with_config(&fake.config());
    // An open session keeps the agent.
    home.shelltrack(&["start", "--pid", &std::process::id().to_string()]).expect(0);
    home.flush();
    let agent = home.agents().pop().unwrap();
    signal_stranger(&agent, Signal::STOP);
    home.run(&["true"]).expect(0);
    let named = format!("agent, pid {}: says nothing since", agent.pid);
    let flushed = home.shelltrack(&["flush", "--timeout", "12"]).expect(1);
    assert!(flushed.stderr.contains(&named), "{flushed:?}");
    let told = home.shelltrack(&["status"]).expect(1).stdout;
    assert!(told.contains(&named), "{told}");
    signal_stranger(&agent, Signal::CONT);
    home.flush();
    home.shelltrack(&["status"]).expect(0);
}
