//! Opens PostgreSQL databases: the pool, the schema, and what the server's errors mean to us.

use std::time::Duration;

use deadpool_postgres::{Manager, ManagerConfig, Object, Pool, PoolError, RecyclingMethod, Runtime};
use tokio_postgres::error::SqlState;

use super::super::StoreError;
use super::place::{self, Place, Surroundings};
use super::tls;

/// Connections of one server: PostgreSQL takes 100 by default, and a few servers share them.
const CONNECTIONS_MAX: usize = 16;

/// How long to wait for a connection: shorter than what clients allow a call (15 s).
const CONNECT_MS: u64 = 5_000;

/// How long a statement may take on the server.
const STATEMENT_MS: u64 = 10_000;

/// "shtr" in ASCII, as in the SQLite store: of servers that migrate at once, one does it.
const MIGRATION_LOCK: i64 = 0x7368_7472;

mod embedded {
    #![allow(unreachable_pub, missing_docs, reason = "made by refinery")]
    refinery::embed_migrations!("src/store/migrations/postgres");
}

/// A pool over a database whose schema is up to date.
pub(super) async fn open(url: &str) -> Result<Pool, StoreError> {
    let Place { mut config, trust } = place::read(url, Surroundings::of_process())?;
    config.application_name("shelltrack").connect_timeout(Duration::from_millis(CONNECT_MS));
    config.options(format!("-c statement_timeout={STATEMENT_MS} -c synchronous_commit=on"));
    let manager = Manager::from_config(
        config,
        tls::connector(&trust)?,
        ManagerConfig { recycling_method: RecyclingMethod::Fast },
    );
    let wait = Some(Duration::from_millis(CONNECT_MS));
    let pool = Pool::builder(manager)
        .max_size(CONNECTIONS_MAX)
        .runtime(Runtime::Tokio1)
        .wait_timeout(wait)
        .create_timeout(wait)
        .build()
        .map_err(|_| StoreError::Unavailable("its pool of connections cannot be made".into()))?;
    migrate(&pool).await?;
    Ok(pool)
}

/// A connection of the pool.
pub(super) async fn client(pool: &Pool) -> Result<Object, StoreError> {
    pool.get().await.map_err(|error| match error {
        PoolError::Backend(error) => error.into(),
        PoolError::Timeout(_) => StoreError::Busy,
        _ => StoreError::Closed,
    })
}

async fn migrate(pool: &Pool) -> Result<(), StoreError> {
    let mut client = client(pool).await?;
    client.execute("SELECT pg_advisory_lock($1)", &[&MIGRATION_LOCK]).await?;
    let migrated = migrate_alone(&mut client).await;
    client.execute("SELECT pg_advisory_unlock($1)", &[&MIGRATION_LOCK]).await?;
    migrated
}

async fn migrate_alone(client: &mut Object) -> Result<(), StoreError> {
    let runner = embedded::migrations::runner();
    let versions = runner.get_migrations().iter().map(|migration| i64::from(migration.version()));
    let supported = versions.max().unwrap_or(0);
    match schema(client).await? {
        Some(found) if found > supported => return Err(StoreError::NewerSchema { found, supported }),
        Some(found) if found == supported => return Ok(()),
        _ => {}
    }
    let client: &mut tokio_postgres::Client = &mut *client;
    runner.run_async(client).await.map(drop).map_err(|error| {
        tracing::error!(%error, "the schema cannot be brought up to date");
        StoreError::Unavailable("its schema cannot be brought up to date".into())
    })
}

/// Version of the schema; a database with a table of ours that we did not make is somebody else's.
async fn schema(client: &Object) -> Result<Option<i64>, StoreError> {
    let there =
        "SELECT to_regclass('refinery_schema_history') IS NOT NULL, to_regclass('sessions') IS NOT NULL";
    let row = client.query_one(there, &[]).await?;
    match (row.try_get(0)?, row.try_get(1)?) {
        (false, true) => Err(StoreError::Foreign),
        (false, false) => Ok(None),
        (true, _) => {
            let row =
                client.query_one("SELECT max(version)::bigint FROM refinery_schema_history", &[]).await?;
            Ok(row.try_get(0)?)
        }
    }
}

/// Why no server answers. Of TLS it is told what was wrong: certificates are no secret.
fn unreached(error: &tokio_postgres::Error) -> String {
    let mut cause = std::error::Error::source(error);
    while let Some(current) = cause {
        if let Some(io) = current.downcast_ref::<std::io::Error>()
            && let Some(tls) = io.get_ref().and_then(|inner| inner.downcast_ref::<rustls::Error>())
        {
            return format!("its server's certificate is not accepted: {tls}");
        }
        cause = current.source();
    }
    match error.to_string().starts_with("error performing TLS handshake") {
        true => "its server does not offer TLS; sslmode asks for it".into(),
        false => "its server cannot be reached".into(),
    }
}

impl From<tokio_postgres::Error> for StoreError {
    fn from(error: tokio_postgres::Error) -> Self {
        tracing::debug!(%error, "PostgreSQL reports an error");
        let Some(code) = error.code() else { return Self::Unavailable(unreached(&error)) };
        let busy = [
            SqlState::T_R_SERIALIZATION_FAILURE,
            SqlState::T_R_DEADLOCK_DETECTED,
            SqlState::LOCK_NOT_AVAILABLE,
            SqlState::QUERY_CANCELED,
            SqlState::TOO_MANY_CONNECTIONS,
        ];
        match code {
            code if busy.contains(code) => Self::Busy,
            code if *code == SqlState::DISK_FULL => Self::Full,
            code if *code == SqlState::READ_ONLY_SQL_TRANSACTION => Self::ReadOnly,
            code if code.code().starts_with("28") => Self::Unavailable("its server refuses the user".into()),
            code if code.code().starts_with("57P") => Self::Unavailable("its server is going down".into()),
            code => Self::Unavailable(format!("its server reports error {}", code.code())),
        }
    }
}
