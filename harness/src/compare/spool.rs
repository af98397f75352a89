//! Rows sorted here, with bounded memory: a temporary SQLite database keeps and sorts them, on disk where they are many.

use mirrorlab_protocol::datetime::DateTime;
use mirrorlab_protocol::decimal::Decimal;
use mirrorlab_protocol::value::Value;
use rusqlite::fallible_streaming_iterator::FallibleStreamingIterator;
use rusqlite::types::Value as Stored;
use rusqlite::{Connection, Rows, params_from_iter};

use super::side::{Cursor, SideError, UnreadableCell};

/// Reads every row of `from`, whatever its order, and gives them to `read` in the key order that [`super::Side`]
/// promises. `cells` and `keys` count a row's cells and those of its key.
///
/// # Errors
/// [`SideError`], with `failed` for what the temporary database says.
pub(super) fn sorted(
    from: &mut dyn Cursor,
    cells: usize,
    keys: usize,
    failed: &dyn Fn(String) -> SideError,
    read: &mut dyn FnMut(&mut dyn Cursor) -> Result<(), SideError>,
) -> Result<(), SideError> {
    let told = |e: rusqlite::Error| failed(format!("its rows cannot be sorted here: {e}"));
    // No name: a temporary file of SQLite's own, which goes with the connection.
    let connection = Connection::open("").map_err(told)?;
    // Two columns for each part of the key: an offset's local time, then its text.
    let columns: Vec<String> = (0..keys * 2).map(|at| format!("k{at}")).collect();
    let columns = columns.join(", ");
    connection
        .execute_batch(&format!("BEGIN; CREATE TABLE spool ({columns}, cells BLOB)"))
        .map_err(told)?;
    let marks = vec!["?"; keys * 2 + 1].join(", ");
    let mut insert = connection
        .prepare(&format!("INSERT INTO spool VALUES ({marks})"))
        .map_err(told)?;
    while from.advance()? {
        let mut values = Vec::with_capacity(keys * 2 + 1);
        for at in 0..keys {
            let (first, second) = match from.cell(at) {
                Ok(value) => sort_key(&value),
                Err(_) => (Stored::Null, Stored::Null),
            };
            values.push(first);
            values.push(second);
        }
        let mut row = Vec::new();
        for at in 0..cells {
            write(&mut row, &from.cell(at));
        }
        values.push(Stored::Blob(row));
        insert.execute(params_from_iter(values)).map_err(told)?;
    }
    drop(insert);
    let mut select = connection
        .prepare(&format!("SELECT cells FROM spool ORDER BY {columns}"))
        .map_err(told)?;
    let rows = select.query([]).map_err(told)?;
    read(&mut Sorted {
        rows,
        row: Vec::new(),
        failed,
    })
}

/// What sorts as the value does. SQLite compares text byte by byte, which in UTF-8 is the order of code points.
fn sort_key(value: &Value<'_>) -> (Stored, Stored) {
    let one = |stored| (stored, Stored::Null);
    match value {
        Value::Null => one(Stored::Null),
        Value::Int(x) => one(Stored::Integer(*x)),
        Value::Float(x) => one(Stored::Real(*x)),
        Value::Decimal(x) => one(Stored::Text(x.to_string())),
        Value::DateTime(x) => one(Stored::Integer(x.ticks())),
        Value::Offset { local, minutes } => {
            let mut text = Vec::new();
            mirrorlab_protocol::value::write_offset(&mut text, *minutes);
            (Stored::Integer(local.ticks()), Stored::Blob(text))
        }
        Value::Time(x) => one(Stored::Integer(*x)),
        Value::Text(x) => one(Stored::Blob(x.as_bytes().to_vec())),
        Value::Binary(x) => one(Stored::Blob(x.to_vec())),
        Value::Guid(x) => one(Stored::Blob(x.to_be_bytes().to_vec())),
    }
}

struct Sorted<'s> {
    rows: Rows<'s>,
    row: Vec<Result<Value<'static>, UnreadableCell>>,
    failed: &'s dyn Fn(String) -> SideError,
}

impl Cursor for Sorted<'_> {
    fn advance(&mut self) -> Result<bool, SideError> {
        let failed = self.failed;
        self.rows.advance().map_err(|e| failed(e.to_string()))?;
        let Some(row) = self.rows.get() else {
            return Ok(false);
        };
        let bytes = row.get_ref(0).map_err(|e| failed(e.to_string()))?;
        let bytes = bytes.as_blob().map_err(|e| failed(e.to_string()))?;
        self.row = read_all(bytes).ok_or_else(|| failed("a row that was kept here is damaged".into()))?;
        Ok(true)
    }

    fn cell(&self, at: usize) -> Result<Value<'_>, UnreadableCell> {
        match self.row.get(at) {
            Some(Ok(Value::Text(x))) => Ok(Value::Text(x.as_ref().into())),
            Some(Ok(Value::Binary(x))) => Ok(Value::Binary(x.as_ref().into())),
            Some(found) => found.clone(),
            None => Err(UnreadableCell("no row".into())),
        }
    }
}

/// A cell: a letter for what it is, then its bytes; of text and bytes the length first.
fn write(out: &mut Vec<u8>, cell: &Result<Value<'_>, UnreadableCell>) {
    let mut long = |letter: u8, bytes: &[u8]| {
        out.push(letter);
        out.extend_from_slice(&(bytes.len() as u64).to_be_bytes());
        out.extend_from_slice(bytes);
    };
    match cell {
        Err(UnreadableCell(why)) => long(b'!', why.as_bytes()),
        Ok(Value::Text(x)) => long(b'S', x.as_bytes()),
        Ok(Value::Binary(x)) => long(b'B', x),
        Ok(Value::Null) => long(b'N', &[]),
        Ok(Value::Int(x)) => long(b'I', &x.to_be_bytes()),
        Ok(Value::Float(x)) => long(b'F', &x.to_bits().to_be_bytes()),
        Ok(Value::DateTime(x)) => long(b'D', &x.ticks().to_be_bytes()),
        Ok(Value::Time(x)) => long(b'T', &x.to_be_bytes()),
        Ok(Value::Guid(x)) => long(b'G', &x.to_be_bytes()),
        Ok(Value::Decimal(x)) => {
            let mut bytes = x.unscaled.to_be_bytes().to_vec();
            bytes.push(x.scale);
            long(b'M', &bytes);
        }
        Ok(Value::Offset { local, minutes }) => {
            let mut bytes = local.ticks().to_be_bytes().to_vec();
            bytes.extend_from_slice(&minutes.to_be_bytes());
            long(b'O', &bytes);
        }
    }
}

fn read_all(mut bytes: &[u8]) -> Option<Vec<Result<Value<'static>, UnreadableCell>>> {
    let mut cells = Vec::new();
    while let Some((letter, rest)) = bytes.split_first() {
        let (length, rest) = rest.split_first_chunk::<8>()?;
        let length = usize::try_from(u64::from_be_bytes(*length)).ok()?;
        let (cell, rest) = rest.split_at_checked(length)?;
        bytes = rest;
        let ticks = |bytes: &[u8]| bytes.try_into().ok().map(i64::from_be_bytes);
        let text = |bytes: &[u8]| String::from_utf8(bytes.to_vec()).ok();
        cells.push(Ok(match letter {
            b'!' => {
                cells.push(Err(UnreadableCell(text(cell)?)));
                continue;
            }
            b'S' => Value::Text(text(cell)?.into()),
            b'B' => Value::Binary(cell.to_vec().into()),
            b'N' => Value::Null,
            b'I' => Value::Int(ticks(cell)?),
            b'F' => Value::Float(f64::from_bits(u64::from_be_bytes(cell.try_into().ok()?))),
            b'D' => Value::DateTime(DateTime::from_ticks(ticks(cell)?)?),
            b'T' => Value::Time(ticks(cell)?),
            b'G' => Value::Guid(u128::from_be_bytes(cell.try_into().ok()?)),
            b'M' => {
                let (unscaled, scale) = cell.split_first_chunk::<16>()?;
                Value::Decimal(Decimal {
                    unscaled: i128::from_be_bytes(*unscaled),
                    scale: *scale.first()?,
                })
            }
            b'O' => {
                let (local, minutes) = cell.split_first_chunk::<8>()?;
                Value::Offset {
                    local: DateTime::from_ticks(i64::from_be_bytes(*local))?,
                    minutes: i16::from_be_bytes(minutes.try_into().ok()?),
                }
            }
            _ => return None,
        }));
    }
    Some(cells)
}

#[cfg(test)]
mod tests {
    use super::super::rows::order_values;
    use super::*;
    use mirrorlab_protocol::types::ColumnType;

    /// Rows that are there already, in no order.
    struct Given(Vec<Vec<Result<Value<'static>, UnreadableCell>>>, usize);

    impl Cursor for Given {
        fn advance(&mut self) -> Result<bool, SideError> {
            self.1 += 1;
            Ok(self.1 <= self.0.len())
        }

        fn cell(&self, at: usize) -> Result<Value<'_>, UnreadableCell> {
            self.0[self.1 - 1][at].clone()
        }
    }

    #[test]
    fn rows_come_back_as_they_were_and_in_key_order() {
        let read = |text: &str, ty: &str| {
            Value::from_bare(text, ColumnType::parse(ty).unwrap())
                .unwrap()
                .into_owned()
        };
        let columns: Vec<Vec<Value<'static>>> = vec![
            ["b", "a ", "a\t", "a", "\u{e000}", "\u{1f600}", "Å", ""]
                .map(|t| Value::Text(t.into()))
                .to_vec(),
            [3, -1, i64::MIN, i64::MAX].map(Value::Int).to_vec(),
            [0.5, -2.0, 1e300, -0.0].map(Value::Float).to_vec(),
            ["10.50", "-3.25", "9.00"]
                .map(|t| read(t, "decimal(9,2)"))
                .to_vec(),
            ["2020-01-01", "1760-01-01"].map(|t| read(t, "datetime")).to_vec(),
            [
                "2020-01-01 10:00:00 +02:00",
                "2020-01-01 10:00:00 -01:00",
                "2020-01-01 09:00:00 +00:00",
            ]
            .map(|t| read(t, "datetimeoffset(0)"))
            .to_vec(),
            ["10:00", "09:59:59"].map(|t| read(t, "time(0)")).to_vec(),
            [vec![1u8, 0], vec![1], vec![], vec![255]]
                .map(|b| Value::Binary(b.into()))
                .to_vec(),
            [5u128, u128::MAX, 1 << 90].map(Value::Guid).to_vec(),
        ];
        for keys in columns {
            let rows: Vec<_> = keys
                .iter()
                .map(|k| vec![Ok(k.clone()), Ok(Value::Null), Err(UnreadableCell("odd".into()))])
                .collect();
            let mut got = Vec::new();
            sorted(&mut Given(rows, 0), 3, 1, &|why| panic!("{why}"), &mut |cursor| {
                while cursor.advance()? {
                    got.push(cursor.cell(0).unwrap().into_owned());
                    assert_eq!(cursor.cell(1), Ok(Value::Null));
                    assert_eq!(cursor.cell(2), Err(UnreadableCell("odd".into())));
                }
                Ok(())
            })
            .unwrap();
            let mut expected = keys.clone();
            expected.sort_by(order_values);
            assert_eq!(got, expected);
        }
    }
}
