//! What histories have met: which steps, which faults, and which steps' effects a fault struck.

use std::collections::{BTreeMap, BTreeSet};

use super::draw::History;
use super::foresee::dies_at_work;
use crate::scenario::model::{FaultKind, StepKind, TokenDefect};
use crate::scenario::sent::{SentBatch, SentCall};

/// Steps whose effects a cycle carries to the mirror, or finds there.
const CARRIED: [&str; 16] = [
    "rows",
    "table",
    "alter",
    "drop",
    "truncate",
    "tracking",
    "restore",
    "advance",
    "invalidate",
    "mirror_sql",
    "mirror_restore",
    "crash",
    "set",
    "sql",
    "approve",
    "send",
];

/// How many faults and tokens there are to be met.
fn troubles() -> usize {
    // Three kinds of fault have a value of their own.
    drawn_faults().count() + 3 + TokenDefect::all().len()
}

/// Faults that are drawn, but for those with a value of their own.
fn drawn_faults() -> impl Iterator<Item = &'static FaultKind> {
    let kinds = FaultKind::NAMED.iter().map(|(_, _, kind)| kind);
    kinds.filter(|kind| !dies_at_work(kind))
}

/// What was met so far.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Coverage {
    /// Each step's word, and how often.
    pub steps: BTreeMap<&'static str, u64>,
    /// Each fault, and how often.
    pub troubles: BTreeMap<String, u64>,
    /// Calls that no source sent: what was odd about them, or why they were refused, and how often.
    pub calls: BTreeMap<&'static str, u64>,
    /// A step, and a fault that struck the cycle after it.
    pairs: BTreeSet<(&'static str, String)>,
}

impl Coverage {
    /// Of one history.
    pub fn of(history: &History) -> Coverage {
        let mut coverage = Coverage::default();
        let mut since: BTreeSet<&'static str> = BTreeSet::new();
        let mut before: Vec<&SentCall> = Vec::new();
        for foreseen in &history.foreseen {
            let kind = &foreseen.step.kind;
            *coverage.steps.entry(kind.word()).or_default() += 1;
            if let StepKind::Send(sent) = kind {
                let mut met = oddities(&sent.call);
                if before.contains(&&sent.call) {
                    met.push("once more");
                }
                before.push(&sent.call);
                met.extend(foreseen.refused);
                for odd in met {
                    *coverage.calls.entry(odd).or_default() += 1;
                }
            }
            let trouble = match kind {
                StepKind::Fault(fault) => Some(fault_name(&fault.kind)),
                StepKind::Token(token) => Some(format!("token: {}", token.defect.name())),
                _ => None,
            };
            if let Some(trouble) = trouble {
                for step in &since {
                    coverage.pairs.insert((step, trouble.clone()));
                }
                *coverage.troubles.entry(trouble).or_default() += 1;
            }
            match kind {
                StepKind::Mirror(_) => since.clear(),
                other if CARRIED.contains(&other.word()) => drop(since.insert(other.word())),
                _ => {}
            }
        }
        coverage
    }

    /// Adds another's.
    pub fn add(&mut self, other: &Coverage) {
        for (step, n) in &other.steps {
            *self.steps.entry(step).or_default() += n;
        }
        for (trouble, n) in &other.troubles {
            *self.troubles.entry(trouble.clone()).or_default() += n;
        }
        for (odd, n) in &other.calls {
            *self.calls.entry(odd).or_default() += n;
        }
        self.pairs.extend(other.pairs.iter().cloned());
    }

    /// How many pairs of step and fault were met, of how many.
    pub fn pairs(&self) -> (usize, usize) {
        (self.pairs.len(), CARRIED.len() * troubles())
    }

    /// For people: what was met how often, and what was never.
    pub fn text(&self) -> String {
        let list = |entries: &mut dyn Iterator<Item = (String, u64)>| {
            let mut entries: Vec<(String, u64)> = entries.collect();
            entries.sort_by(|a, b| b.1.cmp(&a.1).then(a.0.cmp(&b.0)));
            let entries: Vec<String> = entries.iter().map(|(name, n)| format!("{name} {n}")).collect();
            entries.join(", ")
        };
        let (met, all) = self.pairs();
        let mut text = format!(
            "steps   {}\nfaults  {}\ncalls   {}\npairs   {met} of {all} of a step and a fault in the cycle after it\n",
            list(&mut self.steps.iter().map(|(s, n)| ((*s).to_owned(), *n))),
            list(&mut self.troubles.iter().map(|(s, n)| (s.clone(), *n))),
            list(&mut self.calls.iter().map(|(s, n)| ((*s).to_owned(), *n))),
        );
        let names = drawn_faults().map(fault_name);
        let tokens = TokenDefect::all()
            .into_iter()
            .map(|d| format!("token: {}", d.name()));
        let never: Vec<String> = names
            .chain(tokens)
            .filter(|name| !self.troubles.contains_key(name))
            .collect();
        if !never.is_empty() {
            text.push_str(&format!("never   {}\n", never.join(", ")));
        }
        text
    }
}

/// What is odd about a call, whatever becomes of it.
fn oddities(call: &SentCall) -> Vec<&'static str> {
    let batches = match call {
        SentCall::Schema(_) => return vec!["TableSchema"],
        SentCall::Wipe(_) => return vec!["Wipe"],
        SentCall::Completed => return vec!["ReplicationCompleted"],
        SentCall::Rows(batches) => batches,
    };
    let mut names: Vec<String> = batches
        .iter()
        .filter_map(|b| Some(b.table.as_ref()?.to_lowercase()))
        .collect();
    names.sort();
    names.dedup();
    let any = |odd: &dyn Fn(&SentBatch) -> bool| batches.iter().any(odd);
    let odd = [
        ("RowData", true),
        ("no batch", batches.is_empty()),
        ("several tables", names.len() > 1),
        (
            "one table twice",
            names.len() < batches.iter().filter(|b| b.table.is_some()).count(),
        ),
        ("a batch without a row", any(&|b| b.rows.is_empty())),
        (
            "a batch without an LSN",
            any(&|b| b.lsn.is_none_or(|lsn| lsn <= 0)),
        ),
        ("columns of its own", any(&|b| b.columns.is_some())),
    ];
    odd.into_iter()
        .filter(|(_, is)| *is)
        .map(|(odd, _)| odd)
        .collect()
}

/// A fault's kind, without the text of its own.
fn fault_name(kind: &FaultKind) -> String {
    match kind {
        FaultKind::Refuse(_) => "refuse".into(),
        FaultKind::SoapFault(_) => "soap_fault".into(),
        FaultKind::Http(_) => "http".into(),
        other => other.to_string(),
    }
}
