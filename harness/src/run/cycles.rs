//! Cycles of the mirroring task in a scenario's world: now, or as the schedule has them.

use std::collections::BTreeMap;

use mirrorlab_protocol::clock::Clock;
use mirrorlab_simulator::endpoint::Reply;
use mirrorlab_simulator::task::report::{CycleReport, Outcome as Ending};
use mirrorlab_simulator::task::send::CycleError;

use super::check::{CycleResult, Sent};
use super::world::{World, WorldError};
use crate::scenario::expect::{EventKind, LogSide, Outcome};

/// One cycle now for each tenant, whatever the schedule says. A tenant that has not approved the application has none.
///
/// # Errors
/// [`WorldError::Office`], never for names that the file was checked for.
pub fn now(world: &mut World, contexts: &[String]) -> Result<Vec<(String, CycleResult)>, WorldError> {
    let names: Vec<&str> = contexts.iter().map(String::as_str).collect();
    let reports = world.office.run_now(&names)?;
    let result_of = |context: &String| {
        let result = match reports.iter().find(|r| r.context == *context) {
            Some(report) => CycleResult {
                calls: world.faults.take_calls(context),
                ..result(world, report)
            },
            None => CycleResult::none(),
        };
        (context.clone(), result)
    };
    Ok(contexts.iter().map(result_of).collect())
}

fn result(world: &World, report: &CycleReport) -> CycleResult {
    let outcome = match &report.outcome {
        Ending::Completed => Outcome::Ok,
        Ending::DoNotReplicate => Outcome::Declined,
        Ending::Failed(_) => Outcome::Error,
    };
    let mut sent = BTreeMap::new();
    for table in report.tables.iter().filter(|t| t.rows() > 0) {
        let rows = Sent {
            inserts: table.inserts,
            updates: table.updates,
            deletes: table.deletes,
        };
        sent.insert(table.table.clone(), rows);
    }
    let kind = if report.is_success() {
        EventKind::Information
    } else {
        EventKind::Error
    };
    let mut events = vec![(LogSide::Task, kind, report.summary())];
    for event in world.admin.take_events(&report.context) {
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
        message: report.ended_by.as_ref().map(message),
        foreign_words: !world.has_our_words && is_the_endpoints_word(&report.outcome),
        mirrored: report.tables.iter().map(|t| t.table.clone()).collect(),
        wiped: report.wiped().iter().map(|t| (*t).to_owned()).collect(),
        sent,
        calls: BTreeMap::new(),
        events,
        server_log: world.has_our_log,
    }
}

/// An answer as a person reads it: what HTTP said of it, and its body as text.
fn message(reply: &Reply) -> String {
    let mut text = format!("HTTP {}", reply.status);
    if !reply.content_type.is_empty() {
        text.push_str(", ");
        text.push_str(&reply.content_type);
    }
    text.push('\n');
    text.push_str(&String::from_utf8_lossy(&reply.body));
    text
}

/// Whether a cycle ended by something that the endpoint said, and not by what the mirroring task saw by itself.
fn is_the_endpoints_word(outcome: &Ending) -> bool {
    matches!(
        outcome,
        Ending::Failed(
            CycleError::Status { .. }
                | CycleError::Fault { .. }
                | CycleError::ContentType { .. }
                | CycleError::Unreadable { .. }
                | CycleError::Refused { .. }
        )
    )
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
/// [`WorldError`].
pub fn due(world: &mut World, contexts: &[String], length: i64) -> Result<Vec<Ran>, WorldError> {
    let until = world.source_clock.now().saturating_add(length);
    let clock = std::sync::Arc::clone(&world.source_clock);
    let reports = world.office.advance(&clock, until);
    let schedule = world.office.schedule().clone();
    let ran = contexts.iter().map(|context| {
        let own: Vec<&CycleReport> = reports.iter().filter(|r| r.context == *context).collect();
        // They belong to no single one of these cycles.
        world.faults.take_calls(context);
        Ran {
            context: context.clone(),
            cycles: own.iter().map(|report| result(world, report)).collect(),
            starts: own
                .iter()
                .map(|report| schedule.local_minute(report.started))
                .collect(),
        }
    });
    Ok(ran.collect())
}
