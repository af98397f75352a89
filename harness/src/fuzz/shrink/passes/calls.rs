//! Calls that are written out, made smaller.

use mirrorlab_protocol::names::fold;

use crate::scenario::model::{Scenario, StepKind};
use crate::scenario::sent::{MirrorRows, SentBatch, SentCall, SentColumn};
use crate::scenario::shapes::Shapes;

fn batches(scenario: &mut Scenario) -> impl Iterator<Item = &mut Vec<SentBatch>> {
    scenario.steps.iter_mut().filter_map(|step| match &mut step.kind {
        StepKind::Send(sent) => match &mut sent.call {
            SentCall::Rows(batches) => Some(batches),
            _ => None,
        },
        _ => None,
    })
}

/// Removes the `left`-th of several lists' items, or says how many there were less.
fn take<T>(list: &mut Vec<T>, left: &mut usize) -> bool {
    match *left < list.len() {
        true => {
            list.remove(*left);
            true
        }
        false => {
            *left -= list.len();
            false
        }
    }
}

/// A batch less, or a table less that TableSchema names, or that is looked at.
pub(super) fn without_part(scenario: &Scenario, at: usize) -> Option<Scenario> {
    let mut smaller = scenario.clone();
    let mut left = at;
    for step in &mut smaller.steps {
        let taken = match &mut step.kind {
            StepKind::Send(sent) => match &mut sent.call {
                SentCall::Rows(batches) => take(batches, &mut left),
                SentCall::Schema(names) => take(names, &mut left),
                _ => false,
            },
            StepKind::MirrorRows(looked) => take(looked, &mut left),
            _ => false,
        };
        if taken {
            return Some(smaller);
        }
    }
    None
}

/// A row less.
pub(super) fn without_sent_row(scenario: &Scenario, at: usize) -> Option<Scenario> {
    let mut smaller = scenario.clone();
    let mut left = at;
    let taken = batches(&mut smaller)
        .flatten()
        .any(|batch| take(&mut batch.rows, &mut left));
    taken.then_some(smaller)
}

/// A batch with the source's columns, without an LSN, or a row's cells and operation as plain as they can be.
pub(super) fn plainer_batch(scenario: &Scenario, at: usize) -> Option<Scenario> {
    let mut smaller = scenario.clone();
    let (mut left, mut found) = (at, false);
    for batch in batches(&mut smaller).flatten() {
        let mut plainer: Vec<SentBatch> = Vec::new();
        if batch.columns.is_some() {
            plainer.push(SentBatch {
                columns: None,
                ..batch.clone()
            });
        }
        if batch.lsn.is_some() {
            plainer.push(SentBatch {
                lsn: None,
                ..batch.clone()
            });
        }
        for row in 0..batch.rows.len() {
            for cell in 0..batch.rows[row].cells.len() {
                for simpler in simpler_cells(batch.rows[row].cells[cell].as_deref()) {
                    let mut with = batch.clone();
                    with.rows[row].cells[cell] = simpler;
                    plainer.push(with);
                }
            }
        }
        match left.checked_sub(plainer.len()) {
            None => {
                *batch = plainer.swap_remove(left);
                found = true;
                break;
            }
            Some(rest) => left = rest,
        }
    }
    found.then_some(smaller)
}

/// Simpler cells, each shorter than the one that is there, or NULL. They are cells that the model reads.
fn simpler_cells(cell: Option<&str>) -> Vec<Option<String>> {
    let Some(cell) = cell else { return Vec::new() };
    let mut simpler = vec![None];
    let shorter = ["", "1", "a", "[I:1]"]
        .into_iter()
        .filter(|text| text.len() < cell.len());
    simpler.extend(shorter.map(|text| Some(text.to_owned())));
    simpler
}

/// Takes a column of a table out of a step that sends or looks.
pub(super) fn without_column(
    kind: &mut StepKind,
    shapes: &Shapes,
    tenant: Option<&String>,
    table: &str,
    column: &str,
) {
    match kind {
        StepKind::Send(sent) => {
            let SentCall::Rows(batches) = &mut sent.call else {
                return;
            };
            for batch in batches {
                if batch.table.as_ref().is_none_or(|name| fold(name) != table) {
                    continue;
                }
                let known = shapes.table(tenant, table);
                let at = match &mut batch.columns {
                    Some(columns) if !columns.is_empty() => {
                        let at = columns.iter().position(|c: &SentColumn| fold(c.name()) == column);
                        if let Some(at) = at {
                            columns.remove(at);
                        }
                        at
                    }
                    _ => known.and_then(|t| t.position(column)),
                };
                let Some(at) = at else { continue };
                for row in batch
                    .rows
                    .iter_mut()
                    .filter(|row| at < row.cells.len() && row.cells.len() > 1)
                {
                    row.cells.remove(at);
                }
            }
        }
        StepKind::MirrorRows(looked) => {
            for MirrorRows {
                table: shape, rows, ..
            } in looked.iter_mut().filter(|l| fold(&l.table.name) == table)
            {
                if let Some(at) = shape.position(column) {
                    shape.columns.remove(at);
                    rows.iter_mut().for_each(|row| drop(row.remove(at)));
                }
            }
        }
        _ => {}
    }
}
