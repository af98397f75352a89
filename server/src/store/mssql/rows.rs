//! Rows into a table: the changes of a batch are netted by key, carried over at once, and applied set-based.
//!
//! A small batch is one statement with parameters. A larger one is bulk loaded into a temporary table; engines without
//! bulk loads, and cells that are too large for one, get statements of many rows. Then at most four statements, sent as
//! one, do the rest: how many of the keys are there, DELETE, UPDATE, INSERT.

use std::collections::HashMap;
use std::collections::hash_map::Entry;

use mirrorlab_engines::mssql::value::{PARAMS_MAX, VALUES_ROWS_MAX, carried, carrier};
use mirrorlab_engines::mssql::{Capabilities, Connection, MssqlError, Param, Statement, quote};
use mirrorlab_protocol::message::{RowOperation, Rows};
use mirrorlab_protocol::schema::Table;
use mirrorlab_protocol::value::Value;

use crate::store::{Applied, StoreError, row};

/// The temporary table that carries a batch.
const STAGE: &str = "#mirrorlab_batch";
/// Up to this many parameters a batch is one statement: compiling longer ones takes longer than a bulk load's round trips.
const ONE_STATEMENT_PARAMS_MAX: usize = 600;

/// What a batch comes to for one key.
struct Change<'v> {
    /// The row as it is in the end, in the table's column order; the key alone where it is gone.
    values: Vec<Value<'v>>,
    /// Whether the key is gone in the end.
    gone: bool,
    /// Whether the key's first operation was a D: then the row counts as deleted if it was there.
    first_gone: bool,
}

/// A batch, netted.
pub(super) struct Net<'v> {
    changes: Vec<Change<'v>>,
    /// What is known of the counts without looking into the table.
    applied: Applied,
}

/// Nets the rows by key: the last operation wins. Every cell is read, those of a row that is overtaken too, so that what
/// is wrong is refused whatever comes after it.
pub(super) fn net<'v>(table: &Table, order: &[usize], rows: &'v Rows<'_>) -> Result<Net<'v>, StoreError> {
    let mut net = Net {
        changes: Vec::with_capacity(rows.len()),
        applied: Applied::default(),
    };
    let mut by_key: HashMap<Key, usize> = HashMap::with_capacity(rows.len());
    for (at, row) in rows.iter().enumerate() {
        row::check(table, order, at + 1, row)?;
        let gone = *row.operation == RowOperation::Delete;
        let values = if gone {
            vec![row::key_of_delete(table, order, at + 1, row.cells)?]
        } else {
            let mut values = vec![Value::Null; table.columns.len()];
            for (cell, at) in row.cells.iter().zip(order) {
                let column = &table.columns[*at];
                let value = Value::read_ref(cell, column.ty)
                    .map_err(|e| row::cell_error(table, order, row.cells, *at, e.to_string()))?;
                if value.is_null() && !column.nullable {
                    return Err(row::null_error(table, order, row.cells, *at, cell));
                }
                values[*at] = value;
            }
            values
        };
        match by_key.entry(Key::of(&values[0])) {
            Entry::Vacant(empty) => {
                empty.insert(net.changes.len());
                net.changes.push(Change {
                    values,
                    gone,
                    first_gone: gone,
                });
            }
            Entry::Occupied(seen) => {
                let change = &mut net.changes[*seen.get()];
                // After the first operation it is known whether the row is there.
                match (change.gone, gone) {
                    (false, false) => net.applied.updated += 1,
                    (false, true) => net.applied.deleted += 1,
                    (true, false) => net.applied.inserted += 1,
                    (true, true) => {}
                }
                change.values = values;
                change.gone = gone;
            }
        }
    }
    Ok(net)
}

/// A key as SQL Server compares it, as far as that does not hang on a collation.
#[derive(PartialEq, Eq, Hash)]
enum Key {
    Number(i128, u8),
    Text(String),
    Bytes(Vec<u8>),
}

impl Key {
    fn of(value: &Value<'_>) -> Key {
        match value {
            Value::Null => Key::Number(0, u8::MAX),
            Value::Int(x) => Key::Number(i128::from(*x), 0),
            // 0 and -0 are one key.
            Value::Float(x) => Key::Number(i128::from((x + 0.0).to_bits()), 0),
            Value::Decimal(x) => Key::Number(x.unscaled, x.scale),
            Value::DateTime(x) => Key::Number(i128::from(x.ticks()), 0),
            // Compared by the point in UTC.
            Value::Offset { local, minutes } => {
                Key::Number(i128::from(local.ticks() - i64::from(*minutes) * 600_000_000), 0)
            }
            Value::Time(x) => Key::Number(i128::from(*x), 0),
            Value::Guid(x) => Key::Bytes(x.to_be_bytes().to_vec()),
            // Blanks at the end, and bytes of zero, do not count.
            Value::Text(x) => Key::Text(x.trim_end_matches(' ').to_owned()),
            Value::Binary(x) => {
                let end = x.iter().rposition(|b| *b != 0).map_or(0, |at| at + 1);
                Key::Bytes(x[..end].to_vec())
            }
        }
    }
}

/// Writes a netted batch.
pub(super) fn write(
    connection: &mut Connection,
    capabilities: &Capabilities,
    table: &Table,
    net: Net<'_>,
) -> Result<Applied, MssqlError> {
    let Some(plan) = Plan::of(table, &net.changes) else {
        return Ok(net.applied);
    };
    let width = plan.width();
    let row = if net.changes.len() * width <= ONE_STATEMENT_PARAMS_MAX {
        let mut statement = Statement::default();
        statement.push(&plan.make_stage());
        statement.push("; ");
        plan.insert(&mut statement, &net.changes.iter().collect::<Vec<_>>());
        statement.push("; ");
        statement.push(&plan.apply());
        connection.row(&statement.sql, &statement.params)?
    } else {
        connection.batch(&plan.make_stage())?;
        let fits = |change: &&Change<'_>| plan.params(change).iter().all(Param::fits_bulk);
        let (bulk, rest): (Vec<_>, Vec<_>) = match capabilities.bulk {
            true => net.changes.iter().partition(fits),
            false => (Vec::new(), net.changes.iter().collect()),
        };
        if !bulk.is_empty() {
            let columns = plan.stage_columns();
            let columns: Vec<&str> = columns.iter().map(String::as_str).collect();
            connection.bulk(
                STAGE,
                &columns,
                &mut bulk.iter().map(|change| plan.params(change)),
            )?;
        }
        let rows_at_once = (PARAMS_MAX / width).clamp(1, VALUES_ROWS_MAX);
        for some in rest.chunks(rows_at_once) {
            let mut statement = Statement::default();
            plan.insert(&mut statement, some);
            connection.execute(&statement.sql, &statement.params)?;
        }
        connection.row(&plan.apply(), &[])?
    };
    let count = |at: usize| -> u64 {
        row.as_ref()
            .and_then(|row| row.integer(at))
            .and_then(|n| u64::try_from(n).ok())
            .unwrap_or_default()
    };
    // First operations: of those on keys that were there, I and U updated and D deleted; of the others, I and U inserted.
    let (put_before, gone_before) = (count(0), count(1));
    let first_puts = net.changes.iter().filter(|c| !c.first_gone).count() as u64;
    Ok(Applied {
        inserted: net.applied.inserted + first_puts.saturating_sub(put_before),
        updated: net.applied.updated + put_before,
        deleted: net.applied.deleted + gone_before,
    })
}

/// Which statements a batch needs.
struct Plan<'t> {
    table: &'t Table,
    /// Whether some keys are gone in the end; whether some are there.
    deletes: bool,
    puts: bool,
    /// Whether first and last operations have to be told apart row by row.
    flags: bool,
}

impl<'t> Plan<'t> {
    /// `None` for a batch of no rows.
    fn of(table: &'t Table, changes: &[Change<'_>]) -> Option<Plan<'t>> {
        let first = changes.first()?;
        let same = |change: &Change<'_>| (change.gone, change.first_gone) == (first.gone, first.gone);
        Some(Plan {
            table,
            deletes: changes.iter().any(|c| c.gone),
            puts: changes.iter().any(|c| !c.gone),
            flags: !changes.iter().all(same),
        })
    }

    /// The columns that travel: all, or the key alone where nothing is put.
    fn columns(&self) -> &'t [mirrorlab_protocol::schema::Column] {
        if self.puts {
            &self.table.columns
        } else {
            &self.table.columns[..1]
        }
    }

    /// How many values a row has in the temporary table.
    fn width(&self) -> usize {
        self.columns().len() + if self.flags { 2 } else { 0 }
    }

    /// `[f]`: the first operation was a D; `[g]`: gone in the end; `[c0]` and on: the columns.
    fn stage_columns(&self) -> Vec<String> {
        let flags = ["[f]", "[g]"]
            .into_iter()
            .filter(|_| self.flags)
            .map(str::to_owned);
        flags
            .chain((0..self.columns().len()).map(|at| format!("[c{at}]")))
            .collect()
    }

    fn make_stage(&self) -> String {
        let flags = ["bit", "bit"]
            .into_iter()
            .filter(|_| self.flags)
            .map(str::to_owned);
        let types = flags.chain(self.columns().iter().map(|column| {
            let carrier = carrier(column.ty);
            // The temporary database may have another collation, and keys are compared.
            match carrier.starts_with("nvarchar") {
                true => format!("{carrier} COLLATE DATABASE_DEFAULT"),
                false => carrier,
            }
        }));
        let columns: Vec<String> = self
            .stage_columns()
            .iter()
            .zip(types)
            .map(|(name, ty)| format!("{name} {ty} NULL"))
            .collect();
        format!("CREATE TABLE {STAGE} ({})", columns.join(", "))
    }

    fn params<'v>(&self, change: &'v Change<'_>) -> Vec<Param<'v>> {
        let mut params = Vec::with_capacity(self.width());
        if self.flags {
            params.push(Param::bit(change.first_gone));
            params.push(Param::bit(change.gone));
        }
        params.extend(self.columns().iter().enumerate().map(|(at, column)| {
            // A key that is gone has no other values.
            Param::value(change.values.get(at).unwrap_or(&Value::Null), column.ty)
        }));
        params
    }

    /// Rows into the temporary table, by parameters.
    fn insert<'v>(&self, statement: &mut Statement<'v>, changes: &[&'v Change<'v>]) {
        statement.push(&format!(
            "INSERT INTO {STAGE} ({}) VALUES ",
            self.stage_columns().join(", ")
        ));
        for (n, change) in changes.iter().enumerate() {
            statement.push(if n == 0 { "(" } else { ", (" });
            for (n, param) in self.params(change).into_iter().enumerate() {
                if n > 0 {
                    statement.push(", ");
                }
                statement.bind(param);
            }
            statement.push(")");
        }
    }

    /// From the temporary table into the table. One result: how many of the keys whose first operation was I or U were
    /// there, and how many of those whose first was D.
    fn apply(&self) -> String {
        let table = quote(&self.table.name);
        let key = quote(&self.table.key().name);
        let stage_key = carried("s.[c0]", self.table.key().ty);
        let same = format!("t.{key} = {stage_key}");
        // Without flags all rows are alike.
        let (first_gone, gone, put) = match (self.flags, self.deletes) {
            (true, _) => ("s.[f] = 1", " WHERE s.[g] = 1", " WHERE s.[g] = 0"),
            (false, true) => ("1 = 1", "", ""),
            (false, false) => ("1 = 0", "", ""),
        };
        let mut sql = format!(
            "DECLARE @put int, @gone int; \
             SELECT @put = COUNT(CASE WHEN {first_gone} THEN NULL ELSE 1 END), \
             @gone = COUNT(CASE WHEN {first_gone} THEN 1 END) \
             FROM {STAGE} s JOIN {table} t ON {same}; "
        );
        if self.deletes {
            sql.push_str(&format!(
                "DELETE t FROM {table} t JOIN {STAGE} s ON {same}{gone}; "
            ));
        }
        if self.puts {
            let columns = self.columns();
            let value = |at: usize| carried(&format!("s.[c{at}]"), columns[at].ty);
            let set: Vec<String> = columns
                .iter()
                .enumerate()
                // A key that is a text may be the same to SQL Server and yet be written otherwise.
                .skip(usize::from(!columns[0].ty.is_text()))
                .map(|(at, column)| format!("{} = {}", quote(&column.name), value(at)))
                .collect();
            if !set.is_empty() {
                sql.push_str(&format!(
                    "IF @put + @gone > 0 UPDATE t SET {} FROM {table} t JOIN {STAGE} s ON {same}{put}; ",
                    set.join(", ")
                ));
            }
            let names: Vec<String> = columns.iter().map(|c| quote(&c.name)).collect();
            let values: Vec<String> = (0..columns.len()).map(value).collect();
            let insert = format!(
                "INSERT INTO {table} ({}) SELECT {} FROM {STAGE} s",
                names.join(", "),
                values.join(", ")
            );
            let and = if put.is_empty() { " WHERE" } else { " AND" };
            sql.push_str(&format!(
                "IF @put + @gone > 0 {insert}{put}{and} NOT EXISTS (SELECT 1 FROM {table} t WHERE {same}) \
                 ELSE {insert}{put}; "
            ));
        }
        sql.push_str(&format!("DROP TABLE {STAGE}; SELECT @put, @gone"));
        sql
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use mirrorlab_protocol::types::ColumnType;

    /// Whether two bare cells of a type are one key to SQL Server.
    fn same(ty: &str, a: &str, b: &str) -> bool {
        let ty = ColumnType::parse(ty).unwrap();
        let key = |text: &str| Key::of(&Value::from_bare(text, ty).unwrap());
        key(a) == key(b)
    }

    #[test]
    fn keys_are_told_apart_as_sql_server_does() {
        for (ty, a, b) in [
            ("int", "7", "7"),
            ("float", "0", "-0"),
            ("nvarchar(9)", "a", "a  "),
            ("nvarchar(9)", "", " "),
            // 00 00 is nothing but zeroes, and the zeroes at an end do not count.
            ("varbinary(9)", "AQ==", "AQAA"),
            ("varbinary(9)", "", "AAA="),
            (
                "datetimeoffset(0)",
                "2026-03-01 12:00:00 +02:00",
                "2026-03-01 10:00:00 +00:00",
            ),
        ] {
            assert!(same(ty, a, b), "{ty}: {a} and {b}");
        }
        for (ty, a, b) in [
            ("int", "7", "8"),
            ("float", "1", "-1"),
            ("nvarchar(9)", "a", " a"),
            ("nvarchar(9)", "a", "A"),
            ("varbinary(9)", "AQ==", "AAE="),
            // 01 02 and 01 03: the last byte that is not zero counts.
            ("varbinary(9)", "AQI=", "AQM="),
            ("varbinary(9)", "AQ==", "AQI="),
            ("decimal(9,2)", "1.00", "1.01"),
            ("datetime", "2026-03-01", "2026-03-02"),
            ("time(0)", "10:00", "10:01"),
            (
                "uniqueidentifier",
                "00000000-0000-0000-0000-000000000001",
                "00000000-0000-0000-0000-000000000002",
            ),
            (
                "datetimeoffset(0)",
                "2026-03-01 12:00:00 +02:00",
                "2026-03-01 12:00:00 +00:00",
            ),
        ] {
            assert!(!same(ty, a, b), "{ty}: {a} and {b}");
        }
    }
}
