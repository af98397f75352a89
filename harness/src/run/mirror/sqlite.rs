//! Mirrors in SQLite files, one for each tenant.

use std::ffi::OsString;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use mirrorlab_engines::sqlite::{self, Durability, explain};
use mirrorlab_protocol::names::same_name;
use mirrorlab_server::store::sqlite::{SqliteOptions, SqliteStore};
use mirrorlab_server::store::{MirrorPlace, MirrorStore};
use rusqlite::fallible_iterator::FallibleIterator as _;
use rusqlite::types::ValueRef;
use rusqlite::{Connection, OpenFlags};

use super::{Mirror, MirrorError, MirrorKind, Mirrors, Rows, SqlError};
use crate::compare::{Side, SqliteSide};
use crate::run::needs::Need;
use crate::run::world::WorldError;

/// What stands for the tenant in a path.
const CONTEXT: &str = "{context}";
/// A mirror's file in a world's own directory, as `mirrorlab serve` names them too.
const OWN_NAME: &str = "Mirror_{context}.db";
/// How long a person's SQL waits for the server.
const BUSY_WAIT: Duration = Duration::from_secs(30);

/// SQLite files.
#[derive(Debug, Clone, Default)]
pub struct SqliteFiles {
    /// A path with `{context}` in it; `None`: in each world's own directory.
    template: Option<String>,
}

impl SqliteFiles {
    /// Files that somebody else's server makes: a path with `{context}` in it.
    pub fn at(template: &str) -> SqliteFiles {
        SqliteFiles {
            template: Some(template.to_owned()),
        }
    }
}

impl MirrorKind for SqliteFiles {
    fn describe(&self) -> String {
        format!("sqlite:{}", self.template.as_deref().unwrap_or(OWN_NAME))
    }

    fn open(&self, dir: &Path) -> Result<Arc<dyn Mirrors>, WorldError> {
        let own = dir.join("mirrors");
        std::fs::create_dir_all(&own).map_err(|why| WorldError::file(&own, why))?;
        Ok(Arc::new(match &self.template {
            None => SqliteMirrors::in_dir(own),
            Some(template) => SqliteMirrors {
                template: template.clone(),
                theirs: true,
                own,
            },
        }))
    }

    fn cannot(&self, _need: &Need) -> Option<String> {
        None
    }
}

/// The files of one world.
#[derive(Debug, Clone)]
pub struct SqliteMirrors {
    template: String,
    /// Whether somebody else's server makes them, of whose metadata no more is known than the protocol says.
    theirs: bool,
    /// Holds backups, and the mirrors too where the template leads here.
    own: PathBuf,
}

impl SqliteMirrors {
    /// Files `Mirror_<context>.db` in a directory that is there.
    pub fn in_dir(dir: PathBuf) -> SqliteMirrors {
        SqliteMirrors {
            template: dir.join(OWN_NAME).to_string_lossy().into_owned(),
            theirs: false,
            own: dir,
        }
    }

    fn path(&self, context: &str) -> PathBuf {
        PathBuf::from(self.template.replace(CONTEXT, context))
    }
}

impl Mirrors for SqliteMirrors {
    fn of(&self, context: &str) -> Box<dyn Mirror> {
        Box::new(SqliteMirror {
            context: context.to_owned(),
            path: self.path(context),
            theirs: self.theirs,
            own: self.own.clone(),
        })
    }

    fn place(&self, context: &str) -> MirrorPlace {
        MirrorPlace::SqliteFile(self.path(context))
    }

    fn store(&self) -> Arc<dyn MirrorStore> {
        Arc::new(SqliteStore::new(SqliteOptions {
            durability: Durability::Fast,
            ..SqliteOptions::default()
        }))
    }

    fn serve_flags(&self) -> Vec<OsString> {
        vec!["--mirrors".into(), self.own.clone().into()]
    }
}

struct SqliteMirror {
    context: String,
    path: PathBuf,
    theirs: bool,
    own: PathBuf,
}

impl SqliteMirror {
    fn failed(&self, why: impl std::fmt::Display) -> MirrorError {
        MirrorError {
            mirror: self.name(),
            why: why.to_string(),
        }
    }

    fn backup_path(&self, name: &str) -> PathBuf {
        self.own.join(format!("Mirror_{}.backup-{name}", self.context))
    }
}

impl Mirror for SqliteMirror {
    fn name(&self) -> String {
        format!("mirror of {} ({})", self.context, self.path.display())
    }

    fn is_there(&self) -> Result<bool, MirrorError> {
        Ok(self.path.exists())
    }

    fn side(&self) -> Result<Box<dyn Side>, MirrorError> {
        let metadata = format!("{}_mirroring", self.context);
        let in_mirror = Box::new(move |table: &str| !same_name(table, &metadata));
        Ok(Box::new(if self.path.exists() {
            SqliteSide::open("mirror", &self.path, in_mirror).map_err(|error| MirrorError {
                mirror: format!("mirror of {}", self.context),
                why: error.to_string(),
            })?
        } else {
            let empty = Connection::open_in_memory().map_err(|error| self.failed(error))?;
            SqliteSide::from_connection("mirror", empty, in_mirror)
        }))
    }

    fn run(&self, statements: &[String]) -> Result<Rows, SqlError> {
        let connection = open(&self.path, false).map_err(|error| self.failed(explain(&error)))?;
        let mut answer = Vec::new();
        for sql in statements {
            answer = ask(&connection, sql).map_err(|error| SqlError::Statement {
                sql: sql.clone(),
                why: explain(&error),
            })?;
        }
        Ok(answer)
    }

    fn backup(&self, name: &str) -> Result<(), MirrorError> {
        copy(&self.path, &self.backup_path(name)).map_err(|why| self.failed(why))
    }

    fn restore(&self, name: &str) -> Result<(), MirrorError> {
        copy(&self.backup_path(name), &self.path).map_err(|why| self.failed(why))
    }

    fn invalidate(&self, table: Option<&str>) -> Result<(), MirrorError> {
        if self.theirs {
            let connection = open(&self.path, false).map_err(|error| self.failed(explain(&error)))?;
            return by_hand(&connection, &self.context, table).map_err(|why| self.failed(why));
        }
        let store = SqliteStore::new(SqliteOptions {
            durability: Durability::Fast,
            busy_wait: BUSY_WAIT,
            keep_open: Duration::ZERO,
        });
        let place = MirrorPlace::SqliteFile(self.path.clone());
        let set = store.invalidate(&self.context, &place, table);
        set.map(drop).map_err(|error| self.failed(error))
    }
}

/// A mirror as it is: somebody else's server need not get along with another journal.
fn open(path: &Path, create: bool) -> rusqlite::Result<Connection> {
    if create {
        // SQLite would make it for all to read. Why it cannot be made, opening it says.
        let _ = sqlite::make(path);
    }
    let flags = OpenFlags::SQLITE_OPEN_READ_WRITE | OpenFlags::SQLITE_OPEN_NO_MUTEX;
    let connection = Connection::open_with_flags(path, flags)?;
    connection.busy_timeout(BUSY_WAIT)?;
    Ok(connection)
}

/// Sets LSNs to -1 as a person does who knows the documented metadata and no more.
fn by_hand(connection: &Connection, context: &str, table: Option<&str>) -> Result<(), String> {
    let metadata = sqlite::quote(&format!("{context}_mirroring"));
    let set = || -> rusqlite::Result<usize> {
        let mut statement = connection.prepare(&format!("SELECT tablename FROM {metadata}"))?;
        let listed = statement
            .query_map([], |row| row.get(0))?
            .collect::<rusqlite::Result<Vec<String>>>()?;
        let mut count = 0;
        for name in listed
            .iter()
            .filter(|name| table.is_none_or(|t| same_name(name, t)))
        {
            count += connection.execute(
                &format!("UPDATE {metadata} SET LSN = -1 WHERE tablename = ?1"),
                [name],
            )?;
        }
        Ok(count)
    };
    match (set().map_err(|error| explain(&error))?, table) {
        (0, Some(table)) => Err(format!("{metadata} has no row for {table}")),
        _ => Ok(()),
    }
}

/// A statement's rows, each cell as text.
fn ask(connection: &Connection, sql: &str) -> rusqlite::Result<Rows> {
    let mut answer = Vec::new();
    let mut batch = rusqlite::Batch::new(connection, sql);
    while let Some(mut statement) = batch.next()? {
        let columns = statement.column_count();
        let mut rows = statement.query([])?;
        answer.clear();
        while let Some(row) = rows.next()? {
            let cell = |at: usize| -> rusqlite::Result<Option<String>> {
                Ok(match row.get_ref(at)? {
                    ValueRef::Null => None,
                    ValueRef::Integer(x) => Some(x.to_string()),
                    ValueRef::Real(x) => Some(x.to_string()),
                    ValueRef::Text(x) => Some(String::from_utf8_lossy(x).into_owned()),
                    ValueRef::Blob(x) => Some(x.iter().map(|b| format!("{b:02X}")).collect()),
                })
            };
            answer.push((0..columns).map(cell).collect::<rusqlite::Result<Vec<_>>>()?);
        }
    }
    Ok(answer)
}

/// Copies one database over another as SQLite's own backup does: whole, and past whoever has it open.
fn copy(from: &Path, to: &Path) -> Result<(), String> {
    let failed = |error: rusqlite::Error| {
        format!(
            "cannot copy {} to {}: {}",
            from.display(),
            to.display(),
            explain(&error)
        )
    };
    let source = open(from, false).map_err(failed)?;
    let mut target = open(to, true).map_err(failed)?;
    let backup = rusqlite::backup::Backup::new(&source, &mut target).map_err(failed)?;
    backup
        .run_to_completion(1000, Duration::ZERO, None)
        .map_err(failed)
}
