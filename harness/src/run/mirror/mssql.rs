//! Mirrors on a SQL Server, a database for each tenant of each world.

use std::collections::HashMap;
use std::ffi::OsString;
use std::path::Path;
use std::sync::{Arc, Mutex, PoisonError};

use mirrorlab_engines::mssql::backup::{self, safe_name};
use mirrorlab_engines::mssql::describe::describe_all;
use mirrorlab_engines::mssql::{Connection, MssqlError};
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
        format!("SQL databases on {}", self.0.describe())
    }

    fn takes_nul(&self) -> bool {
        self.0.capabilities().nul
    }

    fn flags(&self) -> String {
        format!(" --mirror {}", quoted(&self.0.shown()))
    }

    fn open(&self, _dir: &Path) -> Result<Arc<dyn Mirrors>, WorldError> {
        Ok(Arc::new(MssqlMirrors(Arc::new(World {
            databases: self.0.world("mirror"),
            copied: Mutex::default(),
        }))))
    }

    fn cannot(&self, need: &Need) -> Option<String> {
        match need {
            Need::StoreFault(what) => Some(format!("mirrors are on a SQL Server: {what}")),
            Need::Ticks if !self.0.capabilities().ticks => {
                Some("the engine keeps six digits of a second, and SQL Server seven".into())
            }
            _ => None,
        }
    }
}

struct World {
    databases: WorldDatabases,
    /// The tables of each copy: by database and name.
    copied: Mutex<HashMap<(String, String), Vec<Table>>>,
}

struct MssqlMirrors(Arc<World>);

impl Mirrors for MssqlMirrors {
    fn of(&self, context: &str) -> Box<dyn Mirror> {
        Box::new(MssqlMirror {
            context: context.to_owned(),
            // A server that is a process of its own makes it without asking here.
            database: self.0.databases.name(context),
            world: Arc::clone(&self.0),
        })
    }

    fn place(&self, context: &str) -> MirrorPlace {
        MirrorPlace::SqlServerDatabase(self.0.databases.name(context))
    }

    fn store(&self) -> Arc<dyn MirrorStore> {
        Arc::new(self.0.store())
    }

    fn serve_flags(&self) -> Vec<OsString> {
        vec![
            "--sql-server".into(),
            self.0.databases.run().argument().into(),
            "--name-template".into(),
            self.0.databases.template().into(),
        ]
    }
}

impl World {
    fn store(&self) -> MssqlStore {
        let address = self.databases.run().server().address().clone();
        MssqlStore::new(address, MssqlOptions::default())
    }
}

struct MssqlMirror {
    context: String,
    database: String,
    world: Arc<World>,
}

impl MssqlMirror {
    fn failed(&self, why: impl std::fmt::Display) -> MirrorError {
        MirrorError {
            mirror: self.name(),
            why: why.to_string(),
        }
    }

    fn run_databases(&self) -> &Arc<Databases> {
        self.world.databases.run()
    }

    fn is_there(&self) -> Result<bool, MirrorError> {
        let server = self.run_databases().server();
        server
            .has_database(&self.database)
            .map_err(|e| self.failed(e.why()))
    }

    fn connect(&self) -> Result<Connection, MirrorError> {
        let server = self.run_databases().server();
        server.open(&self.database).map_err(|e| self.failed(e.why()))
    }

    fn copied(&self) -> std::sync::MutexGuard<'_, HashMap<(String, String), Vec<Table>>> {
        self.world.copied.lock().unwrap_or_else(PoisonError::into_inner)
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
        let server = self.run_databases().server();
        format!("mirror of {} ({})", self.context, server.shown(&self.database))
    }

    fn side(&self) -> Result<Box<dyn Side>, MirrorError> {
        let metadata = format!("{}_mirroring", self.context);
        let in_mirror = Box::new(move |table: &str| !same_name(table, &metadata));
        if !self.is_there()? {
            let empty = rusqlite::Connection::open_in_memory().map_err(|error| self.failed(error))?;
            return Ok(Box::new(SqliteSide::from_connection("mirror", empty, in_mirror)));
        }
        let address = self
            .run_databases()
            .server()
            .address()
            .with_database(&self.database);
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
        if self.run_databases().capabilities().backup {
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
        if self.run_databases().capabilities().backup {
            let done = backup::restore(self.run_databases().server(), &self.database, &safe);
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
        let place = MirrorPlace::SqlServerDatabase(self.database.clone());
        let set = self.world.store().invalidate(&self.context, &place, table);
        set.map(drop).map_err(|error| self.failed(error))
    }
}
