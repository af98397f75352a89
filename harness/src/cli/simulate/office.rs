//! The simulated SuperOffice of `mirrorlab simulate`: its keys, its tenants, and their databases.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use mirrorlab_engines::private;
use mirrorlab_engines::sqlite::Durability;
use mirrorlab_protocol::clock::{Clock as _, SystemClock};
use mirrorlab_protocol::keys::{KeyError, PrivateKey, PublicKey};
use mirrorlab_protocol::names::same_name;
use mirrorlab_protocol::schema::Table;
use mirrorlab_simulator::authority::{Authority, AuthorityError};
use mirrorlab_simulator::blocked::SkipTable;
use mirrorlab_simulator::draw::{self, Style, seeded};
use mirrorlab_simulator::endpoint::https::HttpsEndpoint;
use mirrorlab_simulator::event_log::EventLog;
use mirrorlab_simulator::office::{Application, Office, OfficeParts, TENANTS_AT_ONCE_DEFAULT, Together};
use mirrorlab_simulator::schedule::Schedule;
use mirrorlab_simulator::schema_file::{self, Schema};
use mirrorlab_simulator::source::Source as _;
use mirrorlab_simulator::source::sqlite::{FIRST_VERSION, SqliteSource};
use mirrorlab_simulator::task;
use rusqlite::{Connection, OpenFlags};

use super::SimulateArgs;
use super::pace::Record;
use crate::cli::CliError;
use crate::keyset;

/// The first tenant.
pub(super) const FIRST_TENANT: &str = "Cust10001";
const CONTEXT_BEFORE_FIRST: u32 = 10_000;

/// SuperOffice's keys, and the public half of the application's.
pub(super) struct Keys {
    pub(super) authority: Arc<Authority>,
    application: PublicKey,
}

impl Keys {
    /// Reads them from a directory such as `keys new` makes. The application's private key may be missing.
    pub(super) fn load(dir: &Path) -> Result<Keys, CliError> {
        match fs::metadata(dir) {
            Err(error) => {
                return Err(CliError::usage(format!(
                    "--keys {}: {error}; `mirrorlab keys new {}` makes keys for a trial",
                    dir.display(),
                    dir.display()
                )));
            }
            Ok(meta) if !meta.is_dir() => {
                return Err(CliError::usage(format!(
                    "--keys {}: it is not a directory; expected one as `mirrorlab keys new` makes it",
                    dir.display()
                )));
            }
            Ok(_) => {}
        }
        let authority = Authority::load(
            &dir.join(keyset::SUPEROFFICE_CERTIFICATE),
            &dir.join(keyset::SUPEROFFICE_KEY),
        )
        .map_err(|error| match error {
            AuthorityError::File { .. } => CliError::usage(format!(
                "--keys: {error}; expected a directory as `mirrorlab keys new` makes it"
            )),
            other => CliError::usage(format!("--keys: {other}")),
        })?;
        Ok(Keys {
            authority: Arc::new(authority),
            application: application_key(dir)?,
        })
    }
}

/// The application's public key: its own file, or else the public half of the private one.
fn application_key(dir: &Path) -> Result<PublicKey, CliError> {
    type Read = fn(&str) -> Result<PublicKey, KeyError>;
    let public: Read = PublicKey::from_text;
    let private: Read = |text| PrivateKey::from_text(text).map(|key| key.public());
    let places = [
        (keyset::APPLICATION_PUBLIC_XML, public),
        (keyset::APPLICATION_PUBLIC_PEM, public),
        (keyset::APPLICATION_KEY_XML, private),
        (keyset::APPLICATION_KEY_PEM, private),
    ];
    for (name, read) in places {
        let path = dir.join(name);
        let wrong =
            |why: &dyn std::fmt::Display| CliError::usage(format!("--keys: {}: {why}", path.display()));
        match fs::read_to_string(&path) {
            Ok(text) => return read(&text).map_err(|error| wrong(&error)),
            Err(error) if error.kind() == io::ErrorKind::NotFound => {}
            Err(error) => return Err(wrong(&error)),
        }
    }
    Err(CliError::usage(format!(
        "--keys {}: the application's public key is not there; expected {} or {}",
        dir.display(),
        keyset::APPLICATION_PUBLIC_XML,
        keyset::APPLICATION_PUBLIC_PEM
    )))
}

/// The tables of new sources. Blocked ones are there too, as in a real database; they are not sent, unless a capture shows
/// that they are.
pub(super) fn tables(schema: Option<&Path>, skip: &[String]) -> Result<(Vec<Table>, SkipTable), CliError> {
    let schema = match schema {
        Some(path) => schema_file::load(path).map_err(CliError::usage)?,
        None => Schema {
            tables: schema_file::superoffice().to_vec(),
            is_captured: false,
        },
    };
    match skip
        .iter()
        .find(|name| !schema.tables.iter().any(|table| same_name(&table.name, name)))
    {
        Some(unknown) => Err(CliError::usage(format!(
            "--skip {unknown}: the schema has no such table"
        ))),
        None => {
            let skip = SkipTable::new(skip).with_captured(schema.captured());
            Ok((schema.tables, skip))
        }
    }
}

/// Where the sources are.
pub(super) enum Place {
    Kept(PathBuf),
    Passing(tempfile::TempDir),
}

impl Place {
    pub(super) fn new(data: Option<&Path>) -> Result<Place, CliError> {
        let Some(dir) = data else {
            let made = tempfile::Builder::new().prefix("mirrorlab-").tempdir();
            let failed = |why| CliError::broken(format!("cannot make a temporary directory: {why}"));
            return made.map(Place::Passing).map_err(failed);
        };
        if dir.exists() && !dir.is_dir() {
            return Err(CliError::usage(format!(
                "--data {}: it is not a directory",
                dir.display()
            )));
        }
        private::create_dir_all(dir)
            .map_err(|why| CliError::usage(format!("--data {}: it cannot be made: {why}", dir.display())))?;
        Ok(Place::Kept(dir.to_owned()))
    }

    fn path(&self) -> &Path {
        match self {
            Place::Kept(path) => path,
            Place::Passing(dir) => dir.path(),
        }
    }

    /// The directory, where it is thrown away.
    pub(super) fn passing(&self) -> Option<PathBuf> {
        match self {
            Place::Kept(_) => None,
            Place::Passing(dir) => Some(dir.path().to_owned()),
        }
    }

    /// Rows that are thrown away need not survive the machine.
    fn durability(&self) -> Durability {
        match self {
            Place::Kept(_) => Durability::Full,
            Place::Passing(_) => Durability::Fast,
        }
    }
}

/// SuperOffice without tenants.
pub(super) fn open(
    args: &SimulateArgs,
    keys: Keys,
    endpoint: Arc<HttpsEndpoint>,
    record: Arc<Record>,
    skip: SkipTable,
    seed: u64,
) -> Result<Office, CliError> {
    // What is shorter than a second is for the pace alone.
    let every = i64::try_from(args.every.as_secs()).unwrap_or(i64::MAX).max(1);
    let schedule = Schedule::default()
        .every(every)
        .map_err(CliError::usage)?
        .with_pauses(args.pause.into_iter().collect());
    Ok(Office::new(OfficeParts {
        application: Application {
            id: args.application_id.clone(),
            key: keys.application,
            endpoint,
        },
        authority: keys.authority,
        seed,
        settings: task::Settings::default(),
        filter: Arc::new(move |table: &str| skip.why_not(table).map(|reason| reason.to_string())),
        wire_clock: Arc::new(SystemClock),
        source_clock: Arc::new(SystemClock),
        schedule,
        log: Arc::new(EventLog::with_listener(move |entry| record.add(entry))),
        together: Together::SideBySide(TENANTS_AT_ONCE_DEFAULT),
    }))
}

/// Adds a tenant that approves the application; its database is made and filled where it is not there yet. What is told
/// of it is one line.
pub(super) fn add_tenant(
    office: &mut Office,
    number: u32,
    place: &Place,
    tables: &[Table],
    rows: u64,
    seed: u64,
) -> Result<String, CliError> {
    let context = format!("Cust{}", CONTEXT_BEFORE_FIRST + number);
    let path = place.path().join(format!("{context}.db"));
    let is_there = path.exists();
    if is_there {
        check_source(&path)?;
    } else {
        make(&context, &path, place.durability(), tables, rows, seed)?;
    }
    let mut source = SqliteSource::open(&path, place.durability()).map_err(CliError::broken)?;
    let count = source.tables().map_err(CliError::broken)?.len();
    office
        .add_tenant(&context, Box::new(source))
        .map_err(CliError::broken)?;
    office.approve(&context).map_err(CliError::broken)?;
    Ok(match is_there {
        true => format!("{context}: goes on from {}, {count} tables\n", path.display()),
        false => format!(
            "{context}: made, {count} tables, {rows} {} in each\n",
            if rows == 1 { "row" } else { "rows" }
        ),
    })
}

/// A mirror, or any other database, is never taken for a source: opening one makes tables in it.
fn check_source(path: &Path) -> Result<(), CliError> {
    // Not READ_ONLY: such a connection leaves the files of a write-ahead log behind when it goes.
    let flags = OpenFlags::SQLITE_OPEN_READ_WRITE | OpenFlags::SQLITE_OPEN_NO_MUTEX;
    let is_source = Connection::open_with_flags(path, flags).and_then(|connection| {
        connection.query_row(
            "SELECT EXISTS (SELECT 1 FROM sqlite_master WHERE name = 'mirrorlab_ct_state')",
            [],
            |row| row.get::<_, bool>(0),
        )
    });
    match is_source {
        Ok(true) => Ok(()),
        Ok(false) => Err(CliError::usage(format!(
            "--data: {} is not a source database that this program made; name another directory",
            path.display()
        ))),
        Err(error) => Err(CliError::usage(format!(
            "--data: {} cannot be read: {}",
            path.display(),
            mirrorlab_engines::sqlite::explain(&error)
        ))),
    }
}

/// Makes a database beside its place, so that one that is there is always whole.
fn make(
    context: &str,
    path: &Path,
    durability: Durability,
    tables: &[Table],
    rows: u64,
    seed: u64,
) -> Result<(), CliError> {
    let beside = path.with_extension("db-new");
    // What an earlier start left when it was killed.
    forget(&beside);
    let filled = fill(context, &beside, durability, tables, rows, seed).and_then(|()| {
        fs::rename(&beside, path)
            .map_err(|why| CliError::broken(format!("cannot make {}: {why}", path.display())))
    });
    if filled.is_err() {
        forget(&beside);
    }
    filled
}

fn fill(
    context: &str,
    path: &Path,
    durability: Durability,
    tables: &[Table],
    rows: u64,
    seed: u64,
) -> Result<(), CliError> {
    let now = SystemClock.now();
    // The mirror may have seen an earlier source of this tenant. No source commits a thousand times a second for long, so
    // this is above all of its versions.
    let first_version = now.saturating_mul(1000).max(FIRST_VERSION);
    let mut source = SqliteSource::open_from(path, durability, first_version).map_err(CliError::broken)?;
    source.set_now(now).map_err(CliError::broken)?;
    let mut rng = seeded(seed, &["simulate", context, "rows"]);
    for table in tables {
        source.create_table(table).map_err(CliError::broken)?;
        draw::fill(&mut source, table, rows, &Style::default(), &mut rng).map_err(CliError::broken)?;
    }
    Ok(())
}

fn forget(path: &Path) {
    for ending in ["", "-wal", "-shm"] {
        let mut name = path.as_os_str().to_owned();
        name.push(ending);
        // What is not there needs no removing.
        let _ = fs::remove_file(PathBuf::from(name));
    }
}
