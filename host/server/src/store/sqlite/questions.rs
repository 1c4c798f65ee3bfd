//! The SQL of questions about many sessions. Nothing is changed here.

use rusqlite::types::ToSql;
use rusqlite::{Connection, Row};

use super::super::row::{COLUMNS, read_record};
use super::super::{Counts, Cursor, Filter, ListQuery, Page, Stats, StoreError, TALLIES_MAX, Tally};
use crate::records::State;

/// Metadata of one part of a list: an answer holds it twice, as structure and as escaped text, and with
/// up to 6 MiB it still fits the 8 MiB that clients take.
const PAGE_METADATA_BYTES_MAX: usize = 2 << 20;

/// Sessions, in the order that is asked for.
pub(super) fn list(connection: &Connection, query: &ListQuery) -> Result<Page, StoreError> {
    let (follows, order) = query.order();
    let (mut conditions, mut values) = conditions(&query.filter);
    if let Some(after) = query.after {
        conditions.push_str(&format!(" AND (start_us, id) {follows} (?, ?)"));
        values.push(Box::new(after.start_us));
        values.push(Box::new(after.row));
    }
    let rows_max = i64::from(query.limit) + 1; // one more tells whether there is a next part
    values.push(Box::new(rows_max));
    let sql = format!(
        "SELECT {COLUMNS} FROM sessions WHERE {conditions} ORDER BY start_us {order}, id {order} LIMIT ?"
    );
    let mut statement = connection.prepare_cached(&sql)?;
    let mut rows = statement.query(rusqlite::params_from_iter(values))?;
    let mut page = Page::default();
    let mut last = None;
    let mut metadata_bytes = 0;
    while let Some(row) = rows.next()? {
        metadata_bytes += text_bytes(row, "metadata")? + text_bytes(row, "end_metadata")?;
        let is_full = page.records.len() >= query.limit as usize || metadata_bytes > PAGE_METADATA_BYTES_MAX;
        if is_full && last.is_some() {
            page.next = last;
            break;
        }
        last = Some(Cursor { start_us: row.get("start_us")?, row: row.get("id")? });
        page.records.push(read_record(row)?);
    }
    Ok(page)
}

fn text_bytes(row: &Row<'_>, column: &str) -> rusqlite::Result<usize> {
    Ok(row.get_ref(column)?.as_str_or_null().unwrap_or_default().map_or(0, str::len))
}

/// Only what is asked for becomes SQL, so that SQLite can pick the index that fits.
fn conditions(filter: &Filter) -> (String, Vec<Box<dyn ToSql>>) {
    let mut conditions = vec!["TRUE".to_owned()];
    let mut values: Vec<Box<dyn ToSql>> = Vec::new();
    let texts = [
        ("session_type", &filter.session_type),
        ("component_name", &filter.component_name),
        ("username", &filter.username),
        ("hostname", &filter.hostname),
    ];
    for (column, text) in texts {
        if let Some(text) = text {
            conditions.push(format!("{column} = ?"));
            values.push(Box::new(text.clone()));
        }
    }
    for (condition, time_us) in
        [("start_us >= ?", filter.started_from_us), ("start_us < ?", filter.started_before_us)]
    {
        if let Some(time_us) = time_us {
            conditions.push(condition.into());
            values.push(Box::new(time_us));
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
pub(super) fn stats(connection: &Connection, filter: &Filter) -> Result<Stats, StoreError> {
    let (conditions, values) = conditions(filter);
    let figures = "count(*) AS sessions,
                   total(CASE WHEN end_us >= start_us THEN end_us - start_us END) AS duration_us,
                   count(CASE WHEN end_us >= start_us THEN 1 END) AS durations";
    // One statement: both are of one moment. NULL sorts first.
    let sql = format!(
        "WITH chosen AS MATERIALIZED (SELECT component_name, state, start_us, end_us FROM sessions WHERE {conditions})
         SELECT NULL AS component_name, state, {figures} FROM chosen GROUP BY state
         UNION ALL
         SELECT * FROM (SELECT component_name, state, {figures} FROM chosen
                        GROUP BY component_name, state ORDER BY component_name, state LIMIT {TALLIES_MAX})
         ORDER BY component_name, state"
    );
    let mut statement = connection.prepare_cached(&sql)?;
    let mut rows = statement.query(rusqlite::params_from_iter(values))?;
    let mut tallies = Vec::new();
    while let Some(row) = rows.next()? {
        let state = State::from_name(row.get_ref("state")?.as_str().map_err(|_| StoreError::Corrupt)?);
        let tally = Tally {
            state: state.ok_or(StoreError::Corrupt)?,
            sessions: row.get::<_, i64>("sessions")?.unsigned_abs(),
            duration_us: row.get("duration_us")?,
            durations: row.get::<_, i64>("durations")?.unsigned_abs(),
        };
        tallies.push((row.get("component_name")?, tally));
    }
    Ok(Stats::of(tallies))
}

/// How many sessions there are.
pub(super) fn counts(connection: &Connection) -> Result<Counts, StoreError> {
    let count = |sql: &str| -> Result<u64, StoreError> {
        let count: i64 = connection.prepare_cached(sql)?.query_row([], |row| row.get(0))?;
        Ok(count.unsigned_abs())
    };
    Ok(Counts {
        total: count("SELECT count(*) FROM sessions")?,
        active: count("SELECT count(*) FROM sessions WHERE state = 'active'")?,
    })
}
