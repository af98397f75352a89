//! A cell: its text on the wire, and the value it stands for.
//!
//! The *column's type* decides how a cell is read, never its text: `[I:5]` in a text column is those five characters.
//! Any marker that the type can hold is taken, and the bare form, as the vendor's own parser does (doc). What the type
//! cannot hold is an error, never a guess.

use std::borrow::Cow;
use std::fmt;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;

use crate::datetime::{self, DateTime, TICKS_PER_SECOND};
use crate::decimal::Decimal;
use crate::float;
use crate::types::ColumnType;

/// One cell of one row, as the column's type reads it. Text and bytes are borrowed where they can be.
#[derive(Debug, Clone)]
pub enum Value<'a> {
    /// SQL's NULL; `i:nil` on the wire.
    Null,
    /// `int`, `smallint`, `tinyint`, `bigint`, `bit`.
    Int(i64),
    /// `float`, and `real` widened.
    Float(f64),
    /// `decimal`, `money`, `smallmoney`, in the column's own scale.
    Decimal(Decimal),
    /// `datetime`, `smalldatetime`, `datetime2`, `date`, as the column rounds it.
    DateTime(DateTime),
    /// `datetimeoffset`.
    Offset {
        /// The local time.
        local: DateTime,
        /// Minutes that local time is ahead of UTC, -840 to 840.
        minutes: i16,
    },
    /// `time`: ticks of 100 ns since midnight.
    Time(i64),
    /// All text types.
    Text(Cow<'a, str>),
    /// All binary types, `rowversion` too.
    Binary(Cow<'a, [u8]>),
    /// `uniqueidentifier`, as the number its 32 hex digits write.
    Guid(u128),
}

/// Equal means: the same bits. `-0` and `0` differ, text counts every character.
impl PartialEq for Value<'_> {
    fn eq(&self, other: &Value<'_>) -> bool {
        match (self, other) {
            (Value::Null, Value::Null) => true,
            (Value::Int(a), Value::Int(b)) => a == b,
            (Value::Float(a), Value::Float(b)) => a.to_bits() == b.to_bits(),
            (Value::Decimal(a), Value::Decimal(b)) => a == b,
            (Value::DateTime(a), Value::DateTime(b)) => a == b,
            (Value::Offset { local: a, minutes: m }, Value::Offset { local: b, minutes: n }) => {
                a == b && m == n
            }
            (Value::Time(a), Value::Time(b)) => a == b,
            (Value::Text(a), Value::Text(b)) => a == b,
            (Value::Binary(a), Value::Binary(b)) => a == b,
            (Value::Guid(a), Value::Guid(b)) => a == b,
            _ => false,
        }
    }
}

/// Why a cell was refused. The text names the cell and what was expected; who reads it adds table, row and column.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum CellError {
    /// The cell's text is not a value of the type.
    #[error("`{cell}` is not a value of type {ty}; expected {expected}")]
    NotA {
        /// The cell, shortened.
        cell: String,
        /// The column's type.
        ty: ColumnType,
        /// A form that would have been right.
        expected: &'static str,
    },
    /// A number or date outside what the type holds.
    #[error("`{cell}` is out of range for type {ty}")]
    OutOfRange {
        /// The cell, shortened.
        cell: String,
        /// The column's type.
        ty: ColumnType,
    },
    /// Text or bytes longer than the column.
    #[error("a value of {length} {unit} is too long for type {ty}")]
    TooLong {
        /// How long it is.
        length: usize,
        /// What was counted.
        unit: &'static str,
        /// The column's type.
        ty: ColumnType,
    },
}

/// What stands in `[X:…]`, or the bare text.
enum Marked<'a> {
    Bare(&'a str),
    As(&'a str, &'a str),
}

fn split_marker(cell: &str) -> Marked<'_> {
    let inner = cell.strip_prefix('[').and_then(|rest| rest.strip_suffix(']'));
    match inner.and_then(|inner| inner.split_once(':')) {
        Some((marker, text)) => Marked::As(marker, text),
        None => Marked::Bare(cell),
    }
}

impl<'a> Value<'a> {
    /// Reads a cell; `None` is `i:nil`. NULL is given back even for a column that does not allow it: that is the
    /// table's rule, not the cell's. Empty text in a column that is not text is NULL (assumed).
    ///
    /// # Errors
    /// [`CellError`] where the type cannot hold the cell.
    pub fn read(cell: Option<Cow<'a, str>>, ty: ColumnType) -> Result<Value<'a>, CellError> {
        let Some(cell) = cell else {
            return Ok(Value::Null);
        };
        if ty.is_text() {
            check_length(&cell, ty)?;
            return Ok(Value::Text(cell));
        }
        if cell.is_empty() {
            return Ok(Value::Null);
        }
        match cell {
            Cow::Borrowed(text) => read_marked(text, ty),
            Cow::Owned(text) => read_marked(&text, ty).map(Value::into_owned),
        }
    }

    /// [`Value::read`] without taking the cell.
    ///
    /// # Errors
    /// As [`Value::read`].
    pub fn read_ref(cell: &'a Option<Cow<'_, str>>, ty: ColumnType) -> Result<Value<'a>, CellError> {
        Value::read(cell.as_deref().map(Cow::Borrowed), ty)
    }

    /// Reads the bare form of a value, without a marker: what stands in a default, or in a file.
    ///
    /// # Errors
    /// As [`Value::read`].
    pub fn from_bare(text: &'a str, ty: ColumnType) -> Result<Value<'a>, CellError> {
        if ty.is_text() {
            check_length(text, ty)?;
            return Ok(Value::Text(Cow::Borrowed(text)));
        }
        read_unmarked(text, ty)
    }

    /// Bytes as a value of a binary type.
    ///
    /// # Errors
    /// [`CellError`] where the type is not binary, or the bytes are too many.
    pub fn from_bytes(bytes: Cow<'a, [u8]>, ty: ColumnType) -> Result<Value<'a>, CellError> {
        if !ty.is_binary() {
            return Err(not_a("0x…", ty));
        }
        match ty.length_max() {
            Some(max) if bytes.len() > max => Err(CellError::TooLong {
                length: bytes.len(),
                unit: "bytes",
                ty,
            }),
            _ => Ok(Value::Binary(bytes)),
        }
    }

    /// The same value, owning its text and bytes.
    pub fn into_owned(self) -> Value<'static> {
        match self {
            Value::Null => Value::Null,
            Value::Int(x) => Value::Int(x),
            Value::Float(x) => Value::Float(x),
            Value::Decimal(x) => Value::Decimal(x),
            Value::DateTime(x) => Value::DateTime(x),
            Value::Offset { local, minutes } => Value::Offset { local, minutes },
            Value::Time(x) => Value::Time(x),
            Value::Text(x) => Value::Text(Cow::Owned(x.into_owned())),
            Value::Binary(x) => Value::Binary(Cow::Owned(x.into_owned())),
            Value::Guid(x) => Value::Guid(x),
        }
    }

    /// Whether this is NULL.
    pub fn is_null(&self) -> bool {
        matches!(self, Value::Null)
    }

    /// Writes the cell's text as SuperOffice does: marked by type, text plain (seen, doc, assumed). NULL has no text:
    /// the caller writes `i:nil`. Text is *not* escaped for XML here.
    pub fn write_cell(&self, ty: ColumnType, out: &mut Vec<u8>) {
        match self {
            Value::Null => {}
            Value::Int(x) => {
                out.extend_from_slice(match ty {
                    ColumnType::SmallInt => b"[S:",
                    ColumnType::BigInt => b"[L:",
                    _ => b"[I:",
                });
                push_integer(out, *x);
                out.push(b']');
            }
            Value::Float(x) => {
                out.extend_from_slice(b"[F:");
                if ty == ColumnType::Real {
                    float::write_f32(out, *x as f32);
                } else {
                    float::write_f64(out, *x);
                }
                out.push(b']');
            }
            Value::Decimal(x) => out.extend_from_slice(format!("[F:{x}]").as_bytes()),
            Value::DateTime(x) if ty == ColumnType::Date => {
                out.extend_from_slice(b"[D:");
                x.write_wire_date(out);
                out.push(b']');
            }
            Value::DateTime(x) => {
                out.extend_from_slice(b"[DT:");
                x.write_wire(out);
                out.push(b']');
            }
            Value::Offset { local, minutes } => {
                out.extend_from_slice(b"[DT:");
                local.write_wire(out);
                out.push(b' ');
                write_offset(out, *minutes);
                out.push(b']');
            }
            Value::Time(x) if x % (60 * TICKS_PER_SECOND) == 0 => {
                out.extend_from_slice(b"[T:");
                datetime::write_minute_of_day(out, *x);
                out.push(b']');
            }
            Value::Time(x) => {
                out.extend_from_slice(b"[DT:01/01/1900 ");
                datetime::write_time(out, *x, 7);
                out.push(b']');
            }
            Value::Text(x) => out.extend_from_slice(x.as_bytes()),
            Value::Binary(x) => {
                out.extend_from_slice(b"[B:");
                push_base64(out, x);
                out.push(b']');
            }
            Value::Guid(x) => out.extend_from_slice(guid_text(*x).as_bytes()),
        }
    }
}

/// Writes a number in decimal digits, without a detour over a string: most cells are integers.
fn push_integer(out: &mut Vec<u8>, x: i64) {
    // The longest is -9223372036854775808.
    let mut digits = [0; 20];
    let mut at = digits.len();
    let mut rest = x.unsigned_abs();
    loop {
        at -= 1;
        digits[at] = b'0' + (rest % 10) as u8;
        rest /= 10;
        if rest == 0 {
            break;
        }
    }
    if x < 0 {
        at -= 1;
        digits[at] = b'-';
    }
    out.extend_from_slice(&digits[at..]);
}

fn push_base64(out: &mut Vec<u8>, bytes: &[u8]) {
    let start = out.len();
    out.resize(start + bytes.len().div_ceil(3) * 4, 0);
    let written = STANDARD
        .encode_slice(bytes, &mut out[start..])
        .expect("every three bytes or less have four characters");
    out.truncate(start + written);
}

/// Writes an offset from UTC: `+02:00`.
pub fn write_offset(out: &mut Vec<u8>, minutes: i16) {
    let sign = if minutes < 0 { '-' } else { '+' };
    let (hours, rest) = (minutes.unsigned_abs() / 60, minutes.unsigned_abs() % 60);
    out.extend_from_slice(format!("{sign}{hours:02}:{rest:02}").as_bytes());
}

/// A GUID's usual text, upper case as SQL Server prints it.
pub fn guid_text(guid: u128) -> String {
    let hex = format!("{guid:032X}");
    let (a, b, c, d, e) = (&hex[..8], &hex[8..12], &hex[12..16], &hex[16..20], &hex[20..]);
    format!("{a}-{b}-{c}-{d}-{e}")
}

/// For messages: NULL, numbers and dates plain, text quoted and shortened, bytes by their count and beginning.
impl fmt::Display for Value<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Value::Null => f.write_str("NULL"),
            Value::Int(x) => write!(f, "{x}"),
            Value::Float(x) => {
                let mut out = Vec::new();
                float::write_f64(&mut out, *x);
                f.write_str(&String::from_utf8_lossy(&out))
            }
            Value::Decimal(x) => write!(f, "{x}"),
            Value::DateTime(x) => write!(f, "{x}"),
            Value::Offset { local, minutes } => {
                let mut out = Vec::new();
                write_offset(&mut out, *minutes);
                write!(f, "{local} {}", String::from_utf8_lossy(&out))
            }
            Value::Time(x) => {
                let mut out = Vec::new();
                datetime::write_time(&mut out, *x, 7);
                f.write_str(&String::from_utf8_lossy(&out))
            }
            Value::Text(x) => write!(f, "'{}'", crate::excerpt(x)),
            Value::Binary(x) => {
                f.write_str("0x")?;
                x.iter().take(16).try_for_each(|b| write!(f, "{b:02X}"))?;
                if x.len() > 16 {
                    write!(f, "… ({} bytes)", x.len())?;
                }
                Ok(())
            }
            Value::Guid(x) => f.write_str(&guid_text(*x)),
        }
    }
}

fn check_length(text: &str, ty: ColumnType) -> Result<(), CellError> {
    let Some(max) = ty.length_max() else {
        return Ok(());
    };
    // No text has more UTF-16 units or characters than bytes.
    if text.len() <= max {
        return Ok(());
    }
    let (length, unit) = match ty {
        ColumnType::NVarChar(_) | ColumnType::NChar(_) => (text.encode_utf16().count(), "UTF-16 code units"),
        _ => (text.chars().count(), "characters"),
    };
    if length <= max {
        return Ok(());
    }
    Err(CellError::TooLong { length, unit, ty })
}

fn read_marked<'a>(cell: &'a str, ty: ColumnType) -> Result<Value<'a>, CellError> {
    let (marker, text) = match split_marker(cell) {
        Marked::Bare(text) => return read_unmarked(text, ty),
        Marked::As(marker, text) => (marker, text),
    };
    let takes = match ty {
        ColumnType::Int | ColumnType::SmallInt | ColumnType::TinyInt | ColumnType::BigInt => {
            matches!(marker, "I" | "S" | "L")
        }
        ColumnType::Bit => matches!(marker, "I" | "S" | "L"),
        ColumnType::Float | ColumnType::Real => matches!(marker, "F" | "I" | "S" | "L" | "M"),
        ColumnType::Decimal { .. } | ColumnType::Money | ColumnType::SmallMoney => {
            matches!(marker, "F" | "M" | "I" | "S" | "L")
        }
        ColumnType::DateTime
        | ColumnType::SmallDateTime
        | ColumnType::DateTime2(_)
        | ColumnType::DateTimeOffset(_)
        | ColumnType::Date => matches!(marker, "DT" | "D"),
        ColumnType::Time(_) => matches!(marker, "DT" | "T"),
        _ if ty.is_binary() => marker == "B",
        _ => false,
    };
    if !takes {
        return Err(not_a(cell, ty));
    }
    // `[B:]` is no bytes, while an empty cell is NULL.
    if marker == "B" && text.is_empty() {
        return Ok(Value::Binary(Cow::Borrowed(&[])));
    }
    read_unmarked(text, ty).map_err(|error| match error {
        CellError::NotA { ty, expected, .. } => CellError::NotA {
            cell: crate::excerpt(cell),
            ty,
            expected,
        },
        other => other,
    })
}

fn read_unmarked<'a>(text: &'a str, ty: ColumnType) -> Result<Value<'a>, CellError> {
    let wrong = || not_a(text, ty);
    let range = || CellError::OutOfRange {
        cell: crate::excerpt(text),
        ty,
    };
    if let Some((min, max)) = ty.integer_range() {
        let number = match text.parse::<i64>() {
            Ok(number) => number,
            Err(_) if ty == ColumnType::Bit && text.eq_ignore_ascii_case("true") => 1,
            Err(_) if ty == ColumnType::Bit && text.eq_ignore_ascii_case("false") => 0,
            Err(e)
                if matches!(
                    e.kind(),
                    std::num::IntErrorKind::PosOverflow | std::num::IntErrorKind::NegOverflow
                ) =>
            {
                return Err(range());
            }
            Err(_) => return Err(wrong()),
        };
        return (min..=max)
            .contains(&number)
            .then_some(Value::Int(number))
            .ok_or_else(range);
    }
    if let Some((precision, scale)) = ty.decimal_shape() {
        let Some(decimal) = Decimal::parse(text) else {
            // More digits than any decimal has, rather than no number.
            return Err(if float::is_number(text) { range() } else { wrong() });
        };
        let fitted = decimal.fit(precision, scale).ok_or_else(range)?;
        let fits = match ty {
            ColumnType::Money => i64::try_from(fitted.unscaled).is_ok(),
            ColumnType::SmallMoney => i32::try_from(fitted.unscaled).is_ok(),
            _ => true,
        };
        return fits.then_some(Value::Decimal(fitted)).ok_or_else(range);
    }
    if ty.is_binary() {
        let bytes = match STANDARD.decode(text) {
            Ok(bytes) => bytes,
            // .NET's reader skips white space in base64.
            Err(_) => STANDARD
                .decode(text.split_ascii_whitespace().collect::<String>())
                .map_err(|_| wrong())?,
        };
        return Value::from_bytes(Cow::Owned(bytes), ty);
    }
    match ty {
        ColumnType::Float => match float::parse_f64(text) {
            Some(x) => Ok(Value::Float(x)),
            None if float::is_number(text) => Err(range()),
            None => Err(wrong()),
        },
        ColumnType::Real => match float::parse_f32(text) {
            Some(x) => Ok(Value::Float(f64::from(x))),
            None if float::is_number(text) => Err(range()),
            None => Err(wrong()),
        },
        ColumnType::Time(digits) => {
            let ticks = match datetime::parse_time(text) {
                Some(ticks) => ticks,
                None => DateTime::parse(text).ok_or_else(wrong)?.ticks_of_day(),
            };
            let unit = 10i64.pow(7 - u32::from(digits));
            // Rounding up past midnight wraps round, as SQL Server's time does.
            let rounded = (ticks + unit / 2) / unit * unit;
            Ok(Value::Time(rounded % datetime::TICKS_PER_DAY))
        }
        ColumnType::DateTimeOffset(digits) => {
            let (local, minutes) = read_offset(text).ok_or_else(wrong)?;
            let local = local.round_to_digits(digits).ok_or_else(range)?;
            // SQL Server keeps the point in UTC, which must be in the calendar too.
            let ahead = i64::from(minutes) * 60 * TICKS_PER_SECOND;
            DateTime::from_ticks(local.ticks() - ahead).ok_or_else(range)?;
            Ok(Value::Offset { local, minutes })
        }
        ColumnType::UniqueIdentifier => read_guid(text).map(Value::Guid).ok_or_else(wrong),
        ColumnType::DateTime | ColumnType::SmallDateTime | ColumnType::DateTime2(_) | ColumnType::Date => {
            let given = DateTime::parse(text).ok_or_else(wrong)?;
            let kept = match ty {
                ColumnType::DateTime => given.round_to_datetime(),
                ColumnType::SmallDateTime => given.round_to_smalldatetime(),
                ColumnType::DateTime2(digits) => given.round_to_digits(digits),
                _ => Some(given.midnight()),
            };
            kept.map(Value::DateTime).ok_or_else(range)
        }
        _ => Err(wrong()),
    }
}

fn not_a(cell: &str, ty: ColumnType) -> CellError {
    let expected = match ty {
        ColumnType::Int | ColumnType::TinyInt => "[I:135] or 135",
        ColumnType::SmallInt => "[S:135] or 135",
        ColumnType::BigInt => "[L:135] or 135",
        ColumnType::Bit => "[I:0], [I:1], True or False",
        ColumnType::Float | ColumnType::Real => "[F:123.4] or 123.4",
        ColumnType::Decimal { .. } | ColumnType::Money | ColumnType::SmallMoney => {
            "[F:123.45], [M:123.45] or 123.45"
        }
        ColumnType::Date => "[D:05/18/2020] or [DT:05/18/2020 00:00:00.0000000]",
        ColumnType::Time(_) => "[T:14:52] or [DT:01/01/1900 14:52:00.0000000]",
        ColumnType::DateTimeOffset(_) => "[DT:05/18/2020 10:40:43.0000000 +02:00]",
        ColumnType::DateTime | ColumnType::SmallDateTime | ColumnType::DateTime2(_) => {
            "[DT:05/18/2020 10:40:43.0000000]"
        }
        ColumnType::UniqueIdentifier => "6F9619FF-8B86-D011-B42D-00C04FC964FF",
        _ if ty.is_binary() => "[B:base64] or base64",
        _ => "text",
    };
    CellError::NotA {
        cell: crate::excerpt(cell),
        ty,
        expected,
    }
}

/// The largest offset from UTC that SQL Server takes, either way.
const OFFSET_MINUTES_MAX: i16 = 14 * 60;

fn read_offset(text: &str) -> Option<(DateTime, i16)> {
    let Some(at) = text.rfind([' ', '+', '-']).filter(|at| *at > 10) else {
        return DateTime::parse(text.strip_suffix('Z').unwrap_or(text)).map(|local| (local, 0));
    };
    let (local, offset) = text.split_at(at);
    let offset = offset.trim_start();
    let Some(sign) = offset.chars().next().filter(|c| matches!(c, '+' | '-')) else {
        return DateTime::parse(text).map(|local| (local, 0));
    };
    // An offset has no seconds.
    let ticks = datetime::parse_time(offset[1..].get(..5).filter(|hm| hm.len() == offset.len() - 1)?)?;
    let minutes = i16::try_from(ticks / (60 * TICKS_PER_SECOND)).ok()?;
    if minutes > OFFSET_MINUTES_MAX {
        return None;
    }
    let minutes = if sign == '-' { -minutes } else { minutes };
    DateTime::parse(local.trim_end()).map(|local| (local, minutes))
}

fn read_guid(text: &str) -> Option<u128> {
    let bare = text
        .strip_prefix('{')
        .and_then(|t| t.strip_suffix('}'))
        .unwrap_or(text);
    let bytes = bare.as_bytes();
    let hyphens = bytes.len() == 36 && [8, 13, 18, 23].iter().all(|at| bytes[*at] == b'-');
    let digits: String = bare.chars().filter(|c| *c != '-').collect();
    let plain = digits.len() == 32 && digits.bytes().all(|b| b.is_ascii_hexdigit());
    (plain && (hyphens || bytes.len() == 32))
        .then(|| u128::from_str_radix(&digits, 16).ok())
        .flatten()
}
