//! The points when they are compiled in: what is planned comes from the environment (for processes) or
//! from [`inject`] (for the thread of a unit test).

use std::fs::{File, OpenOptions};
use std::io::{self, Write};
use std::sync::{Mutex, PoisonError};

use rustix::io::Errno;
use rustix::process::{Signal, getpid, kill_process};

use super::{Act, Part};

#[cfg(test)]
pub(crate) use of_thread::{hits, inject};

/// The points on the way of a dead letter that a person queues again or drops.
#[must_use]
pub fn names_of_letters() -> Vec<String> {
    use Act::{Create, Queue, Remove, Rename, Sync, SyncDirectory, Take, Write};
    let again = [Take, Create, Write, Sync, Rename, SyncDirectory, Queue].map(|act| (Part::Again, act));
    let dropping = [Take, Remove].map(|act| (Part::Drop, act));
    again.into_iter().chain(dropping).map(|(part, act)| name(part, act)).collect()
}

/// Every point that a session comes by, for tests that visit each of them.
#[must_use]
pub fn names() -> Vec<String> {
    use Act::{Answered, Create, Remove, Rename, Send, Sync, SyncDirectory, Write};
    let written =
        [Part::Event, Part::Session, Part::Presence, Part::Status, Part::Letter, Part::Counters, Part::Order];
    let writing = written
        .into_iter()
        .flat_map(|part| [Create, Write, Sync, Rename, SyncDirectory].map(|act| (part, act)));
    // These need not outlive a loss of power, so nobody waits for the disk.
    let lightly = [Part::Breaker, Part::Mark]
        .into_iter()
        .flat_map(|part| [Create, Write, Rename].map(|act| (part, act)));
    let others = [
        (Part::Event, Remove),
        (Part::Session, Remove),
        (Part::Presence, Remove),
        (Part::Order, Remove),
        (Part::Start, Send),
        (Part::Start, Answered),
        (Part::End, Send),
        (Part::End, Answered),
    ];
    writing.chain(lightly).chain(others).map(|(part, act)| name(part, act)).collect()
}

fn name(part: Part, act: Act) -> String {
    format!("{part:?}.{act:?}").to_lowercase()
}

/// What is to happen at a point.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Effect {
    Die,
    Fail(Errno),
}

/// A fault that is planned.
#[derive(Clone, Debug)]
pub(crate) struct Plan {
    /// The point's name; `None` for any.
    name: Option<String>,
    /// Which of those steps, from 1; `None` for all.
    nth: Option<u32>,
    effect: Effect,
    seen: u32,
}

impl Plan {
    fn parse(text: &str, effect: Effect, nth: Option<u32>) -> Self {
        let (name, nth) = match text.split_once(':') {
            Some((name, count)) => (name, Some(count.parse().expect("a count after the colon"))),
            None => (text, nth),
        };
        Self { name: (name != "*").then(|| name.to_owned()), nth, effect, seen: 0 }
    }

    /// The plan of `SHELLTRACK_FAIL_AT`.
    pub(crate) fn failing(text: &str) -> Self {
        let (place, error) = text.split_once('=').expect("NAME=ERROR");
        let errno = match error {
            "ENOSPC" => Errno::NOSPC,
            "EROFS" => Errno::ROFS,
            _ => Errno::IO,
        };
        Self::parse(place, Effect::Fail(errno), None)
    }

    fn crashing(text: &str) -> Self {
        Self::parse(text, Effect::Die, Some(1))
    }

    fn of_environment() -> Option<Self> {
        let variable = |name| std::env::var(name).ok();
        variable("SHELLTRACK_CRASH_AT")
            .map(|text| Self::crashing(&text))
            .or_else(|| variable("SHELLTRACK_FAIL_AT").map(|text| Self::failing(&text)))
    }

    fn effect(&mut self, point: &str) -> Option<Effect> {
        if self.name.as_deref().is_some_and(|name| name != point) {
            return None;
        }
        self.seen += 1;
        let due = self.nth.is_none_or(|nth| nth == self.seen);
        due.then_some(self.effect)
    }
}

/// What is planned for this process.
fn effect_of_process(point: &str) -> Option<Effect> {
    static PLANNED: Mutex<Option<Option<Plan>>> = Mutex::new(None);
    let mut planned = PLANNED.lock().unwrap_or_else(PoisonError::into_inner);
    let plan = planned.get_or_insert_with(Plan::of_environment);
    plan.as_mut().and_then(|plan| plan.effect(point)).inspect(|_| log(point))
}

/// A step begins.
pub(crate) fn at(part: Part, act: Act) -> io::Result<()> {
    let point = name(part, act);
    #[cfg(test)]
    let effect = of_thread::effect(&point).or_else(|| effect_of_process(&point));
    #[cfg(not(test))]
    let effect = effect_of_process(&point);
    match effect {
        None => Ok(()),
        Some(Effect::Fail(errno)) => Err(errno.into()),
        Some(Effect::Die) => {
            let sent = kill_process(getpid(), Signal::KILL);
            unreachable!("SIGKILL cannot be survived: {sent:?}")
        }
    }
}

fn log(point: &str) {
    if let Some(path) = std::env::var_os("SHELLTRACK_FAULT_LOG") {
        let file = OpenOptions::new().append(true).create(true).open(path);
        file.and_then(|mut file| file.write_all(format!("{point}\n").as_bytes())).expect("the fault log");
    }
}

/// Writes, and may stop half way.
pub(crate) fn write_all(file: &mut File, bytes: &[u8], part: Part) -> io::Result<()> {
    let (first, rest) = bytes.split_at(bytes.len() / 2);
    file.write_all(first)?;
    at(part, Act::Write)?;
    file.write_all(rest)
}

/// What is planned for this thread alone, and how often that came true.
#[cfg(test)]
mod of_thread {
    use std::cell::{Cell, RefCell};

    use super::{Effect, Plan};

    thread_local! {
        static PLAN: RefCell<Option<Plan>> = const { RefCell::new(None) };
        static HITS: Cell<u32> = const { Cell::new(0) };
    }

    /// Plans a fault for this thread, or none.
    pub(crate) fn inject(plan: Option<Plan>) {
        HITS.set(0);
        PLAN.set(plan);
    }

    /// How often it came true.
    pub(crate) fn hits() -> u32 {
        HITS.get()
    }

    pub(super) fn effect(point: &str) -> Option<Effect> {
        let effect = PLAN.with_borrow_mut(|plan| plan.as_mut().and_then(|plan| plan.effect(point)));
        HITS.set(HITS.get() + u32::from(effect.is_some()));
        effect
    }
}
