//! What a receiver takes from senders that write otherwise than .NET, and what it refuses.

#![allow(clippy::unwrap_used)] // helpers of tests fail by panicking, too

use mirrorlab_protocol::message::{Request, ResponseDetail, TableLsn, read_request, read_response};
use mirrorlab_protocol::names::{ARRAYS, INSTANCE, MESSAGES, Operation, SOAP11, STRUCTURES};
use mirrorlab_protocol::soap::{self, Head, Peek, SoapError};
use mirrorlab_protocol::xml::{self, Reader};
use proptest::prelude::*;

/// Reads a whole call; errors as their text.
fn read(bytes: &[u8]) -> Result<(Head, String), String> {
    let text = xml::decode(bytes).map_err(|e| e.to_string())?;
    let mut reader = Reader::new(&text);
    let head = soap::open(&mut reader).map_err(|e| e.to_string())?;
    let request = read_request(&mut reader).map_err(|e| e.to_string())?;
    Ok((head, describe(&request)))
}

/// A request in a line a cell, so that a difference is seen.
fn describe(request: &Request<'_>) -> String {
    let mut out = format!("{} {:?}", request.operation(), request.client_state());
    if let Request::RowData { batches, .. } = request {
        for batch in batches {
            let table = batch.table.as_ref();
            out += &format!(
                "\nbatch lsn {:?} table {:?} columns {:?}",
                batch.lsn,
                table.and_then(|t| t.name.as_deref()),
                table.map(|t| t.columns.iter().map(|c| c.name.as_deref()).collect::<Vec<_>>())
            );
            for row in batch.rows.iter() {
                out += &format!("\n{:?} {:?}", row.operation, row.cells);
            }
        }
    }
    out
}

/// What every variant below must be read as.
const MEANING: &str = r#"RowData Some("state")
batch lsn Some(42) table Some("contact") columns Some([Some("contact_id"), Some("name")])
Insert [Some("[I:1]"), Some(" a<b>&c ")]
Delete [Some("[I:2]"), None]"#;

fn head() -> Head {
    Head {
        token: Some("aaa.bbb.ccc".into()),
    }
}

/// As .NET writes it.
fn usual() -> String {
    format!(
        "<s:Envelope xmlns:s=\"{SOAP11}\"><s:Header><h:SignedToken s:mustUnderstand=\"1\" xmlns:h=\"{MESSAGES}\">aaa.bbb.ccc</h:SignedToken></s:Header><s:Body>\
        <RowDataRequest xmlns=\"{MESSAGES}\"><ClientState>state</ClientState><DataBatches xmlns:a=\"{STRUCTURES}\" xmlns:i=\"{INSTANCE}\"><a:RowDataBatch>\
        <a:Data><a:RowData><a:ColumnValues xmlns:b=\"{ARRAYS}\"><b:string>[I:1]</b:string><b:string> a&lt;b&gt;&amp;c </b:string></a:ColumnValues><a:Operation>I</a:Operation></a:RowData>\
        <a:RowData><a:ColumnValues xmlns:b=\"{ARRAYS}\"><b:string>[I:2]</b:string><b:string i:nil=\"true\"/></a:ColumnValues><a:Operation>D</a:Operation></a:RowData></a:Data>\
        <a:LSN>42</a:LSN><a:TableInfo><a:Columns><a:ColumnInfo><a:DefaultValue/><a:IsNullable>false</a:IsNullable><a:Name>contact_id</a:Name><a:Type>int</a:Type></a:ColumnInfo>\
        <a:ColumnInfo><a:DefaultValue/><a:IsNullable>true</a:IsNullable><a:Name>name</a:Name><a:Type>ntext</a:Type></a:ColumnInfo></a:Columns><a:TableName>contact</a:TableName></a:TableInfo>\
        </a:RowDataBatch></DataBatches></RowDataRequest></s:Body></s:Envelope>"
    )
}

/// Another hand: every element prefixed anew, single quotes, white space, comments, CDATA, references, members in
/// another order and strangers among them.
fn unusual() -> String {
    format!(
        "<?xml version='1.0' encoding='utf-8'?>\r\n<!-- hello -->\n<SOAP-ENV:Envelope xmlns:SOAP-ENV = '{SOAP11}' xmlns:m='{MESSAGES}' xmlns:st='{STRUCTURES}'\n xmlns:xsi='{INSTANCE}' xmlns:arr='{ARRAYS}' SOAP-ENV:encodingStyle=''>
 <SOAP-ENV:Header >
  <other xmlns='urn:x' SOAP-ENV:mustUnderstand='0'><deep><deeper/></deep></other>
  <m:SignedToken SOAP-ENV:mustUnderstand='true' SOAP-ENV:actor=\"\">\r\n   aaa.<!-- -->bbb<![CDATA[.ccc]]>\r\n  </m:SignedToken>
 </SOAP-ENV:Header>
 <SOAP-ENV:Body wsu:Id='x' xmlns:wsu='urn:y'>
  <m:RowDataRequest>
   <m:DataBatches>
    <st:Future><st:thing/></st:Future>
    <st:RowDataBatch>
     <st:TableInfo>
      <st:TableName>con<![CDATA[tact]]></st:TableName>
      <st:Columns>
       <st:ColumnInfo><st:Type>int</st:Type><st:Name>contact_id</st:Name><st:IsNullable> 0 </st:IsNullable></st:ColumnInfo>
       <st:ColumnInfo><st:Type>ntext</st:Type><st:Collation>x</st:Collation><st:Name>&#x6e;&#97;me</st:Name></st:ColumnInfo>
      </st:Columns>
     </st:TableInfo>
     <st:LSN> 42 </st:LSN>
     <st:Data>
      <st:RowData><st:Operation> i </st:Operation>
       <st:ColumnValues><arr:string>[I:<!-- c -->1]</arr:string> <arr:string> a&#60;b&#x3E;<![CDATA[&c ]]></arr:string></st:ColumnValues>
      </st:RowData>
      <st:RowData><st:ColumnValues><arr:string>[I:2]</arr:string><arr:string xsi:nil='1'></arr:string></st:ColumnValues><st:Operation>D</st:Operation></st:RowData>
     </st:Data>
    </st:RowDataBatch>
   </m:DataBatches>
   <m:ClientState>state</m:ClientState>
   <m:NewMember m:x='1'>text</m:NewMember>
  </m:RowDataRequest>
 </SOAP-ENV:Body>
</SOAP-ENV:Envelope>
<!-- bye --><?pi?>
"
    )
}

fn utf16(text: &str, big: bool, mark: bool) -> Vec<u8> {
    let mark = mark.then_some(0xfeff);
    mark.into_iter()
        .chain(text.encode_utf16())
        .flat_map(|unit| {
            if big {
                unit.to_be_bytes()
            } else {
                unit.to_le_bytes()
            }
        })
        .collect()
}

#[test]
fn a_receiver_reads_what_senders_may_vary() {
    let expected = Ok((head(), MEANING.to_owned()));
    assert_eq!(read(usual().as_bytes()), expected);
    assert_eq!(read(unusual().as_bytes()), expected);
    assert_eq!(read(format!("\u{feff}{}", usual()).as_bytes()), expected, "BOM");
    let named = unusual().replace("encoding='utf-8'", "encoding='utf-16'");
    for big in [false, true] {
        for mark in [false, true] {
            assert_eq!(read(&utf16(&named, big, mark)), expected, "UTF-16 {big} {mark}");
        }
    }
}

#[test]
fn white_space_stays_in_cells_and_line_ends_become_lf() {
    let message = usual().replace("> a&lt;b&gt;&amp;c <", ">\t\r\n\r x &#xD;&#xA;&#9;&#x20; <");
    let (_, read) = read(message.as_bytes()).unwrap();
    assert!(read.contains(r#"Some("\t\n\n x \r\n\t  ")"#), "{read}");
}

#[test]
fn nil_is_not_empty() {
    for (cell, expected) in [
        ("<b:string/>", "Some(\"\")"),
        ("<b:string></b:string>", "Some(\"\")"),
        ("<b:string i:nil=\"false\"/>", "Some(\"\")"),
        ("<b:string i:nil=\"true\"/>", "None"),
        ("<b:string i:nil=\"1\"></b:string>", "None"),
        (
            "<b:string xmlns:q=\"http://www.w3.org/2001/XMLSchema-instance\" q:nil='true' other='x'/>",
            "None",
        ),
        // Not the attribute that means it.
        ("<b:string nil=\"true\"/>", "Some(\"\")"),
        ("<b:string xmlns:q=\"urn:x\" q:nil=\"true\"/>", "Some(\"\")"),
    ] {
        let message = usual().replace("<b:string i:nil=\"true\"/>", cell);
        let (_, read) = read(message.as_bytes()).unwrap();
        assert!(
            read.ends_with(&format!("Delete [Some(\"[I:2]\"), {expected}]")),
            "{cell}: {read}"
        );
    }
}

#[test]
fn absent_members_are_absent() {
    let empty = |body: &str| format!("<e:Envelope xmlns:e='{SOAP11}'><e:Body>{body}</e:Body></e:Envelope>");
    let said: Vec<String> = [
        format!("<AuthenticateRequest xmlns='{MESSAGES}'/>"),
        format!("<RowDataRequest xmlns='{MESSAGES}'/>"),
        format!("<RowDataRequest xmlns='{MESSAGES}'><DataBatches/></RowDataRequest>"),
        format!(
            "<RowDataRequest xmlns='{MESSAGES}'><DataBatches xmlns:a='{STRUCTURES}' xmlns:i='{INSTANCE}'>\
            <a:RowDataBatch/><a:RowDataBatch><a:Data><a:RowData/><a:RowData><a:ColumnValues/></a:RowData></a:Data><a:TableInfo i:nil='true'/></a:RowDataBatch>\
            </DataBatches></RowDataRequest>"
        ),
    ]
    .iter()
    .map(|body| {
        let (head, read) = read(empty(body).as_bytes()).unwrap();
        assert_eq!(head.token, None);
        read
    })
    .collect();
    insta::assert_snapshot!(said.join("\n"));
}

#[test]
fn refusals_of_a_receiver() {
    let good = usual();
    let swap = |from: &str, to: &str| {
        assert!(good.contains(from), "{from}");
        good.replacen(from, to, 1)
    };
    let cases = [
        ("DTD", format!("<!DOCTYPE x [<!ENTITY e 'x'>]>{good}")),
        (
            "external entity",
            format!("<!DOCTYPE x SYSTEM 'file:///etc/passwd'>{good}"),
        ),
        ("entity", swap("state", "&secret;")),
        (
            "SOAP 1.2",
            good.replace(SOAP11, "http://www.w3.org/2003/05/soap-envelope"),
        ),
        ("no SOAP", good.replace(SOAP11, "urn:x")),
        ("another document", "<html/>".into()),
        ("not XML", "hello".into()),
        ("JSON", "{\"a\":1}".into()),
        ("nothing", String::new()),
        (
            "no body",
            format!("<s:Envelope xmlns:s='{SOAP11}'><s:Header/></s:Envelope>"),
        ),
        (
            "empty body",
            format!("<s:Envelope xmlns:s='{SOAP11}'><s:Body/></s:Envelope>"),
        ),
        (
            "unknown request",
            good.replace("RowDataRequest", "DropEverythingRequest"),
        ),
        (
            "response as request",
            good.replace("RowDataRequest", "RowDataResponse"),
        ),
        ("request of another namespace", good.replace(MESSAGES, "urn:x")),
        (
            "member of another namespace",
            swap("<DataBatches ", "<DataBatches xmlns='urn:x' "),
        ),
        (
            "structures of another namespace",
            good.replace(STRUCTURES, "urn:x"),
        ),
        ("cells of another namespace", good.replace(ARRAYS, "urn:x")),
        (
            "a stranger among cells",
            swap(
                "<b:string>[I:1]</b:string>",
                "<b:string>[I:1]</b:string><b:int>5</b:int>",
            ),
        ),
        (
            "a table's name of another namespace",
            swap(
                "<a:TableName>contact</a:TableName>",
                "<TableName>contact</TableName>",
            ),
        ),
        (
            "a mustUnderstand header",
            swap(
                "<h:SignedToken",
                "<x:Security xmlns:x='urn:x' s:mustUnderstand='1'/><h:SignedToken",
            ),
        ),
        (
            "two tokens",
            swap(
                "</s:Header>",
                &format!("<h:SignedToken xmlns:h='{MESSAGES}'>x</h:SignedToken></s:Header>"),
            ),
        ),
        (
            "two messages",
            swap(
                "</s:Body>",
                &format!("<WipeRequest xmlns='{MESSAGES}'/></s:Body>"),
            ),
        ),
        ("two bodies", swap("</s:Envelope>", "<s:Body/></s:Envelope>")),
        ("text behind", format!("{good}x")),
        ("an element behind", format!("{good}<x/>")),
        ("NUL behind", format!("{good}\0")),
        ("cut", good[..good.len() - 5].into()),
        ("LSN text", swap(">42<", ">x<")),
        ("LSN empty", swap(">42<", "><")),
        ("LSN fraction", swap(">42<", ">4.2<")),
        ("LSN too large", swap(">42<", ">9223372036854775808<")),
        ("IsNullable", swap(">false<", ">maybe<")),
        ("text between elements", swap("<a:LSN>", "42<a:LSN>")),
        ("an element in a cell", swap("[I:1]", "<x/>")),
        (
            "undeclared prefix",
            swap("<a:LSN>42</a:LSN>", "<zz:LSN>42</zz:LSN>"),
        ),
        (
            "deep nesting",
            swap(
                "<a:LSN>",
                &format!("{}{}<a:LSN>", "<x>".repeat(100), "</x>".repeat(100)),
            ),
        ),
        (
            "deep nesting in a header",
            swap(
                "<h:SignedToken",
                &format!("{}{}<h:SignedToken", "<x>".repeat(100), "</x>".repeat(100)),
            ),
        ),
        (
            "many attributes",
            swap(
                "<a:LSN>",
                &format!(
                    "<a:LSN{}>",
                    (0..100).map(|n| format!(" a{n}='1'")).collect::<String>()
                ),
            ),
        ),
    ];
    let said: Vec<String> = cases
        .iter()
        .map(|(what, message)| {
            let refusal = read(message.as_bytes()).expect_err(what);
            format!("{what}: {refusal}")
        })
        .collect();
    insta::assert_snapshot!(said.join("\n"));
}

#[test]
fn answers_that_are_none() {
    let wrap = |inner: &str| format!("<s:Envelope xmlns:s='{SOAP11}'><s:Body>{inner}</s:Body></s:Envelope>");
    let said: Vec<String> = [
        String::new(),
        "<html><body>502 Bad Gateway</body></html>".into(),
        wrap(""),
        wrap(&format!("<RowDataResponse xmlns='{MESSAGES}'/>")),
        wrap("<WipeResponse xmlns='urn:x'><IsSuccessful>true</IsSuccessful></WipeResponse>"),
        wrap(&format!(
            "<WipeResponse xmlns='{MESSAGES}'><IsSuccessful>yes</IsSuccessful></WipeResponse>"
        )),
        wrap(&format!(
            "<WipeResponse xmlns='{MESSAGES}'><IsSuccessful xmlns='urn:x'>true</IsSuccessful></WipeResponse>"
        )),
    ]
    .iter()
    .map(|answer| read_response(answer, Operation::Wipe).unwrap_err().to_string())
    .collect();
    insta::assert_snapshot!(said.join("\n"));
    let silent = wrap(&format!("<WipeResponse xmlns='{MESSAGES}'/>"));
    let silent = read_response(&silent, Operation::Wipe).unwrap().unwrap();
    assert!(!silent.successful, "a missing IsSuccessful is false");
    let bare = wrap(&format!(
        "<TableSchemaResponse xmlns='{MESSAGES}'><MirrorLSN xmlns:a='{STRUCTURES}'><a:TableLSN/></MirrorLSN></TableSchemaResponse>"
    ));
    let bare = read_response(&bare, Operation::TableSchema).unwrap().unwrap();
    let nothing = TableLsn {
        lsn: -1,
        table: String::new(),
    };
    assert_eq!(
        bare.detail,
        ResponseDetail::TableSchema(vec![nothing]),
        "a table whose LSN is missing is populated anew"
    );
}

/// Where the body's start tag ends, in bytes.
fn head_length(text: &str) -> usize {
    let body = text.find(":Body").expect("the envelope has a body");
    body + text[body..].find('>').expect("its tag ends") + 1
}

#[test]
fn peek_says_head_at_once_and_never_fails_a_good_call() {
    let mut calls = Vec::new();
    for text in [usual(), unusual(), usual().replace("aaa.bbb.ccc", "ø😀.bbb.ccc")] {
        let at = head_length(&text);
        let units = text[..at].encode_utf16().count() * 2;
        calls.push((at, text.clone().into_bytes()));
        calls.push((at + 3, format!("\u{feff}{text}").into_bytes()));
        let plain = text.replace("encoding='utf-8'", "encoding=\"UTF-16\"");
        let units = units + 2 * (plain.len() - text.len());
        for big in [false, true] {
            calls.push((units, utf16(&plain, big, false)));
            calls.push((units + 2, utf16(&plain, big, true)));
        }
    }
    for (needed, bytes) in calls {
        for length in 0..=bytes.len() {
            match soap::peek(&bytes[..length], false) {
                Peek::More => assert!(length < needed, "still More at {length} of {needed}"),
                Peek::Head(head) => {
                    assert!(length >= needed, "Head at {length} of {needed}");
                    assert!(head.token.is_some_and(|t| t.ends_with(".bbb.ccc")));
                }
                Peek::Failed(error) => panic!("failed at {length}: {error}"),
            }
        }
        assert!(matches!(soap::peek(&bytes, true), Peek::Head(_)));
        // Cut short, and not too long.
        let cut = soap::peek(&bytes[..needed - 2], true);
        assert!(matches!(cut, Peek::Failed(SoapError::Xml(_))), "{cut:?}");
    }
}

#[test]
fn peek_at_a_large_first_part_that_is_cut_in_a_character() {
    let text = usual().replace("state", &"😀".repeat(40_000));
    for bytes in [
        text.clone().into_bytes(),
        utf16(&text, true, true),
        utf16(&text, false, false),
    ] {
        for length in 70_000..70_005 {
            assert!(
                matches!(soap::peek(&bytes[..length], false), Peek::Head(_)),
                "{length}"
            );
        }
    }
}

#[test]
fn peek_gives_up_where_no_more_bytes_could_help() {
    let endless = usual().replace("aaa.bbb.ccc", &"a".repeat(soap::HEAD_BYTES_MAX));
    let Peek::Failed(error) = soap::peek(&endless.as_bytes()[..soap::HEAD_BYTES_MAX], false) else {
        panic!("a header without end is not waited for");
    };
    assert_eq!(
        error.to_string(),
        "the envelope's header is longer than 65536 bytes"
    );
    for (hopeless, expected) in [
        ("<!DOCTYPE x>", "document type definitions are not accepted"),
        ("<html>", "the document is a `html`, not a SOAP 1.1 Envelope"),
        (
            "<e:Envelope xmlns:e='http://www.w3.org/2003/05/soap-envelope'>",
            "this is SOAP 1.2; the service speaks SOAP 1.1",
        ),
    ] {
        let Peek::Failed(error) = soap::peek(hopeless.as_bytes(), false) else {
            panic!("{hopeless}");
        };
        assert_eq!(error.to_string(), expected);
    }
    let mut broken = usual().replace("aaa.bbb.ccc", "#").into_bytes();
    let at = broken.iter().position(|b| *b == b'#').unwrap();
    broken[at] = 0xff;
    broken.truncate(at + 20);
    let Peek::Failed(error) = soap::peek(&broken, false) else {
        panic!("no later byte makes this UTF-8");
    };
    assert_eq!(error.to_string(), "the request is not UTF-8 text");
}

/// Changes some bytes of a call: sets, removes, repeats.
fn mutated() -> impl Strategy<Value = Vec<u8>> {
    let base = prop_oneof![
        Just(usual().into_bytes()),
        Just(unusual().into_bytes()),
        Just(utf16(&usual(), true, true)),
    ];
    let change = (any::<prop::sample::Index>(), 0..6u8, any::<u8>(), 1..40usize);
    (base, prop::collection::vec(change, 1..8)).prop_map(|(mut bytes, changes)| {
        for (at, kind, byte, length) in changes {
            if bytes.is_empty() {
                break;
            }
            let at = at.index(bytes.len());
            let end = (at + length).min(bytes.len());
            match kind {
                0 => bytes[at] = byte,
                1 => drop(bytes.drain(at..end)),
                2 => {
                    let part = bytes[at..end].to_vec();
                    bytes.splice(at..at, part);
                }
                3 => bytes.truncate(at),
                4 => bytes[at] = b"<>&;'\"/!?[]:x"[usize::from(byte) % 13],
                _ => bytes.insert(at, byte),
            }
        }
        bytes
    })
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(8 * ProptestConfig::default().cases))]

    #[test]
    fn no_message_makes_a_reader_panic(bytes in mutated()) {
        let _ = read(&bytes);
        let _ = soap::peek(&bytes, false);
        let _ = soap::peek(&bytes, true);
        if let Ok(text) = xml::decode(&bytes) {
            for operation in Operation::ALL {
                let _ = read_response(&text, operation);
            }
        }
    }

    /// What peek lets pass is what the whole call's reader sees.
    #[test]
    fn peek_and_the_reader_agree(bytes in mutated(), part in any::<prop::sample::Index>()) {
        if let Ok((head, _)) = read(&bytes) {
            prop_assert_eq!(soap::peek(&bytes, true), Peek::Head(head.clone()));
            match soap::peek(&bytes[..part.index(bytes.len())], false) {
                Peek::More => {}
                Peek::Head(seen) => prop_assert_eq!(seen, head),
                Peek::Failed(error) => prop_assert!(false, "{}", error),
            }
        }
    }
}
