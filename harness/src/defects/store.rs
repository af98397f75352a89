//! Mistakes with tables, rows and LSNs: a store around the store.
//!
//! - `rows`: rows that are applied wrong
//! - `schema`: tables that are made, changed and dropped wrong
//! - `lsn`: LSNs that are kept wrong

mod lsn;
mod rows;
mod schema;

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use mirrorlab_engines::sqlite::quote;
use mirrorlab_protocol::message::Rows;
use mirrorlab_protocol::schema::Table;
use mirrorlab_server::store::metadata::metadata_table;
use mirrorlab_server::store::{
    Applied, MirrorPlace, MirrorStore, MirrorTransaction, Scope, StoreError, StoredTable,
};
use rusqlite::{Connection, OpenFlags};

use super::cells::CellMistake;
use super::memory::Memory;

/// What is done wrong with tables, rows and LSNs.
#[derive(Debug, Clone, Copy)]
pub enum StoreMistake {
    /// A value is stored as another one.
    Cells(CellMistake),

    /// The last row of a batch is not written.
    LastRowDropped,
    /// D does nothing.
    DeleteIgnored,
    /// U of an absent row does nothing.
    UpdateOfAbsentIgnored,
    /// I of a present row is an error.
    InsertOfPresentFails,
    /// I of a present row does nothing.
    InsertOfPresentIgnored,
    /// D of an absent row is an error.
    DeleteOfAbsentFails,
    /// D compares every cell.
    DeleteComparesAll,
    /// NULL in a U leaves the old value.
    NullLeavesOldValue,
    /// What was written before the row that fails is kept.
    RowsBeforeFailureKept,
    /// Cells are taken in the database's column order, and the order is no part of a schema.
    OrderFromDatabase,

    /// LSNs are only written when the cycle ends.
    LsnAtCycleEnd,
    /// LSNs only grow, as long as the process lives.
    LsnOnlyGrows,
    /// One more than what came.
    LsnOneTooHigh,
    /// Wipe leaves the LSN.
    WipeKeepsLsn,
    /// A table made anew answers its old LSN.
    LsnKeptThroughRecreation,
    /// LSNs are read once, and remembered.
    LsnCached,
    /// One LSN for the whole tenant.
    LsnPerTenant,
    /// A batch without rows is passed over.
    EmptyBatchIgnored,

    /// Wipe leaves the rows.
    WipeKeepsRows,
    /// Wipe empties every table of the tenant.
    WipeEmptiesAll,
    /// Another type is no change.
    TypeChangesIgnored,
    /// Another nullability is no change.
    NullabilityChangesIgnored,
    /// Another default is no change.
    DefaultChangesIgnored,
    /// Any change makes the table anew.
    ChangesMakeAnew,
    /// A new nullable column is filled with its default.
    NullableDefaultFilled,
    /// A new NOT NULL column is filled with 0 or empty text.
    NotNullFilledWithZero,
    /// Dropped columns stay.
    DroppedColumnsKept,
    /// Dropped tables stay.
    AbsentTablesKept,
    /// Every table that is not sent is dropped, whoever made it.
    ForeignTablesDropped,
    /// A table that is in the way is dropped, whoever made it.
    ForeignTableReplaced,
    /// Texts without limit become nvarchar(4000).
    MaxBecomes4000,
    /// Every column but the key takes NULL.
    EverythingNullable,
    /// Defaults are not made.
    DefaultsNotMade,
}

/// A store with a mistake.
pub struct BrokenStore {
    inner: Arc<dyn MirrorStore>,
    mistake: StoreMistake,
    memory: Arc<Memory>,
}

impl BrokenStore {
    /// Around `inner`.
    pub fn new(inner: Arc<dyn MirrorStore>, mistake: StoreMistake, memory: Arc<Memory>) -> BrokenStore {
        BrokenStore {
            inner,
            mistake,
            memory,
        }
    }
}

impl MirrorStore for BrokenStore {
    fn begin_on<'s>(
        &'s self,
        context: &str,
        place: &MirrorPlace,
        scope: Scope<'_>,
    ) -> Result<Box<dyn MirrorTransaction + 's>, StoreError> {
        let path = match place {
            MirrorPlace::SqliteFile(path) => path.clone(),
            MirrorPlace::SqlServerDatabase(_) => PathBuf::new(),
        };
        let foreign = match self.mistake {
            StoreMistake::ForeignTablesDropped => tables_of(&path, context),
            _ => Vec::new(),
        };
        Ok(Box::new(BrokenTransaction {
            inner: Some(self.inner.begin_on(context, place, scope)?),
            mistake: self.mistake,
            memory: Arc::clone(&self.memory),
            context: context.to_owned(),
            listed: foreign,
            dropping: Vec::new(),
            empty_batch: None,
            recreated: None,
        }))
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

/// Every table of a mirror but the metadata.
fn tables_of(path: &std::path::Path, context: &str) -> Vec<String> {
    let flags = OpenFlags::SQLITE_OPEN_READ_WRITE | OpenFlags::SQLITE_OPEN_NO_MUTEX;
    let Ok(connection) = Connection::open_with_flags(path, flags) else {
        return Vec::new();
    };
    let metadata = metadata_table(context);
    let mut names = mirrorlab_engines::sqlite::names(&connection).unwrap_or_default();
    names.retain(|name| !name.eq_ignore_ascii_case(&metadata));
    names
}

/// One call's work, with a mistake in it.
struct BrokenTransaction<'s> {
    /// `None` once it was committed too early.
    inner: Option<Box<dyn MirrorTransaction + 's>>,
    mistake: StoreMistake,
    memory: Arc<Memory>,
    context: String,
    /// The mirror's tables before the call.
    listed: Vec<String>,
    /// Tables to be dropped, if they are made anew.
    dropping: Vec<String>,
    /// The table whose batch had no row.
    empty_batch: Option<String>,
    /// The table that was dropped last, and its LSN.
    recreated: Option<(String, i64)>,
}

impl<'s> BrokenTransaction<'s> {
    fn inner(&mut self) -> Result<&mut (dyn MirrorTransaction + 's), StoreError> {
        self.inner.as_deref_mut().ok_or_else(|| StoreError::Engine {
            mirror: self.context.clone(),
            doing: "go on".into(),
            why: "the transaction is over".into(),
        })
    }

    fn sql(&mut self, sql: &str) -> Result<(), StoreError> {
        self.inner()?.run_script(sql)
    }

    /// Refuses as an engine would.
    fn refused<T>(&self, doing: &str, why: &str) -> Result<T, StoreError> {
        Err(StoreError::Engine {
            mirror: format!("Mirror_{}", self.context),
            doing: doing.to_owned(),
            why: why.to_owned(),
        })
    }
}

impl MirrorTransaction for BrokenTransaction<'_> {
    fn tables(&mut self) -> Result<Vec<StoredTable>, StoreError> {
        let mut tables = self.inner()?.tables()?;
        let foreign: Vec<String> = self
            .listed
            .drain(..)
            .filter(|name| !tables.iter().any(|t| t.table.name.eq_ignore_ascii_case(name)))
            .collect();
        for name in foreign {
            self.sql(&format!("DROP TABLE {}", quote(&name)))?;
        }
        self.answered_lsns(&mut tables);
        Ok(tables)
    }

    fn table(&mut self, name: &str) -> Result<Option<StoredTable>, StoreError> {
        self.inner()?.table(name)
    }

    fn create(&mut self, table: &Table) -> Result<(), StoreError> {
        self.create_wrong(table)
    }

    fn alter(&mut self, old: &Table, new: &Table) -> Result<(), StoreError> {
        self.alter_wrong(old, new)
    }

    fn drop_table(&mut self, name: &str) -> Result<(), StoreError> {
        self.drop_wrong(name)
    }

    fn wipe(&mut self, table: &Table) -> Result<(), StoreError> {
        self.wipe_wrong(table)
    }

    fn apply(&mut self, table: &Table, order: &[usize], rows: &Rows<'_>) -> Result<Applied, StoreError> {
        self.apply_wrong(table, order, rows)
    }

    fn set_lsn(&mut self, table: &str, lsn: i64) -> Result<(), StoreError> {
        self.set_lsn_wrong(table, lsn)
    }

    fn has_row(&mut self, table: &Table, null_in: Option<usize>) -> Result<bool, StoreError> {
        self.inner()?.has_row(table, null_in)
    }

    fn run_script(&mut self, sql: &str) -> Result<(), StoreError> {
        self.sql(sql)
    }

    fn commit(mut self: Box<Self>) -> Result<(), StoreError> {
        self.store_late_lsns()?;
        match self.inner.take() {
            Some(inner) => inner.commit(),
            None => Ok(()),
        }
    }
}
