//! Servers broken on purpose.

use mirrorlab_server::service::Service;

use super::servers::{Reply, Request, honest};

/// One way to be wrong.
pub struct Defect {
    pub name: &'static str,
    pub what: &'static str,
    pub path: &'static str,
    pub apply: fn(&Service, &Request) -> Reply,
}

const XML: &str = "text/xml; charset=utf-8";
const SERVICE: &str = "MirroringClientService.svc";
const T: &str = "http://www.superoffice.com/online/mirroring/0.1";
const A: &str = "http://schemas.datacontract.org/2004/07/SuperOffice.Online.Mirroring.Contract.V1";

pub const DEFECTS: &[Defect] = &[
    Defect {
        name: "loses-rows",
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
    Defect {
        name: "silent-refusal",
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
    Defect {
        name: "accepts-all",
        what: "every call is accepted and nothing is kept; every LSN is 123456",
        path: "elsewhere.svc",
        apply: |service, request| match is_probe(request) || request.method == "GET" {
            true => honest(service, request),
            false => response(request, true, &lsns(request, "123456")),
        },
    },
    Defect {
        name: "wrong-order",
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
    Defect {
        name: "keeps-first-shape",
        what: "a TableSchema after a tenant's first one is answered with -1 for every table",
        path: SERVICE,
        apply: |service, request| {
            let reply = honest(service, request);
            match request.is("TableSchema") && reply.status == 200 {
                false => reply,
                true => {
                    let text = String::from_utf8_lossy(&reply.body).into_owned();
                    let mut out = String::new();
                    let mut rest = text.as_str();
                    while let Some(at) = rest.find("<a:LSN>") {
                        out.push_str(&rest[..at]);
                        out.push_str("<a:LSN>-1");
                        rest = &rest[at + 7..];
                        rest = &rest[rest.find('<').unwrap_or(0)..];
                    }
                    out.push_str(rest);
                    Reply::new(200, XML, out)
                }
            }
        },
    },
    Defect {
        name: "breaks-down",
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
    Defect {
        name: "refuses-all",
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
    use base64::Engine as _;
    let text = request.text();
    text.split('.').any(|part| {
        base64::engine::general_purpose::URL_SAFE_NO_PAD
            .decode(part)
            .is_ok_and(|json| {
                serde_json::from_slice::<serde_json::Value>(&json)
                    .is_ok_and(|claims| claims["sub"].as_str().is_some_and(|s| s.ends_with("9999")))
            })
    })
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
