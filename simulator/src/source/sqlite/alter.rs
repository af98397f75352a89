//! Tables made, changed and dropped, as SQL Server's statements would. None of it is a tracked change.

use mirrorlab_engines::sqlite::{self as engine, Bound, cell, explain, quote};
use mirrorlab_protocol::excerpt;
use mirrorlab_protocol::names::same_name;
use mirrorlab_protocol::schema::{Column, Table};
use mirrorlab_protocol::types::ColumnType;
use mirrorlab_protocol::value::Value;
use rusqlite::types::ValueRef;
use rusqlite::{Connection, ToSql};

use super::{Trouble, check, shape, tracking};

/// `CREATE TABLE`.
pub(super) fn create(connection: &Connection, table: &Table) -> Result<(), Trouble> {
    table.check().map_err(|error| Trouble::Said(error.to_string()))?;
    if tracking::is_own(&table.name) {
        return Err(Trouble::Said(format!(
            "names that begin with `{}` belong to change tracking",
            tracking::PREFIX
        )));
    }
    if engine::table_exists(connection, &table.name)?.is_some() {
        return Err(Trouble::Said("it is there already".into()));
    }
    connection.execute_batch(&engine::create_table(table))?;
    Ok(shape::keep_defaults(connection, table)?)
}

/// `DROP TABLE`: its tracking goes with it.
pub(super) fn drop(connection: &Connection, table: &str) -> Result<(), Trouble> {
    if let Some(known) = tracking::tracked(connection, table)? {
        tracking::forget(connection, known.id)?;
    }
    connection.execute_batch(&format!("DROP TABLE {}", quote(table)))?;
    Ok(shape::forget_defaults(connection, table)?)
}

/// `ALTER TABLE`, in as many steps as it takes: from `old`'s columns to `new`'s, rows kept.
pub(super) fn alter(connection: &Connection, old: &Table, new: &Table) -> Result<(), Trouble> {
    // The table keeps the name it was made with.
    let new = Table {
        name: old.name.clone(),
        columns: new.columns.clone(),
    };
    new.check().map_err(|error| Trouble::Said(error.to_string()))?;
    let known = tracking::tracked(connection, &old.name)?;
    let (was, is) = (old.key(), new.key());
    if !same_name(&was.name, &is.name) || was.ty != is.ty {
        return Err(Trouble::Said(format!(
            "its primary key `{}` cannot be changed in place; drop the table and make it anew",
            was.name
        )));
    }
    if !add_at_the_end(connection, old, &new)? {
        engine::rebuild(connection, old, &new).map_err(|error| {
            // A constraint's text names the table that was being made beside the old one.
            Trouble::Said(explain(&error).replace("_mirrorlab_rebuild", ""))
        })?;
        // The triggers went with the old table: what is converted now is not tracked, as in SQL Server.
        for column in &new.columns {
            let was = old.position(&column.name).map(|at| &old.columns[at]);
            if let Some(was) = was.filter(|was| !holds_all(column.ty, was.ty)) {
                convert(connection, &new, was, column)?;
            }
        }
        if let Some(known) = known {
            tracking::make_triggers(connection, &new, known.id)?;
        }
    }
    Ok(shape::keep_defaults(connection, &new)?)
}

/// Adds columns behind the old ones where nothing else changes, without touching a row; `false` where that is not it.
fn add_at_the_end(connection: &Connection, old: &Table, new: &Table) -> Result<bool, Trouble> {
    if new.columns.get(..old.columns.len()) != Some(&old.columns) {
        return Ok(false);
    }
    let added = new.columns[old.columns.len()..].iter();
    let Some(statements) = added
        .map(|column| engine::add_column(&old.name, column))
        .collect::<Option<Vec<_>>>()
    else {
        return Ok(false);
    };
    for statement in statements {
        connection.execute_batch(&statement)?;
    }
    Ok(true)
}

/// Whether every value of the type `from` stands in the file as one of `to` would, so that no row need be looked at.
fn holds_all(to: ColumnType, from: ColumnType) -> bool {
    let range = |ty: ColumnType| ty.integer_range();
    match (range(to), range(from)) {
        (Some(to), Some(from)) => return to.0 <= from.0 && from.1 <= to.1,
        (None, None) => {}
        _ => return false,
    }
    let fixed = |ty| {
        matches!(
            ty,
            ColumnType::NChar(_) | ColumnType::Char(_) | ColumnType::Binary(_)
        )
    };
    let unicode = |ty| matches!(ty, ColumnType::NVarChar(_) | ColumnType::NText);
    let same_kind =
        (unicode(to) && unicode(from)) || (to.is_binary() && from.is_binary() && !fixed(to) && !fixed(from));
    let long = |ty: ColumnType| ty.length_max().unwrap_or(usize::MAX);
    to == from || (same_kind && long(to) >= long(from)) || (to, from) == (ColumnType::Float, ColumnType::Real)
}

/// Brings every value of a column into the form of its new type, or says which one has none.
fn convert(connection: &Connection, table: &Table, was: &Column, column: &Column) -> Result<(), Trouble> {
    let (name, key, to) = (quote(&table.name), quote(&table.key().name), quote(&column.name));
    let mut update = connection.prepare(&format!("UPDATE {name} SET {to} = ?1 WHERE {key} = ?2"))?;
    let mut statement = connection.prepare(&format!("SELECT {key}, {to} FROM {name} ORDER BY {key}"))?;
    let mut rows = statement.query([])?;
    while let Some(row) = rows.next()? {
        let at = cell::read(row.get_ref(0)?, table.key().ty).map_err(|error| error.to_string())?;
        let value = converted(row.get_ref(1)?, was, column).map_err(|why| {
            format!(
                "row with key {}, column `{}`: {why}",
                excerpt(&at.to_string()),
                column.name
            )
        })?;
        let bound = Bound(&value, column.ty);
        let key = Bound(&at, table.key().ty);
        let parameters: [&dyn ToSql; 2] = [&bound, &key];
        update.execute(parameters)?;
    }
    Ok(())
}

fn converted(stored: ValueRef<'_>, was: &Column, column: &Column) -> Result<Value<'static>, String> {
    let refused = || format!("its value of type {} cannot become {}", was.ty, column.ty);
    let text = match stored {
        ValueRef::Null => return Ok(Value::Null),
        ValueRef::Integer(x) => x.to_string(),
        ValueRef::Real(x) if column.ty.integer_range().is_some() => x.trunc().to_string(),
        ValueRef::Real(x) => x.to_string(),
        ValueRef::Text(_) => stored.as_str().map_err(|_| refused())?.to_owned(),
        ValueRef::Blob(bytes) => {
            let value = Value::Binary(bytes.into());
            check::fits(&value, column)?;
            return Ok(value.into_owned());
        }
    };
    let value = Value::from_bare(&text, column.ty)
        .map_err(|error| error.to_string())?
        .into_owned();
    check::fits(&value, column)?;
    Ok(value)
}
