//! Whatever goes wrong ends the cycle with its text, and the next cycle makes the mirror whole.

use mirrorlab_protocol::answer;
use mirrorlab_protocol::keys::PrivateKey;
use mirrorlab_protocol::message::Response;
use mirrorlab_protocol::names::Operation;
use mirrorlab_protocol::soap::{FaultCode, write_fault};

use crate::endpoint::{Reply, TransportError};
use crate::task::Pipeline;
use crate::task::report::Work;
use crate::testing::{Bench, NOW, answer, application_key, is, reply};

/// What is answered for a nonce.
type Answering = dyn Fn(&str) -> Option<String> + Send + Sync;

#[test]
fn an_answer_has_to_be_signed_as_it_should_be() {
    let other = PrivateKey::generate(1024).unwrap();
    let mut lines = Vec::new();
    let mut with = |what: &str, answered: Box<Answering>| {
        let mut bench = Bench::new(&[("contact", 1)]);
        bench.endpoint.tweak(move |detail| {
            let signed = detail.signed_application_token.take().unwrap();
            let nonce = signed.split('.').next().unwrap().to_owned();
            detail.signed_application_token = answered(&nonce);
        });
        let report = bench.run();
        assert_eq!(bench.endpoint.take_log(), "Authenticate", "{what}");
        let came = report.ended_by.as_ref().expect("the answer is kept");
        let came = String::from_utf8_lossy(&came.body);
        assert!(came.contains("<AuthenticateResponse"), "{what}: {came}");
        lines.push(format!("{what}: {}", report.error().unwrap()));
    };
    let key = application_key;
    with("missing", Box::new(|_| None));
    with("empty", Box::new(|_| Some(String::new())));
    with("garbage", Box::new(|_| Some("yes".into())));
    with(
        "another nonce",
        Box::new(move |_| Some(answer::sign(&"0".repeat(32), NOW, key()))),
    );
    with(
        "too old",
        Box::new(move |nonce| Some(answer::sign(nonce, NOW - 900, key()))),
    );
    with(
        "too new",
        Box::new(move |nonce| Some(answer::sign(nonce, NOW + 960, key()))),
    );
    with(
        "another key",
        Box::new(move |nonce| Some(answer::sign(nonce, NOW, &other))),
    );
    let lines = lines.join("\n");
    let nonce = sent_nonce(&lines);
    insta::assert_snapshot!(lines.replace(&nonce, "<the nonce>"), @r#"
missing: Authenticate's answer was not accepted: the answer has no SignedApplicationToken
empty: Authenticate's answer was not accepted: the answer has no SignedApplicationToken
garbage: Authenticate's answer was not accepted: the SignedApplicationToken is not nonce.yyyyMMddHHmm.signature: `yes`
another nonce: Authenticate's answer was not accepted: the SignedApplicationToken signs the nonce `00000000000000000000000000000000`, but `<the nonce>` was sent
too old: Authenticate's answer was not accepted: the SignedApplicationToken's time is -900 s from now; under 900 s is allowed
too new: Authenticate's answer was not accepted: the SignedApplicationToken's time is 960 s from now; under 900 s is allowed
another key: Authenticate's answer was not accepted: the SignedApplicationToken's signature is not the application key's
"#);
}

/// The nonce that was sent: the text between the last backticks of its line.
fn sent_nonce(lines: &str) -> String {
    let line = lines
        .lines()
        .find(|line| line.starts_with("another nonce"))
        .unwrap();
    line.rsplit('`').nth(1).unwrap().to_owned()
}

#[test]
fn each_failure_ends_the_cycle_with_its_text() {
    type Failing = fn() -> Result<Reply, TransportError>;
    let failures: Vec<(&str, Failing)> = vec![
        ("refused", || {
            Ok(answer(&Response::refusal(
                Operation::RowData,
                "the disk of Mirror_Cust10001 is full",
            )))
        }),
        ("refused without a reason", || {
            Ok(answer(&Response::refusal(Operation::RowData, " ")))
        }),
        ("fault", || {
            Ok(reply(
                500,
                "text/xml; charset=utf-8",
                write_fault(FaultCode::Server, "it broke"),
            ))
        }),
        ("404", || Ok(reply(404, "text/html", "<html>Not here</html>"))),
        ("413 without a body", || Ok(reply(413, "", ""))),
        ("redirect", || Ok(reply(302, "", ""))),
        ("503 with an answer", || {
            let good = Response::success(mirrorlab_protocol::message::ResponseDetail::RowData);
            Ok(Reply {
                status: 503,
                ..answer(&good)
            })
        }),
        ("a page", || Ok(reply(200, "text/html", "<html>Sign in</html>"))),
        ("no XML", || Ok(reply(200, "text/xml", "ok"))),
        ("cut", || {
            Ok(reply(
                200,
                "text/xml",
                "<s:Envelope xmlns:s=\"http://schemas.xmlsoap.org/soap/envelope/\">",
            ))
        }),
        ("another answer", || {
            Ok(answer(&Response::success(
                mirrorlab_protocol::message::ResponseDetail::Wipe,
            )))
        }),
        ("no connection", || {
            let (endpoint, why) = ("https://partner.example/M".into(), "connection refused".into());
            Err(TransportError::Connect { endpoint, why })
        }),
        ("broken", || {
            let (endpoint, why) = ("https://partner.example/M".into(), "connection reset".into());
            Err(TransportError::Broken { endpoint, why })
        }),
        ("time-out", || {
            let limit = std::time::Duration::from_secs(60);
            Err(TransportError::TimedOut {
                endpoint: "https://partner.example/M".into(),
                limit,
            })
        }),
    ];
    let mut lines = Vec::new();
    for (name, fail) in failures {
        for pipeline in [Pipeline::Inline, Pipeline::Overlapped] {
            let mut bench = Bench::new(&[("contact", 40), ("person", 2)]);
            bench.settings.batch_bytes_max = 2000;
            bench.settings.pipeline = pipeline;
            // The first RowData passes; the second fails.
            bench.endpoint.script(move |call, number| {
                (number == 4 && is(call, Operation::RowData, "contact")).then(fail)
            });
            let report = bench.run();
            let calls = bench.endpoint.take_calls();
            assert_eq!(calls.len(), 5, "{name}: nothing follows a failure");
            assert_eq!(report.calls, 5);
            // What came is kept as it came, where something came.
            assert_eq!(report.ended_by, fail().ok(), "{name}");
            let contact = report.table("contact").unwrap();
            assert_eq!(
                (contact.work, contact.batches, contact.lsn_after),
                (Work::Wiped, 1, None)
            );
            assert_eq!(report.table("person").unwrap().work, Work::None);
            assert_eq!(bench.endpoint.tables("Cust10001")["contact"].lsn, -1);
            if pipeline == Pipeline::Inline {
                lines.push(format!("{name}: {}", report.summary()));
            }
            // The next cycle makes it whole.
            bench.endpoint.good();
            bench.run_well();
        }
    }
    insta::assert_snapshot!(lines.join("\n"));
}

#[test]
fn every_operation_may_fail() {
    for operation in Operation::ALL {
        let mut bench = Bench::new(&[("contact", 3)]);
        bench.endpoint.script(move |call, _| {
            (call.operation == operation).then(|| Ok(answer(&Response::refusal(operation, "no"))))
        });
        let error = bench.run().error().unwrap();
        let of = if matches!(operation, Operation::Wipe | Operation::RowData) {
            " of contact"
        } else {
            ""
        };
        assert_eq!(error, format!("{operation}{of} was refused: no"));
        bench.endpoint.good();
        bench.run_well();
    }
}

#[test]
fn a_source_that_fails_ends_the_cycle_after_what_was_read() {
    for pipeline in [Pipeline::Inline, Pipeline::Overlapped] {
        let mut bench = Bench::new(&[("contact", 40), ("person", 2)]);
        bench.settings.batch_bytes_max = 2000;
        bench.settings.pipeline = pipeline;
        bench.source.fail_at = Some(("contact".into(), 20));
        let report = bench.run();
        assert_eq!(
            report.error().unwrap(),
            "source fake: cannot read `contact`: the disk is gone"
        );
        assert!(!bench.endpoint.take_log().contains("person["));
        assert_eq!(report.ended_by, None, "no answer was at fault");
        bench.source.fail_at = None;
        bench.run_well();
    }
}

#[test]
fn a_token_defect_is_the_next_cycles_error() {
    let mut bench = Bench::new(&[("contact", 3)]);
    bench.tokens.spoil("wrong-key".parse().unwrap(), Some(1));
    insta::assert_snapshot!(bench.run().error().unwrap(), @"Authenticate was refused: the signed token's signature is wrong");
    bench.run_well();
}
