//! A source in memory, with change tracking by its own simple reading of the rules.

use std::collections::{BTreeMap, BTreeSet};

use mirrorlab_protocol::message::RowOperation;
use mirrorlab_protocol::schema::Table;
use mirrorlab_protocol::value::Value;

use super::{NOW, table};
use crate::source::{Change, ChangeSink, Flow, RowSink, Snapshot, Source, SourceError};

#[derive(Debug, Clone)]
struct FakeTable {
    shape: Table,
    rows: BTreeMap<i64, String>,
    tracked: bool,
    min_valid: i64,
    /// Version, key, whether the row was new.
    log: Vec<(i64, i64, bool)>,
}

/// A source of two-column tables in memory.
#[derive(Debug, Clone, Default)]
pub struct FakeSource {
    tables: BTreeMap<String, FakeTable>,
    version: i64,
    now: i64,
    /// When each version was made.
    times: Vec<(i64, i64)>,
    backups: BTreeMap<String, Box<FakeSource>>,
    /// Reading this table fails at this row.
    pub fail_at: Option<(String, usize)>,
    pub clean_ups: Vec<i64>,
}

impl FakeSource {
    /// Tracked tables with so many rows each, at version 1 or above.
    pub fn new(tables: &[(&str, i64)]) -> FakeSource {
        let mut source = FakeSource {
            version: 1,
            now: NOW,
            ..FakeSource::default()
        };
        for (name, rows) in tables {
            source.create_table(&table(name)).unwrap();
            source.set_tracking(name, true).unwrap();
            if *rows > 0 {
                source.insert(name, 1..=*rows);
            }
        }
        source
    }

    pub fn insert(&mut self, table: &str, keys: impl IntoIterator<Item = i64>) {
        self.put(table, keys.into_iter().map(|key| (key, format!("row {key}"))));
    }

    pub fn put(&mut self, table: &str, rows: impl IntoIterator<Item = (i64, String)>) {
        let version = self.next();
        let table = self.tables.get_mut(table).unwrap();
        for (key, text) in rows {
            let new = table.rows.insert(key, text).is_none();
            table.log.push((version, key, new));
        }
    }

    pub fn delete(&mut self, table: &str, keys: impl IntoIterator<Item = i64>) {
        let version = self.next();
        let table = self.tables.get_mut(table).unwrap();
        for key in keys {
            table.rows.remove(&key).unwrap();
            table.log.push((version, key, false));
        }
    }

    pub fn rows(&self) -> BTreeMap<String, BTreeMap<i64, String>> {
        self.tables
            .iter()
            .map(|(name, table)| (name.clone(), table.rows.clone()))
            .collect()
    }

    fn next(&mut self) -> i64 {
        self.version += 1;
        self.times.push((self.version, self.now));
        self.version
    }
}

impl Source for FakeSource {
    fn tables(&mut self) -> Result<Vec<Table>, SourceError> {
        Ok(self.tables.values().map(|table| table.shape.clone()).collect())
    }
    fn create_table(&mut self, shape: &Table) -> Result<(), SourceError> {
        let table = FakeTable {
            shape: shape.clone(),
            rows: BTreeMap::new(),
            tracked: false,
            min_valid: 0,
            log: Vec::new(),
        };
        self.tables.insert(shape.name.clone(), table);
        Ok(())
    }
    fn alter_table(&mut self, _new: &Table) -> Result<(), SourceError> {
        Ok(())
    }
    fn drop_table(&mut self, table: &str) -> Result<(), SourceError> {
        self.tables.remove(table);
        Ok(())
    }
    fn truncate(&mut self, _table: &str) -> Result<(), SourceError> {
        Ok(())
    }
    fn transact(&mut self, _changes: &[(&str, Change)]) -> Result<(), SourceError> {
        Ok(())
    }
    fn execute(&mut self, _sql: &str) -> Result<(), SourceError> {
        Ok(())
    }
    fn count(&mut self, table: &str) -> Result<u64, SourceError> {
        Ok(self.tables[table].rows.len() as u64)
    }
    fn keys(&mut self, table: &str, _o: u64, _l: u64) -> Result<Vec<Value<'static>>, SourceError> {
        Ok(self.tables[table]
            .rows
            .keys()
            .map(|key| Value::Int(*key))
            .collect())
    }
    fn is_tracked(&mut self, table: &str) -> Result<bool, SourceError> {
        Ok(self.tables[table].tracked)
    }
    fn set_tracking(&mut self, table: &str, on: bool) -> Result<(), SourceError> {
        let version = self.next();
        let table = self.tables.get_mut(table).unwrap();
        table.tracked = on;
        table.min_valid = version;
        table.log.clear();
        Ok(())
    }
    fn current_version(&mut self) -> Result<i64, SourceError> {
        Ok(self.version)
    }
    fn min_valid_version(&mut self, table: &str) -> Result<Option<i64>, SourceError> {
        let table = &self.tables[table];
        Ok(table.tracked.then_some(table.min_valid))
    }
    fn set_now(&mut self, now: i64) -> Result<(), SourceError> {
        self.now = now;
        Ok(())
    }
    fn clean_up(&mut self, retention_seconds: i64) -> Result<(), SourceError> {
        self.clean_ups.push(retention_seconds);
        let old = self
            .times
            .iter()
            .filter(|(_, time)| *time < self.now - retention_seconds);
        let forgotten = old.map(|(version, _)| *version).max().unwrap_or(0);
        for table in self.tables.values_mut() {
            table.min_valid = table.min_valid.max(forgotten);
            table.log.retain(|(version, _, _)| *version > forgotten);
        }
        Ok(())
    }
    fn snapshot(&mut self) -> Result<Box<dyn Snapshot + '_>, SourceError> {
        Ok(Box::new(FakeSnapshot(self)))
    }
    fn backup(&mut self, name: &str) -> Result<(), SourceError> {
        self.backups.insert(name.into(), Box::new(self.clone()));
        Ok(())
    }
    fn restore(&mut self, name: &str) -> Result<(), SourceError> {
        let (backups, now) = (self.backups.clone(), self.now);
        *self = FakeSource {
            backups: backups.clone(),
            now,
            ..*backups[name].clone()
        };
        Ok(())
    }
}

struct FakeSnapshot<'s>(&'s FakeSource);

impl Snapshot for FakeSnapshot<'_> {
    fn version(&self) -> i64 {
        self.0.version
    }
    fn rows(&mut self, table: &Table, sink: &mut RowSink<'_>) -> Result<(), SourceError> {
        for (at, (key, text)) in self.0.tables[&table.name].rows.iter().enumerate() {
            if self.0.fail_at == Some((table.name.clone(), at)) {
                return Err(SourceError {
                    source_name: "fake".into(),
                    doing: format!("read `{}`", table.name),
                    why: "the disk is gone".into(),
                });
            }
            if sink(&[Value::Int(*key), Value::Text(text.as_str().into())])? == Flow::Stop {
                break;
            }
        }
        Ok(())
    }
    fn changes(&mut self, table: &Table, since: i64, sink: &mut ChangeSink<'_>) -> Result<(), SourceError> {
        let table = &self.0.tables[&table.name];
        let changed: BTreeSet<i64> = table
            .log
            .iter()
            .filter(|(version, _, _)| *version > since)
            .map(|(_, key, _)| *key)
            .collect();
        for key in changed {
            let first = table
                .log
                .iter()
                .find(|(version, k, _)| *version > since && *k == key)
                .unwrap();
            let flow = match table.rows.get(&key) {
                Some(text) => {
                    let operation = if first.2 {
                        RowOperation::Insert
                    } else {
                        RowOperation::Update
                    };
                    sink(&operation, &[Value::Int(key), Value::Text(text.as_str().into())])?
                }
                None => sink(&RowOperation::Delete, &[Value::Int(key), Value::Null])?,
            };
            if flow == Flow::Stop {
                break;
            }
        }
        Ok(())
    }
}
