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
        /// Why not, at least one: where it needs what, and why that is not possible.
        reasons: Vec<String>,
    },
    /// It could not be run to its end, for a reason that says nothing of the mirror.
    Broken {
        /// What happened.
        reason: String,
    },
}

/// Something that a scenario expects and that this run could not look at. It says nothing against the scenario's verdict,
/// and nothing for it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct NotChecked {
    /// What kind of thing.
    pub kind: NotCheckedKind,
    /// Where, and why not.
    pub why: String,
}

/// What kinds of expectations a run may be unable to look at.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum NotCheckedKind {
    /// The mirror's rows and columns.
    Rows,
    /// The words of an error: only that there was one.
    ErrorText,
    /// Entries of the server's own log.
    ServerLog,
}

impl NotCheckedKind {
    /// All, in the order in which they are told.
    pub const ALL: [NotCheckedKind; 3] = [
        NotCheckedKind::Rows,
        NotCheckedKind::ErrorText,
        NotCheckedKind::ServerLog,
    ];

    /// For people.
    pub fn name(self) -> &'static str {
        match self {
            NotCheckedKind::Rows => {
                "rows were not compared, only answers and LSNs: the mirror cannot be reached without --mirror"
            }
            NotCheckedKind::ErrorText => {
                "an error's text was not compared: the endpoint has words of its own"
            }
            NotCheckedKind::ServerLog => "the server's log was not looked into: it is not ours",
        }
    }
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
    /// What it expects and nobody could look at.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub not_checked: Vec<NotChecked>,
}

/// What came of a run.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct RunResult {
    /// The seed that everything was drawn from.
    pub seed: u64,
    /// Where sources were, and by what means they do what SuperOffice's database does.
    pub sources: String,
    /// Where mirrors were, if anybody said.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub mirrors: Option<String>,
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
    /// How many scenarios could not look at something, by its kind; kinds that none lacked are left out.
    pub fn not_checked(&self) -> Vec<(NotCheckedKind, usize)> {
        let lacks = |kind: NotCheckedKind| {
            let lacking = |s: &&ScenarioResult| s.not_checked.iter().any(|n| n.kind == kind);
            (kind, self.scenarios.iter().filter(lacking).count())
        };
        let all = NotCheckedKind::ALL.into_iter().map(lacks);
        all.filter(|(_, count)| *count > 0).collect()
    }

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
