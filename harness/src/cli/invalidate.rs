//! `mirrorlab invalidate`.

use std::path::PathBuf;

use clap::Args;
use mirrorlab_server::store::sqlite::SqliteStore;
use mirrorlab_server::store::{MirrorPlace, MirrorStore as _, StoreError};

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
    --table contact")]
pub struct InvalidateArgs {
    /// The mirror, a SQLite file
    #[arg(value_name = "MIRROR")]
    pub mirror: PathBuf,
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
    let count = SqliteStore::default()
        .invalidate(
            &args.tenant,
            &MirrorPlace::SqliteFile(args.mirror),
            args.table.as_deref(),
        )
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
