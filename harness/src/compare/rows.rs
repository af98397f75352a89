//! Two tables' rows: a merge join over both sides' key order.

use std::cmp::Ordering;
use std::fmt::Write as _;

use mirrorlab_protocol::value::Value;

use super::finding::{Finding, Kind, Recorder};
use super::schema::Plan;
use super::show;
use super::side::{Cursor, Side, SideError, UnreadableCell};

/// Compares every row of both sides.
///
/// # Errors
/// [`SideError`] where a side cannot be read.
pub(super) fn compare(
    left: &mut dyn Side,
    right: &mut dyn Side,
    plan: &Plan,
    recorder: &mut Recorder,
) -> Result<(), SideError> {
    let keys = plan.key_columns;
    left.rows(&plan.left, &plan.left_columns, keys, &mut |a| {
        right.rows(&plan.right, &plan.right_columns, keys, &mut |b| {
            let mut merge = Merge {
                plan,
                recorder: &mut *recorder,
            };
            merge.run(&mut Head::new(a, Which::Left), &mut Head::new(b, Which::Right))
        })
    })
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Which {
    Left,
    Right,
}

/// One side's present row.
struct Head<'c> {
    cursor: &'c mut dyn Cursor,
    which: Which,
    /// The present row's key, with which the next one's order is checked; empty before the first row.
    last: Vec<Value<'static>>,
    state: State,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum State {
    Row,
    End,
    /// The order is broken: what follows cannot be merged.
    Broken,
}

impl<'c> Head<'c> {
    fn new(cursor: &'c mut dyn Cursor, which: Which) -> Head<'c> {
        Head {
            cursor,
            which,
            last: Vec::new(),
            state: State::End,
        }
    }
}

struct Merge<'r> {
    plan: &'r Plan,
    recorder: &'r mut Recorder,
}

impl Merge<'_> {
    fn run(&mut self, a: &mut Head<'_>, b: &mut Head<'_>) -> Result<(), SideError> {
        self.advance(a)?;
        self.advance(b)?;
        loop {
            let order = match (a.state, b.state) {
                (State::Broken, _) | (_, State::Broken) => {
                    let what = format!("further rows of {}", self.recorder.table().name);
                    self.recorder
                        .not_compared(&what, "the rows of one side do not come in key order");
                    return Ok(());
                }
                (State::End, State::End) => return Ok(()),
                (State::Row, State::End) => Ordering::Less,
                (State::End, State::Row) => Ordering::Greater,
                (State::Row, State::Row) => order_keys(&a.last, &b.last),
            };
            match order {
                Ordering::Less => {
                    self.row_alone(Kind::RowMissing, a);
                    self.advance(a)?;
                }
                Ordering::Greater => {
                    self.row_alone(Kind::RowExtra, b);
                    self.advance(b)?;
                }
                Ordering::Equal => {
                    self.cells(a, b);
                    self.advance(a)?;
                    self.advance(b)?;
                }
            }
        }
    }

    /// Goes to the side's next row whose key is readable and new.
    fn advance(&mut self, head: &mut Head<'_>) -> Result<(), SideError> {
        let side = |(left, right): (&str, &str)| match head.which {
            Which::Left => left.to_owned(),
            Which::Right => right.to_owned(),
        };
        while head.cursor.advance()? {
            let table = self.recorder.table();
            match head.which {
                Which::Left => table.rows_left += 1,
                Which::Right => table.rows_right += 1,
            }
            let key = (0..self.plan.key_columns)
                .map(|at| head.cursor.cell(at).map(Value::into_owned))
                .collect::<Result<Vec<_>, _>>();
            let key = match key {
                Ok(key) => key,
                Err(found) => {
                    self.recorder.add_with(Kind::KeyUnreadable, |names| Finding {
                        note: Some(format!("in {}: {}", side(names), found.0)),
                        ..Finding::of_table(Kind::KeyUnreadable)
                    });
                    continue;
                }
            };
            let order = match head.last.is_empty() {
                true => Ordering::Less,
                false => order_keys(&head.last, &key),
            };
            if order != Ordering::Less {
                let kind = match order {
                    Ordering::Equal => Kind::KeyDuplicate,
                    _ => Kind::KeyOrder,
                };
                let shown = self.key_text(&key);
                let before = self.key_text(&head.last);
                self.recorder.add_with(kind, |names| Finding {
                    note: Some(match kind {
                        Kind::KeyDuplicate => format!("more than once in {}", side(names)),
                        _ => format!("in {} after {before}", side(names)),
                    }),
                    ..Finding::of_row(kind, shown)
                });
                if kind == Kind::KeyDuplicate {
                    continue;
                }
                head.state = State::Broken;
                return Ok(());
            }
            head.last = key;
            head.state = State::Row;
            return Ok(());
        }
        head.state = State::End;
        Ok(())
    }

    fn row_alone(&mut self, kind: Kind, head: &Head<'_>) {
        let plan = self.plan;
        self.recorder
            .add_with(kind, |_| Finding::of_row(kind, key_text(plan, &head.last)));
    }

    fn cells(&mut self, a: &Head<'_>, b: &Head<'_>) {
        let plan = self.plan;
        let (left, right) = (|at| a.cursor.cell(at), |at| b.cursor.cell(at));
        self.recorder.table().rows_compared += 1;
        compare_cells(plan, &a.last, &left, &right, self.recorder);
    }

    fn key_text(&self, key: &[Value<'_>]) -> String {
        key_text(self.plan, key)
    }
}

/// A side's cells of one row, counted in the columns asked for.
pub(super) type Cells<'c> = dyn Fn(usize) -> Result<Value<'c>, UnreadableCell> + 'c;

/// Records every cell in which two rows of one key differ; whether there was one.
pub(super) fn compare_cells<'c>(
    plan: &Plan,
    key: &[Value<'_>],
    left: &Cells<'c>,
    right: &Cells<'c>,
    recorder: &mut Recorder,
) -> bool {
    let mut differ = false;
    for at in plan.key_columns..plan.left_columns.len() {
        let (x, y) = (left(at), right(at));
        let kind = match (&x, &y) {
            (Ok(x), Ok(y)) if x == y => continue,
            (Ok(_), Ok(_)) => Kind::Cell,
            _ => Kind::CellUnreadable,
        };
        differ = true;
        recorder.add_with(kind, |_| {
            let column = &plan.left.columns[plan.left_columns[at]].name;
            let shown = match (&x, &y) {
                (Ok(x), Ok(y)) => show::pair(x, y),
                _ => {
                    let text = |cell: &Result<Value<'_>, _>| match cell {
                        Ok(value) => show::one(value),
                        Err(UnreadableCell(found)) => found.clone(),
                    };
                    show::Pair {
                        left: text(&x),
                        right: text(&y),
                        note: Some("not a value of the column's type".into()),
                    }
                }
            };
            Finding {
                column: Some(column.clone()),
                note: shown.note,
                ..Finding::of_row(kind, key_text(plan, key)).with(shown.left, shown.right)
            }
        });
    }
    differ
}

/// `contact_id=17`, or `a=1, b='x'`.
pub(super) fn key_text(plan: &Plan, key: &[Value<'_>]) -> String {
    let mut out = String::new();
    for (value, at) in key.iter().zip(&plan.left_columns) {
        if !out.is_empty() {
            out.push_str(", ");
        }
        let _ = write!(out, "{}={}", plan.left.columns[*at].name, show::one(value));
    }
    out
}

fn order_keys(a: &[Value<'_>], b: &[Value<'_>]) -> Ordering {
    a.iter()
        .zip(b)
        .map(|(x, y)| order_values(x, y))
        .find(|order| order.is_ne())
        .unwrap_or(Ordering::Equal)
}

/// The order that a [`Side`] promises of its rows: numbers and dates by value, the others by their bytes or their
/// text's code points. NULL comes first.
pub(super) fn order_values(a: &Value<'_>, b: &Value<'_>) -> Ordering {
    match (a, b) {
        (Value::Int(x), Value::Int(y)) => x.cmp(y),
        // Zeros are one number to every engine's order.
        (Value::Float(x), Value::Float(y)) => x.partial_cmp(y).unwrap_or_else(|| x.total_cmp(y)),
        (Value::Decimal(x), Value::Decimal(y)) => x.to_string().cmp(&y.to_string()),
        (Value::DateTime(x), Value::DateTime(y)) => x.cmp(y),
        (Value::Offset { local: x, minutes: m }, Value::Offset { local: y, minutes: n }) => {
            x.cmp(y).then_with(|| offset_text(*m).cmp(&offset_text(*n)))
        }
        (Value::Time(x), Value::Time(y)) => x.cmp(y),
        // UTF-8's byte order is the order of code points.
        (Value::Text(x), Value::Text(y)) => x.as_bytes().cmp(y.as_bytes()),
        (Value::Binary(x), Value::Binary(y)) => x.cmp(y),
        (Value::Guid(x), Value::Guid(y)) => x.cmp(y),
        _ => b.is_null().cmp(&a.is_null()),
    }
}

fn offset_text(minutes: i16) -> Vec<u8> {
    let mut out = Vec::with_capacity(6);
    mirrorlab_protocol::value::write_offset(&mut out, minutes);
    out
}
