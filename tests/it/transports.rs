//! One flow over every transport: embedded, a child process on stdio, HTTP.

use shelltrack_tests::binary::shelltrack;
use shelltrack_tests::{Home, Server};

/// Runs three shells and asserts that all of them can be listed and shown.
#[track_caller]
fn check_three_shells(home: &Home) {
    for status in [0, 1, 7] {
        home.run(&["sh", "-c", &format!("exit {status}")]).expect(status);
    }
    home.flush();
    let mut records = home.sessions();
    records.reverse();
    assert_eq!(records.len(), 3, "{records:#?}");
    for (record, status) in records.iter().zip([0, 1, 7]) {
        record.check_ended(status);
        let shown = home.json(&["show-session", record.id(), "--json"]);
        assert_eq!(shown["correlation_id"], record.0["correlation_id"]);
        assert_eq!(shown["exit_status"], status);
    }
    let status = home.status();
    assert_eq!((&status["queued"], &status["dead_letters"]), (&0.into(), &0.into()), "{status:#}");
}

#[test]
fn shells_are_tracked_by_the_embedded_server_without_any_configuration() {
    check_three_shells(&Home::new());
}

#[test]
fn shells_are_tracked_by_a_server_on_stdio() {
    let command = shelltrack().to_str().unwrap();
    check_three_shells(&Home::with_config(&format!(
        "[session-buddy]\ntransport = \"stdio\"\ncommand = {command:?}\nargs = [\"serve\", \"--stdio\"]\n"
    )));
}

#[test]
fn shells_are_tracked_by_a_server_over_http() {
    let server = Server::start();
    check_three_shells(&Home::with_config(&server.config()));
}

#[test]
fn a_variable_comes_before_the_file_and_a_flag_before_the_variable() {
    let (by_file, by_variable, by_flag) = (Server::start(), Server::start(), Server::start());
    let mut home = Home::with_config(&by_file.config());
    home.run(&["true"]).expect(0);
    home.set("SHELLTRACK_SESSION_BUDDY__URL", &by_variable.url());
    home.run(&["false"]).expect(1);
    let url = by_flag.url();
    home.shelltrack(&["run", "--component", "flag", "--url", &url, "--", "sh", "-c", "exit 2"]).expect(2);
    home.flush();
    for (server, exit_status) in [(&by_file, 0), (&by_variable, 1), (&by_flag, 2)] {
        let records = Home::with_config(&server.config()).sessions();
        assert_eq!(records.len(), 1, "at {}: {records:#?}", server.url());
        records[0].check_ended(exit_status);
    }
}

#[test]
fn shells_of_two_users_reach_one_server() {
    let server = Server::start();
    let homes = [Home::with_config(&server.config()), Home::with_config(&server.config())];
    for home in &homes {
        home.run(&["true"]).expect(0);
        home.flush();
    }
    assert_eq!(homes[0].sessions().len(), 2);
}

#[test]
fn a_server_ends_when_it_is_told_to_and_keeps_what_it_has() {
    let mut server = Server::start();
    let home = Home::with_config(&server.config());
    home.run(&["true"]).expect(0);
    home.flush();
    server.stop();
    server.start_again();
    home.sessions()[0].check_ended(0);
}
