//! The program `mirrorlab`: its commands, their flags, their exit codes.
//!
//! - [`run`](mod@run): runs scenario files
//! - [`serve`]: the mirroring server by itself
//! - [`simulate`]: SuperOffice's side by itself, against any endpoint
//! - [`conformance`]: whether an endpoint keeps to the rules of the wire
//! - [`record`]: writes down every call on its way to an endpoint
//! - [`replay`]: sends recorded calls again
//! - [`keys`]: makes certificates and keys for a trial
//! - [`tables`]: which tables of a schema are mirrored, and why not
//! - [`invalidate`]: has tables sent anew
//! - [`compare`]: compares two databases
//! - [`database`]: a database that a command line names
//! - [`defects`]: broken servers, and what catches each
//! - [`fuzz`]: histories drawn at random
//! - [`completions`]: completions for a shell
//! - [`schema`]: the JSON Schema of scenario files
//! - `signals`: the signals that end a program
//! - [`values`]: reading what stands behind a flag
//!
//! Each command is a struct of its flags and a function that runs it. Errors come back as one [`CliError`]; only
//! [`main`] prints them.

use std::io::{self, Write};
use std::process::ExitCode;

use clap::{Parser, Subcommand};

pub mod compare;
pub mod completions;
pub mod conformance;
pub mod database;
pub mod defects;
pub mod fuzz;
pub mod invalidate;
pub mod keys;
pub mod record;
pub mod replay;
pub mod run;
pub mod schema;
pub mod serve;
mod signals;
pub mod simulate;
pub mod tables;
pub mod values;

/// How the program ends.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Exit {
    /// 0: all holds; done.
    Held,
    /// 1: a check failed, or two databases differ.
    Failed,
    /// 2: wrong usage: a flag, a key, a certificate, a configuration.
    Usage,
    /// 3: a scenario file cannot be read.
    Scenario,
    /// 4: the run itself broke: a port in use, a full disk, a database that cannot be read.
    Broken,
}

impl Exit {
    /// The number that the shell sees.
    pub fn code(self) -> u8 {
        match self {
            Exit::Held => 0,
            Exit::Failed => 1,
            Exit::Usage => 2,
            Exit::Scenario => 3,
            Exit::Broken => 4,
        }
    }
}

/// Why a command ended early: one clear message, with the place and what was expected.
#[derive(Debug, thiserror::Error)]
#[error("{message}")]
pub struct CliError {
    /// How the program ends.
    pub exit: Exit,
    /// The message, which [`main`] prints behind `error: `.
    pub message: String,
}

impl CliError {
    /// Wrong usage, exit code 2.
    pub fn usage(message: impl ToString) -> CliError {
        CliError {
            exit: Exit::Usage,
            message: message.to_string(),
        }
    }

    /// A scenario file that cannot be read, exit code 3.
    pub fn scenario(message: impl ToString) -> CliError {
        CliError {
            exit: Exit::Scenario,
            message: message.to_string(),
        }
    }

    /// What broke, exit code 4.
    pub fn broken(message: impl ToString) -> CliError {
        CliError {
            exit: Exit::Broken,
            message: message.to_string(),
        }
    }

    /// Output that nobody reads any more (`mirrorlab schema | head -1`) is no error worth a word.
    pub fn output(error: io::Error) -> CliError {
        match error.kind() {
            io::ErrorKind::BrokenPipe => CliError {
                exit: Exit::Held,
                message: String::new(),
            },
            _ => CliError::broken(format!("cannot write the output: {error}")),
        }
    }
}

/// SuperOffice in a box, and the proof that your mirror is right.
#[derive(Debug, Parser)]
#[command(
    name = "mirrorlab",
    version,
    max_term_width = 110,
    after_help = "\
Examples:
  mirrorlab run scenarios                  every scenario, server and simulator included
  mirrorlab keys new keys                  certificates and keys for a trial
  mirrorlab compare source.db mirror.db    where two databases differ

`mirrorlab COMMAND --help` has each command's examples.

Exit codes:
  0  all holds
  1  a check failed
  2  wrong usage
  3  a scenario file cannot be read
  4  the run itself broke"
)]
pub struct Cli {
    /// What to do.
    #[command(subcommand)]
    pub command: Command,
}

/// What the program does.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// Run scenario files, and compare mirror and source
    Run(run::RunArgs),
    /// Run the mirroring server by itself
    Serve(serve::ServeArgs),
    /// Push to a mirroring endpoint as SuperOffice does
    Simulate(simulate::SimulateArgs),
    /// Check whether a mirroring endpoint keeps to the rules of the wire
    Conformance(conformance::ConformanceArgs),
    /// Stand before an endpoint, and write down every call and its answer
    Record(record::RecordArgs),
    /// Send recorded calls again, and compare their answers
    Replay(replay::ReplayArgs),
    /// Make certificates and keys for a trial
    Keys(keys::KeysArgs),
    /// List which tables of a schema are mirrored, which are not, and why
    Tables(tables::TablesArgs),
    /// Set LSNs to -1 in a mirror, so that its tables are sent anew
    Invalidate(invalidate::InvalidateArgs),
    /// Compare two databases: schema, and rows cell by cell
    Compare(compare::CompareArgs),
    /// List broken servers, or prove that scenarios catch every one
    Defects(defects::DefectsArgs),
    /// Draw histories of mirroring at random, run them, and make small what fails
    Fuzz(fuzz::FuzzArgs),
    /// Print completions for a shell
    Completions(completions::CompletionsArgs),
    /// Print the JSON Schema of scenario files
    Schema(schema::SchemaArgs),
}

/// Reads the command line, runs the command, prints its error.
pub fn main() -> ExitCode {
    let cli = Cli::parse();
    let done = match cli.command {
        Command::Run(args) => run::run(args),
        Command::Serve(args) => serve::run(args),
        Command::Simulate(args) => simulate::run(args),
        Command::Conformance(args) => conformance::run(args),
        Command::Record(args) => record::run(args),
        Command::Replay(args) => replay::run(args),
        Command::Keys(args) => keys::run(args),
        Command::Tables(args) => tables::run(args),
        Command::Invalidate(args) => invalidate::run(args),
        Command::Compare(args) => compare::run(args),
        Command::Defects(args) => defects::run(args),
        Command::Fuzz(args) => fuzz::run(args),
        Command::Completions(args) => completions::run(args),
        Command::Schema(args) => schema::run(args),
    };
    let exit = done.unwrap_or_else(|error| {
        if !error.message.is_empty() {
            // Where not even stderr takes it, the exit code still says it.
            let _ = writeln!(io::stderr(), "error: {}", error.message);
        }
        error.exit
    });
    ExitCode::from(exit.code())
}

/// Writes to stdout.
///
/// # Errors
/// [`CliError::output`].
pub fn print(text: &str) -> Result<(), CliError> {
    let mut out = io::stdout().lock();
    out.write_all(text.as_bytes())
        .and_then(|()| out.flush())
        .map_err(CliError::output)
}

/// Writes a part of a report to stdout. Where nobody reads on (`mirrorlab compare a.db b.db | head -1`), the command still
/// goes on to its verdict, which its exit code says.
///
/// # Errors
/// [`CliError::output`], but for a reader that has gone.
pub fn tell(text: &str) -> Result<(), CliError> {
    let mut out = io::stdout().lock();
    unless_unread(out.write_all(text.as_bytes()).and_then(|()| out.flush()))
}

/// The same for a report that is written elsewhere.
///
/// # Errors
/// [`CliError::output`], but for a reader that has gone.
pub fn unless_unread(written: io::Result<()>) -> Result<(), CliError> {
    match written {
        Err(error) if error.kind() == io::ErrorKind::BrokenPipe => Ok(()),
        written => written.map_err(CliError::output),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use clap::CommandFactory as _;

    #[test]
    fn the_command_line_is_sound() {
        Cli::command().debug_assert();
    }

    #[test]
    fn every_command_has_help_with_an_example() {
        for command in Cli::command().get_subcommands().flat_map(|c| {
            let inner: Vec<_> = c.get_subcommands().collect();
            if inner.is_empty() { vec![c] } else { inner }
        }) {
            let help = command
                .get_after_help()
                .map(ToString::to_string)
                .unwrap_or_default();
            assert!(help.contains("  mirrorlab "), "{}", command.get_name());
        }
    }
}
