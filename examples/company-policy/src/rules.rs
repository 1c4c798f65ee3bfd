//! The company's own rules: employee numbers (`E-` and digits) and the names of internal hosts
//! (`….corp.example`). Finds and replaces; what calls it decides when.

/// What stands in the place of an employee number.
const EMPLOYEE: &str = "[employee]";
/// What stands in the place of an internal host's name.
const INTERNAL_HOST: &str = "[internal-host]";
/// End of the name of an internal host, without regard to case.
const INTERNAL_DOMAIN: &str = ".corp.example";
/// Digits from which on an employee number could be guessed; a text may be cut inside of one.
const EMPLOYEE_DIGITS_MIN: usize = 3;

/// The text with everything replaced, and the rules that did it; nothing when there was nothing.
///
/// Finds and marks consist of characters that JSON text never escapes, so that JSON stays JSON.
pub fn redact(text: &str) -> Option<(String, Vec<&'static str>)> {
    let mut out = String::with_capacity(text.len());
    let mut rules = Vec::new();
    let mut rest = text;
    while let Some(at) = rest.find(is_word) {
        let (between, from) = rest.split_at(at);
        let (word, after) = from.split_at(from.find(|c| !is_word(c)).unwrap_or(from.len()));
        out.push_str(between);
        match rule_of(word) {
            Some((rule, mark)) => {
                out.push_str(mark);
                if !rules.contains(&rule) {
                    rules.push(rule);
                }
            }
            None => out.push_str(word),
        }
        rest = after;
    }
    out.push_str(rest);
    (!rules.is_empty()).then_some((out, rules))
}

fn is_word(c: char) -> bool {
    c.is_ascii_alphanumeric() || c == '-' || c == '.'
}

fn rule_of(word: &str) -> Option<(&'static str, &'static str)> {
    let word = word.trim_end_matches('.');
    let digits = word.strip_prefix("E-").unwrap_or_default();
    if digits.len() >= EMPLOYEE_DIGITS_MIN && digits.bytes().all(|b| b.is_ascii_digit()) {
        return Some(("employee-number", EMPLOYEE));
    }
    let is_internal = word.to_ascii_lowercase().ends_with(INTERNAL_DOMAIN);
    is_internal.then_some(("internal-host", INTERNAL_HOST))
}

#[cfg(test)]
mod tests {
    use super::redact;

    fn clean(text: &str) -> String {
        redact(text).map_or_else(|| text.to_owned(), |(text, _)| text)
    }

    #[test]
    fn employee_numbers_and_internal_hosts_go() {
        assert_eq!(clean("ask E-123456, now"), "ask [employee], now");
        assert_eq!(clean("ssh root@db1.Corp.Example:22"), "ssh root@[internal-host]:22");
        assert_eq!(clean(r#"{"a":"E-4711"}"#), r#"{"a":"[employee]"}"#);
    }

    #[test]
    fn other_words_stay() {
        for text in ["E-mail", "E-12", "SIZE-12345", "corp.example.org", "4b7e-1234", "e-123456", ""] {
            assert_eq!(clean(text), text);
        }
    }

    #[test]
    fn twice_is_as_good_as_once() {
        let once = clean("E-123 a.corp.example");
        assert_eq!(clean(&once), once);
    }
}
