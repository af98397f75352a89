//! A SQL Server for tests: the one of `MIRRORLAB_TEST_MSSQL`, or one in a container (feature `sqlserver`);
//! and [`mock`], for what no server does when it is asked to.

pub mod mock;

use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};

use super::address::Address;
use super::connection::Connection;
use super::pool::{Server, ServerOptions};

/// The environment variable that names a server that is there: `mssql://user:password@host:port`.
pub const VARIABLE: &str = "MIRRORLAB_TEST_MSSQL";

/// Why there is no server to test with.
#[derive(Debug, Clone)]
pub enum NoServer {
    /// Nobody gave one: the tests are ignored, for this reason.
    Ignored(String),
    /// The one that was asked for cannot be used: the tests fail.
    Broken(String),
}

/// A server to test with. A container goes with it.
pub struct TestServer {
    address: Address,
    #[cfg(feature = "sqlserver")]
    _container: Option<container::Running>,
}

impl TestServer {
    /// The server of [`VARIABLE`]; else, with the feature `sqlserver`, a new container.
    ///
    /// # Errors
    /// [`NoServer`].
    pub fn find() -> Result<TestServer, NoServer> {
        let Ok(text) = std::env::var(VARIABLE) else {
            return other();
        };
        let address = Address::read(&text).map_err(|e| NoServer::Broken(format!("{VARIABLE}: {e}")))?;
        Connection::open(&address, ServerOptions::default().statement_limit)
            .map_err(|e| NoServer::Broken(format!("{VARIABLE}: {e}")))?;
        Ok(TestServer {
            address,
            #[cfg(feature = "sqlserver")]
            _container: None,
        })
    }

    /// Where it is, and its administrator's login.
    pub fn address(&self) -> &Address {
        &self.address
    }

    /// The name of a database that is not there, and that nobody else will ask for.
    pub fn scratch(&self) -> Scratch {
        static COUNT: AtomicU32 = AtomicU32::new(0);
        let number = COUNT.fetch_add(1, Ordering::Relaxed);
        Scratch {
            server: Arc::new(Server::new(self.address.clone(), ServerOptions::default())),
            name: format!("mirrorlab_test_{}_{number}", std::process::id()),
        }
    }
}

#[cfg(not(feature = "sqlserver"))]
fn other() -> Result<TestServer, NoServer> {
    Err(NoServer::Ignored(format!(
        "no SQL Server: set {VARIABLE}, or build with --features sqlserver for a container"
    )))
}

#[cfg(feature = "sqlserver")]
fn other() -> Result<TestServer, NoServer> {
    container::start()
}

/// A database's name; the database is dropped with it, if it was made.
pub struct Scratch {
    /// The server, with a pool of its own.
    pub server: Arc<Server>,
    /// The database's name.
    pub name: String,
}

impl Scratch {
    /// Makes the database, and connects to it.
    pub fn make(&self) -> Connection {
        self.server
            .create_database(&self.name)
            .expect("a test's database can be made");
        self.server
            .open(&self.name)
            .expect("a database that was made can be entered")
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        if let Err(error) = self.server.drop_database(&self.name) {
            tracing::warn!(%error, "a test's database stays");
        }
    }
}

#[cfg(feature = "sqlserver")]
mod container {
    use std::time::Duration;

    use testcontainers::core::{IntoContainerPort, WaitFor};
    use testcontainers::runners::SyncRunner;
    use testcontainers::{Container, GenericImage, ImageExt};

    use super::{Address, Connection, NoServer, TestServer};
    use crate::mssql::retry::retry;

    pub(super) type Running = Container<GenericImage>;

    const IMAGE: &str = "mcr.microsoft.com/mssql/server";
    const TAG: &str = "2022-latest";
    /// Of a server that lives as long as the tests, and is reached from this machine alone.
    const PASSWORD: &str = "Mirrorlab-tests-1";
    const START_LIMIT: Duration = Duration::from_secs(180);

    pub(super) fn start() -> Result<TestServer, NoServer> {
        let no_docker = |e: testcontainers::TestcontainersError| {
            NoServer::Ignored(format!("no SQL Server container could be started: {e}"))
        };
        let container = GenericImage::new(IMAGE, TAG)
            .with_exposed_port(1433.tcp())
            .with_wait_for(WaitFor::message_on_stdout("Recovery is complete"))
            .with_env_var("ACCEPT_EULA", "Y")
            .with_env_var("MSSQL_PID", "Developer")
            .with_env_var("MSSQL_SA_PASSWORD", PASSWORD)
            .with_startup_timeout(START_LIMIT)
            .start()
            .map_err(no_docker)?;
        let host = container.get_host().map_err(no_docker)?;
        let port = container.get_host_port_ipv4(1433).map_err(no_docker)?;
        let text = format!("mssql://sa:{PASSWORD}@{host}:{port}/master?trust-server-certificate=true");
        let address = Address::read(&text).map_err(|e| NoServer::Broken(e.to_string()))?;
        // It answers before it lets anybody log in.
        retry(START_LIMIT, |_| true, || Connection::open(&address, START_LIMIT))
            .map_err(|e| NoServer::Broken(e.to_string()))?;
        Ok(TestServer {
            address,
            _container: Some(container),
        })
    }
}
