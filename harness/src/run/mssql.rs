//! A run's databases on a SQL Server: their names, and that they go when the run is over.
//!
//! Every run draws a name of its own, so that runs side by side and what earlier ones left behind do not meet. A world's
//! databases are dropped with the world, what is still in use then with the run.

use std::collections::BTreeSet;
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use mirrorlab_engines::mssql::{Address, Capabilities, MssqlError, Server, ServerOptions, quote};

/// How long a database that is still in use is waited for.
const DROP_WAIT: Duration = Duration::from_secs(2);

/// The databases of one run on one server.
pub struct Databases {
    server: Arc<Server>,
    capabilities: Arc<Capabilities>,
    /// How the address was given. It may hold the password: it goes to a server of our own, and is never shown.
    given: String,
    /// What every name begins with.
    prefix: String,
    keep: bool,
    worlds: AtomicU32,
    made: Mutex<BTreeSet<String>>,
}

impl Databases {
    /// Connects, and finds out what the engine can do. `given` is how the address was given on the command line; `keep`
    /// says whether databases stay.
    ///
    /// # Errors
    /// [`MssqlError`].
    pub fn connect(address: Address, given: &str, keep: bool) -> Result<Arc<Databases>, MssqlError> {
        let server = Arc::new(Server::new(address, ServerOptions::default()));
        let capabilities = server.capabilities()?;
        let drawn: u32 = rand::random();
        Ok(Arc::new(Databases {
            server,
            capabilities,
            given: given.to_owned(),
            prefix: format!("mirrorlab_{drawn:08x}"),
            keep,
            worlds: AtomicU32::new(0),
            made: Mutex::default(),
        }))
    }

    /// The server.
    pub fn server(&self) -> &Arc<Server> {
        &self.server
    }

    /// What the engine can do.
    pub fn capabilities(&self) -> &Capabilities {
        &self.capabilities
    }

    /// The address for a server of our own, as it was given: not to be shown.
    pub fn argument(&self) -> &str {
        &self.given
    }

    /// Whether the address is in the environment or in a file, and what was given only says where.
    pub fn is_given_elsewhere(&self) -> bool {
        self.given.starts_with("env:") || self.given.starts_with('@')
    }

    /// The address as it was given, without a password.
    pub fn shown(&self) -> String {
        match self.is_given_elsewhere() {
            true => self.given.clone(),
            false => self.server.address().to_string(),
        }
    }

    /// Server and engine, in a few words.
    pub fn describe(&self) -> String {
        let nul = match self.capabilities.nul {
            true => "",
            false => " (which keeps no U+0000: none is drawn)",
        };
        format!(
            "{}, {}{nul}",
            self.server.address().server(),
            self.capabilities.engine
        )
    }

    /// What the names of this run's databases begin with.
    pub fn prefix(&self) -> &str {
        &self.prefix
    }

    /// Names for another world: each begins with what this answers.
    pub fn world(self: &Arc<Self>, kind: &str) -> WorldDatabases {
        let number = self.worlds.fetch_add(1, Ordering::SeqCst);
        WorldDatabases {
            run: Arc::clone(self),
            prefix: format!("{}_{number}_{kind}_", self.prefix),
        }
    }

    fn made(&self) -> MutexGuard<'_, BTreeSet<String>> {
        self.made.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn drop_all(&self, which: impl Fn(&str) -> bool) {
        let names: Vec<String> = self.made().iter().filter(|name| which(name)).cloned().collect();
        if self.keep || names.is_empty() {
            return;
        }
        // On a thread of its own: whoever holds a world last may be a task of a runtime, where nothing may block.
        std::thread::scope(|scope| {
            let _ = scope.spawn(|| self.drop_these(names)).join();
        });
    }

    fn drop_these(&self, names: Vec<String>) {
        // Short of patience: a database that is in use now is tried again at the run's end.
        let options = ServerOptions {
            wait_limit: DROP_WAIT,
            ..ServerOptions::default()
        };
        let server = Server::new(self.server.address().clone(), options);
        for name in names {
            self.server.close_idle(&name);
            if self.capabilities.sql_server && !self.capabilities.azure {
                // Whoever is still connected: nobody is, who matters.
                let alone = format!(
                    "IF DB_ID({}) IS NOT NULL ALTER DATABASE {} SET SINGLE_USER WITH ROLLBACK IMMEDIATE",
                    mirrorlab_engines::mssql::ddl::text_literal(&name),
                    quote(&name)
                );
                let _ = server
                    .connect("master")
                    .and_then(|mut master| master.batch(&alone));
            }
            match server.drop_database(&name) {
                Ok(()) => {
                    self.made().remove(&name);
                }
                Err(error) => tracing::debug!(%error, "a database stays for now"),
            }
        }
    }
}

impl Drop for Databases {
    fn drop(&mut self) {
        self.drop_all(|_| true);
        for name in self.made().iter().filter(|_| !self.keep) {
            tracing::warn!(database = name, "a database of this run could not be dropped");
        }
    }
}

/// The databases of one world.
pub struct WorldDatabases {
    run: Arc<Databases>,
    prefix: String,
}

impl WorldDatabases {
    /// The run's.
    pub fn run(&self) -> &Arc<Databases> {
        &self.run
    }

    /// The name of a tenant's database. It counts as made from now on.
    pub fn name(&self, context: &str) -> String {
        let name = self.known(context);
        self.run.made().insert(name.clone());
        name
    }

    /// The same, for looking at it.
    pub fn known(&self, context: &str) -> String {
        format!("{}{context}", self.prefix)
    }

    /// The names' pattern, `{context}` for the tenant.
    pub fn template(&self) -> String {
        self.known("{context}")
    }
}

impl Drop for WorldDatabases {
    fn drop(&mut self) {
        self.run.drop_all(|name| name.starts_with(&self.prefix));
    }
}
