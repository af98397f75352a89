//! What holds for a row in any engine: its number of cells, its key, and how its errors name it.

use mirrorlab_protocol::message::{Cell, RowOperation, RowRef};
use mirrorlab_protocol::schema::Table;
use mirrorlab_protocol::value::Value;

use super::StoreError;

/// Checks a row as a whole: its operation is known, and an I or U has one cell for each column of `order`. `number`
/// counts from 1.
///
/// # Errors
/// [`StoreError::Row`].
pub fn check(table: &Table, order: &[usize], number: usize, row: RowRef<'_, '_>) -> Result<(), StoreError> {
    let wrong = |why: String| {
        Err(StoreError::Row {
            table: table.name.clone(),
            number,
            why,
        })
    };
    match row.operation {
        RowOperation::Unknown(text) if text.is_empty() => {
            wrong("it has no Operation; expected I, U or D".into())
        }
        RowOperation::Unknown(text) => wrong(format!(
            "its Operation is `{}`; expected I, U or D",
            mirrorlab_protocol::excerpt(text)
        )),
        RowOperation::Insert | RowOperation::Update if row.cells.len() != order.len() => wrong(format!(
            "it has {} cells and its TableInfo {} columns",
            row.cells.len(),
            order.len()
        )),
        _ => Ok(()),
    }
}

/// The key of a D row. Only the key counts: the other cells may hold anything, or be absent (assumed).
///
/// # Errors
/// [`StoreError::Row`] where there is no key; [`StoreError::Cell`] where it is no value of its type.
pub fn key_of_delete<'v>(
    table: &Table,
    order: &[usize],
    number: usize,
    cells: &'v [Cell<'_>],
) -> Result<Value<'v>, StoreError> {
    // A row of one cell has the key alone, wherever the key stands in a whole row.
    let cell = match cells {
        [only] => Some(only),
        _ => key_cell(order, cells),
    };
    let key = match cell {
        Some(cell) => Value::read_ref(cell, table.key().ty)
            .map_err(|e| cell_error(table, order, cells, 0, e.to_string()))?,
        None => Value::Null,
    };
    if key.is_null() {
        return Err(StoreError::Row {
            table: table.name.clone(),
            number,
            why: format!("it is a D without a value for the key `{}`", table.key().name),
        });
    }
    Ok(key)
}

fn key_cell<'c, 'a>(order: &[usize], cells: &'c [Cell<'a>]) -> Option<&'c Cell<'a>> {
    order.iter().position(|at| *at == 0).and_then(|at| cells.get(at))
}

/// A row's key for an error's text: the value where it is one, else the cell as it came.
pub fn key_text(table: &Table, order: &[usize], cells: &[Cell<'_>]) -> String {
    let Some(cell) = key_cell(order, cells) else {
        return "(none)".into();
    };
    match Value::read_ref(cell, table.key().ty) {
        Ok(value) => value.to_string(),
        Err(_) => format!(
            "`{}`",
            mirrorlab_protocol::excerpt(cell.as_deref().unwrap_or_default())
        ),
    }
}

/// A cell that column `at` of `table` cannot hold.
pub fn cell_error(table: &Table, order: &[usize], cells: &[Cell<'_>], at: usize, why: String) -> StoreError {
    StoreError::Cell {
        table: table.name.clone(),
        key: key_text(table, order, cells),
        column: table.columns[at].name.clone(),
        why,
    }
}

/// A NULL for column `at` of `table`, which takes none.
pub fn null_error(
    table: &Table,
    order: &[usize],
    cells: &[Cell<'_>],
    at: usize,
    cell: &Cell<'_>,
) -> StoreError {
    let why = match cell {
        None => "it is NULL, and the column is NOT NULL".to_owned(),
        Some(_) => format!(
            "it is empty, which a column of type {} reads as NULL, and the column is NOT NULL",
            table.columns[at].ty
        ),
    };
    cell_error(table, order, cells, at, why)
}
