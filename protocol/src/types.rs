//! Column types: SQL text from outside, read into a closed list.
//!
//! The list holds every SQL Server scalar type that a row can carry as one value. `xml`, the spatial types,
//! `sql_variant` and `hierarchyid` are known and refused by name.

use std::fmt;

/// How long a variable column may grow.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Length {
    /// At most this many units: UTF-16 code units for `nvarchar`, bytes or characters for the others.
    Limit(u16),
    /// `(max)`: 2 GB.
    Max,
}

/// A column's type, one of SQL Server's scalar types.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum ColumnType {
    /// 32-bit integer.
    Int,
    /// 16-bit integer.
    SmallInt,
    /// Unsigned 8-bit integer.
    TinyInt,
    /// 64-bit integer.
    BigInt,
    /// 0 or 1.
    Bit,
    /// 64-bit floating point, `float(25)` to `float(53)`.
    Float,
    /// 32-bit floating point, `float(1)` to `float(24)`.
    Real,
    /// Exact number; `numeric` is the same type.
    Decimal {
        /// Digits in all, 1 to 38.
        precision: u8,
        /// Digits behind the point, 0 to `precision`.
        scale: u8,
    },
    /// Exact number with four digits behind the point, 64 bits.
    Money,
    /// Exact number with four digits behind the point, 32 bits.
    SmallMoney,
    /// 1753 to 9999, kept to 1/300 s.
    DateTime,
    /// 1900 to 2079, kept to the minute.
    SmallDateTime,
    /// 0001 to 9999, with 0 to 7 digits of the second.
    DateTime2(u8),
    /// As [`ColumnType::DateTime2`], with an offset from UTC.
    DateTimeOffset(u8),
    /// A day without time.
    Date,
    /// A time of day, with 0 to 7 digits of the second.
    Time(u8),
    /// Unicode text.
    NVarChar(Length),
    /// Text in the database's code page.
    VarChar(Length),
    /// Unicode text of fixed length.
    NChar(u16),
    /// Code page text of fixed length.
    Char(u16),
    /// Unicode text without limit, the old form of `nvarchar(max)`.
    NText,
    /// Code page text without limit, the old form of `varchar(max)`.
    Text,
    /// Bytes.
    VarBinary(Length),
    /// Bytes of fixed length.
    Binary(u16),
    /// Bytes without limit, the old form of `varbinary(max)`.
    Image,
    /// A GUID.
    UniqueIdentifier,
    /// SQL Server's row version. A mirror keeps the eight bytes, and never makes its own.
    RowVersion,
}

/// Why a type's text was refused.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum TypeError {
    /// Not the name of a SQL Server type.
    #[error("`{0}` is not a SQL Server column type")]
    Unknown(String),
    /// A type whose values have no form on this wire.
    #[error("columns of type `{0}` cannot be mirrored")]
    Unsupported(String),
    /// The part in parentheses does not fit the type.
    #[error("`{given}`: {expected}")]
    Argument {
        /// The type's text.
        given: String,
        /// What may stand in the parentheses.
        expected: &'static str,
    },
}

impl ColumnType {
    /// Reads `int`, `nvarchar(219)`, `decimal(18, 2)`, `VARBINARY (MAX)`; letter case and blanks do not count.
    ///
    /// # Errors
    /// [`TypeError`] for any text that is not exactly one known type.
    pub fn parse(text: &str) -> Result<ColumnType, TypeError> {
        let lower = text.trim().to_ascii_lowercase();
        let (name, arguments) = match lower.split_once('(') {
            None => (lower.trim(), None),
            Some((name, rest)) => match rest.strip_suffix(')') {
                Some(inner) => (name.trim(), Some(inner.trim())),
                None => return Err(TypeError::Unknown(crate::excerpt(text))),
            },
        };
        let name = name.split_whitespace().collect::<Vec<_>>().join(" ");
        Reader { text, arguments }.read(&name)
    }

    /// Whether a cell is text as it stands, never decoded, and an empty cell is the empty text (seen).
    pub fn is_text(self) -> bool {
        matches!(
            self,
            ColumnType::NVarChar(_)
                | ColumnType::VarChar(_)
                | ColumnType::NChar(_)
                | ColumnType::Char(_)
                | ColumnType::NText
                | ColumnType::Text
        )
    }

    /// Whether values are bytes.
    pub fn is_binary(self) -> bool {
        matches!(
            self,
            ColumnType::VarBinary(_) | ColumnType::Binary(_) | ColumnType::Image | ColumnType::RowVersion
        )
    }

    /// Whether the type is one of SQL Server's large objects, which can be no key.
    pub fn is_large(self) -> bool {
        matches!(
            self,
            ColumnType::NVarChar(Length::Max)
                | ColumnType::VarChar(Length::Max)
                | ColumnType::VarBinary(Length::Max)
                | ColumnType::NText
                | ColumnType::Text
                | ColumnType::Image
        )
    }

    /// The most units a value may have, where the type limits it: UTF-16 code units for `n` types, characters for the
    /// code page's, bytes for binary ones.
    pub fn length_max(self) -> Option<usize> {
        match self {
            ColumnType::NVarChar(Length::Limit(n))
            | ColumnType::VarChar(Length::Limit(n))
            | ColumnType::VarBinary(Length::Limit(n))
            | ColumnType::NChar(n)
            | ColumnType::Char(n)
            | ColumnType::Binary(n) => Some(usize::from(n)),
            ColumnType::RowVersion => Some(8),
            _ => None,
        }
    }

    /// The smallest and largest number an integer type holds.
    pub fn integer_range(self) -> Option<(i64, i64)> {
        match self {
            ColumnType::Int => Some((i64::from(i32::MIN), i64::from(i32::MAX))),
            ColumnType::SmallInt => Some((i64::from(i16::MIN), i64::from(i16::MAX))),
            ColumnType::TinyInt => Some((0, 255)),
            ColumnType::BigInt => Some((i64::MIN, i64::MAX)),
            ColumnType::Bit => Some((0, 1)),
            _ => None,
        }
    }

    /// Precision and scale of the exact numbers; money is a decimal of four digits.
    pub fn decimal_shape(self) -> Option<(u8, u8)> {
        match self {
            ColumnType::Decimal { precision, scale } => Some((precision, scale)),
            ColumnType::Money => Some((19, 4)),
            ColumnType::SmallMoney => Some((10, 4)),
            _ => None,
        }
    }
}

/// Reads one type's name and its argument.
struct Reader<'a> {
    text: &'a str,
    arguments: Option<&'a str>,
}

impl Reader<'_> {
    fn read(&self, name: &str) -> Result<ColumnType, TypeError> {
        Ok(match name {
            "int" | "integer" => self.plain(ColumnType::Int)?,
            "smallint" => self.plain(ColumnType::SmallInt)?,
            "tinyint" => self.plain(ColumnType::TinyInt)?,
            "bigint" => self.plain(ColumnType::BigInt)?,
            "bit" => self.plain(ColumnType::Bit)?,
            "real" => self.plain(ColumnType::Real)?,
            "float" | "double precision" => match self.number(53, 1, 53, "float takes 1 to 53 bits")? {
                1..=24 => ColumnType::Real,
                _ => ColumnType::Float,
            },
            "decimal" | "numeric" | "dec" => self.decimal()?,
            "money" => self.plain(ColumnType::Money)?,
            "smallmoney" => self.plain(ColumnType::SmallMoney)?,
            "datetime" => self.plain(ColumnType::DateTime)?,
            "smalldatetime" => self.plain(ColumnType::SmallDateTime)?,
            "datetime2" => ColumnType::DateTime2(self.fraction()?),
            "datetimeoffset" => ColumnType::DateTimeOffset(self.fraction()?),
            "date" => self.plain(ColumnType::Date)?,
            "time" => ColumnType::Time(self.fraction()?),
            "nvarchar" => ColumnType::NVarChar(self.length(4000, "nvarchar takes 1 to 4000, or max")?),
            "varchar" => ColumnType::VarChar(self.length(8000, "varchar takes 1 to 8000, or max")?),
            "varbinary" => ColumnType::VarBinary(self.length(8000, "varbinary takes 1 to 8000, or max")?),
            "nchar" => ColumnType::NChar(self.number(1, 1, 4000, "nchar takes 1 to 4000")?),
            "char" => ColumnType::Char(self.number(1, 1, 8000, "char takes 1 to 8000")?),
            "binary" => ColumnType::Binary(self.number(1, 1, 8000, "binary takes 1 to 8000")?),
            "sysname" => self.plain(ColumnType::NVarChar(Length::Limit(128)))?,
            "ntext" => self.plain(ColumnType::NText)?,
            "text" => self.plain(ColumnType::Text)?,
            "image" => self.plain(ColumnType::Image)?,
            "uniqueidentifier" => self.plain(ColumnType::UniqueIdentifier)?,
            "rowversion" | "timestamp" => self.plain(ColumnType::RowVersion)?,
            "xml" | "geography" | "geometry" | "sql_variant" | "hierarchyid" | "cursor" | "table"
            | "json" | "vector" => return Err(TypeError::Unsupported(name.to_owned())),
            _ => return Err(TypeError::Unknown(crate::excerpt(self.text))),
        })
    }

    fn plain(&self, ty: ColumnType) -> Result<ColumnType, TypeError> {
        match self.arguments {
            None => Ok(ty),
            Some(_) => Err(self.wrong("nothing may stand in parentheses here")),
        }
    }

    fn number(&self, missing: u16, min: u16, max: u16, expected: &'static str) -> Result<u16, TypeError> {
        match self.arguments {
            None => Ok(missing),
            Some(text) => digits(text)
                .filter(|n| (min..=max).contains(n))
                .ok_or_else(|| self.wrong(expected)),
        }
    }

    fn fraction(&self) -> Result<u8, TypeError> {
        let n = self.number(7, 0, 7, "0 to 7 digits of the second")?;
        Ok(u8::try_from(n).expect("number() keeps it at 7 or below"))
    }

    fn length(&self, max: u16, expected: &'static str) -> Result<Length, TypeError> {
        if self.arguments == Some("max") {
            return Ok(Length::Max);
        }
        Ok(Length::Limit(self.number(1, 1, max, expected)?))
    }

    fn decimal(&self) -> Result<ColumnType, TypeError> {
        let expected = "decimal takes a precision of 1 to 38 and a scale of at most that";
        let (precision, scale) = match self.arguments {
            None => (18, 0),
            Some(text) => {
                let (p, s) = text.split_once(',').unwrap_or((text, "0"));
                let read = |t: &str| digits(t.trim()).and_then(|n| u8::try_from(n).ok());
                match (read(p), read(s)) {
                    (Some(p), Some(s)) if (1..=38).contains(&p) && s <= p => (p, s),
                    _ => return Err(self.wrong(expected)),
                }
            }
        };
        Ok(ColumnType::Decimal { precision, scale })
    }

    fn wrong(&self, expected: &'static str) -> TypeError {
        TypeError::Argument {
            given: crate::excerpt(self.text),
            expected,
        }
    }
}

fn digits(text: &str) -> Option<u16> {
    let plain = !text.is_empty() && text.bytes().all(|b| b.is_ascii_digit());
    plain.then(|| text.parse().ok()).flatten()
}

impl fmt::Display for Length {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Length::Limit(n) => write!(f, "{n}"),
            Length::Max => f.write_str("max"),
        }
    }
}

/// The type as SuperOffice writes it: `nvarchar(219)`, lower case, no blanks (seen).
impl fmt::Display for ColumnType {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            ColumnType::Int => f.write_str("int"),
            ColumnType::SmallInt => f.write_str("smallint"),
            ColumnType::TinyInt => f.write_str("tinyint"),
            ColumnType::BigInt => f.write_str("bigint"),
            ColumnType::Bit => f.write_str("bit"),
            ColumnType::Float => f.write_str("float"),
            ColumnType::Real => f.write_str("real"),
            ColumnType::Decimal { precision, scale } => write!(f, "decimal({precision},{scale})"),
            ColumnType::Money => f.write_str("money"),
            ColumnType::SmallMoney => f.write_str("smallmoney"),
            ColumnType::DateTime => f.write_str("datetime"),
            ColumnType::SmallDateTime => f.write_str("smalldatetime"),
            ColumnType::DateTime2(n) => write!(f, "datetime2({n})"),
            ColumnType::DateTimeOffset(n) => write!(f, "datetimeoffset({n})"),
            ColumnType::Date => f.write_str("date"),
            ColumnType::Time(n) => write!(f, "time({n})"),
            ColumnType::NVarChar(n) => write!(f, "nvarchar({n})"),
            ColumnType::VarChar(n) => write!(f, "varchar({n})"),
            ColumnType::NChar(n) => write!(f, "nchar({n})"),
            ColumnType::Char(n) => write!(f, "char({n})"),
            ColumnType::NText => f.write_str("ntext"),
            ColumnType::Text => f.write_str("text"),
            ColumnType::VarBinary(n) => write!(f, "varbinary({n})"),
            ColumnType::Binary(n) => write!(f, "binary({n})"),
            ColumnType::Image => f.write_str("image"),
            ColumnType::UniqueIdentifier => f.write_str("uniqueidentifier"),
            ColumnType::RowVersion => f.write_str("rowversion"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn texts_from_the_wire() {
        for (text, canonical) in [
            ("int", "int"),
            (" INT ", "int"),
            ("nvarchar(219)", "nvarchar(219)"),
            ("NVarChar ( MAX )", "nvarchar(max)"),
            ("nvarchar", "nvarchar(1)"),
            ("decimal(18, 2)", "decimal(18,2)"),
            ("numeric(5)", "decimal(5,0)"),
            ("dec", "decimal(18,0)"),
            ("float(24)", "real"),
            ("double  precision", "float"),
            ("timestamp", "rowversion"),
            ("datetime2", "datetime2(7)"),
            ("time(0)", "time(0)"),
            ("integer", "int"),
            ("float", "float"),
            ("float(1)", "real"),
            ("float(25)", "float"),
            ("float(53)", "float"),
            ("decimal(38,38)", "decimal(38,38)"),
            ("decimal(1,0)", "decimal(1,0)"),
            ("nvarchar(4000)", "nvarchar(4000)"),
            ("varchar(8000)", "varchar(8000)"),
            ("varchar", "varchar(1)"),
            ("varbinary(8000)", "varbinary(8000)"),
            ("varbinary(max)", "varbinary(max)"),
            ("nchar", "nchar(1)"),
            ("nchar(4000)", "nchar(4000)"),
            ("char(8000)", "char(8000)"),
            ("binary(8000)", "binary(8000)"),
            ("datetimeoffset(0)", "datetimeoffset(0)"),
            ("sysname", "nvarchar(128)"),
        ] {
            let ty = ColumnType::parse(text).unwrap();
            assert_eq!(ty.to_string(), canonical);
            assert_eq!(
                ColumnType::parse(canonical),
                Ok(ty),
                "{canonical} reads as itself"
            );
        }
    }

    #[test]
    fn what_a_type_is_and_how_long() {
        for (text, is_text, is_binary, is_large, length) in [
            ("nvarchar(9)", true, false, false, Some(9)),
            ("nvarchar(max)", true, false, true, None),
            ("varchar(9)", true, false, false, Some(9)),
            ("varchar(max)", true, false, true, None),
            ("nchar(9)", true, false, false, Some(9)),
            ("char(9)", true, false, false, Some(9)),
            ("ntext", true, false, true, None),
            ("text", true, false, true, None),
            ("varbinary(9)", false, true, false, Some(9)),
            ("varbinary(max)", false, true, true, None),
            ("binary(9)", false, true, false, Some(9)),
            ("image", false, true, true, None),
            ("rowversion", false, true, false, Some(8)),
            ("int", false, false, false, None),
            ("uniqueidentifier", false, false, false, None),
        ] {
            let ty = ColumnType::parse(text).unwrap();
            let found = (ty.is_text(), ty.is_binary(), ty.is_large(), ty.length_max());
            assert_eq!(found, (is_text, is_binary, is_large, length), "{text}");
        }
    }

    #[test]
    fn refusals_say_what_was_expected() {
        let refusals: Vec<String> = [
            "nvarchar(0)",
            "nvarchar(4001)",
            "nvarchar(-1)",
            "nvarchar(max",
            "int(4)",
            "decimal(39,0)",
            "decimal(5,6)",
            "datetime2(8)",
            "xml",
            "geography",
            "",
            "int; DROP TABLE contact",
            "int) null default (0",
            "nvarchar(+5)",
            "nvarchar()",
            "nvarchar(65536)",
            "varchar(8001)",
            "varbinary(8001)",
            "nchar(4001)",
            "nchar(max)",
            "char(0)",
            "char(8001)",
            "binary(8001)",
            "float(0)",
            "float(54)",
            "decimal(0,0)",
            "decimal(5,)",
            "decimal(5,2,1)",
            "decimal(261,0)",
            "bit(1)",
            "sysname(128)",
            "geometry",
            "sql_variant",
            "hierarchyid",
            "cursor",
            "table",
            "json",
            "vector(3)",
        ]
        .into_iter()
        .map(|text| ColumnType::parse(text).unwrap_err().to_string())
        .collect();
        insta::assert_snapshot!(refusals.join("\n"), @"
        `nvarchar(0)`: nvarchar takes 1 to 4000, or max
        `nvarchar(4001)`: nvarchar takes 1 to 4000, or max
        `nvarchar(-1)`: nvarchar takes 1 to 4000, or max
        `nvarchar(max` is not a SQL Server column type
        `int(4)`: nothing may stand in parentheses here
        `decimal(39,0)`: decimal takes a precision of 1 to 38 and a scale of at most that
        `decimal(5,6)`: decimal takes a precision of 1 to 38 and a scale of at most that
        `datetime2(8)`: 0 to 7 digits of the second
        columns of type `xml` cannot be mirrored
        columns of type `geography` cannot be mirrored
        `` is not a SQL Server column type
        `int; DROP TABLE contact` is not a SQL Server column type
        `int) null default (0` is not a SQL Server column type
        `nvarchar(+5)`: nvarchar takes 1 to 4000, or max
        `nvarchar()`: nvarchar takes 1 to 4000, or max
        `nvarchar(65536)`: nvarchar takes 1 to 4000, or max
        `varchar(8001)`: varchar takes 1 to 8000, or max
        `varbinary(8001)`: varbinary takes 1 to 8000, or max
        `nchar(4001)`: nchar takes 1 to 4000
        `nchar(max)`: nchar takes 1 to 4000
        `char(0)`: char takes 1 to 8000
        `char(8001)`: char takes 1 to 8000
        `binary(8001)`: binary takes 1 to 8000
        `float(0)`: float takes 1 to 53 bits
        `float(54)`: float takes 1 to 53 bits
        `decimal(0,0)`: decimal takes a precision of 1 to 38 and a scale of at most that
        `decimal(5,)`: decimal takes a precision of 1 to 38 and a scale of at most that
        `decimal(5,2,1)`: decimal takes a precision of 1 to 38 and a scale of at most that
        `decimal(261,0)`: decimal takes a precision of 1 to 38 and a scale of at most that
        `bit(1)`: nothing may stand in parentheses here
        `sysname(128)`: nothing may stand in parentheses here
        columns of type `geometry` cannot be mirrored
        columns of type `sql_variant` cannot be mirrored
        columns of type `hierarchyid` cannot be mirrored
        columns of type `cursor` cannot be mirrored
        columns of type `table` cannot be mirrored
        columns of type `json` cannot be mirrored
        columns of type `vector` cannot be mirrored
        ");
    }
}
