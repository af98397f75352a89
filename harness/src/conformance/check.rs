//! A check, and what may come of it.

use serde::Serialize;

use super::bench::Bench;

/// How much a rule binds.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "UPPERCASE")]
pub enum Level {
    /// Who breaks it loses data, trust, or the connection.
    Must,
    /// Who breaks it can still be mirrored to.
    Should,
}

impl Level {
    /// `MUST`, `SHOULD`.
    pub fn name(self) -> &'static str {
        match self {
            Level::Must => "MUST",
            Level::Should => "SHOULD",
        }
    }
}

/// What a check has to see.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Needs {
    /// Answers and LSNs alone.
    BlackBox,
    /// The mirror's rows too.
    Mirror,
}

/// How a check ends before its end.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Stop {
    /// The rule is broken.
    Failed(Box<Finding>),
    /// It does not apply here.
    Skipped(String),
    /// Something that says nothing about the rule stood in the way.
    Unjudged(String),
}

/// What a check's steps give back.
pub type Done<T = ()> = Result<T, Stop>;

/// A broken rule, as it was seen.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize)]
pub struct Finding {
    /// What would have been right.
    pub expected: String,
    /// What came.
    pub received: String,
    /// Which of the combined values bring it, where values were combined: `type=int, operation=U`.
    pub combination: Option<String>,
    /// The last call before it, as it was sent.
    pub request: Option<String>,
    /// The answer to it, as it came.
    pub answer: Option<String>,
}

/// How a check ended.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(tag = "verdict", rename_all = "kebab-case")]
pub enum Verdict {
    /// The rule holds, as far as this check sees.
    Passed,
    /// It does not.
    Failed {
        /// What was seen.
        #[serde(flatten)]
        finding: Box<Finding>,
    },
    /// It was not run.
    Skipped {
        /// Why not.
        reason: String,
    },
    /// It ran and could not tell.
    Unjudged {
        /// Why not.
        why: String,
    },
}

impl Verdict {
    /// `passed`, `failed`, `skipped`, `could not be judged`.
    pub fn name(&self) -> &'static str {
        match self {
            Verdict::Passed => "passed",
            Verdict::Failed { .. } => "failed",
            Verdict::Skipped { .. } => "skipped",
            Verdict::Unjudged { .. } => "could not be judged",
        }
    }
}

impl From<Done> for Verdict {
    fn from(done: Done) -> Verdict {
        match done {
            Ok(()) => Verdict::Passed,
            Err(Stop::Failed(finding)) => Verdict::Failed { finding },
            Err(Stop::Skipped(reason)) => Verdict::Skipped { reason },
            Err(Stop::Unjudged(why)) => Verdict::Unjudged { why },
        }
    }
}

/// What a check does.
pub type Body = Box<dyn Fn(&mut Bench<'_>) -> Done + Send + Sync>;

/// One check of one rule.
pub struct Check {
    /// Never changes, and is never given to another check: `trust.wrong-key`.
    pub id: String,
    /// What holds where it passes.
    pub title: String,
    /// The rule of `docs/protocol.md` that it cites.
    pub rule: &'static str,
    /// Other rules that it would see broken.
    pub also: &'static [&'static str],
    /// How much that binds.
    pub level: Level,
    /// What it has to see.
    pub needs: Needs,
    /// What it does.
    pub(super) body: Body,
}

impl Check {
    /// The part of the id before the first dot: the section.
    pub fn section(&self) -> &str {
        self.id.split('.').next().unwrap_or_default()
    }

    /// All rules that it would see broken, the cited one first.
    pub fn rules(&self) -> impl Iterator<Item = &'static str> {
        std::iter::once(self.rule).chain(self.also.iter().copied())
    }

    /// Cites more rules.
    #[must_use]
    pub(super) fn and(mut self, also: &'static [&'static str]) -> Check {
        self.also = also;
        self
    }

    /// Needs the mirror.
    #[must_use]
    pub(super) fn with_mirror(mut self) -> Check {
        self.needs = Needs::Mirror;
        self
    }
}

impl std::fmt::Debug for Check {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Check({})", self.id)
    }
}

fn check(
    level: Level,
    id: impl Into<String>,
    rule: &'static str,
    title: impl Into<String>,
    body: impl Fn(&mut Bench<'_>) -> Done + Send + Sync + 'static,
) -> Check {
    Check {
        id: id.into(),
        title: title.into(),
        rule,
        also: &[],
        level,
        needs: Needs::BlackBox,
        body: Box::new(body),
    }
}

/// A check of what an endpoint must do.
pub(super) fn must(
    id: impl Into<String>,
    rule: &'static str,
    title: impl Into<String>,
    body: impl Fn(&mut Bench<'_>) -> Done + Send + Sync + 'static,
) -> Check {
    check(Level::Must, id, rule, title, body)
}

/// A check of what an endpoint should do.
pub(super) fn should(
    id: impl Into<String>,
    rule: &'static str,
    title: impl Into<String>,
    body: impl Fn(&mut Bench<'_>) -> Done + Send + Sync + 'static,
) -> Check {
    check(Level::Should, id, rule, title, body)
}
