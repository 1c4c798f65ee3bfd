//! Scanners for secrets in URLs: userinfo (RFC 3986, section 3.2.1) and webhook paths. Query
//! parameters are pairs like others and found by `pairs`.

use crate::redact::{Finding, looks_random};
use crate::search::{has, places};

/// Bytes of a URL that are looked at: longer ones are no URLs to anybody (browsers stop at 2048), and
/// text that is nothing but `://` must not be read a thousand times.
const URL_BYTES_MAX: usize = 2048;

/// Ends a URL in running text.
fn ends_url(c: char) -> bool {
    c.is_whitespace() || matches!(c, '"' | '\'' | '`' | '<' | '>' | '|')
}

/// The password of `scheme://user:password@host`, and a random-looking user name, which is a token.
pub(crate) fn find_userinfo(text: &str, rule: &'static str, found: &mut Vec<Finding>) {
    // The second as in JSON inside of a text.
    for mark in ["://", ":\\/\\/"] {
        find_userinfo_after(text, mark, rule, found);
    }
}

fn find_userinfo_after(text: &str, mark: &str, rule: &'static str, found: &mut Vec<Finding>) {
    let mut done = 0;
    let mut next_at = 0;
    let mut url_end = 0;
    for at in places(text, mark) {
        let start = at + mark.len();
        if start < done {
            continue;
        }
        // Without an `@` there is no userinfo, and no need to look for the end of the URL.
        if next_at < start {
            let Some(found) = text.get(start..).and_then(|rest| rest.find('@')) else { return };
            next_at = start + found;
        }
        if next_at - start > URL_BYTES_MAX {
            continue;
        }
        // URLs that follow one another without a space end at the same place: looked for once.
        if url_end < start {
            let rest = text.get(start..).unwrap_or_default();
            url_end = start + rest.find(ends_url).unwrap_or(rest.len());
        }
        let end = url_end.min(text.floor_char_boundary(start + URL_BYTES_MAX));
        let Some(userinfo) = text.get(start..end).and_then(userinfo) else { continue };
        done = start + userinfo.len();
        let (user, password) = userinfo.split_once(':').unwrap_or((userinfo, ""));
        if !password.is_empty() {
            let from = start + user.len() + 1;
            found.push(Finding { range: from..from + password.len(), rule });
        }
        if looks_random(user) {
            found.push(Finding { range: start..start + user.len(), rule });
        }
    }
}

/// What stands before the `@` of the authority. A password may hold an unescaped `@`, `/` or `#`,
/// against the RFC, so that where there is a password, everything up to the last `@` before the query
/// belongs to it; what follows the colon is a port only if it is a number.
fn userinfo(url: &str) -> Option<&str> {
    let authority = url.get(..url.find(['/', '?', '#']).unwrap_or(url.len()))?;
    let (user, after) = authority.split_once(':').unwrap_or((authority, ""));
    // An address of IPv6, whose colons are its own.
    let is_port = authority.starts_with('[') || after.bytes().all(|b| b.is_ascii_digit());
    if user.contains('@') || is_port {
        return authority.get(..authority.rfind('@')?);
    }
    let query = url.match_indices('?').find(|&(at, _)| {
        let rest = url.get(at..).unwrap_or_default();
        rest.find('=').is_some_and(|equals| rest.find('@').is_none_or(|at| equals < at))
    });
    let before_query = query.map_or(url, |(at, _)| url.get(..at).unwrap_or(url));
    before_query.get(..before_query.rfind('@')?)
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
