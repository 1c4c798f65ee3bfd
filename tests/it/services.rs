//! The agent as a service: it stays, says how it is, and ends when it is told to.

use std::os::unix::net::UnixDatagram;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use rustix::process::Signal;
use shelltrack_tests::process::{Running, signal_stranger};
use shelltrack_tests::{BOUND, Home, Shell, run_bounded, skip, wait_until};

fn foreground(home: &Home) -> Running {
    Running::start(home.shelltrack_command(&["agent", "--foreground"]).stdin(Stdio::null()))
}

#[track_caller]
fn wait_for_agent(home: &Home, pid: u32) {
    wait_until("the agent serves", BOUND, || (home.status()["agent_pid"] == pid).then_some(()));
}

/// Waits for a message of the agent that contains this.
#[track_caller]
fn wait_for_message(socket: &UnixDatagram, wanted: &str) {
    let mut bytes = [0; 256];
    wait_until(wanted, BOUND, || {
        let received = socket.recv(&mut bytes).ok()?;
        String::from_utf8_lossy(&bytes[..received]).contains(wanted).then_some(())
    });
}

#[test]
fn in_the_foreground_it_stays_delivers_and_ends_with_sigterm() {
    let home = Home::new();
    let agent = foreground(&home);
    let pid = agent.child.id();
    wait_for_agent(&home, pid);
    home.run(&["true"]).expect(0);
    home.flush();
    // One that started itself leaves after a second of rest.
    std::thread::sleep(Duration::from_secs(3));
    wait_for_agent(&home, pid);
    agent.signal(Signal::TERM);
    let ended = agent.finish(BOUND).expect(0);
    assert_eq!(ended.stdout, "");
    assert!(home.status()["agent_pid"].is_null());
    home.sessions()[0].check_ended(0);
}

#[test]
fn systemd_is_told_that_it_is_ready_well_and_about_to_end() {
    let mut home = Home::new();
    let path = home.path().join("run/notify");
    let socket = UnixDatagram::bind(&path).unwrap();
    socket.set_read_timeout(Some(Duration::from_millis(100))).unwrap();
    home.set("NOTIFY_SOCKET", path.to_str().unwrap());
    let agent = foreground(&home);
    wait_for_message(&socket, "READY=1");
    wait_for_message(&socket, "WATCHDOG=1");
    agent.signal(Signal::TERM);
    wait_for_message(&socket, "STOPPING=1");
    agent.finish(BOUND).expect(0);
}

#[test]
fn it_takes_the_place_of_an_agent_that_started_itself_and_loses_nothing() {
    let home = Home::new();
    let pid = std::process::id().to_string();
    let key = home.shelltrack(&["start", "--pid", &pid]).expect(0).stdout;
    home.flush();
    let before = home.status()["agent_pid"].clone();
    assert!(before.is_number(), "an open session keeps it");
    let agent = foreground(&home);
    wait_for_agent(&home, agent.child.id());
    home.shelltrack(&["end", key.trim(), "--exit-status", "0"]).expect(0);
    home.flush();
    home.sessions()[0].check_ended(0);

    let second = foreground(&home).finish(BOUND).expect(1);
    assert!(second.stderr.contains(&agent.child.id().to_string()), "{second:?}");
    agent.signal(Signal::TERM);
    agent.finish(BOUND).expect(0);
}

#[test]
fn the_systemd_unit_passes_systemds_own_check() {
    let mut home = Home::new();
    let unit = home.shelltrack(&["service", "systemd"]).expect(0).stdout;
    assert!(unit.contains("Type=notify") && unit.contains("agent\" \"--foreground\""), "{unit}");
    let state = format!("Environment=\"XDG_STATE_HOME={}\"", home.path().join("state").display());
    assert!(unit.lines().any(|line| line == state), "it serves the spool of this user: {unit}");
    let Ok(found) = Command::new("systemd-analyze").arg("--version").output() else {
        return skip("there is no systemd-analyze");
    };
    assert!(found.status.success());
    let file = home.work().join("shelltrack.service");
    std::fs::write(&file, &unit).unwrap();
    home.set("SYSTEMD_LOG_LEVEL", "warning");
    let mut verify = home.command("systemd-analyze");
    verify.args(["verify", "--user", "--man=no"]).arg(&file);
    let verified = run_bounded(&mut verify, BOUND);
    if verified.stderr.contains("Failed to initialize manager")
        || verified.stderr.contains("Failed to connect")
    {
        return skip(&format!("systemd-analyze cannot verify here: {}", verified.stderr.trim()));
    }
    let of_ours: Vec<_> = verified.stderr.lines().filter(|line| line.contains("shelltrack")).collect();
    assert!(of_ours.is_empty() && verified.status == 0, "{verified:?}");
}

#[test]
fn a_service_finds_the_keys_where_this_shell_has_them() {
    let mut home = Home::new();
    home.set("SHELLTRACK_KEYS", "/somewhere/keys");
    let unit = home.shelltrack(&["service", "systemd"]).expect(0).stdout;
    assert!(unit.lines().any(|line| line == "Environment=\"SHELLTRACK_KEYS=/somewhere/keys\""), "{unit}");
    let plist = home.shelltrack(&["service", "launchd"]).expect(0).stdout;
    assert!(plist.contains("<key>SHELLTRACK_KEYS</key>") && plist.contains("/somewhere/keys"), "{plist}");
}

#[test]
fn a_shutdown_waits_for_all_silent_servers_at_once() {
    const SERVERS: usize = 8;
    let home = Home::new();
    let shell = Shell::open(&home);
    for number in 0..SERVERS {
        // Each is a server of its own that never says anything.
        let arguments = ["start", "--pid", &shell.pid(), "--server-command", "sleep", "--server-arg"];
        home.shelltrack(&[&arguments[..], &[&(1_000 + number).to_string()]].concat()).expect(0);
    }
    let agent = home.status()["agent_pid"].as_u64().unwrap();
    wait_until("all of them are asked", BOUND, || {
        let asked = home.processes().into_iter().filter(|process| process.command.contains("sleep 100"));
        (asked.count() == SERVERS).then_some(())
    });
    let began = Instant::now();
    let process = home.processes().into_iter().find(|process| u64::from(process.pid) == agent).unwrap();
    signal_stranger(&process, Signal::TERM);
    wait_until("the agent and its children are gone", BOUND, || {
        let left = home.processes().into_iter().filter(|process| process.pid.to_string() != shell.pid());
        (left.count() == 0).then_some(())
    });
    // One after another would take five seconds each.
    assert!(began.elapsed() < Duration::from_secs(5 * SERVERS as u64 / 2), "{:?}", began.elapsed());
}

#[test]
fn a_token_that_is_no_text_lets_nobody_in_without_one() {
    use std::os::unix::ffi::OsStrExt;
    let home = Home::new();
    let mut command = home.shelltrack_command(&["serve", "--stdio"]);
    command.env("SESSION_BUDDY_TOKEN", std::ffi::OsStr::from_bytes(b"\xff\xfe"));
    let served = run_bounded(&mut command, BOUND).expect(2);
    assert!(served.stderr.contains("SESSION_BUDDY_TOKEN"), "{served:?}");
    assert_eq!(served.stdout, "");
}

#[test]
fn the_property_list_of_launchd_can_be_read() {
    let home = Home::new();
    let plist = home.shelltrack(&["service", "launchd"]).expect(0).stdout;
    let read = "import plistlib, sys; plist = plistlib.loads(sys.stdin.buffer.read()); \
                print(plist['ProgramArguments'][1:], plist['KeepAlive'])";
    let mut python = home.command("python3");
    if python.arg("-c").arg(read).stdout(Stdio::null()).stderr(Stdio::null()).status().is_err() {
        return skip("there is no python3");
    }
    let read = shelltrack_tests::process::run_with_input(
        home.command("python3").args(["-c", read]),
        plist.as_bytes(),
        BOUND,
    );
    assert_eq!(read.expect(0).stdout, "['agent', '--foreground'] {'SuccessfulExit': False}\n");
}

#[test]
fn the_manual_has_a_page_for_each_command() {
    let home = Home::new();
    let page = home.shelltrack(&["man"]).expect(0).stdout;
    assert!(page.contains(".TH shelltrack 1"), "{page}");
    let room = home.work().join("man");
    home.shelltrack(&["man", "--directory", room.to_str().unwrap()]).expect(0);
    for name in ["shelltrack", "shelltrack-run", "shelltrack-dead-letters-retry", "shelltrack-breaker-open"] {
        let page = std::fs::read_to_string(room.join(format!("{name}.1"))).unwrap();
        assert!(page.contains(&format!(".TH {name} 1")), "{page}");
    }
}

#[test]
fn completions_of_every_shell_know_every_command() {
    let home = Home::new();
    for shell in ["bash", "zsh", "fish"] {
        let script = home.shelltrack(&["completions", shell]).expect(0).stdout;
        for command in ["dead-letters", "breaker", "service", "retry"] {
            assert!(script.contains(command), "{shell} does not know {command}");
        }
        let mut syntax = home.command(shell);
        let file = home.work().join(shell);
        std::fs::write(&file, &script).unwrap();
        match syntax.arg("-n").arg(&file).output() {
            Ok(checked) => assert!(checked.status.success(), "{shell}: {checked:?}"),
            Err(_) => skip(&format!("there is no {shell}")),
        }
    }
}
