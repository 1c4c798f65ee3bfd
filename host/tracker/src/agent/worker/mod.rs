//! Delivers to one target: in the order the events were accepted, one call at a time. What a single
//! session cannot get through steps behind the others; what the target refuses is a dead letter.
//!
//! | part | what it does |
//! |------|--------------|
//! | `judging` | what follows from an attempt |
//! | `suspects` | whose fault it is when an event does not get through |
//! | `giving_up` | what never gets through becomes a dead letter |
//! | `leases` | tells the server which sessions live |
//! | `telling` | what is counted and shown of the target |

mod giving_up;
mod judging;
mod leases;
mod suspects;
mod telling;

use std::collections::{BTreeMap, BTreeSet};
use std::rc::Rc;
use std::time::Duration;

use tokio::sync::mpsc::UnboundedReceiver;
use tokio::sync::mpsc::error::TryRecvError;
use tokio::time::Instant;
use uuid::Uuid;

use super::delivery::Delivery;
use super::gate::{Gate, Permit};
use super::{Item, Order, Shared};
use crate::clock::now_ms;
use crate::session_buddy::{CallError, SessionBuddy};
use crate::status::TargetStatus;
use crate::{Target, Tuning, orders};
use suspects::Suspects;

/// How long a target is left alone that refuses us or lacks the tools: a person has to act.
const ATTENTION_WAIT: Duration = Duration::from_secs(30);
/// Longest pause before asking the breaker again: one opened by hand gives no time of its own.
const PAUSE_MAX: Duration = Duration::from_secs(300);
/// How long an unused connection stays open; the next shell may come soon.
const IDLE_CLOSE: Duration = Duration::from_secs(5);

/// Sessions whose events are under way at once where several may be: enough to share the cost of a commit
/// and of a forced directory among many, and few enough to be sent again when the answers are lost.
const SESSIONS_AT_ONCE: usize = 64;

/// The delivery to one target.
pub(super) struct Worker {
    shared: Rc<Shared>,
    target: Target,
    incoming: UnboundedReceiver<Order>,
    waiting: BTreeSet<Item>,
    /// The server's ids of sessions whose lease is due.
    leases: Vec<Box<str>>,
    /// What is too old, while the server is tried in vain.
    overdue: Option<giving_up::Overdue>,
    /// Sessions whose next event did not get through.
    suspects: Suspects,
    /// Something got through at the last attempt: one of them may have its turn.
    got_through: bool,
    /// The server asked for that much time (`Retry-After`): nobody here is entitled to less.
    not_before: Option<Instant>,
    /// The whole target waits until then.
    paused_until: Option<Instant>,
    /// Failures in a row, for the backoff.
    failures: u32,
    /// How often in a row the target was too late; it gets more time then.
    timeouts: u32,
    tuning: Tuning,
    gate: Gate,
    connection: Option<SessionBuddy>,
    /// Something was delivered over the connection.
    is_proven: bool,
    status: TargetStatus,
    status_written: Option<(Instant, TargetStatus)>,
}

impl Worker {
    pub(super) fn new(shared: Rc<Shared>, target: Target, incoming: UnboundedReceiver<Order>) -> Self {
        let status = TargetStatus::load(&shared.spool, &target);
        let tuning = (shared.tuning)();
        let gate = Gate::load(&shared.spool, &target.id(), &status.breaker, &tuning, shared.sandbox.clone());
        let mut worker = Self {
            shared,
            target,
            incoming,
            waiting: BTreeSet::new(),
            leases: Vec::new(),
            overdue: None,
            suspects: Suspects::default(),
            got_through: false,
            not_before: None,
            paused_until: None,
            failures: 0,
            timeouts: 0,
            tuning,
            gate,
            connection: None,
            is_proven: false,
            status,
            status_written: None,
        };
        worker.obey_person();
        worker
    }

    /// Does what a person ordered of the breaker, if anything; gives whether there was an order.
    fn obey_person(&mut self) -> bool {
        let Some(order) = orders::waiting(&self.shared.spool, &self.target) else { return false };
        self.gate.obey(order);
        self.publish(true);
        if let Err(error) = orders::done(&self.shared.spool, &self.target) {
            tracing::warn!(%error, "an order that is obeyed stays, and will be obeyed again");
        }
        true
    }

    /// Delivers until the agent lets go of the sending side.
    pub(super) async fn run(mut self) {
        loop {
            loop {
                match self.incoming.try_recv() {
                    Ok(order) => self.obey(order),
                    Err(TryRecvError::Empty) => break,
                    // The agent leaves: what waits is the next one's.
                    Err(TryRecvError::Disconnected) => return self.disconnect().await,
                }
            }
            self.expire();
            self.renew_leases().await;
            match self.next() {
                Ok(item) => self.attempt(item).await,
                Err(until) => {
                    self.publish(true);
                    if !self.wait(until).await {
                        break;
                    }
                }
            }
        }
        self.disconnect().await;
    }

    fn obey(&mut self, order: Order) {
        match order {
            Order::Deliver(item) => _ = self.waiting.insert(item),
            Order::Renew(sessions) => self.leases = sessions,
            Order::TryNow => {
                self.tuning = (self.shared.tuning)();
                self.gate.tune(&self.tuning);
                let ordered = self.obey_person();
                if ordered || self.not_before.is_none_or(|until| until <= Instant::now()) {
                    self.try_now();
                }
            }
        }
    }

    fn try_now(&mut self) {
        self.gate.reset();
        self.paused_until = None;
        self.failures = 0;
        self.suspects.hurry();
    }

    /// The next event that may go out, or until when there is none. One that failed already comes when
    /// another one just got through, or when there is no other: so it costs each of them its turn at most,
    /// and is not passed over for ever where new ones come all the time.
    fn next(&self) -> Result<Item, Option<Instant>> {
        let now = Instant::now();
        if let Some(until) = self.paused_until.filter(|until| *until > now && !self.waiting.is_empty()) {
            return Err(Some(until));
        }
        let first = self.waiting.iter().find(|item| !self.suspects.contains(item.key)).copied();
        let suspect = self.suspects.due(now).filter(|_| self.got_through || first.is_none());
        suspect.or(first).ok_or_else(|| self.suspects.next_due(now))
    }

    /// Waits for an event or for `until`. `false` when there will be no more events.
    async fn wait(&mut self, until: Option<Instant>) -> bool {
        let limit = until.unwrap_or_else(|| Instant::now() + IDLE_CLOSE);
        tokio::select! {
            biased;
            order = self.incoming.recv() => order.map(|order| self.obey(order)).is_some(),
            () = tokio::time::sleep_until(limit), if until.is_some() || self.connection.is_some() => {
                if until.is_none() {
                    self.disconnect().await;
                }
                true
            }
        }
    }

    async fn attempt(&mut self, item: Item) {
        self.got_through = false;
        let permit = match self.gate.ask() {
            Ok(permit) => permit,
            Err(retry_at_ms) => {
                self.pause(Duration::from_millis(retry_at_ms.saturating_sub(now_ms())));
                if retry_at_ms == u64::MAX {
                    // Held open by hand: no time tells when that ends.
                    self.status.retry_at_ms = None;
                }
                return;
            }
        };
        if self.is_proven && self.suspects.is_to_go_first(item.key) {
            self.disconnect().await;
        }
        if let Err(error) = self.ready(permit).await {
            self.target_failed(permit, &error).await;
            return;
        }
        if self.status.needs_attention.is_some() {
            // It answers, so the breaker has nothing to say; but there is nothing to deliver to.
            self.gate.report(permit, Ok(()));
            self.tried_in_vain();
            self.disconnect().await;
            self.pause(ATTENTION_WAIT);
            return;
        }
        let Some(connection) = &self.connection else { return };
        let together = self.together(item);
        let tried = Delivery { shared: &self.shared, connection }.deliver(together).await;
        self.judge(permit, tried).await;
    }

    /// What goes out together with this event: it alone, unless the server is one that knows events again and
    /// took something over this very connection. Then answers that are lost do no harm, and a long queue is
    /// not to wait for a disk once an event; nor is a session whose end waits too to be noted in between. Who
    /// failed already goes alone: others would fail with it.
    fn together(&self, first: Item) -> Vec<Vec<Item>> {
        let knows_again =
            |connection: &SessionBuddy| connection.offers().knows_events_again() && self.is_proven;
        if self.suspects.contains(first.key) || !self.connection.as_ref().is_some_and(knows_again) {
            return vec![vec![first]];
        }
        let mut sessions: BTreeMap<Uuid, Vec<Item>> = BTreeMap::new();
        for item in self.waiting.iter().filter(|item| !self.suspects.contains(item.key)) {
            if sessions.contains_key(&item.key) || sessions.len() < SESSIONS_AT_ONCE {
                sessions.entry(item.key).or_default().push(*item);
            }
        }
        sessions.into_values().collect()
    }

    /// A connection that works and offers what we need.
    async fn ready(&mut self, permit: Permit) -> Result<(), CallError> {
        if self.connection.as_ref().is_some_and(SessionBuddy::is_closed) {
            self.disconnect().await;
        }
        let connection = match &mut self.connection {
            Some(connection) => connection,
            empty => {
                let (embedded, budgets) =
                    (&self.shared.embedded, self.tuning.budgets.after_timeouts(self.timeouts));
                empty.insert(SessionBuddy::connect_within(&self.target, embedded, budgets).await?)
            }
        };
        let offers = connection.offers();
        self.status.server = Some(offers.server.clone());
        self.status.tools = Some(offers.tools.clone());
        self.status.needs_attention = offers.lacks_tracking();
        if permit.probe && self.status.needs_attention.is_none() {
            connection.health_check().await?;
        }
        Ok(())
    }

    fn finish(&mut self, item: Item) {
        self.waiting.remove(&item);
        self.shared.finished(item.key, item.kind);
    }

    fn pause(&mut self, wait: Duration) {
        let wait = wait.min(PAUSE_MAX);
        self.paused_until = Some(Instant::now() + wait);
        self.status.retry_at_ms =
            Some(now_ms().saturating_add(u64::try_from(wait.as_millis()).unwrap_or(u64::MAX)));
    }

    async fn disconnect(&mut self) {
        self.is_proven = false;
        if let Some(connection) = self.connection.take() {
            connection.close().await;
        }
    }
}
