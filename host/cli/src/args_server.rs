//! What can be typed of the commands around the server: serving, tokens, and the database as a whole.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

use clap::{Args, Subcommand};

/// Where `serve --http` listens when no address is given.
const LISTEN_DEFAULT: &str = "127.0.0.1:8678";
/// How long sessions stay in sight after their end when nothing else is said.
pub(crate) const RETENTION_DEFAULT: &str = "90d";

const SERVE_EXAMPLES: &str = "\
Examples:
  shelltrack serve --http
  shelltrack serve --stdio --database ~/sessions.db

Over HTTP every tool but health_check wants a token: `Authorization: Bearer TOKEN`. The first start makes
a secret in $XDG_DATA_HOME/shelltrack/keys that shelltrack's own clients of this user find by themselves;
others get a token from `shelltrack token mint`. SESSION_BUDDY_SECRET (32 characters or more) stands for it.

Over --stdio the caller is whoever started the server; SESSION_BUDDY_TOKEN in the environment says who.";

const TOKEN_EXAMPLES: &str = "\
Examples:
  shelltrack token mint --scope read --lifetime 15m
  shelltrack token inspect < token
  shelltrack token rotate --identity engine";

const DATABASE_EXAMPLES: &str = "\
Examples:
  shelltrack archive --older-than 30d
  shelltrack export --output sessions.jsonl
  shelltrack import sessions.jsonl --database postgres://shelltrack@%2Frun%2Fpostgresql/sessions
  shelltrack backup sessions-copy.db";

#[derive(Debug, Args)]
#[command(after_help = SERVE_EXAMPLES)]
pub(crate) struct Serve {
    /// Speak MCP on stdin and stdout
    #[arg(long, conflicts_with_all = ["http", "no_auth", "allow_host", "allow_origin"])]
    pub(crate) stdio: bool,
    /// Listen for streamable HTTP at /mcp of this address, which is also what happens without any option;
    /// port 0 takes a free one, and the URL is told on stderr [default: 127.0.0.1:8678]
    #[arg(long, value_name = "ADDR", num_args = 0..=1, default_value = LISTEN_DEFAULT,
          default_missing_value = LISTEN_DEFAULT, hide_default_value = true, value_parser = address)]
    pub(crate) http: SocketAddr,
    /// Let every process of this machine in without a token; loopback addresses only
    #[arg(long)]
    pub(crate) no_auth: bool,
    /// A name by which clients reach the server through a reverse proxy; repeat it for more
    #[arg(long, value_name = "NAME")]
    pub(crate) allow_host: Vec<String>,
    /// An origin whose web pages may call, such as https://admin.example; repeat it for more
    #[arg(long, value_name = "ORIGIN")]
    pub(crate) allow_origin: Vec<String>,
    /// SQLite file of the sessions, or postgres://USER@HOST/NAME
    /// [default: server.database of the configuration, else $XDG_DATA_HOME/shelltrack/sessions.db]
    #[arg(long, value_name = "PATH")]
    pub(crate) database: Option<PathBuf>,
}

#[derive(Debug, Args)]
#[command(after_help = TOKEN_EXAMPLES)]
pub(crate) struct Token {
    #[command(subcommand)]
    pub(crate) action: TokenAction,
}

#[derive(Debug, Subcommand)]
pub(crate) enum TokenAction {
    /// Print a new token, signed with the newest key
    Mint {
        /// What it lets its bearer do; repeat it for more [default: track and read]
        #[arg(long, value_name = "SCOPE", value_parser = ["track", "read"])]
        scope: Vec<String>,
        /// Who its bearer is; a key of somebody says that itself
        #[arg(long, value_name = "NAME", default_value = "shelltrack")]
        subject: String,
        /// How long it lives: 90s, 15m, 12h; at most 24h
        #[arg(long, value_name = "TIME", default_value = "1h", value_parser = duration)]
        lifetime: Duration,
    },
    /// Read a token from stdin: what it says, and whether it is accepted here
    Inspect,
    /// Make a new key; the one before it still holds until the next rotation
    Rotate {
        /// Make an Ed25519 key of this identity instead of a shared secret, and print its public half, a
        /// file for the server's directory of keys
        #[arg(long, value_name = "NAME")]
        identity: Option<String>,
        /// With --identity: what its tokens may let do at most; repeat it for more [default: track and read]
        #[arg(long, value_name = "SCOPE", value_parser = ["track", "read"], requires = "identity")]
        scope: Vec<String>,
    },
}

#[derive(Debug, Args)]
pub(crate) struct Database {
    /// SQLite file of the sessions, or postgres://USER@HOST/NAME
    /// [default: server.database of the configuration, else $XDG_DATA_HOME/shelltrack/sessions.db]
    #[arg(long, value_name = "PATH")]
    pub(crate) database: Option<PathBuf>,
}

#[derive(Debug, Args)]
#[command(after_help = DATABASE_EXAMPLES)]
pub(crate) struct Archive {
    /// What ended longer ago than this: 12h, 90d
    #[arg(long, value_name = "TIME", default_value = RETENTION_DEFAULT, value_parser = duration)]
    pub(crate) older_than: Duration,
    #[command(flatten)]
    pub(crate) database: Database,
}

#[derive(Debug, Args)]
#[command(after_help = DATABASE_EXAMPLES)]
pub(crate) struct Export {
    /// Write to this new file instead of stdout
    #[arg(long, short, value_name = "FILE")]
    pub(crate) output: Option<PathBuf>,
    #[command(flatten)]
    pub(crate) database: Database,
}

#[derive(Debug, Args)]
#[command(after_help = DATABASE_EXAMPLES)]
pub(crate) struct Import {
    /// File that `export` wrote [default: stdin]
    pub(crate) file: Option<PathBuf>,
    #[command(flatten)]
    pub(crate) database: Database,
}

#[derive(Debug, Args)]
#[command(after_help = DATABASE_EXAMPLES)]
pub(crate) struct Backup {
    /// The copy, a new file
    pub(crate) to: PathBuf,
    #[command(flatten)]
    pub(crate) database: Database,
}

/// A time such as `90s`, `15m`, `12h` or `90d`.
fn duration(text: &str) -> Result<Duration, String> {
    let unit_s = match text.chars().last() {
        Some('s') => 1,
        Some('m') => 60,
        Some('h') => 3600,
        Some('d') => 86_400,
        _ => 0,
    };
    let number = text.get(..text.len().saturating_sub(1)).and_then(|number| number.parse::<u32>().ok());
    match number {
        Some(number) if unit_s > 0 => Ok(Duration::from_secs(u64::from(number) * unit_s)),
        _ => Err("must be a whole number and a unit: 90s, 15m, 12h or 90d".to_owned()),
    }
}

fn address(text: &str) -> Result<SocketAddr, String> {
    let numeric = match text.strip_prefix("localhost:") {
        Some(port) => format!("127.0.0.1:{port}"),
        None => text.to_owned(),
    };
    numeric.parse().map_err(|_| format!("must be an address and a port, such as {LISTEN_DEFAULT}"))
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "a test may fail by panic")]
mod tests {
    use clap::Parser;

    use super::*;
    use crate::args::{Cli, Command};

    fn parse(line: &[&str]) -> Result<Cli, clap::Error> {
        Cli::try_parse_from([&["shelltrack"], line].concat())
    }

    #[test]
    fn addresses_are_numeric_or_localhost() {
        assert!(
            address("127.0.0.1:0").is_ok() && address("[::1]:80").is_ok() && address("192.0.2.1:80").is_ok()
        );
        assert_eq!(address("localhost:80").unwrap(), "127.0.0.1:80".parse().unwrap());
        assert!(address("8678").is_err() && address("example.org:80").is_err());
    }

    #[test]
    fn http_is_served_at_the_usual_place_when_no_address_is_given() {
        for line in [&["serve", "--http"][..], &["serve"], &["serve", "--http", "--no-auth"]] {
            let Command::Serve(serve) = parse(line).unwrap().command else { panic!() };
            assert_eq!(serve.http, LISTEN_DEFAULT.parse().unwrap());
        }
        assert!(parse(&["serve", "--stdio", "--http"]).is_err());
        assert!(parse(&["serve", "--stdio", "--no-auth"]).is_err());
        assert!(parse(&["serve", "--stdio"]).is_ok());
    }

    #[test]
    fn times_have_a_unit() {
        assert_eq!(duration("90s"), Ok(Duration::from_secs(90)));
        assert_eq!(duration("2d"), Ok(Duration::from_secs(172_800)));
        for wrong in ["", "d", "90", "-1d", "1.5h", "1w", "99999999999d", "ä"] {
            assert!(duration(wrong).is_err(), "{wrong}");
        }
    }
}
