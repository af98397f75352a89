//! What tables a source has. SQLite's own catalogue is the truth; what was read of it is kept until it changes.

use std::collections::HashMap;
use std::sync::Arc;

use mirrorlab_engines::sqlite as engine;
use mirrorlab_protocol::default::Default;
use mirrorlab_protocol::names::{fold, same_name};
use mirrorlab_protocol::schema::Table;
use rusqlite::{Connection, params};

use super::{Trouble, tracking};

/// The tables as last read.
#[derive(Default)]
pub(super) struct Shapes {
    /// SQLite's number of the catalogue that `tables` was read from.
    number: Option<i64>,
    tables: Arc<Vec<Table>>,
    /// Each table's declaration and what it was read into, by name.
    read: HashMap<String, (String, Table)>,
}

impl Shapes {
    /// Whether what is remembered is what the catalogue says.
    pub fn is_current(&self, connection: &Connection) -> rusqlite::Result<bool> {
        Ok(self.number == Some(number(connection)?))
    }

    /// Says that the catalogue's new number brought no other tables.
    pub fn still(&mut self, number: i64) {
        self.number = Some(number);
    }

    /// Every table in name order. Not to be called inside a transaction that may yet be rolled back: the number of its
    /// catalogue would be given out again.
    pub fn tables(&mut self, connection: &Connection) -> Result<Arc<Vec<Table>>, Trouble> {
        let number = number(connection)?;
        if self.number == Some(number) {
            return Ok(Arc::clone(&self.tables));
        }
        let mut old = std::mem::take(&mut self.read);
        let mut tables = Vec::new();
        for (name, sql) in declarations(connection)? {
            // A table among four hundred was changed: only that one is read again.
            let table = match old.remove(&name) {
                Some((known, table)) if known == sql => table,
                _ => describe(connection, &name)?,
            };
            tables.push(table.clone());
            self.read.insert(name, (sql, table));
        }
        restore_defaults(connection, &mut tables)?;
        self.tables = Arc::new(tables);
        self.number = Some(number);
        Ok(Arc::clone(&self.tables))
    }
}

/// SQLite's number of the catalogue as it is now: another one after each change.
pub(super) fn number(connection: &Connection) -> rusqlite::Result<i64> {
    connection
        .prepare_cached("PRAGMA schema_version")?
        .query_row([], |row| row.get(0))
}

/// Names and declarations of every table but tracking's own, in name order.
pub(super) fn declarations(connection: &Connection) -> rusqlite::Result<Vec<(String, String)>> {
    let mut statement = connection.prepare_cached(
        "SELECT name, sql FROM sqlite_master WHERE type = 'table' AND name NOT LIKE 'sqlite\\_%' ESCAPE '\\' ORDER BY name",
    )?;
    let mut found = Vec::new();
    let mut rows = statement.query([])?;
    while let Some(row) = rows.next()? {
        let name: String = row.get(0)?;
        if !tracking::is_own(&name) {
            found.push((name, row.get::<_, Option<String>>(1)?.unwrap_or_default()));
        }
    }
    Ok(found)
}

/// A table's shape, or what about it no SQL Server table that is mirrored could have.
pub(super) fn describe(connection: &Connection, name: &str) -> Result<Table, Trouble> {
    let keys: i64 = connection.query_row(
        "SELECT count(*) FROM pragma_table_info(?1) WHERE pk > 0",
        params![name],
        |row| row.get(0),
    )?;
    if keys != 1 {
        return Err(Trouble::Said(format!(
            "table `{name}` has {keys} columns in its primary key; change tracking and mirroring need exactly one"
        )));
    }
    engine::describe(connection, name)?.ok_or_else(|| {
        Trouble::Said(format!(
            "table `{name}` has a column whose declared type is not one of SQL Server's (`nvarchar(max)` and its like \
             must stand in double quotes, exact numbers are declared `decimal_text(18,2)` or `money_text`)"
        ))
    })
}

pub(super) fn missing(table: &str) -> Trouble {
    Trouble::Said(format!(
        "there is no table `{}`",
        mirrorlab_protocol::excerpt(table)
    ))
}

pub(super) fn find<'t>(tables: &'t [Table], name: &str) -> Result<&'t Table, Trouble> {
    tables
        .iter()
        .find(|table| same_name(&table.name, name))
        .ok_or_else(|| missing(name))
}

/// Keeps a table's defaults as they were written: SQLite's catalogue has their values, but `N'1760-01-01 00:00:00'` and
/// `N'17600101'` are told to a mirror as they stand.
pub(super) fn keep_defaults(connection: &Connection, table: &Table) -> rusqlite::Result<()> {
    forget_defaults(connection, &table.name)?;
    let mut insert =
        connection.prepare_cached("INSERT INTO mirrorlab_ct_defaults (tbl, col, def) VALUES (?1, ?2, ?3)")?;
    for column in &table.columns {
        if let Some(default) = &column.default {
            insert.execute(params![
                fold(&table.name),
                fold(&column.name),
                default.to_string()
            ])?;
        }
    }
    Ok(())
}

pub(super) fn forget_defaults(connection: &Connection, table: &str) -> rusqlite::Result<()> {
    connection
        .prepare_cached("DELETE FROM mirrorlab_ct_defaults WHERE tbl = ?1")?
        .execute([fold(table)])?;
    Ok(())
}

fn restore_defaults(connection: &Connection, tables: &mut [Table]) -> Result<(), Trouble> {
    let mut kept = HashMap::new();
    let mut statement = connection.prepare_cached("SELECT tbl, col, def FROM mirrorlab_ct_defaults")?;
    let mut rows = statement.query([])?;
    while let Some(row) = rows.next()? {
        let key: (String, String) = (row.get(0)?, row.get(1)?);
        kept.insert(key, row.get::<_, String>(2)?);
    }
    for table in tables {
        let name = fold(&table.name);
        for column in &mut table.columns {
            let Some(written) = kept.get(&(name.clone(), fold(&column.name))) else {
                continue;
            };
            let Ok(Some(written)) = Default::parse(written) else {
                continue;
            };
            let same = match &column.default {
                // The catalogue knows no difference between a default of NULL and none.
                None => written == Default::Null,
                Some(found) => {
                    found == &written
                        || matches!((found.value(column.ty), written.value(column.ty)),
                            (Ok(Some(a)), Ok(Some(b))) if a == b)
                }
            };
            if same {
                column.default = Some(written);
            }
        }
    }
    Ok(())
}
