//! Many real shells at once: each is a process that says when it opens and how it ends, as a startup
//! file does it.

use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use crate::binary::shelltrack;
use crate::home::Home;
use crate::process::exit_status_as_shells_count;
use crate::store::stored;
use crate::wait::wait_at_most;

/// How long one shell of a swarm may take, on a slow machine and with all the others beside it.
const SHELL_SECONDS_MAX: f64 = 0.5;
/// What every swarm may take beyond that.
const SLACK: Duration = Duration::from_secs(120);

/// Configuration for swarms that are larger than the burst of starts that is let in.
pub const UNLIMITED: &str = "[limits]\nstarts_per_second = 0\n";

/// How a swarm went.
#[derive(Clone, Copy, Debug)]
pub struct Swarm {
    /// Shells.
    pub shells: usize,
    /// From the first shell's beginning until all of them were open.
    pub opened_in: Duration,
    /// From the word to end until all of them had ended.
    pub ended_in: Duration,
    /// From there until everything was delivered.
    pub delivered_in: Duration,
}

/// Opens `shells` shells, all of them open at once, ends them, and checks that each is recorded once with
/// its own exit status.
///
/// # Panics
/// When one is not.
#[track_caller]
pub fn swarm(home: &Home, shells: usize) -> Swarm {
    let bound = SLACK + Duration::from_secs_f64(SHELL_SECONDS_MAX) * u32::try_from(shells).unwrap();
    let gate = home.path().join("gate");
    assert!(home.command("mkfifo").arg(&gate).status().unwrap().success());
    std::fs::create_dir(home.path().join("keys")).unwrap();
    // Held open for writing and never written to: whoever reads waits until it is closed.
    let word = std::fs::OpenOptions::new().read(true).write(true).open(&gate).unwrap();
    let began = Instant::now();
    let mut running: Vec<Child> = (0..shells).map(|number| open(home, number)).collect();
    let opened = wait_at_most(bound, || (count_keys(home) == shells).then_some(()));
    assert!(opened.is_some(), "{} of {shells} shells are open after {bound:?}", count_keys(home));
    let opened_in = began.elapsed();
    let began = Instant::now();
    drop(word);
    for (number, shell) in running.iter_mut().enumerate() {
        let ended = wait_at_most(bound, || shell.try_wait().unwrap());
        let status = ended.map(exit_status_as_shells_count);
        assert_eq!(status, Some(status_of(number)), "shell {number}");
    }
    let ended_in = began.elapsed();
    let began = Instant::now();
    home.flush_within(bound.as_secs());
    let delivered_in = began.elapsed();
    check_recorded(home, shells);
    Swarm { shells, opened_in, ended_in, delivered_in }
}

/// A shell that opens a session, waits for the word, and ends it with a status of its own.
fn open(home: &Home, number: usize) -> Child {
    let script = format!(
        "exec 3< \"$HOME/gate\"; key=$('{0}' start --component swarm --pid $$ 3<&-) || exit 99; \
         : > \"$HOME/keys/$key\"; read -r word <&3; exec 3<&-; '{0}' end \"$key\" --exit-status {1} || exit 98; exit {1}",
        shelltrack().display(),
        status_of(number)
    );
    let mut shell: Command = home.command("sh");
    shell.args(["-c", &script]).stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
    shell.spawn().unwrap()
}

fn status_of(number: usize) -> i32 {
    i32::try_from(number % 90).unwrap()
}

fn count_keys(home: &Home) -> usize {
    std::fs::read_dir(home.path().join("keys")).map_or(0, Iterator::count)
}

#[track_caller]
fn check_recorded(home: &Home, shells: usize) {
    let sessions = stored(home);
    assert_eq!(sessions.len(), shells);
    let mut statuses = vec![0_usize; 90];
    for session in &sessions {
        assert_eq!(session.state, "ended", "{session:?}");
        statuses[usize::try_from(session.exit_status.unwrap()).unwrap()] += 1;
    }
    for (status, count) in statuses.into_iter().enumerate() {
        let expected = (0..shells).filter(|number| number % 90 == status).count();
        assert_eq!(count, expected, "sessions with exit status {status}");
    }
}
