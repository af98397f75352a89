//! Calls that a file writes out, and what the mirror holds after them.

use std::borrow::Cow;

use mirrorlab_protocol::message::{
    Request, ResponseDetail, RowDataBatch, RowOperation, Rows, TableSchemaInfo,
};
use mirrorlab_protocol::names::{fold, same_name};
use mirrorlab_protocol::schema::{Column, Table};
use mirrorlab_protocol::value::Value;
use mirrorlab_simulator::task::send::CycleError;

use super::check::Mismatch;
use super::world::{World, WorldError};
use crate::compare::SideTable;
use crate::scenario::place::At;
use crate::scenario::sent::{MirrorRows, Sent, SentBatch, SentCall, SentColumn};

/// How many rows a message lists.
const ROWS_SHOWN: usize = 12;

/// Sends a call as a tenant, and says what is wrong with its answer.
///
/// # Errors
/// [`WorldError`] where it cannot be sent as it is written.
pub fn send(world: &mut World, context: &str, sent: &Sent, at: At) -> Result<Vec<Mismatch>, WorldError> {
    let tables = world.office.tenant(context)?.source().tables()?;
    let parts = Parts::of(&sent.call, &tables)?;
    let answered = world
        .office
        .call(context, &|client_state| parts.request(client_state))?;
    // They belong to no cycle.
    world.faults.take_calls(context);
    world.admin.take_events(context);
    let foreign_words = !world.has_our_words;
    Ok(answer(sent, at, &answered, foreign_words))
}

fn answer(
    sent: &Sent,
    at: At,
    answered: &Result<ResponseDetail, CycleError>,
    foreign_words: bool,
) -> Vec<Mismatch> {
    let operation = sent.call.operation();
    let mismatch = |check, at, expected: String, received: String| {
        vec![Mismatch {
            check,
            at,
            expected,
            received,
            message: None,
        }]
    };
    // A bare HTTP status says that something went wrong on the way, and a refused Authenticate says nothing of the call.
    // Where the words are ours, so is the form of a refusal; of somebody else's server a SOAP fault has to do.
    let is_refusal = |error: &CycleError| match error {
        CycleError::Refused { call, .. } => call.operation == operation,
        CycleError::Fault { call, .. } => foreign_words && call.operation == operation,
        _ => false,
    };
    match (&sent.expect.refused, answered) {
        (Some(text), Err(error)) if is_refusal(error) => {
            let said = error.to_string();
            match foreign_words || text.matches(&said) {
                true => Vec::new(),
                false => mismatch(
                    "call-error-text",
                    text.at,
                    format!("a refusal with `{}`", text.value),
                    said,
                ),
            }
        }
        (Some(text), Err(error)) => mismatch(
            "call-outcome",
            text.at,
            format!("{operation} is refused"),
            error.to_string(),
        ),
        (Some(text), Ok(_)) => mismatch(
            "call-outcome",
            text.at,
            format!("{operation} is refused"),
            "it is answered as done".into(),
        ),
        (None, Err(error)) => mismatch(
            "call-outcome",
            at,
            format!("{operation} is done"),
            error.to_string(),
        ),
        (None, Ok(detail)) => match (&sent.expect.lsns, detail) {
            (Some(wanted), ResponseDetail::TableSchema(answered)) => {
                let sorted = |mut lsns: Vec<(String, i64)>| {
                    lsns.sort();
                    lsns
                };
                let want = sorted(wanted.value.iter().map(|(t, lsn)| (fold(t), *lsn)).collect());
                let got = sorted(answered.iter().map(|a| (fold(&a.table), a.lsn)).collect());
                match want == got {
                    true => Vec::new(),
                    false => mismatch("call-lsns", wanted.at, lsns(&want), lsns(&got)),
                }
            }
            _ => Vec::new(),
        },
    }
}

fn lsns(lsns: &[(String, i64)]) -> String {
    let each: Vec<String> = lsns.iter().map(|(table, lsn)| format!("{table} {lsn}")).collect();
    match each.is_empty() {
        true => "no LSN".into(),
        false => each.join(", "),
    }
}

/// A call, with the columns that the source has for it.
enum Parts<'s> {
    Schema(Vec<&'s Table>),
    Wipe(Option<&'s str>),
    Rows(Vec<(&'s SentBatch, Option<Table>)>),
    Completed,
}

impl<'s> Parts<'s> {
    fn of(call: &'s SentCall, tables: &'s [Table]) -> Result<Parts<'s>, WorldError> {
        let table = |name: &str| tables.iter().find(|t| same_name(&t.name, name));
        Ok(match call {
            SentCall::Schema(names) => {
                let of = |name: &crate::scenario::place::Spanned<String>| {
                    table(name).ok_or_else(|| WorldError::Step(format!("the source has no table `{name}`")))
                };
                Parts::Schema(names.iter().map(of).collect::<Result<_, _>>()?)
            }
            SentCall::Wipe(name) => Parts::Wipe(name.as_ref().map(|n| n.as_str())),
            SentCall::Completed => Parts::Completed,
            SentCall::Rows(batches) => {
                let mut parts = Vec::new();
                for batch in batches {
                    let info = batch.table.as_ref().map(|name| info(batch, name, table(name)));
                    parts.push((batch, info.transpose()?));
                }
                Parts::Rows(parts)
            }
        })
    }

    fn request(&self, client_state: Option<String>) -> Request<'s> {
        let client_state = client_state.map(Cow::Owned);
        match self {
            Parts::Schema(tables) => Request::TableSchema {
                client_state,
                tables: tables.iter().map(|table| table.to_wire()).collect(),
            },
            Parts::Wipe(name) => Request::Wipe {
                client_state,
                table: name.map(Cow::Borrowed),
            },
            Parts::Completed => Request::ReplicationCompleted {
                client_state,
                changed: Vec::new(),
            },
            Parts::Rows(batches) => Request::RowData {
                client_state,
                batches: batches
                    .iter()
                    .map(|(batch, info)| on_the_wire(batch, info.as_ref()))
                    .collect(),
            },
        }
    }
}

/// What a batch's TableInfo says.
fn info(batch: &SentBatch, name: &str, table: Option<&Table>) -> Result<Table, WorldError> {
    let columns = match (&batch.columns, table) {
        (None, Some(table)) => table.columns.clone(),
        (None, None) => Vec::new(),
        (Some(columns), table) => {
            let of = |column: &SentColumn| match column {
                SentColumn::Written(column) => Ok(column.value.clone()),
                SentColumn::Named(name) => {
                    let known = table.and_then(|t| Some(t.columns[t.position(name)?].clone()));
                    known.ok_or_else(|| {
                        WorldError::Step(format!(
                            "the source has no column `{name}`, and nobody says its type"
                        ))
                    })
                }
            };
            columns.iter().map(of).collect::<Result<Vec<Column>, _>>()?
        }
    };
    Ok(Table {
        name: name.to_owned(),
        columns,
    })
}

fn on_the_wire<'s>(batch: &'s SentBatch, info: Option<&Table>) -> RowDataBatch<'s> {
    let mut rows = Rows::default();
    for row in &batch.rows {
        // Whatever is written there stands there.
        let operation = RowOperation::Unknown(row.operation.as_str().into());
        rows.push(
            operation,
            row.cells.iter().map(|cell| cell.as_deref().map(Cow::Borrowed)),
        );
    }
    RowDataBatch {
        rows,
        lsn: batch.lsn,
        table: info.map(owned),
    }
}

/// A TableInfo that outlives the table.
fn owned(table: &Table) -> TableSchemaInfo<'static> {
    let own = |text: Option<Cow<'_, str>>| text.map(|text| Cow::Owned(text.into_owned()));
    let info = table.to_wire();
    TableSchemaInfo {
        columns: info
            .columns
            .into_iter()
            .map(|column| mirrorlab_protocol::message::ColumnInfo {
                default: own(column.default),
                nullable: column.nullable,
                name: own(column.name),
                ty: own(column.ty),
            })
            .collect(),
        name: own(info.name),
    }
}

/// Looks whether tables of a mirror hold the rows that they must hold.
///
/// # Errors
/// [`WorldError::Mirror`] where the mirror cannot be read.
pub fn mirror_rows(world: &World, context: &str, tables: &[MirrorRows]) -> Result<Vec<Mismatch>, WorldError> {
    let failed = |error: &dyn std::fmt::Display| WorldError::Mirror(error.to_string());
    let mut side = world.mirror(context)?.side().map_err(|e| failed(&e))?;
    let there: Vec<SideTable> = side.tables().map_err(|e| failed(&e))?;
    let mut found = Vec::new();
    for wanted in tables {
        let mut mismatch = |received: String| {
            found.push(Mismatch {
                check: "mirror-rows",
                at: wanted.at,
                expected: format!("`{}` holds {}", wanted.table.name, listed(&wanted.rows)),
                received,
                message: None,
            });
        };
        let Some(table) = there.iter().find(|t| same_name(&t.name, &wanted.table.name)) else {
            mismatch("there is no such table".into());
            continue;
        };
        let positions: Option<Vec<usize>> = wanted
            .table
            .columns
            .iter()
            .map(|column| table.readable.position(&column.name))
            .collect();
        let Some(positions) = positions.filter(|p| p.len() == table.columns().count()) else {
            let columns: Vec<&str> = table.columns().collect();
            mismatch(format!("its columns are {}", columns.join(", ")));
            continue;
        };
        let mut rows: Vec<Vec<Value<'static>>> = Vec::new();
        let mut unreadable = None;
        side.rows(&table.readable, &positions, 1, &mut |cursor| {
            while cursor.advance()? {
                let cells = (0..positions.len()).map(|at| cursor.cell(at).map(Value::into_owned));
                match cells.collect() {
                    Ok(row) => rows.push(row),
                    Err(cell) => unreadable = Some(cell.0),
                }
            }
            Ok(())
        })
        .map_err(|e| failed(&e))?;
        let mut left = rows.clone();
        let all_there = wanted.rows.iter().all(|row| {
            let at = left.iter().position(|r| r == row);
            at.map(|at| left.swap_remove(at)).is_some()
        });
        if let Some(why) = unreadable {
            mismatch(format!("a cell that is no value of its type: {why}"));
        } else if !all_there || !left.is_empty() {
            mismatch(listed(&rows));
        }
    }
    Ok(found)
}

fn listed(rows: &[Vec<Value<'static>>]) -> String {
    let row = |row: &Vec<Value<'static>>| {
        let cells: Vec<String> = row.iter().map(ToString::to_string).collect();
        format!("({})", cells.join(", "))
    };
    let mut shown: Vec<String> = rows.iter().take(ROWS_SHOWN).map(row).collect();
    if rows.len() > ROWS_SHOWN {
        shown.push(format!("and {} more", rows.len() - ROWS_SHOWN));
    }
    match shown.is_empty() {
        true => "no rows".into(),
        false => shown.join(", "),
    }
}

#[cfg(test)]
mod tests {
    use mirrorlab_protocol::names::Operation;
    use mirrorlab_protocol::soap::Fault;
    use mirrorlab_simulator::task::send::CallName;

    use super::*;
    use crate::scenario::expect::TextPattern;
    use crate::scenario::place::Spanned;
    use crate::scenario::sent::SentExpect;

    fn name(operation: Operation) -> CallName {
        CallName {
            operation,
            tables: Vec::new(),
        }
    }

    /// The check that fails where a RowData is to be refused with any text.
    fn failed(error: CycleError, foreign_words: bool) -> Option<&'static str> {
        let any = Spanned::new(TextPattern::new("*"), At::default());
        let sent = Sent {
            call: SentCall::Rows(Vec::new()),
            expect: SentExpect {
                refused: Some(any),
                lsns: None,
            },
        };
        let found = answer(&sent, At::default(), &Err(error), foreign_words);
        found.first().map(|mismatch| mismatch.check)
    }

    #[test]
    fn a_refusal_is_this_calls_and_in_a_refusals_form() {
        let refused = |operation| CycleError::Refused {
            call: name(operation),
            text: "no".into(),
        };
        let fault = |operation| CycleError::Fault {
            call: name(operation),
            status: 500,
            fault: Fault {
                code: "s:Server".into(),
                text: "an invariant does not hold".into(),
            },
        };
        let status = |status| CycleError::Status {
            call: name(Operation::RowData),
            status,
            text: String::new(),
        };
        for foreign in [false, true] {
            assert_eq!(failed(refused(Operation::RowData), foreign), None);
            let other = refused(Operation::Authenticate);
            assert_eq!(failed(other, foreign), Some("call-outcome"));
            let other = fault(Operation::Authenticate);
            assert_eq!(failed(other, foreign), Some("call-outcome"));
            for number in [404, 413, 502, 503] {
                assert_eq!(failed(status(number), foreign), Some("call-outcome"), "{number}");
            }
        }
        // Ours says why in the answer; a fault of it is a defect.
        assert_eq!(failed(fault(Operation::RowData), false), Some("call-outcome"));
        assert_eq!(failed(fault(Operation::RowData), true), None);
    }
}
