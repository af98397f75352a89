//! Values into statements and bulk loads, and back.
//!
//! A value travels in a *carrier*: a type that holds it exactly and that the driver sends faultlessly, as a parameter and in
//! a bulk load alike. [`carrier`] names it, [`carried`] is the expression that makes the column's own type of it. Carriers
//! differ from the column's type where the driver or an engine is known to be weak: exact numbers travel as text
//! (variable-length decimals in a bulk load), `datetime` as `datetime2` (1/300 s), code page text as Unicode, `ntext` and
//! `nvarchar` above 2000 characters as `nvarchar(max)`.
//!
//! Reading is exact as well, through [`select`]: the driver would read money as a float.

use std::borrow::Cow;

use mirrorlab_protocol::datetime::{DateTime, TICKS_PER_DAY};
use mirrorlab_protocol::decimal::Decimal;
use mirrorlab_protocol::types::{ColumnType, Length};
use mirrorlab_protocol::value::Value;
use tiberius::numeric::Numeric;
use tiberius::{ColumnData, Uuid, time};

/// Days from 0001-01-01, where our ticks begin, to 1900-01-01, where `datetime` counts from.
const DAYS_TO_1900: i64 = 693_595;
const TICKS_PER_MS: i64 = 10_000;
const TICKS_PER_MINUTE: i64 = 600_000_000;
/// The longest `nvarchar(n)` that the driver's bulk load declares as itself.
const PLAIN_NVARCHAR_MAX: u16 = 2000;

/// The most parameters a statement has: SQL Server's 2100, less the two that carry the statement itself.
pub const PARAMS_MAX: usize = 2098;
/// The most rows SQL Server takes in one VALUES.
pub const VALUES_ROWS_MAX: usize = 1000;
/// The largest cell that the driver's bulk load takes.
const BULK_CELL_BYTES_MAX: usize = 0xffff;

/// A value for a statement's `@P1`, or for a bulk load's column.
#[derive(Debug, Clone)]
pub struct Param<'a>(pub(super) ColumnData<'a>);

impl<'a> Param<'a> {
    /// A text, as `nvarchar`.
    pub fn text(text: impl Into<Cow<'a, str>>) -> Param<'a> {
        Param(ColumnData::String(Some(text.into())))
    }

    /// An integer, as `bigint`.
    pub fn integer(x: i64) -> Param<'a> {
        Param(ColumnData::I64(Some(x)))
    }

    /// A bit.
    pub fn bit(x: bool) -> Param<'a> {
        Param(ColumnData::Bit(Some(x)))
    }

    /// `value`, of a column of type `ty`, in its [`carrier`]. Text and bytes are not copied.
    pub fn value(value: &'a Value<'_>, ty: ColumnType) -> Param<'a> {
        Param(carry(value, ty))
    }

    /// Whether it is NULL.
    pub fn is_null(&self) -> bool {
        match &self.0 {
            ColumnData::U8(x) => x.is_none(),
            ColumnData::I16(x) => x.is_none(),
            ColumnData::I32(x) => x.is_none(),
            ColumnData::I64(x) => x.is_none(),
            ColumnData::F32(x) => x.is_none(),
            ColumnData::F64(x) => x.is_none(),
            ColumnData::Bit(x) => x.is_none(),
            ColumnData::Guid(x) => x.is_none(),
            ColumnData::Date(x) => x.is_none(),
            ColumnData::Time(x) => x.is_none(),
            ColumnData::DateTime2(x) => x.is_none(),
            ColumnData::DateTimeOffset(x) => x.is_none(),
            ColumnData::String(x) => x.is_none(),
            ColumnData::Binary(x) => x.is_none(),
            _ => false,
        }
    }

    /// Whether a bulk load takes it: the driver refuses texts and bytes above 64 KB there, though `max` columns take
    /// them. A parameter may be of any size.
    pub fn fits_bulk(&self) -> bool {
        match &self.0 {
            // A text has at most two bytes of UTF-16 for each of its bytes.
            ColumnData::String(Some(x)) => {
                x.len() * 2 <= BULK_CELL_BYTES_MAX || x.encode_utf16().count() * 2 <= BULK_CELL_BYTES_MAX
            }
            ColumnData::Binary(Some(x)) => x.len() <= BULK_CELL_BYTES_MAX,
            _ => true,
        }
    }

    /// The same with its text or bytes copied.
    pub(super) fn owned(&self) -> Param<'static> {
        Param(match &self.0 {
            ColumnData::U8(x) => ColumnData::U8(*x),
            ColumnData::I16(x) => ColumnData::I16(*x),
            ColumnData::I32(x) => ColumnData::I32(*x),
            ColumnData::I64(x) => ColumnData::I64(*x),
            ColumnData::F32(x) => ColumnData::F32(*x),
            ColumnData::F64(x) => ColumnData::F64(*x),
            ColumnData::Bit(x) => ColumnData::Bit(*x),
            ColumnData::Guid(x) => ColumnData::Guid(*x),
            ColumnData::Date(x) => ColumnData::Date(*x),
            ColumnData::Time(x) => ColumnData::Time(*x),
            ColumnData::DateTime2(x) => ColumnData::DateTime2(*x),
            ColumnData::DateTimeOffset(x) => ColumnData::DateTimeOffset(*x),
            ColumnData::String(x) => {
                ColumnData::String(x.as_ref().map(|x| Cow::Owned(x.clone().into_owned())))
            }
            ColumnData::Binary(x) => {
                ColumnData::Binary(x.as_ref().map(|x| Cow::Owned(x.clone().into_owned())))
            }
            // No other kind is ever made here.
            _ => ColumnData::String(None),
        })
    }
}

/// A statement in the making, its values bound as parameters.
#[derive(Debug, Default)]
pub struct Statement<'a> {
    /// The text so far.
    pub sql: String,
    /// The parameters so far: `@P1`, `@P2` …; at most [`PARAMS_MAX`].
    pub params: Vec<Param<'a>>,
}

impl<'a> Statement<'a> {
    /// Adds text.
    pub fn push(&mut self, sql: &str) {
        self.sql.push_str(sql);
    }

    /// Adds a value: `@P7`, or the word NULL, since not every engine takes the driver's untyped NULL as a parameter.
    pub fn bind(&mut self, param: Param<'a>) {
        if param.is_null() {
            self.sql.push_str("NULL");
            return;
        }
        self.params.push(param);
        self.sql.push_str(&format!("@P{}", self.params.len()));
    }
}

/// The type in which values of a column of type `ty` travel.
pub fn carrier(ty: ColumnType) -> String {
    use ColumnType as T;
    match ty {
        T::Int
        | T::SmallInt
        | T::TinyInt
        | T::BigInt
        | T::Bit
        | T::Float
        | T::Real
        | T::Date
        | T::UniqueIdentifier => ty.to_string(),
        // Sign, point and 38 digits.
        T::Decimal { .. } | T::Money | T::SmallMoney => "nvarchar(41)".into(),
        T::DateTime | T::SmallDateTime | T::DateTime2(_) => "datetime2(7)".into(),
        T::DateTimeOffset(_) => "datetimeoffset(7)".into(),
        T::Time(_) => "time(7)".into(),
        T::NVarChar(Length::Limit(n)) | T::NChar(n) | T::VarChar(Length::Limit(n)) | T::Char(n)
            if n <= PLAIN_NVARCHAR_MAX =>
        {
            format!("nvarchar({n})")
        }
        T::NVarChar(_) | T::NChar(_) | T::VarChar(_) | T::Char(_) | T::NText | T::Text => {
            "nvarchar(max)".into()
        }
        T::VarBinary(Length::Limit(n)) | T::Binary(n) => format!("varbinary({n})"),
        T::RowVersion => "varbinary(8)".into(),
        T::VarBinary(Length::Max) | T::Image => "varbinary(max)".into(),
    }
}

/// The expression that makes a value of `ty` from `expression`, which is of its [`carrier`].
pub fn carried(expression: &str, ty: ColumnType) -> String {
    use ColumnType as T;
    match ty {
        T::Decimal { .. } => format!("CAST({expression} AS {ty})"),
        // No text form of money that every language setting reads alike; of a decimal there is.
        T::Money | T::SmallMoney => format!("CAST(CAST({expression} AS decimal(19,4)) AS {ty})"),
        T::DateTime | T::SmallDateTime | T::DateTime2(_) | T::DateTimeOffset(_) | T::Time(_) => {
            format!("CAST({expression} AS {ty})")
        }
        T::VarChar(_) | T::Char(_) => format!("CAST({expression} AS {ty})"),
        T::Text => format!("CAST({expression} AS varchar(max))"),
        T::Binary(n) => format!("CAST({expression} AS binary({n}))"),
        T::RowVersion => format!("CAST({expression} AS binary(8))"),
        _ => expression.to_owned(),
    }
}

/// The expression to select `column` (quoted) of type `ty` by, so that a row's `value` gets it exactly.
pub fn select(column: &str, ty: ColumnType) -> String {
    use ColumnType as T;
    match ty {
        T::Money | T::SmallMoney => format!("CAST({column} AS decimal(19,4))"),
        T::DateTime => format!("CAST({column} AS datetime2(3))"),
        T::SmallDateTime => format!("CAST({column} AS datetime2(0))"),
        T::VarChar(_) | T::Char(_) | T::Text | T::NText => format!("CAST({column} AS nvarchar(max))"),
        T::Image => format!("CAST({column} AS varbinary(max))"),
        T::RowVersion => format!("CAST({column} AS binary(8))"),
        _ => column.to_owned(),
    }
}

fn carry<'a>(value: &'a Value<'_>, ty: ColumnType) -> ColumnData<'a> {
    use ColumnType as T;
    match value {
        Value::Null => null(ty),
        Value::Int(x) => match ty {
            T::Bit => ColumnData::Bit(Some(*x != 0)),
            T::TinyInt => ColumnData::U8(u8::try_from(*x).ok()),
            T::SmallInt => ColumnData::I16(i16::try_from(*x).ok()),
            T::Int => ColumnData::I32(i32::try_from(*x).ok()),
            _ => ColumnData::I64(Some(*x)),
        },
        Value::Float(x) if ty == T::Real => ColumnData::F32(Some(*x as f32)),
        Value::Float(x) => ColumnData::F64(Some(*x)),
        Value::Decimal(x) => ColumnData::String(Some(Cow::Owned(x.to_string()))),
        Value::DateTime(x) if ty == T::Date => ColumnData::Date(Some(time::Date::new(day(*x)))),
        Value::DateTime(x) => ColumnData::DateTime2(Some(datetime2(*x))),
        // The wire has the point in UTC, which every value that was read is known to have.
        Value::Offset { local, minutes } => {
            let utc = DateTime::from_ticks(local.ticks() - i64::from(*minutes) * TICKS_PER_MINUTE);
            ColumnData::DateTimeOffset(utc.map(|utc| time::DateTimeOffset::new(datetime2(utc), *minutes)))
        }
        Value::Time(x) => ColumnData::Time(Some(time::Time::new(x.unsigned_abs(), 7))),
        Value::Text(x) => ColumnData::String(Some(Cow::Borrowed(x))),
        // SQL Server pads a `binary`; not every engine does it right when it comes out of a `varbinary`.
        Value::Binary(x) => match ty {
            T::Binary(n) if x.len() < usize::from(n) => {
                let mut padded = x.to_vec();
                padded.resize(usize::from(n), 0);
                ColumnData::Binary(Some(Cow::Owned(padded)))
            }
            _ => ColumnData::Binary(Some(Cow::Borrowed(x))),
        },
        Value::Guid(x) => ColumnData::Guid(Some(Uuid::from_u128(*x))),
    }
}

fn null(ty: ColumnType) -> ColumnData<'static> {
    use ColumnType as T;
    match ty {
        T::Bit => ColumnData::Bit(None),
        T::TinyInt => ColumnData::U8(None),
        T::SmallInt => ColumnData::I16(None),
        T::Int => ColumnData::I32(None),
        T::BigInt => ColumnData::I64(None),
        T::Float => ColumnData::F64(None),
        T::Real => ColumnData::F32(None),
        T::Date => ColumnData::Date(None),
        T::DateTime | T::SmallDateTime | T::DateTime2(_) => ColumnData::DateTime2(None),
        T::DateTimeOffset(_) => ColumnData::DateTimeOffset(None),
        T::Time(_) => ColumnData::Time(None),
        T::UniqueIdentifier => ColumnData::Guid(None),
        _ if ty.is_binary() => ColumnData::Binary(None),
        _ => ColumnData::String(None),
    }
}

fn day(x: DateTime) -> u32 {
    u32::try_from(x.ticks() / TICKS_PER_DAY).expect("the calendar has 3,652,059 days")
}

fn datetime2(x: DateTime) -> time::DateTime2 {
    let time = time::Time::new(x.ticks_of_day().unsigned_abs(), 7);
    time::DateTime2::new(time::Date::new(day(x)), time)
}

/// A value of a result that is none of its column's type.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("a column of type {ty} gave {found}")]
pub struct ReadError {
    /// The column's type.
    pub ty: ColumnType,
    /// What came.
    pub found: String,
}

/// Reads what the server gave for a column of type `ty` that was selected by [`select`]. Text and bytes are borrowed.
pub(super) fn read<'r>(cell: &'r ColumnData<'static>, ty: ColumnType) -> Result<Value<'r>, ReadError> {
    let value = match cell {
        ColumnData::Bit(x) => x.map(|x| Value::Int(i64::from(x))),
        ColumnData::U8(x) => x.map(|x| Value::Int(i64::from(x))),
        ColumnData::I16(x) => x.map(|x| Value::Int(i64::from(x))),
        ColumnData::I32(x) => x.map(|x| Value::Int(i64::from(x))),
        ColumnData::I64(x) => x.map(Value::Int),
        ColumnData::F32(x) => x.map(|x| Value::Float(f64::from(x))),
        ColumnData::F64(x) => x.map(Value::Float),
        ColumnData::Numeric(x) => match x {
            None => None,
            Some(x) => Some(Value::Decimal(decimal(*x, ty).ok_or_else(|| wrong(ty, cell))?)),
        },
        ColumnData::String(x) => x.as_ref().map(|x| Value::Text(Cow::Borrowed(x.as_ref()))),
        ColumnData::Binary(x) => x.as_ref().map(|x| Value::Binary(Cow::Borrowed(x.as_ref()))),
        ColumnData::Guid(x) => x.map(|x| Value::Guid(x.as_u128())),
        ColumnData::Date(x) => match x {
            None => None,
            Some(x) => Some(Value::DateTime(
                point(x.days(), 0).ok_or_else(|| wrong(ty, cell))?,
            )),
        },
        ColumnData::Time(x) => x.map(|x| Value::Time(ticks(x))),
        ColumnData::DateTime2(x) => match x {
            None => None,
            Some(x) => Some(Value::DateTime(
                point(x.date().days(), ticks(x.time())).ok_or_else(|| wrong(ty, cell))?,
            )),
        },
        ColumnData::DateTimeOffset(x) => match x {
            None => None,
            Some(x) => {
                let utc = x.datetime2();
                let local = point(utc.date().days(), ticks(utc.time()))
                    .and_then(|utc| {
                        DateTime::from_ticks(utc.ticks() + i64::from(x.offset()) * TICKS_PER_MINUTE)
                    })
                    .ok_or_else(|| wrong(ty, cell))?;
                Some(Value::Offset {
                    local,
                    minutes: x.offset(),
                })
            }
        },
        ColumnData::DateTime(x) => match x {
            None => None,
            Some(x) => {
                let ms = (i64::from(x.seconds_fragments()) * 10 + 1) / 3;
                let ticks = (i64::from(x.days()) + DAYS_TO_1900) * TICKS_PER_DAY + ms * TICKS_PER_MS;
                Some(Value::DateTime(
                    DateTime::from_ticks(ticks).ok_or_else(|| wrong(ty, cell))?,
                ))
            }
        },
        ColumnData::SmallDateTime(x) => match x {
            None => None,
            Some(x) => {
                let minutes = i64::from(x.seconds_fragments());
                let ticks = (i64::from(x.days()) + DAYS_TO_1900) * TICKS_PER_DAY + minutes * TICKS_PER_MINUTE;
                Some(Value::DateTime(
                    DateTime::from_ticks(ticks).ok_or_else(|| wrong(ty, cell))?,
                ))
            }
        },
        _ => return Err(wrong(ty, cell)),
    };
    let Some(value) = value else {
        return Ok(Value::Null);
    };
    let fits = match &value {
        Value::Int(_) => ty.integer_range().is_some(),
        Value::Float(_) => matches!(ty, ColumnType::Float | ColumnType::Real),
        Value::Decimal(_) => ty.decimal_shape().is_some(),
        Value::Text(_) => ty.is_text(),
        Value::Binary(_) => ty.is_binary(),
        Value::Guid(_) => ty == ColumnType::UniqueIdentifier,
        Value::Time(_) => matches!(ty, ColumnType::Time(_)),
        Value::Offset { .. } => matches!(ty, ColumnType::DateTimeOffset(_)),
        Value::DateTime(_) => matches!(
            ty,
            ColumnType::DateTime | ColumnType::SmallDateTime | ColumnType::DateTime2(_) | ColumnType::Date
        ),
        Value::Null => true,
    };
    if fits { Ok(value) } else { Err(wrong(ty, cell)) }
}

fn wrong(ty: ColumnType, cell: &ColumnData<'_>) -> ReadError {
    ReadError {
        ty,
        found: mirrorlab_protocol::excerpt(&format!("{cell:?}")),
    }
}

fn point(days: u32, ticks_of_day: i64) -> Option<DateTime> {
    DateTime::from_ticks(i64::from(days) * TICKS_PER_DAY + ticks_of_day)
}

/// Ticks of the day, from a count of 10^-scale seconds.
fn ticks(time: time::Time) -> i64 {
    let increments = i64::try_from(time.increments()).unwrap_or(i64::MAX);
    increments.saturating_mul(10i64.pow(u32::from(7u8.saturating_sub(time.scale()))))
}

/// In the column's own scale, where nothing is lost by it.
fn decimal(x: Numeric, ty: ColumnType) -> Option<Decimal> {
    let exact = Decimal {
        unscaled: x.value(),
        scale: x.scale(),
    };
    let (precision, scale) = ty.decimal_shape()?;
    Some(
        exact
            .fit(precision, scale)
            .filter(|_| exact.scale <= scale)
            .unwrap_or(exact),
    )
}
