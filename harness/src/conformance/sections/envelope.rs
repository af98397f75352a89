//! Envelope: the same call in every form that XML allows, and .NET or a proxy may choose.

use mirrorlab_protocol::names::{ARRAYS, Operation};
use mirrorlab_simulator::authority::TokenDefect;

use super::super::bench::Bench;
use super::super::check::{Check, Done, must, should};
use super::super::say::{self, Batch, TableSpec};
use super::PLAIN;

const LSN: i64 = 77;

/// A RowData with one row whose text is `alpha`, in another form; what the mirror must then hold.
fn form(
    level: fn(String, &'static str, String, Box<Body>) -> Check,
    id: &str,
    rule: &'static str,
    title: &str,
    kept: &'static str,
    change: impl Fn(&str) -> Vec<u8> + Send + Sync + 'static,
) -> Check {
    let what = title.to_owned();
    level(
        format!("envelope.{id}"),
        rule,
        title.to_owned(),
        Box::new(move |b| {
            let table = b.table("form", PLAIN)?;
            let batch = Batch::new(&table, LSN).row("I", &["[I:1]", "alpha"]);
            let token = b.token();
            let envelope = say::envelope(Some(&token), &say::row_data(None, &[batch]));
            let said = b.envelope(Operation::RowData, change(&envelope))?;
            b.yes(said, &format!("RowData ({what})"))?;
            b.holds(&table, &[&["[I:1]", kept]])?;
            b.lsn_is(&[table], "form", LSN)
        }),
    )
}

type Body = dyn Fn(&mut Bench<'_>) -> Done + Send + Sync;

fn musts(id: String, rule: &'static str, title: String, body: Box<Body>) -> Check {
    must(id, rule, title, body)
}

fn shoulds(id: String, rule: &'static str, title: String, body: Box<Body>) -> Check {
    should(id, rule, title, body)
}

fn text(change: impl Fn(&str) -> String + Send + Sync + 'static) -> impl Fn(&str) -> Vec<u8> + Send + Sync {
    move |envelope| change(envelope).into_bytes()
}

fn utf16(text: &str, unit: fn(u16) -> [u8; 2]) -> Vec<u8> {
    std::iter::once('\u{feff}')
        .chain(text.chars())
        .collect::<String>()
        .encode_utf16()
        .flat_map(unit)
        .collect()
}

/// As [`form`], in UTF-16.
fn in_utf16(id: &str, title: &str, charset: &'static str, unit: fn(u16) -> [u8; 2]) -> Check {
    should(format!("envelope.{id}"), "WIRE-14", title, move |b| {
        let table = b.table("form", PLAIN)?;
        let batch = Batch::new(&table, LSN).row("I", &["[I:1]", "æøå 日本"]);
        let token = b.token();
        let envelope = say::envelope(Some(&token), &say::row_data(None, &[batch]));
        let ask = super::super::wire::Ask::call(Operation::RowData, utf16(&envelope, unit))
            .header("Content-Type", Some(&format!("text/xml; charset={charset}")));
        let answer = b.ask(&ask)?;
        b.yes(
            super::super::bench::read_answer(Operation::RowData, &answer),
            "RowData in UTF-16",
        )?;
        b.holds(&table, &[&["[I:1]", "æøå 日本"]])
    })
}

pub(super) fn checks() -> Vec<Check> {
    vec![
        form(
            musts,
            "other-prefixes",
            "WIRE-07",
            "prefixes may be any",
            "alpha",
            text(|e| {
                let mut out = e.replace("i:nil", "xsi:nil").replace("xmlns:i=", "xmlns:xsi=");
                for (from, to) in [("a", "data"), ("b", "arr"), ("s", "SOAP-ENV"), ("h", "q1")] {
                    out = out
                        .replace(&format!("<{from}:"), &format!("<{to}:"))
                        .replace(&format!("</{from}:"), &format!("</{to}:"))
                        .replace(&format!("xmlns:{from}="), &format!("xmlns:{to}="));
                }
                out.replace(" s:mustUnderstand", " SOAP-ENV:mustUnderstand")
            }),
        ),
        form(
            musts,
            "default-namespace",
            "WIRE-07",
            "a namespace may be declared as the default where it is used",
            "alpha",
            text(|e| {
                e.replace("<b:string", &format!("<string xmlns=\"{ARRAYS}\""))
                    .replace("</b:string>", "</string>")
            }),
        ),
        form(
            musts,
            "message-prefix",
            "WIRE-07",
            "the message itself may have a prefix",
            "alpha",
            text(|e| {
                let mut out = e.replace("<RowDataRequest xmlns=", "<m:RowDataRequest xmlns:m=");
                for name in ["ClientState", "DataBatches"] {
                    out = out.replace(&format!("<{name}"), &format!("<m:{name}"));
                }
                out.replace("</DataBatches>", "</m:DataBatches>")
                    .replace("</RowDataRequest>", "</m:RowDataRequest>")
            }),
        ),
        form(
            musts,
            "single-quotes",
            "WIRE-14",
            "attributes may be in single quotes",
            "alpha",
            text(|e| e.replace('"', "'")),
        ),
        form(
            musts,
            "xml-declaration",
            "WIRE-14",
            "an XML declaration may come first",
            "alpha",
            text(|e| format!("<?xml version=\"1.0\" encoding=\"utf-8\"?>{e}")),
        ),
        form(
            musts,
            "byte-order-mark",
            "WIRE-14",
            "a byte order mark may come first",
            "alpha",
            text(|e| format!("\u{feff}{e}")),
        ),
        form(
            musts,
            "white-space",
            "WIRE-14",
            "white space may stand between elements",
            "alpha",
            text(|e| e.replace("><", ">\r\n\t <")),
        ),
        form(
            musts,
            "comments",
            "WIRE-14",
            "comments may stand between elements",
            "alpha",
            text(|e| e.replace("><", "><!-- a comment --><")),
        ),
        form(
            musts,
            "comment-in-text",
            "WIRE-14",
            "a comment may stand in a text",
            "alpha",
            text(|e| e.replace("alpha", "al<!-- not a part -->pha")),
        ),
        form(
            musts,
            "cdata",
            "WIRE-14",
            "a text may be CDATA",
            "al<p>ha",
            text(|e| e.replace("alpha", "al<![CDATA[<p>]]>ha")),
        ),
        form(
            musts,
            "references",
            "WIRE-14",
            "characters and the five entities may be references",
            "a<>&\"'Aé",
            text(|e| e.replace("alpha", "&#97;&lt;&gt;&amp;&quot;&apos;&#x41;&#233;")),
        ),
        form(
            musts,
            "emoji-reference",
            "WIRE-14",
            "a reference may be beyond the basic plane",
            "😀",
            text(|e| e.replace("alpha", "&#x1F600;")),
        ),
        form(
            musts,
            "nil-false",
            "MSG-01",
            "nil=\"false\" is no NULL",
            "alpha",
            text(|e| e.replace("<b:string>alpha", "<b:string i:nil=\"false\">alpha")),
        ),
        form(
            musts,
            "nil-one",
            "MSG-08",
            "nil may be written as 1",
            "~",
            text(|e| e.replace("<b:string>alpha</b:string>", "<b:string i:nil=\"1\"/>")),
        ),
        form(
            musts,
            "nil-pair",
            "MSG-08",
            "NULL may be a start and an end tag",
            "~",
            text(|e| {
                e.replace(
                    "<b:string>alpha</b:string>",
                    "<b:string i:nil=\"true\"></b:string>",
                )
            }),
        ),
        form(
            musts,
            "empty-pair",
            "MSG-08",
            "the empty text may be a start and an end tag, and is not NULL",
            "",
            text(|e| e.replace("alpha", "")),
        ),
        form(
            musts,
            "no-client-state",
            "MSG-01",
            "ClientState may be absent",
            "alpha",
            text(|e| e.replace("<ClientState i:nil=\"true\"/>", "")),
        ),
        form(
            musts,
            "client-state",
            "MSG-13",
            "ClientState may be a text",
            "alpha",
            text(|e| {
                e.replace(
                    "<ClientState i:nil=\"true\"/>",
                    "<ClientState>{ \"state\": \"of the cycle\" }</ClientState>",
                )
            }),
        ),
        form(
            musts,
            "unknown-header",
            "WIRE-09",
            "a header that need not be understood is skipped",
            "alpha",
            text(|e| {
                e.replace(
                    "</s:Header>",
                    "<t:Trace xmlns:t=\"urn:trace\"><t:Id>5</t:Id></t:Trace></s:Header>",
                )
            }),
        ),
        form(
            musts,
            "header-not-mandatory",
            "WIRE-09",
            "mustUnderstand=\"0\" asks for nothing",
            "alpha",
            text(|e| {
                e.replace(
                    "</s:Header>",
                    "<t:Trace s:mustUnderstand=\"0\" xmlns:t=\"urn:trace\">5</t:Trace></s:Header>",
                )
            }),
        ),
        form(
            shoulds,
            "unknown-member",
            "MSG-06",
            "members that the contract does not know are skipped",
            "alpha",
            text(|e| {
                e.replace(
                    "</a:Data>",
                    "</a:Data><a:FromTheFuture><a:Deep>5</a:Deep></a:FromTheFuture>",
                )
            }),
        ),
        form(
            shoulds,
            "any-order",
            "MSG-06",
            "members are read in any order",
            "alpha",
            text(|e| {
                // A batch's rows behind its LSN.
                let lsn = format!("<a:LSN>{LSN}</a:LSN>");
                e.replace(&lsn, "").replace("<a:Data>", &format!("{lsn}<a:Data>"))
            }),
        ),
        form(
            musts,
            "lsn-white-space",
            "WIRE-14",
            "white space around a number does not count",
            "alpha",
            text(|e| e.replace(&format!("<a:LSN>{LSN}"), &format!("<a:LSN> {LSN}\r\n"))),
        ),
        form(
            musts,
            "operation-white-space",
            "WIRE-14",
            "white space around an Operation does not count",
            "alpha",
            text(|e| e.replace("<a:Operation>I<", "<a:Operation>\r\n I <")),
        ),
        in_utf16(
            "utf16-le",
            "a call may be UTF-16, little end first",
            "utf-16",
            u16::to_le_bytes,
        ),
        in_utf16(
            "utf16-be",
            "a call may be UTF-16, big end first",
            "utf-16",
            u16::to_be_bytes,
        ),
        must(
            "envelope.token-line-breaks",
            "WIRE-08",
            "white space and line breaks around the token do not count",
            |b| {
                let minted = b.mint();
                let now = b.clock();
                let token = b.tokens().defective(&TokenDefect::LineBreaks, &minted.nonce, now);
                let said = b.call_as(
                    Operation::Authenticate,
                    token.as_deref(),
                    &say::authenticate(None),
                )?;
                b.yes(said, "a token between line breaks")?;
                Ok(())
            },
        ),
        must(
            "envelope.token-in-pieces",
            "WIRE-08",
            "the token's text may be in pieces of CDATA",
            |b| {
                let token = b.token();
                let (one, two) = token.split_at(token.len() / 2);
                let envelope = say::envelope(Some(&token), &say::authenticate(None))
                    .replace(&token, &format!("{one}<![CDATA[{two}]]>"));
                let said = b.envelope(Operation::Authenticate, envelope)?;
                b.yes(said, "a token whose second half is CDATA")?;
                Ok(())
            },
        ),
        must(
            "envelope.no-nullable",
            "MSG-14",
            "a column without IsNullable is NOT NULL",
            |b| {
                let mut table = TableSpec::new("bare", "id int not null; v int null");
                for column in &mut table.columns {
                    column.nullable = None;
                }
                b.schema(std::slice::from_ref(&table))?;
                b.rows_refused(
                    &[Batch::new(&table, 3).row("I", &["[I:1]", "~"])],
                    "NULL in a column that did not say IsNullable",
                )?;
                b.rows(&[Batch::new(&table, 4).row("I", &["[I:1]", "[I:2]"])])?;
                b.lsn_is(&[table], "bare", 4)
            },
        ),
        must(
            "envelope.no-lsn",
            "MSG-14",
            "a batch without an LSN stores none",
            |b| {
                let table = b.table("none", PLAIN)?;
                b.rows(&[Batch::new(&table, 0).at(None).row("I", &["[I:1]", "a"])])?;
                b.holds(&table, &[&["[I:1]", "a"]])?;
                b.lsn_is(&[table], "none", -1)
            },
        ),
        must(
            "envelope.rows-before-table",
            "MSG-07",
            "a batch's rows come before the name of their table",
            |b| {
                let (one, two) = (TableSpec::new("one", PLAIN), TableSpec::new("two", PLAIN));
                b.schema(&[one.clone(), two.clone()])?;
                b.rows(&[
                    Batch::new(&one, 5).row("I", &["[I:1]", "of one"]),
                    Batch::new(&two, 6).row("I", &["[I:1]", "of two"]),
                ])?;
                b.holds(&one, &[&["[I:1]", "of one"]])?;
                b.holds(&two, &[&["[I:1]", "of two"]])?;
                b.lsn_is(&[one.clone(), two.clone()], "one", 5)?;
                b.lsn_is(&[one, two], "two", 6)
            },
        )
        .and(&["MSG-02", "MSG-04"]),
    ]
}
