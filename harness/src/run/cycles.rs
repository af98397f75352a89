//! Cycles of the mirroring task in a scenario's world: now, or as the schedule has them.

use std::collections::BTreeMap;

use mirrorlab_protocol::clock::Clock;
use mirrorlab_simulator::blocked::SkipTable;
use mirrorlab_simulator::endpoint::Endpoint;
use mirrorlab_simulator::task::report::{CycleReport, Outcome as Ending};
use mirrorlab_simulator::task::{self, Cycle, TableFilter};

use super::check::{CycleResult, Sent};
use super::world::{TenantWorld, World, WorldError};
use crate::scenario::expect::{EventKind, LogSide, Outcome};

/// Tables that the blocked list or the application's preference leaves out.
struct LeftOut(SkipTable);

impl TableFilter for LeftOut {
    fn left_out(&self, table: &str) -> Option<String> {
        self.0.why_not(table).map(|reason| reason.to_string())
    }
}

/// One cycle for each tenant, side by side where the world allows it. A tenant that has not approved the application
/// has none.
pub fn now(world: &mut World, contexts: &[String]) -> Vec<(String, CycleResult)> {
    let settings = world.task_settings();
    let filter = LeftOut(world.skip_table());
    let side_by_side = world.side_by_side;
    let World { faults, source_clock, wire_clock, application_key, tenants, .. } = world;
    let endpoint: &dyn Endpoint = faults.as_ref();
    let run_one = |tenant: &mut TenantWorld| -> Option<CycleReport> {
        if !tenant.approved {
            return None;
        }
        let cycle = Cycle {
            context: &tenant.context,
            settings: &settings,
            application_key,
            endpoint,
            filter: &filter,
            wire_clock: wire_clock.as_ref(),
            source_clock: source_clock.as_ref(),
        };
        Some(task::run(&cycle, &mut tenant.source, &mut tenant.tokens))
    };
    let chosen = tenants.iter_mut().filter(|t| contexts.contains(&t.context));
    let reports: Vec<(String, Option<CycleReport>)> = if side_by_side {
        std::thread::scope(|scope| {
            let running: Vec<_> = chosen
                .map(|tenant| (tenant.context.clone(), scope.spawn(|| run_one(tenant))))
                .collect();
            running
                .into_iter()
                .map(|(context, thread)| match thread.join() {
                    Ok(report) => (context, report),
                    Err(panic) => std::panic::resume_unwind(panic),
                })
                .collect()
        })
    } else {
        chosen.map(|tenant| (tenant.context.clone(), run_one(tenant))).collect()
    };
    reports.into_iter().map(|(context, report)| (context.clone(), result(world, &context, report))).collect()
}

fn result(world: &World, context: &str, report: Option<CycleReport>) -> CycleResult {
    let Some(report) = report else {
        return CycleResult::none();
    };
    let outcome = match &report.outcome {
        Ending::Completed => Outcome::Ok,
        Ending::DoNotReplicate => Outcome::Declined,
        Ending::Failed(_) => Outcome::Error,
    };
    let mut sent = BTreeMap::new();
    for table in report.tables.iter().filter(|t| t.rows() > 0) {
        let rows = Sent { inserts: table.inserts, updates: table.updates, deletes: table.deletes };
        sent.insert(table.table.clone(), rows);
    }
    let kind = if report.is_success() { EventKind::Information } else { EventKind::Error };
    let mut events = vec![(LogSide::Task, kind, report.summary())];
    for event in world.admin.take_events(context) {
        let kind = match event.kind {
            mirrorlab_server::events::EventKind::Information => EventKind::Information,
            mirrorlab_server::events::EventKind::Warning => EventKind::Warning,
            mirrorlab_server::events::EventKind::Error => EventKind::Error,
        };
        events.push((LogSide::Server, kind, event.message));
    }
    CycleResult {
        outcome,
        error: report.error(),
        mirrored: report.tables.iter().map(|t| t.table.clone()).collect(),
        wiped: report.wiped().iter().map(|t| (*t).to_owned()).collect(),
        sent,
        calls: world.faults.take_calls(context),
        events,
    }
}

/// What ran of one tenant while the clock moved on.
pub struct Ran {
    /// The tenant.
    pub context: String,
    /// Its cycles, in order.
    pub cycles: Vec<CycleResult>,
    /// When each began, in minutes since midnight, local time.
    pub starts: Vec<u16>,
}

/// Moves the source's clock on by `length` seconds, and runs each cycle that falls due on the way when it is due.
///
/// # Errors
/// [`WorldError::Step`] where the schedule cannot be.
pub fn due(world: &mut World, contexts: &[String], length: i64) -> Result<Vec<Ran>, WorldError> {
    let _ = (world.source_clock.now(), length, contexts);
    Err(WorldError::Step("run_due: not there yet".into()))
}
