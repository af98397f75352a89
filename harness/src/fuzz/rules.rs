//! What a cycle of mirroring must do, and which rows may differ after a restore that nobody could see: a model in maps
//! of keys and versions.
//!
//! It is written from the rules alone (docs/protocol.md: operations and LSNs, schema, the mirroring task) and shares no
//! code with the simulator or the server: two sides that share a mistake would agree on it.
//!
//! A *hidden restore* is what Microsoft's page on change tracking warns of: a source goes back to an old version of its
//! counter, and changes until the counter has come to the mirror's LSN again. From then on the mirror's LSN is valid by
//! number, and stands for rows that the source no longer has. The model keeps source and mirror apart, so it says by
//! itself which keys differ then: all that one side has and the other has not.
//!
//! - [`calls`]: calls by themselves, whoever sends them
//! - [`cells`]: what a cell stands for

pub mod calls;
pub mod cells;

use std::collections::{BTreeMap, BTreeSet};

use mirrorlab_protocol::names::fold;
use mirrorlab_protocol::schema::{Column, Table};
use mirrorlab_protocol::types::{ColumnType, Length};
use mirrorlab_protocol::value::Value;

/// How long changes are kept, in seconds: seven days.
const RETENTION_SECONDS: i64 = 7 * 86_400;

/// A row's values behind its key, by column name without letter case.
pub type Row = BTreeMap<String, Value<'static>>;
/// A table's rows by key.
pub type Rows = BTreeMap<i64, Row>;

/// One row's values in the order of columns, the key first, as a map.
pub fn row_of(table: &Table, values: &[Value<'static>]) -> Option<(i64, Row)> {
    let Some(Value::Int(key)) = values.first() else {
        return None;
    };
    let others = table.columns.iter().zip(values).skip(1);
    Some((*key, others.map(|(c, v)| (fold(&c.name), v.clone())).collect()))
}

/// A change as the log keeps it.
#[derive(Debug, Clone)]
struct Entry {
    version: i64,
    key: i64,
    inserted: bool,
}

/// A table's change tracking.
#[derive(Debug, Clone)]
struct Tracking {
    min_valid: i64,
    log: Vec<Entry>,
}

/// A table of the source.
#[derive(Debug, Clone)]
pub struct SourceTable {
    /// Its columns.
    pub shape: Table,
    /// Its rows.
    pub rows: Rows,
    tracking: Option<Tracking>,
}

/// A tenant's SuperOffice database.
#[derive(Debug, Clone, Default)]
pub struct Source {
    /// The change tracking version.
    pub version: i64,
    /// When each version was committed.
    commits: Vec<(i64, i64)>,
    /// By name without letter case.
    pub tables: BTreeMap<String, SourceTable>,
}

/// What happens to one row.
#[derive(Debug, Clone)]
pub enum Change {
    /// The row is gone.
    Delete(i64),
    /// It has another key.
    Key(i64, i64),
    /// It has these values.
    Update(i64, Row),
    /// It is new.
    Insert(i64, Row),
}

impl Source {
    /// Without a table, at version 1.
    pub fn new() -> Source {
        Source {
            version: 1,
            ..Source::default()
        }
    }

    /// Tables in the order in which a cycle sends them.
    pub fn in_order(&self) -> Vec<&SourceTable> {
        let mut tables: Vec<&SourceTable> = self.tables.values().collect();
        tables.sort_by(|a, b| a.shape.name.cmp(&b.shape.name));
        tables
    }

    /// A new table with its first rows. It is not tracked.
    pub fn create(&mut self, shape: &Table, rows: Rows) {
        let table = SourceTable {
            shape: shape.clone(),
            rows,
            tracking: None,
        };
        self.tables.insert(fold(&shape.name), table);
    }

    fn bump(&mut self, now: i64) -> i64 {
        self.version += 1;
        self.commits.push((self.version, now));
        self.version
    }

    /// Changes of one transaction: the counter goes up by one where a tracked table was touched. `false` where a row
    /// would come twice; nothing is done then.
    pub fn transact(&mut self, changes: &[(String, Change)], now: i64) -> bool {
        let mut after = self.clone();
        let mut entries = Vec::new();
        for (name, change) in changes {
            let Some(table) = after.tables.get_mut(name) else {
                return false;
            };
            let mut touch = |key: i64, inserted: bool| entries.push((name.clone(), key, inserted));
            match change {
                Change::Delete(key) => {
                    if table.rows.remove(key).is_some() {
                        touch(*key, false);
                    }
                }
                Change::Key(old, new) => {
                    if let Some(row) = table.rows.remove(old) {
                        touch(*old, false);
                        touch(*new, true);
                        if table.rows.insert(*new, row).is_some() {
                            return false;
                        }
                    }
                }
                Change::Update(key, row) => {
                    if let Some(there) = table.rows.get_mut(key) {
                        there.clone_from(row);
                        touch(*key, false);
                    }
                }
                Change::Insert(key, row) => {
                    touch(*key, true);
                    if table.rows.insert(*key, row.clone()).is_some() {
                        return false;
                    }
                }
            }
        }
        let next = after.version + 1;
        let mut tracked = false;
        for (name, key, inserted) in entries {
            let tracking = after.tables.get_mut(&name).and_then(|t| t.tracking.as_mut());
            if let Some(tracking) = tracking {
                tracking.log.push(Entry {
                    version: next,
                    key,
                    inserted,
                });
                tracked = true;
            }
        }
        if tracked {
            after.bump(now);
        }
        *self = after;
        true
    }

    /// A table is emptied without a trace of its rows: every version given out before is too old for it.
    pub fn truncate(&mut self, name: &str, now: i64) {
        let tracked = self.tables.get(name).is_some_and(|t| t.tracking.is_some());
        let version = if tracked { self.bump(now) } else { self.version };
        if let Some(table) = self.tables.get_mut(name) {
            table.rows.clear();
            if let Some(tracking) = &mut table.tracking {
                tracking.log.clear();
                tracking.min_valid = version;
            }
        }
    }

    /// Tracking is switched. Switched on, every version given out before is too old.
    pub fn track(&mut self, name: &str, on: bool, now: i64) {
        let is_on = self.tables.get(name).is_some_and(|t| t.tracking.is_some());
        if on == is_on {
            return;
        }
        let min_valid = if on { self.bump(now) } else { 0 };
        if let Some(table) = self.tables.get_mut(name) {
            let log = Vec::new();
            table.tracking = on.then_some(Tracking { min_valid, log });
        }
    }

    /// Other columns: rows keep what they have, and a new column is NULL, or its default where it may not be. Not
    /// tracked.
    pub fn alter(&mut self, after: &Table) {
        if let Some(table) = self.tables.get_mut(&fold(&after.name)) {
            reshape(&mut table.rows, &table.shape, after);
            let name = table.shape.name.clone();
            table.shape = Table {
                name,
                columns: after.columns.clone(),
            };
        }
    }

    /// Changes older than seven days are forgotten, and quiet tables' minimum moves up with the others'.
    fn clean_up(&mut self, now: i64) {
        let old = |(_, time): &&(i64, i64)| *time < now - RETENTION_SECONDS;
        let Some(highest) = self.commits.iter().filter(old).map(|(v, _)| *v).max() else {
            return;
        };
        for tracking in self.tables.values_mut().filter_map(|t| t.tracking.as_mut()) {
            tracking.log.retain(|e| e.version > highest);
            tracking.min_valid = tracking.min_valid.max(highest);
        }
        self.commits.retain(|(v, _)| *v > highest);
    }

    /// The net changes of a table since a version: each key once, by its first entry and by whether it is there now.
    fn changes(&self, table: &SourceTable, since: i64) -> Vec<Sent> {
        let mut first: BTreeMap<i64, bool> = BTreeMap::new();
        for entry in table.tracking.iter().flat_map(|t| &t.log) {
            if entry.version > since {
                first.entry(entry.key).or_insert(entry.inserted);
            }
        }
        let net = |(key, inserted): (i64, bool)| Sent {
            key,
            row: table.rows.get(&key).cloned(),
            inserted,
        };
        first.into_iter().map(net).collect()
    }
}

/// Rows with other columns.
fn reshape(rows: &mut Rows, old: &Table, new: &Table) {
    for row in rows.values_mut() {
        let mut after = Row::new();
        for column in &new.columns[1..] {
            let value = match old.position(&column.name) {
                Some(_) => row.get(&fold(&column.name)).cloned().unwrap_or(Value::Null),
                None => fill(column).unwrap_or(Value::Null),
            };
            after.insert(fold(&column.name), converted(value, column.ty));
        }
        *row = after;
    }
}

/// What rows that are there hold in a new column; `None` where nothing can be said.
fn fill(column: &Column) -> Option<Value<'static>> {
    column.fill_value().ok().flatten()
}

/// A whole number that becomes a text is its digits.
fn converted(value: Value<'static>, ty: ColumnType) -> Value<'static> {
    match value {
        Value::Int(x) if ty.is_text() => Value::Text(x.to_string().into()),
        other => other,
    }
}

/// A row as it is sent.
#[derive(Debug, Clone)]
pub struct Sent {
    /// Its key.
    pub key: i64,
    /// `None`: it is gone.
    pub row: Option<Row>,
    inserted: bool,
}

/// Rows of one table, and the LSN that they bring it to.
#[derive(Debug, Clone)]
pub struct Batch {
    /// The table as it was when they were sent.
    pub shape: Table,
    /// In key order.
    pub rows: Vec<Sent>,
    lsn: i64,
}

/// A call of a cycle.
#[derive(Debug, Clone)]
pub enum Call {
    /// Who is there?
    Authenticate,
    /// Every table.
    Schema(Vec<Table>),
    /// A table is emptied.
    Wipe(String),
    /// Rows of a table.
    Rows(Batch),
    /// All was sent.
    Completed,
}

/// What becomes of a call.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Fate {
    /// Whether the server does it.
    pub done: bool,
    /// Whether the sender's cycle goes on.
    pub goes_on: bool,
}

impl Fate {
    /// Nothing happens to it.
    pub const SOUND: Fate = Fate {
        done: true,
        goes_on: true,
    };
}

/// A table of the mirror.
#[derive(Debug, Clone)]
pub struct MirrorTable {
    /// Its columns.
    pub shape: Table,
    /// Its rows.
    pub rows: Rows,
    /// The version that they stand for; -1 for none.
    pub lsn: i64,
    /// Whether a person set it to -1 since the table was made or wiped: no batch may bring it on before the next wipe, or
    /// what the person asked for would be forgotten.
    pub by_hand: bool,
}

impl MirrorTable {
    /// A person asks for everything anew.
    pub fn invalidate(&mut self) {
        self.lsn = -1;
        self.by_hand = true;
    }

    /// A batch's rows are there.
    fn reach(&mut self, lsn: i64) {
        if !self.by_hand {
            self.lsn = lsn;
        }
    }
}

/// A tenant's mirror.
#[derive(Debug, Clone, Default)]
pub struct Mirror {
    /// Tables that the server made, by name without letter case.
    pub tables: BTreeMap<String, MirrorTable>,
    /// The partner's own tables.
    pub own: BTreeSet<String>,
}

/// Why a server refuses a TableSchema.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Refusal {
    /// A table of the partner's own is in the way.
    NameTaken,
    /// More than half of ten or more tables would be dropped, and the partner does not want that.
    Guarded,
}

impl Mirror {
    /// TableSchema: tables that are missing go, new ones come, others are changed in place or made anew. Says whether
    /// most of the mirror went.
    fn schema(&mut self, wanted: &[Table], guarded: bool) -> Result<bool, Refusal> {
        let names: BTreeSet<String> = wanted.iter().map(|t| fold(&t.name)).collect();
        let new = |name: &&String| !self.tables.contains_key(*name);
        if names.iter().filter(new).any(|name| self.own.contains(name)) {
            return Err(Refusal::NameTaken);
        }
        let going = self.tables.keys().filter(|name| !names.contains(*name)).count();
        let most = self.tables.len() >= 10 && going * 2 > self.tables.len();
        if most && guarded {
            return Err(Refusal::Guarded);
        }
        self.tables.retain(|name, _| names.contains(name));
        for shape in wanted {
            let anew = || MirrorTable {
                shape: shape.clone(),
                rows: Rows::new(),
                lsn: -1,
                by_hand: false,
            };
            let table = self.tables.entry(fold(&shape.name)).or_insert_with(anew);
            if table.shape.columns == shape.columns {
                continue;
            }
            if in_place(table, shape) {
                let old = table.shape.clone();
                reshape(&mut table.rows, &old, shape);
                table.shape.columns.clone_from(&shape.columns);
            } else {
                *table = anew();
            }
        }
        Ok(most)
    }

    /// Wipe: empty, and without an LSN.
    fn wipe(&mut self, name: &str) {
        if let Some(table) = self.tables.get_mut(&fold(name)) {
            table.rows.clear();
            table.lsn = -1;
            table.by_hand = false;
        }
    }

    /// RowData: I and U both mean "this is the row now", D means "this key is gone". A call of other columns than the
    /// table's is refused.
    fn rows(&mut self, batch: &Batch) {
        let Some(table) = self.tables.get_mut(&fold(&batch.shape.name)) else {
            return;
        };
        if table.shape.columns != batch.shape.columns {
            return;
        }
        for sent in &batch.rows {
            match &sent.row {
                Some(row) => drop(table.rows.insert(sent.key, row.clone())),
                None => drop(table.rows.remove(&sent.key)),
            }
        }
        table.reach(batch.lsn);
    }

    /// What a call does.
    pub fn does(&mut self, call: &Call, guarded: bool) -> Result<bool, Refusal> {
        match call {
            Call::Schema(tables) => return self.schema(tables, guarded),
            Call::Wipe(name) => self.wipe(name),
            Call::Rows(batch) => self.rows(batch),
            Call::Authenticate | Call::Completed => {}
        }
        Ok(false)
    }
}

/// Whether a table takes new columns in place: where columns only come, or only go, or hold more. A column that goes
/// beside one that comes may be the same one under a new name, with its old values: no message tells.
fn in_place(table: &MirrorTable, new: &Table) -> bool {
    let old = &table.shape;
    let comes = |c: &&Column| old.position(&c.name).is_none();
    let goes = |c: &&Column| new.position(&c.name).is_none();
    if new.columns.iter().any(|c| comes(&c)) && old.columns.iter().any(|c| goes(&c)) {
        return false;
    }
    let has_null = |name: &str| {
        let name = fold(name);
        table
            .rows
            .values()
            .any(|row| row.get(&name).is_none_or(Value::is_null))
    };
    new.columns.iter().all(|column| match old.position(&column.name) {
        None => fill(column).is_some() || table.rows.is_empty(),
        Some(at) => {
            let was = &old.columns[at];
            holds(was.ty, column.ty) && (column.nullable || !was.nullable || !has_null(&column.name))
        }
    })
}

/// Whether every value of one type is the same value in another.
fn holds(from: ColumnType, to: ColumnType) -> bool {
    if from == to {
        return true;
    }
    match (from.integer_range(), to.integer_range()) {
        (Some(from), Some(to)) => to.0 <= from.0 && from.1 <= to.1,
        (None, None) => match (from, to) {
            (ColumnType::NVarChar(_), ColumnType::NVarChar(Length::Max)) => true,
            (ColumnType::NVarChar(Length::Limit(a)), ColumnType::NVarChar(Length::Limit(b))) => a <= b,
            _ => false,
        },
        _ => false,
    }
}

/// How both sides are set.
#[derive(Debug, Clone, Copy, Default)]
pub struct Rules {
    /// Only tables whose own LSN is ahead come again after a restore, not all.
    pub only_ahead: bool,
    /// Empty batches keep quiet tables' LSNs young.
    pub refresh: bool,
    /// The server refuses to drop most of a mirror.
    pub guarded: bool,
    /// The server declines every cycle.
    pub declines: bool,
}

/// How a cycle ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Ending {
    /// All was sent.
    Completed,
    /// The server declined.
    Declined,
    /// Something on the way ended it.
    Broken,
    /// The server refused its TableSchema.
    Refused(Refusal),
}

/// What a cycle did.
#[derive(Debug, Clone)]
pub struct Cycle {
    /// How it ended.
    pub ending: Ending,
    /// Tables that were wiped, in order.
    pub wiped: Vec<String>,
    /// Inserts, updates and deletes of each table that had any.
    pub sent: Vec<(String, [u64; 3])>,
    /// Whether the server dropped most of its tables.
    pub most_dropped: bool,
}

/// One cycle. `fate` says of each call what becomes of it, knowing the mirror as it is before.
pub fn cycle(
    source: &mut Source,
    mirror: &mut Mirror,
    rules: Rules,
    now: i64,
    fate: &mut dyn FnMut(&Call, &mut Mirror) -> Fate,
) -> Cycle {
    let mut cycle = Cycle {
        ending: Ending::Broken,
        wiped: Vec::new(),
        sent: Vec::new(),
        most_dropped: false,
    };
    source.clean_up(now);
    let mut does = |call: &Call, mirror: &mut Mirror, cycle: &mut Cycle| {
        let fate = fate(call, mirror);
        if fate.done {
            match mirror.does(call, rules.guarded) {
                Ok(most) => cycle.most_dropped |= most,
                Err(refusal) => {
                    cycle.ending = Ending::Refused(refusal);
                    return false;
                }
            }
        }
        fate.goes_on
    };
    if !does(&Call::Authenticate, mirror, &mut cycle) {
        return cycle;
    }
    if rules.declines {
        cycle.ending = Ending::Declined;
        return cycle;
    }
    // Tables without tracking get it now, and come whole.
    let untracked: Vec<String> = source
        .in_order()
        .into_iter()
        .filter(|t| t.tracking.is_none())
        .map(|t| fold(&t.shape.name))
        .collect();
    for name in &untracked {
        source.track(name, true, now);
    }
    let tables: Vec<Table> = source.in_order().into_iter().map(|t| t.shape.clone()).collect();
    if !does(&Call::Schema(tables), mirror, &mut cycle) {
        return cycle;
    }
    let version = source.version;
    let lsn_of = |mirror: &Mirror, name: &str| mirror.tables.get(&fold(name)).map_or(-1, |t| t.lsn);
    let ordered = source.in_order();
    let lsns: Vec<i64> = ordered.iter().map(|t| lsn_of(mirror, &t.shape.name)).collect();
    let restored = lsns.iter().any(|lsn| *lsn > version);
    for (table, lsn) in ordered.into_iter().zip(lsns) {
        let name = &table.shape.name;
        let min_valid = table.tracking.as_ref().map_or(i64::MAX, |t| t.min_valid);
        let whole = lsn < 0
            || lsn > version
            || lsn < min_valid
            || untracked.contains(&fold(name))
            || (restored && !rules.only_ahead);
        let rows = if whole {
            if !does(&Call::Wipe(name.clone()), mirror, &mut cycle) {
                return cycle;
            }
            cycle.wiped.push(name.clone());
            let insert = |(key, row): (&i64, &Row)| Sent {
                key: *key,
                row: Some(row.clone()),
                inserted: true,
            };
            table.rows.iter().map(insert).collect()
        } else {
            source.changes(table, lsn)
        };
        let due = whole || !rows.is_empty() || (rules.refresh && lsn < version);
        if !due {
            continue;
        }
        let mut counts = [0; 3];
        for sent in &rows {
            counts[match (&sent.row, sent.inserted) {
                (None, _) => 2,
                (Some(_), true) => 0,
                (Some(_), false) => 1,
            }] += 1;
        }
        let batch = Batch {
            shape: table.shape.clone(),
            rows,
            lsn: version,
        };
        if !does(&Call::Rows(batch), mirror, &mut cycle) {
            return cycle;
        }
        if counts != [0; 3] {
            cycle.sent.push((name.clone(), counts));
        }
    }
    if does(&Call::Completed, mirror, &mut cycle) {
        cycle.ending = Ending::Completed;
    }
    cycle
}

/// How one table differs between source and mirror.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Difference {
    /// The table is only in the source.
    pub only_in_source: bool,
    /// The table is only in the mirror.
    pub only_in_mirror: bool,
    /// Keys that only the source has.
    pub missing: Vec<i64>,
    /// Keys that only the mirror has.
    pub extra: Vec<i64>,
    /// Keys that both have, with other values.
    pub different: Vec<i64>,
}

/// Where source and mirror differ, table by table; `None` where a table's columns differ, so that its rows cannot be
/// compared. Tables that are equal are not named.
pub fn differences(source: &Source, mirror: &Mirror) -> Option<Vec<(String, Difference)>> {
    let mut all = Vec::new();
    let names: BTreeSet<&String> = source.tables.keys().chain(mirror.tables.keys()).collect();
    for name in names {
        let mut found = Difference::default();
        let mut shown = name.clone();
        match (source.tables.get(name), mirror.tables.get(name)) {
            (Some(a), Some(b)) => {
                let columns = |t: &Table| {
                    let mut columns = t.columns.clone();
                    columns.sort_by_key(|c| fold(&c.name));
                    columns
                };
                if columns(&a.shape) != columns(&b.shape) {
                    return None;
                }
                shown.clone_from(&a.shape.name);
                let keys: BTreeSet<i64> = a.rows.keys().chain(b.rows.keys()).copied().collect();
                for key in keys {
                    match (a.rows.get(&key), b.rows.get(&key)) {
                        (Some(_), None) => found.missing.push(key),
                        (None, Some(_)) => found.extra.push(key),
                        (one, other) if one != other => found.different.push(key),
                        _ => {}
                    }
                }
            }
            (Some(a), None) => {
                shown.clone_from(&a.shape.name);
                found.only_in_source = true;
            }
            (None, Some(b)) => {
                shown.clone_from(&b.shape.name);
                found.only_in_mirror = !mirror.own.contains(name);
            }
            (None, None) => {}
        }
        if found != Difference::default() {
            all.push((shown, found));
        }
    }
    // The partner's own tables are in nobody's source.
    for name in &mirror.own {
        if !source.tables.contains_key(name) {
            let only = Difference {
                only_in_mirror: true,
                ..Difference::default()
            };
            all.push((name.clone(), only));
        }
    }
    Some(all)
}

#[cfg(test)]
mod tests;
