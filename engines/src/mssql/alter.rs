//! Tables changed in place, rows kept.
//!
//! SQL Server changes a column only when nothing hangs on it: its default's constraint, the primary key, partners' indexes.
//! They are found by the catalogue, taken away, and put back. An engine that cannot change a column's nullability, or
//! does not keep constraints' names, gets the table made anew with its rows carried over.

use mirrorlab_protocol::names::same_name;
use mirrorlab_protocol::schema::{Column, Table};
use mirrorlab_protocol::types::ColumnType;

use super::capabilities::Capabilities;
use super::connection::{Connection, Row};
use super::ddl::{self, quote, text_literal};
use super::error::MssqlError;

/// Carries the rows of a table that is made anew.
const BESIDE: &str = "#mirrorlab_rebuild";

/// Brings `old`, which is there, to `new`, under the same name. Rows are kept; new columns hold
/// [`Column::fill_value`] in them.
///
/// # Errors
/// [`MssqlError`]: the caller's transaction is to be rolled back.
pub fn alter(
    connection: &mut Connection,
    capabilities: &Capabilities,
    old: &Table,
    new: &Table,
) -> Result<(), MssqlError> {
    let dropped: Vec<&Column> = old
        .columns
        .iter()
        .filter(|c| new.position(&c.name).is_none())
        .collect();
    let changed: Vec<(&Column, &Column)> = old
        .columns
        .iter()
        .filter_map(|c| new.position(&c.name).map(|at| (c, &new.columns[at])))
        .filter(|(from, to)| (from.ty, from.nullable, &from.default) != (to.ty, to.nullable, &to.default))
        .collect();
    let added: Vec<&Column> = new
        .columns
        .iter()
        .filter(|c| old.position(&c.name).is_none())
        .collect();
    let touched: Vec<&str> = dropped
        .iter()
        .copied()
        .chain(changed.iter().map(|(from, _)| *from))
        .map(|c| c.name.as_str())
        .collect();
    let indexes = match touched.is_empty() {
        true => Vec::new(),
        false => Index::of(connection, &old.name)?,
    };
    // SQL Server alters no column of the old large types either.
    let large = |column: &Column| {
        matches!(
            column.ty,
            ColumnType::Text | ColumnType::NText | ColumnType::Image
        )
    };
    let in_place = capabilities.alter_nullability
        && capabilities.named_constraints
        && !changed
            .iter()
            .any(|(from, to)| (from.ty, from.nullable) != (to.ty, to.nullable) && (large(from) || large(to)));
    if !changed.is_empty() && !in_place {
        rebuild(connection, old, new)?;
        return restore(connection, new, indexes.iter());
    }
    let hit: Vec<&Index> = indexes.iter().filter(|index| index.has_any(&touched)).collect();
    for index in &hit {
        connection.batch(&format!(
            "DROP INDEX {} ON {}",
            quote(&index.name),
            quote(&old.name)
        ))?;
    }
    if capabilities.named_constraints {
        for name in defaults(connection, &old.name, &touched)? {
            connection.batch(&drop_constraint(&old.name, &name))?;
        }
    }
    for column in &dropped {
        connection.batch(&format!(
            "ALTER TABLE {} DROP COLUMN {}",
            quote(&old.name),
            quote(&column.name)
        ))?;
    }
    for (from, to) in &changed {
        let is_key = same_name(&to.name, &new.key().name);
        let reshaped = (from.ty, from.nullable) != (to.ty, to.nullable);
        if reshaped && is_key {
            for name in key_constraints(connection, &old.name)? {
                connection.batch(&drop_constraint(&old.name, &name))?;
            }
        }
        if reshaped {
            connection.batch(&ddl::alter_column(&old.name, to))?;
        }
        if reshaped && is_key {
            connection.batch(&format!(
                "ALTER TABLE {} ADD CONSTRAINT {} PRIMARY KEY ({})",
                quote(&old.name),
                quote(&ddl::key_name(&old.name)),
                quote(&to.name)
            ))?;
        }
        if let Some(sql) = ddl::add_default(&old.name, to) {
            connection.batch(&sql)?;
        }
    }
    for column in added {
        for sql in ddl::add_column(&old.name, column) {
            connection.batch(&sql)?;
        }
    }
    restore(connection, new, hit.into_iter())
}

fn drop_constraint(table: &str, name: &str) -> String {
    format!("ALTER TABLE {} DROP CONSTRAINT {}", quote(table), quote(name))
}

fn object_id(table: &str) -> String {
    format!("OBJECT_ID({})", text_literal(&quote(table)))
}

fn texts(rows: &[Row], at: usize) -> Vec<String> {
    rows.iter()
        .filter_map(|row| row.text(at).map(str::to_owned))
        .collect()
}

/// The names of the defaults of some columns: they may have been given by a person.
fn defaults(connection: &mut Connection, table: &str, columns: &[&str]) -> Result<Vec<String>, MssqlError> {
    let rows = connection.rows(
        &format!(
            "SELECT d.name, c.name FROM sys.default_constraints d \
             JOIN sys.columns c ON c.object_id = d.parent_object_id AND c.column_id = d.parent_column_id \
             WHERE d.parent_object_id = {}",
            object_id(table)
        ),
        &[],
    )?;
    let rows: Vec<Row> = rows
        .into_iter()
        .filter(|row| {
            columns
                .iter()
                .any(|c| same_name(c, row.text(1).unwrap_or_default()))
        })
        .collect();
    Ok(texts(&rows, 0))
}

fn key_constraints(connection: &mut Connection, table: &str) -> Result<Vec<String>, MssqlError> {
    let rows = connection.rows(
        &format!(
            "SELECT k.name FROM sys.key_constraints k WHERE k.parent_object_id = {} AND k.type = 'PK'",
            object_id(table)
        ),
        &[],
    )?;
    Ok(texts(&rows, 0))
}

/// A partner's index on a mirrored table.
#[derive(Debug)]
struct Index {
    name: String,
    unique: bool,
    clustered: bool,
    filter: Option<String>,
    /// Name, whether it is included only, whether it is descending.
    columns: Vec<(String, bool, bool)>,
}

impl Index {
    /// The indexes of a table that are no constraint's.
    fn of(connection: &mut Connection, table: &str) -> Result<Vec<Index>, MssqlError> {
        let rows = connection.rows(
            &format!(
                "SELECT i.name, CAST(i.is_unique AS int), CAST(i.type AS int), CAST(i.filter_definition AS nvarchar(max)), \
                 c.name, CAST(k.is_included_column AS int), CAST(k.is_descending_key AS int) FROM sys.indexes i \
                 JOIN sys.index_columns k ON k.object_id = i.object_id AND k.index_id = i.index_id \
                 JOIN sys.columns c ON c.object_id = k.object_id AND c.column_id = k.column_id \
                 WHERE i.object_id = {} AND i.is_primary_key = 0 AND i.is_unique_constraint = 0 \
                 ORDER BY i.index_id, k.is_included_column, k.key_ordinal, k.index_column_id",
                object_id(table)
            ),
            &[],
        )?;
        let mut indexes: Vec<Index> = Vec::new();
        for row in &rows {
            let text = |at: usize| row.text(at).unwrap_or_default().to_owned();
            let yes = |at: usize| row.integer(at) == Some(1);
            if indexes.last().is_none_or(|index| index.name != text(0)) {
                indexes.push(Index {
                    name: text(0),
                    unique: yes(1),
                    clustered: yes(2),
                    filter: row.text(3).map(str::to_owned),
                    columns: Vec::new(),
                });
            }
            if let Some(index) = indexes.last_mut() {
                index.columns.push((text(4), yes(5), yes(6)));
            }
        }
        Ok(indexes)
    }

    fn has_any(&self, columns: &[&str]) -> bool {
        self.columns
            .iter()
            .any(|(name, ..)| columns.iter().any(|c| same_name(c, name)))
    }

    fn create(&self, table: &str) -> String {
        let list = |included: bool| {
            let names: Vec<String> = self
                .columns
                .iter()
                .filter(|(_, is_included, _)| *is_included == included)
                .map(|(name, _, descending)| {
                    format!("{}{}", quote(name), if *descending { " DESC" } else { "" })
                })
                .collect();
            names.join(", ")
        };
        let mut sql = format!(
            "CREATE {}{}INDEX {} ON {} ({})",
            if self.unique { "UNIQUE " } else { "" },
            if self.clustered { "CLUSTERED " } else { "" },
            quote(&self.name),
            quote(table),
            list(false)
        );
        let included = list(true);
        if !included.is_empty() {
            sql.push_str(&format!(" INCLUDE ({included})"));
        }
        if let Some(filter) = &self.filter {
            sql.push_str(&format!(" WHERE {filter}"));
        }
        sql
    }
}

/// Makes indexes anew, but for those on a column that is gone: they go with it.
fn restore<'i>(
    connection: &mut Connection,
    table: &Table,
    indexes: impl Iterator<Item = &'i Index>,
) -> Result<(), MssqlError> {
    for index in indexes {
        if index
            .columns
            .iter()
            .all(|(name, ..)| table.position(name).is_some())
        {
            connection.batch(&index.create(&table.name))?;
        } else {
            tracing::warn!(
                table = table.name,
                index = index.name,
                "an index went with a column that is gone"
            );
        }
    }
    Ok(())
}

/// Makes the table anew, and carries its rows over. Columns of one name keep their values, new ones hold
/// [`Column::fill_value`].
fn rebuild(connection: &mut Connection, old: &Table, new: &Table) -> Result<(), MssqlError> {
    let mut targets = Vec::new();
    let mut sources = Vec::new();
    for column in &new.columns {
        match old.position(&column.name) {
            Some(at) => sources.push(quote(&old.columns[at].name)),
            None => match column.fill_value() {
                Ok(Some(value)) => sources.push(ddl::literal(&value, column.ty)),
                // No fixed value, and so no rows.
                _ => continue,
            },
        }
        targets.push(quote(&column.name));
    }
    let table = quote(&old.name);
    connection.batch(&format!("SELECT * INTO {BESIDE} FROM {table}"))?;
    connection.batch(&format!("DROP TABLE {table}"))?;
    connection.batch(&ddl::create_table(new))?;
    connection.batch(&format!(
        "INSERT INTO {table} ({}) SELECT {} FROM {BESIDE}; DROP TABLE {BESIDE}",
        targets.join(", "),
        sources.join(", ")
    ))
}
