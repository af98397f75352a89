//! Schema: tables made, changed in place, made anew, dropped; and text that is no schema.

use mirrorlab_protocol::names::Operation;
use mirrorlab_server::store::MirrorPlace;

use super::super::bench::Bench;
use super::super::check::{Check, Done, Stop, must, should};
use super::super::say::{self, Batch, TableSpec};
use super::PLAIN;

/// The types that extra tables may bring (SCHEMA-13), beside those that were seen.
const TYPES: [(&str, &str); 27] = [
    ("int", "int"),
    ("smallint", "smallint"),
    ("tinyint", "tinyint"),
    ("bigint", "bigint"),
    ("bit", "bit"),
    ("float", "float"),
    ("real", "real"),
    ("decimal", "decimal(18,2)"),
    ("decimal-widest", "decimal(38,10)"),
    ("money", "money"),
    ("smallmoney", "smallmoney"),
    ("datetime", "datetime"),
    ("smalldatetime", "smalldatetime"),
    ("datetime2", "datetime2(7)"),
    ("datetimeoffset", "datetimeoffset(7)"),
    ("date", "date"),
    ("time", "time(7)"),
    ("nvarchar", "nvarchar(4000)"),
    ("nvarchar-max", "nvarchar(max)"),
    ("varchar", "varchar(8000)"),
    ("nchar", "nchar(10)"),
    ("ntext", "ntext"),
    ("varbinary", "varbinary(8000)"),
    ("varbinary-max", "varbinary(max)"),
    ("binary", "binary(16)"),
    ("image", "image"),
    ("uniqueidentifier", "uniqueidentifier"),
];

/// Makes a table with a row at LSN 10, sends its new schema, and gives the LSN that is then answered.
fn changed(b: &mut Bench<'_>, old: &str, row: &[&str], new: &str) -> Done<(TableSpec, i64)> {
    let table = b.table("changing", old)?;
    b.rows(&[Batch::new(&table, 10).row("I", row)])?;
    let table = TableSpec::new("changing", new);
    let lsn = b.lsn(std::slice::from_ref(&table), "changing")?;
    Ok((table, lsn))
}

/// A change that keeps the rows.
fn in_place(
    id: &str,
    title: &str,
    rule: &'static str,
    columns: [&'static str; 2],
    rows: [&'static [&'static str]; 2],
) -> Check {
    must(format!("schema.{id}"), rule, title, move |b| {
        let (table, lsn) = changed(b, columns[0], rows[0], columns[1])?;
        if lsn == -1 {
            // Whoever makes the table anew and asks for its rows loses nothing.
            return Err(Stop::Skipped(
                "the table was made anew and answers -1, which is sound too".into(),
            ));
        }
        b.equal("the LSN", 10, lsn)?;
        b.holds(&table, &[rows[1]])?;
        // The new shape takes rows.
        b.rows(&[Batch::new(&table, 11).row("U", rows[1])])?;
        b.lsn_is(&[table], "changing", 11)
    })
}

/// A change that must not keep them.
fn anew(id: &str, title: &str, old: &'static str, row: &'static [&'static str], new: &'static str) -> Check {
    must(format!("schema.{id}"), "SCHEMA-08", title, move |b| {
        let (table, lsn) = changed(b, old, row, new)?;
        b.equal("the LSN", -1, lsn)?;
        b.holds(&table, &[])
    })
    .and(&["LSN-05"])
}

/// A schema that is refused, and changes nothing.
fn refused(
    id: &str,
    rule: &'static str,
    what: &'static str,
    tables: impl Fn(TableSpec) -> Vec<TableSpec> + Send + Sync + 'static,
) -> Check {
    must(
        format!("schema.{id}"),
        rule,
        format!("{what} is refused, and nothing changes"),
        move |b| {
            let good = b.table("good", PLAIN)?;
            b.rows(&[Batch::new(&good, 10).row("I", &["[I:1]", "kept"])])?;
            let said = b.call(
                Operation::TableSchema,
                &say::table_schema(None, &tables(good.clone())),
            )?;
            b.no(&said, what)?;
            b.holds(&good, &[&["[I:1]", "kept"]])?;
            b.lsn_is(&[good], "good", 10)
        },
    )
}

/// A bad column beside a good table.
fn bad_column(
    id: &str,
    rule: &'static str,
    what: &'static str,
    ty: &'static str,
    default: &'static str,
) -> Check {
    refused(id, rule, what, move |good| {
        let mut bad = TableSpec::new("bad", PLAIN);
        bad.columns[1].ty = ty.to_owned();
        bad.columns[1].default = default.to_owned();
        vec![good, bad]
    })
}

/// A name that SQL Server takes: the endpoint does too, and hurts no other table.
fn name(id: &str, title: &str, table: &'static str, column: &'static str) -> Check {
    must(format!("schema.{id}"), "SCHEMA-12", title, move |b| {
        let good = TableSpec::new("good", PLAIN);
        let mut odd = TableSpec::new(table, PLAIN);
        odd.columns[1].name = column.to_owned();
        let tables = [good.clone(), odd.clone()];
        b.schema(&tables)?;
        b.rows(&[
            Batch::new(&good, 10).row("I", &["[I:1]", "kept"]),
            Batch::new(&odd, 11).row("I", &["[I:1]", "odd"]),
        ])?;
        b.wipe(table)?;
        b.rows(&[Batch::new(&odd, 12).row("I", &["[I:2]", "again"])])?;
        b.holds(&good, &[&["[I:1]", "kept"]])?;
        b.holds(&odd, &[&["[I:2]", "again"]])?;
        b.lsn_is(&tables, "good", 10)?;
        b.lsn_is(&tables, table, 12)
    })
}

pub(super) fn checks() -> Vec<Check> {
    let mut checks = vec![
        must("schema.new-table", "LSN-05", "a new table answers -1", |b| {
            b.lsn_is(&[TableSpec::new("fresh", PLAIN)], "fresh", -1)
        })
        .and(&["LSN-04", "SCHEMA-07"]),
        must(
            "schema.unchanged",
            "SCHEMA-06",
            "an unchanged schema keeps rows and LSN",
            |b| {
                let (table, lsn) = changed(b, PLAIN, &["[I:1]", "a"], PLAIN)?;
                b.equal("the LSN", 10, lsn)?;
                b.holds(&table, &[&["[I:1]", "a"]])
            },
        ),
        must(
            "schema.letter-case",
            "SCHEMA-11",
            "other letter case is the same table and column",
            |b| {
                let (table, beside) = (TableSpec::new("Contact", PLAIN), TableSpec::new("Beside", PLAIN));
                b.schema(&[table.clone(), beside.clone()])?;
                b.rows(&[Batch::new(&table, 10).row("I", &["[I:1]", "a"])])?;
                let other = TableSpec::new("CONTACT", "ID int not null; V nvarchar(200) null");
                b.lsn_is(&[other.clone(), beside.clone()], "contact", 10)?;
                b.rows(&[Batch::new(&other, 11).row("U", &["[I:1]", "b"])])?;
                b.holds(&table, &[&["[I:1]", "b"]])?;
                b.lsn_is(&[table, beside], "contact", 11)
            },
        ),
        must(
            "schema.type-letter-case",
            "SCHEMA-12",
            "letter case and blanks of a type do not count",
            |b| {
                let (_, lsn) = changed(
                    b,
                    "id int not null; v nvarchar(10) null; m nvarchar(max) null",
                    &["[I:1]", "a", "b"],
                    "id INT not null; v NVarChar( 10 ) null; m nvarchar (MAX) null",
                )?;
                b.equal("the LSN", 10, lsn)
            },
        ),
        in_place(
            "new-nullable-column",
            "a new nullable column leaves rows NULL, default or not",
            "SCHEMA-16",
            [
                PLAIN,
                "id int not null; v nvarchar(200) null; n int null default ((7))",
            ],
            [&["[I:1]", "a"], &["[I:1]", "a", "~"]],
        ),
        in_place(
            "new-column-with-default",
            "a new NOT NULL column fills rows with its default",
            "SCHEMA-16",
            [
                PLAIN,
                "id int not null; v nvarchar(200) null; n int not null default ((7))",
            ],
            [&["[I:1]", "a"], &["[I:1]", "a", "[I:7]"]],
        ),
        in_place(
            "new-text-column-with-default",
            "a new NOT NULL text column fills rows with its default",
            "SCHEMA-16",
            [
                PLAIN,
                "id int not null; v nvarchar(200) null; n nvarchar(9) not null default (N'it''s')",
            ],
            [&["[I:1]", "a"], &["[I:1]", "a", "it's"]],
        ),
        in_place(
            "new-date-column-with-default",
            "a new NOT NULL date column fills rows with its default, written as N'…'",
            "SCHEMA-14",
            [
                PLAIN,
                "id int not null; v nvarchar(200) null; n datetime not null default (N'1760-01-01 00:00:00')",
            ],
            [
                &["[I:1]", "a"],
                &["[I:1]", "a", "[DT:01/01/1760 00:00:00.0000000]"],
            ],
        ),
        in_place(
            "dropped-column",
            "a column that is gone is dropped, and rows stay",
            "SCHEMA-07",
            ["id int not null; v nvarchar(200) null; n int null", PLAIN],
            [&["[I:1]", "a", "[I:5]"], &["[I:1]", "a"]],
        ),
        in_place(
            "widened-text",
            "a longer text column keeps rows",
            "SCHEMA-07",
            [
                "id int not null; v nvarchar(10) null",
                "id int not null; v nvarchar(300) null",
            ],
            [&["[I:1]", "a"], &["[I:1]", "a"]],
        ),
        in_place(
            "widened-integer",
            "a wider integer column keeps rows",
            "SCHEMA-07",
            ["id int not null; v smallint null", "id int not null; v int null"],
            [&["[I:1]", "[S:-7]"], &["[I:1]", "[I:-7]"]],
        ),
        in_place(
            "column-moved",
            "columns in another order keep rows, and cells go by the new order",
            "ROW-04",
            [
                "id int not null; a int null; c nvarchar(9) null",
                "id int not null; c nvarchar(9) null; a int null",
            ],
            [&["[I:1]", "[I:5]", "x"], &["[I:1]", "x", "[I:5]"]],
        ),
        must(
            "schema.now-nullable",
            "SCHEMA-07",
            "a column that may be NULL now keeps rows, and takes NULL",
            |b| {
                let new = "id int not null; v int null";
                let (table, lsn) = changed(b, "id int not null; v int not null", &["[I:1]", "[I:5]"], new)?;
                // Whoever makes the table anew and asks for its rows loses nothing.
                if lsn != -1 {
                    b.equal("the LSN", 10, lsn)?;
                    b.holds(&table, &[&["[I:1]", "[I:5]"]])?;
                }
                b.rows(&[Batch::new(&table, 11).row("U", &["[I:1]", "~"])])?;
                b.holds(&table, &[&["[I:1]", "~"]])?;
                b.lsn_is(&[table], "changing", 11)
            },
        ),
        anew(
            "text-into-date",
            "a text column that becomes a date asks for everything",
            PLAIN,
            &["[I:1]", "not a date"],
            "id int not null; v datetime null",
        ),
        anew(
            "integer-into-text",
            "an integer column that becomes text asks for everything",
            "id int not null; v int null",
            &["[I:1]", "[I:5]"],
            "id int not null; v nvarchar(20) null",
        ),
        anew(
            "narrowed-integer",
            "an integer column that gets narrower asks for everything",
            "id int not null; v int null",
            &["[I:1]", "[I:70000]"],
            "id int not null; v smallint null",
        ),
        anew(
            "other-key",
            "another first column is another key, and asks for everything",
            "id int not null; other int not null",
            &["[I:1]", "[I:5]"],
            "other int not null; id int not null",
        ),
        must(
            "schema.dropped-table",
            "SCHEMA-02",
            "a table that is no longer listed is dropped",
            |b| {
                let (stays, goes) = (TableSpec::new("stays", PLAIN), TableSpec::new("goes", PLAIN));
                b.schema(&[stays.clone(), goes.clone()])?;
                b.rows(&[
                    Batch::new(&stays, 10).row("I", &["[I:1]", "a"]),
                    Batch::new(&goes, 10).row("I", &["[I:1]", "a"]),
                ])?;
                b.schema(std::slice::from_ref(&stays))?;
                b.rows_refused(
                    &[Batch::new(&goes, 11).row("I", &["[I:2]", "b"])],
                    "rows of a table that was dropped",
                )?;
                // It comes back empty.
                b.lsn_is(&[stays.clone(), goes.clone()], "goes", -1)?;
                b.lsn_is(&[stays.clone(), goes.clone()], "stays", 10)?;
                b.holds(&goes, &[])?;
                b.holds(&stays, &[&["[I:1]", "a"]])
            },
        )
        .and(&["SCHEMA-01", "LSN-05"]),
        refused("empty-list", "SCHEMA-04", "an empty list of tables", |_| {
            Vec::new()
        }),
        refused("no-columns", "SCHEMA-10", "a table without columns", |good| {
            vec![good, TableSpec::new("bad", "")]
        }),
        refused("no-name", "SCHEMA-09", "a table without a name", |good| {
            vec![good, TableSpec::new("", PLAIN)]
        }),
        refused("no-column-name", "SCHEMA-09", "a column without a name", |good| {
            let mut bad = TableSpec::new("bad", PLAIN);
            bad.columns[1].name.clear();
            vec![good, bad]
        }),
        refused(
            "table-twice",
            "SCHEMA-11",
            "a table that is listed twice, in other letter case",
            |good| vec![good, TableSpec::new("twin", PLAIN), TableSpec::new("TWIN", PLAIN)],
        ),
        refused(
            "column-twice",
            "SCHEMA-11",
            "a column that stands twice, in other letter case",
            |good| {
                vec![
                    good,
                    TableSpec::new("bad", "id int not null; v int null; V int null"),
                ]
            },
        ),
        bad_column(
            "unknown-type",
            "SCHEMA-12",
            "a type that SQL Server has not",
            "varchar2(10)",
            "",
        ),
        bad_column("no-type", "SCHEMA-12", "a column without a type", "", ""),
        bad_column(
            "type-with-sql",
            "SCHEMA-12",
            "a type with SQL behind it",
            "int); DROP TABLE good; --",
            "",
        ),
        bad_column(
            "type-too-long",
            "SCHEMA-12",
            "a text column longer than SQL Server has",
            "nvarchar(4001)",
            "",
        ),
        bad_column(
            "default-with-sql",
            "SCHEMA-12",
            "a default with SQL behind it",
            "int",
            "default ((0)); DROP TABLE good; --",
        ),
        bad_column(
            "default-breaks-out",
            "SCHEMA-12",
            "a default that breaks out of its quotes",
            "nvarchar(20)",
            "default (N''); DROP TABLE good; --')",
        ),
        name(
            "quote-in-name",
            "quotes in a name are a name's characters",
            "o\"dd'`] name",
            "v\"al']ue",
        ),
        name(
            "sql-in-name",
            "SQL in a name is a name's text",
            "t; DROP TABLE good; --",
            "v); DELETE FROM good; --",
        ),
        name("reserved-name", "reserved words may be names", "order", "select"),
        name(
            "unicode-name",
            "names may hold any letter",
            "kundeåäö_顧客",
            "værdi_値",
        ),
        name(
            "extra-names",
            "extra tables are y_, extra columns x_",
            "y_car",
            "x_colour",
        ),
        name(
            "long-name",
            "names of 128 characters are taken",
            "n123456789n123456789n123456789n123456789n123456789n123456789n123456789n123456789n123456789n123456789n123456789n123456789n1234567",
            "c123456789c123456789c123456789c123456789c123456789c123456789c123456789c123456789c123456789c123456789c123456789c123456789c1234567",
        ),
        must(
            "schema.many-columns",
            "SCHEMA-09",
            "a table of 300 columns is taken",
            |b| {
                let columns: String = (0..299).map(|n| format!("; c{n} int null")).collect();
                let table = b.table("wide", &format!("id int not null{columns}"))?;
                let mut row = vec!["[I:1]".to_owned()];
                row.extend((0..299).map(|n| format!("[I:{n}]")));
                let row: Vec<&str> = row.iter().map(String::as_str).collect();
                b.rows(&[Batch::new(&table, 10).row("I", &row)])?;
                b.holds(&table, &[&row])?;
                b.lsn_is(&[table], "wide", 10)
            },
        ),
        must(
            "schema.seen-defaults",
            "SCHEMA-14",
            "every form of default that was seen is taken",
            |b| {
                let table = b.table(
                "defaults",
                "id int not null default ((-1)); a int not null default ((0)); t nvarchar(10) null default (N''); \
                 d datetime null default (N'1760-01-01 00:00:00'); e datetime not null default (N'17600101 00:00:00'); \
                 f float not null default ((0.5)); n nvarchar(10) null",
            )?;
                b.rows(&[Batch::new(&table, 10)])?;
                b.lsn_is(&[table], "defaults", 10)
            },
        ),
        must(
            "schema.half-dropped",
            "SCHEMA-05",
            "a call that drops most of twelve tables is either done or refused whole",
            |b| {
                let tables: Vec<TableSpec> =
                    (0..12).map(|n| TableSpec::new(&format!("t{n}"), PLAIN)).collect();
                b.schema(&tables)?;
                b.rows(&[Batch::new(&tables[0], 10), Batch::new(&tables[11], 10)])?;
                let said = b.call(Operation::TableSchema, &say::table_schema(None, &tables[..2]))?;
                let expected = match said.is_yes() {
                    true => -1,
                    false => {
                        b.no(&said, "a call that drops ten of twelve tables")?;
                        10
                    }
                };
                b.lsn_is(&tables, "t11", expected)?;
                b.lsn_is(&tables, "t0", 10)
            },
        ),
        should(
            "schema.one-column",
            "SCHEMA-10",
            "a table of its key alone is taken",
            |b| {
                let table = b.table("keys", "id int not null")?;
                b.rows(&[Batch::new(&table, 10).row("I", &["[I:1]"]).row("I", &["[I:2]"])])?;
                b.holds(&table, &[&["[I:1]"], &["[I:2]"]])
            },
        ),
        must(
            "schema.metadata",
            "SCHEMA-17",
            "the mirror has a table <context>_mirroring with tablename and LSN",
            |b| {
                let table = b.table("Told", PLAIN)?;
                b.rows(&[Batch::new(&table, 10)])?;
                let metadata = super::metadata(b);
                let sql = format!("SELECT LSN FROM {metadata} WHERE lower(tablename) = 'told'");
                let rows = super::by_hand(b, &[sql])?;
                let lsn = rows.first().and_then(|row| row.first()).cloned().flatten();
                let place = format!("the LSN in the metadata table {metadata}");
                b.equal(&place, Some("10".to_owned()), lsn)?;
                // It is a number (LSN-01), which an SQLite file need not keep as one; a text, too, would read 10 here.
                let context = b.context().to_owned();
                let mirrors = b.shared().mirror.as_ref();
                match mirrors.map(|mirrors| mirrors.place(&context)) {
                    Some(MirrorPlace::SqliteFile(_)) => {
                        let sql =
                            format!("SELECT typeof(LSN) FROM {metadata} WHERE lower(tablename) = 'told'");
                        let rows = super::by_hand(b, &[sql])?;
                        let kind = rows.first().and_then(|row| row.first()).cloned().flatten();
                        b.equal(&format!("what {place} is"), Some("integer".to_owned()), kind)
                    }
                    _ => Ok(()),
                }
            },
        )
        .with_mirror(),
        must(
            "schema.lsn-by-hand",
            "SCHEMA-18",
            "an LSN of -1 set by hand is answered",
            |b| {
                let table = b.table("told", PLAIN)?;
                b.rows(&[Batch::new(&table, 10).row("I", &["[I:1]", "a"])])?;
                super::by_hand(b, &[format!("UPDATE {} SET LSN = -1", super::metadata(b))])?;
                b.lsn_is(&[table], "told", -1)
            },
        )
        .with_mirror(),
        must(
            "schema.dropped-by-hand",
            "SCHEMA-18",
            "a table that was dropped by hand is made anew",
            |b| {
                let table = b.table("told", PLAIN)?;
                b.rows(&[Batch::new(&table, 10).row("I", &["[I:1]", "a"])])?;
                let metadata = super::metadata(b);
                let forget = format!("DELETE FROM {metadata} WHERE lower(tablename) = 'told'");
                super::by_hand(b, &[forget, "DROP TABLE told".into()])?;
                b.lsn_is(std::slice::from_ref(&table), "told", -1)?;
                b.rows(&[Batch::new(&table, 11).row("I", &["[I:2]", "b"])])?;
                b.holds(&table, &[&["[I:2]", "b"]])
            },
        )
        .with_mirror(),
        must(
            "schema.foreign-table",
            "SCHEMA-03",
            "a table that the endpoint did not make stays as it is",
            |b| {
                let table = b.table("own", PLAIN)?;
                let make = "CREATE TABLE partners_own (id int not null primary key, v nvarchar(200))";
                let fill = "INSERT INTO partners_own VALUES (1, 'theirs')";
                super::by_hand(b, &[make.into(), fill.into()])?;
                b.schema(&[table])?;
                let theirs = TableSpec::new("partners_own", PLAIN);
                b.holds(&theirs, &[&["[I:1]", "theirs"]])
            },
        )
        .with_mirror(),
        must(
            "schema.name-taken",
            "SCHEMA-03",
            "a table of the partner's own whose name is then listed is not replaced",
            |b| {
                let table = b.table("own", PLAIN)?;
                let make = "CREATE TABLE taken (id int not null primary key, v nvarchar(200))";
                let fill = "INSERT INTO taken VALUES (1, 'theirs')";
                super::by_hand(b, &[make.into(), fill.into()])?;
                let taken = TableSpec::new("taken", PLAIN);
                let tables = [table, taken.clone()];
                let said = b.call(Operation::TableSchema, &say::table_schema(None, &tables))?;
                b.no(&said, "TableSchema with a table that the endpoint did not make")?;
                b.holds(&taken, &[&["[I:1]", "theirs"]])
            },
        )
        .with_mirror(),
    ];
    for (id, ty) in TYPES {
        checks.push(must(
            format!("schema.type-{id}"),
            "SCHEMA-13",
            format!("a column of type {ty} is taken"),
            move |b| {
                let table = b.table("typed", &format!("id int not null; v {ty} null"))?;
                b.rows(&[Batch::new(&table, 10).row("I", &["[I:1]", "~"])])?;
                b.holds(&table, &[&["[I:1]", "~"]])?;
                b.lsn_is(&[table], "typed", 10)
            },
        ));
    }
    checks
}
