//! One moment of a source, read while writers go on.

use mirrorlab_engines::sqlite::{explain, quote, read};
use mirrorlab_protocol::excerpt;
use mirrorlab_protocol::message::RowOperation;
use mirrorlab_protocol::schema::Table;
use mirrorlab_protocol::value::Value;
use rusqlite::{Connection, Row, Transaction, TransactionBehavior, params};

use super::{Trouble, tracking};
use crate::source::{ChangeSink, Flow, RowSink, Snapshot, SourceError};

/// A read transaction on the source's file. It ends when this is dropped.
pub(super) struct SqliteSnapshot<'s> {
    name: &'s str,
    transaction: Transaction<'s>,
    version: i64,
}

/// Begins a snapshot: the first read fixes the moment.
pub(super) fn begin<'s>(name: &'s str, connection: &'s Connection) -> rusqlite::Result<SqliteSnapshot<'s>> {
    let transaction = Transaction::new_unchecked(connection, TransactionBehavior::Deferred)?;
    let version = tracking::version(&transaction)?;
    Ok(SqliteSnapshot {
        name,
        transaction,
        version,
    })
}

/// How many rows a table has.
pub(super) fn count(connection: &Connection, table: &Table) -> Result<u64, Trouble> {
    let count: i64 = connection.query_row(
        &format!("SELECT count(*) FROM {}", quote(&table.name)),
        [],
        |row| row.get(0),
    )?;
    u64::try_from(count).map_err(|_| Trouble::Said(format!("it counted {count} rows")))
}

/// Some of a table's keys, in key order.
pub(super) fn keys(
    connection: &Connection,
    table: &Table,
    offset: u64,
    limit: u64,
) -> Result<Vec<Value<'static>>, Trouble> {
    let sqlite = |n: u64| i64::try_from(n).unwrap_or(i64::MAX);
    let key = quote(&table.key().name);
    let mut statement = connection.prepare_cached(&format!(
        "SELECT {key} FROM {} ORDER BY {key} LIMIT ?1 OFFSET ?2",
        quote(&table.name)
    ))?;
    let mut rows = statement.query(params![sqlite(limit), sqlite(offset)])?;
    let mut found = Vec::new();
    while let Some(row) = rows.next()? {
        let value = read(row.get_ref(0)?, table.key().ty)
            .map_err(|error| format!("column `{}`: {error}", table.key().name))?;
        found.push(value.into_owned());
    }
    Ok(found)
}

fn columns(table: &Table, prefix: &str) -> String {
    let names: Vec<String> = table
        .columns
        .iter()
        .map(|column| format!("{prefix}{}", quote(&column.name)))
        .collect();
    names.join(", ")
}

/// Reads a row's values, which begin at the statement's column `from`.
fn values<'r>(table: &Table, row: &'r Row<'_>, from: usize) -> Result<Vec<Value<'r>>, Trouble> {
    let mut values: Vec<Value<'r>> = Vec::with_capacity(table.columns.len());
    for (at, column) in table.columns.iter().enumerate() {
        let value = read(row.get_ref(from + at)?, column.ty).map_err(|error| {
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

/// The net changes of a table after `since` and up to `until`, in key order, each with its row as it is now.
pub(super) fn net_changes<E: From<Trouble>>(
    connection: &Connection,
    table: &Table,
    id: i64,
    (since, until): (i64, i64),
    mut sink: impl FnMut(&RowOperation, &[Value<'_>]) -> Result<Flow, E>,
) -> Result<(), E> {
    let sql = |error: rusqlite::Error| E::from(Trouble::Sql(error));
    // Most tables are quiet most of the time; theirs is the shortest way out.
    let any: bool = connection
        .prepare_cached(
            "SELECT EXISTS (SELECT 1 FROM mirrorlab_ct_changes WHERE tbl = ?1 AND version > ?2 AND version <= ?3)",
        )
        .and_then(|mut statement| statement.query_row(params![id, since, until], |row| row.get(0)))
        .map_err(sql)?;
    if !any {
        return Ok(());
    }
    // Beside min() SQLite takes the other columns from the row where the minimum was found: the first entry's letter.
    let mut statement = connection
        .prepare(&format!(
            "SELECT c.key, c.op, {} FROM (SELECT key, op, min(seq) FROM mirrorlab_ct_changes \
             WHERE tbl = ?1 AND version > ?2 AND version <= ?3 GROUP BY key) AS c \
             LEFT JOIN {} AS t ON t.{key} = c.key ORDER BY c.key",
            columns(table, "t."),
            quote(&table.name),
            key = quote(&table.key().name),
        ))
        .map_err(sql)?;
    let mut rows = statement.query(params![id, since, until]).map_err(sql)?;
    while let Some(row) = rows.next().map_err(sql)? {
        let there = !matches!(row.get_ref(2).map_err(sql)?, rusqlite::types::ValueRef::Null);
        let flow = if there {
            let inserted = row.get_ref(1).map_err(sql)?.as_str().is_ok_and(|op| op == "I");
            let operation = if inserted {
                RowOperation::Insert
            } else {
                RowOperation::Update
            };
            sink(&operation, &values(table, row, 2)?)?
        } else {
            let key = read(row.get_ref(0).map_err(sql)?, table.key().ty)
                .map_err(|error| Trouble::Said(format!("column `{}`: {error}", table.key().name)))?;
            let mut gone = vec![Value::Null; table.columns.len()];
            gone[0] = key;
            sink(&RowOperation::Delete, &gone)?
        };
        if flow == Flow::Stop {
            break;
        }
    }
    Ok(())
}

/// An error of reading, or the sink's own.
enum Stopped {
    Reading(Trouble),
    Sink(SourceError),
}

impl From<Trouble> for Stopped {
    fn from(trouble: Trouble) -> Stopped {
        Stopped::Reading(trouble)
    }
}

impl From<rusqlite::Error> for Stopped {
    fn from(error: rusqlite::Error) -> Stopped {
        Stopped::Reading(Trouble::Sql(error))
    }
}

impl SqliteSnapshot<'_> {
    fn ended(&self, result: Result<(), Stopped>, doing: String) -> Result<(), SourceError> {
        result.map_err(|stopped| match stopped {
            Stopped::Sink(error) => error,
            Stopped::Reading(trouble) => SourceError {
                source_name: self.name.to_owned(),
                doing,
                why: match trouble {
                    Trouble::Sql(error) => explain(&error),
                    Trouble::Said(text) => text,
                },
            },
        })
    }

    fn stream(&self, table: &Table, sink: &mut RowSink<'_>) -> Result<(), Stopped> {
        let mut statement = self.transaction.prepare(&format!(
            "SELECT {} FROM {} ORDER BY {}",
            columns(table, ""),
            quote(&table.name),
            quote(&table.key().name)
        ))?;
        let mut rows = statement.query([])?;
        while let Some(row) = rows.next()? {
            if sink(&values(table, row, 0)?).map_err(Stopped::Sink)? == Flow::Stop {
                break;
            }
        }
        Ok(())
    }
}

impl Snapshot for SqliteSnapshot<'_> {
    fn version(&self) -> i64 {
        self.version
    }

    fn rows(&mut self, table: &Table, sink: &mut RowSink<'_>) -> Result<(), SourceError> {
        let result = self.stream(table, sink);
        self.ended(result, format!("read the rows of `{}`", table.name))
    }

    fn changes(&mut self, table: &Table, since: i64, sink: &mut ChangeSink<'_>) -> Result<(), SourceError> {
        let result = match tracking::tracked(&self.transaction, &table.name) {
            Err(error) => Err(error.into()),
            Ok(None) => Err(Trouble::Said("its changes are not tracked".into()).into()),
            Ok(Some(known)) => net_changes(
                &self.transaction,
                table,
                known.id,
                (since, self.version),
                |operation, values| sink(operation, values).map_err(Stopped::Sink),
            ),
        };
        self.ended(result, format!("read the changes of `{}`", table.name))
    }
}
