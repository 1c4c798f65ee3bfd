//! The sessions an agent has in mind: where their events go, and whose shells are awaited. Kept small,
//! since there may be ten thousand of them for days.

use std::collections::{BTreeMap, HashMap};
use std::rc::Rc;

use uuid::Uuid;

use super::super::OpenSession;
use crate::Target;
use crate::process::Exits;

/// One session.
pub(super) struct Kept {
    pub(super) target: Rc<Target>,
    /// When its start was accepted: nothing of the session goes out before, whatever a clock that was
    /// set back says.
    pub(super) accepted_us: u64,
    /// The server's id, once it is known.
    pub(super) session_id: Option<Box<str>>,
    watch: Watch,
}

/// What is awaited of a shell.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Watch {
    /// Nothing: its end is announced, or delivered.
    Nothing,
    /// Its end, under this number.
    End(u64),
    /// That it was gone when it was first looked at: told under this number.
    Past(u64),
    /// Its last words: it is gone, and its end is inferred soon.
    LastWords,
}

/// All of them.
pub(super) struct Sessions {
    kept: HashMap<Uuid, Kept>,
    exits: Exits,
    awaited: BTreeMap<u64, Uuid>,
    next_token: u64,
    open: usize,
}

impl Sessions {
    pub(super) fn new() -> Self {
        Self { kept: HashMap::new(), exits: Exits::new(), awaited: BTreeMap::new(), next_token: 0, open: 0 }
    }

    pub(super) fn get(&self, key: Uuid) -> Option<&Kept> {
        self.kept.get(&key)
    }

    /// Takes a session to mind; `watch` its shell unless that is done already.
    pub(super) fn keep(&mut self, session: &OpenSession, target: Rc<Target>, watch: bool) {
        if self.kept.contains_key(&session.key) {
            return;
        }
        let session_id = session.session_id.as_deref().map(Box::from);
        let kept = Kept { target, accepted_us: session.accepted_us, session_id, watch: Watch::Nothing };
        self.kept.insert(session.key, kept);
        if watch {
            let token = self.next_token;
            self.next_token += 1;
            let lives = self.exits.add(token, &session.process);
            self.awaited.insert(token, session.key);
            self.set_watch(session.key, if lives { Watch::End(token) } else { Watch::Past(token) });
        }
    }

    /// Nothing more is awaited of the shell.
    pub(super) fn unwatch(&mut self, key: Uuid) {
        if let Some(Watch::End(token) | Watch::Past(token)) = self.set_watch(key, Watch::Nothing) {
            self.exits.remove(token);
            self.awaited.remove(&token);
        }
    }

    /// The shell is gone, and its end is still to be recorded.
    pub(super) fn await_last_words(&mut self, key: Uuid) {
        self.unwatch(key);
        self.set_watch(key, Watch::LastWords);
    }

    pub(super) fn set_session_id(&mut self, key: Uuid, session_id: Box<str>) {
        if let Some(kept) = self.kept.get_mut(&key) {
            kept.session_id = Some(session_id);
        }
    }

    pub(super) fn forget(&mut self, key: Uuid) {
        self.unwatch(key);
        self.kept.remove(&key);
    }

    /// Whether any shell is awaited.
    pub(super) fn any_open(&self) -> bool {
        self.open > 0
    }

    /// Those whose shell is known to live and whose id is known.
    pub(super) fn alive(&self) -> impl Iterator<Item = (&Rc<Target>, &str)> {
        let alive = self.kept.values().filter(|kept| matches!(kept.watch, Watch::End(_)));
        alive.filter_map(|kept| Some((&kept.target, kept.session_id.as_deref()?)))
    }

    /// The next session whose shell ended, and whether it was seen alive before. Nothing is lost when this is
    /// dropped half way.
    pub(super) async fn next_gone(&mut self) -> (Uuid, bool) {
        loop {
            let token = self.exits.next().await;
            if let Some(key) = self.awaited.remove(&token) {
                let is_past = |kept: &Kept| matches!(kept.watch, Watch::Past(_));
                return (key, !self.kept.get(&key).is_some_and(is_past));
            }
        }
    }

    fn set_watch(&mut self, key: Uuid, watch: Watch) -> Option<Watch> {
        let kept = self.kept.get_mut(&key)?;
        let before = std::mem::replace(&mut kept.watch, watch);
        self.open -= usize::from(before != Watch::Nothing);
        self.open += usize::from(watch != Watch::Nothing);
        Some(before)
    }
}
