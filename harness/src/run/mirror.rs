//! The mirrors of a run: what a scenario, the comparer and a person do to them, whatever database they are in.
//!
//! A [`MirrorKind`] is part of a run's settings. For each world it gives [`Mirrors`], and those a tenant's [`Mirror`].
//! There may be none at all: of a foreign endpoint perhaps only its URL is known.
//!
//! - [`sqlite`]: a file for each tenant
//! - [`mssql`]: a database on a SQL Server for each tenant

pub mod mssql;
pub mod sqlite;

use std::ffi::OsString;
use std::path::Path;
use std::sync::Arc;

use mirrorlab_server::store::{MirrorPlace, MirrorStore};

use super::needs::Need;
use super::world::WorldError;
use crate::compare::Side;

/// A statement's rows, each cell as text: numbers as the database writes them, bytes as upper hex, `None` for NULL.
pub type Rows = Vec<Vec<Option<String>>>;

/// Why something could not be done to a mirror, for people; it names the mirror.
#[derive(Debug, thiserror::Error)]
#[error("{mirror}: {why}")]
pub struct MirrorError {
    /// File, or server and database.
    pub mirror: String,
    /// What was wrong.
    pub why: String,
}

/// One tenant's mirror.
pub trait Mirror {
    /// File, or server and database: for messages.
    fn name(&self) -> String;

    /// Whether it was made yet.
    ///
    /// # Errors
    /// [`MirrorError`] where that cannot be told.
    fn is_there(&self) -> Result<bool, MirrorError>;

    /// The mirror as one side of a comparison, without the server's own metadata. One that was never made is empty.
    ///
    /// # Errors
    /// [`MirrorError`] where it is there and cannot be read.
    fn side(&self) -> Result<Box<dyn Side>, MirrorError>;

    /// A person's SQL, several statements one after the other; the rows of the last.
    ///
    /// # Errors
    /// [`SqlError`].
    fn run(&self, statements: &[String]) -> Result<Rows, SqlError>;

    /// Keeps it under a name, in place of an older backup of that name.
    ///
    /// # Errors
    /// [`MirrorError`], where it was never made too.
    fn backup(&self, name: &str) -> Result<(), MirrorError>;

    /// Makes it what it was at that backup.
    ///
    /// # Errors
    /// [`MirrorError`].
    fn restore(&self, name: &str) -> Result<(), MirrorError>;

    /// Sets the LSN to -1, of one table or of all, as a person does by hand.
    ///
    /// # Errors
    /// [`MirrorError`].
    fn invalidate(&self, table: Option<&str>) -> Result<(), MirrorError>;
}

/// A person's SQL that did not do.
#[derive(Debug, thiserror::Error)]
pub enum SqlError {
    /// The mirror cannot be reached at all.
    #[error(transparent)]
    Mirror(#[from] MirrorError),
    /// One of the statements.
    #[error("`{sql}`: {why}")]
    Statement {
        /// Which.
        sql: String,
        /// What the database said.
        why: String,
    },
}

/// The mirrors of one world.
pub trait Mirrors: Send + Sync {
    /// One tenant's, whether it was made yet or not.
    fn of(&self, context: &str) -> Box<dyn Mirror>;

    /// Where the built-in server keeps it.
    fn place(&self, context: &str) -> MirrorPlace;

    /// The built-in server's store of them.
    fn store(&self) -> Arc<dyn MirrorStore>;

    /// What `mirrorlab serve` has to be told, so that it keeps them there. Command lines are for everybody on the machine to
    /// see: they hold no secret.
    fn serve_flags(&self) -> Vec<OsString>;

    /// What those flags refer to in the environment of that process, by name.
    fn serve_environment(&self) -> Vec<(&'static str, String)> {
        Vec::new()
    }
}

/// Where and in which database mirrors are.
pub trait MirrorKind: Send + Sync {
    /// In a few words, for reports: `sqlite:data/{context}.db`.
    fn describe(&self) -> String;

    /// The flags of `mirrorlab run` that say so, each after a blank and without a password; empty where none are needed.
    fn flags(&self) -> String {
        String::new()
    }

    /// Whether texts may hold U+0000, as SQL Server's do.
    fn takes_nul(&self) -> bool {
        true
    }

    /// The mirrors of a world in `dir`, which holds what is made for it: backups, and the mirrors themselves where
    /// nobody says where they are.
    ///
    /// # Errors
    /// [`WorldError`].
    fn open(&self, dir: &Path) -> Result<Arc<dyn Mirrors>, WorldError>;

    /// Why something that a scenario needs of its mirrors is not possible with these; `None` where it is.
    fn cannot(&self, need: &Need) -> Option<String>;
}
