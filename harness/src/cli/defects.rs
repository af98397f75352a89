//! `mirrorlab defects`.

use std::path::PathBuf;

use clap::Args;
use mirrorlab_protocol::clock::{Clock as _, SystemClock};

use super::{CliError, Exit, print};
use crate::defects::Defect;
use crate::defects::catalogue::{self, ALL};
use crate::defects::hunt::Hunt;
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
  mirrorlab defects --markdown                     the same as a page")]
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
        print(&catalogue::markdown())?;
        return Ok(Exit::Held);
    }
    let chosen = chosen(&args.only)?;
    if args.paths.is_empty() {
        for defect in &chosen {
            print(&format!(
                "{:<28} {}\n{:28} {}\n{:28} caught by {}: {}\n",
                defect.id, defect.title, "", defect.mistake, "", defect.scenario, defect.check
            ))?;
        }
        print(&format!("\n{} broken servers\n", chosen.len()))?;
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
    print(&format!(
        "seed {}, {} scenarios, {} broken servers\n",
        args.seed,
        scenarios.len(),
        chosen.len()
    ))?;
    let mut escaped = 0;
    for defect in &chosen {
        let caught = match args.all {
            true => hunt.all(defect),
            false => hunt.hunt(defect).into_iter().collect(),
        };
        if caught.is_empty() {
            escaped += 1;
            print(&format!("ESCAPED {:<28} {}\n", defect.id, defect.title))?;
        }
        for caught in caught {
            print(&format!(
                "caught  {:<28} {}: {}\n",
                defect.id, caught.scenario, caught.check
            ))?;
        }
    }
    print(&format!(
        "\n{} broken servers: {} caught, {escaped} escaped\n",
        chosen.len(),
        chosen.len() - escaped
    ))?;
    Ok(if escaped == 0 { Exit::Held } else { Exit::Failed })
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
