use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use super::case::{self, Ground, Ran};
use super::fuzzer::{End, Fuzzer, Limits};
use super::shrink::shrink;
use super::{draw, failures, foresee_all, hunt};
use crate::defects::catalogue;
use crate::run::host::Transport;
use crate::run::keys::RunKeys;
use crate::scenario::Catalogue;
use crate::scenario::emit::emit;
use crate::scenario::emit::tests::meaning;
use crate::scenario::parse::parse;

fn ground(dir: &Path, transport: Transport) -> Ground {
    Ground::new(RunKeys::fixed().unwrap(), transport, dir.to_owned())
}

fn fuzz(ground: &Ground, jobs: usize, cases: u64) -> (super::fuzzer::Progress, End) {
    let limits = Limits {
        cases: Some(cases),
        ..Limits::default()
    };
    let fuzzer = Fuzzer {
        ground,
        seed: 1,
        from: 0,
        limits,
        jobs,
    };
    fuzzer.run(&mut |_| {})
}

/// The small budget of `cargo test`: the program has the large one.
#[test]
fn drawn_histories_hold() {
    let dir = tempfile::tempdir().unwrap();
    let ground = ground(dir.path(), Transport::InProcess);
    let (progress, end) = fuzz(&ground, 2, 60);
    match end {
        End::Held => assert!(progress.cycles >= 500),
        End::Failed {
            case,
            history,
            broken,
        } => panic!(
            "case {case}:\n{}\n{}",
            broken.failure.text(),
            emit(&history.scenario)
        ),
        End::Stuck { case, history, why } => panic!("case {case}: {why}\n{}", emit(&history.scenario)),
    }
}

#[test]
fn what_comes_out_does_not_hang_on_the_number_of_threads() {
    let dir = tempfile::tempdir().unwrap();
    let defect = catalogue::find("wipe-keeps-rows").unwrap();
    let ground = ground(dir.path(), Transport::Defective(defect));
    let told = |jobs| match fuzz(&ground, jobs, 40) {
        (progress, End::Failed { case, broken, .. }) => {
            (progress.cycles, progress.coverage, case, broken.failure.text())
        }
        _ => panic!("this server is broken"),
    };
    let (one, three) = (told(1), told(3));
    assert_eq!(one, three);
}

#[test]
fn every_drawn_history_is_a_file_that_says_the_same() {
    for case in 0..150 {
        let history = draw::history(3, case);
        let text = emit(&history.scenario);
        let again = match parse(Path::new("drawn.yaml"), &text, &Catalogue::default()) {
            Ok(again) => again,
            Err(mistakes) => panic!("case {case}: {}\n{text}", mistakes.render(110, false)),
        };
        // A table that was renamed in its letters alone is one to both, and each keeps letters of its own.
        let said = |scenario| meaning(scenario).to_lowercase();
        assert_eq!(said(&again), said(&history.scenario), "case {case}:\n{text}");
        // What it must come to hangs on nothing but what the file says.
        let foreseen = foresee_all(&again).unwrap();
        assert_eq!(emit(&foreseen.scenario), text, "case {case}");
    }
}

/// Every byte that was sent and answered.
fn trace(seed: u64, cases: u64) -> BTreeMap<PathBuf, Vec<u8>> {
    let dir = tempfile::tempdir().unwrap();
    let mut ground = ground(dir.path(), Transport::InProcess);
    ground.keep = true;
    let mut files = BTreeMap::new();
    for case in 0..cases {
        let history = draw::history(seed, case);
        files.insert(
            PathBuf::from(format!("{case}")),
            emit(&history.scenario).into_bytes(),
        );
        assert!(matches!(case::run(&history, &ground), Ran::Held));
        let messages = dir.path().join(&history.scenario.id.value).join("messages");
        let mut folders = vec![messages];
        while let Some(folder) = folders.pop() {
            for entry in std::fs::read_dir(folder).unwrap() {
                let path = entry.unwrap().path();
                if path.is_dir() {
                    folders.push(path);
                } else {
                    let bytes = std::fs::read(&path).unwrap();
                    files.insert(path.strip_prefix(dir.path()).unwrap().to_owned(), bytes);
                }
            }
        }
    }
    files
}

#[test]
fn the_same_seed_gives_the_same_bytes() {
    let (one, other) = (trace(5, 6), trace(5, 6));
    assert!(one.len() > 100, "{} files", one.len());
    assert_eq!(one.keys().collect::<Vec<_>>(), other.keys().collect::<Vec<_>>());
    for (path, bytes) in &one {
        assert!(bytes == &other[path], "{}", path.display());
    }
    assert_ne!(
        emit(&draw::history(6, 0).scenario),
        emit(&draw::history(5, 0).scenario),
        "another seed"
    );
}

#[test]
fn a_failing_history_becomes_a_small_file_that_fails_by_itself() {
    let dir = tempfile::tempdir().unwrap();
    // The last two need calls that no source sends.
    for (id, word) in [
        ("last-row-dropped", "mirror"),
        ("cr-lost", "mirror"),
        ("wipe-keeps-lsn", "mirror"),
        ("each-batch-alone", "send"),
        ("refusals-without-text", "send"),
    ] {
        let defect = catalogue::find(id).unwrap();
        let broken_ground = ground(dir.path(), Transport::Defective(defect));
        let (
            _,
            End::Failed {
                case,
                history,
                broken,
            },
        ) = fuzz(&broken_ground, 1, 300)
        else {
            panic!("{id} escaped");
        };
        let small = shrink(&history, &broken, &broken_ground);
        let text = failures::text(&small.history, &small.broken, 1, case, "");
        let file = failures::keep(dir.path(), &small.history, &text).unwrap();
        let steps = text.split("steps:\n").nth(1).unwrap();
        assert!(steps.lines().count() <= 10, "{id}:\n{text}");
        assert!(steps.contains(&format!("- {word}")), "{id}:\n{text}");
        let kept = failures::kept(dir.path()).unwrap();
        assert_eq!(kept.len(), 1);
        // It fails on the broken server, and holds on the sound one.
        let failed = broken_ground.run(&kept[0]);
        assert_eq!(failed.failures()[0].check, small.broken.check, "{id}:\n{text}");
        let sound = ground(dir.path(), Transport::InProcess).run(&kept[0]);
        assert!(sound.failures().is_empty(), "{id}:\n{text}\n{:?}", sound.verdict);
        std::fs::remove_file(file).unwrap();
    }
}

/// A small part of what `mirrorlab defects --fuzz` proves: one defect of each layer.
#[test]
fn broken_servers_are_caught_without_a_scenario() {
    let dir = tempfile::tempdir().unwrap();
    let keys = RunKeys::fixed().unwrap();
    for id in [
        "delete-ignored",
        "lsn-before-rows",
        "signature-unchecked",
        "errors-not-logged",
        "empty-text-null",
    ] {
        let defect = catalogue::find(id).unwrap();
        assert!(
            hunt::hunt(defect, &keys, 1, 1500, dir.path()).is_some(),
            "{id} escaped"
        );
    }
}

/// A history of the fuzzer's, from a file.
fn history(text: &str) -> Option<draw::History> {
    let scenario = parse(Path::new("written.yaml"), text, &Catalogue::default());
    foresee_all(&scenario.unwrap_or_else(|mistakes| panic!("{}", mistakes.render(110, false))))
}

/// What a person sets to -1 that is -1 already stays a table to be filled: the next batch brings it on.
#[test]
fn an_lsn_set_by_hand_on_a_wiped_table() {
    const TEXT: &str = r#"
id: by-hand
title: An LSN set to -1 where it is -1
cites: fuzz-lsn
source:
  tables:
    y_seat: {columns: {id: int not null, x_name: nvarchar(5) null}, rows: [[1, Anna]]}
steps:
  - mirror
  - send: {Wipe: y_seat}
  - mirror_sql: {run: "update {context}_mirroring set LSN = -1 where tablename = 'y_seat'"}
  - send: {RowData: [{table: y_seat, rows: [], lsn: 42}]}
  - mirror_sql: {run: "select lower(tablename), LSN from {context}_mirroring order by 1"}
  - mirror_sql: {run: "update {context}_mirroring set LSN = -1 where tablename = 'y_seat'"}
  - send: {RowData: [{table: y_seat, rows: [], lsn: 43}]}
  - mirror_sql: {run: "select lower(tablename), LSN from {context}_mirroring order by 1"}
"#;
    let dir = tempfile::tempdir().unwrap();
    let history = history(TEXT).unwrap();
    let text = emit(&history.scenario);
    assert!(
        text.contains("y_seat, 42") && text.contains("y_seat, -1"),
        "{text}"
    );
    match case::run(&history, &ground(dir.path(), Transport::InProcess)) {
        Ran::Held => {}
        Ran::Failed(broken) => panic!("{}\n{text}", broken.failure.text()),
        Ran::Stuck(why) => panic!("{why}\n{text}"),
    }
}

/// Whether a server that is killed at work had committed by then depends on speed: nothing that is drawn may hang on it.
#[test]
fn nobody_dies_where_it_is_not_known_what_was_kept() {
    let file = |killed: &str| {
        let text = format!(
            "id: dies\ntitle: t\ncites: c\nsource:\n  tables:\n    y_seat: {{columns: {{id: int not null, x_name: nvarchar(5) null}}, \
             rows: [[1, Anna]]}}\nsteps:\n  - fault: {{{killed}, operation: RowData}}\n  - mirror\n"
        );
        let history = history(&text).unwrap();
        let word = |f: &super::foresee::Foreseen| f.step.kind.word() == "fault";
        history.foreseen.iter().any(word)
    };
    for foreseen in [
        "server: killed_halfway",
        "server: killed_answering",
        "killed: {call: 999}",
    ] {
        assert!(file(foreseen), "{foreseen}");
    }
    for guessed in [
        "server: killed_working",
        "killed: {call: 1000}",
        "killed: {log: 20000}",
    ] {
        assert!(!file(guessed), "{guessed}");
    }
    for case in 0..150 {
        let text = emit(&draw::history(3, case).scenario);
        assert!(!text.contains("killed_working"), "case {case}:\n{text}");
    }
}
