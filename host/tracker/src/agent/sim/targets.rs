//! More than one server, and servers that are slow to wake.

use std::time::Duration;

use super::World;
use crate::process::ProcessId;

fn me() -> ProcessId {
    ProcessId::of(std::process::id())
}

#[test]
fn a_server_that_is_away_holds_up_nothing_of_the_other() {
    let world = World::new();
    world.network.set_down("away", true);
    let waits = world.start_for(World::target("away"), me());
    world.end(waits);
    let goes = world.start_for(World::target("there"), me());
    world.end(goes);
    world.play(async || {
        tokio::time::sleep(Duration::from_secs(60)).await;
        world.buddy.check_stored_once(goes);
        assert_eq!(world.buddy.stored(waits), Vec::<String>::new());
        world.network.set_down("away", false);
    });
    world.check_complete(&[waits, goes]);
}

#[test]
fn an_end_goes_where_its_start_went_though_the_target_changed_meanwhile() {
    let world = World::new();
    world.network.set_down("old", true);
    let before = world.start_for(World::target("old"), me());
    let after = world.start_for(World::target("new"), me());
    world.play(async || {
        tokio::time::sleep(Duration::from_secs(60)).await;
        world.end(before);
        world.end(after);
        tokio::time::sleep(Duration::from_secs(60)).await;
        world.buddy.check_stored_once(after);
        assert_eq!(world.names("new").len(), 2, "both events of the old target wait for it");
        world.network.set_down("old", false);
    });
    world.check_complete(&[before, after]);
}

#[test]
fn a_cold_server_of_fifteen_seconds_is_waited_for_and_no_failure() {
    let world = World::new();
    world.network.set_cold(Duration::from_secs(15));
    let keys = world.sessions(2);
    world.drain();
    world.check_complete(&keys);
    // The first question is answered after the library has gone on to the older handshake: one more
    // connection at most, and none because of a failure.
    assert!(world.network.connections() <= 2, "{} connections", world.network.connections());
}

#[test]
fn ten_targets_are_served_side_by_side() {
    let world = World::new();
    let keys: Vec<_> = (0..10)
        .map(|number| {
            let key = world.start_for(World::target(&format!("server-{number}")), me());
            world.end(key);
            key
        })
        .collect();
    world.drain();
    world.check_complete(&keys);
}

/// Files of that kind in the spool.
fn files(world: &World, kind: &str) -> Vec<String> {
    world.names(".").into_iter().filter(|name| name.starts_with(kind)).collect()
}

#[test]
fn servers_that_no_session_names_any_more_are_forgotten_when_they_are_too_many() {
    const SERVERS: usize = 70;
    let world = World::new();
    let target = |number| World::target(&format!("server-{number}"));
    let stays = world.start();
    let ordered = target(0);
    for number in 0..SERVERS {
        let key = world.start_for(target(number), me());
        world.end(key);
    }
    world.play(async || {
        tokio::time::sleep(Duration::from_secs(20)).await;
        assert_eq!(world.buddy.count(), SERVERS + 1);
        // The one that was used first, and of which a person wants something.
        let order = world.spool.root().join(format!("order-{}.json", ordered.id()));
        world.spool.replace_json(&order, &crate::BreakerOrder::Open, crate::fault::Part::Order).unwrap();
        tokio::time::sleep(Duration::from_secs(60)).await;
        let left = files(&world, "target-");
        assert!((60..=64).contains(&left.len()), "{} are left", left.len());
        assert_eq!(files(&world, "breaker-").len(), left.len());
        for kept in [&ordered, &World::target("one")] {
            assert!(left.contains(&format!("target-{}.json", kept.id())), "{kept} is needed");
        }
        world.end(stays);
    });
    world.buddy.check_stored_once(stays);
}
