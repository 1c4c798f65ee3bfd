//! Cleans metadata: every key and string through the sanitizer, values under telling keys redacted,
//! size checked. Knows the reserved keys by name, not what they mean.

use crate::authorization::is_credentials;
use crate::commands::Commands;
use crate::json::{Json, Object, key_path};
use crate::json_write;
use crate::limits::{
    METADATA_BYTES_MAX, METADATA_KEY_SCALARS_MAX, METADATA_STRING_SCALARS_MAX, RESERVED_BYTES_MAX,
};
use crate::redact::{MARK, Secrets, Telling};
use crate::report::Report;
use crate::sanitize::{self, Cleaned};
use crate::search::has;
use crate::types::{ChangeKind, Rule};
use crate::values::{is_field_name, is_harmless};

/// Keys only the component writes, sorted.
pub(crate) const RESERVED_KEYS: [&str; 5] =
    ["correlation_id", "event_id", "exit_reason", "exit_status", "origin"];

/// The rule that redacts what stands under a telling key.
const TELLING_KEY: &str = "telling-key";

/// Cleans `object` and checks its size. `reserved_bytes` is what reserved keys may take beyond
/// [`METADATA_BYTES_MAX`]. The result counts only if `report` is valid.
pub(crate) fn clean(
    object: Object,
    path: &str,
    reserved_bytes: usize,
    secrets: &Secrets<'_>,
    report: &mut Report,
) -> Object {
    let object = Cleaner { secrets, report }.object(object, path, false);
    let bytes_max = METADATA_BYTES_MAX + reserved_bytes.min(RESERVED_BYTES_MAX);
    if json_write::object(&object).len() > bytes_max {
        report.violation(
            path,
            Rule::TooLarge,
            format!("must not exceed {bytes_max} bytes of JSON once cleaned"),
        );
    }
    object
}

/// The private members of a JSON Web Key (RFC 7518, section 6).
static PRIVATE_JWK_MEMBERS: [&str; 8] = ["d", "p", "q", "dp", "dq", "qi", "oth", "k"];

/// Members that name a setting, and those that hold its value, in the case of any API.
static NAMES: [&str; 5] = ["name", "key", "variable", "parametername", "parameterkey"];
static VALUES: [&str; 2] = ["value", "parametervalue"];

fn is_one_of(name: &str, names: &[&str]) -> bool {
    names.iter().any(|known| name.eq_ignore_ascii_case(known))
}

fn is_header_name(name: &str) -> bool {
    name.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-')
        && (name.contains('-') || is_one_of(name, &["authorization", "cookie"]))
}

struct Cleaner<'a, 'p> {
    secrets: &'a Secrets<'p>,
    report: &'a mut Report,
}

impl Cleaner<'_, '_> {
    /// `hide`: the object stands under a telling key, so that all of its values are secrets.
    fn object(&mut self, object: Object, path: &str, hide: bool) -> Object {
        let members: Vec<_> = object.into_iter().map(|(key, value)| (self.key(&key), key, value)).collect();
        // Judged by what is left of keys and values, so that the second time comes out like the first.
        let has = |name: &str| members.iter().any(|(cleaned, ..)| cleaned.text == name);
        let names_secret = members
            .iter()
            .any(|(cleaned, _, value)| is_one_of(&cleaned.text, &NAMES) && self.is_telling(value));
        let is_web_key = has("kty");
        // A manifest of Kubernetes.
        let is_secret = members.iter().any(|(cleaned, _, value)| {
            cleaned.text == "kind" && matches!(value, Json::Text(kind) if kind == "Secret")
        });
        let mut clean = Object::new();
        for (number, (cleaned, key, value)) in members.into_iter().enumerate() {
            let path = key_path(path, &cleaned.text, number + 1, self.secrets);
            self.report.touched(&path, &cleaned.touches);
            if cleaned.text.is_empty() && !key.is_empty() {
                self.report.violation(&path, Rule::Empty, "nothing is left of the key once it is cleaned");
            }
            let telling = self.secrets.telling_key(&cleaned.text);
            let hide = hide
                || telling == Telling::Always
                || (names_secret && is_one_of(&cleaned.text, &VALUES))
                || (is_secret && is_one_of(&cleaned.text, &["data", "stringdata"]))
                || (crate::telling::is_auth(&cleaned.text)
                    && self.word(&value).is_some_and(|value| is_credentials(&value)))
                || (is_web_key && PRIVATE_JWK_MEMBERS.contains(&cleaned.text.as_str()));
            let value = self.value(value, &path, hide, telling);
            if clean.insert(cleaned.text, value).is_some() {
                self.report.violation(&path, Rule::KeyCollision, "is the same as another key once cleaned");
            }
        }
        clean
    }

    fn key(&self, key: &str) -> Cleaned {
        sanitize::clean(key, METADATA_KEY_SCALARS_MAX, self.secrets)
    }

    /// Whether a value is a telling name: `{"name": "DB_PASSWORD", "value": …}`, as container tools write
    /// an environment.
    fn is_telling(&self, value: &Json) -> bool {
        self.word(value).is_some_and(|name| self.secrets.telling_key(&name) == Telling::Always)
    }

    /// What is left of a text; judged by it, the second time comes out like the first.
    fn word(&self, value: &Json) -> Option<String> {
        let Json::Text(text) = value else { return None };
        Some(sanitize::clean(text, METADATA_STRING_SCALARS_MAX, self.secrets).text)
    }

    /// The elements of a list, which may be the words of a command: `["mysql", "--password", …]`,
    /// `["curl", "-u", …]`.
    fn list(&mut self, list: Vec<Json>, path: &str, hide: bool, telling: Telling) -> Vec<Json> {
        let words: Vec<_> = list.iter().map(|item| self.word(item).unwrap_or_default()).collect();
        let mut commands = Commands::default();
        let mut previous = "";
        let mut in_key = false;
        let mut items = Vec::with_capacity(list.len());
        for (at, (item, word)) in list.into_iter().zip(&words).enumerate() {
            let is_option =
                |word: &str| word.starts_with('-') && self.secrets.telling_key(word) == Telling::Always;
            let is_argument = is_option(previous) && !is_option(word);
            // `["X-Api-Key", …]` and `["Host", …, "X-Api-Key", …]`, as servers write headers.
            let is_pair = at == 1 && words.len() == 2 && !is_field_name(word);
            let is_header = !is_option(previous) && is_header_name(previous);
            let is_value = (is_pair || is_header) && self.secrets.telling_key(previous) == Telling::Always;
            // A private key as a list of its lines.
            let was_in_key = in_key;
            if let Json::Text(line) = &item {
                in_key = !has(line, "END ") && (in_key || (has(line, "BEGIN ") && has(line, "PRIVATE KEY")));
            }
            let is_credential = commands.password_in(word).is_some() || is_value;
            if let Some(variable) = self.secret_variable(word).filter(|_| !hide) {
                self.report.change(&format!("{path}[{at}]"), ChangeKind::Redacted, TELLING_KEY);
                items.push(Json::Text(variable));
                previous = word;
                continue;
            }
            items.push(self.value(
                item,
                &format!("{path}[{at}]"),
                hide || was_in_key || is_argument || is_credential,
                telling,
            ));
            previous = word;
        }
        items
    }

    /// `DB_PASSWORD=correct horse`, as a list of an environment has it: all of it is the value.
    fn secret_variable(&self, item: &str) -> Option<String> {
        let (name, value) = item.split_once('=').filter(|(_, value)| value.contains(' '))?;
        let is_name = !name.is_empty() && name.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'_');
        let is_secret = is_name && self.secrets.telling_key(name) == Telling::Always && !is_harmless(value);
        is_secret.then(|| format!("{name}={MARK}"))
    }

    fn value(&mut self, value: Json, path: &str, hide: bool, telling: Telling) -> Json {
        match value {
            Json::Object(object) => Json::Object(self.object(object, path, hide)),
            Json::List(list) => Json::List(self.list(list, path, hide, telling)),
            Json::Text(text) => Json::Text(self.text(text, path, hide, telling)),
            Json::Signed(-99..=99) => value,
            Json::Signed(_) | Json::Unsigned(_) | Json::Float(_) if hide => {
                self.report.change(path, ChangeKind::Redacted, TELLING_KEY);
                Json::Text(MARK.to_owned())
            }
            other => other,
        }
    }

    fn text(&mut self, text: String, path: &str, hide: bool, telling: Telling) -> String {
        let cleaned = sanitize::clean(&text, METADATA_STRING_SCALARS_MAX, self.secrets);
        let secret = hide || (telling == Telling::WhenRandom && crate::redact::looks_random(&cleaned.text));
        let is_secret = secret && !cleaned.text.is_empty() && !is_harmless(&cleaned.text);
        if is_secret && !crate::redact::is_mark(&cleaned.text) {
            self.report.change(path, ChangeKind::Redacted, TELLING_KEY);
            return MARK.to_owned();
        }
        self.report.touched(path, &cleaned.touches);
        cleaned.text
    }
}
