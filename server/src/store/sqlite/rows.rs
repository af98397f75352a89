//! Rows into a table: cells are borrowed until they are bound, statements are prepared once.

use std::path::Path;

use mirrorlab_engines::sqlite::{Bound, quote};
use mirrorlab_protocol::message::{Cell, RowOperation, RowRef, Rows};
use mirrorlab_protocol::schema::Table;
use mirrorlab_protocol::value::Value;
use rusqlite::{CachedStatement, Connection};

use super::{Applied, StoreError, refused};
use crate::store::row;

/// One batch on its way into one table.
struct Batch<'c, 't> {
    connection: &'c Connection,
    path: &'t Path,
    table: &'t Table,
    order: &'t [usize],
    insert: Option<CachedStatement<'c>>,
    update: Option<CachedStatement<'c>>,
    delete: Option<CachedStatement<'c>>,
}

pub(super) fn apply(
    connection: &Connection,
    path: &Path,
    table: &Table,
    order: &[usize],
    rows: &Rows<'_>,
) -> Result<Applied, StoreError> {
    let mut batch = Batch {
        connection,
        path,
        table,
        order,
        insert: None,
        update: None,
        delete: None,
    };
    let mut applied = Applied::default();
    for (at, row) in rows.iter().enumerate() {
        batch.row(at + 1, row, &mut applied)?;
    }
    Ok(applied)
}

impl Batch<'_, '_> {
    /// I is tried as an insert and U as an update; where the mirror disagrees, the other one follows. So a row costs one
    /// statement, and the counts are the mirror's own.
    fn row(&mut self, number: usize, row: RowRef<'_, '_>, applied: &mut Applied) -> Result<(), StoreError> {
        row::check(self.table, self.order, number, row)?;
        match row.operation {
            RowOperation::Delete => {
                if self.delete(number, row.cells)? {
                    applied.deleted += 1;
                }
            }
            RowOperation::Update => {
                if self.update(row.cells)? {
                    applied.updated += 1;
                } else if self.insert(row.cells)? {
                    applied.inserted += 1;
                }
            }
            _ => {
                if self.insert(row.cells)? {
                    applied.inserted += 1;
                } else if self.update(row.cells)? {
                    applied.updated += 1;
                }
            }
        }
        Ok(())
    }

    fn insert(&mut self, cells: &[Cell<'_>]) -> Result<bool, StoreError> {
        let statement = match &mut self.insert {
            Some(statement) => statement,
            empty => empty.insert(prepare(
                self.connection,
                self.path,
                self.table,
                &insert_sql(self.table),
            )?),
        };
        put(statement, self.path, self.table, self.order, cells)
    }

    fn update(&mut self, cells: &[Cell<'_>]) -> Result<bool, StoreError> {
        let statement = match &mut self.update {
            Some(statement) => statement,
            empty => empty.insert(prepare(
                self.connection,
                self.path,
                self.table,
                &update_sql(self.table),
            )?),
        };
        put(statement, self.path, self.table, self.order, cells)
    }

    fn delete(&mut self, number: usize, cells: &[Cell<'_>]) -> Result<bool, StoreError> {
        let key = row::key_of_delete(self.table, self.order, number, cells)?;
        let statement = match &mut self.delete {
            Some(statement) => statement,
            empty => {
                let sql = format!(
                    "DELETE FROM {} WHERE {} = ?1",
                    quote(&self.table.name),
                    quote(&self.table.key().name)
                );
                empty.insert(prepare(self.connection, self.path, self.table, &sql)?)
            }
        };
        let changed = statement
            .raw_bind_parameter(1, Bound(&key, self.table.key().ty))
            .and_then(|()| statement.raw_execute());
        changed.map(|rows| rows > 0).map_err(|e| {
            refused(
                self.path,
                &format!("delete row {key} of table {}", self.table.name),
                &e,
            )
        })
    }
}

fn prepare<'c>(
    connection: &'c Connection,
    path: &Path,
    table: &Table,
    sql: &str,
) -> Result<CachedStatement<'c>, StoreError> {
    connection
        .prepare_cached(sql)
        .map_err(|e| refused(path, &format!("write to table {}", table.name), &e))
}

/// Binds a row's cells and runs the statement; whether it changed a row.
fn put(
    statement: &mut CachedStatement<'_>,
    path: &Path,
    table: &Table,
    order: &[usize],
    cells: &[Cell<'_>],
) -> Result<bool, StoreError> {
    let failed = |e: &rusqlite::Error| {
        let key = row::key_text(table, order, cells);
        refused(path, &format!("write row {key} of table {}", table.name), e)
    };
    for (cell, at) in cells.iter().zip(order) {
        let column = &table.columns[*at];
        let value = Value::read_ref(cell, column.ty)
            .map_err(|e| row::cell_error(table, order, cells, *at, e.to_string()))?;
        if value.is_null() && !column.nullable {
            return Err(row::null_error(table, order, cells, *at, cell));
        }
        statement
            .raw_bind_parameter(at + 1, Bound(&value, column.ty))
            .map_err(|e| failed(&e))?;
    }
    statement
        .raw_execute()
        .map(|rows| rows > 0)
        .map_err(|e| failed(&e))
}

/// Leaves a row that is there alone: REPLACE would take it for a delete and an insert.
fn insert_sql(table: &Table) -> String {
    let names: Vec<String> = table.columns.iter().map(|c| quote(&c.name)).collect();
    let places: Vec<String> = (1..=names.len()).map(|n| format!("?{n}")).collect();
    format!(
        "INSERT INTO {} ({}) VALUES ({}) ON CONFLICT ({}) DO NOTHING",
        quote(&table.name),
        names.join(", "),
        places.join(", "),
        names[0]
    )
}

fn update_sql(table: &Table) -> String {
    let key = quote(&table.key().name);
    let mut set: Vec<String> = table
        .columns
        .iter()
        .enumerate()
        .skip(1)
        .map(|(at, column)| format!("{} = ?{}", quote(&column.name), at + 1))
        .collect();
    if set.is_empty() {
        set.push(format!("{key} = ?1"));
    }
    format!(
        "UPDATE {} SET {} WHERE {key} = ?1",
        quote(&table.name),
        set.join(", ")
    )
}
