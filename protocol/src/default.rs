//! A column's default: T-SQL text from outside, read into a closed list.
//!
//! Seen on the wire: `default ((-1))`, `default ((0))`, `default (N'')`, `default (N'1760-01-01 00:00:00')`. Text and
//! dates both come as `N'…'`; the column's type says which is meant.

use std::borrow::Cow;
use std::fmt;

use crate::datetime::{DateTime, TICKS_PER_DAY};
use crate::decimal::Decimal;
use crate::types::ColumnType;
use crate::value::{CellError, Value};

/// What a column holds where a row names no value.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum Default {
    /// `((-1))`, `((0.5))`, `((1E+3))`: the number's text, which [`Decimal`] can read.
    Number(String),
    /// `(N'…')` or `('…')`.
    Text(String),
    /// `(0xFF)`.
    Binary(Vec<u8>),
    /// `(NULL)`: as if there were none.
    Null,
    /// The present, by one of SQL Server's functions for it.
    Now(NowFunction),
    /// `newid()` or `newsequentialid()`: a fresh GUID for each row.
    NewId,
}

/// SQL Server's functions for the present.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum NowFunction {
    /// `getdate()`
    GetDate,
    /// `getutcdate()`
    GetUtcDate,
    /// `sysdatetime()`
    SysDateTime,
    /// `sysutcdatetime()`
    SysUtcDateTime,
}

/// Why a default was refused.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error(
    "`{0}` is not a default that can be mirrored: a number, N'text', 0x bytes, null, getdate(), or newid()"
)]
pub struct DefaultError(String);

impl Default {
    /// Reads the wire's text; empty text is no default.
    ///
    /// # Errors
    /// [`DefaultError`] for an expression outside the closed list.
    pub fn parse(text: &str) -> Result<Option<Default>, DefaultError> {
        let refused = || DefaultError(crate::excerpt(text));
        let mut rest = text.trim();
        if rest.is_empty() {
            return Ok(None);
        }
        if let Some(after) = rest.get(..7).filter(|k| k.eq_ignore_ascii_case("default")) {
            rest = rest[after.len()..].trim();
        }
        while let Some(inner) = rest.strip_prefix('(').and_then(|r| r.strip_suffix(')')) {
            rest = inner.trim();
        }
        read_literal(rest).map(Some).ok_or_else(refused)
    }

    /// The value that this default gives in a column of type `ty`.
    ///
    /// # Errors
    /// [`CellError`] where the type cannot hold it. The functions of the present and `newid()` have no fixed value and
    /// give [`Value::Null`]'s place to nothing: `Ok(None)`.
    pub fn value(&self, ty: ColumnType) -> Result<Option<Value<'static>>, CellError> {
        match self {
            Default::Null => Ok(Some(Value::Null)),
            Default::Now(_) | Default::NewId => Ok(None),
            Default::Binary(bytes) => {
                Value::from_bytes(Cow::Borrowed(bytes), ty).map(|v| Some(v.into_owned()))
            }
            Default::Number(text) | Default::Text(text) => {
                let literal = self.converted(text, ty);
                Value::from_bare(literal.as_deref().unwrap_or(text), ty).map(|v| Some(v.into_owned()))
            }
        }
    }

    /// What SQL Server makes of a literal of another kind than the column's: an empty text is 0 to a number and 1900-01-01
    /// to a date, and a whole number is so many days after that.
    fn converted(&self, text: &str, ty: ColumnType) -> Option<String> {
        let is_number = ty.integer_range().is_some()
            || matches!(
                ty,
                ColumnType::Float | ColumnType::Real | ColumnType::Money | ColumnType::SmallMoney
            );
        let is_date = matches!(
            ty,
            ColumnType::DateTime | ColumnType::SmallDateTime | ColumnType::DateTime2(_) | ColumnType::Date
        );
        let counts_days = matches!(ty, ColumnType::DateTime | ColumnType::SmallDateTime);
        match self {
            Default::Text(_) if text.is_empty() && is_number => Some("0".into()),
            Default::Text(_) if text.is_empty() && is_date => Some("1900-01-01".into()),
            Default::Number(_) if counts_days => {
                let epoch = DateTime::from_parts(1900, 1, 1, 0)?;
                let days: i64 = text.parse().ok()?;
                let ticks = days.checked_mul(TICKS_PER_DAY)?.checked_add(epoch.ticks())?;
                DateTime::from_ticks(ticks).map(|at| at.to_string())
            }
            _ => None,
        }
    }
}

fn read_literal(text: &str) -> Option<Default> {
    let lower = text.to_ascii_lowercase();
    match lower.as_str() {
        "null" => return Some(Default::Null),
        "newid()" | "newsequentialid()" => return Some(Default::NewId),
        "getdate()" | "current_timestamp" => return Some(Default::Now(NowFunction::GetDate)),
        "getutcdate()" => return Some(Default::Now(NowFunction::GetUtcDate)),
        "sysdatetime()" => return Some(Default::Now(NowFunction::SysDateTime)),
        "sysutcdatetime()" => return Some(Default::Now(NowFunction::SysUtcDateTime)),
        _ => {}
    }
    if let Some(hex) = lower.strip_prefix("0x") {
        return read_hex(hex).map(Default::Binary);
    }
    let quoted = text.strip_prefix(['N', 'n']).unwrap_or(text);
    if let Some(inner) = quoted.strip_prefix('\'').and_then(|q| q.strip_suffix('\'')) {
        // A lone quote inside would end the literal: whatever follows it is not ours to guess.
        let unescaped = inner.replace("''", "\u{0}");
        return (!unescaped.contains('\'') && !inner.contains('\u{0}'))
            .then(|| Default::Text(unescaped.replace('\u{0}', "'")));
    }
    Decimal::parse(text).map(|_| Default::Number(text.to_owned()))
}

fn read_hex(hex: &str) -> Option<Vec<u8>> {
    // Rust's parser would take a sign in a pair: `0x+1` is a sum to SQL Server.
    if !hex.len().is_multiple_of(2) || !hex.bytes().all(|b| b.is_ascii_hexdigit()) {
        return None;
    }
    (0..hex.len())
        .step_by(2)
        .map(|at| u8::from_str_radix(&hex[at..at + 2], 16).ok())
        .collect()
}

/// The default as SuperOffice writes it: `default ((0))`, `default (N'')` (seen).
impl fmt::Display for Default {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Default::Number(text) => write!(f, "default (({text}))"),
            Default::Text(text) => write!(f, "default (N'{}')", text.replace('\'', "''")),
            Default::Binary(bytes) => {
                f.write_str("default (0x")?;
                bytes.iter().try_for_each(|b| write!(f, "{b:02X}"))?;
                f.write_str(")")
            }
            Default::Null => f.write_str("default (NULL)"),
            Default::Now(NowFunction::GetDate) => f.write_str("default (getdate())"),
            Default::Now(NowFunction::GetUtcDate) => f.write_str("default (getutcdate())"),
            Default::Now(NowFunction::SysDateTime) => f.write_str("default (sysdatetime())"),
            Default::Now(NowFunction::SysUtcDateTime) => f.write_str("default (sysutcdatetime())"),
            Default::NewId => f.write_str("default (newid())"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn every_literal_is_read_as_it_was_written(text: String, bytes: Vec<u8>, number in -1_000_000i64..1_000_000) {
            prop_assume!(!text.contains('\0'));
            for default in [Default::Text(text), Default::Binary(bytes), Default::Number(number.to_string())] {
                prop_assert_eq!(Default::parse(&default.to_string()), Ok(Some(default)));
            }
        }

        /// Whatever is taken is a literal again when it is written: nothing that could run hides in it.
        #[test]
        fn what_is_taken_stays_what_it_is(text in "(default )?[()N'0-9a-z+; -]{0,24}") {
            if let Ok(Some(default)) = Default::parse(&text) {
                prop_assert_eq!(Default::parse(&default.to_string()), Ok(Some(default)));
            }
        }
    }

    fn read(text: &str) -> Default {
        Default::parse(text).unwrap().unwrap()
    }

    #[test]
    fn the_forms_seen_on_the_wire() {
        for (text, expected) in [
            ("default ((-1))", Default::Number("-1".into())),
            ("default ((0))", Default::Number("0".into())),
            ("default (N'')", Default::Text(String::new())),
            (
                "default (N'1760-01-01 00:00:00')",
                Default::Text("1760-01-01 00:00:00".into()),
            ),
            ("default (N'O''Hara')", Default::Text("O'Hara".into())),
            ("(getdate())", Default::Now(NowFunction::GetDate)),
            ("default (CURRENT_TIMESTAMP)", Default::Now(NowFunction::GetDate)),
            ("default (GetUtcDate())", Default::Now(NowFunction::GetUtcDate)),
            ("default (sysdatetime())", Default::Now(NowFunction::SysDateTime)),
            (
                "default (sysutcdatetime())",
                Default::Now(NowFunction::SysUtcDateTime),
            ),
            ("default (newid())", Default::NewId),
            ("default (newsequentialid())", Default::NewId),
            ("default (NULL)", Default::Null),
            ("DEFAULT (0xA1)", Default::Binary(vec![0xa1])),
        ] {
            assert_eq!(read(text), expected);
            assert_eq!(read(&read(text).to_string()), expected, "written and read again");
        }
        assert_eq!(Default::parse("  "), Ok(None));
    }

    #[test]
    fn anything_that_could_run_is_refused() {
        for text in [
            "default (N'a'); DROP TABLE contact --')",
            "default (user_name())",
            "default ((1)+(1))",
            "default (((1)+(1)))",
            "default (1)(1)",
            "default (1)+(1)",
            "default (N'a')+(N'b')",
            "default (N'a')(N'b')",
            "default (N'a')--(b')",
            "default (N''')",
            "default (0))",
            "default )0(",
            "default (getdate()+1)",
            "default (getdate())--",
            "default (0x0)",
            "default (CONVERT(int,'1'))",
            "default ($1)",
            "default (- 1)",
            "default (N'a'+N'b')",
            "default ((0)",
            "default",
            "default (0xZZ)",
            "default (0x+1)",
            "default (0xaéa)",
            "default (N'a\0b')",
        ] {
            assert!(Default::parse(text).is_err(), "{text}");
        }
    }

    #[test]
    fn a_text_literal_means_what_the_column_holds() {
        let no_date = read("default (N'17600101 00:00:00')");
        assert_eq!(
            no_date.value(ColumnType::DateTime).unwrap(),
            read("default (N'1760-01-01 00:00:00')")
                .value(ColumnType::DateTime)
                .unwrap()
        );
        assert_eq!(
            no_date.value(ColumnType::NText).unwrap(),
            Some(Value::Text("17600101 00:00:00".into()))
        );
        let day = |text: &'static str| Value::from_bare(text, ColumnType::DateTime).ok();
        assert_eq!(
            read("default ((0))").value(ColumnType::DateTime).unwrap(),
            day("1900-01-01")
        );
        assert_eq!(
            read("default ((-1))").value(ColumnType::DateTime).unwrap(),
            day("1899-12-31")
        );
        assert_eq!(
            read("default (N'')").value(ColumnType::DateTime).unwrap(),
            day("1900-01-01")
        );
        assert_eq!(
            read("default ('')").value(ColumnType::Int).unwrap(),
            Some(Value::Int(0))
        );
        assert!(read("default (N'x')").value(ColumnType::Int).is_err());
        assert!(read("default ((70000))").value(ColumnType::SmallInt).is_err());
        assert_eq!(read("(null)").value(ColumnType::Int), Ok(Some(Value::Null)));
        assert_eq!(read("(getdate())").value(ColumnType::DateTime), Ok(None));
        assert_eq!(read("(newid())").value(ColumnType::UniqueIdentifier), Ok(None));
        assert_eq!(
            read("(0x0aFF)").value(ColumnType::Image),
            Ok(Some(Value::Binary(Cow::Borrowed(&[10, 255]))))
        );
    }
}
