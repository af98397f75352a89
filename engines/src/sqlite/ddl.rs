//! Tables: quoting, creating, describing, changing.

use mirrorlab_protocol::default::{Default, NowFunction};
use mirrorlab_protocol::names::same_name;
use mirrorlab_protocol::schema::{Column, Table};
use mirrorlab_protocol::types::ColumnType;
use mirrorlab_protocol::value::Value;
use rusqlite::{Connection, OptionalExtension, params};

use super::cell;

/// A name as SQLite reads it back: in double quotes, its own doubled. The one way a name from outside enters SQL.
pub fn quote(name: &str) -> String {
    format!("\"{}\"", name.replace('"', "\"\""))
}

/// A text as a SQL literal.
fn literal(text: &str) -> String {
    // A text literal ends at its first NUL; such a text is written by its bytes.
    if text.contains('\0') {
        format!("CAST({} AS TEXT)", blob_literal(text.as_bytes()))
    } else {
        format!("'{}'", text.replace('\'', "''"))
    }
}

fn blob_literal(bytes: &[u8]) -> String {
    let hex: String = bytes.iter().map(|b| format!("{b:02X}")).collect();
    format!("X'{hex}'")
}

/// The declared type of a column in SQLite. It is SQL Server's, so that a person sees it in any tool, except where
/// SQLite would then change the values: an exact number's type ends in `_text`.
pub fn declared(ty: ColumnType) -> String {
    match ty {
        ColumnType::Decimal { precision, scale } => format!("decimal_text({precision},{scale})"),
        ColumnType::Money => "money_text".into(),
        ColumnType::SmallMoney => "smallmoney_text".into(),
        // SQLite's grammar takes nothing but numbers in a type's parentheses, unless all of it is quoted.
        other if other.is_large() => quote(&other.to_string()),
        other => other.to_string(),
    }
}

/// The type that a declaration by [`declared`] stands for; `None` where it is not SQL Server's.
pub fn undeclared(text: &str) -> Option<ColumnType> {
    ColumnType::parse(&text.trim_matches('"').replacen("_text", "", 1)).ok()
}

/// SQLite's expressions for the defaults that are functions, to write them and to know them again.
const FUNCTIONS: [(Default, &str); 5] = [
    (
        Default::Now(NowFunction::GetDate),
        "strftime('%Y-%m-%d %H:%M:%f', 'now', 'localtime')",
    ),
    (
        Default::Now(NowFunction::GetUtcDate),
        "strftime('%Y-%m-%d %H:%M:%f', 'now')",
    ),
    (
        Default::Now(NowFunction::SysDateTime),
        "strftime('%Y-%m-%d %H:%M:%f0000', 'now', 'localtime')",
    ),
    (
        Default::Now(NowFunction::SysUtcDateTime),
        "strftime('%Y-%m-%d %H:%M:%f0000', 'now')",
    ),
    (
        Default::NewId,
        "substr(hex(randomblob(4)), 1) || '-' || hex(randomblob(2)) || '-' || hex(randomblob(2)) || '-' || \
         hex(randomblob(2)) || '-' || hex(randomblob(6))",
    ),
];

fn default_sql(default: &Default, ty: ColumnType) -> Option<String> {
    if let Some((_, expression)) = FUNCTIONS.iter().find(|(d, _)| d == default) {
        return Some(format!("({expression})"));
    }
    // A default that its column cannot hold was refused when the schema was read.
    let value = default.value(ty).ok().flatten()?;
    Some(match cell::stored(&value, ty) {
        cell::Stored::Null => "NULL".into(),
        cell::Stored::Integer(x) => x.to_string(),
        cell::Stored::Real(x) => format!("{x:e}"),
        cell::Stored::Text(text) => literal(&text),
        cell::Stored::Blob(bytes) => blob_literal(&bytes),
    })
}

fn column_sql(column: &Column, is_key: bool, with_default: bool) -> String {
    // An `INTEGER PRIMARY KEY` is the table's own order in SQLite: no second tree for the key.
    let ty = if is_key && column.ty == ColumnType::Int {
        "INTEGER".into()
    } else {
        declared(column.ty)
    };
    let null = if column.nullable { "NULL" } else { "NOT NULL" };
    let key = if is_key { " PRIMARY KEY" } else { "" };
    let default = column
        .default
        .as_ref()
        .filter(|_| with_default)
        .and_then(|d| default_sql(d, column.ty))
        .map(|sql| format!(" DEFAULT {sql}"))
        .unwrap_or_default();
    format!("{} {ty} {null}{key}{default}", quote(&column.name))
}

/// `CREATE TABLE` for a table, its first column the primary key.
pub fn create_table(table: &Table) -> String {
    create_as(&table.name, table)
}

fn create_as(name: &str, table: &Table) -> String {
    let columns: Vec<String> = table
        .columns
        .iter()
        .enumerate()
        .map(|(at, column)| column_sql(column, at == 0, true))
        .collect();
    format!("CREATE TABLE {} ({})", quote(name), columns.join(", "))
}

/// `ALTER TABLE … ADD COLUMN`, where SQLite can do it as SQL Server would: a nullable column without a default, or a
/// NOT NULL one with a fixed default, at the table's end. `None` elsewhere; [`rebuild`] does everything.
///
/// SQLite, unlike SQL Server, would fill existing rows of a *nullable* column with its default: hence the limits.
pub fn add_column(table: &str, column: &Column) -> Option<String> {
    let simple = match (&column.default, column.nullable) {
        (None, true) => true,
        (Some(_), false) => matches!(column.fill_value(), Ok(Some(_))),
        _ => false,
    };
    simple.then(|| {
        format!(
            "ALTER TABLE {} ADD COLUMN {}",
            quote(table),
            column_sql(column, false, true)
        )
    })
}

/// Changes a table's shape in place by making it anew beside itself and moving every row. Columns of one name keep
/// their values, new ones hold [`Column::fill_value`] in every row. Runs inside the caller's transaction.
///
/// # Errors
/// What SQLite says: a NOT NULL column without a value to fill in among them. The caller rolls back.
pub fn rebuild(connection: &Connection, old: &Table, new: &Table) -> rusqlite::Result<()> {
    let beside = format!("{}_mirrorlab_rebuild", new.name);
    connection.execute_batch(&create_as(&beside, new))?;
    let mut targets = Vec::new();
    let mut sources = Vec::new();
    for column in &new.columns {
        targets.push(quote(&column.name));
        sources.push(match old.position(&column.name) {
            Some(at) => quote(&old.columns[at].name),
            None => match column.fill_value() {
                Ok(Some(value)) => match cell::stored(&value, column.ty) {
                    cell::Stored::Null => "NULL".into(),
                    cell::Stored::Integer(x) => x.to_string(),
                    cell::Stored::Real(x) => format!("{x:e}"),
                    cell::Stored::Text(text) => literal(&text),
                    cell::Stored::Blob(bytes) => blob_literal(&bytes),
                },
                _ => column
                    .default
                    .as_ref()
                    .and_then(|d| default_sql(d, column.ty))
                    .unwrap_or_else(|| "NULL".into()),
            },
        });
    }
    connection.execute_batch(&format!(
        "INSERT INTO {beside} ({}) SELECT {} FROM {old}; DROP TABLE {old}; ALTER TABLE {beside} RENAME TO {new}",
        targets.join(", "),
        sources.join(", "),
        beside = quote(&beside),
        old = quote(&old.name),
        new = quote(&new.name),
    ))
}

/// The names of all tables, SQLite's own left out, in name order.
///
/// # Errors
/// What SQLite says.
pub fn names(connection: &Connection) -> rusqlite::Result<Vec<String>> {
    connection
        .prepare("SELECT name FROM sqlite_master WHERE type = 'table' AND name NOT LIKE 'sqlite\\_%' ESCAPE '\\' ORDER BY name")?
        .query_map([], |row| row.get(0))?
        .collect()
}

/// The name under which a table is there, letter case not counting.
///
/// # Errors
/// What SQLite says.
pub fn table_exists(connection: &Connection, table: &str) -> rusqlite::Result<Option<String>> {
    // SQLite itself folds ASCII letters alone.
    Ok(names(connection)?.into_iter().find(|name| same_name(name, table)))
}

/// A table's shape as its declarations say; `None` where there is none, or where a declared type is not SQL Server's.
/// The key comes first, whatever its place.
///
/// # Errors
/// What SQLite says.
pub fn describe(connection: &Connection, table: &str) -> rusqlite::Result<Option<Table>> {
    let described = describe_readable(connection, table)?;
    Ok(described.and_then(|(table, whole)| whole.then_some(table)))
}

/// A table's columns whose declared types are SQL Server's, and whether that is all of them; `None` where there is no such
/// table. The key comes first, whatever its place.
///
/// # Errors
/// What SQLite says.
pub fn describe_readable(connection: &Connection, table: &str) -> rusqlite::Result<Option<(Table, bool)>> {
    let name: Option<String> = connection
        .query_row(
            "SELECT name FROM sqlite_master WHERE type = 'table' AND name = ?1 COLLATE NOCASE",
            params![table],
            |row| row.get(0),
        )
        .optional()?;
    let Some(name) = name else {
        return Ok(None);
    };
    let mut statement = connection
        .prepare("SELECT name, type, \"notnull\", dflt_value, pk FROM pragma_table_info(?1) ORDER BY cid")?;
    let mut rows = statement.query(params![name])?;
    let mut columns = Vec::new();
    let mut whole = true;
    while let Some(row) = rows.next()? {
        let declared: String = row.get(1)?;
        let Some(ty) = undeclared(&declared) else {
            whole = false;
            continue;
        };
        let key: i64 = row.get(4)?;
        let default: Option<String> = row.get(3)?;
        let column = Column {
            name: row.get(0)?,
            ty,
            nullable: row.get::<_, i64>(2)? == 0 && key == 0,
            default: match default {
                Some(sql) => Some(default_from_sql(connection, &sql, ty)?),
                None => None,
            },
        };
        if key == 1 {
            columns.insert(0, column);
        } else {
            columns.push(column);
        }
    }
    Ok(Some((Table { name, columns }, whole)))
}

/// A default's SQL text back into its closed form: a function that is known again, or the literal's value.
fn default_from_sql(connection: &Connection, sql: &str, ty: ColumnType) -> rusqlite::Result<Default> {
    let bare = sql.trim().trim_start_matches('(');
    if let Some((function, _)) = FUNCTIONS.iter().find(|(_, expression)| {
        bare.trim_end_matches(')')
            .starts_with(expression.trim_end_matches(')'))
            && bare.len() <= expression.len() + 1
    }) {
        return Ok(function.clone());
    }
    // SQLite evaluates its own literal; it came from this database's catalogue, not from outside.
    let value: Value<'static> = connection.query_row(&format!("SELECT {sql}"), [], |row| {
        Ok(cell::read(row.get_ref(0)?, ty)
            .map(Value::into_owned)
            .unwrap_or(Value::Null))
    })?;
    Ok(match value {
        Value::Null => Default::Null,
        Value::Binary(bytes) => Default::Binary(bytes.into_owned()),
        Value::Int(_) | Value::Float(_) | Value::Decimal(_) => Default::Number(value.to_string()),
        Value::Text(text) => Default::Text(text.into_owned()),
        other => Default::Text(other.to_string()),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn table(name: &str, columns: &[(&str, &str, bool, &str)]) -> Table {
        let table = Table {
            name: name.into(),
            columns: columns
                .iter()
                .map(|(name, ty, nullable, default)| Column {
                    name: (*name).into(),
                    ty: ColumnType::parse(ty).unwrap(),
                    nullable: *nullable,
                    default: Default::parse(default).unwrap(),
                })
                .collect(),
        };
        table.check().unwrap();
        table
    }

    fn person() -> Table {
        table(
            "person",
            &[
                ("person_id", "int", false, ""),
                ("name", "nvarchar(99)", false, "default (N'it''s')"),
                ("price", "decimal(10,2)", true, "default ((0.50))"),
                ("born", "datetime", false, "default (N'1760-01-01 00:00:00')"),
                ("seen", "datetime", true, "default (getdate())"),
                ("tag", "uniqueidentifier", true, "default (newid())"),
                ("score", "float", true, "default ((-1.5))"),
                ("photo", "varbinary(max)", true, "default (0x0A0B)"),
            ],
        )
    }

    #[test]
    fn a_table_is_described_as_it_was_made() {
        let connection = Connection::open_in_memory().unwrap();
        let made = person();
        connection.execute_batch(&create_table(&made)).unwrap();
        let found = describe(&connection, "PERSON").unwrap().unwrap();
        assert_eq!(found.columns.len(), made.columns.len());
        for (found, made) in found.columns.iter().zip(&made.columns) {
            assert_eq!(
                (&found.name, found.ty, found.nullable),
                (&made.name, made.ty, made.nullable)
            );
            let value = |c: &Column| c.default.as_ref().map(|d| d.value(c.ty).unwrap());
            assert_eq!(value(found), value(made), "{}", made.name);
        }
        assert_eq!(found.columns[4].default, made.columns[4].default);
        assert_eq!(found.columns[5].default, made.columns[5].default);
        connection
            .execute_batch("INSERT INTO person (person_id) VALUES (1)")
            .unwrap();
        let row: (String, String, String, i64) = connection
            .query_row("SELECT name, price, born, length(tag) FROM person", [], |r| {
                Ok((r.get(0)?, r.get(1)?, r.get(2)?, r.get(3)?))
            })
            .unwrap();
        assert_eq!(
            row,
            ("it's".into(), "0.50".into(), "1760-01-01 00:00:00.000".into(), 36)
        );
    }

    #[test]
    fn a_rebuild_keeps_rows_and_leaves_new_nullable_columns_null() {
        let connection = Connection::open_in_memory().unwrap();
        let old = person();
        connection.execute_batch(&create_table(&old)).unwrap();
        connection
            .execute_batch("INSERT INTO person (person_id, name, price) VALUES (7, 'a', '1.25')")
            .unwrap();
        let mut new = old.clone();
        new.columns.remove(7);
        new.columns[1].ty = ColumnType::parse("nvarchar(200)").unwrap();
        let extra = table(
            "x",
            &[
                ("k", "int", false, ""),
                ("x_null", "int", true, "default ((5))"),
                ("x_not", "int", false, "default ((5))"),
            ],
        );
        new.columns.extend(extra.columns.into_iter().skip(1));
        rebuild(&connection, &old, &new).unwrap();
        let row: (i64, String, String, Option<i64>, i64) = connection
            .query_row(
                "SELECT person_id, name, price, x_null, x_not FROM person",
                [],
                |r| Ok((r.get(0)?, r.get(1)?, r.get(2)?, r.get(3)?, r.get(4)?)),
            )
            .unwrap();
        assert_eq!(row, (7, "a".into(), "1.25".into(), None, 5));
        assert_eq!(names(&connection).unwrap(), ["person"]);
        assert_eq!(describe(&connection, "person").unwrap().unwrap().columns.len(), 9);
    }

    #[test]
    fn adding_a_column_follows_sql_server_where_sqlite_can() {
        let columns = table(
            "t",
            &[
                ("k", "int", false, ""),
                ("plain", "int", true, ""),
                ("filled", "nvarchar(9)", false, "default (N'')"),
                ("not_here", "int", true, "default ((5))"),
                ("nor_here", "datetime", false, "default (getdate())"),
            ],
        )
        .columns;
        assert!(add_column("t", &columns[1]).is_some());
        assert_eq!(
            add_column("t", &columns[2]).unwrap(),
            "ALTER TABLE \"t\" ADD COLUMN \"filled\" nvarchar(9) NOT NULL DEFAULT ''"
        );
        assert_eq!(add_column("t", &columns[3]), None);
        assert_eq!(add_column("t", &columns[4]), None);
    }

    #[test]
    fn names_cannot_leave_their_quotes() {
        let connection = Connection::open_in_memory().unwrap();
        let nasty = table(
            "a\"; DROP TABLE x; --",
            &[
                ("k\"", "int", false, ""),
                ("'", "ntext", true, "default (N''';--')"),
            ],
        );
        connection.execute_batch(&create_table(&nasty)).unwrap();
        assert_eq!(names(&connection).unwrap(), std::slice::from_ref(&nasty.name));
        assert_eq!(describe(&connection, &nasty.name).unwrap(), Some(nasty));
    }
}
