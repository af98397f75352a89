//! Rows and changes drawn from a seed: the same seed gives the same bytes, on any machine.
//!
//! - [`pick`]: the draws everything is made of
//! - [`edges`]: the values at the edges of each type
//! - `look`: what a column's name promises, names, companies, addresses, dates
//! - [`row`]: whole rows
//! - `keys`: keys that are not there yet
//! - [`change`]: changes of rows that are there
//!
//! SQLite keeps no sign on a zero, so no drawn float is `-0`.

pub mod change;
pub mod edges;
mod keys;
mod look;
pub mod pick;
pub mod row;

#[cfg(test)]
mod tests;

use mirrorlab_protocol::schema::Table;
use mirrorlab_protocol::value::Value;
use rand::SeedableRng;
use rand_chacha::ChaCha8Rng;
use sha2::{Digest, Sha256};

pub use change::{Counts, Drawn, business_changes, draw_changes};
pub use row::RowDraw;

use crate::source::{Change, Source, SourceError};
use keys::NewKeys;

/// A generator of its own for each purpose, all from one seed.
pub fn seeded(seed: u64, purpose: &[&str]) -> ChaCha8Rng {
    let mut hasher = Sha256::new();
    hasher.update(seed.to_le_bytes());
    for part in purpose {
        hasher.update((part.len() as u64).to_le_bytes());
        hasher.update(part.as_bytes());
    }
    ChaCha8Rng::from_seed(hasher.finalize().into())
}

/// What drawn rows look like.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Style {
    /// How many of a thousand cells hold a value from their type's edges; 1000 for nothing else.
    pub edges_per_mille: u32,
    /// How many of a thousand cells that may be NULL are.
    pub nulls_per_mille: u32,
    /// The longest text in columns without a limit, in UTF-16 code units.
    pub text_length_max: usize,
    /// The largest value in binary columns without a limit, in bytes.
    pub blob_bytes_max: usize,
    /// Whether texts may hold U+0000. SQL Server keeps it; not every engine that speaks T-SQL does.
    pub nul: bool,
}

/// Mostly ordinary, with an edge in every fifty cells, and nothing large.
impl Default for Style {
    fn default() -> Style {
        Style {
            edges_per_mille: 20,
            nulls_per_mille: 100,
            text_length_max: 4000,
            blob_bytes_max: 4096,
            nul: true,
        }
    }
}

/// Why nothing was drawn, or what was drawn could not be kept.
#[derive(Debug, thiserror::Error)]
pub enum DrawError {
    /// The source refused.
    #[error(transparent)]
    Source(#[from] SourceError),
    /// The table has no room or no rows for it.
    #[error("table `{table}`: {why}")]
    Table {
        /// The table.
        table: String,
        /// What is missing.
        why: String,
    },
}

/// Rows of one transaction of [`fill`], at most.
const FILL_ROWS: u64 = 2000;
/// Text and bytes of one transaction of [`fill`], about.
const FILL_BYTES: usize = 8_000_000;

/// Adds `rows` drawn rows to a table, in large transactions. Before tracking is switched on they are the table's first
/// population; afterwards they are tracked like any others.
///
/// # Errors
/// [`DrawError`]; transactions before the failing one are kept.
pub fn fill(
    source: &mut dyn Source,
    table: &Table,
    rows: u64,
    style: &Style,
    rng: &mut ChaCha8Rng,
) -> Result<(), DrawError> {
    let draw = RowDraw::new(table, style);
    add(source, table, rows, rng, |key, _, rng| draw.row(rng, key))
}

/// Adds as many rows as it takes to have every edge of every column once, and gives their number.
///
/// # Errors
/// [`DrawError`].
pub fn fill_edges(
    source: &mut dyn Source,
    table: &Table,
    style: &Style,
    rng: &mut ChaCha8Rng,
) -> Result<u64, DrawError> {
    let draw = RowDraw::new(table, style);
    let rows = draw.edge_rows();
    add(source, table, rows, rng, |key, at, _| draw.edge_row(key, at))?;
    Ok(rows)
}

fn add(
    source: &mut dyn Source,
    table: &Table,
    rows: u64,
    rng: &mut ChaCha8Rng,
    mut row: impl FnMut(Value<'static>, u64, &mut ChaCha8Rng) -> Vec<Value<'static>>,
) -> Result<(), DrawError> {
    if rows == 0 {
        return Ok(());
    }
    let mut keys = NewKeys::of(source, table)?;
    let mut batch: Vec<(&str, Change)> = Vec::new();
    let mut bytes = 0;
    for at in 0..rows {
        let key = keys.next(source, rng)?;
        let values = row(key, at, rng);
        bytes += values.iter().map(size).sum::<usize>();
        batch.push((&table.name, Change::Insert(values)));
        if batch.len() as u64 == FILL_ROWS || bytes >= FILL_BYTES {
            source.transact(&batch)?;
            batch.clear();
            bytes = 0;
        }
    }
    Ok(source.transact(&batch)?)
}

fn size(value: &Value<'_>) -> usize {
    match value {
        Value::Text(text) => text.len(),
        Value::Binary(bytes) => bytes.len(),
        _ => 8,
    }
}
