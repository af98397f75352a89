//! What came of a scenario, and of a run.

use std::io;
use std::path::Path;
use std::time::Duration;

use serde::{Serialize, Serializer};

use super::Failure;

/// How a scenario ended.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(tag = "verdict", rename_all = "kebab-case")]
pub enum Verdict {
    /// Every check held.
    Held,
    /// At least one did not.
    Failed {
        /// Those that did not, at least one.
        failures: Vec<Failure>,
    },
    /// It was not run.
    Skipped {
        /// Why not: what it needs and what is missing.
        reason: String,
    },
    /// It could not be run to its end, for a reason that says nothing of the mirror.
    Broken {
        /// What happened.
        reason: String,
    },
}

/// What came of one scenario.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct ScenarioResult {
    /// Its id.
    pub id: String,
    /// Its title.
    pub title: String,
    /// The file it stands in, as it was named on the command line.
    pub file: String,
    /// How many steps were done.
    pub steps: usize,
    /// How many rows were compared in all of its comparisons.
    pub rows_compared: u64,
    /// How long it took.
    #[serde(rename = "elapsed_ms", serialize_with = "milliseconds")]
    pub elapsed: Duration,
    /// How it ended.
    #[serde(flatten)]
    pub verdict: Verdict,
}

/// What came of a run.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct RunResult {
    /// The seed that everything was drawn from.
    pub seed: u64,
    /// How long it took.
    #[serde(rename = "elapsed_ms", serialize_with = "milliseconds")]
    pub elapsed: Duration,
    /// Every scenario, in the order of the files.
    pub scenarios: Vec<ScenarioResult>,
}

/// How a run ended, in one word. Where several fit, the last one counts: what broke could not be checked.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum RunVerdict {
    /// All checks hold.
    Held,
    /// A check failed.
    Failed,
    /// The run itself broke.
    Broken,
}

impl ScenarioResult {
    /// Its failures.
    pub fn failures(&self) -> &[Failure] {
        match &self.verdict {
            Verdict::Failed { failures } => failures,
            _ => &[],
        }
    }
}

impl RunResult {
    /// How the run ended. A run in which nothing was run has checked nothing: it is broken.
    pub fn verdict(&self) -> RunVerdict {
        let ran = |s: &&ScenarioResult| !matches!(s.verdict, Verdict::Skipped { .. });
        self.scenarios
            .iter()
            .filter(ran)
            .map(|s| match s.verdict {
                Verdict::Failed { .. } => RunVerdict::Failed,
                Verdict::Broken { .. } => RunVerdict::Broken,
                Verdict::Held | Verdict::Skipped { .. } => RunVerdict::Held,
            })
            .max()
            .unwrap_or(RunVerdict::Broken)
    }

    /// How many scenarios held, failed, were skipped, broke.
    pub fn counts(&self) -> [usize; 4] {
        let mut counts = [0; 4];
        for scenario in &self.scenarios {
            counts[match scenario.verdict {
                Verdict::Held => 0,
                Verdict::Failed { .. } => 1,
                Verdict::Skipped { .. } => 2,
                Verdict::Broken { .. } => 3,
            }] += 1;
        }
        counts
    }

    /// How many rows were compared.
    pub fn rows_compared(&self) -> u64 {
        self.scenarios.iter().map(|s| s.rows_compared).sum()
    }

    /// The run as JSON, indented: seed, times in milliseconds, every scenario with its `verdict` (`held`, `failed`,
    /// `skipped`, `broken`) and its failures.
    ///
    /// # Errors
    /// Where the file cannot be written.
    pub fn write_json(&self, path: &Path) -> io::Result<()> {
        let mut text = serde_json::to_string_pretty(self)?;
        text.push('\n');
        std::fs::write(path, text)
    }
}

fn milliseconds<S: Serializer>(time: &Duration, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.serialize_u64(u64::try_from(time.as_millis()).unwrap_or(u64::MAX))
}
