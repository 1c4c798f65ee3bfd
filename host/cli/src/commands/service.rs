//! `shelltrack service`: a definition of the agent for a service manager.

use std::env;
use std::path::Path;
use std::process::ExitCode;

use crate::args::{Manager, Service};
use crate::failure::Failure;
use crate::{output, units};

/// Variables that say where things are. A service manager does not have those of a shell.
const PLACES: [&str; 4] = ["XDG_CONFIG_HOME", "XDG_DATA_HOME", "XDG_STATE_HOME", "SHELLTRACK_KEYS"];

/// Prints the definition.
pub(crate) fn service(config: Option<&Path>, service: &Service) -> Result<ExitCode, Failure> {
    let of_this_system = if cfg!(target_os = "macos") { Manager::Launchd } else { Manager::Systemd };
    let definition = units::Service { command: command(config)?, environment: environment() };
    output::print(&match service.manager.unwrap_or(of_this_system) {
        Manager::Systemd => units::systemd(&definition),
        Manager::Launchd => units::launchd(&definition),
    })?;
    Ok(ExitCode::SUCCESS)
}

fn command(config: Option<&Path>) -> Result<Vec<String>, Failure> {
    let program = env::current_exe();
    let program = program.map_err(|error| Failure::Failed(format!("this program's path: {error}")))?;
    let config = config.map(std::path::absolute).transpose();
    let config = config.map_err(|error| Failure::Usage(format!("--config: {error}")))?;
    let mut command = vec![text("the program's path", &program)?];
    if let Some(config) = config {
        command.push(format!("--config={}", text("--config", &config)?));
    }
    command.extend(["agent".to_owned(), "--foreground".to_owned()]);
    Ok(command)
}

fn text(what: &str, path: &Path) -> Result<String, Failure> {
    let utf8 = path.to_str().filter(|path| !path.chars().any(char::is_control));
    utf8.map(str::to_owned).ok_or_else(|| Failure::Usage(format!("{what}: must be UTF-8 without controls")))
}

fn environment() -> Vec<(String, String)> {
    let said = PLACES.into_iter().filter_map(|name| Some((name.to_owned(), env::var(name).ok()?)));
    said.filter(|(_, value)| value.starts_with('/') && !value.chars().any(char::is_control)).collect()
}
