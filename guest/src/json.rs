//! Reads JSON text strictly: every duplicate key, depth, count and number that breaks a limit is
//! reported with its path, all of them at once.
//!
//! Reading is our own because no parser at hand does that: they merge duplicate keys, round integers
//! beyond 64 bits and stop at the first error. The grammar is in `json_scan`, compared there with
//! serde_json; writing is in `json_write`. Knows nothing of what the keys mean.

use std::collections::BTreeMap;

use crate::json_scan::{NoJson, Scanner, Text};
use crate::limits::{
    EVENT_VALUES_MAX, JSON_BYTES_MAX, METADATA_DEPTH_MAX, METADATA_ITEMS_MAX, METADATA_KEYS_MAX,
    METADATA_VALUES_MAX, PATH_KEY_BYTES_MAX,
};
use crate::metadata::RESERVED_KEYS;
use crate::redact::{Secrets, is_secret};
use crate::report::Report;
use crate::types::Rule;

/// A JSON value whose numbers fit 64 bits.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Json {
    Null,
    Bool(bool),
    Signed(i64),
    Unsigned(u64),
    Float(f64),
    Text(String),
    List(Vec<Json>),
    Object(Object),
}

/// Members of an object by key: a tree and no hash table, whose fixed seed would invite flooding.
pub(crate) type Object = BTreeMap<String, Json>;

/// Appends a key to a path. A key that is no plain name is counted instead of repeated: reports are
/// read on terminals, and a key may be hostile or a secret.
pub(crate) fn key_path(path: &str, key: &str, number: usize, secrets: &Secrets<'_>) -> String {
    let plain = !key.is_empty()
        && key.len() <= PATH_KEY_BYTES_MAX
        && key.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'_' || b == b'-')
        && !is_secret(key, secrets);
    let dot = if path.is_empty() { "" } else { "." };
    if plain { format!("{path}{dot}{key}") } else { format!("{path}{dot}<key {number}>") }
}

/// Reads the metadata of an event that is to be built; violations go to `report`, under `path`. What
/// is returned is complete only if there are none.
pub(crate) fn read_metadata(
    text: &str,
    path: &str,
    secrets: &Secrets<'_>,
    report: &mut Report,
) -> Option<Json> {
    // Depth 2: metadata is going to be a member of the event.
    read(text, path, 2, (METADATA_VALUES_MAX, METADATA_KEYS_MAX), secrets, report)
}

/// Reads an event from the wire, which may have the reserved keys and its own members in addition. An
/// object comes back even when members are broken, so that the others are checked too.
pub(crate) fn read_event(text: &str, secrets: &Secrets<'_>, report: &mut Report) -> Option<Json> {
    let values_max = METADATA_VALUES_MAX + EVENT_VALUES_MAX;
    read(text, "", 1, (values_max, METADATA_KEYS_MAX + RESERVED_KEYS.len()), secrets, report)
}

fn read(
    text: &str,
    path: &str,
    depth: usize,
    (values_max, keys_max): (usize, usize),
    secrets: &Secrets<'_>,
    report: &mut Report,
) -> Option<Json> {
    if text.len() > JSON_BYTES_MAX {
        report.violation(path, Rule::TooLarge, format!("JSON text must not exceed {JSON_BYTES_MAX} bytes"));
        return None;
    }
    let told_before = report.violations.len();
    let scanner = Scanner::new(text);
    let mut reader = Reader { scanner, secrets, report, values: 0, values_max, keys_max };
    let value = reader.value(path, depth).and_then(|value| reader.scanner.end().map(|()| value));
    value.unwrap_or_else(|NoJson| {
        // What was found on the way was found in something else than JSON.
        report.violations.truncate(told_before);
        report.violation(path, Rule::BadJson, "must be JSON (RFC 8259)");
        None
    })
}

struct Reader<'t, 'r> {
    scanner: Scanner<'t>,
    secrets: &'r Secrets<'r>,
    report: &'r mut Report,
    values: usize,
    values_max: usize,
    keys_max: usize,
}

/// Nothing where a limit is broken, which is reported then.
type Read = Result<Option<Json>, NoJson>;

impl Reader<'_, '_> {
    /// Recursion is bounded by [`METADATA_DEPTH_MAX`] and the levels of the event around it.
    fn value(&mut self, path: &str, depth: usize) -> Read {
        self.values += 1;
        if self.values > self.values_max {
            if self.values == self.values_max + 1 {
                let message = format!("must not hold more than {} values", self.values_max);
                self.report.violation("", Rule::TooMany, message);
            }
            return self.skip();
        }
        match self.scanner.peek().ok_or(NoJson)? {
            b'{' | b'[' if depth > METADATA_DEPTH_MAX + 1 => {
                let message = format!("must not be nested deeper than {METADATA_DEPTH_MAX} levels");
                self.report.violation(path, Rule::TooDeep, message);
                self.skip()
            }
            b'{' => self.object(path, depth),
            b'[' => self.list(path, depth),
            b'"' => Ok(self.text(path)?.map(Json::Text)),
            b'n' => self.scanner.literal("null").map(|()| Some(Json::Null)),
            b't' => self.scanner.literal("true").map(|()| Some(Json::Bool(true))),
            b'f' => self.scanner.literal("false").map(|()| Some(Json::Bool(false))),
            _ => self.number(path),
        }
    }

    fn skip(&mut self) -> Read {
        self.scanner.skip_value().map(|()| None)
    }

    fn text(&mut self, path: &str) -> Result<Option<String>, NoJson> {
        match self.scanner.string()? {
            Text::Whole(text) => Ok(Some(text)),
            Text::HalfSurrogate => {
                self.report.violation(path, Rule::BadJson, "must not escape half a surrogate pair");
                Ok(None)
            }
        }
    }

    fn number(&mut self, path: &str) -> Read {
        let (text, is_integer) = self.scanner.number()?;
        let number = if is_integer {
            text.parse().map(Json::Signed).or_else(|_| text.parse().map(Json::Unsigned)).ok()
        } else {
            text.parse().ok().filter(|n: &f64| n.is_finite()).map(Json::Float)
        };
        if number.is_none() {
            self.report.violation(path, Rule::OutOfRange, "must be a number that fits 64 bits");
        }
        Ok(number)
    }

    fn list(&mut self, path: &str, depth: usize) -> Read {
        self.scanner.expect(b'[')?;
        let (mut list, mut count, mut is_complete) = (Vec::new(), 0, true);
        if self.scanner.takes(b']') {
            return Ok(Some(Json::List(list)));
        }
        // Every element is read, also after a broken one: every violation is wanted.
        loop {
            count += 1;
            if count > METADATA_ITEMS_MAX {
                self.scanner.skip_value()?;
            } else if let Some(value) = self.value(&format!("{path}[{}]", count - 1), depth + 1)? {
                list.push(value);
            } else {
                is_complete = false;
            }
            if !self.scanner.takes(b',') {
                break;
            }
        }
        self.scanner.expect(b']')?;
        if count > METADATA_ITEMS_MAX {
            let message = format!("must not have more than {METADATA_ITEMS_MAX} elements");
            self.report.violation(path, Rule::TooMany, message);
            return Ok(None);
        }
        Ok(is_complete.then_some(Json::List(list)))
    }

    fn object(&mut self, path: &str, depth: usize) -> Read {
        self.scanner.expect(b'{')?;
        let (mut members, mut count, mut is_complete) = (Members::default(), 0, true);
        if self.scanner.takes(b'}') {
            return Ok(Some(Json::Object(members.object)));
        }
        loop {
            count += 1;
            match self.scanner.key()? {
                _ if count > self.keys_max => self.scanner.skip_value()?,
                Text::Whole(key) => self.member(key, count, path, depth, &mut members)?,
                Text::HalfSurrogate => {
                    self.report.violation(path, Rule::BadJson, "a key must not escape half a surrogate pair");
                    self.scanner.skip_value()?;
                    is_complete = false;
                }
            }
            if !self.scanner.takes(b',') {
                break;
            }
        }
        self.scanner.expect(b'}')?;
        if count > self.keys_max {
            let message = format!("must not have more than {} keys", self.keys_max);
            self.report.violation(path, Rule::TooMany, message);
            return Ok(None);
        }
        // The outermost object is kept even when members are missing, so that its fields are checked.
        is_complete &= members.broken.is_empty();
        Ok((is_complete || depth == 1).then_some(Json::Object(members.object)))
    }

    /// Reads the value of `key`. What is there twice is a violation, and the first stays.
    fn member(
        &mut self,
        key: String,
        number: usize,
        path: &str,
        depth: usize,
        members: &mut Members,
    ) -> Result<(), NoJson> {
        let path = key_path(path, &key, number, self.secrets);
        let value = self.value(&path, depth + 1)?;
        if members.broken.contains(&key) || members.object.contains_key(&key) {
            self.report.violation(&path, Rule::DuplicateKey, "must not be there twice");
            return Ok(());
        }
        match value {
            Some(value) => drop(members.object.insert(key, value)),
            None => members.broken.push(key),
        }
        Ok(())
    }
}

/// Members of an object that is being read, and the keys of those that broke a rule.
#[derive(Default)]
struct Members {
    object: Object,
    broken: Vec<String>,
}
