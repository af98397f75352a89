//! A database of a SQL Server as a side: a source, a mirror, or anybody's.

use mirrorlab_engines::mssql::describe::describe_all;
use mirrorlab_engines::mssql::exact::order_by;
use mirrorlab_engines::mssql::value::select;
use mirrorlab_engines::mssql::{
    Address, Connection, Kind, MssqlError, Row, RowStream, ServerOptions, quote, retry,
};
use mirrorlab_protocol::schema::Table;
use mirrorlab_protocol::types::ColumnType;
use mirrorlab_protocol::value::Value;

use super::NotCompared;
use super::side::{Cursor, Side, SideError, SideTable, UnreadableCell};
use super::spool;
use super::sqlite::TableFilter;

/// How often the catalogue is read anew after an error that passes.
const READ_RETRIES: u32 = 5;

/// A database of a SQL Server: the tables of the login's default schema. Nothing is written to it.
///
/// Where the database allows snapshot isolation, it shows one moment: the one in which its tables were asked for first.
pub struct MssqlSide {
    name: String,
    connection: Connection,
    filter: TableFilter,
    place: Place,
    in_snapshot: bool,
    remarks: Vec<String>,
}

/// Where a side's tables are.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Place {
    /// The database, as the server writes it.
    pub database: String,
    /// The login's default schema there.
    pub schema: String,
    /// Whether the database allows snapshot isolation.
    pub one_moment: bool,
}

impl MssqlSide {
    /// Connects to the database that `address` names. `filter` says which tables are compared: a caller leaves out
    /// tracking and metadata tables.
    ///
    /// # Errors
    /// [`SideError`] where it cannot be reached or entered.
    pub fn open(name: &str, address: &Address, filter: TableFilter) -> Result<MssqlSide, SideError> {
        let failed = |e: &MssqlError| SideError {
            side: name.to_owned(),
            table: None,
            why: e.to_string(),
        };
        let options = ServerOptions::default();
        let mut connection = retry::retry(
            options.wait_limit,
            |kind| kind == Kind::Transient,
            || Connection::open(address, options.statement_limit),
        )
        .map_err(|e| failed(&e))?;
        // Engines other than SQL Server have no such setting, and take snapshots as they are.
        let row = connection
            .row(
                "SELECT DB_NAME(), SCHEMA_NAME(), CASE WHEN CAST(@@VERSION AS nvarchar(max)) LIKE N'Microsoft %' \
                 THEN (SELECT CAST(d.snapshot_isolation_state AS int) FROM sys.databases d WHERE d.name = DB_NAME()) \
                 ELSE 1 END",
                &[],
            )
            .map_err(|e| failed(&e))?;
        let text = |at: usize| row.as_ref().and_then(|r| r.text(at)).map(str::to_owned);
        let place = Place {
            database: text(0).unwrap_or_else(|| address.database.clone()),
            schema: text(1).unwrap_or_else(|| "dbo".into()),
            one_moment: row.as_ref().and_then(|r| r.integer(2)) == Some(1),
        };
        Ok(MssqlSide {
            name: name.to_owned(),
            connection,
            filter,
            place,
            in_snapshot: false,
            remarks: Vec::new(),
        })
    }

    /// The connection, and where the tables are.
    pub(super) fn parts(&mut self) -> (&mut Connection, &Place) {
        (&mut self.connection, &self.place)
    }

    /// Where the tables are.
    pub(super) fn place(&self) -> &Place {
        &self.place
    }

    /// The server that it is on.
    pub(super) fn address(&self) -> &Address {
        self.connection.address()
    }

    fn begin(&mut self) -> Result<(), MssqlError> {
        if self.in_snapshot {
            return Ok(());
        }
        if self.place.one_moment {
            self.connection
                .batch("SET TRANSACTION ISOLATION LEVEL SNAPSHOT; BEGIN TRANSACTION")?;
        }
        self.in_snapshot = true;
        Ok(())
    }
}

impl MssqlSide {
    fn end(&mut self) -> Result<(), MssqlError> {
        self.in_snapshot = false;
        // Two batches: an engine may refuse all of a batch that sets the level and begins in a transaction that failed.
        self.connection.batch("IF @@TRANCOUNT > 0 ROLLBACK TRANSACTION")?;
        self.connection
            .batch("SET TRANSACTION ISOLATION LEVEL READ COMMITTED")
    }
}

impl Side for MssqlSide {
    fn name(&self) -> &str {
        &self.name
    }

    fn tables(&mut self) -> Result<Vec<SideTable>, SideError> {
        let mut attempt = 1;
        let described = loop {
            match self.begin().and_then(|()| describe_all(&mut self.connection)) {
                // The moment that had begun is given up, and another one taken.
                Err(e) if e.kind == Kind::Transient && attempt <= READ_RETRIES => {
                    std::thread::sleep(retry::pause(attempt));
                    attempt += 1;
                    self.end().map_err(|e| failed(&self.name, None, &e))?;
                }
                done => break done.map_err(|e| failed(&self.name, None, &e))?,
            }
        };
        Ok(described
            .into_iter()
            .filter(|table| (self.filter)(&table.name))
            .map(|table| SideTable {
                name: table.name,
                readable: table.readable,
                unreadable: table.unreadable,
                key: table.key,
            })
            .collect())
    }

    fn blind_spots(&self) -> Vec<NotCompared> {
        if self.place.one_moment {
            return Vec::new();
        }
        vec![NotCompared {
            what: format!("one moment of {}", self.name),
            why: "its database does not allow snapshot isolation: what is written during the comparison may show as a \
                  difference"
                .into(),
        }]
    }

    fn on_server(&mut self) -> Option<&mut MssqlSide> {
        Some(self)
    }

    fn take_remarks(&mut self) -> Vec<String> {
        std::mem::take(&mut self.remarks)
    }

    fn rows(
        &mut self,
        table: &Table,
        columns: &[usize],
        key_columns: usize,
        read: &mut dyn FnMut(&mut dyn Cursor) -> Result<(), SideError>,
    ) -> Result<(), SideError> {
        let types: Vec<ColumnType> = columns.iter().map(|at| table.columns[*at].ty).collect();
        let names: Vec<String> = columns.iter().map(|at| quote(&table.columns[*at].name)).collect();
        let selected: Vec<String> = names
            .iter()
            .zip(&types)
            .map(|(name, ty)| select(name, *ty))
            .collect();
        let order: Option<Vec<String>> = names
            .iter()
            .zip(&types)
            .take(key_columns)
            .map(|(name, ty)| order_by(name, *ty))
            .collect();
        let mut sql = format!("SELECT {} FROM {}", selected.join(", "), quote(&table.name));
        match &order {
            Some(order) => sql.push_str(&format!(" ORDER BY {}", order.join(", "))),
            None => self.remarks.push(format!(
                "the rows of {} in {} were sorted here: no order of the engine is the one by code point and byte",
                table.name, self.name
            )),
        }
        let failed_here = |e: &MssqlError| failed(&self.name, Some(&table.name), e);
        let stream = self.connection.stream(&sql, &[]).map_err(|e| failed_here(&e))?;
        let mut cursor = MssqlCursor {
            stream,
            row: None,
            types: &types,
            failed: &failed_here,
        };
        match order {
            Some(_) => read(&mut cursor),
            None => {
                let cannot = |why: String| SideError {
                    side: self.name.clone(),
                    table: Some(table.name.clone()),
                    why,
                };
                spool::sorted(&mut cursor, types.len(), key_columns, &cannot, read)
            }
        }
    }
}

pub(super) fn failed(side: &str, table: Option<&str>, error: &MssqlError) -> SideError {
    SideError {
        side: side.to_owned(),
        table: table.map(str::to_owned),
        why: error.to_string(),
    }
}

/// A cell of a row that was selected as [`select`] has it.
pub(super) fn cell(row: &Row, at: usize, ty: ColumnType) -> Result<Value<'_>, UnreadableCell> {
    row.value(at, ty).map_err(|e| UnreadableCell(e.found))
}

struct MssqlCursor<'s> {
    stream: RowStream<'s>,
    row: Option<Row>,
    types: &'s [ColumnType],
    failed: &'s dyn Fn(&MssqlError) -> SideError,
}

impl Cursor for MssqlCursor<'_> {
    fn advance(&mut self) -> Result<bool, SideError> {
        self.row = self.stream.next_row().map_err(|e| (self.failed)(&e))?;
        Ok(self.row.is_some())
    }

    fn cell(&self, at: usize) -> Result<Value<'_>, UnreadableCell> {
        let row = self.row.as_ref().ok_or_else(|| UnreadableCell("no row".into()))?;
        cell(row, at, self.types[at])
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicBool, Ordering};

    use mirrorlab_engines::mssql::testing::mock::{Cell, Mock, Question, Reply};

    use super::*;

    #[test]
    fn a_moment_that_failed_is_given_up_and_another_one_is_taken() {
        // Babelfish's ways: its catalogue is changed meanwhile; a transaction that failed takes a rollback alone.
        let refused = |words: &str| Reply::Error(33_557_097, words.to_owned());
        let (was_asked, has_failed) = (AtomicBool::new(false), AtomicBool::new(false));
        let mock = Mock::start(move |question| {
            let Question::Sql { sql, .. } = question else {
                return Reply::Done;
            };
            if sql.starts_with("SELECT DB_NAME()") {
                let text = |text: &str| Cell::Text(text.to_owned());
                return Reply::row(vec![text("Mirror"), text("dbo"), Cell::Integer(1)]);
            }
            if has_failed.load(Ordering::SeqCst) {
                if sql != "IF @@TRANCOUNT > 0 ROLLBACK TRANSACTION" {
                    return refused("the transaction is aborted");
                }
                has_failed.store(false, Ordering::SeqCst);
            } else if sql.contains("FROM sys.") && !was_asked.swap(true, Ordering::SeqCst) {
                has_failed.store(true, Ordering::SeqCst);
                return refused("tuple concurrently updated");
            }
            Reply::Done
        });
        let mut side = MssqlSide::open("mirror", &mock.address(), Box::new(|_| true)).unwrap();
        assert!(side.tables().unwrap().is_empty());
        assert_eq!(mock.count("BEGIN TRANSACTION"), 2, "two moments");
    }
}
