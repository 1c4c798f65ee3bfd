//! The database as a whole: out, in, archived, copied; and on PostgreSQL with several servers.

use std::os::unix::fs::PermissionsExt;

use shelltrack_tests::postgres::Postgres;
use shelltrack_tests::{BOUND, Home, Server, Shell, wait_until};

/// Shells of each client in the test of two servers: enough that the kill hits some of them under way.
const SHELLS: usize = 20;

fn home_with_sessions(count: usize) -> Home {
    let home = Home::new();
    for _ in 0..count {
        home.run(&["sh", "-c", "exit 3"]).expect(3);
    }
    home.flush();
    home
}

#[test]
fn what_is_exported_is_taken_in_once_and_exported_alike() {
    let (here, there) = (home_with_sessions(3), Home::new());
    let exported = here.shelltrack(&["export"]).expect(0).stdout;
    assert_eq!(exported.lines().count(), 3);
    let file = there.path().join("sessions.jsonl");
    std::fs::write(&file, &exported).unwrap();
    let import = ["import", file.to_str().unwrap()];
    assert!(there.shelltrack(&import).expect(0).stdout.starts_with("3 sessions taken in, 0 were here"));
    assert!(there.shelltrack(&import).expect(0).stdout.starts_with("0 sessions taken in, 3 were here"));
    assert_eq!(there.shelltrack(&["export"]).expect(0).stdout, exported);
    std::fs::write(&file, format!("\njunk\n{exported}")).unwrap();
    let refused = there.shelltrack(&import).expect(1);
    assert!(refused.stdout.contains("1 refused") && refused.stderr.contains("line 2"), "{refused:?}");
}

#[test]
fn what_cannot_be_taken_in_is_told_by_file_line_and_rule() {
    let (here, there) = (home_with_sessions(1), Home::new());
    let exported = here.shelltrack(&["export"]).expect(0).stdout;
    let file = there.path().join("sessions.jsonl");
    let named = file.to_str().unwrap();
    let long = format!("{}\n{}x", "x".repeat((1 << 20) - 1), "x".repeat(3 << 20));
    let no_text = b"\xff\n".as_slice();
    let wrong = exported.replace("\"pid\":", "\"pid\":0,\"was\":");
    let lines = [b"{}\n", no_text, long.as_bytes(), b"\n", wrong.as_bytes(), exported.as_bytes()].concat();
    std::fs::write(&file, lines).unwrap();
    let told = there.shelltrack(&["import", named]).expect(1);
    assert_eq!(told.stdout, "1 sessions taken in, 0 were here already, 5 refused\n", "{told:?}");
    for (line, rule) in [(1, "missing field"), (2, "UTF-8"), (3, "no session"), (4, "1048576"), (5, "pid")] {
        let place = format!("{named}, line {line}: ");
        let why = told.stderr.lines().find_map(|told| told.split_once(&place)).map(|(_, why)| why);
        assert!(why.is_some_and(|why| why.contains(rule) && !why.contains("line 1")), "{line}: {told:?}");
    }
    let directory = there.shelltrack(&["import", there.path().to_str().unwrap()]).expect(2);
    assert!(directory.stderr.contains("directory") && directory.stderr.contains("export"), "{directory:?}");
}

#[test]
fn a_database_that_is_misspelt_does_not_pass_for_an_empty_one() {
    let home = Home::new();
    let missing = home.path().join("missing.db");
    let copy = home.path().join("copy.db");
    let named = ["--database", missing.to_str().unwrap()];
    for command in [&["export"][..], &["archive"], &["backup", copy.to_str().unwrap()]] {
        let refused = home.shelltrack(&[command, &named].concat()).expect(2);
        assert!(refused.stderr.contains("missing.db"), "{refused:?}");
    }
    assert!(!missing.exists() && !copy.exists());
    let nothing = home.shelltrack(&["backup", copy.to_str().unwrap()]).expect(1);
    assert!(nothing.stderr.contains("nothing to copy") && !copy.exists(), "{nothing:?}");
    for wrong in ["mysql://ada@db/sessions", home.path().to_str().unwrap()] {
        let refused = home.shelltrack(&["export", "--database", wrong]);
        assert!(refused.status != 0 && !refused.stderr.contains("disk"), "{refused:?}");
    }
}

#[test]
fn archived_sessions_leave_the_list_and_are_kept() {
    let home = home_with_sessions(2);
    assert_eq!(home.shelltrack(&["archive"]).expect(0).stdout, "0 sessions archived\n");
    assert_eq!(home.sessions().len(), 2);
    assert_eq!(home.shelltrack(&["archive", "--older-than", "0s"]).expect(0).stdout, "2 sessions archived\n");
    assert!(home.sessions().is_empty());
    assert_eq!(home.shelltrack(&["export"]).expect(0).stdout.lines().count(), 2);
    home.shelltrack(&["archive", "--older-than", "soon"]).expect(2);
}

#[test]
fn a_backup_is_a_database_and_is_never_written_over_anything() {
    let home = home_with_sessions(2);
    let copy = home.path().join("copy.db");
    let copy = copy.to_str().unwrap();
    assert_eq!(home.shelltrack(&["backup", copy]).expect(0).stdout, "2 sessions copied and checked\n");
    assert_eq!(home.shelltrack(&["export", "--database", copy]).expect(0).stdout.lines().count(), 2);
    assert!(home.shelltrack(&["backup", copy]).expect(2).stderr.contains("there already"));
}

#[test]
fn two_servers_on_one_database_lose_nothing_and_store_nothing_twice_when_one_is_killed() {
    let Some(postgres) = Postgres::start() else { return };
    let url = postgres.database();
    let options = ["--no-auth", "--database", &url];
    let (mut first, second) = (Server::start_with(&options), Server::start_with(&options));
    let homes = [Home::with_config(&first.config()), Home::with_config(&second.config())];
    std::thread::scope(|scope| {
        for home in &homes {
            scope.spawn(move || (0..SHELLS).for_each(|_| drop(home.run(&["true"]).expect(0))));
        }
        // In the middle of it.
        wait_until("some sessions are stored", BOUND, || {
            let stored: usize = postgres.psql(&url, "SELECT count(*) FROM sessions").parse().unwrap();
            (stored >= SHELLS / 2).then_some(())
        });
        first.kill();
    });
    first.start_again();
    for home in &homes {
        home.flush_within(180);
    }
    let figures = postgres.psql(
        &url,
        "SELECT count(*), count(DISTINCT event_id), count(*) FILTER (WHERE state = 'ended') FROM sessions",
    );
    let all = 2 * SHELLS;
    assert_eq!(figures, format!("{all}|{all}|{all}"));
    assert_eq!(homes[1].sessions().len(), all, "each server tells what both have stored");
}

#[test]
fn a_running_server_does_what_commands_want_written_and_after_a_kill_they_do_it_themselves() {
    let exported = home_with_sessions(3).shelltrack(&["export"]).expect(0).stdout;
    let mut server = Server::start();
    let file = server.home().path().join("sessions.jsonl");
    std::fs::write(&file, &exported).unwrap();
    let import = ["import", file.to_str().unwrap()];
    assert!(server.home().shelltrack(&import).expect(0).stdout.starts_with("3 sessions taken in"));
    let archived = server.home().shelltrack(&["archive", "--older-than", "0s"]).expect(0).stdout;
    assert_eq!(archived, "3 sessions archived\n");
    server.kill();
    assert!(server.home().shelltrack(&import).expect(0).stdout.starts_with("0 sessions taken in, 3 were"));
    server.start_again();
    assert!(server.home().shelltrack(&import).expect(0).stdout.starts_with("0 sessions taken in, 3 were"));
}

#[test]
fn an_agent_does_what_commands_want_written() {
    let home = home_with_sessions(2);
    // The shell keeps the agent.
    let shell = Shell::open(&home);
    shell.start(&home);
    home.flush();
    assert_eq!(home.shelltrack(&["archive", "--older-than", "0s"]).expect(0).stdout, "2 sessions archived\n");
    assert_eq!(home.sessions().len(), 1);
}

#[test]
fn where_sessions_are_is_configured_once_and_no_password_is_told() {
    let Some(postgres) = Postgres::start() else { return };
    let url = postgres.database().replacen("postgres@", "postgres:very-secret@", 1);
    let home = Home::with_config(&format!("[server]\ndatabase = \"{url}\"\n"));
    let config = home.path().join("config/shelltrack/config.toml");
    let open = |mode| std::fs::set_permissions(&config, std::fs::Permissions::from_mode(mode)).unwrap();
    open(0o644);
    let refused = home.shelltrack(&["export"]).expect(2);
    assert!(refused.stderr.contains("chmod 600") && !refused.stderr.contains("very-secret"), "{refused:?}");
    open(0o600);
    let line = home_with_sessions(1).shelltrack(&["export"]).expect(0).stdout;
    let file = home.path().join("sessions.jsonl");
    std::fs::write(&file, line).unwrap();
    home.shelltrack(&["import", file.to_str().unwrap()]).expect(0);
    assert_eq!(postgres.psql(&url, "SELECT count(*) FROM sessions"), "1");
    let mut by_variable = Home::new();
    by_variable.set("SHELLTRACK_SERVER__DATABASE", &url);
    by_variable.set("SHELLTRACK_LOG", "trace");
    let exported = by_variable.shelltrack(&["export"]).expect(0);
    assert_eq!(exported.stdout.lines().count(), 1);
    assert!(!exported.stderr.contains("very-secret"), "{}", exported.stderr);
    let status = home.shelltrack(&["status"]);
    assert!(!format!("{status:?}").contains("very-secret"));
    let typed = home.shelltrack(&["export", "--database", &url]).expect(0);
    assert!(typed.stderr.contains("command line") && !typed.stderr.contains("very-secret"), "{typed:?}");
}
