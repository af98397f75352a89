//! Whole calls drawn at random, below the level of any source: what no sender of ours would send too.
//!
//! Any order of operations, any split into calls and batches, repeated calls, batches of several tables, empty batches,
//! unknown tables, wrong column counts, cells that the type cannot hold. The bytes are written here by hand and go through
//! [`Service::handle`]; a model says what must be in the mirror and which LSN must be stored, and literal SQL reads it
//! back after every call. A failing case is printed with all it drew, and shrunk.
#![allow(clippy::unwrap_used)]

#[path = "batches/calls.rs"]
mod calls;
#[path = "batches/model.rs"]
mod model;
#[path = "batches/server.rs"]
mod server;

use proptest::prelude::*;

use calls::{Batch, Call, a_call, a_right_row, a_table};
use model::Model;
use server::Server;

/// Sends a call, and checks answer and mirror against the model.
fn send(server: &Server, model: &mut Model, call: &Call) -> Result<(), TestCaseError> {
    let expected = model.apply(call);
    let answer = server.post(call);
    prop_assert_eq!(answer.status, 200, "{}", answer.text);
    match &expected {
        Ok(lsns) => {
            prop_assert!(answer.is_successful, "{call:?} was refused: {}", answer.text);
            prop_assert_eq!(&answer.lsns, lsns);
        }
        Err(why) => {
            prop_assert!(!answer.is_successful, "{call:?} was taken, in spite of {why}");
            prop_assert!(
                answer.text.contains("nothing of this call is kept"),
                "{}",
                answer.text
            );
        }
    }
    prop_assert_eq!(server.state(), model.state(), "after {:?}", call);
    Ok(())
}

proptest! {
    #![proptest_config(ProptestConfig { cases: (ProptestConfig::default().cases * 3 / 8).max(1), ..ProptestConfig::default() })]

    #[test]
    fn the_mirror_is_what_the_calls_say(
        calls in prop::collection::vec((a_call(), prop::option::weighted(0.15, any::<prop::sample::Index>())), 1..16)
    ) {
        let server = Server::new();
        let mut model = Model::default();
        // Most histories begin as a cycle does.
        send(&server, &mut model, &Call::Schema(vec![0, 1, 2]))?;
        for (at, (call, again)) in calls.iter().enumerate() {
            send(&server, &mut model, call)?;
            if let Some(index) = again {
                // An earlier call comes once more, as a proxy sends it.
                send(&server, &mut model, &calls[index.index(at + 1)].0)?;
            }
        }
    }

    #[test]
    fn however_rows_are_split_the_mirror_is_the_same(
        rows in prop::collection::vec(a_table().prop_flat_map(|t| (Just(t), a_right_row(t))), 1..40),
        cuts in prop::collection::vec((any::<prop::sample::Index>(), any::<bool>()), 0..12),
    ) {
        let (whole, parts) = (Server::new(), Server::new());
        let mut model = Model::default();
        for server in [&whole, &parts] {
            server.post(&Call::Schema(vec![0, 1, 2]));
        }
        model.apply(&Call::Schema(vec![0, 1, 2])).unwrap();
        let batches: Vec<Batch> = rows.iter().map(|(table, row)| Batch::plain(*table, vec![row.clone()])).collect();
        let one = Call::Rows(merged(&batches));
        send(&whole, &mut model, &one)?;
        let mut ends: Vec<(usize, bool)> = cuts.iter().map(|(at, merge)| (at.index(batches.len()), *merge)).collect();
        ends.push((batches.len(), false));
        ends.sort_unstable();
        let mut start = 0;
        for (end, merge) in ends {
            let part = batches[start..end].to_vec();
            let call = Call::Rows(if merge { merged(&part) } else { part });
            prop_assert!(parts.post(&call).is_successful);
            start = end;
        }
        prop_assert_eq!(parts.state(), model.state());
    }
}

/// Rows that follow each other in one table share a batch.
fn merged(batches: &[Batch]) -> Vec<Batch> {
    let mut merged: Vec<Batch> = Vec::new();
    for batch in batches {
        match merged.last_mut().filter(|last| last.table == batch.table) {
            Some(last) => last.rows.extend(batch.rows.iter().cloned()),
            None => merged.push(batch.clone()),
        }
    }
    merged
}

/// Not drawn, so that it is there in every run: each way in which a call is refused, and that it is for its own reason.
#[test]
fn every_refusal_is_reached() {
    use calls::{Cell, Columns, Row, Target};
    let server = Server::new();
    server.post(&Call::Schema(vec![0, 1, 2]));
    let cells = |cells: &[&str]| -> Vec<Cell> { cells.iter().map(|c| Cell::odd(c)).collect() };
    let row = |operation: &'static str, list: &[&str]| Row {
        operation,
        cells: cells(list),
    };
    let plain = |row: Row| Batch::plain(0, vec![row]);
    let of = |table: Target, columns: Columns| Batch {
        table,
        columns,
        ..Batch::plain(0, Vec::new())
    };
    let refused = [
        plain(row("I", &["[I:1]", "one"])),
        plain(row("U", &["[I:1]", "one", "2", "3"])),
        plain(row("I", &["[I:1]", "toolong", "2"])),
        plain(row("I", &["one", "one", "2"])),
        plain(row("I", &["[I:1]", "NULL", "2"])),
        plain(row("X", &["[I:1]", "one", "2"])),
        plain(row("", &["[I:1]", "one", "2"])),
        plain(row("D", &["NULL", "one", "2"])),
        plain(row("D", &[])),
        of(Target::Unknown, Columns::Stored),
        of(Target::Unnamed, Columns::Stored),
        of(Target::Known(0), Columns::Lacking),
        of(Target::Known(0), Columns::Twice),
        of(Target::Known(0), Columns::OtherType),
    ];
    let texts: Vec<String> = refused
        .into_iter()
        .map(|batch| server.post(&Call::Rows(vec![batch])).text)
        .collect();
    insta::assert_snapshot!(texts.join("\n"));
}
