//! Values into columns, and back.
//!
//! Reading is exact: what stands in the file comes back, whether a well-behaved writer would have rounded it or not, so
//! that a comparison sees every difference.

use std::borrow::Cow;

use mirrorlab_protocol::datetime::{self, DateTime};
use mirrorlab_protocol::decimal::Decimal;
use mirrorlab_protocol::types::ColumnType;
use mirrorlab_protocol::value::{self, Value};
use rusqlite::ToSql;
use rusqlite::types::{ToSqlOutput, ValueRef};

/// A value in the form that SQLite keeps.
#[derive(Debug, Clone, PartialEq)]
pub enum Stored<'a> {
    /// NULL
    Null,
    /// INTEGER
    Integer(i64),
    /// REAL
    Real(f64),
    /// TEXT
    Text(Cow<'a, str>),
    /// BLOB
    Blob(Cow<'a, [u8]>),
}

/// The form in which SQLite keeps `value` in a column of type `ty`.
pub fn stored<'a>(value: &'a Value<'_>, ty: ColumnType) -> Stored<'a> {
    let text = |write: &dyn Fn(&mut Vec<u8>)| {
        let mut out = Vec::with_capacity(36);
        write(&mut out);
        Stored::Text(Cow::Owned(
            String::from_utf8(out).expect("dates and times are written in ASCII"),
        ))
    };
    match value {
        Value::Null => Stored::Null,
        Value::Int(x) => Stored::Integer(*x),
        Value::Float(x) => Stored::Real(*x),
        Value::Text(x) => Stored::Text(Cow::Borrowed(x)),
        Value::Binary(x) => Stored::Blob(Cow::Borrowed(x)),
        Value::Decimal(x) => Stored::Text(Cow::Owned(x.to_string())),
        Value::Guid(x) => Stored::Text(Cow::Owned(value::guid_text(*x))),
        Value::DateTime(x) => match ty {
            ColumnType::Date => text(&|out| x.write_iso_date(out)),
            ColumnType::SmallDateTime => text(&|out| x.write_iso(out, 0)),
            ColumnType::DateTime2(digits) => text(&|out| x.write_iso(out, digits)),
            _ => text(&|out| x.write_iso(out, 3)),
        },
        Value::Offset { local, minutes } => {
            let digits = match ty {
                ColumnType::DateTimeOffset(digits) => digits,
                _ => 7,
            };
            text(&|out| {
                local.write_iso(out, digits);
                out.push(b' ');
                value::write_offset(out, *minutes);
            })
        }
        Value::Time(x) => {
            let digits = match ty {
                ColumnType::Time(digits) => digits,
                _ => 7,
            };
            text(&|out| datetime::write_time(out, *x, digits))
        }
    }
}

/// A value with its column's type, to be bound to a statement. Text and bytes are not copied.
pub struct Bound<'v, 'a>(pub &'v Value<'a>, pub ColumnType);

impl ToSql for Bound<'_, '_> {
    fn to_sql(&self) -> rusqlite::Result<ToSqlOutput<'_>> {
        Ok(match stored(self.0, self.1) {
            Stored::Null => ToSqlOutput::Borrowed(ValueRef::Null),
            Stored::Integer(x) => ToSqlOutput::Borrowed(ValueRef::Integer(x)),
            Stored::Real(x) => ToSqlOutput::Borrowed(ValueRef::Real(x)),
            Stored::Text(Cow::Borrowed(x)) => ToSqlOutput::Borrowed(ValueRef::Text(x.as_bytes())),
            Stored::Text(Cow::Owned(x)) => ToSqlOutput::Owned(x.into()),
            Stored::Blob(Cow::Borrowed(x)) => ToSqlOutput::Borrowed(ValueRef::Blob(x)),
            Stored::Blob(Cow::Owned(x)) => ToSqlOutput::Owned(x.into()),
        })
    }
}

/// A cell of a database that is no value of its column's type.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("a column of type {ty} holds {found}")]
pub struct ReadError {
    /// The column's type.
    pub ty: ColumnType,
    /// What stands there.
    pub found: String,
}

/// Reads what SQLite keeps in a column of type `ty`, borrowing text and bytes.
///
/// # Errors
/// [`ReadError`] where a foreign hand put something there that is no such value.
pub fn read<'r>(stored: ValueRef<'r>, ty: ColumnType) -> Result<Value<'r>, ReadError> {
    let wrong = |found: String| ReadError { ty, found };
    match stored {
        ValueRef::Null => Ok(Value::Null),
        ValueRef::Integer(x) if ty.integer_range().is_some() => Ok(Value::Int(x)),
        ValueRef::Integer(x) if matches!(ty, ColumnType::Float | ColumnType::Real) => {
            Ok(Value::Float(x as f64))
        }
        ValueRef::Integer(x) => Err(wrong(format!("the integer {x}"))),
        ValueRef::Real(x) if matches!(ty, ColumnType::Float | ColumnType::Real) => Ok(Value::Float(x)),
        ValueRef::Real(x) => Err(wrong(format!("the float {x:e}"))),
        ValueRef::Blob(x) if ty.is_binary() => Ok(Value::Binary(Cow::Borrowed(x))),
        ValueRef::Blob(x) => Err(wrong(format!("{} bytes", x.len()))),
        ValueRef::Text(bytes) => {
            let text = std::str::from_utf8(bytes).map_err(|_| wrong("text that is not UTF-8".into()))?;
            read_text(text, ty)
                .ok_or_else(|| wrong(format!("the text '{}'", mirrorlab_protocol::excerpt(text))))
        }
    }
}

fn read_text(text: &str, ty: ColumnType) -> Option<Value<'_>> {
    if ty.is_text() {
        return Some(Value::Text(Cow::Borrowed(text)));
    }
    if let Some((precision, scale)) = ty.decimal_shape() {
        let exact = Decimal::parse(text)?;
        // The column's own scale where nothing is lost by it.
        let fitted = exact
            .fit(precision, scale)
            .filter(|f| f.fit(38, exact.scale) == Some(exact) || exact.scale < scale);
        return Some(Value::Decimal(fitted.unwrap_or(exact)));
    }
    match ty {
        ColumnType::DateTime | ColumnType::SmallDateTime | ColumnType::DateTime2(_) | ColumnType::Date => {
            DateTime::parse(text).map(Value::DateTime)
        }
        ColumnType::DateTimeOffset(_) => Value::from_bare(text, ColumnType::DateTimeOffset(7)).ok(),
        ColumnType::Time(_) => datetime::parse_time(text).map(Value::Time),
        ColumnType::UniqueIdentifier => Value::from_bare(text, ty).ok(),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sqlite::declared;
    use rusqlite::Connection;

    /// What SQLite itself says of a value put into a column: its storage class and its text.
    fn kept(ty: &str, bare: &str) -> (String, String) {
        let ty = ColumnType::parse(ty).unwrap();
        let connection = Connection::open_in_memory().unwrap();
        connection
            .execute_batch(&format!("CREATE TABLE t (k int, c {})", declared(ty)))
            .unwrap();
        let value = Value::from_bare(bare, ty).unwrap();
        connection
            .execute("INSERT INTO t VALUES (1, ?1)", [Bound(&value, ty)])
            .unwrap();
        connection
            .query_row("SELECT typeof(c), CAST(c AS TEXT), c FROM t", [], |row| {
                assert_eq!(read(row.get_ref(2)?, ty).unwrap(), value, "read back");
                Ok((row.get(0)?, row.get(1)?))
            })
            .unwrap()
    }

    #[test]
    fn every_type_keeps_its_values_in_a_form_people_can_read() {
        for (ty, bare, class, text) in [
            ("int", "-5", "integer", "-5"),
            ("bigint", "9223372036854775807", "integer", "9223372036854775807"),
            ("bit", "True", "integer", "1"),
            ("float", "0.1", "real", "0.1"),
            ("real", "0.1", "real", "0.10000000149011612"),
            (
                "decimal(38,2)",
                "123456789012345678901234567890123456.78",
                "text",
                "123456789012345678901234567890123456.78",
            ),
            ("decimal(10,2)", "1e3", "text", "1000.00"),
            ("money", "922337203685477.5807", "text", "922337203685477.5807"),
            (
                "datetime",
                "05/18/2020 10:40:43.0050000",
                "text",
                "2020-05-18 10:40:43.007",
            ),
            (
                "smalldatetime",
                "05/18/2020 10:40:43",
                "text",
                "2020-05-18 10:41:00",
            ),
            (
                "datetime2(7)",
                "0001-01-01 00:00:00.0000001",
                "text",
                "0001-01-01 00:00:00.0000001",
            ),
            (
                "datetimeoffset(3)",
                "05/18/2020 10:40:43.123 -09:30",
                "text",
                "2020-05-18 10:40:43.123 -09:30",
            ),
            ("date", "05/18/2020", "text", "2020-05-18"),
            ("time(0)", "14:52", "text", "14:52:00"),
            ("nvarchar(9)", "00012", "text", "00012"),
            ("ntext", "1e5", "text", "1e5"),
            (
                "uniqueidentifier",
                "6f9619ff-8b86-d011-b42d-00c04fc964ff",
                "text",
                "6F9619FF-8B86-D011-B42D-00C04FC964FF",
            ),
        ] {
            assert_eq!(kept(ty, bare), (class.into(), text.into()), "{ty}");
        }
    }

    #[test]
    fn bytes_and_text_with_nul_are_whole() {
        let connection = Connection::open_in_memory().unwrap();
        connection
            .execute_batch("CREATE TABLE t (b \"varbinary(max)\", n \"nvarchar(max)\")")
            .unwrap();
        let bytes = Value::Binary(Cow::Borrowed(&[0, 1, 255]));
        let text = Value::Text(Cow::Borrowed("a\0b"));
        let max = |t: &str| ColumnType::parse(t).unwrap();
        connection
            .execute(
                "INSERT INTO t VALUES (?1, ?2)",
                [
                    Bound(&bytes, max("varbinary(max)")),
                    Bound(&text, max("nvarchar(max)")),
                ],
            )
            .unwrap();
        let hex: (String, String) = connection
            .query_row("SELECT hex(b), hex(CAST(n AS BLOB)) FROM t", [], |r| {
                Ok((r.get(0)?, r.get(1)?))
            })
            .unwrap();
        assert_eq!(hex, ("0001FF".into(), "610062".into()));
    }

    #[test]
    fn sqlite_keeps_no_sign_on_a_zero() {
        let connection = Connection::open_in_memory().unwrap();
        connection.execute_batch("CREATE TABLE t (c float)").unwrap();
        connection
            .execute(
                "INSERT INTO t VALUES (?1)",
                [Bound(&Value::Float(-0.0), ColumnType::Float)],
            )
            .unwrap();
        let bits = connection
            .query_row("SELECT c FROM t", [], |r| r.get::<_, f64>(0).map(f64::to_bits))
            .unwrap();
        assert_eq!(bits, 0.0f64.to_bits());
    }

    #[test]
    fn reading_hides_no_difference() {
        let ty = |t: &str| ColumnType::parse(t).unwrap();
        let text = |t: &'static str| ValueRef::Text(t.as_bytes());
        let a = read(text("2020-05-18 10:40:43.001"), ty("datetime")).unwrap();
        let b = read(text("2020-05-18 10:40:43.000"), ty("datetime")).unwrap();
        assert_ne!(a, b, "not rounded on the way in");
        let exact = read(text("1.505"), ty("decimal(10,2)")).unwrap();
        assert_ne!(exact, read(text("1.50"), ty("decimal(10,2)")).unwrap());
        assert_eq!(
            read(text("1.5"), ty("decimal(10,2)")).unwrap(),
            read(text("1.50"), ty("decimal(10,2)")).unwrap()
        );
        assert!(read(text("x"), ty("int")).is_err());
        assert!(read(ValueRef::Integer(5), ty("nvarchar(9)")).is_err());
        assert!(read(ValueRef::Blob(b"x"), ty("ntext")).is_err());
    }
}
