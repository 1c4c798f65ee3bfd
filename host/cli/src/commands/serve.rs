//! `shelltrack serve`: a Session-Buddy for others, on stdin and stdout or over HTTP.

use std::env::VarError;
use std::path::Path;
use std::process::ExitCode;
use std::sync::Arc;
use std::time::Duration;

use shelltrack_access::Keyring;
use shelltrack_server::{Access, CONNECTIONS_DEFAULT, Error, Listen, RateLimits, Server};
use tokio::signal::unix::{SignalKind, signal};
use tokio_util::sync::CancellationToken;

use super::place::Place;
use super::{runtime, token};
use crate::args_server::Serve;
use crate::embedded::RETENTION;
use crate::failure::{Failure, tell};

/// The environment variable that says who calls over a pipe.
const TOKEN_VARIABLE: &str = "SESSION_BUDDY_TOKEN";
/// How often it is looked for what is older.
const ARCHIVE_EVERY: Duration = Duration::from_secs(86_400);

/// Serves until the client goes, or until SIGTERM or SIGINT.
pub(crate) fn serve(config: Option<&Path>, serve: Serve) -> Result<ExitCode, Failure> {
    if serve.no_auth && !serve.http.ip().is_loopback() {
        return Err(Failure::Usage(format!(
            "--http: {} can be reached from elsewhere; leave out --no-auth, or listen on 127.0.0.1 or [::1]",
            serve.http
        )));
    }
    let runtime = runtime()?;
    let place = Place::find(config, serve.database.as_deref())?;
    let server = runtime.block_on(place.serving())?;
    let served = runtime.block_on(until_stopped(server, &serve, &place.told()));
    // A read of stdin that never returns must not keep us.
    runtime.shutdown_background();
    served.map(|()| ExitCode::SUCCESS)
}

async fn until_stopped(server: Server, serve: &Serve, sessions: &str) -> Result<(), Failure> {
    let stop = stopped().map_err(|error| Failure::Failed(format!("signals: {error}")))?;
    tokio::spawn(archive_daily(server.clone()));
    if serve.stdio {
        let (server, callers) = with_caller(server)?;
        tell(&format!("serving stdin and stdout (sessions in {sessions}, {callers})"));
        return server.serve_stdio(stop).await.map_err(failed);
    }
    let (listen, callers) = listen(serve)?;
    let ready = |address| tell(&format!("serving http://{address}/mcp (sessions in {sessions}, {callers})"));
    server.serve_http(listen, ready, stop).await.map_err(failed)
}

fn failed(error: Error) -> Failure {
    match error {
        Error::Misnamed(told) => Failure::Usage(told),
        error => Failure::Failed(error.to_string()),
    }
}

/// Who may call over HTTP, also in words.
fn listen(serve: &Serve) -> Result<(Listen, String), Failure> {
    let (access, callers) = if serve.no_auth {
        (Access::Open, "without authentication".to_owned())
    } else {
        let (directory, secret) = (token::directory()?, token::secret()?);
        let keys = Keyring::open_or_create(&directory, secret.as_deref());
        let keys = keys.map_err(|error| Failure::Usage(error.to_string()))?;
        let shared = if secret.is_some() { "SESSION_BUDDY_SECRET and " } else { "" };
        let callers = format!("for tokens signed with {shared}the keys in {}", directory.display());
        (Access::Guarded(Arc::new(keys)), callers)
    };
    let listen = Listen {
        address: serve.http,
        access,
        hosts: serve.allow_host.clone(),
        origins: serve.allow_origin.clone(),
        connections: CONNECTIONS_DEFAULT,
        rates: RateLimits::default(),
    };
    Ok((listen, callers))
}

/// Over pipes the caller is who started us. Where a secret is given, what says otherwise is checked. The caller
/// also in words.
fn with_caller(server: Server) -> Result<(Server, &'static str), Failure> {
    let bearer = match std::env::var(TOKEN_VARIABLE) {
        Ok(bearer) => Some(bearer),
        Err(VarError::NotPresent) => None,
        // Taken for none it would let everybody in.
        Err(VarError::NotUnicode(_)) => {
            return Err(Failure::Usage(format!("{TOKEN_VARIABLE}: must be a token, which is ASCII")));
        }
    };
    let secret = token::secret()?;
    if secret.is_none() && bearer.is_none() {
        return Ok((server, "for whoever started it"));
    }
    let keys = Keyring::open(&token::directory()?, secret.as_deref());
    let keys = keys.map_err(|error| Failure::Usage(error.to_string()))?;
    let callers = match bearer {
        Some(_) => "for the bearer of SESSION_BUDDY_TOKEN",
        None => "for whoever started it, and tokens are checked",
    };
    let server = server.with_keys(Arc::new(keys), bearer.as_deref());
    let server = server.map_err(|refusal| Failure::Usage(format!("{TOKEN_VARIABLE}: {refusal}")))?;
    Ok((server, callers))
}

/// Keeps what is in sight small, as long as we serve.
async fn archive_daily(server: Server) {
    loop {
        match server.archive(RETENTION).await {
            Ok(0) => {}
            Ok(count) => tracing::info!(count, "sessions archived"),
            Err(error) => tracing::warn!(%error, "nothing was archived"),
        }
        tokio::time::sleep(ARCHIVE_EVERY).await;
    }
}

/// Cancelled by the first SIGTERM or SIGINT from now on, which is told.
fn stopped() -> std::io::Result<CancellationToken> {
    let mut terminated = signal(SignalKind::terminate())?;
    let mut interrupted = signal(SignalKind::interrupt())?;
    let stop = CancellationToken::new();
    let stopped = stop.clone();
    tokio::spawn(async move {
        tokio::select! {
            _ = terminated.recv() => {}
            _ = interrupted.recv() => {}
        }
        tell("stopping: calls under way are answered, nobody else is let in");
        stopped.cancel();
    });
    Ok(stop)
}
