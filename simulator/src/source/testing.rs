//! What every source must do, as test bodies that each engine mounts on a [`Bench`] of its own: [`BODIES`] lists them.
//!
//! Their SQL is that which all engines share. They read back through a second source on the same database, so that nothing
//! is right only in memory.
#![allow(
    clippy::unwrap_used,
    reason = "test code, compiled for other crates' tests as well"
)]

use mirrorlab_protocol::default::Default;
use mirrorlab_protocol::message::RowOperation;
use mirrorlab_protocol::schema::{Column, Table};
use mirrorlab_protocol::types::ColumnType;
use mirrorlab_protocol::value::Value;

use super::{Change, Flow, Source};

/// A day in seconds.
pub const DAY: i64 = 86_400;

/// One tenant's database, of one engine.
pub trait Bench {
    /// Opens the source; the same one again where it is there.
    fn open(&self) -> Box<dyn Source>;
    /// Runs statements as another program would, with the engine's own client.
    fn foreign(&self, sql: &str);
    /// Whether the clean-up follows the source's clock.
    fn has_retention(&self) -> bool;
}

/// A body's name and the body.
pub type Body = (&'static str, fn(&dyn Bench));

/// Every body.
pub const BODIES: &[Body] = &[
    ("a_new_source_is_at_version_one", a_new_source_is_at_version_one),
    (
        "net_changes_are_those_of_changetable",
        net_changes_are_those_of_changetable,
    ),
    ("one_transaction_is_one_version", one_transaction_is_one_version),
    (
        "what_is_rolled_back_leaves_no_trace",
        what_is_rolled_back_leaves_no_trace,
    ),
    (
        "truncate_and_switching_on_put_every_old_version_below_the_minimum",
        truncate_and_switching_on_put_every_old_version_below_the_minimum,
    ),
    (
        "retention_moves_quiet_tables_too",
        retention_moves_quiet_tables_too,
    ),
    (
        "altering_is_no_tracked_change_and_keeps_rows",
        altering_is_no_tracked_change_and_keeps_rows,
    ),
    (
        "dropping_a_table_drops_its_tracking",
        dropping_a_table_drops_its_tracking,
    ),
    (
        "a_backup_holds_the_counter_and_a_restore_brings_it_back",
        a_backup_holds_the_counter_and_a_restore_brings_it_back,
    ),
    (
        "a_snapshot_stands_still_while_another_connection_writes",
        a_snapshot_stands_still_while_another_connection_writes,
    ),
    (
        "what_another_program_writes_is_tracked_as_well",
        what_another_program_writes_is_tracked_as_well,
    ),
    (
        "every_connection_sees_the_tables_as_they_are",
        every_connection_sees_the_tables_as_they_are,
    ),
    (
        "a_script_cannot_end_its_transaction",
        a_script_cannot_end_its_transaction,
    ),
    (
        "a_renamed_table_is_the_same_one_under_another_name",
        a_renamed_table_is_the_same_one_under_another_name,
    ),
    ("values_come_back_to_the_bit", values_come_back_to_the_bit),
];

/// A table from its columns: name, type, whether it may be NULL, default.
pub fn table(name: &str, columns: &[(&str, &str, bool, &str)]) -> Table {
    let table = Table {
        name: name.into(),
        columns: columns
            .iter()
            .map(|(name, ty, nullable, default)| Column {
                name: (*name).into(),
                ty: ColumnType::parse(ty).unwrap(),
                nullable: *nullable,
                default: Default::parse(default).unwrap(),
            })
            .collect(),
    };
    table.check().unwrap();
    table
}

/// `k int not null`, `v int null`.
pub fn pair(name: &str) -> Table {
    table(name, &[("k", "int", false, ""), ("v", "int", true, "")])
}

/// A whole number.
pub fn int(x: i64) -> Value<'static> {
    Value::Int(x)
}

fn find(source: &mut dyn Source, name: &str) -> Table {
    let tables = source.tables().unwrap();
    tables
        .into_iter()
        .find(|t| t.name.eq_ignore_ascii_case(name))
        .unwrap()
}

/// Net changes as `I1 U2 D3`.
pub fn changes(source: &mut dyn Source, table: &str, since: i64) -> String {
    let shape = find(source, table);
    let mut out = Vec::new();
    let mut snapshot = source.snapshot().unwrap();
    snapshot
        .changes(&shape, since, &mut |operation, values| {
            out.push(format!("{}{}", operation.letter(), values[0]));
            if *operation == RowOperation::Delete {
                assert!(values[1..].iter().all(Value::is_null));
            }
            Ok(Flow::Continue)
        })
        .unwrap();
    out.join(" ")
}

/// Rows as `1=5 2=NULL`.
pub fn rows(source: &mut dyn Source, table: &str) -> String {
    let shape = find(source, table);
    let mut out = Vec::new();
    let mut snapshot = source.snapshot().unwrap();
    snapshot
        .rows(&shape, &mut |values| {
            let cells: Vec<String> = values
                .iter()
                .map(|v| if v.is_null() { "NULL".into() } else { v.to_string() })
                .collect();
            out.push(cells.join("="));
            Ok(Flow::Continue)
        })
        .unwrap();
    out.join(" ")
}

/// The version, and the minimum of the table `a`.
pub fn state(source: &mut dyn Source) -> (i64, Option<i64>) {
    (
        source.current_version().unwrap(),
        source.min_valid_version("a").unwrap(),
    )
}

/// A source with the tracked table `a`.
fn tracked(bench: &dyn Bench) -> Box<dyn Source> {
    let mut source = bench.open();
    source.create_table(&pair("a")).unwrap();
    source.set_tracking("a", true).unwrap();
    source
}

fn a_new_source_is_at_version_one(bench: &dyn Bench) {
    let mut source = bench.open();
    assert_eq!(source.current_version().unwrap(), 1);
    assert_eq!(source.tables().unwrap(), [], "its own tables are hidden");
    source.create_table(&pair("a")).unwrap();
    source.execute("INSERT INTO a VALUES (1, 2)").unwrap();
    assert_eq!(state(source.as_mut()), (1, None), "not tracked: no version moves");
    source.set_tracking("A", true).unwrap();
    assert_eq!(state(source.as_mut()), (2, Some(2)));
    assert_eq!(source.tables().unwrap(), [pair("a")]);
    drop(source);
    assert_eq!(state(bench.open().as_mut()), (2, Some(2)), "opened again");
}

fn net_changes_are_those_of_changetable(bench: &dyn Bench) {
    let mut source = tracked(bench);
    let source = source.as_mut();
    source
        .execute("INSERT INTO a VALUES (1,0),(2,0),(3,0),(4,0),(5,0),(6,0)")
        .unwrap();
    let (since, _) = state(source);
    for sql in [
        "INSERT INTO a VALUES (10, 0); UPDATE a SET v = 1 WHERE k = 10",
        "UPDATE a SET v = 2 WHERE k = 10",
        "DELETE FROM a WHERE k = 1",
        "INSERT INTO a VALUES (1, 9)",
        "INSERT INTO a VALUES (11, 0)",
        "DELETE FROM a WHERE k = 11",
        "UPDATE a SET v = 1 WHERE k = 2",
        "DELETE FROM a WHERE k = 2",
        "UPDATE a SET k = 30 WHERE k = 3",
        "UPDATE a SET v = v WHERE k = 4",
        "DELETE FROM a WHERE k = 5; INSERT INTO a VALUES (5, 5)",
        "INSERT INTO a VALUES (12, 0)",
        "DELETE FROM a WHERE k = 12",
        "INSERT INTO a VALUES (12, 1)",
    ] {
        source.execute(sql).unwrap();
    }
    assert_eq!(changes(source, "a", since), "U1 D2 D3 U4 U5 I10 D11 I12 I30");
    assert_eq!(state(source).0, since + 14);
    assert_eq!(changes(source, "a", since + 14), "");
    assert_eq!(
        changes(source, "a", since + 4),
        "D2 D3 U4 U5 D11 I12 I30",
        "after the insert of 1 and 11"
    );
    // Many rows by one statement, some of which take others' keys.
    source.execute("UPDATE a SET k = k + 100 WHERE k >= 10").unwrap();
    assert_eq!(changes(source, "a", since + 14), "D10 D12 D30 I110 I112 I130");
}

fn one_transaction_is_one_version(bench: &dyn Bench) {
    let mut source = tracked(bench);
    let source = source.as_mut();
    source.create_table(&pair("b")).unwrap();
    source.set_tracking("b", true).unwrap();
    let (before, _) = state(source);
    source
        .transact(&[
            ("a", Change::Insert(vec![int(1), int(1)])),
            ("B", Change::Insert(vec![int(1), Value::Null])),
            ("a", Change::Update(int(1), vec![(0, int(2)), (1, int(7))])),
        ])
        .unwrap();
    assert_eq!(state(source).0, before + 1);
    assert_eq!(rows(source, "a"), "2=7");
    assert_eq!(changes(source, "a", before), "D1 I2");
    assert_eq!(changes(source, "b", before), "I1");
    // Nothing touched, nothing moved.
    source.transact(&[]).unwrap();
    source.transact(&[("a", Change::Delete(int(99)))]).unwrap();
    source.execute("UPDATE a SET v = 1 WHERE k = 99").unwrap();
    assert_eq!(state(source).0, before + 1);
    let many: Vec<(&str, Change)> = (10..2500)
        .map(|key| ("a", Change::Insert(vec![int(key), int(key)])))
        .collect();
    source.transact(&many).unwrap();
    assert_eq!(state(source).0, before + 2, "however many statements it takes");
    assert_eq!(source.count("a").unwrap(), 2491);
    assert_eq!(source.keys("a", 2489, 5).unwrap(), [int(2498), int(2499)]);
}

fn what_is_rolled_back_leaves_no_trace(bench: &dyn Bench) {
    let mut source = tracked(bench);
    let source = source.as_mut();
    source.execute("INSERT INTO a VALUES (1, 1)").unwrap();
    let (before, _) = state(source);
    let twice = [
        ("a", Change::Insert(vec![int(2), int(1)])),
        ("a", Change::Insert(vec![int(1), int(1)])),
    ];
    assert!(source.transact(&twice).is_err());
    assert!(
        source
            .execute("UPDATE a SET v = 5; INSERT INTO a VALUES (1, 1)")
            .is_err()
    );
    assert!(source.execute("nonsense").is_err());
    assert!(
        source
            .transact(&[("a", Change::Insert(vec![int(9), int(i64::MAX)]))])
            .is_err(),
        "out of its column's range"
    );
    assert_eq!(rows(source, "a"), "1=1");
    assert_eq!(changes(source, "a", 0), "I1");
    source.execute("UPDATE a SET v = 2").unwrap();
    assert_eq!(
        state(source).0,
        before + 1,
        "the next transaction takes the next number"
    );
}

fn truncate_and_switching_on_put_every_old_version_below_the_minimum(bench: &dyn Bench) {
    let mut source = tracked(bench);
    let source = source.as_mut();
    source.execute("INSERT INTO a VALUES (1, 1)").unwrap();
    let (given_out, _) = state(source);
    source.truncate("a").unwrap();
    let (version, min) = state(source);
    assert!(min.unwrap() > given_out && min == Some(version));
    assert_eq!(rows(source, "a"), "");
    source.execute("INSERT INTO a VALUES (2, 2)").unwrap();
    assert_eq!(changes(source, "a", version), "I2", "tracked as before");
    source.set_tracking("a", false).unwrap();
    assert_eq!(state(source), (version + 1, None));
    let mut snapshot = source.snapshot().unwrap();
    let error = snapshot
        .changes(&pair("a"), 0, &mut |_, _| Ok(Flow::Continue))
        .unwrap_err();
    assert!(
        error.to_string().ends_with("its changes are not tracked"),
        "{error}"
    );
    drop(snapshot);
    source.execute("INSERT INTO a VALUES (3, 3)").unwrap();
    source.set_tracking("a", true).unwrap();
    assert_eq!(state(source), (version + 2, Some(version + 2)));
    assert_eq!(changes(source, "a", 0), "", "the old changes are forgotten");
}

fn retention_moves_quiet_tables_too(bench: &dyn Bench) {
    if !bench.has_retention() {
        return;
    }
    let mut source = tracked(bench);
    let source = source.as_mut();
    source.create_table(&pair("b")).unwrap();
    source.set_now(100 * DAY).unwrap();
    source.set_tracking("b", true).unwrap();
    source.execute("INSERT INTO a VALUES (1, 1)").unwrap();
    let quiet_at = source.current_version().unwrap();
    source.set_now(107 * DAY).unwrap();
    source.clean_up(7 * DAY).unwrap();
    assert!(
        source.min_valid_version("a").unwrap().unwrap() < quiet_at,
        "seven days are not older than seven days"
    );
    assert_eq!(changes(source, "a", quiet_at - 1), "I1");
    source.set_now(107 * DAY + 1).unwrap();
    source.execute("INSERT INTO a VALUES (2, 2)").unwrap();
    source.clean_up(7 * DAY).unwrap();
    for table in ["a", "b"] {
        assert_eq!(
            source.min_valid_version(table).unwrap(),
            Some(quiet_at),
            "{table}: the LSN reached then is still valid, older ones are not"
        );
    }
    assert_eq!(changes(source, "a", quiet_at), "I2");
    // Without newer commits everything may be forgotten; who is at the version stays valid.
    source.set_now(200 * DAY).unwrap();
    source.clean_up(7 * DAY).unwrap();
    let version = source.current_version().unwrap();
    assert_eq!(source.min_valid_version("b").unwrap(), Some(version));
}

fn altering_is_no_tracked_change_and_keeps_rows(bench: &dyn Bench) {
    let mut source = tracked(bench);
    let source = source.as_mut();
    source.execute("INSERT INTO a VALUES (1, 1)").unwrap();
    let before = state(source);
    let mut shape = pair("a");
    shape.columns.extend(
        table(
            "x",
            &[
                ("k", "int", false, ""),
                ("x_Not", "nvarchar(9)", false, "default (N'it''s')"),
                ("x_null", "int", true, "default ((5))"),
                ("x_day", "datetime", false, "default (N'17600101 00:00:00')"),
            ],
        )
        .columns
        .into_iter()
        .skip(1),
    );
    source.alter_table(&shape).unwrap();
    assert_eq!(
        source.tables().unwrap(),
        [shape.clone()],
        "letters and defaults as they were written"
    );
    assert_eq!(rows(source, "a"), "1=1='it's'=NULL=1760-01-01 00:00:00.0000000");
    assert_eq!(state(source), before);
    assert_eq!(changes(source, "a", before.0), "");
    // Widened, dropped, and tracked still.
    shape.columns[1].ty = ColumnType::BigInt;
    shape.columns[2].ty = ColumnType::parse("nvarchar(max)").unwrap();
    shape.columns.remove(3);
    source.alter_table(&shape).unwrap();
    assert_eq!(state(source), before);
    assert_eq!(source.tables().unwrap(), [shape.clone()]);
    source.execute("UPDATE a SET v = 9223372036854775807").unwrap();
    assert_eq!(changes(source, "a", before.0), "U1");
    // What does not fit is refused, and nothing has happened.
    let mut narrow = shape.clone();
    narrow.columns[1].ty = ColumnType::Int;
    assert!(source.alter_table(&narrow).is_err());
    let mut keyed = shape.clone();
    keyed.columns[0].ty = ColumnType::BigInt;
    assert!(source.alter_table(&keyed).is_err());
    assert_eq!(source.tables().unwrap(), [shape]);
    source.execute("UPDATE a SET v = 5").unwrap();
    assert_eq!(state(source).0, before.0 + 2, "and still tracked");
}

fn dropping_a_table_drops_its_tracking(bench: &dyn Bench) {
    let mut source = tracked(bench);
    let source = source.as_mut();
    source.execute("INSERT INTO a VALUES (1, 1)").unwrap();
    let (version, _) = state(source);
    source.drop_table("a").unwrap();
    source.create_table(&pair("a")).unwrap();
    assert_eq!(state(source), (version, None));
    source.set_tracking("a", true).unwrap();
    assert_eq!(changes(source, "a", 0), "");
    // The same by a person's own statements.
    source
        .execute("DROP TABLE a; CREATE TABLE a (k int NOT NULL PRIMARY KEY, v int NULL)")
        .unwrap();
    assert_eq!(state(source).1, None);
}

fn a_backup_holds_the_counter_and_a_restore_brings_it_back(bench: &dyn Bench) {
    let mut source = tracked(bench);
    let source = source.as_mut();
    source.execute("INSERT INTO a VALUES (1, 1)").unwrap();
    source.backup("monday/../x").unwrap();
    let at_backup = state(source);
    source.create_table(&pair("later")).unwrap();
    source
        .execute("INSERT INTO a VALUES (2, 2); DELETE FROM a WHERE k = 1")
        .unwrap();
    source.execute("UPDATE a SET v = 7").unwrap();
    assert_eq!(state(source).0, at_backup.0 + 2);
    source.restore("monday/../x").unwrap();
    assert_eq!(state(source), at_backup);
    assert_eq!(rows(source, "a"), "1=1");
    assert_eq!(source.tables().unwrap(), [pair("a")]);
    source.execute("INSERT INTO a VALUES (3, 3)").unwrap();
    assert_eq!(changes(source, "a", at_backup.0), "I3");
    assert_eq!(changes(source, "a", at_backup.0 - 1), "I1 I3");
    // A later backup of the name takes the place of the older one.
    source.backup("monday/../x").unwrap();
    source.execute("DELETE FROM a").unwrap();
    source.restore("monday/../x").unwrap();
    assert_eq!(rows(source, "a"), "1=1 3=3");
    let error = source.restore("tuesday").unwrap_err().to_string();
    assert!(error.contains("there is no backup of that name"), "{error}");
    assert!(source.backup("").is_err());
}

fn a_snapshot_stands_still_while_another_connection_writes(bench: &dyn Bench) {
    let mut source = tracked(bench);
    let source = source.as_mut();
    source
        .execute("INSERT INTO a VALUES (1, 1), (2, 2), (3, 3)")
        .unwrap();
    let (version, _) = state(source);
    let mut writer = bench.open();
    let mut seen = Vec::new();
    let mut snapshot = source.snapshot().unwrap();
    let mut next = 10;
    snapshot
        .rows(&pair("a"), &mut |values| {
            seen.push(values[0].to_string());
            next += 1;
            writer.transact(&[("a", Change::Insert(vec![int(next), Value::Null]))])?;
            writer.transact(&[("a", Change::Delete(int(3)))])?;
            Ok(Flow::Continue)
        })
        .unwrap();
    assert_eq!(seen, ["1", "2", "3"]);
    assert_eq!(snapshot.version(), version);
    let mut changed = 0;
    snapshot
        .changes(&pair("a"), version, &mut |_, _| {
            changed += 1;
            Ok(Flow::Continue)
        })
        .unwrap();
    assert_eq!(changed, 0);
    drop(snapshot);
    assert_eq!(changes(source, "a", version), "D3 I11 I12 I13");
    assert_eq!(state(source).0, version + 4);
    // And a sink that has enough.
    let mut got = 0;
    source
        .snapshot()
        .unwrap()
        .rows(&pair("a"), &mut |_| {
            got += 1;
            Ok(Flow::Stop)
        })
        .unwrap();
    assert_eq!(got, 1);
}

fn what_another_program_writes_is_tracked_as_well(bench: &dyn Bench) {
    let mut source = tracked(bench);
    let source = source.as_mut();
    let (version, _) = state(source);
    bench.foreign("INSERT INTO a VALUES (1, 1); INSERT INTO a VALUES (2, 2)");
    assert_eq!(changes(source, "a", version), "I1 I2");
    bench.foreign("DELETE FROM a WHERE k = 1");
    let between = state(source).0;
    assert!(between > version);
    source.execute("DELETE FROM a WHERE k = 2").unwrap();
    assert_eq!(state(source).0, between + 1);
    assert_eq!(changes(source, "a", between), "D2");
}

fn every_connection_sees_the_tables_as_they_are(bench: &dyn Bench) {
    let mut source = tracked(bench);
    let mut other = bench.open();
    assert_eq!(other.tables().unwrap(), [pair("a")]);
    source.set_tracking("a", false).unwrap();
    source.truncate("a").unwrap();
    source.create_table(&pair("b")).unwrap();
    source.set_tracking("b", true).unwrap();
    assert_eq!(other.tables().unwrap(), [pair("a"), pair("b")]);
    other.drop_table("A").unwrap();
    // Refused in the middle: what was seen on the way is forgotten.
    assert!(
        source
            .execute("CREATE TABLE c (k int NOT NULL PRIMARY KEY); INSERT INTO nowhere VALUES (1)")
            .is_err()
    );
    other.create_table(&pair("d")).unwrap();
    assert_eq!(source.tables().unwrap(), [pair("b"), pair("d")]);
    source.set_tracking("d", true).unwrap();
    assert_eq!(source.tables().unwrap(), [pair("b"), pair("d")]);
    let error = source.count("a").unwrap_err().to_string();
    assert!(
        error.ends_with("cannot count the rows of `a`: there is no table `a`"),
        "{error}"
    );
}

fn a_script_cannot_end_its_transaction(bench: &dyn Bench) {
    let mut source = tracked(bench);
    let source = source.as_mut();
    let before = state(source);
    for sql in [
        "INSERT INTO a VALUES (1, 1); COMMIT",
        "INSERT INTO a VALUES (1, 1); ROLLBACK",
        "UPDATE mirrorlab_ct_state SET version = 7",
    ] {
        assert!(source.execute(sql).is_err(), "{sql}");
        assert_eq!(state(source), before, "{sql}");
        assert_eq!(rows(source, "a"), "", "{sql}");
    }
    source.execute("INSERT INTO a VALUES (1, 1)").unwrap();
    assert_eq!(changes(source, "a", before.0), "I1");
}

fn a_renamed_table_is_the_same_one_under_another_name(bench: &dyn Bench) {
    let mut source = tracked(bench);
    let source = source.as_mut();
    source.execute("INSERT INTO a VALUES (1, 1)").unwrap();
    let before = state(source);
    // In its letters alone.
    source
        .execute("ALTER TABLE a RENAME TO on_its_way; ALTER TABLE on_its_way RENAME TO A")
        .unwrap();
    source.execute("ALTER TABLE a RENAME COLUMN v TO w").unwrap();
    let renamed = table("A", &[("k", "int", false, ""), ("w", "int", true, "")]);
    assert_eq!(source.tables().unwrap(), std::slice::from_ref(&renamed));
    assert_eq!(bench.open().tables().unwrap(), [renamed]);
    assert_eq!(state(source), before, "no row has changed");
    source.execute("INSERT INTO a VALUES (2, 2)").unwrap();
    assert_eq!(changes(source, "A", before.0), "I2");
    // And altogether.
    source.execute("ALTER TABLE a RENAME TO b").unwrap();
    let names = |source: &mut dyn Source| -> Vec<String> {
        source.tables().unwrap().into_iter().map(|t| t.name).collect()
    };
    assert_eq!(names(source), ["b"]);
    source.execute("INSERT INTO b VALUES (3, 3)").unwrap();
    assert_eq!(changes(source, "b", before.0), "I2 I3");
}

fn values_come_back_to_the_bit(bench: &dyn Bench) {
    let mut source = bench.open();
    let shape = table(
        "t",
        &[
            ("k", "int", false, ""),
            ("n", "nvarchar(40)", true, ""),
            ("m", "nvarchar(max)", true, ""),
            ("d", "datetime", true, ""),
            ("f", "float", true, ""),
            ("s", "smallint", true, ""),
            ("x", "decimal(18,4)", true, ""),
            ("b", "varbinary(max)", true, ""),
            ("g", "uniqueidentifier", true, ""),
            ("o", "datetimeoffset(3)", true, ""),
        ],
    );
    source.create_table(&shape).unwrap();
    source.set_tracking("t", true).unwrap();
    let since = source.current_version().unwrap();
    let read = |text: &str, ty: &str| {
        let ty = ColumnType::parse(ty).unwrap();
        Value::from_bare(text, ty).unwrap().into_owned()
    };
    let long = "å😀\u{1} ".repeat(20_000);
    let row = vec![
        int(1),
        Value::Text(" [I:5] \u{fffe}\r\n\t ".into()),
        Value::Text(long.into()),
        read("1760-01-01 00:00:00.003", "datetime"),
        Value::Float(0.1 + 0.2),
        int(-32768),
        read("-12345678901234.5678", "decimal(18,4)"),
        Value::Binary(vec![0, 1, 255, 0].into()),
        Value::Guid(0x6F96_19FF_8B86_D011_B42D_00C0_4FC9_64FF),
        read("2020-05-18 10:40:43.123 +05:30", "datetimeoffset(3)"),
    ];
    let empty: Vec<Value<'static>> = (0..shape.columns.len())
        .map(|at| match at {
            0 => int(2),
            1 | 2 => Value::Text("".into()),
            7 => Value::Binary(vec![].into()),
            _ => Value::Null,
        })
        .collect();
    source
        .transact(&[
            ("t", Change::Insert(row.clone())),
            ("t", Change::Insert(empty.clone())),
        ])
        .unwrap();
    let mut other = bench.open();
    for expected in [&row, &empty] {
        let mut got: Vec<Vec<Value<'static>>> = Vec::new();
        let mut changed: Vec<Vec<Value<'static>>> = Vec::new();
        let mut snapshot = other.snapshot().unwrap();
        let owned = |values: &[Value<'_>]| values.iter().map(|v| v.clone().into_owned()).collect();
        snapshot
            .rows(&shape, &mut |values| {
                got.push(owned(values));
                Ok(Flow::Continue)
            })
            .unwrap();
        snapshot
            .changes(&shape, since, &mut |_, values| {
                changed.push(owned(values));
                Ok(Flow::Continue)
            })
            .unwrap();
        drop(snapshot);
        assert!(got.contains(expected), "{got:?}");
        assert_eq!(got, changed);
    }
}
