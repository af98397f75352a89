use mirrorlab_simulator::endpoint::https::HttpsOptions;

use super::*;
use crate::run::host::{ChildServer, ForeignEndpoint};
use crate::run::keys::RunKeys;
use crate::run::world::START;
use crate::scenario::Catalogue;
use crate::scenario::parse::parse;

fn scenario(settings: &str, steps: &str) -> Scenario {
    let text = format!(
        "id: x\ntitle: t\ncites: c\nsettings: {settings}\nsource: {{tables: {{contact: 1}}}}\nsteps:\n{steps}  - mirror\n"
    );
    parse("x.yaml".as_ref(), &text, &Catalogue::superoffice()).unwrap()
}

/// What keeps a scenario from being run: in process, in a child process, on a URL with its mirror, and without.
fn reasons(settings: &str, steps: &str) -> [Vec<String>; 4] {
    let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
    let runtime = runtime.handle().clone();
    let keys = RunKeys::generate(START).unwrap();
    let child = Transport::Child(ChildServer {
        program: "mirrorlab".into(),
        runtime: runtime.clone(),
    });
    let foreign = Transport::Foreign(ForeignEndpoint {
        options: HttpsOptions::new("https://localhost/MirroringClientService.svc"),
        runtime,
    });
    let why = |transport: &Transport| WorldSettings::new(keys.clone(), 1, transport.clone());
    let blind = WorldSettings {
        mirrors: None,
        keys: RunKeys {
            signer: None,
            ..keys.clone()
        },
        ..why(&foreign)
    };
    let scenario = scenario(settings, steps);
    [why(&Transport::InProcess), why(&child), why(&foreign), blind]
        .map(|settings| why_not(&scenario, &settings))
}

#[test]
fn calls_and_answers_are_possible_anywhere() {
    for steps in [
        "  - set: {repopulate: only_ahead, server: {drop_guard: false}}\n  - compare\n",
        "  - fault: {answer: lost}\n  - fault: {connection: refused}\n  - token: expired\n",
        "  - backup: a\n  - restore: a\n  - advance: 8d\n",
    ] {
        assert_eq!(
            reasons("{batch_size: 5000}", steps),
            [const { Vec::<String>::new() }; 4],
            "{steps}"
        );
    }
}

#[test]
fn what_is_not_possible_has_a_reason_each() {
    let all = reasons(
        "{server: {drop_guard: true, clock_skew: 5m}}",
        "  - mirror\n  - crash\n  - fault: {server: disk_full}\n  - fault: {answer: bad_time}\n  - invalidate\n  \
         - fault: {server: stops}\n  - mirror_sql: SELECT 1\n",
    );
    assert_eq!(all[0], [""; 0]);
    insta::assert_snapshot!(
        all[1..]
            .iter()
            .map(|r| r.join("\n"))
            .collect::<Vec<_>>()
            .join("\n\n")
    );
}
