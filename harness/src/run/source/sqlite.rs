//! Sources in SQLite files, in a world's own directory.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use mirrorlab_engines::sqlite::Durability;
use mirrorlab_simulator::source::Source;
use mirrorlab_simulator::source::sqlite::{SqliteSource, tracking};

use super::{SourceKind, Sources, TableFilter};
use crate::compare::{Side, SqliteSide};
use crate::run::needs::Need;
use crate::run::world::WorldError;

/// A file for each tenant.
#[derive(Debug, Clone, Copy, Default)]
pub struct SqliteFiles;

impl SourceKind for SqliteFiles {
    fn describe(&self) -> String {
        "SQLite files".into()
    }

    fn open(&self, dir: &Path) -> Result<Arc<dyn Sources>, WorldError> {
        let dir = dir.join("sources");
        std::fs::create_dir_all(&dir).map_err(|why| WorldError::file(&dir, why))?;
        Ok(Arc::new(SqliteSources { dir }))
    }

    fn cannot(&self, _need: &Need) -> Option<String> {
        None
    }
}

struct SqliteSources {
    dir: PathBuf,
}

impl SqliteSources {
    fn path(&self, context: &str) -> PathBuf {
        self.dir.join(format!("{context}.db"))
    }
}

impl Sources for SqliteSources {
    fn make(&self, context: &str) -> Result<Box<dyn Source>, WorldError> {
        Ok(Box::new(SqliteSource::open(
            &self.path(context),
            Durability::Fast,
        )?))
    }

    fn side(&self, context: &str, filter: TableFilter) -> Result<Box<dyn Side>, WorldError> {
        let filter = Box::new(move |table: &str| !tracking::is_own(table) && filter(table));
        let side = SqliteSide::open("source", &self.path(context), filter);
        Ok(Box::new(
            side.map_err(|error| WorldError::Mirror(error.to_string()))?,
        ))
    }
}
