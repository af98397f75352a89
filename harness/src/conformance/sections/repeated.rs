//! Repeated: whatever arrives twice, since an answer was lost, does what it does once.

use mirrorlab_protocol::names::Operation;

use super::super::check::{Check, must};
use super::super::say::{self, Batch, TableSpec};
use super::PLAIN;

pub(super) fn checks() -> Vec<Check> {
    vec![
        must(
            "repeated.rows",
            "ROW-02",
            "the same RowData twice leaves the same rows and LSN",
            |b| {
                let table = b.table("again", PLAIN)?;
                b.rows(&[Batch::new(&table, 5).row("I", &["[I:3]", "to go"])])?;
                let batch = Batch::new(&table, 10)
                    .row("I", &["[I:1]", "a"])
                    .row("U", &["[I:2]", "b"])
                    .row("D", &["[I:3]", "~"]);
                for _ in 0..2 {
                    b.rows(std::slice::from_ref(&batch))?;
                    b.holds(&table, &[&["[I:1]", "a"], &["[I:2]", "b"]])?;
                }
                b.lsn_is(&[table], "again", 10)
            },
        )
        .and(&["ROW-03"]),
        must(
            "repeated.schema",
            "SCHEMA-06",
            "the same TableSchema twice changes nothing",
            |b| {
                let tables = [
                    TableSpec::new(
                        "again",
                        "id int not null; v nvarchar(20) not null default (N'x'); f float null",
                    ),
                    TableSpec::new("other", PLAIN),
                ];
                b.schema(&tables)?;
                b.rows(&[Batch::new(&tables[0], 10).row("I", &["[I:1]", "a", "[F:1]"])])?;
                for _ in 0..3 {
                    b.lsn_is(&tables, "again", 10)?;
                }
                b.holds(&tables[0], &[&["[I:1]", "a", "[F:1]"]])
            },
        ),
        must(
            "repeated.wipe",
            "TASK-04",
            "the same Wipe twice leaves an empty table",
            |b| {
                let table = b.table("again", PLAIN)?;
                b.rows(&[Batch::new(&table, 10).row("I", &["[I:1]", "a"])])?;
                b.wipe("again")?;
                b.wipe("again")?;
                b.holds(&table, &[])?;
                b.lsn_is(&[table], "again", -1)
            },
        ),
        must(
            "repeated.completed",
            "TASK-13",
            "the same ReplicationCompleted twice is accepted",
            |b| {
                b.table("again", PLAIN)?;
                for _ in 0..2 {
                    let said = b.call(
                        Operation::ReplicationCompleted,
                        &say::completed(None, &[("again", 1, 2, 3)]),
                    )?;
                    b.yes(said, "ReplicationCompleted")?;
                }
                Ok(())
            },
        ),
        must(
            "repeated.authenticate",
            "TASK-09",
            "a cycle may begin anew at any time",
            |b| {
                let table = b.table("again", PLAIN)?;
                b.wipe("again")?;
                b.rows(&[Batch::new(&table, 0).row("I", &["[I:1]", "half"])])?;
                // Here the first cycle ended. The next one begins.
                b.authenticate()?;
                b.lsn_is(std::slice::from_ref(&table), "again", -1)?;
                b.wipe("again")?;
                b.rows(&[Batch::new(&table, 10).row("I", &["[I:1]", "whole"])])?;
                b.holds(&table, &[&["[I:1]", "whole"]])?;
                b.lsn_is(&[table], "again", 10)
            },
        )
        .and(&["TASK-07"]),
        must(
            "repeated.rows-of-deleted",
            "ROW-03",
            "the same D twice is accepted",
            |b| {
                let table = b.table("again", PLAIN)?;
                b.rows(&[Batch::new(&table, 5).row("I", &["[I:1]", "a"])])?;
                for lsn in [10, 11] {
                    b.rows(&[Batch::new(&table, lsn).row("D", &["[I:1]", "~"])])?;
                }
                b.holds(&table, &[])?;
                b.lsn_is(&[table], "again", 11)
            },
        ),
        must(
            "repeated.after-refusal",
            "TASK-09",
            "a call that is mended after a refusal is accepted",
            |b| {
                let table = b.table("again", "id int not null; n int null")?;
                b.rows_refused(
                    &[Batch::new(&table, 10).row("I", &["[I:1]", "no number"])],
                    "text in an int column",
                )?;
                b.rows(&[Batch::new(&table, 10).row("I", &["[I:1]", "[I:7]"])])?;
                b.holds(&table, &[&["[I:1]", "[I:7]"]])?;
                b.lsn_is(&[table], "again", 10)
            },
        ),
    ]
}
