//! The values at the edges of each type: what breaks a mirror if anything does.

use std::borrow::Cow;

use mirrorlab_protocol::datetime::{DateTime, TICKS_PER_DAY};
use mirrorlab_protocol::decimal::Decimal;
use mirrorlab_protocol::schema::Column;
use mirrorlab_protocol::types::{ColumnType, Length};
use mirrorlab_protocol::value::Value;

use super::Style;
use crate::source::sqlite::check;

/// Texts that have broken something somewhere.
const TEXTS: [&str; 34] = [
    "",
    " ",
    "\u{a0}",
    "  two before",
    "two behind  ",
    "\t\r\n",
    "\r",
    "\n",
    "a\rb\nc\r\nd\te",
    "\u{0}",
    "a\u{0}b",
    "\u{fffe}",
    "\u{ffff}",
    "\u{fffd}",
    "\u{feff}after a mark",
    "]]>",
    "<![CDATA[x]]>",
    "<a href=\"x\">&amp;'</a>",
    "&#x1;",
    "[I:5]",
    "[S:",
    "[DT:05/18/2020 10:40:43.0000000]",
    "[B:AAEC]",
    "NULL",
    "O'Hara'); --",
    "😀",
    "👩\u{200d}👩\u{200d}👧 𝒳 \u{10ffff}",
    "e\u{301} ≠ é",
    "İıſß",
    "日本語のテキスト",
    "שלום \u{202e}abc",
    "\u{2028}\u{2029}\u{85}",
    "1760-01-01",
    "-0",
];

/// Every edge of a column's type that the column can hold: its ends, what lies beside zero, and for texts everything that
/// is hard to carry. NULL is among them where the column allows it.
pub fn edges(column: &Column, style: &Style) -> Vec<Value<'static>> {
    let ty = column.ty;
    let mut all = match ty {
        _ if ty.is_text() => texts(ty, style),
        _ if ty.is_binary() => blobs(ty, style),
        ColumnType::Float => floats(),
        ColumnType::Real => reals(),
        ColumnType::UniqueIdentifier => [0, 1, u128::MAX, 0x6F96_19FF_8B86_D011_B42D_00C0_4FC9_64FF]
            .map(Value::Guid)
            .to_vec(),
        _ => numbers_and_times(ty),
    };
    all.push(Value::Null);
    all.retain(|value| check::fits(value, column).is_ok());
    let mut distinct: Vec<Value<'static>> = Vec::with_capacity(all.len());
    for value in all {
        if !distinct.contains(&value) {
            distinct.push(value);
        }
    }
    distinct
}

fn numbers_and_times(ty: ColumnType) -> Vec<Value<'static>> {
    if let Some((min, max)) = ty.integer_range() {
        // The last one is the first whole number that a double cannot hold.
        return [min, max, 0, 1, -1, 9_007_199_254_740_993]
            .map(Value::Int)
            .to_vec();
    }
    if let Some((precision, scale)) = ty.decimal_shape() {
        let most = match ty {
            ColumnType::Money => i128::from(i64::MAX),
            ColumnType::SmallMoney => i128::from(i32::MAX),
            _ => 10i128.pow(u32::from(precision)) - 1,
        };
        // Money, as any number kept in bits, has one more below zero.
        let decimal = |unscaled| Value::Decimal(Decimal { unscaled, scale });
        return [0, 1, -1, most, -most, -most - 1].map(decimal).to_vec();
    }
    let points = [
        "0001-01-01",
        "1752-12-31 23:59:59.9999999",
        "1753-01-01",
        "1760-01-01",
        "1899-12-30",
        "1900-01-01",
        "1970-01-01",
        "1999-12-31 23:59:59.997",
        "2000-02-29 12:34:56.123",
        "2000-02-29 00:00:00.003",
        "2024-03-31 02:30:00.007",
        "2079-06-06 23:59",
        "9999-12-31",
        "9999-12-31 23:59:59.997",
        "9999-12-31 23:59:59.9999999",
        "2020-05-18 10:40:43.0000001",
    ]
    .map(|text| DateTime::parse(text).expect("each of these points is one of the calendar"));
    match ty {
        ColumnType::Time(digits) => {
            let unit = 10i64.pow(7 - u32::from(digits));
            [
                0,
                unit,
                52_440 * 10_000_000,
                TICKS_PER_DAY / 2,
                TICKS_PER_DAY - unit,
            ]
            .map(|ticks| Value::Time(ticks / unit * unit))
            .to_vec()
        }
        ColumnType::DateTimeOffset(digits) => points[2..]
            .iter()
            .filter_map(|point| point.round_to_digits(digits))
            .zip([0, 60, -60, 840, -840, 330, -570, 1].iter().cycle())
            // SQL Server wants the point in its calendar in UTC as well.
            .filter(|(local, minutes)| {
                DateTime::from_ticks(local.ticks() - i64::from(**minutes) * 600_000_000).is_some()
            })
            .map(|(local, minutes)| Value::Offset {
                local,
                minutes: *minutes,
            })
            .collect(),
        _ => points
            .iter()
            .filter_map(|point| match ty {
                ColumnType::DateTime => point.round_to_datetime(),
                ColumnType::SmallDateTime => point.round_to_smalldatetime(),
                ColumnType::DateTime2(digits) => point.round_to_digits(digits),
                _ => Some(point.midnight()),
            })
            .map(Value::DateTime)
            .collect(),
    }
}

fn floats() -> Vec<Value<'static>> {
    let mut all = vec![
        0.0,
        f64::MAX,
        f64::MIN_POSITIVE,
        // The smallest of all, and the largest that is not normal.
        5e-324,
        2.225_073_858_507_201e-308,
        // 17 digits are needed for each of these.
        0.1 + 0.2,
        1.0 / 3.0,
        std::f64::consts::PI,
        9_007_199_254_740_993.0,
        1.797_693_134_862_315_5e308,
    ];
    // Around where .NET begins to write exponents.
    all.extend([1e14, 1e15, 1e16, 1e21, 1e-4, 1e-5, 123_456_789.123_456_79]);
    let signed = all
        .iter()
        .flat_map(|x| [*x, -*x])
        .filter(|x| x.to_bits() != (-0.0f64).to_bits());
    signed.map(Value::Float).collect()
}

fn reals() -> Vec<Value<'static>> {
    let all = [
        0.0,
        0.1,
        f32::MAX,
        f32::MIN_POSITIVE,
        1e-45,
        16_777_216.0,
        1.0 / 3.0,
        1e7,
        1e-5,
    ];
    let signed = all
        .iter()
        .flat_map(|x| [*x, -*x])
        .filter(|x| x.to_bits() != (-0.0f32).to_bits());
    signed.map(|x| Value::Float(f64::from(x))).collect()
}

fn blobs(ty: ColumnType, style: &Style) -> Vec<Value<'static>> {
    let longest = ty.length_max().unwrap_or(style.blob_bytes_max);
    let every: Vec<u8> = (0..=255).collect();
    [
        Vec::new(),
        vec![0],
        vec![0xff; 3],
        b"[B:AAEC]".to_vec(),
        every.clone(),
        every.iter().copied().cycle().take(longest).collect(),
        vec![0; longest],
    ]
    .into_iter()
    .map(|bytes| Value::Binary(Cow::Owned(pad_bytes(bytes, ty))))
    .collect()
}

fn texts(ty: ColumnType, style: &Style) -> Vec<Value<'static>> {
    let longest = ty.length_max().unwrap_or(style.text_length_max);
    let controls: String = (1u8..32).chain([127]).map(char::from).collect();
    let kept = |text: &&&str| style.nul || !text.contains('\0');
    let mut all: Vec<String> = TEXTS.iter().filter(kept).map(ToString::to_string).collect();
    all.extend(controls.chars().map(String::from));
    all.push(controls);
    all.push((0x80..=0x9fu8).map(char::from).collect());
    all.push("x".repeat(longest));
    all.push("é".repeat(longest));
    all.push("語".repeat(longest));
    all.push("😀".repeat(longest / 2));
    // A blank at the very end of the longest.
    all.push(format!("{:longest$}", "x"));
    all.into_iter()
        .filter(|text| unicode(ty) || text.chars().all(in_code_page))
        .map(|text| Value::Text(Cow::Owned(pad_text(text, ty))))
        .collect()
}

/// Whether a text type holds all of Unicode.
pub(super) fn unicode(ty: ColumnType) -> bool {
    matches!(
        ty,
        ColumnType::NVarChar(_) | ColumnType::NChar(_) | ColumnType::NText
    )
}

/// Whether SQL Server's most usual code page (1252) has the character, at the same number as Unicode.
pub(super) fn in_code_page(c: char) -> bool {
    c.is_ascii() || ('\u{a0}'..='\u{ff}').contains(&c)
}

/// Columns of a fixed length are filled up by SQL Server: texts with blanks.
pub(super) fn pad_text(mut text: String, ty: ColumnType) -> String {
    if let ColumnType::NChar(length) | ColumnType::Char(length) = ty {
        let has = match ty {
            ColumnType::NChar(_) => text.encode_utf16().count(),
            _ => text.chars().count(),
        };
        text.extend(std::iter::repeat_n(' ', usize::from(length).saturating_sub(has)));
    }
    text
}

/// And bytes with zeros; a row version has always eight.
pub(super) fn pad_bytes(mut bytes: Vec<u8>, ty: ColumnType) -> Vec<u8> {
    let length = match ty {
        ColumnType::Binary(length) => usize::from(length),
        ColumnType::RowVersion => 8,
        _ => return bytes,
    };
    if bytes.len() < length {
        bytes.resize(length, 0);
    }
    bytes
}

/// Whether the type has no limit of its own.
pub(super) fn endless(ty: ColumnType) -> bool {
    ty.is_large() && !matches!(ty, ColumnType::NVarChar(Length::Limit(_)))
}
