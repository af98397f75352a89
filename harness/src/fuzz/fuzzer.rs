//! Case after case, several at a time. Whatever the number of threads, the cases, their order and the verdict are the
//! same: results are taken in the cases' order, and what was run beyond the end is forgotten.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::mpsc;
use std::time::{Duration, Instant};

use super::case::{self, Broken, Ground, Ran};
use super::coverage::Coverage;
use super::draw::History;

/// How long to go on. What is reached first ends it.
#[derive(Debug, Clone, Copy, Default)]
pub struct Limits {
    /// So many cases.
    pub cases: Option<u64>,
    /// So many cycles.
    pub cycles: Option<u64>,
    /// So long. Which cases there are then hangs on the machine; what each of them comes to does not.
    pub time: Option<Duration>,
}

/// What is fuzzed.
pub struct Fuzzer<'g> {
    /// Where cases run.
    pub ground: &'g Ground,
    /// Draws everything.
    pub seed: u64,
    /// The first case's number.
    pub from: u64,
    /// How long to go on.
    pub limits: Limits,
    /// How many threads, at least 1.
    pub jobs: usize,
}

/// How far a run has come.
#[derive(Debug, Clone, Default)]
pub struct Progress {
    /// Cases that held.
    pub cases: u64,
    /// Their cycles, and those of the case that failed up to there.
    pub cycles: u64,
    /// What they met.
    pub coverage: Coverage,
}

/// How it ended.
pub enum End {
    /// Every property held in every case.
    Held,
    /// One did not, in this case.
    Failed {
        /// Its number.
        case: u64,
        /// What was drawn.
        history: Box<History>,
        /// What failed.
        broken: Box<Broken>,
    },
    /// A run broke, which says nothing of the mirror.
    Stuck {
        /// Its number.
        case: u64,
        /// What was drawn.
        history: Box<History>,
        /// What happened.
        why: String,
    },
}

impl Fuzzer<'_> {
    /// Fuzzes, and tells of the progress.
    pub fn run(&self, tell: &mut dyn FnMut(&Progress)) -> (Progress, End) {
        let started = Instant::now();
        let next = AtomicU64::new(self.from);
        let over = AtomicBool::new(false);
        let last = self.limits.cases.map(|n| self.from.saturating_add(n));
        let (sender, receiver) = mpsc::sync_channel(self.jobs * 4);
        std::thread::scope(|scope| {
            for _ in 0..self.jobs.max(1) {
                let sender = sender.clone();
                let (next, over) = (&next, &over);
                scope.spawn(move || {
                    while !over.load(Ordering::Relaxed) {
                        let case = next.fetch_add(1, Ordering::Relaxed);
                        if last.is_some_and(|last| case >= last) {
                            break;
                        }
                        let history = self.ground.draw(self.seed, case);
                        let ran = case::run(&history, self.ground);
                        if sender.send((case, history, ran)).is_err() {
                            break;
                        }
                    }
                });
            }
            drop(sender);
            let mut progress = Progress::default();
            let mut waiting = BTreeMap::new();
            let mut due = self.from;
            let mut end = None;
            for (case, history, ran) in receiver {
                waiting.insert(case, (history, ran));
                while end.is_none()
                    && let Some((history, ran)) = waiting.remove(&due)
                {
                    end = self.take(due, history, ran, &mut progress);
                    due += 1;
                    tell(&progress);
                    let late = self.limits.time.is_some_and(|time| started.elapsed() >= time);
                    let enough = self.limits.cycles.is_some_and(|most| progress.cycles >= most);
                    if end.is_none() && (late || enough) {
                        end = Some(End::Held);
                    }
                }
                if end.is_some() {
                    // What is still on its way is received, and forgotten.
                    over.store(true, Ordering::Relaxed);
                }
            }
            (progress, end.unwrap_or(End::Held))
        })
    }

    fn take(&self, case: u64, history: History, ran: Ran, progress: &mut Progress) -> Option<End> {
        let history = Box::new(history);
        match ran {
            Ran::Held => {
                progress.cases += 1;
                progress.cycles += history.cycles();
                progress.coverage.add(&Coverage::of(&history));
                None
            }
            Ran::Failed(broken) => {
                progress.cycles += broken.cycles;
                Some(End::Failed {
                    case,
                    history,
                    broken,
                })
            }
            Ran::Stuck(why) => Some(End::Stuck { case, history, why }),
        }
    }
}
