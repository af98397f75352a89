//! Rows into RowData messages of limited size.
//!
//! A row that would make a message too large goes into the next one; a row that is too large by itself goes alone. A
//! table's last batch is only known when its rows are over, so one batch is always held back: it gets the LSN.

use mirrorlab_protocol::message::{RowDataBody, RowOperation};
use mirrorlab_protocol::schema::Table;
use mirrorlab_protocol::types::ColumnType;
use mirrorlab_protocol::value::Value;

use crate::source::{Flow, SourceError};

/// What a message may be like.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Limits {
    /// The most bytes of a message that has more than one row.
    pub bytes_max: usize,
    /// Whether a message may have batches of several tables.
    pub share_calls: bool,
    /// The LSN of all but a table's last batch.
    pub earlier_lsn: i64,
}

/// A batch, as the report counts it once it is answered.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Part {
    /// Where its table stands in the cycle's list.
    pub table: usize,
    /// Rows as I.
    pub inserts: u64,
    /// Rows as U.
    pub updates: u64,
    /// Rows as D.
    pub deletes: u64,
    /// The LSN of a table's last batch.
    pub lsn: Option<i64>,
}

/// One call to be made.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Parcel {
    /// A Wipe.
    Wipe {
        /// Where its table stands in the cycle's list.
        table: usize,
    },
    /// A RowData.
    Rows {
        /// The whole message, without envelope.
        message: Vec<u8>,
        /// Its batches.
        parts: Vec<Part>,
    },
}

/// Takes calls, in the order in which they are to be made.
pub trait Outlet {
    /// Takes a call; [`Flow::Stop`] says that no more are wanted.
    fn push(&mut self, parcel: Parcel) -> Flow;
}

/// Packs rows, table after table.
pub struct Batcher<'o, 't> {
    limits: Limits,
    client_state: Option<String>,
    outlet: &'o mut dyn Outlet,
    body: RowDataBody,
    parts: Vec<Part>,
    table: Option<Open<'t>>,
    /// What closes a message, in bytes.
    message_end: usize,
    stopped: bool,
}

/// The table whose rows come.
struct Open<'t> {
    table: &'t Table,
    types: Vec<ColumnType>,
    /// What closes a batch and its message, in bytes, at most.
    end: usize,
    part: Part,
}

impl<'o, 't> Batcher<'o, 't> {
    /// Begins. `client_state` stands in every message.
    pub fn new(limits: Limits, client_state: Option<String>, outlet: &'o mut dyn Outlet) -> Batcher<'o, 't> {
        let probe = RowDataBody::new(None);
        let begin = probe.byte_count();
        Batcher {
            limits,
            body: RowDataBody::new(client_state.as_deref()),
            client_state,
            outlet,
            parts: Vec::new(),
            table: None,
            message_end: probe.finish().len() - begin,
            stopped: false,
        }
    }

    /// A Wipe of the table `at`.
    pub fn wipe(&mut self, at: usize) -> Flow {
        self.push(Parcel::Wipe { table: at })
    }

    /// The rows that follow are of this table, which stands at `at`.
    pub fn begin(&mut self, at: usize, table: &'t Table) {
        let mut probe = RowDataBody::new(None);
        let begin = probe.byte_count();
        // No LSN is longer than this one.
        probe.end_batch(i64::MIN, table);
        self.table = Some(Open {
            table,
            types: table.columns.iter().map(|column| column.ty).collect(),
            end: probe.byte_count() - begin + self.message_end,
            part: Part {
                table: at,
                ..Part::default()
            },
        });
    }

    /// One row: all values, in the table's order.
    ///
    /// # Errors
    /// [`SourceError`] for a row that is not of this table.
    pub fn row(&mut self, operation: &RowOperation, row: &[Value<'_>]) -> Result<Flow, SourceError> {
        let Some(open) = &mut self.table else {
            return Ok(Flow::Stop);
        };
        if self.stopped {
            return Ok(Flow::Stop);
        }
        let wrong = |why: String| SourceError {
            source_name: format!("table `{}`", open.table.name),
            doing: "send a row".into(),
            why,
        };
        if row.len() != open.types.len() {
            let (got, wanted) = (row.len(), open.types.len());
            return Err(wrong(format!("it has {got} values, the table {wanted} columns")));
        }
        if let RowOperation::Unknown(letter) = operation {
            return Err(wrong(format!("its operation is `{letter}`")));
        }
        self.body.row(
            operation,
            row.iter().map(borrowed).zip(open.types.iter().copied()),
        );
        let too_large = self.body.byte_count() + open.end > self.limits.bytes_max;
        let alone = self.body.rows_in_batch() == 1 && self.parts.is_empty();
        if too_large && !alone {
            let row = self.body.take_row().expect("a row was just written");
            self.flush();
            self.body.put_row(&row);
        }
        if let Some(open) = &mut self.table {
            match operation {
                RowOperation::Insert => open.part.inserts += 1,
                RowOperation::Update => open.part.updates += 1,
                RowOperation::Delete | RowOperation::Unknown(_) => open.part.deletes += 1,
            }
        }
        Ok(self.flow())
    }

    /// The table's rows are over: its last batch carries `lsn`. Without any row there is no batch, unless `always`.
    pub fn end(&mut self, lsn: i64, always: bool) -> Flow {
        let Some(open) = self.table.take() else {
            return self.flow();
        };
        let empty = self.body.rows_in_batch() == 0;
        if self.stopped || (empty && !always) {
            return self.flow();
        }
        if empty && !self.parts.is_empty() && self.body.byte_count() + open.end > self.limits.bytes_max {
            self.flush();
        }
        self.body.end_batch(lsn, open.table);
        self.parts.push(Part {
            lsn: Some(lsn),
            ..open.part
        });
        if !self.limits.share_calls {
            self.flush();
        }
        self.flow()
    }

    /// No more tables.
    pub fn finish(&mut self) {
        self.flush();
    }

    /// Closes the open batch as one that is not the table's last, and hands the message over.
    fn flush(&mut self) {
        if let Some(open) = &mut self.table
            && self.body.rows_in_batch() > 0
        {
            self.body.end_batch(self.limits.earlier_lsn, open.table);
            self.parts.push(open.part);
            open.part = Part {
                table: open.part.table,
                ..Part::default()
            };
        }
        if self.parts.is_empty() {
            return;
        }
        let next = RowDataBody::new(self.client_state.as_deref());
        let message = std::mem::replace(&mut self.body, next).finish();
        let parts = std::mem::take(&mut self.parts);
        self.push(Parcel::Rows { message, parts });
    }

    fn push(&mut self, parcel: Parcel) -> Flow {
        if !self.stopped && self.outlet.push(parcel) == Flow::Stop {
            self.stopped = true;
        }
        self.flow()
    }

    fn flow(&self) -> Flow {
        if self.stopped { Flow::Stop } else { Flow::Continue }
    }
}

/// The same value without a copy of its text or bytes.
fn borrowed<'v>(value: &'v Value<'_>) -> Value<'v> {
    match value {
        Value::Text(text) => Value::Text(text.as_ref().into()),
        Value::Binary(bytes) => Value::Binary(bytes.as_ref().into()),
        Value::Null => Value::Null,
        Value::Int(x) => Value::Int(*x),
        Value::Float(x) => Value::Float(*x),
        Value::Decimal(x) => Value::Decimal(*x),
        Value::DateTime(x) => Value::DateTime(*x),
        Value::Offset { local, minutes } => Value::Offset {
            local: *local,
            minutes: *minutes,
        },
        Value::Time(x) => Value::Time(*x),
        Value::Guid(x) => Value::Guid(*x),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::{envelope_request, table};
    use mirrorlab_protocol::message::Request;
    use proptest::prelude::*;

    #[derive(Default)]
    struct Kept {
        parcels: Vec<Parcel>,
        stop_at: Option<usize>,
    }

    impl Outlet for Kept {
        fn push(&mut self, parcel: Parcel) -> Flow {
            self.parcels.push(parcel);
            if self.stop_at == Some(self.parcels.len()) {
                Flow::Stop
            } else {
                Flow::Continue
            }
        }
    }

    type Row = (RowOperation, i64, String);

    fn operation() -> impl Strategy<Value = RowOperation> {
        prop_oneof![
            Just(RowOperation::Insert),
            Just(RowOperation::Update),
            Just(RowOperation::Delete)
        ]
    }

    fn rows() -> impl Strategy<Value = Vec<Row>> {
        prop::collection::vec((operation(), 0_i64..1000, "[a-z<&\n ]{0,120}"), 0..40)
    }

    proptest! {
        /// What comes out is what went in; no message is too large but for one row; the LSN is on the last batch alone.
        #[test]
        fn any_rows_in_any_size(
            tables in prop::collection::vec((rows(), any::<bool>()), 1..5),
            bytes_max in 1_usize..6000,
            share_calls in any::<bool>(),
            earlier_lsn in -1_i64..=0,
            client_state in prop::option::of("[a-z]{0,20}"),
        ) {
            let shapes: Vec<_> = (0..tables.len()).map(|n| table(&format!("t{n}"))).collect();
            let mut kept = Kept::default();
            let mut batcher =
                Batcher::new(Limits { bytes_max, share_calls, earlier_lsn }, client_state.clone(), &mut kept);
            for (at, (rows, always)) in tables.iter().enumerate() {
                batcher.begin(at, &shapes[at]);
                for (operation, key, text) in rows {
                    let row = [Value::Int(*key), Value::Text(text.as_str().into())];
                    prop_assert_eq!(batcher.row(operation, &row).unwrap(), Flow::Continue);
                }
                batcher.end(77, *always);
            }
            batcher.finish();

            let mut out: Vec<(Vec<Row>, Vec<i64>)> = vec![Default::default(); tables.len()];
            for parcel in &kept.parcels {
                let Parcel::Rows { message, parts } = parcel else { panic!("no wipe was asked for") };
                let text = envelope_request(message);
                let Request::RowData { client_state: state, batches } = crate::testing::read(&text) else {
                    panic!("no RowData")
                };
                prop_assert_eq!(state.as_deref(), client_state.as_deref());
                prop_assert!(!batches.is_empty());
                let row_count: usize = batches.iter().map(|b| b.rows.len()).sum();
                prop_assert!(message.len() <= bytes_max || (row_count <= 1 && batches.len() == 1));
                if !share_calls {
                    prop_assert_eq!(batches.len(), 1);
                }
                prop_assert_eq!(batches.len(), parts.len());
                for (batch, part) in batches.iter().zip(parts) {
                    let name = batch.table.as_ref().unwrap().name.as_deref().unwrap();
                    prop_assert_eq!(name, format!("t{}", part.table));
                    let lsn = batch.lsn.unwrap();
                    prop_assert_eq!(part.lsn, (lsn == 77).then_some(77));
                    let (rows, lsns) = &mut out[part.table];
                    lsns.push(lsn);
                    let mut counts = Part { table: part.table, lsn: part.lsn, ..Part::default() };
                    for row in batch.rows.iter() {
                        match row.operation {
                            RowOperation::Insert => counts.inserts += 1,
                            RowOperation::Update => counts.updates += 1,
                            _ => counts.deletes += 1,
                        }
                        let key = row.cells[0].as_deref().unwrap();
                        let key = key.strip_prefix("[I:").unwrap().strip_suffix(']').unwrap();
                        let text = row.cells[1].as_deref().unwrap().to_owned();
                        rows.push((row.operation.clone(), key.parse().unwrap(), text));
                    }
                    prop_assert_eq!(*part, counts);
                }
            }
            for ((rows, always), (out_rows, lsns)) in tables.iter().zip(&out) {
                prop_assert_eq!(rows, out_rows);
                match lsns.split_last() {
                    None => prop_assert!(rows.is_empty() && !always),
                    Some((last, earlier)) => {
                        prop_assert_eq!(*last, 77);
                        prop_assert!(earlier.iter().all(|lsn| *lsn == earlier_lsn));
                    }
                }
            }
        }
    }

    #[test]
    fn messages_are_filled() {
        let shape = table("t");
        let mut kept = Kept::default();
        let limits = Limits {
            bytes_max: 2000,
            share_calls: false,
            earlier_lsn: 0,
        };
        let mut batcher = Batcher::new(limits, None, &mut kept);
        batcher.begin(0, &shape);
        for key in 0..100 {
            let row = [Value::Int(key), Value::Text("x".repeat(50).into())];
            batcher.row(&RowOperation::Insert, &row).unwrap();
        }
        batcher.end(5, true);
        let (last, full) = kept.parcels.split_last().unwrap();
        let length = |parcel: &Parcel| match parcel {
            Parcel::Rows { message, .. } => message.len(),
            Parcel::Wipe { .. } => 0,
        };
        // One row has less than 300 bytes here.
        assert!(full.iter().all(|parcel| (1700..=2000).contains(&length(parcel))));
        assert!(length(last) <= 2000);
    }

    #[test]
    fn nothing_follows_a_stop() {
        let shape = table("t");
        let mut kept = Kept {
            stop_at: Some(2),
            ..Kept::default()
        };
        let limits = Limits {
            bytes_max: 1,
            share_calls: false,
            earlier_lsn: 0,
        };
        let mut batcher = Batcher::new(limits, None, &mut kept);
        batcher.begin(0, &shape);
        let row = [Value::Int(1), Value::Null];
        let flows: Vec<_> = (0..5)
            .map(|_| batcher.row(&RowOperation::Insert, &row).unwrap())
            .collect();
        assert_eq!(
            flows,
            [Flow::Continue, Flow::Continue, Flow::Stop, Flow::Stop, Flow::Stop]
        );
        assert_eq!(batcher.end(5, true), Flow::Stop);
        assert_eq!(batcher.wipe(1), Flow::Stop);
        batcher.finish();
        assert_eq!(kept.parcels.len(), 2);
    }

    #[test]
    fn a_row_of_another_shape_is_an_error() {
        let shape = table("t");
        let mut kept = Kept::default();
        let limits = Limits {
            bytes_max: 1000,
            share_calls: false,
            earlier_lsn: 0,
        };
        let mut batcher = Batcher::new(limits, None, &mut kept);
        batcher.begin(0, &shape);
        let error = batcher.row(&RowOperation::Insert, &[Value::Int(1)]).unwrap_err();
        assert!(
            error.to_string().contains("1 values, the table 2 columns"),
            "{error}"
        );
        let unknown = RowOperation::Unknown("X".into());
        assert!(batcher.row(&unknown, &[Value::Int(1), Value::Null]).is_err());
    }
}
