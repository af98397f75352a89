//! `mirrorlab defects`.

use std::path::PathBuf;

use clap::Args;
use mirrorlab_protocol::clock::{Clock as _, SystemClock};

use super::{CliError, Exit, tell};
use crate::defects::Defect;
use crate::defects::catalogue::{self, ALL};
use crate::defects::hunt::Hunt;
use crate::fuzz::hunt;
use crate::run::keys::RunKeys;
use crate::scenario::Catalogue;
use crate::scenario::discover::discover;

/// The flags of `mirrorlab defects`.
#[derive(Debug, Clone, Args)]
#[command(after_help = "\
A harness is worth what it catches. Here are mirroring servers with one mistake
each, as partners really make them. With scenarios, each of these servers is run
against them, without HTTPS, and the first check that fails is told.

Examples:
  mirrorlab defects                                what is wrong with each
  mirrorlab defects scenarios                      proves that scenarios catch all
  mirrorlab defects scenarios --only cr-lost --all every scenario that catches it
  mirrorlab defects --fuzz                         proves that drawn histories catch most
  mirrorlab defects --markdown                     the same as a page

Exit codes: 0 all were caught, with --fuzz nine in ten; 1 one escaped, or more
than one in ten; 2 wrong flags; 3 a mistake in a scenario file; 4 the hunt
itself broke.")]
pub struct DefectsArgs {
    /// Scenario files, and directories of them
    #[arg(value_name = "PATH")]
    pub paths: Vec<PathBuf>,
    /// Only the defect with this id; may be given several times
    #[arg(long, value_name = "ID")]
    pub only: Vec<String>,
    /// Run every scenario against a defect, not only until one catches it
    #[arg(long, requires = "paths")]
    pub all: bool,
    /// Fuzz each of them, without a scenario, until it is caught or --cycles have run
    #[arg(long, conflicts_with_all = ["paths", "markdown"])]
    pub fuzz: bool,
    /// How many cycles each may take with --fuzz
    #[arg(long, value_name = "NUMBER", default_value_t = hunt::CYCLES_DEFAULT, requires = "fuzz")]
    pub cycles: u64,
    /// How many broken servers are fuzzed side by side
    #[arg(long, value_name = "NUMBER", default_value_t = 1, requires = "fuzz", value_parser = clap::value_parser!(u16).range(1..=256))]
    pub jobs: u16,
    /// Write what --fuzz found into this file, as docs/defects-fuzzed.tsv has it
    #[arg(long, value_name = "FILE", requires = "fuzz", conflicts_with = "only")]
    pub outcome: Option<PathBuf>,
    /// Print the catalogue as a page
    #[arg(long, conflicts_with_all = ["paths", "only"])]
    pub markdown: bool,
    /// Draw everything from this seed
    #[arg(long, value_name = "NUMBER", default_value_t = 1)]
    pub seed: u64,
}

/// Runs the command.
///
/// # Errors
/// [`CliError`].
pub fn run(args: DefectsArgs) -> Result<Exit, CliError> {
    if args.markdown {
        tell(&catalogue::markdown())?;
        return Ok(Exit::Held);
    }
    let chosen = chosen(&args.only)?;
    if args.fuzz {
        return fuzz(&args, &chosen);
    }
    if args.paths.is_empty() {
        for defect in &chosen {
            tell(&format!(
                "{:<28} {}\n{:28} {}\n{:28} caught by {}: {}\n",
                defect.id, defect.title, "", defect.mistake, "", defect.scenario, defect.check
            ))?;
        }
        tell(&format!("\n{}\n", servers(chosen.len())))?;
        return Ok(Exit::Held);
    }
    let scenarios = discover(&args.paths, &[], &Catalogue::superoffice())
        .map_err(|error| CliError::scenario(error.render(110, false).trim_end()))?;
    let dir = tempfile::Builder::new().prefix("mirrorlab-").tempdir();
    let dir = dir.map_err(|why| CliError::broken(format!("cannot make a temporary directory: {why}")))?;
    let hunt = Hunt {
        scenarios: &scenarios,
        keys: RunKeys::generate(SystemClock.now()).map_err(CliError::broken)?,
        seed: args.seed,
        dir: dir.path(),
    };
    tell(&format!(
        "seed {}, {} scenarios, {}\n",
        args.seed,
        scenarios.len(),
        servers(chosen.len())
    ))?;
    let mut escaped = 0;
    for defect in &chosen {
        let caught = match args.all {
            true => hunt.all(defect),
            false => hunt.hunt(defect).into_iter().collect(),
        };
        if caught.is_empty() {
            escaped += 1;
            tell(&format!("ESCAPED {:<28} {}\n", defect.id, defect.title))?;
        }
        for caught in caught {
            tell(&format!(
                "caught  {:<28} {}: {}\n",
                defect.id, caught.scenario, caught.check
            ))?;
        }
    }
    tell(&format!(
        "\n{}: {} caught, {escaped} escaped\n",
        servers(chosen.len()),
        chosen.len() - escaped
    ))?;
    Ok(if escaped == 0 { Exit::Held } else { Exit::Failed })
}

fn tell_of(id: &str, caught: Option<&hunt::Caught>) -> Result<(), CliError> {
    tell(&match caught {
        Some(caught) => format!(
            "caught  {id:<28} {} ({}) in case {}, after {} cycles\n",
            caught.property.id(),
            caught.check,
            caught.case,
            caught.cycles
        ),
        None => format!("ESCAPED {id}\n"),
    })
}

/// Fuzzes each broken server. Nine in ten must be caught.
fn fuzz(args: &DefectsArgs, chosen: &[&'static Defect]) -> Result<Exit, CliError> {
    let dir = super::fuzz::place()?;
    let keys = RunKeys::fixed().map_err(CliError::broken)?;
    tell(&format!(
        "seed {}, {}, at most {} cycles each\n",
        args.seed,
        servers(chosen.len()),
        args.cycles
    ))?;
    let waiting = std::sync::Mutex::new(chosen.iter().enumerate());
    let (sender, receiver) = std::sync::mpsc::channel();
    let mut found: Vec<(&str, Option<hunt::Caught>)> = Vec::new();
    let told = std::thread::scope(|scope| {
        for _ in 0..args.jobs {
            let (sender, waiting, keys, dir) = (sender.clone(), &waiting, &keys, dir.path());
            scope.spawn(move || {
                loop {
                    let next = waiting
                        .lock()
                        .unwrap_or_else(std::sync::PoisonError::into_inner)
                        .next();
                    let Some((at, defect)) = next else { break };
                    let caught = hunt::hunt(defect, keys, args.seed, args.cycles, dir);
                    if sender.send((at, caught)).is_err() {
                        break;
                    }
                }
            });
        }
        drop(sender);
        // Each is told as soon as all before it are: the same lines in the same order, however many run side by side.
        let mut ready = std::collections::BTreeMap::new();
        for (at, caught) in receiver {
            ready.insert(at, caught);
            while let Some(caught) = ready.remove(&found.len()) {
                let id = chosen[found.len()].id;
                tell_of(id, caught.as_ref())?;
                found.push((id, caught));
            }
        }
        Ok::<(), CliError>(())
    });
    told?;
    let escaped = found.iter().filter(|(_, caught)| caught.is_none()).count();
    if let Some(file) = &args.outcome {
        std::fs::write(file, hunt::file(args.seed, args.cycles, &found))
            .map_err(|why| CliError::broken(format!("--outcome {}: {why}", file.display())))?;
    }
    let cycles: u64 = found
        .iter()
        .map(|(_, c)| c.as_ref().map_or(args.cycles, |c| c.cycles))
        .sum();
    tell(&format!(
        "\n{}: {} caught, {escaped} escaped, in {cycles} cycles; nine in ten must be caught\n",
        servers(chosen.len()),
        chosen.len() - escaped
    ))?;
    Ok(if escaped * 10 <= chosen.len() {
        Exit::Held
    } else {
        Exit::Failed
    })
}

fn servers(count: usize) -> String {
    match count {
        1 => "1 broken server".to_owned(),
        n => format!("{n} broken servers"),
    }
}

fn chosen(only: &[String]) -> Result<Vec<&'static Defect>, CliError> {
    if only.is_empty() {
        return Ok(ALL.iter().collect());
    }
    let find = |id: &String| {
        catalogue::find(id).ok_or_else(|| {
            let meant = crate::scenario::mistake::closest(id, ALL.iter().map(|d| d.id));
            let hint = meant.map_or_else(
                || "`mirrorlab defects` lists them".to_owned(),
                |meant| format!("did you mean `{meant}`?"),
            );
            CliError::usage(format!("there is no defect `{id}`; {hint}"))
        })
    };
    only.iter().map(find).collect()
}
