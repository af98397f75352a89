//! Faults: what is no call of this contract. Each has two checks: that it is not accepted, a MUST, and that the answer
//! is the one .NET gives, a SHOULD.

use mirrorlab_protocol::names::{MESSAGES, Operation, SOAP11, SOAP12};

use super::super::bench::{Bench, Said, read_answer};
use super::super::check::{Check, Done, must, should};
use super::super::say::{self, Batch};
use super::super::wire::Ask;
use super::PLAIN;

/// What .NET would answer.
#[derive(Clone, Copy)]
enum Answer {
    Status(u16),
    Fault(&'static str),
    Refusal,
}

const A: Operation = Operation::Authenticate;

fn pair(
    id: &str,
    rule: &'static str,
    what: &'static str,
    right: Answer,
    change: impl Fn(Ask) -> Ask + Send + Sync + Clone + 'static,
) -> Vec<Check> {
    let again = change.clone();
    let go = move |b: &mut Bench<'_>, change: &dyn Fn(Ask) -> Ask| -> Done<Said> {
        let ask = change(b.call_ask(A, &say::authenticate(None)));
        let answer = b.ask(&ask)?;
        Ok(read_answer(A, &answer))
    };
    vec![
        must(
            format!("faults.{id}"),
            rule,
            format!("{what} is not accepted"),
            move |b| {
                let said = go(b, &change)?;
                b.not_yes(&said, what)?;
                // And the endpoint goes on.
                b.authenticate()?;
                Ok(())
            },
        ),
        should(
            format!("faults.{id}-answer"),
            rule,
            match right {
                Answer::Status(status) => format!("{what} is answered with HTTP {status}"),
                Answer::Fault("") => format!("{what} is answered with a SOAP fault and HTTP 500"),
                Answer::Fault(code) => format!("{what} is answered with the fault {code} and HTTP 500"),
                Answer::Refusal => format!("{what} is refused politely"),
            },
            move |b| {
                let said = go(b, &again)?;
                match right {
                    Answer::Refusal => b.no(&said, what),
                    Answer::Status(right) => {
                        let status = match &said {
                            Said::Yes(_) | Said::No(_) => 200,
                            Said::Fault { status, .. } | Said::Other { status, .. } => *status,
                        };
                        b.expect(status == right, format!("HTTP {right}"), said.brief())
                    }
                    Answer::Fault(right) => {
                        let holds = matches!(
                            &said,
                            Said::Fault { status: 500, code, .. } if right.is_empty() || code == right
                        );
                        b.expect(holds, format!("HTTP 500 with a SOAP fault {right}"), said.brief())
                    }
                }
            },
        ),
    ]
}

fn body(
    change: impl Fn(String) -> String + Send + Sync + Clone + 'static,
) -> impl Fn(Ask) -> Ask + Send + Sync + Clone {
    move |mut ask: Ask| {
        ask.body = change(String::from_utf8_lossy(&ask.body).into_owned()).into_bytes();
        ask
    }
}

/// A RowData that must not be taken; nothing of it may be kept.
fn wrong_rows(
    id: &str,
    rule: &'static str,
    what: &'static str,
    change: impl Fn(String) -> String + Send + Sync + 'static,
) -> Check {
    must(
        format!("faults.{id}"),
        rule,
        format!("{what} is not accepted"),
        move |b| {
            let table = b.table("wrong", PLAIN)?;
            b.rows(&[Batch::new(&table, 10).row("I", &["[I:1]", "kept"])])?;
            let batch = Batch::new(&table, 20).row("I", &["[I:2]", "alpha"]);
            let token = b.token();
            let envelope = say::envelope(Some(&token), &say::row_data(None, &[batch]));
            let said = b.envelope(Operation::RowData, change(envelope))?;
            b.not_yes(&said, what)?;
            b.holds(&table, &[&["[I:1]", "kept"]])?;
            b.lsn_is(&[table], "wrong", 10)
        },
    )
}

pub(super) fn checks() -> Vec<Check> {
    let mut checks: Vec<Check> = [
        pair(
            "malformed",
            "WIRE-11",
            "malformed XML",
            Answer::Status(400),
            body(|e| e.replace("</s:Body>", "</s:Bodi>")),
        ),
        pair(
            "truncated",
            "WIRE-11",
            "XML that is cut off",
            Answer::Status(400),
            body(|e| e[..e.len() - 20].to_owned()),
        ),
        pair(
            "empty-body",
            "WIRE-11",
            "an empty body",
            Answer::Status(400),
            body(|_| String::new()),
        ),
        pair(
            "json",
            "WIRE-11",
            "a JSON body in text/xml",
            Answer::Status(400),
            body(|_| "{\"IsSuccessful\": true}".into()),
        ),
        pair(
            "not-xml-type",
            "WIRE-11",
            "another content type",
            Answer::Status(415),
            |ask: Ask| ask.header("Content-Type", Some("application/json")),
        ),
        pair(
            "soap12-type",
            "WIRE-11",
            "the content type of SOAP 1.2",
            Answer::Status(415),
            |ask: Ask| ask.header("Content-Type", Some("application/soap+xml; charset=utf-8")),
        ),
        pair(
            "unknown-action",
            "WIRE-11",
            "an unknown SOAPAction",
            Answer::Fault("ActionNotSupported"),
            |ask: Ask| {
                ask.header(
                    "SOAPAction",
                    Some(&format!("\"{MESSAGES}/IMirroringClientService/Explode\"")),
                )
            },
        ),
        pair(
            "foreign-action",
            "WIRE-11",
            "another service's SOAPAction",
            Answer::Fault("ActionNotSupported"),
            |ask: Ask| ask.header("SOAPAction", Some("\"http://tempuri.org/IService/Authenticate\"")),
        ),
        pair(
            "other-message",
            "WIRE-11",
            "a body of another operation than SOAPAction names",
            Answer::Fault(""),
            |ask: Ask| ask.header("SOAPAction", Some(&format!("\"{}\"", Operation::Wipe.action()))),
        ),
        pair(
            "foreign-message",
            "WIRE-11",
            "a message of another namespace",
            Answer::Fault(""),
            body(|e| {
                e.replace(
                    &format!("<AuthenticateRequest xmlns=\"{MESSAGES}\""),
                    "<AuthenticateRequest xmlns=\"urn:another\"",
                )
            }),
        ),
        pair(
            "no-envelope",
            "WIRE-11",
            "a message without an envelope",
            Answer::Fault(""),
            body(|_| say::authenticate(None)),
        ),
        pair(
            "no-message",
            "WIRE-11",
            "an empty Body",
            Answer::Fault(""),
            body(|e| {
                let from = e.find("<s:Body>").unwrap_or(0) + 8;
                let to = e.find("</s:Body>").unwrap_or(from);
                format!("{}{}", &e[..from], &e[to..])
            }),
        ),
        pair(
            "soap12",
            "WIRE-11",
            "an envelope of SOAP 1.2",
            Answer::Fault("VersionMismatch"),
            body(|e| e.replace(SOAP11, SOAP12)),
        ),
        pair(
            "not-understood",
            "WIRE-09",
            "a foreign header that says mustUnderstand",
            Answer::Fault("MustUnderstand"),
            body(|e| {
                e.replace(
                    "</s:Header>",
                    "<t:Pay s:mustUnderstand=\"1\" xmlns:t=\"urn:pay\">5</t:Pay></s:Header>",
                )
            }),
        ),
        pair(
            "dtd",
            "WIRE-15",
            "a document type definition",
            Answer::Status(400),
            body(|e| format!("<!DOCTYPE e [<!ENTITY x \"y\">]>{e}")),
        ),
        pair(
            "expanding-entities",
            "WIRE-15",
            "entities that expand without end",
            Answer::Status(400),
            body(|e| {
                let mut dtd = String::from("<!DOCTYPE e [<!ENTITY a0 \"aaaaaaaaaa\">");
                for n in 1..12 {
                    dtd.push_str(&format!(
                        "<!ENTITY a{n} \"{}\">",
                        format!("&a{};", n - 1).repeat(10)
                    ));
                }
                format!(
                    "{dtd}]>{}",
                    e.replace(
                        "<ClientState i:nil=\"true\"/>",
                        "<ClientState>&a11;</ClientState>"
                    )
                )
            }),
        ),
        pair(
            "external-entity",
            "WIRE-15",
            "an entity from a file",
            Answer::Status(400),
            body(|e| {
                format!(
                    "<!DOCTYPE e [<!ENTITY x SYSTEM \"file:///etc/hostname\">]>{}",
                    e.replace("<ClientState i:nil=\"true\"/>", "<ClientState>&x;</ClientState>")
                )
            }),
        ),
        pair(
            "undefined-entity",
            "WIRE-14",
            "an entity that nobody defined",
            Answer::Status(400),
            body(|e| {
                e.replace(
                    "<ClientState i:nil=\"true\"/>",
                    "<ClientState>&nbsp;</ClientState>",
                )
            }),
        ),
        pair(
            "undeclared-prefix",
            "WIRE-07",
            "a prefix that nobody declared",
            Answer::Status(400),
            body(|e| e.replace("<ClientState i:nil=\"true\"/>", "<q:ClientState/>")),
        ),
        pair(
            "trailing",
            "WIRE-16",
            "something behind the document's end",
            Answer::Status(400),
            body(|e| format!("{e}<more/>")),
        ),
        pair(
            "no-token",
            "WIRE-08",
            "a call without SignedToken",
            Answer::Refusal,
            body(|e| {
                let from = e.find("<s:Header>").unwrap_or(0);
                let to = e.find("<s:Body>").unwrap_or(from);
                format!("{}{}", &e[..from], &e[to..])
            }),
        ),
    ]
    .into_iter()
    .flatten()
    .collect();
    checks.extend([
        wrong_rows("second-message", "WIRE-16", "a second message in the Body", |e| {
            e.replace(
                "</s:Body>",
                &format!("{}</s:Body>", say::wipe(None, Some("wrong"))),
            )
        }),
        wrong_rows("text-between", "WIRE-16", "text between elements", |e| {
            e.replace("</a:Data>", "lost</a:Data>")
        }),
        wrong_rows("lsn-no-number", "MSG-06", "an LSN that is no number", |e| {
            e.replace("<a:LSN>20<", "<a:LSN>twenty<")
        }),
        wrong_rows("lsn-too-large", "MSG-06", "an LSN beyond 64 bits", |e| {
            e.replace("<a:LSN>20<", "<a:LSN>99999999999999999999<")
        }),
        wrong_rows(
            "foreign-member",
            "MSG-06",
            "rows in a namespace that is not theirs",
            |e| {
                e.replace("<a:Data>", "<f:Data xmlns:f=\"urn:foreign\">")
                    .replace("</a:Data>", "</f:Data>")
            },
        ),
        wrong_rows(
            "stranger-among-cells",
            "MSG-06",
            "a stranger among a row's cells",
            |e| {
                e.replace(
                    "<b:string>alpha</b:string>",
                    "<b:int>5</b:int><b:string>alpha</b:string>",
                )
            },
        ),
        wrong_rows("element-in-cell", "MSG-06", "an element in a cell's text", |e| {
            e.replace("alpha", "al<b:b>p</b:b>ha")
        }),
        wrong_rows("not-a-character", "WIRE-14", "a reference to no character", |e| {
            e.replace("alpha", "al&#x110000;pha")
        }),
        wrong_rows("cut-in-a-row", "ROW-06", "a call that ends inside a row", |e| {
            let at = e.find("alpha").unwrap_or(e.len());
            e[..at].to_owned()
        }),
        should(
            "faults.method",
            "WIRE-11",
            "another method than POST and GET is refused",
            |b| {
                let mut ask = b.call_ask(A, &say::authenticate(None));
                ask.method = "PUT";
                let length = ask.body.len().to_string();
                ask = ask.header("Content-Length", Some(&length));
                let answer = b.ask(&ask)?;
                b.expect(
                    (400..=501).contains(&answer.status),
                    "HTTP 405",
                    format!("HTTP {}", answer.status),
                )
            },
        ),
        must(
            "faults.deep",
            "WIRE-15",
            "ten thousand nested elements do no harm",
            |b| {
                let token = b.token();
                let deep = format!("{}{}", "<x>".repeat(10_000), "</x>".repeat(10_000));
                let envelope = say::envelope(Some(&token), &say::authenticate(None))
                    .replace("<ClientState i:nil=\"true\"/>", &deep);
                // Accepted or not: an answer must come, and the endpoint must go on.
                b.envelope(A, envelope)?;
                b.authenticate()?;
                Ok(())
            },
        ),
    ]);
    checks
}
