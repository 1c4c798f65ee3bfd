//! The keys of one directory, and the secret of the environment.
//!
//! Files come and go while a server runs: the directory is looked at again when it has changed, and its files
//! every second, so that neither rotation nor taking a right away needs a restart. What a token must say is `token`'s business.

use std::collections::BTreeSet;
use std::fs;
use std::hash::{DefaultHasher, Hash, Hasher};
use std::io;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant, SystemTime};

use crate::file;
use crate::key::{Jwk, Key, KeyError, PublicKey};
use crate::{Scopes, now_s};

/// The environment variable of the Python Session-Buddy that holds a shared secret.
pub const SECRET_VARIABLE: &str = "SESSION_BUDDY_SECRET";

/// What a key file is called after its id.
const SUFFIX: &str = "jwk";

/// Keys of one directory: a fleet has one per machine. Without a limit a full directory stops a server.
const KEYS_MAX: usize = 10_000;

/// Longer than the ticks in which file systems count time.
const CLOCK_TICK: Duration = Duration::from_secs(1);

/// How long a file that is changed in its place may go unnoticed: the directory shows no sign of it.
const LOOK_EVERY: Duration = Duration::from_secs(1);

/// Shared secrets that hold at once: the one that signs and the one before it.
const SECRETS_MAX: usize = 2;

/// Keys, kept up to date.
#[derive(Debug)]
pub struct Keyring {
    directory: PathBuf,
    secret: Option<Key>,
    loaded: Mutex<Loaded>,
}

#[derive(Debug)]
struct Loaded {
    changed: Option<SystemTime>,
    files: u64,
    looked: Instant,
    keys: Arc<Vec<Key>>,
}

impl Keyring {
    /// The keys of a directory, and the secret when there is one: it stands for the shared secrets of the
    /// directory. A missing directory has no keys.
    ///
    /// # Errors
    /// A secret that is too short, a key file that is none or that others can read.
    pub fn open(directory: &Path, secret: Option<&str>) -> Result<Self, KeyError> {
        let secret = secret.map(Key::from_secret).transpose()?;
        let ring = Self {
            directory: directory.to_owned(),
            secret,
            loaded: Mutex::new(Loaded {
                changed: changed(directory),
                files: files(directory),
                looked: Instant::now(),
                keys: Arc::default(),
            }),
        };
        let keys = ring.load()?;
        ring.loaded.lock().unwrap_or_else(PoisonError::into_inner).keys = Arc::new(keys);
        Ok(ring)
    }

    /// For a server: as [`Keyring::open`], and makes a shared secret (0600) when there is no key at all.
    ///
    /// # Errors
    /// As [`Keyring::open`], and when nothing can be written.
    pub fn open_or_create(directory: &Path, secret: Option<&str>) -> Result<Self, KeyError> {
        let ring = Self::open(directory, secret)?;
        if !ring.keys().is_empty() {
            return Ok(ring);
        }
        let failed = |error: io::Error| file_error(directory, &error.to_string());
        let key = Jwk::new_secret(now_s())?;
        file::private_directory(directory).map_err(failed)?;
        file::alone(directory, || {
            // Another server may have been faster.
            if names(directory)?.is_empty() { write(directory, &key) } else { Ok(()) }
        })
        .map_err(failed)?;
        Self::open(directory, secret)
    }

    /// Makes a new shared secret, which signs from now on. The one before it still holds; older ones are
    /// removed. Gives its id.
    ///
    /// # Errors
    /// When nothing can be written.
    pub fn rotate(&self) -> Result<String, KeyError> {
        let newest =
            self.keys().iter().filter(|key| key.is_shared()).map(|key| key.made_s).max().unwrap_or(0);
        // The newest signs, also when two are made within a second or the clock was set back.
        let key = Jwk::new_secret(now_s().max(newest + 1))?;
        self.store(&key)?;
        let keys = self.load()?;
        let mut secrets: Vec<&Key> = keys.iter().filter(|key| key.is_shared() && key.kid.is_some()).collect();
        secrets.sort_by_key(|key| std::cmp::Reverse(key.made_s));
        for old in secrets.iter().skip(SECRETS_MAX).filter_map(|key| key.kid()) {
            let path = self.directory.join(format!("{old}.{SUFFIX}"));
            fs::remove_file(&path).map_err(|error| file_error(&path, &error.to_string()))?;
        }
        Ok(key.kid)
    }

    /// Makes a new Ed25519 key of somebody. The public half belongs into the server's directory.
    ///
    /// # Errors
    /// When nothing can be written.
    pub fn add_identity(&self, identity: &str, scopes: Scopes) -> Result<PublicKey, KeyError> {
        let newest = self.keys().iter().map(|key| key.made_s).max().unwrap_or(0);
        let key = Jwk::new_ed25519(identity, scopes, now_s().max(newest + 1))?;
        self.store(&key)?;
        Ok(key.into_public())
    }

    fn store(&self, key: &Jwk) -> Result<(), KeyError> {
        file::private_directory(&self.directory)
            .and_then(|()| file::alone(&self.directory, || write(&self.directory, key)))
            .map_err(|error| file_error(&self.directory, &error.to_string()))
    }

    /// The keys there are now. When they cannot be read anew, those that were read last.
    #[must_use]
    pub fn keys(&self) -> Arc<Vec<Key>> {
        let now = changed(&self.directory);
        let mut loaded = self.loaded.lock().unwrap_or_else(PoisonError::into_inner);
        let has_changed = loaded.changed != now || is_fresh(now);
        if !has_changed && loaded.looked.elapsed() < LOOK_EVERY {
            return Arc::clone(&loaded.keys);
        }
        loaded.looked = Instant::now();
        let files = files(&self.directory);
        if has_changed || loaded.files != files {
            match self.load() {
                Ok(keys) => *loaded = Loaded { changed: now, files, keys: Arc::new(keys), ..*loaded },
                Err(error) => {
                    tracing::error!(%error, "the keys cannot be read anew; the old ones hold");
                    // A file may still be filled, or get its permissions, without a sign at the directory.
                    loaded.changed = None;
                }
            }
        }
        Arc::clone(&loaded.keys)
    }

    /// The key that signs: the secret of the environment, else the newest. `elsewhere` leaves out those
    /// that were made for servers of this machine alone.
    #[must_use]
    pub fn signing_key(&self, elsewhere: bool) -> Option<Key> {
        let keys = self.keys();
        let fits = |key: &&Key| key.can_sign() && !(elsewhere && key.is_local);
        let of_environment = keys.iter().find(|key| key.kid.is_none());
        of_environment.or_else(|| keys.iter().filter(fits).max_by_key(|key| key.made_s)).cloned()
    }

    fn load(&self) -> Result<Vec<Key>, KeyError> {
        let mut keys: Vec<Key> = self.secret.iter().cloned().collect();
        let mut seen = BTreeSet::new();
        let names =
            names(&self.directory).map_err(|error| file_error(&self.directory, &error.to_string()))?;
        for path in names {
            let (kid, key) = read(&path)?;
            if !seen.insert(kid) {
                return Err(file_error(&path, "another file has a key of the same `kid`"));
            }
            if self.secret.is_none() || !key.is_shared() {
                keys.push(key);
            }
        }
        Ok(keys)
    }
}

fn changed(directory: &Path) -> Option<SystemTime> {
    fs::metadata(directory).and_then(|metadata| metadata.modified()).ok()
}

/// What tells whether a file was changed in its place.
fn files(directory: &Path) -> u64 {
    let mut hasher = DefaultHasher::new();
    for path in names(directory).unwrap_or_default() {
        let metadata = fs::metadata(&path).ok();
        let about = metadata.map(|file| (file.modified().ok(), file.ctime(), file.ctime_nsec(), file.len()));
        (path, about).hash(&mut hasher);
    }
    hasher.finish()
}

/// Whether something else may have changed since without another time to show for it.
fn is_fresh(changed: Option<SystemTime>) -> bool {
    let age = changed.and_then(|changed| SystemTime::now().duration_since(changed).ok());
    age.is_none_or(|age| age < CLOCK_TICK)
}

fn names(directory: &Path) -> io::Result<Vec<PathBuf>> {
    let entries = match fs::read_dir(directory) {
        Ok(entries) => entries,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
        Err(error) => return Err(error),
    };
    let mut names = Vec::new();
    for entry in entries {
        let path = entry?.path();
        let is_hidden = path.file_name().is_some_and(|name| name.as_encoded_bytes().starts_with(b"."));
        if !is_hidden && path.extension().is_some_and(|suffix| suffix == SUFFIX) {
            names.push(path);
        }
        if names.len() > KEYS_MAX {
            return Err(io::Error::other(format!("there are more than {KEYS_MAX} keys")));
        }
    }
    names.sort();
    Ok(names)
}

fn read(path: &Path) -> Result<(String, Key), KeyError> {
    let (text, is_private_file) = file::read(path).map_err(|error| file_error(path, &error.to_string()))?;
    // serde_json's own words may repeat a part of the file.
    let jwk: Jwk = serde_json::from_str(&text).map_err(|_| file_error(path, "it is no JSON Web Key"))?;
    if jwk.is_private() && !is_private_file {
        return Err(file_error(
            path,
            "others can read this private key; `chmod 600` it, or better: replace it",
        ));
    }
    let key = Key::from_jwk(&jwk).map_err(|reason| file_error(path, reason))?;
    Ok((jwk.kid, key))
}

fn write(directory: &Path, key: &Jwk) -> io::Result<()> {
    file::write_new(directory, &format!("{}.{SUFFIX}", key.kid), &key.to_text())
}

fn file_error(path: &Path, reason: &str) -> KeyError {
    KeyError::File { file: path.display().to_string(), reason: reason.into() }
}

#[cfg(test)]
#[path = "keyring_tests.rs"]
mod tests;
