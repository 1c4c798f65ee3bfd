//! Where a PostgreSQL database is and how it is reached: its URL, the password that belongs to it, and how much
//! of TLS is wanted. Connects to nothing.
//!
//! Beyond what tokio-postgres reads of a URL, the parameters `sslmode=verify-full`, `sslrootcert` and `passfile`
//! mean what they mean to libpq (PostgreSQL, "Connection Strings" and "The Password File"). No message repeats
//! the URL: it may hold a password.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

use percent_encoding::percent_decode_str;
use tokio_postgres::Config;
use tokio_postgres::config::{Host, SslMode};

use super::super::StoreError;

/// A password file is a page of text.
const PASSFILE_BYTES_MAX: u64 = 1 << 20;

/// Where PostgreSQL listens when nobody says otherwise.
const PORT_DEFAULT: u16 = 5432;

/// Whose certificates are believed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Trust {
    /// Any: the connection is encrypted, and whoever answers may answer.
    Anybody,
    /// Those that the system trusts, if they are for the host that was named.
    System,
    /// Those in a file, or signed by one of them, under the same condition.
    File(PathBuf),
}

/// A URL that was understood.
#[derive(Debug)]
pub(super) struct Place {
    pub(super) config: Config,
    pub(super) trust: Trust,
}

/// What the environment says.
#[derive(Default)]
pub(super) struct Surroundings {
    /// `PGPASSWORD`.
    pub(super) password: Option<String>,
    /// `PGPASSFILE`.
    pub(super) passfile: Option<PathBuf>,
    /// `~/.pgpass`, which may be missing.
    pub(super) usual_passfile: Option<PathBuf>,
}

impl Surroundings {
    pub(super) fn of_process() -> Self {
        Self {
            password: std::env::var("PGPASSWORD").ok(),
            passfile: std::env::var_os("PGPASSFILE").map(PathBuf::from),
            usual_passfile: std::env::var_os("HOME").map(|home| Path::new(&home).join(".pgpass")),
        }
    }
}

fn wrong(told: &str) -> StoreError {
    StoreError::Unavailable(told.to_owned())
}

/// Understands a URL.
pub(super) fn read(url: &str, surroundings: Surroundings) -> Result<Place, StoreError> {
    let (address, query) = url.split_once('?').unwrap_or((url, ""));
    let (mut rest, mut mode, mut root, mut passfile) = (Vec::new(), None, None, surroundings.passfile);
    for pair in query.split('&').filter(|pair| !pair.is_empty()) {
        let (key, value) = pair.split_once('=').unwrap_or((pair, ""));
        match key {
            "sslmode" => mode = Some(value),
            "sslrootcert" => root = Some(decoded(value)?),
            "passfile" => passfile = Some(decoded(value)?.into()),
            _ => rest.push(pair),
        }
    }
    let (mode, trust) = tls(mode, root)?;
    // tokio-postgres's own words may repeat the URL, and with it a password.
    let parsed = format!("{address}?{}", rest.join("&")).parse::<Config>();
    let mut config = parsed.map_err(|_| wrong("its URL is not of the form postgres://USER@HOST/NAME"))?;
    config.ssl_mode(mode);
    if config.get_password().is_none() {
        let password = match (surroundings.password, &passfile, &surroundings.usual_passfile) {
            (Some(password), _, _) => Some(password),
            (None, Some(named), _) => of_passfile(named, &config)?,
            (None, None, Some(usual)) if usual.exists() => of_passfile(usual, &config)?,
            _ => None,
        };
        if let Some(password) = password {
            config.password(password);
        }
    }
    Ok(Place { config, trust })
}

fn decoded(value: &str) -> Result<String, StoreError> {
    let decoded = percent_decode_str(value).decode_utf8();
    decoded.map(Into::into).map_err(|_| wrong("the parameters of its URL must be UTF-8"))
}

/// With a root certificate, `require` verifies too: libpq does so for old times' sake, we since nobody names
/// one for nothing.
fn tls(mode: Option<&str>, root: Option<String>) -> Result<(SslMode, Trust), StoreError> {
    let root = match root.as_deref() {
        None => None,
        Some("system") => Some(Trust::System),
        Some(file) => Some(Trust::File(file.into())),
    };
    match mode {
        Some("disable") => Ok((SslMode::Disable, Trust::Anybody)),
        None | Some("prefer") => Ok((SslMode::Prefer, root.unwrap_or(Trust::Anybody))),
        Some("require") => Ok((SslMode::Require, root.unwrap_or(Trust::Anybody))),
        Some("verify-full") => Ok((SslMode::Require, root.unwrap_or(Trust::System))),
        Some(_) => Err(wrong("its sslmode must be disable, prefer, require or verify-full")),
    }
}

/// The password that a file has for this database, user and host.
fn of_passfile(path: &Path, config: &Config) -> Result<Option<String>, StoreError> {
    let unreadable = || wrong("its passfile cannot be read");
    let metadata = fs::metadata(path).map_err(|_| unreadable())?;
    if !metadata.is_file() || metadata.len() > PASSFILE_BYTES_MAX {
        return Err(unreadable());
    }
    if metadata.permissions().mode() & 0o077 != 0 {
        return Err(wrong("others can read its passfile; `chmod 600` it"));
    }
    let text = fs::read_to_string(path).map_err(|_| unreadable())?;
    let wanted = wanted(config);
    Ok(text.lines().find_map(|line| password_in(line, &wanted)))
}

/// Host, port, database and user, as the lines of a passfile name them.
fn wanted(config: &Config) -> [String; 4] {
    let host = match config.get_hosts().first() {
        Some(Host::Tcp(host)) => host.clone(),
        _ => "localhost".to_owned(), // so libpq calls a Unix socket
    };
    let port = config.get_ports().first().copied().unwrap_or(PORT_DEFAULT).to_string();
    let user = config.get_user().unwrap_or_default().to_owned();
    let database = config.get_dbname().map_or_else(|| user.clone(), str::to_owned);
    [host, port, database, user]
}

fn password_in(line: &str, wanted: &[String; 4]) -> Option<String> {
    if line.starts_with('#') {
        return None;
    }
    let (mut fields, mut field) = (Vec::new(), String::new());
    let mut characters = line.chars();
    while let Some(character) = characters.next() {
        match character {
            ':' if fields.len() < wanted.len() => fields.push(std::mem::take(&mut field)),
            '\\' => field.extend(characters.next()),
            character => field.push(character),
        }
    }
    if fields.len() < wanted.len() {
        return None;
    }
    let fits = fields.iter().zip(wanted).all(|(known, wanted)| known == "*" || known == wanted);
    fits.then_some(field)
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "a failed unwrap is a failed test")]
mod tests {
    use super::*;

    fn place(url: &str) -> Place {
        read(url, Surroundings::default()).unwrap()
    }

    #[track_caller]
    fn check_tls(query: &str, mode: SslMode, trust: Trust) {
        let place = place(&format!("postgres://ada@db.example/sessions{query}"));
        assert_eq!((place.config.get_ssl_mode(), place.trust), (mode, trust), "{query}");
    }

    #[test]
    fn the_modes_of_tls_are_those_of_libpq() {
        check_tls("", SslMode::Prefer, Trust::Anybody);
        check_tls("?sslmode=disable", SslMode::Disable, Trust::Anybody);
        check_tls("?sslmode=require", SslMode::Require, Trust::Anybody);
        check_tls("?sslmode=verify-full", SslMode::Require, Trust::System);
        check_tls(
            "?connect_timeout=3&sslmode=verify-full&sslrootcert=%2Fetc%2Fca.pem",
            SslMode::Require,
            Trust::File("/etc/ca.pem".into()),
        );
        let told = read("postgres://ada@h/d?sslmode=perhaps", Surroundings::default()).unwrap_err();
        assert!(told.to_string().contains("verify-full"), "{told}");
    }

    #[test]
    fn a_password_comes_from_the_url_then_the_environment_then_a_file() {
        let directory = tempfile::tempdir().unwrap();
        let file = directory.path().join("passfile");
        fs::write(
            &file,
            "# a note\nother:*:*:*:wrong\ndb.example:5432:sessions:ada:from\\:file\n*:*:*:*:last\n",
        )
        .unwrap();
        fs::set_permissions(&file, fs::Permissions::from_mode(0o600)).unwrap();
        let with = |url: &str, password: Option<&str>| {
            let surroundings = Surroundings {
                password: password.map(str::to_owned),
                passfile: Some(file.clone()),
                usual_passfile: None,
            };
            let place = read(url, surroundings).unwrap();
            place.config.get_password().map(|password| String::from_utf8_lossy(password).into_owned())
        };
        let url = "postgres://ada@db.example/sessions";
        assert_eq!(with("postgres://ada:own@db.example/sessions", Some("env")).unwrap(), "own");
        assert_eq!(with(url, Some("env")).unwrap(), "env");
        assert_eq!(with(url, None).unwrap(), "from:file");
        assert_eq!(with("postgres://ada@%2Frun%2Fpostgresql/x", None).unwrap(), "last");
        fs::set_permissions(&file, fs::Permissions::from_mode(0o644)).unwrap();
        let open = format!("{url}?passfile={}", file.display());
        let told = read(&open, Surroundings::default()).unwrap_err().to_string();
        assert!(told.contains("chmod 600") && !told.contains("from"), "{told}");
    }
}
