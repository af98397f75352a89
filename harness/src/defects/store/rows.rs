//! Rows that are applied wrong.

use mirrorlab_engines::sqlite::quote;
use mirrorlab_protocol::message::{Cell, RowOperation, RowRef, Rows};
use mirrorlab_protocol::schema::Table;
use mirrorlab_protocol::value::Value;
use mirrorlab_server::store::{Applied, StoreError};

use super::{BrokenTransaction, StoreMistake};
use crate::defects::cells::CellMistake;

impl BrokenTransaction<'_> {
    pub(super) fn apply_wrong(
        &mut self,
        table: &Table,
        order: &[usize],
        rows: &Rows<'_>,
    ) -> Result<Applied, StoreError> {
        self.empty_batch = rows.is_empty().then(|| table.name.clone());
        match self.mistake {
            StoreMistake::Cells(mistake) => {
                let spoiled = spoiled(table, order, rows, mistake);
                self.inner()?.apply(table, order, &spoiled)
            }
            StoreMistake::LastRowDropped => {
                let kept = rows.len().saturating_sub(1);
                let kept = of(rows.iter().take(kept));
                self.inner()?.apply(table, order, &kept)
            }
            StoreMistake::DeleteIgnored => {
                let kept = of(rows.iter().filter(|row| *row.operation != RowOperation::Delete));
                self.inner()?.apply(table, order, &kept)
            }
            StoreMistake::OrderFromDatabase => {
                let order: Vec<usize> = (0..order.len()).collect();
                self.inner()?.apply(table, &order, rows)
            }
            StoreMistake::UpdateOfAbsentIgnored
            | StoreMistake::InsertOfPresentFails
            | StoreMistake::DeleteOfAbsentFails
            | StoreMistake::DeleteComparesAll
            | StoreMistake::RowsBeforeFailureKept => self.one_by_one(table, order, rows),
            StoreMistake::InsertOfPresentIgnored => {
                self.with_rows_before(table, order, rows, &RowOperation::Insert, |table, keys| {
                    let (name, key) = (quote(&table.name), quote(&table.key().name));
                    format!(
                        "DELETE FROM {name} WHERE {key} IN ({keys}) AND {key} IN (SELECT {key} FROM temp.rows_before); \
                         INSERT INTO {name} SELECT * FROM temp.rows_before WHERE {key} IN ({keys});"
                    )
                })
            }
            StoreMistake::NullLeavesOldValue => {
                self.with_rows_before(table, order, rows, &RowOperation::Update, |table, keys| {
                    let (name, key) = (quote(&table.name), quote(&table.key().name));
                    table
                        .columns
                        .iter()
                        .skip(1)
                        .map(|column| {
                            let column = quote(&column.name);
                            format!(
                                "UPDATE {name} SET {column} = (SELECT b.{column} FROM temp.rows_before b WHERE b.{key} = \
                                 {name}.{key}) WHERE {column} IS NULL AND {key} IN ({keys});"
                            )
                        })
                        .collect()
                })
            }
            _ => self.inner()?.apply(table, order, rows),
        }
    }

    fn one_by_one(&mut self, table: &Table, order: &[usize], rows: &Rows<'_>) -> Result<Applied, StoreError> {
        let mut all = Applied::default();
        for row in rows.iter() {
            if matches!(self.mistake, StoreMistake::DeleteComparesAll)
                && *row.operation == RowOperation::Delete
                && row.cells.iter().any(Option::is_none)
            {
                // `a = NULL` is never true: no row is found.
                continue;
            }
            let applied = self.inner()?.apply(table, order, &of([row]));
            let applied = match (self.mistake, applied) {
                (StoreMistake::RowsBeforeFailureKept, Err(error)) => {
                    if let Some(inner) = self.inner.take() {
                        inner.commit()?;
                    }
                    return Err(error);
                }
                (_, applied) => applied?,
            };
            match (self.mistake, row.operation) {
                (StoreMistake::InsertOfPresentFails, RowOperation::Insert) if applied.updated > 0 => {
                    return self.refused("insert a row", "violation of PRIMARY KEY constraint");
                }
                (StoreMistake::DeleteOfAbsentFails, RowOperation::Delete) if applied.deleted == 0 => {
                    return self.refused("delete a row", "0 rows were affected, 1 was expected");
                }
                (StoreMistake::UpdateOfAbsentIgnored, RowOperation::Update) if applied.inserted > 0 => {
                    let mut back = Rows::default();
                    back.push(RowOperation::Delete, row.cells.iter().cloned());
                    self.inner()?.apply(table, order, &back)?;
                    continue;
                }
                _ => {}
            }
            all.inserted += applied.inserted;
            all.updated += applied.updated;
            all.deleted += applied.deleted;
        }
        Ok(all)
    }

    /// Applies rows rightly, and then spoils what `after` says, which may look at the table as it was before. It gets the
    /// keys of the rows of one operation.
    fn with_rows_before(
        &mut self,
        table: &Table,
        order: &[usize],
        rows: &Rows<'_>,
        operation: &RowOperation,
        after: impl Fn(&Table, &str) -> String,
    ) -> Result<Applied, StoreError> {
        let keys: Vec<String> = rows
            .iter()
            .filter(|row| row.operation == operation)
            .filter_map(|row| key_literal(table, order, row.cells))
            .collect();
        let name = quote(&table.name);
        self.sql(&format!(
            "DROP TABLE IF EXISTS temp.rows_before; CREATE TEMP TABLE rows_before AS SELECT * FROM {name}"
        ))?;
        let applied = self.inner()?.apply(table, order, rows)?;
        self.sql(&after(table, &keys.join(", ")))?;
        Ok(applied)
    }
}

fn key_literal(table: &Table, order: &[usize], cells: &[Cell<'_>]) -> Option<String> {
    let at = order.iter().position(|at| *at == 0)?;
    match Value::read_ref(cells.get(at)?, table.key().ty).ok()? {
        Value::Int(key) => Some(key.to_string()),
        other => Some(format!("'{}'", other.to_string().replace('\'', "''"))),
    }
}

fn of<'r, 'a: 'r>(rows: impl IntoIterator<Item = RowRef<'r, 'a>>) -> Rows<'a> {
    let mut kept = Rows::default();
    for row in rows {
        kept.push(row.operation.clone(), row.cells.iter().cloned());
    }
    kept
}

fn spoiled(table: &Table, order: &[usize], rows: &Rows<'_>, mistake: CellMistake) -> Rows<'static> {
    let mut spoiled = Rows::default();
    for row in rows.iter() {
        // A row may have more cells than there are columns: to refuse it is the store's work.
        let cells = row.cells.iter().enumerate().map(|(at, cell)| -> Cell<'static> {
            match order.get(at) {
                None | Some(0) => cell.as_deref().map(|text| text.to_owned().into()),
                Some(column) => mistake(&table.columns[*column], cell.as_deref()).map(Into::into),
            }
        });
        spoiled.push(row.operation.clone(), cells);
    }
    spoiled
}
