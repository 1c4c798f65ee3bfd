//! Scanner for passwords that a program hands over by their place: `mysqli_connect(host, user, '…')`,
//! `auth=(user, "…")`. What has a name beside it is the business of `pairs`.

use crate::redact::Finding;
use crate::search::places;
use crate::values::{is_harmless, quoted_len};

/// Ends of what stands before the bracket, and the argument that is the password, from 1.
static CALLS: [(&str, usize); 15] = [
    ("mysqli_connect", 3),
    ("sql.connect", 3),
    ("PDO", 3),
    ("getConnection", 3),
    ("create_superuser", 3),
    ("create_user", 3),
    ("NetworkCredential", 2),
    ("BasicAuth", 2),
    (".login", 2),
    ("auth=", 2),
    ("jwt.sign", 2),
    ("jwt.encode", 2),
    ("createHmac", 2),
    ("set_password", 1),
    ("hashpw", 1),
];

/// Bytes of the arguments that are looked at: a text of nothing but calls must not be read once for each.
const ARGUMENTS_BYTES_MAX: usize = 160;

/// Literals in the place of a password.
pub(crate) fn find_arguments(text: &str, rule: &'static str, found: &mut Vec<Finding>) {
    for at in places(text, "(") {
        let head = text.get(..at).unwrap_or_default();
        let Some((_, nth)) = CALLS.iter().find(|(name, _)| head.ends_with(name)) else { continue };
        let end = text.floor_char_boundary(at + 1 + ARGUMENTS_BYTES_MAX);
        let arguments = text.get(at + 1..end).unwrap_or_default();
        let Some((from, said)) = literal(arguments, *nth) else { continue };
        if !said.is_empty() && !is_harmless(said) {
            let start = at + 1 + from;
            found.push(Finding { range: start..start + said.len(), rule });
        }
    }
}

/// The text in quotes that is the argument of that number, and where it begins.
fn literal(arguments: &str, nth: usize) -> Option<(usize, &str)> {
    let (mut number, mut at) = (1, 0);
    loop {
        let rest = arguments.get(at..)?;
        match rest.chars().next()? {
            quote @ ('"' | '\'') => {
                let said = rest.get(1..)?;
                let len = quoted_len(said, quote, 0);
                if number == nth {
                    return Some((at + 1, said.get(..len)?));
                }
                at += len + 2;
            }
            ')' => return None,
            c => {
                number += usize::from(c == ',');
                at += c.len_utf8();
            }
        }
    }
}
