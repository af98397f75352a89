//! How answers are held against recorded ones.

use std::sync::Mutex;

use mirrorlab_protocol::clock::ManualClock;
use mirrorlab_protocol::message::{TableLsn, write_response};
use mirrorlab_protocol::soap::{self, FaultCode};
use mirrorlab_simulator::capture::redact::Redaction;

use super::*;

/// Answers what it is told to, and remembers what it was sent.
struct Stub {
    answers: Mutex<Vec<Result<Reply, TransportError>>>,
    sent: Mutex<Vec<OutgoingCall>>,
}

impl Endpoint for Stub {
    fn call(&self, call: &OutgoingCall) -> Result<Reply, TransportError> {
        self.sent.lock().unwrap().push(call.clone());
        self.answers.lock().unwrap().remove(0)
    }
}

fn answer(status: u16, response: &Response) -> (u16, Vec<u8>) {
    (status, soap::envelope(None, &write_response(response)))
}

fn refusal(text: &str) -> (u16, Vec<u8>) {
    answer(200, &Response::refusal(Operation::TableSchema, text))
}

fn lsns(list: &[(&str, i64)]) -> (u16, Vec<u8>) {
    let list = list.iter().map(|(table, lsn)| TableLsn {
        lsn: *lsn,
        table: (*table).to_owned(),
    });
    answer(
        200,
        &Response::success(ResponseDetail::TableSchema(list.collect())),
    )
}

fn fault(status: u16, code: FaultCode, text: &str) -> (u16, Vec<u8>) {
    (status, soap::write_fault(code, text))
}

fn item(recorded: Recorded) -> Item {
    Item {
        file: "calls/00001-Cust1-TableSchema.call".into(),
        number: 1,
        operation: Some(Operation::TableSchema),
        tenant: Some("Cust1".into()),
        token: None,
        body: soap::envelope(Some("old"), b"<x/>"),
        is_cut: false,
        redacted: Redaction::default(),
        recorded,
    }
}

fn options(ignored: Ignored) -> Options {
    Options {
        signer: None,
        renamed: vec![("Cust1".into(), "Cust2".into())],
        ignored,
        command: "mirrorlab replay …".into(),
    }
}

fn one(then: (u16, Vec<u8>), now: (u16, Vec<u8>), ignored: Ignored) -> Vec<Failure> {
    let stub = Stub {
        answers: Mutex::new(vec![Ok(Reply {
            status: now.0,
            content_type: "text/xml".into(),
            body: now.1,
        })]),
        sent: Mutex::default(),
    };
    let options = options(ignored);
    let clock = ManualClock::new(0);
    let recorded = Recorded::Answer {
        status: then.0,
        body: then.1,
    };
    Replay::new(&stub, &clock, &options)
        .one(&item(recorded))
        .unwrap()
        .failures
}

#[test]
fn answers_that_say_the_same_are_the_same() {
    let all = Ignored::default();
    for (then, now) in [
        (
            lsns(&[("contact", 5), ("person", -1)]),
            lsns(&[("PERSON", -1), ("Contact", 5)]),
        ),
        (refusal("no such tenant Cust1"), refusal("no such tenant Cust2")),
        (
            fault(500, FaultCode::Client, "a"),
            fault(500, FaultCode::Client, "a"),
        ),
        ((503, b"busy".to_vec()), (503, b"come back".to_vec())),
    ] {
        assert_eq!(one(then, now, all), []);
    }
    let lsn = Ignored { lsn: true, ..all };
    assert_eq!(one(lsns(&[("a", 1)]), lsns(&[("a", 2)]), lsn), []);
    let text = Ignored {
        error_text: true,
        ..all
    };
    assert_eq!(one(refusal("a"), refusal("b"), text), []);
    assert_eq!(
        one(
            fault(500, FaultCode::Client, "a"),
            fault(500, FaultCode::Client, "b"),
            text
        ),
        []
    );
}

#[test]
fn every_difference_is_a_failure_in_the_projects_shape() {
    let all = Ignored::default();
    let mut shown = String::new();
    for (then, now) in [
        (
            lsns(&[("contact", 5), ("person", -1), ("sale", 7)]),
            lsns(&[("contact", -1), ("sale", 7), ("y_a", 1)]),
        ),
        (lsns(&[]), refusal("the mirror is away")),
        (
            refusal("table `a` is locked by Cust1"),
            refusal("table `a` is gone"),
        ),
        (lsns(&[]), fault(500, FaultCode::Server, "out of memory")),
        (
            fault(500, FaultCode::Client, "a"),
            fault(500, FaultCode::Server, "a"),
        ),
        (
            fault(500, FaultCode::Client, "a"),
            fault(400, FaultCode::Client, "a"),
        ),
        (lsns(&[]), (502, b"<html>Bad gateway</html>".to_vec())),
        ((200, lsns(&[]).1), (202, lsns(&[]).1)),
        ((503, b"busy".to_vec()), (500, b"busy".to_vec())),
    ] {
        let failures = one(then, now, all);
        assert_eq!(failures.len(), 1, "{failures:?}");
        for mut failure in failures {
            assert!(failure.message.take().is_some());
            shown.push_str(&failure.text());
            shown.push('\n');
        }
    }
    insta::assert_snapshot!(shown);
}

#[test]
fn what_cannot_be_compared_says_why() {
    let told = |item: Item, answers: Vec<Result<Reply, TransportError>>| {
        let stub = Stub {
            answers: Mutex::new(answers),
            sent: Mutex::default(),
        };
        let (options, clock) = (options(Ignored::default()), ManualClock::new(0));
        let replayed = Replay::new(&stub, &clock, &options).one(&item);
        let sent = stub.sent.lock().unwrap().len();
        match replayed {
            Ok(r) => format!(
                "{} {sent} {:?} {:?}",
                r.name,
                r.not_compared,
                r.failures.first().map(|f| &f.check)
            ),
            Err(error) => format!("{error}"),
        }
    };
    let reply = || {
        let (status, body) = lsns(&[]);
        Ok(Reply {
            status,
            content_type: String::new(),
            body,
        })
    };
    let timed_out = || {
        Err(TransportError::TimedOut {
            endpoint: "u".into(),
            limit: std::time::Duration::from_secs(1),
        })
    };
    let away = Err(TransportError::Connect {
        endpoint: "u".into(),
        why: "refused".into(),
    });
    let (status, body) = lsns(&[]);
    let answered = Recorded::Answer { status, body };
    let all = [
        told(item(Recorded::Nothing), vec![reply()]),
        told(item(Recorded::NoAnswer("gone".into())), vec![reply()]),
        told(item(Recorded::NoAnswer("gone".into())), vec![timed_out()]),
        told(item(answered.clone()), vec![timed_out()]),
        told(item(answered.clone()), vec![away]),
        told(
            Item {
                operation: None,
                ..item(answered.clone())
            },
            vec![],
        ),
        told(
            Item {
                is_cut: true,
                ..item(answered)
            },
            vec![],
        ),
    ];
    insta::assert_snapshot!(all.join("\n"));
}

#[test]
fn what_the_endpoint_gives_to_be_handed_back_goes_into_its_tenants_calls_alone() {
    use mirrorlab_protocol::message::AuthenticateDetail;
    use mirrorlab_protocol::names::MESSAGES;

    let keys = crate::run::keys::RunKeys::fixed().unwrap();
    let options = Options {
        signer: Some(Signer {
            authority: keys.authority,
            application_key: keys.application,
            application_id: Some("app".into()),
            seed: 1,
        }),
        ..options(Ignored::default())
    };
    let detail = |token: Option<&str>| {
        Response::success(ResponseDetail::Authenticate(AuthenticateDetail {
            client_state: Some("of now".into()),
            signed_application_token: token.map(str::to_owned),
            ..AuthenticateDetail::default()
        }))
    };
    let reply = |(status, body): (u16, Vec<u8>)| {
        Ok(Reply {
            status,
            content_type: String::new(),
            body,
        })
    };
    let stub = Stub {
        answers: Mutex::new(vec![
            reply(answer(200, &detail(Some("signed by nobody")))),
            reply(lsns(&[])),
            reply(lsns(&[])),
        ]),
        sent: Mutex::default(),
    };
    let call = |tenant: &str, operation: Operation, recorded: (u16, Vec<u8>)| {
        let state = "<ClientState>of then</ClientState>";
        let message = format!("<{operation}Request xmlns=\"{MESSAGES}\">{state}</{operation}Request>");
        Item {
            operation: Some(operation),
            tenant: Some(tenant.into()),
            body: soap::envelope(Some("old"), message.as_bytes()),
            ..item(Recorded::Answer {
                status: recorded.0,
                body: recorded.1,
            })
        }
    };
    let clock = ManualClock::new(0);
    let mut replay = Replay::new(&stub, &clock, &options);
    let first = replay
        .one(&call(
            "Cust1",
            Operation::Authenticate,
            answer(200, &detail(None)),
        ))
        .unwrap();
    let checks: Vec<&str> = first.failures.iter().map(|f| f.check.as_str()).collect();
    assert_eq!(checks, ["replay-answer-token"]);
    for tenant in ["Cust1", "Cust3"] {
        let replayed = replay
            .one(&call(tenant, Operation::TableSchema, lsns(&[])))
            .unwrap();
        assert!(replayed.failures.is_empty(), "{:?}", replayed.failures);
    }
    let sent = stub.sent.lock().unwrap();
    let states: Vec<(&str, bool, bool)> = sent
        .iter()
        .map(|call| {
            let text = String::from_utf8_lossy(&call.body);
            (
                call.context.as_str(),
                text.contains(">of now<"),
                text.contains(">old<"),
            )
        })
        .collect();
    assert_eq!(
        states,
        [
            ("Cust2", false, false),
            ("Cust2", true, false),
            ("Cust3", false, false)
        ]
    );
}
