//! `mirrorlab fuzz`.

use std::io::{self, IsTerminal as _};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use clap::Args;
use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};
use mirrorlab_simulator::endpoint::https::shown;

use super::run::TargetArgs;
use super::{CliError, Exit, print, tell, values};
use crate::defects::catalogue;
use crate::fuzz::case::{Ground, WORLD_SEED};
use crate::fuzz::failures;
use crate::fuzz::fuzzer::{End, Fuzzer, Limits, Progress};
use crate::fuzz::shrink::shrink;
use crate::report::Verdict;
use crate::run::foreign::TargetError;
use crate::run::host::Transport;
use crate::run::keys::RunKeys;
use crate::run::runner::quoted;
use crate::run::world::WorldSettings;

/// How many cases there are where nothing says how many.
const CASES_DEFAULT: u64 = 1000;
/// The same against an endpoint that is not ours.
const FOREIGN_CASES_DEFAULT: u64 = 50;

/// The built-in server's mirrors are SQLite files here.
const MIRROR_HELP: &str = "Where the endpoint's mirrors are: `sqlite:` and a directory of Mirror_{context}.db, or a path \
     with {context} in it; or env:NAME or @FILE, which hold mssql://user:password@host:port/Mirror_{context}; \
     without it rows are not compared";

/// The flags of `mirrorlab fuzz`.
#[derive(Debug, Clone, Args)]
#[command(after_help = "\
Draws whole histories of mirroring: changes, schema changes, backups and
restores, lost weeks, faults, wrong tokens, several tenants. Each is run in
this process, without HTTPS, and a model of the rules says what every step of it
must come to. What fails is made small, and kept as a scenario file.

With --endpoint the histories are made of what is possible from outside, 50 of
them unless --cases, --cycles or --time says otherwise; each has tenants of its
own, which stay there. Without --mirror answers and LSNs alone are judged.

Examples:
  mirrorlab fuzz                              1000 histories
  mirrorlab fuzz --seed 7 --time 10min --jobs 2
  mirrorlab fuzz --seed 7 --case 31           one history again
  mirrorlab fuzz --seed 7 --case 31 --print   the same as a scenario file
  mirrorlab run fuzz-failures                 what failed once
  mirrorlab fuzz --endpoint https://localhost:8443/MirroringClientService.svc \\
      --keys keys --ca keys/tls-ca.pem --application-id my-app \\
      --mirror sqlite:mirrors --time 5min

Exit codes: 0 every property held; 1 one did not, now or in a history that was
kept; 2 wrong flags; 3 a mistake in a kept history's file; 4 something broke,
which says nothing of the mirror.")]
#[command(mut_arg("mirror", |arg| arg.help(MIRROR_HELP)))]
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
    #[arg(long, value_name = "ID", conflicts_with = "endpoint")]
    pub defect: Option<String>,
    /// Do not make small what fails
    #[arg(long)]
    pub no_shrink: bool,
    /// Keep every history's databases and messages in this directory
    #[arg(long, value_name = "DIR")]
    pub keep: Option<PathBuf>,
    /// An endpoint that is not ours.
    #[command(flatten)]
    pub target: TargetArgs,
}

/// Runs the command.
///
/// # Errors
/// [`CliError`].
pub fn run(args: FuzzArgs) -> Result<Exit, CliError> {
    let place = place()?;
    // It calls an endpoint that is not ours, to the end.
    let runtime;
    let world = match (args.target.target()?, &args.target.mirror) {
        (Some(target), _) => {
            runtime = tokio::runtime::Builder::new_multi_thread()
                .enable_all()
                .build()
                .map_err(|why| CliError::broken(format!("cannot start the network runtime: {why}")))?;
            let world = target.settings(WORLD_SEED, runtime.handle());
            world.map_err(|error| match error {
                TargetError::Usage(text) => CliError::usage(text),
                TargetError::NoEndpoint(text) => CliError::broken(text),
            })?
        }
        (None, Some(_)) => {
            return Err(CliError::usage(
                "--mirror: it is an endpoint's; without --endpoint each history has mirrors of its own",
            ));
        }
        (None, None) => {
            let keys = RunKeys::fixed().map_err(CliError::broken)?;
            WorldSettings::new(keys, WORLD_SEED, transport(args.defect.as_deref())?)
        }
    };
    if let Some(dir) = &args.keep {
        std::fs::create_dir_all(dir)
            .map_err(|why| CliError::usage(format!("--keep {}: {why}", dir.display())))?;
    }
    let dir = args.keep.clone().unwrap_or_else(|| place.path().to_owned());
    let mut ground = Ground::of(world, dir);
    ground.keep = args.keep.is_some();
    if let (true, Some(case)) = (args.print, args.case) {
        let history = ground.draw(args.seed, case);
        print(&crate::scenario::emit::emit(&history.scenario))?;
        return Ok(Exit::Held);
    }
    let limits = match args.case {
        Some(_) => Limits {
            cases: Some(1),
            ..Limits::default()
        },
        None => Limits {
            cases: match (args.cases, args.cycles, args.time) {
                (None, None, None) if ground.is_foreign() => Some(FOREIGN_CASES_DEFAULT),
                (None, None, None) => Some(CASES_DEFAULT),
                (cases, ..) => cases,
            },
            cycles: args.cycles,
            time: args.time,
        },
    };
    let named = ground.world.tenants.beginning();
    let named = named.map(|beginning| format!(", tenants {beginning}…"));
    tell(&format!(
        "seed {}, {}{}\n",
        args.seed,
        said(&args, &limits),
        named.unwrap_or_default()
    ))?;
    if ground.world.mirrors.is_none() {
        tell("rows are not compared, only answers and LSNs: no --mirror was given\n")?;
    }
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
            let mut quiet = ground.clone();
            quiet.dir = place.path().to_owned();
            quiet.keep = false;
            let (history, broken, runs) = match args.no_shrink {
                true => (*history, *broken, 0),
                false => {
                    let small = shrink(&history, &broken, &quiet);
                    (small.history, small.broken, small.runs)
                }
            };
            let text = failures::text(&history, &broken, args.seed, case, &flags(&args));
            let file = failures::keep(&args.failures, &history, &text).map_err(|why| {
                CliError::broken(format!("cannot write into {}: {why}", args.failures.display()))
            })?;
            let repeat = repeat(&file, &args);
            let failure = failures::report(&history, &broken, &file, &text, args.seed, repeat);
            tell(&format!(
                "\nFAIL case {case}: {}, {}\n{}\n{text}\n",
                failure.check,
                match args.no_shrink {
                    true => "as it was drawn".to_owned(),
                    false => format!("made small in {}", counted(runs.into(), "run")),
                },
                failure.text()
            ))?;
            Exit::Failed
        }
    };
    tell(&format!(
        "{}{}, {} in {took:.1} s ({:.0} a second); seed {}\n{}",
        counted(progress.cases, "case"),
        // The one that failed is not among them.
        if new == Exit::Failed { " held" } else { "" },
        counted(progress.cycles, "cycle"),
        progress.cycles as f64 / took.max(0.001),
        args.seed,
        // One history has not met much, and nobody expects it to.
        match args.case {
            None => progress.coverage.text(),
            Some(_) => String::new(),
        }
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

/// The server of this process, sound or with a defect.
fn transport(defect: Option<&str>) -> Result<Transport, CliError> {
    let Some(id) = defect else {
        return Ok(Transport::InProcess);
    };
    match catalogue::find(id) {
        Some(defect) => Ok(Transport::Defective(defect)),
        None => Err(CliError::usage(format!(
            "there is no defect `{id}`; `mirrorlab defects` lists them"
        ))),
    }
}

/// `1 case`, `2 cases`.
fn counted(count: u64, what: &str) -> String {
    let plural = if count == 1 { "" } else { "s" };
    format!("{count} {what}{plural}")
}

/// What is going to be drawn, for the first line.
fn said(args: &FuzzArgs, limits: &Limits) -> String {
    if let Some(case) = args.case {
        return format!("case {case}");
    }
    let mut parts = Vec::new();
    parts.extend(limits.cases.map(|n| counted(n, "case")));
    parts.extend(limits.cycles.map(|n| format!("until {n} cycles have run")));
    parts.extend(limits.time.map(|t| format!("for {} s", t.as_secs_f64())));
    parts.extend(
        args.defect
            .iter()
            .map(|id| format!("a server with the defect {id}")),
    );
    parts.extend(args.target.endpoint.as_deref().map(|url| shown(url).to_owned()));
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
        match ground.run(scenario).verdict {
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
            // Not all that failed in process is possible at an endpoint that is not ours.
            Verdict::Skipped { reasons } if ground.is_foreign() => tell(&format!(
                "skipped {}: {}\n",
                scenario.file.display(),
                reasons.join("; ")
            ))?,
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

/// The flags that name the server, each after a blank.
fn flags(args: &FuzzArgs) -> String {
    match &args.defect {
        Some(id) => format!(" --defect {id}"),
        None => args.target.repeat_flags(),
    }
}

fn repeat(file: &Path, args: &FuzzArgs) -> String {
    let file = quoted(&file.display().to_string());
    match (&args.defect, &args.target.endpoint) {
        (Some(id), _) => format!("mirrorlab defects {file} --only {id}"),
        (None, Some(_)) => format!("mirrorlab run {file}{}", args.target.repeat_flags()),
        (None, None) => format!("mirrorlab run {file} --in-process"),
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
        "{}, {}, {met} of {all} pairs of step and fault, {:.0} cycles a second",
        counted(progress.cases, "case"),
        counted(progress.cycles, "cycle"),
        progress.cycles as f64 / started.elapsed().as_secs_f64().max(0.001)
    ));
}
