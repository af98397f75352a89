//! A table's shape: its wire form, its typed form, and the hash by which a change is noticed.

use std::collections::HashSet;

use sha2::{Digest, Sha256};

use crate::default::{Default, DefaultError};
use crate::message::{ColumnInfo, TableSchemaInfo};
use crate::names::{fold, same_name};
use crate::types::{ColumnType, TypeError};
use crate::value::{CellError, Value};

/// The longest name SQL Server takes, in UTF-16 code units.
pub const NAME_LENGTH_MAX: usize = 128;
/// The most columns a SQL Server table has.
pub const COLUMNS_MAX: usize = 1024;

/// One column of a mirrored table.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Column {
    /// As the source writes it; letter case does not count.
    pub name: String,
    /// Its type.
    pub ty: ColumnType,
    /// Whether NULL is a value of it.
    pub nullable: bool,
    /// What it holds where a row names no value.
    pub default: Option<Default>,
}

/// A mirrored table. Its first column is its primary key: no message names a key, and in every table seen the first
/// column is it (seen, by convention).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Table {
    /// As the source writes it; letter case does not count.
    pub name: String,
    /// In the source's order, at least one.
    pub columns: Vec<Column>,
}

/// Why a table's schema was refused.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum SchemaError {
    /// A name is missing.
    #[error("{0} has no name")]
    NoName(String),
    /// A name that SQL Server would not take.
    #[error(
        "the name `{0}` is not one SQL Server takes: 1 to {NAME_LENGTH_MAX} characters, none of them a control character"
    )]
    BadName(String),
    /// A table without columns.
    #[error("table `{0}` has no columns")]
    NoColumns(String),
    /// More columns than SQL Server has.
    #[error("table `{0}` has {1} columns; at most {COLUMNS_MAX} are possible")]
    TooManyColumns(String, usize),
    /// Two columns with one name.
    #[error("table `{table}` has two columns named `{column}`")]
    DuplicateColumn {
        /// The table.
        table: String,
        /// The name that stands twice.
        column: String,
    },
    /// A type that is not on the list.
    #[error("column `{table}.{column}`: {source}")]
    Type {
        /// The table.
        table: String,
        /// The column.
        column: String,
        /// What is wrong with its type.
        source: TypeError,
    },
    /// A default that is not on the list.
    #[error("column `{table}.{column}`: {source}")]
    Default {
        /// The table.
        table: String,
        /// The column.
        column: String,
        /// What is wrong with its default.
        source: DefaultError,
    },
    /// A default that the column cannot hold.
    #[error("column `{table}.{column}`: its default does not fit: {source}")]
    DefaultValue {
        /// The table.
        table: String,
        /// The column.
        column: String,
        /// Why not.
        source: CellError,
    },
    /// A first column that can be no primary key.
    #[error("column `{table}.{column}` comes first and so is the key, but {why}")]
    Key {
        /// The table.
        table: String,
        /// Its first column.
        column: String,
        /// Why it can be no key.
        why: &'static str,
    },
    /// Two tables with one name.
    #[error("table `{0}` is listed twice")]
    DuplicateTable(String),
}

impl Table {
    /// Reads a table as a message carries it.
    ///
    /// # Errors
    /// [`SchemaError`], naming table and column.
    pub fn from_wire(info: &TableSchemaInfo<'_>) -> Result<Table, SchemaError> {
        let name = info
            .name
            .as_deref()
            .filter(|n| !n.is_empty())
            .ok_or_else(|| SchemaError::NoName("a table".into()))?;
        check_name(name)?;
        let columns = info
            .columns
            .iter()
            .enumerate()
            .map(|(at, column)| Column::from_wire(name, at, column))
            .collect::<Result<Vec<_>, _>>()?;
        let table = Table {
            name: name.to_owned(),
            columns,
        };
        table.check()?;
        Ok(table)
    }

    /// Checks what [`Table::from_wire`] promises, for a table that was built by hand.
    ///
    /// # Errors
    /// [`SchemaError`], naming table and column.
    pub fn check(&self) -> Result<(), SchemaError> {
        check_name(&self.name)?;
        let name = || self.name.clone();
        let Some(key) = self.columns.first() else {
            return Err(SchemaError::NoColumns(name()));
        };
        if self.columns.len() > COLUMNS_MAX {
            return Err(SchemaError::TooManyColumns(name(), self.columns.len()));
        }
        let mut seen = HashSet::new();
        for column in &self.columns {
            check_name(&column.name)?;
            if !seen.insert(fold(&column.name)) {
                return Err(SchemaError::DuplicateColumn {
                    table: name(),
                    column: column.name.clone(),
                });
            }
            if let Some(default) = &column.default {
                default
                    .value(column.ty)
                    .map_err(|source| SchemaError::DefaultValue {
                        table: name(),
                        column: column.name.clone(),
                        source,
                    })?;
            }
        }
        let unfit = if key.nullable {
            Some("it may be NULL")
        } else if key.ty.is_large() {
            Some("SQL Server has no key of that type")
        } else {
            None
        };
        match unfit {
            None => Ok(()),
            Some(why) => Err(SchemaError::Key {
                table: name(),
                column: key.name.clone(),
                why,
            }),
        }
    }

    /// The table as a message carries it.
    pub fn to_wire(&self) -> TableSchemaInfo<'_> {
        TableSchemaInfo {
            name: Some(self.name.as_str().into()),
            columns: self
                .columns
                .iter()
                .map(|column| ColumnInfo {
                    default: Some(
                        column
                            .default
                            .as_ref()
                            .map(ToString::to_string)
                            .unwrap_or_default()
                            .into(),
                    ),
                    nullable: Some(column.nullable),
                    name: Some(column.name.as_str().into()),
                    ty: Some(column.ty.to_string().into()),
                })
                .collect(),
        }
    }

    /// The primary key: the first column.
    pub fn key(&self) -> &Column {
        &self.columns[0]
    }

    /// Where a column stands, by a name whose letter case does not count.
    pub fn position(&self, column: &str) -> Option<usize> {
        self.columns.iter().position(|c| same_name(&c.name, column))
    }

    /// A hash of everything that is mirrored of a table: names without their letter case, types, nullability, defaults
    /// and the columns' order. 64 hex digits.
    pub fn hash(&self) -> String {
        let mut hasher = Sha256::new();
        let mut add = |text: &str| {
            hasher.update((text.len() as u64).to_le_bytes());
            hasher.update(text.as_bytes());
        };
        add(&fold(&self.name));
        for column in &self.columns {
            add(&fold(&column.name));
            add(&column.ty.to_string());
            add(if column.nullable { "null" } else { "not null" });
            add(&column
                .default
                .as_ref()
                .map(ToString::to_string)
                .unwrap_or_default());
        }
        hasher.finalize().iter().map(|b| format!("{b:02x}")).collect()
    }
}

impl Column {
    fn from_wire(table: &str, at: usize, info: &ColumnInfo<'_>) -> Result<Column, SchemaError> {
        let name = info
            .name
            .as_deref()
            .filter(|n| !n.is_empty())
            .ok_or_else(|| SchemaError::NoName(format!("column {} of table `{table}`", at + 1)))?;
        let ty = ColumnType::parse(info.ty.as_deref().unwrap_or_default()).map_err(|source| {
            SchemaError::Type {
                table: table.to_owned(),
                column: name.to_owned(),
                source,
            }
        })?;
        let default = Default::parse(info.default.as_deref().unwrap_or_default()).map_err(|source| {
            SchemaError::Default {
                table: table.to_owned(),
                column: name.to_owned(),
                source,
            }
        })?;
        Ok(Column {
            name: name.to_owned(),
            ty,
            // A missing IsNullable is .NET's default, false.
            nullable: info.nullable.unwrap_or(false),
            default,
        })
    }

    /// What existing rows hold after this column was added: NULL where it may be, even with a default; else the
    /// default (SQL Server's rule). `Ok(None)` where it must not be NULL and no fixed value is known.
    ///
    /// # Errors
    /// [`CellError`] where the default does not fit the type.
    pub fn fill_value(&self) -> Result<Option<Value<'static>>, CellError> {
        if self.nullable {
            return Ok(Some(Value::Null));
        }
        match &self.default {
            Some(default) => Ok(default.value(self.ty)?.filter(|v| !v.is_null())),
            None => Ok(None),
        }
    }
}

/// Checks a list of tables as one TableSchema call carries them: no name twice.
///
/// # Errors
/// [`SchemaError::DuplicateTable`].
pub fn check_distinct(tables: &[Table]) -> Result<(), SchemaError> {
    let mut seen = HashSet::new();
    match tables.iter().find(|t| !seen.insert(fold(&t.name))) {
        Some(twice) => Err(SchemaError::DuplicateTable(twice.name.clone())),
        None => Ok(()),
    }
}

fn check_name(name: &str) -> Result<(), SchemaError> {
    let length = name.encode_utf16().count();
    if (1..=NAME_LENGTH_MAX).contains(&length) && !name.chars().any(char::is_control) {
        Ok(())
    } else {
        Err(SchemaError::BadName(crate::excerpt(name)))
    }
}
