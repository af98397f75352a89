//! LSN: kept exactly, with the rows it stands for, and for its own table alone.

use super::super::check::{Check, must};
use super::super::say::{Batch, TableSpec};
use super::PLAIN;

/// An LSN that is sent, and the one that is then answered.
fn kept(id: &str, rule: &'static str, title: &str, sent: i64, answered: i64) -> Check {
    must(format!("lsn.{id}"), rule, title, move |b| {
        let table = b.table("kept", PLAIN)?;
        b.rows(&[Batch::new(&table, sent).row("I", &["[I:1]", "a"])])?;
        b.lsn_is(&[table], "kept", answered)
    })
}

/// An LSN that is none leaves the one from before.
fn left(id: &str, title: &str, sent: Option<i64>) -> Check {
    must(format!("lsn.{id}"), "LSN-02", title, move |b| {
        let table = b.table("kept", PLAIN)?;
        b.rows(&[Batch::new(&table, 500)])?;
        b.rows(&[Batch::new(&table, 0).at(sent).row("I", &["[I:1]", "a"])])?;
        b.holds(&table, &[&["[I:1]", "a"]])?;
        b.lsn_is(&[table], "kept", 500)
    })
}

pub(super) fn checks() -> Vec<Check> {
    vec![
        kept(
            "seen",
            "LSN-04",
            "the LSN of a real answer is kept",
            1_506_269,
            1_506_269,
        ),
        kept("one", "LSN-08", "an LSN of 1 is one", 1, 1),
        kept(
            "beyond-32-bits",
            "LSN-01",
            "an LSN may be beyond 32 bits",
            5_000_000_000,
            5_000_000_000,
        ),
        kept(
            "beyond-doubles",
            "LSN-01",
            "an LSN beyond what a double counts is kept to the unit",
            9_007_199_254_740_993,
            9_007_199_254_740_993,
        ),
        kept(
            "largest",
            "LSN-01",
            "an LSN may be the largest of 64 bits",
            i64::MAX,
            i64::MAX,
        ),
        kept("zero-is-none", "LSN-02", "an LSN of 0 is none", 0, -1),
        kept("minus-one-is-none", "LSN-02", "an LSN of -1 is none", -1, -1),
        left("zero-leaves", "an LSN of 0 leaves the one that is there", Some(0)),
        left(
            "minus-one-leaves",
            "an LSN of -1 leaves the one that is there",
            Some(-1),
        ),
        left(
            "none-leaves",
            "a batch without LSN leaves the one that is there",
            None,
        ),
        must(
            "lsn.lower",
            "LSN-04",
            "an LSN may be lower than the one before, as after a restore",
            |b| {
                let table = b.table("kept", PLAIN)?;
                b.rows(&[Batch::new(&table, 500)])?;
                b.rows(&[Batch::new(&table, 70).row("I", &["[I:1]", "a"])])?;
                b.lsn_is(&[table], "kept", 70)
            },
        ),
        must(
            "lsn.empty-batch",
            "LSN-06",
            "a batch without rows keeps its LSN",
            |b| {
                let table = b.table("kept", PLAIN)?;
                b.wipe("kept")?;
                b.rows(&[Batch::new(&table, 10)])?;
                b.holds(&table, &[])?;
                b.lsn_is(&[table], "kept", 10)
            },
        ),
        must(
            "lsn.each-its-own",
            "LSN-07",
            "a table that gets no batch keeps its LSN",
            |b| {
                let tables: Vec<TableSpec> =
                    ["one", "two", "three"].map(|n| TableSpec::new(n, PLAIN)).to_vec();
                b.schema(&tables)?;
                b.rows(&[Batch::new(&tables[0], 10), Batch::new(&tables[1], 10)])?;
                b.rows(&[Batch::new(&tables[1], 20)])?;
                b.lsn_is(&tables, "one", 10)?;
                b.lsn_is(&tables, "two", 20)?;
                b.lsn_is(&tables, "three", -1)
            },
        ),
        must(
            "lsn.last-batch",
            "LSN-02",
            "of several batches in several calls the last one's LSN counts",
            |b| {
                let table = b.table("kept", PLAIN)?;
                b.rows(&[Batch::new(&table, 0).row("I", &["[I:1]", "a"])])?;
                b.lsn_is(std::slice::from_ref(&table), "kept", -1)?;
                b.rows(&[
                    Batch::new(&table, -1).row("I", &["[I:2]", "b"]),
                    Batch::new(&table, 10).row("I", &["[I:3]", "c"]),
                ])?;
                b.lsn_is(&[table], "kept", 10)
            },
        ),
        must(
            "lsn.refused-call",
            "LSN-03",
            "a refused call's LSN is not kept",
            |b| {
                let table = b.table("kept", "id int not null; n int null")?;
                b.rows(&[Batch::new(&table, 10)])?;
                b.rows_refused(
                    &[Batch::new(&table, 20).row("I", &["[I:1]", "no number"])],
                    "text in an int column",
                )?;
                b.lsn_is(&[table], "kept", 10)
            },
        ),
        must(
            "lsn.asking-changes-nothing",
            "LSN-04",
            "asking for LSNs does not change them",
            |b| {
                let table = b.table("kept", PLAIN)?;
                b.rows(&[Batch::new(&table, 10).row("I", &["[I:1]", "a"])])?;
                for _ in 0..3 {
                    b.lsn_is(std::slice::from_ref(&table), "kept", 10)?;
                }
                b.holds(&table, &[&["[I:1]", "a"]])
            },
        ),
        must(
            "lsn.authenticate-changes-nothing",
            "LSN-04",
            "Authenticate does not change LSNs",
            |b| {
                let table = b.table("kept", PLAIN)?;
                b.rows(&[Batch::new(&table, 10)])?;
                b.authenticate()?;
                b.lsn_is(&[table], "kept", 10)
            },
        ),
    ]
}
