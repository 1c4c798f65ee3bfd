//! A tracked shell in a real terminal: keys and sizes mean what they mean without shelltrack.

use shelltrack_tests::binary::shelltrack;
use shelltrack_tests::terminal::Terminal;
use shelltrack_tests::{BOUND, Home, skip, wait_until};

/// The terminal, or `None` after the reason was told.
fn open(home: &Home) -> Option<Terminal<'_>> {
    let terminal = Terminal::open(home);
    if terminal.is_none() {
        skip("there is no tmux");
    }
    terminal
}

/// Puts a script into the work directory and gives the command line that runs it tracked.
fn tracked(home: &Home, script: &str) -> String {
    std::fs::write(home.work().join("script"), script).unwrap();
    format!("{} run --component terminal -- sh ./script", shelltrack().display())
}

#[test]
fn ctrl_c_reaches_the_command_once_and_not_a_second_time_through_run() {
    let home = Home::new();
    let Some(terminal) = open(&home) else { return };
    let script = "trap 'echo interrupted' INT; echo ready; \
                  until [ -e stop ]; do sleep 0.1; done; echo done; exit 5";
    terminal.type_line(&tracked(&home, script));
    terminal.wait_for_line("ready");
    terminal.press("C-c");
    terminal.wait_for("one interruption", |text| text.contains("interrupted"));
    std::fs::write(home.work().join("stop"), "").unwrap();
    terminal.wait_for_line("done");
    terminal.type_line("echo status=$?");
    terminal.wait_for_line("status=5");
    let interruptions = terminal.text().matches("interrupted").count();
    assert_eq!(interruptions, 1, "the terminal signals the whole group itself:\n{}", terminal.text());
    home.flush();
    home.sessions()[0].check_ended(5);
}

#[test]
fn a_command_that_ctrl_c_kills_is_recorded_as_signaled() {
    let home = Home::new();
    let Some(terminal) = open(&home) else { return };
    terminal.type_line(&tracked(&home, "echo ready; exec sleep 60"));
    terminal.wait_for_line("ready");
    terminal.press("C-c");
    terminal.wait_for_prompts(2);
    terminal.type_line("echo status=$?");
    terminal.wait_for_line("status=130");
    home.flush();
    let record = &home.sessions()[0];
    record.check_ended(130);
    assert_eq!(record.text("exit_reason"), "signaled");
}

#[test]
fn ctrl_z_stops_the_job_and_fg_brings_it_back() {
    let home = Home::new();
    let Some(terminal) = open(&home) else { return };
    terminal.type_line(&tracked(&home, "echo ready; read line; echo got $line; exit 4"));
    terminal.wait_for_line("ready");
    wait_until("the session is recorded", BOUND, || home.list(&["--active"]).pop());
    terminal.press("C-z");
    terminal.wait_for_prompts(2);
    assert_eq!(home.list(&["--active"]).len(), 1, "a stopped shell is an open one");
    terminal.type_line("fg");
    terminal.wait_for("the job in the foreground", |text| text.matches("terminal -- sh").count() >= 2);
    terminal.type_line("again");
    terminal.wait_for_line("got again");
    terminal.wait_for_prompts(3);
    terminal.type_line("echo status=$?");
    terminal.wait_for_line("status=4");
    home.flush();
    home.sessions()[0].check_ended(4);
}

#[test]
fn the_command_sees_the_size_of_the_window_and_its_changes() {
    let home = Home::new();
    let Some(terminal) = open(&home) else { return };
    let script = "trap 'stty size' WINCH; stty size; until [ -e stop ]; do sleep 0.1; done; exit 0";
    terminal.type_line(&tracked(&home, script));
    terminal.wait_for_line("24 80");
    terminal.resize(100, 30);
    terminal.wait_for_line("30 100");
    std::fs::write(home.work().join("stop"), "").unwrap();
    terminal.wait_for_prompts(2);
    home.flush();
    home.sessions()[0].check_ended(0);
}

#[test]
fn a_terminal_that_is_closed_ends_the_session() {
    let home = Home::new();
    let Some(terminal) = open(&home) else { return };
    terminal.type_line(&tracked(&home, "echo ready; read line"));
    terminal.wait_for_line("ready");
    drop(terminal);
    let record = wait_until("the session is over", BOUND, || {
        home.sessions().into_iter().find(|record| record.text("state") != "active")
    });
    assert!(!record.text("end_time").is_empty(), "{record:#?}");
}

#[test]
fn the_terminal_itself_is_in_the_record() {
    let home = Home::new();
    let Some(terminal) = open(&home) else { return };
    terminal.type_line(&tracked(&home, "tty"));
    terminal.wait_for_prompts(2);
    let text = terminal.text();
    let tty = text.lines().find(|line| line.starts_with("/dev/")).unwrap_or_else(|| panic!("{text}"));
    home.flush();
    assert_eq!(home.sessions()[0].0["metadata"]["origin"]["tty"], tty.trim_end());
}

#[test]
fn in_a_narrow_terminal_nothing_is_wider_than_it_and_nothing_is_missing() {
    let home = Home::new();
    home.run(&["sh", "-c", "exit 7"]).expect(7);
    home.flush();
    let Some(terminal) = open(&home) else { return };
    terminal.resize(40, 24);
    terminal.type_line(&format!("ln -s '{}' s", shelltrack().display()));
    terminal.wait_for_prompts(2);
    terminal.type_line("clear; stty size; ./s list-sessions 2> /dev/null");
    terminal.wait_for("the session", |text| text.contains("delivered"));
    let text = terminal.text();
    let shown: Vec<&str> = text.lines().skip_while(|line| *line != "24 40").skip(1).collect();
    let id = home.sessions()[0].id().to_owned();
    assert_eq!(shown.first(), Some(&id.as_str()), "{text}");
    assert!(shown.iter().all(|line| line.chars().count() <= 40), "{text}");
    let flowing: Vec<&str> = shown.iter().map(|line| line.trim()).collect();
    assert!(flowing.join(" ").contains("state ended, component mahavishnu"), "{text}");
    assert!(flowing.join(" ").contains("exit 7, delivery delivered"), "{text}");

    // COLUMNS has the last word; a pipe gets all of it in one line.
    terminal.type_line("clear; COLUMNS=400 ./s list-sessions");
    terminal.wait_for("the table", |text| text.contains("SESSION"));
    terminal.type_line("clear; COLUMNS=20 ./s list-sessions | wc -l");
    terminal.wait_for_line("2");
}
