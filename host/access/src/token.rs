//! JSON Web Tokens: what is signed, and what is accepted (RFC 7519, in the profile of RFC 8725).
//!
//! The key pins the algorithm; `exp`, `iat`, `iss`, `aud` and `jti` are required. Time is an argument.
//! Tokens of the Python Session-Buddy's family are of this form.

use jsonwebtoken::errors::ErrorKind;
use jsonwebtoken::{Algorithm, Header, Validation};
use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::key::Key;
use crate::keyring::Keyring;
use crate::{Identity, Scopes};

/// Whom tokens are for.
pub const AUDIENCE: &str = "session-buddy";

/// Who makes tokens: we, and the Python Session-Buddy's family.
pub const ISSUERS: [&str; 6] =
    ["shelltrack", "mahavishnu", "session-buddy", "akosha", "dhara", "crackerjack"];

/// How far clocks may be apart, in seconds.
pub const LEEWAY_S: u64 = 30;

/// Longest life of a token, in seconds: what is stolen must not work for ever. The Python family's live
/// an hour.
pub const LIFETIME_S_MAX: u64 = 86_400;

/// Longest token, in bytes; ours have 400.
pub const TOKEN_BYTES_MAX: usize = 4096;

/// Longest subject, in bytes: it is a key of the rate limiter and stands in logs.
pub const SUBJECT_BYTES_MAX: usize = 200;

/// Why a token is not accepted. Repeats nothing of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Refusal {
    /// Longer than any token.
    #[error("the token is longer than {TOKEN_BYTES_MAX} bytes")]
    TooLarge,
    /// No token, or one of another algorithm.
    #[error("this is no JSON Web Token signed with HS256 or EdDSA")]
    Malformed,
    /// Another kind of token.
    #[error("the token's `typ` must be JWT")]
    Type,
    /// Nobody here has that key.
    #[error("the token's key is not known here; sign it with a key that this server has")]
    UnknownKey,
    /// The key is for another algorithm.
    #[error("the token's algorithm is not that of its key")]
    Algorithm,
    /// Somebody else made it, or changed it.
    #[error("the token's signature is wrong")]
    Signature,
    /// Not one of [`ISSUERS`].
    #[error("the token's issuer is not known here")]
    Issuer,
    /// It is for somebody else.
    #[error("the token is for another audience; `aud` must be {AUDIENCE}")]
    Audience,
    /// Its time is over.
    #[error("the token has expired; use a new one")]
    Expired,
    /// Its time has not come.
    #[error("the token is not valid yet; compare the clocks")]
    NotYetValid,
    /// It lives too long.
    #[error("the token lives longer than {LIFETIME_S_MAX} seconds, or ends before it begins")]
    Lifetime,
    /// A claim is missing or of another type.
    #[error("the token must have the claims exp, iat, iss, aud and jti, each of its type")]
    Claims,
    /// The key is somebody else's.
    #[error("the token's subject is not the owner of its key")]
    Subject,
}

/// What is signed.
#[derive(Serialize)]
struct Claims<'a> {
    iss: &'a str,
    aud: &'a str,
    sub: &'a str,
    jti: String,
    iat: u64,
    exp: u64,
    scopes: Vec<&'static str>,
}

/// What is read; `iss` and `aud` are compared before. Times may have fractions (RFC 7519, 2).
#[derive(Deserialize)]
struct Received {
    iss: String,
    sub: Option<String>,
    jti: String,
    iat: f64,
    exp: f64,
    nbf: Option<f64>,
    #[serde(default)]
    scopes: Vec<String>,
    scope: Option<String>,
}

/// The system clock in seconds since 1970.
#[must_use]
pub fn now_s() -> u64 {
    std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap_or_default().as_secs()
}

impl Key {
    /// Signs a token. `None` when this is no key that signs.
    #[must_use]
    pub fn mint(&self, subject: &str, scopes: Scopes, lifetime_s: u64, now_s: u64) -> Option<String> {
        let claims = Claims {
            iss: "shelltrack",
            aud: AUDIENCE,
            sub: self.identity.as_deref().unwrap_or(subject),
            jti: uuid::Uuid::new_v4().to_string(),
            iat: now_s,
            exp: now_s.saturating_add(lifetime_s.min(LIFETIME_S_MAX)),
            scopes: scopes.and(self.scopes).names(),
        };
        let header = Header { kid: self.kid.clone(), ..Header::new(self.algorithm) };
        jsonwebtoken::encode(&header, &claims, self.signs.as_ref()?).ok()
    }
}

impl Keyring {
    /// Who speaks with that token.
    ///
    /// # Errors
    /// [`Refusal`].
    pub fn verify(&self, token: &str, now_s: u64) -> Result<Identity, Refusal> {
        if token.len() > TOKEN_BYTES_MAX {
            return Err(Refusal::TooLarge);
        }
        let header = jsonwebtoken::decode_header(token).map_err(|_| Refusal::Malformed)?;
        if !matches!(header.alg, Algorithm::HS256 | Algorithm::EdDSA) || header.crit.is_some() {
            return Err(Refusal::Malformed);
        }
        if header.typ.as_ref().is_some_and(|typ| !typ.eq_ignore_ascii_case("jwt")) {
            return Err(Refusal::Type);
        }
        let keys = self.keys();
        match header.kid {
            Some(kid) => {
                let key =
                    keys.iter().find(|key| key.kid.as_ref() == Some(&kid)).ok_or(Refusal::UnknownKey)?;
                if key.algorithm != header.alg {
                    return Err(Refusal::Algorithm);
                }
                verify_with(key, token, now_s)
            }
            None if header.alg == Algorithm::HS256 => {
                let mut shared =
                    keys.iter().filter(|key| key.is_shared()).map(|key| verify_with(key, token, now_s));
                let settled = shared.find(|verdict| *verdict != Err(Refusal::Signature));
                settled.unwrap_or(Err(Refusal::Signature))
            }
            None => Err(Refusal::UnknownKey),
        }
    }
}

fn verify_with(key: &Key, token: &str, now_s: u64) -> Result<Identity, Refusal> {
    let mut validation = Validation::new(key.algorithm);
    validation.set_audience(&[AUDIENCE]);
    validation.set_issuer(&ISSUERS);
    validation.set_required_spec_claims(&["exp", "iss", "aud"]);
    validation.validate_exp = false; // below, with the time that was given
    validation.validate_nbf = false;
    let data = jsonwebtoken::decode::<Received>(token, &key.checks, &validation);
    let claims = data.map_err(|error| refusal(error.kind()))?.claims;
    check_times(&claims, now_s as f64)?;
    let subject = match (&key.identity, claims.sub) {
        (Some(owner), Some(subject)) if *owner != subject => return Err(Refusal::Subject),
        (Some(owner), _) => owner.clone(),
        (None, subject) => subject.unwrap_or(claims.iss),
    };
    if claims.jti.is_empty() || subject.len() > SUBJECT_BYTES_MAX {
        return Err(Refusal::Claims);
    }
    let named = claims.scopes.iter().map(String::as_str);
    let scopes = Scopes::named(named.chain(claims.scope.iter().flat_map(|scope| scope.split(' '))));
    Ok(Identity { subject, proven: key.identity.clone(), scopes: scopes.and(key.scopes) })
}

fn check_times(claims: &Received, now_s: f64) -> Result<(), Refusal> {
    let leeway_s = LEEWAY_S as f64;
    let lifetime_s = claims.exp - claims.iat;
    if !(0.0..=LIFETIME_S_MAX as f64).contains(&lifetime_s) {
        return Err(Refusal::Lifetime);
    }
    if claims.exp + leeway_s < now_s {
        return Err(Refusal::Expired);
    }
    if claims.iat - leeway_s > now_s || claims.nbf.is_some_and(|nbf| nbf - leeway_s > now_s) {
        return Err(Refusal::NotYetValid);
    }
    Ok(())
}

fn refusal(kind: &ErrorKind) -> Refusal {
    match kind {
        ErrorKind::InvalidSignature => Refusal::Signature,
        ErrorKind::InvalidIssuer => Refusal::Issuer,
        ErrorKind::InvalidAudience => Refusal::Audience,
        ErrorKind::MissingRequiredClaim(_) | ErrorKind::InvalidClaimFormat(_) | ErrorKind::Json(_) => {
            Refusal::Claims
        }
        ErrorKind::InvalidAlgorithm => Refusal::Algorithm,
        _ => Refusal::Malformed,
    }
}

/// What a token says, whether it is true or not.
#[derive(Clone, Debug, Serialize)]
pub struct Inspected {
    /// Its header.
    pub header: Value,
    /// Its claims.
    pub claims: Value,
}

/// Reads a token and believes nothing of it.
#[must_use]
pub fn inspect(token: &str) -> Option<Inspected> {
    use base64::Engine;
    use base64::engine::general_purpose::URL_SAFE_NO_PAD;
    let mut parts = token.split('.');
    let mut part = || serde_json::from_slice(&URL_SAFE_NO_PAD.decode(parts.next()?).ok()?).ok();
    Some(Inspected { header: part()?, claims: part()? })
}

#[cfg(test)]
#[path = "token_tests.rs"]
mod tests;
