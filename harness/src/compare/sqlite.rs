//! A SQLite file as a side: a source, or a mirror.

use std::io::ErrorKind;
use std::path::Path;
use std::time::Duration;

use mirrorlab_engines::mssql::describe::UnreadableColumn;
use mirrorlab_engines::sqlite;
use mirrorlab_protocol::schema::Table;
use mirrorlab_protocol::types::ColumnType;
use mirrorlab_protocol::value::Value;
use rusqlite::fallible_streaming_iterator::FallibleStreamingIterator;
use rusqlite::{Connection, OpenFlags, Rows};

use super::NotCompared;
use super::side::{Cursor, Side, SideError, SideTable, UnreadableCell};

/// How long a lock by another process is waited for.
const BUSY_WAIT: Duration = Duration::from_secs(30);

/// Says which of a database's tables are compared.
pub type TableFilter = Box<dyn Fn(&str) -> bool>;

/// A SQLite database, opened for reading alone. It shows one moment: the one in which its tables were asked for first.
pub struct SqliteSide {
    name: String,
    connection: Connection,
    filter: TableFilter,
    in_snapshot: bool,
}

impl SqliteSide {
    /// Opens the file `path` for reading. `filter` says which tables are compared: a caller leaves out tracking and
    /// metadata tables. SQLite's own tables never count.
    ///
    /// # Errors
    /// [`SideError`] where the file is not there, cannot be read, or is no database.
    pub fn open(name: &str, path: &Path, filter: TableFilter) -> Result<SqliteSide, SideError> {
        let failed = |why: String| SideError {
            side: match path.ends_with(name) || path.as_os_str() == name {
                true => path.display().to_string(),
                false => format!("{name} ({})", path.display()),
            },
            table: None,
            why,
        };
        match std::fs::metadata(path) {
            Ok(meta) if meta.is_dir() => return Err(failed("it is a directory, not a database file".into())),
            Ok(_) => {}
            Err(error) if error.kind() == ErrorKind::NotFound => {
                return Err(failed("there is no such file".into()));
            }
            Err(error) => return Err(failed(error.to_string())),
        }
        // Not READ_ONLY: such a connection leaves the files of a write-ahead log behind when it goes. Where the file may
        // not be written, SQLite itself falls back to reading; where it may, `query_only` forbids it.
        let flags = OpenFlags::SQLITE_OPEN_READ_WRITE | OpenFlags::SQLITE_OPEN_NO_MUTEX;
        let connection = Connection::open_with_flags(path, flags).map_err(|e| failed(sqlite::explain(&e)))?;
        connection
            .execute_batch("PRAGMA query_only = ON; PRAGMA trusted_schema = OFF;")
            .map_err(|e| failed(sqlite::explain(&e)))?;
        connection
            .busy_timeout(BUSY_WAIT)
            .map_err(|e| failed(sqlite::explain(&e)))?;
        // Only now is the file read: one that is no database shows itself here.
        sqlite::names(&connection).map_err(|e| failed(sqlite::explain(&e)))?;
        Ok(SqliteSide::from_connection(name, connection, filter))
    }

    /// A side over a connection that is there already and is in no transaction.
    pub fn from_connection(name: &str, connection: Connection, filter: TableFilter) -> SqliteSide {
        SqliteSide {
            name: name.to_owned(),
            connection,
            filter,
            in_snapshot: false,
        }
    }

    #[cfg(test)]
    pub(super) fn connection(&self) -> &Connection {
        &self.connection
    }

    fn failed(&self, table: Option<&str>, error: &rusqlite::Error) -> SideError {
        failed(&self.name, table, error)
    }

    fn describe(&self, name: String) -> rusqlite::Result<SideTable> {
        let mut key: Vec<(i64, String)> = Vec::new();
        let mut unreadable = Vec::new();
        let mut statement = self
            .connection
            .prepare("SELECT name, type, pk FROM pragma_table_info(?1) ORDER BY cid")?;
        let mut rows = statement.query([&name])?;
        let mut at = 0;
        while let Some(row) = rows.next()? {
            let (column, declared, place): (String, String, i64) = (row.get(0)?, row.get(1)?, row.get(2)?);
            if sqlite::undeclared(&declared).is_none() {
                unreadable.push(UnreadableColumn {
                    why: format!("not a SQL Server type: `{column}` is declared `{declared}`"),
                    name: column.clone(),
                    at,
                });
            }
            at += 1;
            if place > 0 {
                key.push((place, column));
            }
        }
        key.sort();
        let readable = sqlite::describe_readable(&self.connection, &name)?.map(|(table, _)| table);
        Ok(SideTable {
            readable: readable.unwrap_or_else(|| Table {
                name: name.clone(),
                columns: Vec::new(),
            }),
            unreadable,
            name,
            key: key.into_iter().map(|(_, column)| column).collect(),
        })
    }
}

impl Side for SqliteSide {
    fn name(&self) -> &str {
        &self.name
    }

    fn tables(&mut self) -> Result<Vec<SideTable>, SideError> {
        let read = |side: &SqliteSide| -> rusqlite::Result<Vec<SideTable>> {
            let names = sqlite::names(&side.connection)?;
            names
                .into_iter()
                .filter(|name| (side.filter)(name))
                .map(|name| side.describe(name))
                .collect()
        };
        if !self.in_snapshot {
            self.connection
                .execute_batch("BEGIN")
                .map_err(|e| self.failed(None, &e))?;
            self.in_snapshot = true;
        }
        read(self).map_err(|e| self.failed(None, &e))
    }

    fn blind_spots(&self) -> Vec<NotCompared> {
        vec![NotCompared {
            what: "the sign of a zero in float columns".into(),
            why: "SQLite keeps none".into(),
        }]
    }

    fn rows(
        &mut self,
        table: &Table,
        columns: &[usize],
        key_columns: usize,
        read: &mut dyn FnMut(&mut dyn Cursor) -> Result<(), SideError>,
    ) -> Result<(), SideError> {
        let failed_here = |e: rusqlite::Error| self.failed(Some(&table.name), &e);
        let types: Vec<ColumnType> = columns.iter().map(|at| table.columns[*at].ty).collect();
        let names: Vec<String> = columns
            .iter()
            .map(|at| sqlite::quote(&table.columns[*at].name))
            .collect();
        let order: Vec<String> = names
            .iter()
            .zip(&types)
            .take(key_columns)
            .map(|(name, ty)| order_by(name, *ty))
            .collect();
        let sql = format!(
            "SELECT {} FROM {} ORDER BY {}",
            names.join(", "),
            sqlite::quote(&table.name),
            order.join(", ")
        );
        let mut statement = self.connection.prepare(&sql).map_err(failed_here)?;
        let rows = statement.query([]).map_err(failed_here)?;
        read(&mut SqliteCursor {
            rows,
            types: &types,
            side: &self.name,
            table: &table.name,
        })
    }
}

/// The order that [`Side::rows`] promises. Every form that SQLite keeps as text sorts by it, code point by code point,
/// whatever collation the column was given; integers are left alone, so that the table's own order serves.
fn order_by(name: &str, ty: ColumnType) -> String {
    if ty.integer_range().is_some() || ty.is_binary() {
        name.to_owned()
    } else {
        format!("{name} COLLATE BINARY")
    }
}

fn failed(side: &str, table: Option<&str>, error: &rusqlite::Error) -> SideError {
    SideError {
        side: side.to_owned(),
        table: table.map(str::to_owned),
        why: sqlite::explain(error),
    }
}

struct SqliteCursor<'s> {
    rows: Rows<'s>,
    types: &'s [ColumnType],
    side: &'s str,
    table: &'s str,
}

impl Cursor for SqliteCursor<'_> {
    fn advance(&mut self) -> Result<bool, SideError> {
        match self.rows.advance() {
            Ok(()) => Ok(self.rows.get().is_some()),
            Err(error) => Err(failed(self.side, Some(self.table), &error)),
        }
    }

    fn cell(&self, at: usize) -> Result<Value<'_>, UnreadableCell> {
        let row = self.rows.get().ok_or_else(|| UnreadableCell("no row".into()))?;
        let stored = row.get_ref(at).map_err(|e| UnreadableCell(e.to_string()))?;
        sqlite::read(stored, self.types[at]).map_err(|e| UnreadableCell(e.found))
    }
}
