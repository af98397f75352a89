//! Every broken server is caught by the scenarios, and by the check that the catalogue names; nine in ten by drawn histories
//! alone.

use std::path::Path;
use std::sync::Mutex;

use mirrorlab::defects::Defect;
use mirrorlab::defects::catalogue::{self, ALL};
use mirrorlab::defects::hunt::Hunt;
use mirrorlab::fuzz;
use mirrorlab::run::host::Transport;
use mirrorlab::run::keys::RunKeys;
use mirrorlab::run::runner::{self, RunSettings};
use mirrorlab::run::world::{START, WorldSettings};
use mirrorlab::scenario::Catalogue;
use mirrorlab::scenario::discover::discover;

/// Hunts every defect, several at a time.
fn hunt_all<C: Send>(
    hunt: &(dyn Fn(&'static Defect) -> Option<C> + Sync),
) -> Vec<(&'static Defect, Option<C>)> {
    let waiting = Mutex::new(ALL.iter());
    let caught = Mutex::new(Vec::new());
    let jobs = std::thread::available_parallelism().map_or(1, usize::from);
    std::thread::scope(|scope| {
        for _ in 0..jobs {
            scope.spawn(|| {
                loop {
                    let next = waiting.lock().expect("no hunt panics").next();
                    let Some(defect) = next else { break };
                    let found = hunt(defect);
                    caught.lock().expect("no hunt panics").push((defect, found));
                }
            });
        }
    });
    let mut caught = caught.into_inner().expect("no hunt panics");
    caught.sort_by_key(|(defect, _)| ALL.iter().position(|d| d.id == defect.id));
    caught
}

#[test]
fn the_scenarios_catch_every_defect() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("..");
    let scenarios = discover(&[root.join("scenarios")], &[], &Catalogue::superoffice()).unwrap();
    let dir = tempfile::tempdir().unwrap();
    let hunt = Hunt {
        scenarios: &scenarios,
        keys: RunKeys::generate(START).unwrap(),
        seed: 1,
        dir: dir.path(),
    };
    // Scenarios that fail without a defect catch nothing.
    let sound = RunSettings {
        world: WorldSettings::new(hunt.keys.clone(), 1, Transport::InProcess),
        jobs: 2,
        dir: dir.path().join("sound"),
        keep: false,
    };
    let result = runner::run(&scenarios, &sound, &mut |_| {});
    assert_eq!(result.counts(), [scenarios.len(), 0, 0, 0], "without a defect");

    let mut wrong = Vec::new();
    for (defect, caught) in hunt_all(&|defect| hunt.hunt(defect)) {
        let got = caught.map_or("nothing".to_owned(), |c| format!("{} {}", c.scenario, c.check));
        if got != format!("{} {}", defect.scenario, defect.check) {
            wrong.push(format!("{} {got}", defect.id));
        }
    }
    // A defect that nothing catches is a missing check: add the scenario. One that something else catches first has to be
    // entered in the catalogue.
    assert!(wrong.is_empty(), "caught otherwise:\n{}", wrong.join("\n"));
}

/// Without a scenario, at least nine in ten: within these cycles each, which a debug build has time for. What is kept in
/// docs/defects-fuzzed.tsv has to be what comes of it.
#[test]
fn drawn_histories_alone_catch_nine_in_ten() {
    const SEED: u64 = 1;
    const CYCLES: u64 = 600;
    let dir = tempfile::tempdir().unwrap();
    let keys = RunKeys::fixed().unwrap();
    let found = hunt_all(&|defect| fuzz::hunt::hunt(defect, &keys, SEED, CYCLES, dir.path()));
    let caught = found.iter().filter(|(_, caught)| caught.is_some()).count();
    let mut wrong = Vec::new();
    for (defect, caught) in &found {
        let kept = fuzz::hunt::kept(defect.id);
        let holds = match (caught, &kept) {
            (Some(caught), Some(Some(kept))) => caught == kept,
            (None, Some(Some(kept))) => kept.cycles > CYCLES,
            (None, Some(None)) => true,
            _ => false,
        };
        if !holds {
            wrong.push(format!("{}: {caught:?}, kept {kept:?}", defect.id));
        }
    }
    assert!(
        caught * 10 >= ALL.len() * 9,
        "{caught} of {} in {CYCLES} cycles each",
        ALL.len()
    );
    assert!(
        wrong.is_empty(),
        "docs/defects-fuzzed.tsv says otherwise; write it anew as ci/fuzz does:\n{}",
        wrong.join("\n")
    );
}

#[test]
fn the_page_says_what_the_catalogue_says() {
    let page = Path::new(env!("CARGO_MANIFEST_DIR")).join("../docs/defects.md");
    let written = std::fs::read_to_string(&page).unwrap_or_default();
    assert!(
        written == catalogue::markdown(),
        "docs/defects.md is not the catalogue's; write it anew with `mirrorlab defects --markdown > docs/defects.md`"
    );
}

#[test]
fn ids_are_words_and_each_is_one_defects() {
    let mut ids: Vec<&str> = ALL.iter().map(|d| d.id).collect();
    ids.sort_unstable();
    ids.dedup();
    assert_eq!(ids.len(), ALL.len());
    assert!(ids.len() >= 40);
    for id in ids {
        assert!(
            id.chars()
                .all(|c| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '-'),
            "{id}"
        );
    }
}
