//! Servers on their bad days, class by class: what is tried again, what is final, and what else goes on
//! meanwhile.

use super::World;
use super::server::Answer;
use crate::spool::Kind;
use crate::status::TargetStatus;

/// Of the first of three sessions the start meets `answers`; then the server is well again.
#[track_caller]
fn check_gets_through(answers: Vec<Answer>) {
    let world = World::new();
    world.buddy.answer_next(answers.clone());
    let keys = world.sessions(3);
    world.drain();
    eprintln!("{answers:?}");
    world.check_complete(&keys);
}

/// Of three sessions the first start meets `answer`, which is final.
#[track_caller]
fn check_is_final(answer: Answer, part_of_reason: &str) {
    let world = World::new();
    world.buddy.answer_next([answer]);
    let keys = world.sessions(3);
    world.drain();
    assert!(world.reason(keys[0], Kind::Start).contains(part_of_reason));
    assert!(world.reason(keys[0], Kind::End).contains(part_of_reason), "a dead start takes its end along");
    for key in &keys[1..] {
        world.buddy.check_stored_once(*key);
    }
    assert_eq!(world.names("open"), Vec::<String>::new());
}

#[test]
fn an_answer_that_is_late_but_in_time_is_taken() {
    check_gets_through(vec![Answer::Late(14_000)]);
}

#[test]
fn an_answer_that_comes_too_late_or_never_is_asked_for_again() {
    check_gets_through(vec![Answer::Late(20_000)]);
    check_gets_through(vec![Answer::Silence, Answer::StoredInSilence, Answer::Silence]);
}

#[test]
fn garbage_in_place_of_an_answer_is_no_success() {
    check_gets_through(vec![
        Answer::Raw("\u{0}\u{1}\u{2} no json at all"),
        Answer::Raw("{\"jsonrpc\": \"2.0\", \"id\":"),
        Answer::Raw("[]"),
    ]);
}

#[test]
fn the_answer_to_another_question_is_no_success() {
    check_gets_through(vec![Answer::WrongId, Answer::WrongId]);
}

#[test]
fn half_a_frame_and_the_end_of_the_connection_is_tried_again() {
    check_gets_through(vec![Answer::HalfAndHangUp, Answer::HalfAndHangUp]);
}

#[test]
fn a_tool_that_fails_is_called_again() {
    check_gets_through(vec![Answer::ToolError("Error calling tool: database is locked")]);
    check_gets_through(vec![Answer::RpcError(-32603, "Internal error")]);
}

#[test]
fn a_status_of_error_is_final_though_the_result_is_not_marked() {
    check_is_final(Answer::StatusError("cwd does not exist"), "cwd does not exist");
}

#[test]
fn arguments_that_break_the_schema_are_final() {
    check_is_final(Answer::ToolError("1 validation error for call[track_session_start]"), "validation error");
    check_is_final(Answer::RpcError(-32602, "Invalid params"), "Invalid params");
}

#[test]
fn an_event_that_never_gets_through_is_given_up_and_holds_up_nobody() {
    let world = World::new();
    let poisoned = world.sessions(1)[0];
    world.buddy.answer_session(poisoned, Answer::ToolError("KeyError: 'x'"));
    let others = world.sessions(2);
    world.drain();
    assert!(world.reason(poisoned, Kind::Start).contains("given up after 10 attempts"));
    for key in others {
        world.buddy.check_stored_once(key);
    }
}

#[test]
fn a_refused_identity_loses_nothing_and_is_told() {
    let world = World::new();
    world.buddy.answer_always(Some(Answer::ToolError("❌ Authentication failed: Token required")));
    let keys = world.sessions(2);
    world.play(async || {
        tokio::time::sleep(std::time::Duration::from_secs(2 * 3600)).await;
        let status = TargetStatus::load(&world.spool, &World::target("one"));
        assert!(status.needs_attention.is_some_and(|line| line.contains("Token required")));
        world.buddy.answer_always(None);
    });
    world.check_complete(&keys);
}

#[test]
fn a_server_without_the_tracking_tools_is_never_called_and_asked_again_later() {
    let world = World::new();
    world.buddy.offer(&["search_reflections"]);
    let keys = world.sessions(1);
    world.play(async || {
        tokio::time::sleep(std::time::Duration::from_secs(3_600)).await;
        let status = TargetStatus::load(&world.spool, &World::target("one"));
        assert!(status.needs_attention.is_some_and(|line| line.contains("track_session_start")));
        assert_eq!(world.buddy.calls("track_session_start").len(), 0);
        world.buddy.offer(&["track_session_start", "track_session_end"]);
    });
    world.check_complete(&keys);
}

#[test]
fn an_outage_of_six_hours_delays_and_loses_nothing() {
    let world = World::new();
    let keys = world.sessions(5);
    world.network.set_down("one", true);
    world.play(async || {
        tokio::time::sleep(std::time::Duration::from_secs(6 * 3600)).await;
        world.network.set_down("one", false);
    });
    world.check_complete(&keys);
}

#[test]
fn a_server_whose_disk_is_full_for_hours_costs_no_event() {
    let world = World::new();
    world.buddy.answer_always(Some(Answer::StoreError));
    let keys = world.sessions(2);
    world.play(async || {
        tokio::time::sleep(std::time::Duration::from_secs(6 * 3600)).await;
        world.buddy.answer_always(None);
    });
    world.check_complete(&keys);
}

#[test]
fn what_waits_for_more_than_thirty_days_becomes_a_dead_letter() {
    let world = World::new();
    let key = world.start();
    world.end(key);
    world.network.set_down("one", true);
    world.run(async {
        crate::clock::virtual_time::set(crate::clock::system_us() + 30 * DAY_US - 2 * HOUR_US);
        let agent = world.agent(None);
        let story = async {
            tokio::time::sleep(std::time::Duration::from_secs(3600)).await;
            assert_eq!(world.names("new").len(), 2, "not yet");
        };
        let (served, ()) = tokio::join!(agent, story);
        served.unwrap();
    });
    assert!(world.reason(key, Kind::Start).contains("30 days"));
    assert!(world.reason(key, Kind::End).contains("30 days"));
    assert_eq!(world.names("new"), Vec::<String>::new());
}

const HOUR_US: u64 = 3600 * 1_000_000;
const DAY_US: u64 = 24 * HOUR_US;
