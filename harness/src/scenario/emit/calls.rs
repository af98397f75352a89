//! Calls written out, and what they leave.

use super::doc::Doc;
use super::values;
use crate::scenario::sent::{MirrorRows, Sent, SentBatch, SentCall, SentColumn, SentExpect, SentRow};

/// The parts of a `send` step.
pub(super) fn send(sent: &Sent) -> Vec<(&'static str, Doc)> {
    let body = match &sent.call {
        SentCall::Schema(tables) => Doc::List(tables.iter().map(|t| Doc::text(t)).collect()),
        SentCall::Wipe(Some(table)) => Doc::text(table),
        SentCall::Wipe(None) | SentCall::Completed => Doc::Null,
        SentCall::Rows(batches) => Doc::List(batches.iter().map(batch).collect()),
    };
    let mut parts = vec![(sent.call.operation().name(), body)];
    parts.extend(expect(&sent.expect).map(|e| ("expect", e)));
    parts
}

fn batch(batch: &SentBatch) -> Doc {
    let mut parts = Vec::new();
    parts.extend(batch.table.iter().map(|t| ("table", Doc::text(t))));
    if let Some(columns) = &batch.columns {
        parts.push(("columns", Doc::List(columns.iter().map(column).collect())));
    }
    parts.push(("rows", Doc::List(batch.rows.iter().map(row).collect())));
    parts.extend(batch.lsn.map(|lsn| ("lsn", Doc::plain(lsn))));
    Doc::map(parts)
}

fn column(column: &SentColumn) -> Doc {
    match column {
        SentColumn::Named(name) => Doc::text(name),
        SentColumn::Written(column) => super::columns(std::iter::once(&column.value)),
    }
}

fn row(row: &SentRow) -> Doc {
    let text = |cell: &Option<String>| cell.as_deref().map_or(Doc::Null, Doc::text);
    let operation = std::iter::once(Doc::text(&row.operation));
    Doc::List(operation.chain(row.cells.iter().map(text)).collect())
}

fn expect(expect: &SentExpect) -> Option<Doc> {
    let mut parts = Vec::new();
    if let Some(refused) = &expect.refused {
        parts.push(("refused", Doc::text(&refused.value.to_string())));
    }
    if let Some(lsns) = &expect.lsns {
        let one = |(table, lsn): &(crate::scenario::place::Spanned<String>, i64)| {
            (table.value.clone(), Doc::plain(lsn))
        };
        parts.push(("lsns", Doc::Map(lsns.iter().map(one).collect())));
    }
    (!parts.is_empty()).then(|| Doc::map(parts))
}

/// The tables of a `mirror_rows` step.
pub(super) fn mirror_rows(tables: &[MirrorRows]) -> Vec<(String, Doc)> {
    let one = |looked: &MirrorRows| {
        let rows = values::rows(&looked.table, &looked.rows);
        (looked.table.name.clone(), rows)
    };
    tables.iter().map(one).collect()
}
