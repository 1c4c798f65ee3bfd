//! Which connections keep a place without using it: those that wait for their next request, and those whose
//! request does not arrive. Opens and closes nothing itself: `listen` does.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use axum::extract::{Request, State};
use axum::middleware::Next;
use axum::response::Response;
use tokio::sync::Notify;

/// How long a request may take to arrive, head and body, when its place is wanted for another connection:
/// a message is a few kilobytes, and round the world in a second. While there is room it has longer.
pub(crate) const ARRIVAL_MS: u64 = 1_000;

/// The connections that are not at work, by what they wait for.
#[derive(Clone, Default)]
pub(crate) struct Idle(Arc<Mutex<Waiting>>);

#[derive(Default)]
struct Waiting {
    turns: u64,
    /// Between two requests, by when their last answer was ready.
    resting: BTreeMap<u64, Arc<Notify>>,
    /// Their request is on its way, by when it began to be waited for.
    asking: BTreeMap<u64, (Instant, Arc<Notify>)>,
}

/// What a connection does; the numbers are places in [`Waiting`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Doing {
    Resting(u64),
    Asking(u64),
    Working,
}

/// One connection. Requests come one after the other: HTTP/1.1 answers them in order.
#[derive(Clone)]
pub(crate) struct Connection {
    idle: Idle,
    doing: Arc<Mutex<Doing>>,
    unwanted: Arc<Notify>,
}

impl Idle {
    /// A connection that has not asked anything yet.
    pub(crate) fn connection(&self, now: Instant) -> Connection {
        let unwanted = Arc::new(Notify::new());
        let doing = Arc::new(Mutex::new(self.ask(Arc::clone(&unwanted), now)));
        Connection { idle: self.clone(), doing, unwanted }
    }

    fn rest(&self, unwanted: Arc<Notify>) -> Doing {
        let mut waiting = lock(&self.0);
        waiting.turns += 1;
        let turn = waiting.turns;
        waiting.resting.insert(turn, unwanted);
        Doing::Resting(turn)
    }

    fn ask(&self, unwanted: Arc<Notify>, now: Instant) -> Doing {
        let mut waiting = lock(&self.0);
        waiting.turns += 1;
        let turn = waiting.turns;
        waiting.asking.insert(turn, (now, unwanted));
        Doing::Asking(turn)
    }

    fn forget(&self, doing: Doing) {
        let mut waiting = lock(&self.0);
        match doing {
            Doing::Resting(turn) => drop(waiting.resting.remove(&turn)),
            Doing::Asking(turn) => drop(waiting.asking.remove(&turn)),
            Doing::Working => {}
        }
    }

    /// Tells one connection that its place is wanted: that which has rested longest, else that whose request
    /// has been on its way longest, if that is long.
    pub(crate) fn give_up_one(&self, now: Instant) {
        let mut waiting = lock(&self.0);
        if let Some((_, unwanted)) = waiting.resting.pop_first() {
            return unwanted.notify_one();
        }
        if let Some(first) = waiting.asking.first_entry()
            && now.saturating_duration_since(first.get().0) >= Duration::from_millis(ARRIVAL_MS)
        {
            first.remove().1.notify_one();
        }
    }
}

impl Connection {
    /// Ends when the place is wanted for another connection.
    pub(crate) async fn unwanted(&self) {
        self.unwanted.notified().await;
    }

    /// Whether a request is on its way: then there is nothing to finish.
    pub(crate) fn is_asking(&self) -> bool {
        matches!(*lock(&self.doing), Doing::Asking(_))
    }

    /// The head of a request is there. What was on its way already goes on being so.
    fn ask(&self, now: Instant) {
        let mut doing = lock(&self.doing);
        if !matches!(*doing, Doing::Asking(_)) {
            self.idle.forget(*doing);
            *doing = self.idle.ask(Arc::clone(&self.unwanted), now);
        }
    }

    /// The whole request is there.
    pub(crate) fn work(&self) {
        self.idle.forget(std::mem::replace(&mut *lock(&self.doing), Doing::Working));
    }

    fn rest(&self) {
        let mut doing = lock(&self.doing);
        self.idle.forget(*doing);
        *doing = self.idle.rest(Arc::clone(&self.unwanted));
    }
}

/// Notes what the connection does. Whoever has read the whole request says so by [`Connection::work`].
pub(crate) async fn note(State(connection): State<Connection>, mut request: Request, next: Next) -> Response {
    connection.ask(Instant::now());
    request.extensions_mut().insert(connection.clone());
    let response = next.run(request).await;
    connection.rest();
    response
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check_told(connection: &Connection, told: bool) {
        let mut unwanted = std::pin::pin!(connection.unwanted());
        let mut context = std::task::Context::from_waker(std::task::Waker::noop());
        assert_eq!(unwanted.as_mut().poll(&mut context).is_ready(), told);
    }

    #[test]
    fn who_has_rested_longest_gives_up_its_place_and_who_works_or_is_gone_does_not() {
        let (idle, now) = (Idle::default(), Instant::now());
        let connections: Vec<Connection> = (0..5).map(|_| idle.connection(now)).collect();
        let [fresh, busy, gone, longest, later] = connections.as_slice() else { panic!("five") };
        for connection in [busy, gone, longest, later] {
            connection.rest();
        }
        busy.ask(now);
        busy.work();
        gone.work();
        idle.give_up_one(now);
        check_told(longest, true);
        for connection in [fresh, busy, gone, later] {
            check_told(connection, false);
        }
        idle.give_up_one(now);
        idle.give_up_one(now);
        check_told(later, true);
        check_told(fresh, false);
    }

    #[test]
    fn a_request_that_does_not_arrive_gives_up_its_place_after_a_while() {
        let (idle, now) = (Idle::default(), Instant::now());
        let after = now + Duration::from_millis(ARRIVAL_MS);
        let [head, body, fresh, working] = [now, now, after, now].map(|at| idle.connection(at));
        body.ask(now);
        working.ask(now);
        working.work();
        idle.give_up_one(now);
        for connection in [&head, &body, &fresh, &working] {
            check_told(connection, false);
        }
        for _ in 0..4 {
            idle.give_up_one(after);
        }
        check_told(&head, true);
        check_told(&body, true);
        check_told(&fresh, false);
        check_told(&working, false);
        assert!(head.is_asking() && !working.is_asking());
    }
}
