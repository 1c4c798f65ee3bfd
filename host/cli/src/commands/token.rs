//! `shelltrack token`: what lets clients in. Tokens go to stdout, or come from stdin, never from the command
//! line, which others can read.

use std::io::Read;
use std::path::PathBuf;
use std::process::ExitCode;

use serde_json::json;
use shelltrack_access::{
    Keyring, SECRET_VARIABLE, SUBJECT_BYTES_MAX, Scopes, TOKEN_BYTES_MAX, inspect, now_s,
};

use crate::args_server::{Token, TokenAction};
use crate::failure::{Failure, tell};
use crate::output;

/// Mints, reads or renews.
pub(crate) fn token(token: &Token) -> Result<ExitCode, Failure> {
    match &token.action {
        TokenAction::Mint { scope, subject, lifetime } => mint(scope, subject, lifetime.as_secs()),
        TokenAction::Inspect => inspect_stdin(),
        TokenAction::Rotate { identity, scope } => rotate(identity.as_deref(), scope),
    }
}

/// Where keys are.
pub(super) fn directory() -> Result<PathBuf, Failure> {
    let none = || Failure::Failed("neither HOME nor the passwd entry names a home".to_owned());
    shelltrack_access::directory().ok_or_else(none)
}

/// The secret of the environment. One that is no text is refused, not left out.
pub(super) fn secret() -> Result<Option<String>, Failure> {
    match std::env::var(SECRET_VARIABLE) {
        Ok(secret) => Ok(Some(secret)),
        Err(std::env::VarError::NotPresent) => Ok(None),
        Err(std::env::VarError::NotUnicode(_)) => {
            Err(Failure::Usage(format!("{SECRET_VARIABLE}: must be UTF-8 text")))
        }
    }
}

fn keys() -> Result<Keyring, Failure> {
    Keyring::open(&directory()?, secret()?.as_deref()).map_err(|error| Failure::Failed(error.to_string()))
}

fn scopes(names: &[String]) -> Scopes {
    if names.is_empty() { Scopes::ALL } else { Scopes::named(names.iter().map(String::as_str)) }
}

fn mint(scope: &[String], subject: &str, lifetime_s: u64) -> Result<ExitCode, Failure> {
    if !(1..=shelltrack_access::LIFETIME_S_MAX).contains(&lifetime_s) {
        return Err(Failure::Usage("--lifetime: must be 1s to 24h".to_owned()));
    }
    check_name("--subject", subject)?;
    let none = || {
        Failure::Failed(
            "there is no key yet: `shelltrack serve` or `shelltrack token rotate` makes one".to_owned(),
        )
    };
    let key = keys()?.signing_key(false).ok_or_else(none)?;
    let token = key.mint(subject, scopes(scope), lifetime_s, now_s()).ok_or_else(none)?;
    output::print(&format!("{token}\n"))?;
    Ok(ExitCode::SUCCESS)
}

fn inspect_stdin() -> Result<ExitCode, Failure> {
    let mut text = String::new();
    let limit = u64::try_from(2 * TOKEN_BYTES_MAX).unwrap_or(u64::MAX);
    let read = std::io::stdin().take(limit).read_to_string(&mut text);
    read.map_err(|_| Failure::Failed("stdin holds no text".to_owned()))?;
    let token = text.trim();
    let told = inspect(token).ok_or_else(|| Failure::Failed("stdin holds no JSON Web Token".to_owned()))?;
    let verdict = keys()?.verify(token, now_s());
    let refusal = verdict.as_ref().err().map(ToString::to_string);
    output::print_json(&json!({
        "header": told.header,
        "claims": told.claims,
        "accepted": verdict.is_ok(),
        "refusal": refusal,
    }))?;
    Ok(if verdict.is_ok() { ExitCode::SUCCESS } else { ExitCode::from(crate::failure::FAILED) })
}

/// Who somebody is: what servers accept, and what can be shown on a terminal.
fn check_name(option: &str, name: &str) -> Result<(), Failure> {
    let fits = (1..=SUBJECT_BYTES_MAX).contains(&name.len()) && !name.contains(char::is_control);
    let told = || format!("{option}: must be 1 to {SUBJECT_BYTES_MAX} bytes without control characters");
    if fits { Ok(()) } else { Err(Failure::Usage(told())) }
}

fn rotate(identity: Option<&str>, scope: &[String]) -> Result<ExitCode, Failure> {
    let failed = |error: shelltrack_access::KeyError| Failure::Failed(error.to_string());
    // The secret of the environment cannot be renewed here; the files can.
    let keys = Keyring::open(&directory()?, None).map_err(failed)?;
    match identity {
        Some(identity) => {
            check_name("--identity", identity)?;
            let public = keys.add_identity(identity, scopes(scope)).map_err(failed)?;
            output::print(&format!("{}\n", public.jwk))?;
            tell(&format!("write this to {}.jwk in the server's directory of keys", public.kid));
        }
        None => {
            output::print(&format!("{}\n", keys.rotate().map_err(failed)?))?;
            if secret()?.is_some() {
                tell(&format!("{SECRET_VARIABLE} is set and stands for this key as long as it is"));
            }
        }
    }
    Ok(ExitCode::SUCCESS)
}
