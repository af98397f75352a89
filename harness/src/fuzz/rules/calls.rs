//! What a call does by itself, whoever sent it: the rules of a receiver, for calls that no sender of ours would send.
//!
//! A call is one transaction: it does all that it says, or nothing. I and U both mean "this is the row now", D means
//! "this key is gone", in the order sent. Only an LSN above 0 is one.

use std::collections::BTreeMap;

use mirrorlab_protocol::names::fold;
use mirrorlab_protocol::schema::{Column, Table};
use mirrorlab_protocol::value::Value;

use super::cells::{self, Wrong};
use super::{Mirror, MirrorTable, Refusal, Row, Source};
use crate::scenario::sent::{SentBatch, SentCall, SentColumn, SentRow};

/// What a call is answered.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Answer {
    /// It is done. TableSchema answers LSNs, by table in the order sent.
    Done(Vec<(String, i64)>),
    /// It is refused, and nothing of it is kept.
    Refused(Refused),
}

/// A refusal.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Refused {
    /// In a few words.
    pub why: &'static str,
    /// What its text names, in this order: table, key, column, as far as there are some.
    pub names: Vec<String>,
}

fn refused(why: &'static str, names: &[&str]) -> Refused {
    Refused {
        why,
        names: names.iter().map(|name| (*name).to_owned()).collect(),
    }
}

impl Mirror {
    /// Does a call. `None` where it is not foreseen what comes of it; nothing is done then.
    pub fn call(&mut self, call: &SentCall, source: &Source, guarded: bool) -> Option<Answer> {
        let mut after = self.clone();
        let answer = match call {
            SentCall::Schema(names) => {
                let tables: Option<Vec<Table>> = names
                    .iter()
                    .map(|name| Some(source.tables.get(&fold(name))?.shape.clone()))
                    .collect();
                after.called_schema(&tables?, guarded)
            }
            SentCall::Wipe(None) => Err(refused("no table's name", &[])),
            SentCall::Wipe(Some(name)) if !after.tables.contains_key(&fold(name)) => {
                Err(refused("a table that is not there", &[name]))
            }
            SentCall::Wipe(Some(name)) => {
                after.wipe(name);
                Ok(Vec::new())
            }
            SentCall::Completed => Ok(Vec::new()),
            SentCall::Rows(batches) => {
                let mut answer = Ok(Vec::new());
                for batch in batches {
                    if let Err(refused) = after.called_batch(batch, source)? {
                        answer = Err(refused);
                        break;
                    }
                }
                answer
            }
        };
        Some(match answer {
            Ok(lsns) => {
                *self = after;
                Answer::Done(lsns)
            }
            Err(refused) => Answer::Refused(refused),
        })
    }

    fn called_schema(&mut self, tables: &[Table], guarded: bool) -> Result<Vec<(String, i64)>, Refused> {
        if tables.is_empty() {
            return Err(refused("an empty list of tables", &[]));
        }
        match self.schema(tables, guarded) {
            Err(Refusal::NameTaken) => return Err(refused("a name that is taken", &[])),
            Err(Refusal::Guarded) => return Err(refused("most of the mirror would go", &[])),
            Ok(_) => {}
        }
        let lsn = |table: &Table| {
            let lsn = self.tables.get(&fold(&table.name)).map_or(-1, |t| t.lsn);
            (table.name.clone(), lsn)
        };
        Ok(tables.iter().map(lsn).collect())
    }

    /// `None`: not foreseen.
    fn called_batch(&mut self, batch: &SentBatch, source: &Source) -> Option<Result<(), Refused>> {
        let Some(name) = &batch.table else {
            return Some(Err(refused("no TableInfo", &[])));
        };
        let known = source.tables.get(&fold(name)).map(|t| &t.shape);
        let sent = match &batch.columns {
            None => known.map(|shape| shape.columns.clone()).unwrap_or_default(),
            Some(columns) => columns_of(columns, known)?,
        };
        let Some(table) = self.tables.get_mut(&fold(name)) else {
            return Some(Err(refused("a table that is not there", &[name])));
        };
        let Some(order) = order_of(&sent, &table.shape) else {
            return Some(Err(refused("other columns", &[name])));
        };
        for row in &batch.rows {
            if let Err(refused) = called_row(table, &order, row)? {
                return Some(Err(refused));
            }
        }
        if let Some(lsn) = batch.lsn.filter(|lsn| *lsn > 0) {
            table.reach(lsn);
        }
        Some(Ok(()))
    }
}

/// The columns that a TableInfo names; `None` where one has no type.
fn columns_of(columns: &[SentColumn], known: Option<&Table>) -> Option<Vec<Column>> {
    let of = |column: &SentColumn| match column {
        SentColumn::Written(column) => Some(column.value.clone()),
        SentColumn::Named(name) => known.and_then(|t| Some(t.columns[t.position(name)?].clone())),
    };
    columns.iter().map(of).collect()
}

/// The table's columns in the order of a row's cells. No columns at all mean the table's own order; otherwise each has
/// to be there once, of its own type.
fn order_of(sent: &[Column], shape: &Table) -> Option<Vec<Column>> {
    if sent.is_empty() {
        return Some(shape.columns.clone());
    }
    let mut missing: BTreeMap<String, &Column> = shape.columns.iter().map(|c| (fold(&c.name), c)).collect();
    let take = |column: &Column| {
        let stored = missing.remove(&fold(&column.name))?;
        (stored.ty == column.ty).then(|| stored.clone())
    };
    let order: Option<Vec<Column>> = sent.iter().map(take).collect();
    order.filter(|_| missing.is_empty())
}

fn called_row(table: &mut MirrorTable, order: &[Column], row: &SentRow) -> Option<Result<(), Refused>> {
    let name = &table.shape.name;
    let key = &table.shape.columns[0];
    let key_at = order.iter().position(|column| column.name == key.name)?;
    match row.operation.trim().to_ascii_uppercase().as_str() {
        "D" => {
            // The key alone, or where the order puts it; the other cells count for nothing.
            let cell = match row.cells.as_slice() {
                [only] => Some(only),
                cells => cells.get(key_at),
            };
            let value = cells::read(cell.and_then(|c| c.as_deref()), &nullable(key))?;
            match value {
                Ok(Value::Int(key)) => drop(table.rows.remove(&key)),
                Ok(_) => return Some(Err(refused("a D without a key", &[name]))),
                Err(Wrong) => {
                    return Some(Err(refused(
                        "a cell that its type cannot hold",
                        &[name, &key.name],
                    )));
                }
            }
            Some(Ok(()))
        }
        "I" | "U" => {
            if row.cells.len() != order.len() {
                return Some(Err(refused("a wrong number of cells", &[name])));
            }
            let mut values = Row::new();
            let mut row_key = None;
            for (cell, column) in row.cells.iter().zip(order) {
                let value = match cells::read(cell.as_deref(), column)? {
                    Ok(value) => value,
                    Err(Wrong) => {
                        let key = cells::read(row.cells[key_at].as_deref(), key)?;
                        let key = match key {
                            Ok(Value::Int(key)) => vec![key.to_string()],
                            _ => Vec::new(),
                        };
                        let mut names = vec![name.clone()];
                        names.extend(key);
                        names.push(column.name.clone());
                        let why = "a cell that its type cannot hold";
                        return Some(Err(Refused { why, names }));
                    }
                };
                match value {
                    Value::Int(key) if column.name == table.shape.columns[0].name => row_key = Some(key),
                    value => drop(values.insert(fold(&column.name), value)),
                }
            }
            table.rows.insert(row_key?, values);
            Some(Ok(()))
        }
        _ => Some(Err(refused("an unknown operation", &[name]))),
    }
}

/// A D's key may be missing: that is told otherwise than a cell that is no value.
fn nullable(key: &Column) -> Column {
    Column {
        nullable: true,
        ..key.clone()
    }
}
