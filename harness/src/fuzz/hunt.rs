//! Which broken servers drawn histories catch by themselves, without a single written scenario.

use std::path::Path;

use super::case::Ground;
use super::fuzzer::{End, Fuzzer, Limits};
use super::property::Property;
use crate::defects::Defect;
use crate::run::host::Transport;
use crate::run::keys::RunKeys;

/// How a broken server was caught.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Caught {
    /// The property that failed.
    pub property: Property,
    /// The check by which it did.
    pub check: String,
    /// In which case.
    pub case: u64,
    /// After how many cycles.
    pub cycles: u64,
}

/// Fuzzes one broken server until it is caught or so many cycles have run. A run that breaks has not caught anything:
/// nobody would know why.
pub fn hunt(defect: &'static Defect, keys: &RunKeys, seed: u64, cycles: u64, dir: &Path) -> Option<Caught> {
    let ground = Ground::new(keys.clone(), Transport::Defective(defect), dir.join(defect.id));
    let fuzzer = Fuzzer {
        ground: &ground,
        seed,
        from: 0,
        limits: Limits {
            cycles: Some(cycles),
            ..Limits::default()
        },
        jobs: 1,
    };
    let (progress, end) = fuzzer.run(&mut |_| {});
    match end {
        End::Failed { case, broken, .. } => Some(Caught {
            property: broken.property,
            check: broken.check,
            case,
            cycles: progress.cycles,
        }),
        End::Held | End::Stuck { .. } => None,
    }
}
