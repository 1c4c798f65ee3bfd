//! While shells live, their server is told so, where it wants to know.

use shelltrack_sandbox::types::Outcome;
use tokio::time::Instant;

use super::super::LEASE;
use super::Worker;
use crate::clock::now_us;
use crate::session_buddy::SessionBuddy;

impl Worker {
    /// Tells the server which sessions live. That counts once for the breaker, however it comes out; a
    /// target that is left alone just now, or does not offer it, is not asked.
    pub(super) async fn renew_leases(&mut self) {
        let sessions = std::mem::take(&mut self.leases);
        let offered = self.status.tools.as_ref().is_none_or(|tools| SessionBuddy::renews(tools));
        let paused = self.paused_until.is_some_and(|until| until > Instant::now());
        if sessions.is_empty() || !offered || paused {
            return;
        }
        let Ok(permit) = self.gate.ask() else { return };
        if let Err(error) = self.ready(permit).await {
            return self.target_failed(permit, &error).await;
        }
        let renewed = match &self.connection {
            Some(connection) if SessionBuddy::renews(&connection.offers().tools) => {
                connection.track_activity(&sessions, LEASE, now_us()).await
            }
            _ => Ok(()),
        };
        match renewed {
            Err(error) if error.outcome != Outcome::Refused => self.target_failed(permit, &error).await,
            refused_or_not => {
                if let Err(error) = refused_or_not {
                    tracing::warn!(target_server = %self.target, %error, "leases are not renewed");
                }
                self.gate.report(permit, Ok(()));
                self.answered();
                self.publish(false);
            }
        }
    }
}
