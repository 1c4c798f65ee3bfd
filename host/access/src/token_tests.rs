//! What is accepted as a token and what is not: forged, foreign, early, late.
#![allow(clippy::unwrap_used, clippy::indexing_slicing, reason = "a failed unwrap is a failed test")]

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use jsonwebtoken::{Algorithm, DecodingKey, EncodingKey, Header};
use serde_json::json;
use tempfile::TempDir;

use super::*;

const NOW_S: u64 = 1_795_166_392;
const SECRET: &str = "0123456789abcdef0123456789abcdef";

fn ring() -> (TempDir, Keyring) {
    let directory = tempfile::tempdir().unwrap();
    let ring = Keyring::open(directory.path(), Some(SECRET)).unwrap();
    (directory, ring)
}

/// Claims as the Python Session-Buddy's family makes them.
fn claims() -> Value {
    json!({"sub": "mahavishnu", "iss": "mahavishnu", "aud": "session-buddy", "iat": NOW_S, "exp": NOW_S + 3600,
        "jti": "6f9619ff-8b86-4d01-b42d-00cf4fc964ff", "scopes": ["write", "read"]})
}

fn with(key: &str, value: Value) -> Value {
    let mut claims = claims();
    match value {
        Value::Null => drop(claims.as_object_mut().unwrap().remove(key)),
        value => claims[key] = value,
    }
    claims
}

fn signed(claims: &Value) -> String {
    let key = EncodingKey::from_secret(SECRET.as_bytes());
    jsonwebtoken::encode(&Header::new(Algorithm::HS256), claims, &key).unwrap()
}

/// A token with any header, signed by nobody or by this secret.
fn forged(header: &Value, claims: &Value, secret: Option<&[u8]>) -> String {
    let text = |value: &Value| URL_SAFE_NO_PAD.encode(value.to_string());
    let message = format!("{}.{}", text(header), text(claims));
    let signature = secret.map_or_else(String::new, |secret| {
        jsonwebtoken::crypto::sign(message.as_bytes(), &EncodingKey::from_secret(secret), Algorithm::HS256)
            .unwrap()
    });
    format!("{message}.{signature}")
}

#[track_caller]
fn check_refused(token: &str, expected: Refusal) {
    let (_directory, ring) = ring();
    assert_eq!(ring.verify(token, NOW_S), Err(expected));
}

#[test]
fn a_token_of_the_python_family_is_accepted() {
    let (_directory, ring) = ring();
    for issuer in ["mahavishnu", "session-buddy", "akosha", "dhara", "crackerjack"] {
        let identity = ring.verify(&signed(&with("iss", json!(issuer))), NOW_S).unwrap();
        assert_eq!((identity.subject.as_str(), identity.proven), ("mahavishnu", None));
        assert_eq!(identity.scopes, Scopes::ALL);
    }
}

#[test]
fn scopes_are_read_from_both_claims_and_unknown_ones_give_nothing() {
    let (_directory, ring) = ring();
    let scopes = |claims: &Value| ring.verify(&signed(claims), NOW_S).unwrap().scopes;
    assert_eq!(scopes(&with("scopes", json!(["read"]))).names(), ["read"]);
    assert_eq!(scopes(&with("scopes", json!(["track", "delete"]))).names(), ["track"]);
    assert_eq!(scopes(&with("scopes", json!(["admin"]))), Scopes::ALL);
    assert!(scopes(&with("scopes", Value::Null)).names().is_empty());
    let mut standard = with("scopes", Value::Null);
    standard["scope"] = json!("openid track");
    assert_eq!(scopes(&standard).names(), ["track"]);
}

#[test]
fn what_is_minted_is_accepted_until_its_time_is_over() {
    let (_directory, ring) = ring();
    let key = ring.signing_key(true).unwrap();
    let token = key.mint("ada", Scopes::ALL, 300, NOW_S).unwrap();
    assert_eq!(ring.verify(&token, NOW_S).unwrap().subject, "ada");
    assert!(ring.verify(&token, NOW_S + 300 + LEEWAY_S).is_ok());
    assert_eq!(ring.verify(&token, NOW_S + 301 + LEEWAY_S), Err(Refusal::Expired));
    assert_eq!(ring.verify(&token, NOW_S - LEEWAY_S - 1), Err(Refusal::NotYetValid));
    assert_ne!(key.mint("ada", Scopes::ALL, 300, NOW_S).unwrap(), token, "each has a jti of its own");
    let long = key.mint("ada", Scopes::ALL, u64::MAX, NOW_S).unwrap();
    assert!(ring.verify(&long, NOW_S).is_ok(), "it is cut to the longest life there is");
}

#[test]
fn unsigned_tokens_are_refused() {
    for none in ["none", "None", "NONE", "nOnE", "", "HS257"] {
        check_refused(&forged(&json!({"alg": none, "typ": "JWT"}), &claims(), None), Refusal::Malformed);
    }
    check_refused(&forged(&json!({"alg": "HS256", "typ": "JWT"}), &claims(), None), Refusal::Signature);
    check_refused(&forged(&json!({"typ": "JWT"}), &claims(), None), Refusal::Malformed);
}

#[test]
fn other_algorithms_are_refused_even_with_the_right_secret() {
    for algorithm in ["HS384", "HS512", "RS256", "ES256", "PS256"] {
        let token = forged(&json!({"alg": algorithm, "typ": "JWT"}), &claims(), Some(SECRET.as_bytes()));
        check_refused(&token, Refusal::Malformed);
    }
    let token = forged(&json!({"alg": "EdDSA", "typ": "JWT"}), &claims(), Some(SECRET.as_bytes()));
    check_refused(&token, Refusal::UnknownKey);
}

#[test]
fn a_public_key_is_no_shared_secret() {
    let directory = tempfile::tempdir().unwrap();
    let ring = Keyring::open(directory.path(), Some(SECRET)).unwrap();
    let public = ring.add_identity("engine", Scopes::ALL).unwrap();
    let jwk: Value = serde_json::from_str(&public.jwk).unwrap();
    let raw = URL_SAFE_NO_PAD.decode(jwk["x"].as_str().unwrap()).unwrap();
    for secret in [raw.as_slice(), jwk["x"].as_str().unwrap().as_bytes(), public.jwk.as_bytes()] {
        let with_kid = json!({"alg": "HS256", "typ": "JWT", "kid": public.kid});
        assert_eq!(ring.verify(&forged(&with_kid, &claims(), Some(secret)), NOW_S), Err(Refusal::Algorithm));
        let without = json!({"alg": "HS256", "typ": "JWT"});
        assert_eq!(ring.verify(&forged(&without, &claims(), Some(secret)), NOW_S), Err(Refusal::Signature));
    }
}

#[test]
fn foreign_and_changed_tokens_are_refused() {
    let other = forged(&json!({"alg": "HS256"}), &claims(), Some(b"another secret of sufficient length"));
    check_refused(&other, Refusal::Signature);
    let mut parts: Vec<String> = signed(&claims()).split('.').map(str::to_owned).collect();
    parts[1] = URL_SAFE_NO_PAD.encode(with("scopes", json!(["admin"])).to_string());
    check_refused(&parts.join("."), Refusal::Signature);
    let empty_secret = forged(&json!({"alg": "HS256"}), &claims(), Some(b""));
    check_refused(&empty_secret, Refusal::Signature);
}

#[test]
fn a_key_named_by_the_token_must_be_ours() {
    for kid in [json!("../../etc/passwd"), json!(""), json!("x' OR 1=1")] {
        let header = json!({"alg": "HS256", "typ": "JWT", "kid": kid});
        check_refused(&forged(&header, &claims(), Some(SECRET.as_bytes())), Refusal::UnknownKey);
    }
    let header =
        json!({"alg": "HS256", "jwk": {"kty": "oct", "k": "YXR0YWNrZXI"}, "jku": "http://evil.example"});
    assert!(ring().1.verify(&forged(&header, &claims(), Some(b"attacker")), NOW_S).is_err());
}

#[test]
fn extensions_that_must_be_understood_are_refused() {
    let header = json!({"alg": "HS256", "typ": "JWT", "crit": ["exp"]});
    check_refused(&forged(&header, &claims(), Some(SECRET.as_bytes())), Refusal::Malformed);
}

#[test]
fn another_kind_of_token_is_refused() {
    for typ in ["at+jwt", "dpop+jwt", "JWS", "secevent+jwt"] {
        let token = forged(&json!({"alg": "HS256", "typ": typ}), &claims(), Some(SECRET.as_bytes()));
        check_refused(&token, Refusal::Type);
    }
}

#[test]
fn another_audience_or_issuer_is_refused() {
    check_refused(&signed(&with("aud", json!("mahavishnu"))), Refusal::Audience);
    check_refused(&signed(&with("aud", json!(["a", "b"]))), Refusal::Audience);
    check_refused(&signed(&with("iss", json!("stranger"))), Refusal::Issuer);
    let (_directory, ring) = ring();
    assert!(ring.verify(&signed(&with("aud", json!(["a", "session-buddy"]))), NOW_S).is_ok());
}

#[test]
fn every_required_claim_is_required_and_of_its_type() {
    for claim in ["exp", "iat", "iss", "aud", "jti"] {
        check_refused(&signed(&with(claim, Value::Null)), Refusal::Claims);
    }
    for (claim, value) in
        [("jti", json!("")), ("jti", json!(7)), ("iat", json!("now")), ("exp", json!("9999999999"))]
    {
        check_refused(&signed(&with(claim, value)), Refusal::Claims);
    }
    check_refused(&signed(&with("sub", json!("x".repeat(201)))), Refusal::Claims);
}

#[test]
fn early_late_and_everlasting_tokens_are_refused() {
    check_refused(&signed(&with("exp", json!(NOW_S - 31)).clone()), Refusal::Lifetime);
    let mut expired = with("exp", json!(NOW_S - 31));
    expired["iat"] = json!(NOW_S - 3600);
    check_refused(&signed(&expired), Refusal::Expired);
    check_refused(&signed(&with("iat", json!(NOW_S + 31))), Refusal::NotYetValid);
    check_refused(&signed(&with("nbf", json!(NOW_S + 31))), Refusal::NotYetValid);
    check_refused(&signed(&with("exp", json!(NOW_S + 86_401))), Refusal::Lifetime);
    check_refused(&signed(&with("exp", json!(1e300))), Refusal::Claims);
    check_refused(&signed(&with("iat", json!(-1e300))), Refusal::Lifetime);
}

#[test]
fn junk_is_refused() {
    let two_parts = signed(&claims()).rsplit_once('.').unwrap().0.to_owned();
    for junk in ["", ".", "..", "a.b.c", "Bearer x", &two_parts, "e30.e30.", "\u{0}", "🦀.🦀.🦀"] {
        check_refused(junk, Refusal::Malformed);
    }
    check_refused(&"a".repeat(TOKEN_BYTES_MAX + 1), Refusal::TooLarge);
    check_refused(&format!("{}.", signed(&claims())), Refusal::Malformed);
}

#[test]
fn a_proven_identity_cannot_be_another_one() {
    let directory = tempfile::tempdir().unwrap();
    let ring = Keyring::open(directory.path(), None).unwrap();
    let public = ring.add_identity("engine", Scopes::named(["track"])).unwrap();
    let key = ring.signing_key(true).unwrap();
    let token = key.mint("somebody else", Scopes::ALL, 60, NOW_S).unwrap();
    let identity = ring.verify(&token, NOW_S).unwrap();
    assert_eq!((identity.subject.as_str(), identity.proven.as_deref()), ("engine", Some("engine")));
    assert_eq!(identity.scopes.names(), ["track"], "the key's scopes bound the token's");

    let header = Header { kid: Some(public.kid), ..Header::new(Algorithm::EdDSA) };
    let forged =
        jsonwebtoken::encode(&header, &with("sub", json!("admin")), key.signs.as_ref().unwrap()).unwrap();
    assert_eq!(ring.verify(&forged, NOW_S), Err(Refusal::Subject));
    let nameless = Header::new(Algorithm::EdDSA);
    let forged =
        jsonwebtoken::encode(&nameless, &with("sub", json!("engine")), key.signs.as_ref().unwrap()).unwrap();
    assert_eq!(ring.verify(&forged, NOW_S), Err(Refusal::UnknownKey));
}

#[test]
fn a_refusal_repeats_nothing_of_the_token() {
    let token = signed(&with("iss", json!("very-secret-issuer")));
    let (_directory, ring) = ring();
    let told = ring.verify(&token, NOW_S).unwrap_err().to_string();
    assert!(!told.contains("very-secret") && !token.contains(&told));
    let inspected = inspect(&token).unwrap();
    assert_eq!(inspected.claims["iss"], "very-secret-issuer");
    let _types_are_used = DecodingKey::from_secret(b"");
}
