//! Conformance checks against the built-in server, which keeps every rule, and against servers broken on purpose: a
//! check that no broken server fails is worth nothing.
#![allow(clippy::unwrap_used, reason = "a helper of a test is a part of it")]

#[path = "conformance/broken.rs"]
mod broken;
#[path = "conformance/matrix.rs"]
mod matrix;
#[path = "conformance/servers.rs"]
mod servers;

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write as _;
use std::path::Path;

use mirrorlab::conformance::expected::ExpectedFailures;
use mirrorlab::conformance::report::Standing;
use mirrorlab::conformance::{MirrorAt, Options, Report, RunError, Verdict, catalogue, run};
use mirrorlab_protocol::names::SERVICE_FILE as SERVICE;
use mirrorlab_simulator::endpoint::https::Trust;
use servers::{APPLICATION, Home, Reply};

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

/// What a run says that finds no endpoint: one message, and nothing is asked.
fn no_endpoint(home: &Home, url: &str, is_silent: bool) -> String {
    let mut options = options(home, url);
    options.trust = Trust::System;
    if is_silent {
        options.limits.call = std::time::Duration::from_millis(500);
    }
    let error = run(&options).unwrap_err();
    assert!(matches!(error, RunError::NoEndpoint(_)), "{error:?}");
    let text = error.to_string();
    let from = text.find("//").unwrap() + 2;
    let to = from + text[from..].find('/').unwrap();
    text.replace(&text[from..to], "HOST")
}

#[test]
fn what_is_no_endpoint_is_told_in_one_message() {
    let home = Home::new();
    let answers = |reply: Reply| {
        format!(
            "http://127.0.0.1:{}/a/{SERVICE}",
            servers::speak(move |_| reply.clone())
        )
    };
    let mut redirect = Reply::new(302, "text/html", "moved");
    redirect.more_headers = "Location: https://login.example/\r\n".into();
    let mut noise = Reply::new(200, "", "");
    noise.raw = Some(b"SSH-2.0-OpenSSH_9.2\r\n".to_vec());
    let mut nothing = Reply::new(200, "", "");
    nothing.raw = Some(Vec::new());
    let fault = "<s:Envelope xmlns:s=\"http://schemas.xmlsoap.org/soap/envelope/\"><s:Body><s:Fault><faultcode>a:ActionNotSupported\
                 </faultcode><faultstring>no such action</faultstring></s:Fault></s:Body></s:Envelope>";
    let mut texts = Vec::new();
    for reply in [
        Reply::new(200, "text/html", "<!doctype html><title>Welcome</title>"),
        redirect,
        Reply::new(401, "text/plain", "who are you?"),
        Reply::new(404, "text/plain", "not here"),
        Reply::new(503, "text/html", "down"),
        Reply::new(200, "application/json", "{}"),
        Reply::new(500, "text/xml", fault),
        noise,
        nothing,
    ] {
        texts.push(no_endpoint(&home, &answers(reply), false));
    }
    // One that takes a call and says nothing; one that takes none.
    let silent = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let port = silent.local_addr().unwrap().port();
    texts.push(no_endpoint(
        &home,
        &format!("http://127.0.0.1:{port}/{SERVICE}"),
        true,
    ));
    // Nobody listens on the first port.
    texts.push(no_endpoint(
        &home,
        &format!("http://127.0.0.1:1/{SERVICE}"),
        false,
    ));
    texts.push(no_endpoint(&home, &home.serve().replace("https", "http"), false));
    texts.push(no_endpoint(&home, &home.serve(), false));
    // The right service, with another application's id.
    let mut options = options(&home, &home.serve());
    options.application_id = "another".into();
    texts.push(
        run(&options)
            .unwrap_err()
            .to_string()
            .split_once("svc: ")
            .unwrap()
            .1
            .to_owned(),
    );
    insta::assert_snapshot!("no_endpoint", texts.join("\n\n"));
}

/// SQLite keeps whatever comes, and as text an LSN of 10 reads the same.
#[test]
fn an_lsn_in_the_metadata_is_a_number() {
    let id = "schema.metadata";
    for (ty, passes) in [("INTEGER", true), ("TEXT", false), ("REAL", false)] {
        let home = Home::new();
        let (service, mirrors) = (home.service(), home.mirrors());
        let port = servers::speak(move |request| {
            let reply = servers::honest(&service, request);
            if request.is("RowData") {
                for file in std::fs::read_dir(&mirrors).unwrap() {
                    let file = file.unwrap().path();
                    if file.extension().is_none_or(|extension| extension != "db") {
                        continue;
                    }
                    let stem = file.file_stem().unwrap().to_string_lossy().into_owned();
                    let table = format!("{}_mirroring", stem.trim_start_matches("Mirror_"));
                    let sql = format!(
                        "ALTER TABLE {table} RENAME TO before; CREATE TABLE {table} (tablename TEXT, LSN {ty}); \
                         INSERT INTO {table} SELECT tablename, LSN FROM before"
                    );
                    let connection = rusqlite::Connection::open(&file).unwrap();
                    connection.execute_batch(&sql).unwrap();
                }
            }
            reply
        });
        let mut options = options(&home, &format!("http://127.0.0.1:{port}/{SERVICE}"));
        options.trust = Trust::System;
        options.only = vec![id.to_owned()];
        let report = run(&options).unwrap();
        assert_eq!(
            failures(&report).is_empty(),
            passes,
            "{ty}: {}",
            failures(&report)
        );
        if !passes {
            assert!(failures(&report).contains("integer"), "{}", failures(&report));
        }
    }
}

#[test]
fn reports_tell_of_failures_known_ones_and_ids_that_are_none() {
    let home = Home::new();
    let service = home.service();
    let apply = broken::WRONG
        .iter()
        .find(|server| server.id == "accepts-all")
        .unwrap()
        .apply;
    let port = servers::speak(move |request| apply(&service, request));
    let mut options = options(&home, &format!("http://127.0.0.1:{port}/{SERVICE}"));
    options.trust = Trust::System;
    options.mirror = None;
    options.tag = Some(7);
    options.only = [
        "trust.expired",
        "values.int",
        "wipe.completed",
        "lsn.largest",
        "wipe.empties",
    ]
    .map(str::to_owned)
    .to_vec();
    options.expected = ExpectedFailures::parse(
        "known.txt",
        "lsn.largest kept as a double\ntransport.page not asked for\n",
    )
    .unwrap();
    let report = run(&options).unwrap();
    assert!(!report.holds());
    let standing = |id: &str| report.results.iter().find(|r| r.id == id).unwrap().standing();
    assert_eq!(standing("trust.expired"), Standing::Failed);
    assert_eq!(standing("lsn.largest"), Standing::KnownFailure);
    assert_eq!(standing("wipe.empties"), Standing::Skipped);
    let json: serde_json::Value = serde_json::from_str(&report.to_json()).unwrap();
    assert_eq!(json["results"].as_array().unwrap().len(), 5);
    // Both reports for people and servers hold the failure, and nothing that is XML or HTML by itself.
    for text in [report.to_junit(), report.to_html()] {
        assert!(text.contains("trust.expired"));
        assert!(text.contains("it was accepted (IsSuccessful true)"));
        assert!(!text.contains("<s:Envelope"));
        assert!(text.contains("kept as a double"));
    }
    let junit = report.to_junit();
    let mut reader = mirrorlab_protocol::xml::Reader::new(junit.split_once('\n').unwrap().1);
    reader.root().unwrap();
    reader.skip().unwrap();
    reader.finish().unwrap();
    // A known failure that does not fail is an error.
    options.only = vec!["wipe.completed-quiet".into()];
    options.expected = ExpectedFailures::parse("known.txt", "wipe.completed-quiet once upon a time").unwrap();
    let port = {
        let service = home.service();
        servers::speak(move |request| servers::honest(&service, request))
    };
    options.endpoint = format!("http://127.0.0.1:{port}/{SERVICE}");
    let report = run(&options).unwrap();
    assert_eq!(report.count(Standing::UnexpectedPass), 1);
    assert!(!report.holds());
    options.expected = ExpectedFailures::parse("known.txt", "wipe.competed x").unwrap();
    insta::assert_snapshot!(run(&options).unwrap_err().to_string(), @"known.txt:1: there is no check `wipe.competed`; did you mean `wipe.completed`? `mirrorlab conformance --list` shows all");
}
