//! Backups of a database: the engine's own, into a file on the server; or, where an engine has none, its tables copied into
//! a schema of their own inside the database.

use mirrorlab_protocol::schema::Table;

use super::connection::Connection;
use super::ddl::{create_table, quote, text_literal};
use super::describe;
use super::error::MssqlError;
use super::pool::Server;

/// The longest part that a backup's name has in a file's or schema's.
const NAME_MAX: usize = 60;

/// A backup's name as a part of another name: what is no letter, digit or hyphen as `_` and its hex bytes.
///
/// # Errors
/// What a name may be.
pub fn safe_name(name: &str) -> Result<String, String> {
    let mut safe = String::new();
    for byte in name.bytes() {
        if byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'-' {
            safe.push(char::from(byte));
        } else {
            safe.push_str(&format!("_{byte:02x}"));
        }
    }
    if safe.is_empty() || safe.len() > NAME_MAX {
        return Err(format!(
            "a backup's name has 1 to {NAME_MAX} small letters and digits (other characters count three)"
        ));
    }
    Ok(safe)
}

/// The file of a backup, in the server's own folder for backups.
fn file(database: &str, name: &str) -> String {
    format!("{database}_{name}.bak")
}

fn backup_sql(database: &str, name: &str) -> String {
    format!(
        "BACKUP DATABASE {} TO DISK = {} WITH COPY_ONLY, FORMAT, INIT",
        quote(database),
        text_literal(&file(database, name))
    )
}

/// Whoever is connected is thrown out first: a restore wants the database for itself.
fn restore_sql(database: &str, name: &str) -> [String; 3] {
    let quoted = quote(database);
    [
        format!("ALTER DATABASE {quoted} SET SINGLE_USER WITH ROLLBACK IMMEDIATE"),
        format!(
            "RESTORE DATABASE {quoted} FROM DISK = {} WITH REPLACE",
            text_literal(&file(database, name))
        ),
        format!("ALTER DATABASE {quoted} SET MULTI_USER"),
    ]
}

/// `BACKUP DATABASE`, in place of an older backup of that [`safe_name`].
///
/// # Errors
/// [`MssqlError`].
pub fn back_up(connection: &mut Connection, database: &str, name: &str) -> Result<(), MssqlError> {
    connection.batch(&backup_sql(database, name))
}

/// `RESTORE DATABASE`. Every connection to the database ends.
///
/// # Errors
/// [`MssqlError`].
pub fn restore(server: &Server, database: &str, name: &str) -> Result<(), MssqlError> {
    server.close_idle(database);
    let mut master = server.open("master")?;
    let [alone, restore, shared] = restore_sql(database, name);
    master.batch(&alone)?;
    let restored = master.batch(&restore);
    // Also after a restore that failed: nobody could enter it any more.
    let opened = master.batch(&shared);
    restored?;
    opened
}

/// The schema that holds the copies of a backup.
pub fn schema(name: &str) -> String {
    format!("mirrorlab_backup_{name}")
}

/// A copy of a table.
pub fn copied(schema: &str, table: &str) -> String {
    format!("{}.{}", quote(schema), quote(table))
}

/// The tables that are copied in a schema; `None` where there is no such schema.
///
/// # Errors
/// [`MssqlError`].
pub fn copies(connection: &mut Connection, schema: &str) -> Result<Option<Vec<String>>, MssqlError> {
    let there = connection.row(
        &format!(
            "SELECT COUNT(*) FROM sys.schemas s WHERE s.name = {}",
            text_literal(schema)
        ),
        &[],
    )?;
    if there.and_then(|row| row.integer(0)) == Some(0) {
        return Ok(None);
    }
    let rows = connection.rows(
        &format!(
            "SELECT t.name FROM sys.tables t JOIN sys.schemas s ON s.schema_id = t.schema_id WHERE s.name = {} \
             ORDER BY t.name",
            text_literal(schema)
        ),
        &[],
    )?;
    let name = |row: &super::Row| row.text(0).map(str::to_owned);
    Ok(Some(rows.iter().filter_map(name).collect()))
}

/// Copies every table of the default schema into a schema, in place of what it held.
///
/// # Errors
/// [`MssqlError`]; what was done is to be rolled back.
pub fn copy_out(connection: &mut Connection, schema: &str) -> Result<(), MssqlError> {
    match copies(connection, schema)? {
        None => connection.batch(&format!("CREATE SCHEMA {}", quote(schema)))?,
        Some(old) => {
            for table in old {
                connection.batch(&format!("DROP TABLE {}", copied(schema, &table)))?;
            }
        }
    }
    for table in describe::names(connection)? {
        connection.batch(&format!(
            "SELECT * INTO {} FROM {}",
            copied(schema, &table),
            quote(&table)
        ))?;
    }
    Ok(())
}

/// Drops every table of the default schema.
///
/// # Errors
/// [`MssqlError`]; what was done is to be rolled back.
pub fn drop_all(connection: &mut Connection) -> Result<(), MssqlError> {
    for table in describe::names(connection)? {
        connection.batch(&format!("DROP TABLE {}", quote(&table)))?;
    }
    Ok(())
}

/// Makes a table anew, with the rows of its copy.
///
/// # Errors
/// [`MssqlError`]; what was done is to be rolled back.
pub fn copy_in(connection: &mut Connection, schema: &str, table: &Table) -> Result<(), MssqlError> {
    connection.batch(&create_table(table))?;
    let columns: Vec<String> = table.columns.iter().map(|c| quote(&c.name)).collect();
    let columns = columns.join(", ");
    connection.batch(&format!(
        "INSERT INTO {} ({columns}) SELECT {columns} FROM {}",
        quote(&table.name),
        copied(schema, &table.name)
    ))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_said_to_sql_server_itself() {
        // Neither grammar at hand knows BACKUP or RESTORE (`tests/grammar.rs`); names and quotes are what could go wrong.
        let name = safe_name("monday/../x").unwrap();
        let mut said = vec![backup_sql("Source_Cust'1", &name)];
        said.extend(restore_sql("Source]Cust1", &name));
        insta::assert_snapshot!(said.join("\n"));
        assert!(safe_name("").is_err() && safe_name(&"x".repeat(61)).is_err());
        assert_ne!(safe_name("a b"), safe_name("a_b"));
        assert_ne!(safe_name("A"), safe_name("a"));
    }
}
