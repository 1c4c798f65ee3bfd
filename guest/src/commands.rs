//! Scanners for credentials in command lines that no name beside them tells of: `curl -u user:…`,
//! `sshpass -p …`, `mysql -p…`, `echo … | sudo -S`, `sqlplus scott/…@db`. Options with a telling name are
//! pairs like others and found by `pairs`.

use crate::redact::Finding;
use crate::search::{has, places};

/// Programs whose short option is followed by a password, as a word of its own.
static PASSWORD_OPTIONS: &[(&str, &str)] = &[
    ("sshpass", "-p"),
    ("login", "-p"),
    ("mongo", "-p"),
    ("redis-cli", "-a"),
    ("ldap", "-w"),
    ("zip", "-P"),
    ("rabbitmqadmin", "-p"),
    ("pscp", "-pw"),
    ("plink", "-pw"),
    ("sqlcmd", "-P"),
    ("bcp", "-P"),
    ("snmp", "-A"),
    ("snmp", "-X"),
    ("snmp", "-c"),
    ("openssl", "-k"),
    ("openssl", "-K"),
    ("openssl", "-passin"),
    ("openssl", "-passout"),
    ("keytool", "-storepass"),
    ("keytool", "-keypass"),
];

/// Programs whose `-p` is followed by the password without a space.
static GLUED_OPTIONS: &[&str] = &["mysql", "mariadb", "sshpass", "7z", "rar"];

/// Credentials in the options of well-known programs: `-u user:password`, `sshpass -p …`,
/// `mysql -p…`.
pub(crate) fn find_options(text: &str, rule: &'static str, found: &mut Vec<Finding>) {
    let mut programs = Programs::of(text);
    let mut previous = "";
    for word in text.split_whitespace() {
        let value = option_value(previous, word, &mut programs);
        if let Some(value) = value.filter(|value| !value.is_empty()) {
            let from = value.as_ptr() as usize - text.as_ptr() as usize;
            found.push(Finding { range: from..from + value.len(), rule });
        }
        previous = word;
    }
}

/// The part of `word` that is a password, if the option before it or in it says so.
pub(crate) fn option_value<'w>(
    previous: &str,
    word: &'w str,
    programs: &mut Programs<'_>,
) -> Option<&'w str> {
    if matches!(previous, "-u" | "--user" | "--proxy-user" | "-U") {
        password_of_pair(word)
    } else if let Some(pair) = word.strip_prefix("--user=").or_else(|| word.strip_prefix("-u")) {
        password_of_pair(pair)
    } else if previous.starts_with('-') && programs.have_option(previous) {
        Some(word)
    } else {
        let value = word.strip_prefix("-p").filter(|value| !value.starts_with('-'))?;
        programs.have_glued_option().then_some(value)
    }
}

/// Which programs a text names: looked for once, and only when an option makes it matter.
pub(crate) struct Programs<'t> {
    text: &'t str,
    glued: Option<bool>,
    options: Option<Vec<&'static str>>,
}

impl<'t> Programs<'t> {
    pub(crate) fn of(text: &'t str) -> Self {
        Programs { text, glued: None, options: None }
    }

    fn have_option(&mut self, option: &str) -> bool {
        if !PASSWORD_OPTIONS.iter().any(|&(_, known)| known == option) {
            return false;
        }
        let named = || PASSWORD_OPTIONS.iter().filter(|(program, _)| has(self.text, program));
        let options = self.options.get_or_insert_with(|| named().map(|&(_, option)| option).collect());
        options.contains(&option)
    }

    fn have_glued_option(&mut self) -> bool {
        let text = self.text;
        *self.glued.get_or_insert_with(|| GLUED_OPTIONS.iter().any(|program| has(text, program)))
    }
}

/// The part after the colon, unless it is a group id as in `docker run -u 1000:1000`.
fn password_of_pair(pair: &str) -> Option<&str> {
    let (_, password) = pair.split_once([':', '%'])?;
    let password = password.trim_end_matches(['"', '\'']);
    (!password.bytes().all(|b| b.is_ascii_digit()) && !password.starts_with("//")).then_some(password)
}

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
            let options = rest.len() - rest.trim_start_matches("-S ").trim_start_matches("-s ").len();
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
