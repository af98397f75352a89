//! A scenario as the runner sees it. Every name in it was checked against what the file had made by that step: a table
//! that a step speaks of is there, a backup that it restores was made, a tenant that it names is the file's.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use mirrorlab_protocol::schema::{Column, Table};
use mirrorlab_protocol::value::Value;

use super::expect::{CompareExpect, MirrorExpect, PerTenant, RunDueExpect, SqlExpect};
use super::place::{At, Spanned};
use super::sent::{MirrorRows, Sent};
pub use super::trouble::{Fault, FaultKind, Hit, KillAt, TokenDefect, TokenFault};

/// The tenant of a file that has one `source` and names none.
pub const ONLY_TENANT: &str = "Cust10001";

/// One scenario file.
#[derive(Debug, Clone)]
pub struct Scenario {
    /// The file, as it was named to us.
    pub file: PathBuf,
    /// The file's text, for failures that show a line of it.
    pub text: Arc<str>,
    /// Lower-case words with hyphens; it never changes, and no two files share one.
    pub id: Spanned<String>,
    /// One sentence for people.
    pub title: Spanned<String>,
    /// The rule that it proves, in words.
    pub cites: Spanned<String>,
    /// What differs from the settings' defaults, from the start on.
    pub settings: Settings,
    /// Draws this file's rows and changes, in place of the run's seed.
    pub seed: Option<u64>,
    /// At least one, in the file's order.
    pub tenants: Vec<Tenant>,
    /// At least one.
    pub steps: Vec<Step>,
}

impl Scenario {
    /// `file:line:column`, as a failure cites it.
    pub fn place(&self, at: At) -> String {
        format!("{}:{at}", self.file.display())
    }

    /// The line on which something stands, without its indentation.
    pub fn line(&self, at: At) -> &str {
        self.text
            .lines()
            .nth(at.line.saturating_sub(1))
            .unwrap_or_default()
            .trim()
    }

    /// Whether the file itself compares at its end; where it does not, the runner does, and expects no difference.
    pub fn ends_with_compare(&self) -> bool {
        matches!(self.steps.last().map(|s| &s.kind), Some(StepKind::Compare(_)))
    }

    /// The tenants a step is about: the one that it names, else all of them.
    pub fn tenants_of<'s>(&'s self, step: &'s Step) -> impl Iterator<Item = &'s Tenant> {
        self.tenants.iter().filter(|tenant| {
            step.tenant
                .as_ref()
                .is_none_or(|named| named.value == tenant.context.value)
        })
    }

    /// The file's name without folders, for lists.
    pub fn file_name(&self) -> &Path {
        self.file.file_name().map_or(&self.file, Path::new)
    }
}

/// A customer of SuperOffice with a database of its own.
#[derive(Debug, Clone)]
pub struct Tenant {
    /// `Cust10001`: letters, then digits.
    pub context: Spanned<String>,
    /// Whether it has approved the application before the first step; so it is unless the file says otherwise.
    pub approved: bool,
    /// The tables it starts with, in the file's order.
    pub tables: Vec<TableSpec>,
}

/// A source table with its first rows.
#[derive(Debug, Clone)]
pub struct TableSpec {
    /// Where the file names it.
    pub at: At,
    /// From the file, or from the drawn SuperOffice schema where the file only counts rows.
    pub table: Table,
    /// Rows written in the file, in column order.
    pub rows: Vec<Vec<Value<'static>>>,
    /// Rows drawn from the seed after those.
    pub drawn: u64,
}

impl TableSpec {
    /// How many rows it starts with.
    pub fn row_count(&self) -> u64 {
        self.rows.len() as u64 + self.drawn
    }
}

/// What differs from the defaults. `None` leaves a setting as it is.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Settings {
    /// The source's clock at the start, in seconds since 1970 UTC. Not by step `set`.
    pub start: Option<i64>,
    /// Which tables come again after a restored original.
    pub repopulate: Option<Repopulate>,
    /// What becomes of tables without changes for longer than changes are kept.
    pub quiet_tables: Option<QuietTables>,
    /// The most bytes of a RowData call, 1,000 to 100,000,000.
    pub batch_size: Option<u32>,
    /// Whether a RowData call may have batches of several tables.
    pub share_calls: Option<bool>,
    /// Tables on the application's SkipTable preference, in place of the ones before.
    pub skip_tables: Option<Vec<Spanned<String>>>,
    /// Tables that are sent though they are on the list of blocked tables: those that the file names, and those of captured
    /// schemas. Not by step `set`.
    pub not_blocked: Vec<String>,
    /// How long from one cycle's start to the next one's.
    pub every: Option<Duration>,
    /// The nightly pause.
    pub quiet_hours: Option<QuietHours>,
    /// The time zone of the nightly pause, an IANA name.
    pub time_zone: Option<Spanned<String>>,
    /// The server's side.
    pub server: ServerSettings,
}

impl Settings {
    /// Takes over what another names.
    pub fn merge(&mut self, other: &Settings) {
        fn take<T: Clone>(mine: &mut Option<T>, theirs: &Option<T>) {
            if theirs.is_some() {
                mine.clone_from(theirs);
            }
        }
        take(&mut self.start, &other.start);
        take(&mut self.repopulate, &other.repopulate);
        take(&mut self.quiet_tables, &other.quiet_tables);
        take(&mut self.batch_size, &other.batch_size);
        take(&mut self.share_calls, &other.share_calls);
        take(&mut self.skip_tables, &other.skip_tables);
        take(&mut self.every, &other.every);
        take(&mut self.quiet_hours, &other.quiet_hours);
        take(&mut self.time_zone, &other.time_zone);
        take(&mut self.server.drop_guard, &other.server.drop_guard);
        take(&mut self.server.refuse_replays, &other.server.refuse_replays);
        take(&mut self.server.do_not_replicate, &other.server.do_not_replicate);
        take(&mut self.server.certificates, &other.server.certificates);
        take(&mut self.server.clock_skew, &other.server.clock_skew);
    }
}

/// The server's settings; an endpoint that is only a URL cannot be given them.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct ServerSettings {
    /// Refuse a TableSchema that would drop more than half of ten or more tables.
    pub drop_guard: Option<bool>,
    /// Refuse a nonce that was seen before.
    pub refuse_replays: Option<bool>,
    /// Answer Authenticate with `doNotReplicate`.
    pub do_not_replicate: Option<bool>,
    /// Where SuperOffice's certificates are found.
    pub certificates: Option<CertificateStrategy>,
    /// How many seconds its clock is ahead of SuperOffice's; negative where it is behind.
    pub clock_skew: Option<i64>,
}

impl ServerSettings {
    /// Whether nothing is set.
    pub fn is_empty(&self) -> bool {
        *self == ServerSettings::default()
    }

    /// The names of those that are set to something else than what a server is without them.
    pub fn unusual(&self) -> Vec<&'static str> {
        [
            ("drop_guard", self.drop_guard == Some(true)),
            ("refuse_replays", self.refuse_replays == Some(true)),
            ("do_not_replicate", self.do_not_replicate == Some(true)),
            (
                "certificates",
                self.certificates == Some(CertificateStrategy::Resolver),
            ),
            ("clock_skew", self.clock_skew.is_some_and(|seconds| seconds != 0)),
        ]
        .into_iter()
        .filter(|(_, unusual)| *unusual)
        .map(|(name, _)| name)
        .collect()
    }
}

/// How the server finds the certificate that a token was signed with.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum CertificateStrategy {
    /// A directory of public certificates: the default.
    Directory,
    /// Asked on demand for an unknown key id.
    Resolver,
}

/// Which tables come again when the mirror is ahead of the source.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Repopulate {
    /// Every table of the tenant: the seed's "full repopulation", and the default.
    AllTables,
    /// Only those whose own LSN is ahead.
    OnlyAhead,
}

/// What becomes of a table without changes for longer than changes are kept.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum QuietTables {
    /// Its LSN ages until it is below the minimum valid version, and it is sent anew: SQL Server's rule, and the default.
    Age,
    /// Empty batches keep its LSN young.
    Refresh,
}

/// A pause of every day, in local time, in minutes since midnight. It may span midnight; `from` and `to` differ.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct QuietHours {
    /// The first minute without a new cycle.
    pub from: u16,
    /// The first minute with cycles again.
    pub to: u16,
}

/// One step.
#[derive(Debug, Clone)]
pub struct Step {
    /// Where its word stands.
    pub at: At,
    /// The tenant it names; without one, it is about all of the file's.
    pub tenant: Option<Spanned<String>>,
    /// What is done.
    pub kind: StepKind,
}

/// What a step does.
#[derive(Debug, Clone)]
pub enum StepKind {
    /// The tenant allows the application; a cycle follows at once when time next moves.
    Approve,
    /// The tenant no longer allows it; no cycle follows.
    Withdraw,
    /// One cycle now for each tenant, side by side, whatever the schedule says.
    Mirror(PerTenant<MirrorExpect>),
    /// Drawn changes of the source.
    Change(Change),
    /// Written changes of the source, one transaction.
    Rows(Vec<WrittenRows>),
    /// A person's SQL on the source, one transaction each.
    Sql(Vec<Spanned<String>>),
    /// New source tables.
    Table(Vec<TableSpec>),
    /// Changed columns of source tables.
    Alter(Vec<Alter>),
    /// Source tables are dropped.
    Drop(Vec<Spanned<String>>),
    /// Source tables are emptied without a trace of the rows.
    Truncate(Vec<Spanned<String>>),
    /// Change tracking is switched on (`true`) or off per table.
    Tracking(Vec<(Spanned<String>, bool)>),
    /// The source is backed up under a name.
    Backup(Spanned<String>),
    /// The source is what it was at that backup.
    Restore(Spanned<String>),
    /// The source's clock moves on; nothing runs meanwhile.
    Advance(Duration),
    /// SuperOffice is closed from `after` now, for `length`.
    Maintenance {
        /// From now on.
        after: Duration,
        /// How long.
        length: Duration,
    },
    /// What is wrong with the tokens to come.
    Token(TokenFault),
    /// What the calls to come meet.
    Fault(Fault),
    /// The server dies without warning and is started anew on what it had committed.
    Crash,
    /// A person sets LSNs to -1: of the named tables, or of all where none is named.
    Invalidate(Vec<Spanned<String>>),
    /// A person's SQL on the mirror, with `{context}` for the tenant.
    MirrorSql {
        /// One after the other.
        run: Vec<Spanned<String>>,
        /// What the last one must give.
        expect: Option<SqlExpect>,
    },
    /// The mirror is backed up under a name.
    MirrorBackup(Spanned<String>),
    /// The mirror is what it was at that backup.
    MirrorRestore(Spanned<String>),
    /// A call written out, with a good token and after an Authenticate of its own.
    Send(Sent),
    /// The mirror's tables hold these rows, and no others.
    MirrorRows(Vec<MirrorRows>),
    /// Mirror and source are compared, schema and rows.
    Compare(PerTenant<CompareExpect>),
    /// The clock moves on, and each cycle that falls due meanwhile runs when it is due.
    RunDue {
        /// How long.
        length: Duration,
        /// Of all those cycles together, per tenant.
        expect: PerTenant<RunDueExpect>,
    },
    /// Settings change from here on.
    Set(Settings),
}

impl StepKind {
    /// The word that the file writes.
    pub fn word(&self) -> &'static str {
        match self {
            StepKind::Approve => "approve",
            StepKind::Withdraw => "withdraw",
            StepKind::Mirror(_) => "mirror",
            StepKind::Change(_) => "change",
            StepKind::Rows(_) => "rows",
            StepKind::Sql(_) => "sql",
            StepKind::Table(_) => "table",
            StepKind::Alter(_) => "alter",
            StepKind::Drop(_) => "drop",
            StepKind::Truncate(_) => "truncate",
            StepKind::Tracking(_) => "tracking",
            StepKind::Backup(_) => "backup",
            StepKind::Restore(_) => "restore",
            StepKind::Advance(_) => "advance",
            StepKind::Maintenance { .. } => "maintenance",
            StepKind::Token(_) => "token",
            StepKind::Fault(_) => "fault",
            StepKind::Crash => "crash",
            StepKind::Invalidate(_) => "invalidate",
            StepKind::MirrorSql { .. } => "mirror_sql",
            StepKind::MirrorBackup(_) => "mirror_backup",
            StepKind::MirrorRestore(_) => "mirror_restore",
            StepKind::Send(_) => "send",
            StepKind::MirrorRows(_) => "mirror_rows",
            StepKind::Compare(_) => "compare",
            StepKind::RunDue { .. } => "run_due",
            StepKind::Set(_) => "set",
        }
    }

    /// Whether it is a person's SQL that only looks at the mirror: every statement is a SELECT, and no more than one.
    pub fn only_looks(&self) -> bool {
        let select = |sql: &Spanned<String>| {
            let sql = sql.trim().trim_end_matches(';');
            sql.get(..6)
                .is_some_and(|word| word.eq_ignore_ascii_case("select"))
                && !sql.contains(';')
        };
        matches!(self, StepKind::MirrorSql { run, .. } if run.iter().all(select))
    }
}

/// Drawn changes. They are spread evenly over the transactions; the second half of each `…_then_…` follows in one more.
#[derive(Debug, Clone)]
pub struct Change {
    /// In the file's order.
    pub tables: Vec<TableChange>,
    /// How many transactions, at least 1: the source's version goes up by one with each.
    pub transactions: u64,
}

/// How many rows of one table meet which change. No row meets two of them in one step.
#[derive(Debug, Clone)]
pub struct TableChange {
    /// The table.
    pub table: Spanned<String>,
    /// New rows under keys never used before.
    pub insert: u64,
    /// Rows with one or several other values.
    pub update: u64,
    /// Rows that go.
    pub delete: u64,
    /// Rows that get another key.
    pub key_change: u64,
    /// New rows that are changed before the next cycle: one I each.
    pub insert_then_update: u64,
    /// New rows that are gone before the next cycle: one D each, of a row the mirror never had.
    pub insert_then_delete: u64,
    /// Rows that go and come back with other values: one U each.
    pub delete_then_insert: u64,
}

impl TableChange {
    /// Rows that must be there already.
    pub fn rows_needed(&self) -> u64 {
        self.update + self.delete + self.key_change + self.delete_then_insert
    }

    /// Rows touched in all.
    pub fn rows(&self) -> u64 {
        self.rows_needed() + self.insert + self.insert_then_update + self.insert_then_delete
    }

    /// Whether a second transaction follows.
    pub fn has_second_half(&self) -> bool {
        self.insert_then_update + self.insert_then_delete + self.delete_then_insert > 0
    }
}

/// What becomes of one table's rows, written out, in this order.
#[derive(Debug, Clone)]
pub struct WrittenRows {
    /// The table.
    pub table: Spanned<String>,
    /// Keys of rows that go.
    pub delete: Vec<Value<'static>>,
    /// Rows that get another key: the old and the new one.
    pub key_change: Vec<(Value<'static>, Value<'static>)>,
    /// Rows as they are from now on, found by their key.
    pub update: Vec<Vec<Value<'static>>>,
    /// New rows.
    pub insert: Vec<Vec<Value<'static>>>,
}

impl WrittenRows {
    /// Of a table of which nothing is said yet.
    pub fn of(table: Spanned<String>) -> WrittenRows {
        WrittenRows {
            table,
            delete: Vec::new(),
            key_change: Vec::new(),
            update: Vec::new(),
            insert: Vec::new(),
        }
    }

    /// How many rows it speaks of.
    pub fn count(&self) -> usize {
        self.delete.len() + self.key_change.len() + self.update.len() + self.insert.len()
    }
}

/// Other columns of one table.
#[derive(Debug, Clone)]
pub struct Alter {
    /// The table.
    pub table: Spanned<String>,
    /// In the file's order. Drops come first, then changes, then new columns.
    pub changes: Vec<ColumnChange>,
    /// The whole table afterwards, as [`simulator`](mirrorlab_simulator::source::Source::alter_table) takes it.
    pub after: Table,
}

/// What becomes of a column.
#[derive(Debug, Clone, PartialEq)]
pub enum ColumnChange {
    /// A new last column.
    Add(Spanned<Column>),
    /// The column of that name goes.
    Drop(Spanned<String>),
    /// The same type, but it holds more.
    Widen(Spanned<Column>),
    /// Another type, nullability or default, at the same place in the table.
    Change(Spanned<Column>),
}
