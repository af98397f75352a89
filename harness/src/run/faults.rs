//! What calls meet on their way, as a scenario's `fault` steps say.
//!
//! An [`Endpoint`] around the real one. Who is hit is counted in calls, never in time, so that a run repeats.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use mirrorlab_protocol::clock::Clock;
use mirrorlab_protocol::message::{self, Request, Response, ResponseDetail};
use mirrorlab_protocol::names::{CONTENT_TYPE, Operation, same_name};
use mirrorlab_protocol::soap::{self, FaultCode, Peek};
use mirrorlab_protocol::types::ColumnType;
use mirrorlab_protocol::xml::{self, Reader};
use mirrorlab_simulator::authority::Tokens;
use mirrorlab_simulator::endpoint::https::CALL_TIMEOUT_DEFAULT;
use mirrorlab_simulator::endpoint::{Endpoint, OutgoingCall, Reply, TransportError};

use super::keys::RunKeys;
use super::store::StoreFault;
use super::wire::{KillPoint, WireFault};
use crate::scenario::model::{Fault, FaultKind, Hit, KillAt, TokenDefect, TokenFault};

/// How far `answer: bad_time` dates an answer off: just beyond what SuperOffice allows.
const OFF_SECONDS: i64 = 16 * 60;

/// How much of its end a truncated call lacks: less than what closes an envelope and its body.
const CUT_BYTES: usize = 30;

/// What a call meets beyond the bytes that are sent and given back.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Meeting {
    /// On the wire.
    Wire(WireFault),
    /// In the mirror's store.
    Store(StoreFault),
}

/// The server under test, where a run has its hands on it.
pub trait OwnServer: Send + Sync {
    /// Stops it, as if its process had died.
    fn stop(&self);

    /// What the tenant's next call meets; `None` once that is over.
    fn meets(&self, context: &str, meeting: Option<Meeting>);
}

/// Counts the calls that a [`Hit`] speaks of.
#[derive(Debug, Clone)]
pub struct Counter {
    hit: Hit,
    tenant: Option<String>,
    seen: u32,
    struck: bool,
}

impl Counter {
    /// Counts for one tenant, or for all.
    pub fn new(hit: Hit, tenant: Option<String>) -> Counter {
        Counter {
            hit,
            tenant,
            seen: 0,
            struck: false,
        }
    }

    /// Counts a call, and says whether it is hit.
    pub fn strikes(&mut self, operation: Operation, context: &str, tables: &[String]) -> bool {
        let counts = self.hit.operation.is_none_or(|o| o == operation)
            && self.tenant.as_deref().is_none_or(|t| t == context)
            && self
                .hit
                .table
                .as_ref()
                .is_none_or(|t| tables.iter().any(|name| same_name(name, t)));
        if !counts || self.is_spent() {
            return false;
        }
        self.seen += 1;
        self.seen > self.hit.after
    }

    /// Whether it ever struck: one that always stood behind another has not.
    pub fn has_struck(&self) -> bool {
        self.struck
    }

    /// Whether it counts this tenant's calls.
    pub fn is_about(&self, context: &str) -> bool {
        self.tenant.as_deref().is_none_or(|tenant| tenant == context)
    }

    /// Whether it will never strike again.
    pub fn is_spent(&self) -> bool {
        self.hit
            .calls
            .is_some_and(|calls| self.seen >= self.hit.after.saturating_add(calls))
    }
}

/// An endpoint that faults stand in front of.
pub struct FaultyEndpoint {
    inner: Arc<dyn Endpoint>,
    state: Mutex<State>,
    server: Arc<dyn OwnServer>,
    /// Sign what is to be wrong in one thing only.
    keys: RunKeys,
    clock: Arc<dyn Clock>,
}

#[derive(Default)]
struct State {
    faults: Vec<(FaultKind, Counter)>,
    tokens: Vec<(TokenDefect, Counter)>,
    /// Calls so far, by tenant and operation.
    calls: BTreeMap<(String, Operation), u64>,
    /// Each tenant's last good token.
    last_tokens: BTreeMap<String, String>,
    /// Calls that arrive among the last ones of their tenant's next cycle.
    delayed: Vec<Delayed>,
}

struct Delayed {
    call: OutgoingCall,
    /// That cycle has begun.
    due: bool,
}

impl FaultyEndpoint {
    /// Stands before `inner`, harmless at first.
    pub fn new(
        inner: Arc<dyn Endpoint>,
        server: Arc<dyn OwnServer>,
        keys: RunKeys,
        clock: Arc<dyn Clock>,
    ) -> FaultyEndpoint {
        FaultyEndpoint {
            inner,
            state: Mutex::new(State::default()),
            server,
            keys,
            clock,
        }
    }

    /// Adds what calls to come meet.
    pub fn add(&self, fault: &Fault, tenant: Option<String>) {
        self.state()
            .faults
            .push((fault.kind.clone(), Counter::new(fault.hit.clone(), tenant)));
    }

    /// Adds what is wrong with the tokens of calls to come.
    pub fn add_token(&self, fault: &TokenFault, tenant: Option<String>) {
        self.state()
            .tokens
            .push((fault.defect.clone(), Counter::new(fault.hit.clone(), tenant)));
    }

    /// The calls of a tenant since the last time.
    pub fn take_calls(&self, context: &str) -> BTreeMap<Operation, u64> {
        let mut state = self.state();
        let taken = state
            .calls
            .iter()
            .filter(|((c, _), _)| c == context)
            .map(|((_, o), n)| (*o, *n))
            .collect();
        state.calls.retain(|(c, _), _| c != context);
        taken
    }

    /// Faults that never struck: a scenario that waits for one in vain proves nothing.
    pub fn unused(&self) -> Vec<String> {
        let state = self.state();
        let faults = state
            .faults
            .iter()
            .filter(|(_, c)| !c.has_struck())
            .map(|(kind, _)| format!("fault {kind}"));
        let tokens = state
            .tokens
            .iter()
            .filter(|(_, c)| !c.has_struck())
            .map(|(defect, _)| format!("token {defect}"));
        let delayed = state
            .delayed
            .iter()
            .map(|d| format!("a delayed {} of {}", d.call.operation, d.call.context));
        faults.chain(tokens).chain(delayed).collect()
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Counts a call, and says what it meets. The first fault of each kind strikes.
    fn next(&self, call: &OutgoingCall) -> (Option<FaultKind>, Option<TokenDefect>) {
        let mut state = self.state();
        *state
            .calls
            .entry((call.context.clone(), call.operation))
            .or_default() += 1;
        let State { faults, tokens, .. } = &mut *state;
        let spent = |counter: &Counter| counter.is_spent();
        if faults.iter().all(|(_, c)| spent(c)) && tokens.iter().all(|(_, c)| spent(c)) {
            return (None, None);
        }
        let tables = tables_of(&call.body);
        let strikes = |counter: &mut Counter| counter.strikes(call.operation, &call.context, &tables);
        let mut fault = None;
        for (kind, counter) in faults {
            if strikes(counter) && fault.is_none() {
                counter.struck = true;
                fault = Some(kind.clone());
            }
        }
        let mut token = None;
        for (defect, counter) in tokens {
            if strikes(counter) && token.is_none() {
                counter.struck = true;
                token = Some(defect.clone());
            }
        }
        (fault, token)
    }

    /// The call with another token in it, of the same nonce: what is wrong is wrong in one thing only.
    fn with_token(&self, call: &OutgoingCall, defect: TokenDefect) -> OutgoingCall {
        let right = match soap::peek(&call.body, true) {
            Peek::Head(head) => head.token.unwrap_or_default(),
            _ => String::new(),
        };
        let token = match defect {
            TokenDefect::Repeated => self.state().last_tokens.get(&call.context).cloned(),
            wrong => {
                let authority = Arc::clone(&self.keys.authority);
                let tokens = Tokens::new(authority, &self.keys.application_id, &call.context, 0);
                tokens.defective(&wrong, &nonce_of(&right), self.clock.now())
            }
        };
        OutgoingCall {
            body: replace_token(&call.body, token.as_deref()),
            ..call.clone()
        }
    }
}

/// The nonce in a token of ours.
fn nonce_of(token: &str) -> String {
    let claims = token
        .split('.')
        .nth(1)
        .and_then(|part| URL_SAFE_NO_PAD.decode(part).ok());
    let claims = claims.and_then(|bytes| serde_json::from_slice::<serde_json::Value>(&bytes).ok());
    let nonce = claims.as_ref().and_then(|claims| claims["nonce"].as_str());
    nonce.unwrap_or_default().to_owned()
}

impl Endpoint for FaultyEndpoint {
    fn call(&self, call: &OutgoingCall) -> Result<Reply, TransportError> {
        self.deliver_delayed(call);
        let (fault, token) = self.next(call);
        let spoiled;
        let call = match token {
            Some(defect) => {
                spoiled = self.with_token(call, defect);
                &spoiled
            }
            None => {
                if let Peek::Head(head) = soap::peek(&call.body, true)
                    && let Some(token) = head.token
                {
                    self.state().last_tokens.insert(call.context.clone(), token);
                }
                call
            }
        };
        let Some(kind) = fault else {
            return self.inner.call(call);
        };
        match kind {
            FaultKind::Refuse(text) => {
                let refusal = Response::refusal(call.operation, text);
                Ok(xml_reply(
                    200,
                    soap::envelope(None, &message::write_response(&refusal)),
                ))
            }
            FaultKind::Http(status) => Ok(Reply {
                status,
                content_type: "text/html".into(),
                body: format!("<html><body>HTTP {status}</body></html>").into_bytes(),
            }),
            FaultKind::SoapFault(text) => Ok(xml_reply(500, soap::write_fault(FaultCode::Server, &text))),
            FaultKind::ConnectionRefused => self.meeting(call, Meeting::Wire(WireFault::Refused)),
            FaultKind::ConnectionBroken => self.meeting(call, Meeting::Wire(WireFault::ResetBefore)),
            FaultKind::ConnectionHalfway => self.meeting(call, Meeting::Wire(WireFault::ResetHalfway)),
            FaultKind::TimedOut => self.meeting(call, Meeting::Wire(WireFault::Stalled)),
            FaultKind::AnswerLost => self.meeting(call, Meeting::Wire(WireFault::AnswerLost)),
            FaultKind::AnswerTruncated => self.meeting(call, Meeting::Wire(WireFault::AnswerTruncated)),
            FaultKind::AnswerLate => self.meeting(call, Meeting::Wire(WireFault::AnswerLate)),
            FaultKind::KilledHalfway => self.killed(call, KillPoint::Halfway),
            FaultKind::KilledWorking => self.killed(call, KillPoint::Working),
            FaultKind::KilledAnswering => self.killed(call, KillPoint::Answering),
            FaultKind::KilledAt(KillAt::Call(part)) => self.killed(call, KillPoint::Part(part)),
            FaultKind::KilledAt(KillAt::Log(bytes)) => self.killed(call, KillPoint::Log(bytes)),
            FaultKind::DiskFull => self.meeting(call, Meeting::Store(StoreFault::DiskFull)),
            FaultKind::Locked => self.meeting(call, Meeting::Store(StoreFault::Locked)),
            FaultKind::ArrivesAgain => {
                self.delay(call);
                self.inner.call(call)
            }
            FaultKind::Overtaken => {
                self.delay(call);
                Err(TransportError::TimedOut {
                    endpoint: "the endpoint".into(),
                    limit: CALL_TIMEOUT_DEFAULT,
                })
            }
            FaultKind::CallTruncated => {
                // Its last bytes: all that comes before is right, and must not be kept either.
                let mut cut = call.clone();
                cut.body.truncate(call.body.len().saturating_sub(CUT_BYTES));
                self.inner.call(&cut)
            }
            FaultKind::ArrivesTwice => {
                self.inner.call(call)?;
                self.inner.call(call)
            }
            FaultKind::AnswerGarbage => {
                self.inner.call(call)?;
                Ok(xml_reply(200, b"<s:Envelope <this is not XML".to_vec()))
            }
            FaultKind::SpoiledCell => {
                let mut spoiled = call.clone();
                spoiled.body = spoil(&call.body);
                self.inner.call(&spoiled)
            }
            FaultKind::StopServer => {
                self.server.stop();
                Err(TransportError::Broken {
                    endpoint: "the endpoint".into(),
                    why: "it was reset: the server has died".into(),
                })
            }
            FaultKind::AnswerSignature | FaultKind::AnswerNonce | FaultKind::AnswerTime => {
                let reply = self.inner.call(call)?;
                Ok(self.with_other_token(&kind, reply, call.operation))
            }
        }
    }
}

impl FaultyEndpoint {
    /// The call, while something else is as it should not be.
    fn meeting(&self, call: &OutgoingCall, meeting: Meeting) -> Result<Reply, TransportError> {
        self.server.meets(&call.context, Some(meeting));
        let reply = self.inner.call(call);
        self.server.meets(&call.context, None);
        reply
    }

    fn killed(&self, call: &OutgoingCall, point: KillPoint) -> Result<Reply, TransportError> {
        self.meeting(call, Meeting::Wire(WireFault::Killed(point)))
    }

    fn delay(&self, call: &OutgoingCall) {
        self.state().delayed.push(Delayed {
            call: call.clone(),
            due: false,
        });
    }

    /// Before a cycle's last call, those of an earlier cycle that are on their way arrive. What becomes of them nobody
    /// is told.
    fn deliver_delayed(&self, call: &OutgoingCall) {
        let mut state = self.state();
        if call.operation == Operation::Authenticate {
            let own = |delayed: &&mut Delayed| delayed.call.context == call.context;
            state.delayed.iter_mut().filter(own).for_each(|d| d.due = true);
        }
        if call.operation != Operation::ReplicationCompleted {
            return;
        }
        let arrives = |delayed: &mut Delayed| delayed.due && delayed.call.context == call.context;
        let arriving: Vec<Delayed> = state.delayed.extract_if(.., arrives).collect();
        drop(state);
        for delayed in arriving {
            if let Err(error) = self.inner.call(&delayed.call) {
                tracing::debug!(%error, "a delayed call did not arrive at all");
            }
        }
    }

    /// The reply with another signed application token; any other reply as it is.
    fn with_other_token(&self, kind: &FaultKind, reply: Reply, operation: Operation) -> Reply {
        let parsed = xml::decode(&reply.body)
            .ok()
            .and_then(|text| message::read_response(&text, operation).ok().and_then(Result::ok));
        let Some(mut response) = parsed else {
            return reply;
        };
        if let ResponseDetail::Authenticate(detail) = &mut response.detail
            && let Some(token) = &detail.signed_application_token
        {
            let now = self.clock.now();
            let nonce = token.split('.').next().unwrap_or_default();
            let sign = |nonce: &str, now: i64| self.keys.sign(nonce, now).unwrap_or_default();
            let other = match kind {
                FaultKind::AnswerNonce => sign(&"0".repeat(32), now),
                FaultKind::AnswerTime => sign(nonce, now - OFF_SECONDS),
                _ => {
                    // A signature of the right form, of another text.
                    let foreign = sign("another", now);
                    let (signed, _) = token.rsplit_once('.').unwrap_or((token, ""));
                    let (_, signature) = foreign.rsplit_once('.').unwrap_or(("", ""));
                    format!("{signed}.{signature}")
                }
            };
            detail.signed_application_token = Some(other);
        }
        xml_reply(
            reply.status,
            soap::envelope(None, &message::write_response(&response)),
        )
    }
}

fn xml_reply(status: u16, body: Vec<u8>) -> Reply {
    Reply {
        status,
        content_type: CONTENT_TYPE.into(),
        body,
    }
}

/// The tables that a call carries or names.
pub fn tables_of(body: &[u8]) -> Vec<String> {
    let Ok(text) = xml::decode(body) else {
        return Vec::new();
    };
    let mut reader = Reader::new(&text);
    let Ok(request) = soap::open(&mut reader).and_then(|_| message::read_request(&mut reader)) else {
        return Vec::new();
    };
    let name = |table: &message::TableSchemaInfo<'_>| table.name.as_deref().map(str::to_owned);
    match &request {
        Request::TableSchema { tables, .. } => tables.iter().filter_map(name).collect(),
        Request::RowData { batches, .. } => batches
            .iter()
            .filter_map(|b| b.table.as_ref().and_then(name))
            .collect(),
        Request::Wipe { table, .. } => table.iter().map(|t| t.to_string()).collect(),
        Request::ReplicationCompleted { changed, .. } => changed
            .iter()
            .filter_map(|c| c.table.as_deref().map(str::to_owned))
            .collect(),
        Request::Authenticate { .. } => Vec::new(),
    }
}

/// The last number of the last row, spoiled: everything before it in the call is right, and must not be kept either. Texts
/// stay as they are: they are no wrong values, whatever they look like.
fn spoil(body: &[u8]) -> Vec<u8> {
    let marker = b">[I:";
    let Some(number) = last_number(body) else {
        return body.to_vec();
    };
    let begins = |at: &usize| body[*at..].starts_with(marker);
    let mut spoiled = body.to_vec();
    if let Some(at) = (0..body.len()).filter(begins).nth(number) {
        spoiled.splice(at + marker.len()..at + marker.len(), *b"spoiled");
    }
    spoiled
}

/// Of all cells that begin as a marked number does, counted in the call's order, the last one that is one.
fn last_number(body: &[u8]) -> Option<usize> {
    let text = xml::decode(body).ok()?;
    let mut reader = Reader::new(&text);
    soap::open(&mut reader).ok()?;
    let Ok(Request::RowData { batches, .. }) = message::read_request(&mut reader) else {
        return None;
    };
    let (mut seen, mut last) = (0, None);
    for batch in &batches {
        let columns = batch.table.as_ref().map_or(&[][..], |table| &table.columns);
        for row in batch.rows.iter() {
            for (at, _) in row.cells.iter().enumerate().filter(|(_, c)| looks_like_number(c)) {
                let ty = columns
                    .get(at)
                    .and_then(|c| ColumnType::parse(c.ty.as_deref()?).ok());
                if ty.is_some_and(|ty| !ty.is_text()) {
                    last = Some(seen);
                }
                seen += 1;
            }
        }
    }
    last
}

fn looks_like_number(cell: &message::Cell<'_>) -> bool {
    cell.as_deref().is_some_and(|text| text.starts_with("[I:"))
}

/// The envelope with another token, or with no header at all.
pub fn replace_token(body: &[u8], token: Option<&str>) -> Vec<u8> {
    let find = |what: &[u8]| body.windows(what.len()).position(|window| window == what);
    let (Some(header), Some(message)) = (find(b"<s:Header>"), find(b"<s:Body>")) else {
        return body.to_vec();
    };
    // An envelope of just that head, in front of the body that is there.
    let with_head = soap::envelope(token, b"");
    let Some(end) = with_head.windows(8).position(|window| window == b"<s:Body>") else {
        return body.to_vec();
    };
    debug_assert!(header < message);
    let mut out = with_head[..end].to_vec();
    out.extend_from_slice(&body[message..]);
    out
}

#[cfg(test)]
mod tests {
    use mirrorlab_protocol::message::{Request, RowDataBatch, RowOperation, Rows, write_request};
    use mirrorlab_protocol::schema::{Column, Table};

    use super::*;

    #[test]
    fn a_spoiled_cell_is_a_number_and_no_text_that_looks_like_one() {
        let column = |name: &str, ty| Column {
            name: name.to_owned(),
            ty: ColumnType::parse(ty).unwrap(),
            nullable: true,
            default: None,
        };
        let table = Table {
            name: "y_a".into(),
            columns: vec![
                column("id", "int"),
                column("x_a", "nvarchar(9)"),
                column("x_b", "int"),
            ],
        };
        let spoiled = |cells: &[&'static str]| {
            let mut rows = Rows::default();
            rows.push(RowOperation::Insert, cells.iter().map(|c| Some((*c).into())));
            let batches = vec![RowDataBatch {
                rows,
                lsn: None,
                table: Some(table.to_wire()),
            }];
            let request = Request::RowData {
                client_state: None,
                batches,
            };
            let body = spoil(&soap::envelope(None, &write_request(&request)));
            let text = String::from_utf8(body).unwrap();
            let at = text.find("spoiled").unwrap();
            text[at - 12..at + 10].to_owned()
        };
        assert_eq!(spoiled(&["[I:1]", "[I:2]", "[I:3]"]), "b:string>[I:spoiled3]<");
        assert_eq!(spoiled(&["[I:1]", "[I:", "[F:3]"]), "b:string>[I:spoiled1]<");
    }
}
