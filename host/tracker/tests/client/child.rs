//! Over the pipes of a child process: small servers written for `sh`.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::{Duration, Instant};

use shelltrack_sandbox::types::Outcome;
use shelltrack_tracker::Target;
use shelltrack_tracker::session_buddy::{Budgets, CallError, Embedded, SessionBuddy};

use crate::fake::*;

/// Defines `serve`, which answers until its input ends; `call` is what it does with a tool call.
const SERVER: &str = r#"
reply() { printf '{"jsonrpc":"2.0","id":%s,%s}\n' "$id" "$1"; }
tracked() { reply '"result":{"content":[],"structuredContent":{"session_id":"sh-1","status":"tracked"}}'; }
call() { tracked; }
serve() {
  while IFS= read -r line; do
    id=${line#*\"id\":}; id=${id%%[!0-9]*}
    case $line in
      *'"method":"server/discover"'*) reply '"error":{"code":-32601,"message":"Method not found"}' ;;
      *'"method":"initialize"'*) reply '"result":{"protocolVersion":"2025-11-25","capabilities":{"tools":{}},"serverInfo":{"name":"sh","version":"1"}}' ;;
      *'"method":"tools/list"'*) reply '"result":{"tools":[{"name":"track_session_start","inputSchema":{"type":"object"}}]}' ;;
      *'"method":"tools/call"'*) call ;;
    esac
  done
}
"#;

fn target(script: &str) -> Target {
    Target::Stdio {
        command: PathBuf::from("/bin/sh"),
        args: vec!["-c".to_owned(), format!("{SERVER}\n{script}")],
    }
}

async fn connect(script: &str, budgets: Budgets) -> Result<SessionBuddy, CallError> {
    let embedded: Embedded = Arc::new(|_| Err("not part of this test".to_owned()));
    SessionBuddy::connect_within(&target(script), &embedded, budgets).await
}

async fn check_tracks(script: &str) {
    let connection = connect(script, PATIENT).await.unwrap();
    assert_eq!(connection.track_start(START).await.unwrap(), "sh-1");
    connection.close().await;
}

#[tokio::test]
async fn a_child_that_answers_is_tracked_with() {
    check_tracks("serve").await;
}

#[tokio::test]
async fn what_a_child_logs_on_stdout_is_skipped() {
    check_tracks(
        r#"
        echo '2026-11-20 09:00:00 [debug] candidate-registered'
        echo '{"level":"info","event":"started"}'
        echo '"a string"'; echo 42; echo '[1,2]'; echo
        printf '\377\376 no UTF-8\n'
        call() { echo 'Session start tracked'; echo '{}'; tracked; }
        serve"#,
    )
    .await;
}

#[tokio::test]
async fn a_child_that_floods_stderr_is_not_held_up() {
    check_tracks(
        r#"
        call() { i=0; while [ $i -lt 20000 ]; do echo 'noise noise noise noise' >&2; i=$((i+1)); done; tracked; }
        serve"#,
    )
    .await;
}

#[tokio::test]
async fn a_child_leads_its_own_process_group() {
    // `kill -0 -PID` succeeds only when PID is the number of a process group.
    check_tracks("kill -0 -$$ || exit 9; serve").await;
}

#[tokio::test]
async fn a_program_that_does_not_exist_is_unreachable() {
    let embedded: Embedded = Arc::new(|_| Err("not part of this test".to_owned()));
    let target = Target::Stdio { command: PathBuf::from("/nowhere/session-buddy"), args: Vec::new() };
    let error = refusal(SessionBuddy::connect_within(&target, &embedded, PATIENT).await);
    assert_eq!(error.outcome, Outcome::Unreachable);
    assert!(error.message.starts_with("cannot start /nowhere/session-buddy:"), "{error}");
}

#[tokio::test]
async fn a_child_that_dies_at_once_says_how_and_why() {
    let error = refusal(connect("echo 'No module named session_buddy' >&2; exit 3", PATIENT).await);
    assert_eq!(error.outcome, Outcome::Unreachable);
    assert_eq!(
        error.message,
        "/bin/sh ended (exit status: 3); its last words: No module named session_buddy"
    );
}

#[tokio::test]
async fn a_child_that_dies_during_a_call_is_unreachable() {
    for last in ["", r#"printf '{"jsonrpc":"2.0","id":'"#] {
        let connection = connect(&format!("call() {{ {last}\nkill -9 $$; }}\nserve"), PATIENT).await.unwrap();
        let error = connection.track_start(START).await.unwrap_err();
        assert_eq!(error.outcome, Outcome::Unreachable);
        assert!(error.message.contains("signal: 9"), "{error}");
        assert!(connection.is_closed());
        connection.close().await;
    }
}

#[tokio::test]
async fn a_line_without_end_closes_the_connection_instead_of_filling_the_memory() {
    let script = "call() { head -c 20000000 /dev/zero | tr '\\0' x; sleep 60; }\nserve";
    let connection = connect(script, PATIENT).await.unwrap();
    let error = connection.track_start(START).await.unwrap_err();
    assert_eq!(error.outcome, Outcome::Garbled, "{error}");
}

#[tokio::test]
async fn a_silent_call_times_out() {
    let connection = connect("call() { :; }\nserve", HASTY).await.unwrap();
    assert_eq!(connection.track_start(START).await.unwrap_err().outcome, Outcome::TimedOut);
}

/// Waits until nobody holds the named pipe's other end any more.
async fn wait_until_gone(pid_file: &std::path::Path) {
    let pid: i32 = std::fs::read_to_string(pid_file).unwrap().trim().parse().unwrap();
    let pid = rustix::process::Pid::from_raw(pid).unwrap();
    let begun = Instant::now();
    while rustix::process::test_kill_process(pid).is_ok() && !is_zombie(pid) {
        assert!(begun.elapsed() < Duration::from_secs(20), "the process is still there");
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
}

/// An orphan's zombie waits for init, which is not ours to hurry.
fn is_zombie(pid: rustix::process::Pid) -> bool {
    std::fs::read_to_string(format!("/proc/{pid}/stat")).is_ok_and(|stat| stat.contains(") Z "))
}

/// A server with a grandchild, neither of which ends by itself or by SIGTERM.
fn stubborn(pid_file: &std::path::Path) -> String {
    format!("trap '' TERM; sleep 300 & echo $! > {}; serve; while :; do sleep 1; done", pid_file.display())
}

#[tokio::test]
async fn a_stubborn_child_and_its_children_are_killed_when_the_connection_closes() {
    let directory = tempfile::tempdir().unwrap();
    let pid_file = directory.path().join("pid");
    let connection = connect(&stubborn(&pid_file), PATIENT).await.unwrap();
    let begun = Instant::now();
    connection.close().await;
    assert!(begun.elapsed() < Duration::from_secs(15), "{:?}", begun.elapsed());
    wait_until_gone(&pid_file).await;
}

#[tokio::test]
async fn a_child_and_its_children_are_killed_when_the_connection_is_dropped() {
    let directory = tempfile::tempdir().unwrap();
    let pid_file = directory.path().join("pid");
    let connection = connect(&stubborn(&pid_file), PATIENT).await.unwrap();
    drop(connection);
    wait_until_gone(&pid_file).await;
}

#[tokio::test]
async fn a_child_that_never_stops_logging_on_stdout_is_no_server() {
    let script = "call() { while :; do head -c 65536 /dev/zero | tr '\\0' x; echo; done; }\nserve";
    let connection = connect(script, PATIENT).await.unwrap();
    let error = connection.track_start(START).await.unwrap_err();
    assert_eq!(error.outcome, Outcome::Garbled, "{error}");
    connection.close().await;
}

#[tokio::test]
async fn the_wrong_id_garbage_and_half_a_frame_over_pipes_end_in_a_timeout() {
    for call in
        ["id=7654321; tracked", "echo '{\"jsonrpc\": nonsense'", "printf '{\"jsonrpc\":\"2.0\",\"id\":'"]
    {
        let connection = connect(&format!("call() {{ {call}; }}\nserve"), HASTY).await.unwrap();
        let error = connection.track_start(START).await.unwrap_err();
        assert!(matches!(error.outcome, Outcome::TimedOut | Outcome::Garbled), "{call}: {error}");
        connection.close().await;
    }
}

#[tokio::test]
async fn an_answer_that_is_late_but_in_time_is_taken_over_pipes() {
    check_tracks("call() { sleep 1; tracked; }\nserve").await;
}

#[tokio::test]
async fn trouble_is_told_apart_over_pipes() {
    for (answer, outcome) in [
        (
            r#"{"content":[],"structuredContent":{"status":"error","error":"bad cwd"},"isError":false}"#,
            Outcome::Refused,
        ),
        (
            r#"{"content":[{"type":"text","text":"Authentication failed"}],"isError":true}"#,
            Outcome::Unauthorized,
        ),
        (r#"{"content":[{"type":"text","text":"boom"}],"isError":true}"#, Outcome::ServerError),
    ] {
        let script = format!("call() {{ reply '\"result\":{answer}'; }}\nserve");
        let connection = connect(&script, PATIENT).await.unwrap();
        assert_eq!(connection.track_start(START).await.unwrap_err().outcome, outcome, "{answer}");
        connection.close().await;
    }
}

#[tokio::test]
async fn a_child_without_the_tracking_tools_is_told_plainly() {
    let connection = connect("serve", PATIENT).await.unwrap();
    // It lists the start alone: an end would never get through.
    assert!(connection.offers().lacks_tracking().is_some_and(|line| line.contains("track_session_end")));
    connection.close().await;
}
