//! First rows, and drawn changes.

use mirrorlab_simulator::draw::{self, Counts, Style};
use mirrorlab_simulator::source::{Change, Source};
use rand_chacha::ChaCha8Rng;

use super::world::{WorldError, table_of};
use crate::scenario::model::{self, TableSpec, WrittenRows};

/// Makes a table with its first rows. What is there before tracking begins is no change.
///
/// # Errors
/// [`WorldError`].
pub fn fill(
    source: &mut dyn Source,
    spec: &TableSpec,
    style: &Style,
    rng: &mut ChaCha8Rng,
) -> Result<(), WorldError> {
    source.create_table(&spec.table)?;
    let name = spec.table.name.as_str();
    let rows: Vec<(&str, Change)> = spec
        .rows
        .iter()
        .map(|row| (name, Change::Insert(row.clone())))
        .collect();
    source.transact(&rows)?;
    draw::fill(source, &spec.table, spec.drawn, style, rng)?;
    Ok(())
}

/// Draws a step's changes and makes them.
///
/// # Errors
/// [`WorldError`].
pub fn change(
    source: &mut dyn Source,
    rng: &mut ChaCha8Rng,
    style: &Style,
    change: &model::Change,
) -> Result<(), WorldError> {
    for wanted in &change.tables {
        let table = table_of(source, &wanted.table)?;
        let counts = Counts {
            insert: wanted.insert,
            update: wanted.update,
            delete: wanted.delete,
            change_key: wanted.key_change,
            insert_update: wanted.insert_then_update,
            insert_delete: wanted.insert_then_delete,
            delete_insert: wanted.delete_then_insert,
            transactions: change.transactions,
        };
        draw::draw_changes(source, &table, &counts, style, rng)?;
    }
    Ok(())
}

/// Makes a step's written changes: one transaction.
///
/// # Errors
/// [`WorldError`].
pub fn written(source: &mut dyn Source, tables: &[WrittenRows]) -> Result<(), WorldError> {
    let mut changes: Vec<(&str, Change)> = Vec::new();
    for table in tables {
        let name = table.table.as_str();
        changes.extend(table.delete.iter().map(|key| (name, Change::Delete(key.clone()))));
        changes.extend(
            table
                .key_change
                .iter()
                .map(|(old, new)| (name, Change::Update(old.clone(), vec![(0, new.clone())]))),
        );
        for row in &table.update {
            let (key, others) = row
                .split_first()
                .ok_or_else(|| WorldError::Step("a row without a key".into()))?;
            let others = others
                .iter()
                .cloned()
                .enumerate()
                .map(|(at, value)| (at + 1, value));
            changes.push((name, Change::Update(key.clone(), others.collect())));
        }
        changes.extend(table.insert.iter().map(|row| (name, Change::Insert(row.clone()))));
    }
    source.transact(&changes)?;
    Ok(())
}
