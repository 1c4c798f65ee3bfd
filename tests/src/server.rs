//! `shelltrack serve --http` in a home of its own.

use std::io::{BufRead, BufReader};
use std::process::{Child, ChildStderr, Stdio};
use std::sync::{Arc, Mutex};

use rustix::process::{Pid, Signal, kill_process};

use crate::home::Home;
use crate::wait::{BOUND, wait_at_most, wait_until};

/// A Session-Buddy of ours that listens on loopback.
pub struct Server {
    home: Home,
    address: String,
    options: Vec<String>,
    running: Option<Child>,
}

impl Default for Server {
    fn default() -> Self {
        Self::start()
    }
}

impl Server {
    /// Starts one without authentication on a free port, with an empty store, and waits until it listens.
    #[track_caller]
    pub fn start() -> Self {
        Self::start_with(&["--no-auth"])
    }

    /// Starts one with these further options.
    #[track_caller]
    pub fn start_with(options: &[&str]) -> Self {
        let options = options.iter().map(|option| (*option).to_owned()).collect();
        let mut server =
            Self { home: Home::new(), address: "127.0.0.1:0".to_owned(), options, running: None };
        server.start_again();
        server
    }

    /// The home it runs in.
    pub fn home(&self) -> &Home {
        &self.home
    }

    /// Kills it as a power cut would, and waits until it is gone.
    #[track_caller]
    pub fn kill(&mut self) {
        let Some(mut child) = self.running.take() else { return };
        child.kill().unwrap();
        child.wait().unwrap();
    }

    /// Starts it again where it listened before, over the same store.
    ///
    /// # Panics
    /// When it ends instead, with what it said.
    #[track_caller]
    pub fn start_again(&mut self) {
        assert!(self.running.is_none(), "it runs already");
        let mut arguments = vec!["serve", "--http", &self.address];
        arguments.extend(self.options.iter().map(String::as_str));
        let mut command = self.home.shelltrack_command(&arguments);
        let mut child = command.stdin(Stdio::null()).stderr(Stdio::piped()).spawn().unwrap();
        let said = listen(child.stderr.take().unwrap());
        let ready = wait_at_most(BOUND, || {
            let text = said.lock().unwrap().clone();
            address_in(&text).map(Ok).or_else(|| child.try_wait().unwrap().map(|_| Err(text)))
        });
        self.running = Some(child);
        self.address = match ready {
            Some(Ok(address)) => address,
            Some(Err(text)) => panic!("serve ended at once: {text}"),
            None => panic!("serve said no address: {}", said.lock().unwrap()),
        };
    }

    /// Its URL.
    pub fn url(&self) -> String {
        format!("http://{}/mcp", self.address)
    }

    /// Configuration of a client of this server.
    pub fn config(&self) -> String {
        format!("[session-buddy]\ntransport = \"http\"\nurl = \"{}\"\n", self.url())
    }

    /// Tells it to end, and waits for it.
    #[track_caller]
    pub fn stop(&mut self) {
        let Some(mut child) = self.running.take() else { return };
        kill_process(Pid::from_child(&child), Signal::TERM).unwrap();
        wait_until("the server ends after SIGTERM", BOUND, || child.try_wait().unwrap());
    }

    /// What it has stored.
    #[track_caller]
    pub fn stored(&self) -> Vec<crate::store::Stored> {
        crate::store::stored(&self.home)
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        if let Some(mut child) = self.running.take() {
            let _ = kill_process(Pid::from_child(&child), Signal::TERM);
            if wait_at_most(BOUND, || child.try_wait().ok().flatten()).is_none() {
                let _ = child.kill();
                let _ = child.wait();
            }
        }
    }
}

/// Collects what the server says for as long as it says something: a full pipe would stop it.
fn listen(stderr: ChildStderr) -> Arc<Mutex<String>> {
    let said = Arc::new(Mutex::new(String::new()));
    let to = Arc::clone(&said);
    std::thread::spawn(move || {
        for line in BufReader::new(stderr).split(b'\n').map_while(Result::ok) {
            let mut to = to.lock().unwrap();
            to.push_str(&String::from_utf8_lossy(&line));
            to.push('\n');
        }
    });
    said
}

/// Host and port of the first URL in a text.
fn address_in(text: &str) -> Option<String> {
    let (_, after) = text.split_once("http://")?;
    let address: String = after.chars().take_while(|c| c.is_ascii_digit() || ".:".contains(*c)).collect();
    // Only whole lines are collected, so that a port is never cut short.
    (!address.ends_with(":0") && address.contains(':')).then_some(address)
}
