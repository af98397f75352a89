//! A cycle against a mirror in memory.

mod failures;
mod sqlite;

use mirrorlab_protocol::message::{Request, Response};
use mirrorlab_protocol::names::Operation;
use proptest::prelude::*;

use super::report::{Outcome, Work};
use super::{Pipeline, Quiet, Repopulate};
use crate::source::Source as _;
use crate::testing::{Bench, NOW, answer};

#[test]
fn a_population_then_changes_then_quiet() {
    let mut bench = Bench::new(&[("category", 0), ("contact", 5), ("person", 2)]);
    bench.settings.batch_bytes_max = 900;
    let report = bench.run_well();
    insta::assert_snapshot!(bench.endpoint.take_log(), @r#"
Authenticate
TableSchema category contact person
Wipe category
RowData category[]@6
Wipe contact
RowData contact[I]@0
RowData contact[I]@0
RowData contact[I]@0
RowData contact[I]@0
RowData contact[I]@6
Wipe person
RowData person[I]@0
RowData person[I]@6
ReplicationCompleted contact I5 U0 D0 person I2 U0 D0
"#);
    insta::assert_snapshot!(report.summary(), @"Mirroring completed: 2 of 3 tables with changes (inserts 7, updates 0, deletes 0); 3 wiped.");
    assert_eq!(report.wiped(), ["category", "contact", "person"]);
    assert_eq!(report.version, Some(6));
    let contact = report.table("CONTACT").unwrap();
    assert_eq!(
        (contact.inserts, contact.lsn_before, contact.lsn_after),
        (5, Some(-1), Some(6))
    );
    assert!(contact.batches > 1);

    bench
        .source
        .put("contact", [(2, "new".to_owned()), (9, "ninth".to_owned())]);
    bench.source.delete("contact", [3]);
    let report = bench.run_well();
    insta::assert_snapshot!(bench.endpoint.take_log(), @r#"
Authenticate
TableSchema category contact person
RowData contact[U]@0
RowData contact[D]@0
RowData contact[I]@8
ReplicationCompleted contact I1 U1 D1
"#);
    insta::assert_snapshot!(report.summary(), @"Mirroring completed: 1 of 3 tables with changes (inserts 1, updates 1, deletes 1).");
    let person = report.table("person").unwrap();
    assert_eq!(
        (person.work, person.lsn_before, person.lsn_after),
        (Work::None, Some(6), Some(6))
    );
    assert_eq!(report.table("contact").unwrap().lsn_after, Some(8));

    let report = bench.run_well();
    insta::assert_snapshot!(bench.endpoint.take_log(), @r#"
Authenticate
TableSchema category contact person
ReplicationCompleted
"#);
    insta::assert_snapshot!(report.summary(), @"Mirroring completed: no changes in 3 tables.");
}

#[test]
fn one_call_may_carry_several_tables() {
    let mut bench = Bench::new(&[("category", 0), ("contact", 3), ("person", 2)]);
    bench.settings.share_calls = true;
    bench.run_well();
    insta::assert_snapshot!(bench.endpoint.take_log(), @r#"
Authenticate
TableSchema category contact person
Wipe category
Wipe contact
Wipe person
RowData category[]@6 contact[III]@6 person[II]@6
ReplicationCompleted contact I3 U0 D0 person I2 U0 D0
"#);
}

#[test]
fn client_state_comes_back_in_every_later_request() {
    let mut bench = Bench::new(&[("contact", 3)]);
    bench.run_well();
    for call in bench.endpoint.take_calls() {
        let text = String::from_utf8(call.body).unwrap();
        let request = crate::testing::read(&text);
        let expected = (call.operation != Operation::Authenticate).then_some("state of Cust10001");
        assert_eq!(request.client_state(), expected, "{}", call.operation);
    }
}

#[test]
fn a_fresh_token_for_every_call() {
    let mut bench = Bench::new(&[("contact", 3), ("person", 1)]);
    bench.run_well();
    let calls = bench.endpoint.take_calls();
    let tokens: std::collections::HashSet<_> = calls
        .iter()
        .map(|call| {
            let text = std::str::from_utf8(&call.body).unwrap();
            mirrorlab_protocol::soap::open(&mut mirrorlab_protocol::xml::Reader::new(text))
                .unwrap()
                .token
        })
        .collect();
    assert_eq!(tokens.len(), calls.len());
}

#[test]
fn left_out_tables_are_never_named() {
    let mut bench = Bench::new(&[("contact", 3), ("internal", 4)]);
    bench.filter = Box::new(|table: &str| (table == "internal").then(|| "blocked: internal".to_owned()));
    let report = bench.run();
    assert!(report.is_success());
    assert!(report.table("internal").is_none());
    for call in bench.endpoint.take_calls() {
        assert!(
            !String::from_utf8_lossy(&call.body).contains("internal"),
            "{}",
            call.operation
        );
    }
}

#[test]
fn do_not_replicate_ends_the_cycle_without_error() {
    for json in [
        r#"{ "doNotReplicate": "true" }"#,
        r#"{"doNotReplicate":true}"#,
        r#"{"doNotReplicate":"True"}"#,
    ] {
        let mut bench = Bench::new(&[("contact", 3)]);
        bench
            .endpoint
            .tweak(move |detail| detail.additional_information_json = Some(json.into()));
        let report = bench.run();
        assert!(matches!(report.outcome, Outcome::DoNotReplicate));
        assert!(report.is_success());
        assert_eq!(bench.endpoint.take_log(), "Authenticate");
    }
    for json in [
        "",
        "not json",
        "{}",
        "[]",
        r#"{"doNotReplicate":"false"}"#,
        r#"{"doNotReplicate":false}"#,
    ] {
        let mut bench = Bench::new(&[("contact", 3)]);
        bench
            .endpoint
            .tweak(move |detail| detail.additional_information_json = Some(json.into()));
        bench.run_well();
    }
}

#[test]
fn a_restored_original_is_seen_while_the_mirror_is_ahead() {
    for (repopulate, wiped) in [
        (Repopulate::AllTables, vec!["contact", "person"]),
        (Repopulate::OnlyTablesAhead, vec!["contact"]),
    ] {
        let mut bench = Bench::new(&[("contact", 3), ("person", 2)]);
        bench.settings.repopulate = repopulate;
        bench.run_well();
        bench.source.backup("monday").unwrap();
        bench.source.insert("contact", 10..12);
        bench.run_well();
        bench.source.restore("monday").unwrap();
        let report = bench.run_well();
        assert_eq!(report.wiped(), wiped);
        // Once it was sent again, nothing is.
        assert_eq!(bench.run_well().wiped(), Vec::<&str>::new());
    }
}

#[test]
fn a_restore_is_hidden_once_the_counter_has_caught_up() {
    let mut bench = Bench::new(&[("contact", 3)]);
    bench.run_well();
    bench.source.backup("monday").unwrap();
    bench.source.insert("contact", 10..12);
    bench.run_well();
    bench.source.restore("monday").unwrap();
    bench.source.insert("contact", [20]);
    bench.source.insert("contact", [21]);
    let report = bench.run();
    assert!(report.is_success() && report.wiped().is_empty());
    assert_ne!(
        bench.endpoint.rows("Cust10001"),
        bench.source.rows(),
        "the camouflaged restore"
    );
    bench.endpoint.set_lsn("Cust10001", "contact", -1);
    assert_eq!(bench.run_well().wiped(), ["contact"]);
}

#[test]
fn tracking_that_was_off_is_switched_on_and_everything_sent() {
    let mut bench = Bench::new(&[("contact", 3), ("person", 2)]);
    bench.run_well();
    bench.source.set_tracking("contact", false).unwrap();
    bench.source.insert("contact", 10..12);
    let report = bench.run_well();
    assert_eq!(report.wiped(), ["contact"]);
    insta::assert_snapshot!(report.table("contact").unwrap().wiped().unwrap(), @"its changes were not tracked");
    bench.source.insert("contact", [30]);
    let report = bench.run_well();
    assert_eq!(
        (report.wiped().len(), report.table("contact").unwrap().inserts),
        (0, 1)
    );
}

#[test]
fn eight_days_without_a_cycle_and_eight_quiet_days_with_cycles() {
    const DAY: i64 = 86_400;
    for (quiet, wiped) in [(Quiet::LetAge, vec!["person"]), (Quiet::RefreshLsn, vec![])] {
        let mut bench = Bench::new(&[("contact", 3), ("person", 2)]);
        bench.settings.quiet = quiet;
        bench.run_well();
        bench.source.insert("contact", [100]);
        let mut all_wiped: Vec<String> = Vec::new();
        for day in 1..=8 {
            bench.source_clock.advance(DAY);
            bench.source.set_now(NOW + day * DAY).unwrap();
            bench.source.insert("contact", [100 + day]);
            let report = bench.run_well();
            all_wiped.extend(report.wiped().iter().map(|&name| name.to_owned()));
        }
        assert_eq!(all_wiped, wiped, "{quiet:?}");
        assert!(bench.source.clean_ups.iter().all(|seconds| *seconds == 7 * DAY));

        bench.source_clock.advance(8 * DAY);
        bench.source.set_now(NOW + 16 * DAY).unwrap();
        bench.source.insert("contact", [200]);
        bench.source_clock.advance(8 * DAY);
        assert_eq!(bench.run_well().wiped(), ["contact", "person"], "{quiet:?}");
    }
}

#[test]
fn a_refreshed_quiet_table_gets_an_empty_batch() {
    let mut bench = Bench::new(&[("contact", 1), ("person", 1)]);
    bench.settings.quiet = Quiet::RefreshLsn;
    bench.run_well();
    bench.source.insert("contact", [7]);
    bench.endpoint.take_calls();
    let report = bench.run_well();
    insta::assert_snapshot!(bench.endpoint.take_log(), @r#"
Authenticate
TableSchema contact person
RowData contact[I]@6
RowData person[]@6
ReplicationCompleted contact I1 U0 D0
"#);
    let person = report.table("person").unwrap();
    assert_eq!(
        (person.work, person.batches, person.rows()),
        (Work::Changed, 1, 0)
    );
    // Nothing has happened since: no batch at all.
    bench.run_well();
    assert!(!bench.endpoint.take_log().contains("RowData"));
}

#[test]
fn what_the_mirror_does_not_name_is_sent_whole_and_the_lower_of_two_counts() {
    use mirrorlab_protocol::message::{ResponseDetail, TableLsn};
    let mut bench = Bench::new(&[("contact", 3), ("person", 2)]);
    bench.run_well();
    bench.endpoint.take_calls();
    bench.endpoint.script(|call, _| {
        let lsn = |table: &str, lsn| TableLsn {
            table: table.into(),
            lsn,
        };
        let lsns = vec![lsn("PERSON", 6), lsn("person", 5), lsn("unknown", 3)];
        (call.operation == Operation::TableSchema)
            .then(|| Ok(answer(&Response::success(ResponseDetail::TableSchema(lsns)))))
    });
    let report = bench.run();
    assert!(report.is_success());
    assert_eq!(report.wiped(), ["contact"]);
    assert_eq!(report.table("person").unwrap().lsn_before, Some(5));
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(24))]
    /// Whatever changes, mirror and source are equal after a cycle; with threads or without the bytes are the same.
    #[test]
    fn overlapped_and_inline_send_the_same_bytes(
        rounds in prop::collection::vec(
            prop::collection::vec((0_usize..3, 0_i64..12, prop::option::of("[a-z<]{0,200}")), 0..12), 1..4),
        batch_bytes_max in 600_usize..3000,
        share_calls in any::<bool>(),
    ) {
        const NAMES: [&str; 3] = ["appointment", "contact", "person"];
        let run = |pipeline| {
            let mut bench = Bench::new(&[("appointment", 4), ("contact", 9), ("person", 0)]);
            bench.settings.pipeline = pipeline;
            bench.settings.batch_bytes_max = batch_bytes_max;
            bench.settings.share_calls = share_calls;
            let mut out = Vec::new();
            for changes in &rounds {
                for (table, key, text) in changes {
                    match text {
                        Some(text) => bench.source.put(NAMES[*table], [(*key, text.clone())]),
                        None if bench.source.rows()[NAMES[*table]].contains_key(key) => {
                            bench.source.delete(NAMES[*table], [*key]);
                        }
                        None => {}
                    }
                }
                let report = bench.run_well();
                out.push((bench.endpoint.take_calls(), format!("{report:?}")));
            }
            out
        };
        prop_assert_eq!(run(Pipeline::Inline), run(Pipeline::Overlapped));
    }
}

/// The requests of a cycle as they go over the wire, but for their tokens.
#[test]
fn what_a_cycle_sends_to_the_letter() {
    let mut bench = Bench::new(&[("contact", 1)]);
    bench.run_well();
    let mut text = String::new();
    for call in bench.endpoint.take_calls() {
        let body = String::from_utf8(call.body).unwrap();
        assert!(matches!(crate::testing::read(&body), Request::Authenticate { .. }) == text.is_empty());
        let (start, end) = (body.find("<s:Body>").unwrap(), body.find("</s:Body>").unwrap());
        text.push_str(&format!("{}\n{}\n", call.operation, &body[start + 8..end]));
    }
    insta::assert_snapshot!(text);
}
