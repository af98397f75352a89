//! Mirrorlab as a library: what docs/conformance.md and docs/endpoint.md show is what is compiled and run here.
#![allow(clippy::unwrap_used, reason = "a helper of a test is a part of it")]

#[path = "conformance/servers.rs"]
#[allow(dead_code)]
mod servers;

use std::path::Path;

const PAGE: &str = include_str!("../docs/conformance.md");
const ENDPOINT: &str = include_str!("../docs/endpoint.md");
const THIS: &str = include_str!("library.rs");

// begin: scenarios
#[tokio::test]
async fn my_scenarios_hold() {
    let run = mirrorlab::run::folder::run_folder("../scenarios/restore", 1).unwrap();
    mirrorlab::run::folder::all_held(&run).unwrap();
}
// end: scenarios

fn my_endpoint() -> (String, &'static Path) {
    let home: &'static servers::Home = Box::leak(Box::new(servers::Home::new()));
    let keys: &'static Path = Box::leak(home.keys().into_boxed_path());
    (home.serve(), keys)
}

// begin: conformance
#[tokio::test]
async fn my_endpoint_conforms() {
    let (url, keys) = my_endpoint(); // a URL, and a directory that `mirrorlab keys new` made
    let mut options = mirrorlab::conformance::Options::new(&url, "conformance-app", keys).unwrap();
    options.only = vec!["lsn".into(), "trust".into()];
    let report = mirrorlab::conformance::run(&options).unwrap();
    assert!(report.holds(), "{}", report.to_json());
}
// end: conformance

// begin: endpoint
#[tokio::test]
async fn my_endpoint_survives_every_story() {
    let (url, keys) = my_endpoint();
    let target = mirrorlab::run::foreign::Target::new(&url, "conformance-app", keys).unwrap();
    let run = mirrorlab::run::folder::run_folder_at("../scenarios/changes", 1, &target).unwrap();
    mirrorlab::run::folder::all_held(&run).unwrap();
}
// end: endpoint

#[test]
fn the_page_shows_these_very_lines() {
    for name in ["scenarios", "conformance", "endpoint"] {
        let from = THIS.find(&format!("// begin: {name}\n")).unwrap() + format!("// begin: {name}\n").len();
        let to = THIS.find(&format!("// end: {name}\n")).unwrap();
        assert!(
            PAGE.contains(&THIS[from..to]) || ENDPOINT.contains(&THIS[from..to]),
            "neither docs/conformance.md nor docs/endpoint.md has the lines of {name}"
        );
    }
}
