//! Values: every form that a type's cells may have, and what it cannot hold.

use super::super::bench::Bench;
use super::super::check::{Check, Done, must, should};
use super::super::pairwise::pairwise;
use super::super::say::{self, Batch};

/// Id, rule, type, cell, and the cell that stands for what is then in the mirror.
type Taken = (
    &'static str,
    &'static str,
    &'static str,
    &'static str,
    &'static str,
);

const TAKEN: [Taken; 72] = [
    ("int", "VALUE-02", "int", "[I:135]", "135"),
    ("int-lowest", "VALUE-02", "int", "[I:-2147483648]", "-2147483648"),
    ("int-highest", "VALUE-02", "int", "[I:2147483647]", "2147483647"),
    ("int-bare", "VALUE-10", "int", "135", "135"),
    ("int-as-long", "VALUE-11", "int", "[L:135]", "135"),
    ("int-as-short", "VALUE-11", "int", "[S:135]", "135"),
    ("smallint", "VALUE-02", "smallint", "[S:0]", "0"),
    ("smallint-lowest", "VALUE-02", "smallint", "[S:-32768]", "-32768"),
    ("smallint-as-int", "VALUE-11", "smallint", "[I:7]", "7"),
    ("smallint-bare", "VALUE-10", "smallint", "7", "7"),
    ("tinyint", "VALUE-09", "tinyint", "[I:255]", "255"),
    (
        "bigint",
        "VALUE-09",
        "bigint",
        "[L:9223372036854775807]",
        "9223372036854775807",
    ),
    (
        "bigint-lowest",
        "VALUE-09",
        "bigint",
        "[L:-9223372036854775808]",
        "-9223372036854775808",
    ),
    (
        "bigint-as-int",
        "VALUE-09",
        "bigint",
        "[I:9007199254740993]",
        "9007199254740993",
    ),
    ("bit-one", "VALUE-09", "bit", "[I:1]", "1"),
    ("bit-zero", "VALUE-09", "bit", "[I:0]", "0"),
    ("bit-true", "VALUE-09", "bit", "True", "1"),
    ("bit-false", "VALUE-09", "bit", "False", "0"),
    ("float", "VALUE-05", "float", "[F:123.4]", "123.4"),
    ("float-exponent", "VALUE-05", "float", "[F:1E+21]", "1E+21"),
    ("float-smallest", "VALUE-05", "float", "[F:5E-324]", "5E-324"),
    (
        "float-largest",
        "VALUE-05",
        "float",
        "[F:-1.7976931348623157E+308]",
        "-1.7976931348623157E+308",
    ),
    (
        "float-17-digits",
        "VALUE-05",
        "float",
        "[F:0.30000000000000004]",
        "0.30000000000000004",
    ),
    ("float-bare", "VALUE-10", "float", "-0.5", "-0.5"),
    ("float-as-int", "VALUE-11", "float", "[I:3]", "3"),
    ("real", "VALUE-05", "real", "[F:1.5]", "1.5"),
    ("decimal", "VALUE-07", "decimal(18,2)", "[F:123.45]", "123.45"),
    (
        "decimal-as-money",
        "VALUE-07",
        "decimal(18,2)",
        "[M:123.45]",
        "123.45",
    ),
    (
        "decimal-widest",
        "VALUE-07",
        "decimal(38,2)",
        "[F:123456789012345678901234567890123456.78]",
        "123456789012345678901234567890123456.78",
    ),
    ("decimal-rounded", "VALUE-14", "decimal(9,2)", "[F:0.125]", "0.13"),
    ("money", "VALUE-07", "money", "[M:123.4567]", "123.4567"),
    (
        "money-as-float",
        "VALUE-07",
        "money",
        "[F:-922337203685477.5808]",
        "-922337203685477.5808",
    ),
    (
        "datetime",
        "VALUE-03",
        "datetime",
        "[DT:05/18/2020 10:40:43.0000000]",
        "05/18/2020 10:40:43.0000000",
    ),
    (
        "datetime-no-date",
        "VALUE-17",
        "datetime",
        "[DT:01/01/1760 00:00:00.0000000]",
        "01/01/1760 00:00:00.0000000",
    ),
    (
        "datetime-first",
        "VALUE-14",
        "datetime",
        "[DT:01/01/1753 00:00:00.0000000]",
        "01/01/1753 00:00:00.0000000",
    ),
    (
        "datetime-last",
        "VALUE-14",
        "datetime",
        "[DT:12/31/9999 23:59:59.9970000]",
        "12/31/9999 23:59:59.9970000",
    ),
    (
        "datetime-rounded",
        "VALUE-14",
        "datetime",
        "[DT:05/18/2020 10:40:43.0050000]",
        "05/18/2020 10:40:43.0070000",
    ),
    (
        "datetime-day-alone",
        "VALUE-11",
        "datetime",
        "[D:05/18/2020]",
        "05/18/2020 00:00:00.0000000",
    ),
    (
        "datetime-bare",
        "VALUE-10",
        "datetime",
        "05/18/2020 10:40:43.0000000",
        "05/18/2020 10:40:43.0000000",
    ),
    (
        "datetime2",
        "VALUE-03",
        "datetime2(7)",
        "[DT:01/01/0001 00:00:00.1234567]",
        "01/01/0001 00:00:00.1234567",
    ),
    (
        "smalldatetime",
        "VALUE-14",
        "smalldatetime",
        "[DT:05/18/2020 10:40:43.0000000]",
        "05/18/2020 10:41:00.0000000",
    ),
    (
        "datetimeoffset",
        "VALUE-09",
        "datetimeoffset(7)",
        "[DT:05/18/2020 10:40:43.0000000 +02:00]",
        "05/18/2020 10:40:43.0000000 +02:00",
    ),
    ("date", "VALUE-08", "date", "[D:05/18/2020]", "05/18/2020"),
    (
        "date-as-datetime",
        "VALUE-08",
        "date",
        "[DT:05/18/2020 00:00:00.0000000]",
        "05/18/2020",
    ),
    ("time", "VALUE-08", "time(7)", "[T:14:52]", "14:52"),
    (
        "time-as-datetime",
        "VALUE-08",
        "time(7)",
        "[DT:01/01/1900 14:52:43.1234567]",
        "14:52:43.1234567",
    ),
    (
        "guid",
        "VALUE-09",
        "uniqueidentifier",
        "6F9619FF-8B86-D011-B42D-00C04FC964FF",
        "6F9619FF-8B86-D011-B42D-00C04FC964FF",
    ),
    (
        "guid-lower-case",
        "VALUE-09",
        "uniqueidentifier",
        "6f9619ff-8b86-d011-b42d-00c04fc964ff",
        "6F9619FF-8B86-D011-B42D-00C04FC964FF",
    ),
    (
        "binary",
        "VALUE-06",
        "varbinary(max)",
        "[B:AAECAwT/]",
        "[B:AAECAwT/]",
    ),
    ("binary-none", "VALUE-06", "varbinary(max)", "[B:]", "[B:]"),
    (
        "binary-white-space",
        "VALUE-06",
        "varbinary(max)",
        "[B:AAEC\r\n  AwT/]",
        "[B:AAECAwT/]",
    ),
    (
        "binary-bare",
        "VALUE-10",
        "varbinary(max)",
        "AAECAwT/",
        "[B:AAECAwT/]",
    ),
    ("image", "VALUE-06", "image", "[B:/9j/4A==]", "[B:/9j/4A==]"),
    ("text", "VALUE-04", "nvarchar(200)", "plain", "plain"),
    ("text-empty", "MSG-08", "nvarchar(200)", "", ""),
    ("text-like-int", "VALUE-01", "nvarchar(200)", "[I:5]", "[I:5]"),
    ("text-like-binary", "VALUE-01", "ntext", "[B:AAEC]", "[B:AAEC]"),
    (
        "text-blanks-kept",
        "MSG-09",
        "nvarchar(200)",
        "  two before, two behind  ",
        "  two before, two behind  ",
    ),
    ("text-only-blanks", "MSG-09", "nvarchar(200)", "   ", "   "),
    ("text-tab-and-lf", "MSG-09", "nvarchar(200)", "a\tb\nc", "a\tb\nc"),
    ("text-cr", "MSG-09", "nvarchar(200)", "a\r\nb\rc", "a\r\nb\rc"),
    (
        "text-control",
        "MSG-09",
        "nvarchar(200)",
        "a\u{1}b\u{b}c\u{1f}",
        "a\u{1}b\u{b}c\u{1f}",
    ),
    (
        "text-no-character",
        "MSG-09",
        "nvarchar(200)",
        "a\u{fffe}b\u{ffff}",
        "a\u{fffe}b\u{ffff}",
    ),
    (
        "text-last-character",
        "MSG-09",
        "nvarchar(200)",
        "a\u{10ffff}b\u{10f000}c",
        "a\u{10ffff}b\u{10f000}c",
    ),
    (
        "text-other-line-ends",
        "MSG-09",
        "nvarchar(200)",
        "a\u{85}b\u{2028}c\u{2029}d\u{7f}\u{9f}",
        "a\u{85}b\u{2028}c\u{2029}d\u{7f}\u{9f}",
    ),
    (
        "text-combining",
        "VALUE-04",
        "nvarchar(200)",
        "e\u{301} u\u{308}",
        "e\u{301} u\u{308}",
    ),
    ("text-word-null", "MSG-08", "nvarchar(200)", "null", "null"),
    (
        "text-markup",
        "VALUE-04",
        "nvarchar(200)",
        "<b>&amp;</b> ]]> 'q' \"p\"",
        "<b>&amp;</b> ]]> 'q' \"p\"",
    ),
    (
        "text-scripts",
        "VALUE-04",
        "nvarchar(200)",
        "æøå ß Ж 日本語 עברית",
        "æøå ß Ж 日本語 עברית",
    ),
    ("text-emoji", "VALUE-15", "nvarchar(4)", "😀👍", "😀👍"),
    (
        "text-sql",
        "VALUE-04",
        "nvarchar(200)",
        "'); DROP TABLE cells; --",
        "'); DROP TABLE cells; --",
    ),
    (
        "text-replacement",
        "MSG-12",
        "nvarchar(200)",
        "half \u{fffd} pair",
        "half \u{fffd} pair",
    ),
];

/// Id, rule, type, cell.
const REFUSED: [(&str, &str, &str, &str); 25] = [
    ("int-text", "VALUE-12", "int", "twelve"),
    ("int-too-large", "VALUE-14", "int", "[I:2147483648]"),
    ("int-fraction", "VALUE-12", "int", "[I:1.5]"),
    ("int-as-float", "VALUE-11", "int", "[F:1]"),
    (
        "int-as-date",
        "VALUE-11",
        "int",
        "[DT:05/18/2020 10:40:43.0000000]",
    ),
    ("smallint-too-large", "VALUE-14", "smallint", "[S:32768]"),
    ("tinyint-negative", "VALUE-14", "tinyint", "[I:-1]"),
    (
        "bigint-too-large",
        "VALUE-14",
        "bigint",
        "[L:9223372036854775808]",
    ),
    ("bit-text", "VALUE-12", "bit", "perhaps"),
    ("float-nan", "VALUE-16", "float", "[F:NaN]"),
    ("float-infinity", "VALUE-16", "float", "[F:Infinity]"),
    ("float-symbol", "VALUE-16", "float", "[F:∞]"),
    ("float-comma", "VALUE-05", "float", "[F:123,4]"),
    ("float-too-large", "VALUE-14", "float", "[F:1E+400]"),
    ("decimal-too-large", "VALUE-14", "decimal(5,2)", "[F:1000]"),
    (
        "datetime-month-13",
        "VALUE-03",
        "datetime",
        "[DT:13/18/2020 10:40:43.0000000]",
    ),
    (
        "datetime-too-early",
        "VALUE-14",
        "datetime",
        "[DT:12/31/1752 00:00:00.0000000]",
    ),
    (
        "datetime-30-february",
        "VALUE-03",
        "datetime",
        "[DT:02/30/2020 10:40:43.0000000]",
    ),
    ("datetime-text", "VALUE-12", "datetime", "yesterday"),
    ("date-as-int", "VALUE-11", "date", "[I:5]"),
    ("guid-short", "VALUE-12", "uniqueidentifier", "6F9619FF-8B86"),
    ("binary-broken", "VALUE-06", "varbinary(max)", "[B:AAEC*]"),
    ("binary-too-long", "VALUE-14", "varbinary(2)", "[B:AAEC]"),
    ("text-too-long", "VALUE-15", "nvarchar(3)", "four"),
    ("text-too-long-by-half", "VALUE-15", "nvarchar(3)", "😀😀"),
];

fn taken((id, rule, ty, cell, kept): Taken) -> Check {
    let shown = mirrorlab_protocol::excerpt(cell);
    must(
        format!("values.{id}"),
        rule,
        format!("{ty} takes `{shown}`"),
        move |b| {
            let table = b.table("cells", &format!("id int not null; v {ty} null"))?;
            b.rows(&[Batch::new(&table, 10).row("I", &["[I:1]", cell])])?;
            b.holds(&table, &[&["[I:1]", kept]])?;
            b.lsn_is(&[table], "cells", 10)
        },
    )
}

/// Texts of control characters, a row each: they arrive as they are.
fn controls(b: &mut Bench<'_>, texts: &[String]) -> Done {
    let table = b.table("cells", "id int not null; v nvarchar(200) null")?;
    let rows: Vec<Vec<say::Cell>> = texts
        .iter()
        .enumerate()
        .map(|(at, text)| vec![Some(format!("[I:{}]", at + 1)), Some(text.clone())])
        .collect();
    let batch = rows.iter().fold(Batch::new(&table, 10), |batch, row| {
        batch.row_of("I", row.clone())
    });
    b.rows(&[batch])?;
    b.holds_cells(&table, &rows)?;
    b.lsn_is(&[table], "cells", 10)
}

/// Alone in its cell a control character is what trims and emptiness are tried on.
fn lone_controls() -> Check {
    must(
        "values.text-lone-control",
        "MSG-09",
        "nvarchar takes each control character alone, U+0001 to U+001F",
        |b| {
            let texts: Vec<String> = ('\u{1}'..='\u{1f}').map(String::from).collect();
            controls(b, &texts)
        },
    )
}

fn nul() -> Check {
    must(
        "values.text-nul",
        "MSG-09",
        "nvarchar takes U+0000: alone, inside a text, at its end",
        |b| controls(b, &["\0", "a\0b", "a\0"].map(str::to_owned)),
    )
}

/// The row's neighbours, the call's other batch and the LSN: nothing is kept.
fn refused((id, rule, ty, cell): (&'static str, &'static str, &'static str, &'static str)) -> Check {
    let shown = mirrorlab_protocol::excerpt(cell);
    must(
        format!("values.no-{id}"),
        rule,
        format!("{ty} does not take `{shown}`, and nothing of the call is kept"),
        move |b| {
            let table = b.table("cells", &format!("id int not null; v {ty} null"))?;
            b.rows(&[Batch::new(&table, 10).row("I", &["[I:1]", "~"])])?;
            let batch = Batch::new(&table, 20)
                .row("I", &["[I:2]", "~"])
                .row("I", &["[I:3]", cell]);
            b.rows_refused(&[batch], &format!("`{shown}` in a column of type {ty}"))?;
            b.holds(&table, &[&["[I:1]", "~"]])?;
            b.lsn_is(&[table], "cells", 10)
        },
    )
    .and(&["VALUE-12", "ROW-06", "LSN-03"])
}

/// A type, an ordinary cell, and a long one.
const COMBINED: [(&str, &str, &str, &str); 10] = [
    ("int", "int", "[I:135]", "[I:-2147483648]"),
    ("smallint", "smallint", "[S:7]", "[S:-32768]"),
    ("bigint", "bigint", "[L:5]", "[L:9223372036854775807]"),
    ("bit", "bit", "[I:1]", "[I:0]"),
    ("float", "float", "[F:123.4]", "[F:-1.7976931348623157E+308]"),
    (
        "decimal",
        "decimal(38,10)",
        "[F:1.5000000000]",
        "[F:1234567890123456789012345678.1234567890]",
    ),
    (
        "datetime",
        "datetime",
        "[DT:05/18/2020 10:40:43.0000000]",
        "[DT:01/01/1753 00:00:00.0000000]",
    ),
    ("text", "nvarchar(max)", "a text", "(long)"),
    ("binary", "varbinary(max)", "[B:AAEC]", "(long)"),
    (
        "guid",
        "uniqueidentifier",
        "6F9619FF-8B86-D011-B42D-00C04FC964FF",
        "00000000-0000-0000-0000-000000000000",
    ),
];
const NULLABLE: [&str; 2] = ["null", "not null"];
const OPERATIONS: [&str; 3] = ["I", "U", "U of a new row"];
const POSITIONS: [&str; 3] = ["second", "middle", "last"];
const CONTENTS: [&str; 3] = ["ordinary", "long", "NULL or empty"];
const SIZES: [usize; 3] = [1, 2, 60];

/// One case: a table of five columns, in which the one in question stands somewhere; so many rows.
fn combination(b: &mut Bench<'_>, number: usize, case: &[usize]) -> Done {
    let (name, ty, ordinary, long) = COMBINED[case[0]];
    let (nullable, operation) = (NULLABLE[case[1]], OPERATIONS[case[2]]);
    let (position, content, size) = (case[3], case[4], SIZES[case[5]]);
    b.trying(Some(format!(
        "type={name}, {nullable}, operation={operation}, position={}, content={}, rows={size}",
        POSITIONS[position], CONTENTS[content]
    )));
    let long = match name {
        "text" => "long text with æøå and 😀; ".repeat(400),
        "binary" => format!("[B:{}]", "AAECAwT/".repeat(3000)),
        _ => long.to_owned(),
    };
    let cell = match (content, nullable) {
        (0, _) => Some(ordinary.to_owned()),
        (1, _) => Some(long),
        (_, "null") => None,
        // What a column that is never NULL has for nothing.
        _ if name == "text" => Some(String::new()),
        _ if name == "binary" => Some("[B:]".to_owned()),
        _ => Some(ordinary.to_owned()),
    };
    let mut columns = vec!["a nvarchar(20) null".to_owned(), "z int null".to_owned()];
    let at = [0, 1, 2][position];
    columns.insert(at, format!("v {ty} {nullable}"));
    let table_name = format!("combined_{number}");
    let table = b.table(&table_name, &format!("id int not null; {}", columns.join("; ")))?;
    let row = |id: usize, cell: &say::Cell| {
        let mut cells = vec![Some("beside".to_owned()), Some("[I:3]".to_owned())];
        cells.insert(at, cell.clone());
        cells.insert(0, Some(format!("[I:{id}]")));
        cells
    };
    if operation == "U" {
        let mut batch = Batch::new(&table, 5);
        for id in 0..size {
            batch = batch.row_of("I", row(id, &Some(ordinary.to_owned())));
        }
        b.rows(&[batch])?;
    }
    let mut batch = Batch::new(&table, 10);
    let letter = &operation[..1];
    for id in 0..size {
        batch = batch.row_of(letter, row(id, &cell));
    }
    b.rows(&[batch])?;
    let right: Vec<Vec<say::Cell>> = (0..size).map(|id| row(id, &cell)).collect();
    b.holds_cells(&table, &right)?;
    b.lsn_is(&[table], &table_name, 10)
}

/// The cases of one type, so that a failure is one check's and not all's.
fn combined(ty: usize) -> Check {
    let name = COMBINED[ty].0;
    must(
        format!("values.combined-{name}"),
        "VALUE-01",
        format!("{name} in combination: nullability, operation, position, content, size"),
        move |b| {
            let sizes = [
                COMBINED.len(),
                NULLABLE.len(),
                OPERATIONS.len(),
                POSITIONS.len(),
                CONTENTS.len(),
                SIZES.len(),
            ];
            for (number, case) in pairwise(&sizes).iter().enumerate() {
                if case[0] == ty {
                    combination(b, number, case)?;
                }
            }
            Ok(())
        },
    )
    .and(&["MSG-08", "ROW-02", "ROW-04"])
}

pub(super) fn checks() -> Vec<Check> {
    let mut checks: Vec<Check> = TAKEN.into_iter().map(taken).collect();
    checks.extend([lone_controls(), nul()]);
    checks.extend(REFUSED.into_iter().map(refused));
    checks.extend((0..COMBINED.len()).map(combined));
    checks.extend([
        must(
            "values.null-is-not-empty",
            "MSG-08",
            "NULL and the empty text are two values",
            |b| {
                let table = b.table("cells", "id int not null; v nvarchar(20) null")?;
                b.rows(&[Batch::new(&table, 10)
                    .row("I", &["[I:1]", "~"])
                    .row("I", &["[I:2]", ""])])?;
                b.holds(&table, &[&["[I:1]", "~"], &["[I:2]", ""]])
            },
        )
        .with_mirror(),
        should(
            "values.empty-number",
            "VALUE-13",
            "empty text in a number's column is NULL",
            |b| {
                let table = b.table("cells", "id int not null; v int null; d datetime null")?;
                b.rows(&[Batch::new(&table, 10).row("I", &["[I:1]", "", ""])])?;
                b.holds(&table, &[&["[I:1]", "~", "~"]])?;
                b.lsn_is(&[table], "cells", 10)
            },
        ),
        must(
            "values.no-null",
            "VALUE-12",
            "NULL in a NOT NULL column is refused",
            |b| {
                let table = b.table("cells", "id int not null; v nvarchar(20) not null")?;
                b.rows(&[Batch::new(&table, 10).row("I", &["[I:1]", ""])])?;
                b.rows_refused(
                    &[Batch::new(&table, 20).row("I", &["[I:2]", "~"])],
                    "NULL in a NOT NULL column",
                )?;
                b.holds(&table, &[&["[I:1]", ""]])?;
                b.lsn_is(&[table], "cells", 10)
            },
        ),
        must(
            "values.raw-line-end",
            "MSG-10",
            "a raw CR LF in a text is one LF, a reference to CR stays",
            |b| {
                let table = b.table("cells", "id int not null; v nvarchar(20) null")?;
                let token = b.token();
                let message = say::row_data(None, &[Batch::new(&table, 10).row("I", &["[I:1]", "MARK"])]);
                let envelope = say::envelope(Some(&token), &message).replace("MARK", "a\r\nb&#xD;c\rd");
                let said = b.envelope(mirrorlab_protocol::names::Operation::RowData, envelope)?;
                b.yes(said, "a text with raw line ends")?;
                b.holds(&table, &[&["[I:1]", "a\nb\rc\nd"]])?;
                b.lsn_is(&[table], "cells", 10)
            },
        ),
        must(
            "values.longest-text",
            "VALUE-15",
            "4000 characters fit nvarchar(4000), emoji counted as two",
            |b| {
                let table = b.table("cells", "id int not null; v nvarchar(4000) null")?;
                let (plain, emoji) = ("ø".repeat(4000), "😀".repeat(2000));
                b.rows(&[Batch::new(&table, 10)
                    .row("I", &["[I:1]", &plain])
                    .row("I", &["[I:2]", &emoji])])?;
                b.holds(&table, &[&["[I:1]", &plain], &["[I:2]", &emoji]])?;
                b.rows_refused(
                    &[Batch::new(&table, 20).row("I", &["[I:3]", &"😀".repeat(2001)])],
                    "4002 UTF-16 units in nvarchar(4000)",
                )
            },
        ),
        must(
            "values.megabyte-blob",
            "VALUE-06",
            "a blob of three million bytes is taken",
            |b| {
                let table = b.table("cells", "id int not null; v varbinary(max) null")?;
                let cell = format!("[B:{}]", "AAECAwT/".repeat(500_000));
                b.rows(&[Batch::new(&table, 10).row("I", &["[I:1]", &cell])])?;
                b.holds(&table, &[&["[I:1]", &cell]])?;
                b.lsn_is(&[table], "cells", 10)
            },
        ),
        should(
            "values.error-names-place",
            "VALUE-12",
            "a wrong cell's refusal names table, key and column",
            |b| {
                let table = b.table("cells", "id int not null; amount int null")?;
                let batch = Batch::new(&table, 20).row("I", &["[I:4711]", "twelve"]);
                let said = b.call(
                    mirrorlab_protocol::names::Operation::RowData,
                    &say::row_data(None, &[batch]),
                )?;
                b.no(&said, "text in an int column")?;
                let super::super::bench::Said::No(text) = said else {
                    return Ok(());
                };
                for word in ["cells", "4711", "amount"] {
                    b.expect(
                        text.contains(word),
                        format!("`{word}` in the text of the refusal"),
                        text.clone(),
                    )?;
                }
                Ok(())
            },
        ),
    ]);
    checks
}
