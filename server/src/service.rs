//! The service: one call's bytes in, its answer out. Synchronous, so that a call takes the same way over HTTP and inside
//! one process.
//!
//! A call goes through [`Service::begin`] (method, content type, action), [`Service::head`] (the SOAP header, which may
//! come before the rest), [`Service::admit`] (the token) and [`Service::work`] (the message, the operation).
//! [`Service::handle`] is all of them in turn; the HTTP side takes the steps one by one, so that a stranger's body is never
//! taken in.
//!
//! A refusal is HTTP 200 with `IsSuccessful` false (doc): the vendor's check of an endpoint posts an Authenticate with a
//! nonsense token and wants just that. Faults and statuses are .NET's.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;

use mirrorlab_protocol::answer;
use mirrorlab_protocol::clock::Clock;
use mirrorlab_protocol::excerpt;
use mirrorlab_protocol::keys::PrivateKey;
use mirrorlab_protocol::message::{self, Response, ResponseDetail};
use mirrorlab_protocol::names::{ACTION_PREFIX, CONTENT_TYPE, Operation};
use mirrorlab_protocol::soap::{self, FaultCode, Head, Peek, SoapError};
use mirrorlab_protocol::xml::{self, Reader};

use crate::operations::Mirroring;
use crate::page;
use crate::trust::{Tenant, Trust};
use crate::wsdl;

const PLAIN: &str = "text/plain; charset=utf-8";
const HTML: &str = "text/html; charset=utf-8";

/// A call without its body.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct CallHead<'a> {
    /// `POST`, `GET` …
    pub method: &'a str,
    /// The URL that the caller knows the service by, without its query; the contract gives it as the service's address.
    pub address: &'a str,
    /// What stands behind the URL's `?`.
    pub query: Option<&'a str>,
    /// The `Content-Type` header.
    pub content_type: Option<&'a str>,
    /// The `SOAPAction` header, with its quotes where it has them.
    pub soap_action: Option<&'a str>,
}

/// A whole call.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Call<'a> {
    /// All but the body.
    pub head: CallHead<'a>,
    /// The body, unpacked.
    pub body: &'a [u8],
}

/// What goes back.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Answer {
    /// HTTP status.
    pub status: u16,
    /// `Content-Type`.
    pub content_type: &'static str,
    /// The body.
    pub body: Vec<u8>,
    /// For the log.
    pub about: About,
}

/// What the log says of a call.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct About {
    /// The operation, once it is known.
    pub operation: Option<Operation>,
    /// The tenant, once it is trusted.
    pub context: Option<String>,
    /// `done`, `refused: …`, `fault Client: …`, `not read: …`.
    pub result: String,
}

/// A call and its answer, for those who keep every message.
#[derive(Debug, Clone, Copy)]
pub struct MessageRecord<'a> {
    /// The operation, once it is known.
    pub operation: Option<Operation>,
    /// The tenant, once it is trusted.
    pub context: Option<&'a str>,
    /// The call's bytes, unpacked, its token among them.
    pub request: &'a [u8],
    /// Whether these are all: of a call that is not trusted only the beginning is taken in.
    pub complete: bool,
    /// HTTP status of the answer.
    pub status: u16,
    /// The answer's bytes.
    pub answer: &'a [u8],
}

/// Sees every POST and its answer. Called on the call's thread, from many at once.
pub trait MessageSink: Send + Sync {
    /// One call has been answered.
    fn message(&self, record: &MessageRecord<'_>);
}

/// What the beginning of a call comes to.
#[derive(Debug)]
pub enum Begun {
    /// A call of this operation: its body is wanted.
    Post(Operation),
    /// The answer, whatever the body is.
    Answered(Answer),
}

/// The mirroring service.
pub struct Service {
    trust: Trust,
    mirroring: Mirroring,
    application_key: PrivateKey,
    clock: Arc<dyn Clock>,
    sink: Option<Arc<dyn MessageSink>>,
    depth_max: usize,
}

impl Service {
    /// A service that trusts whom `trust` trusts and signs its answers with the application's key, dated by `clock`.
    pub fn new(
        trust: Trust,
        mirroring: Mirroring,
        application_key: PrivateKey,
        clock: Arc<dyn Clock>,
    ) -> Service {
        Service {
            trust,
            mirroring,
            application_key,
            clock,
            sink: None,
            depth_max: xml::DEPTH_MAX,
        }
    }

    /// Shows every message to `sink`.
    #[must_use]
    pub fn with_sink(mut self, sink: Arc<dyn MessageSink>) -> Service {
        self.sink = Some(sink);
        self
    }

    /// Reads messages whose elements are nested at most so deep; [`xml::DEPTH_MAX`] unless said.
    #[must_use]
    pub fn with_depth_max(mut self, depth_max: usize) -> Service {
        self.depth_max = depth_max;
        self
    }

    /// Does a whole call.
    pub fn handle(&self, call: &Call<'_>) -> Answer {
        let answer = match self.begin(&call.head) {
            Begun::Answered(answer) => answer,
            Begun::Post(operation) => self.post(operation, call.body),
        };
        if call.head.method == "POST" {
            self.record(call.body, true, &answer);
        }
        answer
    }

    fn post(&self, operation: Operation, body: &[u8]) -> Answer {
        let head = match self.head(operation, body, true) {
            Ok(head) => head.unwrap_or_default(),
            Err(answer) => return answer,
        };
        match self.admit(operation, &head) {
            Ok(tenant) => self.work(operation, &tenant, body),
            Err(answer) => answer,
        }
    }

    /// Looks at all but the body.
    pub fn begin(&self, head: &CallHead<'_>) -> Begun {
        match head.method {
            "GET" | "HEAD" => return Begun::Answered(get(head)),
            "POST" => {}
            other => {
                let text = format!(
                    "The method {} is not supported here; calls are POST.\n",
                    excerpt(other)
                );
                return Begun::Answered(not_read(405, text, None));
            }
        }
        if let Err(wrong) = check_content_type(head.content_type) {
            return Begun::Answered(not_read(415, format!("{wrong}\n"), None));
        }
        let action = head.soap_action.unwrap_or_default();
        match Operation::from_action(action) {
            Some(operation) => Begun::Post(operation),
            None => Begun::Answered(fault(
                FaultCode::ActionNotSupported,
                &format!(
                    "the SOAPAction `{}` is none of this service; expected {ACTION_PREFIX} and one of {}",
                    excerpt(action.trim().trim_matches('"')),
                    Operation::ALL.map(Operation::name).join(", ")
                ),
                None,
            )),
        }
    }

    /// Looks for the SOAP header in a call's first bytes, at most [`soap::HEAD_BYTES_MAX`] of them; `complete` says that
    /// there are no more. `None` asks for more bytes.
    ///
    /// # Errors
    /// The answer, where the call cannot be one of this service.
    pub fn head(&self, operation: Operation, bytes: &[u8], complete: bool) -> Result<Option<Head>, Answer> {
        let (bytes, complete) = if bytes.len() > soap::HEAD_BYTES_MAX {
            (&bytes[..soap::HEAD_BYTES_MAX], false)
        } else {
            (bytes, complete)
        };
        match soap::peek(bytes, complete) {
            Peek::More => Ok(None),
            Peek::Head(head) => Ok(Some(head)),
            Peek::Failed(error) => Err(broken(&error, operation, None)),
        }
    }

    /// Checks a call's token. It may block while a certificate is looked up.
    ///
    /// # Errors
    /// The refusal.
    pub fn admit(&self, operation: Operation, head: &Head) -> Result<Tenant, Answer> {
        match catch_unwind(AssertUnwindSafe(|| self.trust.check(head.token.as_deref()))) {
            Ok(Ok(tenant)) => Ok(tenant),
            Ok(Err(error)) => Err(respond(
                &Response::refusal(operation, format!("The call is refused: {error}.")),
                None,
            )),
            Err(panic) => {
                log_panic(&*panic, operation, None);
                Err(failed(operation, None))
            }
        }
    }

    /// Does what a trusted tenant's call asks for. It blocks while the mirror is written.
    pub fn work(&self, operation: Operation, tenant: &Tenant, body: &[u8]) -> Answer {
        let context = Some(tenant.context.as_str());
        catch_unwind(AssertUnwindSafe(|| self.run(operation, tenant, body))).unwrap_or_else(|panic| {
            log_panic(&*panic, operation, context);
            failed(operation, context)
        })
    }

    fn run(&self, operation: Operation, tenant: &Tenant, body: &[u8]) -> Answer {
        let context = Some(tenant.context.as_str());
        let not_xml = |error: SoapError| broken(&error, operation, context);
        let text = match xml::decode(body) {
            Ok(text) => text,
            Err(error) => return not_xml(error.into()),
        };
        let mut reader = Reader::new(&text).with_depth_max(self.depth_max);
        let request = match soap::open(&mut reader).and_then(|_| message::read_request(&mut reader)) {
            Ok(request) => request,
            Err(error) => return not_xml(error),
        };
        if request.operation() != operation {
            let text = format!(
                "the SOAPAction says {operation}, but the body holds a `{}`",
                request.operation().request_element()
            );
            return fault_of(FaultCode::Client, &text, operation, context);
        }
        let mut response = self.mirroring.run(&tenant.context, &request);
        if let ResponseDetail::Authenticate(detail) = &mut response.detail
            && response.successful
        {
            let now = self.clock.now();
            detail.signed_application_token = Some(answer::sign(&tenant.nonce, now, &self.application_key));
        }
        respond(&response, context)
    }

    /// Shows a call to the sink, if there is one.
    pub fn record(&self, request: &[u8], complete: bool, answer: &Answer) {
        if let Some(sink) = &self.sink {
            sink.message(&MessageRecord {
                operation: answer.about.operation,
                context: answer.about.context.as_deref(),
                request,
                complete,
                status: answer.status,
                answer: &answer.body,
            });
        }
    }
}

fn get(head: &CallHead<'_>) -> Answer {
    let asked = head.query.unwrap_or_default();
    let asked = asked.split(['&', '=']).next().unwrap_or_default();
    let contract = ["wsdl", "singlewsdl"]
        .iter()
        .any(|name| asked.eq_ignore_ascii_case(name));
    let (content_type, body, result) = if contract {
        (CONTENT_TYPE, wsdl::document(head.address), "contract")
    } else {
        (HTML, page::document(head.address), "page")
    };
    Answer {
        status: 200,
        content_type,
        body: body.into_bytes(),
        about: About {
            result: result.to_owned(),
            ..About::default()
        },
    }
}

/// `text/xml` in UTF-8 or UTF-16; without a charset the bytes themselves tell.
fn check_content_type(header: Option<&str>) -> Result<(), String> {
    let header = header.unwrap_or_default();
    let mut parts = header.split(';').map(str::trim);
    let text_xml = parts.next().is_some_and(|t| t.eq_ignore_ascii_case("text/xml"));
    let charset = parts.find_map(|part| {
        let (name, value) = part.split_once('=')?;
        name.trim()
            .eq_ignore_ascii_case("charset")
            .then(|| value.trim().trim_matches('"').to_ascii_lowercase())
    });
    let readable = charset.is_none_or(|charset| {
        ["utf-8", "utf8", "us-ascii", "utf-16", "utf-16le", "utf-16be"].contains(&charset.as_str())
    });
    if text_xml && readable {
        Ok(())
    } else {
        Err(format!(
            "The Content-Type `{}` is not accepted; expected `{CONTENT_TYPE}` (or utf-16).",
            excerpt(header)
        ))
    }
}

fn respond(response: &Response, context: Option<&str>) -> Answer {
    let result = match &response.error {
        _ if response.successful => "done".to_owned(),
        error => format!("refused: {}", error.as_deref().unwrap_or_default()),
    };
    Answer {
        status: 200,
        content_type: CONTENT_TYPE,
        body: soap::envelope(None, &message::write_response(response)),
        about: About {
            operation: Some(response.detail.operation()),
            context: context.map(str::to_owned),
            result,
        },
    }
}

fn broken(error: &SoapError, operation: Operation, context: Option<&str>) -> Answer {
    let text = error.to_string();
    let code = match error {
        SoapError::Xml(_) => {
            let mut answer = not_read(400, format!("The request cannot be read: {text}.\n"), context);
            answer.about.operation = Some(operation);
            return answer;
        }
        SoapError::Version => FaultCode::VersionMismatch,
        SoapError::NotUnderstood(_) => FaultCode::MustUnderstand,
        SoapError::Form(_) => FaultCode::Client,
    };
    fault_of(code, &text, operation, context)
}

fn fault_of(code: FaultCode, text: &str, operation: Operation, context: Option<&str>) -> Answer {
    let mut answer = fault(code, text, context);
    answer.about.operation = Some(operation);
    answer
}

fn fault(code: FaultCode, text: &str, context: Option<&str>) -> Answer {
    Answer {
        status: 500,
        content_type: CONTENT_TYPE,
        body: soap::write_fault(code, text),
        about: About {
            operation: None,
            context: context.map(str::to_owned),
            result: format!("fault {}: {text}", code.name()),
        },
    }
}

/// What a caller may know of a failure inside.
fn failed(operation: Operation, context: Option<&str>) -> Answer {
    let text = "the server failed while it worked on the call; its log says more";
    fault_of(FaultCode::Server, text, operation, context)
}

/// An answer in plain text with an HTTP status of its own: what came was no SOAP call.
pub(crate) fn not_read(status: u16, text: String, context: Option<&str>) -> Answer {
    let result = format!("not read: {}", text.trim_end());
    Answer {
        status,
        content_type: PLAIN,
        body: text.into_bytes(),
        about: About {
            operation: None,
            context: context.map(str::to_owned),
            result,
        },
    }
}

fn log_panic(panic: &(dyn std::any::Any + Send), operation: Operation, context: Option<&str>) {
    let what = panic
        .downcast_ref::<&str>()
        .copied()
        .or_else(|| panic.downcast_ref::<String>().map(String::as_str))
        .unwrap_or("no text");
    tracing::error!(tenant = context, %operation, panic = what, "a defect: the call's work panicked");
}

#[cfg(test)]
mod tests;
