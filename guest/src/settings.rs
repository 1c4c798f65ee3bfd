//! Values that a name tells of which does not stand right before them: in `{"value":"…","name":"DB_PASSWORD"}`
//! and in the manifest of a secret for Kubernetes. Follows the words of a text that `pairs` goes through.

use std::ops::Range;

use crate::keys::Key;
use crate::pairs::{value, value_start};
use crate::redact::{Secrets, Telling};
use crate::search::has;
use crate::values::{is_harmless, is_small_number};

/// What earlier words of a text say of later ones.
pub(crate) struct Settings<'t> {
    /// `value` in `{"value":"…","name":"DB_PASSWORD"}`, until its object ends.
    value: Option<Key<'t>>,
    /// Whether the text is the manifest of a secret for Kubernetes, and its `data` has begun.
    is_secret: bool,
    is_data: bool,
}

impl<'t> Settings<'t> {
    pub(crate) fn of(text: &str) -> Self {
        let kinds = ["kind: Secret", "\"kind\":\"Secret\"", "\"kind\": \"Secret\""];
        Settings { value: None, is_secret: kinds.iter().any(|kind| has(text, kind)), is_data: false }
    }

    /// The value whose name `key` is, where the value stands first; `before` is the word before.
    pub(crate) fn named(
        &mut self,
        key: &Key<'t>,
        before: Key<'_>,
        secrets: &Secrets<'_>,
    ) -> Option<Range<usize>> {
        if key.is(&["value"]) && key.is_assigned() {
            self.value = Some(*key);
        }
        if !before.is(&["name", "key"]) || !before.is_assigned() {
            return None;
        }
        // Taken, so that nothing is read twice.
        let named = self.value.take().filter(|_| secrets.telling(key.name()) == Telling::Always)?;
        let at = value_start(&named, [named, named])?;
        let (start, end) = value(&named, at, before.start)?;
        let between = key.text.get(end..before.start)?;
        // Otherwise of another member of a list in JSON, in YAML, in XML.
        let is_same = !between.contains(['}', '{', '<']) && !between.trim_end().ends_with('-');
        let said = key.text.get(start..end)?;
        (is_same && !is_small_number(said) && !is_harmless(said)).then_some(start..end)
    }

    /// Whether `key` stands under the `data` of a secret.
    pub(crate) fn is_member(&mut self, key: &Key<'_>) -> bool {
        if !self.is_secret || !key.is_assigned() {
            return false;
        }
        let is_data = key.is(&["data", "stringData"]);
        if is_data || key.is(&["apiVersion", "kind", "metadata", "type", "immutable"]) {
            self.is_data = is_data;
            return false;
        }
        self.is_data
    }
}
