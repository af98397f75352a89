//! Whether a value is one that SQL Server would keep in a column, bit for bit.
//!
//! SQLite takes anything anywhere. A source that held more than SQL Server can would ask for something of a mirror that
//! no real tenant asks.

use mirrorlab_protocol::schema::Column;
use mirrorlab_protocol::types::ColumnType;
use mirrorlab_protocol::value::Value;

/// Checks a value against its column.
///
/// # Errors
/// The reason, for people, without the column's name.
pub fn fits(value: &Value<'_>, column: &Column) -> Result<(), String> {
    let ty = column.ty;
    let rounds = |kept: Option<Value<'static>>, value: &Value<'_>| match kept {
        Some(kept) if kept == *value => Ok(()),
        Some(kept) => Err(format!("type {ty} would round {value} to {kept}")),
        None => Err(format!("{value} is out of range for type {ty}")),
    };
    match value {
        Value::Null if column.nullable => Ok(()),
        Value::Null => Err("it must not be NULL".into()),
        Value::Int(x) => match ty.integer_range() {
            Some((min, max)) if (min..=max).contains(x) => Ok(()),
            Some(_) => Err(format!("{x} is out of range for type {ty}")),
            None => Err(wrong(value, ty)),
        },
        Value::Float(x) => match ty {
            ColumnType::Float | ColumnType::Real if !x.is_finite() => Err(format!("type {ty} has no {x}")),
            ColumnType::Float => Ok(()),
            ColumnType::Real if f64::from(*x as f32).to_bits() == x.to_bits() => Ok(()),
            ColumnType::Real => Err(format!("type {ty} would round {x}")),
            _ => Err(wrong(value, ty)),
        },
        Value::Decimal(x) => {
            let Some((precision, scale)) = ty.decimal_shape() else {
                return Err(wrong(value, ty));
            };
            let in_bits = match ty {
                ColumnType::Money => i64::try_from(x.unscaled).is_ok(),
                ColumnType::SmallMoney => i32::try_from(x.unscaled).is_ok(),
                _ => true,
            };
            rounds(
                x.fit(precision, scale).filter(|_| in_bits).map(Value::Decimal),
                value,
            )
        }
        Value::DateTime(x) => match ty {
            ColumnType::DateTime => rounds(x.round_to_datetime().map(Value::DateTime), value),
            ColumnType::SmallDateTime => rounds(x.round_to_smalldatetime().map(Value::DateTime), value),
            ColumnType::DateTime2(digits) => rounds(x.round_to_digits(digits).map(Value::DateTime), value),
            ColumnType::Date => rounds(Some(Value::DateTime(x.midnight())), value),
            _ => Err(wrong(value, ty)),
        },
        Value::Offset { local, minutes } => match ty {
            ColumnType::DateTimeOffset(digits) => rounds(
                local.round_to_digits(digits).map(|local| Value::Offset {
                    local,
                    minutes: *minutes,
                }),
                value,
            ),
            _ => Err(wrong(value, ty)),
        },
        Value::Time(x) => match ty {
            ColumnType::Time(digits) => {
                let unit = 10i64.pow(7 - u32::from(digits));
                rounds(Some(Value::Time(x / unit * unit)), value)
            }
            _ => Err(wrong(value, ty)),
        },
        Value::Text(x) if ty.is_text() => {
            let length = match ty {
                ColumnType::NVarChar(_) | ColumnType::NChar(_) => x.encode_utf16().count(),
                _ => x.chars().count(),
            };
            long(length, ty, "characters")
        }
        Value::Binary(x) if ty.is_binary() => long(x.len(), ty, "bytes"),
        Value::Guid(_) if ty == ColumnType::UniqueIdentifier => Ok(()),
        _ => Err(wrong(value, ty)),
    }
}

fn long(length: usize, ty: ColumnType, unit: &str) -> Result<(), String> {
    match ty.length_max() {
        Some(max) if length > max => Err(format!("a value of {length} {unit} is too long for type {ty}")),
        _ => Ok(()),
    }
}

fn wrong(value: &Value<'_>, ty: ColumnType) -> String {
    let shown = mirrorlab_protocol::excerpt(&value.to_string());
    format!("{shown} is no value of type {ty}")
}
