//! `shelltrack serve`: a Session-Buddy for others, on stdin and stdout or over HTTP.

use std::env::VarError;
use std::path::Path;
use std::process::ExitCode;
use std::sync::Arc;
use std::time::Duration;

use shelltrack_access::Keyring;
use shelltrack_server::{Access, CONNECTIONS_DEFAULT, Listen, RateLimits, Server};
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
    let server = runtime.block_on(Place::find(config, serve.database.as_deref())?.serving())?;
    let served = runtime.block_on(until_stopped(server, &serve));
    // A read of stdin that never returns must not keep us.
    runtime.shutdown_background();
    served.map(|()| ExitCode::SUCCESS)
}

async fn until_stopped(server: Server, serve: &Serve) -> Result<(), Failure> {
    let stopped = stopped().map_err(|error| Failure::Failed(format!("signals: {error}")))?;
    tokio::spawn(archive_daily(server.clone()));
    if serve.stdio {
        let server = with_caller(server)?;
        return tokio::select! {
            served = server.serve_stdio() => served.map_err(|error| Failure::Failed(error.to_string())),
            () = stopped => Ok(()),
        };
    }
    let stop = CancellationToken::new();
    let told_to_stop = stop.clone();
    tokio::spawn(async move {
        stopped.await;
        told_to_stop.cancel();
    });
    let ready = |address| tell(&format!("serving http://{address}/mcp"));
    server.serve_http(listen(serve)?, ready, stop).await.map_err(|error| Failure::Failed(error.to_string()))
}

/// Who may call over HTTP.
fn listen(serve: &Serve) -> Result<Listen, Failure> {
    let access = if serve.no_auth {
        Access::Open
    } else {
        let keys = Keyring::open_or_create(&token::directory()?, token::secret()?.as_deref());
        Access::Guarded(Arc::new(keys.map_err(|error| Failure::Usage(error.to_string()))?))
    };
    Ok(Listen {
        address: serve.http,
        access,
        hosts: serve.allow_host.clone(),
        origins: serve.allow_origin.clone(),
        connections: CONNECTIONS_DEFAULT,
        rates: RateLimits::default(),
    })
}

/// Over pipes the caller is who started us. Where a secret is given, what says otherwise is checked.
fn with_caller(server: Server) -> Result<Server, Failure> {
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
        return Ok(server);
    }
    let keys = Keyring::open(&token::directory()?, secret.as_deref());
    let keys = keys.map_err(|error| Failure::Usage(error.to_string()))?;
    server
        .with_keys(Arc::new(keys), bearer.as_deref())
        .map_err(|refusal| Failure::Usage(format!("{TOKEN_VARIABLE}: {refusal}")))
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

/// Ends with the first SIGTERM or SIGINT from now on.
fn stopped() -> std::io::Result<impl Future<Output = ()> + Send + 'static> {
    let mut terminated = signal(SignalKind::terminate())?;
    let mut interrupted = signal(SignalKind::interrupt())?;
    Ok(async move {
        tokio::select! {
            _ = terminated.recv() => {}
            _ = interrupted.recv() => {}
        }
    })
}
