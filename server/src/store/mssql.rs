//! Mirrors in SQL Server: one database per tenant.
//!
//! - `lock`: who may work on a mirror at the same time
//! - `place`: the same within this process; names of databases
//! - `metadata`: the table `<context>_mirroring`
//! - `rows`: rows into a table: netted here, then set-based
//! - `script`: partners' statements
//!
//! One writer per tenant and table: calls of this process queue here, those of other processes at application locks in
//! the tenant's database. So several servers behind a load balancer stay correct.

mod lock;
mod metadata;
mod place;
mod rows;
mod script;

use std::collections::{HashMap, HashSet};
use std::sync::Arc;
use std::time::Duration;

use mirrorlab_engines::mssql::ddl::text_literal;
use mirrorlab_engines::mssql::{
    Address, Capabilities, Kind, MssqlError, Param, Pooled, Row, Server, ServerOptions, alter, ddl, pool,
    quote, retry,
};
use mirrorlab_protocol::message::Rows;
use mirrorlab_protocol::names::{fold, same_name};
use mirrorlab_protocol::schema::Table;

use super::metadata::metadata_table;
use super::{Applied, MirrorPlace, MirrorStore, MirrorTransaction, Scope, StoreError, StoredTable};
use lock::Locks;
use metadata::Metadata;
use place::{Held, Places};

/// How many names a message shows.
const SHOWN_MAX: usize = 5;

/// How an [`MssqlStore`] works.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct MssqlOptions {
    /// The server's connections and time limits.
    pub server: ServerOptions,
    /// How long a call waits for another one on the same mirror, of this process or another.
    pub busy_wait: Duration,
    /// Whether a missing database is made. Else a person makes it, and the login needs no right to.
    pub create_databases: bool,
    /// How long a call may take, tries anew after a passing failure (a deadlock, Azure SQL moving house) included: no try
    /// begins later.
    pub call_limit: Duration,
}

impl Default for MssqlOptions {
    fn default() -> MssqlOptions {
        MssqlOptions {
            server: ServerOptions::default(),
            // Below the sender's own time-out, a minute in .NET unless told otherwise.
            busy_wait: Duration::from_secs(30),
            create_databases: true,
            // Here too: what is answered later, nobody hears.
            call_limit: Duration::from_secs(50),
        }
    }
}

/// Mirrors in databases of one SQL Server.
#[derive(Debug)]
pub struct MssqlStore {
    server: Arc<Server>,
    options: MssqlOptions,
    places: Places,
}

impl MssqlStore {
    /// A store on the server at `address`. Nothing is connected yet.
    pub fn new(address: Address, options: MssqlOptions) -> MssqlStore {
        MssqlStore {
            server: Arc::new(Server::new(address, options.server)),
            options,
            places: Places::default(),
        }
    }

    /// The server.
    pub fn server(&self) -> &Arc<Server> {
        &self.server
    }

    fn hold(&self, database: &str, locks: &Locks) -> Result<Held<'_>, StoreError> {
        // Two tenants may share a database that a person made: their metadata, and so their locks, are apart.
        self.places
            .hold(locks.all(), self.options.busy_wait)
            .ok_or_else(|| StoreError::Busy {
                mirror: self.server.shown(database),
            })
    }

    /// Opens a transaction that owns the locks that its scope needs.
    fn transaction<'s>(
        &'s self,
        context: &str,
        database: &str,
        scope: Scope<'_>,
    ) -> Result<Opened<'s>, StoreError> {
        let locks = Locks::new(database, context, scope);
        let held = self.hold(database, &locks)?;
        let mirror = self.server.shown(database);
        let metadata = Metadata::new(context);
        let wait = self.options.busy_wait.as_millis();
        let sql = format!(
            "SET XACT_ABORT ON; SET NOCOUNT ON; SET LOCK_TIMEOUT {wait}; BEGIN TRANSACTION; {}\
             SELECT @got, {}, CASE WHEN N'a' = N'A' COLLATE DATABASE_DEFAULT THEN 1 ELSE 0 END, \
             CAST(DATABASEPROPERTYEX(DB_NAME(), 'Collation') AS nvarchar(128))",
            locks.take(wait),
            metadata.is_there()
        );
        // A connection out of the pool may have died there: another one is taken then.
        let opened = retry::retry(self.options.busy_wait, Kind::may_pass, || {
            let mut connection = self.server.connect(database)?;
            let row = connection.row(&sql, &[]);
            if row.is_err() {
                // It may be amid a transaction.
                connection.break_off();
            }
            Ok((connection, row?))
        });
        let (mut connection, row) = opened.map_err(|e| cannot_open(&mirror, &e))?;
        let answer = |at: usize| row.as_ref().and_then(|row: &Row| row.integer(at));
        let capabilities = match self.server.capabilities() {
            Ok(capabilities) => capabilities,
            Err(error) => {
                connection.break_off();
                return Err(cannot_open(&mirror, &error));
            }
        };
        let (has_metadata, is_sensitive) = (answer(1) == Some(1), answer(2) == Some(0));
        let collation = row.as_ref().and_then(|row| row.text(3)).map(str::to_owned);
        // Dropped, it ends the server's transaction.
        let transaction = MssqlTransaction {
            connection,
            capabilities,
            mirror: mirror.clone(),
            database: database.to_owned(),
            locks,
            wait_ms: wait,
            metadata,
            objects: None,
            listed: Listed::default(),
            ended: false,
            tainted: false,
            _held: held,
        };
        // Those that were to be had go with the transaction, at once.
        got(answer(0), &mirror)?;
        if is_sensitive {
            let why = format!(
                "its collation {} tells capital letters from small ones, and names in a mirror are one whatever their \
                 letters' case; make the database anew with another one: CREATE DATABASE … COLLATE {}",
                collation.unwrap_or_default(),
                pool::COLLATION
            );
            return Err(StoreError::Open { mirror, why });
        }
        Ok(Opened {
            has_metadata,
            transaction,
        })
    }

    /// Makes the database where that is wanted and it is missing; whether it was made.
    fn provision(&self, database: &str) -> Result<bool, StoreError> {
        let mirror = self.server.shown(database);
        if !self.options.create_databases {
            let there = self.server.has_database(database).unwrap_or(false);
            return Err(StoreError::Open {
                why: if there {
                    format!(
                        "the login `{}` may not enter that database; make it a user there: CREATE USER … FOR LOGIN, \
                         and give it the role db_owner",
                        self.server.address().user
                    )
                } else {
                    "there is no such database, and this server is told to make none; make it by hand, or let \
                     create_databases be true"
                        .into()
                },
                mirror,
            });
        }
        self.server.create_database(database).map_err(|e| StoreError::Open {
            why: match e.kind {
                Kind::NoPermission => format!(
                    "there is no such database, and the login `{}` may not make one; give it the right CREATE ANY \
                     DATABASE, or make the database by hand ({})",
                    self.server.address().user,
                    e.message
                ),
                _ => format!("it cannot be made: {}", e.why()),
            },
            mirror,
        })
    }
}

struct Opened<'s> {
    has_metadata: bool,
    transaction: MssqlTransaction<'s>,
}

impl MirrorStore for MssqlStore {
    fn begin_on<'s>(
        &'s self,
        context: &str,
        place: &MirrorPlace,
        scope: Scope<'_>,
    ) -> Result<Box<dyn MirrorTransaction + 's>, StoreError> {
        let database = place::database_of(place)?;
        let mut provisioned = false;
        let mut making = false;
        loop {
            let scope = if making { Scope::Tenant } else { scope };
            match self.transaction(context, database, scope) {
                // Another call that shares the tenant may be about to make it too.
                Ok(opened) if !opened.has_metadata && scope != Scope::Tenant => making = true,
                Ok(mut opened) if !opened.has_metadata => {
                    if self.options.create_databases {
                        opened.transaction.refuse_somebody_elses()?;
                    }
                    // Kept even where the call keeps nothing, as the database is.
                    let sql = opened.transaction.metadata.make();
                    opened.transaction.batch("make the metadata", &sql)?;
                    Box::new(opened.transaction).commit()?;
                    making = false;
                }
                // Made by somebody else meanwhile.
                Ok(_) if making => making = false,
                Ok(opened) => return Ok(Box::new(opened.transaction)),
                Err(StoreError::NoMirror { .. }) if !provisioned => {
                    self.provision(database)?;
                    provisioned = true;
                }
                Err(StoreError::NoMirror { mirror }) => {
                    return Err(StoreError::Open {
                        mirror,
                        why: format!(
                            "the database is there, but the login `{}` may not enter it",
                            self.server.address().user
                        ),
                    });
                }
                Err(other) => return Err(other),
            }
        }
    }

    fn invalidate(&self, context: &str, place: &MirrorPlace, table: Option<&str>) -> Result<u64, StoreError> {
        let database = place::database_of(place)?;
        let opened = self.transaction(context, database, Scope::Tenant)?;
        let mut transaction = opened.transaction;
        let metadata = transaction.metadata.table.clone();
        if !opened.has_metadata {
            return Err(StoreError::NoMetadata {
                found: transaction.others()?,
                mirror: transaction.mirror.clone(),
                metadata,
            });
        }
        let rows = transaction.query(&format!("read {metadata}"), &transaction.metadata.names(), &[])?;
        let listed: Vec<String> = by_folded_name(&rows).into_values().collect();
        let names: Vec<&String> = match table {
            None => listed.iter().collect(),
            Some(table) => listed.iter().filter(|name| same_name(name, table)).collect(),
        };
        if let (Some(table), true) = (table, names.is_empty()) {
            return Err(StoreError::NotInMetadata {
                table: mirrorlab_protocol::excerpt(table),
                count: listed.len(),
                metadata,
                mirror: transaction.mirror.clone(),
            });
        }
        let count = names.len() as u64;
        for name in names {
            let sql = transaction.metadata.invalidate(name, false);
            transaction.batch(&format!("set the LSN of {name}"), &sql)?;
        }
        Box::new(transaction).commit()?;
        Ok(count)
    }

    // What is kept ready are connections, which any tenant's calls take.
    fn rest(&self, _context: &str, _place: &MirrorPlace) {}

    fn pause_before_retry(&self, error: &StoreError, attempt: u32, spent: Duration) -> Option<Duration> {
        let pause = retry::pause(attempt);
        let passes = matches!(error, StoreError::Passing { .. });
        (passes && spent.saturating_add(pause) < self.options.call_limit).then_some(pause)
    }
}

/// What is known of the tables that the metadata lists.
#[derive(Debug, Default)]
struct Listed {
    /// Their spelling there, by folded name.
    names: HashMap<String, String>,
    /// Whether these are all.
    are_all: bool,
}

/// One call's transaction. Dropped uncommitted, it is rolled back.
struct MssqlTransaction<'s> {
    // Dropped in this order: the next call of this process is let in only after the connection is free.
    connection: Pooled<'s>,
    capabilities: Arc<Capabilities>,
    /// Server and database.
    mirror: String,
    database: String,
    /// The application locks that the transaction owns.
    locks: Locks,
    /// How long more locks are waited for.
    wait_ms: u128,
    metadata: Metadata,
    /// Everything in the schema that has a name, by its folded name; `None` where that has to be looked up again.
    objects: Option<HashMap<String, String>>,
    listed: Listed,
    /// Committed, or rolled back by the server.
    ended: bool,
    /// A script may have left settings behind.
    tainted: bool,
    _held: Held<'s>,
}

impl Drop for MssqlTransaction<'_> {
    fn drop(&mut self) {
        if !self.ended && !self.connection.is_broken() {
            let undone = self.connection.batch("IF @@TRANCOUNT > 0 ROLLBACK TRANSACTION");
            if undone.is_err() {
                // Closing the connection rolls back too.
                self.connection.break_off();
            }
        }
        if self.tainted {
            self.connection.break_off();
        }
    }
}

impl MssqlTransaction<'_> {
    fn refused(&self, doing: &str, error: &MssqlError) -> StoreError {
        refused(&self.mirror, doing, error)
    }

    fn batch(&mut self, doing: &str, sql: &str) -> Result<(), StoreError> {
        self.connection
            .batch(sql)
            .map_err(|e| refused(&self.mirror, doing, &e))
    }

    fn execute(&mut self, doing: &str, sql: &str, params: &[Param<'_>]) -> Result<u64, StoreError> {
        self.connection
            .execute(sql, params)
            .map_err(|e| refused(&self.mirror, doing, &e))
    }

    fn query(&mut self, doing: &str, sql: &str, params: &[Param<'_>]) -> Result<Vec<Row>, StoreError> {
        self.connection
            .rows(sql, params)
            .map_err(|e| refused(&self.mirror, doing, &e))
    }

    /// Takes a lock that the call was begun without: it needs more than was said.
    fn lock(&mut self, sql: Option<String>) -> Result<(), StoreError> {
        let Some(sql) = sql else {
            return Ok(());
        };
        let row = self.query("lock it", &sql, &[])?;
        got(row.first().and_then(|row| row.integer(0)), &self.mirror)
    }

    fn lock_table(&mut self, table: &str) -> Result<(), StoreError> {
        let sql = self.locks.take_table(table, self.wait_ms);
        self.lock(sql)
    }

    fn lock_tenant(&mut self) -> Result<(), StoreError> {
        let sql = self.locks.take_tenant(self.wait_ms);
        self.lock(sql)
    }

    /// The tables that the metadata lists, all of them.
    fn list(&mut self) -> Result<&HashMap<String, String>, StoreError> {
        if !self.listed.are_all {
            let doing = format!("read {}", self.metadata.table);
            let rows = self.query(&doing, &self.metadata.names_at_once(), &[])?;
            self.listed = Listed {
                names: by_folded_name(&rows),
                are_all: true,
            };
        }
        Ok(&self.listed.names)
    }

    /// The spelling under which the metadata lists a table, if it does.
    fn listed_as(&mut self, table: &str) -> Result<Option<String>, StoreError> {
        let folded = fold(table);
        match self.listed.names.get(&folded) {
            Some(spelling) => Ok(Some(spelling.clone())),
            None => Ok(self.list()?.get(&folded).cloned()),
        }
    }

    fn spelling(&mut self, table: &str) -> Result<String, StoreError> {
        self.listed_as(table)?
            .ok_or_else(|| StoreError::UnknownTable(mirrorlab_protocol::excerpt(table)))
    }

    /// Everything in the schema that has a name: tables, views, constraints and so on share one space of names.
    fn objects(&mut self) -> Result<&mut HashMap<String, String>, StoreError> {
        if self.objects.is_none() {
            let sql = "SELECT o.name FROM sys.objects o WHERE o.schema_id = SCHEMA_ID()";
            let rows = self.query("read the catalogue", sql, &[])?;
            self.objects = Some(by_folded_name(&rows));
        }
        Ok(self.objects.get_or_insert_default())
    }

    /// An error for a database that was there before, full of tables of somebody's: one that a person meant to hold the
    /// mirror is used all the same, where the store is told to make none.
    fn refuse_somebody_elses(&mut self) -> Result<(), StoreError> {
        let sql = "SELECT t.name FROM sys.tables t WHERE t.schema_id = SCHEMA_ID() ORDER BY t.name";
        let names: Vec<String> = self
            .query("read the catalogue", sql, &[])?
            .iter()
            .filter_map(|row| row.text(0).map(str::to_owned))
            .collect();
        // Another tenant's mirror may be in it.
        let is_ours = names.iter().any(|name| fold(name).ends_with("_mirroring"));
        if names.is_empty() || is_ours {
            return Ok(());
        }
        Err(StoreError::Open {
            mirror: self.mirror.clone(),
            why: format!(
                "the database is there already, and has tables that this server did not make: {}{}; name the mirrors \
                 otherwise, or, where that database is meant to hold this one, let create_databases be false",
                names[..names.len().min(SHOWN_MAX)].join(", "),
                if names.len() > SHOWN_MAX { " …" } else { "" }
            ),
        })
    }

    /// What is there instead of this tenant's metadata.
    fn others(&mut self) -> Result<String, StoreError> {
        let sql = "SELECT TOP 5 t.name FROM sys.tables t WHERE t.schema_id = SCHEMA_ID() AND t.name LIKE N'%[_]mirroring' \
                   ORDER BY t.name";
        let names: Vec<String> = self
            .query("read the catalogue", sql, &[])?
            .iter()
            .filter_map(|row| row.text(0).map(str::to_owned))
            .collect();
        Ok(if names.is_empty() {
            "it is no mirror of this server's".into()
        } else {
            format!("it has {}", names.join(", "))
        })
    }

    /// Reads the metadata and which of its tables are there.
    fn read_all(&mut self) -> Result<Vec<StoredTable>, StoreError> {
        let doing = format!("read {}", self.metadata.table);
        let results = self
            .connection
            .results(&self.metadata.select_all(), &[])
            .map_err(|e| refused(&self.mirror, &doing, &e))?;
        let mut results = results.into_iter();
        let rows = results.next().unwrap_or_default();
        let present: HashSet<String> = results
            .next()
            .unwrap_or_default()
            .iter()
            .filter_map(|row| row.text(0).map(fold))
            .collect();
        self.listed = Listed {
            names: by_folded_name(&rows),
            are_all: true,
        };
        rows.iter()
            .map(|row| {
                self.metadata
                    .stored(row, |name| present.contains(name), &self.mirror)
            })
            .collect()
    }

    /// Reads one table's row of the metadata, by the name that the engine finds it by.
    fn read_one(&mut self, name: &str) -> Result<Option<StoredTable>, StoreError> {
        let doing = format!("read {}", self.metadata.table);
        let rows = self.query(&doing, &self.metadata.select_one(), &[Param::text(name)])?;
        let Some(row) = rows.first() else {
            return Ok(None);
        };
        let stored = self
            .metadata
            .stored(row, |_| row.integer(4) == Some(1), &self.mirror)?;
        let spelling = stored.table.name.clone();
        // What a collation takes for the same may be another name here: a blank at its end.
        if !same_name(&spelling, name) {
            return Ok(None);
        }
        self.listed.names.insert(fold(&spelling), spelling);
        Ok(Some(stored))
    }
}

impl MirrorTransaction for MssqlTransaction<'_> {
    fn tables(&mut self) -> Result<Vec<StoredTable>, StoreError> {
        let mut tables = self.read_all()?;
        tables.sort_by_cached_key(|t| fold(&t.table.name));
        Ok(tables)
    }

    fn table(&mut self, name: &str) -> Result<Option<StoredTable>, StoreError> {
        if let Some(stored) = self.read_one(name)? {
            return Ok(Some(stored));
        }
        // A collation may not find what is the same name to everybody else: Turkish has two letters i.
        match self.listed_as(name)? {
            Some(listed) => self.read_one(&listed),
            None => Ok(None),
        }
    }

    fn create(&mut self, table: &Table) -> Result<(), StoreError> {
        let doing = format!("create table {}", table.name);
        self.lock_tenant()?;
        if let Some(taken) = self.objects()?.get(&fold(&table.name)) {
            return Err(StoreError::ForeignTable {
                table: taken.clone(),
                mirror: self.mirror.clone(),
            });
        }
        let listed = self.listed_as(&table.name)?;
        // One round trip: a first TableSchema call makes 413 of them.
        let sql = format!(
            "{}; {}",
            ddl::create_table(table),
            self.metadata.put(table, listed.as_deref())
        );
        self.batch(&doing, &sql)?;
        self.objects()?.insert(fold(&table.name), table.name.clone());
        self.listed.names.insert(fold(&table.name), table.name.clone());
        Ok(())
    }

    fn alter(&mut self, old: &Table, new: &Table) -> Result<(), StoreError> {
        let doing = format!("change table {}", old.name);
        self.lock_tenant()?;
        // The table keeps the spelling that it was made with.
        let new = Table {
            name: old.name.clone(),
            columns: new.columns.clone(),
        };
        alter::alter(&mut self.connection, &self.capabilities, old, &new)
            .map_err(|e| refused(&self.mirror, &doing, &e))?;
        self.objects = None;
        let sql = self.metadata.put_schema(&new);
        self.batch(&doing, &sql)
    }

    fn drop_table(&mut self, name: &str) -> Result<(), StoreError> {
        self.lock_tenant()?;
        let listed = self.spelling(name)?;
        let sql = format!(
            "DROP TABLE IF EXISTS {}; {}",
            quote(&listed),
            self.metadata.delete(&listed)
        );
        self.batch(&format!("drop table {listed}"), &sql)?;
        // Its constraints' names are free again too.
        self.objects = None;
        self.listed.names.remove(&fold(&listed));
        Ok(())
    }

    fn wipe(&mut self, table: &Table) -> Result<(), StoreError> {
        self.lock_table(&table.name)?;
        let listed = self.spelling(&table.name)?;
        let quoted = quote(&listed);
        // A table that a partner's foreign key points at cannot be truncated.
        let sql = format!(
            "IF EXISTS (SELECT 1 FROM sys.foreign_keys WHERE referenced_object_id = OBJECT_ID({})) \
             DELETE FROM {quoted} ELSE TRUNCATE TABLE {quoted}; {}",
            text_literal(&quoted),
            self.metadata.invalidate(&listed, true)
        );
        self.batch(&format!("wipe {listed}"), &sql)
    }

    fn apply(&mut self, table: &Table, order: &[usize], rows: &Rows<'_>) -> Result<Applied, StoreError> {
        let net = rows::net(table, order, rows)?;
        self.lock_table(&table.name)?;
        let doing = format!("write to table {}", table.name);
        rows::write(&mut self.connection, &self.capabilities, table, net)
            .map_err(|e| refused(&self.mirror, &doing, &e))
    }

    fn set_lsn(&mut self, table: &str, lsn: i64) -> Result<(), StoreError> {
        self.lock_table(table)?;
        let listed = self.spelling(table)?;
        let sql = self.metadata.set_lsn();
        let params = [Param::text(&listed), Param::integer(lsn)];
        self.execute(&format!("set the LSN of {listed}"), &sql, &params)
            .map(drop)
    }

    fn has_row(&mut self, table: &Table, null_in: Option<usize>) -> Result<bool, StoreError> {
        let condition = match null_in.and_then(|at| table.columns.get(at)) {
            Some(column) => format!(" WHERE {} IS NULL", quote(&column.name)),
            None => String::new(),
        };
        let sql = format!(
            "SELECT CASE WHEN EXISTS (SELECT 1 FROM {}{condition}) THEN 1 ELSE 0 END",
            quote(&table.name)
        );
        let rows = self.query(&format!("look into table {}", table.name), &sql, &[])?;
        Ok(rows.first().and_then(|row| row.integer(0)) == Some(1))
    }

    fn run_script(&mut self, sql: &str) -> Result<(), StoreError> {
        // It may do anything, to any table.
        self.lock_tenant()?;
        // Whatever it made, dropped or set.
        self.objects = None;
        self.listed = Listed::default();
        self.tainted = true;
        script::run(&mut self.connection, &self.database, self.locks.tenant(), sql).map_err(|e| match e {
            script::ScriptError::Engine(e) => self.refused(script::DOING, &e),
            script::ScriptError::NotForScripts => StoreError::Engine {
                mirror: self.mirror.clone(),
                doing: script::DOING.into(),
                why: "BEGIN TRANSACTION, COMMIT, ROLLBACK and USE are not for them: they run inside the call's \
                      transaction"
                    .into(),
            },
        })
    }

    fn commit(mut self: Box<Self>) -> Result<(), StoreError> {
        self.batch("commit", "COMMIT TRANSACTION")?;
        self.ended = true;
        Ok(())
    }
}

/// Whether sp_getapplock gave what it was asked for.
fn got(answer: Option<i64>, mirror: &str) -> Result<(), StoreError> {
    let mirror = mirror.to_owned();
    match answer {
        Some(0..) => Ok(()),
        Some(lock::TIMEOUT) => Err(StoreError::Busy { mirror }),
        Some(lock::DEADLOCK) => Err(StoreError::Passing {
            mirror,
            doing: "lock it".into(),
            why: "it lost a deadlock with another call".into(),
        }),
        // -2 where the wait was broken off, -999 where the call itself was wrong: waiting longer helps neither.
        other => Err(StoreError::Engine {
            mirror,
            doing: "lock it".into(),
            why: match other {
                Some(code) => format!("sp_getapplock answered {code}"),
                None => "sp_getapplock answered nothing".into(),
            },
        }),
    }
}

fn by_folded_name(rows: &[Row]) -> HashMap<String, String> {
    rows.iter()
        .filter_map(|row| row.text(0).map(|name| (fold(name), name.to_owned())))
        .collect()
}

fn cannot_open(mirror: &str, error: &MssqlError) -> StoreError {
    match error.kind {
        Kind::NoDatabase => StoreError::NoMirror {
            mirror: mirror.to_owned(),
        },
        Kind::LockTimeout => StoreError::Busy {
            mirror: mirror.to_owned(),
        },
        _ => StoreError::Open {
            mirror: mirror.to_owned(),
            why: error.why(),
        },
    }
}

fn refused(mirror: &str, doing: &str, error: &MssqlError) -> StoreError {
    let (mirror, doing, why) = (mirror.to_owned(), doing.to_owned(), error.why());
    match error.kind {
        Kind::LockTimeout => StoreError::Busy { mirror },
        kind if kind.may_pass() => StoreError::Passing { mirror, doing, why },
        _ => StoreError::Engine { mirror, doing, why },
    }
}
