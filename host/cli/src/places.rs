//! Where things are: the directories of the XDG Base Directory specification, and programs on PATH.

use std::env;
use std::ffi::OsStr;
use std::path::{Path, PathBuf};

use rustix::fs::{Access, access};
use rustix::process::geteuid;
use uzers::os::unix::UserExt;

use crate::failure::Failure;

/// Our directory inside each of the XDG ones.
const NAME: &str = "shelltrack";

/// The user's directories. Relative values of HOME and `XDG_*` are ignored, as the specification says
/// of the latter; without HOME the passwd entry tells where home is.
pub(crate) struct Places {
    home: PathBuf,
}

impl Places {
    /// Fails when nothing tells where the user's home is.
    pub(crate) fn find() -> Result<Self, Failure> {
        let passwd = || Some(uzers::get_user_by_uid(geteuid().as_raw())?.home_dir().to_owned());
        match absolute("HOME").or_else(passwd).filter(|home| home.is_absolute()) {
            Some(home) => Ok(Self { home }),
            None => {
                let reason = "HOME: must be an absolute path, and the passwd entry names no home either";
                Err(Failure::Failed(reason.to_owned()))
            }
        }
    }

    /// The file that configures us.
    pub(crate) fn config_file(&self) -> PathBuf {
        self.directory("XDG_CONFIG_HOME", ".config").join("config.toml")
    }

    /// The embedded Session-Buddy's database.
    pub(crate) fn database(&self) -> PathBuf {
        self.directory("XDG_DATA_HOME", ".local/share").join("sessions.db")
    }

    /// Where the machine code of configured components is kept.
    pub(crate) fn component_cache(&self) -> PathBuf {
        self.directory("XDG_CACHE_HOME", ".cache").join("components")
    }

    /// Where spools are.
    pub(crate) fn state_dir(&self) -> PathBuf {
        self.directory("XDG_STATE_HOME", ".local/state")
    }

    /// Our directory in one of those that the XDG Base Directory specification names.
    fn directory(&self, variable: &str, default: &str) -> PathBuf {
        absolute(variable).unwrap_or_else(|| self.home.join(default)).join(NAME)
    }
}

fn absolute(variable: &str) -> Option<PathBuf> {
    env::var_os(variable).map(PathBuf::from).filter(|path| path.is_absolute())
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
