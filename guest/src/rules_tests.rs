//! The examples of every redaction rule, and the rules on planted secrets.
#![allow(clippy::unwrap_used, clippy::indexing_slicing, reason = "a test may fail by panicking")]

use proptest::prelude::*;

use crate::example_objects::METADATA;
use crate::examples::{EXAMPLES, token_sample};
use crate::oracles::{check_sanitize_json, check_sanitize_text, open_policy};
use crate::redact::MARK;
use crate::rules::RULES;
use crate::sanitize::{sanitize_json, sanitize_text};
use crate::tokens::TOKENS;
use crate::types::{ChangeKind, Policy};

const MAX: u32 = 4096;

#[test]
fn every_rule_has_secrets_and_ordinary_text_as_examples() {
    let tables = ["token", "marked-secret", "word"];
    let rules = RULES.iter().map(|rule| rule.name).filter(|name| !tables.contains(name));
    for rule in rules.chain(crate::shapes::marked_rules()).chain(crate::words::rules()) {
        let example = EXAMPLES.iter().find(|example| example.rule == rule);
        assert!(example.is_some_and(|e| !e.secrets.is_empty() && !e.ordinary.is_empty()), "{rule}");
    }
}

#[test]
fn every_secret_of_the_examples_is_redacted() {
    for example in EXAMPLES {
        for (text, secret) in example.secrets {
            let clean = check_sanitize_text(text, MAX, &open_policy());
            assert!(!clean.text.contains(secret), "{}: {text:?} became {:?}", example.rule, clean.text);
            assert!(clean.changes.iter().any(|c| c.kind == ChangeKind::Redacted), "{text:?}");
        }
    }
}

#[test]
fn every_rule_finds_one_of_its_own_examples() {
    for example in EXAMPLES {
        let is_told = |text| {
            let changes = sanitize_text(text, MAX, &open_policy()).changes;
            changes.iter().any(|change| change.detail == example.rule)
        };
        assert!(example.secrets.iter().any(|(text, _)| is_told(text)), "{}", example.rule);
    }
}

#[test]
fn ordinary_text_of_the_examples_is_left_alone() {
    for example in EXAMPLES {
        for text in example.ordinary {
            assert_eq!(sanitize_text(text, MAX, &open_policy()).text, *text, "{}", example.rule);
        }
    }
}

#[test]
fn every_secret_under_a_telling_key_is_redacted() {
    for (json, secret) in METADATA {
        check_sanitize_json(json, &open_policy());
        let clean = sanitize_json(json, &open_policy()).unwrap();
        assert!(!clean.text.contains(secret), "{json} became {}", clean.text);
        assert!(clean.text.contains(MARK), "{json} became {}", clean.text);
    }
}

/// Lines that any component is judged by.
static LINES: &str = include_str!("../../host/conformance/cases/lines.json");

#[test]
fn the_lines_of_the_conformance_suite_keep_what_is_ordinary_and_lose_what_is_secret() {
    let lines: serde_json::Value = serde_json::from_str(LINES).unwrap();
    let text = |value: &serde_json::Value| value.as_str().unwrap().to_owned();
    for row in lines["secrets"].as_array().unwrap() {
        let (line, secret) = (text(&row[1]), text(&row[2]));
        let clean = check_sanitize_text(&line, MAX, &open_policy()).text;
        assert!(!clean.contains(&secret), "{line} became {clean}");
    }
    for line in lines["ordinary"].as_array().unwrap().iter().map(text) {
        assert_eq!(check_sanitize_text(&line, MAX, &open_policy()).text, line);
    }
    for case in lines["cases"].as_array().unwrap() {
        let call = &case["calls"][0];
        let json = text(&call["with"]["json"]);
        check_sanitize_json(&json, &open_policy());
        let clean = sanitize_json(&json, &open_policy()).unwrap();
        match call["absent"].as_array() {
            Some(absent) => assert!(!clean.text.contains(&text(&absent[0])), "{json} became {}", clean.text),
            None => assert_eq!(clean.changes, Vec::new(), "{json} became {}", clean.text),
        }
    }
}

#[test]
fn ordinary_metadata_is_left_alone() {
    for json in [
        r#"{"max_tokens":4096,"token_count":3,"usage":{"tokens":512}}"#,
        r#"{"key":"value","session_id":"mahavishnu-20261120-091952","use_password":true,"token":null}"#,
        r#"{"required":["password","email"],"columns":["id","token"]}"#,
        r#"{"argv":["ls","-la"],"exit_code":0,"ratio":0.25,"name":"Jürgen 你好 🎉"}"#,
    ] {
        let clean = sanitize_json(json, &open_policy()).unwrap();
        assert_eq!(clean.changes, Vec::new(), "{json} became {}", clean.text);
    }
}

#[test]
fn every_token_of_the_table_is_redacted_under_its_name() {
    for token in TOKENS {
        let secret = token_sample(token, token.body_min.into());
        let text = format!("cd x/{secret}; ls");
        let clean = check_sanitize_text(&text, MAX, &open_policy());
        assert_eq!(clean.text, format!("cd x/{MARK}; ls"), "{}", token.prefix);
        assert!(clean.changes.iter().any(|c| TOKENS.iter().any(|t| t.rule == c.detail)), "{clean:?}");
    }
}

#[test]
fn what_is_too_short_for_a_token_is_left_alone() {
    for token in TOKENS {
        let text = format!("cd x/{}", token_sample(token, usize::from(token.body_min.min(8) - 1)));
        let is_another = TOKENS.iter().any(|t| t.prefix != token.prefix && text.contains(t.prefix));
        assert!(is_another || sanitize_text(&text, MAX, &open_policy()).text == text, "{text}");
    }
}

#[test]
fn a_prefix_in_the_middle_of_a_word_is_no_token() {
    for text in ["risk-averse", "desk-abcdefghij0123456789abcdefghij", "mapi-ab", "XAKIAABCDEFGHIJKLMNOP"] {
        assert_eq!(sanitize_text(text, MAX, &open_policy()).text, text);
    }
}

#[test]
fn keys_and_prefixes_of_the_policy_are_redacted() {
    let policy = Policy {
        secret_keys: vec!["Employee-Number".into(), "пароль".into()],
        secret_prefixes: vec!["acme_".into(), "x".into()],
        ..open_policy()
    };
    let clean = sanitize_text("employee_number=4711 acme_zzz пароль: тайна x1", MAX, &policy);
    assert_eq!(clean.text, format!("employee_number={MARK} {MARK} пароль: {MARK} x1"));
    let json = sanitize_json(r#"{"EMPLOYEE.NUMBER":4711,"x":["acme_1"]}"#, &policy).unwrap();
    assert_eq!(json.text, format!(r#"{{"EMPLOYEE.NUMBER":"{MARK}","x":["{MARK}"]}}"#));
}

#[test]
fn prefixes_of_the_policy_hold_for_names_of_components_and_keys_in_reports() {
    let policy = Policy { secret_prefixes: vec!["acme_".into()], ..open_policy() };
    let wire = r#"{"component_name":"acme_4711","acme_4712":1,"metadata":{"acme_4713":1,"acme_4713":2}}"#;
    let violations = crate::validate::validate_start(wire, &policy).unwrap_err();
    assert!(violations.iter().any(|violation| violation.field == "component_name"), "{violations:?}");
    assert!(!format!("{violations:?}").contains("acme_"), "{violations:?}");
}

#[test]
fn a_password_in_a_url_is_redacted_whatever_its_length() {
    for len in [100, 3000, 20_000] {
        let secret = "Tr0ub4dor/".repeat(len / 10);
        let text = format!("x https://me:{secret}@example.org/a?b=c@d y");
        let clean = check_sanitize_text(&text, u32::MAX, &open_policy()).text;
        assert_eq!(clean, format!("x https://me:{MARK}@example.org/a?b=c@d y"));
    }
}

#[test]
fn a_text_of_nothing_but_secrets_goes_as_a_whole() {
    assert_eq!(check_sanitize_text(&"-u a:b ".repeat(300), MAX, &open_policy()).text, MARK);
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn a_planted_token_survives_in_no_surroundings(
        at in 0..TOKENS.len(), before in "(\\PC{0,30}[ /=:\"'(,@]|)", after in "([ \"',;)&]\\PC{0,30}|)", max in 0..200_u32
    ) {
        let token = TOKENS.get(at).unwrap();
        let secret = token_sample(token, token.body_min.into());
        let clean = check_sanitize_text(&format!("{before}{secret}{after}"), max, &open_policy());
        prop_assert!(!clean.text.contains(&secret), "{}", clean.text);
    }

    #[test]
    fn a_planted_example_survives_in_no_surroundings(
        at in any::<prop::sample::Index>(), before in "([a-z]{0,9}[ ,;])?", after in "([ ,;][a-z]{0,9})?"
    ) {
        let all: Vec<_> = EXAMPLES.iter().filter(|e| e.rule != "key-value").flat_map(|e| e.secrets).collect();
        let (text, secret) = at.get(&all);
        let clean = check_sanitize_text(&format!("{before}{text}{after}"), MAX, &open_policy());
        prop_assert!(!clean.text.contains(secret), "{text:?} became {}", clean.text);
    }
}
