//! SQL Server's change tracking, inside a SQLite database.
//!
//! What is kept, in tables whose names begin with [`PREFIX`]: one counter, the version; per commit its version and time;
//! per tracked table its minimum valid version; and a log with a row for each insert, update and delete of a row, written
//! by triggers, so that any SQL is recorded. An update of a key is a delete of the old and an insert of the new one.
//!
//! The log is only ever added to. What `CHANGETABLE(CHANGES …)` reports is found when it is asked for, from a key's first
//! entry after a version and from whether the row is there now:
//!
//! | first entry | now | reported | |
//! |---|---|---|---|
//! | insert | there | I | inserted, whatever was done to it later |
//! | update, delete | there | U | updated, or deleted and inserted again |
//! | any | gone | D | also a row that was inserted and deleted in between |
//!
//! Entries carry the counter's next version. A transaction that made any moves the counter by one when it commits
//! (`seal`); one that is rolled back takes its entries with it.

use mirrorlab_engines::sqlite::quote;
use mirrorlab_protocol::names::same_name;
use mirrorlab_protocol::schema::Table;
use rusqlite::{Connection, OptionalExtension, params};

/// What the names of tracking's own tables and triggers begin with.
pub const PREFIX: &str = "mirrorlab_ct_";

/// Whether a table is one of tracking's own.
pub fn is_own(table: &str) -> bool {
    table
        .get(..PREFIX.len())
        .is_some_and(|start| start.eq_ignore_ascii_case(PREFIX))
}

/// A tracked table.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Tracked {
    /// What the log calls it, whatever its name is by now.
    pub id: i64,
    /// The lowest version from which its changes are all known.
    pub min_valid: i64,
}

/// Whether the database has tracking's tables.
pub(super) fn is_there(connection: &Connection) -> rusqlite::Result<bool> {
    connection.query_row(
        "SELECT EXISTS (SELECT 1 FROM sqlite_master WHERE type = 'table' AND name = 'mirrorlab_ct_state')",
        [],
        |row| row.get(0),
    )
}

/// Makes tracking's tables, the counter at `version`.
pub(super) fn create(connection: &Connection, version: i64) -> rusqlite::Result<()> {
    connection.execute_batch(
        "CREATE TABLE IF NOT EXISTS mirrorlab_ct_state (one INTEGER PRIMARY KEY CHECK (one = 1), version INTEGER NOT NULL);
         CREATE TABLE IF NOT EXISTS mirrorlab_ct_commits (version INTEGER PRIMARY KEY, time INTEGER NOT NULL);
         CREATE TABLE IF NOT EXISTS mirrorlab_ct_tables (id INTEGER PRIMARY KEY AUTOINCREMENT, name TEXT NOT NULL,
             min_valid INTEGER NOT NULL);
         CREATE TABLE IF NOT EXISTS mirrorlab_ct_changes (seq INTEGER PRIMARY KEY, tbl INTEGER NOT NULL,
             version INTEGER NOT NULL, key NOT NULL, op TEXT NOT NULL);
         CREATE INDEX IF NOT EXISTS mirrorlab_ct_changes_of ON mirrorlab_ct_changes (tbl, version);
         CREATE TABLE IF NOT EXISTS mirrorlab_ct_defaults (tbl TEXT NOT NULL, col TEXT NOT NULL, def TEXT NOT NULL,
             PRIMARY KEY (tbl, col)) WITHOUT ROWID;",
    )?;
    connection.execute(
        "INSERT OR IGNORE INTO mirrorlab_ct_state VALUES (1, ?1)",
        [version],
    )?;
    Ok(())
}

/// The counter.
pub(super) fn version(connection: &Connection) -> rusqlite::Result<i64> {
    connection
        .prepare_cached("SELECT version FROM mirrorlab_ct_state")?
        .query_row([], |row| row.get(0))
}

/// When the newest commit was made.
pub(super) fn last_commit_time(connection: &Connection) -> rusqlite::Result<Option<i64>> {
    connection
        .query_row(
            "SELECT time FROM mirrorlab_ct_commits ORDER BY version DESC LIMIT 1",
            [],
            |row| row.get(0),
        )
        .optional()
}

/// Whether the log holds entries of the next version.
pub(super) fn has_unsealed(connection: &Connection) -> rusqlite::Result<bool> {
    // Versions never fall along the log, so its last entry tells.
    let last: Option<i64> = connection
        .prepare_cached("SELECT version FROM mirrorlab_ct_changes ORDER BY seq DESC LIMIT 1")?
        .query_row([], |row| row.get(0))
        .optional()?;
    match last {
        Some(last) => Ok(last > version(connection)?),
        None => Ok(false),
    }
}

/// Makes the entries of the next version a commit, if there are any.
pub(super) fn seal(connection: &Connection, now: i64) -> rusqlite::Result<()> {
    if has_unsealed(connection)? {
        bump(connection, now)?;
    }
    Ok(())
}

/// Moves the counter by one, and says where it is now.
fn bump(connection: &Connection, now: i64) -> rusqlite::Result<i64> {
    connection
        .prepare_cached("UPDATE mirrorlab_ct_state SET version = version + 1")?
        .execute([])?;
    let version = version(connection)?;
    connection
        .prepare_cached("INSERT INTO mirrorlab_ct_commits (version, time) VALUES (?1, ?2)")?
        .execute(params![version, now])?;
    Ok(version)
}

/// A table's tracking, if it has any.
pub(super) fn tracked(connection: &Connection, table: &str) -> rusqlite::Result<Option<Tracked>> {
    let mut statement = connection.prepare_cached("SELECT id, min_valid, name FROM mirrorlab_ct_tables")?;
    let mut rows = statement.query([])?;
    while let Some(row) = rows.next()? {
        if same_name(row.get_ref(2)?.as_str()?, table) {
            return Ok(Some(Tracked {
                id: row.get(0)?,
                min_valid: row.get(1)?,
            }));
        }
    }
    Ok(None)
}

/// Starts to track a table. The counter moves, so that every version given out before is below its minimum.
pub(super) fn start(connection: &Connection, table: &Table, now: i64) -> rusqlite::Result<()> {
    let version = bump(connection, now)?;
    connection.execute(
        "INSERT INTO mirrorlab_ct_tables (name, min_valid) VALUES (?1, ?2)",
        params![table.name, version],
    )?;
    make_triggers(connection, table, connection.last_insert_rowid())
}

/// Stops to track a table: its changes are forgotten.
pub(super) fn forget(connection: &Connection, id: i64) -> rusqlite::Result<()> {
    drop_triggers(connection, id)?;
    connection.execute("DELETE FROM mirrorlab_ct_changes WHERE tbl = ?1", [id])?;
    connection.execute("DELETE FROM mirrorlab_ct_tables WHERE id = ?1", [id])?;
    Ok(())
}

/// Empties a table. A tracked one begins anew: its old changes are forgotten, and the counter moves to its new minimum.
pub(super) fn truncate(connection: &Connection, table: &Table, now: i64) -> rusqlite::Result<()> {
    let delete = format!("DELETE FROM {}", quote(&table.name));
    let Some(known) = tracked(connection, &table.name)? else {
        return connection.execute_batch(&delete);
    };
    // Without triggers SQLite throws the pages away and looks at no row.
    drop_triggers(connection, known.id)?;
    connection.execute_batch(&delete)?;
    connection.execute("DELETE FROM mirrorlab_ct_changes WHERE tbl = ?1", [known.id])?;
    let version = bump(connection, now)?;
    connection.execute(
        "UPDATE mirrorlab_ct_tables SET min_valid = ?2 WHERE id = ?1",
        [known.id, version],
    )?;
    make_triggers(connection, table, known.id)
}

/// Forgets every commit before `before`, in seconds since 1970. Every tracked table's minimum moves up to the highest
/// version that was forgotten, a quiet table's too: SQL Server keeps one clean-up version for the whole database.
pub(super) fn clean_up(connection: &Connection, before: i64) -> rusqlite::Result<()> {
    let highest: Option<i64> = connection.query_row(
        "SELECT max(version) FROM mirrorlab_ct_commits WHERE time < ?1",
        [before],
        |row| row.get(0),
    )?;
    let Some(highest) = highest else {
        return Ok(());
    };
    connection.execute(
        "DELETE FROM mirrorlab_ct_changes WHERE tbl IN (SELECT id FROM mirrorlab_ct_tables) AND version <= ?1",
        [highest],
    )?;
    connection.execute(
        "UPDATE mirrorlab_ct_tables SET min_valid = max(min_valid, ?1)",
        [highest],
    )?;
    connection.execute("DELETE FROM mirrorlab_ct_commits WHERE version <= ?1", [highest])?;
    Ok(())
}

/// The four triggers of a tracked table: their names' ends, when they fire, and what each writes, row side and letter.
type Trigger = (
    &'static str,
    &'static str,
    &'static [(&'static str, &'static str)],
);
const TRIGGERS: [Trigger; 4] = [
    ("insert", "INSERT", &[("NEW", "I")]),
    ("update", "UPDATE", &[("NEW", "U")]),
    ("key", "UPDATE", &[("OLD", "D"), ("NEW", "I")]),
    ("delete", "DELETE", &[("OLD", "D")]),
];

/// Makes a tracked table's triggers.
pub(super) fn make_triggers(connection: &Connection, table: &Table, id: i64) -> rusqlite::Result<()> {
    let key = quote(&table.key().name);
    for (end, event, entries) in TRIGGERS {
        let when = match end {
            "update" => format!("WHEN NEW.{key} IS OLD.{key}"),
            "key" => format!("WHEN NEW.{key} IS NOT OLD.{key}"),
            _ => String::new(),
        };
        let body: String = entries
            .iter()
            .map(|(side, letter)| {
                format!(
                    "INSERT INTO mirrorlab_ct_changes (tbl, version, key, op) \
                     SELECT {id}, version + 1, {side}.{key}, '{letter}' FROM mirrorlab_ct_state; "
                )
            })
            .collect();
        connection.execute_batch(&format!(
            "CREATE TRIGGER {PREFIX}{id}_{end} AFTER {event} ON {} {when} BEGIN {body} END",
            quote(&table.name)
        ))?;
    }
    Ok(())
}

fn drop_triggers(connection: &Connection, id: i64) -> rusqlite::Result<()> {
    for (end, _, _) in TRIGGERS {
        connection.execute_batch(&format!("DROP TRIGGER IF EXISTS {PREFIX}{id}_{end}"))?;
    }
    Ok(())
}

/// Follows what a person's statements did to tables: a renamed one keeps its tracking, a dropped one loses it, also
/// where another of its name was made since.
pub(super) fn follow_tables(connection: &Connection) -> rusqlite::Result<()> {
    let ids: Vec<i64> = connection
        .prepare("SELECT id FROM mirrorlab_ct_tables")?
        .query_map([], |row| row.get(0))?
        .collect::<Result<_, _>>()?;
    for id in ids {
        let mut table = None;
        let mut found = 0;
        for (end, _, _) in TRIGGERS {
            let on: Option<String> = connection
                .query_row(
                    "SELECT tbl_name FROM sqlite_master WHERE type = 'trigger' AND name = ?1",
                    [format!("{PREFIX}{id}_{end}")],
                    |row| row.get(0),
                )
                .optional()?;
            found += usize::from(on.is_some());
            table = table.or(on);
        }
        match table {
            Some(name) if found == TRIGGERS.len() => {
                connection.execute(
                    "UPDATE mirrorlab_ct_tables SET name = ?2 WHERE id = ?1 AND name <> ?2",
                    params![id, name],
                )?;
            }
            _ => forget(connection, id)?,
        }
    }
    Ok(())
}
