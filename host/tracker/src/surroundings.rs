//! What a shell's surroundings say: who, where, on what machine. Gathers, and judges nothing: the
//! component cleans it.

use std::env;
use std::path::{Path, PathBuf};

use rustix::process::geteuid;
use shelltrack_sandbox::types::{EnvironmentInfo, Origin, StartContext, UserInfo};
use uzers::os::unix::UserExt;

use crate::process;

/// Everything about the process `pid` and this environment that needs no option: user, home, host,
/// platform, working directory, origin. `component_name`, `shell_type`, `metadata` are left empty.
/// Never fails: what cannot be found is left empty, and the component puts its placeholder there.
pub fn surroundings(pid: u32) -> StartContext {
    let uid = geteuid().as_raw();
    let account = uzers::get_user_by_uid(uid);
    StartContext {
        component_name: String::new(),
        shell_type: String::new(),
        pid,
        user: UserInfo {
            username: account
                .as_ref()
                .map(|user| user.name().to_string_lossy().into_owned())
                .or_else(|| variable("USER"))
                .or_else(|| variable("LOGNAME"))
                .unwrap_or_default(),
            home: variable("HOME")
                .or_else(|| account.as_ref().map(|user| text(user.home_dir())))
                .unwrap_or_default(),
        },
        hostname: gethostname::gethostname().to_string_lossy().into_owned(),
        environment: EnvironmentInfo {
            python_version: String::new(),
            platform: platform(),
            cwd: process::cwd_of(pid)
                .or_else(|| env::current_dir().ok())
                .map(|path| text(&path))
                .unwrap_or_default(),
        },
        metadata: String::new(),
        correlation_id: None,
        origin: Some(Origin {
            uid: Some(uid),
            login_uid: process::login_uid(pid),
            sudo_user: variable("SUDO_USER"),
            tty: terminal(pid).map(|path| text(&path)),
            ssh_client: variable("SSH_CONNECTION")
                .map(|value| value.split_whitespace().take(2).collect::<Vec<_>>().join(" ")),
            parent_session: variable("SHELLTRACK_SESSION"),
        }),
        event_id: None,
        timestamp: None,
    }
}

/// Such as `Linux-6.1.0-x86_64`, the form Python's `platform.platform()` begins with.
fn platform() -> String {
    let name = rustix::system::uname();
    [name.sysname(), name.release(), name.machine()].map(|part| part.to_string_lossy()).join("-")
}

fn terminal(pid: u32) -> Option<PathBuf> {
    process::terminal_of(pid).or_else(|| {
        let name = rustix::termios::ttyname(std::io::stdin(), Vec::new()).ok()?;
        Some(PathBuf::from(name.to_string_lossy().into_owned()))
    })
}

fn variable(name: &str) -> Option<String> {
    env::var_os(name).filter(|value| !value.is_empty()).map(|value| value.to_string_lossy().into_owned())
}

fn text(path: &Path) -> String {
    path.to_string_lossy().into_owned()
}
