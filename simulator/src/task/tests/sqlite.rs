//! The same cycle over a real source.

use std::collections::BTreeMap;

use mirrorlab_engines::sqlite::Durability;
use mirrorlab_protocol::value::Value;

use crate::source::sqlite::{FIRST_VERSION, SqliteSource};
use crate::source::{Change, Flow, Source};
use crate::task::Pipeline;
use crate::task::report::CycleReport;
use crate::testing::{Bench, NOW, table};

const DAY: i64 = 86_400;

fn new_source(first_version: i64) -> (SqliteSource, tempfile::TempDir) {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("Cust10001.db");
    let mut source = SqliteSource::open_from(&path, Durability::Fast, first_version).unwrap();
    source.set_now(NOW).unwrap();
    for name in ["contact", "person"] {
        source.create_table(&table(name)).unwrap();
    }
    (source, dir)
}

struct Pair {
    bench: Bench,
    source: SqliteSource,
    _dir: tempfile::TempDir,
}

impl Pair {
    fn new(pipeline: Pipeline) -> Pair {
        let (source, dir) = new_source(FIRST_VERSION);
        let mut bench = Bench::new(&[]);
        bench.settings.pipeline = pipeline;
        bench.settings.batch_bytes_max = 1500;
        Pair {
            bench,
            source,
            _dir: dir,
        }
    }

    fn put(&mut self, table: &str, keys: impl Iterator<Item = i64>) {
        let rows: Vec<_> = keys
            .map(|key| {
                (
                    table,
                    Change::Insert(vec![Value::Int(key), Value::Text(format!("row {key}").into())]),
                )
            })
            .collect();
        self.source.transact(&rows).unwrap();
    }

    fn rows(&mut self) -> BTreeMap<String, BTreeMap<i64, String>> {
        let tables = self.source.tables().unwrap();
        let mut snapshot = self.source.snapshot().unwrap();
        let mut all = BTreeMap::new();
        for table in tables {
            let rows: &mut BTreeMap<_, _> = all.entry(table.name.clone()).or_default();
            snapshot
                .rows(&table, &mut |row| {
                    let (Value::Int(key), Value::Text(text)) = (&row[0], &row[1]) else {
                        panic!("{row:?}")
                    };
                    rows.insert(*key, text.to_string());
                    Ok(Flow::Continue)
                })
                .unwrap();
        }
        all
    }

    fn cycle(&mut self) -> CycleReport {
        let report = self.bench.run_with(&mut self.source);
        assert!(report.is_success(), "{:?}", report.error());
        report
    }

    /// A cycle, after which mirror and source are equal; gives what was wiped, and the counts of `contact`.
    fn equal(&mut self) -> (Vec<String>, (u64, u64, u64)) {
        let report = self.cycle();
        assert_eq!(self.bench.endpoint.rows("Cust10001"), self.rows());
        let contact = report.table("contact").unwrap();
        (
            report.wiped().iter().map(|&name| name.to_owned()).collect(),
            (contact.inserts, contact.updates, contact.deletes),
        )
    }
}

fn wiped(names: &[&str]) -> Vec<String> {
    names.iter().map(|&name| name.to_owned()).collect()
}

#[test]
fn a_real_source_from_population_to_restore() {
    for pipeline in [Pipeline::Inline, Pipeline::Overlapped] {
        let mut pair = Pair::new(pipeline);
        // Not tracked yet: the first cycle switches it on, and the second finds every change since.
        pair.put("contact", 1..200);
        pair.put("person", 1..4);
        assert_eq!(pair.equal(), (wiped(&["contact", "person"]), (199, 0, 0)));
        assert_eq!(pair.equal(), (wiped(&[]), (0, 0, 0)));

        pair.put("contact", 500..503);
        let update = Change::Update(Value::Int(7), vec![(1, Value::Text("seven".into()))]);
        pair.source
            .transact(&[("contact", update), ("contact", Change::Delete(Value::Int(9)))])
            .unwrap();
        assert_eq!(pair.equal(), (wiped(&[]), (3, 1, 1)));

        pair.source.set_tracking("contact", false).unwrap();
        pair.put("contact", 600..602);
        assert_eq!(pair.equal().0, wiped(&["contact"]));
        assert_eq!(pair.equal(), (wiped(&[]), (0, 0, 0)));

        pair.source.truncate("person").unwrap();
        assert_eq!(pair.equal().0, wiped(&["person"]));
        assert_eq!(pair.equal().0, wiped(&[]));

        pair.source.backup("monday").unwrap();
        pair.put("contact", 700..702);
        pair.equal();
        pair.source.restore("monday").unwrap();
        assert_eq!(pair.equal().0, wiped(&["contact", "person"]));
        assert_eq!(pair.equal(), (wiped(&[]), (0, 0, 0)));

        // Camouflaged: seen by nobody, until the LSNs are set to -1.
        pair.source.backup("tuesday").unwrap();
        pair.put("contact", 800..801);
        pair.equal();
        pair.source.restore("tuesday").unwrap();
        pair.put("contact", 900..901);
        pair.put("contact", 901..902);
        assert_eq!(pair.cycle().wiped(), Vec::<&str>::new());
        assert_ne!(pair.bench.endpoint.rows("Cust10001"), pair.rows());
        pair.bench.endpoint.set_lsn("Cust10001", "contact", -1);
        assert_eq!(pair.equal().0, wiped(&["contact"]));
    }
}

#[test]
fn a_source_made_anew_is_sent_whole_where_its_counter_starts_above_the_old_ones() {
    let replaced_by = |first_version: i64| {
        let mut pair = Pair::new(Pipeline::Inline);
        pair.put("contact", 1..5);
        pair.equal();
        // Another source for the same mirror, after as many commits.
        (pair.source, pair._dir) = new_source(first_version);
        pair.put("contact", 101..105);
        pair.source.set_tracking("contact", true).unwrap();
        pair.source.set_tracking("person", true).unwrap();
        pair
    };
    let mut above = replaced_by(1000);
    assert_eq!(above.equal().0, wiped(&["contact", "person"]));
    assert_eq!(above.equal().0, wiped(&[]));
    // As a restored original would be: nothing is sent, and nobody sees it.
    let mut same = replaced_by(FIRST_VERSION);
    assert_eq!(same.cycle().wiped(), Vec::<&str>::new());
    assert_ne!(same.bench.endpoint.rows("Cust10001"), same.rows());
}

#[test]
fn eight_days_pass_over_a_real_source() {
    let mut pair = Pair::new(Pipeline::Inline);
    pair.put("contact", 1..5);
    pair.put("person", 1..5);
    pair.equal();
    pair.put("contact", 10..11);
    // Days with cycles: the quiet table ages, the other does not.
    let mut all = Vec::new();
    for day in 1..=8 {
        pair.bench.source_clock.advance(DAY);
        pair.source.set_now(NOW + day * DAY).unwrap();
        pair.put("contact", 100 + day..101 + day);
        all.extend(pair.equal().0);
    }
    assert_eq!(all, wiped(&["person"]));
    // Days without.
    pair.put("contact", 50..51);
    pair.bench.source_clock.advance(8 * DAY);
    assert_eq!(pair.equal().0, wiped(&["contact", "person"]));
    assert_eq!(pair.equal().0, wiped(&[]));
}
