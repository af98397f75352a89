//! Connections kept open between the calls of a cycle.
//!
//! One connection for each mirror at most, some mirrors at most, each for a short time at most: a thread closes what was not
//! taken back. A connection is only kept where it holds nothing of the file back: no transaction is open, every committed
//! page is in the file, and the log beside it is empty. So it makes no difference for a person that it is there, with one
//! exception: the index beside the file (`-shm`) is shared by all who have the file open, and it speaks of the file that
//! was there. Who puts another file in its place *during a cycle* should stop the server first, as ever; between cycles no
//! connection is kept.
//!
//! A file that is not as it was left, by its inode, length and time of change, is never gone on with: it may be another one.
//! (A file system's clock ticks every few milliseconds: a copy of the same length, written over the file in place in the
//! very tick of a call's end, would not be seen.) Its old connection must not write to
//! it, nor remove the log that may be the new one's: it is let go without either.

use std::collections::HashMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant, SystemTime};

use rusqlite::config::DbConfig;
use rusqlite::{Connection, OpenFlags};

use super::place::Identity;

/// How many connections are kept. Those of the mirrors that were used last stay.
const IDLE_MAX: usize = 32;

/// What a file looks like from outside: whoever writes to it changes that.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Look {
    identity: Option<Identity>,
    length: u64,
    modified: Option<SystemTime>,
}

impl Look {
    fn at(path: &Path) -> Option<Look> {
        let metadata = fs::metadata(path).ok()?;
        Some(Look {
            identity: Identity::of(path),
            length: metadata.len(),
            modified: metadata.modified().ok(),
        })
    }
}

#[derive(Debug)]
struct Idle {
    connection: Connection,
    look: Look,
    close_at: Instant,
}

#[derive(Debug, Default)]
struct Shared {
    state: Mutex<State>,
    changed: Condvar,
}

#[derive(Debug, Default)]
struct State {
    idle: HashMap<PathBuf, Idle>,
    /// Whether the thread that closes runs.
    closing: bool,
}

/// The connections that one store keeps.
#[derive(Debug, Default)]
pub(super) struct IdleConnections(Arc<Shared>);

impl IdleConnections {
    /// The connection kept for `path`, where the file is as it was left.
    pub(super) fn take(&self, path: &Path) -> Option<Connection> {
        let Idle { connection, look, .. } = self.0.lock().idle.remove(path)?;
        if Look::at(path).as_ref() == Some(&look) {
            return Some(connection);
        }
        forsake(connection);
        None
    }

    /// Keeps a connection, for `time`, where that leaves the file whole and its log empty; otherwise closes it.
    pub(super) fn keep(&self, path: &Path, connection: Connection, time: Duration, busy_wait: Duration) {
        if time.is_zero() || !is_settled(&connection, busy_wait) {
            return;
        }
        let Some(look) = Look::at(path) else {
            forsake(connection);
            return;
        };
        let Some(close_at) = Instant::now().checked_add(time) else {
            return;
        };
        let idle = Idle {
            connection,
            look,
            close_at,
        };
        let mut state = self.0.lock();
        let mut surplus = Vec::new();
        if state.idle.len() >= IDLE_MAX {
            surplus.extend(state.take_first(None));
        }
        // There was none before: whoever took it holds the mirror until now.
        state.idle.insert(path.to_owned(), idle);
        if !state.closing {
            let shared = Arc::clone(&self.0);
            let thread = std::thread::Builder::new().name("mirrorlab-idle".into());
            state.closing = thread.spawn(move || shared.close_in_time()).is_ok();
            if !state.closing {
                // Nobody would close it.
                surplus.extend(state.idle.remove_entry(path));
            }
        }
        drop(state);
        // Closing a file takes its time; the others do not wait for it.
        for (path, idle) in surplus {
            end(&path, idle);
        }
    }

    /// Closes the connection kept for `path`.
    pub(super) fn close(&self, path: &Path) {
        let idle = self.0.lock().idle.remove(path);
        if let Some(idle) = idle {
            end(path, idle);
        }
    }
}

impl Drop for IdleConnections {
    fn drop(&mut self) {
        let all = std::mem::take(&mut self.0.lock().idle);
        self.0.changed.notify_all();
        for (path, idle) in all {
            end(&path, idle);
        }
    }
}

impl State {
    /// The connection that is to be closed first, of all or of those that are due by now.
    fn take_first(&mut self, now: Option<Instant>) -> Option<(PathBuf, Idle)> {
        let first = self.idle.iter().min_by_key(|(_, idle)| idle.close_at);
        let is_due = |idle: &Idle| now.is_none_or(|now| idle.close_at <= now);
        let path = first.filter(|(_, idle)| is_due(idle))?.0.clone();
        self.idle.remove_entry(&path)
    }
}

impl Shared {
    fn lock(&self) -> MutexGuard<'_, State> {
        // A map is whole whenever a panic leaves it.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Closes each connection when it is due, until there is none.
    fn close_in_time(&self) {
        let mut state = self.lock();
        loop {
            let now = Instant::now();
            if let Some((path, idle)) = state.take_first(Some(now)) {
                drop(state);
                end(&path, idle);
                state = self.lock();
                continue;
            }
            let Some(next) = state.idle.values().map(|idle| idle.close_at).min() else {
                state.closing = false;
                return;
            };
            let waited = self
                .changed
                .wait_timeout(state, next.saturating_duration_since(now));
            state = waited.unwrap_or_else(PoisonError::into_inner).0;
        }
    }
}

/// Brings all committed pages into the file and empties its log, without waiting for anybody; whether that was done.
fn is_settled(connection: &Connection, busy_wait: Duration) -> bool {
    let settled = connection.busy_timeout(Duration::ZERO).and_then(|()| {
        connection
            .prepare_cached("PRAGMA wal_checkpoint(TRUNCATE)")?
            .query_row([], |row| row.get::<_, i64>(0))
    });
    matches!(settled, Ok(0)) && connection.busy_timeout(busy_wait).is_ok()
}

/// Closes a connection, and leaves one file without a log beside it.
fn end(path: &Path, idle: Idle) {
    if Look::at(path).as_ref() == Some(&idle.look) {
        return;
    }
    forsake(idle.connection);
    // What another program wrote may be in the log still: whoever opens the file as it is now, and is the last to close it,
    // brings it in and removes the log.
    let flags = OpenFlags::SQLITE_OPEN_READ_WRITE | OpenFlags::SQLITE_OPEN_NO_MUTEX;
    let tidied = Connection::open_with_flags(path, flags)
        .and_then(|connection| connection.query_row("SELECT count(*) FROM sqlite_master", [], |_| Ok(())));
    if let Err(error) = tidied {
        tracing::debug!(path = %path.display(), %error, "a mirror that was replaced cannot be opened");
    }
}

/// Lets go of a connection whose file is no longer there, or no longer its own: nothing is written, nothing removed.
fn forsake(connection: Connection) {
    if let Err(error) = connection.set_db_config(DbConfig::SQLITE_DBCONFIG_NO_CKPT_ON_CLOSE, true) {
        tracing::warn!(%error, "a replaced mirror's connection is closed as any other");
    }
}
