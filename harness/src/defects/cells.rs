//! Values that are stored as others: each mistake rewrites a cell's text on its way into the store.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use mirrorlab_protocol::datetime::DateTime;
use mirrorlab_protocol::schema::Column;
use mirrorlab_protocol::types::ColumnType;
use mirrorlab_protocol::value::Value;

/// Makes another cell of one; `None` is NULL. Keys are spared: a row that cannot be found is another mistake.
pub type CellMistake = fn(&Column, Option<&str>) -> Option<String>;

/// What stands in `[X:…]`.
fn marked(cell: &str) -> Option<(&str, &str)> {
    cell.strip_prefix('[')?.strip_suffix(']')?.split_once(':')
}

fn text(column: &Column, cell: Option<&str>, change: impl Fn(&str) -> String) -> Option<String> {
    match cell {
        Some(text) if column.ty.is_text() => Some(change(text)),
        other => other.map(str::to_owned),
    }
}

/// The text inside the marker changed, for columns that `of` says.
fn inside(
    column: &Column,
    cell: Option<&str>,
    of: fn(ColumnType) -> bool,
    change: impl Fn(&str) -> Option<String>,
) -> Option<String> {
    let cell = cell?;
    if of(column.ty)
        && let Some((marker, text)) = marked(cell)
        && let Some(changed) = change(text)
    {
        return Some(format!("[{marker}:{changed}]"));
    }
    Some(cell.to_owned())
}

fn is_float(ty: ColumnType) -> bool {
    matches!(ty, ColumnType::Float)
}

fn is_exact(ty: ColumnType) -> bool {
    ty.decimal_shape().is_some()
}

fn is_moment(ty: ColumnType) -> bool {
    matches!(
        ty,
        ColumnType::DateTime | ColumnType::SmallDateTime | ColumnType::DateTime2(_)
    )
}

/// Empty text becomes NULL, where NULL may be.
pub fn empty_text_is_null(column: &Column, cell: Option<&str>) -> Option<String> {
    let lost = column.ty.is_text() && column.nullable && cell == Some("");
    cell.filter(|_| !lost).map(str::to_owned)
}

/// NULL becomes empty text.
pub fn null_text_is_empty(column: &Column, cell: Option<&str>) -> Option<String> {
    match cell {
        None if column.ty.is_text() => Some(String::new()),
        other => other.map(str::to_owned),
    }
}

/// NULL becomes 0.
pub fn null_number_is_zero(column: &Column, cell: Option<&str>) -> Option<String> {
    match cell {
        None if column.ty.integer_range().is_some() => Some("0".into()),
        other => other.map(str::to_owned),
    }
}

/// Zero bytes become NULL.
pub fn empty_bytes_are_null(column: &Column, cell: Option<&str>) -> Option<String> {
    let lost = column.ty.is_binary() && column.nullable && cell == Some("[B:]");
    cell.filter(|_| !lost).map(str::to_owned)
}

/// Blanks at both ends go.
pub fn blanks_trimmed(column: &Column, cell: Option<&str>) -> Option<String> {
    text(column, cell, |t| t.trim_matches(' ').to_owned())
}

/// Blanks at the end go, as from a fixed-length column.
pub fn blanks_behind_trimmed(column: &Column, cell: Option<&str>) -> Option<String> {
    text(column, cell, |t| t.trim_end_matches(' ').to_owned())
}

/// CR goes.
pub fn carriage_return_lost(column: &Column, cell: Option<&str>) -> Option<String> {
    text(column, cell, |t| t.replace('\r', ""))
}

/// A line feed becomes CR LF.
pub fn line_feed_widened(column: &Column, cell: Option<&str>) -> Option<String> {
    text(column, cell, |t| t.replace("\r\n", "\n").replace('\n', "\r\n"))
}

/// Control characters go.
pub fn control_characters_dropped(column: &Column, cell: Option<&str>) -> Option<String> {
    let kept = |c: &char| !c.is_control() || matches!(c, '\t' | '\n' | '\r');
    text(column, cell, |t| t.chars().filter(kept).collect())
}

/// What is beyond the basic plane becomes `??`.
pub fn emoji_replaced(column: &Column, cell: Option<&str>) -> Option<String> {
    text(column, cell, |t| {
        t.chars()
            .map(|c| {
                if c > '\u{ffff}' {
                    "??".to_owned()
                } else {
                    c.to_string()
                }
            })
            .collect()
    })
}

/// What is not in Latin-1 becomes `?`.
pub fn code_page(column: &Column, cell: Option<&str>) -> Option<String> {
    text(column, cell, |t| {
        t.chars().map(|c| if c > '\u{ff}' { '?' } else { c }).collect()
    })
}

/// Accents are put together: Unicode's normal form C, as far as two of its pairs go.
pub fn accents_composed(column: &Column, cell: Option<&str>) -> Option<String> {
    text(column, cell, |t| {
        t.replace("e\u{301}", "é").replace("u\u{308}", "ü")
    })
}

/// Text in a marker loses it.
pub fn marked_text_decoded(column: &Column, cell: Option<&str>) -> Option<String> {
    text(column, cell, |t| {
        marked(t).map_or(t, |(_, inner)| inner).to_owned()
    })
}

/// XML's entities are decoded once more.
pub fn entities_decoded_twice(column: &Column, cell: Option<&str>) -> Option<String> {
    text(column, cell, |t| {
        t.replace("&lt;", "<").replace("&gt;", ">").replace("&amp;", "&")
    })
}

/// The word NULL becomes NULL.
pub fn word_null_is_null(column: &Column, cell: Option<&str>) -> Option<String> {
    let lost = column.ty.is_text() && column.nullable;
    cell.filter(|text| !(lost && text.eq_ignore_ascii_case("null")))
        .map(str::to_owned)
}

/// Text is cut after 255 characters.
pub fn text_cut_at_255(column: &Column, cell: Option<&str>) -> Option<String> {
    text(column, cell, |t| t.chars().take(255).collect())
}

/// 15 digits of a float.
pub fn float_of_15_digits(column: &Column, cell: Option<&str>) -> Option<String> {
    inside(column, cell, is_float, |t| {
        let x: f64 = t.parse().ok()?;
        let rounded: f64 = format!("{x:.14e}").parse().ok()?;
        // The largest would round to infinity, which nobody stores.
        Some(if rounded.is_finite() { rounded } else { x }.to_string())
    })
}

/// A float of 32 bits.
pub fn float_of_32_bits(column: &Column, cell: Option<&str>) -> Option<String> {
    inside(column, cell, is_float, |t| {
        let narrow = t.parse::<f64>().ok()? as f32;
        narrow.is_finite().then(|| f64::from(narrow).to_string())
    })
}

/// A point that is taken for a separator of thousands.
pub fn float_without_its_point(column: &Column, cell: Option<&str>) -> Option<String> {
    inside(column, cell, is_float, |t| Some(t.replace('.', "")))
}

/// A bigint through a double.
pub fn bigint_through_double(column: &Column, cell: Option<&str>) -> Option<String> {
    let of = |ty| ty == ColumnType::BigInt;
    inside(column, cell, of, |t| {
        Some((t.parse::<i64>().ok()? as f64 as i64).to_string())
    })
}

/// A tinyint with a sign.
pub fn tinyint_with_sign(column: &Column, cell: Option<&str>) -> Option<String> {
    let of = |ty| ty == ColumnType::TinyInt;
    inside(column, cell, of, |t| {
        Some(((t.parse::<i64>().ok()? as u8) as i8).to_string())
    })
}

/// An exact number through a double.
pub fn decimal_through_double(column: &Column, cell: Option<&str>) -> Option<String> {
    let (_, scale) = column.ty.decimal_shape().unwrap_or_default();
    inside(column, cell, is_exact, |t| {
        Some(format!("{:.*}", usize::from(scale), t.parse::<f64>().ok()?))
    })
}

/// Money with two digits behind the point.
pub fn money_in_cents(column: &Column, cell: Option<&str>) -> Option<String> {
    let of = |ty| matches!(ty, ColumnType::Money | ColumnType::SmallMoney);
    inside(column, cell, of, |t| {
        let (whole, rest) = t.split_once('.')?;
        Some(format!("{whole}.{}", rest.get(..2).unwrap_or(rest)))
    })
}

/// Times to the second.
pub fn whole_seconds(column: &Column, cell: Option<&str>) -> Option<String> {
    inside(column, cell, is_moment, |t| Some(t.split('.').next()?.to_owned()))
}

/// Times of day to the minute.
pub fn whole_minutes(column: &Column, cell: Option<&str>) -> Option<String> {
    let of = |ty| matches!(ty, ColumnType::Time(_));
    inside(column, cell, of, |t| {
        let (day, time) = t.split_at(t.find(' ').map_or(0, |at| at + 1));
        Some(format!("{day}{}", time.get(..5)?))
    })
}

/// Day and month change places, where that is a date.
pub fn day_before_month(column: &Column, cell: Option<&str>) -> Option<String> {
    inside(column, cell, is_moment, |t| {
        let (month, rest) = t.split_once('/')?;
        let (day, rest) = rest.split_once('/')?;
        (day.parse::<u8>().ok()? <= 12).then(|| format!("{day}/{month}/{rest}"))
    })
}

/// UTC becomes Oslo's winter time.
pub fn moved_by_an_hour(column: &Column, cell: Option<&str>) -> Option<String> {
    inside(column, cell, is_moment, |t| {
        let moved = DateTime::parse(t)?.ticks().checked_add(36_000_000_000)?;
        let value = Value::DateTime(DateTime::from_ticks(moved)?);
        let mut out = Vec::new();
        value.write_cell(column.ty, &mut out);
        let out = String::from_utf8(out).ok()?;
        marked(&out).map(|(_, inner)| inner.to_owned())
    })
}

/// SuperOffice's "no date" becomes NULL.
pub fn no_date_is_null(column: &Column, cell: Option<&str>) -> Option<String> {
    let no_date = |text: &str| is_moment(column.ty) && text.contains("01/01/1760");
    cell.filter(|text| !(column.nullable && no_date(text)))
        .map(str::to_owned)
}

/// Dates before 1900 become its first day.
pub fn dates_from_1900(column: &Column, cell: Option<&str>) -> Option<String> {
    inside(column, cell, is_moment, |t| {
        let early = DateTime::parse(t)?.date().0 < 1900;
        early.then(|| "01/01/1900 00:00:00.0000000".to_owned())
    })
}

/// The base64 text is kept as bytes.
pub fn base64_kept(column: &Column, cell: Option<&str>) -> Option<String> {
    inside(column, cell, ColumnType::is_binary, |t| Some(STANDARD.encode(t)))
}

/// Bytes are kept up to the first zero.
pub fn bytes_end_at_zero(column: &Column, cell: Option<&str>) -> Option<String> {
    inside(column, cell, ColumnType::is_binary, |t| {
        let bytes = STANDARD.decode(t).ok()?;
        let end = bytes.iter().position(|b| *b == 0).unwrap_or(bytes.len());
        Some(STANDARD.encode(&bytes[..end]))
    })
}
