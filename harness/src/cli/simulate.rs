//! `mirrorlab simulate`.

use std::path::PathBuf;
use std::time::Duration;

use clap::Args;

use super::{CliError, Exit, values};

/// The flags of `mirrorlab simulate`.
#[derive(Debug, Clone, Args)]
#[command(after_help = "\
Makes source databases for the tenants Cust10001, Cust10002 …, approves the
application for each, and pushes them to the endpoint as SuperOffice's mirroring
task does: at once, then every 20 minutes unless told otherwise. Each cycle's
event is printed. Of the application's key only the public half is needed.

Examples:
  mirrorlab simulate --keys keys --application-id my-app --cycles 1 \\
    --endpoint https://localhost:8443/MirroringClientService.svc \\
    --ca keys/tls-ca.pem
  mirrorlab simulate --keys keys --application-id my-app --tenants 3 \\
    --endpoint https://example.com/crm/MirroringClientService.svc \\
    --every 30s --changes 50 --events events.jsonl --data sources")]
pub struct SimulateArgs {
    /// The endpoint's URL
    #[arg(long, value_name = "URL")]
    pub endpoint: String,
    /// The directory with SuperOffice's key and the application's public key, as `keys new` makes it
    #[arg(long, value_name = "DIR")]
    pub keys: PathBuf,
    /// The application's id, as tokens name it
    #[arg(long, value_name = "ID")]
    pub application_id: String,
    /// How many tenants there are
    #[arg(long, value_name = "NUMBER", default_value_t = 1, value_parser = clap::value_parser!(u32).range(1..=10_000))]
    pub tenants: u32,
    /// Stop after so many cycles of each tenant [default: go on until stopped]
    #[arg(long, value_name = "NUMBER", value_parser = clap::value_parser!(u64).range(1..))]
    pub cycles: Option<u64>,
    /// Begin a cycle this often: 30s, 20min
    #[arg(long, value_name = "TIME", default_value = "20min", value_parser = values::duration)]
    pub every: Duration,
    /// So many random business changes in each tenant before each further cycle
    #[arg(long, value_name = "NUMBER", default_value_t = 0)]
    pub changes: u32,
    /// Trust the endpoint's certificate by this authority, PEM, and by no other
    #[arg(long, value_name = "FILE", conflicts_with = "insecure")]
    pub ca: Option<PathBuf>,
    /// Do not check the endpoint's certificate at all
    #[arg(long)]
    pub insecure: bool,
    /// Take the tables from this schema file, in place of the built-in ones
    #[arg(long, value_name = "FILE")]
    pub schema: Option<PathBuf>,
    /// Write the event log into this file, one JSON object a line
    #[arg(long, value_name = "FILE")]
    pub events: Option<PathBuf>,
    /// Draw everything from this seed; without it a fresh one is drawn and printed
    #[arg(long, value_name = "NUMBER")]
    pub seed: Option<u64>,
    /// Keep the source databases in this directory, and go on from those that are there [default: thrown away]
    #[arg(long, value_name = "DIR")]
    pub data: Option<PathBuf>,
}

/// Runs the command.
///
/// # Errors
/// [`CliError`].
pub fn run(args: SimulateArgs) -> Result<Exit, CliError> {
    let _ = args;
    Err(CliError::broken("`mirrorlab simulate` is not in this build"))
}
