//! Steps, one after the other, each with what it has to hold.

use std::time::Duration;

use mirrorlab_protocol::clock::Clock;

use super::calls;
use super::check::{self, Mismatch};
use super::cycles;
use super::mirror::{MirrorError, Rows, SqlError};
use super::population;
use super::world::{World, WorldError};
use crate::compare::{self, Options, Report};
use crate::report::{NotChecked, NotCheckedKind};
use crate::scenario::expect::{CompareExpect, MirrorExpect, PerTenant, RunDueExpect, SqlExpect};
use crate::scenario::model::{Scenario, Step, StepKind};
use crate::scenario::place::At;

/// Enough for every finding that a scenario could expect by its key.
const FINDINGS_MAX: usize = 100_000;

/// What a step found.
#[derive(Debug, Default)]
pub struct StepResult {
    /// Rows compared.
    pub rows_compared: u64,
    /// What did not hold, and for which tenant.
    pub mismatches: Vec<(String, Mismatch)>,
    /// What nobody could look at.
    pub not_checked: Vec<NotChecked>,
}

impl StepResult {
    fn add(&mut self, context: &str, found: Vec<Mismatch>) {
        self.mismatches
            .extend(found.into_iter().map(|m| (context.to_owned(), m)));
    }
}

/// Does one step.
///
/// # Errors
/// [`WorldError`] where the step itself cannot be done; what its result lacks is in the [`StepResult`].
pub fn run(world: &mut World, scenario: &Scenario, step: &Step) -> Result<StepResult, WorldError> {
    // A server that died in the step before is started anew on what it had committed.
    if !world.host.is_running() {
        world.start_server()?;
    }
    let contexts: Vec<String> = scenario
        .tenants_of(step)
        .map(|t| t.context.value.clone())
        .collect();
    let mut result = StepResult::default();
    match &step.kind {
        StepKind::Mirror(expect) => mirror(world, &contexts, expect, step.at, &mut result)?,
        StepKind::RunDue { length, expect } => {
            run_due(world, &contexts, *length, expect, step.at, &mut result)?
        }
        StepKind::Compare(expect) => comparison(world, &contexts, expect, step.at, &mut result)?,
        // That rows were not looked at is told beside the verdict.
        StepKind::MirrorSql { .. } if world.mirrors.is_none() && step.kind.only_looks() => {}
        StepKind::MirrorSql { run, expect } => {
            for context in &contexts {
                let found = mirror_sql(world, context, run.iter().map(|s| s.as_str()), expect.as_ref())?;
                result.add(context, found);
            }
        }
        StepKind::Send(sent) => {
            for context in &contexts {
                let found = calls::send(world, context, sent, step.at)?;
                result.add(context, found);
            }
        }
        // That rows were not looked at is told beside the verdict.
        StepKind::MirrorRows(_) if world.mirrors.is_none() => {}
        StepKind::MirrorRows(tables) => {
            for context in &contexts {
                let found = calls::mirror_rows(world, context, tables)?;
                result.add(context, found);
            }
        }
        StepKind::Set(settings) => world.change_settings(settings)?,
        StepKind::Crash => {
            world.host.kill();
            world.start_server()?;
        }
        StepKind::Advance(length) => {
            world.source_clock.advance(seconds(*length));
            let now = world.source_clock.now();
            for context in world.office.contexts() {
                world.office.tenant(&context)?.source().set_now(now)?;
            }
        }
        StepKind::Maintenance { after, length } => {
            let from = world.source_clock.now() + seconds(*after);
            world.add_maintenance(from, from.saturating_add(seconds(*length)))?;
        }
        StepKind::Fault(fault) => world
            .faults
            .add(fault, step.tenant.as_ref().map(|t| t.value.clone())),
        StepKind::Token(fault) => world
            .faults
            .add_token(fault, step.tenant.as_ref().map(|t| t.value.clone())),
        StepKind::Approve => {
            for context in &contexts {
                world.office.approve(context)?;
            }
        }
        StepKind::Withdraw => {
            for context in &contexts {
                world.office.withdraw(context)?;
            }
        }
        StepKind::Invalidate(tables) => {
            for context in &contexts {
                let tables: Vec<&str> = tables.iter().map(|t| t.as_str()).collect();
                invalidate(world, context, &tables)?;
            }
        }
        StepKind::MirrorBackup(name) => {
            for context in &contexts {
                let done = world.mirror(context)?.backup(name);
                done.map_err(|error| WorldError::Mirror(error.to_string()))?;
            }
        }
        StepKind::MirrorRestore(name) => {
            for context in &contexts {
                let done = world.mirror(context)?.restore(name);
                done.map_err(|error| WorldError::Mirror(error.to_string()))?;
            }
        }
        _ => {
            for context in &contexts {
                on_source(world, context, &step.kind)?;
            }
        }
    }
    Ok(result)
}

/// Steps that are done on a tenant's source alone.
fn on_source(world: &mut World, context: &str, kind: &StepKind) -> Result<(), WorldError> {
    let style = world.style.clone();
    let (source, rng) = world.source_and_draw(context)?;
    match kind {
        StepKind::Change(change) => population::change(source, rng, &style, change)?,
        StepKind::Rows(tables) => population::written(source, tables)?,
        StepKind::Sql(statements) => statements.iter().try_for_each(|sql| source.execute(sql))?,
        StepKind::Table(tables) => tables
            .iter()
            .try_for_each(|table| population::fill(source, table, &style, rng))?,
        StepKind::Alter(alters) => alters
            .iter()
            .try_for_each(|alter| source.alter_table(&alter.after))?,
        StepKind::Drop(tables) => tables.iter().try_for_each(|table| source.drop_table(table))?,
        StepKind::Truncate(tables) => tables.iter().try_for_each(|table| source.truncate(table))?,
        StepKind::Tracking(tables) => tables
            .iter()
            .try_for_each(|(table, on)| source.set_tracking(table, *on))?,
        StepKind::Backup(name) => source.backup(name)?,
        StepKind::Restore(name) => source.restore(name)?,
        other => {
            return Err(WorldError::Step(format!(
                "step `{}` is not one of a source",
                other.word()
            )));
        }
    }
    Ok(())
}

fn mirror(
    world: &mut World,
    contexts: &[String],
    expect: &PerTenant<MirrorExpect>,
    at: At,
    result: &mut StepResult,
) -> Result<(), WorldError> {
    let plain = MirrorExpect::ok(at);
    for (context, cycle) in cycles::now(world, contexts)? {
        let expect = expect.of(&context).unwrap_or(&plain);
        result.add(&context, check::cycle(expect, &cycle));
        let words = check::words_not_compared(expect, &cycle);
        result.not_checked.extend(words.into_iter().map(|why| NotChecked {
            kind: NotCheckedKind::ErrorText,
            why,
        }));
    }
    Ok(())
}

fn run_due(
    world: &mut World,
    contexts: &[String],
    length: Duration,
    expect: &PerTenant<RunDueExpect>,
    at: At,
    result: &mut StepResult,
) -> Result<(), WorldError> {
    let plain = RunDueExpect {
        at,
        cycles: None,
        outcome: crate::scenario::expect::Outcome::Ok,
        none_between: None,
        first: None,
        tables: Vec::new(),
    };
    for ran in cycles::due(world, contexts, seconds(length))? {
        let expect = expect.of(&ran.context).unwrap_or(&plain);
        result.add(&ran.context, check::run_due(expect, &ran.cycles, &ran.starts));
    }
    Ok(())
}

fn comparison(
    world: &mut World,
    contexts: &[String],
    expect: &PerTenant<CompareExpect>,
    at: At,
    result: &mut StepResult,
) -> Result<(), WorldError> {
    for context in contexts {
        if world.mirrors.is_none() {
            // That rows were not compared is told beside the verdict.
            result.add(context, check::lsns(at, world.lsns.ask(context)));
            continue;
        }
        let report = compare_tenant(world, context)?;
        result.rows_compared += report.rows_compared();
        result.add(context, check::comparison(expect.of(context), at, &report));
    }
    Ok(())
}

/// Compares a tenant's mirror with its source. A mirror that was never made is an empty one.
///
/// # Errors
/// [`WorldError::Mirror`] where one of them cannot be read.
pub fn compare_tenant(world: &mut World, context: &str) -> Result<Report, WorldError> {
    let failed = |error: &dyn std::fmt::Display| WorldError::Mirror(error.to_string());
    let tables = world.office.tenant(context)?.source().tables()?;
    let mirrored: Vec<String> = tables
        .into_iter()
        .map(|t| t.name)
        .filter(|name| world.is_mirrored(name))
        .map(|n| n.to_lowercase())
        .collect();
    let is_mirrored = move |table: &str| mirrored.contains(&table.to_lowercase());
    let mut source = world.sources.side(context, Box::new(is_mirrored))?;
    let mut mirror = world.mirror(context)?.side().map_err(|e| failed(&e))?;
    let options = Options {
        findings_per_table_max: FINDINGS_MAX,
        ..Options::default()
    };
    compare::compare(source.as_mut(), mirror.as_mut(), &options).map_err(|e| failed(&e))
}

fn mirror_sql<'s>(
    world: &World,
    context: &str,
    statements: impl Iterator<Item = &'s str>,
    expect: Option<&SqlExpect>,
) -> Result<Vec<Mismatch>, WorldError> {
    let statements: Vec<String> = statements.map(|sql| sql.replace("{context}", context)).collect();
    let answer = match (world.mirror(context)?.run(&statements), expect) {
        (Ok(rows), _) => rows,
        // What should have answered is not there, or is another: that is the mirror's fault, not the step's.
        (Err(SqlError::Statement { sql, why }), Some(expect)) => {
            return Ok(vec![Mismatch {
                check: "mirror-sql",
                at: expect.at,
                expected: format!("an answer to `{sql}`"),
                received: why,
                message: None,
            }]);
        }
        (Err(error @ SqlError::Statement { .. }), None) => {
            return Err(WorldError::Mirror(format!("mirror of {context}: {error}")));
        }
        (Err(error), _) => return Err(WorldError::Mirror(error.to_string())),
    };
    let Some(expect) = expect else {
        return Ok(Vec::new());
    };
    if answer == expect.rows {
        return Ok(Vec::new());
    }
    let show = |rows: &Rows| {
        let row = |row: &Vec<Option<String>>| {
            row.iter()
                .map(|cell| cell.as_deref().unwrap_or("NULL"))
                .collect::<Vec<_>>()
                .join(" | ")
        };
        if rows.is_empty() {
            "no rows".to_owned()
        } else {
            rows.iter().map(row).collect::<Vec<_>>().join("\n")
        }
    };
    Ok(vec![Mismatch {
        check: "mirror-sql",
        at: expect.at,
        expected: show(&expect.rows),
        received: show(&answer),
        message: None,
    }])
}

fn invalidate(world: &World, context: &str, tables: &[&str]) -> Result<(), WorldError> {
    let mirror = world.mirror(context)?;
    let failed = |error: MirrorError| WorldError::Mirror(error.to_string());
    if tables.is_empty() {
        mirror.invalidate(None).map_err(failed)?;
    }
    for table in tables {
        mirror.invalidate(Some(table)).map_err(failed)?;
    }
    Ok(())
}

fn seconds(length: Duration) -> i64 {
    i64::try_from(length.as_secs()).unwrap_or(i64::MAX)
}
