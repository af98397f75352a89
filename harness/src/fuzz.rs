//! `mirrorlab fuzz`: whole histories of mirroring drawn at random, run, and shrunk where they fail.
//!
//! - [`rules`]: what a cycle must do: a model in maps, written from the rules alone
//! - [`property`]: what must hold, each with an id that never changes
//! - [`foresee`]: what each step of a history must come to, by that model
//! - [`draw`]: histories, drawn from a seed
//! - [`case`]: one history, run

pub mod case;
pub mod draw;
pub mod foresee;
pub mod property;
pub mod rules;

use self::draw::History;
use self::foresee::View;
use crate::scenario::model::Scenario;

/// A scenario's steps with what each must come to; steps that make no sense are left out, and so are faults that never
/// strike. `None` for a scenario that is not one of the fuzzer's.
pub fn foresee_all(scenario: &Scenario) -> Option<History> {
    let mut steps = scenario.steps.clone();
    loop {
        let mut view = View::new(scenario)?;
        let foreseen: Vec<_> = steps.iter().filter_map(|step| view.step(step)).collect();
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
