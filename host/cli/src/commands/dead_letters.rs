//! `shelltrack dead-letters`: what was given up, and what a person decides about it.

use std::collections::BTreeSet;
use std::io::{BufRead, IsTerminal, Write, stderr, stdin};
use std::path::Path;
use std::process::ExitCode;

use shelltrack_sandbox::Profile;
use shelltrack_tracker::{DeadLetter, Error, Tracker};

use super::{name_of, now_ms};
use crate::args::{Chosen, DeadLetters};
use crate::config::{SessionBuddy, Settings};
use crate::failure::{FAILED, Failure, tell};
use crate::output;

/// Shortest beginning of a key that stands for it: fewer digits are more likely a slip.
const PREFIX_CHARS_MIN: usize = 4;

/// Does what was asked for.
pub(crate) fn dead_letters(config: Option<&Path>, command: &DeadLetters) -> Result<ExitCode, Failure> {
    let settings = Settings::load(config, &SessionBuddy::default())?;
    let tracker = settings.tracker(settings.sandbox(Profile::OneShot)?)?;
    let mut letters = tracker.dead_letters()?;
    for target in letters.iter_mut().filter_map(|letter| letter.target.as_mut()) {
        *target = target.without_arguments();
    }
    match command {
        DeadLetters::List { json } => list(&letters, *json),
        DeadLetters::Show { key, json } => show(&letters, key, *json),
        DeadLetters::Retry(chosen) => {
            let keys = choose(&letters, chosen)?;
            each(&keys, "queued again", |key| tracker.retry_dead_letters(key))
        }
        DeadLetters::Drop { chosen, yes } => {
            let keys = choose(&letters, chosen)?;
            if !*yes && !keys.is_empty() && !is_meant(&letters, &keys)? {
                return Err(Failure::Failed("nothing was dropped".to_owned()));
            }
            drop_them(&tracker, &keys)
        }
    }
}

fn drop_them(tracker: &Tracker, keys: &BTreeSet<&str>) -> Result<ExitCode, Failure> {
    each(keys, "dropped", |key| tracker.drop_dead_letters(key))
}

fn list(letters: &[DeadLetter], json: bool) -> Result<ExitCode, Failure> {
    if json {
        output::print_json(&letters)?;
    } else if letters.is_empty() {
        tell("no dead letters");
    } else {
        output::print(&table(letters, now_ms()))?;
    }
    Ok(ExitCode::SUCCESS)
}

fn table(letters: &[DeadLetter], now_ms: u64) -> String {
    let rows = letters.iter().map(|letter| {
        let age_ms = now_ms.saturating_sub(letter.since_ms);
        [
            letter.session.clone(),
            letter.event.to_owned(),
            output::duration(age_ms as f64 / 1e3),
            letter.component.clone().unwrap_or_default(),
            letter.target.as_ref().map(name_of).unwrap_or_default(),
            letter.reason.clone(),
        ]
    });
    output::table(["SESSION", "EVENT", "AGE", "COMPONENT", "SERVER", "REASON"], rows)
}

fn show(letters: &[DeadLetter], key: &str, json: bool) -> Result<ExitCode, Failure> {
    let key = find(letters, key)?;
    let of_session: Vec<_> = letters.iter().filter(|letter| letter.session == key).collect();
    if json {
        output::print_json(&of_session)?;
    } else {
        let shown: Vec<_> = of_session.into_iter().map(lines).collect();
        output::print(&shown.join("\n"))?;
    }
    Ok(ExitCode::SUCCESS)
}

fn lines(letter: &DeadLetter) -> String {
    let wire = letter.wire.as_ref();
    output::lines(&[
        ("session", letter.session.clone()),
        ("event", letter.event.to_owned()),
        ("reason", letter.reason.clone()),
        ("given up", output::time_of_ms(letter.since_ms)),
        ("server", letter.target.as_ref().map_or_else(|| "-".to_owned(), name_of)),
        ("component", letter.component.clone().unwrap_or_else(|| "-".to_owned())),
        ("retry", if letter.retryable { "possible" } else { "not possible" }.to_owned()),
        ("sent as", wire.map_or_else(|| "-".to_owned(), ToString::to_string)),
    ])
}

/// The keys that were meant.
fn choose<'a>(letters: &'a [DeadLetter], chosen: &Chosen) -> Result<BTreeSet<&'a str>, Failure> {
    if chosen.all {
        return Ok(letters.iter().map(|letter| letter.session.as_str()).collect());
    }
    chosen.keys.iter().map(|key| find(letters, key)).collect()
}

fn find<'a>(letters: &'a [DeadLetter], key: &str) -> Result<&'a str, Failure> {
    let typed = key.to_ascii_lowercase();
    let meant = |letter: &&DeadLetter| {
        letter.session == typed
            || (typed.len() >= PREFIX_CHARS_MIN && letter.session.starts_with(typed.as_str()))
    };
    let found: BTreeSet<_> = letters.iter().filter(meant).map(|letter| letter.session.as_str()).collect();
    match (found.len(), found.first()) {
        (1, Some(key)) => Ok(key),
        (0, _) if typed.len() < PREFIX_CHARS_MIN => Err(Failure::Failed(format!(
            "{key} is too short: give at least {PREFIX_CHARS_MIN} characters of the key"
        ))),
        (0, _) => Err(Failure::Failed(format!("no dead letter belongs to a session with the key {key}"))),
        _ => Err(Failure::Failed(format!("{key} is the beginning of several keys: give more of it"))),
    }
}

/// Asks a person; where there is none, `--yes` has to be said.
fn is_meant(letters: &[DeadLetter], keys: &BTreeSet<&str>) -> Result<bool, Failure> {
    if !stdin().is_terminal() || !stderr().is_terminal() {
        return Err(Failure::Usage("nobody can be asked here: say --yes to drop them for good".to_owned()));
    }
    let number = letters.iter().filter(|letter| keys.contains(letter.session.as_str())).count();
    write!(stderr(), "Drop {} for good? [y/N] ", output::several(number as u64, "event"))?;
    let mut answer = String::new();
    stdin().lock().read_line(&mut answer)?;
    Ok(["y", "yes"].contains(&answer.trim().to_ascii_lowercase().as_str()))
}

/// Does it to each, tells what could not be done, and how many events were reached.
fn each(
    keys: &BTreeSet<&str>,
    done: &str,
    act: impl Fn(&str) -> Result<u64, Error>,
) -> Result<ExitCode, Failure> {
    let (mut events, mut failed) = (0, false);
    for key in keys {
        match act(key) {
            Ok(number) => events += number,
            // Somebody else was faster: what was wanted is done.
            Err(Error::NoDeadLetter(_)) => {}
            Err(error) => {
                tell(&error.to_string());
                failed = true;
            }
        }
    }
    output::print(&format!("{} {done}\n", output::several(events, "event")))?;
    Ok(if failed { ExitCode::from(FAILED) } else { ExitCode::SUCCESS })
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "a test may fail by panic")]
mod tests {
    use super::*;

    fn letter(session: &str) -> DeadLetter {
        DeadLetter {
            session: session.to_owned(),
            event: "start",
            reason: "no\u{1b}[2J".to_owned(),
            since_ms: 0,
            target: None,
            component: None,
            retryable: true,
            wire: None,
        }
    }

    #[test]
    fn a_key_may_be_shortened_as_long_as_it_is_the_only_one() {
        let letters = [letter("3f2b8c1e-1"), letter("3f2b8c1e-1"), letter("3f2b9000-2")];
        assert_eq!(find(&letters, "3F2B8").unwrap(), "3f2b8c1e-1");
        assert_eq!(find(&letters, "3f2b9000-2").unwrap(), "3f2b9000-2");
        for wrong in ["3f2b", "3f2", "", "nothing"] {
            assert!(find(&letters, wrong).is_err(), "{wrong}");
        }
    }

    #[test]
    fn a_key_that_is_too_short_is_told_as_such() {
        let told = |key: &str| format!("{:?}", find(&[letter("3f2b8c1e-1")], key).unwrap_err());
        assert!(told("3f2").contains("at least 4 characters"), "{}", told("3f2"));
        assert!(told("3f2c").contains("no dead letter"), "{}", told("3f2c"));
    }

    #[test]
    fn a_reason_cannot_steer_the_terminal() {
        let shown = table(&[letter("a")], 5_000);
        assert!(!shown.contains('\u{1b}') && shown.contains("5.00 s"), "{shown}");
    }
}
