//! Sources on SQL Server: one database per tenant.
//!
//! - `tracking`: the engine's own change tracking; where an engine has none, triggers in its place
//! - `shape`: what tables there are, and how they were written when they were made
//! - `change`: rows in, rows changed, rows gone
//! - `snapshot`: one moment, by snapshot isolation
//! - `words`: what scenarios say otherwise than T-SQL does
//! - `backup`: BACKUP and RESTORE; where an engine has none, the tables copied
//!
//! What an engine has is found out when a source is opened ([`Means`]), and a run's report says it. On SQL Server itself
//! everything is the engine's own. Its change tracking forgets by the server's clock, which nobody moves: see
//! [`Means::retention`].

mod backup;
mod change;
mod shape;
mod snapshot;
pub mod tracking;
mod words;

use std::collections::BTreeSet;
use std::sync::Arc;

use mirrorlab_engines::mssql::{
    Capabilities, Connection, Kind, MssqlError, Server, alter, ddl, quote, retry,
};
use mirrorlab_protocol::names::same_name;
use mirrorlab_protocol::schema::Table;
use mirrorlab_protocol::value::Value;

use super::{Change, Snapshot, Source, SourceError};
use tracking::Tracking;

/// How often something is done anew that failed for a reason that passes.
const RETRIES: u32 = 5;

/// By what means sources on an engine do what SuperOffice's database does.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Means {
    /// The engine's own change tracking; else triggers.
    pub own_tracking: bool,
    /// BACKUP and RESTORE; else the tables are copied.
    pub own_backup: bool,
}

impl Means {
    /// Those of an engine.
    pub fn of(capabilities: &Capabilities) -> Means {
        Means {
            own_tracking: capabilities.change_tracking,
            own_backup: capabilities.backup,
        }
    }

    /// Whether the clean-up follows the source's clock. The engine's own follows the server's.
    pub fn retention(self) -> bool {
        !self.own_tracking
    }

    /// Why sources cannot be backed up and brought back; `None` where they can.
    pub fn no_backup(self) -> Option<&'static str> {
        (self.own_tracking && !self.own_backup).then_some(
            "the engine has change tracking of its own and no BACKUP: its counter could not be brought back",
        )
    }

    /// In words, for reports.
    pub fn describe(self) -> &'static str {
        match (self.own_tracking, self.own_backup) {
            (true, true) => "the engine's own change tracking, BACKUP and RESTORE",
            (true, false) => "the engine's own change tracking; it has no BACKUP",
            (false, true) => {
                "changes tracked by triggers, for the engine has no change tracking; BACKUP and RESTORE"
            }
            (false, false) => {
                "changes tracked by triggers and tables copied, for the engine has neither change tracking nor BACKUP"
            }
        }
    }
}

/// A tenant's database on a SQL Server.
pub struct MssqlSource {
    /// Server and database, as error texts name them.
    name: String,
    server: Arc<Server>,
    database: String,
    connection: Connection,
    capabilities: Arc<Capabilities>,
    tracking: Tracking,
    /// The source's own clock, in seconds since 1970 UTC.
    now: i64,
    shapes: shape::Shapes,
    /// Backups made here.
    backups: BTreeSet<String>,
}

/// What goes wrong inside, before database and doing are known.
#[derive(Debug)]
enum Trouble {
    Sql(MssqlError),
    Said(String),
}

impl From<MssqlError> for Trouble {
    fn from(error: MssqlError) -> Trouble {
        Trouble::Sql(error)
    }
}

impl From<String> for Trouble {
    fn from(text: String) -> Trouble {
        Trouble::Said(text)
    }
}

impl Trouble {
    fn text(&self) -> String {
        match self {
            Trouble::Sql(error) => error.why(),
            Trouble::Said(text) => text.clone(),
        }
    }
}

impl MssqlSource {
    /// Opens the source in `database`, made with its tracking at version 1 if it is missing. The same database may be
    /// opened several times: one writes while another's snapshot is read.
    ///
    /// # Errors
    /// [`SourceError`] where it cannot be made or entered.
    pub fn open(server: &Arc<Server>, database: &str) -> Result<MssqlSource, SourceError> {
        let name = server.shown(database);
        let failed = |trouble: Trouble| SourceError {
            source_name: name.clone(),
            doing: "open it".into(),
            why: trouble.text(),
        };
        let open = || -> Result<_, Trouble> {
            let capabilities = server.capabilities()?;
            server.create_database(database)?;
            let tracking = Tracking::of(Means::of(&capabilities));
            let mut connection = connect(server, database)?;
            // A database that is a source already is not written to: it may be open elsewhere.
            if !tracking::is_there(&mut connection)? {
                tracking.create(&mut connection, database)?;
            }
            let now = tracking::last_commit_time(&mut connection)?;
            Ok((capabilities, tracking, connection, now))
        };
        let (capabilities, tracking, connection, now) = open().map_err(failed)?;
        Ok(MssqlSource {
            name: name.clone(),
            server: Arc::clone(server),
            database: database.to_owned(),
            connection,
            capabilities,
            tracking,
            now: now.unwrap_or(0),
            shapes: shape::Shapes::default(),
            backups: BTreeSet::new(),
        })
    }

    fn error(&self, doing: impl Into<String>, trouble: Trouble) -> SourceError {
        SourceError {
            source_name: self.name.clone(),
            doing: doing.into(),
            why: trouble.text(),
        }
    }

    /// A connection that broke is opened anew before anything else is done.
    fn ready(&mut self) -> Result<(), Trouble> {
        if self.connection.is_broken() {
            self.connection = connect(&self.server, &self.database)?;
        }
        Ok(())
    }

    /// Runs `work` as one transaction. Whatever it changed in tracked tables becomes one version. What fails for a reason
    /// that passes is done anew: its transaction has left nothing behind.
    fn write<T>(
        &mut self,
        doing: &str,
        mut work: impl FnMut(&mut MssqlSource) -> Result<T, Trouble>,
    ) -> Result<T, SourceError> {
        let mut attempt = 1;
        loop {
            let done = self.write_once(&mut work);
            if done.is_err() {
                self.roll_back();
            }
            match done {
                Err(Trouble::Sql(error)) if error.kind.may_pass() && attempt <= RETRIES => {
                    std::thread::sleep(retry::pause(attempt));
                    attempt += 1;
                }
                done => return done.map_err(|trouble| self.error(doing, trouble)),
            }
        }
    }

    fn write_once<T>(
        &mut self,
        work: &mut impl FnMut(&mut MssqlSource) -> Result<T, Trouble>,
    ) -> Result<T, Trouble> {
        self.ready()?;
        let (tracking, now) = (self.tracking, self.now);
        self.connection
            .batch(&format!("BEGIN TRANSACTION; {}", tracking.seal(now)))?;
        let done = work(self)?;
        self.connection
            .batch(&format!("{}COMMIT TRANSACTION", tracking.seal(now)))?;
        Ok(done)
    }

    fn roll_back(&mut self) {
        self.shapes.forget();
        if !self.connection.is_broken()
            && self
                .connection
                .batch("IF @@TRANCOUNT > 0 ROLLBACK TRANSACTION")
                .is_err()
        {
            self.connection.break_off();
        }
    }

    /// Gives what another program wrote a version, so that readers see it; the version then.
    fn seal(&mut self, doing: &str) -> Result<i64, SourceError> {
        let tracking = self.tracking;
        let read = |source: &mut MssqlSource| -> Result<(i64, bool), Trouble> {
            source.ready()?;
            Ok(tracking.version(&mut source.connection)?)
        };
        match read(self) {
            Ok((version, false)) => Ok(version),
            Ok((_, true)) => {
                self.write(doing, |_| Ok(()))?;
                read(self)
                    .map(|(version, _)| version)
                    .map_err(|t| self.error(doing, t))
            }
            Err(trouble) => Err(self.error(doing, trouble)),
        }
    }

    fn shapes(&mut self, doing: &str) -> Result<Arc<Vec<Table>>, SourceError> {
        let mut attempt = 1;
        loop {
            let read = self
                .ready()
                .and_then(|()| self.shapes.tables(&mut self.connection));
            match read {
                // Outside any transaction, reading anew is as good.
                Err(Trouble::Sql(error)) if error.kind == Kind::Transient && attempt <= RETRIES => {
                    std::thread::sleep(retry::pause(attempt));
                    attempt += 1;
                }
                read => return read.map_err(|trouble| self.error(doing, trouble)),
            }
        }
    }

    /// The table of that name, as it was made.
    fn find(&mut self, table: &str, doing: &str) -> Result<Table, SourceError> {
        let tables = self.shapes(doing)?;
        match tables.iter().find(|t| same_name(&t.name, table)) {
            Some(found) => Ok(found.clone()),
            None => Err(self.error(doing, shape::missing(table))),
        }
    }

    fn altered(&mut self, old: &Table, new: &Table) -> Result<(), Trouble> {
        // The table keeps the name it was made with.
        let new = Table {
            name: old.name.clone(),
            columns: new.columns.clone(),
        };
        new.check().map_err(|error| Trouble::Said(error.to_string()))?;
        let (was, is) = (old.key(), new.key());
        if !same_name(&was.name, &is.name) || was.ty != is.ty {
            return Err(Trouble::Said(format!(
                "its primary key `{}` cannot be changed in place; drop the table and make it anew",
                was.name
            )));
        }
        let known = self.tracking.tracked(&mut self.connection, &old.name)?;
        alter::alter(&mut self.connection, &self.capabilities, old, &new)?;
        if let Some(known) = known {
            self.tracking.resume(&mut self.connection, &new, &known)?;
        }
        Ok(shape::keep(&mut self.connection, &new)?)
    }
}

fn connect(server: &Server, database: &str) -> Result<Connection, MssqlError> {
    let mut connection = server.open(database)?;
    // What a person's own program would have to have for its triggers and defaults, and an error ends a transaction.
    connection.batch("SET XACT_ABORT ON; SET NOCOUNT ON")?;
    Ok(connection)
}

impl Source for MssqlSource {
    fn tables(&mut self) -> Result<Vec<Table>, SourceError> {
        Ok(self.shapes("list its tables")?.as_ref().clone())
    }

    fn create_table(&mut self, table: &Table) -> Result<(), SourceError> {
        let doing = format!("create table `{}`", table.name);
        let tables = self.shapes(&doing)?;
        let refused = match table.check() {
            Err(error) => Some(error.to_string()),
            Ok(()) if tracking::is_own(&table.name) => Some(format!(
                "names that begin with `{}` belong to change tracking",
                tracking::PREFIX
            )),
            Ok(()) if tables.iter().any(|t| same_name(&t.name, &table.name)) => {
                Some("it is there already".into())
            }
            Ok(()) => None,
        };
        if let Some(why) = refused {
            return Err(self.error(doing, why.into()));
        }
        self.write(&doing, |source| {
            source.connection.batch(&ddl::create_table(table))?;
            Ok(shape::keep(&mut source.connection, table)?)
        })
    }

    fn alter_table(&mut self, new: &Table) -> Result<(), SourceError> {
        let doing = format!("alter table `{}`", new.name);
        let old = self.find(&new.name, &doing)?;
        self.write(&doing, |source| source.altered(&old, new))
    }

    fn drop_table(&mut self, table: &str) -> Result<(), SourceError> {
        let doing = format!("drop table `{table}`");
        let found = self.find(table, &doing)?;
        self.write(&doing, |source| {
            if let Some(known) = source.tracking.tracked(&mut source.connection, &found.name)? {
                source
                    .tracking
                    .stop(&mut source.connection, &found.name, &known)?;
            }
            source
                .connection
                .batch(&format!("DROP TABLE {}", quote(&found.name)))?;
            Ok(shape::forget(&mut source.connection, &found.name)?)
        })
    }

    fn truncate(&mut self, table: &str) -> Result<(), SourceError> {
        let doing = format!("truncate table `{table}`");
        let found = self.find(table, &doing)?;
        let now = self.now;
        self.write(&doing, |source| {
            let known = source.tracking.tracked(&mut source.connection, &found.name)?;
            // Above every version given out before, before the minimum is taken from it.
            if let Some(known) = &known {
                source.tracking.begin_anew(&mut source.connection, known, now)?;
            }
            Ok(source
                .connection
                .batch(&format!("TRUNCATE TABLE {}", quote(&found.name)))?)
        })
    }

    fn transact(&mut self, changes: &[(&str, Change)]) -> Result<(), SourceError> {
        let doing = "change its rows";
        let tables = self.shapes(doing)?;
        let statements =
            change::statements(&tables, changes).map_err(|trouble| self.error(doing, trouble))?;
        self.write(doing, |source| {
            for statement in &statements {
                source.connection.results(&statement.sql, &statement.params)?;
            }
            Ok(())
        })
    }

    fn execute(&mut self, sql: &str) -> Result<(), SourceError> {
        let doing = "run a statement";
        let before = self.shapes(doing)?;
        if sql.to_ascii_lowercase().contains(tracking::PREFIX) {
            let why = format!(
                "what begins with `{}` belongs to change tracking",
                tracking::PREFIX
            );
            return Err(self.error(doing, why.into()));
        }
        let database = self.database.clone();
        let said = words::in_t_sql(sql);
        self.write(doing, |source| {
            // One level deeper: a COMMIT in it commits nothing, and either is seen by the count.
            source.connection.batch("BEGIN TRANSACTION")?;
            source.connection.batch(&said.sql)?;
            let state = source.connection.row("SELECT @@TRANCOUNT, DB_NAME()", &[])?;
            let stays = state.is_some_and(|row| {
                row.integer(0) == Some(2) && row.text(1).is_some_and(|name| same_name(name, &database))
            });
            if !stays {
                source.connection.break_off();
                return Err(Trouble::Said(
                    "BEGIN, COMMIT, ROLLBACK and USE are not for a script: all of it is one transaction"
                        .into(),
                ));
            }
            source.connection.batch("COMMIT TRANSACTION")?;
            // Also where the tables look as before: one may have been dropped and made anew.
            source.tracking.follow_tables(&mut source.connection)?;
            for rename in &said.renames {
                shape::renamed(&mut source.connection, rename)?;
            }
            let after = shape::described(&mut source.connection)?;
            if shape::declares_same(&before, &after) {
                return Ok(());
            }
            shape::keep_changed(&mut source.connection, &before, &after)
        })
    }

    fn count(&mut self, table: &str) -> Result<u64, SourceError> {
        let doing = format!("count the rows of `{table}`");
        let found = self.find(table, &doing)?;
        snapshot::count(&mut self.connection, &found).map_err(|trouble| self.error(doing, trouble))
    }

    fn keys(&mut self, table: &str, offset: u64, limit: u64) -> Result<Vec<Value<'static>>, SourceError> {
        let doing = format!("list the keys of `{table}`");
        let found = self.find(table, &doing)?;
        snapshot::keys(&mut self.connection, &found, offset, limit)
            .map_err(|trouble| self.error(doing, trouble))
    }

    fn is_tracked(&mut self, table: &str) -> Result<bool, SourceError> {
        Ok(self.min_valid_version(table)?.is_some())
    }

    fn set_tracking(&mut self, table: &str, on: bool) -> Result<(), SourceError> {
        let doing = format!("switch tracking of `{table}` {}", if on { "on" } else { "off" });
        let found = self.find(table, &doing)?;
        let now = self.now;
        self.write(&doing, |source| {
            let tracking = source.tracking;
            let connection = &mut source.connection;
            match tracking.tracked(connection, &found.name)? {
                Some(known) if !on => tracking.stop(connection, &found.name, &known)?,
                None if on => tracking.start(connection, &found, now)?,
                _ => {}
            }
            Ok(())
        })
    }

    fn current_version(&mut self) -> Result<i64, SourceError> {
        self.seal("read its version")
    }

    fn min_valid_version(&mut self, table: &str) -> Result<Option<i64>, SourceError> {
        let doing = format!("read the tracking of `{table}`");
        let found = self.find(table, &doing)?;
        match self.tracking.tracked(&mut self.connection, &found.name) {
            Ok(known) => Ok(known.map(|known| known.min_valid)),
            Err(error) => Err(self.error(doing, error.into())),
        }
    }

    fn set_now(&mut self, now: i64) -> Result<(), SourceError> {
        self.now = now;
        Ok(())
    }

    fn clean_up(&mut self, retention_seconds: i64) -> Result<(), SourceError> {
        let doing = "clean up its change tracking";
        let tracking = self.tracking;
        let before = self.now.saturating_sub(retention_seconds);
        let due = |source: &mut MssqlSource| -> Result<Option<i64>, Trouble> {
            source.ready()?;
            Ok(tracking.forgettable(&mut source.connection, before)?)
        };
        match due(self).map_err(|trouble| self.error(doing, trouble))? {
            None => Ok(()),
            Some(highest) => self.write(doing, |source| {
                Ok(tracking.clean_up(&mut source.connection, highest)?)
            }),
        }
    }

    fn snapshot(&mut self) -> Result<Box<dyn Snapshot + '_>, SourceError> {
        let doing = "take a snapshot";
        self.seal(doing)?;
        snapshot::begin(self, doing).map(|snapshot| Box::new(snapshot) as Box<dyn Snapshot + '_>)
    }

    fn backup(&mut self, name: &str) -> Result<(), SourceError> {
        let doing = format!("back up as `{name}`");
        self.seal(&doing)?;
        self.back_up(name, &doing)?;
        self.backups.insert(name.to_owned());
        Ok(())
    }

    fn restore(&mut self, name: &str) -> Result<(), SourceError> {
        let doing = format!("restore the backup `{name}`");
        if !self.backups.contains(name) {
            return Err(self.error(doing, Trouble::Said("there is no backup of that name".into())));
        }
        self.bring_back(name, &doing)
    }
}
