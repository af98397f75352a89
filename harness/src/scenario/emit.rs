//! Writes a scenario as the file that says it: the other direction of [`parse`](super::parse).
//!
//! What is written is what a person would write: the shortest of the forms that a file allows, a step a line where it
//! fits on one. Reading it back gives the same scenario, but for the places where things stand.
//!
//! - `calls`: calls written out
//! - `doc`: YAML, as much of it as is needed
//! - `values`: values of rows as text
//! - `expects`: what a step's result must hold

mod calls;
mod doc;
mod expects;
mod values;

use std::time::Duration;

use mirrorlab_protocol::datetime::DateTime;
use mirrorlab_protocol::schema::Column;

use self::doc::Doc;
use super::model::{
    Alter, CertificateStrategy, Change, ColumnChange, FaultKind, Hit, KillAt, ONLY_TENANT, QuietHours,
    QuietTables, Repopulate, Scenario, Settings, Step, StepKind, TableSpec, Tenant, WrittenRows,
};
use super::place::Spanned;
use super::shapes::Shapes;

/// The text of a scenario file.
pub fn emit(scenario: &Scenario) -> String {
    let mut file = vec![
        ("id", Doc::text(&scenario.id)),
        ("title", Doc::text(&scenario.title)),
        ("cites", Doc::text(&scenario.cites)),
    ];
    let settings = settings(&scenario.settings);
    if !settings.is_empty() {
        file.push(("settings", Doc::map(settings)));
    }
    if let Some(seed) = scenario.seed {
        file.push(("seed", Doc::plain(seed)));
    }
    match scenario.tenants.as_slice() {
        [only] if only.context.value == ONLY_TENANT => file.push(("source", tenant(only))),
        all => file.push((
            "tenants",
            Doc::Map(all.iter().map(|t| (t.context.value.clone(), tenant(t))).collect()),
        )),
    }
    let mut text = Doc::map(file).file();
    text.push_str("steps:\n");
    // Which columns a table has at each step says of which types its rows' values are.
    let mut shapes = Shapes::new(scenario);
    for step in &scenario.steps {
        text.push_str(&self::step(step, &shapes).item());
        shapes.after(step);
    }
    text
}

fn tenant(tenant: &Tenant) -> Doc {
    let mut parts = Vec::new();
    if !tenant.approved {
        parts.push(("approved", Doc::plain(false)));
    }
    parts.push(("tables", tables(&tenant.tables)));
    Doc::map(parts)
}

fn tables(specs: &[TableSpec]) -> Doc {
    Doc::Map(
        specs
            .iter()
            .map(|spec| (spec.table.name.clone(), table(spec)))
            .collect(),
    )
}

fn table(spec: &TableSpec) -> Doc {
    let mut parts = vec![("columns", columns(spec.table.columns.iter()))];
    if !spec.rows.is_empty() {
        parts.push(("rows", values::rows(&spec.table, &spec.rows)));
    }
    if spec.drawn > 0 {
        parts.push(("drawn", Doc::plain(spec.drawn)));
    }
    Doc::map(parts)
}

fn columns<'c>(columns: impl Iterator<Item = &'c Column>) -> Doc {
    Doc::Map(columns.map(|c| (c.name.clone(), column(c))).collect())
}

fn column(column: &Column) -> Doc {
    let null = if column.nullable { "null" } else { "not null" };
    let default = column
        .default
        .as_ref()
        .map(|d| format!(" {d}"))
        .unwrap_or_default();
    Doc::text(&format!("{} {null}{default}", column.ty))
}

/// `2h30m`.
fn duration(length: Duration) -> Doc {
    let mut rest = length.as_secs();
    let mut text = String::new();
    for (seconds, unit) in [(86_400, 'd'), (3600, 'h'), (60, 'm'), (1, 's')] {
        if rest >= seconds {
            text.push_str(&format!("{}{unit}", rest / seconds));
            rest %= seconds;
        }
    }
    Doc::text(&text)
}

fn clock(minute: u16) -> String {
    format!("{:02}:{:02}", minute / 60, minute % 60)
}

fn hours(hours: &QuietHours) -> Doc {
    Doc::text(&format!("{}-{}", clock(hours.from), clock(hours.to)))
}

fn names(names: &[Spanned<String>]) -> Doc {
    match names {
        [one] => Doc::text(one),
        all => Doc::List(all.iter().map(|n| Doc::text(n)).collect()),
    }
}

fn settings(settings: &Settings) -> Vec<(&'static str, Doc)> {
    let mut parts = Vec::new();
    if let Some(start) = settings.start.and_then(DateTime::from_unix_seconds) {
        let text = start.to_string();
        let whole = text.split('.').next().unwrap_or_default();
        parts.push(("start", Doc::text(&format!("{}Z", whole.replace(' ', "T")))));
    }
    if let Some(repopulate) = settings.repopulate {
        parts.push((
            "repopulate",
            Doc::plain(match repopulate {
                Repopulate::AllTables => "all_tables",
                Repopulate::OnlyAhead => "only_ahead",
            }),
        ));
    }
    if let Some(quiet) = settings.quiet_tables {
        parts.push((
            "quiet_tables",
            Doc::plain(match quiet {
                QuietTables::Age => "age",
                QuietTables::Refresh => "refresh",
            }),
        ));
    }
    if let Some(bytes) = settings.batch_size {
        parts.push(("batch_size", Doc::plain(bytes)));
    }
    if let Some(share) = settings.share_calls {
        parts.push(("share_calls", Doc::plain(share)));
    }
    if let Some(skip) = &settings.skip_tables {
        parts.push((
            "skip_tables",
            Doc::List(skip.iter().map(|n| Doc::text(n)).collect()),
        ));
    }
    if !settings.not_blocked.is_empty() {
        let names = settings.not_blocked.iter().map(|name| Doc::text(name));
        parts.push(("not_blocked", Doc::List(names.collect())));
    }
    if let Some(every) = settings.every {
        parts.push(("every", duration(every)));
    }
    if let Some(pause) = &settings.quiet_hours {
        parts.push(("quiet_hours", hours(pause)));
    }
    if let Some(zone) = &settings.time_zone {
        parts.push(("time_zone", Doc::text(zone)));
    }
    let server = &settings.server;
    let mut own = Vec::new();
    for (key, value) in [
        ("drop_guard", server.drop_guard),
        ("refuse_replays", server.refuse_replays),
        ("do_not_replicate", server.do_not_replicate),
    ] {
        if let Some(value) = value {
            own.push((key, Doc::plain(value)));
        }
    }
    if let Some(strategy) = server.certificates {
        own.push((
            "certificates",
            Doc::plain(match strategy {
                CertificateStrategy::Directory => "directory",
                CertificateStrategy::Resolver => "resolver",
            }),
        ));
    }
    if let Some(skew) = server.clock_skew {
        let Doc::Scalar(length) = duration(Duration::from_secs(skew.unsigned_abs())) else {
            unreachable!("a duration is a text")
        };
        let sign = if skew < 0 { "-" } else { "" };
        own.push(("clock_skew", Doc::text(&format!("{sign}{length}"))));
    }
    if !own.is_empty() {
        parts.push(("server", Doc::map(own)));
    }
    parts
}

/// A step whose body is a mapping, with its tenant first.
fn about(step: &Step, mut parts: Vec<(String, Doc)>) -> Doc {
    if let Some(tenant) = &step.tenant {
        parts.insert(0, ("tenant".to_owned(), Doc::text(tenant)));
    }
    Doc::Map(parts)
}

/// A step that is a text, or a mapping that has it under `key` where the step names a tenant.
fn short(step: &Step, key: &str, body: Doc) -> Doc {
    match step.tenant {
        None => body,
        Some(_) => about(step, vec![(key.to_owned(), body)]),
    }
}

fn step(step: &Step, shapes: &Shapes) -> Doc {
    let word = step.kind.word();
    let own = |parts: Vec<(&str, Doc)>| {
        let parts = parts
            .into_iter()
            .map(|(key, doc)| (key.to_owned(), doc))
            .collect();
        about(step, parts)
    };
    let expecting = |expect: Option<Doc>| match (&step.tenant, expect) {
        (None, None) => None,
        (_, expect) => Some(own(expect.map(|e| ("expect", e)).into_iter().collect())),
    };
    let body = match &step.kind {
        StepKind::Approve | StepKind::Withdraw => step.tenant.as_ref().map(|t| Doc::text(t)),
        StepKind::Crash => None,
        StepKind::Mirror(expect) => expecting(expects::per_tenant(expect, expects::mirror)),
        StepKind::Compare(expect) => expecting(expects::per_tenant(expect, expects::compare)),
        StepKind::RunDue { length, expect } => {
            let expect = expects::per_tenant(expect, expects::run_due);
            Some(match (&step.tenant, expect) {
                (None, None) => duration(*length),
                (_, expect) => {
                    let mut parts = vec![("for", duration(*length))];
                    parts.extend(expect.map(|e| ("expect", e)));
                    own(parts)
                }
            })
        }
        StepKind::Change(change) => Some(about(step, changes(change))),
        StepKind::Rows(tables) => {
            let of = |written: &WrittenRows| {
                let table = shapes.table(step.tenant.as_deref(), &written.table);
                (written.table.value.clone(), values::written(table, written))
            };
            Some(about(step, tables.iter().map(of).collect()))
        }
        StepKind::Sql(run) => Some(short(step, "run", names(run))),
        StepKind::MirrorSql { run, expect } => Some(match (&step.tenant, expect) {
            (None, None) => names(run),
            (_, expect) => {
                let mut parts = vec![("run", names(run))];
                parts.extend(expect.as_ref().map(|e| ("expect", expects::sql(e))));
                own(parts)
            }
        }),
        StepKind::Send(sent) => Some(own(calls::send(sent))),
        StepKind::MirrorRows(tables) => Some(about(step, calls::mirror_rows(tables))),
        StepKind::Table(specs) => {
            let of = |spec: &TableSpec| (spec.table.name.clone(), table(spec));
            Some(about(step, specs.iter().map(of).collect()))
        }
        StepKind::Alter(alters) => Some(about(
            step,
            alters.iter().map(|a| (a.table.value.clone(), alter(a))).collect(),
        )),
        StepKind::Drop(tables) | StepKind::Truncate(tables) => Some(short(step, "tables", names(tables))),
        StepKind::Invalidate(tables) => match (&step.tenant, tables.as_slice()) {
            (None, []) => None,
            (Some(_), []) => Some(own(Vec::new())),
            (_, tables) => Some(short(step, "tables", names(tables))),
        },
        StepKind::Tracking(tables) => Some(about(
            step,
            tables
                .iter()
                .map(|(t, on)| (t.value.clone(), Doc::plain(if *on { "on" } else { "off" })))
                .collect(),
        )),
        StepKind::Backup(name)
        | StepKind::Restore(name)
        | StepKind::MirrorBackup(name)
        | StepKind::MirrorRestore(name) => Some(short(step, "name", Doc::text(name))),
        StepKind::Advance(length) => Some(duration(*length)),
        StepKind::Maintenance { after, length } => Some(match after.is_zero() {
            true => duration(*length),
            false => Doc::map(vec![("in", duration(*after)), ("for", duration(*length))]),
        }),
        StepKind::Token(token) => {
            let hits = hit(&token.hit);
            Some(match (&step.tenant, hits.is_empty()) {
                (None, true) => Doc::text(token.defect.name()),
                _ => {
                    let mut parts = vec![("defect", Doc::text(token.defect.name()))];
                    parts.extend(hits);
                    own(parts)
                }
            })
        }
        StepKind::Fault(fault) => {
            let mut parts = vec![fault_kind(&fault.kind)];
            parts.extend(hit(&fault.hit));
            Some(own(parts))
        }
        StepKind::Set(set) => Some(own(settings(set))),
    };
    match body {
        None => Doc::plain(word),
        Some(body) => Doc::map(vec![(word, body)]),
    }
}

fn changes(change: &Change) -> Vec<(String, Doc)> {
    let mut parts: Vec<(String, Doc)> = change
        .tables
        .iter()
        .map(|c| {
            let counts = [
                ("insert", c.insert),
                ("update", c.update),
                ("delete", c.delete),
                ("key_change", c.key_change),
                ("insert_then_update", c.insert_then_update),
                ("insert_then_delete", c.insert_then_delete),
                ("delete_then_insert", c.delete_then_insert),
            ];
            let counts = counts.into_iter().filter(|(_, n)| *n > 0);
            let counts = counts.map(|(key, n)| (key, Doc::plain(n))).collect();
            (c.table.value.clone(), Doc::map(counts))
        })
        .collect();
    if change.transactions > 1 {
        parts.push(("transactions".to_owned(), Doc::plain(change.transactions)));
    }
    parts
}

fn alter(alter: &Alter) -> Doc {
    let of = |pick: fn(&ColumnChange) -> Option<&Spanned<Column>>| {
        let picked: Vec<&Column> = alter.changes.iter().filter_map(pick).map(|c| &c.value).collect();
        (!picked.is_empty()).then(|| columns(picked.into_iter()))
    };
    let dropped: Vec<Spanned<String>> = alter
        .changes
        .iter()
        .filter_map(|change| match change {
            ColumnChange::Drop(name) => Some(name.clone()),
            _ => None,
        })
        .collect();
    let mut parts = Vec::new();
    if !dropped.is_empty() {
        parts.push(("drop", names(&dropped)));
    }
    let widened = of(|change| match change {
        ColumnChange::Widen(column) => Some(column),
        _ => None,
    });
    let changed = of(|change| match change {
        ColumnChange::Change(column) => Some(column),
        _ => None,
    });
    let added = of(|change| match change {
        ColumnChange::Add(column) => Some(column),
        _ => None,
    });
    for (key, columns) in [("widen", widened), ("change", changed), ("add", added)] {
        parts.extend(columns.map(|c| (key, c)));
    }
    Doc::map(parts)
}

fn hit(hit: &Hit) -> Vec<(&'static str, Doc)> {
    let mut parts = Vec::new();
    if let Some(operation) = hit.operation {
        parts.push(("operation", Doc::plain(operation.name())));
    }
    if let Some(table) = &hit.table {
        parts.push(("table", Doc::text(table)));
    }
    if hit.after > 0 {
        parts.push(("after", Doc::plain(hit.after)));
    }
    match hit.calls {
        Some(1) => {}
        Some(n) => parts.push(("calls", Doc::plain(n))),
        None => parts.push(("calls", Doc::plain("all"))),
    }
    parts
}

fn fault_kind(kind: &FaultKind) -> (&'static str, Doc) {
    match kind {
        FaultKind::Refuse(text) => ("refuse", Doc::text(text)),
        FaultKind::SoapFault(text) => ("soap_fault", Doc::text(text)),
        FaultKind::Http(status) => ("http", Doc::plain(status)),
        FaultKind::KilledAt(KillAt::Call(part)) => ("killed", Doc::map(vec![("call", Doc::plain(part))])),
        FaultKind::KilledAt(KillAt::Log(bytes)) => ("killed", Doc::map(vec![("log", Doc::plain(bytes))])),
        named => FaultKind::NAMED
            .iter()
            .find(|(_, _, kind)| kind == named)
            .map(|(key, word, _)| (*key, Doc::text(word)))
            .expect("every kind without a value of its own is among the named ones"),
    }
}

#[cfg(test)]
pub(crate) mod tests;
