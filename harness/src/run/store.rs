//! A mirror store that something is wrong with, for the time of one call: its disk is full, another program holds it, or
//! the server dies before its commit.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use mirrorlab_engines::sqlite::{self, Durability};
use mirrorlab_protocol::message::Rows;
use mirrorlab_protocol::schema::Table;
use mirrorlab_server::store::sqlite::{SqliteOptions, SqliteStore};
use mirrorlab_server::store::{
    Applied, MirrorPlace, MirrorStore, MirrorTransaction, Scope, StoreError, StoredTable,
};

/// How long a call waits for a mirror that will not be free: just long enough to have waited.
const LOCKED_WAIT: Duration = Duration::from_millis(20);

/// What is wrong.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum StoreFault {
    /// The file may grow no more. What fits into its free pages still fits.
    DiskFull,
    /// Another connection holds the file's write lock.
    Locked,
    /// The server dies at its commit: all was written, and nothing is kept.
    Dies,
}

/// What is wrong for whom.
#[derive(Debug, Default)]
pub struct StoreFaults(Mutex<BTreeMap<String, StoreFault>>);

impl StoreFaults {
    /// From now on, for one tenant. `None`: nothing any more.
    pub fn set(&self, context: &str, fault: Option<StoreFault>) {
        match fault {
            Some(fault) => self.lock().insert(context.to_owned(), fault),
            None => self.lock().remove(context),
        };
    }

    fn of(&self, context: &str) -> Option<StoreFault> {
        self.lock().get(context).copied()
    }

    fn lock(&self) -> MutexGuard<'_, BTreeMap<String, StoreFault>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A store, and what is wrong with it.
pub struct FaultyStore {
    inner: Arc<dyn MirrorStore>,
    /// The same files, for calls that would wait in vain.
    impatient: SqliteStore,
    faults: Arc<StoreFaults>,
}

impl FaultyStore {
    /// As `inner`, unless `faults` say otherwise.
    pub fn new(inner: Arc<dyn MirrorStore>, faults: Arc<StoreFaults>) -> FaultyStore {
        FaultyStore {
            inner,
            impatient: SqliteStore::new(SqliteOptions {
                durability: Durability::Fast,
                busy_wait: LOCKED_WAIT,
                keep_open: Duration::ZERO,
            }),
            faults,
        }
    }

    fn locked(&self, context: &str, place: &MirrorPlace) -> Result<(), StoreError> {
        let MirrorPlace::SqliteFile(path) = place else {
            return Ok(());
        };
        // The mirror has to be there to be held.
        drop(self.inner.begin(context, place)?);
        let open = |error: String| StoreError::Open {
            mirror: path.display().to_string(),
            why: error,
        };
        let other =
            sqlite::open(path, false, Durability::Fast, LOCKED_WAIT).map_err(|e| open(e.to_string()))?;
        other
            .execute_batch("BEGIN IMMEDIATE")
            .map_err(|e| open(e.to_string()))?;
        self.impatient.begin(context, place).map(drop)
    }
}

impl MirrorStore for FaultyStore {
    fn begin_on<'s>(
        &'s self,
        context: &str,
        place: &MirrorPlace,
        scope: Scope<'_>,
    ) -> Result<Box<dyn MirrorTransaction + 's>, StoreError> {
        match self.faults.of(context) {
            None => self.inner.begin_on(context, place, scope),
            Some(StoreFault::DiskFull) => {
                let mut transaction = self.inner.begin_on(context, place, scope)?;
                // Never below what the file has; it holds for this call's connection alone.
                transaction.run_script("PRAGMA max_page_count = 1")?;
                Ok(transaction)
            }
            Some(StoreFault::Dies) => Ok(Box::new(Dying {
                inner: self.inner.begin_on(context, place, scope)?,
                mirror: context.to_owned(),
            })),
            Some(StoreFault::Locked) => {
                self.locked(context, place)?;
                self.inner.begin_on(context, place, scope)
            }
        }
    }

    fn invalidate(&self, context: &str, place: &MirrorPlace, table: Option<&str>) -> Result<u64, StoreError> {
        self.inner.invalidate(context, place, table)
    }

    fn rest(&self, context: &str, place: &MirrorPlace) {
        self.inner.rest(context, place);
    }

    fn pause_before_retry(&self, error: &StoreError, attempt: u32, spent: Duration) -> Option<Duration> {
        self.inner.pause_before_retry(error, attempt, spent)
    }
}

/// A transaction that is never committed.
struct Dying<'s> {
    inner: Box<dyn MirrorTransaction + 's>,
    mirror: String,
}

impl MirrorTransaction for Dying<'_> {
    fn tables(&mut self) -> Result<Vec<StoredTable>, StoreError> {
        self.inner.tables()
    }

    fn table(&mut self, name: &str) -> Result<Option<StoredTable>, StoreError> {
        self.inner.table(name)
    }

    fn create(&mut self, table: &Table) -> Result<(), StoreError> {
        self.inner.create(table)
    }

    fn alter(&mut self, old: &Table, new: &Table) -> Result<(), StoreError> {
        self.inner.alter(old, new)
    }

    fn drop_table(&mut self, name: &str) -> Result<(), StoreError> {
        self.inner.drop_table(name)
    }

    fn wipe(&mut self, table: &Table) -> Result<(), StoreError> {
        self.inner.wipe(table)
    }

    fn apply(&mut self, table: &Table, order: &[usize], rows: &Rows<'_>) -> Result<Applied, StoreError> {
        self.inner.apply(table, order, rows)
    }

    fn set_lsn(&mut self, table: &str, lsn: i64) -> Result<(), StoreError> {
        self.inner.set_lsn(table, lsn)
    }

    fn has_row(&mut self, table: &Table, null_in: Option<usize>) -> Result<bool, StoreError> {
        self.inner.has_row(table, null_in)
    }

    fn run_script(&mut self, sql: &str) -> Result<(), StoreError> {
        self.inner.run_script(sql)
    }

    fn commit(self: Box<Self>) -> Result<(), StoreError> {
        Err(StoreError::Engine {
            mirror: self.mirror.clone(),
            doing: "commit".into(),
            why: "the server has died".into(),
        })
    }
}
