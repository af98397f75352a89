//! The recorder's own files: a call each, or several one after the other.
//!
//! ```text
//! MIRRORLAB-CALL 1
//! number: 3
//! time: 2026-11-25T15:48:01Z
//! tenant: Cust10001
//! operation: RowData
//! request: 1042
//! status: 200
//! took-ms: 12
//! answer: 311
//!
//! POST /crm/MirroringClientService.svc HTTP/1.1
//! content-type: text/xml; charset=utf-8
//!
//! <s:Envelope …1042 bytes…
//! HTTP/1.1 200 OK
//! content-type: text/xml; charset=utf-8
//!
//! <s:Envelope …311 bytes…
//! ```
//!
//! The lines at the top say how many bytes each body has *in the file*; headers stand as they went over the wire, and their
//! lengths may be others, since packed bodies are kept unpacked. A line end that is no part of it follows each body. Where
//! no answer came, `no-answer` says why in place of `status` and `answer`. `request-cut` and `answer-cut` say how many bytes
//! a body had of which only the beginning was kept, `redacted` what was masked.

use std::fmt::Write as _;

use base64::Engine as _;
use base64::engine::general_purpose::{URL_SAFE, URL_SAFE_NO_PAD};
use mirrorlab_protocol::datetime::{DateTime, TICKS_PER_SECOND};
use mirrorlab_protocol::excerpt;
use mirrorlab_protocol::names::Operation;
use mirrorlab_protocol::soap::{self, Peek};
use mirrorlab_protocol::token::{CONTEXT_CLAIM, check_context};
use serde_json::{Map, Value as Json};

use super::redact::Redaction;
use super::{CaptureError, Origin};

/// The first line of a call, and with it of a file.
pub const MAGIC: &str = "MIRRORLAB-CALL 1\n";
/// How the recorder's files end.
pub const EXTENSION: &str = "call";

/// An HTTP message.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Message {
    /// `POST /x.svc HTTP/1.1`, `HTTP/1.1 200 OK`.
    pub start_line: String,
    /// In the order in which they came.
    pub headers: Vec<(String, String)>,
    /// The body, unpacked.
    pub body: Vec<u8>,
    /// How many bytes it had, where only the beginning was kept.
    pub cut: Option<u64>,
    /// Where the body begins in its file.
    pub origin: Option<Origin>,
}

/// What became of a call.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Outcome {
    /// It was answered.
    Answered {
        /// The HTTP status.
        status: u16,
        /// The answer.
        answer: Message,
    },
    /// It was not, for this reason.
    NoAnswer(String),
}

/// A recorded call.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Call {
    /// Calls are numbered as they begin.
    pub number: u64,
    /// When it began, in seconds since 1970 UTC.
    pub time: i64,
    /// The tenant that its token names, where it names one.
    pub tenant: Option<String>,
    /// The operation, where it is one of the five.
    pub operation: Option<Operation>,
    /// What was masked.
    pub redacted: Redaction,
    /// How long it took, in milliseconds.
    pub took_ms: u64,
    /// The request.
    pub request: Message,
    /// What became of it.
    pub outcome: Outcome,
}

impl Call {
    /// The name of its file: `00003-Cust10001-RowData.call`.
    pub fn file_name(&self) -> String {
        // A name becomes a part of a path only where it is a plain one.
        let tenant = self
            .tenant
            .as_deref()
            .filter(|name| check_context(name).is_ok())
            .unwrap_or("tenant");
        let operation = self.operation.map_or("unknown", Operation::name);
        format!("{:05}-{tenant}-{operation}.{EXTENSION}", self.number)
    }

    /// The call with secrets or cells masked.
    #[must_use]
    pub fn redact(mut self, redaction: Redaction) -> Call {
        self.redacted = self.redacted.and(redaction);
        redaction.message(&mut self.request);
        match &mut self.outcome {
            Outcome::Answered { answer, .. } => redaction.message(answer),
            Outcome::NoAnswer(why) => redaction.reason(why),
        }
        self
    }

    /// The call as its file has it.
    pub fn write(&self) -> Vec<u8> {
        let mut out = MAGIC.to_owned();
        let mut field = |name: &str, value: &dyn std::fmt::Display| {
            // A line is a line, whatever somebody's error text holds.
            let value = value.to_string().replace(['\r', '\n'], " ");
            let _ = writeln!(out, "{name}: {value}");
        };
        field("number", &self.number);
        field("time", &moment(self.time));
        if let Some(tenant) = &self.tenant {
            field("tenant", tenant);
        }
        if let Some(operation) = self.operation {
            field("operation", &operation);
        }
        if self.redacted != Redaction::default() {
            field("redacted", &self.redacted);
        }
        field("request", &self.request.body.len());
        if let Some(length) = self.request.cut {
            field("request-cut", &length);
        }
        match &self.outcome {
            Outcome::Answered { status, answer } => {
                field("status", status);
                field("took-ms", &self.took_ms);
                field("answer", &answer.body.len());
                if let Some(length) = answer.cut {
                    field("answer-cut", &length);
                }
            }
            Outcome::NoAnswer(why) => {
                field("took-ms", &self.took_ms);
                field("no-answer", why);
            }
        }
        out.push('\n');
        let mut out = out.into_bytes();
        self.request.write(&mut out);
        if let Outcome::Answered { answer, .. } = &self.outcome {
            answer.write(&mut out);
        }
        out
    }
}

impl Message {
    fn write(&self, out: &mut Vec<u8>) {
        let one_line = |text: &str| text.replace(['\r', '\n'], " ");
        let mut head = format!("{}\n", one_line(&self.start_line));
        for (name, value) in &self.headers {
            let _ = writeln!(head, "{}: {}", one_line(name), one_line(value));
        }
        head.push('\n');
        out.extend_from_slice(head.as_bytes());
        out.extend_from_slice(&self.body);
        out.push(b'\n');
    }

    /// A header, its name without regard to case.
    pub fn header(&self, name: &str) -> Option<&str> {
        super::split::header(&self.headers, name)
    }
}

/// `2026-11-25T15:48:01Z`.
fn moment(seconds: i64) -> String {
    let time = DateTime::from_unix_seconds(seconds).unwrap_or(DateTime::MIN);
    let (year, month, day) = time.date();
    let second = time.ticks_of_day() / TICKS_PER_SECOND;
    format!(
        "{year:04}-{month:02}-{day:02}T{:02}:{:02}:{:02}Z",
        second / 3600,
        second / 60 % 60,
        second % 60
    )
}

/// What a token says, unproven: its signature is not looked at. `None` where it is no JWT.
pub fn claims_of(token: &str) -> Option<Map<String, Json>> {
    let claims = token.trim().split('.').nth(1)?;
    let bytes = URL_SAFE_NO_PAD
        .decode(claims)
        .or_else(|_| URL_SAFE.decode(claims))
        .ok()?;
    match serde_json::from_slice(&bytes) {
        Ok(Json::Object(map)) => Some(map),
        _ => None,
    }
}

/// The tenant that a request's token names, where it has one.
pub fn tenant_of(body: &[u8]) -> Option<String> {
    let Peek::Head(head) = soap::peek(body, true) else {
        return None;
    };
    let claims = claims_of(&head.token?)?;
    [CONTEXT_CLAIM, "sub"]
        .iter()
        .find_map(|name| claims.get(*name))
        .and_then(Json::as_str)
        .filter(|name| check_context(name).is_ok())
        .map(str::to_owned)
}

/// Whether a file is one of the recorder's.
pub fn is_recorded(bytes: &[u8]) -> bool {
    bytes.starts_with(MAGIC.as_bytes()) || bytes.starts_with(MAGIC.replace('\n', "\r\n").as_bytes())
}

/// Reads a file of the recorder: its calls, in the file's order.
///
/// # Errors
/// [`CaptureError`] with the line.
pub fn read(file: &str, bytes: &[u8]) -> Result<Vec<Call>, CaptureError> {
    let mut lines = Lines {
        file,
        bytes,
        at: 0,
        line: 1,
    };
    let mut calls = Vec::new();
    while lines.at < bytes.len() {
        calls.push(lines.call()?);
    }
    Ok(calls)
}

struct Lines<'b> {
    file: &'b str,
    bytes: &'b [u8],
    at: usize,
    line: usize,
}

impl<'b> Lines<'b> {
    fn error(&self, line: usize, what: impl ToString) -> CaptureError {
        CaptureError {
            file: self.file.to_owned(),
            line,
            column: 0,
            what: what.to_string(),
        }
    }

    /// A line without its end.
    fn next(&mut self) -> Result<&'b str, CaptureError> {
        let rest = &self.bytes[self.at..];
        let Some(end) = rest.iter().position(|b| *b == b'\n') else {
            return Err(self.error(self.line, "the file ends in the middle of a call"));
        };
        let line = std::str::from_utf8(&rest[..end])
            .map_err(|_| self.error(self.line, "this line is no UTF-8: the file was changed"))?;
        self.at += end + 1;
        self.line += 1;
        if line.ends_with('\r') {
            return Err(self.error(
                self.line - 1,
                "this line ends in CR LF: some tool has changed the file's line ends, and with them its bodies; copy it as it is",
            ));
        }
        Ok(line)
    }

    fn call(&mut self) -> Result<Call, CaptureError> {
        let first = self.line;
        if self.next()? != MAGIC.trim_end() {
            return Err(self.error(
                first,
                format!("expected a call, which begins with `{}`", MAGIC.trim_end()),
            ));
        }
        let mut call = Call {
            number: 0,
            time: 0,
            tenant: None,
            operation: None,
            redacted: Redaction::default(),
            took_ms: 0,
            request: Message::default(),
            outcome: Outcome::NoAnswer(String::new()),
        };
        let (mut request, mut answer, mut status) = (None, None, None);
        let (mut request_cut, mut answer_cut, mut no_answer) = (None, None, None);
        loop {
            let at = self.line;
            let line = self.next()?;
            if line.is_empty() {
                break;
            }
            let wrong = || self.error(at, format!("`{}` is no line of a recorded call", excerpt(line)));
            let (name, value) = line.split_once(": ").ok_or_else(wrong)?;
            let number = || value.parse::<u64>().map_err(|_| wrong());
            match name {
                "number" => call.number = number()?,
                "time" => {
                    call.time = value
                        .strip_suffix('Z')
                        .and_then(DateTime::parse)
                        .map(DateTime::unix_seconds)
                        .ok_or_else(wrong)?;
                }
                "tenant" => call.tenant = Some(value.to_owned()),
                "operation" => call.operation = Some(Operation::from_name(value).ok_or_else(wrong)?),
                "redacted" => call.redacted = value.parse().map_err(|_| wrong())?,
                "request" => request = Some(number()?),
                "request-cut" => request_cut = Some(number()?),
                "status" => status = Some(value.parse::<u16>().map_err(|_| wrong())?),
                "took-ms" => call.took_ms = number()?,
                "answer" => answer = Some(number()?),
                "answer-cut" => answer_cut = Some(number()?),
                "no-answer" => no_answer = Some(value.to_owned()),
                _ => return Err(wrong()),
            }
        }
        let length =
            request.ok_or_else(|| self.error(first, "the call does not say how long its `request` is"))?;
        call.request = self.message("request", length)?;
        call.request.cut = request_cut;
        call.outcome = match (status, answer, no_answer) {
            (Some(status), Some(length), None) => {
                let mut answer = self.message("answer", length)?;
                answer.cut = answer_cut;
                Outcome::Answered { status, answer }
            }
            (None, None, Some(why)) => Outcome::NoAnswer(why),
            _ => {
                return Err(self.error(
                    first,
                    "the call has neither `status` and `answer` nor `no-answer`",
                ));
            }
        };
        Ok(call)
    }

    fn message(&mut self, what: &str, length: u64) -> Result<Message, CaptureError> {
        let mut message = Message {
            start_line: self.next()?.to_owned(),
            ..Message::default()
        };
        loop {
            let at = self.line;
            let line = self.next()?;
            if line.is_empty() {
                break;
            }
            let (name, value) = line
                .split_once(':')
                .ok_or_else(|| self.error(at, format!("`{}` is no HTTP header", excerpt(line))))?;
            message
                .headers
                .push((name.to_owned(), value.trim_start().to_owned()));
        }
        let end = usize::try_from(length)
            .ok()
            .and_then(|length| self.at.checked_add(length))
            .filter(|end| self.bytes.get(*end) == Some(&b'\n'))
            .ok_or_else(|| {
                self.error(
                    self.line,
                    format!(
                        "the {what} that begins here has not {length} bytes, as the call says: the file was changed or cut"
                    ),
                )
            })?;
        message.origin = Some(Origin {
            line: self.line,
            column: 1,
        });
        message.body = self.bytes[self.at..end].to_vec();
        self.line += message.body.iter().filter(|b| **b == b'\n').count() + 1;
        self.at = end + 1;
        Ok(message)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn message(start: &str, body: &[u8]) -> Message {
        Message {
            start_line: start.into(),
            headers: vec![
                ("content-type".into(), "text/xml; charset=utf-8".into()),
                ("x".into(), String::new()),
            ],
            body: body.to_vec(),
            cut: None,
            origin: None,
        }
    }

    fn call() -> Call {
        Call {
            number: 3,
            time: 1_795_305_600,
            tenant: Some("Cust10001".into()),
            operation: Some(Operation::RowData),
            redacted: Redaction::default(),
            took_ms: 12,
            request: message(
                "POST /x/MirroringClientService.svc HTTP/1.1",
                "<a>\nø</a>".as_bytes(),
            ),
            outcome: Outcome::Answered {
                status: 200,
                answer: message("HTTP/1.1 200 OK", b""),
            },
        }
    }

    /// Where bodies begin is the reader's to say.
    fn placeless(mut calls: Vec<Call>) -> Vec<Call> {
        for call in &mut calls {
            call.request.origin = None;
            if let Outcome::Answered { answer, .. } = &mut call.outcome {
                answer.origin = None;
            }
        }
        calls
    }

    #[test]
    fn a_call_is_a_file_that_a_person_can_read() {
        let call = call();
        insta::assert_snapshot!(String::from_utf8(call.write()).unwrap());
        assert_eq!(call.file_name(), "00003-Cust10001-RowData.call");
        let odd = Call {
            tenant: Some("../x".into()),
            operation: None,
            ..call
        };
        assert_eq!(odd.file_name(), "00003-tenant-unknown.call");
    }

    #[test]
    fn what_was_changed_is_told_with_its_line() {
        let good = String::from_utf8(call().write()).unwrap();
        let mut said = String::new();
        for text in [
            "hello\n".to_owned(),
            "MIRRORLAB-CALL 1\nnumber: x\n".to_owned(),
            "MIRRORLAB-CALL 1\nnumber: 1\n\n".to_owned(),
            good.replace("request: 10", "request: 11"),
            good.replace("status: 200\n", ""),
            good.replace("RowData\n", "Rows\n"),
            good.replace('\n', "\r\n"),
            good.replace("x: \n", "nothing\n"),
            good[..good.len() / 2].to_owned(),
            format!("{good}more\n"),
            good.replace("number: 3", "number: 3\nfoo: 1"),
            good.replace("T00:00:00Z", " yesterday"),
        ] {
            said.push_str(&format!("{}\n", read("f.call", text.as_bytes()).unwrap_err()));
        }
        insta::assert_snapshot!(said);
    }

    #[test]
    fn a_tenant_is_read_from_a_token_and_nothing_but_a_name() {
        let body = |claims: &str| {
            let token = format!("e30.{}.x", URL_SAFE_NO_PAD.encode(claims));
            soap::envelope(Some(&token), b"<a/>")
        };
        assert_eq!(tenant_of(&body(r#"{"sub": "Cust1"}"#)).as_deref(), Some("Cust1"));
        assert_eq!(tenant_of(&body(r#"{"sub": "../x"}"#)), None);
        assert_eq!(tenant_of(&body("[]")), None);
        assert_eq!(tenant_of(b"<a/>"), None);
        assert_eq!(tenant_of(b""), None);
    }

    proptest! {
        #[test]
        fn every_call_comes_back(
            body in any::<Vec<u8>>(), answer in any::<Vec<u8>>(), answered: bool, cut in proptest::option::of(any::<u64>()),
            number: u64, tokens: bool, cells: bool, why in "[a-z: ]{1,9}[a-z]",
        ) {
            let mut one = Call { number, redacted: Redaction { tokens, cells }, ..call() };
            one.request.body = body;
            one.request.cut = cut;
            if answered {
                one.outcome = Outcome::Answered { status: 500, answer: message("HTTP/1.1 500 X", &answer) };
            } else {
                one.outcome = Outcome::NoAnswer(why);
            }
            let two = Call { operation: None, tenant: None, ..one.clone() };
            let bytes = [one.write(), two.write()].concat();
            prop_assert_eq!(placeless(read("f", &bytes).unwrap()), vec![one, two]);
        }
    }
}
