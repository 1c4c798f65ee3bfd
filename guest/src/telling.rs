//! Which names tell that the value beside them is a secret. Looks at names only, never at values.

use crate::search::any_piece;

/// How much the name of a key tells.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Telling {
    /// Nothing.
    Not,
    /// The value is a secret if it looks random: `key`, `auth`, `signature`.
    WhenRandom,
    /// The value is a secret, whatever it looks like: `password`, `api_key`.
    Always,
}

/// Bytes of a folded name that are looked at, from its end; names are told by their ends.
const FOLDED_BYTES_MAX: usize = 128;

/// Endings of folded names whose value is always a secret.
#[rustfmt::skip]
static ALWAYS: &[&str] = &[
    "accesskey", "accountkey", "adgangskode", "adminpass", "adminpw", "apikey", "appkey", "authkey", "authorization",
    "backupcode", "backupcodes", "basicauth", "bearer", "bindpw", "bwsession", "clientkey", "clientkeydata",
    "connectionstring", "connstr", "contrasena", "cookie", "cookies", "credential", "credentials", "cryptkey",
    "dbpass", "dbpw", "decryptionkey", "depasse", "deploykey", "dockerconfigjson", "emailpass", "encryptionkey", "ftppass", "geslo", "haslo",
    "heslo", "hmackey", "jelszo", "jwt", "kennwort", "keypass", "ldappass", "licensekey", "losenord", "lozinka", "mailpass",
    "masterauth", "masterkey", "mdp", "mnemonic", "neo4jauth", "parola", "parool", "passcode", "passkey",
    "passord", "passphrase", "passphrases", "passwd", "password", "passwordhash", "passwords", "passwort", "pgpass",
    "privatekey", "privkey", "pwd", "recoverycode", "recoverycodes", "recoveryphrase", "redisauth", "requirepass",
    "rootpass", "rootpw", "salasana", "sasl", "secret", "secretid", "secretkey", "secretkeybase",
    "secretphrase", "secrets", "secretvalue", "seedphrase", "seedwords", "sandi", "senha", "serverkey", "servicekey", "sessionkey",
    "sharedkey", "sifre", "signingkey", "slaptazodis", "smtppass", "sonarlogin", "sshkey", "sshpass", "storagekey", "storepass", "token",
    "userpass", "userpw", "vpnpass", "wachtwoord", "wifipass",
];

/// Endings of folded names whose value is a secret when it looks random.
#[rustfmt::skip]
static WHEN_RANDOM: &[&str] = &[
    "assertion", "auth", "codeverifier", "cred", "creds", "csrf", "hmac", "jsessionid", "key", "keys", "nonce", "otp", "salt", "seed",
    "samlresponse", "sessid", "sid", "sig", "signature", "tokens", "totp", "webhook", "xsrf",
];

/// Endings that say the contrary of what their last word says.
static PUBLIC: &[&str] = &[
    "publickey",
    "pubkey",
    "primarykey",
    "foreignkey",
    "cachekey",
    "idempotencykey",
    "partitionkey",
    "sortkey",
    "routingkey",
    "nexttoken",
    "pagetoken",
    "pullsecret",
    "pullsecrets",
    "existingsecret",
    "allowcredentials",
    "loadcredential",
    "startingtoken",
    "gpgkey",
    "recvkeys",
    "signkey",
    "usersigningkey",
];

/// Short words that tell only as a word of their own: `db_pass` does, `bypass` does not.
static WORDS: &[&str] =
    &["pass", "pw", "psw", "pswd", "passw", "pin", "psk", "pat", "apitok", "otp", "totp", "cvv", "cvc"];

/// Last words that say of what kind or age a secret is: `password_old` is a password.
#[rustfmt::skip]
static NEUTRAL: &[&str] = &[
    "admin", "again", "backup", "base", "ci", "confirm", "confirmation", "current", "default", "dev", "encoded", "env", "field", "input", "live", "local", "new", "old",
    "plain", "plaintext", "prev", "previous", "primary", "prod", "production", "raw", "repeat", "root", "secondary", "stage",
    "staging", "str", "string", "test", "text", "val", "value",
];

/// Names of passwords in languages whose letters are beyond ASCII: endings, in the cases they come in.
#[rustfmt::skip]
static BEYOND_ASCII: &[&str] = &[
    "contraseña", "CONTRASEÑA", "hasło", "HASŁO", "пароль", "Пароль", "ПАРОЛЬ", "密码", "密碼", "口令", "パスワード", "비밀번호",
    "암호", "şifre", "mật khẩu", "סיסמה", "סיסמא", "lösenord", "Lösenord", "jelszó", "Jelszó", "парола", "Парола",
    "κωδικός", "Κωδικός", "المرور", "पासवर्ड", "รหัสผ่าน",
];

/// Pieces of folded names: beside them stands a secret if it looks random.
static PIECES: &[&str] = &[
    "password",
    "passwd",
    "secret",
    "token",
    "credential",
    "apikey",
    "privatekey",
    "accesskey",
    "opsession",
];

/// Issuers whose keys have no form of their own; pieces of folded names as well.
#[rustfmt::skip]
static ISSUERS: &[&str] = &[
    "adafruit", "adobe", "airtable", "algolia", "alibaba", "aliyun", "anthropic", "asana", "auth0", "beamer", "binance",
    "bitfinex", "bittrex", "cloudflare", "cloudinary", "codecov", "cohere", "coinbase", "confluent", "contentful",
    "datadog", "deepgram", "discord", "droneci", "dropbox", "etsy", "facebook", "fastly", "finicity", "finnhub",
    "flickr", "freshbooks", "gitter", "gocardless", "heroku", "hubspot", "intercom", "jfrog", "kraken", "kucoin",
    "launchdarkly", "linkedin", "mailchimp", "mailgun", "mapbox", "mattermost", "meraki", "messagebird", "mistral",
    "netlify", "newrelic", "nytimes", "okta", "openai", "opsgenie", "pagerduty", "plaid", "postmark", "privateai",
    "rapidapi", "rollbar", "sendbird", "sendgrid", "sentry", "shodan", "snyk", "sonar", "splunk", "squarespace",
    "sumologic", "telegram", "travis", "trello", "twilio", "twitch", "twitter", "vonage", "wandb", "yandex", "zendesk",
];

/// Endings of folded names that speak of something else than the secret: where it is, what it is called,
/// which version of a program was built.
static ABOUT: &str = "\
    arn|branch|build|channel|commit|deployment|digest|endpoint|file|hash|host|id|image|model|\
    name|path|project|range|ref|region|release|rev|revision|sha|slug|tag|uri|url|version|zone";

/// Beginnings, after `--`, of options that say what to do with a secret, and take none.
static SWITCHES: [&str; 5] = ["ask-", "disabled-", "no-", "skip-", "verify-"];

/// Last two letters of the lists of endings above, one bit for each pair: most words end otherwise, and
/// cost no more than this look.
static LAST_LETTERS: [u32; LETTERS] = {
    let mut pairs = [0; LETTERS];
    note_last_letters(&mut pairs, ALWAYS);
    note_last_letters(&mut pairs, WHEN_RANDOM);
    note_last_letters(&mut pairs, WORDS);
    note_last_letters(&mut pairs, NEUTRAL);
    pairs
};
/// Those of [`NEUTRAL`] alone.
static NEUTRAL_LETTERS: [u32; LETTERS] = {
    let mut pairs = [0; LETTERS];
    note_last_letters(&mut pairs, NEUTRAL);
    pairs
};
const LETTERS: usize = 26;

/// First two letters of [`PIECES`] and [`ISSUERS`], in the same way.
static FIRST_LETTERS: [u32; LETTERS] = {
    let mut pairs = [0; LETTERS];
    note_first_letters(&mut pairs, PIECES);
    note_first_letters(&mut pairs, ISSUERS);
    pairs
};

#[allow(clippy::indexing_slicing, reason = "evaluated when compiling")]
const fn note_first_letters(pairs: &mut [u32; LETTERS], names: &[&str]) {
    let mut at = 0;
    while at < names.len() {
        let name = names[at].as_bytes();
        pairs[(name[0] - b'a') as usize] |= 1 << (name[1] - b'a');
        at += 1;
    }
}

/// Where two small letters stand in such a table.
fn bit_of(pair: &[u8]) -> Option<(usize, u32)> {
    let &[first, second] = pair else { return None };
    let is_letter = first.is_ascii_lowercase() && second.is_ascii_lowercase();
    is_letter.then(|| (usize::from(first - b'a'), 1 << (second - b'a')))
}

#[allow(clippy::indexing_slicing, reason = "evaluated when compiling")]
const fn note_last_letters(pairs: &mut [u32; LETTERS], names: &[&str]) {
    let mut at = 0;
    while at < names.len() {
        let name = names[at].as_bytes();
        let (last, before) = (name[name.len() - 1] - b'a', name[name.len() - 2] - b'a');
        pairs[last as usize] |= 1 << before;
        at += 1;
    }
}

/// Whether the last two letters of `name` are one of `pairs`.
fn ends_like(name: &str, pairs: &[u32; LETTERS]) -> bool {
    let mut letters = name.bytes().rev().skip_while(|b| !b.is_ascii_alphabetic());
    let (Some(last), Some(before)) = (letters.next(), letters.find(|&b| !is_separator(char::from(b)))) else {
        return false;
    };
    let place = |letter: u8| usize::from(letter.to_ascii_lowercase().wrapping_sub(b'a'));
    pairs.get(place(last)).is_some_and(|pairs| place(before) < LETTERS && pairs >> place(before) & 1 == 1)
}

fn is_separator(c: char) -> bool {
    matches!(c, '-' | '_' | '.' | ' ')
}

/// How much `name` tells. Case, `-`, `_`, `.`, a number at the end and words of [`NEUTRAL`] do not count.
pub(crate) fn telling(name: &str) -> Telling {
    if name.is_ascii() && !ends_like(name, &LAST_LETTERS) {
        return Telling::Not;
    }
    let option = name.strip_prefix("--");
    if option.is_some_and(|option| SWITCHES.iter().any(|switch| option.starts_with(switch))) {
        return Telling::Not;
    }
    let name = unnumbered(name.trim_matches(|c: char| !c.is_alphanumeric()));
    if !name.is_ascii() && ends_in(name.as_bytes(), BEYOND_ASCII) {
        return Telling::Always;
    }
    if !ends_like(name, &LAST_LETTERS) {
        return Telling::Not;
    }
    let name = if ends_like(name, &NEUTRAL_LETTERS) { without_neutral(name) } else { name };
    let folded = Folded::of(name);
    let folded = folded.bytes();
    if ends_in(folded, PUBLIC) {
        Telling::Not
    } else if name.ends_with("sessionid") {
        // The cookie of a web framework; a `session_id` is an id like others.
        Telling::WhenRandom
    } else if ends_in(folded, ALWAYS) || is_one_of(last_word(name), WORDS) {
        Telling::Always
    } else if ends_in(folded, WHEN_RANDOM) {
        Telling::WhenRandom
    } else {
        Telling::Not
    }
}

/// Whether a name that tells nothing by its end lets one think of a secret.
pub(crate) fn hints(name: &str) -> bool {
    let folded = Folded::of(name);
    let folded = folded.bytes();
    let has_piece = folded.windows(2).enumerate().any(|(at, pair)| {
        let may_begin = || {
            bit_of(pair).is_some_and(|(row, bit)| FIRST_LETTERS.get(row).is_some_and(|bits| bits & bit != 0))
        };
        let begins = |list: &[&str]| {
            folded.get(at..).is_some_and(|rest| list.iter().any(|piece| rest.starts_with(piece.as_bytes())))
        };
        may_begin() && (begins(PIECES) || begins(ISSUERS))
    });
    has_piece && !ends_in(folded, PUBLIC) && !any_piece(ABOUT, folded, <[u8]>::ends_with)
}

/// Whether `name` speaks of whoever logs in: its value may be `user:password`.
pub(crate) fn is_auth(name: &str) -> bool {
    let name = unnumbered(name);
    let may_be = matches!(name.as_bytes().last(), Some(b'h' | b'H' | b'd' | b'D' | b's' | b'S'));
    may_be && is_one_of(last_word(name), &["auth", "cred", "creds"])
}

#[inline(never)]
fn ends_in(folded: &[u8], ends: &[&str]) -> bool {
    // Short names are those of which a text can hold most. Otherwise most differ in the last letter, which is sooner
    // compared than the whole.
    let last = folded.last();
    let may_be = |end: &[u8]| end.len() <= folded.len() && end.last() == last;
    ends.iter().map(|end| end.as_bytes()).any(|end| may_be(end) && folded.ends_with(end))
}

#[inline(never)]
fn is_one_of(word: &str, words: &[&str]) -> bool {
    words.iter().any(|known| word.eq_ignore_ascii_case(known))
}

fn unnumbered(name: &str) -> &str {
    name.trim_end_matches(|c: char| c.is_ascii_digit() || is_separator(c))
}

fn without_neutral(mut name: &str) -> &str {
    /// `DB_PASSWORD_PROD_OLD_VALUE` has three.
    const WORDS_MAX: usize = 3;
    for _ in 0..WORDS_MAX {
        let last = last_word(name);
        let rest = unnumbered(name.strip_suffix(last).unwrap_or_default());
        if rest.is_empty() || !is_one_of(last, NEUTRAL) {
            break;
        }
        name = rest;
    }
    name
}

/// A name in the form that names are compared in: the last bytes of it, in lower case, without `-`, `_`,
/// `.` and spaces. On the stack, since a text may be nothing but names.
pub(crate) struct Folded {
    bytes: [u8; FOLDED_BYTES_MAX],
    len: usize,
}

impl Folded {
    pub(crate) fn of(name: &str) -> Self {
        let mut folded = Folded { bytes: [0; FOLDED_BYTES_MAX], len: 0 };
        let from = name.len().saturating_sub(FOLDED_BYTES_MAX);
        let tail = name.as_bytes().get(from..).unwrap_or_default();
        for (byte, place) in tail.iter().filter(|&&b| !is_separator(char::from(b))).zip(&mut folded.bytes) {
            *place = byte.to_ascii_lowercase();
            folded.len += 1;
        }
        folded
    }

    pub(crate) fn bytes(&self) -> &[u8] {
        self.bytes.get(..self.len).unwrap_or_default()
    }
}

/// The last word of a name: after the last separator, or from the last capital after a small letter.
fn last_word(name: &str) -> &str {
    let start = name
        .rfind(|c: char| !c.is_alphanumeric())
        .map_or(0, |at| at + name.get(at..).and_then(|rest| rest.chars().next()).map_or(0, char::len_utf8));
    let word = name.get(start..).unwrap_or(name);
    let bytes = word.as_bytes();
    let hump = bytes.windows(2).rposition(
        |pair| matches!(pair, [small, capital] if small.is_ascii_lowercase() && capital.is_ascii_uppercase()),
    );
    hump.and_then(|at| word.get(at + 1..)).unwrap_or(word)
}
