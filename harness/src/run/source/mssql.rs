//! Sources on a SQL Server, a database for each tenant of each world.

use std::path::Path;
use std::sync::Arc;

use mirrorlab_simulator::source::Source;
use mirrorlab_simulator::source::mssql::{Means, MssqlSource, tracking};

use super::{SourceKind, Sources, TableFilter};
use crate::compare::{MssqlSide, Side};
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

    fn means(&self) -> Means {
        Means::of(self.0.capabilities())
    }
}

impl SourceKind for MssqlDatabases {
    fn describe(&self) -> String {
        format!(
            "SQL databases on {}: {}",
            self.0.describe(),
            self.means().describe()
        )
    }

    fn takes_nul(&self) -> bool {
        self.0.capabilities().nul
    }

    fn flags(&self) -> String {
        format!(" --source {}", quoted(&self.0.shown()))
    }

    fn open(&self, _dir: &Path) -> Result<Arc<dyn Sources>, WorldError> {
        Ok(Arc::new(MssqlSources(self.0.world("source"))))
    }

    fn cannot(&self, need: &Need) -> Option<String> {
        match need {
            Need::Retention if !self.means().retention() => Some(
                "the sources' change tracking is the engine's own, and forgets by the server's clock, which no \
                 scenario moves"
                    .into(),
            ),
            Need::SourceBackup => self.means().no_backup().map(|why| format!("sources: {why}")),
            Need::Ticks if !self.0.capabilities().ticks => {
                Some("the engine keeps six digits of a second, and SQL Server seven".into())
            }
            _ => None,
        }
    }
}

struct MssqlSources(WorldDatabases);

impl Sources for MssqlSources {
    fn make(&self, context: &str) -> Result<Box<dyn Source>, WorldError> {
        let server = self.0.run().server();
        Ok(Box::new(MssqlSource::open(server, &self.0.name(context))?))
    }

    fn side(&self, context: &str, filter: TableFilter) -> Result<Box<dyn Side>, WorldError> {
        let filter = Box::new(move |table: &str| !tracking::is_own(table) && filter(table));
        let address = self
            .0
            .run()
            .server()
            .address()
            .with_database(&self.0.known(context));
        let side = MssqlSide::open("source", &address, filter);
        Ok(Box::new(
            side.map_err(|error| WorldError::Mirror(error.to_string()))?,
        ))
    }
}
