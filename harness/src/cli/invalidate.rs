//! `mirrorlab invalidate`.

use std::path::PathBuf;

use clap::Args;
use mirrorlab_engines::mssql::Address;
use mirrorlab_server::hooks::NameTemplate;
use mirrorlab_server::store::mssql::{MssqlOptions, MssqlStore};
use mirrorlab_server::store::sqlite::SqliteStore;
use mirrorlab_server::store::{MirrorPlace, MirrorStore, StoreError};

use super::{CliError, Exit, print};

/// The flags of `mirrorlab invalidate`.
#[derive(Debug, Clone, Args)]
#[command(after_help = "\
Sets the LSN in the mirror's metadata table to -1: the next cycle wipes those
tables and sends them anew. It is what helps after a restored original was not
noticed. A server may be running meanwhile.

Examples:
  mirrorlab invalidate mirrors/Mirror_Cust10001.db --tenant Cust10001
  mirrorlab invalidate mirrors/Mirror_Cust10001.db --tenant Cust10001 \\
    --table contact
  mirrorlab invalidate env:MIRRORS_CONNECTION --tenant Cust10001")]
pub struct InvalidateArgs {
    /// The mirror: a SQLite file; or a SQL Server, env:NAME or @FILE, which hold
    /// mssql://user:password@host:port
    #[arg(value_name = "MIRROR")]
    pub mirror: String,
    /// The mirror's database on the SQL Server [default: the connection string's, else Mirror_ and the tenant]
    #[arg(long, value_name = "NAME")]
    pub database: Option<String>,
    /// The tenant whose mirror it is
    #[arg(long, value_name = "CONTEXT")]
    pub tenant: String,
    /// Only this table [default: all of them]
    #[arg(long, value_name = "NAME")]
    pub table: Option<String>,
}

/// Runs the command.
///
/// # Errors
/// [`CliError`].
pub fn run(args: InvalidateArgs) -> Result<Exit, CliError> {
    let (store, place) = mirror(&args)?;
    let count = store
        .invalidate(&args.tenant, &place, args.table.as_deref())
        .map_err(|error| match error {
            StoreError::NoMirror { .. }
            | StoreError::NoMetadata { .. }
            | StoreError::NotInMetadata { .. } => CliError::usage(error),
            other => CliError::broken(other),
        })?;
    let tables = match count {
        1 => "1 table".to_owned(),
        n => format!("{n} tables"),
    };
    print(&format!(
        "{tables} of {}: LSN -1, the next cycle sends all rows anew\n",
        args.tenant
    ))?;
    Ok(Exit::Held)
}

fn mirror(args: &InvalidateArgs) -> Result<(Box<dyn MirrorStore>, MirrorPlace), CliError> {
    if !Address::is_one(&args.mirror) {
        if args.database.is_some() {
            return Err(CliError::usage(
                "--database is for a mirror on a SQL Server; a SQLite file is one mirror",
            ));
        }
        let place = MirrorPlace::SqliteFile(PathBuf::from(&args.mirror));
        return Ok((Box::new(SqliteStore::default()), place));
    }
    let address = Address::read(&args.mirror).map_err(CliError::usage)?;
    let database = match &args.database {
        Some(name) => name.clone(),
        None if address.names_database() => address.database.clone(),
        None => NameTemplate::default().name(&args.tenant),
    };
    let store = MssqlStore::new(address, MssqlOptions::default());
    Ok((Box::new(store), MirrorPlace::SqlServerDatabase(database)))
}
