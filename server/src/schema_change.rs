//! What a table's new schema asks for: nothing, a change in place, or to be made anew.
//!
//! In place is what leaves every stored value exactly as the source holds it now, in its text form too: change tracking
//! does not report what an ALTER TABLE did to rows. All else is made anew and sent again (doc).

use mirrorlab_protocol::names::same_name;
use mirrorlab_protocol::schema::{Column, Table};
use mirrorlab_protocol::types::{ColumnType, Length};

/// What has to be done to a stored table.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum SchemaChange {
    /// Nothing.
    Keep,
    /// A change in place, if the rows allow it.
    Alter(Alteration),
    /// Drop and create, with LSN -1. The reason is for a person.
    Recreate(String),
}

/// A change in place.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Alteration {
    /// Columns that are new.
    pub added: Vec<String>,
    /// Columns that go.
    pub dropped: Vec<String>,
    /// Columns with another type, nullability or default.
    pub changed: Vec<String>,
    /// Positions in the stored table of columns that must hold no NULL for it; otherwise the table is made anew.
    pub no_null_in: Vec<usize>,
    /// New columns that existing rows have no value for: with any row, the table is made anew.
    pub no_rows_for: Vec<String>,
}

/// What brings `stored` to `wanted`. `stored_hash` is the hash of the schema that the table was made from; equal hashes
/// mean no change.
pub fn compare(stored: &Table, stored_hash: &str, wanted: &Table) -> SchemaChange {
    if stored_hash == wanted.hash() {
        return SchemaChange::Keep;
    }
    let (old_key, new_key) = (stored.key(), wanted.key());
    if !same_name(&old_key.name, &new_key.name) {
        return SchemaChange::Recreate(format!(
            "its key is `{}` and was `{}`",
            new_key.name, old_key.name
        ));
    }
    let mut alteration = Alteration::default();
    for column in &wanted.columns {
        let Some(at) = stored.position(&column.name) else {
            alteration.added.push(column.name.clone());
            if !column.nullable && !matches!(column.fill_value(), Ok(Some(_))) {
                alteration.no_rows_for.push(column.name.clone());
            }
            continue;
        };
        let old = &stored.columns[at];
        if !widens(old.ty, column.ty) {
            return SchemaChange::Recreate(format!(
                "column `{}` is {} and was {}",
                column.name, column.ty, old.ty
            ));
        }
        if old.nullable && !column.nullable {
            alteration.no_null_in.push(at);
        }
        if (old.ty, old.nullable, &old.default) != (column.ty, column.nullable, &column.default) {
            alteration.changed.push(column.name.clone());
        }
    }
    for old in &stored.columns {
        if wanted.position(&old.name).is_some() {
            continue;
        }
        alteration.dropped.push(old.name.clone());
        if let Some(new) = renamed(stored, wanted) {
            return SchemaChange::Recreate(format!(
                "column `{}` may be `{}` under a new name, with its old values",
                new.name, old.name
            ));
        }
    }
    SchemaChange::Alter(alteration)
}

/// A new column that a dropped one may have been renamed to, whatever its type: that may have been changed as well. A
/// rename keeps the source's values and change tracking is silent about it, while a new column is filled: no message
/// tells the two apart.
fn renamed<'w>(stored: &Table, wanted: &'w Table) -> Option<&'w Column> {
    wanted
        .columns
        .iter()
        .find(|new| stored.position(&new.name).is_none())
}

/// Whether every value of `from` is the same value in `to`, in its text form too.
pub fn widens(from: ColumnType, to: ColumnType) -> bool {
    use ColumnType as T;
    if from == to {
        return true;
    }
    if let (Some((min, max)), Some((to_min, to_max))) = (from.integer_range(), to.integer_range()) {
        return to_min <= min && max <= to_max;
    }
    match (from, to) {
        (T::Real, T::Float) => true,
        // Another scale would be another text.
        (T::Decimal { .. } | T::Money | T::SmallMoney, T::Decimal { precision, scale }) => from
            .decimal_shape()
            .is_some_and(|(p, s)| p <= precision && s == scale),
        (T::SmallMoney, T::Money) => true,
        // Fixed lengths may grow into variable ones: their padding stays. Into longer fixed ones they do not: SQL Server
        // would pad every row.
        (T::NVarChar(_) | T::NChar(_) | T::VarChar(_) | T::Char(_), T::NVarChar(to_length))
        | (T::VarChar(_) | T::Char(_), T::VarChar(to_length))
        | (T::VarBinary(_) | T::Binary(_), T::VarBinary(to_length)) => {
            length(from).is_some_and(|from_length| at_most(from_length, to_length))
        }
        (T::NText | T::Text, T::NVarChar(Length::Max)) => true,
        (T::Text, T::VarChar(Length::Max)) => true,
        (T::Image, T::VarBinary(Length::Max)) => true,
        _ => false,
    }
}

fn length(ty: ColumnType) -> Option<Length> {
    match ty {
        ColumnType::NVarChar(length) | ColumnType::VarChar(length) | ColumnType::VarBinary(length) => {
            Some(length)
        }
        ColumnType::NChar(n) | ColumnType::Char(n) | ColumnType::Binary(n) => Some(Length::Limit(n)),
        _ => None,
    }
}

fn at_most(from: Length, to: Length) -> bool {
    match (from, to) {
        (_, Length::Max) => true,
        (Length::Max, Length::Limit(_)) => false,
        (Length::Limit(a), Length::Limit(b)) => a <= b,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::store::testing::table;

    fn told(stored: &str, wanted: &str) -> String {
        let stored = table("t", stored);
        match compare(&stored, &stored.hash(), &table("t", wanted)) {
            SchemaChange::Keep => "keep".into(),
            SchemaChange::Recreate(reason) => format!("anew: {reason}"),
            SchemaChange::Alter(a) => format!(
                "alter: added {:?} dropped {:?} changed {:?} no null in {:?} no rows for {:?}",
                a.added, a.dropped, a.changed, a.no_null_in, a.no_rows_for
            ),
        }
    }

    #[test]
    fn changes_and_what_they_ask_for() {
        let base = "id int not null; a nvarchar(10) null; b int null default ((0))";
        let lines: Vec<String> = [
            base,
            "ID INT not null; A nvarchar(10) null; B int null default ((0))",
            "id int not null; a nvarchar(10) null",
            "id int not null; b int null default ((0)); a nvarchar(10) null",
            "id int not null; a nvarchar(max) null; b bigint not null default ((1))",
            "id int not null; a nvarchar(10) null; b int null default ((0)); c datetime null; d int not null default ((5)); e datetime not null default (getdate()); f int not null",
            "id bigint not null; a nvarchar(10) null; b int null default ((0))",
            "id smallint not null; a nvarchar(10) null; b int null default ((0))",
            "key int not null; a nvarchar(10) null; b int null default ((0))",
            "b int not null; id int not null; a nvarchar(10) null",
            "id int not null; a datetime null; b int null default ((0))",
            "id int not null; a nvarchar(9) null; b int null default ((0))",
            "id int not null; renamed nvarchar(20) null; b int null default ((0))",
            "id int not null; other datetime null; b int null default ((0))",
        ]
        .into_iter()
        .map(|wanted| told(base, wanted))
        .collect();
        insta::assert_snapshot!(lines.join("\n"), @r#"
        keep
        keep
        alter: added [] dropped ["b"] changed [] no null in [] no rows for []
        alter: added [] dropped [] changed [] no null in [] no rows for []
        alter: added [] dropped [] changed ["a", "b"] no null in [2] no rows for []
        alter: added ["c", "d", "e", "f"] dropped [] changed [] no null in [] no rows for ["e", "f"]
        alter: added [] dropped [] changed ["id"] no null in [] no rows for []
        anew: column `id` is smallint and was int
        anew: its key is `key` and was `id`
        anew: its key is `b` and was `id`
        anew: column `a` is datetime and was nvarchar(10)
        anew: column `a` is nvarchar(9) and was nvarchar(10)
        anew: column `renamed` may be `a` under a new name, with its old values
        anew: column `other` may be `a` under a new name, with its old values
        "#);
    }

    #[test]
    fn only_what_keeps_every_value_is_widening() {
        let ty = |t: &str| ColumnType::parse(t).unwrap();
        for (from, to) in [
            ("bit", "int"),
            ("bit", "tinyint"),
            ("tinyint", "smallint"),
            ("smallint", "int"),
            ("int", "bigint"),
            ("real", "float"),
            ("decimal(10,2)", "decimal(12,2)"),
            ("smallmoney", "money"),
            ("money", "decimal(19,4)"),
            ("nvarchar(10)", "nvarchar(20)"),
            ("nvarchar(4000)", "nvarchar(max)"),
            ("varchar(10)", "nvarchar(10)"),
            ("nchar(5)", "nvarchar(5)"),
            ("char(5)", "nvarchar(5)"),
            ("char(5)", "varchar(6)"),
            ("varchar(10)", "varchar(11)"),
            ("smallmoney", "decimal(10,4)"),
            ("ntext", "nvarchar(max)"),
            ("text", "nvarchar(max)"),
            ("text", "varchar(max)"),
            ("varbinary(10)", "varbinary(max)"),
            ("binary(4)", "varbinary(4)"),
            ("image", "varbinary(max)"),
        ] {
            assert!(widens(ty(from), ty(to)), "{from} into {to}");
            assert!(!widens(ty(to), ty(from)), "{to} into {from}");
        }
        for (from, to) in [
            ("int", "nvarchar(20)"),
            ("int", "float"),
            ("int", "decimal(18,0)"),
            ("decimal(10,2)", "decimal(12,3)"),
            ("decimal(19,4)", "money"),
            ("datetime", "datetime2(7)"),
            ("datetime2(3)", "datetime2(7)"),
            ("date", "datetime"),
            ("nchar(5)", "nchar(6)"),
            ("binary(5)", "binary(6)"),
            ("nvarchar(10)", "varchar(max)"),
            ("rowversion", "binary(8)"),
            ("uniqueidentifier", "nvarchar(36)"),
        ] {
            assert!(!widens(ty(from), ty(to)), "{from} into {to}");
        }
    }
}
