//! The steps of a history, one kind after the other.

use std::time::Duration;

use mirrorlab_protocol::names::{Operation, fold};
use mirrorlab_protocol::schema::{Column, Table};
use mirrorlab_protocol::types::{ColumnType, Length};
use mirrorlab_protocol::value::Value;
use mirrorlab_simulator::draw::pick;

use super::Drawer;
use super::shape::{self, Flavour, NAMES};
use crate::fuzz::foresee::{ASK_LSNS, NextCall, TenantView, bare, dies_at_work, own};
use crate::scenario::expect::PerTenant;
use crate::scenario::model::{
    Alter, ColumnChange, Fault, FaultKind, Hit, QuietTables, Repopulate, ServerSettings, Settings, StepKind,
    TableSpec, TokenDefect, TokenFault, WrittenRows,
};
use crate::scenario::place::At;

/// The partner's own tables. The second one's name may be taken by one of SuperOffice's later.
const OWN: [&str; 2] = ["my_notes", "y_part"];

/// Draws steps about a tenant.
type Drawn = fn(&mut Drawer, &str);
/// What may happen next, and how often in a thousand.
const WEIGHTS: [(u32, Drawn); 25] = [
    (250, Drawer::rows),
    (190, Drawer::clean_cycle),
    (130, Drawer::faulty_cycle),
    (110, Drawer::wrong_token),
    (80, Drawer::alter),
    (25, Drawer::new_table),
    (15, Drawer::drop_table),
    (20, Drawer::recreate),
    (15, Drawer::truncate),
    (20, Drawer::tracking),
    (35, Drawer::backup),
    (45, Drawer::restore),
    (30, Drawer::advance),
    (20, Drawer::invalidate),
    (12, Drawer::lsn_by_hand),
    (12, Drawer::drop_by_hand),
    (15, Drawer::crash),
    (20, Drawer::settings_change),
    (10, Drawer::approval),
    (25, Drawer::own_table),
    (15, Drawer::mirror_backup),
    (15, Drawer::mirror_restore),
    (10, Drawer::other_letters),
    (12, Drawer::declined),
    (35, Drawer::send),
];

impl Drawer {
    /// Draws steps until there are enough.
    pub(super) fn run(&mut self) {
        let wanted = match self.flavour {
            Flavour::Long | Flavour::Values => 10 + pick::index(&mut self.rng, 16),
            _ => 15 + pick::index(&mut self.rng, 30),
        };
        let tenant = self.tenant();
        match pick::below(&mut self.rng, 20) {
            0..=15 => self.clean_cycle(&tenant),
            16..=18 => self.full_disk(&tenant),
            _ => {}
        }
        // A history in which nothing makes sense any more ends early.
        for _ in 0..wanted * 4 {
            if self.foreseen.len() >= wanted {
                break;
            }
            let tenant = self.tenant();
            let sum: u32 = self.weights().map(|(weight, _)| weight).sum();
            let mut at = u32::try_from(pick::below(&mut self.rng, u64::from(sum))).unwrap_or(0);
            let chosen = self.weights().find(|(weight, _)| match at < *weight {
                true => true,
                false => {
                    at -= weight;
                    false
                }
            });
            if let Some((_, step)) = chosen {
                step(self, &tenant);
            }
        }
        self.end();
    }

    fn weights(&self) -> impl Iterator<Item = (u32, Drawn)> + use<> {
        let flavour = self.flavour;
        WEIGHTS.into_iter().enumerate().map(move |(at, (weight, step))| {
            let factor = match (flavour, at) {
                (Flavour::Trust, 3) => 4,
                (Flavour::ManyTables, 6) => 12,
                (Flavour::Calls, 24) => 25,
                _ => 1,
            };
            (weight * factor, step)
        })
    }

    fn tenant(&mut self) -> String {
        let names: Vec<&String> = self.view.tenants.keys().collect();
        (*pick::one(&mut self.rng, &names)).clone()
    }

    pub(super) fn of(&self, tenant: &str) -> &TenantView {
        &self.view.tenants[tenant]
    }

    pub(super) fn chance(&mut self, per_mille: u32) -> bool {
        pick::chance(&mut self.rng, per_mille)
    }

    /// One of a tenant's source tables.
    pub(super) fn table_of(&mut self, tenant: &str) -> Option<Table> {
        let tables: Vec<Table> = self
            .of(tenant)
            .source
            .tables
            .values()
            .map(|t| t.shape.clone())
            .collect();
        (!tables.is_empty()).then(|| pick::one(&mut self.rng, &tables).clone())
    }

    pub(super) fn mirror_table_of(&mut self, tenant: &str) -> Option<String> {
        let tables: Vec<String> = self.of(tenant).mirror.tables.keys().cloned().collect();
        (!tables.is_empty()).then(|| pick::one(&mut self.rng, &tables).clone())
    }

    /// A cycle, mostly of all tenants.
    fn clean_cycle(&mut self, tenant: &str) {
        let all = self.chance(600);
        self.cycle((!all).then_some(tenant));
    }

    /// A cycle, and a look at what it left.
    fn cycle(&mut self, tenant: Option<&str>) {
        self.push(tenant, StepKind::Mirror(PerTenant::default()));
        self.look(tenant);
    }

    fn look(&mut self, tenant: Option<&str>) {
        // Now and then another tenant is looked at, whom all this does not concern.
        if self.chance(850) {
            let all = self.push(None, StepKind::Compare(PerTenant::default()));
            if !all {
                self.push(tenant, StepKind::Compare(PerTenant::default()));
            }
        }
        if self.chance(350) {
            let asked = match tenant {
                Some(tenant) if self.chance(700) => tenant.to_owned(),
                _ => self.tenant(),
            };
            self.push(Some(&asked), ask(ASK_LSNS));
        }
        let named: Vec<(String, String)> = self
            .view
            .tenants
            .values()
            .flat_map(|t| t.own_rows.keys().map(|name| (t.context.clone(), name.clone())))
            .collect();
        if !named.is_empty() && self.chance(400) {
            let (context, name) = pick::one(&mut self.rng, &named).clone();
            self.push(Some(&context), ask(&own::ask(&name)));
        }
    }

    fn rows(&mut self, tenant: &str) {
        for _ in 0..1 + pick::below(&mut self.rng, 2) {
            let mut written: Vec<WrittenRows> = Vec::new();
            for _ in 0..1 + pick::below(&mut self.rng, 2) {
                let Some(table) = self.table_of(tenant) else {
                    return;
                };
                if table.columns.len() > 1 && !written.iter().any(|w| fold(&w.table) == fold(&table.name)) {
                    written.push(self.changes(tenant, &table));
                }
            }
            written.retain(|w| w.count() > 0);
            if !written.is_empty() {
                self.push(Some(tenant), StepKind::Rows(written));
            }
        }
    }

    fn changes(&mut self, tenant: &str, table: &Table) -> WrittenRows {
        let mut free: Vec<i64> = Vec::new();
        let mut there: Vec<i64> = Vec::new();
        if let Some(known) = self.of(tenant).source.tables.get(&fold(&table.name)) {
            there.extend(known.rows.keys());
            free.extend((1..=12).filter(|key| !there.contains(key)));
        }
        free.push(there.iter().max().copied().unwrap_or(0).saturating_add(1).max(13));
        let mut written = WrittenRows::of(bare(table.name.clone()));
        for _ in 0..1 + pick::below(&mut self.rng, 4) {
            let take = |rng: &mut _, from: &mut Vec<i64>| {
                (!from.is_empty()).then(|| from.swap_remove(pick::index(rng, from.len())))
            };
            match pick::below(&mut self.rng, 10) {
                0..=3 => {
                    if let Some(key) = take(&mut self.rng, &mut there) {
                        let row = shape::row(&mut self.rng, table, self.flavour, key);
                        written.update.push(row);
                    }
                }
                4..=6 => {
                    if let Some(key) = take(&mut self.rng, &mut free) {
                        let row = shape::row(&mut self.rng, table, self.flavour, key);
                        written.insert.push(row);
                    }
                }
                7 | 8 => {
                    if let Some(key) = take(&mut self.rng, &mut there) {
                        written.delete.push(Value::Int(key));
                        // Gone, and there again.
                        if pick::chance(&mut self.rng, 250) {
                            let row = shape::row(&mut self.rng, table, self.flavour, key);
                            written.insert.push(row);
                        }
                    }
                }
                _ => {
                    if let (Some(old), Some(new)) =
                        (take(&mut self.rng, &mut there), take(&mut self.rng, &mut free))
                    {
                        written.key_change.push((Value::Int(old), Value::Int(new)));
                    }
                }
            }
        }
        written
    }

    /// One call that meets something, and the cycle that it is in.
    fn faulty_cycle(&mut self, tenant: &str) {
        if !self.of(tenant).approved || self.view.is_waiting(tenant) {
            return;
        }
        // A fault in a cycle with nothing to send hits little.
        if self.chance(600) {
            self.rows(tenant);
        }
        let named: Vec<FaultKind> = FaultKind::NAMED
            .iter()
            .map(|(_, _, kind)| kind.clone())
            .filter(|kind| !dies_at_work(kind))
            .collect();
        let kind = match pick::below(&mut self.rng, 24) {
            0 => FaultKind::Refuse("not today".into()),
            1 => FaultKind::SoapFault("out of order".into()),
            2 => FaultKind::Http(*pick::one(&mut self.rng, &[500, 502, 503])),
            3..=6 => FaultKind::SpoiledCell,
            // It is waited for, really.
            7 => FaultKind::ArrivesTwice,
            _ => pick::one(&mut self.rng, &named).clone(),
        };
        if kind == FaultKind::Locked && !self.chance(300) {
            return;
        }
        self.cycle_with(tenant, kind);
    }

    /// A cycle in which one call meets something.
    fn cycle_with(&mut self, tenant: &str, kind: FaultKind) {
        let fits: fn(&NextCall) -> bool = match kind {
            FaultKind::AnswerSignature | FaultKind::AnswerNonce | FaultKind::AnswerTime => {
                |c| c.0 == Operation::Authenticate
            }
            FaultKind::SpoiledCell => |c| c.2,
            FaultKind::DiskFull => |c| c.0 == Operation::TableSchema,
            FaultKind::Locked | FaultKind::Overtaken | FaultKind::ArrivesAgain => {
                |c| matches!(c.0, Operation::RowData | Operation::Wipe)
            }
            _ => |_| true,
        };
        let Some(hit) = self.hit(tenant, fits, true) else {
            return;
        };
        let fault = Fault { kind, hit };
        if self.push(Some(tenant), StepKind::Fault(fault)) {
            self.cycle(Some(tenant));
            if self.chance(500) {
                self.clean_cycle(tenant);
            }
        }
    }

    /// A disk that has no room for a mirror's first tables. Whatever comes later may fit into what the file has free, so
    /// it is only foreseen here; it is a disk that fills up while the source goes on.
    fn full_disk(&mut self, tenant: &str) {
        for _ in 0..pick::below(&mut self.rng, 3) {
            let before: [Drawn; 6] = [
                Drawer::rows,
                Drawer::alter,
                Drawer::new_table,
                Drawer::tracking,
                Drawer::truncate,
                Drawer::crash,
            ];
            let step = *pick::one(&mut self.rng, &before);
            step(self, tenant);
        }
        if self.of(tenant).approved {
            self.cycle_with(tenant, FaultKind::DiskFull);
        }
    }

    /// Which of the next cycle's calls is hit.
    fn hit(&mut self, tenant: &str, fits: fn(&NextCall) -> bool, may_be_unnamed: bool) -> Option<Hit> {
        let calls = self.view.next_calls(tenant);
        let fitting: Vec<usize> = (0..calls.len()).filter(|at| fits(&calls[*at])).collect();
        if fitting.is_empty() {
            return None;
        }
        let at = *pick::one(&mut self.rng, &fitting);
        let (operation, tables, _) = &calls[at];
        let mut hit = Hit {
            operation: Some(*operation),
            table: None,
            after: 0,
            calls: Some(1),
        };
        let before = |same: &dyn Fn(&NextCall) -> bool| {
            u32::try_from(calls[..at].iter().filter(|c| same(c)).count()).unwrap_or(0)
        };
        if !self.view.counts_calls() {
            return (before(&|c| c.0 == *operation) == 0).then_some(hit);
        }
        if may_be_unnamed && self.chance(150) && *operation != Operation::Authenticate {
            hit.operation = None;
            hit.after = u32::try_from(at).unwrap_or(0);
        } else if let ([table], true) = (tables.as_slice(), self.chance(400)) {
            hit.table = Some(bare(table.clone()));
        } else {
            hit.after = before(&|c| c.0 == *operation);
        }
        Some(hit)
    }

    fn wrong_token(&mut self, tenant: &str) {
        if !self.of(tenant).approved || self.view.is_waiting(tenant) {
            return;
        }
        if self.chance(400) {
            self.rows(tenant);
        }
        let all = TokenDefect::all();
        let defect = pick::one(&mut self.rng, &all).clone();
        let fits: fn(&NextCall) -> bool = match defect {
            TokenDefect::ForeignTenant(_) => |c| matches!(c.0, Operation::RowData | Operation::Wipe),
            TokenDefect::Repeated => |c| c.0 != Operation::Authenticate,
            _ => |_| true,
        };
        let Some(hit) = self.hit(tenant, fits, true) else {
            return;
        };
        if self.push(Some(tenant), StepKind::Token(TokenFault { defect, hit })) {
            self.cycle(Some(tenant));
        }
    }

    fn alter(&mut self, tenant: &str) {
        let Some(table) = self.table_of(tenant) else {
            return;
        };
        // A table that may not be in place in a mirror of which little is known would be guesswork.
        let view = self.of(tenant);
        if !view.lsns_known || !view.rows_known {
            return;
        }
        let mut after = table.clone();
        let change = match pick::below(&mut self.rng, 10) {
            0..=3 => {
                self.names += 1;
                let name = shape::column_name(20 + self.names);
                let column = shape::added_column(&mut self.rng, name, self.flavour);
                after.columns.push(column.clone());
                ColumnChange::Add(bare(column))
            }
            4 | 5 => {
                if table.columns.len() < 3 {
                    return;
                }
                let at = 1 + pick::index(&mut self.rng, table.columns.len() - 1);
                ColumnChange::Drop(bare(after.columns.remove(at).name))
            }
            6 | 7 => {
                let at = pick::index(&mut self.rng, table.columns.len().max(2) - 1) + 1;
                let Some(column) = after.columns.get_mut(at) else {
                    return;
                };
                let Some(wider) = shape::wider(column.ty) else {
                    return;
                };
                column.ty = wider;
                ColumnChange::Widen(bare(column.clone()))
            }
            _ => {
                let at = pick::index(&mut self.rng, table.columns.len().max(2) - 1) + 1;
                let how = pick::below(&mut self.rng, 3);
                let Some(column) = after.columns.get_mut(at) else {
                    return;
                };
                if !self.changed(column, how) {
                    return;
                }
                ColumnChange::Change(bare(column.clone()))
            }
        };
        let alter = Alter {
            table: bare(table.name.clone()),
            changes: vec![change],
            after,
        };
        let adds = matches!(alter.changes.as_slice(), [ColumnChange::Add(_)]);
        // What the rows that were there hold in a new column, before they are written anew.
        if self.push(Some(tenant), StepKind::Alter(vec![alter])) && adds && self.chance(400) {
            self.cycle(Some(tenant));
        }
    }

    /// Another type, nullability or default, as rows that are there can take it.
    fn changed(&mut self, column: &mut Column, how: u64) -> bool {
        let whole = column.ty.integer_range().is_some() && column.ty != ColumnType::Bit;
        match how {
            0 if whole => {
                column.ty = ColumnType::NVarChar(Length::Limit(40));
                column.default = None;
                column.nullable = true;
            }
            1 if !column.nullable => column.nullable = true,
            2 => {
                let default = shape::default(&mut self.rng, column.ty);
                if default.is_none() || default == column.default {
                    return false;
                }
                column.default = default;
            }
            _ => return false,
        }
        true
    }

    fn new_table(&mut self, tenant: &str) {
        let taken = self.of(tenant).mirror.own.clone();
        let free: Vec<&str> = NAMES
            .into_iter()
            .filter(|name| !self.view.tenants[tenant].source.tables.contains_key(*name))
            // In the way of one of the partner's own only now and then.
            .filter(|name| !taken.contains(*name))
            .collect();
        if free.is_empty() {
            return;
        }
        let name = *pick::one(&mut self.rng, &free);
        let mut names = 0;
        let spec = shape::table(&mut self.rng, name, self.flavour, &mut names);
        self.push(Some(tenant), StepKind::Table(vec![spec]));
    }

    fn drop_table(&mut self, tenant: &str) {
        let names: Vec<String> = self
            .of(tenant)
            .source
            .tables
            .values()
            .map(|t| t.shape.name.clone())
            .collect();
        if names.len() < 2 {
            return;
        }
        let most = match self.flavour {
            Flavour::ManyTables => names.len() - 1,
            _ => 1,
        };
        let count = match self.chance(400) {
            true => most as u64,
            false => 1 + pick::below(&mut self.rng, most as u64),
        };
        let chosen = pick::distinct(&mut self.rng, names.len() as u64, count);
        let dropped = chosen
            .into_iter()
            .map(|at| bare(names[usize::try_from(at).unwrap_or(0)].clone()))
            .collect();
        self.push(Some(tenant), StepKind::Drop(dropped));
        if self.flavour == Flavour::ManyTables {
            self.cycle(Some(tenant));
        }
    }

    /// Dropped and made anew under its old name: as it was, in another order, or otherwise.
    fn recreate(&mut self, tenant: &str) {
        let Some(table) = self.table_of(tenant) else {
            return;
        };
        if self.of(tenant).source.tables.len() < 2 || table.columns.len() < 2 {
            return;
        }
        let mut after = table.clone();
        match pick::below(&mut self.rng, 3) {
            0 => {}
            1 => pick::shuffle(&mut self.rng, &mut after.columns[1..]),
            _ => {
                let mut names = 0;
                after = shape::table(&mut self.rng, &table.name, self.flavour, &mut names).table;
            }
        }
        let keys = pick::below(&mut self.rng, 4);
        let rows = (1..=i64::try_from(keys).unwrap_or(0))
            .map(|key| shape::row(&mut self.rng, &after, self.flavour, key + 1))
            .collect();
        let spec = TableSpec {
            at: At::default(),
            table: after,
            rows,
            drawn: 0,
        };
        let dropped = StepKind::Drop(vec![bare(table.name.clone())]);
        if self.push(Some(tenant), dropped) {
            if self.chance(300) {
                self.cycle(Some(tenant));
            }
            self.push(Some(tenant), StepKind::Table(vec![spec]));
        }
    }

    fn truncate(&mut self, tenant: &str) {
        if let Some(table) = self.table_of(tenant) {
            self.push(Some(tenant), StepKind::Truncate(vec![bare(table.name)]));
        }
    }

    fn tracking(&mut self, tenant: &str) {
        let Some(table) = self.table_of(tenant) else {
            return;
        };
        let switch = |on| StepKind::Tracking(vec![(bare(table.name.clone()), on)]);
        self.push(Some(tenant), switch(false));
        // What changes now is tracked by nobody.
        if self.chance(700) {
            self.rows(tenant);
        }
        if self.chance(500) {
            self.push(Some(tenant), switch(true));
        }
    }

    fn backup(&mut self, tenant: &str) {
        const NAMES: [&str; 3] = ["monday", "tuesday", "wednesday"];
        let name = *pick::one(&mut self.rng, &NAMES);
        self.push(Some(tenant), StepKind::Backup(bare(name.to_owned())));
        // What is lost with the restore, and had arrived.
        if self.chance(700) {
            self.rows(tenant);
            if self.chance(700) {
                self.cycle(Some(tenant));
            }
            if self.chance(500) {
                self.restore(tenant);
            }
        }
    }

    fn restore(&mut self, tenant: &str) {
        let names: Vec<String> = self.of(tenant).backups.keys().cloned().collect();
        if names.is_empty() {
            return;
        }
        let name = pick::one(&mut self.rng, &names).clone();
        if !self.push(Some(tenant), StepKind::Restore(bare(name))) {
            return;
        }
        // Seen, if the cycle comes soon; hidden, if enough has changed by then.
        for _ in 0..pick::below(&mut self.rng, 6) {
            self.rows(tenant);
        }
        if self.chance(800) {
            self.cycle(Some(tenant));
        }
        if self.chance(300) {
            self.push(Some(tenant), StepKind::Invalidate(Vec::new()));
            self.cycle(Some(tenant));
        }
    }

    fn advance(&mut self, _: &str) {
        let days = *pick::one(&mut self.rng, &[1, 3, 6, 8]);
        self.push(None, StepKind::Advance(Duration::from_secs(days * 86_400)));
    }

    fn invalidate(&mut self, tenant: &str) {
        let tables = match self.mirror_table_of(tenant) {
            Some(table) if self.chance(500) => vec![bare(table)],
            _ => Vec::new(),
        };
        self.push(Some(tenant), StepKind::Invalidate(tables));
    }

    fn lsn_by_hand(&mut self, tenant: &str) {
        if let Some(table) = self.mirror_table_of(tenant) {
            let sql = format!("update {{context}}_mirroring set LSN = -1 where tablename = '{table}'");
            self.push(Some(tenant), ask(&sql));
        }
    }

    fn drop_by_hand(&mut self, tenant: &str) {
        let Some(table) = self.mirror_table_of(tenant) else {
            return;
        };
        let mut run = vec![bare(format!("drop table {table}"))];
        if self.chance(500) {
            run.push(bare(format!(
                "delete from {{context}}_mirroring where tablename = '{table}'"
            )));
        }
        if !self.of(tenant).dropped_by_hand {
            self.push(Some(tenant), StepKind::MirrorSql { run, expect: None });
        }
    }

    fn crash(&mut self, _: &str) {
        self.push(None, StepKind::Crash);
    }

    fn settings_change(&mut self, _: &str) {
        let mut settings = Settings::default();
        match pick::below(&mut self.rng, 5) {
            0 => {
                settings.repopulate = Some(match self.view.settings.repopulate {
                    Some(Repopulate::OnlyAhead) => Repopulate::AllTables,
                    _ => Repopulate::OnlyAhead,
                });
            }
            1 => {
                settings.quiet_tables = Some(match self.view.settings.quiet_tables {
                    Some(QuietTables::Refresh) => QuietTables::Age,
                    _ => QuietTables::Refresh,
                });
            }
            2 => settings.share_calls = Some(self.view.settings.share_calls != Some(true)),
            3 => settings.batch_size = Some(*pick::one(&mut self.rng, &[1000, 2000, 1_000_000])),
            _ => {
                // A clock that is off for a cycle.
                let skew = *pick::one(&mut self.rng, &[1200, -600, 120]);
                settings.server.clock_skew = Some(skew);
                self.push(None, StepKind::Set(settings));
                self.cycle(None);
                let right = ServerSettings {
                    clock_skew: Some(1),
                    ..ServerSettings::default()
                };
                settings = Settings {
                    server: right,
                    ..Settings::default()
                };
            }
        }
        self.push(None, StepKind::Set(settings));
    }

    fn approval(&mut self, tenant: &str) {
        if self.of(tenant).approved {
            self.push(Some(tenant), StepKind::Withdraw);
            if self.chance(700) {
                self.cycle(Some(tenant));
            }
        } else {
            self.push(Some(tenant), StepKind::Approve);
        }
    }

    /// A table of the partner's own; later, now and then, one of SuperOffice's takes its name.
    fn own_table(&mut self, tenant: &str) {
        let name = *pick::one(&mut self.rng, &OWN);
        let view = self.of(tenant);
        if name == OWN[0] && view.mirror.own.contains(name) {
            return;
        }
        if view.mirror.own.contains(name) {
            let mut names = 0;
            if view.source.tables.contains_key(name) || !view.approved || self.view.is_waiting(tenant) {
                return;
            }
            let spec = shape::table(&mut self.rng, name, Flavour::Plain, &mut names);
            if self.push(Some(tenant), StepKind::Table(vec![spec])) {
                self.cycle(Some(tenant));
                self.push(Some(tenant), ask(&own::ask(name)));
                self.push(Some(tenant), StepKind::Drop(vec![bare(name.to_owned())]));
            }
            return;
        }
        let note = format!("note {}", pick::below(&mut self.rng, 90) + 10);
        let run = own::make(name, &note).into_iter().map(bare).collect();
        self.push(Some(tenant), StepKind::MirrorSql { run, expect: None });
    }

    fn mirror_backup(&mut self, tenant: &str) {
        self.push(Some(tenant), StepKind::MirrorBackup(bare("friday".to_owned())));
    }

    fn mirror_restore(&mut self, tenant: &str) {
        self.push(Some(tenant), StepKind::MirrorRestore(bare("friday".to_owned())));
    }

    fn other_letters(&mut self, tenant: &str) {
        let Some(table) = self.table_of(tenant) else {
            return;
        };
        let old = table.name;
        let new = match old == old.to_lowercase() {
            true => format!("Y_{}", old[2..].to_uppercase()),
            false => old.to_lowercase(),
        };
        let sql =
            format!("alter table {old} rename to y_on_its_way; alter table y_on_its_way rename to {new};");
        self.push(Some(tenant), StepKind::Sql(vec![bare(sql)]));
    }

    /// A mirror in maintenance: the cycle ends there, without error.
    fn declined(&mut self, _: &str) {
        let set = |on| {
            let server = ServerSettings {
                do_not_replicate: Some(on),
                ..ServerSettings::default()
            };
            StepKind::Set(Settings {
                server,
                ..Settings::default()
            })
        };
        self.push(None, set(true));
        self.cycle(None);
        self.push(None, set(false));
    }

    /// What every history ends with: a clean cycle, and, where a restore was hidden, what heals it.
    fn end(&mut self) {
        let contexts: Vec<String> = self.view.tenants.keys().cloned().collect();
        if self.view.settings.server.drop_guard == Some(true) {
            let server = ServerSettings {
                drop_guard: Some(false),
                ..ServerSettings::default()
            };
            self.push(
                None,
                StepKind::Set(Settings {
                    server,
                    ..Settings::default()
                }),
            );
        }
        for context in &contexts {
            let view = self.of(context);
            let taken: Vec<_> = view
                .mirror
                .own
                .iter()
                .filter(|n| view.source.tables.contains_key(*n))
                .cloned()
                .collect();
            for name in taken {
                // The only table there is cannot go: another one keeps it company.
                let mut names = 0;
                let spec = shape::table(&mut self.rng, "y_last", Flavour::Plain, &mut names);
                self.push(Some(context), StepKind::Table(vec![spec]));
                self.push(Some(context), StepKind::Drop(vec![bare(name)]));
            }
            if !self.of(context).approved {
                self.push(Some(context), StepKind::Approve);
            }
        }
        // Two: what arrives late arrives in the first.
        for _ in 0..2 {
            self.push(None, StepKind::Mirror(PerTenant::default()));
            self.push(None, StepKind::Compare(PerTenant::default()));
        }
        for context in &contexts {
            if self.of(context).restored || !self.of(context).lsns_known {
                self.push(Some(context), StepKind::Invalidate(Vec::new()));
            }
        }
        self.push(None, StepKind::Mirror(PerTenant::default()));
        for context in &contexts {
            self.push(Some(context), ask(ASK_LSNS));
        }
        self.push(None, StepKind::Compare(PerTenant::default()));
    }
}

pub(super) fn ask(sql: &str) -> StepKind {
    StepKind::MirrorSql {
        run: vec![bare(sql.to_owned())],
        expect: None,
    }
}
