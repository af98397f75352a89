//! `mirrorlab run`.

use std::io::{self, IsTerminal as _, Write as _};
use std::path::{Path, PathBuf};

use clap::Args;
use mirrorlab_engines::private;
use mirrorlab_protocol::clock::{Clock as _, SystemClock};
use mirrorlab_simulator::schema_file::superoffice;

use super::{CliError, Exit};
use crate::report::{RunVerdict, Style, Terminal};
use crate::run::host::Transport;
use crate::run::keys::RunKeys;
use crate::run::runner::{self, Progress, RunSettings};
use crate::run::world::WorldSettings;
use crate::scenario::Catalogue;
use crate::scenario::discover::{DiscoverError, discover};

/// How wide a mistake in a scenario file is shown, in characters.
const WIDTH: usize = 110;

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
    /// Draw everything from this seed; another one draws other rows and changes
    #[arg(long, value_name = "NUMBER", default_value_t = 1)]
    pub seed: u64,
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
    let catalogue = Catalogue::new(superoffice().iter().cloned());
    let scenarios = discover(&args.paths, &args.only, &catalogue).map_err(|error| cannot_read(&error))?;
    // Asked before anything is done, so that an hour's run is not lost to a wrong path.
    if let Some(json) = &args.json {
        std::fs::File::create(json)
            .map_err(|why| CliError::usage(format!("cannot write {}: {why}", json.display())))?;
    }
    let place = Place::new(args.keep.as_deref())?;
    let seed = args.seed;
    let keys = RunKeys::generate(SystemClock.now()).map_err(CliError::broken)?;
    if let (Some(_), Some(set)) = (&args.keep, &keys.set) {
        set.write(&place.path().join("keys")).map_err(CliError::broken)?;
    }
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .build()
        .map_err(|why| CliError::broken(format!("cannot start the network runtime: {why}")))?;
    let transport = match args.in_process {
        true => Transport::InProcess,
        false => Transport::Tls(runtime.handle().clone()),
    };
    let settings = RunSettings {
        world: WorldSettings {
            keep_messages: args.keep.is_some(),
            ..WorldSettings::new(keys, seed, transport)
        },
        jobs: usize::from(args.jobs),
        dir: place.path().to_owned(),
        keep: args.keep.is_some(),
    };
    let mut out = io::stdout().lock();
    let count = match scenarios.len() {
        1 => "1 scenario".to_owned(),
        n => format!("{n} scenarios"),
    };
    writeln!(out, "seed {seed}, {count}").map_err(CliError::output)?;
    let names = scenarios.iter().map(|s| (s.id.as_str(), s.title.as_str()));
    let mut terminal = Terminal::new(out, Style::detect(), names);
    let mut failed = None;
    let result = runner::run(&scenarios, &settings, &mut |progress| match progress {
        Progress::Begins(scenario) => terminal.begins(&scenario.id),
        Progress::Ended(ended) => {
            if let Err(error) = terminal.ended(ended) {
                failed.get_or_insert(error);
            }
        }
    });
    if let Some(error) = failed {
        return Err(CliError::output(error));
    }
    drop(terminal.run_ended(&result).map_err(CliError::output)?);
    if let Some(json) = &args.json {
        result
            .write_json(json)
            .map_err(|why| CliError::broken(format!("cannot write {}: {why}", json.display())))?;
    }
    Ok(match result.verdict() {
        RunVerdict::Held => Exit::Held,
        RunVerdict::Failed => Exit::Failed,
        RunVerdict::Broken => Exit::Broken,
    })
}

/// Where worlds are made.
enum Place {
    Kept(PathBuf),
    Passing(tempfile::TempDir),
}

impl Place {
    fn new(keep: Option<&Path>) -> Result<Place, CliError> {
        let Some(dir) = keep else {
            let made = tempfile::Builder::new().prefix("mirrorlab-").tempdir();
            let failed = |why| CliError::broken(format!("cannot make a temporary directory: {why}"));
            return made.map(Place::Passing).map_err(failed);
        };
        let failed = |why: io::Error| CliError::usage(format!("--keep {}: {why}", dir.display()));
        if dir.exists() && !dir.is_dir() {
            return Err(CliError::usage(format!(
                "--keep {}: it is not a directory",
                dir.display()
            )));
        }
        private::create_dir_all(dir).map_err(failed)?;
        if std::fs::read_dir(dir).map_err(failed)?.next().is_some() {
            return Err(CliError::usage(format!(
                "--keep {}: the directory is not empty; name a new one",
                dir.display()
            )));
        }
        Ok(Place::Kept(dir.to_owned()))
    }

    fn path(&self) -> &Path {
        match self {
            Place::Kept(path) => path,
            Place::Passing(dir) => dir.path(),
        }
    }
}

fn cannot_read(error: &DiscoverError) -> CliError {
    match error {
        DiscoverError::NoSuchId { .. } => CliError::usage(error),
        other => CliError::scenario(other.render(WIDTH, io::stderr().is_terminal()).trim_end()),
    }
}
