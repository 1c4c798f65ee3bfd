//! The SQL of time that passes: leases that are renewed or run out, sessions that are archived.

use rusqlite::{Connection, named_params};

use super::super::row::{COLUMNS, EXPIRED, REVIVED};
use super::super::{Renewal, StoreError};

/// Gives sessions a new lease from `now_us` on, those included of which nothing is known but that theirs ran
/// out; the ids of those that got one, in the order given.
pub(super) fn renew(
    connection: &Connection,
    renewal: &Renewal,
    now_us: i64,
) -> Result<Vec<String>, StoreError> {
    let mut statement = connection.prepare_cached(&format!(
        "UPDATE sessions
         SET last_seen_us = max(coalesce(last_seen_us, start_us), min(:seen_us, :now_us)),
             lease_until_us = max(:lease_until_us, CASE WHEN last_seen_us IS NULL THEN 0 ELSE lease_until_us END),
             {REVIVED}
         WHERE session_id = :session_id AND (state = 'active' OR {EXPIRED}) AND owner IS :owner"
    ))?;
    let mut renewed = Vec::new();
    for session_id in &renewal.session_ids {
        let rows = statement.execute(named_params! {
            ":seen_us": renewal.seen_us,
            ":now_us": now_us,
            ":lease_until_us": now_us.saturating_add(renewal.lease_us),
            ":session_id": session_id,
            ":owner": renewal.owner,
        })?;
        if rows > 0 {
            renewed.push(session_id.clone());
        }
    }
    Ok(renewed)
}

/// Whether a lease has run out that nobody has noticed yet.
pub(super) fn has_expired(connection: &Connection, now_us: i64) -> Result<bool, StoreError> {
    let sql = "SELECT EXISTS (SELECT 1 FROM sessions WHERE state = 'active' AND lease_until_us < ?1)";
    Ok(connection.prepare_cached(sql)?.query_row([now_us], |row| row.get(0))?)
}

/// Sessions whose lease has run out are lost: they ended when they were last seen, as far as anybody knows.
pub(super) fn expire(connection: &Connection, now_us: i64) -> Result<(), StoreError> {
    connection
        .prepare_cached(
            "UPDATE sessions
             SET state = 'lost', end_us = max(start_us, coalesce(last_seen_us, start_us)), exit_reason = 'expired',
                 end_received_us = ?1
             WHERE state = 'active' AND lease_until_us < ?1",
        )?
        .execute([now_us])?;
    Ok(())
}

/// For a connection that may change nothing: lets its questions see such sessions as lost. They ask a view of
/// its own, which SQLite finds before the table of the same name.
pub(super) fn show_expired(connection: &Connection, now_us: i64) -> Result<(), StoreError> {
    let is_expired = format!("(state = 'active' AND lease_until_us < {now_us})");
    let seen = COLUMNS.split(", ").map(|column| match column {
        "state" => format!("iif({is_expired}, 'lost', state) AS state"),
        "end_us" => {
            format!("iif({is_expired}, max(start_us, coalesce(last_seen_us, start_us)), end_us) AS end_us")
        }
        "exit_reason" => format!("iif({is_expired}, 'expired', exit_reason) AS exit_reason"),
        column => column.to_owned(),
    });
    let columns = seen.collect::<Vec<_>>().join(", ");
    connection.pragma_update(None, "temp_store", "MEMORY")?; // it makes no file
    connection.execute_batch(&format!("CREATE TEMP VIEW sessions AS SELECT {columns} FROM main.sessions"))?;
    Ok(())
}

/// Archives what ended before a time; how many that were.
pub(super) fn archive(connection: &Connection, ended_before_us: i64, now_us: i64) -> Result<u64, StoreError> {
    let sql = "UPDATE sessions SET archived_us = ?2
               WHERE archived_us IS NULL AND state <> 'active' AND end_us < ?1";
    let rows = connection.prepare_cached(sql)?.execute([ended_before_us, now_us])?;
    Ok(u64::try_from(rows).unwrap_or(u64::MAX))
}
