//! Change tracking: SQL Server's own, or, on an engine that speaks T-SQL and has none, triggers that keep what it keeps.
//!
//! Either way the database has some tables of the simulator's own, whose names begin with [`PREFIX`]: tables as they were
//! made (`shape`), and when each version was made. The engine's own tracking has its counter; a table `…tick` that is
//! tracked moves it where it has to move: a new source starts at 1, and switching on or truncating moves the minimum above
//! every version given out before.
//!
//! By triggers: a counter and, per tracked table, a log with a row for each row that a statement inserted, updated or
//! deleted. A statement's entries have one number, so that a transaction's come in order. `CHANGETABLE`'s net change is
//! the first entry of each key after a version, and whether the row is there now: of a row that is there, I means inserted
//! and any other letter updated; one that is gone is deleted, whatever came first. A transaction's entries carry the
//! counter's next version; its last statement moves the counter. The counter's row is locked by the first trigger until
//! the transaction ends, so versions are in the order of commits.

use mirrorlab_engines::mssql::ddl::{declared, text_literal};
use mirrorlab_engines::mssql::{Connection, MssqlError, Param, quote};
use mirrorlab_protocol::schema::Table;

use super::Means;

/// What the names of tracking's own tables and triggers begin with.
pub const PREFIX: &str = "mirrorlab_ct_";

/// Days that SQL Server's own tracking keeps; SuperOffice's setting. A run is over long before.
const RETENTION_DAYS: u32 = 7;

/// Whether a table is one of tracking's own.
pub fn is_own(table: &str) -> bool {
    table
        .get(..PREFIX.len())
        .is_some_and(|start| start.eq_ignore_ascii_case(PREFIX))
}

/// Which kind.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Tracking {
    /// The engine's.
    Own,
    /// By triggers.
    Triggers,
}

/// A tracked table.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Tracked {
    /// What the log is called by; 0 where it is the engine's.
    pub id: i64,
    /// The lowest version from which its changes are all known.
    pub min_valid: i64,
}

/// Whether the database has tracking's tables.
pub(super) fn is_there(connection: &mut Connection) -> Result<bool, MssqlError> {
    let found = connection.row("SELECT OBJECT_ID(N'mirrorlab_ct_state')", &[])?;
    Ok(found.and_then(|row| row.integer(0)).is_some())
}

/// When the newest commit was made.
pub(super) fn last_commit_time(connection: &mut Connection) -> Result<Option<i64>, MssqlError> {
    let row = connection.row("SELECT MAX(c.time) FROM mirrorlab_ct_commits c", &[])?;
    Ok(row.and_then(|row| row.integer(0)))
}

/// The statements that make tracking's tables, but for their first rows.
pub(super) const TABLES: &str = "\
CREATE TABLE mirrorlab_ct_state (one int NOT NULL PRIMARY KEY, version bigint NOT NULL, seq bigint NOT NULL, \
 dirty int NOT NULL, shape bigint NOT NULL); \
CREATE TABLE mirrorlab_ct_commits (version bigint NOT NULL PRIMARY KEY, time bigint NOT NULL); \
CREATE TABLE mirrorlab_ct_tables (id bigint NOT NULL PRIMARY KEY, name nvarchar(128) NOT NULL, min_valid bigint NOT NULL); \
CREATE TABLE mirrorlab_ct_columns (tbl nvarchar(128) NOT NULL, place int NOT NULL, col nvarchar(128) NOT NULL, \
 type nvarchar(60) NOT NULL, nullable int NOT NULL, def nvarchar(max) NULL, PRIMARY KEY (tbl, place))";

/// The names of those tables.
pub(super) const TABLE_NAMES: [&str; 4] = [
    "mirrorlab_ct_state",
    "mirrorlab_ct_commits",
    "mirrorlab_ct_tables",
    "mirrorlab_ct_columns",
];

/// The log of a table.
pub(super) fn log(id: i64) -> String {
    format!("{PREFIX}log{id}")
}

impl Tracking {
    pub fn of(means: Means) -> Tracking {
        match means.own_tracking {
            true => Tracking::Own,
            false => Tracking::Triggers,
        }
    }

    /// Makes a database a source: its tables, its counter at 1. 0 is what an untouched database has, and what a batch
    /// carries that has no LSN.
    pub fn create(self, connection: &mut Connection, database: &str) -> Result<(), MssqlError> {
        if self == Tracking::Own {
            for statement in own_settings(database) {
                connection.batch(&statement)?;
            }
        }
        connection.batch(TABLES)?;
        if self == Tracking::Own {
            connection.batch(OWN_TICK)?;
        }
        connection
            .batch("INSERT INTO mirrorlab_ct_state (one, version, seq, dirty, shape) VALUES (1, 1, 0, 0, 1)")
    }

    /// The statement that makes the entries of the next version a commit, if there are any. It ends in a semicolon.
    pub fn seal(self, now: i64) -> String {
        match self {
            Tracking::Own => String::new(),
            Tracking::Triggers => format!(
                "UPDATE mirrorlab_ct_state SET version = version + 1, dirty = 0 WHERE dirty = 1; IF @@ROWCOUNT > 0 \
                 INSERT INTO mirrorlab_ct_commits (version, time) SELECT s.version, {now} FROM mirrorlab_ct_state s; "
            ),
        }
    }

    /// The counter, and whether the log holds entries of the next version.
    pub fn version(self, connection: &mut Connection) -> Result<(i64, bool), MssqlError> {
        let sql = match self {
            Tracking::Own => OWN_VERSION,
            Tracking::Triggers => "SELECT s.version, s.dirty FROM mirrorlab_ct_state s",
        };
        let row = connection.row(sql, &[])?;
        let number = |at: usize| row.as_ref().and_then(|row| row.integer(at)).unwrap_or_default();
        Ok((number(0), number(1) != 0))
    }

    /// Moves the counter by one.
    fn bump(self, now: i64) -> String {
        match self {
            Tracking::Own => "UPDATE mirrorlab_ct_tick SET n = n + 1".into(),
            Tracking::Triggers => format!(
                "UPDATE mirrorlab_ct_state SET version = version + 1; \
                 INSERT INTO mirrorlab_ct_commits (version, time) SELECT s.version, {now} FROM mirrorlab_ct_state s"
            ),
        }
    }

    /// A table's tracking, if it has any.
    pub fn tracked(self, connection: &mut Connection, table: &str) -> Result<Option<Tracked>, MssqlError> {
        let row = match self {
            Tracking::Own => connection.row(&own_min_valid(table), &[])?,
            Tracking::Triggers => connection.row(
                "SELECT t.min_valid, t.id FROM mirrorlab_ct_tables t WHERE LOWER(t.name) = LOWER(@P1)",
                &[Param::text(table)],
            )?,
        };
        let number = |at: usize| row.as_ref().and_then(|row| row.integer(at));
        Ok(number(0).map(|min_valid| Tracked {
            id: number(1).unwrap_or_default(),
            min_valid,
        }))
    }

    /// Starts to track a table. The counter moves, so that every version given out before is below its minimum.
    pub fn start(self, connection: &mut Connection, table: &Table, now: i64) -> Result<(), MssqlError> {
        connection.batch(&self.bump(now))?;
        if self == Tracking::Own {
            return connection.batch(&own_start(&table.name));
        }
        let row = connection.row(
            "SELECT COALESCE(MAX(t.id), 0) + 1 FROM mirrorlab_ct_tables t",
            &[],
        )?;
        let id = row.and_then(|row| row.integer(0)).unwrap_or(1);
        connection.execute(
            "INSERT INTO mirrorlab_ct_tables (id, name, min_valid) SELECT @P1, @P2, s.version FROM mirrorlab_ct_state s",
            &[Param::integer(id), Param::text(&table.name)],
        )?;
        connection.batch(&make_log(table, id))?;
        for trigger in triggers(table, id) {
            connection.batch(&trigger)?;
        }
        Ok(())
    }

    /// Stops to track a table: its changes are forgotten.
    pub fn stop(self, connection: &mut Connection, table: &str, known: &Tracked) -> Result<(), MssqlError> {
        if self == Tracking::Own {
            return connection.batch(&format!("ALTER TABLE {} DISABLE CHANGE_TRACKING", quote(table)));
        }
        for (end, _) in TRIGGERS {
            connection.batch(&format!("DROP TRIGGER IF EXISTS {}", trigger_name(known.id, end)))?;
        }
        forget(connection, known.id)
    }

    /// After a table was altered, and perhaps made anew in doing so.
    pub fn resume(
        self,
        connection: &mut Connection,
        table: &Table,
        known: &Tracked,
    ) -> Result<(), MssqlError> {
        if self == Tracking::Own {
            return Ok(());
        }
        let there = connection.row(
            &format!(
                "SELECT COUNT(*) FROM sys.triggers g WHERE g.name = {}",
                text_literal(&trigger_name(known.id, TRIGGERS[0].0))
            ),
            &[],
        )?;
        if there.and_then(|row| row.integer(0)) == Some(0) {
            for trigger in triggers(table, known.id) {
                connection.batch(&trigger)?;
            }
        }
        Ok(())
    }

    /// Before a table is truncated: its old changes are forgotten, and the counter moves to its new minimum.
    pub fn begin_anew(
        self,
        connection: &mut Connection,
        known: &Tracked,
        now: i64,
    ) -> Result<(), MssqlError> {
        connection.batch(&self.bump(now))?;
        if self == Tracking::Own {
            return Ok(());
        }
        connection.batch(&format!(
            "DELETE FROM {}; UPDATE t SET min_valid = s.version FROM mirrorlab_ct_tables t CROSS JOIN mirrorlab_ct_state s \
             WHERE t.id = {}",
            log(known.id),
            known.id
        ))
    }

    /// The highest version that was made before a time; what is up to it may be forgotten. The engine's own tracking
    /// forgets by itself, by the server's clock.
    pub fn forgettable(self, connection: &mut Connection, before: i64) -> Result<Option<i64>, MssqlError> {
        if self == Tracking::Own {
            return Ok(None);
        }
        let row = connection.row(
            "SELECT MAX(c.version) FROM mirrorlab_ct_commits c WHERE c.time < @P1",
            &[Param::integer(before)],
        )?;
        Ok(row.and_then(|row| row.integer(0)))
    }

    /// Forgets every version up to `highest`. Every tracked table's minimum moves up to it, a quiet table's too: SQL
    /// Server keeps one clean-up version for the whole database.
    pub fn clean_up(self, connection: &mut Connection, highest: i64) -> Result<(), MssqlError> {
        for id in ids(connection)? {
            connection.batch(&format!("DELETE FROM {} WHERE version <= {highest}", log(id)))?;
        }
        connection.batch(&format!(
            "UPDATE mirrorlab_ct_tables SET min_valid = {highest} WHERE min_valid < {highest}; \
             DELETE FROM mirrorlab_ct_commits WHERE version <= {highest}"
        ))
    }

    /// Follows what a person's statements did to tables: a renamed one keeps its tracking, a dropped one loses it, also
    /// where another of its name was made since.
    pub fn follow_tables(self, connection: &mut Connection) -> Result<(), MssqlError> {
        if self == Tracking::Own {
            return Ok(());
        }
        let rows = connection.rows(
            "SELECT g.name, t.name FROM sys.triggers g JOIN sys.tables t ON t.object_id = g.parent_id",
            &[],
        )?;
        for id in ids(connection)? {
            let trigger = trigger_name(id, TRIGGERS[0].0);
            let on = rows.iter().find(|row| {
                row.text(0)
                    .is_some_and(|name| name.eq_ignore_ascii_case(&trigger))
            });
            match on.and_then(|row| row.text(1)) {
                Some(table) => {
                    connection.execute(
                        "UPDATE mirrorlab_ct_tables SET name = @P1 WHERE id = @P2 AND LOWER(name) <> LOWER(@P1)",
                        &[Param::text(table), Param::integer(id)],
                    )?;
                }
                None => forget(connection, id)?,
            }
        }
        Ok(())
    }

    /// The net changes of a table as rows of: whether the row is there, the letter, the key, and the row as it is now.
    pub fn changes(self, table: &Table, known: &Tracked, since: i64, until: i64, columns: &str) -> String {
        let (name, key) = (quote(&table.name), quote(&table.key().name));
        let (changed, letter, changed_key) = match self {
            Tracking::Own => (
                format!("CHANGETABLE(CHANGES {name}, {since}) AS c"),
                "c.SYS_CHANGE_OPERATION",
                format!("c.{key}"),
            ),
            Tracking::Triggers => (
                format!(
                    "(SELECT l.k, l.op, ROW_NUMBER() OVER (PARTITION BY l.k ORDER BY l.version, l.seq) AS nth FROM {} l \
                     WHERE l.version > {since} AND l.version <= {until}) AS c",
                    log(known.id)
                ),
                "c.op",
                "c.k".to_owned(),
            ),
        };
        let first = match self {
            Tracking::Own => "",
            Tracking::Triggers => "WHERE c.nth = 1 ",
        };
        let selected = mirrorlab_engines::mssql::value::select(&changed_key, table.key().ty);
        format!(
            "SELECT CASE WHEN t.{key} IS NULL THEN 0 ELSE 1 END, {letter}, {selected}, {columns} FROM {changed} \
             LEFT JOIN {name} t ON t.{key} = {changed_key} {first}ORDER BY {changed_key}"
        )
    }
}

/// The counter and its table, as the engine's own tracking has them.
const OWN_TICK: &str = "CREATE TABLE mirrorlab_ct_tick (one int NOT NULL PRIMARY KEY, n bigint NOT NULL); \
     ALTER TABLE mirrorlab_ct_tick ENABLE CHANGE_TRACKING; \
     INSERT INTO mirrorlab_ct_tick (one, n) VALUES (1, 1)";
const OWN_VERSION: &str = "SELECT CHANGE_TRACKING_CURRENT_VERSION(), 0";

/// What a database is set to before its tables are made.
fn own_settings(database: &str) -> [String; 2] {
    let database = quote(database);
    [
        format!("ALTER DATABASE {database} SET ALLOW_SNAPSHOT_ISOLATION ON"),
        format!(
            "ALTER DATABASE {database} SET CHANGE_TRACKING = ON (CHANGE_RETENTION = {RETENTION_DAYS} DAYS, AUTO_CLEANUP = OFF)"
        ),
    ]
}

fn own_min_valid(table: &str) -> String {
    format!(
        "SELECT CHANGE_TRACKING_MIN_VALID_VERSION(OBJECT_ID({})), 0",
        text_literal(&quote(table))
    )
}

fn own_start(table: &str) -> String {
    format!(
        "ALTER TABLE {} ENABLE CHANGE_TRACKING WITH (TRACK_COLUMNS_UPDATED = OFF)",
        quote(table)
    )
}

/// The ids of all tracked tables.
pub(super) fn ids(connection: &mut Connection) -> Result<Vec<i64>, MssqlError> {
    let rows = connection.rows("SELECT t.id FROM mirrorlab_ct_tables t ORDER BY t.id", &[])?;
    Ok(rows.iter().filter_map(|row| row.integer(0)).collect())
}

fn forget(connection: &mut Connection, id: i64) -> Result<(), MssqlError> {
    connection.batch(&format!(
        "DROP TABLE IF EXISTS {}; DELETE FROM mirrorlab_ct_tables WHERE id = {id}",
        log(id)
    ))
}

/// `CREATE TABLE` of a table's log.
pub(super) fn make_log(table: &Table, id: i64) -> String {
    format!(
        "CREATE TABLE {} (version bigint NOT NULL, seq bigint NOT NULL, op nchar(1) NOT NULL, k {} NOT NULL, \
         PRIMARY KEY (version, seq, k))",
        log(id),
        declared(table.key().ty)
    )
}

/// The triggers of a tracked table: their names' ends, and when they fire.
const TRIGGERS: [(&str, &str); 3] = [("insert", "INSERT"), ("update", "UPDATE"), ("delete", "DELETE")];

fn trigger_name(id: i64, end: &str) -> String {
    format!("{PREFIX}{end}{id}")
}

/// `CREATE TRIGGER`, each a batch of its own. A statement that touches no row fires them too, and is no change.
pub(super) fn triggers(table: &Table, id: i64) -> Vec<String> {
    let key = quote(&table.key().name);
    let into = format!(
        "INSERT INTO {} (version, seq, op, k) SELECT s.version + 1, s.seq,",
        log(id)
    );
    let state = "CROSS JOIN mirrorlab_ct_state s";
    TRIGGERS
        .iter()
        .map(|(end, event)| {
            let rows = match *end {
                "delete" => "deleted",
                _ => "inserted",
            };
            let body = match *end {
                "insert" => format!("{into} N'I', i.{key} FROM inserted i {state};"),
                "delete" => format!("{into} N'D', d.{key} FROM deleted d {state};"),
                // A key that changed is a delete of the old and an insert of the new one.
                _ => format!(
                    "{into} N'U', i.{key} FROM inserted i {state} \
                     WHERE EXISTS (SELECT 1 FROM deleted d WHERE d.{key} = i.{key}); \
                     {into} N'D', d.{key} FROM deleted d {state} \
                     WHERE NOT EXISTS (SELECT 1 FROM inserted i WHERE i.{key} = d.{key}); \
                     {into} N'I', i.{key} FROM inserted i {state} \
                     WHERE NOT EXISTS (SELECT 1 FROM deleted d WHERE d.{key} = i.{key});"
                ),
            };
            format!(
                "CREATE TRIGGER {} ON {} AFTER {event} AS BEGIN SET NOCOUNT ON; \
                 IF NOT EXISTS (SELECT 1 FROM {rows}) RETURN; \
                 UPDATE mirrorlab_ct_state SET seq = seq + 1, dirty = 1; {body} END",
                trigger_name(id, end),
                quote(&table.name)
            )
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::table;
    use sqlparser::dialect::MsSqlDialect;
    use sqlparser::parser::Parser;

    #[test]
    fn what_is_said_to_sql_server_itself() {
        let own = Tracking::Own;
        let known = Tracked { id: 0, min_valid: 3 };
        let shape = table("y_t]x");
        let mut said: Vec<String> = own_settings("Source_Cust1").to_vec();
        said.extend([
            TABLES.into(),
            OWN_TICK.into(),
            OWN_VERSION.into(),
            own.bump(0),
            own_min_valid(&shape.name),
            own_start(&shape.name),
            own.changes(&shape, &known, 3, 9, "t.[id], t.[text]"),
        ]);
        insta::assert_snapshot!(said.join("\n"));
        // What this grammar knows of it: not ENABLE CHANGE_TRACKING, nor the database's settings, nor CHANGETABLE(CHANGES …).
        // Another one reads the whole snapshot: `tests/grammar.rs`.
        for sql in [
            TABLES.to_owned(),
            OWN_VERSION.into(),
            own.bump(0),
            own_min_valid(&shape.name),
        ] {
            Parser::parse_sql(&MsSqlDialect {}, &sql).unwrap_or_else(|e| panic!("{e}: {sql}"));
        }
    }

    #[test]
    fn what_stands_in_for_it() {
        let tracking = Tracking::Triggers;
        let known = Tracked { id: 7, min_valid: 3 };
        let shape = table("y_t]x");
        let mut said = vec![
            make_log(&shape, 7),
            tracking.seal(1_800_000_000),
            tracking.bump(1_800_000_000),
            tracking.changes(&shape, &known, 3, 9, "t.[id], t.[text]"),
        ];
        said.extend(triggers(&shape, 7));
        insta::assert_snapshot!(said.join("\n"));
        for sql in &said {
            Parser::parse_sql(&MsSqlDialect {}, sql).unwrap_or_else(|e| panic!("{e}: {sql}"));
        }
    }
}
