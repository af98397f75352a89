//! A database that a command line names: a SQLite file, or a database of a SQL Server.

use std::fmt;
use std::path::PathBuf;

use mirrorlab_engines::mssql::Address;

use super::CliError;
use crate::compare::sqlite::TableFilter;
use crate::compare::{MssqlSide, Side, SideError, SqliteSide};

/// What every command says it takes.
pub const FORMS: &str = "FILE, sqlite:FILE, env:NAME, @FILE or mssql://user:password@host:port/database";
const SQLITE: &str = "sqlite:";

/// A database. Shown, it is without any password.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Database {
    /// A SQLite file.
    Sqlite(PathBuf),
    /// A database of a SQL Server.
    Mssql(Address),
}

impl Database {
    /// Reads what stands on the command line in the place `what`.
    ///
    /// # Errors
    /// [`CliError`], exit code 2; a connection string is never repeated.
    pub fn parse(what: &str, text: &str) -> Result<Database, CliError> {
        let wrong = |why: &dyn fmt::Display| CliError::usage(format!("{what}: {why}"));
        if let Some(file) = text.strip_prefix(SQLITE) {
            return match file {
                "" => Err(wrong(&"sqlite: names no file")),
                file => Ok(Database::Sqlite(file.into())),
            };
        }
        if Address::is_one(text) {
            let address = Address::read(text).map_err(|e| wrong(&e))?;
            if address.database.eq_ignore_ascii_case("master") {
                return Err(wrong(&format!(
                    "the connection string names no database on {}; expected mssql://user:password@host:port/database",
                    address.server()
                )));
            }
            return Ok(Database::Mssql(address));
        }
        // `mssql:/…`, `msql://…`: no file of that name is meant, and what follows may hold a password.
        match text.split_once(':') {
            Some((scheme, rest))
                if rest.starts_with('/')
                    && scheme.len() > 1
                    && scheme.chars().all(|c| c.is_ascii_alphanumeric()) =>
            {
                Err(wrong(&format!(
                    "`{scheme}:/` begins no database; expected {FORMS}"
                )))
            }
            // An ADO.NET connection string, which no message may repeat as if it were a file's name.
            _ if ["password=", "pwd="]
                .iter()
                .any(|word| text.to_ascii_lowercase().replace(' ', "").contains(word)) =>
            {
                Err(wrong(&format!(
                    "this holds a password and names no file; expected {FORMS}"
                )))
            }
            _ => Ok(Database::Sqlite(text.into())),
        }
    }

    /// The shortest name: the file's, or the database's.
    pub fn short(&self) -> String {
        match self {
            Database::Sqlite(path) => match path.file_name() {
                Some(name) => name.to_string_lossy().into_owned(),
                None => path.display().to_string(),
            },
            Database::Mssql(address) => address.database.clone(),
        }
    }

    /// Opens it for reading, under a name for reports.
    ///
    /// # Errors
    /// [`SideError`].
    pub fn open(&self, name: &str, filter: TableFilter) -> Result<Box<dyn Side>, SideError> {
        Ok(match self {
            Database::Sqlite(path) => Box::new(SqliteSide::open(name, path, filter)?),
            Database::Mssql(address) => Box::new(MssqlSide::open(name, address, filter)?),
        })
    }
}

/// The file, or server and database.
impl fmt::Display for Database {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Database::Sqlite(path) => write!(f, "{}", path.display()),
            Database::Mssql(address) => write!(f, "{}/{}", address.server(), address.database),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_stands_on_a_command_line() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("connection");
        std::fs::write(&file, "mssql://sa:hush-hush@db.example:1500/Mirror_Cust1\n").unwrap();
        let at_file = format!("@{}", file.display());
        let told = |text: &str| match Database::parse("LEFT", text) {
            Ok(database) => format!("{} | {}", database.short(), database),
            Err(error) => error.to_string(),
        };
        let all: Vec<String> = [
            "mirrors/Mirror_Cust1.db",
            "sqlite:a.db",
            "sqlite:",
            r"C:\data\a.db",
            "mssql://sa:hush-hush@db/Cust1?trust-server-certificate=true",
            "mssql://sa:hush-hush@db",
            "mssql://sa:hush-hush@db/x?encypt=yes",
            "mssql:/sa:hush-hush@db/x",
            "msql://sa:hush-hush@db/x",
            "Server=db;User Id=sa;Password = hush-hush",
            "env:MIRRORLAB_NO_SUCH_VARIABLE",
            &at_file,
        ]
        .iter()
        .map(|text| told(text))
        .collect();
        let all = all.join("\n");
        assert!(!all.contains("hush"), "{all}");
        insta::assert_snapshot!(all, @r"
        Mirror_Cust1.db | mirrors/Mirror_Cust1.db
        a.db | a.db
        LEFT: sqlite: names no file
        C:\data\a.db | C:\data\a.db
        Cust1 | db:1433/Cust1
        LEFT: the connection string names no database on db:1433; expected mssql://user:password@host:port/database
        LEFT: the connection string: it has an option `encypt` that is not known; there are encrypt, trust-server-certificate and connect-timeout; expected mssql://user:password@host:port/database
        LEFT: `mssql:/` begins no database; expected FILE, sqlite:FILE, env:NAME, @FILE or mssql://user:password@host:port/database
        LEFT: `msql:/` begins no database; expected FILE, sqlite:FILE, env:NAME, @FILE or mssql://user:password@host:port/database
        LEFT: this holds a password and names no file; expected FILE, sqlite:FILE, env:NAME, @FILE or mssql://user:password@host:port/database
        LEFT: the environment variable MIRRORLAB_NO_SUCH_VARIABLE: it is not set; expected mssql://user:password@host:port/database
        Mirror_Cust1 | db.example:1500/Mirror_Cust1
        ");
    }
}
