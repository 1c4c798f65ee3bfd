//! The SQL of many sessions: lists and figures, leases and the archive.

use deadpool_postgres::Object;
use futures_util::TryStreamExt;
use tokio_postgres::types::ToSql;

use super::super::row::{COLUMNS, EXPIRED, REVIVED, read_record};
use super::super::{Counts, Cursor, Filter, ListQuery, Page, Renewal, Stats, StoreError, TALLIES_MAX, Tally};
use crate::records::{State, now_us};

/// Metadata of one part of a list: an answer holds it twice, as structure and as escaped text, and with
/// up to 6 MiB it still fits the 8 MiB that clients take.
const PAGE_METADATA_BYTES_MAX: usize = 2 << 20;

type Values = Vec<Box<dyn ToSql + Sync + Send>>;

/// Sessions, in the order that is asked for.
pub(super) async fn list(client: &Object, query: &ListQuery) -> Result<Page, StoreError> {
    expire(client, now_us()).await?;
    let (follows, order) = query.order();
    let (mut conditions, mut values) = conditions(&query.filter);
    if let Some(after) = query.after {
        values.push(Box::new(after.start_us));
        values.push(Box::new(after.row));
        conditions.push_str(&format!(
            " AND (start_us, id) {follows} (${}, ${})",
            values.len() - 1,
            values.len()
        ));
    }
    let rows_max = u64::from(query.limit) + 1; // one more tells whether there is a next part
    let sql = format!(
        "SELECT {COLUMNS} FROM sessions WHERE {conditions} ORDER BY start_us {order}, id {order} LIMIT {rows_max}"
    );
    let statement = client.prepare_cached(&sql).await?;
    let rows = client.query_raw(&statement, parameters(&values)).await?;
    let mut rows = std::pin::pin!(rows);
    let mut page = Page::default();
    let mut last = None;
    let mut metadata_bytes = 0;
    while let Some(row) = rows.try_next().await? {
        let end_metadata: Option<&str> = row.try_get("end_metadata")?;
        metadata_bytes += row.try_get::<_, &str>("metadata")?.len() + end_metadata.map_or(0, str::len);
        let is_full = page.records.len() >= query.limit as usize || metadata_bytes > PAGE_METADATA_BYTES_MAX;
        if is_full && last.is_some() {
            page.next = last;
            break;
        }
        last = Some(Cursor { start_us: row.try_get("start_us")?, row: row.try_get("id")? });
        page.records.push(read_record(&row)?);
    }
    Ok(page)
}

fn parameters(values: &Values) -> impl ExactSizeIterator<Item = &(dyn ToSql + Sync)> {
    values.iter().map(|value| &**value as &(dyn ToSql + Sync))
}

/// Only what is asked for becomes SQL, so that the planner can pick the index that fits.
fn conditions(filter: &Filter) -> (String, Values) {
    let mut conditions = vec!["TRUE".to_owned()];
    let mut values: Values = Vec::new();
    let texts = [
        ("session_type", &filter.session_type),
        ("component_name", &filter.component_name),
        ("username", &filter.username),
        ("hostname", &filter.hostname),
    ];
    for (column, text) in texts {
        match text {
            Some(text) if text.contains('\0') => conditions.push("FALSE".into()), // there is no such text
            Some(text) => {
                values.push(Box::new(text.clone()));
                conditions.push(format!("{column} = ${}", values.len()));
            }
            None => {}
        }
    }
    for (condition, time_us) in
        [("start_us >=", filter.started_from_us), ("start_us <", filter.started_before_us)]
    {
        if let Some(time_us) = time_us {
            values.push(Box::new(time_us));
            conditions.push(format!("{condition} ${}", values.len()));
        }
    }
    if let Some(state) = filter.state {
        conditions.push(format!("state = '{}'", state.name())); // a literal, or the partial index is not used
    }
    if !filter.with_archived {
        conditions.push("archived_us IS NULL".into());
    }
    (conditions.join(" AND "), values)
}

/// Counts by state, and by component and state.
pub(super) async fn stats(client: &Object, filter: &Filter) -> Result<Stats, StoreError> {
    expire(client, now_us()).await?;
    let (conditions, values) = conditions(filter);
    let figures = "count(*) AS sessions,
         coalesce(sum(CASE WHEN end_us >= start_us THEN (end_us - start_us)::float8 END), 0) AS duration_us,
         count(CASE WHEN end_us >= start_us THEN 1 END) AS durations";
    // One statement: both are of one moment.
    let sql = format!(
        "WITH chosen AS (SELECT component_name, state, start_us, end_us FROM sessions WHERE {conditions})
         SELECT * FROM (
             SELECT NULL::text AS component_name, state, {figures} FROM chosen GROUP BY state
             UNION ALL
             (SELECT component_name, state, {figures} FROM chosen GROUP BY component_name, state
              ORDER BY component_name COLLATE \"C\", state COLLATE \"C\" LIMIT {TALLIES_MAX})
         ) AS counted ORDER BY component_name COLLATE \"C\" NULLS FIRST, state COLLATE \"C\""
    );
    let values: Vec<_> = parameters(&values).collect();
    let rows = client.query(&client.prepare_cached(&sql).await?, &values).await?;
    let tally = |row: &tokio_postgres::Row| {
        let tally = Tally {
            state: State::from_name(row.try_get("state")?).ok_or(StoreError::Corrupt)?,
            sessions: row.try_get::<_, i64>("sessions")?.unsigned_abs(),
            duration_us: row.try_get("duration_us")?,
            durations: row.try_get::<_, i64>("durations")?.unsigned_abs(),
        };
        Ok((row.try_get("component_name")?, tally))
    };
    let rows: Vec<_> = rows.iter().map(tally).collect::<Result<_, StoreError>>()?;
    Ok(Stats::of(rows))
}

/// How many sessions there are.
pub(super) async fn counts(client: &Object) -> Result<Counts, StoreError> {
    expire(client, now_us()).await?;
    let sql = "SELECT count(*), count(CASE WHEN state = 'active' THEN 1 END) FROM sessions";
    let row = client.query_one(&client.prepare_cached(sql).await?, &[]).await?;
    Ok(Counts {
        total: row.try_get::<_, i64>(0)?.unsigned_abs(),
        active: row.try_get::<_, i64>(1)?.unsigned_abs(),
    })
}

/// Gives sessions a new lease from `now_us` on, those included of which nothing is known but that theirs ran
/// out; the ids of those that got one, in the order given.
pub(super) async fn renew(
    client: &Object,
    renewal: &Renewal,
    now_us: i64,
) -> Result<Vec<String>, StoreError> {
    let ids: Vec<&String> = renewal.session_ids.iter().filter(|id| !id.contains('\0')).collect();
    let statement = client
        .prepare_cached(&format!(
            "UPDATE sessions
             SET last_seen_us = greatest(coalesce(last_seen_us, start_us), least($1::bigint, $2::bigint)),
                 lease_until_us = greatest($3::bigint, CASE WHEN last_seen_us IS NULL THEN 0 ELSE lease_until_us END),
                 {REVIVED}
             WHERE session_id = ANY($4) AND (state = 'active' OR {EXPIRED}) AND owner IS NOT DISTINCT FROM $5
             RETURNING session_id",
        ))
        .await?;
    let lease_until_us = now_us.saturating_add(renewal.lease_us);
    let values: [&(dyn ToSql + Sync); 5] = [&renewal.seen_us, &now_us, &lease_until_us, &ids, &renewal.owner];
    let rows = client.query(&statement, &values).await?;
    let renewed: std::collections::BTreeSet<String> =
        rows.iter().map(|row| row.try_get(0)).collect::<Result<_, _>>()?;
    Ok(renewal.session_ids.iter().filter(|id| renewed.contains(*id)).cloned().collect())
}

/// Sessions whose lease has run out are lost: they ended when they were last seen, as far as anybody knows.
pub(super) async fn expire(client: &Object, now_us: i64) -> Result<(), StoreError> {
    let statement = client
        .prepare_cached(
            "UPDATE sessions
             SET state = 'lost', end_us = greatest(start_us, coalesce(last_seen_us, start_us)),
                 exit_reason = 'expired', end_received_us = $1
             WHERE state = 'active' AND lease_until_us < $1",
        )
        .await?;
    client.execute(&statement, &[&now_us]).await?;
    Ok(())
}

/// Archives what ended before a time; how many that were.
pub(super) async fn archive(client: &Object, ended_before_us: i64, now_us: i64) -> Result<u64, StoreError> {
    let sql = "UPDATE sessions SET archived_us = $2 WHERE archived_us IS NULL AND state <> 'active' AND end_us < $1";
    Ok(client.execute(sql, &[&ended_before_us, &now_us]).await?)
}

/// Pages are PostgreSQL's own business (`amcheck`); whether records can be read is ours.
pub(super) async fn check(client: &Object) -> Result<(), StoreError> {
    let sql = format!("SELECT {COLUMNS} FROM sessions");
    let none: [&(dyn ToSql + Sync); 0] = [];
    let rows = client.query_raw(&sql, none).await?;
    let mut rows = std::pin::pin!(rows);
    while let Some(row) = rows.try_next().await? {
        read_record(&row)?;
    }
    Ok(())
}
