//! Spools of other pid namespaces whose agents are gone.

use std::time::Duration;

use tokio::time::sleep;

use super::super::{Options, serve};
use super::World;
use crate::process::ProcessId;
use crate::spool::{Kind, Spool};

#[test]
fn an_agent_that_stays_finds_what_waits_beside_it_also_when_that_came_later() {
    let world = World::new();
    let name = world.spool.root().file_name().unwrap().to_str().unwrap().to_owned();
    let (machine, _) = name.rsplit_once('-').unwrap();
    let beside = world.spool.root().with_file_name(format!("{machine}-1"));
    let options = Options { stays: true, ..world.options() };
    let story = async {
        for round in 1..=2 {
            sleep(Duration::from_secs(600)).await;
            let theirs = Spool::at(beside.clone()).unwrap();
            let key = world.id();
            let start = world.start_event(key, World::target("one"), ProcessId::of(std::process::id()));
            theirs.accept(&start, Kind::Start).unwrap();
            theirs.accept(&world.end_event(key), Kind::End).unwrap();
            sleep(Duration::from_secs(120)).await;
            world.buddy.check_stored_once(key);
            assert_eq!(world.buddy.count(), round);
            assert!(super::super::lock::try_agent(&theirs).unwrap().is_some(), "the visit is over");
        }
    };
    world.run(async {
        tokio::select! {
            served = serve(&world.spool, &options, None, None) => panic!("it stays, and not: {served:?}"),
            () = story => {}
        }
    });
}
