use std::sync::Arc;

use mirrorlab_protocol::message::{ReplicationSummary, Request, ResponseDetail, write_request};
use mirrorlab_protocol::names::{MESSAGES, SOAP12};

use super::*;
use crate::admin::{AdminError, AuthenticateAnswer, DO_NOT_REPLICATE, MirrorAdmin};
use crate::events::Event;
use crate::operations::Options;
use crate::store::MirrorPlace;
use crate::store::sqlite::SqliteStore;
use crate::testing::{
    APPLICATION_KEY, Bench, Kept, NONCE, NOW, STRANGER, SUPEROFFICE, authenticate, envelope, head, logged,
    row_data, table_schema, trust,
};

/// An answer as a person reads it.
fn shown(answer: &Answer) -> String {
    format!(
        "{} {} [{}]\n{}\n",
        answer.status,
        answer.content_type,
        answer.about.result,
        String::from_utf8_lossy(&answer.body).trim_end()
    )
}

/// Shows what came of each.
fn shown_all<'n>(answers: impl IntoIterator<Item = (&'n str, Answer)>) -> String {
    answers
        .into_iter()
        .map(|(name, answer)| format!("# {name}\n{}", shown(&answer)))
        .collect::<Vec<_>>()
        .join("\n")
}

fn all_requests() -> Vec<Request<'static>> {
    vec![
        authenticate(),
        table_schema(&["contact"]),
        Request::Wipe {
            client_state: None,
            table: Some("contact".into()),
        },
        row_data(3),
        Request::ReplicationCompleted {
            client_state: None,
            changed: vec![ReplicationSummary {
                inserts: 1,
                table: Some("contact".into()),
                ..ReplicationSummary::default()
            }],
        },
    ]
}

#[test]
fn a_cycle_is_answered_and_authenticate_signs_its_nonce() {
    let bench = Bench::new();
    let responses: Vec<Response> = all_requests().iter().map(|r| bench.call(r)).collect();
    for response in &responses {
        assert!(response.successful, "{response:?}");
        assert_eq!(response.error, None);
    }
    let ResponseDetail::Authenticate(detail) = &responses[0].detail else {
        panic!("{:?}", responses[0]);
    };
    let signed = detail.signed_application_token.as_deref();
    answer::check(signed, NONCE, NOW, &APPLICATION_KEY.public()).unwrap();
    assert_eq!(detail.supported_interfaces.as_deref(), Some("1"));
    assert_eq!(detail.build.as_deref(), Some("4.0.0.0/Release_1"));
    let lsns = bench.call(&table_schema(&["contact"])).detail;
    let ResponseDetail::TableSchema(lsns) = lsns else {
        panic!("{lsns:?}");
    };
    assert_eq!((lsns[0].table.as_str(), lsns[0].lsn), ("contact", 7));
    assert!(bench.directory.path().join("Mirror_Cust1.db").exists());
}

#[test]
fn the_answer_is_dated_by_the_clock_that_was_handed_in() {
    let bench = Bench::new();
    bench.clock.advance(300);
    let ResponseDetail::Authenticate(detail) = bench.call(&authenticate()).detail else {
        panic!();
    };
    let signed = detail.signed_application_token.unwrap();
    // 2020-09-13 12:26:40 and five minutes.
    assert_eq!(signed.split('.').nth(1), Some("202009131231"));
}

#[test]
fn without_a_right_token_every_operation_is_refused_politely() {
    let bench = Bench::new();
    let mut said = Vec::new();
    for request in all_requests() {
        let operation = request.operation();
        let with =
            |token: Option<&str>| bench.post(operation, &soap::envelope(token, &write_request(&request)));
        let nonsense = with(Some("this is no token"));
        assert_eq!((nonsense.status, &nonsense.about.context), (200, &None));
        for answer in [with(None), with(Some("")), with(Some(&STRANGER.token("Cust1")))] {
            assert_eq!(answer.status, 200);
            let text = String::from_utf8(answer.body).unwrap();
            let response = message::read_response(&text, operation).unwrap().unwrap();
            assert!(!response.successful);
            assert_eq!(response.detail, ResponseDetail::empty(operation));
        }
        said.push((operation.name(), nonsense));
    }
    insta::assert_snapshot!(shown_all(said));
    let left: Vec<_> = std::fs::read_dir(bench.directory.path()).unwrap().collect();
    assert!(left.is_empty(), "nothing was made: {left:?}");
}

#[test]
fn the_token_is_checked_before_the_body_is_looked_at() {
    let bench = Bench::new();
    let whole = |token: &str| {
        let mut call = soap::envelope(Some(token), b"<broken");
        call.truncate(call.len() - b"</s:Body></s:Envelope>".len());
        bench.post(Operation::RowData, &call)
    };
    assert_eq!(whole("nonsense").status, 200);
    assert_eq!(whole(&SUPEROFFICE.token("Cust1")).status, 400);
}

#[test]
fn what_is_no_call_of_this_service() {
    let bench = Bench::new();
    let right = envelope(&authenticate());
    let action = Operation::Authenticate.action();
    let with = |change: &dyn Fn(&mut CallHead<'_>), body: &[u8]| {
        let mut head = head(&action);
        change(&mut head);
        bench.service.handle(&Call { head, body })
    };
    let body = |text: &str| with(&|_| {}, text.as_bytes());
    let token = SUPEROFFICE.token("Cust1");
    let enveloped = |headers: &str, body: &str| {
        format!(
            "<s:Envelope xmlns:s='{}' xmlns:m='{MESSAGES}'><s:Header><m:SignedToken s:mustUnderstand='1'>{token}</m:SignedToken>{headers}\
             </s:Header><s:Body>{body}</s:Body></s:Envelope>",
            mirrorlab_protocol::names::SOAP11
        )
    };
    let said = shown_all([
        ("PUT", with(&|h| h.method = "PUT", b"")),
        ("no content type", with(&|h| h.content_type = None, &right)),
        (
            "SOAP 1.2's content type",
            with(
                &|h| h.content_type = Some("application/soap+xml; charset=utf-8"),
                &right,
            ),
        ),
        (
            "a charset that is not read",
            with(&|h| h.content_type = Some("text/xml; charset=iso-8859-1"), &right),
        ),
        ("no action", with(&|h| h.soap_action = None, &right)),
        ("an empty action", with(&|h| h.soap_action = Some("\"\""), &right)),
        (
            "another action",
            with(&|h| h.soap_action = Some("\"urn:x/Authenticate\""), &right),
        ),
        ("nothing", body("")),
        ("no XML", body("{\"json\": true}")),
        ("a DTD", body("<!DOCTYPE x [<!ENTITY e 'x'>]><x>&e;</x>")),
        ("no envelope", body("<AuthenticateRequest/>")),
        (
            "SOAP 1.2",
            body(&format!("<s:Envelope xmlns:s='{SOAP12}'><s:Body/></s:Envelope>")),
        ),
        (
            "a header that must be understood",
            body(&enveloped(
                "<x:Security xmlns:x='urn:x' s:mustUnderstand='1'/>",
                "<m:AuthenticateRequest/>",
            )),
        ),
        (
            "two tokens",
            body(&enveloped(
                "<m:SignedToken>x</m:SignedToken>",
                "<m:AuthenticateRequest/>",
            )),
        ),
        (
            "a header too long",
            body(&enveloped(
                &format!("<x>{}</x>", "x".repeat(70_000)),
                "<m:AuthenticateRequest/>",
            )),
        ),
        (
            "cut short after as many bytes as a header may have",
            body(&enveloped(&format!("<x>{}</x>", "x".repeat(70_000)), "")[..65_536]),
        ),
        ("an empty body", body(&enveloped("", ""))),
        ("another request", body(&enveloped("", "<m:WipeRequest/>"))),
        ("an unknown request", body(&enveloped("", "<m:DropRequest/>"))),
        (
            "cut short",
            body(enveloped("", "<m:AuthenticateRequest/>").trim_end_matches("</s:Envelope>")),
        ),
        (
            "something behind the end",
            body(&(enveloped("", "<m:AuthenticateRequest/>") + "<x/>")),
        ),
    ]);
    insta::assert_snapshot!(said);
}

#[test]
fn what_senders_may_vary_is_taken() {
    let bench = Bench::new();
    let right = envelope(&authenticate());
    let text = String::from_utf8(right.clone()).unwrap();
    let utf16: Vec<u8> = std::iter::once(0xfeff)
        .chain(text.encode_utf16())
        .flat_map(u16::to_le_bytes)
        .collect();
    let quoted = format!("\"{}\"", Operation::Authenticate.action());
    let bare = Operation::Authenticate.action();
    for (content_type, action, body) in [
        ("text/xml", &bare, &right),
        ("text/xml; charset=utf-8", &quoted, &right),
        ("TEXT/XML;charset=\"UTF-8\"", &quoted, &right),
        ("text/xml; action=x; charset=utf-16", &quoted, &utf16),
    ] {
        let mut head = head(action);
        head.content_type = Some(content_type);
        let answer = bench.service.handle(&Call { head, body });
        assert_eq!((answer.status, answer.about.result.as_str()), (200, "done"));
    }
}

#[test]
fn a_long_text_in_utf16_may_be_cut_anywhere() {
    let bench = Bench::new();
    bench.call(&table_schema(&["contact"]));
    for pad in 0..4 {
        let text = String::from_utf8(envelope(&row_data(40_000))).unwrap();
        let text = text.replace(&"x".repeat(40_000), &(".".repeat(pad) + &"😀".repeat(20_000)));
        let bytes: Vec<u8> = std::iter::once(0xfeff)
            .chain(text.encode_utf16())
            .flat_map(u16::to_be_bytes)
            .collect();
        let answer = bench.post(Operation::RowData, &bytes);
        assert_eq!(answer.about.result, "done");
    }
}

#[test]
fn a_page_for_people_and_the_contract() {
    let bench = Bench::new();
    let get = |method: &'static str, query: Option<&'static str>| {
        let mut head = head("");
        (head.method, head.query, head.content_type) = (method, query, None);
        head.address = "https://mirror.example/\"><b>/MirroringClientService.svc";
        bench.service.handle(&Call { head, body: b"" })
    };
    insta::assert_snapshot!(shown(&get("GET", None)));
    let contract = get("GET", Some("wsdl"));
    assert!(
        contract
            .body
            .starts_with(b"<?xml version=\"1.0\" encoding=\"utf-8\"?>\n<definitions")
    );
    for query in ["singleWsdl", "WSDL", "wsdl=", "wsdl&x=1"] {
        assert_eq!(get("GET", Some(query)), contract, "{query}");
    }
    assert_eq!(get("HEAD", Some("wsdl")), contract);
    assert_eq!(get("GET", Some("xsd=1")), get("GET", None));
}

/// A partner whose code has a defect, or its own answer to Authenticate.
struct Partner {
    answer: fn() -> Result<AuthenticateAnswer, AdminError>,
}

impl MirrorAdmin for Partner {
    fn resolve_connection(&self, _: &str, _: Option<&str>) -> Result<MirrorPlace, AdminError> {
        Err(AdminError::new("nowhere to go"))
    }

    fn on_authenticate(&self, _: &str, _: Option<&str>) -> Result<AuthenticateAnswer, AdminError> {
        (self.answer)()
    }

    fn log_event(&self, _: &Event) {}
}

fn service_of(answer: fn() -> Result<AuthenticateAnswer, AdminError>) -> Service {
    let clock = Arc::new(mirrorlab_protocol::clock::ManualClock::new(NOW));
    let mirroring = Mirroring {
        store: Arc::new(SqliteStore::default()),
        admin: Arc::new(Partner { answer }),
        options: Options::default(),
    };
    Service::new(trust(&clock), mirroring, APPLICATION_KEY.clone(), clock)
}

fn post(service: &Service, request: &Request<'_>) -> Answer {
    service.handle(&Call {
        head: head(&request.operation().action()),
        body: &envelope(request),
    })
}

#[test]
fn a_panic_is_a_fault_without_detail_and_the_service_goes_on() {
    let service = service_of(|| panic!("the secret cause"));
    let mut answer = None;
    let log = logged(|| answer = Some(post(&service, &authenticate())));
    insta::assert_snapshot!(shown(&answer.unwrap()));
    // The cause is the log's.
    let error = log.iter().find(|line| line.starts_with("ERROR ")).unwrap();
    assert!(error.contains("the secret cause"), "{log:?}");
    assert_eq!(post(&service, &table_schema(&["contact"])).status, 200);
}

#[test]
fn a_refusal_of_the_partner_signs_nothing() {
    let service = service_of(|| Err(AdminError::new("not this tenant")));
    insta::assert_snapshot!(shown(&post(&service, &authenticate())));
    insta::assert_snapshot!(shown(&post(&service, &table_schema(&["contact"]))));
}

#[test]
fn what_the_partner_answers_goes_out_beside_the_signed_token() {
    let service = service_of(|| {
        Ok(AuthenticateAnswer {
            client_state: Some("of mine".into()),
            additional_information_json: Some(DO_NOT_REPLICATE.into()),
        })
    });
    let answer = post(&service, &authenticate());
    let text = String::from_utf8(answer.body).unwrap();
    let response = message::read_response(&text, Operation::Authenticate)
        .unwrap()
        .unwrap();
    let ResponseDetail::Authenticate(detail) = response.detail else {
        panic!();
    };
    assert!(response.successful && detail.signed_application_token.is_some());
    assert_eq!(detail.client_state.as_deref(), Some("of mine"));
    assert_eq!(
        detail.additional_information_json.as_deref(),
        Some(DO_NOT_REPLICATE)
    );
}

#[test]
fn every_post_is_shown_to_the_sink() {
    let kept = Arc::new(Kept::default());
    let mut bench = Bench::new();
    bench.service = bench.service.with_sink(kept.clone());
    let body = envelope(&table_schema(&["contact"]));
    let answer = bench.post(Operation::TableSchema, &body);
    bench.post(Operation::Wipe, b"<x/>");
    let mut page = head("");
    page.method = "GET";
    bench.service.handle(&Call {
        head: page,
        body: b"",
    });
    let kept = kept.0.lock().unwrap();
    assert_eq!(
        kept[0],
        format!(
            "Some(TableSchema) Some(\"Cust1\") 200 {} bytes, answer {} bytes",
            body.len(),
            answer.body.len()
        )
    );
    assert!(kept[1].starts_with("Some(Wipe) None 500 4 bytes"), "{}", kept[1]);
    assert_eq!(kept.len(), 2);
}

#[test]
fn nesting_is_limited_as_it_is_set() {
    let mut bench = Bench::new();
    bench.service = bench.service.with_depth_max(12);
    let call = String::from_utf8(envelope(&table_schema(&["contact"]))).unwrap();
    let answered = |body: &str| bench.post(Operation::TableSchema, body.as_bytes());
    assert_eq!(answered(&call).status, 200);
    // A stranger among the members is left unread, but not at any depth.
    let deep = |levels: usize| {
        let stranger = format!(
            "{}{}</TableSchemaRequest>",
            "<q:q xmlns:q='urn:q'>".repeat(levels),
            "</q:q>".repeat(levels)
        );
        call.replace("</TableSchemaRequest>", &stranger)
    };
    assert_eq!(answered(&deep(9)).status, 200);
    let refused = answered(&deep(10));
    assert_eq!(refused.status, 400);
    assert!(String::from_utf8_lossy(&refused.body).contains("nested more than 12 deep"));
}
