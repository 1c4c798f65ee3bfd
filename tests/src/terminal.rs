//! A real terminal for a test: a tmux server of its own, with one pane.
//!
//! Only a terminal shows what Ctrl-C, Ctrl-Z and a changed window size do to a process group; pipes
//! cannot. Needs tmux; [`Terminal::open`] gives `None` where there is none.

use std::path::PathBuf;
use std::process::Command;

use crate::home::Home;
use crate::process::run_bounded;
use crate::wait::{BOUND, wait_until};

/// The prompt of the shell in the pane: nothing else prints it.
pub const PROMPT: &str = "ready>";

/// A terminal with an interactive shell in a home.
pub struct Terminal<'a> {
    home: &'a Home,
    socket: PathBuf,
}

impl<'a> Terminal<'a> {
    /// Opens a terminal of 80 columns and 24 lines with a shell that waits at its [`PROMPT`].
    #[track_caller]
    pub fn open(home: &'a Home) -> Option<Self> {
        Command::new("tmux").arg("-V").output().ok().filter(|found| found.status.success())?;
        let terminal = Self { home, socket: home.path().join("run/tmux") };
        // `sh` of bash or dash, without any start-up file: ENV is not set here.
        let shell = format!("PS1='{PROMPT}' exec sh -i");
        terminal.tmux(&["-f", "/dev/null", "new-session", "-d", "-x", "80", "-y", "24", &shell]);
        terminal.wait_for_prompts(1);
        Some(terminal)
    }

    /// Types a line and presses Enter.
    #[track_caller]
    pub fn type_line(&self, line: &str) {
        self.tmux(&["send-keys", "-l", line]);
        self.press("Enter");
    }

    /// Presses a key by tmux's name for it, such as `C-c`.
    #[track_caller]
    pub fn press(&self, key: &str) {
        self.tmux(&["send-keys", key]);
    }

    /// Changes the size of the window.
    #[track_caller]
    pub fn resize(&self, columns: u16, lines: u16) {
        self.tmux(&["resize-window", "-x", &columns.to_string(), "-y", &lines.to_string()]);
    }

    /// Closes it, as one closes a window: what runs in it is hung up on.
    #[track_caller]
    pub fn close_pane(&self) {
        self.tmux(&["kill-pane"]);
    }

    /// What the terminal shows and has shown.
    #[track_caller]
    pub fn text(&self) -> String {
        self.tmux(&["capture-pane", "-p", "-J", "-S", "-"])
    }

    /// How often a line is in the terminal that is exactly this.
    pub fn count_lines(&self, line: &str) -> usize {
        self.text().lines().filter(|shown| shown.trim_end() == line).count()
    }

    /// Waits for a line that is exactly this.
    ///
    /// # Panics
    /// When it does not come, with what the terminal shows instead.
    #[track_caller]
    pub fn wait_for_line(&self, line: &str) {
        self.wait_for(&format!("the line {line:?}"), |text| {
            text.lines().any(|shown| shown.trim_end() == line)
        });
    }

    /// Waits until the shell has printed its prompt so often.
    #[track_caller]
    pub fn wait_for_prompts(&self, prompts: usize) {
        self.wait_for(&format!("{prompts} prompts"), |text| text.matches(PROMPT).count() >= prompts);
    }

    /// Waits until the terminal shows what is looked for.
    #[track_caller]
    pub fn wait_for(&self, what: &str, found: impl Fn(&str) -> bool) {
        let mut last = String::new();
        let outcome = crate::wait::wait_at_most(BOUND, || {
            last = self.text();
            found(&last).then_some(())
        });
        assert!(outcome.is_some(), "waited {BOUND:?} for {what}; the terminal shows:\n{last}");
    }

    #[track_caller]
    fn tmux(&self, arguments: &[&str]) -> String {
        let mut command = self.home.command("tmux");
        command.arg("-S").arg(&self.socket).args(arguments);
        run_bounded(&mut command, BOUND).expect(0).stdout
    }
}

impl Drop for Terminal<'_> {
    fn drop(&mut self) {
        let mut command = self.home.command("tmux");
        let _ = command.arg("-S").arg(&self.socket).arg("kill-server").output();
        wait_until("tmux ends", BOUND, || (!self.socket_in_use()).then_some(()));
    }
}

impl Terminal<'_> {
    fn socket_in_use(&self) -> bool {
        std::os::unix::net::UnixStream::connect(&self.socket).is_ok()
    }
}
