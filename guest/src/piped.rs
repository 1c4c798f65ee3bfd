//! Scanners for passwords that a shell hands to a program otherwise than by an option: `echo … | sudo -S`,
//! `passwd --stdin <<< …`; for what Oracle's programs take as their first argument; and for lines of
//! PostgreSQL's password file.

use crate::redact::Finding;
use crate::search::{find, has, places};

/// What reads a password from its standard input.
static READERS: [&str; 7] = [
    "sudo -S",
    "--password-stdin",
    "--passphrase-fd",
    "--with-token",
    "chpasswd",
    "passwd --stdin",
    "cryptsetup",
];

/// `echo … | sudo -S …`: what is said to a program that waits for a password.
pub(crate) fn find_piped(text: &str, rule: &'static str, found: &mut Vec<Finding>) {
    if !READERS.iter().any(|reader| has(text, reader)) {
        return;
    }
    find_here_strings(text, rule, found);
    for program in ["echo ", "printf "] {
        for at in places(text, program) {
            let start = at + program.len();
            let rest = text.get(start..text.floor_char_boundary(start + PIPED_BYTES_MAX)).unwrap_or_default();
            let Some(len) = rest.find('|') else { continue };
            let (said, after) = rest.split_at_checked(len).unwrap_or_default();
            let reader = after.trim_start_matches(['|', ' ']);
            if READERS.iter().any(|known| has(reader.get(..READER_BYTES_MAX).unwrap_or(reader), known)) {
                found.push(Finding { range: start..start + said.trim_end().len(), rule });
            }
        }
    }
}

/// `passwd --stdin me <<< …`: the word or the quoted text behind the arrows.
fn find_here_strings(text: &str, rule: &'static str, found: &mut Vec<Finding>) {
    const ARROWS: &str = "<<<";
    for at in places(text, ARROWS) {
        let rest = text.get(at + ARROWS.len()..).unwrap_or_default().trim_start();
        let start = text.len() - rest.len();
        let quote = rest.chars().next().filter(|c| matches!(c, '"' | '\''));
        let inner = usize::from(quote.is_some());
        let said = rest.get(inner..).unwrap_or_default();
        let len = said.find(|c: char| quote.map_or(c.is_whitespace(), |quote| c == quote));
        let len = len.unwrap_or(said.len());
        if len > 0 && !said.starts_with('$') {
            found.push(Finding { range: start + inner..start + inner + len, rule });
        }
    }
}

/// Bytes that are looked at behind an `echo`: a password is shorter, and a text of nothing but echoes
/// must not be read a thousand times.
const PIPED_BYTES_MAX: usize = 512;
/// Bytes of the program that reads, in which one of [`READERS`] must stand.
const READER_BYTES_MAX: usize = 64;

/// What Oracle's programs are called with: `user/password@database`.
static ORACLE: [&str; 6] =
    ["jdbc:oracle:thin:", "jdbc:oracle:oci:", "jdbc:oracle:oci8:", "sqlplus ", "sqlldr ", "expdp "];

/// The password of `user/password@database`.
pub(crate) fn find_oracle(text: &str, rule: &'static str, found: &mut Vec<Finding>) {
    for program in ORACLE {
        for at in places(text, program) {
            let start = at + program.len();
            let rest = text.get(start..text.floor_char_boundary(start + PIPED_BYTES_MAX)).unwrap_or_default();
            let options = rest.len()
                - rest
                    .trim_start_matches("-S ")
                    .trim_start_matches("-s ")
                    .trim_start_matches(['"', '\''])
                    .len();
            let word =
                rest.get(options..).and_then(|rest| rest.split([' ', '"', '\'']).next()).unwrap_or_default();
            let Some((credentials, _)) = word.rsplit_once('@') else { continue };
            let Some((user, password)) = credentials.split_once('/') else { continue };
            if !password.is_empty() && !user.contains(':') {
                let start = start + options + user.len() + 1;
                found.push(Finding { range: start..start + password.len(), rule });
            }
        }
    }
}

/// Lines of PostgreSQL's password file: `host:port:database:user:password`.
pub(crate) fn find_pgpass(text: &str, rule: &'static str, found: &mut Vec<Finding>) {
    if find(text, ":").is_none() {
        return;
    }
    for word in text.split(|c: char| c.is_whitespace() || matches!(c, '"' | '\'')) {
        let mut parts = word.splitn(5, ':');
        let (Some(host), Some(port), Some(database), Some(user), Some(password)) =
            (parts.next(), parts.next(), parts.next(), parts.next(), parts.next())
        else {
            continue;
        };
        let is_name = |name: &str| !name.is_empty() && name.bytes().all(in_name);
        let is_port = port == "*" || ((4..=5).contains(&port.len()) && port.bytes().all(|b| b.is_ascii_digit()));
        if is_port && is_name(host) && is_name(database) && is_name(user) && !password.is_empty() {
            let from = password.as_ptr() as usize - text.as_ptr() as usize;
            found.push(Finding { range: from..from + password.len(), rule });
        }
    }
}

fn in_name(b: u8) -> bool {
    b.is_ascii_alphanumeric() || matches!(b, b'*' | b'.' | b'-' | b'_')
}
