//! The crash matrix: the server as a process of its own, killed with SIGKILL at drawn points of cycles, started again.
//!
//! What it verifies. Right after each kill, on a copy of what the dead process left: no stored LSN stands for rows that
//! are not there. After one clean cycle: nothing is lost, doubled or stale, in any table, cell by cell; and the cycle
//! after that has nothing to send. What it does not: that a commit survives the machine's own death (SQLite's promise,
//! and the disk's).
//!
//! Points are counted in calls, bytes of a request, bytes of an answer, and bytes of the database's own log, never in
//! time. One seed draws them all:
//!
//!     MIRRORLAB_CRASH_SEED=7 MIRRORLAB_CRASH_CASES=200 cargo test -p mirrorlab --test crash
//!     MIRRORLAB_CRASH_SEED=7 MIRRORLAB_CRASH_CASE=31 cargo test -p mirrorlab --test crash
//!
//! A kill is real, so how far the dead process had come with a transaction is not the same each time; what must hold is.
#![allow(clippy::unwrap_used)]

#[path = "crash/case.rs"]
mod case;
#[path = "crash/leftover.rs"]
mod leftover;
#[path = "crash/server.rs"]
mod server;
#[path = "crash/template.rs"]
mod template;
#[path = "crash/wire.rs"]
mod wire;

use std::collections::BTreeMap;
use std::io::Write as _;
use std::sync::Mutex;
use std::sync::atomic::{AtomicU64, Ordering};

use case::{Bench, Tally};
use template::Template;

/// How many histories are drawn unless the environment says otherwise: about half a minute on two idle cores.
const CASES_DEFAULT: u64 = 60;
const SEED_DEFAULT: u64 = 1;

fn from_environment(name: &str) -> Option<u64> {
    let text = std::env::var(name).ok()?;
    Some(
        text.parse()
            .unwrap_or_else(|_| panic!("{name}={text} is not a whole number")),
    )
}

/// Written past the test harness, so that it stands there before anything fails.
fn say(text: &str) {
    let _ = writeln!(std::io::stderr(), "{text}");
}

#[test]
fn a_killed_server_loses_doubles_and_ages_nothing() {
    let seed = from_environment("MIRRORLAB_CRASH_SEED").unwrap_or(SEED_DEFAULT);
    let only = from_environment("MIRRORLAB_CRASH_CASE");
    let cases = from_environment("MIRRORLAB_CRASH_CASES").unwrap_or(CASES_DEFAULT);
    let (first, end) = only.map_or((0, cases), |case| (case, case + 1));
    say(&format!(
        "crash matrix: seed {seed}, cases {first} to {}",
        end - 1
    ));

    let template = Template::make(seed);
    let next = AtomicU64::new(first);
    let tally = Mutex::new(Tally::default());
    let failures = Mutex::new(BTreeMap::new());
    std::thread::scope(|scope| {
        for worker in 0..2 {
            let (template, next, tally, failures) = (&template, &next, &tally, &failures);
            scope.spawn(move || {
                let mut bench = Bench::new(template, worker);
                loop {
                    let number = next.fetch_add(1, Ordering::SeqCst);
                    if number >= end || !failures.lock().unwrap().is_empty() {
                        break;
                    }
                    match bench.run(seed, number) {
                        Ok(done) => tally.lock().unwrap().add(&done),
                        Err(why) => {
                            failures.lock().unwrap().insert(number, why);
                        }
                    }
                }
            });
        }
    });
    let tally = tally.into_inner().unwrap();
    say(&format!("crash matrix: {tally}"));
    let failures: Vec<String> = failures
        .into_inner()
        .unwrap()
        .into_iter()
        .map(|(number, why)| {
            format!(
                "seed {seed}, case {number}: {why}\nagain: MIRRORLAB_CRASH_SEED={seed} MIRRORLAB_CRASH_CASE={number} \
                 cargo test -p mirrorlab --test crash"
            )
        })
        .collect();
    assert!(failures.is_empty(), "{}", failures.join("\n"));
    if only.is_none() && cases >= CASES_DEFAULT {
        tally.check_reach();
    }
}
