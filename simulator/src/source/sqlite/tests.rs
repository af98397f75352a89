use std::collections::BTreeSet;

use mirrorlab_protocol::default::Default;
use mirrorlab_protocol::message::RowOperation;
use mirrorlab_protocol::schema::Column;
use mirrorlab_protocol::types::ColumnType;

use super::*;
use crate::source::Flow;
use crate::source::testing::{BODIES, Bench};

pub(super) const DAY: i64 = 86_400;

pub(super) fn table(name: &str, columns: &[(&str, &str, bool, &str)]) -> Table {
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

pub(super) fn pair(name: &str) -> Table {
    table(name, &[("k", "int", false, ""), ("v", "int", true, "")])
}

pub(super) fn open(dir: &tempfile::TempDir) -> SqliteSource {
    SqliteSource::open(&dir.path().join("Cust10001.db"), Durability::Fast).unwrap()
}

/// A source in a file.
struct File(tempfile::TempDir);

impl Bench for File {
    fn open(&self) -> Box<dyn Source> {
        Box::new(open(&self.0))
    }

    fn foreign(&self, sql: &str) {
        let other = Connection::open(self.0.path().join("Cust10001.db")).unwrap();
        other.execute_batch("PRAGMA recursive_triggers = ON").unwrap();
        other.execute_batch(sql).unwrap();
    }

    fn has_retention(&self) -> bool {
        true
    }
}

#[test]
fn it_does_what_every_source_must() {
    for (name, body) in BODIES {
        println!("{name}");
        body(&File(tempfile::tempdir().unwrap()));
    }
}

/// A source with the tracked table `a`, and the folder it lives in.
fn tracked() -> (tempfile::TempDir, SqliteSource) {
    let dir = tempfile::tempdir().unwrap();
    let mut source = open(&dir);
    source.create_table(&pair("a")).unwrap();
    source.set_tracking("a", true).unwrap();
    (dir, source)
}

pub(super) fn int(x: i64) -> Value<'static> {
    Value::Int(x)
}

/// Net changes as `I1 U2 D3`.
pub(super) fn changes(source: &mut SqliteSource, table: &str, since: i64) -> String {
    let shape = source.find(table, "test").unwrap();
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
pub(super) fn rows(source: &mut SqliteSource, table: &str) -> String {
    let shape = source.find(table, "test").unwrap();
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

fn state(source: &mut SqliteSource) -> (i64, Option<i64>) {
    (
        source.current_version().unwrap(),
        source.min_valid_version("a").unwrap(),
    )
}

#[test]
fn net_changes_are_those_of_changetable() {
    let (_dir, mut source) = tracked();
    source
        .execute("INSERT INTO a VALUES (1,0),(2,0),(3,0),(4,0),(5,0),(6,0)")
        .unwrap();
    let (since, _) = state(&mut source);
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
        "INSERT OR REPLACE INTO a VALUES (5, 5)",
        "INSERT INTO a VALUES (12, 0)",
        "DELETE FROM a WHERE k = 12",
        "INSERT INTO a VALUES (12, 1)",
    ] {
        source.execute(sql).unwrap();
    }
    assert_eq!(changes(&mut source, "a", since), "U1 D2 D3 U4 U5 I10 D11 I12 I30");
    assert_eq!(state(&mut source).0, since + 14);
    assert_eq!(changes(&mut source, "a", since + 14), "");
    assert_eq!(
        changes(&mut source, "a", since + 4),
        "D2 D3 U4 U5 D11 I12 I30",
        "after the insert of 1 and 11"
    );
}

#[test]
fn what_is_rolled_back_leaves_no_trace() {
    let (_dir, mut source) = tracked();
    source.execute("INSERT INTO a VALUES (1, 1)").unwrap();
    let (before, _) = state(&mut source);
    let twice = [
        ("a", Change::Insert(vec![int(2), int(1)])),
        ("a", Change::Insert(vec![int(1), int(1)])),
    ];
    let error = source.transact(&twice).unwrap_err().to_string();
    assert!(
        error.contains("row with key 1: UNIQUE constraint failed"),
        "{error}"
    );
    source
        .execute("UPDATE a SET v = 5; INSERT INTO a VALUES (1, 1)")
        .unwrap_err();
    assert_eq!(rows(&mut source, "a"), "1=1");
    assert_eq!(changes(&mut source, "a", 0), "I1");
    source.execute("UPDATE a SET v = 2").unwrap();
    assert_eq!(
        state(&mut source).0,
        before + 1,
        "the next transaction takes the next number"
    );
}

#[test]
fn altering_is_no_tracked_change_and_keeps_rows() {
    let (_dir, mut source) = tracked();
    source.execute("INSERT INTO a VALUES (1, 1)").unwrap();
    let before = state(&mut source);
    let mut shape = pair("a");
    shape.columns.extend(
        table(
            "x",
            &[
                ("k", "int", false, ""),
                ("x_not", "nvarchar(9)", false, "default (N'it''s')"),
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
        "defaults as they were written"
    );
    assert_eq!(
        rows(&mut source, "a"),
        "1=1='it's'=NULL=1760-01-01 00:00:00.0000000"
    );
    assert_eq!(state(&mut source), before);
    assert_eq!(changes(&mut source, "a", before.0), "");
    // Widened, dropped, and tracked still.
    shape.columns[1].ty = ColumnType::BigInt;
    shape.columns[2].ty = ColumnType::parse("nvarchar(max)").unwrap();
    shape.columns.remove(3);
    source.alter_table(&shape).unwrap();
    assert_eq!(state(&mut source), before);
    assert_eq!(source.tables().unwrap(), [shape.clone()]);
    source.execute("UPDATE a SET v = 9223372036854775807").unwrap();
    assert_eq!(changes(&mut source, "a", before.0), "U1");
    // What does not fit is refused, and nothing has happened.
    let mut narrow = shape.clone();
    narrow.columns[1].ty = ColumnType::Int;
    let error = source.alter_table(&narrow).unwrap_err().to_string();
    assert!(
        error.ends_with("row with key 1, column `v`: `9223372036854775807` is out of range for type int"),
        "{error}"
    );
    let mut keyed = shape.clone();
    keyed.columns[0].ty = ColumnType::BigInt;
    assert!(source.alter_table(&keyed).is_err());
    assert_eq!(source.tables().unwrap(), [shape]);
    source.execute("UPDATE a SET v = 5").unwrap();
    assert_eq!(state(&mut source).0, before.0 + 2, "and still tracked");
}

#[test]
fn a_type_is_converted_where_every_value_can_be() {
    let dir = tempfile::tempdir().unwrap();
    let mut source = open(&dir);
    let shape = |ty: &str| table("t", &[("k", "nvarchar(5)", false, ""), ("c", ty, true, "")]);
    source.create_table(&shape("nvarchar(40)")).unwrap();
    source
        .execute("INSERT INTO t VALUES ('a', '2020-05-18 10:40:43.005'), ('b', NULL)")
        .unwrap();
    source.alter_table(&shape("datetime")).unwrap();
    let stored: String = source
        .connection
        .query_row("SELECT c FROM t", [], |r| r.get(0))
        .unwrap();
    assert_eq!(stored, "2020-05-18 10:40:43.007");
    source.alter_table(&shape("date")).unwrap();
    source.alter_table(&shape("nvarchar(20)")).unwrap();
    assert_eq!(rows(&mut source, "t"), "'a'='2020-05-18' 'b'=NULL");
    let error = source.alter_table(&shape("int")).unwrap_err().to_string();
    assert!(
        error.contains("row with key 'a', column `c`: `2020-05-18` is not a value of type int"),
        "{error}"
    );
    let mut not_null = shape("nvarchar(20)");
    not_null.columns[1].nullable = false;
    let error = source.alter_table(&not_null).unwrap_err().to_string();
    assert!(error.contains("NOT NULL constraint failed: t.c"), "{error}");
}

#[test]
fn dropping_a_table_drops_its_tracking() {
    let (_dir, mut source) = tracked();
    source.execute("INSERT INTO a VALUES (1, 1)").unwrap();
    let (version, _) = state(&mut source);
    source.drop_table("a").unwrap();
    source.create_table(&pair("a")).unwrap();
    assert_eq!(state(&mut source), (version, None));
    source.set_tracking("a", true).unwrap();
    assert_eq!(changes(&mut source, "a", 0), "");
    // The same by a person's own statements, and a table renamed.
    source
        .execute("DROP TABLE a; CREATE TABLE a (k int PRIMARY KEY, v int)")
        .unwrap();
    assert_eq!(state(&mut source).1, None);
    source.set_tracking("a", true).unwrap();
    source.execute("ALTER TABLE a RENAME TO c").unwrap();
    source.execute("INSERT INTO c VALUES (8, 8)").unwrap();
    assert_eq!(changes(&mut source, "c", 0), "I8");
}

#[test]
fn a_script_cannot_undo_what_tracking_stands_on() {
    let (_dir, mut source) = tracked();
    let before = state(&mut source);
    let mut said = String::new();
    for sql in [
        "BEGIN; INSERT INTO a VALUES (1, 1); COMMIT",
        "COMMIT",
        "ATTACH 'x' AS x",
        "PRAGMA recursive_triggers = OFF",
        "DELETE FROM mirrorlab_ct_changes",
        "UPDATE mirrorlab_ct_state SET version = 7",
        "DROP TABLE Mirrorlab_ct_commits",
        "CREATE TABLE t (a BLOB PRIMARY KEY)",
        "CREATE TABLE t (a int)",
        "INSERT INTO a VALUES (1, 'many')",
        "INSERT INTO a VALUES (1, 5000000000)",
        "INSERT INTO a VALUES (1, NULL), (1, NULL)",
        "SELECT * FROM nowhere",
        "nonsense",
    ] {
        let error = source.execute(sql).unwrap_err();
        assert_eq!(error.doing, "run a statement");
        said.push_str(&format!("{sql}\n    {}\n", error.why));
    }
    insta::assert_snapshot!(said);
    assert_eq!(state(&mut source), before);
    assert_eq!(source.tables().unwrap(), [pair("a")]);
    source.execute("SELECT 1; INSERT INTO a VALUES (1, 1)").unwrap();
    assert_eq!(changes(&mut source, "a", before.0), "I1");
}

#[test]
fn rows_that_sql_server_would_not_keep_are_refused() {
    let dir = tempfile::tempdir().unwrap();
    let mut source = open(&dir);
    let shape = table(
        "t",
        &[
            ("k", "int", false, ""),
            ("n", "nvarchar(2)", false, ""),
            ("d", "datetime", true, ""),
            ("m", "decimal(4,2)", true, ""),
            ("r", "real", true, ""),
        ],
    );
    source.create_table(&shape).unwrap();
    let good = vec![
        int(1),
        Value::Text("😀".into()),
        Value::Null,
        Value::Null,
        Value::Null,
    ];
    source.transact(&[("t", Change::Insert(good.clone()))]).unwrap();
    let read = |text: &'static str, ty: &str| Value::from_bare(text, ColumnType::parse(ty).unwrap()).unwrap();
    let mut said = String::new();
    for (at, value) in [
        (0, int(i64::MAX)),
        (0, Value::Null),
        (1, Value::Null),
        (1, Value::Text("😀b".into())),
        (1, int(5)),
        (2, read("2020-01-01 00:00:00.001", "datetime2(7)")),
        (2, read("1752-01-01", "date")),
        (3, read("1.234", "decimal(9,3)")),
        (3, read("123", "decimal(9,3)")),
        (4, Value::Float(0.1)),
        (4, Value::Float(f64::NAN)),
        (9, Value::Null),
    ] {
        let update = Change::Update(int(1), vec![(at, value)]);
        said.push_str(&source.transact(&[("t", update)]).unwrap_err().why);
        said.push('\n');
    }
    said.push_str(
        &source
            .transact(&[("t", Change::Insert(good[1..].to_vec()))])
            .unwrap_err()
            .why,
    );
    insta::assert_snapshot!(said);
}

#[test]
fn a_backup_holds_the_counter_and_a_restore_brings_it_back() {
    let (dir, mut source) = tracked();
    source.execute("INSERT INTO a VALUES (1, 1)").unwrap();
    source.backup("monday/../x").unwrap();
    let at_backup = state(&mut source);
    source.create_table(&pair("later")).unwrap();
    source
        .execute("INSERT INTO a VALUES (2, 2); DELETE FROM a WHERE k = 1")
        .unwrap();
    source.execute("UPDATE a SET v = 7").unwrap();
    assert_eq!(state(&mut source).0, at_backup.0 + 2);
    source.restore("monday/../x").unwrap();
    assert_eq!(state(&mut source), at_backup);
    assert_eq!(rows(&mut source, "a"), "1=1");
    assert_eq!(source.tables().unwrap(), [pair("a")]);
    source.execute("INSERT INTO a VALUES (3, 3)").unwrap();
    assert_eq!(changes(&mut source, "a", at_backup.0), "I3");
    // A later backup of the name takes the place of the older one; nothing else is left beside the file.
    source.backup("monday/../x").unwrap();
    source.execute("DELETE FROM a").unwrap();
    source.restore("monday/../x").unwrap();
    assert_eq!(rows(&mut source, "a"), "1=1 3=3");
    let error = source.restore("tuesday").unwrap_err().to_string();
    assert!(error.contains("there is no backup of that name"), "{error}");
    assert!(source.backup("").is_err());
    drop(source);
    let files: BTreeSet<String> = std::fs::read_dir(dir.path())
        .unwrap()
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .collect();
    assert_eq!(
        files.into_iter().collect::<Vec<_>>(),
        ["Cust10001.db", "Cust10001.monday%2F%2E%2E%2Fx.backup"]
    );
}

#[test]
fn what_another_program_writes_is_tracked_as_well() {
    let (dir, mut source) = tracked();
    let (version, _) = state(&mut source);
    let other = Connection::open(dir.path().join("Cust10001.db")).unwrap();
    other
        .execute_batch(
            "PRAGMA recursive_triggers = ON; INSERT INTO a VALUES (1, 1); INSERT INTO a VALUES (2, 2);",
        )
        .unwrap();
    assert_eq!(changes(&mut source, "a", version), "I1 I2");
    assert_eq!(
        state(&mut source).0,
        version + 1,
        "what lies between two of ours is one version"
    );
    other.execute_batch("DELETE FROM a WHERE k = 1").unwrap();
    source.execute("DELETE FROM a WHERE k = 2").unwrap();
    assert_eq!(state(&mut source).0, version + 3);
    assert_eq!(changes(&mut source, "a", version + 2), "D2");
}

#[test]
fn every_connection_sees_the_tables_as_they_are() {
    let (dir, mut source) = tracked();
    let mut other = open(&dir);
    assert_eq!(other.tables().unwrap(), [pair("a")]);
    source.set_tracking("a", false).unwrap();
    source.truncate("a").unwrap();
    source.create_table(&pair("b")).unwrap();
    source.set_tracking("b", true).unwrap();
    assert_eq!(other.tables().unwrap(), [pair("a"), pair("b")]);
    other.drop_table("A").unwrap();
    other.backup("without a").unwrap();
    // Refused in the middle: what was seen on the way is forgotten.
    source
        .execute("CREATE TABLE c (k int PRIMARY KEY); nonsense")
        .unwrap_err();
    other.create_table(&pair("d")).unwrap();
    assert_eq!(source.tables().unwrap(), [pair("b"), pair("d")]);
    source.set_tracking("d", true).unwrap();
    assert_eq!(source.tables().unwrap(), [pair("b"), pair("d")]);
    other.restore("without a").unwrap();
    assert_eq!(source.tables().unwrap(), [pair("b")]);
    let error = source.count("d").unwrap_err().to_string();
    assert!(
        error.ends_with("cannot count the rows of `d`: there is no table `d`"),
        "{error}"
    );
}
