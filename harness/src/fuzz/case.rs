//! One case: a history, written as its file, read again, and run.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use super::draw::{self, History};
use super::property::Property;
use crate::report::{Failure, ScenarioResult, Verdict};
use crate::run::host::Transport;
use crate::run::keys::RunKeys;
use crate::run::runner::{self, RunSettings};
use crate::run::world::WorldSettings;
use crate::scenario::Catalogue;
use crate::scenario::emit::emit;
use crate::scenario::model::Scenario;
use crate::scenario::parse::parse;

/// The seed of every world's tokens: one for all, so that the same signatures are made once. A file that is run by
/// itself with `mirrorlab run` has the same.
pub const WORLD_SEED: u64 = 1;

/// Where cases run.
#[derive(Clone)]
pub struct Ground {
    /// What every world is given: keys, the server and how calls reach it, where mirrors are.
    pub world: WorldSettings,
    /// Worlds are made in here, a directory each.
    pub dir: PathBuf,
    /// Whether worlds stay, with every message.
    pub keep: bool,
    /// Counts runs. The mirrors of an endpoint that is not ours outlive them, so each has tenants of its own.
    runs: Arc<AtomicUsize>,
}

impl Ground {
    /// A server of our own.
    pub fn new(keys: RunKeys, transport: Transport, dir: PathBuf) -> Ground {
        Ground::of(WorldSettings::new(keys, WORLD_SEED, transport), dir)
    }

    /// Any server.
    pub fn of(world: WorldSettings, dir: PathBuf) -> Ground {
        Ground {
            world,
            dir,
            keep: false,
            runs: Arc::default(),
        }
    }

    /// Whether the server is not ours, so that not every step is possible.
    pub fn is_foreign(&self) -> bool {
        matches!(self.world.transport, Transport::Foreign(_))
    }

    /// Draws a case of which every step is possible here.
    pub fn draw(&self, seed: u64, case: u64) -> History {
        match self.is_foreign() {
            true => draw::history_possible(seed, case, &self.world),
            false => draw::history(seed, case),
        }
    }

    /// Runs a scenario.
    pub fn run(&self, scenario: &Scenario) -> ScenarioResult {
        let settings = RunSettings {
            world: WorldSettings {
                keep_messages: self.keep,
                ..self.world.clone()
            },
            jobs: 1,
            dir: self.dir.clone(),
            keep: self.keep,
        };
        let number = self.runs.fetch_add(1, Ordering::Relaxed);
        runner::numbered(scenario, &settings, number)
    }
}

/// What came of a case.
#[derive(Debug, Clone)]
pub enum Ran {
    /// Every property held.
    Held,
    /// One did not.
    Failed(Box<Broken>),
    /// The run itself broke, which says nothing of the mirror.
    Stuck(String),
}

/// A property that did not hold.
#[derive(Debug, Clone)]
pub struct Broken {
    /// Which.
    pub property: Property,
    /// The scenario's check that failed, as `mirrorlab run` tells it.
    pub check: String,
    /// Which step of the history, from 0; none where it was the file's end.
    pub step: usize,
    /// How many cycles had begun by then.
    pub cycles: u64,
    /// The failure as it was reported.
    pub failure: Failure,
}

/// A history as its file says it.
///
/// # Errors
/// A text where the file is not one: a mistake of the fuzzer's own.
pub fn written(history: &History, file: &Path) -> Result<Scenario, String> {
    let text = emit(&history.scenario);
    // Every table of a history says its columns.
    parse(file, &text, &Catalogue::default())
        .map_err(|mistakes| format!("{}\n{text}", mistakes.render(110, false)))
}

/// Runs a history.
pub fn run(history: &History, ground: &Ground) -> Ran {
    let file = PathBuf::from(format!("{}.yaml", history.scenario.id.value));
    let scenario = match written(history, &file) {
        Ok(scenario) => scenario,
        Err(why) => return Ran::Stuck(format!("the drawn history is no scenario file: {why}")),
    };
    match ground.run(&scenario).verdict {
        Verdict::Held => Ran::Held,
        Verdict::Skipped { reasons } => Ran::Stuck(reasons.join("; ")),
        Verdict::Broken { reason } => Ran::Stuck(reason),
        Verdict::Failed { failures } => match failures.into_iter().next() {
            Some(failure) => Ran::Failed(Box::new(broken(history, &scenario, failure))),
            None => Ran::Stuck("a failure without one".into()),
        },
    }
}

fn broken(history: &History, scenario: &Scenario, failure: Failure) -> Broken {
    let line = failure.line.unwrap_or(usize::MAX);
    let step = scenario
        .steps
        .iter()
        .rposition(|step| step.at.line <= line)
        .unwrap_or_default();
    let cycles = history.foreseen.iter().take(step + 1).map(|f| f.cycles).sum();
    let about = history.foreseen.get(step).map_or(Property::Equal, |f| f.about);
    let property = match (failure.check.as_str(), about) {
        ("event-missing", _) => Property::Told,
        ("cycle-error-text" | "call-error-text", _) => Property::Refused,
        ("cycle-wiped" | "cycle-rows" | "cycle-quiet", Property::Cycle) => Property::Sent,
        ("cycle-outcome", Property::Sent) => Property::Cycle,
        (_, about) => about,
    };
    Broken {
        property,
        check: failure.check.clone(),
        step,
        cycles,
        failure,
    }
}
