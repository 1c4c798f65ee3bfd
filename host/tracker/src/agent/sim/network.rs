//! A network that loses, delays, doubles and reorders frames, cuts connections and is away for a while,
//! as a seed says.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use tokio::io::{AsyncBufReadExt, AsyncWriteExt, BufReader, DuplexStream, WriteHalf};
use tokio::sync::Mutex as AsyncMutex;
use tokio::time::{Instant, sleep};

use super::server::{Buddy, Reply};
use crate::session_buddy::Embedded;

/// Bytes in flight.
const PIPE_BYTES: usize = 64 << 10;

/// How often things go wrong, in percent of frames.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Weather {
    pub(super) lost: u64,
    pub(super) doubled: u64,
    /// Frames that take up to 20 s, and so are overtaken by later ones.
    pub(super) delayed: u64,
    /// Frames after which the connection is gone.
    pub(super) cut: u64,
    /// Of connections that do not come about.
    pub(super) refused: u64,
    /// Every other period of that many seconds nothing gets through at all; 0 for never.
    pub(super) partition_seconds: u64,
}

struct State {
    weather: Weather,
    random: u64,
    /// What a target is told who asks for it, instead of a connection.
    down: Vec<String>,
    /// How long a server takes to say its first word.
    cold: Duration,
    connections: u32,
    /// When the first connection was asked for: partitions count from there.
    began: Option<Instant>,
    /// What happened, in order: milliseconds since then, connection, frame.
    trace: Vec<String>,
}

/// See the module.
#[derive(Clone)]
pub(super) struct Network(Arc<Mutex<State>>);

impl Network {
    pub(super) fn calm() -> Self {
        Self::seeded(1, Weather::default())
    }

    pub(super) fn seeded(seed: u64, weather: Weather) -> Self {
        // A state of zero would stay zero.
        let random = seed.wrapping_mul(0x9E37_79B9_7F4A_7C15) | 1;
        let (down, cold, trace) = (Vec::new(), Duration::ZERO, Vec::new());
        let state = State { weather, random, down, cold, connections: 0, began: None, trace };
        Self(Arc::new(Mutex::new(state)))
    }

    /// The target of that name is away, or back.
    pub(super) fn set_down(&self, name: &str, down: bool) {
        let mut state = self.0.lock().unwrap();
        state.down.retain(|other| other != name);
        if down {
            state.down.push(name.to_owned());
        }
    }

    /// Servers take that long to say their first word.
    pub(super) fn set_cold(&self, cold: Duration) {
        self.0.lock().unwrap().cold = cold;
    }

    /// Connections that came about so far.
    pub(super) fn connections(&self) -> u32 {
        self.0.lock().unwrap().connections
    }

    /// All that happened so far.
    pub(super) fn trace(&self) -> Vec<String> {
        self.0.lock().unwrap().trace.clone()
    }

    fn note(&self, what: &str) {
        let mut state = self.0.lock().unwrap();
        let since = state.began.get_or_insert_with(Instant::now).elapsed();
        let line = format!("{} {} {what}", since.as_millis(), state.connections);
        state.trace.push(line);
    }

    /// How the agent reaches `buddy`.
    pub(super) fn transport(&self, buddy: Buddy) -> Embedded {
        let network = self.clone();
        Arc::new(move |database| {
            let name = database.file_name().unwrap_or_default().to_string_lossy().into_owned();
            let refused = network.roll(|weather| weather.refused);
            if refused || network.is_partitioned() || network.0.lock().unwrap().down.contains(&name) {
                network.note("refused");
                return Err("connection refused".to_owned());
            }
            network.0.lock().unwrap().connections += 1;
            let (ours, theirs) = tokio::io::duplex(PIPE_BYTES);
            tokio::spawn(network.clone().connect(theirs, buddy.clone()));
            Ok(ours)
        })
    }

    async fn connect(self, stream: DuplexStream, buddy: Buddy) {
        let cold = self.0.lock().unwrap().cold;
        sleep(cold).await;
        let (read, write) = tokio::io::split(stream);
        let write = Arc::new(AsyncMutex::new(write));
        let mut lines = BufReader::new(read).lines();
        while let Ok(Some(line)) = lines.next_line().await {
            self.note(&line);
            if self.is_cut() {
                self.note("cut");
                return;
            }
            for delay in self.fate() {
                let (network, buddy) = (self.clone(), buddy.clone());
                let (line, write) = (line.clone(), write.clone());
                tokio::spawn(async move {
                    sleep(delay).await;
                    network.answer(buddy.hear(&line), &write).await;
                });
            }
        }
    }

    async fn answer(&self, reply: Reply, write: &AsyncMutex<WriteHalf<DuplexStream>>) {
        let (line, late_ms) = match reply {
            Reply::Nothing => return,
            Reply::HangUp(bytes) => {
                let mut write = write.lock().await;
                _ = write.write_all(bytes.as_bytes()).await;
                _ = write.shutdown().await;
                return;
            }
            Reply::Line(line, late_ms) => (line, late_ms),
        };
        self.note(&line);
        sleep(Duration::from_millis(late_ms)).await;
        for delay in self.fate() {
            sleep(delay).await;
            if self.is_cut() {
                _ = write.lock().await.shutdown().await;
                return;
            }
            self.note("arrives");
            _ = write.lock().await.write_all(format!("{line}\n").as_bytes()).await;
        }
    }

    /// When each copy of a frame arrives.
    fn fate(&self) -> Vec<Duration> {
        if self.is_partitioned() || self.roll(|weather| weather.lost) {
            return Vec::new();
        }
        let copies = if self.roll(|weather| weather.doubled) { 2 } else { 1 };
        let delay = |_| match self.roll(|weather| weather.delayed) {
            true => Duration::from_millis(self.random() % 20_000),
            false => Duration::from_millis(1),
        };
        (0..copies).map(delay).collect()
    }

    fn is_cut(&self) -> bool {
        self.roll(|weather| weather.cut)
    }

    fn is_partitioned(&self) -> bool {
        let mut state = self.0.lock().unwrap();
        let (seconds, began) =
            (state.weather.partition_seconds, *state.began.get_or_insert_with(Instant::now));
        seconds > 0 && (began.elapsed().as_secs() / seconds) % 2 == 1
    }

    fn roll(&self, percent: impl Fn(&Weather) -> u64) -> bool {
        let percent = percent(&self.0.lock().unwrap().weather);
        self.random() % 100 < percent
    }

    /// xorshift64 (Marsaglia, 2003).
    fn random(&self) -> u64 {
        let mut state = self.0.lock().unwrap();
        let mut x = state.random;
        x ^= x << 13;
        x ^= x >> 7;
        x ^= x << 17;
        state.random = x;
        x >> 11
    }
}
