//! The commands of an operator: what was given up, breakers, services, man pages.

use std::path::PathBuf;

use clap::{Args, Subcommand, ValueEnum};

use crate::config::SessionBuddy;

pub(crate) const STATUS_HELP: &str = "\
Exit status: 0 while nobody is needed, 1 when something needs a person: dead letters, a server that \
refuses us, lacks the tracking tools or does not answer for more than 10 minutes, events that wait for \
more than an hour, an agent that is stopped while they do, sessions refused within the last day, a \
breaker held open by hand, a disk that is full or read-only, a spool that cannot be used. A server \
that is away for a moment needs nobody. With --prometheus: 0 when it was written.

Examples:
  shelltrack status
  shelltrack status --json | jq .attention
  shelltrack status --prometheus --output /var/lib/node_exporter/textfile/shelltrack.prom";

pub(crate) const DEAD_LETTERS_HELP: &str = "\
A dead letter is an event that nobody will take: the server refused it, or it was tried too often. It is \
kept with its reason until a person decides. The letters of a session go together; KEY is the session's \
key, or as much of its beginning as is needed.

Exit status: 0 done; 1 some of it could not be done, or there is no such letter; 2 wrong command line.

Examples:
  shelltrack dead-letters list
  shelltrack dead-letters show 3f2b8c1e
  shelltrack dead-letters retry --all
  shelltrack dead-letters drop 3f2b8c1e --yes";

pub(crate) const BREAKER_HELP: &str = "\
A breaker leaves a server alone that fails, and tries it again after a while: that needs nobody. By hand \
it is held open (events wait, whatever `flush` says), or disabled (every event is tried at once), until \
it is reset. An order holds for every shell of this user and survives restarts.

TARGET is a server as `shelltrack status` names it, or its `target_id` of the metrics; without it, the \
configured server.

Examples:
  shelltrack breaker open       # before maintenance
  shelltrack breaker reset      # afterwards";

pub(crate) const SERVICE_HELP: &str = "\
Nothing needs a service: an agent starts itself with the first shell and ends when nothing is left to do. \
As a service it is there from the login on, and what waits is delivered without any shell.

Examples:
  shelltrack service systemd > ~/.config/systemd/user/shelltrack.service
  systemctl --user enable --now shelltrack
  shelltrack service launchd > ~/Library/LaunchAgents/io.github.shelltrack.agent.plist";

pub(crate) const AGENT_HELP: &str = "\
Shells start it themselves and it ends itself. By hand it is of use to service managers (see `shelltrack \
service`), and for a SPOOL of another machine or container that `status` names: what waits in it is delivered, \
once its own agent is gone, and its sessions are not judged. With --foreground it logs to stderr, stays when \
there is nothing to do, ends with SIGTERM, and tells systemd that it is ready and well (sd_notify).";

pub(crate) const MAN_HELP: &str = "\
Examples:
  shelltrack man | man -l -
  shelltrack man --directory ~/.local/share/man/man1";

#[derive(Debug, Args)]
pub(crate) struct Status {
    /// One JSON object instead of lines; docs/status.md describes it
    #[arg(long, conflicts_with = "prometheus")]
    pub(crate) json: bool,
    /// Metrics for node_exporter's textfile collector instead of lines; asks no server
    #[arg(long)]
    pub(crate) prometheus: bool,
    /// Write the metrics to this file, whole or not at all, instead of stdout
    #[arg(long, value_name = "FILE", requires = "prometheus")]
    pub(crate) output: Option<PathBuf>,
    #[command(flatten)]
    pub(crate) session_buddy: SessionBuddy,
}

#[derive(Debug, Subcommand)]
pub(crate) enum DeadLetters {
    /// List what was given up, oldest first
    List {
        /// One JSON array instead of a table
        #[arg(long)]
        json: bool,
    },
    /// Show all there is to know about a session's dead letters
    Show {
        /// The session's key, or its beginning
        key: String,
        /// One JSON array instead of lines
        #[arg(long)]
        json: bool,
    },
    /// Queue them again, start before end; a server that has one already knows it again
    Retry(Chosen),
    /// Remove them for good
    Drop {
        #[command(flatten)]
        chosen: Chosen,
        /// Do not ask
        #[arg(long, short)]
        yes: bool,
    },
}

/// Which letters.
#[derive(Debug, Args)]
#[group(required = true, multiple = false)]
pub(crate) struct Chosen {
    /// Keys of sessions, or their beginnings
    #[arg(value_name = "KEY")]
    pub(crate) keys: Vec<String>,
    /// All dead letters
    #[arg(long)]
    pub(crate) all: bool,
}

#[derive(Debug, Subcommand)]
pub(crate) enum Breaker {
    /// Hold it open: nothing is sent until it is reset
    Open(OfTarget),
    /// Close it, and let it decide for itself again
    #[command(visible_alias = "close")]
    Reset(OfTarget),
    /// Let everything through, whatever fails
    Disable(OfTarget),
}

#[derive(Debug, Args)]
pub(crate) struct OfTarget {
    /// URL or id of a known server [default: the configured one]
    pub(crate) target: Option<String>,
}

/// Who keeps services running.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum Manager {
    /// A systemd user unit
    Systemd,
    /// A launchd agent of macOS
    Launchd,
}

#[derive(Debug, Args)]
pub(crate) struct Service {
    /// The service manager [default: that of this system]
    pub(crate) manager: Option<Manager>,
}

#[derive(Debug, Args)]
pub(crate) struct Agent {
    /// The spool, an absolute path [default with --foreground: the one of this user and machine]
    #[arg(required_unless_present = "foreground")]
    pub(crate) spool: Option<PathBuf>,
    /// Stay, and log to stderr
    #[arg(long)]
    pub(crate) foreground: bool,
    /// This is the second stage: detached from whoever started the first
    #[arg(long, hide = true, conflicts_with = "foreground")]
    pub(crate) detached: bool,
    /// Component in the place of the built-in one, and its digest
    #[arg(long, requires = "plugin_sha256")]
    pub(crate) plugin: Option<PathBuf>,
    #[arg(long, requires = "plugin")]
    pub(crate) plugin_sha256: Option<String>,
}

#[derive(Debug, Args)]
pub(crate) struct Man {
    /// Write a page for each command into this directory, which is made [default: one page to stdout]
    #[arg(long, value_name = "DIR")]
    pub(crate) directory: Option<PathBuf>,
}
