//! SIGKILL at random moments to shells, agent and server: every accepted event is stored once.
//!
//! `SHELLTRACK_KILLS=10000 SHELLTRACK_SEED=7 cargo test --test it kills` kills more, or the same again: the
//! seed says who is killed and after how long; what that meets is up to the machine.

use std::collections::BTreeMap;
use std::process::Stdio;
use std::time::{Duration, Instant};

use rustix::process::Signal;
use shelltrack_tests::process::{Running, signal_stranger};
use shelltrack_tests::{BOUND, Home, Server, Shell, wait_until};

/// Kills when nobody asks for more.
const KILLS: u64 = 100;
/// Longest time a command is left alone before it is killed: about as long as it takes.
const LIFE_MS_MAX: u64 = 12;
/// The breaker's minute and what comes before it.
const RECOVERY_SECONDS_MAX: u64 = 240;

/// splitmix64 (Steele, Lea and Flood, 2014).
struct Random(u64);

impl Random {
    fn below(&mut self, bound: u64) -> u64 {
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        (z ^ (z >> 31)) % bound
    }
}

fn number(name: &str) -> Option<u64> {
    std::env::var(name).ok()?.parse().ok()
}

/// What is known of a session that was accepted.
#[derive(Debug, PartialEq)]
enum Expected {
    Open,
    /// Its end returned: exit status.
    Ended(i64),
    /// Its shell was killed, or its end was: either state is true.
    Over,
}

struct Story {
    home: Home,
    server: Server,
    random: Random,
    shells: Vec<(String, Shell)>,
    expected: BTreeMap<String, Expected>,
}

impl Story {
    /// Runs a command and kills it after a random time, if it lives that long. Its output when it got
    /// through.
    fn half_run(&mut self, arguments: &[&str]) -> Option<String> {
        let life = Duration::from_millis(self.random.below(LIFE_MS_MAX));
        let mut command = self.home.shelltrack_command(arguments);
        let running = Running::start(command.stdin(Stdio::null()));
        let began = Instant::now();
        while began.elapsed() < life {
            std::thread::yield_now();
        }
        running.signal(Signal::KILL);
        let finished = running.finish(BOUND);
        (finished.status == 0).then_some(finished.stdout)
    }

    fn kill_agents(&self) {
        self.home.agents().iter().for_each(|agent| signal_stranger(agent, Signal::KILL));
    }

    fn open_one(&mut self) {
        let shell = Shell::open(&self.home);
        let key = shell.start(&self.home);
        self.expected.insert(key.clone(), Expected::Open);
        self.shells.push((key, shell));
    }

    fn pick(&mut self) -> Option<(String, Shell)> {
        let count = u64::try_from(self.shells.len()).unwrap();
        (count > 0)
            .then(|| self.random.below(count))
            .map(|at| self.shells.remove(usize::try_from(at).unwrap()))
    }

    fn end_one(&mut self) {
        let Some((key, _shell)) = self.pick() else { return };
        let status = i64::try_from(self.random.below(100)).unwrap();
        self.home.shelltrack(&["end", &key, "--exit-status", &status.to_string()]).expect(0);
        self.expected.insert(key, Expected::Ended(status));
    }

    /// One kill.
    fn kill_something(&mut self) {
        match self.random.below(6) {
            0 => {
                // A start that is killed: when it got through, it is accepted.
                let shell = Shell::open(&self.home);
                let pid = shell.pid();
                if let Some(key) = self.half_run(&["start", "--pid", &pid]) {
                    let key = key.trim().to_owned();
                    self.expected.insert(key.clone(), Expected::Open);
                    self.shells.push((key, shell));
                }
            }
            1 => {
                let Some((key, _shell)) = self.pick() else { return };
                let told = self.half_run(&["end", &key, "--exit-status", "42"]);
                self.expected.insert(key, if told.is_some() { Expected::Ended(42) } else { Expected::Over });
            }
            2 => {
                if let Some((key, mut shell)) = self.pick() {
                    shell.kill();
                    self.expected.insert(key, Expected::Over);
                }
            }
            3 => {
                self.server.kill();
                self.server.start_again();
            }
            _ => self.kill_agents(),
        }
    }
}

#[test]
fn a_hundred_kills_at_random_moments_lose_and_double_nothing() {
    let kills = number("SHELLTRACK_KILLS").unwrap_or(KILLS);
    let since = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap();
    let seed = number("SHELLTRACK_SEED").unwrap_or_else(|| u64::from(since.subsec_nanos()));
    eprintln!("SHELLTRACK_KILLS={kills} SHELLTRACK_SEED={seed}");
    let server = Server::start();
    let home = Home::with_config(&server.config());
    let mut story =
        Story { home, server, random: Random(seed), shells: Vec::new(), expected: BTreeMap::new() };
    for _ in 0..kills {
        story.open_one();
        if story.random.below(2) == 0 {
            story.end_one();
        }
        story.kill_something();
        while story.shells.len() > 20 {
            story.end_one();
        }
    }
    while !story.shells.is_empty() {
        story.end_one();
    }
    check_everything_is_stored_once(&story, seed);
}

#[track_caller]
fn check_everything_is_stored_once(story: &Story, seed: u64) {
    let Story { home, server, expected, .. } = story;
    home.run(&["true"]).expect(0);
    home.flush_within(RECOVERY_SECONDS_MAX);
    let over = |key: &str| expected.get(key) != Some(&Expected::Open);
    wait_until("sessions whose shell was killed are over", BOUND * 4, || {
        home.shelltrack(&["flush", "--timeout", "5"]);
        let active = server.stored().into_iter().filter(|session| session.state == "active");
        active.into_iter().all(|session| !over(&session.key)).then_some(())
    });
    let stored = server.stored();
    for (key, expected) in expected {
        let session = stored.iter().find(|session| session.key == *key);
        let session = session.unwrap_or_else(|| panic!("seed {seed}: {key} is lost"));
        match expected {
            Expected::Open => panic!("seed {seed}: {key} was never ended by the test"),
            Expected::Over => assert_ne!(session.state, "active", "seed {seed}: {session:?}"),
            Expected::Ended(status) => {
                assert_eq!(session.exit_status, Some(*status), "seed {seed}: {session:?}");
                assert_eq!(session.state, "ended", "seed {seed}: {session:?}");
            }
        }
    }
    let status = home.status();
    assert_eq!(
        (&status["dead_letters"], &status["queued"]),
        (&0.into(), &0.into()),
        "seed {seed}: {status:#}"
    );
}
