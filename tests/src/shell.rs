//! A process that stands for an interactive shell.

use std::process::{Child, Stdio};

use crate::home::Home;

/// Lives until it is dropped.
pub struct Shell(Child);

impl Shell {
    /// A shell in this home that waits for input.
    pub fn open(home: &Home) -> Self {
        let mut command = home.command("cat");
        Self(command.stdin(Stdio::piped()).stdout(Stdio::null()).spawn().unwrap())
    }

    /// Its pid.
    pub fn pid(&self) -> String {
        self.0.id().to_string()
    }

    /// Starts a session for it; gives the key.
    #[track_caller]
    pub fn start(&self, home: &Home) -> String {
        home.shelltrack(&["start", "--pid", &self.pid()]).expect(0).stdout.trim().to_owned()
    }

    /// Kills it.
    pub fn kill(&mut self) {
        self.0.kill().unwrap();
        self.0.wait().unwrap();
    }
}

impl Drop for Shell {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}
