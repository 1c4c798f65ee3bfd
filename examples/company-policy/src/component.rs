//! The exports: company's rules around the standard component.

use shelltrack_guest::Standard;
use shelltrack_guest::bindings::exports::shelltrack::session::{
    breaker::Guest as Breaker, events::Guest as Events, sanitizer::Guest as Sanitizer,
    validator::Guest as Validator,
};
use shelltrack_guest::types::*;

use crate::rules;

/// Rounds of cleaning and redacting; two are enough for anything seen, and a call must end.
const ROUNDS_MAX: usize = 8;

struct CompanyPolicy;
shelltrack_guest::bindings::export!(CompanyPolicy with_types_in shelltrack_guest::bindings);

/// The text after the company's rules, each of which is noted as a change of `field`.
fn redacted(text: String, field: &str, changes: &mut Vec<Change>) -> String {
    let Some((text, found)) = rules::redact(&text) else { return text };
    for rule in found {
        let change = Change { field: field.to_owned(), kind: ChangeKind::Redacted, detail: rule.to_owned() };
        if !changes.contains(&change) {
            changes.push(change);
        }
    }
    text
}

/// Cleans with the standard component and redacts by turns, until nothing changes any more.
fn settle<E>(text: String, clean: impl Fn(String) -> Result<CleanText, E>) -> Result<CleanText, E> {
    let mut changes = Vec::new();
    let mut current = redacted(text, "", &mut changes);
    for _ in 0..ROUNDS_MAX {
        let cleaned = clean(current)?;
        changes.extend(
            cleaned.changes.into_iter().filter(|change| !changes.contains(change)).collect::<Vec<_>>(),
        );
        let again = redacted(cleaned.text.clone(), "", &mut changes);
        if again == cleaned.text {
            return Ok(CleanText { text: again, changes });
        }
        current = again;
    }
    Ok(CleanText { text: String::new(), changes })
}

/// A text of the surroundings, in place.
fn hide(text: &mut String, field: &str, changes: &mut Vec<Change>) {
    *text = redacted(std::mem::take(text), field, changes);
}

/// Metadata as the standard component cleans it, with the company's rules. What it refuses is handed on
/// as it came, so that the refusal is told by whoever builds the event.
fn hide_metadata(json: &mut String, policy: &Policy, changes: &mut Vec<Change>) {
    let given = std::mem::take(json);
    *json = match settle(given.clone(), |json| Standard::sanitize_json(json, policy.clone())) {
        Ok(cleaned) => {
            changes.extend(cleaned.changes.into_iter().map(|change| Change {
                field: if change.field.is_empty() {
                    "metadata".to_owned()
                } else {
                    format!("metadata.{}", change.field)
                },
                ..change
            }));
            cleaned.text
        }
        Err(_) => given,
    };
}

/// The wire JSON of an event once more, for what came to light only when it was cleaned.
fn settled(mut event: PreparedEvent, mut changes: Vec<Change>) -> PreparedEvent {
    event.wire = redacted(event.wire, "", &mut changes);
    changes.append(&mut event.changes);
    PreparedEvent { changes, ..event }
}

impl Sanitizer for CompanyPolicy {
    fn sanitize_text(text: String, scalars_max: u32, policy: Policy) -> CleanText {
        let clean = |text| Ok::<_, ()>(Standard::sanitize_text(text, scalars_max, policy.clone()));
        settle(text, clean).unwrap_or(CleanText { text: String::new(), changes: Vec::new() })
    }

    fn sanitize_json(json: String, policy: Policy) -> Result<CleanText, Vec<Violation>> {
        settle(json, |json| Standard::sanitize_json(json, policy.clone()))
    }
}

impl Events for CompanyPolicy {
    fn build_start(mut context: StartContext, policy: Policy) -> Result<PreparedEvent, Vec<Violation>> {
        let mut changes = Vec::new();
        let StartContext { user, environment, hostname, metadata, .. } = &mut context;
        for (text, field) in [
            (&mut user.username, "user.username"),
            (&mut user.home, "user.home"),
            (hostname, "hostname"),
            (&mut environment.cwd, "environment.cwd"),
        ] {
            hide(text, field, &mut changes);
        }
        if !metadata.trim().is_empty() {
            hide_metadata(metadata, &policy, &mut changes);
        }
        Standard::build_start(context, policy).map(|event| settled(event, changes))
    }

    fn build_end(mut context: EndContext, policy: Policy) -> Result<PreparedEvent, Vec<Violation>> {
        let mut changes = Vec::new();
        if !context.metadata.trim().is_empty() {
            hide_metadata(&mut context.metadata, &policy, &mut changes);
        }
        Standard::build_end(context, policy).map(|event| settled(event, changes))
    }

    fn bind_session(wire: String, session_id: String) -> Result<String, Vec<Violation>> {
        Standard::bind_session(wire, session_id)
    }
}

impl Validator for CompanyPolicy {
    fn validate_start(json: String, policy: Policy) -> Result<StartEvent, Vec<Violation>> {
        let mut event = Standard::validate_start(json, policy.clone())?;
        let mut changes = std::mem::take(&mut event.changes);
        let StartEvent { user, environment, hostname, metadata, .. } = &mut event;
        for (text, field) in [
            (&mut user.username, "user.username"),
            (&mut user.home, "user.home"),
            (hostname, "hostname"),
            (&mut environment.cwd, "environment.cwd"),
        ] {
            hide(text, field, &mut changes);
        }
        hide(metadata, "metadata", &mut changes);
        Ok(StartEvent { changes, ..event })
    }

    fn validate_end(json: String, policy: Policy) -> Result<EndEvent, Vec<Violation>> {
        let mut event = Standard::validate_end(json, policy)?;
        let mut changes = std::mem::take(&mut event.changes);
        hide(&mut event.metadata, "metadata", &mut changes);
        Ok(EndEvent { changes, ..event })
    }
}

impl Breaker for CompanyPolicy {
    fn step(state: String, policy: BreakerPolicy, input: BreakerInput, now_ms: u64) -> BreakerStep {
        Standard::step(state, policy, input, now_ms)
    }

    fn backoff_delay(policy: BackoffPolicy, attempt: u32, retry_after_ms: Option<u64>) -> u64 {
        Standard::backoff_delay(policy, attempt, retry_after_ms)
    }
}
