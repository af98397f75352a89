use std::collections::BTreeSet;

use mirrorlab_protocol::types::ColumnType;

use super::*;
use crate::source::testing::{BODIES, Bench, changes, int, pair, rows, state, table};

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

#[test]
fn a_row_that_is_replaced_is_an_update() {
    let (_dir, mut source) = tracked();
    source.execute("INSERT INTO a VALUES (5, 0)").unwrap();
    let (since, _) = state(&mut source);
    source.execute("INSERT OR REPLACE INTO a VALUES (5, 5)").unwrap();
    assert_eq!(changes(&mut source, "a", since), "U5");
    assert_eq!(state(&mut source).0, since + 1);
}

#[test]
fn what_cannot_be_done_names_the_row() {
    let (_dir, mut source) = tracked();
    let twice = [
        ("a", Change::Insert(vec![int(1), int(1)])),
        ("a", Change::Insert(vec![int(1), int(1)])),
    ];
    let error = source.transact(&twice).unwrap_err().to_string();
    assert!(
        error.contains("row with key 1: UNIQUE constraint failed"),
        "{error}"
    );
    let wide = |ty| table("a", &[("k", "int", false, ""), ("v", ty, true, "")]);
    source.alter_table(&wide("bigint")).unwrap();
    source
        .execute("INSERT INTO a VALUES (1, 9223372036854775807)")
        .unwrap();
    let error = source.alter_table(&wide("int")).unwrap_err().to_string();
    assert!(
        error.ends_with("row with key 1, column `v`: `9223372036854775807` is out of range for type int"),
        "{error}"
    );
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
fn backups_lie_beside_the_file_under_names_that_any_system_takes() {
    let (dir, mut source) = tracked();
    source.backup("monday/../x").unwrap();
    source.backup("monday/../x").unwrap();
    source.restore("monday/../x").unwrap();
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
fn what_another_program_writes_between_two_of_ours_is_one_version() {
    let (dir, mut source) = tracked();
    let (version, _) = state(&mut source);
    File(dir).foreign("INSERT INTO a VALUES (1, 1); INSERT INTO a VALUES (2, 2)");
    assert_eq!(state(&mut source).0, version + 1);
    source.execute("DELETE FROM a WHERE k = 2").unwrap();
    assert_eq!(state(&mut source).0, version + 2);
}

#[test]
fn every_connection_sees_a_restored_source() {
    let (dir, mut source) = tracked();
    let mut other = open(&dir);
    other.backup("with a alone").unwrap();
    source.create_table(&pair("d")).unwrap();
    assert_eq!(other.tables().unwrap(), [pair("a"), pair("d")]);
    other.restore("with a alone").unwrap();
    assert_eq!(source.tables().unwrap(), [pair("a")]);
}
