//! `mirrorlab keys new`.

use std::path::{Path, PathBuf};

use clap::{Args, Subcommand};
use mirrorlab_protocol::clock::{Clock as _, SystemClock};

use super::{CliError, Exit, print};
use crate::keyset::{self, KeySet, KeySetError};

/// `mirrorlab keys`.
#[derive(Debug, Clone, Args)]
pub struct KeysArgs {
    /// What to do.
    #[command(subcommand)]
    pub command: KeysCommand,
}

/// What can be done with keys.
#[derive(Debug, Clone, Subcommand)]
pub enum KeysCommand {
    /// Make a directory of certificates and keys for a trial
    New(NewArgs),
}

/// The flags of `mirrorlab keys new`.
#[derive(Debug, Clone, Args)]
#[command(after_help = "\
Makes SuperOffice's certificate and key, the application's key pair (RSA XML and
PEM), a TLS certificate for localhost with its authority, and a note that says
which file goes where. Private files are readable by their owner alone.

Examples:
  mirrorlab keys new keys
  mirrorlab keys new keys --host mirror.example.com --host 10.0.0.5")]
pub struct NewArgs {
    /// The directory; it must be new or empty
    #[arg(value_name = "DIR")]
    pub dir: PathBuf,
    /// A further name or address that the TLS certificate is for; localhost, 127.0.0.1 and ::1 always are
    #[arg(long = "host", value_name = "NAME")]
    pub hosts: Vec<String>,
}

/// Runs the command.
///
/// # Errors
/// [`CliError`].
pub fn run(args: KeysArgs) -> Result<Exit, CliError> {
    let KeysCommand::New(args) = args.command;
    // Before the keys are made, which takes a while; `write` looks again.
    check_empty(&args.dir)?;
    let set = KeySet::generate(SystemClock.now(), &args.hosts).map_err(explained)?;
    set.write(&args.dir).map_err(explained)?;
    print(&format!(
        "made certificates and keys in {}; {} says which file goes where\n",
        args.dir.display(),
        args.dir.join(keyset::NOTE).display()
    ))?;
    Ok(Exit::Held)
}

fn check_empty(dir: &Path) -> Result<(), CliError> {
    let is_empty = std::fs::read_dir(dir).map_or(true, |mut entries| entries.next().is_none());
    match is_empty {
        true => Ok(()),
        false => Err(explained(KeySetError::NotEmpty(dir.to_owned()))),
    }
}

fn explained(error: KeySetError) -> CliError {
    match error {
        KeySetError::NotEmpty(_) | KeySetError::NotADirectory(_) | KeySetError::NoParent { .. } => {
            CliError::usage(error)
        }
        KeySetError::Certificate(rcgen::Error::InvalidAsn1String(_)) => {
            CliError::usage("--host takes a host's name or address, in ASCII letters")
        }
        other => CliError::broken(other),
    }
}
