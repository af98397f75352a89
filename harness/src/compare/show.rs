//! Values, shown so that two different ones never look alike.
//!
//! NULL is `NULL`, text stands in single quotes with everything escaped that an eye could miss, bytes are `0x…`. Of a
//! long text or blob only the neighbourhood of the difference is shown, with the whole length.

use std::fmt::Write as _;

use mirrorlab_protocol::value::Value;

/// The most characters of a text, or bytes of a blob, that are shown of one value.
const SHOWN_MAX: usize = 48;
/// How much of that stands before the difference.
const BEFORE: usize = 16;

/// Two different values, shown.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Pair {
    /// The left value.
    pub left: String,
    /// The right value.
    pub right: String,
    /// Where they part, where that is not plain to see.
    pub note: Option<String>,
}

/// One value by itself.
pub fn one(value: &Value<'_>) -> String {
    near(value, 0)
}

/// Two different values, with what helps to see their difference.
pub fn pair(left: &Value<'_>, right: &Value<'_>) -> Pair {
    let (at, note) = match (left, right) {
        (Value::Text(a), Value::Text(b)) => {
            let at = a.chars().zip(b.chars()).take_while(|(x, y)| x == y).count();
            let note = format!(
                "first difference at character {}: {} against {}",
                at + 1,
                code_point(a.chars().nth(at)),
                code_point(b.chars().nth(at))
            );
            (at, Some(note))
        }
        (Value::Binary(a), Value::Binary(b)) => {
            let at = a.iter().zip(b.iter()).take_while(|(x, y)| x == y).count();
            let byte = |bytes: &[u8]| match bytes.get(at) {
                Some(byte) => format!("0x{byte:02X}"),
                None => "the end".to_owned(),
            };
            let note = format!(
                "first difference at byte {}: {} against {}",
                at + 1,
                byte(a),
                byte(b)
            );
            (at, Some(note))
        }
        _ => (0, None),
    };
    let (left_text, right_text) = (near(left, at), near(right, at));
    let note = note.or_else(|| same_look(left, right, left_text == right_text));
    Pair {
        left: left_text,
        right: right_text,
        note,
    }
}

/// What tells two values apart whose texts are the same.
fn same_look(left: &Value<'_>, right: &Value<'_>, same: bool) -> Option<String> {
    if !same {
        return None;
    }
    Some(match (left, right) {
        (Value::Float(a), Value::Float(b)) => {
            format!("bits 0x{:016X} against 0x{:016X}", a.to_bits(), b.to_bits())
        }
        (a, b) => format!("{a:?} against {b:?}"),
    })
}

/// A value, of a long one what stands around position `at`.
fn near(value: &Value<'_>, at: usize) -> String {
    match value {
        Value::Text(text) => text_near(text, at),
        Value::Binary(bytes) => bytes_near(bytes, at),
        // A finite float's text is its shortest that reads back as the same bits; others cannot be told apart by text.
        Value::Float(x) if !x.is_finite() => format!("{x} (bits 0x{:016X})", x.to_bits()),
        other => other.to_string(),
    }
}

fn text_near(text: &str, at: usize) -> String {
    let length = text.chars().count();
    let (from, to) = window(length, at);
    let part: String = text.chars().skip(from).take(to - from).collect();
    let mut out = String::new();
    if from > 0 {
        out.push('…');
    }
    let _ = write!(out, "'{}'", escaped(&part));
    if to < length {
        out.push('…');
    }
    if to - from < length {
        let _ = write!(out, " ({length} characters)");
    }
    out
}

fn bytes_near(bytes: &[u8], at: usize) -> String {
    let (from, to) = window(bytes.len(), at);
    let mut out = String::new();
    if from > 0 {
        out.push('…');
    }
    out.push_str("0x");
    for byte in &bytes[from..to] {
        let _ = write!(out, "{byte:02X}");
    }
    if to < bytes.len() {
        out.push('…');
    }
    if to - from < bytes.len() {
        let _ = write!(out, " ({} bytes)", bytes.len());
    }
    out
}

/// Which part of a value of `length` units is shown around `at`.
fn window(length: usize, at: usize) -> (usize, usize) {
    if length <= SHOWN_MAX {
        return (0, length);
    }
    let from = at.saturating_sub(BEFORE).min(length - SHOWN_MAX);
    (from, from + SHOWN_MAX)
}

/// `U+000D`, with the character itself where it can be seen.
fn code_point(c: Option<char>) -> String {
    match c {
        None => "the end".to_owned(),
        Some(c) if is_plain(c) && !c.is_whitespace() => format!("U+{:04X} `{c}`", u32::from(c)),
        Some(c) => format!("U+{:04X}", u32::from(c)),
    }
}

/// Text with everything escaped that an eye could miss or a terminal could obey, and the quote and the backslash.
pub fn escaped(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for c in text.chars() {
        match c {
            '\n' => out.push_str("\\n"),
            '\r' => out.push_str("\\r"),
            '\t' => out.push_str("\\t"),
            '\0' => out.push_str("\\0"),
            '\\' => out.push_str("\\\\"),
            '\'' => out.push_str("\\'"),
            c if is_plain(c) => out.push(c),
            c => {
                let _ = write!(out, "\\u{{{:X}}}", u32::from(c));
            }
        }
    }
    out
}

/// Whether a character shows itself: no control, no format or unassigned character, no blank but U+0020. Rust's own
/// debug form knows them; combining marks after a quote are escaped by it as well.
fn is_plain(c: char) -> bool {
    match c {
        ' ' | '"' | '\'' | '\\' => true,
        c => c.escape_debug().count() == 1 && !c.is_whitespace(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::borrow::Cow;

    fn text(text: &str) -> Value<'_> {
        Value::Text(Cow::Borrowed(text))
    }

    #[test]
    fn nothing_looks_like_something_else() {
        let shown: Vec<String> = [
            Value::Null,
            text("NULL"),
            text(""),
            text(" "),
            text("\u{a0}"),
            text("a\r\nb\tc\0"),
            text("a\\r"),
            text("it's"),
            text("\u{feff}x\u{200b}\u{202e}\u{fffe}\u{1}\u{85}"),
            text("e\u{301} é 😀"),
            Value::Binary(Cow::Borrowed(&[])),
            Value::Binary(Cow::Borrowed(&[0, 255])),
            Value::Float(-0.0),
            Value::Float(0.0),
            Value::Float(f64::NAN),
            Value::Int(5),
            text("5"),
        ]
        .iter()
        .map(one)
        .collect();
        insta::assert_snapshot!(shown.join("\n"));
        let mut distinct = shown.clone();
        distinct.sort();
        distinct.dedup();
        assert_eq!(distinct.len(), shown.len());
    }

    #[test]
    fn pairs_say_where_they_part() {
        let long = "x".repeat(4000);
        let other = format!("{}y{}", "x".repeat(2500), "x".repeat(1499));
        let blob = vec![0xABu8; 1 << 20];
        let mut bit = blob.clone();
        bit[1 << 19] ^= 1;
        let binary = |bytes: &[u8]| Value::Binary(Cow::Owned(bytes.to_vec()));
        let shown: Vec<String> = [
            (text("Ola"), text("ola")),
            (text("Ola"), text("Ola ")),
            (text("é"), text("e\u{301}")),
            (text("a\rb"), text("a\nb")),
            (Value::Null, text("")),
            (text(&long), text(&other)),
            (text(&long), text(&long[..3999])),
            (binary(&blob), binary(&bit)),
            (binary(&[1]), binary(&[])),
            (
                Value::Float(0.1),
                Value::Float(f64::from_bits(0.1f64.to_bits() + 1)),
            ),
            (Value::Float(0.0), Value::Float(-0.0)),
            (Value::Int(1), Value::Int(2)),
        ]
        .iter()
        .map(|(a, b)| {
            let pair = pair(a, b);
            format!(
                "{} | {} | {}",
                pair.left,
                pair.right,
                pair.note.unwrap_or_default()
            )
        })
        .collect();
        insta::assert_snapshot!(shown.join("\n"));
    }
}
