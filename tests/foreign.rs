//! Proof on endpoints that are not ours: one on node-soap, one on Python's http.server with lxml, each with its mirror
//! in SQLite (tests/foreign/). The conformance report passes what such a stack can pass, and finds the mistakes that
//! such a stack invites.
//!
//! What the stacks need is installed once, under the target directory. Where Node, Python or a package is not to be
//! had, the run shows the tests as ignored and prints the reason.
#![allow(clippy::unwrap_used, reason = "a helper of a test is a part of it")]

mod support;

use std::collections::BTreeSet;
use std::hash::{DefaultHasher, Hash as _, Hasher as _};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use libtest_mimic::{Arguments, Failed, Trial};
use serde_json::Value as Json;
use support::Started;

const APPLICATION: &str = "foreign-app";
/// The oldest Node that node-soap runs on.
const NODE: (u32, u32) = (20, 19);

/// A test of one stack: its name, and what it does with it.
type Test = (&'static str, Stack, fn(&Ready) -> Result<(), Failed>);

const TESTS: &[Test] = &[
    ("python_keeps_every_rule", Stack::Python, python_keeps_every_rule),
    (
        "python_keeps_every_rule_that_needs_no_mirror",
        Stack::Python,
        python_without_a_mirror,
    ),
    (
        "python_holds_in_every_scenario",
        Stack::Python,
        every_possible_scenario_holds,
    ),
    (
        "node_holds_in_every_scenario",
        Stack::Node,
        every_possible_scenario_holds,
    ),
    (
        "planted_mistakes_show_in_scenarios",
        Stack::Node,
        planted_mistakes_show_in_scenarios,
    ),
    (
        "node_fails_only_what_node_soap_cannot_do",
        Stack::Node,
        node_fails_only_what_it_must,
    ),
    (
        "each_planted_mistake_is_found_by_itself",
        Stack::Node,
        each_planted_mistake_is_found,
    ),
    (
        "planted_mistakes_fail_nothing_else",
        Stack::Node,
        planted_mistakes_fail_nothing_else,
    ),
    (
        "some_mistakes_show_without_a_mirror",
        Stack::Node,
        some_mistakes_show_without_a_mirror,
    ),
];

/// What tests/foreign/node/mistakes.js can plant, and every check that finds it. A drawn source has texts with all that
/// a CRM's texts have, so whole cycles find most of them too.
const MISTAKES: &[(&str, &[&str])] = &[
    (
        "null-and-empty",
        &[
            "envelope.nil-one",
            "envelope.nil-pair",
            "schema.type-nchar",
            "schema.type-ntext",
            "schema.type-nvarchar",
            "schema.type-nvarchar-max",
            "schema.type-varchar",
            "values.combined-text",
            "values.no-null",
            "values.no-text-too-long",
            "values.no-text-too-long-by-half",
            "values.null-is-not-empty",
            "rows.update-to-null",
            "cycle.first",
            "cycle.quiet",
            "cycle.changes",
            "cycle.many-cycles",
            "cycle.restored-source",
            "cycle.retention",
            "cycle.truncated",
            "cycle.new-column",
            "cycle.small-batches",
            "cycle.shared-calls",
        ],
    ),
    (
        "control-characters",
        &[
            "values.text-control",
            "values.text-no-character",
            "values.text-lone-control",
            "values.text-nul",
            "cycle.first",
            "cycle.quiet",
            "cycle.changes",
            "cycle.many-cycles",
            "cycle.restored-source",
            "cycle.retention",
            "cycle.new-column",
            "cycle.small-batches",
            "cycle.shared-calls",
        ],
    ),
    (
        "carriage-return",
        &[
            "values.text-cr",
            "values.text-lone-control",
            "values.raw-line-end",
            "cycle.first",
            "cycle.quiet",
            "cycle.changes",
            "cycle.many-cycles",
            "cycle.restored-source",
            "cycle.retention",
            "cycle.truncated",
            "cycle.new-column",
            "cycle.small-batches",
            "cycle.shared-calls",
        ],
    ),
    (
        "member-order",
        &[
            "answers.order-authenticate",
            "answers.order-table-schema",
            "answers.order-refusal",
        ],
    ),
    (
        "big-integers",
        &[
            "values.bigint",
            "values.bigint-as-int",
            "values.combined-bigint",
            "rows.key-bigint",
            "lsn.beyond-doubles",
            "lsn.largest",
        ],
    ),
];

fn main() {
    let arguments = Arguments::from_args();
    let wanted = |name: &str| {
        !arguments.list
            && match (&arguments.filter, arguments.exact) {
                (None, _) => true,
                (Some(filter), true) => name == filter,
                (Some(filter), false) => name.contains(filter.as_str()),
            }
    };
    let prepare = |stack: Stack| {
        let is_wanted = TESTS.iter().any(|(name, of, _)| *of == stack && wanted(name));
        is_wanted.then(|| Ready::prepare(stack))
    };
    let (node, python) = (prepare(Stack::Node), prepare(Stack::Python));
    let trials = TESTS
        .iter()
        .map(|(name, stack, test)| {
            let ready = match stack {
                Stack::Node => &node,
                Stack::Python => &python,
            };
            match ready.clone() {
                Some(Ok(ready)) => Trial::test(*name, move || test(&ready)),
                Some(Err(reason)) => {
                    eprintln!("{name} is ignored: {reason}");
                    Trial::test(*name, || Ok(()))
                        .with_kind(reason)
                        .with_ignored_flag(true)
                }
                None => Trial::test(*name, || Err("not prepared: it was not asked for".into())),
            }
        })
        .collect();
    libtest_mimic::run(&arguments, trials).exit();
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Stack {
    Node,
    Python,
}

impl Stack {
    fn folder(self) -> PathBuf {
        let name = match self {
            Stack::Node => "node",
            Stack::Python => "python",
        };
        Path::new(env!("CARGO_MANIFEST_DIR"))
            .join("../tests/foreign")
            .join(name)
    }
}

/// A stack whose packages are there.
#[derive(Debug, Clone)]
struct Ready {
    stack: Stack,
    /// What runs the endpoint.
    program: PathBuf,
    /// Where the endpoint is: a copy, beside which its packages may lie.
    home: PathBuf,
}

impl Ready {
    /// Installs what the stack needs, unless it is there; the error is the reason why it cannot be had.
    fn prepare(stack: Stack) -> Result<Ready, String> {
        let (list, what) = match stack {
            Stack::Node => ("package-lock.json", node_version()?),
            Stack::Python => (
                "requirements.txt",
                said("python3", Command::new("python3").arg("--version"))?,
            ),
        };
        let mut hasher = DefaultHasher::new();
        let list = std::fs::read(stack.folder().join(list)).map_err(|e| e.to_string())?;
        (list, what).hash(&mut hasher);
        let home = Path::new(env!("CARGO_TARGET_TMPDIR")).join(format!(
            "foreign-{:?}-{:016x}",
            stack,
            hasher.finish()
        ));
        let ready = Ready {
            stack,
            program: match stack {
                Stack::Node => "node".into(),
                Stack::Python => home.join("venv/bin/python3"),
            },
            home,
        };
        ready.lay_out().map_err(|e| e.to_string())?;
        // Written when all is done: what a killed run left behind is made again.
        let mark = ready.home.join("installed");
        if !mark.exists() {
            ready.install()?;
            std::fs::write(&mark, "").map_err(|e| e.to_string())?;
        }
        Ok(ready)
    }

    /// The endpoint's own files, as they are now.
    fn lay_out(&self) -> std::io::Result<()> {
        std::fs::create_dir_all(&self.home)?;
        for entry in std::fs::read_dir(self.stack.folder())? {
            let entry = entry?;
            if entry.file_type()?.is_file() {
                std::fs::copy(entry.path(), self.home.join(entry.file_name()))?;
            }
        }
        Ok(())
    }

    fn install(&self) -> Result<(), String> {
        match self.stack {
            Stack::Node => said(
                "npm ci",
                Command::new("npm").current_dir(&self.home).args([
                    "ci",
                    "--ignore-scripts",
                    "--no-audit",
                    "--no-fund",
                    "--fetch-retries=1",
                ]),
            ),
            Stack::Python => {
                let venv = self.home.join("venv");
                said(
                    "python3 -m venv",
                    Command::new("python3").args(["-m", "venv", "--clear"]).arg(&venv),
                )?;
                said(
                    "pip install",
                    Command::new(&self.program)
                        .args(["-m", "pip", "install", "--quiet", "--disable-pip-version-check"])
                        .args(["--retries", "1", "--timeout", "20", "--requirement"])
                        .arg(self.home.join("requirements.txt")),
                )
            }
        }
        .map(drop)
    }

    /// The endpoint, with keys and an empty folder of mirrors of its own.
    fn start(&self, more: &[&str]) -> Result<Foreign, Failed> {
        let dir = tempfile::tempdir()?;
        let at = |name: &str| dir.path().join(name);
        support::run(dir.path(), &["keys", "new", "keys"]).expect(0);
        std::fs::create_dir(at("mirrors"))?;
        // The contract is the one thing that is ours; the vendor hands out its own.
        let contract = mirrorlab_server::wsdl::document("http://localhost/MirroringClientService.svc");
        std::fs::write(at("contract.wsdl"), contract)?;
        let script = match self.stack {
            Stack::Node => "endpoint.js",
            Stack::Python => "endpoint.py",
        };
        let mut command = Command::new(&self.program);
        command
            .arg(self.home.join(script))
            .args(["--keys", "keys", "--mirrors", "mirrors"])
            .args(["--application-id", APPLICATION, "--wsdl", "contract.wsdl"])
            .args(more)
            .env("PYTHONDONTWRITEBYTECODE", "1")
            .current_dir(dir.path())
            .stdin(Stdio::null());
        let mut process = Started::new(command);
        let url = process.wait_for("http://").trim().to_owned();
        Ok(Foreign {
            dir,
            url,
            _process: process,
        })
    }
}

/// A foreign endpoint that listens; dropped, it ends.
struct Foreign {
    dir: tempfile::TempDir,
    url: String,
    _process: Started,
}

/// What a report says.
struct Report {
    code: Option<i32>,
    /// What was printed.
    out: String,
    /// Checks by their verdict.
    json: Json,
}

impl Report {
    fn of(&self, verdict: &str) -> BTreeSet<String> {
        let results = self.json["results"].as_array().unwrap();
        let found = results.iter().filter(|r| r["verdict"] == verdict);
        found.map(|r| r["id"].as_str().unwrap().to_owned()).collect()
    }
}

impl Foreign {
    /// Runs `mirrorlab conformance` against it, with its mirrors.
    fn check(&self, more: &[&str]) -> Result<Report, Failed> {
        self.check_blind(&[&["--mirror", "sqlite:mirrors"], more].concat())
    }

    /// The same without a look at its mirrors.
    fn check_blind(&self, more: &[&str]) -> Result<Report, Failed> {
        let mut arguments = vec!["conformance", "--endpoint", &self.url, "--keys", "keys"];
        arguments.extend(["--application-id", APPLICATION, "--json", "report.json"]);
        arguments.extend(more);
        let ended = support::run(self.dir.path(), &arguments);
        let json = std::fs::read(self.dir.path().join("report.json"))?;
        Ok(Report {
            json: serde_json::from_slice(&json)
                .map_err(|error| format!("{error}\n{}{}", ended.out, ended.err))?,
            code: ended.code,
            out: ended.out + &ended.err,
        })
    }
}

fn node_version() -> Result<String, String> {
    let version = said("node --version", Command::new("node").arg("--version"))?;
    let mut numbers = version.trim().trim_start_matches('v').split('.');
    let mut number = || numbers.next().and_then(|n| n.parse().ok()).unwrap_or(0);
    match (number(), number()) >= NODE {
        true => Ok(version),
        false => Err(format!(
            "node-soap needs Node {}.{}, and this is {version}",
            NODE.0, NODE.1
        )),
    }
}

fn said(what: &str, command: &mut Command) -> Result<String, String> {
    let output = command
        .stdin(Stdio::null())
        .output()
        .map_err(|e| format!("{what}: {e}"))?;
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).trim().to_owned();
    if output.status.success() {
        return Ok(text(&output.stdout));
    }
    let error = text(&output.stderr);
    let last = error.lines().rev().find(|line| !line.trim().is_empty());
    Err(format!("{what}: {}", last.unwrap_or("it failed without a word")))
}

fn expect<T: PartialEq + std::fmt::Debug>(
    what: &str,
    got: &T,
    wanted: &T,
    report: &Report,
) -> Result<(), Failed> {
    match got == wanted {
        true => Ok(()),
        false => Err(format!("{what}: expected {wanted:?}, got {got:?}\n{}", report.out).into()),
    }
}

fn ids<'a>(ids: impl IntoIterator<Item = &'a str>) -> BTreeSet<String> {
    ids.into_iter().map(str::to_owned).collect()
}

fn catalogue(needs_mirror: bool) -> usize {
    use mirrorlab::conformance::{Needs, catalogue};
    let is_in = |needs: Needs| needs_mirror || needs == Needs::BlackBox;
    catalogue().iter().filter(|check| is_in(check.needs)).count()
}

/// These fail and all others pass; the exit code says that nothing was unexpected.
fn fails_only(report: &Report, known: &BTreeSet<String>, with_mirror: bool) -> Result<(), Failed> {
    expect("failures", &report.of("failed"), known, report)?;
    let others = catalogue(with_mirror) - known.len();
    expect("passes", &report.of("passed").len(), &others, report)?;
    expect("exit code", &report.code, &Some(0), report)
}

fn python_keeps_every_rule(ready: &Ready) -> Result<(), Failed> {
    fails_only(&ready.start(&[])?.check(&[])?, &BTreeSet::new(), true)
}

fn python_without_a_mirror(ready: &Ready) -> Result<(), Failed> {
    fails_only(&ready.start(&[])?.check_blind(&[])?, &BTreeSet::new(), false)
}

/// What node-soap itself cannot do, as its folder's list says.
fn known(ready: &Ready) -> (String, BTreeSet<String>) {
    let file = ready.home.join("known-failures.txt");
    let text = std::fs::read_to_string(&file).unwrap();
    let lines = text.lines().filter(|line| !line.starts_with('#'));
    let known = ids(lines.filter_map(|line| line.split_whitespace().next()));
    (file.display().to_string(), known)
}

fn node_fails_only_what_it_must(ready: &Ready) -> Result<(), Failed> {
    let (file, known) = known(ready);
    fails_only(&ready.start(&[])?.check(&["--expected", &file])?, &known, true)
}

/// What of a run's scenarios came to a verdict, by id.
struct Stories {
    ended: support::Ended,
    json: Json,
}

impl Stories {
    fn of(&self, verdict: &str) -> BTreeSet<String> {
        let all = self.json["scenarios"].as_array().unwrap();
        let found = all.iter().filter(|s| s["verdict"] == verdict);
        found.map(|s| s["id"].as_str().unwrap().to_owned()).collect()
    }

    /// Fails with what the run printed unless it is so.
    fn expect(&self, holds: bool, what: &str) -> Result<(), Failed> {
        match holds {
            true => Ok(()),
            false => Err(format!("{what}\n{}{}", self.ended.out, self.ended.err).into()),
        }
    }
}

impl Foreign {
    /// Runs the scenarios below a folder against it, with its mirrors.
    fn play(&self, what: &str) -> Result<Stories, Failed> {
        let scenarios = Path::new(env!("CARGO_MANIFEST_DIR"))
            .join("../scenarios")
            .join(what);
        let arguments = [
            "run",
            scenarios.to_str().unwrap(),
            "--endpoint",
            &self.url,
            "--keys",
            "keys",
            "--application-id",
            APPLICATION,
            "--mirror",
            "sqlite:mirrors",
            "--json",
            "run.json",
        ];
        let ended = support::run(self.dir.path(), &arguments);
        let json = std::fs::read(self.dir.path().join("run.json"))?;
        let json =
            serde_json::from_slice(&json).map_err(|error| format!("{error}\n{}{}", ended.out, ended.err))?;
        Ok(Stories { ended, json })
    }
}

fn every_possible_scenario_holds(ready: &Ready) -> Result<(), Failed> {
    let stories = ready.start(&[])?.play("")?;
    stories.expect(stories.ended.code == Some(0), "exit code 0")?;
    let all = stories.json["scenarios"].as_array().unwrap();
    for scenario in all.iter().filter(|s| s["verdict"] == "skipped") {
        // Only what nobody can have from outside: this run has the mirror and the application's key.
        for reason in scenario["reasons"].as_array().unwrap() {
            let reason = reason.as_str().unwrap();
            stories.expect(reason.contains("not ours"), &format!("skipped: {reason}"))?;
        }
    }
    let rows: u64 = all.iter().filter_map(|s| s["rows_compared"].as_u64()).sum();
    stories.expect(rows > 4_000, &format!("{rows} rows compared"))
}

fn planted_mistakes_show_in_scenarios(ready: &Ready) -> Result<(), Failed> {
    for mistake in ["null-and-empty", "control-characters", "carriage-return"] {
        let stories = ready.start(&["--mistakes", mistake])?.play("population")?;
        let found = stories.of("failed");
        stories.expect(!found.is_empty(), mistake)?;
        stories.expect(stories.ended.code == Some(1), "exit code 1")?;
    }
    Ok(())
}

fn each_planted_mistake_is_found(ready: &Ready) -> Result<(), Failed> {
    for (mistake, found_by) in MISTAKES {
        let only: Vec<&str> = found_by.iter().flat_map(|id| ["--only", id]).collect();
        let report = ready.start(&["--mistakes", mistake])?.check(&only)?;
        expect(mistake, &report.of("failed"), &ids(found_by.to_vec()), &report)?;
        expect("exit code", &report.code, &Some(1), &report)?;
    }
    Ok(())
}

fn planted_mistakes_fail_nothing_else(ready: &Ready) -> Result<(), Failed> {
    let all: Vec<&str> = MISTAKES.iter().map(|(mistake, _)| *mistake).collect();
    let report = ready.start(&["--mistakes", &all.join(",")])?.check(&[])?;
    let (_, mut wanted) = known(ready);
    wanted.extend(ids(MISTAKES.iter().flat_map(|(_, found_by)| found_by.to_vec())));
    expect("failures", &report.of("failed"), &wanted, &report)?;
    let others = catalogue(true) - wanted.len();
    expect("passes", &report.of("passed").len(), &others, &report)
}

/// What shows in answers and LSNs needs no look at the mirror.
fn some_mistakes_show_without_a_mirror(ready: &Ready) -> Result<(), Failed> {
    for (mistake, wanted) in [
        ("null-and-empty", &["values.no-null"][..]),
        (
            "member-order",
            &[
                "answers.order-authenticate",
                "answers.order-table-schema",
                "answers.order-refusal",
            ][..],
        ),
        ("big-integers", &["lsn.beyond-doubles", "lsn.largest"][..]),
    ] {
        let sections = ["--only", "values", "--only", "answers", "--only", "lsn"];
        let report = ready.start(&["--mistakes", mistake])?.check_blind(&sections)?;
        expect(mistake, &report.of("failed"), &ids(wanted.to_vec()), &report)?;
    }
    Ok(())
}
