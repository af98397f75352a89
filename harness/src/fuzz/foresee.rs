//! What each step of a history must come to, by the [rules]: it is written into the step's own `expect`, so that the
//! history is a scenario file which fails by itself.
//!
//! A step that makes no sense where it stands (a restore of a backup that was not made, a row that is not there) is not
//! foreseen: a history that lost steps while it was shrunk loses those too.

mod calls;

use std::collections::{BTreeMap, BTreeSet};

use mirrorlab_protocol::names::{Operation, fold};

use super::property::Property;
use super::rules::{
    self, Batch, Call, Change, Difference, Ending, Fate, Mirror, Refusal, Row, Rows, Rules, Source, row_of,
};
use crate::run::faults::Counter;
use crate::run::world::START;
use crate::scenario::expect::{
    CompareExpect, EventExpect, EventKind, Keys, LogSide, MirrorExpect, Outcome, PerTenant, SqlExpect,
    TableCounts, TableDifference, TextPattern, Wiped,
};
use crate::scenario::model::{
    FaultKind, Hit, KillAt, QuietTables, Repopulate, Scenario, Settings, Step, StepKind, TableSpec, Tenant,
    TokenDefect, WrittenRows,
};
use crate::scenario::place::{At, Spanned};

/// Asks a mirror for every LSN. A step with this text is foreseen.
pub const ASK_LSNS: &str = "select lower(tablename), LSN from {context}_mirroring order by 1";
/// How far a server's clock may be off before it takes no token any more: its leeway is five minutes, and the token is
/// valid for six.
const SKEW_MAX: i64 = 5 * 60;

/// A call of a cycle to come: its operation, its tables, and whether it has rows.
pub type NextCall = (Operation, Vec<String>, bool);

/// A name or value that stands nowhere in a file yet.
pub fn bare<T>(value: T) -> Spanned<T> {
    Spanned::new(value, At::default())
}

/// A step as it is foreseen.
#[derive(Debug, Clone)]
pub struct Foreseen {
    /// With what it must come to.
    pub step: Step,
    /// What it is about, where its first expectation does not hold.
    pub about: Property,
    /// How many cycles it runs.
    pub cycles: u64,
    /// Whether it is a trouble that never struck so far.
    pub trouble: Option<usize>,
    /// Why it is a call that is refused.
    pub refused: Option<&'static str>,
}

/// One tenant, both sides.
#[derive(Debug, Clone)]
pub struct TenantView {
    /// Its name.
    pub context: String,
    /// Whether it has approved the application.
    pub approved: bool,
    /// Its database.
    pub source: Source,
    /// Its mirror.
    pub mirror: Mirror,
    /// Its source's backups.
    pub backups: BTreeMap<String, Source>,
    /// Its mirror's backups.
    pub mirror_backups: BTreeMap<String, Mirror>,
    /// Whether the mirror's file is there.
    pub mirror_made: bool,
    /// Whether what the mirror holds is known. It is not after a cycle that broke off among calls whose number nobody
    /// foresees.
    pub rows_known: bool,
    /// Whether every LSN is known.
    pub lsns_known: bool,
    /// Whether something went wrong since the last clean cycle.
    pub troubled: bool,
    /// Whether the source was restored since the mirror last equalled it, or calls came that no source would send.
    pub restored: bool,
    /// Whether it is such calls.
    pub called: bool,
    /// Whether LSNs were set to -1 by hand, all of them, since the last cycle.
    pub invalidated: bool,
    /// Calls that are under way, and arrive among the last of the next cycle. The flag says that it has begun.
    late: Vec<(Call, bool)>,
    /// Whether a table of the mirror was dropped by hand, and no TableSchema came since.
    pub dropped_by_hand: bool,
    /// What its SQL steps made: tables and rows of its own.
    pub own_rows: BTreeMap<String, String>,
    own_backups: BTreeMap<String, BTreeMap<String, String>>,
}

impl TenantView {
    fn new(tenant: &Tenant) -> Option<TenantView> {
        let mut source = Source::new();
        for spec in &tenant.tables {
            source.create(&spec.table, rows_of(spec)?);
        }
        Some(TenantView {
            context: tenant.context.value.clone(),
            approved: tenant.approved,
            source,
            mirror: Mirror::default(),
            backups: BTreeMap::new(),
            mirror_backups: BTreeMap::new(),
            mirror_made: false,
            rows_known: true,
            lsns_known: true,
            troubled: false,
            restored: false,
            called: false,
            invalidated: false,
            late: Vec::new(),
            dropped_by_hand: false,
            own_rows: BTreeMap::new(),
            own_backups: BTreeMap::new(),
        })
    }

    /// Whether the mirror is known to be what the source was at its LSN, so that whatever breaks off heals.
    pub fn is_healthy(&self) -> bool {
        self.rows_known && !self.restored && self.late.is_empty()
    }

    /// Whether a call is under way that arrives later.
    pub fn has_late(&self) -> bool {
        !self.late.is_empty()
    }

    /// Source and mirror, compared; `None` where it is not foreseen what a comparison finds.
    pub fn differences(&self) -> Option<Vec<(String, Difference)>> {
        let taken = self
            .mirror
            .own
            .iter()
            .any(|name| self.source.tables.contains_key(name));
        if taken || self.dropped_by_hand {
            return None;
        }
        rules::differences(&self.source, &self.mirror)
    }
}

fn rows_of(spec: &TableSpec) -> Option<Rows> {
    let mut rows = Rows::new();
    for row in &spec.rows {
        let (key, row) = row_of(&spec.table, row)?;
        if rows.insert(key, row).is_some() {
            return None;
        }
    }
    (spec.drawn == 0).then_some(rows)
}

/// What the calls to come meet.
#[derive(Debug, Clone)]
enum Trouble {
    Fault(FaultKind),
    Token(TokenDefect),
}

/// A trouble, whom it hits, and whether it ever did.
#[derive(Debug, Clone)]
struct Waiting {
    trouble: Trouble,
    counter: Counter,
    struck: bool,
}

/// All tenants, the clock, the settings: what a history has come to.
#[derive(Debug, Clone)]
pub struct View {
    /// On the source's clock.
    pub now: i64,
    /// As they are now.
    pub settings: Settings,
    /// By name.
    pub tenants: BTreeMap<String, TenantView>,
    waiting: Vec<Waiting>,
}

/// Whether a cycle's calls can be counted: a table's rows go in one call, and no two tables share one.
fn counts_calls(settings: &Settings) -> bool {
    settings.batch_size.is_none() && settings.share_calls != Some(true)
}

impl View {
    /// As it is before the first step; `None` for a scenario that is not one of the fuzzer's.
    pub fn new(scenario: &Scenario) -> Option<View> {
        let views = scenario.tenants.iter().map(TenantView::new);
        let views: Option<Vec<TenantView>> = views.collect();
        Some(View {
            now: scenario.settings.start.unwrap_or(START),
            settings: scenario.settings.clone(),
            tenants: views?.into_iter().map(|v| (v.context.clone(), v)).collect(),
            waiting: Vec::new(),
        })
    }

    /// Whether a trouble never struck.
    pub fn is_unused(&self, trouble: usize) -> bool {
        self.waiting.get(trouble).is_none_or(|w| !w.struck)
    }

    /// Whether a tenant still has a trouble before it.
    pub fn is_waiting(&self, context: &str) -> bool {
        self.waiting
            .iter()
            .any(|w| !w.counter.is_spent() && w.counter.is_about(context))
    }

    /// Whether every call of a cycle is foreseen.
    pub fn counts_calls(&self) -> bool {
        counts_calls(&self.settings)
    }

    /// The calls that a tenant's next cycle makes, if nothing disturbs it.
    pub fn next_calls(&self, context: &str) -> Vec<NextCall> {
        let Some(view) = self.tenants.get(context) else {
            return Vec::new();
        };
        let (mut source, mut mirror) = (view.source.clone(), view.mirror.clone());
        let mut calls = Vec::new();
        rules::cycle(
            &mut source,
            &mut mirror,
            self.rules(),
            self.now,
            &mut |call, _| {
                calls.push((operation(call), tables_of(call), has_rows(call)));
                Fate::SOUND
            },
        );
        calls
    }

    fn rules(&self) -> Rules {
        Rules {
            only_ahead: self.settings.repopulate == Some(Repopulate::OnlyAhead),
            refresh: self.settings.quiet_tables == Some(QuietTables::Refresh),
            guarded: self.settings.server.drop_guard == Some(true),
            declines: self.settings.server.do_not_replicate == Some(true),
        }
    }

    /// The tenants that a step is about.
    fn about(&self, step: &Step) -> Vec<String> {
        self.tenants
            .keys()
            .filter(|c| step.tenant.as_ref().is_none_or(|t| t.value == **c))
            .cloned()
            .collect()
    }

    /// Does a step, and says what it must come to. `None` where it makes no sense; nothing is done then.
    pub fn step(&mut self, step: &Step) -> Option<Foreseen> {
        let mut after = self.clone();
        let foreseen = after.does(step)?;
        *self = after;
        Some(foreseen)
    }

    fn does(&mut self, step: &Step) -> Option<Foreseen> {
        let contexts = self.about(step);
        if contexts.is_empty() {
            return None;
        }
        let mut foreseen = Foreseen {
            step: step.clone(),
            about: Property::Cycle,
            cycles: 0,
            trouble: None,
            refused: None,
        };
        match &step.kind {
            StepKind::Mirror(_) => self.mirror(&contexts, &mut foreseen)?,
            StepKind::Compare(_) => self.compare(&contexts, &mut foreseen)?,
            StepKind::MirrorSql { run, .. } => self.mirror_sql(&contexts, run, &mut foreseen)?,
            StepKind::Send(sent) => self.send(&contexts, sent, &mut foreseen)?,
            StepKind::MirrorRows(tables) => self.mirror_rows(&contexts, tables, &mut foreseen)?,
            StepKind::Fault(fault) => {
                let trouble = Trouble::Fault(fault.kind.clone());
                foreseen.trouble = Some(self.trouble(&contexts, step, trouble, &fault.hit)?);
            }
            StepKind::Token(token) => {
                let trouble = Trouble::Token(token.defect.clone());
                foreseen.trouble = Some(self.trouble(&contexts, step, trouble, &token.hit)?);
            }
            StepKind::Set(settings) => {
                if settings.start.is_some() || step.tenant.is_some() {
                    return None;
                }
                self.settings.merge(settings);
            }
            StepKind::Advance(length) => self.now += i64::try_from(length.as_secs()).ok()?,
            StepKind::Crash => {}
            kind => {
                for context in &contexts {
                    let now = self.now;
                    on_tenant(self.tenants.get_mut(context)?, kind, now)?;
                }
            }
        }
        Some(foreseen)
    }

    /// A trouble is only of use where it is foreseen what it does.
    fn trouble(&mut self, contexts: &[String], step: &Step, trouble: Trouble, hit: &Hit) -> Option<usize> {
        use FaultKind as F;
        // Whose call is hit must not hang on another tenant's.
        if contexts.len() > 1 && self.tenants.len() > 1 {
            return None;
        }
        let only = |operations: &[Operation]| hit.operation.is_some_and(|o| operations.contains(&o));
        let rows_or_wipe = [Operation::RowData, Operation::Wipe];
        let makes_sense = match &trouble {
            Trouble::Fault(F::AnswerSignature | F::AnswerNonce | F::AnswerTime) => {
                only(&[Operation::Authenticate])
            }
            Trouble::Fault(F::SpoiledCell) => only(&[Operation::RowData]),
            Trouble::Fault(F::Locked) => only(&[Operation::TableSchema, Operation::RowData, Operation::Wipe]),
            // Nothing fits into a file that has no table yet.
            Trouble::Fault(F::DiskFull) => {
                only(&[Operation::TableSchema])
                    && contexts
                        .iter()
                        .all(|c| self.tenants[c].mirror.tables.is_empty() && !self.tenants[c].mirror_made)
            }
            Trouble::Fault(F::ArrivesAgain | F::Overtaken) => only(&rows_or_wipe) && self.counts_calls(),
            Trouble::Token(TokenDefect::Repeated) => {
                hit.operation.is_some_and(|o| o != Operation::Authenticate)
            }
            Trouble::Token(TokenDefect::ForeignTenant(_)) => only(&rows_or_wipe),
            Trouble::Fault(kind) => !dies_at_work(kind),
            Trouble::Token(_) => true,
        };
        if !makes_sense {
            return None;
        }
        if !self.counts_calls() {
            let known = only(&[
                Operation::Authenticate,
                Operation::TableSchema,
                Operation::ReplicationCompleted,
            ]);
            let ends = matches!(&trouble, Trouble::Fault(kind) if *kind != F::ArrivesTwice)
                && only(&rows_or_wipe)
                && hit.after == 0
                && hit.table.is_none()
                && hit.calls == Some(1)
                && contexts.iter().all(|c| self.tenants[c].is_healthy());
            if !known && !ends {
                return None;
            }
        }
        self.waiting.push(Waiting {
            trouble,
            counter: Counter::new(hit.clone(), step.tenant.as_ref().map(|t| t.value.clone())),
            struck: false,
        });
        Some(self.waiting.len() - 1)
    }

    fn mirror(&mut self, contexts: &[String], foreseen: &mut Foreseen) -> Option<()> {
        let mut expects = Vec::new();
        for context in contexts {
            let (expect, about) = self.cycle(context)?;
            foreseen.cycles += u64::from(expect.outcome != Outcome::None);
            // The gravest of several.
            if about != Property::Cycle {
                foreseen.about = about;
            }
            expects.push((bare(context.clone()), expect));
        }
        let plain = MirrorExpect::ok(At::default());
        let expect = if expects.iter().all(|(_, e)| *e == plain) {
            PerTenant::default()
        } else if let [(_, only)] = expects.as_slice() {
            PerTenant {
                all: Some(only.clone()),
                tenants: Vec::new(),
            }
        } else {
            expects.retain(|(_, e)| *e != plain);
            PerTenant {
                all: None,
                tenants: expects,
            }
        };
        foreseen.step.kind = StepKind::Mirror(expect);
        Some(())
    }

    /// One tenant's cycle, and what it must come to.
    fn cycle(&mut self, context: &str) -> Option<(MirrorExpect, Property)> {
        let mut expect = MirrorExpect::ok(At::default());
        let rules = self.rules();
        let (settings, now) = (self.settings.clone(), self.now);
        let waiting = &mut self.waiting;
        let view = self.tenants.get_mut(context)?;
        if !view.approved {
            expect.outcome = Outcome::None;
            return Some((expect, Property::Cycle));
        }
        let was_troubled = view.troubled;
        let exact = view.lsns_known && view.rows_known;
        let countable = counts_calls(&settings);
        let skewed = settings.server.clock_skew.is_some_and(|s| s.abs() > SKEW_MAX);
        let refuses_replays = settings.server.refuse_replays == Some(true);
        let mut said: Option<String> = None;
        let mut met: Option<Trouble> = None;
        let mut guessed = false;
        let mut late = std::mem::take(&mut view.late);
        let mut delayed = Vec::new();
        let (mut schema_seen, mut schema_done) = (false, false);
        let mut cycle = rules::cycle(
            &mut view.source,
            &mut view.mirror,
            rules,
            now,
            &mut |call, mirror| {
                if matches!(call, Call::Authenticate) {
                    late.iter_mut().for_each(|(_, due)| *due = true);
                }
                if matches!(call, Call::Completed) {
                    for (call, _) in late.drain(..) {
                        // What becomes of it nobody is told.
                        let _ = mirror.does(&call, rules.guarded);
                    }
                }
                let mut trouble = None;
                let tables = tables_of(call);
                for waiting in waiting.iter_mut() {
                    if waiting.counter.strikes(operation(call), context, &tables) && trouble.is_none() {
                        waiting.struck = true;
                        trouble = Some(waiting.trouble.clone());
                    }
                }
                if skewed {
                    return Fate {
                        done: false,
                        goes_on: false,
                    };
                }
                let Some(trouble) = trouble else {
                    schema_done |= matches!(call, Call::Schema(_));
                    return Fate::SOUND;
                };
                if !countable && matches!(call, Call::Rows(_) | Call::Wipe(_)) {
                    guessed = true;
                }
                let fate = fate_of(&trouble, call, refuses_replays, &mut said, &mut delayed);
                schema_done |= fate.done && matches!(call, Call::Schema(_));
                // A server that is asked and cannot has made its file all the same.
                schema_seen |= matches!(trouble, Trouble::Fault(FaultKind::DiskFull | FaultKind::Locked));
                if met.is_none() && (!fate.goes_on || matches!(trouble, Trouble::Token(_))) {
                    met = Some(trouble);
                }
                fate
            },
        );
        view.late = late;
        view.late.extend(delayed);
        view.mirror_made |= schema_seen || schema_done;
        // A schema that is refused makes no table anew.
        schema_done &= !matches!(cycle.ending, Ending::Refused(_));
        view.dropped_by_hand &= !schema_done;
        let completed = cycle.ending == Ending::Completed;
        view.troubled = match cycle.ending {
            Ending::Completed => false,
            Ending::Declined => was_troubled,
            _ => true,
        };
        let mut about = match (&met, was_troubled) {
            (Some(Trouble::Token(_)), _) => Property::Trust,
            (Some(_), _) => Property::Refused,
            (None, true) => Property::Heals,
            (None, false) => Property::Cycle,
        };
        if guessed {
            view.rows_known = false;
            view.lsns_known = false;
        }
        let event = |kind| EventExpect {
            at: At::default(),
            log: LogSide::Server,
            kind,
            text: None,
        };
        let refused = matches!(cycle.ending, Ending::Refused(_));
        match cycle.ending {
            Ending::Completed => {}
            Ending::Declined => expect.outcome = Outcome::Declined,
            Ending::Broken | Ending::Refused(_) => {
                expect.outcome = Outcome::Error;
                if let Some(table) = said.as_ref().filter(|_| !guessed) {
                    expect.error = Some(bare(TextPattern::new(table)));
                }
                if refused || (said.is_some() && !guessed) {
                    expect.events.push(event(EventKind::Error));
                    about = Property::Refused;
                }
                if let Ending::Refused(Refusal::NameTaken) = cycle.ending {
                    about = Property::OwnTable;
                }
            }
        }
        if completed {
            if cycle.most_dropped {
                expect.events.push(event(EventKind::Warning));
            }
            if exact && !guessed {
                sent(&mut expect, &mut cycle, view);
                if about == Property::Cycle {
                    about = Property::Sent;
                }
            }
            if !exact {
                // What was in doubt is not any more: it was healthy before it broke off, and one clean cycle heals.
                for (name, table) in &view.source.tables {
                    if let Some(mirrored) = view.mirror.tables.get_mut(name) {
                        mirrored.rows.clone_from(&table.rows);
                    }
                }
                view.rows_known = true;
            }
            if view.invalidated {
                view.lsns_known = true;
            }
            if view.rows_known && view.differences().is_some_and(|d| only_own(view, &d)) {
                view.restored = false;
                view.called = false;
            }
            view.invalidated = false;
        }
        Some((expect, about))
    }

    fn compare(&self, contexts: &[String], foreseen: &mut Foreseen) -> Option<()> {
        let mut expects = Vec::new();
        for context in contexts {
            let view = self.tenants.get(context)?;
            if !view.rows_known {
                return None;
            }
            let differences = view.differences()?;
            foreseen.about = match (view.restored, view.troubled) {
                (_, true) => Property::WholeCalls,
                (true, false) if view.called => Property::Call,
                (true, false) => Property::Camouflage,
                _ if contexts.len() < self.tenants.len() => Property::Apart,
                _ => Property::Equal,
            };
            if !differences.is_empty() {
                let tables = differences.into_iter().map(difference).collect();
                let expect = CompareExpect {
                    at: At::default(),
                    tables,
                };
                expects.push((bare(context.clone()), expect));
            }
        }
        let expect = match expects.as_slice() {
            [(_, only)] if contexts.len() == 1 => PerTenant {
                all: Some(only.clone()),
                tenants: Vec::new(),
            },
            _ => PerTenant {
                all: None,
                tenants: expects,
            },
        };
        foreseen.step.kind = StepKind::Compare(expect);
        Some(())
    }

    /// A person's SQL on the mirror: one of a few that the fuzzer knows.
    fn mirror_sql(
        &mut self,
        contexts: &[String],
        run: &[Spanned<String>],
        foreseen: &mut Foreseen,
    ) -> Option<()> {
        let texts: Vec<&str> = run.iter().map(|s| s.as_str()).collect();
        let mut expect = None;
        for context in contexts {
            let view = self.tenants.get_mut(context).filter(|v| v.mirror_made)?;
            let rows = by_hand(view, &texts)?;
            foreseen.about = match texts.as_slice() {
                [ASK_LSNS] => Property::Lsn,
                _ => Property::OwnTable,
            };
            if let Some(rows) = rows {
                let at = At::default();
                // One expectation holds for all tenants of a step.
                if contexts.len() > 1 {
                    return None;
                }
                expect = Some(SqlExpect { at, rows });
            }
        }
        foreseen.step.kind = StepKind::MirrorSql {
            run: run.to_vec(),
            expect,
        };
        Some(())
    }
}

/// Whether the partner's own tables are all that differs.
fn only_own(view: &TenantView, differences: &[(String, Difference)]) -> bool {
    differences
        .iter()
        .all(|(name, _)| view.mirror.own.contains(&fold(name)))
}

/// The names of the partner's own table of that kind, and how it is made, filled and asked.
pub mod own {
    /// Makes and fills it.
    pub fn make(name: &str, note: &str) -> Vec<String> {
        vec![
            format!("create table {name} (id int not null primary key, note varchar(20))"),
            format!("insert into {name} values (1, '{note}')"),
        ]
    }

    /// Asks for its rows.
    pub fn ask(name: &str) -> String {
        format!("select id, note from {name}")
    }
}

/// Does what a person's SQL does, and gives what it answers.
fn by_hand(view: &mut TenantView, texts: &[&str]) -> Option<Option<Vec<Vec<Option<String>>>>> {
    let word = |text: &str, before: &str| -> Option<String> {
        let rest = text.strip_prefix(before)?;
        Some(rest.split([' ', '\'']).next()?.to_owned())
    };
    match texts {
        [ASK_LSNS] => {
            if !view.lsns_known || !view.rows_known || view.dropped_by_hand {
                return None;
            }
            let row = |(name, table): (&String, &rules::MirrorTable)| {
                vec![Some(name.clone()), Some(table.lsn.to_string())]
            };
            Some(Some(view.mirror.tables.iter().map(row).collect()))
        }
        [made, filled] if made.starts_with("create table ") => {
            let name = word(made, "create table ")?;
            let note = filled.split('\'').nth(1)?.to_owned();
            let taken = view.mirror.tables.contains_key(&name) || !view.mirror.own.insert(name.clone());
            view.own_rows.insert(name, note);
            (!taken).then_some(None)
        }
        [asked] if asked.starts_with("select id, note from ") => {
            let name = word(asked, "select id, note from ")?;
            let note = view.own_rows.get(&name)?;
            Some(Some(vec![vec![Some("1".into()), Some(note.clone())]]))
        }
        [update] if update.starts_with("update {context}_mirroring set LSN = -1 where tablename = ") => {
            let name = update.split('\'').nth(1)?;
            let table = view.mirror.tables.get_mut(&fold(name))?;
            // Where it says -1 already the statement changes nothing: a table that was wiped takes the next LSN as before.
            if table.lsn != -1 {
                table.invalidate();
            }
            Some(None)
        }
        [dropped, forgotten @ ..] if dropped.starts_with("drop table ") => {
            let name = fold(&word(dropped, "drop table ")?);
            let right = match forgotten {
                [] => true,
                [text] => text.starts_with("delete from {context}_mirroring where tablename = "),
                _ => false,
            };
            // Whoever drops a table drops its rows with it; the next TableSchema finds it missing.
            let table = view.mirror.tables.remove(&name)?;
            if forgotten.is_empty() {
                let bare = rules::MirrorTable {
                    lsn: -1,
                    by_hand: false,
                    rows: Rows::new(),
                    ..table
                };
                view.mirror.tables.insert(name, bare);
                view.dropped_by_hand = true;
            }
            right.then_some(None)
        }
        _ => None,
    }
}

/// What a completed cycle must have wiped and sent.
fn sent(expect: &mut MirrorExpect, cycle: &mut rules::Cycle, view: &TenantView) {
    if cycle.sent.is_empty() && cycle.wiped.is_empty() {
        expect.quiet = Some(bare(true));
        return;
    }
    let wiped = match cycle.wiped.len() {
        0 => Wiped::None,
        n if n == view.source.tables.len() => Wiped::All,
        _ => Wiped::Tables(cycle.wiped.iter().cloned().map(bare).collect()),
    };
    expect.wiped = Some(bare(wiped));
    expect.tables = cycle
        .sent
        .drain(..)
        .map(|(table, [inserts, updates, deletes])| TableCounts {
            table: bare(table),
            inserts,
            updates,
            deletes,
        })
        .collect();
}

fn difference((table, found): (String, Difference)) -> TableDifference {
    let keys = |keys: Vec<i64>| {
        (!keys.is_empty()).then(|| Keys::These(keys.iter().map(ToString::to_string).collect()))
    };
    TableDifference {
        table: bare(table),
        only_in: match (found.only_in_source, found.only_in_mirror) {
            (true, _) => Some(crate::scenario::expect::Side::Source),
            (_, true) => Some(crate::scenario::expect::Side::Mirror),
            _ => None,
        },
        columns: None,
        missing: keys(found.missing),
        extra: keys(found.extra),
        different: keys(found.different),
    }
}

fn operation(call: &Call) -> Operation {
    match call {
        Call::Authenticate => Operation::Authenticate,
        Call::Schema(_) => Operation::TableSchema,
        Call::Wipe(_) => Operation::Wipe,
        Call::Rows(_) => Operation::RowData,
        Call::Completed => Operation::ReplicationCompleted,
    }
}

fn tables_of(call: &Call) -> Vec<String> {
    match call {
        Call::Schema(tables) => tables.iter().map(|t| t.name.clone()).collect(),
        Call::Wipe(name) => vec![name.clone()],
        Call::Rows(batch) => vec![batch.shape.name.clone()],
        Call::Authenticate | Call::Completed => Vec::new(),
    }
}

fn has_rows(call: &Call) -> bool {
    matches!(call, Call::Rows(Batch { rows, .. }) if !rows.is_empty())
}

/// Whether a server has the whole call when it dies, and its answer has not begun: where it is a process of its own, it may
/// have committed by then or not, and nobody knows which.
pub(super) fn dies_at_work(kind: &FaultKind) -> bool {
    match kind {
        FaultKind::KilledWorking | FaultKind::KilledAt(KillAt::Log(_)) => true,
        FaultKind::KilledAt(KillAt::Call(part)) => *part >= 1000,
        _ => false,
    }
}

/// What becomes of a call that meets something. `said` is what the server's refusal must name; a call that arrives later
/// goes to `delayed`.
fn fate_of(
    trouble: &Trouble,
    call: &Call,
    refuses_replays: bool,
    said: &mut Option<String>,
    delayed: &mut Vec<(Call, bool)>,
) -> Fate {
    use FaultKind as F;
    const LOST: Fate = Fate {
        done: false,
        goes_on: false,
    };
    const DONE: Fate = Fate {
        done: true,
        goes_on: false,
    };
    let harmless = |harmless: bool| if harmless { Fate::SOUND } else { LOST };
    match trouble {
        Trouble::Token(TokenDefect::LineBreaks | TokenDefect::OnlyX5t) => Fate::SOUND,
        Trouble::Token(TokenDefect::Repeated) => harmless(!refuses_replays),
        Trouble::Token(_) => LOST,
        Trouble::Fault(kind) => match kind {
            F::Refuse(_)
            | F::Http(_)
            | F::SoapFault(_)
            | F::ConnectionRefused
            | F::ConnectionBroken
            | F::ConnectionHalfway
            | F::TimedOut
            | F::CallTruncated
            | F::StopServer
            | F::KilledHalfway
            | F::KilledWorking
            | F::KilledAt(_)
            | F::DiskFull
            | F::Locked => LOST,
            F::AnswerLost
            | F::KilledAnswering
            | F::AnswerTruncated
            | F::AnswerLate
            | F::AnswerGarbage
            | F::AnswerSignature
            | F::AnswerNonce
            | F::AnswerTime => DONE,
            F::ArrivesTwice if refuses_replays => DONE,
            F::ArrivesTwice => Fate::SOUND,
            F::ArrivesAgain => {
                if !refuses_replays {
                    delayed.push((call.clone(), false));
                }
                Fate::SOUND
            }
            F::Overtaken => {
                delayed.push((call.clone(), false));
                LOST
            }
            F::SpoiledCell => match has_rows(call) {
                true => {
                    *said = tables_of(call).pop();
                    LOST
                }
                false => Fate::SOUND,
            },
        },
    }
}

/// Steps on one tenant's databases. `None` where they make no sense.
fn on_tenant(view: &mut TenantView, kind: &StepKind, now: i64) -> Option<()> {
    match kind {
        StepKind::Approve => view.approved = true,
        StepKind::Withdraw => view.approved = false,
        StepKind::Rows(tables) => {
            let mut changes = Vec::new();
            for written in tables {
                changes.extend(written_changes(view, written)?);
            }
            let done = !changes.is_empty() && view.source.transact(&changes, now);
            done.then_some(())?;
        }
        StepKind::Table(specs) => {
            for spec in specs {
                if view.source.tables.contains_key(&fold(&spec.table.name)) {
                    return None;
                }
                view.source.create(&spec.table, rows_of(spec)?);
            }
        }
        StepKind::Alter(alters) => {
            for alter in alters {
                view.source.tables.get(&fold(&alter.table))?;
                view.source.alter(&alter.after);
            }
        }
        StepKind::Drop(names) => {
            for name in names {
                view.source.tables.remove(&fold(name))?;
            }
            // A schema without a table is refused: it drops nothing.
            (!view.source.tables.is_empty()).then_some(())?;
        }
        StepKind::Truncate(names) => {
            for name in names {
                view.source.tables.get(&fold(name))?;
                view.source.truncate(&fold(name), now);
            }
        }
        StepKind::Tracking(tables) => {
            for (name, on) in tables {
                view.source.tables.get(&fold(name))?;
                view.source.track(&fold(name), *on, now);
            }
        }
        StepKind::Sql(run) => {
            let [text] = run.as_slice() else { return None };
            renamed(view, text)?;
        }
        StepKind::Backup(name) => {
            view.backups.insert(name.value.clone(), view.source.clone());
        }
        StepKind::Restore(name) => {
            if !view.lsns_known || !view.rows_known || view.has_late() {
                return None;
            }
            view.source = view.backups.get(&name.value)?.clone();
            view.restored = true;
        }
        StepKind::MirrorBackup(name) => {
            if !view.mirror_made || !view.lsns_known || !view.rows_known || view.dropped_by_hand {
                return None;
            }
            view.mirror_backups
                .insert(name.value.clone(), view.mirror.clone());
            view.own_backups.insert(name.value.clone(), view.own_rows.clone());
        }
        StepKind::MirrorRestore(name) => {
            if view.has_late() {
                return None;
            }
            view.mirror = view.mirror_backups.get(&name.value)?.clone();
            view.own_rows = view.own_backups.get(&name.value)?.clone();
            view.rows_known = true;
            view.lsns_known = true;
            view.dropped_by_hand = false;
            // The source may have been restored in between: LSNs of its other life say nothing.
            view.restored = true;
        }
        StepKind::Invalidate(tables) => {
            if !view.mirror_made {
                return None;
            }
            for name in tables {
                view.mirror.tables.get_mut(&fold(name))?.invalidate();
            }
            if tables.is_empty() {
                view.mirror
                    .tables
                    .values_mut()
                    .for_each(rules::MirrorTable::invalidate);
                view.invalidated = true;
            }
        }
        _ => return None,
    }
    Some(())
}

/// `alter table a rename to b; alter table b rename to A;`: other letters, the same name.
fn renamed(view: &mut TenantView, text: &str) -> Option<()> {
    let words: Vec<&str> = text.split([' ', ';']).filter(|w| !w.is_empty()).collect();
    let (["alter", "table", old, "rename", "to", between], ["alter", "table", again, "rename", "to", new]) =
        words.split_at_checked(6)?
    else {
        return None;
    };
    if between != again || fold(old) != fold(new) {
        return None;
    }
    let table = view.source.tables.get_mut(&fold(old))?;
    table.shape.name = (*new).to_owned();
    Some(())
}

fn written_changes(view: &TenantView, written: &WrittenRows) -> Option<Vec<(String, Change)>> {
    use mirrorlab_protocol::value::Value;
    let name = fold(&written.table);
    let table = view.source.tables.get(&name)?;
    let key = |value: &Value<'static>| match value {
        Value::Int(key) => Some(*key),
        _ => None,
    };
    let fits = |row: &&Vec<Value<'static>>| row.len() == table.shape.columns.len();
    let whole = |rows: &Vec<Vec<Value<'static>>>| rows.iter().all(|r| fits(&r));
    if !whole(&written.update) || !whole(&written.insert) || table.shape.columns.len() < 2 {
        return None;
    }
    let row = |values: &Vec<Value<'static>>| -> Option<(i64, Row)> { row_of(&table.shape, values) };
    let mut changes = Vec::new();
    // A row that is not there can neither go nor change: a history that speaks of one has lost a step.
    let mut there: BTreeSet<i64> = table.rows.keys().copied().collect();
    for value in &written.delete {
        let key = key(value)?;
        there.remove(&key).then_some(())?;
        changes.push(Change::Delete(key));
    }
    for (old, new) in &written.key_change {
        let (old, new) = (key(old)?, key(new)?);
        (there.remove(&old) && there.insert(new)).then_some(())?;
        changes.push(Change::Key(old, new));
    }
    for values in &written.update {
        let (key, row) = row(values)?;
        there.contains(&key).then_some(())?;
        changes.push(Change::Update(key, row));
    }
    for values in &written.insert {
        let (key, row) = row(values)?;
        there.insert(key).then_some(())?;
        changes.push(Change::Insert(key, row));
    }
    Some(changes.into_iter().map(|c| (name.clone(), c)).collect())
}
