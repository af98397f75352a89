//! What a cell stands for, by its column's type, in the forms that histories draw: written from docs/protocol.md (cell
//! values), and without a line of the reader under test. Forms that are not drawn are not judged.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use mirrorlab_protocol::datetime::{DateTime, TICKS_PER_SECOND};
use mirrorlab_protocol::decimal::Decimal;
use mirrorlab_protocol::schema::Column;
use mirrorlab_protocol::types::{ColumnType, Length};
use mirrorlab_protocol::value::Value;

/// A cell that its column cannot hold.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Wrong;

/// Texts that no value of the type is written as.
pub fn wrong(ty: ColumnType) -> &'static [&'static str] {
    match ty {
        ColumnType::Int => &["[I:2147483648]", "one", "[F:1.5]", "[I:", "[I:5] "],
        ColumnType::SmallInt => &["[S:32768]", "1.5", "[DT:05/18/2020 10:40:43.0000000]"],
        ColumnType::TinyInt => &["[I:256]", "[I:-1]", "few"],
        ColumnType::BigInt => &["[L:9223372036854775808]", "many"],
        ColumnType::Bit => &["[I:2]", "maybe"],
        ColumnType::Float | ColumnType::Real => &["[F:NaN]", "[F:1,5]", "x"],
        ColumnType::Decimal { .. } | ColumnType::Money => &["[F:1,5]", "much"],
        ColumnType::DateTime => &[
            "[DT:13/01/2020 00:00:00.0000000]",
            "[DT:01/01/1752 00:00:00.0000000]",
        ],
        ColumnType::DateTime2(_) => &["[DT:13/01/2020 00:00:00.0000000]", "soon"],
        ColumnType::Date => &["[D:02/30/2020]", "today"],
        ColumnType::Time(_) => &["[T:25:00]", "noon"],
        ColumnType::UniqueIdentifier => &["no guid", "6F9619FF-8B86-D011-B42D-00C04FC964F"],
        ColumnType::VarBinary(_) => &["[B:***]", "?"],
        _ => &[],
    }
}

/// Reads a cell. `None` where it is not judged.
pub fn read(cell: Option<&str>, column: &Column) -> Option<Result<Value<'static>, Wrong>> {
    let null = || match column.nullable {
        true => Ok(Value::Null),
        false => Err(Wrong),
    };
    let Some(text) = cell else {
        return Some(null());
    };
    let ty = column.ty;
    // Texts are what they are, however they look.
    match ty {
        ColumnType::NVarChar(Length::Limit(most)) if text.encode_utf16().count() > usize::from(most) => {
            return Some(Err(Wrong));
        }
        ColumnType::NVarChar(_) | ColumnType::NText => {
            return Some(Ok(Value::Text(text.to_owned().into())));
        }
        _ if text.is_empty() => return Some(null()),
        _ if wrong(ty).contains(&text) => return Some(Err(Wrong)),
        _ => {}
    }
    let number = marked(text, &["I", "S", "L"]);
    let moment = |text: &str| day_and_time(text).map(Value::DateTime).map(Ok);
    match ty {
        ColumnType::Bit => match number {
            "0" | "False" => Some(Ok(Value::Int(0))),
            "1" | "True" => Some(Ok(Value::Int(1))),
            _ => None,
        },
        ColumnType::Int | ColumnType::SmallInt | ColumnType::TinyInt | ColumnType::BigInt => {
            let number: i64 = number.parse().ok()?;
            let (least, most): (i64, i64) = match ty {
                ColumnType::Int => (-2_147_483_648, 2_147_483_647),
                ColumnType::SmallInt => (-32_768, 32_767),
                ColumnType::TinyInt => (0, 255),
                _ => (i64::MIN, i64::MAX),
            };
            Some(match (least..=most).contains(&number) {
                true => Ok(Value::Int(number)),
                false => Err(Wrong),
            })
        }
        ColumnType::Float => {
            let number: f64 = marked(text, &["F"]).parse().ok()?;
            number.is_finite().then_some(Ok(Value::Float(number)))
        }
        ColumnType::Real => {
            let number: f32 = marked(text, &["F"]).parse().ok()?;
            number.is_finite().then_some(Ok(Value::Float(f64::from(number))))
        }
        ColumnType::Decimal { scale, .. } => exact(marked(text, &["F", "M"]), scale),
        ColumnType::Money => exact(marked(text, &["F", "M"]), 4),
        ColumnType::Date => {
            let text = within(text, "D")?;
            day(text, 0).map(Value::DateTime).map(Ok)
        }
        ColumnType::DateTime | ColumnType::DateTime2(_) => moment(within(text, "DT")?),
        ColumnType::Time(_) => match within(text, "T") {
            Some(minute) => Some(Ok(Value::Time(ticks(&format!("{minute}:00.0000000"))?))),
            None => {
                let time = within(text, "DT")?.strip_prefix("01/01/1900 ")?;
                Some(Ok(Value::Time(ticks(time)?)))
            }
        },
        ColumnType::UniqueIdentifier => {
            let digits: String = text.split('-').collect();
            let number = u128::from_str_radix(&digits, 16).ok()?;
            (digits.len() == 32).then_some(Ok(Value::Guid(number)))
        }
        ColumnType::VarBinary(length) => {
            let bytes = STANDARD.decode(marked(text, &["B"])).ok()?;
            Some(match length {
                Length::Limit(most) if bytes.len() > usize::from(most) => Err(Wrong),
                _ => Ok(Value::Binary(bytes.into())),
            })
        }
        _ => None,
    }
}

/// `[X:text]`.
fn within<'t>(text: &'t str, marker: &str) -> Option<&'t str> {
    text.strip_prefix('[')?
        .strip_prefix(marker)?
        .strip_prefix(':')?
        .strip_suffix(']')
}

/// The text within one of these markers, or as it stands.
fn marked<'t>(text: &'t str, markers: &[&str]) -> &'t str {
    let inner = markers.iter().find_map(|marker| within(text, marker));
    inner.unwrap_or(text)
}

/// `-12.5`, with so many digits behind the point.
fn exact(text: &str, scale: u8) -> Option<Result<Value<'static>, Wrong>> {
    let (whole, behind) = text.split_once('.').unwrap_or((text, ""));
    let missing = usize::from(scale).checked_sub(behind.len())?;
    let digits = format!("{whole}{behind}{}", "0".repeat(missing));
    let unscaled: i128 = digits.parse().ok()?;
    Some(Ok(Value::Decimal(Decimal { unscaled, scale })))
}

/// `05/18/2020 10:40:43.0000000`
fn day_and_time(text: &str) -> Option<DateTime> {
    let (date, time) = text.split_once(' ')?;
    day(date, ticks(time)?)
}

/// `05/18/2020`, and so many ticks of that day.
fn day(text: &str, ticks: i64) -> Option<DateTime> {
    let mut parts = text.split('/').map(|part| part.parse::<i64>().ok());
    let (month, day, year) = (parts.next()??, parts.next()??, parts.next()??);
    DateTime::from_parts(year, month, day, ticks)
}

/// `10:40:43.0000000`, with all seven digits.
fn ticks(text: &str) -> Option<i64> {
    let (whole, behind) = text.split_once('.')?;
    let mut parts = whole.split(':').map(|part| part.parse::<i64>().ok());
    let (hour, minute, second) = (parts.next()??, parts.next()??, parts.next()??);
    let fits = hour < 24 && minute < 60 && second < 60 && behind.len() == 7;
    let behind: i64 = behind.parse().ok()?;
    fits.then_some(((hour * 60 + minute) * 60 + second) * TICKS_PER_SECOND + behind)
}
