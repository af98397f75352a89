//! `mirrorlab conformance`.

use std::fmt::Write as _;
use std::io;
use std::path::{Path, PathBuf};
use std::time::Duration;

use clap::Args;
use mirrorlab_simulator::endpoint::https::Trust;

use super::{CliError, Exit, print, unless_unread, values};
use crate::conformance::expected::ExpectedFailures;
use crate::conformance::report::Terminal;
use crate::conformance::wire::Limits;
use crate::conformance::{
    CALL_TIMEOUT_DEFAULT, CONNECT_TIMEOUT_DEFAULT, MirrorAt, Options, RunError, catalogue, run_telling,
};
use crate::report::Style;

/// The flags of `mirrorlab conformance`.
#[derive(Debug, Clone, Args)]
#[command(after_help = "\
Asks a mirroring endpoint, in whatever language, some 450 questions in its own
protocol, each for a tenant of its own (Cust and digits), and reports which
rules of docs/protocol.md it breaks. Without --mirror it is judged by its
answers and by the LSNs it keeps; with it, rows are compared too.

A file for --expected has a check's id and a reason a line. A failure that is
expected and does not come is an error.

Examples:
  mirrorlab conformance --endpoint https://localhost:8443/MirroringClientService.svc \\
    --application-id my-app --keys keys --ca keys/tls-ca.pem
  mirrorlab conformance … --mirror sqlite:mirrors --html report.html --junit report.xml
  mirrorlab conformance … --mirror 'sqlite:data/{context}/mirror.sqlite' --must-only
  mirrorlab conformance … --only trust --only values.text-cr
  mirrorlab conformance --list

Exit codes: 0 every rule holds; 1 one is broken; 2 wrong flags; 4 there is no
endpoint to ask, or a check could not tell.")]
pub struct ConformanceArgs {
    /// The endpoint's URL
    #[arg(long, value_name = "URL", required_unless_present = "list")]
    pub endpoint: Option<String>,
    /// The directory with SuperOffice's key and the application's public key, as `keys new` makes it
    #[arg(long, value_name = "DIR", required_unless_present = "list")]
    pub keys: Option<PathBuf>,
    /// The application's id, as tokens name it
    #[arg(long, value_name = "ID", required_unless_present = "list")]
    pub application_id: Option<String>,
    /// Where mirrors are: `sqlite:` and a directory of Mirror_{context}.db, or a path with {context} in it; or env:NAME or
    /// @FILE, which hold mssql://user:password@host:port/Mirror_{context}
    // Read later: what a parser of the command line refuses it repeats, and a password may be in it.
    #[arg(long, value_name = "MIRROR")]
    pub mirror: Option<String>,
    /// Run only this check, or section; may be given several times
    #[arg(long, value_name = "ID")]
    pub only: Vec<String>,
    /// Run only what is a MUST
    #[arg(long)]
    pub must_only: bool,
    /// Failures that are known: an id and a reason a line
    #[arg(long, value_name = "FILE")]
    pub expected: Option<PathBuf>,
    /// Trust the endpoint's certificate by this authority, PEM, and by no other
    #[arg(long, value_name = "FILE", conflicts_with = "insecure")]
    pub ca: Option<PathBuf>,
    /// Do not check the endpoint's certificate at all
    #[arg(long)]
    pub insecure: bool,
    /// Wait so long for an answer: 30s, 2min
    #[arg(long, value_name = "TIME", default_value = "30s", value_parser = values::duration)]
    pub timeout: Duration,
    /// How many checks run side by side
    #[arg(long, value_name = "NUMBER", default_value_t = 4, value_parser = clap::value_parser!(u16).range(1..=64))]
    pub jobs: u16,
    /// Draw values from this seed
    #[arg(long, value_name = "NUMBER", default_value_t = 1)]
    pub seed: u64,
    /// Show what passes too
    #[arg(long)]
    pub verbose: bool,
    /// Write the report as JUnit XML into this file
    #[arg(long, value_name = "FILE")]
    pub junit: Option<PathBuf>,
    /// Write the report as JSON into this file
    #[arg(long, value_name = "FILE")]
    pub json: Option<PathBuf>,
    /// Write the report as one HTML page into this file
    #[arg(long, value_name = "FILE")]
    pub html: Option<PathBuf>,
    /// List all checks with their rules, and ask nothing
    #[arg(long)]
    pub list: bool,
}

/// Runs the command.
///
/// # Errors
/// [`CliError`].
pub fn run(args: ConformanceArgs) -> Result<Exit, CliError> {
    if args.list {
        return list().map(|()| Exit::Held);
    }
    let options = options(&args)?;
    let files: Vec<&Path> = [&args.junit, &args.json, &args.html]
        .into_iter()
        .flatten()
        .map(PathBuf::as_path)
        .collect();
    let made = writable(&files)?;
    let mut terminal = Terminal::new(io::stdout().lock(), Style::detect(), args.verbose);
    let mut failed = None;
    let report = run_telling(&options, &mut |result| {
        if let Err(error) = terminal.ended(result) {
            failed.get_or_insert(error);
        }
    })
    .map_err(|error| {
        forget(&made);
        match error {
            RunError::Usage(text) => CliError::usage(text),
            RunError::NoEndpoint(text) | RunError::Broken(text) => CliError::broken(text),
        }
    })?;
    for (file, text) in [
        (&args.junit, report.to_junit()),
        (&args.json, report.to_json()),
        (&args.html, report.to_html()),
    ] {
        if let Some(file) = file {
            write(file, &text)?;
        }
    }
    unless_unread(failed.map_or(Ok(()), Err))?;
    unless_unread(terminal.run_ended(&report).map(drop))?;
    Ok(match (report.holds(), report.is_whole()) {
        (true, true) => Exit::Held,
        (false, _) => Exit::Failed,
        (true, false) => Exit::Broken,
    })
}

/// Asks, before anything is done, whether reports can be written, so that a run is not lost to a wrong path. What is
/// there stays until there is a new report; the files that were not there are given back.
fn writable<'a>(files: &[&'a Path]) -> Result<Vec<&'a Path>, CliError> {
    let mut made = Vec::new();
    let asked = files.iter().enumerate().try_for_each(|(at, file)| {
        if files[..at].contains(file) {
            return Err(CliError::usage(format!(
                "{}: two reports cannot go into one file",
                file.display()
            )));
        }
        let is_new = !file.exists();
        std::fs::OpenOptions::new()
            .create(true)
            .append(true)
            .open(file)
            .map_err(|why| CliError::usage(format!("cannot write {}: {why}", file.display())))?;
        if is_new {
            made.push(*file);
        }
        Ok(())
    });
    if asked.is_err() {
        forget(&made);
    }
    asked.map(|()| made)
}

/// Takes files away that were made for reports which there are not: empty ones would be taken for reports.
fn forget(made: &[&Path]) {
    for file in made {
        let _ = std::fs::remove_file(file);
    }
}

fn write(file: &Path, text: &str) -> Result<(), CliError> {
    std::fs::write(file, text)
        .map_err(|why| CliError::broken(format!("cannot write {}: {why}", file.display())))
}

fn options(args: &ConformanceArgs) -> Result<Options, CliError> {
    let (Some(endpoint), Some(keys), Some(application_id)) =
        (&args.endpoint, &args.keys, &args.application_id)
    else {
        return Err(CliError::usage(
            "--endpoint, --keys and --application-id are needed",
        ));
    };
    let mut options = Options::new(endpoint, application_id, keys)
        .map_err(|error| CliError::usage(format!("--keys: {error}")))?;
    options.trust = match (&args.ca, args.insecure) {
        (Some(file), _) => Trust::File(file.clone()),
        (None, true) => Trust::Anyone,
        (None, false) => Trust::System,
    };
    if let Some(file) = &args.expected {
        options.expected =
            ExpectedFailures::load(file).map_err(|why| CliError::usage(format!("--expected: {why}")))?;
    }
    options.mirror = args
        .mirror
        .as_deref()
        .map(MirrorAt::parse)
        .transpose()
        .map_err(|why| CliError::usage(format!("--mirror: {why}")))?;
    options.only.clone_from(&args.only);
    options.must_only = args.must_only;
    options.limits = Limits {
        connect: CONNECT_TIMEOUT_DEFAULT.min(args.timeout.max(CALL_TIMEOUT_DEFAULT / 30)),
        call: args.timeout,
    };
    options.jobs = usize::from(args.jobs);
    options.seed = args.seed;
    Ok(options)
}

/// All checks: level, id, rules, title.
fn list() -> Result<(), CliError> {
    let checks = catalogue();
    let width = checks.iter().map(|c| c.id.len()).max().unwrap_or(0);
    let mut out = String::new();
    for check in &checks {
        let _ = writeln!(
            out,
            "{:<6} {:<width$}  {:<9} {}",
            check.level.name(),
            check.id,
            check.rule,
            check.title
        );
    }
    let _ = writeln!(
        out,
        "\n{} checks; docs/conformance.md shows which rules they cover",
        checks.len()
    );
    print(&out)
}
