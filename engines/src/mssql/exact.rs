//! Values told apart by the server as exactly as they are told apart here, and rows in an order that is ours.
//!
//! SQL Server's own comparison is a person's: letter case and blanks at a text's end do not count, nor does a zero's sign,
//! nor zero bytes at the end of bytes, nor the offset of a `datetimeoffset`. A comparison of two databases must not share
//! that.

use mirrorlab_protocol::types::ColumnType;

use super::value::select;

/// Expressions that are equal for two values of comparable types exactly where [`select`] gives equal ones, to the bit.
/// NULL stays NULL.
pub fn exact(column: &str, ty: ColumnType) -> Vec<String> {
    use ColumnType as T;
    let selected = select(column, ty);
    match ty {
        T::Int | T::SmallInt | T::TinyInt | T::BigInt | T::Bit => vec![format!("CAST({column} AS bigint)")],
        // The bits: the sign of a zero is one of them.
        T::Float | T::Real => vec![format!("CAST(CAST({column} AS float) AS varbinary(8))")],
        T::Decimal { scale, .. } => vec![format!("CAST({column} AS decimal(38,{scale}))")],
        T::Money | T::SmallMoney => vec![format!("CAST({selected} AS decimal(38,4))")],
        T::DateTime | T::SmallDateTime | T::DateTime2(_) | T::Date => {
            vec![format!("CAST({selected} AS datetime2(7))")]
        }
        // The local time and the offset: one moment has several.
        T::DateTimeOffset(_) => vec![
            format!("CAST({column} AS datetime2(7))"),
            format!("DATEPART(tzoffset, {column})"),
        ],
        T::Time(_) => vec![format!("CAST({column} AS time(7))")],
        T::UniqueIdentifier => vec![column.to_owned()],
        // One byte behind it: zero bytes at the end count then.
        T::NVarChar(_) | T::NChar(_) | T::VarChar(_) | T::Char(_) | T::NText | T::Text => {
            vec![format!(
                "CAST(CAST({column} AS nvarchar(max)) AS varbinary(max)) + 0x01"
            )]
        }
        T::VarBinary(_) | T::Binary(_) | T::Image | T::RowVersion => {
            vec![format!("CAST({column} AS varbinary(max)) + 0x01")]
        }
    }
}

/// Whether `=` between two keys of this type says that their values are equal.
pub fn equals_exactly(ty: ColumnType) -> bool {
    ty.integer_range().is_some()
        || ty.decimal_shape().is_some()
        || ty == ColumnType::UniqueIdentifier
        || matches!(
            ty,
            ColumnType::DateTime | ColumnType::SmallDateTime | ColumnType::DateTime2(_) | ColumnType::Date
        )
}

/// What to order by, so that numbers and dates come by value, GUIDs and exact numbers by their text, code point by code
/// point, whatever the database's collation. `None` where no order of the engine is that one: a binary collation orders
/// text by UTF-16 unit and fills it up with blanks, bytes are filled up with zeros, an offset's moment comes before its
/// local time.
pub fn order_by(expression: &str, ty: ColumnType) -> Option<String> {
    const BY_CODE_POINT: &str = "COLLATE Latin1_General_BIN2";
    use ColumnType as T;
    match ty {
        T::Int | T::SmallInt | T::TinyInt | T::BigInt | T::Bit => Some(expression.to_owned()),
        T::Float | T::Real => Some(expression.to_owned()),
        T::DateTime | T::SmallDateTime | T::DateTime2(_) | T::Date | T::Time(_) => {
            Some(expression.to_owned())
        }
        T::UniqueIdentifier => Some(format!("CAST({expression} AS varchar(36)) {BY_CODE_POINT}")),
        T::Decimal { .. } | T::Money | T::SmallMoney => Some(format!(
            "CAST({} AS varchar(41)) {BY_CODE_POINT}",
            select(expression, ty)
        )),
        _ => None,
    }
}

/// A table of a database on the same server, by its three names.
pub fn three_names(database: &str, schema: &str, table: &str) -> String {
    use super::ddl::quote;
    format!("{}.{}.{}", quote(database), quote(schema), quote(table))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_sql_server_would_take_for_equal_is_told_apart() {
        let mut shown = String::new();
        for ty in [
            "bit",
            "bigint",
            "real",
            "decimal(9,3)",
            "smallmoney",
            "datetime",
            "datetimeoffset(3)",
            "time(0)",
            "uniqueidentifier",
            "char(3)",
            "ntext",
            "varbinary(max)",
            "rowversion",
        ] {
            let parsed = ColumnType::parse(ty).unwrap();
            let exact = exact("a.[x]", parsed).join(", ");
            let order = order_by("[x]", parsed).unwrap_or_else(|| "-".into());
            shown.push_str(&format!("{ty}: {exact} | {order} | {}\n", equals_exactly(parsed)));
        }
        insta::assert_snapshot!(shown, @"
        bit: CAST(a.[x] AS bigint) | [x] | true
        bigint: CAST(a.[x] AS bigint) | [x] | true
        real: CAST(CAST(a.[x] AS float) AS varbinary(8)) | [x] | false
        decimal(9,3): CAST(a.[x] AS decimal(38,3)) | CAST([x] AS varchar(41)) COLLATE Latin1_General_BIN2 | true
        smallmoney: CAST(CAST(a.[x] AS decimal(19,4)) AS decimal(38,4)) | CAST(CAST([x] AS decimal(19,4)) AS varchar(41)) COLLATE Latin1_General_BIN2 | true
        datetime: CAST(CAST(a.[x] AS datetime2(3)) AS datetime2(7)) | [x] | true
        datetimeoffset(3): CAST(a.[x] AS datetime2(7)), DATEPART(tzoffset, a.[x]) | - | false
        time(0): CAST(a.[x] AS time(7)) | [x] | false
        uniqueidentifier: a.[x] | CAST([x] AS varchar(36)) COLLATE Latin1_General_BIN2 | true
        char(3): CAST(CAST(a.[x] AS nvarchar(max)) AS varbinary(max)) + 0x01 | - | false
        ntext: CAST(CAST(a.[x] AS nvarchar(max)) AS varbinary(max)) + 0x01 | - | false
        varbinary(max): CAST(a.[x] AS varbinary(max)) + 0x01 | - | false
        rowversion: CAST(a.[x] AS varbinary(max)) + 0x01 | - | false
        ");
    }
}
