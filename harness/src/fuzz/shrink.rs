//! Makes a failing history small: steps, tenants, tables, columns, rows, values and settings go, one after the other, as
//! long as the same property still fails. What is left is foreseen anew each time, so that its expectations are right.

mod passes;

use super::case::{self, Broken, Ground, Ran};
use super::draw::History;
use super::foresee_all;
use crate::scenario::model::{Scenario, StepKind};
use passes::PASSES;

/// The most runs that shrinking may take.
const RUNS_MAX: u32 = 3000;
/// The same against an endpoint that is not ours: each leaves tenants there, and takes as long as its network takes.
const FOREIGN_RUNS_MAX: u32 = 300;

/// A history made small.
pub struct Shrunk {
    /// What is left.
    pub history: History,
    /// How it fails.
    pub broken: Broken,
    /// How many runs it took.
    pub runs: u32,
}

struct Shrinker<'g> {
    ground: &'g Ground,
    best: Shrunk,
}

/// Makes a failing history small.
pub fn shrink(history: &History, broken: &Broken, ground: &Ground) -> Shrunk {
    let mut shrinker = Shrinker {
        ground,
        best: Shrunk {
            history: history.clone(),
            broken: broken.clone(),
            runs: 0,
        },
    };
    // What comes after the failure has no part in it.
    shrinker.cut_after_failure();
    loop {
        let before = shrinker.best.history.scenario.clone();
        shrinker.fewer_steps();
        for pass in PASSES {
            shrinker.pass(*pass);
        }
        let after = &shrinker.best.history.scenario;
        if crate::scenario::emit::emit(after) == crate::scenario::emit::emit(&before) || shrinker.is_spent() {
            break;
        }
    }
    shrinker.fewer_expectations();
    shrinker.without_last_look();
    shrinker.best
}

impl Shrinker<'_> {
    fn is_spent(&self) -> bool {
        self.best.runs
            >= match self.ground.is_foreign() {
                true => FOREIGN_RUNS_MAX,
                false => RUNS_MAX,
            }
    }

    /// Whether a smaller scenario fails in the same way; it is the best then.
    fn fails(&mut self, scenario: &Scenario) -> bool {
        let Some(history) = foresee_all(scenario) else {
            return false;
        };
        self.fails_as(history)
    }

    fn fails_as(&mut self, history: History) -> bool {
        if self.is_spent() || history.foreseen.is_empty() {
            return false;
        }
        self.best.runs += 1;
        let Ran::Failed(broken) = case::run(&history, self.ground) else {
            return false;
        };
        if broken.property != self.best.broken.property || broken.check != self.best.broken.check {
            return false;
        }
        self.best.history = history;
        self.best.broken = *broken;
        true
    }

    fn cut_after_failure(&mut self) {
        let mut cut = self.best.history.scenario.clone();
        cut.steps.truncate(self.best.broken.step + 1);
        self.fails(&cut);
    }

    /// Steps go in runs of half their number, a quarter, and so on, from the end.
    fn fewer_steps(&mut self) {
        let mut size = self.best.history.scenario.steps.len() / 2;
        while size > 0 {
            let mut end = self.best.history.scenario.steps.len();
            while end > 0 && !self.is_spent() {
                let start = end.saturating_sub(size);
                let mut fewer = self.best.history.scenario.clone();
                end = end.min(fewer.steps.len());
                if start < end {
                    fewer.steps.drain(start..end);
                    self.fails(&fewer);
                }
                end = start;
            }
            size /= 2;
        }
    }

    fn pass(&mut self, pass: fn(&Scenario, usize) -> Option<Scenario>) {
        let mut at = 0;
        while let Some(smaller) = pass(&self.best.history.scenario, at) {
            if self.is_spent() {
                break;
            }
            if !self.fails(&smaller) {
                at += 1;
            }
        }
    }

    /// A comparison at the end that must find nothing is made by the runner too.
    fn without_last_look(&mut self) {
        let mut history = self.best.history.clone();
        let last = history.scenario.steps.pop();
        let plain = |kind: &StepKind| matches!(kind, StepKind::Compare(expect) if expect.all.is_none() && expect.tenants.is_empty());
        if last.is_some_and(|step| plain(&step.kind)) {
            history.foreseen.pop();
            self.fails_as(history);
        }
    }

    /// What a step must hold and what has no part in the failure is left out at the end: the file then says what it is
    /// about.
    fn fewer_expectations(&mut self) {
        for at in 0..self.best.history.scenario.steps.len() {
            for part in 0..4 {
                let mut history = self.best.history.clone();
                let Some(step) = history.scenario.steps.get_mut(at) else {
                    break;
                };
                if let (StepKind::Send(sent), 0) = (&mut step.kind, part)
                    && sent.expect.lsns.take().is_some()
                {
                    self.fails_as(history);
                    break;
                }
                let StepKind::Mirror(expect) = &mut step.kind else {
                    break;
                };
                let all = expect.all.iter_mut();
                let mut left_out = false;
                for expect in all.chain(expect.tenants.iter_mut().map(|(_, e)| e)) {
                    left_out |= match part {
                        0 => expect.events.drain(..).count() > 0,
                        1 => expect.tables.drain(..).count() > 0,
                        2 => expect.wiped.take().is_some(),
                        _ => expect.quiet.take().is_some(),
                    };
                }
                if expect.all.as_ref().is_some_and(passes::expects_nothing) {
                    expect.all = None;
                }
                expect.tenants.retain(|(_, e)| !passes::expects_nothing(e));
                if left_out {
                    self.fails_as(history);
                }
            }
        }
    }
}
