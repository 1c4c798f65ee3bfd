//! Whatever the network does, each session is stored once, with both of its events.
//!
//! `SHELLTRACK_SIM_SEEDS=FIRST..LAST` plays other seeds than the usual ones.

use super::World;
use super::network::{Network, Weather};

/// Seeds played when nobody asks for others.
const SEEDS: std::ops::Range<u64> = 0..8;
/// Sessions of a story.
const SESSIONS: usize = 5;

fn seeds() -> std::ops::Range<u64> {
    let Ok(asked) = std::env::var("SHELLTRACK_SIM_SEEDS") else { return SEEDS };
    let (first, last) = asked.split_once("..").expect("FIRST..LAST");
    first.parse().unwrap()..last.parse().unwrap()
}

#[track_caller]
fn check_nothing_is_lost_or_doubled(weather: Weather) {
    for seed in seeds() {
        let world = World::with(Network::seeded(seed, weather));
        let keys = world.sessions(SESSIONS);
        let told = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| {
            world.drain();
            world.check_complete(&keys);
        }));
        if let Err(panic) = told {
            eprintln!("seed {seed}, {weather:?}");
            std::panic::resume_unwind(panic);
        }
    }
}

#[test]
fn frames_that_are_lost_are_sent_again() {
    check_nothing_is_lost_or_doubled(Weather { lost: 15, ..Weather::default() });
}

#[test]
fn frames_that_come_twice_count_once() {
    check_nothing_is_lost_or_doubled(Weather { doubled: 50, ..Weather::default() });
}

#[test]
fn frames_that_are_late_or_out_of_order_do_no_harm() {
    check_nothing_is_lost_or_doubled(Weather { delayed: 30, doubled: 20, ..Weather::default() });
}

#[test]
fn connections_that_break_are_made_again() {
    check_nothing_is_lost_or_doubled(Weather { cut: 15, refused: 30, ..Weather::default() });
}

#[test]
fn a_network_that_is_away_every_ten_minutes_delays_and_loses_nothing() {
    check_nothing_is_lost_or_doubled(Weather { partition_seconds: 600, lost: 5, ..Weather::default() });
}

#[test]
fn all_of_it_at_once_is_survived() {
    let all = Weather { lost: 8, doubled: 10, delayed: 10, cut: 4, refused: 20, partition_seconds: 300 };
    check_nothing_is_lost_or_doubled(all);
}
