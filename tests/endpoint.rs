//! Scenarios against endpoints that are not ours: `mirrorlab run --endpoint`. The built-in server plays one, of which the
//! run knows no more than URL and keys; so does the same server, broken, or with words of its own.
#![allow(clippy::unwrap_used, reason = "a helper of a test is a part of it")]

#[path = "conformance/servers.rs"]
#[allow(dead_code)]
mod servers;
#[path = "support/mod.rs"]
mod support;
#[path = "support/trial.rs"]
mod trial;

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use serde_json::Value as Json;

use servers::{APPLICATION, Home, Reply, Request, honest, speak};
use support::{Ended, run};
use trial::Trial;

fn scenarios() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../scenarios")
}

/// Runs scenarios below `what` in `dir`; how the program ended, and what it wrote.
fn run_scenarios(dir: &Path, what: &str, flags: &[&str]) -> (Ended, Json) {
    let path = scenarios().join(what);
    let mut args = vec!["run", path.to_str().unwrap(), "--json", "run.json", "--jobs", "2"];
    args.extend(flags);
    let ended = run(dir, &args);
    let json = std::fs::read_to_string(dir.join("run.json")).unwrap_or_default();
    let json = serde_json::from_str(&json).unwrap_or(Json::Null);
    (ended, json)
}

/// The scenarios that were skipped, each with its reasons.
fn skipped(run: &Json) -> String {
    let line = |scenario: &Json| {
        let reasons = scenario["reasons"].as_array()?;
        let reasons: Vec<&str> = reasons.iter().filter_map(Json::as_str).collect();
        Some(format!("{}: {}", scenario["id"].as_str()?, reasons.join("; ")))
    };
    let all = run["scenarios"].as_array().unwrap();
    all.iter().filter_map(line).collect::<Vec<_>>().join("\n")
}

/// How many scenarios could not look at something, by its kind.
fn not_checked(run: &Json) -> BTreeMap<String, usize> {
    let mut counts = BTreeMap::new();
    for scenario in run["scenarios"].as_array().unwrap() {
        let kinds = scenario["not_checked"].as_array().into_iter().flatten();
        let mut kinds: Vec<&str> = kinds.filter_map(|n| n["kind"].as_str()).collect();
        kinds.sort_unstable();
        kinds.dedup();
        for kind in kinds {
            *counts.entry(kind.to_owned()).or_default() += 1;
        }
    }
    counts
}

/// The first check of each scenario that failed.
fn failed(run: &Json) -> Vec<(String, String)> {
    let first = |scenario: &Json| {
        let failure = scenario["failures"].as_array()?.first()?;
        Some((
            scenario["id"].as_str()?.to_owned(),
            failure["check"].as_str()?.to_owned(),
        ))
    };
    run["scenarios"]
        .as_array()
        .unwrap()
        .iter()
        .filter_map(first)
        .collect()
}

#[test]
fn every_scenario_that_is_possible_from_outside_holds_and_each_other_says_why_it_is_not() {
    let trial = Trial::new();
    let (server, url) = trial.serve(&[]);
    let flags = Trial::endpoint_args(&url);
    let with_mirror = [&flags[..], &["--mirror", "sqlite:mirrors"]].concat();
    // Twice: the endpoint's mirrors stay, and the second run meets none of the first one's.
    let (ended, with) = run_scenarios(trial.dir(), "restore", &with_mirror);
    ended.expect(0);
    assert_eq!(skipped(&with), "");
    let (ended, with) = run_scenarios(trial.dir(), "", &with_mirror);
    let ended = ended.expect(0);
    insta::assert_snapshot!("skipped_with_mirror", skipped(&with));
    assert_eq!(not_checked(&with).keys().collect::<Vec<_>>(), ["server-log"]);
    let rows: u64 = with["scenarios"]
        .as_array()
        .unwrap()
        .iter()
        .filter_map(|s| s["rows_compared"].as_u64())
        .sum();
    assert!(rows > 4_000, "{rows} rows compared");
    assert!(ended.out.contains(" skipped; "), "{}", ended.out);
    assert!(!ended.out.contains("rows were not compared"), "{}", ended.out);

    let (ended, without) = run_scenarios(trial.dir(), "", &flags);
    let ended = ended.expect(0);
    insta::assert_snapshot!("skipped_without_mirror", skipped(&without));
    assert!(
        ended
            .out
            .contains("rows were not compared, only answers and LSNs"),
        "{}",
        ended.out
    );
    let ran = |run: &Json| {
        run["scenarios"]
            .as_array()
            .unwrap()
            .iter()
            .filter(|s| s["verdict"] == "held")
            .count()
    };
    assert_eq!(not_checked(&without)["rows"], ran(&without));
    drop(server);
}

#[test]
fn every_scenario_that_is_possible_with_a_process_of_its_own_holds() {
    let dir = tempfile::tempdir().unwrap();
    let (ended, run) = run_scenarios(dir.path(), "", &["--process"]);
    ended.expect(0);
    insta::assert_snapshot!("skipped_with_process", skipped(&run));
}

/// An endpoint that does to the built-in server's answers as `spoil` says, without TLS; its URL.
fn spoiled(home: &Home, spoil: impl Fn(&Request, Reply) -> Reply + Send + Sync + 'static) -> String {
    let service = home.service();
    let port = speak(move |request| {
        let reply = honest(&service, request);
        spoil(request, reply)
    });
    format!("http://localhost:{port}/MirroringClientService.svc")
}

fn run_against(home: &Home, url: &str, what: &str, mirror: bool) -> (Ended, Json) {
    let dir = home.keys();
    let mirrors = format!("sqlite:{}", home.mirrors().display());
    let mut flags = vec!["--endpoint", url, "--keys", ".", "--application-id", APPLICATION];
    if mirror {
        flags.extend(["--mirror", &mirrors]);
    }
    run_scenarios(&dir, what, &flags)
}

#[test]
fn an_endpoint_has_words_of_its_own() {
    let home = Home::new();
    let url = spoiled(&home, |_, mut reply| {
        let text = String::from_utf8(reply.body).unwrap();
        let from = text.find("<ErrorMessage>").map(|at| at + "<ErrorMessage>".len());
        let to = text.find("</ErrorMessage>");
        reply.body = match (from, to) {
            (Some(from), Some(to)) => format!("{}nei{}", &text[..from], &text[to..]),
            _ => text,
        }
        .into_bytes();
        reply
    });
    let (ended, run) = run_against(&home, &url, "trust", true);
    let ended = ended.expect(0);
    let scenarios = run["scenarios"].as_array().unwrap();
    let expired = scenarios.iter().find(|s| s["id"] == "expired-token").unwrap();
    let words: Vec<&str> = expired["not_checked"]
        .as_array()
        .unwrap()
        .iter()
        .filter(|n| n["kind"] == "error-text")
        .filter_map(|n| n["why"].as_str())
        .collect();
    insta::assert_snapshot!(words.join("\n"));
    assert!(
        ended
            .out
            .contains("an error's text was not compared: the endpoint has words of its own"),
        "{}",
        ended.out
    );
}

#[test]
fn what_is_wrong_with_an_endpoint_is_found_with_its_mirror_and_without() {
    // It loses a row of every call.
    let home = Home::new();
    let service = home.service();
    let port = speak(move |request| {
        let text = request.text();
        let (from, to) = (text.find("<a:RowData>"), text.find("</a:RowData>"));
        let mut lossy = Request {
            method: request.method.clone(),
            target: request.target.clone(),
            head: request.head.clone(),
            body: request.body.clone(),
            ..*request
        };
        if let (true, Some(from), Some(to)) = (request.is("RowData"), from, to) {
            let rest = &text[to + "</a:RowData>".len()..];
            lossy.body = format!("{}{rest}", &text[..from]).into_bytes();
        }
        honest(&service, &lossy)
    });
    let url = format!("http://localhost:{port}/MirroringClientService.svc");
    let (ended, run) = run_against(&home, &url, "changes", true);
    let ended = ended.expect(1);
    let found = failed(&run);
    assert!(
        found.contains(&("inserts-updates-deletes".into(), "mirror-differs".into())),
        "{found:?}"
    );
    // The command that repeats it does so at the same endpoint.
    assert!(
        ended.out.contains(&format!(" --endpoint {url} --keys .")),
        "{}",
        ended.out
    );

    // It answers an LSN that it was not given: nobody has to see its rows for that.
    let home = Home::new();
    let url = spoiled(&home, |request, mut reply| {
        if request.is("TableSchema") {
            let text = String::from_utf8(reply.body).unwrap();
            reply.body = text
                .replace("</a:LSN>", "0</a:LSN>")
                .replace("-10<", "-1<")
                .into_bytes();
        }
        reply
    });
    let (ended, run) = run_against(&home, &url, "population", false);
    ended.expect(1);
    let found = failed(&run);
    assert!(found.iter().any(|(_, check)| check == "mirror-lsn"), "{found:?}");
}

#[test]
fn a_run_that_could_run_nothing_has_not_held() {
    let home = Home::new();
    let url = spoiled(&home, |_, reply| reply);
    let (ended, run) = run_against(&home, &url, "schema/drop-guard.yaml", true);
    let ended = ended.expect(4);
    assert!(ended.out.contains("1 scenario: 0 ok, 1 skipped"), "{}", ended.out);
    assert!(
        ended.err.contains("none of the scenarios could be run"),
        "{}",
        ended.err
    );
    assert_eq!(run["scenarios"][0]["verdict"], "skipped");
}

#[test]
fn what_is_no_endpoint_ends_the_run_at_once_with_what_to_do() {
    let home = Home::new();
    let dir = home.keys();
    let said = |url: &str, application: &str, more: &[&str]| {
        let mut flags = vec!["--endpoint", url, "--keys", ".", "--application-id", application];
        flags.extend(more);
        let (ended, run) = run_scenarios(&dir, "changes", &flags);
        assert_eq!(run, Json::Null, "nothing was run");
        let ended = ended.expect(4);
        assert_eq!(ended.out, "", "no scenario was begun");
        // Ports are drawn.
        let host = url.split('/').nth(2).unwrap();
        let port = host.rsplit(':').next().unwrap_or(host);
        ended.err.replace(host, "HOST").replace(port, "PORT")
    };
    let answers = |status: u16, kind: &'static str, body: &'static str| {
        let port = speak(move |_| Reply::new(status, kind, body));
        format!("http://localhost:{port}/MirroringClientService.svc")
    };
    let page = "<html><body>Welcome</body></html>";
    // Bound and closed again: nobody listens there.
    let port = std::net::TcpListener::bind("127.0.0.1:0")
        .unwrap()
        .local_addr()
        .unwrap()
        .port();
    let nobody = format!("http://localhost:{port}/MirroringClientService.svc");
    let secure = home.serve();
    // It takes a connection, and says nothing.
    let silent = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let hangs = format!(
        "http://localhost:{}/MirroringClientService.svc",
        silent.local_addr().unwrap().port()
    );
    let texts = [
        said(&hangs, APPLICATION, &["--timeout", "1s"]),
        said(&answers(200, "text/html", page), APPLICATION, &[]),
        said(&answers(302, "text/html", page), APPLICATION, &[]),
        said(&answers(404, "text/html", page), APPLICATION, &[]),
        said(&answers(503, "text/plain", "away"), APPLICATION, &[]),
        said(&nobody, APPLICATION, &[]),
        // Nobody that this machine trusts has signed its certificate.
        said(&secure, APPLICATION, &[]),
        said(&secure, "another", &["--ca", "tls-ca.pem"]),
        said(
            "http://no-such-host.invalid/MirroringClientService.svc",
            APPLICATION,
            &[],
        ),
    ];
    insta::assert_snapshot!(texts.join("\n"));
}
