//! Conformance checks against the built-in server, which keeps every rule, and against servers broken on purpose: a
//! check that no broken server fails is worth nothing.

#[path = "conformance/broken.rs"]
mod broken;
#[path = "conformance/servers.rs"]
mod servers;

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write as _;
use std::path::Path;

use mirrorlab::conformance::report::Standing;
use mirrorlab::conformance::{MirrorAt, Options, Report, Verdict, catalogue, run};
use mirrorlab_simulator::endpoint::https::Trust;
use servers::{APPLICATION, Home};

const PAGE: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../docs/conformance.md");
const RULES: &str = include_str!("../docs/protocol.md");

fn options(home: &Home, url: &str) -> Options {
    let mut options = Options::new(url, APPLICATION, &home.keys()).unwrap();
    options.mirror = Some(MirrorAt::parse(&format!("sqlite:{}", home.mirrors().display())).unwrap());
    options
}

fn failures(report: &Report) -> String {
    report
        .results
        .iter()
        .filter_map(|result| match &result.verdict {
            Verdict::Passed => None,
            other => Some(format!("{}: {other:?}\n", result.id)),
        })
        .collect()
}

#[test]
fn the_built_in_server_keeps_every_rule() {
    let home = Home::new();
    let report = run(&options(&home, &home.serve())).unwrap();
    assert_eq!(failures(&report), "");
    assert_eq!(report.count(Standing::Passed), catalogue().len());
}

/// Rules that no endpoint can break, or that cannot be seen from outside.
const EXCUSED: &[(&str, &str)] = &[
    ("ADMIN-02", "a hook inside the partner's own server"),
    ("ADMIN-03", "a hook inside the partner's own server"),
    ("ADMIN-05", "a hook inside the partner's own server"),
    (
        "ADMIN-07",
        "a hook inside the partner's own server; scenarios test the built-in one",
    ),
    (
        "SCHEMA-15",
        "a rule for the sender: how extra tables are named (schema.extra-names takes such names)",
    ),
    ("TASK-01", "a rule for the sender"),
    ("TASK-02", "a rule for the sender"),
    ("TASK-06", "a rule for the sender: no endpoint can see it"),
    ("TASK-11", "a rule for the sender"),
    ("TASK-12", "a rule for the sender"),
    (
        "TRUST-06",
        "what SuperOffice's certificates are like; keys of the trial are like them",
    ),
    ("TRUST-13", "a choice of certificates; the run has one"),
];

fn rules() -> Vec<&'static str> {
    let mut rules: Vec<&str> = RULES
        .lines()
        .filter_map(|line| line.strip_prefix("| ")?.split(' ').next())
        .filter(|id| {
            id.split_once('-').is_some_and(|(section, number)| {
                section.chars().all(|c| c.is_ascii_uppercase()) && number.parse::<u32>().is_ok()
            })
        })
        .collect();
    rules.sort_unstable();
    rules
}

#[test]
fn every_rule_has_a_check_or_an_excuse() {
    let checks = catalogue();
    let rules: BTreeSet<&str> = rules().into_iter().collect();
    assert!(rules.len() > 80);
    let covered: BTreeSet<&str> = checks.iter().flat_map(|c| c.rules()).collect();
    let unknown: Vec<_> = covered.difference(&rules).collect();
    assert!(unknown.is_empty(), "docs/protocol.md has no {unknown:?}");
    let excused: BTreeSet<&str> = EXCUSED.iter().map(|(rule, _)| *rule).collect();
    let bare: Vec<_> = rules
        .iter()
        .filter(|r| !covered.contains(*r) && !excused.contains(*r))
        .collect();
    assert!(bare.is_empty(), "neither a check nor an excuse: {bare:?}");
    let both: Vec<_> = covered.intersection(&excused).collect();
    assert!(both.is_empty(), "excused, and covered all the same: {both:?}");
    let lost: Vec<_> = excused.difference(&rules).collect();
    assert!(lost.is_empty(), "excused, and no rule: {lost:?}");
}

/// A part of docs/conformance.md, between its marks; written anew where `UPDATE_DOCS` is set.
fn part_is(mark: &str, right: &str) {
    let page = std::fs::read_to_string(PAGE).unwrap();
    let (begin, end) = (format!("<!-- {mark} -->\n"), format!("<!-- end of {mark} -->"));
    let from = page.find(&begin).expect("the page has the mark") + begin.len();
    let to = page.find(&end).expect("the page has the mark's end");
    if std::env::var_os("UPDATE_DOCS").is_some() {
        let new = format!("{}\n{right}\n{}", &page[..from], &page[to..]);
        std::fs::write(Path::new(PAGE), new).unwrap();
        return;
    }
    assert_eq!(
        page[from..to].trim(),
        right.trim(),
        "docs/conformance.md says otherwise; UPDATE_DOCS=1 cargo test --test conformance writes it"
    );
}

#[test]
fn the_page_shows_what_is_covered() {
    let mut of: BTreeMap<&str, Vec<String>> = BTreeMap::new();
    for check in catalogue() {
        of.entry(check.rule).or_default().push(format!("`{}`", check.id));
    }
    for check in catalogue() {
        for rule in check.also {
            let of = of.entry(rule).or_default();
            if of.len() < 4 {
                of.push(format!("`{}`", check.id));
            }
        }
    }
    let mut table = String::from("| rule | checks |\n|---|---|\n");
    for rule in rules() {
        let cell = match of.get(rule) {
            Some(ids) if ids.len() > 6 => format!("{} and {} more", ids[..5].join(", "), ids.len() - 5),
            Some(ids) => ids.join(", "),
            None => {
                let why = EXCUSED
                    .iter()
                    .find(|(excused, _)| *excused == rule)
                    .map_or("", |(_, why)| *why);
                format!("*none: {why}*")
            }
        };
        let _ = writeln!(table, "| {rule} | {cell} |");
    }
    part_is("coverage", &table);
}

/// Checks that fail on no broken server yet. It may only get shorter.
const NOT_YET: &[&str] = &[];

#[test]
fn every_check_fails_on_a_broken_server() {
    let mut seen: BTreeMap<String, Vec<&str>> = BTreeMap::new();
    for defect in broken::DEFECTS {
        let home = Home::new();
        let service = home.service();
        let apply = defect.apply;
        let port = servers::speak(move |request| apply(&service, request));
        let mut options = options(&home, &format!("http://127.0.0.1:{port}/{}", defect.path));
        options.trust = Trust::System;
        options.limits.call = std::time::Duration::from_secs(10);
        let report = run(&options).unwrap();
        for result in report.of(Standing::Failed) {
            seen.entry(result.id.clone()).or_default().push(defect.name);
        }
        assert!(report.count(Standing::Failed) > 0, "{} is not seen", defect.name);
    }
    let blind: Vec<String> = catalogue()
        .into_iter()
        .map(|c| c.id)
        .filter(|id| !seen.contains_key(id) && !NOT_YET.contains(&id.as_str()))
        .collect();
    assert!(
        blind.is_empty(),
        "{} checks fail on no broken server: {blind:#?}",
        blind.len()
    );
    let fixed: Vec<_> = NOT_YET.iter().filter(|id| seen.contains_key(**id)).collect();
    assert!(fixed.is_empty(), "these do fail now: {fixed:?}");
    let mut table = String::from("| broken server | what is wrong | checks that see it |\n|---|---|---|\n");
    for defect in broken::DEFECTS {
        let count = seen.values().filter(|names| names.contains(&defect.name)).count();
        let _ = writeln!(table, "| `{}` | {} | {count} |", defect.name, defect.what);
    }
    if std::env::var_os("UPDATE_DOCS").is_some() {
        println!("{table}");
    }
}
