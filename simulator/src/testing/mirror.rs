//! An endpoint in memory that mirrors, unless it is told to answer otherwise.

use std::collections::BTreeMap;
use std::sync::Mutex;

use mirrorlab_protocol::answer;
use mirrorlab_protocol::message::{
    AuthenticateDetail, Request, Response, ResponseDetail, RowOperation, TableLsn, write_response,
};
use mirrorlab_protocol::names::Operation;
use mirrorlab_protocol::soap;
use mirrorlab_protocol::token::{Expected, Unverified};
use mirrorlab_protocol::xml::Reader;

use super::{APPLICATION, NOW, application_key, authority, read};
use crate::endpoint::{Endpoint, OutgoingCall, Reply, TransportError};

/// A mirror of one table.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct MirrorTable {
    pub lsn: i64,
    pub rows: BTreeMap<i64, String>,
}

type Tables = BTreeMap<String, MirrorTable>;
type Script = dyn Fn(&OutgoingCall, usize) -> Option<Result<Reply, TransportError>> + Send + Sync;
type Tweak = dyn Fn(&mut AuthenticateDetail) + Send + Sync;

#[derive(Default)]
struct MirrorState {
    tenants: BTreeMap<String, Tables>,
    calls: Vec<OutgoingCall>,
}

/// An endpoint in memory that mirrors, by its own simple reading of the rules.
#[derive(Default)]
pub struct FakeEndpoint {
    state: Mutex<MirrorState>,
    script: Mutex<Option<Box<Script>>>,
    tweak: Mutex<Option<Box<Tweak>>>,
}

pub fn reply(status: u16, content_type: &str, body: impl Into<Vec<u8>>) -> Reply {
    Reply {
        status,
        content_type: content_type.into(),
        body: body.into(),
    }
}

pub fn answer(response: &Response) -> Reply {
    reply(
        200,
        "text/xml; charset=utf-8",
        soap::envelope(None, &write_response(response)),
    )
}

impl FakeEndpoint {
    /// Answers some calls otherwise: given the call and its number from 0 on.
    pub fn script(
        &self,
        script: impl Fn(&OutgoingCall, usize) -> Option<Result<Reply, TransportError>> + Send + Sync + 'static,
    ) {
        *self.script.lock().unwrap() = Some(Box::new(script));
    }

    /// Changes Authenticate's answers.
    pub fn tweak(&self, tweak: impl Fn(&mut AuthenticateDetail) + Send + Sync + 'static) {
        *self.tweak.lock().unwrap() = Some(Box::new(tweak));
    }

    pub fn good(&self) {
        *self.script.lock().unwrap() = None;
        *self.tweak.lock().unwrap() = None;
    }

    /// The calls since the last look.
    pub fn take_calls(&self) -> Vec<OutgoingCall> {
        std::mem::take(&mut self.state.lock().unwrap().calls)
    }

    /// The operations since the last look, each with its table names.
    pub fn take_log(&self) -> String {
        let line = |call: &OutgoingCall| {
            let text = String::from_utf8(call.body.clone()).unwrap();
            match read(&text) {
                Request::Wipe { table, .. } => format!("Wipe {}", table.unwrap()),
                Request::RowData { batches, .. } => {
                    let batches: Vec<_> = batches
                        .iter()
                        .map(|b| {
                            let name = b.table.as_ref().unwrap().name.as_deref().unwrap();
                            let letters: String = b.rows.iter().map(|r| r.operation.letter()).collect();
                            format!("{name}[{letters}]@{}", b.lsn.unwrap())
                        })
                        .collect();
                    format!("RowData {}", batches.join(" "))
                }
                Request::TableSchema { tables, .. } => {
                    let names: Vec<_> = tables.iter().map(|t| t.name.as_deref().unwrap()).collect();
                    format!("TableSchema {}", names.join(" "))
                }
                Request::ReplicationCompleted { changed, .. } => {
                    let tables: Vec<_> = changed
                        .iter()
                        .map(|s| {
                            let name = s.table.as_deref().unwrap();
                            format!(" {name} I{} U{} D{}", s.inserts, s.updates, s.deletes)
                        })
                        .collect();
                    format!("ReplicationCompleted{}", tables.concat())
                }
                Request::Authenticate { .. } => "Authenticate".into(),
            }
        };
        self.take_calls().iter().map(line).collect::<Vec<_>>().join("\n")
    }

    pub fn tables(&self, context: &str) -> Tables {
        self.state
            .lock()
            .unwrap()
            .tenants
            .get(context)
            .cloned()
            .unwrap_or_default()
    }

    pub fn set_lsn(&self, context: &str, table: &str, lsn: i64) {
        let mut state = self.state.lock().unwrap();
        state
            .tenants
            .get_mut(context)
            .unwrap()
            .get_mut(table)
            .unwrap()
            .lsn = lsn;
    }

    /// What is mirrored, without the LSNs.
    pub fn rows(&self, context: &str) -> BTreeMap<String, BTreeMap<i64, String>> {
        self.tables(context)
            .into_iter()
            .map(|(name, table)| (name, table.rows))
            .collect()
    }

    fn mirror(&self, call: &OutgoingCall) -> Reply {
        let text = String::from_utf8(call.body.clone()).unwrap();
        let head = soap::open(&mut Reader::new(&text)).unwrap();
        let token = head.token.unwrap_or_default();
        let expected = Expected {
            application: APPLICATION,
            now: NOW,
            leeway: i64::MAX / 4,
        };
        let claims = Unverified::parse(&token)
            .and_then(|unverified| unverified.verify(authority().certificate().key(), &expected));
        let claims = match claims {
            Ok(claims) => claims,
            Err(error) => return answer(&Response::refusal(call.operation, error.to_string())),
        };
        let mut state = self.state.lock().unwrap();
        let tables = state.tenants.entry(claims.context.clone()).or_default();
        let detail = match read(&text) {
            Request::Authenticate { .. } => {
                let mut detail = AuthenticateDetail {
                    signed_application_token: Some(answer::sign(
                        &claims.nonce,
                        claims.not_before,
                        application_key(),
                    )),
                    client_state: Some(format!("state of {}", claims.context)),
                    ..AuthenticateDetail::default()
                };
                if let Some(tweak) = &*self.tweak.lock().unwrap() {
                    tweak(&mut detail);
                }
                ResponseDetail::Authenticate(detail)
            }
            Request::TableSchema { tables: shapes, .. } => {
                let names: Vec<String> = shapes.into_iter().map(|s| s.name.unwrap().into_owned()).collect();
                tables.retain(|name, _| names.contains(name));
                ResponseDetail::TableSchema(
                    names
                        .into_iter()
                        .map(|table| TableLsn {
                            lsn: tables
                                .entry(table.clone())
                                .or_insert(MirrorTable {
                                    lsn: -1,
                                    rows: BTreeMap::new(),
                                })
                                .lsn,
                            table,
                        })
                        .collect(),
                )
            }
            Request::Wipe { table, .. } => {
                let table = tables.get_mut(table.unwrap().as_ref()).unwrap();
                *table = MirrorTable {
                    lsn: -1,
                    rows: BTreeMap::new(),
                };
                ResponseDetail::Wipe
            }
            Request::RowData { batches, .. } => {
                for batch in &batches {
                    let name = batch.table.as_ref().unwrap().name.as_deref().unwrap();
                    let table = tables.get_mut(name).unwrap();
                    for row in batch.rows.iter() {
                        let key = row.cells[0].as_deref().unwrap();
                        let key: i64 = key
                            .strip_prefix("[I:")
                            .unwrap()
                            .strip_suffix(']')
                            .unwrap()
                            .parse()
                            .unwrap();
                        match row.operation {
                            RowOperation::Delete => drop(table.rows.remove(&key)),
                            _ => drop(
                                table
                                    .rows
                                    .insert(key, row.cells[1].as_deref().unwrap().to_owned()),
                            ),
                        }
                    }
                    if let Some(lsn) = batch.valid_lsn() {
                        table.lsn = lsn;
                    }
                }
                ResponseDetail::RowData
            }
            Request::ReplicationCompleted { .. } => ResponseDetail::ReplicationCompleted,
        };
        answer(&Response::success(detail))
    }
}

impl Endpoint for FakeEndpoint {
    fn call(&self, call: &OutgoingCall) -> Result<Reply, TransportError> {
        let number = {
            let mut state = self.state.lock().unwrap();
            state.calls.push(call.clone());
            state.calls.len() - 1
        };
        let scripted = self
            .script
            .lock()
            .unwrap()
            .as_ref()
            .and_then(|script| script(call, number));
        scripted.unwrap_or_else(|| Ok(self.mirror(call)))
    }
}

/// Whether a call is of this operation, and names this table.
pub fn is(call: &OutgoingCall, operation: Operation, table: &str) -> bool {
    call.operation == operation && String::from_utf8_lossy(&call.body).contains(&format!(">{table}<"))
}
