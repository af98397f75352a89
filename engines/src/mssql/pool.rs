//! A server: connections to its databases, kept open for the next call.

use std::collections::HashMap;
use std::ops::{Deref, DerefMut};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use super::address::Address;
use super::capabilities::Capabilities;
use super::connection::Connection;
use super::ddl::quote;
use super::error::{Kind, MssqlError};
use super::retry::retry;
use super::value::Param;

/// The database in which databases are made.
const MASTER: &str = "master";
/// The collation of databases that are made on a server whose own tells capital letters from small ones.
pub const COLLATION: &str = "Latin1_General_100_CI_AS";
/// How long an idle connection is kept. Firewalls and Azure SQL drop them after some minutes.
const IDLE_MAX: Duration = Duration::from_secs(180);

/// How a [`Server`] works.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ServerOptions {
    /// How many connections may be open at once, idle ones included; at least 1.
    pub connections_max: usize,
    /// How long one statement may take.
    pub statement_limit: Duration,
    /// How long a free connection is waited for, and connecting is tried again.
    pub wait_limit: Duration,
}

impl Default for ServerOptions {
    fn default() -> ServerOptions {
        ServerOptions {
            connections_max: 32,
            statement_limit: Duration::from_secs(600),
            // Below the sender's own time-out, a minute in .NET unless told otherwise.
            wait_limit: Duration::from_secs(30),
        }
    }
}

/// A SQL Server and its connections. Cheap to share, by [`Arc`].
pub struct Server {
    address: Address,
    options: ServerOptions,
    open: Mutex<Open>,
    freed: Condvar,
    capabilities: Mutex<Option<Arc<Capabilities>>>,
}

#[derive(Default)]
struct Open {
    /// How many connections are open, in use and idle.
    count: usize,
    /// Idle ones by database, the one used last at the end.
    idle: HashMap<String, Vec<(Connection, Instant)>>,
}

impl std::fmt::Debug for Server {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Server({})", self.address)
    }
}

impl Server {
    /// A server at `address`. Nothing is connected yet.
    pub fn new(address: Address, options: ServerOptions) -> Server {
        Server {
            address,
            options,
            open: Mutex::default(),
            freed: Condvar::new(),
            capabilities: Mutex::new(None),
        }
    }

    /// Where it is.
    pub fn address(&self) -> &Address {
        &self.address
    }

    /// How it works.
    pub fn options(&self) -> &ServerOptions {
        &self.options
    }

    /// `host:port/database`, for messages.
    pub fn shown(&self, database: &str) -> String {
        format!("{}/{database}", self.address.server())
    }

    /// What the engine can do, asked once.
    ///
    /// # Errors
    /// [`MssqlError`].
    pub fn capabilities(&self) -> Result<Arc<Capabilities>, MssqlError> {
        let mut known = self.capabilities.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(known) = &*known {
            return Ok(Arc::clone(known));
        }
        // Not out of the pool: the questions may spoil the connection.
        let mut connection = self.open(&self.address.database)?;
        let found = Arc::new(Capabilities::find(&mut connection)?);
        *known = Some(Arc::clone(&found));
        Ok(found)
    }

    /// A new connection to `database`, outside the pool: for what keeps it long, or leaves settings behind.
    ///
    /// # Errors
    /// [`MssqlError`].
    pub fn open(&self, database: &str) -> Result<Connection, MssqlError> {
        let address = self.address.with_database(database);
        retry(
            self.options.wait_limit,
            |kind| kind == Kind::Transient,
            || Connection::open(&address, self.options.statement_limit),
        )
    }

    /// A connection to `database`, out of the pool or new. It goes back there when it is dropped, unless it is broken: then
    /// it is closed. Whoever takes one leaves no transaction, no temporary table and no setting behind.
    ///
    /// # Errors
    /// [`MssqlError`]; [`Kind::Timeout`] where all are in use for too long.
    pub fn connect(&self, database: &str) -> Result<Pooled<'_>, MssqlError> {
        if let Some(connection) = self.take(database)? {
            return Ok(connection);
        }
        // The place among the open ones is ours by now.
        match self.open(database) {
            Ok(connection) => Ok(self.pooled(connection)),
            Err(error) => {
                self.lock().count -= 1;
                self.freed.notify_one();
                Err(error)
            }
        }
    }

    /// An idle connection, or `None` with a place for a new one.
    fn take(&self, database: &str) -> Result<Option<Pooled<'_>>, MssqlError> {
        let begun = Instant::now();
        let mut open = self.lock();
        loop {
            while let Some((connection, since)) = open.idle.get_mut(database).and_then(Vec::pop) {
                if since.elapsed() < IDLE_MAX {
                    return Ok(Some(self.pooled(connection)));
                }
                open.count -= 1;
            }
            if open.count < self.options.connections_max || close_one_idle(&mut open) {
                open.count += 1;
                return Ok(None);
            }
            let left = self.options.wait_limit.saturating_sub(begun.elapsed());
            if left.is_zero() {
                let address = self.address.with_database(database);
                let message = format!("all {} connections are in use", self.options.connections_max);
                return Err(MssqlError::new(&address, Kind::Timeout, None, &message));
            }
            open = self
                .freed
                .wait_timeout(open, left)
                .unwrap_or_else(PoisonError::into_inner)
                .0;
        }
    }

    fn pooled(&self, connection: Connection) -> Pooled<'_> {
        Pooled {
            server: self,
            connection: Some(connection),
        }
    }

    fn lock(&self) -> MutexGuard<'_, Open> {
        // Counted before and after, never amid a change that could panic.
        self.open.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Closes every idle connection to `database`, as dropping or restoring it wants.
    pub fn close_idle(&self, database: &str) {
        let mut open = self.lock();
        let closed = open.idle.remove(database).map_or(0, |idle| idle.len());
        open.count -= closed;
        drop(open);
        self.freed.notify_all();
    }

    /// Whether there is a database of that name, as `master` knows it.
    ///
    /// # Errors
    /// [`MssqlError`].
    pub fn has_database(&self, database: &str) -> Result<bool, MssqlError> {
        let mut master = self.connect(MASTER)?;
        let found = master.row("SELECT DB_ID(@P1)", &[Param::text(database)])?;
        Ok(found.and_then(|row| row.integer(0)).is_some())
    }

    /// Makes a database unless it is there; whether it was made. Its collation takes capital and small letters for one,
    /// whatever the server's own does. Calls of several processes wait for one another.
    ///
    /// # Errors
    /// [`MssqlError`], naming the database; [`Kind::NoPermission`] among them.
    pub fn create_database(&self, database: &str) -> Result<bool, MssqlError> {
        const LOCK: &str = "mirrorlab create database";
        let named = |mut error: MssqlError| {
            error.database = database.to_owned();
            error
        };
        // Not out of the pool: its session lock goes with it, whatever happens.
        let mut master = self.open(MASTER).map_err(named)?;
        let milliseconds = self.options.wait_limit.as_millis();
        let locked = master.row(
            &format!(
                "DECLARE @got int; EXEC @got = sp_getapplock @Resource = N'{LOCK}', @LockMode = 'Exclusive', \
                 @LockOwner = 'Session', @LockTimeout = {milliseconds}; SELECT @got"
            ),
            &[],
        );
        // A login that may not take the lock may still make the database.
        if let Err(error) = locked {
            tracing::debug!(%error, "making a database without the lock");
        }
        let found = master
            .row(
                "SELECT DB_ID(@P1), CASE WHEN N'a' = N'A' THEN 1 ELSE 0 END",
                &[Param::text(database)],
            )
            .map_err(named)?;
        let answer = |at: usize| found.as_ref().and_then(|row| row.integer(at));
        if answer(0).is_some() {
            return Ok(false);
        }
        let mut create = format!("CREATE DATABASE {}", quote(database));
        if answer(1) == Some(0) {
            create.push_str(&format!(" COLLATE {COLLATION}"));
        }
        let made = retry(
            self.options.wait_limit,
            |kind| kind == Kind::Transient,
            || master.batch(&create),
        );
        match made {
            Ok(()) => Ok(true),
            Err(error) if error.kind == Kind::Exists => Ok(false),
            Err(error) => Err(named(error)),
        }
    }

    /// Drops a database that is there, and the connections to it. For tests and runs that clean up after themselves.
    ///
    /// # Errors
    /// [`MssqlError`].
    pub fn drop_database(&self, database: &str) -> Result<(), MssqlError> {
        self.close_idle(database);
        let mut master = self.open(MASTER)?;
        retry(
            self.options.wait_limit,
            |kind| kind == Kind::Transient,
            || master.batch(&format!("DROP DATABASE IF EXISTS {}", quote(database))),
        )
    }
}

fn close_one_idle(open: &mut Open) -> bool {
    let Some(oldest) = open
        .idle
        .values_mut()
        .filter(|idle| !idle.is_empty())
        .min_by_key(|idle| idle[0].1)
    else {
        return false;
    };
    oldest.remove(0);
    open.count -= 1;
    true
}

/// A connection that goes back to its server's pool when it is dropped.
#[derive(Debug)]
pub struct Pooled<'s> {
    server: &'s Server,
    connection: Option<Connection>,
}

impl Deref for Pooled<'_> {
    type Target = Connection;

    fn deref(&self) -> &Connection {
        self.connection.as_ref().expect("taken out only when dropped")
    }
}

impl DerefMut for Pooled<'_> {
    fn deref_mut(&mut self) -> &mut Connection {
        self.connection.as_mut().expect("taken out only when dropped")
    }
}

impl Drop for Pooled<'_> {
    fn drop(&mut self) {
        let Some(connection) = self.connection.take() else {
            return;
        };
        let mut open = self.server.lock();
        if connection.is_broken() {
            open.count -= 1;
        } else {
            let database = connection.address().database.clone();
            open.idle
                .entry(database)
                .or_default()
                .push((connection, Instant::now()));
        }
        drop(open);
        self.server.freed.notify_one();
    }
}
