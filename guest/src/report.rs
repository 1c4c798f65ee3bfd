//! Collects what was changed and what is wrong, each with the path of its field. Decides nothing.

use crate::limits::{CHANGES_MAX, PATH_BYTES_MAX, VIOLATIONS_MAX};
use crate::sanitize::Touch;
use crate::types::{Change, ChangeKind, Rule, Violation};

/// All changes and violations of one call.
#[derive(Debug, Default)]
pub(crate) struct Report {
    pub(crate) changes: Vec<Change>,
    pub(crate) violations: Vec<Violation>,
}

impl Report {
    /// Notes a broken rule. `message` is a sentence of ours: input never goes in.
    pub(crate) fn violation(&mut self, field: &str, rule: Rule, message: impl Into<String>) {
        if self.violations.len() < VIOLATIONS_MAX {
            self.violations.push(Violation { field: cut_path(field), rule, message: message.into() });
        }
    }

    /// Notes a change, each kind once per field.
    pub(crate) fn change(&mut self, field: &str, kind: ChangeKind, detail: &str) {
        let change = Change { field: cut_path(field), kind, detail: detail.to_owned() };
        if self.changes.len() < CHANGES_MAX && !self.changes.contains(&change) {
            self.changes.push(change);
        }
    }

    /// Notes everything that was done to one text.
    pub(crate) fn touched(&mut self, field: &str, touches: &[Touch]) {
        for &(kind, detail) in touches {
            self.change(field, kind, detail);
        }
    }

    /// Whether a rule is broken by the field at `path` or by something inside of it.
    pub(crate) fn has_violation_under(&self, path: &str) -> bool {
        let is_under = |field: &str| {
            field.strip_prefix(path).is_some_and(|rest| rest.is_empty() || rest.starts_with(['.', '[']))
        };
        self.violations.iter().any(|violation| is_under(&violation.field))
    }

    /// Whether no rule is broken.
    pub(crate) fn is_valid(&self) -> bool {
        self.violations.is_empty()
    }
}

fn cut_path(path: &str) -> String {
    path.get(..path.floor_char_boundary(PATH_BYTES_MAX)).unwrap_or_default().to_owned()
}
