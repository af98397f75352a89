//! Servers that answer wrongly on purpose, each in one way: for what no mirroring server of the catalogue of defects
//! does, since it is a matter of HTTP, of XML, or of the answer's form. The last ones are wrong in every way.

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use mirrorlab_protocol::names::CONTENT_TYPE;
use mirrorlab_server::service::Service;
use serde_json::Value as Json;

use super::servers::{Reply, Request, honest};

/// One way to be wrong.
pub struct WrongServer {
    pub id: &'static str,
    pub what: &'static str,
    pub path: &'static str,
    pub apply: fn(&Service, &Request) -> Reply,
}

const XML: &str = "text/xml; charset=utf-8";
pub const SERVICE: &str = "MirroringClientService.svc";
const T: &str = "http://www.superoffice.com/online/mirroring/0.1";
const A: &str = "http://schemas.datacontract.org/2004/07/SuperOffice.Online.Mirroring.Contract.V1";

const fn wrong(id: &'static str, what: &'static str, apply: fn(&Service, &Request) -> Reply) -> WrongServer {
    WrongServer {
        id,
        what,
        path: SERVICE,
        apply,
    }
}

/// Answers `otherwise` where the request is so, and rightly elsewhere.
fn unless(service: &Service, request: &Request, is_so: bool, otherwise: Reply) -> Reply {
    match is_so {
        true => otherwise,
        false => honest(service, request),
    }
}

/// Refuses to read what is so.
fn unread(service: &Service, request: &Request, is_so: bool) -> Reply {
    unless(
        service,
        request,
        is_so,
        Reply::new(400, "text/plain", "cannot be read"),
    )
}

/// Reads another body in the request's place.
fn reads(service: &Service, request: &Request, change: impl FnOnce(String) -> String) -> Reply {
    // What is not UTF-8 is read as it is.
    match String::from_utf8(request.body.clone()) {
        Ok(text) => honest(service, &with_body(request, change(text).into_bytes())),
        Err(_) => honest(service, request),
    }
}

/// Answers something else in place of the right answer's text.
fn says(service: &Service, request: &Request, change: impl FnOnce(String) -> String) -> Reply {
    let mut reply = honest(service, request);
    reply.body = change(String::from_utf8_lossy(&reply.body).into_owned()).into_bytes();
    reply
}

/// Each row without the cells beyond the last column.
fn without_surplus_cells(text: &str) -> String {
    let columns = text.matches("<a:ColumnInfo>").count();
    each(text, "<a:RowData>", "</a:RowData>", |row| {
        match row.match_indices("<b:string").nth(columns) {
            Some((surplus, _)) => {
                let end = row.find("</a:ColumnValues>").unwrap_or(row.len());
                format!("{}{}", &row[..surplus], &row[end..])
            }
            None => row.to_owned(),
        }
    })
}

#[test]
fn all_surplus_cells_are_dropped_and_no_other() {
    let call = |cells: &str| {
        format!(
            "<a:RowData><a:ColumnValues>{cells}</a:ColumnValues><a:Operation>I</a:Operation></a:RowData>\
             <a:ColumnInfo></a:ColumnInfo><a:ColumnInfo></a:ColumnInfo>"
        )
    };
    let two = "<b:string>[I:1]</b:string><b:string i:nil=\"true\"/>";
    for surplus in [
        "",
        "<b:string>b</b:string>",
        "<b:string>b</b:string><b:string/><b:string>c</b:string>",
    ] {
        assert_eq!(
            without_surplus_cells(&call(&format!("{two}{surplus}"))),
            call(two)
        );
    }
}

/// One part of a call's token, 0 the header, 1 the claims.
fn token_part(request: &Request, part: usize) -> Json {
    let text = request.text();
    let token = text.split("SignedToken").nth(1).and_then(|rest| {
        let from = rest.find('>')? + 1;
        Some(rest[from..].split("</").next()?.trim().to_owned())
    });
    let part = token.as_deref().unwrap_or_default().split('.').nth(part);
    part.and_then(|part| URL_SAFE_NO_PAD.decode(part).ok())
        .and_then(|bytes| serde_json::from_slice(&bytes).ok())
        .unwrap_or(Json::Null)
}

fn refusal(request: &Request) -> Reply {
    response(request, false, "<ErrorMessage>no</ErrorMessage>")
}

/// The text of an element of the answer, changed.
fn element(text: &str, name: &str, change: impl FnOnce(&str) -> String) -> String {
    let (begin, end) = (format!("<{name}>"), format!("</{name}>"));
    match (text.find(&begin), text.find(&end)) {
        (Some(from), Some(to)) => {
            let from = from + begin.len();
            format!("{}{}{}", &text[..from], change(&text[from..to]), &text[to..])
        }
        _ => text.to_owned(),
    }
}

/// Every occurrence of `from…to`, both included, changed.
fn each(text: &str, from: &str, to: &str, mut change: impl FnMut(&str) -> String) -> String {
    let mut out = String::new();
    let mut rest = text;
    while let Some(at) = rest.find(from) {
        let Some(end) = rest[at..].find(to).map(|end| at + end + to.len()) else {
            break;
        };
        out.push_str(&rest[..at]);
        out.push_str(&change(&rest[at..end]));
        rest = &rest[end..];
    }
    out + rest
}

/// Another value of about the same form.
fn another(cell: &str) -> String {
    match cell {
        "True" => return "False".into(),
        "False" => return "True".into(),
        _ => {}
    }
    let digit = cell.find(|c: char| c.is_ascii_digit());
    let letter = || cell.rfind(|c: char| c.is_ascii_alphabetic());
    let at = digit.or_else(letter);
    let replaced = |at: usize, c: char| {
        let new = match c {
            '9' => '8',
            '0'..='8' => char::from(c as u8 + 1),
            'a'..='z' => c.to_ascii_uppercase(),
            _ => c.to_ascii_lowercase(),
        };
        format!("{}{new}{}", &cell[..at], &cell[at + 1..])
    };
    match at.and_then(|at| Some((at, cell[at..].chars().next()?))) {
        Some((at, c)) => replaced(at, c),
        None => {
            let last = cell.char_indices().next_back().map_or(0, |(at, _)| at);
            cell[..last].to_owned()
        }
    }
}

pub const WRONG: &[WrongServer] = &[
    wrong(
        "quotes-needed",
        "a SOAPAction without quotes is unknown",
        |service, request| {
            let bare = request
                .header("SOAPAction")
                .is_some_and(|action| !action.starts_with('"'));
            unread(service, request, bare)
        },
    ),
    wrong(
        "content-type-by-letter",
        "another way to write the content type is another type",
        |service, request| {
            let other = request.method == "POST" && request.header("Content-Type") != Some(CONTENT_TYPE);
            unless(service, request, other, Reply::new(415, "text/plain", "text/xml"))
        },
    ),
    wrong(
        "headers-by-letter",
        "headers in lower case are not seen",
        |service, request| {
            let unseen = request.method == "POST" && !request.head.contains("SOAPAction:");
            unread(service, request, unseen)
        },
    ),
    wrong(
        "chunks-unread",
        "a chunked body is none",
        |service, request| match request.is_chunked {
            true => honest(service, &with_body(request, Vec::new())),
            false => honest(service, request),
        },
    ),
    wrong("http11-only", "HTTP/1.0 is not spoken", |service, request| {
        unless(
            service,
            request,
            request.is_http10,
            Reply::new(505, "text/plain", "HTTP/1.1"),
        )
    }),
    wrong(
        "no-continue",
        "a call that waits for 100 Continue fails",
        |service, request| {
            unless(
                service,
                request,
                request.expects_continue,
                Reply::new(417, "text/plain", "no"),
            )
        },
    ),
    wrong(
        "strange-headers-refused",
        "a call with headers of proxies is refused",
        |service, request| unread(service, request, request.header("X-Forwarded-For").is_some()),
    ),
    wrong(
        "packed-unasked",
        "answers are packed where nobody asked for it",
        |service, request| {
            let mut reply = honest(service, request);
            if request.header("Accept-Encoding").is_none() {
                reply.more_headers = "Content-Encoding: br\r\n".into();
            }
            reply
        },
    ),
    wrong(
        "connection-dropped",
        "the connection ends after each answer, and nothing said so",
        |service, request| {
            let mut reply = honest(service, request);
            reply.ends = true;
            reply
        },
    ),
    wrong(
        "body-left-unread",
        "what is left of a refused call is taken for the next one",
        |service, request| {
            let mut reply = honest(service, request);
            if String::from_utf8_lossy(&reply.body).contains("<IsSuccessful>false")
                && request.body.len() > 10_000
            {
                reply.more = b"HTTP/1.1 400 Bad Request\r\nContent-Length: 0\r\n\r\n".to_vec();
            }
            reply
        },
    ),
    wrong("no-page", "GET finds nothing", |service, request| {
        unless(
            service,
            request,
            request.method == "GET",
            Reply::new(404, "text/plain", "nothing"),
        )
    }),
    wrong(
        "no-contract",
        "?wsdl and ?singleWsdl show the page",
        |service, request| {
            let page = Reply::new(200, "text/html", "<title>a page</title>");
            unless(service, request, request.target.contains('?'), page)
        },
    ),
    wrong(
        "no-end-of-cycle",
        "ReplicationCompleted is not known",
        |service, request| unread(service, request, request.is("ReplicationCompleted")),
    ),
    wrong("put-taken", "PUT is as good as POST", |service, request| {
        let method = if request.method == "PUT" {
            "POST"
        } else {
            &request.method
        };
        honest(
            service,
            &Request {
                method: method.to_owned(),
                ..with_body(request, request.body.clone())
            },
        )
    }),
    wrong(
        "prefixes-by-letter",
        "only the prefixes of the documentation's example are known",
        |service, request| {
            let text = request.text();
            let strange = request.is("RowData") && (!text.contains("<b:string") || text.contains("<m:"));
            unread(service, request, strange)
        },
    ),
    wrong(
        "double-quotes-only",
        "an attribute in single quotes is not read",
        |service, request| unread(service, request, request.text().contains("='")),
    ),
    wrong(
        "declaration-refused",
        "an XML declaration is not read",
        |service, request| unread(service, request, request.text().starts_with("<?xml")),
    ),
    wrong(
        "mark-refused",
        "a byte order mark is not read",
        |service, request| {
            let text = request.text();
            unread(
                service,
                request,
                text.starts_with('\u{feff}') || text.starts_with('\u{fffd}'),
            )
        },
    ),
    wrong(
        "white-space-refused",
        "white space between elements is text",
        |service, request| unread(service, request, request.text().contains(">\r\n\t <")),
    ),
    wrong("comments-refused", "comments are not read", |service, request| {
        unread(service, request, request.text().contains("<!--"))
    }),
    wrong(
        "first-piece-only",
        "of a text in pieces only the first is kept",
        |service, request| {
            reads(service, request, |text| {
                each(
                    &each(&text, "<!-- not", "</", |_| "</".into()),
                    "<![CDATA[",
                    "</",
                    |_| "</".into(),
                )
            })
        },
    ),
    wrong(
        "references-refused",
        "references to characters are not read",
        |service, request| unread(service, request, request.text().contains("&#")),
    ),
    wrong(
        "nil-by-presence",
        "an element that has the attribute nil is NULL",
        |service, request| {
            reads(service, request, |text| {
                text.replace("i:nil=\"false\"", "i:nil=\"true\"")
            })
        },
    ),
    wrong(
        "nil-by-word",
        "nil is only what says true in an empty tag",
        |service, request| {
            reads(service, request, |text| {
                text.replace("i:nil=\"1\"", "")
                    .replace("i:nil=\"true\"></b:string>", "></b:string>")
            })
        },
    ),
    wrong(
        "empty-pair-null",
        "a start and an end tag with nothing between them are NULL",
        |service, request| {
            reads(service, request, |text| {
                text.replace("<b:string></b:string>", "<b:string i:nil=\"true\"/>")
            })
        },
    ),
    wrong(
        "state-needed",
        "a message without ClientState is not read",
        |service, request| {
            let without = request.is("RowData") && !request.text().contains("ClientState");
            unread(service, request, without)
        },
    ),
    wrong(
        "state-refused",
        "Authenticate answers a ClientState, and it is not taken back",
        |service, request| {
            let back = request.text().contains("</ClientState>");
            let reply = says(service, request, |text| {
                each(&text, "<ClientState", "/>", |_| {
                    "<ClientState>of this cycle</ClientState>".into()
                })
            });
            if back { refusal(request) } else { reply }
        },
    ),
    wrong(
        "headers-refused",
        "every header but SignedToken is refused",
        |service, request| unread(service, request, request.text().contains("</h:SignedToken><t:")),
    ),
    wrong(
        "headers-understood",
        "a header that must be understood is skipped",
        |service, request| {
            reads(service, request, |text| {
                text.replace("<t:Pay s:mustUnderstand=\"1\"", "<t:Pay")
            })
        },
    ),
    wrong(
        "strangers-refused",
        "a member that the contract does not know is refused",
        |service, request| unread(service, request, request.text().contains("FromTheFuture")),
    ),
    wrong(
        "order-needed",
        "a member that is out of order is dropped in silence, as .NET does",
        |service, request| {
            reads(service, request, |text| {
                match (text.find("<a:LSN>"), text.find("<a:Data>")) {
                    (Some(lsn), Some(data)) if lsn < data => {
                        each(&text, "<a:Data>", "</a:Data>", |_| String::new())
                    }
                    _ => text,
                }
            })
        },
    ),
    wrong(
        "numbers-untrimmed",
        "white space around a number or an Operation is a fault",
        |service, request| {
            let text = request.text();
            unread(
                service,
                request,
                text.contains("<a:LSN> ") || text.contains("<a:Operation>\r"),
            )
        },
    ),
    wrong(
        "nullable-unless-said",
        "a column without IsNullable may be NULL",
        |service, request| {
            reads(service, request, |text| match text.contains("<a:IsNullable>") {
                true => text,
                false => text.replace(
                    "<a:ColumnInfo>",
                    "<a:ColumnInfo><a:IsNullable>true</a:IsNullable>",
                ),
            })
        },
    ),
    wrong(
        "lsn-always",
        "a batch without an LSN, or with 0 or -1, has the LSN 1",
        |service, request| {
            reads(service, request, |text| {
                text.replace("<a:LSN>0<", "<a:LSN>1<")
                    .replace("<a:LSN>-1<", "<a:LSN>1<")
                    .replace("</a:Data><a:TableInfo>", "</a:Data><a:LSN>1</a:LSN><a:TableInfo>")
            })
        },
    ),
    wrong(
        "ends-where-deep",
        "deeply nested elements end the process",
        |service, request| {
            let mut reply = honest(service, request);
            if request.text().contains(&"<x>".repeat(1000)) {
                reply.raw = Some(Vec::new());
            }
            reply
        },
    ),
    wrong(
        "faults-forgiven",
        "what cannot be read is answered as a success",
        |service, request| match honest(service, request) {
            reply if reply.status < 400 || request.method != "POST" => reply,
            _ => response(request, true, &lsns(request, "-1")),
        },
    ),
    wrong(
        "faults-polite",
        "what cannot be read is refused like what is not wanted",
        |service, request| match honest(service, request) {
            reply if reply.status < 400 || request.method != "POST" => reply,
            _ => refusal(request),
        },
    ),
    wrong(
        "refusals-as-faults",
        "a refusal is a SOAP fault",
        |service, request| match honest(service, request) {
            reply if String::from_utf8_lossy(&reply.body).contains("<IsSuccessful>false") => {
                let body = "<s:Envelope xmlns:s=\"http://schemas.xmlsoap.org/soap/envelope/\"><s:Body><s:Fault><faultcode>s:Client\
                        </faultcode><faultstring>no</faultstring></s:Fault></s:Body></s:Envelope>";
                Reply::new(500, XML, body)
            }
            reply => reply,
        },
    ),
    wrong(
        "answers-as-html",
        "answers come as text/html",
        |service, request| {
            let mut reply = honest(service, request);
            reply.kind = "text/html".into();
            reply
        },
    ),
    wrong(
        "other-interfaces",
        "Authenticate names other interfaces, and no build",
        |service, request| {
            says(service, request, |text| {
                let text = element(&text, "SupportedInterfaces", |_| "2".into());
                element(&text, "SuperOfficeMirroringBuild", |_| String::new())
            })
        },
    ),
    wrong(
        "words-for-json",
        "AdditionalInformationJson is no JSON",
        |service, request| {
            says(service, request, |text| {
                each(&text, "<AdditionalInformationJson", "/>", |_| {
                    "<AdditionalInformationJson>none today</AdditionalInformationJson>".into()
                })
            })
        },
    ),
    wrong(
        "names-in-lower-case",
        "MirrorLSN writes names in lower case",
        |service, request| {
            says(service, request, |text| {
                each(&text, "<a:TableName>", "</a:TableName>", |name| {
                    name.to_lowercase().replace("a:tablename", "a:TableName")
                })
            })
        },
    ),
    wrong(
        "tables-twice",
        "MirrorLSN names each table twice",
        |service, request| {
            says(service, request, |text| {
                each(&text, "<a:TableLSN>", "</a:TableLSN>", |lsn| {
                    format!("{lsn}{lsn}")
                })
            })
        },
    ),
    wrong(
        "token-without-time",
        "SignedApplicationToken has two parts",
        |service, request| {
            says(service, request, |text| {
                element(&text, "SignedApplicationToken", |token| {
                    let parts: Vec<&str> = token.split('.').collect();
                    format!("{}.{}", parts[0], parts[2])
                })
            })
        },
    ),
    wrong(
        "thumbprint-by-letter",
        "a kid in lower case is another one",
        |service, request| {
            let kid = token_part(request, 0)["kid"].as_str().map(str::to_owned);
            let lower = kid.is_some_and(|kid| kid.contains(|c: char| c.is_ascii_lowercase()));
            unless(service, request, lower, refusal(request))
        },
    ),
    wrong(
        "whole-header-needed",
        "a token whose header lacks kid, x5t or typ is refused",
        |service, request| {
            let header = token_part(request, 0);
            let lacks = !header.is_null() && ["kid", "x5t", "typ"].iter().any(|name| header[*name].is_null());
            unless(service, request, lacks, refusal(request))
        },
    ),
    wrong(
        "claims-counted",
        "a token with more claims than were seen is refused",
        |service, request| {
            let more = token_part(request, 1).get("iat").is_some();
            unless(service, request, more, refusal(request))
        },
    ),
    wrong(
        "no-leeway",
        "a clock that is a second ahead is not borne",
        |service, request| {
            use mirrorlab_protocol::clock::{Clock as _, SystemClock};
            let begins = token_part(request, 1)["nbf"].as_i64().unwrap_or(0);
            unless(service, request, begins > SystemClock.now() + 1, refusal(request))
        },
    ),
    wrong(
        "another-value",
        "every cell but the key is stored as another value",
        |service, request| {
            let change = |text: String| {
                each(&text, "<a:RowData>", "</a:RowData>", |row| {
                    let mut place = 0;
                    each(row, "<b:string", "</b:string>", |cell| {
                        place += 1;
                        match cell
                            .split_once('>')
                            .map(|(tag, rest)| (tag, rest.trim_end_matches("</b:string>")))
                        {
                            Some((tag, text)) if place > 1 && !tag.ends_with('/') && !text.is_empty() => {
                                format!("{tag}>{}</b:string>", another(text))
                            }
                            _ => cell.to_owned(),
                        }
                    })
                })
            };
            match request.is("RowData") {
                true => reads(service, request, change),
                false => honest(service, request),
            }
        },
    ),
    wrong("nul-ends-text", "a text ends at U+0000", |service, request| {
        reads(service, request, |text| {
            each(&text, "&#x0;", "</", |_| "</".into())
        })
    }),
    wrong(
        "last-character-replaced",
        "U+10FFFF, which no text should need, becomes U+FFFD",
        |service, request| reads(service, request, |text| text.replace('\u{10ffff}', "\u{fffd}")),
    ),
    wrong(
        "lone-control-empty",
        "a text of nothing but white space, U+000B and U+000C among it, is empty",
        |service, request| {
            reads(service, request, |text| {
                text.replace("<b:string>&#xB;<", "<b:string><")
                    .replace("<b:string>&#xC;<", "<b:string><")
            })
        },
    ),
    wrong(
        "lines-of-xml-1-1",
        "U+0085 and U+2028 are line ends, as in XML 1.1",
        |service, request| {
            reads(service, request, |text| {
                text.replace(['\u{85}', '\u{2028}'], "\n")
            })
        },
    ),
    wrong(
        "surplus-cells-dropped",
        "cells beyond the last column are dropped in silence",
        |service, request| reads(service, request, |text| without_surplus_cells(&text)),
    ),
    wrong(
        "new-tables-full",
        "a table that is new, or made anew, answers 5",
        |service, request| says(service, request, |text| text.replace("<a:LSN>-1<", "<a:LSN>5<")),
    ),
    wrong(
        "schema-forgotten",
        "a TableSchema after a tenant's first one is answered with -1 for every table",
        |service, request| {
            let is_schema = request.is("TableSchema");
            says(service, request, |text| match is_schema {
                true => each(&text, "<a:LSN>", "</a:LSN>", |_| "<a:LSN>-1</a:LSN>".into()),
                false => text,
            })
        },
    ),
    WrongServer {
        id: "loses-rows",
        what: "LSNs are kept, rows are not",
        path: SERVICE,
        apply: |service, request| {
            let mut text = request.text();
            if request.is("RowData")
                && let (Some(from), Some(to)) = (text.find("<a:RowData>"), text.rfind("</a:RowData>"))
                && text.matches("<a:RowDataBatch>").count() == 1
            {
                text.replace_range(from..to + "</a:RowData>".len(), "");
            }
            honest(service, &with_body(request, text.into_bytes()))
        },
    },
    WrongServer {
        id: "silent-refusal",
        what: "a refusal has no text, and its members are in the wrong order",
        path: SERVICE,
        apply: |service, request| {
            let mut reply = honest(service, request);
            let text = String::from_utf8_lossy(&reply.body).into_owned();
            if text.contains("<IsSuccessful>false") {
                let operation = operation(request);
                let body = format!(
                    "<s:Envelope xmlns:s=\"http://schemas.xmlsoap.org/soap/envelope/\"><s:Body><{operation}Response \
                     xmlns=\"{T}\"><ErrorMessage/><IsSuccessful>false</IsSuccessful></{operation}Response></s:Body></s:Envelope>"
                );
                reply.body = body.into_bytes();
            }
            reply
        },
    },
    WrongServer {
        id: "accepts-all",
        what: "every call is accepted and nothing is kept; every LSN is 123456",
        path: "elsewhere.svc",
        apply: |service, request| match is_probe(request) || request.method == "GET" {
            true => honest(service, request),
            false => response(request, true, &lsns(request, "123456")),
        },
    },
    WrongServer {
        id: "wrong-order",
        what: "the members of every answer are in the wrong order, its type is text/html, and it is packed unasked",
        path: SERVICE,
        apply: |service, request| {
            let mut reply = honest(service, request);
            let text = String::from_utf8_lossy(&reply.body)
                .replace("<IsSuccessful>true</IsSuccessful>", "")
                .replace("Response xmlns=", "Response xmlns_=");
            if let Some(at) = text.rfind("</").filter(|_| text.contains("Response xmlns_=")) {
                let _ = at;
                let operation = operation(request);
                let text = text.replace("xmlns_=", "xmlns=").replace(
                    &format!("</{operation}Response>"),
                    &format!("<IsSuccessful>true</IsSuccessful></{operation}Response>"),
                );
                if String::from_utf8_lossy(&reply.body).contains("<IsSuccessful>true") {
                    reply.body = text.into_bytes();
                }
            }
            reply.kind = "text/html".into();
            if request.header("Accept-Encoding").is_none() {
                reply.more_headers = "Content-Encoding: br\r\n".into();
            }
            reply
        },
    },
    WrongServer {
        id: "breaks-down",
        what: "every call that is not a right one ends the connection",
        path: SERVICE,
        apply: |service, request| {
            let mut reply = honest(service, request);
            if request.method == "GET" || !String::from_utf8_lossy(&reply.body).contains("<IsSuccessful>true")
            {
                reply.raw = Some(Vec::new());
            }
            reply
        },
    },
    WrongServer {
        id: "refuses-all",
        what: "every call but the first is refused politely, and GET gives 404",
        path: SERVICE,
        apply: |service, request| match is_probe(request) {
            true => honest(service, request),
            false if request.method == "GET" => Reply::new(404, "text/plain", "nothing"),
            false => response(request, false, "<ErrorMessage>no</ErrorMessage>"),
        },
    },
];

fn operation(request: &Request) -> String {
    let action = request.header("SOAPAction").unwrap_or_default();
    let name = action.trim_matches('"').rsplit('/').next().unwrap_or_default();
    match name {
        "TableSchema" | "RowData" | "Wipe" | "ReplicationCompleted" => name.to_owned(),
        _ => "Authenticate".to_owned(),
    }
}

fn with_body(request: &Request, body: Vec<u8>) -> Request {
    Request {
        method: request.method.clone(),
        target: request.target.clone(),
        head: request.head.clone(),
        body,
        is_http10: request.is_http10,
        is_chunked: request.is_chunked,
        expects_continue: request.expects_continue,
    }
}

/// The first call of a run is told by its tenant, whose name ends in 9999.
fn is_probe(request: &Request) -> bool {
    token_part(request, 1)["sub"]
        .as_str()
        .is_some_and(|tenant| tenant.ends_with("9999"))
}

fn response(request: &Request, successful: bool, rest: &str) -> Reply {
    let operation = operation(request);
    Reply::new(
        200,
        XML,
        format!(
            "<s:Envelope xmlns:s=\"http://schemas.xmlsoap.org/soap/envelope/\"><s:Body><{operation}Response xmlns=\"{T}\">\
             <IsSuccessful>{successful}</IsSuccessful>{rest}</{operation}Response></s:Body></s:Envelope>"
        ),
    )
}

/// MirrorLSN for every table that the request names.
fn lsns(request: &Request, lsn: &str) -> String {
    if !request.is("TableSchema") {
        return String::new();
    }
    let text = request.text();
    let tables: String = text
        .split("<a:TableName>")
        .skip(1)
        .filter_map(|rest| rest.split("</a:TableName>").next())
        .map(|name| format!("<a:TableLSN><a:LSN>{lsn}</a:LSN><a:TableName>{name}</a:TableName></a:TableLSN>"))
        .collect();
    format!("<MirrorLSN xmlns:a=\"{A}\">{tables}</MirrorLSN>")
}
