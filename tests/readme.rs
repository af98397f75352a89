//! What the README shows is what the repository holds.

use std::fs;
use std::path::Path;

fn root(path: &str) -> String {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("..").join(path);
    fs::read_to_string(&path).unwrap_or_else(|why| panic!("{}: {why}", path.display()))
}

#[test]
fn the_scenario_it_shows_is_the_file() {
    let readme = root("README.md");
    let scenario = root("scenarios/restore/restore-ahead.yaml");
    assert!(
        readme.contains(scenario.trim_end()),
        "README.md quotes another restore-ahead.yaml"
    );
}

#[test]
fn its_two_commands_are_what_the_pipeline_runs() {
    let readme = root("README.md");
    for (script, command) in [
        ("ci/scenarios", "cargo run --release -- run scenarios"),
        ("ci/test", "cargo test"),
    ] {
        assert!(
            readme.contains(command) && root(script).contains(command),
            "{script}: {command}"
        );
    }
    for script in ["ci/setup", "ci/style", "ci/test", "ci/scenarios"] {
        assert!(root(".ci/run").contains(script), ".ci/run calls {script}");
        assert!(
            root(".github/workflows/ci.yml").contains(script),
            "the public pipeline calls {script}"
        );
    }
}

#[test]
fn its_links_lead_somewhere() {
    for page in ["README.md", "docs/ARCHITECTURE.md"] {
        let text = root(page);
        let folder = Path::new(page).parent().unwrap_or(Path::new(""));
        for link in text.split("](").skip(1).filter_map(|rest| rest.split(')').next()) {
            if !link.starts_with("http") {
                root(&folder.join(link).display().to_string());
            }
        }
    }
}
