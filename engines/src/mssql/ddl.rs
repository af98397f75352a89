//! Names, literals and tables as T-SQL has them. Names and values from outside enter SQL through [`quote`] and
//! [`literal`] alone.

use mirrorlab_protocol::default::{Default, NowFunction};
use mirrorlab_protocol::names::fold;
use mirrorlab_protocol::schema::{Column, NAME_LENGTH_MAX, Table};
use mirrorlab_protocol::types::ColumnType;
use mirrorlab_protocol::value::{self, Value};

/// A name as SQL Server reads it back: in brackets, a closing one doubled.
pub fn quote(name: &str) -> String {
    format!("[{}]", name.replace(']', "]]"))
}

/// A text as a Unicode literal.
pub fn text_literal(text: &str) -> String {
    format!("N'{}'", text.replace('\'', "''"))
}

/// A value as a literal that means the same under every language setting.
pub fn literal(value: &Value<'_>, ty: ColumnType) -> String {
    let ascii = |write: &dyn Fn(&mut Vec<u8>)| {
        let mut out = Vec::new();
        write(&mut out);
        text_literal(&String::from_utf8_lossy(&out))
    };
    match value {
        Value::Null => "NULL".into(),
        Value::Int(x) => x.to_string(),
        // With an exponent it is a float, not a decimal that would be turned into one.
        Value::Float(x) => format!("{x:e}"),
        Value::Decimal(x) => x.to_string(),
        Value::Text(x) => text_literal(x),
        Value::Binary(x) => {
            let hex: String = x.iter().map(|b| format!("{b:02X}")).collect();
            format!("0x{hex}")
        }
        Value::Guid(x) => text_literal(&value::guid_text(*x)),
        Value::Time(x) => ascii(&|out| {
            let digits = if let ColumnType::Time(digits) = ty {
                digits
            } else {
                7
            };
            mirrorlab_protocol::datetime::write_time(out, *x, digits);
        }),
        Value::DateTime(x) => match ty {
            ColumnType::Date => ascii(&|out| x.write_iso_date(out)),
            ColumnType::DateTime2(digits) => ascii(&|out| x.write_iso(out, digits)),
            // `2020-05-18` is another day to a `datetime` under another language; `20200518` is not.
            _ => {
                let mut out = Vec::new();
                x.write_iso(&mut out, if ty == ColumnType::SmallDateTime { 0 } else { 3 });
                let iso = String::from_utf8_lossy(&out).into_owned();
                text_literal(&format!("{}{}", iso[..10].replace('-', ""), &iso[10..]))
            }
        },
        Value::Offset { local, minutes } => ascii(&|out| {
            local.write_iso(
                out,
                if let ColumnType::DateTimeOffset(digits) = ty {
                    digits
                } else {
                    7
                },
            );
            out.push(b' ');
            value::write_offset(out, *minutes);
        }),
    }
}

/// A default as an expression in parentheses; `None` where it is none or does not fit its column.
pub fn default_expression(column: &Column) -> Option<String> {
    let expression = match column.default.as_ref()? {
        Default::Now(NowFunction::GetDate) => "getdate()".into(),
        Default::Now(NowFunction::GetUtcDate) => "getutcdate()".into(),
        Default::Now(NowFunction::SysDateTime) => "sysdatetime()".into(),
        Default::Now(NowFunction::SysUtcDateTime) => "sysutcdatetime()".into(),
        Default::NewId => "newid()".into(),
        fixed => match fixed.value(column.ty).ok()?? {
            // `(1.5)` would be a decimal, which SQL Server turns into the column's type all the same.
            number @ (Value::Int(_) | Value::Float(_) | Value::Decimal(_)) => {
                format!("({})", literal(&number, column.ty))
            }
            other => literal(&other, column.ty),
        },
    };
    Some(format!("({expression})"))
}

/// The type under which a column is made. A row version is kept as its eight bytes: SQL Server would make its own.
pub fn declared(ty: ColumnType) -> String {
    match ty {
        ColumnType::RowVersion => "binary(8)".into(),
        other => other.to_string(),
    }
}

/// The name of a table's primary key constraint.
pub fn key_name(table: &str) -> String {
    constraint_name("PK", table, "")
}

/// The name of a column's default constraint.
pub fn default_name(table: &str, column: &str) -> String {
    constraint_name("DF", table, column)
}

/// Constraints share one space of names with tables: so a name says what it is of, shortened where it must be, and ends in
/// a hash of the whole.
fn constraint_name(kind: &str, table: &str, column: &str) -> String {
    // FNV-1a, of which eight digits keep apart what the shortened names do not.
    let hash = format!("{}\0{}", fold(table), fold(column))
        .bytes()
        .fold(0x811c_9dc5_u32, |hash, byte| {
            (hash ^ u32::from(byte)).wrapping_mul(0x0100_0193)
        });
    let mut name = format!("{kind}_{table}");
    if !column.is_empty() {
        name = format!("{name}_{column}");
    }
    let ending = format!("_{hash:08x}");
    while name.encode_utf16().count() + ending.len() > NAME_LENGTH_MAX {
        name.pop();
    }
    name + &ending
}

fn null(column: &Column) -> &'static str {
    if column.nullable { "NULL" } else { "NOT NULL" }
}

/// A column's definition with its named default.
fn column_sql(table: &str, column: &Column) -> String {
    let mut sql = format!("{} {} {}", quote(&column.name), declared(column.ty), null(column));
    if let Some(default) = default_expression(column) {
        let name = quote(&default_name(table, &column.name));
        sql.push_str(&format!(" CONSTRAINT {name} DEFAULT {default}"));
    }
    sql
}

/// `CREATE TABLE`, its first column the primary key, every constraint named.
pub fn create_table(table: &Table) -> String {
    let mut lines: Vec<String> = table.columns.iter().map(|c| column_sql(&table.name, c)).collect();
    lines.push(format!(
        "CONSTRAINT {} PRIMARY KEY ({})",
        quote(&key_name(&table.name)),
        quote(&table.key().name)
    ));
    format!("CREATE TABLE {} ({})", quote(&table.name), lines.join(", "))
}

/// The statements that add a column. A nullable one gets its default in a second step: not every engine that speaks T-SQL
/// leaves existing rows NULL otherwise, as SQL Server does.
pub fn add_column(table: &str, column: &Column) -> Vec<String> {
    if !column.nullable {
        return vec![format!(
            "ALTER TABLE {} ADD {}",
            quote(table),
            column_sql(table, column)
        )];
    }
    let mut statements = vec![format!(
        "ALTER TABLE {} ADD {} {} NULL",
        quote(table),
        quote(&column.name),
        declared(column.ty)
    )];
    statements.extend(add_default(table, column));
    statements
}

/// The statement that gives a column its default, where it has one.
pub fn add_default(table: &str, column: &Column) -> Option<String> {
    default_expression(column).map(|default| {
        format!(
            "ALTER TABLE {} ADD CONSTRAINT {} DEFAULT {default} FOR {}",
            quote(table),
            quote(&default_name(table, &column.name)),
            quote(&column.name)
        )
    })
}

/// The statement that changes a column's type and nullability.
pub fn alter_column(table: &str, column: &Column) -> String {
    format!(
        "ALTER TABLE {} ALTER COLUMN {} {} {}",
        quote(table),
        quote(&column.name),
        declared(column.ty),
        null(column)
    )
}

/// The statement that changes a column's type alone, for engines that take no nullability there. On SQL Server itself it
/// would make the column nullable.
pub fn alter_column_type(table: &str, column: &Column) -> String {
    format!(
        "ALTER TABLE {} ALTER COLUMN {} {}",
        quote(table),
        quote(&column.name),
        declared(column.ty)
    )
}
