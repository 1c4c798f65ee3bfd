//! Whatever the network does, each session is stored once, with both of its events.
//!
//! `SHELLTRACK_SIM_SEEDS=FIRST..LAST` plays other seeds than the usual ones. A seed plays the same again, to
//! the millisecond and the byte.

use shelltrack_sandbox::types::BackoffPolicy;
use uuid::Uuid;

use super::World;
use super::network::{Network, Weather};

/// Seeds played when nobody asks for others.
const SEEDS: std::ops::Range<u64> = 0..8;
/// Sessions of a story.
const SESSIONS: usize = 5;
/// The worst weather.
const ALL: Weather =
    Weather { lost: 8, doubled: 10, delayed: 10, cut: 4, refused: 20, partition_seconds: 300 };

fn seeds() -> std::ops::Range<u64> {
    let Ok(asked) = std::env::var("SHELLTRACK_SIM_SEEDS") else { return SEEDS };
    let (first, last) = asked.split_once("..").expect("FIRST..LAST");
    first.parse().unwrap()..last.parse().unwrap()
}

/// Stories begin at this time, microseconds since 1970.
const BEGAN_US: u64 = 1_800_000_000_000_000;

/// A world in which the seed says everything: without jitter, which the component draws from the system.
fn world(seed: u64, weather: Weather) -> World {
    let mut world = World::with(Network::seeded(seed, weather));
    world.tuning.backoff = BackoffPolicy { base_ms: 0, cap_ms: 0 };
    world.tuning.breaker.open_max_ms = world.tuning.breaker.open_ms;
    world
}

/// Sessions come and go, and an agent delivers them.
fn play(world: &World) -> Vec<Uuid> {
    world.run_at(BEGAN_US, async {
        let keys = world.sessions(SESSIONS);
        world.agent(None).await.unwrap();
        keys
    })
}

#[track_caller]
fn check_nothing_is_lost_or_doubled(weather: Weather) {
    for seed in seeds() {
        let told = std::panic::catch_unwind(|| {
            let world = world(seed, weather);
            let keys = play(&world);
            world.check_complete(&keys);
        });
        if let Err(panic) = told {
            eprintln!("seed {seed}, {weather:?}");
            std::panic::resume_unwind(panic);
        }
    }
}

#[test]
fn a_seed_says_all_that_happens_frame_by_frame() {
    let trace = |seed| {
        let world = world(seed, ALL);
        play(&world);
        world.network.trace()
    };
    for seed in seeds() {
        let (once, again) = (trace(seed), trace(seed));
        assert!(once.len() > 4 * SESSIONS, "every event takes a frame there and one back: {once:#?}");
        let differs = once.iter().zip(&again).position(|(once, again)| once != again);
        assert_eq!(
            (differs.map(|at| (&once[at], &again[at])), once.len()),
            (None, again.len()),
            "seed {seed}"
        );
    }
    assert_ne!(trace(1), trace(2));
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
    check_nothing_is_lost_or_doubled(ALL);
}

#[test]
fn sessions_that_go_side_by_side_survive_all_of_it_too() {
    for seed in seeds() {
        let world = world(seed, ALL);
        world.buddy.offer(&[
            "track_session_start",
            "track_session_end",
            "health_check",
            "track_session_activity",
        ]);
        let keys = play(&world);
        world.check_complete(&keys);
    }
}
