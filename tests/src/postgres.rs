//! A PostgreSQL server of its own, from the programs Debian installs, on a Unix socket alone.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicU32, Ordering};

use rustix::process::{Pid, Signal, kill_process};
use tempfile::TempDir;

use crate::wait::{BOUND, wait_at_most};

/// User whom Debian's package makes; PostgreSQL refuses to run as root.
const USER: &str = "postgres";

/// A running server.
pub struct Postgres {
    directory: TempDir,
    programs: PathBuf,
    server: Child,
    port: u16,
    databases: AtomicU32,
}

impl Postgres {
    /// Starts one; `None`, with a word on stderr, where PostgreSQL is not installed.
    ///
    /// # Panics
    /// When it is installed and does not start.
    #[track_caller]
    pub fn start() -> Option<Self> {
        Self::start_with(|_| vec!["listen_addresses=".to_owned()])
    }

    /// Starts one that speaks TLS on a free port of loopback as well, with a certificate for `localhost` that an
    /// authority has signed; `None` also where there is no `openssl` to make them.
    #[track_caller]
    pub fn start_with_tls() -> Option<Self> {
        if Command::new("openssl").arg("version").output().is_err() {
            crate::skip("there is no openssl to make a certificate with");
            return None;
        }
        Self::start_with(|directory| {
            make_certificates(directory);
            // It was free a moment ago; PostgreSQL takes no port of its own choice.
            let port = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
            let file = |name: &str| directory.join(name).display().to_string();
            vec![
                "listen_addresses=127.0.0.1".to_owned(),
                format!("port={port}"),
                "ssl=on".to_owned(),
                format!("ssl_cert_file={}", file("server.pem")),
                format!("ssl_key_file={}", file("server.key")),
            ]
        })
    }

    #[track_caller]
    fn start_with(settings: impl FnOnce(&Path) -> Vec<String>) -> Option<Self> {
        let Some(programs) = programs() else {
            crate::skip("PostgreSQL is not installed (Debian: apt-get install postgresql)");
            return None;
        };
        let directory = tempfile::Builder::new().prefix("shelltrack-pg-").tempdir().unwrap();
        fs::set_permissions(directory.path(), fs::Permissions::from_mode(0o700)).unwrap();
        if is_root() {
            run(Command::new("chown").arg(USER).arg(directory.path()));
            let mut reaches = as_user(Path::new("test"));
            if !reaches.arg("-w").arg(directory.path()).status().is_ok_and(|status| status.success()) {
                crate::skip("PostgreSQL, which is no root, may not enter the directory for temporary files");
                return None;
            }
        }
        let data = directory.path().join("data");
        run(as_user(&programs.join("initdb"))
            .args(["--no-sync", "--auth=trust", "--encoding=UTF8", "-U", USER, "-D"])
            .arg(&data));
        let settings = settings(directory.path());
        let port = settings.iter().find_map(|setting| setting.strip_prefix("port=")?.parse().ok());
        let server = as_user(&programs.join("postgres"))
            .arg("-D")
            .arg(&data)
            .args(["-c", "max_connections=200"])
            .args(settings.iter().flat_map(|setting| ["-c", setting]))
            .arg("-k")
            .arg(directory.path())
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        let port = port.unwrap_or(PORT_DEFAULT);
        let started = Self { directory, programs, server, port, databases: AtomicU32::new(0) };
        let ready = wait_at_most(BOUND, || started.is_ready().then_some(()));
        assert!(ready.is_some(), "PostgreSQL does not start");
        Some(started)
    }

    fn is_ready(&self) -> bool {
        let asked = Command::new(self.programs.join("pg_isready"))
            .arg("-q")
            .args(["-p", &self.port.to_string(), "-h"])
            .arg(self.directory.path())
            .status();
        asked.is_ok_and(|status| status.success())
    }

    /// URL of a new, empty database.
    #[track_caller]
    pub fn database(&self) -> String {
        let name = format!("d{}", self.databases.fetch_add(1, Ordering::Relaxed));
        run(Command::new(self.programs.join("createdb"))
            .args(["-U", USER, "-p", &self.port.to_string(), "-h"])
            .arg(self.directory.path())
            .arg(&name));
        self.url(&name)
    }

    fn url(&self, name: &str) -> String {
        let host = self.directory.path().display().to_string().replace('/', "%2F");
        format!("postgres://{USER}@{host}:{}/{name}", self.port)
    }

    /// The same database by way of `host` over TCP, with these parameters.
    pub fn over_tcp(&self, url: &str, host: &str, parameters: &str) -> String {
        let name = url.rsplit('/').next().unwrap();
        format!("postgres://{USER}@{host}:{}/{name}?{parameters}", self.port)
    }

    /// A file beside the data: `ca.pem`, which signed `server.pem`, and `other.pem`, which signed nothing.
    pub fn certificate(&self, name: &str) -> String {
        self.directory.path().join(name).display().to_string().replace('/', "%2F")
    }

    /// Runs SQL in the database of that URL and gives what it prints.
    #[track_caller]
    pub fn psql(&self, url: &str, sql: &str) -> String {
        let psql = Command::new(self.programs.join("psql"))
            .args(["-X", "-A", "-t", "-c", sql, url])
            .output()
            .unwrap();
        assert!(psql.status.success(), "{}", String::from_utf8_lossy(&psql.stderr));
        String::from_utf8_lossy(&psql.stdout).trim().to_owned()
    }
}

impl Drop for Postgres {
    fn drop(&mut self) {
        // SIGINT is PostgreSQL's fast shutdown.
        let _ = kill_process(Pid::from_child(&self.server), Signal::INT);
        if wait_at_most(BOUND, || self.server.try_wait().ok().flatten()).is_none() {
            let _ = self.server.kill();
            let _ = self.server.wait();
        }
    }
}

/// Where PostgreSQL listens, and how its socket is called, unless told otherwise.
const PORT_DEFAULT: u16 = 5432;

/// An authority, a certificate for `localhost` that it has signed, and a stranger.
#[track_caller]
fn make_certificates(directory: &Path) {
    let openssl = |line: &str| {
        run(Command::new("openssl").args(line.split(' ')).current_dir(directory));
    };
    let key = "-newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes";
    for name in ["ca", "other"] {
        openssl(&format!("req -x509 {key} -days 2 -subj /CN={name} -keyout {name}.key -out {name}.pem"));
    }
    openssl(&format!("req {key} -subj /CN=localhost -keyout server.key -out server.csr"));
    fs::write(directory.join("names"), "subjectAltName=DNS:localhost\n").unwrap();
    openssl(
        "x509 -req -in server.csr -CA ca.pem -CAkey ca.key -CAcreateserial -days 2 -extfile names -out server.pem",
    );
    fs::set_permissions(directory.join("server.key"), fs::Permissions::from_mode(0o600)).unwrap();
    if is_root() {
        run(Command::new("chown").arg("-R").arg(USER).arg(directory));
    }
}

fn is_root() -> bool {
    rustix::process::geteuid().is_root()
}

/// Where `initdb` is: on PATH, or where Debian puts the newest version.
fn programs() -> Option<PathBuf> {
    let debian = fs::read_dir("/usr/lib/postgresql")
        .into_iter()
        .flatten()
        .flatten()
        .map(|entry| entry.path().join("bin"));
    let mut found: Vec<PathBuf> = debian.filter(|bin| bin.join("initdb").exists()).collect();
    found.sort();
    let on_path = std::env::var_os("PATH")?;
    found.pop().or_else(|| std::env::split_paths(&on_path).find(|bin| bin.join("initdb").exists()))
}

/// The program as a user PostgreSQL accepts; it ends when the test does, however that ends.
fn as_user(program: &Path) -> Command {
    let mut command = Command::new("setpriv");
    if is_root() {
        command.args(["--reuid", USER, "--regid", USER, "--clear-groups"]);
    }
    command.args(["--pdeathsig", "TERM", "--"]).arg(program).current_dir("/");
    command
}

#[track_caller]
fn run(command: &mut Command) {
    let output = command.stdin(Stdio::null()).output().unwrap();
    assert!(output.status.success(), "{command:?}: {}", String::from_utf8_lossy(&output.stderr));
}
