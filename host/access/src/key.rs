//! One key: what signs or checks tokens, and its file, a JSON Web Key (RFC 7517, RFC 8037).
//!
//! The algorithm belongs to the key, never to the token (RFC 8725, 3.1). Which keys there are is
//! `keyring`'s business.

use std::fmt;

use aws_lc_rs::encoding::AsBigEndian;
use aws_lc_rs::signature::{Ed25519KeyPair, KeyPair};
use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use jsonwebtoken::{Algorithm, DecodingKey, EncodingKey};
use serde::{Deserialize, Serialize};

use crate::Scopes;

/// Shortest shared secret, in characters: 32 are 256 bits at best, what HS256 wants (RFC 7518, 3.2).
const SECRET_CHARS_MIN: usize = 32;

/// Bytes of a secret we make, and of each half of an Ed25519 key.
const KEY_BYTES: usize = 32;

/// PKCS#8 (RFC 8410) of an Ed25519 key up to its 32 bytes.
const PKCS8_HEAD: [u8; 16] =
    [0x30, 0x2e, 0x02, 0x01, 0x00, 0x30, 0x05, 0x06, 0x03, 0x2b, 0x65, 0x70, 0x04, 0x22, 0x04, 0x20];

/// Why there is no key. Names no part of it.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum KeyError {
    /// A shared secret that could be guessed.
    #[error(
        "SESSION_BUDDY_SECRET: it has {0} characters; a secret must have {SECRET_CHARS_MIN} or more, random ones"
    )]
    ShortSecret(usize),
    /// A key file that is none.
    #[error("{file}: {reason}")]
    File {
        /// Its path.
        file: String,
        /// What is wrong, and what would be right.
        reason: String,
    },
    /// The system gave no random bytes.
    #[error("no key could be made")]
    Random,
}

/// A key file's content.
#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Jwk {
    kty: String,
    pub(crate) kid: String,
    alg: String,
    #[serde(rename = "use", default = "sig")]
    usage: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    crv: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    k: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    x: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    d: Option<String>,
    /// Whose key it is; only with Ed25519.
    #[serde(skip_serializing_if = "Option::is_none")]
    sub: Option<String>,
    /// At most these; all when absent.
    #[serde(skip_serializing_if = "Option::is_none")]
    scopes: Option<Vec<String>>,
    /// When it was made, in seconds since 1970: the newest key signs.
    #[serde(default)]
    iat: u64,
    /// Made by ourselves for servers of this machine: signs for nobody else.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    local: bool,
}

fn sig() -> String {
    "sig".into()
}

/// The half of an Ed25519 key that a server needs: the content of a file for its directory of keys.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PublicKey {
    /// Its id.
    pub kid: String,
    /// JSON text.
    pub jwk: String,
}

/// A key that signs tokens, checks them, or both.
#[derive(Clone)]
pub struct Key {
    pub(crate) kid: Option<String>,
    pub(crate) algorithm: Algorithm,
    pub(crate) identity: Option<String>,
    pub(crate) scopes: Scopes,
    pub(crate) made_s: u64,
    pub(crate) is_local: bool,
    pub(crate) checks: DecodingKey,
    pub(crate) signs: Option<EncodingKey>,
}

impl fmt::Debug for Key {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Key")
            .field("kid", &self.kid)
            .field("algorithm", &self.algorithm)
            .finish_non_exhaustive()
    }
}

impl Key {
    /// The shared secret of `SESSION_BUDDY_SECRET`: HS256, without an id.
    ///
    /// # Errors
    /// [`KeyError::ShortSecret`].
    pub fn from_secret(secret: &str) -> Result<Self, KeyError> {
        match secret.chars().count() {
            chars if chars < SECRET_CHARS_MIN => Err(KeyError::ShortSecret(chars)),
            _ => Ok(Self::shared(secret.as_bytes())),
        }
    }

    fn shared(secret: &[u8]) -> Self {
        Self {
            kid: None,
            algorithm: Algorithm::HS256,
            identity: None,
            scopes: Scopes::ALL,
            made_s: 0,
            is_local: false,
            checks: DecodingKey::from_secret(secret),
            signs: Some(EncodingKey::from_secret(secret)),
        }
    }

    /// Its id.
    #[must_use]
    pub fn kid(&self) -> Option<&str> {
        self.kid.as_deref()
    }

    /// Whether every holder of it can be anybody.
    #[must_use]
    pub fn is_shared(&self) -> bool {
        self.algorithm == Algorithm::HS256
    }

    /// Whether it can sign.
    #[must_use]
    pub fn can_sign(&self) -> bool {
        self.signs.is_some()
    }

    pub(crate) fn from_jwk(jwk: &Jwk) -> Result<Self, &'static str> {
        if jwk.usage != "sig" || jwk.kid.is_empty() {
            return Err("a key needs a `kid`, and its `use` is `sig`");
        }
        let key = match (jwk.kty.as_str(), jwk.alg.as_str(), jwk.crv.as_deref()) {
            ("oct", "HS256", None) => Self::of_secret(jwk)?,
            ("OKP", "EdDSA", Some("Ed25519")) => Self::of_ed25519(jwk)?,
            _ => return Err("only `oct` with `HS256` and `OKP` with `EdDSA` and `Ed25519` are taken"),
        };
        let scopes = jwk.scopes.as_ref().map(|names| Scopes::named(names.iter().map(String::as_str)));
        Ok(Self {
            kid: Some(jwk.kid.clone()),
            scopes: scopes.unwrap_or(Scopes::ALL),
            made_s: jwk.iat,
            is_local: jwk.local,
            ..key
        })
    }

    fn of_secret(jwk: &Jwk) -> Result<Self, &'static str> {
        let secret = bytes(jwk.k.as_deref()).ok_or("`k` must be the secret in base64url")?;
        if secret.len() < KEY_BYTES {
            return Err("`k` must hold at least 32 bytes");
        }
        Ok(Self::shared(&secret))
    }

    fn of_ed25519(jwk: &Jwk) -> Result<Self, &'static str> {
        let identity = jwk.sub.clone().filter(|name| !name.is_empty());
        let identity = identity.ok_or("`sub` must name whose key it is")?;
        let public = bytes(jwk.x.as_deref()).filter(|x| x.len() == KEY_BYTES);
        let public = public.ok_or("`x` must be the 32 bytes of the public key in base64url")?;
        let signs = match bytes(jwk.d.as_deref()) {
            None if jwk.d.is_none() => None,
            Some(seed) if Ed25519KeyPair::from_seed_and_public_key(&seed, &public).is_ok() => {
                Some(EncodingKey::from_ed_der(&[PKCS8_HEAD.as_slice(), &seed].concat()))
            }
            _ => return Err("`d` must be the private key that `x` belongs to, in base64url"),
        };
        Ok(Self {
            algorithm: Algorithm::EdDSA,
            identity: Some(identity),
            checks: DecodingKey::from_ed_der(&public),
            signs,
            ..Self::shared(&[])
        })
    }
}

impl Jwk {
    /// A new shared secret.
    pub(crate) fn new_secret(made_s: u64) -> Result<Self, KeyError> {
        let mut secret = [0_u8; KEY_BYTES];
        aws_lc_rs::rand::fill(&mut secret).map_err(|_| KeyError::Random)?;
        let k = Some(URL_SAFE_NO_PAD.encode(secret));
        Ok(Self { kty: "oct".into(), alg: "HS256".into(), k, local: true, ..Self::blank(made_s) })
    }

    /// A new Ed25519 key of somebody.
    pub(crate) fn new_ed25519(identity: &str, scopes: Scopes, made_s: u64) -> Result<Self, KeyError> {
        let pair = Ed25519KeyPair::generate().map_err(|_| KeyError::Random)?;
        let seed = pair.seed().and_then(|seed| seed.as_be_bytes()).map_err(|_| KeyError::Random)?;
        Ok(Self {
            kty: "OKP".into(),
            alg: "EdDSA".into(),
            crv: Some("Ed25519".into()),
            x: Some(URL_SAFE_NO_PAD.encode(pair.public_key().as_ref())),
            d: Some(URL_SAFE_NO_PAD.encode(seed.as_ref())),
            sub: Some(identity.into()),
            scopes: Some(scopes.names().into_iter().map(str::to_owned).collect()),
            ..Self::blank(made_s)
        })
    }

    fn blank(made_s: u64) -> Self {
        // 122 random bits: nobody's id twice.
        let kid = uuid::Uuid::new_v4().simple().to_string();
        Self {
            kty: String::new(),
            kid,
            alg: String::new(),
            usage: sig(),
            crv: None,
            k: None,
            x: None,
            d: None,
            sub: None,
            scopes: None,
            iat: made_s,
            local: false,
        }
    }

    /// Whether whoever reads the file could sign with it.
    pub(crate) fn is_private(&self) -> bool {
        self.k.is_some() || self.d.is_some()
    }

    /// The same without the private half; only for Ed25519.
    pub(crate) fn into_public(self) -> PublicKey {
        let kid = self.kid.clone();
        let public = Self { d: None, k: None, local: false, ..self };
        PublicKey { kid, jwk: public.to_text() }
    }

    pub(crate) fn to_text(&self) -> String {
        serde_json::to_string(self).expect("a structure of texts and numbers is JSON")
    }
}

fn bytes(text: Option<&str>) -> Option<Vec<u8>> {
    URL_SAFE_NO_PAD.decode(text?).ok()
}
