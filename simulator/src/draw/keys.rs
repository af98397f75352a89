//! Keys that a table does not have yet.

use std::borrow::Cow;
use std::collections::HashSet;

use mirrorlab_protocol::names::fold;
use mirrorlab_protocol::schema::{Column, Table};
use mirrorlab_protocol::types::ColumnType;
use mirrorlab_protocol::value::Value;
use rand_chacha::ChaCha8Rng;

use super::edges::{pad_bytes, pad_text};
use super::row::any_value;
use super::{DrawError, pick};
use crate::source::Source;

/// How many keys are read at a time.
const PAGE: u64 = 10_000;
/// How often a key is drawn before the table counts as full.
const TRIES: usize = 1000;

/// Gives out keys that are in no row, each once: integers go up from the highest, as SuperOffice's do; all others are
/// drawn.
pub(super) struct NewKeys {
    table: String,
    column: Column,
    /// The next integer, while there is one above all others.
    next: Option<i64>,
    /// Every key, without letter case, where they must be looked at one by one.
    taken: Option<HashSet<String>>,
}

impl NewKeys {
    pub fn of(source: &mut dyn Source, table: &Table) -> Result<NewKeys, DrawError> {
        let column = table.key().clone();
        let next = match column.ty.integer_range() {
            None => None,
            Some(_) => {
                let count = source.count(&table.name)?;
                let highest = source.keys(&table.name, count.saturating_sub(1), 1)?;
                match highest.first() {
                    Some(Value::Int(highest)) => Some((*highest).max(0)),
                    _ => Some(0),
                }
                .and_then(|highest| highest.checked_add(1))
            }
        };
        Ok(NewKeys {
            table: table.name.clone(),
            column,
            next,
            taken: None,
        })
    }

    pub fn next(
        &mut self,
        source: &mut dyn Source,
        rng: &mut ChaCha8Rng,
    ) -> Result<Value<'static>, DrawError> {
        let range = self.column.ty.integer_range();
        if let (Some((_, max)), Some(next)) = (range, self.next)
            && next <= max
        {
            self.next = next.checked_add(1);
            if let Some(taken) = &mut self.taken {
                taken.insert(name(&Value::Int(next)));
            }
            return Ok(Value::Int(next));
        }
        if self.taken.is_none() {
            self.taken = Some(all(source, &self.table)?);
        }
        let taken = self.taken.get_or_insert_default();
        let found = match range {
            // No room above: what is free below.
            Some((min, max)) => (min..=max).map(Value::Int).find(|key| taken.insert(name(key))),
            None => (0..TRIES)
                .map(|_| drawn(rng, &self.column))
                .find(|key| taken.insert(name(key))),
        };
        // Once the top was reached, gaps are all there is.
        self.next = None;
        found.ok_or_else(|| DrawError::Table {
            table: self.table.clone(),
            why: format!("no free key of type {} was found", self.column.ty),
        })
    }
}

fn name(key: &Value<'_>) -> String {
    fold(&key.to_string())
}

fn all(source: &mut dyn Source, table: &str) -> Result<HashSet<String>, DrawError> {
    let mut taken = HashSet::new();
    let mut offset = 0;
    loop {
        let page = source.keys(table, offset, PAGE)?;
        taken.extend(page.iter().map(name));
        if (page.len() as u64) < PAGE {
            return Ok(taken);
        }
        offset += PAGE;
    }
}

/// Text keys are plain, so that no database's rules of letter case and blanks make two of them one.
fn drawn(rng: &mut ChaCha8Rng, column: &Column) -> Value<'static> {
    let ty = column.ty;
    if ty.is_text() {
        let length = ty.length_max().unwrap_or(16).min(16);
        let text: String = (0..length)
            .map(|_| char::from(*pick::one(rng, b"abcdefghijklmnopqrstuvwxyz0123456789")))
            .collect();
        return Value::Text(Cow::Owned(pad_text(text, ty)));
    }
    if ty.is_binary() {
        let length = ty.length_max().unwrap_or(16).min(16);
        let bytes = (0..length).map(|_| pick::below(rng, 256) as u8).collect();
        return Value::Binary(Cow::Owned(pad_bytes(bytes, ty)));
    }
    match ty {
        ColumnType::Float | ColumnType::Real => Value::Float(pick::between(rng, 1, 1 << 24) as f64),
        _ => any_value(rng, column),
    }
}
