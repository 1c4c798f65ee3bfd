//! The engine for fleets: a PostgreSQL database, or one that speaks its language.
//!
//! `place` reads the URL, `tls` judges certificates, `connect` opens and migrates, `rows` holds the SQL of one
//! session, `questions` that of many. Servers hold
//! no state: any number of them may share a database, and PostgreSQL groups their commits. Whatever is
//! asked may be asked twice, so a connection that broke off is simply replaced.

mod connect;
mod place;
mod questions;
mod rows;
mod tls;

#[cfg(test)]
mod tests;

use std::path::PathBuf;

use deadpool_postgres::Pool;
use shelltrack_sandbox::types::{EndEvent, StartEvent};

use super::{
    Answer, Counts, Ending, Filter, Import, ListQuery, Owner, Page, Renewal, Starting, Stats, Store,
    StoreError,
};
use crate::records::{SessionRecord, now_us};

const ENGINE: &str = "postgresql";

/// How often something is tried: connections of the pool may have died since, and of two transactions that
/// are in each other's way one has to start again.
const ATTEMPTS_MAX: u32 = 3;

/// A PostgreSQL database. Others may write it too.
pub(crate) struct PostgresStore {
    pool: Pool,
}

/// Runs a question on a connection of the pool, and again when the connection or the lock was to blame.
macro_rules! with_client {
    ($store:ident, $client:ident => $work:expr) => {
        Box::pin(async move {
            let mut attempt = 1;
            loop {
                let outcome = async {
                    #[allow(unused_mut, reason = "only transactions change the connection")]
                    let mut $client = connect::client(&$store.pool).await?;
                    $work.await
                };
                match outcome.await {
                    Err(StoreError::Busy | StoreError::Unavailable(_)) if attempt < ATTEMPTS_MAX => {
                        attempt += 1
                    }
                    outcome => return outcome,
                }
            }
        })
    };
}

impl PostgresStore {
    /// Connects, and brings the schema up to date.
    pub(crate) async fn open(url: &str) -> Result<Self, StoreError> {
        Ok(Self { pool: connect::open(url).await? })
    }
}

impl Store for PostgresStore {
    fn track_start(&self, event: StartEvent, owner: Owner) -> Answer<'_, Starting> {
        with_client!(self, client => rows::insert_start(&client, &event, owner.as_deref()))
    }

    fn track_end(&self, event: EndEvent, owner: Owner) -> Answer<'_, Ending> {
        with_client!(self, client => rows::update_end(&client, &event, owner.as_deref()))
    }

    fn renew(&self, renewal: Renewal) -> Answer<'_, Vec<String>> {
        with_client!(self, client => questions::renew(&client, &renewal, now_us()))
    }

    fn list(&self, query: ListQuery) -> Answer<'_, Page> {
        with_client!(self, client => questions::list(&client, &query))
    }

    fn show(&self, id: String) -> Answer<'_, Option<SessionRecord>> {
        with_client!(self, client => rows::show(&client, &id))
    }

    fn counts(&self) -> Answer<'_, Counts> {
        with_client!(self, client => questions::counts(&client))
    }

    fn stats(&self, filter: Filter) -> Answer<'_, Stats> {
        with_client!(self, client => questions::stats(&client, &filter))
    }

    fn archive(&self, ended_before_us: i64) -> Answer<'_, u64> {
        with_client!(self, client => questions::archive(&client, ended_before_us, now_us()))
    }

    fn import(&self, session: Import) -> Answer<'_, bool> {
        with_client!(self, client => rows::import(&mut client, &session))
    }

    fn backup(&self, _to: PathBuf) -> Answer<'_, ()> {
        Box::pin(async { Err(StoreError::Unsupported("a PostgreSQL database is backed up with pg_dump")) })
    }

    fn check(&self) -> Answer<'_, ()> {
        with_client!(self, client => questions::check(&client))
    }

    fn engine(&self) -> &'static str {
        ENGINE
    }
}
