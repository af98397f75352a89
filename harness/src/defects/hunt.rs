//! Which scenario catches a defect, and by which check.

use std::path::Path;

use super::Defect;
use crate::report::Verdict;
use crate::run::host::Transport;
use crate::run::keys::RunKeys;
use crate::run::runner::{self, RunSettings};
use crate::run::world::WorldSettings;
use crate::scenario::model::Scenario;

/// What caught a defect.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Caught {
    /// The scenario's id.
    pub scenario: String,
    /// The check that failed first.
    pub check: String,
}

/// What hunts need.
pub struct Hunt<'h> {
    /// The scenarios to hunt with.
    pub scenarios: &'h [Scenario],
    /// A run's keys.
    pub keys: RunKeys,
    /// Draws everything.
    pub seed: u64,
    /// Where worlds are made.
    pub dir: &'h Path,
}

impl Hunt<'_> {
    /// Runs the scenario that is known to catch the defect, and all others where it does not. A run that breaks has not
    /// caught anything: nobody would know why.
    pub fn hunt(&self, defect: &'static Defect) -> Option<Caught> {
        let known = |scenario: &&Scenario| scenario.id.value == defect.scenario;
        let first = self.scenarios.iter().filter(known);
        let others = self.scenarios.iter().filter(|s| !known(s));
        first.chain(others).find_map(|s| self.one(defect, s))
    }

    /// Every scenario that catches the defect.
    pub fn all(&self, defect: &'static Defect) -> Vec<Caught> {
        self.scenarios
            .iter()
            .filter_map(|s| self.one(defect, s))
            .collect()
    }

    fn one(&self, defect: &'static Defect, scenario: &Scenario) -> Option<Caught> {
        let settings = RunSettings {
            world: WorldSettings::new(self.keys.clone(), self.seed, Transport::Defective(defect)),
            jobs: 1,
            dir: self.dir.join(defect.id),
            keep: false,
        };
        match runner::one(scenario, &settings).verdict {
            Verdict::Failed { failures } => Some(Caught {
                scenario: scenario.id.value.clone(),
                check: failures.first()?.check.clone(),
            }),
            _ => None,
        }
    }
}
