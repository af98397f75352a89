//! The sources of a run: each tenant's SuperOffice database, made and looked at, whatever database it is in.
//!
//! A [`SourceKind`] is part of a run's settings. For each world it gives [`Sources`].
//!
//! - [`sqlite`]: a file for each tenant
//! - [`mssql`]: a database on a SQL Server for each tenant

pub mod mssql;
pub mod sqlite;

use std::path::Path;
use std::sync::Arc;

use mirrorlab_simulator::source::Source;

use super::needs::Need;
use super::world::WorldError;
use crate::compare::Side;

/// Says which of a source's tables are compared.
pub type TableFilter = Box<dyn Fn(&str) -> bool>;

/// The sources of one world.
pub trait Sources: Send + Sync {
    /// Makes a tenant's source, without a table yet.
    ///
    /// # Errors
    /// [`WorldError`].
    fn make(&self, context: &str) -> Result<Box<dyn Source>, WorldError>;

    /// A source as one side of a comparison: the tables of `filter`, and none that change tracking keeps for itself.
    ///
    /// # Errors
    /// [`WorldError`].
    fn side(&self, context: &str, filter: TableFilter) -> Result<Box<dyn Side>, WorldError>;
}

/// In which database sources are.
pub trait SourceKind: Send + Sync {
    /// In a few words, for reports.
    fn describe(&self) -> String;

    /// The flags of `mirrorlab run` that say so, each after a blank and without a password; empty where none are needed.
    fn flags(&self) -> String {
        String::new()
    }

    /// Whether texts may hold U+0000, as SQL Server's do.
    fn takes_nul(&self) -> bool {
        true
    }

    /// The sources of a world in `dir`.
    ///
    /// # Errors
    /// [`WorldError`].
    fn open(&self, dir: &Path) -> Result<Arc<dyn Sources>, WorldError>;

    /// Why something that a scenario needs is not possible with these sources; `None` where it is.
    fn cannot(&self, need: &Need) -> Option<String>;
}
