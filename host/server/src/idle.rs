//! Which connections wait for their next request, and which of them has waited longest. Opens and closes
//! nothing itself: `listen` does.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use axum::extract::{Request, State};
use axum::middleware::Next;
use axum::response::Response;
use tokio::sync::Notify;

/// The connections between two requests, by when their last answer was ready.
#[derive(Clone, Default)]
pub(crate) struct Idle(Arc<Mutex<Waiting>>);

#[derive(Default)]
struct Waiting {
    answers: u64,
    since: BTreeMap<u64, Arc<Notify>>,
}

/// One connection. Requests come one after the other: HTTP/1.1 answers them in order.
#[derive(Clone)]
pub(crate) struct Connection {
    idle: Idle,
    since: Arc<Mutex<Option<u64>>>,
    unwanted: Arc<Notify>,
}

impl Idle {
    /// A connection that has not asked anything yet: its limit is that of a slow head.
    pub(crate) fn connection(&self) -> Connection {
        Connection { idle: self.clone(), since: Arc::default(), unwanted: Arc::default() }
    }

    fn wait(&self, unwanted: Arc<Notify>) -> u64 {
        let mut waiting = lock(&self.0);
        waiting.answers += 1;
        let since = waiting.answers;
        waiting.since.insert(since, unwanted);
        since
    }

    /// Tells the connection that has waited longest, if any, that its place is wanted.
    pub(crate) fn give_up_longest(&self) {
        if let Some((_, unwanted)) = lock(&self.0).since.pop_first() {
            unwanted.notify_one();
        }
    }
}

impl Connection {
    /// Ends when the place is wanted for another connection.
    pub(crate) async fn unwanted(&self) {
        self.unwanted.notified().await;
    }

    fn begin(&self) {
        let since = lock(&self.since).take();
        if let Some(since) = since {
            lock(&self.idle.0).since.remove(&since);
        }
    }

    fn finish(&self) {
        let since = self.idle.wait(Arc::clone(&self.unwanted));
        *lock(&self.since) = Some(since);
    }

    /// The connection is closed.
    pub(crate) fn forget(&self) {
        self.begin();
    }
}

/// Notes that the connection is busy, and that it waits again.
pub(crate) async fn note(State(connection): State<Connection>, request: Request, next: Next) -> Response {
    connection.begin();
    let response = next.run(request).await;
    connection.finish();
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
    fn who_has_waited_longest_gives_up_its_place_and_who_is_busy_or_gone_does_not() {
        let idle = Idle::default();
        let connections: Vec<Connection> = (0..5).map(|_| idle.connection()).collect();
        let [fresh, busy, gone, longest, later] = connections.as_slice() else { panic!("five") };
        for connection in [busy, gone, longest, later] {
            connection.begin();
            connection.finish();
        }
        busy.begin();
        gone.forget();
        idle.give_up_longest();
        check_told(longest, true);
        for connection in [fresh, busy, gone, later] {
            check_told(connection, false);
        }
        idle.give_up_longest();
        idle.give_up_longest();
        check_told(later, true);
        check_told(fresh, false);
    }
}
