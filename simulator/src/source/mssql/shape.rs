//! What tables a source has. The catalogue is the truth; how they were written when they were made is kept beside it, since
//! not every engine keeps letters, a default's text, or which of two types of one kind it was, and none keeps another
//! order than that in which columns came.

use std::collections::HashMap;
use std::sync::Arc;

use mirrorlab_engines::mssql::ddl::declared;
use mirrorlab_engines::mssql::describe::{Described, describe_all};
use mirrorlab_engines::mssql::{Connection, MssqlError, Param, Statement};
use mirrorlab_protocol::default::Default;
use mirrorlab_protocol::names::{fold, same_name};
use mirrorlab_protocol::schema::{Column, Table};
use mirrorlab_protocol::types::ColumnType;

use super::words::Rename;
use super::{Trouble, tracking};

/// The tables as last read.
#[derive(Default)]
pub(super) struct Shapes {
    /// The number of the state that they were read at.
    number: Option<i64>,
    tables: Arc<Vec<Table>>,
}

impl Shapes {
    /// Nothing that was read counts any more.
    pub fn forget(&mut self) {
        self.number = None;
    }

    /// Every table in name order.
    pub fn tables(&mut self, connection: &mut Connection) -> Result<Arc<Vec<Table>>, Trouble> {
        let row = connection.row("SELECT s.shape FROM mirrorlab_ct_state s", &[])?;
        let number = row.and_then(|row| row.integer(0));
        if self.number.is_none() || self.number != number {
            self.tables = Arc::new(written(connection)?);
            self.number = number;
        }
        Ok(Arc::clone(&self.tables))
    }
}

/// Every table of the catalogue but tracking's own, by name.
pub(super) fn described(connection: &mut Connection) -> Result<Vec<Table>, Trouble> {
    let all = describe_all(connection)?;
    all.iter()
        .filter(|table| !tracking::is_own(&table.name))
        .map(shape)
        .collect()
}

fn shape(table: &Described) -> Result<Table, Trouble> {
    match table.key.len() {
        1 => table
            .keyed()
            .map_err(|why| Trouble::Said(format!("table `{}`: {why}", table.name))),
        keys => Err(Trouble::Said(format!(
            "table `{}` has {keys} columns in its primary key; change tracking and mirroring need exactly one",
            table.name
        ))),
    }
}

/// The catalogue's tables, as they were written.
fn written(connection: &mut Connection) -> Result<Vec<Table>, Trouble> {
    let mut tables = described(connection)?;
    let kept = kept_tables(connection)?;
    let mut kept: HashMap<String, Table> = kept.into_iter().map(|t| (fold(&t.name), t)).collect();
    for table in &mut tables {
        if let Some(written) = kept.remove(&fold(&table.name)) {
            table.columns = as_written(&table.columns, &written.columns);
            table.name = written.name;
        }
    }
    tables.sort_by_cached_key(|t| fold(&t.name));
    Ok(tables)
}

/// Every table as it was written when it was made.
pub(super) fn kept_tables(connection: &mut Connection) -> Result<Vec<Table>, Trouble> {
    let rows = connection.rows(
        "SELECT c.tbl, c.col, c.type, c.def, c.nullable FROM mirrorlab_ct_columns c ORDER BY c.tbl, c.place",
        &[],
    )?;
    let mut tables: Vec<Table> = Vec::new();
    for row in &rows {
        let text = |at: usize| row.text(at).unwrap_or_default().to_owned();
        if tables.last().is_none_or(|t| t.name != text(0)) {
            tables.push(Table {
                name: text(0),
                columns: Vec::new(),
            });
        }
        let ty = ColumnType::parse(&text(2)).map_err(|e| format!("table `{}`: {e}", text(0)))?;
        if let Some(table) = tables.last_mut() {
            table.columns.push(Column {
                name: text(1),
                ty,
                nullable: row.integer(4) == Some(1),
                default: row.text(3).and_then(|d| Default::parse(d).ok()).flatten(),
            });
        }
    }
    Ok(tables)
}

/// The catalogue's columns with the letters, types, defaults and order that were kept, each where it means the same.
fn as_written(found: &[Column], kept: &[Column]) -> Vec<Column> {
    let place = |column: &Column| kept.iter().position(|k| same_name(&k.name, &column.name));
    let mut columns: Vec<Column> = found.to_vec();
    columns.sort_by_key(|c| place(c).unwrap_or(usize::MAX));
    for column in &mut columns {
        let Some(written) = place(column).map(|at| &kept[at]) else {
            continue;
        };
        column.name.clone_from(&written.name);
        if declared(written.ty) == declared(column.ty) {
            column.ty = written.ty;
        }
        let same = match (&column.default, &written.default) {
            // An engine may know no difference between a default of NULL and none.
            (None, Some(Default::Null)) => true,
            (Some(a), Some(b)) => {
                a == b
                    || matches!((a.value(column.ty), b.value(column.ty)), (Ok(Some(a)), Ok(Some(b))) if a == b)
            }
            _ => false,
        };
        if same {
            column.default.clone_from(&written.default);
        }
    }
    columns
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

/// Keeps a table as it is written.
pub(super) fn keep(connection: &mut Connection, table: &Table) -> Result<(), MssqlError> {
    forget(connection, &table.name)?;
    // Five values a column; a statement takes some 2,000.
    for (nth, columns) in table.columns.chunks(300).enumerate() {
        let rows: Vec<[String; 2]> = columns
            .iter()
            .map(|c| {
                let default = c.default.as_ref().map(ToString::to_string);
                [c.ty.to_string(), default.unwrap_or_default()]
            })
            .collect();
        let mut statement = Statement::default();
        statement.push("INSERT INTO mirrorlab_ct_columns (tbl, place, col, type, nullable, def) VALUES ");
        for (at, (column, [ty, default])) in columns.iter().zip(&rows).enumerate() {
            statement.push(if at == 0 { "(" } else { ", (" });
            statement.bind(Param::text(table.name.as_str()));
            statement.push(&format!(", {}, ", nth * 300 + at));
            statement.bind(Param::text(column.name.as_str()));
            statement.push(", ");
            statement.bind(Param::text(ty.as_str()));
            statement.push(&format!(", {}, ", i32::from(column.nullable)));
            match column.default {
                Some(_) => statement.bind(Param::text(default.as_str())),
                None => statement.push("NULL"),
            }
            statement.push(")");
        }
        connection.execute(&statement.sql, &statement.params)?;
    }
    Ok(())
}

/// Forgets how a table was written. What others have read of the tables counts no more.
pub(super) fn forget(connection: &mut Connection, table: &str) -> Result<(), MssqlError> {
    connection
        .execute(
            "DELETE FROM mirrorlab_ct_columns WHERE LOWER(tbl) = LOWER(@P1); \
             UPDATE mirrorlab_ct_state SET shape = shape + 1",
            &[Param::text(table)],
        )
        .map(drop)
}

/// Follows a rename, in letters alone too, of which not every engine's catalogue tells.
pub(super) fn renamed(connection: &mut Connection, rename: &Rename) -> Result<(), MssqlError> {
    let (set, and) = match &rename.column {
        None => ("tbl", ""),
        Some(_) => ("col", " AND LOWER(col) = LOWER(@P3)"),
    };
    let sql = format!(
        "UPDATE mirrorlab_ct_columns SET {set} = @P1 WHERE LOWER(tbl) = LOWER(@P2){and}; \
         UPDATE mirrorlab_ct_state SET shape = shape + 1"
    );
    let mut params = vec![
        Param::text(rename.new.as_str()),
        Param::text(rename.table.as_str()),
    ];
    if let Some(old) = &rename.column {
        params.push(Param::text(old.as_str()));
    }
    connection.execute(&sql, &params).map(drop)
}

/// Whether the catalogue still says what it said when `before` was read.
pub(super) fn declares_same(before: &[Table], after: &[Table]) -> bool {
    before.len() == after.len() && before.iter().all(|was| after.iter().any(|is| is_same(was, is)))
}

fn is_same(was: &Table, is: &Table) -> bool {
    same_name(&was.name, &is.name)
        && was.columns.len() == is.columns.len()
        && was.columns.iter().all(|column| {
            is.position(&column.name).is_some_and(|at| {
                let found = &is.columns[at];
                declared(found.ty) == declared(column.ty) && found.nullable == column.nullable
            })
        })
}

/// Keeps what a person's statements made of the tables.
pub(super) fn keep_changed(
    connection: &mut Connection,
    before: &[Table],
    after: &[Table],
) -> Result<(), Trouble> {
    let kept = kept_tables(connection)?;
    for was in before {
        if !after.iter().any(|is| is_same(was, is)) {
            forget(connection, &was.name)?;
        }
    }
    for is in after {
        if !before.iter().any(|was| is_same(was, is)) {
            let written = kept.iter().find(|kept| same_name(&kept.name, &is.name));
            let table = match written {
                None => is.clone(),
                Some(written) => Table {
                    name: written.name.clone(),
                    columns: as_written(&is.columns, &written.columns),
                },
            };
            keep(connection, &table)?;
        }
    }
    Ok(())
}
