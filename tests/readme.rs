//! What the README shows is what the repository holds.

use std::fs;
use std::path::Path;
use std::process::{Command, Stdio};

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

/// The commands of the code blocks: lines that begin with `mirrorlab`, and what a `\` joins to them.
fn commands(text: &str) -> Vec<Vec<String>> {
    let blocks = text.split("```").skip(1).step_by(2);
    let joined: String = blocks.collect::<String>().replace("\\\n", " ");
    joined
        .lines()
        .filter_map(|line| line.strip_prefix("mirrorlab "))
        .map(|line| line.split_whitespace().map(str::to_owned).collect())
        .collect()
}

#[test]
fn its_commands_are_ones_that_the_program_takes() {
    let dir = tempfile::tempdir().unwrap();
    let commands = commands(&root("README.md"));
    assert!(commands.len() >= 2, "{commands:?}");
    for command in commands {
        let output = Command::new(env!("CARGO_BIN_EXE_mirrorlab"))
            .args(&command)
            .current_dir(dir.path())
            .stdin(Stdio::null())
            .output()
            .unwrap();
        // No endpoint listens there; but what is missing is nothing of the command line.
        let told = String::from_utf8_lossy(&output.stderr).into_owned();
        assert!(
            !told.contains("Usage:"),
            "mirrorlab {}:\n{told}",
            command.join(" ")
        );
    }
}
