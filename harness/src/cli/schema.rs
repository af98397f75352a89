//! `mirrorlab schema`.

use clap::Args;

use super::{CliError, Exit, print};

/// The flags of `mirrorlab schema`.
#[derive(Debug, Clone, Args)]
#[command(after_help = "\
With it an editor completes and checks scenario files. Name it in the file's
first line:
  # yaml-language-server: $schema=scenario.schema.json

Examples:
  mirrorlab schema > scenario.schema.json")]
pub struct SchemaArgs {}

/// The page's own file, which a test of `scenario::parse` holds against the parser.
const SCHEMA: &str = include_str!("../../../docs/scenario.schema.json");

/// Runs the command.
///
/// # Errors
/// [`CliError`].
pub fn run(args: SchemaArgs) -> Result<Exit, CliError> {
    let SchemaArgs {} = args;
    print(SCHEMA)?;
    Ok(Exit::Held)
}
