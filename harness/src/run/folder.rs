//! A folder of scenarios, run in one call: for tests written in Rust.

use std::path::{Path, PathBuf};

use mirrorlab_protocol::clock::{Clock as _, SystemClock};
use mirrorlab_simulator::schema_file::superoffice;

use super::host::Transport;
use super::keys::RunKeys;
use super::runner::{self, RunSettings};
use super::world::WorldSettings;
use crate::report::{RunResult, RunVerdict};
use crate::scenario::Catalogue;
use crate::scenario::discover::discover;

/// How wide a mistake in a scenario file is shown, in characters.
const WIDTH: usize = 110;

/// Runs every scenario in a file or folder against the built-in server inside this process, with keys and databases of
/// its own in a temporary place. It blocks, needs no runtime, and may be called from an async test.
///
/// # Errors
/// A text for people where a file cannot be read, or nothing can be run.
pub fn run_folder(path: impl AsRef<Path>, seed: u64) -> Result<RunResult, String> {
    let catalogue = Catalogue::new(superoffice().iter().cloned());
    let paths: Vec<PathBuf> = vec![path.as_ref().to_owned()];
    let scenarios = discover(&paths, &[], &catalogue).map_err(|error| error.render(WIDTH, false))?;
    let dir = tempfile::Builder::new()
        .prefix("mirrorlab-")
        .tempdir()
        .map_err(|why| format!("cannot make a temporary directory: {why}"))?;
    let settings = RunSettings {
        world: WorldSettings::new(
            RunKeys::generate(SystemClock.now()).map_err(|error| error.to_string())?,
            seed,
            Transport::InProcess,
        ),
        jobs: 1,
        dir: dir.path().to_owned(),
        keep: false,
    };
    Ok(runner::run(&scenarios, &settings, &mut |_| {}))
}

/// Whether every scenario held; otherwise each failure as a person reads it.
///
/// # Errors
/// The failures' text.
pub fn all_held(run: &RunResult) -> Result<(), String> {
    if run.verdict() == RunVerdict::Held {
        return Ok(());
    }
    let failures: Vec<String> = run
        .scenarios
        .iter()
        .flat_map(|scenario| {
            let failed = scenario.failures().iter().map(|f| f.text());
            let broken = match &scenario.verdict {
                crate::report::Verdict::Broken { reason } => Some(reason.clone()),
                _ => None,
            };
            failed
                .chain(broken)
                .map(|text| format!("{}: {}\n{text}", scenario.id, scenario.title))
                .collect::<Vec<_>>()
        })
        .collect();
    Err(failures.join("\n"))
}
