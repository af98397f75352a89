//! Which broken servers drawn histories catch by themselves, without a single written scenario; and what came of that once,
//! as a file keeps it.

use std::path::Path;

use super::case::Ground;
use super::fuzzer::{End, Fuzzer, Limits};
use super::property::Property;
use crate::defects::Defect;
use crate::defects::catalogue::ALL;
use crate::run::host::Transport;
use crate::run::keys::RunKeys;

/// How many cycles a broken server is fuzzed for at most.
pub const CYCLES_DEFAULT: u64 = 1500;

/// What `mirrorlab defects --fuzz` found, as docs/defects-fuzzed.tsv keeps it.
const KEPT: &str = include_str!("../../../docs/defects-fuzzed.tsv");

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

/// One broken server's line: its id, then property, check, case and cycles, or that it escaped.
fn line(id: &str, caught: Option<&Caught>) -> String {
    match caught {
        None => format!("{id}\tescaped\n"),
        Some(caught) => format!(
            "{id}\t{}\t{}\t{}\t{}\n",
            caught.property.id(),
            caught.check,
            caught.case,
            caught.cycles
        ),
    }
}

/// What a hunt of every broken server came to, as the file has it.
pub fn file(seed: u64, cycles: u64, found: &[(&str, Option<Caught>)]) -> String {
    let mut text = format!(
        "# Written by `mirrorlab defects --fuzz --seed {seed} --cycles {cycles} --outcome FILE`: id, property, check, case, cycles.\n"
    );
    for (id, caught) in found {
        text.push_str(&line(id, caught.as_ref()));
    }
    text
}

/// What the kept file says of a broken server; `None` where it says nothing.
pub fn kept(id: &str) -> Option<Option<Caught>> {
    let of_id = |line: &&str| line.split('\t').next() == Some(id);
    let line = KEPT.lines().find(of_id)?;
    let fields: Vec<&str> = line.split('\t').skip(1).collect();
    match fields.as_slice() {
        ["escaped"] => Some(None),
        [property, check, case, cycles] => Some(Some(Caught {
            property: Property::ALL.into_iter().find(|p| p.id() == *property)?,
            check: (*check).to_owned(),
            case: case.parse().ok()?,
            cycles: cycles.parse().ok()?,
        })),
        _ => None,
    }
}

/// Of how many broken servers the kept file says that they were caught, and after how many cycles in all.
pub fn kept_count() -> (usize, u64) {
    let caught: Vec<Caught> = ALL.iter().filter_map(|d| kept(d.id)?).collect();
    (caught.len(), caught.iter().map(|c| c.cycles).sum())
}
