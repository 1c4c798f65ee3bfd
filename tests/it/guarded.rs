//! A server that wants a token: who finds the key, who is refused, what `token` does.

use shelltrack_tests::{BOUND, Home, Server, process::run_with_input};

const SECRET: &str = "0123456789abcdef0123456789abcdef";

/// A client of the same user as the server: it knows where keys are.
fn client_of(server: &Server) -> Home {
    let mut home = Home::with_config(&server.config());
    let keys = server.home().path().join("data/shelltrack/keys");
    home.set("SHELLTRACK_KEYS", keys.to_str().unwrap());
    home
}

#[test]
fn a_client_of_the_same_user_finds_the_secret_by_itself() {
    let server = Server::start_with(&[]);
    let home = client_of(&server);
    home.run(&["sh", "-c", "exit 7"]).expect(7);
    home.flush();
    home.sessions()[0].check_ended(7);
    let kept =
        home.files().iter().any(|(_, content)| content.windows(10).any(|window| window == b"eyJ0eXAiOi"));
    assert!(!kept, "a token was written down");
}

#[test]
fn a_client_without_a_key_is_refused_and_told() {
    let server = Server::start_with(&[]);
    let stranger = Home::with_config(&server.config());
    let listed = stranger.shelltrack(&["list-sessions"]).expect(0);
    assert!(listed.stderr.contains("401") || listed.stderr.contains("authentication"), "{}", listed.stderr);
}

#[test]
fn a_shared_secret_stands_for_the_files() {
    let mut home = Home::new();
    home.set("SESSION_BUDDY_SECRET", SECRET);
    let token = home.shelltrack(&["token", "mint", "--scope", "read", "--lifetime", "5m"]).expect(0).stdout;
    let inspect = |home: &Home| {
        run_with_input(&mut home.shelltrack_command(&["token", "inspect"]), token.as_bytes(), BOUND)
    };
    let accepted = inspect(&home).expect(0).stdout;
    assert!(accepted.contains("\"accepted\": true") && accepted.contains("\"read\""), "{accepted}");
    home.set("SESSION_BUDDY_SECRET", &SECRET.replace('0', "x"));
    let refused = inspect(&home).expect(1).stdout;
    assert!(refused.contains("\"accepted\": false") && refused.contains("signature"), "{refused}");
    assert!(home.files().is_empty(), "a secret that is given is written nowhere");
}

#[test]
fn a_secret_that_could_be_guessed_is_refused() {
    let mut home = Home::new();
    home.set("SESSION_BUDDY_SECRET", "short secret");
    let refused = home.shelltrack(&["serve", "--http", "127.0.0.1:0"]).expect(2);
    assert!(
        refused.stderr.contains("SESSION_BUDDY_SECRET") && refused.stderr.contains("32"),
        "{}",
        refused.stderr
    );
    assert!(!refused.stderr.contains("short secret"), "{}", refused.stderr);
}

#[test]
fn a_rotation_leaves_running_servers_and_clients_in_peace() {
    let server = Server::start_with(&[]);
    let home = client_of(&server);
    home.run(&["true"]).expect(0);
    home.flush();
    for _ in 0..2 {
        home.shelltrack(&["token", "rotate"]).expect(0);
    }
    home.run(&["true"]).expect(0);
    home.flush();
    assert_eq!(home.sessions().len(), 2);
}

#[test]
fn an_identity_has_a_key_of_its_own_and_prints_only_its_public_half() {
    let home = Home::new();
    let public = home.shelltrack(&["token", "rotate", "--identity", "engine"]).expect(0).stdout;
    assert!(public.contains("\"sub\":\"engine\"") && !public.contains("\"d\""), "{public}");
    let token = home.shelltrack(&["token", "mint"]).expect(0).stdout;
    let told = run_with_input(&mut home.shelltrack_command(&["token", "inspect"]), token.as_bytes(), BOUND);
    assert!(told.expect(0).stdout.contains("EdDSA"));
}

#[test]
fn over_a_pipe_a_wrong_token_of_the_environment_is_refused_at_once() {
    let mut home = Home::new();
    home.set("SESSION_BUDDY_SECRET", SECRET);
    home.set("SESSION_BUDDY_TOKEN", "very-secret-junk");
    let refused = home.shelltrack(&["serve", "--stdio"]).expect(2);
    assert!(
        refused.stderr.contains("SESSION_BUDDY_TOKEN") && !refused.stderr.contains("very-secret"),
        "{}",
        refused.stderr
    );
}

#[test]
fn a_pipe_that_closes_at_once_is_no_failure() {
    let served = Home::new().shelltrack(&["serve", "--stdio"]).expect(0);
    assert_eq!(served.stdout, "");
}

#[test]
fn a_server_says_what_it_writes_and_whom_it_lets_in() {
    let mut home = Home::new();
    let served = |home: &Home| {
        let served =
            run_with_input(&mut home.shelltrack_command(&["serve", "--stdio"]), b"", BOUND).expect(0);
        assert_eq!((served.stdout.as_str(), served.stderr.lines().count()), ("", 1), "{served:?}");
        served.stderr
    };
    let told = served(&home);
    assert!(told.contains("sessions.db") && told.contains("for whoever started it"), "{told}");
    home.set("SESSION_BUDDY_SECRET", SECRET);
    let told = served(&home);
    assert!(told.contains("tokens are checked") && !told.contains(SECRET), "{told}");
}

#[test]
fn names_that_are_none_are_told_before_anything_is_served() {
    let home = Home::new();
    for (option, wrong) in [("--allow-host", "https://a.example"), ("--allow-origin", "a.example")] {
        let refused =
            home.shelltrack(&["serve", "--http", "127.0.0.1:0", "--no-auth", option, wrong]).expect(2);
        assert!(refused.stderr.contains(wrong) && !refused.stderr.contains("serving"), "{refused:?}");
    }
}

#[test]
fn who_somebody_is_fits_what_servers_accept() {
    let mut home = Home::new();
    home.set("SESSION_BUDDY_SECRET", SECRET);
    let long = "x".repeat(201);
    for wrong in ["", "a\u{1b}[31m", long.as_str()] {
        for line in [["token", "mint", "--subject", wrong], ["token", "rotate", "--identity", wrong]] {
            let refused = home.shelltrack(&line).expect(2);
            assert!(refused.stderr.contains("200 bytes") && refused.stdout.is_empty(), "{refused:?}");
        }
    }
    assert!(home.files().is_empty());
}
