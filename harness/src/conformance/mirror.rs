//! The mirror as it is, where it can be looked at: only read, unless a check plays the person who sets LSNs by hand.

use std::path::Path;

use mirrorlab_engines::mssql::Address;
use mirrorlab_protocol::message::{ColumnInfo, TableSchemaInfo};
use mirrorlab_protocol::names::same_name;
use mirrorlab_protocol::schema::Table;
use mirrorlab_protocol::value::Value;

use super::say::{Cell, TableSpec};
use crate::compare::{Side, show};
use crate::run::mirror::Mirrors;

/// What stands for the tenant in a place's name.
const CONTEXT: &str = "{context}";

/// Where mirrors are.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum MirrorAt {
    /// SQLite files: a path with `{context}` in it.
    Sqlite(String),
    /// Databases on a SQL Server.
    SqlServer {
        /// The server, and who logs in.
        address: Address,
        /// A database's name with `{context}` in it.
        template: String,
        /// How it was given, where that holds no password.
        named: Option<String>,
    },
}

/// Why a mirror was not compared.
pub enum LookError {
    /// There is none to look at.
    NotThere(String),
    /// It is there, and wrong.
    Wrong(String),
}

impl MirrorAt {
    /// Reads `sqlite:DIR` or `sqlite:PATH-WITH-{context}.db`; or `env:NAME`, `@FILE` or what they hold:
    /// `mssql://user:password@host:port/NAME-WITH-{context}`.
    ///
    /// # Errors
    /// A text for people.
    pub fn parse(text: &str) -> Result<MirrorAt, String> {
        if Address::is_one(text) {
            return MirrorAt::on_server(text);
        }
        let Some(place) = text.strip_prefix("sqlite:").filter(|p| !p.is_empty()) else {
            // A connection string of another form, or one that is mistyped, has a password in it.
            let named = match text.contains(['@', ';', '=']) {
                true => "what was given".to_owned(),
                false => format!("`{text}`"),
            };
            return Err(format!(
                "{named} is no mirror; expected sqlite:DIRECTORY, sqlite: and a path with {CONTEXT} in it, or env:NAME or \
                 @FILE, which hold mssql://user:password@host:port/Mirror_{CONTEXT}"
            ));
        };
        if place.contains(CONTEXT) {
            return Ok(MirrorAt::Sqlite(place.to_owned()));
        }
        let template = Path::new(place).join(format!("Mirror_{CONTEXT}.db"));
        Ok(MirrorAt::Sqlite(template.to_string_lossy().into_owned()))
    }

    fn on_server(text: &str) -> Result<MirrorAt, String> {
        let address = Address::read(text).map_err(|error| error.to_string())?;
        let template = match address.names_database() {
            false => format!("Mirror_{CONTEXT}"),
            true if address.database.contains(CONTEXT) => address.database.clone(),
            true => {
                return Err(format!(
                    "the database `{}` can be one tenant's alone; write {CONTEXT} in its name where the tenant's stands",
                    address.database
                ));
            }
        };
        let master = address.with_database("master");
        Ok(MirrorAt::SqlServer {
            address: master,
            template,
            named: (text.starts_with("env:") || text.starts_with('@')).then(|| text.to_owned()),
        })
    }

    /// The place without a password: for reports, and for a command that repeats something.
    pub fn shown(&self) -> String {
        match self {
            MirrorAt::Sqlite(template) => format!("sqlite:{template}"),
            MirrorAt::SqlServer {
                named: Some(named), ..
            } => named.clone(),
            MirrorAt::SqlServer {
                address, template, ..
            } => address.with_database(template).to_string(),
        }
    }
}

/// A tenant's mirror as one side of a comparison.
///
/// # Errors
/// [`LookError::NotThere`].
pub fn open(mirrors: &dyn Mirrors, context: &str) -> Result<Box<dyn Side>, LookError> {
    let not_there = |why: &dyn std::fmt::Display| LookError::NotThere(format!("--mirror: {why}"));
    let mirror = mirrors.of(context);
    match mirror.is_there() {
        Ok(true) => mirror.side().map_err(|error| not_there(&error)),
        Ok(false) => Err(not_there(&format!("there is no {}", mirror.name()))),
        Err(error) => Err(not_there(&error)),
    }
}

/// The rows of one table in key order, read by the types that the message gave its columns.
///
/// # Errors
/// [`LookError`].
pub fn rows(
    mirrors: &dyn Mirrors,
    context: &str,
    spec: &TableSpec,
) -> Result<Vec<Vec<Value<'static>>>, LookError> {
    let mut side = open(mirrors, context)?;
    let wrong = |error: &dyn std::fmt::Display| LookError::Wrong(error.to_string());
    let tables = side.tables().map_err(|e| wrong(&e))?;
    let Some(there) = tables.iter().find(|t| same_name(&t.name, &spec.name)) else {
        return Err(LookError::Wrong(format!(
            "the mirror has no table `{}`",
            spec.name
        )));
    };
    let mut table = typed(spec).map_err(LookError::NotThere)?;
    table.name.clone_from(&there.name);
    let columns: Vec<usize> = (0..table.columns.len()).collect();
    let mut rows = Vec::new();
    let mut unreadable = None;
    side.rows(&table, &columns, 1, &mut |cursor| {
        while cursor.advance()? {
            let mut row = Vec::with_capacity(columns.len());
            for at in &columns {
                match cursor.cell(*at) {
                    Ok(value) => row.push(value.into_owned()),
                    Err(error) => {
                        let column = &table.columns[*at];
                        unreadable.get_or_insert(format!(
                            "column `{}` of type {} holds {}",
                            column.name, column.ty, error.0
                        ));
                        row.push(Value::Null);
                    }
                }
            }
            rows.push(row);
        }
        Ok(())
    })
    .map_err(|e| wrong(&e))?;
    match unreadable {
        Some(why) => Err(LookError::Wrong(why)),
        None => Ok(rows),
    }
}

fn typed(spec: &TableSpec) -> Result<Table, String> {
    let info = TableSchemaInfo {
        columns: spec
            .columns
            .iter()
            .map(|column| ColumnInfo {
                default: Some(column.default.as_str().into()),
                nullable: column.nullable,
                name: Some(column.name.as_str().into()),
                ty: Some(column.ty.as_str().into()),
            })
            .collect(),
        name: Some(spec.name.as_str().into()),
    };
    Table::from_wire(&info).map_err(|error| error.to_string())
}

/// The rows that the cells stand for.
///
/// # Errors
/// A text, where a check's own cell is none.
pub fn expected(spec: &TableSpec, rows: &[Vec<Cell>]) -> Result<Vec<Vec<Value<'static>>>, String> {
    let table = typed(spec)?;
    rows.iter()
        .map(|row| {
            row.iter()
                .zip(&table.columns)
                .map(|(cell, column)| {
                    let cell = cell.as_deref().map(|c| c.to_owned().into());
                    Value::read(cell, column.ty)
                        .map(Value::into_owned)
                        .map_err(|error| error.to_string())
                })
                .collect()
        })
        .collect()
}

/// The first difference, in words: what would be right, and what is there. Rows are matched by their first cell.
pub fn difference(
    spec: &TableSpec,
    expected: &[Vec<Value<'static>>],
    found: &[Vec<Value<'static>>],
) -> Option<(String, String)> {
    let key = |row: &[Value<'static>]| row.first().map_or_else(String::new, ToString::to_string);
    let table = &spec.name;
    for row in expected {
        let Some(there) = found.iter().find(|f| f.first() == row.first()) else {
            return Some((
                format!("the mirror's `{table}` has a row with the key {}", key(row)),
                format!("it has {} rows, and not that one", found.len()),
            ));
        };
        for (at, (right, is)) in row.iter().zip(there).enumerate() {
            if right != is {
                let column = &spec.columns[at].name;
                let place = format!("the mirror's `{table}`, key {}, column `{column}`", key(row));
                let shown = show::pair(right, is);
                let note = shown.note.map_or_else(String::new, |note| format!(" ({note})"));
                return Some((
                    format!("{place}: {}", shown.left),
                    format!("{place}: {}{note}", shown.right),
                ));
            }
        }
    }
    if expected.len() != found.len() {
        let extra: Vec<String> = found
            .iter()
            .filter(|f| !expected.iter().any(|e| e.first() == f.first()))
            .take(3)
            .map(|f| key(f))
            .collect();
        return Some((
            format!("the mirror's `{table}` has {} rows", expected.len()),
            format!("it has {}; among the others: {}", found.len(), extra.join(", ")),
        ));
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_no_mirror_is_repeated_only_where_it_can_hold_no_password() {
        for text in [
            "Server=db;User Id=sa;Password=hush-hush",
            "MSSQL://sa:hush-hush@db/Mirror_{context}",
            "msql://sa:hush-hush@db/Mirror_{context}",
            "Password=hush-hush",
        ] {
            let told = MirrorAt::parse(text).unwrap_err();
            assert!(!told.contains("hush-hush"), "{told}");
            assert!(
                told.starts_with("what was given is no mirror; expected sqlite:"),
                "{told}"
            );
        }
        let told = MirrorAt::parse("mirrors").unwrap_err();
        assert!(told.starts_with("`mirrors` is no mirror; "), "{told}");
    }
}
