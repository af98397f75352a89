//! Whole rows of a table.

use std::borrow::Cow;

use mirrorlab_protocol::datetime::{DateTime, TICKS_PER_DAY};
use mirrorlab_protocol::decimal::Decimal;
use mirrorlab_protocol::schema::{Column, Table};
use mirrorlab_protocol::types::ColumnType;
use mirrorlab_protocol::value::Value;
use rand::Rng;
use rand_chacha::ChaCha8Rng;

use super::edges::{edges, in_code_page, pad_bytes, pad_text, unicode};
use super::look::{self, Look};
use super::{Style, pick};

/// Draws rows of one table. What its columns' names and types allow is found once.
pub struct RowDraw {
    style: Style,
    columns: Vec<ColumnDraw>,
}

struct ColumnDraw {
    ty: ColumnType,
    nullable: bool,
    look: Look,
    edges: Vec<Value<'static>>,
}

impl RowDraw {
    /// Makes ready to draw rows of `table`.
    pub fn new(table: &Table, style: &Style) -> RowDraw {
        let columns = table.columns.iter().enumerate().map(|(at, column)| ColumnDraw {
            ty: column.ty,
            nullable: column.nullable,
            look: Look::of(&table.name, column),
            // Keys are given, not drawn here.
            edges: if at == 0 { Vec::new() } else { edges(column, style) },
        });
        RowDraw {
            style: style.clone(),
            columns: columns.collect(),
        }
    }

    /// A row with this key.
    pub fn row(&self, rng: &mut ChaCha8Rng, key: Value<'static>) -> Vec<Value<'static>> {
        let mut values = Vec::with_capacity(self.columns.len());
        values.push(key);
        values.extend((1..self.columns.len()).map(|at| self.cell(rng, at)));
        values
    }

    /// A value for the column at `at`.
    pub fn cell(&self, rng: &mut ChaCha8Rng, at: usize) -> Value<'static> {
        let column = &self.columns[at];
        if column.nullable && pick::chance(rng, self.style.nulls_per_mille) {
            return Value::Null;
        }
        if !column.edges.is_empty() && pick::chance(rng, self.style.edges_per_mille) {
            return pick::one(rng, &column.edges).clone();
        }
        ordinary(rng, column.ty, column.look, &self.style)
    }

    /// How many rows it takes to hold every edge of every column.
    pub fn edge_rows(&self) -> u64 {
        self.columns
            .iter()
            .map(|column| column.edges.len())
            .max()
            .unwrap_or(0) as u64
    }

    /// The `at`-th of [`RowDraw::edge_rows`] rows.
    pub fn edge_row(&self, key: Value<'static>, at: u64) -> Vec<Value<'static>> {
        let at = usize::try_from(at).expect("it counts elements of lists in memory");
        let mut values = vec![key];
        values.extend(
            self.columns[1..]
                .iter()
                .map(|column| column.edges[at % column.edges.len()].clone()),
        );
        values
    }

    /// A row's values with one of them, or a few, drawn anew: (position, value), never the key. Empty for a table that
    /// has nothing but its key. Where the table has a column such as `updated`, that one changes too, as it does when
    /// somebody saves: no update then leaves the row as it was.
    pub fn update(&self, rng: &mut ChaCha8Rng) -> Vec<(usize, Value<'static>)> {
        let others = (self.columns.len() - 1) as u64;
        let how_many = 1 + pick::below(rng, 3);
        let stamp = self
            .columns
            .iter()
            .skip(1)
            .position(|column| column.is_stamp())
            .map(|at| at + 1);
        let mut changed: Vec<(usize, Value<'static>)> = pick::distinct(rng, others, how_many)
            .into_iter()
            .map(|at| 1 + usize::try_from(at).expect("it is below the number of columns"))
            .filter(|at| Some(*at) != stamp)
            .map(|at| (at, self.cell(rng, at)))
            .collect();
        if let Some(at) = stamp {
            let column = &self.columns[at];
            changed.push((at, ordinary(rng, column.ty, column.look, &self.style)));
        }
        changed
    }
}

impl ColumnDraw {
    /// Whether two ordinary values of it are hardly ever the same.
    fn is_stamp(&self) -> bool {
        let moment = self.look == Look::Moment || self.look == Look::Any;
        moment
            && matches!(
                self.ty,
                ColumnType::DateTime | ColumnType::DateTime2(3..) | ColumnType::DateTimeOffset(3..)
            )
    }
}

/// An ordinary value for a key that is neither an integer nor text.
pub(super) fn any_value(rng: &mut ChaCha8Rng, column: &Column) -> Value<'static> {
    ordinary(rng, column.ty, Look::Any, &Style::default())
}

/// An ordinary value of a type.
fn ordinary(rng: &mut ChaCha8Rng, ty: ColumnType, look: Look, style: &Style) -> Value<'static> {
    if ty.is_text() {
        let text = look::text(rng, look);
        let max = ty.length_max().unwrap_or(style.text_length_max);
        return Value::Text(Cow::Owned(pad_text(cut(&text, max, ty), ty)));
    }
    if ty.is_binary() {
        return blob(rng, ty, style);
    }
    if let Some((min, max)) = ty.integer_range() {
        return Value::Int(look::integer(rng, look, ty).clamp(min, max));
    }
    if let Some((precision, scale)) = ty.decimal_shape() {
        // Small enough for every decimal, the narrow money too.
        let digits = u32::from(precision.min(9));
        let most = i64::pow(10, digits) - 1;
        return Value::Decimal(Decimal {
            unscaled: i128::from(pick::between(rng, -most / 10, most)),
            scale,
        });
    }
    match ty {
        ColumnType::Float => Value::Float(look::float(rng, look)),
        ColumnType::Real => Value::Float(f64::from(look::float(rng, look) as f32)),
        ColumnType::Time(digits) => {
            let unit = 10i64.pow(7 - u32::from(digits));
            Value::Time(pick::between(rng, 0, TICKS_PER_DAY / unit - 1) * unit)
        }
        ColumnType::UniqueIdentifier => {
            Value::Guid(u128::from(rng.next_u64()) << 64 | u128::from(rng.next_u64()))
        }
        ColumnType::DateTimeOffset(digits) => Value::Offset {
            local: moment(rng, look, |at| at.round_to_digits(digits)),
            minutes: *pick::one(rng, &[0, 60, 120]),
        },
        ColumnType::DateTime => Value::DateTime(moment(rng, look, DateTime::round_to_datetime)),
        ColumnType::SmallDateTime => {
            Value::DateTime(moment(rng, Look::Any, DateTime::round_to_smalldatetime))
        }
        ColumnType::DateTime2(digits) => Value::DateTime(moment(rng, look, |at| at.round_to_digits(digits))),
        _ => Value::DateTime(moment(rng, look, |at| Some(at.midnight()))),
    }
}

fn moment(rng: &mut ChaCha8Rng, look: Look, round: impl Fn(DateTime) -> Option<DateTime>) -> DateTime {
    let at = look::moment(rng, look);
    round(at).expect("the days that are drawn are in every date type's range")
}

fn blob(rng: &mut ChaCha8Rng, ty: ColumnType, style: &Style) -> Value<'static> {
    let max = ty.length_max().unwrap_or(style.blob_bytes_max);
    // One in thirty may be as large as is allowed, the others are thumbnails.
    let max = if pick::chance(rng, 33) { max } else { max.min(512) };
    let mut bytes = vec![0; pick::index(rng, max + 1)];
    rng.fill_bytes(&mut bytes);
    Value::Binary(Cow::Owned(pad_bytes(bytes, ty)))
}

/// The beginning of `text` that a column of type `ty` and `max` units holds.
fn cut(text: &str, max: usize, ty: ColumnType) -> String {
    let wide = unicode(ty);
    let mut left = max;
    text.chars()
        .filter(|c| wide || in_code_page(*c))
        .take_while(|c| {
            let units = if wide { c.len_utf16() } else { 1 };
            let fits = units <= left;
            left = left.saturating_sub(units);
            fits
        })
        .collect()
}
