//! Wipe, and the cycle's end.

use mirrorlab_protocol::names::Operation;

use super::super::check::{Check, must};
use super::super::say::{self, Batch, TableSpec};
use super::PLAIN;

/// A ReplicationCompleted that is accepted.
fn completed(id: &str, title: &str, changed: &'static [(&'static str, i64, i64, i64)]) -> Check {
    must(format!("wipe.{id}"), "TASK-13", title, move |b| {
        let table = b.table("done", PLAIN)?;
        b.rows(&[Batch::new(&table, 10)])?;
        let said = b.call(Operation::ReplicationCompleted, &say::completed(None, changed))?;
        b.yes(said, "ReplicationCompleted")?;
        b.lsn_is(&[table], "done", 10)
    })
    .and(&["ADMIN-04"])
}

pub(super) fn checks() -> Vec<Check> {
    vec![
        must("wipe.empties", "TASK-04", "a wiped table is empty", |b| {
            let table = b.table("wiped", PLAIN)?;
            b.rows(&[Batch::new(&table, 10).row("I", &["[I:1]", "a"])])?;
            b.wipe("wiped")?;
            b.holds(&table, &[])
        })
        .with_mirror(),
        must(
            "wipe.asks-for-everything",
            "LSN-05",
            "a wiped table that is not filled yet answers -1",
            |b| {
                let table = b.table("wiped", PLAIN)?;
                b.rows(&[Batch::new(&table, 10).row("I", &["[I:1]", "a"])])?;
                b.wipe("wiped")?;
                b.lsn_is(&[table], "wiped", -1)
            },
        ),
        must(
            "wipe.then-filled",
            "TASK-04",
            "a wiped table takes rows and their LSN",
            |b| {
                let table = b.table("wiped", PLAIN)?;
                b.rows(&[Batch::new(&table, 10)
                    .row("I", &["[I:1]", "old"])
                    .row("I", &["[I:2]", "old"])])?;
                b.wipe("wiped")?;
                b.rows(&[Batch::new(&table, 11).row("I", &["[I:2]", "new"])])?;
                b.holds(&table, &[&["[I:2]", "new"]])?;
                b.lsn_is(&[table], "wiped", 11)
            },
        ),
        must(
            "wipe.half-filled",
            "LSN-05",
            "a wiped table that is only half filled still answers -1",
            |b| {
                let table = b.table("wiped", PLAIN)?;
                b.rows(&[Batch::new(&table, 10).row("I", &["[I:1]", "a"])])?;
                b.wipe("wiped")?;
                b.rows(&[Batch::new(&table, 0).row("I", &["[I:1]", "a"])])?;
                b.lsn_is(&[table], "wiped", -1)
            },
        ),
        must("wipe.only-one", "TASK-04", "the other tables stay", |b| {
            let tables = [TableSpec::new("wiped", PLAIN), TableSpec::new("wiped_not", PLAIN)];
            b.schema(&tables)?;
            b.rows(&[
                Batch::new(&tables[0], 10).row("I", &["[I:1]", "a"]),
                Batch::new(&tables[1], 10).row("I", &["[I:1]", "a"]),
            ])?;
            b.wipe("wiped")?;
            b.holds(&tables[1], &[&["[I:1]", "a"]])?;
            b.lsn_is(&tables, "wiped", -1)?;
            b.lsn_is(&tables, "wiped_not", 10)
        }),
        must(
            "wipe.letter-case",
            "SCHEMA-11",
            "a Wipe's letter case does not count",
            |b| {
                let table = b.table("Wiped", PLAIN)?;
                b.rows(&[Batch::new(&table, 10).row("I", &["[I:1]", "a"])])?;
                b.wipe("wIPED")?;
                b.holds(&table, &[])?;
                b.lsn_is(&[table], "wiped", -1)
            },
        ),
        must(
            "wipe.unknown",
            "SCHEMA-03",
            "a Wipe of a table that is not there is refused",
            |b| {
                b.table("wiped", PLAIN)?;
                let said = b.call(Operation::Wipe, &say::wipe(None, Some("elsewhere")))?;
                b.no(&said, "Wipe of an unknown table")
            },
        ),
        must(
            "wipe.no-name",
            "MSG-01",
            "a Wipe without a name is refused and empties nothing",
            |b| {
                let table = b.table("wiped", PLAIN)?;
                b.rows(&[Batch::new(&table, 10).row("I", &["[I:1]", "a"])])?;
                for name in [None, Some("")] {
                    let said = b.call(Operation::Wipe, &say::wipe(None, name))?;
                    b.no(&said, "Wipe without a name")?;
                }
                b.holds(&table, &[&["[I:1]", "a"]])?;
                b.lsn_is(&[table], "wiped", 10)
            },
        ),
        must("wipe.sql", "SCHEMA-12", "a Wipe's name is no SQL", |b| {
            let table = b.table("wiped", PLAIN)?;
            b.rows(&[Batch::new(&table, 10).row("I", &["[I:1]", "a"])])?;
            let said = b.call(
                Operation::Wipe,
                &say::wipe(None, Some("wiped; DROP TABLE wiped; --")),
            )?;
            b.no(&said, "Wipe with SQL in the name")?;
            b.holds(&table, &[&["[I:1]", "a"]])?;
            b.lsn_is(&[table], "wiped", 10)
        }),
        must(
            "wipe.own-table",
            "SCHEMA-03",
            "the endpoint's own table cannot be wiped or listed",
            |b| {
                let table = b.table("wiped", PLAIN)?;
                b.rows(&[Batch::new(&table, 10)])?;
                let own = format!("{}_mirroring", b.context());
                let said = b.call(Operation::Wipe, &say::wipe(None, Some(&own)))?;
                b.not_yes(&said, "Wipe of the metadata table")?;
                let tables = [table.clone(), table.named(&own)];
                let said = b.call(Operation::TableSchema, &say::table_schema(None, &tables))?;
                b.not_yes(&said, "TableSchema with the metadata table")?;
                b.lsn_is(&[table], "wiped", 10)
            },
        )
        .and(&["SCHEMA-17"]),
        must(
            "wipe.empty-table",
            "TASK-04",
            "an empty table can be wiped",
            |b| {
                let table = b.table("wiped", PLAIN)?;
                b.wipe("wiped")?;
                b.lsn_is(&[table], "wiped", -1)
            },
        ),
        completed(
            "completed",
            "a cycle's end with its counts is accepted",
            &[("done", 3, 2, 1)],
        ),
        completed("completed-quiet", "a quiet cycle's end is accepted", &[]),
        completed(
            "completed-large",
            "counts may be large",
            &[("done", 2_147_483_647, 2_147_483_647, 2_147_483_647)],
        ),
    ]
}
