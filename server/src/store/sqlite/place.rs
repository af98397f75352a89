//! A mirror's file: one call at a time on it, opening it, making it.

use std::collections::HashSet;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use mirrorlab_engines::private;
use mirrorlab_engines::sqlite::{self, explain};
use rusqlite::{Connection, ErrorCode, OpenFlags, TransactionBehavior};

use super::metadata::Metadata;
use super::{SqliteOptions, StoreError, shown};

/// The files that calls of this process hold. SQLite's own lock keeps other processes out, but it is waited for by
/// trying again and again; here the next call wakes at once.
#[derive(Debug, Default)]
pub(super) struct Places {
    held: Mutex<HashSet<PathBuf>>,
    freed: Condvar,
}

impl Places {
    /// Waits until no other call holds `path`; `None` when that takes longer than `wait`.
    pub(super) fn hold(&self, path: &Path, wait: Duration) -> Option<Held<'_>> {
        let (mut held, _) = self
            .freed
            .wait_timeout_while(self.lock(), wait, |held| held.contains(path))
            .unwrap_or_else(PoisonError::into_inner);
        held.insert(path.to_owned()).then(|| Held {
            places: self,
            path: path.to_owned(),
        })
    }

    fn lock(&self) -> MutexGuard<'_, HashSet<PathBuf>> {
        // A set of paths is whole whenever a panic leaves it.
        self.held.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A file that this call holds.
#[derive(Debug)]
pub(super) struct Held<'s> {
    places: &'s Places,
    path: PathBuf,
}

impl Drop for Held<'_> {
    fn drop(&mut self) {
        self.places.lock().remove(&self.path);
        self.places.freed.notify_all();
    }
}

/// Which file stands under a path: another one put in its place differs.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Identity(u64, u64);

impl Identity {
    #[cfg(unix)]
    pub(super) fn of(path: &Path) -> Option<Identity> {
        use std::os::unix::fs::MetadataExt;
        let metadata = fs::metadata(path).ok()?;
        Some(Identity(metadata.dev(), metadata.ino()))
    }

    /// Windows does not let an open file be replaced.
    #[cfg(not(unix))]
    pub(super) fn of(_: &Path) -> Option<Identity> {
        Some(Identity(0, 0))
    }
}

/// Opens a mirror, made with its metadata where it is missing. A mirror that cannot be made whole is not left behind.
pub(super) fn open(
    path: &Path,
    metadata: &Metadata,
    options: &SqliteOptions,
) -> Result<Connection, StoreError> {
    let made_folder = make_folder(path)?;
    let made = match private::create_file(path) {
        Ok(_) => true,
        Err(e) if e.kind() == io::ErrorKind::AlreadyExists => false,
        Err(e) => {
            forget(path, false, made_folder);
            return Err(cannot_open(path, &e.to_string()));
        }
    };
    let opened = connect(path, metadata, options);
    if opened.is_err() {
        forget(path, made, made_folder);
    }
    opened
}

fn connect(path: &Path, metadata: &Metadata, options: &SqliteOptions) -> Result<Connection, StoreError> {
    let failed = |e: rusqlite::Error| open_failed(path, &e);
    let mut connection =
        sqlite::open(path, false, options.durability, options.busy_wait).map_err(|e| failed(e.source))?;
    // Foreign keys are a partner's, between tables that are not all ours: they must not stop or spread a change. With
    // the modern ALTER TABLE, a partner's view on a table would stop its being changed in place.
    connection
        .execute_batch("PRAGMA foreign_keys = OFF; PRAGMA legacy_alter_table = ON;")
        .map_err(failed)?;
    provide_metadata(&mut connection, path, metadata)?;
    Ok(connection)
}

/// Makes the tenant's metadata where it is missing.
pub(super) fn provide_metadata(
    connection: &mut Connection,
    path: &Path,
    metadata: &Metadata,
) -> Result<(), StoreError> {
    let failed = |e: rusqlite::Error| open_failed(path, &e);
    if !metadata.is_there(connection).map_err(failed)? {
        let transaction = connection
            .transaction_with_behavior(TransactionBehavior::Immediate)
            .map_err(failed)?;
        metadata.make(&transaction).map_err(failed)?;
        transaction.commit().map_err(failed)?;
    }
    Ok(())
}

/// Opens a mirror that is there, and makes nothing.
pub(super) fn open_existing(path: &Path, options: &SqliteOptions) -> Result<Connection, StoreError> {
    if !path.exists() {
        return Err(StoreError::NoMirror {
            mirror: super::shown_whole(path),
        });
    }
    if path.is_dir() {
        return Err(StoreError::Open {
            mirror: super::shown_whole(path),
            why: "it is a directory, not a database file".into(),
        });
    }
    let failed = |e: rusqlite::Error| open_failed(path, &e);
    let connection = Connection::open_with_flags(
        path,
        OpenFlags::SQLITE_OPEN_READ_WRITE | OpenFlags::SQLITE_OPEN_NO_MUTEX,
    )
    .map_err(failed)?;
    connection.busy_timeout(options.busy_wait).map_err(failed)?;
    Ok(connection)
}

/// Makes the file's folder, one level of it: a longer path that is missing is a mistake more often than a wish.
pub(super) fn make_folder(path: &Path) -> Result<Option<PathBuf>, StoreError> {
    let Some(folder) = path.parent().filter(|p| !p.as_os_str().is_empty() && !p.exists()) else {
        return Ok(None);
    };
    match private::create_dir(folder) {
        Ok(()) => Ok(Some(folder.to_owned())),
        Err(e) if e.kind() == io::ErrorKind::AlreadyExists => Ok(None),
        Err(e) => Err(cannot_open(path, &format!("its folder cannot be made: {e}"))),
    }
}

/// Removes what this call made before it failed.
fn forget(path: &Path, file: bool, folder: Option<PathBuf>) {
    if file {
        for ending in ["", "-wal", "-shm"] {
            let mut name = path.as_os_str().to_owned();
            name.push(ending);
            // What is not there needs no removing.
            let _ = fs::remove_file(PathBuf::from(name));
        }
    }
    if let Some(folder) = folder {
        // Another tenant's mirror may be in it by now; then it stays.
        let _ = fs::remove_dir(folder);
    }
}

fn cannot_open(path: &Path, why: &str) -> StoreError {
    StoreError::Open {
        mirror: shown(path),
        why: why.to_owned(),
    }
}

fn open_failed(path: &Path, error: &rusqlite::Error) -> StoreError {
    match error.sqlite_error_code() {
        Some(ErrorCode::DatabaseBusy | ErrorCode::DatabaseLocked) => StoreError::Busy { mirror: shown(path) },
        _ => cannot_open(path, &explain(error)),
    }
}
