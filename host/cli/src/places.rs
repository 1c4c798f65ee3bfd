//! Where things are: the directories of the XDG Base Directory specification, and programs on PATH.

use std::env;
use std::ffi::OsStr;
use std::path::{Path, PathBuf};

use etcetera::BaseStrategy;
use etcetera::base_strategy::Xdg;
use rustix::fs::{Access, access};

use crate::failure::Failure;

/// Our directory inside each of the XDG ones.
const NAME: &str = "shelltrack";

/// The user's directories. Relative values of `XDG_*` are ignored, as the specification says;
/// without HOME the passwd entry tells where home is.
pub(crate) struct Places(Xdg);

impl Places {
    /// Fails when nothing tells where the user's home is.
    pub(crate) fn find() -> Result<Self, Failure> {
        let xdg = Xdg::new()
            .map_err(|_| Failure::Failed("neither HOME nor the passwd entry names a home".to_owned()))?;
        if !xdg.home_dir().is_absolute() {
            return Err(Failure::Usage("HOME: must be an absolute path".to_owned()));
        }
        Ok(Self(xdg))
    }

    /// The file that configures us.
    pub(crate) fn config_file(&self) -> PathBuf {
        self.0.config_dir().join(NAME).join("config.toml")
    }

    /// The embedded Session-Buddy's database.
    pub(crate) fn database(&self) -> PathBuf {
        self.0.data_dir().join(NAME).join("sessions.db")
    }

    /// Where the machine code of configured components is kept.
    pub(crate) fn component_cache(&self) -> PathBuf {
        self.0.cache_dir().join(NAME).join("components")
    }

    /// Where spools and logs are.
    pub(crate) fn state_dir(&self) -> PathBuf {
        let state = self.0.state_dir().unwrap_or_else(|| self.0.home_dir().join(".local/state"));
        state.join(NAME)
    }
}

/// The absolute path of a program as a shell would find it: a name without a slash is looked for in
/// PATH, anything else is taken as it is. `None` when there is none.
pub(crate) fn find_program(program: &OsStr) -> Option<PathBuf> {
    if Path::new(program).components().count() != 1 || program.as_encoded_bytes().contains(&b'/') {
        return std::path::absolute(program).ok();
    }
    let path = env::var_os("PATH")?;
    env::split_paths(&path)
        .filter_map(|dir| std::path::absolute(dir.join(program)).ok())
        .find(|candidate| candidate.is_file() && access(candidate, Access::EXEC_OK).is_ok())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_program_without_a_slash_is_looked_for_in_the_path() {
        let found = find_program(OsStr::new("sh"));
        assert!(found.is_some_and(|path| path.is_absolute() && path.ends_with("sh")));
        assert_eq!(find_program(OsStr::new("no-such-program-anywhere")), None);
    }

    #[test]
    fn a_program_with_a_slash_is_made_absolute_and_not_looked_for() {
        let found = find_program(OsStr::new("./no-such-program"));
        assert!(found.is_some_and(|path| path.is_absolute() && path.ends_with("no-such-program")));
    }
}
