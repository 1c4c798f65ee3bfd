//! Scanners for passwords that a shell hands to a program otherwise than by an option: `echo … | sudo -S`,
//! `passwd --stdin <<< …`; for what Oracle's programs take as their first argument; and for lines of
//! PostgreSQL's password file.

use crate::commands::bare;
use crate::redact::Finding;
use crate::search::{has, places};
use crate::values::is_harmless;

/// Programs that read a password from their standard input.
static READERS: [&str; 10] = [
    "argon2",
    "chpasswd",
    "cryptsetup",
    "keepassxc-cli",
    "kinit",
    "passwd",
    "smbpasswd",
    "su",
    "vncpasswd",
    "p4",
];

/// What says that a program reads one.
static READING: [&str; 19] = [
    "secret create",
    "secret put",
    "secret set",
    "secrets create",
    "secrets import",
    "pass insert",
    "secret-tool store",
    "sudo -S",
    "-stdin",
    "--passphrase-fd",
    "--with-",
    "load-key",
    "--data-file=-",
    "=-",
    "op item",
    " login",
    " signin",
    "configure --token",
    "encrypt_string",
];

/// Programs that read something else, whatever they are told.
static WRITERS: [&str; 4] = ["cat", "grep", "rg", "tee"];

/// Whether the command that `text` begins with waits for a password.
#[inline(never)]
fn reads_password(text: &str) -> bool {
    let text = text.trim_start();
    let text = text.get(..text.floor_char_boundary(READER_BYTES_MAX)).unwrap_or_default();
    let command = text.get(..text.find(ends_command).unwrap_or(text.len())).unwrap_or_default();
    let alone = command.strip_prefix("sudo ").unwrap_or(command).trim_start();
    let ends_name = |c: char| !c.is_ascii_alphanumeric() && !matches!(c, '-' | '_' | '.' | '/');
    let name = bare(alone.split(ends_name).next().unwrap_or_default());
    READERS.contains(&name) || (!WRITERS.contains(&name) && READING.iter().any(|said| has(command, said)))
}

/// What separates commands.
fn ends_command(c: char) -> bool {
    matches!(c, ';' | '|' | '&' | '\n' | ')')
}

/// `echo … | sudo -S …`: what is said to a program that waits for a password.
pub(crate) fn find_piped(text: &str, rule: &'static str, found: &mut Vec<Finding>) {
    find_here_strings(text, rule, found);
    if !has(text, "|") {
        return;
    }
    for program in ["echo ", "printf ", "yes "] {
        let mut looks = 0;
        for at in places(text, program) {
            let start = at + program.len();
            let rest = text.get(start..text.floor_char_boundary(start + PIPED_BYTES_MAX)).unwrap_or_default();
            let Some(len) = rest.find('|') else { continue };
            looks += 1;
            if looks > LOOKS_MAX {
                found.push(Finding { range: start..text.len(), rule });
                break;
            }
            let (said, after) = rest.split_at_checked(len).unwrap_or_default();
            let reader = after.trim_start_matches(['|', ' ']);
            let said = said.trim_end().trim_end_matches(')');
            if reads_password(reader) && !is_said_elsewhere(said) {
                found.push(Finding { range: start..start + said.len(), rule });
            }
        }
    }
}

/// Whether each word of what is said is a format, or stands for what is somewhere else: `-n '%s' "$PASSWORD"`.
fn is_said_elsewhere(said: &str) -> bool {
    let command = said.trim_matches(['"', '\'']);
    let is_word = |word: &str| {
        let word = word.trim_matches(['"', '\'']);
        word.is_empty() || word.starts_with(['-', '%']) || is_harmless(word)
    };
    (command.starts_with("$(") && is_harmless(command)) || said.split(' ').all(is_word)
}

/// `passwd --stdin me <<< …`: the word or the quoted text behind the arrows.
fn find_here_strings(text: &str, rule: &'static str, found: &mut Vec<Finding>) {
    const ARROWS: &str = "<<<";
    for (nth, at) in places(text, ARROWS).enumerate() {
        if nth == LOOKS_MAX {
            found.push(Finding { range: at + ARROWS.len()..text.len(), rule });
            break;
        }
        let rest = text.get(at + ARROWS.len()..).unwrap_or_default().trim_start();
        let start = text.len() - rest.len();
        let before =
            text.get(text.ceil_char_boundary(at.saturating_sub(READER_BYTES_MAX))..at).unwrap_or_default();
        let command = before.get(before.rfind(ends_command).map_or(0, |at| at + 1)..).unwrap_or_default();
        let quote = rest.chars().next().filter(|c| matches!(c, '"' | '\''));
        let inner = usize::from(quote.is_some());
        let said = rest.get(inner..rest.floor_char_boundary(PIPED_BYTES_MAX)).unwrap_or_default();
        let len =
            said.find(|c: char| quote.map_or(c.is_whitespace(), |quote| c == quote)).unwrap_or(said.len());
        // `cat <<< … | sudo -S …`
        let hands_on = || said.split_once('|').is_some_and(|(_, reader)| reads_password(reader));
        if len > 0 && !said.starts_with('$') && (reads_password(command) || hands_on()) {
            found.push(Finding { range: start + inner..start + inner + len, rule });
        }
    }
}

/// Bytes that are looked at behind an `echo`: a password is shorter, and a text of nothing but echoes
/// must not be read a thousand times.
const PIPED_BYTES_MAX: usize = 512;
/// Commands of a text that are looked at: a text of more is no command line, and what is behind them goes.
const LOOKS_MAX: usize = 128;
/// Bytes of a command in which it says that it reads.
const READER_BYTES_MAX: usize = 96;
/// What Oracle's programs are called with: `user/password@database`.
static ORACLE: [&str; 10] = [
    "jdbc:oracle:thin:",
    "jdbc:oracle:oci:",
    "jdbc:oracle:oci8:",
    "sqlplus ",
    "sqlldr ",
    "expdp ",
    "impdp ",
    "exp ",
    "imp ",
    "rman target ",
];

/// The password of `user/password@database`.
pub(crate) fn find_oracle(text: &str, rule: &'static str, found: &mut Vec<Finding>) {
    for program in ORACLE {
        for at in places(text, program) {
            let start = at + program.len();
            let rest = text.get(start..text.floor_char_boundary(start + PIPED_BYTES_MAX)).unwrap_or_default();
            let login =
                ["-S ", "-s ", "userid="].iter().fold(rest, |rest, it| rest.strip_prefix(it).unwrap_or(rest));
            let login = login.trim_start_matches(['"', '\'']);
            let start = start + rest.len() - login.len();
            let word = login.split([' ', '"', '\'']).next().unwrap_or_default();
            let (credentials, _) = word.rsplit_once('@').unwrap_or((word, ""));
            let Some((user, password)) = credentials.split_once('/') else { continue };
            let is_user = !user.is_empty() && user.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'_');
            let is_path = credentials == word && password.contains(['/', '.']);
            let is_word = text.get(..at).is_none_or(|head| !head.ends_with(char::is_alphanumeric));
            if !password.is_empty() && is_user && !is_path && is_word {
                let start = start + user.len() + 1;
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
        // Parts of an IPv6 address are no host.
        if before.len() > host_len && before.get(before.len() - host_len - 1) == Some(&b':') {
            continue;
        }
        let Some(user_end) = name_end(port_end + 1).and_then(|end| name_end(end + 1)) else { continue };
        let password =
            len(user_end + 1, NAME_BYTES_MAX * 4, |b| !b.is_ascii_whitespace() && !matches!(b, b'"' | b'\''));
        // Lines of `/etc/shadow` are numbers there.
        let names = bytes.get(port_end..user_end).unwrap_or_default();
        let are_names = !names.iter().all(|b| b.is_ascii_digit() || *b == b':');
        if let Some(password_len) = password.filter(|_| is_port && host_len > 0 && are_names) {
            found.push(Finding { range: user_end + 1..user_end + 1 + password_len, rule });
        }
    }
}

fn in_name(b: &u8) -> bool {
    b.is_ascii_alphanumeric() || matches!(b, b'*' | b'.' | b'-' | b'_')
}
