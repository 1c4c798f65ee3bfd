//! Reads the configuration file. What may stand in it is decided where the tables are declared.

use std::fs;
use std::io;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;

use crate::complaint;
use crate::config::Layer;
use crate::failure::Failure;

/// Reads a file that cannot keep us waiting or fill the memory: no pipe, no device, no giant.
fn read_regular(path: &Path) -> io::Result<String> {
    /// A configuration is a page of text.
    const FILE_BYTES_MAX: u64 = 1 << 20;
    let metadata = fs::metadata(path)?;
    if !metadata.is_file() {
        return Err(io::Error::other("is not a regular file"));
    }
    if metadata.len() > FILE_BYTES_MAX {
        return Err(io::Error::other(format!("is larger than {FILE_BYTES_MAX} bytes")));
    }
    fs::read_to_string(path)
}

/// What the file says; nothing when there is none and none was named.
pub(crate) fn read_file(path: &Path, must_exist: bool) -> Result<Layer, Failure> {
    use io::ErrorKind::{InvalidFilename, NotADirectory, NotFound};
    let text = match read_regular(path) {
        Ok(text) => text,
        Err(error) if matches!(error.kind(), InvalidFilename | NotADirectory | NotFound) && !must_exist => {
            return Ok(Layer::default());
        }
        Err(error) => return Err(Failure::Usage(format!("{}: {error}", path.display()))),
    };
    let layer: Layer = toml::from_str(&text).map_err(|error| {
        Failure::Usage(format!("{}:{}", path.display(), complaint::of_file(&text, &error)))
    })?;
    if layer.server.database.as_deref().is_some_and(holds_password) && is_open(path) {
        return Err(Failure::Usage(format!(
            "{}: others can read the password in server.database; `chmod 600` the file, or keep the password \
             in a passfile",
            path.display()
        )));
    }
    Ok(layer)
}

/// Whether a URL has a password before its host, or among its parameters.
pub(crate) fn holds_password(url: &str) -> bool {
    let Some((_, rest)) = url.split_once("://") else { return false };
    let authority = rest.split(['/', '?']).next().unwrap_or_default();
    let in_user = authority.rsplit_once('@').is_some_and(|(user, _)| user.contains(':'));
    in_user || rest.split(['?', '&']).any(|parameter| parameter.starts_with("password="))
}

fn is_open(path: &Path) -> bool {
    fs::metadata(path).is_ok_and(|metadata| metadata.permissions().mode() & 0o077 != 0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn passwords_in_urls_are_seen() {
        for with in ["postgres://a:b@h/d", "postgres://h/d?user=a&password=b", "postgres://a:b%40@h:1/d?x=y"]
        {
            assert!(holds_password(with), "{with}");
        }
        for without in ["postgres://a@h:5432/d", "/var/lib/a:b@c.db", "postgres://h/d?passfile=/x:y@z"] {
            assert!(!holds_password(without), "{without}");
        }
    }
}
