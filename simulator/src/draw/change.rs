//! Changes of rows that are there, as users and imports make them.

use std::collections::HashMap;
use std::collections::hash_map::Entry;

use mirrorlab_protocol::schema::Table;
use mirrorlab_protocol::value::Value;
use rand_chacha::ChaCha8Rng;

use super::keys::NewKeys;
use super::{DrawError, RowDraw, Style, pick};
use crate::source::{Change, Source};

/// How many rows of a table are changed, and in how many transactions.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Counts {
    /// New rows.
    pub insert: u64,
    /// Rows of which some columns change.
    pub update: u64,
    /// Rows that go.
    pub delete: u64,
    /// Rows that get another key: a delete and an insert to change tracking.
    pub change_key: u64,
    /// New rows that are changed again.
    pub insert_update: u64,
    /// New rows that go again.
    pub insert_delete: u64,
    /// Rows that go and come again with other values.
    pub delete_insert: u64,
    /// How many transactions it is cut into, at least 1: each is a version of its own. There are never more than changes.
    pub transactions: u64,
}

/// Nothing, in one transaction.
impl Default for Counts {
    fn default() -> Counts {
        Counts {
            insert: 0,
            update: 0,
            delete: 0,
            change_key: 0,
            insert_update: 0,
            insert_delete: 0,
            delete_insert: 0,
            transactions: 1,
        }
    }
}

/// What random changes did.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Drawn {
    /// New rows.
    pub inserts: u64,
    /// Rows changed.
    pub updates: u64,
    /// Rows gone.
    pub deletes: u64,
    /// Rows with another key.
    pub key_changes: u64,
}

/// Makes the changes that `counts` asks for, in any order. Each touches another row, so that the net changes are as
/// many: inserts and updates as asked, a `change_key` one I and one D, an `insert_update` one I, an `insert_delete` one D,
/// a `delete_insert` one U. What has two halves has the second one after all first ones.
///
/// # Errors
/// [`DrawError`], also where the table has fewer rows than are to be changed.
pub fn draw_changes(
    source: &mut dyn Source,
    table: &Table,
    counts: &Counts,
    style: &Style,
    rng: &mut ChaCha8Rng,
) -> Result<(), DrawError> {
    let draw = RowDraw::new(table, style);
    let wanted = counts.update + counts.delete + counts.change_key + counts.delete_insert;
    let mut old = existing(source, table, wanted, rng)?.into_iter();
    let mut keys = NewKeys::of(source, table)?;
    let mut old = || old.next().expect("as many keys were drawn as are wanted");
    let mut first: Vec<Change> = Vec::new();
    let mut second: Vec<Change> = Vec::new();
    // What comes and goes takes the lowest of the new keys: the highest stays, and the next draw counts on from there.
    for _ in 0..counts.insert_delete {
        let key = keys.next(source, rng)?;
        first.push(Change::Insert(draw.row(rng, key.clone())));
        second.push(Change::Delete(key));
    }
    for _ in 0..counts.insert_update {
        let key = keys.next(source, rng)?;
        first.push(Change::Insert(draw.row(rng, key.clone())));
        second.push(update(&draw, rng, key));
    }
    for _ in 0..counts.insert {
        let key = keys.next(source, rng)?;
        first.push(Change::Insert(draw.row(rng, key)));
    }
    for _ in 0..counts.update {
        first.push(update(&draw, rng, old()));
    }
    for _ in 0..counts.delete {
        first.push(Change::Delete(old()));
    }
    for _ in 0..counts.change_key {
        first.push(Change::Update(old(), vec![(0, keys.next(source, rng)?)]));
    }
    for _ in 0..counts.delete_insert {
        let key = old();
        first.push(Change::Delete(key.clone()));
        second.push(Change::Insert(draw.row(rng, key)));
    }
    pick::shuffle(rng, &mut first);
    pick::shuffle(rng, &mut second);
    first.append(&mut second);
    let changes: Vec<(&str, Change)> = first.into_iter().map(|c| (table.name.as_str(), c)).collect();
    let pieces = usize::try_from(counts.transactions)
        .unwrap_or(usize::MAX)
        .clamp(1, changes.len().max(1));
    for piece in 0..pieces {
        // Cut so that every piece has a change.
        let from = changes.len() * piece / pieces;
        let to = changes.len() * (piece + 1) / pieces;
        source.transact(&changes[from..to])?;
    }
    Ok(())
}

fn update(draw: &RowDraw, rng: &mut ChaCha8Rng, key: Value<'static>) -> Change {
    let mut columns = draw.update(rng);
    if columns.is_empty() {
        // A table of keys alone: written over with itself, it is an update all the same.
        columns.push((0, key.clone()));
    }
    Change::Update(key, columns)
}

/// Keys of `wanted` different rows, in key order.
fn existing(
    source: &mut dyn Source,
    table: &Table,
    wanted: u64,
    rng: &mut ChaCha8Rng,
) -> Result<Vec<Value<'static>>, DrawError> {
    if wanted == 0 {
        return Ok(Vec::new());
    }
    let count = source.count(&table.name)?;
    if count < wanted {
        return Err(DrawError::Table {
            table: table.name.clone(),
            why: format!("{wanted} of its rows are to be changed, but it has {count}"),
        });
    }
    // The highest key stays where it can: new keys count on from it, and one that was given out is not given out again,
    // which would make a delete and an insert one update.
    let places = pick::distinct(rng, if wanted < count { count - 1 } else { count }, wanted);
    let mut keys = Vec::with_capacity(places.len());
    // One by one while they are few; else page by page, so that no table's keys are held at once.
    if wanted <= 16 {
        for place in places {
            keys.extend(source.keys(&table.name, place, 1)?);
        }
    } else {
        const PAGE: u64 = 20_000;
        let mut page = Vec::new();
        let mut begins = u64::MAX;
        for place in places {
            if begins != place / PAGE * PAGE {
                begins = place / PAGE * PAGE;
                page = source.keys(&table.name, begins, PAGE)?;
            }
            let at = usize::try_from(place - begins).expect("a page is small");
            keys.extend(page.get(at).cloned());
        }
    }
    // Keys were in distinct places; whoever takes one must not find which place was drawn first.
    pick::shuffle(rng, &mut keys);
    Ok(keys)
}

/// A day's work: `transactions` transactions of one to three changes each, over all of `tables`. Empty tables only grow.
///
/// # Errors
/// [`DrawError`].
pub fn business_changes(
    source: &mut dyn Source,
    tables: &[Table],
    transactions: u64,
    style: &Style,
    rng: &mut ChaCha8Rng,
) -> Result<Drawn, DrawError> {
    let mut drawn = Drawn::default();
    if tables.is_empty() {
        return Ok(drawn);
    }
    let mut known: HashMap<usize, (RowDraw, NewKeys, u64)> = HashMap::new();
    for _ in 0..transactions {
        let mut changes: Vec<(&str, Change)> = Vec::new();
        // A row is changed once in a transaction, and only what was there before it.
        let mut touched: Vec<(usize, Value<'static>)> = Vec::new();
        for _ in 0..1 + pick::below(rng, 3) {
            let at = pick::index(rng, tables.len());
            let table = &tables[at];
            let (draw, keys, count) = match known.entry(at) {
                Entry::Occupied(entry) => entry.into_mut(),
                Entry::Vacant(entry) => entry.insert((
                    RowDraw::new(table, style),
                    NewKeys::of(source, table)?,
                    source.count(&table.name)?,
                )),
            };
            let kind = pick::below(rng, 100);
            let place = pick::below(rng, *count);
            let old = source.keys(&table.name, place, 1)?.pop();
            let old = old.filter(|key| !touched.contains(&(at, key.clone())));
            let change = match old {
                Some(key) if kind < 60 => {
                    touched.push((at, key.clone()));
                    match kind {
                        0..45 => {
                            drawn.updates += 1;
                            update(draw, rng, key)
                        }
                        45..58 => {
                            drawn.deletes += 1;
                            *count -= 1;
                            Change::Delete(key)
                        }
                        _ => {
                            drawn.key_changes += 1;
                            Change::Update(key, vec![(0, keys.next(source, rng)?)])
                        }
                    }
                }
                _ => {
                    drawn.inserts += 1;
                    *count += 1;
                    let key = keys.next(source, rng)?;
                    Change::Insert(draw.row(rng, key))
                }
            };
            changes.push((table.name.as_str(), change));
        }
        source.transact(&changes)?;
    }
    Ok(drawn)
}
