//! Mirrors in SQLite: one file per tenant.
//!
//! - `idle`: connections kept open between the calls of a cycle
//! - `place`: one call at a time on a file; opening and making it
//! - `metadata`: the table `<context>_mirroring`
//! - `rows`: rows into a table
//!
//! Between two cycles a mirror is one quiet file without a write-ahead log beside it: a person may copy it, put a backup
//! in its place, delete it or change it with any tool, and the next call sees what is there. Within a cycle the file is
//! kept open from one call to the next, since opening it anew means to read all of its tables' declarations. Even then
//! the file is whole after each call, its log empty; a reader with any tool disturbs nothing and is not disturbed; and a
//! file that was replaced, deleted or written over in between is opened anew (`idle` says how).

mod idle;
mod metadata;
mod place;
mod rows;
#[cfg(test)]
mod tests;

use std::path::{Path, PathBuf};
use std::time::Duration;

use mirrorlab_engines::sqlite::{self, Durability, explain, quote};
use mirrorlab_protocol::message::Rows;
use mirrorlab_protocol::names::same_name;
use mirrorlab_protocol::schema::Table;
use rusqlite::hooks::{AuthAction, AuthContext, Authorization};
use rusqlite::{Connection, ErrorCode, OptionalExtension};

use super::metadata::metadata_table;
use super::{Applied, MirrorPlace, MirrorStore, MirrorTransaction, Scope, StoreError, StoredTable};
use idle::IdleConnections;
use metadata::Metadata;
use place::{Held, Identity, Places};

/// How a [`SqliteStore`] works.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct SqliteOptions {
    /// What must survive when the machine itself stops.
    pub durability: Durability,
    /// How long a call waits for another one on the same mirror, and for other programs that have it locked.
    pub busy_wait: Duration,
    /// How long a file is kept open for a cycle's next call, which may never come; zero closes it with each call.
    pub keep_open: Duration,
}

impl Default for SqliteOptions {
    fn default() -> SqliteOptions {
        SqliteOptions {
            durability: Durability::Full,
            // Below the sender's own time-out, a minute in .NET unless told otherwise.
            busy_wait: Duration::from_secs(30),
            keep_open: Duration::from_secs(1),
        }
    }
}

/// Mirrors in SQLite files.
#[derive(Debug, Default)]
pub struct SqliteStore {
    options: SqliteOptions,
    places: Places,
    idle: IdleConnections,
}

impl SqliteStore {
    /// A store that works as `options` say.
    pub fn new(options: SqliteOptions) -> SqliteStore {
        SqliteStore {
            options,
            places: Places::default(),
            idle: IdleConnections::default(),
        }
    }

    fn hold(&self, path: &Path) -> Result<Held<'_>, StoreError> {
        self.places
            .hold(path, self.options.busy_wait)
            .ok_or_else(|| StoreError::Busy { mirror: shown(path) })
    }
}

impl MirrorStore for SqliteStore {
    // A file has one writer, whatever it writes to.
    fn begin_on<'s>(
        &'s self,
        context: &str,
        place: &MirrorPlace,
        _scope: Scope<'_>,
    ) -> Result<Box<dyn MirrorTransaction + 's>, StoreError> {
        let path = file_of(place)?;
        let held = self.hold(path)?;
        let metadata = Metadata::new(context);
        let connection = match self.idle.take(path) {
            Some(mut connection) => {
                place::provide_metadata(&mut connection, path, &metadata)?;
                connection
            }
            None => place::open(path, &metadata, &self.options)?,
        };
        connection
            .execute_batch("BEGIN IMMEDIATE")
            .map_err(|e| refused(path, "begin a transaction", &e))?;
        Ok(Box::new(SqliteTransaction {
            identity: Identity::of(path),
            connection,
            path: path.to_owned(),
            metadata,
            scripted: false,
            store: self,
            _held: held,
        }))
    }

    fn rest(&self, _context: &str, place: &MirrorPlace) {
        if let MirrorPlace::SqliteFile(path) = place {
            self.idle.close(path);
        }
    }

    // A file's errors do not pass by waiting for less than its lock's limit.
    fn pause_before_retry(&self, _error: &StoreError, _attempt: u32, _spent: Duration) -> Option<Duration> {
        None
    }

    fn invalidate(&self, context: &str, place: &MirrorPlace, table: Option<&str>) -> Result<u64, StoreError> {
        let path = file_of(place)?;
        let _held = self.hold(path)?;
        let metadata = Metadata::new(context);
        let connection = place::open_existing(path, &self.options)?;
        metadata.require(&connection, path)?;
        let listed = metadata
            .names(&connection)
            .map_err(|e| refused(path, &format!("read {}", metadata.table), &e))?;
        let names: Vec<&String> = match table {
            None => listed.iter().collect(),
            Some(table) => listed.iter().filter(|name| same_name(name, table)).collect(),
        };
        if let (Some(table), true) = (table, names.is_empty()) {
            return Err(StoreError::NotInMetadata {
                table: mirrorlab_protocol::excerpt(table),
                count: listed.len(),
                metadata: metadata.table,
                mirror: shown_whole(path),
            });
        }
        let transaction = connection
            .unchecked_transaction()
            .map_err(|e| refused(path, "begin a transaction", &e))?;
        for name in &names {
            metadata
                .invalidate(&transaction, name, false)
                .map_err(|e| refused(path, &format!("set the LSN of {name}"), &e))?;
        }
        transaction.commit().map_err(|e| refused(path, "commit", &e))?;
        Ok(names.len() as u64)
    }
}

/// One call's transaction. Dropped uncommitted, its connection goes, and SQLite rolls back.
struct SqliteTransaction<'s> {
    // Dropped in this order: the file is let go only after its connection is closed.
    connection: Connection,
    path: PathBuf,
    metadata: Metadata,
    /// Which file was opened, to notice one put in its place.
    identity: Option<Identity>,
    /// Whether a partner's statements ran: what they set or made for their connection must not outlive the call.
    scripted: bool,
    store: &'s SqliteStore,
    _held: Held<'s>,
}

impl SqliteTransaction<'_> {
    fn refused(&self, doing: &str, error: &rusqlite::Error) -> StoreError {
        refused(&self.path, doing, error)
    }

    /// The spelling under which the metadata lists a table.
    fn listed(&self, table: &str) -> Result<String, StoreError> {
        self.metadata
            .listed(&self.connection, table)
            .map_err(|e| self.refused(&format!("read {}", self.metadata.table), &e))?
            .ok_or_else(|| StoreError::UnknownTable(mirrorlab_protocol::excerpt(table)))
    }

    fn execute(&self, doing: &str, sql: &str) -> Result<(), StoreError> {
        self.connection
            .execute_batch(sql)
            .map_err(|e| self.refused(doing, &e))
    }

    /// Partners' indexes and triggers on a table, which a rebuild would lose.
    fn companions(&self, table: &str) -> rusqlite::Result<Vec<String>> {
        self.connection
            .prepare(
                "SELECT sql FROM sqlite_master WHERE type IN ('index', 'trigger') AND sql IS NOT NULL \
                 AND tbl_name = ?1 COLLATE NOCASE ORDER BY type, name",
            )?
            .query_map([table], |row| row.get(0))?
            .collect()
    }

    fn rebuild(&self, old: &Table, new: &Table) -> rusqlite::Result<()> {
        let companions = self.companions(&old.name)?;
        sqlite::rebuild(&self.connection, old, new)?;
        for sql in companions {
            // An index on a column that is gone goes with it, as in SQL Server it would have to.
            if let Err(error) = self.connection.execute_batch(&sql) {
                tracing::warn!(table = new.name, sql, %error, "an index or trigger did not survive a schema change");
            }
        }
        Ok(())
    }
}

impl MirrorTransaction for SqliteTransaction<'_> {
    fn tables(&mut self) -> Result<Vec<StoredTable>, StoreError> {
        self.metadata.read_all(&self.connection, &self.path)
    }

    fn table(&mut self, name: &str) -> Result<Option<StoredTable>, StoreError> {
        self.metadata.read_one(&self.connection, &self.path, name)
    }

    fn create(&mut self, table: &Table) -> Result<(), StoreError> {
        let doing = format!("create table {}", table.name);
        let taken: Option<String> = self
            .connection
            .query_row(
                "SELECT name FROM sqlite_master WHERE name = ?1 COLLATE NOCASE",
                [&table.name],
                |row| row.get(0),
            )
            .optional()
            .map_err(|e| self.refused(&doing, &e))?;
        if let Some(table) = taken {
            return Err(StoreError::ForeignTable {
                mirror: shown(&self.path),
                table,
            });
        }
        self.execute(&doing, &sqlite::create_table(table))?;
        self.metadata
            .put(&self.connection, table)
            .map_err(|e| self.refused(&doing, &e))
    }

    fn alter(&mut self, old: &Table, new: &Table) -> Result<(), StoreError> {
        let doing = format!("change table {}", old.name);
        // The table keeps the spelling that it was made with.
        let new = Table {
            name: old.name.clone(),
            columns: new.columns.clone(),
        };
        let appended = new.columns.strip_prefix(old.columns.as_slice()).map(|added| {
            added
                .iter()
                .map(|column| sqlite::add_column(&old.name, column))
                .collect::<Option<Vec<_>>>()
        });
        match appended {
            Some(Some(statements)) => {
                for sql in statements {
                    self.execute(&doing, &sql)?;
                }
            }
            _ => self.rebuild(old, &new).map_err(|e| self.refused(&doing, &e))?,
        }
        self.metadata
            .put_schema(&self.connection, &new)
            .map_err(|e| self.refused(&doing, &e))
    }

    fn drop_table(&mut self, name: &str) -> Result<(), StoreError> {
        let listed = self.listed(name)?;
        let doing = format!("drop table {listed}");
        self.execute(&doing, &format!("DROP TABLE IF EXISTS {}", quote(&listed)))?;
        self.metadata
            .delete(&self.connection, &listed)
            .map_err(|e| self.refused(&doing, &e))
    }

    fn wipe(&mut self, table: &Table) -> Result<(), StoreError> {
        let listed = self.listed(&table.name)?;
        self.execute(
            &format!("wipe {listed}"),
            &format!("DELETE FROM {}", quote(&listed)),
        )?;
        self.metadata
            .invalidate(&self.connection, &listed, true)
            .map_err(|e| self.refused(&format!("set the LSN of {listed}"), &e))
    }

    fn apply(&mut self, table: &Table, order: &[usize], rows: &Rows<'_>) -> Result<Applied, StoreError> {
        rows::apply(&self.connection, &self.path, table, order, rows)
    }

    fn set_lsn(&mut self, table: &str, lsn: i64) -> Result<(), StoreError> {
        let listed = self.listed(table)?;
        self.metadata
            .set_lsn(&self.connection, &listed, lsn)
            .map_err(|e| self.refused(&format!("set the LSN of {listed}"), &e))
    }

    fn has_row(&mut self, table: &Table, null_in: Option<usize>) -> Result<bool, StoreError> {
        let condition = match null_in.and_then(|at| table.columns.get(at)) {
            Some(column) => format!(" WHERE {} IS NULL", quote(&column.name)),
            None => String::new(),
        };
        let sql = format!("SELECT EXISTS (SELECT 1 FROM {}{condition})", quote(&table.name));
        self.connection
            .query_row(&sql, [], |row| row.get(0))
            .map_err(|e| self.refused(&format!("look into table {}", table.name), &e))
    }

    fn run_script(&mut self, sql: &str) -> Result<(), StoreError> {
        const DOING: &str = "run the partner's statements";
        self.scripted = true;
        let guard = |context: AuthContext<'_>| match context.action {
            AuthAction::Transaction { .. } | AuthAction::Attach { .. } | AuthAction::Detach { .. } => {
                Authorization::Deny
            }
            _ => Authorization::Allow,
        };
        self.connection
            .authorizer(Some(guard))
            .map_err(|e| refused(&self.path, DOING, &e))?;
        let ran = self.connection.execute_batch(sql);
        self.connection
            .authorizer(None::<fn(AuthContext<'_>) -> Authorization>)
            .map_err(|e| refused(&self.path, DOING, &e))?;
        ran.map_err(|e| match e.sqlite_error_code() {
            Some(ErrorCode::AuthorizationForStatementDenied) => StoreError::Engine {
                mirror: shown(&self.path),
                doing: DOING.into(),
                why:
                    "BEGIN, COMMIT, ROLLBACK, ATTACH and DETACH are not for them: they run inside the call's \
                      transaction"
                        .into(),
            },
            _ => self.refused(DOING, &e),
        })
    }

    fn commit(self: Box<Self>) -> Result<(), StoreError> {
        if self.identity != Identity::of(&self.path) {
            return Err(StoreError::Engine {
                mirror: shown(&self.path),
                doing: "commit".into(),
                why: "the file was removed or replaced while the call ran; nothing of the call is kept"
                    .into(),
            });
        }
        self.execute("commit", "COMMIT")?;
        let SqliteTransaction {
            connection,
            path,
            scripted,
            store,
            _held: held,
            ..
        } = *self;
        if scripted {
            drop(connection);
        } else {
            let SqliteOptions {
                keep_open, busy_wait, ..
            } = store.options;
            store.idle.keep(&path, connection, keep_open, busy_wait);
        }
        // Only now may the next call have the file.
        drop(held);
        Ok(())
    }
}

fn file_of(place: &MirrorPlace) -> Result<&Path, StoreError> {
    match place {
        MirrorPlace::SqliteFile(path) => Ok(path),
        MirrorPlace::SqlServerDatabase(name) => Err(StoreError::Open {
            mirror: name.clone(),
            why: "it is a SQL Server database, and this server keeps its mirrors in SQLite files".into(),
        }),
    }
}

/// A mirror as errors name it to a caller: the file alone. Where it lives in this house is nobody's business outside.
fn shown(path: &Path) -> String {
    path.file_name()
        .unwrap_or(path.as_os_str())
        .to_string_lossy()
        .into_owned()
}

/// A mirror as errors name it to a person at this machine.
fn shown_whole(path: &Path) -> String {
    path.display().to_string()
}

fn refused(path: &Path, doing: &str, error: &rusqlite::Error) -> StoreError {
    match error.sqlite_error_code() {
        Some(ErrorCode::DatabaseBusy | ErrorCode::DatabaseLocked) => StoreError::Busy { mirror: shown(path) },
        _ => StoreError::Engine {
            mirror: shown(path),
            doing: doing.to_owned(),
            why: explain(error),
        },
    }
}
