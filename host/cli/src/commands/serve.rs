//! `shelltrack serve`: a Session-Buddy for others, on stdin and stdout or on a loopback address.

use std::path::Path;
use std::process::ExitCode;

use shelltrack_sandbox::Profile;
use shelltrack_server::Server;
use tokio::signal::unix::{SignalKind, signal};
use tokio_util::sync::CancellationToken;

use super::runtime;
use crate::args::Serve;
use crate::config::{SessionBuddy, Settings, Transport};
use crate::embedded;
use crate::failure::{Failure, tell};

/// Serves until the client goes, or until SIGTERM or SIGINT.
pub(crate) fn serve(config: Option<&Path>, serve: Serve) -> Result<ExitCode, Failure> {
    let flags = SessionBuddy {
        transport: Some(Transport::Embedded),
        database: serve.database.clone(),
        ..SessionBuddy::default()
    };
    let settings = Settings::load(config, &flags)?;
    let server = embedded::open_writing(&settings.database, settings.sandbox(Profile::Service)?)
        .map_err(Failure::Failed)?;
    let runtime = runtime()?;
    let served = runtime.block_on(until_stopped(server, &serve));
    // A read of stdin that never returns must not keep us.
    runtime.shutdown_background();
    served.map(|()| ExitCode::SUCCESS)
}

async fn until_stopped(server: Server, serve: &Serve) -> Result<(), Failure> {
    let stop = CancellationToken::new();
    let stopped = stopped().map_err(|error| Failure::Failed(format!("signals: {error}")))?;
    if serve.stdio {
        return tokio::select! {
            served = server.serve_stdio() => served.map_err(|error| Failure::Failed(error.to_string())),
            () = stopped => Ok(()),
        };
    }
    let told_to_stop = stop.clone();
    tokio::spawn(async move {
        stopped.await;
        told_to_stop.cancel();
    });
    let silent = serve.no_auth;
    let ready = move |address| {
        tell(&format!("serving http://{address}/mcp"));
        if !silent {
            tell("authentication is off: every process of this machine can read and write sessions");
        }
    };
    server.serve_http(serve.http, ready, stop).await.map_err(|error| Failure::Failed(error.to_string()))
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
