//! What was given up: seen, queued again or dropped by a person, and never sent as something new.

use serde_json::Value;
use shelltrack_tests::terminal::Terminal;
use shelltrack_tests::{Answer, BOUND, FakeSessionBuddy, Home, Shell, run_bounded, skip, wait_until};

/// Signal that a process sends itself at its point, as shells count it.
const KILLED: i32 = 137;

const REFUSED: Answer = Answer::StatusError("cwd does not exist here");

/// A home with one session whose start was refused: two dead letters.
fn home_with_a_dead_session(fake: &FakeSessionBuddy) -> Home {
    fake.answer_next([REFUSED]);
    let home = Home::with_config(&fake.config());
    home.shelltrack(&["run", "--component", "refused", "--", "true"]).expect(0);
    // Delivery is over when nothing waits any more, well or not.
    home.shelltrack(&["flush", "--timeout", "60"]);
    home
}

#[track_caller]
fn letters(home: &Home) -> Vec<Value> {
    let listed = home.json(&["dead-letters", "list", "--json"]);
    listed.as_array().unwrap_or_else(|| panic!("no array: {listed:#}")).clone()
}

#[track_caller]
fn key_of_only_session(home: &Home) -> String {
    let letters = letters(home);
    assert!(letters.iter().all(|letter| letter["session"] == letters[0]["session"]), "{letters:#?}");
    letters[0]["session"].as_str().unwrap().to_owned()
}

/// Tools that were called and answered well, in order.
fn taken(fake: &FakeSessionBuddy) -> Vec<String> {
    let good = fake.calls().into_iter().filter(|call| call.answer == Answer::Good);
    good.map(|call| call.tool).filter(|tool| tool != "health_check").collect()
}

/// Event ids of every start that was sent.
fn ids_of_starts(fake: &FakeSessionBuddy) -> Vec<Value> {
    let starts = fake.calls().into_iter().filter(|call| call.tool == "track_session_start");
    starts.map(|call| call.arguments["event_id"].clone()).collect()
}

#[test]
fn a_dead_letter_is_told_with_its_reason_and_delivered_after_a_retry() {
    let fake = FakeSessionBuddy::start();
    let home = home_with_a_dead_session(&fake);
    let given_up = letters(&home);
    let events: Vec<_> = given_up.iter().filter_map(|letter| letter["event"].as_str()).collect();
    assert_eq!(events, ["start", "end"]);
    for letter in &given_up {
        assert_eq!((&letter["retryable"], &letter["target"]["url"]), (&true.into(), &fake.url().into()));
    }
    assert!(given_up[0]["reason"].as_str().unwrap().contains("cwd does not exist"), "{given_up:#?}");
    let status = home.shelltrack(&["status"]).expect(1).stdout;
    assert!(status.contains("dead-letters list"), "{status}");

    home.shelltrack(&["dead-letters", "retry", "--all"]).expect(0);
    home.flush();
    assert_eq!(taken(&fake), ["track_session_start", "track_session_end"], "start before end");
    let ids = ids_of_starts(&fake);
    assert_eq!((ids.len(), &ids[0]), (2, &ids[1]), "a retry is the same event");
    assert_eq!(letters(&home), Vec::<Value>::new());
    home.shelltrack(&["status"]).expect(0);
}

#[test]
fn an_end_that_was_refused_is_retried_for_the_session_the_server_knows() {
    let fake = FakeSessionBuddy::start();
    fake.answer_next([Answer::Good, REFUSED]);
    let home = Home::with_config(&fake.config());
    home.run(&["true"]).expect(0);
    home.shelltrack(&["flush", "--timeout", "60"]);
    let given_up = letters(&home);
    assert_eq!((given_up.len(), &given_up[0]["event"]), (1, &"end".into()), "{given_up:#?}");
    let key = key_of_only_session(&home);
    home.shelltrack(&["dead-letters", "retry", &key[..8]]).expect(0);
    home.flush();
    let ends: Vec<_> = fake.calls().into_iter().filter(|call| call.tool == "track_session_end").collect();
    assert_eq!(ends.len(), 2, "{ends:#?}");
    assert_eq!(ends[0].arguments, ends[1].arguments, "the same end of the same session");
    assert_eq!(taken(&fake), ["track_session_start", "track_session_end"], "the start is not sent again");
}

#[test]
fn a_letter_that_a_killed_retry_left_behind_makes_no_second_session() {
    let fake = FakeSessionBuddy::start();
    let home = home_with_a_dead_session(&fake);
    let left: Vec<_> = home.files().into_iter().filter(|(path, _)| is_letter(path)).collect();
    assert_eq!(left.len(), 2);
    home.shelltrack(&["dead-letters", "retry", "--all"]).expect(0);
    // As if the retry had been killed after it queued the events, before it removed the letters.
    for (path, content) in left {
        std::fs::write(path, content).unwrap();
    }
    // It cannot know that these letters are of events that were delivered.
    home.shelltrack(&["flush", "--timeout", "60"]);
    home.shelltrack(&["dead-letters", "retry", "--all"]).expect(0);
    home.flush();
    let ids = ids_of_starts(&fake);
    assert!(ids.iter().all(|id| *id == ids[0]), "a server knows it again by its id: {ids:?}");
    assert_eq!(letters(&home), Vec::<Value>::new());
}

/// A command about dead letters that kills itself at this step.
#[track_caller]
fn kill_at(home: &Home, point: &str, arguments: &[&str]) {
    let mut command = home.shelltrack_command(arguments);
    let killed = run_bounded(command.env("SHELLTRACK_CRASH_AT", point), BOUND);
    assert_eq!(killed.status, KILLED, "{point}: {killed:?}");
}

#[test]
fn a_retry_that_is_killed_at_any_step_loses_no_event_and_delivers_none_twice() {
    let points = shelltrack_tracker::fault::names_of_letters();
    let points = points.into_iter().filter(|point| point.starts_with("again"));
    // Of the second letter as well.
    for point in points.chain(["again.take:2", "again.queue:2"].map(str::to_owned)) {
        let fake = FakeSessionBuddy::start();
        let home = home_with_a_dead_session(&fake);
        kill_at(&home, &point, &["dead-letters", "retry", "--all"]);
        let left = letters(&home).len() as u64 + home.status()["queued"].as_u64().unwrap();
        assert!(left <= 2, "{point}: an event is a letter or it waits, and never both: {left}");
        home.flush();
        home.shelltrack(&["dead-letters", "retry", "--all"]).expect(0);
        home.flush();
        let taken = taken(&fake);
        let starts = taken.iter().filter(|tool| *tool == "track_session_start").count();
        assert_eq!((starts, taken.last().map(String::as_str)), (1, Some("track_session_end")), "{point}");
        let mut ends = fake.calls().into_iter().filter(|call| call.tool == "track_session_end");
        let said = ends.next_back().unwrap().arguments["metadata"]["exit_status"].clone();
        assert_eq!(said, 0, "{point}: the end that the shell announced");
        assert_eq!(letters(&home), Vec::<Value>::new(), "{point}");
        home.shelltrack(&["status"]).expect(0);
    }
}

#[test]
fn a_drop_that_is_killed_leaves_the_letter_or_takes_it_and_can_be_repeated() {
    let fake = FakeSessionBuddy::start();
    let home = home_with_a_dead_session(&fake);
    for point in ["drop.take", "drop.remove"] {
        kill_at(&home, point, &["dead-letters", "drop", "--all", "--yes"]);
        assert_eq!(letters(&home).len(), 2, "{point}");
    }
    home.shelltrack(&["dead-letters", "drop", "--all", "--yes"]).expect(0);
    assert_eq!(letters(&home), Vec::<Value>::new());
}

#[test]
fn an_event_that_is_refused_again_at_once_is_a_letter_after_every_retry() {
    let fake = FakeSessionBuddy::start();
    let home = home_with_a_dead_session(&fake);
    // Keeps the agent there, which refuses as fast as it can.
    let shell = Shell::open(&home);
    shell.start(&home);
    home.flush();
    for _ in 0..10 {
        fake.answer_next([REFUSED]);
        home.shelltrack(&["dead-letters", "retry", "--all"]).expect(0);
        wait_until("both are letters again", BOUND, || (letters(&home).len() == 2).then_some(()));
    }
}

fn is_letter(path: &std::path::Path) -> bool {
    path.parent().is_some_and(|room| room.ends_with("dead"))
}

#[test]
fn dead_letters_are_dropped_only_when_it_is_meant() {
    let fake = FakeSessionBuddy::start();
    let home = home_with_a_dead_session(&fake);
    let key = key_of_only_session(&home);
    let asked = home.shelltrack(&["dead-letters", "drop", "--all"]).expect(2);
    assert!(asked.stderr.contains("--yes"), "{asked:?}");
    home.shelltrack(&["dead-letters", "drop"]).expect(2);
    home.shelltrack(&["dead-letters", "drop", "--yes", "00000000"]).expect(1);
    assert_eq!(letters(&home).len(), 2);
    home.shelltrack(&["dead-letters", "drop", "--yes", &key]).expect(0);
    assert_eq!(letters(&home), Vec::<Value>::new());
    home.shelltrack(&["status"]).expect(0);
    assert_eq!(taken(&fake), Vec::<String>::new());
}

#[test]
fn on_a_terminal_a_person_is_asked_before_letters_are_dropped() {
    let fake = FakeSessionBuddy::start();
    let home = home_with_a_dead_session(&fake);
    let Some(terminal) = Terminal::open(&home) else { return skip("there is no tmux") };
    let drop = format!("{} dead-letters drop --all", shelltrack_tests::binary::shelltrack().display());
    for (answer, left) in [("n", 2), ("y", 0)] {
        terminal.type_line(&drop);
        terminal.wait_for("the question", |text| text.trim_end().ends_with("[y/N]"));
        terminal.type_line(answer);
        terminal.wait_for("the prompt", |text| text.trim_end().ends_with(shelltrack_tests::terminal::PROMPT));
        assert_eq!(letters(&home).len(), left, "{}", terminal.text());
    }
}

#[test]
fn a_letter_is_shown_in_full_and_an_unknown_one_is_told() {
    let fake = FakeSessionBuddy::start();
    let home = home_with_a_dead_session(&fake);
    let key = key_of_only_session(&home);
    let shown = home.shelltrack(&["dead-letters", "show", &key]).expect(0).stdout;
    for part in [&key, "cwd does not exist here", &fake.url(), "\"component_name\":\"refused\""] {
        assert!(shown.contains(part), "{part} is not in {shown}");
    }
    let unknown = home.shelltrack(&["dead-letters", "show", "ffffffff"]).expect(1);
    assert!(unknown.stderr.contains("ffffffff"), "{unknown:?}");
    let table = home.shelltrack(&["dead-letters", "list"]).expect(0).stdout;
    assert_eq!(table.lines().count(), 3, "a header and two letters: {table}");
}

#[test]
fn more_dead_letters_than_are_wanted_are_removed_oldest_first_and_counted() {
    let fake = FakeSessionBuddy::start();
    let home = home_with_a_dead_session(&fake);
    home.configure(&format!("{}[dead-letters]\ncount = 0\n", fake.config()));
    // An agent keeps house when it begins.
    shelltrack_tests::wait_until("the agent is gone", shelltrack_tests::BOUND, || {
        home.status()["agent_pid"].is_null().then_some(())
    });
    home.run(&["true"]).expect(0);
    home.flush();
    assert_eq!(letters(&home), Vec::<Value>::new());
    shelltrack_tests::wait_until("they are counted", shelltrack_tests::BOUND, || {
        let text = home.shelltrack(&["status", "--prometheus"]).expect(0).stdout;
        text.lines().any(|line| line == "shelltrack_dead_letters_removed_total 2.0").then_some(())
    });
}

#[test]
fn a_letter_without_its_event_is_kept_by_a_retry_that_says_so() {
    let fake = FakeSessionBuddy::start();
    let home = home_with_a_dead_session(&fake);
    let key = key_of_only_session(&home);
    // What an agent leaves that finds a session's state damaged whose start is delivered.
    let letter = r#"{"reason":"what was known of its session is torn","dead_us":1,"event":null}"#;
    std::fs::write(home.spool().join(format!("dead/{key}.start.json")), letter).unwrap();
    let told = home.shelltrack(&["dead-letters", "retry", &key]).expect(1);
    assert!(told.stderr.contains("lacks an event"), "{told:?}");
    let kept = letters(&home);
    assert_eq!(kept.len(), 2);
    assert!(kept.iter().all(|letter| letter["retryable"] == false), "{kept:#?}");
    home.shelltrack(&["dead-letters", "drop", "--yes", &key]).expect(0);
    assert_eq!(letters(&home), Vec::<Value>::new());
}

#[test]
fn a_flush_fails_once_for_what_was_given_up_before_it_began_and_tells_of_it_afterwards() {
    let fake = FakeSessionBuddy::start();
    fake.answer_those_with("", REFUSED);
    let home = Home::with_config(&fake.config());
    home.run(&["true"]).expect(0);
    wait_until("both events are given up", BOUND, || (home.status()["dead_letters"] == 2).then_some(()));
    let first = home.shelltrack(&["flush"]).expect(1);
    assert!(first.stderr.contains("2 events given up since the last flush"), "{first:?}");
    fake.answer_well();
    home.run(&["true"]).expect(0);
    let later = home.shelltrack(&["flush", "--timeout", "60"]).expect(0);
    assert!(
        later.stderr.contains("2 events given up") && later.stderr.contains("dead-letters list"),
        "{later:?}"
    );
    home.shelltrack(&["dead-letters", "drop", "--all", "--yes"]).expect(0);
    let quiet = home.shelltrack(&["flush"]).expect(0);
    assert_eq!(quiet.stderr, "");
}
