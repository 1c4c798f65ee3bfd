//! What every store promises about figures: they count everything, and by component and state.

use super::*;

pub(crate) async fn statistics_count_by_component_and_state([store, _]: Stores) {
    for (number, component) in ["b", "a", "b"].iter().enumerate() {
        let event = StartEvent { component_name: (*component).into(), ..start(&format!("e{number}")) };
        let id = store.track_start(event, None).await.unwrap().stored().session_id;
        if number > 0 {
            finish(&store, end(&id, &format!("x{number}"), 4_000_000)).await;
        }
    }
    let tally = |state, sessions, durations: u64| Tally {
        state,
        sessions,
        duration_us: durations as f64 * 4e6,
        durations,
    };
    let expected = Stats {
        total: vec![tally(State::Active, 1, 0), tally(State::Ended, 2, 2)],
        components: vec![
            ("a".into(), tally(State::Ended, 1, 1)),
            ("b".into(), tally(State::Active, 1, 0)),
            ("b".into(), tally(State::Ended, 1, 1)),
        ],
        has_more_components: false,
    };
    assert_eq!(store.stats(Filter::default()).await.unwrap(), expected);
    let of_b = Filter { component_name: Some("b".into()), ..Filter::default() };
    assert_eq!(
        store.stats(of_b).await.unwrap().total,
        [tally(State::Active, 1, 0), tally(State::Ended, 1, 1)]
    );
}

pub(crate) async fn totals_hold_also_the_components_that_are_not_told_one_by_one([store, _]: Stores) {
    let starts = (0..COMPONENTS_MAX + 3).map(|number| {
        let component_name = format!("c{number:04}");
        store.track_start(StartEvent { component_name, ..start(&format!("e{number}")) }, None)
    });
    for started in futures_util::future::join_all(starts).await {
        started.unwrap();
    }
    let stats = store.stats(Filter::default()).await.unwrap();
    assert!(stats.has_more_components);
    assert_eq!(stats.components.len(), COMPONENTS_MAX);
    assert_eq!(stats.total.iter().map(|tally| tally.sessions).sum::<u64>(), COMPONENTS_MAX as u64 + 3);
}

pub(crate) async fn durations_that_are_too_long_together_are_counted_all_the_same([store, _]: Stores) {
    /// As long as RFC 3339 can tell, 9999 - 2024 years: forty of them are more microseconds than 63 bits hold.
    const AGE_US: i64 = 250_000_000_000_000_000;
    for number in 0..40 {
        let id = store.track_start(start(&format!("e{number}")), None).await.unwrap().stored().session_id;
        finish(&store, end(&id, &format!("x{number}"), AGE_US)).await;
    }
    let tallies = store.stats(Filter::default()).await.unwrap();
    let [(_, tally)] = tallies.components.as_slice() else { panic!("{tallies:?}") };
    assert_eq!((tally.durations, tally.duration_us), (40, 1e19));
    assert_eq!(tallies.total, std::slice::from_ref(tally));
}
