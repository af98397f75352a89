//! Mirrors on a SQL Server, a database for each tenant of each world.

use std::collections::HashMap;
use std::ffi::OsString;
use std::path::Path;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use mirrorlab_engines::mssql::backup::{self, safe_name};
use mirrorlab_engines::mssql::describe::describe_all;
use mirrorlab_engines::mssql::{
    Address, Capabilities, Connection, MssqlError, Server, ServerOptions, ddl::text_literal, quote,
};
use mirrorlab_protocol::names::same_name;
use mirrorlab_protocol::schema::Table;
use mirrorlab_server::store::mssql::{MssqlOptions, MssqlStore};
use mirrorlab_server::store::{MirrorPlace, MirrorStore};

use super::{Mirror, MirrorError, MirrorKind, Mirrors, Rows, SqlError};
use crate::compare::{MssqlSide, Side, SqliteSide};
use crate::run::mssql::{Databases, WorldDatabases};
use crate::run::needs::Need;
use crate::run::runner::quoted;
use crate::run::world::WorldError;

/// The environment variable that a server of our own finds a connection string in that was given as such.
const CONNECTION: &str = "MIRRORLAB_RUN_CONNECTION";

/// Databases on a server.
pub struct MssqlDatabases(Arc<Databases>);

impl MssqlDatabases {
    /// On the server of these databases.
    pub fn new(databases: Arc<Databases>) -> MssqlDatabases {
        MssqlDatabases(databases)
    }
}

impl MirrorKind for MssqlDatabases {
    fn describe(&self) -> String {
        let copies = match self.0.capabilities().backup {
            true => "",
            false => ": backups are copies of their tables, for the engine has no BACKUP",
        };
        format!("SQL databases on {}{copies}", self.0.describe())
    }

    fn takes_nul(&self) -> bool {
        self.0.capabilities().nul
    }

    fn flags(&self) -> String {
        format!(" --mirror {}", quoted(&self.0.shown()))
    }

    fn open(&self, _dir: &Path) -> Result<Arc<dyn Mirrors>, WorldError> {
        let on = OnServer::new(self.0.server(), self.0.capabilities());
        Ok(Arc::new(MssqlMirrors {
            databases: self.0.world("mirror"),
            on: Arc::new(on),
        }))
    }

    fn cannot(&self, need: &Need) -> Option<String> {
        cannot(self.0.capabilities(), need)
    }
}

fn cannot(capabilities: &Capabilities, need: &Need) -> Option<String> {
    match need {
        Need::MirrorLog => Some("mirrors are on a SQL Server, whose log is its own".into()),
        Need::StoreFault(what) => Some(format!("mirrors are on a SQL Server: {what}")),
        Need::Ticks if !capabilities.ticks => {
            Some("the engine keeps six digits of a second, and SQL Server seven".into())
        }
        _ => None,
    }
}

/// Databases that somebody else's server keeps: one for each tenant, by a name with `{context}` in it.
pub struct TheirDatabases {
    server: Arc<Server>,
    capabilities: Arc<Capabilities>,
    template: String,
}

impl TheirDatabases {
    /// Connects, and finds out what the engine can do.
    ///
    /// # Errors
    /// [`MssqlError`].
    pub fn connect(address: &Address, template: &str) -> Result<TheirDatabases, MssqlError> {
        let server = Arc::new(Server::new(address.clone(), ServerOptions::default()));
        let capabilities = server.capabilities()?;
        Ok(TheirDatabases {
            server,
            capabilities,
            template: template.to_owned(),
        })
    }
}

impl MirrorKind for TheirDatabases {
    fn describe(&self) -> String {
        let server = self.server.address().server();
        format!(
            "databases {} on {server}, {}",
            self.template, self.capabilities.engine
        )
    }

    fn takes_nul(&self) -> bool {
        self.capabilities.nul
    }

    fn open(&self, _dir: &Path) -> Result<Arc<dyn Mirrors>, WorldError> {
        Ok(Arc::new(TheirMirrors {
            template: self.template.clone(),
            on: Arc::new(OnServer::new(&self.server, &self.capabilities)),
        }))
    }

    fn cannot(&self, need: &Need) -> Option<String> {
        cannot(&self.capabilities, need)
    }
}

struct TheirMirrors {
    template: String,
    on: Arc<OnServer>,
}

impl TheirMirrors {
    fn database(&self, context: &str) -> String {
        self.template.replace("{context}", context)
    }
}

impl Mirrors for TheirMirrors {
    fn of(&self, context: &str) -> Box<dyn Mirror> {
        Box::new(MssqlMirror {
            context: context.to_owned(),
            database: self.database(context),
            theirs: true,
            on: Arc::clone(&self.on),
        })
    }

    fn place(&self, context: &str) -> MirrorPlace {
        MirrorPlace::SqlServerDatabase(self.database(context))
    }

    fn store(&self) -> Arc<dyn MirrorStore> {
        Arc::new(self.on.store())
    }

    fn serve_flags(&self) -> Vec<OsString> {
        vec!["--name-template".into(), self.template.clone().into()]
    }
}

/// A tables' copy, by database and name.
type Copies = HashMap<(String, String), Vec<Table>>;

/// What the mirrors of a world share.
struct OnServer {
    server: Arc<Server>,
    has_backups: bool,
    /// The tables of each copy.
    copied: Mutex<Copies>,
}

struct MssqlMirrors {
    databases: WorldDatabases,
    on: Arc<OnServer>,
}

impl Mirrors for MssqlMirrors {
    fn of(&self, context: &str) -> Box<dyn Mirror> {
        Box::new(MssqlMirror {
            context: context.to_owned(),
            // A server that is a process of its own makes it without asking here.
            database: self.databases.name(context),
            theirs: false,
            on: Arc::clone(&self.on),
        })
    }

    fn place(&self, context: &str) -> MirrorPlace {
        MirrorPlace::SqlServerDatabase(self.databases.name(context))
    }

    fn store(&self) -> Arc<dyn MirrorStore> {
        Arc::new(self.on.store())
    }

    fn serve_flags(&self) -> Vec<OsString> {
        vec![
            "--sql-server".into(),
            match self.databases.run().is_given_elsewhere() {
                true => self.databases.run().argument().into(),
                false => format!("env:{CONNECTION}").into(),
            },
            "--name-template".into(),
            self.databases.template().into(),
        ]
    }

    fn serve_environment(&self) -> Vec<(&'static str, String)> {
        match self.databases.run().is_given_elsewhere() {
            true => Vec::new(),
            false => vec![(CONNECTION, self.databases.run().argument().to_owned())],
        }
    }
}

impl OnServer {
    fn new(server: &Arc<Server>, capabilities: &Capabilities) -> OnServer {
        OnServer {
            server: Arc::clone(server),
            has_backups: capabilities.backup,
            copied: Mutex::default(),
        }
    }

    fn store(&self) -> MssqlStore {
        MssqlStore::new(self.server.address().clone(), MssqlOptions::default())
    }
}

struct MssqlMirror {
    context: String,
    database: String,
    /// Whether somebody else's server keeps it, of whose metadata no more is known than the protocol says.
    theirs: bool,
    on: Arc<OnServer>,
}

impl MssqlMirror {
    fn failed(&self, why: impl std::fmt::Display) -> MirrorError {
        MirrorError {
            mirror: self.name(),
            why: why.to_string(),
        }
    }

    fn connect(&self) -> Result<Connection, MirrorError> {
        let opened = self.on.server.open(&self.database);
        opened.map_err(|e| self.failed(e.why()))
    }

    fn copied(&self) -> MutexGuard<'_, Copies> {
        self.on.copied.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Sets LSNs to -1 as a person does who knows the documented metadata and no more.
    fn by_hand(&self, table: Option<&str>) -> Result<(), MirrorError> {
        let metadata = quote(&format!("{}_mirroring", self.context));
        let mut connection = self.connect()?;
        let results = connection
            .results(&format!("SELECT tablename FROM {metadata}"), &[])
            .map_err(|e| self.failed(e.why()))?;
        let listed = results.into_iter().flatten();
        let names = listed.filter_map(|row| row.text(0).map(str::to_owned));
        let mut count = 0;
        for name in names.filter(|name| table.is_none_or(|t| same_name(name, t))) {
            let sql = format!(
                "UPDATE {metadata} SET LSN = -1 WHERE tablename = {}",
                text_literal(&name)
            );
            connection.batch(&sql).map_err(|e| self.failed(e.why()))?;
            count += 1;
        }
        match (count, table) {
            (0, Some(table)) => Err(self.failed(format!("{metadata} has no row for {table}"))),
            _ => Ok(()),
        }
    }

    fn in_transaction(
        &self,
        work: impl FnOnce(&mut Connection) -> Result<(), MssqlError>,
    ) -> Result<(), MirrorError> {
        let mut connection = self.connect()?;
        // A connection that is dropped takes an open transaction with it.
        connection
            .batch("SET XACT_ABORT ON; BEGIN TRANSACTION")
            .and_then(|()| work(&mut connection))
            .and_then(|()| connection.batch("COMMIT TRANSACTION"))
            .map_err(|e| self.failed(e.why()))
    }
}

impl Mirror for MssqlMirror {
    fn name(&self) -> String {
        let place = self.on.server.shown(&self.database);
        format!("mirror of {} ({place})", self.context)
    }

    fn is_there(&self) -> Result<bool, MirrorError> {
        let found = self.on.server.has_database(&self.database);
        found.map_err(|e| self.failed(e.why()))
    }

    fn side(&self) -> Result<Box<dyn Side>, MirrorError> {
        let metadata = format!("{}_mirroring", self.context);
        let in_mirror = Box::new(move |table: &str| !same_name(table, &metadata));
        if !self.is_there()? {
            let empty = rusqlite::Connection::open_in_memory().map_err(|error| self.failed(error))?;
            return Ok(Box::new(SqliteSide::from_connection("mirror", empty, in_mirror)));
        }
        let address = self.on.server.address().with_database(&self.database);
        let side = MssqlSide::open("mirror", &address, in_mirror);
        Ok(Box::new(side.map_err(|error| MirrorError {
            mirror: format!("mirror of {}", self.context),
            why: error.to_string(),
        })?))
    }

    fn run(&self, statements: &[String]) -> Result<Rows, SqlError> {
        let mut connection = self.connect()?;
        let mut answer = Vec::new();
        for sql in statements {
            let results = connection
                .results(sql, &[])
                .map_err(|error| SqlError::Statement {
                    sql: sql.clone(),
                    why: error.why(),
                })?;
            let last = results.into_iter().next_back().unwrap_or_default();
            answer = last
                .iter()
                .map(|row| (0..row.len()).map(|at| row.shown(at)).collect())
                .collect();
        }
        Ok(answer)
    }

    fn backup(&self, name: &str) -> Result<(), MirrorError> {
        let safe = safe_name(name).map_err(|why| self.failed(why))?;
        if self.on.has_backups {
            let mut connection = self.connect()?;
            let done = backup::back_up(&mut connection, &self.database, &safe);
            return done.map_err(|e| self.failed(e.why()));
        }
        let mut tables = Vec::new();
        self.in_transaction(|connection| {
            tables = describe_all(connection)?;
            backup::copy_out(connection, &backup::schema(&safe))
        })?;
        let keyed: Result<Vec<Table>, String> = tables.iter().map(|t| t.keyed()).collect();
        let keyed = keyed.map_err(|why| self.failed(why))?;
        self.copied().insert((self.database.clone(), safe), keyed);
        Ok(())
    }

    fn restore(&self, name: &str) -> Result<(), MirrorError> {
        let safe = safe_name(name).map_err(|why| self.failed(why))?;
        if self.on.has_backups {
            let done = backup::restore(&self.on.server, &self.database, &safe);
            return done.map_err(|e| self.failed(e.why()));
        }
        let tables = self.copied().get(&(self.database.clone(), safe.clone())).cloned();
        let tables = tables.ok_or_else(|| self.failed(format!("there is no backup `{name}` of it")))?;
        self.in_transaction(|connection| {
            backup::drop_all(connection)?;
            let schema = backup::schema(&safe);
            tables
                .iter()
                .try_for_each(|table| backup::copy_in(connection, &schema, table))
        })
    }

    fn invalidate(&self, table: Option<&str>) -> Result<(), MirrorError> {
        if self.theirs {
            return self.by_hand(table);
        }
        let place = MirrorPlace::SqlServerDatabase(self.database.clone());
        let set = self.on.store().invalidate(&self.context, &place, table);
        set.map(drop).map_err(|error| self.failed(error))
    }
}
