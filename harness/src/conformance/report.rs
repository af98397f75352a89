//! What came of a run.
//!
//! - `terminal`: for the person who waits for it
//! - `junit`: for a build server
//! - `html`: one page for a colleague

mod html;
mod junit;
mod terminal;

use std::time::Duration;

use serde::{Serialize, Serializer};

use super::check::{Level, Verdict};

pub use terminal::Terminal;

/// What came of one check.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct CheckResult {
    /// Its id.
    pub id: String,
    /// What holds where it passes.
    pub title: String,
    /// Its section.
    pub section: String,
    /// The rule it cites.
    pub rule: &'static str,
    /// The rule's own words.
    pub rule_text: &'static str,
    /// How much that binds.
    pub level: Level,
    /// How long it took.
    #[serde(rename = "elapsed_ms", serialize_with = "milliseconds")]
    pub elapsed: Duration,
    /// Why it was expected to fail, if it was.
    pub expected_failure: Option<String>,
    /// How it ended.
    #[serde(flatten)]
    pub verdict: Verdict,
}

/// What a result is to whoever reads the report.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Standing {
    /// It holds.
    Passed,
    /// A known failure.
    KnownFailure,
    /// Not run.
    Skipped,
    /// It could not tell.
    Unjudged,
    /// A known failure that does not fail any more: the file of known ones is wrong.
    UnexpectedPass,
    /// The rule is broken.
    Failed,
}

impl CheckResult {
    /// What it is to the reader.
    pub fn standing(&self) -> Standing {
        match (&self.verdict, &self.expected_failure) {
            (Verdict::Passed, Some(_)) => Standing::UnexpectedPass,
            (Verdict::Passed, None) => Standing::Passed,
            (Verdict::Failed { .. }, Some(_)) => Standing::KnownFailure,
            (Verdict::Failed { .. }, None) => Standing::Failed,
            (Verdict::Skipped { .. }, _) => Standing::Skipped,
            (Verdict::Unjudged { .. }, _) => Standing::Unjudged,
        }
    }
}

/// What came of a run.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Report {
    /// The URL.
    pub endpoint: String,
    /// The application's id.
    pub application_id: String,
    /// Where mirrors were looked at.
    pub mirror: Option<String>,
    /// Values were drawn from it.
    pub seed: u64,
    /// It stands in the names of the run's tenants.
    pub tag: u32,
    /// When it began, in seconds since 1970 UTC.
    pub began_at: i64,
    /// How long it took.
    #[serde(rename = "elapsed_ms", serialize_with = "milliseconds")]
    pub elapsed: Duration,
    /// Every check that was chosen, in the catalogue's order.
    pub results: Vec<CheckResult>,
}

impl Report {
    /// How many results stand so.
    pub fn count(&self, standing: Standing) -> usize {
        self.results.iter().filter(|r| r.standing() == standing).count()
    }

    /// Those that stand so.
    pub fn of(&self, standing: Standing) -> impl Iterator<Item = &CheckResult> {
        self.results.iter().filter(move |r| r.standing() == standing)
    }

    /// Whether no rule is broken but where that was expected, and every expected failure did fail.
    pub fn holds(&self) -> bool {
        self.count(Standing::Failed) + self.count(Standing::UnexpectedPass) == 0
    }

    /// Whether every check that was run could tell.
    pub fn is_whole(&self) -> bool {
        self.count(Standing::Unjudged) == 0
    }

    /// One line: how many checks stand how.
    pub fn summary(&self) -> String {
        let mut parts = vec![format!("{} passed", self.count(Standing::Passed))];
        for (standing, word) in [
            (Standing::Failed, "failed"),
            (Standing::UnexpectedPass, "expected to fail, and passed"),
            (Standing::KnownFailure, "failed as expected"),
            (Standing::Unjudged, "could not be judged"),
            (Standing::Skipped, "skipped"),
        ] {
            let count = self.count(standing);
            if count > 0 {
                parts.push(format!("{count} {word}"));
            }
        }
        let count = self.results.len();
        let checks = if count == 1 { "check" } else { "checks" };
        format!("{count} {checks}: {}", parts.join(", "))
    }

    /// For programs.
    pub fn to_json(&self) -> String {
        // Only strings and numbers, which JSON always takes.
        serde_json::to_string_pretty(self).unwrap_or_default() + "\n"
    }

    /// For a build server.
    pub fn to_junit(&self) -> String {
        junit::write(self)
    }

    /// One page, with all that it needs in it.
    pub fn to_html(&self) -> String {
        html::write(self)
    }

    /// The sections in the order of their first check.
    pub fn sections(&self) -> Vec<&str> {
        let mut sections: Vec<&str> = Vec::new();
        for result in &self.results {
            if !sections.contains(&result.section.as_str()) {
                sections.push(&result.section);
            }
        }
        sections
    }
}

fn milliseconds<S: Serializer>(time: &Duration, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.serialize_u64(u64::try_from(time.as_millis()).unwrap_or(u64::MAX))
}

/// What a person does about a result that does not hold, in lines of a label and a text.
fn parts(result: &CheckResult) -> Vec<(&'static str, String)> {
    let mut parts = vec![(
        "rule",
        format!("{} ({}): {}", result.rule, result.level.name(), result.rule_text),
    )];
    match &result.verdict {
        Verdict::Failed { finding } => {
            if let Some(combination) = &finding.combination {
                parts.push(("with", combination.clone()));
            }
            parts.push(("expected", finding.expected.clone()));
            parts.push(("received", finding.received.clone()));
        }
        Verdict::Skipped { reason } => parts.push(("reason", reason.clone())),
        Verdict::Unjudged { why } => parts.push(("why", why.clone())),
        Verdict::Passed => {}
    }
    match (&result.expected_failure, &result.verdict) {
        (Some(reason), Verdict::Passed) => parts.push((
            "expected",
            format!("to fail: {reason}. It passes: take its line out of the file"),
        )),
        (Some(reason), _) => parts.push(("known", reason.clone())),
        (None, _) => {}
    }
    parts
}
