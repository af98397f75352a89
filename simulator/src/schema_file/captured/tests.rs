//! Captures in every form that people save, and captures that are none.

use mirrorlab_protocol::message::write_request;
use mirrorlab_protocol::names::{ARRAYS, MESSAGES, STRUCTURES};
use proptest::prelude::*;

use super::*;
use crate::capture::form::{Call, Message, Outcome};
use crate::capture::redact::Redaction;
use crate::schema_file::drawn::{REAL_COLUMNS, REAL_TABLES, drawn};
use crate::schema_file::{superoffice, superoffice_table};

/// A TableSchema call of these tables, as the real client writes it.
fn envelope(tables: &[Table]) -> String {
    let request = Request::TableSchema {
        client_state: Some("state".into()),
        tables: tables.iter().map(Table::to_wire).collect(),
    };
    String::from_utf8(soap::envelope(Some("e30.e30.x"), &write_request(&request))).unwrap()
}

/// How somebody saved a call.
#[derive(Debug, Clone)]
struct Form {
    pretty: bool,
    crlf: bool,
    declared: bool,
    bare: bool,
    headers: Headers,
    encoding: Encoding,
    mark: bool,
    before: bool,
    after: bool,
}

#[derive(Debug, Clone, Copy, PartialEq)]
enum Headers {
    None,
    Request,
    OnlyNames,
    Chunked(usize),
}

#[derive(Debug, Clone, Copy, PartialEq)]
enum Encoding {
    Utf8,
    /// All of the file.
    Utf16 {
        big: bool,
    },
    /// The body alone, the headers as they came over the wire.
    Utf16Body {
        big: bool,
    },
}

fn any_form() -> impl Strategy<Value = Form> {
    let headers = prop_oneof![
        Just(Headers::None),
        Just(Headers::Request),
        Just(Headers::OnlyNames),
        (1_usize..5000).prop_map(Headers::Chunked),
    ];
    let encoding = prop_oneof![
        Just(Encoding::Utf8),
        any::<bool>().prop_map(|big| Encoding::Utf16 { big }),
        any::<bool>().prop_map(|big| Encoding::Utf16Body { big }),
    ];
    let flags = (
        any::<bool>(),
        any::<bool>(),
        any::<bool>(),
        any::<bool>(),
        any::<bool>(),
        any::<bool>(),
        any::<bool>(),
    );
    (headers, encoding, flags).prop_map(
        |(headers, encoding, (pretty, crlf, declared, bare, mark, before, after))| Form {
            pretty,
            crlf,
            declared,
            bare,
            headers,
            encoding,
            mark,
            before,
            after,
        },
    )
}

/// White space between elements, where none of it belongs to a value: after a tag's end and before the next one's start.
fn pretty(text: &str) -> String {
    text.replace("><", ">\n  <")
}

fn utf16(text: &str, big: bool) -> Vec<u8> {
    text.encode_utf16()
        .flat_map(|u| if big { u.to_be_bytes() } else { u.to_le_bytes() })
        .collect()
}

impl Form {
    fn body(&self, message: &str) -> String {
        let mut text = message.to_owned();
        if self.bare {
            let from = text.find("<s:Body>").unwrap() + "<s:Body>".len();
            text = text[from..text.find("</s:Body>").unwrap()].to_owned();
        }
        if self.pretty {
            text = pretty(&text);
        }
        if self.declared {
            let encoding = if self.encoding == Encoding::Utf8 {
                "utf-8"
            } else {
                "utf-16"
            };
            text = format!("<?xml version=\"1.0\" encoding=\"{encoding}\"?>\n{text}");
        }
        if self.crlf {
            text = text.replace('\n', "\r\n");
        }
        text
    }

    fn one(&self, message: &str) -> Vec<u8> {
        let body = self.body(message);
        let mark = if self.mark { "\u{feff}" } else { "" };
        let encoded = match self.encoding {
            Encoding::Utf16Body { big: b } => utf16(&format!("{mark}{body}"), b),
            _ => format!("{mark}{body}").into_bytes(),
        };
        let end = if self.crlf { "\r\n" } else { "\n" };
        let head = match self.headers {
            Headers::None => String::new(),
            Headers::OnlyNames => "Content-Type: text/xml; charset=utf-8\nContent-Length: 3\n\n".to_owned(),
            Headers::Request | Headers::Chunked(_) => format!(
                "POST /a/MirroringClientService.svc HTTP/1.1\nHost: example.com\nSOAPAction: \"x\"\n{}\n\n",
                match self.headers {
                    Headers::Chunked(_) => "Transfer-Encoding: chunked",
                    _ => "Content-Length: 12345678",
                }
            ),
        }
        .replace('\n', end);
        let body = match (self.headers, self.encoding) {
            // Frames are bytes on the wire: nobody has them in a file of UTF-16.
            (Headers::Chunked(size), Encoding::Utf8 | Encoding::Utf16Body { .. }) => {
                let mut out = Vec::new();
                for chunk in encoded.chunks(size) {
                    out.extend_from_slice(format!("{:X}\r\n", chunk.len()).as_bytes());
                    out.extend_from_slice(chunk);
                    out.extend_from_slice(b"\r\n");
                }
                out.extend_from_slice(b"0\r\n\r\n");
                out
            }
            _ => encoded,
        };
        match self.encoding {
            Encoding::Utf16 { big: b } => {
                let text = String::from_utf8([head.as_bytes(), &body].concat()).unwrap();
                utf16(&text, b)
            }
            _ => [head.as_bytes(), &body].concat(),
        }
    }

    /// The file, with other calls before and behind.
    fn file(&self, message: &str) -> Vec<u8> {
        let wipe = String::from_utf8(soap::envelope(
            None,
            &write_request(&Request::Wipe {
                client_state: None,
                table: Some("contact".into()),
            }),
        ))
        .unwrap();
        let gap: &[u8] = match self.encoding {
            Encoding::Utf16 { big: true } => b"\0\n",
            Encoding::Utf16 { big: false } => b"\n\0",
            _ => b"\n",
        };
        let other = Form {
            bare: false,
            ..self.clone()
        }
        .one(&wipe);
        let mut file = Vec::new();
        if self.before {
            file.extend_from_slice(&other);
            file.extend_from_slice(gap);
        }
        file.extend_from_slice(&self.one(message));
        if self.after {
            file.extend_from_slice(gap);
            file.extend_from_slice(&other);
        }
        file
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(96))]
    #[test]
    fn every_form_gives_the_same_tables(form in any_form(), tables in 1_usize..9, seed in 0_u64..1000) {
        let tables = drawn(tables, tables * 8, seed);
        let file = form.file(&envelope(&tables));
        prop_assert!(split::is_capture(&file));
        prop_assert_eq!(read("f", &file).unwrap(), tables);
    }
}

#[test]
fn a_real_tenants_size_in_every_form() {
    let tables = drawn(REAL_TABLES, REAL_COLUMNS, 11);
    let message = envelope(&tables);
    let plain = Form {
        pretty: false,
        crlf: false,
        declared: false,
        bare: false,
        headers: Headers::None,
        encoding: Encoding::Utf8,
        mark: false,
        before: false,
        after: false,
    };
    for form in [
        plain.clone(),
        Form {
            pretty: true,
            crlf: true,
            declared: true,
            mark: true,
            headers: Headers::Request,
            before: true,
            ..plain.clone()
        },
        Form {
            encoding: Encoding::Utf16 { big: false },
            mark: true,
            headers: Headers::Request,
            after: true,
            ..plain.clone()
        },
        Form {
            encoding: Encoding::Utf16Body { big: true },
            headers: Headers::OnlyNames,
            ..plain.clone()
        },
        Form {
            headers: Headers::Chunked(4096),
            before: true,
            after: true,
            ..plain.clone()
        },
    ] {
        assert_eq!(read("f", &form.file(&message)).unwrap(), tables, "{form:?}");
    }
}

/// `fixtures/captures/table-schema.http`: a request with its headers, pretty-printed, its Content-Length that of another
/// form; drawn tables, two of SuperOffice's, one that is on the list of blocked tables, and an extra one.
fn fixture() -> (Vec<Table>, String) {
    let mut tables = drawn(10, 70, 5);
    tables.extend(["contact", "person"].map(|name| superoffice_table(name).expect("it is there").clone()));
    let more = "table webhook\n  webhook_id int not null\n  name nvarchar(254) null\n  headers nvarchar(max) null\n\
                table y_rental\n  id int not null\n  x_name nvarchar(40) not null default (N'')\n  \
                x_since datetime not null default (N'1760-01-01 00:00:00')\n";
    tables.extend(crate::schema_file::parse("more", more).expect("it is a schema"));
    tables.sort_by(|a, b| a.name.cmp(&b.name));
    let head = "POST /crm/MirroringClientService.svc HTTP/1.1\n\
                Host: partner.example.com\n\
                Content-Type: text/xml; charset=utf-8\n\
                SOAPAction: \"http://www.superoffice.com/online/mirroring/0.1/IMirroringClientService/TableSchema\"\n\
                Accept-Encoding: gzip, deflate\n\
                Content-Length: 4711\n\n";
    let text = format!("{head}{}\n", pretty(&envelope(&tables)));
    (tables, text)
}

fn fixture_path() -> std::path::PathBuf {
    std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("../fixtures/captures/table-schema.http")
}

#[test]
fn the_fixture_is_what_is_drawn() {
    let (tables, text) = fixture();
    let written = std::fs::read_to_string(fixture_path()).unwrap_or_default();
    assert!(written == text, "make it anew: see fixtures/captures/README.md");
    let loaded = crate::schema_file::load(&fixture_path()).unwrap();
    assert!(loaded.is_captured);
    assert_eq!(loaded.tables, tables);
    assert!(
        crate::blocked::why_not("webhook").is_some(),
        "it has a blocked table"
    );
}

#[test]
#[ignore = "writes the fixture anew"]
fn remake_fixture_capture() {
    std::fs::write(fixture_path(), fixture().1).unwrap();
}

#[test]
fn a_recorded_call_is_a_schema_even_redacted() {
    let call = |number, operation, body: &str| Call {
        number,
        time: 0,
        tenant: None,
        operation: Some(operation),
        redacted: Redaction::default(),
        took_ms: 0,
        request: Message {
            start_line: "POST / HTTP/1.1".into(),
            body: body.as_bytes().to_vec(),
            ..Message::default()
        },
        outcome: Outcome::NoAnswer("gone".into()),
    };
    let all = Redaction {
        tokens: true,
        cells: true,
    };
    let older = call(1, Operation::TableSchema, &envelope(&drawn(2, 9, 1)));
    let newer = call(2, Operation::TableSchema, &envelope(superoffice())).redact(all);
    let other = call(3, Operation::RowData, "this is no XML");
    let file = [older.write(), newer.write(), other.write()].concat();
    assert_eq!(read("f", &file).unwrap(), superoffice());
    let error = read("f", &other.write()).unwrap_err().to_string();
    assert!(error.contains("only RowDataRequest"), "{error}");
}

#[test]
fn a_bad_capture_is_told_with_its_place() {
    let good = pretty(&envelope(&superoffice()[..2]));
    let wipe = format!(
        "<e:Envelope xmlns:e='{SOAP11}'><e:Body><WipeRequest xmlns='{MESSAGES}'/></e:Body></e:Envelope>"
    );
    let bare = |tables: &str| {
        format!(
            "<?xml version='1.0'?>\n<TableSchemaRequest xmlns='{MESSAGES}' xmlns:a='{STRUCTURES}' xmlns:b='{ARRAYS}'>\n<Tables>{tables}</Tables></TableSchemaRequest>"
        )
    };
    let column = |name: &str, ty: &str| {
        format!(
            "\n  <a:ColumnInfo><a:IsNullable>false</a:IsNullable><a:Name>{name}</a:Name><a:Type>{ty}</a:Type></a:ColumnInfo>"
        )
    };
    let table = |name: &str, columns: &str| {
        format!(
            "\n <a:TableSchemaInfo><a:Columns>{columns}</a:Columns><a:TableName>{name}</a:TableName></a:TableSchemaInfo>"
        )
    };
    let id = column("id", "int");
    let mut said = String::new();
    for text in [
        "hello, this is no capture".to_owned(),
        "POST /x HTTP/1.1\nContent-Length: 0\n\n".to_owned(),
        "<html><body>Sign in</body></html>".to_owned(),
        wipe.clone(),
        format!(
            "{wipe}\n<e:Envelope xmlns:e='{SOAP11}'><e:Body/></e:Envelope><e:Envelope xmlns:e='{SOAP11}'/>"
        ),
        good[..good.len() / 2].to_owned(),
        good.replacen("<Tables", "<!DOCTYPE x><Tables", 1),
        format!("<!DOCTYPE x>\n{good}"),
        good.replacen("nvarchar(79)", "nvarchar(9999)", 1),
        good.replacen(">int<", ">int4<", 1),
        good.replacen(">false<", ">maybe<", 1),
        bare(""),
        bare(&table("t", "")),
        bare(&(table("t", &id) + &table("T", &id))),
        bare(&table("t", &(id.clone() + &column("ID", "int")))),
        bare(&table("t", &column("id", "ntext"))),
        bare(&table("", &id)),
        bare("<a:Other/><TableSchemaInfo/>"),
        "<TableSchemaRequest xmlns='urn:other'/>".to_owned(),
        good.replacen("</", "<", 1),
    ] {
        assert!(text != good, "nothing was spoiled");
        let error = read("f.xml", text.as_bytes()).unwrap_err().to_string();
        said.push_str(&format!("{error}\n"));
    }
    insta::assert_snapshot!(said);
}
