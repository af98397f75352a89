//! What an endpoint must remember: the LSNs that it has answered for. Where the mirror cannot be looked at, it is asked.
//!
//! Kept from the calls that really went out and the answers that really came: a batch that was accepted stands for its LSN,
//! a wipe for -1, and what TableSchema answers is the endpoint's own word. After an answer that was lost nobody knows, and
//! nothing is asked.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use mirrorlab_protocol::clock::Clock;
use mirrorlab_protocol::message::{self, LSN_INVALID, Request, ResponseDetail, TableLsn};
use mirrorlab_protocol::names::{Operation, fold};
use mirrorlab_protocol::soap;
use mirrorlab_protocol::xml::{self, Reader};
use mirrorlab_simulator::authority::Tokens;
use mirrorlab_simulator::capture::form::tenant_of;
use mirrorlab_simulator::endpoint::{Endpoint, OutgoingCall, Reply, TransportError};

use super::faults::replace_token;
use super::keys::RunKeys;

/// Its questions' nonces are others than those of the mirroring task.
const SEED: u64 = 0x4c53_4e73;

/// An endpoint, and what it has answered for.
pub struct LsnBook {
    inner: Arc<dyn Endpoint>,
    keys: RunKeys,
    clock: Arc<dyn Clock>,
    seed: u64,
    accounts: Mutex<BTreeMap<String, Account>>,
}

/// One tenant's.
#[derive(Default)]
struct Account {
    /// The last TableSchema that was accepted, while no later one may have been.
    schema: Option<OutgoingCall>,
    /// By folded name; `None` where nobody knows.
    lsns: BTreeMap<String, Option<i64>>,
    /// How often the endpoint was asked.
    asked: u64,
}

/// An LSN that is not the one that the endpoint answered for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct WrongLsn {
    /// The table.
    pub table: String,
    /// What it answered for.
    pub expected: i64,
    /// What it answers now; -1 where it does not name the table.
    pub received: i64,
}

/// What became of a call.
enum Became {
    Accepted(ResponseDetail),
    /// Nothing of it is kept.
    Refused,
    Unknown,
}

impl LsnBook {
    /// Watches `inner`.
    pub fn new(inner: Arc<dyn Endpoint>, keys: RunKeys, clock: Arc<dyn Clock>, seed: u64) -> LsnBook {
        LsnBook {
            inner,
            keys,
            clock,
            seed,
            accounts: Mutex::default(),
        }
    }

    /// Asks a tenant's LSNs, by the last TableSchema once more: that changes nothing. `Ok(None)` where nobody knows what
    /// would be right.
    ///
    /// # Errors
    /// What came instead of an answer.
    pub fn ask(&self, context: &str) -> Result<Option<Vec<WrongLsn>>, String> {
        let (call, expected, asked) = {
            let mut accounts = self.accounts();
            let account = accounts.entry(context.to_owned()).or_default();
            account.asked += 1;
            let Some(call) = account.schema.clone() else {
                return Ok(None);
            };
            (call, account.lsns.clone(), account.asked)
        };
        let authority = Arc::clone(&self.keys.authority);
        let seed = self.seed ^ SEED.wrapping_add(asked);
        let mut tokens = Tokens::new(authority, &self.keys.application_id, context, seed);
        let token = tokens.mint(self.clock.now()).text;
        let call = OutgoingCall {
            body: replace_token(&call.body, token.as_deref()),
            ..call
        };
        let reply = self.inner.call(&call).map_err(|error| error.to_string())?;
        let answered = match became(&call, &Ok(reply)) {
            Became::Accepted(ResponseDetail::TableSchema(answered)) => answered,
            Became::Accepted(_) | Became::Refused => {
                return Err("TableSchema, asked once more, was refused".into());
            }
            Became::Unknown => return Err("TableSchema, asked once more, was not answered".into()),
        };
        Ok(Some(differences(&expected, &answered)))
    }

    fn accounts(&self) -> MutexGuard<'_, BTreeMap<String, Account>> {
        self.accounts.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Endpoint for LsnBook {
    fn call(&self, call: &OutgoingCall) -> Result<Reply, TransportError> {
        let answered = self.inner.call(call);
        // A token of another tenant's speaks of another mirror.
        if tenant_of(&call.body).as_deref() == Some(&call.context) {
            let became = became(call, &answered);
            let mut accounts = self.accounts();
            accounts
                .entry(call.context.clone())
                .or_default()
                .enter(call, became);
        }
        answered
    }
}

impl Account {
    fn enter(&mut self, call: &OutgoingCall, became: Became) {
        let lsns = match became {
            Became::Refused => return,
            Became::Unknown => {
                if call.operation == Operation::TableSchema {
                    self.schema = None;
                }
                touched(&call.body)
                    .into_keys()
                    .map(|table| (table, None))
                    .collect()
            }
            Became::Accepted(ResponseDetail::TableSchema(answered)) => {
                self.schema = Some(call.clone());
                self.lsns.clear();
                let own = |answer: TableLsn| (fold(&answer.table), Some(answer.lsn));
                answered.into_iter().map(own).collect()
            }
            Became::Accepted(_) => touched(&call.body),
        };
        self.lsns.extend(lsns);
    }
}

fn differences(expected: &BTreeMap<String, Option<i64>>, answered: &[TableLsn]) -> Vec<WrongLsn> {
    let received = |table: &str| {
        let found = answered.iter().find(|answer| fold(&answer.table) == table);
        found.map_or(LSN_INVALID, |answer| answer.lsn)
    };
    expected
        .iter()
        .filter_map(|(table, lsn)| Some((table, (*lsn)?)))
        .filter(|(table, lsn)| received(table) != *lsn)
        .map(|(table, lsn)| WrongLsn {
            table: table.clone(),
            expected: lsn,
            received: received(table),
        })
        .collect()
}

fn became(call: &OutgoingCall, answered: &Result<Reply, TransportError>) -> Became {
    let Ok(reply) = answered else {
        return Became::Unknown;
    };
    let Ok(text) = xml::decode(&reply.body) else {
        return Became::Unknown;
    };
    match message::read_response(&text, call.operation) {
        Ok(Ok(response)) if response.successful && reply.status == 200 => Became::Accepted(response.detail),
        Ok(Ok(_) | Err(_)) => Became::Refused,
        Err(_) => Became::Unknown,
    }
}

/// The tables whose LSN a call changes, each with the one that it gives them. A batch without an LSN leaves the table's as
/// it was.
fn touched(body: &[u8]) -> BTreeMap<String, Option<i64>> {
    let mut touched = BTreeMap::new();
    let Ok(text) = xml::decode(body) else {
        return touched;
    };
    let mut reader = Reader::new(&text);
    match soap::open(&mut reader).and_then(|_| message::read_request(&mut reader)) {
        Ok(Request::RowData { batches, .. }) => {
            for batch in &batches {
                let name = batch.table.as_ref().and_then(|table| table.name.as_deref());
                if let (Some(name), Some(lsn)) = (name, batch.valid_lsn()) {
                    touched.insert(fold(name), Some(lsn));
                }
            }
        }
        Ok(Request::Wipe {
            table: Some(table), ..
        }) => {
            touched.insert(fold(&table), Some(LSN_INVALID));
        }
        _ => {}
    }
    touched
}

#[cfg(test)]
mod tests;
