//! `mirrorlab tables`.

use std::fmt::Write as _;
use std::path::PathBuf;

use clap::Args;
use mirrorlab_protocol::names::same_name;
use mirrorlab_simulator::blocked::SkipTable;
use mirrorlab_simulator::schema_file::{self, Schema};

use super::{CliError, Exit, print};

/// The flags of `mirrorlab tables`.
#[derive(Debug, Clone, Args)]
#[command(after_help = "\
SuperOffice never mirrors the tables on its blocked list; an application leaves
out further ones by its SkipTable preference.

Examples:
  mirrorlab tables --schema my.schema
  mirrorlab tables --schema my.schema --skip document --skip y_cars
  mirrorlab tables --schema calls/00002-Cust24709-TableSchema.call
  mirrorlab tables                         the built-in tables of a SuperOffice database

A schema file:
  table contact
      contact_id   int            not null
      name         nvarchar(219)  not null  default (N'')

or a captured TableSchema call: the XML that SuperOffice sent, with or without its
HTTP headers, or a file that `mirrorlab record` wrote. What is captured was sent:
the blocked list does not apply to it.")]
pub struct TablesArgs {
    /// The schema file, or a captured TableSchema call [default: the built-in tables of a SuperOffice database]
    #[arg(long, value_name = "FILE")]
    pub schema: Option<PathBuf>,
    /// A table that the SkipTable preference names; may be given several times
    #[arg(long, value_name = "TABLE")]
    pub skip: Vec<String>,
}

/// Runs the command.
///
/// # Errors
/// [`CliError`].
pub fn run(args: TablesArgs) -> Result<Exit, CliError> {
    let schema = match &args.schema {
        Some(path) => schema_file::load(path).map_err(CliError::usage)?,
        None => Schema {
            tables: schema_file::superoffice().to_vec(),
            is_captured: false,
        },
    };
    let tables = &schema.tables;
    if let Some(unknown) = args
        .skip
        .iter()
        .find(|name| !tables.iter().any(|t| same_name(&t.name, name)))
    {
        return Err(CliError::usage(format!(
            "--skip {unknown}: the schema has no such table"
        )));
    }
    let skip = SkipTable::new(&args.skip).with_captured(schema.captured());
    let width = tables.iter().map(|t| t.name.chars().count()).max().unwrap_or(0);
    let mut out = String::new();
    let mut mirrored = 0;
    for table in tables {
        let _ = match skip.why_not(&table.name) {
            None => {
                mirrored += 1;
                writeln!(out, "{:<width$}  mirrored", table.name)
            }
            Some(why) => writeln!(out, "{:<width$}  not mirrored: {why}", table.name),
        };
    }
    let _ = writeln!(
        out,
        "\n{} tables: {mirrored} mirrored, {} not",
        tables.len(),
        tables.len() - mirrored
    );
    if schema.is_captured {
        out.push_str("captured: sent as captured, whatever the blocked list says\n");
    }
    print(&out)?;
    Ok(Exit::Held)
}
