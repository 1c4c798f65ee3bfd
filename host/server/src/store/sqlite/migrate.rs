//! Brings a database's schema to the newest version, in one transaction.
//!
//! refinery's own driver commits each step alone, so that two processes which open a new file at once
//! get into each other's way. Here every step of refinery runs inside one immediate transaction.

use refinery_core::traits::sync::{Query, Transaction as Steps};
use refinery_core::{Migrate, Migration};
use rusqlite::{Connection, Transaction, TransactionBehavior};
use time::OffsetDateTime;
use time::format_description::well_known::Rfc3339;

use super::super::StoreError;

/// `application_id` of our databases: "shtr" in ASCII (see SQLite's `PRAGMA application_id`).
pub(super) const APPLICATION_ID: i64 = 0x7368_7472;

mod embedded {
    #![allow(unreachable_pub, missing_docs, reason = "made by refinery")]
    refinery::embed_migrations!("src/store/migrations/sqlite");
}

/// What a file says about itself.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Schema {
    /// Nothing in it yet.
    Empty,
    /// Ours, of that version.
    Version(i64),
}

/// The newest schema this program knows.
pub(super) fn newest_version() -> i64 {
    let runner = embedded::migrations::runner();
    runner.get_migrations().iter().map(|migration| i64::from(migration.version())).max().unwrap_or(0)
}

/// Reads what a file is; refuses what is not ours or newer than us.
pub(super) fn inspect(connection: &Connection) -> Result<Schema, StoreError> {
    // One snapshot: between two reads another process may bring the file up to date.
    let _snapshot = if connection.is_autocommit() { Some(connection.unchecked_transaction()?) } else { None };
    let number = |sql: &str| connection.query_row(sql, [], |row| row.get::<_, i64>(0));
    let application_id = number("PRAGMA application_id")?;
    let version = number("PRAGMA user_version")?;
    if application_id == APPLICATION_ID {
        let supported = newest_version();
        return match version {
            found if found > supported => Err(StoreError::NewerSchema { found, supported }),
            found => Ok(Schema::Version(found)),
        };
    }
    let is_empty = number("SELECT count(*) FROM sqlite_schema")? == 0;
    if application_id == 0 && version == 0 && is_empty { Ok(Schema::Empty) } else { Err(StoreError::Foreign) }
}

/// Applies what is missing.
pub(super) fn migrate(connection: &mut Connection) -> Result<(), StoreError> {
    if inspect(connection)? == Schema::Version(newest_version()) {
        return Ok(());
    }
    let transaction = connection.transaction_with_behavior(TransactionBehavior::Immediate)?;
    inspect(&transaction)?; // another process may have been faster, and newer
    let mut steps = OneTransaction(transaction);
    embedded::migrations::runner().run(&mut steps).map_err(|error| migration_error(&error))?;
    let OneTransaction(transaction) = steps;
    transaction.pragma_update(None, "application_id", APPLICATION_ID)?;
    transaction.pragma_update(None, "user_version", newest_version())?;
    Ok(transaction.commit()?)
}

/// refinery wraps what SQLite said; the cause decides what the caller is told.
fn migration_error(error: &refinery_core::Error) -> StoreError {
    let mut cause: Option<&(dyn std::error::Error + 'static)> = Some(error);
    while let Some(current) = cause {
        if let Some(sqlite) = current.downcast_ref::<rusqlite::Error>() {
            return StoreError::from_sqlite(sqlite);
        }
        cause = current.source();
    }
    StoreError::Unavailable("its schema cannot be brought up to date".into())
}

/// Lets refinery run its steps without committing.
struct OneTransaction<'c>(Transaction<'c>);

impl Steps for OneTransaction<'_> {
    type Error = rusqlite::Error;

    fn execute<'a, T: Iterator<Item = &'a str>>(&mut self, queries: T) -> Result<usize, Self::Error> {
        let mut count = 0;
        for query in queries {
            self.0.execute_batch(query)?;
            count += 1;
        }
        Ok(count)
    }
}

impl Query<Vec<Migration>> for OneTransaction<'_> {
    fn query(&mut self, query: &str) -> Result<Vec<Migration>, Self::Error> {
        let mut statement = self.0.prepare(query)?;
        let applied = statement.query_map([], |row| {
            let invalid =
                |index| rusqlite::Error::InvalidColumnType(index, String::new(), rusqlite::types::Type::Text);
            let applied_on =
                OffsetDateTime::parse(&row.get::<_, String>(2)?, &Rfc3339).map_err(|_| invalid(2))?;
            let checksum = row.get::<_, String>(3)?.parse().map_err(|_| invalid(3))?;
            Ok(Migration::applied(row.get(0)?, row.get(1)?, applied_on, checksum))
        })?;
        applied.collect()
    }
}

impl Migrate for OneTransaction<'_> {}
