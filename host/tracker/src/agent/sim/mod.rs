//! The agent in a world of its own: real spool, real component, a scripted Session-Buddy behind a
//! network with faults, and a clock that jumps to the next thing to happen. An outage of an hour takes a
//! moment, and a seed says what the network does.

mod activity;
mod blame;
mod disk;
mod failures;
mod lost_ends;
mod network;
mod outages;
mod server;
mod spool;
mod targets;
mod visits;
mod weather;

use std::cell::Cell;
use std::path::Path;
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

use shelltrack_sandbox::types::{EndContext, ExitReason, Policy, StartContext};
use shelltrack_sandbox::{Profile, Sandbox};
use tempfile::TempDir;
use tokio::sync::mpsc::unbounded_channel;
use tokio::task::LocalSet;
use uuid::Uuid;

use super::keeper::Keeper;
use super::{Letter, Options, Presence, Shared};
use crate::clock::{system_us, virtual_time};
use crate::process::ProcessId;
use crate::spool::{Envelope, Kind, Opened, Spool};
use crate::{Config, StartLimit, Target, Tracker, Tuning};
use network::Network;
use server::Buddy;

/// No story takes longer than this, in the time of the story.
const STORY_MAX: Duration = Duration::from_secs(50 * 24 * 3600);

/// A spool, a server, and what is between them.
struct World {
    home: TempDir,
    spool: Spool,
    buddy: Buddy,
    network: Network,
    sandbox: Arc<Sandbox>,
    tuning: Tuning,
    /// Ids given out.
    ids: Cell<u128>,
}

impl World {
    fn new() -> Self {
        Self::with(Network::calm())
    }

    fn with(network: Network) -> Self {
        let home = tempfile::tempdir().unwrap();
        let spool = Spool::open(home.path()).unwrap();
        let sandbox = Arc::new(Sandbox::standard(Profile::OneShot).unwrap());
        let (buddy, tuning, ids) = (Buddy::default(), Tuning::default(), Cell::new(0));
        Self { home, spool, buddy, network, sandbox, tuning, ids }
    }

    /// A UUID v4 that no other event of this world has, the same in each run.
    fn id(&self) -> Uuid {
        self.ids.set(self.ids.get() + 1);
        // In the first digits, which are what some servers' ids keep of it.
        uuid::Builder::from_random_bytes((self.ids.get() << 96).to_be_bytes()).into_uuid()
    }

    /// A target of this name; all of them lead to the one server.
    fn target(name: &str) -> Target {
        Target::Embedded { database: Path::new("/").join(name) }
    }

    /// A shell opens. Its process is this one: it lives.
    fn start(&self) -> Uuid {
        self.start_for(Self::target("one"), ProcessId::of(std::process::id()))
    }

    fn start_for(&self, target: Target, process: ProcessId) -> Uuid {
        let key = self.id();
        let envelope = self.start_event(key, target, process);
        assert!(self.spool.accept(&envelope, Kind::Start).unwrap());
        key
    }

    fn start_event(&self, key: Uuid, target: Target, process: ProcessId) -> Envelope {
        let mut context: StartContext = crate::surroundings(std::process::id());
        context.component_name = "sim".to_owned();
        context.shell_type = "sh".to_owned();
        context.metadata = "{}".to_owned();
        context.correlation_id = Some(key.to_string());
        (context.event_id, context.timestamp) = (Some(self.id().to_string()), Some(now()));
        let prepared = self.sandbox.build_start(&context, &Policy::default()).unwrap();
        Envelope::new(key, prepared, Some(Opened { target, process }))
    }

    /// It announces its end.
    fn end(&self, key: Uuid) {
        let envelope = self.end_event(key);
        assert!(self.spool.accept(&envelope, Kind::End).unwrap());
    }

    fn end_event(&self, key: Uuid) -> Envelope {
        let context = EndContext {
            exit_status: Some(0),
            exit_reason: ExitReason::Exited,
            metadata: String::new(),
            correlation_id: Some(key.to_string()),
            started_at: None,
            event_id: Some(self.id().to_string()),
            timestamp: Some(now()),
        };
        let prepared = self.sandbox.build_end(&context, &Policy::default()).unwrap();
        Envelope::new(key, prepared, None)
    }

    /// Sessions that came and went, each with both of its events waiting.
    fn sessions(&self, count: usize) -> Vec<Uuid> {
        let session = |_| {
            let key = self.start();
            self.end(key);
            key
        };
        (0..count).map(session).collect()
    }

    /// Runs `story` beside an agent; the agent runs on until it ends by itself.
    ///
    /// # Panics
    /// When it does not.
    #[track_caller]
    fn play<T>(&self, story: impl AsyncFnOnce() -> T) -> T {
        self.run(async {
            let agent = self.agent(None);
            let (served, told) = tokio::join!(agent, story());
            served.unwrap();
            told
        })
    }

    /// Runs an agent until it ends by itself.
    #[track_caller]
    fn drain(&self) {
        self.play(async || {});
    }

    /// Runs anything in the time of the story.
    #[track_caller]
    fn run<T>(&self, story: impl Future<Output = T>) -> T {
        self.run_at(system_us(), story)
    }

    /// As [`Self::run`]; the story begins at this time, in microseconds since 1970.
    #[track_caller]
    fn run_at<T>(&self, began_us: u64, story: impl Future<Output = T>) -> T {
        let runtime =
            tokio::runtime::Builder::new_current_thread().enable_all().start_paused(true).build().unwrap();
        LocalSet::new().block_on(&runtime, async {
            virtual_time::set(began_us);
            tokio::time::timeout(STORY_MAX, story).await.expect("the agent does not end")
        })
    }

    /// An agent of this world. `last_seen_ms`: when the one before it was last there.
    async fn agent(&self, last_seen_ms: Option<u64>) -> std::io::Result<()> {
        let (notes, inbox) = unbounded_channel();
        let shared = Shared::new(self.spool.clone(), &self.options(), notes, false, Rc::new(()), None);
        Keeper::new(Rc::new(shared), inbox, last_seen_ms).serve().await
    }

    fn options(&self) -> Options {
        Options {
            spool: self.spool.root().to_owned(),
            sandbox: self.sandbox.clone(),
            embedded: self.network.transport(self.buddy.clone()),
            tuning: Rc::new({
                let tuning = self.tuning.clone();
                move || tuning.clone()
            }),
            stays: false,
            observer: Rc::new(|_| {}),
        }
    }

    /// What a person does with this spool; starts no agent.
    fn tracker(&self) -> Tracker {
        let config = Config {
            state_dir: self.home.path().to_owned(),
            target: Self::target("one"),
            policy: Policy::default(),
            start_limit: StartLimit::default(),
            agent: None,
        };
        Tracker::open(config, self.sandbox.clone()).unwrap()
    }

    fn names(&self, part: &str) -> Vec<String> {
        let mut names = self.spool.names(part).unwrap();
        names.sort_unstable();
        names
    }

    /// Why the event of that session is a dead letter.
    #[track_caller]
    fn reason(&self, key: Uuid, kind: Kind) -> String {
        let letter = Spool::read_json::<Letter>(&self.spool.dead_path(key, kind)).unwrap();
        letter.unwrap_or_else(|| panic!("no dead letter: {:?}", self.names("dead"))).reason
    }

    /// Asserts that each of these sessions is stored with one start and one end, in that order, and that
    /// nothing of them is left here.
    #[track_caller]
    fn check_complete(&self, keys: &[Uuid]) {
        for key in keys {
            self.buddy.check_stored_once(*key);
        }
        self.check_nothing_left();
    }

    #[track_caller]
    fn check_nothing_left(&self) {
        for part in ["new", "open", "dead", "aside", "tmp"] {
            assert_eq!(self.names(part), Vec::<String>::new(), "left in {part}");
        }
        assert_eq!(Presence::last(&self.spool), None);
    }
}

/// The time of the story, RFC 3339.
fn now() -> String {
    let us = i64::try_from(crate::clock::now_us()).unwrap();
    chrono::DateTime::from_timestamp_micros(us).unwrap().to_rfc3339_opts(chrono::SecondsFormat::Micros, true)
}

impl World {
    /// Runs a visitor in another spool until it leaves.
    fn visit(&self, theirs: &Spool) {
        self.run(async {
            let (notes, inbox) = unbounded_channel();
            let shared = Shared::new(theirs.clone(), &self.options(), notes, true, Rc::new(()), None);
            Keeper::new(Rc::new(shared), inbox, None).serve().await.unwrap();
        });
    }
}
