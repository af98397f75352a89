//! Each kind of difference is planted by literal SQL, and must be found, alone.

use std::collections::BTreeMap;

use proptest::prelude::*;
use rusqlite::Connection;

use super::output::Form;
use super::rows::order_values;
use super::*;

fn connection(sql: &str) -> Connection {
    let connection = Connection::open_in_memory().unwrap();
    connection.execute_batch(sql).unwrap();
    connection
}

fn side(name: &str, sql: &str) -> SqliteSide {
    SqliteSide::from_connection(name, connection(sql), Box::new(|t| !t.ends_with("_mirroring")))
}

fn compared_with(left: &str, right: &str, options: &Options) -> Report {
    compare(&mut side("source", left), &mut side("mirror", right), options).unwrap()
}

fn compared(left: &str, right: &str) -> Report {
    compared_with(left, right, &Options::default())
}

/// The findings alone, a line each.
fn lines(report: &Report) -> String {
    let lines: Vec<String> = report
        .findings
        .iter()
        .map(|f| format!("{}: {}", f.table, report.finding_text(f)))
        .collect();
    lines.join("\n")
}

const TYPES: &str = "CREATE TABLE t (id INTEGER NOT NULL PRIMARY KEY, i int, s smallint, b bigint, bo bit, f float, \
    r real, d decimal_text(10,2), m money_text, dt datetime, dt2 datetime2(7), dto datetimeoffset(7), da date, \
    ti time(7), n nvarchar(50), nm \"nvarchar(max)\", v \"varbinary(max)\", g uniqueidentifier);";
const ROW: &str = "INSERT INTO t VALUES (1, 5, 6, 7, 1, 0.1, 0.5, '1.50', '2.5000', '2020-05-18 10:40:43.007', \
    '2020-05-18 10:40:43.0000001', '2020-05-18 10:40:43.0000001 +02:00', '2020-05-18', '10:40:43.0000001', 'Ola', \
    'Kari', X'00FF', '6F9619FF-8B86-D011-B42D-00C04FC964FF');";

/// A table of every type on both sides; right then changed by `sql`.
fn planted(sql: &str) -> Report {
    let left = format!("{TYPES}{ROW}");
    compared(&left, &format!("{left}{sql}"))
}

#[test]
fn equal_is_equal() {
    let report = planted("");
    assert!(report.is_equal());
    assert_eq!((report.tables.len(), report.rows_compared()), (1, 1));
}

#[test]
fn the_smallest_change_of_each_type_is_found() {
    let mut found = Vec::new();
    for (column, value) in [
        ("i", "4"),
        ("s", "-6"),
        ("b", "8"),
        ("bo", "0"),
        ("f", "0.10000000000000002"),
        ("r", "0.50000006"),
        ("d", "'1.51'"),
        ("m", "'2.5001'"),
        ("dt", "'2020-05-18 10:40:43.010'"),
        ("dt2", "'2020-05-18 10:40:43.0000002'"),
        ("dto", "'2020-05-18 10:40:43.0000001 +02:01'"),
        ("dto", "'2020-05-18 10:40:43.0000002 +02:00'"),
        ("da", "'2020-05-19'"),
        ("ti", "'10:40:43.0000002'"),
        ("n", "'ola'"),
        ("n", "'Ola '"),
        ("n", "' Ola'"),
        ("n", "'Öla'"),
        ("n", "''"),
        ("n", "NULL"),
        ("nm", "CAST(X'4B617200' AS TEXT)"),
        ("nm", "'Karh'"),
        ("v", "X'00FE'"),
        ("v", "X'00FF00'"),
        ("v", "X''"),
        ("v", "NULL"),
        ("g", "'6F9619FF-8B86-D011-B42D-00C04FC964FE'"),
        ("i", "NULL"),
    ] {
        let report = planted(&format!("UPDATE t SET {column} = {value};"));
        assert_eq!(report.findings.len(), 1, "{column} = {value}");
        assert_eq!(report.findings[0].column.as_deref(), Some(column));
        assert_eq!(report.findings[0].kind, Kind::Cell);
        found.push(lines(&report));
    }
    insta::assert_snapshot!(found.join("\n"));
}

#[test]
fn texts_that_an_eye_confuses() {
    let pair = |a: &str, b: &str| {
        let row = |text: &str| {
            format!(
                "CREATE TABLE t (id INTEGER NOT NULL PRIMARY KEY, n nvarchar(99)); INSERT INTO t VALUES (1, {text});"
            )
        };
        lines(&compared(&row(a), &row(b)))
    };
    let found = [
        pair("''", "NULL"),
        pair("'a' || char(13) || 'b'", "'a' || char(10) || 'b'"),
        pair("'a' || char(13, 10) || 'b'", "'a' || char(10) || 'b'"),
        pair("CAST(X'610062' AS TEXT)", "CAST(X'610063' AS TEXT)"),
        pair("CAST(X'6100' AS TEXT)", "'a'"),
        pair("'a' || char(160)", "'a '"),
        pair("char(233)", "'e' || char(769)"),
        pair("char(1)", "char(2)"),
        pair("'[I:5]'", "'5'"),
        pair("char(128512)", "char(128513)"),
    ];
    insta::assert_snapshot!(found.join("\n"));
}

#[test]
fn values_that_are_none() {
    let report =
        planted("UPDATE t SET i = 'x', dt = '2020-13-01', n = X'C3', nm = CAST(X'C3' AS TEXT), g = 'no';");
    assert!(report.findings.iter().all(|f| f.kind == Kind::CellUnreadable));
    insta::assert_snapshot!(lines(&report), @"
    t: cell-unreadable  id=1 i: source 5, mirror the text 'x'; not a value of the column's type
    t: cell-unreadable  id=1 dt: source 2020-05-18 10:40:43.0070000, mirror the text '2020-13-01'; not a value of the column's type
    t: cell-unreadable  id=1 n: source 'Ola', mirror 1 bytes; not a value of the column's type
    t: cell-unreadable  id=1 nm: source 'Kari', mirror text that is not UTF-8; not a value of the column's type
    t: cell-unreadable  id=1 g: source 6F9619FF-8B86-D011-B42D-00C04FC964FF, mirror the text 'no'; not a value of the column's type
    ");
}

#[test]
fn one_bit_in_a_megabyte() {
    let blob = |at: usize| {
        format!(
            "CREATE TABLE t (id INTEGER NOT NULL PRIMARY KEY, v \"varbinary(max)\", n ntext);
            INSERT INTO t VALUES (1, CAST(replace(hex(zeroblob({at})), '00', 'a') || 'b' || \
            replace(hex(zeroblob({})), '00', 'a') AS BLOB), '');
            UPDATE t SET n = CAST(v AS TEXT);",
            1_048_575 - at
        )
    };
    let report = compared(&blob(1_000_000), &blob(1_000_001));
    insta::assert_snapshot!(lines(&report), @"
    t: cell             id=1 v: source …0x616161616161616161616161616161616261616161616161616161616161616161616161616161616161616161616161… (1048576 bytes), mirror …0x616161616161616161616161616161616162616161616161616161616161616161616161616161616161616161616161… (1048576 bytes); first difference at byte 1000001: 0x62 against 0x61
    t: cell             id=1 n: source …'aaaaaaaaaaaaaaaabaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa'… (1048576 characters), mirror …'aaaaaaaaaaaaaaaaabaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa'… (1048576 characters); first difference at character 1000001: U+0062 `b` against U+0061 `a`
    ");
}

#[test]
fn rows_missing_extra_and_twice() {
    let table = "CREATE TABLE t (id int NOT NULL, n nvarchar(9));";
    let report = compared(
        &format!("{table} INSERT INTO t VALUES (1, 'a'), (2, 'b'), (4, 'd'), (4, 'e'), (9, 'i');"),
        &format!("{table} INSERT INTO t VALUES (0, 'z'), (1, 'a'), (3, 'c'), (4, 'd'), (9, 'i'), (9, 'j');"),
    );
    insta::assert_snapshot!(lines(&report), @"
    t: row-extra        id=0: in mirror, not in source
    t: row-missing      id=2: in source, not in mirror
    t: row-extra        id=3: in mirror, not in source
    t: key-duplicate    id=4: more than once in source
    t: key-duplicate    id=9: more than once in mirror
    ");
    assert_eq!((report.tables[0].rows_left, report.tables[0].rows_right), (5, 6));
    assert_eq!(report.rows_compared(), 3);
}

#[test]
fn an_empty_side() {
    let table = "CREATE TABLE t (id int NOT NULL PRIMARY KEY);";
    let full = format!("{table} INSERT INTO t VALUES (1), (2);");
    assert_eq!(
        compared(&full, table).tables[0].findings,
        BTreeMap::from([(Kind::RowMissing, 2)])
    );
    assert_eq!(
        compared(table, &full).tables[0].findings,
        BTreeMap::from([(Kind::RowExtra, 2)])
    );
    assert!(compared(table, table).is_equal());
}

#[test]
fn schemas() {
    let left = "CREATE TABLE gone (id int NOT NULL PRIMARY KEY);
        CREATE TABLE t (id INTEGER NOT NULL PRIMARY KEY, a int, b nvarchar(9), c int NOT NULL DEFAULT 1, d datetime, \
            e float DEFAULT 0, f nvarchar(9) NULL DEFAULT 'x');
        CREATE TABLE k (a int NOT NULL, b int NOT NULL, PRIMARY KEY (a));
        CREATE TABLE typed (id int NOT NULL PRIMARY KEY);
        CREATE TABLE odd (id int NOT NULL PRIMARY KEY);
        INSERT INTO t VALUES (1, 1, '1', 1, NULL, 0, NULL);";
    let right = "CREATE TABLE Extra (id int NOT NULL PRIMARY KEY);
        CREATE TABLE T (ID INTEGER NOT NULL PRIMARY KEY, A nvarchar(9), b nvarchar(10), c int NULL DEFAULT 2, \
            e float DEFAULT 0.0, f nvarchar(9) NOT NULL, y int);
        CREATE TABLE k (a int NOT NULL, b int NOT NULL, PRIMARY KEY (a, b));
        CREATE TABLE typed (id nvarchar(5) NOT NULL PRIMARY KEY);
        CREATE TABLE odd (id int NOT NULL PRIMARY KEY, x BLOB);
        CREATE TABLE Cust1_mirroring (tablename nvarchar(128));
        INSERT INTO t VALUES (1, '1', '1', 1, 0, '', 0);";
    insta::assert_snapshot!(compared(left, right).text(), @r"
    Extra: 1 finding
      table-extra      in mirror, not in source
    gone: 1 finding
      table-missing    in source, not in mirror
    k: 1 finding
      key              source a, mirror a, b
    odd: 1 finding
      table-unreadable source readable, mirror not a SQL Server type: `x` is declared `BLOB`
    t: 9 findings; 1 row in source, 1 in mirror
      column-type      a: source int, mirror nvarchar(9)
      column-type      b: source nvarchar(9), mirror nvarchar(10)
      column-null      c: source NOT NULL, mirror NULL
      column-default   c: source default ((1)), mirror default ((2))
      column-missing   d: in source, not in mirror
      column-null      f: source NULL, mirror NOT NULL
      column-default   f: source default (N'x'), mirror none
      column-extra     y: in mirror, not in source
      cell             id=1 f: source NULL, mirror ''
    typed: 1 finding
      column-type      id: source int, mirror nvarchar(5)
    not compared:
      foreign keys, indexes, collations, schema prefixes: the protocol does not carry them, a mirror has none or its own
      views, triggers, check constraints, identity: they are the source's own means; their results are in the rows
      the columns' order, and the letter case of names: tables and columns are matched by name, as SQL Server does
      the sign of a zero in float columns: SQLite keeps none
      the rows of odd: its columns cannot be read
      the cells of t.a: they are int on one side and nvarchar(9) on the other
      the rows of typed: the key `id` is int on one side and nvarchar(5) on the other
    mirror differs from source: 14 findings (6 tables, 1 row compared)
    ");
}

#[test]
fn a_column_that_cannot_be_read_can_be_left_out() {
    let left = "CREATE TABLE t (id int NOT NULL PRIMARY KEY, n nvarchar(9), x BLOB); INSERT INTO t VALUES (1, 'Ola', x'00');
        CREATE TABLE u (x BLOB, n nvarchar(9)); CREATE TABLE v (n nvarchar(9), x BLOB PRIMARY KEY NOT NULL);";
    let right = "CREATE TABLE t (id int NOT NULL PRIMARY KEY, n nvarchar(9), y GEOMETRY); INSERT INTO t VALUES (1, 'Kari', 1);
        CREATE TABLE u (x BLOB, n nvarchar(9)); CREATE TABLE v (n nvarchar(9), x BLOB PRIMARY KEY NOT NULL);";
    let ignoring = |texts: &[&str]| Options {
        ignore: texts
            .iter()
            .map(|t| Ignore::parse(t, "asked for").unwrap())
            .collect(),
        ..Options::default()
    };
    // One side's is left out, the other's is not. A key cannot be.
    insta::assert_snapshot!(lines(&compared_with(left, right, &ignoring(&["t.x", "*.x"]))), @"
    t: table-unreadable source readable, mirror not a SQL Server type: `y` is declared `GEOMETRY`
    u: table-unreadable source not a SQL Server type: `x` is declared `BLOB`, mirror not a SQL Server type: `x` is declared `BLOB`
    v: table-unreadable source not a SQL Server type: `x` is declared `BLOB`, mirror not a SQL Server type: `x` is declared `BLOB`
    ");
    let report = compared_with(left, right, &ignoring(&["t.x", "t.Y", "u", "v"]));
    insta::assert_snapshot!(lines(&report), @"t: cell             id=1 n: source 'Ola', mirror 'Kari'; first difference at character 1: U+004F `O` against U+004B `K`");
    let said: Vec<&str> = report.not_compared.iter().map(|n| n.what.as_str()).collect();
    assert!(
        said.contains(&"column t.x") && said.contains(&"column t.y"),
        "{said:?}"
    );
    // Nor is it compared where only other columns are asked for.
    let only = Options {
        tables: Some(vec!["t".into()]),
        columns: Some(vec!["n".into()]),
        ..Options::default()
    };
    insta::assert_snapshot!(lines(&compared_with(left, right, &only)), @"t: cell             id=1 n: source 'Ola', mirror 'Kari'; first difference at character 1: U+004F `O` against U+004B `K`");
}

#[test]
fn keys_of_every_type_merge_in_their_order() {
    for (ty, keys) in [
        ("int", "(-5), (0), (3), (20), (100)"),
        ("bigint", "(-9223372036854775808), (9), (10)"),
        (
            "nvarchar(9)",
            "(''), ('B'), ('a'), ('a '), ('b'), ('é'), (char(65535)), (char(128512)), ('10'), ('9')",
        ),
        ("nvarchar(9) COLLATE NOCASE", "('B'), ('a'), ('C'), ('_')"),
        ("decimal_text(10,2)", "('10.00'), ('9.00'), ('-1.00'), ('0.50')"),
        ("float", "(1e300), (-1.5), (0.1), (2)"),
        (
            "datetime",
            "('1753-01-01 00:00:00.000'), ('9999-12-31 23:59:59.997'), ('2020-01-01 00:00:00.003')",
        ),
        (
            "uniqueidentifier",
            "('FF000000-0000-0000-0000-000000000000'), ('0A000000-0000-0000-0000-000000000000')",
        ),
        ("varbinary(9)", "(X''), (X'00'), (X'FF'), (X'7F00')"),
        (
            "datetimeoffset(3)",
            "('2020-01-01 00:00:00.000 +02:00'), ('2020-01-01 00:00:00.000 -02:00'), \
            ('2020-01-01 00:00:00.000 +00:30')",
        ),
        ("time(0)", "('23:00:00'), ('01:00:00')"),
    ] {
        let sql =
            format!("CREATE TABLE t (k {ty} NOT NULL PRIMARY KEY, n int); INSERT INTO t (k) VALUES {keys};");
        let report = compared(&sql, &sql);
        assert!(report.is_equal(), "{ty}: {}", report.text());
        assert_eq!(
            report.rows_compared(),
            keys.matches('(').count() as u64 - keys.matches("char(").count() as u64
        );
        let report = compared(&sql, &format!("{sql} DELETE FROM t WHERE rowid = 2;"));
        assert_eq!(
            report.tables[0].findings,
            BTreeMap::from([(Kind::RowMissing, 1)]),
            "{ty}"
        );
    }
}

#[test]
fn keys_of_two_columns() {
    let table = "CREATE TABLE t (n int, b nvarchar(9) NOT NULL, a int NOT NULL, PRIMARY KEY (a, b));";
    let left = format!("{table} INSERT INTO t VALUES (1, 'x', 1), (2, 'y', 1), (3, 'x', 2);");
    let report = compared(
        &left,
        &format!("{left} UPDATE t SET n = 5 WHERE b = 'y'; DELETE FROM t WHERE a = 2;"),
    );
    insta::assert_snapshot!(lines(&report), @"
    t: cell             a=1, b='y' n: source 2, mirror 5
    t: row-missing      a=2, b='x': in source, not in mirror
    ");
}

#[test]
fn a_broken_key_order_is_said() {
    // In a UTF-16 database SQLite's BINARY is not the order of code points.
    let table = "PRAGMA encoding = 'UTF-16le'; CREATE TABLE t (k nvarchar(9) NOT NULL PRIMARY KEY);
        INSERT INTO t VALUES ('a'), ('é'), (char(256));";
    let report = compared(table, table);
    assert!(!report.is_equal());
    insta::assert_snapshot!(report.text(), @"
    t: 2 findings; 2 rows in source, 2 in mirror
      key-order        k='a': in source after k='Ā'
      key-order        k='a': in mirror after k='Ā'
    not compared:
      foreign keys, indexes, collations, schema prefixes: the protocol does not carry them, a mirror has none or its own
      views, triggers, check constraints, identity: they are the source's own means; their results are in the rows
      the columns' order, and the letter case of names: tables and columns are matched by name, as SQL Server does
      the sign of a zero in float columns: SQLite keeps none
      further rows of t: the rows of one side do not come in key order
    mirror differs from source: 2 findings (1 table, 1 row compared)
    ");
}

#[test]
fn keys_that_are_none() {
    let table = "CREATE TABLE t (k int NOT NULL PRIMARY KEY); INSERT INTO t VALUES (1), (2);";
    let report = compared(table, &format!("{table} INSERT INTO t VALUES ('x');"));
    insta::assert_snapshot!(lines(&report), @"t: key-unreadable   in mirror: the text 'x'");
}

#[test]
fn only_what_was_asked_for() {
    let sql = "CREATE TABLE a (id int NOT NULL PRIMARY KEY, x int, y int); INSERT INTO a VALUES (1, 1, 1);
        CREATE TABLE b (id int NOT NULL PRIMARY KEY, x int); INSERT INTO b VALUES (1, 1);";
    let changed = format!("{sql} UPDATE a SET x = 2, y = 2; UPDATE b SET x = 2;");
    let with = |options: Options| lines(&compared_with(sql, &changed, &options));
    let only = |tables: &[&str]| Some(tables.iter().map(ToString::to_string).collect());
    assert_eq!(
        with(Options {
            tables: only(&["B"]),
            ..Options::default()
        })
        .lines()
        .count(),
        1
    );
    assert_eq!(
        with(Options {
            columns: only(&["Y"]),
            ..Options::default()
        })
        .lines()
        .count(),
        1
    );
    let ignore = |texts: &[&str]| Options {
        ignore: texts
            .iter()
            .map(|t| Ignore::parse(t, "asked for").unwrap())
            .collect(),
        ..Options::default()
    };
    assert_eq!(with(ignore(&["A"])).lines().count(), 1);
    assert_eq!(with(ignore(&["*.X"])).lines().count(), 1);
    assert_eq!(with(ignore(&["a.x", "a.Y", "b"])), "");
    let report = compared_with(sql, &changed, &ignore(&["a.x", "b"]));
    let said: Vec<&str> = report.not_compared.iter().map(|n| n.what.as_str()).collect();
    assert!(
        said.contains(&"column a.x") && said.contains(&"table b"),
        "{said:?}"
    );
    for bad in ["", ".x", "a.", "*"] {
        assert_eq!(Ignore::parse(bad, ""), None, "{bad}");
    }
    let unknown = |options| {
        compare(&mut side("source", sql), &mut side("mirror", sql), &options)
            .unwrap_err()
            .to_string()
    };
    insta::assert_snapshot!(unknown(Options { tables: only(&["c"]), ..Options::default() }), @"there is no table `c`, neither in source nor in mirror");
    insta::assert_snapshot!(unknown(Options { columns: only(&["z"]), ..Options::default() }), @"no compared table has a column `z`");
}

#[test]
fn many_findings_are_all_counted_and_few_kept() {
    let sql = |n: i64| {
        format!(
            "CREATE TABLE t (id INTEGER NOT NULL PRIMARY KEY, n int);
            WITH RECURSIVE s(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM s WHERE i < 1000)
            INSERT INTO t SELECT i, {n} FROM s;"
        )
    };
    let options = Options {
        findings_per_table_max: 3,
        ..Options::default()
    };
    let report = compared_with(
        &sql(1),
        &format!("{} DELETE FROM t WHERE id = 999;", sql(2)),
        &options,
    );
    assert_eq!(report.findings_count(), 1000);
    assert_eq!(report.findings.len(), 4, "three, and the first of a later kind");
    insta::assert_snapshot!(report.text(), @"
    t: 1000 findings; 1000 rows in source, 999 in mirror
      cell             id=1 n: source 1, mirror 2
      cell             id=2 n: source 1, mirror 2
      cell             id=3 n: source 1, mirror 2
      row-missing      id=999: in source, not in mirror
      … 996 more; in all: 1 row-missing, 999 cell
    not compared:
      foreign keys, indexes, collations, schema prefixes: the protocol does not carry them, a mirror has none or its own
      views, triggers, check constraints, identity: they are the source's own means; their results are in the rows
      the columns' order, and the letter case of names: tables and columns are matched by name, as SQL Server does
      the sign of a zero in float columns: SQLite keeps none
    mirror differs from source: 1000 findings (1 table, 999 rows compared)
    ");
}

#[test]
fn forms_for_programs() {
    let report = planted(
        "UPDATE t SET n = 'a,\"b\"' || char(10); DELETE FROM t WHERE 0; CREATE TABLE z (id int PRIMARY KEY);",
    );
    let form = |form| {
        let mut out = Vec::new();
        report.write(form, &mut out).unwrap();
        String::from_utf8(out).unwrap()
    };
    insta::assert_snapshot!(form(Form::JsonLines), @r#"
    {"record":"finding","kind":"cell","table":"t","key":"id=1","column":"n","left":"'Ola'","right":"'a,\"b\"\\n'","note":"first difference at character 1: U+004F `O` against U+0061 `a`"}
    {"record":"finding","kind":"table-extra","table":"z","key":null,"column":null,"left":null,"right":null,"note":null}
    {"record":"table","name":"t","rows_left":1,"rows_right":1,"rows_compared":1,"compared":"streamed","findings":{"cell":1}}
    {"record":"table","name":"z","rows_left":0,"rows_right":0,"rows_compared":0,"compared":"streamed","findings":{"table-extra":1}}
    {"record":"not-compared","what":"foreign keys, indexes, collations, schema prefixes","why":"the protocol does not carry them, a mirror has none or its own"}
    {"record":"not-compared","what":"views, triggers, check constraints, identity","why":"they are the source's own means; their results are in the rows"}
    {"record":"not-compared","what":"the columns' order, and the letter case of names","why":"tables and columns are matched by name, as SQL Server does"}
    {"record":"not-compared","what":"the sign of a zero in float columns","why":"SQLite keeps none"}
    {"record":"summary","left":"source","right":"mirror","equal":false,"tables":2,"rows_compared":1,"findings":2}
    "#);
    insta::assert_snapshot!(form(Form::Csv).replace("\r\n", "⏎\n"), @r#"
    kind,table,key,column,left,right,note⏎
    cell,t,id=1,n,'Ola',"'a,""b""\n'",first difference at character 1: U+004F `O` against U+0061 `a`⏎
    table-extra,z,,,,,⏎
    "#);
}

#[test]
fn one_bit_in_one_cell_of_one_row_among_a_million() {
    let sql = "CREATE TABLE t (id INTEGER NOT NULL PRIMARY KEY, n nvarchar(20), f float);
        WITH RECURSIVE s(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM s WHERE i < 1000000)
        INSERT INTO t SELECT i, 'row ' || i, i * 0.1 FROM s;";
    // 'row 654321' to 'row 654320': the last bit of the last character.
    let report = compared(
        sql,
        &format!("{sql} UPDATE t SET n = 'row 654320' WHERE id = 654321;"),
    );
    assert_eq!(report.rows_compared(), 1_000_000);
    insta::assert_snapshot!(lines(&report), @"t: cell             id=654321 n: source 'row 654321', mirror 'row 654320'; first difference at character 10: U+0031 `1` against U+0030 `0`");
}

#[test]
fn one_moment_of_a_file_that_is_being_written() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("a.db");
    let writer = Connection::open(&path).unwrap();
    writer
        .execute_batch(
            "PRAGMA journal_mode = WAL; CREATE TABLE t (id int NOT NULL PRIMARY KEY); INSERT INTO t VALUES (1);",
        )
        .unwrap();
    let open = || SqliteSide::open("file", &path, Box::new(|_| true)).unwrap();
    let mut early = open();
    early.tables().unwrap();
    writer.execute_batch("INSERT INTO t VALUES (2);").unwrap();
    let report = compare(&mut early, &mut open(), &Options::default()).unwrap();
    assert_eq!((report.tables[0].rows_left, report.tables[0].rows_right), (1, 2));
    let refused = open()
        .connection()
        .execute_batch("INSERT INTO t VALUES (3)")
        .unwrap_err();
    assert!(refused.to_string().contains("readonly"), "{refused}");
    drop((writer, early));
    assert!(
        compare(&mut open(), &mut open(), &Options::default())
            .unwrap()
            .is_equal()
    );
    let left: Vec<_> = std::fs::read_dir(dir.path())
        .unwrap()
        .map(|e| e.unwrap().file_name())
        .collect();
    assert_eq!(left, ["a.db"], "no write-ahead log is left beside it");
}

#[test]
fn files_that_cannot_be_read() {
    let dir = tempfile::tempdir().unwrap();
    let text = dir.path().join("text.db");
    std::fs::write(
        &text,
        "this is no database, though it is long enough to be looked at by SQLite as one of its own",
    )
    .unwrap();
    let error = |path: &std::path::Path| {
        let error = SqliteSide::open("left", path, Box::new(|_| true)).err().unwrap();
        error
            .to_string()
            .replace(&dir.path().display().to_string(), "DIR")
    };
    insta::assert_snapshot!(error(&text), @"cannot read left (DIR/text.db): it is not a SQLite database (file is not a database)");
    insta::assert_snapshot!(error(&dir.path().join("none.db")), @"cannot read left (DIR/none.db): there is no such file");
    insta::assert_snapshot!(error(dir.path()), @"cannot read left (DIR): it is a directory, not a database file");
    assert!(!dir.path().join("none.db").exists());
}

/// A cell of the random tables: its column's type, and how SQL writes it.
fn cell(column: usize) -> BoxedStrategy<String> {
    let hex = |bytes: Vec<u8>| bytes.iter().map(|b| format!("{b:02X}")).collect::<String>();
    let text = move |text: String| format!("CAST(X'{}' AS TEXT)", hex(text.into_bytes()));
    let value = match column {
        1 => any::<i32>().prop_map(|x| x.to_string()).boxed(),
        2 => prop_oneof!["[ -~]{0,5}", "\\PC{0,3}", "[\\x00-\\x1f]{0,3}"]
            .prop_map(text)
            .boxed(),
        // SQLite keeps no sign on a zero: its blind spot, said in every report.
        3 => any::<f64>()
            .prop_filter("finite, no zero", |x| x.is_finite() && *x != 0.0)
            .prop_map(|x| format!("{x:e}"))
            .boxed(),
        _ => proptest::collection::vec(any::<u8>(), 0..5)
            .prop_map(move |b| format!("X'{}'", hex(b)))
            .boxed(),
    };
    prop_oneof![1 => Just("NULL".to_owned()), 4 => value].boxed()
}

fn row() -> impl Strategy<Value = Vec<String>> {
    (1..=4).map(cell).collect::<Vec<_>>()
}

fn table_sql(rows: &BTreeMap<i32, Vec<String>>) -> String {
    let mut sql = "CREATE TABLE t (id INTEGER NOT NULL PRIMARY KEY, c1 int, c2 nvarchar(9), c3 float, \
        c4 \"varbinary(max)\");"
        .to_owned();
    for (key, row) in rows {
        sql.push_str(&format!("INSERT INTO t VALUES ({key}, {});", row.join(", ")));
    }
    sql
}

#[derive(Debug, Clone)]
enum Mutation {
    Cell(usize, usize, String),
    Delete(usize),
    Insert(i32, Vec<String>),
}

fn mutation() -> impl Strategy<Value = Mutation> {
    prop_oneof![
        3 => (any::<usize>(), 1usize..=4).prop_flat_map(|(at, column)| {
            cell(column).prop_map(move |value| Mutation::Cell(at, column, value))
        }),
        1 => any::<usize>().prop_map(Mutation::Delete),
        1 => (any::<i32>(), row()).prop_map(|(key, row)| Mutation::Insert(key, row)),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(128))]

    #[test]
    fn one_mutation_is_one_finding_and_none_is_none(
        rows in proptest::collection::btree_map(any::<i32>(), row(), 1..30),
        mutation in mutation(),
    ) {
        let mut changed = rows.clone();
        let key_at = |at: usize| *rows.keys().nth(at % rows.len()).unwrap();
        let expected = match mutation {
            Mutation::Cell(at, column, value) => {
                let key = key_at(at);
                let cell = &mut changed.get_mut(&key).unwrap()[column - 1];
                prop_assume!(*cell != value);
                *cell = value;
                (Kind::Cell, key, Some(format!("c{column}")))
            }
            Mutation::Delete(at) => {
                changed.remove(&key_at(at));
                (Kind::RowMissing, key_at(at), None)
            }
            Mutation::Insert(key, row) => {
                prop_assume!(changed.insert(key, row).is_none());
                (Kind::RowExtra, key, None)
            }
        };
        let (left, right) = (table_sql(&rows), table_sql(&changed));
        prop_assert!(compared(&left, &left).is_equal());
        prop_assert!(compared(&right, &right).is_equal());
        let report = compared(&left, &right);
        prop_assert_eq!(report.findings.len(), 1, "{}", report.text());
        let found = &report.findings[0];
        prop_assert_eq!(&(found.kind, found.key.clone(), found.column.clone()),
            &(expected.0, Some(format!("id={}", expected.1)), expected.2));
    }

    #[test]
    fn the_key_order_is_an_order(a: i64, b: i64, x in "\\PC{0,4}", y in "\\PC{0,4}") {
        use mirrorlab_protocol::value::Value;
        let (a, b) = (Value::Int(a), Value::Int(b));
        prop_assert_eq!(order_values(&a, &b), order_values(&b, &a).reverse());
        let (x, y) = (Value::Text(x.into()), Value::Text(y.into()));
        prop_assert_eq!(order_values(&x, &y), order_values(&y, &x).reverse());
        prop_assert_eq!(order_values(&x, &y).is_eq(), x == y);
        prop_assert_eq!(order_values(&Value::Null, &x), std::cmp::Ordering::Less);
    }
}
