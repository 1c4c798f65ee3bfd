//! Whose fault it is that an event does not get through: one that no server takes holds up nobody, and a
//! server that takes nothing costs no event, however hard a person tries.

use shelltrack_tests::{Answer, FakeSessionBuddy, Home};

/// Shells around the one whose event is not taken.
const SHELLS: usize = 10;

/// Runs a shell of that component.
#[track_caller]
fn run(home: &Home, component: &str) {
    home.shelltrack(&["run", "--component", component, "--", "true"]).expect(0);
}

/// Sessions of which the fake took both events, by their component.
fn complete(fake: &FakeSessionBuddy) -> Vec<String> {
    let ended = fake.accepted("track_session_end");
    let is_ended = |start: &&serde_json::Value| {
        let key = &start["metadata"]["correlation_id"];
        ended.iter().any(|end| end["metadata"]["correlation_id"] == *key)
    };
    let started = fake.accepted("track_session_start");
    let names = started.iter().filter(is_ended).filter_map(|start| start["component_name"].as_str());
    let mut names: Vec<String> = names.map(str::to_owned).collect();
    names.sort_unstable();
    names
}

fn names() -> Vec<String> {
    (0..SHELLS).map(|number| format!("good-{number:02}")).collect()
}

/// The server answers calls for one component's sessions like this, whatever else it does well.
#[track_caller]
fn check_holds_up_nobody(component: &str, answer: Answer, part_of_reason: &str) {
    let fake = FakeSessionBuddy::start();
    fake.answer_those_with(component, answer);
    let home = Home::with_config(&format!("{}[delivery]\nattempts = 3\n", fake.config()));
    run(&home, component);
    names().iter().for_each(|name| run(&home, name));
    // Delivery is over when nothing waits any more, well or not.
    home.shelltrack(&["flush", "--timeout", "100"]);
    assert_eq!(complete(&fake), names());
    let letters = home.json(&["dead-letters", "list", "--json"]);
    let reasons: Vec<_> =
        letters.as_array().unwrap().iter().map(|letter| letter["reason"].to_string()).collect();
    assert_eq!(reasons.len(), 2, "a start and its end: {letters:#}");
    for reason in reasons {
        assert!(reason.contains("given up after 3 attempts") && reason.contains(part_of_reason), "{reason}");
    }
    assert_eq!(home.status()["queued"], 0);
}

#[test]
fn an_event_on_which_the_server_dies_holds_up_nobody_and_becomes_a_dead_letter() {
    check_holds_up_nobody("poisoned", Answer::HeardThenCut, "");
}

#[test]
fn an_event_whose_words_a_server_repeats_as_it_fails_is_no_refusal_of_us() {
    let answer = Answer::ToolError("cannot log 'Unauthorized-drill'");
    check_holds_up_nobody("unauthorized-drill", answer, "cannot log");
}

#[test]
fn a_flush_while_every_call_fails_gives_nothing_up_and_all_is_delivered_later() {
    let fake = FakeSessionBuddy::start();
    fake.answer_those_with("", Answer::RpcError(-32603));
    let home = Home::with_config(&fake.config());
    names().iter().for_each(|name| run(&home, name));
    let told = home.shelltrack(&["flush", "--timeout", "30"]).expect(1).stderr;
    assert!(told.contains("it cannot be done"), "{told}");
    let status = home.status();
    assert_eq!((&status["dead_letters"], &status["queued"]), (&0.into(), &(2 * SHELLS).into()), "{status:#}");

    fake.answer_well();
    home.flush();
    assert_eq!(complete(&fake), names());
    assert_eq!(home.status()["dead_letters"], 0);
}
