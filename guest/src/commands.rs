//! Scanners for credentials in command lines that no name beside them tells of: `curl -u user:…`,
//! `sshpass -p …`, `mysql -p…`, `vault login …`. Options with a telling name are pairs like others and
//! found by `pairs`; what a shell hands to a program otherwise is the business of `piped`.

use crate::redact::{Finding, looks_random};
use crate::search::{has, split};
use crate::values::{is_harmless, joined_len, quoted_len};

/// A program or its subcommand, and where its password stands.
struct Program {
    /// The word before a subcommand; empty for a program.
    of: &'static str,
    /// Its name. One that ends in `*` stands for longer ones too: `mysql*` is `mysqldump` as well.
    name: &'static str,
    /// Options that are followed by a password, as a word of its own.
    options: &'static [&'static str],
    /// What the password is glued to.
    glued: &'static str,
    /// How many arguments stand before the one that is the password.
    arguments_before: Option<u8>,
}

const fn options(name: &'static str, options: &'static [&'static str]) -> Program {
    Program { of: "", name, options, glued: "", arguments_before: None }
}

const fn of(of: &'static str, name: &'static str, options: &'static [&'static str]) -> Program {
    Program { of, name, options, glued: "", arguments_before: None }
}

const fn glued(name: &'static str, options: &'static [&'static str], glued: &'static str) -> Program {
    Program { of: "", name, options, glued, arguments_before: None }
}

/// Programs that are called with `domain/user:password@host`.
const fn login(name: &'static str) -> Program {
    glued(name, &[], LOGIN)
}

/// What says of a program that its arguments may be logins.
const LOGIN: &str = "@";

const fn argument(of: &'static str, name: &'static str, before: u8) -> Program {
    Program { of, name, options: &[], glued: "", arguments_before: Some(before) }
}

/// The table. Docker and `ps` stand in it for the sake of their `-u`, which takes ids and names.
#[rustfmt::skip]
static PROGRAMS: &[Program] = &[
    options("altool", &["-p"]),
    options("beeline", &["-p"]),
    options("ccrypt", &["-K"]),
    options("certutil", &["-p"]),
    options("codecov", &["-t"]),
    options("cqlsh", &["-p"]),
    options("crackmapexec", &["-p"]),
    options("curl", &["-b", "-E", "--cert"]),
    options("cypher-shell", &["-p"]),
    options("docker", &[]),
    options("doctl", &["-t"]),
    options("evil-winrm", &["-p"]),
    options("gpg-preset-passphrase", &["-P"]),
    options("http", &["-a"]),
    options("https", &["-a"]),
    options("hydra", &["-p"]),
    options("influx", &["-t"]),
    options("knife", &["-P"]),
    options("lftp", &[]),
    options("login", &["-p"]),
    options("message-digest-key", &["md5"]),
    options("mongo*", &["-p"]),
    options("mosquitto*", &["-P"]),
    options("mycli", &["-p"]),
    options("ncftp*", &["-p"]),
    options("netlify", &["--auth"]),
    options("nmcli", &["password", "wifi-sec.psk"]),
    options("nxc", &["-p", "-H"]),
    options("openssl", &["-k", "-K", "-passin", "-passout", "-pass", "-hmac"]),
    options("plink", &["-pw"]),
    options("podman", &[]),
    options("ps", &[]),
    options("pscp", &["-pw"]),
    options("put-parameter", &["--value"]),
    options("rabbitmqadmin", &["-p"]),
    options("racadm", &["-p"]),
    options("radius-server", &["key"]),
    glued("redis-cli", &["-a", "AUTH", "auth"], "-a"),
    options("rootpw", &["--plaintext"]),
    options("schtasks", &["/rp", "/RP", "/p", "/P"]),
    options("security", &["-w", "-p", "-P"]),
    options("signtool", &["/p"]),
    options("smbmap", &["-p"]),
    options("snmp*", &["-A", "-X", "-c", "community"]),
    options("ssh-keygen", &["-N", "-P"]),
    options("steghide", &["-p"]),
    options("swaks", &["-ap"]),
    options("tacacs-server", &["key"]),
    options("tsql", &["-P"]),
    options("twine", &["-p"]),
    options("unzip", &["-P"]),
    options("useradd", &["-p"]),
    options("usermod", &["-p"]),
    options("veracrypt", &["-p"]),
    options("xh", &["-a"]),
    options("zip", &["-P"]),
    glued("7z*", &[], "-p"),
    glued("bcp", &["-P"], "-P"),
    glued("ipmitool", &["-P"], "-P"),
    glued("isql", &["-P"], "-P"),
    glued("ldap*", &["-w"], "-w"),
    glued("ldappasswd", &["-w", "-s", "-a"], "-w"),
    glued("mariadb*", &[], "-p"),
    glued("mysql*", &[], "-p"),
    glued("mysqladmin", &["password"], "-p"),
    glued("rar", &[], "-p"),
    glued("rdesktop", &["-p"], "-p"),
    glued("sqlcmd", &["-P"], "-P"),
    glued("sshpass", &["-p"], "-p"),
    glued("unrar", &[], "-p"),
    glued("winrs", &[], "-p:"),
    glued("xfreerdp*", &[], "/p:"),
    login("atexec"),
    login("dcomexec"),
    login("impacket*"),
    glued("psexec", &["-p"], LOGIN),
    login("secretsdump"),
    login("smbexec"),
    login("wmiexec"),
    argument("", "ConvertTo-SecureString", 0),
    argument("", "activate-refresh-token", 1),
    argument("config", "github-oauth.*", 0),
    argument("config", "http-basic.*", 1),
    argument("", "encrypt_string", 0),
    argument("", "oathtool", 0),
    argument("", "secret-set-value", 1),
    argument("config", "pypi-token.*", 0),
    argument("", "wpa_passphrase", 1),
    argument("alias", "set", 3),
    argument("bw", "login", 1),
    argument("bw", "unlock", 0),
    argument("cargo", "login", 0),
    argument("cf", "auth", 1),
    argument("config", "add-authtoken", 0),
    argument("host", "add", 3),
    argument("net", "use", 1),
    argument("net", "user", 1),
    argument("ngrok", "authtoken", 0),
    argument("openssl", "passwd", 0),
    argument("operator", "unseal", 0),
    argument("rabbitmqctl", "add_user", 1),
    argument("rabbitmqctl", "change_password", 1),
    argument("rclone", "obscure", 0),
    argument("snyk", "auth", 0),
    argument("vault", "login", 0),
    argument("wandb", "login", 0),
    of("add", "source", &["-p"]),
    of("caddy", "hash-password", &["--plaintext"]),
    of("create", "secret", &["--from-literal"]),
    of("keys", "set", &["--value"]),
    of("nuget", "push", &["-k"]),
    of("poetry", "publish", &["-p"]),
    of("secret", "set", &["--value", "--body", "-b"]),
    of("sql", "server", &["-p"]),
    of("users", "create", &["-p"]),
];

/// `htpasswd -b FILE USER …`, and with `-n` as well, where no file is named.
static HTPASSWD: [Program; 2] = [argument("htpasswd", "-b", 2), argument("htpasswd", "-nb", 1)];

/// First bytes of the names, one bit for each: most words begin otherwise.
#[allow(clippy::indexing_slicing, reason = "evaluated when compiling")]
static FIRST_BYTES: u128 = {
    let (mut bits, mut at) = (0, 0);
    while at < PROGRAMS.len() {
        bits |= 1 << (PROGRAMS[at].name.as_bytes()[0] % 128);
        at += 1;
    }
    bits
};

/// The program that `word` names, and with it the word before.
fn program(previous: &str, word: &str) -> Option<&'static Program> {
    let name = bare(word);
    if name.starts_with('-') {
        let is_batch = bare(previous) == "htpasswd" && !name.starts_with("--") && name.contains('b');
        let [of_file, printing] = &HTPASSWD;
        return is_batch.then_some(if name.contains('n') { printing } else { of_file });
    }
    let first = name.bytes().next().filter(u8::is_ascii)?;
    if FIRST_BYTES >> first & 1 == 0 {
        return None;
    }
    PROGRAMS.iter().rev().find(|program| program.is(previous, name))
}

impl Program {
    fn is(&self, previous: &str, name: &str) -> bool {
        if self.name.as_bytes().first() != name.as_bytes().first() {
            return false;
        }
        let is_named = match self.name.strip_suffix('*') {
            Some(start) => name.strip_prefix(start).is_some_and(|rest| {
                rest.bytes().all(|b| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'_' | b'.'))
            }),
            None => self.name == name,
        };
        is_named && (self.of.is_empty() || self.of == bare(previous))
    }
}

/// The words of a command line, one after the other.
#[derive(Default)]
pub(crate) struct Commands<'t> {
    program: Option<&'static Program>,
    previous: &'t str,
    arguments: u8,
}

impl<'t> Commands<'t> {
    /// The part of the next word that is a password.
    pub(crate) fn password_in(&mut self, word: &'t str) -> Option<&'t str> {
        if matches!(word, "|" | "||" | "&&" | ";") {
            *self = Commands::default();
            return None;
        }
        let password = self.option_value(word).or_else(|| self.argument(word)).filter(|value| {
            let is_elsewhere =
                ["file:", "env:", "fd:", "stdin"].iter().any(|source| value.starts_with(source));
            let said = value.trim_matches(['"', '\'']);
            !said.is_empty() && !is_elsewhere && !is_harmless(said)
        });
        if password.is_none()
            && let Some(program) = program(self.previous, word)
        {
            (self.program, self.arguments) = (Some(program), 0);
        }
        self.previous = word;
        password
    }

    fn is_program(&self, names: &[&str]) -> bool {
        self.program.is_some_and(|program| names.contains(&program.name))
    }

    fn option_value(&self, word: &'t str) -> Option<&'t str> {
        let may_be_option = |word: &str| matches!(word.as_bytes(), [b'-', ..] | [b'"' | b'\'', b'-', ..]);
        if self.program.is_none() && !may_be_option(self.previous) && !may_be_option(word) {
            return None;
        }
        let previous = self.previous.trim_start_matches(['"', '\'']);
        let word = if word.starts_with(['"', '\'']) && word.get(1..2) == Some("-") {
            word.get(1..).unwrap_or_default()
        } else {
            word
        };
        if let Some(value) = self.of_program(previous, word) {
            return value;
        }
        let pair = ["--user=", "--proxy-user=", "--auth=", "-u"].iter().find_map(|o| word.strip_prefix(o));
        if matches!(previous, "-u" | "--user" | "--proxy-user" | "-U" | "--auth")
            || self.is_user_of_curl(previous)
        {
            return self.password_of_pair(word);
        }
        if let Some(pair) = pair {
            return self.password_of_pair(pair);
        }
        None
    }

    /// What follows an option of the program, or is glued to it; nothing where this is no such option.
    fn of_program(&self, previous: &str, word: &'t str) -> Option<Option<&'t str>> {
        let program = self.program?;
        if program.options.contains(&previous) {
            return Some(match program.name {
                // Otherwise a file of cookies.
                "curl" if previous == "-b" => word.contains('=').then_some(word),
                "http" | "https" | "xh" | "curl" => self.password_of_pair(word),
                _ => (!is_port(word)).then_some(word),
            });
        }
        let assigned = word.split_once('=').filter(|(option, _)| program.options.contains(option));
        if let Some((_, value)) = assigned {
            return Some((!is_port(value)).then_some(value));
        }
        if program.glued == LOGIN {
            let (login, _) = word.rsplit_once('@')?;
            return Some(login.split_once(':').map(|(_, password)| password));
        }
        let value = word.strip_prefix(program.glued).filter(|_| !program.glued.is_empty())?;
        (!value.starts_with('-') && !is_port(value)).then_some(Some(value))
    }

    /// `-u` behind other options of one letter, as in `curl -sku`.
    fn is_user_of_curl(&self, option: &str) -> bool {
        const LETTERS_MAX: usize = 8;
        let letters = option.strip_prefix('-').and_then(|letters| letters.strip_suffix('u'));
        letters.is_some_and(|letters| {
            letters.len() < LETTERS_MAX && letters.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'#')
        }) && self.is_program(&["curl"])
    }

    /// The part after the colon, unless these are ids as in `docker run -u 1000:1000`.
    fn password_of_pair(&self, pair: &'t str) -> Option<&'t str> {
        if self.is_program(&["docker", "podman", "ps"]) {
            return None;
        }
        let pair = pair.trim_start_matches(['"', '\'']);
        let separators: &[char] = if self.is_program(&["lftp"]) { &[','] } else { &[':', '%'] };
        // `date -u +%s` is neither.
        let (user, password) = pair.split_once(separators).filter(|(user, _)| !user.starts_with('+'))?;
        let password = password.trim_end_matches(['"', '\'']);
        if password.is_empty() {
            // `-u KEY:`, where the password is empty.
            return looks_random(user).then_some(user);
        }
        let are_ids = user.bytes().chain(password.bytes()).all(|b| b.is_ascii_digit() || b == b'.');
        (!are_ids && user != password && !password.starts_with("//")).then_some(password)
    }

    /// `vault login …`, `htpasswd -b FILE USER …`.
    fn argument(&mut self, word: &'t str) -> Option<&'t str> {
        let program = self.program?;
        let before = program.arguments_before?;
        let is_windows_option = program.of == "net" && word.starts_with('/');
        let is_drive = program.name == "use" && self.arguments == 0 && !word.starts_with("\\\\");
        let is_salt = self.previous == "-salt";
        let is_option = word.starts_with(['-', '<', '>']) || is_windows_option || is_drive || is_salt;
        // A `=` at the end is one of base64.
        let is_argument = !is_option && !word.trim_end_matches('=').contains('=');
        if !is_argument || self.arguments > before {
            return None;
        }
        self.arguments += 1;
        (self.arguments > before).then_some(word)
    }
}

/// The name of a program without its directory and ending, and without quotes and brackets before it.
pub(crate) fn bare(word: &str) -> &str {
    let word = word.trim_end_matches(['"', '\'', ',']);
    let ends = |b: &u8| {
        matches!(b, b'/' | b'"' | b'\'' | b'(' | b'[' | b'{' | b'`' | b',' | b';' | b'|' | b'&' | b'\\')
    };
    let start = word.as_bytes().iter().rposition(ends).map_or(0, |at| at + 1);
    let name = word.get(start..).unwrap_or(word);
    name.strip_suffix(".exe").or_else(|| name.strip_suffix(".py")).unwrap_or(name)
}

/// A port or a mapping of ports, as in `docker run -p`: `27017`, `127.0.0.1:3306:3306`, `53:53/udp`.
fn is_port(word: &str) -> bool {
    const PORT_DIGITS_MAX: usize = 5;
    let ports = word.strip_suffix("/udp").or_else(|| word.strip_suffix("/tcp")).unwrap_or(word);
    let last = ports.rsplit(':').next().unwrap_or_default();
    ports.contains(':')
        && (1..=PORT_DIGITS_MAX).contains(&last.len())
        && ports.bytes().all(|b| b.is_ascii_digit() || matches!(b, b'.' | b':' | b'-'))
}

/// Credentials in the options and arguments of well-known programs.
pub(crate) fn find_options(text: &str, rule: &'static str, found: &mut Vec<Finding>) {
    /// Words of a list in JSON stand in quotes.
    const BETWEEN: &str = "\",\"";
    let mut commands = Commands::default();
    let between = if has(text, BETWEEN) { BETWEEN } else { "" };
    for word in text.split_whitespace().flat_map(|word| split(word, between)) {
        let Some(value) = commands.password_in(word) else { continue };
        let from = value.as_ptr() as usize - text.as_ptr() as usize;
        let rest = text.get(from..).unwrap_or_default();
        let whole = || value.starts_with(['"', '\'']).then(|| value.len().max(shell_word_len(rest)));
        let len = quoted_rest(word, value, rest).or_else(whole);
        let len = len.unwrap_or_else(|| value.find(['"', '\'']).unwrap_or(value.len()));
        if len > 0 {
            found.push(Finding { range: from..from + len, rule });
        }
    }
}

/// Length of the word of a shell that begins with a quote and may go on behind it.
fn shell_word_len(text: &str) -> usize {
    let quote = text.chars().next().unwrap_or('"');
    let closed = 2 + quoted_len(text.get(1..).unwrap_or_default(), quote, 0);
    text.len().min(closed + joined_len(text.get(closed..).unwrap_or_default()))
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
