//! Transport: HTTP in all the forms that the real client, its proxies and its tests use.

use std::time::Duration;

use mirrorlab_protocol::names::{Operation, SERVICE_FILE};

use super::super::bench::{Bench, read_answer};
use super::super::check::{Check, Done, must, should};
use super::super::say::{self, Batch, TableSpec};
use super::super::wire::{Ask, Framing};
use super::PLAIN;

const AUTHENTICATE: Operation = Operation::Authenticate;

/// An Authenticate in another form is an Authenticate.
fn same(
    id: &str,
    rule: &'static str,
    title: &str,
    change: impl Fn(Ask) -> Ask + Send + Sync + 'static,
) -> Check {
    let what = title.to_owned();
    must(id, rule, title, move |b| {
        let ask = change(b.call_ask(AUTHENTICATE, &say::authenticate(None)));
        let answer = b.ask(&ask)?;
        b.yes(
            read_answer(AUTHENTICATE, &answer),
            &format!("Authenticate ({what})"),
        )?;
        Ok(())
    })
}

/// A GET is answered with a document.
fn shows(id: &str, title: &str, query: &'static str, words: &'static [&'static str]) -> Check {
    should(id, "WIRE-12", title, move |b| {
        let answer = b.ask(&Ask::get(query))?;
        b.equal("HTTP status", 200, answer.status)?;
        let text = answer.text();
        for word in words {
            b.expect(
                text.contains(word),
                format!("a document with `{word}` in it"),
                "a document without it",
            )?;
        }
        Ok(())
    })
}

pub(super) fn checks() -> Vec<Check> {
    vec![
        same(
            "transport.quoted-action",
            "WIRE-03",
            "SOAPAction may be quoted",
            |ask| ask,
        ),
        same(
            "transport.bare-action",
            "WIRE-03",
            "SOAPAction may be unquoted",
            |ask| ask.header("SOAPAction", Some(&AUTHENTICATE.action())),
        ),
        same(
            "transport.content-type-case",
            "WIRE-01",
            "letter case of Content-Type does not count",
            |ask| ask.header("Content-Type", Some("Text/XML; Charset=UTF-8")),
        ),
        same(
            "transport.charset-quoted",
            "WIRE-01",
            "the charset may be quoted",
            |ask| ask.header("Content-Type", Some("text/xml;charset=\"utf-8\"")),
        ),
        same(
            "transport.lower-case-headers",
            "WIRE-01",
            "headers may be in lower case",
            |mut ask| {
                for (name, _) in &mut ask.headers {
                    *name = name.to_ascii_lowercase();
                }
                ask
            },
        ),
        same(
            "transport.tracing-headers",
            "WIRE-05",
            "headers of .NET's tracing and of proxies change nothing",
            |ask| {
                ask.header("Request-Id", Some("|4bf92f3577b34da6a3ce929d0e0e4736.00f067aa."))
                    .header(
                        "Traceparent",
                        Some("00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-00"),
                    )
                    .header("X-Forwarded-For", Some("203.0.113.7"))
                    .header("X-Forwarded-Proto", Some("https"))
                    .header("X-Forwarded-Host", Some("mirror.example"))
            },
        ),
        same(
            "transport.no-accept-encoding",
            "WIRE-05",
            "a caller need not take gzip",
            |ask| ask.header("Accept-Encoding", None),
        ),
        must(
            "transport.gzip-only-if-accepted",
            "WIRE-05",
            "an answer is not packed for a caller who does not take that",
            |b| {
                let ask = b
                    .call_ask(AUTHENTICATE, &say::authenticate(None))
                    .header("Accept-Encoding", None);
                let answer = b.ask(&ask)?;
                let encoding = answer.header("content-encoding").unwrap_or("identity");
                b.expect(
                    encoding.eq_ignore_ascii_case("identity"),
                    "no Content-Encoding",
                    format!("Content-Encoding: {encoding}"),
                )
            },
        ),
        must(
            "transport.long-answer",
            "WIRE-05",
            "a long answer can be read by a caller who takes gzip",
            |b| {
                let tables: Vec<TableSpec> = (0..60)
                    .map(|n| TableSpec::new(&format!("table_{n}"), PLAIN))
                    .collect();
                let lsns = b.schema(&tables)?;
                b.equal("tables in MirrorLSN", tables.len(), lsns.len())
            },
        ),
        same(
            "transport.expect-continue",
            "WIRE-05",
            "a call may ask for 100 Continue first",
            |mut ask| {
                ask.expects_continue = true;
                ask
            },
        ),
        same(
            "transport.chunked",
            "WIRE-01",
            "a body may be chunked",
            |mut ask| {
                ask.framing = Framing::Chunked(512);
                ask
            },
        ),
        same(
            "transport.chunked-small",
            "WIRE-01",
            "chunks may be small",
            |mut ask| {
                ask.framing = Framing::Chunked(7);
                ask
            },
        ),
        same(
            "transport.http10",
            "WIRE-01",
            "a proxy may speak HTTP/1.0",
            |mut ask| {
                ask.framing = Framing::Http10;
                ask
            },
        ),
        same(
            "transport.slow",
            "WIRE-06",
            "a call may come slowly, in pieces",
            |mut ask| {
                ask.pace = Some((ask.body.len() / 6 + 1, Duration::from_millis(60)));
                ask
            },
        ),
        must(
            "transport.keep-alive",
            "WIRE-01",
            "calls may follow each other over one connection",
            keep_alive,
        ),
        must(
            "transport.no-leftover",
            "WIRE-11",
            "after a refused call the connection is sound, or closed",
            no_leftover,
        ),
        must(
            "transport.large-call",
            "WIRE-06",
            "a RowData of two million bytes is taken",
            |b| {
                let table = b.table("large", "id int not null; v nvarchar(1000) null")?;
                let text = "wide row ".repeat(100);
                let mut batch = Batch::new(&table, 41);
                for id in 0..2000 {
                    batch = batch.row("I", &[&format!("[I:{id}]"), &text]);
                }
                b.rows(&[batch])?;
                b.lsn_is(&[table], "large", 41)
            },
        ),
        must(
            "transport.huge-row",
            "WIRE-06",
            "a single row of eleven million characters is taken",
            |b| {
                let table = b.table("huge", "id int not null; v nvarchar(max) null")?;
                let text = "eleven bytes".repeat(11_000_000 / 12);
                b.rows(&[Batch::new(&table, 42).row("I", &["[I:1]", &text])])?;
                b.holds(&table, &[&["[I:1]", &text]])?;
                b.lsn_is(&[table], "huge", 42)
            },
        )
        .and(&["MSG-11"]),
        must(
            "transport.large-schema",
            "WIRE-06",
            "a TableSchema of 413 tables is taken",
            |b| {
                let columns: String = (0..12)
                    .map(|n| format!("; some_column_name_{n} nvarchar(255) null default (N'')"))
                    .collect();
                let tables: Vec<TableSpec> = (0..413)
                    .map(|n| TableSpec::new(&format!("crm_table_{n}"), &format!("id int not null{columns}")))
                    .collect();
                let lsns = b.schema(&tables)?;
                b.equal("tables in MirrorLSN", tables.len(), lsns.len())
            },
        )
        .and(&["SCHEMA-01"]),
        must(
            "transport.answer-type",
            "WIRE-01",
            "an answer is text/xml in utf-8",
            |b| {
                let ask = b.call_ask(AUTHENTICATE, &say::authenticate(None));
                let answer = b.ask(&ask)?;
                let kind = answer
                    .header("content-type")
                    .unwrap_or_default()
                    .to_ascii_lowercase();
                let mut parts = kind.split(';').map(str::trim);
                let is_xml = parts.next() == Some("text/xml");
                let charset = parts.find_map(|p| p.strip_prefix("charset=")).unwrap_or("utf-8");
                b.expect(
                    is_xml && charset.trim_matches('"') == "utf-8",
                    "Content-Type: text/xml; charset=utf-8",
                    format!("Content-Type: {kind}"),
                )
            },
        ),
        must(
            "transport.path",
            "WIRE-02",
            "the endpoint's path ends in MirroringClientService.svc",
            |b| {
                let path = b.shared().wire.url().path().to_owned();
                b.expect(
                    path.ends_with(&format!("/{SERVICE_FILE}")),
                    format!("a path that ends in /{SERVICE_FILE}"),
                    path,
                )
            },
        ),
        shows("transport.page", "GET shows a page for people", "", &["<"]),
        shows(
            "transport.wsdl",
            "?wsdl gives the contract",
            "?wsdl",
            &["definitions", "Authenticate"],
        ),
        shows(
            "transport.single-wsdl",
            "?singleWsdl gives the contract in one document",
            "?singleWsdl",
            &["definitions", "ReplicationCompletedRequest"],
        ),
        must(
            "transport.reach-test",
            "WIRE-13",
            "the vendor's test of reach, a nonsense token, is refused politely",
            |b| {
                let said = b.call_as(AUTHENTICATE, Some("nonsense"), &say::authenticate(None))?;
                b.no(&said, "Authenticate with a nonsense token")
            },
        )
        .and(&["WIRE-10"]),
        must(
            "transport.five-operations",
            "WIRE-04",
            "each of the five operations is answered",
            |b| {
                b.authenticate()?;
                let table = b.table("five", PLAIN)?;
                b.wipe("five")?;
                b.rows(&[Batch::new(&table, 7).row("I", &["[I:1]", "a"])])?;
                let said = b.call(
                    Operation::ReplicationCompleted,
                    &say::completed(None, &[("five", 1, 0, 0)]),
                )?;
                b.yes(said, "ReplicationCompleted")?;
                Ok(())
            },
        )
        .and(&["TASK-03"]),
    ]
}

fn keep_alive(b: &mut Bench<'_>) -> Done {
    let wire = b.shared().wire.clone();
    let mut connection = match wire.connect() {
        Ok(connection) => connection,
        Err(error) => return b.fail("a connection", error.to_string()),
    };
    for number in 1..=3 {
        let ask = b.call_ask(AUTHENTICATE, &say::authenticate(None));
        match wire.ask_over(&mut connection, &ask) {
            Ok(answer) => {
                b.yes(
                    read_answer(AUTHENTICATE, &answer),
                    &format!("call {number} over one connection"),
                )?;
                if !answer.kept_alive {
                    // It said that it closes: that is right too.
                    return Ok(());
                }
            }
            Err(error) => {
                return b.fail(
                    format!("an answer to call {number} over a connection that the endpoint keeps open"),
                    error.to_string(),
                );
            }
        }
    }
    Ok(())
}

/// What is left unread of a refused call must not be taken for the next one.
fn no_leftover(b: &mut Bench<'_>) -> Done {
    let wire = b.shared().wire.clone();
    let mut connection = match wire.connect() {
        Ok(connection) => connection,
        Err(error) => return b.fail("a connection", error.to_string()),
    };
    let table = TableSpec::new("left", PLAIN);
    let mut batch = Batch::new(&table, 5);
    for id in 0..300 {
        batch = batch.row("I", &[&format!("[I:{id}]"), "POST / HTTP/1.1 Content-Length: 5"]);
    }
    let refused = Ask::call(
        Operation::RowData,
        say::envelope(Some("nonsense"), &say::row_data(None, &[batch])).into_bytes(),
    );
    let answer = match wire.ask_over(&mut connection, &refused) {
        Ok(answer) => answer,
        Err(error) => return b.fail("an answer to a call with a nonsense token", error.to_string()),
    };
    if !answer.kept_alive {
        return Ok(());
    }
    let ask = b.call_ask(AUTHENTICATE, &say::authenticate(None));
    match wire.ask_over(&mut connection, &ask) {
        Ok(answer) => {
            b.yes(
                read_answer(AUTHENTICATE, &answer),
                "a right call after a refused one on the same connection",
            )?;
            Ok(())
        }
        // Closed after all: no answer was given to a wrong call.
        Err(_) => Ok(()),
    }
}
