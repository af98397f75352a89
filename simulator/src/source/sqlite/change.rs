//! Rows in, rows changed, rows gone: each kind of change as one prepared statement per table.

use mirrorlab_engines::sqlite::{Bound, quote};
use mirrorlab_protocol::excerpt;
use mirrorlab_protocol::schema::Table;
use mirrorlab_protocol::value::Value;
use rusqlite::{Connection, params_from_iter};

use super::{Trouble, check, shape};
use crate::source::Change;

/// Makes every change, in their order.
pub(super) fn apply(
    connection: &Connection,
    tables: &[Table],
    changes: &[(&str, Change)],
) -> Result<(), Trouble> {
    // A table's changes mostly follow one another, and so does the text of their statement.
    let mut table: Option<&Table> = None;
    let mut sql = String::new();
    let mut sql_of: Option<(&str, Kind<'_>)> = None;
    for (name, change) in changes {
        let known = match table {
            Some(known) if known.name == *name => known,
            _ => shape::find(tables, name)?,
        };
        table = Some(known);
        let kind = Kind::of(change);
        if sql_of.as_ref() != Some(&(known.name.as_str(), kind)) {
            if let Kind::Update(columns) = kind
                && columns.iter().any(|(at, _)| *at >= known.columns.len())
            {
                return Err(Trouble::Said(format!(
                    "table `{}` has {} columns; an update names a later one",
                    known.name,
                    known.columns.len()
                )));
            }
            sql = statement(known, kind);
            sql_of = Some((&known.name, kind));
        }
        one(connection, known, change, &sql)?;
    }
    Ok(())
}

/// What makes two changes of one table share a statement.
#[derive(Clone, Copy)]
enum Kind<'c> {
    Insert,
    Update(&'c [(usize, Value<'static>)]),
    Delete,
}

impl PartialEq for Kind<'_> {
    fn eq(&self, other: &Self) -> bool {
        match (self, other) {
            (Kind::Insert, Kind::Insert) | (Kind::Delete, Kind::Delete) => true,
            (Kind::Update(a), Kind::Update(b)) => a.iter().map(|c| c.0).eq(b.iter().map(|c| c.0)),
            _ => false,
        }
    }
}

impl Kind<'_> {
    fn of(change: &Change) -> Kind<'_> {
        match change {
            Change::Insert(_) => Kind::Insert,
            Change::Update(_, columns) => Kind::Update(columns),
            Change::Delete(_) => Kind::Delete,
        }
    }
}

fn statement(table: &Table, kind: Kind<'_>) -> String {
    let name = quote(&table.name);
    let key = quote(&table.key().name);
    match kind {
        Kind::Insert => {
            let columns: Vec<String> = table.columns.iter().map(|c| quote(&c.name)).collect();
            let marks = vec!["?"; columns.len()].join(", ");
            format!("INSERT INTO {name} ({}) VALUES ({marks})", columns.join(", "))
        }
        Kind::Update(columns) => {
            let sets: Vec<String> = columns
                .iter()
                .map(|(at, _)| format!("{} = ?", quote(&table.columns[*at].name)))
                .collect();
            format!("UPDATE {name} SET {} WHERE {key} = ?", sets.join(", "))
        }
        Kind::Delete => format!("DELETE FROM {name} WHERE {key} = ?"),
    }
}

fn one(connection: &Connection, table: &Table, change: &Change, sql: &str) -> Result<(), Trouble> {
    let key = match change {
        Change::Insert(values) if values.len() == table.columns.len() => &values[0],
        Change::Insert(values) => {
            return Err(Trouble::Said(format!(
                "a row for `{}` has {} values; the table has {} columns",
                table.name,
                values.len(),
                table.columns.len()
            )));
        }
        Change::Update(_, columns) if columns.is_empty() => return Ok(()),
        Change::Update(key, _) | Change::Delete(key) => key,
    };
    let refused = |why: String| {
        Trouble::Said(format!(
            "table `{}`, row with key {}: {why}",
            table.name,
            excerpt(&key.to_string())
        ))
    };
    let checked = |at: usize, value: &Value<'_>| {
        let column = &table.columns[at];
        check::fits(value, column).map_err(|why| refused(format!("column `{}`: {why}", column.name)))
    };
    let key_type = table.key().ty;
    let mut prepared = connection.prepare_cached(sql)?;
    let done = match change {
        Change::Insert(values) => {
            for (at, value) in values.iter().enumerate() {
                checked(at, value)?;
            }
            let bound = values.iter().zip(&table.columns).map(|(v, c)| Bound(v, c.ty));
            prepared.execute(params_from_iter(bound))
        }
        Change::Update(key, columns) => {
            for (at, value) in columns {
                checked(*at, value)?;
            }
            let bound = columns.iter().map(|(at, v)| Bound(v, table.columns[*at].ty));
            prepared.execute(params_from_iter(bound.chain([Bound(key, key_type)])))
        }
        Change::Delete(key) => prepared.execute([Bound(key, key_type)]),
    };
    // A row that is not there is no error, as in SQL.
    done.map(|_| ()).map_err(|error| refused(error.to_string()))
}
