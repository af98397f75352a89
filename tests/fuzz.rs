//! `mirrorlab fuzz` through the built program: drawn histories are files that run anywhere, failures are files that fail
//! by themselves, and endpoints that are not ours are fuzzed by what is possible from outside.
#![allow(clippy::unwrap_used, reason = "a helper of a test is a part of it")]

#[path = "conformance/servers.rs"]
#[allow(dead_code)]
mod servers;
#[path = "support/mod.rs"]
mod support;
#[path = "support/trial.rs"]
mod trial;

use std::fmt::Write as _;
use std::path::Path;

use mirrorlab::defects::catalogue;

use servers::{DEFECTIVE_APPLICATION, Home};
use support::{Ended, run};
use trial::Trial;

#[test]
fn drawn_histories_run_as_files_over_tls_and_in_process() {
    let dir = tempfile::tempdir().unwrap();
    std::fs::create_dir(dir.path().join("drawn")).unwrap();
    for case in ["0", "1", "2", "3", "4"] {
        let drawn = run(dir.path(), &["fuzz", "--seed", "11", "--case", case, "--print"]).expect(0);
        std::fs::write(dir.path().join("drawn").join(format!("{case}.yaml")), drawn.out).unwrap();
    }
    for how in [&["--jobs", "2"][..], &["--in-process"]] {
        let ended = run(dir.path(), &[&["run", "drawn"], how].concat()).expect(0);
        assert!(ended.out.contains("5 scenarios: 5 ok"), "{}", ended.out);
    }
}

/// The command behind `repeat` in a failure's text, without the program's name. No part of it has a blank in it.
fn repeat(ended: &Ended) -> Vec<String> {
    let line = ended
        .out
        .lines()
        .find_map(|line| line.trim().strip_prefix("repeat"));
    let line = line.unwrap_or_else(|| panic!("{}", ended.out));
    let words = line
        .split_whitespace()
        .map(|word| word.trim_matches('\'').to_owned());
    let command: Vec<String> = words.collect();
    assert_eq!(command[0], "mirrorlab");
    command[1..].to_vec()
}

fn run_again(dir: &Path, command: &[String]) -> Ended {
    let words: Vec<&str> = command.iter().map(String::as_str).collect();
    run(dir, &words)
}

/// The only file in `fuzz-failures`, and what it says.
fn kept(dir: &Path) -> (String, String) {
    let mut files = std::fs::read_dir(dir.join("fuzz-failures")).unwrap();
    let file = files.next().unwrap().unwrap();
    assert!(files.next().is_none());
    let name = file.file_name().to_string_lossy().into_owned();
    (name, std::fs::read_to_string(file.path()).unwrap())
}

#[test]
fn what_fails_is_a_file_and_is_run_first_the_next_time() {
    let dir = tempfile::tempdir().unwrap();
    let ended = run(
        dir.path(),
        &["fuzz", "--defect", "last-row-dropped", "--cases", "100"],
    )
    .expect(1);
    let (name, text) = kept(dir.path());
    assert!(
        text.starts_with("# Found by `mirrorlab fuzz --seed 1 --case "),
        "{text}"
    );
    assert!(text.contains(" --defect last-row-dropped`"), "{text}");
    // The failure's place is the line of the step in the file that was kept.
    let at = ended.out.lines().find_map(|line| line.trim().strip_prefix("at "));
    let line: usize = at.unwrap().trim().rsplit(':').next().unwrap().parse().unwrap();
    let step = ended
        .out
        .lines()
        .find_map(|line| line.trim().strip_prefix("step "));
    let (step, shown) = (step.unwrap().trim(), text.lines().nth(line - 1).unwrap().trim());
    assert!(step.ends_with(shown) || step.starts_with('('), "{step}: {shown}");
    // It fails by itself on the broken server, and holds on the sound one.
    let again = run_again(dir.path(), &repeat(&ended)).expect(0);
    assert!(again.out.contains("caught  last-row-dropped"), "{}", again.out);
    run(dir.path(), &["run", "fuzz-failures"]).expect(0);
    let ended = run(dir.path(), &["fuzz", "--cases", "1"]).expect(0);
    assert!(
        ended.out.contains("1 history kept in fuzz-failures run again"),
        "{}",
        ended.out
    );

    // One that fails still: no cycle of it breaks off with such a text.
    let wrong = text.replacen("steps:\n", "steps:\n  - mirror: {expect: {error: 'never'}}\n", 1);
    std::fs::write(dir.path().join("fuzz-failures").join(&name), wrong).unwrap();
    let ended = run(dir.path(), &["fuzz", "--cases", "1"]).expect(1);
    assert!(ended.out.contains("still fails"), "{}", ended.out);
}

#[test]
fn an_endpoint_is_fuzzed_by_what_is_possible_from_outside() {
    let trial = Trial::new();
    let (server, url) = trial.serve(&[]);
    let flags = [&["fuzz", "--seed", "3"], &Trial::endpoint_args(&url)[..]].concat();
    let with_mirror = [
        &flags[..],
        &["--mirror", "sqlite:mirrors", "--cases", "6", "--jobs", "2"],
    ]
    .concat();
    let ended = run(trial.dir(), &with_mirror).expect(0);
    assert!(ended.out.contains("\n6 cases, "), "{}", ended.out);
    assert!(!ended.out.contains("rows are not compared"), "{}", ended.out);
    // Each history had tenants of its own, under the name that was said at the start.
    let named = ended.out.split(", tenants ").nth(1).unwrap();
    let beginning = named.split('…').next().unwrap();
    let mirrors = trial.listing("mirrors");
    let own = mirrors
        .iter()
        .filter(|m| m.starts_with(&format!("Mirror_{beginning}")) && m.ends_with(".db"));
    assert!(own.count() >= 6, "{mirrors:?}");

    let ended = run(trial.dir(), &[&flags[..], &["--cycles", "30"]].concat()).expect(0);
    assert!(
        ended.out.contains("rows are not compared, only answers and LSNs"),
        "{}",
        ended.out
    );
    drop(server);
}

#[test]
fn what_fails_at_an_endpoint_fails_there_again() {
    for (id, mirror) in [("last-row-dropped", true), ("lsn-one-too-high", false)] {
        let Some(defect) = catalogue::find(id) else {
            panic!("there is no defect {id}");
        };
        let home = Home::new();
        let port = home.defective(defect);
        let url = format!("http://localhost:{port}/MirroringClientService.svc");
        let mirrors = format!("sqlite:{}", home.mirrors().display());
        let dir = tempfile::tempdir().unwrap();
        let keys = home.keys();
        let mut args = vec![
            "fuzz",
            "--endpoint",
            &url,
            "--keys",
            keys.to_str().unwrap(),
            "--application-id",
            DEFECTIVE_APPLICATION,
            "--cases",
            "40",
        ];
        if mirror {
            args.extend(["--mirror", &mirrors]);
        }
        let ended = run(dir.path(), &args).expect(1);
        let (_, text) = kept(dir.path());
        assert!(text.contains(&format!(" --endpoint {url} --keys ")), "{text}");
        let steps = text.split("steps:\n").nth(1).unwrap();
        assert!(steps.lines().count() <= 12, "{id}:\n{text}");
        let command = repeat(&ended);
        assert_eq!(command[0], "run");
        let again = run_again(dir.path(), &command).expect(1);
        assert!(
            again.out.contains(&format!(" --endpoint {url} ")),
            "{}",
            again.out
        );
        // The sound server does it right.
        run(dir.path(), &["run", "fuzz-failures"]).expect(0);
    }
}

#[test]
fn wrong_flags() {
    let dir = tempfile::tempdir().unwrap();
    let url = "http://localhost:1/MirroringClientService.svc";
    let lines: [&[&str]; 14] = [
        &["--cases", "0"],
        &["--cycles", "few"],
        &["--seed", "x"],
        &["--time", "soon"],
        &["--jobs", "0"],
        &["--case", "1", "--cases", "2"],
        &["--print"],
        &["--defect", "nothing"],
        &["--endpoint", url],
        &["--keys", "keys"],
        &["--mirror", "sqlite:mirrors"],
        &["--endpoint", url, "--keys", "keys"],
        &["--endpoint", url, "--keys", "keys", "--defect", "cr-lost"],
        &["--endpoint", url, "--keys", "keys", "--mirror", "mirrors.db"],
    ];
    let mut told = String::new();
    for line in lines {
        let ended = run(dir.path(), &[&["fuzz"], line].concat()).expect(2);
        assert_eq!(ended.out, "", "nothing was begun");
        writeln!(
            told,
            "$ mirrorlab fuzz {}\n{}",
            line.join(" "),
            ended.err.trim_end()
        )
        .unwrap();
    }
    insta::assert_snapshot!(told);
}
