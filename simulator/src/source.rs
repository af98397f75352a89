//! A tenant's SuperOffice database: tables, rows, and SQL Server's change tracking.
//!
//! The traits speak of what the mirroring task and a scenario need of a source. Tracking
//! lives inside the database, so that a backup holds it and a restore brings the old counter back.
//!
//! - [`sqlite`]: the embedded source, one SQLite file per tenant
//! - [`mssql`]: sources on SQL Server, one database per tenant
//! - `testing`: what every source must do, as test bodies (feature `testing`)

pub mod mssql;
pub mod sqlite;
#[cfg(any(test, feature = "testing"))]
pub mod testing;

use mirrorlab_protocol::message::RowOperation;
use mirrorlab_protocol::schema::Table;
use mirrorlab_protocol::value::Value;

/// Stop or go on, as the receiver of a stream of rows says.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Flow {
    /// The next row, please.
    Continue,
    /// No more rows are wanted.
    Stop,
}

/// What a change does to a row.
#[derive(Debug, Clone, PartialEq)]
pub enum Change {
    /// A new row: all values, in column order.
    Insert(Vec<Value<'static>>),
    /// Some columns of the row with this key: (position, value). The key's own position may be among them.
    Update(Value<'static>, Vec<(usize, Value<'static>)>),
    /// The row with this key is gone.
    Delete(Value<'static>),
}

/// A source that could not do what was asked. Displayed, it is for people; it names the tenant's database.
#[derive(Debug, thiserror::Error)]
#[error("source {source_name}: cannot {doing}: {why}")]
pub struct SourceError {
    /// File, or server and database.
    pub source_name: String,
    /// What was being done.
    pub doing: String,
    /// What was wrong.
    pub why: String,
}

/// Receives rows one by one.
pub type RowSink<'f> = dyn FnMut(&[Value<'_>]) -> Result<Flow, SourceError> + 'f;
/// Receives net changes one by one. A D has the key and NULL elsewhere.
pub type ChangeSink<'f> = dyn FnMut(&RowOperation, &[Value<'_>]) -> Result<Flow, SourceError> + 'f;

/// A tenant's SuperOffice database.
pub trait Source: Send {
    /// Every table, blocked ones too, in name order, each with its key as the first column.
    ///
    /// # Errors
    /// [`SourceError`], as everywhere here.
    fn tables(&mut self) -> Result<Vec<Table>, SourceError>;

    /// Makes a table; changes are not tracked until that is switched on.
    fn create_table(&mut self, table: &Table) -> Result<(), SourceError>;
    /// Changes a table's columns in place, as `ALTER TABLE` would. Not tracked, as in SQL Server.
    fn alter_table(&mut self, new: &Table) -> Result<(), SourceError>;
    /// Drops a table and its tracking.
    fn drop_table(&mut self, table: &str) -> Result<(), SourceError>;
    /// Empties a table. Its minimum valid version moves above every version given out before.
    fn truncate(&mut self, table: &str) -> Result<(), SourceError>;

    /// One transaction of changes to one or several tables; the version goes up by one if a tracked table was touched.
    fn transact(&mut self, changes: &[(&str, Change)]) -> Result<(), SourceError>;
    /// A person's SQL in one transaction, tracked like any other.
    fn execute(&mut self, sql: &str) -> Result<(), SourceError>;
    /// How many rows a table has.
    fn count(&mut self, table: &str) -> Result<u64, SourceError>;
    /// The keys of a table, in key order, `limit` of them from the `offset`-th on.
    fn keys(&mut self, table: &str, offset: u64, limit: u64) -> Result<Vec<Value<'static>>, SourceError>;

    /// Whether changes of a table are tracked.
    fn is_tracked(&mut self, table: &str) -> Result<bool, SourceError>;
    /// Switches tracking on or off. Switched on, the minimum valid version is above every version given out before.
    fn set_tracking(&mut self, table: &str, on: bool) -> Result<(), SourceError>;
    /// `CHANGE_TRACKING_CURRENT_VERSION()`.
    fn current_version(&mut self) -> Result<i64, SourceError>;
    /// `CHANGE_TRACKING_MIN_VALID_VERSION(table)`; `None` for a table that is not tracked.
    fn min_valid_version(&mut self, table: &str) -> Result<Option<i64>, SourceError>;
    /// Tells the source the time of its own clock, in seconds since 1970 UTC; commits are dated with it.
    fn set_now(&mut self, now: i64) -> Result<(), SourceError>;
    /// The clean-up: forgets changes older than `retention_seconds` (7 days), and moves every table's minimum valid
    /// version up, quiet tables' too.
    fn clean_up(&mut self, retention_seconds: i64) -> Result<(), SourceError>;

    /// A consistent view of everything as it is now: what a cycle reads is one moment.
    fn snapshot(&mut self) -> Result<Box<dyn Snapshot + '_>, SourceError>;

    /// Keeps a backup under a name, in place of an older one of that name.
    fn backup(&mut self, name: &str) -> Result<(), SourceError>;
    /// Brings a backup back, its version counter too.
    fn restore(&mut self, name: &str) -> Result<(), SourceError>;
}

/// One moment of a source.
pub trait Snapshot {
    /// The change tracking version of this moment.
    fn version(&self) -> i64;
    /// Every row of a table, in key order, values in column order.
    ///
    /// # Errors
    /// [`SourceError`], the sink's too.
    fn rows(&mut self, table: &Table, sink: &mut RowSink<'_>) -> Result<(), SourceError>;
    /// `CHANGETABLE(CHANGES table, since)`: the net changes after version `since`, each with the row as it is now.
    ///
    /// # Errors
    /// [`SourceError`], the sink's too.
    fn changes(&mut self, table: &Table, since: i64, sink: &mut ChangeSink<'_>) -> Result<(), SourceError>;
}
