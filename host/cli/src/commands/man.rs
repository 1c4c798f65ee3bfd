//! `shelltrack man`: the manual, made from what `--help` knows.

use std::fs;
use std::io;
use std::path::Path;
use std::process::ExitCode;

use clap::CommandFactory;
use clap_mangen::Man;

use crate::args::{self, Cli};
use crate::failure::Failure;
use crate::output;

/// Prints the page of the whole, or writes a page for each command.
pub(crate) fn man(man: &args::Man) -> Result<ExitCode, Failure> {
    let mut command = Cli::command();
    command.build();
    match &man.directory {
        None => {
            let mut page = Vec::new();
            Man::new(command).render(&mut page)?;
            output::print(&String::from_utf8_lossy(&page))?;
        }
        Some(directory) => {
            fs::create_dir_all(directory)
                .and_then(|()| write_pages(&command, directory))
                .map_err(|error| Failure::Failed(format!("{}: {error}", directory.display())))?;
        }
    }
    Ok(ExitCode::SUCCESS)
}

fn write_pages(command: &clap::Command, directory: &Path) -> io::Result<()> {
    // A built command knows its whole name, such as `shelltrack-dead-letters-list`.
    let name = command.get_display_name().unwrap_or_else(|| command.get_name());
    let mut page = Vec::new();
    Man::new(command.clone()).render(&mut page)?;
    fs::write(directory.join(format!("{name}.1")), page)?;
    let mut children =
        command.get_subcommands().filter(|child| !child.is_hide_set() && child.get_name() != "help");
    children.try_for_each(|child| write_pages(child, directory))
}
