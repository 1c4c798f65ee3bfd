//! Which names tell that the value beside them is a secret. Looks at names only, never at values.

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
static ALWAYS: &[&str] = &[
    "accesskey",
    "accountkey",
    "apikey",
    "apitoken",
    "appkey",
    "authkey",
    "authorization",
    "authtoken",
    "bearer",
    "clientkey",
    "clientkeydata",
    "connectionstring",
    "connstr",
    "contrasena",
    "cookie",
    "credential",
    "credentials",
    "cryptkey",
    "decryptionkey",
    "deploykey",
    "encryptionkey",
    "hmackey",
    "jwt",
    "kennwort",
    "licensekey",
    "masterkey",
    "mdp",
    "motdepasse",
    "oauthtoken",
    "passcode",
    "passkey",
    "passphrase",
    "passphrases",
    "passwd",
    "password",
    "passwordhash",
    "passwords",
    "passwort",
    "personalaccesstoken",
    "privatekey",
    "privkey",
    "proxyauthorization",
    "pwd",
    "refreshtoken",
    "requirepass",
    "sasl",
    "secret",
    "secretkey",
    "secretkeybase",
    "secrets",
    "secretvalue",
    "securitytoken",
    "senha",
    "servicekey",
    "sessionkey",
    "sessiontoken",
    "sharedaccesskey",
    "sharedkey",
    "signingkey",
    "sshkey",
    "sshpass",
    "storagekey",
    "token",
    "tokensecret",
    "userpass",
    "userpassword",
    "webhooksecret",
    "wachtwoord",
];

/// Endings of folded names whose value is a secret when it looks random.
static WHEN_RANDOM: &[&str] = &[
    "auth",
    "cred",
    "creds",
    "hmac",
    "jsessionid",
    "key",
    "keys",
    "nonce",
    "otp",
    "salt",
    "seed",
    "sessid",
    "sid",
    "sig",
    "signature",
    "tokens",
    "totp",
    "webhook",
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
];

/// Short words that tell only as a word of their own: `db_pass` does, `bypass` does not.
static WORDS: &[&str] = &["pass", "pw", "psw", "pswd", "passw", "pin", "psk", "pat", "apitok"];

/// Last two letters of all entries above, one bit for each pair: most words end otherwise, and cost
/// no more than this look.
static LAST_LETTERS: [u32; LETTERS] = {
    let mut pairs = [0; LETTERS];
    note_last_letters(&mut pairs, ALWAYS);
    note_last_letters(&mut pairs, WHEN_RANDOM);
    note_last_letters(&mut pairs, WORDS);
    pairs
};
const LETTERS: usize = 26;

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

fn may_tell(name: &str) -> bool {
    if name.chars().next_back().is_some_and(is_full_width) {
        return true;
    }
    let mut letters = name.bytes().rev().filter(|b| !matches!(b, b'-' | b'_' | b'.' | b' '));
    let mut letter = || letters.next()?.to_ascii_lowercase().checked_sub(b'a').filter(|&at| at < 26);
    let (Some(last), Some(before)) = (letter(), letter()) else { return false };
    LAST_LETTERS.get(usize::from(last)).is_some_and(|pairs| pairs >> before & 1 == 1)
}

/// How much `name` tells about its value. Case, `-`, `_`, `.` and a number at the end do not count.
pub(crate) fn telling(name: &str) -> Telling {
    let name = name.trim_matches(|c: char| !c.is_alphanumeric());
    let unnumbered = name.trim_end_matches(|c: char| c.is_ascii_digit() || matches!(c, '-' | '_' | '.'));
    if !may_tell(unnumbered) {
        return Telling::Not;
    }
    let folded = fold(unnumbered);
    let ends_in = |list: &[&str]| list.iter().any(|end| folded.ends_with(end));
    let is_word = || WORDS.iter().any(|word| last_word(unnumbered).eq_ignore_ascii_case(word));
    if ends_in(PUBLIC) {
        Telling::Not
    } else if ends_in(ALWAYS) || is_word() {
        Telling::Always
    } else if ends_in(WHEN_RANDOM) {
        Telling::WhenRandom
    } else {
        Telling::Not
    }
}

/// A name in the form that names are compared in: lower case, without `-`, `_`, `.` and spaces.
pub(crate) fn fold(name: &str) -> String {
    let tail = name.get(name.ceil_char_boundary(name.len().saturating_sub(FOLDED_BYTES_MAX))..);
    let chars = tail.unwrap_or_default().chars();
    let chars = chars.map(|c| if is_full_width(c) { narrow(c) } else { c });
    chars.filter(|c| !matches!(c, '-' | '_' | '.' | ' ')).map(|c| c.to_ascii_lowercase()).collect()
}

/// The ASCII characters in the width of ideographs.
fn is_full_width(c: char) -> bool {
    matches!(c, '\u{FF01}'..='\u{FF5E}')
}

fn narrow(c: char) -> char {
    const DISTANCE: u32 = 0xFF01 - 0x21;
    char::from_u32(u32::from(c).saturating_sub(DISTANCE)).unwrap_or(c)
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
