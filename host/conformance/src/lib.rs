//! What any component of the contract must do, as data (`cases/`, `corpora/`), and what runs it.
//!
//! A case is one call or a sequence of calls with what is expected of each answer. Cases *demand* what
//! the contract promises, of every component; those of the standard component's own choice (which rule
//! fires, what stands in the place of a secret) are only compared. Beside its own expectation, every
//! answer has to keep the promises of `promises`. Runs no component itself: whoever calls [`run`] says
//! how a function is called.

mod cases;
mod characters;
mod corpora;
mod expect;
pub mod host;
mod promises;

use serde_json::Value;

pub use cases::{Call, Case, Demand, GROUPS};
pub use corpora::CORPORA;
pub use promises::is_clean;

/// How a function of the contract is called: its name and its arguments as JSON, and the answer
/// `{"ok": …}` or `{"err": …}`, or why there is none.
pub type Subject<'a> = dyn Fn(&str, &[Value]) -> Result<Value, String> + 'a;

/// All cases: the hand-written ones, then the corpora.
///
/// # Errors
/// Says which file cannot be read as cases; they are part of this crate, so its tests notice first.
pub fn suite() -> Result<Vec<Case>, String> {
    let mut suite = Vec::new();
    for (group, text) in GROUPS {
        suite.extend(cases::read(group, text)?);
    }
    for (group, text) in CORPORA {
        suite.extend(corpora::read(group, text)?);
    }
    Ok(suite)
}

/// What came of one case.
#[derive(Clone, Debug)]
pub struct Outcome {
    /// What a universal demand misses, if it does.
    pub missed: Option<String>,
    /// How it differs from the standard component where that is allowed, if it does.
    pub differs: Option<String>,
    /// The answers, for comparing one way of running with another.
    pub answers: Vec<Value>,
}

/// Runs one case.
pub fn run(case: &Case, subject: &Subject<'_>) -> Outcome {
    let mut answers: Vec<Value> = Vec::new();
    for call in &case.calls {
        let arguments: Vec<_> =
            call.arguments.iter().map(|argument| cases::resolve(argument, &answers)).collect();
        match subject(&call.function, &arguments) {
            Ok(answer) => answers.push(answer),
            Err(error) => {
                return Outcome {
                    missed: Some(format!("{}: {error}", call.function)),
                    differs: None,
                    answers,
                };
            }
        }
    }
    judge(case, answers)
}

/// Compares answers, however they were got, with what is expected.
pub fn judge(case: &Case, answers: Vec<Value>) -> Outcome {
    let (mut missed, mut differs) = (None, None);
    if answers.len() != case.calls.len() {
        missed = Some(format!("{} answers to {} calls", answers.len(), case.calls.len()));
    }
    for (number, (call, answer)) in case.calls.iter().zip(&answers).enumerate() {
        let at = |said: String| format!("call {} ({}): {said}", number + 1, call.function);
        let first = call.arguments.first().map(|first| cases::resolve(first, &answers)).unwrap_or_default();
        missed = missed.or_else(|| promises::broken(call, answer).map(at));
        for demand in &call.demands {
            let Err(said) = expect::check(&demand.expected, answer, &first) else { continue };
            let place = if demand.universal { &mut missed } else { &mut differs };
            place.get_or_insert_with(|| at(said));
        }
    }
    Outcome { missed, differs, answers }
}
