//! What calls meet on their way, as a scenario's `fault` steps say.
//!
//! An [`Endpoint`] around the real one. Who is hit is counted in calls, never in time, so that a run repeats.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use mirrorlab_protocol::answer;
use mirrorlab_protocol::clock::Clock;
use mirrorlab_protocol::keys::PrivateKey;
use mirrorlab_protocol::message::{self, Request, Response, ResponseDetail};
use mirrorlab_protocol::names::{CONTENT_TYPE, Operation, same_name};
use mirrorlab_protocol::soap;
use mirrorlab_protocol::xml::{self, Reader};
use mirrorlab_simulator::endpoint::{Endpoint, OutgoingCall, Reply, TransportError};

use crate::scenario::model::{Fault, FaultKind, Hit};

/// How far `answer: bad_time` dates an answer off: just beyond what SuperOffice allows.
const OFF_SECONDS: i64 = 16 * 60;

/// Stops the server under test, as if its process had died.
pub type StopServer = dyn Fn() + Send + Sync;

/// Counts the calls that a [`Hit`] speaks of.
#[derive(Debug, Clone)]
pub struct Counter {
    hit: Hit,
    tenant: Option<String>,
    seen: u32,
}

impl Counter {
    /// Counts for one tenant, or for all.
    pub fn new(hit: Hit, tenant: Option<String>) -> Counter {
        Counter { hit, tenant, seen: 0 }
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
    faults: Mutex<Vec<(FaultKind, Counter)>>,
    stop_server: Box<StopServer>,
    /// Signs the answers that are about another nonce or another time.
    application_key: PrivateKey,
    clock: Arc<dyn Clock>,
}

impl FaultyEndpoint {
    /// Stands before `inner`, harmless at first.
    pub fn new(
        inner: Arc<dyn Endpoint>,
        stop_server: Box<StopServer>,
        application_key: PrivateKey,
        clock: Arc<dyn Clock>,
    ) -> FaultyEndpoint {
        FaultyEndpoint {
            inner,
            faults: Mutex::new(Vec::new()),
            stop_server,
            application_key,
            clock,
        }
    }

    /// Adds what calls to come meet.
    pub fn add(&self, fault: &Fault, tenant: Option<String>) {
        let mut faults = self.faults.lock().unwrap_or_else(PoisonError::into_inner);
        faults.push((fault.kind.clone(), Counter::new(fault.hit.clone(), tenant)));
    }

    /// Faults that never struck: a scenario that waits for one in vain proves nothing.
    pub fn unused(&self) -> Vec<FaultKind> {
        let faults = self.faults.lock().unwrap_or_else(PoisonError::into_inner);
        faults
            .iter()
            .filter(|(_, c)| c.seen <= c.hit.after)
            .map(|(kind, _)| kind.clone())
            .collect()
    }

    fn next(&self, call: &OutgoingCall) -> Option<FaultKind> {
        let mut faults = self.faults.lock().unwrap_or_else(PoisonError::into_inner);
        if faults.iter().all(|(_, counter)| counter.is_spent()) {
            return None;
        }
        let tables = tables_of(&call.body);
        // Every fault counts the call, the first one strikes.
        let mut struck = None;
        for (kind, counter) in faults.iter_mut() {
            if counter.strikes(call.operation, &call.context, &tables) && struck.is_none() {
                struck = Some(kind.clone());
            }
        }
        struck
    }
}

impl Endpoint for FaultyEndpoint {
    fn call(&self, call: &OutgoingCall) -> Result<Reply, TransportError> {
        let endpoint = || "the endpoint".to_owned();
        let broken = |why: &str| TransportError::Broken {
            endpoint: endpoint(),
            why: why.to_owned(),
        };
        let Some(kind) = self.next(call) else {
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
            FaultKind::ConnectionRefused => Err(TransportError::Connect {
                endpoint: endpoint(),
                why: "connection refused".into(),
            }),
            FaultKind::ConnectionBroken => Err(broken("it was reset before the call had arrived")),
            FaultKind::TimedOut => Err(TransportError::TimedOut {
                endpoint: endpoint(),
                limit: Duration::from_secs(100),
            }),
            FaultKind::AnswerLost => {
                self.inner.call(call)?;
                Err(broken("it was reset before the answer had arrived"))
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
                (self.stop_server)();
                Err(broken("it was reset: the server has died"))
            }
            FaultKind::AnswerSignature | FaultKind::AnswerNonce | FaultKind::AnswerTime => {
                let reply = self.inner.call(call)?;
                Ok(self.with_other_token(&kind, reply, call.operation))
            }
        }
    }
}

impl FaultyEndpoint {
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
            let other = match kind {
                FaultKind::AnswerNonce => answer::sign(&"0".repeat(32), now, &self.application_key),
                FaultKind::AnswerTime => answer::sign(nonce, now - OFF_SECONDS, &self.application_key),
                _ => {
                    // A signature of the right form, of another text.
                    let foreign = answer::sign("another", now, &self.application_key);
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

/// The last row's last number, spoiled: everything before it in the call is right, and must not be kept either.
fn spoil(body: &[u8]) -> Vec<u8> {
    let marker = b">[I:";
    let at = body.windows(marker.len()).rposition(|window| window == marker);
    let mut spoiled = body.to_vec();
    if let Some(at) = at {
        spoiled.splice(at + marker.len()..at + marker.len(), *b"spoiled");
    }
    spoiled
}
