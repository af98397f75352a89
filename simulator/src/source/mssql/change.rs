//! Rows in, rows changed, rows gone: many changes to a statement, as far as its parameters go.

use mirrorlab_engines::mssql::value::{PARAMS_MAX, VALUES_ROWS_MAX, carried};
use mirrorlab_engines::mssql::{Param, Statement, quote};
use mirrorlab_protocol::excerpt;
use mirrorlab_protocol::schema::Table;
use mirrorlab_protocol::types::ColumnType;
use mirrorlab_protocol::value::Value;

use super::{Trouble, shape};
use crate::source::Change;
use crate::source::sqlite::check;

/// The most changes in one statement's text that are no inserts.
const CHANGES_MAX: usize = 200;

/// The statements of some changes, in their order. Every value is looked at first.
pub(super) fn statements<'c>(
    tables: &[Table],
    changes: &'c [(&str, Change)],
) -> Result<Vec<Statement<'c>>, Trouble> {
    let mut made = Made::default();
    for (name, change) in changes {
        let table = shape::find(tables, name)?;
        check(table, change)?;
        made.add(table, change);
    }
    Ok(made.statements)
}

#[derive(Default)]
struct Made<'c> {
    statements: Vec<Statement<'c>>,
    /// The table that the last statement's text ends in inserting into, and how many rows.
    inserting: Option<(String, usize)>,
    /// How many changes the last statement has.
    changes: usize,
}

impl<'c> Made<'c> {
    /// The statement that takes so many parameters more.
    fn room(&mut self, params: usize) -> &mut Statement<'c> {
        let full = self
            .statements
            .last()
            .is_none_or(|s| s.params.len() + params > PARAMS_MAX || self.changes >= CHANGES_MAX);
        if full {
            self.statements.push(Statement::default());
            self.inserting = None;
            self.changes = 0;
        }
        self.statements.last_mut().expect("one was pushed")
    }

    fn add(&mut self, table: &Table, change: &'c Change) {
        let name = quote(&table.name);
        let key = &table.key();
        match change {
            Change::Insert(values) => {
                self.room(values.len());
                let goes_on = match &mut self.inserting {
                    Some((into, rows)) if *into == table.name && *rows < VALUES_ROWS_MAX => {
                        *rows += 1;
                        true
                    }
                    _ => false,
                };
                let statement = self.room(values.len());
                if goes_on {
                    statement.push(", (");
                } else {
                    let columns: Vec<String> = table.columns.iter().map(|c| quote(&c.name)).collect();
                    statement.push(&format!("; INSERT INTO {name} ({}) VALUES (", columns.join(", ")));
                    self.inserting = Some((table.name.clone(), 1));
                    self.changes += 1;
                }
                let statement = self.room(0);
                for (at, (value, column)) in values.iter().zip(&table.columns).enumerate() {
                    if at > 0 {
                        statement.push(", ");
                    }
                    bind(statement, value, column.ty);
                }
                statement.push(")");
            }
            Change::Update(_, columns) if columns.is_empty() => {}
            Change::Update(at, columns) => {
                let statement = self.room(columns.len() + 1);
                statement.push(&format!("; UPDATE {name} SET "));
                for (nth, (position, value)) in columns.iter().enumerate() {
                    let column = &table.columns[*position];
                    statement.push(if nth == 0 { "" } else { ", " });
                    statement.push(&format!("{} = ", quote(&column.name)));
                    bind(statement, value, column.ty);
                }
                statement.push(&format!(" WHERE {} = ", quote(&key.name)));
                bind(statement, at, key.ty);
                self.inserting = None;
                self.changes += 1;
            }
            Change::Delete(at) => {
                let statement = self.room(1);
                statement.push(&format!("; DELETE FROM {name} WHERE {} = ", quote(&key.name)));
                bind(statement, at, key.ty);
                self.inserting = None;
                self.changes += 1;
            }
        }
    }
}

/// Adds a value of the column's own type.
fn bind<'c>(statement: &mut Statement<'c>, value: &'c Value<'_>, ty: ColumnType) {
    if value.is_null() {
        statement.push("NULL");
        return;
    }
    statement.params.push(Param::value(value, ty));
    let place = format!("@P{}", statement.params.len());
    statement.push(&carried(&place, ty));
}

/// Whether every value is one that SQL Server would keep as it is: it would round, or cut, or refuse.
fn check(table: &Table, change: &Change) -> Result<(), Trouble> {
    let refused = |key: &Value<'_>, at: usize, why: String| {
        Trouble::Said(format!(
            "table `{}`, row with key {}: column `{}`: {why}",
            table.name,
            excerpt(&key.to_string()),
            table.columns[at].name
        ))
    };
    match change {
        Change::Insert(values) if values.len() != table.columns.len() => Err(Trouble::Said(format!(
            "a row for `{}` has {} values; the table has {} columns",
            table.name,
            values.len(),
            table.columns.len()
        ))),
        Change::Insert(values) => {
            values
                .iter()
                .zip(&table.columns)
                .enumerate()
                .try_for_each(|(at, (value, column))| {
                    check::fits(value, column).map_err(|why| refused(&values[0], at, why))
                })
        }
        Change::Update(key, columns) => columns.iter().try_for_each(|(at, value)| {
            let Some(column) = table.columns.get(*at) else {
                return Err(Trouble::Said(format!(
                    "table `{}` has {} columns; an update names a later one",
                    table.name,
                    table.columns.len()
                )));
            };
            check::fits(value, column).map_err(|why| refused(key, *at, why))
        }),
        Change::Delete(_) => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::table;

    #[test]
    fn changes_share_statements() {
        let tables = [table("a"), table("b")];
        let row = |key: i64| Change::Insert(vec![Value::Int(key), Value::Null]);
        let changes = [
            ("a", row(1)),
            ("A", row(2)),
            ("b", row(1)),
            (
                "a",
                Change::Update(
                    Value::Int(1),
                    vec![(1, Value::Text("x".into())), (0, Value::Int(9))],
                ),
            ),
            ("a", row(3)),
            ("a", Change::Delete(Value::Int(2))),
        ];
        let made = statements(&tables, &changes).unwrap();
        let shown: Vec<String> = made
            .iter()
            .map(|s| format!("{} -- {} parameters", s.sql, s.params.len()))
            .collect();
        insta::assert_snapshot!(shown.join("\n"));
        let many: Vec<(&str, Change)> = (0..2500).map(|key| ("a", row(key))).collect();
        let made = statements(&tables, &many).unwrap();
        assert!(made.iter().all(|s| s.params.len() <= PARAMS_MAX));
        let rows: usize = made.iter().map(|s| s.sql.matches("NULL)").count()).sum();
        assert_eq!(rows, 2500);
        assert!(made.iter().all(|s| {
            s.sql
                .split("INSERT")
                .all(|insert| insert.matches("NULL)").count() <= VALUES_ROWS_MAX)
        }));
    }
}
