//! Mistakes with calls and answers, and the endpoint that makes them: one call's bytes in, its answer out, with a layer
//! before, around and behind the sound service.

use std::sync::Arc;

use mirrorlab_protocol::clock::Clock;
use mirrorlab_protocol::message::{self, Request, Response, ResponseDetail, RowDataBatch, Rows};
use mirrorlab_protocol::names::{CONTENT_TYPE, Operation, SERVICE_FILE};
use mirrorlab_protocol::soap;
use mirrorlab_protocol::xml::{self, Reader};
use mirrorlab_server::service::{About, Answer, Begun, CallHead, Service};
use mirrorlab_server::trust::Tenant;
use mirrorlab_simulator::endpoint::{Endpoint, OutgoingCall, Reply, TransportError};

use super::Layer;
use super::memory::{Memory, key};
use super::trust::{self, TrustMistake};
use crate::run::keys::RunKeys;

/// The receive limit that WCF sets where nobody lifts it, in bytes.
const WCF_MESSAGE_BYTES_MAX: usize = 65_536;
/// The longest text that WCF's reader takes where nobody lifts it, in bytes.
const WCF_STRING_BYTES_MAX: usize = 8_192;

/// What is done wrong with calls and answers.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum MessageMistake {
    /// The LSN is committed before the rows are written.
    LsnBeforeRows,
    /// Each batch of a call is a transaction of its own.
    EachBatchAlone,
    /// Only a call's first batch is read.
    OnlyFirstBatch,
    /// Names in other letters are other tables.
    CaseSensitive,
    /// A refusal is answered as a success.
    ErrorsSwallowed,
    /// A refusal is a bare HTTP 500.
    RefusalsWithoutText,
    /// Authenticate's answer signs the nonce of the call before.
    EarlierNonce,
    /// Authenticate's answer is dated in local time.
    LocalTime,
    /// The signature is in base64url, as the token's is.
    SignatureInBase64Url,
    /// References to control characters are refused, as XML 1.0 has it.
    StrictXml,
    /// WCF's receive limit.
    SmallMessagesOnly,
    /// WCF's limit for a text.
    ShortTextsOnly,
    /// Raw line ends and blanks alone are taken for layout.
    LayoutDropped,
}

/// A server with a defect, as the simulator reaches it.
pub struct BrokenEndpoint {
    service: Service,
    messages: Option<MessageMistake>,
    trust: Option<TrustMistake>,
    keys: RunKeys,
    clock: Arc<dyn Clock>,
    memory: Arc<Memory>,
}

impl BrokenEndpoint {
    /// Around `service`.
    pub fn new(
        service: Service,
        layer: Layer,
        keys: RunKeys,
        clock: Arc<dyn Clock>,
        memory: Arc<Memory>,
    ) -> BrokenEndpoint {
        let messages = match layer {
            Layer::Messages(mistake) => Some(mistake),
            _ => None,
        };
        let trust = match layer {
            Layer::Trust(mistake) => Some(mistake),
            _ => None,
        };
        BrokenEndpoint {
            service,
            messages,
            trust,
            keys,
            clock,
            memory,
        }
    }

    /// Does a whole call, as [`Service::handle`] does it without a defect.
    pub fn handle(&self, head: &CallHead<'_>, body: &[u8]) -> Answer {
        if let Some(answer) = self.before(body) {
            return answer;
        }
        let operation = match self.service.begin(head) {
            Begun::Answered(answer) => return answer,
            Begun::Post(operation) => operation,
        };
        let head = match self.service.head(operation, body, true) {
            Ok(head) => head.unwrap_or_default(),
            Err(answer) => return answer,
        };
        let admitted = match self.trust {
            Some(mistake) => trust::admit(
                mistake,
                &self.service,
                (operation, &head),
                (&self.keys, &self.clock, &self.memory),
            ),
            None => self.service.admit(operation, &head),
        };
        let tenant = match admitted {
            Ok(tenant) => tenant,
            Err(answer) => return self.behind(operation, None, answer),
        };
        self.memory.known().operation = Some(operation);
        let answer = self.work(operation, &tenant, body);
        self.behind(operation, Some(&tenant), answer)
    }

    /// What is answered before anything is looked at.
    fn before(&self, body: &[u8]) -> Option<Answer> {
        let holds = |what: &[u8]| body.windows(what.len()).any(|window| window == what);
        if self.trust == Some(TrustMistake::NotTrimmed) && trust::has_blanks(body) {
            return Some(plain(500, "IDX12741: JWT must have three segments"));
        }
        match self.messages? {
            MessageMistake::SmallMessagesOnly if body.len() > WCF_MESSAGE_BYTES_MAX => Some(plain(
                413,
                "the maximum message size quota for incoming messages (65536) has been exceeded",
            )),
            MessageMistake::ShortTextsOnly => body
                .split(|b| *b == b'<')
                .skip_while(|part| !part.starts_with(b"s:Body"))
                .any(|part| part.len() > WCF_STRING_BYTES_MAX)
                .then(|| {
                    plain(
                        500,
                        "the maximum string content length quota (8192) has been exceeded",
                    )
                }),
            MessageMistake::StrictXml => (0..0x20_u8)
                .filter(|c| !matches!(c, 9 | 10 | 13))
                .any(|c| holds(format!("&#x{c:X};").as_bytes()))
                .then(|| plain(400, "'', hexadecimal value 0x01, is an invalid character")),
            _ => None,
        }
    }

    fn work(&self, operation: Operation, tenant: &Tenant, body: &[u8]) -> Answer {
        let right = || self.service.work(operation, tenant, body);
        let (Some(mistake), Ok(text)) = (self.messages, xml::decode(body)) else {
            return right();
        };
        let mut reader = Reader::new(&text);
        let Ok(request) = soap::open(&mut reader).and_then(|_| message::read_request(&mut reader)) else {
            return right();
        };
        let does = |request: &Request<'_>| {
            let body = soap::envelope(None, &message::write_request(request));
            self.service.work(operation, tenant, &body)
        };
        match (mistake, &request) {
            (
                MessageMistake::LsnBeforeRows,
                Request::RowData {
                    client_state,
                    batches,
                },
            ) => {
                let early = batches.iter().map(|batch| RowDataBatch {
                    rows: Rows::default(),
                    ..batch.clone()
                });
                does(&Request::RowData {
                    client_state: client_state.clone(),
                    batches: early.collect(),
                });
                right()
            }
            (
                MessageMistake::EachBatchAlone,
                Request::RowData {
                    client_state,
                    batches,
                },
            ) => {
                let mut last = None;
                for batch in batches {
                    let answer = does(&Request::RowData {
                        client_state: client_state.clone(),
                        batches: vec![batch.clone()],
                    });
                    let done = answer.about.result == "done";
                    last = Some(answer);
                    if !done {
                        break;
                    }
                }
                last.unwrap_or_else(right)
            }
            (
                MessageMistake::OnlyFirstBatch,
                Request::RowData {
                    client_state,
                    batches,
                },
            ) => does(&Request::RowData {
                client_state: client_state.clone(),
                batches: batches.iter().take(1).cloned().collect(),
            }),
            (
                MessageMistake::LayoutDropped,
                Request::RowData {
                    client_state,
                    batches,
                },
            ) => does(&Request::RowData {
                client_state: client_state.clone(),
                batches: batches.iter().map(without_layout).collect(),
            }),
            (MessageMistake::CaseSensitive, Request::TableSchema { client_state, tables }) => {
                let mut known = Vec::new();
                for table in tables {
                    let name = table.name.as_deref().unwrap_or_default();
                    let before = self
                        .memory
                        .known()
                        .names
                        .insert(key(&tenant.context, name), name.to_owned());
                    if before.is_none_or(|before| before == name) {
                        known.push(table.clone());
                    }
                }
                if known.len() < tables.len() {
                    // The table in other letters is an unknown one, and the old one is gone.
                    does(&Request::TableSchema {
                        client_state: client_state.clone(),
                        tables: known,
                    });
                }
                right()
            }
            _ => right(),
        }
    }

    fn behind(&self, operation: Operation, tenant: Option<&Tenant>, answer: Answer) -> Answer {
        let lsns = std::mem::take(&mut self.memory.known().answers);
        if self.messages.is_none() && lsns.is_empty() {
            return answer;
        }
        let read = xml::decode(&answer.body)
            .ok()
            .and_then(|text| message::read_response(&text, operation).ok().and_then(Result::ok));
        let Some(mut response) = read else {
            return answer;
        };
        match (self.messages, response.successful) {
            (Some(MessageMistake::ErrorsSwallowed), false) => {
                response = Response::success(ResponseDetail::empty(operation));
            }
            (Some(MessageMistake::RefusalsWithoutText), false) => {
                return plain(500, "");
            }
            _ => {}
        }
        match (&mut response.detail, tenant) {
            (ResponseDetail::TableSchema(answered), Some(tenant)) => {
                for answer in answered {
                    if let Some(lsn) = lsns.get(&key(&tenant.context, &answer.table)) {
                        answer.lsn = *lsn;
                    }
                }
            }
            (ResponseDetail::Authenticate(detail), Some(tenant)) => {
                let now = self.clock.now();
                let sign = |nonce: &str, now: i64| self.keys.sign(nonce, now).unwrap_or_default();
                match self.messages {
                    Some(MessageMistake::EarlierNonce) => {
                        let before = self.memory.known().nonce.replace(tenant.nonce.clone());
                        let nonce = before.unwrap_or_else(|| tenant.nonce.clone());
                        detail.signed_application_token = Some(sign(&nonce, now));
                    }
                    Some(MessageMistake::LocalTime) => {
                        detail.signed_application_token = Some(sign(&tenant.nonce, now + 3600));
                    }
                    Some(MessageMistake::SignatureInBase64Url) => {
                        let right = sign(&tenant.nonce, now);
                        let url = right.replace('+', "-").replace('/', "_");
                        detail.signed_application_token = Some(url.trim_end_matches('=').to_owned());
                    }
                    _ => {}
                }
            }
            _ => {}
        }
        Answer {
            body: soap::envelope(None, &message::write_response(&response)),
            ..answer
        }
    }
}

/// Texts of blanks and line ends alone are empty, as an XML reader leaves them that drops insignificant white space.
fn without_layout<'a>(batch: &RowDataBatch<'a>) -> RowDataBatch<'a> {
    let mut rows = Rows::default();
    for row in batch.rows.iter() {
        let cells = row.cells.iter().map(|cell| {
            let blank = cell.as_deref().is_some_and(|text| text.trim().is_empty());
            if blank { Some("".into()) } else { cell.clone() }
        });
        rows.push(row.operation.clone(), cells);
    }
    RowDataBatch {
        rows,
        ..batch.clone()
    }
}

fn plain(status: u16, text: &str) -> Answer {
    Answer {
        status,
        content_type: "text/plain; charset=utf-8",
        body: text.as_bytes().to_vec(),
        about: About::default(),
    }
}

impl Endpoint for BrokenEndpoint {
    fn call(&self, call: &OutgoingCall) -> Result<Reply, TransportError> {
        let action = format!("\"{}\"", call.operation.action());
        let head = CallHead {
            method: "POST",
            address: SERVICE_FILE,
            query: None,
            content_type: Some(CONTENT_TYPE),
            soap_action: Some(&action),
        };
        let answer = self.handle(&head, &call.body);
        Ok(Reply {
            status: answer.status,
            content_type: answer.content_type.to_owned(),
            body: answer.body,
        })
    }
}
