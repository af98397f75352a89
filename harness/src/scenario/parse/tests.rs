//! Every mistake that a file can hold, shown as a person sees it; and every scenario of the repository, which has none.

use std::path::{Path, PathBuf};
use std::time::Duration;

use super::*;
use crate::scenario::discover::{DiscoverError, discover};
use crate::scenario::expect::{CallCounts, Count, Keys, Outcome, Wiped};
use crate::scenario::model::{ColumnChange, FaultKind, TokenDefect};

fn repository() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("..")
}

fn read(text: &str) -> Result<Scenario, Mistakes> {
    parse(Path::new("x.yaml"), text, &Catalogue::superoffice())
}

/// A file with these steps.
fn steps_of(steps: &str) -> Vec<Step> {
    let text = format!(
        "id: x\ntitle: t\ncites: c\nsource: {{tables: {{contact: 20, person: 10}}}}\nsteps:\n{steps}"
    );
    read(&text)
        .unwrap_or_else(|m| panic!("{}", m.render(100, false)))
        .steps
}

#[test]
fn every_mistake_is_shown_at_its_place() {
    let folder = repository().join("fixtures/bad-scenarios");
    let mut files: Vec<_> = std::fs::read_dir(&folder)
        .unwrap()
        .map(|e| e.unwrap().path())
        .collect();
    files.sort();
    assert!(files.len() >= 20, "{} files", files.len());
    for file in files {
        let name = file.file_stem().unwrap().to_str().unwrap().to_owned();
        let text = std::fs::read_to_string(&file).unwrap();
        let shown = Path::new("bad-scenarios").join(file.file_name().unwrap());
        match parse(&file, &text, &Catalogue::superoffice()) {
            Ok(_) => panic!("{name} was taken for a good scenario"),
            Err(mistakes) => insta::with_settings!({
                snapshot_path => "snapshots",
                prepend_module_to_snapshot => false,
                omit_expression => true,
            }, {
                insta::assert_snapshot!(name, Mistakes { file: shown.clone(), ..mistakes }.render(100, false));
            }),
        }
    }
}

#[test]
fn the_repositorys_scenarios_are_read_without_a_mistake() {
    match discover(&[repository().join("scenarios")], &[], &Catalogue::superoffice()) {
        Ok(scenarios) => {
            assert!(scenarios.len() >= 40, "{} scenarios", scenarios.len());
            for s in &scenarios {
                assert_eq!(
                    s.file.file_stem().unwrap().to_str().unwrap(),
                    s.id.value,
                    "a file is named like its id"
                );
                assert!(s.title.len() <= 120, "{}: a title is a sentence", s.id);
            }
        }
        Err(error @ DiscoverError::Mistakes(_)) => panic!("{}", error.render(100, false)),
        Err(error) => panic!("{error}"),
    }
}

#[test]
fn the_pages_examples_are_read_without_a_mistake_and_show_every_step() {
    let page = std::fs::read_to_string(repository().join("docs/scenarios.md")).unwrap();
    let mut words = std::collections::BTreeSet::new();
    for block in page
        .split("```yaml\n")
        .skip(1)
        .map(|rest| rest.split("```").next().unwrap())
    {
        let text = match block.starts_with("id:") {
            true => block.to_owned(),
            false => {
                let head = "id: x\ntitle: t\ncites: c\nsource: {tables: {contact: 20, person: 10}}\nsteps:\n- mirror\n";
                format!("{head}{block}")
            }
        };
        // Other files are named as from a folder of scenarios.
        let place = repository().join("scenarios/schema/example.yaml");
        match parse(&place, &text, &Catalogue::superoffice()) {
            Ok(scenario) => words.extend(scenario.steps.iter().map(|s| s.kind.word())),
            Err(mistakes) => panic!("{}", mistakes.render(100, false)),
        }
    }
    assert_eq!(words, grammar::STEP.keys.iter().copied().collect());
}

#[test]
fn a_scenario_means_what_it_says() {
    let scenario = read(
        "id: restore-ahead\n\
         title: A restored original is seen, and everything comes again\n\
         cites: seed, backup and restore\n\
         source: {tables: {contact: 500, person: 800}}\n\
         steps:\n\
         \x20 - mirror\n\
         \x20 - backup: monday\n\
         \x20 - change: {contact: {update: 20, delete: 5}}\n\
         \x20 - mirror: {expect: {contact: {updates: 20, deletes: 5}}}\n\
         \x20 - restore: monday\n\
         \x20 - mirror: {expect: {wiped: all}}\n\
         \x20 - compare\n",
    )
    .unwrap();
    assert_eq!(scenario.tenants[0].context.value, ONLY_TENANT);
    assert_eq!(scenario.tenants[0].tables[1].drawn, 800);
    let words: Vec<_> = scenario.steps.iter().map(|s| s.kind.word()).collect();
    assert_eq!(
        words,
        [
            "mirror", "backup", "change", "mirror", "restore", "mirror", "compare"
        ]
    );
    let StepKind::Mirror(expect) = &scenario.steps[3].kind else {
        panic!()
    };
    let expect = expect.of(ONLY_TENANT).unwrap();
    assert_eq!((expect.outcome, expect.wiped.is_none()), (Outcome::Ok, true));
    assert_eq!(
        (
            expect.tables[0].inserts,
            expect.tables[0].updates,
            expect.tables[0].deletes
        ),
        (0, 20, 5)
    );
    let StepKind::Mirror(expect) = &scenario.steps[5].kind else {
        panic!()
    };
    assert_eq!(
        expect.of(ONLY_TENANT).unwrap().wiped.as_ref().unwrap().value,
        Wiped::All
    );
    assert_eq!(scenario.place(scenario.steps[2].at), "x.yaml:8:5");
    assert_eq!(
        scenario.line(scenario.steps[2].at),
        "- change: {contact: {update: 20, delete: 5}}"
    );
    assert!(scenario.ends_with_compare());
}

#[test]
fn faults_and_tokens_say_which_calls_they_hit() {
    let steps = steps_of(
        "  - fault: {server: stops, operation: RowData, after: 3}\n\
         \x20 - fault: {http: 503, calls: all, table: contact}\n\
         \x20 - token: expired\n\
         \x20 - mirror: {expect: {error: 'five * hundred', calls: {RowData: at least 2, Wipe: 0}}}\n",
    );
    let StepKind::Fault(fault) = &steps[0].kind else {
        panic!()
    };
    assert_eq!(
        (&fault.kind, fault.hit.after, fault.hit.calls),
        (&FaultKind::StopServer, 3, Some(1))
    );
    let StepKind::Fault(fault) = &steps[1].kind else {
        panic!()
    };
    assert_eq!((&fault.kind, fault.hit.calls), (&FaultKind::Http(503), None));
    let StepKind::Token(token) = &steps[2].kind else {
        panic!()
    };
    assert_eq!((&token.defect, token.hit.calls), (&TokenDefect::Expired, Some(1)));
    let StepKind::Mirror(expect) = &steps[3].kind else {
        panic!()
    };
    let expect = expect.of(ONLY_TENANT).unwrap();
    assert_eq!(expect.outcome, Outcome::Error);
    assert!(expect.error.as_ref().unwrap().matches("Five or six HUNDRED"));
    assert!(!expect.error.as_ref().unwrap().matches("hundred five"));
    let Some(CallCounts::Each(each)) = &expect.calls else {
        panic!()
    };
    assert_eq!(
        each.iter().map(|(_, c)| *c).collect::<Vec<_>>(),
        [Count::Exactly(0), Count::AtLeast(2)]
    );
}

#[test]
fn an_alter_carries_the_table_as_it_is_afterwards() {
    let steps = steps_of(
        "  - alter: {contact: {drop: soundex, widen: {dbi_key: nvarchar(max) null}, add: {x_a: int not null default ((3))}}}\n\
         \x20 - alter: {contact: {drop: [x_a]}}\n\
         \x20 - mirror\n",
    );
    let StepKind::Alter(alters) = &steps[0].kind else {
        panic!()
    };
    let after = &alters[0].after;
    assert!(after.position("soundex").is_none() && after.position("x_a") == Some(after.columns.len() - 1));
    assert!(matches!(alters[0].changes[1], ColumnChange::Widen(_)));
    let StepKind::Alter(alters) = &steps[1].kind else {
        panic!()
    };
    assert!(alters[0].after.position("x_a").is_none());
}

#[test]
fn a_tenants_own_expectation_stands_in_place_of_the_common_one() {
    let scenario = read(
        "id: x\ntitle: t\ncites: c\n\
         tenants: {Cust10001: {tables: {contact: 1}}, Cust10002: {approved: false, tables: {contact: 1}}}\n\
         steps:\n\
         \x20 - mirror: {expect: {wiped: all, Cust10002: {outcome: none}}}\n\
         \x20 - compare: {expect: {Cust10002: {contact: {only_in: source, missing: at least 1, extra: [a, 7]}}}}\n\
         \x20 - run_due: {for: 1h30m, tenant: Cust10001, expect: {cycles: 4, first: '08:00'}}\n",
    )
    .unwrap();
    assert!(scenario.tenants[0].approved && !scenario.tenants[1].approved);
    let StepKind::Mirror(expect) = &scenario.steps[0].kind else {
        panic!()
    };
    assert_eq!(expect.of("Cust10001").unwrap().outcome, Outcome::Ok);
    assert_eq!(expect.of("Cust10002").unwrap().outcome, Outcome::None);
    assert!(expect.of("Cust10002").unwrap().wiped.is_none());
    let StepKind::Compare(expect) = &scenario.steps[1].kind else {
        panic!()
    };
    assert!(expect.of("Cust10001").is_none());
    let contact = expect.of("Cust10002").unwrap().table("CONTACT").unwrap();
    assert_eq!(contact.missing, Some(Keys::Count(Count::AtLeast(1))));
    assert_eq!(contact.extra, Some(Keys::These(vec!["a".into(), "7".into()])));
    let StepKind::RunDue { length, expect } = &scenario.steps[2].kind else {
        panic!()
    };
    assert_eq!(*length, Duration::from_secs(5400));
    assert_eq!(expect.of("Cust10001").unwrap().first.as_ref().unwrap().value, 480);
    assert_eq!(scenario.tenants_of(&scenario.steps[2]).count(), 1);
}

#[test]
fn tables_are_known_as_the_steps_make_and_lose_them() {
    steps_of(
        "  - backup: full\n\
         \x20 - drop: person\n\
         \x20 - table: {person: 3}\n\
         \x20 - restore: full\n\
         \x20 - change: {PERSON: {delete: 10}}\n\
         \x20 - mirror: {expect: {person: {}}}\n",
    );
}

proptest::proptest! {
    /// A mistake is always at a place in the file, and can always be drawn.
    #[test]
    fn a_spoiled_file_is_read_or_shown(at in 0usize..2000, with in "[a-z:{}\\[\\],'\" \n-]{0,3}", cut in 0usize..6) {
        let good = include_str!("../../../../scenarios/tenants/three-at-once-one-failing.yaml");
        let at = good.floor_char_boundary(at % good.len());
        let end = good.floor_char_boundary((at + cut).min(good.len())).max(at);
        let text = format!("{}{with}{}", &good[..at], &good[end..]);
        if let Err(mistakes) = read(&text) {
            for m in &mistakes.mistakes {
                proptest::prop_assert!(m.at.offset + m.at.length <= text.len(), "{m:?}");
            }
            proptest::prop_assert!(mistakes.render(100, false).contains("x.yaml"));
        }
    }
}
