//! Waits for the end of any of many processes. Those the system does not tell of (no descriptor is
//! free, an old kernel) are looked at once a second.

use std::collections::HashMap;
use std::time::Duration;

use tokio::net::unix::pipe::Receiver;
use tokio::time::{Instant, sleep_until};

use super::{ProcessId, Queue};

/// How often a process is looked at where it cannot be awaited.
const POLL: Duration = Duration::from_secs(1);

/// Processes that are awaited, each under a number of the caller's.
pub(crate) struct Exits {
    queue: Option<Queue>,
    /// Readable when the queue has something. A descriptor is registered anew for each time: the
    /// reactor tells of edges, and what is left in the queue must be told again.
    readable: Option<Receiver>,
    polled: HashMap<u64, ProcessId>,
    next_poll: Instant,
    ended: Vec<u64>,
}

impl Exits {
    /// None yet. To be called inside a runtime.
    pub(crate) fn new() -> Self {
        let queue = Queue::new().inspect_err(|error| tracing::warn!(%error, "processes are polled")).ok();
        Self { queue, readable: None, polled: HashMap::new(), next_poll: Instant::now(), ended: Vec::new() }
    }

    /// One that the system tells nothing.
    #[cfg(test)]
    pub(crate) fn polling() -> Self {
        Self { queue: None, ..Self::new() }
    }

    /// Awaits one more. One that is gone already is told of as well; whether it lives is the answer.
    pub(crate) fn add(&mut self, token: u64, process: &ProcessId) -> bool {
        let told = match &mut self.queue {
            Some(queue) => queue.add(token, process.pid).is_ok(),
            None => false,
        };
        // What is awaited is the process that has the pid now: only if that is still ours is it worth
        // waiting for, and from here on it cannot be mistaken for another.
        let lives = process.is_alive();
        if !lives {
            self.remove(token);
            self.ended.push(token);
        } else if !told {
            self.polled.insert(token, process.clone());
        }
        lives
    }

    /// Awaits one less.
    pub(crate) fn remove(&mut self, token: u64) {
        self.polled.remove(&token);
        self.ended.retain(|ended| *ended != token);
        if let Some(queue) = &mut self.queue {
            queue.remove(token);
        }
    }

    /// The next one that ended. Nothing is lost when this is dropped half way.
    pub(crate) async fn next(&mut self) -> u64 {
        loop {
            if let Some(token) = self.ended.pop() {
                return token;
            }
            self.register();
            let poll = !self.polled.is_empty();
            tokio::select! {
                biased;
                () = readable(self.readable.as_ref()) => self.take_told(),
                () = sleep_until(self.next_poll), if poll => self.look(),
            }
        }
    }

    fn register(&mut self) {
        if self.readable.is_none()
            && let Some(queue) = &self.queue
        {
            // A pidfd's queue is no pipe, but what is wanted of it is what this wrapper does: register a
            // descriptor with the reactor and wait until it is readable. (`AsyncFd` has only unsafe
            // constructors left.)
            let receiver = queue.descriptor().and_then(Receiver::from_owned_fd_unchecked);
            self.readable = receiver.inspect_err(|error| tracing::error!(%error, "ends are not told")).ok();
        }
    }

    fn take_told(&mut self) {
        self.readable = None;
        if let Some(queue) = &mut self.queue {
            match queue.take_ended() {
                Ok(tokens) => self.ended.extend(tokens),
                Err(error) => tracing::error!(%error, "ends are not told"),
            }
        }
    }

    fn look(&mut self) {
        self.next_poll = Instant::now() + POLL;
        let gone = self.polled.iter().filter(|(_, process)| !process.is_alive()).map(|(token, _)| *token);
        let gone: Vec<u64> = gone.collect();
        for token in &gone {
            self.polled.remove(token);
        }
        self.ended.extend(gone);
    }
}

async fn readable(receiver: Option<&Receiver>) {
    match receiver {
        Some(receiver) => drop(receiver.readable().await),
        None => std::future::pending().await,
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "a test may fail by panic")]
mod tests {
    use std::process::{Child, Command};

    use tokio::time::timeout;

    use super::*;

    /// Long enough on a busy machine.
    const BOUND: Duration = Duration::from_secs(30);

    fn sleeper() -> (Child, ProcessId) {
        let child = Command::new("sleep").arg("60").spawn().unwrap();
        let process = ProcessId::of(child.id());
        (child, process)
    }

    async fn check_tells_of_one_end_and_not_of_a_life(mut exits: Exits) {
        let ((mut dies, first), (mut lives, second)) = (sleeper(), sleeper());
        exits.add(1, &first);
        exits.add(2, &second);
        assert!(timeout(Duration::from_millis(100), exits.next()).await.is_err());
        dies.kill().unwrap();
        // A zombie has ended as well.
        assert_eq!(timeout(BOUND, exits.next()).await.unwrap(), 1);
        dies.wait().unwrap();
        assert!(timeout(Duration::from_millis(100), exits.next()).await.is_err());
        lives.kill().unwrap();
        lives.wait().unwrap();
        assert_eq!(timeout(BOUND, exits.next()).await.unwrap(), 2);
    }

    #[tokio::test]
    async fn the_end_of_a_process_is_told_by_the_system() {
        check_tells_of_one_end_and_not_of_a_life(Exits::new()).await;
    }

    #[tokio::test]
    async fn the_end_of_a_process_is_found_where_the_system_tells_nothing() {
        check_tells_of_one_end_and_not_of_a_life(Exits::polling()).await;
    }

    #[tokio::test]
    async fn a_pid_that_another_process_has_by_now_counts_as_ended() {
        for mut exits in [Exits::new(), Exits::polling()] {
            let (mut child, process) = sleeper();
            let earlier = ProcessId { started: process.started.map(|ticks| ticks - 1), ..process };
            exits.add(7, &earlier);
            assert_eq!(timeout(BOUND, exits.next()).await.unwrap(), 7);
            child.kill().unwrap();
            child.wait().unwrap();
        }
    }

    #[tokio::test]
    async fn many_that_end_at_once_are_all_told_of() {
        let mut exits = Exits::new();
        let mut children: Vec<Child> = Vec::new();
        for token in 0..150 {
            let (child, process) = sleeper();
            exits.add(token, &process);
            children.push(child);
        }
        children.iter_mut().for_each(|child| child.kill().unwrap());
        let mut ended = Vec::new();
        while ended.len() < children.len() {
            ended.push(timeout(BOUND, exits.next()).await.unwrap());
        }
        ended.sort_unstable();
        assert_eq!(ended, (0..150).collect::<Vec<u64>>());
        children.iter_mut().for_each(|child| drop(child.wait()));
    }
}
