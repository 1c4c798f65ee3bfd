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
    ("unzip", "-P"),
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
            let len = quoted_rest(word, value, text.get(from..).unwrap_or_default()).unwrap_or(value.len());
            found.push(Finding { range: from..from + len, rule });
        }
        previous = word;
    }
}

/// Length of a value with spaces in it: `rest` up to the quote that was opened in `word`, before the value
/// or with it, and is not closed there.
fn quoted_rest(word: &str, value: &str, rest: &str) -> Option<usize> {
    let opened = word.find(['"', '\''])?;
    let quote = word.get(opened..)?.chars().next()?;
    let start = value.as_ptr() as usize - word.as_ptr() as usize;
    if opened > start || word.get(opened + 1..)?.contains(quote) {
        return None;
    }
    let inner = usize::from(opened == start);
    Some(rest.get(inner..)?.find(quote).map_or(rest.len(), |at| inner + at + inner))
}

/// The part of `word` that is a password, if the option before it or in it says so.
pub(crate) fn option_value<'w>(
    previous: &str,
    word: &'w str,
    programs: &mut Programs<'_>,
) -> Option<&'w str> {
    let pair =
        ["--user=", "--proxy-user=", "--auth=", "-u"].iter().find_map(|option| word.strip_prefix(option));
    if matches!(previous, "-u" | "--user" | "--proxy-user" | "-U" | "--auth")
        || programs.is_user_of_curl(previous)
    {
        password_of_pair(word)
    } else if let Some(pair) = pair {
        password_of_pair(pair)
    } else if previous.starts_with('-') && !is_port_mapping(word) && programs.have_option(previous) {
        Some(word)
    } else {
        let value =
            word.strip_prefix("-p").filter(|value| !value.starts_with('-') && !is_port_mapping(value))?;
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

    /// `-u` behind other options of one letter, as in `curl -sku`.
    fn is_user_of_curl(&self, option: &str) -> bool {
        let letters = option.strip_prefix('-').and_then(|letters| letters.strip_suffix('u'));
        letters.is_some_and(|letters| {
            letters.len() < 8 && letters.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'#')
        }) && has(self.text, "curl")
    }

    fn have_option(&mut self, option: &str) -> bool {
        if !PASSWORD_OPTIONS.iter().any(|&(_, known)| known == option) {
            return false;
        }
        let named = || PASSWORD_OPTIONS.iter().filter(|(program, _)| has_program(self.text, program));
        let options = self.options.get_or_insert_with(|| named().map(|&(_, option)| option).collect());
        options.contains(&option)
    }

    fn have_glued_option(&mut self) -> bool {
        let text = self.text;
        *self.glued.get_or_insert_with(|| GLUED_OPTIONS.iter().any(|program| has_program(text, program)))
    }
}

/// Whether a word of `text` begins like `program` and has nothing but letters, `-` and `_` behind it: `a.zip` and
/// `mongo01` are no programs.
fn has_program(text: &str, program: &str) -> bool {
    places(text, program).any(|at| {
        let before = text.as_bytes().get(..at).and_then(|before| before.last());
        let rest = text.get(at + program.len()..).unwrap_or_default();
        let rest = rest.trim_start_matches(|c: char| c.is_ascii_lowercase() || matches!(c, '-' | '_'));
        before.is_none_or(|b| !b.is_ascii_alphanumeric() && !matches!(b, b'.' | b'-' | b'_'))
            && !rest.starts_with(|c: char| c.is_ascii_alphanumeric() || matches!(c, '.' | ':'))
    })
}

/// `27017:27017`, as in `docker run -p`.
fn is_port_mapping(word: &str) -> bool {
    let is_port = |port: &str| !port.is_empty() && port.bytes().all(|b| b.is_ascii_digit());
    word.split_once(':').is_some_and(|(host, container)| is_port(host) && is_port(container))
}

/// The part after the colon, unless it is a group id as in `docker run -u 1000:1000`.
fn password_of_pair(pair: &str) -> Option<&str> {
    let pair = pair.trim_start_matches(['"', '\'']);
    // `date -u +%s` is neither.
    let (user, password) = pair.split_once([':', '%']).filter(|(user, _)| !user.starts_with('+'))?;
    let password = password.trim_end_matches(['"', '\'']);
    let are_ids = user.bytes().chain(password.bytes()).all(|b| b.is_ascii_digit() || b == b'.');
    (!are_ids && !password.starts_with("//")).then_some(password)
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
