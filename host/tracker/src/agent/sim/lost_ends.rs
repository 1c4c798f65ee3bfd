//! Ends nobody announced.

use std::process::Command;
use std::time::{Duration, SystemTime};

use shelltrack_sandbox::types::{ExitReason, StartContext};

use super::World;
use super::server::Answer;
use crate::process::ProcessId;
use crate::spool::{Kind, Spool};
use crate::{EndedAt, ShellEnd};

/// A process that is gone.
fn gone() -> ProcessId {
    let mut child = Command::new("sleep").arg("60").spawn().unwrap();
    let process = ProcessId::of(child.id());
    child.kill().unwrap();
    child.wait().unwrap();
    process
}

#[test]
fn a_shell_that_is_gone_is_ended_within_five_seconds() {
    let world = World::new();
    let key = world.start_for(World::target("one"), gone());
    world.play(async || {
        tokio::time::sleep(Duration::from_secs(5)).await;
        assert_eq!(world.buddy.stored(key), ["start", "end vanished"]);
    });
    assert_eq!(world.names("new"), Vec::<String>::new());
}

#[test]
fn a_pid_that_another_process_has_by_now_is_no_life() {
    let world = World::new();
    let me = ProcessId::of(std::process::id());
    let earlier = ProcessId { started: me.started.map(|ticks| ticks - 1), ..me };
    let key = world.start_for(World::target("one"), earlier);
    world.drain();
    assert_eq!(world.buddy.stored(key), ["start", "end vanished"]);
}

#[test]
fn an_announced_end_that_is_late_replaces_an_inferred_one_also_after_the_agent_ended() {
    let world = World::new();
    let key = world.start_for(World::target("one"), gone());
    world.drain();
    assert_eq!(world.buddy.stored(key), ["start", "end vanished"]);
    world.end(key);
    world.drain();
    assert_eq!(world.buddy.stored(key), ["start", "end vanished", "end exited"]);
    world.check_nothing_left();
}

/// What the end of this session says of its time: microseconds since 1970.
fn ended_us(world: &World, key: uuid::Uuid) -> i64 {
    let ends = world.buddy.calls("track_session_end");
    let of = |end: &&serde_json::Value| end["metadata"]["correlation_id"] == key.to_string();
    let end = ends.iter().rfind(of).unwrap();
    chrono::DateTime::parse_from_rfc3339(end["timestamp"].as_str().unwrap()).unwrap().timestamp_micros()
}

fn us(time: SystemTime) -> i64 {
    i64::try_from(time.duration_since(SystemTime::UNIX_EPOCH).unwrap().as_micros()).unwrap()
}

fn announce(world: &World, key: uuid::Uuid, at: EndedAt) {
    let end = ShellEnd { exit_status: Some(3), exit_reason: ExitReason::Exited, at };
    world.tracker().session(&key.to_string()).unwrap().end(end).unwrap();
    world.drain();
}

#[test]
fn an_end_that_was_waited_for_tells_when_and_one_of_a_sleeper_when_the_agent_saw_it() {
    let world = World::new();
    let (hour, now) = (Duration::from_secs(3_600), SystemTime::now());
    let waited = world.start();
    announce(&world, waited, EndedAt::Then(now + hour));
    assert_eq!(ended_us(&world, waited), us(now + hour));
    // What the agent saw while the one who waited slept.
    for (lived, over) in
        [(now - hour, now + hour), (now + hour, now + 2 * hour), (now - 2 * hour, now - hour)]
    {
        let key = world.start_for(World::target("one"), gone());
        world.drain();
        let inferred = ended_us(&world, key);
        announce(&world, key, EndedAt::Between { lived, over });
        assert_eq!(ended_us(&world, key), inferred.max(us(lived)).min(us(over)));
        assert_eq!(world.buddy.stored(key), ["start", "end vanished", "end exited"]);
    }
    // Nobody saw anything.
    let unseen = world.start();
    announce(&world, unseen, EndedAt::Between { lived: now, over: now + hour });
    assert_eq!(ended_us(&world, unseen), us(now + hour));
    world.check_nothing_left();
}

#[test]
fn a_session_whose_events_are_delivered_before_the_disk_has_them_is_stored_once() {
    let world = World::new();
    let tracker = world.tracker();
    let context = || StartContext {
        component_name: "sim".to_owned(),
        shell_type: "sh".to_owned(),
        ..crate::surroundings(std::process::id())
    };
    let end = || ShellEnd {
        exit_status: Some(0),
        exit_reason: ExitReason::Exited,
        at: EndedAt::Then(SystemTime::now()),
    };
    for delivered_first in [true, false] {
        let session = tracker.start_unforced(context()).unwrap();
        let key = uuid::Uuid::parse_str(session.key()).unwrap();
        session.end_unforced(end()).unwrap();
        if delivered_first {
            world.drain();
        }
        session.force().unwrap();
        world.drain();
        world.check_complete(&[key]);
    }
}

#[test]
fn an_end_seen_by_a_clock_that_was_set_back_is_none_before_its_start() {
    let world = World::new();
    let tracker = world.tracker();
    let context = StartContext {
        component_name: "sim".to_owned(),
        shell_type: "sh".to_owned(),
        ..crate::surroundings(std::process::id())
    };
    let session = tracker.start(context).unwrap();
    let key = uuid::Uuid::parse_str(session.key()).unwrap();
    let at = EndedAt::Then(SystemTime::now() - Duration::from_secs(3_600));
    session.end(ShellEnd { exit_status: Some(0), exit_reason: ExitReason::Exited, at }).unwrap();
    world.drain();
    world.check_complete(&[key]);
}

#[test]
fn a_start_whose_shell_was_gone_when_it_was_first_seen_ends_when_it_is_last_known_to_have_lived() {
    let world = World::new();
    let boot = ProcessId { boot: "an-earlier-run".to_owned(), ..ProcessId::of(std::process::id()) };
    for (process, end) in [(boot, "end rebooted"), (gone(), "end vanished")] {
        let start = world.start_event(uuid::Uuid::new_v4(), World::target("one"), process);
        world.spool.accept(&start, Kind::Start).unwrap();
        world.run_at(start.accepted_us + 3_600_000_000, async { world.agent(None).await.unwrap() });
        assert_eq!(world.buddy.stored(start.key), ["start", end]);
        assert_eq!(ended_us(&world, start.key), i64::try_from(start.accepted_us).unwrap());
    }
}

#[test]
fn an_announced_end_is_delivered_though_its_session_was_given_up_days_ago() {
    const TWO_DAYS_US: u64 = 2 * 24 * 3600 * 1_000_000;
    let world = World::new();
    let key = world.start_for(World::target("one"), gone());
    world.drain();
    world.end(key);
    world.run_at(crate::clock::system_us() + TWO_DAYS_US, async { world.agent(None).await.unwrap() });
    assert_eq!(world.buddy.stored(key), ["start", "end vanished", "end exited"]);
    world.check_nothing_left();
}

#[test]
fn an_agent_that_stays_forgets_those_whose_end_nobody_will_announce_any_more() {
    let world = World::new();
    let stays = world.start();
    let gone = world.start_for(World::target("one"), gone());
    world.play(async || {
        tokio::time::sleep(Duration::from_secs(23 * 3_600)).await;
        assert_eq!(world.names("open").len(), 2, "a late end would still be taken");
        tokio::time::sleep(Duration::from_secs(3 * 3_600)).await;
        assert_eq!(world.names("open"), [format!("{stays}.json")]);
        world.end(stays);
    });
    assert_eq!(world.buddy.stored(gone), ["start", "end vanished"]);
    world.check_complete(&[stays]);
}

#[test]
fn last_words_within_the_grace_leave_nothing_to_infer() {
    let world = World::new();
    let key = world.start_for(World::target("one"), gone());
    world.play(async || {
        tokio::time::sleep(Duration::from_secs(1)).await;
        world.end(key);
    });
    world.check_complete(&[key]);
}

#[test]
fn after_a_reboot_what_was_open_is_ended_with_the_last_time_it_was_seen() {
    let world = World::new();
    let process = ProcessId { boot: "an-earlier-run".to_owned(), ..ProcessId::of(std::process::id()) };
    let start = world.start_event(uuid::Uuid::new_v4(), World::target("one"), process);
    let session = super::super::OpenSession::from_start(&start, start.opened.as_ref().unwrap());
    session.save(&world.spool).unwrap();
    let seen_ms = start.accepted_us / 1_000 + 60_000;
    world.run(async { world.agent(Some(seen_ms)).await.unwrap() });
    assert_eq!(world.buddy.stored(start.key), ["start", "end rebooted"]);
    let ends = world.buddy.calls("track_session_end");
    let at = chrono::DateTime::parse_from_rfc3339(ends[0]["timestamp"].as_str().unwrap()).unwrap();
    assert_eq!(at.timestamp_millis(), i64::try_from(seen_ms).unwrap());
}

#[test]
fn an_announced_end_whose_inferred_one_was_refused_is_still_delivered() {
    let world = World::new();
    let key = world.start_for(World::target("one"), gone());
    world.play(async || {
        tokio::time::sleep(Duration::from_secs(1)).await;
        world.buddy.answer_next([Answer::StatusError("no")]);
    });
    assert!(world.reason(key, Kind::Gone).contains("no"));
    world.end(key);
    world.drain();
    assert_eq!(world.buddy.stored(key), ["start", "end exited"]);
}

#[test]
fn an_announced_end_that_is_refused_after_an_inferred_one_is_a_dead_letter() {
    let world = World::new();
    let key = world.start_for(World::target("one"), gone());
    world.drain();
    world.buddy.answer_next([Answer::StatusError("too late")]);
    world.end(key);
    world.drain();
    assert!(world.reason(key, Kind::End).contains("too late"));
    assert_eq!(world.names("open"), Vec::<String>::new());
}

#[test]
fn an_end_that_the_disk_does_not_take_is_recorded_when_it_does_again() {
    use crate::fault::{Plan, inject};
    let world = World::new();
    let key = world.start_for(World::target("one"), gone());
    world.play(async || {
        tokio::time::sleep(Duration::from_secs(1)).await;
        inject(Some(Plan::failing("event.write=ENOSPC")));
        tokio::time::sleep(Duration::from_secs(60)).await;
        assert_eq!(world.buddy.stored(key), ["start"]);
        inject(None);
    });
    assert_eq!(world.buddy.stored(key), ["start", "end vanished"]);
}

#[test]
fn a_visitor_of_another_namespaces_spool_judges_nobody_of_this_run() {
    let world = World::new();
    let name = world.spool.root().file_name().unwrap().to_str().unwrap().to_owned();
    let (machine, _) = name.rsplit_once('-').unwrap();
    let theirs = Spool::at(world.spool.root().with_file_name(format!("{machine}-1"))).unwrap();
    // Pids mean something else there: this one is free here, and may be a living shell there.
    let open = world.start_event(uuid::Uuid::new_v4(), World::target("one"), gone());
    let waits = world.start_event(uuid::Uuid::new_v4(), World::target("one"), gone());
    theirs.accept(&open, Kind::Start).unwrap();
    theirs.accept(&waits, Kind::Start).unwrap();
    theirs.accept(&world.end_event(waits.key), Kind::End).unwrap();
    world.visit(&theirs);
    world.buddy.check_stored_once(waits.key);
    let stored = world.buddy.stored(open.key);
    if crate::process::is_namespace_gone(1) {
        // Nobody lives in that namespace for certain.
        assert_eq!(stored[0], "start");
    } else {
        assert_eq!(stored, ["start"]);
    }
    assert!(!theirs.root().join("agent.json").exists(), "nobody there is to rely on a visitor");
}
