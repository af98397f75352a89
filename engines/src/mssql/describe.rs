//! Tables as the catalogue has them.

use std::collections::HashMap;

use mirrorlab_protocol::default::Default;
use mirrorlab_protocol::names::same_name;
use mirrorlab_protocol::schema::{Column, Table};
use mirrorlab_protocol::types::ColumnType;

use super::connection::{Connection, Row};
use super::ddl::quote;
use super::error::MssqlError;
use super::value::Param;

/// A table of the connection's default schema, as the catalogue has it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Described {
    /// Its name, as the database writes it.
    pub name: String,
    /// Its columns in their order, those that can be mirrored.
    pub readable: Table,
    /// The others.
    pub unreadable: Vec<UnreadableColumn>,
    /// The names of its primary key's columns, in the key's order; empty where there is none.
    pub key: Vec<String>,
}

/// A column that cannot be mirrored, nor read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct UnreadableColumn {
    /// Its name.
    pub name: String,
    /// Its place among the table's columns, counted from 0.
    pub at: usize,
    /// Why.
    pub why: String,
}

impl Described {
    /// The table with its key as the first column, as [`Table`] has it.
    ///
    /// # Errors
    /// Why it is no table that can be mirrored: a type outside the list, no key, a key of several columns.
    pub fn keyed(&self) -> Result<Table, String> {
        if let Some(column) = self.unreadable.first() {
            return Err(column.why.clone());
        }
        let mut table = self.readable.clone();
        let [key] = self.key.as_slice() else {
            return Err(match self.key.len() {
                0 => "it has no primary key".into(),
                n => format!("its primary key has {n} columns"),
            });
        };
        let at = table
            .position(key)
            .ok_or_else(|| format!("its key `{key}` is none of its columns"))?;
        let column = table.columns.remove(at);
        table.columns.insert(0, column);
        Ok(table)
    }
}

/// Every table of the connection's default schema, in name order.
///
/// # Errors
/// [`MssqlError`].
pub fn describe_all(connection: &mut Connection) -> Result<Vec<Described>, MssqlError> {
    find(connection, "", &[])
}

/// One table; `None` where there is none of that name, letter case not counting.
///
/// # Errors
/// [`MssqlError`].
pub fn describe(connection: &mut Connection, table: &str) -> Result<Option<Described>, MssqlError> {
    let found = find(
        connection,
        " AND t.object_id = OBJECT_ID(@P1, N'U')",
        &[Param::text(quote(table))],
    )?;
    Ok(found.into_iter().find(|d| same_name(&d.name, table)))
}

/// The names of all tables of the connection's default schema, in name order.
///
/// # Errors
/// [`MssqlError`].
pub fn names(connection: &mut Connection) -> Result<Vec<String>, MssqlError> {
    let rows = connection.rows(
        "SELECT t.name FROM sys.tables t WHERE t.schema_id = SCHEMA_ID() ORDER BY t.name",
        &[],
    )?;
    Ok(rows
        .iter()
        .filter_map(|row| row.text(0).map(str::to_owned))
        .collect())
}

fn find(
    connection: &mut Connection,
    which: &str,
    params: &[Param<'_>],
) -> Result<Vec<Described>, MssqlError> {
    // A type of a person's own is its base type, hence the join by system_type_id.
    let sql = format!(
        "SELECT t.name, c.name, y.name, CAST(c.max_length AS int), CAST(c.precision AS int), CAST(c.scale AS int), \
         CAST(c.is_nullable AS int), CAST(d.definition AS nvarchar(max)) FROM sys.tables t \
         JOIN sys.columns c ON c.object_id = t.object_id \
         LEFT JOIN sys.types y ON y.user_type_id = c.system_type_id \
         LEFT JOIN sys.default_constraints d ON d.parent_object_id = c.object_id AND d.parent_column_id = c.column_id \
         WHERE t.schema_id = SCHEMA_ID(){which} ORDER BY t.name, c.column_id; \
         SELECT t.name, c.name FROM sys.tables t JOIN sys.indexes i ON i.object_id = t.object_id AND i.is_primary_key = 1 \
         JOIN sys.index_columns k ON k.object_id = i.object_id AND k.index_id = i.index_id \
         JOIN sys.columns c ON c.object_id = k.object_id AND c.column_id = k.column_id \
         WHERE t.schema_id = SCHEMA_ID(){which} ORDER BY t.name, k.key_ordinal"
    );
    let mut results = connection.results(&sql, params)?.into_iter();
    let columns = results.next().unwrap_or_default();
    let mut keys: HashMap<String, Vec<String>> = HashMap::new();
    for row in results.next().unwrap_or_default() {
        if let (Some(table), Some(column)) = (row.text(0), row.text(1)) {
            keys.entry(table.to_owned()).or_default().push(column.to_owned());
        }
    }
    let mut tables: Vec<Described> = Vec::new();
    for row in &columns {
        let name = row.text(0).unwrap_or_default();
        if tables.last().is_none_or(|t| t.name != name) {
            tables.push(Described {
                name: name.to_owned(),
                readable: Table {
                    name: name.to_owned(),
                    columns: Vec::new(),
                },
                unreadable: Vec::new(),
                key: keys.remove(name).unwrap_or_default(),
            });
        }
        let Some(table) = tables.last_mut() else { continue };
        match column(row) {
            Ok(column) => table.readable.columns.push(column),
            Err(why) => table.unreadable.push(UnreadableColumn {
                name: row.text(1).unwrap_or_default().to_owned(),
                at: table.readable.columns.len() + table.unreadable.len(),
                why,
            }),
        }
    }
    Ok(tables)
}

fn column(row: &Row) -> Result<Column, String> {
    let name = row.text(1).unwrap_or_default().to_owned();
    let type_text = type_text(row);
    let ty = ColumnType::parse(&type_text).map_err(|e| format!("column `{name}`: {e}"))?;
    let default = match row.text(7) {
        None => None,
        Some(sql) => Some(default(sql).ok_or_else(|| {
            format!(
                "column `{name}`: its default `{}` is none that can be mirrored",
                mirrorlab_protocol::excerpt(sql)
            )
        })?),
    };
    Ok(Column {
        name,
        ty,
        nullable: row.integer(6) == Some(1),
        default,
    })
}

/// `nvarchar(20)` from the catalogue's name and numbers.
fn type_text(row: &Row) -> String {
    let name = row.text(2).unwrap_or_default();
    let number = |at: usize| row.integer(at).unwrap_or_default();
    // Lengths are in bytes; -1 is max.
    let length = |unit: i64| match number(3) {
        -1 => "max".to_owned(),
        bytes => (bytes / unit).to_string(),
    };
    match name {
        "nvarchar" | "nchar" => format!("{name}({})", length(2)),
        "varchar" | "char" | "varbinary" | "binary" => format!("{name}({})", length(1)),
        "decimal" | "numeric" => format!("{name}({},{})", number(4), number(5)),
        "datetime2" | "datetimeoffset" | "time" => format!("{name}({})", number(5)),
        _ => name.to_owned(),
    }
}

/// A default by its definition in the catalogue: `((0))`, `(N'')`, and what other engines make of it,
/// `CAST(('it''s') AS nvarchar(4))`.
pub fn default(definition: &str) -> Option<Default> {
    if let Ok(default) = Default::parse(definition) {
        return default;
    }
    let mut text = definition.trim();
    while let Some(inner) = text.strip_prefix('(').and_then(|t| t.strip_suffix(')')) {
        text = inner.trim();
    }
    let inner = text
        .get(..5)
        .filter(|head| head.eq_ignore_ascii_case("cast("))
        .and_then(|_| text[5..].strip_suffix(')'))?;
    // The last AS is the cast's own: a type has no quotes.
    let at = inner.to_ascii_lowercase().rfind(" as ")?;
    ColumnType::parse(&inner[at + 4..]).ok()?;
    default(&inner[..at])
}
