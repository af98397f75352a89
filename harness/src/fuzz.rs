//! `mirrorlab fuzz`: whole histories of mirroring drawn at random, run, and shrunk where they fail.
//!
//! - [`rules`]: what a cycle must do: a model in maps, written from the rules alone
//! - [`property`]: what must hold, each with an id that never changes
//! - [`foresee`]: what each step of a history must come to, by that model
//! - [`draw`]: histories, drawn from a seed
//! - [`case`]: one history, run
//! - [`hunt`]: which broken servers drawn histories catch
//! - [`failures`]: histories that failed once, kept
//! - [`coverage`]: what histories have met
//! - [`fuzzer`]: case after case, several at a time
//! - [`shrink`]: a failing history made small

pub mod case;
pub mod coverage;
pub mod draw;
pub mod failures;
pub mod foresee;
pub mod fuzzer;
pub mod hunt;
pub mod property;
pub mod rules;
pub mod shrink;

use self::draw::History;
use self::foresee::View;
use crate::scenario::expect::PerTenant;
use crate::scenario::model::{Scenario, Step, StepKind};
use crate::scenario::place::At;

/// A scenario's steps with what each must come to; steps that make no sense are left out, and so are faults that never
/// strike. `None` for a scenario that is not one of the fuzzer's.
pub fn foresee_all(scenario: &Scenario) -> Option<History> {
    let mut steps = scenario.steps.clone();
    loop {
        let mut view = View::new(scenario)?;
        let mut foreseen: Vec<_> = steps.iter().filter_map(|step| view.step(step)).collect();
        // The runner compares at a file's end, and expects no difference: what it finds has to be foreseen.
        if !matches!(foreseen.last().map(|f| &f.step.kind), Some(StepKind::Compare(_))) {
            foreseen.push(view.step(&Step {
                at: At::default(),
                tenant: None,
                kind: StepKind::Compare(PerTenant::default()),
            })?);
        }
        let used = |f: &&foresee::Foreseen| f.trouble.is_none_or(|trouble| !view.is_unused(trouble));
        let kept: Vec<_> = foreseen.iter().filter(used).cloned().collect();
        if kept.len() == foreseen.len() {
            let scenario = Scenario {
                steps: kept.iter().map(|f| f.step.clone()).collect(),
                ..scenario.clone()
            };
            return Some(History {
                scenario,
                foreseen: kept,
            });
        }
        steps = kept.into_iter().map(|f| f.step).collect();
    }
}

#[cfg(test)]
mod tests;
