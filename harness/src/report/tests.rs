use std::time::Duration;

use super::*;

fn scenario(id: &str, title: &str, verdict: Verdict) -> ScenarioResult {
    ScenarioResult {
        id: id.into(),
        title: title.into(),
        file: format!("scenarios/{id}.yaml"),
        steps: 7,
        rows_compared: 1_300,
        elapsed: Duration::from_millis(423),
        verdict,
        not_checked: Vec::new(),
    }
}

fn failure() -> Failure {
    Failure {
        check: "mirror.wiped".into(),
        rule: "7. The mirroring task: a restored original is seen".into(),
        file: Some("scenarios/restore/ahead.yaml".into()),
        line: Some(12),
        step: Some("mirror: {expect: {wiped: all}}".into()),
        expected: "wiped: contact, person".into(),
        received: "wiped: contact\nperson kept 800 rows".into(),
        message: Some("<a>\u{1b}[31mred\u{202e}</a>".into()),
        seed: Some(42),
        repeat_command: "mirrorlab run scenarios/restore/ahead.yaml --seed 42".into(),
    }
}

fn run() -> RunResult {
    let reason = |text: &str| text.to_owned();
    RunResult {
        seed: 42,
        sources: "SQL databases on db.example.com: changes tracked by triggers".into(),
        mirrors: Some("sqlite:Mirror_{context}.db".into()),
        elapsed: Duration::from_secs(125),
        scenarios: vec![
            scenario("population", "A first population", Verdict::Held),
            scenario(
                "restore-ahead",
                "A restored original is seen, and everything comes again",
                Verdict::Failed {
                    failures: vec![failure()],
                },
            ),
            scenario(
                "on-sql-server",
                "On the real thing",
                Verdict::Skipped {
                    reasons: vec![
                        reason("line 3, step `mirror_sql`: it is written for SQL Server"),
                        reason("line 9, step `crash`: the endpoint's process is not ours"),
                    ],
                },
            ),
            scenario(
                "full",
                "A full disk",
                Verdict::Broken {
                    reason: reason("cannot write /tmp/x: the disk is full"),
                },
            ),
        ],
    }
}

fn shown(run: &RunResult, colour: bool) -> String {
    let names = run.scenarios.iter().map(|s| (s.id.as_str(), s.title.as_str()));
    let mut terminal = Terminal::new(
        Vec::new(),
        Style {
            colour,
            progress: false,
        },
        names,
    );
    for scenario in &run.scenarios {
        terminal.begins(&scenario.id);
        terminal.ended(scenario).unwrap();
    }
    String::from_utf8(terminal.run_ended(run).unwrap()).unwrap()
}

#[test]
fn a_run_for_people() {
    let text = shown(&run(), false);
    assert!(!text.contains('\u{1b}') && !text.contains('\u{202e}'));
    insta::assert_snapshot!(text);
}

#[test]
fn what_nobody_could_look_at_is_counted() {
    let mut run = run();
    run.scenarios.truncate(1);
    for (kind, why) in [
        (NotCheckedKind::ErrorText, "line 7"),
        (NotCheckedKind::ErrorText, "line 9"),
        (NotCheckedKind::Rows, "no --mirror was given"),
    ] {
        run.scenarios[0].not_checked.push(NotChecked {
            kind,
            why: why.into(),
        });
    }
    insta::assert_snapshot!(shown(&run, false));
    assert_eq!(run.verdict(), RunVerdict::Held);
    let json = serde_json::to_value(&run).unwrap();
    assert_eq!(json["scenarios"][0]["not_checked"][0]["kind"], "error-text");
}

#[test]
fn quiet_when_all_is_well() {
    let mut run = run();
    run.scenarios.truncate(1);
    insta::assert_snapshot!(shown(&run, false), @"
    ok     population  A first population    7 steps      1,300 rows    0.42 s

    1 scenario: 1 ok; 1,300 rows compared in 2 min 05 s; seed 42
    ");
    assert!(shown(&run, true).starts_with("\u{1b}[32mok    \u{1b}[0m population"));
}

#[test]
fn a_run_for_programs() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("run.json");
    run().write_json(&path).unwrap();
    insta::assert_snapshot!(std::fs::read_to_string(&path).unwrap());
    assert!(run().write_json(&dir.path().join("none/run.json")).is_err());
}

#[test]
fn what_a_run_comes_to() {
    let of = |verdicts: &[usize]| {
        let all = run().scenarios;
        RunResult {
            scenarios: verdicts.iter().map(|at| all[*at].clone()).collect(),
            ..run()
        }
        .verdict()
    };
    assert_eq!(of(&[0, 2]), RunVerdict::Held);
    assert_eq!(of(&[0, 1, 2]), RunVerdict::Failed);
    assert_eq!(of(&[0, 1, 3]), RunVerdict::Broken);
    assert_eq!(of(&[2]), RunVerdict::Broken, "nothing was run");
    assert_eq!(of(&[]), RunVerdict::Broken);
}

#[test]
fn a_long_message_is_shortened_for_people_alone() {
    let long = Failure {
        message: Some("x".repeat(5000)),
        ..failure()
    };
    assert!(long.text().contains("… 3000 more characters"));
    assert!(serde_json::to_string(&long).unwrap().len() > 5000);
}
