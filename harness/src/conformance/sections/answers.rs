//! Answers: their elements, their order, what Authenticate signs.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use mirrorlab_protocol::answer;
use mirrorlab_protocol::message::{AuthenticateDetail, ResponseDetail};
use mirrorlab_protocol::names::{Operation, same_name};
use mirrorlab_protocol::xml::{self, Ns, Reader};

use super::super::bench::{Bench, read_answer};
use super::super::check::{Check, Done, must, should};
use super::super::say::{self, Batch, TableSpec};
use super::PLAIN;

/// The members of each response, in the contract's order.
fn members(operation: Operation) -> Vec<&'static str> {
    let mut members = vec!["IsSuccessful", "ErrorMessage"];
    match operation {
        Operation::Authenticate => members.extend([
            "SignedApplicationToken",
            "SupportedInterfaces",
            "SuperOfficeMirroringBuild",
            "ClientState",
            "AdditionalInformationJson",
        ]),
        Operation::TableSchema => members.push("MirrorLSN"),
        _ => {}
    }
    members
}

/// What the answer's response element holds, in the order it came; the members of each TableLSN in MirrorLSN.
fn in_order(body: &[u8]) -> Result<(Vec<String>, Vec<Vec<String>>), String> {
    let text = xml::decode(body).map_err(|e| e.to_string())?;
    let mut reader = Reader::new(&text);
    let fail = |e: xml::XmlError| e.to_string();
    let mut names = Vec::new();
    let mut lsns = Vec::new();
    reader.root().map_err(fail)?;
    while let Some(part) = reader.child().map_err(fail)? {
        if part.local() != "Body" {
            reader.skip().map_err(fail)?;
            continue;
        }
        // The response element.
        reader.child().map_err(fail)?;
        while let Some(member) = reader.child().map_err(fail)? {
            if member.ns != Ns::Messages {
                return Err(format!("`{}` is not in the messages' namespace", member.local()));
            }
            names.push(member.local().to_owned());
            if member.local() != "MirrorLSN" {
                reader.skip().map_err(fail)?;
                continue;
            }
            while let Some(lsn) = reader.child().map_err(fail)? {
                if !lsn.is(Ns::Structures, "TableLSN") {
                    return Err(format!(
                        "`{}` in MirrorLSN, expected TableLSN of the structures' namespace",
                        lsn.local()
                    ));
                }
                let mut inner = Vec::new();
                while let Some(member) = reader.child().map_err(fail)? {
                    inner.push(member.local().to_owned());
                    reader.skip().map_err(fail)?;
                }
                lsns.push(inner);
            }
        }
        break;
    }
    Ok((names, lsns))
}

fn ordered(id: &str, operation: Operation, refused: bool) -> Check {
    let title = match refused {
        false => format!("the members of {operation}'s response come in the contract's order"),
        true => format!("the members of {operation}'s refusal come in the contract's order"),
    };
    must(format!("answers.{id}"), "MSG-05", title, move |b| {
        let table = b.table("ordered", PLAIN)?;
        let message = match operation {
            Operation::Authenticate => say::authenticate(None),
            Operation::TableSchema => say::table_schema(None, std::slice::from_ref(&table)),
            Operation::RowData => say::row_data(None, &[Batch::new(&table, 5)]),
            Operation::Wipe => say::wipe(None, Some("ordered")),
            Operation::ReplicationCompleted => say::completed(None, &[]),
        };
        let mut ask = b.call_ask(operation, &message);
        if refused {
            ask.body = say::envelope(Some("nonsense"), &message).into_bytes();
        }
        let answer = b.ask(&ask)?;
        let said = read_answer(operation, &answer);
        if refused {
            b.no(&said, "a call with a nonsense token")?;
        } else {
            b.yes(said, &format!("{operation}"))?;
        }
        let (names, lsns) = match in_order(&answer.body) {
            Ok(read) => read,
            Err(why) => return b.fail("a response that can be read", why),
        };
        let right = members(operation);
        let places: Vec<Option<usize>> = names.iter().map(|n| right.iter().position(|r| r == n)).collect();
        b.expect(
            places.iter().all(Option::is_some) && places.is_sorted(),
            format!("members in this order: {}", right.join(", ")),
            format!("members in this order: {}", names.join(", ")),
        )?;
        for inner in lsns {
            b.expect(
                inner == ["LSN", "TableName"],
                "LSN, TableName in a TableLSN",
                inner.join(", "),
            )?;
        }
        Ok(())
    })
    .and(&["MSG-03", "MSG-04"])
}

fn signed(
    id: &str,
    rule: &'static str,
    title: &str,
    judge: fn(&Bench<'_>, &AuthenticateDetail, &str) -> Done,
) -> Check {
    must(format!("answers.{id}"), rule, title, move |b| {
        let minted = b.mint();
        let said = b.call_as(
            Operation::Authenticate,
            minted.text.as_deref(),
            &say::authenticate(None),
        )?;
        match b.yes(said, "Authenticate with a right token")?.detail {
            ResponseDetail::Authenticate(detail) => judge(b, &detail, &minted.nonce),
            _ => b.fail("an AuthenticateResponse", "another response"),
        }
    })
}

fn token_of(detail: &AuthenticateDetail) -> Vec<&str> {
    detail
        .signed_application_token
        .as_deref()
        .unwrap_or_default()
        .splitn(3, '.')
        .collect()
}

pub(super) fn checks() -> Vec<Check> {
    vec![
        ordered("order-authenticate", Operation::Authenticate, false),
        ordered("order-table-schema", Operation::TableSchema, false),
        ordered("order-row-data", Operation::RowData, false),
        ordered("order-wipe", Operation::Wipe, false),
        ordered("order-completed", Operation::ReplicationCompleted, false),
        ordered("order-refusal", Operation::Authenticate, true),
        signed(
            "three-parts",
            "TRUST-10",
            "SignedApplicationToken is nonce, time, signature",
            |b, detail, _| {
                let parts = token_of(detail);
                b.equal("parts between dots", 3, parts.len())
            },
        ),
        signed(
            "nonce",
            "TRUST-11",
            "the answer signs the token's own nonce",
            |b, detail, nonce| {
                b.equal(
                    "the nonce",
                    nonce,
                    token_of(detail).first().copied().unwrap_or_default(),
                )
            },
        ),
        signed(
            "time",
            "TRUST-11",
            "the answer's time is now, in UTC, to the minute",
            |b, detail, _| {
                let time = token_of(detail).get(1).copied().unwrap_or_default().to_owned();
                let now = mirrorlab_protocol::datetime::DateTime::from_unix_seconds(b.clock());
                let (year, month, day) = now.map(|n| n.date()).unwrap_or_default();
                b.expect(
                    time.len() == 12 && time.bytes().all(|c| c.is_ascii_digit()),
                    "yyyyMMddHHmm, twelve digits",
                    format!("`{time}`"),
                )?;
                let key = &b.shared().application_key;
                let answer = detail.signed_application_token.as_deref();
                let nonce = token_of(detail).first().copied().unwrap_or_default().to_owned();
                match answer::check(answer, &nonce, b.clock(), key) {
                    Err(answer::AnswerError::Drift { seconds }) => b.fail(
                        format!("a time within 15 minutes of {year:04}-{month:02}-{day:02} now, UTC"),
                        format!("`{time}`, {seconds} s away"),
                    ),
                    _ => Ok(()),
                }
            },
        ),
        signed(
            "signature",
            "TRUST-11",
            "the answer is signed by the application's key",
            |b, detail, nonce| {
                let key = &b.shared().application_key;
                let answer = detail.signed_application_token.as_deref();
                match answer::check(answer, nonce, b.clock(), key) {
                    Ok(()) => Ok(()),
                    Err(error) => b.fail(
                        "a SignedApplicationToken that SuperOffice accepts",
                        error.to_string(),
                    ),
                }
            },
        )
        .and(&["TRUST-07", "TRUST-10", "TRUST-12"]),
        signed(
            "signature-base64",
            "TRUST-10",
            "the signature is standard base64 with its padding, without line breaks",
            |b, detail, _| {
                let signature = token_of(detail).get(2).copied().unwrap_or_default().to_owned();
                match STANDARD.decode(&signature) {
                    Ok(bytes) => b.expect(
                        bytes.len() >= 128,
                        "an RSA signature of 128 bytes or more",
                        format!("{} bytes", bytes.len()),
                    ),
                    Err(error) => b.fail("standard base64, padded", format!("`{signature}`: {error}")),
                }
            },
        ),
        must(
            "answers.nonce-each",
            "TRUST-01",
            "each answer signs the nonce of its own call",
            |b| {
                for _ in 0..3 {
                    let minted = b.mint();
                    let said = b.call_as(
                        Operation::Authenticate,
                        minted.text.as_deref(),
                        &say::authenticate(None),
                    )?;
                    let ResponseDetail::Authenticate(detail) = b.yes(said, "Authenticate")?.detail else {
                        return b.fail("an AuthenticateResponse", "another response");
                    };
                    b.equal(
                        "the nonce",
                        minted.nonce.as_str(),
                        token_of(&detail).first().copied().unwrap_or_default(),
                    )?;
                }
                Ok(())
            },
        ),
        should("answers.interfaces", "MSG-03", "SupportedInterfaces is 1", |b| {
            let detail = b.authenticate()?;
            b.equal(
                "SupportedInterfaces",
                Some("1"),
                detail.supported_interfaces.as_deref(),
            )
        }),
        should(
            "answers.build",
            "MSG-03",
            "SuperOfficeMirroringBuild is named",
            |b| {
                let detail = b.authenticate()?;
                b.expect(
                    detail.build.as_deref().is_some_and(|build| !build.is_empty()),
                    "a text in SuperOfficeMirroringBuild",
                    "none",
                )
            },
        ),
        should(
            "answers.additional-json",
            "TASK-10",
            "AdditionalInformationJson is JSON, or nothing",
            |b| {
                let detail = b.authenticate()?;
                let text = detail.additional_information_json.unwrap_or_default();
                b.expect(
                    text.is_empty() || serde_json::from_str::<serde_json::Value>(&text).is_ok(),
                    "JSON, or nothing",
                    text.clone(),
                )
            },
        ),
        must(
            "answers.client-state",
            "MSG-13",
            "the ClientState that was answered is taken back",
            |b| {
                let detail = b.authenticate()?;
                let state = detail.client_state.as_deref();
                let table = TableSpec::new("state", PLAIN);
                let tables = [table.clone()];
                let said = b.call(Operation::TableSchema, &say::table_schema(state, &tables))?;
                b.yes(said, "TableSchema with the ClientState of Authenticate's answer")?;
                let said = b.call(Operation::Wipe, &say::wipe(state, Some("state")))?;
                b.yes(said, "Wipe with it")?;
                let batch = Batch::new(&table, 9).row("I", &["[I:1]", "a"]);
                let said = b.call(Operation::RowData, &say::row_data(state, &[batch]))?;
                b.yes(said, "RowData with it")?;
                let said = b.call(
                    Operation::ReplicationCompleted,
                    &say::completed(state, &[("state", 1, 0, 0)]),
                )?;
                b.yes(said, "ReplicationCompleted with it")?;
                Ok(())
            },
        ),
        must(
            "answers.each-table-once",
            "LSN-04",
            "MirrorLSN names every table of the call, once",
            |b| {
                let tables: Vec<TableSpec> = ["contact", "Person", "y_Extra", "sale"]
                    .iter()
                    .map(|name| TableSpec::new(name, PLAIN))
                    .collect();
                let lsns = b.schema(&tables)?;
                for table in &tables {
                    let count = lsns
                        .iter()
                        .filter(|lsn| same_name(&lsn.table, &table.name))
                        .count();
                    b.equal(&format!("entries for `{}`", table.name), 1, count)?;
                }
                b.equal("entries", tables.len(), lsns.len())
            },
        ),
        should(
            "answers.names-as-sent",
            "LSN-04",
            "MirrorLSN writes names as the call does",
            |b| {
                let tables = [TableSpec::new("MixedCase", PLAIN)];
                let lsns = b.schema(&tables)?;
                b.equal(
                    "the name",
                    "MixedCase",
                    lsns.first().map_or("", |lsn| lsn.table.as_str()),
                )
            },
        ),
        must(
            "answers.refusal-has-text",
            "WIRE-10",
            "a refusal of each operation says why",
            |b| {
                let table = b.table("told", PLAIN)?;
                for (operation, message) in [
                    (Operation::Authenticate, say::authenticate(None)),
                    (
                        Operation::TableSchema,
                        say::table_schema(None, std::slice::from_ref(&table)),
                    ),
                    (Operation::RowData, say::row_data(None, &[Batch::new(&table, 5)])),
                    (Operation::Wipe, say::wipe(None, Some("told"))),
                    (Operation::ReplicationCompleted, say::completed(None, &[])),
                ] {
                    b.trying(Some(format!("operation={operation}")));
                    let said = b.call_as(operation, Some("nonsense"), &message)?;
                    b.no(&said, &format!("{operation} with a nonsense token"))?;
                }
                Ok(())
            },
        ),
    ]
}
