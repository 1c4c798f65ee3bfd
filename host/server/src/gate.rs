//! Which names clients may call this server by, and which web pages may call it: `Host` and `Origin`.
//!
//! A page of another origin must not reach us through somebody's browser: DNS rebinding gives itself away by the
//! Host, any other page by its Origin. Pages that may call are told so as browsers want it (CORS, Fetch
//! standard). Who calls, and what, is `http`'s business.

use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use axum::extract::{Request, State};
use axum::http::uri::Authority;
use axum::http::{HeaderMap, HeaderName, HeaderValue, Method, StatusCode, Uri, header};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};
use tower_http::cors::{AllowOrigin, CorsLayer};

use crate::listen::HEAD_BYTES_MAX;

/// How long a browser may remember that a page may call.
const PREFLIGHT_S: u64 = 3_600;

/// Headers of MCP over HTTP that a page may send (both revisions), beside those that every client sends.
const MCP_HEADERS: [&str; 5] =
    ["mcp-session-id", "mcp-protocol-version", "mcp-method", "mcp-name", "last-event-id"];

/// Headers of an answer that a page may read.
const EXPOSED_HEADERS: [&str; 4] =
    ["mcp-session-id", "mcp-protocol-version", "www-authenticate", "retry-after"];

/// A name by which the server is called, or an origin of pages, that is no such thing.
#[derive(Debug, thiserror::Error)]
#[error("{told}")]
pub(crate) struct Misnamed {
    told: String,
}

/// Host and port, in lower case and without brackets.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Host {
    name: String,
    port: Option<u16>,
}

/// Scheme, host and port of a page (RFC 6454, 4).
#[derive(Clone, Debug, PartialEq, Eq)]
struct Origin {
    scheme: String,
    host: Host,
}

/// Whom the gate lets through.
#[derive(Debug)]
pub(crate) struct Gate {
    hosts: Vec<Host>,
    origins: Vec<Origin>,
}

impl Gate {
    /// The server's own names and pages, and those that were given.
    pub(crate) fn new(bound: SocketAddr, hosts: &[String], origins: &[String]) -> Result<Self, Misnamed> {
        let own = ["localhost".to_owned(), "127.0.0.1".to_owned(), "::1".to_owned()];
        let ip = Some(bound.ip()).filter(|ip| !ip.is_unspecified()).map(|ip: IpAddr| ip.to_string());
        let unbound = |name: &String| Host { name: name.clone(), port: None };
        let mut known: Vec<Host> = own.iter().chain(&ip).map(unbound).collect();
        let mut pages: Vec<Origin> = own
            .iter()
            .map(|name| Host { name: name.clone(), port: Some(bound.port()) })
            .map(|host| Origin { scheme: "http".to_owned(), host })
            .collect();
        for given in hosts {
            known.push(host(given).ok_or_else(|| Misnamed {
                told: format!(
                    "--allow-host: `{given}` is no host: it is a name or an address, with a port or without"
                ),
            })?);
        }
        for given in origins {
            pages.push(origin(given).ok_or_else(|| Misnamed {
                told: format!(
                    "--allow-origin: `{given}` is no origin: it is a scheme and a host, such as https://admin.example"
                ),
            })?);
        }
        Ok(Self { hosts: known, origins: pages })
    }

    fn knows_host(&self, called: &Host) -> bool {
        let fits = |known: &Host| {
            known.name == called.name && known.port.is_none_or(|port| called.port == Some(port))
        };
        self.hosts.iter().any(fits)
    }

    fn knows_origin(&self, page: &HeaderValue) -> bool {
        page.to_str().ok().and_then(origin).is_some_and(|page| self.origins.contains(&page))
    }

    /// Why a request is not let through.
    fn refusal(&self, uri: &Uri, headers: &HeaderMap) -> Option<(StatusCode, &'static str)> {
        let fields = headers.iter().map(|(name, value)| name.as_str().len() + value.len());
        if uri.path().len() + fields.sum::<usize>() > HEAD_BYTES_MAX {
            let told = "the head of the request is too large; at most 32 KiB are taken";
            return Some((StatusCode::REQUEST_HEADER_FIELDS_TOO_LARGE, told));
        }
        let mut named = headers.get_all(header::HOST).iter();
        let called = match (named.next(), named.next(), uri.authority()) {
            (_, Some(_), _) => None,
            // A request that names its host in the first line means that one (RFC 9112, 3.2.2).
            (_, None, Some(authority)) => host(authority.as_str()),
            (Some(named), None, None) => named.to_str().ok().and_then(host),
            (None, None, None) => None,
        };
        let Some(called) = called else {
            return Some((
                StatusCode::BAD_REQUEST,
                "a request must have one header `Host`, and a name in it",
            ));
        };
        if !self.knows_host(&called) {
            return Some((
                StatusCode::FORBIDDEN,
                "nobody calls this server by the name in `Host`; `shelltrack serve --allow-host NAME` lets clients do so",
            ));
        }
        let mut pages = headers.get_all(header::ORIGIN).iter();
        if pages.any(|page| !self.knows_origin(page)) {
            return Some((
                StatusCode::FORBIDDEN,
                "web pages of this `Origin` may not call; `shelltrack serve --allow-origin ORIGIN` lets them do so",
            ));
        }
        None
    }

    /// What browsers are told.
    pub(crate) fn cors(self: &Arc<Self>) -> CorsLayer {
        let gate = Arc::clone(self);
        let sent = [header::CONTENT_TYPE, header::ACCEPT, header::AUTHORIZATION];
        CorsLayer::new()
            .allow_origin(AllowOrigin::predicate(move |page, _| gate.knows_origin(page)))
            .allow_methods([Method::GET, Method::POST])
            .allow_headers(
                sent.into_iter().chain(MCP_HEADERS.map(HeaderName::from_static)).collect::<Vec<_>>(),
            )
            .expose_headers(EXPOSED_HEADERS.map(HeaderName::from_static))
            .max_age(Duration::from_secs(PREFLIGHT_S))
    }
}

/// Lets through who may.
pub(crate) async fn pass(State(gate): State<Arc<Gate>>, request: Request, next: Next) -> Response {
    match gate.refusal(request.uri(), request.headers()) {
        Some(refusal) => refusal.into_response(),
        None => next.run(request).await,
    }
}

/// `example`, `example:80`, `127.0.0.1:80`, `[::1]:80` (RFC 3986, 3.2), and `::1`, as people type it.
fn host(text: &str) -> Option<Host> {
    if let Ok(ip) = text.parse::<IpAddr>() {
        return Some(Host { name: ip.to_string(), port: None });
    }
    let authority: Authority = text.parse().ok()?;
    let name = authority.host().trim_start_matches('[').trim_end_matches(']').to_ascii_lowercase();
    let name = name.strip_suffix('.').unwrap_or(&name).to_owned();
    let port = match authority.port() {
        Some(port) => Some(port.as_u16()),
        // A port that is none, such as `:99999`, must not become any port.
        None if authority.as_str().ends_with(authority.host()) => None,
        None => return None,
    };
    (!name.is_empty() && !authority.as_str().contains('@')).then_some(Host { name, port })
}

/// `https://example`, with the port that belongs to the scheme unless it names one.
fn origin(text: &str) -> Option<Origin> {
    let (scheme, authority) = text.split_once("://")?;
    let scheme = scheme.to_ascii_lowercase();
    let host = host(authority.strip_suffix('/').unwrap_or(authority))?;
    let usual = match scheme.as_str() {
        "http" => 80,
        "https" => 443,
        _ => return None,
    };
    Some(Origin { scheme, host: Host { port: Some(host.port.unwrap_or(usual)), ..host } })
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "a failed unwrap is a failed test")]
mod tests {
    use super::*;

    fn gate() -> Gate {
        let (hosts, origins) = (["Sessions.example".to_owned()], ["https://Admin.example".to_owned()]);
        Gate::new("127.0.0.1:8678".parse().unwrap(), &hosts, &origins).unwrap()
    }

    #[track_caller]
    fn check(headers: &[(&'static str, &'static str)], status: Option<u16>) {
        let mut all = HeaderMap::new();
        for (name, value) in headers {
            all.append(HeaderName::from_static(name), HeaderValue::from_static(value));
        }
        let refused = gate().refusal(&Uri::from_static("/mcp"), &all);
        assert_eq!(refused.map(|(status, _)| status.as_u16()), status, "{all:?}");
    }

    #[test]
    fn a_server_is_called_by_its_own_names_in_any_spelling() {
        for name in [
            "localhost",
            "LOCALHOST:1",
            "127.0.0.1:8678",
            "[::1]:8678",
            "[::1]",
            "sessions.EXAMPLE:443",
            "sessions.example.",
            "localhost.",
        ] {
            check(&[("host", name)], None);
        }
        for name in ["evil.example", "localhost.evil.example", "evil.example:8678", "127.0.0.2", "0.0.0.0"] {
            check(&[("host", name)], Some(403));
        }
        for name in ["", "localhost:99999", "localhost:x", "a@localhost", "local host", ":80"] {
            check(&[("host", name)], Some(400));
        }
        check(&[], Some(400));
        check(&[("host", "localhost"), ("host", "evil.example")], Some(400));
        let elsewhere = Uri::from_static("http://evil.example/mcp");
        let mut own = HeaderMap::new();
        own.append(header::HOST, HeaderValue::from_static("localhost"));
        assert!(gate().refusal(&elsewhere, &own).is_some(), "the first line counts");
    }

    #[test]
    fn a_head_is_no_larger_than_it_may_be() {
        let mut headers = HeaderMap::new();
        headers.append(header::HOST, HeaderValue::from_static("localhost"));
        headers.append("x-long", "x".repeat(HEAD_BYTES_MAX / 2).parse().unwrap());
        assert_eq!(gate().refusal(&Uri::from_static("/mcp"), &headers), None);
        headers.append("x-long", "x".repeat(HEAD_BYTES_MAX / 2).parse().unwrap());
        let (status, told) = gate().refusal(&Uri::from_static("/mcp"), &headers).unwrap();
        assert!(status.as_u16() == 431 && told.contains("32 KiB"), "{status} {told}");
    }

    #[test]
    fn only_pages_that_were_named_may_call() {
        for page in [
            "http://localhost:8678",
            "http://127.0.0.1:8678",
            "http://[::1]:8678",
            "https://admin.example",
            "https://admin.example:443",
            "HTTPS://ADMIN.EXAMPLE",
        ] {
            check(&[("host", "localhost"), ("origin", page)], None);
        }
        for page in [
            "null",
            "",
            "http://admin.example",
            "https://admin.example:8443",
            "https://admin.example.evil",
            "http://localhost:8679",
            "https://localhost:8678",
            "file://",
            "localhost:8678",
        ] {
            check(&[("host", "localhost"), ("origin", page)], Some(403));
        }
        check(
            &[("host", "localhost"), ("origin", "https://admin.example"), ("origin", "http://evil.example")],
            Some(403),
        );
    }

    #[test]
    fn what_is_no_host_and_no_origin_is_refused_at_the_start() {
        let new = |hosts: &[&str], origins: &[&str]| {
            let owned = |texts: &[&str]| texts.iter().map(|text| (*text).to_owned()).collect::<Vec<_>>();
            Gate::new("127.0.0.1:1".parse().unwrap(), &owned(hosts), &owned(origins))
        };
        for wrong in ["", "a b", "https://a", "a/b", "a:99999"] {
            assert!(new(&[wrong], &[]).unwrap_err().to_string().contains("host"), "{wrong}");
        }
        for wrong in ["", "*", "admin.example", "null", "https://", "https://a/b", "ftp://a"] {
            assert!(new(&[], &[wrong]).unwrap_err().to_string().contains("https://"), "{wrong}");
        }
    }
}
