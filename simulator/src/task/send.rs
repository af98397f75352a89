//! Signed calls, and what of their answers ends a cycle.

use std::collections::HashMap;
use std::collections::hash_map::Entry;
use std::fmt;

use mirrorlab_protocol::answer::{self, AnswerError};
use mirrorlab_protocol::message::{
    AuthenticateDetail, Request, ResponseDetail, read_response, write_request,
};
use mirrorlab_protocol::names::{Operation, fold};
use mirrorlab_protocol::schema::Table;
use mirrorlab_protocol::soap::{self, Fault, SoapError};
use mirrorlab_protocol::xml;

use super::Cycle;
use super::report::CycleReport;
use crate::authority::Tokens;
use crate::endpoint::{OutgoingCall, Reply, TransportError};
use crate::source::SourceError;

/// How much of an endpoint's own text an event repeats, in characters.
const TEXT_CHARS_MAX: usize = 2000;
/// How many tables an event names.
const NAMES_MAX: usize = 3;

/// Which call failed: its operation, and the tables in it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CallName {
    /// The operation.
    pub operation: Operation,
    /// The tables that the call is about, where it is about some.
    pub tables: Vec<String>,
}

/// `RowData of contact, person`.
impl fmt::Display for CallName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.operation)?;
        for (at, table) in self.tables.iter().take(NAMES_MAX).enumerate() {
            write!(f, "{} {table}", if at == 0 { " of" } else { "," })?;
        }
        match self.tables.len().saturating_sub(NAMES_MAX) {
            0 => Ok(()),
            more => write!(f, " and {more} more"),
        }
    }
}

/// What ends a cycle with an error. Displayed, it is what the event log says.
#[derive(Debug, thiserror::Error)]
pub enum CycleError {
    /// No answer came.
    #[error("{call}: {error}")]
    Transport {
        /// Which call.
        call: CallName,
        /// Why.
        error: TransportError,
    },
    /// An HTTP status other than 200, without a fault in it.
    #[error("{call} was answered by HTTP {status}{}{text}", if .text.is_empty() { "" } else { ": " })]
    Status {
        /// Which call.
        call: CallName,
        /// The status.
        status: u16,
        /// The answer's beginning, where it is text.
        text: String,
    },
    /// A SOAP fault.
    #[error("{call} was answered by a SOAP fault {}: {}", .fault.code, .fault.text)]
    Fault {
        /// Which call.
        call: CallName,
        /// The HTTP status.
        status: u16,
        /// The fault.
        fault: Fault,
    },
    /// HTTP 200 with another content type than SOAP's, which a .NET client refuses (.NET).
    #[error("{call} was answered with the content type `{content_type}`; expected text/xml")]
    ContentType {
        /// Which call.
        call: CallName,
        /// What came.
        content_type: String,
    },
    /// HTTP 200 with something that is no answer.
    #[error("{call} was answered by something that cannot be read: {why}")]
    Unreadable {
        /// Which call.
        call: CallName,
        /// Why not.
        why: SoapError,
    },
    /// `IsSuccessful` false.
    #[error("{call} was refused: {text}")]
    Refused {
        /// Which call.
        call: CallName,
        /// `ErrorMessage`.
        text: String,
    },
    /// An answer to Authenticate that the application did not sign as it has to.
    #[error("Authenticate's answer was not accepted: {0}")]
    Answer(#[from] AnswerError),
    /// The source.
    #[error(transparent)]
    Source(#[from] SourceError),
}

/// Makes one cycle's calls, one after the other.
pub(super) struct Caller<'a> {
    cycle: Cycle<'a>,
    tokens: &'a mut Tokens,
    client_state: Option<String>,
    /// Authenticate's answer, until it is found to be signed.
    authenticated: Option<Reply>,
    report: CycleReport,
}

impl<'a> Caller<'a> {
    pub(super) fn new(cycle: &Cycle<'a>, tokens: &'a mut Tokens, report: CycleReport) -> Caller<'a> {
        Caller {
            cycle: *cycle,
            tokens,
            client_state: None,
            authenticated: None,
            report,
        }
    }

    pub(super) fn report_mut(&mut self) -> &mut CycleReport {
        &mut self.report
    }

    pub(super) fn into_report(self) -> CycleReport {
        self.report
    }

    pub(super) fn client_state(&self) -> Option<&str> {
        self.client_state.as_deref()
    }

    /// Opens the cycle. `false`: the application wants no replication now.
    pub(super) fn authenticate(&mut self) -> Result<bool, CycleError> {
        let message = write_request(&Request::Authenticate { client_state: None });
        let (detail, nonce) = self.call(Operation::Authenticate, &message, &[])?;
        let ResponseDetail::Authenticate(detail) = detail else {
            return Ok(false);
        };
        let now = self.cycle.wire_clock.now();
        let answer = self.authenticated.take();
        if let Err(error) = answer::check(
            detail.signed_application_token.as_deref(),
            &nonce,
            now,
            self.cycle.application_key,
        ) {
            self.report.ended_by = answer;
            return Err(error.into());
        }
        let replicate = !do_not_replicate(&detail);
        self.client_state = detail.client_state;
        Ok(replicate)
    }

    /// Sends every table's schema, and gives the LSNs that the mirror answers, by folded name.
    pub(super) fn table_schema(&mut self, tables: &[Table]) -> Result<HashMap<String, i64>, CycleError> {
        let client_state = self.client_state.clone();
        let request = Request::TableSchema {
            client_state: client_state.as_deref().map(Into::into),
            tables: tables.iter().map(Table::to_wire).collect(),
        };
        let mut lsns = HashMap::new();
        if let ResponseDetail::TableSchema(answered) = self.request(&request, &[])? {
            for answer in answered {
                match lsns.entry(fold(&answer.table)) {
                    Entry::Vacant(place) => {
                        place.insert(answer.lsn);
                    }
                    // Named twice: from the lower one on nothing is missed.
                    Entry::Occupied(mut place) => {
                        let lower = answer.lsn.min(*place.get());
                        place.insert(lower);
                    }
                }
            }
        }
        Ok(lsns)
    }

    /// Closes the cycle with its counts.
    pub(super) fn replication_completed(&mut self) -> Result<(), CycleError> {
        let client_state = self.client_state.clone();
        let message = write_request(&Request::ReplicationCompleted {
            client_state: client_state.as_deref().map(Into::into),
            changed: self
                .report
                .tables
                .iter()
                .filter_map(|table| table.summary())
                .collect(),
        });
        self.call(Operation::ReplicationCompleted, &message, &[])
            .map(drop)
    }

    /// Sends a RowData message that is already written.
    pub(super) fn row_data(&mut self, message: &[u8], tables: &[&str]) -> Result<(), CycleError> {
        self.call(Operation::RowData, message, tables).map(drop)
    }

    /// Sends a request, and gives what its answer says.
    pub(super) fn request(
        &mut self,
        request: &Request<'_>,
        tables: &[&str],
    ) -> Result<ResponseDetail, CycleError> {
        let message = write_request(request);
        self.call(request.operation(), &message, tables)
            .map(|(detail, _)| detail)
    }

    fn call(
        &mut self,
        operation: Operation,
        message: &[u8],
        tables: &[&str],
    ) -> Result<(ResponseDetail, String), CycleError> {
        let call = || {
            let mut names: Vec<String> = tables.iter().map(|&table| table.to_owned()).collect();
            names.dedup();
            CallName {
                operation,
                tables: names,
            }
        };
        let minted = self.tokens.mint(self.cycle.wire_clock.now());
        let outgoing = OutgoingCall {
            operation,
            context: self.cycle.context.to_owned(),
            body: soap::envelope(minted.text.as_deref(), message),
        };
        self.report.calls += 1;
        self.report.bytes_sent += outgoing.body.len() as u64;
        let reply = self
            .cycle
            .endpoint
            .call(&outgoing)
            .map_err(|error| CycleError::Transport { call: call(), error })?;
        self.report.bytes_received += reply.body.len() as u64;
        let detail = match understand(&reply, operation, call) {
            Ok(detail) => detail,
            Err(error) => {
                self.report.ended_by = Some(reply);
                return Err(error);
            }
        };
        // Only its signature says whether this one ends the cycle.
        self.authenticated = (operation == Operation::Authenticate).then_some(reply);
        Ok((detail, minted.nonce))
    }
}

/// Reads an answer as the vendor's stack does: SOAP's content type, a fault at any status, a response at 200 alone.
fn understand(
    reply: &Reply,
    operation: Operation,
    call: impl Fn() -> CallName,
) -> Result<ResponseDetail, CycleError> {
    let status = reply.status;
    let bad_status = || CycleError::Status {
        call: call(),
        status,
        text: beginning(&reply.body),
    };
    let media_type = reply.content_type.split(';').next().unwrap_or_default().trim();
    if !media_type.eq_ignore_ascii_case("text/xml") {
        if status != 200 {
            return Err(bad_status());
        }
        let content_type = mirrorlab_protocol::excerpt(&reply.content_type);
        return Err(CycleError::ContentType {
            call: call(),
            content_type,
        });
    }
    let read = xml::decode(&reply.body)
        .map_err(SoapError::from)
        .and_then(|text| read_response(&text, operation));
    match read {
        Ok(Err(mut fault)) => {
            fault.text = shortened(&fault.text);
            Err(CycleError::Fault {
                call: call(),
                status,
                fault,
            })
        }
        _ if status != 200 => Err(bad_status()),
        Err(why) => Err(CycleError::Unreadable { call: call(), why }),
        Ok(Ok(response)) if response.successful => Ok(response.detail),
        Ok(Ok(response)) => Err(CycleError::Refused {
            call: call(),
            text: match response.error.as_deref().map(str::trim) {
                None | Some("") => "the answer says no reason (ErrorMessage is empty)".to_owned(),
                Some(text) => shortened(text),
            },
        }),
    }
}

fn shortened(text: &str) -> String {
    match text.char_indices().nth(TEXT_CHARS_MAX) {
        Some((end, _)) => format!("{}…", &text[..end]),
        None => text.to_owned(),
    }
}

/// A short piece of a body that should not have come.
fn beginning(body: &[u8]) -> String {
    let start = &body[..body.len().min(400)];
    mirrorlab_protocol::excerpt(String::from_utf8_lossy(start).trim())
}

/// `{ "doNotReplicate": "true" }`, as text or as a boolean (doc). What is no JSON says nothing.
fn do_not_replicate(detail: &AuthenticateDetail) -> bool {
    let Some(text) = detail
        .additional_information_json
        .as_deref()
        .filter(|text| !text.trim().is_empty())
    else {
        return false;
    };
    match serde_json::from_str::<serde_json::Value>(text) {
        Ok(json) => match &json["doNotReplicate"] {
            serde_json::Value::Bool(yes) => *yes,
            serde_json::Value::String(text) => text.trim().eq_ignore_ascii_case("true"),
            _ => false,
        },
        Err(error) => {
            tracing::warn!(%error, "AdditionalInformationJson is not JSON; it is ignored");
            false
        }
    }
}
