//! `mirrorlab fuzz`.

use std::io::{self, IsTerminal as _};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use clap::Args;
use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};

use super::{CliError, Exit, print, tell, values};
use crate::defects::catalogue;
use crate::fuzz::case::Ground;
use crate::fuzz::fuzzer::{End, Fuzzer, Limits, Progress};
use crate::fuzz::shrink::shrink;
use crate::fuzz::{draw, failures};
use crate::report::Verdict;
use crate::run::host::Transport;
use crate::run::keys::RunKeys;

/// How many cases there are where nothing says how many.
const CASES_DEFAULT: u64 = 1000;

/// The flags of `mirrorlab fuzz`.
#[derive(Debug, Clone, Args)]
#[command(after_help = "\
Draws whole histories of mirroring: changes, schema changes, backups and
restores, lost weeks, faults, wrong tokens, several tenants. Each is run in
this process, without HTTPS, and a model of the rules says what every step of it
must come to. What fails is made small, and kept as a scenario file.

Examples:
  mirrorlab fuzz                              1000 histories
  mirrorlab fuzz --seed 7 --time 10min --jobs 2
  mirrorlab fuzz --seed 7 --case 31           one history again
  mirrorlab fuzz --seed 7 --case 31 --print   the same as a scenario file
  mirrorlab run fuzz-failures                 what failed once")]
pub struct FuzzArgs {
    /// Draw everything from this seed
    #[arg(long, value_name = "NUMBER", default_value_t = 1)]
    pub seed: u64,
    /// Run so many histories
    #[arg(long, value_name = "NUMBER", value_parser = clap::value_parser!(u64).range(1..))]
    pub cases: Option<u64>,
    /// End once so many cycles have run
    #[arg(long, value_name = "NUMBER", value_parser = clap::value_parser!(u64).range(1..))]
    pub cycles: Option<u64>,
    /// End after this time: 30s, 20min, 2h
    #[arg(long, value_name = "TIME", value_parser = values::duration)]
    pub time: Option<Duration>,
    /// Run the history of this number alone
    #[arg(long, value_name = "NUMBER", conflicts_with_all = ["cases", "cycles", "time"])]
    pub case: Option<u64>,
    /// Print the history as a scenario file, and run nothing
    #[arg(long, requires = "case")]
    pub print: bool,
    /// How many histories run side by side; what comes out is the same
    #[arg(long, value_name = "NUMBER", default_value_t = 1, value_parser = clap::value_parser!(u16).range(1..=256))]
    pub jobs: u16,
    /// Keep what fails in this directory, and run what is there first
    #[arg(long, value_name = "DIR", default_value = "fuzz-failures")]
    pub failures: PathBuf,
    /// Fuzz the broken server with this id, see `mirrorlab defects`
    #[arg(long, value_name = "ID")]
    pub defect: Option<String>,
    /// Do not make small what fails
    #[arg(long)]
    pub no_shrink: bool,
    /// Keep every history's databases and messages in this directory
    #[arg(long, value_name = "DIR")]
    pub keep: Option<PathBuf>,
}

/// Runs the command.
///
/// # Errors
/// [`CliError`].
pub fn run(args: FuzzArgs) -> Result<Exit, CliError> {
    if let (true, Some(case)) = (args.print, args.case) {
        let history = draw::history(args.seed, case);
        print(&crate::scenario::emit::emit(&history.scenario))?;
        return Ok(Exit::Held);
    }
    let place = place()?;
    let transport = match &args.defect {
        None => Transport::InProcess,
        Some(id) => Transport::Defective(catalogue::find(id).ok_or_else(|| {
            CliError::usage(format!(
                "there is no defect `{id}`; `mirrorlab defects` lists them"
            ))
        })?),
    };
    if let Some(dir) = &args.keep {
        std::fs::create_dir_all(dir)
            .map_err(|why| CliError::usage(format!("--keep {}: {why}", dir.display())))?;
    }
    let ground = Ground {
        keys: RunKeys::fixed().map_err(CliError::broken)?,
        transport,
        dir: args.keep.clone().unwrap_or_else(|| place.path().to_owned()),
        keep: args.keep.is_some(),
    };
    let limits = match args.case {
        Some(_) => Limits {
            cases: Some(1),
            ..Limits::default()
        },
        None => Limits {
            cases: match (args.cases, args.cycles, args.time) {
                (None, None, None) => Some(CASES_DEFAULT),
                (cases, ..) => cases,
            },
            cycles: args.cycles,
            time: args.time,
        },
    };
    tell(&format!("seed {}, {}\n", args.seed, said(&args, &limits)))?;
    let old = again(&args, &ground)?;
    let fuzzer = Fuzzer {
        ground: &ground,
        seed: args.seed,
        from: args.case.unwrap_or(0),
        limits,
        jobs: usize::from(args.jobs),
    };
    let bar = bar();
    let started = Instant::now();
    let (progress, end) = fuzzer.run(&mut |progress| show(&bar, progress, started));
    bar.finish_and_clear();
    let took = started.elapsed().as_secs_f64();
    let new = match end {
        End::Held => Exit::Held,
        End::Stuck { case, history, why } => {
            let text = crate::scenario::emit::emit(&history.scenario);
            tell(&format!("\nBROKEN case {case}: {why}\n\n{text}"))?;
            Exit::Broken
        }
        End::Failed {
            case,
            history,
            broken,
        } => {
            let quiet = Ground {
                dir: place.path().to_owned(),
                keep: false,
                ..ground.clone()
            };
            let (history, broken, runs) = match args.no_shrink {
                true => (*history, *broken, 0),
                false => {
                    let small = shrink(&history, &broken, &quiet);
                    (small.history, small.broken, small.runs)
                }
            };
            let text = failures::text(&history, &broken, args.seed, case);
            let file = failures::keep(&args.failures, &history, &text).map_err(|why| {
                CliError::broken(format!("cannot write into {}: {why}", args.failures.display()))
            })?;
            let repeat = repeat(&file, args.defect.as_deref());
            let failure = failures::report(&broken, &file, &text, args.seed, repeat);
            tell(&format!(
                "\nFAIL case {case}: {}, made small in {runs} runs\n{}\n{text}\n",
                failure.check,
                failure.text()
            ))?;
            Exit::Failed
        }
    };
    tell(&format!(
        "{} cases, {} cycles in {took:.1} s ({:.0} a second); seed {}\n{}",
        progress.cases,
        progress.cycles,
        progress.cycles as f64 / took.max(0.001),
        args.seed,
        progress.coverage.text()
    ))?;
    Ok(worse(new, old))
}

/// How both ended together, as a run of scenarios has it.
fn worse(one: Exit, other: Exit) -> Exit {
    match (one, other) {
        (Exit::Held, only) | (only, Exit::Held) => only,
        (Exit::Failed, Exit::Failed) => Exit::Failed,
        _ => Exit::Broken,
    }
}

/// What is going to be drawn, for the first line.
fn said(args: &FuzzArgs, limits: &Limits) -> String {
    if let Some(case) = args.case {
        return format!("case {case}");
    }
    let mut parts = Vec::new();
    parts.extend(limits.cases.map(|n| format!("{n} cases")));
    parts.extend(limits.cycles.map(|n| format!("until {n} cycles have run")));
    parts.extend(limits.time.map(|t| format!("for {} s", t.as_secs_f64())));
    parts.extend(
        args.defect
            .iter()
            .map(|id| format!("a server with the defect {id}")),
    );
    parts.join(", ")
}

/// What failed once runs first.
fn again(args: &FuzzArgs, ground: &Ground) -> Result<Exit, CliError> {
    if args.case.is_some() || args.defect.is_some() {
        return Ok(Exit::Held);
    }
    let kept =
        failures::kept(&args.failures).map_err(|e| CliError::scenario(e.render(110, false).trim_end()))?;
    let mut exit = Exit::Held;
    for scenario in &kept {
        match failures::run(scenario, ground).verdict {
            Verdict::Failed { failures } => {
                exit = worse(exit, Exit::Failed);
                tell(&format!("FAIL {} still fails\n", scenario.file.display()))?;
                for failure in failures {
                    tell(&failure.text())?;
                }
            }
            // What could not be run has not been shown to hold.
            Verdict::Broken { reason } => {
                exit = worse(exit, Exit::Broken);
                tell(&format!("BROKEN {}: {reason}\n", scenario.file.display()))?;
            }
            Verdict::Skipped { reasons } => {
                exit = worse(exit, Exit::Broken);
                let reasons = reasons.join("; ");
                tell(&format!(
                    "BROKEN {}: skipped: {reasons}\n",
                    scenario.file.display()
                ))?;
            }
            Verdict::Held => {}
        }
    }
    if !kept.is_empty() {
        tell(&format!(
            "{} kept in {} run again\n",
            match kept.len() {
                1 => "1 history".to_owned(),
                n => format!("{n} histories"),
            },
            args.failures.display()
        ))?;
    }
    Ok(exit)
}

fn repeat(file: &Path, defect: Option<&str>) -> String {
    match defect {
        None => format!("mirrorlab run {} --in-process", file.display()),
        Some(id) => format!("mirrorlab defects {} --only {id}", file.display()),
    }
}

/// Worlds live in memory where the system has a place for that.
pub(super) fn place() -> Result<tempfile::TempDir, CliError> {
    let memory = Path::new("/dev/shm");
    let mut builder = tempfile::Builder::new();
    let builder = builder.prefix("mirrorlab-");
    let made = match memory.is_dir() {
        true => builder.tempdir_in(memory).or_else(|_| builder.tempdir()),
        false => builder.tempdir(),
    };
    made.map_err(|why| CliError::broken(format!("cannot make a temporary directory: {why}")))
}

fn bar() -> ProgressBar {
    let target = match io::stderr().is_terminal() {
        true => ProgressDrawTarget::stderr_with_hz(4),
        false => ProgressDrawTarget::hidden(),
    };
    let bar = ProgressBar::with_draw_target(None, target);
    if let Ok(template) = ProgressStyle::with_template("{spinner} {msg}") {
        bar.set_style(template);
    }
    bar
}

fn show(bar: &ProgressBar, progress: &Progress, started: Instant) {
    bar.tick();
    if bar.is_hidden() {
        return;
    }
    let (met, all) = progress.coverage.pairs();
    bar.set_message(format!(
        "{} cases, {} cycles, {met} of {all} pairs of step and fault, {:.0} cycles a second",
        progress.cases,
        progress.cycles,
        progress.cycles as f64 / started.elapsed().as_secs_f64().max(0.001)
    ));
}
