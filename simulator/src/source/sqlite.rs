//! The embedded source: one SQLite file per tenant, its columns declared with SQL Server's types.
//!
//! - [`tracking`]: change tracking inside the database, by triggers, as SQL Server reports it
//! - `shape`: what tables there are, remembered while their declarations stay the same
//! - [`check`]: whether a value is one that SQL Server would keep in a column
//! - `change`: rows in, rows changed, rows gone
//! - `alter`: tables made, changed and dropped
//! - `script`: a person's SQL
//! - `snapshot`: one moment, read while writers go on
//! - `backup`: copies beside the file, and back
//!
//! Every write is one transaction of this module's own, opened as a writer from the start: it numbers its changes with
//! the counter's next version and moves the counter in the same commit. What another program wrote into the file in
//! between was recorded by the same triggers and is given a version of its own first.

mod alter;
mod backup;
mod change;
pub mod check;
mod script;
mod shape;
mod snapshot;
pub mod tracking;

#[cfg(test)]
mod model;
#[cfg(test)]
mod tests;

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use mirrorlab_engines::sqlite::{self as engine, Durability, explain};
use mirrorlab_protocol::names::same_name;
use mirrorlab_protocol::schema::Table;
use mirrorlab_protocol::value::Value;
use rusqlite::{Connection, TransactionBehavior};

use super::{Change, Snapshot, Source, SourceError};

/// How long a writer waits for another program that writes to the same file.
const BUSY_WAIT: Duration = Duration::from_secs(30);
/// Where a new source's counter starts unless said: 0 is what an untouched database has, and what a batch carries that
/// has no LSN.
pub const FIRST_VERSION: i64 = 1;

/// A tenant's database in a SQLite file.
pub struct SqliteSource {
    /// The file, as error texts name it.
    name: String,
    path: PathBuf,
    connection: Connection,
    /// The source's own clock, in seconds since 1970 UTC.
    now: i64,
    shapes: shape::Shapes,
}

/// What goes wrong inside, before file and doing are known.
#[derive(Debug)]
enum Trouble {
    Sql(rusqlite::Error),
    Said(String),
}

impl From<rusqlite::Error> for Trouble {
    fn from(error: rusqlite::Error) -> Trouble {
        Trouble::Sql(error)
    }
}

impl From<String> for Trouble {
    fn from(text: String) -> Trouble {
        Trouble::Said(text)
    }
}

impl SqliteSource {
    /// Opens the source in the file `path`, made with its tracking at [`FIRST_VERSION`] if it is missing. The same file
    /// may be opened several times: one writes while another's snapshot is read.
    ///
    /// # Errors
    /// [`SourceError`] where the file cannot be opened or is no source.
    pub fn open(path: &Path, durability: Durability) -> Result<SqliteSource, SourceError> {
        SqliteSource::open_from(path, durability, FIRST_VERSION)
    }

    /// As [`SqliteSource::open`], a missing source made with its counter at `first_version`.
    ///
    /// For a source that is made anew for a mirror that may be there already. Its counter would soon stand where the mirror's
    /// LSNs stand, and none of its rows would be sent: a restored original, camouflaged. Started above every version that a
    /// source of this tenant ever gave out, all of the mirror's LSNs are below its tables' minimum, and everything is sent.
    ///
    /// # Errors
    /// [`SourceError`] where the file cannot be opened or is no source.
    pub fn open_from(
        path: &Path,
        durability: Durability,
        first_version: i64,
    ) -> Result<SqliteSource, SourceError> {
        let name = path.display().to_string();
        let failed = |why: String| SourceError {
            source_name: name.clone(),
            doing: "open it".into(),
            why,
        };
        let connection = engine::open(path, true, durability, BUSY_WAIT)
            .map_err(|error| failed(explain(&error.source)))?;
        let mut source = SqliteSource {
            name: name.clone(),
            path: path.to_owned(),
            connection,
            now: 0,
            shapes: shape::Shapes::default(),
        };
        // A file that is a source already is not written to: it may be open elsewhere.
        if !tracking::is_there(&source.connection).map_err(|error| failed(explain(&error)))? {
            source.write_unsealed("open it", |connection, _| {
                Ok(tracking::create(connection, first_version)?)
            })?;
        }
        source.now = tracking::last_commit_time(&source.connection)
            .map_err(|error| failed(explain(&error)))?
            .unwrap_or(0);
        Ok(source)
    }

    /// The database file. Backups stand beside it.
    pub fn path(&self) -> &Path {
        &self.path
    }

    fn error(&self, doing: impl Into<String>, trouble: Trouble) -> SourceError {
        SourceError {
            source_name: self.name.clone(),
            doing: doing.into(),
            why: match trouble {
                Trouble::Sql(error) => explain(&error),
                Trouble::Said(text) => text,
            },
        }
    }

    /// Runs `work` as one transaction of a writer. Whatever it changed in tracked tables becomes one version.
    fn write<T>(
        &mut self,
        doing: &str,
        work: impl FnOnce(&Connection, i64) -> Result<T, Trouble>,
    ) -> Result<T, SourceError> {
        self.write_unsealed(doing, |connection, now| {
            tracking::seal(connection, now)?;
            let out = work(connection, now)?;
            tracking::seal(connection, now)?;
            Ok(out)
        })
    }

    /// As [`SqliteSource::write`], for work that makes and drops triggers alone: what is known of the tables stays known.
    fn write_triggers(
        &mut self,
        doing: &str,
        work: impl FnOnce(&Connection, i64) -> Result<(), Trouble>,
    ) -> Result<(), SourceError> {
        let shapes = std::mem::take(&mut self.shapes);
        let done = self.write(doing, |connection, now| {
            let known = shapes.is_current(connection)?;
            work(connection, now)?;
            Ok(known.then_some(shape::number(connection)?))
        });
        self.shapes = shapes;
        if let Some(number) = done? {
            self.shapes.still(number);
        }
        Ok(())
    }

    fn write_unsealed<T>(
        &mut self,
        doing: &str,
        work: impl FnOnce(&Connection, i64) -> Result<T, Trouble>,
    ) -> Result<T, SourceError> {
        let now = self.now;
        let result = self
            .connection
            .transaction_with_behavior(TransactionBehavior::Immediate)
            .map_err(Trouble::from)
            .and_then(|transaction| {
                let out = work(&transaction, now)?;
                transaction.commit()?;
                Ok(out)
            });
        result.map_err(|trouble| self.error(doing, trouble))
    }

    /// Gives what another program wrote a version, so that readers see it.
    fn seal(&mut self, doing: &str) -> Result<(), SourceError> {
        match tracking::has_unsealed(&self.connection) {
            Ok(false) => Ok(()),
            Ok(true) => self.write(doing, |_, _| Ok(())),
            Err(error) => Err(self.error(doing, error.into())),
        }
    }

    fn shapes(&mut self, doing: &str) -> Result<Arc<Vec<Table>>, SourceError> {
        let tables = self.shapes.tables(&self.connection);
        tables.map_err(|trouble| self.error(doing, trouble))
    }

    /// The table of that name, as it is declared.
    fn find(&mut self, table: &str, doing: &str) -> Result<Table, SourceError> {
        let tables = self.shapes(doing)?;
        match tables.iter().find(|t| same_name(&t.name, table)) {
            Some(found) => Ok(found.clone()),
            None => Err(self.error(doing, shape::missing(table))),
        }
    }
}

impl Source for SqliteSource {
    fn tables(&mut self) -> Result<Vec<Table>, SourceError> {
        Ok(self.shapes("list its tables")?.as_ref().clone())
    }

    fn create_table(&mut self, table: &Table) -> Result<(), SourceError> {
        let doing = format!("create table `{}`", table.name);
        self.write(&doing, |connection, _| alter::create(connection, table))
    }

    fn alter_table(&mut self, new: &Table) -> Result<(), SourceError> {
        let doing = format!("alter table `{}`", new.name);
        let old = self.find(&new.name, &doing)?;
        self.write(&doing, |connection, _| alter::alter(connection, &old, new))
    }

    fn drop_table(&mut self, table: &str) -> Result<(), SourceError> {
        let doing = format!("drop table `{table}`");
        let found = self.find(table, &doing)?;
        self.write(&doing, |connection, _| alter::drop(connection, &found.name))
    }

    fn truncate(&mut self, table: &str) -> Result<(), SourceError> {
        let doing = format!("truncate table `{table}`");
        let found = self.find(table, &doing)?;
        self.write_triggers(&doing, |connection, now| {
            Ok(tracking::truncate(connection, &found, now)?)
        })
    }

    fn transact(&mut self, changes: &[(&str, Change)]) -> Result<(), SourceError> {
        let doing = "change its rows";
        let tables = self.shapes(doing)?;
        self.write(doing, |connection, _| change::apply(connection, &tables, changes))
    }

    fn execute(&mut self, sql: &str) -> Result<(), SourceError> {
        let doing = "run a statement";
        let before = self.shapes(doing)?;
        let guard = script::Guard::default();
        guard
            .set(&mut self.connection)
            .map_err(|error| self.error(doing, error.into()))?;
        let result = self.write(doing, |connection, _| {
            script::run(connection, &before, sql, &guard)
        });
        let lifted = script::Guard::lift(&mut self.connection);
        result?;
        lifted.map_err(|error| self.error(doing, error.into()))
    }

    fn count(&mut self, table: &str) -> Result<u64, SourceError> {
        let doing = format!("count the rows of `{table}`");
        let found = self.find(table, &doing)?;
        snapshot::count(&self.connection, &found).map_err(|trouble| self.error(doing, trouble))
    }

    fn keys(&mut self, table: &str, offset: u64, limit: u64) -> Result<Vec<Value<'static>>, SourceError> {
        let doing = format!("list the keys of `{table}`");
        let found = self.find(table, &doing)?;
        snapshot::keys(&self.connection, &found, offset, limit).map_err(|trouble| self.error(doing, trouble))
    }

    fn is_tracked(&mut self, table: &str) -> Result<bool, SourceError> {
        Ok(self.min_valid_version(table)?.is_some())
    }

    fn set_tracking(&mut self, table: &str, on: bool) -> Result<(), SourceError> {
        let doing = format!("switch tracking of `{table}` {}", if on { "on" } else { "off" });
        let found = self.find(table, &doing)?;
        self.write_triggers(&doing, |connection, now| {
            match tracking::tracked(connection, &found.name)? {
                Some(known) if !on => tracking::forget(connection, known.id)?,
                None if on => tracking::start(connection, &found, now)?,
                _ => {}
            }
            Ok(())
        })
    }

    fn current_version(&mut self) -> Result<i64, SourceError> {
        let doing = "read its version";
        self.seal(doing)?;
        tracking::version(&self.connection).map_err(|error| self.error(doing, error.into()))
    }

    fn min_valid_version(&mut self, table: &str) -> Result<Option<i64>, SourceError> {
        let doing = format!("read the tracking of `{table}`");
        let found = self.find(table, &doing)?;
        match tracking::tracked(&self.connection, &found.name) {
            Ok(known) => Ok(known.map(|known| known.min_valid)),
            Err(error) => Err(self.error(doing, error.into())),
        }
    }

    fn set_now(&mut self, now: i64) -> Result<(), SourceError> {
        self.now = now;
        Ok(())
    }

    fn clean_up(&mut self, retention_seconds: i64) -> Result<(), SourceError> {
        self.write("clean up its change tracking", |connection, now| {
            Ok(tracking::clean_up(
                connection,
                now.saturating_sub(retention_seconds),
            )?)
        })
    }

    fn snapshot(&mut self) -> Result<Box<dyn Snapshot + '_>, SourceError> {
        let doing = "take a snapshot";
        self.seal(doing)?;
        match snapshot::begin(&self.name, &self.connection) {
            Ok(snapshot) => Ok(Box::new(snapshot)),
            Err(error) => Err(self.error(doing, error.into())),
        }
    }

    fn backup(&mut self, name: &str) -> Result<(), SourceError> {
        let doing = format!("back up as `{name}`");
        self.seal(&doing)?;
        backup::backup(&self.connection, &self.path, name).map_err(|trouble| self.error(doing, trouble))
    }

    fn restore(&mut self, name: &str) -> Result<(), SourceError> {
        let doing = format!("restore the backup `{name}`");
        backup::restore(&mut self.connection, &self.path, name).map_err(|trouble| self.error(doing, trouble))
    }
}
