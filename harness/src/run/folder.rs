//! A folder of scenarios, run in one call: for tests written in Rust.

use std::path::{Path, PathBuf};

use mirrorlab_protocol::clock::{Clock as _, SystemClock};
use mirrorlab_simulator::schema_file::superoffice;

use super::foreign::Target;
use super::host::Transport;
use super::keys::RunKeys;
use super::runner::{self, RunSettings};
use super::world::WorldSettings;
use crate::report::{RunResult, RunVerdict};
use crate::scenario::Catalogue;
use crate::scenario::discover::discover;
use crate::scenario::model::Scenario;

/// How wide a mistake in a scenario file is shown, in characters.
const WIDTH: usize = 110;

/// Runs every scenario in a file or folder against the built-in server inside this process, with keys and databases of
/// its own in a temporary place. It blocks, needs no runtime, and may be called from an async test.
///
/// # Errors
/// A text for people where a file cannot be read, or nothing can be run.
pub fn run_folder(path: impl AsRef<Path>, seed: u64) -> Result<RunResult, String> {
    let scenarios = read(path.as_ref())?;
    let keys = RunKeys::generate(SystemClock.now()).map_err(|error| error.to_string())?;
    run_all(&scenarios, WorldSettings::new(keys, seed, Transport::InProcess))
}

/// Runs every scenario in a file or folder that is possible against an endpoint; the others are skipped, with their
/// reasons. It blocks. In an async test, the endpoint must not live on the same runtime's only thread.
///
/// # Errors
/// A text for people where a file cannot be read, or there is no endpoint.
pub fn run_folder_at(path: impl AsRef<Path>, seed: u64, target: &Target) -> Result<RunResult, String> {
    let scenarios = read(path.as_ref())?;
    // A runtime of its own, on a thread of its own: whoever calls may be inside one.
    std::thread::scope(|scope| {
        let running = scope.spawn(|| {
            let runtime = tokio::runtime::Builder::new_multi_thread()
                .worker_threads(1)
                .enable_all()
                .build()
                .map_err(|why| format!("cannot start the network runtime: {why}"))?;
            let settings = target.settings(seed, runtime.handle());
            run_all(&scenarios, settings.map_err(|error| error.to_string())?)
        });
        running
            .join()
            .unwrap_or_else(|_| Err("a defect of Mirrorlab: the run panicked".into()))
    })
}

fn read(path: &Path) -> Result<Vec<Scenario>, String> {
    let catalogue = Catalogue::new(superoffice().iter().cloned());
    let paths: Vec<PathBuf> = vec![path.to_owned()];
    discover(&paths, &[], &catalogue).map_err(|error| error.render(WIDTH, false))
}

fn run_all(scenarios: &[Scenario], world: WorldSettings) -> Result<RunResult, String> {
    let dir = tempfile::Builder::new()
        .prefix("mirrorlab-")
        .tempdir()
        .map_err(|why| format!("cannot make a temporary directory: {why}"))?;
    let settings = RunSettings {
        world,
        jobs: 1,
        dir: dir.path().to_owned(),
        keep: false,
    };
    Ok(runner::run(scenarios, &settings, &mut |_| {}))
}

/// Whether every scenario that was run held, and at least one was; otherwise each failure as a person reads it.
///
/// # Errors
/// The failures' text.
pub fn all_held(run: &RunResult) -> Result<(), String> {
    if run.verdict() == RunVerdict::Held {
        return Ok(());
    }
    if run.counts()[2] == run.scenarios.len() {
        return Err("none of the scenarios could be run; nothing was checked".into());
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
