//! `mirrorlab run`.

use std::path::PathBuf;

use clap::Args;

use super::{CliError, Exit};

/// The flags of `mirrorlab run`.
#[derive(Debug, Clone, Args)]
#[command(after_help = "\
Starts a mirroring server on loopback, with TLS and mirrors in a temporary
place, and a simulator with certificates of its own; plays every scenario,
compares mirror and source, and says for each whether it holds.

Examples:
  mirrorlab run scenarios
  mirrorlab run scenarios/restore --keep out       keeps databases, keys and every message
  mirrorlab run scenarios --only restore-ahead --seed 42
  mirrorlab run my-scenario.yaml --json run.json")]
pub struct RunArgs {
    /// Scenario files, and directories of them
    #[arg(required = true, value_name = "PATH")]
    pub paths: Vec<PathBuf>,
    /// Keep databases, keys and every message in this directory, which must be empty or new
    #[arg(long, value_name = "DIR")]
    pub keep: Option<PathBuf>,
    /// Run only the scenario with this id; may be given several times
    #[arg(long, value_name = "ID")]
    pub only: Vec<String>,
    /// Draw everything from this seed; without it a fresh one is drawn and printed
    #[arg(long, value_name = "NUMBER")]
    pub seed: Option<u64>,
    /// How many scenarios run side by side
    #[arg(long, value_name = "NUMBER", default_value_t = 1, value_parser = clap::value_parser!(u16).range(1..=256))]
    pub jobs: u16,
    /// Write the result as JSON into this file
    #[arg(long, value_name = "FILE")]
    pub json: Option<PathBuf>,
    /// Hand each call straight to the server, with the same bytes but without HTTPS
    #[arg(long)]
    pub in_process: bool,
}

/// Runs the command.
///
/// # Errors
/// [`CliError`].
pub fn run(args: RunArgs) -> Result<Exit, CliError> {
    let _ = args;
    Err(CliError::broken("`mirrorlab run` is not in this build"))
}
