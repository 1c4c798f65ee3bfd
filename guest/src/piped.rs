//! Scanners for passwords that a shell hands to a program otherwise than by an option: `echo … | sudo -S`,
//! `passwd --stdin <<< …`; for what Oracle's programs take as their first argument; and for lines of
//! PostgreSQL's password file.

use crate::redact::Finding;
use crate::search::{has, places};

/// What reads a password from its standard input.
static READERS: [&str; 10] = [
    "secret create",
    "sudo -S",
    "--password-stdin",
    "--passphrase-fd",
    "--with-token",
    "chpasswd",
    "passwd --stdin",
    "kinit",
    "vncpasswd",
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
    const HOST_BYTES_MAX: usize = 255;
    const NAME_BYTES_MAX: usize = 64;
    let bytes = text.as_bytes();
    let len = |at: usize, bytes_max: usize, is_in: fn(&u8) -> bool| {
        let len = bytes.iter().skip(at).take(bytes_max + 1).take_while(|b| is_in(b)).count();
        (1..=bytes_max).contains(&len).then_some(len)
    };
    let name_end = |at: usize| {
        let end = at + len(at, NAME_BYTES_MAX, in_name)?;
        (bytes.get(end) == Some(&b':')).then_some(end)
    };
    for at in places(text, ":") {
        let Some(port_len) = len(at + 1, 5, |b| b.is_ascii_digit() || *b == b'*') else { continue };
        let port_end = at + 1 + port_len;
        if bytes.get(port_end) != Some(&b':') || matches!(port_len, 2 | 3) {
            continue;
        }
        let is_port = port_len >= 4 || bytes.get(at + 1) == Some(&b'*');
        let before = bytes.get(..at).unwrap_or_default();
        let host_len = before.iter().rev().take(HOST_BYTES_MAX).take_while(|b| in_name(b)).count();
        let Some(user_end) = name_end(port_end + 1).and_then(|end| name_end(end + 1)) else { continue };
        let password =
            len(user_end + 1, NAME_BYTES_MAX * 4, |b| !b.is_ascii_whitespace() && !matches!(b, b'"' | b'\''));
        if let Some(password_len) = password.filter(|_| is_port && host_len > 0) {
            found.push(Finding { range: user_end + 1..user_end + 1 + password_len, rule });
        }
    }
}

fn in_name(b: &u8) -> bool {
    b.is_ascii_alphanumeric() || matches!(b, b'*' | b'.' | b'-' | b'_')
}
