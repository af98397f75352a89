//! Complete cycles a second, in one process, without sockets, on one core: `cargo bench -p mirrorlab --bench cycles`.
//!
//! Three small tables; before each cycle a row of one of them changes and a row of another is new. Every call is made,
//! signed, sent, checked, applied and answered with the bytes that a wire would carry, and each cycle ends with
//! ReplicationCompleted. Signatures are made once and kept (all worlds draw the same nonces), so that RSA is not what is
//! measured: the first round makes them, and is not counted. Making the world and comparing at its end are counted.
//!
//! Arguments: `--bench` is what cargo passes, and is ignored.

#![expect(clippy::print_stdout, reason = "a benchmark's figures are for the terminal")]

use std::path::{Path, PathBuf};
use std::time::Instant;

use mirrorlab::run::host::Transport;
use mirrorlab::run::keys::RunKeys;
use mirrorlab::run::runner::{self, RunSettings};
use mirrorlab::run::world::WorldSettings;
use mirrorlab::scenario::Catalogue;
use mirrorlab::scenario::parse::parse;

const CYCLES: usize = 300;
const ROUNDS: usize = 7;

fn main() {
    let mut text = String::from(
        "id: cycles\ntitle: Many small cycles\ncites: nothing\nsource:\n  tables:\n\
         \x20   y_seat: {columns: {id: int not null, x_name: nvarchar(40) null, x_since: datetime null}, rows: [[1, Anna, null]]}\n\
         \x20   y_order: {columns: {id: int not null, x_amount: float null, x_kind: smallint not null}, rows: [[1, 1.5, 2]]}\n\
         \x20   y_note: {columns: {id: int not null, x_text: nvarchar(max) null}, rows: [[1, hello]]}\nsteps:\n",
    );
    for cycle in 0..CYCLES {
        text.push_str(&format!(
            "- rows: {{y_seat: {{update: [[1, name {cycle}, null]]}}, y_order: {{insert: [[{}, 2.5, 3]]}}}}\n- mirror\n",
            cycle + 2
        ));
    }
    let scenario = match parse(Path::new("cycles.yaml"), &text, &Catalogue::default()) {
        Ok(scenario) => scenario,
        Err(mistakes) => panic!("{}", mistakes.render(110, false)),
    };
    let memory = Path::new("/dev/shm");
    let dir = match memory.is_dir() {
        true => tempfile::tempdir_in(memory),
        false => tempfile::tempdir(),
    };
    let dir = dir.expect("a temporary directory can be made");
    let settings = RunSettings {
        world: WorldSettings::new(
            RunKeys::fixed().expect("the keys are part of the program"),
            1,
            Transport::InProcess,
        ),
        jobs: 1,
        dir: PathBuf::from(dir.path()),
        keep: false,
    };
    let mut rates: Vec<f64> = Vec::new();
    for round in 0..=ROUNDS {
        let started = Instant::now();
        let result = runner::one(&scenario, &settings);
        assert!(
            result.failures().is_empty() && result.steps == 2 * CYCLES,
            "{:?}",
            result.verdict
        );
        if round > 0 {
            rates.push(CYCLES as f64 / started.elapsed().as_secs_f64());
        }
    }
    rates.sort_by(f64::total_cmp);
    println!(
        "three small tables: {:.0} cycles a second (the median of {ROUNDS} rounds of {CYCLES}; {:.0} to {:.0})",
        rates[ROUNDS / 2],
        rates[0],
        rates[ROUNDS - 1]
    );
}
