//! Reads JSON text strictly and writes it compactly: every duplicate key, depth, count and number that
//! breaks a limit is reported with its path, all of them at once.
//!
//! serde_json is the parser (RFC 8259). It is used level by level over raw values, because its own
//! tree merges duplicate keys, rounds integers beyond 64 bits and stops at the first error. Knows
//! nothing of what the keys mean.

use std::collections::BTreeMap;
use std::collections::btree_map::Entry;
use std::fmt;

use serde::de::{Deserializer, MapAccess, SeqAccess, Visitor};
use serde::ser::{Serialize, SerializeMap, Serializer};
use serde_json::value::RawValue;

use crate::limits::{
    EVENT_VALUES_MAX, JSON_BYTES_MAX, METADATA_DEPTH_MAX, METADATA_ITEMS_MAX, METADATA_KEYS_MAX,
    METADATA_VALUES_MAX, PATH_KEY_BYTES_MAX,
};
use crate::metadata::RESERVED_KEYS;
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

impl Serialize for Json {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match self {
            Json::Null => serializer.serialize_unit(),
            Json::Bool(b) => serializer.serialize_bool(*b),
            Json::Signed(n) => serializer.serialize_i64(*n),
            Json::Unsigned(n) => serializer.serialize_u64(*n),
            Json::Float(n) => serializer.serialize_f64(*n),
            Json::Text(s) => serializer.serialize_str(s),
            Json::List(list) => serializer.collect_seq(list),
            Json::Object(object) => {
                let mut map = serializer.serialize_map(Some(object.len()))?;
                for (key, value) in object {
                    map.serialize_entry(key, value)?;
                }
                map.end()
            }
        }
    }
}

/// Compact JSON text.
pub(crate) fn write(value: &impl Serialize) -> String {
    serde_json::to_string(value).expect("string keys and finite numbers always serialize")
}

/// Appends a key to a path. A key that is no plain name is counted instead of repeated: reports are
/// read on terminals, and a key may be hostile or a secret.
pub(crate) fn key_path(path: &str, key: &str, number: usize) -> String {
    let plain = !key.is_empty()
        && key.len() <= PATH_KEY_BYTES_MAX
        && key.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'_' || b == b'-')
        && !crate::redact::is_secret(key);
    let dot = if path.is_empty() { "" } else { "." };
    if plain { format!("{path}{dot}{key}") } else { format!("{path}{dot}<key {number}>") }
}

/// Reads the metadata of an event that is to be built; violations go to `report`, under `path`. What
/// is returned is complete only if there are none.
pub(crate) fn read_metadata(text: &str, path: &str, report: &mut Report) -> Option<Json> {
    let reader = Reader { report, values: 0, values_max: METADATA_VALUES_MAX, keys_max: METADATA_KEYS_MAX };
    // Depth 2: metadata is going to be a member of the event.
    read(text, path, reader, 2)
}

/// Reads an event from the wire, which may have the reserved keys and its own members in addition. An
/// object comes back even when members are broken, so that the others are checked too.
pub(crate) fn read_event(text: &str, report: &mut Report) -> Option<Json> {
    let values_max = METADATA_VALUES_MAX + EVENT_VALUES_MAX;
    let keys_max = METADATA_KEYS_MAX + RESERVED_KEYS.len();
    read(text, "", Reader { report, values: 0, values_max, keys_max }, 1)
}

fn read(text: &str, path: &str, mut reader: Reader<'_>, depth: usize) -> Option<Json> {
    let report = &mut reader.report;
    if text.len() > JSON_BYTES_MAX {
        report.violation(path, Rule::TooLarge, format!("JSON text must not exceed {JSON_BYTES_MAX} bytes"));
        return None;
    }
    let Ok(raw) = serde_json::from_str::<&RawValue>(text) else {
        report.violation(path, Rule::BadJson, "must be JSON (RFC 8259)");
        return None;
    };
    reader.value(raw, path, depth)
}

struct Reader<'r> {
    report: &'r mut Report,
    values: usize,
    values_max: usize,
    keys_max: usize,
}

impl Reader<'_> {
    /// Recursion is bounded by [`METADATA_DEPTH_MAX`] and the levels of the event around it.
    fn value(&mut self, raw: &RawValue, path: &str, depth: usize) -> Option<Json> {
        self.values += 1;
        if self.values > self.values_max {
            if self.values == self.values_max + 1 {
                let message = format!("must not hold more than {} values", self.values_max);
                self.report.violation("", Rule::TooMany, message);
            }
            return None;
        }
        let text = raw.get();
        match text.as_bytes().first()? {
            b'{' | b'[' if depth > METADATA_DEPTH_MAX + 1 => {
                let message = format!("must not be nested deeper than {METADATA_DEPTH_MAX} levels");
                self.report.violation(path, Rule::TooDeep, message);
                None
            }
            b'{' => self.object(text, path, depth),
            b'[' => self.list(text, path, depth),
            b'"' => self.text(text, path),
            b'n' => Some(Json::Null),
            b't' => Some(Json::Bool(true)),
            b'f' => Some(Json::Bool(false)),
            _ => self.number(text, path),
        }
    }

    fn text(&mut self, text: &str, path: &str) -> Option<Json> {
        // What the raw reader lets pass is an escape of half a surrogate pair.
        let Ok(text) = serde_json::from_str(text) else {
            self.report.violation(path, Rule::BadJson, "must not escape half a surrogate pair");
            return None;
        };
        Some(Json::Text(text))
    }

    fn number(&mut self, text: &str, path: &str) -> Option<Json> {
        let integer = !text.contains(['.', 'e', 'E']);
        let number = if integer {
            text.parse().map(Json::Signed).or_else(|_| text.parse().map(Json::Unsigned)).ok()
        } else {
            text.parse().ok().filter(|n: &f64| n.is_finite()).map(Json::Float)
        };
        if number.is_none() {
            self.report.violation(path, Rule::OutOfRange, "must be a number that fits 64 bits");
        }
        number
    }

    fn list(&mut self, text: &str, path: &str, depth: usize) -> Option<Json> {
        let items = serde_json::Deserializer::from_str(text).deserialize_seq(Items).ok()?;
        if items.len() > METADATA_ITEMS_MAX {
            let message = format!("must not have more than {METADATA_ITEMS_MAX} elements");
            self.report.violation(path, Rule::TooMany, message);
            return None;
        }
        let items = items.into_iter().enumerate();
        let list = items.map(|(at, raw)| self.value(raw, &format!("{path}[{at}]"), depth + 1));
        // All elements are read before the first failure counts: every violation is wanted.
        let list: Vec<_> = list.collect();
        list.into_iter().collect::<Option<_>>().map(Json::List)
    }

    fn object(&mut self, text: &str, path: &str, depth: usize) -> Option<Json> {
        let Ok(members) = serde_json::Deserializer::from_str(text).deserialize_map(Members) else {
            self.report.violation(path, Rule::BadJson, "a key must not escape half a surrogate pair");
            return None;
        };
        if members.len() > self.keys_max {
            let message = format!("must not have more than {} keys", self.keys_max);
            self.report.violation(path, Rule::TooMany, message);
            return None;
        }
        let mut values: BTreeMap<String, Option<Json>> = BTreeMap::new();
        for (number, (key, raw)) in members.into_iter().enumerate() {
            let path = key_path(path, &key, number + 1);
            let value = self.value(raw, &path, depth + 1);
            match values.entry(key) {
                Entry::Vacant(entry) => {
                    entry.insert(value);
                }
                // The first stays: what is there twice is a violation anyway.
                Entry::Occupied(_) => {
                    self.report.violation(&path, Rule::DuplicateKey, "must not be there twice");
                }
            }
        }
        let is_complete = values.values().all(Option::is_some);
        let object = values.into_iter().filter_map(|(key, value)| Some((key, value?))).collect();
        // The outermost object is kept even when members are missing, so that its fields are checked.
        (is_complete || depth == 1).then_some(Json::Object(object))
    }
}

struct Items;

impl<'de> Visitor<'de> for Items {
    type Value = Vec<&'de RawValue>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an array")
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut seq: A) -> Result<Self::Value, A::Error> {
        let mut items = Vec::new();
        while let Some(raw) = seq.next_element()? {
            items.push(raw);
        }
        Ok(items)
    }
}

struct Members;

impl<'de> Visitor<'de> for Members {
    type Value = Vec<(String, &'de RawValue)>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an object")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Self::Value, A::Error> {
        let mut members = Vec::new();
        while let Some(member) = map.next_entry()? {
            members.push(member);
        }
        Ok(members)
    }
}
