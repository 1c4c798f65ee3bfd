//! A shell with little address space (`ulimit -v`) is recorded like any other.

use shelltrack_tests::Home;

/// Kilobytes, as `ulimit -v` counts: less than a wasmtime memory takes by default.
const ADDRESS_SPACE_KB: u32 = 2_000_000;

#[test]
fn a_shell_under_ulimit_v_is_recorded_too() {
    let home = Home::new();
    let script = format!(
        "ulimit -v {ADDRESS_SPACE_KB} || exit 99; exec \"$0\" run --component mahavishnu -- sh -c 'exit 7'"
    );
    let mut command = home.command("sh");
    command.args(["-c", &script]).arg(shelltrack_tests::binary::shelltrack());
    let told = shelltrack_tests::run_bounded(&mut command, shelltrack_tests::BOUND).expect(7);
    assert_eq!(told.stderr, "");
    home.flush();
    let sessions = home.sessions();
    assert_eq!(sessions.len(), 1, "{sessions:?}");
    assert_eq!(sessions[0].0["exit_status"], 7, "{sessions:?}");
}
