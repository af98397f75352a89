//! The mirroring task: one tenant's cycle, from Authenticate to ReplicationCompleted.
//!
//! - [`mod@decide`]: which tables are wiped and sent whole, and which send their changes
//! - [`batches`]: rows into calls of limited size, the LSN on a table's last batch alone
//! - [`send`]: signed calls, and what of their answers ends a cycle
//! - [`report`]: what a cycle did
//!
//! Everything a cycle sends is of one moment of the source, and that moment's version is the LSN. No table is ever
//! whole in memory. What was sent and answered stands in the mirror for good: a cycle that ends early goes on, the next
//! time, from the LSNs that the mirror then answers.

pub mod batches;
pub mod decide;
pub mod report;
pub mod send;

use std::sync::mpsc::{SyncSender, sync_channel};

use mirrorlab_protocol::clock::Clock;
use mirrorlab_protocol::keys::PublicKey;
use mirrorlab_protocol::message::{Request, ResponseDetail, RowOperation};
use mirrorlab_protocol::schema::Table;

use crate::authority::Tokens;
use crate::endpoint::Endpoint;
use crate::source::{Flow, Snapshot, Source, SourceError};
use batches::{Batcher, Limits, Outlet, Parcel};
use decide::{Decision, TableState, decide};
use report::{CycleReport, Outcome, TableReport, Work};
use send::{Caller, CycleError};

/// How large a RowData message may grow, in bytes: the sender's BatchSize preference (doc).
pub const BATCH_BYTES_DEFAULT: usize = 1_000_000;
/// How long changes are kept, in seconds: 7 days (doc).
pub const RETENTION_SECONDS_DEFAULT: i64 = 7 * 86_400;
/// How many finished calls may wait while one is under way.
const QUEUE_CALLS_MAX: usize = 2;

/// What is sent again when the mirror is ahead of the source, which means that the source was restored.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Repopulate {
    /// Every table of the tenant (seed: "full repopulation").
    #[default]
    AllTables,
    /// Only the tables that are ahead.
    OnlyTablesAhead,
}

/// What becomes of a table without changes, whose LSN stays behind.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Quiet {
    /// Its LSN ages until the clean-up overtakes it; then it is wiped and sent anew (SQL Server's rule).
    #[default]
    LetAge,
    /// An empty batch brings it to the cycle's version.
    RefreshLsn,
}

/// How reading and sending go together. Bytes and order are the same.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Pipeline {
    /// Rows are read and encoded while earlier ones are under way, in a thread of their own.
    #[default]
    Overlapped,
    /// One after the other in the caller's thread: for runs that have to repeat exactly.
    Inline,
}

/// The task's preferences.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Settings {
    /// The most bytes of a RowData message, without envelope and token. A larger row goes alone.
    pub batch_bytes_max: usize,
    /// Whether several tables may share a RowData call (doc: they may; assumed: by itself the task sends table by table).
    pub share_calls: bool,
    /// What all but a table's last batch carry as LSN: 0, or below (assumed).
    pub earlier_lsn: i64,
    /// See [`Repopulate`].
    pub repopulate: Repopulate,
    /// See [`Quiet`].
    pub quiet: Quiet,
    /// See [`Pipeline`].
    pub pipeline: Pipeline,
    /// How long the source keeps changes, in seconds.
    pub retention_seconds: i64,
}

impl Default for Settings {
    fn default() -> Settings {
        Settings {
            batch_bytes_max: BATCH_BYTES_DEFAULT,
            share_calls: false,
            earlier_lsn: 0,
            repopulate: Repopulate::default(),
            quiet: Quiet::default(),
            pipeline: Pipeline::default(),
            retention_seconds: RETENTION_SECONDS_DEFAULT,
        }
    }
}

/// Which tables are not mirrored. A closure is one: `|table: &str| (table == "internal").then(|| "internal".into())`.
pub trait TableFilter: Send + Sync {
    /// Why this table is left out; `None` for one that is mirrored. Letter case does not count.
    fn left_out(&self, table: &str) -> Option<String>;
}

impl<F: Fn(&str) -> Option<String> + Send + Sync> TableFilter for F {
    fn left_out(&self, table: &str) -> Option<String> {
        self(table)
    }
}

/// Leaves nothing out.
#[derive(Debug, Clone, Copy, Default)]
pub struct EveryTable;

impl TableFilter for EveryTable {
    fn left_out(&self, _table: &str) -> Option<String> {
        None
    }
}

/// What a cycle needs, beside its source and its tokens.
#[derive(Clone, Copy)]
pub struct Cycle<'a> {
    /// The tenant: `Cust10001`.
    pub context: &'a str,
    /// Preferences.
    pub settings: &'a Settings,
    /// The application's public key, which has to have signed Authenticate's answer.
    pub application_key: &'a PublicKey,
    /// Where calls go.
    pub endpoint: &'a dyn Endpoint,
    /// Which tables are left out.
    pub filter: &'a dyn TableFilter,
    /// Dates tokens and the answer's drift.
    pub wire_clock: &'a dyn Clock,
    /// Dates the report, and the source's clean-up.
    pub source_clock: &'a dyn Clock,
}

/// One call by itself, as no cycle makes it: after an Authenticate, whose ClientState it hands back.
///
/// # Errors
/// [`CycleError`] of either.
pub fn call<'r>(
    cycle: &Cycle<'_>,
    tokens: &mut Tokens,
    request: &dyn Fn(Option<String>) -> Request<'r>,
) -> Result<ResponseDetail, CycleError> {
    let started = cycle.source_clock.now();
    let mut caller = Caller::new(cycle, tokens, CycleReport::new(cycle.context, started));
    // Whether the application wants to be replicated now is asked by nobody who calls by hand.
    caller.authenticate()?;
    let request = request(caller.client_state().map(str::to_owned));
    caller.request(&request, &[])
}

/// Runs one cycle to its end. It never panics for what the other side does, and never fails but in its report.
pub fn run(cycle: &Cycle<'_>, source: &mut dyn Source, tokens: &mut Tokens) -> CycleReport {
    let started = cycle.source_clock.now();
    let mut caller = Caller::new(cycle, tokens, CycleReport::new(cycle.context, started));
    let outcome = match steps(cycle, source, &mut caller) {
        Ok(outcome) => outcome,
        Err(error) => Outcome::Failed(error),
    };
    let mut report = caller.into_report();
    report.outcome = outcome;
    report
}

fn steps(cycle: &Cycle<'_>, source: &mut dyn Source, caller: &mut Caller<'_>) -> Result<Outcome, CycleError> {
    source.set_now(cycle.source_clock.now())?;
    source.clean_up(cycle.settings.retention_seconds)?;
    if !caller.authenticate()? {
        return Ok(Outcome::DoNotReplicate);
    }
    let (tables, mut states) = survey(cycle, source)?;
    let mut snapshot = source.snapshot()?;
    let version = snapshot.version();
    caller.begin_tables(&tables, version);

    let lsns = caller.table_schema(&tables)?;
    for state in &mut states {
        state.mirror_lsn = lsns.get(&mirrorlab_protocol::names::fold(&state.name)).copied();
    }
    let decisions = decide(&states, version, cycle.settings.repopulate);
    caller.note_decisions(&states, &decisions);
    let plan = Plan {
        settings: cycle.settings,
        client_state: caller.client_state().map(str::to_owned),
        tables: &tables,
        states: &states,
        decisions: &decisions,
        version,
    };
    match cycle.settings.pipeline {
        Pipeline::Inline => {
            let mut outlet = Direct { caller, failed: None };
            let read = plan.read(snapshot.as_mut(), &mut outlet);
            // What failed in sending came first: reading only stopped for it.
            match outlet.failed {
                Some(error) => return Err(error),
                None => read?,
            }
        }
        Pipeline::Overlapped => overlapped(&plan, snapshot.as_mut(), caller)?,
    }
    drop(snapshot);
    caller.replication_completed()?;
    Ok(Outcome::Completed)
}

/// Every mirrored table, and how its tracking stands. A table without tracking gets it now: before the snapshot, so that
/// the next cycle finds every change since.
fn survey(cycle: &Cycle<'_>, source: &mut dyn Source) -> Result<(Vec<Table>, Vec<TableState>), SourceError> {
    let mut tables = source.tables()?;
    tables.retain(|table| cycle.filter.left_out(&table.name).is_none());
    let mut states = Vec::with_capacity(tables.len());
    for table in &tables {
        let was_tracked = source.is_tracked(&table.name)?;
        if !was_tracked {
            source.set_tracking(&table.name, true)?;
        }
        states.push(TableState {
            name: table.name.clone(),
            was_tracked,
            min_valid_version: 0,
            mirror_lsn: None,
        });
    }
    for state in &mut states {
        state.min_valid_version = source.min_valid_version(&state.name)?.unwrap_or(i64::MAX);
    }
    Ok((tables, states))
}

/// Reads on this thread, which holds the snapshot, and sends on another.
fn overlapped(
    plan: &Plan<'_>,
    snapshot: &mut dyn Snapshot,
    caller: &mut Caller<'_>,
) -> Result<(), CycleError> {
    std::thread::scope(|scope| {
        let (sender, parcels) = sync_channel::<Parcel>(QUEUE_CALLS_MAX);
        let sending = scope.spawn(move || parcels.into_iter().try_for_each(|parcel| caller.send(parcel)));
        let read = plan.read(snapshot, &mut Queue(Some(sender)));
        match sending.join() {
            Ok(sent) => sent?,
            Err(panic) => std::panic::resume_unwind(panic),
        }
        Ok(read?)
    })
}

/// Sends at once.
struct Direct<'c, 'a> {
    caller: &'c mut Caller<'a>,
    failed: Option<CycleError>,
}

impl Outlet for Direct<'_, '_> {
    fn push(&mut self, parcel: Parcel) -> Flow {
        if self.failed.is_none() {
            self.failed = self.caller.send(parcel).err();
        }
        if self.failed.is_none() {
            Flow::Continue
        } else {
            Flow::Stop
        }
    }
}

/// Hands over to the sending thread, and waits where that one is behind.
struct Queue(Option<SyncSender<Parcel>>);

impl Outlet for Queue {
    fn push(&mut self, parcel: Parcel) -> Flow {
        match &self.0 {
            Some(sender) if sender.send(parcel).is_ok() => Flow::Continue,
            _ => {
                self.0 = None;
                Flow::Stop
            }
        }
    }
}

/// What is to be read, table by table.
struct Plan<'a> {
    settings: &'a Settings,
    client_state: Option<String>,
    tables: &'a [Table],
    states: &'a [TableState],
    decisions: &'a [Decision],
    version: i64,
}

impl Plan<'_> {
    /// Reads everything that is due into the outlet, until it is full or wants no more.
    fn read(&self, snapshot: &mut dyn Snapshot, outlet: &mut dyn Outlet) -> Result<(), SourceError> {
        let limits = Limits {
            bytes_max: self.settings.batch_bytes_max,
            share_calls: self.settings.share_calls,
            earlier_lsn: self.settings.earlier_lsn,
        };
        let mut batcher = Batcher::new(limits, self.client_state.clone(), outlet);
        for (at, ((table, decision), state)) in self
            .tables
            .iter()
            .zip(self.decisions)
            .zip(self.states)
            .enumerate()
        {
            let flow = match decision {
                Decision::Everything(_) => {
                    if batcher.wipe(at) == Flow::Stop {
                        return Ok(());
                    }
                    batcher.begin(at, table);
                    snapshot.rows(table, &mut |row| batcher.row(&RowOperation::Insert, row))?;
                    batcher.end(self.version, true)
                }
                Decision::Changes { since } => {
                    batcher.begin(at, table);
                    snapshot.changes(table, *since, &mut |operation, row| batcher.row(operation, row))?;
                    let refresh = self.settings.quiet == Quiet::RefreshLsn
                        && state.mirror_lsn.is_some_and(|lsn| lsn < self.version);
                    batcher.end(self.version, refresh)
                }
            };
            if flow == Flow::Stop {
                return Ok(());
            }
        }
        batcher.finish();
        Ok(())
    }
}

impl Caller<'_> {
    /// Starts the report's list of tables.
    fn begin_tables(&mut self, tables: &[Table], version: i64) {
        let report = self.report_mut();
        report.version = Some(version);
        report.tables = tables.iter().map(|table| TableReport::new(&table.name)).collect();
    }

    fn note_decisions(&mut self, states: &[TableState], decisions: &[Decision]) {
        let tables = &mut self.report_mut().tables;
        for ((report, state), decision) in tables.iter_mut().zip(states).zip(decisions) {
            report.lsn_before = state.mirror_lsn;
            report.lsn_after = state.mirror_lsn;
            report.due = decision.clone();
        }
    }

    /// Sends what the reading side made, and notes it as done once it is answered.
    fn send(&mut self, parcel: Parcel) -> Result<(), CycleError> {
        match parcel {
            Parcel::Wipe { table } => {
                let name = self.report_mut().tables[table].table.clone();
                let client_state = self.client_state().map(str::to_owned);
                let request = Request::Wipe {
                    client_state: client_state.as_deref().map(Into::into),
                    table: Some(name.as_str().into()),
                };
                self.request(&request, &[name.as_str()])?;
                let report = &mut self.report_mut().tables[table];
                report.work = Work::Wiped;
                report.lsn_after = None;
            }
            Parcel::Rows { message, parts } => {
                let names: Vec<String> = parts
                    .iter()
                    .map(|part| self.report_mut().tables[part.table].table.clone())
                    .collect();
                let names: Vec<&str> = names.iter().map(String::as_str).collect();
                self.row_data(&message, &names)?;
                for part in &parts {
                    self.report_mut().tables[part.table].add(part);
                }
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests;
