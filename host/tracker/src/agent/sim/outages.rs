//! Servers that are away for long, and clocks that jump meanwhile.

use std::time::Duration;

use tokio::time::sleep;

use super::World;
use crate::clock::{now_us, system_us, virtual_time};
use crate::spool::Kind;

const HOUR: Duration = Duration::from_secs(3_600);
const DAY: Duration = Duration::from_secs(24 * 3_600);

fn us(duration: Duration) -> u64 {
    u64::try_from(duration.as_micros()).unwrap()
}

#[test]
fn a_dead_letter_that_was_given_up_for_its_age_waits_anew_when_it_is_queued_again() {
    let world = World::new();
    let key = world.start();
    world.end(key);
    world.network.set_down("one", true);
    let later_us = system_us() + us(31 * DAY);
    world.run_at(later_us, async { world.agent(None).await.unwrap() });
    assert!(world.reason(key, Kind::Start).contains("30 days"));

    world.run_at(later_us + us(60 * DAY), async {
        assert_eq!(world.tracker().retry_dead_letters(&key.to_string()).unwrap(), 2);
        let story = async {
            sleep(HOUR).await;
            assert_eq!(world.names("new").len(), 2, "an hour is not too long");
            world.network.set_down("one", false);
        };
        let (served, ()) = tokio::join!(world.agent(None), story);
        served.unwrap();
    });
    world.check_complete(&[key]);
}

#[test]
fn leases_are_renewed_again_after_an_outage_and_no_session_is_ended_by_it() {
    let world = World::new();
    world.buddy.offer(&[
        "track_session_start",
        "track_session_end",
        "health_check",
        "track_session_activity",
    ]);
    let renewals = || world.buddy.calls("track_session_activity").len();
    let key = world.start();
    world.play(async || {
        sleep(Duration::from_secs(90)).await;
        let before = renewals();
        assert!(before > 0);
        world.network.set_down("one", true);
        sleep(HOUR).await;
        assert_eq!(renewals(), before, "nobody hears of them");
        world.network.set_down("one", false);
        // The breaker's longest interval, and a renewal after it.
        sleep(Duration::from_secs(420)).await;
        assert!(renewals() > before, "they are renewed again");
        assert_eq!(world.buddy.stored(key), ["start"], "an outage ends nobody's session");
        world.end(key);
    });
    world.check_complete(&[key]);
}

#[track_caller]
fn check_clock_jumps(jump: impl Fn(u64) -> u64) {
    let world = World::new();
    world.network.set_down("one", true);
    let keys = world.sessions(3);
    world.play(async || {
        sleep(HOUR).await;
        virtual_time::set(jump(now_us()));
        world.network.set_down("one", false);
        sleep(Duration::from_secs(600)).await;
        for key in &keys {
            world.buddy.check_stored_once(*key);
        }
    });
    world.check_complete(&keys);
}

#[test]
fn a_clock_that_is_set_back_while_events_wait_delays_them_by_minutes_at_most() {
    check_clock_jumps(|now_us| now_us - us(HOUR));
    check_clock_jumps(|now_us| now_us - us(365 * DAY));
    check_clock_jumps(|_| 0);
}

#[test]
fn a_clock_that_leaps_ahead_while_events_wait_costs_none_of_them() {
    for days in [20, 40, 400] {
        check_clock_jumps(|now_us| now_us + us(days * DAY));
    }
}

#[test]
fn what_is_too_old_when_an_agent_begins_is_tried_before_it_is_given_up() {
    let world = World::new();
    let keys = world.sessions(3);
    world.run_at(system_us() + us(40 * DAY), async { world.agent(None).await.unwrap() });
    world.check_complete(&keys);
}

#[test]
fn what_became_too_old_while_the_machine_slept_waits_for_the_network_that_comes_later() {
    let world = World::new();
    world.network.set_down("one", true);
    let keys = world.sessions(3);
    world.play(async || {
        sleep(HOUR).await;
        virtual_time::set(now_us() + us(31 * DAY));
        sleep(HOUR / 2).await;
        assert_eq!(world.names("new").len(), 6, "nothing is given up yet");
        world.network.set_down("one", false);
    });
    world.check_complete(&keys);
}

#[test]
fn a_clock_that_leaps_ahead_for_half_an_hour_of_an_outage_costs_no_event() {
    let world = World::new();
    world.network.set_down("one", true);
    let keys = world.sessions(3);
    world.play(async || {
        sleep(HOUR).await;
        virtual_time::set(now_us() + us(40 * DAY));
        sleep(HOUR / 2).await;
        virtual_time::set(now_us() - us(40 * DAY));
        sleep(DAY).await;
        assert_eq!(world.names("new").len(), 6, "nothing is given up");
        world.network.set_down("one", false);
    });
    world.check_complete(&keys);
}
