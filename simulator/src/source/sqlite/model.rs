//! Random histories of a source against a model of its net changes: the model keeps every version's whole state and
//! compares states, where the source keeps a log.

use std::collections::{BTreeMap, BTreeSet};

use mirrorlab_protocol::types::ColumnType;
use proptest::prelude::*;

use super::tests::open;
use super::*;
use crate::source::testing::{DAY, changes, int, pair, rows};

/// Every version's full state and what each commit touched. It knows nothing of logs.
#[derive(Clone)]
struct Model {
    /// State and touched keys per version, tables `a` and `b`; the states of versions that were skipped over are those
    /// before.
    states: BTreeMap<i64, [BTreeMap<i64, i64>; 2]>,
    touched: BTreeMap<i64, [BTreeSet<i64>; 2]>,
    times: BTreeMap<i64, i64>,
    version: i64,
    min_valid: [Option<i64>; 2],
    now: [BTreeMap<i64, i64>; 2],
}

const NAMES: [&str; 2] = ["a", "b"];

impl Model {
    fn commit(&mut self, time: i64, touched: [BTreeSet<i64>; 2]) {
        let tracked: [BTreeSet<i64>; 2] = std::array::from_fn(|t| {
            if self.min_valid[t].is_some() {
                touched[t].clone()
            } else {
                BTreeSet::new()
            }
        });
        if tracked.iter().any(|t| !t.is_empty()) {
            self.version += 1;
            self.touched.insert(self.version, tracked);
            self.times.insert(self.version, time);
        }
        self.states.insert(self.version, self.now.clone());
    }

    fn reset(&mut self, time: i64, t: usize) {
        self.version += 1;
        self.times.insert(self.version, time);
        self.min_valid[t] = Some(self.version);
        self.states.insert(self.version, self.now.clone());
    }

    fn changes(&self, t: usize, since: i64) -> String {
        let then = &self.states[&since][t];
        let keys: BTreeSet<i64> = self
            .touched
            .range(since + 1..)
            .flat_map(|(_, touched)| touched[t].clone())
            .collect();
        let letters = keys.iter().map(|key| {
            let letter = match (then.contains_key(key), self.now[t].contains_key(key)) {
                (_, false) => 'D',
                (false, true) => 'I',
                (true, true) => 'U',
            };
            format!("{letter}{key}")
        });
        letters.collect::<Vec<_>>().join(" ")
    }
}

#[derive(Debug, Clone)]
enum Op {
    Insert(usize, i64, i64),
    Update(usize, i64, i64),
    Delete(usize, i64),
    Rekey(usize, i64, i64),
    /// `INSERT OR REPLACE`, only as SQL.
    Replace(usize, i64, i64),
    /// Several rows by one statement, only as SQL.
    UpdateBelow(usize, i64),
    DeleteFrom(usize, i64),
    /// Every key from this one to 99 moves up by 100, only as SQL.
    Shift(usize, i64),
}

#[derive(Debug, Clone)]
enum Step {
    Transact(Vec<Op>),
    Sql(Vec<Op>),
    RolledBack(Vec<Op>),
    Truncate(usize),
    Track(usize, bool),
    Advance(i64),
    CleanUp,
    Backup(usize),
    Restore(usize),
    Alter(usize),
}

impl Op {
    fn sql(&self) -> String {
        match self {
            Op::Insert(t, k, v) => format!("INSERT INTO {} (k, v) VALUES ({k}, {v});", NAMES[*t]),
            Op::Update(t, k, v) => format!("UPDATE {} SET v = {v} WHERE k = {k};", NAMES[*t]),
            Op::Delete(t, k) => format!("DELETE FROM {} WHERE k = {k};", NAMES[*t]),
            Op::Rekey(t, k, to) => format!("UPDATE {} SET k = {to} WHERE k = {k};", NAMES[*t]),
            Op::Replace(t, k, v) => format!("INSERT OR REPLACE INTO {} (k, v) VALUES ({k}, {v});", NAMES[*t]),
            Op::UpdateBelow(t, k) => format!("UPDATE {} SET v = v + 1 WHERE k < {k};", NAMES[*t]),
            Op::DeleteFrom(t, k) => format!("DELETE FROM {} WHERE k >= {k};", NAMES[*t]),
            Op::Shift(t, k) => format!("UPDATE {} SET k = k + 100 WHERE k BETWEEN {k} AND 99;", NAMES[*t]),
        }
    }

    fn change(&self) -> Option<(&'static str, Change)> {
        Some(match self {
            Op::Insert(t, k, v) => (NAMES[*t], Change::Insert(vec![int(*k), int(*v)])),
            Op::Update(t, k, v) => (NAMES[*t], Change::Update(int(*k), vec![(1, int(*v))])),
            Op::Delete(t, k) => (NAMES[*t], Change::Delete(int(*k))),
            Op::Rekey(t, k, to) => (NAMES[*t], Change::Update(int(*k), vec![(0, int(*to))])),
            _ => return None,
        })
    }

    /// Does it to the model; `false` where a database refuses.
    fn model(&self, now: &mut [BTreeMap<i64, i64>; 2], touched: &mut [BTreeSet<i64>; 2]) -> bool {
        match *self {
            Op::Insert(t, k, v) => {
                if now[t].contains_key(&k) {
                    return false;
                }
                now[t].insert(k, v);
                touched[t].insert(k);
            }
            Op::Replace(t, k, v) => {
                now[t].insert(k, v);
                touched[t].insert(k);
            }
            Op::Update(t, k, v) => {
                if let Some(old) = now[t].get_mut(&k) {
                    *old = v;
                    touched[t].insert(k);
                }
            }
            Op::Delete(t, k) => {
                if now[t].remove(&k).is_some() {
                    touched[t].insert(k);
                }
            }
            Op::Rekey(t, k, to) => {
                if now[t].contains_key(&k) && k != to && now[t].contains_key(&to) {
                    return false;
                }
                if let Some(v) = now[t].remove(&k) {
                    now[t].insert(to, v);
                    touched[t].extend([k, to]);
                }
            }
            Op::UpdateBelow(t, below) => {
                for (k, v) in now[t].range_mut(..below) {
                    *v += 1;
                    touched[t].insert(*k);
                }
            }
            Op::DeleteFrom(t, from) => {
                let gone = now[t].split_off(&from);
                touched[t].extend(gone.keys());
            }
            Op::Shift(t, from) => {
                let moved: Vec<(i64, i64)> = now[t].range(from..100).map(|(k, v)| (*k, *v)).collect();
                for (k, v) in moved {
                    if now[t].contains_key(&(k + 100)) {
                        return false;
                    }
                    now[t].remove(&k);
                    now[t].insert(k + 100, v);
                    touched[t].extend([k, k + 100]);
                }
            }
        }
        true
    }
}

fn op(sql: bool) -> impl Strategy<Value = Op> {
    let (t, k, v) = (0..2usize, 0..12i64, 0..100i64);
    let plain = prop_oneof![
        4 => (t.clone(), k.clone(), v.clone()).prop_map(|(t, k, v)| Op::Insert(t, k, v)),
        3 => (t.clone(), k.clone(), v.clone()).prop_map(|(t, k, v)| Op::Update(t, k, v)),
        3 => (t.clone(), k.clone()).prop_map(|(t, k)| Op::Delete(t, k)),
        2 => (t.clone(), k.clone(), k.clone()).prop_map(|(t, k, to)| Op::Rekey(t, k, to)),
    ];
    if !sql {
        return plain.boxed();
    }
    prop_oneof![
        4 => plain,
        2 => (t.clone(), k.clone(), v).prop_map(|(t, k, v)| Op::Replace(t, k, v)),
        1 => (t.clone(), k.clone()).prop_map(|(t, k)| Op::UpdateBelow(t, k)),
        1 => (t.clone(), k.clone()).prop_map(|(t, k)| Op::DeleteFrom(t, k)),
        // Far apart, so that a shift never meets a row that has yet to move.
        1 => (t, k).prop_map(|(t, k)| Op::Shift(t, k)),
    ]
    .boxed()
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        8 => prop::collection::vec(op(false), 0..5).prop_map(Step::Transact),
        8 => prop::collection::vec(op(true), 0..5).prop_map(Step::Sql),
        2 => prop::collection::vec(op(true), 0..4).prop_map(Step::RolledBack),
        1 => (0..2usize).prop_map(Step::Truncate),
        1 => (0..2usize, prop::bool::ANY).prop_map(|(t, on)| Step::Track(t, on)),
        3 => (1..3 * DAY).prop_map(Step::Advance),
        2 => Just(Step::CleanUp),
        1 => (0..2usize).prop_map(Step::Backup),
        1 => (0..2usize).prop_map(Step::Restore),
        1 => (0..2usize).prop_map(Step::Alter),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 96, ..ProptestConfig::default() })]

    #[test]
    fn any_history_reports_the_net_changes_of_the_model(steps in prop::collection::vec(step(), 1..40)) {
        let dir = tempfile::tempdir().unwrap();
        let mut source = open(&dir);
        let mut model = Model {
            states: BTreeMap::new(),
            touched: BTreeMap::new(),
            times: BTreeMap::new(),
            version: 1,
            min_valid: [None, None],
            now: [BTreeMap::new(), BTreeMap::new()],
        };
        let mut time = 1000 * DAY;
        source.set_now(time).unwrap();
        for (t, name) in NAMES.iter().enumerate() {
            source.create_table(&pair(name)).unwrap();
            source.set_tracking(name, true).unwrap();
            model.reset(time, t);
        }
        let mut kept: [Option<Model>; 2] = [None, None];
        for step in steps {
            match &step {
                Step::Transact(ops) | Step::Sql(ops) | Step::RolledBack(ops) => {
                    let mut now = model.now.clone();
                    let mut touched = [BTreeSet::new(), BTreeSet::new()];
                    let mut works = ops.iter().all(|op| op.model(&mut now, &mut touched));
                    let result = if let Step::Transact(_) = step {
                        let changes: Vec<_> = ops.iter().filter_map(Op::change).collect();
                        source.transact(&changes)
                    } else {
                        let mut sql: String = ops.iter().map(Op::sql).collect();
                        if let Step::RolledBack(_) = step {
                            sql.push_str("INSERT INTO a SELECT 1, 1 UNION ALL SELECT 1, 1");
                            works = false;
                        }
                        source.execute(&sql)
                    };
                    prop_assert_eq!(result.is_ok(), works, "{:?}: {:?}", step, result);
                    if works {
                        model.now = now;
                        model.commit(time, touched);
                    }
                }
                Step::Truncate(t) => {
                    source.truncate(NAMES[*t]).unwrap();
                    model.now[*t].clear();
                    if model.min_valid[*t].is_some() {
                        model.reset(time, *t);
                    } else {
                        model.states.insert(model.version, model.now.clone());
                    }
                }
                Step::Track(t, on) => {
                    source.set_tracking(NAMES[*t], *on).unwrap();
                    match (model.min_valid[*t], on) {
                        (None, true) => model.reset(time, *t),
                        (Some(_), false) => model.min_valid[*t] = None,
                        _ => {}
                    }
                }
                Step::Advance(by) => {
                    time += by;
                    source.set_now(time).unwrap();
                }
                Step::CleanUp => {
                    source.clean_up(7 * DAY).unwrap();
                    let old = model.times.iter().filter(|(_, at)| **at < time - 7 * DAY);
                    if let Some(highest) = old.map(|(version, _)| *version).max() {
                        for min in model.min_valid.iter_mut().flatten() {
                            *min = (*min).max(highest);
                        }
                    }
                }
                Step::Backup(slot) => {
                    source.backup(&slot.to_string()).unwrap();
                    kept[*slot] = Some(model.clone());
                }
                Step::Restore(slot) => match &kept[*slot] {
                    Some(old) => {
                        source.restore(&slot.to_string()).unwrap();
                        model = old.clone();
                    }
                    None => prop_assert!(source.restore(&slot.to_string()).is_err()),
                },
                Step::Alter(t) => {
                    // Nothing that is seen changes but the column's type, there and back.
                    let mut shape = pair(NAMES[*t]);
                    shape.columns[1].ty = ColumnType::BigInt;
                    source.alter_table(&shape).unwrap();
                    source.alter_table(&pair(NAMES[*t])).unwrap();
                }
            }
            prop_assert_eq!(source.current_version().unwrap(), model.version, "after {:?}", step);
            for (t, name) in NAMES.iter().enumerate() {
                prop_assert_eq!(source.min_valid_version(name).unwrap(), model.min_valid[t]);
                prop_assert_eq!(source.count(name).unwrap(), model.now[t].len() as u64);
                let rows_expected: Vec<String> =
                    model.now[t].iter().map(|(k, v)| format!("{k}={v}")).collect();
                prop_assert_eq!(rows(&mut source, name), rows_expected.join(" "));
                if let Some(min) = model.min_valid[t] {
                    for since in min..=model.version {
                        prop_assert_eq!(
                            changes(&mut source, name, since),
                            model.changes(t, since),
                            "{} since {}, after {:?}", name, since, step
                        );
                    }
                }
            }
        }
    }
}
