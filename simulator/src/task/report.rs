//! What a cycle did: only what the endpoint answered for, not what was merely read.

use mirrorlab_protocol::message::ReplicationSummary;

use super::batches::Part;
use super::decide::{Decision, WipeReason};
use super::send::CycleError;
use crate::endpoint::Reply;

/// How a cycle ended.
#[derive(Debug)]
pub enum Outcome {
    /// To its end.
    Completed,
    /// The endpoint answered `doNotReplicate`: an end without error (doc).
    DoNotReplicate,
    /// Early.
    Failed(CycleError),
}

/// What was done to a table's mirror.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Work {
    /// Nothing was sent for it.
    #[default]
    None,
    /// It was wiped.
    Wiped,
    /// It got batches, and no wipe before them.
    Changed,
}

/// What a cycle did to one table.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TableReport {
    /// The table.
    pub table: String,
    /// What was to be done.
    pub due: Decision,
    /// What was done.
    pub work: Work,
    /// Rows sent as I.
    pub inserts: u64,
    /// Rows sent as U.
    pub updates: u64,
    /// Rows sent as D.
    pub deletes: u64,
    /// Batches sent, empty ones too.
    pub batches: u64,
    /// What the mirror answered; `None` where it did not name the table.
    pub lsn_before: Option<i64>,
    /// The LSN of the batches sent, or [`TableReport::lsn_before`]; `None` after a wipe without a last batch.
    pub lsn_after: Option<i64>,
}

impl TableReport {
    pub(super) fn new(table: &str) -> TableReport {
        TableReport {
            table: table.to_owned(),
            due: Decision::Everything(WipeReason::NotAnswered),
            work: Work::None,
            inserts: 0,
            updates: 0,
            deletes: 0,
            batches: 0,
            lsn_before: None,
            lsn_after: None,
        }
    }

    pub(super) fn add(&mut self, part: &Part) {
        if self.work == Work::None {
            self.work = Work::Changed;
        }
        self.inserts += part.inserts;
        self.updates += part.updates;
        self.deletes += part.deletes;
        self.batches += 1;
        if part.lsn.is_some() {
            self.lsn_after = part.lsn;
        }
    }

    /// Why the table was wiped, where it was.
    pub fn wiped(&self) -> Option<WipeReason> {
        match (&self.work, &self.due) {
            (Work::Wiped, Decision::Everything(reason)) => Some(*reason),
            _ => None,
        }
    }

    /// Rows sent.
    pub fn rows(&self) -> u64 {
        self.inserts + self.updates + self.deletes
    }

    /// The table's entry in ReplicationCompleted, where it had changes.
    pub(super) fn summary(&self) -> Option<ReplicationSummary<'_>> {
        let count = |n: u64| i32::try_from(n).unwrap_or(i32::MAX);
        (self.rows() > 0).then(|| ReplicationSummary {
            deletes: count(self.deletes),
            inserts: count(self.inserts),
            table: Some(self.table.as_str().into()),
            updates: count(self.updates),
        })
    }
}

/// What a cycle did.
#[derive(Debug)]
pub struct CycleReport {
    /// The tenant.
    pub context: String,
    /// When it began, on the source's clock, in seconds since 1970 UTC.
    pub started: i64,
    /// How it ended.
    pub outcome: Outcome,
    /// The source's version of the moment that was sent; `None` where the cycle ended before it.
    pub version: Option<i64>,
    /// Every mirrored table in name order; empty where the cycle ended before TableSchema.
    pub tables: Vec<TableReport>,
    /// Calls made, the last one of a failed cycle too.
    pub calls: u64,
    /// Bytes of all requests' bodies.
    pub bytes_sent: u64,
    /// Bytes of all answers' bodies, decompressed.
    pub bytes_received: u64,
    /// The answer that ended the cycle early, as it came; `None` where none came, or none was at fault.
    pub ended_by: Option<Reply>,
}

impl CycleReport {
    pub(super) fn new(context: &str, started: i64) -> CycleReport {
        CycleReport {
            context: context.to_owned(),
            started,
            outcome: Outcome::Completed,
            version: None,
            tables: Vec::new(),
            calls: 0,
            bytes_sent: 0,
            bytes_received: 0,
            ended_by: None,
        }
    }

    /// Whether the cycle ended without error; `doNotReplicate` is no error.
    pub fn is_success(&self) -> bool {
        !matches!(self.outcome, Outcome::Failed(_))
    }

    /// What ended the cycle, for people.
    pub fn error(&self) -> Option<String> {
        match &self.outcome {
            Outcome::Failed(error) => Some(error.to_string()),
            Outcome::Completed | Outcome::DoNotReplicate => None,
        }
    }

    /// The table of that name; letter case does not count.
    pub fn table(&self, name: &str) -> Option<&TableReport> {
        self.tables
            .iter()
            .find(|table| mirrorlab_protocol::names::same_name(&table.table, name))
    }

    /// The names of the tables that were wiped, in order.
    pub fn wiped(&self) -> Vec<&str> {
        let wiped = self.tables.iter().filter(|table| table.work == Work::Wiped);
        wiped.map(|table| table.table.as_str()).collect()
    }

    /// What the event log says: one sentence.
    pub fn summary(&self) -> String {
        match &self.outcome {
            Outcome::DoNotReplicate => {
                "Mirroring ended without replication: the application asked for it (doNotReplicate)."
                    .to_owned()
            }
            Outcome::Failed(error) => format!("Mirroring failed: {error}"),
            Outcome::Completed => {
                let sum = |count: fn(&TableReport) -> u64| self.tables.iter().map(count).sum::<u64>();
                let changed = self.tables.iter().filter(|table| table.rows() > 0).count();
                let (tables, wiped) = (self.tables.len(), self.wiped().len());
                if changed == 0 && wiped == 0 {
                    return format!("Mirroring completed: no changes in {tables} tables.");
                }
                let mut text = format!(
                    "Mirroring completed: {changed} of {tables} tables with changes (inserts {}, updates {}, deletes {})",
                    sum(|t| t.inserts),
                    sum(|t| t.updates),
                    sum(|t| t.deletes)
                );
                if wiped > 0 {
                    text.push_str(&format!("; {wiped} wiped"));
                }
                text + "."
            }
        }
    }
}
