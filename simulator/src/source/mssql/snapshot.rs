//! One moment of a source, read while writers go on.

use mirrorlab_engines::mssql::value::select;
use mirrorlab_engines::mssql::{Connection, Param, Row, quote};
use mirrorlab_protocol::excerpt;
use mirrorlab_protocol::message::RowOperation;
use mirrorlab_protocol::schema::Table;
use mirrorlab_protocol::value::Value;

use super::{MssqlSource, Trouble};
use crate::source::{ChangeSink, Flow, RowSink, Snapshot, SourceError};

/// A transaction under snapshot isolation. It ends when this is dropped.
pub(super) struct MssqlSnapshot<'s> {
    source: &'s mut MssqlSource,
    version: i64,
}

/// Begins a snapshot: the first read fixes the moment, and that is the version's.
pub(super) fn begin<'s>(source: &'s mut MssqlSource, doing: &str) -> Result<MssqlSnapshot<'s>, SourceError> {
    let tracking = source.tracking;
    let begun = source
        .connection
        .batch("SET TRANSACTION ISOLATION LEVEL SNAPSHOT; BEGIN TRANSACTION")
        .and_then(|()| tracking.version(&mut source.connection));
    match begun {
        Ok((version, _)) => Ok(MssqlSnapshot { source, version }),
        Err(error) => {
            end(source);
            Err(source.error(doing, error.into()))
        }
    }
}

fn end(source: &mut MssqlSource) {
    let ended = source
        .connection
        .batch("IF @@TRANCOUNT > 0 ROLLBACK TRANSACTION; SET TRANSACTION ISOLATION LEVEL READ COMMITTED");
    if ended.is_err() {
        source.connection.break_off();
    }
}

impl Drop for MssqlSnapshot<'_> {
    fn drop(&mut self) {
        end(self.source);
    }
}

/// How many rows a table has.
pub(super) fn count(connection: &mut Connection, table: &Table) -> Result<u64, Trouble> {
    let row = connection.row(&format!("SELECT COUNT_BIG(*) FROM {}", quote(&table.name)), &[])?;
    let count = row.and_then(|row| row.integer(0)).unwrap_or(-1);
    u64::try_from(count).map_err(|_| Trouble::Said("its rows were not counted".into()))
}

/// Some of a table's keys, in key order.
pub(super) fn keys(
    connection: &mut Connection,
    table: &Table,
    offset: u64,
    limit: u64,
) -> Result<Vec<Value<'static>>, Trouble> {
    if limit == 0 {
        return Ok(Vec::new());
    }
    let number = |n: u64| Param::integer(i64::try_from(n).unwrap_or(i64::MAX));
    let key = quote(&table.key().name);
    let rows = connection.rows(
        &format!(
            "SELECT {} FROM {} ORDER BY {key} OFFSET @P1 ROWS FETCH NEXT @P2 ROWS ONLY",
            select(&key, table.key().ty),
            quote(&table.name)
        ),
        &[number(offset), number(limit)],
    )?;
    rows.iter()
        .map(|row| {
            let value = row.value(0, table.key().ty);
            let value = value.map_err(|error| format!("column `{}`: {error}", table.key().name))?;
            Ok(value.into_owned())
        })
        .collect()
}

fn columns(table: &Table, prefix: &str) -> String {
    let names: Vec<String> = table
        .columns
        .iter()
        .map(|column| select(&format!("{prefix}{}", quote(&column.name)), column.ty))
        .collect();
    names.join(", ")
}

/// Reads a row's values, which begin at the result's column `from`.
fn values<'r>(table: &Table, row: &'r Row, from: usize) -> Result<Vec<Value<'r>>, Trouble> {
    let mut values: Vec<Value<'r>> = Vec::with_capacity(table.columns.len());
    for (at, column) in table.columns.iter().enumerate() {
        let value = row.value(from + at, column.ty).map_err(|error| {
            let key = values.first().map(ToString::to_string).unwrap_or_default();
            format!(
                "table `{}`, row with key {}, column `{}`: {error}",
                table.name,
                excerpt(&key),
                column.name
            )
        })?;
        values.push(value);
    }
    Ok(values)
}

/// An error of reading, or the sink's own.
enum Stopped {
    Reading(Trouble),
    Sink(SourceError),
}

impl<T: Into<Trouble>> From<T> for Stopped {
    fn from(trouble: T) -> Stopped {
        Stopped::Reading(trouble.into())
    }
}

impl MssqlSnapshot<'_> {
    fn ended(&self, result: Result<(), Stopped>, doing: String) -> Result<(), SourceError> {
        result.map_err(|stopped| match stopped {
            Stopped::Sink(error) => error,
            Stopped::Reading(trouble) => self.source.error(doing, trouble),
        })
    }

    fn stream(&mut self, table: &Table, sink: &mut RowSink<'_>) -> Result<(), Stopped> {
        let sql = format!(
            "SELECT {} FROM {} ORDER BY {}",
            columns(table, ""),
            quote(&table.name),
            quote(&table.key().name)
        );
        let mut rows = self.source.connection.stream(&sql, &[])?;
        while let Some(row) = rows.next_row()? {
            if sink(&values(table, &row, 0)?).map_err(Stopped::Sink)? == Flow::Stop {
                break;
            }
        }
        Ok(())
    }

    fn net(&mut self, table: &Table, since: i64, sink: &mut ChangeSink<'_>) -> Result<(), Stopped> {
        let tracking = self.source.tracking;
        let known = tracking.tracked(&mut self.source.connection, &table.name)?;
        let Some(known) = known else {
            return Err(Trouble::Said("its changes are not tracked".into()).into());
        };
        let sql = tracking.changes(table, &known, since, self.version, &columns(table, "t."));
        let mut rows = self.source.connection.stream(&sql, &[])?;
        while let Some(row) = rows.next_row()? {
            let flow = if row.integer(0) == Some(1) {
                let operation = match row.text(1).map(str::trim) {
                    Some("I") => RowOperation::Insert,
                    _ => RowOperation::Update,
                };
                sink(&operation, &values(table, &row, 3)?)
            } else {
                let key = row
                    .value(2, table.key().ty)
                    .map_err(|error| format!("column `{}`: {error}", table.key().name))?;
                let mut gone = vec![Value::Null; table.columns.len()];
                gone[0] = key;
                sink(&RowOperation::Delete, &gone)
            };
            if flow.map_err(Stopped::Sink)? == Flow::Stop {
                break;
            }
        }
        Ok(())
    }
}

impl Snapshot for MssqlSnapshot<'_> {
    fn version(&self) -> i64 {
        self.version
    }

    fn rows(&mut self, table: &Table, sink: &mut RowSink<'_>) -> Result<(), SourceError> {
        let result = self.stream(table, sink);
        self.ended(result, format!("read the rows of `{}`", table.name))
    }

    fn changes(&mut self, table: &Table, since: i64, sink: &mut ChangeSink<'_>) -> Result<(), SourceError> {
        let result = self.net(table, since, sink);
        self.ended(result, format!("read the changes of `{}`", table.name))
    }
}
