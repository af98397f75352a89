//! Rows: what I, U and D mean, and that a call is kept whole or not at all.

use mirrorlab_protocol::names::Operation;

use super::super::check::{Check, must, should};
use super::super::say::{self, Batch, TableSpec, cells};
use super::PLAIN;

/// Rows sent on top of one that is there (key 1, `old`), and what the table then holds.
fn applied(
    id: &str,
    rule: &'static str,
    title: &str,
    rows: &'static [(&'static str, &'static [&'static str])],
    kept: &'static [&'static [&'static str]],
) -> Check {
    must(format!("rows.{id}"), rule, title, move |b| {
        let table = b.table("rows", PLAIN)?;
        b.rows(&[Batch::new(&table, 10).row("I", &["[I:1]", "old"])])?;
        let mut batch = Batch::new(&table, 20);
        for (operation, cells) in rows {
            batch = batch.row(operation, cells);
        }
        b.rows(&[batch])?;
        b.holds(&table, kept)?;
        b.lsn_is(&[table], "rows", 20)
    })
}

/// A row that is refused; the good one before it in the same call is not kept.
fn refused(
    id: &str,
    rule: &'static str,
    what: &'static str,
    operation: &'static str,
    row: &'static [&'static str],
) -> Check {
    must(
        format!("rows.{id}"),
        rule,
        format!("{what} is refused, and nothing is kept"),
        move |b| {
            let table = b.table("rows", PLAIN)?;
            b.rows(&[Batch::new(&table, 10).row("I", &["[I:1]", "old"])])?;
            let batch = Batch::new(&table, 20)
                .row("I", &["[I:2]", "good"])
                .row(operation, row);
            b.rows_refused(&[batch], what)?;
            b.holds(&table, &[&["[I:1]", "old"]])?;
            b.lsn_is(&[table], "rows", 10)
        },
    )
    .and(&["ROW-06", "LSN-03"])
}

/// A table whose key is of another type.
fn keyed(id: &str, ty: &'static str, keys: [&'static str; 2]) -> Check {
    must(
        format!("rows.key-{id}"),
        "SCHEMA-10",
        format!("a first column of type {ty} is a key"),
        move |b| {
            let table = b.table("keyed", &format!("id {ty} not null; v nvarchar(20) null"))?;
            b.rows(&[Batch::new(&table, 10)
                .row("I", &[keys[0], "one"])
                .row("I", &[keys[1], "two"])
                .row("U", &[keys[0], "one again"])
                .row("D", &[keys[1], "~"])])?;
            b.holds(&table, &[&[keys[0], "one again"]])?;
            b.lsn_is(&[table], "keyed", 10)
        },
    )
}

pub(super) fn checks() -> Vec<Check> {
    vec![
        applied(
            "insert",
            "ROW-01",
            "I adds a row",
            &[("I", &["[I:2]", "new"])],
            &[&["[I:1]", "old"], &["[I:2]", "new"]],
        ),
        applied(
            "update",
            "ROW-01",
            "U changes a row",
            &[("U", &["[I:1]", "new"])],
            &[&["[I:1]", "new"]],
        ),
        applied(
            "delete",
            "ROW-01",
            "D takes a row away",
            &[("D", &["[I:1]", "old"])],
            &[],
        ),
        applied(
            "insert-there",
            "ROW-02",
            "an I may meet a row that is there",
            &[("I", &["[I:1]", "new"])],
            &[&["[I:1]", "new"]],
        ),
        applied(
            "update-missing",
            "ROW-02",
            "a U may meet no row",
            &[("U", &["[I:2]", "new"])],
            &[&["[I:1]", "old"], &["[I:2]", "new"]],
        ),
        applied(
            "delete-missing",
            "ROW-03",
            "a D may meet no row",
            &[("D", &["[I:2]", "~"])],
            &[&["[I:1]", "old"]],
        ),
        applied(
            "delete-nil",
            "ROW-03",
            "a D's other cells may be NULL",
            &[("D", &["[I:1]", "~"])],
            &[],
        ),
        applied(
            "delete-empty",
            "ROW-03",
            "a D's other cells may be empty",
            &[("D", &["[I:1]", ""])],
            &[],
        ),
        applied(
            "delete-key-alone",
            "ROW-03",
            "a D may have its key alone",
            &[("D", &["[I:1]"])],
            &[],
        ),
        applied(
            "update-to-null",
            "MSG-08",
            "a U may set NULL",
            &[("U", &["[I:1]", "~"])],
            &[&["[I:1]", "~"]],
        ),
        applied(
            "one-key-in-turn",
            "ROW-07",
            "rows of one key in one call count in their order",
            &[
                ("I", &["[I:2]", "a"]),
                ("U", &["[I:2]", "b"]),
                ("D", &["[I:1]", "~"]),
                ("I", &["[I:1]", "back"]),
                ("I", &["[I:3]", "gone"]),
                ("D", &["[I:3]", "~"]),
            ],
            &[&["[I:1]", "back"], &["[I:2]", "b"]],
        ),
        applied(
            "key-change",
            "ROW-07",
            "a change of key is a D and an I",
            &[("D", &["[I:1]", "~"]), ("I", &["[I:9]", "old"])],
            &[&["[I:9]", "old"]],
        ),
        applied(
            "negative-key",
            "VALUE-02",
            "a key may be negative, or 0",
            &[("I", &["[I:-5]", "a"]), ("I", &["[I:0]", "b"])],
            &[&["[I:-5]", "a"], &["[I:0]", "b"], &["[I:1]", "old"]],
        ),
        applied(
            "deleted-mark",
            "TASK-15",
            "a row that is only marked as deleted stays",
            &[("U", &["[I:1]", "deleted=1"])],
            &[&["[I:1]", "deleted=1"]],
        ),
        must(
            "rows.delete-not-null",
            "ROW-03",
            "a D's other cells may be NULL where the column is not",
            |b| {
                let table = b.table(
                    "rows",
                    "id int not null; v nvarchar(9) not null; d datetime not null",
                )?;
                b.rows(&[
                    Batch::new(&table, 10).row("I", &["[I:1]", "a", "[DT:01/01/1760 00:00:00.0000000]"])
                ])?;
                b.rows(&[Batch::new(&table, 20).row("D", &["[I:1]", "~", "~"])])?;
                b.holds(&table, &[])?;
                b.lsn_is(&[table], "rows", 20)
            },
        ),
        refused(
            "unknown-operation",
            "ROW-01",
            "an unknown Operation",
            "X",
            &["[I:3]", "a"],
        ),
        refused(
            "no-operation",
            "ROW-01",
            "a row without an Operation",
            "",
            &["[I:3]", "a"],
        ),
        refused(
            "too-few-cells",
            "ROW-04",
            "an I with too few cells",
            "I",
            &["[I:3]"],
        ),
        refused(
            "too-many-cells",
            "ROW-04",
            "an I with too many cells",
            "I",
            &["[I:3]", "a", "b"],
        ),
        refused("no-cells", "ROW-04", "a U without cells", "U", &[]),
        refused(
            "null-key",
            "SCHEMA-10",
            "an I whose key is NULL",
            "I",
            &["~", "a"],
        ),
        refused(
            "delete-null-key",
            "ROW-03",
            "a D whose key is NULL",
            "D",
            &["~", "a"],
        ),
        keyed("text", "nvarchar(50)", ["alpha", "beta"]),
        keyed(
            "guid",
            "uniqueidentifier",
            [
                "6F9619FF-8B86-D011-B42D-00C04FC964FF",
                "00000000-0000-0000-0000-000000000001",
            ],
        ),
        keyed("bigint", "bigint", ["[L:9223372036854775807]", "[L:-1]"]),
        keyed(
            "datetime",
            "datetime",
            [
                "[DT:05/18/2020 10:40:43.0000000]",
                "[DT:01/01/1760 00:00:00.0000000]",
            ],
        ),
        must(
            "rows.several-batches",
            "ROW-05",
            "one call may carry several batches of one table",
            |b| {
                let table = b.table("rows", PLAIN)?;
                b.rows(&[
                    Batch::new(&table, 0).row("I", &["[I:1]", "a"]),
                    Batch::new(&table, -1).row("I", &["[I:2]", "b"]),
                    Batch::new(&table, 10).row("I", &["[I:3]", "c"]),
                ])?;
                b.holds(&table, &[&["[I:1]", "a"], &["[I:2]", "b"], &["[I:3]", "c"]])?;
                b.lsn_is(&[table], "rows", 10)
            },
        ),
        must(
            "rows.several-tables",
            "ROW-05",
            "one call may carry several tables",
            |b| {
                let (one, two) = (
                    TableSpec::new("one", PLAIN),
                    TableSpec::new("two", "id int not null; n int null"),
                );
                let tables = [one.clone(), two.clone()];
                b.schema(&tables)?;
                b.rows(&[
                    Batch::new(&one, 10).row("I", &["[I:1]", "a"]),
                    Batch::new(&two, 11).row("I", &["[I:1]", "[I:5]"]),
                ])?;
                b.holds(&one, &[&["[I:1]", "a"]])?;
                b.holds(&two, &[&["[I:1]", "[I:5]"]])?;
                b.lsn_is(&tables, "one", 10)?;
                b.lsn_is(&tables, "two", 11)
            },
        ),
        must(
            "rows.whole-call",
            "ROW-06",
            "a wrong second batch takes the first one with it",
            |b| {
                let (one, two) = (
                    TableSpec::new("one", PLAIN),
                    TableSpec::new("two", "id int not null; n int null"),
                );
                let tables = [one.clone(), two.clone()];
                b.schema(&tables)?;
                b.rows_refused(
                    &[
                        Batch::new(&one, 10).row("I", &["[I:1]", "a"]),
                        Batch::new(&two, 11).row("I", &["[I:1]", "not a number"]),
                    ],
                    "a call whose second batch is wrong",
                )?;
                b.holds(&one, &[])?;
                b.lsn_is(&tables, "one", -1)?;
                b.lsn_is(&tables, "two", -1)
            },
        )
        .and(&["LSN-03", "VALUE-12"]),
        must(
            "rows.unknown-table",
            "SCHEMA-01",
            "rows of a table that no TableSchema named are refused",
            |b| {
                let table = b.table("rows", PLAIN)?;
                b.rows_refused(
                    &[Batch::new(&table.named("elsewhere"), 10).row("I", &["[I:1]", "a"])],
                    "rows of a table that is not there",
                )
            },
        ),
        must(
            "rows.no-table",
            "MSG-07",
            "a batch without TableInfo is refused",
            |b| {
                let table = b.table("rows", PLAIN)?;
                let mut batch = Batch::new(&table, 10).row("I", &["[I:1]", "a"]);
                batch.table = None;
                b.rows_refused(&[batch], "a batch without TableInfo")?;
                b.lsn_is(&[table], "rows", -1)
            },
        ),
        must(
            "rows.column-order",
            "ROW-04",
            "cells go by the order of the batch's own TableInfo",
            |b| {
                let table = b.table("rows", "id int not null; a int null; b int null")?;
                let turned = TableSpec::new("rows", "id int not null; b int null; a int null");
                b.rows(&[Batch::new(&turned, 10).row("I", &["[I:1]", "[I:20]", "[I:10]"])])?;
                b.holds(&table, &[&["[I:1]", "[I:10]", "[I:20]"]])
            },
        )
        .with_mirror(),
        must(
            "rows.other-columns",
            "ROW-04",
            "a batch with a column that the table has not is refused",
            |b| {
                let table = b.table("rows", PLAIN)?;
                let other = TableSpec::new("rows", "id int not null; v nvarchar(200) null; more int null");
                b.rows_refused(
                    &[Batch::new(&other, 10).row("I", &["[I:1]", "a", "[I:5]"])],
                    "a batch with an unknown column",
                )?;
                b.lsn_is(&[table], "rows", -1)
            },
        ),
        must(
            "rows.no-batches",
            "ROW-05",
            "a call without batches does nothing",
            |b| {
                let table = b.table("rows", PLAIN)?;
                b.rows(&[Batch::new(&table, 10).row("I", &["[I:1]", "a"])])?;
                b.call(Operation::RowData, &say::row_data(None, &[]))?;
                b.holds(&table, &[&["[I:1]", "a"]])?;
                b.lsn_is(&[table], "rows", 10)
            },
        ),
        must(
            "rows.five-thousand",
            "ROW-05",
            "five thousand rows in five calls are all there",
            |b| {
                let table = b.table("rows", PLAIN)?;
                let mut right = Vec::new();
                for call in 0..5 {
                    let last = call == 4;
                    let mut batch = Batch::new(&table, if last { 10 } else { 0 });
                    for at in 0..1000 {
                        let id = format!("[I:{}]", call * 1000 + at);
                        let row = cells(&[&id, "row"]);
                        right.push(row.clone());
                        batch = batch.row_of("I", row);
                    }
                    b.rows(&[batch])?;
                }
                b.holds_cells(&table, &right)?;
                b.lsn_is(&[table], "rows", 10)
            },
        ),
        should(
            "rows.operation-case",
            "ROW-01",
            "a lower-case Operation is read or refused, never half kept",
            |b| {
                let table = b.table("rows", PLAIN)?;
                let batch = Batch::new(&table, 10).row("i", &["[I:1]", "a"]);
                let said = b.call(Operation::RowData, &say::row_data(None, &[batch]))?;
                b.lsn_is(&[table], "rows", if said.is_yes() { 10 } else { -1 })
            },
        ),
    ]
}
