//! Where mirrors live: the traits that every engine's store implements, and its errors.
//!
//! A call of the mirroring task is one transaction on one tenant's mirror: [`MirrorStore::begin`] opens it, everything the
//! call does goes through the [`MirrorTransaction`], and only [`MirrorTransaction::commit`] keeps it. What is dropped
//! uncommitted is rolled back, whatever the reason. The traits are synchronous: a call's rows are borrowed from its
//! bytes until they are bound, and the HTTP side runs each call on a thread that may block.
//!
//! - [`sqlite`]: mirrors in SQLite files
//! - [`mssql`]: mirrors in databases of a SQL Server
//! - [`metadata`]: the table `<context>_mirroring`, as every store keeps it
//! - [`row`]: what holds for a row in any engine
//! - `testing`: what every store must do, as test bodies (feature `testing`)

pub mod metadata;
pub mod mssql;
pub mod row;
pub mod sqlite;
#[cfg(any(test, feature = "testing"))]
pub mod testing;

use std::path::PathBuf;
use std::time::Duration;

use mirrorlab_protocol::message::Rows;
use mirrorlab_protocol::schema::Table;

/// Where one tenant's mirror is, as MirrorAdmin's ResolveConnection answers.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum MirrorPlace {
    /// A SQLite file, made on first use.
    SqliteFile(PathBuf),
    /// A database on the configured SQL Server, made on first use unless the store is told otherwise.
    SqlServerDatabase(String),
}

/// A table as the metadata table `<context>_mirroring` knows it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StoredTable {
    /// The table as it was made: names, types, nullability, defaults, order.
    pub table: Table,
    /// [`Table::hash`] of the schema it was made from.
    pub hash: String,
    /// The change tracking version that the rows stand for; -1 asks for everything.
    pub lsn: i64,
    /// Whether the table itself is there: a person may have dropped it.
    pub present: bool,
}

/// What a batch did.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Applied {
    /// Rows that are there now and were not.
    pub inserted: u64,
    /// Rows that were there and were replaced.
    pub updated: u64,
    /// Rows that were there and are gone.
    pub deleted: u64,
}

/// What a call is going to write to: what other calls of the same tenant are kept from meanwhile.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Scope<'t> {
    /// All of the tenant's mirror: its schema, its metadata, any table.
    Tenant,
    /// Rows and LSNs of these tables, which have to be there. Should a call turn out to need more, more is taken.
    Tables(&'t [&'t str]),
}

/// Mirrors of one engine.
pub trait MirrorStore: Send + Sync {
    /// Opens the transaction of one call of tenant `context` on the mirror at `place`, which is provisioned where it is
    /// missing: database, and the metadata table `<context>_mirroring`. There is one writer of what `scope` says, be it in
    /// this process or another: another call's transaction is waited for, up to the store's limit. A store may keep other
    /// calls from more than that.
    ///
    /// # Errors
    /// [`StoreError`].
    fn begin_on<'s>(
        &'s self,
        context: &str,
        place: &MirrorPlace,
        scope: Scope<'_>,
    ) -> Result<Box<dyn MirrorTransaction + 's>, StoreError>;

    /// [`MirrorStore::begin_on`] the tenant's whole mirror.
    ///
    /// # Errors
    /// [`StoreError`].
    fn begin<'s>(
        &'s self,
        context: &str,
        place: &MirrorPlace,
    ) -> Result<Box<dyn MirrorTransaction + 's>, StoreError> {
        self.begin_on(context, place, Scope::Tenant)
    }

    /// Sets the LSN of one table, or of all, to -1: the next cycle sends them anew. Answers how many tables that were.
    /// Nothing is made where nothing is.
    ///
    /// # Errors
    /// [`StoreError`]: [`StoreError::NoMirror`], [`StoreError::NoMetadata`] and [`StoreError::NotInMetadata`] among them.
    fn invalidate(&self, context: &str, place: &MirrorPlace, table: Option<&str>) -> Result<u64, StoreError>;

    /// No call of tenant `context` is expected for a while, its cycle being over: whatever is kept ready for the next one is
    /// let go, and the mirror lies still.
    fn rest(&self, context: &str, place: &MirrorPlace);

    /// How long to wait before a call that failed with `error` is done anew, counted from 1, `spent` after it came; `None`
    /// where it fails for good. Only [`StoreError::Passing`] is ever tried again: its transaction has left nothing
    /// behind.
    fn pause_before_retry(&self, error: &StoreError, attempt: u32, spent: Duration) -> Option<Duration>;
}

/// One call's work on one tenant's mirror. Table names are matched without regard to case.
pub trait MirrorTransaction {
    /// Every table in the metadata, in name order.
    ///
    /// # Errors
    /// [`StoreError`].
    fn tables(&mut self) -> Result<Vec<StoredTable>, StoreError>;

    /// One table of the metadata.
    ///
    /// # Errors
    /// [`StoreError`].
    fn table(&mut self, name: &str) -> Result<Option<StoredTable>, StoreError>;

    /// Makes a table and its metadata row, LSN -1. A table of that name that the server did not make is an error,
    /// [`StoreError::ForeignTable`], and stays untouched.
    ///
    /// # Errors
    /// [`StoreError`].
    fn create(&mut self, table: &Table) -> Result<(), StoreError>;

    /// Changes a table in place, rows and LSN kept: added, dropped, widened, renullabled columns, other defaults. New
    /// columns hold [`mirrorlab_protocol::schema::Column::fill_value`] in existing rows.
    ///
    /// # Errors
    /// [`StoreError`].
    fn alter(&mut self, old: &Table, new: &Table) -> Result<(), StoreError>;

    /// Drops a table that the server made, and its metadata row.
    ///
    /// # Errors
    /// [`StoreError`].
    fn drop_table(&mut self, name: &str) -> Result<(), StoreError>;

    /// Removes every row and sets the LSN to -1.
    ///
    /// # Errors
    /// [`StoreError`].
    fn wipe(&mut self, table: &Table) -> Result<(), StoreError>;

    /// Applies rows in their order: I and U both mean "this is the row now", D means "this key is gone". Cells follow
    /// the order of `order`, positions in `table`'s columns, one for each cell of a row. A cell that its column cannot
    /// hold is [`StoreError::Cell`] with table, row key and column.
    ///
    /// # Errors
    /// [`StoreError`].
    fn apply(&mut self, table: &Table, order: &[usize], rows: &Rows<'_>) -> Result<Applied, StoreError>;

    /// Stores the LSN that a table's rows have reached.
    ///
    /// # Errors
    /// [`StoreError`].
    fn set_lsn(&mut self, table: &str, lsn: i64) -> Result<(), StoreError>;

    /// Whether the table has a row; with `null_in`, a position in its columns, whether a row has NULL there. What can be
    /// done in place hangs on it.
    ///
    /// # Errors
    /// [`StoreError`].
    fn has_row(&mut self, table: &Table, null_in: Option<usize>) -> Result<bool, StoreError>;

    /// Runs a partner's own statements inside the call's transaction, which they can neither commit nor roll back.
    ///
    /// # Errors
    /// [`StoreError`].
    fn run_script(&mut self, sql: &str) -> Result<(), StoreError>;

    /// Keeps everything.
    ///
    /// # Errors
    /// [`StoreError`]; nothing is kept then.
    fn commit(self: Box<Self>) -> Result<(), StoreError>;
}

/// Why a store refused. Displayed, it is the text for the caller; `source` is for the log.
#[derive(Debug, thiserror::Error)]
pub enum StoreError {
    /// The mirror cannot be opened or provisioned.
    #[error("the mirror {mirror} cannot be opened: {why}")]
    Open {
        /// File, or server and database.
        mirror: String,
        /// What is wrong, in plain words, without secrets.
        why: String,
    },
    /// Asked about a mirror that was never made.
    #[error("there is no mirror {mirror}")]
    NoMirror {
        /// File, or server and database.
        mirror: String,
    },
    /// A database without this tenant's metadata.
    #[error("{mirror} has no table `{metadata}`; {found}")]
    NoMetadata {
        /// File, or server and database.
        mirror: String,
        /// `<context>_mirroring`.
        metadata: String,
        /// Whose metadata it has instead, in plain words.
        found: String,
    },
    /// A table that the metadata does not list.
    #[error("`{table}` is not among the {count} tables of `{metadata}` in {mirror}")]
    NotInMetadata {
        /// The table.
        table: String,
        /// How many are listed.
        count: usize,
        /// `<context>_mirroring`.
        metadata: String,
        /// File, or server and database.
        mirror: String,
    },
    /// Another call holds the mirror for too long.
    #[error("the mirror {mirror} is busy: another call or program holds it")]
    Busy {
        /// File, or server and database.
        mirror: String,
    },
    /// A table of this name is there, and the server did not make it.
    #[error(
        "the mirror {mirror} already has a table `{table}` that this server did not make; rename or drop it by hand, it is never touched"
    )]
    ForeignTable {
        /// File, or server and database.
        mirror: String,
        /// The table.
        table: String,
    },
    /// A row names a table that TableSchema never brought.
    #[error("table `{0}` is not in the mirror; send TableSchema first")]
    UnknownTable(String),
    /// A cell that its column cannot hold.
    #[error("table `{table}`, row with key {key}, column `{column}`: {why}")]
    Cell {
        /// The table.
        table: String,
        /// The row's key, shortened.
        key: String,
        /// The column.
        column: String,
        /// What is wrong with it.
        why: String,
    },
    /// A row that is wrong as a whole: its number of cells, its operation.
    #[error("table `{table}`, row {number} of the batch: {why}")]
    Row {
        /// The table.
        table: String,
        /// Counted from 1.
        number: usize,
        /// What is wrong with it.
        why: String,
    },
    /// The database said no, for a reason that passes: a deadlock, a server that is moved. The same call may go through.
    #[error("the mirror {mirror} refused to {doing}: {why}")]
    Passing {
        /// Server and database.
        mirror: String,
        /// What was being done: `write to table contact`.
        doing: String,
        /// The engine's words, explained where they can be.
        why: String,
    },
    /// The database said no.
    #[error("the mirror {mirror} refused to {doing}: {why}")]
    Engine {
        /// File, or server and database.
        mirror: String,
        /// What was being done: `create table contact`.
        doing: String,
        /// The engine's words, explained where they can be.
        why: String,
    },
}
