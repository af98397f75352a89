//! Backups: whole copies beside the database's file, tracking and its counter within.

use std::path::{Path, PathBuf};

use mirrorlab_engines::sqlite::{explain, make};
use rusqlite::backup::{Backup, StepResult};
use rusqlite::{Connection, OpenFlags};

use super::{Trouble, tracking};

/// The file of the backup `name`: `Cust10001.db` has `Cust10001.monday.backup`. Whatever could lead elsewhere in a name
/// is written as `%` and its hex bytes.
fn file(database: &Path, name: &str) -> Result<PathBuf, Trouble> {
    let mut safe = String::new();
    for byte in name.bytes() {
        if byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_') {
            safe.push(char::from(byte));
        } else {
            safe.push_str(&format!("%{byte:02X}"));
        }
    }
    if safe.is_empty() || safe.len() > 200 {
        return Err(Trouble::Said(
            "a backup's name has 1 to 200 letters and digits (other characters count three)".into(),
        ));
    }
    Ok(database.with_extension(format!("{safe}.backup")))
}

/// Copies the database, as its last commit left it.
pub(super) fn backup(connection: &Connection, database: &Path, name: &str) -> Result<(), Trouble> {
    let to = file(database, name)?;
    // Written beside it and renamed: an older backup of this name stays whole until then.
    let beside = to.with_extension("backup-part");
    let done = write_copy(connection, &beside).and_then(|()| {
        std::fs::rename(&beside, &to).map_err(|error| Trouble::Said(format!("{}: {error}", to.display())))
    });
    if done.is_err() {
        // Nothing half-made is left; the first error is the one to tell.
        let _ = std::fs::remove_file(&beside);
    }
    done
}

fn write_copy(connection: &Connection, beside: &Path) -> Result<(), Trouble> {
    if beside.exists() {
        std::fs::remove_file(beside)
            .map_err(|error| Trouble::Said(format!("{}: {error}", beside.display())))?;
    }
    let told = |error: rusqlite::Error| Trouble::Said(format!("{}: {}", beside.display(), explain(&error)));
    make(beside).map_err(|error| Trouble::Said(format!("{}: {error}", beside.display())))?;
    let mut target = Connection::open(beside).map_err(told)?;
    copy(connection, &mut target)?;
    // One file, without a log beside it.
    target
        .query_row("PRAGMA journal_mode = DELETE", [], |_| Ok(()))
        .map_err(told)?;
    target.close().map_err(|(_, error)| told(error))
}

/// Brings a backup back into the live database.
pub(super) fn restore(connection: &mut Connection, database: &Path, name: &str) -> Result<(), Trouble> {
    let from = file(database, name)?;
    if !from.exists() {
        return Err(Trouble::Said(format!(
            "there is no backup of that name ({})",
            from.display()
        )));
    }
    let told = |error: rusqlite::Error| Trouble::Said(format!("{}: {}", from.display(), explain(&error)));
    let source = Connection::open_with_flags(
        &from,
        OpenFlags::SQLITE_OPEN_READ_ONLY | OpenFlags::SQLITE_OPEN_NO_MUTEX,
    )
    .map_err(told)?;
    if !tracking::is_there(&source).map_err(told)? {
        return Err(Trouble::Said(format!("{} is no source", from.display())));
    }
    connection.flush_prepared_statement_cache();
    copy(&source, connection)
}

fn copy(from: &Connection, to: &mut Connection) -> Result<(), Trouble> {
    // All pages in one step: what is copied is one moment, and a writer elsewhere cannot make it begin again.
    match Backup::new(from, to)?.step(-1)? {
        StepResult::Done => Ok(()),
        _ => Err(Trouble::Said("it is in use by another program".into())),
    }
}
