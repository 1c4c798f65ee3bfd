//! Against the real Python Session-Buddy, where `SHELLTRACK_INTEROP_PYTHON` names a Python that has it.
//!
//! That server (0.23.0) keeps no session, so what can be seen is what it answered: the client counts
//! an event as delivered only after `tracked` or `ended` with a session id.

use std::net::{TcpListener, TcpStream};
use std::path::PathBuf;
use std::process::Stdio;
use std::time::Duration;

use shelltrack_tests::binary::repository;
use shelltrack_tests::process::Running;
use shelltrack_tests::{BOUND, Home, skip, wait_until};

/// It imports for seconds, and its first event takes up to twelve.
const DELIVERED_WITHIN_SECONDS: u64 = 400;

/// How long it may take until it listens.
const LISTENS_WITHIN: Duration = Duration::from_secs(180);

/// The Python that has the server, or the reason why the test is skipped.
fn python() -> Option<String> {
    let python = std::env::var("SHELLTRACK_INTEROP_PYTHON").ok().filter(|path| !path.is_empty());
    if python.is_none() {
        skip("SHELLTRACK_INTEROP_PYTHON does not name a Python with session-buddy 0.23.0");
    }
    python
}

fn launcher() -> PathBuf {
    repository().join("tests/interop/session_buddy.py")
}

/// Runs three shells and asserts that the Python server took all their events.
#[track_caller]
fn check_three_shells(home: &Home) {
    // It looks for a project around the working directory of a shell: give it one to find at once.
    std::fs::create_dir(home.work().join(".git")).unwrap();
    for status in [0, 1, 7] {
        let script = format!("echo out; exit {status}");
        let ran = home.run(&["sh", "-c", &script]).expect(status);
        assert_eq!((ran.stdout.as_str(), ran.stderr.as_str()), ("out\n", ""));
    }
    home.flush_within(DELIVERED_WITHIN_SECONDS);
    let status = home.status();
    assert_eq!((&status["queued"], &status["dead_letters"]), (&0.into(), &0.into()), "{status:#}");
    // The agent writes down what it knows of a target once a second.
    let target = wait_until("the agent tells what the server offers", BOUND, || {
        let target = home.status()["targets"].get(0)?.clone();
        target["tools"].is_array().then_some(target)
    });
    assert!(target["needs_attention"].is_null(), "{target:#}");
    assert!(target["tools"].as_array().unwrap().contains(&"track_session_start".into()), "{target:#}");
}

#[test]
fn the_python_server_takes_every_event_over_stdio() {
    let Some(python) = python() else { return };
    let launcher = launcher();
    let home = Home::with_config(&format!(
        "[session-buddy]\ntransport = \"stdio\"\ncommand = {python:?}\nargs = [{launcher:?}, \"stdio\"]\n"
    ));
    check_three_shells(&home);
}

#[test]
fn the_python_server_takes_every_event_over_http() {
    let Some(python) = python() else { return };
    let its_home = Home::new();
    // Its command line wants a port; this one was free a moment ago.
    let port = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
    let mut command = its_home.command(python);
    command.arg(launcher()).arg("http").arg(port.to_string());
    let mut server = Running::start(command.stdin(Stdio::null()));
    wait_until("the Python server listens", LISTENS_WITHIN, || {
        assert!(server.child.try_wait().unwrap().is_none(), "the Python server ended");
        TcpStream::connect(("127.0.0.1", port)).ok()
    });

    let home = Home::with_config(&format!(
        "[session-buddy]\ntransport = \"http\"\nurl = \"http://127.0.0.1:{port}/mcp\"\n"
    ));
    check_three_shells(&home);
    server.child.kill().unwrap();
    server.child.wait().unwrap();
    wait_until("its helpers are gone", BOUND, || its_home.processes().is_empty().then_some(()));
}
