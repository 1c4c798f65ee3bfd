//! Whose fault it is: one event that no server takes holds up nobody and ends, and a server that takes
//! nothing costs no event.

use std::rc::Rc;
use std::time::Duration;

use tokio::sync::mpsc::{UnboundedSender, unbounded_channel};
use tokio::task::spawn_local;
use tokio::time::sleep;
use uuid::Uuid;

use super::World;
use super::server::Answer;
use crate::agent::worker::Worker;
use crate::agent::{Item, Order, Shared};
use crate::spool::{Envelope, Kind, Spool};
use crate::status::TargetStatus;

const MINUTE: Duration = Duration::from_secs(60);
const HOUR: Duration = Duration::from_secs(3_600);

/// Tools of a server that several sessions may be sent to at once.
const AT_ONCE: [&str; 4] =
    ["track_session_start", "track_session_end", "health_check", "track_session_activity"];

/// Sessions that come before the poisoned one, and behind it.
const AROUND: usize = 10;

fn worlds() -> [World; 2] {
    let (one_by_one, at_once) = (World::new(), World::new());
    at_once.buddy.offer(&AT_ONCE);
    [one_by_one, at_once]
}

/// One session of many meets `answer` again and again. The others get through within minutes, it becomes a
/// dead letter within an hour in which others come and go, and its reason says what the server did.
#[track_caller]
fn check_holds_up_nobody(answer: Answer, part_of_reason: &str) {
    for world in worlds() {
        let mut others = world.sessions(AROUND);
        let poisoned = world.sessions(1)[0];
        world.buddy.answer_session(poisoned, answer.clone());
        others.extend(world.sessions(AROUND));
        let stays_open = world.start();
        world.play(async || {
            sleep(5 * MINUTE).await;
            others.iter().for_each(|key| world.buddy.check_stored_once(*key));
            for _ in 0..15 {
                others.extend(world.sessions(1));
                sleep(2 * MINUTE).await;
            }
            world.end(stays_open);
        });
        others.iter().for_each(|key| world.buddy.check_stored_once(*key));
        let reason = world.reason(poisoned, Kind::Start);
        assert!(reason.starts_with("given up after 10 attempts"), "{answer:?}: {reason}");
        assert!(reason.contains(part_of_reason), "{answer:?}: {reason}");
        assert!(world.reason(poisoned, Kind::End).contains("given up"), "a dead start takes its end along");
        assert_eq!((world.names("new"), world.names("open")), (vec![], vec![]));
    }
}

#[test]
fn an_event_that_kills_the_server_holds_up_nobody_and_is_given_up() {
    check_holds_up_nobody(Answer::Dies, "");
}

#[test]
fn an_event_for_which_the_server_is_always_too_busy_holds_up_nobody_and_is_given_up() {
    check_holds_up_nobody(Answer::StoreError, "the disk is full");
}

#[test]
fn an_event_for_which_we_are_refused_holds_up_nobody_and_is_given_up() {
    check_holds_up_nobody(Answer::ToolError("Unauthorized"), "Unauthorized");
}

#[test]
fn an_event_that_is_never_answered_holds_up_nobody_and_is_given_up() {
    check_holds_up_nobody(Answer::Silence, "no answer");
}

#[test]
fn an_event_on_which_the_tool_fails_holds_up_nobody_and_is_given_up() {
    check_holds_up_nobody(Answer::RpcError(-32603, "KeyError: 'x'"), "KeyError");
}

#[test]
fn an_end_that_kills_the_server_holds_up_nobody_and_leaves_the_start_stored() {
    for world in worlds() {
        let poisoned = world.start();
        let others = world.play(async || {
            sleep(MINUTE).await;
            world.end(poisoned);
            world.buddy.answer_session(poisoned, Answer::Dies);
            world.sessions(AROUND)
        });
        others.iter().for_each(|key| world.buddy.check_stored_once(*key));
        assert_eq!(world.buddy.stored(poisoned), ["start"]);
        assert!(world.reason(poisoned, Kind::End).contains("given up after 10 attempts"));
    }
}

#[test]
fn several_events_that_kill_the_server_hold_up_nobody() {
    for world in worlds() {
        let poisoned = world.sessions(7);
        for key in &poisoned {
            world.buddy.answer_session(*key, Answer::Dies);
        }
        let mut others = world.sessions(AROUND);
        let stays_open = world.start();
        world.play(async || {
            // Seven failures in a row are an outage at first: the breaker's intervals, up to five minutes each.
            sleep(HOUR).await;
            others.iter().for_each(|key| world.buddy.check_stored_once(*key));
            for _ in 0..12 {
                others.extend(world.sessions(1));
                sleep(5 * MINUTE).await;
            }
            world.end(stays_open);
        });
        others.iter().for_each(|key| world.buddy.check_stored_once(*key));
        for key in poisoned {
            assert!(world.reason(key, Kind::Start).contains("given up after 10 attempts"));
        }
    }
}

impl World {
    /// A worker of the one target, told what to do by the story itself.
    fn worker(&self) -> UnboundedSender<Order> {
        let (notes, _) = unbounded_channel();
        let shared = Shared::new(self.spool.clone(), &self.options(), notes, false, Rc::new(()), None);
        let (orders, incoming) = unbounded_channel();
        spawn_local(Worker::new(Rc::new(shared), Self::target("one"), incoming).run());
        orders
    }

    /// Gives the worker both events of each session.
    fn order(&self, orders: &UnboundedSender<Order>, keys: &[Uuid]) {
        for key in keys {
            for kind in [Kind::Start, Kind::End] {
                let envelope =
                    Spool::read_json::<Envelope>(&self.spool.event_path(*key, kind)).unwrap().unwrap();
                let item = Item { accepted_us: envelope.accepted_us, kind, key: *key };
                orders.send(Order::Deliver(item)).unwrap();
            }
        }
    }
}

/// Nothing gets through for hours while a person flushes again and again, then all of it does.
#[track_caller]
fn check_outage_costs_nothing(answer: Answer, sessions: usize) {
    for world in worlds() {
        world.run(async {
            let orders = world.worker();
            let before = world.sessions(AROUND);
            world.order(&orders, &before);
            sleep(MINUTE).await;
            world.check_complete(&before);
            world.buddy.answer_always(Some(answer.clone()));
            let keys = world.sessions(sessions);
            world.order(&orders, &keys);
            for _ in 0..45 {
                orders.send(Order::TryNow).unwrap();
                sleep(Duration::from_secs(2)).await;
            }
            sleep(2 * HOUR).await;
            assert_eq!(world.names("dead"), Vec::<String>::new(), "{answer:?}");
            assert_eq!(world.names("new").len(), 2 * sessions, "{answer:?}");
            let status = TargetStatus::load(&world.spool, &World::target("one"));
            assert!(status.unreachable_since_ms.is_some() && status.last_error.is_some(), "it is told");
            world.buddy.answer_always(None);
            sleep(10 * MINUTE).await;
            world.check_complete(&keys);
        });
    }
}

#[test]
fn a_flush_while_every_tool_fails_gives_nothing_up() {
    check_outage_costs_nothing(Answer::RpcError(-32603, "boom"), 6);
    check_outage_costs_nothing(Answer::RpcError(-32603, "boom"), 1);
}

#[test]
fn a_flush_while_every_call_kills_the_server_gives_nothing_up() {
    check_outage_costs_nothing(Answer::Dies, 6);
    check_outage_costs_nothing(Answer::Dies, 1);
}

#[test]
fn a_flush_while_tools_fail_or_the_store_is_full_gives_nothing_up() {
    check_outage_costs_nothing(Answer::ToolError("Error calling tool: database is locked"), 3);
    check_outage_costs_nothing(Answer::StoreError, 3);
}

#[test]
fn an_event_that_alone_fails_waits_for_half_a_day_at_least_and_ends_all_the_same() {
    let mut world = World::new();
    world.tuning.attempts_max = 1;
    let alone = world.sessions(1)[0];
    world.buddy.answer_session(alone, Answer::ToolError("KeyError: 'x'"));
    world.play(async || {
        sleep(11 * HOUR).await;
        assert_eq!(world.names("dead"), Vec::<String>::new(), "it may be the server's fault");
    });
    assert!(world.reason(alone, Kind::Start).contains("KeyError"));
    assert!(world.reason(alone, Kind::End).contains("KeyError"));
}
