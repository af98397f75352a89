//! Conformance: whether a mirroring endpoint, in whatever language, keeps to the rules of the wire.
//!
//! - [`check`]: a check, and what may come of it
//! - [`catalogue`]: all of them, a file for each section
//! - [`mod@bench`]: what a check works with
//! - [`wire`]: HTTP by our own hands
//! - [`say`]: messages with any content
//! - [`mirror`]: the mirror's rows, where they can be looked at
//! - [`pairwise`]: values combined
//! - [`probe`]: whether there is an endpoint at all
//! - [`keys`]: what a caller's side needs of a key set
//! - [`expected`]: failures that are known
//! - [`rules`]: the rules' own words
//! - [`report`](mod@report): what came of a run, and its forms: terminal, JSON, JUnit, HTML
//!
//! Every check speaks for tenants of its own, so that checks never meet and run side by side. Where no mirror is given,
//! an endpoint is judged by its answers and by the LSNs that it keeps; where one is, rows are compared too.
//!
//! As a library: [`run`] with [`Options::new`].

pub mod bench;
pub mod check;
pub mod expected;
pub mod keys;
pub mod mirror;
pub mod pairwise;
pub mod probe;
pub mod report;
pub mod rules;
pub mod say;
mod sections;
pub mod wire;

use std::path::Path;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, mpsc};
use std::time::{Duration, Instant};

use mirrorlab_protocol::clock::{Clock, SystemClock};
use mirrorlab_simulator::endpoint::https::{HttpsError, Trust, shown};

use bench::{Bench, Shared};
pub use check::{Check, Finding, Level, Needs, Verdict};
use expected::ExpectedFailures;
use keys::{CallerKeys, CallerKeysError};
pub use mirror::MirrorAt;
pub use report::{CheckResult, Report};
pub use sections::catalogue;
use wire::{Limits, Wire};

use crate::run::foreign;

/// How long a connection may take.
pub const CONNECT_TIMEOUT_DEFAULT: Duration = Duration::from_secs(10);
/// How long a call may take.
pub const CALL_TIMEOUT_DEFAULT: Duration = Duration::from_secs(30);
/// How many checks run side by side.
pub const JOBS_DEFAULT: usize = 4;
/// Tags are below it.
const TAGS: i64 = 1_000_000;

/// What is checked, and how.
#[derive(Debug, Clone)]
pub struct Options {
    /// `https://host/path/MirroringClientService.svc`.
    pub endpoint: String,
    /// Whose certificates the endpoint may have.
    pub trust: Trust,
    /// SuperOffice's key and the application's public one.
    pub keys: CallerKeys,
    /// The application's id, as tokens name it.
    pub application_id: String,
    /// Where mirrors are, if rows are to be compared.
    pub mirror: Option<MirrorAt>,
    /// Only these checks: ids, or sections by their name. Empty is all.
    pub only: Vec<String>,
    /// Only what is a MUST.
    pub must_only: bool,
    /// Failures that are known.
    pub expected: ExpectedFailures,
    /// How long things may take.
    pub limits: Limits,
    /// How many checks run side by side, at least 1.
    pub jobs: usize,
    /// Values are drawn from it.
    pub seed: u64,
    /// Tells this run's tenants from those of other runs, 0 to 999,999; drawn from the clock where `None`.
    pub tag: Option<u32>,
}

impl Options {
    /// All checks, with keys from a directory such as `mirrorlab keys new` makes; where it has the authority of a TLS
    /// certificate, the endpoint's has to be of that authority.
    ///
    /// # Errors
    /// [`CallerKeysError`].
    pub fn new(endpoint: &str, application_id: &str, keys: &Path) -> Result<Options, CallerKeysError> {
        let authority = keys.join(crate::keyset::TLS_CA);
        Ok(Options {
            endpoint: endpoint.to_owned(),
            trust: match authority.exists() {
                true => Trust::File(authority),
                false => Trust::System,
            },
            keys: CallerKeys::load(keys)?,
            application_id: application_id.to_owned(),
            mirror: None,
            only: Vec::new(),
            must_only: false,
            expected: ExpectedFailures::default(),
            limits: Limits {
                connect: CONNECT_TIMEOUT_DEFAULT,
                call: CALL_TIMEOUT_DEFAULT,
            },
            jobs: JOBS_DEFAULT,
            seed: 1,
            tag: None,
        })
    }
}

/// Why there is no report.
#[derive(Debug, thiserror::Error)]
pub enum RunError {
    /// What was asked for cannot be: an unknown id, a URL that is none.
    #[error("{0}")]
    Usage(String),
    /// There is no endpoint to judge; the text says what to do.
    #[error("{0}")]
    NoEndpoint(String),
    /// Something of our own.
    #[error("{0}")]
    Broken(String),
}

/// Runs the checks. It blocks; in an async test, call it from `spawn_blocking` or a thread where the endpoint lives on
/// the same runtime's only thread.
///
/// # Errors
/// [`RunError`].
pub fn run(options: &Options) -> Result<Report, RunError> {
    run_telling(options, &mut |_| {})
}

/// Runs the checks and tells of each, in the catalogue's order.
///
/// # Errors
/// [`RunError`].
pub fn run_telling(options: &Options, tell: &mut dyn FnMut(&CheckResult)) -> Result<Report, RunError> {
    let checks = catalogue();
    let chosen = chosen(&checks, options)?;
    let clock = SystemClock;
    let began_at = clock.now();
    let began = Instant::now();
    let tag = options
        .tag
        .unwrap_or_else(|| u32::try_from(began_at.rem_euclid(TAGS)).unwrap_or(0));
    let dir = tempfile::Builder::new()
        .prefix("mirrorlab-conformance-")
        .tempdir()
        .map_err(|why| RunError::Broken(format!("cannot make a temporary directory: {why}")))?;
    let wire = Wire::new(&options.endpoint, &options.trust, options.limits).map_err(|error| match error {
        HttpsError::Setup(_) => RunError::Broken(error.to_string()),
        other => RunError::Usage(other.to_string()),
    })?;
    let kind = options
        .mirror
        .as_ref()
        .map(|place| foreign::kind(place).map_err(|why| RunError::Broken(format!("--mirror: {why}"))))
        .transpose()?;
    let shared = Shared {
        wire,
        authority: Arc::clone(&options.keys.authority),
        application_id: options.application_id.clone(),
        application_key: options.keys.application.clone(),
        mirror_takes_nul: kind.as_ref().is_none_or(|kind| kind.takes_nul()),
        mirror: kind
            .map(|kind| kind.open(dir.path()))
            .transpose()
            .map_err(|error| RunError::Broken(error.to_string()))?,
        tag,
        seed: options.seed,
        clock: Arc::new(clock),
        dir: dir.path().to_owned(),
    };
    probe::probe(&shared).map_err(RunError::NoEndpoint)?;
    let results = run_all(&checks, &chosen, &shared, options, tell);
    Ok(Report {
        endpoint: shown(&options.endpoint).to_owned(),
        application_id: options.application_id.clone(),
        mirror: options.mirror.as_ref().map(MirrorAt::shown),
        seed: options.seed,
        tag,
        began_at,
        elapsed: began.elapsed(),
        results,
    })
}

/// Which of the checks are run, by their place in the catalogue.
fn chosen(checks: &[Check], options: &Options) -> Result<Vec<usize>, RunError> {
    let mut sections: Vec<&str> = checks.iter().map(Check::section).collect();
    sections.dedup();
    let ids = || checks.iter().map(|check| check.id.as_str());
    for name in &options.only {
        // A section's name may stand for all its checks.
        known(name, "--only", sections.iter().copied().chain(ids()))?;
    }
    for (name, place) in options.expected.ids() {
        known(name, &place, ids())?;
    }
    let wanted = |check: &Check| {
        (options.only.is_empty()
            || options
                .only
                .iter()
                .any(|name| *name == check.id || name == check.section()))
            && (!options.must_only || check.level == Level::Must)
    };
    let chosen: Vec<usize> = (0..checks.len()).filter(|at| wanted(&checks[*at])).collect();
    match chosen.is_empty() {
        true => Err(RunError::Usage(
            "no check is left: --only names none that is a MUST".into(),
        )),
        false => Ok(chosen),
    }
}

/// A name must be one of these; where it is none, the error says which is nearest.
fn known<'a>(name: &str, place: &str, names: impl Iterator<Item = &'a str>) -> Result<(), RunError> {
    let mut nearest: (f64, &str) = (0.5, "");
    for known in names {
        let likeness = strsim::normalized_damerau_levenshtein(name, known);
        if known == name {
            return Ok(());
        } else if likeness > nearest.0 {
            nearest = (likeness, known);
        }
    }
    let hint = match nearest.1 {
        "" => ".".to_owned(),
        known => format!("; did you mean `{known}`?"),
    };
    Err(RunError::Usage(format!(
        "{place}: there is no check `{}`{hint} `mirrorlab conformance --list` shows all",
        mirrorlab_protocol::excerpt(name)
    )))
}

fn run_all(
    checks: &[Check],
    chosen: &[usize],
    shared: &Shared,
    options: &Options,
    tell: &mut dyn FnMut(&CheckResult),
) -> Vec<CheckResult> {
    let next = AtomicUsize::new(0);
    let (sender, receiver) = mpsc::channel();
    let mut results: Vec<Option<CheckResult>> = chosen.iter().map(|_| None).collect();
    std::thread::scope(|scope| {
        for _ in 0..options.jobs.clamp(1, chosen.len().max(1)) {
            let (sender, next) = (sender.clone(), &next);
            scope.spawn(move || {
                loop {
                    let at = next.fetch_add(1, Ordering::SeqCst);
                    let Some(number) = chosen.get(at) else { break };
                    let result = one(&checks[*number], *number, shared, &options.expected);
                    // The receiver lives as long as this scope.
                    let _ = sender.send((at, result));
                }
            });
        }
        drop(sender);
        let mut told = 0;
        for (at, result) in receiver {
            results[at] = Some(result);
            while let Some(Some(result)) = results.get(told) {
                tell(result);
                told += 1;
            }
        }
    });
    results.into_iter().flatten().collect()
}

/// Runs one check.
fn one(check: &Check, number: usize, shared: &Shared, expected: &ExpectedFailures) -> CheckResult {
    let began = Instant::now();
    let verdict = if check.needs == Needs::Mirror && shared.mirror.is_none() {
        Verdict::Skipped {
            reason: "it looks at the mirror's rows; --mirror says where they are".into(),
        }
    } else {
        // What a check's own mistake panics with must not take the others along.
        let done = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| {
            (check.body)(&mut Bench::new(shared, number))
        }));
        match done {
            Ok(done) => done.into(),
            Err(_) => Verdict::Unjudged {
                why: "a defect of Mirrorlab: the check itself panicked".into(),
            },
        }
    };
    CheckResult {
        id: check.id.clone(),
        title: check.title.clone(),
        section: check.section().to_owned(),
        rule: check.rule,
        rule_text: rules::text(check.rule),
        level: check.level,
        elapsed: began.elapsed(),
        expected_failure: expected.reason(&check.id).map(str::to_owned),
        verdict,
    }
}
