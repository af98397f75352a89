//! Opening a database file.

use std::io;
use std::path::{Path, PathBuf};
use std::time::Duration;

use rusqlite::{Connection, ErrorCode, OpenFlags};

use crate::private;

/// What must survive when the machine itself stops. A killed process loses nothing in either.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Durability {
    /// A commit is on the disk.
    #[default]
    Full,
    /// A commit may be lost with the machine, never torn: for runs that are thrown away.
    Fast,
}

/// A database file that could not be opened. The text names the file and says what is wrong with it.
#[derive(Debug, thiserror::Error)]
#[error("cannot open the database {}: {}", .path.display(), explain(.source))]
pub struct OpenError {
    /// The file.
    pub path: PathBuf,
    /// What SQLite said.
    pub source: rusqlite::Error,
}

/// Opens the database file `path`, made if it is missing and `create` says so, for nobody else to read. Readers never wait for writers
/// (write-ahead log); a writer waits for another up to `busy_wait`.
///
/// # Errors
/// [`OpenError`].
pub fn open(
    path: &Path,
    create: bool,
    durability: Durability,
    busy_wait: Duration,
) -> Result<Connection, OpenError> {
    let failed = |source| OpenError {
        path: path.to_owned(),
        source,
    };
    if create {
        // SQLite would make it for all to read. Why it cannot be made, opening it says.
        let _ = make(path);
    }
    let flags = OpenFlags::SQLITE_OPEN_READ_WRITE | OpenFlags::SQLITE_OPEN_NO_MUTEX;
    let connection = Connection::open_with_flags(path, flags).map_err(failed)?;
    connection.busy_timeout(busy_wait).map_err(failed)?;
    let synchronous = match durability {
        Durability::Full => "FULL",
        Durability::Fast => "OFF",
    };
    connection
        .execute_batch(&format!(
            "PRAGMA journal_mode = WAL; PRAGMA synchronous = {synchronous}; PRAGMA recursive_triggers = ON; \
             PRAGMA trusted_schema = OFF;"
        ))
        .map_err(failed)?;
    connection.set_prepared_statement_cache_capacity(64);
    Ok(connection)
}

/// Makes an empty database file that nobody else can read, unless it is there.
///
/// # Errors
/// The system's.
pub fn make(path: &Path) -> io::Result<()> {
    match private::create_file(path) {
        Ok(_) => Ok(()),
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists => Ok(()),
        Err(error) => Err(error),
    }
}

/// What SQLite's error means to a person, before its own words.
pub fn explain(error: &rusqlite::Error) -> String {
    let meaning = match error.sqlite_error_code() {
        Some(ErrorCode::DiskFull) => "the disk is full",
        Some(ErrorCode::DatabaseBusy | ErrorCode::DatabaseLocked) => "it is locked by another process",
        Some(ErrorCode::ReadOnly | ErrorCode::PermissionDenied) => "it cannot be written to",
        Some(ErrorCode::CannotOpen) => "it is not there, or its folder cannot be used",
        Some(ErrorCode::NotADatabase) => "it is not a SQLite database",
        Some(ErrorCode::DatabaseCorrupt) => "it is damaged",
        Some(ErrorCode::SystemIoFailure) => "the disk failed",
        _ => return error.to_string(),
    };
    format!("{meaning} ({error})")
}
