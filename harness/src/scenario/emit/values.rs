//! Rows and their values, as [`Value::from_bare`] reads them.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use mirrorlab_protocol::datetime;
use mirrorlab_protocol::float;
use mirrorlab_protocol::schema::Table;
use mirrorlab_protocol::types::ColumnType;
use mirrorlab_protocol::value::{Value, guid_text, write_offset};

use super::doc::Doc;
use crate::scenario::model::WrittenRows;

/// Rows of a table.
pub(super) fn rows(table: &Table, rows: &[Vec<Value<'static>>]) -> Doc {
    Doc::List(rows.iter().map(|r| row(Some(table), r)).collect())
}

fn row(table: Option<&Table>, row: &[Value<'static>]) -> Doc {
    let ty = |at: usize| table.and_then(|t| t.columns.get(at)).map(|c| c.ty);
    Doc::List(
        row.iter()
            .enumerate()
            .map(|(at, cell)| value(cell, ty(at)))
            .collect(),
    )
}

/// What becomes of one table's rows.
pub(super) fn written(table: Option<&Table>, written: &WrittenRows) -> Doc {
    let key = table.map(|t| t.key().ty);
    let rows = |rows: &[Vec<Value<'static>>]| Doc::List(rows.iter().map(|r| row(table, r)).collect());
    let pairs = written
        .key_change
        .iter()
        .map(|(old, new)| Doc::List(vec![value(old, key), value(new, key)]));
    let all = [
        (
            "delete",
            Doc::List(written.delete.iter().map(|k| value(k, key)).collect()),
        ),
        ("key_change", Doc::List(pairs.collect())),
        ("update", rows(&written.update)),
        ("insert", rows(&written.insert)),
    ];
    let some = |(_, doc): &(&str, Doc)| !matches!(doc, Doc::List(list) if list.is_empty());
    Doc::map(all.into_iter().filter(some).collect())
}

fn value(value: &Value<'static>, ty: Option<ColumnType>) -> Doc {
    let utf8 = |out: Vec<u8>| String::from_utf8_lossy(&out).into_owned();
    match value {
        Value::Null => Doc::Null,
        Value::Int(x) => Doc::plain(x),
        Value::Float(x) => {
            let mut out = Vec::new();
            match ty {
                Some(ColumnType::Real) => float::write_f32(&mut out, *x as f32),
                _ => float::write_f64(&mut out, *x),
            }
            Doc::text(&utf8(out))
        }
        Value::Decimal(x) => Doc::text(&x.to_string()),
        Value::DateTime(x) => Doc::text(&short(&x.to_string())),
        Value::Offset { local, minutes } => {
            let mut offset = Vec::new();
            write_offset(&mut offset, *minutes);
            Doc::text(&format!("{local} {}", utf8(offset)))
        }
        Value::Time(x) => {
            let mut out = Vec::new();
            datetime::write_time(&mut out, *x, 7);
            Doc::text(&utf8(out))
        }
        Value::Text(x) => Doc::text(x),
        Value::Binary(x) => Doc::text(&STANDARD.encode(x)),
        Value::Guid(x) => Doc::text(&guid_text(*x)),
    }
}

/// A moment without what is zero at its end.
fn short(moment: &str) -> String {
    let text = match moment.contains('.') {
        true => moment.trim_end_matches('0').trim_end_matches('.'),
        false => moment,
    };
    text.strip_suffix(" 00:00:00").unwrap_or(text).to_owned()
}
