//! Ways to make a scenario smaller, each a list of candidates by number.

mod calls;

use mirrorlab_protocol::datetime::DateTime;
use mirrorlab_protocol::names::fold;
use mirrorlab_protocol::schema::{Column, Table};
use mirrorlab_protocol::value::Value;

use crate::scenario::expect::{MirrorExpect, Outcome};
use crate::scenario::model::{
    ColumnChange, Hit, ONLY_TENANT, Scenario, ServerSettings, Settings, StepKind, TableSpec,
};
use crate::scenario::shapes::Shapes;

/// From what takes most away to what takes least. Each gives its `at`-th candidate, and none when it has no more.
pub(super) const PASSES: &[fn(&Scenario, usize) -> Option<Scenario>] = &[
    without_tenant,
    without_table,
    without_setting,
    without_column,
    without_row,
    without_written,
    calls::without_part,
    calls::without_sent_row,
    calls::plainer_batch,
    simpler_hit,
    plainer_column,
    simpler_value,
];

/// Whether a cycle must only succeed.
pub(super) fn expects_nothing(expect: &MirrorExpect) -> bool {
    expect.outcome == Outcome::Ok
        && expect.error.is_none()
        && expect.wiped.is_none()
        && expect.tables.is_empty()
        && expect.quiet.is_none()
        && expect.calls.is_none()
        && expect.events.is_empty()
}

fn without_tenant(scenario: &Scenario, at: usize) -> Option<Scenario> {
    if scenario.tenants.len() < 2 || at >= scenario.tenants.len() {
        return None;
    }
    let mut smaller = scenario.clone();
    let gone = smaller.tenants.remove(at).context.value;
    smaller
        .steps
        .retain(|step| step.tenant.as_ref().is_none_or(|t| t.value != gone));
    if let [only] = smaller.tenants.as_mut_slice() {
        ONLY_TENANT.clone_into(&mut only.context.value);
        only.approved = true;
        smaller.steps.iter_mut().for_each(|step| step.tenant = None);
    }
    Some(smaller)
}

fn without_table(scenario: &Scenario, at: usize) -> Option<Scenario> {
    let mut smaller = scenario.clone();
    let mut left = at;
    for tenant in &mut smaller.tenants {
        if left < tenant.tables.len() {
            if tenant.tables.len() == 1 {
                return Some(no_sense(scenario));
            }
            tenant.tables.remove(left);
            return Some(smaller);
        }
        left -= tenant.tables.len();
    }
    None
}

/// What stands for a candidate that makes no sense: without a step nothing fails. Without a table there is nothing to
/// mirror, say.
fn no_sense(scenario: &Scenario) -> Scenario {
    Scenario {
        steps: Vec::new(),
        ..scenario.clone()
    }
}

fn without_setting(scenario: &Scenario, at: usize) -> Option<Scenario> {
    let mut smaller = scenario.clone();
    let settings = &mut smaller.settings;
    let mut clear: Vec<fn(&mut Settings)> = Vec::new();
    if settings.batch_size.is_some() {
        clear.push(|s| s.batch_size = None);
    }
    if settings.share_calls.is_some() {
        clear.push(|s| s.share_calls = None);
    }
    if settings.repopulate.is_some() {
        clear.push(|s| s.repopulate = None);
    }
    if settings.quiet_tables.is_some() {
        clear.push(|s| s.quiet_tables = None);
    }
    let server = ServerSettings::default();
    if settings.server.drop_guard != server.drop_guard {
        clear.push(|s| s.server.drop_guard = None);
    }
    if settings.server.refuse_replays != server.refuse_replays {
        clear.push(|s| s.server.refuse_replays = None);
    }
    if settings.server.certificates != server.certificates {
        clear.push(|s| s.server.certificates = None);
    }
    let clear = clear.get(at)?;
    clear(settings);
    Some(smaller)
}

/// Every column behind a key, of whichever table and step.
fn columns(scenario: &Scenario) -> Vec<(String, String)> {
    let mut all = Vec::new();
    let mut add = |table: &Table| {
        for column in &table.columns[1..] {
            let entry = (fold(&table.name), fold(&column.name));
            if !all.contains(&entry) {
                all.push(entry);
            }
        }
    };
    for spec in scenario.tenants.iter().flat_map(|t| &t.tables) {
        add(&spec.table);
    }
    for step in &scenario.steps {
        match &step.kind {
            StepKind::Table(specs) => specs.iter().for_each(|s| add(&s.table)),
            StepKind::Alter(alters) => alters.iter().for_each(|a| add(&a.after)),
            _ => {}
        }
    }
    all
}

fn without_column(scenario: &Scenario, at: usize) -> Option<Scenario> {
    let (table, column) = columns(scenario).into_iter().nth(at)?;
    let mut smaller = scenario.clone();
    let mut shapes = Shapes::new(scenario);
    for tenant in &mut smaller.tenants {
        tenant
            .tables
            .iter_mut()
            .for_each(|spec| drop_column(spec, &table, &column));
    }
    for (step, before) in smaller.steps.iter_mut().zip(&scenario.steps) {
        match &mut step.kind {
            StepKind::Table(specs) => specs.iter_mut().for_each(|s| drop_column(s, &table, &column)),
            StepKind::Alter(alters) => {
                for alter in alters.iter_mut().filter(|a| fold(&a.after.name) == table) {
                    alter.after.columns.retain(|c| fold(&c.name) != column);
                    alter.changes.retain(|change| match change {
                        ColumnChange::Drop(name) => fold(name) != column,
                        ColumnChange::Add(c) | ColumnChange::Widen(c) | ColumnChange::Change(c) => {
                            fold(&c.name) != column
                        }
                    });
                }
                alters.retain(|a| !a.changes.is_empty());
            }
            StepKind::Rows(written) => {
                for written in written.iter_mut().filter(|w| fold(&w.table) == table) {
                    let shape = shapes.table(before.tenant.as_deref(), &table);
                    let Some(at) = shape.and_then(|s| s.position(&column)) else {
                        continue;
                    };
                    for row in written.update.iter_mut().chain(&mut written.insert) {
                        if at < row.len() {
                            row.remove(at);
                        }
                    }
                }
            }
            kind => calls::without_column(kind, &shapes, before.tenant.as_deref(), &table, &column),
        }
        shapes.after(before);
    }
    smaller
        .steps
        .retain(|step| !matches!(&step.kind, StepKind::Alter(alters) if alters.is_empty()));
    Some(smaller)
}

fn drop_column(spec: &mut TableSpec, table: &str, column: &str) {
    if fold(&spec.table.name) != table {
        return;
    }
    if let Some(at) = spec.table.position(column) {
        spec.table.columns.remove(at);
        spec.rows.iter_mut().for_each(|row| drop(row.remove(at)));
    }
}

fn without_row(scenario: &Scenario, at: usize) -> Option<Scenario> {
    let mut smaller = scenario.clone();
    let mut left = at;
    let first = smaller.tenants.iter_mut().flat_map(|t| &mut t.tables);
    let later = smaller.steps.iter_mut().flat_map(|s| match &mut s.kind {
        StepKind::Table(specs) => specs.as_mut_slice(),
        _ => &mut [],
    });
    for spec in first.chain(later) {
        if left < spec.rows.len() {
            spec.rows.remove(left);
            return Some(smaller);
        }
        left -= spec.rows.len();
    }
    None
}

fn without_written(scenario: &Scenario, at: usize) -> Option<Scenario> {
    let mut smaller = scenario.clone();
    let mut left = at;
    for step in &mut smaller.steps {
        let StepKind::Rows(tables) = &mut step.kind else {
            continue;
        };
        for written in tables.iter_mut() {
            if left >= written.count() {
                left -= written.count();
                continue;
            }
            if left < written.delete.len() {
                written.delete.remove(left);
            } else if left - written.delete.len() < written.key_change.len() {
                written.key_change.remove(left - written.delete.len());
            } else {
                let at = left - written.delete.len() - written.key_change.len();
                match at.checked_sub(written.update.len()) {
                    None => drop(written.update.remove(at)),
                    Some(at) => drop(written.insert.remove(at)),
                }
            }
            tables.retain(|w| w.count() > 0);
            return Some(smaller);
        }
    }
    None
}

fn simpler_hit(scenario: &Scenario, at: usize) -> Option<Scenario> {
    let mut smaller = scenario.clone();
    let mut left = at;
    for step in &mut smaller.steps {
        let hit = match &mut step.kind {
            StepKind::Fault(fault) => &mut fault.hit,
            StepKind::Token(token) => &mut token.hit,
            _ => continue,
        };
        let mut simpler: Vec<Hit> = Vec::new();
        if hit.operation.is_some() {
            simpler.push(Hit {
                operation: None,
                ..hit.clone()
            });
        }
        if hit.table.is_some() {
            simpler.push(Hit {
                table: None,
                ..hit.clone()
            });
        }
        if hit.after > 0 {
            simpler.push(Hit {
                after: 0,
                ..hit.clone()
            });
        }
        match left.checked_sub(simpler.len()) {
            None => {
                *hit = simpler.swap_remove(left);
                return Some(smaller);
            }
            Some(rest) => left = rest,
        }
    }
    None
}

/// A column without its default.
fn plainer_column(scenario: &Scenario, at: usize) -> Option<Scenario> {
    let mut smaller = scenario.clone();
    let plainer = |column: &mut Column| column.default = None;
    let mut left = at;
    for spec in smaller.tenants.iter_mut().flat_map(|t| &mut t.tables) {
        for column in spec.table.columns.iter_mut().filter(|c| c.default.is_some()) {
            if left == 0 {
                plainer(column);
                // An alteration names the whole table as it is afterwards.
                let (table, column) = (fold(&spec.table.name), fold(&column.name));
                for step in &mut smaller.steps {
                    let StepKind::Alter(alters) = &mut step.kind else {
                        continue;
                    };
                    for alter in alters.iter_mut().filter(|a| fold(&a.after.name) == table) {
                        alter
                            .after
                            .columns
                            .iter_mut()
                            .filter(|c| fold(&c.name) == column)
                            .for_each(plainer);
                    }
                }
                return Some(smaller);
            }
            left -= 1;
        }
    }
    None
}

fn simpler_value(scenario: &Scenario, at: usize) -> Option<Scenario> {
    let mut smaller = scenario.clone();
    let mut shapes = Shapes::new(scenario);
    let mut left = at;
    let mut one = |value: &mut Value<'static>, column: Option<&Column>| -> bool {
        let mut candidates = simpler(value, column.is_none_or(|c| c.nullable));
        match left.checked_sub(candidates.len()) {
            None => {
                *value = candidates.swap_remove(left);
                true
            }
            Some(rest) => {
                left = rest;
                false
            }
        }
    };
    for tenant in &mut smaller.tenants {
        for spec in &mut tenant.tables {
            for row in &mut spec.rows {
                for (value, column) in row.iter_mut().zip(&spec.table.columns).skip(1) {
                    if one(value, Some(column)) {
                        return Some(smaller);
                    }
                }
            }
        }
    }
    for (step, before) in smaller.steps.iter_mut().zip(&scenario.steps) {
        match &mut step.kind {
            StepKind::Rows(tables) => {
                for written in tables {
                    let shape = shapes.table(before.tenant.as_deref(), &written.table);
                    for row in written.update.iter_mut().chain(&mut written.insert) {
                        for (at, value) in row.iter_mut().enumerate().skip(1) {
                            if one(value, shape.and_then(|s| s.columns.get(at))) {
                                return Some(smaller);
                            }
                        }
                    }
                }
            }
            StepKind::Table(specs) => {
                for spec in specs {
                    for row in &mut spec.rows {
                        for (value, column) in row.iter_mut().zip(&spec.table.columns).skip(1) {
                            if one(value, Some(column)) {
                                return Some(smaller);
                            }
                        }
                    }
                }
            }
            _ => {}
        }
        shapes.after(before);
    }
    None
}

/// Simpler values of the same type, the simplest first. Each is simpler by a measure, so that this comes to an end.
fn simpler(value: &Value<'static>, nullable: bool) -> Vec<Value<'static>> {
    let mut all = Vec::new();
    if nullable && !value.is_null() {
        all.push(Value::Null);
    }
    match value {
        Value::Int(x) => all.extend([0, 1, x / 2].map(Value::Int)),
        Value::Float(x) => all.extend([0.0, 1.0, x.trunc()].map(Value::Float)),
        Value::Text(text) => {
            let chars: Vec<char> = text.chars().collect();
            let half = chars.len() / 2;
            let of = |part: &[char]| Value::Text(part.iter().collect::<String>().into());
            all.push(of(&[]));
            all.push(of(&['a']));
            if half > 0 {
                all.extend([of(&chars[..half]), of(&chars[half..])]);
                all.extend([of(&chars[1..]), of(&chars[..chars.len() - 1])]);
            }
        }
        Value::Binary(bytes) => {
            let half = bytes.len() / 2;
            let of = |part: &[u8]| Value::Binary(part.to_vec().into());
            all.push(of(&[]));
            if half > 0 {
                all.extend([of(&bytes[..half]), of(&bytes[half..])]);
            }
        }
        Value::DateTime(_) => {
            let plain = DateTime::from_parts(2020, 1, 1, 0);
            all.extend(plain.map(Value::DateTime));
        }
        Value::Time(_) => all.push(Value::Time(0)),
        Value::Guid(_) => all.push(Value::Guid(0)),
        Value::Null | Value::Decimal(_) | Value::Offset { .. } => {}
    }
    let now = weight(value);
    all.retain(|simpler| weight(simpler) < now);
    all
}

fn weight(value: &Value<'static>) -> u128 {
    match value {
        Value::Null => 0,
        Value::Int(x) => 1 + u128::from(x.unsigned_abs()),
        Value::Float(x) if *x == 0.0 => 1,
        Value::Float(x) if *x == 1.0 => 2,
        Value::Float(x) if x.fract() == 0.0 => 3,
        Value::Float(_) => 4,
        Value::Text(text) => 1 + text.chars().map(|c| if c == 'a' { 1 } else { 2 }).sum::<u128>(),
        Value::Binary(bytes) => 1 + bytes.len() as u128,
        Value::DateTime(at) => 1 + u128::from(Some(*at) != DateTime::from_parts(2020, 1, 1, 0)),
        Value::Time(ticks) => 1 + u128::from(*ticks != 0),
        Value::Guid(x) => 1 + u128::from(*x != 0),
        Value::Decimal(_) | Value::Offset { .. } => 1,
    }
}
