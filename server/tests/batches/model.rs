//! What must be in the mirror, written from the rule book: maps, and no SQL.

use std::collections::BTreeMap;

use super::calls::{Batch, Call, Columns, Row, TABLES, Target};

/// A row's values behind its key, as SQL gives them back.
type Values = Vec<Option<String>>;
/// Each table there is: its LSN and its rows by key.
pub type State = BTreeMap<&'static str, (i64, BTreeMap<i64, Values>)>;

#[derive(Debug, Default, Clone)]
pub struct Model(State);

impl Model {
    pub fn state(&self) -> State {
        self.0.clone()
    }

    /// What a call does: nothing where it is refused. TableSchema answers LSNs.
    pub fn apply(&mut self, call: &Call) -> Result<Vec<(String, i64)>, String> {
        let mut after = self.clone();
        let lsns = after.try_apply(call)?;
        *self = after;
        Ok(lsns)
    }

    fn try_apply(&mut self, call: &Call) -> Result<Vec<(String, i64)>, String> {
        match call {
            Call::Schema(tables) if tables.is_empty() => return Err("an empty list".into()),
            Call::Schema(tables) => {
                let names: Vec<&str> = tables.iter().map(|t| TABLES[*t].0).collect();
                self.0.retain(|name, _| names.contains(name));
                for name in names {
                    self.0.entry(name).or_insert((-1, BTreeMap::new()));
                }
                return Ok(tables
                    .iter()
                    .map(|t| (TABLES[*t].0.to_owned(), self.0[TABLES[*t].0].0))
                    .collect());
            }
            Call::Wipe(target) => {
                let table = self.table(*target)?;
                *self.0.get_mut(TABLES[table].0).unwrap() = (-1, BTreeMap::new());
            }
            Call::Rows(batches) => batches.iter().try_for_each(|batch| self.batch(batch))?,
            Call::Completed => {}
        }
        Ok(Vec::new())
    }

    fn table(&self, target: Target) -> Result<usize, String> {
        match target {
            Target::Known(table) if self.0.contains_key(TABLES[table].0) => Ok(table),
            other => Err(format!("no table {other:?}")),
        }
    }

    fn batch(&mut self, batch: &Batch) -> Result<(), String> {
        let table = self.table(batch.table)?;
        if matches!(
            batch.columns,
            Columns::Lacking | Columns::Twice | Columns::OtherType
        ) {
            return Err(format!("columns {:?}", batch.columns));
        }
        for row in &batch.rows {
            self.row(table, batch, row)?;
        }
        if let Some(lsn) = batch.lsn.filter(|lsn| *lsn > 0) {
            self.0.get_mut(TABLES[table].0).unwrap().0 = lsn;
        }
        Ok(())
    }

    fn row(&mut self, table: usize, batch: &Batch, row: &Row) -> Result<(), String> {
        let columns = TABLES[table].1;
        let rows = &mut self.0.get_mut(TABLES[table].0).unwrap().1;
        let key_of = |value: &Result<Option<String>, ()>| match value {
            Ok(Some(key)) => key.parse::<i64>().map_err(|e| e.to_string()),
            _ => Err("no key".to_owned()),
        };
        match row.operation.trim().to_ascii_uppercase().as_str() {
            "D" => {
                // One cell is the key; else it stands where the order puts it.
                let cells = batch.ordered(row);
                let at = match (cells.len(), batch.columns) {
                    (1, _) => 0,
                    (_, Columns::Reversed) => columns.len() - 1,
                    _ => 0,
                };
                let cell = cells.get(at).ok_or("a D without a key")?;
                let key = key_of(&cell.value)?;
                rows.remove(&key);
                Ok(())
            }
            "I" | "U" => {
                if row.cells.len() != columns.len() {
                    return Err(format!("{} cells", row.cells.len()));
                }
                // In the table's own order: where cells follow another one, they were turned round to be sent.
                let key = key_of(&row.cells[0].value)?;
                let values = row.cells[1..]
                    .iter()
                    .map(|cell| cell.value.clone().map_err(|()| format!("cell {:?}", cell.wire)))
                    .collect::<Result<Values, String>>()?;
                rows.insert(key, values);
                Ok(())
            }
            other => Err(format!("operation `{other}`")),
        }
    }
}
