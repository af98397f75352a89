//! Runs scenarios: each in a world of its own, several at a time where asked for, in the files' order where reported.

use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::mpsc;
use std::time::Instant;

use super::check;
use super::needs;
use super::steps;
use super::world::{World, WorldError, WorldSettings};
use crate::report::{Failure, NotChecked, RunResult, ScenarioResult, Verdict};
use crate::scenario::model::Scenario;

/// How scenarios are run.
pub struct RunSettings {
    /// What each world is given.
    pub world: WorldSettings,
    /// How many run at a time, at least 1.
    pub jobs: usize,
    /// Where worlds are made, a directory each, named by the scenario's id.
    pub dir: PathBuf,
    /// Whether the directories stay.
    pub keep: bool,
}

/// What a run tells while it goes on.
pub enum Progress<'p> {
    /// A scenario begins.
    Begins(&'p Scenario),
    /// A scenario has ended. They are told of in the files' order.
    Ended(&'p ScenarioResult),
}

/// Runs every scenario and tells of each.
pub fn run(scenarios: &[Scenario], settings: &RunSettings, tell: &mut dyn FnMut(Progress<'_>)) -> RunResult {
    let started = Instant::now();
    let next = AtomicUsize::new(0);
    let (sender, receiver) = mpsc::channel();
    let mut results: Vec<Option<ScenarioResult>> = scenarios.iter().map(|_| None).collect();
    std::thread::scope(|scope| {
        for _ in 0..settings.jobs.clamp(1, scenarios.len().max(1)) {
            let sender = sender.clone();
            let next = &next;
            scope.spawn(move || {
                while let Some((at, scenario)) = take(next, scenarios) {
                    // The receiver lives as long as this scope.
                    let _ = sender.send((at, None));
                    let _ = sender.send((at, Some(numbered(scenario, settings, at))));
                }
            });
        }
        drop(sender);
        let mut told = 0;
        for (at, result) in receiver {
            match result {
                None => tell(Progress::Begins(&scenarios[at])),
                Some(result) => results[at] = Some(result),
            }
            while let Some(Some(result)) = results.get(told) {
                tell(Progress::Ended(result));
                told += 1;
            }
        }
    });
    RunResult {
        seed: settings.world.seed,
        sources: settings.world.sources.describe(),
        mirrors: settings.world.mirrors.as_ref().map(|mirrors| mirrors.describe()),
        elapsed: started.elapsed(),
        scenarios: results.into_iter().flatten().collect(),
    }
}

fn take<'s>(next: &AtomicUsize, scenarios: &'s [Scenario]) -> Option<(usize, &'s Scenario)> {
    let at = next.fetch_add(1, Ordering::SeqCst);
    scenarios.get(at).map(|scenario| (at, scenario))
}

/// Runs one scenario in its own directory.
pub fn one(scenario: &Scenario, settings: &RunSettings) -> ScenarioResult {
    numbered(scenario, settings, 0)
}

/// Runs one scenario as that of this number in a run: where tenants have fresh names, no other number has the same.
pub fn numbered(scenario: &Scenario, settings: &RunSettings, number: usize) -> ScenarioResult {
    let started = Instant::now();
    let dir = settings.dir.join(&scenario.id.value);
    let mut counts = Counts::default();
    let world = settings.world.suited_to(scenario);
    let reasons = needs::why_not(scenario, &world);
    if !reasons.is_empty() {
        return ScenarioResult {
            id: scenario.id.value.clone(),
            title: scenario.title.value.clone(),
            file: scenario.file.display().to_string(),
            steps: 0,
            rows_compared: 0,
            elapsed: started.elapsed(),
            verdict: Verdict::Skipped { reasons },
            not_checked: Vec::new(),
        };
    }
    counts.not_checked = needs::not_checked(scenario, &world);
    // What a check or a step's bug panics with must not take the other scenarios along.
    let verdict = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| {
        let renamed = settings.world.tenants.rename(scenario, number);
        let world = WorldSettings {
            written: renamed.written,
            ..world.clone()
        };
        in_world(&renamed.scenario, &dir, &world, settings, &mut counts)
    }))
    .unwrap_or_else(|panic| Verdict::Broken {
        reason: format!("it panicked: {}", panic_text(&*panic)),
    });
    if !settings.keep {
        let _ = std::fs::remove_dir_all(&dir);
    }
    ScenarioResult {
        id: scenario.id.value.clone(),
        title: scenario.title.value.clone(),
        file: scenario.file.display().to_string(),
        steps: counts.steps,
        rows_compared: counts.rows_compared,
        elapsed: started.elapsed(),
        verdict,
        not_checked: counts.not_checked,
    }
}

#[derive(Default)]
struct Counts {
    steps: usize,
    rows_compared: u64,
    not_checked: Vec<NotChecked>,
}

fn in_world(
    scenario: &Scenario,
    dir: &Path,
    world: &WorldSettings,
    settings: &RunSettings,
    counts: &mut Counts,
) -> Verdict {
    let broken = |place: String, error: &WorldError| Verdict::Broken {
        reason: format!("{place}: {error}"),
    };
    let mut world = match World::new(scenario, dir, world) {
        Ok(world) => world,
        Err(error) => return broken(scenario.place(scenario.id.at), &error),
    };
    for step in &scenario.steps {
        let result = match steps::run(&mut world, scenario, step) {
            Ok(result) => result,
            Err(error) => return broken(scenario.place(step.at), &error),
        };
        counts.steps += 1;
        counts.rows_compared += result.rows_compared;
        counts.not_checked.extend(result.not_checked);
        if !result.mismatches.is_empty() {
            let several = scenario.tenants.len() > 1;
            let failures = result
                .mismatches
                .into_iter()
                .map(|(context, mismatch)| {
                    let tenant = several.then_some(context.as_str());
                    failure(scenario, scenario.line(step.at), tenant, mismatch, settings)
                })
                .collect();
            return Verdict::Failed { failures };
        }
    }
    if !scenario.ends_with_compare() {
        // Whatever a file is about, its mirror must be right at its end.
        for tenant in &scenario.tenants {
            let at = scenario.steps.last().map_or(scenario.id.at, |s| s.at);
            let found = if world.mirrors.is_none() {
                check::lsns(at, world.lsns.ask(&tenant.context))
            } else {
                let report = match steps::compare_tenant(&mut world, &tenant.context) {
                    Ok(report) => report,
                    Err(error) => return broken(scenario.place(scenario.id.at), &error),
                };
                counts.rows_compared += report.rows_compared();
                check::comparison(None, at, &report)
            };
            if !found.is_empty() {
                let several = (scenario.tenants.len() > 1).then_some(tenant.context.as_str());
                let failures = found
                    .into_iter()
                    .map(|m| {
                        failure(
                            scenario,
                            "(the comparison at the file's end)",
                            several,
                            m,
                            settings,
                        )
                    })
                    .collect();
                return Verdict::Failed { failures };
            }
        }
    }
    let unused = world.faults.unused();
    if !unused.is_empty() {
        let mismatch = check::Mismatch {
            check: "fault-unused",
            at: scenario.steps.last().map_or(scenario.id.at, |s| s.at),
            expected: "every fault of the file strikes".into(),
            received: format!("never struck: {}", unused.join(", ")),
            message: None,
        };
        return Verdict::Failed {
            failures: vec![failure(scenario, "(the file's end)", None, mismatch, settings)],
        };
    }
    Verdict::Held
}

fn failure(
    scenario: &Scenario,
    step: &str,
    tenant: Option<&str>,
    mismatch: check::Mismatch,
    settings: &RunSettings,
) -> Failure {
    let of = tenant.map(|t| format!("{t}: ")).unwrap_or_default();
    Failure {
        check: mismatch.check.to_owned(),
        rule: scenario.cites.value.clone(),
        file: Some(scenario.file.display().to_string()),
        line: Some(mismatch.at.line),
        step: Some(format!("{of}{step}")),
        expected: mismatch.expected,
        received: mismatch.received,
        message: mismatch.message,
        // A file may have a seed of its own, which wins.
        seed: Some(scenario.seed.unwrap_or(settings.world.seed)),
        repeat_command: format!(
            "mirrorlab run {} --seed {}{}{}{}",
            quoted(&scenario.file.display().to_string()),
            settings.world.seed,
            settings.world.sources.flags(),
            settings
                .world
                .mirrors
                .as_ref()
                .map(|m| m.flags())
                .unwrap_or_default(),
            settings.world.repeat_flags
        ),
    }
}

/// A path or URL as a shell takes it.
pub fn quoted(path: &str) -> String {
    let plain = |c: char| c.is_alphanumeric() || "/\\._-:".contains(c);
    if path.chars().all(plain) {
        path.to_owned()
    } else {
        format!("'{}'", path.replace('\'', r"'\''"))
    }
}

fn panic_text(panic: &(dyn std::any::Any + Send)) -> &str {
    panic
        .downcast_ref::<&str>()
        .copied()
        .or_else(|| panic.downcast_ref::<String>().map(String::as_str))
        .unwrap_or("no text")
}
