//! Scanners for secrets in URLs: userinfo (RFC 3986, section 3.2.1) and webhook paths. Query
//! parameters are pairs like others and found by `pairs`.

use crate::redact::{Finding, looks_random};
use crate::search::{has, places};
use crate::values::is_reference;

/// Bytes of a path or of credentials without a scheme that are looked at: text that is nothing but their
/// mark must not be read a thousand times.
const URL_BYTES_MAX: usize = 2048;

/// Ends a URL in running text.
fn ends_url(c: char) -> bool {
    c.is_whitespace() || matches!(c, '"' | '\'' | '`' | '<' | '>' | '|')
}

/// The password of `scheme://user:password@host`, and a random-looking user name, which is a token.
pub(crate) fn find_userinfo(text: &str, rule: &'static str, found: &mut Vec<Finding>) {
    // The second as in JSON inside of a text.
    for mark in ["://", ":\\/\\/"] {
        let mut next = NextAt::default();
        let mut done = 0;
        for start in places(text, mark).map(|at| at + mark.len()) {
            if start < done {
                continue;
            }
            // Without an `@` there is no userinfo.
            if next.at < start && !next.look(text, start) {
                break;
            }
            let Some(userinfo) = next.userinfo(text, start) else { continue };
            done = start + userinfo.len();
            let (user, password) = userinfo.split_once(':').unwrap_or((userinfo, ""));
            if !password.is_empty() && !is_reference(password) {
                let from = start + user.len() + 1;
                found.push(Finding { range: from..from + password.len(), rule });
            }
            if looks_random(user) {
                found.push(Finding { range: start..start + user.len(), rule });
            }
        }
    }
}

/// The next `@`, and what stands before it. Looked for once for all URLs that begin before it, however
/// many and however long: a text of nothing but `://` is read once, and a password may have any length.
#[derive(Default)]
struct NextAt {
    at: usize,
    /// The last question mark before it with a `=` behind, which makes it part of a query.
    query: Option<usize>,
    /// Where the text ends that holds no end of a URL: the place of the last one before the `@`.
    url_ended: Option<usize>,
}

impl NextAt {
    /// Whether there is one at `from` or later.
    fn look(&mut self, text: &str, from: usize) -> bool {
        let Some(rest) = text.get(from..) else { return false };
        let Some(len) = rest.find('@') else { return false };
        let before = rest.get(..len).unwrap_or_default();
        self.at = from + len;
        self.url_ended = before.rfind(ends_url).map(|at| from + at);
        let assigned = before.rfind('=').and_then(|at| before.get(..at));
        self.query = assigned.and_then(|before| before.rfind('?')).map(|at| from + at);
        true
    }

    /// What stands before the `@` of the authority that begins at `start`. A password may hold an
    /// unescaped `@`, `/` or `#`, against the RFC, so that where there is a password, everything up to
    /// the last `@` before the query belongs to it; what follows the colon is a port only if it is a number.
    fn userinfo<'t>(&self, text: &'t str, start: usize) -> Option<&'t str> {
        if self.url_ended.is_some_and(|end| end >= start) {
            return None;
        }
        let before = text.get(start..self.at)?;
        let authority = before.get(..before.find(['/', '?', '#']).unwrap_or(before.len()))?;
        let after = authority.split_once(':').map_or("", |(_, after)| after);
        let is_port = authority.starts_with('[') || after.bytes().all(|b| b.is_ascii_digit());
        if authority.len() == before.len() && is_port {
            // Nothing but a user name or a number before the sign: the authority ends where it seems to.
            let whole = text.get(start..)?;
            let end = whole.find(|c: char| ends_url(c) || matches!(c, '/' | '?' | '#'));
            return whole.get(..end.unwrap_or(whole.len())).and_then(|all| all.get(..all.rfind('@')?));
        }
        if is_port || self.query.is_some_and(|query| query >= start) {
            return None;
        }
        let mut end = self.at;
        while let Some(next) = following_at(text, end) {
            end = next;
        }
        text.get(start..end)
    }
}

/// The `@` after the one at `at`, if neither a query nor the end of the URL comes first.
fn following_at(text: &str, at: usize) -> Option<usize> {
    let rest = text.get(at + 1..)?;
    let len = rest
        .find(|c: char| c == '@' || ends_url(c))
        .filter(|&len| rest.as_bytes().get(len) == Some(&b'@'))?;
    let between = rest.get(..len)?;
    let is_query =
        between.find('?').is_some_and(|at| between.get(at..).is_some_and(|rest| rest.contains('=')));
    (!is_query).then_some(at + 1 + len)
}

/// The password of `user:password@tcp(host)/db`, as drivers of Go write it, and of a proxy without a scheme.
pub(crate) fn find_dsn(text: &str, rule: &'static str, found: &mut Vec<Finding>) {
    for mark in ["@tcp(", "@unix("] {
        for at in places(text, mark) {
            let before =
                text.get(text.floor_char_boundary(at.saturating_sub(URL_BYTES_MAX))..at).unwrap_or_default();
            let start = before.rfind(ends_url).map_or(0, |at| at + 1);
            let credentials = before.get(start..).unwrap_or_default();
            if let Some((_, password)) =
                credentials.split_once(':').filter(|(_, password)| !password.is_empty())
            {
                found.push(Finding { range: at - password.len()..at, rule });
            }
        }
    }
}

/// Paths that are the password: whoever knows the URL may post.
pub(crate) fn find_webhooks(text: &str, rule: &'static str, found: &mut Vec<Finding>) {
    static PATHS: [&str; 8] = [
        "hooks.slack.com/services/",
        "hooks.slack.com/workflows/",
        "hooks.slack.com/triggers/",
        "discord.com/api/webhooks/",
        "discordapp.com/api/webhooks/",
        ".webhook.office.com/webhookb2/",
        "chat.googleapis.com/v1/spaces/",
        "hooks.zapier.com/hooks/catch/",
    ];
    // All but one speak of hooks.
    if !["hook", "chat.googleapis"].iter().any(|word| has(text, word)) {
        return;
    }
    for path in PATHS {
        let mut done = 0;
        for at in places(text, path) {
            let start = at + path.len();
            if start < done {
                continue;
            }
            let rest = text.get(start..text.floor_char_boundary(start + URL_BYTES_MAX)).unwrap_or_default();
            let len = rest.find(ends_url).unwrap_or(rest.len());
            done = start + len;
            found.push(Finding { range: start..done, rule });
        }
    }
}
